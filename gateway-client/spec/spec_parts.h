/* Inside the Gateway spec: what spec.c and spec_watchers.c share. */
#ifndef GWC_SPEC_PARTS_H
#define GWC_SPEC_PARTS_H

#include "common/node.h"
#include "gateway-client/spec/spec.h"

/* A spec being read. */
struct gwc_spec_reader {
    struct gwc_spec *spec;
    struct gw_problems *problems;
    const struct gw_node *node; /* the value of `spec:`; NULL or of another kind in a bad manifest */
};

/* What spec.eventProtocol, spec.watchers and spec.subscribers say. */
struct gwc_spec_targets {
    struct {
        const char *type;
        struct {
            const char *port;
        } http;
        const struct gw_node *nats;
    } protocol;
    struct gw_setting_sections sensors, gateways; /* struct gwc_argo_watcher */
    struct gw_setting_sections http, grpc;        /* struct gwc_watcher_spec */
    struct gw_setting_texts subscribers;
    const struct gw_node *subscribers_nats;
};
struct gwc_argo_watcher {
    const char *name, *namespace_, *port, *endpoint;
};

extern const struct gw_setting gwc_spec_protocol_settings[];
extern const struct gw_setting gwc_spec_watchers_settings[];
extern const struct gw_setting gwc_spec_subscribers_settings[];
extern const struct gw_setting gwc_spec_http_settings[];  /* struct gwc_watcher_spec */
extern const struct gw_setting gwc_spec_grpc_settings[];  /* the same */
extern const struct gw_setting gwc_spec_retry_settings[]; /* struct gwc_retry_spec */
extern const struct gw_setting gwc_spec_tls_settings[];   /* struct gw_rpc_tls */

/* Where an entry of a list stands in the manifest. */
enum { GWC_SPEC_PATH_MAX = 96 };
struct gwc_spec_place {
    const struct gwc_spec_reader *reader;
    char path[GWC_SPEC_PATH_MAX];
    const struct gw_node *node; /* its entry; NULL: not found again */
};
/* A problem of a field; of the whole entry, when that field is not written there. */
void gwc_spec_problem(const struct gwc_spec_place *place, const char *field, const char *format, ...)
    GW_PRINTF(3, 4);

void gwc_spec_check_http(const struct gwc_spec_place *place, const struct gwc_watcher_spec *watcher);

/* An entry of watchers.grpc as a watcher like all others. */
int gwc_spec_grpc_watcher(const struct gwc_spec_reader *reader, const struct gwc_watcher_spec *entry,
                          struct gwc_watcher_spec *ret_watcher) GW_MUST_CHECK;
void gwc_spec_check_grpc(const struct gwc_spec_place *place, const struct gwc_watcher_spec *watcher);

/* Fills spec->watchers from the targets, and checks them. */
int gwc_spec_read_watchers(const struct gwc_spec_reader *reader,
                           const struct gwc_spec_targets *targets) GW_MUST_CHECK;

/* The node at a path of keys below `spec:` and, when `index` is not (size_t)-1, that entry of it; NULL: none.
 * For the lines of problems. */
const struct gw_node *gwc_spec_entry(const struct gwc_spec_reader *reader, const char *path, size_t index);
/* "1" to "65535". */
bool gwc_spec_port_legal(const char *text);

#endif
