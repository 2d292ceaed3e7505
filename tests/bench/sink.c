/* The benchmark's watcher: answers 204, and measures how long each event took from the sender ("at": nanoseconds in its body). On
 * SIGTERM it prints one JSON object: events, distinct ones, p50 and p99 in microseconds, the time from the first to the last. */
#include "common/clock.h"
#include "common/flags.h"
#include "common/listen.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_MAX = 8 << 20, NUMBERS_MAX = 64 << 20 };

struct sink {
    struct gw_loop *loop;
    uint32_t *samples_us;
    size_t samples;
    uint8_t *seen; /* a bit for each "n" */
    uint64_t events, distinct;
    int64_t first_ns, last_ns;
};

/* The number behind `name` ("\"at\":"), from `*cursor` on; -1: none. */
static int64_t number_behind(const char **cursor, const char *end, const char *name)
{
    size_t size = strlen(name);
    const char *found = memmem(*cursor, (size_t)(end - *cursor), name, size);

    if (found == NULL)
        return -1;
    *cursor = found + size;
    return strtoll(found + size, NULL, 10);
}

static void sink_event(struct sink *sink, int64_t number, int64_t at_ns, int64_t now_ns)
{
    sink->events++;
    sink->last_ns = now_ns;
    if (sink->first_ns == 0)
        sink->first_ns = now_ns;
    if (number >= 0 && number < NUMBERS_MAX && (sink->seen[number / 8] & (1 << (number % 8))) == 0) {
        sink->seen[number / 8] |= (uint8_t)(1 << (number % 8));
        sink->distinct++;
        if (sink->samples < SAMPLES_MAX)
            sink->samples_us[sink->samples++] = (uint32_t)GW_MAX((now_ns - at_ns) / GW_NS_PER_US, (int64_t)0);
    }
}

/* A body carries one event, or a batch of them. */
static void on_complete(void *user, struct gw_request *request)
{
    struct sink *sink = user;
    struct gw_view body = gw_request_body(request);
    const char *cursor = body.data, *end = body.data + body.size;
    int64_t now_ns = gw_clock_monotonic_ns();

    for (;;) {
        int64_t number = body.size == 0 ? -1 : number_behind(&cursor, end, "\"n\":");
        if (number < 0)
            break;
        sink_event(sink, number, number_behind(&cursor, end, "\"at\":"), now_ns);
    }
    gw_request_reply(request, 204, NULL, gw_view(NULL, 0));
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

static void on_end(void *user)
{
    struct sink *sink = user;

    qsort(sink->samples_us, sink->samples, sizeof(*sink->samples_us), by_size);
    size_t last = sink->samples > 0 ? sink->samples - 1 : 0;
    printf("{\"events\":%llu,\"distinct\":%llu,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"seconds\":%.6f}\n",
           (unsigned long long)sink->events, (unsigned long long)sink->distinct, sink->samples_us[last / 2],
           sink->samples_us[last * 99 / 100], sink->samples_us[last],
           (double)(sink->last_ns - sink->first_ns) / (double)GW_NS_PER_S);
    gw_loop_stop(sink->loop);
}

static int sink_run(uint16_t port, struct gw_reason *reason)
{
    struct sink sink = {0};
    GW_AUTO(gw_loop_closep) struct gw_loop *loop = NULL;
    GW_AUTO(gw_listener_closep) struct gw_listener *listener = NULL;
    struct gw_signal *term;
    const struct gw_listener_options options = {.address = "127.0.0.1", .port = port};
    const struct gw_listener_hooks hooks = {.complete = on_complete};

    sink.samples_us = calloc(SAMPLES_MAX, sizeof(*sink.samples_us));
    sink.seen = calloc(NUMBERS_MAX / 8, 1);
    if (sink.samples_us == NULL || sink.seen == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_loop_open(&loop));
    sink.loop = loop;
    GW_TRY(gw_signal_open(&term, loop, SIGTERM, on_end, &sink));
    GW_TRY(gw_listener_open(&listener, loop, &options, &hooks, &sink, reason));
    fprintf(stderr, "listening\n");
    gw_loop_run(loop);
    free(sink.samples_us);
    free(sink.seen);
    return 0;
}

int main(int argc, char **argv)
{
    int64_t port = 9390;
    int words;
    struct gw_reason reason = {""};
    const struct gw_flag flags[] = {
        {"port", GW_FLAG_INTEGER, &port, "PORT", "where to listen on 127.0.0.1", NULL}, {0}};

    if (gw_flags_read(flags, argc, argv, &words, &reason) != 0 || sink_run((uint16_t)port, &reason) != 0) {
        fprintf(stderr, "sink: %s\n", reason.text);
        return GW_EXIT_FAULT;
    }
    return GW_EXIT_OK;
}
