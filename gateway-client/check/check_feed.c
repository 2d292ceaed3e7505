/* Feeds: a stream as the checker sees it, in whichever contract. */
#include "gateway-client/check/check_server.h"

#include "common/clock.h"
#include "common/text.h"

#include "proto/argo/gateways/eventing.pb-c.h"
#include "proto/argo/generic/generic.pb-c.h"
#include "proto/gateway/v1/eventing.pb-c.h"

#include <stdlib.h>
#include <string.h>

enum {
    WITHDRAW_MS = 2000, /* what the contract gives a server that is half-closed */
    CANCEL_MS = 1000,
    SETTLE_MS = 500,
    SETTLE_MAX_MS = 3000,
    SETTLE_ANSWERS = 4, /* of the slowest so far */
};

int64_t gwc_check_until(const struct gwc_check *check)
{
    return gw_clock_monotonic_ms() + check->options.timeout_ms;
}

int64_t gwc_check_settled(const struct gwc_check *check)
{
    int64_t slow_ms = GW_MIN(check->answer_ms * SETTLE_ANSWERS, (int64_t)SETTLE_MAX_MS);

    return gw_clock_monotonic_ms() + GW_MAX(slow_ms, (int64_t)SETTLE_MS);
}

/* ---- opening ---- */

static ProtobufCBinaryData data_of(struct gw_view view)
{
    /* protobuf-c has no const; packing only reads */
    return (ProtobufCBinaryData){view.size, (uint8_t *)(uintptr_t)view.data};
}

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text;
}

static int feed_talk(struct gwc_feed *feed, const char *path, const ProtobufCMessage *first, bool half_close,
                     unsigned credit)
{
    const struct gwc_talk_options options = {path, first, half_close, credit};

    feed->check->streams++;
    return gwc_talk_open(&feed->talk, feed->check->channel, &options);
}

static int feed_start_v1(struct gwc_feed *feed, const struct gwc_feed_options *options, struct gw_view config)
{
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;
    Gateway__V1__EventSource start = GATEWAY__V1__EVENT_SOURCE__INIT;
    char id[12];

    snprintf(id, sizeof(id), "%u", gw_fnv1a32(gw_view_text(feed->name), config));
    start.id = id;
    start.gateway = text_of(options->gateway != NULL ? options->gateway : "check-server");
    start.namespace_ = text_of("check-server");
    start.type = text_of(feed->check->type);
    start.name = text_of(feed->name);
    start.config = data_of(config);
    start.position = data_of(options->position);
    request.request_case = GATEWAY__V1__STREAM_REQUEST__REQUEST_START;
    request.start = &start;
    return feed_talk(feed, "/gateway.v1.Eventing/Stream", &request.base, false, options->credit);
}

static int feed_start_argo(struct gwc_feed *feed, const struct gwc_feed_options *options,
                           struct gw_view config)
{
    Gateways__EventSource start = GATEWAYS__EVENT_SOURCE__INIT;
    char id[12];

    snprintf(id, sizeof(id), "%u", gw_fnv1a32(gw_view_text(feed->name), config));
    start.id = id;
    start.name = text_of(feed->name);
    start.value = data_of(config);
    start.type = text_of(feed->check->contract == GWC_CONTRACT_ARGO_011 ? "v0.10" : feed->check->type);
    return feed_talk(feed, "/gateways.Eventing/StartEventSource", &start.base, true, options->credit);
}

static int feed_start_generic(struct gwc_feed *feed, const struct gwc_feed_options *options,
                              struct gw_view config)
{
    Generic__EventSource start = GENERIC__EVENT_SOURCE__INIT;

    start.name = text_of(feed->name);
    start.config = data_of(config);
    return feed_talk(feed, "/generic.Eventing/StartEventSource", &start.base, true, options->credit);
}

