/* Payload: the data of an event, byte for byte what Argo's gateways of that version would have sent (their key order inside the
 * object apart), with the object as the API server wrote it. Pure.
 *
 *     v0.11   {"Obj":{…},"OldObj":{…},"Type":"UPDATE"}                 OldObj is null for ADD and DELETE
 *     v0.16   {"type":"UPDATE","body":{…},"group":"apps","version":"v1","resource":"deployments"}
 *
 * In mode reference the objects are core/v1 ObjectReferences. */
#ifndef RESOURCE_PAYLOAD_H
#define RESOURCE_PAYLOAD_H

#include "gateway-servers/resource/plan.h"

struct payload {
    enum change change;
    const char *group, *version, *resource, *kind;
    const char *namespace_, *name, *uid, *resource_version; /* resource_version "": not known */
    struct gw_view object; /* raw JSON, ready to go out; empty: its last state is not known */
    struct gw_view old;    /* the same; empty: null */
};

enum payload_shape { PAYLOAD_LEGACY, PAYLOAD_PLAIN }; /* v0.11, v0.16 */

void payload_write(struct gw_bytes *out, enum payload_shape shape, const struct payload *payload);
/* {"kind":…,"namespace":…,"name":…,"uid":…,"apiVersion":…,"resourceVersion":…} */
void payload_reference(struct gw_bytes *out, const struct payload *payload);
/* {"apiVersion":…,"kind":…,"metadata":{"name":…,"namespace":…,"uid":…}}: what can be said of an object that went unseen. */
void payload_remains(struct gw_bytes *out, const struct payload *payload);

#endif
