/* Leader election: at most one leads, a dead one is followed, whatever is lost, late or stopped on the way. */
#include "common/json.h"
#include "gateway-client/leader/lease.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEASE_MS = 15000, RENEW_MS = 10000, RETRY_MS = 2000 };
static const struct gwc_election_times times = {LEASE_MS, RENEW_MS, RETRY_MS};

/* ---- one candidate, by hand ---- */

static struct gwc_election_seen seen(const char *holder, const char *record, int64_t transitions)
{
    return (struct gwc_election_seen){.holder = gw_view_text(holder),
                                      .record = gw_view_text(record),
                                      .duration_ms = LEASE_MS,
                                      .transitions = transitions};
}

static int candidate_setup(void **state)
{
    struct gwc_election *me = calloc(1, sizeof(*me));
    gwc_election_init(me, "me", &times, 0);
    *state = me;
    return 0;
}

static int candidate_teardown(void **state)
{
    gwc_election_done(*state);
    free(*state);
    return 0;
}

static void expect(struct gwc_election *me, int64_t now_ms, enum gwc_election_action action)
{
    assert_int_equal(gwc_election_act(me, now_ms), action);
}

/* Reads at `now_ms` that another holds the Lease. */
static void read_other(struct gwc_election *me, const char *record, int64_t now_ms)
{
    struct gwc_election_seen other = seen("other", record, 4);
    expect(me, now_ms, GWC_ELECTION_READ);
    gwc_election_read(me, &other, now_ms, 0);
}

