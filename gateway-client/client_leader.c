/* The client's part in a leader election: standing by, beginning when it is elected, ending when it leads no more. */
#include "gateway-client/client.h"

#include "common/flags.h"
#include "common/kube.h"
#include "common/log.h"
#include "common/text.h"
#include "gateway-client/report/report.h"

#include <stdio.h>
#include <string.h>

enum {
    OUTBOX_AGAIN_MS = 500, /* a leader of old holds the outbox: look again */
    RELEASE_MS = 3000,
};

/* ---- flags ---- */

int gwc_client_leader_check(const struct gwc_client_leader_options *options, struct gw_reason *reason)
{
    const char *name = options->lease_name, *slash = name == NULL ? NULL : strchr(name, '/');

    GW_TRY(gwc_election_times_check(&options->times, reason));
    if (name == NULL)
        return 0;
    if (!options->elect)
        return GW_REFUSE(-EINVAL, reason, "--lease-name is of use with --leader-elect only");
    bool namespace_good = slash == NULL || gw_dns_label_valid(gw_view(name, (size_t)(slash - name)));
    if (!namespace_good || !gw_dns_name_valid(gw_view_text(slash == NULL ? name : slash + 1)))
        return GW_REFUSE(
            -EINVAL, reason,
            "--lease-name: \"%s\" is not NAME or NAMESPACE/NAME: lower-case letters, digits, '-' "
            "and '.' make one",
            name);
    return 0;
}

/* ---- elected ---- */

void gwc_client_count_leader(struct gwc_client *client)
{
    struct gwc_leader_status status;

    if (client->leader == NULL)
        return;
    gwc_leader_status(client->leader, &status);
    gw_series_set(client->leader_series, status.leading ? 1 : 0);
    gw_series_set(client->transitions_series, (double)status.transitions);
}

static uint64_t on_epoch(void *user)
{
    struct gwc_client *client = user;
    struct gw_reason reason = {""};
    uint64_t epoch = 0;

    if (gwc_outbox_epoch(client->options->state_directory, &epoch, &reason) != 0)
        gw_log(GW_LOG_WARN, "the epoch of the outbox cannot be read", "reason", reason.text, NULL);
    return epoch;
}

static void on_elected(void *user, uint64_t epoch)
{
    struct gwc_client *client = user;
    struct gwc_leader_status status;

    client->epoch = epoch;
    gwc_client_count_leader(client);
    if (client->stopping)
        return;
    gw_log(GW_LOG_INFO, "elected: this process leads", "gateway", client->name, "epoch", GW_NUMBER(epoch),
           NULL);
    int begun = gwc_client_begin(client);
    gwc_leader_status(client->leader, &status);
    gwc_report_tell(client->report, GWC_EVENT_LEADER_ELECTED, status.identity, "");
    if (begun < 0)
        gw_log(GW_LOG_ERROR, "cannot start", "reason", gw_fault_trace(), NULL);
    if (begun != 0)
        gwc_client_fail(client, begun == GWC_ORIGIN_BAD ? GW_EXIT_CONFIGURATION : GW_EXIT_FAULT);
}

static void on_lost(void *user, const char *words)
{
    struct gwc_client *client = user;

    gw_log(GW_LOG_ERROR, "leadership is lost: this process ends, to come back as a follower", "reason", words,
           NULL);
    gwc_client_fail(client, GW_EXIT_FAULT);
}

void gwc_client_fenced(struct gwc_client *client, uint64_t epoch)
{
    gw_log(GW_LOG_ERROR,
           "another process has taken the outbox over: this one ends, and has written nothing since", "epoch",
           GW_NUMBER(client->epoch), "theirs", GW_NUMBER(epoch), NULL);
    gwc_client_fail(client, GW_EXIT_FAULT);
}

/* ---- an outbox that is held ---- */

static void on_again(void *user)
{
    gwc_client_gateway_changed(user);
}

int gwc_client_outbox_held(struct gwc_client *client, const char *words)
{
    if (client->again_timer == NULL)
        GW_TRY(gw_timer_open(&client->again_timer, client->loop, on_again, client));
    if (strcmp(words, client->outbox_reason) != 0)
        gw_log(GW_LOG_WARN, "the outbox is waited for", "reason", words, NULL);
    snprintf(client->outbox_reason, sizeof(client->outbox_reason), "%s", words);
    gw_timer_start(client->again_timer, OUTBOX_AGAIN_MS);
    return 0;
}

