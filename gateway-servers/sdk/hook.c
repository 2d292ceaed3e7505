/* Hooks: ports with their listeners and routes, and the requests that wait for an acknowledgement. */
#include "gateway-servers/sdk/hook.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CALLS_SPARE_MAX = 1024 };

/* What a sender is told that should come back: soon while a window is full, later when nobody serves. */
static const char *const retry_soon[] = {"Retry-After: 1", NULL};
static const char *const retry_later[] = {"Retry-After: 5", NULL};

struct call_list {
    struct gws_call *first, *last;
};

struct gws_call {
    struct gws_call *previous, *next;
    struct call_list *list; /* of its hook: reading or waiting; NULL: none */
    struct gws_hooks *hooks;
    struct gws_hook *hook; /* NULL: closed while the body came in */
    struct gw_request *request;
    struct gws_route route;
    struct gw_bytes scratch; /* decoded values of the route */
    uint64_t sequence;
    int64_t deadline_ms;
};

/* One port: open as long as a hook, live or lingering, is on it. */
struct hook_port {
    struct hook_port *next;
    struct gws_hooks *hooks;
    struct gw_listener *listener;
    struct gws_routes *routes;
    uint16_t number;
    char *address, *certificate_file, *key_file; /* NULL: as in the options */
    size_t users;
};

/* live ──close──▶ lingering ──time, or in the way──▶ freed
 *   └──a newer hook of the same source──▶ withdrawn ──close──▶ freed */
enum hook_state { HOOK_LIVE, HOOK_LINGERING, HOOK_WITHDRAWN };

struct gws_hook {
    struct gws_hook *next, **link; /* of all hooks */
    struct gws_hooks *hooks;
    struct hook_port *port; /* NULL: withdrawn */
    enum hook_state state;
    char *gateway, *namespace_, *name;
    struct gws_path *path;
    struct gws_hook_options options;
    const struct gws_hook_handlers *handlers;
    void *user;
    bool paused;
    struct call_list reading, waiting; /* waiting: by sequence, which is by deadline too */
    struct gw_timer *deadline;         /* armed while something waits, for the first of them or earlier */
    bool deadline_armed;
    uint64_t acknowledged;
    int64_t linger_until_ms;
};

struct gws_hooks {
    struct gw_loop *loop;
    int64_t linger_ms;
    struct gw_timer *linger;
    struct hook_port *ports;
    struct gws_hook *all;
    struct gws_call *spare;
    size_t spare_count;
};

/* ---- calls ---- */

static void call_unlink(struct gws_call *call)
{
    struct call_list *list = call->list;

    if (list == NULL)
        return;
    *(call->previous == NULL ? &list->first : &call->previous->next) = call->next;
    *(call->next == NULL ? &list->last : &call->next->previous) = call->previous;
    call->list = NULL;
    call->previous = call->next = NULL;
}

static void call_link(struct gws_call *call, struct call_list *list)
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
    gw_request_reply(call_release(call), status, headers, body);
}

