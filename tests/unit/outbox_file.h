/* The outbox's file, looked at beside whoever runs. */
#ifndef TEST_OUTBOX_FILE_H
#define TEST_OUTBOX_FILE_H

#include "common/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants these before itself */
#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>

static GW_UNUSED sqlite3 *file_open(const char *directory)
{
    sqlite3 *database = NULL;
    char path[128];

    snprintf(path, sizeof(path), "%s/outbox.db", directory);
    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(database, 10000);
    return database;
}

/* The first number of the answer. */
static GW_UNUSED int file_number(const char *directory, const char *sql)
{
    sqlite3 *database = file_open(directory);
    sqlite3_stmt *statement = NULL;

    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int number = sqlite3_column_int(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return number;
}

#endif
