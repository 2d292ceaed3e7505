/* The outbox as others see it: what they hand in is queued for the threads, what the threads did is told on the loop. */
#include "gateway-client/outbox_internal.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- time ---- */

int64_t outbox_now_ms(void)
{
    return gw_clock_monotonic_ns() / GW_NS_PER_MS;
}

void outbox_wait_until(struct gwc_outbox *outbox, pthread_cond_t *condition, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * GW_NS_PER_MS};
    pthread_cond_timedwait(condition, &outbox->lock, &until);
}

/* ---- to the loop ---- */

void outbox_notify(struct gwc_outbox *outbox)
{
    if (outbox->task_posted)
        return;
    outbox->task_posted = true;
    gw_loop_post(outbox->options.loop, &outbox->task);
}

/* What one run of the task tells. */
struct outbox_news {
    struct gw_event **events;
    size_t count;
    bool more, changed, pressure_changed, full;
    char words[256];
    struct outbox_reads reads;
};

static void news_take(struct gwc_outbox *outbox, struct outbox_news *news)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->task_posted = false;
    news->events = outbox->handover;
    news->count = outbox->handover_count;
    outbox->handover = GW_TAKE(outbox->handover_spare);
    outbox->handover_count = outbox->handover_bytes = 0;
    news->more = outbox->handover_more;
    news->changed = outbox->changed;
    news->pressure_changed = outbox->pressure_changed;
    news->full = outbox->pressure_full;
    outbox->handover_more = outbox->changed = outbox->pressure_changed = false;
    memcpy(news->words, outbox->pressure_words, sizeof(news->words));
    news->reads = outbox->reads_done;
    outbox->reads_done = (struct outbox_reads){.end = &outbox->reads_done.first};
    pthread_mutex_unlock(&outbox->lock);
}

static void read_recycle(struct gwc_outbox *outbox, struct outbox_read *read)
{
    for (size_t i = 0; i < read->count; i++)
        gw_event_unref(read->events[i]);
    read->count = 0;
    pthread_mutex_lock(&outbox->lock);
    read->next = outbox->reads_free;
    outbox->reads_free = read;
    pthread_mutex_unlock(&outbox->lock);
}

static void read_queue(struct gwc_outbox *outbox, struct outbox_read *read)
{
    pthread_mutex_lock(&outbox->lock);
    read->next = NULL;
    *outbox->reads.end = read;
    outbox->reads.end = &read->next;
    pthread_cond_signal(&outbox->reader_wake);
    pthread_mutex_unlock(&outbox->lock);
}

static void read_forget(struct gwc_outbox *outbox, const struct outbox_read *read)
{
    struct outbox_read **link = &outbox->reads_untold;

    while (*link != NULL && *link != read)
        link = &(*link)->told_next;
    if (*link != NULL)
        *link = read->told_next;
}

/* An answer "nothing there" may be older than events that committed() told of while the read was under way, and that a
 * delivery let pass because it was reading: then the read is made again. */
static void read_tell(struct gwc_outbox *outbox, struct outbox_read *read)
{
    if (read->count == 0 && read->last != atomic_load(&outbox->last_sequence) && !outbox->closed) {
        read_queue(outbox, read);
        return;
    }
    read_forget(outbox, read);
    if (outbox->closed) {
        outbox_read_free(read);
        return;
    }
    void (*done)(void *, struct gw_event *const *, size_t) = read->done;
    void *user = read->user;
    struct gw_event **events = GW_TAKE(read->events);
    size_t count = read->count;

    /* Back among the free ones first, so that done() may read on. */
    read->count = read->capacity = 0;
    read_recycle(outbox, read);
    done(user, events, count);
    for (size_t i = 0; i < count; i++)
        gw_event_unref(events[i]);
    free(events);
}

static void news_tell(struct gwc_outbox *outbox, struct outbox_news *news)
{
    const struct gwc_outbox_options *options = &outbox->options;

    if (news->pressure_changed && options->pressure != NULL && !outbox->closed)
        options->pressure(options->user, news->full, news->words);
    if (news->count > 0 && options->committed != NULL && !outbox->closed)
        options->committed(options->user, news->events, news->count);
    if (news->more && options->committed != NULL && !outbox->closed)
        options->committed(options->user, NULL, 0);
    if (news->changed && options->changed != NULL && !outbox->closed)
        options->changed(options->user);
    while (news->reads.first != NULL) {
        struct outbox_read *read = news->reads.first;
        news->reads.first = read->next;
        read_tell(outbox, read);
    }
}

