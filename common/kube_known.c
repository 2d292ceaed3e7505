/* What is known of a collection: an open-addressed table of small blocks, one an object. 50,000 objects take about 7 MB. */
#include "common/kube_known.h"

#include "common/clock.h"
#include "common/text.h"

#include <stdlib.h>

enum { SLOTS_MIN = 16 };

struct gw_kube_entry {
    uint32_t hash;
    uint16_t namespace_size, name_size, uid_size, version_size; /* without the NULs between them */
    bool seen;
    char text[]; /* the four, one after the other; then the user's extra bytes, aligned */
};

struct gw_kube_known {
    struct gw_kube_entry **slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
    size_t cursor; /* of take_missing */
    uint32_t seed; /* who chooses names must not choose their places */
    size_t extra_size;
};

/* ---- one entry ---- */

struct gw_kube_id gw_kube_entry_id(const struct gw_kube_entry *entry)
{
    const char *namespace_ = entry->text, *name = namespace_ + entry->namespace_size + 1;
    const char *uid = name + entry->name_size + 1;

    return (struct gw_kube_id){namespace_, name, uid, uid + entry->uid_size + 1};
}

static size_t extra_offset(size_t texts_size)
{
    size_t align = _Alignof(max_align_t);

    return (offsetof(struct gw_kube_entry, text) + texts_size + align - 1) / align * align;
}

void *gw_kube_entry_extra(const struct gw_kube_entry *entry)
{
    size_t texts =
        (size_t)entry->namespace_size + entry->name_size + entry->uid_size + entry->version_size + 4;

    return (char *)(uintptr_t)entry + extra_offset(texts);
}

static int entry_new(struct gw_kube_entry **ret_entry, const struct gw_kube_id *id, uint32_t hash,
                     size_t extra_size)
{
    const char *texts[] = {id->namespace_, id->name, id->uid, id->version};
    size_t sizes[4], total = 0;
    struct gw_kube_entry *entry;

    for (size_t i = 0; i < 4; i++) {
        sizes[i] = strlen(texts[i]);
        total += sizes[i] + 1;
        if (sizes[i] > UINT16_MAX)
            return GW_RAISE(-EMSGSIZE);
    }
    entry = malloc(extra_size == 0 ? offsetof(struct gw_kube_entry, text) + total
                                   : extra_offset(total) + extra_size);
    if (entry == NULL)
        return GW_RAISE(-ENOMEM);
    *entry = (struct gw_kube_entry){.hash = hash,
                                    .namespace_size = (uint16_t)sizes[0],
                                    .name_size = (uint16_t)sizes[1],
                                    .uid_size = (uint16_t)sizes[2],
                                    .version_size = (uint16_t)sizes[3],
                                    .seen = true};
    for (size_t i = 0, at = 0; i < 4; at += sizes[i++] + 1)
        memcpy(entry->text + at, texts[i], sizes[i] + 1);
    if (extra_size > 0)
        memset(gw_kube_entry_extra(entry), 0, extra_size);
    *ret_entry = entry;
    return 0;
}

/* ---- the table ---- */

static uint32_t names_hash(const struct gw_kube_known *known, const char *namespace_, const char *name)
{
    uint32_t hash = gw_fnv1a32(gw_view(&known->seed, sizeof(known->seed)), gw_view_text(namespace_));

    return gw_fnv1a32(gw_view(&hash, sizeof(hash)), gw_view_text(name));
}

static bool entry_is(const struct gw_kube_entry *entry, uint32_t hash, const char *namespace_,
                     const char *name)
{
    struct gw_kube_id id;

    if (entry->hash != hash)
        return false;
    id = gw_kube_entry_id(entry);
    return strcmp(id.name, name) == 0 && strcmp(id.namespace_, namespace_) == 0;
}

/* Where it is, or the free place where it would be. There is always a free one. */
static size_t slot_of(const struct gw_kube_known *known, uint32_t hash, const char *namespace_,
                      const char *name)
{
    size_t mask = known->capacity - 1, at = hash & mask;

    while (known->slots[at] != NULL && !entry_is(known->slots[at], hash, namespace_, name))
        at = (at + 1) & mask;
    return at;
}

static int table_resize(struct gw_kube_known *known, size_t capacity)
{
    struct gw_kube_entry **slots = calloc(capacity, sizeof(struct gw_kube_entry *));

    if (slots == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < known->capacity; i++) {
        struct gw_kube_entry *entry = known->slots[i];
        size_t at;

        if (entry == NULL)
            continue;
        for (at = entry->hash & (capacity - 1); slots[at] != NULL; at = (at + 1) & (capacity - 1))
            continue;
        slots[at] = entry;
    }
    free(known->slots);
    known->slots = slots;
    known->capacity = capacity;
    known->cursor = 0;
    return 0;
}

/* Takes the entry out and closes the gap, so that searches, which end at a free place, still find those behind it. */
static struct gw_kube_entry *slot_take(struct gw_kube_known *known, size_t gap)
{
    size_t mask = known->capacity - 1;
    struct gw_kube_entry *entry = known->slots[gap];

