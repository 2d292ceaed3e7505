/* Delivery: brings the events of the outbox to one watcher. */
#include "gateway-client/delivery.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/text.h"
#include "gateway-client/delivery_items.h"
#include "gateway-client/delivery_meter.h"

#include <stdio.h>
#include <stdlib.h>

/* What is held in memory of one watcher; what is more stays in the outbox until there is room. */
enum { DELIVERY_EVENTS_MAX = 4096 };
#define DELIVERY_BYTES_MAX ((size_t)16 << 20)
/* Waiting for another attempt; beyond, no event is begun that has not been tried. */
enum { DELIVERY_RETRIES_MAX = 1024 };
/* From the cursor to the newest event in memory: how far others may run ahead of one slow answer. */
enum { DELIVERY_SPAN_MAX = 65536 };
/* One request of mode batch. */
#define DELIVERY_BATCH_BYTES_MAX ((size_t)1 << 20)
/* A watcher cannot tell us to come back later than this. */
#define DELIVERY_RETRY_AFTER_MS_MAX (INT64_C(3600) * 1000)
/* So many attempts in a row without an answer: the watcher is taken to be down, and only so many go out at once. */
enum { DELIVERY_UNANSWERED_MAX = 8, DELIVERY_PROBES_MAX = 2 };
/* The cursor is handed to the outbox at most so often. */
enum { DELIVERY_CURSOR_MS = 20 };
/* A read that found nothing where something was just committed is made again after; one of retries that failed, too. */
enum { DELIVERY_READ_AGAIN_MS = 50, DELIVERY_LOAD_AGAIN_MS = 1000 };
/* There was no memory to send with. */
enum { DELIVERY_MEMORY_AGAIN_MS = 100 };
/* What became of a retry is in the outbox after this at the latest. */
enum { DELIVERY_WRITTEN_MS = 1000 };
/* Retries that ended lately: the outbox may still list them. */
enum { DELIVERY_RECENT_MAX = 1024 };

#define DELIVERY_NEVER INT64_MAX

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
    struct gw_timer *timer;        /* the next thing to do: a retry, the end of a pause, another read */
    struct gw_timer *cursor_timer;
    struct delivery_meter meter;
    size_t batch_max, concurrency;

    struct delivery_line queued;
    struct delivery_heap waiting;
    struct delivery_window window;
    struct delivery_attempt *attempts; /* under way */
    struct delivery_attempt *attempts_idle;
    struct delivery_item *items_idle;
    size_t in_flight;                  /* requests */
    size_t in_flight_events;
    size_t held;                       /* items in memory, and their bytes */
    size_t held_bytes;

    uint64_t tail;     /* the newest event that was taken; what is behind it is in the outbox */
    bool behind;       /* there is something behind the tail */
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

static void delivery_pump(struct gwc_delivery *delivery);

static int64_t now_ms(void)
{
    return gw_clock_monotonic_ns() / GW_NS_PER_MS;
}

static int64_t realtime_ms(void)
{
    return gw_clock_realtime_ns() / GW_NS_PER_MS;
}

/* ---- items ---- */

static struct delivery_item *item_new(struct gwc_delivery *delivery, struct gw_event *event)
{
    struct delivery_item *item = delivery->items_idle;

    if (item != NULL)
        delivery->items_idle = item->next;
    else if ((item = malloc(sizeof(*item))) == NULL)
        return NULL;
    *item = (struct delivery_item){.event = gw_event_ref(event)};
    delivery->held++;
    delivery->held_bytes += event->size;
    return item;
}

static void item_drop(struct gwc_delivery *delivery, struct delivery_item *item)
{
    delivery->held--;
    delivery->held_bytes -= item->event->size;
    gw_event_unref(item->event);
    item->event = NULL;
    item->next = delivery->items_idle;
    delivery->items_idle = item;
}

/* ---- the cursor ---- */

static void delivery_report_cursor(struct gwc_delivery *delivery)
{
    if (delivery->cursor_moved)
        gwc_outbox_cursor(delivery->outbox, delivery->spec->name, delivery->window.cursor);
    delivery->cursor_moved = false;
}

static void on_cursor_timer(void *user)
{
    delivery_report_cursor(user);
}

