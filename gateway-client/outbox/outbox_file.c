/* The file of the outbox: its directory and lock, its schema, and what happens when it is damaged. */
#include "gateway-client/outbox/outbox_internal.h"

#include "common/clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CHECK_ALWAYS_MAX = 32 << 20,   /* bytes that are checked at every start … */
    CHECK_UNCLEAN_MAX = 256 << 20, /* … and after an end that was not orderly */
    CACHE_KIB = 8192,
};

/* One entry for each version, from the one before it. accepted_ns stands in front of what is long, so that pruning reads
 * one page of a row. A NULL origin keeps events without a natural id out of the index that finds duplicates. */
static const char *const file_upgrades[OUTBOX_VERSION] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO meta(key, value) VALUES('last_sequence', 0);"
    "CREATE TABLE sources(number INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE);"
    "CREATE TABLE events(sequence INTEGER PRIMARY KEY, accepted_ns INTEGER NOT NULL, time_ns INTEGER NOT "
    "NULL,"
    " origin INTEGER, id TEXT, source TEXT, type TEXT, subject TEXT, data_content_type TEXT, data_schema "
    "TEXT,"
    " partition_key TEXT, gateway TEXT, event_source TEXT, kind TEXT, extensions BLOB, data BLOB);"
    "CREATE UNIQUE INDEX events_natural ON events(origin, id) WHERE origin IS NOT NULL;"
    "CREATE TABLE positions(source_key TEXT PRIMARY KEY, position BLOB) WITHOUT ROWID;"
    "CREATE TABLE cursors(watcher TEXT PRIMARY KEY, cursor INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE retries(watcher TEXT NOT NULL, sequence INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " first_attempt_ms INTEGER NOT NULL, next_attempt_ms INTEGER NOT NULL, reason TEXT,"
    " PRIMARY KEY(watcher, sequence)) WITHOUT ROWID;"
    "CREATE INDEX retries_sequence ON retries(sequence);"
    "CREATE TABLE dead_letters(number INTEGER PRIMARY KEY AUTOINCREMENT, watcher TEXT NOT NULL,"
    " sequence INTEGER NOT NULL, died_ms INTEGER NOT NULL, attempts INTEGER NOT NULL, status INTEGER NOT "
    "NULL,"
    " reason TEXT, UNIQUE(watcher, sequence));"
    "CREATE INDEX dead_letters_sequence ON dead_letters(sequence);",
};

/* ---- a connection ---- */

static int connection_prepare(sqlite3 *database, int busy_ms, bool no_fsync)
{
    char sql[160];
    int64_t page_size = 0;

    GW_TRY(gw_sqlite_fault(sqlite3_busy_timeout(database, busy_ms)));
    snprintf(sql, sizeof(sql),
             "PRAGMA synchronous = %s; PRAGMA cache_size = -%d; PRAGMA temp_store = MEMORY;",
             no_fsync ? "OFF" : "FULL", CACHE_KIB);
    GW_TRY(gw_sqlite_execute(database, sql));
    /* Checkpoints are the writer's, between transactions; the log shrinks to this when it starts again. */
    GW_TRY(
        gw_sqlite_execute(database, "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = 67108864;"));
    /* The first look at the file: a foreign or torn header is found here. */
    return gw_sqlite_query(database, "PRAGMA page_size", 0, &page_size);
}

int outbox_connect(sqlite3 **ret_database, const char *path, int busy_ms, bool no_fsync,
                   struct gw_reason *reason)
{
    sqlite3 *database = NULL;
    int fault =
        gw_sqlite_fault(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    if (fault == 0)
        fault = connection_prepare(database, busy_ms, no_fsync);
    if (fault != 0) {
        gw_reason_set(reason, "cannot open %s: %s", path,
                      database == NULL ? "no memory" : sqlite3_errmsg(database));
        sqlite3_close(database);
        return fault;
    }
    *ret_database = database;
    return 0;
}

/* ---- the directory ---- */

static int directory_make(const char *directory, struct gw_reason *reason)
{
    char path[4096];
    size_t size = strlen(directory);

    if (size == 0 || size >= sizeof(path))
        return GW_REFUSE(-EINVAL, reason, "state directory \"%s\": not a usable path", directory);
    memcpy(path, directory, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        char kept = path[i];
        path[i] = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            int fault = -errno;
            return GW_REFUSE(fault, reason, "cannot make the state directory %s: %s", path,
                             strerrordesc_np(-fault));
        }
        path[i] = kept;
    }
    return 0;
}

static int directory_sync(const char *directory)
{
    int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return GW_RAISE(-errno);
    int fault = fsync(descriptor) < 0 ? -errno : 0;
    close(descriptor);
    return fault == 0 ? 0 : GW_RAISE(fault);
}

