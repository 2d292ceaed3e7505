/* The writer thread of the outbox: commits all that waits in one transaction, then says so. */
#include "gateway-client/outbox/outbox_internal.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WRITER_PRUNE_RESTART_MS = 10000 };

/* Parts of a transaction. */
enum { WRITE_ITEMS = 1, WRITE_APPENDS = 2, WRITE_PRUNE = 4 };

/* ---- a transaction ---- */

static int used_measure(struct outbox_writer *writer)
{
    int64_t pages = 0, pages_free = 0;

    GW_TRY(gw_sqlite_integer(writer->statements[OUTBOX_PAGES], 0, &pages));
    GW_TRY(gw_sqlite_integer(writer->statements[OUTBOX_PAGES_FREE], 0, &pages_free));
    writer->used = (pages - pages_free) * writer->page_size;
    return 0;
}

static int parts_write(struct outbox_writer *writer, int parts)
{
    if (parts & WRITE_ITEMS)
        GW_TRY(outbox_items_write(writer));
    if (parts & WRITE_APPENDS)
        GW_TRY(outbox_appends_write(writer));
    if (parts & WRITE_PRUNE)
        GW_TRY(outbox_prune(writer, GW_MAX((size_t)OUTBOX_PRUNE_EVENTS_MAX, 2 * writer->inserted)));
    GW_TRY(used_measure(writer));
    return gw_sqlite_run(writer->statements[OUTBOX_COMMIT]);
}

static void words_set(struct outbox_writer *writer, int fault)
{
    int code = sqlite3_errcode(writer->database), system = sqlite3_system_errno(writer->database);
    bool ours = code == SQLITE_OK || code == SQLITE_ROW || code == SQLITE_DONE;
    const char *words = ours ? strerrordesc_np(-fault) : sqlite3_errmsg(writer->database);

    snprintf(writer->words, sizeof(writer->words),
             "cannot write %s: %s%s%s; events wait until it can be written", writer->outbox->path, words,
             system == 0 || ours ? "" : ": ", system == 0 || ours ? "" : strerrordesc_np(system));
}

int outbox_transaction_begin(struct outbox_writer *writer)
{
    GW_TRY(gw_sqlite_run(writer->statements[OUTBOX_BEGIN]));
    return outbox_epoch_check(writer);
}

void outbox_transaction_undo(struct outbox_writer *writer)
{
    for (size_t i = 0; i < OUTBOX_STATEMENTS; i++)
        sqlite3_reset(writer->statements[i]);
    if (!sqlite3_get_autocommit(writer->database)) {
        sqlite3_step(writer->statements[OUTBOX_ROLLBACK]);
        sqlite3_reset(writer->statements[OUTBOX_ROLLBACK]);
    }
}

static void transaction_fail(struct outbox_writer *writer, int fault)
{
    words_set(writer, fault);
    if (fault == -EBADMSG)
        outbox_file_suspect(writer->outbox->path);
    outbox_transaction_undo(writer);
    writer->sequence = atomic_load(&writer->outbox->last_sequence);
    writer->prune_after = 0;
    outbox_sources_forget(writer); /* their numbers may be undone, too */
}

static int transaction_make(struct outbox_writer *writer, int parts)
{
    writer->inserted = writer->duplicates = 0;
    writer->accepted_ns = gw_clock_realtime_ns();
    int fault = outbox_transaction_begin(writer);
    if (fault == 0)
        fault = parts_write(writer, parts);
    if (fault != 0)
        transaction_fail(writer, fault);
    return fault;
}

/* ---- after the commit ---- */

/* Events that were held when they were passed may go now. */
static void prune_restart(struct outbox_writer *writer)
{
    writer->prune_after = 0;
    writer->released = false;
}

static void items_settle(struct outbox_writer *writer)
{
    for (size_t i = 0; i < writer->items.count; i++) {
        const struct outbox_item *item = &writer->items.items[i];
        if (item->kind == OUTBOX_ITEM_PROGRESS && item->progress.outcome == GWC_DEAD)
            atomic_fetch_add(&item->watcher->dead, 1);
    }
    if (writer->full && writer->items.count > 0) {
        writer->prune_pending = true;
        if (writer->released)
            prune_restart(writer);
    }
    writer->items.count = 0;
    writer->items_held = false;

    pthread_mutex_lock(&writer->outbox->lock);
    writer->outbox->committed_generation = writer->items_generation;
    pthread_mutex_unlock(&writer->outbox->lock);
}

