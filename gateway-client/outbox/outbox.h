/* The outbox: the durable log between streams and watchers. SQLite in WAL mode, in the state directory.
 *
 *     streams ──append──▶ writer thread ──one transaction for all that waits──▶ outbox.db
 *                              │ durable(): acknowledge          ▲
 *                              ▼                                 │ read: what is behind the tail
 *                         committed() ──▶ loop: delivery ──progress──▶ writer
 *
 * The writer thread owns the writing connection, a reader thread a second one; nobody else touches the file while we run,
 * except the dead-letters command (SQLite's own locks order them) and people with the sqlite3 tool. With an epoch there may be
 * a leader of old that does not know yet that it is none: each transaction looks whether the epoch in the file is still ours. */
#ifndef GWC_OUTBOX_H
#define GWC_OUTBOX_H

#include "common/cloudevent.h"
#include "common/fault.h"
#include "common/loop.h"
#include "common/metrics.h"

struct gwc_outbox;

struct gwc_outbox_options {
    const char *directory; /* made if missing, mode 0700; outbox.db and a lock file live in it */
    uint64_t size_max;     /* bytes in use; when reached, appends wait until delivery made room */
    int64_t retention_ms;  /* delivered events are kept so long (de-duplication, replay) */
    bool no_fsync;         /* for benchmarks: a crash of the machine may lose acknowledged events */
    /* 0: this process has the directory to itself, by a lock. Else: the directory is shared with others of the same gateway, of
     * which one leads; this is the number of its leadership, greater than any before. Whoever opens the outbox with a
     * greater one puts an end to our writing. */
    uint64_t epoch;
    struct gw_loop *loop;       /* where hooks and read callbacks run */
    struct gw_metrics *metrics; /* may be NULL */
    /* On the loop: these events (borrowed; take references) were just committed, in sequence order, without duplicates and
     * without gaps. Count 0: more were committed behind the last ones told, too many to keep for a slow loop: read them.
     * An event may come here after a read has given it already: compare sequences. */
    void (*committed)(void *user, struct gw_event *const *events, size_t count);
    /* On the loop: another process changed retries or dead letters (replay): read them again. May be NULL. */
    void (*changed)(void *user);
    /* On the loop: full or not (`reason` says why: size, disk). May be NULL. */
    void (*pressure)(void *user, bool full, const char *reason);
    /* On the loop, once: another process has opened it with a greater epoch (`epoch`). Nothing was or will be written any
     * more; what is not durable is refused. May be NULL. */
    void (*fenced)(void *user, uint64_t epoch);
    void *user;
};

/* Opens or makes it. A file that is not a sound outbox is renamed to outbox.db.corrupt-<time> and a new one is made:
 * `*ret_set_aside` (may be NULL) is then its new path, to be said loudly and freed by the caller.
 * With words: -EWOULDBLOCK, another process runs on this directory and does not share it; -EACCES, -ENOSPC, -EROFS, …;
 * with an epoch also -ESTALE, it was opened with this or a greater one before, and -EBUSY, another process is in the middle
 * of a write (or was stopped there) and nothing has changed: open it again later. */
int gwc_outbox_open(struct gwc_outbox **ret_outbox, const struct gwc_outbox_options *options,
                    char **ret_set_aside, struct gw_reason *reason) GW_MUST_CHECK;
/* Commits what waits, stops the threads, closes. Callbacks that have not run are dropped. */
struct gwc_outbox *gwc_outbox_close(struct gwc_outbox *outbox);
GW_DEFINE_CLEANUP(struct gwc_outbox *, gwc_outbox_close)

/* The epoch that it was opened with last; 0: none, or there is no outbox. Its own short connection, beside whoever runs. */
int gwc_outbox_epoch(const char *directory, uint64_t *ret_epoch, struct gw_reason *reason) GW_MUST_CHECK;

/* ---- the stream's side ---- */

/* What arrived together; embedded in the caller's struct, which lives until durable() ran. */
struct gwc_append {
    struct gw_event *
        *events;   /* owned by the outbox from append on (references); the array stays the caller's */
    bool *natural; /* per event: has a natural id, so drop it if (source, id) is known */
    size_t count;
    const char *source_key;  /* whose position; borrowed until durable() */
    struct gw_view position; /* stored with the events; empty: unchanged. Borrowed until durable() */
    /* On the writer thread, after the commit (or after the outbox was closed before it: ok = false, not durable). */
    void (*durable)(struct gwc_append *append, bool ok);
    struct gwc_append *next; /* the outbox's */
};
/* Any thread; never blocks, never fails. Callers bound themselves: they append again when durable() has run. */
void gwc_outbox_append(struct gwc_outbox *outbox, struct gwc_append *append);

/* The kept position; empty when there is none. Blocks for a read: at the start of a source only. */
int gwc_outbox_position(struct gwc_outbox *outbox, const char *source_key,
                        struct gw_bytes *ret_position) GW_MUST_CHECK;

/* ---- the delivery's side (loop thread) ---- */

