/* Text: checks, likenesses, numbers and durations as people write them, constant-time comparison. */
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>

/* How many bytes the character at the front takes, 0 if it is not well-formed (table 3-7 of the Unicode
 * standard). */
static size_t utf8_character(const unsigned char *at, size_t size)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t need;

    if (at[0] < 0x80)
        return 1;
    if (at[0] >= 0xC2 && at[0] <= 0xDF)
        need = 2;
    else if ((at[0] & 0xF0) == 0xE0)
        need = 3;
    else if (at[0] >= 0xF0 && at[0] <= 0xF4)
        need = 4;
    else
        return 0;
    if (at[0] == 0xE0)
        low = 0xA0;
    else if (at[0] == 0xED)
        high = 0x9F;
    else if (at[0] == 0xF0)
        low = 0x90;
    else if (at[0] == 0xF4)
        high = 0x8F;
    if (size < need || at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    return need;
}

struct gw_view gw_utf8_cut(struct gw_view text, size_t max)
{
    size_t start = max;

    if (text.size <= max)
        return text;
    while (start > 0 && ((unsigned char)text.data[start] & 0xC0) == 0x80)
        start--;
    return gw_view(text.data, max - start > 3 ? max : start); /* so many cannot belong to a character */
}

bool gw_utf8_valid(struct gw_view text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    size_t rest = text.size;

    while (rest > 0) {
        size_t size = utf8_character(at, rest);
        if (size == 0)
            return false;
        at += size;
        rest -= size;
    }
    return true;
}

enum { DNS_LABEL_MAX = 63, DNS_NAME_MAX = 253 };

