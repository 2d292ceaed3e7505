/* The plan: what to stop and what to start to get from one set of event sources to another. Pure. */
#ifndef GWC_PLAN_H
#define GWC_PLAN_H

#include "gateway-client/spec/sources.h"

struct gwc_plan {
    const struct gwc_source **stop; /* of the old set: gone, or changed */
    size_t stop_count;
    const struct gwc_source **start; /* of the new set: new, or changed */
    size_t start_count;
    size_t kept;
};

/* `before` may be NULL (nothing runs). A source is the same when key, type, name and config are. */
int gwc_plan_make(struct gwc_plan *ret_plan, const struct gwc_sources *before,
                  const struct gwc_sources *after) GW_MUST_CHECK;
void gwc_plan_done(struct gwc_plan *plan);

#endif
