/* A merge patch: applied to what was there, it gives what should be; nothing in it is in vain. */
#include "gateway-client/report/merge_patch.h"

#include "common/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const owned[] = {"a", "b", "nodes", "list", NULL};
static const char *const counters[] = {"events", NULL};
static const struct gwc_patch_shape shape = {owned, counters};

static const struct gw_node *tree(struct gw_arena *arena, const char *json)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *root = NULL;

    if (json != NULL)
        assert_int_equal(gw_json_read(arena, gw_view_text(json), &root, &problems), 0);
    return root;
}

static void expect(const char *before, const char *after, enum gwc_patch patch, const char *text)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    enum gwc_patch found = gwc_merge_patch(tree(&arena, before), tree(&arena, after), &shape, &out);
    assert_string_equal(gw_bytes_text(&out), text);
    assert_int_equal(found, patch);
}

static void the_same_needs_no_patch(void **state)
{
    (void)state;
    expect("{}", "{}", GWC_PATCH_NOTHING, "");
    expect("{\"a\":1,\"b\":{\"c\":[1,{\"d\":true}]}}", "{\"b\":{\"c\":[1,{\"d\":true}]},\"a\":1}",
           GWC_PATCH_NOTHING, "");
}

static void only_what_differs_is_in_it(void **state)
{
    (void)state;
    expect("{\"a\":1,\"b\":\"x\"}", "{\"a\":1,\"b\":\"y\"}", GWC_PATCH_MATTERS, "{\"b\":\"y\"}");
    expect("{\"nodes\":{\"1\":{\"a\":1,\"b\":2},\"2\":{\"a\":1}}}",
           "{\"nodes\":{\"1\":{\"a\":1,\"b\":3},\"2\":{\"a\":1}}}", GWC_PATCH_MATTERS,
           "{\"nodes\":{\"1\":{\"b\":3}}}");
    expect("{\"a\":\"1\"}", "{\"a\":1}", GWC_PATCH_MATTERS, "{\"a\":1}");
    expect("{\"a\":null}", "{\"a\":false}", GWC_PATCH_MATTERS, "{\"a\":false}");
    expect("{\"a\":true}", "{\"a\":false}", GWC_PATCH_MATTERS, "{\"a\":false}");
    expect("{\"a\":[1]}", "{\"a\":{\"b\":1}}", GWC_PATCH_MATTERS, "{\"a\":{\"b\":1}}");
}

static void what_went_is_null(void **state)
{
    (void)state;
    expect("{\"nodes\":{\"1\":{\"a\":1},\"2\":{\"a\":1,\"z\":null}}}", "{\"nodes\":{\"2\":{\"a\":1}}}",
           GWC_PATCH_MATTERS, "{\"nodes\":{\"1\":null,\"2\":{\"z\":null}}}");
    expect("{\"a\":1,\"b\":2}", "{\"b\":2}", GWC_PATCH_MATTERS, "{\"a\":null}");
}

static void what_belongs_to_others_stays(void **state)
{
    (void)state;
    expect("{\"resources\":{\"deployment\":{}},\"a\":1}", "{\"a\":1}", GWC_PATCH_NOTHING, "");
    expect("{\"resources\":{},\"a\":1}", "{\"a\":2}", GWC_PATCH_MATTERS, "{\"a\":2}");
}

static void lists_are_replaced_whole(void **state)
{
    (void)state;
    expect("{\"list\":[{\"a\":1},{\"a\":2}]}", "{\"list\":[{\"a\":1},{\"a\":3}]}", GWC_PATCH_MATTERS,
           "{\"list\":[{\"a\":1},{\"a\":3}]}");
    expect("{\"list\":[1,2]}", "{\"list\":[1]}", GWC_PATCH_MATTERS, "{\"list\":[1]}");
    expect("{\"list\":[1]}", "{\"list\":[]}", GWC_PATCH_MATTERS, "{\"list\":[]}");
}

static void counters_are_told_apart(void **state)
{
    (void)state;
    expect("{\"nodes\":{\"1\":{\"events\":1,\"a\":1}}}", "{\"nodes\":{\"1\":{\"events\":2,\"a\":1}}}",
           GWC_PATCH_COUNTERS, "{\"nodes\":{\"1\":{\"events\":2}}}");
    expect("{\"nodes\":{\"1\":{\"events\":1,\"a\":1}}}", "{\"nodes\":{\"1\":{\"events\":2,\"a\":2}}}",
           GWC_PATCH_MATTERS, "{\"nodes\":{\"1\":{\"events\":2,\"a\":2}}}");
    /* a counter that goes with its node matters */
    expect("{\"nodes\":{\"1\":{\"events\":1}}}", "{\"nodes\":{}}", GWC_PATCH_MATTERS,
           "{\"nodes\":{\"1\":null}}");
}

static void where_nothing_was_everything_is_new(void **state)
{
    (void)state;
    expect(NULL, "{\"a\":1,\"nodes\":{\"1\":{\"events\":2}}}", GWC_PATCH_MATTERS,
           "{\"a\":1,\"nodes\":{\"1\":{\"events\":2}}}");
    expect("[]", "{\"a\":1}", GWC_PATCH_MATTERS, "{\"a\":1}");
    expect(NULL, "{}", GWC_PATCH_NOTHING, "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_needs_no_patch),
        cmocka_unit_test(only_what_differs_is_in_it),
        cmocka_unit_test(what_went_is_null),
        cmocka_unit_test(what_belongs_to_others_stays),
        cmocka_unit_test(lists_are_replaced_whole),
        cmocka_unit_test(counters_are_told_apart),
        cmocka_unit_test(where_nothing_was_everything_is_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
