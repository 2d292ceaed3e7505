/* Putting a configuration in force: servers, watchers and streams follow the files. */
#include "gateway-client/client.h"

#include "common/clock.h"
#include "common/log.h"
#include "gateway-client/file.h"

#include <stdlib.h>
#include <string.h>

enum { NUDGE_GATHER_MS = 50 };

static void log_problems(const char *file, const struct gw_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct gw_problem *problem = &problems->items[i];
        gw_log(GW_LOG_ERROR, problem->message, "file", problem->file != NULL ? problem->file : file, "line",
               problem->line > 0 ? GW_NUMBER(problem->line) : NULL, "path",
               problem->path[0] != '\0' ? problem->path : NULL, NULL);
    }
}

/* ---- the Gateway spec ---- */

static struct gwc_spec_version *version_unref(struct gwc_spec_version *version)
{
    if (version == NULL || --version->users > 0)
        return NULL;
    gwc_spec_free(version->spec);
    free(version);
    return NULL;
}

/* The servers of the new spec: those that did not change stay as they are, with their connections. */
static int servers_apply(struct gwc_client *client, const struct gwc_spec *spec)
{
    struct gwc_server **servers = calloc(spec->servers_count + 1, sizeof(*servers));
    int fault = servers == NULL ? GW_RAISE(-ENOMEM) : 0;

    for (size_t i = 0; fault == 0 && i < spec->servers_count; i++) {
        for (size_t j = 0; j < client->servers_count && servers[i] == NULL; j++)
            if (gwc_server_spec_equal(gwc_server_spec(client->servers[j]), &spec->servers[i]))
                servers[i] = gwc_server_ref(client->servers[j]);
        if (servers[i] == NULL)
            fault = gwc_server_new(&servers[i], client->rpc, &spec->servers[i]);
    }
    if (fault != 0) {
        for (size_t i = 0; servers != NULL && i < spec->servers_count; i++)
            gwc_server_unref(servers[i]);
        free(servers);
        return fault;
    }
    for (size_t i = 0; i < client->servers_count; i++)
        gwc_server_unref(client->servers[i]);
    free(client->servers);
    client->servers = servers;
    client->servers_count = spec->servers_count;
    return 0;
}

/* ---- watchers ---- */

static void watcher_open(struct gwc_client *client, struct gwc_watcher *watcher)
{
    struct gw_reason reason = {""};

    if (gwc_delivery_open(&watcher->delivery, client->loop, client->outbox, client->http, watcher->spec,
                          client->metrics, &reason) == 0) {
        gw_log(GW_LOG_INFO, "watcher", "watcher", watcher->spec->name, "url", watcher->spec->url, "mode",
               watcher->spec->mode_name, NULL);
        if (watcher->spec->insecure_skip_verify)
            gw_log(GW_LOG_WARN, "the watcher's certificate is NOT verified (insecureSkipVerify)", "watcher",
                   watcher->spec->name, NULL);
        watcher->reason[0] = '\0';
        return;
    }
    watcher->delivery = NULL;
    if (reason.text[0] == '\0')
        gw_reason_set(&reason, "%s", gw_fault_trace());
    if (strcmp(watcher->reason, reason.text) != 0)
        gw_log(GW_LOG_ERROR, "watcher cannot be opened", "watcher", watcher->spec->name, "reason",
               reason.text, NULL);
    memcpy(watcher->reason, reason.text, sizeof(watcher->reason));
}

static void watcher_close(struct gwc_watcher *watcher)
{
    watcher->delivery = gwc_delivery_close(watcher->delivery);
    watcher->version = version_unref(watcher->version);
}

static struct gwc_watcher *watcher_find(struct gwc_watcher *watchers, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (watchers[i].spec != NULL && strcmp(watchers[i].spec->name, name) == 0)
            return &watchers[i];
    return NULL;
}

