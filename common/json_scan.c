/* JSON on the event path: a scanner that looks and never allocates, and a writer of strings. */
#include "common/json.h"

struct json_scan {
    const char *at, *end;
    const char *expected; /* set when it failed: what would have been right at `at` */
};

/* ---- UTF-8 ---- */

static bool utf8_follows(const unsigned char *bytes, size_t count)
{
    for (size_t i = 1; i <= count; i++) {
        if ((bytes[i] & 0xC0) != 0x80)
            return false;
    }
    return true;
}

/* Bytes of the well-formed sequence that begins here, 0 if there is none (RFC 3629, section 4). */
static size_t utf8_sequence(const char *at, const char *end)
{
    const unsigned char *bytes = (const unsigned char *)at;
    size_t left = (size_t)(end - at);

    if (bytes[0] < 0x80)
        return 1;
    if (bytes[0] >= 0xC2 && bytes[0] <= 0xDF)
        return left >= 2 && utf8_follows(bytes, 1) ? 2 : 0;
    if (bytes[0] >= 0xE0 && bytes[0] <= 0xEF) {
        if (left < 3 || !utf8_follows(bytes, 2))
            return 0;
        if ((bytes[0] == 0xE0 && bytes[1] < 0xA0) || (bytes[0] == 0xED && bytes[1] > 0x9F))
            return 0;
        return 3;
    }
    if (bytes[0] >= 0xF0 && bytes[0] <= 0xF4) {
        if (left < 4 || !utf8_follows(bytes, 3))
            return 0;
        if ((bytes[0] == 0xF0 && bytes[1] < 0x90) || (bytes[0] == 0xF4 && bytes[1] > 0x8F))
            return 0;
        return 4;
    }
    return 0;
}

/* ---- scanner ---- */

static bool scan_failed(struct json_scan *scan, const char *expected)
{
    scan->expected = expected;
    return false;
}

static bool json_is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static bool json_is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static void scan_space(struct json_scan *scan)
{
    while (scan->at < scan->end && json_is_space(*scan->at))
        scan->at++;
}

/* The byte here, 0 at the end: a NUL in the text is nowhere right either. */
static char scan_peek(const struct json_scan *scan)
{
    return scan->at < scan->end ? *scan->at : '\0';
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

/* The four hex digits at `at`; false: fewer, or others. */
static bool hex_unit(const char *at, const char *end, uint32_t *ret_unit)
{
    uint32_t unit = 0;

    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        if (hex_value(at[i]) < 0)
            return false;
        unit = unit << 4 | (uint32_t)hex_value(at[i]);
    }
    *ret_unit = unit;
    return true;
}

static bool scan_escape(struct json_scan *scan)
{
    uint32_t unit;

    if (scan->end - scan->at < 2 || scan->at[1] == '\0' || strchr("\"\\/bfnrtu", scan->at[1]) == NULL)
        return scan_failed(scan, "one of the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    if (scan->at[1] == 'u') {
        if (!hex_unit(scan->at + 2, scan->end, &unit))
            return scan_failed(scan, "four hexadecimal digits after \\u");
        scan->at += 4;
    }
    scan->at += 2;
    return true;
}

static bool scan_string(struct json_scan *scan)
{
    scan->at++;
    while (scan->at < scan->end) {
        unsigned char byte = (unsigned char)*scan->at;

        if (byte == '"') {
            scan->at++;
            return true;
        }
        if (byte == '\\') {
            if (!scan_escape(scan))
                return false;
        } else if (byte < 0x20) {
            return scan_failed(scan, "an escape instead of a bare control character");
        } else if (byte < 0x80) {
            scan->at++;
        } else {
            size_t size = utf8_sequence(scan->at, scan->end);

            if (size == 0)
                return scan_failed(scan, "UTF-8");
            scan->at += size;
        }
    }
    return scan_failed(scan, "the closing quote of a string");
}

static bool scan_digits(struct json_scan *scan)
{
    if (!json_is_digit(scan_peek(scan)))
        return scan_failed(scan, "a digit");
    while (json_is_digit(scan_peek(scan)))
        scan->at++;
    return true;
}

static bool scan_number(struct json_scan *scan)
{
    if (scan_peek(scan) == '-')
        scan->at++;
    if (scan_peek(scan) == '0')
        scan->at++;
    else if (!scan_digits(scan))
        return false;
    if (scan_peek(scan) == '.') {
        scan->at++;
        if (!scan_digits(scan))
            return false;
    }
    if (scan_peek(scan) == 'e' || scan_peek(scan) == 'E') {
        scan->at++;
        if (scan_peek(scan) == '+' || scan_peek(scan) == '-')
            scan->at++;
        return scan_digits(scan);
    }
    return true;
}

