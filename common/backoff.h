/* Back-off: exponential, capped, with full jitter (Brooker, "Exponential Backoff and Jitter", 2015). */
#ifndef GW_BACKOFF_H
#define GW_BACKOFF_H

#include "common/base.h"

struct gw_backoff_policy {
    int64_t initial_ms; /* > 0 */
    double factor;      /* >= 1 */
    int64_t max_ms;     /* cap of one wait */
};

struct gw_backoff {
    struct gw_backoff_policy policy;
    unsigned attempt; /* waits given since the last reset */
};

/* The next wait: uniform in [floor, min(max, initial × factor^attempt)], floor = a tenth of that upper end, so that
 * a wait is never nothing. `random` comes from gw_random_u64() or a test. */
int64_t gw_backoff_next_ms(struct gw_backoff *backoff, uint64_t random);
void gw_backoff_reset(struct gw_backoff *backoff);

#endif
