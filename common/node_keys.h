/* A set of keys: tells of a mapping's keys which one came before. Keys are borrowed. */
#ifndef GW_NODE_KEYS_H
#define GW_NODE_KEYS_H

#include "common/base.h"

struct gw_node_keys {
    const char **slots; /* open addressing; room for `capacity`, a power of two */
    size_t capacity, count;
};

/* 0: it is in now. Verdict GW_NODE_KEYS_KNOWN: it was there already. -ENOMEM. */
enum { GW_NODE_KEYS_KNOWN = 1 };
int gw_node_keys_add(struct gw_node_keys *keys, const char *key) GW_MUST_CHECK;
void gw_node_keys_done(struct gw_node_keys *keys);

#endif
