/* Leader election by a Lease: sends what the election asks for, hands it the answers, tells what came of it.
 * Its time is the clock's, not the loop's, which stands still while the loop does: a process that was stopped must notice. */
#include "gateway-client/leader/leader.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/text.h"
#include "gateway-client/leader/lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEADER_ANSWER_MAX = 1 << 20, LEADER_TURN_MS = 20 };

struct gwc_leader {
    struct gwc_leader_options options;
    struct gw_arena arena;
    const char *collection, *path; /* of the API */
    struct gwc_election election;
    struct gwc_lease lease;
    struct gw_bytes body; /* of the request under way */
    struct gw_kube_call *call;
    bool writes; /* the request under way is a WRITE */
    struct gw_timer *timer;
    bool elected, ended; /* as told */
    char trouble[GW_REASON_MAX];
};

/* ---- trouble, in words ---- */

static void trouble_set(struct gwc_leader *leader, const char *words)
{
    const struct gwc_leader_options *options = &leader->options;
    struct gw_reason trouble = {""};

    if (words[0] != '\0')
        gw_reason_set(&trouble, "the Lease %s/%s cannot be %s: %s", options->namespace_, options->name,
                      leader->writes ? "written" : "read", words);
    if (strcmp(trouble.text, leader->trouble) == 0)
        return;
    memcpy(leader->trouble, trouble.text, sizeof(leader->trouble));
    if (words[0] != '\0')
        gw_log(GW_LOG_WARN, "leader election is held up", "reason", leader->trouble, NULL);
    else
        gw_log(GW_LOG_INFO, "leader election goes on", NULL);
}

/* ---- answers ---- */

static void leader_step(struct gwc_leader *leader);

static void answer_failed(struct gwc_leader *leader, const char *words)
{
    trouble_set(leader, words);
    gwc_election_failed(&leader->election, gw_clock_monotonic_ms(), gw_random_u64());
}

static void answer_good(struct gwc_leader *leader, struct gw_view body)
{
    int64_t now_ms = gw_clock_monotonic_ms();

    if (gwc_lease_read(&leader->lease, body) != 0) {
        answer_failed(leader, "the API server's answer is no Lease");
        return;
    }
    trouble_set(leader, "");
    if (leader->writes)
        gwc_election_wrote(&leader->election, &leader->lease.seen, now_ms, gw_random_u64());
    else
        gwc_election_read(&leader->election, &leader->lease.seen, now_ms, gw_random_u64());
}

/* The namespace is missing, too, when a new Lease finds nothing to be put into: that is trouble, not a lost round. */
static bool answer_lost_round(const struct gwc_leader *leader, int status)
{
    return leader->writes && (status == 409 || (status == 404 && leader->lease.json.size > 0));
}

static void on_answer(void *user, const struct gw_kube_answer *answer)
{
    struct gwc_leader *leader = user;

    leader->call = NULL;
    if (answer->status >= 200 && answer->status < 300) {
        answer_good(leader, answer->body);
    } else if (!leader->writes && answer->status == 404) {
        trouble_set(leader, "");
        gw_bytes_clear(&leader->lease.json);
        gwc_election_missing(&leader->election, gw_clock_monotonic_ms());
    } else if (answer_lost_round(leader, answer->status)) {
        trouble_set(leader, "");
        gwc_election_conflicted(&leader->election, gw_clock_monotonic_ms(), gw_random_u64());
    } else {
        answer_failed(leader, answer->message);
    }
    leader_step(leader);
}

/* ---- requests ---- */

static enum gw_kube_verb request_write(struct gwc_leader *leader)
{
    const struct gwc_leader_options *options = &leader->options;
    uint64_t kept = leader->elected || options->epoch_kept == NULL ? 0 : options->epoch_kept(options->user);
    struct gwc_election_record record;

