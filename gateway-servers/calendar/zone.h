/* Zone: what the wall clocks of an IANA time zone show, at any instant. Reads the system's TZif files (RFC 8536,
 * versions 1 to 4), and goes on by the POSIX rule in their footer where the table ends. Never looks at TZ, never calls
 * tzset(). A zone is immutable: any thread may read it. */
#ifndef CALENDAR_ZONE_H
#define CALENDAR_ZONE_H

#include "common/bytes.h"
#include "common/fault.h"

struct zone;

/* Instants are seconds since 1970-01-01T00:00:00Z; wall-clock times are those of civil.h: instant + offset. */
#define ZONE_FOREVER (INT64_C(1) << 60)

/* A stretch of time with one offset. */
struct zone_span {
    int64_t begin, end;       /* instants, [begin, end); -ZONE_FOREVER and ZONE_FOREVER where it has no end */
    int32_t offset;           /* east of Greenwich is positive */
    const char *abbreviation; /* "WEST"; borrowed from the zone */
};

/* "Europe/Lisbon"; "" and "UTC" need no file; "Local" is /etc/localtime. Files come from $TZDIR, else
 * /usr/share/zoneinfo. -EINVAL: no such zone, or its file is damaged, with words (the nearest known name). */
int zone_open(struct zone **ret_zone, const char *name, struct gw_reason *reason) GW_MUST_CHECK;
/* From the bytes of a TZif file. */
int zone_read(struct zone **ret_zone, const char *name, struct gw_view file,
              struct gw_reason *reason) GW_MUST_CHECK;
struct zone *zone_free(struct zone *zone);
GW_DEFINE_CLEANUP(struct zone *, zone_free)

const char *zone_name(const struct zone *zone); /* borrowed */
bool zone_is_utc(const struct zone *zone);      /* by its name: UTC, Etc/UTC, … */
struct zone_span zone_at(const struct zone *zone, int64_t instant);
int64_t zone_wall(const struct zone *zone, int64_t instant);
/* The first instant at which the wall clock shows `wall` or has passed it. A time that a spring gap leaves out gives
 * the instant after the gap; a time that an autumn fold shows twice gives its first occurrence. Never decreases. */
int64_t zone_first(const struct zone *zone, int64_t wall);
/* The latest time that the wall clock has shown at `instant` or before: zone_first(w) <= instant exactly if w <= this. */
int64_t zone_latest_wall(const struct zone *zone, int64_t instant);

/* RFC 3339 with as many digits of the fraction as needed, as Go's RFC3339Nano prints it. Offset 0 is "Z". With
 * ZONE_NUMERIC, "Z" only in UTC and "+00:00" elsewhere. Offsets with seconds (before 1972) are cut to minutes. */
enum { ZONE_TEXT_MAX = 64 };
enum zone_style { ZONE_GO, ZONE_NUMERIC };
const char *zone_format(const struct zone *zone, int64_t ns, enum zone_style style,
                        char buffer[static ZONE_TEXT_MAX]);
/* As Go's time.String(): "2026-03-01 08:30:00 +0000 UTC". */
const char *zone_format_go(const struct zone *zone, int64_t ns, char buffer[static ZONE_TEXT_MAX]);

/* Zones that were opened, each once. One thread. Zero-initialised is empty; the zones live as long as it. */
struct zone_store {
    struct zone **zones;
    size_t count, capacity;
};
int zone_store_get(struct zone_store *store, const char *name, const struct zone **ret_zone,
                   struct gw_reason *reason) GW_MUST_CHECK;
void zone_store_done(struct zone_store *store);

#endif
