/* Agenda: a binary heap. */
#include "gateway-servers/calendar/agenda.h"

#include <stdlib.h>

int agenda_reserve(struct agenda *agenda, size_t count)
{
    size_t capacity = GW_MAX(agenda->capacity * 2, (size_t)16);
    struct agenda_entry **entries;

    if (count <= agenda->capacity)
        return 0;
    capacity = GW_MAX(capacity, count);
    entries = realloc(agenda->entries, capacity * sizeof(struct agenda_entry *));
    if (entries == NULL)
        return GW_RAISE(-ENOMEM);
    agenda->entries = entries;
    agenda->capacity = capacity;
    return 0;
}

static void agenda_place(struct agenda *agenda, struct agenda_entry *entry, size_t at)
{
    agenda->entries[at] = entry;
    entry->place = at + 1;
}

static void agenda_rise(struct agenda *agenda, struct agenda_entry *entry, size_t at)
{
    while (at > 0 && agenda->entries[(at - 1) / 2]->due_ns > entry->due_ns) {
        agenda_place(agenda, agenda->entries[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    agenda_place(agenda, entry, at);
}

static void agenda_sink(struct agenda *agenda, struct agenda_entry *entry, size_t at)
{
    size_t child;

    while ((child = at * 2 + 1) < agenda->count) {
        if (child + 1 < agenda->count && agenda->entries[child + 1]->due_ns < agenda->entries[child]->due_ns)
            child++;
        if (agenda->entries[child]->due_ns >= entry->due_ns)
            break;
        agenda_place(agenda, agenda->entries[child], at);
        at = child;
    }
    agenda_place(agenda, entry, at);
}

static void agenda_settle(struct agenda *agenda, struct agenda_entry *entry, size_t at)
{
    agenda_rise(agenda, entry, at);
    agenda_sink(agenda, entry, entry->place - 1);
}

void agenda_put(struct agenda *agenda, struct agenda_entry *entry, int64_t due_ns)
{
    entry->due_ns = due_ns;
    if (entry->place == 0) {
        assert(agenda->count < agenda->capacity);
        agenda_place(agenda, entry, agenda->count++);
    }
    agenda_settle(agenda, entry, entry->place - 1);
}

void agenda_remove(struct agenda *agenda, struct agenda_entry *entry)
{
    struct agenda_entry *last;
    size_t at = entry->place - 1;

    if (entry->place == 0)
        return;
    entry->place = 0;
    last = agenda->entries[--agenda->count];
    if (last != entry)
        agenda_settle(agenda, last, at);
}

struct agenda_entry *agenda_first(const struct agenda *agenda)
{
    return agenda->count == 0 ? NULL : agenda->entries[0];
}

void agenda_done(struct agenda *agenda)
{
    free(agenda->entries);
    *agenda = (struct agenda){0};
}
