/* The election of a leader by a Lease, as a pure state machine: time and answers are handed in, what is to be sent is handed out.
 * The algorithm is that of client-go's leaderelection; leader.[ch] does the sending.
 *
 *                      held by another, or the round was lost (409), or no answer
 *              ┌────────────────────────────────────────────────────────────────┐
 *              ▼                                                                │
 *        ┌───────────┐ retry period × 1…2.2  ┌─────────┐  free or over    ┌─────┴─────┐
 *        │ following │ ────────────────────▶ │ reading │ ───────────────▶ │ acquiring │
 *        └───────────┘                       └─────────┘                  └─────┬─────┘
 *                                                                               │ written
 *        ┌──────────┐  release: "" written   ┌─────────┐  retry period          ▼
 *        │ released │ ◀───────────────────── │ leading │ ◀─── renewed, for ever ┘
 *        └──────────┘                        └────┬────┘
 *                                                 │ another holds it, or not renewed for the renew deadline
 *                                                 ▼
 *                                              ┌──────┐
 *                                              │ lost │  the process ends: it comes back as a follower
 *                                              └──────┘
 *
 * Time is monotone and local. The times within a record are for people: machines do not agree on the time of day. A record
 * is alive as long as its bytes change; a candidate counts from when it saw them change, a leader from when it sent
 * the renewal that succeeded, so a leader stops before anybody else may begin, however slow the answers are. */
#ifndef GWC_ELECTION_H
#define GWC_ELECTION_H

#include "common/bytes.h"
#include "common/fault.h"

struct gwc_election_times {
    int64_t lease_ms; /* others may take over when a record has not changed for so long */
    int64_t renew_ms; /* a leader that could not renew for so long stops */
    int64_t retry_ms; /* between two attempts */
};
/* -EINVAL with words, unless lease > renew > 1.2 × retry > 0 and the lease is a second or more. */
int gwc_election_times_check(const struct gwc_election_times *times, struct gw_reason *reason) GW_MUST_CHECK;

/* A Lease as it was read. */
struct gwc_election_seen {
    struct gw_view holder; /* empty: nobody */
    struct gw_view record; /* its spec, as the API server wrote it: compared, not understood */
    int64_t duration_ms;   /* that its holder promised; 0: none */
    int64_t transitions;
};

/* What is to be written. The driver adds the times: renewTime always, acquireTime when it begins. */
struct gwc_election_record {
    bool create;        /* there is no Lease yet */
    const char *holder; /* borrowed from the election; "" releases */
    bool begins;        /* a new holder: acquireTime is now */
    int64_t transitions;
};

enum gwc_election_state {
    GWC_ELECTION_FOLLOWING,
    GWC_ELECTION_LEADING,
    GWC_ELECTION_LOST,
    GWC_ELECTION_RELEASED,
};

enum gwc_election_action {
    GWC_ELECTION_WAIT, /* nothing, until `due_ms` or an answer */
    GWC_ELECTION_READ, /* send a GET; then one of read(), missing(), failed() */
    GWC_ELECTION_WRITE, /* send a PUT or POST with gwc_election_record(); then one of wrote(), conflicted(), failed() */
};

enum { GWC_ELECTION_HOLDER_MAX = 320 };

struct gwc_election {
    enum gwc_election_state state;
    int64_t due_ms;                       /* when act() has something to say, if no answer comes before */
    int64_t transitions;                  /* of the record that was read or written last */
    char holder[GWC_ELECTION_HOLDER_MAX]; /* likewise, cut to fit; "": nobody */

    /* the machine's own */
    struct gwc_election_times times;
    char identity[GWC_ELECTION_HOLDER_MAX];
    enum gwc_election_action next; /* READ or WRITE: due at next_ms, or under way */
    int64_t next_ms;
    bool asked; /* it is under way since sent_ms */
    int64_t sent_ms;
    bool releasing, gives;  /* to be given back; the WRITE under way does that */
    bool again;             /* this round has read the record already */
    struct gw_bytes record; /* as seen last; empty: there is no Lease */
    bool held;              /* it names us */
    int64_t seen_ms;        /* since when it is like that */
    int64_t duration_ms;    /* that its holder promised */
    int64_t term;           /* transitions of our own leadership */
    int64_t renewed_ms;     /* when the last renewal that succeeded was sent */
};

/* `identity` is copied; it names this process and no other. The first read is due at once. */
void gwc_election_init(struct gwc_election *election, const char *identity,
                       const struct gwc_election_times *times, int64_t now_ms);
void gwc_election_done(struct gwc_election *election);

/* What to do now. READ and WRITE are said once: then their answer is awaited. Also finds out that leadership was lost:
 * look at `state` after it. */
enum gwc_election_action gwc_election_act(struct gwc_election *election, int64_t now_ms);
/* How long an answer may take: several attempts fit into the renew deadline. */
int64_t gwc_election_patience_ms(const struct gwc_election *election, int64_t now_ms);
/* The record of the WRITE that act() asked for. `epoch_kept`: the epoch in the outbox; the new one (transitions + 1) will be
 * greater, also when somebody deleted the Lease and the count began anew. */
void gwc_election_record(struct gwc_election *election, int64_t epoch_kept,
                         struct gwc_election_record *ret_record);

/* The answers. `random` as in gw_backoff_next_ms(). Afterwards act() is called, and `state` looked at. */
void gwc_election_read(struct gwc_election *election, const struct gwc_election_seen *seen, int64_t now_ms,
                       uint64_t random);
void gwc_election_missing(struct gwc_election *election, int64_t now_ms); /* there is no Lease */
void gwc_election_wrote(struct gwc_election *election, const struct gwc_election_seen *seen, int64_t now_ms,
                        uint64_t random);
/* Somebody else wrote in between (409), or deleted it (404). */
void gwc_election_conflicted(struct gwc_election *election, int64_t now_ms, uint64_t random);
/* No answer, or one that says nothing about the Lease (403, 429, 500, …). */
void gwc_election_failed(struct gwc_election *election, int64_t now_ms, uint64_t random);

/* A leader gives the Lease back, as soon as the request under way is answered; act() then asks for that WRITE. A follower
 * is released at once, unless it is just becoming a leader. */
void gwc_election_release(struct gwc_election *election, int64_t now_ms);

#endif
