/* What the files of the outbox share; nobody else includes it. These files alone speak to SQLite.
 *
 * Locking: `lock` guards the queues between threads and nothing slow happens under it. The writer's connection belongs to
 * the writer thread, the reader's to the reader thread, the visitor's is guarded by `visit_lock` (short blocking reads). */
#ifndef GWC_OUTBOX_INTERNAL_H
#define GWC_OUTBOX_INTERNAL_H

#include "common/backoff.h"
#include "common/clock.h"
#include "common/sqlite.h"
#include "gateway-client/outbox/outbox.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    OUTBOX_TRANSACTION_EVENTS_MAX = 4096,
    OUTBOX_TRANSACTION_BYTES_MAX = 16 << 20,
    OUTBOX_HANDOVER_EVENTS_MAX = 32768,   /* committed events that wait for the loop … */
    OUTBOX_HANDOVER_BYTES_MAX = 32 << 20, /* … beyond it, the delivery reads them from the file */
    OUTBOX_ITEMS_MAX = 65536,             /* progress that waits for the writer */
    OUTBOX_PROGRESS_WAIT_MS = 200,
    OUTBOX_TICK_MS = 1000,
    OUTBOX_BUSY_MS = 5000,         /* how long another process may hold the file */
    OUTBOX_BUSY_SHORT_MS = 200,    /* … when the loop waits and may come back */
    OUTBOX_PRUNE_EVENTS_MAX = 512, /* a slice */
    OUTBOX_PRUNE_BYTES_MAX = 4 << 20,
    OUTBOX_SOURCES_MAX = 4096,       /* interned source names kept in memory; a power of two */
    OUTBOX_CHECKPOINT_FRAMES = 4000, /* 16 MiB of log: copied into the file behind the acknowledgements */
    OUTBOX_CHECKPOINT_FRAMES_MAX = 32000, /* a reader stood in the way: wait for it … */
    OUTBOX_CHECKPOINT_PAUSE_MS = 60000,   /* … but when that was in vain, not again so soon */
    OUTBOX_VERSION = 1,
    OUTBOX_APPLICATION_ID = 0x536c7562, /* "Slub" in the file's header: `file outbox.db` tells it apart */
};

#define OUTBOX_FILE      "outbox.db"
#define OUTBOX_LOCK_FILE "outbox.lock"
#define OUTBOX_SUSPECT_FILE                                                                                  \
    "outbox.suspect" /* SQLite found damage while we ran: check all of the file at the next start */

/* ---- rows (outbox_row.c) ---- */

#define OUTBOX_EVENT_COLUMNS                                                                                 \
    "e.sequence, e.accepted_ns, e.time_ns, e.id, e.source, e.type, e.subject, e.data_content_type, "         \
    "e.data_schema, e.partition_key, e.gateway, e.event_source, e.kind, e.extensions, e.data"
enum { OUTBOX_EVENT_COLUMNS_COUNT = 15 };

/* An event's row, borrowed from the statement until its next step; zero-initialised, used again and again. */
struct outbox_row {
    struct gw_event_fields fields;
    uint64_t sequence;
    int64_t accepted_ns;
    struct gw_extension *extensions; /* owned */
    size_t extensions_capacity;
};
/* Reads OUTBOX_EVENT_COLUMNS from column `first` on. -ENOMEM, -EBADMSG. */
int outbox_row_read(struct outbox_row *row, sqlite3_stmt *statement, int first) GW_MUST_CHECK;
/* The event of the row, a new reference. */
int outbox_row_event(const struct outbox_row *row, struct gw_event **ret_event) GW_MUST_CHECK;
void outbox_row_done(struct outbox_row *row);
/* Extensions as one text: for each, its kind (t b i) and two netstrings, "t3:key5:value". */
void outbox_extensions_encode(struct gw_bytes *out, const struct gw_extension *extensions, size_t count);

/* A view as SQL text or blob; the empty view as NULL. */
int outbox_bind_text(sqlite3_stmt *statement, int column, struct gw_view view) GW_MUST_CHECK;
int outbox_bind_blob(sqlite3_stmt *statement, int column, struct gw_view view) GW_MUST_CHECK;
struct gw_view outbox_column_view(sqlite3_stmt *statement, int column);

/* ---- the file (outbox_file.c) ---- */

/* A connection to an existing file; waits for others up to `busy_ms` each time. */
int outbox_connect(sqlite3 **ret_database, const char *path, int busy_ms, bool no_fsync,
                   struct gw_reason *reason) GW_MUST_CHECK;
/* Directory, lock, and a sound outbox.db of our version in it; hands back the locked descriptor and the writing connection. */
int outbox_file_open(const struct gwc_outbox_options *options, int *ret_lock, char **ret_path,
                     sqlite3 **ret_database, char **ret_set_aside, struct gw_reason *reason) GW_MUST_CHECK;
