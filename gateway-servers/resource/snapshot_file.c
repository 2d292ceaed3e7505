/* The file of the snapshots. A mark is stored as SQLite has integers: the same 64 bits, signed. */
#include "gateway-servers/resource/snapshot_file.h"

#include "common/sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUSY_MS = 3000, CACHE_KIB = 2048 };

#define FILE_NAME "resource.db"

enum statement {
    FIND,
    ADD,
    CHANGE,
    POSITION,
    FORGET,
    PUT,
    REMOVE,
    CLEAR,
    ROWS,
    STATEMENTS,
};

static const char *const statement_texts[STATEMENTS] = {
    [FIND] = "SELECT number, settings, position FROM sources WHERE key = ?1",
    [ADD] = "INSERT INTO sources(key, settings, position) VALUES(?1, ?2, '')",
    [CHANGE] = "UPDATE sources SET settings = ?2, position = '' WHERE number = ?1",
    [POSITION] = "UPDATE sources SET position = ?2 WHERE number = ?1",
    [FORGET] = "DELETE FROM sources WHERE number = ?1",
    [PUT] = "INSERT OR REPLACE INTO objects(source, namespace, name, uid, version, mark) VALUES(?1, ?2, ?3, "
            "?4, ?5, ?6)",
    [REMOVE] = "DELETE FROM objects WHERE source = ?1 AND namespace = ?2 AND name = ?3 AND uid = ?4",
    [CLEAR] = "DELETE FROM objects WHERE source = ?1",
    [ROWS] = "SELECT namespace, name, uid, version, mark FROM objects WHERE source = ?1",
};

struct snapshot_file {
    sqlite3 *database;
    sqlite3_stmt *statements[STATEMENTS];
};

/* ---- statements ---- */

static sqlite3_stmt *file_statement(struct snapshot_file *file, enum statement which, int64_t number)
{
    sqlite3_stmt *statement = file->statements[which];

    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (number > 0)
        sqlite3_bind_int64(statement, 1, number);
    return statement;
}

/* `text` stays until the statement ran. */
static void bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

static const char *column_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text == NULL ? "" : text;
}

/* ---- opening ---- */

static int file_prepare(struct snapshot_file *file)
{
    /* WAL without fsync at each commit: after a crash of the machine it is whole, and a little older. */
    GW_TRY(gw_sqlite_execute(
        file->database,
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
        "BEGIN IMMEDIATE;"
        "CREATE TABLE IF NOT EXISTS sources(number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
        " settings TEXT NOT NULL, position TEXT NOT NULL);"
        "CREATE TABLE IF NOT EXISTS objects(source INTEGER NOT NULL, namespace TEXT NOT NULL,"
        " name TEXT NOT NULL, uid TEXT NOT NULL, version TEXT NOT NULL, mark INTEGER NOT NULL,"
        " PRIMARY KEY(source, namespace, name)) WITHOUT ROWID;"
        "COMMIT;"));
    for (size_t i = 0; i < STATEMENTS; i++)
        GW_TRY(gw_sqlite_prepare(file->database, &file->statements[i], statement_texts[i]));
    return 0;
}

static int file_try(struct snapshot_file **ret_file, const char *path)
{
    GW_AUTO(snapshot_file_closep) struct snapshot_file *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_sqlite_fault(
        sqlite3_open_v2(path, &file->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL)));
    sqlite3_busy_timeout(file->database, BUSY_MS);
    GW_TRY(file_prepare(file));
    *ret_file = GW_TAKE(file);
    return 0;
}

static int file_put_aside(const char *path, struct gw_reason *reason)
{
    static const char *const companions[] = {"-wal", "-shm"};
    char other[4096];

    for (size_t i = 0; i < GW_COUNT_OF(companions); i++) {
        snprintf(other, sizeof(other), "%s%s", path, companions[i]);
        unlink(other);
    }
    snprintf(other, sizeof(other), "%s.damaged", path);
    if (rename(path, other) < 0)
        return GW_RAISE(-errno);
    gw_reason_set(reason, "%s was damaged: it is %s now, and snapshots begin anew", path, other);
    return 0;
}

int snapshot_file_open(struct snapshot_file **ret_file, const char *directory, struct gw_reason *reason)
{
    char path[4096 - 16];

    snprintf(path, sizeof(path), "%s/" FILE_NAME, directory);
    int fault = file_try(ret_file, path);
    if (fault == -EBADMSG) {
        GW_TRY(file_put_aside(path, reason));
        fault = file_try(ret_file, path);
    }
    if (fault == -EBUSY)
        return GW_REFUSE(fault, reason, "%s is in use by another process: each needs a --state of its own",
                         path);
    if (fault < 0)
        return GW_REFUSE(fault, reason, "%s cannot be used: %s", path, strerrordesc_np(-fault));
    return 0;
}

