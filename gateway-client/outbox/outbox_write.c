/* What the writer writes: events, positions, and what became of deliveries, inside a transaction. */
#include "gateway-client/outbox/outbox_internal.h"

#include "common/clock.h"
#include "common/text.h"

#include <stdlib.h>
#include <string.h>

/* Source keys whose last position of a transaction is kept back; a power of two. */
enum { WRITER_POSITIONS = 64 };

const char *const outbox_writer_sql[OUTBOX_STATEMENTS] = {
    [OUTBOX_BEGIN] = "BEGIN IMMEDIATE",
    [OUTBOX_COMMIT] = "COMMIT",
    [OUTBOX_ROLLBACK] = "ROLLBACK",
    [OUTBOX_EVENT_INSERT] = "INSERT INTO events(sequence, accepted_ns, time_ns, origin, id, source, type, "
                            "subject, data_content_type,"
                            " data_schema, partition_key, gateway, event_source, kind, extensions, data)"
                            " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
                            " ON CONFLICT(origin, id) WHERE origin IS NOT NULL DO NOTHING",
    [OUTBOX_SOURCE_INSERT] = "INSERT INTO sources(source) VALUES(?1)",
    [OUTBOX_SOURCE_FIND] = "SELECT number FROM sources WHERE source = ?1",
    [OUTBOX_SOURCES_PRUNE] = "DELETE FROM sources WHERE number > ?1 AND number <= ?2 AND NOT EXISTS"
                             " (SELECT 1 FROM events e WHERE e.origin = sources.number)",
    [OUTBOX_SOURCES_AFTER] =
        "SELECT max(number) FROM (SELECT number FROM sources WHERE number > ?1 ORDER BY number LIMIT ?2)",
    [OUTBOX_POSITION_WRITE] = "INSERT INTO positions(source_key, position) VALUES(?1, ?2)"
                              " ON CONFLICT(source_key) DO UPDATE SET position = excluded.position",
    [OUTBOX_CURSOR_WRITE] = "UPDATE cursors SET cursor = ?2 WHERE watcher = ?1 AND cursor < ?2",
    [OUTBOX_CURSOR_NEW] =
        "INSERT INTO cursors(watcher, cursor) VALUES(?1, ?2) ON CONFLICT(watcher) DO NOTHING",
    [OUTBOX_CURSOR_REMOVE] = "DELETE FROM cursors WHERE watcher = ?1",
    [OUTBOX_CURSOR_MIN] = "SELECT min(cursor) FROM cursors",
    [OUTBOX_RETRY_WRITE] =
        "INSERT INTO retries(watcher, sequence, attempts, first_attempt_ms, next_attempt_ms, reason)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(watcher, sequence) DO UPDATE SET attempts = "
        "excluded.attempts,"
        " first_attempt_ms = excluded.first_attempt_ms, next_attempt_ms = excluded.next_attempt_ms,"
        " reason = excluded.reason",
    [OUTBOX_RETRY_REMOVE] = "DELETE FROM retries WHERE watcher = ?1 AND sequence = ?2",
    [OUTBOX_RETRIES_REMOVE] = "DELETE FROM retries WHERE watcher = ?1",
    [OUTBOX_DEAD_WRITE] =
        "INSERT INTO dead_letters(watcher, sequence, died_ms, attempts, status, reason)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(watcher, sequence) DO UPDATE SET"
        " died_ms = excluded.died_ms, attempts = excluded.attempts, status = excluded.status,"
        " reason = excluded.reason",
    [OUTBOX_DEAD_COUNT] = "SELECT count(*) FROM dead_letters WHERE watcher = ?1",
    [OUTBOX_PRUNE_FIND] =
        "SELECT e.sequence, e.accepted_ns, length(e.data),"
        " EXISTS(SELECT 1 FROM retries r WHERE r.sequence = e.sequence)"
        " OR EXISTS(SELECT 1 FROM dead_letters d WHERE d.sequence = e.sequence)"
        " FROM events e WHERE e.sequence > ?1 AND e.sequence <= ?2 ORDER BY e.sequence LIMIT ?3",
    [OUTBOX_PRUNE] = "DELETE FROM events WHERE sequence >= ?1 AND sequence <= ?2",
    [OUTBOX_SEQUENCE_KEEP] = "UPDATE meta SET value = ?1 WHERE key = 'last_sequence' AND value < ?1",
    [OUTBOX_PAGES] = "PRAGMA page_count",
    [OUTBOX_PAGES_FREE] = "PRAGMA freelist_count",
    [OUTBOX_DATA_VERSION] = "PRAGMA data_version",
    [OUTBOX_EPOCH] = "SELECT value FROM meta WHERE key = 'epoch'",
};

/* ---- sources: a number for each name ---- */

