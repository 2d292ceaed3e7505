/* One call at the server: opened, read, answered, closed. State is guarded by the call's lock; the hooks run
 * on the thread of the queue that the call came in on, so they follow each other without one.
 *
 *     expected ── open ── messages, half_closed, writable ── closed        (hooks)
 *                 send, send, … finish                                     (any thread) */
#include "common/rpc_server_core.h"

#include <grpc/support/alloc.h>
#include <stdio.h>
#include <stdlib.h>

struct gw_rpc_server_call {
    struct gw_rpc_tag on_new, on_close, on_message, on_sent;
    struct gw_rpc_server *server;
    const struct gw_rpc_method *expected; /* NULL: a method that we do not have */
    const struct gw_rpc_method *method;   /* the same, while its hooks are to be called */
    struct gw_rpc_queue *queue;
    _Atomic(void *) user;
    pthread_mutex_t lock;
    unsigned references; /* the handle and gRPC's side */
    unsigned batches;    /* under way */
    grpc_call *call;     /* NULL when gRPC's side is done */
    grpc_call_details details;
    grpc_metadata_array metadata;
    gpr_timespec deadline;
    grpc_byte_buffer *incoming;
    struct gw_rpc_fifo sends;
    grpc_byte_buffer *reply;
    grpc_slice text;
    int status;
    int cancelled;
    bool sending;   /* a batch of ours is under way */
    bool answered;  /* initial metadata went out */
    bool full;      /* the sender was told so, and waits for writable */
    bool finishing; /* the status is known … */
    bool finished;  /* … and handed to gRPC */
    bool closed;    /* the call is over */
    bool half_closed;
    bool last; /* no memory for the next call: this one is refused, and becomes the next when it is over */
};

static void call_expect(struct gw_rpc_server_call *call, struct gw_rpc_server *server,
                        const struct gw_rpc_method *method, struct gw_rpc_queue *queue);

static void call_done(struct gw_rpc_server_call *call)
{
    gw_rpc_fifo_clear(&call->sends);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    if (call->incoming != NULL)
        grpc_byte_buffer_destroy(call->incoming);
    if (call->reply != NULL)
        grpc_byte_buffer_destroy(call->reply);
    grpc_slice_unref(call->text);
    pthread_mutex_destroy(&call->lock);
}

static void call_unref(struct gw_rpc_server_call *call)
{
    bool last;

    pthread_mutex_lock(&call->lock);
    last = --call->references == 0;
    pthread_mutex_unlock(&call->lock);
    if (!last)
        return;
    call_done(call);
    free(call);
}

