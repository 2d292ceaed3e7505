/* Delivery: brings the events of the outbox to one watcher. Loop thread only.
 *
 *         committed ──▶ ┌────────┐  a free slot   ┌───────────┐  2xx
 *     (or read from     │ queued │ ─────────────▶ │ in flight │ ──────▶ delivered
 *      the outbox when  └────────┘                └─────┬─────┘
 *      it was behind)        ▲  its time comes          │ 5xx, 408, 425, 429, no answer
 *                            └───────── waiting ◀───────┤
 *                                                       │ other statuses, or the deadline is over
 *                                                       ▼
 *                                                  dead letter
 *
 * The cursor follows the lowest event that is neither delivered, nor waiting with its retry written down, nor dead. */
#ifndef GWC_DELIVERY_H
#define GWC_DELIVERY_H

#include "gateway-client/delivery/sink.h"
#include "gateway-client/outbox/outbox.h"

struct gwc_delivery;

struct gwc_delivery_stats {
    uint64_t delivered, attempts, failures, dead, dropped; /* since the start of the process */
    uint64_t pending; /* events behind the cursor, waiting ones included */
    uint64_t in_flight, waiting;
    int64_t last_success_ms;   /* realtime; 0 never */
    int64_t oldest_pending_ms; /* realtime when the oldest event not delivered was accepted; 0 none */
    bool failing;              /* the last attempt failed */
    char last_failure[160];
};

/* Opens the watcher in the outbox and begins with what is undelivered. The spec is borrowed until close.
 * -EINVAL with words: URL, files, secrets; the outbox knows the watcher then, and keeps events for it until it can be opened. */
int gwc_delivery_open(struct gwc_delivery **ret_delivery, struct gwc_outbox *outbox,
                      const struct gwc_transports *transports, const struct gwc_watcher_spec *spec,
                      struct gw_metrics *metrics, struct gw_reason *reason) GW_MUST_CHECK;
/* Attempts under way are abandoned (they will be made again). The cursor is handed to the outbox. */
struct gwc_delivery *gwc_delivery_close(struct gwc_delivery *delivery);
/* Stops new attempts; `true` when nothing is in flight any more. For a graceful end. */
bool gwc_delivery_drain(struct gwc_delivery *delivery);

/* From the outbox's committed hook. */
void gwc_delivery_committed(struct gwc_delivery *delivery, struct gw_event *const *events, size_t count);
/* From the outbox's changed hook: dead letters may have been put back. */
void gwc_delivery_changed(struct gwc_delivery *delivery);
/* This secret has changed; the next attempt has the new value. */
void gwc_delivery_secret_changed(struct gwc_delivery *delivery, const char *name);
void gwc_delivery_stats(struct gwc_delivery *delivery, struct gwc_delivery_stats *ret_stats);

#endif
