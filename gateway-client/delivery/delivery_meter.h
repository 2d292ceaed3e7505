/* The metrics of one delivery: all its series, there from the start at 0. */
#ifndef GWC_DELIVERY_METER_H
#define GWC_DELIVERY_METER_H

#include "common/metrics.h"

enum delivery_code {
    DELIVERY_2XX,
    DELIVERY_3XX,
    DELIVERY_4XX,
    DELIVERY_5XX,
    DELIVERY_NONE,
    DELIVERY_CODES_COUNT
};
enum delivery_end { DELIVERY_END_DELIVERED, DELIVERY_END_DEAD, DELIVERY_END_DROPPED, DELIVERY_ENDS_COUNT };

struct delivery_meter {
    struct gw_family *ends_family, *attempts_family, *seconds_family, *pending_family, *in_flight_family;
    struct gw_series *ends[DELIVERY_ENDS_COUNT];
    struct gw_series *attempts[DELIVERY_CODES_COUNT];
    struct gw_series *seconds, *pending, *in_flight;
};

void delivery_meter_open(struct delivery_meter *meter, struct gw_metrics *metrics, const char *watcher);
void delivery_meter_done(struct delivery_meter *meter);
/* One request, by the status that answered it (0: none). */
void delivery_meter_attempt(struct delivery_meter *meter, int status);

#endif