/* Leaves word for the next start that the file is damaged. */
void outbox_file_suspect(const char *path);

/* ---- commands (outbox_visit.c) ---- */

/* A connection to the outbox of that directory, when there is a sound one of our version. Closed by sqlite3_close(). */
int outbox_visit(const char *directory, sqlite3 **ret_database, struct gw_reason *reason) GW_MUST_CHECK;
/* Keeps every gateway-client out, until the descriptor is closed. -EWOULDBLOCK with words: one is running. */
int outbox_lock_alone(const char *directory, int *ret_descriptor, struct gw_reason *reason) GW_MUST_CHECK;

/* ---- the epoch (outbox_epoch.c); with epoch 0 nothing is asked ---- */

/* In a transaction: -ESTALE with words, unless `epoch` is greater than the stored one. */
int outbox_epoch_allow(sqlite3 *database, uint64_t epoch, struct gw_reason *reason) GW_MUST_CHECK;
/* Stores it, in a transaction of its own, if it is allowed. */
int outbox_epoch_claim(sqlite3 *database, uint64_t epoch, struct gw_reason *reason) GW_MUST_CHECK;
struct outbox_writer;
/* In a transaction of the writer: -ESTALE when the stored epoch is not ours any more. */
int outbox_epoch_check(struct outbox_writer *writer) GW_MUST_CHECK;

/* ---- threads ---- */

/* A watcher that was seen since we opened; never freed before the end, so that items may point to it. */
struct outbox_watcher {
    struct outbox_watcher *next;
    uint64_t cursor_generation; /* of the items in which `cursor_item` is its cursor */
    size_t cursor_item;
    _Atomic uint64_t dead;
    char name[];
};

enum outbox_item_kind { OUTBOX_ITEM_PROGRESS, OUTBOX_ITEM_CURSOR, OUTBOX_ITEM_OPEN, OUTBOX_ITEM_REMOVE };
struct outbox_item {
    enum outbox_item_kind kind;
    struct outbox_watcher *watcher;
    struct gwc_progress progress; /* `sequence` is the cursor of a cursor; `reason` is not used */
    char reason[160];
};
struct outbox_items {
    struct outbox_item *items;
    size_t count, capacity;
};

struct outbox_read {
    struct outbox_read *next;
    uint64_t after;
    size_t events_max, bytes_max;
    void (*done)(void *user, struct gw_event *const *events, size_t count, uint64_t last);
    void *user;
    struct gw_event **events;
    size_t count, capacity;
    uint64_t last;                 /* the last sequence when it was read */
    struct outbox_read *told_next; /* loop: of those that have not been told */
};
struct outbox_reads {
    struct outbox_read *first, **end;
};

struct outbox_source {
    char *name;
    size_t size;
    uint32_t hash;
    int64_t number;
};

enum outbox_statement {
    OUTBOX_BEGIN,
    OUTBOX_COMMIT,
    OUTBOX_ROLLBACK,
    OUTBOX_EVENT_INSERT,
    OUTBOX_SOURCE_INSERT,
    OUTBOX_SOURCE_FIND,
    OUTBOX_SOURCES_PRUNE,
    OUTBOX_SOURCES_AFTER,
    OUTBOX_POSITION_WRITE,
    OUTBOX_CURSOR_WRITE,
    OUTBOX_CURSOR_NEW,
    OUTBOX_CURSOR_REMOVE,
    OUTBOX_CURSOR_MIN,
    OUTBOX_RETRY_WRITE,
    OUTBOX_RETRY_REMOVE,
    OUTBOX_RETRIES_REMOVE,
    OUTBOX_DEAD_WRITE,
    OUTBOX_DEAD_COUNT,
    OUTBOX_PRUNE_FIND,
    OUTBOX_PRUNE,
    OUTBOX_SEQUENCE_KEEP,
    OUTBOX_PAGES,
    OUTBOX_PAGES_FREE,
    OUTBOX_DATA_VERSION,
    OUTBOX_EPOCH,
    OUTBOX_STATEMENTS,
};

