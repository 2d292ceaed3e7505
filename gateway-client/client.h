/* The client: one process, one gateway. Its rooms (configuration, streams, outbox, delivery, status) and how they are wired. */
#ifndef GWC_CLIENT_H
#define GWC_CLIENT_H

#include "common/admin.h"
#include "gateway-client/delivery/delivery.h"
#include "gateway-client/leader/leader.h"
#include "gateway-client/origin/origin_flags.h"
#include "gateway-client/outbox/outbox.h"
#include "gateway-client/spec/plan.h"
#include "gateway-client/stream/server.h"
#include "gateway-client/stream/stream.h"

struct gwc_client_leader_options {
    bool elect;             /* --leader-elect */
    const char *lease_name; /* [NAMESPACE/]NAME; NULL: the gateway's name with "-gateway-client" */
    struct gwc_election_times times;
};
/* -EINVAL with words that name the flags. */
int gwc_client_leader_check(const struct gwc_client_leader_options *options,
                            struct gw_reason *reason) GW_MUST_CHECK;

struct gwc_client_options {
    struct gwc_origins origins;  /* --gateway, --event-sources and how to reach them */
    int64_t delete_grace_ms;     /* what a deleted object said stays in force for so long */
    const char *state_directory; /* --state */
    const char *secrets;         /* --secrets; NULL: not given */
    const char *admin_address;   /* "none": no admin address */
    int64_t drain_ms;            /* limit of an orderly end */
    struct gwc_client_leader_options leader;
};

/* Runs until SIGTERM or SIGINT; the exit code (flags.h).
 *
 *     open: loop, admin address, origins; the gateway's name is known     a standby stays here
 *     begin: outbox, servers, watchers, event sources                     the real work
 *     end: streams, deliveries, outbox */
int gwc_client_run(const struct gwc_client_options *options);

/* ---- for the rooms of the client alone ---- */

/* A Gateway spec in force, or one whose watchers are still in use. */
struct gwc_spec_version {
    struct gwc_spec *spec;
    unsigned users; /* deliveries that borrow from it, and one for being in force */
};

struct gwc_watcher {
    const struct gwc_watcher_spec *spec;
    struct gwc_spec_version *version;
    struct gwc_delivery *delivery; /* NULL: could not be opened, `reason` says why; tried again */
    char reason[GW_REASON_MAX];
    unsigned told; /* the report's: the state that was told last */
};

struct gwc_report;

struct gwc_client {
    const struct gwc_client_options *options;
    struct gw_loop *loop;
    struct gw_metrics *metrics;
    struct gwc_outbox *outbox;
    struct gwc_outbox_spec outbox_spec; /* it was opened with */
    struct gw_http *http;
    struct gw_rpc_client *rpc;
    struct gw_admin *admin;
    struct gw_signal *signals[3];
    struct gw_timer *tick_timer, *end_timer, *nudge_timer;
    struct gw_kube *kube;      /* NULL before gwc_client_kube() */
    struct gwc_report *report; /* NULL: the spec is a file's, or the work has not begun */
    struct gwc_origin *gateway_origin;
    struct gwc_origin *sources_origin; /* NULL before the spec has named the ConfigMap */
    struct gw_kube *leader_kube;       /* NULL without --leader-elect, like the next */
    struct gwc_leader *leader;
    uint64_t epoch;               /* of our leadership; 0: none */
    struct gw_timer *again_timer; /* NULL before the outbox was found held by another */
    int64_t started_ms;

    struct gw_arena arena; /* name and namespace, for life */
    const char *name, *namespace_;

    bool begun; /* gwc_client_begin() was called: changes are put in force */
    int exit_code;
    struct gwc_spec_version *version; /* in force; NULL before the first good read */
    struct gwc_sources *sources;      /* in force; NULL before the first good read */
    bool sources_left;                /* some of them could not be taken up */
    struct gwc_server **servers;      /* as in the spec in force */
    size_t servers_count;
    struct gwc_watcher *watchers;
    size_t watchers_count;
    struct gwc_stream **streams;
    size_t streams_count, streams_capacity;
    struct gwc_stream_context context;

    struct gw_problems gateway_problems, sources_problems; /* of the newest read; empty: it is in force */
    int64_t loaded_ms;
    bool outbox_full, stopping, nudging; /* nudging: the timer runs */
    char outbox_reason[GW_REASON_MAX]; /* why it is full, or (while it is NULL) why it cannot be opened yet */
    bool outbox_kept;                  /* by a gateway-client that knows nothing of leaders */
    int64_t end_at_ms;

    struct gw_family *sources_family;
    struct gw_series *reloads_good, *reloads_bad, *loaded_series, *leader_series, *transitions_series;
};

/* Opens the outbox and puts the configuration in force, and what changes in it from now on; what is not there yet is waited
 * for. Verdict GWC_ORIGIN_BAD: the spec of a file cannot be used, the log says why. */
