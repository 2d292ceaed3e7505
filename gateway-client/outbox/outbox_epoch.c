/* The epoch of the outbox: of several processes on one directory, the one that opened it last may write, and no other. */
#include "gateway-client/outbox/outbox_internal.h"

#include "common/clock.h"

#include <stdio.h>
#include <unistd.h>

#define EPOCH_SQL "SELECT value FROM meta WHERE key = 'epoch'"

/* ---- opening ---- */

static int epoch_write(sqlite3 *database, uint64_t epoch)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement,
                             "INSERT INTO meta(key, value) VALUES('epoch', ?1)"
                             " ON CONFLICT(key) DO UPDATE SET value = excluded.value"));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(statement, 1, (int64_t)epoch)));
    return gw_sqlite_run(statement);
}

int outbox_epoch_allow(sqlite3 *database, uint64_t epoch, struct gw_reason *reason)
{
    int64_t stored = 0;

    if (epoch == 0)
        return 0;
    GW_TRY(gw_sqlite_query(database, EPOCH_SQL, 0, &stored));
    /* Not even an equal one: each is for one process, and for one opening. */
    if (stored >= (int64_t)epoch)
        return GW_REFUSE(
            -ESTALE, reason,
            "it was opened with epoch %lld, and ours is %lld: another process leads, or another Lease "
            "is used for the same directory",
            (long long)stored, (long long)epoch);
    return 0;
}

/* From the commit on nobody with a smaller epoch writes: whoever is in the middle of a transaction holds this one up. */
int outbox_epoch_claim(sqlite3 *database, uint64_t epoch, struct gw_reason *reason)
{
    if (epoch == 0)
        return 0;
    GW_TRY(gw_sqlite_execute(database, "BEGIN IMMEDIATE"));
    int fault = outbox_epoch_allow(database, epoch, reason);
    if (fault == 0)
        fault = epoch_write(database, epoch);
    if (fault == 0)
        fault = gw_sqlite_execute(database, "COMMIT");
    if (fault != 0 && !sqlite3_get_autocommit(database))
        sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
    return fault;
}

/* ---- looking ---- */

static int epoch_read(sqlite3 *database, uint64_t *ret_epoch)
{
    int64_t version = 0, stored = 0;

    GW_TRY(gw_sqlite_query(database, "PRAGMA user_version", 0, &version));
    if (version > 0) /* else it is just being made */
        GW_TRY(gw_sqlite_query(database, EPOCH_SQL, 0, &stored));
    *ret_epoch = stored < 0 ? 0 : (uint64_t)stored;
    return 0;
}

int gwc_outbox_epoch(const char *directory, uint64_t *ret_epoch, struct gw_reason *reason)
{
    char path[4096];
    sqlite3 *database = NULL;

    int size = snprintf(path, sizeof(path), "%s/" OUTBOX_FILE, directory);
    if (size < 0 || (size_t)size >= sizeof(path))
        return GW_REFUSE(-ENAMETOOLONG, reason, "state directory: the path is too long");
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        *ret_epoch = 0;
        return 0;
    }
    GW_TRY(outbox_connect(&database, path, OUTBOX_BUSY_SHORT_MS, false, reason));
    /* Who opens it next copies the log into the file; a look has no time for that. */
    sqlite3_db_config(database, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    int fault = epoch_read(database, ret_epoch);
    if (fault != 0)
        gw_reason_set(reason, "cannot read %s: %s", path, sqlite3_errmsg(database));
    sqlite3_close(database);
    return fault;
}

/* ---- writing ---- */

int outbox_epoch_check(struct outbox_writer *writer)
{
    const struct gwc_outbox_options *options = &writer->outbox->options;
    int64_t stored = 0;

    if (options->epoch == 0)
        return 0;
    GW_TRY(gw_sqlite_integer(writer->statements[OUTBOX_EPOCH], 0, &stored));
    if (stored == (int64_t)options->epoch)
        return 0;
    writer->fenced_by = (uint64_t)stored;
    return GW_RAISE(-ESTALE);
}
