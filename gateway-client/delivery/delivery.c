/* Delivery: its life, and the wheel that turns when something came, ended, or is due. */
#include "gateway-client/delivery/delivery_internal.h"

#include <stdlib.h>

/* There was no memory to send with. */
enum { DELIVERY_MEMORY_AGAIN_MS = 100 };
#define DELIVERY_NEVER INT64_MAX

/* ---- turning the wheel ---- */

static uint64_t delivery_pending(const struct gwc_delivery *delivery)
{
    uint64_t last = gwc_outbox_last_sequence(delivery->outbox),
             ahead = delivery->ahead_count - delivery->ahead_next;

    return delivery->held + (last > delivery->tail + ahead ? last - delivery->tail - ahead : 0);
}

/* When to look again without being told. What waits for an answer to make room needs no timer. */
static int64_t delivery_next_ms(const struct gwc_delivery *delivery)
{
    const struct delivery_item *item = delivery_heap_top(&delivery->waiting);
    int64_t now = gw_clock_monotonic_ms(), next = DELIVERY_NEVER;

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
        gw_timer_start(delivery->timer, GW_MAX(next_ms - gw_clock_monotonic_ms(), 1));
}

void delivery_pump(struct gwc_delivery *delivery)
{
    delivery_send(delivery);
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
        delivery->retries_again_ms = gw_clock_monotonic_ms() + DELIVERY_LOAD_AGAIN_MS;
    }
    delivery_pump(delivery);
}

void gwc_delivery_secret_changed(struct gwc_delivery *delivery, const char *name)
{
    if (delivery->sink->ops->secret_changed != NULL)
        delivery->sink->ops->secret_changed(delivery->sink, name);
}

/* ---- life ---- */

static void on_cursor_timer(void *user)
{
    delivery_report_cursor(user);
}

static int delivery_prepare(struct gwc_delivery *delivery, const struct gwc_transports *transports,
                            struct gw_metrics *metrics, struct gw_reason *reason)
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
    return gwc_sink_open(&delivery->sink, transports, spec, reason);
}

int gwc_delivery_open(struct gwc_delivery **ret_delivery, struct gwc_outbox *outbox,
                      const struct gwc_transports *transports, const struct gwc_watcher_spec *spec,
                      struct gw_metrics *metrics, struct gw_reason *reason)
{
    struct gwc_delivery *delivery = calloc(1, sizeof(*delivery));
    int fault;

    if (delivery == NULL)
        return GW_RAISE(-ENOMEM);
    delivery->loop = transports->loop;
    delivery->outbox = outbox;
    delivery->spec = spec;
    gw_reason_set(reason, "%s", "");
    fault = delivery_prepare(delivery, transports, metrics, reason);
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

    delivery_attempts_drop(delivery);
    while ((item = delivery_line_pop(&delivery->queued)) != NULL)
        delivery_item_drop(delivery, item);
    while ((item = delivery_heap_pop(&delivery->waiting)) != NULL)
        delivery_item_drop(delivery, item);
    assert(delivery->held == 0 && delivery->held_bytes == 0);
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
    delivery_items_free(delivery);
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
