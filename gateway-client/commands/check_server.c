/* gateway-client check-server: tries a gateway-server, written by whomever, by the rules of its contract. */
#include "gateway-client/check/check_server.h"
#include "gateway-client/commands/command_line.h"
#include "gateway-client/commands/commands.h"
#include "gateway-client/origin/file.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

struct command {
    struct gwc_check check;
    struct gw_bytes config;
    const char *config_file, *contract;
    bool json, strict, print_rules;
};

static const char usage[] = "Usage: gateway-client check-server ADDRESS [flags]\n\n"
                            "Tries a gateway-server by the rules of its contract "
                            "(proto/gateway/v1/eventing.proto): what it says, sends, and\n"
                            "does with what it is sent. In --config, ${N} becomes the number of the stream: "
                            "0, and up to 99 where a hundred\n"
                            "are opened at once.\n\n"
                            "Exit codes: 0 no rule is broken, 1 one is, or nobody answers, 2 wrong usage, 3 "
                            "the server refuses --config.";

/* ---- the trigger: a command of the user's, again and again, in a process group of its own ---- */

static pid_t trigger_start(const char *command)
{
    /* as long as we are there: an interrupt from the terminal ends us, but not another process group */
    static const char loop[] = "while kill -0 \"$1\" 2>/dev/null; do sh -c \"$0\"; sleep 0.05; done";
    char self[16];
    const char *const argv[] = {"sh", "-c", loop, command, self, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    pid_t pid = -1;

    snprintf(self, sizeof(self), "%d", (int)getpid());
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    if (posix_spawn(&pid, "/bin/sh", &actions, &attributes, (char *const *)(uintptr_t)argv, environ) != 0)
        pid = -1;
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void trigger_stop(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* ---- running ---- */

static int run_connected(struct command *command, struct gw_reason *reason)
{
    struct gwc_check *check = &command->check;
    const struct gw_rpc_channel_options options = {.address = check->options.address,
                                                   .tls = check->options.tls,
                                                   .reconnect_initial_ms = 200,
                                                   .reconnect_max_ms = 1000};

    GW_TRY(gw_rpc_channel_open(&check->channel, check->rpc, &options, reason));
    pid_t trigger = check->options.trigger != NULL ? trigger_start(check->options.trigger) : -1;
    int fault = gwc_check_run(check);
    trigger_stop(trigger);
    check->channel = gw_rpc_channel_close(check->channel);
    return fault;
}

static int print(struct command *command)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    if (!command->json) {
        gwc_check_print(&command->check, stdout);
        return 0;
    }
    gwc_check_json(&command->check, &out);
    if (out.failed)
        return GW_RAISE(-ENOMEM);
    fwrite(out.data, 1, out.size, stdout);
    return 0;
}

static int exit_code(const struct command *command)
{
    const struct gwc_check *check = &command->check;
    size_t broken = gwc_check_count(check, GWC_VERDICT_FAILED);

    if (command->strict)
        broken += gwc_check_count(check, GWC_VERDICT_WARNING);
    if (!check->speaks || broken > 0)
        return GW_EXIT_FAULT;
    return check->refused ? GW_EXIT_CONFIGURATION : GW_EXIT_OK;
}

static int run(struct command *command)
{
    struct gw_reason reason = {""};
    int fault = gw_rpc_client_open(&command->check.rpc);

    if (fault == 0)
        fault = run_connected(command, &reason);
    gw_rpc_client_close(command->check.rpc);
    if (fault == 0)
        fault = print(command);
    gw_arena_done(&command->check.arena);
    if (fault == 0)
        return exit_code(command);
    fprintf(stderr, "gateway-client check-server: %s\n",
            reason.text[0] != '\0' ? reason.text : gw_fault_trace());
    return fault == -EINVAL ? GW_EXIT_USAGE : GW_EXIT_FAULT;
}

/* ---- the command line ---- */

static int wrong(const char *words, const char *what)
{
    fprintf(stderr, "gateway-client check-server: %s%s (see --help)\n", words, what);
    return GW_EXIT_USAGE;
}

static int print_rules(void)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    gwc_rules_markdown(&out);
    const char *text = gw_bytes_text(&out);
    return text != NULL && fputs(text, stdout) >= 0 ? GW_EXIT_OK : GW_EXIT_FAULT;
}

static bool contract_read(struct command *command)
{
    for (size_t i = 0; gwc_contract_names[i] != NULL; i++)
        if (strcmp(command->contract, gwc_contract_names[i]) == 0) {
            command->check.options.contract = (enum gwc_contract)i;
            return true;
        }
    return false;
}

/* 0, or an exit code. */
static int config_read(struct command *command)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gw_reason reason = {""};

    if (command->config_file == NULL)
        return 0;
    int read = gwc_file_read(command->config_file, &command->config, &problems);
    if (read != 0) {
        gw_problems_reason(&problems, &reason);
        fprintf(stderr, "gateway-client check-server: --config %s: %s\n", command->config_file,
                read < 0 ? gw_fault_trace() : reason.text);
        return GW_EXIT_CONFIGURATION;
    }
    command->check.options.config = gw_bytes_view(&command->config);
    command->check.options.config_given = true;
    return 0;
}

