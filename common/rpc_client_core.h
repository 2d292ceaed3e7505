/* Inside gRPC's client: what rpc_client.c and rpc_stream.c share. */
#ifndef GW_RPC_CLIENT_CORE_H
#define GW_RPC_CLIENT_CORE_H

#include "common/rpc_client.h"
#include "common/rpc_core.h"

#include <stdatomic.h>

struct gw_rpc_client {
    struct gw_rpc_queue streams, unary;
    atomic_uint channels;
};

struct gw_rpc_client *gw_rpc_channel_client(const struct gw_rpc_channel *channel);
/* A call on the channel, its completions on `queue`. `path` is a literal. */
grpc_call *gw_rpc_channel_call(struct gw_rpc_channel *channel, struct gw_rpc_queue *queue, const char *path,
                               gpr_timespec deadline);

#endif
