/* A watcher for tests: a real listener on loopback that answers as it is told and remembers what it got. */
#ifndef WATCHER_FIXTURE_H
#define WATCHER_FIXTURE_H

#include "common/clock.h"
#include "common/cloudevent.h"
#include "common/http.h"
#include "common/listen.h"
#include "common/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { WATCHER_HELD_MAX = 256, WATCHER_IDS_MAX = 65536 };

struct watcher {
    struct gw_loop *loop;
    struct gw_listener *listener;
    uint16_t port;
    /* what it does */
    int status;       /* of every answer */
    int first_status; /* of the first `first_count` answers */
    size_t first_count;
    const char *bad_id;         /* a request with this event is answered 400 */
    const char *const *headers; /* of answers that are not 2xx */
    const char *body;
    const char *bearer; /* 401 without it */
    bool hold;          /* keeps requests until watcher_let_go() */
    /* what it got */
    size_t requests, events;
    int64_t last_ms;     /* when the last request came */
    unsigned char *seen; /* by number of the event: how often it was accepted */
    struct gw_request *held[WATCHER_HELD_MAX];
    size_t held_count, held_most;
    char content_type[128], id_header[64], extra_header[64];
    struct gw_bytes last_body;
};

/* Turns the loop until the condition holds, for at most a minute: sanitizers and busy machines are slow. */
#define WAIT_FOR(loop, condition)                                                                            \
    do {                                                                                                     \
        int64_t wait_end_ = gw_clock_monotonic_ms() + 60000;                                                 \
        while (!(condition) && gw_clock_monotonic_ms() < wait_end_)                                          \
            gw_loop_turn((loop), 20);                                                                        \
        assert_true(condition);                                                                              \
    } while (0)

static inline void watcher_copy(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from == NULL ? "(none)" : from);
}

struct watcher_count {
    struct watcher *watcher;
    bool accept, bad;
};

static inline int watcher_event(void *user, const struct gw_event_fields *fields)
{
    struct watcher_count *count = user;
    uint64_t number;

    if (count->watcher->bad_id != NULL && gw_view_is(fields->id, count->watcher->bad_id))
        count->bad = true;
    if (!count->accept)
        return 0;
    count->watcher->events++;
    /* ids of tests are numbers */
    if (gw_text_u64(fields->id, WATCHER_IDS_MAX - 1, &number))
        count->watcher->seen[number]++;
    return 0;
}

static inline const char *watcher_header(const void *request, const char *name)
{
    return gw_request_header(request, name);
}

static inline void watcher_headers(const void *request,
                                   void (*each)(void *user, const char *name, const char *value), void *user)
{
    gw_request_headers(request, each, user);
}

static inline void watcher_decode(struct gw_request *request, struct watcher_count *count)
{
    struct gw_event_source_http http = {watcher_header, watcher_headers, request, gw_request_body(request)};
    struct gw_reason reason;

    if (gw_event_decode(&http, watcher_event, count, &reason) < 0)
        abort();
}

static inline int watcher_choose(struct watcher *watcher, struct gw_request *request)
{
    struct watcher_count count = {.watcher = watcher};
    const char *authorization = gw_request_header(request, "Authorization");

    if (watcher->bearer != NULL && (authorization == NULL || strcmp(authorization, watcher->bearer) != 0))
        return 401;
    if (watcher->requests <= watcher->first_count)
        return watcher->first_status;
    watcher_decode(request, &count);
    return count.bad ? 400 : watcher->status;
}

static inline void watcher_answer(struct watcher *watcher, struct gw_request *request)
{
    int status = watcher_choose(watcher, request);
    struct watcher_count count = {.watcher = watcher, .accept = true};

    if (status >= 200 && status < 300) {
        watcher_decode(request, &count);
        gw_request_reply(request, status, NULL, gw_view(NULL, 0));
    } else {
        gw_request_reply(request, status, watcher->headers, gw_view_text(watcher->body));
    }
}

static inline void watcher_complete(void *user, struct gw_request *request)
{
    struct watcher *watcher = user;

    watcher->requests++;
    watcher->last_ms = gw_clock_monotonic_ms();
    watcher_copy(watcher->content_type, sizeof(watcher->content_type),
                 gw_request_header(request, "Content-Type"));
    watcher_copy(watcher->id_header, sizeof(watcher->id_header), gw_request_header(request, "ce-id"));
    watcher_copy(watcher->extra_header, sizeof(watcher->extra_header), gw_request_header(request, "X-Extra"));
    gw_bytes_clear(&watcher->last_body);
    gw_bytes_append_view(&watcher->last_body, gw_request_body(request));
    if (!watcher->hold) {
        watcher_answer(watcher, request);
        return;
    }
    assert_true(watcher->held_count < WATCHER_HELD_MAX);
    watcher->held[watcher->held_count++] = request;
    watcher->held_most = GW_MAX(watcher->held_most, watcher->held_count);
}

static inline void watcher_ended(void *user, struct gw_request *request)
{
    struct watcher *watcher = user;

    for (size_t i = 0; i < watcher->held_count; i++)
        if (watcher->held[i] == request)
            watcher->held[i--] = watcher->held[--watcher->held_count];
}

static inline void watcher_let_go(struct watcher *watcher)
{
    struct gw_request *held[WATCHER_HELD_MAX];
    size_t count = watcher->held_count;

    memcpy(held, watcher->held, sizeof(held));
    for (size_t i = 0; i < count; i++)
        watcher_answer(watcher, held[i]);
}

/* Again on the same port when it was open before. */
static inline void watcher_open(struct watcher *watcher, struct gw_loop *loop)
{
    static const struct gw_listener_hooks hooks = {.complete = watcher_complete, .ended = watcher_ended};
    struct gw_listener_options options = {.address = "127.0.0.1", .port = watcher->port};
    struct gw_reason reason;

    watcher->loop = loop;
    if (watcher->status == 0)
        watcher->status = 204;
    if (watcher->seen == NULL)
        watcher->seen = calloc(WATCHER_IDS_MAX, 1);
    assert_non_null(watcher->seen);
    assert_int_equal(gw_listener_open(&watcher->listener, loop, &options, &hooks, watcher, &reason), 0);
    watcher->port = gw_listener_port(watcher->listener);
}

static inline void watcher_close(struct watcher *watcher)
{
    watcher->listener = gw_listener_close(watcher->listener);
}

static inline void watcher_done(struct watcher *watcher)
{
    watcher_close(watcher);
    gw_bytes_done(&watcher->last_body);
    free(watcher->seen);
    watcher->seen = NULL;
}

#endif
