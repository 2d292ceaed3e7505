/* The sink over gRPC: one gateway.v1.Sink/Put call to a process, kept open, with several puts under way.
 *
 *     send() ──put {number}──▶ call ══▶ sink
 *                                │
 *     done() ◀── loop ◀── task ◀─┴── answer {number}, or the end of the call: all that are under way go again
 *
 * A call that ended is made again by the next send(); delivery's back-off says when that is. */
#include "gateway-client/delivery/sink.h"

#include "common/clock.h"
#include "common/secrets.h"
#include "common/text.h"
#include "gateway-client/delivery/sink_grpc_message.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* Answers that may wait for the loop: no more than puts are under way. */
enum { SINK_CREDIT = GWC_SINK_GRPC_CONCURRENCY_MAX };
/* What delivery knows of HTTP, for the outcomes of gRPC. */
enum { STATUS_STORED = 200, STATUS_REFUSED = 422, STATUS_TRY_AGAIN = 503 };

static const char put_path[] = "/gateway.v1.Sink/Put";

/* One put under way. Oldest first. */
struct sink_put {
    struct sink_put *next;
    uint64_t number;
    int64_t sent_ms;
    bool unsent; /* fails on the loop's next turn, with `words` */
    void (*done)(void *user, const struct gwc_answer *answer);
    void *user;
};

/* As it came from the wire. */
struct sink_answer {
    struct sink_answer *next;
    uint64_t number;
    int outcome;
    int64_t retry_after_ms;
    char reason[160];
};

struct sink_grpc {
    struct gwc_sink base;
    struct gw_loop *loop;
    struct gw_rpc_client *rpc;
    const struct gwc_watcher_spec *spec;
    const char *gateway, *namespace_;
    struct gw_rpc_channel *channel;
    struct gw_rpc_stream *stream; /* NULL: no call is open */
    struct gw_timer *timer;       /* the oldest put's time is over */
    struct sink_put *puts, **puts_end;
    uint64_t number;
    int64_t answered_ms; /* monotonic */
    struct gw_task task;
    bool closed; /* freed by the task that runs or is queued */
    bool running;
    char words[GW_REASON_MAX]; /* why what was not sent was not sent */

    pthread_mutex_t lock; /* of what follows */
    struct sink_answer *answers, **answers_end;
    bool ended;
    char end_words[GW_REASON_MAX];
};

/* ---- threads of gRPC ---- */

static void sink_tell_end(struct sink_grpc *sink, const char *words)
{
    pthread_mutex_lock(&sink->lock);
    if (!sink->ended)
        snprintf(sink->end_words, sizeof(sink->end_words), "%s", words);
    sink->ended = true;
    pthread_mutex_unlock(&sink->lock);
    gw_loop_post(sink->loop, &sink->task);
}

static struct sink_answer *answer_read(struct gw_view bytes)
{
    Gateway__V1__PutAnswer *message =
        gateway__v1__put_answer__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);
    struct sink_answer *answer = message == NULL ? NULL : calloc(1, sizeof(*answer));

    if (answer != NULL) {
        answer->number = message->number;
        answer->outcome = (int)message->outcome;
        answer->retry_after_ms = (int64_t)GW_MIN(message->retry_after_ms, (uint64_t)INT32_MAX);
        snprintf(answer->reason, sizeof(answer->reason), "%s", message->reason);
    }
    gateway__v1__put_answer__free_unpacked(message, NULL);
    return answer;
}

static void on_message(void *user, struct gw_view bytes)
{
    struct sink_grpc *sink = user;
    struct sink_answer *answer = answer_read(bytes);

    if (answer == NULL) {
        sink_tell_end(sink, "it answered what is not a PutAnswer");
        gw_rpc_stream_cancel(sink->stream);
        return;
    }
    pthread_mutex_lock(&sink->lock);
    *sink->answers_end = answer;
    sink->answers_end = &answer->next;
    pthread_mutex_unlock(&sink->lock);
    gw_loop_post(sink->loop, &sink->task);
    gw_rpc_stream_credit(sink->stream, 1);
}

