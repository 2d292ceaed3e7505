/* What a plain YAML scalar says: the rules of YAML 1.1 as Go's yaml.v2, and so Kubernetes and Argo, apply
 * them. */
#include "common/yaml_scalar.h"

static bool word_in(struct gw_view plain, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (gw_view_is(plain, *words))
            return true;
    }
    return false;
}

static bool is_null(struct gw_view plain)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};

    return word_in(plain, words);
}

static bool is_truth(struct gw_view plain, bool *ret_truth)
{
    static const char *const yes[] = {"y",  "Y",  "yes",  "Yes",  "YES",  "on",
                                      "On", "ON", "true", "True", "TRUE", NULL};
    static const char *const no[] = {"n",   "N",   "no",    "No",    "NO",    "off",
                                     "Off", "OFF", "false", "False", "FALSE", NULL};

    if (word_in(plain, yes))
        *ret_truth = true;
    else if (word_in(plain, no))
        *ret_truth = false;
    else
        return false;
    return true;
}

static bool is_not_json(struct gw_view plain)
{
    static const char *const words[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF", "+.inf",
                                        "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", NULL};

    return word_in(plain, words);
}

static bool digits_only(struct gw_view text, char last)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > last)
            return false;
    }
    return text.size > 0;
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    digit = (char)(digit | 0x20);
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : 99;
}

/* Digits of `base`, the whole text; false: others, none, or more than 64 bits. */
static bool integer_read(struct gw_view digits, unsigned base, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (size_t i = 0; i < digits.size; i++) {
        unsigned digit = (unsigned)digit_value(digits.data[i]);

        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
    }
    *ret_value = value;
    return digits.size > 0;
}

/* 0x1F, 0o17, 0b101 and 017; decimal ones keep their digits and are not read here. */
static bool based_integer(struct gw_view digits, uint64_t *ret_value)
{
    char letter = digits.size >= 2 && digits.data[0] == '0' ? (char)(digits.data[1] | 0x20) : '\0';
    unsigned base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;

    if (base != 0)
        return integer_read(gw_view(digits.data + 2, digits.size - 2), base, ret_value);
    if (digits.size >= 2 && digits.data[0] == '0' && digits_only(digits, '7'))
        return integer_read(gw_view(digits.data + 1, digits.size - 1), 8, ret_value);
    return false;
}

/* Decimal parts of a float: [whole][.[fraction]][e[sign]exponent]. */
struct float_parts {
    struct gw_view whole, fraction, exponent; /* the exponent with its sign */
};

static struct gw_view digits_at(const char *at, const char *end)
{
    const char *start = at;

    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return gw_view(start, (size_t)(at - start));
}

static bool float_read(struct gw_view text, struct float_parts *ret_parts)
{
    struct float_parts parts = {{0}, {0}, {0}};
    const char *at = text.data, *end = text.data + text.size;

    parts.whole = digits_at(at, end);
    at += parts.whole.size;
    if (at < end && *at == '.') {
        parts.fraction = digits_at(at + 1, end);
        at += 1 + parts.fraction.size;
    }
    if (parts.whole.size + parts.fraction.size == 0)
        return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        const char *start = ++at;

        if (at < end && (*at == '+' || *at == '-'))
            at++;
        struct gw_view digits = digits_at(at, end);
        if (digits.size == 0)
            return false;
        at += digits.size;
        parts.exponent = gw_view(start, (size_t)(at - start));
    }
    *ret_parts = parts;
    return at == end;
}

static void float_write(struct gw_bytes *out, const struct float_parts *parts)
{
    struct gw_view whole = parts->whole;

    while (whole.size > 1 && whole.data[0] == '0')
        whole = gw_view(whole.data + 1, whole.size - 1);
    if (whole.size == 0)
        gw_bytes_append_char(out, '0');
    gw_bytes_append_view(out, whole);
    if (parts->fraction.size > 0) {
        gw_bytes_append_char(out, '.');
        gw_bytes_append_view(out, parts->fraction);
    }
    if (parts->exponent.size > 0) {
        gw_bytes_append_char(out, 'e');
        gw_bytes_append_view(out, parts->exponent);
    }
}

/* The number in JSON's notation, `out` empty when it is none. `plain` has no underscores any more. */
static void number_write(struct gw_bytes *out, struct gw_view plain)
{
    bool negative = plain.size > 0 && plain.data[0] == '-';
    struct float_parts parts;
    uint64_t value;

    if (plain.size > 0 && (plain.data[0] == '-' || plain.data[0] == '+'))
        plain = gw_view(plain.data + 1, plain.size - 1);
    if (plain.size == 0)
        return;
    if (based_integer(plain, &value)) {
        gw_bytes_printf(out, "%s%llu", negative && value > 0 ? "-" : "", (unsigned long long)value);
    } else if (float_read(plain, &parts)) {
        if (negative)
            gw_bytes_append_char(out, '-');
        float_write(out, &parts);
    }
}

static bool may_be_number(struct gw_view plain)
{
    return plain.size > 0 && plain.data[0] != '\0' && strchr("0123456789+-.", plain.data[0]) != NULL;
}

static int scalar_text(struct gw_arena *arena, struct gw_view text, enum gw_node_kind kind,
                       struct gw_node *node)
{
    node->text = gw_arena_copy(arena, text);
    if (node->text == NULL)
        return GW_RAISE(-ENOMEM);
    node->kind = kind;
    node->text_size = text.size;
    return 0;
}

static int scalar_number(struct gw_arena *arena, struct gw_view plain, struct gw_node *node)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes digits = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes number = {0};

    for (size_t i = 0; i < plain.size; i++) {
        if (plain.data[i] != '_')
            gw_bytes_append_char(&digits, plain.data[i]);
    }
    number_write(&number, gw_bytes_view(&digits));
    if (digits.failed || number.failed)
        return GW_RAISE(-ENOMEM);
    if (number.size > 0)
        return scalar_text(arena, gw_bytes_view(&number), GW_NODE_NUMBER, node);
    return scalar_text(arena, plain, GW_NODE_TEXT, node);
}

int gw_yaml_scalar(struct gw_arena *arena, struct gw_view plain, struct gw_node *node)
{
    if (is_null(plain)) {
        node->kind = GW_NODE_NULL;
        return 0;
    }
    if (is_truth(plain, &node->truth)) {
        node->kind = GW_NODE_BOOL;
        return 0;
    }
    if (is_not_json(plain))
        return GW_YAML_SCALAR_NOT_JSON;
    if (may_be_number(plain))
        return scalar_number(arena, plain, node);
    return scalar_text(arena, plain, GW_NODE_TEXT, node);
}
