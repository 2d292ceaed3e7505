/* Origins: how their names are read, and what counts as a change. What they do is seen with files (test_files) and an API
 * server (test_configmap.py). */
#include "gateway-client/origin/origin_flags.h"
#include "gateway-client/origin/origin_parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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

static void only_what_the_object_says_to_us_is_a_change(void **state)
{
    static const struct {
        enum gwc_origin_kind kind;
        bool other;
        const char *before, *now;
    } cases[] = {
        {GWC_ORIGIN_GATEWAY, false, "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{\"a\":1}}",
         "{\"metadata\":{\"resourceVersion\":\"2\"},\"spec\":{\"a\":1},\"status\":{\"spec\":2}}"},
        {GWC_ORIGIN_GATEWAY, true, "{\"spec\":{\"a\":1}}", "{\"spec\":{\"a\":2}}"},
        {GWC_ORIGIN_GATEWAY, true, "{\"spec\":{}}", "{}"},
        {GWC_ORIGIN_GATEWAY, false, "{\"data\":{}}", "{\"data\":{\"a\":\"1\"}}"},
        {GWC_ORIGIN_CONFIGMAP, false, "{\"data\":{\"a\":\"1\"}}",
         "{\"data\":{\"a\":\"1\"},\"metadata\":{\"data\":{}}}"},
        {GWC_ORIGIN_CONFIGMAP, true, "{\"data\":{\"a\":\"1\"}}", "{\"data\":{\"a\":\"2\"}}"},
        {GWC_ORIGIN_CONFIGMAP, true, "{\"data\":{\"a\":\"1\"}}",
         "{\"data\":{\"a\":\"1\"},\"binaryData\":{\"b\":\"\"}}"},
        {GWC_ORIGIN_CONFIGMAP, true, "", "{}"},
        {GWC_ORIGIN_CONFIGMAP, true, "{\"a\":1}", "{\"a\":"},
        {GWC_ORIGIN_CONFIGMAP, false, "{\"a\":", "{\"a\":"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(cases); i++)
        if (gwc_origin_says_other(cases[i].kind, gw_view_text(cases[i].before), gw_view_text(cases[i].now)) !=
            cases[i].other)
            fail_msg("case %zu: %s and %s", i, cases[i].before, cases[i].now);
}

static void the_spec_names_a_config_map(void **state)
{
    struct gwc_spec spec = {0};
    struct gwc_origin_name name;

    (void)state;
    assert_false(gwc_origin_of_spec(&name, &spec));
    spec.event_source.name = "events";
    assert_true(gwc_origin_of_spec(&name, &spec));
    assert_int_equal(name.kind, GWC_ORIGIN_CONFIGMAP);
    assert_string_equal(name.namespace_, "");
    assert_string_equal(name.name, "events");
    spec.event_source.namespace_ = "shop";
    assert_true(gwc_origin_of_spec(&name, &spec));
    assert_string_equal(name.namespace_, "shop");
}

/* ---- flags and Argo's environment ---- */

static const char *const variables[] = {"GATEWAY_NAME", "NAME", "NAMESPACE",
                                        "GATEWAY_EVENT_SOURCE_CONFIG_MAP", "GATEWAY_SERVER_PORT"};

static int without_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(variables); i++)
        unsetenv(variables[i]);
    gwc_spec_set_defaults(NULL, NULL);
    return 0;
}

static struct gwc_origins read_flags(const struct gwc_origin_flags *flags)
{
    struct gwc_origins origins = {0};
    struct gw_reason reason = {""};

    if (gwc_origin_flags_read(flags, &origins, &reason) != 0)
        fail_msg("%s", reason.text);
    return origins;
}

