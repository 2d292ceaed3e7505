/* The report: its life, and what becomes news. */
#include "gateway-client/report/report_parts.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/kube_object.h"
#include "common/text.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    JUDGE_MS = 1000, /* an object that was seen so long ago, and changed nothing, is judged */
    END_MS = 2000,   /* an end does not wait longer for the API server */
    HOST_MAX = 256,
};

/* ---- the object ---- */

void gwc_report_seen(struct gwc_report *report, struct gw_view object)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes room = {0};
    struct gw_kube_meta meta;

    if (report == NULL)
        return;
    gwc_status_writer_seen(report->writer, object);
    if (object.size == 0 || !gw_kube_meta_read(object, &room, &meta)) {
        gwc_kube_events_regard(report->events, "");
        return;
    }
    gwc_kube_events_regard(report->events, meta.uid);
    if (!gw_text_i64(gw_json_get(gw_json_get(object, "metadata"), "generation"), 0, INT64_MAX,
                     &report->generation_seen))
        report->generation_seen = 0;
    report->seen_ms = gw_loop_now_ms(report->client->loop);
}

void gwc_report_judged(struct gwc_report *report)
{
    if (report == NULL)
        return;
    report->generation = report->generation_seen;
    gwc_status_writer_touch(report->writer);
}

/* ---- news ---- */

void gwc_report_touch(struct gwc_report *report)
{
    if (report != NULL)
        gwc_status_writer_touch(report->writer);
}

void gwc_report_tell(struct gwc_report *report, enum gwc_event_reason reason, const char *subject,
                     const char *words)
{
    if (report == NULL)
        return;
    gwc_kube_events_tell(report->events, reason, subject, words);
    gwc_status_writer_touch(report->writer);
}

void gwc_report_tell_problems(struct gwc_report *report, const char *subject,
                              const struct gw_problems *problems)
{
    struct gw_reason words = {""};

    gw_problems_reason(problems, &words);
    gwc_report_tell(report, GWC_EVENT_CONFIGURATION_REFUSED, subject, words.text);
}

/* What was told of something, as a mark. */
static uint32_t mark_of(enum gwc_event_reason reason, const char *words)
{
    return gw_fnv1a32(gw_view_text(gwc_event_reason_name(reason)), gw_view_text(words));
}

static void tell_stream(struct gwc_report *report, struct gwc_stream *stream, enum gwc_event_reason reason,
                        const struct gwc_stream_status *status, const char *words)
{
    uint32_t mark = mark_of(reason, words);

    if (status->told == mark)
        return; /* it has been trying since */
    gwc_stream_set_told(stream, mark);
    gwc_report_tell(report, reason, status->key, words);
}

void gwc_report_stream(struct gwc_report *report, struct gwc_stream *stream)
{
    struct gwc_stream_status status;

    if (report == NULL)
        return;
    gwc_stream_status(stream, &status);
    if (status.state == GWC_STREAM_RUNNING)
        tell_stream(report, stream, GWC_EVENT_SOURCE_RUNNING, &status, "");
    else if (status.state == GWC_STREAM_FAILING)
        tell_stream(report, stream, GWC_EVENT_SOURCE_FAILED, &status, status.message);
    else if (status.state == GWC_STREAM_INVALID)
        tell_stream(report, stream, GWC_EVENT_SOURCE_INVALID, &status, status.message);
    gwc_status_writer_touch(report->writer);
}

static void tick_watcher(struct gwc_report *report, struct gwc_watcher *watcher)
{
    static const enum gwc_event_reason reasons[] = {
        [REPORT_WATCHER_OK] = GWC_EVENT_WATCHER_RECOVERED,
        [REPORT_WATCHER_FAILING] = GWC_EVENT_WATCHER_FAILING,
        [REPORT_WATCHER_INVALID] = GWC_EVENT_WATCHER_INVALID,
    };
    struct gwc_delivery_stats stats;
    enum report_watcher state = report_watcher_state(watcher, &stats);

    if (state == watcher->told)
        return;
    gwc_report_tell(report, reasons[state], watcher->spec->name,
                    state == REPORT_WATCHER_INVALID   ? watcher->reason
                    : state == REPORT_WATCHER_FAILING ? stats.last_failure
                                                      : "");
    watcher->told = state;
}

void gwc_report_tick(struct gwc_report *report)
{
    if (report == NULL)
        return;
    for (size_t i = 0; i < report->client->watchers_count; i++)
        tick_watcher(report, &report->client->watchers[i]);
    if (report->generation != report->generation_seen &&
        gw_loop_now_ms(report->client->loop) - report->seen_ms >= JUDGE_MS)
        gwc_report_judged(report);
}

/* ---- life ---- */

static const char *instance_name(char buffer[static HOST_MAX])
{
    const char *pod = getenv("POD_NAME");

    if (pod != NULL && pod[0] != '\0')
        return pod;
    buffer[0] = buffer[HOST_MAX - 1] = '\0';
    return gethostname(buffer, HOST_MAX - 1) == 0 && buffer[0] != '\0' ? buffer : "unknown";
}

static int report_prepare(struct gwc_report *report)
{
    struct gwc_client *client = report->client;
    char host[HOST_MAX];
    const struct gwc_status_writer_options writer = {
        .kube = client->kube,
        .namespace_ = client->namespace_,
        .name = client->name,
        .metrics = client->metrics,
        .compose = report_compose,
        .user = report,
    };
    const struct gwc_kube_events_options events = {
        .kube = client->kube,
        .namespace_ = client->namespace_,
        .name = client->name,
        .instance = instance_name(host),
        .metrics = client->metrics,
    };

    GW_TRY(gwc_status_writer_open(&report->writer, &writer));
    GW_TRY(gwc_kube_events_open(&report->events, &events));
    return 0;
}

int gwc_report_open(struct gwc_report **ret_report, struct gwc_client *client)
{
    if (gwc_origin_kind(client->gateway_origin) != GWC_ORIGIN_GATEWAY) {
        *ret_report = NULL;
        return 0;
    }
    struct gwc_report *report = calloc(1, sizeof(*report));
    if (report == NULL)
        return GW_RAISE(-ENOMEM);
    report->client = client;
    int fault = report_prepare(report);
    if (fault != 0) {
        gwc_report_close(report);
        return fault;
    }
    struct gw_view object = gwc_origin_object(client->gateway_origin);
    if (object.size > 0)
        gwc_report_seen(report, object);
    *ret_report = report;
    return 0;
}

struct gwc_report *gwc_report_close(struct gwc_report *report)
{
    if (report == NULL)
        return NULL;
    gwc_status_writer_close(report->writer);
    gwc_kube_events_close(report->events);
    free(report);
    return NULL;
}

bool gwc_report_end(struct gwc_report *report)
{
    if (report == NULL)
        return true;
    int64_t now_ms = gw_loop_now_ms(report->client->loop);
    if (report->end_at_ms == 0)
        report->end_at_ms = now_ms + END_MS;
    if (!report->flushed && !gwc_status_writer_busy(report->writer)) {
        gwc_status_writer_flush(report->writer);
        report->flushed = true;
    }
    bool told = gwc_kube_events_flush(report->events);
    return (told && report->flushed && !gwc_status_writer_busy(report->writer)) ||
           now_ms >= report->end_at_ms;
}