static void outbox_free(struct gwc_outbox *outbox);

static void task_run(struct gw_task *task)
{
    struct gwc_outbox *outbox = GW_CONTAINER_OF(task, struct gwc_outbox, task);
    struct outbox_news news = {0};

    if (outbox->closed) {
        outbox_free(outbox);
        return;
    }
    outbox->task_runs = true;
    news_take(outbox, &news);
    news_tell(outbox, &news);
    for (size_t i = 0; i < news.count; i++)
        gw_event_unref(news.events[i]);
    pthread_mutex_lock(&outbox->lock);
    outbox->handover_spare = news.events;
    pthread_mutex_unlock(&outbox->lock);
    outbox->task_runs = false;
    if (outbox->closed && !outbox->task_posted)
        outbox_free(outbox);
}

/* ---- opening and closing ---- */

static int primitives_init(struct gwc_outbox *outbox)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&outbox->lock, NULL);
    pthread_mutex_init(&outbox->visit_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&outbox->writer_wake, &monotonic);
    pthread_cond_init(&outbox->reader_wake, &monotonic);
    pthread_cond_init(&outbox->round_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    outbox->lock_made = true;
    outbox->appends_end = &outbox->appends;
    outbox->reads.end = &outbox->reads.first;
    outbox->reads_done.end = &outbox->reads_done.first;
    outbox->items_generation = 1;
    outbox->lock_descriptor = -1;
    outbox->task.run = task_run;
    return 0;
}

static int queues_open(struct gwc_outbox *outbox)
{
    outbox->handover = malloc(OUTBOX_HANDOVER_EVENTS_MAX * sizeof(*outbox->handover));
    outbox->handover_spare = malloc(OUTBOX_HANDOVER_EVENTS_MAX * sizeof(*outbox->handover));
    if (outbox->handover == NULL || outbox->handover_spare == NULL)
        return GW_RAISE(-ENOMEM);
    return 0;
}

static int threads_start(struct gwc_outbox *outbox)
{
    int code = pthread_create(&outbox->writer_thread, NULL, outbox_writer_main, outbox);
    if (code != 0)
        return GW_RAISE(-code);
    outbox->writer_runs = true;
    code = pthread_create(&outbox->reader_thread, NULL, outbox_reader_main, outbox);
    if (code != 0)
        return GW_RAISE(-code);
    outbox->reader_runs = true;
    return 0;
}

int gwc_outbox_open(struct gwc_outbox **ret_outbox, const struct gwc_outbox_options *options, char **ret_set_aside,
                    struct gw_reason *reason)
{
    GW_AUTO(gwc_outbox_closep) struct gwc_outbox *outbox = calloc(1, sizeof(*outbox));
    GW_AUTO(gw_freep) char *set_aside = NULL;

    if (outbox == NULL)
        return GW_RAISE(-ENOMEM);
    outbox->options = *options;
    GW_TRY(primitives_init(outbox));
    GW_TRY(queues_open(outbox));
    GW_TRY(outbox_file_open(options, &outbox->lock_descriptor, &outbox->path, &outbox->writer.database, &set_aside,
                            reason));
    GW_TRY(outbox_connect(&outbox->reader_database, outbox->path, options->no_fsync, reason));
    GW_TRY(outbox_connect(&outbox->visitor, outbox->path, options->no_fsync, reason));
    GW_TRY(outbox_writer_open(&outbox->writer, outbox));
    GW_TRY(threads_start(outbox));

    outbox->options.directory = NULL; /* the caller's, and not needed any more */
    if (ret_set_aside != NULL)
        *ret_set_aside = GW_TAKE(set_aside);
    *ret_outbox = GW_TAKE(outbox);
    return 0;
}

static void threads_stop(struct gwc_outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    outbox->closing = true;
    pthread_cond_broadcast(&outbox->writer_wake);
    pthread_cond_broadcast(&outbox->reader_wake);
    pthread_mutex_unlock(&outbox->lock);
    if (outbox->reader_runs)
        pthread_join(outbox->reader_thread, NULL);
    if (outbox->writer_runs)
        pthread_join(outbox->writer_thread, NULL);
}

