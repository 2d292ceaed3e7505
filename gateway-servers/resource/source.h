/* Source: a resource event source that runs. Loop thread.
 *
 *     ┌────────┐ how is it watched? ┌─────────┐ what was known?  ┌──────────┐ all members know  ┌─────────┐
 *     │ lookup │ ─────────────────▶ │ loading │ ───────────────▶ │ watching │ what there is ──▶ │ started │
 *     └────────┘                    └─────────┘  (--state only)  └──────────┘                   └─────────┘
 *
 * Pressure: when the window is full, or SOURCE_BYTES_MAX of its events are not acknowledged, its feeds pause: feed.h. */
#ifndef RESOURCE_SOURCE_H
#define RESOURCE_SOURCE_H

#include "gateway-servers/resource/event.h"
#include "gateway-servers/resource/feed.h"
#include "gateway-servers/resource/ledger.h"
#include "gateway-servers/resource/lookup.h"
#include "gateway-servers/resource/member.h"
#include "gateway-servers/resource/snapshot.h"
#include "gateway-servers/sdk/module.h"

enum {
    SOURCE_BYTES_MAX =
        16 << 20, /* told and not acknowledged, before the feeds pause; they go on at half of it */
    SOURCE_ENTRIES_MAX = 16384, /* in the ledger, likewise */
    SOURCE_SAVE_MS = 1000,      /* how far the snapshot lags behind, … */
    SOURCE_SAVE_ROWS = 1000,    /* … unless so much has gathered */
    SOURCE_SAVES_MAX = 4,       /* not written yet */
};

/* The process. */
struct resource {
    struct gws_server *server;
    struct gw_loop *loop;
    struct feeds *feeds;         /* NULL before the first source */
    struct snapshots *snapshots; /* NULL: no --state */
    struct event event;          /* the one that is being told */
    struct source *sources;
    struct gw_timer *timer; /* looks at what is counted */
    struct gw_series *watches, *objects, *kept;
};

struct source;

/* One namespace of a source. */
struct place {
    struct feed_member feed;
    struct member member;
    struct source *source;
    char *path;
    char from[POSITION_VERSION_MAX]; /* where to go on, until it is synced for the first time */
    bool exact;                      /* with a list of what there was then */
    bool synced, well;
    char *words;                             /* why it is not well */
    char acknowledged[POSITION_VERSION_MAX]; /* all up to here is */
    /* What a list tells comes in no order. Its last event is held back until the list is through, and moves the position. */
    struct event held;
    bool holding;
    struct ledger_rows held_rows;
};

struct source {
    struct resource *resource;
    struct gws_source *stream;
    struct source *next, **link;
    struct plan plan;
    struct lookup lookup;
    struct snapshot_source *snapshot; /* NULL: nothing is kept */
    struct gw_bytes position;         /* of the client, until the places have read it */
    struct gw_bytes labels, fields;   /* selectors for the API server */
    struct place *places;
    size_t places_count;
    int64_t since_ns;
    struct ledger *ledger;
    struct ledger_rows rows; /* acknowledged, not saved */
    struct gw_bytes saved;   /* the position that was saved last, without its time */
    struct gw_timer *timer;  /* saves */
    bool saving;             /* it runs */
    uint64_t told, acknowledged;
    bool full, window_full, paused; /* paused: either */
    bool unwell;                    /* a warning was told */
    bool over; /* an event was not taken, or a fault came: what is seen from then on is not told */
};

int source_start(struct source *source, struct resource *resource, struct gws_source *stream,
                 const struct resource_config *config, struct gw_view position,
                 struct gw_reason *reason) GW_MUST_CHECK;
/* Ends it, also when its start failed. */
void source_stop(struct source *source);
void source_set_window_full(struct source *source, bool full);
void source_acknowledged(struct source *source, uint64_t sequence);

size_t source_objects(const struct source *source); /* known */

#endif
