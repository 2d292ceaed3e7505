/* Retries: what failed before and is written down in the outbox: loaded at the start, and as there is room. */
#include "gateway-client/delivery/delivery_internal.h"

#include <stdlib.h>

static struct delivery_item *delivery_find_waiting(const struct gwc_delivery *delivery, uint64_t sequence)
{
    for (size_t i = 0; i < delivery->waiting.count; i++)
        if (delivery->waiting.items[i]->event->sequence == sequence)
            return delivery->waiting.items[i];
    return NULL;
}

static int64_t retry_due_ms(const struct gwc_delivery *delivery, const struct gwc_retry *retry)
{
    /* a clock that was set back must not make an event wait for ever */
    int64_t most = GW_MAX(delivery->spec->retry.max_ns / GW_NS_PER_MS, DELIVERY_RETRY_AFTER_MS_MAX);

    return gw_clock_monotonic_ms() + GW_MIN(GW_MAX(retry->next_attempt_ms - gw_clock_realtime_ms(), 0), most);
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
    item = delivery_item_new(delivery, retry->event);
    if (item == NULL)
        return false;
    item->attempts = retry->attempts;
    item->first_attempt_ms = retry->first_attempt_ms;
    item->had_retry = true;
    item->due_ms = retry_due_ms(delivery, retry);
    delivery_heap_push(&delivery->waiting, item);
    return true;
}

static void delivery_take_retries(struct gwc_delivery *delivery, const struct gwc_retry *retries,
                                  size_t count)
{
    delivery->retries_left = false;
    for (size_t i = 0; i < count; i++)
        if (!delivery_take_retry(delivery, &retries[i]))
            delivery->retries_left = true;
    delivery->retries_again_ms = gw_clock_monotonic_ms() + DELIVERY_WRITTEN_MS + 1;
}

static void retries_free(struct gwc_retry *retries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        gw_event_unref(retries[i].event);
    free(retries);
}

int delivery_load(struct gwc_delivery *delivery)
{
    struct gwc_retry *retries = NULL;
    uint64_t cursor;
    size_t count = 0;

    GW_TRY(gwc_outbox_watcher_open(delivery->outbox, delivery->spec->name, &cursor, &retries, &count));
    delivery_take_retries(delivery, retries, count);
    retries_free(retries, count);
    return 0;
}

void delivery_load_more(struct gwc_delivery *delivery)
{
    if (!delivery->retries_left || delivery->draining || delivery->waiting.count > DELIVERY_RETRIES_MAX / 2 ||
        delivery->retries_again_ms > gw_clock_monotonic_ms())
        return;
    if (delivery_load(delivery) != 0)
        delivery->retries_again_ms = gw_clock_monotonic_ms() + DELIVERY_LOAD_AGAIN_MS;
}

/* ---- at the start ---- */

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

int delivery_begin(struct gwc_delivery *delivery)
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
