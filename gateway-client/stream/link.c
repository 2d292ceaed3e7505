/* A link: gRPC threads receive and append, the writer thread acknowledges, the loop hears about it. */
#include "gateway-client/stream/link.h"

#include "common/clock.h"
#include "gateway-client/stream/received.h"

#include "proto/argo/gateways/eventing.pb-c.h"
#include "proto/argo/generic/generic.pb-c.h"
#include "proto/gateway/v1/eventing.pb-c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINK_CREDIT = 4
}; /* messages of one link in the outbox's queue: the next one arrives while one is committed */

struct gwc_link {
    struct gw_loop *loop;
    struct gwc_outbox *outbox;
    struct gwc_channel *channel;
    struct gw_rpc_stream *stream;
    struct gw_arena arena;
    const char *key;
    struct gwc_receiver receiver; /* gRPC stream thread; its texts live in the arena */

    struct gwc_link_hooks hooks; /* loop thread */
    void *user;
    bool told_started, told_ended;
    struct gw_task task, release_task;

    atomic_int references; /* the loop's, the call's until its end, one for each append under way */
    atomic_uint_least64_t events;
    atomic_int_least64_t last_event_ms;
    bool refused; /* gRPC stream thread: what came was nonsense, nothing more is taken */

    pthread_mutex_t
        lock;       /* guards what the gRPC thread tells the loop, and `abandoned`, which the loop tells it */
    bool abandoned; /* nothing is appended any more: the outbox may be closed */
    bool started, notice_waits, warning, ended;
    int status;
    char notice[GW_REASON_MAX], message[GW_REASON_MAX];
};

struct link_append {
    struct gwc_append append;
    struct gwc_link *link;
    uint64_t sequence;
    struct gwc_received received;
};

static void link_unref(struct gwc_link *link)
{
    if (atomic_fetch_sub(&link->references, 1) == 1)
        gw_loop_post(link->loop, &link->release_task); /* the last task of this link: the loop frees it */
}

/* ---- telling the loop ---- */

static void link_free(struct gwc_link *link)
{
    gw_rpc_stream_free(link->stream);
    gwc_channel_unref(link->channel); /* it outlives the stream */
    pthread_mutex_destroy(&link->lock);
    gw_arena_done(&link->arena);
    free(link);
}

static void on_task(struct gw_task *task)
{
    struct gwc_link *link = GW_CONTAINER_OF(task, struct gwc_link, task);
    char notice[GW_REASON_MAX];

    pthread_mutex_lock(&link->lock);
    bool started = link->started && !link->told_started;
    bool noticed = link->notice_waits, warning = link->warning;
    bool ended = link->ended && !link->told_ended;
    memcpy(notice, link->notice, sizeof(notice));
    link->notice_waits = false;
    link->told_started |= started;
    link->told_ended |= ended;
    pthread_mutex_unlock(&link->lock);

    if (started && !link->abandoned)
        link->hooks.started(link->user);
    if (noticed && !link->abandoned)
        link->hooks.notice(link->user, warning, notice);
    if (ended) {
        if (!link->abandoned)
            link->hooks.ended(link->user, link->status, link->message);
        link_unref(link); /* the loop's: the end has been heard */
    }
}

static void on_release(struct gw_task *task)
{
    struct gwc_link *link = GW_CONTAINER_OF(task, struct gwc_link, release_task);

    if (!link->abandoned)
        link->hooks.released(link->user);
    link_free(link);
}

static void link_tell_started(struct gwc_link *link)
{
    pthread_mutex_lock(&link->lock);
    link->started = true;
    pthread_mutex_unlock(&link->lock);
    gw_loop_post(link->loop, &link->task);
}

static void link_tell_notice(struct gwc_link *link, bool warning, const char *message)
{
    pthread_mutex_lock(&link->lock);
    snprintf(link->notice, sizeof(link->notice), "%s", message);
    link->warning = warning;
    link->notice_waits = true;
    pthread_mutex_unlock(&link->lock);
    gw_loop_post(link->loop, &link->task);
}

