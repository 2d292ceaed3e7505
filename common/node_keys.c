/* A set of keys: a hash table with open addressing. */
#include "common/node_keys.h"

#include "common/fault.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

enum { KEYS_CAPACITY_MIN = 16 };

static const char **keys_slot(const char **slots, size_t capacity, const char *key)
{
    size_t at = gw_fnv1a32(gw_view_text(key), gw_view_text("")) & (capacity - 1);

    while (slots[at] != NULL && strcmp(slots[at], key) != 0)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static int keys_grow(struct gw_node_keys *keys)
{
    size_t capacity = keys->capacity == 0 ? KEYS_CAPACITY_MIN : keys->capacity * 2;
    const char **slots = calloc(capacity, sizeof(*slots));

    if (slots == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < keys->capacity; i++) {
        if (keys->slots[i] != NULL)
            *keys_slot(slots, capacity, keys->slots[i]) = keys->slots[i];
    }
    free(keys->slots);
    keys->slots = slots;
    keys->capacity = capacity;
    return 0;
}

int gw_node_keys_add(struct gw_node_keys *keys, const char *key)
{
    const char **slot;

    if (keys->count * 2 >= keys->capacity)
        GW_TRY(keys_grow(keys));
    slot = keys_slot(keys->slots, keys->capacity, key);
    if (*slot != NULL)
        return GW_NODE_KEYS_KNOWN;
    *slot = key;
    keys->count++;
    return 0;
}

void gw_node_keys_done(struct gw_node_keys *keys)
{
    free(keys->slots);
    *keys = (struct gw_node_keys){0};
}
