/* A stream: the supervisor of one event source. */
#include "gateway-client/stream/stream.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "gateway-client/stream/configuration.h"
#include "gateway-client/stream/link.h"
#include "gateway-client/stream/validation.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    VALIDATE_DEADLINE_MS = 10000,
    OLD_CONTRACT_STARTED_MS =
        1000,               /* Argo's contracts have no "started": a stream that holds so long counts */
    STARTED_LATE_MS = 5000, /* who has not said "started" by then is waited for, but not in silence */
    STEADY_MS = 10000,      /* running so long forgets earlier failures */
    NUDGE_MS = 250,         /* what a neighbour gave up is free a moment later */
    WITHDRAW_MS = 2000,     /* a server that does not end a withdrawn stream is cut off */
};

static const struct gw_backoff_policy failing_policy = {.initial_ms = 200, .factor = 2, .max_ms = 5000};
static const struct gw_backoff_policy invalid_policy = {.initial_ms = 2000, .factor = 2, .max_ms = 60000};

const char *const gwc_stream_state_names[] = {"validating", "starting", "running", "invalid",
                                              "failing",    "stopped",  NULL};

struct gwc_stream {
    const struct gwc_stream_context *context;
    struct gwc_configuration current;   /* runs, or is being started */
    struct gwc_configuration candidate; /* wanted instead; validated first */
    enum gwc_stream_state state;
    int64_t since_ms, trouble_ms, next_attempt_ms;
    char message[GW_REASON_MAX], notice[GW_REASON_MAX], refused[GW_REASON_MAX];
    char trouble[GW_REASON_MAX]; /* the last words of failing or invalid, until it runs */
    char *held_by;               /* the candidate was refused because of this source alone; NULL: not so */
    uint32_t told;
    enum gwc_contract contract;
    struct gwc_validation *validation;
    struct gwc_link *link;
    bool link_ending, stopping, restart_wanted, yields;
    struct gw_timer *timer;        /* the next attempt */
    struct gw_timer *settle_timer; /* old contracts: started; all: steady */
    struct gw_backoff failing, invalid;
    uint64_t restarts, events_before;
    int64_t last_event_ms;
    struct gw_series *events_series, *running_series, *restarts_series;
    uint64_t events_told;
};

/* ---- state ---- */

static void stream_set_trouble(struct gwc_stream *stream, enum gwc_stream_state state, const char *message)
{
    bool trouble = state == GWC_STREAM_INVALID || state == GWC_STREAM_FAILING;

    if (state == GWC_STREAM_RUNNING)
        stream->trouble[0] = '\0';
    if (!trouble || strcmp(stream->trouble, message) == 0)
        return;
    snprintf(stream->trouble, sizeof(stream->trouble), "%s", message);
    stream->trouble_ms = gw_clock_realtime_ms();
}

static double runs(enum gwc_stream_state state)
{
    return state == GWC_STREAM_RUNNING ? 1 : 0;
}

static void stream_set(struct gwc_stream *stream, enum gwc_stream_state state, const char *message)
{
    bool same = stream->state == state && strcmp(stream->message, message) == 0;

    if (stream->state != state)
        stream->since_ms = gw_clock_realtime_ms();
    /* added, not set: a renamed key has two streams for a moment, which share the series */
    gw_series_add(stream->running_series, runs(state) - runs(stream->state));
    stream->state = state;
    snprintf(stream->message, sizeof(stream->message), "%s", message);
    stream_set_trouble(stream, state, message);
    if (same)
        return;
    bool trouble = state == GWC_STREAM_INVALID || state == GWC_STREAM_FAILING || message[0] != '\0';
    enum gw_log_level level = trouble                       ? GW_LOG_WARN
                              : state == GWC_STREAM_RUNNING ? GW_LOG_INFO
                                                            : GW_LOG_DEBUG;
    gw_log(level, "event source", "source", gwc_stream_key(stream), "state", gwc_stream_state_names[state],
           "reason", message[0] != '\0' ? message : NULL, NULL);
    if (stream->context->changed != NULL)
        stream->context->changed(stream->context->user, stream);
}

static void stream_wait(struct gwc_stream *stream, struct gw_backoff *backoff)
{
    int64_t wait_ms = gw_backoff_next_ms(backoff, gw_random_u64());

    stream->next_attempt_ms = gw_clock_realtime_ms() + wait_ms;
    gw_timer_start(stream->timer, wait_ms);
}

