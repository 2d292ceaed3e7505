/* Plan: what a resource source's settings come to. Pure.
 *
 * A filter describes a set of objects. ADD is told when an object comes into it, UPDATE when it changes inside, DELETE when it
 * leaves: that is how the API server tells of labels and fields, and so it is with all the rest. */
#ifndef RESOURCE_PLAN_H
#define RESOURCE_PLAN_H

#include "gateway-servers/resource/config.h"
#include "gateway-servers/resource/object.h"
#include "gateway-servers/resource/path.h"
#include "gateway-servers/resource/selector.h"

enum change { CHANGE_ADD, CHANGE_UPDATE, CHANGE_DELETE };
enum { CHANGES = 3 };
extern const char *const change_names[CHANGES]; /* "ADD", … */

enum { PLAN_NAMESPACES_MAX = 64, PLAN_CHANGED_MAX = 32 };

struct plan {
    struct gw_arena arena;
    const char *group, *version;
    const char *resource, *kind;   /* one of them is NULL */
    const char *const *namespaces; /* a single "": all */
    size_t namespaces_count;
    bool told[CHANGES];
    struct selector labels, fields;
    const char *prefix;                         /* "": any */
    const struct gw_setting_pairs *annotations; /* of the config, which must outlive the plan */
    bool created_by_given, after_start;
    int64_t created_by_ns;
    const struct path *changed;
    size_t changed_count;
    bool legacy;    /* payload v0.11 */
    bool reference; /* mode */
    bool managed_fields, replay;
    bool keeps_objects; /* for OldObj */
};

/* 0 also when problems were added: the plan may be used only when there are none. < 0: no memory. */
int plan_make(struct plan *plan, const struct resource_config *config,
              struct gw_problems *problems) GW_MUST_CHECK;
void plan_done(struct plan *plan);

/* The part of the filter that the API server does not judge. `since_ns`: when the source was first started. `others` as in
 * selector_is_remote(). */
bool plan_matches(const struct plan *plan, bool others, int64_t since_ns, const char *name,
                  const struct object *object);
/* Only what never changes in an object is judged here: one that is out stays out. */
bool plan_is_steady(const struct plan *plan, bool others);

/* "apps/v1/deployments" or "v1/configmaps", for messages; "apps/v1/Deployment" while only the kind is known. */
void plan_name(const struct plan *plan, struct gw_bytes *out);
/* Which objects: the same text, the same set. */
void plan_write(const struct plan *plan, struct gw_bytes *out);

#endif