static void delivery_settle(struct gwc_delivery *delivery, struct delivery_item *item)
{
    if (!delivery_window_settle(&delivery->window, item) || delivery->cursor_moved)
        return;
    delivery->cursor_moved = true;
    gw_timer_start(delivery->cursor_timer, DELIVERY_CURSOR_MS);
}

/* ---- how a delivery ends ---- */

static void delivery_forget_retry(struct gwc_delivery *delivery, const struct delivery_item *item)
{
    if (!item->had_retry)
        return;
    delivery->recent[delivery->recent_next] = (struct delivery_recent){item->event->sequence, now_ms()};
    delivery->recent_next = (delivery->recent_next + 1) % DELIVERY_RECENT_MAX;
}

static bool delivery_just_ended(const struct gwc_delivery *delivery, uint64_t sequence)
{
    for (size_t i = 0; i < DELIVERY_RECENT_MAX; i++)
        if (delivery->recent[i].sequence == sequence &&
            now_ms() - delivery->recent[i].at_ms <= DELIVERY_WRITTEN_MS)
            return true;
    return false;
}

static void item_delivered(struct gwc_delivery *delivery, struct delivery_item *item)
{
    struct gwc_progress progress = {.outcome = GWC_DELIVERED,
                                    .sequence = item->event->sequence,
                                    .had_retry = true,
                                    .attempts = item->attempts,
                                    .first_attempt_ms = item->first_attempt_ms};

    /* the cursor says it for all that never failed */
    if (item->had_retry)
        gwc_outbox_progress(delivery->outbox, delivery->spec->name, &progress);
    delivery_forget_retry(delivery, item);
    gw_series_add(delivery->meter.ends[DELIVERY_END_DELIVERED], 1);
    gw_series_observe(delivery->meter.seconds,
                      (double)(gw_clock_realtime_ns() - item->event->accepted_ns) / (double)GW_NS_PER_S);
    delivery->stats.delivered++;
    delivery_settle(delivery, item);
    item_drop(delivery, item);
}

static void item_given_up(struct gwc_delivery *delivery, struct delivery_item *item, int status, const char *reason)
{
    bool kept = delivery->spec->dead_letter;
    struct gwc_progress progress = {.outcome = kept ? GWC_DEAD : GWC_DROPPED,
                                    .sequence = item->event->sequence,
                                    .had_retry = item->had_retry,
                                    .attempts = item->attempts,
                                    .first_attempt_ms = item->first_attempt_ms,
                                    .status = status,
                                    .reason = reason};

    gwc_outbox_progress(delivery->outbox, delivery->spec->name, &progress);
    delivery_forget_retry(delivery, item);
    gw_series_add(delivery->meter.ends[kept ? DELIVERY_END_DEAD : DELIVERY_END_DROPPED], 1);
    if (kept)
        delivery->stats.dead++;
    else
        delivery->stats.dropped++;
    delivery_settle(delivery, item);
    item_drop(delivery, item);
}

/* ---- how a delivery goes on ---- */

/* Until the next attempt; < 0: there is none. The last one is made when the deadline is over, not before. */
static int64_t item_wait_ms(const struct gwc_delivery *delivery, const struct delivery_item *item,
                            int64_t retry_after_ms)
{
    const struct gwc_retry_spec *retry = &delivery->spec->retry;
    struct gw_backoff backoff = {
        .policy = {.initial_ms = GW_MAX(retry->initial_ns / GW_NS_PER_MS, 1),
                   .factor = retry->factor >= 1 ? retry->factor : 1,
                   .max_ms = GW_MAX(retry->max_ns / GW_NS_PER_MS, 1)},
        .attempt = item->attempts - 1,
    };
    int64_t wait_ms = gw_backoff_next_ms(&backoff, gw_random_u64());

    if (retry->attempts_max > 0 && item->attempts >= retry->attempts_max)
        return -1;
    wait_ms = GW_MAX(wait_ms, GW_MIN(retry_after_ms, DELIVERY_RETRY_AFTER_MS_MAX));
    if (retry->deadline_ns > 0) {
        int64_t left_ms = item->first_attempt_ms + retry->deadline_ns / GW_NS_PER_MS - realtime_ms();

        if (left_ms <= 0)
            return -1;
        wait_ms = GW_MIN(wait_ms, left_ms);
    }
    return wait_ms;
}

