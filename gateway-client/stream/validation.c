/* Validation: one unary call after another, from our contract down to the oldest, until a server understands. */
#include "gateway-client/stream/validation.h"

#include "common/text.h"

#include "proto/argo/gateways/eventing.pb-c.h"
#include "proto/gateway/v1/eventing.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct gwc_validation {
    struct gwc_validation_options options;
    struct gw_arena arena;
    struct gwc_source source;
    enum gwc_contract asking;
    struct gw_task task;
    void (*done)(void *user, const struct gwc_validated *validated);
    void *user;
    bool cancelled; /* loop thread */
    /* the answer, written by the gRPC thread before it posts the task */
    int status;
    char message[GW_REASON_MAX];
    struct gw_problems problems;
    bool nonsense, wants_version;
};

static void validation_free(struct gwc_validation *validation)
{
    gwc_channel_unref(validation->options.channel);
    gw_problems_done(&validation->problems);
    gw_arena_done(&validation->arena);
    free(validation);
}

static void validation_finish(struct gwc_validation *validation, enum gwc_validity validity,
                              const char *reason)
{
    struct gwc_validated validated = {validity, validation->asking, &validation->problems, reason};

    if (!validation->cancelled)
        validation->done(validation->user, &validated);
    validation_free(validation);
}

/* ---- answers: gRPC thread ---- */

static void answer_v1(struct gwc_validation *validation, struct gw_view reply)
{
    Gateway__V1__Validation *answer =
        gateway__v1__validation__unpack(NULL, reply.size, (const uint8_t *)reply.data);

    validation->nonsense = answer == NULL;
    if (answer == NULL)
        return;
    for (size_t i = 0; i < answer->n_problems; i++) {
        gw_problems_add(&validation->problems, answer->problems[i]->path, (int)answer->problems[i]->line,
                        "%s", answer->problems[i]->message);
        if (answer->problems[i]->held_by[0] != '\0')
            gw_problems_held_by(&validation->problems, answer->problems[i]->held_by);
    }
    gateway__v1__validation__free_unpacked(answer, NULL);
}

static void answer_argo(struct gwc_validation *validation, struct gw_view reply)
{
    Gateways__ValidEventSource *answer =
        gateways__valid_event_source__unpack(NULL, reply.size, (const uint8_t *)reply.data);

    validation->nonsense = answer == NULL;
    if (answer == NULL)
        return;
    /* servers of v0.9.1 to v0.11 want "v0.10" in the field that later carried the type */
    validation->wants_version = !answer->isvalid && validation->asking == GWC_CONTRACT_ARGO_016 &&
                                validation->options.contract == GWC_CONTRACT_AUTO &&
                                strstr(answer->reason, "version mismatch") != NULL;
    if (!answer->isvalid && !validation->wants_version)
        gw_problems_add(&validation->problems, "", 0, "%s",
                        answer->reason[0] != '\0' ? answer->reason : "refused without a reason");
    gateways__valid_event_source__free_unpacked(answer, NULL);
}

static void on_reply(void *user, int status, const char *message, struct gw_view reply)
{
    struct gwc_validation *validation = user;

    validation->status = status;
    snprintf(validation->message, sizeof(validation->message), "%s", message);
    if (status == GW_RPC_OK && validation->asking == GWC_CONTRACT_V1)
        answer_v1(validation, reply);
    else if (status == GW_RPC_OK)
        answer_argo(validation, reply);
    gw_loop_post(validation->options.loop, &validation->task);
}

/* ---- questions: loop thread ---- */

static int ask_v1(struct gwc_validation *validation)
{
    Gateway__V1__EventSource request = GATEWAY__V1__EVENT_SOURCE__INIT;
    const struct gwc_source *source = &validation->source;

    request.id = (char *)(uintptr_t)source->id;
    request.gateway = (char *)(uintptr_t)validation->options.gateway;
    request.namespace_ = (char *)(uintptr_t)validation->options.namespace_;
    request.type = (char *)(uintptr_t)source->type;
    request.name = (char *)(uintptr_t)source->name;
    request.config = (ProtobufCBinaryData){source->config.size, (uint8_t *)(uintptr_t)source->config.data};
    return gw_rpc_call(gwc_channel_rpc(validation->options.channel), "/gateway.v1.Eventing/Validate",
                       &request.base, validation->options.deadline_ms, on_reply, validation);
}

static int ask_argo(struct gwc_validation *validation)
{
    Gateways__EventSource request = GATEWAYS__EVENT_SOURCE__INIT;
    const struct gwc_source *source = &validation->source;

    request.id = (char *)(uintptr_t)source->id;
    request.name = (char *)(uintptr_t)source->name;
    request.value = (ProtobufCBinaryData){source->config.size, (uint8_t *)(uintptr_t)source->config.data};
    request.type = (char *)(uintptr_t)(validation->asking == GWC_CONTRACT_ARGO_011 ? "v0.10" : source->type);
    return gw_rpc_call(gwc_channel_rpc(validation->options.channel), "/gateways.Eventing/ValidateEventSource",
                       &request.base, validation->options.deadline_ms, on_reply, validation);
}

