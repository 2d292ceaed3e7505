/* gateway-client listen: a small watcher that prints each CloudEvent it gets, and fails on request. */
#include "gateway-client/commands/commands.h"

#include "common/clock.h"
#include "common/flags.h"
#include "common/listen.h"
#include "common/text.h"
#include "gateway-client/commands/listen_event.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LISTEN_BODY_MAX ((int64_t)64 << 20)
enum { LISTEN_HOST_MAX = 256 };

struct listen {
    struct gw_loop *loop;
    struct gw_listener *listener;
    struct gw_bytes out;
    char host[LISTEN_HOST_MAX];
    uint16_t port;
    /* flags */
    const char *address;
    double fail_rate;
    int64_t delay_ms, status, count_max;
    bool json, pretty, quiet;
    bool color;
    /* what came */
    uint64_t events, requests, failed, refused;
    bool enough;
    bool output_broken;
};

/* A request whose answer is put off. */
struct listen_late {
    struct listen *listen;
    struct gw_request *request;
    struct gw_timer *timer;
};

/* ---- output ---- */

static void listen_words(const struct listen *listen, struct gw_request *request, const char *words)
{
    if (!listen->quiet)
        fprintf(stderr, "%s %s from %s: %s\n", gw_request_method(request), gw_request_path(request),
                gw_request_peer(request), words);
}

static void listen_flush(struct listen *listen)
{
    if (listen->out.size > 0 && fwrite(listen->out.data, 1, listen->out.size, stdout) != listen->out.size)
        listen->output_broken = true;
    if (fflush(stdout) != 0)
        listen->output_broken = true;
    gw_bytes_clear(&listen->out);
    if (listen->output_broken)
        gw_loop_stop(listen->loop);
}

struct listen_print {
    struct listen *listen;
    const char *form;
    uint64_t events;
};

static int on_event(void *user, const struct gw_event_fields *fields)
{
    struct listen_print *print = user;
    struct listen *listen = print->listen;

    print->events++;
    if (listen->quiet)
        return 0;
    if (listen->json)
        return gwc_listen_write_json(&listen->out, fields);
    gwc_listen_write_pretty(&listen->out, fields, print->form, listen->color);
    return listen->out.failed ? GW_RAISE(-ENOMEM) : 0;
}

/* ---- requests ---- */

static const char *request_header(const void *request, const char *name)
{
    return gw_request_header(request, name);
}

static void request_headers(const void *request,
                            void (*each)(void *user, const char *name, const char *value), void *user)
{
    gw_request_headers(request, each, user);
}

/* Abuse protection of the CloudEvents WebHook spec (section 4): we let everybody send, as fast as they like. */
static void listen_handshake(struct gw_request *request)
{
    const char *origin = gw_request_header(request, "WebHook-Request-Origin");
    char allowed[LISTEN_HOST_MAX + 32];

    if (origin == NULL || strlen(origin) > LISTEN_HOST_MAX) {
        gw_request_reply(request, 200, (const char *const[]){"Allow: POST, OPTIONS", NULL}, gw_view(NULL, 0));
        return;
    }
    snprintf(allowed, sizeof(allowed), "WebHook-Allowed-Origin: %s", origin);
    gw_request_reply(request, 200,
                     (const char *const[]){"Allow: POST, OPTIONS", allowed, "WebHook-Allowed-Rate: *", NULL},
                     gw_view(NULL, 0));
}

static bool listen_must_fail(const struct listen *listen)
{
    return listen->fail_rate > 0 && (double)(gw_random_u64() >> 11) * 0x1p-53 < listen->fail_rate;
}

static void listen_fail(struct listen *listen, struct gw_request *request, int status)
{
    char words[64];

    listen->failed++;
    snprintf(words, sizeof(words), "answered %d, as asked", status);
    listen_words(listen, request, words);
    gw_request_problem(request, status, NULL, "answered so because this watcher was asked to");
}

static void listen_refuse(struct listen *listen, struct gw_request *request, int verdict, const char *words)
{
    listen->refused++;
    gw_bytes_clear(&listen->out);
    listen_words(listen, request, words);
    if (verdict < 0)
        gw_request_problem(request, 500, NULL, "%s", words);
    else
        gw_request_problem(request, verdict == GW_EVENT_FORMAT ? 415 : 400, NULL, "%s", words);
}

