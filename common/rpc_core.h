/* Inside the gRPC room: what the rpc_*.c files share. Nobody else includes it, so the library stays behind
 * one door. */
#ifndef GW_RPC_CORE_H
#define GW_RPC_CORE_H

#include "common/rpc.h"

#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <pthread.h>

/* What gRPC carries as a completion's tag: a member of the object that waits for it. */
enum { GW_RPC_TAG_MAGIC = 0x67777267 };
struct gw_rpc_tag {
    uint32_t magic;
    void (*run)(struct gw_rpc_tag *tag, bool ok);
};
static inline struct gw_rpc_tag gw_rpc_tag(void (*run)(struct gw_rpc_tag *tag, bool ok))
{
    return (struct gw_rpc_tag){GW_RPC_TAG_MAGIC, run};
}

/* gRPC's own locks are invisible to the thread sanitizer: these say where a tag's object passes through the
 * library. */
#if defined(__SANITIZE_THREAD__)
extern void __tsan_acquire(void *address);
extern void __tsan_release(void *address);
#define GW_RPC_HAND_OVER(tag) __tsan_release(tag)
#define GW_RPC_TAKE_OVER(tag) __tsan_acquire(tag)
#else
#define GW_RPC_HAND_OVER(tag) ((void)(tag))
#define GW_RPC_TAKE_OVER(tag) ((void)(tag))
#endif

/* A completion queue and the thread that runs its tags, with all signals blocked. Closing waits until every
 * tag that was started has run. */
struct gw_rpc_queue {
    grpc_completion_queue *completions;
    pthread_t thread;
    bool running;
};
int gw_rpc_queue_open(struct gw_rpc_queue *queue, const char *thread_name) GW_MUST_CHECK;
void gw_rpc_queue_close(struct gw_rpc_queue *queue);

/* Starts a batch; its operations are well-formed by construction, so it cannot be refused. */
void gw_rpc_start(grpc_call *call, const grpc_op *operations, size_t count, struct gw_rpc_tag *tag);

/* Messages that wait to be handed to gRPC one by one. Guarded by the owner's lock. */
enum { GW_RPC_FIFO_MAX = 64 };
struct gw_rpc_fifo {
    grpc_byte_buffer *messages[GW_RPC_FIFO_MAX];
    unsigned head, count;
    unsigned hinted; /* messages since the last one that was written through */
    int latest;      /* slot that the next `latest` message replaces, or -1 */
};
void gw_rpc_fifo_init(struct gw_rpc_fifo *fifo);
/* Takes the message; false: no room, the message is still the caller's. */
bool gw_rpc_fifo_push(struct gw_rpc_fifo *fifo, grpc_byte_buffer *message, bool latest);
grpc_byte_buffer *gw_rpc_fifo_pop(struct gw_rpc_fifo *fifo); /* owned by the caller; NULL when empty */
void gw_rpc_fifo_clear(struct gw_rpc_fifo *fifo);
/* GRPC_WRITE_BUFFER_HINT or 0 for the message just popped; `more`: something is certain to follow it. A hint
 * on the last message would leave it in gRPC's buffer for ever, and a run of hints without end would delay
 * the first. */
uint32_t gw_rpc_fifo_flags(struct gw_rpc_fifo *fifo, bool more);

/* How much of an unread stream the other side may send ahead: HTTP/2's own first window. */
enum { GW_RPC_LOOKAHEAD = 64 << 10 };

/* protobuf-c to wire, one copy; NULL packs to nothing. Owned by the caller. */
grpc_byte_buffer *gw_rpc_pack(const ProtobufCMessage *message);

/* A received message as one run of bytes; copies only if it came in pieces. */
struct gw_rpc_unpacked {
    struct gw_view view;
    grpc_slice joined;
};
void gw_rpc_unpack(struct gw_rpc_unpacked *ret_unpacked, grpc_byte_buffer *buffer); /* NULL: the empty view */
void gw_rpc_unpack_done(struct gw_rpc_unpacked *unpacked);

/* Text of a status: what is sent is UTF-8 and fits into a peer's metadata limit; what is received becomes a C
 * string (never NULL, for gpr_free()), with U+FFFD for what is not UTF-8. */
enum { GW_RPC_STATUS_TEXT_MAX = 2048 };
grpc_slice gw_rpc_text_out(const char *text);
char *gw_rpc_text_in(grpc_slice text);

/* `deadline_ms` from now; 0 or less: never. */
gpr_timespec gw_rpc_deadline(int64_t deadline_ms);

/* rpc_address.c */
struct gw_rpc_address {
    bool local;     /* a unix socket */
    char path[108]; /* of it */
    char host[256]; /* without brackets; empty: any */
    bool bracketed; /* an IPv6 literal */
    uint16_t port;
};
int gw_rpc_address_parse(struct gw_rpc_address *ret_address, const char *text,
                         struct gw_reason *reason) GW_MUST_CHECK;
/* What gRPC's server and client want to hear. Owned. */
char *gw_rpc_address_listen_name(const struct gw_rpc_address *address);
char *gw_rpc_address_target(const struct gw_rpc_address *address);
/* Why binding does not work, asked of the kernel because gRPC does not tell: -EADDRINUSE, …; 0: it would
 * work. */
int gw_rpc_address_bind_fault(const struct gw_rpc_address *address);
/* Makes way for a unix socket: removes a stale one, refuses where somebody listens or the place is taken. */
int gw_rpc_address_clear(const struct gw_rpc_address *address, struct gw_reason *reason) GW_MUST_CHECK;

/* rpc_tls.c: credentials for either side; NULL files mean plain text. */
int gw_rpc_tls_client(grpc_channel_credentials **ret_credentials, const struct gw_rpc_tls *tls,
                      struct gw_reason *reason) GW_MUST_CHECK;
struct gw_rpc_certificate; /* what the server's certificate is re-read with; lives as long as the credentials
                            */
int gw_rpc_tls_server(grpc_server_credentials **ret_credentials, struct gw_rpc_certificate **ret_certificate,
                      const struct gw_rpc_tls *tls, struct gw_reason *reason) GW_MUST_CHECK;
struct gw_rpc_certificate *gw_rpc_certificate_free(struct gw_rpc_certificate *certificate);

#endif
