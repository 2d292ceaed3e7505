/* What Kubernetes Events there are to send: gathers, recognises repeats, and keeps to a rate. Pure: the time is handed in.
 * kube_events.[ch] sends. */
#ifndef GWC_EVENT_QUEUE_H
#define GWC_EVENT_QUEUE_H

#include "gateway-client/report/kube_event.h"

enum {
    GWC_EVENT_GATHER_MS = 500,    /* so long for more of the same kind */
    GWC_EVENT_SINGLE_MAX = 4,     /* of one kind at once are told one by one; more become one Event */
    GWC_EVENT_GATHERED_MAX = 128, /* of one kind at once are known by name */
    GWC_EVENT_QUEUE_MAX = 32,
    GWC_EVENT_KNOWN_MAX = 64,     /* Events that a repeat is recognised by */
    GWC_EVENT_BURST = 25,         /* tokens */
    GWC_EVENT_TOKEN_MS = 5000,    /* for one more */
    GWC_EVENT_SERIES_MS = 360000, /* without a repeat, a series is over */
    GWC_EVENT_REFRESH_MS = 30000, /* between two patches of a series */
    GWC_EVENT_STALE_MS = 300000,  /* what could not be sent for so long is not worth it */
};

struct gwc_event_queue;

int gwc_event_queue_new(struct gwc_event_queue **ret_queue) GW_MUST_CHECK;
struct gwc_event_queue *gwc_event_queue_free(struct gwc_event_queue *queue);

/* Takes it in; lost without memory. `now_ms` is monotonic. */
void gwc_event_queue_tell(struct gwc_event_queue *queue, enum gwc_event_reason reason,
                          const struct gwc_event_subject *subject, int64_t now_ms, int64_t realtime_ns);

/* One thing to send. Borrowed until the next call of any of these. */
struct gwc_event_job {
    enum gwc_event_reason reason;
    const char *note;
    int64_t realtime_ns; /* when it happened; of a series, last */
    const char *name;    /* the Event that is to be patched; NULL: a new one */
    uint64_t count;      /* of the series */
};
/* The next one, if there is a token for it: the token is spent, and the job stays until done() or again(). */
bool gwc_event_queue_take(struct gwc_event_queue *queue, int64_t now_ms, struct gwc_event_job *ret_job);
/* It was sent, under this name; NULL: it was refused, or the Event to be patched is no more. */
void gwc_event_queue_done(struct gwc_event_queue *queue, const char *name, int64_t now_ms);
/* It was not sent: later. */
void gwc_event_queue_again(struct gwc_event_queue *queue);

/* When there may be something to take; INT64_MAX: not before more is told. */
int64_t gwc_event_queue_due_ms(const struct gwc_event_queue *queue, int64_t now_ms);
/* What is gathered need not wait for more. */
void gwc_event_queue_flush(struct gwc_event_queue *queue);
/* Those lost for want of room since this was asked last. */
uint64_t gwc_event_queue_lost(struct gwc_event_queue *queue);

#endif
