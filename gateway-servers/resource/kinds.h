/* Kinds: what the API server says it has, and how a source's resource is found there. Pure.
 * https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api (unaggregated: every server and everybody has it) */
#ifndef RESOURCE_KINDS_H
#define RESOURCE_KINDS_H

#include "common/fault.h"
#include "gateway-servers/resource/plan.h"

/* A resource as it is watched. Texts are owned. */
struct kind {
    char *resource, *kind;
    bool namespaced;
};
void kind_done(struct kind *kind);

/* "/apis/apps/v1" or "/api/v1": the list of its resources. */
void kinds_path(struct gw_bytes *out, const char *group, const char *version);

/* Finds the plan's resource, or kind, in an APIResourceList. -EINVAL with words: it is not there (and what is near), or cannot
 * be watched; -EPROTO: this is no such list. */
int kinds_find(struct kind *ret_kind, struct gw_view list, const struct plan *plan,
               struct gw_reason *reason) GW_MUST_CHECK;

/* The words for a group and version that are not there, with what is near in an APIGroupList (GET /apis). */
void kinds_explain(struct gw_view groups, const struct plan *plan, struct gw_reason *reason);

/* The path of the collection in one namespace ("": all of them, or the kind has none). */
void kinds_collection(struct gw_bytes *out, const struct plan *plan, const struct kind *kind,
                      const char *namespace_);

#endif
