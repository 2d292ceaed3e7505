/* The election of a leader: who may write the Lease, and when a leader has to stop. */
#include "gateway-client/leader/election.h"

#include "common/clock.h"
#include "common/text.h"

#include <stdio.h>

/* A candidate waits for the retry period and up to so much of it on top, so that candidates do not march in step. */
enum { ELECTION_JITTER_TENTHS = 12, ELECTION_ATTEMPTS = 3, ELECTION_LEASE_MS_MIN = 1000 };

/* ---- times ---- */

int gwc_election_times_check(const struct gwc_election_times *times, struct gw_reason *reason)
{
    char a[GW_DURATION_MAX], b[GW_DURATION_MAX];
    int64_t retry_most_ms = times->retry_ms * ELECTION_JITTER_TENTHS / 10;

    gw_duration_format(a, times->lease_ms * GW_NS_PER_MS);
    gw_duration_format(b, times->renew_ms * GW_NS_PER_MS);
    if (times->lease_ms < ELECTION_LEASE_MS_MIN)
        return GW_REFUSE(-EINVAL, reason, "--lease-duration %s is too short: at least 1s", a);
    if (times->retry_ms <= 0)
        return GW_REFUSE(-EINVAL, reason, "--retry-period must be greater than 0");
    if (times->lease_ms <= times->renew_ms)
        return GW_REFUSE(-EINVAL, reason,
                         "--lease-duration %s must be longer than --renew-deadline %s: a leader stops before "
                         "another takes over",
                         a, b);
    if (times->renew_ms <= retry_most_ms) {
        gw_duration_format(a, times->retry_ms * GW_NS_PER_MS);
        return GW_REFUSE(
            -EINVAL, reason,
            "--renew-deadline %s must be longer than 1.2 times --retry-period %s: a leader needs "
            "more than one attempt",
            b, a);
    }
    return 0;
}

/* ---- the record as we know it ---- */

static void record_forget(struct gwc_election *election)
{
    gw_bytes_clear(&election->record);
    election->holder[0] = '\0';
    election->held = false;
}

/* False: no memory; then nothing is known. */
static bool record_note(struct gwc_election *election, const struct gwc_election_seen *seen, int64_t now_ms)
{
    if (election->record.size == 0 || !gw_view_equal(gw_bytes_view(&election->record), seen->record)) {
        gw_bytes_clear(&election->record);
        gw_bytes_append_view(&election->record, seen->record);
        election->seen_ms = now_ms;
    }
    if (election->record.failed) {
        record_forget(election);
        return false;
    }
    election->held = gw_view_is(seen->holder, election->identity);
    election->duration_ms = seen->duration_ms;
    election->transitions = seen->transitions;
    snprintf(election->holder, sizeof(election->holder), "%.*s", (int)seen->holder.size,
             seen->holder.size == 0 ? "" : seen->holder.data);
    return true;
}

/* Replicas may run with different durations while they are changed: the longer one counts. */
static int64_t record_ends_ms(const struct gwc_election *election)
{
    if (election->record.size == 0 || election->holder[0] == '\0' || election->held)
        return INT64_MIN;
    return election->seen_ms + GW_MAX(election->times.lease_ms, election->duration_ms);
}

static int64_t deadline_ms(const struct gwc_election *election)
{
    return election->renewed_ms + election->times.renew_ms;
}

/* ---- what comes next ---- */

static void next_now(struct gwc_election *election, enum gwc_election_action action, int64_t now_ms)
{
    election->next = action;
    election->next_ms = now_ms;
}

/* The round is over; the next one comes in its time. A leader renews what it wrote without reading it first, unless it is
 * not sure what is there. */
static void round_end(struct gwc_election *election, bool sure, int64_t now_ms, uint64_t random)
{
    int64_t wait_ms = election->times.retry_ms, ends_ms = record_ends_ms(election);

    election->again = false;
    if (election->state == GWC_ELECTION_LEADING) {
        next_now(election, sure ? GWC_ELECTION_WRITE : GWC_ELECTION_READ, now_ms + wait_ms);
        return;
    }
    wait_ms += (int64_t)(random % (uint64_t)(wait_ms * ELECTION_JITTER_TENTHS / 10 + 1));
    next_now(election, GWC_ELECTION_READ, now_ms + wait_ms);
    if (ends_ms > now_ms)
        election->next_ms = GW_MIN(election->next_ms, ends_ms);
}

void gwc_election_init(struct gwc_election *election, const char *identity,
                       const struct gwc_election_times *times, int64_t now_ms)
{
    *election = (struct gwc_election){.times = *times};
    int size = snprintf(election->identity, sizeof(election->identity), "%s", identity);
    assert(size > 0 && (size_t)size < sizeof(election->identity));
    next_now(election, GWC_ELECTION_READ, now_ms);
    election->due_ms = now_ms;
}