static int feed_start(struct gwc_feed *feed, const struct gwc_feed_options *options)
{
    struct gw_view config;

    feed->name = options->name != NULL ? options->name : feed->check->options.name;
    if (options->config != NULL)
        config = *options->config;
    else
        GW_TRY(gwc_check_config(feed->check, options->number, &config));
    if (feed->check->contract == GWC_CONTRACT_V1)
        return feed_start_v1(feed, options, config);
    if (feed->check->contract == GWC_CONTRACT_GENERIC)
        return feed_start_generic(feed, options, config);
    return feed_start_argo(feed, options, config);
}

struct gwc_feed *gwc_feed_free(struct gwc_feed *feed)
{
    if (feed == NULL)
        return NULL;
    gwc_talk_close(feed->talk);
    gw_arena_done(&feed->arena);
    free(feed->marks);
    free(feed);
    return NULL;
}

static struct gwc_feed *feed_new(struct gwc_check *check)
{
    struct gwc_feed *feed = calloc(1, sizeof(*feed));

    if (feed != NULL)
        *feed = (struct gwc_feed){.check = check, .message = ""};
    return feed;
}

int gwc_feed_open(struct gwc_feed **ret_feed, struct gwc_check *check, const struct gwc_feed_options *options)
{
    struct gwc_feed *feed = feed_new(check);

    if (feed == NULL)
        return GW_RAISE(-ENOMEM);
    int fault = feed_start(feed, options);
    if (fault < 0)
        gwc_feed_free(feed);
    else
        *ret_feed = feed;
    return fault;
}

int gwc_feed_open_with(struct gwc_feed **ret_feed, struct gwc_check *check, const ProtobufCMessage *first)
{
    struct gwc_feed *feed = feed_new(check);
    bool newest = check->contract == GWC_CONTRACT_V1;
    const char *path = newest                                    ? "/gateway.v1.Eventing/Stream"
                       : check->contract == GWC_CONTRACT_GENERIC ? "/generic.Eventing/StartEventSource"
                                                                 : "/gateways.Eventing/StartEventSource";

    if (feed == NULL)
        return GW_RAISE(-ENOMEM);
    feed->name = check->options.name;
    int fault = feed_talk(feed, path, first, !newest, 0);
    if (fault < 0)
        gwc_feed_free(feed);
    else
        *ret_feed = feed;
    return fault;
}

struct gwc_feed *gwc_feed_close(struct gwc_feed *feed)
{
    bool ended = false;

    if (feed == NULL)
        return NULL;
    if (!feed->ended && feed->check->contract == GWC_CONTRACT_V1 &&
        !gwc_check_has_failed(feed->check, GWC_RULE_HALF_CLOSE)) {
        gwc_talk_half_close(feed->talk);
        (void)!gwc_feed_await_end(feed, gw_clock_monotonic_ms() + WITHDRAW_MS, &ended);
    }
    if (!feed->ended) {
        gwc_talk_cancel(feed->talk);
        (void)!gwc_feed_await_end(feed, gw_clock_monotonic_ms() + CANCEL_MS, &ended);
    }
    return gwc_feed_free(feed);
}

/* ---- what comes ---- */

static enum gwc_feed_kind feed_take_v1(struct gwc_feed *feed, const Gateway__V1__StreamResponse *response)
{
    switch (response->response_case) {
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE_STARTED:
        if (++feed->starts > 1)
            gwc_check_failed(feed->check, GWC_RULE_STARTED, "it says so %u times", feed->starts);
        return GWC_FEED_STARTED;
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE_NOTICE:
        feed->noticed = true;
        feed->noticed_first |= feed->events == 0;
        snprintf(feed->notice, sizeof(feed->notice), "%s", response->notice->message);
        if (feed->notice[0] == '\0' || !gw_utf8_valid(gw_view_text(response->notice->message)))
            gwc_check_failed(feed->check, GWC_RULE_NOTICE_WORDS, "a notice %s",
                             feed->notice[0] == '\0' ? "without a message" : "that is not UTF-8");
        else
            gwc_check_ok(feed->check, GWC_RULE_NOTICE_WORDS, "\"%s\"", feed->notice);
        return GWC_FEED_NOTICE;
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE_EVENTS:
        gwc_check_events(feed, response->events);
        return response->events->n_events > 0 ? GWC_FEED_EVENTS : GWC_FEED_OTHER;
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE__NOT_SET:
    case _GATEWAY__V1__STREAM_RESPONSE__RESPONSE__CASE_IS_INT_SIZE:
        break;
    }
    return GWC_FEED_OTHER;
}