static void stream_fail(struct gwc_stream *stream, const char *words)
{
    stream_set(stream, GWC_STREAM_FAILING, words);
    stream_wait(stream, &stream->failing);
}

static void stream_invalid(struct gwc_stream *stream, const char *words)
{
    stream_set(stream, GWC_STREAM_INVALID, words);
    stream_wait(stream, &stream->invalid);
}

static void stream_end(struct gwc_stream *stream)
{
    gw_timer_stop(stream->timer);
    gw_timer_stop(stream->settle_timer);
    stream_set(stream, GWC_STREAM_STOPPED, "");
    stream->context->stopped(stream->context->user, stream);
}

static void stream_said(struct gwc_stream *stream, bool refused)
{
    if (stream->context->said != NULL)
        stream->context->said(stream->context->user, stream, refused);
}

static void stream_set_refused(struct gwc_stream *stream, const char *words)
{
    if (strcmp(stream->refused, words) == 0)
        return;
    snprintf(stream->refused, sizeof(stream->refused), "%s", words);
    if (words[0] != '\0')
        gw_log(GW_LOG_WARN, "edit refused, the last good configuration keeps running", "source",
               gwc_stream_key(stream), "reason", words, NULL);
    stream_said(stream, true);
}

/* ---- the link ---- */

static void stream_attempt(struct gwc_stream *stream);

/* Of all its links, the one that runs included. */
static uint64_t stream_events(const struct gwc_stream *stream)
{
    return stream->events_before + (stream->link != NULL ? gwc_link_events(stream->link) : 0);
}

static int64_t stream_last_event_ms(const struct gwc_stream *stream)
{
    int64_t last_ms = stream->link != NULL ? gwc_link_last_event_ms(stream->link) : 0;

    return GW_MAX(stream->last_event_ms, last_ms);
}

void gwc_stream_count(struct gwc_stream *stream)
{
    uint64_t events = stream_events(stream);

    gw_series_add(stream->events_series, (double)(events - stream->events_told));
    stream->events_told = events;
    stream->last_event_ms = stream_last_event_ms(stream);
}

static void stream_running(struct gwc_stream *stream)
{
    if (stream->link == NULL || stream->link_ending)
        return;
    stream->next_attempt_ms = 0;
    stream_set(stream, GWC_STREAM_RUNNING, "");
    gw_timer_start(stream->settle_timer, STEADY_MS);
}

static void on_started(void *user)
{
    stream_running(user);
}

static void stream_withdraw(struct gwc_stream *stream)
{
    gwc_link_withdraw(stream->link);
    gw_timer_start(stream->settle_timer, WITHDRAW_MS);
}

static void on_settled(void *user)
{
    struct gwc_stream *stream = user;

    if ((stream->stopping || stream->restart_wanted) && stream->link != NULL) {
        gwc_link_cancel(stream->link);
    } else if (stream->state == GWC_STREAM_STARTING && stream->contract == GWC_CONTRACT_V1) {
        stream_set(stream, GWC_STREAM_STARTING, "the gateway-server has not said yet that the source runs");
    } else if (stream->state == GWC_STREAM_STARTING && stream->link != NULL &&
               !gwc_link_connected(stream->link)) {
        gw_timer_start(stream->settle_timer, OLD_CONTRACT_STARTED_MS);
    } else if (stream->state == GWC_STREAM_STARTING) {
        stream_running(stream);
    } else if (stream->state == GWC_STREAM_RUNNING) {
        gw_backoff_reset(&stream->failing);
        gw_backoff_reset(&stream->invalid);
    }
}

static void on_notice(void *user, bool warning, const char *message)
{
    struct gwc_stream *stream = user;

    snprintf(stream->notice, sizeof(stream->notice), "%s", warning ? message : "");
    gw_log(warning ? GW_LOG_WARN : GW_LOG_INFO, "gateway-server says", "source", gwc_stream_key(stream),
           "notice", message, NULL);
    stream_said(stream, false);
}

/* UNIMPLEMENTED: nothing that runs there could be meant. */
static void unspoken_words(struct gw_reason *reason, const struct gwc_server_spec *server)
{
    if (server->contract == GWC_CONTRACT_AUTO)
        gw_reason_set(reason,
                      "gateway-server %s: it speaks none of gateway.v1, gateways.Eventing, generic.Eventing",
                      server->address);
    else
        gw_reason_set(reason, "gateway-server %s: " GWC_UNSPOKEN, server->address,
                      gwc_contract_names[server->contract]);
}

