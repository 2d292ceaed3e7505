/* Sighting: an object as a feed saw it, read and copied once for all who are told of it. Loop thread. */
#ifndef RESOURCE_SIGHTING_H
#define RESOURCE_SIGHTING_H

#include "common/kube_known.h"
#include "common/kube_watch.h"
#include "gateway-servers/resource/object.h"

/* The JSON of an object, held by as many as want it. */
struct kept {
    size_t refs, size;
    char json[];
};
struct kept *kept_hold(struct kept *kept);
struct kept *kept_drop(struct kept *kept); /* takes NULL, returns NULL */
size_t kept_bytes(void);                   /* of all that is kept, in the process */

struct sighting {
    enum gw_kube_change change;
    struct gw_kube_id id;
    bool listed;
    int64_t now_ns;
    struct object object;
    struct kept *copies[2]; /* without and with managedFields; made when first wanted */
};

/* Views into `object`. False: its JSON is none. */
bool sighting_read(struct sighting *sighting, const struct gw_kube_object *object, int64_t now_ns);
void sighting_done(struct sighting *sighting);

/* A copy of the object, with metadata.managedFields or without; one reference is the caller's. */
int sighting_keep(struct sighting *sighting, bool managed_fields, struct kept **ret_kept) GW_MUST_CHECK;
/* The same without a copy of its own, where there need not be one. Borrowed from the sighting. */
int sighting_json(struct sighting *sighting, bool managed_fields, struct gw_view *ret_json) GW_MUST_CHECK;

#endif
