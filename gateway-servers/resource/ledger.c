/* Ledger: a queue of what waits for acknowledgements. */
#include "gateway-servers/resource/ledger.h"

#include <stdlib.h>

struct entry {
    uint64_t sequence;
    size_t bytes, place;
    struct ledger_row *row; /* NULL: an event */
    char version[24];       /* "": none. A 64-bit number fits; what does not is found again by a list */
};

struct ledger {
    struct entry *entries; /* a ring */
    size_t capacity, first, count;
    size_t bytes;
};

/* ---- rows ---- */

struct ledger_row *ledger_row_new(const struct gw_kube_id *id, uint64_t mark, bool inside)
{
    const char *texts[] = {id->namespace_, id->name, id->uid, id->version};
    size_t size = 0;

    for (size_t i = 0; i < GW_COUNT_OF(texts); i++)
        size += strlen(texts[i]) + 1;
    struct ledger_row *row = malloc(sizeof(*row) + size);
    if (row == NULL)
        return NULL;
    char *at = (char *)(row + 1);
    for (size_t i = 0; i < GW_COUNT_OF(texts); i++) {
        size = strlen(texts[i]) + 1;
        texts[i] = memcpy(at, texts[i], size);
        at += size;
    }
    *row =
        (struct ledger_row){.id = {texts[0], texts[1], texts[2], texts[3]}, .mark = mark, .inside = inside};
    return row;
}

void ledger_rows_add(struct ledger_rows *rows, struct ledger_row *row)
{
    row->next = NULL;
    *(rows->last == NULL ? &rows->first : rows->last) = row;
    rows->last = &row->next;
    rows->count++;
}

void ledger_rows_done(struct ledger_rows *rows)
{
    for (struct ledger_row *row = rows->first, *next; row != NULL; row = next) {
        next = row->next;
        free(row);
    }
    *rows = (struct ledger_rows){0};
}

/* ---- the ring ---- */

static struct entry *ledger_at(const struct ledger *ledger, size_t i)
{
    return &ledger->entries[(ledger->first + i) & (ledger->capacity - 1)];
}

static int ledger_grow(struct ledger *ledger)
{
    size_t capacity = GW_MAX(ledger->capacity * 2, (size_t)64);
    struct entry *entries = calloc(capacity, sizeof(*entries));

    if (entries == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < ledger->count; i++)
        entries[i] = *ledger_at(ledger, i);
    free(ledger->entries);
    ledger->entries = entries;
    ledger->capacity = capacity;
    ledger->first = 0;
    return 0;
}

static int ledger_add(struct ledger *ledger, const struct entry *entry)
{
    if (ledger->count == ledger->capacity)
        GW_TRY(ledger_grow(ledger));
    *ledger_at(ledger, ledger->count) = *entry;
    ledger->count++;
    ledger->bytes += entry->bytes;
    return 0;
}

int ledger_tell(struct ledger *ledger, uint64_t sequence, size_t bytes, size_t place, const char *version)
{
    struct entry entry = {.sequence = sequence, .bytes = bytes, .place = place};

    if (version != NULL && strlen(version) < sizeof(entry.version))
        memcpy(entry.version, version, strlen(version) + 1);
    return ledger_add(ledger, &entry);
}

int ledger_note(struct ledger *ledger, uint64_t sequence, struct ledger_row *row)
{
    const struct entry entry = {.sequence = sequence, .row = row};
    int fault = ledger_add(ledger, &entry);

    if (fault < 0)
        free(row);
    return fault;
}

void ledger_acknowledge(struct ledger *ledger, uint64_t sequence, struct ledger_rows *rows,
                        void (*reached)(void *user, size_t place, const char *version), void *user)
{
    while (ledger->count > 0 && ledger_at(ledger, 0)->sequence <= sequence) {
        struct entry *entry = ledger_at(ledger, 0);

        if (entry->row != NULL)
            ledger_rows_add(rows, entry->row);
        if (entry->version[0] != '\0')
            reached(user, entry->place, entry->version);
        ledger->bytes -= entry->bytes;
        ledger->first = (ledger->first + 1) & (ledger->capacity - 1);
        ledger->count--;
    }
}

bool ledger_is_empty(const struct ledger *ledger)
{
    return ledger->count == 0;
}

size_t ledger_bytes(const struct ledger *ledger)
{
    return ledger->bytes;
}

size_t ledger_count(const struct ledger *ledger)
{
    return ledger->count;
}

/* ---- life ---- */

int ledger_open(struct ledger **ret_ledger)
{
    struct ledger *ledger = calloc(1, sizeof(*ledger));

    if (ledger == NULL)
        return GW_RAISE(-ENOMEM);
    *ret_ledger = ledger;
    return 0;
}

struct ledger *ledger_close(struct ledger *ledger)
{
    if (ledger == NULL)
        return NULL;
    for (size_t i = 0; i < ledger->count; i++)
        free(ledger_at(ledger, i)->row);
    free(ledger->entries);
    free(ledger);
    return NULL;
}
