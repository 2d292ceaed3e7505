/* check-server: what the server says of good and of broken configurations. */
#include "gateway-client/check/check_config.h"
#include "gateway-client/check/check_server.h"

#include "common/text.h"
#include "common/yaml.h"

#include "proto/argo/gateways/eventing.pb-c.h"
#include "proto/gateway/v1/eventing.pb-c.h"

#include <string.h>

/* ---- asking ---- */

static void take_v1(struct gw_view bytes, const char *field, struct gwc_verdict_of_server *said)
{
    Gateway__V1__Validation *answer =
        gateway__v1__validation__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    said->answered = answer != NULL;
    if (answer == NULL) {
        snprintf(said->message, sizeof(said->message), "its answer is no Validation");
        return;
    }
    said->problems = answer->n_problems;
    for (size_t i = 0; i < answer->n_problems; i++) {
        const Gateway__V1__Problem *problem = answer->problems[i];
        said->wordless |= problem->message[0] == '\0' || !gw_utf8_valid(gw_view_text(problem->message));
        said->named |= field != NULL &&
                       (strstr(problem->path, field) != NULL || strstr(problem->message, field) != NULL);
    }
    if (answer->n_problems > 0) {
        snprintf(said->message, sizeof(said->message), "%s", answer->problems[0]->message);
        snprintf(said->path, sizeof(said->path), "%s", answer->problems[0]->path);
    }
    gateway__v1__validation__free_unpacked(answer, NULL);
}

static void take_argo(struct gw_view bytes, const char *field, struct gwc_verdict_of_server *said)
{
    Gateways__ValidEventSource *answer =
        gateways__valid_event_source__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    said->answered = answer != NULL;
    if (answer == NULL) {
        snprintf(said->message, sizeof(said->message), "its answer is no ValidEventSource");
        return;
    }
    said->problems = answer->isvalid ? 0 : 1;
    said->wordless = !answer->isvalid && answer->reason[0] == '\0';
    said->named = field != NULL && strstr(answer->reason, field) != NULL;
    snprintf(said->message, sizeof(said->message), "%s", answer->reason);
    gateways__valid_event_source__free_unpacked(answer, NULL);
}

static ProtobufCBinaryData data_of(struct gw_view view)
{
    /* protobuf-c has no const; packing only reads */
    return (ProtobufCBinaryData){view.size, (uint8_t *)(uintptr_t)view.data};
}

static int ask_v1(struct gwc_check *check, struct gw_view config, struct gwc_answer *answer)
{
    Gateway__V1__EventSource request = GATEWAY__V1__EVENT_SOURCE__INIT;

    request.id = (char *)(uintptr_t) "1";
    request.gateway = request.namespace_ = (char *)(uintptr_t) "check-server";
    request.type = (char *)(uintptr_t)check->type;
    request.name = (char *)(uintptr_t)check->options.name;
    request.config = data_of(config);
    return gwc_check_ask(check, "/gateway.v1.Eventing/Validate", &request.base, answer);
}

static int ask_argo(struct gwc_check *check, struct gw_view config, struct gwc_answer *answer)
{
    Gateways__EventSource request = GATEWAYS__EVENT_SOURCE__INIT;

    request.id = (char *)(uintptr_t) "1";
    request.name = (char *)(uintptr_t)check->options.name;
    request.value = data_of(config);
    request.type = (char *)(uintptr_t)(check->contract == GWC_CONTRACT_ARGO_011 ? "v0.10" : check->type);
    return gwc_check_ask(check, "/gateways.Eventing/ValidateEventSource", &request.base, answer);
}

int gwc_check_ask_validate(struct gwc_check *check, struct gw_view config, const char *field,
                           struct gwc_verdict_of_server *ret_verdict)
{
    GW_AUTO(gwc_answer_done) struct gwc_answer answer = {0};
    struct gwc_verdict_of_server said = {0};
    bool newest = check->contract == GWC_CONTRACT_V1;

    if (newest)
        GW_TRY(ask_v1(check, config, &answer));
    else
        GW_TRY(ask_argo(check, config, &answer));
    said.status = answer.status;
    snprintf(said.message, sizeof(said.message), "%s", answer.message);
    if (answer.status == GW_RPC_OK && newest)
        take_v1(gw_bytes_view(&answer.body), field, &said);
    else if (answer.status == GW_RPC_OK)
        take_argo(gw_bytes_view(&answer.body), field, &said);
    *ret_verdict = said;
    return 0;
}

/* ---- judging ---- */

/* True: its configuration can be used. */
static bool judge_good(struct gwc_check *check, const struct gwc_verdict_of_server *said)
{
    const char *space = said->path[0] != '\0' ? ": " : "";

    if (!said->answered) {
        gwc_check_skip(check, GWC_RULE_GOOD_CONFIG, "Validate ended with %s: %s",
                       gw_rpc_status_name(said->status), said->message);
        gwc_check_failed(check, GWC_RULE_BAD_CONFIG, "Validate ended with %s: %s",
                         gw_rpc_status_name(said->status), said->message);
        return true; /* nothing is known against it */
    }
    if (said->problems == 0) {
        gwc_check_ok(check, GWC_RULE_GOOD_CONFIG, "%s",
                     check->options.config_given ? "it takes that of --config" : "it needs none");
        return true;
    }
    check->refused = check->options.config_given;
    gw_reason_set(&check->words, "%s: %s%s%s",
                  check->refused ? "it refuses the configuration of --config"
                                 : "it needs a configuration, and there is no --config",
                  said->path, space, said->message);
    gwc_check_skip(check, GWC_RULE_GOOD_CONFIG, "%s", check->words.text);
    return false;
}

