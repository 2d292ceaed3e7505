/* Foreign bytes of the calendar: a TZif file when they begin like one, an exclusion line when they begin with
 * '!', else a schedule. What is accepted must give ticks that go forward. */
#include "gateway-servers/calendar/exclusions.h"
#include "gateway-servers/calendar/next.h"

#include "common/clock.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TICKS = 5, EXCLUSION_ASKED = 50 };
#define FROM_NS (INT64_C(1772323200) * GW_NS_PER_S) /* 2026-03-01 */

static void fuzz_ticks(const struct ticks *ticks)
{
    int64_t at = FROM_NS, next;

    for (int i = 0; i < TICKS && next_tick(ticks, at, &next); i++) {
        assert(next > at);
        at = next;
    }
}

static void fuzz_schedule(struct gw_view text)
{
    static struct zone *zone;
    struct ticks ticks = {0};

    if (zone == NULL && zone_open(&zone, "Europe/Lisbon", NULL) != 0)
        abort();
    if (schedule_parse(&ticks.schedule, text, NULL) != 0)
        return;
    ticks.zone = zone;
    ticks.every_ns = ticks.schedule.every_ns;
    fuzz_ticks(&ticks);
}

static void fuzz_zone(struct gw_view file)
{
    GW_AUTO(zone_freep) struct zone *zone = NULL;
    struct ticks ticks = {0};

    if (zone_read(&zone, "fuzz", file, NULL) != 0)
        return;
    ticks.zone = zone;
    if (schedule_parse(&ticks.schedule, gw_view_text("30 2 * * *"), NULL) != 0)
        abort();
    fuzz_ticks(&ticks);
    ticks.schedule.any_time = true;
    fuzz_ticks(&ticks);
    for (int64_t wall = FROM_NS / GW_NS_PER_S; wall < FROM_NS / GW_NS_PER_S + 400 * 86400; wall += 7 * 86400)
        assert(zone_latest_wall(zone, zone_first(zone, wall)) >= wall);
}

static void fuzz_exclusion(struct gw_view text)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes copy = {0};
    GW_AUTO(exclusions_freep) struct exclusions *exclusions = NULL;
    static struct zone_store zones;
    const struct zone *zone;

    gw_bytes_append_view(&copy, text);
    if (zone_store_get(&zones, "UTC", &zone, NULL) != 0 || exclusions_new(&exclusions, zone, &zones) != 0 ||
        gw_bytes_text(&copy) == NULL)
        abort();
    if (exclusions_add(exclusions, gw_bytes_text(&copy), NULL) != 0)
        return;
    for (int i = 0; i < EXCLUSION_ASKED; i++)
        (void)exclusions_has(exclusions, FROM_NS + i * INT64_C(43200) * GW_NS_PER_S);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gw_view input = gw_view(data, size);

    if (size >= 4 && memcmp(data, "TZif", 4) == 0)
        fuzz_zone(input);
    else if (size > 0 && data[0] == '!')
        fuzz_exclusion(gw_view(data + 1, size - 1));
    else
        fuzz_schedule(input);
    return 0;
}
