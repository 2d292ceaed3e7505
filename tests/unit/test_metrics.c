/* common/metrics: the exposition format to the letter, and counting from many threads. */
#include "common/metrics.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static void written_is(struct gw_metrics *metrics, const char *expected)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    gw_metrics_write(metrics, &out);
    assert_string_equal(gw_bytes_text(&out), expected);
}

static void families_are_written_in_order_with_their_series(void **state GW_UNUSED)
{
    struct gw_metrics *metrics = gw_metrics_new();
    struct gw_family *b = gw_metrics_family(metrics, GW_COUNTER, "b_total", "The b.", "", NULL, 0);
    struct gw_family *a = gw_metrics_family(metrics, GW_GAUGE, "a", "The\n\\a.", "x,y", NULL, 0);
    struct gw_series *count = gw_family_series(b, NULL);

    gw_series_add(count, 2);
    gw_series_add(count, 0.5);
    gw_series_add(count, -1); /* a counter never goes down */
    gw_series_set(gw_family_series(a, (const char *[]){"1", "2"}), -3);
    gw_series_set(gw_family_series(a, (const char *[]){"q\"\\\n", NULL}), 1e300);
    written_is(metrics, "# HELP b_total The b.\n# TYPE b_total counter\nb_total 2.5\n"
                        "# HELP a The\\n\\\\a.\n# TYPE a gauge\na{x=\"1\",y=\"2\"} -3\n"
                        "a{x=\"q\\\"\\\\\\n\",y=\"\"} 1e+300\n");
    gw_metrics_free(metrics);
}

static void a_histogram_is_cumulative(void **state GW_UNUSED)
{
    static const double buckets[] = {0.1, 1, 2.5};
    struct gw_metrics *metrics = gw_metrics_new();
    struct gw_family *family =
        gw_metrics_family(metrics, GW_HISTOGRAM, "h", "H.", "k", buckets, GW_COUNT_OF(buckets));
    struct gw_series *series = gw_family_series(family, (const char *[]){"v"});
    static const double observed[] = {0.1, 0.5, 1, 7, 0};

    for (size_t i = 0; i < GW_COUNT_OF(observed); i++)
        gw_series_observe(series, observed[i]);
    assert_int_equal((int)gw_series_value(series), 5);
    written_is(
        metrics,
        "# HELP h H.\n# TYPE h histogram\nh_bucket{k=\"v\",le=\"0.1\"} 2\nh_bucket{k=\"v\",le=\"1\"} 4\n"
        "h_bucket{k=\"v\",le=\"2.5\"} 4\nh_bucket{k=\"v\",le=\"+Inf\"} 5\nh_sum{k=\"v\"} 8.6\n"
        "h_count{k=\"v\"} 5\n");
    gw_metrics_free(metrics);
}

static void numbers_are_exact_and_special_values_have_names(void **state GW_UNUSED)
{
    static const struct {
        double value;
        const char *text;
    } rows[] = {{NAN, "NaN"},
                {INFINITY, "+Inf"},
                {-INFINITY, "-Inf"},
                {0.1, "0.1"},
                {-0.0, "0"},
                {1e15, "1e+15"},
                {1.0 / 3, "0.3333333333333333"},
                {1772353800.123, "1772353800.123"},
                {999999999999999, "999999999999999"}};

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        char expected[128];
        struct gw_metrics *metrics = gw_metrics_new();
        gw_series_set(gw_family_series(gw_metrics_family(metrics, GW_GAUGE, "g", "G.", "", NULL, 0), NULL),
                      rows[i].value);
        snprintf(expected, sizeof(expected), "# HELP g G.\n# TYPE g gauge\ng %s\n", rows[i].text);
        written_is(metrics, expected);
        gw_metrics_free(metrics);
    }
}

