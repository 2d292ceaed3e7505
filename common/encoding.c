/* Text: base64, hexadecimal and percent encodings. */
#include "common/text.h"

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void gw_base64_encode(struct gw_bytes *out, struct gw_view data)
{
    const unsigned char *at = (const unsigned char *)data.data;
    size_t whole = data.size / 3 * 3;
    char *end = gw_bytes_reserve(out, data.size / 3 * 4 + 4);

    if (end == NULL)
        return;
    char *start = end;
    for (size_t i = 0; i < data.size; i += 3) {
        bool second = i < whole || data.size - i > 1, third = i < whole;
        uint32_t bits = (uint32_t)at[i] << 16;
        bits |= second ? (uint32_t)at[i + 1] << 8 : 0;
        bits |= third ? at[i + 2] : 0;
        *end++ = base64_digits[bits >> 18];
        *end++ = base64_digits[bits >> 12 & 63];
        *end++ = second ? base64_digits[bits >> 6 & 63] : '=';
        *end++ = third ? base64_digits[bits & 63] : '=';
    }
    out->size += (size_t)(end - start);
}

static int base64_value(char digit)
{
    if (digit >= 'A' && digit <= 'Z')
        return digit - 'A';
    if (digit >= 'a' && digit <= 'z')
        return digit - 'a' + 26;
    if (digit >= '0' && digit <= '9')
        return digit - '0' + 52;
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

/* The bits of four digits, of which the last `padding` are '='; negative: not base64, or bits behind the end
 * are set. */
static int32_t base64_quad(const char *digits, size_t padding)
{
    int32_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? base64_value(digits[i]) : 0;
        if (value < 0)
            return -1;
        bits = bits << 6 | value;
    }
    return (bits & ((1 << (8 * padding)) - 1)) != 0 ? -1 : bits;
}

bool gw_base64_decode(struct gw_bytes *out, struct gw_view text)
{
    size_t before = out->size, padding = 0;

    if (text.size % 4 != 0)
        return false;
    while (padding < 2 && text.size > padding && text.data[text.size - 1 - padding] == '=')
        padding++;
    char *end = gw_bytes_reserve(out, text.size / 4 * 3 + 1);
    if (end == NULL)
        return false;
    for (size_t i = 0; i < text.size; i += 4) {
        size_t missing = i + 4 == text.size ? padding : 0;
        int32_t bits = base64_quad(text.data + i, missing);
        if (bits < 0) {
            out->size = before;
            return false;
        }
        *end++ = (char)(bits >> 16);
        *end++ = (char)(bits >> 8);
        *end++ = (char)bits;
        out->size += 3 - missing;
    }
    return true;
}

void gw_hex_encode(struct gw_bytes *out, struct gw_view data)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < data.size; i++) {
        unsigned char byte = (unsigned char)data.data[i];
        gw_bytes_append(out, (char[]){digits[byte >> 4], digits[byte & 15]}, 2);
    }
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

/* The byte that two digits stand for, -1 when they are not. */
static int hex_byte(const char *digits)
{
    int high = hex_value(digits[0]), low = hex_value(digits[1]);

    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool gw_hex_decode(struct gw_bytes *out, struct gw_view text)
{
    size_t before = out->size;

    if (text.size % 2 != 0)
        return false;
    for (size_t i = 0; i < text.size; i += 2) {
        int byte = hex_byte(text.data + i);
        if (byte < 0) {
            out->size = before;
            return false;
        }
        gw_bytes_append_char(out, (char)byte);
    }
    return !out->failed;
}

/* CloudEvents, HTTP binding 3.1.3.2: space, double quote, percent and all that is not printable ASCII are
 * encoded, with upper-case digits. */
static bool header_is_plain(unsigned char byte)
{
    return byte > ' ' && byte < 0x7F && byte != '"' && byte != '%';
}

/* By runs: on the path of every event, and seldom with anything to escape. */
void gw_percent_encode_header(struct gw_bytes *out, struct gw_view text)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;

    while (at < text.size) {
        size_t end = at;

        while (end < text.size && header_is_plain((unsigned char)text.data[end]))
            end++;
        gw_bytes_append(out, text.data + at, end - at);
        if (end < text.size) {
            unsigned char byte = (unsigned char)text.data[end++];
            gw_bytes_append(out, (const char[]){'%', digits[byte >> 4], digits[byte & 15]}, 3);
        }
        at = end;
    }
}

bool gw_percent_decode(struct gw_bytes *out, struct gw_view text, bool plus_is_space)
{
    size_t before = out->size;

    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            int value = text.size - i > 2 ? hex_byte(text.data + i + 1) : -1;
            if (value < 0) {
                out->size = before;
                return false;
            }
            byte = (char)value;
            i += 2;
        } else if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        gw_bytes_append_char(out, byte);
    }
    if (out->failed ||
        !gw_utf8_valid(gw_view(out->size == 0 ? NULL : out->data + before, out->size - before))) {
        out->size = GW_MIN(out->size, before);
        return false;
    }
    return true;
}
