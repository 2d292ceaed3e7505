/* Next: ticks as instants. */
#include "gateway-servers/calendar/next.h"
#include "gateway-servers/calendar/civil.h"

#include "common/clock.h"

/* Fixed times: the wall clock has shown all up to its latest; the next matching time is the next tick. */
static bool next_fixed(const struct ticks *ticks, int64_t after, int64_t *ret_instant)
{
    int64_t wall;

    if (!schedule_next(&ticks->schedule, zone_latest_wall(ticks->zone, after), NEXT_END_S, &wall))
        return false;
    *ret_instant = zone_first(ticks->zone, wall);
    return true;
}

/* Running times: stretch by stretch of constant offset. */
static bool next_running(const struct ticks *ticks, int64_t after, int64_t *ret_instant)
{
    int64_t from = after + 1;

    while (from < NEXT_END_S) {
        struct zone_span span = zone_at(ticks->zone, from);
        int64_t end = GW_MIN(span.end, NEXT_END_S), wall;

        if (schedule_next(&ticks->schedule, from + span.offset - 1, end + span.offset, &wall)) {
            *ret_instant = wall - span.offset;
            return true;
        }
        from = end;
    }
    return false;
}

static bool next_interval(int64_t every_ns, int64_t after_ns, int64_t *ret_ns)
{
    int64_t next;

    if (__builtin_mul_overflow(civil_floor(after_ns, every_ns) + 1, every_ns, &next) ||
        next >= NEXT_END_S * GW_NS_PER_S)
        return false;
    *ret_ns = next;
    return true;
}

bool next_tick(const struct ticks *ticks, int64_t after_ns, int64_t *ret_ns)
{
    int64_t after = civil_floor(after_ns, GW_NS_PER_S), instant;

    if (ticks->every_ns > 0)
        return next_interval(ticks->every_ns, after_ns, ret_ns);
    if (!(ticks->schedule.any_time ? next_running : next_fixed)(ticks, after, &instant) ||
        instant >= NEXT_END_S)
        return false;
    *ret_ns = instant * GW_NS_PER_S;
    return true;
}

size_t next_count(const struct ticks *ticks, int64_t after_ns, int64_t until_ns, size_t max)
{
    size_t count = 0;

    if (ticks->every_ns > 0 && until_ns > after_ns)
        return GW_MIN(max, (uint64_t)(civil_floor(until_ns, ticks->every_ns) -
                                      civil_floor(after_ns, ticks->every_ns)));
    while (count < max && next_tick(ticks, after_ns, &after_ns) && after_ns <= until_ns)
        count++;
    return count;
}

int64_t next_recent(const struct ticks *ticks, int64_t after_ns, int64_t until_ns, size_t max)
{
    int64_t many = after_ns, few = until_ns, back_ns = 60 * GW_NS_PER_S;

    if (after_ns >= until_ns || next_count(ticks, after_ns, until_ns, max + 1) <= max)
        return after_ns;
    /* Backwards in growing steps, then by halves: bounded work however long ago `after_ns` is. */
    while (until_ns - back_ns > after_ns && next_count(ticks, until_ns - back_ns, until_ns, max + 1) <= max) {
        few = until_ns - back_ns;
        back_ns = back_ns > INT64_MAX / 4 ? INT64_MAX / 2 : back_ns * 2;
    }
    many = GW_MAX(after_ns, until_ns - back_ns);
    while (few - many > 1) {
        int64_t middle = many + (few - many) / 2;

        if (next_count(ticks, middle, until_ns, max + 1) <= max)
            few = middle;
        else
            many = middle;
    }
    return few;
}
