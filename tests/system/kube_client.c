/* For test_kube_client.py: sends the API server what comes on standard input, a request a line ("NUMBER VERB TIMEOUT_MS PATH
 * [BODY]"; VERB "watch" streams), and prints each answer as a line of JSON. Ends with its input. */
#include "common/flags.h"
#include "common/json.h"
#include "common/kube.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct client {
    struct gw_loop *loop;
    struct gw_kube *kube;
    struct gw_bytes input;
    struct gw_arena arena; /* of what was asked: some is never answered */
};

struct asked {
    long number;
    char *body;
    size_t streamed;
};

static void on_done(void *user, const struct gw_kube_answer *answer)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};
    struct asked *asked = user;

    gw_bytes_printf(&line, "{\"number\":%ld,\"status\":%d,\"retry\":%lld,\"streamed\":%zu,\"reason\":",
                    asked->number, answer->status, (long long)answer->retry_after_ms, asked->streamed);
    gw_json_quote(&line, gw_view_text(answer->reason));
    gw_bytes_append_text(&line, ",\"message\":");
    gw_json_quote(&line, gw_view_text(answer->message));
    gw_bytes_append_text(&line, ",\"body\":");
    gw_json_quote(&line, answer->body);
    printf("%s}\n", gw_bytes_text(&line));
    fflush(stdout);
}

static void on_chunk(void *user, struct gw_view bytes)
{
    struct asked *asked = user;

    asked->streamed += bytes.size;
    printf("{\"number\":%ld,\"chunk\":%zu}\n", asked->number, asked->streamed);
    fflush(stdout);
}

static int verb_of(const char *name)
{
    static const char *const names[] = {
        [GW_KUBE_GET] = "get",           [GW_KUBE_CREATE] = "create", [GW_KUBE_UPDATE] = "update",
        [GW_KUBE_MERGE_PATCH] = "patch", [GW_KUBE_APPLY] = "apply",   [GW_KUBE_DELETE] = "delete"};

    for (size_t i = 0; i < GW_COUNT_OF(names); i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return GW_KUBE_GET;
}

static void ask(struct client *client, char *line)
{
    struct asked *asked = gw_arena_alloc(&client->arena, sizeof(*asked));
    struct gw_kube_request request = {0};
    char verb[16] = "", *path;
    long long timeout_ms = 0;
    int path_at = 0;

    assert(asked != NULL);
    if (sscanf(line, "%ld %15s %lld %n", &asked->number, verb, &timeout_ms, &path_at) < 3)
        abort();
    path = strsep(&(char *){line + path_at}, " ");
    asked->body = gw_arena_copy(&client->arena, gw_view_text(path + strlen(path) + 1));
    request.verb = (enum gw_kube_verb)verb_of(verb);
    request.path = path;
    request.body = gw_view_text(asked->body);
    request.timeout_ms = timeout_ms;
    request.chunk = strcmp(verb, "watch") == 0 ? on_chunk : NULL;
    if (gw_kube_send(client->kube, &request, on_done, asked, NULL) != 0)
        abort();
}

static void on_input(void *user, int events)
{
    struct client *client = user;
    char *room = gw_bytes_reserve(&client->input, 65536), *end;
    ssize_t size = read(STDIN_FILENO, room, 65536);

    (void)events;
    if (size <= 0) {
        gw_loop_stop(client->loop);
        return;
    }
    client->input.size += (size_t)size;
    while ((end = memchr(client->input.data, '\n', client->input.size)) != NULL) {
        size_t used = (size_t)(end - client->input.data) + 1;

        *end = '\0';
        ask(client, client->input.data);
        client->input.size -= used;
        memmove(client->input.data, client->input.data + used, client->input.size);
    }
}

static int client_run(struct client *client, const struct gw_kube_options *options, struct gw_reason *reason)
{
    struct gw_poll *input;

    GW_TRY(gw_loop_open(&client->loop));
    GW_TRY(gw_kube_open(&client->kube, client->loop, options, reason));
    GW_TRY(gw_poll_open(&input, client->loop, STDIN_FILENO, on_input, client));
    gw_poll_set(input, GW_READABLE);
    gw_loop_run(client->loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct client client = {0};
    struct gw_kube_options options = {.component = "kube-client"};
    const struct gw_flag flags[] = {
        {"kubeconfig", GW_FLAG_TEXT, &options.kubeconfig, "FILE", "", NULL},
        {"context", GW_FLAG_TEXT, &options.context, "NAME", "", NULL},
        {0},
    };
    struct gw_reason reason = {""};
    int words, fault;

    if (gw_flags_read(flags, argc, argv, &words, &reason) != 0 || words != 0) {
        fprintf(stderr, "kube-client: %s\n", reason.text);
        return GW_EXIT_USAGE;
    }
    fault = client_run(&client, &options, &reason);
    if (fault < 0)
        fprintf(stderr, "kube-client: %s\n", reason.text[0] != '\0' ? reason.text : gw_fault_trace());
    gw_kube_close(client.kube);
    gw_loop_close(client.loop);
    gw_bytes_done(&client.input);
    gw_arena_done(&client.arena);
    return fault < 0 ? GW_EXIT_FAULT : GW_EXIT_OK;
}
