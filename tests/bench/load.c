/* The benchmark's sender: keeps a number of requests under way, each with a body of a given size that carries its number and the time
 * ({"n":…,"at":nanoseconds,"pad":"…"}), and prints one JSON object: requests, accepted ones, p50 and p99 in microseconds, seconds. */
#include "common/clock.h"
#include "common/flags.h"
#include "common/http.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES_MAX = 8 << 20, BODY_MAX = 65536 };

struct load {
    struct gw_loop *loop;
    struct gw_http_target *target;
    int64_t connections, count, size, seconds_ms;
    int64_t sent, done, accepted, began_ns, ended_ns;
    uint32_t *samples_us;
    char status[64]; /* the last answer that was not 2xx */
};

struct slot {
    struct load *load;
    int64_t sent_ns;
    char body[BODY_MAX];
};

static void slot_send(struct slot *slot);

static bool load_over(const struct load *load)
{
    return load->count > 0 ? load->sent >= load->count
                           : gw_clock_monotonic_ns() - load->began_ns >= load->seconds_ms * GW_NS_PER_MS;
}

static void on_done(void *user, const struct gw_http_answer *answer)
{
    struct slot *slot = user;
    struct load *load = slot->load;
    int64_t now_ns = gw_clock_monotonic_ns();

    if (load->done < SAMPLES_MAX)
        load->samples_us[load->done] = (uint32_t)((now_ns - slot->sent_ns) / GW_NS_PER_US);
    load->done++;
    if (answer->status >= 200 && answer->status < 300)
        load->accepted++;
    else
        snprintf(load->status, sizeof(load->status), "%d %.40s", answer->status, answer->fault);
    load->ended_ns = now_ns;
    if (!load_over(load))
        slot_send(slot);
    else if (load->done == load->sent)
        gw_loop_stop(load->loop);
}

static void slot_send(struct slot *slot)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct load *load = slot->load;

    slot->sent_ns = gw_clock_monotonic_ns();
    int head = snprintf(slot->body, sizeof(slot->body), "{\"n\":%" PRId64 ",\"at\":%" PRId64 ",\"pad\":\"",
                        load->sent++, slot->sent_ns);
    size_t size = (size_t)GW_MAX(load->size, (int64_t)head + 2);
    memset(slot->body + head, 'x', size - (size_t)head - 2);
    memcpy(slot->body + size - 2, "\"}", 2);
    const struct gw_http_request request = {
        .method = GW_HTTP_POST, .headers = headers, .body = gw_view(slot->body, size)};
    if (gw_http_send(load->target, &request, on_done, slot, NULL) < 0)
        abort();
}

static int by_size(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return left < right ? -1 : left > right;
}

static void load_print(struct load *load)
{
    size_t samples = (size_t)GW_MIN(load->done, (int64_t)SAMPLES_MAX);
    size_t last = samples > 0 ? samples - 1 : 0;

    qsort(load->samples_us, samples, sizeof(*load->samples_us), by_size);
    printf("{\"requests\":%" PRId64 ",\"accepted\":%" PRId64
           ",\"p50_us\":%u,\"p99_us\":%u,\"seconds\":%.6f,\"refusal\":\"%s\"}\n",
           load->done, load->accepted, load->samples_us[last / 2], load->samples_us[last * 99 / 100],
           (double)(load->ended_ns - load->began_ns) / (double)GW_NS_PER_S, load->status);
}

static int load_run(struct load *load, const char *url, struct gw_reason *reason)
{
    GW_AUTO(gw_loop_closep) struct gw_loop *loop = NULL;
    GW_AUTO(gw_http_closep) struct gw_http *http = NULL;
    GW_AUTO(gw_http_target_closep) struct gw_http_target *target = NULL;
    GW_AUTO(gw_freep) struct slot *slots = calloc((size_t)load->connections, sizeof(*slots));
    const struct gw_http_options options = {.url = url, .timeout_ms = 30000};

    load->samples_us = calloc(SAMPLES_MAX, sizeof(*load->samples_us));
    if (slots == NULL || load->samples_us == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_loop_open(&loop));
    GW_TRY(gw_http_open(&http, loop, (size_t)load->connections));
    GW_TRY(gw_http_target_open(&target, http, &options, reason));
    load->loop = loop;
    load->target = target;
    load->began_ns = gw_clock_monotonic_ns();
    for (int64_t i = 0; i < load->connections; i++) {
        slots[i].load = load;
        slot_send(&slots[i]);
    }
    gw_loop_run(loop);
    load_print(load);
    free(load->samples_us);
    return 0;
}

int main(int argc, char **argv)
{
    struct load load = {.connections = 64, .size = 256, .seconds_ms = 5000};
    const char *url = "http://127.0.0.1:9390/";
    int words;
    struct gw_reason reason = {""};
    const struct gw_flag flags[] = {
        {"url", GW_FLAG_TEXT, &url, "URL", "where to POST", NULL},
        {"connections", GW_FLAG_INTEGER, &load.connections, "N", "requests under way (default 64)", NULL},
        {"count", GW_FLAG_INTEGER, &load.count, "N",
         "requests in all; 0 (default): as many as fit into --for", NULL},
        {"size", GW_FLAG_INTEGER, &load.size, "BYTES", "of a body (default 256)", NULL},
        {"for", GW_FLAG_DURATION, &load.seconds_ms, "DURATION", "how long (default 5s)", NULL},
        {0},
    };

    if (gw_flags_read(flags, argc, argv, &words, &reason) != 0 || load.size >= BODY_MAX ||
        load.connections < 1 || load_run(&load, url, &reason) != 0) {
        fprintf(stderr, "load: %s\n", reason.text);
        return GW_EXIT_FAULT;
    }
    return GW_EXIT_OK;
}
