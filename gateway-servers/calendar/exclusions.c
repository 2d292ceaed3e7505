/* Exclusions: the lines, and the question. */
#include "gateway-servers/calendar/exclusions.h"
#include "gateway-servers/calendar/civil.h"
#include "gateway-servers/calendar/recurrence.h"

#include "common/clock.h"

#include <stdlib.h>

/* Ascending, each once. */
struct exclusion_list {
    int64_t *items;
    size_t count, capacity;
};

struct exclusion_rule {
    struct recurrence *recurrence;
    const struct zone *zone;
};

struct exclusions {
    const struct zone *zone;
    struct zone_store *zones;
    struct exclusion_list days;     /* since 1970, in the zone */
    struct exclusion_list walls;    /* civil.h, in the zone */
    struct exclusion_list instants; /* nanoseconds */
    struct exclusion_rule *rules;   /* owned: rules_count of them */
    size_t rules_count;
};

/* ---- lists ---- */

static size_t exclusion_list_find(const struct exclusion_list *list, int64_t item)
{
    size_t low = 0, high = list->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (list->items[middle] < item)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool exclusion_list_has(const struct exclusion_list *list, int64_t item)
{
    size_t at = exclusion_list_find(list, item);

    return at < list->count && list->items[at] == item;
}

static int exclusion_list_add(struct exclusion_list *list, int64_t item)
{
    size_t at = exclusion_list_find(list, item);

    if (at < list->count && list->items[at] == item)
        return 0;
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 8 : list->capacity * 2;
        int64_t *items = realloc(list->items, capacity * sizeof(*items));

        if (items == NULL)
            return GW_RAISE(-ENOMEM);
        list->items = items;
        list->capacity = capacity;
    }
    memmove(&list->items[at + 1], &list->items[at], (list->count - at) * sizeof(*list->items));
    list->items[at] = item;
    list->count++;
    return 0;
}

/* ---- dates ---- */

struct exclusion_time {
    enum { EXCLUSION_DAY, EXCLUSION_WALL, EXCLUSION_INSTANT } kind;
    int64_t wall; /* as written; INSTANT: in UTC */
    int64_t ns;   /* INSTANT */
};

static bool exclusion_digits(const char *text, size_t count, int *ret_number)
{
    int number = 0;

    for (size_t i = 0; i < count; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (text[i] - '0');
    }
    *ret_number = number;
    return true;
}

static bool exclusion_civil_is_legal(const struct civil *civil)
{
    return civil->year >= 1678 && civil->year < 2262 && civil->month >= 1 && civil->month <= 12 &&
           civil->day >= 1 && civil->day <= civil_month_length(civil->year, civil->month) &&
           civil->hour < 24 && civil->minute < 60 && civil->second < 60;
}

/* 20261225, 20261225T083000, 20261225T083000Z. */
static bool exclusion_time_basic(struct gw_view text, struct exclusion_time *ret_time)
{
    struct civil civil = {0};
    int year;

    if ((text.size != 8 && text.size != 15 && text.size != 16) || !exclusion_digits(text.data, 4, &year) ||
        !exclusion_digits(text.data + 4, 2, &civil.month) || !exclusion_digits(text.data + 6, 2, &civil.day))
        return false;
    civil.year = year;
    ret_time->kind = EXCLUSION_DAY;
    if (text.size > 8) {
        if (text.data[8] != 'T' || !exclusion_digits(text.data + 9, 2, &civil.hour) ||
            !exclusion_digits(text.data + 11, 2, &civil.minute) ||
            !exclusion_digits(text.data + 13, 2, &civil.second))
            return false;
        ret_time->kind = EXCLUSION_WALL;
        if (text.size == 16) {
            if (text.data[15] != 'Z')
                return false;
            ret_time->kind = EXCLUSION_INSTANT;
        }
    }
    if (!exclusion_civil_is_legal(&civil))
        return false;
    ret_time->wall = civil_wall(&civil);
    ret_time->ns = ret_time->wall * GW_NS_PER_S;
    return true;
}