static bool scan_word(struct json_scan *scan, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(scan->end - scan->at) < size || memcmp(scan->at, word, size) != 0)
        return scan_failed(scan, "a value");
    scan->at += size;
    return true;
}

static bool scan_scalar(struct json_scan *scan)
{
    switch (scan_peek(scan)) {
    case '"':
        return scan_string(scan);
    case 't':
        return scan_word(scan, "true");
    case 'f':
        return scan_word(scan, "false");
    case 'n':
        return scan_word(scan, "null");
    default:
        if (scan_peek(scan) == '-' || json_is_digit(scan_peek(scan)))
            return scan_number(scan);
        return scan_failed(scan, "a value");
    }
}

static bool scan_key(struct json_scan *scan)
{
    scan_space(scan);
    if (scan_peek(scan) != '"')
        return scan_failed(scan, "a key in double quotes");
    if (!scan_string(scan))
        return false;
    scan_space(scan);
    if (scan_peek(scan) != ':')
        return scan_failed(scan, "':' after the key");
    scan->at++;
    return true;
}

static char closing(char open)
{
    return open == '{' ? '}' : ']';
}

/* A value has ended: goes on to where the next one begins. False when there is none: done (`expected` NULL)
 * or wrong. */
static bool scan_onwards(struct json_scan *scan, const char *open, size_t *depth)
{
    while (*depth > 0) {
        char inside = open[*depth - 1];

        scan_space(scan);
        if (scan_peek(scan) == ',') {
            scan->at++;
            return inside == '{' ? scan_key(scan) : true;
        }
        if (scan_peek(scan) != closing(inside))
            return scan_failed(scan, inside == '{' ? "',' or '}'" : "',' or ']'");
        scan->at++;
        (*depth)--;
    }
    return false;
}

static bool scan_value(struct json_scan *scan)
{
    char open[GW_JSON_DEPTH_MAX];
    size_t depth = 0;

    do {
        char byte;

        scan_space(scan);
        byte = scan_peek(scan);
        while (byte == '{' || byte == '[') {
            if (depth == GW_JSON_DEPTH_MAX)
                return scan_failed(scan, "fewer levels of nesting");
            open[depth++] = byte;
            scan->at++;
            scan_space(scan);
            if (scan_peek(scan) == closing(byte))
                break;
            if (byte == '{' && !scan_key(scan))
                return false;
            scan_space(scan);
            byte = scan_peek(scan);
        }
        /* An empty object or array is closed by scan_onwards. */
        if (byte != '{' && byte != '[' && !scan_scalar(scan))
            return false;
    } while (scan_onwards(scan, open, &depth));
    return scan->expected == NULL;
}

bool gw_json_check(struct gw_view text, size_t *ret_offset, const char **ret_expected)
{
    if (text.size == 0) {
        *ret_offset = 0;
        *ret_expected = "a value";
        return false;
    }
    struct json_scan scan = {text.data, text.data + text.size, NULL};

    if (scan_value(&scan)) {
        scan_space(&scan);
        if (scan.at < scan.end)
            scan.expected = "the end of the text";
    }
    if (scan.expected == NULL)
        return true;
    *ret_offset = (size_t)(scan.at - text.data);
    *ret_expected = scan.expected;
    return false;
}

bool gw_json_valid(struct gw_view text)
{
    size_t offset;
    const char *expected;

    return gw_json_check(text, &offset, &expected);
}

/* ---- walk: the text is known to be valid, so only ends of tokens are looked for; bounds are kept all the
 * same ---- */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && json_is_space(*at))
        at++;
    return at;
}

static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end && *at != '"'; at++) {
        if (*at == '\\' && at + 1 < end)
            at++;
    }
    return at < end ? at + 1 : end;
}

static const char *skip_nested(const char *at, const char *end)
{
    size_t depth = 0;

    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            continue;
        }
        if (*at == '{' || *at == '[')
            depth++;
        else if ((*at == '}' || *at == ']') && --depth == 0)
            return at + 1;
        at++;
    }
    return end;
}

static const char *skip_value(const char *at, const char *end)
{
    if (at == end)
        return at;
    if (*at == '"')
        return skip_string(at, end);
    if (*at == '{' || *at == '[')
        return skip_nested(at, end);
    while (at < end && !json_is_space(*at) && *at != ',' && *at != '}' && *at != ']')
        at++;
    return at;
}

struct gw_json_walk gw_json_walk(struct gw_view text)
{
    struct gw_json_walk walk = {0};

    if (text.size == 0)
        return walk;
    const char *end = text.data + text.size;
    const char *at = skip_space(text.data, end);

    if (at == end || (*at != '{' && *at != '['))
        return walk;
    walk.open = *at;
    walk.rest = gw_view(at + 1, (size_t)(end - at) - 1);
    return walk;
}

