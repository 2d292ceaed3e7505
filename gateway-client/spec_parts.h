/* Inside the Gateway spec: what spec.c and spec_watchers.c share. */
#ifndef GWC_SPEC_PARTS_H
#define GWC_SPEC_PARTS_H

#include "common/node.h"
#include "gateway-client/spec.h"

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
    struct gw_setting_sections sensors, gateways,
        http; /* struct gwc_argo_watcher, the same, struct gwc_watcher_spec */
    struct gw_setting_texts subscribers;
    const struct gw_node *subscribers_nats;
};
struct gwc_argo_watcher {
    const char *name, *namespace_, *port, *endpoint;
};

extern const struct gw_setting gwc_spec_protocol_settings[];
extern const struct gw_setting gwc_spec_watchers_settings[];
extern const struct gw_setting gwc_spec_subscribers_settings[];

/* Fills spec->watchers from the targets, and checks them. */
int gwc_spec_read_watchers(const struct gwc_spec_reader *reader,
                           const struct gwc_spec_targets *targets) GW_MUST_CHECK;

/* The node at a path of keys below `spec:` and, when `index` is not (size_t)-1, that entry of it; NULL: none.
 * For the lines of problems. */
const struct gw_node *gwc_spec_entry(const struct gwc_spec_reader *reader, const char *path, size_t index);
/* "1" to "65535". */
bool gwc_spec_port_legal(const char *text);

#endif