/* generic.Eventing has no validation: nothing is asked, the start will tell. */
static void ask(struct gwc_validation *validation)
{
    int fault = 0;

    gw_problems_done(&validation->problems);
    if (validation->asking == GWC_CONTRACT_V1)
        fault = ask_v1(validation);
    else if (validation->asking != GWC_CONTRACT_GENERIC)
        fault = ask_argo(validation);
    else
        gw_loop_post(validation->options.loop, &validation->task);
    if (fault < 0) {
        validation->status = GW_RPC_RESOURCE_EXHAUSTED;
        snprintf(validation->message, sizeof(validation->message), "%s", gw_fault_trace());
        gw_loop_post(validation->options.loop, &validation->task);
    }
}

/* The contract to try after a server said UNIMPLEMENTED to `asked`. */
static enum gwc_contract older(enum gwc_contract asked)
{
    return asked == GWC_CONTRACT_V1 ? GWC_CONTRACT_ARGO_016 : GWC_CONTRACT_GENERIC;
}

static void on_answer(struct gw_task *task)
{
    struct gwc_validation *validation = GW_CONTAINER_OF(task, struct gwc_validation, task);
    bool automatic = validation->options.contract == GWC_CONTRACT_AUTO;
    struct gw_reason reason;

    if (validation->cancelled || validation->asking == GWC_CONTRACT_GENERIC) {
        validation_finish(validation, GWC_VALID, "");
    } else if (validation->status == GW_RPC_UNIMPLEMENTED && automatic) {
        validation->asking = older(validation->asking);
        ask(validation);
    } else if (validation->status == GW_RPC_OK && validation->wants_version) {
        validation->wants_version = false;
        validation->asking = GWC_CONTRACT_ARGO_011;
        ask(validation);
    } else if (validation->status == GW_RPC_UNIMPLEMENTED) {
        gw_reason_set(&reason, GWC_UNSPOKEN, gwc_contract_names[validation->asking]);
        validation_finish(validation, GWC_UNREACHABLE, reason.text);
    } else if (validation->status != GW_RPC_OK) {
        validation_finish(validation, GWC_UNREACHABLE, validation->message);
    } else if (validation->nonsense) {
        validation_finish(validation, GWC_UNREACHABLE, "the gateway-server answered nonsense to Validate");
    } else {
        validation_finish(validation, gw_problems_any(&validation->problems) ? GWC_INVALID : GWC_VALID, "");
    }
}

static int validation_copy(struct gwc_validation *validation, const struct gwc_validation_options *options)
{
    struct gwc_source *copy = &validation->source;

    validation->options = *options;
    *copy = *options->source;
    copy->key = gw_arena_copy(&validation->arena, gw_view_text(options->source->key));
    copy->type = gw_arena_copy(&validation->arena, gw_view_text(options->source->type));
    copy->name = gw_arena_copy(&validation->arena, gw_view_text(options->source->name));
    copy->config.data = gw_arena_copy(&validation->arena, options->source->config);
    copy->file = NULL;
    validation->options.source = copy;
    validation->options.gateway = gw_arena_copy(&validation->arena, gw_view_text(options->gateway));
    validation->options.namespace_ = gw_arena_copy(&validation->arena, gw_view_text(options->namespace_));
    if (copy->key == NULL || copy->type == NULL || copy->name == NULL || copy->config.data == NULL ||
        validation->options.gateway == NULL || validation->options.namespace_ == NULL)
        return GW_RAISE(-ENOMEM);
    return 0;
}

int gwc_validation_begin(struct gwc_validation **ret_validation, const struct gwc_validation_options *options,
                         void (*done)(void *user, const struct gwc_validated *validated), void *user)
{
    struct gwc_validation *validation = calloc(1, sizeof(*validation));

    if (validation == NULL) {
        gwc_channel_unref(options->channel);
        return GW_RAISE(-ENOMEM);
    }
    int fault = validation_copy(validation, options);
    if (fault != 0) {
        validation_free(validation);
        return fault;
    }
    validation->task.run = on_answer;
    validation->asking = options->contract == GWC_CONTRACT_AUTO ? GWC_CONTRACT_V1 : options->contract;
    validation->done = done;
    validation->user = user;
    *ret_validation = validation;
    ask(validation);
    return 0;
}

struct gwc_validation *gwc_validation_cancel(struct gwc_validation *validation)
{
    if (validation == NULL)
        return NULL;
    validation->cancelled = true; /* the answer still comes, and frees it */
    validation->options.channel = gwc_channel_unref(validation->options.channel);
    return NULL;
}

/* ---- what the answer means ---- */

void gwc_validated_words(const struct gwc_validated *validated, const struct gwc_source *source,
                         struct gw_reason *words)
{
    struct gw_problems located = {0};

    for (size_t i = 0; i < validated->problems->count; i++) {
        const struct gw_problem *problem = &validated->problems->items[i];
        int line = problem->line > 0 && source->line > 0 ? problem->line + source->line - 1 : problem->line;
        gw_problems_add(&located, problem->path, line, "%s", problem->message);
    }
    gw_problems_reason(&located, words);
    gw_problems_done(&located);
}

const char *gwc_validated_holder(const struct gwc_validated *validated)
{
    const struct gw_problems *problems = validated->problems;

    for (size_t i = 0; i < problems->count; i++)
        if (problems->items[i].held_by == NULL)
            return NULL;
    return problems->count == 0 || problems->dropped > 0 ? NULL : problems->items[0].held_by;
}
