/* A Kubernetes Event regarding the Gateway, to the letter of events.k8s.io/v1: what happened, as kubectl describe tells it. Pure.
 * https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ */
#ifndef GWC_KUBE_EVENT_H
#define GWC_KUBE_EVENT_H

#include "common/bytes.h"

enum gwc_event_reason {
    GWC_EVENT_SOURCE_RUNNING,
    GWC_EVENT_SOURCE_FAILED,
    GWC_EVENT_SOURCE_INVALID,
    GWC_EVENT_SOURCE_REMOVED,
    GWC_EVENT_EDIT_REFUSED,
    GWC_EVENT_WATCHER_FAILING,
    GWC_EVENT_WATCHER_RECOVERED,
    GWC_EVENT_WATCHER_INVALID,
    GWC_EVENT_CONFIGURATION_REFUSED,
    GWC_EVENT_CONFIGURATION_IN_FORCE,
    GWC_EVENT_CONFIGURATION_GONE,
    GWC_EVENT_OUTBOX_FULL,
    GWC_EVENT_OUTBOX_HAS_ROOM,
    GWC_EVENT_LEADER_ELECTED,
    GWC_EVENT_STOPPING,
    GWC_EVENT_REASONS_COUNT
};
const char *gwc_event_reason_name(enum gwc_event_reason reason); /* "SourceRunning", … */
bool gwc_event_reason_is_warning(enum gwc_event_reason reason);

/* Something of the gateway that one thing was told of. */
struct gwc_event_subject {
    const char *name;  /* of the event source, the watcher, …; "" where there is but one */
    const char *words; /* why, or ""  */
};
enum { GWC_EVENT_NOTE_MAX = 1024 }; /* bytes; the API server's limit */
/* "event source orders does not run: …"; of several "3 event sources do not run: orders: …; tick: …". `more` of them are not
 * among the subjects. Cut between characters. */
void gwc_event_note(struct gw_bytes *out, enum gwc_event_reason reason,
                    const struct gwc_event_subject *subjects, size_t count, size_t more);

/* Whom Events are about, and who tells them. */
struct gwc_event_regarding {
    const char *namespace_, *name, *uid; /* of the Gateway */
    const char *instance;                /* of the gateway-client: its Pod */
};
/* The name of an Event, unique by `random`. */
enum { GWC_EVENT_NAME_SIZE = 254 };
const char *gwc_event_name(char buffer[static GWC_EVENT_NAME_SIZE], const char *gateway, uint64_t random);
/* The Event as JSON. */
void gwc_event_write(struct gw_bytes *out, const struct gwc_event_regarding *regarding, const char *name,
                     enum gwc_event_reason reason, const char *note, int64_t realtime_ns);
/* The merge patch that makes it a series: it happened `count` (from 2) times, last at this time. */
void gwc_event_write_series(struct gw_bytes *out, uint64_t count, int64_t realtime_ns);

#endif