struct outbox_writer {
    struct gwc_outbox *outbox;
    sqlite3 *database;
    sqlite3_stmt *statements[OUTBOX_STATEMENTS];
    /* taken from the queues, and kept until a commit succeeded */
    struct gwc_append *appends;
    struct outbox_items items;
    bool items_held;           /* `items` were taken, perhaps none */
    uint64_t items_generation; /* of `items` */
    /* about the transaction */
    uint64_t sequence; /* the last one given */
    int64_t accepted_ns;
    size_t inserted, duplicates;
    int64_t used; /* bytes */
    /* upkeep */
    struct outbox_source *sources; /* hash table, OUTBOX_SOURCES_MAX slots */
    size_t sources_count;
    int64_t sources_after;    /* pruning of sources goes on behind this number */
    uint64_t prune_after;     /* pruning of events goes on behind this sequence */
    bool prune_pending;       /* there may be more to prune */
    int64_t prune_restart_ms; /* look at all of them again then */
    bool released;            /* a retry went: its event may be prunable */
    int64_t data_version;
    int64_t page_size;
    int log_frames;
    int64_t checkpoint_wait_ms; /* monotonic: readers are not waited for before */
    struct gw_bytes scratch;
    /* trouble */
    bool full;          /* by size: appends wait */
    bool closing;       /* we close: what fails now has failed */
    int fault;          /* of the last transaction; -ESTALE: for ever */
    uint64_t fenced_by; /* the epoch that put an end to ours */
    bool pressure;      /* as last told */
    struct gw_backoff backoff;
    int64_t retry_ms, tick_ms; /* monotonic */
    char words[256];
    struct gw_series *events_total, *duplicates_total, *commits_total, *commit_seconds, *bytes, *full_gauge,
        *last_sequence;
};

struct gwc_outbox {
    struct gwc_outbox_options options;
    char *path; /* of the file */
    int lock_descriptor;
    _Atomic uint64_t last_sequence, size;

    pthread_mutex_t lock;
    pthread_cond_t writer_wake, reader_wake, round_done;
    pthread_t writer_thread, reader_thread;
    bool lock_made, writer_runs, reader_runs;
    bool closing; /* the threads end */

    /* → writer */
    struct gwc_append *appends, **appends_end;
    struct outbox_items items;
    uint64_t items_generation;
    int64_t items_since_ms;
    bool flush; /* somebody waits: write the items now */
    bool writer_sleeps;
    uint64_t committed_generation, rounds;
    int round_fault;
    struct outbox_watcher *watchers;

    /* → reader */
    struct outbox_reads reads, reads_done;
    struct outbox_read *reads_free;
    struct outbox_read *reads_untold; /* loop: begun, and done() was not called */

    /* → loop */
    struct gw_task task;
    bool task_posted, task_runs, closed;
    struct gw_event **handover, **handover_spare;
    size_t handover_count, handover_bytes;
    bool handover_more; /* events were left out behind them */
    bool changed, pressure_changed, pressure_full, fenced;
    char pressure_words[256];

    struct outbox_writer writer;
    sqlite3 *reader_database;
    pthread_mutex_t visit_lock;
    sqlite3 *visitor;
};

/* Wakes the loop for what waits there. Under `lock`. */
void outbox_notify(struct gwc_outbox *outbox);
/* Waits on `condition` until the monotonic time. Under `lock`. */
void outbox_wait_until(struct gwc_outbox *outbox, pthread_cond_t *condition, int64_t until_ms);

/* Under `lock`: wakes the writer, if it sleeps. */
void outbox_writer_wake(struct gwc_outbox *outbox);
/* A read that is done with goes back among the free ones. Takes `lock`. */
void outbox_read_recycle(struct gwc_outbox *outbox, struct outbox_read *read);

/* The writer's statements, and what they write in a transaction (outbox_write.c). */
extern const char *const outbox_writer_sql[OUTBOX_STATEMENTS];
int outbox_appends_write(struct outbox_writer *writer) GW_MUST_CHECK;
int outbox_items_write(struct outbox_writer *writer) GW_MUST_CHECK;
/* Forgets the numbers of interned sources: they may not be true any more. */
void outbox_sources_forget(struct outbox_writer *writer);

/* A transaction of the writer: -ESTALE, ours is not the epoch any more. Whatever fails in it or in beginning it, undo it. */
int outbox_transaction_begin(struct outbox_writer *writer) GW_MUST_CHECK;
void outbox_transaction_undo(struct outbox_writer *writer);

int outbox_writer_open(struct outbox_writer *writer, struct gwc_outbox *outbox) GW_MUST_CHECK;
void outbox_writer_close(struct outbox_writer *writer);
void *outbox_writer_main(void *outbox);

/* In a transaction: a slice of at most `limit` events; `prune_pending` says afterwards whether there is more. */
int outbox_prune(struct outbox_writer *writer, size_t limit) GW_MUST_CHECK;
/* A slice of the interned sources, in a transaction of its own; true if any went. Failing does not matter: it comes again. */
bool outbox_prune_sources(struct outbox_writer *writer);

void *outbox_reader_main(void *outbox);
struct outbox_read *outbox_read_free(struct outbox_read *read);

#endif
