/* gateway-client: picks the subcommand. */
#include "gateway-client/commands/commands.h"

#include "common/flags.h"
#include "common/text.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *word;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"run", gwc_cmd_run, "run a gateway (the default)"},
    {"check", gwc_cmd_check,
     "check a configuration, through its gateway-servers too; every fault with file, line and path"},
    {"check-server", gwc_cmd_check_server,
     "try a gateway-server, written by whomever, by the rules of its contract"},
    {"status", gwc_cmd_status, "show what a running gateway-client does"},
    {"listen", gwc_cmd_listen, "a small watcher that prints each CloudEvent it gets"},
    {"dead-letters", gwc_cmd_dead_letters, "list, show, replay or drop deliveries that were given up"},
    {"positions", gwc_cmd_positions,
     "list, show, set or reset how far event sources were read and watchers were served"},
    {"crd", gwc_cmd_crd, "print the custom resource definition of Gateways, for kubectl apply"},
};

static void print_help(void)
{
    printf("gateway-client: from event sources to CloudEvents at the watchers.\n\nUsage: gateway-client "
           "[command] [flags]\n\n"
           "Commands:\n");
    for (size_t i = 0; i < GW_COUNT_OF(commands); i++)
        printf("  %-14s %s\n", commands[i].word, commands[i].help);
    printf("\ngateway-client COMMAND --help tells the flags.\n\nExit codes: 0 well, 1 a fault, 2 wrong "
           "usage, 3 a configuration "
           "that cannot work.\n");
}

static int unknown(const char *word)
{
    const char *words[GW_COUNT_OF(commands) + 1] = {0};

    for (size_t i = 0; i < GW_COUNT_OF(commands); i++)
        words[i] = commands[i].word;
    const char *nearest = gw_text_nearest(word, words);
    fprintf(stderr, "gateway-client: there is no command \"%s\"%s%s%s (see --help)\n", word,
            nearest != NULL ? ", did you mean \"" : "", nearest != NULL ? nearest : "",
            nearest != NULL ? "\"?" : "");
    return GW_EXIT_USAGE;
}

int main(int argc, char **argv)
{
    if (argc > 1 &&
        (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
        print_help();
        return GW_EXIT_OK;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("gateway-client %s\n", GW_VERSION);
        return GW_EXIT_OK;
    }
    if (argc < 2 || argv[1][0] == '-')
        return gwc_cmd_run(argc, argv);
    for (size_t i = 0; i < GW_COUNT_OF(commands); i++)
        if (strcmp(argv[1], commands[i].word) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return unknown(argv[1]);
}
