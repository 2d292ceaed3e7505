/* Kubernetes Events: sends what the queue gives, one at a time. */
#include "gateway-client/report/kube_events.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "gateway-client/report/event_queue.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVENT_TIMEOUT_MS = 10000, EVENT_UID_MAX = 64 };

static const struct gw_backoff_policy again_policy = {.initial_ms = 1000, .factor = 2, .max_ms = 30000};

struct gwc_kube_events {
    struct gw_kube *kube;
    struct gw_arena arena;
    const char *collection;
    struct gwc_event_regarding regarding;
    char uid[EVENT_UID_MAX]; /* "": nothing can be told */
    struct gwc_event_queue *queue;
    struct gw_timer *timer;
    struct gw_kube_call *call;
    struct gw_backoff backoff;
    int64_t again_ms;
    struct gw_bytes path, body;
    char name[GWC_EVENT_NAME_SIZE]; /* of the Event under way */
    struct gw_series *sent, *failed, *dropped;
    char trouble[GW_REASON_MAX];
};

static void events_plan(struct gwc_kube_events *events)
{
    int64_t now = gw_clock_monotonic_ms(), due_ms = gwc_event_queue_due_ms(events->queue, now);

    gw_series_add(events->dropped, (double)gwc_event_queue_lost(events->queue));
    if (events->call != NULL || events->uid[0] == '\0' || due_ms == INT64_MAX)
        gw_timer_stop(events->timer);
    else
        gw_timer_start(events->timer, GW_MAX(GW_MAX(due_ms, events->again_ms) - now, 0));
}

/* ---- answers ---- */

static void trouble_set(struct gwc_kube_events *events, const char *words)
{
    if (strcmp(events->trouble, words) == 0)
        return;
    snprintf(events->trouble, sizeof(events->trouble), "%s", words);
    if (words[0] != '\0')
        gw_log(GW_LOG_WARN, "Events about the Gateway cannot be written", "reason", events->trouble, NULL);
}

/* It would be the same the next time: a namespace that goes, an Event that is no more. Not 403: an API server that has just
 * started forbids what it does not know the Roles of yet. */
static bool is_final(int status)
{
    return status >= 400 && status < 500 && status != 401 && status != 403 && status != 408 && status != 429;
}

static void on_answer(void *user, const struct gw_kube_answer *answer)
{
    struct gwc_kube_events *events = user;
    bool good = answer->status >= 200 && answer->status < 300;

    events->call = NULL;
    gw_series_add(good ? events->sent : events->failed, 1);
    if (answer->status != 404) /* what was to be patched has had its hour */
        trouble_set(events, answer->message);
    if (good || is_final(answer->status)) {
        gwc_event_queue_done(events->queue, good ? events->name : NULL, gw_clock_monotonic_ms());
        gw_backoff_reset(&events->backoff);
    } else {
        int64_t wait_ms = gw_backoff_next_ms(&events->backoff, gw_random_u64());
        events->again_ms = gw_clock_monotonic_ms() + GW_MAX(wait_ms, answer->retry_after_ms);
        gwc_event_queue_again(events->queue);
    }
    events_plan(events);
}

/* ---- sending ---- */

static void events_write(struct gwc_kube_events *events, const struct gwc_event_job *job)
{
    gw_bytes_clear(&events->path);
    gw_bytes_clear(&events->body);
    gw_bytes_append_text(&events->path, events->collection);
    if (job->name == NULL) {
        gwc_event_name(events->name, events->regarding.name, gw_random_u64());
        gwc_event_write(&events->body, &events->regarding, events->name, job->reason, job->note,
                        job->realtime_ns);
        return;
    }
    snprintf(events->name, sizeof(events->name), "%s", job->name);
    gw_bytes_append_char(&events->path, '/');
    gw_kube_quote(&events->path, job->name);
    gwc_event_write_series(&events->body, job->count, job->realtime_ns);
}

static void events_send(struct gwc_kube_events *events)
{
    struct gwc_event_job job;

    if (events->call != NULL || events->uid[0] == '\0' ||
        !gwc_event_queue_take(events->queue, gw_clock_monotonic_ms(), &job)) {
        events_plan(events);
        return;
    }
    events_write(events, &job);
    struct gw_kube_request request = {
        .verb = job.name == NULL ? GW_KUBE_CREATE : GW_KUBE_MERGE_PATCH,
        .path = gw_bytes_text(&events->path),
        .body = gw_bytes_view(&events->body),
        .timeout_ms = EVENT_TIMEOUT_MS,
    };
    if (events->path.failed || events->body.failed ||
        gw_kube_send(events->kube, &request, on_answer, events, &events->call) != 0) {
        events->call = NULL;
        events->again_ms = gw_clock_monotonic_ms() + again_policy.initial_ms;
        gwc_event_queue_again(events->queue);
    }
    events_plan(events);
}

