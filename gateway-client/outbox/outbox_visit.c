/* A visit: the outbox opened by a command, beside a running client or without one. */
#include "gateway-client/outbox/outbox_internal.h"

#include <stdio.h>
#include <unistd.h>

static int visit_check(sqlite3 *database, const char *path, struct gw_reason *reason)
{
    int64_t application = 0, version = 0;

    GW_TRY(gw_sqlite_query(database, "PRAGMA application_id", 0, &application));
    GW_TRY(gw_sqlite_query(database, "PRAGMA user_version", 0, &version));
    if (application != OUTBOX_APPLICATION_ID || version < 1)
        return GW_REFUSE(-EBADMSG, reason, "%s is not an outbox", path);
    if (version != OUTBOX_VERSION)
        return GW_REFUSE(-EPROTONOSUPPORT, reason,
                         "%s has version %d, known is %d: use the gateway-client that runs on it", path,
                         (int)version, OUTBOX_VERSION);
    return 0;
}

int outbox_visit(const char *directory, sqlite3 **ret_database, struct gw_reason *reason)
{
    char path[4096];
    sqlite3 *database = NULL;

    int size = snprintf(path, sizeof(path), "%s/" OUTBOX_FILE, directory);
    if (size < 0 || (size_t)size >= sizeof(path))
        return GW_REFUSE(-ENAMETOOLONG, reason, "state directory: the path is too long");
    if (access(path, F_OK) < 0) {
        int fault = -errno;
        return GW_REFUSE(fault, reason, "there is no outbox in %s", directory);
    }
    GW_TRY(outbox_connect(&database, path, OUTBOX_BUSY_MS, false, reason));
    int fault = visit_check(database, path, reason);
    if (fault != 0) {
        sqlite3_close(database);
        return fault;
    }
    *ret_database = database;
    return 0;
}
