/* Client streams: read only with credit, sends queued, one end. State is guarded by the stream's lock; every
 * completion holds a reference, so that the handle may be given back at any time. */
#include "common/rpc_client_core.h"

#include <grpc/support/alloc.h>
#include <stdlib.h>

struct gw_rpc_stream {
    struct gw_rpc_tag on_sent, on_message, on_status;
    struct gw_rpc_client *client;
    struct gw_rpc_stream_hooks hooks;
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* no hook runs */
    grpc_call *call;
    unsigned references; /* the handle, and one for each batch under way */
    struct gw_rpc_fifo sends;
    uint64_t credit;
    grpc_metadata *metadata;
    size_t metadata_count;
    grpc_metadata_array initial, trailing;
    grpc_byte_buffer *incoming;
    grpc_status_code status;
    grpc_slice details;
    const char *error;
    bool sending, reading;
    bool closing, closed; /* half-close: wished, done */
    bool unreadable;      /* no message will come any more */
    bool finished;        /* the status is here */
    bool ended;           /* and was told */
    bool freed;           /* the handle was given back: no hook is called */
    bool in_hook;
};

static void stream_destroy(struct gw_rpc_stream *stream)
{
    gw_rpc_fifo_clear(&stream->sends);
    grpc_call_unref(stream->call);
    for (size_t i = 0; i < stream->metadata_count; i++) {
        grpc_slice_unref(stream->metadata[i].key);
        grpc_slice_unref(stream->metadata[i].value);
    }
    free(stream->metadata);
    grpc_metadata_array_destroy(&stream->initial);
    grpc_metadata_array_destroy(&stream->trailing);
    if (stream->incoming != NULL)
        grpc_byte_buffer_destroy(stream->incoming);
    grpc_slice_unref(stream->details);
    gpr_free((void *)stream->error);
    pthread_cond_destroy(&stream->idle);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
}

/* Unlocks, and gives one reference back. */
static void stream_unlock_unref(struct gw_rpc_stream *stream)
{
    bool last = --stream->references == 0;

    pthread_mutex_unlock(&stream->lock);
    if (last)
        stream_destroy(stream);
}

static void stream_start(struct gw_rpc_stream *stream, const grpc_op *operations, size_t count,
                         struct gw_rpc_tag *tag)
{
    stream->references++;
    gw_rpc_start(stream->call, operations, count, tag);
}

/* What follows until the next headline is called with the lock held. */

static bool stream_over(const struct gw_rpc_stream *stream)
{
    return stream->finished || stream->freed;
}

static void stream_send_next(struct gw_rpc_stream *stream)
{
    grpc_op operation = {0};
    grpc_byte_buffer *message;

    if (stream->sending || stream->closed || stream_over(stream))
        return;
    message = gw_rpc_fifo_pop(&stream->sends);
    if (message != NULL) {
        operation.op = GRPC_OP_SEND_MESSAGE;
        operation.data.send_message.send_message = message;
        operation.flags = gw_rpc_fifo_flags(&stream->sends, stream->sends.count > 0 || stream->closing);
    } else if (stream->closing) {
        operation.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        stream->closed = true;
    } else {
        return;
    }
    stream->sending = true;
    stream_start(stream, &operation, 1, &stream->on_sent);
    if (message != NULL)
        grpc_byte_buffer_destroy(message);
}

static void stream_read_next(struct gw_rpc_stream *stream)
{
    grpc_op operation = {.op = GRPC_OP_RECV_MESSAGE, .data.recv_message.recv_message = &stream->incoming};

    if (stream->reading || stream->unreadable || stream->freed || stream->ended || stream->credit == 0)
        return;
    stream->reading = true;
    stream_start(stream, &operation, 1, &stream->on_message);
}

/* False: the handle was given back, no hook may run. Hooks run on the streams' thread only, one at a time. */
static bool stream_hook_begin(struct gw_rpc_stream *stream)
{
    if (stream->freed)
        return false;
    stream->in_hook = true;
    pthread_mutex_unlock(&stream->lock);
    return true;
}

static void stream_hook_end(struct gw_rpc_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->in_hook = false;
    if (stream->freed)
        pthread_cond_broadcast(&stream->idle);
}

