/* The client: opening the rooms, running the loop, an orderly end. */
#include "gateway-client/client.h"

#include "common/clock.h"
#include "common/flags.h"
#include "common/kube.h"
#include "common/log.h"
#include "common/secrets.h"
#include "gateway-client/report/report.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 1000,  /* counters are brought up to date */
    RETRY_TICKS = 5, /* watchers and event sources that could not be opened */
    END_LOOK_MS = 20,
    LINKS_END_MS = 10000,
    CONNECTIONS_MAX = 1024,
};

/* ---- the outbox ---- */

static void on_committed(void *user, struct gw_event *const *events, size_t count)
{
    struct gwc_client *client = user;

    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].delivery != NULL)
            gwc_delivery_committed(client->watchers[i].delivery, events, count);
}

static void on_changed(void *user)
{
    struct gwc_client *client = user;

    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].delivery != NULL)
            gwc_delivery_changed(client->watchers[i].delivery);
}

static void on_pressure(void *user, bool full, const char *reason)
{
    struct gwc_client *client = user;

    if (client->outbox_full != full)
        gw_log(full ? GW_LOG_ERROR : GW_LOG_INFO,
               full ? "outbox takes no more events" : "outbox takes events again", "reason",
               full ? reason : NULL, NULL);
    if (client->outbox_full != full)
        gwc_report_tell(client->report, full ? GWC_EVENT_OUTBOX_FULL : GWC_EVENT_OUTBOX_HAS_ROOM, "",
                        full ? reason : "");
    client->outbox_full = full;
    snprintf(client->outbox_reason, sizeof(client->outbox_reason), "%s", full ? reason : "");
}

static void on_fenced(void *user, uint64_t epoch)
{
    gwc_client_fenced(user, epoch);
}

/* Not a failure: who holds it was stopped in the middle of a write, and will go on or be killed; or it knows nothing of leaders
 * and keeps the outbox to itself (-EWOULDBLOCK), until it is replaced. */
static bool outbox_is_held(const struct gwc_client *client, int fault)
{
    return (fault == -EBUSY || fault == -EWOULDBLOCK) && client->outbox == NULL && client->epoch > 0;
}

int gwc_client_open_outbox(struct gwc_client *client, const struct gwc_spec *spec)
{
    struct gw_reason reason = {""};
    GW_AUTO(gw_freep) char *set_aside = NULL;
    struct gwc_outbox_options options = {
        .directory = client->options->state_directory,
        .size_max = spec->outbox.size_max,
        .retention_ms = spec->outbox.retention_ns / GW_NS_PER_MS,
        .no_fsync = !spec->outbox.fsync,
        .epoch = client->epoch,
        .loop = client->loop,
        .metrics = client->metrics,
        .committed = on_committed,
        .changed = on_changed,
        .pressure = on_pressure,
        .fenced = on_fenced,
        .user = client,
    };

    int fault = gwc_outbox_open(&client->outbox, &options, &set_aside, &reason);
    if (outbox_is_held(client, fault)) {
        client->outbox_kept = fault == -EWOULDBLOCK;
        GW_TRY(gwc_client_outbox_held(client, reason.text));
        return fault;
    }
    if (fault != 0) {
        gw_log(GW_LOG_ERROR, "the outbox cannot be opened", "reason",
               reason.text[0] != '\0' ? reason.text : gw_fault_trace(), NULL);
        return fault;
    }
    client->outbox_reason[0] = '\0';
    client->outbox_spec = spec->outbox;
    client->context.outbox = client->outbox;
    if (set_aside != NULL)
        gw_log(GW_LOG_ERROR, "THE OUTBOX WAS DAMAGED: it is kept aside, and a new one was made", "file",
               set_aside, "hint",
               "copy the file, try sqlite3 .recover on the copy; events in it were not delivered", NULL);
    if (!spec->outbox.fsync)
        gw_log(GW_LOG_WARN, "fsync is off: a crash of the machine may lose acknowledged events", NULL);
    return 0;
}

/* ---- streams ---- */

static void on_stream_stopped(void *user, struct gwc_stream *stream)
{
    gwc_client_stream_gone(user, stream);
}

static void on_stream_changed(void *user, struct gwc_stream *stream)
{
    struct gwc_client *client = user;
    struct gwc_stream_status status;

    gwc_stream_status(stream, &status);
    if (status.state == GWC_STREAM_RUNNING || gwc_stream_yields(stream))
        gwc_client_stream_moved(client, stream);
    gwc_report_stream(client->report, stream);
}