    for (size_t at = (gap + 1) & mask; known->slots[at] != NULL; at = (at + 1) & mask) {
        size_t home = known->slots[at]->hash & mask;

        if (((at - home) & mask) < ((at - gap) & mask))
            continue;
        known->slots[gap] = known->slots[at];
        gap = at;
    }
    known->slots[gap] = NULL;
    known->count--;
    return entry;
}

/* A collection that was large once need not hold its table for ever. Without memory for the small one it does. */
static void table_shrink(struct gw_kube_known *known)
{
    if (known->capacity > SLOTS_MIN && known->count < known->capacity / 8)
        (void)!table_resize(known, known->capacity / 4);
}

/* ---- life ---- */

int gw_kube_known_open(struct gw_kube_known **ret_known)
{
    return gw_kube_known_open_with(ret_known, 0);
}

int gw_kube_known_open_with(struct gw_kube_known **ret_known, size_t extra_size)
{
    GW_AUTO(gw_kube_known_closep) struct gw_kube_known *known = calloc(1, sizeof(*known));

    if (known == NULL)
        return GW_RAISE(-ENOMEM);
    known->seed = (uint32_t)gw_random_u64();
    known->extra_size = extra_size;
    GW_TRY(table_resize(known, SLOTS_MIN));
    *ret_known = GW_TAKE(known);
    return 0;
}

struct gw_kube_known *gw_kube_known_close(struct gw_kube_known *known)
{
    if (known == NULL)
        return NULL;
    for (size_t i = 0; i < known->capacity; i++)
        free(known->slots[i]);
    free(known->slots);
    free(known);
    return NULL;
}

size_t gw_kube_known_count(const struct gw_kube_known *known)
{
    return known->count;
}

/* ---- objects ---- */

static struct gw_kube_entry **known_slot(const struct gw_kube_known *known, const char *namespace_,
                                         const char *name)
{
    return &known->slots[slot_of(known, names_hash(known, namespace_, name), namespace_, name)];
}

const struct gw_kube_entry *gw_kube_known_find(const struct gw_kube_known *known, const char *namespace_,
                                               const char *name)
{
    return *known_slot(known, namespace_, name);
}

enum gw_kube_news gw_kube_known_compare(const struct gw_kube_known *known, const struct gw_kube_id *id)
{
    const struct gw_kube_entry *entry = gw_kube_known_find(known, id->namespace_, id->name);
    struct gw_kube_id before;

    if (entry == NULL)
        return GW_KUBE_NEWS_NEW;
    before = gw_kube_entry_id(entry);
    if (strcmp(before.uid, id->uid) != 0)
        return GW_KUBE_NEWS_REPLACED;
    return strcmp(before.version, id->version) == 0 ? GW_KUBE_NEWS_NONE : GW_KUBE_NEWS_CHANGED;
}

static void extra_move(const struct gw_kube_known *known, const struct gw_kube_entry *from,
                       struct gw_kube_entry *to)
{
    if (known->extra_size > 0 && from != NULL &&
        strcmp(gw_kube_entry_id(from).uid, gw_kube_entry_id(to).uid) == 0)
        memcpy(gw_kube_entry_extra(to), gw_kube_entry_extra(from), known->extra_size);
}

int gw_kube_known_put(struct gw_kube_known *known, const struct gw_kube_id *id)
{
    uint32_t hash = names_hash(known, id->namespace_, id->name);
    struct gw_kube_entry *entry = NULL, **slot;

    if ((known->count + 1) * 4 > known->capacity * 3)
        GW_TRY(table_resize(known, known->capacity * 2));
    GW_TRY(entry_new(&entry, id, hash, known->extra_size));
    slot = &known->slots[slot_of(known, hash, id->namespace_, id->name)];
    known->count += *slot == NULL;
    extra_move(known, *slot, entry);
    free(*slot);
    *slot = entry;
    return 0;
}

struct gw_kube_entry *gw_kube_known_take(struct gw_kube_known *known, const char *namespace_,
                                         const char *name)
{
    struct gw_kube_entry **slot = known_slot(known, namespace_, name), *entry = NULL;

    if (*slot != NULL)
        entry = slot_take(known, (size_t)(slot - known->slots));
    table_shrink(known);
    return entry;
}

/* ---- comparing a list ---- */

void gw_kube_known_begin(struct gw_kube_known *known)
{
    for (size_t i = 0; i < known->capacity; i++)
        if (known->slots[i] != NULL)
            known->slots[i]->seen = false;
    known->cursor = 0;
}

void gw_kube_known_see(struct gw_kube_known *known, const char *namespace_, const char *name)
{
    struct gw_kube_entry *entry = *known_slot(known, namespace_, name);

    if (entry != NULL)
        entry->seen = true;
}

/* The cursor stays after a find: what closes the gap may be missing too. */
struct gw_kube_entry *gw_kube_known_take_missing(struct gw_kube_known *known)
{
    for (; known->cursor < known->capacity; known->cursor++) {
        struct gw_kube_entry *entry = known->slots[known->cursor];

        if (entry != NULL && !entry->seen)
            return slot_take(known, known->cursor);
    }
    known->cursor = 0;
    table_shrink(known);
    return NULL;
}
