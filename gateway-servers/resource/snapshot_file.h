/* The file of the snapshots: SQLite behind one door. Blocks; one thread at a time. */
#ifndef RESOURCE_SNAPSHOT_FILE_H
#define RESOURCE_SNAPSHOT_FILE_H

#include "common/fault.h"
#include "gateway-servers/resource/ledger.h"

struct snapshot_file;

/* DIRECTORY/resource.db. -EBUSY with words: another process has it. A damaged file is put aside as resource.db.damaged, with words
 * and without fault. */
int snapshot_file_open(struct snapshot_file **ret_file, const char *directory,
                       struct gw_reason *reason) GW_MUST_CHECK;
struct snapshot_file *snapshot_file_close(struct snapshot_file *file);
GW_DEFINE_CLEANUP(struct snapshot_file *, snapshot_file_close)

/* The number of the source of this key, made when there is none, and what is kept of it. Without a position, or with other
 * settings than before, nothing is. */
int snapshot_file_load(struct snapshot_file *file, const char *key, const char *settings, int64_t *ret_number,
                       struct gw_bytes *ret_position, struct ledger_rows *ret_rows) GW_MUST_CHECK;
/* All of it, or with a fault nothing. An empty position leaves the old one. */
int snapshot_file_save(struct snapshot_file *file, int64_t number, const char *position,
                       const struct ledger_rows *rows) GW_MUST_CHECK;
int snapshot_file_forget(struct snapshot_file *file, int64_t number) GW_MUST_CHECK;

#endif
