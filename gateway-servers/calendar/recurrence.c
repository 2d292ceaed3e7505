/* Recurrence: the door to libical. */
#include "gateway-servers/calendar/recurrence.h"
#include "gateway-servers/calendar/civil.h"

#include <libical/ical.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    RECURRENCE_COUNT_MAX = 100000,        /* a rule with COUNT is walked from its start */
    RECURRENCE_LEAP_S = 40 * CIVIL_DAY_S, /* farther away: start anew near the question */
    RECURRENCE_MARGIN_S = 2 * CIVIL_DAY_S,
};

struct recurrence {
    struct icalrecurrencetype rule;
    struct icaltimetype start; /* where the iterator begins: DTSTART, or shortly before */
    int64_t first;             /* DTSTART: occurrences before it are dropped */
    bool whole_day;
    icalrecur_iterator *iterator; /* NULL: not begun */
    int64_t asked;                /* the last question, */
    int64_t current;              /* and the first occurrence at or after it; INT64_MAX: none */
};

static struct icaltimetype recurrence_time(int64_t wall, bool whole_day)
{
    struct civil civil = civil_of(wall);
    struct icaltimetype time = icaltime_null_time();

    time.year = (int)civil.year;
    time.month = civil.month;
    time.day = civil.day;
    time.is_date = whole_day;
    if (!whole_day) {
        time.hour = civil.hour;
        time.minute = civil.minute;
        time.second = civil.second;
    }
    return time;
}

static int64_t recurrence_wall(const struct icaltimetype *time)
{
    const struct civil civil = {time->year, time->month, time->day, time->hour, time->minute, time->second};

    return civil_wall(&civil);
}

/* ---- reading ---- */

/* libical skips parts that it does not know, and keeps the last of two; here both are mistakes. */
static int recurrence_check_parts(const char *text, struct gw_reason *reason)
{
    static const char *const known[] = {"FREQ",     "UNTIL",   "COUNT",    "INTERVAL",   "BYSECOND",
                                        "BYMINUTE", "BYHOUR",  "BYDAY",    "BYMONTHDAY", "BYYEARDAY",
                                        "BYWEEKNO", "BYMONTH", "BYSETPOS", "WKST"};
    unsigned seen = 0;

    for (const char *at = text; *at != '\0';) {
        size_t size = strcspn(at, ";"), name = strcspn(at, "=;"), i = 0;

        while (i < GW_COUNT_OF(known) && (strlen(known[i]) != name || strncasecmp(known[i], at, name) != 0))
            i++;
        if (i == GW_COUNT_OF(known) || name + 1 >= size)
            return GW_REFUSE(-EINVAL, reason, "RRULE part \"%.*s\": not a part NAME=value of RFC 5545",
                             (int)GW_MIN(size, 80U), at);
        if (seen >> i & 1)
            return GW_REFUSE(-EINVAL, reason, "RRULE part %s is there twice", known[i]);
        seen |= 1U << i;
        at += size;
        at += *at == ';';
    }
    return 0;
}

static bool recurrence_has_times(const struct icalrecurrencetype *rule)
{
    return rule->freq == ICAL_HOURLY_RECURRENCE || rule->by_hour[0] != ICAL_RECURRENCE_ARRAY_MAX ||
           rule->by_minute[0] != ICAL_RECURRENCE_ARRAY_MAX || rule->by_second[0] != ICAL_RECURRENCE_ARRAY_MAX;
}

static int recurrence_parse(struct icalrecurrencetype *ret_rule, const char *text, struct gw_reason *reason)
{
    GW_TRY(recurrence_check_parts(text, reason));
    icalerror_set_errors_are_fatal(0);
    icalerror_clear_errno();
    *ret_rule = icalrecurrencetype_from_string(text);
    if (icalerrno != ICAL_NO_ERROR || ret_rule->freq == ICAL_NO_RECURRENCE)
        return GW_REFUSE(-EINVAL, reason, "RRULE \"%.200s\": not a recurrence rule of RFC 5545", text);
    if (ret_rule->freq == ICAL_SECONDLY_RECURRENCE || ret_rule->freq == ICAL_MINUTELY_RECURRENCE)
        return GW_REFUSE(
            -EINVAL, reason,
            "RRULE \"%.200s\": write times within the hour as FREQ=HOURLY with BYMINUTE and BYSECOND", text);
    if (ret_rule->count > RECURRENCE_COUNT_MAX)
        return GW_REFUSE(-EINVAL, reason, "RRULE \"%.200s\": COUNT is over %d", text, RECURRENCE_COUNT_MAX);
    return 0;
}