static void ended_words(struct gw_reason *reason, int status, const char *message)
{
    if (status == GW_RPC_OK)
        gw_reason_set(reason, "the gateway-server ended the stream");
    else if (message[0] != '\0')
        gw_reason_set(reason, "%s", message);
    else
        gw_reason_set(reason, "the stream ended with %s", gw_rpc_status_name(status));
}

static void on_ended(void *user, int status, const char *message)
{
    struct gwc_stream *stream = user;
    struct gw_reason reason = {""};

    gw_timer_stop(stream->settle_timer);
    stream->link_ending = true;
    if (stream->stopping || stream->restart_wanted)
        return; /* we asked for it */
    if (status == GW_RPC_UNIMPLEMENTED)
        unspoken_words(&reason, gwc_server_spec(stream->current.server));
    else
        ended_words(&reason, status, message);
    stream->restarts++;
    gw_series_add(stream->restarts_series, 1);
    stream_set(stream, status == GW_RPC_INVALID_ARGUMENT ? GWC_STREAM_INVALID : GWC_STREAM_FAILING,
               reason.text);
}

static void on_released(void *user)
{
    struct gwc_stream *stream = user;

    gwc_stream_count(stream);
    stream->events_before += gwc_link_events(stream->link);
    stream->link = NULL; /* it frees itself when this returns */
    stream->notice[0] = '\0';
    if (stream->stopping) {
        stream_end(stream);
    } else if (stream->restart_wanted) {
        stream->restart_wanted = false;
        stream_attempt(stream);
    } else if (stream->validation == NULL) {
        stream_wait(stream, stream->state == GWC_STREAM_INVALID ? &stream->invalid : &stream->failing);
    }
}

static void stream_start(struct gwc_stream *stream)
{
    static const struct gwc_link_hooks hooks = {on_started, on_notice, on_ended, on_released};
    struct gw_reason reason = {"no memory left"};
    struct gw_bytes position = {0};
    struct gw_rpc_channel *channel = gwc_server_channel(stream->current.server, &reason);
    const struct gwc_stream_context *context = stream->context;
    int fault =
        channel == NULL ? -EINVAL : gwc_outbox_position(context->outbox, gwc_stream_key(stream), &position);

    if (fault == 0) {
        struct gwc_link_options options = {
            .loop = context->loop,
            .outbox = context->outbox,
            .server = stream->current.server,
            .contract = stream->contract,
            .gateway = context->gateway,
            .namespace_ = context->namespace_,
            .source = &stream->current.source,
            .position = gw_bytes_view(&position),
        };
        stream->link_ending = false;
        fault = gwc_link_open(&stream->link, &options, &hooks, stream);
    }
    gw_bytes_done(&position);
    if (fault != 0) {
        stream_fail(stream, reason.text);
        return;
    }
    stream_set(stream, GWC_STREAM_STARTING, "");
    gw_timer_start(stream->settle_timer,
                   stream->contract == GWC_CONTRACT_V1 ? STARTED_LATE_MS : OLD_CONTRACT_STARTED_MS);
}

/* ---- validation ---- */

static void stream_set_held_by(struct gwc_stream *stream, const char *name)
{
    free(stream->held_by);
    stream->held_by = name == NULL ? NULL : strdup(name);
}

static void stream_adopt(struct gwc_stream *stream)
{
    stream->yields = false;
    stream_set_held_by(stream, NULL);
    if (stream->candidate.there) {
        gwc_configuration_done(&stream->current);
        stream->current = stream->candidate;
        stream->candidate = (struct gwc_configuration){0};
    }
    stream->refused[0] = '\0';
}

static void stream_valid(struct gwc_stream *stream, enum gwc_contract contract)
{
    stream->contract = contract;
    if (stream->link == NULL) {
        stream_adopt(stream);
        stream_start(stream);
        return;
    }
    /* the old configuration makes room; the attempt after its release validates once more, and starts */
    stream->restart_wanted = true;
    stream_withdraw(stream);
}

static void stream_refused(struct gwc_stream *stream, const char *words, const char *holder)
{
    stream_set_held_by(stream, holder);
    if (stream->link != NULL && !stream->link_ending && !stream->restart_wanted) {
        stream_set_refused(stream, words); /* the last good one keeps running */
        stream_wait(stream, &stream->invalid);
    } else {
        stream_invalid(stream, words);
    }
}