/* A delivery that is not simply "next": it failed and waits for another attempt. */
struct gwc_retry {
    struct gw_event *event;
    unsigned attempts;
    int64_t first_attempt_ms, next_attempt_ms; /* realtime */
    char reason[160];
};

/* Makes the watcher known (a new one begins behind the last event) and hands back where it stands: its cursor (everything up
 * to it is done or in `retries`). `retries` are owned by the caller: unref the events, free the array. May be called again
 * (after changed()): what was handed in before it is in the answer. Blocks for a commit and a read: when watchers come only.
 * -ENOSPC, -EIO, …: the outbox cannot be written now; open it again later. -ESTALE: fenced. */
int gwc_outbox_watcher_open(struct gwc_outbox *outbox, const char *watcher, uint64_t *ret_cursor,
                            struct gwc_retry **ret_retries, size_t *ret_retries_count) GW_MUST_CHECK;
/* The watcher is no longer in the spec: its cursor and retries go, so that it does not hold events for ever. */
void gwc_outbox_watcher_remove(struct gwc_outbox *outbox, const char *watcher);
/* Names of all watchers that the outbox knows; array and names freed by the caller. */
int gwc_outbox_watchers(struct gwc_outbox *outbox, char ***ret_names, size_t *ret_count) GW_MUST_CHECK;

/* Reads events behind `after`, in order, on the reader thread. One read of a watcher at a time.
 * done(): on the loop; events borrowed (take references); count 0: nothing is there from `after` to `last`, and committed()
 * will tell of what comes. Never 0 because a read failed: it is made again until it succeeds. */
void gwc_outbox_read(struct gwc_outbox *outbox, uint64_t after, size_t events_max, size_t bytes_max,
                     void (*done)(void *user, struct gw_event *const *events, size_t count, uint64_t last),
                     void *user);
/* done() of the read that was begun with `user` will not be called any more: its watcher goes away. */
void gwc_outbox_read_cancel(struct gwc_outbox *outbox, void *user);

/* What became of deliveries; of watchers that are open. Hand in what became of an event before the cursor that passes it.
 * Written with the next commit, at the latest after 200 ms; lost by kill -9 only in the sense
 * that those deliveries are made again. */
enum gwc_outcome {
    GWC_DELIVERED, /* forget its retry, if it had one */
    GWC_RETRY,     /* remember: attempts, next attempt, reason */
    GWC_DEAD,      /* keep as a dead letter */
    GWC_DROPPED,   /* given up without a dead letter */
};
struct gwc_progress {
    enum gwc_outcome outcome;
    uint64_t sequence;
    bool had_retry; /* a retry row may exist */
    unsigned attempts;
    int64_t first_attempt_ms, next_attempt_ms;
    int status;         /* HTTP status, 0 none: for dead letters */
    const char *reason; /* copied */
};
/* False: there is no room to note it (no memory, or too much waits for a file that cannot be written). What is a retry or a
 * dead letter is handed in again then, and until it is noted no cursor passes it. */
bool gwc_outbox_progress(struct gwc_outbox *outbox, const char *watcher, const struct gwc_progress *progress);
/* Everything up to `cursor` is done, or recorded as retry or dead letter. Never goes back. */
void gwc_outbox_cursor(struct gwc_outbox *outbox, const char *watcher, uint64_t cursor);

uint64_t gwc_outbox_last_sequence(struct gwc_outbox *outbox); /* of the last commit; any thread */
uint64_t gwc_outbox_size(struct gwc_outbox *outbox);          /* bytes in use; any thread */
/* Dead letters of a watcher, as last counted; loop thread. */
uint64_t gwc_outbox_dead_count(struct gwc_outbox *outbox, const char *watcher);

/* ---- the dead-letters command: its own connection, works beside a running client ---- */

struct gwc_dead_letter {
    int64_t number; /* names it on the command line */
    const char *watcher;
    uint64_t sequence;
    int64_t died_ms; /* realtime */
    unsigned attempts;
    int status;
    const char *reason;
    const struct gw_event_fields *event;
};
struct gwc_dead_letters;
/* -ENOENT with words when there is no outbox in the directory. */
int gwc_dead_letters_open(struct gwc_dead_letters **ret_letters, const char *directory,
                          struct gw_reason *reason) GW_MUST_CHECK;
struct gwc_dead_letters *gwc_dead_letters_close(struct gwc_dead_letters *letters);
/* `watcher` NULL: all; `number` 0: all. Oldest first. A negative return of `each` ends the walk. */
int gwc_dead_letters_each(struct gwc_dead_letters *letters, const char *watcher, int64_t number,
                          int (*each)(void *user, const struct gwc_dead_letter *letter),
                          void *user) GW_MUST_CHECK;
/* Puts them back to be delivered at once (with no attempts made; only those of watchers that the outbox still knows), or
 * drops them for good; *ret_count of them. */
int gwc_dead_letters_replay(struct gwc_dead_letters *letters, const char *watcher, int64_t number,
                            size_t *ret_count) GW_MUST_CHECK;
int gwc_dead_letters_drop(struct gwc_dead_letters *letters, const char *watcher, int64_t number,
                          size_t *ret_count) GW_MUST_CHECK;

#endif