static void item_given_up_late(struct gwc_delivery *delivery, struct delivery_item *item,
                               const struct gwc_answer *answer)
{
    char duration[GW_DURATION_MAX], reason[320];
    int64_t since_ms = GW_MAX(realtime_ms() - item->first_attempt_ms, 0);

    snprintf(reason, sizeof(reason), "given up after %u attempt%s in %s: %.200s", item->attempts,
             item->attempts == 1 ? "" : "s", gw_duration_format(duration, since_ms * GW_NS_PER_MS), answer->reason);
    item_given_up(delivery, item, answer->status, reason);
}

static void item_wait(struct gwc_delivery *delivery, struct delivery_item *item, int64_t wait_ms,
                      const char *reason)
{
    struct gwc_progress progress = {.outcome = GWC_RETRY,
                                    .sequence = item->event->sequence,
                                    .had_retry = item->had_retry,
                                    .attempts = item->attempts,
                                    .first_attempt_ms = item->first_attempt_ms,
                                    .next_attempt_ms = realtime_ms() + wait_ms,
                                    .reason = reason};

    gwc_outbox_progress(delivery->outbox, delivery->spec->name, &progress);
    item->had_retry = true;
    item->due_ms = now_ms() + wait_ms;
    delivery_settle(delivery, item);
    delivery_heap_push(&delivery->waiting, item);
}

static void item_again(struct gwc_delivery *delivery, struct delivery_item *item, const struct gwc_answer *answer)
{
    int64_t wait_ms = item_wait_ms(delivery, item, answer->retry_after_ms);

    item->unanswered = answer->status == 0;
    if (wait_ms < 0)
        item_given_up_late(delivery, item, answer);
    else
        item_wait(delivery, item, wait_ms, answer->reason);
}

/* One bad event spoils its whole batch: each goes once more, by itself, to find it. */
static void item_alone(struct gwc_delivery *delivery, struct delivery_item *item)
{
    item->alone = true;
    item->due_ms = now_ms();
    delivery_heap_push(&delivery->waiting, item);
}

/* ---- attempts ---- */

static struct delivery_attempt *attempt_get(struct gwc_delivery *delivery)
{
    struct delivery_attempt *attempt = delivery->attempts_idle;

    if (attempt != NULL) {
        delivery->attempts_idle = attempt->next;
    } else {
        attempt = calloc(1, sizeof(*attempt) + delivery->batch_max * (sizeof(void *) + sizeof(void *)));
        if (attempt == NULL)
            return NULL;
        attempt->delivery = delivery;
        attempt->items = (struct delivery_item **)(void *)(attempt + 1);
        attempt->events = (struct gw_event **)(void *)(attempt->items + delivery->batch_max);
    }
    attempt->count = 0;
    attempt->previous = NULL;
    attempt->next = delivery->attempts;
    if (attempt->next != NULL)
        attempt->next->previous = attempt;
    delivery->attempts = attempt;
    return attempt;
}

static void attempt_put(struct delivery_attempt *attempt)
{
    struct gwc_delivery *delivery = attempt->delivery;

    if (attempt->previous != NULL)
        attempt->previous->next = attempt->next;
    else
        delivery->attempts = attempt->next;
    if (attempt->next != NULL)
        attempt->next->previous = attempt->previous;
    attempt->next = delivery->attempts_idle;
    delivery->attempts_idle = attempt;
}

/* The watcher answers again: those that failed because it did not, need not wait any longer. */
static void delivery_recovered(struct gwc_delivery *delivery)
{
    int64_t now = now_ms();

    for (size_t i = 0; i < delivery->waiting.count; i++) {
        struct delivery_item *item = delivery->waiting.items[i];

        if (!item->unanswered || item->due_ms <= now)
            continue;
        /* moves up only, to places that were looked at already */
        item->due_ms = now;
        delivery_heap_sooner(&delivery->waiting, item);
    }
}

