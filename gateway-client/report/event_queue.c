/* What Kubernetes Events there are to send. */
#include "gateway-client/report/event_queue.h"

#include "common/fault.h"

#include <stdlib.h>

/* What was told of one kind within the gathering time. */
struct gathered {
    struct gwc_event_subject *subjects; /* GWC_EVENT_GATHERED_MAX of them; names and words are owned */
    size_t count, more;
    int64_t due_ms, realtime_ns; /* of the last */
};

/* An Event: to be sent, or sent lately. */
struct known {
    char *note; /* NULL: the place is free */
    enum gwc_event_reason reason;
    char *name; /* NULL: not sent yet */
    int64_t realtime_ns, last_ms, first_ms;
    uint64_t order;
    uint64_t count, told; /* how often it happened; how often the API server thinks it did */
    int64_t told_ms;
};

struct gwc_event_queue {
    struct gathered gathered[GWC_EVENT_REASONS_COUNT];
    struct known known[GWC_EVENT_KNOWN_MAX];
    struct known *current; /* under way */
    uint64_t current_count;
    uint64_t order, lost;
    unsigned tokens;
    int64_t token_ms; /* when the bucket was looked at last, in whole tokens */
};

int gwc_event_queue_new(struct gwc_event_queue **ret_queue)
{
    struct gwc_event_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL)
        return GW_RAISE(-ENOMEM);
    queue->tokens = GWC_EVENT_BURST;
    *ret_queue = queue;
    return 0;
}

static void known_forget(struct known *known)
{
    free(known->note);
    free(known->name);
    *known = (struct known){0};
}

static void subject_done(struct gwc_event_subject *subject)
{
    free((char *)subject->name);
    free((char *)subject->words);
    *subject = (struct gwc_event_subject){0};
}

static void gathered_clear(struct gathered *gathered)
{
    for (size_t i = 0; i < gathered->count; i++)
        subject_done(&gathered->subjects[i]);
    gathered->count = gathered->more = 0;
}

struct gwc_event_queue *gwc_event_queue_free(struct gwc_event_queue *queue)
{
    if (queue == NULL)
        return NULL;
    for (size_t i = 0; i < GWC_EVENT_REASONS_COUNT; i++) {
        gathered_clear(&queue->gathered[i]);
        free(queue->gathered[i].subjects);
    }
    for (size_t i = 0; i < GWC_EVENT_KNOWN_MAX; i++)
        known_forget(&queue->known[i]);
    free(queue);
    return NULL;
}

/* ---- gathering ---- */

static bool gathered_add(struct gathered *gathered, const struct gwc_event_subject *subject)
{
    struct gwc_event_subject copy = {strdup(subject->name), strdup(subject->words)};
    size_t at = 0;

    if (gathered->subjects == NULL)
        gathered->subjects = calloc(GWC_EVENT_GATHERED_MAX, sizeof(*gathered->subjects));
    if (copy.name == NULL || copy.words == NULL || gathered->subjects == NULL) {
        subject_done(&copy);
        return false;
    }
    while (at < gathered->count && strcmp(gathered->subjects[at].name, copy.name) != 0)
        at++;
    if (at == GWC_EVENT_GATHERED_MAX) {
        subject_done(&copy);
        gathered->more++;
        return true;
    }
    if (at < gathered->count)
        subject_done(&gathered->subjects[at]); /* the same once more: its last words count */
    else
        gathered->count++;
    gathered->subjects[at] = copy;
    return true;
}

void gwc_event_queue_tell(struct gwc_event_queue *queue, enum gwc_event_reason reason,
                          const struct gwc_event_subject *subject, int64_t now_ms, int64_t realtime_ns)
{
    struct gathered *gathered = &queue->gathered[reason];

    if (gathered->count == 0)
        gathered->due_ms = now_ms + GWC_EVENT_GATHER_MS;
    gathered->realtime_ns = realtime_ns;
    if (!gathered_add(gathered, subject))
        queue->lost++;
}

void gwc_event_queue_flush(struct gwc_event_queue *queue)
{
    for (size_t i = 0; i < GWC_EVENT_REASONS_COUNT; i++)
        queue->gathered[i].due_ms = 0;
}

/* ---- what is known ---- */

static bool known_waits(const struct known *known)
{
    return known->note != NULL && known->name == NULL;
}

/* The place to give up for another: free, told and long ago, waiting and harmless, waiting; the oldest of each. */
static int known_worth(const struct known *known)
{
    return known->note == NULL                                  ? 0
           : known->name != NULL && known->told >= known->count ? 1
           : known->name != NULL                                ? 2
           : !gwc_event_reason_is_warning(known->reason)        ? 3
                                                                : 4;
}

static struct known *known_place(struct gwc_event_queue *queue, bool among_waiting)
{
    struct known *best = NULL;

    for (size_t i = 0; i < GWC_EVENT_KNOWN_MAX; i++) {
        struct known *known = &queue->known[i];
        if (known == queue->current || (among_waiting && !known_waits(known)))
            continue;
        if (best == NULL || known_worth(known) < known_worth(best) ||
            (known_worth(known) == known_worth(best) && known->order < best->order))
            best = known;
    }
    if (known_worth(best) >= 2)
        queue->lost++;
    known_forget(best);
    return best;
}

static size_t waiting_count(const struct gwc_event_queue *queue)
{
    size_t count = 0;

    for (size_t i = 0; i < GWC_EVENT_KNOWN_MAX; i++)
        count += known_waits(&queue->known[i]) && &queue->known[i] != queue->current;
    return count;
}

