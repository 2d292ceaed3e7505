/* Clocks, RFC 3339 instants, random numbers, identifiers. */
#ifndef GW_CLOCK_H
#define GW_CLOCK_H

#include "common/bytes.h"

#define GW_NS_PER_US INT64_C(1000)
#define GW_NS_PER_MS INT64_C(1000000)
#define GW_NS_PER_S  INT64_C(1000000000)

int64_t gw_clock_realtime_ns(void);  /* since 1970-01-01T00:00:00Z; may jump */
int64_t gw_clock_realtime_ms(void);  /* the same, in milliseconds */
int64_t gw_clock_monotonic_ns(void); /* never goes back */
int64_t gw_clock_monotonic_ms(void); /* the same, in milliseconds */

/* RFC 3339 in UTC with 'Z'. `digits` of the fraction: 0, 3, 6, 9, or -1 for as many as are needed of those. */
enum { GW_TIME_MAX = 40 };
const char *gw_time_format(char buffer[static GW_TIME_MAX], int64_t ns, int digits);
/* RFC 3339 with any offset and fraction (cut after nanoseconds); also 'T', 'Z' in lower case and ':60' seconds.
 * False: not such a time, or outside years 1678 to 2262 (what int64 nanoseconds hold). */
bool gw_time_parse(struct gw_view text, int64_t *ret_ns);

/* Not for secrets: jitter and identifiers. Any thread. */
uint64_t gw_random_u64(void);

/* UUID version 7 (RFC 9562): time-ordered, and strictly increasing within the process. Any thread. */
enum { GW_UUID_SIZE = 37 };
const char *gw_uuid7(char buffer[static GW_UUID_SIZE]);

#endif