static void reads_free(struct outbox_read *read)
{
    while (read != NULL) {
        struct outbox_read *next = read->next;
        outbox_read_free(read);
        read = next;
    }
}

struct outbox_read *outbox_read_free(struct outbox_read *read)
{
    for (size_t i = 0; i < read->count; i++)
        gw_event_unref(read->events[i]);
    free(read->events);
    free(read);
    return NULL;
}

static void queues_close(struct gwc_outbox *outbox)
{
    for (size_t i = 0; i < outbox->handover_count; i++)
        gw_event_unref(outbox->handover[i]);
    outbox->handover_count = 0;
    reads_free(GW_TAKE(outbox->reads.first));
    reads_free(GW_TAKE(outbox->reads_done.first));
    reads_free(GW_TAKE(outbox->reads_free));
    free(GW_TAKE(outbox->items.items));
    while (outbox->watchers != NULL) {
        struct outbox_watcher *next = outbox->watchers->next;
        free(outbox->watchers);
        outbox->watchers = next;
    }
}

/* The memory that a posted task, or the run of it that calls us, still stands on. */
static void outbox_free(struct gwc_outbox *outbox)
{
    free(outbox->handover);
    free(outbox->handover_spare);
    pthread_cond_destroy(&outbox->writer_wake);
    pthread_cond_destroy(&outbox->reader_wake);
    pthread_cond_destroy(&outbox->round_done);
    pthread_mutex_destroy(&outbox->visit_lock);
    pthread_mutex_destroy(&outbox->lock);
    free(outbox);
}

struct gwc_outbox *gwc_outbox_close(struct gwc_outbox *outbox)
{
    if (outbox == NULL)
        return NULL;
    threads_stop(outbox);
    sqlite3_close(GW_TAKE(outbox->reader_database));
    sqlite3_close(GW_TAKE(outbox->visitor));
    outbox_writer_close(&outbox->writer); /* the last one: it copies the log into the file */
    if (outbox->lock_descriptor >= 0)
        close(outbox->lock_descriptor);
    free(outbox->path);
    queues_close(outbox);
    outbox->closed = true;
    if (!outbox->task_posted && !outbox->task_runs)
        outbox_free(outbox);
    return NULL;
}

/* ---- the stream's side ---- */

static void writer_wake(struct gwc_outbox *outbox)
{
    if (outbox->writer_sleeps)
        pthread_cond_signal(&outbox->writer_wake);
}

void gwc_outbox_append(struct gwc_outbox *outbox, struct gwc_append *append)
{
    append->next = NULL;
    pthread_mutex_lock(&outbox->lock);
    *outbox->appends_end = append;
    outbox->appends_end = &append->next;
    writer_wake(outbox);
    pthread_mutex_unlock(&outbox->lock);
}

static int position_read(sqlite3 *database, const char *source_key, struct gw_bytes *ret_position)
{
    GW_AUTO(outbox_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(outbox_prepare(database, &statement, "SELECT position FROM positions WHERE source_key = ?1"));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(source_key)));
    int answer = outbox_step(statement);
    if (answer < 0)
        return answer;
    if (answer == OUTBOX_ROW)
        gw_bytes_append_view(ret_position, outbox_column_view(statement, 0));
    return ret_position->failed ? GW_RAISE(-ENOMEM) : 0;
}

int gwc_outbox_position(struct gwc_outbox *outbox, const char *source_key, struct gw_bytes *ret_position)
{
    gw_bytes_clear(ret_position);
    pthread_mutex_lock(&outbox->visit_lock);
    int fault = position_read(outbox->visitor, source_key, ret_position);
    pthread_mutex_unlock(&outbox->visit_lock);
    return fault;
}

/* ---- progress ---- */

static struct outbox_watcher *watcher_find(struct gwc_outbox *outbox, const char *name)
{
    for (struct outbox_watcher *watcher = outbox->watchers; watcher != NULL; watcher = watcher->next)
        if (strcmp(watcher->name, name) == 0)
            return watcher;
    return NULL;
}

static int item_order(const void *a, const void *b)
{
    const struct outbox_item *first = *(struct outbox_item *const *)a, *second = *(struct outbox_item *const *)b;
    if (first->watcher != second->watcher)
        return first->watcher < second->watcher ? -1 : 1;
    if (first->progress.sequence != second->progress.sequence)
        return first->progress.sequence < second->progress.sequence ? -1 : 1;
    return first < second ? -1 : first > second;
}

