/* The bridge: one call of generic.Eventing/StartEventSource at a user's server, kept up for ever.
 *
 *                 ┌────────────┐  the server takes the call   ┌───────────┐
 *     open ─────▶ │ connecting │ ───────────────────────────▶ │ connected │
 *                 └─────┬──────┘  (holds, connected, for a    └─────┬─────┘
 *                  ▲    │          second, or sends an event)       │ the call ends, for whatever reason
 *                  │    ▼ the call ends                             ▼
 *                  │  ┌─────────────────────────────────────────────────┐
 *                  └──│ waiting: 0.5 s × 2 … 30 s, with jitter, no end  │
 *                     └─────────────────────────────────────────────────┘
 *
 * Each connection is a new channel: certificates and token are read again. A call that held for 10 s starts the back-off
 * anew. The server is not asked for more while the source is paused: HTTP/2 flow control holds it. */
#ifndef GENERIC_BRIDGE_H
#define GENERIC_BRIDGE_H

#include "common/loop.h"
#include "common/rpc_client.h"
#include "gateway-servers/generic/config.h"

struct generic_bridge;

struct generic_bridge_options {
    struct gw_loop *loop;
    struct gw_rpc_client *rpc;
    const char *name;                    /* of the event source; borrowed */
    const struct generic_config *config; /* borrowed */
};

struct generic_bridge_hooks {
    /* A thread of gRPC, one message at a time. A fault: there was no room for it; the call is made again. */
    int (*payload)(void *user, struct gw_view payload);
    /* The loop. */
    void (*connected)(void *user);
    /* The loop: what is wrong, in words, and when it is tried again. */
    void (*disconnected)(void *user, const char *words);
};

int generic_bridge_open(struct generic_bridge **ret_bridge, const struct generic_bridge_options *options,
                        const struct generic_bridge_hooks *hooks, void *user) GW_MUST_CHECK;
/* No hook is called any more. */
struct generic_bridge *generic_bridge_close(struct generic_bridge *bridge);

void generic_bridge_set_paused(struct generic_bridge *bridge, bool paused);

#endif