static int watchers_apply(struct gwc_client *client, struct gwc_spec_version *version)
{
    const struct gwc_spec *spec = version->spec;
    struct gwc_watcher *watchers = calloc(spec->watchers_count + 1, sizeof(*watchers));

    if (watchers == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < spec->watchers_count; i++) {
        struct gwc_watcher *old =
            watcher_find(client->watchers, client->watchers_count, spec->watchers[i].name);
        if (old != NULL && gwc_watcher_spec_equal(old->spec, &spec->watchers[i])) {
            watchers[i] = *old; /* goes on undisturbed, with the words of the old version */
            old->spec = NULL;
            continue;
        }
        if (old != NULL) {
            watcher_close(old);
            old->spec = NULL;
        }
        watchers[i] = (struct gwc_watcher){.spec = &spec->watchers[i], .version = version};
        version->users++;
        watcher_open(client, &watchers[i]);
    }
    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].spec != NULL)
            watcher_close(&client->watchers[i]);
    free(client->watchers);
    client->watchers = watchers;
    client->watchers_count = spec->watchers_count;
    return 0;
}

/* Watchers that the outbox knows and the spec does not: their backlog is no longer wanted. */
static void watchers_forget(struct gwc_client *client)
{
    char **names = NULL;
    size_t count = 0;

    if (gwc_outbox_watchers(client->outbox, &names, &count) < 0)
        return;
    for (size_t i = 0; i < count; i++) {
        if (watcher_find(client->watchers, client->watchers_count, names[i]) == NULL) {
            gw_log(GW_LOG_INFO, "watcher is gone from the spec, its backlog is dropped", "watcher", names[i],
                   NULL);
            gwc_outbox_watcher_remove(client->outbox, names[i]);
        }
        free(names[i]);
    }
    free(names);
}

void gwc_client_retry_watchers(struct gwc_client *client)
{
    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].delivery == NULL)
            watcher_open(client, &client->watchers[i]);
}

void gwc_client_close_watchers(struct gwc_client *client)
{
    for (size_t i = 0; i < client->watchers_count; i++)
        watcher_close(&client->watchers[i]);
    free(client->watchers);
    client->watchers = NULL;
    client->watchers_count = 0;
    client->version = version_unref(client->version);
}

static int gateway_check_name(struct gwc_client *client, const struct gwc_spec *spec)
{
    if (client->name == NULL) {
        client->name = gw_arena_copy(&client->arena, gw_view_text(spec->name));
        client->namespace_ = gw_arena_copy(&client->arena, gw_view_text(spec->namespace_));
        return client->name == NULL || client->namespace_ == NULL ? GW_RAISE(-ENOMEM) : 0;
    }
    if (strcmp(client->name, spec->name) == 0 && strcmp(client->namespace_, spec->namespace_) == 0)
        return 0;
    gw_problems_add(
        &client->gateway_problems, "metadata.name", 0,
        "the name of a running gateway does not change (it is %s/%s): restart it to take the new one",
        client->namespace_, client->name);
    return GWC_SPEC_BAD;
}

static int gateway_read(struct gwc_client *client, struct gwc_spec **ret_spec)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = NULL;

    gw_problems_done(&client->gateway_problems);
    int read = gwc_file_read(client->options->gateway_file, &text, &client->gateway_problems);
    if (read == 0)
        read = gwc_spec_read(gw_bytes_view(&text), &spec, &client->gateway_problems);
    if (read == 0)
        read = gateway_check_name(client, spec);
    if (read != 0)
        return read;
    *ret_spec = GW_TAKE(spec);
    return 0;
}

static void outbox_mind(struct gwc_client *client, const struct gwc_outbox_spec *wanted)
{
    const struct gwc_outbox_spec *open = &client->outbox_spec;

    if (wanted->size_max != open->size_max || wanted->retention_ns != open->retention_ns ||
        wanted->fsync != open->fsync)
        gw_log(GW_LOG_WARN,
               "the outbox keeps the settings that it was opened with: restart the gateway-client to change "
               "them",
               "file", client->options->gateway_file, "path", "spec.outbox", NULL);
}

/* The outbox is opened with the first spec. */
static int gateway_apply(struct gwc_client *client, struct gwc_spec_version *version)
{
    if (client->outbox == NULL)
        GW_TRY(gwc_client_open_outbox(client, version->spec));
    outbox_mind(client, &version->spec->outbox);
    GW_TRY(servers_apply(client, version->spec));
    GW_TRY(watchers_apply(client, version));
    watchers_forget(client);
    version_unref(client->version);
    client->version = version;
    client->loaded_ms = gw_clock_realtime_ms();
    return 0;
}

