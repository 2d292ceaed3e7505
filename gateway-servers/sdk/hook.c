/* Hooks: ports with their listeners and routes, and the life of each hook. */
#include "gateway-servers/sdk/hook_parts.h"

#include <stdlib.h>

/* libmicrohttpd clears this much memory, and 8 KiB more, after every request: 32 KiB cost a fifth of the
 * whole. */
enum { HOOK_HEADER_MAX = 16384 };

/* ---- ports ---- */

static bool text_same(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool port_fits(const struct gws_hook_port *port, const struct gws_hook_options *options)
{
    return text_same(port->address, options->address) &&
           text_same(port->certificate_file, options->certificate_file) &&
           text_same(port->key_file, options->key_file);
}

static struct gws_hook_port *port_find(const struct gws_hooks *hooks, uint16_t number)
{
    struct gws_hook_port *port = hooks->ports;

    while (port != NULL && port->number != number)
        port = port->next;
    return port;
}

static struct gws_hook_port *port_free(struct gws_hook_port *port)
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
GW_DEFINE_CLEANUP(struct gws_hook_port *, port_free)

static int text_copy(char **ret_copy, const char *text)
{
    if (text == NULL)
        return 0;
    *ret_copy = strdup(text);
    return *ret_copy == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int port_open(struct gws_hook_port **ret_port, struct gws_hooks *hooks,
                     const struct gws_hook_options *options, struct gw_reason *reason)
{
    GW_AUTO(port_freep) struct gws_hook_port *port = calloc(1, sizeof(*port));
    struct gw_listener_options listener = {
        .address = options->address,
        .port = options->port,
        .certificate_file = options->certificate_file,
        .key_file = options->key_file,
        .idle_timeout_ms = options->idle_timeout_ms,
        .header_size_max = HOOK_HEADER_MAX,
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
    GW_TRY(gw_listener_open(&port->listener, hooks->loop, &listener, &gws_hook_listener_hooks, port, reason));
    port->next = hooks->ports;
    hooks->ports = port;
    *ret_port = GW_TAKE(port);
    return 0;
}

static void port_leave(struct gws_hook_port *port)
{
    struct gws_hook_port **link = &port->hooks->ports;

    if (--port->users > 0)
        return;
    while (*link != port)
        link = &(*link)->next;
    *link = port->next;
    port_free(port);
}

/* ---- endings of a hook ---- */

static void hook_leave_port(struct gws_hook *hook)
{
    struct gws_hook_port *port = GW_TAKE(hook->port);

    if (port == NULL)
        return;
    gws_routes_remove(port->routes, hook->path, hook);
    port_leave(port);
}

static struct gws_hook *hook_free(struct gws_hook *hook)
{
    if (hook == NULL)
        return NULL;
    gws_hook_silence(hook);
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
    if (hook->state == GWS_HOOK_LINGERING) {
        hook_free(hook);
        return;
    }
    gws_hook_silence(hook);
    hook_leave_port(hook);
    hook->state = GWS_HOOK_WITHDRAWN;
}

static void hooks_arm_linger(struct gws_hooks *hooks)
{
    int64_t next_ms = INT64_MAX;

    for (const struct gws_hook *hook = hooks->all; hook != NULL; hook = hook->next)
        if (hook->state == GWS_HOOK_LINGERING)
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
        if (hook->state == GWS_HOOK_LINGERING && hook->linger_until_ms <= now_ms)
            hook_free(hook);
    }
    hooks_arm_linger(hooks);
}

static struct gws_hook *hook_close(struct gws_hook *hook, int64_t linger_ms)
{
    struct gws_hooks *hooks = hook->hooks;

    if (hook->state == GWS_HOOK_WITHDRAWN || linger_ms == 0)
        return hook_free(hook);
    gws_hook_silence(hook);
    hook->state = GWS_HOOK_LINGERING;
    hook->linger_until_ms = gw_loop_now_ms(hooks->loop) + linger_ms;
    hook->options = (struct gws_hook_options){0};
    hook->handlers = NULL;
    hook->user = NULL;
    hooks_arm_linger(hooks);
    return NULL;
}

struct gws_hook *gws_hook_close(struct gws_hook *hook)
{
    return hook == NULL ? NULL : hook_close(hook, hook->hooks->linger_ms);
}

struct gws_hook *gws_hook_withdraw(struct gws_hook *hook)
{
    return hook == NULL ? NULL
                        : hook_close(hook, GW_MIN(hook->hooks->linger_ms, (int64_t)GWS_HOOK_WITHDRAWN_MS));
}

/* ---- what stands in the way of a new hook ---- */

static bool hook_is_of_gateway(const struct gws_hook *hook, const struct gws_identity *identity)
{
    return strcmp(hook->gateway, identity->gateway) == 0 &&
           strcmp(hook->namespace_, identity->namespace_) == 0;
}

static bool hook_is_of(const struct gws_hook *hook, const struct gws_identity *identity)
{
    return hook_is_of_gateway(hook, identity) && strcmp(hook->name, identity->name) == 0;
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

    if (hook->state == GWS_HOOK_LIVE && !hook_is_of(hook, rival->identity))
        rival->hook = hook;
}

/* A live hook of another source on the port; NULL: none. */
static const struct gws_hook *port_other(const struct gws_hook_port *port,
                                         const struct gws_identity *identity)
{
    for (const struct gws_hook *hook = port->hooks->all; hook != NULL; hook = hook->next)
        if (hook->port == port && hook->state == GWS_HOOK_LIVE && !hook_is_of(hook, identity))
            return hook;
    return NULL;
}

/* Words for what is in the way, and where in the configuration; NULL: nothing is. */
static const struct gws_hook *hooks_obstacle(const struct gws_hooks *hooks,
                                             const struct gws_identity *identity,
                                             const struct gws_hook_options *options,
                                             const struct gws_path *path, const char **ret_where,
                                             struct gw_reason *reason)
{
    const struct gws_hook_port *port = port_find(hooks, options->port);
    struct hook_rival rival = {.identity = identity};
    const struct gws_hook *other = port == NULL ? NULL : port_other(port, identity);
    struct gw_reason name;

    if (other == NULL)
        return NULL;
    hook_describe(other, &name);
    *ret_where = "port";
    if (!text_same(port->address, options->address)) {
        gw_reason_set(reason,
                      "%u is served on %s for event source %s; sources that share a port share its address",
                      options->port, port->address == NULL ? "all addresses" : port->address, name.text);
        return other;
    }
    if (!port_fits(port, options)) {
        gw_reason_set(reason,
                      "%u is served %s for event source %s; sources that share a port share its TLS files",
                      options->port, port->certificate_file == NULL ? "without TLS" : "with other TLS files",
                      name.text);
        return other;
    }
    gws_routes_owners(port->routes, path, options->methods, on_rival, &rival);
    if (rival.hook == NULL)
        return NULL;
    hook_describe(rival.hook, &name);
    *ret_where = "endpoint";
    gw_reason_set(reason, "%s on port %u is already taken by event source %s", path->text, options->port,
                  name.text);
    return rival.hook;
}

void gws_hook_check(struct gws_hooks *hooks, const struct gws_identity *identity,
                    const struct gws_hook_options *options, struct gw_problems *problems)
{
    GW_AUTO(gws_path_freep) struct gws_path *path = NULL;
    struct gw_reason reason = {""};
    const struct gws_hook *holder = NULL;
    const char *where = "endpoint";
    int fault = gws_path_new(&path, options->endpoint, &reason);

    if (fault == -ENOMEM)
        gw_reason_set(&reason, "no memory left");
    if (fault == 0)
        holder = hooks_obstacle(hooks, identity, options, path, &where, &reason);
    if (fault == 0 && holder == NULL)
        return;
    gw_problems_add(problems, where, 0, "%s", reason.text);
    if (holder != NULL && hook_is_of_gateway(holder, identity))
        gw_problems_held_by(problems, holder->name);
}

/* ---- opening ---- */

/* Everything that must give way to the hook, which is on its port already: older hooks of its source, and
 * what lingers at its endpoint. */
static void hooks_make_way(struct gws_hooks *hooks, const struct gws_hook *hook,
                           const struct gws_identity *identity)
{
    for (struct gws_hook *other = hooks->all, *next = NULL; other != NULL; other = next) {
        next = other->next;
        if (other == hook || other->state == GWS_HOOK_WITHDRAWN)
            continue;
        if (hook_is_of(other, identity) || (other->state == GWS_HOOK_LINGERING && other->port == hook->port &&
                                            gws_path_same(other->path, hook->path)))
            hook_evict(other);
    }
}

/* A port with other settings, on which nobody lives but the source itself, is closed. */
static void hooks_empty_port(struct gws_hooks *hooks, const struct gws_hook_port *port)
{
    for (struct gws_hook *other = hooks->all, *next = NULL; other != NULL; other = next) {
        next = other->next;
        if (other->port == port)
            hook_evict(other);
    }
}

static int hook_enter_port(struct gws_hook *hook, struct gw_reason *reason)
{
    struct gws_hook_port *port = port_find(hook->hooks, hook->options.port);

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
    GW_TRY(gw_timer_open(&hook->deadline, hooks->loop, gws_hook_on_deadline, hook));
    fault = gws_path_new(&hook->path, options->endpoint, &words);
    if (fault != 0) {
        gw_reason_set(reason, "endpoint: %s", words.text);
        return GW_RAISE(fault);
    }
    *ret_hook = GW_TAKE(hook);
    return 0;
}

int gws_hook_open(struct gws_hook **ret_hook, struct gws_hooks *hooks, const struct gws_identity *identity,
                  const struct gws_hook_options *options, const struct gws_hook_handlers *handlers,
                  void *user, struct gw_reason *reason)
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

static void hooks_open_metrics(struct gws_hooks *hooks, struct gw_metrics *metrics)
{
    static const char *const classes[GWS_ANSWERS_COUNT] = {"2xx", "4xx", "5xx"};
    struct gw_family *family = NULL;

    if (metrics == NULL)
        return;
    family = gw_metrics_family(metrics, GW_COUNTER, "gateway_server_requests_total",
                               "HTTP requests from the world, by class of the answer's status.", "status",
                               NULL, 0);
    for (size_t i = 0; i < GWS_ANSWERS_COUNT; i++)
        hooks->answered[i] = gw_family_series(family, &classes[i]);
}

int gws_hooks_open(struct gws_hooks **ret_hooks, struct gw_loop *loop, int64_t linger_ms, int64_t settle_ms,
                   struct gw_metrics *metrics)
{
    GW_AUTO(gws_hooks_closep) struct gws_hooks *hooks = calloc(1, sizeof(*hooks));

    if (hooks == NULL)
        return GW_RAISE(-ENOMEM);
    hooks->loop = loop;
    hooks->linger_ms = linger_ms;
    hooks->settled_ms = gw_loop_now_ms(loop) + settle_ms;
    hooks_open_metrics(hooks, metrics);
    GW_TRY(gw_timer_open(&hooks->linger, loop, on_linger, hooks));
    *ret_hooks = GW_TAKE(hooks);
    return 0;
}

struct gws_hooks *gws_hooks_close(struct gws_hooks *hooks)
{
    if (hooks == NULL)
        return NULL;
    while (hooks->all != NULL) {
        assert(hooks->all->state == GWS_HOOK_LINGERING);
        hook_free(hooks->all);
    }
    gw_timer_close(hooks->linger);
    gws_calls_done(hooks);
    free(hooks);
    return NULL;
}