void outbox_sources_forget(struct outbox_writer *writer)
{
    for (size_t i = 0; i < OUTBOX_SOURCES_MAX && writer->sources_count > 0; i++)
        if (writer->sources[i].name != NULL) {
            free(GW_TAKE(writer->sources[i].name));
            writer->sources_count--;
        }
}

/* The slot of the name, or the free one where it would go. */
static struct outbox_source *sources_slot(struct outbox_writer *writer, struct gw_view name, uint32_t hash)
{
    for (uint32_t at = hash;; at++) {
        struct outbox_source *slot = &writer->sources[at & (OUTBOX_SOURCES_MAX - 1)];
        if (slot->name == NULL ||
            (slot->hash == hash && slot->size == name.size && memcmp(slot->name, name.data, name.size) == 0))
            return slot;
    }
}

static void sources_remember(struct outbox_writer *writer, struct gw_view name, uint32_t hash, int64_t number)
{
    if (writer->sources_count >= OUTBOX_SOURCES_MAX / 4 * 3)
        outbox_sources_forget(writer);
    struct outbox_source *slot = sources_slot(writer, name, hash);
    char *copy = malloc(name.size);
    if (copy == NULL)
        return; /* it is looked up again */
    memcpy(copy, name.data, name.size);
    *slot = (struct outbox_source){.name = copy, .size = name.size, .hash = hash, .number = number};
    writer->sources_count++;
}

static int source_number(struct outbox_writer *writer, struct gw_view name, int64_t *ret_number)
{
    uint32_t hash = gw_fnv1a32(name, (struct gw_view){0});
    struct outbox_source *slot = sources_slot(writer, name, hash);
    sqlite3_stmt *find = writer->statements[OUTBOX_SOURCE_FIND],
                 *insert = writer->statements[OUTBOX_SOURCE_INSERT];

    if (slot->name != NULL) {
        *ret_number = slot->number;
        return 0;
    }
    int64_t number = -1;
    GW_TRY(outbox_bind_text(find, 1, name));
    GW_TRY(gw_sqlite_integer(find, -1, &number));
    if (number < 0) {
        GW_TRY(outbox_bind_text(insert, 1, name));
        GW_TRY(gw_sqlite_run(insert));
        number = sqlite3_last_insert_rowid(writer->database);
    }
    sources_remember(writer, name, hash, number);
    *ret_number = number;
    return 0;
}

/* ---- events ---- */

static int event_bind_texts(sqlite3_stmt *insert, const struct gw_event_fields *fields)
{
    const struct gw_view texts[] = {fields->id,
                                    fields->source,
                                    fields->type,
                                    fields->subject,
                                    fields->data_content_type,
                                    fields->data_schema,
                                    fields->partition_key,
                                    fields->gateway,
                                    fields->event_source,
                                    fields->kind};
    for (int i = 0; i < (int)GW_COUNT_OF(texts); i++)
        GW_TRY(outbox_bind_text(insert, 5 + i, texts[i]));
    return 0;
}

static int event_bind_origin(struct outbox_writer *writer, const struct gw_event_fields *fields, bool natural)
{
    sqlite3_stmt *insert = writer->statements[OUTBOX_EVENT_INSERT];
    int64_t origin = 0;

    if (!natural || fields->id.size == 0 || fields->source.size == 0)
        return gw_sqlite_fault(sqlite3_bind_null(insert, 4));
    GW_TRY(source_number(writer, fields->source, &origin));
    return gw_sqlite_fault(sqlite3_bind_int64(insert, 4, origin));
}

static int event_bind_rest(struct outbox_writer *writer, const struct gw_event_fields *fields)
{
    sqlite3_stmt *insert = writer->statements[OUTBOX_EVENT_INSERT];

    gw_bytes_clear(&writer->scratch);
    outbox_extensions_encode(&writer->scratch, fields->extensions, fields->extensions_count);
    if (writer->scratch.failed)
        return GW_RAISE(-ENOMEM);
    GW_TRY(outbox_bind_blob(insert, 15, gw_bytes_view(&writer->scratch)));
    return outbox_bind_blob(insert, 16, fields->data);
}

/* Sequence 0 afterwards: a duplicate. */
static int event_write(struct outbox_writer *writer, struct gw_event *event, bool natural)
{
    sqlite3_stmt *insert = writer->statements[OUTBOX_EVENT_INSERT];

    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(insert, 1, (int64_t)writer->sequence + 1)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(insert, 2, writer->accepted_ns)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(insert, 3, event->fields.time_ns)));
    GW_TRY(event_bind_origin(writer, &event->fields, natural));
    GW_TRY(event_bind_texts(insert, &event->fields));
    GW_TRY(event_bind_rest(writer, &event->fields));
    GW_TRY(gw_sqlite_run(insert));
    event->accepted_ns = writer->accepted_ns;
    event->sequence = 0;
    if (sqlite3_changes(writer->database) == 0) {
        writer->duplicates++;
        return 0;
    }
    event->sequence = ++writer->sequence;
    writer->inserted++;
    return 0;
}