static void the_same_name_and_values_are_the_same_series_until_removed(void **state GW_UNUSED)
{
    struct gw_metrics *metrics = gw_metrics_new();
    struct gw_family *family = gw_metrics_family(metrics, GW_GAUGE, "g", "G.", "n", NULL, 0);
    struct gw_series *series[100];
    char name[16];

    assert_ptr_equal(gw_metrics_family(metrics, GW_GAUGE, "g", "G.", "n", NULL, 0), family);
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        series[i] = gw_family_series(family, (const char *[]){name});
        gw_series_set(series[i], i);
    }
    assert_ptr_equal(gw_family_series(family, (const char *[]){"s42"}), series[42]);
    for (int i = 0; i < 100; i++)
        if (i != 0 && i != 50)
            gw_family_remove(family, series[i]);
    written_is(metrics, "# HELP g G.\n# TYPE g gauge\ng{n=\"s0\"} 0\ng{n=\"s42\"} 42\ng{n=\"s50\"} 50\n");
    gw_family_remove(family, series[42]); /* it was asked for twice */
    written_is(metrics, "# HELP g G.\n# TYPE g gauge\ng{n=\"s0\"} 0\ng{n=\"s50\"} 50\n");
    gw_family_remove(family, series[0]);
    gw_family_remove(family, series[50]);
    gw_series_set(gw_family_series(family, (const char *[]){"s50"}), 1);
    written_is(metrics, "# HELP g G.\n# TYPE g gauge\ng{n=\"s50\"} 1\n");
    gw_metrics_free(metrics);
}

static void nothing_at_all_is_taken_everywhere(void **state GW_UNUSED)
{
    struct gw_family *family = gw_metrics_family(NULL, GW_COUNTER, "a", "A.", "", NULL, 0);
    struct gw_series *series = gw_family_series(family, NULL);

    gw_series_add(series, 1);
    gw_series_set(series, 1);
    gw_series_observe(series, 1);
    gw_family_remove(family, series);
    assert_true(gw_series_value(series) == 0);
    gw_metrics_add_process(NULL);
    gw_metrics_write(NULL, NULL);
    assert_null(gw_metrics_free(NULL));
}

enum { THREADS = 4, COUNTS = 20000 };
static struct gw_series *shared_counter, *shared_histogram;

static void *count_up(void *nothing)
{
    for (int i = 0; i < COUNTS; i++) {
        gw_series_add(shared_counter, 0.5);
        gw_series_observe(shared_histogram, i % 2);
    }
    return nothing;
}

static void no_count_is_lost_between_threads(void **state GW_UNUSED)
{
    static const double bucket = 0.5;
    struct gw_metrics *metrics = gw_metrics_new();
    pthread_t threads[THREADS];

    shared_counter =
        gw_family_series(gw_metrics_family(metrics, GW_COUNTER, "c_total", "C.", "", NULL, 0), NULL);
    shared_histogram =
        gw_family_series(gw_metrics_family(metrics, GW_HISTOGRAM, "h", "H.", "", &bucket, 1), NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, NULL), 0);
    for (int i = 0; i < 20; i++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
        gw_metrics_write(metrics, &out);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(gw_series_value(shared_counter) == THREADS * COUNTS / 2);
    assert_true(gw_series_value(shared_histogram) == THREADS * COUNTS);
    written_is(metrics,
               "# HELP c_total C.\n# TYPE c_total counter\nc_total 40000\n# HELP h H.\n# TYPE h histogram\n"
               "h_bucket{le=\"0.5\"} 40000\nh_bucket{le=\"+Inf\"} 80000\nh_sum 40000\nh_count 80000\n");
    gw_metrics_free(metrics);
}

static double sample(const char *text, const char *name)
{
    char line[80];

    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(text, line);
    assert_non_null(at);
    return strtod(at + strlen(line), NULL);
}

static void the_process_tells_about_itself(void **state GW_UNUSED)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes more = {0};
    struct gw_metrics *metrics = gw_metrics_new();
    int pair[2];

    gw_metrics_add_process(metrics);
    gw_metrics_write(metrics, &out);
    const char *text = gw_bytes_text(&out);
    assert_true(sample(text, "process_cpu_seconds_total") >= 0);
    assert_true(sample(text, "process_resident_memory_bytes") > 100e3);
    assert_true(sample(text, "process_max_fds") >= sample(text, "process_open_fds"));
    assert_true(fabs(sample(text, "process_start_time_seconds") - (double)time(NULL)) < 60);
    assert_int_equal(pipe(pair), 0);
    gw_metrics_write(metrics, &more);
    assert_true(sample(gw_bytes_text(&more), "process_open_fds") == sample(text, "process_open_fds") + 2);
    close(pair[0]);
    close(pair[1]);
    gw_metrics_free(metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_are_written_in_order_with_their_series),
        cmocka_unit_test(a_histogram_is_cumulative),
        cmocka_unit_test(numbers_are_exact_and_special_values_have_names),
        cmocka_unit_test(the_same_name_and_values_are_the_same_series_until_removed),
        cmocka_unit_test(nothing_at_all_is_taken_everywhere),
        cmocka_unit_test(no_count_is_lost_between_threads),
        cmocka_unit_test(the_process_tells_about_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
