/* gateway-client check: every fault of a configuration at once, with file, line and path; through its gateway-servers too. */
#include "common/kube.h"
#include "gateway-client/commands/command_line.h"
#include "gateway-client/commands/commands.h"
#include "gateway-client/origin/origin_flags.h"
#include "gateway-client/stream/server.h"
#include "gateway-client/stream/validation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The Gateway, or the ConfigMap of its event sources. */
struct document {
    struct check *check;
    struct gwc_origin *origin;
    bool heard; /* it said something: what it is, or why it says nothing */
};

struct check {
    struct gwc_origins origins;
    int64_t timeout_ms;
    bool offline, print_settings;
    struct gw_loop *loop;
    struct gw_timer *timer;
    struct gw_kube *kube;
    bool late; /* the timer's word */
    struct document gateway, event_sources;
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
    struct question *question = calloc(1, sizeof(*question));
    struct gwc_validation_options options = {
        .loop = check->loop,
        .channel = gwc_server_hold(server, &reason),
        .contract = gwc_server_spec(server)->contract,
        .gateway = check->spec->name,
        .namespace_ = check->spec->namespace_,
        .source = source,
        .deadline_ms = check->timeout_ms,
    };

    if (question == NULL) {
        gwc_channel_unref(options.channel);
        return GW_RAISE(-ENOMEM);
    }
    if (options.channel == NULL) {
        free(question);
        print_problem(gwc_origin_label(check->gateway.origin), 0, gwc_server_spec(server)->address,
                      reason.text);
        check->problems++;
        return 0;
    }
    *question = (struct question){check, source};
    int fault = gwc_validation_begin(&validation, &options, on_validated, question);
    if (fault < 0)
        free(question);
    else
        check->waiting++;
    return fault;
}

static int check_ask_all(struct check *check)
{
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
    return 0;
}

/* Every question is waited for, also when another one could not be asked: each has its deadline. */
static int check_online(struct check *check)
{
    GW_TRY(gw_rpc_client_open(&check->rpc));
    int fault = check_ask_all(check);
    while (check->waiting > 0)
        gw_loop_run(check->loop);
    return fault;
}

/* ---- the documents ---- */

static void on_heard(void *user)
{
    struct document *document = user;

    document->heard = true;
    gw_loop_stop(document->check->loop);
}

static void on_late(void *user)
{
    struct check *check = user;

    check->late = true;
    gw_loop_stop(check->loop);
}

static const char *check_namespace(const struct check *check)
{
    return check->origins.namespace_ != NULL ? check->origins.namespace_
           : check->kube != NULL             ? gw_kube_namespace(check->kube)
                                             : "default";
}

/* The API client, when it is needed for the first time. Verdict GWC_ORIGIN_BAD: a problem was printed. */
static int check_kube(struct check *check)
{
    const struct gw_kube_options options = {check->origins.kubeconfig, check->origins.context,
                                            "gateway-client"};
    struct gw_reason reason = {""};

    if (check->kube != NULL || gw_kube_open(&check->kube, check->loop, &options, &reason) == 0)
        return 0;
    print_problem("kubeconfig", 0, "", reason.text[0] != '\0' ? reason.text : gw_fault_trace());
    check->problems++;
    return GWC_ORIGIN_BAD;
}

/* Opens it, and waits until it says something. */
static int check_origin(struct check *check, const struct gwc_origin_name *name, struct document *document)
{
    struct gwc_origin_options options = {
        .loop = check->loop, .changed = on_heard, .told = on_heard, .user = document};

    document->check = check;
    if (name->kind != GWC_ORIGIN_FILE) {
        int opened = check_kube(check);
        if (opened != 0)
            return opened;
        options.kube = check->kube;
        options.namespace_ = check_namespace(check);
    }
    GW_TRY(gwc_origin_open(&document->origin, name, &options));
    if (name->kind == GWC_ORIGIN_FILE)
        return 0;
    check->late = false;
    gw_timer_start(check->timer, check->timeout_ms);
    while (!document->heard && !check->late)
        gw_loop_run(check->loop);
    gw_timer_stop(check->timer);
    return 0;
}

