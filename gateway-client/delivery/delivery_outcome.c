/* Outcome: what becomes of an item, told to the cursor, the outbox and the metrics. */
#include "gateway-client/delivery/delivery_internal.h"

#include "common/backoff.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>

/* The cursor is handed to the outbox at most so often. */
enum { DELIVERY_CURSOR_MS = 20 };

/* ---- items ---- */

struct delivery_item *delivery_item_new(struct gwc_delivery *delivery, struct gw_event *event)
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

void delivery_item_drop(struct gwc_delivery *delivery, struct delivery_item *item)
{
    delivery->held--;
    delivery->held_bytes -= item->event->size;
    gw_event_unref(item->event);
    item->event = NULL;
    item->next = delivery->items_idle;
    delivery->items_idle = item;
}

void delivery_items_free(struct gwc_delivery *delivery)
{
    while (delivery->items_idle != NULL) {
        struct delivery_item *item = delivery->items_idle;

        delivery->items_idle = item->next;
        free(item);
    }
}

/* ---- the cursor ---- */

void delivery_report_cursor(struct gwc_delivery *delivery)
{
    if (delivery->cursor_moved)
        gwc_outbox_cursor(delivery->outbox, delivery->spec->name, delivery->window.cursor);
    delivery->cursor_moved = false;
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
    delivery->recent[delivery->recent_next] =
        (struct delivery_recent){item->event->sequence, gw_clock_monotonic_ms()};
    delivery->recent_next = (delivery->recent_next + 1) % DELIVERY_RECENT_MAX;
}

bool delivery_just_ended(const struct gwc_delivery *delivery, uint64_t sequence)
{
    for (size_t i = 0; i < DELIVERY_RECENT_MAX; i++)
        if (delivery->recent[i].sequence == sequence &&
            gw_clock_monotonic_ms() - delivery->recent[i].at_ms <= DELIVERY_WRITTEN_MS)
            return true;
    return false;
}

void delivery_item_delivered(struct gwc_delivery *delivery, struct delivery_item *item)
{
    struct gwc_progress progress = {.outcome = GWC_DELIVERED,
                                    .sequence = item->event->sequence,
                                    .had_retry = true,
                                    .attempts = item->attempts,
                                    .first_attempt_ms = item->first_attempt_ms};

    /* The cursor says it for all that never failed. What cannot be noted is delivered again after a restart. */
    if (item->had_retry)
        gwc_outbox_progress(delivery->outbox, delivery->spec->name, &progress);
    delivery_forget_retry(delivery, item);
    gw_series_add(delivery->meter.ends[DELIVERY_END_DELIVERED], 1);
    gw_series_observe(delivery->meter.seconds,
                      (double)(gw_clock_realtime_ns() - item->event->accepted_ns) / (double)GW_NS_PER_S);
    delivery->stats.delivered++;
    delivery_settle(delivery, item);
    delivery_item_drop(delivery, item);
}

/* As if the attempts had no end. */
static int64_t item_backoff_ms(const struct gwc_delivery *delivery, const struct delivery_item *item)
{
    const struct gwc_retry_spec *retry = &delivery->spec->retry;
    struct gw_backoff backoff = {
        .policy = {.initial_ms = GW_MAX(retry->initial_ns / GW_NS_PER_MS, 1),
                   .factor = retry->factor >= 1 ? retry->factor : 1,
                   .max_ms = GW_MAX(retry->max_ns / GW_NS_PER_MS, 1)},
        .attempt = item->attempts - 1,
    };

    return gw_backoff_next_ms(&backoff, gw_random_u64());
}

void delivery_item_given_up(struct gwc_delivery *delivery, struct delivery_item *item, int status,
                            const char *reason)
{
    bool kept = delivery->spec->dead_letter;
    struct gwc_progress progress = {.outcome = kept ? GWC_DEAD : GWC_DROPPED,
                                    .sequence = item->event->sequence,
                                    .had_retry = item->had_retry,
                                    .attempts = item->attempts,
                                    .first_attempt_ms = item->first_attempt_ms,
                                    .status = status,
                                    .reason = reason};

    if (!gwc_outbox_progress(delivery->outbox, delivery->spec->name, &progress)) {
        /* A dead letter that is not noted would be lost: the event keeps its place, and is tried once more. */
        item->due_ms = gw_clock_monotonic_ms() + item_backoff_ms(delivery, item);
        delivery_heap_push(&delivery->waiting, item);
        return;
    }
    delivery_forget_retry(delivery, item);
    gw_series_add(delivery->meter.ends[kept ? DELIVERY_END_DEAD : DELIVERY_END_DROPPED], 1);
    if (kept)
        delivery->stats.dead++;
    else
        delivery->stats.dropped++;
    delivery_settle(delivery, item);
    delivery_item_drop(delivery, item);
}

/* ---- how a delivery goes on ---- */

/* Until the next attempt; < 0: there is none. The last one is made when the deadline is over, not before. */
static int64_t item_wait_ms(const struct gwc_delivery *delivery, const struct delivery_item *item,
                            int64_t retry_after_ms)
{
    const struct gwc_retry_spec *retry = &delivery->spec->retry;
    int64_t wait_ms = item_backoff_ms(delivery, item);

    if (retry->attempts_max > 0 && item->attempts >= retry->attempts_max)
        return -1;
    wait_ms = GW_MAX(wait_ms, GW_MIN(retry_after_ms, DELIVERY_RETRY_AFTER_MS_MAX));
    if (retry->deadline_ns > 0) {
        int64_t left_ms = item->first_attempt_ms + retry->deadline_ns / GW_NS_PER_MS - gw_clock_realtime_ms();

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
    int64_t since_ms = GW_MAX(gw_clock_realtime_ms() - item->first_attempt_ms, 0);

    snprintf(reason, sizeof(reason), "given up after %u attempt%s in %s: %.200s", item->attempts,
             item->attempts == 1 ? "" : "s", gw_duration_format(duration, since_ms * GW_NS_PER_MS),
             answer->reason);
    delivery_item_given_up(delivery, item, answer->status, reason);
}

static void item_wait(struct gwc_delivery *delivery, struct delivery_item *item, int64_t wait_ms,
                      const char *reason)
{
    struct gwc_progress progress = {.outcome = GWC_RETRY,
                                    .sequence = item->event->sequence,
                                    .had_retry = item->had_retry,
                                    .attempts = item->attempts,
                                    .first_attempt_ms = item->first_attempt_ms,
                                    .next_attempt_ms = gw_clock_realtime_ms() + wait_ms,
                                    .reason = reason};

    /* Not noted: it keeps its place, and the cursor stays in front of it. */
    if (gwc_outbox_progress(delivery->outbox, delivery->spec->name, &progress)) {
        item->had_retry = true;
        delivery_settle(delivery, item);
    }
    item->due_ms = gw_clock_monotonic_ms() + wait_ms;
    delivery_heap_push(&delivery->waiting, item);
}

void delivery_item_again(struct gwc_delivery *delivery, struct delivery_item *item,
                         const struct gwc_answer *answer)
{
    int64_t wait_ms = item_wait_ms(delivery, item, answer->retry_after_ms);

    item->unanswered = answer->status == 0;
    if (wait_ms < 0)
        item_given_up_late(delivery, item, answer);
    else
        item_wait(delivery, item, wait_ms, answer->reason);
}

/* One bad event spoils its whole batch: each goes once more, by itself, to find it. */
void delivery_item_alone(struct gwc_delivery *delivery, struct delivery_item *item)
{
    item->alone = true;
    item->due_ms = gw_clock_monotonic_ms();
    delivery_heap_push(&delivery->waiting, item);
}
