/* Requests that belong to hooks: found by their route, handed to the source, answered when it is time. */
#include "gateway-servers/sdk/hook_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALLS_SPARE_MAX = 1024 };

/* What a sender is told that should come back: soon while a window is full, later when nobody serves. */
static const char *const retry_soon[] = {"Retry-After: 1", NULL};
static const char words_starting[] =
    "no event source has this path yet: this server has just started, its sources are still coming";
static const char *const retry_later[] = {"Retry-After: 5", NULL};

static const char words_full[] = "too many events are not stored yet; send it again";
static const char words_stopped[] = "the event source is not running now; send it again";

/* ---- answers: all but those that the listener gives by itself ---- */

static void hooks_count(struct gws_hooks *hooks, int status)
{
    gw_series_add(hooks->answered[status < 300   ? GWS_ANSWER_2XX
                                  : status < 500 ? GWS_ANSWER_4XX
                                                 : GWS_ANSWER_5XX],
                  1);
}

static void hooks_refuse(struct gws_hooks *hooks, struct gw_request *request, int status,
                         const char *const *headers, const char *words)
{
    hooks_count(hooks, status);
    gw_request_problem(request, status, headers, "%s", words);
}

/* ---- calls ---- */

static void call_unlink(struct gws_call *call)
{
    struct gws_call_list *list = call->list;

    if (list == NULL)
        return;
    *(call->previous == NULL ? &list->first : &call->previous->next) = call->next;
    *(call->next == NULL ? &list->last : &call->next->previous) = call->previous;
    call->list = NULL;
    call->previous = call->next = NULL;
}

static void call_link(struct gws_call *call, struct gws_call_list *list)
{
    call_unlink(call);
    call->list = list;
    call->previous = list->last;
    *(list->last == NULL ? &list->first : &list->last->next) = call;
    list->last = call;
}

static struct gws_call *call_take(struct gws_hooks *hooks)
{
    struct gws_call *call = hooks->spare;

    if (call == NULL) {
        call = calloc(1, sizeof(*call));
        if (call != NULL)
            call->hooks = hooks;
        return call;
    }
    hooks->spare = call->next;
    hooks->spare_count--;
    call->next = NULL;
    return call;
}

static void call_put(struct gws_call *call)
{
    struct gws_hooks *hooks = call->hooks;

    call_unlink(call);
    call->hook = NULL;
    call->request = NULL;
    if (hooks->spare_count == CALLS_SPARE_MAX) {
        gw_bytes_done(&call->scratch);
        free(call);
        return;
    }
    call->next = hooks->spare;
    hooks->spare = call;
    hooks->spare_count++;
}

void gws_calls_done(struct gws_hooks *hooks)
{
    for (struct gws_call *call = hooks->spare, *next = NULL; call != NULL; call = next) {
        next = call->next;
        gw_bytes_done(&call->scratch);
        free(call);
    }
}

/* The request goes on alone: it is about to be answered. */
static struct gw_request *call_release(struct gws_call *call)
{
    struct gw_request *request = call->request;

    gw_request_set_user(request, NULL);
    call_put(call);
    return request;
}

struct gw_request *gws_call_request(const struct gws_call *call)
{
    return call->request;
}

const struct gws_route *gws_call_route(const struct gws_call *call)
{
    return &call->route;
}

void gws_call_reply(struct gws_call *call, int status, const char *const *headers, struct gw_view body)
{
    hooks_count(call->hooks, status);
    gw_request_reply(call_release(call), status, headers, body);
}

