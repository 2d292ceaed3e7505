/* A merge patch (RFC 7386): the smallest document that turns what somebody has into what it should be. Pure. */
#ifndef GWC_MERGE_PATCH_H
#define GWC_MERGE_PATCH_H

#include "common/node.h"

/* What the patch is about; each includes those before it. */
enum gwc_patch {
    GWC_PATCH_NOTHING,  /* the two are the same */
    GWC_PATCH_COUNTERS, /* only members whose values always move */
    GWC_PATCH_MATTERS,
};

/* What a document consists of: names ended by NULL. */
struct gwc_patch_shape {
    const char *const *owned;    /* members at the top that may be removed: others belong to others */
    const char *const *counters; /* members at any depth whose values always move */
};

/* Appends the patch; nothing is appended when there is none. `before` NULL: there is nothing yet. Both are mappings; `after`
 * holds no null. Lists are replaced whole. Members in the same order on both sides make it fast. */
enum gwc_patch gwc_merge_patch(const struct gw_node *before, const struct gw_node *after,
                               const struct gwc_patch_shape *shape, struct gw_bytes *out);

#endif