static void on_stream_said(void *user, struct gwc_stream *stream, bool refused)
{
    struct gwc_client *client = user;
    struct gwc_stream_status status;

    gwc_stream_status(stream, &status);
    if (gwc_stream_held_by(stream) != NULL)
        gwc_client_stream_moved(client, stream); /* the neighbour may wait for this one in turn */
    if (refused && status.refused[0] != '\0')
        gwc_report_tell(client->report, GWC_EVENT_EDIT_REFUSED, status.key, status.refused);
    else
        gwc_report_touch(client->report);
}

static void on_nudge_time(void *user)
{
    gwc_client_nudge_neighbours(user);
}

/* ---- the configuration ---- */

void gwc_client_gateway_changed(struct gwc_client *client)
{
    if (!client->begun || client->stopping)
        return;
    int loaded = gwc_client_load_gateway(client);
    if (loaded == 0)
        gwc_client_load_sources(client); /* their types may have come or gone */
    else if (loaded == GWC_ORIGIN_NONE && client->version != NULL)
        gwc_client_withdraw_gateway(client);
    else if (loaded == GWC_ORIGIN_BAD)
        gw_log(GW_LOG_ERROR,
               client->version != NULL ? "the gateway spec is refused, the last good one stays in force"
                                       : "the gateway spec is refused, a good one is waited for",
               "file", gwc_origin_label(client->gateway_origin), NULL);
    else if (loaded < 0 && client->outbox == NULL && !outbox_is_held(client, loaded))
        gwc_client_fail(client, GW_EXIT_FAULT);
}

void gwc_client_sources_changed(struct gwc_client *client)
{
    if (client->begun && !client->stopping)
        gwc_client_load_sources(client);
}

static void on_reload(void *user)
{
    gw_log(GW_LOG_INFO, "SIGHUP: reading the configuration again", NULL);
    gwc_client_gateway_changed(user);
}

/* ---- now and then ---- */

static void on_tick(void *user)
{
    struct gwc_client *client = user;
    static const char *const states[] = {"running", "failing", "invalid", "starting"};
    double counts[GW_COUNT_OF(states)] = {0};

    for (size_t i = 0; i < client->streams_count; i++) {
        struct gwc_stream_status status;
        gwc_stream_count(client->streams[i]);
        gwc_stream_status(client->streams[i], &status);
        counts[status.state == GWC_STREAM_RUNNING   ? 0
               : status.state == GWC_STREAM_FAILING ? 1
               : status.state == GWC_STREAM_INVALID ? 2
                                                    : 3]++;
    }
    for (size_t i = 0; i < GW_COUNT_OF(states); i++)
        gw_series_set(gw_family_series(client->sources_family, &states[i]), counts[i]);
    if (gw_loop_now_ms(client->loop) / TICK_MS % RETRY_TICKS == 0) {
        gwc_client_retry_watchers(client);
        gwc_client_retry_sources(client);
    }
    gwc_report_tick(client->report);
    gwc_client_count_leader(client);
    gw_timer_start(client->tick_timer, TICK_MS);
}

/* Why nothing of a document is in force. */
static void unready_words(const struct gw_problems *problems, const struct gwc_origin *origin,
                          const char *what, struct gw_reason *reason)
{
    struct gw_reason why = {"waiting"};

    if (problems->count > 0)
        gw_reason_set(&why, "%s", problems->items[0].message);
    else if (origin != NULL)
        (void)gwc_origin_words(origin, &why);
    gw_reason_set(reason, "%s: %s", what, why.text);
}

bool gwc_client_ready(void *user, struct gw_reason *reason)
{
    struct gwc_client *client = user;

    if (client->stopping)
        gw_reason_set(reason, "stopping");
    else if (gwc_client_standing_by(client, reason))
        return true;
    else if (client->outbox == NULL && client->outbox_reason[0] != '\0')
        /* who keeps it is replaced by us: an update ends it only when we are ready */
        return gw_reason_set(reason, "the outbox is waited for: %s", client->outbox_reason),
               client->outbox_kept;
    else if (client->version == NULL)
        unready_words(&client->gateway_problems, client->gateway_origin, "no Gateway spec is in force",
                      reason);
    else if (client->sources == NULL)
        unready_words(&client->sources_problems, client->sources_origin, "event sources were not read yet",
                      reason);
    else if (client->outbox_full)
        gw_reason_set(reason, "the outbox takes no more events: %s", client->outbox_reason);
    else
        return (void)(gwc_client_origin_words(client, reason) || gwc_client_leader_words(client, reason)),
               true;
    return false;
}

/* ---- the orderly end ----
 * Streams first: what they have handed over is committed and acknowledged. Then deliveries in flight. Then the outbox. */

static bool deliveries_drained(struct gwc_client *client)
{
    bool drained = true;

    for (size_t i = 0; i < client->watchers_count; i++)
        if (client->watchers[i].delivery != NULL)
            drained = gwc_delivery_drain(client->watchers[i].delivery) && drained;
    return drained;
}

