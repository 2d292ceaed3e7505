/* The watchers of the outbox: what the delivery says of them on its way to the writer, and where each of them stands. */
#include "gateway-client/outbox/outbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    const struct outbox_item *first = *(struct outbox_item *const *)a,
                             *second = *(struct outbox_item *const *)b;
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
static struct outbox_item *item_add(struct gwc_outbox *outbox, enum outbox_item_kind kind,
                                    struct outbox_watcher *watcher)
{
    if (!items_reserve(outbox))
        return NULL;
    if (outbox->items.count == 0) {
        outbox->items_since_ms = gw_clock_monotonic_ms();
        outbox_writer_wake(outbox);
    }
    struct outbox_item *item = &outbox->items.items[outbox->items.count++];
    *item = (struct outbox_item){.kind = kind, .watcher = watcher};
    return item;
}

static bool progress_add(struct gwc_outbox *outbox, struct outbox_watcher *watcher,
                         const struct gwc_progress *progress)
{
    struct outbox_item *item = item_add(outbox, OUTBOX_ITEM_PROGRESS, watcher);
    if (item == NULL)
        return false;
    item->progress = *progress;
    item->progress.reason = NULL;
    if (progress->reason != NULL)
        snprintf(item->reason, sizeof(item->reason), "%s", progress->reason);
    return true;
}

bool gwc_outbox_progress(struct gwc_outbox *outbox, const char *name, const struct gwc_progress *progress)
{
    /* Nothing is written of an event that went out at the first attempt: the cursor passes it. */
    if ((progress->outcome == GWC_DELIVERED || progress->outcome == GWC_DROPPED) && !progress->had_retry)
        return true;
    pthread_mutex_lock(&outbox->lock);
    struct outbox_watcher *watcher = watcher_find(outbox, name);
    bool noted = watcher == NULL || progress_add(outbox, watcher, progress);
    pthread_mutex_unlock(&outbox->lock);
    return noted;
}

static void cursor_set(struct gwc_outbox *outbox, struct outbox_watcher *watcher, uint64_t cursor)
{
    struct outbox_item *item;

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
    outbox_read_recycle(outbox, read);
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

#define CURSOR_SQL "SELECT cursor FROM cursors WHERE watcher = ?1"

static int cursor_read(sqlite3 *database, const char *name, uint64_t *ret_cursor)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;
    int64_t cursor = -1;

    GW_TRY(gw_sqlite_prepare(database, &statement, CURSOR_SQL));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(name)));
    GW_TRY(gw_sqlite_integer(statement, -1, &cursor));
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
    snprintf(retry->reason, sizeof(retry->reason), "%.*s", (int)words.size,
             words.data == NULL ? "" : words.data);
    GW_TRY(outbox_row_read(row, statement, 0));
    GW_TRY(outbox_row_event(row, &retry->event));
    retries->count++;
    return 0;
}

static int retries_read(sqlite3 *database, const char *name, struct outbox_retries *ret_retries)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;
    GW_AUTO(outbox_row_done) struct outbox_row row = {0};

    GW_TRY(gw_sqlite_prepare(
        database, &statement,
        "SELECT " OUTBOX_EVENT_COLUMNS ", r.attempts, r.first_attempt_ms, r.next_attempt_ms, r.reason"
        " FROM retries r JOIN events e USING(sequence) WHERE r.watcher = ?1 ORDER BY r.sequence"));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(name)));
    for (;;) {
        int answer = gw_sqlite_step(statement);
        if (answer <= 0)
            return answer;
        GW_TRY(retries_add(ret_retries, &row, statement));
    }
}

static int dead_read(sqlite3 *database, const char *name, uint64_t *ret_count)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;
    int64_t count = 0;

    GW_TRY(gw_sqlite_prepare(database, &statement, "SELECT count(*) FROM dead_letters WHERE watcher = ?1"));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(name)));
    GW_TRY(gw_sqlite_integer(statement, 0, &count));
    *ret_count = (uint64_t)count;
    return 0;
}

/* Cursor and retries of the same moment: as long as the first statement stands on its row, all read one snapshot. A BEGIN
 * would need a ROLLBACK, which can fail, too. */
static int watcher_read(sqlite3 *database, const char *name, uint64_t *ret_cursor, uint64_t *ret_dead,
                        struct outbox_retries *ret_retries)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement, CURSOR_SQL));
    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(name)));
    int answer = gw_sqlite_step(statement);
    if (answer != GW_SQLITE_ROW)
        return answer < 0 ? answer : GW_RAISE(-ENOENT);
    *ret_cursor = (uint64_t)sqlite3_column_int64(statement, 0);
    GW_TRY(dead_read(database, name, ret_dead));
    return retries_read(database, name, ret_retries);
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
    if (watcher != NULL && item_add(outbox, OUTBOX_ITEM_REMOVE, watcher) != NULL)
        watcher->cursor_generation = 0;
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
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement, "SELECT watcher FROM cursors ORDER BY watcher"));
    for (;;) {
        int answer = gw_sqlite_step(statement);
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