/* ---- appending: gRPC stream thread ---- */

static void link_refuse(struct gwc_link *link, const char *what)
{
    struct gw_reason reason;

    gw_reason_set(&reason, "the gateway-server sent %s", what);
    link->refused = true;
    pthread_mutex_lock(&link->lock);
    if (link->message[0] == '\0')
        memcpy(link->message, reason.text, sizeof(link->message));
    pthread_mutex_unlock(&link->lock);
    gw_rpc_stream_cancel(link->stream);
}

static void link_acknowledge(struct gwc_link *link, uint64_t sequence)
{
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;
    Gateway__V1__Acknowledgement acknowledgement = GATEWAY__V1__ACKNOWLEDGEMENT__INIT;

    acknowledgement.sequence = sequence;
    request.request_case = GATEWAY__V1__STREAM_REQUEST__REQUEST_ACKNOWLEDGED;
    request.acknowledged = &acknowledgement;
    if (gw_rpc_stream_send_latest(link->stream, &request.base) < 0)
        gw_rpc_stream_cancel(link->stream); /* it will come again, and be acknowledged then */
}

static void append_free(struct link_append *append)
{
    gwc_received_done(&append->received);
    free(append);
}

static void on_durable(struct gwc_append *base, bool ok)
{
    struct link_append *append = GW_CONTAINER_OF(base, struct link_append, append);
    struct gwc_link *link = append->link;

    if (ok) {
        atomic_fetch_add(&link->events, base->count);
        atomic_store(&link->last_event_ms, gw_clock_realtime_ms());
        if (link->receiver.contract == GWC_CONTRACT_V1)
            link_acknowledge(link, append->sequence);
        gw_rpc_stream_credit(link->stream, 1);
    }
    append->received.count = 0; /* the events are the outbox's */
    append_free(append);
    link_unref(link);
}

/* To append is to queue: nothing under the lock waits. */
static bool link_hand_over(struct gwc_link *link, struct gwc_append *append)
{
    pthread_mutex_lock(&link->lock);
    bool wanted = !link->abandoned;
    if (wanted) {
        atomic_fetch_add(&link->references, 1);
        gwc_outbox_append(link->outbox, append);
    }
    pthread_mutex_unlock(&link->lock);
    return wanted;
}

static void link_append(struct gwc_link *link, struct gwc_received *received)
{
    struct link_append *append = calloc(1, sizeof(*append));

    if (append == NULL) {
        gwc_received_done(received);
        link_refuse(link, "more than there is memory for");
        return;
    }
    append->link = link;
    append->sequence = link->receiver.sequence;
    append->received = *received;
    append->append = (struct gwc_append){
        .events = append->received.events,
        .natural = append->received.natural,
        .count = append->received.count,
        .source_key = link->key,
        .position = gw_bytes_view(&append->received.position),
        .durable = on_durable,
    };
    if (!link_hand_over(link, &append->append))
        append_free(append);
}

static void on_message(void *user, struct gw_view bytes)
{
    struct gwc_link *link = user;
    struct gwc_received received;
    struct gw_reason reason = {"more than there is memory for"};

    if (link->refused)
        return;
    if (gwc_receive(&link->receiver, bytes, &received, &reason) != 0) {
        link_refuse(link, reason.text);
        return;
    }
    if (received.kind == GWC_RECEIVED_EVENTS) {
        if (link->receiver.contract != GWC_CONTRACT_V1)
            link_tell_started(link); /* Argo's contracts have no other sign */
        link_append(link, &received);
        return;
    }
    if (received.kind == GWC_RECEIVED_STARTED)
        link_tell_started(link);
    if (received.kind == GWC_RECEIVED_NOTICE)
        link_tell_notice(link, received.warning, received.notice);
    gwc_received_done(&received);
    gw_rpc_stream_credit(link->stream, 1);
}

