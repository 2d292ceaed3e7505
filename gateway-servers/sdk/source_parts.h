/* Inside a source: what its life (source.c), its emitting (emit.c) and its flow (flow.c) share. */
#ifndef GWS_SOURCE_PARTS_H
#define GWS_SOURCE_PARTS_H

#include "gateway-servers/sdk/server.h"

/* waiting ──start──▶ running ──finish──▶ ending ──closed──▶ stopped (freed)
 *     └──refused──────────────────────────▲ */
enum source_state { SOURCE_WAITING, SOURCE_RUNNING, SOURCE_ENDING };

struct gws_source {
    struct gws_server *server;
    struct gw_rpc_server_call *call;
    enum gws_contract contract;
    struct gw_task begin_task, acknowledge_task, flush_task, closed_task, free_task;
    struct gws_request request;
    bool begun; /* gRPC thread */

    /* loop thread */
    struct gws_source *next, **link;
    enum source_state state;
    struct gws_config config;
    void *module_state;
    bool started, paused, paused_by_end;
    bool told_started;             /* to the client */
    bool closed;                   /* the call is over: nothing is posted any more but free_task */
    uint64_t acknowledged;         /* told to the module */
    uint64_t ahead[GWS_AHEAD_MAX]; /* the last sequence of each flush that is not acknowledged */
    size_t ahead_count;
    struct gw_timer *hold_timer, *again_timer; /* opened when first needed */
    int starts;                                /* attempts, while what the module needs is on its way */
    bool holding;

    atomic_uint_least64_t durable; /* acknowledged by the client */
    atomic_bool withdrawn;         /* the client half-closed */
    atomic_bool full;              /* gRPC's queue is at its limit */

    pthread_mutex_t lock; /* guards what follows */
    struct gws_pending **pending;
    size_t pending_count, pending_capacity;
    uint64_t emitted;
    bool ended;
};

/* Bytes an event takes in a message, texts with their ends. */
size_t gws_event_bytes(const struct gws_event *event);
/* Events that were emitted, whether sent or not. Any thread. */
uint64_t gws_source_emitted(struct gws_source *source);

/* ---- flow.c: loop thread ---- */

/* Ends the call with these words; nothing is taken any more. Any thread. */
void gws_flow_finish(struct gws_source *source, int status, const char *words);
void gws_flow_set_paused(struct gws_source *source, bool paused);
/* All up to `sequence` is durable: tells the module, lets held events go, minds the window. */
void gws_flow_acknowledged(struct gws_source *source, uint64_t sequence);
/* The call is over: no more flushing. */
void gws_flow_close(struct gws_source *source);
/* False: gRPC has no room for it yet, the next flush begins with it; or the call is over. */
bool gws_flow_tell_started(struct gws_source *source);
/* The flush task: hands what is pending to gRPC. */
void gws_flow_flush(struct gw_task *task);

#endif