static void on_end(void *user, int status, const char *message)
{
    char words[GW_REASON_MAX];

    sink_tell_end(user, gw_rpc_end_words(words, put_path, status, message));
}

/* ---- puts ---- */

static void sink_set_timer(struct sink_grpc *sink)
{
    if (sink->puts == NULL)
        gw_timer_stop(sink->timer);
    else
        gw_timer_start(sink->timer, GW_MAX(sink->puts->sent_ms + sink->spec->timeout_ns / GW_NS_PER_MS -
                                               gw_clock_monotonic_ms(),
                                           INT64_C(0)));
}

static struct sink_put *sink_take(struct sink_grpc *sink, struct sink_put **link)
{
    struct sink_put *put = *link;

    *link = put->next;
    if (put->next == NULL)
        sink->puts_end = link;
    return put;
}

/* Calls done(), which may close the sink. */
static void put_end(struct sink_put *put, const struct gwc_answer *answer)
{
    void (*done)(void *, const struct gwc_answer *) = put->done;
    void *user = put->user;

    free(put);
    done(user, answer);
}

static void put_fail(struct sink_grpc *sink, struct sink_put *put, const char *words)
{
    char reason[GW_REASON_MAX + 128];
    struct gwc_answer answer = {.verdict = GWC_AGAIN, .retry_after_ms = -1, .reason = reason};

    answer.took_ms = gw_clock_monotonic_ms() - put->sent_ms;
    snprintf(reason, sizeof(reason), "%s: %s", sink->spec->address, words);
    put_end(put, &answer);
}

/* ---- the call ---- */

/* Nothing comes from the call any more, once this returns; what has come and was not looked at is dropped. */
static void sink_hang_up(struct sink_grpc *sink)
{
    sink->stream = gw_rpc_stream_free(sink->stream);
    sink->channel = gw_rpc_channel_close(sink->channel);
    while (sink->answers != NULL) {
        struct sink_answer *answer = sink->answers;
        sink->answers = answer->next;
        free(answer);
    }
    sink->answers_end = &sink->answers;
    sink->ended = false;
}

/* All that are under way go again. */
static void sink_fail_all(struct sink_grpc *sink, const char *words)
{
    char kept[GW_REASON_MAX];

    snprintf(kept, sizeof(kept), "%s", words);
    sink_hang_up(sink);
    /* those that done() sends again stand behind the last one of now */
    for (uint64_t last = sink->number; !sink->closed && sink->puts != NULL && sink->puts->number <= last;)
        put_fail(sink, sink_take(sink, &sink->puts), kept);
}

static int sink_metadata(struct sink_grpc *sink, struct gw_bytes *token, const char **ret_lines,
                         struct gw_reason *reason)
{
    const struct gwc_watcher_spec *spec = sink->spec;
    size_t count = 0;

    for (size_t i = 0; i < spec->headers.count; i++) {
        ret_lines[count++] = spec->headers.items[i].name;
        ret_lines[count++] = spec->headers.items[i].value;
    }
    ret_lines[count] = NULL;
    if (spec->bearer.name == NULL)
        return 0;
    GW_AUTO(gw_secret_done) struct gw_bytes value = {0};
    GW_TRY(gw_secret_read(&spec->bearer, &value, reason));
    gw_bytes_append_text(token, "Bearer ");
    gw_bytes_append_view(token, gw_bytes_view(&value));
    ret_lines[count++] = "authorization";
    ret_lines[count++] = gw_bytes_text(token);
    ret_lines[count] = NULL;
    return token->failed ? GW_RAISE(-ENOMEM) : 0;
}