static const char *walk_key(struct gw_json_walk *walk, const char *at, const char *end)
{
    const char *after = skip_string(at, end);

    walk->key = gw_view(at + 1, (size_t)(after - at) >= 2 ? (size_t)(after - at) - 2 : 0);
    at = skip_space(after, end);
    if (at < end && *at == ':')
        at++;
    return skip_space(at, end);
}

bool gw_json_next(struct gw_json_walk *walk)
{
    const char *end, *at, *after;

    if (walk->open == 0 || walk->rest.size == 0)
        return false;
    end = walk->rest.data + walk->rest.size;
    at = skip_space(walk->rest.data, end);
    if (at < end && *at == ',')
        at = skip_space(at + 1, end);
    if (at == end || *at == '}' || *at == ']')
        return false;
    if (walk->open == '{')
        at = walk_key(walk, at, end);
    after = skip_value(at, end);
    walk->value = gw_view(at, (size_t)(after - at));
    walk->rest = gw_view(after, (size_t)(end - after));
    return true;
}

struct gw_view gw_json_get(struct gw_view object, const char *name)
{
    struct gw_json_walk walk = gw_json_walk(object);

    while (walk.open == '{' && gw_json_next(&walk))
        if (gw_view_is(walk.key, name))
            return walk.value;
    return gw_view(NULL, 0);
}

/* ---- strings in and out ---- */

static void utf8_append(struct gw_bytes *out, uint32_t point)
{
    char bytes[4];
    size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0x00, 0xC0, 0xE0, 0xF0};

    for (size_t i = size - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (point & 0x3F));
        point >>= 6;
    }
    bytes[0] = (char)(lead[size] | point);
    gw_bytes_append(out, bytes, size);
}

/* `at` is behind "\u"; returns behind the character, NULL when it is none. */
static const char *unquote_unicode(struct gw_bytes *out, const char *at, const char *end)
{
    uint32_t unit, low;

    if (!hex_unit(at, end, &unit))
        return NULL;
    at += 4;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        if (end - at < 6 || at[0] != '\\' || at[1] != 'u' || !hex_unit(at + 2, end, &low) || low < 0xDC00 ||
            low > 0xDFFF)
            return NULL;
        unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        at += 6;
    } else if (unit >= 0xDC00 && unit <= 0xDFFF) {
        return NULL;
    }
    utf8_append(out, unit);
    return at;
}

/* `at` is behind the backslash. */
static const char *unquote_escape(struct gw_bytes *out, const char *at, const char *end)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (at == end)
        return NULL;
    if (*at == 'u')
        return unquote_unicode(out, at + 1, end);
    letter = *at == '\0' ? NULL : strchr(letters, *at);
    if (letter == NULL)
        return NULL;
    gw_bytes_append_char(out, bytes[letter - letters]);
    return at + 1;
}

bool gw_json_unquote(struct gw_bytes *out, struct gw_view token)
{
    size_t before = out->size;
    const char *at, *end;

    if (token.size < 2 || token.data[0] != '"' || token.data[token.size - 1] != '"')
        return false;
    at = token.data + 1;
    end = token.data + token.size - 1;
    while (at != NULL && at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        const char *run = escape == NULL ? end : escape;

        gw_bytes_append(out, at, (size_t)(run - at));
        at = escape == NULL ? end : unquote_escape(out, escape + 1, end);
    }
    if (at == NULL)
        out->size = before;
    return at != NULL;
}

static void quote_special(struct gw_bytes *out, unsigned char byte)
{
    static const char letters[] = "\"\\bfnrt", bytes[] = "\"\\\b\f\n\r\t";
    const char *found = byte == '\0' ? NULL : strchr(bytes, byte);

    if (byte >= 0x80)
        gw_bytes_append_text(out, "\xEF\xBF\xBD");
    else if (found == NULL)
        gw_bytes_printf(out, "\\u%04x", byte);
    else {
        gw_bytes_append_char(out, '\\');
        gw_bytes_append_char(out, letters[found - bytes]);
    }
}

/* Bytes at `at` that may stand in a JSON string as they are. */
static size_t quote_plain(const char *at, const char *end)
{
    const char *start = at;

    while (at < end) {
        unsigned char byte = (unsigned char)*at;
        size_t size = byte < 0x80 ? (byte >= 0x20 && byte != '"' && byte != '\\') : utf8_sequence(at, end);

        if (size == 0)
            break;
        at += size;
    }
    return (size_t)(at - start);
}

void gw_json_quote(struct gw_bytes *out, struct gw_view text)
{
    const char *at = text.data, *end = text.data + text.size;

    gw_bytes_append_char(out, '"');
    while (text.size > 0 && at < end) {
        size_t plain = quote_plain(at, end);

        gw_bytes_append(out, at, plain);
        at += plain;
        if (at < end)
            quote_special(out, (unsigned char)*at++);
    }
    gw_bytes_append_char(out, '"');
}
