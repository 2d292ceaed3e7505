/* Putting event sources in force: streams follow them. */
#include "gateway-client/client.h"

#include "common/clock.h"
#include "common/log.h"
#include "gateway-client/report/report.h"

#include <stdlib.h>
#include <string.h>

enum {
    NUDGE_GATHER_MS = 50,
    RING_MAX = 100, /* of sources whose edits wait for each other, to be found out */
};

static struct gwc_server *server_find(struct gwc_client *client, const char *type)
{
    for (size_t i = 0; i < client->servers_count; i++)
        if (strcmp(gwc_server_spec(client->servers[i])->type, type) == 0)
            return client->servers[i];
    return NULL;
}

/* Where a stream of this key is, or would be: the array is sorted by key. */
static size_t stream_place(struct gwc_client *client, const char *key, bool *ret_there)
{
    size_t low = 0, high = client->streams_count;

    *ret_there = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(gwc_stream_key(client->streams[middle]), key);
        if (order == 0) {
            *ret_there = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct gwc_stream *gwc_client_stream(struct gwc_client *client, const char *key)
{
    bool there;
    size_t place = stream_place(client, key, &there);

    return there ? client->streams[place] : NULL;
}

static bool streams_room(struct gwc_client *client)
{
    if (client->streams_count < client->streams_capacity)
        return true;
    size_t capacity = GW_MAX(client->streams_capacity * 2, (size_t)16);
    struct gwc_stream **grown = realloc(client->streams, capacity * sizeof(*grown));
    if (grown == NULL)
        return false;
    client->streams = grown;
    client->streams_capacity = capacity;
    return true;
}

static int stream_add(struct gwc_client *client, const struct gwc_source *source, struct gwc_server *server)
{
    struct gwc_stream *stream = NULL;
    bool there;
    size_t place = stream_place(client, source->key, &there);

    if (!streams_room(client))
        return GW_RAISE(-ENOMEM);
    GW_TRY(gwc_stream_open(&stream, &client->context, server, source));
    memmove(client->streams + place + 1, client->streams + place,
            (client->streams_count - place) * sizeof(*client->streams));
    client->streams[place] = stream;
    client->streams_count++;
    return 0;
}

void gwc_client_stream_gone(struct gwc_client *client, struct gwc_stream *stream)
{
    bool there;
    size_t place = stream_place(client, gwc_stream_key(stream), &there);

    assert(there && client->streams[place] == stream);
    memmove(client->streams + place, client->streams + place + 1,
            (client->streams_count - place - 1) * sizeof(*client->streams));
    client->streams_count--;
    if (!client->stopping)
        gwc_report_tell(client->report, GWC_EVENT_SOURCE_REMOVED, gwc_stream_key(stream), "");
    gwc_client_stream_moved(client, stream);
    gwc_stream_free(stream);
}

/* Thousands move together when a server comes or goes: they are looked at together, too. */
void gwc_client_stream_moved(struct gwc_client *client, const struct gwc_stream *stream)
{
    gwc_server_set_moved(gwc_stream_server(stream), true);
    if (!client->nudging && !client->stopping)
        gw_timer_start(client->nudge_timer, NUDGE_GATHER_MS);
    client->nudging = true;
}

/* The stream that is in the way of this one's edit; NULL: none, or it is not known. Keys are "type.name", or just the name. */
static struct gwc_stream *stream_holder(struct gwc_client *client, const struct gwc_stream *stream)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes key = {0};
    const char *name = gwc_stream_held_by(stream);
    struct gwc_server *server = gwc_stream_server(stream);

    if (name == NULL)
        return NULL;
    gw_bytes_printf(&key, "%s.%s", gwc_server_spec(server)->type, name);
    struct gwc_stream *holder = key.failed ? NULL : gwc_client_stream(client, gw_bytes_text(&key));
    if (holder == NULL)
        holder = gwc_client_stream(client, name);
    return holder != NULL && gwc_stream_server(holder) == server ? holder : NULL;
}

/* Sources that swap endpoints in one edit: each waits for the next one to let go, and the last one for the first. */
static bool stream_in_ring(struct gwc_client *client, const struct gwc_stream *stream)
{
    const struct gwc_stream *at = stream;

    for (int i = 0; i < RING_MAX && at != NULL; i++) {
        at = stream_holder(client, at);
        if (at == stream)
            return true;
    }
    return false;
}

void gwc_client_nudge_neighbours(struct gwc_client *client)
{
    client->nudging = false;
    for (size_t i = 0; i < client->streams_count; i++)
        if (stream_in_ring(client, client->streams[i]))
            gwc_stream_yield(client->streams[i]); /* and the ring is none any more */
    for (size_t i = 0; i < client->streams_count; i++)
        if (gwc_server_moved(gwc_stream_server(client->streams[i])))
            gwc_stream_nudge(client->streams[i]);
    for (size_t i = 0; i < client->streams_count; i++)
        gwc_server_set_moved(gwc_stream_server(client->streams[i]), false);
}

void gwc_client_close_streams(struct gwc_client *client)
{
    for (size_t i = 0; i < client->streams_count; i++)
        gwc_stream_free(client->streams[i]);
    free(client->streams);
    client->streams = NULL;
    client->streams_count = 0;
    for (size_t i = 0; i < client->servers_count; i++)
        gwc_server_unref(client->servers[i]);
    free(client->servers);
    client->servers = NULL;
    client->servers_count = 0;
    client->sources = gwc_sources_free(client->sources);
}

/* New, changed, or back before its end was through. */
static void source_want(struct gwc_client *client, const struct gwc_source *source)
{
    struct gwc_stream *stream = gwc_client_stream(client, source->key);
    struct gwc_server *server = server_find(client, source->type);
    int fault =
        stream == NULL ? stream_add(client, source, server) : gwc_stream_update(stream, server, source);

    if (fault == 0)
        return;
    client->sources_left = true;
    gw_log(GW_LOG_ERROR, "event source cannot be taken up", "source", source->key, "reason", gw_fault_trace(),
           NULL);
}

/* Those that run stay as they are. */
void gwc_client_retry_sources(struct gwc_client *client)
{
    if (!client->sources_left || client->sources == NULL || client->stopping)
        return;
    client->sources_left = false;
    for (size_t i = 0; i < client->sources->count; i++)
        if (server_find(client, client->sources->items[i].type) != NULL)
            source_want(client, &client->sources->items[i]);
}

/* An entry that cannot be read keeps its last good version running; one that never was good has no stream. */
static void sources_bad(struct gwc_client *client, const struct gwc_sources *sources)
{
    for (size_t i = 0; i < sources->bad_count; i++) {
        const struct gwc_bad_source *bad = &sources->bad[i];
        struct gwc_stream *stream = gwc_client_stream(client, bad->key);
        struct gw_reason words;

        if (bad->line > 0)
            gw_reason_set(&words, "line %d: %s", bad->line, bad->message);
        else
            gw_reason_set(&words, "%s", bad->message);
        if (stream != NULL && !bad->again)
            gwc_stream_refuse(stream, words.text);
        else
            gwc_report_tell(client->report, GWC_EVENT_SOURCE_INVALID, bad->key, words.text);
    }
}

/* Its entry is bad: the last good one goes on. One that runs by another key now would fight with that. */
static bool source_stays(const struct gwc_sources *sources, const char *key)
{
    for (size_t i = 0; i < sources->bad_count; i++)
        if (strcmp(sources->bad[i].key, key) == 0)
            return !sources->bad[i].again;
    return false;
}

static void plan_carry_out(struct gwc_client *client, const struct gwc_plan *plan,
                           const struct gwc_sources *sources)
{
    for (size_t i = 0; i < plan->stop_count; i++) {
        struct gwc_stream *stream = gwc_client_stream(client, plan->stop[i]->key);
        bool changed = gwc_sources_find(sources, plan->stop[i]->key) != NULL;
        if (stream != NULL && !changed && !source_stays(sources, plan->stop[i]->key))
            gwc_stream_stop(stream, true);
    }
    for (size_t i = 0; i < plan->start_count; i++)
        source_want(client, plan->start[i]);
}

/* Streams that neither the old set nor the new one knows: their entry was bad, and is gone now. And streams whose server
 * has changed. */
static void streams_mind(struct gwc_client *client, const struct gwc_sources *sources)
{
    for (size_t i = client->streams_count; i-- > 0;) {
        struct gwc_stream *stream = client->streams[i];
        const struct gwc_source *source = gwc_sources_find(sources, gwc_stream_key(stream));
        if (source == NULL && !source_stays(sources, gwc_stream_key(stream)) && !gwc_stream_stopping(stream))
            gwc_stream_stop(stream, true); /* may take itself out of the array, behind i */
        else if (source != NULL && gwc_stream_server(stream) != server_find(client, source->type))
            source_want(client, source);
    }
}

static int sources_apply(struct gwc_client *client, struct gwc_sources *sources)
{
    struct gwc_plan plan = {0};

    GW_TRY(gwc_plan_make(&plan, client->sources, sources));
    plan_carry_out(client, &plan, sources);
    streams_mind(client, sources);
    sources_bad(client, sources);
    gw_log(GW_LOG_INFO, "event sources in force", "sources", GW_NUMBER(sources->count), "changed",
           GW_NUMBER(plan.start_count), "kept", GW_NUMBER(plan.kept), "bad", GW_NUMBER(sources->bad_count),
           NULL);
    gwc_report_tell(client->report, GWC_EVENT_CONFIGURATION_IN_FORCE,
                    gwc_origin_label(client->sources_origin), "");
    gwc_plan_done(&plan);
    gwc_sources_free(client->sources);
    client->sources = sources;
    client->loaded_ms = gw_clock_realtime_ms();
    gw_series_set(client->loaded_series, (double)client->loaded_ms / 1000);
    return 0;
}

void gwc_client_withdraw_sources(struct gwc_client *client)
{
    for (size_t i = client->streams_count; i-- > 0;)
        if (!gwc_stream_stopping(client->streams[i]))
            gwc_stream_stop(client->streams[i], true); /* may take itself out of the array, behind i */
    gw_problems_done(&client->sources_problems);
    client->sources = gwc_sources_free(client->sources);
}

/* Not there yet: what another origin said before stays in force. Gone: nothing does. */
static void sources_missing(struct gwc_client *client)
{
    if (gwc_origin_state(client->sources_origin) != GWC_ORIGIN_GONE || client->sources == NULL)
        return;
    gw_log(GW_LOG_WARN, "no event sources are in force any more", "file",
           gwc_origin_label(client->sources_origin), NULL);
    gwc_report_tell(client->report, GWC_EVENT_CONFIGURATION_GONE, gwc_origin_label(client->sources_origin),
                    "");
    gwc_client_withdraw_sources(client);
}

void gwc_client_load_sources(struct gwc_client *client)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gwc_sources *sources = NULL;

    if (client->version == NULL || client->sources_origin == NULL)
        return;
    int read = gwc_origin_read_sources(client->sources_origin, client->version->spec, &sources, &problems);
    if (read == GWC_ORIGIN_NONE) {
        sources_missing(client);
        return;
    }
    gwc_client_log_problems(gwc_origin_label(client->sources_origin), &problems);
    gw_series_add(gw_problems_any(&problems) ? client->reloads_bad : client->reloads_good, 1);
    gw_problems_done(&client->sources_problems);
    client->sources_problems = problems;
    problems = (struct gw_problems){0};
    if (read == GWC_ORIGIN_BAD)
        gwc_report_tell_problems(client->report, gwc_origin_label(client->sources_origin),
                                 &client->sources_problems);
    if (read == 0)
        read = sources_apply(client, sources);
    if (read < 0) {
        gw_log(GW_LOG_ERROR, "event sources cannot be put in force", "reason", gw_fault_trace(), NULL);
        if (sources != client->sources)
            gwc_sources_free(sources);
    }
}