/* 2026-12-25, 2026-12-25T08:30:00Z. */
static bool exclusion_time_rfc3339(struct gw_view text, struct exclusion_time *ret_time)
{
    struct civil civil = {0};
    int year;

    if (text.size != 10) {
        if (!gw_time_parse(text, &ret_time->ns))
            return false;
        ret_time->kind = EXCLUSION_INSTANT;
        ret_time->wall = civil_floor(ret_time->ns, GW_NS_PER_S);
        return true;
    }
    if (text.data[4] != '-' || text.data[7] != '-' || !exclusion_digits(text.data, 4, &year) ||
        !exclusion_digits(text.data + 5, 2, &civil.month) || !exclusion_digits(text.data + 8, 2, &civil.day))
        return false;
    civil.year = year;
    if (!exclusion_civil_is_legal(&civil))
        return false;
    *ret_time = (struct exclusion_time){EXCLUSION_DAY, civil_wall(&civil), 0};
    return true;
}

static int exclusion_time_read(struct gw_view text, struct exclusion_time *ret_time, struct gw_reason *reason)
{
    struct exclusion_time time = {0};

    if (!exclusion_time_basic(text, &time) && !exclusion_time_rfc3339(text, &time))
        return GW_REFUSE(
            -EINVAL, reason,
            "\"%.*s\": not a date or time such as 20261225, 20261225T083000Z or 2026-12-25T08:30:00Z",
            (int)GW_MIN(text.size, 80), text.size > 0 ? text.data : "");
    *ret_time = time;
    return 0;
}

/* ---- lines: NAME;PARAMETER=VALUE:value ---- */

struct exclusion_line {
    struct gw_view name;
    const struct zone *zone; /* TZID; NULL: none */
    bool dates;              /* VALUE=DATE */
    struct gw_view value;
};

static int exclusion_line_parameter(struct exclusions *exclusions, struct gw_view text,
                                    struct exclusion_line *line, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes name = {0};

    if (gw_view_is_nocase(text, "VALUE=DATE")) {
        line->dates = true;
        return 0;
    }
    if (gw_view_is_nocase(text, "VALUE=DATE-TIME"))
        return 0;
    if (!gw_view_starts_nocase(text, "TZID="))
        return GW_REFUSE(-EINVAL, reason,
                         "\"%.*s\": known parameters are TZID=, VALUE=DATE and VALUE=DATE-TIME",
                         (int)GW_MIN(text.size, 80), text.data);
    gw_bytes_append(&name, text.data + 5, text.size - 5);
    if (gw_bytes_text(&name) == NULL)
        return GW_RAISE(-ENOMEM);
    return zone_store_get(exclusions->zones, gw_bytes_text(&name), &line->zone, reason);
}

static int exclusion_line_read(struct exclusions *exclusions, struct gw_view text,
                               struct exclusion_line *ret_line, struct gw_reason *reason)
{
    struct exclusion_line line = {0};
    const char *colon = memchr(text.data, ':', text.size), *end;
    const char *at;

    if (colon == NULL)
        return GW_REFUSE(-EINVAL, reason, "\"%.*s\": not a line such as EXDATE:20261225",
                         (int)GW_MIN(text.size, 80), text.data);
    line.value = gw_view_trim(gw_view(colon + 1, (size_t)(text.data + text.size - colon) - 1));
    at = memchr(text.data, ';', (size_t)(colon - text.data));
    line.name = gw_view_trim(gw_view(text.data, (size_t)((at == NULL ? colon : at) - text.data)));
    while (at != NULL) {
        at++;
        end = memchr(at, ';', (size_t)(colon - at));
        GW_TRY(exclusion_line_parameter(exclusions, gw_view(at, (size_t)((end == NULL ? colon : end) - at)),
                                        &line, reason));
        at = end;
    }
    *ret_line = line;
    return 0;
}

/* Calls `each` for the dates between the commas. */
static int exclusion_dates(struct exclusions *exclusions, const struct exclusion_line *line,
                           int (*each)(struct exclusions *exclusions, const struct exclusion_line *line,
                                       const struct exclusion_time *time),
                           struct gw_reason *reason)
{
    struct gw_view rest = line->value;