static void flags_say_where_the_configuration_is(void **state)
{
    struct gwc_origins files = read_flags(&(struct gwc_origin_flags){"g.yaml", "e.yaml", NULL, NULL, NULL});
    struct gwc_origins spec_names = read_flags(&(struct gwc_origin_flags){"g.yaml", NULL, NULL, NULL, NULL});
    struct gwc_origins objects =
        read_flags(&(struct gwc_origin_flags){"gateway:shop", "configmap:a/events", "b", "k", "c"});
    struct gwc_origins empty = read_flags(&(struct gwc_origin_flags){"gateway:shop", "", "", "", ""});

    (void)state;
    assert_false(gwc_origins_in_cluster(&files));
    assert_string_equal(files.gateway.path, "g.yaml");
    assert_string_equal(files.event_sources.path, "e.yaml");
    assert_true(gwc_origins_in_cluster(&spec_names));
    assert_false(spec_names.event_sources_given);
    assert_true(gwc_origins_in_cluster(&objects));
    assert_string_equal(objects.event_sources.namespace_, "a");
    assert_string_equal(objects.namespace_, "b");
    assert_string_equal(objects.kubeconfig, "k");
    assert_string_equal(objects.context, "c");
    assert_false(empty.event_sources_given);
    assert_null(empty.namespace_);
    assert_null(empty.kubeconfig);
    assert_null(empty.context);
}

static void the_environment_of_argo_says_it_too(void **state)
{
    const struct gwc_origin_flags none = {0}, flags = {"g.yaml", "e.yaml", "other", NULL, NULL};

    (void)state;
    setenv("GATEWAY_NAME", "shop", 1);
    setenv("GATEWAY_EVENT_SOURCE_CONFIG_MAP", "argo-events/events", 1);
    struct gwc_origins old = read_flags(&none);
    assert_int_equal(old.gateway.kind, GWC_ORIGIN_GATEWAY);
    assert_string_equal(old.gateway.name, "shop");
    assert_true(old.event_sources_given);
    assert_string_equal(old.event_sources.namespace_, "argo-events");
    struct gwc_origins given = read_flags(&flags);
    assert_string_equal(given.gateway.path, "g.yaml");
    assert_string_equal(given.event_sources.path, "e.yaml");

    (void)without_environment(NULL);
    setenv("NAME", "shop", 1);
    setenv("NAMESPACE", "argo-events", 1);
    setenv("GATEWAY_EVENT_SOURCE_CONFIG_MAP", "", 1);
    struct gwc_origins newer = read_flags(&none);
    assert_string_equal(newer.gateway.name, "shop");
    assert_string_equal(newer.namespace_, "argo-events");
    assert_false(newer.event_sources_given);
    assert_string_equal(read_flags(&flags).namespace_, "other");
}

static void what_is_missing_or_wrong_is_told_by_its_name(void **state)
{
    const struct gwc_origin_flags none = {0}, map = {"configmap:shop", NULL, NULL, NULL, NULL};
    struct gwc_origins origins;
    struct gw_reason reason = {""};

    (void)state;
    setenv("NAME", "my-laptop", 1); /* as some systems do */
    assert_int_equal(gwc_origin_flags_read(&none, &origins, &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "--gateway is needed"));
    setenv("NAMESPACE", "argo-events", 1);
    setenv("NAME", "My_Laptop", 1);
    assert_int_equal(gwc_origin_flags_read(&none, &origins, &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "NAME: \"My_Laptop\" is not a name"));
    setenv("NAME", "shop", 1);
    setenv("GATEWAY_EVENT_SOURCE_CONFIG_MAP", "argo-events/", 1);
    assert_int_equal(gwc_origin_flags_read(&none, &origins, &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "GATEWAY_EVENT_SOURCE_CONFIG_MAP: "));
    assert_int_equal(gwc_origin_flags_read(&map, &origins, &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "--gateway: expected gateway:NAME or a file, got configmap:shop"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_have_a_kind_a_namespace_and_a_name),
        cmocka_unit_test(anything_else_is_a_path),
        cmocka_unit_test(names_that_no_object_can_have_are_refused_in_words),
        cmocka_unit_test(only_what_the_object_says_to_us_is_a_change),
        cmocka_unit_test(the_spec_names_a_config_map),
        cmocka_unit_test_setup_teardown(flags_say_where_the_configuration_is, without_environment,
                                        without_environment),
        cmocka_unit_test_setup_teardown(the_environment_of_argo_says_it_too, without_environment,
                                        without_environment),
        cmocka_unit_test_setup_teardown(what_is_missing_or_wrong_is_told_by_its_name, without_environment,
                                        without_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
