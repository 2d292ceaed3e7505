/* Exclusions: the days, instants and recurrences at which an event source does not tick.
 *
 * Two languages, both of lines of RFC 5545 (iCalendar):
 *
 * recurrence (Argo's): EXDATE lines only. Each date or date-time excludes the calendar day that is written in it, as
 * Argo did. RRULE, RDATE and the like are taken and have no effect, as in Argo.
 *
 * exclude (ours):
 *     EXDATE:20261225,20261226                     these days in the schedule's zone; also EXDATE;VALUE=DATE:…
 *     EXDATE:20261225T083000Z                      this instant
 *     EXDATE:20261225T083000                       this wall-clock time in the schedule's zone
 *     EXDATE;TZID=Europe/Lisbon:20261225T083000    this wall-clock time there
 *     2026-12-25, 2026-12-25T08:30:00Z             the same in RFC 3339
 *     RRULE:FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24   whole days
 *     RRULE:FREQ=DAILY;BYHOUR=12;BYMINUTE=0        wall-clock times: BYHOUR, BYMINUTE, BYSECOND or FREQ=HOURLY is in it
 *     DTSTART:… on a line before the RRULE         where it begins; a date: whole days, a date-time: times
 *
 * Not thread-safe: a question moves the iterators. */
#ifndef CALENDAR_EXCLUSIONS_H
#define CALENDAR_EXCLUSIONS_H

#include "common/bytes.h"
#include "common/fault.h"
#include "gateway-servers/calendar/zone.h"

enum { EXCLUSIONS_MAX = 10000, EXCLUSIONS_RULES_MAX = 100 };

struct exclusions;

/* `zone` is the schedule's, `zones` gives others; both borrowed for its life. */
int exclusions_new(struct exclusions **ret_exclusions, const struct zone *zone,
                   struct zone_store *zones) GW_MUST_CHECK;
struct exclusions *exclusions_free(struct exclusions *exclusions);
GW_DEFINE_CLEANUP(struct exclusions *, exclusions_free)

/* An entry of `recurrence`. Verdict EXCLUSIONS_IGNORED: well known, without effect. -EINVAL with words. */
enum { EXCLUSIONS_IGNORED = 1 };
int exclusions_add_argo(struct exclusions *exclusions, const char *text,
                        struct gw_reason *reason) GW_MUST_CHECK;
/* An entry of `exclude`. -EINVAL with words. */
int exclusions_add(struct exclusions *exclusions, const char *text, struct gw_reason *reason) GW_MUST_CHECK;

bool exclusions_has(struct exclusions *exclusions, int64_t tick_ns);

#endif