static void feed_take_argo(struct gwc_feed *feed, const Gateways__Event *event)
{
    feed->sequence = ++feed->events;
    if (event->name[0] != '\0' && strcmp(event->name, feed->name) != 0)
        gwc_check_failed(feed->check, GWC_RULE_ARGO_NAME,
                         "an event with the name \"%.80s\" on the stream of \"%s\"", event->name, feed->name);
    else
        gwc_check_ok(feed->check, GWC_RULE_ARGO_NAME,
                     event->name[0] != '\0' ? "as it was started" : "the name is empty");
}

static enum gwc_feed_kind feed_take(struct gwc_feed *feed, struct gw_view bytes)
{
    const uint8_t *data = (const uint8_t *)bytes.data;
    enum gwc_feed_kind kind = GWC_FEED_OTHER;

    if (feed->check->contract == GWC_CONTRACT_V1) {
        Gateway__V1__StreamResponse *response = gateway__v1__stream_response__unpack(NULL, bytes.size, data);
        if (response == NULL)
            gwc_check_failed(feed->check, GWC_RULE_ATTRIBUTES, "a message of %zu bytes is no StreamResponse",
                             bytes.size);
        else
            kind = feed_take_v1(feed, response);
        gateway__v1__stream_response__free_unpacked(response, NULL);
        return kind;
    }
    Gateways__Event *event = gateways__event__unpack(NULL, bytes.size, data);
    if (event == NULL) {
        gwc_check_failed(feed->check, GWC_RULE_ARGO_NAME, "a message of %zu bytes is no Event", bytes.size);
    } else {
        feed_take_argo(feed, event);
        kind = GWC_FEED_EVENTS;
    }
    gateways__event__free_unpacked(event, NULL);
    return kind;
}

/* The words of gRPC itself, on our side; the server's own RESOURCE_EXHAUSTED may mean anything. */
static bool is_too_large(int status, const char *message)
{
    return status == GW_RPC_RESOURCE_EXHAUSTED && strstr(message, "larger than max") != NULL;
}

static void feed_end(struct gwc_feed *feed)
{
    feed->ended = true;
    feed->status = gwc_talk_status(feed->talk);
    feed->message = gwc_talk_message(feed->talk);
    if (is_too_large(feed->status, feed->message))
        gwc_check_failed(feed->check, GWC_RULE_MESSAGE_SIZE, "%s", feed->message);
}

static void feed_count(struct gwc_feed *feed, size_t size)
{
    struct gwc_check *check = feed->check;
    int64_t now_ms = gw_clock_monotonic_ms();

    if (feed->last_event_ms > 0)
        check->gap_ms = GW_MAX(check->gap_ms, now_ms - feed->last_event_ms);
    feed->last_event_ms = now_ms;
    check->events_come = true;
    check->messages++;
    check->message_max = GW_MAX(check->message_max, size);
    if (feed->acknowledging)
        gwc_feed_acknowledge(feed, feed->sequence);
}

int gwc_feed_next(struct gwc_feed *feed, int64_t until_ms, enum gwc_feed_kind *ret_kind)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes bytes = {0};
    enum gwc_talk_kind came = GWC_TALK_SILENCE;
    uint64_t before = feed->events;

    if (!feed->ended)
        GW_TRY(gwc_talk_next(feed->talk, until_ms - gw_clock_monotonic_ms(), &came, &bytes));
    if (came == GWC_TALK_MESSAGE) {
        *ret_kind = feed_take(feed, gw_bytes_view(&bytes));
        feed->check->events += feed->events - before;
        if (*ret_kind == GWC_FEED_EVENTS)
            feed_count(feed, bytes.size);
    } else if (came == GWC_TALK_ENDED) {
        feed_end(feed);
        *ret_kind = GWC_FEED_ENDED;
    } else {
        *ret_kind = feed->ended ? GWC_FEED_ENDED : GWC_FEED_SILENCE;
    }
    return 0;
}

