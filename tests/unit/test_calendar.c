/* Calendar: schedules, zones, ticks, exclusions, plans and the agenda. The wide comparison with other
 * implementations is in tests/property. */
#include "gateway-servers/calendar/agenda.h"
#include "gateway-servers/calendar/civil.h"
#include "gateway-servers/calendar/plan.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- helpers ---- */

static int64_t instant(const char *text)
{
    int64_t ns;

    assert_true(gw_time_parse(gw_view_text(text), &ns));
    return ns;
}

static void ticks_open(struct ticks *ticks, struct zone **zone, const char *schedule, const char *name)
{
    struct gw_reason reason = {""};

    *ticks = (struct ticks){0};
    assert_int_equal(zone_open(zone, name, &reason), 0);
    assert_int_equal(schedule_parse(&ticks->schedule, gw_view_text(schedule), &reason), 0);
    ticks->zone = *zone;
}

/* The ticks after `from`, as RFC 3339 in the zone, ended by NULL. */
static void expect_ticks(const char *schedule, const char *name, const char *from,
                         const char *const *expected)
{
    struct ticks ticks;
    struct zone *zone = NULL;
    int64_t at = instant(from);

    ticks_open(&ticks, &zone, schedule, name);
    for (; *expected != NULL; expected++) {
        char text[ZONE_TEXT_MAX];

        assert_true(next_tick(&ticks, at, &at));
        assert_string_equal(zone_format(zone, at, ZONE_NUMERIC, text), *expected);
    }
    zone_free(zone);
}
#define EXPECT_TICKS(schedule, zone, from, ...)                                                              \
    expect_ticks(schedule, zone, from, (const char *const[]){__VA_ARGS__, NULL})

static void expect_refused(const char *schedule, const char *words)
{
    struct schedule parsed;
    struct gw_reason reason = {""};

    assert_int_equal(schedule_parse(&parsed, gw_view_text(schedule), &reason), -EINVAL);
    if (strstr(reason.text, words) == NULL)
        fail_msg("%s: \"%s\" is not in \"%s\"", schedule, words, reason.text);
}

/* ---- civil ---- */

static void days_and_dates_are_inverse(void **state)
{
    (void)state;
    assert_int_equal(civil_days(1970, 1, 1), 0);
    assert_int_equal(civil_days(2000, 3, 1), 11017);
    assert_int_equal(civil_weekday(0), 4);
    assert_int_equal(civil_weekday(-1), 3);
    for (int64_t day = -200000; day < 200000; day += 17) {
        struct civil civil = civil_of(day * CIVIL_DAY_S + 86399);

        assert_int_equal(civil_days(civil.year, civil.month, civil.day), day);
        assert_true(civil.day >= 1 && civil.day <= civil_month_length(civil.year, civil.month));
        assert_int_equal(civil_wall(&civil), day * CIVIL_DAY_S + 86399);
    }
}

/* ---- schedules ---- */

static void five_fields_and_six_are_read(void **state)
{
    (void)state;
    EXPECT_TICKS("15 2 * * 1-5", "UTC", "2026-02-27T12:00:00Z", "2026-03-02T02:15:00Z",
                 "2026-03-03T02:15:00Z");
    EXPECT_TICKS("30 15 2 * * *", "UTC", "2026-02-27T12:00:00Z", "2026-02-28T02:15:30Z");
    EXPECT_TICKS("*/20 59 23 31 12 ?", "UTC", "2026-02-27T12:00:00Z", "2026-12-31T23:59:00Z",
                 "2026-12-31T23:59:20Z", "2026-12-31T23:59:40Z", "2027-12-31T23:59:00Z");
}

