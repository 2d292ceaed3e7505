/* Attempt: requests to the watcher; what goes into the next one, and what its answer means for all that was in it. */
#include "gateway-client/delivery/delivery_internal.h"

#include <stdio.h>
#include <stdlib.h>

/* One request of mode batch. */
#define DELIVERY_BATCH_BYTES_MAX ((size_t)1 << 20)
/* So many attempts in a row without an answer: the watcher is taken to be down, and only so many go out at once. */
enum { DELIVERY_UNANSWERED_MAX = 8, DELIVERY_PROBES_MAX = 2 };

/* ---- those under way ---- */

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

bool delivery_is_in_flight(const struct gwc_delivery *delivery, uint64_t sequence)
{
    for (const struct delivery_attempt *attempt = delivery->attempts; attempt != NULL;
         attempt = attempt->next)
        for (size_t i = 0; i < attempt->count; i++)
            if (attempt->events[i]->sequence == sequence)
                return true;
    return false;
}

void delivery_attempts_drop(struct gwc_delivery *delivery)
{
    while (delivery->attempts != NULL) {
        struct delivery_attempt *attempt = delivery->attempts;

        for (size_t i = 0; i < attempt->count; i++)
            delivery_item_drop(delivery, attempt->items[i]);
        attempt_put(attempt);
    }
    while (delivery->attempts_idle != NULL) {
        struct delivery_attempt *attempt = delivery->attempts_idle;

        delivery->attempts_idle = attempt->next;
        free(attempt);
    }
}

/* ---- answers ---- */

/* The watcher answers again: those that failed because it did not, need not wait any longer. */
static void delivery_recovered(struct gwc_delivery *delivery)
{
    int64_t now = gw_clock_monotonic_ms();

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
        delivery->stats.last_success_ms = gw_clock_realtime_ms();
        return;
    }
    delivery->stats.failures++;
    snprintf(delivery->stats.last_failure, sizeof(delivery->stats.last_failure), "%s", answer->reason);
    if ((answer->status == 429 || answer->status == 503) && answer->retry_after_ms > 0)
        delivery->paused_until_ms =
            GW_MAX(delivery->paused_until_ms,
                   gw_clock_monotonic_ms() + GW_MIN(answer->retry_after_ms, DELIVERY_RETRY_AFTER_MS_MAX));
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
            delivery_item_delivered(delivery, item);
        else if (answer->verdict == GWC_AGAIN)
            delivery_item_again(delivery, item, answer);
        else if (attempt->count > 1)
            delivery_item_alone(delivery, item);
        else
            delivery_item_given_up(delivery, item, answer->status, answer->reason);
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

    return !delivery->draining && delivery->in_flight < most &&
           delivery->paused_until_ms <= gw_clock_monotonic_ms();
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

    *ret_waited = item != NULL && item->due_ms <= gw_clock_monotonic_ms();
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
            item->first_attempt_ms = gw_clock_realtime_ms();
        bytes += item->event->size;
        attempt->items[attempt->count] = item;
        attempt->events[attempt->count] = item->event;
        attempt->count++;
        if (item->alone)
            return;
    }
}

/* False: nothing to send, or no memory to send it with. */
static bool delivery_send_one(struct gwc_delivery *delivery)
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

void delivery_send(struct gwc_delivery *delivery)
{
    while (delivery_may_send(delivery) && delivery_send_one(delivery))
        ;
}
