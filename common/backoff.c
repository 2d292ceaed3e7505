/* Back-off: exponential, capped, with full jitter. */
#include "common/backoff.h"

/* By multiplying, not pow(): stops at the cap, so neither the attempt nor the wait can overflow. */
static int64_t backoff_upper_ms(const struct gw_backoff *backoff)
{
    double upper = (double)backoff->policy.initial_ms;

    for (unsigned i = 0; i < backoff->attempt && upper < (double)backoff->policy.max_ms; i++) {
        double grown = upper * backoff->policy.factor;
        if (grown <= upper)
            break;
        upper = grown;
    }
    return upper < (double)backoff->policy.max_ms ? (int64_t)upper : backoff->policy.max_ms;
}

int64_t gw_backoff_next_ms(struct gw_backoff *backoff, uint64_t random)
{
    int64_t upper = GW_MAX(backoff_upper_ms(backoff), INT64_C(1));
    int64_t lower = GW_MAX(upper / 10, INT64_C(1));

    if (backoff->attempt < UINT32_MAX)
        backoff->attempt++;
    return lower + (int64_t)(random % (uint64_t)(upper - lower + 1));
}

void gw_backoff_reset(struct gw_backoff *backoff)
{
    backoff->attempt = 0;
}
