/* Bytes: a view of somebody's, and a growing buffer of our own. */
#ifndef GW_BYTES_H
#define GW_BYTES_H

#include "common/base.h"

#include <string.h>

/* Borrowed bytes; not terminated. */
struct gw_view {
    const char *data;
    size_t size;
};

static inline struct gw_view gw_view(const void *data, size_t size)
{
    return (struct gw_view){data, size};
}

/* The view of a C string; NULL gives the empty view. */
static inline struct gw_view gw_view_text(const char *text)
{
    return (struct gw_view){text, text == NULL ? 0 : strlen(text)};
}

bool gw_view_equal(struct gw_view a, struct gw_view b);
bool gw_view_is(struct gw_view view, const char *text);
/* ASCII case does not count. */
bool gw_view_is_nocase(struct gw_view view, const char *text);
bool gw_view_starts_nocase(struct gw_view view, const char *prefix);
/* Without ASCII white space at both ends. */
struct gw_view gw_view_trim(struct gw_view view);

/* Owned growing buffer; zero-initialised is empty. After a failed append the buffer remembers it (`failed`) and
 * takes nothing more, so a writer checks once, at the end. */
struct gw_bytes {
    char *data;
    size_t size;
    size_t capacity;
    bool failed;
};

void gw_bytes_done(struct gw_bytes *bytes);
void gw_bytes_clear(struct gw_bytes *bytes); /* keeps the memory; clears `failed` */
/* Makes room for `more` bytes behind `size` and returns where they go, NULL without memory. */
char *gw_bytes_reserve(struct gw_bytes *bytes, size_t more);
void gw_bytes_append(struct gw_bytes *bytes, const void *data, size_t size);
void gw_bytes_append_view(struct gw_bytes *bytes, struct gw_view view);
void gw_bytes_append_text(struct gw_bytes *bytes, const char *text);
void gw_bytes_append_char(struct gw_bytes *bytes, char byte);
void gw_bytes_printf(struct gw_bytes *bytes, const char *format, ...) GW_PRINTF(2, 3);
/* NUL-terminated contents (the NUL is not counted), NULL if an append failed. Borrowed. */
const char *gw_bytes_text(struct gw_bytes *bytes);
static inline struct gw_view gw_bytes_view(const struct gw_bytes *bytes)
{
    return (struct gw_view){bytes->data, bytes->size};
}

/* Arena: many small things with one end. Zero-initialised is empty; memory is zeroed. */
struct gw_arena {
    struct gw_arena_block *blocks;
};
void *gw_arena_alloc(struct gw_arena *arena, size_t size) GW_MUST_CHECK;
char *gw_arena_copy(struct gw_arena *arena, struct gw_view view) GW_MUST_CHECK; /* NUL-terminated */
char *gw_arena_printf(struct gw_arena *arena, const char *format, ...) GW_PRINTF(2, 3) GW_MUST_CHECK;
void gw_arena_done(struct gw_arena *arena);

#endif