struct snapshot_file *snapshot_file_close(struct snapshot_file *file)
{
    if (file == NULL)
        return NULL;
    for (size_t i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(file->statements[i]);
    sqlite3_close(file->database);
    free(file);
    return NULL;
}

/* ---- transactions ---- */

static int file_end(struct snapshot_file *file, int fault)
{
    if (fault == 0)
        fault = gw_sqlite_execute(file->database, "COMMIT");
    if (fault < 0)
        sqlite3_exec(file->database, "ROLLBACK", NULL, NULL, NULL);
    return fault;
}

/* ---- loading ---- */

static int load_rows(struct snapshot_file *file, int64_t number, struct ledger_rows *rows)
{
    sqlite3_stmt *statement = file_statement(file, ROWS, number);
    int code;

    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        const struct gw_kube_id id = {column_text(statement, 0), column_text(statement, 1),
                                      column_text(statement, 2), column_text(statement, 3)};
        struct ledger_row *row = ledger_row_new(&id, (uint64_t)sqlite3_column_int64(statement, 4), true);

        if (row == NULL) {
            sqlite3_reset(statement);
            return GW_RAISE(-ENOMEM);
        }
        ledger_rows_add(rows, row);
    }
    sqlite3_reset(statement);
    return gw_sqlite_fault(code);
}

static int load_new(struct snapshot_file *file, const char *key, const char *settings, int64_t *ret_number)
{
    sqlite3_stmt *statement = file_statement(file, ADD, 0);

    bind_text(statement, 1, key);
    bind_text(statement, 2, settings);
    GW_TRY(gw_sqlite_run(statement));
    *ret_number = sqlite3_last_insert_rowid(file->database);
    return 0;
}

/* What was kept of it is of no use. */
static int load_anew(struct snapshot_file *file, int64_t number, const char *settings)
{
    sqlite3_stmt *statement = file_statement(file, CHANGE, number);

    bind_text(statement, 2, settings);
    GW_TRY(gw_sqlite_run(statement));
    return gw_sqlite_run(file_statement(file, CLEAR, number));
}

static int load(struct snapshot_file *file, const char *key, const char *settings, int64_t *ret_number,
                struct gw_bytes *position, struct ledger_rows *rows)
{
    sqlite3_stmt *statement = file_statement(file, FIND, 0);

    bind_text(statement, 1, key);
    int code = sqlite3_step(statement);
    if (code != SQLITE_ROW) {
        sqlite3_reset(statement);
        GW_TRY(gw_sqlite_fault(code));
        return load_new(file, key, settings, ret_number);
    }
    *ret_number = sqlite3_column_int64(statement, 0);
    bool same = strcmp(column_text(statement, 1), settings) == 0;
    if (same)
        gw_bytes_append_text(position, column_text(statement, 2));
    sqlite3_reset(statement);
    if (position->size == 0)
        return load_anew(file, *ret_number, settings);
    return load_rows(file, *ret_number, rows);
}

int snapshot_file_load(struct snapshot_file *file, const char *key, const char *settings, int64_t *ret_number,
                       struct gw_bytes *ret_position, struct ledger_rows *ret_rows)
{
    GW_TRY(gw_sqlite_execute(file->database, "BEGIN IMMEDIATE"));
    int fault = file_end(file, load(file, key, settings, ret_number, ret_position, ret_rows));
    if (fault < 0)
        ledger_rows_done(ret_rows);
    return fault;
}

/* ---- saving ---- */

static int save_row(struct snapshot_file *file, int64_t number, const struct ledger_row *row)
{
    sqlite3_stmt *statement = file_statement(file, row->inside ? PUT : REMOVE, number);

    bind_text(statement, 2, row->id.namespace_);
    bind_text(statement, 3, row->id.name);
    bind_text(statement, 4, row->id.uid);
    if (row->inside) {
        bind_text(statement, 5, row->id.version);
        sqlite3_bind_int64(statement, 6, (int64_t)row->mark);
    }
    return gw_sqlite_run(statement);
}

static int save(struct snapshot_file *file, int64_t number, const char *position,
                const struct ledger_rows *rows)
{
    for (const struct ledger_row *row = rows->first; row != NULL; row = row->next)
        GW_TRY(save_row(file, number, row));
    if (position[0] == '\0')
        return 0;
    sqlite3_stmt *statement = file_statement(file, POSITION, number);
    bind_text(statement, 2, position);
    return gw_sqlite_run(statement);
}

int snapshot_file_save(struct snapshot_file *file, int64_t number, const char *position,
                       const struct ledger_rows *rows)
{
    GW_TRY(gw_sqlite_execute(file->database, "BEGIN IMMEDIATE"));
    return file_end(file, save(file, number, position, rows));
}

int snapshot_file_forget(struct snapshot_file *file, int64_t number)
{
    GW_TRY(gw_sqlite_execute(file->database, "BEGIN IMMEDIATE"));
    int fault = gw_sqlite_run(file_statement(file, CLEAR, number));
    if (fault == 0)
        fault = gw_sqlite_run(file_statement(file, FORGET, number));
    return file_end(file, fault);
}