static void days_of_month_and_week_follow_robfig(void **state)
{
    (void)state;
    /* both restricted: either */
    EXPECT_TICKS("0 0 13 * fri", "UTC", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z",
                 "2026-03-13T00:00:00Z", "2026-03-20T00:00:00Z");
    EXPECT_TICKS("0 0 1 * 3", "UTC", "2026-03-01T00:00:00Z", "2026-03-04T00:00:00Z");
    /* a star with a step is not restricted: both */
    EXPECT_TICKS("0 0 */2 * mon", "UTC", "2026-03-01T00:00:00Z", "2026-03-09T00:00:00Z",
                 "2026-03-23T00:00:00Z");
    EXPECT_TICKS("0 0 ? * 7", "UTC", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00Z");
}

static void last_days_are_found(void **state)
{
    (void)state;
    EXPECT_TICKS("0 9 L * *", "UTC", "2028-01-31T09:00:00Z", "2028-02-29T09:00:00Z", "2028-03-31T09:00:00Z");
    EXPECT_TICKS("0 9 * * 5L", "UTC", "2026-01-01T00:00:00Z", "2026-01-30T09:00:00Z", "2026-02-27T09:00:00Z");
    EXPECT_TICKS("0 9 * feb FRIL", "UTC", "2026-01-01T00:00:00Z", "2026-02-27T09:00:00Z",
                 "2027-02-26T09:00:00Z");
    EXPECT_TICKS("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z");
}

static void words_stand_for_fields(void **state)
{
    struct schedule schedule;

    (void)state;
    EXPECT_TICKS("@hourly", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    EXPECT_TICKS("@Daily", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    EXPECT_TICKS("@weekly", "UTC", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z");
    EXPECT_TICKS("@monthly", "UTC", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    EXPECT_TICKS("@annually", "UTC", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    assert_int_equal(schedule_parse(&schedule, gw_view_text("@every  1h30m"), NULL), 0);
    assert_int_equal(schedule.every_ns, 5400 * GW_NS_PER_S);
}

static void wrong_fields_are_refused_in_words(void **state)
{
    (void)state;
    expect_refused("61 * * * *", "minute field \"61\" is out of range; allowed is 0-59");
    expect_refused("1,61 * * * *", "minute field \"1,61\": \"61\" is out of range");
    expect_refused("* * * * 8", "day-of-week field \"8\"");
    expect_refused("* 5-2 * * *", "begins after its end");
    expect_refused("*/0 * * * *", "a step is a number from 1");
    expect_refused("", "0 fields");
    expect_refused("* * * *", "4 fields");
    expect_refused("TZ=UTC 0 0 * * *", "timezone");
    expect_refused("@never", "@hourly");
    expect_refused("@every 10us", "at least 1ms");
}

static void a_schedule_without_any_date_is_refused(void **state)
{
    (void)state;
    expect_refused("0 0 31 2 *", "no date");
    expect_refused("0 0 30,31 2 ?", "no date");
    expect_refused("0 0 31 4,6,9,11 *", "no date");
    expect_refused("0 0 */30 2 5L", "no date");
}

/* ---- zones and changes of the clock ---- */

static void fixed_times_tick_once_through_a_spring_gap(void **state)
{
    (void)state;
    EXPECT_TICKS("30 1 * * *", "Europe/Lisbon", "2026-03-28T12:00:00Z", "2026-03-29T02:00:00+01:00",
                 "2026-03-30T01:30:00+01:00");
    EXPECT_TICKS("0,20,40 1 * * *", "Europe/Lisbon", "2026-03-28T12:00:00Z", "2026-03-29T02:00:00+01:00",
                 "2026-03-30T01:00:00+01:00");
    EXPECT_TICKS("0 1,2 * * *", "Europe/Lisbon", "2026-03-28T12:00:00Z", "2026-03-29T02:00:00+01:00",
                 "2026-03-30T01:00:00+01:00");
    /* a whole day left out */
    EXPECT_TICKS("0 12 * * *", "Pacific/Apia", "2011-12-29T10:00:00Z", "2011-12-29T12:00:00-10:00",
                 "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00");
}

static void fixed_times_tick_once_through_an_autumn_fold(void **state)
{
    (void)state;
    EXPECT_TICKS("30 1 * * *", "Europe/Lisbon", "2026-10-24T12:00:00Z", "2026-10-25T01:30:00+01:00",
                 "2026-10-26T01:30:00+00:00");
    /* asked from within the second showing */
    EXPECT_TICKS("30 1 * * *", "Europe/Lisbon", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00+00:00");
    EXPECT_TICKS("0 2 * * *", "Europe/Lisbon", "2026-10-25T00:10:00Z", "2026-10-25T02:00:00+00:00");
}

static void running_times_go_on_through_both(void **state)
{
    (void)state;
    EXPECT_TICKS("*/30 * * * *", "Europe/Lisbon", "2026-03-29T00:20:00Z", "2026-03-29T00:30:00+00:00",
                 "2026-03-29T02:00:00+01:00", "2026-03-29T02:30:00+01:00");
    EXPECT_TICKS("*/30 * * * *", "Europe/Lisbon", "2026-10-25T00:20:00Z", "2026-10-25T01:30:00+01:00",
                 "2026-10-25T01:00:00+00:00", "2026-10-25T01:30:00+00:00", "2026-10-25T02:00:00+00:00");
    EXPECT_TICKS("@hourly", "Australia/Lord_Howe", "2026-04-04T14:10:00Z", "2026-04-05T02:00:00+10:30",
                 "2026-04-05T03:00:00+10:30");
}

static void zones_go_on_by_their_rule(void **state)
{
    (void)state;
    EXPECT_TICKS("0 12 1 1,7 *", "Europe/Dublin", "2199-12-01T00:00:00Z", "2200-01-01T12:00:00+00:00",
                 "2200-07-01T12:00:00+01:00");
    EXPECT_TICKS("0 12 1 1,7 *", "America/Nuuk", "2199-12-01T00:00:00Z", "2200-01-01T12:00:00-02:00",
                 "2200-07-01T12:00:00-01:00");
    EXPECT_TICKS("0 12 1 1,7 *", "Asia/Tokyo", "2199-12-01T00:00:00Z", "2200-01-01T12:00:00+09:00");
}

static void unknown_zones_are_refused_with_the_nearest(void **state)
{
    static const char *const wrong[] = {"../../etc/passwd", "/etc/localtime", "Europe", "Europe/",
                                        "posix//UTC",       "zone.tab",       "\xff"};
    struct zone *zone = NULL;
    struct gw_reason reason = {""};

    (void)state;
    assert_int_equal(zone_open(&zone, "europe/Lisbonn", &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "\"Europe/Lisbon\""));
    assert_int_equal(zone_open(&zone, "Tokyo", &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "\"Asia/Tokyo\""));
    for (size_t i = 0; i < GW_COUNT_OF(wrong); i++)
        assert_int_equal(zone_open(&zone, wrong[i], &reason), -EINVAL);
    assert_null(zone);
}

static void damaged_zone_files_are_refused(void **state)
{
    struct gw_bytes file = {0};
    FILE *real = fopen("/usr/share/zoneinfo/Europe/Lisbon", "re");
    char buffer[8192];
    size_t size;

    (void)state;
    assert_non_null(real);
    size = fread(buffer, 1, sizeof(buffer), real);
    fclose(real);
    assert_true(size > 100);
    for (size_t cut = 0; cut < size;
         cut += 7) { /* copied, so that reading past the end is seen by the sanitizer */
        struct zone *zone = NULL;

        gw_bytes_done(&file);
        gw_bytes_append(&file, buffer, cut);
        assert_int_equal(zone_read(&zone, "cut", gw_bytes_view(&file), NULL), -EINVAL);
    }
    gw_bytes_done(&file);
}

static void times_are_written_as_go_does(void **state)
{
    struct zone *zone = NULL;
    char text[ZONE_TEXT_MAX];

    (void)state;
    assert_int_equal(zone_open(&zone, "Europe/Lisbon", NULL), 0);
    assert_string_equal(zone_format(zone, instant("2026-01-01T00:00:00.5Z"), ZONE_GO, text),
                        "2026-01-01T00:00:00.5Z");
    assert_string_equal(zone_format(zone, instant("2026-07-01T00:00:00.000000001Z"), ZONE_GO, text),
                        "2026-07-01T01:00:00.000000001+01:00");
    assert_string_equal(zone_format_go(zone, instant("2026-07-01T00:00:00Z"), text),
                        "2026-07-01 01:00:00 +0100 WEST");
    zone_free(zone);
}

/* ---- ticks ---- */

static void intervals_are_a_grid_of_multiples(void **state)
{
    const struct ticks ticks = {.every_ns = 1500 * GW_NS_PER_MS};
    int64_t at = -1;

    (void)state;
    assert_true(next_tick(&ticks, 0, &at) && at == 1500 * GW_NS_PER_MS);
    assert_true(next_tick(&ticks, at, &at) && at == 3000 * GW_NS_PER_MS);
    assert_true(next_tick(&ticks, -1, &at) && at == 0);
    assert_int_equal(next_count(&ticks, 0, 15 * GW_NS_PER_S, 100), 10);
    assert_false(next_tick(&ticks, INT64_MAX - 1, &at));
}

static void missed_ticks_are_bounded_to_the_latest(void **state)
{
    struct ticks ticks;
    struct zone *zone = NULL;
    int64_t from = instant("1980-01-01T00:00:00Z"), until = instant("2026-03-01T00:00:00Z"), begin;

    (void)state;
    ticks_open(&ticks, &zone, "* * * * * *", "UTC");
    assert_int_equal(next_recent(&ticks, from, until, 10), until - 10 * GW_NS_PER_S);
    assert_int_equal(next_recent(&ticks, until - GW_NS_PER_S, until, 10), until - GW_NS_PER_S);
    zone_free(zone);
    ticks_open(&ticks, &zone, "0 0 29 2 *", "UTC");
    begin = next_recent(&ticks, from, until, 3);
    assert_int_equal(next_count(&ticks, begin, until, 100), 3);
    assert_int_equal(next_recent(&ticks, from, until, 100), from);
    assert_int_equal(next_recent(&ticks, until, from, 100), until);
    zone_free(zone);
}

/* ---- plans and exclusions ---- */

struct plan_test {
    struct zone_store zones;
    struct plan plan;
    struct gw_problems problems;
};

static void plan_test_open(struct plan_test *test, const struct calendar_config *config)
{
    *test = (struct plan_test){0};
    assert_int_equal(plan_make(&test->plan, config, &test->zones, &test->problems), 0);
}

static void plan_test_close(struct plan_test *test)
{
    plan_done(&test->plan);
    gw_problems_done(&test->problems);
    zone_store_done(&test->zones);
}

static void expect_next(struct plan_test *test, const char *from, const char *expected)
{
    int64_t at;
    char text[ZONE_TEXT_MAX];

    assert_int_equal(test->problems.count, 0);
    assert_int_equal(plan_next(&test->plan, instant(from), &at), 0);
    assert_string_equal(zone_format(test->plan.ticks.zone, at, ZONE_NUMERIC, text), expected);
}

static void recurrence_excludes_days_as_argo_did(void **state)
{
    const char *lines[] = {"EXDATE:20261225T235959Z,20261226", "RRULE:FREQ=DAILY"};
    const struct calendar_config config = {
        .schedule = "0 8 * * *", .timezone = "Asia/Tokyo", .recurrence = {lines, 2}};
    struct plan_test test;

    (void)state;
    plan_test_open(&test, &config);
    assert_int_equal(test.plan.recurrence_ignored, 1);
    expect_next(&test, "2026-12-24T00:00:00Z", "2026-12-27T08:00:00+09:00");
    plan_test_close(&test);
}

static void exclude_means_what_is_written(void **state)
{
    const char *lines[] = {"EXDATE:20261225T080000",
                           "EXDATE;TZID=Europe/Lisbon:20261225T230000",
                           "2026-12-27",
                           "2026-12-27T23:00:00Z",
                           "RRULE:FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=29",
                           "DTSTART:20261230T080000\nRRULE:FREQ=DAILY;INTERVAL=2"};
    const struct calendar_config config = {
        .schedule = "0 8,20 * * *", .timezone = "Asia/Tokyo", .exclude = {lines, 6}};
    struct plan_test test;

    (void)state;
    plan_test_open(&test, &config);
    expect_next(&test, "2026-12-24T12:00:00Z", "2026-12-25T20:00:00+09:00"); /* 25th 08:00 */
    expect_next(&test, "2026-12-25T12:00:00Z",
                "2026-12-26T20:00:00+09:00"); /* 26th 08:00 is 25th 23:00 there */
    expect_next(&test, "2026-12-26T12:00:00Z", "2026-12-28T20:00:00+09:00"); /* 27th; 28th 08:00 */
    expect_next(&test, "2026-12-28T12:00:00Z", "2026-12-30T20:00:00+09:00"); /* 29th; 30th 08:00 */
    expect_next(&test, "2026-12-30T12:00:00Z", "2026-12-31T08:00:00+09:00");
    expect_next(&test, "2027-01-01T12:00:00Z",
                "2027-01-02T08:00:00+09:00"); /* 3rd 08:00 is excluded, 2nd not */
    expect_next(&test, "2026-12-24T12:00:00Z", "2026-12-25T20:00:00+09:00"); /* asked backwards */
    plan_test_close(&test);
}

static void weeks_without_the_day_of_dtstart_are_kept(void **state)
{
    const char *lines[] = {"DTSTART:20160125\nRRULE:FREQ=WEEKLY;INTERVAL=3;BYDAY=SU;COUNT=2"};
    const struct calendar_config config = {.schedule = "0 8 * * SUN", .exclude = {lines, 1}};
    struct plan_test test;

    (void)state;
    plan_test_open(&test, &config);
    expect_next(&test, "2016-01-25T00:00:00Z", "2016-02-07T08:00:00Z");
    expect_next(&test, "2016-02-15T00:00:00Z", "2016-02-28T08:00:00Z");
    expect_next(&test, "2016-03-07T00:00:00Z", "2016-03-13T08:00:00Z"); /* the third is over COUNT */
    plan_test_close(&test);
}

static void a_plan_without_ticks_says_so(void **state)
{
    const char *lines[] = {"RRULE:FREQ=DAILY"};
    const struct calendar_config config = {.schedule = "@daily", .exclude = {lines, 1}};
    struct plan_test test;
    int64_t at;

    (void)state;
    plan_test_open(&test, &config);
    assert_int_equal(plan_next(&test.plan, instant("2026-01-01T00:00:00Z"), &at), PLAN_OVER);
    plan_test_close(&test);
}

static void every_problem_of_a_plan_is_found(void **state)
{
    const char *lines[] = {"EXDATE:20261225", "EXDATE:tomorrow"};
    const char *rules[] = {"RRULE:FREQ=FORTNIGHTLY"};
    const struct calendar_config wrong = {
        .schedule = "61 * * * *", .timezone = "Mars/Base", .recurrence = {lines, 2}, .exclude = {rules, 1}};
    const struct calendar_config empty = {0};
    struct plan_test test;

    (void)state;
    plan_test_open(&test, &wrong);
    assert_int_equal(test.problems.count, 4);
    assert_string_equal(test.problems.items[0].path, "timezone");
    assert_string_equal(test.problems.items[1].path, "schedule");
    assert_string_equal(test.problems.items[2].path, "recurrence[1]");
    assert_string_equal(test.problems.items[3].path, "exclude[0]");
    plan_test_close(&test);
    plan_test_open(&test, &empty);
    assert_int_equal(test.problems.count, 1);
    plan_test_close(&test);
}

static void the_schedule_wins_over_the_interval(void **state)
{
    const struct calendar_config config = {.schedule = "@hourly", .interval_ns = GW_NS_PER_S};
    struct plan_test test;

    (void)state;
    plan_test_open(&test, &config);
    assert_true(test.plan.interval_ignored);
    expect_next(&test, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    plan_test_close(&test);
}

/* ---- agenda ---- */

enum { ENTRIES = 1000 };

static void the_agenda_gives_what_is_due_first(void **state)
{
    static struct agenda_entry entries[ENTRIES];
    struct agenda agenda = {0};
    uint32_t random = 1;
    int64_t last = INT64_MIN;

    (void)state;
    assert_int_equal(agenda_reserve(&agenda, ENTRIES), 0);
    for (size_t i = 0; i < ENTRIES * 3; i++) { /* also moves entries that are in already */
        random = random * 1103515245U + 12345U;
        agenda_put(&agenda, &entries[i % ENTRIES], random >> 8);
    }
    for (size_t i = 0; i < ENTRIES; i += 3)
        agenda_remove(&agenda, &entries[i]);
    agenda_remove(&agenda, &entries[0]); /* not in it */
    for (struct agenda_entry *entry; (entry = agenda_first(&agenda)) != NULL;) {
        assert_true(entry->due_ns >= last);
        last = entry->due_ns;
        assert_int_not_equal((entry - entries) % 3, 0);
        agenda_remove(&agenda, entry);
    }
    assert_int_equal(agenda.count, 0);
    agenda_done(&agenda);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_and_dates_are_inverse),
        cmocka_unit_test(five_fields_and_six_are_read),
        cmocka_unit_test(days_of_month_and_week_follow_robfig),
        cmocka_unit_test(last_days_are_found),
        cmocka_unit_test(words_stand_for_fields),
        cmocka_unit_test(wrong_fields_are_refused_in_words),
        cmocka_unit_test(a_schedule_without_any_date_is_refused),
        cmocka_unit_test(fixed_times_tick_once_through_a_spring_gap),
        cmocka_unit_test(fixed_times_tick_once_through_an_autumn_fold),
        cmocka_unit_test(running_times_go_on_through_both),
        cmocka_unit_test(zones_go_on_by_their_rule),
        cmocka_unit_test(unknown_zones_are_refused_with_the_nearest),
        cmocka_unit_test(damaged_zone_files_are_refused),
        cmocka_unit_test(times_are_written_as_go_does),
        cmocka_unit_test(intervals_are_a_grid_of_multiples),
        cmocka_unit_test(missed_ticks_are_bounded_to_the_latest),
        cmocka_unit_test(recurrence_excludes_days_as_argo_did),
        cmocka_unit_test(exclude_means_what_is_written),
        cmocka_unit_test(weeks_without_the_day_of_dtstart_are_kept),
        cmocka_unit_test(a_plan_without_ticks_says_so),
        cmocka_unit_test(every_problem_of_a_plan_is_found),
        cmocka_unit_test(the_schedule_wins_over_the_interval),
        cmocka_unit_test(the_agenda_gives_what_is_due_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
