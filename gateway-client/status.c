/* The status: what /api/v1/status says, one JSON object. */
#include "gateway-client/client.h"

#include "common/clock.h"
#include "common/json.h"

/* RFC 3339, or null when it never was. */
static void member_time(struct gw_bytes *out, const char *name, int64_t ms)
{
    char text[GW_TIME_MAX];

    gw_json_member(out, name);
    if (ms == 0)
        gw_bytes_append_text(out, "null");
    else
        gw_json_quote(out, gw_view_text(gw_time_format(text, ms * GW_NS_PER_MS, 3)));
}

static void element(struct gw_bytes *out)
{
    gw_json_element(out);
    gw_bytes_append_char(out, '{');
}

static void write_problems(struct gw_bytes *out, const char *file, const struct gw_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        element(out);
        gw_json_member_text(out, "file", problems->items[i].file != NULL ? problems->items[i].file : file);
        gw_json_member_number(out, "line", (uint64_t)GW_MAX(problems->items[i].line, 0));
        gw_json_member_text(out, "path", problems->items[i].path);
        gw_json_member_text(out, "message", problems->items[i].message);
        gw_bytes_append_char(out, '}');
    }
}

static void write_gateway(struct gwc_client *client, struct gw_bytes *out)
{
    struct gw_reason reason = {""};
    bool ready = gwc_client_ready(client, &reason);

    gw_json_member(out, "gateway");
    gw_bytes_append_char(out, '{');
    gw_json_member_text(out, "name", client->name);
    gw_json_member_text(out, "namespace", client->namespace_);
    gw_json_member_text(out, "version", GW_VERSION);
    member_time(out, "startedAt", client->started_ms);
    gw_json_member_truth(out, "ready", ready);
    gw_json_member_text(out, "reason", reason.text);
    gw_bytes_append_char(out, '}');
}

static void write_configuration(struct gwc_client *client, struct gw_bytes *out)
{
    gw_json_member(out, "configuration");
    gw_bytes_append_char(out, '{');
    gw_json_member_text(out, "gateway", gwc_origin_label(client->gateway_origin));
    gw_json_member_text(out, "eventSources", gwc_origin_label(client->sources_origin));
    member_time(out, "loadedAt", client->loaded_ms);
    gw_json_member(out, "problems");
    gw_bytes_append_char(out, '[');
    write_problems(out, gwc_origin_label(client->gateway_origin), &client->gateway_problems);
    write_problems(out, gwc_origin_label(client->sources_origin), &client->sources_problems);
    gw_bytes_append_text(out, "]}");
}

static void write_origin(struct gw_bytes *out, const char *role, const struct gwc_origin *origin)
{
    struct gw_reason words = {""};

    if (origin == NULL)
        return;
    (void)gwc_origin_words(origin, &words);
    element(out);
    gw_json_member_text(out, "role", role);
    gw_json_member_text(out, "origin", gwc_origin_label(origin));
    gw_json_member_text(out, "state", gwc_origin_state_names[gwc_origin_state(origin)]);
    gw_json_member_text(out, "message", words.text);
    gw_bytes_append_char(out, '}');
}

static void write_origins(struct gwc_client *client, struct gw_bytes *out)
{
    gw_json_member(out, "origins");
    gw_bytes_append_char(out, '[');
    write_origin(out, "gateway", client->gateway_origin);
    write_origin(out, "eventSources", client->sources_origin);
    gw_bytes_append_char(out, ']');
}

static void write_leader(struct gwc_client *client, struct gw_bytes *out)
{
    struct gwc_leader_status status;

    gw_json_member(out, "leaderElection");
    if (client->leader == NULL) {
        gw_bytes_append_text(out, "null");
        return;
    }
    gwc_leader_status(client->leader, &status);
    gw_bytes_append_char(out, '{');
    gw_json_member_text(out, "state", status.leading ? "leader" : "standby");
    gw_json_member_text(out, "identity", status.identity);
    gw_json_member_text(out, "holder", status.holder);
    gw_json_member_number(out, "transitions", (uint64_t)status.transitions);
    gw_json_member_number(out, "epoch", client->epoch);
    gw_json_member_text(out, "message", status.words);
    gw_bytes_append_char(out, '}');
}