/* While the disk is full, an event that fails again and again is noted again and again: only its last note counts. */
static void items_compact(struct outbox_items *items)
{
    GW_AUTO(gw_freep) struct outbox_item **sorted = malloc(items->count * sizeof(struct outbox_item *));
    size_t notes = 0, kept = 0;

    if (sorted == NULL)
        return;
    for (size_t i = 0; i < items->count; i++)
        if (items->items[i].kind == OUTBOX_ITEM_PROGRESS)
            sorted[notes++] = &items->items[i];
    qsort(sorted, notes, sizeof(struct outbox_item *), item_order);
    for (size_t i = 0; i + 1 < notes; i++)
        if (sorted[i]->watcher == sorted[i + 1]->watcher &&
            sorted[i]->progress.sequence == sorted[i + 1]->progress.sequence) {
            sorted[i + 1]->progress.had_retry |= sorted[i]->progress.had_retry;
            sorted[i]->watcher = NULL;
        }
    for (size_t i = 0; i < items->count; i++)
        if (items->items[i].watcher != NULL)
            items->items[kept++] = items->items[i];
    items->count = kept;
}

static bool items_reserve(struct gwc_outbox *outbox)
{
    struct outbox_items *items = &outbox->items;

    if (items->count < items->capacity)
        return true;
    if (items->count >= OUTBOX_ITEMS_MAX) {
        items_compact(items);
        /* Cursors have moved to other places. */
        for (struct outbox_watcher *watcher = outbox->watchers; watcher != NULL; watcher = watcher->next)
            watcher->cursor_generation = 0;
        return items->count < items->capacity;
    }
    size_t capacity = items->capacity == 0 ? 64 : items->capacity * 2;
    struct outbox_item *more = realloc(items->items, capacity * sizeof(*more));
    if (more == NULL)
        return false;
    items->items = more;
    items->capacity = capacity;
    return true;
}

/* Under the lock. NULL: there is no room. */
static struct outbox_item *item_add(struct gwc_outbox *outbox, enum outbox_item_kind kind, struct outbox_watcher *watcher)
{
    if (!items_reserve(outbox))
        return NULL;
    if (outbox->items.count == 0) {
        outbox->items_since_ms = outbox_now_ms();
        writer_wake(outbox);
    }
    struct outbox_item *item = &outbox->items.items[outbox->items.count++];
    *item = (struct outbox_item){.kind = kind, .watcher = watcher};
    return item;
}

static void progress_add(struct gwc_outbox *outbox, struct outbox_watcher *watcher, const struct gwc_progress *progress)
{
    struct outbox_item *item = item_add(outbox, OUTBOX_ITEM_PROGRESS, watcher);
    if (item == NULL) {
        /* What is not noted must be found again: the cursor stays in front of it, and after a restart it is delivered. */
        if (progress->outcome == GWC_RETRY || progress->outcome == GWC_DEAD)
            watcher->cursor_limit = GW_MIN(watcher->cursor_limit, progress->sequence - 1);
        return;
    }
    item->progress = *progress;
    item->progress.reason = NULL;
    if (progress->reason != NULL)
        snprintf(item->reason, sizeof(item->reason), "%s", progress->reason);
}

void gwc_outbox_progress(struct gwc_outbox *outbox, const char *name, const struct gwc_progress *progress)
{
    /* Nothing is written of an event that went out at the first attempt: the cursor passes it. */
    if ((progress->outcome == GWC_DELIVERED || progress->outcome == GWC_DROPPED) && !progress->had_retry)
        return;
    pthread_mutex_lock(&outbox->lock);
    struct outbox_watcher *watcher = watcher_find(outbox, name);
    if (watcher != NULL)
        progress_add(outbox, watcher, progress);
    pthread_mutex_unlock(&outbox->lock);
}

static void cursor_set(struct gwc_outbox *outbox, struct outbox_watcher *watcher, uint64_t cursor)
{
    struct outbox_item *item;

    cursor = GW_MIN(cursor, watcher->cursor_limit);
    if (watcher->cursor_generation == outbox->items_generation) {
        item = &outbox->items.items[watcher->cursor_item];
        item->progress.sequence = GW_MAX(item->progress.sequence, cursor);
        return;
    }
    /* No room: it stands where it stood, the next call brings it up. */
    item = item_add(outbox, OUTBOX_ITEM_CURSOR, watcher);
    if (item == NULL)
        return;
    item->progress.sequence = cursor;
    watcher->cursor_item = outbox->items.count - 1;
    watcher->cursor_generation = outbox->items_generation;
}

