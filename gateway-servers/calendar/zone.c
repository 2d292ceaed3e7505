/* Zone: the TZif reader, and the questions that ticks ask. */
#include "gateway-servers/calendar/zone.h"
#include "gateway-servers/calendar/civil.h"
#include "gateway-servers/calendar/zone_file.h"
#include "gateway-servers/calendar/zone_rule.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    TZIF_HEADER_SIZE = 44,
    ZONE_TRANSITIONS_MAX = 20000,
    ZONE_OFFSET_MAX = 26 * 3600,
    ZONE_LOOK_BACK_S = 3 * CIVIL_DAY_S, /* over twice the largest offset */
};

struct zone_type {
    int32_t offset;
    uint8_t abbreviation; /* index into abbreviations */
};

struct zone {
    char *name;
    int64_t *times; /* ascending: type kinds[i] begins at times[i] */
    uint8_t *kinds;
    size_t times_count;
    struct zone_type types[256];
    size_t types_count; /* types[0] is before times[0] */
    char abbreviations[257];
    struct zone_rule rule; /* after the last of times, if has_rule */
    bool has_rule;
};

/* ---- TZif ---- */

struct tzif_header {
    uint32_t utc_count, standard_count, leap_count, times_count, types_count, characters_count;
    uint8_t version;
};

struct tzif_reader {
    const uint8_t *at;
    size_t left;
};

static bool tzif_take(struct tzif_reader *reader, size_t size, const uint8_t **ret_bytes)
{
    if (reader->left < size)
        return false;
    *ret_bytes = reader->at;
    reader->at += size;
    reader->left -= size;
    return true;
}

static int64_t tzif_number(const uint8_t *bytes, size_t size)
{
    uint64_t number = bytes[0] & 0x80 ? UINT64_MAX : 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return (int64_t)number;
}

static bool tzif_read_header(struct tzif_reader *reader, struct tzif_header *ret_header)
{
    const uint8_t *bytes;

    if (!tzif_take(reader, TZIF_HEADER_SIZE, &bytes) || memcmp(bytes, "TZif", 4) != 0)
        return false;
    ret_header->version = bytes[4];
    ret_header->utc_count = (uint32_t)tzif_number(bytes + 20, 4);
    ret_header->standard_count = (uint32_t)tzif_number(bytes + 24, 4);
    ret_header->leap_count = (uint32_t)tzif_number(bytes + 28, 4);
    ret_header->times_count = (uint32_t)tzif_number(bytes + 32, 4);
    ret_header->types_count = (uint32_t)tzif_number(bytes + 36, 4);
    ret_header->characters_count = (uint32_t)tzif_number(bytes + 40, 4);
    return ret_header->times_count <= ZONE_TRANSITIONS_MAX && ret_header->types_count <= 256 &&
           ret_header->characters_count <= 256 && ret_header->leap_count <= 1000 &&
           ret_header->utc_count <= 256 && ret_header->standard_count <= 256;
}

/* The size of the block behind a header, with times of `width` bytes. */
static size_t tzif_block_size(const struct tzif_header *header, size_t width)
{
    return header->times_count * (width + 1) + (size_t)header->types_count * 6 + header->characters_count +
           header->leap_count * (width + 4) + header->standard_count + header->utc_count;
}

static bool zone_read_types(struct zone *zone, struct tzif_reader *reader, const struct tzif_header *header)
{
    const uint8_t *bytes, *characters;

    if (header->types_count == 0 || !tzif_take(reader, (size_t)header->types_count * 6, &bytes) ||
        !tzif_take(reader, header->characters_count, &characters))
        return false;
    memcpy(zone->abbreviations, characters, header->characters_count);
    for (size_t i = 0; i < header->types_count; i++, bytes += 6) {
        int64_t offset = tzif_number(bytes, 4);

        if (offset < -ZONE_OFFSET_MAX || offset > ZONE_OFFSET_MAX || bytes[5] >= header->characters_count)
            return false;
        zone->types[i] = (struct zone_type){(int32_t)offset, bytes[5]};
    }
    zone->types_count = header->types_count;
    return true;
}

static bool zone_check_times(const struct zone *zone)
{
    for (size_t i = 0; i < zone->times_count; i++) {
        if (zone->kinds[i] >= zone->types_count || (i > 0 && zone->times[i] <= zone->times[i - 1]))
            return false;
    }
    return true;
}

/* Verdict ZONE_BAD: not a TZif block. */
enum { ZONE_BAD = 1, ZONE_LEAPS = 2 };
static int zone_read_block(struct zone *zone, struct tzif_reader *reader, const struct tzif_header *header,
                           size_t width)
{
    size_t count = header->times_count,
           behind = header->leap_count * (width + 4) + header->standard_count + header->utc_count;
    const uint8_t *times, *kinds, *skipped;

    if (header->leap_count > 0)
        return ZONE_LEAPS;
    if (!tzif_take(reader, count * width, &times) || !tzif_take(reader, count, &kinds))
        return ZONE_BAD;
    zone->times = calloc(count + 1, sizeof(*zone->times));
    zone->kinds = malloc(count + 1);
    if (zone->times == NULL || zone->kinds == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < count; i++)
        zone->times[i] = GW_MAX(tzif_number(times + i * width, width), -ZONE_FOREVER + (int64_t)i);
    if (count > 0)
        memcpy(zone->kinds, kinds, count);
    zone->times_count = count;
    if (!zone_read_types(zone, reader, header) || !tzif_take(reader, behind, &skipped) ||
        !zone_check_times(zone))
        return ZONE_BAD;
    return 0;
}