/* The status may come before the last message: the end waits for the read under way. */
static void stream_end_if_due(struct gw_rpc_stream *stream)
{
    char *message;

    if (!stream->finished || stream->reading || stream->ended)
        return;
    stream->ended = true;
    gw_rpc_fifo_clear(&stream->sends);
    if (!stream_hook_begin(stream))
        return;
    message = gw_rpc_text_in(stream->details);
    stream->hooks.end(stream->user, (int)stream->status, message);
    gpr_free(message);
    stream_hook_end(stream);
}

/* Completions, on the streams' thread */

static void stream_on_sent(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_stream *stream = GW_CONTAINER_OF(tag, struct gw_rpc_stream, on_sent);

    pthread_mutex_lock(&stream->lock);
    stream->sending = false;
    if (ok)
        stream_send_next(stream);
    else
        stream->closed = true; /* the call is over, its status is on the way */
    stream_unlock_unref(stream);
}

static void stream_on_message(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_stream *stream = GW_CONTAINER_OF(tag, struct gw_rpc_stream, on_message);
    struct gw_rpc_unpacked message;
    grpc_byte_buffer *buffer;

    pthread_mutex_lock(&stream->lock);
    buffer = GW_TAKE(stream->incoming);
    stream->reading = false;
    stream->unreadable = !ok || buffer == NULL;
    if (buffer != NULL && ok) {
        stream->credit--;
        if (stream_hook_begin(stream)) {
            gw_rpc_unpack(&message, buffer);
            stream->hooks.message(stream->user, message.view);
            gw_rpc_unpack_done(&message);
            stream_hook_end(stream);
        }
    }
    stream_read_next(stream);
    stream_end_if_due(stream);
    stream_unlock_unref(stream);
    if (buffer != NULL)
        grpc_byte_buffer_destroy(buffer);
}

static void stream_on_status(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_stream *stream = GW_CONTAINER_OF(tag, struct gw_rpc_stream, on_status);

    (void)ok;
    pthread_mutex_lock(&stream->lock);
    stream->finished = true;
    stream_end_if_due(stream);
    stream_unlock_unref(stream);
}

/* Opening */

static int stream_metadata(struct gw_rpc_stream *stream, const char *const *pairs)
{
    size_t count = 0;

    while (pairs != NULL && pairs[count] != NULL && pairs[count + 1] != NULL)
        count += 2;
    stream->metadata = calloc(count / 2 + 1, sizeof(*stream->metadata));
    if (stream->metadata == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < count; i += 2) {
        grpc_metadata *one = &stream->metadata[stream->metadata_count++];

        one->key = grpc_slice_from_copied_string(pairs[i]);
        one->value = grpc_slice_from_copied_string(pairs[i + 1]);
        if (!grpc_header_key_is_legal(one->key) ||
            (!grpc_is_binary_header(one->key) && !grpc_header_nonbin_value_is_legal(one->value)))
            return GW_RAISE(-EINVAL);
    }
    return 0;
}

/* The first message goes with the headers, so it is never hinted: together they would wait for ever. */
static void stream_send_first(struct gw_rpc_stream *stream, const struct gw_rpc_stream_options *options)
{
    grpc_byte_buffer *first = options->first == NULL ? NULL : gw_rpc_pack(options->first);
    grpc_op operations[3] = {0};
    size_t n = 0;

    operations[n].op = GRPC_OP_SEND_INITIAL_METADATA;
    operations[n].data.send_initial_metadata.count = stream->metadata_count;
    operations[n++].data.send_initial_metadata.metadata = stream->metadata;
    if (first != NULL) {
        operations[n].op = GRPC_OP_SEND_MESSAGE;
        operations[n++].data.send_message.send_message = first;
    }
    if (options->half_close) {
        operations[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
        stream->closing = stream->closed = true;
    }
    stream->sending = true;
    stream_start(stream, operations, n, &stream->on_sent);
    if (first != NULL)
        grpc_byte_buffer_destroy(first);
}

static void stream_await_status(struct gw_rpc_stream *stream)
{
    grpc_op operations[2] = {
        {.op = GRPC_OP_RECV_INITIAL_METADATA,
         .data.recv_initial_metadata.recv_initial_metadata = &stream->initial},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT,
         .data.recv_status_on_client = {.trailing_metadata = &stream->trailing,
                                        .status = &stream->status,
                                        .status_details = &stream->details,
                                        .error_string = &stream->error}},
    };

    stream_start(stream, operations, GW_COUNT_OF(operations), &stream->on_status);
}