void gwc_outbox_cursor(struct gwc_outbox *outbox, const char *name, uint64_t cursor)
{
    pthread_mutex_lock(&outbox->lock);
    struct outbox_watcher *watcher = watcher_find(outbox, name);
    if (watcher != NULL)
        cursor_set(outbox, watcher, cursor);
    pthread_mutex_unlock(&outbox->lock);
}

/* ---- watchers ---- */

static struct outbox_watcher *watcher_new(struct gwc_outbox *outbox, const char *name)
{
    size_t size = strlen(name) + 1;
    struct outbox_watcher *watcher = calloc(1, sizeof(*watcher) + size);
    if (watcher == NULL)
        return NULL;
    memcpy(watcher->name, name, size);
    watcher->cursor_limit = UINT64_MAX;
    watcher->next = outbox->watchers;
    outbox->watchers = watcher;
    return watcher;
}

/* A watcher reads one read at a time: with one for each, gwc_outbox_read() finds one without allocating. */
static int read_reserve(struct gwc_outbox *outbox)
{
    struct outbox_read *read = calloc(1, sizeof(*read));
    if (read == NULL)
        return GW_RAISE(-ENOMEM);
    read_recycle(outbox, read);
    return 0;
}

/* Waits until the writer has written all that was handed in; its fault, when it cannot. Under the lock. */
static int writer_flush(struct gwc_outbox *outbox)
{
    uint64_t generation = outbox->items_generation, rounds = outbox->rounds;

    outbox->flush = true;
    pthread_cond_signal(&outbox->writer_wake);
    while (outbox->committed_generation < generation) {
        if (outbox->rounds != rounds && outbox->round_fault != 0)
            return GW_RAISE(outbox->round_fault);
        pthread_cond_wait(&outbox->round_done, &outbox->lock);
    }
    return 0;
}

/* The row of a watcher is made by the writer, in order with the events: what is acknowledged behind it, it gets. */
static int watcher_make(struct gwc_outbox *outbox, const char *name)
{
    int fault = 0;
    bool is_new = false;

    pthread_mutex_lock(&outbox->lock);
    struct outbox_watcher *watcher = watcher_find(outbox, name);
    if (watcher == NULL) {
        watcher = watcher_new(outbox, name);
        is_new = true;
    }
    if (watcher == NULL || item_add(outbox, OUTBOX_ITEM_OPEN, watcher) == NULL)
        fault = GW_RAISE(-ENOMEM);
    else
        fault = writer_flush(outbox);
    pthread_mutex_unlock(&outbox->lock);
    return fault == 0 && is_new ? read_reserve(outbox) : fault;
}

static int cursor_read(sqlite3 *database, const char *name, uint64_t *ret_cursor)
{
    GW_AUTO(outbox_finalizep) sqlite3_stmt *statement = NULL;
    int64_t cursor = -1;

    GW_TRY(outbox_prepare(database, &statement, "SELECT cursor FROM cursors WHERE watcher = ?1"));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(name)));
    GW_TRY(outbox_integer(statement, -1, &cursor));
    if (cursor < 0)
        return GW_RAISE(-ENOENT);
    *ret_cursor = (uint64_t)cursor;
    return 0;
}

struct outbox_retries {
    struct gwc_retry *items;
    size_t count, capacity;
};

static void retries_done(struct outbox_retries *retries)
{
    for (size_t i = 0; i < retries->count; i++)
        gw_event_unref(retries->items[i].event);
    free(retries->items);
}

