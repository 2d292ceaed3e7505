/* check-server: which contract the server speaks, what it says of itself, and what it does not have. */
#include "gateway-client/check/check_server.h"

#include "common/json.h"
#include "common/text.h"

#include "proto/argo/generic/generic.pb-c.h"
#include "proto/gateway/v1/eventing.pb-c.h"

#include <string.h>

enum { ANSWER_MS = 10000 }; /* what the contract gives the server */

int gwc_check_ask(struct gwc_check *check, const char *path, const ProtobufCMessage *request,
                  struct gwc_answer *ret_answer)
{
    int64_t timeout_ms = GW_MIN(check->options.timeout_ms, (int64_t)ANSWER_MS);
    const char *method = strrchr(path, '/') + 1;

    GW_TRY(gwc_ask(check->channel, path, request, timeout_ms, ret_answer));
    if (ret_answer->status == GW_RPC_DEADLINE_EXCEEDED && gw_rpc_channel_connected(check->channel)) {
        gwc_check_failed(check, GWC_RULE_ANSWERS, "%s: no answer within %.1f s", method,
                         (double)timeout_ms / 1000);
    } else if (ret_answer->status != GW_RPC_UNAVAILABLE) {
        check->answer_ms = GW_MAX(check->answer_ms, ret_answer->took_ms);
        gwc_check_ok(check, GWC_RULE_ANSWERS, "%s in %lld ms", method, (long long)ret_answer->took_ms);
    }
    return 0;
}

int gwc_check_ping(struct gwc_check *check, int64_t timeout_ms, struct gwc_answer *ret_answer)
{
    Gateway__V1__DescribeRequest request = GATEWAY__V1__DESCRIBE_REQUEST__INIT; /* empty, as all may be */
    const char *path = check->contract == GWC_CONTRACT_V1 ? "/gateway.v1.Eventing/Describe"
                                                          : "/gateways.Eventing/ValidateEventSource";

    if (check->contract == GWC_CONTRACT_GENERIC || gwc_check_has_failed(check, GWC_RULE_ANSWERS))
        path = "/sluice.check.Nobody/Nothing";
    return gwc_ask(check->channel, path, &request.base, timeout_ms, ret_answer);
}

/* ---- which contract ---- */

static int describe_ask(struct gwc_check *check, struct gwc_answer *answer)
{
    Gateway__V1__DescribeRequest request = GATEWAY__V1__DESCRIBE_REQUEST__INIT;

    return gwc_check_ask(check, "/gateway.v1.Eventing/Describe", &request.base, answer);
}

/* After the first call of a contract: is somebody there, and does it know the method? */
static void check_reach(struct gwc_check *check, int status, const char *message)
{
    check->reachable = gw_rpc_channel_connected(check->channel);
    check->speaks = check->reachable && status != GW_RPC_UNIMPLEMENTED;
    if (!check->reachable)
        gw_reason_set(&check->words, "%s: %s", gw_rpc_status_name(status), message);
    else if (!check->speaks)
        gw_reason_set(
            &check->words, "it answers, but speaks %s%s",
            check->options.contract == GWC_CONTRACT_AUTO
                ? "none of gateway.v1, gateways.Eventing, generic.Eventing"
                : "not ",
            check->options.contract == GWC_CONTRACT_AUTO ? "" : gwc_contract_names[check->options.contract]);
    else
        check->words.text[0] = '\0';
}