static struct gw_rpc_stream *stream_new(struct gw_rpc_channel *channel,
                                        const struct gw_rpc_stream_hooks *hooks, void *user, const char *path)
{
    struct gw_rpc_stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL)
        return NULL;
    stream->on_sent = gw_rpc_tag(stream_on_sent);
    stream->on_message = gw_rpc_tag(stream_on_message);
    stream->on_status = gw_rpc_tag(stream_on_status);
    stream->client = gw_rpc_channel_client(channel);
    stream->hooks = *hooks;
    stream->user = user;
    stream->references = 1;
    stream->details = grpc_empty_slice();
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->idle, NULL);
    gw_rpc_fifo_init(&stream->sends);
    grpc_metadata_array_init(&stream->initial);
    grpc_metadata_array_init(&stream->trailing);
    stream->call = gw_rpc_channel_call(channel, &stream->client->streams, path, gw_rpc_deadline(0));
    return stream;
}

int gw_rpc_stream_open(struct gw_rpc_stream **ret_stream, struct gw_rpc_channel *channel,
                       const struct gw_rpc_stream_options *options, const struct gw_rpc_stream_hooks *hooks,
                       void *user)
{
    struct gw_rpc_stream *stream = stream_new(channel, hooks, user, options->path);
    int fault;

    if (stream == NULL)
        return GW_RAISE(-ENOMEM);
    fault = stream_metadata(stream, options->metadata);
    if (fault != 0) {
        stream_destroy(stream);
        return fault;
    }
    *ret_stream = stream; /* before the first hook can run */
    pthread_mutex_lock(&stream->lock);
    stream_send_first(stream, options);
    stream_await_status(stream);
    pthread_mutex_unlock(&stream->lock);
    return 0;
}

/* Calls from any thread */

void gw_rpc_stream_credit(struct gw_rpc_stream *stream, unsigned messages)
{
    pthread_mutex_lock(&stream->lock);
    stream->credit += messages;
    if (!stream->in_hook) /* the hook's own thread reads on when it returns */
        stream_read_next(stream);
    pthread_mutex_unlock(&stream->lock);
}

static int stream_queue(struct gw_rpc_stream *stream, const ProtobufCMessage *message, bool latest)
{
    grpc_byte_buffer *packed = gw_rpc_pack(message);
    int fault = 0;

    pthread_mutex_lock(&stream->lock);
    if (!stream_over(stream) && !stream->closing) {
        if (gw_rpc_fifo_push(&stream->sends, packed, latest))
            packed = NULL;
        else
            fault = -ENOBUFS;
        stream_send_next(stream);
    }
    pthread_mutex_unlock(&stream->lock);
    if (packed != NULL)
        grpc_byte_buffer_destroy(packed);
    return fault == 0 ? 0 : GW_RAISE(fault);
}

int gw_rpc_stream_send(struct gw_rpc_stream *stream, const ProtobufCMessage *message)
{
    return stream_queue(stream, message, false);
}

int gw_rpc_stream_send_latest(struct gw_rpc_stream *stream, const ProtobufCMessage *message)
{
    return stream_queue(stream, message, true);
}

void gw_rpc_stream_half_close(struct gw_rpc_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->closing = true;
    stream_send_next(stream);
    pthread_mutex_unlock(&stream->lock);
}

void gw_rpc_stream_cancel(struct gw_rpc_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->finished)
        grpc_call_cancel(stream->call, NULL);
    pthread_mutex_unlock(&stream->lock);
}

struct gw_rpc_stream *gw_rpc_stream_free(struct gw_rpc_stream *stream)
{
    if (stream == NULL)
        return NULL;
    pthread_mutex_lock(&stream->lock);
    stream->freed = true;
    if (!stream->finished)
        grpc_call_cancel(stream->call, NULL);
    while (stream->in_hook && !pthread_equal(pthread_self(), stream->client->streams.thread))
        pthread_cond_wait(&stream->idle, &stream->lock);
    stream_unlock_unref(stream);
    return NULL;
}
