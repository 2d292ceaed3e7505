/* What the files of the delivery share; nobody else includes it.
 *
 *     delivery.c           life, and the wheel: pump() sends, loads, reads, sets the timer
 *     delivery_intake.c    outbox ──▶ queued           delivery_attempt.c   queued, waiting ──▶ in flight ──▶ answer
 *     delivery_retries.c   outbox ──▶ waiting          delivery_outcome.c   answer ──▶ delivered, waiting, dead letter */
#ifndef GWC_DELIVERY_INTERNAL_H
#define GWC_DELIVERY_INTERNAL_H

#include "common/clock.h"
#include "gateway-client/delivery/delivery.h"
#include "gateway-client/delivery/delivery_items.h"
#include "gateway-client/delivery/delivery_meter.h"

/* Waiting for another attempt; beyond, no event is begun that has not been tried. */
enum { DELIVERY_RETRIES_MAX = 1024 };
/* A watcher cannot tell us to come back later than this. */
#define DELIVERY_RETRY_AFTER_MS_MAX (INT64_C(3600) * 1000)
/* A reading of retries that failed is made again after. */
enum { DELIVERY_LOAD_AGAIN_MS = 1000 };
/* What became of a retry is in the outbox after this at the latest. */
enum { DELIVERY_WRITTEN_MS = 1000 };
/* Retries that ended lately: the outbox may still list them. */
enum { DELIVERY_RECENT_MAX = 1024 };

/* One request under way. */
struct delivery_attempt {
    struct gwc_delivery *delivery;
    struct delivery_attempt *next, *previous;
    size_t count;
    struct delivery_item **items; /* batch_max of each */
    struct gw_event **events;
};

struct delivery_recent {
    uint64_t sequence;
    int64_t at_ms;
};

struct gwc_delivery {
    struct gw_loop *loop;
    struct gwc_outbox *outbox;
    const struct gwc_watcher_spec *spec;
    struct gwc_sink *sink;
    struct gw_timer *timer; /* the next thing to do: a retry, the end of a pause, another read */
    struct gw_timer *cursor_timer;
    struct delivery_meter meter;
    size_t batch_max, concurrency;

    struct delivery_line queued;
    struct delivery_heap waiting;
    struct delivery_window window;
    struct delivery_attempt *attempts; /* under way */
    struct delivery_attempt *attempts_idle;
    struct delivery_item *items_idle;
    size_t in_flight; /* requests */
    size_t in_flight_events;
    size_t held; /* items in memory, and their bytes */
    size_t held_bytes;

    uint64_t tail; /* the newest event that was taken; what is behind it is in the outbox */
    bool behind;   /* there is something behind the tail */
    bool reading;
    int64_t read_again_ms;
    /* Behind the cursor, and yet with a retry written down: they ran ahead of one that was under way when we were
     * closed. Ascending; read from the outbox they are passed over. */
    uint64_t *ahead;
    size_t ahead_count, ahead_next;
    bool retries_left; /* the outbox holds retries that found no room here */
    int64_t retries_again_ms;
    struct delivery_recent recent[DELIVERY_RECENT_MAX];
    size_t recent_next;

    int64_t paused_until_ms; /* monotonic */
    unsigned unanswered;     /* attempts in a row */
    bool draining;
    bool cursor_moved;
    struct gwc_delivery_stats stats;
};

/* ---- delivery.c ---- */

/* After anything that may let something go on. */
void delivery_pump(struct gwc_delivery *delivery);

/* ---- delivery_outcome.c: all but new end what the item was about, or put it among the waiting ---- */

struct delivery_item *delivery_item_new(struct gwc_delivery *delivery,
                                        struct gw_event *event); /* NULL: no memory */
void delivery_item_drop(struct gwc_delivery *delivery, struct delivery_item *item);
void delivery_item_delivered(struct gwc_delivery *delivery, struct delivery_item *item);
void delivery_item_given_up(struct gwc_delivery *delivery, struct delivery_item *item, int status,
                            const char *reason);
void delivery_item_again(struct gwc_delivery *delivery, struct delivery_item *item,
                         const struct gwc_answer *answer);
void delivery_item_alone(struct gwc_delivery *delivery, struct delivery_item *item);
/* Its retry may still be in the outbox, although it is over. */
bool delivery_just_ended(const struct gwc_delivery *delivery, uint64_t sequence);
void delivery_report_cursor(struct gwc_delivery *delivery);
void delivery_items_free(struct gwc_delivery *delivery); /* the idle ones */

/* ---- delivery_attempt.c ---- */

/* As much as the watcher may get now. */
void delivery_send(struct gwc_delivery *delivery);
bool delivery_is_in_flight(const struct gwc_delivery *delivery, uint64_t sequence);
void delivery_attempts_drop(struct gwc_delivery *delivery); /* the sink is closed: nobody will answer */

/* ---- delivery_intake.c ---- */

/* Takes what there is room for; what is left is read again later. */
void delivery_take(struct gwc_delivery *delivery, struct gw_event *const *events, size_t count);
/* If we are behind, have room, and it is worth it. */
void delivery_read(struct gwc_delivery *delivery);

/* ---- delivery_retries.c ---- */

/* Opens the watcher in the outbox: the cursor, and the first retries. */
int delivery_begin(struct gwc_delivery *delivery) GW_MUST_CHECK;
/* Retries that the outbox has and we have not. */
int delivery_load(struct gwc_delivery *delivery) GW_MUST_CHECK;
void delivery_load_more(struct gwc_delivery *delivery); /* if some were left, and there is room */

#endif