/* Whether the server has the method by which this contract is known. */
static int contract_try(struct gwc_check *check, enum gwc_contract contract)
{
    struct gwc_verdict_of_server said = {0};

    check->contract = contract;
    if (contract == GWC_CONTRACT_GENERIC) {
        GW_AUTO(gwc_feed_closep) struct gwc_feed *feed = NULL;
        bool runs, ended = false;
        GW_TRY(gwc_feed_open(&feed, check, &(struct gwc_feed_options){0}));
        /* a server that has the method may well say nothing for a while */
        GW_TRY(gwc_feed_await_events(feed, 1, gw_clock_monotonic_ms() + 500, &runs));
        if (!runs && !feed->ended && !gw_rpc_channel_connected(check->channel))
            GW_TRY(gwc_feed_await_end(feed, gwc_check_until(check), &ended));
        said.status = feed->ended ? feed->status : GW_RPC_OK;
        snprintf(said.message, sizeof(said.message), "%s", feed->message);
    } else {
        GW_TRY(gwc_check_ask_validate(check, check->config, NULL, &said));
    }
    check_reach(check, said.status, said.message);
    if (contract == GWC_CONTRACT_ARGO_016 && check->options.contract == GWC_CONTRACT_AUTO &&
        strstr(said.message, "version mismatch") != NULL)
        check->contract = GWC_CONTRACT_ARGO_011; /* those want their version where the type came later */
    return 0;
}

/* From the newest down, or the one that was asked for. */
static int contract_find(struct gwc_check *check)
{
    static const enum gwc_contract newest_first[] = {GWC_CONTRACT_V1, GWC_CONTRACT_ARGO_016,
                                                     GWC_CONTRACT_GENERIC};
    enum gwc_contract wanted = check->options.contract;

    for (size_t i = 0; i < GW_COUNT_OF(newest_first) && !check->speaks; i++) {
        enum gwc_contract contract = wanted == GWC_CONTRACT_AUTO ? newest_first[i] : wanted;
        GW_TRY(contract_try(check, contract));
        if (!check->reachable || wanted != GWC_CONTRACT_AUTO)
            break;
    }
    return 0;
}

/* ---- what it says of itself ---- */

static bool is_type(const char *text)
{
    return text[0] != '\0' &&
           text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] == '\0';
}

static void judge_type(struct gwc_check *check, const Gateway__V1__Description *description)
{
    const char *wanted = check->options.type;

    if (!is_type(description->type))
        gwc_check_failed(check, GWC_RULE_TYPE, "the type is \"%s\": letters, digits, '-' and '_' make one",
                         description->type);
    else if (wanted != NULL && strcmp(description->type, wanted) != 0)
        gwc_check_failed(check, GWC_RULE_TYPE, "the type is \"%s\", not \"%s\" as --type says",
                         description->type, wanted);
    else if (description->version[0] == '\0')
        gwc_check_warn(check, GWC_RULE_TYPE, "type \"%s\", but no version", description->type);
    else
        gwc_check_ok(check, GWC_RULE_TYPE, "%s %s", description->type, description->version);
}

/* What is wrong with it as the schema of an object; NULL: nothing. */
static const char *schema_fault(const struct gw_node *schema)
{
    const struct gw_node *type = gw_node_get(schema, "type");
    const struct gw_node *properties = gw_node_get(schema, "properties");
    const struct gw_node *required = gw_node_get(schema, "required");

    if (schema->kind != GW_NODE_MAP)
        return "it is JSON, but no object";
    if (type != NULL && strcmp(gw_node_text(type, ""), "object") != 0)
        return "its type is not \"object\"";
    if (properties != NULL && properties->kind != GW_NODE_MAP)
        return "its properties are no object";
    for (const struct gw_node *item = properties == NULL ? NULL : properties->first; item != NULL;
         item = item->next)
        if (item->kind != GW_NODE_MAP && item->kind != GW_NODE_BOOL)
            return "one of its properties is no schema";
    if (required != NULL && required->kind != GW_NODE_LIST)
        return "its \"required\" is no list";
    return NULL;
}

static int judge_schema(struct gwc_check *check, const char *text)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *schema = NULL;
    struct gw_reason reason = {""};

    if (text[0] == '\0') {
        gwc_check_warn(check, GWC_RULE_SCHEMA, "there is none");
        return 0;
    }
    int read = gw_json_read(&check->arena, gw_view_text(text), &schema, &problems);
    if (read < 0)
        return read;
    gw_problems_reason(&problems, &reason);
    if (read > 0) {
        gwc_check_failed(check, GWC_RULE_SCHEMA, "it is not JSON: %s", reason.text);
        return 0;
    }
    const char *fault = schema_fault(schema);
    const char *dialect = gw_node_text(gw_node_get(schema, "$schema"), "");
    if (fault != NULL) {
        gwc_check_failed(check, GWC_RULE_SCHEMA, "%s", fault);
        return 0;
    }
    check->schema = schema;
    if (dialect[0] != '\0' && strstr(dialect, "2020-12") == NULL)
        gwc_check_warn(check, GWC_RULE_SCHEMA, "its $schema is \"%s\", not that of draft 2020-12", dialect);
    else
        gwc_check_ok(check, GWC_RULE_SCHEMA, "%zu bytes", strlen(text));
    return 0;
}

