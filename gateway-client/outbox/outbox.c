/* The outbox as others see it: what they hand in is queued for the threads, what the threads did is told on the loop. */
#include "gateway-client/outbox/outbox_internal.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- time ---- */

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
    bool more, changed, pressure_changed, full, fenced;
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
    news->fenced = outbox->fenced;
    outbox->handover_more = outbox->changed = outbox->pressure_changed = outbox->fenced = false;
    memcpy(news->words, outbox->pressure_words, sizeof(news->words));
    news->reads = outbox->reads_done;
    outbox->reads_done = (struct outbox_reads){.end = &outbox->reads_done.first};
    pthread_mutex_unlock(&outbox->lock);
}

void outbox_read_recycle(struct gwc_outbox *outbox, struct outbox_read *read)
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
    void (*done)(void *, struct gw_event *const *, size_t, uint64_t) = read->done;
    void *user = read->user;
    struct gw_event **events = GW_TAKE(read->events);
    size_t count = read->count;
    uint64_t last = read->last;

    /* Back among the free ones first, so that done() may read on. */
    read->count = read->capacity = 0;
    outbox_read_recycle(outbox, read);
    done(user, events, count, last);
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
    if (news->fenced && options->fenced != NULL && !outbox->closed)
        options->fenced(options->user, outbox->writer.fenced_by);
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

int gwc_outbox_open(struct gwc_outbox **ret_outbox, const struct gwc_outbox_options *options,
                    char **ret_set_aside, struct gw_reason *reason)
{
    GW_AUTO(gwc_outbox_closep) struct gwc_outbox *outbox = calloc(1, sizeof(*outbox));
    GW_AUTO(gw_freep) char *set_aside = NULL;

    if (outbox == NULL)
        return GW_RAISE(-ENOMEM);
    outbox->options = *options;
    GW_TRY(primitives_init(outbox));
    GW_TRY(queues_open(outbox));
    GW_TRY(outbox_file_open(options, &outbox->lock_descriptor, &outbox->path, &outbox->writer.database,
                            &set_aside, reason));
    GW_TRY(outbox_connect(&outbox->reader_database, outbox->path, OUTBOX_BUSY_MS, options->no_fsync, reason));
    GW_TRY(outbox_connect(&outbox->visitor, outbox->path, OUTBOX_BUSY_MS, options->no_fsync, reason));
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

void outbox_writer_wake(struct gwc_outbox *outbox)
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
    outbox_writer_wake(outbox);
    pthread_mutex_unlock(&outbox->lock);
}

static int position_read(sqlite3 *database, const char *source_key, struct gw_bytes *ret_position)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement, "SELECT position FROM positions WHERE source_key = ?1"));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(source_key)));
    int answer = gw_sqlite_step(statement);
    if (answer < 0)
        return answer;
    if (answer == GW_SQLITE_ROW)
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

/* ---- reading ---- */

void gwc_outbox_read(struct gwc_outbox *outbox, uint64_t after, size_t events_max, size_t bytes_max,
                     void (*done)(void *user, struct gw_event *const *events, size_t count, uint64_t last),
                     void *user)
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

static void read_ignore(void *user, struct gw_event *const *events, size_t count, uint64_t last)
{
    (void)user;
    (void)events;
    (void)count;
    (void)last;
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
