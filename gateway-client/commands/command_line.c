/* What the subcommands share. */
#include "gateway-client/commands/command_line.h"

#include <stdio.h>

int gwc_command_line(const struct gw_flag *flags, int argc, char **argv, const char *usage, int *ret_words)
{
    struct gw_reason reason = {""};
    int read = gw_flags_read(flags, argc, argv, ret_words, &reason);

    if (read == GW_FLAGS_HELP) {
        printf("%s\n\nFlags:\n", usage);
        gw_flags_print(flags);
        return GW_EXIT_OK + 1;
    }
    if (read < 0) {
        fprintf(stderr, "gateway-client: %s (see --help)\n", reason.text);
        return GW_EXIT_USAGE + 1;
    }
    return 0;
}