static void listen_post(struct listen *listen, struct gw_request *request)
{
    struct gw_event_source_http http = {.header = request_header,
                                        .headers = request_headers,
                                        .request = request,
                                        .body = gw_request_body(request)};
    struct listen_print print = {.listen = listen, .form = ""};
    struct gw_reason reason = {""};
    int verdict = gwc_listen_decode(&http, on_event, &print, &print.form, &reason);

    if (verdict == GW_EVENT_NOT)
        gw_reason_set(
            &reason,
            "not a CloudEvent: neither ce- headers nor a Content-Type of application/cloudevents+json");
    else if (verdict < 0)
        gw_reason_set(&reason, "%s", strerror(-verdict));
    if (verdict != 0) {
        listen_refuse(listen, request, verdict, reason.text);
        return;
    }
    listen->events += print.events;
    listen_flush(listen);
    listen->enough = listen->count_max > 0 && listen->events >= (uint64_t)listen->count_max;
    gw_request_reply(request, listen->status > 0 ? (int)listen->status : 204, NULL, gw_view(NULL, 0));
}

static void listen_answer(struct listen *listen, struct gw_request *request)
{
    if (strcmp(gw_request_method(request), "OPTIONS") == 0) {
        listen_handshake(request);
        return;
    }
    listen->requests++;
    if (strcmp(gw_request_method(request), "POST") != 0) {
        listen->refused++;
        listen_words(listen, request, "not a CloudEvent: they come by POST");
        gw_request_problem(request, 405, (const char *const[]){"Allow: POST, OPTIONS", NULL},
                           "CloudEvents come by POST");
    } else if (listen->status >= 300) {
        listen_fail(listen, request, (int)listen->status);
    } else if (listen_must_fail(listen)) {
        listen_fail(listen, request, 500);
    } else {
        listen_post(listen, request);
    }
}

/* ---- answers that are put off ---- */

static void on_late(void *user)
{
    struct listen_late *late = user;

    listen_answer(late->listen, late->request);
}

static bool listen_put_off(struct listen *listen, struct gw_request *request)
{
    struct listen_late *late = calloc(1, sizeof(*late));

    if (late == NULL || gw_timer_open(&late->timer, listen->loop, on_late, late) != 0) {
        free(late);
        return false;
    }
    late->listen = listen;
    late->request = request;
    gw_request_set_user(request, late);
    gw_timer_start(late->timer, listen->delay_ms);
    return true;
}

static int64_t on_headers(void *user, struct gw_request *request)
{
    (void)user;
    (void)request;
    return LISTEN_BODY_MAX;
}

static void on_complete(void *user, struct gw_request *request)
{
    struct listen *listen = user;

    if (listen->delay_ms <= 0 || !listen_put_off(listen, request))
        listen_answer(listen, request);
}

static void on_ended(void *user, struct gw_request *request)
{
    struct listen *listen = user;
    struct listen_late *late = gw_request_user(request);

    if (late != NULL)
        gw_timer_close(late->timer);
    free(late);
    if (listen->enough)
        gw_loop_stop(listen->loop);
}

/* ---- life ---- */

/* "127.0.0.1:9300", "[::1]:9300", ":9300" (all addresses). */
static int listen_address(const char *address, char host[static LISTEN_HOST_MAX], uint16_t *ret_port,
                          struct gw_reason *reason)
{
    const char *colon = strrchr(address, ':');
    struct gw_view name;
    uint64_t port;

    if (colon == NULL || !gw_text_u64(gw_view_text(colon + 1), UINT16_MAX, &port))
        return GW_REFUSE(-EINVAL, reason, "--address %s: must be HOST:PORT, such as 127.0.0.1:9300", address);
    name = gw_view(address, (size_t)(colon - address));
    if (name.size >= 2 && name.data[0] == '[' && name.data[name.size - 1] == ']')
        name = gw_view(name.data + 1, name.size - 2);
    if (name.size >= LISTEN_HOST_MAX)
        return GW_REFUSE(-EINVAL, reason, "--address: the host is too long");
    memcpy(host, name.data, name.size);
    host[name.size] = '\0';
    *ret_port = (uint16_t)port;
    return 0;
}

static int listen_open(struct listen *listen, struct gw_reason *reason)
{
    static const struct gw_listener_hooks hooks = {
        .headers = on_headers, .complete = on_complete, .ended = on_ended};
    struct gw_listener_options options = {0};

    options.port = listen->port;
    options.address = listen->host[0] == '\0' ? NULL : listen->host;
    return gw_listener_open(&listen->listener, listen->loop, &options, &hooks, listen, reason);
}

static void on_signal(void *user)
{
    struct listen *listen = user;

    gw_loop_stop(listen->loop);
}

static void listen_say_where(const struct listen *listen)
{
    int host = (int)(strrchr(listen->address, ':') - listen->address);

    fprintf(stderr, "listening on http://%.*s:%u/\n", host, listen->address,
            gw_listener_port(listen->listener));
}

