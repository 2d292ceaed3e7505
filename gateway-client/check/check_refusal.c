/* check-server: streams that have to be refused. */
#include "gateway-client/check/check_server.h"

#include "proto/gateway/v1/eventing.pb-c.h"

/* A configuration that cannot work. */
static int judge_bad_config(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    const struct gw_view broken = gw_view_text("a: [1\nb: }\n");
    bool ended;

    GW_TRY(gwc_feed_open(&feed, check, &(struct gwc_feed_options){.config = &broken}));
    GW_TRY(gwc_feed_await_end(feed, gwc_check_until(check), &ended));
    if (!ended)
        gwc_check_failed(check, GWC_RULE_REFUSED, "text that is not YAML: %s",
                         feed->starts > 0 ? "it starts" : gwc_feed_words(feed));
    else if (feed->status != GW_RPC_INVALID_ARGUMENT)
        gwc_check_failed(check, GWC_RULE_REFUSED, "text that is not YAML: %s", gwc_feed_words(feed));
    else
        gwc_check_ok(check, GWC_RULE_REFUSED, "text that is not YAML: %s", feed->message);
    gwc_feed_judge_error(feed);
    return 0;
}

static void judge_first(struct gwc_feed *feed, const char *what)
{
    struct gwc_check *check = feed->check;

    if (!feed->ended || feed->status == GW_RPC_OK)
        gwc_check_failed(check, GWC_RULE_FIRST_REQUEST, "%s: %s", what, gwc_feed_words(feed));
    else if (feed->status != GW_RPC_INVALID_ARGUMENT)
        gwc_check_warn(check, GWC_RULE_FIRST_REQUEST, "%s: %s", what, gwc_feed_words(feed));
    else
        gwc_check_ok(check, GWC_RULE_FIRST_REQUEST, "%s: %s", what, feed->message);
    gwc_feed_judge_error(feed);
}

static int judge_acknowledged_first(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;
    Gateway__V1__Acknowledgement acknowledgement = GATEWAY__V1__ACKNOWLEDGEMENT__INIT;
    bool ended;

    acknowledgement.sequence = 1;
    request.request_case = GATEWAY__V1__STREAM_REQUEST__REQUEST_ACKNOWLEDGED;
    request.acknowledged = &acknowledgement;
    GW_TRY(gwc_feed_open_with(&feed, check, &request.base));
    GW_TRY(gwc_feed_await_end(feed, gwc_check_until(check), &ended));
    judge_first(feed, "an acknowledgement first");
    return 0;
}

static int judge_started_twice(struct gwc_check *check)
{
    GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;
    Gateway__V1__EventSource start = GATEWAY__V1__EVENT_SOURCE__INIT;
    bool runs, ended;

    if (check->words.text[0] != '\0')
        return 0;
    GW_TRY(gwc_feed_open(&feed, check, &(struct gwc_feed_options){0}));
    GW_TRY(gwc_feed_await_running(feed, &runs));
    if (!runs)
        return 0;
    start.gateway = start.namespace_ = (char *)(uintptr_t) "check-server";
    start.type = (char *)(uintptr_t)check->type;
    start.name = (char *)(uintptr_t) "check-server-again";
    start.config = (ProtobufCBinaryData){check->config.size, (uint8_t *)(uintptr_t)check->config.data};
    request.request_case = GATEWAY__V1__STREAM_REQUEST__REQUEST_START;
    request.start = &start;
    gwc_talk_send(feed->talk, &request.base);
    GW_TRY(gwc_feed_await_end(feed, gwc_check_until(check), &ended));
    judge_first(feed, "start in a stream that was started");
    return 0;
}

int gwc_check_refusals(struct gwc_check *check)
{
    GW_TRY(judge_bad_config(check));
    GW_TRY(judge_acknowledged_first(check));
    return judge_started_twice(check);
}
