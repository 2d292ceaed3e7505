/* The registry of progress, read and changed in the outbox's own tables. */
#include "gateway-client/outbox/positions.h"

#include "gateway-client/outbox/outbox_internal.h"

#include <stdlib.h>
#include <unistd.h>

struct gwc_positions {
    sqlite3 *database;
    int lock; /* -1: only read */
};

int gwc_positions_open(struct gwc_positions **ret_positions, const char *directory, bool change,
                       struct gw_reason *reason)
{
    GW_AUTO(gwc_positions_closep) struct gwc_positions *positions = calloc(1, sizeof(*positions));

    if (positions == NULL)
        return GW_RAISE(-ENOMEM);
    positions->lock = -1;
    GW_TRY(outbox_visit(directory, &positions->database, reason));
    if (change)
        GW_TRY(outbox_lock_alone(directory, &positions->lock, reason));
    *ret_positions = GW_TAKE(positions);
    return 0;
}

struct gwc_positions *gwc_positions_close(struct gwc_positions *positions)
{
    if (positions == NULL)
        return NULL;
    sqlite3_close(positions->database); /* undoes what was not committed */
    if (positions->lock >= 0)
        close(positions->lock);
    free(positions);
    return NULL;
}

/* ---- reading ---- */

int gwc_positions_each_source(struct gwc_positions *positions,
                              int (*each)(void *user, const char *source, struct gw_view position),
                              void *user)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;
    int answer;

    GW_TRY(gw_sqlite_prepare(positions->database, &statement,
                             "SELECT source_key, position FROM positions ORDER BY source_key"));
    while ((answer = gw_sqlite_step(statement)) == GW_SQLITE_ROW) {
        answer =
            each(user, (const char *)sqlite3_column_text(statement, 0), outbox_column_view(statement, 1));
        if (answer < 0)
            return answer;
    }
    return answer;
}

int gwc_positions_each_watcher(struct gwc_positions *positions,
                               int (*each)(void *user, const char *watcher, uint64_t cursor,
                                           uint64_t pending),
                               void *user)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;
    int answer;

    GW_TRY(gw_sqlite_prepare(
        positions->database, &statement,
        "SELECT watcher, cursor, (SELECT count(*) FROM events WHERE sequence > cursor)"
        " + (SELECT count(*) FROM retries r WHERE r.watcher = c.watcher AND sequence <= cursor)"
        " FROM cursors c ORDER BY watcher"));
    while ((answer = gw_sqlite_step(statement)) == GW_SQLITE_ROW) {
        answer =
            each(user, (const char *)sqlite3_column_text(statement, 0),
                 (uint64_t)sqlite3_column_int64(statement, 1), (uint64_t)sqlite3_column_int64(statement, 2));
        if (answer < 0)
            return answer;
    }
    return answer;
}

/* ---- changing ---- */

int gwc_positions_begin(struct gwc_positions *positions)
{
    return gw_sqlite_execute(positions->database, "BEGIN IMMEDIATE");
}

int gwc_positions_commit(struct gwc_positions *positions)
{
    return gw_sqlite_execute(positions->database, "COMMIT");
}

static int changed_any(const struct gwc_positions *positions)
{
    return sqlite3_changes(positions->database) > 0 ? 0 : GWC_POSITIONS_UNKNOWN;
}

int gwc_positions_set(struct gwc_positions *positions, const char *source, struct gw_view position)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(positions->database, &statement,
                             position.size == 0
                                 ? "DELETE FROM positions WHERE source_key = ?1"
                                 : "INSERT INTO positions(source_key, position) VALUES(?1, ?2)"
                                   " ON CONFLICT(source_key) DO UPDATE SET position = excluded.position"));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_text(statement, 1, source, -1, SQLITE_STATIC)));
    if (position.size > 0)
        GW_TRY(outbox_bind_blob(statement, 2, position));
    GW_TRY(gw_sqlite_run(statement));
    return changed_any(positions);
}

int gwc_positions_set_cursor(struct gwc_positions *positions, const char *watcher, uint64_t cursor)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;
    int64_t last = 0;

    GW_TRY(gw_sqlite_query(positions->database,
                           "SELECT max(value, coalesce((SELECT max(sequence) FROM events), 0)) FROM meta"
                           " WHERE key = 'last_sequence'",
                           0, &last));
    if (cursor > (uint64_t)last)
        return GW_RAISE(-ERANGE);
    GW_TRY(gw_sqlite_prepare(positions->database, &statement,
                             "UPDATE cursors SET cursor = ?2 WHERE watcher = ?1"));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_text(statement, 1, watcher, -1, SQLITE_STATIC)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 2, (int64_t)cursor)));
    GW_TRY(gw_sqlite_run(statement));
    return changed_any(positions);
}
