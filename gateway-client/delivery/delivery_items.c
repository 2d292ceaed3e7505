/* The items of a delivery: line, heap and window. */
#include "gateway-client/delivery/delivery_items.h"

#include <stdlib.h>

/* ---- line ---- */

void delivery_line_push(struct delivery_line *line, struct delivery_item *item)
{
    item->next = NULL;
    if (line->last == NULL)
        line->first = item;
    else
        line->last->next = item;
    line->last = item;
    line->count++;
}

struct delivery_item *delivery_line_pop(struct delivery_line *line)
{
    struct delivery_item *item = line->first;

    if (item == NULL)
        return NULL;
    line->first = item->next;
    if (line->first == NULL)
        line->last = NULL;
    line->count--;
    item->next = NULL;
    return item;
}

/* ---- heap ---- */

int delivery_heap_open(struct delivery_heap *heap, size_t capacity)
{
    heap->items = calloc(capacity, sizeof(struct delivery_item *));
    if (heap->items == NULL)
        return GW_RAISE(-ENOMEM);
    heap->capacity = capacity;
    heap->count = 0;
    return 0;
}

void delivery_heap_done(struct delivery_heap *heap)
{
    free(heap->items);
    *heap = (struct delivery_heap){0};
}

static void heap_put(struct delivery_heap *heap, size_t place, struct delivery_item *item)
{
    heap->items[place] = item;
    item->heap_place = place;
}

static void heap_up(struct delivery_heap *heap, size_t place)
{
    struct delivery_item *item = heap->items[place];

    while (place > 0 && heap->items[(place - 1) / 2]->due_ms > item->due_ms) {
        heap_put(heap, place, heap->items[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    heap_put(heap, place, item);
}

static void heap_down(struct delivery_heap *heap, size_t place)
{
    struct delivery_item *item = heap->items[place];

    for (;;) {
        size_t child = 2 * place + 1;

        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && heap->items[child + 1]->due_ms < heap->items[child]->due_ms)
            child++;
        if (heap->items[child]->due_ms >= item->due_ms)
            break;
        heap_put(heap, place, heap->items[child]);
        place = child;
    }
    heap_put(heap, place, item);
}

void delivery_heap_push(struct delivery_heap *heap, struct delivery_item *item)
{
    assert(heap->count < heap->capacity);
    heap->items[heap->count] = item;
    heap->count++;
    heap_up(heap, heap->count - 1);
}

struct delivery_item *delivery_heap_top(const struct delivery_heap *heap)
{
    return heap->count > 0 ? heap->items[0] : NULL;
}

struct delivery_item *delivery_heap_pop(struct delivery_heap *heap)
{
    struct delivery_item *item = delivery_heap_top(heap);

    if (item == NULL)
        return NULL;
    heap->count--;
    if (heap->count > 0) {
        heap->items[0] = heap->items[heap->count];
        heap_down(heap, 0);
    }
    return item;
}

void delivery_heap_sooner(struct delivery_heap *heap, struct delivery_item *item)
{
    heap_up(heap, item->heap_place);
}

/* ---- window ---- */

void delivery_window_done(struct delivery_window *window)
{
    free(window->slots);
    *window = (struct delivery_window){0};
}

size_t delivery_window_count(const struct delivery_window *window)
{
    return (size_t)(window->end - window->begin);
}

static struct delivery_slot *window_slot(const struct delivery_window *window, uint64_t place)
{
    return &window->slots[place & (window->capacity - 1)];
}

static int window_grow(struct delivery_window *window)
{
    struct delivery_window grown = *window;

    grown.capacity = window->capacity == 0 ? 256 : window->capacity * 2;
    grown.slots = calloc(grown.capacity, sizeof(*grown.slots));
    if (grown.slots == NULL)
        return GW_RAISE(-ENOMEM);
    for (uint64_t place = window->begin; place < window->end; place++)
        *window_slot(&grown, place) = *window_slot(window, place);
    free(window->slots);
    *window = grown;
    return 0;
}

int delivery_window_add(struct delivery_window *window, struct delivery_item *item)
{
    if (delivery_window_count(window) == window->capacity)
        GW_TRY(window_grow(window));
    item->in_window = true;
    item->place = window->end++;
    *window_slot(window, item->place) = (struct delivery_slot){item->event->sequence, item};
    return 0;
}

bool delivery_window_settle(struct delivery_window *window, struct delivery_item *item)
{
    uint64_t before = window->begin;

    if (!item->in_window)
        return false;
    item->in_window = false;
    window_slot(window, item->place)->item = NULL;
    while (window->begin < window->end && window_slot(window, window->begin)->item == NULL) {
        window->cursor = window_slot(window, window->begin)->sequence;
        window->begin++;
    }
    return window->begin != before;
}

struct delivery_item *delivery_window_oldest(const struct delivery_window *window)
{
    return window->begin < window->end ? window_slot(window, window->begin)->item : NULL;
}