/* ---- standing by ---- */

/* A connection of its own: what holds up the others does not hold up the renewal. */
static int kube_open(struct gwc_client *client)
{
    const struct gwc_origins *origins = &client->options->origins;
    const struct gw_kube_options options = {origins->kubeconfig, origins->context, "gateway-client"};
    struct gw_reason reason = {""};

    int fault = gw_kube_open(&client->leader_kube, client->loop, &options, &reason);
    if (fault == 0)
        return 0;
    gw_log(GW_LOG_ERROR, "the API server cannot be used, and --leader-elect needs it", "reason",
           reason.text[0] != '\0' ? reason.text : gw_fault_trace(), NULL);
    return reason.text[0] != '\0' ? GWC_ORIGIN_BAD : fault;
}

static void metrics_open(struct gwc_client *client)
{
    client->leader_series = gw_family_series(gw_metrics_family(client->metrics, GW_GAUGE, "gateway_leader",
                                                               "1 while this process leads.", "", NULL, 0),
                                             NULL);
    client->transitions_series = gw_family_series(
        gw_metrics_family(client->metrics, GW_GAUGE, "gateway_leader_transitions",
                          "How often the leader has changed, as the Lease says.", "", NULL, 0),
        NULL);
}

/* The Lease is in the namespace of the process, where its account may write; its name is the gateway's. */
static int leader_open(struct gwc_client *client)
{
    const char *given = client->options->leader.lease_name,
               *slash = given == NULL ? NULL : strchr(given, '/');
    const char *namespace_ = client->options->origins.namespace_;
    char *name = given != NULL ? gw_arena_printf(&client->arena, "%s", slash == NULL ? given : slash + 1)
                               : gw_arena_printf(&client->arena, "%s-gateway-client", client->name);

    if (slash != NULL)
        namespace_ = gw_arena_copy(&client->arena, gw_view(given, (size_t)(slash - given)));
    else if (namespace_ == NULL)
        namespace_ = gw_kube_namespace(client->leader_kube);
    if (name == NULL || namespace_ == NULL)
        return GW_RAISE(-ENOMEM);
    struct gwc_leader_options options = {
        .kube = client->leader_kube,
        .namespace_ = namespace_,
        .name = name,
        .times = client->options->leader.times,
        .epoch_kept = on_epoch,
        .elected = on_elected,
        .lost = on_lost,
        .user = client,
    };
    gw_log(GW_LOG_INFO, "leader election", "namespace", namespace_, "lease", name, NULL);
    return gwc_leader_open(&client->leader, &options);
}

int gwc_client_stand_by(struct gwc_client *client)
{
    int opened = kube_open(client);

    if (opened != 0)
        return opened;
    metrics_open(client);
    return leader_open(client);
}

void gwc_client_release(struct gwc_client *client)
{
    struct gwc_leader_status status;

    if (client->leader == NULL)
        return;
    gwc_leader_status(client->leader, &status);
    bool released = gwc_leader_release(client->leader, RELEASE_MS);
    if (status.leading)
        gw_log(released ? GW_LOG_INFO : GW_LOG_WARN,
               released ? "the Lease is given back" : "the Lease could not be given back: it runs out", NULL);
    client->leader = gwc_leader_close(client->leader);
    client->leader_kube = gw_kube_close(client->leader_kube);
}

/* ---- telling ---- */

bool gwc_client_standing_by(const struct gwc_client *client, struct gw_reason *words)
{
    struct gwc_leader_status status;

    if (client->leader == NULL || client->begun)
        return false;
    gwc_leader_status(client->leader, &status);
    gw_reason_set(words, "%s", status.words);
    return true;
}

bool gwc_client_leader_words(const struct gwc_client *client, struct gw_reason *words)
{
    struct gwc_leader_status status;

    if (client->leader == NULL)
        return false;
    gwc_leader_status(client->leader, &status);
    if (status.trouble[0] != '\0')
        gw_reason_set(words, "%s", status.words);
    return status.trouble[0] != '\0';
}