static void on_end_look(void *user)
{
    struct gwc_client *client = user;
    bool late = gw_loop_now_ms(client->loop) >= client->end_at_ms;

    if (late || (client->streams_count == 0 && deliveries_drained(client) && gwc_report_end(client->report)))
        gw_loop_stop(client->loop);
    else
        gw_timer_start(client->end_timer, END_LOOK_MS);
}

static void on_terminate(void *user)
{
    struct gwc_client *client = user;

    if (client->stopping) {
        gw_loop_stop(client->loop); /* asked twice: now */
        return;
    }
    client->stopping = true;
    client->end_at_ms = gw_loop_now_ms(client->loop) + client->options->drain_ms;
    gw_log(GW_LOG_INFO, "stopping", "gateway", client->name, NULL);
    gwc_report_tell(client->report, GWC_EVENT_STOPPING, "the gateway-client", "");
    for (size_t i = client->streams_count; i-- > 0;)
        if (!gwc_stream_stopping(client->streams[i]))
            gwc_stream_stop(client->streams[i], false);
    on_end_look(client);
}

/* ---- opening and closing ---- */

static int metrics_open(struct gwc_client *client)
{
    struct gw_metrics *metrics = gw_metrics_new();
    const char *good = "good", *bad = "bad";

    if (metrics == NULL)
        return GW_RAISE(-ENOMEM);
    client->metrics = metrics;
    gw_metrics_add_process(metrics);
    client->sources_family =
        gw_metrics_family(metrics, GW_GAUGE, "gateway_sources", "Event sources by state.", "state", NULL, 0);
    client->context.events =
        gw_metrics_family(metrics, GW_COUNTER, "gateway_source_events_total",
                          "Events made durable, by event source.", "source,type", NULL, 0);
    client->context.running = gw_metrics_family(metrics, GW_GAUGE, "gateway_source_running",
                                                "1 while the event source runs.", "source,type", NULL, 0);
    client->context.restarts =
        gw_metrics_family(metrics, GW_COUNTER, "gateway_source_restarts_total",
                          "Streams that ended although they were wanted.", "source,type", NULL, 0);
    struct gw_family *reloads =
        gw_metrics_family(metrics, GW_COUNTER, "gateway_configuration_reads_total",
                          "Readings of the configuration, by result.", "result", NULL, 0);
    client->reloads_good = gw_family_series(reloads, &good);
    client->reloads_bad = gw_family_series(reloads, &bad);
    client->loaded_series = gw_family_series(
        gw_metrics_family(metrics, GW_GAUGE, "gateway_configuration_loaded_timestamp_seconds",
                          "When event sources were last put in force.", "", NULL, 0),
        NULL);
    return 0;
}

static int on_status(void *user, const char *query, struct gw_view body, struct gw_bytes *out)
{
    (void)query, (void)body;
    gwc_status_write(user, out);
    return 200;
}

static int admin_open(struct gwc_client *client)
{
    static const struct gw_admin_page pages[] = {{"GET", "/api/v1/status", on_status}, {0}};
    struct gw_reason reason = {""};
    struct gw_admin_options options = {
        .address = client->options->admin_address,
        .metrics = client->metrics,
        .ready = gwc_client_ready,
        .pages = pages,
        .user = client,
    };

    if (strcmp(options.address, "none") == 0)
        return 0;
    int fault = gw_admin_open(&client->admin, client->loop, &options, &reason);
    if (fault < 0)
        gw_log(GW_LOG_ERROR, "the admin address cannot be served", "address", options.address, "reason",
               reason.text, NULL);
    return fault;
}

static int signals_open(struct gwc_client *client)
{
    signal(SIGPIPE, SIG_IGN);
    GW_TRY(gw_signal_open(&client->signals[0], client->loop, SIGTERM, on_terminate, client));
    GW_TRY(gw_signal_open(&client->signals[1], client->loop, SIGINT, on_terminate, client));
    GW_TRY(gw_signal_open(&client->signals[2], client->loop, SIGHUP, on_reload, client));
    return 0;
}

static void context_init(struct gwc_client *client)
{
    client->context.loop = client->loop;
    client->context.gateway = client->name;
    client->context.namespace_ = client->namespace_;
    client->context.changed = on_stream_changed;
    client->context.said = on_stream_said;
    client->context.stopped = on_stream_stopped;
    client->context.user = client;
}

