/* Ledger: what a source has told and not had acknowledged yet, and what its snapshot may learn only then. Pure.
 *
 * Each entry waits for a sequence: an event for its own, a silent change for that of the event before it. */
#ifndef RESOURCE_LEDGER_H
#define RESOURCE_LEDGER_H

#include "common/kube_known.h"
#include "gateway-servers/resource/position.h"

/* A line of the snapshot: an object came, or changed in what is marked, or left. Owned texts, in one block. */
struct ledger_row {
    struct ledger_row *next;
    struct gw_kube_id id;
    uint64_t mark;
    bool inside;
};
struct ledger_row *ledger_row_new(const struct gw_kube_id *id, uint64_t mark,
                                  bool inside); /* NULL: no memory */

/* Rows in the order in which they are to be applied. */
struct ledger_rows {
    struct ledger_row *first, **last; /* last: NULL when there are none */
    size_t count;
};
void ledger_rows_add(struct ledger_rows *rows, struct ledger_row *row);
void ledger_rows_done(struct ledger_rows *rows);

struct ledger;

int ledger_open(struct ledger **ret_ledger) GW_MUST_CHECK;
struct ledger *ledger_close(struct ledger *ledger);
GW_DEFINE_CLEANUP(struct ledger *, ledger_close)

/* An event of `bytes` was told as `sequence`. With a version, the source has then been told all up to it in its namespace
 * `place`; NULL: it came in no order. */
int ledger_tell(struct ledger *ledger, uint64_t sequence, size_t bytes, size_t place,
                const char *version) GW_MUST_CHECK;
/* A row is taken over; also when there is no memory for it. */
int ledger_note(struct ledger *ledger, uint64_t sequence, struct ledger_row *row) GW_MUST_CHECK;

/* All up to `sequence` is acknowledged. Their rows go to `rows`; for their versions `reached` is called. */
void ledger_acknowledge(struct ledger *ledger, uint64_t sequence, struct ledger_rows *rows,
                        void (*reached)(void *user, size_t place, const char *version), void *user);

bool ledger_is_empty(const struct ledger *ledger);
size_t ledger_bytes(const struct ledger *ledger); /* of the events that wait */
size_t ledger_count(const struct ledger *ledger); /* entries that wait */

#endif
