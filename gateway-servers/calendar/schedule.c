/* Schedule: the search for the next matching time, and the words and checks around the fields. */
#include "gateway-servers/calendar/schedule.h"
#include "gateway-servers/calendar/civil.h"
#include "gateway-servers/calendar/fields.h"

#include "common/text.h"

static int schedule_bit_from(uint64_t mask, int from)
{
    if (from > 63 || mask >> from == 0)
        return -1;
    return from + __builtin_ctzll(mask >> from);
}

static int schedule_time(const struct schedule *schedule, int hour, int minute, int second)
{
    if (minute < 0)
        minute = schedule_bit_from(schedule->minutes, 0);
    if (second < 0)
        second = schedule_bit_from(schedule->seconds, 0);
    return hour * 3600 + minute * 60 + second;
}

/* The first matching second of the day >= from, or -1. */
static int schedule_time_from(const struct schedule *schedule, int from)
{
    int from_hour = from / 3600, from_minute = from / 60 % 60;
    int hour = schedule_bit_from(schedule->hours, from_hour);

    if (hour == from_hour) {
        int minute = schedule_bit_from(schedule->minutes, from_minute);

        if (minute == from_minute) {
            int second = schedule_bit_from(schedule->seconds, from % 60);

            if (second >= 0)
                return schedule_time(schedule, hour, minute, second);
            minute = schedule_bit_from(schedule->minutes, from_minute + 1);
        }
        if (minute >= 0)
            return schedule_time(schedule, hour, minute, -1);
        hour = schedule_bit_from(schedule->hours, from_hour + 1);
    }
    return hour < 0 ? -1 : schedule_time(schedule, hour, -1, -1);
}

/* Bit d: the day d of this month matches. */
static uint64_t schedule_days_of_month(const struct schedule *schedule, int64_t year, int month)
{
    int length = civil_month_length(year, month);
    int weekday = civil_weekday(civil_days(year, month, 1));
    uint64_t in_month = (UINT64_C(2) << length) - 2;
    uint64_t days = schedule->days | (schedule->last_day ? UINT64_C(1) << length : 0);
    uint64_t weekdays = 0;

    for (int day = 1; day <= length; day++, weekday = (weekday + 1) % 7) {
        bool match = schedule->weekdays >> weekday & 1;
        bool last = day > length - 7 && schedule->last_weekdays >> weekday & 1;

        weekdays |= (uint64_t)(match || last) << day;
    }
    if (schedule->any_day || schedule->any_weekday)
        return days & weekdays & in_month;
    return (days | weekdays) & in_month;
}

/* The first matching day >= from and < limit, both counted from 1970. */
static bool schedule_day_from(const struct schedule *schedule, int64_t from, int64_t limit, int64_t *ret_day)
{
    struct civil civil = civil_of(from * CIVIL_DAY_S);

    for (;;) {
        int64_t first = civil_days(civil.year, civil.month, 1);

        if (first >= limit)
            return false;
        if (schedule->months >> civil.month & 1) {
            int day = schedule_bit_from(schedule_days_of_month(schedule, civil.year, civil.month), civil.day);

            if (day > 0) {
                *ret_day = first + day - 1;
                return *ret_day < limit;
            }
        }
        civil.day = 1;
        civil.year += civil.month == 12;
        civil.month = civil.month % 12 + 1;
    }
}

bool schedule_next(const struct schedule *schedule, int64_t after, int64_t limit, int64_t *ret_wall)
{
    int64_t from = after + 1, from_day = civil_floor(from, CIVIL_DAY_S);
    int64_t days_end = civil_floor(limit - 1, CIVIL_DAY_S) + 1, day, wall;
    int time = -1;

    if (from >= limit || !schedule_day_from(schedule, from_day, days_end, &day))
        return false;
    if (day == from_day) {
        time = schedule_time_from(schedule, (int)(from - from_day * CIVIL_DAY_S));
        if (time < 0 && !schedule_day_from(schedule, from_day + 1, days_end, &day))
            return false;
    }
    if (time < 0)
        time = schedule_time_from(schedule, 0);
    wall = day * CIVIL_DAY_S + time;
    if (wall >= limit)
        return false;
    *ret_wall = wall;
    return true;
}

/* The calendar repeats after 400 years: what has no date in them has none. */
static bool schedule_has_date(const struct schedule *schedule)
{
    int64_t from = civil_days(2000, 1, 1), day;

    return schedule_day_from(schedule, from, from + 146097, &day);
}

static const struct schedule_word {
    const char *word, *fields;
} schedule_words[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

static int schedule_parse_every(struct schedule *ret_schedule, struct gw_view text, struct gw_reason *reason)
{
    struct schedule schedule = {0};

    if (!gw_duration_parse(text, &schedule.every_ns))
        return GW_REFUSE(-EINVAL, reason, "@every \"%.*s\": not a duration such as 90s or 1h30m",
                         (int)text.size, text.data);
    if (schedule.every_ns < SCHEDULE_EVERY_MIN_NS)
        return GW_REFUSE(-EINVAL, reason, "@every \"%.*s\": must be at least 1ms", (int)text.size, text.data);
    *ret_schedule = schedule;
    return 0;
}

static int schedule_parse_word(struct schedule *ret_schedule, struct gw_view text, struct gw_reason *reason)
{
    const struct gw_view every = gw_view_text("@every");

    if (gw_view_starts_nocase(text, "@every") && text.size > every.size &&
        (text.data[every.size] == ' ' || text.data[every.size] == '\t'))
        return schedule_parse_every(
            ret_schedule, gw_view_trim(gw_view(text.data + every.size, text.size - every.size)), reason);
    for (size_t i = 0; i < GW_COUNT_OF(schedule_words); i++) {
        if (gw_view_is_nocase(text, schedule_words[i].word))
            return schedule_parse(ret_schedule, gw_view_text(schedule_words[i].fields), reason);
    }
    return GW_REFUSE(-EINVAL, reason,
                     "\"%.*s\": known words are @hourly, @daily, @midnight, @weekly, @monthly, @yearly, "
                     "@annually and @every DURATION",
                     (int)GW_MIN(text.size, 100), text.data);
}

int schedule_parse(struct schedule *ret_schedule, struct gw_view text, struct gw_reason *reason)
{
    struct schedule schedule = {0};

    text = gw_view_trim(text);
    if (text.size > 0 && text.data[0] == '@')
        return schedule_parse_word(ret_schedule, text, reason);
    if (gw_view_starts_nocase(text, "TZ=") || gw_view_starts_nocase(text, "CRON_TZ="))
        return GW_REFUSE(-EINVAL, reason, "\"%.*s\": the time zone goes into \"timezone\"",
                         (int)GW_MIN(text.size, 100), text.data);
    GW_TRY(fields_parse(&schedule, text, reason));
    if (!schedule_has_date(&schedule))
        return GW_REFUSE(-EINVAL, reason, "\"%.*s\": no date ever matches its day and month fields",
                         (int)GW_MIN(text.size, 100), text.data);
    *ret_schedule = schedule;
    return 0;
}
