/* Zone rule: the POSIX TZ text "WET0WEST,M3.5.0/1,M10.5.0" (POSIX.1-2017, 8.3; RFC 8536, 3.3) that says how a zone
 * goes on for ever. */
#ifndef CALENDAR_ZONE_RULE_H
#define CALENDAR_ZONE_RULE_H

#include "common/bytes.h"

enum { ZONE_ABBREVIATION_MAX = 16 };

struct zone_rule_date {
    char kind; /* 'M': week `week` (5: the last) of `month`; 'J': day 1-365 without 29 Feb; 'N': day 0-365 */
    int month, week, day; /* 'M': day is the weekday, 0: Sunday */
    int32_t time;         /* seconds after midnight, also negative or over a day */
};

struct zone_rule {
    int32_t standard, daylight; /* offsets, east positive */
    char standard_name[ZONE_ABBREVIATION_MAX], daylight_name[ZONE_ABBREVIATION_MAX];
    bool has_daylight;
    struct zone_rule_date start, end; /* of daylight time; on the clock before the change */
};

bool zone_rule_parse(struct gw_view text, struct zone_rule *ret_rule);

/* The stretch of time around `instant` (seconds since 1970) with one offset. */
struct zone_rule_span {
    int64_t begin, end;
    bool daylight;
};
struct zone_rule_span zone_rule_at(const struct zone_rule *rule, int64_t instant);

#endif
