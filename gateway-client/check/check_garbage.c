/* check-server: garbage harms the stream that it comes on, and no other. */
#include "gateway-client/check/check_server.h"

#include "proto/gateway/v1/eventing.pb-c.h"

/* Packs to a field 1 that announces 127 bytes and has one: no message in any of the contracts. */
static uint8_t torn_bytes[] = {127, 0};
static ProtobufCMessageUnknownField torn = {.tag = 1,
                                            .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
                                            .len = sizeof(torn_bytes),
                                            .data = torn_bytes};

static Gateway__V1__StreamRequest garbage(void)
{
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;

    request.base.n_unknown_fields = 1;
    request.base.unknown_fields = &torn;
    return request;
}

static void judge_ended(struct gwc_feed *feed, const char *what)
{
    if (!feed->ended || feed->status == GW_RPC_OK)
        gwc_check_failed(feed->check, GWC_RULE_GARBAGE, "%s: %s", what, gwc_feed_words(feed));
    else
        gwc_check_ok(feed->check, GWC_RULE_GARBAGE, "%s: %s", what, gwc_feed_words(feed));
}

static int judge_first(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    Gateway__V1__StreamRequest request = garbage();
    bool ended;

    GW_TRY(gwc_feed_open_with(&feed, check, &request.base));
    GW_TRY(gwc_feed_await_end(feed, gwc_check_until(check), &ended));
    judge_ended(feed, "as the first message");
    return 0;
}

static int judge_later(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    Gateway__V1__StreamRequest request = garbage();
    bool runs, ended;

    GW_TRY(gwc_feed_open(&feed, check, &(struct gwc_feed_options){0}));
    GW_TRY(gwc_feed_await_running(feed, &runs));
    if (!runs)
        return 0;
    gwc_talk_send(feed->talk, &request.base);
    GW_TRY(gwc_feed_await_end(feed, gwc_check_until(check), &ended));
    judge_ended(feed, "as a later message");
    return 0;
}

int gwc_check_garbage(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *witness = NULL;
    const struct gwc_feed_options other = {
        .gateway = "check-server-2", .name = "check-server-witness", .number = 1};
    bool newest = check->contract == GWC_CONTRACT_V1, runs = false, came;

    if (check->words.text[0] == '\0') {
        GW_TRY(gwc_feed_open(&witness, check, &other));
        witness->acknowledging = true;
        if (newest || check->events_come)
            GW_TRY(gwc_feed_await_running(witness, &runs));
        else
            GW_TRY(gwc_feed_await_events(witness, 1, gwc_check_settled(check), &runs));
        runs = !witness->ended && !gwc_check_has_failed(check, GWC_RULE_ARGO_STAYS_OPEN);
    }
    GW_TRY(judge_first(check));
    if (newest && check->words.text[0] == '\0')
        GW_TRY(judge_later(check));
    if (runs) {
        GW_TRY(gwc_feed_await_events(witness, UINT64_MAX, gwc_check_settled(check), &came));
        if (witness->ended)
            gwc_check_failed(check, GWC_RULE_GARBAGE, "another stream, meanwhile: %s",
                             gwc_feed_words(witness));
    }
    return 0;
}
