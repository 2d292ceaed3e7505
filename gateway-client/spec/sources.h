/* The event sources: entries of a ConfigMap, from a manifest file, from a directory that a ConfigMap is
 * mounted on, or from the API server. */
#ifndef GWC_SOURCES_H
#define GWC_SOURCES_H

#include "gateway-client/spec/spec.h"

struct gwc_source {
    const char *key; /* as in the ConfigMap: "webhook.orders", or "orders" when the gateway has one type */
    const char *type, *name;
    struct gw_view config; /* YAML text, as it stands in the ConfigMap */
    char id[12];           /* Argo's: decimal FNV-1a of key and config */
    const char *file;      /* where it stands, for messages */
    int line; /* of the first line of `config` in that file: line n of config is file line `line` + n - 1 */
};

/* An entry that is there but cannot be read: its last good version keeps running, unless another key took its place. */
struct gwc_bad_source {
    const char *key;
    const char *message; /* what is wrong and what would be right */
    const char *file;
    int line;   /* in the file; 0 unknown */
    bool again; /* the event source of another key, which runs instead */
};

/* One version of the whole set; immutable. */
struct gwc_sources {
    struct gw_arena arena;
    struct gwc_source *items; /* sorted by key */
    size_t count;
    struct gwc_bad_source *bad; /* each is also a problem; sorted by key */
    size_t bad_count;
};

/* By key; NULL: not among the good ones. */
const struct gwc_source *gwc_sources_find(const struct gwc_sources *sources, const char *key);

/* Reads a file (ConfigMap manifest) or a directory (one file a key; names that begin with '.' do not count).
 * An entry that is bad by itself (a type no server has, a value that is not a mapping, no name, a key that means the same event
 * source as one before it) is a problem of that entry and left out; the others are read. Verdict GWC_SOURCES_BAD: the whole
 * cannot be used (not YAML, not a ConfigMap, not there, too large): *ret_sources untouched. Problems name file and line; their
 * path is "data.<key>…" in a manifest, "<key>…" in a directory. Files that editors leave behind (orders~,
 * #orders#) are passed over. */
enum { GWC_SOURCES_BAD = 1, GWC_SOURCES_MAX = 10000 };
int gwc_sources_read(const char *path, const struct gwc_spec *spec, struct gwc_sources **ret_sources,
                     struct gw_problems *problems) GW_MUST_CHECK;
/* The same for a ConfigMap as the API server writes it (JSON). `label` ("configmap shop/events") stands for the file in
 * problems; an entry is as a file "configmap shop/events, orders", with lines of its own and the path "<key>…". */
int gwc_sources_read_object(struct gw_view json, const char *label, const struct gwc_spec *spec,
                            struct gwc_sources **ret_sources, struct gw_problems *problems) GW_MUST_CHECK;
struct gwc_sources *gwc_sources_free(struct gwc_sources *sources);
GW_DEFINE_CLEANUP(struct gwc_sources *, gwc_sources_free)

/* Watches what gwc_sources_read would read (and the spec file alike) and calls `changed` when it has changed
 * since this call, or since `changed` was called last; at most once in settle_ms. So: watch first, then read.
 * The caller reads again and compares. A path that does not exist yet is waited for. inotify, with a look
 * every 10 s beside it for file systems that have none. */
struct gw_loop;
struct gwc_files;
int gwc_files_watch(struct gwc_files **ret_files, struct gw_loop *loop, const char *path, int64_t settle_ms,
                    void (*changed)(void *user), void *user) GW_MUST_CHECK;
struct gwc_files *gwc_files_close(struct gwc_files *files);

#endif