/* What came of reading it; a document that is not there is as bad as one that cannot be read. */
static int check_read(struct check *check, const struct gwc_origin *origin, int read,
                      const struct gw_problems *problems)
{
    struct gw_reason words = {"no answer in time"};

    check_print(check, gwc_origin_label(origin), problems);
    if (read != GWC_ORIGIN_NONE)
        return read;
    (void)gwc_origin_words(origin, &words);
    print_problem(gwc_origin_label(origin), 0, "", words.text);
    check->problems++;
    return GWC_ORIGIN_BAD;
}

static int check_gateway(struct check *check)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    int opened = check_origin(check, &check->origins.gateway, &check->gateway);

    if (opened != 0)
        return opened;
    int read = gwc_origin_read_spec(check->gateway.origin, &check->spec, &problems);
    return check_read(check, check->gateway.origin, read, &problems);
}

static int check_sources(struct check *check)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gwc_origin_name *name = &check->origins.event_sources;

    if (!check->origins.event_sources_given && !gwc_origin_of_spec(name, check->spec)) {
        print_problem(gwc_origin_label(check->gateway.origin), 0, "spec.eventSource",
                      "missing: the ConfigMap of the event sources, because --event-sources names none");
        check->problems++;
        return GWC_ORIGIN_BAD;
    }
    int opened = check_origin(check, name, &check->event_sources);
    if (opened != 0)
        return opened;
    int read = gwc_origin_read_sources(check->event_sources.origin, check->spec, &check->sources, &problems);
    return check_read(check, check->event_sources.origin, read, &problems);
}

/* Verdict GWC_ORIGIN_BAD: problems were printed, and no more can be checked. */
static int check_documents(struct check *check)
{
    GW_TRY(gw_loop_open(&check->loop));
    GW_TRY(gw_timer_open(&check->timer, check->loop, on_late, check));
    int read = check_gateway(check);
    return read != 0 ? read : check_sources(check);
}

static void check_close(struct check *check)
{
    if (check->servers != NULL)
        for (size_t i = 0; i < check->spec->servers_count; i++)
            gwc_server_unref(check->servers[i]);
    free(check->servers);
    gw_rpc_client_close(check->rpc);
    gwc_origin_close(check->gateway.origin);
    gwc_origin_close(check->event_sources.origin);
    gw_kube_close(check->kube);
    gw_timer_close(check->timer);
    gw_loop_close(check->loop);
    gwc_sources_free(check->sources);
    gwc_spec_free(check->spec);
}

static int check_run(struct check *check)
{
    int fault = check_documents(check);

    if (fault == 0 && !check->offline)
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
    struct gwc_origin_flags origins = {0};
    struct gw_reason reason = {""};
    int words = 0;
    const struct gw_flag flags[] = {
        GWC_ORIGIN_FLAGS(origins),
        {"offline", GW_FLAG_BOOL, &check.offline, NULL, "do not ask the gateway-servers", NULL},
        {"print-settings", GW_FLAG_BOOL, &check.print_settings, NULL,
         "print the fields of the Gateway spec as Markdown and end", NULL},
        {"timeout", GW_FLAG_DURATION, &check.timeout_ms, "DURATION",
         "for each answer of a gateway-server, or of the API server (default 5s)", NULL},
        {0},
    };

    int ended =
        gwc_command_line(flags, argc, argv,
                         "Usage: gateway-client check --gateway ORIGIN [--event-sources ORIGIN]", &words);
    if (ended > 0)
        return ended - 1;
    if (check.print_settings)
        return check_print_settings();
    if (words > 0)
        gw_reason_set(&reason, "unexpected word on the command line");
    if (words > 0 || gwc_origin_flags_read(&origins, &check.origins, &reason) < 0) {
        fprintf(stderr, "gateway-client check: %s (see --help)\n", reason.text);
        return GW_EXIT_USAGE;
    }
    return check_run(&check);
}