/* Under the lock. A delivery that is slower than this reads the file instead: memory does not grow with backlog. */
static void event_hand_over(struct gwc_outbox *outbox, struct gw_event *event)
{
    if (event->sequence == 0 || outbox->options.committed == NULL) {
        gw_event_unref(event);
        return;
    }
    if (outbox->handover_more || outbox->handover_count == OUTBOX_HANDOVER_EVENTS_MAX ||
        outbox->handover_bytes >= OUTBOX_HANDOVER_BYTES_MAX) {
        outbox->handover_more = true;
        gw_event_unref(event);
        return;
    }
    outbox->handover_bytes += event->size;
    outbox->handover[outbox->handover_count++] = event;
}

static void appends_hand_over(struct outbox_writer *writer)
{
    pthread_mutex_lock(&writer->outbox->lock);
    for (struct gwc_append *append = writer->appends; append != NULL; append = append->next)
        for (size_t i = 0; i < append->count; i++)
            event_hand_over(writer->outbox, append->events[i]);
    pthread_mutex_unlock(&writer->outbox->lock);
}

static void appends_acknowledge(struct gwc_append *append, bool ok)
{
    while (append != NULL) {
        struct gwc_append *next = append->next; /* durable() may free or append again */
        append->durable(append, ok);
        append = next;
    }
}

static void appends_settle(struct outbox_writer *writer)
{
    appends_hand_over(writer);
    appends_acknowledge(GW_TAKE(writer->appends), true);
    if (writer->inserted == 0)
        return;
    pthread_mutex_lock(&writer->outbox->lock);
    outbox_notify(writer->outbox);
    pthread_mutex_unlock(&writer->outbox->lock);
}

static void metrics_count(struct outbox_writer *writer, int64_t began_ns)
{
    if (writer->commits_total == NULL)
        return;
    gw_series_add(writer->events_total, (double)writer->inserted);
    gw_series_add(writer->duplicates_total, (double)writer->duplicates);
    gw_series_add(writer->commits_total, 1);
    gw_series_observe(writer->commit_seconds,
                      (double)(gw_clock_monotonic_ns() - began_ns) / (double)GW_NS_PER_S);
    gw_series_set(writer->bytes, (double)writer->used);
    gw_series_set(writer->last_sequence, (double)writer->sequence);
}

static int transaction_run(struct outbox_writer *writer, int parts)
{
    int64_t began_ns = gw_clock_monotonic_ns();
    int fault = transaction_make(writer, parts);
    if (fault != 0)
        return fault;
    atomic_store(&writer->outbox->last_sequence, writer->sequence);
    atomic_store(&writer->outbox->size, (uint64_t)writer->used);
    metrics_count(writer, began_ns);
    if (parts & WRITE_APPENDS)
        appends_settle(writer);
    if (parts & WRITE_ITEMS)
        items_settle(writer);
    return 0;
}

/* ---- the end of our epoch ---- */

static void appends_refuse(struct gwc_append *appends)
{
    for (struct gwc_append *append = appends; append != NULL; append = append->next)
        for (size_t i = 0; i < append->count; i++)
            gw_event_unref(append->events[i]);
    appends_acknowledge(appends, false);
}

/* durable() may append again, so until there are no more. */
static void writer_refuse(struct outbox_writer *writer)
{
    struct gwc_outbox *outbox = writer->outbox;
    struct gwc_append *appends = GW_TAKE(writer->appends);

    do {
        appends_refuse(appends);
        pthread_mutex_lock(&outbox->lock);
        appends = GW_TAKE(outbox->appends);
        outbox->appends_end = &outbox->appends;
        pthread_mutex_unlock(&outbox->lock);
    } while (appends != NULL);
}

/* What the delivery said is dropped, too: whoever leads now finds out for itself. */
static void fenced_round(struct outbox_writer *writer)
{
    writer->items.count = 0;
    writer->items_held = false;
    writer_refuse(writer);
}

static void fenced_begin(struct outbox_writer *writer)
{
    writer->fault = -ESTALE;
    pthread_mutex_lock(&writer->outbox->lock);
    writer->outbox->fenced = true;
    outbox_notify(writer->outbox);
    pthread_mutex_unlock(&writer->outbox->lock);
    fenced_round(writer);
}

/* ---- pressure ---- */

static void pressure_tell(struct outbox_writer *writer, bool pressure)
{
    struct gwc_outbox *outbox = writer->outbox;

    if (writer->pressure == pressure)
        return;
    writer->pressure = pressure;
    if (writer->full_gauge != NULL)
        gw_series_set(writer->full_gauge, pressure ? 1 : 0);
    pthread_mutex_lock(&outbox->lock);
    outbox->pressure_changed = true;
    outbox->pressure_full = pressure;
    snprintf(outbox->pressure_words, sizeof(outbox->pressure_words), "%s", pressure ? writer->words : "");
    outbox_notify(outbox);
    pthread_mutex_unlock(&outbox->lock);
}