static char *path_join(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static int lock_refuse(int descriptor, const char *directory, bool shared, struct gw_reason *reason)
{
    int fault = -errno;
    char pid[24] = "";

    if (fault != -EWOULDBLOCK)
        return GW_REFUSE(fault, reason, "cannot lock %s/" OUTBOX_LOCK_FILE ": %s", directory,
                         strerrordesc_np(-fault));
    ssize_t size = pread(descriptor, pid, sizeof(pid) - 1, 0);
    pid[size > 0 ? (size_t)size : 0] = '\0';
    pid[strcspn(pid, "\n")] = '\0';
    return GW_REFUSE(fault, reason, "another gateway-client (pid %s) uses %s%s",
                     pid[0] == '\0' ? "unknown" : pid, directory,
                     shared ? " without sharing it: all of them need --leader-elect" : "");
}

/* The lock is the flock, not the file: it goes with the process, whatever becomes of it. Those that elect a leader among
 * themselves share it, and keep out others. */
static int lock_take(const char *directory, bool shared, int *ret_descriptor, struct gw_reason *reason)
{
    GW_AUTO(gw_freep) char *path = path_join(directory, OUTBOX_LOCK_FILE);
    if (path == NULL)
        return GW_RAISE(-ENOMEM);

    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        int fault = -errno;
        return GW_REFUSE(fault, reason, "cannot open %s: %s", path, strerrordesc_np(-fault));
    }
    if (flock(descriptor, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
        int fault = lock_refuse(descriptor, directory, shared, reason);
        close(descriptor);
        return fault;
    }
    /* For the words of the next one only: without a number it says "unknown". */
    if (ftruncate(descriptor, 0) == 0 && dprintf(descriptor, "%ld\n", (long)getpid()) < 0)
        gw_reason_set(reason, "cannot write %s", path);
    *ret_descriptor = descriptor;
    return 0;
}

int outbox_lock_alone(const char *directory, int *ret_descriptor, struct gw_reason *reason)
{
    return lock_take(directory, false, ret_descriptor, reason);
}

/* A file that another process has open is not put aside: what that one wrote into it would be lost with it. */
static int lock_make_alone(int descriptor, bool shared, struct gw_reason *reason)
{
    if (!shared || flock(descriptor, LOCK_EX | LOCK_NB) == 0)
        return 0;
    struct gw_reason damage = reason != NULL ? *reason : (struct gw_reason){""};
    return GW_REFUSE(-EBUSY, reason,
                     "%s; another gateway-client still has it open, so it is not put aside yet", damage.text);
}

static int lock_share(int descriptor, bool shared, struct gw_reason *reason)
{
    if (!shared || flock(descriptor, LOCK_SH | LOCK_NB) == 0)
        return 0;
    return GW_REFUSE(-EBUSY, reason, "cannot share " OUTBOX_LOCK_FILE ": another process took it meanwhile");
}

/* ---- soundness ---- */

static bool file_exists(const char *directory, const char *name, off_t *ret_size)
{
    char path[4096];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    bool there = stat(path, &status) == 0;
    *ret_size = there ? status.st_size : 0;
    return there;
}

/* quick_check reports a page that could not be read like a page that is wrong: a sick disk must not look like a sick file. */
static bool check_is_disk(const char *finding)
{
    const char *code = strstr(finding, "error code=");
    return code != NULL && (atoi(code + strlen("error code=")) & 0xff) != SQLITE_CORRUPT;
}

static int check_pages(sqlite3 *database, struct gw_reason *reason)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement, "PRAGMA quick_check(1)"));
    int answer = gw_sqlite_step(statement);
    if (answer < 0)
        return answer;
    const char *finding = answer == GW_SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (finding == NULL)
        return GW_RAISE(-ENOMEM);
    if (strcmp(finding, "ok") == 0)
        return 0;
    return GW_REFUSE(check_is_disk(finding) ? -EIO : -EBADMSG, reason, "%s", finding);
}

/* Newest row and oldest row: cheap, and they touch both ends of the biggest table. */
static int check_ends(sqlite3 *database)
{
    int64_t value = 0;
    GW_TRY(
        gw_sqlite_query(database, "SELECT length(id) FROM events ORDER BY sequence DESC LIMIT 1", 0, &value));
    GW_TRY(gw_sqlite_query(database, "SELECT length(id) FROM events ORDER BY sequence LIMIT 1", 0, &value));
    return gw_sqlite_query(database, "SELECT value FROM meta WHERE key = 'last_sequence'", 0, &value);
}