    for (;;) {
        const char *comma = rest.size > 0 ? memchr(rest.data, ',', rest.size) : NULL;
        size_t size = comma == NULL ? rest.size : (size_t)(comma - rest.data);
        struct exclusion_time time;

        if (exclusions->days.count + exclusions->walls.count + exclusions->instants.count >= EXCLUSIONS_MAX)
            return GW_REFUSE(-EINVAL, reason, "more than %d dates: write a rule", EXCLUSIONS_MAX);
        GW_TRY(exclusion_time_read(gw_view_trim(gw_view(rest.data, size)), &time, reason));
        if (line->dates && time.kind != EXCLUSION_DAY)
            return GW_REFUSE(-EINVAL, reason, "\"%.*s\": a date-time behind VALUE=DATE",
                             (int)GW_MIN(size, 80), rest.data);
        GW_TRY(each(exclusions, line, &time));
        if (comma == NULL)
            return 0;
        rest = gw_view(comma + 1, rest.size - size - 1);
    }
}

static int exclusion_add_day(struct exclusions *exclusions, const struct exclusion_line *line,
                             const struct exclusion_time *time)
{
    (void)line;
    return exclusion_list_add(&exclusions->days, civil_floor(time->wall, CIVIL_DAY_S));
}

static int exclusion_add_time(struct exclusions *exclusions, const struct exclusion_line *line,
                              const struct exclusion_time *time)
{
    if (time->kind == EXCLUSION_DAY)
        return exclusion_add_day(exclusions, line, time);
    if (time->kind == EXCLUSION_INSTANT)
        return exclusion_list_add(&exclusions->instants, time->ns);
    if (line->zone != NULL)
        return exclusion_list_add(&exclusions->instants, zone_first(line->zone, time->wall) * GW_NS_PER_S);
    return exclusion_list_add(&exclusions->walls, time->wall);
}

/* ---- rules ---- */

static int64_t exclusion_to_wall(const void *zone, int64_t instant)
{
    return zone_wall(zone, instant);
}

static int exclusion_add_rule(struct exclusions *exclusions, struct gw_view text,
                              const struct recurrence_start *start, const struct zone *zone,
                              struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes copy = {0};
    struct exclusion_rule rule = {.zone = zone}, *rules;

    if (exclusions->rules_count == EXCLUSIONS_RULES_MAX)
        return GW_REFUSE(-EINVAL, reason, "more than %d rules", EXCLUSIONS_RULES_MAX);
    gw_bytes_append_view(&copy, text);
    if (gw_bytes_text(&copy) == NULL)
        return GW_RAISE(-ENOMEM);
    rules = realloc(exclusions->rules, (exclusions->rules_count + 1) * sizeof(*rules));
    if (rules == NULL)
        return GW_RAISE(-ENOMEM);
    exclusions->rules = rules;
    GW_TRY(recurrence_new(&rule.recurrence, gw_bytes_text(&copy), start, exclusion_to_wall, zone, reason));
    exclusions->rules[exclusions->rules_count++] = rule;
    return 0;
}

static int exclusion_read_start(struct exclusions *exclusions, const struct exclusion_line *line,
                                struct recurrence_start *ret_start, const struct zone **ret_zone,
                                struct gw_reason *reason)
{
    struct exclusion_time time;

    GW_TRY(exclusion_time_read(line->value, &time, reason));
    *ret_start = (struct recurrence_start){true, time.kind == EXCLUSION_DAY, time.wall};
    if (line->zone != NULL)
        *ret_zone = line->zone;
    else if (time.kind == EXCLUSION_INSTANT)
        GW_TRY(zone_store_get(exclusions->zones, "UTC", ret_zone, reason));
    return 0;
}

/* ---- entries ---- */

int exclusions_new(struct exclusions **ret_exclusions, const struct zone *zone, struct zone_store *zones)
{
    struct exclusions *exclusions = calloc(1, sizeof(*exclusions));

    if (exclusions == NULL)
        return GW_RAISE(-ENOMEM);
    exclusions->zone = zone;
    exclusions->zones = zones;
    *ret_exclusions = exclusions;
    return 0;
}

struct exclusions *exclusions_free(struct exclusions *exclusions)
{
    if (exclusions == NULL)
        return NULL;
    for (size_t i = 0; i < exclusions->rules_count; i++)
        recurrence_free(exclusions->rules[i].recurrence);
    free(exclusions->rules);
    free(exclusions->days.items);
    free(exclusions->walls.items);
    free(exclusions->instants.items);
    free(exclusions);
    return NULL;
}