/* Full when the limit is reached; not any more when a sixteenth is free, or when all that could go has gone and it helped. */
static void full_decide(struct outbox_writer *writer)
{
    uint64_t used = (uint64_t)writer->used, size_max = writer->outbox->options.size_max;

    if (used >= size_max) {
        if (!writer->full) {
            writer->prune_pending = true;
            writer->prune_after = 0;
        }
        writer->full = true;
    } else if (used < size_max - size_max / 16 || !writer->prune_pending) {
        writer->full = false;
    }
    if (writer->full)
        snprintf(writer->words, sizeof(writer->words),
                 "the outbox is full: %llu of %llu bytes wait for watchers; sources pause until they are "
                 "delivered",
                 (unsigned long long)used, (unsigned long long)size_max);
    /* While pruning makes room, nobody need know. */
    if (!writer->full || !writer->prune_pending)
        pressure_tell(writer, writer->full);
}

static void fault_settle(struct outbox_writer *writer, int fault)
{
    writer->fault = fault;
    if (fault == 0) {
        gw_backoff_reset(&writer->backoff);
        full_decide(writer);
        return;
    }
    writer->retry_ms = gw_clock_monotonic_ms() + gw_backoff_next_ms(&writer->backoff, gw_random_u64());
    /* Memory or a lock may be back at once: the world is told when it fails again. */
    if ((fault != -ENOMEM && fault != -EBUSY) || writer->backoff.attempt > 1)
        pressure_tell(writer, true);
}

/* ---- a round ---- */

static int parts_due(const struct outbox_writer *writer)
{
    return (writer->items.count > 0 ? WRITE_ITEMS : 0) | (writer->appends != NULL ? WRITE_APPENDS : 0) |
           (writer->prune_pending && !writer->closing ? WRITE_PRUNE : 0);
}

