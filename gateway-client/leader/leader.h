/* Leader election by a Lease of the API server: runs the state machine of election.[ch] on the loop, over common/kube.h. Needs
 * the verbs get, create and update on leases of its namespace, and nothing else. Loop thread only. */
#ifndef GWC_LEADER_H
#define GWC_LEADER_H

#include "common/kube.h"
#include "gateway-client/leader/election.h"

struct gwc_leader;

#define GWC_LEADER_TIMES ((struct gwc_election_times){.lease_ms = 15000, .renew_ms = 10000, .retry_ms = 2000})

struct gwc_leader_options {
    struct gw_kube *kube;          /* borrowed */
    const char *namespace_, *name; /* of the Lease; copied */
    struct gwc_election_times times;
    /* The epoch in the outbox; 0: none. May read a file: asked when the Lease is about to be taken only. May be NULL. */
    uint64_t (*epoch_kept)(void *user);
    /* Once. `epoch` is greater than any before it. */
    void (*elected)(void *user, uint64_t epoch);
    /* Once, and only after elected(): another may begin soon. Stop at once. */
    void (*lost)(void *user, const char *words);
    void *user;
};

/* Begins with the loop's next turn. */
int gwc_leader_open(struct gwc_leader **ret_leader, const struct gwc_leader_options *options) GW_MUST_CHECK;
/* Not within a callback. Gives nothing back: see gwc_leader_release(). */
struct gwc_leader *gwc_leader_close(struct gwc_leader *leader);
GW_DEFINE_CLEANUP(struct gwc_leader *, gwc_leader_close)

/* For the end of the process, when all that a leader does has ended: gives the Lease back, so that a follower need not wait
 * until it runs out. Turns the loop for at most wait_ms. No callbacks any more. False: it could not be given back, or was not ours. */
bool gwc_leader_release(struct gwc_leader *leader, int64_t wait_ms);

struct gwc_leader_status {
    bool leading;
    const char *identity;
    const char *holder; /* "": nobody, or not known yet */
    int64_t transitions;
    /* "leading"; "standing by: NAME leads"; "standing by: nobody leads", and what is wrong, if something is: "…; the Lease shop/gw
     * cannot be read: leases … is forbidden: …". */
    char words[GW_REASON_MAX];
    const char *trouble; /* the last part of the words alone; "": none */
};
/* Borrowed until the next turn. */
void gwc_leader_status(const struct gwc_leader *leader, struct gwc_leader_status *ret_status);

#endif