static int sink_call(struct sink_grpc *sink, struct gw_reason *reason)
{
    static const struct gw_rpc_stream_hooks hooks = {on_message, on_end};
    GW_AUTO(gw_secret_done) struct gw_bytes token = {0};
    const char *metadata[2 * GWC_SINK_GRPC_METADATA_MAX + 3];
    struct gw_rpc_channel_options channel = {.address = sink->spec->address, .tls = sink->spec->tls};
    Gateway__V1__Open open = GATEWAY__V1__OPEN__INIT;
    Gateway__V1__PutRequest first = GATEWAY__V1__PUT_REQUEST__INIT;
    struct gw_rpc_stream_options call = {.path = put_path, .first = &first.base, .metadata = metadata};

    GW_TRY(sink_metadata(sink, &token, metadata, reason));
    GW_TRY(gw_rpc_channel_open(&sink->channel, sink->rpc, &channel, reason));
    open.gateway = (char *)(uintptr_t)sink->gateway;
    open.namespace_ = (char *)(uintptr_t)sink->namespace_;
    open.watcher = (char *)(uintptr_t)sink->spec->name;
    first.request_case = GATEWAY__V1__PUT_REQUEST__REQUEST_OPEN;
    first.open = &open;
    int fault = gw_rpc_stream_open(&sink->stream, sink->channel, &call, &hooks, sink);
    if (fault == -EINVAL)
        gw_reason_set(reason, "metadata, or the token, has characters that HTTP/2 does not carry");
    if (fault < 0)
        return fault;
    sink->answered_ms = gw_clock_monotonic_ms();
    gw_rpc_stream_credit(sink->stream, SINK_CREDIT);
    return 0;
}

static int sink_put(struct sink_grpc *sink, struct gw_event *const *events, size_t count, uint64_t number,
                    struct gw_reason *reason)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};

    if (sink->stream == NULL) {
        int called = sink_call(sink, reason);
        if (called < 0) {
            sink_hang_up(sink);
            return called;
        }
    }
    Gateway__V1__PutRequest *request = gwc_sink_put(&arena, number, events, count);
    if (request == NULL)
        return GW_RAISE(-ENOMEM);
    return gw_rpc_stream_send(sink->stream, &request->base);
}

static int sink_grpc_send(struct gwc_sink *base, struct gw_event *const *events, size_t count,
                          void (*done)(void *user, const struct gwc_answer *answer), void *user)
{
    struct sink_grpc *sink = (struct sink_grpc *)base;
    struct sink_put *put = calloc(1, sizeof(*put));
    struct gw_reason reason = {""};

    if (put == NULL)
        return GW_RAISE(-ENOMEM);
    *put = (struct sink_put){
        .number = ++sink->number, .sent_ms = gw_clock_monotonic_ms(), .done = done, .user = user};
    int fault = sink_put(sink, events, count, put->number, &reason);
    if (fault < 0) {
        snprintf(sink->words, sizeof(sink->words), "%s",
                 reason.text[0] != '\0' ? reason.text : strerror(-fault));
        put->unsent = true; /* done() is not called from within send */
        gw_loop_post(sink->loop, &sink->task);
    }
    *sink->puts_end = put;
    sink->puts_end = &put->next;
    if (sink->puts == put)
        sink_set_timer(sink);
    return 0;
}

/* ---- the loop ---- */

static void sink_answered(struct sink_grpc *sink, const struct sink_answer *come)
{
    struct sink_put **link = &sink->puts;
    struct gwc_answer answer = {.verdict = GWC_SENT, .status = STATUS_STORED, .retry_after_ms = -1};
    char reason[sizeof(come->reason) + 128];

    sink->answered_ms = gw_clock_monotonic_ms();
    while (*link != NULL && (*link)->number != come->number)
        link = &(*link)->next;
    if (*link == NULL)
        return; /* late: it was given up, and goes again */
    if (come->outcome != GATEWAY__V1__PUT_ANSWER__OUTCOME__STORED) {
        bool refused = come->outcome == GATEWAY__V1__PUT_ANSWER__OUTCOME__REFUSED;
        answer.verdict = refused ? GWC_HOPELESS : GWC_AGAIN;
        answer.status = refused ? STATUS_REFUSED : STATUS_TRY_AGAIN;
        answer.retry_after_ms = come->retry_after_ms > 0 ? come->retry_after_ms : -1;
    }
    snprintf(reason, sizeof(reason), "%s: %s", sink->spec->address,
             come->reason[0] != '\0' ? come->reason : "it gave no reason");
    answer.reason = reason;
    struct sink_put *put = sink_take(sink, link);
    answer.took_ms = gw_clock_monotonic_ms() - put->sent_ms;
    put_end(put, &answer);
}

