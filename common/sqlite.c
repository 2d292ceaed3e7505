/* SQLite's statements and answers. */
#include "common/sqlite.h"

int gw_sqlite_fault(int code)
{
    switch (code & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return GW_RAISE(-ENOMEM);
    case SQLITE_FULL:
        return GW_RAISE(-ENOSPC);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL: /* who holds the log's locks was stopped, or died, within: SQLite has waited long for it */
        return GW_RAISE(-EBUSY);
    case SQLITE_READONLY:
        return GW_RAISE(-EROFS);
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
        return GW_RAISE(-EACCES);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return GW_RAISE(-EBADMSG);
    case SQLITE_TOOBIG:
        return GW_RAISE(-E2BIG);
    default:
        return GW_RAISE(-EIO);
    }
}

int gw_sqlite_step(sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW)
        return GW_SQLITE_ROW;
    sqlite3_reset(statement);
    return gw_sqlite_fault(code);
}

int gw_sqlite_run(sqlite3_stmt *statement)
{
    int answer = gw_sqlite_step(statement);
    if (answer < 0)
        return answer;
    sqlite3_reset(statement);
    return 0;
}

int gw_sqlite_execute(sqlite3 *database, const char *sql)
{
    return gw_sqlite_fault(sqlite3_exec(database, sql, NULL, NULL, NULL));
}

int gw_sqlite_prepare(sqlite3 *database, sqlite3_stmt **ret_statement, const char *sql)
{
    return gw_sqlite_fault(
        sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_statement, NULL));
}

void gw_sqlite_finalizep(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

int gw_sqlite_integer(sqlite3_stmt *statement, int64_t missing, int64_t *ret_value)
{
    int answer = gw_sqlite_step(statement);
    if (answer < 0)
        return answer;
    bool there = answer == GW_SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL;
    *ret_value = there ? sqlite3_column_int64(statement, 0) : missing;
    sqlite3_reset(statement);
    return 0;
}

int gw_sqlite_query(sqlite3 *database, const char *sql, int64_t missing, int64_t *ret_value)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement, sql));
    return gw_sqlite_integer(statement, missing, ret_value);
}
