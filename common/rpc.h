/* What both sides of gRPC share: addresses, TLS, statuses, packing. The door to gRPC's C core is rpc_*.c. */
#ifndef GW_RPC_H
#define GW_RPC_H

#include "common/bytes.h"
#include "common/fault.h"

#include <protobuf-c/protobuf-c.h>

/* Status codes of gRPC (statuscodes.md of the gRPC documentation). */
enum gw_rpc_status {
    GW_RPC_OK = 0,
    GW_RPC_CANCELLED = 1,
    GW_RPC_UNKNOWN = 2,
    GW_RPC_INVALID_ARGUMENT = 3,
    GW_RPC_DEADLINE_EXCEEDED = 4,
    GW_RPC_NOT_FOUND = 5,
    GW_RPC_ALREADY_EXISTS = 6,
    GW_RPC_PERMISSION_DENIED = 7,
    GW_RPC_RESOURCE_EXHAUSTED = 8,
    GW_RPC_FAILED_PRECONDITION = 9,
    GW_RPC_ABORTED = 10,
    GW_RPC_OUT_OF_RANGE = 11,
    GW_RPC_UNIMPLEMENTED = 12,
    GW_RPC_INTERNAL = 13,
    GW_RPC_UNAVAILABLE = 14,
    GW_RPC_DATA_LOSS = 15,
    GW_RPC_UNAUTHENTICATED = 16,
};
const char *gw_rpc_status_name(int status); /* "UNAVAILABLE"; "status 99" is "UNKNOWN" */
/* Of a status's message the part that says something: gRPC puts its whole way to the last address before it ("failed to connect
 * to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused"). */
const char *gw_rpc_message_words(const char *message);
/* Why the other side ended a call that was to stay open. `path`: the method's, "/package.Service/Method". */
const char *gw_rpc_end_words(char buffer[static GW_REASON_MAX], const char *path, int status,
                             const char *message);

/* PEM files; NULL where not wanted. A client with `ca_file`, or with `enabled`, speaks TLS (system roots
 * without a file). A server with certificate and key speaks TLS, with `ca_file` too it requires client
 * certificates (mutual TLS). */
struct gw_rpc_tls {
    bool enabled;
    const char *ca_file, *certificate_file, *key_file;
    const char *server_name; /* client: expected instead of the address's host */
};

/* A number that changes when one of the files is replaced: a channel that was opened before still has what was in them then. */
uint64_t gw_rpc_tls_stamp(const struct gw_rpc_tls *tls);

/* "host:port", "[::1]:9330", "unix:/path"; a bare ":9330" is all interfaces for a server, the loopback for a
 * client. False with words when it is none of these. */
bool gw_rpc_address_valid(const char *address, struct gw_reason *reason);

/* Starts and ends the library; counted, any thread. gRPC's own log lines go to gw_log at debug, its errors at
 * warn… by gw_rpc_set_log(); without it they are dropped. Severity: 0 debug, 1 information, 2 error. Any
 * thread calls `line`. */
void gw_rpc_init(void);
void gw_rpc_done(void);
void gw_rpc_set_log(void (*line)(int severity, const char *file, int line, const char *message));

enum { GW_RPC_MESSAGE_MAX = 4 << 20 };

#endif
