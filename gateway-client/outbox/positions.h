/* The registry of progress: the position of each event source, the cursor of each watcher, for the positions command. */
#ifndef GWC_POSITIONS_H
#define GWC_POSITIONS_H

#include "common/bytes.h"
#include "common/fault.h"

struct gwc_positions;

/* `change`: no gateway-client may run on the directory meanwhile; -EWOULDBLOCK with words when one does.
 * -ENOENT with words when there is no outbox in it. */
int gwc_positions_open(struct gwc_positions **ret_positions, const char *directory, bool change,
                       struct gw_reason *reason) GW_MUST_CHECK;
struct gwc_positions *gwc_positions_close(struct gwc_positions *positions);
GW_DEFINE_CLEANUP(struct gwc_positions *, gwc_positions_close)

/* Sorted by name; what is handed in is borrowed. A negative return of `each` ends the walk and is handed up. */
int gwc_positions_each_source(struct gwc_positions *positions,
                              int (*each)(void *user, const char *source, struct gw_view position),
                              void *user) GW_MUST_CHECK;
/* `pending`: events of the outbox behind the cursor. */
int gwc_positions_each_watcher(struct gwc_positions *positions,
                               int (*each)(void *user, const char *watcher, uint64_t cursor,
                                           uint64_t pending),
                               void *user) GW_MUST_CHECK;

/* Of several changes all or none take effect: nothing does before the commit. */
int gwc_positions_begin(struct gwc_positions *positions) GW_MUST_CHECK;
int gwc_positions_commit(struct gwc_positions *positions) GW_MUST_CHECK;

/* Where the event source goes on; it need not be known yet. An empty position: it begins anew.
 * Verdict GWC_POSITIONS_UNKNOWN: there was none to forget. */
enum { GWC_POSITIONS_UNKNOWN = 1 };
int gwc_positions_set(struct gwc_positions *positions, const char *source,
                      struct gw_view position) GW_MUST_CHECK;
/* The watcher gets everything behind `cursor` that the outbox still keeps, also what it had before. Verdict
 * GWC_POSITIONS_UNKNOWN: there is no such watcher. -ERANGE: there is no such event yet. */
int gwc_positions_set_cursor(struct gwc_positions *positions, const char *watcher,
                             uint64_t cursor) GW_MUST_CHECK;

#endif
