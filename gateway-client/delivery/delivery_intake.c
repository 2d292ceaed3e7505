/* Intake: events that were never tried, as they are committed or, when we are behind, read from the outbox. */
#include "gateway-client/delivery/delivery_internal.h"

/* What is held in memory of one watcher; what is more stays in the outbox until there is room. */
enum { DELIVERY_EVENTS_MAX = 4096 };
#define DELIVERY_BYTES_MAX ((size_t)16 << 20)
/* From the cursor to the newest event in memory: how far others may run ahead of one slow answer. */
enum { DELIVERY_SPAN_MAX = 65536 };
/* A read that found nothing where something was just committed is made again after. */
enum { DELIVERY_READ_AGAIN_MS = 50 };

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

void delivery_take(struct gwc_delivery *delivery, struct gw_event *const *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct delivery_item *item;

        if (events[i]->sequence <= delivery->tail)
            continue;
        if (delivery_is_ahead(delivery, events[i]->sequence)) {
            delivery->tail = events[i]->sequence;
            continue;
        }
        item = delivery_has_room(delivery) ? delivery_item_new(delivery, events[i]) : NULL;
        if (item == NULL) {
            delivery->behind = true;
            return;
        }
        if (delivery_window_add(&delivery->window, item) != 0) {
            delivery_item_drop(delivery, item);
            delivery->behind = true;
            return;
        }
        delivery_line_push(&delivery->queued, item);
        delivery->tail = events[i]->sequence;
    }
}

/* What was committed while we were behind came to us in vain: it is read, too. */
static void on_read(void *user, struct gw_event *const *events, size_t count, uint64_t last)
{
    struct gwc_delivery *delivery = user;
    uint64_t before = delivery->tail;

    delivery->reading = false;
    delivery->behind = false;
    delivery_take(delivery, events, count);
    /* Behind a cursor that was set back there may be numbers whose events have gone. */
    if (count == 0)
        delivery->tail = GW_MAX(delivery->tail, last);
    if (gwc_outbox_last_sequence(delivery->outbox) > delivery->tail)
        delivery->behind = true;
    delivery->read_again_ms =
        delivery->behind && delivery->tail == before ? gw_clock_monotonic_ms() + DELIVERY_READ_AGAIN_MS : 0;
    delivery_pump(delivery);
}

/* Not for a handful: half of the room is free, or there is nothing else to do. */
void delivery_read(struct gwc_delivery *delivery)
{
    bool worth_it = delivery->queued.count == 0 || (delivery->held < DELIVERY_EVENTS_MAX / 2 &&
                                                    delivery->held_bytes < DELIVERY_BYTES_MAX / 2);

    if (!delivery->behind || delivery->reading || delivery->draining || !worth_it ||
        !delivery_has_room(delivery) || delivery->read_again_ms > gw_clock_monotonic_ms())
        return;
    delivery->reading = true;
    gwc_outbox_read(delivery->outbox, delivery->tail, DELIVERY_EVENTS_MAX - delivery->held,
                    DELIVERY_BYTES_MAX - delivery->held_bytes, on_read, delivery);
}
