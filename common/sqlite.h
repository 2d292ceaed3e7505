/* SQLite's statements and answers, told as everything else here is: 0 or a negative errno. Threads: as the database's. */
#ifndef GW_SQLITE_H
#define GW_SQLITE_H

#include "common/fault.h"

#include <sqlite3.h>

/* What a code of SQLite is as a fault of ours; 0 for OK, ROW and DONE. */
int gw_sqlite_fault(int code);
/* Steps. GW_SQLITE_ROW: a row is there; 0: the end (the statement is reset then, and after a fault). */
enum { GW_SQLITE_ROW = 1 };
int gw_sqlite_step(sqlite3_stmt *statement) GW_MUST_CHECK;
/* Runs a statement that gives no row that matters, and resets it. */
int gw_sqlite_run(sqlite3_stmt *statement) GW_MUST_CHECK;
int gw_sqlite_execute(sqlite3 *database, const char *sql) GW_MUST_CHECK;
int gw_sqlite_prepare(sqlite3 *database, sqlite3_stmt **ret_statement, const char *sql) GW_MUST_CHECK;
/* The one integer that a statement gives; `missing` when it gives no row or NULL. */
int gw_sqlite_integer(sqlite3_stmt *statement, int64_t missing, int64_t *ret_value) GW_MUST_CHECK;
int gw_sqlite_query(sqlite3 *database, const char *sql, int64_t missing, int64_t *ret_value) GW_MUST_CHECK;
void gw_sqlite_finalizep(sqlite3_stmt **statement);

#endif
