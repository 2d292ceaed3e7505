/* common/clock: RFC 3339 both ways, clocks, identifiers. */
#include "common/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static void instants_are_written_in_utc(void **state GW_UNUSED)
{
    static const struct {
        int64_t ns;
        int digits;
        const char *text;
    } rows[] = {
        {0, -1, "1970-01-01T00:00:00Z"},
        {INT64_C(1772353800123456789), -1, "2026-03-01T08:30:00.123456789Z"},
        {INT64_C(1772353800123456000), -1, "2026-03-01T08:30:00.123456Z"},
        {INT64_C(1772353800100000000), -1, "2026-03-01T08:30:00.100Z"},
        {INT64_C(1772353800999999999), 0, "2026-03-01T08:30:00Z"}, /* cut, not rounded into the next second */
        {INT64_C(1772353800999999999), 3, "2026-03-01T08:30:00.999Z"},
        {INT64_C(1772353800000000001), 6, "2026-03-01T08:30:00.000000Z"},
        {0, 9, "1970-01-01T00:00:00.000000000Z"},
        {-1, -1, "1969-12-31T23:59:59.999999999Z"},
        {-GW_NS_PER_S, -1, "1969-12-31T23:59:59Z"},
        {INT64_C(951782400000000000), -1, "2000-02-29T00:00:00Z"},
        {INT64_MIN, -1, "1677-09-21T00:12:43.145224192Z"},
        {INT64_MAX, -1, "2262-04-11T23:47:16.854775807Z"},
    };
    char buffer[GW_TIME_MAX];

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
        assert_string_equal(gw_time_format(buffer, rows[i].ns, rows[i].digits), rows[i].text);
}

static void instants_are_read_with_any_offset(void **state GW_UNUSED)
{
    static const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"1970-01-01t00:00:00z", 0},
        {"1970-01-01 00:00:00+00:00", 0},
        {"1970-01-01T00:00:00-00:00", 0},
        {"1970-01-01T05:30:00+05:30", 0},
        {"1969-12-31T16:00:00-08:00", 0},
        {"1969-12-31T23:59:59.5Z", -GW_NS_PER_S / 2},
        {"2026-03-01T08:30:00.123456789999Z", INT64_C(1772353800123456789)},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800000000000)},
        {"1677-09-21T00:12:43.145224192Z", INT64_MIN},
        {"2262-04-11T23:47:16.854775807Z", INT64_MAX},
        {"1996-12-19T16:39:57-08:00", INT64_C(851042397000000000)},
        {"1937-01-01T12:00:27.87+00:20", INT64_C(-1041337172130000000)},
    };
    int64_t ns;

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        assert_true(gw_time_parse(gw_view_text(rows[i].text), &ns));
        assert_true(ns == rows[i].ns);
    }
}

static void what_is_no_instant_is_refused(void **state GW_UNUSED)
{
    static const char *const rows[] = {
        "",
        "2026",
        "2026-03-01",
        "2026-03-01T08:30:00",
        "2026-03-01T08:30Z",
        "2026-03-01T08:30:00.Z",
        "2026-03-01T08:30:00,5Z",
        "2026-03-01T08:30:00+0100",
        "2026-03-01T08:30:00+24:00",
        "2026-03-01T08:30:00+01:60",
        "2026-03-01T08:30:00Z ",
        " 2026-03-01T08:30:00Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:61Z",
        "+026-01-01T00:00:00Z",
        "1677-09-21T00:12:43.145224191Z",
        "2262-04-11T23:47:16.854775808Z",
        "1600-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
    };
    int64_t ns = 42;

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
        assert_false(gw_time_parse(gw_view_text(rows[i]), &ns));
    assert_false(gw_time_parse(gw_view("2026-03-01T08:30:00\0Z", 21), &ns));
    assert_false(gw_time_parse(gw_view("2026-03-01\00008:30:00Z", 20), &ns));
    assert_true(ns == 42);
}