static void on_end(void *user, int status, const char *message)
{
    struct gwc_link *link = user;

    pthread_mutex_lock(&link->lock);
    link->ended = true;
    link->status = link->refused ? GW_RPC_DATA_LOSS : status;
    if (!link->refused)
        snprintf(link->message, sizeof(link->message), "%s", message);
    pthread_mutex_unlock(&link->lock);
    gw_loop_post(link->loop, &link->task);
    link_unref(link);
}

/* ---- opening ---- */

static int open_v1(struct gwc_link *link, const struct gwc_link_options *options,
                   const struct gw_rpc_stream_hooks *hooks)
{
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;
    Gateway__V1__EventSource start = GATEWAY__V1__EVENT_SOURCE__INIT;
    const struct gwc_source *source = options->source;

    start.id = (char *)(uintptr_t)source->id;
    start.gateway = (char *)(uintptr_t)options->gateway;
    start.namespace_ = (char *)(uintptr_t)options->namespace_;
    start.type = (char *)(uintptr_t)source->type;
    start.name = (char *)(uintptr_t)source->name;
    start.config = (ProtobufCBinaryData){source->config.size, (uint8_t *)(uintptr_t)source->config.data};
    start.position =
        (ProtobufCBinaryData){options->position.size, (uint8_t *)(uintptr_t)options->position.data};
    request.request_case = GATEWAY__V1__STREAM_REQUEST__REQUEST_START;
    request.start = &start;
    struct gw_rpc_stream_options call = {.path = "/gateway.v1.Eventing/Stream", .first = &request.base};
    return gw_rpc_stream_open(&link->stream, gwc_channel_rpc(link->channel), &call, hooks, link);
}

static int open_argo(struct gwc_link *link, const struct gwc_link_options *options,
                     const struct gw_rpc_stream_hooks *hooks)
{
    Gateways__EventSource start = GATEWAYS__EVENT_SOURCE__INIT;
    const struct gwc_source *source = options->source;

    start.id = (char *)(uintptr_t)source->id;
    start.name = (char *)(uintptr_t)source->name;
    start.value = (ProtobufCBinaryData){source->config.size, (uint8_t *)(uintptr_t)source->config.data};
    start.type = (char *)(uintptr_t)(options->contract == GWC_CONTRACT_ARGO_011 ? "v0.10" : source->type);
    struct gw_rpc_stream_options call = {
        .path = "/gateways.Eventing/StartEventSource", .first = &start.base, .half_close = true};
    return gw_rpc_stream_open(&link->stream, gwc_channel_rpc(link->channel), &call, hooks, link);
}

static int open_generic(struct gwc_link *link, const struct gwc_link_options *options,
                        const struct gw_rpc_stream_hooks *hooks)
{
    Generic__EventSource start = GENERIC__EVENT_SOURCE__INIT;
    const struct gwc_source *source = options->source;

    start.name = (char *)(uintptr_t)source->name;
    start.config = (ProtobufCBinaryData){source->config.size, (uint8_t *)(uintptr_t)source->config.data};
    struct gw_rpc_stream_options call = {
        .path = "/generic.Eventing/StartEventSource", .first = &start.base, .half_close = true};
    return gw_rpc_stream_open(&link->stream, gwc_channel_rpc(link->channel), &call, hooks, link);
}

/* CloudEvents source: a URI-reference, so what is not of a path segment is percent-encoded. */
static const char *source_uri(struct gw_arena *arena, const struct gwc_link_options *options)
{
    struct gw_bytes uri = {0};
    const char *const parts[] = {options->namespace_, options->gateway, options->source->key};

    gw_bytes_append_text(&uri, "/gateways");
    for (size_t i = 0; i < GW_COUNT_OF(parts); i++) {
        gw_bytes_append_char(&uri, '/');
        for (const char *byte = parts[i]; *byte != '\0'; byte++) {
            if (strchr("!$&'()*+,;=:@-._~", *byte) != NULL || (*byte >= '0' && *byte <= '9') ||
                ((*byte | 0x20) >= 'a' && (*byte | 0x20) <= 'z'))
                gw_bytes_append_char(&uri, *byte);
            else
                gw_bytes_printf(&uri, "%%%02X", (unsigned char)*byte);
        }
    }
    const char *copy = uri.failed ? NULL : gw_arena_copy(arena, gw_bytes_view(&uri));
    gw_bytes_done(&uri);
    return copy;
}

