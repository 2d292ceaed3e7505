/* Object: what the filters and payloads look at in a Kubernetes object, as views into its raw JSON. Pure. */
#ifndef RESOURCE_OBJECT_H
#define RESOURCE_OBJECT_H

#include "common/bytes.h"

struct object {
    struct gw_view json;
    struct gw_view metadata;            /* raw; empty: there is none */
    struct gw_view labels, annotations; /* raw mappings; empty: there are none */
    struct gw_view created;             /* raw text; empty: not said */
    struct gw_view managed_fields;      /* raw list; empty: there is none */
};

/* `json` is known to be valid. */
struct object object_read(struct gw_view json);

/* The text behind `key` in a raw mapping; false: there is none. */
bool object_text(struct gw_view mapping, const char *key, struct gw_bytes *ret_text);
/* metadata.creationTimestamp; false: not said. */
bool object_created(const struct object *object, int64_t *ret_ns);
/* When it was written last, as far as it says: the newest of metadata.managedFields[].time, else its creation, else
 * `otherwise`. Both know seconds only. */
int64_t object_written(const struct object *object, int64_t otherwise);

/* The object as it is, or without metadata.managedFields. */
void object_write(struct gw_bytes *out, const struct object *object, bool managed_fields);

#endif