static void on_validated(void *user, const struct gwc_validated *validated)
{
    struct gwc_stream *stream = user;
    const struct gwc_configuration *asked = stream->candidate.there ? &stream->candidate : &stream->current;
    struct gw_reason reason = {""};

    stream->validation = NULL;
    if (stream->stopping)
        return;
    if (validated->validity == GWC_VALID) {
        stream_valid(stream, validated->contract);
    } else if (validated->validity == GWC_INVALID) {
        gwc_validated_words(validated, &asked->source, &reason);
        stream_refused(stream, reason.text, gwc_validated_holder(validated));
    } else if (stream->link != NULL && !stream->link_ending) {
        stream_wait(stream, &stream->failing); /* runs on; the edit waits for an answer */
    } else {
        gw_reason_set(&reason, "gateway-server %s: %s", gwc_server_spec(asked->server)->address,
                      validated->reason);
        stream_fail(stream, reason.text);
    }
}

static void stream_attempt(struct gwc_stream *stream)
{
    const struct gwc_configuration *asked = stream->candidate.there ? &stream->candidate : &stream->current;
    struct gw_reason reason = {"no memory left"};
    bool runs = stream->link != NULL;

    gw_timer_stop(stream->timer);
    if (stream->stopping || stream->validation != NULL || (runs && !stream->candidate.there))
        return;
    if (!runs && stream->state == GWC_STREAM_RUNNING)
        stream_set(stream, GWC_STREAM_VALIDATING, "");
    struct gwc_validation_options options = {
        .loop = stream->context->loop,
        .channel = gwc_server_hold(asked->server, &reason),
        .contract = gwc_server_spec(asked->server)->contract,
        .gateway = stream->context->gateway,
        .namespace_ = stream->context->namespace_,
        .source = &asked->source,
        .deadline_ms = VALIDATE_DEADLINE_MS,
    };
    int fault = options.channel == NULL
                    ? -EINVAL
                    : gwc_validation_begin(&stream->validation, &options, on_validated, stream);
    if (fault == 0)
        return;
    if (runs)
        stream_wait(stream, &stream->failing);
    else
        stream_fail(stream, reason.text);
}

static void on_attempt_time(void *user)
{
    stream_attempt(user);
}

/* ---- from outside ---- */

static int stream_prepare(struct gwc_stream *stream, struct gwc_server *server,
                          const struct gwc_source *source)
{
    const struct gwc_stream_context *context = stream->context;
    const char *labels[] = {source->name, source->type};

    GW_TRY(gwc_configuration_copy(&stream->current, server, source));
    GW_TRY(gw_timer_open(&stream->timer, context->loop, on_attempt_time, stream));
    GW_TRY(gw_timer_open(&stream->settle_timer, context->loop, on_settled, stream));
    stream->events_series = gw_family_series(context->events, labels);
    stream->running_series = gw_family_series(context->running, labels);
    stream->restarts_series = gw_family_series(context->restarts, labels);
    return 0;
}

int gwc_stream_open(struct gwc_stream **ret_stream, const struct gwc_stream_context *context,
                    struct gwc_server *server, const struct gwc_source *source)
{
    struct gwc_stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL)
        return GW_RAISE(-ENOMEM);
    stream->context = context;
    stream->state = GWC_STREAM_VALIDATING;
    stream->since_ms = gw_clock_realtime_ms();
    stream->failing.policy = failing_policy;
    stream->invalid.policy = invalid_policy;
    int fault = stream_prepare(stream, server, source);
    if (fault != 0) {
        gwc_stream_free(stream);
        return fault;
    }
    *ret_stream = stream;
    stream_attempt(stream);
    return 0;
}

/* A running link with this very configuration: an edit that was taken back. */
static bool stream_runs(const struct gwc_stream *stream, const struct gwc_server *server,
                        const struct gwc_source *source)
{
    return stream->link != NULL && !stream->link_ending && !stream->restart_wanted && !stream->stopping &&
           stream->current.server == server && gw_view_equal(stream->current.source.config, source->config);
}

static void stream_drop_candidate(struct gwc_stream *stream)
{
    stream->validation = gwc_validation_cancel(stream->validation); /* it asked about the candidate */
    gwc_configuration_done(&stream->candidate);
    stream_set_held_by(stream, NULL);
}