/* "\n<rule>\n"; an empty rule: the last type goes on. */
static int zone_read_footer(struct zone *zone, struct tzif_reader *reader)
{
    struct gw_view text = gw_view(reader->at, reader->left);
    const char *end;

    if (text.size < 2 || text.data[0] != '\n')
        return ZONE_BAD;
    end = memchr(text.data + 1, '\n', text.size - 1);
    if (end == NULL)
        return ZONE_BAD;
    text = gw_view(text.data + 1, (size_t)(end - text.data) - 1);
    if (text.size == 0)
        return 0;
    zone->has_rule = zone_rule_parse(text, &zone->rule);
    return zone->has_rule ? 0 : ZONE_BAD;
}

static int zone_read_file(struct zone *zone, struct gw_view file)
{
    struct tzif_reader reader = {(const uint8_t *)file.data, file.size};
    struct tzif_header header;
    const uint8_t *skipped;
    int verdict;

    if (!tzif_read_header(&reader, &header))
        return ZONE_BAD;
    if (header.version == 0)
        return zone_read_block(zone, &reader, &header, 4);
    if (!tzif_take(&reader, tzif_block_size(&header, 4), &skipped) || !tzif_read_header(&reader, &header))
        return ZONE_BAD;
    verdict = zone_read_block(zone, &reader, &header, 8);
    return verdict != 0 ? verdict : zone_read_footer(zone, &reader);
}

static int zone_new(struct zone **ret_zone, const char *name)
{
    GW_AUTO(zone_freep) struct zone *zone = calloc(1, sizeof(*zone));

    if (zone == NULL)
        return GW_RAISE(-ENOMEM);
    zone->name = strdup(name);
    if (zone->name == NULL)
        return GW_RAISE(-ENOMEM);
    *ret_zone = GW_TAKE(zone);
    return 0;
}

int zone_read(struct zone **ret_zone, const char *name, struct gw_view file, struct gw_reason *reason)
{
    GW_AUTO(zone_freep) struct zone *zone = NULL;
    int verdict;

    GW_TRY(zone_new(&zone, name));
    verdict = zone_read_file(zone, file);
    if (verdict == ZONE_LEAPS)
        return GW_REFUSE(-EINVAL, reason, "time zone \"%s\": zones that count leap seconds are not supported",
                         name);
    if (verdict == ZONE_BAD)
        return GW_REFUSE(-EINVAL, reason, "time zone \"%s\": its file is damaged", name);
    GW_TRY(verdict);
    *ret_zone = GW_TAKE(zone);
    return 0;
}

static int zone_open_utc(struct zone **ret_zone)
{
    GW_TRY(zone_new(ret_zone, "UTC"));
    (*ret_zone)->types_count = 1;
    memcpy((*ret_zone)->abbreviations, "UTC", sizeof("UTC"));
    return 0;
}

int zone_open(struct zone **ret_zone, const char *name, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes file = {0};

    if (name[0] == '\0' || strcmp(name, "UTC") == 0)
        return zone_open_utc(ret_zone);
    GW_TRY(zone_file_read(name, &file, reason));
    return zone_read(ret_zone, name, gw_bytes_view(&file), reason);
}

struct zone *zone_free(struct zone *zone)
{
    if (zone == NULL)
        return NULL;
    free(zone->name);
    free(zone->times);
    free(zone->kinds);
    free(zone);
    return NULL;
}

/* ---- questions ---- */

const char *zone_name(const struct zone *zone)
{
    return zone->name;
}

bool zone_is_utc(const struct zone *zone)
{
    static const char *const names[] = {"UTC",  "Etc/UTC",  "Etc/UCT",   "UCT",
                                        "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"};

    for (size_t i = 0; i < GW_COUNT_OF(names); i++) {
        if (strcmp(zone->name, names[i]) == 0)
            return true;
    }
    return false;
}

static struct zone_span zone_at_rule(const struct zone *zone, int64_t instant, int64_t table_end)
{
    const struct zone_rule *rule = &zone->rule;
    struct zone_rule_span span = zone_rule_at(rule, instant);

    return (struct zone_span){
        .begin = GW_MAX(span.begin, table_end),
        .end = span.end,
        .offset = span.daylight ? rule->daylight : rule->standard,
        .abbreviation = span.daylight ? rule->daylight_name : rule->standard_name,
    };
}