    gwc_election_record(&leader->election, (int64_t)kept, &record);
    struct gwc_lease_write write = {
        .name = options->name,
        .namespace_ = options->namespace_,
        .record = &record,
        .lease_ms = options->times.lease_ms,
        .realtime_ns = gw_clock_realtime_ns(),
    };
    gw_bytes_clear(&leader->body);
    gwc_lease_write(&leader->body, &leader->lease, &write);
    return record.create ? GW_KUBE_CREATE : GW_KUBE_UPDATE;
}

static int request_send(struct gwc_leader *leader, enum gwc_election_action action)
{
    struct gw_kube_request request = {
        .verb = GW_KUBE_GET,
        .path = leader->path,
        .timeout_ms = gwc_election_patience_ms(&leader->election, gw_clock_monotonic_ms()),
        .answer_max = LEADER_ANSWER_MAX,
    };

    leader->writes = action == GWC_ELECTION_WRITE;
    if (leader->writes) {
        request.verb = request_write(leader);
        if (leader->body.failed)
            return GW_RAISE(-ENOMEM);
        request.body = gw_bytes_view(&leader->body);
        if (request.verb == GW_KUBE_CREATE)
            request.path = leader->collection;
    }
    return gw_kube_send(leader->options.kube, &request, on_answer, leader, &leader->call);
}

/* ---- what came of it ---- */

static void leader_end(struct gwc_leader *leader)
{
    char period[GW_DURATION_MAX];
    struct gw_reason words = {""};
    bool taken =
        leader->election.holder[0] != '\0' && strcmp(leader->election.holder, leader->election.identity) != 0;

    leader->ended = true;
    if (leader->call != NULL)
        gw_kube_cancel(GW_TAKE(leader->call));
    if (taken)
        gw_reason_set(&words, "%s leads now", leader->election.holder);
    else
        gw_reason_set(&words, "the Lease was not renewed for %s%s%s",
                      gw_duration_format(period, leader->options.times.renew_ms * GW_NS_PER_MS),
                      leader->trouble[0] != '\0' ? ": " : "", leader->trouble);
    leader->options.lost(leader->options.user, words.text);
}

static void leader_tell(struct gwc_leader *leader)
{
    enum gwc_election_state state = leader->election.state;

    if (state == GWC_ELECTION_LEADING && !leader->elected && !leader->election.releasing) {
        leader->elected = true;
        leader->options.elected(leader->options.user, (uint64_t)leader->election.term + 1);
    }
    if (state == GWC_ELECTION_LOST && !leader->ended)
        leader_end(leader);
}

static void leader_step(struct gwc_leader *leader)
{
    enum gwc_election_action action = gwc_election_act(&leader->election, gw_clock_monotonic_ms());

    leader_tell(leader);
    if (action != GWC_ELECTION_WAIT && request_send(leader, action) != 0) {
        answer_failed(leader, "no memory");
        gwc_election_act(&leader->election, gw_clock_monotonic_ms());
    }
    if (leader->election.due_ms != INT64_MAX)
        gw_timer_start(leader->timer, GW_MAX(leader->election.due_ms - gw_clock_monotonic_ms(), INT64_C(0)));
    else
        gw_timer_stop(leader->timer);
}

static void on_time(void *user)
{
    leader_step(user);
}

/* ---- opening, releasing, closing ---- */

static char *path_make(struct gwc_leader *leader, const char *name)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};

    gw_bytes_append_text(&path, "/apis/coordination.k8s.io/v1/namespaces/");
    gw_kube_quote(&path, leader->options.namespace_);
    gw_bytes_append_text(&path, "/leases");
    if (name != NULL) {
        gw_bytes_append_char(&path, '/');
        gw_kube_quote(&path, name);
    }
    return path.failed ? NULL : gw_arena_copy(&leader->arena, gw_bytes_view(&path));
}

