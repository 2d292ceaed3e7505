/* check-server's broken configurations: each differs from the good one in one thing. */
#include "gateway-client/check/check_config.h"

#include "common/json.h"
#include "common/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char schema_text[] =
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"port\"],\"properties\":{"
    "\"port\":{\"type\":[\"integer\",\"string\"]},\"method\":{\"type\":\"string\",\"enum\":[\"GET\"]},"
    "\"hook\":{\"type\":\"object\"},\"any\":{},\"odd\":true,"
    "\"all\":{\"type\":[\"object\",\"array\",\"string\",\"number\",\"integer\"]}}}";

struct made {
    struct gw_arena arena;
    struct gw_problems problems;
    const struct gw_node *good, *schema;
    struct gwc_variants variants;
};

static void made_done(struct made *made)
{
    gw_arena_done(&made->arena);
    gw_problems_done(&made->problems);
}

static void make(struct made *made, const char *good, const char *schema)
{
    *made = (struct made){.good = NULL};
    if (good != NULL)
        assert_int_equal(gw_yaml_read(&made->arena, gw_view_text(good), &made->good, &made->problems), 0);
    if (schema != NULL)
        assert_int_equal(gw_json_read(&made->arena, gw_view_text(schema), &made->schema, &made->problems), 0);
    assert_int_equal(gwc_variants_make(&made->arena, made->good, made->schema, &made->variants), 0);
}

static const struct gwc_variant *find(const struct made *made, const char *what)
{
    for (size_t i = 0; i < made->variants.count; i++)
        if (strcmp(made->variants.items[i].what, what) == 0)
            return &made->variants.items[i];
    fail_msg("there is no %s", what);
    return NULL;
}

static void assert_variant(const struct made *made, const char *what, enum gwc_variant_kind kind,
                           const char *text)
{
    const struct gwc_variant *variant = find(made, what);

    assert_int_equal(variant->kind, kind);
    if (!gw_view_is(variant->text, text))
        fail_msg("%s: %.*s", what, (int)variant->text.size, variant->text.data);
}

static void each_differs_from_the_good_one_in_one_thing(void **state)
{
    GW_AUTO(made_done) struct made made;

    (void)state;
    make(&made, "port: 1.10\nmethod: GET\nhook: {\"a\\\"b\": [1, null]}\n", schema_text);
    assert_variant(&made, "an empty text", GWC_VARIANT_ODD, "");
    assert_variant(&made, "a list instead of a mapping", GWC_VARIANT_WRONG, "- 1\n- 2\n");
    assert_variant(
        &made, "the field checkServerUnknownField", GWC_VARIANT_UNKNOWN,
        "{\"port\":1.10,\"method\":\"GET\",\"hook\":{\"a\\\"b\":[1,null]},\"checkServerUnknownField\":1}\n");
    assert_variant(&made, "a mapping for port", GWC_VARIANT_WRONG,
                   "{\"method\":\"GET\",\"hook\":{\"a\\\"b\":[1,null]},\"port\":{\"check-server\":[1]}}\n");
    assert_variant(&made, "a list for hook", GWC_VARIANT_WRONG,
                   "{\"port\":1.10,\"method\":\"GET\",\"hook\":[[1]]}\n");
    assert_variant(&made, "no port", GWC_VARIANT_WRONG,
                   "{\"method\":\"GET\",\"hook\":{\"a\\\"b\":[1,null]}}\n");
    assert_string_equal(find(&made, "\"check-server\", which is none of its choices, for method")->field,
                        "method");
    /* empty, not YAML, a list, an unknown field, three wrong types, one choice, one that is missing */
    assert_int_equal(made.variants.count, 9);
}

static void without_a_schema_there_are_few(void **state)
{
    GW_AUTO(made_done) struct made made;

    (void)state;
    make(&made, "", NULL);
    assert_int_equal(made.variants.count, 3);
    assert_variant(&made, "the field checkServerUnknownField", GWC_VARIANT_UNKNOWN,
                   "{\"checkServerUnknownField\":1}\n");
}

static void schemas_of_strangers_do_no_harm(void **state)
{
    static const char *const schemas[] = {
        "{}",
        "[]",
        "true",
        "7",
        "{\"properties\":[1]}",
        "{\"properties\":{\"a\":7,\"b\":{\"type\":7}}}",
        "{\"required\":{\"a\":1},\"type\":[7,null]}",
        "{\"required\":[7,[\"x\"]]}",
        "{\"properties\":{\"a\":{\"enum\":7,\"type\":[[]]}}}",
        "{\"additionalProperties\":{}}",
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(schemas); i++) {
        GW_AUTO(made_done) struct made made;
        make(&made, "a: 1\n", schemas[i]);
        assert_in_range(made.variants.count, 2, 8);
        assert_false(gwc_schema_is_closed(made.schema));
    }
}

static void their_number_has_a_limit(void **state)
{
    GW_AUTO(made_done) struct made made;
    GW_AUTO(gw_bytes_done) struct gw_bytes schema = {0};

    (void)state;
    gw_bytes_append_text(&schema, "{\"properties\":{");
    for (int i = 0; i < 200; i++)
        gw_bytes_printf(&schema, "%s\"f%d\":{\"type\":\"string\"}", i == 0 ? "" : ",", i);
    gw_bytes_append_text(&schema, "}}");
    make(&made, "a: 1\n", gw_bytes_text(&schema));
    assert_int_equal(made.variants.count, GWC_VARIANTS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_differs_from_the_good_one_in_one_thing),
        cmocka_unit_test(without_a_schema_there_are_few),
        cmocka_unit_test(schemas_of_strangers_do_no_harm),
        cmocka_unit_test(their_number_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
