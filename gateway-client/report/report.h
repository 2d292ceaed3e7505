/* The report: what the gateway-client tells the cluster of itself. The rooms of the client say here what happens; the report
 * keeps the status of the Gateway resource up to date (status_writer.[ch]) and tells what changed as Kubernetes Events
 * (kube_events.[ch]). A gateway whose spec is a file has none: everything here takes NULL. Loop thread only. */
#ifndef GWC_REPORT_H
#define GWC_REPORT_H

#include "gateway-client/client.h"
#include "gateway-client/report/kube_event.h"

struct gwc_report;

/* Begins to write: with leader election, only the leader may. The client is borrowed. */
int gwc_report_open(struct gwc_report **ret_report, struct gwc_client *client) GW_MUST_CHECK;
struct gwc_report *gwc_report_close(struct gwc_report *report);

/* The Gateway as the API server has it, each time that it is seen; empty: it is gone. */
void gwc_report_seen(struct gwc_report *report, struct gw_view object);
/* The spec that was seen last is in force, or refused. */
void gwc_report_judged(struct gwc_report *report);
/* Something happened: `subject` is the one it happened to, `words` say why, or "". */
void gwc_report_tell(struct gwc_report *report, enum gwc_event_reason reason, const char *subject,
                     const char *words);
void gwc_report_tell_problems(struct gwc_report *report, const char *subject,
                              const struct gw_problems *problems);
/* Something changed that is no news. */
void gwc_report_touch(struct gwc_report *report);
/* The stream's state or message changed. */
void gwc_report_stream(struct gwc_report *report, struct gwc_stream *stream);
/* Once a second: looks at the watchers, whose states nobody tells. */
void gwc_report_tick(struct gwc_report *report);
/* Before the end of the process, again and again until it is true: what there is to say was said, or cannot be. */
bool gwc_report_end(struct gwc_report *report);

#endif