int gwc_client_begin(struct gwc_client *client) GW_MUST_CHECK;
/* Ends the program with this exit code, without the orderly end. */
void gwc_client_fail(struct gwc_client *client, int exit_code);

/* ---- leader election ---- */

/* Takes part in the election, and begins when it is won. Verdict GWC_ORIGIN_BAD: the API client cannot be opened. */
int gwc_client_stand_by(struct gwc_client *client) GW_MUST_CHECK;
/* At the end, when all else is closed: the Lease goes to whoever wants it. */
void gwc_client_release(struct gwc_client *client);
/* Another process writes the outbox now: this one ends. */
void gwc_client_fenced(struct gwc_client *client, uint64_t epoch);
/* Another process holds the outbox: it is opened again soon. */
int gwc_client_outbox_held(struct gwc_client *client, const char *words) GW_MUST_CHECK;
/* "standing by: NAME leads"; false: it does not stand by. */
bool gwc_client_standing_by(const struct gwc_client *client, struct gw_reason *words);
/* What there is to say of a leader that cannot renew; false: nothing. */
bool gwc_client_leader_words(const struct gwc_client *client, struct gw_reason *words);
void gwc_client_count_leader(struct gwc_client *client);

/* ---- the API server ---- */

/* The API client, opened when it is first asked for. -EINVAL, -ENOENT, … with words. */
int gwc_client_kube(struct gwc_client *client, struct gw_kube **ret_kube,
                    struct gw_reason *reason) GW_MUST_CHECK;
/* Of objects whose namespace is not said. */
const char *gwc_client_namespace(const struct gwc_client *client);

/* ---- secrets ---- */

/* Where --secrets says; once the gateway's name is known. -EINVAL, …: the API client cannot be opened, with words in the log. */
int gwc_client_open_secrets(struct gwc_client *client) GW_MUST_CHECK;

/* ---- origins ---- */

/* Verdict GWC_ORIGIN_BAD: the API client cannot be opened, with words in the log. */
int gwc_client_open_origins(struct gwc_client *client) GW_MUST_CHECK;
/* The ConfigMap that this spec names, where --event-sources names nothing, becomes an origin in reach; verdict GWC_ORIGIN_BAD:
 * there is none, or the API client cannot be opened: the gateway's problems say why. */
int gwc_client_check_event_source(struct gwc_client *client, const struct gwc_spec *spec) GW_MUST_CHECK;
/* The event sources are those of the spec in force. */
int gwc_client_follow_event_source(struct gwc_client *client) GW_MUST_CHECK;
/* The first that there is to say of an origin; false: nothing. */
bool gwc_client_origin_words(const struct gwc_client *client, struct gw_reason *words);

/* ---- the configuration in force ---- */

/* What an origin says has changed. */
void gwc_client_gateway_changed(struct gwc_client *client);
void gwc_client_sources_changed(struct gwc_client *client);

/* Learns name and namespace of the gateway; verdict GWC_ORIGIN_BAD, with words in the log. */
int gwc_client_identify(struct gwc_client *client) GW_MUST_CHECK;
/* Reads the Gateway spec and puts it in force. Verdicts: GWC_ORIGIN_BAD: the problems say why, the old one stays;
 * GWC_ORIGIN_NONE: there is none. */
int gwc_client_load_gateway(struct gwc_client *client) GW_MUST_CHECK;
/* Servers, watchers and event sources stop, until there is a spec again. The outbox keeps what is to be delivered. */
void gwc_client_withdraw_gateway(struct gwc_client *client);
/* Once, with the first spec. -EWOULDBLOCK, … with words in the log. */
int gwc_client_open_outbox(struct gwc_client *client, const struct gwc_spec *spec) GW_MUST_CHECK;
/* Reads the event sources and starts, changes and stops streams. */
void gwc_client_load_sources(struct gwc_client *client);
void gwc_client_withdraw_sources(struct gwc_client *client);
/* The stream of this key; NULL: none. */
struct gwc_stream *gwc_client_stream(struct gwc_client *client, const char *key);
/* `file`: what they are about when they do not say it. */
void gwc_client_log_problems(const char *file, const struct gw_problems *problems);
void gwc_client_stream_gone(struct gwc_client *client, struct gwc_stream *stream);
/* The stream has given something up or changed: what was refused because of it is tried again, soon. */
void gwc_client_stream_moved(struct gwc_client *client, const struct gwc_stream *stream);
void gwc_client_nudge_neighbours(struct gwc_client *client);
/* Watchers that could not be opened are tried again. */
void gwc_client_retry_watchers(struct gwc_client *client);
/* The same for event sources. */
void gwc_client_retry_sources(struct gwc_client *client);
void gwc_client_close_watchers(struct gwc_client *client);
void gwc_client_close_streams(struct gwc_client *client);

/* The JSON of /api/v1/status. */
void gwc_status_write(struct gwc_client *client, struct gw_bytes *out);
bool gwc_client_ready(void *client, struct gw_reason *reason);

#endif
