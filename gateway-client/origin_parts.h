/* Inside an origin: what the kinds of it have in common. */
#ifndef GWC_ORIGIN_PARTS_H
#define GWC_ORIGIN_PARTS_H

#include "gateway-client/origin.h"

/* What a kind of origin does. */
struct gwc_origin_ops {
    void (*close)(struct gwc_origin *origin); /* frees it */
    int (*read_spec)(const struct gwc_origin *origin, struct gwc_spec **ret_spec,
                     struct gw_problems *problems);
    int (*read_sources)(const struct gwc_origin *origin, const struct gwc_spec *spec,
                        struct gwc_sources **ret_sources, struct gw_problems *problems);
};

/* The first member of each kind's own struct. */
struct gwc_origin {
    const struct gwc_origin_ops *ops;
    enum gwc_origin_kind kind;
    char *label; /* owned, freed by gwc_origin_close() */
};

/* Half-made origins may be closed: `ops` is set first. */
int gwc_origin_file_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                         const struct gwc_origin_options *options) GW_MUST_CHECK;

#endif