static int check_file(sqlite3 *database, bool unclean, bool suspect, off_t size, struct gw_reason *reason)
{
    if (suspect || size <= CHECK_ALWAYS_MAX || (unclean && size <= CHECK_UNCLEAN_MAX))
        GW_TRY(check_pages(database, reason));
    return check_ends(database);
}

/* ---- schema ---- */

/* An empty database becomes ours; one that is somebody else's is not sound. */
static int schema_version(sqlite3 *database, int64_t *ret_version, struct gw_reason *reason)
{
    int64_t application = 0, version = 0, tables = 0;

    GW_TRY(gw_sqlite_query(database, "PRAGMA application_id", 0, &application));
    GW_TRY(gw_sqlite_query(database, "PRAGMA user_version", 0, &version));
    GW_TRY(gw_sqlite_query(database, "SELECT count(*) FROM sqlite_schema", 0, &tables));
    if (tables > 0 && application != OUTBOX_APPLICATION_ID)
        return GW_REFUSE(-EBADMSG, reason, "a database of another program");
    if (version > OUTBOX_VERSION)
        return GW_REFUSE(-EPROTONOSUPPORT, reason,
                         "written by a newer gateway-client (version %d of the file, known is %d)",
                         (int)version, OUTBOX_VERSION);
    if (version < 0 || (tables > 0 && version == 0))
        return GW_REFUSE(-EBADMSG, reason, "no version of an outbox");
    *ret_version = version;
    return 0;
}

static int schema_step(sqlite3 *database, int64_t version, uint64_t epoch, struct gw_reason *reason)
{
    char mark[96];

    if (version > 0) /* before that there is nothing that could be somebody else's */
        GW_TRY(outbox_epoch_allow(database, epoch, reason));
    snprintf(mark, sizeof(mark), "PRAGMA application_id = %d; PRAGMA user_version = %d;",
             OUTBOX_APPLICATION_ID, (int)version + 1);
    GW_TRY(gw_sqlite_execute(database, file_upgrades[version]));
    return gw_sqlite_execute(database, mark);
}

static int schema_steps(sqlite3 *database, uint64_t epoch, struct gw_reason *reason)
{
    int64_t version = 0;

    GW_TRY(schema_version(database, &version, reason));
    for (; version < OUTBOX_VERSION; version++)
        GW_TRY(schema_step(database, version, epoch, reason));
    return gw_sqlite_execute(database, "COMMIT");
}

/* One transaction, because another process may be about to do the same. */
static int schema_upgrade(sqlite3 *database, uint64_t epoch, struct gw_reason *reason)
{
    GW_TRY(gw_sqlite_execute(database, "BEGIN IMMEDIATE"));
    int fault = schema_steps(database, epoch, reason);
    if (fault != 0 && !sqlite3_get_autocommit(database))
        sqlite3_exec(database, "ROLLBACK", NULL, NULL, NULL);
    return fault;
}

static int journal_set(sqlite3 *database, struct gw_reason *reason)
{
    GW_AUTO(gw_sqlite_finalizep) sqlite3_stmt *statement = NULL;

    GW_TRY(gw_sqlite_prepare(database, &statement, "PRAGMA journal_mode = WAL"));
    int answer = gw_sqlite_step(statement);
    if (answer < 0)
        return answer;
    const char *mode = answer == GW_SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    if (mode == NULL || strcmp(mode, "wal") != 0)
        return GW_REFUSE(-EIO, reason, "the file system cannot keep a write-ahead log (shared memory)");
    return 0;
}

/* ---- opening ---- */

static int file_create(const char *directory, const char *path, struct gw_reason *reason)
{
    /* SQLite gives its log the mode of the file, so the mode is settled before SQLite sees it. */
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        int fault = -errno;
        return GW_REFUSE(fault, reason, "cannot open %s: %s", path, strerrordesc_np(-fault));
    }
    close(descriptor);
    int fault = directory_sync(directory);
    if (fault != 0)
        return GW_REFUSE(fault, reason, "cannot sync %s: %s", directory, strerrordesc_np(-fault));
    return 0;
}

static int file_check(sqlite3 *database, const struct gwc_outbox_options *options, bool unclean,
                      struct gw_reason *reason)
{
    off_t size = 0, none = 0;
    bool suspect = file_exists(options->directory, OUTBOX_SUSPECT_FILE, &none);

    file_exists(options->directory, OUTBOX_FILE, &size);
    GW_TRY(schema_upgrade(database, options->epoch, reason));
    GW_TRY(journal_set(database, reason));
    GW_TRY(check_file(database, unclean, suspect, size, reason));
    GW_TRY(outbox_epoch_claim(database, options->epoch, reason));
    return gw_sqlite_fault(sqlite3_busy_timeout(database, OUTBOX_BUSY_MS));
}

