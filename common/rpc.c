/* gRPC's common ground: its start and log, queues with their threads, packing, texts of statuses. */
#include "common/rpc_core.h"

#include "common/text.h"

#include <grpc/support/alloc.h>
#include <grpc/support/log.h>
#include <grpc/support/time.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

typedef void rpc_log_fn(int severity, const char *file, int line, const char *message);

static _Atomic(rpc_log_fn *) rpc_log_line;

static void rpc_on_log(gpr_log_func_args *arguments)
{
    rpc_log_fn *line = atomic_load_explicit(&rpc_log_line, memory_order_acquire);

    if (line != NULL)
        line((int)arguments->severity, arguments->file, arguments->line, arguments->message);
}

static void rpc_log_redirect(void)
{
    gpr_set_log_function(rpc_on_log);
}

void gw_rpc_set_log(void (*line)(int severity, const char *file, int line, const char *message))
{
    atomic_store_explicit(&rpc_log_line, line, memory_order_release);
}

/* Signals belong to the program's own threads; gRPC's and ours inherit a mask that blocks all of them. */
static void rpc_signals_block(sigset_t *ret_before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

void gw_rpc_init(void)
{
    static pthread_once_t redirected = PTHREAD_ONCE_INIT;
    sigset_t before;

    pthread_once(&redirected, rpc_log_redirect);
    rpc_signals_block(&before);
    grpc_init();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void gw_rpc_done(void)
{
    grpc_shutdown();
}

const char *gw_rpc_message_words(const char *message)
{
    static const char *const before[] = {"last error: ", "Failed to connect to remote host: "};

    for (size_t i = 0; i < GW_COUNT_OF(before); i++) {
        const char *found = strstr(message, before[i]);
        message = found == NULL ? message : found + strlen(before[i]);
    }
    return message;
}

const char *gw_rpc_end_words(char buffer[static GW_REASON_MAX], const char *path, int status,
                             const char *message)
{
    if (status == GW_RPC_OK)
        snprintf(buffer, GW_REASON_MAX, "it ended the stream");
    else if (status == GW_RPC_UNIMPLEMENTED)
        snprintf(buffer, GW_REASON_MAX, "it does not implement %s (%s)", path + 1, message);
    else
        snprintf(buffer, GW_REASON_MAX, "%s: %s", gw_rpc_status_name(status), gw_rpc_message_words(message));
    return buffer;
}

const char *gw_rpc_status_name(int status)
{
    static const char *const names[] = {
        "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
        "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
        "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
        "DATA_LOSS", "UNAUTHENTICATED",
    };

    return status >= 0 && (size_t)status < GW_COUNT_OF(names) ? names[status] : "UNKNOWN";
}

/* Queues */

static void *queue_run(void *argument)
{
    struct gw_rpc_queue *queue = argument;

    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(queue->completions, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
        struct gw_rpc_tag *tag = event.tag;

        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (event.type != GRPC_OP_COMPLETE)
            continue;
        GW_RPC_TAKE_OVER(tag);
        assert(tag->magic == GW_RPC_TAG_MAGIC);
        tag->run(tag, event.success != 0);
    }
}

int gw_rpc_queue_open(struct gw_rpc_queue *queue, const char *thread_name)
{
    sigset_t before;
    int fault;

    queue->completions = grpc_completion_queue_create_for_next(NULL);
    rpc_signals_block(&before);
    fault = pthread_create(&queue->thread, NULL, queue_run, queue);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (fault != 0)
        return GW_RAISE(-fault);
    queue->running = true;
    pthread_setname_np(queue->thread, thread_name);
    return 0;
}

void gw_rpc_queue_close(struct gw_rpc_queue *queue)
{
    if (queue->completions == NULL)
        return;
    grpc_completion_queue_shutdown(queue->completions);
    if (queue->running)
        pthread_join(queue->thread, NULL);
    else
        queue_run(queue); /* a queue may be destroyed only when it has said that it is empty */
    grpc_completion_queue_destroy(queue->completions);
    queue->completions = NULL;
}

void gw_rpc_start(grpc_call *call, const grpc_op *operations, size_t count, struct gw_rpc_tag *tag)
{
    grpc_call_error error;

    GW_RPC_HAND_OVER(tag);
    error = grpc_call_start_batch(call, operations, count, tag, NULL);
    assert(error == GRPC_CALL_OK);
    (void)error;
}

/* Messages waiting to be sent */

void gw_rpc_fifo_init(struct gw_rpc_fifo *fifo)
{
    *fifo = (struct gw_rpc_fifo){.latest = -1};
}

bool gw_rpc_fifo_push(struct gw_rpc_fifo *fifo, grpc_byte_buffer *message, bool latest)
{
    unsigned slot = (fifo->head + fifo->count) % GW_RPC_FIFO_MAX;

    if (latest && fifo->latest >= 0) {
        grpc_byte_buffer_destroy(fifo->messages[fifo->latest]);
        fifo->messages[fifo->latest] = message;
        return true;
    }
    if (fifo->count == GW_RPC_FIFO_MAX)
        return false;
    fifo->messages[slot] = message;
    fifo->count++;
    if (latest)
        fifo->latest = (int)slot;
    return true;
}

grpc_byte_buffer *gw_rpc_fifo_pop(struct gw_rpc_fifo *fifo)
{
    unsigned slot = fifo->head;

    if (fifo->count == 0)
        return NULL;
    fifo->head = (slot + 1) % GW_RPC_FIFO_MAX;
    fifo->count--;
    if (fifo->latest == (int)slot)
        fifo->latest = -1;
    return fifo->messages[slot];
}

void gw_rpc_fifo_clear(struct gw_rpc_fifo *fifo)
{
    grpc_byte_buffer *message;

    while ((message = gw_rpc_fifo_pop(fifo)) != NULL)
        grpc_byte_buffer_destroy(message);
}

uint32_t gw_rpc_fifo_flags(struct gw_rpc_fifo *fifo, bool more)
{
    if (!more || fifo->hinted + 1 >= GW_RPC_FIFO_MAX) {
        fifo->hinted = 0;
        return 0;
    }
    fifo->hinted++;
    return GRPC_WRITE_BUFFER_HINT;
}

/* Packing */

grpc_byte_buffer *gw_rpc_pack(const ProtobufCMessage *message)
{
    size_t size = message == NULL ? 0 : protobuf_c_message_get_packed_size(message);
    grpc_slice slice = grpc_slice_malloc(size);
    grpc_byte_buffer *buffer;

    if (size > 0)
        protobuf_c_message_pack(message, GRPC_SLICE_START_PTR(slice));
    buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

void gw_rpc_unpack(struct gw_rpc_unpacked *ret_unpacked, grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    grpc_slice *first;

    *ret_unpacked = (struct gw_rpc_unpacked){.joined = grpc_empty_slice(), .view = {"", 0}};
    if (buffer == NULL || grpc_byte_buffer_length(buffer) == 0 ||
        !grpc_byte_buffer_reader_init(&reader, buffer))
        return;
    if (grpc_byte_buffer_reader_peek(&reader, &first) &&
        GRPC_SLICE_LENGTH(*first) == grpc_byte_buffer_length(buffer)) {
        ret_unpacked->view = gw_view(GRPC_SLICE_START_PTR(*first), GRPC_SLICE_LENGTH(*first));
    } else {
        grpc_byte_buffer_reader_destroy(&reader);
        if (!grpc_byte_buffer_reader_init(&reader, buffer))
            return;
        ret_unpacked->joined = grpc_byte_buffer_reader_readall(&reader);
        ret_unpacked->view =
            gw_view(GRPC_SLICE_START_PTR(ret_unpacked->joined), GRPC_SLICE_LENGTH(ret_unpacked->joined));
    }
    grpc_byte_buffer_reader_destroy(&reader);
}

void gw_rpc_unpack_done(struct gw_rpc_unpacked *unpacked)
{
    grpc_slice_unref(unpacked->joined);
    unpacked->joined = grpc_empty_slice();
}

/* Bytes of the UTF-8 character at the start of `text`; 0: none there. */
static size_t utf8_length(struct gw_view text)
{
    for (size_t length = 1; length <= GW_MIN(text.size, 4u); length++) {
        if (gw_utf8_valid(gw_view(text.data, length)))
            return length;
    }
    return 0;
}

/* `text` as UTF-8 without NUL, at most `max` bytes of it; an unhappy allocation gives the empty text. */
static void text_clean(struct gw_bytes *clean, struct gw_view text, size_t max)
{
    for (size_t i = 0; i < text.size;) {
        size_t length = utf8_length(gw_view(text.data + i, text.size - i));
        struct gw_view next = length == 0 ? gw_view_text("\xEF\xBF\xBD") : gw_view(text.data + i, length);

        if (length == 1 && text.data[i] == '\0')
            next = gw_view_text(" ");
        if (clean->size + next.size > max)
            break;
        gw_bytes_append_view(clean, next);
        i += GW_MAX(length, 1u);
    }
}

grpc_slice gw_rpc_text_out(const char *text)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes clean = {0};

    text_clean(&clean, gw_view_text(text), GW_RPC_STATUS_TEXT_MAX);
    return clean.size == 0 ? grpc_empty_slice() : grpc_slice_from_copied_buffer(clean.data, clean.size);
}

char *gw_rpc_text_in(grpc_slice text)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes clean = {0};
    char *copy;

    text_clean(&clean, gw_view(GRPC_SLICE_START_PTR(text), GRPC_SLICE_LENGTH(text)), SIZE_MAX);
    copy = gpr_zalloc(clean.size + 1);
    if (clean.size > 0)
        memcpy(copy, clean.data, clean.size);
    return copy;
}

gpr_timespec gw_rpc_deadline(int64_t deadline_ms)
{
    if (deadline_ms <= 0)
        return gpr_inf_future(GPR_CLOCK_MONOTONIC);
    return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(deadline_ms, GPR_TIMESPAN));
}