static struct sink_answer *answers_take(struct sink_grpc *sink)
{
    pthread_mutex_lock(&sink->lock);
    struct sink_answer *answers = sink->answers;
    sink->answers = NULL;
    sink->answers_end = &sink->answers;
    pthread_mutex_unlock(&sink->lock);
    return answers;
}

static void sink_take_answers(struct sink_grpc *sink)
{
    for (struct sink_answer *answer = answers_take(sink), *next; answer != NULL; answer = next) {
        next = answer->next;
        if (!sink->closed)
            sink_answered(sink, answer);
        free(answer);
    }
}

static void sink_fail_unsent(struct sink_grpc *sink)
{
    uint64_t last = sink->number;

    for (struct sink_put **link = &sink->puts; !sink->closed && *link != NULL && (*link)->number <= last;) {
        if (!(*link)->unsent) {
            link = &(*link)->next;
            continue;
        }
        put_fail(sink, sink_take(sink, link), sink->words);
        link = &sink->puts; /* done() may have moved everything */
    }
}

static void sink_free(struct sink_grpc *sink)
{
    pthread_mutex_destroy(&sink->lock);
    free(sink);
}

static void on_task(struct gw_task *task)
{
    struct sink_grpc *sink = GW_CONTAINER_OF(task, struct sink_grpc, task);

    sink->running = true;
    if (!sink->closed) {
        pthread_mutex_lock(&sink->lock);
        bool ended = sink->ended;
        pthread_mutex_unlock(&sink->lock);
        /* an end is told behind the answers before it */
        sink_take_answers(sink);
        if (!sink->closed && ended)
            sink_fail_all(sink, sink->end_words);
        sink_fail_unsent(sink);
    }
    sink->running = false;
    if (!sink->closed)
        sink_set_timer(sink);
    else if (!gw_task_queued(&sink->task))
        sink_free(sink);
}

/* A put is late. Where others are answered it alone has failed; where nothing is, the connection may be dead. */
static void on_time(void *user)
{
    struct sink_grpc *sink = user;
    char duration[GW_DURATION_MAX], words[96];

    sink->running = true;
    snprintf(words, sizeof(words), "no answer within %s",
             gw_duration_format(duration, sink->spec->timeout_ns));
    if (sink->answered_ms > sink->puts->sent_ms)
        put_fail(sink, sink_take(sink, &sink->puts), words);
    else
        sink_fail_all(sink, words);
    sink->running = false;
    if (!sink->closed)
        sink_set_timer(sink);
    else if (!gw_task_queued(&sink->task))
        sink_free(sink);
}

/* ---- life ---- */

static struct gwc_sink *sink_grpc_close(struct gwc_sink *base)
{
    struct sink_grpc *sink = (struct sink_grpc *)base;

    if (sink == NULL)
        return NULL;
    sink_hang_up(sink);
    while (sink->puts != NULL)
        free(sink_take(sink, &sink->puts));
    sink->timer = gw_timer_close(sink->timer);
    sink->closed = true;
    if (!sink->running && !gw_task_queued(&sink->task))
        sink_free(sink);
    return NULL;
}

int gwc_sink_grpc_open(struct gwc_sink **ret_sink, const struct gwc_transports *transports,
                       const struct gwc_watcher_spec *spec, struct gw_reason *reason)
{
    static const struct gwc_sink_ops ops = {.send = sink_grpc_send, .close = sink_grpc_close};
    struct sink_grpc *sink = calloc(1, sizeof(*sink));

    (void)reason;
    if (sink == NULL)
        return GW_RAISE(-ENOMEM);
    sink->base.ops = &ops;
    sink->loop = transports->loop;
    sink->rpc = transports->rpc;
    sink->gateway = transports->gateway;
    sink->namespace_ = transports->namespace_;
    sink->spec = spec;
    sink->task.run = on_task;
    sink->puts_end = &sink->puts;
    sink->answers_end = &sink->answers;
    pthread_mutex_init(&sink->lock, NULL);
    int fault = gw_timer_open(&sink->timer, sink->loop, on_time, sink);
    if (fault < 0) {
        sink_free(sink);
        return fault;
    }
    *ret_sink = &sink->base;
    return 0;
}
