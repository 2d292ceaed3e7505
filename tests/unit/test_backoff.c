/* common/backoff: waits grow, are capped, and are never nothing. */
#include "common/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct gw_backoff_policy policy = {.initial_ms = 100, .factor = 2, .max_ms = 1000};

static void the_upper_end_doubles_up_to_the_cap(void **state GW_UNUSED)
{
    struct gw_backoff backoff = {.policy = policy};
    static const int64_t uppers[] = {100, 200, 400, 800, 1000, 1000, 1000};

    for (size_t i = 0; i < GW_COUNT_OF(uppers); i++) {
        struct gw_backoff low = backoff, high = backoff;
        int64_t width = uppers[i] - uppers[i] / 10;
        assert_int_equal(gw_backoff_next_ms(&low, 0), uppers[i] / 10);
        assert_int_equal(gw_backoff_next_ms(&high, (uint64_t)width), uppers[i]);
        gw_backoff_next_ms(&backoff, 7);
    }
}

static void every_wait_is_within_its_bounds(void **state GW_UNUSED)
{
    struct gw_backoff backoff = {.policy = {.initial_ms = 1, .factor = 1.7, .max_ms = 60000}};

    for (unsigned i = 0; i < 10000; i++) {
        int64_t wait = gw_backoff_next_ms(&backoff, UINT64_C(0x9E3779B97F4A7C15) * (i + 1));
        assert_true(wait >= 1 && wait <= 60000);
        if (i > 50)
            assert_true(wait >= 6000);
    }
}

static void a_reset_starts_again_and_a_huge_attempt_stays_at_the_cap(void **state GW_UNUSED)
{
    struct gw_backoff backoff = {.policy = policy, .attempt = UINT32_MAX};

    assert_int_equal(gw_backoff_next_ms(&backoff, 900), 1000);
    assert_int_equal(backoff.attempt, UINT32_MAX);
    gw_backoff_reset(&backoff);
    assert_int_equal(gw_backoff_next_ms(&backoff, 90), 100);
}

static void a_factor_of_one_stays_and_a_cap_below_the_start_wins(void **state GW_UNUSED)
{
    struct gw_backoff even = {.policy = {.initial_ms = 50, .factor = 1, .max_ms = 1000},
                              .attempt = UINT32_MAX - 1};
    struct gw_backoff capped = {.policy = {.initial_ms = 5000, .factor = 2, .max_ms = 1000}};

    assert_int_equal(gw_backoff_next_ms(&even, 45), 50);
    assert_int_equal(gw_backoff_next_ms(&capped, 900), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_upper_end_doubles_up_to_the_cap),
        cmocka_unit_test(every_wait_is_within_its_bounds),
        cmocka_unit_test(a_reset_starts_again_and_a_huge_attempt_stays_at_the_cap),
        cmocka_unit_test(a_factor_of_one_stays_and_a_cap_below_the_start_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