static void delivery_note(struct gwc_delivery *delivery, const struct gwc_answer *answer)
{
    bool was_down = delivery->unanswered >= DELIVERY_UNANSWERED_MAX;

    delivery_meter_attempt(&delivery->meter, answer->status);
    delivery->stats.attempts++;
    delivery->stats.failing = answer->verdict != GWC_SENT;
    if (answer->status == 0) {
        delivery->unanswered++;
    } else {
        delivery->unanswered = 0;
        if (was_down)
            delivery_recovered(delivery);
    }
    if (answer->verdict == GWC_SENT) {
        delivery->stats.last_success_ms = realtime_ms();
        return;
    }
    delivery->stats.failures++;
    snprintf(delivery->stats.last_failure, sizeof(delivery->stats.last_failure), "%s", answer->reason);
    if ((answer->status == 429 || answer->status == 503) && answer->retry_after_ms > 0)
        delivery->paused_until_ms =
            GW_MAX(delivery->paused_until_ms,
                   now_ms() + GW_MIN(answer->retry_after_ms, DELIVERY_RETRY_AFTER_MS_MAX));
}

static void attempt_end(struct delivery_attempt *attempt, const struct gwc_answer *answer)
{
    struct gwc_delivery *delivery = attempt->delivery;

    delivery->in_flight--;
    delivery->in_flight_events -= attempt->count;
    delivery_note(delivery, answer);
    for (size_t i = 0; i < attempt->count; i++) {
        struct delivery_item *item = attempt->items[i];

        item->attempts++;
        if (answer->verdict == GWC_SENT)
            item_delivered(delivery, item);
        else if (answer->verdict == GWC_AGAIN)
            item_again(delivery, item, answer);
        else if (attempt->count > 1)
            item_alone(delivery, item);
        else
            item_given_up(delivery, item, answer->status, answer->reason);
    }
    attempt_put(attempt);
}

static void on_answer(void *user, const struct gwc_answer *answer)
{
    struct delivery_attempt *attempt = user;
    struct gwc_delivery *delivery = attempt->delivery;

    attempt_end(attempt, answer);
    delivery_pump(delivery);
}

/* ---- what goes out next ---- */

static bool delivery_is_down(const struct gwc_delivery *delivery)
{
    return delivery->unanswered >= DELIVERY_UNANSWERED_MAX;
}

static bool delivery_may_send(const struct gwc_delivery *delivery)
{
    size_t most = delivery_is_down(delivery) ? GW_MIN(delivery->concurrency, DELIVERY_PROBES_MAX)
                                             : delivery->concurrency;

    return !delivery->draining && delivery->in_flight < most && delivery->paused_until_ms <= now_ms();
}

/* Untried events: not while there are retries enough to try a watcher that is down, and never more than could wait. */
static bool delivery_may_begin(const struct gwc_delivery *delivery, size_t taken)
{
    if (delivery->waiting.count + delivery->in_flight_events + taken >= DELIVERY_RETRIES_MAX)
        return false;
    return !delivery_is_down(delivery) || delivery->waiting.count + delivery->in_flight_events + taken == 0;
}

static struct delivery_item *delivery_look(struct gwc_delivery *delivery, size_t taken, bool *ret_waited)
{
    struct delivery_item *item = delivery_heap_top(&delivery->waiting);

    *ret_waited = item != NULL && item->due_ms <= now_ms();
    if (*ret_waited)
        return item;
    return delivery_may_begin(delivery, taken) ? delivery->queued.first : NULL;
}

static void attempt_fill(struct gwc_delivery *delivery, struct delivery_attempt *attempt)
{
    size_t bytes = 0;
    bool waited;

    while (attempt->count < delivery->batch_max) {
        struct delivery_item *item = delivery_look(delivery, attempt->count, &waited);

        if (item == NULL)
            return;
        if (attempt->count > 0 && (item->alone || bytes + item->event->size > DELIVERY_BATCH_BYTES_MAX))
            return;
        if (waited)
            delivery_heap_pop(&delivery->waiting);
        else
            delivery_line_pop(&delivery->queued);
        if (item->first_attempt_ms == 0)
            item->first_attempt_ms = realtime_ms();
        bytes += item->event->size;
        attempt->items[attempt->count] = item;
        attempt->events[attempt->count] = item->event;
        attempt->count++;
        if (item->alone)
            return;
    }
}

