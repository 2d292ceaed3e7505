/* common/fault: traces, verdicts that nobody answered, and words that fit. */
#include "common/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int deep(int answer)
{
    return answer < 0 ? GW_RAISE(answer) : answer;
}

static int middle(int answer)
{
    GW_TRY(deep(answer));
    return 0;
}

static int top(int answer)
{
    GW_TRY(middle(answer));
    return 0;
}

static int unraised(void)
{
    GW_TRY(-EIO);
    return 0;
}

/* The trace without its line numbers. */
static const char *trace_shape(void)
{
    static char shape[2048];
    char *out = shape;

    for (const char *at = gw_fault_trace(); *at != '\0'; at++)
        if (!(*at >= '0' && *at <= '9'))
            *out++ = *at;
    *out = '\0';
    return shape;
}

static void a_fault_collects_the_frames_it_passes(void **state GW_UNUSED)
{
    assert_int_equal(top(0), 0);
    assert_int_equal(top(-ENOMEM), -ENOMEM);
    assert_string_equal(trace_shape(),
                        "Cannot allocate memory at test_fault.c: deep < test_fault.c: middle < "
                        "test_fault.c: top");
}

static void a_fault_that_was_not_raised_starts_its_own_trace(void **state GW_UNUSED)
{
    assert_int_equal(top(-ENOMEM), -ENOMEM);
    assert_int_equal(unraised(), -EIO);
    assert_string_equal(trace_shape(), "Input/output error at test_fault.c: unraised");
}

static void an_unanswered_verdict_becomes_a_fault(void **state GW_UNUSED)
{
    assert_int_equal(top(3), -ENOTRECOVERABLE);
    assert_non_null(strstr(gw_fault_trace(), "middle (verdict 3 was not answered) < test_fault.c"));
}

static int fall(int depth)
{
    if (depth == 0)
        return GW_RAISE(-EPIPE);
    GW_TRY(fall(depth - 1));
    return 0;
}

static void an_endless_trace_is_cut(void **state GW_UNUSED)
{
    assert_int_equal(fall(500), -EPIPE);
    assert_true(strlen(gw_fault_trace()) < 1024);
    assert_int_equal(GW_RAISE(-99999), -99999);
    assert_non_null(strstr(gw_fault_trace(), "unknown fault at"));
}

static void words_are_cut_at_a_character(void **state GW_UNUSED)
{
    struct gw_reason reason;
    char text[GW_REASON_MAX + 100];

    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4);
        gw_reason_set(&reason, "%s", text);
        assert_int_equal(strlen(reason.text), lead + (GW_REASON_MAX - 1 - lead) / 3 * 3);
    }
    memset(text, 'x', sizeof(text));
    text[GW_REASON_MAX - 1] = '\0';
    gw_reason_set(&reason, "%s", text);
    assert_string_equal(reason.text, text);
    text[GW_REASON_MAX - 1] = 'x';
    text[GW_REASON_MAX] = '\0';
    gw_reason_set(&reason, "%s", text);
    assert_int_equal(strlen(reason.text), GW_REASON_MAX - 1);
    gw_reason_set(NULL, "%s", "nobody listens");
}

static void words_may_quote_the_words_they_replace(void **state GW_UNUSED)
{
    struct gw_reason reason;

    gw_reason_set(&reason, "port in use");
    gw_reason_set(&reason, "hook \"a\": %s", reason.text);
    assert_string_equal(reason.text, "hook \"a\": port in use");
    assert_int_equal(GW_REFUSE(-EINVAL, &reason, "%s: bad", "x"), -EINVAL);
    assert_string_equal(reason.text, "x: bad");
}

static void problems_are_gathered_and_told_together(void **state GW_UNUSED)
{
    struct gw_problems problems = {0};
    struct gw_reason reason;

    assert_false(gw_problems_any(&problems));
    gw_problems_reason(&problems, &reason);
    assert_string_equal(reason.text, "");
    gw_problems_add(&problems, "spec.port", 4, "%d is no port", 70000);
    gw_problems_add(&problems, "", 9, "not YAML");
    gw_problems_add(&problems, "name", 0, "missing");
    gw_problems_add(&problems, "", 0, "odd");
    assert_true(gw_problems_any(&problems));
    gw_problems_reason(&problems, &reason);
    assert_string_equal(reason.text,
                        "spec.port (line 4): 70000 is no port; line 9: not YAML; name: missing; odd");
    gw_problems_done(&problems);
    assert_false(gw_problems_any(&problems));
    assert_null(problems.items);
}

static void who_holds_what_is_asked_for_stays_with_its_problem(void **state GW_UNUSED)
{
    struct gw_problems problems = {0}, copy = {0};

    gw_problems_held_by(&problems, "nobody"); /* of no problem at all */
    gw_problems_add(&problems, "endpoint", 0, "taken");
    gw_problems_held_by(&problems, "orders");
    gw_problems_add(&problems, "port", 0, "no port");
    gw_problems_append(&copy, &problems);
    gw_problems_done(&problems);
    assert_int_equal(copy.count, 2);
    assert_string_equal(copy.items[0].held_by, "orders");
    assert_null(copy.items[1].held_by);
    gw_problems_done(&copy);
}

static void too_many_problems_are_counted(void **state GW_UNUSED)
{
    struct gw_problems problems = {0};
    struct gw_reason reason;

    for (int i = 0; i < GW_PROBLEMS_MAX + 7; i++)
        gw_problems_add(&problems, "a", i, "b");
    assert_int_equal(problems.count, GW_PROBLEMS_MAX);
    assert_int_equal(problems.dropped, 7);
    assert_int_equal(problems.items[GW_PROBLEMS_MAX - 1].line, GW_PROBLEMS_MAX - 1);
    gw_problems_reason(&problems, &reason);
    assert_int_equal(strlen(reason.text), GW_REASON_MAX - 1);
    gw_problems_done(&problems);
    problems.dropped = 2;
    gw_problems_reason(&problems, &reason);
    assert_string_equal(reason.text, "2 more");
}

static void freep_frees_and_forgets(void **state GW_UNUSED)
{
    char *text = strdup("x");

    gw_freep(&text);
    assert_null(text);
    gw_freep(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_collects_the_frames_it_passes),
        cmocka_unit_test(a_fault_that_was_not_raised_starts_its_own_trace),
        cmocka_unit_test(an_unanswered_verdict_becomes_a_fault),
        cmocka_unit_test(an_endless_trace_is_cut),
        cmocka_unit_test(words_are_cut_at_a_character),
        cmocka_unit_test(words_may_quote_the_words_they_replace),
        cmocka_unit_test(problems_are_gathered_and_told_together),
        cmocka_unit_test(who_holds_what_is_asked_for_stays_with_its_problem),
        cmocka_unit_test(too_many_problems_are_counted),
        cmocka_unit_test(freep_frees_and_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