struct zone_span zone_at(const struct zone *zone, int64_t instant)
{
    size_t low = 0, high = zone->times_count; /* the number of changes <= instant */
    struct zone_span span = {.begin = -ZONE_FOREVER, .end = ZONE_FOREVER};
    const struct zone_type *type;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (zone->times[middle] <= instant)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0)
        span.begin = zone->times[low - 1];
    if (low == zone->times_count && zone->has_rule)
        return zone_at_rule(zone, instant, span.begin);
    if (low < zone->times_count)
        span.end = zone->times[low];
    type = &zone->types[low > 0 ? zone->kinds[low - 1] : 0];
    span.offset = type->offset;
    span.abbreviation = &zone->abbreviations[type->abbreviation];
    return span;
}

int64_t zone_wall(const struct zone *zone, int64_t instant)
{
    return instant + zone_at(zone, instant).offset;
}

int64_t zone_first(const struct zone *zone, int64_t wall)
{
    struct zone_span span = zone_at(zone, wall - ZONE_LOOK_BACK_S / 2); /* the wall clock is not there yet */

    while (wall - span.offset >= span.end)
        span = zone_at(zone, span.end);
    return GW_MAX(wall - span.offset, span.begin);
}

int64_t zone_latest_wall(const struct zone *zone, int64_t instant)
{
    struct zone_span span = zone_at(zone, instant);
    int64_t latest = instant + span.offset;

    while (span.begin > instant - ZONE_LOOK_BACK_S) {
        int64_t before = span.begin - 1;

        span = zone_at(zone, before);
        latest = GW_MAX(latest, before + span.offset);
    }
    return latest;
}

/* ---- text ---- */

struct zone_parts {
    struct civil civil;
    struct zone_span span;
    char fraction[12];  /* ".5", "" */
    int offset_minutes; /* without sign */
    char sign;
};

static struct zone_parts zone_parts_of(const struct zone *zone, int64_t ns)
{
    int64_t instant = civil_floor(ns, GW_NS_PER_S);
    struct zone_span span = zone_at(zone, instant);
    struct zone_parts parts = {
        .civil = civil_of(instant + span.offset),
        .span = span,
        .offset_minutes = abs(span.offset) / 60,
        .sign = span.offset < 0 ? '-' : '+',
    };
    int nanoseconds = (int)(ns - instant * GW_NS_PER_S);

    if (nanoseconds != 0) {
        snprintf(parts.fraction, sizeof(parts.fraction), ".%09u", (unsigned)nanoseconds % 1000000000U);
        for (size_t end = strlen(parts.fraction); parts.fraction[end - 1] == '0'; end--)
            parts.fraction[end - 1] = '\0';
    }
    return parts;
}

const char *zone_format(const struct zone *zone, int64_t ns, enum zone_style style,
                        char buffer[static ZONE_TEXT_MAX])
{
    struct zone_parts parts = zone_parts_of(zone, ns);
    const struct civil *civil = &parts.civil;
    char offset[16] = "Z";

    if (parts.span.offset != 0 || (style == ZONE_NUMERIC && !zone_is_utc(zone)))
        snprintf(offset, sizeof(offset), "%c%02d:%02d", parts.sign, parts.offset_minutes / 60 % 100,
                 parts.offset_minutes % 60);
    snprintf(buffer, ZONE_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%s%s", (int)civil->year, civil->month,
             civil->day, civil->hour, civil->minute, civil->second, parts.fraction, offset);
    return buffer;
}

const char *zone_format_go(const struct zone *zone, int64_t ns, char buffer[static ZONE_TEXT_MAX])
{
    struct zone_parts parts = zone_parts_of(zone, ns);
    const struct civil *civil = &parts.civil;

    snprintf(buffer, ZONE_TEXT_MAX, "%04d-%02d-%02d %02d:%02d:%02d%s %c%02d%02d %.12s", (int)civil->year,
             civil->month, civil->day, civil->hour, civil->minute, civil->second, parts.fraction, parts.sign,
             parts.offset_minutes / 60 % 100, parts.offset_minutes % 60, parts.span.abbreviation);
    return buffer;
}

/* ---- store ---- */

int zone_store_get(struct zone_store *store, const char *name, const struct zone **ret_zone,
                   struct gw_reason *reason)
{
    GW_AUTO(zone_freep) struct zone *zone = NULL;

    if (name[0] == '\0')
        name = "UTC";
    for (size_t i = 0; i < store->count; i++) {
        if (strcmp(store->zones[i]->name, name) == 0) {
            *ret_zone = store->zones[i];
            return 0;
        }
    }
    GW_TRY(zone_open(&zone, name, reason));
    if (store->count == store->capacity) {
        size_t capacity = store->capacity == 0 ? 8 : store->capacity * 2;
        struct zone **zones = realloc(store->zones, capacity * sizeof(struct zone *));

        if (zones == NULL)
            return GW_RAISE(-ENOMEM);
        store->zones = zones;
        store->capacity = capacity;
    }
    *ret_zone = store->zones[store->count++] = GW_TAKE(zone);
    return 0;
}

void zone_store_done(struct zone_store *store)
{
    for (size_t i = 0; i < store->count; i++)
        zone_free(store->zones[i]);
    free(store->zones);
    *store = (struct zone_store){0};
}