/* False: nothing to send, or no memory to send it with. */
static bool delivery_send(struct gwc_delivery *delivery)
{
    struct delivery_attempt *attempt = attempt_get(delivery);
    int fault;

    if (attempt == NULL)
        return false;
    attempt_fill(delivery, attempt);
    if (attempt->count == 0) {
        attempt_put(attempt);
        return false;
    }
    delivery->in_flight++;
    delivery->in_flight_events += attempt->count;
    fault = delivery->sink->ops->send(delivery->sink, attempt->events, attempt->count, on_answer, attempt);
    if (fault != 0) {
        struct gwc_answer answer = {.verdict = GWC_AGAIN, .retry_after_ms = -1, .reason = strerror(-fault)};

        attempt_end(attempt, &answer);
    }
    return true;
}

/* ---- from the outbox ---- */

static bool delivery_has_room(const struct gwc_delivery *delivery)
{
    return delivery->held < DELIVERY_EVENTS_MAX && delivery->held_bytes < DELIVERY_BYTES_MAX &&
           delivery_window_count(&delivery->window) < DELIVERY_SPAN_MAX;
}

static bool delivery_is_ahead(struct gwc_delivery *delivery, uint64_t sequence)
{
    while (delivery->ahead_next < delivery->ahead_count && delivery->ahead[delivery->ahead_next] < sequence)
        delivery->ahead_next++;
    return delivery->ahead_next < delivery->ahead_count && delivery->ahead[delivery->ahead_next] == sequence;
}

/* Takes what there is room for; what is left is read again later. */
static void delivery_take(struct gwc_delivery *delivery, struct gw_event *const *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct delivery_item *item;

        if (events[i]->sequence <= delivery->tail)
            continue;
        if (delivery_is_ahead(delivery, events[i]->sequence)) {
            delivery->tail = events[i]->sequence;
            continue;
        }
        item = delivery_has_room(delivery) ? item_new(delivery, events[i]) : NULL;
        if (item == NULL) {
            delivery->behind = true;
            return;
        }
        if (delivery_window_add(&delivery->window, item) != 0) {
            item_drop(delivery, item);
            delivery->behind = true;
            return;
        }
        delivery_line_push(&delivery->queued, item);
        delivery->tail = events[i]->sequence;
    }
}

/* What was committed while we were behind came to us in vain: it is read, too. */
static void on_read(void *user, struct gw_event *const *events, size_t count)
{
    struct gwc_delivery *delivery = user;
    uint64_t before = delivery->tail;

    delivery->reading = false;
    delivery->behind = false;
    delivery_take(delivery, events, count);
    if (gwc_outbox_last_sequence(delivery->outbox) > delivery->tail)
        delivery->behind = true;
    delivery->read_again_ms = delivery->behind && delivery->tail == before ? now_ms() + DELIVERY_READ_AGAIN_MS : 0;
    delivery_pump(delivery);
}

/* Not for a handful: half of the room is free, or there is nothing else to do. */
static void delivery_read(struct gwc_delivery *delivery)
{
    bool worth_it = delivery->queued.count == 0 || (delivery->held < DELIVERY_EVENTS_MAX / 2 &&
                                                    delivery->held_bytes < DELIVERY_BYTES_MAX / 2);

    if (!delivery->behind || delivery->reading || delivery->draining || !worth_it || !delivery_has_room(delivery) ||
        delivery->read_again_ms > now_ms())
        return;
    delivery->reading = true;
    gwc_outbox_read(delivery->outbox, delivery->tail, DELIVERY_EVENTS_MAX - delivery->held,
                    DELIVERY_BYTES_MAX - delivery->held_bytes, on_read, delivery);
}

static struct delivery_item *delivery_find_waiting(const struct gwc_delivery *delivery, uint64_t sequence)
{
    for (size_t i = 0; i < delivery->waiting.count; i++)
        if (delivery->waiting.items[i]->event->sequence == sequence)
            return delivery->waiting.items[i];
    return NULL;
}

static bool delivery_is_in_flight(const struct gwc_delivery *delivery, uint64_t sequence)
{
    for (const struct delivery_attempt *attempt = delivery->attempts; attempt != NULL; attempt = attempt->next)
        for (size_t i = 0; i < attempt->count; i++)
            if (attempt->events[i]->sequence == sequence)
                return true;
    return false;
}

