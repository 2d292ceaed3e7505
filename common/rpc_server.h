/* gRPC server on the C core: unary, server-streaming and bidirectional methods from a table; control calls on
 * a queue and thread of their own, streams on others. An unknown method is answered UNIMPLEMENTED at once.
 * Callbacks run on the queue threads and must not block; calls on a struct gw_rpc_server_call may come from
 * any thread. */
#ifndef GW_RPC_SERVER_H
#define GW_RPC_SERVER_H

#include "common/rpc.h"

struct gw_rpc_server;
struct gw_rpc_server_call;

enum gw_rpc_kind { GW_RPC_UNARY, GW_RPC_SERVER_STREAM, GW_RPC_BIDI };

struct gw_rpc_method {
    const char *path; /* "/gateway.v1.Eventing/Stream" */
    enum gw_rpc_kind kind;
    /* The call came in. UNARY, SERVER_STREAM: with its request. BIDI: `request` is empty, messages follow.
     * `user` is the server's. Keep `call` as long as you like: release it once, by
     * gw_rpc_server_call_release(). */
    void (*open)(void *user, struct gw_rpc_server_call *call, struct gw_view request);
    /* BIDI: a message; read one after another, the next when this returns. NULL otherwise. */
    void (*message)(void *user, struct gw_rpc_server_call *call, struct gw_view message);
    /* BIDI: the client half-closed. May be NULL. */
    void (*half_closed)(void *user, struct gw_rpc_server_call *call);
    /* The call is over, however it ended: exactly once, the last callback. `cancelled`: not by our finish.
     * May be NULL. */
    void (*closed)(void *user, struct gw_rpc_server_call *call, bool cancelled);
    /* A send queue that was full has room again (see gw_rpc_server_call_send). May be NULL. */
    void (*writable)(void *user, struct gw_rpc_server_call *call);
};

struct gw_rpc_server_options {
    const char *const *addresses; /* ended by NULL; "unix:/path" sockets are removed when stale */
    struct gw_rpc_tls tls;        /* certificate and key are re-read when the files change */
    unsigned stream_threads;      /* 0: 1 */
};
/* Listens when it returns. -EADDRINUSE, -EINVAL, … with words that name the address. `methods` borrowed. */
int gw_rpc_server_open(struct gw_rpc_server **ret_server, const struct gw_rpc_server_options *options,
                       const struct gw_rpc_method *methods, size_t methods_count, void *user,
                       struct gw_reason *reason) GW_MUST_CHECK;
/* Bound port of the i-th address; 0 for unix sockets. */
uint16_t gw_rpc_server_port(const struct gw_rpc_server *server, size_t address);
/* No new calls; calls under way go on until they end or `grace_ms` is over, then they are cancelled. Waits
 * until every closed() has returned; not from a callback. Calls that were not released yet may be, later.
 * NULL is fine. */
struct gw_rpc_server *gw_rpc_server_close(struct gw_rpc_server *server, int64_t grace_ms);

void gw_rpc_server_call_set_user(struct gw_rpc_server_call *call, void *user);
void *gw_rpc_server_call_user(const struct gw_rpc_server_call *call);
/* Queues a message (packed now). Verdict GW_RPC_FULL: taken, and the queue is now at its limit
 * (GW_RPC_SERVER_SENDS_MAX messages): send no more until writable(), which comes when half of it is free,
 * perhaps before this returns (what the two share needs the caller's lock). -ENOBUFS: sent nevertheless, not
 * taken; writable() comes all the same. Verdict GW_RPC_OVER: after the end of the call, not taken. */
enum { GW_RPC_FULL = 1, GW_RPC_OVER = 2 };
enum { GW_RPC_SERVER_SENDS_MAX = 64 };
int gw_rpc_server_call_send(struct gw_rpc_server_call *call, const ProtobufCMessage *message) GW_MUST_CHECK;
/* Ends the call after what is queued. Unary: `reply` is the answer (NULL with a status other than OK).
 * Streams: NULL. A second finish is ignored. */
void gw_rpc_server_call_finish(struct gw_rpc_server_call *call, int status, const char *message,
                               const ProtobufCMessage *reply);
/* Ends the call now, whatever is queued: the client sees CANCELLED, closed() comes soon with `cancelled`. For
 * a client that does not read any more. */
void gw_rpc_server_call_cancel(struct gw_rpc_server_call *call);
void gw_rpc_server_call_release(struct gw_rpc_server_call *call);

#endif
