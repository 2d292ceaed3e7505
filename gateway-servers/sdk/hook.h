/* Hooks: the HTTP endpoints of event sources, over shared listeners, one for each port. For all kinds that
 * are called by the world (webhook, and what is built like it). Loop thread only.
 *
 *     request ──▶ listener of the port ──▶ route ──▶ hook of the source
 *                                                     │ head    refuse it, or let the body in
 *                                                     │ body    emit, then gws_call_await(sequence)
 *                                                     ▼
 *                     waiting, in order of sequence ──▶ gws_hook_acknowledged(): the reply, 2xx
 *                                                   ──▶ not in time: 503 with Retry-After
 *
 * A listener opens with the first hook of its port and closes with the last. A hook that was closed lingers
 * for a while: its endpoint answers 503 with Retry-After instead of 404, because most often its source is
 * only being restarted (the gateway-client went away, its configuration was edited). A lingering hook stands
 * in nobody's way: it goes at once when its source comes back, or when another one wants its endpoint, or its
 * port with other settings. */
#ifndef GWS_HOOK_H
#define GWS_HOOK_H

#include "common/listen.h"
#include "common/loop.h"
#include "gateway-servers/sdk/module.h"
#include "gateway-servers/sdk/route.h"

struct gws_hooks; /* all ports of the process */
struct gws_hook;  /* the endpoint of one source */
struct gws_call;  /* one request that belongs to a hook, until its reply */

enum { GWS_HOOK_LINGER_MS = 60000, GWS_HOOK_WITHDRAWN_MS = 1000, GWS_HOOK_SETTLE_MS = 3000 };

/* linger_ms: how long a closed hook answers 503; 0: not at all. settle_ms: how long from now a path that nobody has is answered
 * 503 instead of 404, because after a restart the source that has it may not be here yet. `metrics` counts answers; may
 * be NULL. */
int gws_hooks_open(struct gws_hooks **ret_hooks, struct gw_loop *loop, int64_t linger_ms, int64_t settle_ms,
                   struct gw_metrics *metrics) GW_MUST_CHECK;
/* All hooks must be closed before. */
struct gws_hooks *gws_hooks_close(struct gws_hooks *hooks);
GW_DEFINE_CLEANUP(struct gws_hooks *, gws_hooks_close)

/* All borrowed for the life of the hook, except `address` and the files, which are copied. */
struct gws_hook_options {
    const char *endpoint;
    unsigned methods;    /* of gws_method_bit() */
    const char *address; /* NULL: all of IPv4 and IPv6 */
    uint16_t port;
    const char *certificate_file, *key_file;
    int64_t idle_timeout_ms;          /* of the listener: that of the source which opens the port */
    int64_t acknowledge_wait_ms;      /* how long a request waits for gws_hook_acknowledged() */
    int64_t body_max;                 /* bytes */
    int reply_status;                 /* when acknowledged */
    const char *const *reply_headers; /* lines ended by NULL, or NULL */
    struct gw_view reply_body;
};

struct gws_hook_handlers {
    /* The head is read. False: it was refused, with gws_call_reply() or gws_call_problem(). May be NULL. */
    bool (*head)(void *user, struct gws_call *call);
    /* The whole request is here: reply, or gws_call_await(). */
    void (*body)(void *user, struct gws_call *call);
};

/* Adds a problem (path "endpoint", "port", …) for all that keeps this hook from opening: an endpoint that is
 * not one, or that another live source has claimed for one of the methods; a port that is served with another
 * address or other TLS files. */
void gws_hook_check(struct gws_hooks *hooks, const struct gws_identity *identity,
                    const struct gws_hook_options *options, struct gw_problems *problems);
/* Claims the endpoint, and opens the port if it is the first. A live hook of the same identity gives way to
 * this one. -EADDRINUSE with the name of the source that has it; -EINVAL; what gw_listener_open() says. */
int gws_hook_open(struct gws_hook **ret_hook, struct gws_hooks *hooks, const struct gws_identity *identity,
                  const struct gws_hook_options *options, const struct gws_hook_handlers *handlers,
                  void *user, struct gw_reason *reason) GW_MUST_CHECK;
/* Requests that wait are answered 503; no handler is called any more. gws_hook_withdraw: its source is no longer wanted, so it
 * lingers for GWS_HOOK_WITHDRAWN_MS only (an edit may bring it back at once, and the port must not flap). */
struct gws_hook *gws_hook_withdraw(struct gws_hook *hook);
struct gws_hook *gws_hook_close(struct gws_hook *hook);
GW_DEFINE_CLEANUP(struct gws_hook *, gws_hook_close)

/* While paused, requests are answered 503 with Retry-After. */
void gws_hook_set_paused(struct gws_hook *hook, bool paused);
/* Replies to every request that waits for a sequence up to this one. */
void gws_hook_acknowledged(struct gws_hook *hook, uint64_t sequence);

/* Of a call: borrowed during the handler. After a reply or await, the call is not the handler's any more. */
struct gw_request *gws_call_request(const struct gws_call *call);
const struct gws_route *gws_call_route(const struct gws_call *call);
void gws_call_await(struct gws_call *call, uint64_t sequence);
/* The reply of an acknowledged request, at once: there was nothing to emit. */
void gws_call_accept(struct gws_call *call);
void gws_call_reply(struct gws_call *call, int status, const char *const *headers, struct gw_view body);
void gws_call_problem(struct gws_call *call, int status, const char *const *headers, const char *format, ...)
    GW_PRINTF(4, 5);

#endif
