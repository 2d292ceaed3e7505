/* Zone rule: its reader, and its changes around an instant. */
#include "gateway-servers/calendar/zone_rule.h"
#include "gateway-servers/calendar/civil.h"
#include "gateway-servers/calendar/zone.h"

struct rule_reader {
    const char *at, *end;
};

static bool rule_take(struct rule_reader *reader, char byte)
{
    if (reader->at == reader->end || *reader->at != byte)
        return false;
    reader->at++;
    return true;
}

static bool rule_is_alpha(char byte)
{
    return (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
}

static bool rule_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool rule_number(struct rule_reader *reader, int min, int max, int *ret_number)
{
    int number = 0;
    const char *begin = reader->at;

    while (reader->at < reader->end && rule_is_digit(*reader->at) && reader->at - begin < 4)
        number = number * 10 + (*reader->at++ - '0');
    if (reader->at == begin || number < min || number > max)
        return false;
    *ret_number = number;
    return true;
}

/* "WET", "<+0330>". */
static bool rule_name(struct rule_reader *reader, char name[static ZONE_ABBREVIATION_MAX])
{
    bool quoted = rule_take(reader, '<');
    size_t size = 0;

    while (reader->at < reader->end && size < ZONE_ABBREVIATION_MAX - 1) {
        char byte = *reader->at;

        if (!rule_is_alpha(byte) && !(quoted && (rule_is_digit(byte) || byte == '+' || byte == '-')))
            break;
        name[size++] = byte;
        reader->at++;
    }
    name[size] = '\0';
    return size >= 3 && (!quoted || rule_take(reader, '>'));
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool rule_time(struct rule_reader *reader, int hours_max, int32_t *ret_time)
{
    bool negative = rule_take(reader, '-');
    int hours, minutes = 0, seconds = 0;

    if (!negative)
        rule_take(reader, '+');
    if (!rule_number(reader, 0, hours_max, &hours))
        return false;
    if (rule_take(reader, ':')) {
        if (!rule_number(reader, 0, 59, &minutes))
            return false;
        if (rule_take(reader, ':') && !rule_number(reader, 0, 59, &seconds))
            return false;
    }
    *ret_time = (hours * 3600 + minutes * 60 + seconds) * (negative ? -1 : 1);
    return true;
}

static bool rule_date_month(struct rule_reader *reader, struct zone_rule_date *date)
{
    return rule_number(reader, 1, 12, &date->month) && rule_take(reader, '.') &&
           rule_number(reader, 1, 5, &date->week) && rule_take(reader, '.') &&
           rule_number(reader, 0, 6, &date->day);
}

static bool rule_date(struct rule_reader *reader, struct zone_rule_date *ret_date)
{
    struct zone_rule_date date = {.kind = 'N', .time = 2 * 3600};
    bool good;

    if (rule_take(reader, 'M')) {
        date.kind = 'M';
        good = rule_date_month(reader, &date);
    } else if (rule_take(reader, 'J')) {
        date.kind = 'J';
        good = rule_number(reader, 1, 365, &date.day);
    } else {
        good = rule_number(reader, 0, 365, &date.day);
    }
    if (!good || (rule_take(reader, '/') && !rule_time(reader, 167, &date.time)))
        return false;
    *ret_date = date;
    return true;
}

bool zone_rule_parse(struct gw_view text, struct zone_rule *ret_rule)
{
    struct rule_reader reader = {text.data, text.data + text.size};
    struct zone_rule rule = {0};
    int32_t west;

    if (!rule_name(&reader, rule.standard_name) || !rule_time(&reader, 24, &west))
        return false;
    rule.standard = -west; /* POSIX counts westwards */
    if (reader.at < reader.end) {
        rule.has_daylight = true;
        rule.daylight = rule.standard + 3600;
        if (!rule_name(&reader, rule.daylight_name))
            return false;
        if (reader.at < reader.end && *reader.at != ',') {
            if (!rule_time(&reader, 24, &west))
                return false;
            rule.daylight = -west;
        }
        if (!rule_take(&reader, ',') || !rule_date(&reader, &rule.start) || !rule_take(&reader, ',') ||
            !rule_date(&reader, &rule.end))
            return false;
    }
    if (reader.at != reader.end)
        return false;
    *ret_rule = rule;
    return true;
}

/* The wall-clock time of the date in a year. */
static int64_t rule_date_wall(const struct zone_rule_date *date, int64_t year)
{
    int64_t days;

    if (date->kind == 'M') {
        int length = civil_month_length(year, date->month);
        int first_weekday = civil_weekday(civil_days(year, date->month, 1));
        int day = 1 + (date->day - first_weekday + 7) % 7 + 7 * (date->week - 1);

        while (day > length)
            day -= 7;
        days = civil_days(year, date->month, day);
    } else if (date->kind == 'J') {
        days = civil_days(year, 1, 1) + date->day - 1 + (civil_is_leap(year) && date->day > 59);
    } else {
        days = civil_days(year, 1, 1) + date->day;
    }
    return days * CIVIL_DAY_S + date->time;
}

struct rule_change {
    int64_t instant;
    bool daylight; /* begins */
};

/* By time; at the same instant daylight time wins: that is how a zone that never leaves it is written (RFC
 * 8536, 3.3.1). */
static void rule_changes_add(struct rule_change *changes, size_t count, struct rule_change change)
{
    size_t at = count;

    while (at > 0 &&
           (changes[at - 1].instant > change.instant ||
            (changes[at - 1].instant == change.instant && changes[at - 1].daylight && !change.daylight))) {
        changes[at] = changes[at - 1];
        at--;
    }
    changes[at] = change;
}

enum { RULE_YEARS = 5, RULE_CHANGES = RULE_YEARS * 2 };

struct zone_rule_span zone_rule_at(const struct zone_rule *rule, int64_t instant)
{
    struct zone_rule_span span = {.begin = -ZONE_FOREVER, .end = ZONE_FOREVER};
    struct rule_change changes[RULE_CHANGES];
    int64_t year;
    size_t at = 0;

    if (!rule->has_daylight)
        return span;
    year = civil_of(instant + rule->standard).year - RULE_YEARS / 2;
    for (size_t i = 0; i < RULE_CHANGES; i += 2, year++) {
        rule_changes_add(changes, i,
                         (struct rule_change){rule_date_wall(&rule->start, year) - rule->standard, true});
        rule_changes_add(changes, i + 1,
                         (struct rule_change){rule_date_wall(&rule->end, year) - rule->daylight, false});
    }
    while (at + 1 < RULE_CHANGES && changes[at + 1].instant <= instant)
        at++;
    span.daylight = changes[at].daylight;
    span.begin = changes[at].instant;
    if (at + 1 < RULE_CHANGES)
        span.end = changes[at + 1].instant;
    return span;
}
