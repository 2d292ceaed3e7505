/* check-server: a stream as it should be, from its start to odd requests in it. */
#include "gateway-client/check/check_server.h"

#include "proto/gateway/v1/eventing.pb-c.h"

enum {
    ENOUGH_EVENTS = 200, /* to look at */
    ENOUGH_MS = 3000,    /* after the first one */
    BEYOND = 1000000,
};

/* ---- the beginning ---- */

/* Why nothing runs, for all rules that need a stream. */
static void judge_not_running(struct gwc_feed *feed)
{
    struct gwc_check *check = feed->check;
    const char *words = gwc_feed_words(feed);

    gw_reason_set(&check->words, "no stream could be started: %s", words);
    gwc_feed_judge_error(feed);
    if (feed->ended && feed->status == GW_RPC_INVALID_ARGUMENT) {
        check->refused = check->options.config_given;
        gwc_check_warn(check, GWC_RULE_BAD_CONFIG, "Validate finds nothing wrong, but of the stream: %s",
                       words);
    }
    if (!feed->ended && !feed->noticed)
        gwc_check_failed(check, GWC_RULE_STARTED, "neither started, nor a notice, nor an end within %.1f s",
                         (double)check->options.timeout_ms / 1000);
    else if (feed->ended && (feed->status == GW_RPC_OK || feed->status == GW_RPC_UNIMPLEMENTED))
        gwc_check_failed(check, GWC_RULE_STARTED, "%s", words);
    else
        gwc_check_skip(check, GWC_RULE_STARTED, "%s", words);
}

static int collect(struct gwc_feed *feed)
{
    bool came;

    GW_TRY(gwc_feed_await_events(feed, 1, gwc_check_until(feed->check), &came));
    if (came)
        GW_TRY(gwc_feed_await_events(
            feed, ENOUGH_EVENTS,
            gw_clock_monotonic_ms() + GW_MIN(feed->check->options.timeout_ms, (int64_t)ENOUGH_MS), &came));
    feed->check->events_most = feed->events;
    return 0;
}

static void judge_events(struct gwc_check *check)
{
    static const enum gwc_rule of_events[] = {GWC_RULE_SEQUENCE, GWC_RULE_ATTRIBUTES, GWC_RULE_TIME,
                                              GWC_RULE_DATA, GWC_RULE_MESSAGE_SIZE};

    if (check->events_come)
        gwc_check_ok(check, GWC_RULE_MESSAGE_SIZE, "the largest has %zu bytes", check->message_max);
    for (size_t i = 0; i < GW_COUNT_OF(of_events); i++)
        gwc_check_skip(check, of_events[i],
                       "no event came within %.1f s: the configuration yields none so soon, or --trigger is "
                       "needed",
                       (double)check->options.timeout_ms / 1000);
    gwc_check_skip(check, GWC_RULE_ID, check->events_come ? "its events have no id" : "no event came");
    gwc_check_skip(check, GWC_RULE_ID_BY_POSITION,
                   check->events_come ? "its events have no position" : "no event came");
}

/* ---- while it runs ---- */

static int judge_validate(struct gwc_check *check)
{
    struct gwc_verdict_of_server said;

    GW_TRY(gwc_check_ask_validate(check, check->config, NULL, &said));
    if (!said.answered)
        gwc_check_failed(check, GWC_RULE_GOOD_CONFIG, "while it runs, Validate ends with %s: %s",
                         gw_rpc_status_name(said.status), said.message);
    else if (said.problems > 0)
        gwc_check_failed(check, GWC_RULE_GOOD_CONFIG, "while it runs, the same configuration is refused: %s",
                         said.message);
    return 0;
}

/* What a newer client may send one day: a request of another kind. */
static void send_unknown(struct gwc_feed *feed)
{
    static uint8_t bytes[] = {2, 8, 1};
    ProtobufCMessageUnknownField unknown = {
        .tag = 15, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, .len = sizeof(bytes), .data = bytes};
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;

    request.base.n_unknown_fields = 1;
    request.base.unknown_fields = &unknown;
    gwc_talk_send(feed->talk, &request.base);
}

/* Goes on taking events for a moment. */
static int settle(struct gwc_feed *feed)
{
    bool came;

    return gwc_feed_await_events(feed, UINT64_MAX, gwc_check_settled(feed->check), &came);
}

static void judge_harmless(struct gwc_feed *feed, enum gwc_rule rule, const char *what)
{
    if (feed->ended)
        gwc_check_failed(feed->check, rule, "%s: %s", what, gwc_feed_words(feed));
    else
        gwc_check_ok(feed->check, rule, "%s: the stream goes on", what);
}

static int judge_odd_acknowledgements(struct gwc_feed *feed)
{
    struct gwc_check *check = feed->check;
    bool ended;

    gwc_feed_acknowledge(feed, feed->sequence);
    gwc_feed_acknowledge(feed, feed->sequence);
    gwc_feed_acknowledge(feed, GW_MIN(feed->sequence, UINT64_C(1)));
    GW_TRY(settle(feed));
    judge_harmless(feed, GWC_RULE_ODD_ACKNOWLEDGEMENT, "repeated ones");
    if (feed->ended)
        return 0;
    feed->acknowledging = false;
    gwc_feed_acknowledge(feed, feed->sequence + BEYOND);
    GW_TRY(gwc_feed_await_end(feed, gwc_check_until(check), &ended));
    if (!ended)
        gwc_check_warn(check, GWC_RULE_ODD_ACKNOWLEDGEMENT, "one beyond the last event is taken");
    else if (feed->status != GW_RPC_INVALID_ARGUMENT)
        gwc_check_warn(check, GWC_RULE_ODD_ACKNOWLEDGEMENT, "one beyond the last event: %s",
                       gwc_feed_words(feed));
    gwc_feed_judge_error(feed);
    return 0;
}

static int open_running(struct gwc_check *check, struct gwc_feed **ret_feed, bool *ret_runs)
{
    GW_TRY(gwc_feed_open(ret_feed, check, &(struct gwc_feed_options){.number = 0}));
    (*ret_feed)->acknowledging = true;
    return gwc_feed_await_running(*ret_feed, ret_runs);
}

int gwc_check_stream(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    GW_AUTO(gwc_feed_closep) struct gwc_feed *second = NULL;
    struct gwc_feed *current;
    bool runs;

    GW_TRY(open_running(check, &feed, &runs));
    if (!runs) {
        judge_not_running(feed);
        return 0;
    }
    GW_TRY(collect(feed));
    if (feed->starts > 0)
        gwc_check_ok(check, GWC_RULE_STARTED, "before %s", feed->events > 0 ? "its events" : "anything else");
    GW_TRY(judge_validate(check));
    judge_events(check);
    if (gwc_check_has_failed(check, GWC_RULE_MESSAGE_SIZE))
        gw_reason_set(&check->words, "messages that are too large end each stream");
    if (feed->ended) {
        gwc_feed_judge_error(feed);
        return 0;
    }
    send_unknown(feed);
    GW_TRY(settle(feed));
    judge_harmless(feed, GWC_RULE_UNKNOWN_REQUEST, "a request of an unknown kind");
    current = feed;
    if (feed->ended) {
        GW_TRY(open_running(check, &second, &runs));
        current = second;
    }
    return runs ? judge_odd_acknowledgements(current) : 0;
}
