/* Inside an origin: what the kinds of it have in common. */
#ifndef GWC_ORIGIN_PARTS_H
#define GWC_ORIGIN_PARTS_H

#include "gateway-client/origin/origin.h"

/* What a kind of origin does. */
struct gwc_origin_ops {
    void (*close)(struct gwc_origin *origin); /* frees it */
    enum gwc_origin_state (*state)(const struct gwc_origin *origin);
    struct gw_view (*object)(const struct gwc_origin *origin); /* NULL: there never is one */
    bool (*words)(const struct gwc_origin *origin, struct gw_reason *words);
    int (*read_spec)(struct gwc_origin *origin, struct gwc_spec **ret_spec, struct gw_problems *problems);
    int (*read_sources)(struct gwc_origin *origin, const struct gwc_spec *spec,
                        struct gwc_sources **ret_sources, struct gw_problems *problems);
};

/* The first member of each kind's own struct. Half-made ones may be closed: `ops` is set first. */
struct gwc_origin {
    const struct gwc_origin_ops *ops;
    enum gwc_origin_kind kind;
    char *label; /* owned, freed by gwc_origin_close() */
};

int gwc_origin_file_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                         const struct gwc_origin_options *options) GW_MUST_CHECK;
int gwc_origin_kube_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                         const struct gwc_origin_options *options) GW_MUST_CHECK;

/* Owned by the caller; NULL: no memory. */
char *gwc_origin_label_of(const struct gwc_origin_name *name, const char *namespace_);

/* Has what an object says to us changed? A Gateway's spec, a ConfigMap's data; nothing else counts. Both are JSON objects
 * from the API server; one may be empty, which differs from all others. */
bool gwc_origin_says_other(enum gwc_origin_kind kind, struct gw_view before, struct gw_view now);

#endif
