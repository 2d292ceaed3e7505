/* A link: one streaming call of one event source, between the gateway-server and the outbox. What it receives it appends;
 * what is durable it acknowledges. The loop hears of its beginning, its notices and its end.
 *
 *     open ──▶ started ──▶ (notices, events) ──▶ ended ──▶ released
 *
 * `released` comes last, when nothing of the link is left in the outbox's queue: a successor may start then, and finds the
 * position of everything this one received. */
#ifndef GWC_LINK_H
#define GWC_LINK_H

#include "common/loop.h"
#include "gateway-client/outbox/outbox.h"
#include "gateway-client/spec/sources.h"
#include "gateway-client/stream/server.h"

struct gwc_link;

/* All on the loop. */
struct gwc_link_hooks {
    void (*started)(void *user);
    void (*notice)(void *user, bool warning, const char *message);
    void (*ended)(void *user, int status, const char *message);
    void (*released)(void *user);
};

struct gwc_link_options {
    struct gw_loop *loop;
    struct gwc_outbox *outbox;
    struct gwc_server *server;  /* its channel is held by the link */
    enum gwc_contract contract; /* never AUTO */
    const char *gateway, *namespace_;
    const struct gwc_source *source;
    struct gw_view position;
};

/* Everything is copied. Loop thread. */
int gwc_link_open(struct gwc_link **ret_link, const struct gwc_link_options *options,
                  const struct gwc_link_hooks *hooks, void *user) GW_MUST_CHECK;
/* Ends it in order: the server learns that the source is no longer wanted (a cancelled stream might come back). `ended` and
 * `released` still come, if the server is there; cancel it after a while. */
void gwc_link_withdraw(struct gwc_link *link);
/* Ends it soon; `ended` and `released` still come. */
void gwc_link_cancel(struct gwc_link *link);
/* Gives it up: no hook is called any more; what is under way in the outbox still becomes durable, and nothing is appended after
 * this, so that the outbox may be closed. */
struct gwc_link *gwc_link_abandon(struct gwc_link *link);
bool gwc_link_connected(const struct gwc_link *link);        /* the connection that it uses is up */
uint64_t gwc_link_events(const struct gwc_link *link);       /* made durable; any thread */
int64_t gwc_link_last_event_ms(const struct gwc_link *link); /* realtime; 0: none yet */

#endif
