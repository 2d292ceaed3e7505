/* Inside the SDK: the server process, its sources, and the rows that the contracts add to the method table. */
#ifndef GWS_SERVER_H
#define GWS_SERVER_H

#include "common/admin.h"
#include "common/rpc_server.h"
#include "gateway-servers/sdk/module.h"

#include <pthread.h>
#include <stdatomic.h>

enum { GWS_WINDOW_MAX = 1024 };      /* unacknowledged events of a source, unless its module says otherwise */
enum { GWS_BATCH_EVENTS_MAX = 512 }; /* events in one message */
enum { GWS_BATCH_BYTES_MAX = 1 << 20 }; /* their bytes; a larger event goes alone */
enum { GWS_AHEAD_MAX = 2 }; /* flushes that may be unacknowledged before events wait for company */
enum { GWS_HOLD_MS = 5 };   /* … but not longer than this: a client may acknowledge lazily */
enum { GWS_EVENT_BYTES_MAX = GW_RPC_MESSAGE_MAX - 65536 };

enum gws_contract { GWS_CONTRACT_V1, GWS_CONTRACT_GATEWAYS, GWS_CONTRACT_GENERIC };

struct gws_counts {
    struct gw_series *sources, *started, *refused, *emitted, *acknowledged, *paused;
};

enum { GWS_HEALTH_SILENCE_MS = 10000 };
/* What grpc.health.v1.Health tells. It is answered on gRPC's threads, so that a busy loop delays no probe; but a loop that
 * hangs must not pass for well: each Check asks it for a sign of life, and one that stays away too long is NOT_SERVING. */
struct gws_health {
    pthread_mutex_t lock;
    struct gws_health_watch *watches;
    bool serving;
    struct gw_task sign;
    int64_t sign_asked_ns; /* 0: none is awaited */
    int64_t silence_ms;
};

struct gws_server {
    const struct gws_module *module;
    struct gw_loop *loop;
    struct gw_metrics *metrics;
    struct gws_counts counts;
    struct gw_rpc_server *rpc, *health_rpc; /* the second answers health alone; NULL without --health */
    void *data;
    const char *kubeconfig, *context, *state_directory; /* NULL: not given */
    struct gw_kube *kube;                               /* NULL before its first use */
    struct gws_source *sources;                         /* loop thread */
    bool stopping;                                      /* loop thread */
    struct gws_health health;
};

/* What a start or validate request says. Everything lives in `arena`. */
struct gws_request {
    struct gw_arena arena;
    struct gws_identity identity;
    const char *type;
    struct gw_view config, position;
};

/* Copies the fields of a gateway.v1.EventSource, or of Argo's (type empty where field 4 is a version). */
int gws_request_copy(struct gws_request *request, const char *gateway, const char *namespace_,
                     const char *name, const char *id, const char *type, struct gw_view config,
                     struct gw_view position) GW_MUST_CHECK;

/* Its own, or that of the SDK. */
static inline const char *gws_version(const struct gws_module *module)
{
    return module->version != NULL ? module->version : GW_VERSION;
}

/* A configuration, parsed, defaulted and checked by the module. */
struct gws_config {
    struct gw_arena arena;
    void *config;
};
/* Problems (if any) were added; the config may be used only when there are none. < 0: no memory. Loop thread. */
int gws_config_load(struct gws_server *server, const struct gws_request *request, struct gws_config *config,
                    struct gw_problems *problems) GW_MUST_CHECK;
void gws_config_done(struct gws_config *config);

/* Validates on the loop; `done` runs there, with the problems (borrowed), and answers the call, which may be over by then. Any
 * thread. Request and call are taken over. */
typedef void gws_validated_fn(struct gw_rpc_server_call *call, const struct gw_problems *problems);
void gws_validate(struct gws_server *server, struct gw_rpc_server_call *call, struct gws_request *request,
                  gws_validated_fn *done);

/* ---- a source, seen from the gRPC threads ---- */
int gws_source_new(struct gws_source **ret_source, struct gws_server *server, struct gw_rpc_server_call *call,
                   enum gws_contract contract) GW_MUST_CHECK;
/* Once; the request is taken over. */
void gws_source_begin(struct gws_source *source, struct gws_request *request);
bool gws_source_begun(const struct gws_source *source);
void gws_source_acknowledge(struct gws_source *source, uint64_t sequence);
void gws_source_writable(struct gws_source *source);
/* The client half-closed: the source is no longer wanted. */
void gws_source_withdraw(struct gws_source *source);
/* The call is over: the last word from the gRPC thread. `cancelled`: the client cut it off, or went. */
void gws_source_closed(struct gws_source *source, bool cancelled);

/* ---- seen from the loop ---- */
/* Ends all streams with these words. */
void gws_sources_end(struct gws_server *server, const char *words);
void gws_sources_pause(struct gws_server *server);
/* Nothing emitted waits for its acknowledgement. */
bool gws_sources_quiet(struct gws_server *server);

/* ---- contracts ---- */
/* Verdicts as gw_rpc_server_call_send. */
struct gws_pending;
int gws_v1_send(struct gw_rpc_server_call *call, struct gws_pending *const *pending,
                size_t count) GW_MUST_CHECK;
int gws_v1_send_started(struct gw_rpc_server_call *call) GW_MUST_CHECK;
int gws_v1_send_notice(struct gw_rpc_server_call *call, bool warning, const char *message) GW_MUST_CHECK;
int gws_argo_send(struct gw_rpc_server_call *call, enum gws_contract contract, const char *name,
                  const struct gws_pending *pending) GW_MUST_CHECK;

/* An event that was emitted and not yet handed to gRPC; views live in its own block. */
struct gws_pending {
    uint64_t sequence;
    struct gws_event event;
    size_t size;
};

/* Hooks that rows of the method table share. unary_closed is of calls that were answered when they were opened: what answers later
 * releases the call itself. A stream's user is its source, NULL when there was no memory for one. */
void gws_service_no_memory(struct gw_rpc_server_call *call);
void gws_service_unary_closed(void *user, struct gw_rpc_server_call *call, bool cancelled);
void gws_service_stream_closed(void *user, struct gw_rpc_server_call *call, bool cancelled);
void gws_service_stream_writable(void *user, struct gw_rpc_server_call *call);

extern const struct gw_rpc_method gws_v1_methods[3];
extern const struct gw_rpc_method gws_argo_methods[3];
extern const struct gw_rpc_method gws_health_methods[2];

/* Before the gRPC servers open, and after they and the loop are closed. */
void gws_health_init(struct gws_server *server);
void gws_health_done(struct gws_server *server);
/* All watchers of the health service learn it. */
void gws_health_set(struct gws_server *server, bool serving);

#endif
