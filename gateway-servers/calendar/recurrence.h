/* Recurrence: an RRULE of RFC 5545 on one wall clock, by libical. It knows no zones. */
#ifndef CALENDAR_RECURRENCE_H
#define CALENDAR_RECURRENCE_H

#include "common/fault.h"

struct recurrence;

struct recurrence_start {
    bool given;     /* otherwise the rule must say all by itself, and begins in 1970 */
    bool whole_day; /* a date */
    int64_t wall;   /* civil.h */
};

/* `text` is what is behind "RRULE:". `to_wall` turns an UNTIL in UTC (an instant, seconds) into the wall clock's time.
 * -EINVAL with words. */
int recurrence_new(struct recurrence **ret_recurrence, const char *text, const struct recurrence_start *start,
                   int64_t (*to_wall)(const void *user, int64_t instant), const void *user,
                   struct gw_reason *reason) GW_MUST_CHECK;
struct recurrence *recurrence_free(struct recurrence *recurrence);
GW_DEFINE_CLEANUP(struct recurrence *, recurrence_free)

/* Is there an occurrence at this wall-clock time, or, of a rule of whole days, on its day? Cheap when asked forwards. */
bool recurrence_has(struct recurrence *recurrence, int64_t wall);
/* A rule of whole days. */
bool recurrence_of_days(const struct recurrence *recurrence);

#endif