static struct known *known_find(struct gwc_event_queue *queue, enum gwc_event_reason reason, const char *note,
                                int64_t now_ms)
{
    for (size_t i = 0; i < GWC_EVENT_KNOWN_MAX; i++) {
        struct known *known = &queue->known[i];
        if (known->note != NULL && known->reason == reason && strcmp(known->note, note) == 0 &&
            now_ms - known->last_ms < GWC_EVENT_SERIES_MS)
            return known;
    }
    return NULL;
}

static void queue_push(struct gwc_event_queue *queue, enum gwc_event_reason reason,
                       const struct gathered *gathered, const struct gwc_event_subject *subjects,
                       size_t count, int64_t now_ms)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes words = {0};

    gwc_event_note(&words, reason, subjects, count, count > 1 ? gathered->more : 0);
    const char *note = gw_bytes_text(&words);
    struct known *known = note == NULL ? NULL : known_find(queue, reason, note, now_ms);
    if (known == NULL && note != NULL) {
        known = known_place(queue, waiting_count(queue) >= GWC_EVENT_QUEUE_MAX);
        *known = (struct known){
            .note = strdup(note), .reason = reason, .first_ms = now_ms, .order = ++queue->order};
    }
    if (known == NULL || known->note == NULL) {
        queue->lost++;
        return;
    }
    known->count++;
    known->last_ms = now_ms;
    known->realtime_ns = gathered->realtime_ns;
}

static void queue_gathered(struct gwc_event_queue *queue, int64_t now_ms)
{
    for (size_t i = 0; i < GWC_EVENT_REASONS_COUNT; i++) {
        struct gathered *gathered = &queue->gathered[i];
        if (gathered->count == 0 || gathered->due_ms > now_ms)
            continue;
        bool single = gathered->count <= GWC_EVENT_SINGLE_MAX;
        for (size_t j = 0; single && j < gathered->count; j++)
            queue_push(queue, (enum gwc_event_reason)i, gathered, &gathered->subjects[j], 1, now_ms);
        if (!single)
            queue_push(queue, (enum gwc_event_reason)i, gathered, gathered->subjects, gathered->count,
                       now_ms);
        gathered_clear(gathered);
    }
}

/* ---- taking ---- */

static void tokens_fill(struct gwc_event_queue *queue, int64_t now_ms)
{
    int64_t more = (now_ms - queue->token_ms) / GWC_EVENT_TOKEN_MS;

    queue->tokens = (unsigned)GW_MIN((int64_t)queue->tokens + more, (int64_t)GWC_EVENT_BURST);
    queue->token_ms = queue->tokens == GWC_EVENT_BURST ? now_ms : queue->token_ms + more * GWC_EVENT_TOKEN_MS;
}

/* When it may be sent; INT64_MAX: there is nothing to send. */
static int64_t known_due_ms(const struct known *known)
{
    if (known_waits(known))
        return 0;
    return known->note != NULL && known->count > known->told ? known->told_ms + GWC_EVENT_REFRESH_MS
                                                             : INT64_MAX;
}

static struct known *queue_next(struct gwc_event_queue *queue, int64_t now_ms)
{
    struct known *next = NULL;

    for (size_t i = 0; i < GWC_EVENT_KNOWN_MAX; i++) {
        struct known *known = &queue->known[i];
        if (known_waits(known) && now_ms - known->last_ms > GWC_EVENT_STALE_MS) {
            known_forget(known);
            queue->lost++;
        }
        if (known_due_ms(known) <= now_ms && (next == NULL || known->order < next->order))
            next = known;
    }
    return next;
}

bool gwc_event_queue_take(struct gwc_event_queue *queue, int64_t now_ms, struct gwc_event_job *ret_job)
{
    assert(queue->current == NULL);
    queue_gathered(queue, now_ms);
    tokens_fill(queue, now_ms);
    struct known *next = queue->tokens == 0 ? NULL : queue_next(queue, now_ms);
    if (next == NULL)
        return false;
    queue->tokens--;
    queue->current = next;
    queue->current_count = next->count;
    *ret_job = (struct gwc_event_job){next->reason, next->note, next->realtime_ns, next->name, next->count};
    return true;
}

void gwc_event_queue_done(struct gwc_event_queue *queue, const char *name, int64_t now_ms)
{
    struct known *known = GW_TAKE(queue->current);

    if (name != NULL && known->name == NULL)
        known->name = strdup(name);
    if (name == NULL || known->name == NULL) {
        known_forget(known);
        return;
    }
    known->told = known->told == 0 ? 1 : queue->current_count;
    known->told_ms = now_ms;
}

void gwc_event_queue_again(struct gwc_event_queue *queue)
{
    queue->current = NULL;
    queue->tokens = GW_MIN(queue->tokens + 1, (unsigned)GWC_EVENT_BURST);
}

int64_t gwc_event_queue_due_ms(const struct gwc_event_queue *queue, int64_t now_ms)
{
    int64_t gathered_ms = INT64_MAX, known_ms = INT64_MAX;
    bool token = queue->tokens > 0 || now_ms - queue->token_ms >= GWC_EVENT_TOKEN_MS;

    for (size_t i = 0; i < GWC_EVENT_REASONS_COUNT; i++)
        if (queue->gathered[i].count > 0)
            gathered_ms = GW_MIN(gathered_ms, queue->gathered[i].due_ms);
    for (size_t i = 0; i < GWC_EVENT_KNOWN_MAX; i++)
        known_ms = GW_MIN(known_ms, known_due_ms(&queue->known[i]));
    if (known_ms != INT64_MAX && !token)
        known_ms = GW_MAX(known_ms, queue->token_ms + GWC_EVENT_TOKEN_MS);
    return GW_MIN(gathered_ms, known_ms);
}

uint64_t gwc_event_queue_lost(struct gwc_event_queue *queue)
{
    uint64_t lost = queue->lost;

    queue->lost = 0;
    return lost;
}
