/* The writer of the status: brings the document of gateway_status.[ch] to the Gateway resource, and nothing twice.
 *
 *              touch(), or the counters' time          differs
 *     ┌──────┐  at most 1 patch/s   ┌─────────┐  merge patch  ┌─────────┐
 *     │ idle │ ───────────────────▶ │ compose │ ────────────▶ │ sending │
 *     └──▲───┘                      └────┬────┘               └──┬───┬──┘
 *        ├────── nothing differs ────────┘                       │   │ no answer, 4xx, 5xx: back-off, words in the log
 *        └───────────────────────────────────────────────────────┘   ▼ compose again
 *
 * Without the status subresource (Argo's own definition of Gateways has none) the object itself is patched. Gone objects are
 * left alone until they are seen again. Loop thread only. */
#ifndef GWC_STATUS_WRITER_H
#define GWC_STATUS_WRITER_H

#include "common/kube.h"
#include "common/metrics.h"
#include "common/node.h"

struct gwc_status_writer;

struct gwc_status_writer_options {
    struct gw_kube *kube;          /* borrowed */
    const char *namespace_, *name; /* of the Gateway; copied */
    struct gw_metrics *metrics;    /* borrowed */
    /* Appends the status as it is now; from the loop. `before` is what the API server has, NULL: none. `plain`: there is no
     * subresource, so that each patch raises metadata.generation, and an observedGeneration would never be caught up with. */
    void (*compose)(void *user, const struct gw_node *before, bool plain, struct gw_bytes *out);
    void *user;
};

/* It waits for seen(). */
int gwc_status_writer_open(struct gwc_status_writer **ret_writer,
                           const struct gwc_status_writer_options *options) GW_MUST_CHECK;
struct gwc_status_writer *gwc_status_writer_close(struct gwc_status_writer *writer);

/* The object as the API server has it (JSON), each time that it is seen; empty: it is gone. */
void gwc_status_writer_seen(struct gwc_status_writer *writer, struct gw_view object);
/* Something has changed: it is written soon. */
void gwc_status_writer_touch(struct gwc_status_writer *writer);
/* Before the end of the process: what there is to say is sent at once. */
void gwc_status_writer_flush(struct gwc_status_writer *writer);
/* A patch is under way. */
bool gwc_status_writer_busy(const struct gwc_status_writer *writer);

#endif
