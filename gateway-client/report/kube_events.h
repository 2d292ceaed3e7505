/* Kubernetes Events of the gateway: what is told here is shown by kubectl describe. Nothing ever waits for it, and it never
 * floods an API server:
 *
 *     tell() ─▶ gathered for half a second; many of one kind become one Event
 *            ─▶ the same as lately? ─▶ a series, patched now and then
 *            ─▶ queue (bounded) ─▶ one token each: 25, and one more every 5 s ─▶ the API server
 *
 * What finds no room is counted, and lost. Loop thread only. Everything here takes NULL: without a cluster there are none. */
#ifndef GWC_KUBE_EVENTS_H
#define GWC_KUBE_EVENTS_H

#include "common/kube.h"
#include "common/metrics.h"
#include "gateway-client/report/kube_event.h"

struct gwc_kube_events;

struct gwc_kube_events_options {
    struct gw_kube *kube;          /* borrowed */
    const char *namespace_, *name; /* of the Gateway; copied */
    const char *instance;          /* of this process, as in the name of its Pod; copied */
    struct gw_metrics *metrics;    /* borrowed */
};

int gwc_kube_events_open(struct gwc_kube_events **ret_events,
                         const struct gwc_kube_events_options *options) GW_MUST_CHECK;
/* What was not sent yet is lost. */
struct gwc_kube_events *gwc_kube_events_close(struct gwc_kube_events *events);

/* The uid of the Gateway, each time it is seen; "": it is gone, and nothing can be told of it. */
void gwc_kube_events_regard(struct gwc_kube_events *events, const char *uid);
/* `subject` and `words` as in struct gwc_event_subject. */
void gwc_kube_events_tell(struct gwc_kube_events *events, enum gwc_event_reason reason, const char *subject,
                          const char *words);
/* Before the end of the process: does not wait for more of the same. True: nothing is left to send. */
bool gwc_kube_events_flush(struct gwc_kube_events *events);

#endif