void gwc_election_done(struct gwc_election *election)
{
    gw_bytes_done(&election->record);
}

enum gwc_election_action gwc_election_act(struct gwc_election *election, int64_t now_ms)
{
    bool leading = election->state == GWC_ELECTION_LEADING;

    if (leading && now_ms >= deadline_ms(election)) {
        election->state = election->releasing ? GWC_ELECTION_RELEASED : GWC_ELECTION_LOST;
        leading = false;
    }
    election->due_ms = leading ? deadline_ms(election) : INT64_MAX;
    if ((!leading && election->state != GWC_ELECTION_FOLLOWING) || election->asked)
        return GWC_ELECTION_WAIT;
    if (now_ms < election->next_ms) {
        election->due_ms = GW_MIN(election->due_ms, election->next_ms);
        return GWC_ELECTION_WAIT;
    }
    election->asked = true;
    election->sent_ms = now_ms;
    return election->next;
}

int64_t gwc_election_patience_ms(const struct gwc_election *election, int64_t now_ms)
{
    int64_t wait_ms = election->times.renew_ms / ELECTION_ATTEMPTS;

    if (election->state == GWC_ELECTION_LEADING)
        wait_ms = GW_MIN(wait_ms, deadline_ms(election) - now_ms);
    return GW_MAX(wait_ms, INT64_C(1));
}

void gwc_election_record(struct gwc_election *election, int64_t epoch_kept,
                         struct gwc_election_record *ret_record)
{
    bool create = election->record.size == 0;

    if (election->state != GWC_ELECTION_LEADING) {
        /* Held by us although we do not lead: the answer to our write was lost, but the write was not. */
        int64_t next = create ? 0 : election->held ? election->transitions : election->transitions + 1;
        election->term = GW_MAX(next, epoch_kept);
    }
    election->gives = election->releasing;
    *ret_record = (struct gwc_election_record){
        .create = create,
        .holder = election->releasing ? "" : election->identity,
        .begins = !election->held,
        .transitions = election->term,
    };
}

/* ---- answers ---- */

void gwc_election_read(struct gwc_election *election, const struct gwc_election_seen *seen, int64_t now_ms,
                       uint64_t random)
{
    if (!record_note(election, seen, now_ms)) {
        gwc_election_failed(election, now_ms, random);
        return;
    }
    election->asked = false;
    election->again = true;
    if (election->state == GWC_ELECTION_LEADING && !election->held)
        election->state = election->releasing ? GWC_ELECTION_RELEASED : GWC_ELECTION_LOST;
    else if (record_ends_ms(election) > now_ms)
        round_end(election, true, now_ms, random);
    else
        next_now(election, GWC_ELECTION_WRITE, now_ms);
}

void gwc_election_missing(struct gwc_election *election, int64_t now_ms)
{
    election->asked = false;
    election->again = true;
    record_forget(election);
    if (election->releasing)
        election->state = GWC_ELECTION_RELEASED;
    else
        next_now(election, GWC_ELECTION_WRITE, now_ms);
}

void gwc_election_wrote(struct gwc_election *election, const struct gwc_election_seen *seen, int64_t now_ms,
                        uint64_t random)
{
    bool noted = record_note(election, seen, now_ms);

    election->asked = false;
    if (election->gives) {
        election->state = GWC_ELECTION_RELEASED;
        return;
    }
    election->renewed_ms = election->sent_ms;
    /* An answer that comes when it would have been time to stop makes no leader: others may have begun. */
    if (now_ms < deadline_ms(election))
        election->state = GWC_ELECTION_LEADING;
    round_end(election, noted && election->held, now_ms, random);
    if (election->releasing)
        election->next_ms = now_ms;
}

void gwc_election_conflicted(struct gwc_election *election, int64_t now_ms, uint64_t random)
{
    bool at_once = election->state == GWC_ELECTION_LEADING && !election->again;

    election->asked = false;
    round_end(election, false, now_ms, random);
    if (at_once)
        election->next_ms = now_ms;
    if (election->releasing && election->state == GWC_ELECTION_FOLLOWING)
        election->state = GWC_ELECTION_RELEASED;
}

void gwc_election_failed(struct gwc_election *election, int64_t now_ms, uint64_t random)
{
    election->asked = false;
    round_end(election, false, now_ms, random);
    if (election->releasing) /* it will run out */
        election->state = GWC_ELECTION_RELEASED;
}

void gwc_election_release(struct gwc_election *election, int64_t now_ms)
{
    bool acquiring = election->asked && election->next == GWC_ELECTION_WRITE;

    if (election->state == GWC_ELECTION_FOLLOWING && !acquiring)
        election->state = GWC_ELECTION_RELEASED;
    election->releasing = true;
    election->next_ms = now_ms;
}