static int names_copy(struct gwc_leader *leader)
{
    struct gwc_leader_options *options = &leader->options;

    options->name = gw_arena_copy(&leader->arena, gw_view_text(options->name));
    options->namespace_ = gw_arena_copy(&leader->arena, gw_view_text(options->namespace_));
    if (options->name == NULL || options->namespace_ == NULL)
        return GW_RAISE(-ENOMEM);
    leader->collection = path_make(leader, NULL);
    leader->path = path_make(leader, options->name);
    return leader->collection == NULL || leader->path == NULL ? GW_RAISE(-ENOMEM) : 0;
}

/* The Pod's name, for people; the random part, because a Pod's processes come one after the other. */
static void identity_make(char identity[static GWC_ELECTION_HOLDER_MAX])
{
    char host[256] = "";
    const char *pod = getenv("HOSTNAME");

    if ((pod == NULL || pod[0] == '\0') && gethostname(host, sizeof(host) - 1) == 0)
        pod = host;
    if (pod == NULL || pod[0] == '\0')
        pod = "gateway-client";
    snprintf(identity, GWC_ELECTION_HOLDER_MAX, "%.253s_%08" PRIx32, pod, (uint32_t)gw_random_u64());
}

int gwc_leader_open(struct gwc_leader **ret_leader, const struct gwc_leader_options *options)
{
    GW_AUTO(gwc_leader_closep) struct gwc_leader *leader = calloc(1, sizeof(*leader));
    char identity[GWC_ELECTION_HOLDER_MAX];

    if (leader == NULL)
        return GW_RAISE(-ENOMEM);
    leader->options = *options;
    GW_TRY(names_copy(leader));
    identity_make(identity);
    gwc_election_init(&leader->election, identity, &options->times, gw_clock_monotonic_ms());
    GW_TRY(gw_timer_open(&leader->timer, gw_kube_loop(options->kube), on_time, leader));
    gw_timer_start(leader->timer, 0);
    *ret_leader = GW_TAKE(leader);
    return 0;
}

bool gwc_leader_release(struct gwc_leader *leader, int64_t wait_ms)
{
    struct gwc_election *election = &leader->election;
    int64_t until_ms = gw_clock_monotonic_ms() + wait_ms;

    leader->ended = true; /* nothing is told any more */
    gwc_election_release(election, gw_clock_monotonic_ms());
    leader_step(leader);
    while (election->state != GWC_ELECTION_RELEASED && election->state != GWC_ELECTION_LOST &&
           gw_clock_monotonic_ms() < until_ms)
        gw_loop_turn(gw_kube_loop(leader->options.kube), LEADER_TURN_MS);
    return election->state == GWC_ELECTION_RELEASED && election->gives && election->holder[0] == '\0';
}

struct gwc_leader *gwc_leader_close(struct gwc_leader *leader)
{
    if (leader == NULL)
        return NULL;
    if (leader->call != NULL)
        gw_kube_cancel(leader->call);
    gw_timer_close(leader->timer);
    gwc_election_done(&leader->election);
    gwc_lease_done(&leader->lease);
    gw_bytes_done(&leader->body);
    gw_arena_done(&leader->arena);
    free(leader);
    return NULL;
}

/* ---- status ---- */

void gwc_leader_status(const struct gwc_leader *leader, struct gwc_leader_status *ret_status)
{
    const struct gwc_election *election = &leader->election;
    struct gw_reason words = {""};
    bool leading = election->state == GWC_ELECTION_LEADING;

    *ret_status = (struct gwc_leader_status){
        .leading = leading,
        .identity = election->identity,
        .holder = election->holder,
        .transitions = election->transitions,
        .trouble = leader->trouble,
    };
    gw_reason_set(&words, "%s%s%s%s%s", leading ? "" : "standing by: ",
                  leading                       ? "leading"
                  : election->holder[0] != '\0' ? election->holder
                                                : "nobody",
                  leading ? "" : " leads", leader->trouble[0] != '\0' ? "; " : "", leader->trouble);
    memcpy(ret_status->words, words.text, sizeof(ret_status->words));
}