static void on_timer(void *user)
{
    events_send(user);
}

/* ---- from outside ---- */

void gwc_kube_events_regard(struct gwc_kube_events *events, const char *uid)
{
    if (events == NULL || strcmp(events->uid, uid) == 0)
        return;
    snprintf(events->uid, sizeof(events->uid), "%s", strlen(uid) < EVENT_UID_MAX ? uid : "");
    events_plan(events);
}

void gwc_kube_events_tell(struct gwc_kube_events *events, enum gwc_event_reason reason, const char *subject,
                          const char *words)
{
    if (events == NULL)
        return;
    gwc_event_queue_tell(events->queue, reason, &(struct gwc_event_subject){subject, words},
                         gw_clock_monotonic_ms(), gw_clock_realtime_ns());
    events_plan(events);
}

bool gwc_kube_events_flush(struct gwc_kube_events *events)
{
    if (events == NULL)
        return true;
    gwc_event_queue_flush(events->queue);
    events_plan(events);
    return events->call == NULL &&
           (events->uid[0] == '\0' || events->again_ms > gw_clock_monotonic_ms() ||
            gwc_event_queue_due_ms(events->queue, gw_clock_monotonic_ms()) > gw_clock_monotonic_ms());
}

/* ---- life ---- */

static int events_prepare(struct gwc_kube_events *events, const struct gwc_kube_events_options *options)
{
    static const char *const results[] = {"sent", "failed", "dropped"};
    GW_AUTO(gw_bytes_done) struct gw_bytes collection = {0};

    gw_bytes_append_text(&collection, "/apis/events.k8s.io/v1/namespaces/");
    gw_kube_quote(&collection, options->namespace_);
    gw_bytes_append_text(&collection, "/events");
    if (collection.failed)
        return GW_RAISE(-ENOMEM);
    events->collection = gw_arena_copy(&events->arena, gw_bytes_view(&collection));
    events->regarding.namespace_ = gw_arena_copy(&events->arena, gw_view_text(options->namespace_));
    events->regarding.name = gw_arena_copy(&events->arena, gw_view_text(options->name));
    events->regarding.instance = gw_arena_copy(&events->arena, gw_view_text(options->instance));
    events->regarding.uid = events->uid;
    if (events->collection == NULL || events->regarding.namespace_ == NULL ||
        events->regarding.name == NULL || events->regarding.instance == NULL)
        return GW_RAISE(-ENOMEM);
    struct gw_family *family =
        gw_metrics_family(options->metrics, GW_COUNTER, "gateway_kubernetes_events_total",
                          "Kubernetes Events about the gateway, by what became of them.", "result", NULL, 0);
    events->sent = gw_family_series(family, &results[0]);
    events->failed = gw_family_series(family, &results[1]);
    events->dropped = gw_family_series(family, &results[2]);
    events->backoff.policy = again_policy;
    GW_TRY(gwc_event_queue_new(&events->queue));
    return gw_timer_open(&events->timer, gw_kube_loop(options->kube), on_timer, events);
}

int gwc_kube_events_open(struct gwc_kube_events **ret_events, const struct gwc_kube_events_options *options)
{
    struct gwc_kube_events *events = calloc(1, sizeof(*events));

    if (events == NULL)
        return GW_RAISE(-ENOMEM);
    events->kube = options->kube;
    int fault = events_prepare(events, options);
    if (fault != 0) {
        gwc_kube_events_close(events);
        return fault;
    }
    *ret_events = events;
    return 0;
}

struct gwc_kube_events *gwc_kube_events_close(struct gwc_kube_events *events)
{
    if (events == NULL)
        return NULL;
    if (events->call != NULL)
        gw_kube_cancel(events->call);
    gw_timer_close(events->timer);
    gwc_event_queue_free(events->queue);
    gw_bytes_done(&events->path);
    gw_bytes_done(&events->body);
    gw_arena_done(&events->arena);
    free(events);
    return NULL;
}
