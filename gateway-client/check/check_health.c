/* check-server: the health service. */
#include "gateway-client/check/check_server.h"

#include "proto/grpc/health/v1/health.pb-c.h"

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

/* *ret_status: -1 when the bytes are no answer. */
static void status_of(struct gw_view bytes, int *ret_status)
{
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    *ret_status = response == NULL ? -1 : (int)response->status;
    grpc__health__v1__health_check_response__free_unpacked(response, NULL);
}

static int check_ask(struct gwc_check *check, const char *service, struct gwc_answer *answer)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    request.service = (char *)(uintptr_t)service;
    return gwc_ask(check->channel, "/grpc.health.v1.Health/Check", &request.base, check->options.timeout_ms,
                   answer);
}

/* *ret_served false: the server has no health service. */
static int judge_check(struct gwc_check *check, bool *ret_served)
{
    GW_AUTO(gwc_answer_done) struct gwc_answer answer = {0};
    GW_AUTO(gwc_answer_done) struct gwc_answer unknown = {0};
    int status;

    *ret_served = false;
    GW_TRY(check_ask(check, "", &answer));
    if (answer.status == GW_RPC_UNIMPLEMENTED) {
        gwc_check_warn(check, GWC_RULE_HEALTH, "it does not");
        return 0;
    }
    *ret_served = true;
    status_of(gw_bytes_view(&answer.body), &status);
    if (answer.status != GW_RPC_OK || status != STATUS(SERVING))
        gwc_check_failed(check, GWC_RULE_HEALTH, "Check is not answered SERVING, but with %s %s",
                         answer.status != GW_RPC_OK ? gw_rpc_status_name(answer.status) : "another state",
                         answer.message);
    GW_TRY(check_ask(check, "check-server.Nobody", &unknown));
    if (unknown.status != GW_RPC_NOT_FOUND)
        gwc_check_failed(check, GWC_RULE_HEALTH,
                         "Check of a service that nobody has is answered %s, not NOT_FOUND",
                         gw_rpc_status_name(unknown.status));
    return 0;
}

static int judge_watch(struct gwc_check *check)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    const struct gwc_talk_options options = {
        .path = "/grpc.health.v1.Health/Watch", .first = &request.base, .half_close = true};
    GW_AUTO(gwc_talk_closep) struct gwc_talk *talk = NULL;
    GW_AUTO(gw_bytes_done) struct gw_bytes bytes = {0};
    enum gwc_talk_kind kind;
    int status;

    GW_TRY(gwc_talk_open(&talk, check->channel, &options));
    GW_TRY(gwc_talk_next(talk, check->options.timeout_ms, &kind, &bytes));
    status_of(gw_bytes_view(&bytes), &status);
    if (kind == GWC_TALK_ENDED)
        gwc_check_failed(check, GWC_RULE_HEALTH, "Watch ends at once with %s %s",
                         gw_rpc_status_name(gwc_talk_status(talk)), gwc_talk_message(talk));
    else if (kind == GWC_TALK_SILENCE)
        gwc_check_failed(check, GWC_RULE_HEALTH, "Watch does not send the present state");
    else if (status != STATUS(SERVING))
        gwc_check_failed(check, GWC_RULE_HEALTH, "Watch sends a state that is not SERVING");
    else
        gwc_check_ok(check, GWC_RULE_HEALTH, "SERVING");
    return 0;
}

int gwc_check_health(struct gwc_check *check)
{
    bool served;

    GW_TRY(judge_check(check, &served));
    return served ? judge_watch(check) : 0;
}