int gwc_client_load_gateway(struct gwc_client *client)
{
    struct gwc_spec *spec = NULL;
    int read = gateway_read(client, &spec);

    gw_series_add(read == 0 ? client->reloads_good : client->reloads_bad, 1);
    if (read != 0) {
        log_problems(client->options->gateway_file, &client->gateway_problems);
        return read;
    }
    struct gwc_spec_version *version = calloc(1, sizeof(*version));
    if (version == NULL) {
        gwc_spec_free(spec);
        return GW_RAISE(-ENOMEM);
    }
    *version = (struct gwc_spec_version){spec, 1};
    int fault = gateway_apply(client, version);
    if (fault != 0) {
        version_unref(version);
        return fault;
    }
    gw_log(GW_LOG_INFO, "gateway spec in force", "gateway", client->name, "file",
           client->options->gateway_file, "servers", GW_NUMBER(client->servers_count), "watchers",
           GW_NUMBER(client->watchers_count), NULL);
    return 0;
}

/* ---- event sources ---- */

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

static struct gwc_stream *stream_find(struct gwc_client *client, const char *key)
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

void gwc_client_nudge_neighbours(struct gwc_client *client)
{
    client->nudging = false;
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
    struct gwc_stream *stream = stream_find(client, source->key);
    struct gwc_server *server = server_find(client, source->type);
    int fault =
        stream == NULL ? stream_add(client, source, server) : gwc_stream_update(stream, server, source);

    if (fault < 0)
        gw_log(GW_LOG_ERROR, "event source cannot be taken up", "source", source->key, "reason",
               gw_fault_trace(), NULL);
}

/* An entry that cannot be read keeps its last good version running; one that never was good has no stream. */
static void sources_bad(struct gwc_client *client, const struct gwc_sources *sources)
{
    for (size_t i = 0; i < sources->bad_count; i++) {
        const struct gwc_bad_source *bad = &sources->bad[i];
        struct gwc_stream *stream = stream_find(client, bad->key);
        struct gw_reason words;

        if (bad->line > 0)
            gw_reason_set(&words, "line %d: %s", bad->line, bad->message);
        else
            gw_reason_set(&words, "%s", bad->message);
        if (stream != NULL)
            gwc_stream_refuse(stream, words.text);
    }
}

static bool source_is_bad(const struct gwc_sources *sources, const char *key)
{
    for (size_t i = 0; i < sources->bad_count; i++)
        if (strcmp(sources->bad[i].key, key) == 0)
            return true;
    return false;
}

static void plan_carry_out(struct gwc_client *client, const struct gwc_plan *plan,
                           const struct gwc_sources *sources)
{
    for (size_t i = 0; i < plan->stop_count; i++) {
        struct gwc_stream *stream = stream_find(client, plan->stop[i]->key);
        bool changed = gwc_sources_find(sources, plan->stop[i]->key) != NULL;
        if (stream != NULL && !changed && !source_is_bad(sources, plan->stop[i]->key))
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
        if (source == NULL && !source_is_bad(sources, gwc_stream_key(stream)) && !gwc_stream_stopping(stream))
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
    gwc_plan_done(&plan);
    gwc_sources_free(client->sources);
    client->sources = sources;
    client->loaded_ms = gw_clock_realtime_ms();
    gw_series_set(client->loaded_series, (double)client->loaded_ms / 1000);
    return 0;
}

void gwc_client_load_sources(struct gwc_client *client)
{
    struct gwc_sources *sources = NULL;

    gw_problems_done(&client->sources_problems);
    int read = gwc_sources_read(client->options->sources_path, client->version->spec, &sources,
                                &client->sources_problems);
    log_problems(client->options->sources_path, &client->sources_problems);
    gw_series_add(gw_problems_any(&client->sources_problems) ? client->reloads_bad : client->reloads_good, 1);
    if (read == 0)
        read = sources_apply(client, sources);
    if (read < 0) {
        gw_log(GW_LOG_ERROR, "event sources cannot be put in force", "reason", gw_fault_trace(), NULL);
        if (sources != client->sources)
            gwc_sources_free(sources);
    }
}
