/* common/log: lines as logfmt and JSON, one write each. */
#include "common/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr, capture[2];

static int begin(void **state GW_UNUSED)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    if (pipe(capture) != 0)
        return -1;
    dup2(capture[1], STDERR_FILENO);
    close(capture[1]);
    gw_log_set_level("info");
    gw_log_set_format("logfmt");
    return 0;
}

static int end(void **state GW_UNUSED)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(capture[0]);
    return 0;
}

/* What one read() gives, without the time. */
static const char *next_line(void)
{
    static char line[4096];
    ssize_t size = read(capture[0], line, sizeof(line) - 1);

    assert_true(size > 0);
    line[size] = '\0';
    char *level = strstr(line, "level");
    assert_non_null(level);
    return level;
}

static void a_plain_line_needs_no_quotes(void **state GW_UNUSED)
{
    gw_log(GW_LOG_INFO, "running", "source", "webhook.orders", "attempt", GW_NUMBER(3), "absent", NULL,
           "last", GW_NUMBER(INT64_MIN), NULL);
    assert_string_equal(
        next_line(),
        "level=info message=running source=webhook.orders attempt=3 last=-9223372036854775808\n");
}

static void the_line_begins_with_the_time(void **state GW_UNUSED)
{
    char line[200];
    int year, month, day, hour, minute, second, milli, end_at = 0;

    gw_log(GW_LOG_WARN, "x", NULL);
    ssize_t size = read(capture[0], line, sizeof(line) - 1);
    line[size] = '\0';
    assert_int_equal(sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ level=warn message=x\n%n", &year, &month,
                            &day, &hour, &minute, &second, &milli, &end_at),
                     7);
    assert_int_equal(end_at, size);
}

static void logfmt_quotes_what_needs_it(void **state GW_UNUSED)
{
    gw_log(GW_LOG_ERROR, "it broke", "e", "", "q", "a\"b\\c", "n", "a\nb\tc\x01\x7F", "k", "a=b", "u",
           "Z\xC3\xBCrich", "b", "\xFF\xFE", NULL);
    assert_string_equal(next_line(), "level=error message=\"it broke\" e=\"\" q=\"a\\\"b\\\\c\" "
                                     "n=\"a\\nb\\tc\\u0001\\u007f\" k=\"a=b\" u=Z\xC3\xBCrich "
                                     "b=\"\xEF\xBF\xBD\xEF\xBF\xBD\"\n");
}

static void json_lines_are_json(void **state GW_UNUSED)
{
    gw_log_set_format("json");
    gw_log(GW_LOG_INFO, "say \"hi\"", "path", "C:\\x\r\n", "u", "\xE2\x82\xAC", "b", "a\x80", "n",
           GW_NUMBER(5), NULL);
    assert_string_equal(next_line(),
                        "level\":\"info\",\"message\":\"say \\\"hi\\\"\",\"path\":\"C:\\\\x\\r\\n\","
                        "\"u\":\"\xE2\x82\xAC\",\"b\":\"a\xEF\xBF\xBD\",\"n\":\"5\"}\n");
}

static void levels_below_the_set_one_are_silent(void **state GW_UNUSED)
{
    assert_true(gw_log_set_level("warn"));
    assert_false(gw_log_enabled(GW_LOG_INFO));
    gw_log(GW_LOG_INFO, "unheard", NULL);
    gw_log(GW_LOG_WARN, "heard", NULL);
    assert_string_equal(next_line(), "level=warn message=heard\n");
    assert_true(gw_log_set_level("debug"));
    gw_log(GW_LOG_DEBUG, "detail", NULL);
    assert_string_equal(next_line(), "level=debug message=detail\n");
}

static void unknown_names_are_refused_and_change_nothing(void **state GW_UNUSED)
{
    assert_false(gw_log_set_level("loud"));
    assert_false(gw_log_set_level(NULL));
    assert_false(gw_log_set_format("xml"));
    gw_log(GW_LOG_INFO, "x", NULL);
    assert_string_equal(next_line(), "level=info message=x\n");
}

static void errno_is_left_alone(void **state GW_UNUSED)
{
    errno = EXDEV;
    gw_log(GW_LOG_INFO, "x", NULL);
    assert_int_equal(errno, EXDEV);
    next_line();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plain_line_needs_no_quotes, begin, end),
        cmocka_unit_test_setup_teardown(the_line_begins_with_the_time, begin, end),
        cmocka_unit_test_setup_teardown(logfmt_quotes_what_needs_it, begin, end),
        cmocka_unit_test_setup_teardown(json_lines_are_json, begin, end),
        cmocka_unit_test_setup_teardown(levels_below_the_set_one_are_silent, begin, end),
        cmocka_unit_test_setup_teardown(unknown_names_are_refused_and_change_nothing, begin, end),
        cmocka_unit_test_setup_teardown(errno_is_left_alone, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