static int link_copy(struct gwc_link *link, const struct gwc_link_options *options)
{
    struct gwc_receiver *receiver = &link->receiver;

    receiver->contract = options->contract;
    receiver->gateway = gw_arena_copy(&link->arena, gw_view_text(options->gateway));
    receiver->type = gw_arena_copy(&link->arena, gw_view_text(options->source->type));
    receiver->name = gw_arena_copy(&link->arena, gw_view_text(options->source->name));
    receiver->source = source_uri(&link->arena, options);
    receiver->event_type = gw_arena_printf(&link->arena, "sluice.%s", options->source->type);
    link->key = gw_arena_copy(&link->arena, gw_view_text(options->source->key));
    if (link->key == NULL || receiver->gateway == NULL || receiver->type == NULL || receiver->name == NULL ||
        receiver->source == NULL || receiver->event_type == NULL)
        return GW_RAISE(-ENOMEM);
    return 0;
}

static int link_call(struct gwc_link *link, const struct gwc_link_options *options)
{
    static const struct gw_rpc_stream_hooks hooks = {on_message, on_end};

    GW_TRY(link_copy(link, options));
    link->channel = gwc_server_hold(options->server, NULL);
    if (link->channel == NULL)
        return GW_RAISE(-EINVAL);
    if (options->contract == GWC_CONTRACT_V1)
        GW_TRY(open_v1(link, options, &hooks));
    else if (options->contract == GWC_CONTRACT_GENERIC)
        GW_TRY(open_generic(link, options, &hooks));
    else
        GW_TRY(open_argo(link, options, &hooks));
    return 0;
}

int gwc_link_open(struct gwc_link **ret_link, const struct gwc_link_options *options,
                  const struct gwc_link_hooks *hooks, void *user)
{
    struct gwc_link *link = calloc(1, sizeof(*link));

    if (link == NULL)
        return GW_RAISE(-ENOMEM);
    link->loop = options->loop;
    link->outbox = options->outbox;
    link->hooks = *hooks;
    link->user = user;
    link->task.run = on_task;
    link->release_task.run = on_release;
    link->references = 2;
    pthread_mutex_init(&link->lock, NULL);
    int fault = link_call(link, options);
    if (fault != 0) {
        gwc_channel_unref(link->channel);
        pthread_mutex_destroy(&link->lock);
        gw_arena_done(&link->arena);
        free(link);
        return fault;
    }
    *ret_link = link;
    gw_rpc_stream_credit(link->stream, LINK_CREDIT);
    return 0;
}

void gwc_link_withdraw(struct gwc_link *link)
{
    if (link->receiver.contract == GWC_CONTRACT_V1)
        gw_rpc_stream_half_close(link->stream);
    else
        gw_rpc_stream_cancel(link->stream); /* Argo's contracts know no other end */
}

void gwc_link_cancel(struct gwc_link *link)
{
    gw_rpc_stream_cancel(link->stream);
}

struct gwc_link *gwc_link_abandon(struct gwc_link *link)
{
    if (link == NULL)
        return NULL;
    pthread_mutex_lock(&link->lock);
    link->abandoned = true;
    pthread_mutex_unlock(&link->lock);
    gw_rpc_stream_cancel(link->stream);
    return NULL;
}

bool gwc_link_connected(const struct gwc_link *link)
{
    return gw_rpc_channel_connected(gwc_channel_rpc(link->channel));
}

uint64_t gwc_link_events(const struct gwc_link *link)
{
    return atomic_load(&link->events);
}

int64_t gwc_link_last_event_ms(const struct gwc_link *link)
{
    return atomic_load(&link->last_event_ms);
}