static bool dns_edge(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

bool gw_dns_label_valid(struct gw_view label)
{
    if (label.size == 0 || label.size > DNS_LABEL_MAX)
        return false;
    for (size_t i = 0; i < label.size; i++)
        if (!dns_edge(label.data[i]) && label.data[i] != '-')
            return false;
    return dns_edge(label.data[0]) && dns_edge(label.data[label.size - 1]);
}

/* Kubernetes does not bound the labels of a name (RFC 1123 subdomain), only the whole. */
bool gw_dns_name_valid(struct gw_view name)
{
    char before = '.';

    if (name.size == 0 || name.size > DNS_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char byte = name.data[i];
        bool last = i + 1 == name.size || name.data[i + 1] == '.';

        if (byte == '.' ? before == '.' || last : (byte != '-' || before == '.' || last) && !dns_edge(byte))
            return false;
        before = byte;
    }
    return true;
}

enum { NEAREST_WORD_MAX = 63 };

static char lower(char byte)
{
    return (char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
}

/* Optimal string alignment: insertions, removals, changes and swaps of neighbours count one each. */
static size_t distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][NEAREST_WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_size; j++)
        last[j] = before[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t change = last[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            row[j] = GW_MIN(change, GW_MIN(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
                row[j] = GW_MIN(row[j], before[j - 2] + 1);
        }
        size_t *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[b_size];
}

const char *gw_text_nearest(const char *word, const char *const *candidates)
{
    const char *nearest = NULL;
    size_t size = strlen(word), least = SIZE_MAX;

    if (size > NEAREST_WORD_MAX)
        return NULL;
    for (; *candidates != NULL; candidates++) {
        size_t candidate_size = strlen(*candidates);
        if (candidate_size > NEAREST_WORD_MAX)
            continue;
        size_t apart = distance(word, size, *candidates, candidate_size);
        if (apart < least && apart * 3 <= GW_MAX(size, candidate_size)) {
            least = apart;
            nearest = *candidates;
        }
    }
    return nearest;
}

bool gw_text_u64(struct gw_view text, uint64_t max, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (text.size == 0)
        return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)(unsigned char)text.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (value > max)
        return false;
    *ret_value = value;
    return true;
}

bool gw_text_i64(struct gw_view text, int64_t min, int64_t max, int64_t *ret_value)
{
    uint64_t magnitude;
    bool negative = text.size > 0 && text.data[0] == '-';

    if (text.size > 0 && (negative || text.data[0] == '+'))
        text = gw_view(text.data + 1, text.size - 1);
    if (!gw_text_u64(text, (uint64_t)INT64_MAX + negative, &magnitude))
        return false;
    int64_t value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    if (value < min || value > max)
        return false;
    *ret_value = value;
    return true;
}

bool gw_text_size(struct gw_view text, uint64_t *ret_bytes)
{
    static const struct {
        const char *name;
        uint64_t bytes;
    } units[] = {
        {"", 1},
        {"k", 1000},
        {"K", 1000},
        {"M", 1000000},
        {"G", 1000000000},
        {"T", UINT64_C(1000000000000)},
        {"Ki", UINT64_C(1) << 10},
        {"Mi", UINT64_C(1) << 20},
        {"Gi", UINT64_C(1) << 30},
        {"Ti", UINT64_C(1) << 40},
    };
    size_t digits = 0;
    uint64_t number;

    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9')
        digits++;
    if (!gw_text_u64(gw_view(text.data, digits), UINT64_MAX, &number))
        return false;
    struct gw_view unit = gw_view(text.data + digits, text.size - digits);
    if (unit.size > 0 && unit.data[unit.size - 1] == 'B')
        unit.size--;
    for (size_t i = 0; i < GW_COUNT_OF(units); i++) {
        if (!gw_view_is(unit, units[i].name))
            continue;
        if (__builtin_mul_overflow(number, units[i].bytes, &number))
            return false;
        *ret_bytes = number;
        return true;
    }
    return false;
}

static const struct duration_unit {
    const char *name;
    uint64_t ns;
} duration_units[] = {
    {"ns", 1},           {"us", 1000},      {"\xC2\xB5s", 1000}, /* U+00B5, micro sign */
    {"\xCE\xBCs", 1000},                                         /* U+03BC, Greek mu */
    {"ms", 1000000},     {"s", 1000000000}, {"m", UINT64_C(60000000000)}, {"h", UINT64_C(3600000000000)},
};

static bool is_digit(struct gw_view text, size_t at)
{
    return at < text.size && text.data[at] >= '0' && text.data[at] <= '9';
}

static const uint64_t duration_max = UINT64_C(1) << 63;

/* The digits behind the point: value / scale. Digits that no longer fit are ignored, as Go does. */
static size_t duration_fraction(struct gw_view text, size_t at, uint64_t *ret_value, double *ret_scale)
{
    uint64_t value = 0;
    double scale = 1;
    bool full = false;

    for (; is_digit(text, at); at++) {
        uint64_t next = value * 10 + (uint64_t)(text.data[at] - '0');
        full = full || value > (duration_max - 1) / 10 || next > duration_max;
        if (full)
            continue;
        value = next;
        scale *= 10;
    }
    *ret_value = value;
    *ret_scale = scale;
    return at;
}

static const struct duration_unit *duration_unit(struct gw_view name)
{
    for (size_t i = 0; i < GW_COUNT_OF(duration_units); i++)
        if (gw_view_is(name, duration_units[i].name))
            return &duration_units[i];
    return NULL;
}

/* One number with its unit ("1.5h") off the front of the text, added to the total. */
static bool duration_part(struct gw_view *text, uint64_t *total)
{
    uint64_t whole = 0, fraction = 0;
    double scale = 1;
    size_t at = 0;

    while (is_digit(*text, at))
        at++;
    size_t digits = at;
    if (digits > 0 && !gw_text_u64(gw_view(text->data, digits), duration_max, &whole))
        return false;
    if (at < text->size && text->data[at] == '.') {
        at = duration_fraction(*text, at + 1, &fraction, &scale);
        if (digits == 0 && at == 1)
            return false;
    } else if (digits == 0) {
        return false;
    }
    size_t unit_at = at;
    while (at < text->size && text->data[at] != '.' && !is_digit(*text, at))
        at++;
    const struct duration_unit *unit = duration_unit(gw_view(text->data + unit_at, at - unit_at));
    if (unit == NULL || whole > duration_max / unit->ns)
        return false;
    uint64_t ns = whole * unit->ns;
    if (fraction > 0)
        ns += (uint64_t)((double)fraction * ((double)unit->ns / scale));
    *text = gw_view(text->data + at, text->size - at);
    *total += ns;
    return ns <= duration_max && *total <= duration_max;
}

bool gw_duration_parse(struct gw_view text, int64_t *ret_ns)
{
    uint64_t total = 0;
    bool negative = text.size > 0 && text.data[0] == '-';

    if (text.size > 0 && (negative || text.data[0] == '+'))
        text = gw_view(text.data + 1, text.size - 1);
    if (gw_view_is(text, "0")) {
        *ret_ns = 0;
        return true;
    }
    if (text.size == 0)
        return false;
    while (text.size > 0)
        if (!duration_part(&text, &total))
            return false;
    if (!negative && total == duration_max)
        return false;
    *ret_ns = negative ? (int64_t)(0 - total) : (int64_t)total;
    return true;
}

/* "1.5" from 1500 thousandths: trailing zeros and a bare point are left out. */
static size_t write_decimal(char *out, size_t room, uint64_t value, uint64_t scale)
{
    int size = snprintf(out, room, "%llu", (unsigned long long)(value / scale));
    uint64_t rest = value % scale;

    if (rest > 0)
        out[size++] = '.';
    while (rest > 0) {
        scale /= 10;
        out[size++] = (char)('0' + rest / scale);
        rest %= scale;
    }
    out[size] = '\0';
    return (size_t)size;
}

const char *gw_duration_format(char buffer[static GW_DURATION_MAX], int64_t ns)
{
    uint64_t rest = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    size_t size = 0;

    if (ns < 0)
        buffer[size++] = '-';
    if (rest > 0 && rest < 1000000000) {
        bool nano = rest < 1000, micro = rest < 1000000;
        size += write_decimal(buffer + size, GW_DURATION_MAX - size, rest, nano ? 1 : micro ? 1000 : 1000000);
        snprintf(buffer + size, GW_DURATION_MAX - size, "%s", nano ? "ns" : micro ? "\xC2\xB5s" : "ms");
        return buffer;
    }
    uint64_t minutes = rest / UINT64_C(60000000000);
    if (minutes >= 60)
        size += (size_t)snprintf(buffer + size, GW_DURATION_MAX - size, "%lluh",
                                 (unsigned long long)(minutes / 60));
    if (minutes > 0)
        size += (size_t)snprintf(buffer + size, GW_DURATION_MAX - size, "%llum",
                                 (unsigned long long)(minutes % 60));
    size += write_decimal(buffer + size, GW_DURATION_MAX - size, rest % UINT64_C(60000000000), 1000000000);
    snprintf(buffer + size, GW_DURATION_MAX - size, "s");
    return buffer;
}

uint32_t gw_fnv1a32(struct gw_view first, struct gw_view second)
{
    const struct gw_view views[] = {first, second};
    uint32_t hash = 2166136261U;

    for (size_t v = 0; v < GW_COUNT_OF(views); v++)
        for (size_t i = 0; i < views[v].size; i++)
            hash = (hash ^ (unsigned char)views[v].data[i]) * 16777619U;
    return hash;
}

bool gw_equal_constant_time(struct gw_view a, struct gw_view b)
{
    unsigned char different = 0;

    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        different |= (unsigned char)(a.data[i] ^ b.data[i]);
        /* Hides the running value from the compiler, so that it cannot leave the loop early. */
        __asm__ volatile("" : "+r"(different));
    }
    return different == 0;
}
