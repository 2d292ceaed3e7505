/* Fields: one table of what each may hold, one reader for all. */
#include "gateway-servers/calendar/fields.h"

#include "common/text.h"

enum { FIELDS_MAX = 6, FIELD_NAME_SIZE = 3 };

struct field {
    const char *name;
    int min, max;
    const char *names; /* of min, min + 1, …: FIELD_NAME_SIZE letters each; NULL: none */
    const char *allowed;
    bool last;         /* takes L alone: the last day of the month */
    bool last_weekday; /* takes L behind a value: the last such weekday; and max means 0 */
};

enum { FIELD_SECOND, FIELD_MINUTE, FIELD_HOUR, FIELD_DAY, FIELD_MONTH, FIELD_WEEKDAY };
static const struct field fields[FIELDS_MAX] = {
    [FIELD_SECOND] = {"second", 0, 59, NULL, "0-59", false, false},
    [FIELD_MINUTE] = {"minute", 0, 59, NULL, "0-59", false, false},
    [FIELD_HOUR] = {"hour", 0, 23, NULL, "0-23", false, false},
    [FIELD_DAY] = {"day-of-month", 1, 31, NULL, "1-31 and L", true, false},
    [FIELD_MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", "1-12 and JAN-DEC", false,
                     false},
    [FIELD_WEEKDAY] = {"day-of-week", 0, 7, "sunmontuewedthufrisat",
                       "0-7, SUN-SAT, and 5L or FRIL for the last Friday", false, true},
};

/* What one field says. */
struct field_value {
    uint64_t mask, last_weekdays;
    bool star, last;
};

struct field_reader {
    const struct field *field;
    struct gw_view text; /* the whole field, for words */
    struct gw_reason *reason;
};

static int field_refuse(const struct field_reader *reader, struct gw_view item, const char *why)
{
    const struct gw_view *text = &reader->text;
    bool whole = item.size == 0 || item.size == text->size;

    return GW_REFUSE(-EINVAL, reader->reason, "%s field \"%.*s\"%s%.*s%s %s; allowed is %s",
                     reader->field->name, (int)GW_MIN(text->size, 80), text->data, whole ? "" : ": \"",
                     whole ? 0 : (int)GW_MIN(item.size, 40), whole ? "" : item.data, whole ? "" : "\"", why,
                     reader->field->allowed);
}

/* Splits `text` at the first `separator`: *ret_rest is what is behind it. False: it is not there. */
static bool field_split(struct gw_view *text, char separator, struct gw_view *ret_rest)
{
    const char *at = text->size > 0 ? memchr(text->data, separator, text->size) : NULL;

    if (at == NULL)
        return false;
    *ret_rest = gw_view(at + 1, (size_t)(text->data + text->size - at) - 1);
    text->size = (size_t)(at - text->data);
    return true;
}

static bool field_by_name(const struct field *field, struct gw_view text, int *ret_value)
{
    if (field->names == NULL || text.size != FIELD_NAME_SIZE)
        return false;
    for (int i = 0; field->names[i * FIELD_NAME_SIZE] != '\0'; i++) {
        const char name[FIELD_NAME_SIZE + 1] = {field->names[i * FIELD_NAME_SIZE],
                                                field->names[i * FIELD_NAME_SIZE + 1],
                                                field->names[i * FIELD_NAME_SIZE + 2], '\0'};

        if (gw_view_is_nocase(text, name)) {
            *ret_value = field->min + i;
            return true;
        }
    }
    return false;
}

static int field_read_value(const struct field_reader *reader, struct gw_view text, int *ret_value)
{
    uint64_t number;

    if (field_by_name(reader->field, text, ret_value))
        return 0;
    if (text.size == 0)
        return field_refuse(reader, text, "lacks a value");
    if (!gw_text_u64(text, INT32_MAX, &number))
        return field_refuse(reader, text, "is not a value of this field");
    if (number < (uint64_t)reader->field->min || number > (uint64_t)reader->field->max)
        return field_refuse(reader, text, "is out of range");
    *ret_value = (int)number;
    return 0;
}

static int field_read_step(const struct field_reader *reader, struct gw_view text, int *ret_step)
{
    uint64_t number;

    if (!gw_text_u64(text, INT32_MAX, &number) || number == 0)
        return field_refuse(reader, text, "is not a step: a step is a number from 1");
    *ret_step = (int)number;
    return 0;
}