static void server_calls_add(struct gw_rpc_server *server, int change)
{
    pthread_mutex_lock(&server->lock);
    server->calls += (size_t)change;
    if (server->calls == 0)
        pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* gRPC's side is over when the call is closed and no batch is left. From here on the handle touches no gRPC
 * call and no server, so that it may outlive both. */
static void call_leave_if_over(struct gw_rpc_server_call *call)
{
    struct gw_rpc_server *server = call->server;
    bool over;

    pthread_mutex_lock(&call->lock);
    over = call->closed && call->batches == 0 && call->call != NULL;
    if (over) {
        grpc_call_unref(call->call);
        call->call = NULL;
    }
    pthread_mutex_unlock(&call->lock);
    if (!over)
        return;
    if (call->last) {
        call_done(call);
        call_expect(call, server, call->expected, call->queue);
    } else {
        call_unref(call);
    }
    server_calls_add(server, -1);
}

/* What follows until the next headline is called with the lock held. */

static void call_start(struct gw_rpc_server_call *call, const grpc_op *operations, size_t count,
                       struct gw_rpc_tag *tag)
{
    call->batches++;
    gw_rpc_start(call->call, operations, count, tag);
}

/* The first batch carries the initial metadata, and then no hint: together they would wait for ever. */
static size_t call_headers(struct gw_rpc_server_call *call, grpc_op *operation)
{
    if (call->answered)
        return 0;
    call->answered = true;
    operation->op = GRPC_OP_SEND_INITIAL_METADATA;
    return 1;
}

static void call_send_message(struct gw_rpc_server_call *call, grpc_byte_buffer *message)
{
    grpc_op operations[2] = {0};
    size_t n = call_headers(call, operations);

    operations[n].op = GRPC_OP_SEND_MESSAGE;
    operations[n].data.send_message.send_message = message;
    if (n == 0)
        operations[n].flags = gw_rpc_fifo_flags(&call->sends, call->sends.count > 0 || call->finishing);
    call_start(call, operations, n + 1, &call->on_sent);
    grpc_byte_buffer_destroy(message);
}

static void call_send_status(struct gw_rpc_server_call *call)
{
    grpc_op operations[3] = {0};
    size_t n = call_headers(call, operations);

    if (call->reply != NULL) {
        operations[n].op = GRPC_OP_SEND_MESSAGE;
        operations[n++].data.send_message.send_message = call->reply;
    }
    operations[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    operations[n].data.send_status_from_server.status = (grpc_status_code)call->status;
    operations[n++].data.send_status_from_server.status_details = &call->text;
    call->finished = true;
    call_start(call, operations, n, &call->on_sent);
}

static void call_send_next(struct gw_rpc_server_call *call)
{
    grpc_byte_buffer *message;

    if (call->sending || call->finished || call->closed)
        return;
    message = gw_rpc_fifo_pop(&call->sends);
    if (message == NULL && !call->finishing)
        return;
    call->sending = true;
    if (message != NULL)
        call_send_message(call, message);
    else
        call_send_status(call);
}

static void call_finish(struct gw_rpc_server_call *call, int status, const char *text,
                        grpc_byte_buffer *reply)
{
    call->finishing = true;
    call->status = status;
    call->text = gw_rpc_text_out(text);
    call->reply = reply;
    call_send_next(call);
}

/* Completions, on the queue's thread */

static void call_read_next(struct gw_rpc_server_call *call)
{
    grpc_op operation = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &call->incoming};

    pthread_mutex_lock(&call->lock);
    if (!call->closed && !call->finishing && !call->half_closed)
        call_start(call, &operation, 1, &call->on_message);
    pthread_mutex_unlock(&call->lock);
}

/* Takes note of a completed batch; true: hooks may still be called. */
static bool call_completed(struct gw_rpc_server_call *call)
{
    bool open;

    pthread_mutex_lock(&call->lock);
    call->batches--;
    open = !call->closed;
    pthread_mutex_unlock(&call->lock);
    return open;
}

static void call_on_message(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_server_call *call = GW_CONTAINER_OF(tag, struct gw_rpc_server_call, on_message);
    grpc_byte_buffer *buffer = GW_TAKE(call->incoming);
    struct gw_rpc_unpacked message;
    bool open = call_completed(call);

    if (buffer == NULL || !ok) {
        call->half_closed = true;
        if (open && ok && call->method->half_closed != NULL)
            call->method->half_closed(call->server->user, call);
    } else if (open) {
        gw_rpc_unpack(&message, buffer);
        if (call->method->message != NULL)
            call->method->message(call->server->user, call, message.view);
        gw_rpc_unpack_done(&message);
    }
    if (buffer != NULL)
        grpc_byte_buffer_destroy(buffer);
    call_read_next(call);
    call_leave_if_over(call);
}

static void call_on_sent(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_server_call *call = GW_CONTAINER_OF(tag, struct gw_rpc_server_call, on_sent);
    bool writable = false;

    pthread_mutex_lock(&call->lock);
    call->batches--;
    call->sending = false;
    if (ok)
        call_send_next(call);
    if (call->full && !call->closed && call->sends.count <= GW_RPC_SERVER_SENDS_MAX / 2) {
        call->full = false;
        writable = !call->finishing;
    }
    pthread_mutex_unlock(&call->lock);
    if (writable && call->method->writable != NULL)
        call->method->writable(call->server->user, call);
    call_leave_if_over(call);
}

static void call_on_close(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_server_call *call = GW_CONTAINER_OF(tag, struct gw_rpc_server_call, on_close);
    const struct gw_rpc_method *method = call->method;
    bool cancelled;

    (void)ok;
    pthread_mutex_lock(&call->lock);
    call->batches--;
    call->closed = true;
    cancelled = call->cancelled != 0;
    gw_rpc_fifo_clear(&call->sends);
    pthread_mutex_unlock(&call->lock);
    if (method != NULL && method->closed != NULL)
        method->closed(call->server->user, call, cancelled);
    call_leave_if_over(call);
}

static void call_refuse(struct gw_rpc_server_call *call, int status, const char *text)
{
    pthread_mutex_lock(&call->lock);
    call_finish(call, status, text, NULL);
    pthread_mutex_unlock(&call->lock);
}

static void call_refuse_unknown(struct gw_rpc_server_call *call)
{
    char *path = grpc_slice_to_c_string(call->details.method);
    char text[256];

    snprintf(text, sizeof(text), "unknown method %.200s", path);
    gpr_free(path);
    call_refuse(call, GW_RPC_UNIMPLEMENTED, text);
}

static void call_open(struct gw_rpc_server_call *call)
{
    grpc_byte_buffer *request = GW_TAKE(call->incoming);
    struct gw_rpc_unpacked unpacked;

    gw_rpc_unpack(&unpacked, request);
    call->method->open(call->server->user, call, unpacked.view);
    gw_rpc_unpack_done(&unpacked);
    if (request != NULL)
        grpc_byte_buffer_destroy(request);
    if (call->method->kind == GW_RPC_BIDI)
        call_read_next(call);
}

static void call_on_new(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_server_call *call = GW_CONTAINER_OF(tag, struct gw_rpc_server_call, on_new);
    grpc_op close = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER,
                     .data.recv_close_on_server.cancelled = &call->cancelled};

    if (!ok) { /* the server stops */
        call_unref(call);
        return;
    }
    call->last = gw_rpc_server_call_expect(call->server, call->expected, call->queue) < 0;
    server_calls_add(call->server, 1);
    pthread_mutex_lock(&call->lock);
    call_start(call, &close, 1, &call->on_close); /* alone: it completes only when the call is over */
    pthread_mutex_unlock(&call->lock);
    if (call->last) {
        call->method = NULL; /* never opened, so never closed */
        call_refuse(call, GW_RPC_RESOURCE_EXHAUSTED, "the server has no memory left");
    } else if (call->method == NULL) {
        call_refuse_unknown(call);
    } else if (call->method->kind != GW_RPC_BIDI && call->incoming == NULL) {
        call->method = NULL;
        call_refuse(call, GW_RPC_INTERNAL, "the call came without its request message");
    } else {
        call->references++;
        call_open(call);
    }
}

