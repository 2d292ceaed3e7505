/* A Lease of coordination.k8s.io/v1 as JSON: read for the election, and written with what the election wants in it. */
#ifndef GWC_LEASE_H
#define GWC_LEASE_H

#include "gateway-client/leader/election.h"

/* Zero-initialised is empty. */
struct gwc_lease {
    struct gw_bytes json; /* as the API server wrote it last; empty: there is none */
    struct gw_bytes holder;
    struct gwc_election_seen seen; /* views into the two */
};
void gwc_lease_done(struct gwc_lease *lease);

/* Keeps a copy. -EBADMSG: that is no Lease; -ENOMEM. The old one is gone then. */
int gwc_lease_read(struct gwc_lease *lease, struct gw_view json) GW_MUST_CHECK;

struct gwc_lease_write {
    const char *name, *namespace_;
    const struct gwc_election_record *record;
    int64_t lease_ms;    /* for followers and people; whole seconds are written */
    int64_t realtime_ns; /* likewise */
};
/* The object to be sent: `lease` with the record in it and all else as it was (labels, owners, strategy, resourceVersion, so
 * that the API server refuses it if somebody wrote in between), or a new one. */
void gwc_lease_write(struct gw_bytes *out, const struct gwc_lease *lease,
                     const struct gwc_lease_write *write);

#endif
