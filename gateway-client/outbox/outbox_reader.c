/* The reader thread of the outbox: gives deliveries that are behind their events from the file. */
#include "gateway-client/outbox/outbox_internal.h"

#include <stdlib.h>

enum { READ_RETRY_MS_MIN = 50, READ_RETRY_MS_MAX = 5000 };

struct reader {
    struct gwc_outbox *outbox;
    sqlite3_stmt *select; /* prepared when it is first needed */
    struct outbox_row row;
};

static int read_add(struct outbox_read *read, struct gw_event *event)
{
    if (read->count == read->capacity) {
        size_t capacity = read->capacity == 0 ? 64 : read->capacity * 2;
        struct gw_event **events = realloc(read->events, capacity * sizeof(*events));
        if (events == NULL) {
            gw_event_unref(event);
            return GW_RAISE(-ENOMEM);
        }
        read->events = events;
        read->capacity = capacity;
    }
    read->events[read->count++] = event;
    return 0;
}

static int read_rows(struct reader *reader, struct outbox_read *read)
{
    size_t bytes = 0;

    while (read->count == 0 || bytes < read->bytes_max) {
        struct gw_event *event = NULL;
        int answer = gw_sqlite_step(reader->select);
        if (answer <= 0)
            return answer;
        GW_TRY(outbox_row_read(&reader->row, reader->select, 0));
        GW_TRY(outbox_row_event(&reader->row, &event));
        bytes += event->size;
        GW_TRY(read_add(read, event));
    }
    return 0;
}

static int read_make(struct reader *reader, struct outbox_read *read)
{
    if (reader->select == NULL)
        GW_TRY(gw_sqlite_prepare(reader->outbox->reader_database, &reader->select,
                                 "SELECT " OUTBOX_EVENT_COLUMNS
                                 " FROM events e WHERE e.sequence > ?1 ORDER BY e.sequence LIMIT ?2"));
    read->last = atomic_load(&reader->outbox->last_sequence);
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(reader->select, 1, (int64_t)read->after)));
    GW_TRY(
        gw_sqlite_fault(sqlite3_bind_int64(reader->select, 2, (int64_t)GW_MAX(read->events_max, (size_t)1))));
    int fault = read_rows(reader, read);
    sqlite3_reset(reader->select); /* ends the read transaction, which would hold the log */
    /* What was read is good; the rest comes with the next read. */
    return read->count > 0 ? 0 : fault;
}

/* A read that fails is made again until it succeeds: "nothing there" would be a lie. False: we close. */
static bool read_insist(struct reader *reader, struct outbox_read *read)
{
    struct gwc_outbox *outbox = reader->outbox;
    int64_t wait_ms = READ_RETRY_MS_MIN;

    while (read_make(reader, read) < 0) {
        pthread_mutex_lock(&outbox->lock);
        int64_t until_ms = gw_clock_monotonic_ms() + wait_ms;
        while (!outbox->closing && gw_clock_monotonic_ms() < until_ms)
            outbox_wait_until(outbox, &outbox->reader_wake, until_ms);
        bool closing = outbox->closing;
        pthread_mutex_unlock(&outbox->lock);
        if (closing)
            return false;
        wait_ms = GW_MIN(wait_ms * 2, (int64_t)READ_RETRY_MS_MAX);
    }
    return true;
}

static struct outbox_read *read_next(struct gwc_outbox *outbox)
{
    pthread_mutex_lock(&outbox->lock);
    while (outbox->reads.first == NULL && !outbox->closing)
        pthread_cond_wait(&outbox->reader_wake, &outbox->lock);
    struct outbox_read *read = outbox->closing ? NULL : outbox->reads.first;
    if (read != NULL) {
        outbox->reads.first = read->next;
        if (read->next == NULL)
            outbox->reads.end = &outbox->reads.first;
        read->next = NULL;
    }
    pthread_mutex_unlock(&outbox->lock);
    return read;
}

void *outbox_reader_main(void *user)
{
    struct gwc_outbox *outbox = user;
    struct reader reader = {.outbox = outbox};
    struct outbox_read *read;

    while ((read = read_next(outbox)) != NULL) {
        bool answered = read_insist(&reader, read);
        pthread_mutex_lock(&outbox->lock);
        *outbox->reads_done.end = read;
        outbox->reads_done.end = &read->next;
        if (answered)
            outbox_notify(outbox);
        pthread_mutex_unlock(&outbox->lock);
    }
    sqlite3_finalize(reader.select);
    outbox_row_done(&reader.row);
    return NULL;
}