static int position_write(struct outbox_writer *writer, const struct gwc_append *append)
{
    sqlite3_stmt *statement = writer->statements[OUTBOX_POSITION_WRITE];

    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(append->source_key)));
    GW_TRY(outbox_bind_blob(statement, 2, append->position));
    return gw_sqlite_run(statement);
}

/* Only the last position of a source counts: it is written when another source needs its slot, or at the end. */
static int position_note(struct outbox_writer *writer, const struct gwc_append **slots,
                         const struct gwc_append *append)
{
    if (append->position.size == 0)
        return 0;
    uint32_t hash = gw_fnv1a32(gw_view_text(append->source_key), (struct gw_view){0});
    const struct gwc_append **slot = &slots[hash & (WRITER_POSITIONS - 1)];
    if (*slot != NULL && strcmp((*slot)->source_key, append->source_key) != 0)
        GW_TRY(position_write(writer, *slot));
    *slot = append;
    return 0;
}

int outbox_appends_write(struct outbox_writer *writer)
{
    const struct gwc_append *positions[WRITER_POSITIONS] = {0};

    for (const struct gwc_append *append = writer->appends; append != NULL; append = append->next) {
        for (size_t i = 0; i < append->count; i++)
            GW_TRY(event_write(writer, append->events[i], append->natural[i]));
        GW_TRY(position_note(writer, positions, append));
    }
    for (size_t i = 0; i < WRITER_POSITIONS; i++)
        if (positions[i] != NULL)
            GW_TRY(position_write(writer, positions[i]));
    return 0;
}

/* ---- items: what the delivery says ---- */

static int watcher_run(struct outbox_writer *writer, enum outbox_statement which,
                       const struct outbox_item *item, int64_t second)
{
    sqlite3_stmt *statement = writer->statements[which];

    GW_TRY(outbox_bind_text(statement, 1, gw_view_text(item->watcher->name)));
    if (sqlite3_bind_parameter_count(statement) > 1)
        GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 2, second)));
    return gw_sqlite_run(statement);
}

static int retry_write(struct outbox_writer *writer, const struct outbox_item *item)
{
    sqlite3_stmt *statement = writer->statements[OUTBOX_RETRY_WRITE];

    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 3, item->progress.attempts)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 4, item->progress.first_attempt_ms)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 5, item->progress.next_attempt_ms)));
    GW_TRY(outbox_bind_text(statement, 6, gw_view_text(item->reason)));
    return watcher_run(writer, OUTBOX_RETRY_WRITE, item, (int64_t)item->progress.sequence);
}

static int dead_write(struct outbox_writer *writer, const struct outbox_item *item)
{
    sqlite3_stmt *statement = writer->statements[OUTBOX_DEAD_WRITE];

    GW_TRY(watcher_run(writer, OUTBOX_RETRY_REMOVE, item, (int64_t)item->progress.sequence));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 3, gw_clock_realtime_ms())));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 4, item->progress.attempts)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 5, item->progress.status)));
    GW_TRY(outbox_bind_text(statement, 6, gw_view_text(item->reason)));
    return watcher_run(writer, OUTBOX_DEAD_WRITE, item, (int64_t)item->progress.sequence);
}

static int progress_write(struct outbox_writer *writer, const struct outbox_item *item)
{
    switch (item->progress.outcome) {
    case GWC_RETRY:
        return retry_write(writer, item);
    case GWC_DEAD:
        return dead_write(writer, item);
    case GWC_DELIVERED:
    case GWC_DROPPED:
        break;
    }
    writer->released = true;
    return watcher_run(writer, OUTBOX_RETRY_REMOVE, item, (int64_t)item->progress.sequence);
}

static int item_write(struct outbox_writer *writer, const struct outbox_item *item)
{
    switch (item->kind) {
    case OUTBOX_ITEM_PROGRESS:
        return progress_write(writer, item);
    case OUTBOX_ITEM_CURSOR:
        return watcher_run(writer, OUTBOX_CURSOR_WRITE, item, (int64_t)item->progress.sequence);
    case OUTBOX_ITEM_OPEN:
        return watcher_run(writer, OUTBOX_CURSOR_NEW, item, (int64_t)writer->sequence);
    case OUTBOX_ITEM_REMOVE:
        break;
    }
    writer->released = true;
    GW_TRY(watcher_run(writer, OUTBOX_CURSOR_REMOVE, item, 0));
    return watcher_run(writer, OUTBOX_RETRIES_REMOVE, item, 0);
}

int outbox_items_write(struct outbox_writer *writer)
{
    for (size_t i = 0; i < writer->items.count; i++)
        GW_TRY(item_write(writer, &writer->items.items[i]));
    return 0;
}
