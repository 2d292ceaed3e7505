/* Agenda: what is due next, among many. A binary heap; the entries are embedded in their owners. One thread. */
#ifndef CALENDAR_AGENDA_H
#define CALENDAR_AGENDA_H

#include "common/fault.h"

/* Zero-initialised: not in an agenda. */
struct agenda_entry {
    int64_t due_ns;
    size_t place; /* the agenda's: index + 1; 0: not in it */
};

/* Zero-initialised is empty. */
struct agenda {
    struct agenda_entry **entries;
    size_t count, capacity;
};

/* Room for this many entries: puts up to there cannot fail. */
int agenda_reserve(struct agenda *agenda, size_t count) GW_MUST_CHECK;
/* Puts the entry in, or to its new place when it is in already. */
void agenda_put(struct agenda *agenda, struct agenda_entry *entry, int64_t due_ns);
void agenda_remove(struct agenda *agenda, struct agenda_entry *entry); /* not in it: nothing happens */
/* The entry that is due first, or NULL. Borrowed. */
struct agenda_entry *agenda_first(const struct agenda *agenda);
void agenda_done(struct agenda *agenda);

#endif