void gws_call_problem(struct gws_call *call, int status, const char *const *headers, const char *format, ...)
{
    char text[GW_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    gw_request_problem(call_release(call), status, headers, "%s", text);
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

static void on_deadline(void *user)
{
    struct gws_hook *hook = user;
    int64_t now_ms = gw_loop_now_ms(hook->hooks->loop);

    while (hook->waiting.first != NULL && hook->waiting.first->deadline_ms <= now_ms)
        gws_call_problem(hook->waiting.first, 503, retry_later,
                         "the event was not confirmed as stored in time; send it again");
    hook_arm(hook);
}

void gws_hook_set_paused(struct gws_hook *hook, bool paused)
{
    hook->paused = paused;
}

/* ---- requests ---- */

/* OPTIONS where nobody claimed it: the handshake of the CloudEvents WebHook specification, section 4. */
static void request_options(struct gw_request *request, const char *allow)
{
    const char *origin = gw_request_header(request, "WebHook-Request-Origin");
    struct gw_bytes line = {0};
    const char *headers[] = {allow, NULL, NULL, NULL};

    if (origin != NULL) {
        gw_bytes_printf(&line, "WebHook-Allowed-Origin: %s", origin);
        headers[1] = gw_bytes_text(&line);
        headers[2] = headers[1] == NULL ? NULL : "WebHook-Allowed-Rate: *";
    }
    gw_request_reply(request, 200, headers, gw_view(NULL, 0));
    gw_bytes_done(&line);
}

static void request_wrong_method(struct gw_request *request, unsigned methods)
{
    const char *method = gw_request_method(request);
    struct gw_bytes allow = {0};
    const char *headers[] = {"Allow:", NULL};

    gw_bytes_append_text(&allow, "Allow: ");
    gws_methods_write(&allow, methods);
    if (gw_bytes_text(&allow) != NULL)
        headers[0] = gw_bytes_text(&allow);
    if (gws_method_bit(method) == GWS_METHOD_OPTIONS)
        request_options(request, headers[0]);
    else
        gw_request_problem(request, 405, headers, "%s is not taken here", method);
    gw_bytes_done(&allow);
}

/* Finds the hook of the call. False: there is none to ask, and the request was answered. */
static bool call_find_hook(struct gws_call *call, const struct hook_port *port)
{
    struct gw_request *request = call->request;
    int verdict = gws_routes_match(port->routes, gw_request_method(request), gw_view_text(gw_request_path(request)),
                                   &call->scratch, &call->route);

    if (verdict == 0) {
        call->hook = call->route.owner;
        if (call->hook->state == HOOK_LIVE && !call->hook->paused)
            return true;
        if (call->hook->state == HOOK_LIVE)
            gw_request_problem(request, 503, retry_soon, "too many events are not stored yet; send it again");
        else
            gw_request_problem(request, 503, retry_later, "the event source is not running now; send it again");
    } else if (verdict == GWS_ROUTE_NONE) {
        gw_request_problem(request, 404, NULL, "no event source has this path");
    } else if (verdict == GWS_ROUTE_METHOD) {
        request_wrong_method(request, call->route.methods);
    } else if (verdict == GWS_ROUTE_BAD) {
        gw_request_problem(request, 400, NULL, "the percent-encoding of the path is wrong");
    } else {
        gw_request_problem(request, 503, retry_later, "no memory left");
    }
    return false;
}

static int64_t on_headers(void *user, struct gw_request *request)
{
    struct hook_port *port = user;
    struct gws_call *call = call_take(port->hooks);
    struct gws_hook *hook = NULL;

    if (call == NULL) {
        gw_request_problem(request, 503, retry_later, "no memory left");
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
        gws_call_problem(call, 503, retry_later, "the event source is not running now; send it again");
    else if (call->hook->paused)
        gws_call_problem(call, 503, retry_soon, "too many events are not stored yet; send it again");
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

/* ---- ports ---- */

static bool text_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool port_fits(const struct hook_port *port, const struct gws_hook_options *options)
{
    return text_same(port->address, options->address) &&
           text_same(port->certificate_file, options->certificate_file) && text_same(port->key_file, options->key_file);
}

static struct hook_port *port_find(const struct gws_hooks *hooks, uint16_t number)
{
    struct hook_port *port = hooks->ports;

    while (port != NULL && port->number != number)
        port = port->next;
    return port;
}

static struct hook_port *port_free(struct hook_port *port)
{
    if (port == NULL)
        return NULL;
    gw_listener_close(port->listener);
    gws_routes_free(port->routes);
    free(port->address);
    free(port->certificate_file);
    free(port->key_file);
    free(port);
    return NULL;
}
GW_DEFINE_CLEANUP(struct hook_port *, port_free)

static int text_copy(char **ret_copy, const char *text)
{
    if (text == NULL)
        return 0;
    *ret_copy = strdup(text);
    return *ret_copy == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int port_open(struct hook_port **ret_port, struct gws_hooks *hooks, const struct gws_hook_options *options,
                     struct gw_reason *reason)
{
    static const struct gw_listener_hooks listener_hooks = {on_headers, on_complete, on_ended};
    GW_AUTO(port_freep) struct hook_port *port = calloc(1, sizeof(*port));
    struct gw_listener_options listener = {
        .address = options->address,
        .port = options->port,
        .certificate_file = options->certificate_file,
        .key_file = options->key_file,
        .idle_timeout_ms = options->idle_timeout_ms,
    };

    if (port == NULL)
        return GW_RAISE(-ENOMEM);
    port->hooks = hooks;
    port->number = options->port;
    port->routes = gws_routes_new();
    if (port->routes == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(text_copy(&port->address, options->address));
    GW_TRY(text_copy(&port->certificate_file, options->certificate_file));
    GW_TRY(text_copy(&port->key_file, options->key_file));
    GW_TRY(gw_listener_open(&port->listener, hooks->loop, &listener, &listener_hooks, port, reason));
    port->next = hooks->ports;
    hooks->ports = port;
    *ret_port = GW_TAKE(port);
    return 0;
}

static void port_leave(struct hook_port *port)
{
    struct hook_port **link = &port->hooks->ports;

    if (--port->users > 0)
        return;
    while (*link != port)
        link = &(*link)->next;
    *link = port->next;
    port_free(port);
}

/* ---- endings of a hook ---- */

/* Nobody is asked any more: those that wait are answered, those that still send are when they are through. */
static void hook_silence(struct gws_hook *hook)
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

static void hook_leave_port(struct gws_hook *hook)
{
    struct hook_port *port = GW_TAKE(hook->port);

    if (port == NULL)
        return;
    gws_routes_remove(port->routes, hook->path, hook);
    port_leave(port);
}

static struct gws_hook *hook_free(struct gws_hook *hook)
{
    if (hook == NULL)
        return NULL;
    hook_silence(hook);
    hook_leave_port(hook);
    if (hook->link != NULL) {
        *hook->link = hook->next;
        if (hook->next != NULL)
            hook->next->link = hook->link;
    }
    gws_path_free(hook->path);
    free(hook->gateway);
    free(hook->namespace_);
    free(hook->name);
    free(hook);
    return NULL;
}
GW_DEFINE_CLEANUP(struct gws_hook *, hook_free)

static void hook_evict(struct gws_hook *hook)
{
    if (hook->state == HOOK_LINGERING) {
        hook_free(hook);
        return;
    }
    hook_silence(hook);
    hook_leave_port(hook);
    hook->state = HOOK_WITHDRAWN;
}

static void hooks_arm_linger(struct gws_hooks *hooks)
{
    int64_t next_ms = INT64_MAX;

    for (const struct gws_hook *hook = hooks->all; hook != NULL; hook = hook->next)
        if (hook->state == HOOK_LINGERING)
            next_ms = GW_MIN(next_ms, hook->linger_until_ms);
    if (next_ms != INT64_MAX)
        gw_timer_start(hooks->linger, GW_MAX(next_ms - gw_loop_now_ms(hooks->loop), (int64_t)1));
}

static void on_linger(void *user)
{
    struct gws_hooks *hooks = user;
    int64_t now_ms = gw_loop_now_ms(hooks->loop);

    for (struct gws_hook *hook = hooks->all, *next = NULL; hook != NULL; hook = next) {
        next = hook->next;
        if (hook->state == HOOK_LINGERING && hook->linger_until_ms <= now_ms)
            hook_free(hook);
    }
    hooks_arm_linger(hooks);
}

struct gws_hook *gws_hook_close(struct gws_hook *hook)
{
    struct gws_hooks *hooks = hook == NULL ? NULL : hook->hooks;

    if (hook == NULL)
        return NULL;
    if (hook->state == HOOK_WITHDRAWN || hooks->linger_ms == 0)
        return hook_free(hook);
    hook_silence(hook);
    hook->state = HOOK_LINGERING;
    hook->linger_until_ms = gw_loop_now_ms(hooks->loop) + hooks->linger_ms;
    hook->options = (struct gws_hook_options){0};
    hook->handlers = NULL;
    hook->user = NULL;
    hooks_arm_linger(hooks);
    return NULL;
}

/* ---- what stands in the way of a new hook ---- */

static bool hook_is_of(const struct gws_hook *hook, const struct gws_identity *identity)
{
    return strcmp(hook->gateway, identity->gateway) == 0 && strcmp(hook->namespace_, identity->namespace_) == 0 &&
           strcmp(hook->name, identity->name) == 0;
}

/* "orders" (gateway default/shop); Argo's contracts do not tell the gateway. */
static void hook_describe(const struct gws_hook *hook, struct gw_reason *text)
{
    if (hook->gateway[0] == '\0')
        gw_reason_set(text, "\"%s\"", hook->name);
    else
        gw_reason_set(text, "\"%s\" (gateway %s/%s)", hook->name, hook->namespace_, hook->gateway);
}

struct hook_rival {
    const struct gws_identity *identity;
    const struct gws_hook *hook;
};

static void on_rival(void *user, void *owner)
{
    struct hook_rival *rival = user;
    const struct gws_hook *hook = owner;

    if (hook->state == HOOK_LIVE && !hook_is_of(hook, rival->identity))
        rival->hook = hook;
}

/* A live hook of another source on the port; NULL: none. */
static const struct gws_hook *port_other(const struct hook_port *port, const struct gws_identity *identity)
{
    for (const struct gws_hook *hook = port->hooks->all; hook != NULL; hook = hook->next)
        if (hook->port == port && hook->state == HOOK_LIVE && !hook_is_of(hook, identity))
            return hook;
    return NULL;
}

/* Words for what is in the way, and where in the configuration; false: nothing is. */
static bool hooks_obstacle(const struct gws_hooks *hooks, const struct gws_identity *identity,
                           const struct gws_hook_options *options, const struct gws_path *path,
                           const char **ret_where, struct gw_reason *reason)
{
    const struct hook_port *port = port_find(hooks, options->port);
    struct hook_rival rival = {.identity = identity};
    const struct gws_hook *other = port == NULL ? NULL : port_other(port, identity);
    struct gw_reason name;

    if (other == NULL)
        return false;
    hook_describe(other, &name);
    *ret_where = "port";
    if (!text_same(port->address, options->address)) {
        gw_reason_set(reason, "%u is served on %s for event source %s; sources that share a port share its address",
                      options->port, port->address == NULL ? "all addresses" : port->address, name.text);
        return true;
    }
    if (!port_fits(port, options)) {
        gw_reason_set(reason, "%u is served %s for event source %s; sources that share a port share its TLS files",
                      options->port, port->certificate_file == NULL ? "without TLS" : "with other TLS files",
                      name.text);
        return true;
    }
    gws_routes_owners(port->routes, path, options->methods, on_rival, &rival);
    if (rival.hook == NULL)
        return false;
    hook_describe(rival.hook, &name);
    *ret_where = "endpoint";
    gw_reason_set(reason, "%s on port %u is already taken by event source %s", path->text, options->port, name.text);
    return true;
}

void gws_hook_check(struct gws_hooks *hooks, const struct gws_identity *identity,
                    const struct gws_hook_options *options, struct gw_problems *problems)
{
    GW_AUTO(gws_path_freep) struct gws_path *path = NULL;
    struct gw_reason reason = {""};
    const char *where = "endpoint";
    int fault = gws_path_new(&path, options->endpoint, &reason);

    if (fault == -ENOMEM)
        gw_reason_set(&reason, "no memory left");
    if (fault != 0 || hooks_obstacle(hooks, identity, options, path, &where, &reason))
        gw_problems_add(problems, where, 0, "%s", reason.text);
}

/* ---- opening ---- */

/* Everything that must give way to the hook, which is on its port already: older hooks of its source, and what lingers
 * at its endpoint. */
static void hooks_make_way(struct gws_hooks *hooks, const struct gws_hook *hook, const struct gws_identity *identity)
{
    for (struct gws_hook *other = hooks->all, *next = NULL; other != NULL; other = next) {
        next = other->next;
        if (other == hook || other->state == HOOK_WITHDRAWN)
            continue;
        if (hook_is_of(other, identity) ||
            (other->state == HOOK_LINGERING && other->port == hook->port && gws_path_same(other->path, hook->path)))
            hook_evict(other);
    }
}

/* A port with other settings, on which nobody lives but the source itself, is closed. */
static void hooks_empty_port(struct gws_hooks *hooks, const struct hook_port *port)
{
    for (struct gws_hook *other = hooks->all, *next = NULL; other != NULL; other = next) {
        next = other->next;
        if (other->port == port)
            hook_evict(other);
    }
}

static int hook_enter_port(struct gws_hook *hook, struct gw_reason *reason)
{
    struct hook_port *port = port_find(hook->hooks, hook->options.port);

    if (port != NULL && !port_fits(port, &hook->options)) {
        hooks_empty_port(hook->hooks, port);
        port = NULL;
    }
    if (port == NULL)
        GW_TRY(port_open(&port, hook->hooks, &hook->options, reason));
    port->users++;
    hook->port = port;
    GW_TRY(gws_routes_add(port->routes, hook->path, hook->options.methods, hook));
    return 0;
}

static int hook_new(struct gws_hook **ret_hook, struct gws_hooks *hooks, const struct gws_identity *identity,
                    const struct gws_hook_options *options, struct gw_reason *reason)
{
    GW_AUTO(hook_freep) struct gws_hook *hook = calloc(1, sizeof(*hook));
    struct gw_reason words = {""};
    int fault = 0;

    if (hook == NULL)
        return GW_RAISE(-ENOMEM);
    hook->hooks = hooks;
    hook->options = *options;
    GW_TRY(text_copy(&hook->gateway, identity->gateway));
    GW_TRY(text_copy(&hook->namespace_, identity->namespace_));
    GW_TRY(text_copy(&hook->name, identity->name));
    GW_TRY(gw_timer_open(&hook->deadline, hooks->loop, on_deadline, hook));
    fault = gws_path_new(&hook->path, options->endpoint, &words);
    if (fault != 0) {
        gw_reason_set(reason, "endpoint: %s", words.text);
        return GW_RAISE(fault);
    }
    *ret_hook = GW_TAKE(hook);
    return 0;
}

int gws_hook_open(struct gws_hook **ret_hook, struct gws_hooks *hooks, const struct gws_identity *identity,
                  const struct gws_hook_options *options, const struct gws_hook_handlers *handlers, void *user,
                  struct gw_reason *reason)
{
    GW_AUTO(hook_freep) struct gws_hook *hook = NULL;
    struct gw_reason words = {""};
    const char *where = "";

    GW_TRY(hook_new(&hook, hooks, identity, options, reason));
    if (hooks_obstacle(hooks, identity, options, hook->path, &where, &words))
        return GW_REFUSE(-EADDRINUSE, reason, "%s: %s", where, words.text);
    GW_TRY(hook_enter_port(hook, reason));
    hooks_make_way(hooks, hook, identity);

    hook->handlers = handlers;
    hook->user = user;
    hook->link = &hooks->all;
    hook->next = hooks->all;
    if (hook->next != NULL)
        hook->next->link = &hook->next;
    hooks->all = hook;
    *ret_hook = GW_TAKE(hook);
    return 0;
}

int gws_hooks_open(struct gws_hooks **ret_hooks, struct gw_loop *loop, int64_t linger_ms)
{
    GW_AUTO(gws_hooks_closep) struct gws_hooks *hooks = calloc(1, sizeof(*hooks));

    if (hooks == NULL)
        return GW_RAISE(-ENOMEM);
    hooks->loop = loop;
    hooks->linger_ms = linger_ms;
    GW_TRY(gw_timer_open(&hooks->linger, loop, on_linger, hooks));
    *ret_hooks = GW_TAKE(hooks);
    return 0;
}

struct gws_hooks *gws_hooks_close(struct gws_hooks *hooks)
{
    if (hooks == NULL)
        return NULL;
    while (hooks->all != NULL) {
        assert(hooks->all->state == HOOK_LINGERING);
        hook_free(hooks->all);
    }
    gw_timer_close(hooks->linger);
    for (struct gws_call *call = hooks->spare, *next = NULL; call != NULL; call = next) {
        next = call->next;
        gw_bytes_done(&call->scratch);
        free(call);
    }
    free(hooks);
    return NULL;
}