static int64_t retry_due_ms(const struct gwc_delivery *delivery, const struct gwc_retry *retry)
{
    /* a clock that was set back must not make an event wait for ever */
    int64_t most = GW_MAX(delivery->spec->retry.max_ns / GW_NS_PER_MS, DELIVERY_RETRY_AFTER_MS_MAX);

    return now_ms() + GW_MIN(GW_MAX(retry->next_attempt_ms - realtime_ms(), 0), most);
}

/* False: no room for it now. */
static bool delivery_take_retry(struct gwc_delivery *delivery, const struct gwc_retry *retry)
{
    struct delivery_item *item = delivery_find_waiting(delivery, retry->event->sequence);

    if (item != NULL) {
        int64_t due_ms = retry_due_ms(delivery, retry);

        if (due_ms < item->due_ms) {
            item->due_ms = due_ms;
            delivery_heap_sooner(&delivery->waiting, item);
        }
        return true;
    }
    if (delivery_is_in_flight(delivery, retry->event->sequence))
        return true;
    if (delivery_just_ended(delivery, retry->event->sequence) ||
        delivery->waiting.count + delivery->in_flight_events >= DELIVERY_RETRIES_MAX)
        return false;
    item = item_new(delivery, retry->event);
    if (item == NULL)
        return false;
    item->attempts = retry->attempts;
    item->first_attempt_ms = retry->first_attempt_ms;
    item->had_retry = true;
    item->due_ms = retry_due_ms(delivery, retry);
    delivery_heap_push(&delivery->waiting, item);
    return true;
}

static void delivery_take_retries(struct gwc_delivery *delivery, const struct gwc_retry *retries, size_t count)
{
    delivery->retries_left = false;
    for (size_t i = 0; i < count; i++)
        if (!delivery_take_retry(delivery, &retries[i]))
            delivery->retries_left = true;
    delivery->retries_again_ms = now_ms() + DELIVERY_WRITTEN_MS + 1;
}

static void retries_free(struct gwc_retry *retries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gw_event_unref(retries[i].event);
    free(retries);
}

/* Retries that the outbox has and we have not. */
static int delivery_load(struct gwc_delivery *delivery)
{
    struct gwc_retry *retries = NULL;
    uint64_t cursor;
    size_t count = 0;

    GW_TRY(gwc_outbox_watcher_open(delivery->outbox, delivery->spec->name, &cursor, &retries, &count));
    delivery_take_retries(delivery, retries, count);
    retries_free(retries, count);
    return 0;
}

static void delivery_load_more(struct gwc_delivery *delivery)
{
    if (!delivery->retries_left || delivery->draining || delivery->waiting.count > DELIVERY_RETRIES_MAX / 2 ||
        delivery->retries_again_ms > now_ms())
        return;
    if (delivery_load(delivery) != 0)
        delivery->retries_again_ms = now_ms() + DELIVERY_LOAD_AGAIN_MS;
}

/* ---- turning the wheel ---- */

static uint64_t delivery_pending(const struct gwc_delivery *delivery)
{
    uint64_t last = gwc_outbox_last_sequence(delivery->outbox), ahead = delivery->ahead_count - delivery->ahead_next;

    return delivery->held + (last > delivery->tail + ahead ? last - delivery->tail - ahead : 0);
}

/* When to look again without being told. What waits for an answer to make room needs no timer. */
static int64_t delivery_next_ms(const struct gwc_delivery *delivery)
{
    const struct delivery_item *item = delivery_heap_top(&delivery->waiting);
    int64_t now = now_ms(), next = DELIVERY_NEVER;

    if (item != NULL && GW_MAX(item->due_ms, delivery->paused_until_ms) > now)
        next = GW_MAX(item->due_ms, delivery->paused_until_ms);
    else if ((item != NULL || delivery->queued.count > 0) && delivery->in_flight == 0)
        next = GW_MAX(delivery->paused_until_ms, now + DELIVERY_MEMORY_AGAIN_MS);
    if (delivery->queued.count > 0 && delivery->paused_until_ms > now)
        next = GW_MIN(next, delivery->paused_until_ms);
    if (delivery->behind && !delivery->reading && delivery->read_again_ms > now)
        next = GW_MIN(next, delivery->read_again_ms);
    if (delivery->retries_left && delivery->waiting.count <= DELIVERY_RETRIES_MAX / 2)
        next = GW_MIN(next, delivery->retries_again_ms);
    return next;
}