static int client_open(struct gwc_client *client)
{
    client->started_ms = gw_clock_realtime_ms();
    GW_TRY(gw_loop_open(&client->loop));
    GW_TRY(signals_open(client));
    GW_TRY(metrics_open(client));
    GW_TRY(gw_timer_open(&client->tick_timer, client->loop, on_tick, client));
    GW_TRY(gw_timer_open(&client->end_timer, client->loop, on_end_look, client));
    GW_TRY(gw_timer_open(&client->nudge_timer, client->loop, on_nudge_time, client));
    GW_TRY(gw_http_open(&client->http, client->loop, CONNECTIONS_MAX));
    GW_TRY(gw_rpc_client_open(&client->rpc));
    int opened = gwc_client_open_origins(client);
    if (opened == 0)
        opened = gwc_client_identify(client);
    if (opened != 0)
        return opened;
    context_init(client);
    GW_TRY(gwc_client_open_secrets(client));
    GW_TRY(admin_open(client));
    return 0;
}

int gwc_client_begin(struct gwc_client *client)
{
    client->begun = true;
    GW_TRY(gwc_report_open(&client->report, client));
    int loaded = gwc_client_load_gateway(client);
    bool waits = loaded == GWC_ORIGIN_NONE || outbox_is_held(client, loaded) ||
                 (loaded == GWC_ORIGIN_BAD && gwc_origin_kind(client->gateway_origin) != GWC_ORIGIN_FILE);
    if (loaded == 0)
        gwc_client_load_sources(client);
    return waits ? 0 : loaded;
}

void gwc_client_fail(struct gwc_client *client, int exit_code)
{
    client->exit_code = exit_code;
    gw_loop_stop(client->loop);
}

/* Links free themselves on the loop, and with them their channels, when their streams have heard of their end. */
static void client_wait_for_links(struct gwc_client *client)
{
    int64_t end_ms = gw_clock_monotonic_ms() + LINKS_END_MS;

    if (client->loop == NULL || client->rpc == NULL)
        return;
    for (int i = 0; i < 10; i++) /* what was posted last */
        gw_loop_turn(client->loop, 0);
    while (!gw_rpc_client_quiet(client->rpc) && gw_clock_monotonic_ms() < end_ms)
        gw_loop_turn(client->loop, 5);
}

static void client_close(struct gwc_client *client)
{
    client->stopping = true; /* the loop turns until the end, and nothing may begin on it */
    client->report = gwc_report_close(client->report);
    client->gateway_origin = gwc_origin_close(client->gateway_origin);
    client->sources_origin = gwc_origin_close(client->sources_origin);
    gwc_client_close_streams(client);
    gwc_client_close_watchers(client);
    /* commits what the abandoned streams had handed over; after this nothing is posted from the outbox */
    client->outbox = gwc_outbox_close(client->outbox);
    client_wait_for_links(client);
    (void)!gw_secrets_use_kube(NULL, NULL, NULL, NULL);
    gwc_client_release(client);
    client->kube = gw_kube_close(client->kube);
    client->rpc = gw_rpc_client_close(client->rpc);
    client->admin = gw_admin_close(client->admin);
    client->http = gw_http_close(client->http);
    for (size_t i = 0; i < GW_COUNT_OF(client->signals); i++)
        client->signals[i] = gw_signal_close(client->signals[i]);
    gw_timer_close(client->tick_timer);
    gw_timer_close(client->end_timer);
    gw_timer_close(client->nudge_timer);
    gw_timer_close(client->again_timer);
    client->loop = gw_loop_close(client->loop);
    client->metrics = gw_metrics_free(client->metrics);
    gw_problems_done(&client->gateway_problems);
    gw_problems_done(&client->sources_problems);
    gw_arena_done(&client->arena);
}

static void rpc_log(int severity, const char *file, int line, const char *message)
{
    (void)file, (void)line;
    gw_log(severity >= 2 ? GW_LOG_WARN : GW_LOG_DEBUG, message, "part", "grpc", NULL);
}

int gwc_client_run(const struct gwc_client_options *options)
{
    struct gwc_client client = {.options = options, .exit_code = GW_EXIT_OK};

    gw_rpc_set_log(rpc_log);
    int fault = client_open(&client);
    if (fault == 0)
        fault = options->leader.elect ? gwc_client_stand_by(&client) : gwc_client_begin(&client);
    if (fault == 0) {
        on_tick(&client);
        gw_log(GW_LOG_INFO, client.begun ? "running" : "standing by", "gateway", client.name, "version",
               GW_VERSION, NULL);
        gw_loop_run(client.loop);
        gw_log(GW_LOG_INFO, "stopped", "gateway", client.name, NULL);
    } else if (fault < 0) {
        gw_log(GW_LOG_ERROR, "cannot start", "reason", gw_fault_trace(), NULL);
    }
    client_close(&client);
    return fault == 0 ? client.exit_code : fault == GWC_ORIGIN_BAD ? GW_EXIT_CONFIGURATION : GW_EXIT_FAULT;
}
