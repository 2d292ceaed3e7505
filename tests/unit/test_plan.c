/* The plan: only what changed is stopped and started. */
#include "common/clock.h"
#include "gateway-client/spec/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEYS = 40 };
static char keys[KEYS][8];

static struct gwc_source source_of(const char *key, const char *config)
{
    return (struct gwc_source){.key = key, .type = "calendar", .name = key, .config = gw_view_text(config)};
}

static void the_first_set_is_started_whole(void **state)
{
    struct gwc_source items[] = {source_of("a", "1"), source_of("b", "1")};
    const struct gwc_sources after = {.items = items, .count = 2};
    GW_AUTO(gwc_plan_done) struct gwc_plan plan = {0};

    (void)state;
    assert_int_equal(gwc_plan_make(&plan, NULL, &after), 0);
    assert_int_equal(plan.stop_count, 0);
    assert_int_equal(plan.start_count, 2);
    assert_ptr_equal(plan.start[1], &items[1]);
    assert_int_equal(plan.kept, 0);
}

static void only_what_changed_is_touched(void **state)
{
    struct gwc_source old[] = {source_of("a", "1"), source_of("b", "1"), source_of("c", "1"),
                               source_of("e", "1")};
    struct gwc_source new[] = {source_of("a", "1"), source_of("b", "2"), source_of("d", "1"),
                               source_of("e", "1")};
    const struct gwc_sources before = {.items = old, .count = 4}, after = {.items = new, .count = 4};
    GW_AUTO(gwc_plan_done) struct gwc_plan plan = {0};

    (void)state;
    new[3].type = "webhook"; /* the same key, served by another */
    assert_int_equal(gwc_plan_make(&plan, &before, &after), 0);
    assert_int_equal(plan.kept, 1);
    assert_int_equal(plan.stop_count, 3);
    assert_ptr_equal(plan.stop[0], &old[1]);
    assert_ptr_equal(plan.stop[1], &old[2]);
    assert_ptr_equal(plan.stop[2], &old[3]);
    assert_int_equal(plan.start_count, 3);
    assert_ptr_equal(plan.start[0], &new[1]);
    assert_ptr_equal(plan.start[1], &new[2]);
    assert_ptr_equal(plan.start[2], &new[3]);
}

static size_t random_set(struct gwc_source *items, int *versions)
{
    static const char *const configs[] = {"one", "two"};
    size_t count = 0;

    for (int i = 0; i < KEYS; i++) {
        versions[i] = (int)(gw_random_u64() % 3) - 1; /* -1: not there */
        if (versions[i] >= 0)
            items[count++] = source_of(keys[i], configs[versions[i]]);
    }
    return count;
}

/* Property: before - stop + start = after, and nothing is touched that is the same in both. */
static void a_plan_leads_from_any_set_to_any_other(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct gwc_source old[KEYS], new[KEYS];
        int old_versions[KEYS], new_versions[KEYS];
        const struct gwc_sources before = {.items = old, .count = random_set(old, old_versions)};
        const struct gwc_sources after = {.items = new, .count = random_set(new, new_versions)};
        GW_AUTO(gwc_plan_done) struct gwc_plan plan = {0};
        size_t stop = 0, start = 0, kept = 0;

        assert_int_equal(gwc_plan_make(&plan, &before, &after), 0);
        for (int i = 0; i < KEYS; i++) {
            bool same = old_versions[i] == new_versions[i];

            if (!same && old_versions[i] >= 0)
                assert_string_equal(plan.stop[stop++]->key, keys[i]);
            if (!same && new_versions[i] >= 0)
                assert_string_equal(plan.start[start++]->key, keys[i]);
            kept += same && new_versions[i] >= 0;
        }
        assert_int_equal(plan.stop_count, stop);
        assert_int_equal(plan.start_count, start);
        assert_int_equal(plan.kept, kept);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_set_is_started_whole),
        cmocka_unit_test(only_what_changed_is_touched),
        cmocka_unit_test(a_plan_leads_from_any_set_to_any_other),
    };

    for (int i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof(keys[i]), "k%02d", i);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