/* -EBADMSG: not a sound outbox. */
static int file_try(const struct gwc_outbox_options *options, const char *path, sqlite3 **ret_database,
                    struct gw_reason *reason)
{
    sqlite3 *database = NULL;
    off_t log_size = 0;
    bool unclean = file_exists(options->directory, OUTBOX_FILE "-wal", &log_size) && log_size > 0;

    GW_TRY(outbox_connect(&database, path, options->epoch > 0 ? OUTBOX_BUSY_SHORT_MS : OUTBOX_BUSY_MS,
                          options->no_fsync, reason));
    gw_reason_set(reason, "%s", "");
    int fault = file_check(database, options, unclean, reason);
    if (fault != 0) {
        struct gw_reason why = {0};
        gw_reason_set(&why, "%s",
                      reason != NULL && reason->text[0] != '\0' ? reason->text : sqlite3_errmsg(database));
        gw_reason_set(reason, "cannot use %s: %s", path, why.text);
        sqlite3_close(database);
        return fault;
    }
    *ret_database = database;
    return 0;
}

static int rename_beside(const char *path, const char *suffix, const char *aside)
{
    char from[4096], to[4096];

    snprintf(from, sizeof(from), "%s%s", path, suffix);
    snprintf(to, sizeof(to), "%s%s", aside, suffix);
    if (rename(from, to) < 0 && errno != ENOENT)
        return GW_RAISE(-errno);
    return 0;
}

/* The log goes first: a file whose log was left behind would take up the log of the damaged one. */
static int file_set_aside(const char *directory, const char *path, char **ret_aside)
{
    char time[GW_TIME_MAX];
    GW_AUTO(gw_freep) char *aside = NULL;

    gw_time_format(time, gw_clock_realtime_ns(), 3);
    if (asprintf(&aside, "%s.corrupt-%s", path, time) < 0) {
        aside = NULL;
        return GW_RAISE(-ENOMEM);
    }
    GW_TRY(rename_beside(path, "-wal", aside));
    GW_TRY(rename_beside(path, "-shm", aside));
    GW_TRY(rename_beside(path, "", aside));
    GW_TRY(directory_sync(directory));
    *ret_aside = GW_TAKE(aside);
    return 0;
}

static void suspect_clear(const char *directory)
{
    GW_AUTO(gw_freep) char *path = path_join(directory, OUTBOX_SUSPECT_FILE);
    if (path != NULL)
        unlink(path);
}

void outbox_file_suspect(const char *path)
{
    GW_AUTO(gw_freep) char *mark = NULL;
    size_t directory = strlen(path) - strlen(OUTBOX_FILE);

    if (asprintf(&mark, "%.*s" OUTBOX_SUSPECT_FILE, (int)directory, path) < 0) {
        mark = NULL;
        return;
    }
    int descriptor = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor >= 0)
        close(descriptor);
}

static void file_is_busy(const char *path, struct gw_reason *reason)
{
    gw_reason_set(reason, "%s is being written by another process, or by one that was stopped while it wrote",
                  path);
}

static int file_open_locked(const struct gwc_outbox_options *options, const char *path, int lock,
                            sqlite3 **ret_database, char **ret_set_aside, struct gw_reason *reason)
{
    GW_AUTO(gw_freep) char *aside = NULL;

    GW_TRY(file_create(options->directory, path, reason));
    int fault = file_try(options, path, ret_database, reason);
    if (fault == -EBADMSG) {
        GW_TRY(lock_make_alone(lock, options->epoch > 0, reason));
        GW_TRY(file_set_aside(options->directory, path, &aside));
        GW_TRY(file_create(options->directory, path, reason));
        fault = file_try(options, path, ret_database, reason);
    }
    if (fault == -EBUSY)
        file_is_busy(path, reason);
    GW_TRY(fault);
    GW_TRY(lock_share(lock, options->epoch > 0, reason));
    suspect_clear(options->directory);
    *ret_set_aside = GW_TAKE(aside);
    return 0;
}

int outbox_file_open(const struct gwc_outbox_options *options, int *ret_lock, char **ret_path,
                     sqlite3 **ret_database, char **ret_set_aside, struct gw_reason *reason)
{
    GW_AUTO(gw_freep) char *path = path_join(options->directory, OUTBOX_FILE);
    int descriptor = -1;

    if (path == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(directory_make(options->directory, reason));
    GW_TRY(lock_take(options->directory, options->epoch > 0, &descriptor, reason));
    int fault = file_open_locked(options, path, descriptor, ret_database, ret_set_aside, reason);
    if (fault != 0) {
        close(descriptor);
        return fault;
    }
    *ret_lock = descriptor;
    *ret_path = GW_TAKE(path);
    return 0;
}
