/* The metrics of one delivery. */
#include "gateway-client/delivery/delivery_meter.h"

static const double seconds_buckets[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                         0.5,   1,      2.5,   5,    10,    60,   600, 3600};

void delivery_meter_open(struct delivery_meter *meter, struct gw_metrics *metrics, const char *watcher)
{
    static const char *const ends[] = {"delivered", "dead", "dropped"};
    static const char *const codes[] = {"2xx", "3xx", "4xx", "5xx", "none"};

    meter->ends_family =
        gw_metrics_family(metrics, GW_COUNTER, "gateway_deliveries_total",
                          "Deliveries that ended, by how they ended.", "watcher,outcome", NULL, 0);
    meter->attempts_family =
        gw_metrics_family(metrics, GW_COUNTER, "gateway_delivery_attempts_total",
                          "Requests to the watcher, by the class of the status that answered.",
                          "watcher,code", NULL, 0);
    meter->seconds_family = gw_metrics_family(metrics, GW_HISTOGRAM, "gateway_delivery_seconds",
                                              "From the commit of an event to its delivery.", "watcher",
                                              seconds_buckets, GW_COUNT_OF(seconds_buckets));
    meter->pending_family =
        gw_metrics_family(metrics, GW_GAUGE, "gateway_delivery_pending",
                          "Events not delivered yet, waiting ones included.", "watcher", NULL, 0);
    meter->in_flight_family = gw_metrics_family(metrics, GW_GAUGE, "gateway_delivery_in_flight",
                                                "Requests under way.", "watcher", NULL, 0);
    for (size_t i = 0; i < DELIVERY_ENDS_COUNT; i++)
        meter->ends[i] = gw_family_series(meter->ends_family, (const char *const[]){watcher, ends[i]});
    for (size_t i = 0; i < DELIVERY_CODES_COUNT; i++)
        meter->attempts[i] =
            gw_family_series(meter->attempts_family, (const char *const[]){watcher, codes[i]});
    meter->seconds = gw_family_series(meter->seconds_family, &watcher);
    meter->pending = gw_family_series(meter->pending_family, &watcher);
    meter->in_flight = gw_family_series(meter->in_flight_family, &watcher);
}

void delivery_meter_done(struct delivery_meter *meter)
{
    for (size_t i = 0; i < DELIVERY_ENDS_COUNT; i++)
        gw_family_remove(meter->ends_family, meter->ends[i]);
    for (size_t i = 0; i < DELIVERY_CODES_COUNT; i++)
        gw_family_remove(meter->attempts_family, meter->attempts[i]);
    gw_family_remove(meter->seconds_family, meter->seconds);
    gw_family_remove(meter->pending_family, meter->pending);
    gw_family_remove(meter->in_flight_family, meter->in_flight);
    *meter = (struct delivery_meter){0};
}

void delivery_meter_attempt(struct delivery_meter *meter, int status)
{
    enum delivery_code code = status >= 500   ? DELIVERY_5XX
                              : status >= 400 ? DELIVERY_4XX
                              : status >= 300 ? DELIVERY_3XX
                              : status >= 200 ? DELIVERY_2XX
                                              : DELIVERY_NONE;

    gw_series_add(meter->attempts[code], 1);
}
