/* What the subcommands share: reading flags, saying what is wrong with them. */
#ifndef GWC_COMMAND_LINE_H
#define GWC_COMMAND_LINE_H

#include "common/flags.h"

/* 0: go on, *ret_words words are left in argv[1…]; > 0: end with this exit code + 1 (help was printed, or words of reproach). */
int gwc_command_line(const struct gw_flag *flags, int argc, char **argv, const char *usage,
                     int *ret_words) GW_MUST_CHECK;

#endif
