/* Feed: a watch that members share. Loop thread.
 *
 *                      ┌───────────┐ after FEED_GATHER_MS, so that all who come together share one
 *      feed_join ─────▶│  waiting  │───────────────────────────────┐ who has seen as much as a live feed: into that one
 *          ▲           └─────┬─────┘                               │
 *          │                 │ others: a feed of their own, from the oldest version among them
 *          │           ┌─────▼─────┐  list, or go on        ┌──────▼─────┐
 *   feed_set_paused(no)│  opening  │ ─────────────────────▶ │    live    │──▶ merged into another live feed of the same,
 *          │           └─────┬─────┘                        └──────┬─────┘    as soon as it has seen as much as that one
 *          └───────────── feed_set_paused(yes): alone, it stops the watch; otherwise it leaves, and comes back from where
 *                         it was. Nobody waits for a slow one, and nothing is kept for it.
 *
 * A member may thus be told again what it has seen: it knows by the version. */
#ifndef RESOURCE_FEED_H
#define RESOURCE_FEED_H

#include "gateway-servers/resource/position.h"
#include "gateway-servers/resource/sighting.h"

enum {
    FEED_GATHER_MS = 20,   /* from the first who waits */
    FEED_SETTLE_MS = 1000, /* how often feeds of the same are looked at, as long as there are several */
};

struct feed;
struct feeds; /* all that go through one client */
struct feed_member;

/* None of these may call feed_join() or feed_leave(); feed_set_paused() they may. */
struct feed_hooks {
    /* Where to go on: what was seen last, "" to list. `*ret_exact`: list what there was then, to know the objects. */
    const char *(*from)(struct feed_member *member, bool *ret_exact);
    void (*see)(struct feed_member *member, struct sighting *sighting);
    void (*list)(struct feed_member *member); /* a list begins */
    /* A list is through (`exact`: of `from`), or, with NULL, the watch goes on without one. */
    void (*synced)(struct feed_member *member, const char *list_version, bool exact);
    void (*progressed)(struct feed_member *member, const char *version);
    void (*state)(struct feed_member *member, bool well, const char *words);
};

/* Embedded in the caller's struct. What is the same in all three texts shares a feed. */
struct feed_member {
    const struct feed_hooks *hooks;
    const char *path, *labels, *fields; /* borrowed while it is in */
    struct feeds *feeds;                /* the feed's, as what follows */
    struct feed *feed;                  /* NULL: waiting */
    struct feed_member *next, **link;
    bool paused;
};

int feeds_open(struct feeds **ret_feeds, struct gw_kube *kube) GW_MUST_CHECK;
struct feeds *feeds_close(struct feeds *feeds); /* all members have left */
size_t feeds_count(const struct feeds *feeds);  /* watches */

void feed_join(struct feeds *feeds, struct feed_member *member);
void feed_leave(struct feed_member *member); /* also of a member that never joined */
void feed_set_paused(struct feed_member *member, bool paused);

#endif
