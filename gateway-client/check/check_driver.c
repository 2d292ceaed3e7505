/* gRPC for a command: calls that block. */
#include "gateway-client/check/check_driver.h"

#include "common/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { TALK_CREDIT = 16 };

/* ---- waiting ---- */

struct signal_box {
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static void signal_box_init(struct signal_box *box)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&box->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&box->lock, NULL);
}

static void signal_box_done(struct signal_box *box)
{
    pthread_cond_destroy(&box->changed);
    pthread_mutex_destroy(&box->lock);
}

/* The lock is held. False: the time is over. */
static bool signal_box_wait(struct signal_box *box, int64_t until_ns)
{
    struct timespec until = {.tv_sec = until_ns / GW_NS_PER_S, .tv_nsec = until_ns % GW_NS_PER_S};

    return pthread_cond_timedwait(&box->changed, &box->lock, &until) == 0;
}

/* ---- unary ---- */

struct question {
    struct signal_box box;
    struct gwc_answer answer;
    bool answered;
};

static void on_reply(void *user, int status, const char *message, struct gw_view reply)
{
    struct question *question = user;

    pthread_mutex_lock(&question->box.lock);
    question->answer.status = status;
    snprintf(question->answer.message, sizeof(question->answer.message), "%s", message);
    gw_bytes_append_view(&question->answer.body, reply);
    question->answered = true;
    pthread_cond_signal(&question->box.changed);
    pthread_mutex_unlock(&question->box.lock);
}

void gwc_answer_done(struct gwc_answer *answer)
{
    gw_bytes_done(&answer->body);
    *answer = (struct gwc_answer){0};
}

int gwc_ask(struct gw_rpc_channel *channel, const char *path, const ProtobufCMessage *request,
            int64_t timeout_ms, struct gwc_answer *ret_answer)
{
    struct question question = {0};
    int64_t began_ns = gw_clock_monotonic_ns();

    signal_box_init(&question.box);
    int fault = gw_rpc_call(channel, path, request, timeout_ms, on_reply, &question);
    pthread_mutex_lock(&question.box.lock);
    while (fault == 0 && !question.answered) /* it comes in any case: the call has a deadline */
        pthread_cond_wait(&question.box.changed, &question.box.lock);
    pthread_mutex_unlock(&question.box.lock);
    signal_box_done(&question.box);
    question.answer.took_ms = (gw_clock_monotonic_ns() - began_ns) / GW_NS_PER_MS;
    if (fault == 0 && question.answer.body.failed)
        fault = GW_RAISE(-ENOMEM);
    if (fault == 0)
        *ret_answer = question.answer;
    else
        gwc_answer_done(&question.answer);
    return fault;
}

/* ---- streams ---- */

struct letter {
    struct letter *next;
    size_t size;
    char bytes[];
};

struct gwc_talk {
    struct signal_box box;
    struct gw_rpc_stream *stream;
    struct letter *first, **last;
    bool ended, failed; /* failed: no memory for a message */
    int status;
    char message[GW_REASON_MAX];
};

static void on_message(void *user, struct gw_view bytes)
{
    struct gwc_talk *talk = user;
    struct letter *letter = malloc(sizeof(*letter) + bytes.size);

    pthread_mutex_lock(&talk->box.lock);
    if (letter != NULL) {
        letter->next = NULL;
        letter->size = bytes.size;
        if (bytes.size > 0)
            memcpy(letter->bytes, bytes.data, bytes.size);
        *talk->last = letter;
        talk->last = &letter->next;
    }
    talk->failed |= letter == NULL;
    pthread_cond_signal(&talk->box.changed);
    pthread_mutex_unlock(&talk->box.lock);
}

static void on_end(void *user, int status, const char *message)
{
    struct gwc_talk *talk = user;

    pthread_mutex_lock(&talk->box.lock);
    talk->ended = true;
    talk->status = status;
    snprintf(talk->message, sizeof(talk->message), "%s", message);
    pthread_cond_signal(&talk->box.changed);
    pthread_mutex_unlock(&talk->box.lock);
}

int gwc_talk_open(struct gwc_talk **ret_talk, struct gw_rpc_channel *channel,
                  const struct gwc_talk_options *options)
{
    static const struct gw_rpc_stream_hooks hooks = {on_message, on_end};
    const struct gw_rpc_stream_options call = {
        .path = options->path, .first = options->first, .half_close = options->half_close};
    struct gwc_talk *talk = calloc(1, sizeof(*talk));

    if (talk == NULL)
        return GW_RAISE(-ENOMEM);
    signal_box_init(&talk->box);
    talk->last = &talk->first;
    int fault = gw_rpc_stream_open(&talk->stream, channel, &call, &hooks, talk);
    if (fault < 0) {
        signal_box_done(&talk->box);
        free(talk);
        return fault;
    }
    gw_rpc_stream_credit(talk->stream, options->credit > 0 ? options->credit : TALK_CREDIT);
    *ret_talk = talk;
    return 0;
}

struct gwc_talk *gwc_talk_close(struct gwc_talk *talk)
{
    if (talk == NULL)
        return NULL;
    gw_rpc_stream_free(talk->stream); /* no hook runs any more */
    for (struct letter *letter = talk->first; letter != NULL;) {
        struct letter *next = letter->next;
        free(letter);
        letter = next;
    }
    signal_box_done(&talk->box);
    free(talk);
    return NULL;
}

/* The lock is held. */
static struct letter *talk_take(struct gwc_talk *talk)
{
    struct letter *letter = talk->first;

    if (letter == NULL)
        return NULL;
    talk->first = letter->next;
    if (talk->first == NULL)
        talk->last = &talk->first;
    return letter;
}

int gwc_talk_next(struct gwc_talk *talk, int64_t timeout_ms, enum gwc_talk_kind *ret_kind,
                  struct gw_bytes *ret_message)
{
    int64_t until_ns = gw_clock_monotonic_ns() + GW_MAX(timeout_ms, (int64_t)0) * GW_NS_PER_MS;
    bool in_time = true;

    pthread_mutex_lock(&talk->box.lock);
    while (talk->first == NULL && !talk->ended && !talk->failed && in_time)
        in_time = signal_box_wait(&talk->box, until_ns);
    struct letter *letter = talk_take(talk);
    *ret_kind = letter != NULL ? GWC_TALK_MESSAGE : talk->ended ? GWC_TALK_ENDED : GWC_TALK_SILENCE;
    bool failed = talk->failed;
    pthread_mutex_unlock(&talk->box.lock);
    if (letter != NULL) {
        gw_bytes_clear(ret_message);
        gw_bytes_append(ret_message, letter->bytes, letter->size);
        free(letter);
        gw_rpc_stream_credit(talk->stream, 1);
        failed |= ret_message->failed;
    }
    return failed ? GW_RAISE(-ENOMEM) : 0;
}

int gwc_talk_status(const struct gwc_talk *talk)
{
    return talk->status;
}

const char *gwc_talk_message(const struct gwc_talk *talk)
{
    return talk->message;
}

void gwc_talk_send(struct gwc_talk *talk, const ProtobufCMessage *message)
{
    (void)!gw_rpc_stream_send(talk->stream, message);
}

void gwc_talk_half_close(struct gwc_talk *talk)
{
    gw_rpc_stream_half_close(talk->stream);
}

void gwc_talk_cancel(struct gwc_talk *talk)
{
    gw_rpc_stream_cancel(talk->stream);
}
