/* Origins: how their names are read. What they do is seen with files (test_files) and an API server (test_configmap.py). */
#include "gateway-client/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void assert_object(const char *text, enum gwc_origin_kind kind, const char *namespace_,
                          const char *name)
{
    struct gwc_origin_name read;
    struct gw_reason reason = {""};

    if (gwc_origin_parse(&read, text, &reason) != 0)
        fail_msg("%s: %s", text, reason.text);
    assert_int_equal(read.kind, kind);
    assert_null(read.path);
    assert_string_equal(read.namespace_, namespace_);
    assert_string_equal(read.name, name);
}

static void objects_have_a_kind_a_namespace_and_a_name(void **state)
{
    (void)state;
    assert_object("configmap:events", GWC_ORIGIN_CONFIGMAP, "", "events");
    assert_object("configmap:shop/events.v2", GWC_ORIGIN_CONFIGMAP, "shop", "events.v2");
    assert_object("gateway:shop", GWC_ORIGIN_GATEWAY, "", "shop");
    assert_object("gateway:argo-events/shop", GWC_ORIGIN_GATEWAY, "argo-events", "shop");
}

static void anything_else_is_a_path(void **state)
{
    static const char *const paths[] = {"events.yaml", "/etc/gateway", "./configmap:events", "secret:events",
                                        "configmap"};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(paths); i++) {
        struct gwc_origin_name read;
        struct gw_reason reason = {""};

        assert_int_equal(gwc_origin_parse(&read, paths[i], &reason), 0);
        assert_int_equal(read.kind, GWC_ORIGIN_FILE);
        assert_ptr_equal(read.path, paths[i]);
    }
}

static void names_that_no_object_can_have_are_refused_in_words(void **state)
{
    char long_namespace[100], long_name[300];
    static const struct {
        const char *text, *words;
    } cases[] = {
        {"", "empty"},
        {"configmap:", "\"configmap:\" has no name: write configmap:NAME or configmap:NAMESPACE/NAME"},
        {"configmap:shop/", "has no name"},
        {"gateway:", "write gateway:NAME or"},
        {"gateway:/shop", "\"\" is not a namespace"},
        {"configmap:Shop/events", "\"Shop\" is not a namespace"},
        {"configmap:a.b/events", "is not a namespace"},
        {"configmap:shop/Events", "\"Events\" is not a name"},
        {"configmap:shop/a/b", "\"a/b\" is not"},
        {"gateway:shop_1", "is not a name"},
        {"gateway: shop", "is not a name"},
    };

    (void)state;
    snprintf(long_namespace, sizeof(long_namespace), "configmap:%064d/events", 0);
    snprintf(long_name, sizeof(long_name), "gateway:%0254d", 0);
    for (size_t i = 0; i < GW_COUNT_OF(cases) + 2; i++) {
        struct gwc_origin_name read = {.kind = GWC_ORIGIN_GATEWAY};
        struct gw_reason reason = {""};
        const char *text = i < GW_COUNT_OF(cases)    ? cases[i].text
                           : i == GW_COUNT_OF(cases) ? long_namespace
                                                     : long_name;
        const char *words = i < GW_COUNT_OF(cases) ? cases[i].words : "is not a name";

        assert_int_equal(gwc_origin_parse(&read, text, &reason), -EINVAL);
        if (strstr(reason.text, words) == NULL)
            fail_msg("\"%s\": expected \"%s\", got \"%s\"", text, words, reason.text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_have_a_kind_a_namespace_and_a_name),
        cmocka_unit_test(anything_else_is_a_path),
        cmocka_unit_test(names_that_no_object_can_have_are_refused_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