static int describe_take(struct gwc_check *check, const struct gwc_answer *answer)
{
    Gateway__V1__Description *description = NULL;

    if (answer->status == GW_RPC_OK)
        description =
            gateway__v1__description__unpack(NULL, answer->body.size, (const uint8_t *)answer->body.data);
    if (description == NULL) {
        gwc_check_skip(check, GWC_RULE_SCHEMA, "Describe was not answered");
        if (answer->status == GW_RPC_DEADLINE_EXCEEDED)
            gwc_check_skip(check, GWC_RULE_TYPE, "Describe was not answered");
        else
            gwc_check_failed(check, GWC_RULE_TYPE, "Describe was answered with %s %s",
                             gw_rpc_status_name(answer->status),
                             answer->status == GW_RPC_OK ? "and no Description" : answer->message);
        return 0;
    }
    judge_type(check, description);
    if (check->options.type == NULL)
        check->type = gw_arena_copy(&check->arena, gw_view_text(description->type));
    check->version = gw_arena_copy(&check->arena, gw_view_text(description->version));
    int fault = judge_schema(check, description->config_schema);
    gateway__v1__description__free_unpacked(description, NULL);
    if (fault == 0 && (check->type == NULL || check->version == NULL))
        fault = GW_RAISE(-ENOMEM);
    return fault;
}

int gwc_check_contract(struct gwc_check *check)
{
    GW_AUTO(gwc_answer_done) struct gwc_answer answer = {0};
    enum gwc_contract wanted = check->options.contract;

    check->contract = GWC_CONTRACT_V1;
    if (wanted == GWC_CONTRACT_AUTO || wanted == GWC_CONTRACT_V1) {
        GW_TRY(describe_ask(check, &answer));
        check_reach(check, answer.status, answer.message);
        if (!check->reachable)
            return 0;
    }
    if (!check->speaks)
        GW_TRY(contract_find(check));
    if (check->speaks && check->contract == GWC_CONTRACT_V1)
        return describe_take(check, &answer);
    return 0;
}

/* ---- what it does not have ---- */

int gwc_check_methods(struct gwc_check *check)
{
    static const char *const paths[] = {"/gateway.v1.Eventing/CheckServer", "/gateways.Eventing/CheckServer",
                                        "/sluice.check.Nobody/Nothing"};
    Gateway__V1__DescribeRequest request = GATEWAY__V1__DESCRIBE_REQUEST__INIT;

    for (size_t i = 0; i < GW_COUNT_OF(paths); i++) {
        GW_AUTO(gwc_answer_done) struct gwc_answer answer = {0};
        int64_t timeout_ms = check->options.timeout_ms;
        GW_TRY(gwc_ask(check->channel, paths[i], &request.base, timeout_ms, &answer));
        if (answer.status == GW_RPC_DEADLINE_EXCEEDED) {
            gwc_check_failed(check, GWC_RULE_UNIMPLEMENTED, "%s: no answer within %.1f s", paths[i],
                             (double)timeout_ms / 1000);
            return 0; /* each of them would take as long */
        }
        if (answer.status != GW_RPC_UNIMPLEMENTED)
            gwc_check_failed(check, GWC_RULE_UNIMPLEMENTED, "%s: %s %s", paths[i],
                             gw_rpc_status_name(answer.status), answer.message);
        else
            gwc_check_ok(check, GWC_RULE_UNIMPLEMENTED, "%zu of them", GW_COUNT_OF(paths));
    }
    return 0;
}