void gws_call_problem(struct gws_call *call, int status, const char *const *headers, const char *format, ...)
{
    struct gws_hooks *hooks = call->hooks; /* the call may be gone once it is released */
    char text[GW_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    hooks_refuse(hooks, call_release(call), status, headers, text);
}

void gws_call_accept(struct gws_call *call)
{
    const struct gws_hook_options *options = &call->hook->options;

    gws_call_reply(call, options->reply_status, options->reply_headers, options->reply_body);
}

static void hook_arm(struct gws_hook *hook)
{
    int64_t now_ms = gw_loop_now_ms(hook->hooks->loop);

    hook->deadline_armed = hook->waiting.first != NULL;
    if (hook->deadline_armed)
        gw_timer_start(hook->deadline, GW_MAX(hook->waiting.first->deadline_ms - now_ms, (int64_t)1));
}

void gws_call_await(struct gws_call *call, uint64_t sequence)
{
    struct gws_hook *hook = call->hook;

    if (sequence <= hook->acknowledged) {
        gws_call_accept(call);
        return;
    }
    call->sequence = sequence;
    call->deadline_ms = gw_loop_now_ms(hook->hooks->loop) + hook->options.acknowledge_wait_ms;
    call_link(call, &hook->waiting);
    if (!hook->deadline_armed)
        hook_arm(hook);
}

void gws_hook_acknowledged(struct gws_hook *hook, uint64_t sequence)
{
    hook->acknowledged = GW_MAX(hook->acknowledged, sequence);
    while (hook->waiting.first != NULL && hook->waiting.first->sequence <= hook->acknowledged)
        gws_call_accept(hook->waiting.first);
}

void gws_hook_on_deadline(void *user)
{
    struct gws_hook *hook = user;
    int64_t now_ms = gw_loop_now_ms(hook->hooks->loop);

    while (hook->waiting.first != NULL && hook->waiting.first->deadline_ms <= now_ms)
        gws_call_problem(hook->waiting.first, 503, retry_later,
                         "the event was not confirmed as stored in time; send it again");
    hook_arm(hook);
}

void gws_hook_silence(struct gws_hook *hook)
{
    hook->deadline = gw_timer_close(hook->deadline);
    while (hook->waiting.first != NULL)
        gws_call_problem(hook->waiting.first, 503, retry_later,
                         "the event source stopped before the event was confirmed as stored; send it again");
    while (hook->reading.first != NULL) {
        hook->reading.first->hook = NULL;
        call_unlink(hook->reading.first);
    }
}

void gws_hook_set_paused(struct gws_hook *hook, bool paused)
{
    hook->paused = paused;
}

/* ---- requests ---- */

/* OPTIONS where nobody claimed it: the handshake of the CloudEvents WebHook specification, section 4. */
static void request_options(struct gws_hooks *hooks, struct gw_request *request, const char *allow)
{
    const char *origin = gw_request_header(request, "WebHook-Request-Origin");
    struct gw_bytes line = {0};
    const char *headers[] = {allow, NULL, NULL, NULL};

    if (origin != NULL) {
        gw_bytes_printf(&line, "WebHook-Allowed-Origin: %s", origin);
        headers[1] = gw_bytes_text(&line);
        headers[2] = headers[1] == NULL ? NULL : "WebHook-Allowed-Rate: *";
    }
    hooks_count(hooks, 200);
    gw_request_reply(request, 200, headers, gw_view(NULL, 0));
    gw_bytes_done(&line);
}

static void request_wrong_method(struct gws_hooks *hooks, struct gw_request *request, unsigned methods)
{
    const char *method = gw_request_method(request);
    struct gw_bytes allow = {0};
    const char *headers[] = {"Allow:", NULL};

    gw_bytes_append_text(&allow, "Allow: ");
    gws_methods_write(&allow, methods);
    if (gw_bytes_text(&allow) != NULL)
        headers[0] = gw_bytes_text(&allow);
    if (gws_method_bit(method) == GWS_METHOD_OPTIONS)
        request_options(hooks, request, headers[0]);
    else
        hooks_refuse(hooks, request, 405, headers, "this method is not taken here");
    gw_bytes_done(&allow);
}

/* Finds the hook of the call. False: there is none to ask, and the request was answered. */
static bool call_find_hook(struct gws_call *call, const struct gws_hook_port *port)
{
    struct gw_request *request = call->request;
    int verdict = gws_routes_match(port->routes, gw_request_method(request),
                                   gw_view_text(gw_request_path(request)), &call->scratch, &call->route);

    if (verdict == 0) {
        call->hook = call->route.owner;
        if (call->hook->state == GWS_HOOK_LIVE && !call->hook->paused)
            return true;
        if (call->hook->state == GWS_HOOK_LIVE)
            hooks_refuse(port->hooks, request, 503, retry_soon, words_full);
        else
            hooks_refuse(port->hooks, request, 503, retry_later, words_stopped);
    } else if (verdict == GWS_ROUTE_NONE && gw_loop_now_ms(port->hooks->loop) < port->hooks->settled_ms) {
        hooks_refuse(port->hooks, request, 503, retry_later, words_starting);
    } else if (verdict == GWS_ROUTE_NONE) {
        hooks_refuse(port->hooks, request, 404, NULL, "no event source has this path");
    } else if (verdict == GWS_ROUTE_METHOD) {
        request_wrong_method(port->hooks, request, call->route.methods);
    } else if (verdict == GWS_ROUTE_BAD) {
        hooks_refuse(port->hooks, request, 400, NULL, "the percent-encoding of the path is wrong");
    } else {
        hooks_refuse(port->hooks, request, 503, retry_later, "no memory left");
    }
    return false;
}

static int64_t on_headers(void *user, struct gw_request *request)
{
    struct gws_hook_port *port = user;
    struct gws_call *call = call_take(port->hooks);
    struct gws_hook *hook = NULL;

    if (call == NULL) {
        hooks_refuse(port->hooks, request, 503, retry_later, "no memory left");
        return -1;
    }
    call->request = request;
    if (!call_find_hook(call, port)) {
        call_put(call);
        return -1;
    }
    hook = call->hook;
    call_link(call, &hook->reading);
    gw_request_set_user(request, call);
    if (hook->handlers->head != NULL && !hook->handlers->head(hook->user, call))
        return -1;
    return hook->options.body_max;
}

static void on_complete(void *user, struct gw_request *request)
{
    struct gws_call *call = gw_request_user(request);

    (void)user;
    if (call == NULL) /* answered when its head came */
        return;
    if (call->hook == NULL)
        gws_call_problem(call, 503, retry_later, "%s", words_stopped);
    else if (call->hook->paused)
        gws_call_problem(call, 503, retry_soon, "%s", words_full);
    else
        call->hook->handlers->body(call->hook->user, call);
}

static void on_ended(void *user, struct gw_request *request)
{
    struct gws_call *call = gw_request_user(request);

    (void)user;
    if (call != NULL)
        call_put(call);
}

static void on_warning(void *user, const char *text)
{
    const struct gws_hook_port *port = user;

    gw_log(GW_LOG_WARN, text, "port", GW_NUMBER(port->number), NULL);
}

const struct gw_listener_hooks gws_hook_listener_hooks = {
    .headers = on_headers, .complete = on_complete, .ended = on_ended, .warn = on_warning};
