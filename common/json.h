/* JSON: documents by cJSON, and a scanner and writer of our own for the event path, where numbers must come
 * out as they went in (cJSON keeps doubles) and nothing is allocated per value. RFC 8259. */
#ifndef GW_JSON_H
#define GW_JSON_H

#include "common/fault.h"
#include "common/node.h"

/* ---- documents ---- */

/* As gw_yaml_read, for JSON text (cJSON). A number is at most 63 characters long there. */
enum { GW_JSON_BAD = 1 };
int gw_json_read(struct gw_arena *arena, struct gw_view text, const struct gw_node **ret_root,
                 struct gw_problems *problems) GW_MUST_CHECK;
/* The tree as compact JSON. Numbers as written. Text that is not UTF-8 gets U+FFFD. */
void gw_json_write_node(struct gw_bytes *out, const struct gw_node *node);
/* The JSON text with two-space indents, for people; false if it is not JSON (out untouched). */
bool gw_json_pretty(struct gw_bytes *out, struct gw_view text);

/* ---- scanner: views into the text, nothing allocated ---- */

enum { GW_JSON_DEPTH_MAX = 128 };

/* One whole JSON value with optional white space around it, and nothing else; strict: UTF-8 checked. */
bool gw_json_valid(struct gw_view text);
/* The same, and when it is false where (bytes from the start) and what was expected there ("':' after the
 * key"). */
bool gw_json_check(struct gw_view text, size_t *ret_offset, const char **ret_expected);

/* Walks the members of one object or the elements of one array, whose text was found valid:
 *     struct gw_json_walk walk = gw_json_walk(text);
 *     while (gw_json_next(&walk)) use walk.key (raw, without quotes, may hold escapes), walk.value (raw
 * text);  */
struct gw_json_walk {
    struct gw_view rest;
    struct gw_view key;   /* objects only */
    struct gw_view value; /* raw: for a string with its quotes */
    char open;            /* '{', '[' or 0: neither */
};
struct gw_json_walk gw_json_walk(struct gw_view text);
bool gw_json_next(struct gw_json_walk *walk);
/* The raw value of a member of an object, found valid; empty: there is none. */
struct gw_view gw_json_get(struct gw_view object, const char *name);
/* Raw string token (with quotes) to UTF-8 bytes. False: not a string, or a lone surrogate. */
bool gw_json_unquote(struct gw_bytes *out, struct gw_view token);

/* ---- writer ---- */

/* `text` as a JSON string with quotes; what is not UTF-8 becomes U+FFFD. */
void gw_json_quote(struct gw_bytes *out, struct gw_view text);
/* Members and elements, each with the comma that it needs before it. Braces and brackets are the caller's. */
void gw_json_element(struct gw_bytes *out);
void gw_json_member(struct gw_bytes *out, const char *name); /* its value comes next */
void gw_json_member_text(struct gw_bytes *out, const char *name, const char *value);
void gw_json_member_number(struct gw_bytes *out, const char *name, uint64_t value);
void gw_json_member_truth(struct gw_bytes *out, const char *name, bool value);

#endif
