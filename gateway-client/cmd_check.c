/* gateway-client check: every fault of a configuration at once, with file, line and path; through its gateway-servers too. */
#include "gateway-client/command_line.h"
#include "gateway-client/commands.h"
#include "gateway-client/file.h"
#include "gateway-client/server.h"
#include "gateway-client/validation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct check {
    const char *gateway_file, *sources_path;
    int64_t timeout_ms;
    bool offline, print_settings;
    struct gw_loop *loop;
    struct gw_rpc_client *rpc;
    struct gwc_spec *spec;
    struct gwc_sources *sources;
    struct gwc_server **servers;
    size_t waiting, problems, unreachable;
};

struct question {
    struct check *check;
    const struct gwc_source *source;
};

static void print_problem(const char *file, int line, const char *path, const char *message)
{
    printf("%s", file);
    if (line > 0)
        printf(":%d", line);
    printf(": %s%s%s\n", path, path[0] != '\0' ? ": " : "", message);
}

static void check_print(struct check *check, const char *file, const struct gw_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct gw_problem *problem = &problems->items[i];
        print_problem(problem->file != NULL ? problem->file : file, problem->line, problem->path,
                      problem->message);
    }
    if (problems->dropped > 0)
        printf("%s: and %zu more\n", file, problems->dropped);
    check->problems += problems->count + problems->dropped;
}

static void print_server_problem(const struct gwc_source *source, const struct gw_problem *problem)
{
    char path[GW_REASON_MAX];
    int line = problem->line > 0 ? problem->line + source->line - 1 : source->line;

    snprintf(path, sizeof(path), "%s%s%s", source->key, problem->path[0] != '\0' ? ": " : "", problem->path);
    print_problem(source->file, line, path, problem->message);
}

static void on_validated(void *user, const struct gwc_validated *validated)
{
    struct question *question = user;
    struct check *check = question->check;

    if (validated->validity == GWC_INVALID) {
        for (size_t i = 0; i < validated->problems->count; i++)
            print_server_problem(question->source, &validated->problems->items[i]);
        check->problems += validated->problems->count;
    } else if (validated->validity == GWC_UNREACHABLE) {
        print_problem(question->source->file, question->source->line, question->source->key,
                      validated->reason);
        check->unreachable++;
    }
    free(question);
    if (--check->waiting == 0)
        gw_loop_stop(check->loop);
}

static int check_ask(struct check *check, const struct gwc_source *source, struct gwc_server *server)
{
    struct gw_reason reason = {""};
    struct gwc_validation *validation;
    struct gw_rpc_channel *channel = gwc_server_channel(server, &reason);
    struct gwc_validation_options options = {
        .loop = check->loop,
        .channel = channel,
        .contract = gwc_server_spec(server)->contract,
        .gateway = check->spec->name,
        .namespace_ = check->spec->namespace_,
        .source = source,
        .deadline_ms = check->timeout_ms,
    };

    if (channel == NULL) {
        print_problem(check->gateway_file, 0, gwc_server_spec(server)->address, reason.text);
        check->problems++;
        return 0;
    }
    struct question *question = calloc(1, sizeof(*question));
    if (question == NULL)
        return GW_RAISE(-ENOMEM);
    *question = (struct question){check, source};
    int fault = gwc_validation_begin(&validation, &options, on_validated, question);
    if (fault < 0)
        free(question);
    else
        check->waiting++;
    return fault;
}

static int check_online(struct check *check)
{
    GW_TRY(gw_loop_open(&check->loop));
    GW_TRY(gw_rpc_client_open(&check->rpc));
    check->servers = calloc(check->spec->servers_count + 1, sizeof(*check->servers));
    if (check->servers == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < check->spec->servers_count; i++)
        GW_TRY(gwc_server_new(&check->servers[i], check->rpc, &check->spec->servers[i]));
    for (size_t i = 0; i < check->sources->count; i++)
        for (size_t j = 0; j < check->spec->servers_count; j++)
            if (strcmp(check->spec->servers[j].type, check->sources->items[i].type) == 0) {
                GW_TRY(check_ask(check, &check->sources->items[i], check->servers[j]));
                break;
            }
    if (check->waiting > 0)
        gw_loop_run(check->loop);
    return 0;
}