static int prepared_run(struct command *command, int words, char **argv)
{
    struct gwc_check_options *options = &command->check.options;

    if (command->print_rules)
        return print_rules();
    if (words != 1)
        return wrong("one ADDRESS is needed, such as 127.0.0.1:9330 or unix:/run/gateway/plc.sock", "");
    options->address = argv[1];
    if (!contract_read(command))
        return wrong("--contract is one of auto, gateway.v1, argo-0.11, argo-0.16, generic, not ",
                     command->contract);
    if ((options->tls.certificate_file == NULL) != (options->tls.key_file == NULL))
        return wrong("--tls-certificate and --tls-key belong together", "");
    if (options->timeout_ms <= 0)
        return wrong("--timeout has to be longer than 0", "");
    int code = config_read(command);
    return code != 0 ? code : run(command);
}

int gwc_cmd_check_server(int argc, char **argv)
{
    struct command command = {.contract = "auto",
                              .check.options = {.name = "check-server", .timeout_ms = 10000}};
    struct gwc_check_options *options = &command.check.options;
    int words = 0;
    const struct gw_flag flags[] = {
        {"type", GW_FLAG_TEXT, &options->type, "TYPE",
         "type of its event sources, for instance calendar (default: as it says itself)", NULL},
        {"config", GW_FLAG_TEXT, &command.config_file, "FILE",
         "a good configuration of an event source, YAML (default: none)", NULL},
        {"name", GW_FLAG_TEXT, &options->name, "NAME", "name of the event source (default check-server)",
         NULL},
        {"trigger", GW_FLAG_TEXT, &options->trigger, "COMMAND",
         "makes an event happen; run by sh again and again, where they do not come by themselves", NULL},
        {"contract", GW_FLAG_TEXT, &command.contract, "CONTRACT",
         "auto (default: the newest that it speaks), gateway.v1, argo-0.11, argo-0.16, generic", NULL},
        {"timeout", GW_FLAG_DURATION, &options->timeout_ms, "DURATION",
         "for each thing that is to come (default 10s)", NULL},
        {"wait", GW_FLAG_DURATION, &options->wait_ms, "DURATION",
         "for a server that has just been started to be there (default 0s)", NULL},
        {"tls", GW_FLAG_BOOL, &options->tls.enabled, NULL, "speak TLS, trusting the system's authorities",
         NULL},
        {"tls-ca", GW_FLAG_TEXT, &options->tls.ca_file, "FILE", "PEM authorities to trust: speak TLS", NULL},
        {"tls-certificate", GW_FLAG_TEXT, &options->tls.certificate_file, "FILE",
         "PEM certificate of ours, where the server asks for one", NULL},
        {"tls-key", GW_FLAG_TEXT, &options->tls.key_file, "FILE", "its PEM key", NULL},
        {"tls-server-name", GW_FLAG_TEXT, &options->tls.server_name, "NAME",
         "name expected in the server's certificate instead of the address's host", NULL},
        {"json", GW_FLAG_BOOL, &command.json, NULL, "the report as JSON", NULL},
        {"strict", GW_FLAG_BOOL, &command.strict, NULL, "count warnings as failures", NULL},
        {"print-rules", GW_FLAG_BOOL, &command.print_rules, NULL, "print the rules as Markdown and end",
         NULL},
        {0},
    };

    int ended = gwc_command_line(flags, argc, argv, usage, &words);
    int code = ended > 0 ? ended - 1 : prepared_run(&command, words, argv);
    gw_bytes_done(&command.config);
    return code;
}