static void judge_words(struct gwc_check *check, const struct gwc_variant *variant,
                        const struct gwc_verdict_of_server *said)
{
    if (said->problems == 0)
        return;
    if (said->wordless)
        gwc_check_failed(check, GWC_RULE_PROBLEM_WORDS, "%s: a problem without a message in UTF-8",
                         variant->what);
    else if (variant->field != NULL && !said->named)
        gwc_check_warn(check, GWC_RULE_PROBLEM_WORDS, "%s: neither path nor message name it: \"%s\", \"%s\"",
                       variant->what, said->path, said->message);
    else
        gwc_check_ok(check, GWC_RULE_PROBLEM_WORDS, "%s: \"%s\": %s", variant->what, said->path,
                     said->message);
}

static void judge_unknown(struct gwc_check *check, const struct gwc_verdict_of_server *said)
{
    if (said->problems > 0)
        gwc_check_ok(check, GWC_RULE_UNKNOWN_FIELD, "\"%s\": %s", said->path, said->message);
    else if (gwc_schema_is_closed(check->schema))
        gwc_check_failed(check, GWC_RULE_UNKNOWN_FIELD,
                         "it finds nothing wrong with one, although its schema says additionalProperties: "
                         "false");
    else
        gwc_check_warn(check, GWC_RULE_UNKNOWN_FIELD, "it finds nothing wrong with one");
}

static void judge_variant(struct gwc_check *check, const struct gwc_variant *variant,
                          const struct gwc_verdict_of_server *said)
{
    if (!said->answered) {
        gwc_check_failed(check, GWC_RULE_BAD_CONFIG, "%s: it ended with %s: %s", variant->what,
                         gw_rpc_status_name(said->status), said->message);
        return;
    }
    judge_words(check, variant, said);
    if (variant->kind == GWC_VARIANT_UNKNOWN)
        judge_unknown(check, said);
    else if (variant->kind == GWC_VARIANT_WRONG && said->problems == 0)
        gwc_check_failed(check, GWC_RULE_BAD_CONFIG, "%s: it finds nothing wrong", variant->what);
    else
        gwc_check_ok(check, GWC_RULE_BAD_CONFIG, "%s, …: %s", variant->what,
                     said->problems > 0 ? said->message : "good");
}

static int check_node(struct gwc_check *check, const struct gw_node **ret_node)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *node = NULL;
    int read = gw_yaml_read(&check->arena, check->config, &node, &problems);

    if (read == 0 && (node->kind == GW_NODE_MAP || node->kind == GW_NODE_NULL))
        *ret_node = node;
    return read < 0 ? read : 0;
}

int gwc_check_validate(struct gwc_check *check)
{
    struct gwc_verdict_of_server said;
    struct gwc_variants variants;
    const struct gw_node *good = NULL;

    GW_TRY(gwc_check_ask_validate(check, check->config, NULL, &said));
    bool usable = judge_good(check, &said);
    if (!said.answered)
        return 0;
    if (usable)
        GW_TRY(check_node(check, &good));
    else
        gwc_check_skip(check, GWC_RULE_UNKNOWN_FIELD, "%s", check->words.text);
    GW_TRY(gwc_variants_make(&check->arena, good, check->schema, &variants));
    for (size_t i = 0; i < variants.count && said.status != GW_RPC_UNAVAILABLE; i++) {
        GW_TRY(gwc_check_ask_validate(check, variants.items[i].text, variants.items[i].field, &said));
        judge_variant(check, &variants.items[i], &said);
    }
    gwc_check_skip(check, GWC_RULE_PROBLEM_WORDS, "it found no problem in anything");
    return 0;
}

/* ---- Argo's ---- */

int gwc_check_validate_argo(struct gwc_check *check)
{
    const struct gw_view broken = gw_view_text("a: [1\nb: }\n");
    struct gwc_verdict_of_server said;

    if (check->contract == GWC_CONTRACT_GENERIC)
        return 0; /* it has no validation */
    GW_TRY(gwc_check_ask_validate(check, check->config, NULL, &said));
    if (!said.answered) {
        gwc_check_failed(check, GWC_RULE_ARGO_VALIDATION, "a configuration: it ended with %s: %s",
                         gw_rpc_status_name(said.status), said.message);
        return 0;
    }
    if (said.problems > 0) {
        check->refused = check->options.config_given;
        gw_reason_set(&check->words, "it refuses the configuration%s: %s",
                      check->refused ? " of --config" : ", and there is no --config", said.message);
    }
    GW_TRY(gwc_check_ask_validate(check, broken, NULL, &said));
    if (!said.answered)
        gwc_check_failed(check, GWC_RULE_ARGO_VALIDATION, "text that is not YAML: it ended with %s: %s",
                         gw_rpc_status_name(said.status), said.message);
    else if (said.problems == 0)
        gwc_check_failed(check, GWC_RULE_ARGO_VALIDATION, "text that is not YAML: it says isValid");
    else if (said.wordless)
        gwc_check_failed(check, GWC_RULE_ARGO_VALIDATION,
                         "text that is not YAML: not valid, without a reason");
    else
        gwc_check_ok(check, GWC_RULE_ARGO_VALIDATION, "text that is not YAML: %s", said.message);
    return 0;
}
