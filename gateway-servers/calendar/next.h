/* Next: the instants at which an event source ticks: a schedule in a time zone, or a grid of intervals.
 *
 * What happens when clocks are changed depends on the schedule, as in Vixie cron:
 *
 *   fixed times    (no field of second, minute, hour begins with * or ?: "30 2 * * *")
 *                  Each matching wall-clock time ticks once: at the first instant at which the wall clock shows
 *                  it or has passed it. In spring, times that are left out tick together, once, at the instant
 *                  after the gap; in autumn, a time that is shown twice ticks at its first occurrence.
 *   running times  (one of the three begins with * or ?, also with a step: "0 * * * *")
 *                  Ticks whenever the wall clock shows a matching time: through both changes as time goes by.
 *                  Every 15 minutes stays 15 minutes; a left-out hour has no ticks, a repeated one has them twice.
 *
 * Intervals tick at every whole multiple of the interval since 1970-01-01T00:00:00Z: the grid needs no memory,
 * survives restarts, and is the same everywhere. */
#ifndef CALENDAR_NEXT_H
#define CALENDAR_NEXT_H

#include "gateway-servers/calendar/schedule.h"
#include "gateway-servers/calendar/zone.h"

/* The last instant that is looked at, 2262-04-11T00:00:00Z: what int64 nanoseconds hold. */
#define NEXT_END_S INT64_C(9223286400)

struct ticks {
    struct schedule schedule;
    const struct zone *zone; /* borrowed */
    int64_t every_ns;        /* > 0: an interval, the schedule is not looked at */
};

/* The first tick strictly after `after_ns`; false: there is none before NEXT_END_S. */
bool next_tick(const struct ticks *ticks, int64_t after_ns, int64_t *ret_ns);
/* How many ticks are in (after, until], counted up to `max`. */
size_t next_count(const struct ticks *ticks, int64_t after_ns, int64_t until_ns, size_t max);
/* Where to begin so that at most `max` ticks, the latest, are in (begin, until]: `after_ns` itself when there are
 * not more. Bounded work, however far back. */
int64_t next_recent(const struct ticks *ticks, int64_t after_ns, int64_t until_ns, size_t max);

#endif