static void call_init(struct gw_rpc_server_call *call, struct gw_rpc_server *server,
                      const struct gw_rpc_method *method, struct gw_rpc_queue *queue)
{
    *call = (struct gw_rpc_server_call){
        .on_new = gw_rpc_tag(call_on_new),
        .on_close = gw_rpc_tag(call_on_close),
        .on_message = gw_rpc_tag(call_on_message),
        .on_sent = gw_rpc_tag(call_on_sent),
        .server = server,
        .expected = method,
        .method = method,
        .queue = queue,
        .references = 1,
        .text = grpc_empty_slice(),
    };
    pthread_mutex_init(&call->lock, NULL);
    gw_rpc_fifo_init(&call->sends);
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
}

static void call_expect(struct gw_rpc_server_call *call, struct gw_rpc_server *server,
                        const struct gw_rpc_method *method, struct gw_rpc_queue *queue)
{
    grpc_completion_queue *completions = queue->completions;
    grpc_call_error error;

    call_init(call, server, method, queue);
    GW_RPC_HAND_OVER(&call->on_new);
    if (method == NULL)
        error = grpc_server_request_call(server->server, &call->call, &call->details, &call->metadata,
                                         completions, completions, &call->on_new);
    else
        error =
            grpc_server_request_registered_call(server->server, server->registered[method - server->methods],
                                                &call->call, &call->deadline, &call->metadata,
                                                method->kind == GW_RPC_BIDI ? NULL : &call->incoming,
                                                completions, completions, &call->on_new);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

int gw_rpc_server_call_expect(struct gw_rpc_server *server, const struct gw_rpc_method *method,
                              struct gw_rpc_queue *queue)
{
    struct gw_rpc_server_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return GW_RAISE(-ENOMEM);
    call_expect(call, server, method, queue);
    return 0;
}

/* Calls from any thread */

void gw_rpc_server_call_set_user(struct gw_rpc_server_call *call, void *user)
{
    atomic_store_explicit(&call->user, user, memory_order_release);
}

void *gw_rpc_server_call_user(const struct gw_rpc_server_call *call)
{
    return atomic_load_explicit(&call->user, memory_order_acquire);
}

int gw_rpc_server_call_send(struct gw_rpc_server_call *call, const ProtobufCMessage *message)
{
    grpc_byte_buffer *packed = gw_rpc_pack(message);
    int verdict = 0;

    pthread_mutex_lock(&call->lock);
    if (call->closed || call->finishing) {
        verdict = GW_RPC_OVER;
    } else {
        if (gw_rpc_fifo_push(&call->sends, packed, false))
            packed = NULL;
        else
            verdict = -ENOBUFS;
        call_send_next(call);
        if (verdict == 0 && call->sends.count >= GW_RPC_SERVER_SENDS_MAX) {
            call->full = true;
            verdict = GW_RPC_FULL;
        }
    }
    pthread_mutex_unlock(&call->lock);
    if (packed != NULL)
        grpc_byte_buffer_destroy(packed);
    return verdict < 0 ? GW_RAISE(verdict) : verdict;
}

void gw_rpc_server_call_finish(struct gw_rpc_server_call *call, int status, const char *message,
                               const ProtobufCMessage *reply)
{
    bool unary = call->method->kind == GW_RPC_UNARY;
    grpc_byte_buffer *packed = unary && status == GW_RPC_OK ? gw_rpc_pack(reply) : NULL;

    pthread_mutex_lock(&call->lock);
    if (!call->closed && !call->finishing) {
        call_finish(call, status, message, packed);
        packed = NULL;
    }
    pthread_mutex_unlock(&call->lock);
    if (packed != NULL)
        grpc_byte_buffer_destroy(packed);
}

void gw_rpc_server_call_cancel(struct gw_rpc_server_call *call)
{
    pthread_mutex_lock(&call->lock);
    if (!call->closed && call->call != NULL)
        grpc_call_cancel(call->call, NULL);
    pthread_mutex_unlock(&call->lock);
}

void gw_rpc_server_call_release(struct gw_rpc_server_call *call)
{
    call_unref(call);
}