static void whatever_is_written_reads_back(void **state GW_UNUSED)
{
    char buffer[GW_TIME_MAX], libc[GW_TIME_MAX];

    for (int i = 0; i < 100000; i++) {
        int64_t ns = (int64_t)(gw_random_u64()), back;
        if (i % 3 == 0)
            ns = ns / GW_NS_PER_MS * GW_NS_PER_MS;
        gw_time_format(buffer, ns, -1);
        if (!gw_time_parse(gw_view_text(buffer), &back) || back != ns)
            fail_msg("%lld is written %s", (long long)ns, buffer);
        time_t seconds = (time_t)(ns / GW_NS_PER_S - (ns % GW_NS_PER_S < 0));
        struct tm tm;
        strftime(libc, sizeof(libc), "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &tm));
        assert_memory_equal(buffer, libc, 19);
    }
}

static void every_offset_means_the_same_instant(void **state GW_UNUSED)
{
    for (int minutes = -1439; minutes <= 1439; minutes++) {
        char local[GW_TIME_MAX], text[GW_TIME_MAX + 8];
        int64_t ns = INT64_C(1772353800) * GW_NS_PER_S, back;
        gw_time_format(local, ns + minutes * 60 * GW_NS_PER_S, 0);
        snprintf(text, sizeof(text), "%.19s%c%02d:%02d", local, minutes < 0 ? '-' : '+', abs(minutes) / 60,
                 abs(minutes) % 60);
        assert_true(gw_time_parse(gw_view_text(text), &back));
        assert_true(back == ns);
    }
}

static void clocks_go_forward(void **state GW_UNUSED)
{
    int64_t before = gw_clock_monotonic_ns();

    assert_true(gw_clock_monotonic_ns() >= before);
    assert_true(llabs(gw_clock_realtime_ns() / GW_NS_PER_S - (int64_t)time(NULL)) <= 1);
}

static void identifiers_are_version_7_and_rise(void **state GW_UNUSED)
{
    char last[GW_UUID_SIZE] = "", next[GW_UUID_SIZE];
    int64_t before_ms = gw_clock_realtime_ns() / GW_NS_PER_MS;

    for (int i = 0; i < 20000; i++) {
        gw_uuid7(next);
        assert_int_equal(strlen(next), GW_UUID_SIZE - 1);
        assert_int_equal(next[14], '7');
        assert_non_null(strchr("89ab", next[19]));
        assert_true(strcmp(last, next) < 0);
        memcpy(last, next, sizeof(last));
    }
    unsigned long long high, low;
    assert_int_equal(sscanf(last, "%8llx-%4llx-", &high, &low), 2);
    int64_t ms = (int64_t)(high << 16 | low);
    assert_true(ms >= before_ms && ms <= gw_clock_realtime_ns() / GW_NS_PER_MS + 10);
}

enum { THREADS = 4, EACH = 5000 };

static void *make_identifiers(void *own)
{
    char(*identifiers)[GW_UUID_SIZE] = own;

    for (int i = 0; i < EACH; i++)
        gw_uuid7(identifiers[i]);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void identifiers_of_all_threads_differ(void **state GW_UNUSED)
{
    static char identifiers[THREADS * EACH][GW_UUID_SIZE];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_identifiers, identifiers[i * EACH]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(identifiers, GW_COUNT_OF(identifiers), GW_UUID_SIZE, compare);
    for (size_t i = 1; i < GW_COUNT_OF(identifiers); i++)
        assert_string_not_equal(identifiers[i - 1], identifiers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(instants_are_written_in_utc),
        cmocka_unit_test(instants_are_read_with_any_offset),
        cmocka_unit_test(what_is_no_instant_is_refused),
        cmocka_unit_test(whatever_is_written_reads_back),
        cmocka_unit_test(every_offset_means_the_same_instant),
        cmocka_unit_test(clocks_go_forward),
        cmocka_unit_test(identifiers_are_version_7_and_rise),
        cmocka_unit_test(identifiers_of_all_threads_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
