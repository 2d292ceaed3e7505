/* Snapshot: what each source knew when it had been told, and had had acknowledged, all up to a position; in DIRECTORY/resource.db
 * (SQLite, by a thread of its own). It may lag behind, but never knows more than was acknowledged.
 *
 * A batch of rows and the position that they lead to are one transaction. When one cannot be written, that source's snapshot
 * stays as it is, whole and older, until the source starts again. Loop thread only. */
#ifndef RESOURCE_SNAPSHOT_H
#define RESOURCE_SNAPSHOT_H

#include "common/fault.h"
#include "common/loop.h"
#include "gateway-servers/resource/ledger.h"

struct snapshots;

/* -EBUSY: another process has it open; -EBADMSG: it is damaged, and was put aside with the end ".damaged" for a new one to begin
 * (with words, and no fault). */
int snapshots_open(struct snapshots **ret_snapshots, struct gw_loop *loop, const char *directory,
                   struct gw_reason *reason) GW_MUST_CHECK;
/* Writes what it was given, then ends. All sources are closed. The last answers are the loop's to run, at the latest when it
 * closes: they free what they answer. */
struct snapshots *snapshots_close(struct snapshots *snapshots);
GW_DEFINE_CLEANUP(struct snapshots *, snapshots_close)

/* What was kept of a source; borrowed during the call. */
struct snapshot {
    const char *position; /* "": nothing was kept */
    const struct ledger_row *rows;
    size_t count;
};

/* One source's part of the file. Owned by the caller; `done` is called once, from the loop, unless it was closed before. A snapshot
 * that was made with other `settings` is forgotten. */
struct snapshot_source;
int snapshot_load(struct snapshot_source **ret_source, struct snapshots *snapshots, const char *key,
                  const char *settings, void (*done)(void *user, const struct snapshot *snapshot),
                  void *user) GW_MUST_CHECK;
/* The rows are taken over. An empty position leaves the old one. `failed` words are logged. */
int snapshot_save(struct snapshot_source *source, const char *position,
                  struct ledger_rows *rows) GW_MUST_CHECK;
size_t snapshot_behind(const struct snapshot_source *source); /* saves that are not written yet */
/* What was saved is written all the same; `forget`: the source is withdrawn, and so is all that is kept of it. */
struct snapshot_source *snapshot_close(struct snapshot_source *source, bool forget);

#endif
