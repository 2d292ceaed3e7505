/* Inside gRPC's server: what rpc_server.c (listening, ending) and rpc_server_call.c (one call) share. */
#ifndef GW_RPC_SERVER_CORE_H
#define GW_RPC_SERVER_CORE_H

#include "common/rpc_core.h"
#include "common/rpc_server.h"

#include <stdatomic.h>

struct gw_rpc_server {
    grpc_server *server;
    const struct gw_rpc_method *methods;
    size_t methods_count;
    void **registered; /* gRPC's handle of each method */
    void *user;
    struct gw_rpc_queue *queues; /* the first is for control calls, the others for streams */
    size_t queues_count;
    struct gw_rpc_certificate *certificate;
    uint16_t *ports;
    size_t ports_count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t calls; /* that gRPC still knows; guarded by lock */
    bool stopped; /* gRPC's shutdown is complete; guarded by lock */
    bool started;
    struct gw_rpc_tag on_stopped;
};

/* Asks gRPC for the next call of `method` (NULL: of any unknown method) on `queue`; whoever came is followed by another. */
int gw_rpc_server_call_expect(struct gw_rpc_server *server, const struct gw_rpc_method *method,
                              struct gw_rpc_queue *queue) GW_MUST_CHECK;

#endif