static int check_files(struct check *check)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};

    int read = gwc_file_read(check->gateway_file, &text, &problems);
    if (read == 0)
        read = gwc_spec_read(gw_bytes_view(&text), &check->spec, &problems);
    check_print(check, check->gateway_file, &problems);
    if (read != 0)
        return read < 0 ? read : 0;
    gw_problems_done(&problems);
    read = gwc_sources_read(check->sources_path, check->spec, &check->sources, &problems);
    check_print(check, check->sources_path, &problems);
    return read < 0 ? read : 0;
}

static void check_close(struct check *check)
{
    if (check->servers != NULL)
        for (size_t i = 0; i < check->spec->servers_count; i++)
            gwc_server_unref(check->servers[i]);
    free(check->servers);
    gw_rpc_client_close(check->rpc);
    gw_loop_close(check->loop);
    gwc_sources_free(check->sources);
    gwc_spec_free(check->spec);
}

static int check_run(struct check *check)
{
    int fault = check_files(check);

    if (fault == 0 && check->sources != NULL && !check->offline)
        fault = check_online(check);
    if (fault < 0)
        fprintf(stderr, "gateway-client check: %s\n", gw_fault_trace());
    else if (check->problems + check->unreachable > 0)
        printf("%zu problem%s, %zu event source%s could not be checked by a gateway-server\n",
               check->problems, check->problems == 1 ? "" : "s", check->unreachable,
               check->unreachable == 1 ? "" : "s");
    else
        printf("good: %zu event source%s, %zu server%s, %zu watcher%s\n", check->sources->count,
               check->sources->count == 1 ? "" : "s", check->spec->servers_count,
               check->spec->servers_count == 1 ? "" : "s", check->spec->watchers_count,
               check->spec->watchers_count == 1 ? "" : "s");
    check_close(check);
    return fault < 0                ? GW_EXIT_FAULT
           : check->problems > 0    ? GW_EXIT_CONFIGURATION
           : check->unreachable > 0 ? GW_EXIT_FAULT
                                    : GW_EXIT_OK;
}

static int check_print_settings(void)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    gwc_spec_markdown(&out);
    const char *text = gw_bytes_text(&out);
    return text != NULL && fputs(text, stdout) >= 0 ? GW_EXIT_OK : GW_EXIT_FAULT;
}

int gwc_cmd_check(int argc, char **argv)
{
    struct check check = {.timeout_ms = 5000};
    int words = 0;
    const struct gw_flag flags[] = {
        {"gateway", GW_FLAG_TEXT, &check.gateway_file, "FILE", "the Gateway spec", "GATEWAY_SPEC"},
        {"event-sources", GW_FLAG_TEXT, &check.sources_path, "PATH",
         "the event sources: a file or a directory", "GATEWAY_EVENT_SOURCES"},
        {"offline", GW_FLAG_BOOL, &check.offline, NULL, "do not ask the gateway-servers", NULL},
        {"print-settings", GW_FLAG_BOOL, &check.print_settings, NULL,
         "print the fields of the Gateway spec as Markdown and end", NULL},
        {"timeout", GW_FLAG_DURATION, &check.timeout_ms, "DURATION",
         "for each answer of a gateway-server (default 5s)", NULL},
        {0},
    };

    int ended = gwc_command_line(flags, argc, argv,
                                 "Usage: gateway-client check --gateway FILE --event-sources PATH", &words);
    if (ended > 0)
        return ended - 1;
    if (check.print_settings)
        return check_print_settings();
    if (words > 0 || check.gateway_file == NULL || check.sources_path == NULL) {
        fprintf(stderr, "gateway-client check: --gateway and --event-sources are needed, and nothing else "
                        "(see --help)\n");
        return GW_EXIT_USAGE;
    }
    return check_run(&check);
}