/* "a", "a-b", "*": the first and last value. */
static int field_read_range(const struct field_reader *reader, struct gw_view text, bool step, int *ret_first,
                            int *ret_last, bool *ret_star)
{
    const struct field *field = reader->field;
    struct gw_view whole = text, end = {0};
    int first = 0, last = 0;

    if (gw_view_is(text, "*") || gw_view_is(text, "?")) {
        *ret_first = field->min;
        *ret_last = field->last_weekday ? field->max - 1 : field->max; /* 7 is 0 again */
        *ret_star = true;
        return 0;
    }
    if (!field_split(&text, '-', &end)) {
        GW_TRY(field_read_value(reader, text, &first));
        last = !step ? first : field->last_weekday && first < field->max ? field->max - 1 : field->max;
    } else {
        GW_TRY(field_read_value(reader, text, &first));
        GW_TRY(field_read_value(reader, end, &last));
        if (field->last_weekday && last == 0 && first > 0)
            last = field->max; /* fri-sun */
        if (last < first)
            return field_refuse(reader, whole, "begins after its end: write two ranges with a comma");
    }
    *ret_first = first;
    *ret_last = last;
    return 0;
}

/* "L", "5L". Verdict FIELD_PLAIN: the item is not about the last of something. */
enum { FIELD_PLAIN = 1 };
static int field_read_last(const struct field_reader *reader, struct gw_view item, struct field_value *value)
{
    struct gw_view day = item;
    int weekday;

    if (item.size == 0 || (item.data[item.size - 1] | 0x20) != 'l')
        return FIELD_PLAIN;
    day.size--;
    if (reader->field->last && day.size == 0) {
        value->last = true;
        return 0;
    }
    if (!reader->field->last_weekday)
        return FIELD_PLAIN; /* also "jul" */
    if (day.size == 0)
        return field_refuse(reader, item, "needs a weekday before it");
    GW_TRY(field_read_value(reader, day, &weekday));
    value->last_weekdays |= UINT64_C(1) << weekday % 7;
    return 0;
}

static int field_read_item(const struct field_reader *reader, struct gw_view item, struct field_value *value)
{
    struct gw_view range = item, step_text;
    int first = 0, last = 0, step = 1, verdict = field_read_last(reader, item, value);
    bool stepped = field_split(&range, '/', &step_text);

    if (verdict != FIELD_PLAIN)
        return verdict;
    if (stepped)
        GW_TRY(field_read_step(reader, step_text, &step));
    GW_TRY(field_read_range(reader, range, stepped, &first, &last, &value->star));
    for (int64_t at = first; at <= last; at += step)
        value->mask |= UINT64_C(1) << (reader->field->last_weekday ? at % 7 : at);
    return 0;
}

static int field_read(const struct field *field, struct gw_view text, struct field_value *ret_value,
                      struct gw_reason *reason)
{
    const struct field_reader reader = {field, text, reason};
    struct gw_view rest = text;
    bool more;

    *ret_value = (struct field_value){0};
    do {
        struct gw_view item = rest;

        more = field_split(&item, ',', &rest);
        GW_TRY(field_read_item(&reader, item, ret_value));
    } while (more);
    return 0;
}

static bool field_is_space(char byte)
{
    return byte == ' ' || byte == '\t';
}

/* The words of `text`; more than FIELDS_MAX are counted, not kept. */
static size_t fields_split(struct gw_view text, struct gw_view words[static FIELDS_MAX])
{
    size_t count = 0, at = 0;

    for (;;) {
        size_t begin;

        while (at < text.size && field_is_space(text.data[at]))
            at++;
        if (at == text.size)
            return count;
        begin = at;
        while (at < text.size && !field_is_space(text.data[at]))
            at++;
        if (count < FIELDS_MAX)
            words[count] = gw_view(text.data + begin, at - begin);
        count++;
    }
}

int fields_parse(struct schedule *schedule, struct gw_view text, struct gw_reason *reason)
{
    struct gw_view words[FIELDS_MAX];
    struct field_value values[FIELDS_MAX] = {[FIELD_SECOND] = {.mask = 1}};
    size_t count = fields_split(text, words), first = FIELDS_MAX - count;

    if (count != FIELDS_MAX - 1 && count != FIELDS_MAX)
        return GW_REFUSE(-EINVAL, reason,
                         "\"%.*s\": %zu fields; a schedule has five (minute, hour, day-of-month, month, "
                         "day-of-week), or six with the second first",
                         (int)GW_MIN(text.size, 100), text.size > 0 ? text.data : "", count);
    for (size_t i = 0; i < count; i++)
        GW_TRY(field_read(&fields[first + i], words[i], &values[first + i], reason));

    *schedule = (struct schedule){
        .seconds = values[FIELD_SECOND].mask,
        .minutes = values[FIELD_MINUTE].mask,
        .hours = values[FIELD_HOUR].mask,
        .days = values[FIELD_DAY].mask,
        .months = values[FIELD_MONTH].mask,
        .weekdays = values[FIELD_WEEKDAY].mask,
        .last_weekdays = values[FIELD_WEEKDAY].last_weekdays,
        .last_day = values[FIELD_DAY].last,
        .any_day = values[FIELD_DAY].star,
        .any_weekday = values[FIELD_WEEKDAY].star,
        .any_time = values[FIELD_SECOND].star || values[FIELD_MINUTE].star || values[FIELD_HOUR].star,
    };
    return 0;
}
