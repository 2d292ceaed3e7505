/* The contract between a gateway-server's module and the SDK. A gateway-server is one const struct gws_module and
 * GWS_MAIN(module); the SDK owns main(), flags, the gRPC service of all three contracts, health, TLS, streams, windows and
 * acknowledgements, metrics, logs, the admin address.
 *
 *        ┌──────────┐   once, before anything else; the process-wide state of the module
 *        │   open   │
 *        └────┬─────┘
 *        ┌────┴─────┐   once for each Validate, and once before each start
 *        │ validate │
 *        └────┬─────┘
 *        ┌────┴─────┐   a stream was opened; the state is zeroed; a kept position is handed in
 *        │  start   │
 *        └────┬─────┘
 *             │  ···   gws_source_emit() as often as events come; pause/resume when the window
 *             │        fills and empties; acknowledged() when events are durable
 *        ┌────┴─────┐   the client went away, or the process ends; once for each start that returned 0
 *        │   stop   │
 *        └────┬─────┘
 *        ┌────┴─────┐   once, at the end
 *        │  close   │
 *        └──────────┘
 *
 * All of these run on the server's loop thread (gws_server_loop()), one at a time, and must not block. gws_source_emit(),
 * gws_source_notice() and gws_source_fail() may be called from any thread between start and the end of stop. */
#ifndef GWS_MODULE_H
#define GWS_MODULE_H

#include "common/bytes.h"
#include "common/clock.h"
#include "common/cloudevent.h"
#include "common/fault.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/settings.h"

struct gw_kube;
struct gws_server; /* the process */
struct gws_source; /* one event source that was started: one stream */

/* Who an event source is. Borrowed for the duration of the call, or the life of the source. */
struct gws_identity {
    const char *gateway, *namespace_, *name; /* gateway and namespace are "" under Argo's contracts */
    const char *id;
};

struct gws_module {
    const char *type;       /* "calendar": also the name of the executable, gateway-server-<type> */
    const char *summary;    /* one sentence */
    const char *version;    /* NULL: that of the SDK */
    const char *event_type; /* CloudEvents type of events that do not say their own: "sluice.calendar.tick" */
    const struct gw_setting *settings;
    size_t config_size; /* struct that `settings` fills */
    size_t state_size;  /* per source; zeroed before start, freed after stop */
    size_t window_max;  /* unacknowledged events of a source before pause(); 0: 1,024 */
    bool uses_state;    /* gws_server_state_directory(): there is --state */

    /* Process-wide state, reachable by gws_server_data(). May be NULL. */
    int (*open)(struct gws_server *server, void **ret_data, struct gw_reason *reason);
    void (*close)(struct gws_server *server, void *data);

    /* What the table cannot check. Adds problems; path relative to the configuration. May be NULL. */
    void (*validate)(struct gws_server *server, const struct gws_identity *identity, const void *config,
                     struct gw_problems *problems);
    /* Starts the source. `config` lives until stop. `position` is empty the first time. When events can really come, call
     * gws_source_started(), here or later. A fault ends the stream with the words: -EINVAL as INVALID_ARGUMENT,
     * others as UNAVAILABLE; stop is then not called. -EAGAIN (a secret is on its way) has start called again soon, with the
     * state zeroed, for two seconds before it is such a fault. */
    int (*start)(struct gws_source *source, const void *config, void *state, struct gw_view position,
                 struct gw_reason *reason);
    /* The window is full, or has room again: stop and go on producing. An emit while paused is still taken (the window is
     * a promise of the module, not a wall) but a module that goes on for ever ends with its source failed. May be NULL. */
    void (*pause)(struct gws_source *source, void *state);
    void (*resume)(struct gws_source *source, void *state);
    /* All events up to `sequence` are durable. Under Argo's contracts: written to the stream. May be NULL. */
    void (*acknowledged)(struct gws_source *source, void *state, uint64_t sequence);
    void (*stop)(struct gws_source *source, void *state);

    /* Words on the command line other than flags: gateway-server-calendar preview …; the exit code. May be NULL.
     * argv[0] is the word. Nothing is open. */
    int (*command)(int argc, char **argv);
    const char *command_help; /* one line for --help; its first word is the command */
};

/* What happened. Borrowed until emit returns; empty views where there is nothing to say (module.event_type, now, …; nothing
 * is added to an event that has a source of its own). */
struct gws_event {
    struct gw_view id; /* natural identity; empty: none */
    int64_t time_ns;   /* 0: now */
    struct gw_view type, subject, data_content_type, data;
    struct gw_view source, data_schema; /* only when the happening is itself a CloudEvent */
    struct gw_view partition_key, position;
    const struct gw_extension *extensions;
    size_t extensions_count;
};

/* Really connected: the client shows the source as running. Repeated calls do nothing; the first event says it, too. */
void gws_source_started(struct gws_source *source);
/* Takes the event (copied). *ret_sequence (may be NULL) numbers it: 1, 2, … -ENOMEM, or -ECANCELED after the stream ended:
 * the event was not taken. */
int gws_source_emit(struct gws_source *source, const struct gws_event *event,
                    uint64_t *ret_sequence) GW_MUST_CHECK;
/* Words for the status of the source: a warning ("broker unreachable: …"), or all well again. */
void gws_source_notice(struct gws_source *source, bool warning, const char *format, ...) GW_PRINTF(3, 4);
/* Ends the stream with these words (UNAVAILABLE); stop follows. The client starts the source again, with back-off. */
void gws_source_fail(struct gws_source *source, const char *format, ...) GW_PRINTF(2, 3);

const struct gws_identity *gws_source_identity(const struct gws_source *source);
void *gws_source_state(struct gws_source *source);
struct gws_server *gws_source_server(struct gws_source *source);
bool gws_source_paused(const struct gws_source *source); /* loop thread */
/* In stop: the source is no longer wanted, rather than cut off from a client that may come back. */
bool gws_source_withdrawn(const struct gws_source *source);

struct gw_loop *gws_server_loop(struct gws_server *server);
struct gw_metrics *gws_server_metrics(struct gws_server *server);
void *gws_server_data(struct gws_server *server);
/* The client of the API server that --kubeconfig and --context name; opened at first use, which reads files, and closed
 * after the module's close. Faults and words as gw_kube_open(); nothing is kept of a failure, so asking again is right. */
int gws_server_kube(struct gws_server *server, struct gw_kube **ret_kube,
                    struct gw_reason *reason) GW_MUST_CHECK;
/* Where the module may keep what outlives the process; the directory exists. NULL: no --state, keep nothing. Positions
 * belong to the client: this is for what is too large, or too much the server's own, to be one. */
const char *gws_server_state_directory(const struct gws_server *server);

/* Reads flags, serves until SIGTERM, returns the exit code. */
int gws_main(const struct gws_module *module, int argc, char **argv);
#define GWS_MAIN(module)                                                                                     \
    int main(int argc, char **argv)                                                                          \
    {                                                                                                        \
        return gws_main(&(module), argc, argv);                                                              \
    }

#endif