static int retries_add(struct outbox_retries *retries, struct outbox_row *row, sqlite3_stmt *statement)
{
    if (retries->count == retries->capacity) {
        size_t capacity = retries->capacity == 0 ? 16 : retries->capacity * 2;
        struct gwc_retry *items = realloc(retries->items, capacity * sizeof(*items));
        if (items == NULL)
            return GW_RAISE(-ENOMEM);
        retries->items = items;
        retries->capacity = capacity;
    }
    struct gwc_retry *retry = &retries->items[retries->count];
    *retry = (struct gwc_retry){
        .attempts = (unsigned)sqlite3_column_int64(statement, OUTBOX_EVENT_COLUMNS_COUNT),
        .first_attempt_ms = sqlite3_column_int64(statement, OUTBOX_EVENT_COLUMNS_COUNT + 1),
        .next_attempt_ms = sqlite3_column_int64(statement, OUTBOX_EVENT_COLUMNS_COUNT + 2),
    };
    struct gw_view words = outbox_column_view(statement, OUTBOX_EVENT_COLUMNS_COUNT + 3);
    snprintf(retry->reason, sizeof(retry->reason), "%.*s", (int)words.size, words.data == NULL ? "" : words.data);
    GW_TRY(outbox_row_read(row, statement, 0));
    GW_TRY(outbox_row_event(row, &retry->event));
    retries->count++;
    return 0;
}

static int retries_read(sqlite3 *database, const char *name, struct outbox_retries *ret_retries)
{
    GW_AUTO(outbox_finalizep) sqlite3_stmt *statement = NULL;
    GW_AUTO(outbox_row_done) struct outbox_row row = {0};

    GW_TRY(outbox_prepare(database, &statement,
                          "SELECT " OUTBOX_EVENT_COLUMNS ", r.attempts, r.first_attempt_ms, r.next_attempt_ms, r.reason"
                          " FROM retries r JOIN events e USING(sequence) WHERE r.watcher = ?1 ORDER BY r.sequence"));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(name)));
    for (;;) {
        int answer = outbox_step(statement);
        if (answer <= 0)
            return answer;
        GW_TRY(retries_add(ret_retries, &row, statement));
    }
}

static int dead_read(sqlite3 *database, const char *name, uint64_t *ret_count)
{
    GW_AUTO(outbox_finalizep) sqlite3_stmt *statement = NULL;
    int64_t count = 0;

    GW_TRY(outbox_prepare(database, &statement, "SELECT count(*) FROM dead_letters WHERE watcher = ?1"));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(name)));
    GW_TRY(outbox_integer(statement, 0, &count));
    *ret_count = (uint64_t)count;
    return 0;
}

/* One transaction, so that cursor and retries are of the same moment. */
static int watcher_read(sqlite3 *database, const char *name, uint64_t *ret_cursor, uint64_t *ret_dead,
                        struct outbox_retries *ret_retries)
{
    GW_TRY(outbox_execute(database, "BEGIN"));
    int fault = cursor_read(database, name, ret_cursor);
    if (fault == 0)
        fault = dead_read(database, name, ret_dead);
    if (fault == 0)
        fault = retries_read(database, name, ret_retries);
    int ended = outbox_execute(database, "ROLLBACK");
    return fault != 0 ? fault : ended;
}

/* A watcher of an earlier run has nothing under way in this one: it is there without asking the writer, which may be
 * waiting for the room that only this watcher can make. */
static int watcher_known(struct gwc_outbox *outbox, const char *name, bool *ret_known)
{
    uint64_t cursor = 0;
    int fault = 0;

    pthread_mutex_lock(&outbox->lock);
    *ret_known = watcher_find(outbox, name) == NULL;
    pthread_mutex_unlock(&outbox->lock);
    if (!*ret_known)
        return 0;
    pthread_mutex_lock(&outbox->visit_lock);
    fault = cursor_read(outbox->visitor, name, &cursor);
    pthread_mutex_unlock(&outbox->visit_lock);
    *ret_known = fault == 0;
    if (fault != 0)
        return fault == -ENOENT ? 0 : fault;

    pthread_mutex_lock(&outbox->lock);
    if (watcher_new(outbox, name) == NULL)
        fault = GW_RAISE(-ENOMEM);
    pthread_mutex_unlock(&outbox->lock);
    return fault == 0 ? read_reserve(outbox) : fault;
}

int gwc_outbox_watcher_open(struct gwc_outbox *outbox, const char *name, uint64_t *ret_cursor,
                            struct gwc_retry **ret_retries, size_t *ret_retries_count)
{
    GW_AUTO(retries_done) struct outbox_retries retries = {0};
    uint64_t cursor = 0, dead = 0;
    bool known = false;

    GW_TRY(watcher_known(outbox, name, &known));
    if (!known)
        GW_TRY(watcher_make(outbox, name));
    pthread_mutex_lock(&outbox->visit_lock);
    int fault = watcher_read(outbox->visitor, name, &cursor, &dead, &retries);
    pthread_mutex_unlock(&outbox->visit_lock);
    GW_TRY(fault);