/* Nothing of it before the work began. */
static void write_outbox(struct gwc_client *client, struct gw_bytes *out)
{
    bool open = client->outbox != NULL;

    gw_json_member(out, "outbox");
    gw_bytes_append_char(out, '{');
    gw_json_member_number(out, "bytes", open ? gwc_outbox_size(client->outbox) : 0);
    gw_json_member_number(out, "sizeMax", client->outbox_spec.size_max);
    gw_json_member_number(out, "lastSequence", open ? gwc_outbox_last_sequence(client->outbox) : 0);
    gw_json_member_truth(out, "full", client->outbox_full);
    gw_json_member_text(out, "reason", client->outbox_reason);
    gw_bytes_append_char(out, '}');
}

static void write_source(const struct gwc_stream *stream, struct gw_bytes *out)
{
    struct gwc_stream_status status;

    gwc_stream_status(stream, &status);
    element(out);
    gw_json_member_text(out, "key", status.key);
    gw_json_member_text(out, "type", status.type);
    gw_json_member_text(out, "name", status.name);
    gw_json_member_text(out, "id", status.id);
    gw_json_member_text(out, "state", gwc_stream_state_names[status.state]);
    gw_json_member_text(out, "message", status.message);
    gw_json_member_text(out, "notice", status.notice);
    gw_json_member_text(out, "refusedEdit", status.refused);
    gw_json_member_text(out, "contract", status.contract);
    member_time(out, "since", status.since_ms);
    member_time(out, "nextAttempt", status.state == GWC_STREAM_RUNNING ? 0 : status.next_attempt_ms);
    gw_json_member_number(out, "restarts", status.restarts);
    gw_json_member_number(out, "events", status.events);
    member_time(out, "lastEvent", status.last_event_ms);
    gw_bytes_append_char(out, '}');
}

static void write_watcher(struct gwc_client *client, const struct gwc_watcher *watcher, struct gw_bytes *out)
{
    struct gwc_delivery_stats stats = {0};

    if (watcher->delivery != NULL)
        gwc_delivery_stats(watcher->delivery, &stats);
    const char *state = watcher->delivery == NULL ? "invalid" : stats.failing ? "failing" : "ok";
    element(out);
    gw_json_member_text(out, "name", watcher->spec->name);
    gw_json_member_text(out, "url", watcher->spec->url);
    gw_json_member_text(out, "mode", watcher->spec->mode_name);
    gw_json_member_text(out, "state", state);
    gw_json_member_text(out, "message",
                        watcher->delivery == NULL ? watcher->reason
                        : stats.failing           ? stats.last_failure
                                                  : "");
    gw_json_member_number(out, "delivered", stats.delivered);
    gw_json_member_number(out, "attempts", stats.attempts);
    gw_json_member_number(out, "failures", stats.failures);
    gw_json_member_number(out, "pending", stats.pending);
    gw_json_member_number(out, "inFlight", stats.in_flight);
    gw_json_member_number(out, "waiting", stats.waiting);
    gw_json_member_number(out, "deadLetters", gwc_outbox_dead_count(client->outbox, watcher->spec->name));
    gw_json_member_number(out, "dropped", stats.dropped);
    member_time(out, "lastSuccess", stats.last_success_ms);
    member_time(out, "oldestPending", stats.oldest_pending_ms);
    gw_bytes_append_char(out, '}');
}

void gwc_status_write(struct gwc_client *client, struct gw_bytes *out)
{
    gw_bytes_append_char(out, '{');
    write_gateway(client, out);
    write_configuration(client, out);
    write_origins(client, out);
    write_leader(client, out);
    write_outbox(client, out);
    gw_json_member(out, "sources");
    gw_bytes_append_char(out, '[');
    for (size_t i = 0; i < client->streams_count; i++)
        write_source(client->streams[i], out);
    gw_bytes_append_char(out, ']');
    gw_json_member(out, "watchers");
    gw_bytes_append_char(out, '[');
    for (size_t i = 0; i < client->watchers_count; i++)
        write_watcher(client, &client->watchers[i], out);
    gw_bytes_append_text(out, "]}");
}