/* Without DTSTART the rule must not lean on it. */
static int recurrence_check_alone(const struct icalrecurrencetype *rule, const char *text,
                                  struct gw_reason *reason)
{
    bool weekday = rule->by_day[0] != ICAL_RECURRENCE_ARRAY_MAX;

    if (rule->interval > 1 || rule->count > 0 || (rule->freq == ICAL_WEEKLY_RECURRENCE && !weekday))
        return GW_REFUSE(-EINVAL, reason,
                         "RRULE \"%.200s\": needs a line DTSTART:… before it, because of INTERVAL, COUNT, or "
                         "weeks without BYDAY",
                         text);
    return 0;
}

/* UNTIL on the rule's own wall clock, and of the same kind as its start. */
static void recurrence_settle_until(struct recurrence *recurrence, int64_t (*to_wall)(const void *, int64_t),
                                    const void *user)
{
    struct icaltimetype *until = &recurrence->rule.until;
    int64_t wall;

    if (icaltime_is_null_time(*until))
        return;
    wall = recurrence_wall(until);
    if (until->is_date && !recurrence->whole_day)
        wall += CIVIL_DAY_S - 1;
    else if (icaltime_is_utc(*until))
        wall = to_wall(user, wall);
    *until = recurrence_time(wall, recurrence->whole_day);
}

static int recurrence_begin(struct recurrence *recurrence, struct icaltimetype start)
{
    if (recurrence->iterator != NULL)
        icalrecur_iterator_free(recurrence->iterator);
    icalerror_clear_errno();
    recurrence->iterator = icalrecur_iterator_new(recurrence->rule, start);
    return recurrence->iterator == NULL ? -EINVAL : 0;
}

/* libical 3.0.16 skips the first week of FREQ=WEEKLY;INTERVAL=n;BYDAY=… when DTSTART falls on none of these
 * days. So the iterator begins on the first of them in DTSTART's week. */
static int64_t recurrence_week_begin(const struct icalrecurrencetype *rule, int64_t wall)
{
    int64_t day = civil_floor(wall, CIVIL_DAY_S);
    int week_start = rule->week_start - ICAL_SUNDAY_WEEKDAY,
        in_week = (civil_weekday(day) - week_start + 7) % 7;
    int begin = 7;

    if (rule->freq != ICAL_WEEKLY_RECURRENCE)
        return wall;
    for (size_t i = 0; i < ICAL_BY_DAY_SIZE && rule->by_day[i] != ICAL_RECURRENCE_ARRAY_MAX; i++) {
        int weekday = (int)icalrecurrencetype_day_day_of_week(rule->by_day[i]) - ICAL_SUNDAY_WEEKDAY;

        begin = GW_MIN(begin, (weekday - week_start + 7) % 7);
        if (weekday == civil_weekday(day))
            return wall; /* what libical does well */
    }
    return begin == 7 ? wall : wall + (begin - in_week) * (int64_t)CIVIL_DAY_S;
}

/* COUNT counts from DTSTART: what the iterator gives before it comes on top. */
static void recurrence_settle_count(struct recurrence *recurrence)
{
    int wanted = recurrence->rule.count, before = 0;

    for (;;) {
        struct icaltimetype time = icalrecur_iterator_next(recurrence->iterator);

        if (icaltime_is_null_time(time) || recurrence_wall(&time) >= recurrence->first)
            break;
        before++;
    }
    recurrence->rule.count = wanted + before;
}

int recurrence_new(struct recurrence **ret_recurrence, const char *text, const struct recurrence_start *start,
                   int64_t (*to_wall)(const void *user, int64_t instant), const void *user,
                   struct gw_reason *reason)
{
    GW_AUTO(recurrence_freep) struct recurrence *recurrence = calloc(1, sizeof(*recurrence));

