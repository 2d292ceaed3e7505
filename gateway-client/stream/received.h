/* What a gateway-server sent, read and checked: bytes of one message into events for the outbox. Pure. */
#ifndef GWC_RECEIVED_H
#define GWC_RECEIVED_H

#include "common/cloudevent.h"
#include "common/fault.h"
#include "gateway-client/spec/spec.h"

/* Whose stream it is; texts are borrowed. */
struct gwc_receiver {
    enum gwc_contract contract;        /* never AUTO */
    const char *gateway, *type, *name; /* of the gateway and the event source */
    const char *source;                /* CloudEvents source and type of events that do not say their own */
    const char *event_type;
    uint64_t sequence; /* of the last event; counts on with each message */
};

enum gwc_received_kind {
    GWC_RECEIVED_EVENTS,
    GWC_RECEIVED_STARTED,
    GWC_RECEIVED_NOTICE,
    GWC_RECEIVED_NOTHING
};

struct gwc_received {
    enum gwc_received_kind kind;
    struct gw_event **events; /* array owned, one reference each; taken over by the outbox */
    bool *natural;            /* owned; per event: its id is its own, not made here */
    size_t count;
    struct gw_bytes position; /* owned; of the last event that has one */
    bool warning;             /* NOTICE */
    char notice[GW_REASON_MAX];
};

/* Verdict GWC_RECEIVED_BAD: no such message may be sent, the reason says why; *ret_received is empty. < 0: no memory.
 * What the server left out of an event is filled in: id (UUID version 7), source, type, subject, time, content type. */
enum { GWC_RECEIVED_BAD = 1 };
int gwc_receive(struct gwc_receiver *receiver, struct gw_view bytes, struct gwc_received *ret_received,
                struct gw_reason *reason) GW_MUST_CHECK;
/* The fields of an event of gateway.v1 as they came, views into it; `extensions` has room for GW_EVENT_EXTENSIONS_MAX. False: the
 * event has more, and the fields none. */
struct Gateway__V1__Event;
bool gwc_received_fields(const struct Gateway__V1__Event *event, struct gw_extension *extensions,
                         struct gw_event_fields *ret_fields);
/* Frees what is still owned: set `events` to NULL after handing them over. */
void gwc_received_done(struct gwc_received *received);

#endif