/* In trouble, what makes room goes first and alone. */
static int round_in_trouble(struct outbox_writer *writer, int parts)
{
    sqlite3_wal_checkpoint_v2(writer->database, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (parts & (WRITE_ITEMS | WRITE_PRUNE))
        GW_TRY(transaction_run(writer, parts & (WRITE_ITEMS | WRITE_PRUNE)));
    return parts & WRITE_APPENDS ? transaction_run(writer, WRITE_APPENDS) : 0;
}

static void checkpoint(struct outbox_writer *writer)
{
    bool wait = writer->log_frames > OUTBOX_CHECKPOINT_FRAMES_MAX &&
                gw_clock_monotonic_ms() >= writer->checkpoint_wait_ms;

    if (writer->log_frames < OUTBOX_CHECKPOINT_FRAMES)
        return;
    writer->log_frames = 0;
    int code =
        sqlite3_wal_checkpoint_v2(writer->database, NULL,
                                  wait ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    /* A reader that was stopped while it read would hold up each commit: the log grows until it is gone. */
    if (wait && code == SQLITE_BUSY)
        writer->checkpoint_wait_ms = gw_clock_monotonic_ms() + OUTBOX_CHECKPOINT_PAUSE_MS;
}

/* Another process (dead-letters replay, a person) has written. */
static void foreign_look(struct outbox_writer *writer)
{
    struct gwc_outbox *outbox = writer->outbox;
    int64_t version = 0, dead = 0;

    if (gw_sqlite_integer(writer->statements[OUTBOX_DATA_VERSION], 0, &version) < 0 ||
        version == writer->data_version)
        return;
    writer->data_version = version;
    writer->released = true;
    pthread_mutex_lock(&outbox->lock);
    struct outbox_watcher *watchers = outbox->watchers; /* grows at its head only */
    outbox->changed = true;
    outbox_notify(outbox);
    pthread_mutex_unlock(&outbox->lock);
    for (struct outbox_watcher *watcher = watchers; watcher != NULL; watcher = watcher->next) {
        sqlite3_stmt *count = writer->statements[OUTBOX_DEAD_COUNT];
        if (outbox_bind_text(count, 1, gw_view_text(watcher->name)) == 0 &&
            gw_sqlite_integer(count, 0, &dead) == 0)
            atomic_store(&watcher->dead, (uint64_t)dead);
    }
}

static void tick(struct outbox_writer *writer)
{
    int64_t now_ms = gw_clock_monotonic_ms();

    if (now_ms < writer->tick_ms)
        return;
    writer->tick_ms = now_ms + OUTBOX_TICK_MS;
    writer->prune_pending = true;
    if (writer->released)
        prune_restart(writer);
    if (now_ms >= writer->prune_restart_ms) {
        writer->prune_restart_ms = now_ms + WRITER_PRUNE_RESTART_MS;
        prune_restart(writer);
        if (outbox_prune_sources(writer))
            outbox_sources_forget(writer);
    }
    foreign_look(writer);
}

static void writer_round(struct outbox_writer *writer)
{
    int fault = 0;

    if (writer->fault == -ESTALE) {
        fenced_round(writer);
        return;
    }
    tick(writer);
    int parts = parts_due(writer);
    if (parts != 0)
        fault = writer->fault != 0 ? round_in_trouble(writer, parts) : transaction_run(writer, parts);
    if (fault == 0 && writer->items_held)
        items_settle(writer);
    if (fault == -ESTALE)
        fenced_begin(writer);
    else
        fault_settle(writer, fault);
    if (fault == 0)
        checkpoint(writer);
}

/* ---- the thread ---- */

/* Under the lock: the monotonic time at which there is something to do; 0: now. */
static int64_t writer_due(const struct outbox_writer *writer)
{
    const struct gwc_outbox *outbox = writer->outbox;
    int64_t due_ms = writer->tick_ms;

    if (outbox->closing || outbox->flush)
        return 0;
    if (writer->fault == -ESTALE)
        return outbox->appends != NULL ? 0 : gw_clock_monotonic_ms() + OUTBOX_TICK_MS;
    if (writer->fault != 0)
        return writer->retry_ms;
    if (writer->prune_pending || (outbox->appends != NULL && !writer->full))
        return 0;
    if (outbox->items.count > 0)
        due_ms = GW_MIN(due_ms, outbox->items_since_ms + OUTBOX_PROGRESS_WAIT_MS);
    return due_ms;
}

static void writer_wait(struct outbox_writer *writer)
{
    struct gwc_outbox *outbox = writer->outbox;

    for (;;) {
        int64_t due_ms = writer_due(writer);
        if (due_ms <= gw_clock_monotonic_ms())
            return;
        outbox->writer_sleeps = true;
        outbox_wait_until(outbox, &outbox->writer_wake, due_ms);
        outbox->writer_sleeps = false;
    }
}

static size_t append_size(const struct gwc_append *append)
{
    size_t size = append->position.size;
    for (size_t i = 0; i < append->count; i++)
        size += append->events[i]->size;
    return size;
}

/* Under the lock: the front of the queue, as much as a transaction takes. */
static void appends_take(struct outbox_writer *writer)
{
    struct gwc_outbox *outbox = writer->outbox;
    uint64_t size_max = outbox->options.size_max, used = (uint64_t)writer->used;
    size_t room =
        used < size_max ? (size_t)GW_MIN(size_max - used, (uint64_t)OUTBOX_TRANSACTION_BYTES_MAX) : 0;
    size_t events = 0, bytes = 0;
    struct gwc_append **end = &outbox->appends;

    while (*end != NULL && events < OUTBOX_TRANSACTION_EVENTS_MAX && bytes < room) {
        events += (*end)->count;
        bytes += append_size(*end);
        end = &(*end)->next;
    }
    if (end == &outbox->appends)
        return;
    writer->appends = outbox->appends;
    outbox->appends = GW_TAKE(*end);
    if (outbox->appends == NULL)
        outbox->appends_end = &outbox->appends;
}

/* Under the lock. */
static void writer_take(struct outbox_writer *writer)
{
    struct gwc_outbox *outbox = writer->outbox;

    writer->closing = outbox->closing;
    outbox->flush = false;
    /* None are no reason to wait: appends that fail would keep out what makes room for them. */
    if (!writer->items_held || writer->items.count == 0) {
        struct outbox_items empty = writer->items;
        writer->items = outbox->items;
        outbox->items = empty;
        writer->items_generation = outbox->items_generation++;
        writer->items_held = true;
    }
    if (writer->appends == NULL && !writer->full)
        appends_take(writer);
}

/* Under the lock: nothing is left that could be written. */
static bool writer_ends(const struct outbox_writer *writer)
{
    const struct gwc_outbox *outbox = writer->outbox;

    if (!writer->closing)
        return false;
    return writer->fault != 0 || (outbox->items.count == 0 && (outbox->appends == NULL || writer->full));
}

void *outbox_writer_main(void *user)
{
    struct gwc_outbox *outbox = user;
    struct outbox_writer *writer = &outbox->writer;

    pthread_mutex_lock(&outbox->lock);
    while (!writer_ends(writer)) {
        writer_wait(writer);
        writer_take(writer);
        pthread_mutex_unlock(&outbox->lock);
        writer_round(writer);
        pthread_mutex_lock(&outbox->lock);
        outbox->rounds++;
        outbox->round_fault = writer->fault;
        pthread_cond_broadcast(&outbox->round_done);
    }
    pthread_mutex_unlock(&outbox->lock);
    writer_refuse(writer);
    return NULL;
}

/* ---- opening and closing ---- */

static int log_grew(void *user, sqlite3 *database, const char *name, int frames)
{
    struct outbox_writer *writer = user;
    (void)database;
    (void)name;
    writer->log_frames = frames;
    return SQLITE_OK;
}

static struct gw_series *metric(struct gw_metrics *metrics, enum gw_metric_kind kind, const char *name,
                                const char *help)
{
    static const double buckets[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                     0.1,    0.25,  0.5,    1,     2.5,  10};
    bool histogram = kind == GW_HISTOGRAM;
    struct gw_family *family = gw_metrics_family(metrics, kind, name, help, "", histogram ? buckets : NULL,
                                                 histogram ? GW_COUNT_OF(buckets) : 0);
    return gw_family_series(family, NULL);
}

static void metrics_open(struct outbox_writer *writer, struct gw_metrics *metrics)
{
    writer->events_total = metric(metrics, GW_COUNTER, "gateway_outbox_events_total", "Events committed.");
    writer->duplicates_total = metric(metrics, GW_COUNTER, "gateway_outbox_duplicates_total",
                                      "Events dropped because their source and id were there already.");
    writer->commits_total =
        metric(metrics, GW_COUNTER, "gateway_outbox_commits_total", "Transactions committed.");
    writer->commit_seconds =
        metric(metrics, GW_HISTOGRAM, "gateway_outbox_commit_seconds", "Duration of a transaction.");
    writer->bytes = metric(metrics, GW_GAUGE, "gateway_outbox_bytes", "Bytes of the file that are in use.");
    writer->full_gauge =
        metric(metrics, GW_GAUGE, "gateway_outbox_full", "1 while events wait because it cannot be written.");
    writer->last_sequence =
        metric(metrics, GW_GAUGE, "gateway_outbox_last_sequence", "Sequence of the last event.");
}

/* The highest number that was ever given, wherever it is still written down. */
static int sequence_read(sqlite3 *database, uint64_t *ret_sequence)
{
    int64_t sequence = 0;

    GW_TRY(gw_sqlite_query(database,
                           "SELECT max(coalesce((SELECT max(sequence) FROM events), 0),"
                           " coalesce((SELECT value FROM meta WHERE key = 'last_sequence'), 0),"
                           " coalesce((SELECT max(cursor) FROM cursors), 0))",
                           0, &sequence));
    *ret_sequence = (uint64_t)sequence;
    return 0;
}

int outbox_writer_open(struct outbox_writer *writer, struct gwc_outbox *outbox)
{
    writer->outbox = outbox;
    writer->backoff.policy = (struct gw_backoff_policy){.initial_ms = 50, .factor = 2, .max_ms = 5000};
    writer->sources = calloc(OUTBOX_SOURCES_MAX, sizeof(*writer->sources));
    if (writer->sources == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < OUTBOX_STATEMENTS; i++)
        GW_TRY(gw_sqlite_prepare(writer->database, &writer->statements[i], outbox_writer_sql[i]));
    GW_TRY(gw_sqlite_query(writer->database, "PRAGMA page_size", 4096, &writer->page_size));
    GW_TRY(gw_sqlite_integer(writer->statements[OUTBOX_DATA_VERSION], 0, &writer->data_version));
    GW_TRY(sequence_read(writer->database, &writer->sequence));
    GW_TRY(used_measure(writer));
    atomic_store(&outbox->last_sequence, writer->sequence);
    atomic_store(&outbox->size, (uint64_t)writer->used);
    writer->full = (uint64_t)writer->used >= outbox->options.size_max;
    writer->prune_pending = true;
    sqlite3_wal_hook(writer->database, log_grew, writer);
    if (outbox->options.metrics != NULL)
        metrics_open(writer, outbox->options.metrics);
    return 0;
}

void outbox_writer_close(struct outbox_writer *writer)
{
    for (size_t i = 0; i < OUTBOX_STATEMENTS; i++)
        sqlite3_finalize(GW_TAKE(writer->statements[i]));
    sqlite3_close(GW_TAKE(writer->database));
    if (writer->sources != NULL)
        outbox_sources_forget(writer);
    free(GW_TAKE(writer->sources));
    free(GW_TAKE(writer->items.items));
    gw_bytes_done(&writer->scratch);
}