    pthread_mutex_lock(&outbox->lock);
    atomic_store(&watcher_find(outbox, name)->dead, dead);
    pthread_mutex_unlock(&outbox->lock);
    *ret_cursor = cursor;
    *ret_retries_count = retries.count;
    *ret_retries = GW_TAKE(retries.items);
    retries.count = 0;
    return 0;
}

void gwc_outbox_watcher_remove(struct gwc_outbox *outbox, const char *name)
{
    pthread_mutex_lock(&outbox->lock);
    struct outbox_watcher *watcher = watcher_find(outbox, name);
    if (watcher == NULL)
        watcher = watcher_new(outbox, name);
    if (watcher != NULL && item_add(outbox, OUTBOX_ITEM_REMOVE, watcher) != NULL) {
        watcher->cursor_generation = 0;
        watcher->cursor_limit = UINT64_MAX;
    }
    pthread_mutex_unlock(&outbox->lock);
}

struct outbox_names {
    char **items;
    size_t count;
};

static void names_done(struct outbox_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

static int names_read(sqlite3 *database, struct outbox_names *ret_names)
{
    GW_AUTO(outbox_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(outbox_prepare(database, &statement, "SELECT watcher FROM cursors ORDER BY watcher"));
    for (;;) {
        int answer = outbox_step(statement);
        if (answer <= 0)
            return answer;
        struct gw_view name = outbox_column_view(statement, 0);
        char **items = realloc(ret_names->items, (ret_names->count + 1) * sizeof(*items));
        if (items == NULL)
            return GW_RAISE(-ENOMEM);
        ret_names->items = items;
        items[ret_names->count] = strndup(name.data == NULL ? "" : name.data, name.size);
        if (items[ret_names->count] == NULL)
            return GW_RAISE(-ENOMEM);
        ret_names->count++;
    }
}

int gwc_outbox_watchers(struct gwc_outbox *outbox, char ***ret_names, size_t *ret_count)
{
    GW_AUTO(names_done) struct outbox_names names = {0};

    pthread_mutex_lock(&outbox->visit_lock);
    int fault = names_read(outbox->visitor, &names);
    pthread_mutex_unlock(&outbox->visit_lock);
    GW_TRY(fault);
    *ret_count = names.count;
    *ret_names = GW_TAKE(names.items);
    names.count = 0;
    return 0;
}

uint64_t gwc_outbox_dead_count(struct gwc_outbox *outbox, const char *name)
{
    pthread_mutex_lock(&outbox->lock);
    struct outbox_watcher *watcher = watcher_find(outbox, name);
    uint64_t count = watcher == NULL ? 0 : atomic_load(&watcher->dead);
    pthread_mutex_unlock(&outbox->lock);
    return count;
}

/* ---- reading ---- */

void gwc_outbox_read(struct gwc_outbox *outbox, uint64_t after, size_t events_max, size_t bytes_max,
                     void (*done)(void *user, struct gw_event *const *events, size_t count), void *user)
{
    pthread_mutex_lock(&outbox->lock);
    struct outbox_read *read = outbox->reads_free;
    if (read != NULL)
        outbox->reads_free = read->next;
    pthread_mutex_unlock(&outbox->lock);
    if (read == NULL)
        read = calloc(1, sizeof(*read));
    assert(read != NULL && "more reads than watchers");
    *read = (struct outbox_read){.after = after,
                                 .events_max = events_max,
                                 .bytes_max = bytes_max,
                                 .done = done,
                                 .user = user,
                                 .told_next = outbox->reads_untold};
    outbox->reads_untold = read;
    read_queue(outbox, read);
}

static void read_ignore(void *user, struct gw_event *const *events, size_t count)
{
    (void)user;
    (void)events;
    (void)count;
}

void gwc_outbox_read_cancel(struct gwc_outbox *outbox, void *user)
{
    for (struct outbox_read *read = outbox->reads_untold; read != NULL; read = read->told_next)
        if (read->user == user)
            read->done = read_ignore;
}

uint64_t gwc_outbox_last_sequence(struct gwc_outbox *outbox)
{
    return atomic_load(&outbox->last_sequence);
}

uint64_t gwc_outbox_size(struct gwc_outbox *outbox)
{
    return atomic_load(&outbox->size);
}
