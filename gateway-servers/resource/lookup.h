/* Lookup: asks the API server how a plan's resource is watched. Loop thread.
 *
 *     GET /apis/GROUP/VERSION ──200──▶ found there ──▶ GET collection?limit=1&fieldSelector=…, if there are fields to ask for
 *          └─404─▶ GET /apis: words about what there is instead                  200: it knows them   400: it does not
 *
 * It asks until it has an answer, with back-off: a resource may be defined, a permission given, at any time. */
#ifndef RESOURCE_LOOKUP_H
#define RESOURCE_LOOKUP_H

#include "common/backoff.h"
#include "common/kube.h"
#include "gateway-servers/resource/kinds.h"

/* Embedded in the caller's struct. */
struct lookup {
    struct gw_kube *kube;
    const struct plan *plan;
    void (*done)(struct lookup *lookup);                       /* once: kind and others say what was found */
    void (*waiting)(struct lookup *lookup, const char *words); /* not yet, and why */
    struct kind kind;
    bool others; /* the API server judges fields besides names and namespaces of this kind */

    struct gw_kube_call *call;
    struct gw_timer *timer;
    struct gw_backoff backoff;
};

/* The fields up to `waiting` are the caller's to fill first. */
int lookup_open(struct lookup *lookup) GW_MUST_CHECK;
void lookup_close(struct lookup *lookup); /* also of one that was never opened, all zero */

#endif
