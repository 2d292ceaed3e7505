/* What a delivery holds in memory: its items, the line of those that have not been tried, the heap of those that wait,
 * and the window that the cursor follows. No clock, no network, no outbox. */
#ifndef GWC_DELIVERY_ITEMS_H
#define GWC_DELIVERY_ITEMS_H

#include "common/cloudevent.h"

/* One event on its way to one watcher. */
struct delivery_item {
    struct gw_event *event; /* a reference */
    unsigned attempts;
    int64_t first_attempt_ms; /* realtime; 0: none yet */
    int64_t due_ms;           /* monotonic; while it waits */
    bool had_retry;           /* the outbox may hold a retry of it */
    bool alone;               /* was part of a batch that was refused: goes by itself now */
    bool unanswered;          /* the last attempt got no answer */
    bool in_window;
    uint64_t place; /* in the window */
    size_t heap_place;
    struct delivery_item *next;
};

/* First in, first out. */
struct delivery_line {
    struct delivery_item *first, *last;
    size_t count;
};
void delivery_line_push(struct delivery_line *line, struct delivery_item *item);
struct delivery_item *delivery_line_pop(struct delivery_line *line); /* NULL: empty */

/* The one that is due first on top. */
struct delivery_heap {
    struct delivery_item **items;
    size_t count, capacity;
};
int delivery_heap_open(struct delivery_heap *heap, size_t capacity) GW_MUST_CHECK;
void delivery_heap_done(struct delivery_heap *heap);
void delivery_heap_push(struct delivery_heap *heap,
                        struct delivery_item *item);                       /* never beyond its capacity */
struct delivery_item *delivery_heap_top(const struct delivery_heap *heap); /* NULL: empty */
struct delivery_item *delivery_heap_pop(struct delivery_heap *heap);
/* `item` became due earlier. */
void delivery_heap_sooner(struct delivery_heap *heap, struct delivery_item *item);

/* Events in the order of the outbox, from the cursor on; settled ones leave when all before them have. */
struct delivery_slot {
    uint64_t sequence;
    struct delivery_item *item; /* NULL: settled */
};
struct delivery_window {
    struct delivery_slot *slots;
    size_t capacity;     /* a power of two, or 0 */
    uint64_t begin, end; /* places; the slot is place modulo capacity */
    uint64_t cursor;
};
void delivery_window_done(struct delivery_window *window);
size_t delivery_window_count(const struct delivery_window *window);
int delivery_window_add(struct delivery_window *window, struct delivery_item *item) GW_MUST_CHECK;
/* True if the cursor moved. An item that is not in the window (any more): nothing happens. */
bool delivery_window_settle(struct delivery_window *window, struct delivery_item *item);
/* The oldest that is not settled; NULL: none. */
struct delivery_item *delivery_window_oldest(const struct delivery_window *window);

#endif
