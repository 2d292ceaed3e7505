/* Broken configurations, made of a good one and of what a schema says about it. Pure. */
#ifndef GWC_CHECK_CONFIG_H
#define GWC_CHECK_CONFIG_H

#include "common/fault.h"
#include "common/node.h"

enum gwc_variant_kind {
    GWC_VARIANT_ODD,     /* has to be answered, well or not: empty */
    GWC_VARIANT_WRONG,   /* has to be a problem */
    GWC_VARIANT_UNKNOWN, /* has a field that nobody knows */
};

struct gwc_variant {
    enum gwc_variant_kind kind;
    const char *what;    /* "an object for `port`" */
    const char *field;   /* that is wrong; NULL: the whole */
    struct gw_view text; /* YAML */
};

enum { GWC_VARIANTS_MAX = 48 };
struct gwc_variants {
    struct gwc_variant items[GWC_VARIANTS_MAX];
    size_t count;
};

/* Everything lives in `arena`. `good` and `schema` may be NULL: then there are fewer. -ENOMEM. */
int gwc_variants_make(struct gw_arena *arena, const struct gw_node *good, const struct gw_node *schema,
                      struct gwc_variants *ret_variants) GW_MUST_CHECK;
/* The schema knows no other fields than it names. */
bool gwc_schema_is_closed(const struct gw_node *schema);

#endif
