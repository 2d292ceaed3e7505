/* gateway-client status: asks a running gateway-client, and shows its answer as tables. */
#include "gateway-client/commands/command_line.h"
#include "gateway-client/commands/commands.h"

#include "common/http.h"
#include "common/json.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

struct status {
    const char *admin;
    bool json;
    struct gw_loop *loop;
    int exit_code;
};

static const char *text_of(const struct gw_node *map, const char *name)
{
    const struct gw_node *node = gw_node_get(map, name);

    if (node != NULL && node->kind == GW_NODE_BOOL)
        return node->truth ? "yes" : "no";
    return gw_node_text(node, "-");
}

static void print_details(const struct gw_node *item, const char *const *names)
{
    for (; *names != NULL; names++) {
        const char *text = text_of(item, *names);
        if (text[0] != '\0' && strcmp(text, "-") != 0)
            printf("    %s: %s\n", *names, text);
    }
}

static void print_sources(const struct gw_node *sources)
{
    static const char *const details[] = {"message", "notice", "refusedEdit", NULL};

    printf("\n%-32s %-11s %-10s %9s %9s  %s\n", "EVENT SOURCE", "STATE", "TYPE", "EVENTS", "RESTARTS",
           "LAST EVENT");
    for (const struct gw_node *item = sources == NULL ? NULL : sources->first; item != NULL;
         item = item->next) {
        printf("%-32s %-11s %-10s %9s %9s  %s\n", text_of(item, "key"), text_of(item, "state"),
               text_of(item, "type"), text_of(item, "events"), text_of(item, "restarts"),
               text_of(item, "lastEvent"));
        print_details(item, details);
    }
}

static void print_watchers(const struct gw_node *watchers)
{
    static const char *const details[] = {"message", NULL};

    printf("\n%-20s %-8s %9s %9s %9s %9s  %s\n", "WATCHER", "STATE", "DELIVERED", "PENDING", "FAILURES",
           "DEAD", "URL");
    for (const struct gw_node *item = watchers == NULL ? NULL : watchers->first; item != NULL;
         item = item->next) {
        printf("%-20s %-8s %9s %9s %9s %9s  %s\n", text_of(item, "name"), text_of(item, "state"),
               text_of(item, "delivered"), text_of(item, "pending"), text_of(item, "failures"),
               text_of(item, "deadLetters"), text_of(item, "url"));
        print_details(item, details);
    }
}

static void print_problems(const struct gw_node *problems)
{
    for (const struct gw_node *item = problems == NULL ? NULL : problems->first; item != NULL;
         item = item->next)
        printf("problem: %s:%s: %s: %s\n", text_of(item, "file"), text_of(item, "line"),
               text_of(item, "path"), text_of(item, "message"));
}

static void print_origins(const struct gw_node *origins)
{
    static const char *const details[] = {"message", NULL};

    for (const struct gw_node *item = origins == NULL ? NULL : origins->first; item != NULL;
         item = item->next) {
        printf("%s: %s, %s\n", text_of(item, "role"), text_of(item, "origin"), text_of(item, "state"));
        print_details(item, details);
    }
}

static void print_leader(const struct gw_node *leader)
{
    if (leader == NULL || leader->kind != GW_NODE_MAP)
        return;
    printf("leader election: %s, transitions %s, as %s\n", text_of(leader, "message"),
           text_of(leader, "transitions"), text_of(leader, "identity"));
}

static void print_status(const struct gw_node *root)
{
    const struct gw_node *gateway = gw_node_get(root, "gateway");
    const struct gw_node *outbox = gw_node_get(root, "outbox");

    printf("gateway %s/%s, version %s, since %s, ready: %s %s\n", text_of(gateway, "namespace"),
           text_of(gateway, "name"), text_of(gateway, "version"), text_of(gateway, "startedAt"),
           text_of(gateway, "ready"), text_of(gateway, "reason"));
    printf("outbox: %s of %s bytes, event %s, full: %s %s\n", text_of(outbox, "bytes"),
           text_of(outbox, "sizeMax"), text_of(outbox, "lastSequence"), text_of(outbox, "full"),
           text_of(outbox, "reason"));
    print_leader(gw_node_get(root, "leaderElection"));
    print_origins(gw_node_get(root, "origins"));
    print_problems(gw_node_at(root, "configuration.problems"));
    print_sources(gw_node_get(root, "sources"));
    print_watchers(gw_node_get(root, "watchers"));
}

static void on_answer(void *user, const struct gw_http_answer *answer)
{
    struct status *status = user;
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *root = NULL;

    status->exit_code = GW_EXIT_FAULT;
    if (answer->status != 200) {
        fprintf(stderr, "gateway-client status: %s %s\n",
                answer->status == 0 ? answer->fault : "the answer was not 200 but",
                answer->status == 0 ? "" : gw_number_text((char[24]){0}, answer->status));
    } else if (status->json) {
        printf("%.*s\n", (int)answer->body.size, answer->body.data);
        status->exit_code = GW_EXIT_OK;
    } else if (gw_json_read(&arena, answer->body, &root, &problems) == 0) {
        print_status(root);
        status->exit_code = GW_EXIT_OK;
    } else {
        fprintf(stderr, "gateway-client status: %s does not answer as a gateway-client does\n",
                status->admin);
    }
    gw_loop_stop(status->loop);
}

static int status_ask(struct status *status)
{
    GW_AUTO(gw_loop_closep) struct gw_loop *loop = NULL;
    GW_AUTO(gw_http_closep) struct gw_http *http = NULL;
    GW_AUTO(gw_http_target_closep) struct gw_http_target *target = NULL;
    struct gw_reason reason = {""};
    char url[512];
    const struct gw_http_request request = {.method = GW_HTTP_GET};
    const struct gw_http_options options = {.url = url, .timeout_ms = 5000};

    snprintf(url, sizeof(url), "http://%s/api/v1/status", status->admin);
    GW_TRY(gw_loop_open(&loop));
    GW_TRY(gw_http_open(&http, loop, 1));
    status->loop = loop;
    int fault = gw_http_target_open(&target, http, &options, &reason);
    if (fault < 0) {
        fprintf(stderr, "gateway-client status: --admin %s: %s\n", status->admin, reason.text);
        return fault;
    }
    GW_TRY(gw_http_send(target, &request, on_answer, status, NULL));
    gw_loop_run(loop);
    return 0;
}

int gwc_cmd_status(int argc, char **argv)
{
    struct status status = {.admin = "127.0.0.1:9301", .exit_code = GW_EXIT_FAULT};
    int words = 0;
    const struct gw_flag flags[] = {
        {"admin", GW_FLAG_TEXT, &status.admin, "ADDRESS",
         "admin address of the gateway-client (default 127.0.0.1:9301)", "GATEWAY_ADMIN"},
        {"json", GW_FLAG_BOOL, &status.json, NULL, "the answer as it comes", NULL},
        {0},
    };

    int ended = gwc_command_line(flags, argc, argv, "Usage: gateway-client status [--admin ADDRESS] [--json]",
                                 &words);
    if (ended > 0)
        return ended - 1;
    if (words > 0) {
        fprintf(stderr, "gateway-client status: unexpected word on the command line (see --help)\n");
        return GW_EXIT_USAGE;
    }
    return status_ask(&status) < 0 ? GW_EXIT_FAULT : status.exit_code;
}
