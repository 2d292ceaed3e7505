/* Bytes: a view of somebody's, a growing buffer of our own, and the arena. */
#include "common/bytes.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

bool gw_view_equal(struct gw_view a, struct gw_view b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

bool gw_view_is(struct gw_view view, const char *text)
{
    return gw_view_equal(view, gw_view_text(text));
}

/* Not strncasecmp: its answer depends on the locale, and it stops at a NUL. */
static unsigned char lower(char byte)
{
    return (unsigned char)(byte >= 'A' && byte <= 'Z' ? byte + ('a' - 'A') : byte);
}

bool gw_view_starts_nocase(struct gw_view view, const char *prefix)
{
    size_t size = strlen(prefix);

    if (view.size < size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (lower(view.data[i]) != lower(prefix[i]))
            return false;
    return true;
}

bool gw_view_is_nocase(struct gw_view view, const char *text)
{
    return view.size == strlen(text) && gw_view_starts_nocase(view, text);
}

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

struct gw_view gw_view_trim(struct gw_view view)
{
    while (view.size > 0 && is_space(view.data[0])) {
        view.data++;
        view.size--;
    }
    while (view.size > 0 && is_space(view.data[view.size - 1]))
        view.size--;
    return view;
}

void gw_bytes_done(struct gw_bytes *bytes)
{
    if (bytes == NULL)
        return;
    free(bytes->data);
    *bytes = (struct gw_bytes){0};
}

void gw_bytes_clear(struct gw_bytes *bytes)
{
    bytes->size = 0;
    bytes->failed = false;
}

char *gw_bytes_reserve(struct gw_bytes *bytes, size_t more)
{
    if (bytes->failed)
        return NULL;
    if (bytes->data != NULL && more <= bytes->capacity - bytes->size)
        return bytes->data + bytes->size;
    if (more > SIZE_MAX / 4 || bytes->size > SIZE_MAX / 4) {
        bytes->failed = true;
        return NULL;
    }
    size_t capacity = GW_MAX(GW_MAX(bytes->capacity * 2, bytes->size + more), (size_t)64);
    char *data = realloc(bytes->data, capacity);
    if (data == NULL) {
        bytes->failed = true;
        return NULL;
    }
    bytes->data = data;
    bytes->capacity = capacity;
    return data + bytes->size;
}

void gw_bytes_append(struct gw_bytes *bytes, const void *data, size_t size)
{
    if (size == 0)
        return;
    char *end = gw_bytes_reserve(bytes, size);
    if (end == NULL)
        return;
    memcpy(end, data, size);
    bytes->size += size;
}

void gw_bytes_append_view(struct gw_bytes *bytes, struct gw_view view)
{
    gw_bytes_append(bytes, view.data, view.size);
}

void gw_bytes_append_text(struct gw_bytes *bytes, const char *text)
{
    gw_bytes_append_view(bytes, gw_view_text(text));
}

void gw_bytes_append_char(struct gw_bytes *bytes, char byte)
{
    gw_bytes_append(bytes, &byte, 1);
}

void gw_bytes_printf(struct gw_bytes *bytes, const char *format, ...)
{
    va_list arguments;
    enum { GUESS = 128 };
    char *end = gw_bytes_reserve(bytes, GUESS);

    if (end == NULL)
        return;
    size_t room = bytes->capacity - bytes->size;
    va_start(arguments, format);
    int size = vsnprintf(end, room, format, arguments);
    va_end(arguments);
    if (size < 0) {
        bytes->failed = true;
        return;
    }
    if ((size_t)size >= room) {
        end = gw_bytes_reserve(bytes, (size_t)size + 1);
        if (end == NULL)
            return;
        va_start(arguments, format);
        vsnprintf(end, (size_t)size + 1, format, arguments);
        va_end(arguments);
    }
    bytes->size += (size_t)size;
}

const char *gw_bytes_text(struct gw_bytes *bytes)
{
    char *end = gw_bytes_reserve(bytes, 1);

    if (end == NULL)
        return NULL;
    *end = '\0';
    return bytes->data;
}

struct gw_arena_block {
    struct gw_arena_block *next;
    size_t used;
    size_t capacity;
    alignas(max_align_t) char data[];
};

enum { ARENA_BLOCK_MIN = 1024, ARENA_BLOCK_MAX = 65536 };

/* A block with room for `size`; blocks double up to a limit, so that a small tree stays small. */
static struct gw_arena_block *arena_grow(struct gw_arena *arena, size_t size)
{
    size_t capacity = ARENA_BLOCK_MIN;

    if (arena->blocks != NULL)
        capacity =
            GW_MIN(GW_MAX(arena->blocks->capacity, (size_t)ARENA_BLOCK_MIN) * 2, (size_t)ARENA_BLOCK_MAX);
    capacity = GW_MAX(capacity, size);
    struct gw_arena_block *block = calloc(1, sizeof(*block) + capacity);
    if (block == NULL)
        return NULL;
    block->capacity = capacity;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *gw_arena_alloc(struct gw_arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct gw_arena_block *block = arena->blocks;

    if (size > SIZE_MAX / 4)
        return NULL;
    size = (GW_MAX(size, (size_t)1) + align - 1) / align * align;
    if (block == NULL || block->capacity - block->used < size)
        block = arena_grow(arena, size);
    if (block == NULL)
        return NULL;
    void *memory = block->data + block->used;
    block->used += size;
    return memory;
}

char *gw_arena_copy(struct gw_arena *arena, struct gw_view view)
{
    if (view.size >= SIZE_MAX / 4)
        return NULL;
    char *copy = gw_arena_alloc(arena, view.size + 1);
    if (copy != NULL && view.size > 0)
        memcpy(copy, view.data, view.size);
    return copy;
}

char *gw_arena_printf(struct gw_arena *arena, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = size < 0 ? NULL : gw_arena_alloc(arena, (size_t)size + 1);
    if (text == NULL)
        return NULL;
    va_start(arguments, format);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return text;
}

void gw_arena_done(struct gw_arena *arena)
{
    if (arena == NULL)
        return;
    while (arena->blocks != NULL) {
        struct gw_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        free(block);
    }
}
