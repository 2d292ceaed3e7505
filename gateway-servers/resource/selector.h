/* Selector: requirements on labels or fields, as Kubernetes knows them. All that the API server can judge is handed to it
 * as text; the rest is judged here. Pure.
 *
 *     {team: billing}                                       Argo v0.11: equal to
 *     - {key: team, operation: in, values: [billing, shop]} Argo v0.16: = == != in notin exists ! gt lt
 *     team in (billing,shop),!legacy,replicas>2             as with kubectl -l and --field-selector
 */
#ifndef RESOURCE_SELECTOR_H
#define RESOURCE_SELECTOR_H

#include "common/fault.h"
#include "common/node.h"
#include "gateway-servers/resource/path.h"

enum selector_operation {
    SELECTOR_EQUAL,
    SELECTOR_NOT_EQUAL, /* also where there is nothing, as the next but one */
    SELECTOR_IN,
    SELECTOR_NOT_IN,
    SELECTOR_EXISTS,
    SELECTOR_ABSENT,
    SELECTOR_GREATER, /* whole numbers */
    SELECTOR_LESS,
};

enum selector_of { SELECTOR_LABELS, SELECTOR_FIELDS };

struct selector_term {
    enum selector_operation operation;
    const char *key;
    const char *const *values;
    size_t values_count; /* 1, except IN and NOT_IN: at least 1, EXISTS and ABSENT: 0 */
    int64_t number;      /* GREATER, LESS */
    struct path path;    /* fields: where the value is */
};

enum { SELECTOR_TERMS_MAX = 64, SELECTOR_VALUES_MAX = 256 };
struct selector {
    struct selector_term *terms;
    size_t count;
};

/* From a setting in any of the three notations; a NULL node gives none. Everything lives in `arena`; problems (with paths
 * below `path`) were added when 0 comes back and something is wrong. < 0: no memory. */
int selector_read(struct selector *ret_selector, enum selector_of of, const struct gw_node *node,
                  const char *path, struct gw_arena *arena, struct gw_problems *problems) GW_MUST_CHECK;

/* What the API server can judge: every requirement on labels; = and != on plain fields, where `others` says whether it also knows
 * fields other than metadata.name and metadata.namespace (that depends on the kind). */
bool selector_is_remote(const struct selector_term *term, enum selector_of of, bool others);
/* The text for labelSelector= or fieldSelector=, of the remote terms; nothing when there are none. */
void selector_write(struct gw_bytes *out, const struct selector *selector, enum selector_of of, bool others);
/* Some term needs `others`. */
bool selector_wants_others(const struct selector *fields);

/* `value` counts only when it is there. */
bool selector_term_holds(const struct selector_term *term, bool there, const char *value);
/* Fields of an object's raw JSON, those terms that are not remote. Texts as they are, other scalars as written. */
bool selector_fields_hold(const struct selector *fields, bool others, struct gw_view json);

#endif