int gwc_stream_update(struct gwc_stream *stream, struct gwc_server *server, const struct gwc_source *source)
{
    if (stream_runs(stream, server, source)) {
        stream_drop_candidate(stream);
        stream->current.source.line = source->line;
        stream_set_refused(stream, "");
        return 0;
    }
    GW_TRY(gwc_configuration_copy(&stream->candidate, server, source));
    stream->validation = gwc_validation_cancel(stream->validation); /* it asked about an older candidate */
    stream_set_held_by(stream, NULL);
    stream->restart_wanted |= stream->stopping && stream->link != NULL; /* told to go: it cannot stay */
    stream->stopping = false;
    gw_backoff_reset(&stream->failing);
    gw_backoff_reset(&stream->invalid);
    stream_attempt(stream);
    return 0;
}

void gwc_stream_refuse(struct gwc_stream *stream, const char *words)
{
    if (stream->candidate.there) {
        stream_drop_candidate(stream); /* an edit before this one, not wanted any more */
        if (stream->link == NULL)
            stream_attempt(stream);
    }
    stream_set_refused(stream, words);
}

void gwc_stream_nudge(struct gwc_stream *stream)
{
    int64_t soon_ms = gw_clock_realtime_ms() + NUDGE_MS;
    bool refused = stream->link == NULL ? stream->state == GWC_STREAM_INVALID : stream->candidate.there;

    if (!refused || stream->stopping || stream->validation != NULL || stream->next_attempt_ms <= soon_ms)
        return;
    stream->next_attempt_ms = soon_ms;
    gw_timer_start(stream->timer, NUDGE_MS);
}

const char *gwc_stream_held_by(const struct gwc_stream *stream)
{
    bool waits = stream->link != NULL && !stream->link_ending && !stream->restart_wanted && !stream->stopping;

    return waits && stream->candidate.there ? stream->held_by : NULL;
}

void gwc_stream_yield(struct gwc_stream *stream)
{
    gw_log(GW_LOG_INFO, "edits wait for each other: this event source lets go first", "source",
           gwc_stream_key(stream), "held_by", stream->held_by, NULL);
    stream->validation = gwc_validation_cancel(stream->validation);
    gw_timer_stop(stream->timer);
    stream->yields = true;
    stream->restart_wanted = true;
    stream_withdraw(stream);
}

bool gwc_stream_yields(const struct gwc_stream *stream)
{
    return stream->yields;
}

void gwc_stream_stop(struct gwc_stream *stream, bool withdraw)
{
    stream->stopping = true;
    stream->validation = gwc_validation_cancel(stream->validation);
    gw_timer_stop(stream->timer);
    if (stream->link == NULL)
        stream_end(stream);
    else if (withdraw)
        stream_withdraw(stream);
    else
        gwc_link_cancel(stream->link);
}

struct gwc_stream *gwc_stream_free(struct gwc_stream *stream)
{
    if (stream == NULL)
        return NULL;
    gwc_validation_cancel(stream->validation);
    gwc_link_abandon(stream->link);
    gw_timer_close(stream->timer);
    gw_timer_close(stream->settle_timer);
    gw_series_add(stream->running_series, -runs(stream->state));
    gw_family_remove(stream->context->events, stream->events_series);
    gw_family_remove(stream->context->running, stream->running_series);
    gw_family_remove(stream->context->restarts, stream->restarts_series);
    free(stream->held_by);
    gwc_configuration_done(&stream->current);
    gwc_configuration_done(&stream->candidate);
    free(stream);
    return NULL;
}

void gwc_stream_status(const struct gwc_stream *stream, struct gwc_stream_status *ret_status)
{
    const struct gwc_source *source = &stream->current.source;

    *ret_status = (struct gwc_stream_status){
        .key = source->key,
        .type = source->type,
        .name = source->name,
        .id = source->id,
        .state = stream->state,
        .message = stream->message,
        .notice = stream->notice,
        .refused = stream->refused,
        .trouble = stream->trouble,
        .trouble_ms = stream->trouble_ms,
        .contract = stream->contract == GWC_CONTRACT_AUTO ? "" : gwc_contract_names[stream->contract],
        .since_ms = stream->since_ms,
        .next_attempt_ms = stream->next_attempt_ms,
        .restarts = stream->restarts,
        .events = stream_events(stream),
        .last_event_ms = stream_last_event_ms(stream),
        .told = stream->told,
    };
}

struct gwc_server *gwc_stream_server(const struct gwc_stream *stream)
{
    return stream->candidate.there ? stream->candidate.server : stream->current.server;
}

const char *gwc_stream_key(const struct gwc_stream *stream)
{
    return stream->current.source.key;
}

void gwc_stream_set_told(struct gwc_stream *stream, uint32_t told)
{
    stream->told = told;
}

bool gwc_stream_stopping(const struct gwc_stream *stream)
{
    return stream->stopping;
}