/* Leads from `now_ms` on, with transitions 5 and the record "mine". */
static void lead(struct gwc_election *me, int64_t now_ms)
{
    struct gwc_election_seen nobody = seen("", "free", 4), mine = seen("me", "mine", 5);
    struct gwc_election_record record;

    expect(me, now_ms, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, now_ms, 0);
    expect(me, now_ms, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_int_equal(record.transitions, 5);
    gwc_election_wrote(me, &mine, now_ms, 0);
    expect(me, now_ms, GWC_ELECTION_WAIT);
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
}

static void where_there_is_no_lease_one_is_made_with_transitions_zero(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_record record;
    struct gwc_election_seen mine = seen("me", "mine", 0);

    expect(me, 0, GWC_ELECTION_READ);
    expect(me, 1, GWC_ELECTION_WAIT); /* said once */
    gwc_election_missing(me, 10);
    expect(me, 10, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_true(record.create);
    assert_true(record.begins);
    assert_string_equal(record.holder, "me");
    assert_int_equal(record.transitions, 0);
    gwc_election_wrote(me, &mine, 20, 0);
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
    assert_int_equal(me->term, 0);
}

static void a_new_lease_counts_on_from_the_epoch_in_the_outbox(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_record record;

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_missing(me, 0);
    expect(me, 0, GWC_ELECTION_WRITE);
    gwc_election_record(me, 7, &record);
    assert_int_equal(record.transitions, 7); /* epoch 8 */
}

static void a_lease_that_lags_behind_the_outbox_catches_up_at_the_take_over(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen nobody = seen("", "free", 2);
    struct gwc_election_record record;

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, 0, 0);
    expect(me, 0, GWC_ELECTION_WRITE);
    gwc_election_record(me, 9, &record);
    assert_int_equal(record.transitions, 9);
    gwc_election_record(me, 1, &record);
    assert_int_equal(record.transitions, 3);
}

static void a_held_lease_is_left_alone_until_it_has_not_changed_for_its_duration(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_record record;

    read_other(me, "a", 0);
    expect(me, 0, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, RETRY_MS);
    assert_string_equal(me->holder, "other");
    read_other(me, "b", 2000); /* renewed: counted from now */
    read_other(me, "b", 4000);
    read_other(me, "b", 16999);
    expect(me, 16999, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, 2000 + LEASE_MS); /* not a moment later */
    read_other(me, "b", 2000 + LEASE_MS);
    expect(me, 2000 + LEASE_MS, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_false(record.create);
    assert_true(record.begins);
    assert_int_equal(record.transitions, 5);
}

static void the_longer_of_two_durations_counts(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen patient = seen("other", "a", 4);

    patient.duration_ms = 60000;
    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_read(me, &patient, 0, 0);
    expect(me, LEASE_MS, GWC_ELECTION_READ);
    gwc_election_read(me, &patient, LEASE_MS, 0);
    expect(me, LEASE_MS, GWC_ELECTION_WAIT);
    expect(me, 60000, GWC_ELECTION_READ);
    gwc_election_read(me, &patient, 60000, 0);
    expect(me, 60000, GWC_ELECTION_WRITE);
}

static void a_candidate_waits_for_one_to_two_and_a_fifth_retry_periods(void **state)
{
    struct gwc_election *me = *state;

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_failed(me, 0, 0);
    expect(me, 0, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, RETRY_MS);
    expect(me, RETRY_MS, GWC_ELECTION_READ);
    gwc_election_failed(me, RETRY_MS, RETRY_MS * 12 / 10);
    expect(me, RETRY_MS, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, RETRY_MS + RETRY_MS + RETRY_MS * 12 / 10);
    expect(me, me->due_ms, GWC_ELECTION_READ);
    gwc_election_failed(me, 7000, UINT64_MAX);
    expect(me, 7000, GWC_ELECTION_WAIT);
    assert_in_range(me->due_ms, 7000 + RETRY_MS, 7000 + RETRY_MS * 22 / 10);
}

static void the_loser_of_a_race_follows(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen nobody = seen("", "free", 4);

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, 0, 0);
    expect(me, 0, GWC_ELECTION_WRITE);
    gwc_election_conflicted(me, 5, 0);
    assert_int_equal(me->state, GWC_ELECTION_FOLLOWING);
    expect(me, 5, GWC_ELECTION_WAIT);
    read_other(me, "a", 5 + RETRY_MS);
    assert_string_equal(me->holder, "other");
    assert_int_equal(me->state, GWC_ELECTION_FOLLOWING);
}

static void a_leader_renews_each_retry_period_what_it_wrote(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen again = seen("me", "mine2", 5);
    struct gwc_election_record record;

    lead(me, 0);
    assert_int_equal(me->due_ms, RETRY_MS);
    expect(me, RETRY_MS, GWC_ELECTION_WRITE); /* without reading */
    gwc_election_record(me, 77, &record);
    assert_int_equal(record.transitions, 5); /* its own, for ever */
    assert_false(record.begins);
    assert_false(record.create);
    gwc_election_wrote(me, &again, 2100, 0);
    expect(me, 2100, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, 2100 + RETRY_MS);
    assert_int_equal(me->term, 5);
}

static void a_leader_that_cannot_renew_stops_at_the_deadline_counted_from_the_sending(void **state)
{
    struct gwc_election *me = *state;

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_failed(me, 5000, 0);
    expect(me, 5000, GWC_ELECTION_WAIT);
    expect(me, 7000, GWC_ELECTION_READ); /* what is there is not sure */
    gwc_election_failed(me, 9500, 0);
    expect(me, 9500, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, RENEW_MS); /* not 11500 */
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
    expect(me, RENEW_MS, GWC_ELECTION_WAIT);
    assert_int_equal(me->state, GWC_ELECTION_LOST);
    assert_int_equal(me->due_ms, INT64_MAX);
}

static void a_request_under_way_does_not_keep_a_leader_beyond_its_deadline(void **state)
{
    struct gwc_election *me = *state;

    lead(me, 0);
    expect(me, 9000, GWC_ELECTION_WRITE);
    assert_int_equal(gwc_election_patience_ms(me, 9000), 1000);
    expect(me, 9000, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, RENEW_MS);
    expect(me, RENEW_MS, GWC_ELECTION_WAIT);
    assert_int_equal(me->state, GWC_ELECTION_LOST);
}

static void several_attempts_fit_into_the_deadline(void **state)
{
    struct gwc_election *me = *state;

    assert_int_equal(gwc_election_patience_ms(me, 0), RENEW_MS / 3);
    lead(me, 0);
    assert_int_equal(gwc_election_patience_ms(me, 2000), RENEW_MS / 3);
    assert_int_equal(gwc_election_patience_ms(me, 20000), 1);
}

static void a_short_outage_changes_nothing(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen mine = seen("me", "mine", 5), again = seen("me", "mine2", 5);

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_failed(me, 5300, 0);
    expect(me, 7300, GWC_ELECTION_READ);
    gwc_election_read(me, &mine, 7400, 0);
    expect(me, 7400, GWC_ELECTION_WRITE);
    gwc_election_wrote(me, &again, 7500, 0);
    expect(me, 7500, GWC_ELECTION_WAIT);
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
    expect(me, 7400 + RENEW_MS - 1, GWC_ELECTION_WRITE);
    expect(me, 7400 + RENEW_MS, GWC_ELECTION_WAIT);
    assert_int_equal(me->state, GWC_ELECTION_LOST);
}

static void a_leader_whose_renewal_was_applied_but_not_answered_finds_itself(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen applied = seen("me", "mine2", 5), again = seen("me", "mine3", 5);
    struct gwc_election_record record;

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_failed(me, 5300, 0);
    expect(me, 7300, GWC_ELECTION_READ);
    gwc_election_read(me, &applied, 7300, 0);
    expect(me, 7300, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_int_equal(record.transitions, 5);
    gwc_election_wrote(me, &again, 7301, 0);
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
}

static void a_candidate_whose_taking_was_applied_but_not_answered_leads_with_the_same_epoch(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen nobody = seen("", "free", 4), applied = seen("me", "mine", 5);
    struct gwc_election_record record;

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, 0, 0);
    expect(me, 0, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    gwc_election_failed(me, 3000, 0);
    assert_int_equal(me->state, GWC_ELECTION_FOLLOWING);
    expect(me, 5000, GWC_ELECTION_READ);
    gwc_election_read(me, &applied, 5000, 0);
    expect(me, 5000, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_false(record.begins);
    assert_int_equal(record.transitions, 5);
    gwc_election_wrote(me, &applied, 5001, 0);
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
    assert_int_equal(me->term, 5);
}

static void a_leader_that_finds_another_stops_at_once(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen other = seen("other", "theirs", 6);

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_conflicted(me, 2010, 0);
    expect(me, 2010, GWC_ELECTION_READ); /* at once */
    gwc_election_read(me, &other, 2020, 0);
    assert_int_equal(me->state, GWC_ELECTION_LOST);
    assert_string_equal(me->holder, "other");
    expect(me, 2020, GWC_ELECTION_WAIT);
}

static void a_leader_whose_lease_was_emptied_stops_too(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen nobody = seen("", "emptied", 5);

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_conflicted(me, 2010, 0);
    expect(me, 2010, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, 2020, 0);
    assert_int_equal(me->state, GWC_ELECTION_LOST);
}

static void a_label_put_on_the_lease_costs_a_leader_one_more_request(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen mine = seen("me", "mine", 5);

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_conflicted(me, 2010, 0);
    expect(me, 2010, GWC_ELECTION_READ);
    gwc_election_read(me, &mine, 2020, 0);
    expect(me, 2020, GWC_ELECTION_WRITE);
    gwc_election_conflicted(me, 2030, 0); /* and another label: that is not chased */
    expect(me, 2030, GWC_ELECTION_WAIT);
    assert_int_equal(me->due_ms, 2030 + RETRY_MS);
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
}

static void a_label_put_on_the_lease_does_not_renew_it(void **state)
{
    struct gwc_election *me = *state;

    read_other(me, "a", 0); /* the spec alone is compared, so nothing else is handed in */
    read_other(me, "a", 10000);
    read_other(me, "a", LEASE_MS);
    expect(me, LEASE_MS, GWC_ELECTION_WRITE);
}

static void a_leader_makes_a_deleted_lease_again_with_its_own_count(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_record record;
    struct gwc_election_seen mine = seen("me", "mine", 5);

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_conflicted(me, 2010, 0); /* a PUT of what is not there: 404 */
    expect(me, 2010, GWC_ELECTION_READ);
    gwc_election_missing(me, 2020);
    expect(me, 2020, GWC_ELECTION_WRITE);
    gwc_election_record(me, 99, &record);
    assert_true(record.create);
    assert_true(record.begins);
    assert_int_equal(record.transitions, 5);
    gwc_election_wrote(me, &mine, 2030, 0);
    assert_int_equal(me->state, GWC_ELECTION_LEADING);
}

static void a_leader_that_was_stopped_knows_it_before_it_does_anything(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen again = seen("me", "mine2", 5);

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    /* The answer lay in the socket while the process was stopped. */
    gwc_election_wrote(me, &again, 60000, 0);
    expect(me, 60000, GWC_ELECTION_WAIT);
    assert_int_equal(me->state, GWC_ELECTION_LOST);
}

static void a_candidate_that_was_stopped_while_it_took_the_lease_does_not_lead(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen nobody = seen("", "free", 4), mine = seen("me", "mine", 5);

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, 0, 0);
    expect(me, 0, GWC_ELECTION_WRITE);
    gwc_election_wrote(me, &mine, 60000, 0);
    assert_int_equal(me->state, GWC_ELECTION_FOLLOWING);
    /* It looks first who leads by now. */
    read_other(me, "theirs", 60000 + RETRY_MS);
    assert_int_equal(me->state, GWC_ELECTION_FOLLOWING);
}

static void a_candidate_that_was_stopped_counts_anew_what_changed_meanwhile(void **state)
{
    struct gwc_election *me = *state;

    read_other(me, "a", 0);
    read_other(me, "b", 3600000);
    expect(me, 3600000, GWC_ELECTION_WAIT);
    assert_int_equal(me->state, GWC_ELECTION_FOLLOWING);
}

/* ---- giving it back ---- */

static void a_leader_gives_the_lease_back_with_its_count(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen empty = seen("", "empty", 5);
    struct gwc_election_record record;

    lead(me, 0);
    gwc_election_release(me, 500);
    expect(me, 500, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_string_equal(record.holder, "");
    assert_int_equal(record.transitions, 5);
    gwc_election_wrote(me, &empty, 510, 0);
    assert_int_equal(me->state, GWC_ELECTION_RELEASED);
    expect(me, 510, GWC_ELECTION_WAIT);
}

static void a_renewal_under_way_is_waited_for_before_the_lease_is_given_back(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen again = seen("me", "mine2", 5), empty = seen("", "empty", 5);
    struct gwc_election_record record;

    lead(me, 0);
    expect(me, 2000, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    gwc_election_release(me, 2001);
    expect(me, 2001, GWC_ELECTION_WAIT);
    gwc_election_wrote(me, &again, 2005, 0);
    expect(me, 2005, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_string_equal(record.holder, "");
    gwc_election_wrote(me, &empty, 2010, 0);
    assert_int_equal(me->state, GWC_ELECTION_RELEASED);
}

static void a_release_that_meets_a_conflict_looks_whose_lease_it_is(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen other = seen("other", "theirs", 6), mine = seen("me", "labelled", 5);
    struct gwc_election_record record;

    lead(me, 0);
    gwc_election_release(me, 500);
    expect(me, 500, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    gwc_election_conflicted(me, 510, 0);
    expect(me, 510, GWC_ELECTION_READ);
    gwc_election_read(me, &mine, 520, 0);
    expect(me, 520, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    gwc_election_conflicted(me, 530, 0);
    expect(me, me->next_ms, GWC_ELECTION_READ);
    gwc_election_read(me, &other, 2540, 0);
    assert_int_equal(me->state, GWC_ELECTION_RELEASED); /* no longer ours to give */
}

static void a_release_without_an_answer_is_not_insisted_on(void **state)
{
    struct gwc_election *me = *state;

    lead(me, 0);
    gwc_election_release(me, 500);
    expect(me, 500, GWC_ELECTION_WRITE);
    gwc_election_failed(me, 600, 0);
    assert_int_equal(me->state, GWC_ELECTION_RELEASED);
    assert_string_equal(me->holder, "me"); /* it runs out by itself */
}

static void a_follower_has_nothing_to_give_back(void **state)
{
    struct gwc_election *me = *state;

    read_other(me, "a", 0);
    gwc_election_release(me, 10);
    assert_int_equal(me->state, GWC_ELECTION_RELEASED);
    expect(me, 5000, GWC_ELECTION_WAIT);
}

static void a_candidate_that_ends_while_it_takes_the_lease_gives_it_back(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen nobody = seen("", "free", 4), mine = seen("me", "mine", 5);
    struct gwc_election_record record;

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, 0, 0);
    expect(me, 0, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    gwc_election_release(me, 10);
    expect(me, 10, GWC_ELECTION_WAIT);
    gwc_election_wrote(me, &mine, 20, 0);
    expect(me, 20, GWC_ELECTION_WRITE);
    gwc_election_record(me, 0, &record);
    assert_string_equal(record.holder, "");
}

static void a_candidate_that_ends_while_it_loses_a_round_is_released(void **state)
{
    struct gwc_election *me = *state;
    struct gwc_election_seen nobody = seen("", "free", 4);

    expect(me, 0, GWC_ELECTION_READ);
    gwc_election_read(me, &nobody, 0, 0);
    expect(me, 0, GWC_ELECTION_WRITE);
    gwc_election_release(me, 10);
    gwc_election_conflicted(me, 20, 0);
    assert_int_equal(me->state, GWC_ELECTION_RELEASED);
}

/* ---- durations ---- */

static void times_that_do_not_fit_are_refused_in_words(void **state)
{
    static const struct {
        struct gwc_election_times times;
        const char *words;
    } cases[] = {
        {{15000, 10000, 2000}, NULL},
        {{10000, 10000, 2000},
         "--lease-duration 10s must be longer than --renew-deadline 10s: a leader stops "
         "before another takes over"},
        {{15000, 2400, 2000},
         "--renew-deadline 2.4s must be longer than 1.2 times --retry-period 2s: a leader "
         "needs more than one attempt"},
        {{15000, 2401, 2000}, NULL},
        {{500, 300, 100}, "--lease-duration 500ms is too short: at least 1s"},
        {{15000, 10000, 0}, "--retry-period must be greater than 0"},
        {{15000, 10000, -1}, "--retry-period must be greater than 0"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        struct gw_reason reason = {""};
        int fault = gwc_election_times_check(&cases[i].times, &reason);
        assert_int_equal(fault, cases[i].words == NULL ? 0 : -EINVAL);
        assert_string_equal(reason.text, cases[i].words == NULL ? "" : cases[i].words);
    }
}

/* ---- many candidates: each millisecond of a quarter of an hour, with everything going wrong ----
 *
 * Requests and answers are late or lost (a request whose sender gave up may still be applied), processes are stopped for
 * seconds and go on, their clocks begin anywhere. At no time do two that are awake lead; epochs only rise. */

enum { SIM_CANDIDATES = 4, SIM_MS = 900000, SIM_ROUNDS = 20, SIM_RECORD_MAX = 64 };

struct sim_server {
    bool there;
    uint64_t version;
    char holder[16], record[SIM_RECORD_MAX];
    int64_t transitions;
};

struct sim_request {
    bool pending; /* on its way to the server */
    bool write, create;
    uint64_t version;
    char holder[16];
    int64_t transitions, arrives_ms, answers_ms;
    bool answer_lost;
};

struct sim_candidate {
    struct gwc_election election;
    char name[16];
    int64_t offset_ms, stopped_until_ms;
    uint64_t version;                /* of what it read or wrote last */
    struct sim_request requests[16]; /* under way, or given up and yet on their way */
    int current;                     /* whose answer it awaits; -1: none */
    int64_t gives_up_ms;
    struct sim_server answer; /* when it arrived */
    int answer_status;
    bool elected;
};

struct sim {
    struct sim_server server;
    struct sim_candidate candidates[SIM_CANDIDATES];
    uint64_t random;
    int64_t now_ms, epoch_last, led_ms;
    unsigned elections, losses;
    bool calm; /* nothing goes wrong from now on */
};

static uint64_t sim_random(struct sim *sim)
{
    /* splitmix64: the same in every run */
    uint64_t z = sim->random += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static bool sim_chance(struct sim *sim, uint64_t one_in)
{
    return !sim->calm && sim_random(sim) % one_in == 0;
}

static int64_t sim_delay(struct sim *sim)
{
    return (int64_t)(sim_chance(sim, 10) ? sim_random(sim) % 9000 : 1 + sim_random(sim) % 20);
}

static void sim_send(struct sim *sim, struct sim_candidate *candidate, bool write)
{
    int64_t local_ms = sim->now_ms + candidate->offset_ms;
    int slot = 0;

    while (slot < 16 && candidate->requests[slot].pending)
        slot++;
    assert_true(slot < 16);
    struct sim_request *request = &candidate->requests[slot];
    *request = (struct sim_request){.pending = true, .write = write, .version = candidate->version};
    request->arrives_ms = sim->now_ms + sim_delay(sim);
    request->answers_ms = request->arrives_ms + sim_delay(sim);
    request->answer_lost = sim_chance(sim, 15);
    if (write) {
        struct gwc_election_record record;
        gwc_election_record(&candidate->election, 0, &record);
        request->create = record.create;
        request->transitions = record.transitions;
        snprintf(request->holder, sizeof(request->holder), "%s", record.holder);
    }
    candidate->current = slot;
    candidate->answer_status = 0;
    candidate->gives_up_ms = sim->now_ms + gwc_election_patience_ms(&candidate->election, local_ms);
}

static int sim_apply(struct sim *sim, const struct sim_request *request)
{
    struct sim_server *server = &sim->server;

    if (!request->write)
        return server->there ? 200 : 404;
    if (request->create ? server->there : !server->there || server->version != request->version)
        return 409;
    server->there = true;
    server->version++;
    snprintf(server->holder, sizeof(server->holder), "%s", request->holder);
    server->transitions = request->transitions;
    snprintf(server->record, sizeof(server->record), "%s %d %d", request->holder, (int)request->transitions,
             (int)server->version);
    return 200;
}

static void sim_deliver(struct sim *sim)
{
    for (size_t i = 0; i < SIM_CANDIDATES; i++)
        for (int slot = 0; slot < 16; slot++) {
            struct sim_candidate *candidate = &sim->candidates[i];
            struct sim_request *request = &candidate->requests[slot];
            if (!request->pending || sim->now_ms < request->arrives_ms)
                continue;
            request->pending = false;
            int status = sim_apply(sim, request);
            if (slot == candidate->current && !request->answer_lost) {
                candidate->answer_status = status;
                candidate->answer = sim->server;
            }
        }
}

/* The candidate's loop runs: the answer, or that there is none. */
static void sim_hear(struct sim *sim, struct sim_candidate *candidate)
{
    struct gwc_election *election = &candidate->election;
    int64_t local_ms = sim->now_ms + candidate->offset_ms;
    struct sim_request *request = &candidate->requests[candidate->current];
    struct gwc_election_seen answer =
        seen(candidate->answer.holder, candidate->answer.record, candidate->answer.transitions);

    if (candidate->answer_status != 0 && sim->now_ms >= request->answers_ms) {
        candidate->current = -1;
        if (candidate->answer_status == 404) {
            gwc_election_missing(election, local_ms);
        } else if (candidate->answer_status == 409) {
            gwc_election_conflicted(election, local_ms, sim_random(sim));
        } else {
            candidate->version = candidate->answer.version;
            if (request->write)
                gwc_election_wrote(election, &answer, local_ms, sim_random(sim));
            else
                gwc_election_read(election, &answer, local_ms, sim_random(sim));
        }
    } else if (sim->now_ms >= candidate->gives_up_ms) {
        candidate->current = -1;
        gwc_election_failed(election, local_ms, sim_random(sim));
    }
}

static void sim_restart(struct sim *sim, struct sim_candidate *candidate)
{
    size_t i = (size_t)(candidate - sim->candidates);

    gwc_election_done(&candidate->election);
    snprintf(candidate->name, sizeof(candidate->name), "c%zu-%u", i, (unsigned)(sim_random(sim) % 100000));
    candidate->offset_ms = (int64_t)(sim_random(sim) % 1000000000);
    candidate->current = -1;
    candidate->elected = false;
    candidate->version = 0;
    gwc_election_init(&candidate->election, candidate->name, &times, sim->now_ms + candidate->offset_ms);
}

/* An answer is heard before the election is asked, as on the loop; what it does not ask for, it does not get. */
static void sim_run(struct sim *sim, struct sim_candidate *candidate)
{
    if (candidate->current >= 0)
        sim_hear(sim, candidate);
    enum gwc_election_action action =
        gwc_election_act(&candidate->election, sim->now_ms + candidate->offset_ms);
    if (action != GWC_ELECTION_WAIT)
        sim_send(sim, candidate, action == GWC_ELECTION_WRITE);
    if (candidate->election.state == GWC_ELECTION_LEADING && !candidate->elected) {
        candidate->elected = true;
        sim->elections++;
        assert_true(candidate->election.term + 1 > sim->epoch_last);
        sim->epoch_last = candidate->election.term + 1;
    }
    if (candidate->election.state == GWC_ELECTION_LOST ||
        candidate->election.state == GWC_ELECTION_RELEASED) {
        sim->losses++;
        sim_restart(sim, candidate);
    }
}

static void sim_trouble(struct sim *sim, struct sim_candidate *candidate)
{
    if (sim_chance(sim, 60000))
        candidate->stopped_until_ms = sim->now_ms + (int64_t)(sim_random(sim) % 40000);
    if (sim_chance(sim, 200000))
        sim_restart(sim, candidate); /* killed */
    if (sim_chance(sim, 200000) && candidate->election.state == GWC_ELECTION_LEADING)
        gwc_election_release(&candidate->election, sim->now_ms + candidate->offset_ms);
}

static unsigned sim_step(struct sim *sim)
{
    unsigned leaders = 0;

    sim_deliver(sim);
    for (size_t i = 0; i < SIM_CANDIDATES; i++) {
        struct sim_candidate *candidate = &sim->candidates[i];
        sim_trouble(sim, candidate);
        if (candidate->stopped_until_ms > sim->now_ms)
            continue;
        sim_run(sim, candidate);
        /* Who gives the Lease back has ended its work before. */
        leaders += candidate->election.state == GWC_ELECTION_LEADING && !candidate->election.releasing;
    }
    sim->now_ms++;
    sim->led_ms += leaders > 0;
    return leaders;
}

static void whatever_goes_wrong_two_never_lead_and_epochs_rise(void **state)
{
    unsigned elections = 0, losses = 0;

    (void)state;
    for (uint64_t round = 0; round < SIM_ROUNDS; round++) {
        struct sim sim = {.random = round};
        for (size_t i = 0; i < SIM_CANDIDATES; i++)
            sim_restart(&sim, &sim.candidates[i]);
        while (sim.now_ms < SIM_MS)
            if (sim_step(&sim) > 1)
                fail_msg("two lead at %d ms of round %d", (int)sim.now_ms, (int)round);
        /* And when nothing goes wrong any more, one leads and stays. */
        sim.calm = true;
        for (int64_t until = sim.now_ms + 60000; sim.now_ms < until;)
            sim_step(&sim);
        unsigned settled = sim.elections;
        for (int64_t until = sim.now_ms + 60000; sim.now_ms < until;)
            assert_int_equal(sim_step(&sim), 1);
        assert_int_equal(sim.elections, settled);
        elections += sim.elections;
        losses += sim.losses;
        for (size_t i = 0; i < SIM_CANDIDATES; i++)
            gwc_election_done(&sim.candidates[i].election);
    }
    print_message("%u elections, %u leaderships ended\n", elections, losses);
    assert_true(elections > SIM_ROUNDS * 5);
}

/* ---- the Lease as JSON ---- */

static const char lease_json[] =
    "{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/"
    "v1\",\"metadata\":{\"name\":\"gw\",\"namespace\":"
    "\"shop\",\"resourceVersion\":\"41\",\"labels\":{\"team\":\"a\\\"b\"}},\"spec\":{\"holderIdentity\":"
    "\"pod-\\u00e4_1\",\"leaseDurationSeconds\":15,\"acquireTime\":\"2026-03-01T08:00:00.000001Z\","
    "\"renewTime\":\"2026-03-01T08:30:00.123456Z\",\"leaseTransitions\":3,\"strategy\":"
    "\"OldestEmulationVersion\"}}";

static void a_lease_is_read(void **state)
{
    struct gwc_lease lease = {0};

    (void)state;
    assert_int_equal(gwc_lease_read(&lease, gw_view_text(lease_json)), 0);
    assert_true(gw_view_is(lease.seen.holder, "pod-\xc3\xa4_1"));
    assert_int_equal(lease.seen.duration_ms, 15000);
    assert_int_equal(lease.seen.transitions, 3);
    assert_memory_equal(lease.seen.record.data, "{\"holderIdentity\"", 17);
    assert_int_equal(lease.seen.record.data[lease.seen.record.size - 1], '}');
    gwc_lease_done(&lease);
}

static void a_lease_without_a_spec_is_free(void **state)
{
    static const char *const texts[] = {"{}", "{\"spec\":null}", "{\"spec\":{}}",
                                        "{\"spec\":{\"holderIdentity\":null,\"leaseTransitions\":\"x\"}}"};
    struct gwc_lease lease = {0};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(texts); i++) {
        assert_int_equal(gwc_lease_read(&lease, gw_view_text(texts[i])), 0);
        assert_int_equal(lease.seen.holder.size, 0);
        assert_int_equal(lease.seen.transitions, 0);
        assert_true(lease.seen.record.size > 0);
    }
    gwc_lease_done(&lease);
}

static void what_is_no_lease_is_refused(void **state)
{
    static const char *const texts[] = {"",           "[]",    "<html>",
                                        "{\"spec\":", "{} {}", "{\"spec\":{\"holderIdentity\":\"\\ud800\"}}"};
    struct gwc_lease lease = {0};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(texts); i++)
        assert_int_equal(gwc_lease_read(&lease, gw_view_text(texts[i])), -EBADMSG);
    gwc_lease_done(&lease);
}

static const char *lease_written(struct gw_bytes *out, const struct gwc_lease *lease,
                                 const struct gwc_election_record *record, int64_t lease_ms)
{
    struct gwc_lease_write write = {.name = "gw",
                                    .namespace_ = "shop",
                                    .record = record,
                                    .lease_ms = lease_ms,
                                    .realtime_ns = INT64_C(1772353801000000000)};
    gw_bytes_clear(out);
    gwc_lease_write(out, lease, &write);
    assert_true(gw_json_valid(gw_bytes_view(out)));
    return gw_bytes_text(out);
}

static void a_lease_is_taken_over_with_all_else_as_it_was(void **state)
{
    struct gwc_lease lease = {0};
    struct gwc_election_record record = {.holder = "pod-\"2\"", .begins = true, .transitions = 4};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    assert_int_equal(gwc_lease_read(&lease, gw_view_text(lease_json)), 0);
    assert_string_equal(lease_written(&out, &lease, &record, 1500),
                        "{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/"
                        "v1\",\"metadata\":{\"name\":\"gw\",\"namespace\":"
                        "\"shop\",\"resourceVersion\":\"41\",\"labels\":{\"team\":\"a\\\"b\"}},\"spec\":{"
                        "\"strategy\":\"OldestEmulationVersion\",\"holderIdentity\":\"pod-\\\"2\\\"\","
                        "\"leaseDurationSeconds\":2,"
                        "\"leaseTransitions\":4,\"acquireTime\":\"2026-03-01T08:30:01.000000Z\","
                        "\"renewTime\":\"2026-03-01T08:30:01."
                        "000000Z\"}}");
    gwc_lease_done(&lease);
}

static void a_renewal_keeps_when_the_lease_was_acquired(void **state)
{
    struct gwc_lease lease = {0};
    struct gwc_election_record record = {.holder = "me", .transitions = 3};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    assert_int_equal(gwc_lease_read(&lease, gw_view_text(lease_json)), 0);
    const char *json = lease_written(&out, &lease, &record, 15000);
    assert_non_null(strstr(json, "\"acquireTime\":\"2026-03-01T08:00:00.000001Z\""));
    assert_non_null(strstr(json, "\"renewTime\":\"2026-03-01T08:30:01.000000Z\""));
    assert_non_null(strstr(json, "\"leaseDurationSeconds\":15,"));
    gwc_lease_done(&lease);
}

static void a_lease_that_is_given_back_names_nobody_and_lasts_a_second(void **state)
{
    struct gwc_lease lease = {0};
    struct gwc_election_record record = {.holder = "", .transitions = 3};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    assert_int_equal(gwc_lease_read(&lease, gw_view_text(lease_json)), 0);
    assert_non_null(strstr(lease_written(&out, &lease, &record, 15000),
                           "\"holderIdentity\":\"\",\"leaseDurationSeconds\":1,\"leaseTransitions\":3"));
    gwc_lease_done(&lease);
}

static void a_new_lease_is_whole(void **state)
{
    struct gwc_lease lease = {0};
    struct gwc_election_record record = {.create = true, .holder = "me", .begins = true};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    assert_string_equal(
        lease_written(&out, &lease, &record, 15000),
        "{\"apiVersion\":\"coordination.k8s.io/"
        "v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"gw\",\"namespace\":"
        "\"shop\"},\"spec\":{\"holderIdentity\":\"me\",\"leaseDurationSeconds\":15,\"leaseTransitions\":0,"
        "\"acquireTime\":\"2026-03-01T08:30:01.000000Z\",\"renewTime\":\"2026-03-01T08:30:01.000000Z\"}}");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, candidate_setup, candidate_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(where_there_is_no_lease_one_is_made_with_transitions_zero),
        TEST(a_new_lease_counts_on_from_the_epoch_in_the_outbox),
        TEST(a_lease_that_lags_behind_the_outbox_catches_up_at_the_take_over),
        TEST(a_held_lease_is_left_alone_until_it_has_not_changed_for_its_duration),
        TEST(the_longer_of_two_durations_counts),
        TEST(a_candidate_waits_for_one_to_two_and_a_fifth_retry_periods),
        TEST(the_loser_of_a_race_follows),
        TEST(a_leader_renews_each_retry_period_what_it_wrote),
        TEST(a_leader_that_cannot_renew_stops_at_the_deadline_counted_from_the_sending),
        TEST(a_request_under_way_does_not_keep_a_leader_beyond_its_deadline),
        TEST(several_attempts_fit_into_the_deadline),
        TEST(a_short_outage_changes_nothing),
        TEST(a_leader_whose_renewal_was_applied_but_not_answered_finds_itself),
        TEST(a_candidate_whose_taking_was_applied_but_not_answered_leads_with_the_same_epoch),
        TEST(a_leader_that_finds_another_stops_at_once),
        TEST(a_leader_whose_lease_was_emptied_stops_too),
        TEST(a_label_put_on_the_lease_costs_a_leader_one_more_request),
        TEST(a_label_put_on_the_lease_does_not_renew_it),
        TEST(a_leader_makes_a_deleted_lease_again_with_its_own_count),
        TEST(a_leader_that_was_stopped_knows_it_before_it_does_anything),
        TEST(a_candidate_that_was_stopped_while_it_took_the_lease_does_not_lead),
        TEST(a_candidate_that_was_stopped_counts_anew_what_changed_meanwhile),
        TEST(a_leader_gives_the_lease_back_with_its_count),
        TEST(a_renewal_under_way_is_waited_for_before_the_lease_is_given_back),
        TEST(a_release_that_meets_a_conflict_looks_whose_lease_it_is),
        TEST(a_release_without_an_answer_is_not_insisted_on),
        TEST(a_follower_has_nothing_to_give_back),
        TEST(a_candidate_that_ends_while_it_takes_the_lease_gives_it_back),
        TEST(a_candidate_that_ends_while_it_loses_a_round_is_released),
        cmocka_unit_test(times_that_do_not_fit_are_refused_in_words),
        cmocka_unit_test(whatever_goes_wrong_two_never_lead_and_epochs_rise),
        cmocka_unit_test(a_lease_is_read),
        cmocka_unit_test(a_lease_without_a_spec_is_free),
        cmocka_unit_test(what_is_no_lease_is_refused),
        cmocka_unit_test(a_lease_is_taken_over_with_all_else_as_it_was),
        cmocka_unit_test(a_renewal_keeps_when_the_lease_was_acquired),
        cmocka_unit_test(a_lease_that_is_given_back_names_nobody_and_lasts_a_second),
        cmocka_unit_test(a_new_lease_is_whole),
    };
    return cmocka_run_group_tests_name("leader", tests, NULL, NULL);
}
