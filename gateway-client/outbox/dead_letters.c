/* Dead letters from outside: lists, puts back and drops them, beside a running client or without one. */
#include "gateway-client/outbox/outbox_internal.h"

#include "common/clock.h"

#include <stdlib.h>
#include <string.h>

struct gwc_dead_letters {
    sqlite3 *database;
};

#define LETTERS_WHERE " WHERE (?1 IS NULL OR d.watcher = ?1) AND (?2 = 0 OR d.number = ?2)"

int gwc_dead_letters_open(struct gwc_dead_letters **ret_letters, const char *directory,
                          struct gw_reason *reason)
{
    sqlite3 *database = NULL;

    GW_TRY(outbox_visit(directory, &database, reason));
    struct gwc_dead_letters *letters = malloc(sizeof(*letters));
    if (letters == NULL) {
        sqlite3_close(database);
        return GW_RAISE(-ENOMEM);
    }
    letters->database = database;
    *ret_letters = letters;
    return 0;
}

struct gwc_dead_letters *gwc_dead_letters_close(struct gwc_dead_letters *letters)
{
    if (letters == NULL)
        return NULL;
    sqlite3_close(letters->database);
    free(letters);
    return NULL;
}

static int letters_bind(sqlite3_stmt *statement, const char *watcher, int64_t number)
{
    if (watcher != NULL)
        GW_TRY(gw_sqlite_fault(sqlite3_bind_text(statement, 1, watcher, -1, SQLITE_STATIC)));
    return gw_sqlite_fault(sqlite3_bind_int64(statement, 2, number));
}

/* A letter that owns what it shows. */
struct letter_copy {
    struct gwc_dead_letter letter;
    struct gw_event *event;
    char *watcher, *reason;
};

static void letter_copy_done(struct letter_copy *copy)
{
    gw_event_unref(copy->event);
    free(copy->watcher);
    free(copy->reason);
}

static int text_copy(sqlite3_stmt *statement, int column, char **ret_text)
{
    struct gw_view text = outbox_column_view(statement, column);
    *ret_text = strndup(text.data == NULL ? "" : text.data, text.size);
    return *ret_text == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int letter_copy(struct letter_copy *copy, sqlite3_stmt *statement, struct outbox_row *row)
{
    enum { NUMBER = OUTBOX_EVENT_COLUMNS_COUNT, WATCHER, DIED, ATTEMPTS, STATUS, REASON };

    GW_TRY(outbox_row_read(row, statement, 0));
    GW_TRY(outbox_row_event(row, &copy->event));
    GW_TRY(text_copy(statement, WATCHER, &copy->watcher));
    GW_TRY(text_copy(statement, REASON, &copy->reason));
    copy->letter = (struct gwc_dead_letter){
        .number = sqlite3_column_int64(statement, NUMBER),
        .watcher = copy->watcher,
        .sequence = row->sequence,
        .died_ms = sqlite3_column_int64(statement, DIED),
        .attempts = (unsigned)sqlite3_column_int64(statement, ATTEMPTS),
        .status = sqlite3_column_int(statement, STATUS),
        .reason = copy->reason,
        .event = &copy->event->fields,
    };
    return 0;
}

/* One letter, the next after *number; *number is then its own, or 0 when there is none. It is copied, and the statement ended
 * before it is told: a pager that a person leaves open must not hold the log of the running client. */
static int letters_next(sqlite3_stmt *statement, int64_t *number, struct outbox_row *row,
                        int (*each)(void *user, const struct gwc_dead_letter *letter), void *user)
{
    GW_AUTO(letter_copy_done) struct letter_copy copy = {0};

    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 3, *number)));
    int answer = gw_sqlite_step(statement);
    *number = 0;
    if (answer <= 0)
        return answer;
    int fault = letter_copy(&copy, statement, row);
    sqlite3_reset(statement);
    GW_TRY(fault);
    *number = copy.letter.number;
    answer = each(user, &copy.letter);
    return answer < 0 ? answer : 0;
}

int gwc_dead_letters_each(struct gwc_dead_letters *letters, const char *watcher, int64_t number,
                          int (*each)(void *user, const struct gwc_dead_letter *letter), void *user)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;
    GW_AUTO(outbox_row_done) struct outbox_row row = {0};
    int64_t at = 0;

    GW_TRY(gw_sqlite_prepare(letters->database, &statement,
                             "SELECT " OUTBOX_EVENT_COLUMNS
                             ", d.number, d.watcher, d.died_ms, d.attempts, d.status, d.reason"
                             " FROM dead_letters d JOIN events e USING(sequence)" LETTERS_WHERE
                             " AND d.number > ?3 ORDER BY d.number LIMIT 1"));
    GW_TRY(letters_bind(statement, watcher, number));
    do
        GW_TRY(letters_next(statement, &at, &row, each, user));
    while (at != 0);
    return 0;
}

static int letters_replay(sqlite3 *database, const char *watcher, int64_t number)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    /* A new life: attempts and deadline begin again. A watcher that is gone would never ask for it. */
    GW_TRY(gw_sqlite_prepare(
        database, &statement,
        "INSERT OR REPLACE INTO retries(watcher, sequence, attempts, first_attempt_ms, next_attempt_ms,"
        " reason) SELECT d.watcher, d.sequence, 0, ?3, ?3, d.reason FROM dead_letters d" LETTERS_WHERE
        " AND d.watcher IN (SELECT watcher FROM cursors)"));
    GW_TRY(letters_bind(statement, watcher, number));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 3, gw_clock_realtime_ms())));
    return gw_sqlite_run(statement);
}

static int letters_delete(sqlite3 *database, const char *watcher, int64_t number, bool known_only,
                          size_t *ret_count)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement,
                             "DELETE FROM dead_letters AS d" LETTERS_WHERE
                             " AND (NOT ?3 OR d.watcher IN (SELECT watcher FROM cursors))"));
    GW_TRY(letters_bind(statement, watcher, number));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int(statement, 3, known_only)));
    GW_TRY(gw_sqlite_run(statement));
    *ret_count = (size_t)sqlite3_changes(database);
    return 0;
}

static int letters_end(struct gwc_dead_letters *letters, const char *watcher, int64_t number, bool replay,
                       size_t *ret_count)
{
    sqlite3 *database = letters->database;
    size_t count = 0;

    GW_TRY(gw_sqlite_execute(database, "BEGIN IMMEDIATE"));
    int fault = replay ? letters_replay(database, watcher, number) : 0;
    if (fault == 0)
        fault = letters_delete(database, watcher, number, replay, &count);
    if (fault == 0)
        fault = gw_sqlite_execute(database, "COMMIT");
    if (fault != 0) {
        if (!sqlite3_get_autocommit(database))
            sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
        return fault;
    }
    *ret_count = count;
    return 0;
}

int gwc_dead_letters_replay(struct gwc_dead_letters *letters, const char *watcher, int64_t number,
                            size_t *ret_count)
{
    return letters_end(letters, watcher, number, true, ret_count);
}

int gwc_dead_letters_drop(struct gwc_dead_letters *letters, const char *watcher, int64_t number,
                          size_t *ret_count)
{
    return letters_end(letters, watcher, number, false, ret_count);
}