/* ---- waiting: the time ends also while messages keep coming ---- */

static bool goes_on(enum gwc_feed_kind kind, int64_t until_ms)
{
    return kind != GWC_FEED_ENDED && kind != GWC_FEED_SILENCE && gw_clock_monotonic_ms() < until_ms;
}

int gwc_feed_await_running(struct gwc_feed *feed, bool *ret_runs)
{
    struct gwc_check *check = feed->check;
    int64_t began_ms = gw_clock_monotonic_ms(), until_ms = gwc_check_until(check);
    enum gwc_feed_kind kind = GWC_FEED_OTHER;

    while (feed->starts == 0 && feed->events == 0 && goes_on(kind, until_ms))
        GW_TRY(gwc_feed_next(feed, until_ms, &kind));
    *ret_runs = !feed->ended && (feed->starts > 0 || feed->events > 0);
    if (feed->starts > 0)
        check->answer_ms = GW_MAX(check->answer_ms, gw_clock_monotonic_ms() - began_ms);
    return 0;
}

int gwc_feed_await_events(struct gwc_feed *feed, uint64_t count, int64_t until_ms, bool *ret_came)
{
    enum gwc_feed_kind kind = GWC_FEED_OTHER;

    while (feed->events < count && goes_on(kind, until_ms))
        GW_TRY(gwc_feed_next(feed, until_ms, &kind));
    *ret_came = feed->events >= count;
    return 0;
}

int gwc_feed_await_end(struct gwc_feed *feed, int64_t until_ms, bool *ret_ended)
{
    enum gwc_feed_kind kind = GWC_FEED_OTHER;

    feed->acknowledging = false;
    while (goes_on(kind, until_ms))
        GW_TRY(gwc_feed_next(feed, until_ms, &kind));
    *ret_ended = feed->ended;
    return 0;
}

void gwc_feed_acknowledge(struct gwc_feed *feed, uint64_t sequence)
{
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;
    Gateway__V1__Acknowledgement acknowledgement = GATEWAY__V1__ACKNOWLEDGEMENT__INIT;

    if (feed->check->contract != GWC_CONTRACT_V1)
        return;
    acknowledgement.sequence = sequence;
    request.request_case = GATEWAY__V1__STREAM_REQUEST__REQUEST_ACKNOWLEDGED;
    request.acknowledged = &acknowledgement;
    gwc_talk_send(feed->talk, &request.base);
}

const char *gwc_feed_words(struct gwc_feed *feed)
{
    const char *words = NULL;

    if (feed->ended)
        words = gw_arena_printf(&feed->arena, "it ended with %s%s%s", gw_rpc_status_name(feed->status),
                                feed->message[0] != '\0' ? ": " : "", feed->message);
    else if (feed->noticed)
        words = gw_arena_printf(&feed->arena, "it is open, and says: %s", feed->notice);
    else
        words = "it is open, and nothing came within the timeout";
    return words != NULL ? words : "";
}

void gwc_feed_judge_error(struct gwc_feed *feed)
{
    if (!feed->ended || feed->status == GW_RPC_OK)
        return;
    if (feed->message[0] == '\0')
        gwc_check_failed(feed->check, GWC_RULE_ERROR_WORDS, "a stream ended with %s and no message",
                         gw_rpc_status_name(feed->status));
    else
        gwc_check_ok(feed->check, GWC_RULE_ERROR_WORDS, "%s: %s", gw_rpc_status_name(feed->status),
                     feed->message);
}
