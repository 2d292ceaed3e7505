/* A collection of objects, listed and watched for ever: what client-go calls a reflector.
 *
 *              ┌──────────────── 410 Gone, ERROR Expired ───────────────┐
 *              ▼                                                        │
 *     ┌────────────────┐  all pages, compared with   ┌──────────────────┴───────────┐
 *     │ list (500 each)│ ──what is known: changes──▶ │ watch, bookmarks, 300…600 s  │─┐ clean end, cut: again
 *     └────────────────┘                             └──────────────────────────────┘◀┘ from the last version seen
 *       403, 5xx, cut: back-off 0.8 s × 2 … 30 s (one object: 10 s) with jitter, words to state(); Retry-After is honoured
 *
 * A watch that broke is not resumed before one object was listed: so it is known at once that the API server is back, and
 * noticed when its history is another one (an etcd that was restored from a backup would say nothing, for hours).
 *
 * It keeps, for each object, its names, uid and resourceVersion: what comparing needs, and no more; with `keeps_nothing` not
 * even that. Memory is bounded by one page, or the longest line of a watch. Loop thread only.
 * It needs the verbs list and watch; with `name` a Role that names the object is enough. */
#ifndef GW_KUBE_WATCH_H
#define GW_KUBE_WATCH_H

#include "common/kube.h"

struct gw_kube_watch;

enum gw_kube_change { GW_KUBE_ADDED, GW_KUBE_MODIFIED, GW_KUBE_DELETED };

/* An object that came, changed or went. Borrowed during the call; texts are NUL-terminated. */
struct gw_kube_object {
    enum gw_kube_change change;
    const char *namespace_, *name, *uid, *resource_version; /* namespace_ "" for cluster-wide kinds */
    /* The object as the API server wrote it; the JSON is not checked here. Empty: DELETED, found missing when lists were compared; its last state is
     * not known here. A list's items carry no apiVersion and kind on the wire; here they are filled in. */
    struct gw_view json;
    bool listed; /* from a list rather than a watch */
};

struct gw_kube_watch_options {
    const char *path;           /* of the collection: "/apis/apps/v1/namespaces/shop/deployments" */
    const char *name;           /* only the object of this name; NULL: all */
    const char *label_selector; /* NULL: none */
    const char *field_selector; /* NULL: none; `name` is added to it */
    /* Go on behind this version, without listing first; NULL: list first. */
    const char *resource_version;
    /* With resource_version: list first what there was at exactly that version (resourceVersionMatch=Exact), so that the
     * objects behind coming changes are known; what there is now, when that history is gone. */
    bool list_at_version;
    /* Keeps nothing of the objects: each list tells all that there is, as ADDED; what is gone is the user's to find, between
     * listing() and synced(). For users who keep more than we would. gw_kube_watch_count() is 0 then. */
    bool keeps_nothing;
    size_t page_max; /* objects of one page; 0: 500; fewer are asked for when a page has over 64 MiB */
    int64_t
        silent_ms; /* a watch without a byte for so long is dead (bookmarks come about each minute); 0: 2 minutes */
    bool secret; /* the bytes are wiped as soon as they were told */

    /* An object came, changed or went. An object that was deleted and made again between two lists gives DELETED, then ADDED.
     * gw_kube_watch_close() may be called from within any of these. */
    void (*object)(void *user, const struct gw_kube_object *object);
    /* A list begins with its first page; once more when it had to begin anew in the middle. May be NULL. */
    void (*listing)(void *user);
    /* A list is through, of this version: what is not known now does not exist. NULL: there was no list, the watch went on
     * behind `resource_version`. May be NULL. */
    void (*synced)(void *user, const char *list_version);
    /* A bookmark, or the version of a finished list: everything up to it was told. May be NULL. */
    void (*progressed)(void *user, const char *resource_version);
    /* Well (words ""), or not ("configmaps is forbidden: …; next attempt in 4 s"). Told when it changes. A watch that ends
     * and goes on at the first attempt was well all the time. May be NULL. */
    void (*state)(void *user, bool well, const char *words);
    void *user;
};

/* Everything is copied. Begins on the loop's next turn. */
int gw_kube_watch_open(struct gw_kube_watch **ret_watch, struct gw_kube *kube,
                       const struct gw_kube_watch_options *options) GW_MUST_CHECK;
struct gw_kube_watch *gw_kube_watch_close(struct gw_kube_watch *watch);
GW_DEFINE_CLEANUP(struct gw_kube_watch *, gw_kube_watch_close)

/* Before its first turn: an object that the user knows from earlier, so that a list is compared with it. */
int gw_kube_watch_know(struct gw_kube_watch *watch, const char *namespace_, const char *name, const char *uid,
                       const char *resource_version) GW_MUST_CHECK;
/* Paused: no further page is asked for, and a watch lets go of its connection; nothing is told any more, once what has
 * arrived is through (at most a page, or a chunk). Resumed: goes on where it was, or by a list when history went meanwhile. */
void gw_kube_watch_set_paused(struct gw_kube_watch *watch, bool paused);
/* The version that was seen last; "" before the first. */
const char *gw_kube_watch_version(const struct gw_kube_watch *watch);
size_t gw_kube_watch_count(const struct gw_kube_watch *watch); /* objects known */

/* Less than, equal to, greater than 0, as resource versions stand to each other; INT_MIN when one of them is no number. */
int gw_kube_version_compare(const char *a, const char *b);

#endif
