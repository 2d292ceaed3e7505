/* Inside the event sources: a set while it is read, and one entry of it. */
#ifndef GWC_SOURCES_PARTS_H
#define GWC_SOURCES_PARTS_H

#include "gateway-client/spec/sources.h"

/* A set being read. `sources` has room for every entry, among the good and among the bad. */
struct gwc_sources_reader {
    const struct gwc_spec *spec;
    struct gwc_sources *sources;
    struct gw_problems *problems;
    const char *const *keys; /* of all entries, sorted */
    size_t keys_count;
};
bool gwc_sources_has_key(const struct gwc_sources_reader *reader, const char *key);

/* An entry as it was found. */
struct gwc_entry {
    const char *key;
    const char *file;
    const char *path; /* of problems: "data.orders" */
    int key_line;     /* 0: the key is the name of the file */
    struct gw_view text;
    int text_line;       /* line of the first line of `text` in `file` */
    const char *refusal; /* not NULL: it is bad for this reason, whatever its text */
};

/* Takes the entry into the set: among the good ones, or with its problems among the bad ones. `entry` is
 * copied. */
int gwc_sources_add(const struct gwc_sources_reader *reader, const struct gwc_entry *entry) GW_MUST_CHECK;

#endif
