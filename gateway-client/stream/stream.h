/* A stream: the supervisor of one event source. It validates, starts, watches, and starts again, for ever.
 *
 *              ┌──────────────────────── back-off ◀───────────────────────┐
 *              ▼                                                           │
 *     ┌──────────────┐  good  ┌──────────┐  started  ┌─────────┐  ended    │
 *     │  validating  │ ─────▶ │ starting │ ────────▶ │ running │ ──────────┤
 *     └──────┬───────┘        └────┬─────┘           └─────────┘           │
 *            │ bad: invalid        │ refused, unreachable: failing         │
 *            └─────────────────────┴───────────────────────────────────────┘
 *
 * A new configuration is validated while the old one runs, and takes its place only when it is good; a bad one is
 * shown, and the last good one keeps running. Loop thread only. */
#ifndef GWC_STREAM_H
#define GWC_STREAM_H

#include "common/metrics.h"
#include "gateway-client/outbox/outbox.h"
#include "gateway-client/spec/sources.h"
#include "gateway-client/stream/server.h"

enum gwc_stream_state {
    GWC_STREAM_VALIDATING,
    GWC_STREAM_STARTING,
    GWC_STREAM_RUNNING,
    GWC_STREAM_INVALID, /* refused by the server; tried again now and then */
    GWC_STREAM_FAILING, /* the server or the source is not there; tried again soon */
    GWC_STREAM_STOPPED,
};
extern const char *const gwc_stream_state_names[]; /* in enum order */

struct gwc_stream;

/* What all streams of a gateway share; borrowed for the life of the stream. */
struct gwc_stream_context {
    struct gw_loop *loop;
    struct gwc_outbox *outbox;
    const char *gateway, *namespace_;
    struct gw_family *events, *running, *restarts; /* labels: source,type */
    /* The state or the message changed. May be NULL. */
    void (*changed)(void *user, struct gwc_stream *stream);
    /* The server's notice is another; or, `refused`, what there is to say of an edit. The state did not change. May be NULL. */
    void (*said)(void *user, struct gwc_stream *stream, bool refused);
    /* The stream has ended after gwc_stream_stop(): free it. */
    void (*stopped)(void *user, struct gwc_stream *stream);
    void *user;
};

struct gwc_stream_status {
    const char *key, *type, *name, *id;
    enum gwc_stream_state state;
    const char *message;  /* why it is in this state; "" when there is nothing to say */
    const char *notice;   /* the server's last warning; "" */
    const char *refused;  /* an edit that was refused while the last good configuration runs; "" */
    const char *trouble;  /* why it does not run, kept until it does; "": nothing went wrong since it ran */
    int64_t trouble_ms;   /* realtime, since when that is so */
    const char *contract; /* spoken with the server; "" unknown */
    int64_t since_ms;     /* realtime of the last change of state */
    int64_t next_attempt_ms; /* realtime; 0: none planned */
    uint64_t restarts, events;
    int64_t last_event_ms; /* realtime; 0: never */
    uint32_t told;         /* a mark of whoever listens, as gwc_stream_set_told() left it; 0 at first */
};

/* Begins at once. The source is copied; the server is referenced. */
int gwc_stream_open(struct gwc_stream **ret_stream, const struct gwc_stream_context *context,
                    struct gwc_server *server, const struct gwc_source *source) GW_MUST_CHECK;
/* Another configuration, or another server for the same key. The one that runs already: an edit was taken back, and the
 * stream is not disturbed. */
int gwc_stream_update(struct gwc_stream *stream, struct gwc_server *server,
                      const struct gwc_source *source) GW_MUST_CHECK;
/* Words about an entry that could not even be read. An edit before it that still waits is dropped. */
void gwc_stream_refuse(struct gwc_stream *stream, const char *words);
/* A neighbour has stopped or changed: one that was refused may be good now, and is tried soon. */
void gwc_stream_nudge(struct gwc_stream *stream);
/* The event source of this name, and nothing else, is in the way of an edit while the last good configuration runs; NULL: no
 * edit waits, or something else is wrong with it. Borrowed. */
const char *gwc_stream_held_by(const struct gwc_stream *stream);
/* Lets go of what runs for such an edit, because others in turn wait for it; the edit is tried again as neighbours move. */
void gwc_stream_yield(struct gwc_stream *stream);
/* Did it, and does not run yet? */
bool gwc_stream_yields(const struct gwc_stream *stream);
/* Ends it; context->stopped() comes, possibly from within this call. `withdraw`: the source is no longer wanted; otherwise we
 * go away, and the server may expect us back. */
void gwc_stream_stop(struct gwc_stream *stream, bool withdraw);
/* At any time; nothing is called any more. */
struct gwc_stream *gwc_stream_free(struct gwc_stream *stream);

/* Brings the counters of the metrics up to date: now and then. */
void gwc_stream_count(struct gwc_stream *stream);
struct gwc_server *
gwc_stream_server(const struct gwc_stream *stream); /* the one it uses, or will use; borrowed */
void gwc_stream_status(const struct gwc_stream *stream, struct gwc_stream_status *ret_status);
const char *gwc_stream_key(const struct gwc_stream *stream);
void gwc_stream_set_told(struct gwc_stream *stream, uint32_t told);
bool gwc_stream_stopping(const struct gwc_stream *stream);

#endif