    if (recurrence == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(recurrence_parse(&recurrence->rule, text, reason));
    if (!start->given)
        GW_TRY(recurrence_check_alone(&recurrence->rule, text, reason));
    recurrence->whole_day = start->given ? start->whole_day : !recurrence_has_times(&recurrence->rule);
    if (recurrence->whole_day && recurrence_has_times(&recurrence->rule))
        return GW_REFUSE(-EINVAL, reason, "RRULE \"%.200s\": has times, but its DTSTART is a date", text);
    recurrence->first = start->given ? start->wall : 0;
    recurrence->start =
        recurrence_time(recurrence_week_begin(&recurrence->rule, recurrence->first), recurrence->whole_day);
    recurrence_settle_until(recurrence, to_wall, user);
    if (recurrence_begin(recurrence, recurrence->start) != 0)
        return GW_REFUSE(-EINVAL, reason, "RRULE \"%.200s\": %s", text, icalerror_strerror(icalerrno));
    if (recurrence->rule.count > 0)
        recurrence_settle_count(recurrence);
    recurrence->asked = INT64_MAX; /* the first question starts near itself */
    *ret_recurrence = GW_TAKE(recurrence);
    return 0;
}

struct recurrence *recurrence_free(struct recurrence *recurrence)
{
    if (recurrence == NULL)
        return NULL;
    if (recurrence->iterator != NULL)
        icalrecur_iterator_free(recurrence->iterator);
    free(recurrence);
    return NULL;
}

/* ---- asking ---- */

static void recurrence_step(struct recurrence *recurrence)
{
    struct icaltimetype time;

    do {
        time = icalrecur_iterator_next(recurrence->iterator);
        recurrence->current = icaltime_is_null_time(time) ? INT64_MAX : recurrence_wall(&time);
    } while (recurrence->current < recurrence->first);
}

/* Seconds after which a rule is the same again, wherever it began; 0: months and years have no such length.
 */
static int64_t recurrence_period(const struct icalrecurrencetype *rule)
{
    switch (rule->freq) {
    case ICAL_HOURLY_RECURRENCE:
        return INT64_C(3600) * rule->interval;
    case ICAL_DAILY_RECURRENCE:
        return INT64_C(86400) * rule->interval;
    case ICAL_WEEKLY_RECURRENCE:
        return INT64_C(604800) * rule->interval;
    default:
        return 0;
    }
}

/* Begins near `wall` where that gives the same occurrences. By a later DTSTART a whole number of periods on:
 * libical 3.0.16's own icalrecur_iterator_set_start() loses the phase of an INTERVAL, and is left to rules
 * without. */
static void recurrence_restart(struct recurrence *recurrence, int64_t wall)
{
    int64_t start = recurrence_wall(&recurrence->start), ahead = wall - RECURRENCE_MARGIN_S - start;
    int64_t period = recurrence_period(&recurrence->rule);
    bool far = ahead > 0 && recurrence->rule.count == 0;

    recurrence->current = INT64_MAX;
    if (far && period > 0)
        start += ahead / period * period;
    if (recurrence_begin(recurrence, recurrence_time(start, recurrence->whole_day)) != 0)
        return;
    if (far && period == 0 && recurrence->rule.interval <= 1)
        icalrecur_iterator_set_start(recurrence->iterator,
                                     recurrence_time(start + ahead, recurrence->whole_day));
    recurrence_step(recurrence);
}

bool recurrence_has(struct recurrence *recurrence, int64_t wall)
{
    if (recurrence->whole_day)
        wall = civil_floor(wall, CIVIL_DAY_S) * CIVIL_DAY_S;
    if (wall < recurrence->asked ||
        (recurrence->rule.count == 0 && wall - recurrence->asked > RECURRENCE_LEAP_S &&
         recurrence->current < wall - RECURRENCE_LEAP_S))
        recurrence_restart(recurrence, wall);
    recurrence->asked = wall;
    while (recurrence->current < wall)
        recurrence_step(recurrence);
    return recurrence->current == wall;
}

bool recurrence_of_days(const struct recurrence *recurrence)
{
    return recurrence->whole_day;
}
