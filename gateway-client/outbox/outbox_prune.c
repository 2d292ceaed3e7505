/* Retention: takes out of the outbox, a slice at a time, what every watcher has had for long enough. */
#include "gateway-client/outbox/outbox_internal.h"

#include "common/clock.h"

enum { PRUNE_RANGES_MAX = 256, PRUNE_SOURCES_MAX = 256 };

struct prune_range {
    uint64_t first, last;
};

/* What a slice found: events that may go, as ranges between those that are held. */
struct prune_slice {
    struct prune_range ranges[PRUNE_RANGES_MAX];
    size_t ranges_count;
    bool in_range;
    bool more; /* it ended because it was long enough, not because there was no more */
};

/* False: no range is left for it. */
static bool slice_add(struct prune_slice *slice, uint64_t sequence)
{
    if (!slice->in_range) {
        if (slice->ranges_count == PRUNE_RANGES_MAX)
            return false;
        slice->ranges[slice->ranges_count++].first = sequence;
        slice->in_range = true;
    }
    slice->ranges[slice->ranges_count - 1].last = sequence;
    return true;
}

static int slice_find(struct outbox_writer *writer, struct prune_slice *slice, size_t limit,
                      int64_t before_ns)
{
    sqlite3_stmt *find = writer->statements[OUTBOX_PRUNE_FIND];
    size_t bytes = 0;

    for (size_t i = 0; i < limit && bytes < OUTBOX_PRUNE_BYTES_MAX; i++) {
        int answer = gw_sqlite_step(find);
        if (answer <= 0)
            return answer;
        uint64_t sequence = (uint64_t)sqlite3_column_int64(find, 0);
        bool held = sqlite3_column_int(find, 3) != 0;
        if (sqlite3_column_int64(find, 1) >= before_ns)
            return 0;
        if (held)
            slice->in_range = false;
        else if (!slice_add(slice, sequence))
            break;
        else
            bytes += (size_t)sqlite3_column_int64(find, 2);
        writer->prune_after = sequence;
    }
    slice->more = true;
    return 0;
}

static int slice_delete(struct outbox_writer *writer, const struct prune_slice *slice)
{
    sqlite3_stmt *prune = writer->statements[OUTBOX_PRUNE], *keep = writer->statements[OUTBOX_SEQUENCE_KEEP];

    for (size_t i = 0; i < slice->ranges_count; i++) {
        GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(prune, 1, (int64_t)slice->ranges[i].first)));
        GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(prune, 2, (int64_t)slice->ranges[i].last)));
        GW_TRY(gw_sqlite_run(prune));
    }
    if (slice->ranges_count == 0)
        return 0;
    /* When the last event has gone, its number must not be given again. */
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(keep, 1, (int64_t)writer->sequence)));
    return gw_sqlite_run(keep);
}

int outbox_prune(struct outbox_writer *writer, size_t limit)
{
    sqlite3_stmt *find = writer->statements[OUTBOX_PRUNE_FIND];
    struct prune_slice slice = {.more = false};
    bool need = writer->full || writer->fault != 0; /* room is worth more than history */
    int64_t before_ns = INT64_MAX, up_to = 0;

    if (!need)
        before_ns = writer->accepted_ns - writer->outbox->options.retention_ms * GW_NS_PER_MS;
    GW_TRY(gw_sqlite_integer(writer->statements[OUTBOX_CURSOR_MIN], INT64_MAX, &up_to));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(find, 1, (int64_t)writer->prune_after)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(find, 2, up_to)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(find, 3, (int64_t)limit)));
    int fault = slice_find(writer, &slice, limit, before_ns);
    sqlite3_reset(find);
    GW_TRY(fault);
    GW_TRY(slice_delete(writer, &slice));
    writer->prune_pending = slice.more;
    return 0;
}

static int sources_prune(struct outbox_writer *writer, int64_t first, int64_t last, int *ret_count)
{
    sqlite3_stmt *prune = writer->statements[OUTBOX_SOURCES_PRUNE];

    GW_TRY(outbox_transaction_begin(writer));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(prune, 1, first)));
    GW_TRY(gw_sqlite_fault(sqlite3_bind_int64(prune, 2, last)));
    GW_TRY(gw_sqlite_run(prune));
    *ret_count = sqlite3_changes(writer->database);
    return gw_sqlite_run(writer->statements[OUTBOX_COMMIT]);
}

bool outbox_prune_sources(struct outbox_writer *writer)
{
    sqlite3_stmt *after = writer->statements[OUTBOX_SOURCES_AFTER];
    int count = 0;
    int64_t last = 0, first = writer->sources_after;

    if (sqlite3_bind_int64(after, 1, first) != SQLITE_OK ||
        sqlite3_bind_int64(after, 2, PRUNE_SOURCES_MAX) != SQLITE_OK ||
        gw_sqlite_integer(after, 0, &last) < 0)
        return false;
    writer->sources_after = last; /* 0 at the end: from the start again */
    if (last == 0)
        return false;
    if (sources_prune(writer, first, last, &count) != 0) {
        outbox_transaction_undo(writer);
        return false;
    }
    return count > 0;
}
