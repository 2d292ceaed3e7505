/* Event: a change as it is told. Pure.
 *
 *     id                UID.RESOURCEVERSION, and for what went UID.RESOURCEVERSION.DELETE
 *     type              sluice.resource.add, .update, .delete
 *     subject           NAMESPACE/NAME, or NAME
 *     time              now; of what a list told: when the object was written last, as far as it says
 *     partition key     the uid
 *     extensions        apiversion kind resource namespace name uid resourceversion
 *     data              payload.h */
#ifndef RESOURCE_EVENT_H
#define RESOURCE_EVENT_H

#include "gateway-servers/resource/kinds.h"
#include "gateway-servers/resource/member.h"
#include "gateway-servers/resource/payload.h"
#include "gateway-servers/sdk/module.h"

enum { EVENT_EXTENSIONS_MAX = 7 };
enum { EVENT_DATA_MAX = (4 << 20) - (256 << 10) }; /* a message of gRPC has 4 MiB */

/* How much of the object goes along: less, where an event would be too large for a message. */
enum event_size { EVENT_WHOLE, EVENT_WITHOUT_OLD, EVENT_REFERENCE };

/* Zero-initialised is empty. */
struct event {
    struct gws_event event; /* views into what follows */
    struct gw_extension extensions[EVENT_EXTENSIONS_MAX];
    struct gw_arena arena;
    struct gw_bytes data;
};

/* `event->event` is whole but for the position. `*ret_size`: what of it went along. */
int event_write(struct event *event, const struct plan *plan, const struct kind *kind,
                const struct member_event *what, int64_t now_ns, enum event_size *ret_size) GW_MUST_CHECK;
void event_done(struct event *event);

#endif
