/* Inside the hooks: what hook.c (ports, and the life of a hook) and hook_call.c (requests) share. */
#ifndef GWS_HOOK_PARTS_H
#define GWS_HOOK_PARTS_H

#include "gateway-servers/sdk/hook.h"

enum gws_answer { GWS_ANSWER_2XX, GWS_ANSWER_4XX, GWS_ANSWER_5XX, GWS_ANSWERS_COUNT };

struct gws_call_list {
    struct gws_call *first, *last;
};

struct gws_call {
    struct gws_call *previous, *next;
    struct gws_call_list *list; /* of its hook: reading or waiting; NULL: none */
    struct gws_hooks *hooks;
    struct gws_hook *hook; /* NULL: closed while the body came in */
    struct gw_request *request;
    struct gws_route route;
    struct gw_bytes scratch; /* decoded values of the route */
    uint64_t sequence;
    int64_t deadline_ms;
};

/* One port: open as long as a hook, live or lingering, is on it. */
struct gws_hook_port {
    struct gws_hook_port *next;
    struct gws_hooks *hooks;
    struct gw_listener *listener;
    struct gws_routes *routes;
    uint16_t number;
    char *address, *certificate_file, *key_file; /* NULL: as in the options */
    size_t users;
};

/* live ──close──▶ lingering ──time, or in the way──▶ freed
 *   └──a newer hook of the same source──▶ withdrawn ──close──▶ freed */
enum gws_hook_state { GWS_HOOK_LIVE, GWS_HOOK_LINGERING, GWS_HOOK_WITHDRAWN };

struct gws_hook {
    struct gws_hook *next, **link; /* of all hooks */
    struct gws_hooks *hooks;
    struct gws_hook_port *port; /* NULL: withdrawn */
    enum gws_hook_state state;
    char *gateway, *namespace_, *name;
    struct gws_path *path;
    struct gws_hook_options options;
    const struct gws_hook_handlers *handlers;
    void *user;
    bool paused;
    struct gws_call_list reading, waiting; /* waiting: by sequence, which is by deadline too */
    struct gw_timer *deadline;             /* armed while something waits, for the first of them or earlier */
    bool deadline_armed;
    uint64_t acknowledged;
    int64_t linger_until_ms;
};

struct gws_hooks {
    struct gw_loop *loop;
    int64_t linger_ms;
    int64_t settled_ms; /* loop time from which a path that nobody has is unknown */
    struct gw_timer *linger;
    struct gws_hook_port *ports;
    struct gws_hook *all;
    struct gws_call *spare;
    size_t spare_count;
    struct gw_series *answered[GWS_ANSWERS_COUNT];
};

/* Of every listener; their user is the port. */
extern const struct gw_listener_hooks gws_hook_listener_hooks;

/* The deadline timer of a hook fired. */
void gws_hook_on_deadline(void *user);
/* Nobody is asked any more: those that wait are answered, those that still send are when they are through. */
void gws_hook_silence(struct gws_hook *hook);
void gws_calls_done(struct gws_hooks *hooks);

#endif