static void listen_summary(const struct listen *listen)
{
    fprintf(stderr, "%llu event%s in %llu request%s; %llu failed as asked, %llu refused\n",
            (unsigned long long)listen->events, listen->events == 1 ? "" : "s",
            (unsigned long long)listen->requests, listen->requests == 1 ? "" : "s",
            (unsigned long long)listen->failed, (unsigned long long)listen->refused);
}

static int listen_run(struct listen *listen)
{
    struct gw_signal *signals[2] = {NULL, NULL};
    struct gw_reason reason = {""};
    int code = GW_EXIT_FAULT;

    if (gw_loop_open(&listen->loop) != 0 ||
        gw_signal_open(&signals[0], listen->loop, SIGINT, on_signal, listen) != 0 ||
        gw_signal_open(&signals[1], listen->loop, SIGTERM, on_signal, listen) != 0) {
        fprintf(stderr, "gateway-client listen: %s\n", gw_fault_trace());
    } else if (listen_open(listen, &reason) != 0) {
        fprintf(stderr, "gateway-client listen: %s\n", reason.text);
    } else {
        listen_say_where(listen);
        gw_loop_run(listen->loop);
        listen_summary(listen);
        code = listen->output_broken ? GW_EXIT_FAULT : GW_EXIT_OK;
    }
    gw_listener_close(listen->listener);
    gw_signal_close(signals[0]);
    gw_signal_close(signals[1]);
    gw_loop_close(listen->loop);
    gw_bytes_done(&listen->out);
    return code;
}

static int listen_flags_check(struct listen *listen, int words, char **argv, struct gw_reason *reason)
{
    if (words > 0)
        return GW_REFUSE(-EINVAL, reason, "%s: listen takes flags only", argv[1]);
    if (!(listen->fail_rate >= 0 && listen->fail_rate <= 1))
        return GW_REFUSE(-EINVAL, reason, "--fail-rate: must be from 0 to 1");
    if (listen->status != 0 && (listen->status < 200 || listen->status > 599))
        return GW_REFUSE(-EINVAL, reason, "--status: must be from 200 to 599");
    if (listen->delay_ms < 0 || listen->count_max < 0)
        return GW_REFUSE(-EINVAL, reason, "%s: must not be negative",
                         listen->delay_ms < 0 ? "--delay" : "--count");
    return listen_address(listen->address, listen->host, &listen->port, reason);
}

/* Asked for like a terminal's, output has a terminal's colour. */
static bool terminal_has_color(bool pretty)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return (pretty || isatty(STDOUT_FILENO)) && (no_color == NULL || no_color[0] == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

int gwc_cmd_listen(int argc, char **argv)
{
    struct listen listen = {.address = "127.0.0.1:9300"};
    struct gw_flag flags[] = {
        {"address", GW_FLAG_TEXT, &listen.address, "HOST:PORT", "where to listen (127.0.0.1:9300)", NULL},
        {"fail-rate", GW_FLAG_NUMBER, &listen.fail_rate, "SHARE",
         "answer this share of requests with 500, from 0 to 1", NULL},
        {"delay", GW_FLAG_DURATION, &listen.delay_ms, "DURATION", "wait before each answer", NULL},
        {"status", GW_FLAG_INTEGER, &listen.status, "STATUS", "answer with this status (204)", NULL},
        {"count", GW_FLAG_INTEGER, &listen.count_max, "N", "end after so many events", NULL},
        {"json", GW_FLAG_BOOL, &listen.json, NULL, "one JSON object a line, also on a terminal", NULL},
        {"pretty", GW_FLAG_BOOL, &listen.pretty, NULL, "as on a terminal, also into a file or pipe", NULL},
        {"quiet", GW_FLAG_BOOL, &listen.quiet, NULL, "count only", NULL},
        {0},
    };
    struct gw_reason reason = {""};
    int words = 0, result = gw_flags_read(flags, argc, argv, &words, &reason);

    if (result == GW_FLAGS_HELP) {
        printf("gateway-client listen: prints each CloudEvent that is sent to it\n\n");
        gw_flags_print(flags);
        return GW_EXIT_OK;
    }
    if (result != 0 || listen_flags_check(&listen, words, argv, &reason) != 0) {
        fprintf(stderr, "gateway-client listen: %s\n", reason.text);
        return GW_EXIT_USAGE;
    }
    listen.json = listen.json || (!listen.pretty && !isatty(STDOUT_FILENO));
    listen.color = terminal_has_color(listen.pretty);
    return listen_run(&listen);
}
