/* Inside the report: what report.c and report_status.c share. */
#ifndef GWC_REPORT_PARTS_H
#define GWC_REPORT_PARTS_H

#include "gateway-client/report/gateway_status.h"
#include "gateway-client/report/kube_events.h"
#include "gateway-client/report/report.h"
#include "gateway-client/report/status_writer.h"

struct gwc_report {
    struct gwc_client *client;
    struct gwc_status_writer *writer;
    struct gwc_kube_events *events;
    int64_t generation_seen, generation; /* of the spec: as seen last; as judged last */
    int64_t seen_ms, end_at_ms;          /* the loop's; 0: not ending */
    bool flushed;                        /* the last status is on its way */

    struct gwc_gateway_condition
        conditions[GWC_CONDITIONS_COUNT]; /* as composed last; their times go on from there */
    struct gw_reason messages[GWC_CONDITIONS_COUNT];
    bool recalled; /* those times were read from the API server once */
};

/* How a watcher is. */
enum report_watcher { REPORT_WATCHER_OK, REPORT_WATCHER_FAILING, REPORT_WATCHER_INVALID };
enum report_watcher report_watcher_state(const struct gwc_watcher *watcher,
                                         struct gwc_delivery_stats *ret_stats);

/* The problems in words, with the label of what they are about unless they name it. */
void report_problems(const struct gw_problems *problems, const char *label, struct gw_reason *words);

/* For struct gwc_status_writer_options. */
void report_compose(void *user, const struct gw_node *before, bool plain, struct gw_bytes *out);

#endif
