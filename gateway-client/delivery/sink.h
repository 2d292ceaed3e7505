/* A sink: the transport to one watcher. One implementation each: sink_http.c, sink_grpc.c. Loop thread. */
#ifndef GWC_SINK_H
#define GWC_SINK_H

#include "common/http.h"
#include "common/rpc_client.h"
#include "gateway-client/spec/spec.h"

enum gwc_verdict {
    GWC_SENT,     /* the watcher has it */
    GWC_AGAIN,    /* worth another attempt */
    GWC_HOPELESS, /* the same answer would come again: dead letter */
};

struct gwc_answer {
    enum gwc_verdict verdict;
    int status;             /* HTTP status, or what is like it; 0: no answer */
    int64_t retry_after_ms; /* -1: the watcher did not say */
    const char *reason;     /* in words; borrowed during done() */
    int64_t took_ms;
};

struct gwc_sink;
struct gwc_sink_ops {
    /* Sends these events (one, unless the mode is batch) in one attempt. The events are borrowed until done(), which is called
     * exactly once, from the loop, never from within send. */
    int (*send)(struct gwc_sink *sink, struct gw_event *const *events, size_t count,
                void (*done)(void *user, const struct gwc_answer *answer), void *user);
    /* This secret has changed: if the sink uses it, it takes the new value; what cannot be read stays as it was. May be NULL. */
    void (*secret_changed)(struct gwc_sink *sink, const char *name);
    /* Attempts under way end without done(). */
    struct gwc_sink *(*close)(struct gwc_sink *sink);
};
struct gwc_sink {
    const struct gwc_sink_ops *ops;
};

/* What sinks are made of; borrowed for their life. */
struct gwc_transports {
    struct gw_loop *loop;
    struct gw_http *http;
    struct gw_rpc_client *rpc;
    const char *gateway, *namespace_; /* who sends */
};

/* As the spec's transport says. */
int gwc_sink_open(struct gwc_sink **ret_sink, const struct gwc_transports *transports,
                  const struct gwc_watcher_spec *spec, struct gw_reason *reason) GW_MUST_CHECK;
int gwc_sink_grpc_open(struct gwc_sink **ret_sink, const struct gwc_transports *transports,
                       const struct gwc_watcher_spec *spec, struct gw_reason *reason) GW_MUST_CHECK;
int gwc_sink_http_open(struct gwc_sink **ret_sink, struct gw_http *http, const struct gwc_watcher_spec *spec,
                       struct gw_reason *reason) GW_MUST_CHECK;

/* The status classes: 2xx sent; 408, 425, 429, 5xx and connection faults again; anything else hopeless. */
enum gwc_verdict gwc_verdict_of_status(int status);

#endif
