/* gRPC client on the C core: many streams and unary calls from two threads, streams on one completion queue
 * and unary calls on another (one queue for everything starves: docs/decisions). All calls may be made from
 * any thread. Callbacks run on the queue threads and must not block. */
#ifndef GW_RPC_CLIENT_H
#define GW_RPC_CLIENT_H

#include "common/rpc.h"

struct gw_rpc_client;  /* the two queues and threads */
struct gw_rpc_channel; /* connection to one address, kept up by gRPC */
struct gw_rpc_stream;  /* one streaming call */

int gw_rpc_client_open(struct gw_rpc_client **ret_client) GW_MUST_CHECK;
/* All channels must be closed before. Waits for the threads. */
struct gw_rpc_client *gw_rpc_client_close(struct gw_rpc_client *client);
GW_DEFINE_CLEANUP(struct gw_rpc_client *, gw_rpc_client_close)
/* No channel is open. Any thread. */
bool gw_rpc_client_quiet(const struct gw_rpc_client *client);

struct gw_rpc_channel_options {
    const char *address;
    struct gw_rpc_tls tls;
    int64_t connect_timeout_ms;   /* 0: 5 s */
    int64_t reconnect_initial_ms; /* 0: 500 ms */
    int64_t reconnect_max_ms;     /* 0: 10 s */
    int64_t keepalive_ms;         /* 0: none (a server's ping policy may forbid more than one in 5 min) */
};
/* Does not wait for the connection. -EINVAL with words: address or TLS files. */
int gw_rpc_channel_open(struct gw_rpc_channel **ret_channel, struct gw_rpc_client *client,
                        const struct gw_rpc_channel_options *options, struct gw_reason *reason) GW_MUST_CHECK;
/* Its streams must be freed before; unary calls under way end with CANCELLED, perhaps after this returns, at
 * the latest when gw_rpc_client_close() does. */
struct gw_rpc_channel *gw_rpc_channel_close(struct gw_rpc_channel *channel);
GW_DEFINE_CLEANUP(struct gw_rpc_channel *, gw_rpc_channel_close)
/* The connection is up now, TLS and HTTP/2 included. Any thread. */
bool gw_rpc_channel_connected(struct gw_rpc_channel *channel);

/* Unary. `deadline_ms` from now, 0: none. `path` is "/package.Service/Method" (borrowed for ever: literals).
 * `reply` is called exactly once: status OK with the raw reply bytes, or another status with its message;
 * both borrowed during the call. */
typedef void gw_rpc_reply_fn(void *user, int status, const char *message, struct gw_view reply);
int gw_rpc_call(struct gw_rpc_channel *channel, const char *path, const ProtobufCMessage *request,
                int64_t deadline_ms, gw_rpc_reply_fn *reply, void *user) GW_MUST_CHECK;

/* Streams. `message`: raw bytes, borrowed during the call; one unit of credit is used up by it.
 * `end`: exactly once, the last callback of the stream; nothing is called after it. */
struct gw_rpc_stream_hooks {
    void (*message)(void *user, struct gw_view message);
    void (*end)(void *user, int status, const char *message);
};
struct gw_rpc_stream_options {
    const char *path;
    const ProtobufCMessage *first; /* sent at once (copied) */
    bool half_close;               /* nothing follows `first`: a server-streaming call */
    const char *const *metadata;   /* name, value, name, value, …, NULL; copied */
};
/* `*ret_stream` is set before the first hook runs. -EINVAL: a metadata name or value that HTTP/2 does not
 * carry. */
int gw_rpc_stream_open(struct gw_rpc_stream **ret_stream, struct gw_rpc_channel *channel,
                       const struct gw_rpc_stream_options *options, const struct gw_rpc_stream_hooks *hooks,
                       void *user) GW_MUST_CHECK;
/* Lets `messages` more messages in. A stream begins with 0 and is not read without credit: HTTP/2 flow
 * control then holds the server. The end of a stream comes after the messages before it, so it too waits for
 * their credit; only a lost connection drops messages that were not read, and ends the stream at once. */
void gw_rpc_stream_credit(struct gw_rpc_stream *stream, unsigned messages);
/* Queues a message (packed now). At most GW_RPC_SENDS_MAX may wait: beyond, -ENOBUFS. After the end: 0,
 * dropped. */
enum { GW_RPC_SENDS_MAX = 64 };
int gw_rpc_stream_send(struct gw_rpc_stream *stream, const ProtobufCMessage *message) GW_MUST_CHECK;
/* Like send, but a waiting message sent by send_latest that is not yet under way is replaced: for
 * acknowledgements. */
int gw_rpc_stream_send_latest(struct gw_rpc_stream *stream, const ProtobufCMessage *message) GW_MUST_CHECK;
/* No more messages from us (after those queued). */
void gw_rpc_stream_half_close(struct gw_rpc_stream *stream);
/* Ends it soon; `end` still comes. */
void gw_rpc_stream_cancel(struct gw_rpc_stream *stream);
/* Gives the handle back. Allowed at any time: before the end it cancels, and no callback is begun after free
 * returns (it waits for one that runs on another thread, so hold no lock that a hook takes; calling it from a
 * callback of the same stream is fine). */
struct gw_rpc_stream *gw_rpc_stream_free(struct gw_rpc_stream *stream);

#endif