int exclusions_add_argo(struct exclusions *exclusions, const char *text, struct gw_reason *reason)
{
    static const char *const ignored[] = {"RRULE", "RDATE", "EXRULE", "DTSTART"};
    struct gw_view view = gw_view_trim(gw_view_text(text));
    struct exclusion_line line;

    GW_TRY(exclusion_line_read(exclusions, view, &line, reason));
    if (gw_view_is_nocase(line.name, "EXDATE"))
        return exclusion_dates(exclusions, &line, exclusion_add_day, reason);
    for (size_t i = 0; i < GW_COUNT_OF(ignored); i++) {
        if (gw_view_is_nocase(line.name, ignored[i]))
            return EXCLUSIONS_IGNORED;
    }
    return GW_REFUSE(-EINVAL, reason, "\"%.*s\": not a line EXDATE:20261225T000000Z,…",
                     (int)GW_MIN(view.size, 80), view.data);
}

/* What the lines of one entry have said so far. */
struct exclusion_entry {
    struct recurrence_start start;
    const struct zone *zone;
    bool start_used;
};

static int exclusion_entry_line(struct exclusions *exclusions, struct gw_view text,
                                struct exclusion_entry *entry, struct gw_reason *reason)
{
    struct exclusion_line line = {.value = text};

    if (text.data[0] >= '0' && text.data[0] <= '9')
        return exclusion_dates(exclusions, &line, exclusion_add_time, reason);
    GW_TRY(exclusion_line_read(exclusions, text, &line, reason));
    if (gw_view_is_nocase(line.name, "EXDATE"))
        return exclusion_dates(exclusions, &line, exclusion_add_time, reason);
    if (gw_view_is_nocase(line.name, "RRULE")) {
        entry->start_used = true;
        return exclusion_add_rule(exclusions, line.value, &entry->start, entry->zone, reason);
    }
    if (gw_view_is_nocase(line.name, "DTSTART"))
        return exclusion_read_start(exclusions, &line, &entry->start, &entry->zone, reason);
    return GW_REFUSE(-EINVAL, reason,
                     "\"%.*s\": known lines are EXDATE:, RRULE: and DTSTART:", (int)GW_MIN(text.size, 80),
                     text.data);
}

int exclusions_add(struct exclusions *exclusions, const char *text, struct gw_reason *reason)
{
    struct exclusion_entry entry = {.zone = exclusions->zone};
    struct gw_view rest = gw_view_text(text);
    size_t lines = 0;

    while (rest.size > 0) {
        const char *end = memchr(rest.data, '\n', rest.size);
        size_t size = end == NULL ? rest.size : (size_t)(end - rest.data);
        struct gw_view line = gw_view_trim(gw_view(rest.data, size));

        rest = end == NULL ? gw_view(NULL, 0) : gw_view(end + 1, rest.size - size - 1);
        if (line.size == 0)
            continue;
        GW_TRY(exclusion_entry_line(exclusions, line, &entry, reason));
        lines++;
    }
    if (lines == 0)
        return GW_REFUSE(-EINVAL, reason,
                         "nothing is written here; an exclusion looks like EXDATE:20261225 or RRULE:FREQ=…");
    if (entry.start.given && !entry.start_used)
        return GW_REFUSE(-EINVAL, reason, "DTSTART without an RRULE behind it");
    return 0;
}

bool exclusions_has(struct exclusions *exclusions, int64_t tick_ns)
{
    int64_t instant = civil_floor(tick_ns, GW_NS_PER_S), wall = zone_wall(exclusions->zone, instant);
    bool whole_second = instant * GW_NS_PER_S == tick_ns;

    if (exclusion_list_has(&exclusions->days, civil_floor(wall, CIVIL_DAY_S)) ||
        exclusion_list_has(&exclusions->instants, tick_ns) ||
        (whole_second && exclusion_list_has(&exclusions->walls, wall)))
        return true;
    for (size_t i = 0; i < exclusions->rules_count; i++) {
        struct exclusion_rule *rule = &exclusions->rules[i];

        /* A sub-second tick falls on a day, but never on a time of whole seconds. */
        if (recurrence_has(rule->recurrence, zone_wall(rule->zone, instant)) &&
            (whole_second || recurrence_of_days(rule->recurrence)))
            return true;
    }
    return false;
}
