/* The status of the Gateway resource: what kubectl shows of a gateway. Composed here from what is known; status_writer.[ch]
 * brings it to the API server. Nodes are as in Argo. Pure.
 * Conditions: https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md */
#ifndef GWC_GATEWAY_STATUS_H
#define GWC_GATEWAY_STATUS_H

#include "gateway-client/report/merge_patch.h"

/* Phases, Argo's words; "" while nothing is known. */
#define GWC_PHASE_RUNNING   "Running"
#define GWC_PHASE_ERROR     "Error"
#define GWC_PHASE_COMPLETED "Completed"

/* Times are realtime, in milliseconds; 0: never. Texts are borrowed; "" is left out. */
struct gwc_gateway_node {
    const char *id; /* its key among the nodes */
    const char *name, *display_name, *type, *phase, *message;
    int64_t started_ms, updated_ms;
    uint64_t events;
    int64_t last_event_ms;
};

struct gwc_gateway_watcher {
    const char *name; /* its key among the watchers */
    const char *state, *message;
    uint64_t delivered, pending, dead_letters;
};

enum gwc_truth { GWC_UNKNOWN, GWC_FALSE, GWC_TRUE };
enum gwc_condition {
    GWC_CONDITION_READY,
    GWC_CONDITION_CONFIGURATION_ACCEPTED,
    GWC_CONDITION_SOURCES_RUNNING,
    GWC_CONDITION_WATCHERS_REACHABLE,
    GWC_CONDITIONS_COUNT
};
extern const char *const gwc_condition_names[GWC_CONDITIONS_COUNT];
struct gwc_gateway_condition {
    enum gwc_truth truth;
    const char *reason; /* one word for programs */
    const char *message;
    int64_t changed_ms; /* when `truth` became what it is */
};

struct gwc_gateway_status {
    const char *phase, *message;
    const char *type; /* of the gateway-servers: "calendar, webhook" */
    int64_t started_ms;
    int64_t generation; /* the newest that was judged; 0: none, or it means nothing */
    size_t sources_running, sources_count;
    size_t watchers_reachable;
    struct gwc_gateway_condition conditions[GWC_CONDITIONS_COUNT];
    /* As the API server has them: those of others are kept. May be NULL. */
    const struct gw_node *conditions_before;
    const struct gwc_gateway_node *nodes;
    size_t nodes_count;
    const struct gwc_gateway_watcher *watchers;
    size_t watchers_count;
};

/* An object has to fit into etcd's 1.5 MiB: nodes beyond are left out and counted, first those that run. */
enum {
    GWC_GATEWAY_NODES_BYTES_MAX = 768 * 1024,
    GWC_GATEWAY_MESSAGE_MAX = 1024,
    GWC_GATEWAY_NODE_MESSAGE_MAX = 256
};

/* The status as JSON; out->failed without memory. */
void gwc_gateway_status_write(const struct gwc_gateway_status *status, struct gw_bytes *out);
extern const struct gwc_patch_shape gwc_gateway_status_shape;

/* The truth of a condition in a list, and since when; false: it is not there. `conditions` may be NULL. */
bool gwc_gateway_condition_find(const struct gw_node *conditions, enum gwc_condition condition,
                                enum gwc_truth *ret_truth, int64_t *ret_changed_ms);
/* Are there conditions that are not ours? */
bool gwc_gateway_conditions_shared(const struct gw_node *conditions);

#endif
