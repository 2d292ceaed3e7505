/* Text: checks, encodings and likenesses that more than one floor needs. */
#ifndef GW_TEXT_H
#define GW_TEXT_H

#include "common/bytes.h"

/* Well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool gw_utf8_valid(struct gw_view text);
/* At most `max` bytes of it, without the half of a character at the end. */
struct gw_view gw_utf8_cut(struct gw_view text, size_t max);

/* The candidate nearest to `word` by Damerau-Levenshtein distance, ASCII case not counting; NULL when none is near
 * (over a third of the length away). `candidates` ends with NULL. */
const char *gw_text_nearest(const char *word, const char *const *candidates);

/* Names of Kubernetes objects. A label (RFC 1123): at most 63 lower-case letters, digits and '-', a letter or digit at both
 * ends. A name: such parts of any length with dots between them, at most 253 characters. */
bool gw_dns_label_valid(struct gw_view label);
bool gw_dns_name_valid(struct gw_view name);

/* Decimal, the whole text, no sign for u64, within [min, max]. False: not such a number; *ret untouched. */
bool gw_text_i64(struct gw_view text, int64_t min, int64_t max, int64_t *ret_value);
bool gw_text_u64(struct gw_view text, uint64_t max, uint64_t *ret_value);

/* Bytes as people write them: 65536, 64Ki, 64KiB, 1M, 1Mi, 2Gi (k/M/G decimal, Ki/Mi/Gi binary). */
bool gw_text_size(struct gw_view text, uint64_t *ret_bytes);

/* Duration as Go's time.ParseDuration reads it: "90s", "1h30m", "1.5s", "300ms", "2us", "-1h". Nanoseconds.
 * A bare number is refused, "0" is not. False on overflow too. */
bool gw_duration_parse(struct gw_view text, int64_t *ret_ns);
/* As Go prints it: "1m30s", "1.5s", "300ms", "0s". At most GW_DURATION_MAX bytes with NUL. */
enum { GW_DURATION_MAX = 32 };
const char *gw_duration_format(char buffer[static GW_DURATION_MAX], int64_t ns);

/* Base64 of RFC 4648: encode with padding; decode accepts the standard alphabet, padding required, nothing else. */
void gw_base64_encode(struct gw_bytes *out, struct gw_view data);
bool gw_base64_decode(struct gw_bytes *out, struct gw_view text);
void gw_hex_encode(struct gw_bytes *out, struct gw_view data); /* lower case */
bool gw_hex_decode(struct gw_bytes *out, struct gw_view text); /* either case */

/* Percent-encoding: URL paths and queries (RFC 3986), and CloudEvents header values (HTTP binding 3.1.3.2). */
void gw_percent_encode_header(struct gw_bytes *out, struct gw_view text);
/* One pass; false on a stray '%' or a result that is not UTF-8. `plus_is_space`: form encoding. */
bool gw_percent_decode(struct gw_bytes *out, struct gw_view text, bool plus_is_space);

/* FNV-1a, 32 bit, of both views one after the other (Argo's event source id). */
uint32_t gw_fnv1a32(struct gw_view first, struct gw_view second);

/* True if equal; takes the same time wherever they differ (for secrets). Lengths are not secret. */
bool gw_equal_constant_time(struct gw_view a, struct gw_view b);

#endif