static void delivery_set_timer(struct gwc_delivery *delivery)
{
    int64_t next_ms = delivery->draining ? DELIVERY_NEVER : delivery_next_ms(delivery);

    if (next_ms == DELIVERY_NEVER)
        gw_timer_stop(delivery->timer);
    else
        gw_timer_start(delivery->timer, GW_MAX(next_ms - now_ms(), 1));
}

static void delivery_pump(struct gwc_delivery *delivery)
{
    while (delivery_may_send(delivery) && delivery_send(delivery))
        ;
    delivery_load_more(delivery);
    delivery_read(delivery);
    delivery_set_timer(delivery);
    gw_series_set(delivery->meter.pending, (double)delivery_pending(delivery));
    gw_series_set(delivery->meter.in_flight, (double)delivery->in_flight);
}

static void on_timer(void *user)
{
    delivery_pump(user);
}

void gwc_delivery_committed(struct gwc_delivery *delivery, struct gw_event *const *events, size_t count)
{
    if (!delivery->behind)
        delivery_take(delivery, events, count);
    /* told of less than was committed: the loop was slow */
    if (count == 0)
        delivery->behind = gwc_outbox_last_sequence(delivery->outbox) > delivery->tail;
    delivery_pump(delivery);
}

void gwc_delivery_changed(struct gwc_delivery *delivery)
{
    if (delivery_load(delivery) != 0) {
        delivery->retries_left = true;
        delivery->retries_again_ms = now_ms() + DELIVERY_LOAD_AGAIN_MS;
    }
    delivery_pump(delivery);
}

/* ---- life ---- */

