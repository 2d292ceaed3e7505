/* Schedule: cron fields and the wall-clock times that match them. Pure: it knows neither zones nor the present.
 *
 *     ┌────────── second        0-59                (only with six fields; otherwise 0)
 *     │ ┌──────── minute        0-59
 *     │ │ ┌────── hour          0-23
 *     │ │ │ ┌──── day of month  1-31, L: the last
 *     │ │ │ │ ┌── month         1-12, JAN-DEC
 *     │ │ │ │ │ ┌ day of week   0-7, SUN-SAT, 0 and 7: Sunday; 5L, FRIL: the last Friday of the month
 *     * * * * * *
 *
 * A field is a list of items with commas: * or ? (any), a value, a range a-b, each with a step /n; "a/n" is "a-max/n".
 * Also @yearly @annually @monthly @weekly @daily @midnight @hourly, and @every with a duration (as `interval`).
 *
 * Days follow Vixie cron and robfig/cron v1.2.0: when both day fields are restricted, a day that matches either is a
 * match; otherwise it must match both. A field counts as not restricted when one of its items begins with * or ?, also
 * with a step. */
#ifndef CALENDAR_SCHEDULE_H
#define CALENDAR_SCHEDULE_H

#include "common/bytes.h"
#include "common/fault.h"

#define SCHEDULE_EVERY_MIN_NS INT64_C(1000000)

struct schedule {
    uint64_t seconds, minutes;    /* bit n: value n */
    uint64_t hours, days, months; /* likewise; days and months from bit 1 */
    uint64_t weekdays;            /* bit 0: Sunday */
    uint64_t last_weekdays;       /* the last Sunday of the month, … */
    bool last_day;                /* the last day of the month */
    bool any_day, any_weekday;    /* not restricted */
    bool any_time;    /* second, minute or hour begins with *: ticks follow the clock, see next.h */
    int64_t every_ns; /* @every: the rest is empty; otherwise 0 */
};

/* -EINVAL with words that name the field, the value and what is allowed. What no date ever matches is refused. */
int schedule_parse(struct schedule *ret_schedule, struct gw_view text,
                   struct gw_reason *reason) GW_MUST_CHECK;

/* The first matching wall-clock time (civil.h) > after and < limit; false: there is none. */
bool schedule_next(const struct schedule *schedule, int64_t after, int64_t limit, int64_t *ret_wall);

#endif