static int compare_sequences(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

static int delivery_find_ahead(struct gwc_delivery *delivery, const struct gwc_retry *retries, size_t count)
{
    delivery->ahead = calloc(count + 1, sizeof(*delivery->ahead));
    if (delivery->ahead == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < count; i++)
        if (retries[i].event->sequence > delivery->tail)
            delivery->ahead[delivery->ahead_count++] = retries[i].event->sequence;
    qsort(delivery->ahead, delivery->ahead_count, sizeof(*delivery->ahead), compare_sequences);
    return 0;
}

static int delivery_begin(struct gwc_delivery *delivery)
{
    struct gwc_retry *retries = NULL;
    uint64_t cursor = 0;
    size_t count = 0;
    int fault;

    GW_TRY(gwc_outbox_watcher_open(delivery->outbox, delivery->spec->name, &cursor, &retries, &count));
    delivery->window.cursor = delivery->tail = cursor;
    delivery->behind = gwc_outbox_last_sequence(delivery->outbox) > cursor;
    fault = delivery_find_ahead(delivery, retries, count);
    if (fault == 0)
        delivery_take_retries(delivery, retries, count);
    retries_free(retries, count);
    return fault;
}

static int delivery_prepare(struct gwc_delivery *delivery, struct gw_http *http, struct gw_metrics *metrics,
                            struct gw_reason *reason)
{
    const struct gwc_watcher_spec *spec = delivery->spec;

    delivery->concurrency = (size_t)GW_MAX(spec->concurrency, 1);
    delivery->batch_max =
        spec->mode == GW_EVENT_BATCH ? (size_t)GW_MIN(GW_MAX(spec->batch_max, 1), DELIVERY_RETRIES_MAX) : 1;
    delivery_meter_open(&delivery->meter, metrics, spec->name);
    GW_TRY(gw_timer_open(&delivery->timer, delivery->loop, on_timer, delivery));
    GW_TRY(gw_timer_open(&delivery->cursor_timer, delivery->loop, on_cursor_timer, delivery));
    GW_TRY(delivery_heap_open(&delivery->waiting, DELIVERY_RETRIES_MAX));
    /* first the outbox: events that come while a file or a secret of the sink is still missing are kept for it */
    GW_TRY(delivery_begin(delivery));
    return gwc_sink_http_open(&delivery->sink, http, spec, reason);
}

int gwc_delivery_open(struct gwc_delivery **ret_delivery, struct gw_loop *loop, struct gwc_outbox *outbox,
                      struct gw_http *http, const struct gwc_watcher_spec *spec, struct gw_metrics *metrics,
                      struct gw_reason *reason)
{
    struct gwc_delivery *delivery = calloc(1, sizeof(*delivery));
    int fault;

    if (delivery == NULL)
        return GW_RAISE(-ENOMEM);
    delivery->loop = loop;
    delivery->outbox = outbox;
    delivery->spec = spec;
    gw_reason_set(reason, "%s", "");
    fault = delivery_prepare(delivery, http, metrics, reason);
    if (fault != 0) {
        if (reason != NULL && reason->text[0] == '\0')
            gw_reason_set(reason, "watcher %s: %s", spec->name, strerror(-fault));
        gwc_delivery_close(delivery);
        return gw_fault_pass(fault, __FILE__, __LINE__, __func__);
    }
    *ret_delivery = delivery;
    delivery_pump(delivery);
    return 0;
}

static void delivery_drop_all(struct gwc_delivery *delivery)
{
    struct delivery_item *item;

    while (delivery->attempts != NULL) {
        struct delivery_attempt *attempt = delivery->attempts;

        for (size_t i = 0; i < attempt->count; i++)
            item_drop(delivery, attempt->items[i]);
        attempt_put(attempt);
    }
    while ((item = delivery_line_pop(&delivery->queued)) != NULL)
        item_drop(delivery, item);
    while ((item = delivery_heap_pop(&delivery->waiting)) != NULL)
        item_drop(delivery, item);
    assert(delivery->held == 0 && delivery->held_bytes == 0);
}

static void delivery_free_idle(struct gwc_delivery *delivery)
{
    while (delivery->items_idle != NULL) {
        struct delivery_item *item = delivery->items_idle;

        delivery->items_idle = item->next;
        free(item);
    }
    while (delivery->attempts_idle != NULL) {
        struct delivery_attempt *attempt = delivery->attempts_idle;

        delivery->attempts_idle = attempt->next;
        free(attempt);
    }
}

struct gwc_delivery *gwc_delivery_close(struct gwc_delivery *delivery)
{
    if (delivery == NULL)
        return NULL;
    if (delivery->reading)
        gwc_outbox_read_cancel(delivery->outbox, delivery);
    if (delivery->sink != NULL)
        delivery->sink->ops->close(delivery->sink);
    delivery_report_cursor(delivery);
    gw_timer_close(delivery->timer);
    gw_timer_close(delivery->cursor_timer);
    delivery_drop_all(delivery);
    delivery_free_idle(delivery);
    free(delivery->ahead);
    delivery_heap_done(&delivery->waiting);
    delivery_window_done(&delivery->window);
    delivery_meter_done(&delivery->meter);
    free(delivery);
    return NULL;
}

bool gwc_delivery_drain(struct gwc_delivery *delivery)
{
    delivery->draining = true;
    delivery_set_timer(delivery);
    return delivery->in_flight == 0;
}

const char *gwc_delivery_name(const struct gwc_delivery *delivery)
{
    return delivery->spec->name;
}

static int64_t delivery_oldest_ms(const struct gwc_delivery *delivery)
{
    const struct delivery_item *item = delivery_window_oldest(&delivery->window);
    int64_t oldest = item != NULL ? item->event->accepted_ns : 0;

    for (size_t i = 0; i < delivery->waiting.count; i++) {
        int64_t accepted = delivery->waiting.items[i]->event->accepted_ns;

        if (oldest == 0 || accepted < oldest)
            oldest = accepted;
    }
    return oldest / GW_NS_PER_MS;
}

void gwc_delivery_stats(struct gwc_delivery *delivery, struct gwc_delivery_stats *ret_stats)
{
    *ret_stats = delivery->stats;
    ret_stats->pending = delivery_pending(delivery);
    ret_stats->in_flight = delivery->in_flight;
    ret_stats->waiting = delivery->waiting.count;
    ret_stats->oldest_pending_ms = delivery_oldest_ms(delivery);
}
