/* The generic gateway-server: its configuration, and what it makes of payloads. */
#include "gateway-servers/generic/payload.h"

#include "common/yaml.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those before it */
#include <cmocka.h>

struct loaded {
    struct gw_arena arena;
    struct generic_config config;
    struct gw_problems problems;
};

static void load(struct loaded *loaded, const char *text)
{
    const struct gw_node *root = NULL;

    *loaded = (struct loaded){0};
    assert_int_equal(gw_yaml_read(&loaded->arena, gw_view_text(text), &root, &loaded->problems), 0);
    assert_int_equal(gw_settings_load(generic_settings, root, "", &loaded->config, sizeof(loaded->config),
                                      &loaded->arena, &loaded->problems),
                     0);
    generic_config_check(&loaded->config, &loaded->problems);
}

static void unload(struct loaded *loaded)
{
    gw_problems_done(&loaded->problems);
    gw_arena_done(&loaded->arena);
}

static void argos_configuration_is_taken_as_it_is(void **state)
{
    struct loaded loaded;
    struct gw_bytes text = {0};

    (void)state;
    load(&loaded, "url: plc-bridge.factory:6060\ninsecure: true\njsonBody: true\n"
                  "config: |\n  nodes: [temp, rpm]\n  everyMs: 250\n"
                  "metadata: {plant: porto}\nauthSecret: {name: plc-token, key: token}\n");
    assert_int_equal(loaded.problems.count, 0);
    assert_false(generic_config_tls(&loaded.config).enabled);
    generic_config_text(&loaded.config, &text);
    assert_string_equal(gw_bytes_text(&text), "nodes: [temp, rpm]\neveryMs: 250\n");
    gw_bytes_done(&text);
    unload(&loaded);
}

static void a_configuration_that_is_no_text_is_passed_on_as_json(void **state)
{
    static const struct {
        const char *yaml, *bytes;
    } rows[] = {
        {"url: a:1\nconfig: {nodes: [temp, 2], deep: {x: null}}",
         "{\"nodes\":[\"temp\",2],\"deep\":{\"x\":null}}"},
        {"url: a:1\nconfig: 12", "12"},
        {"url: a:1\nconfig: \"\"", ""},
        {"url: a:1\nconfig: null", ""},
        {"url: a:1", ""},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        struct loaded loaded;
        struct gw_bytes text = {0};
        load(&loaded, rows[i].yaml);
        assert_int_equal(loaded.problems.count, 0);
        generic_config_text(&loaded.config, &text);
        assert_string_equal(gw_bytes_text(&text), rows[i].bytes);
        gw_bytes_done(&text);
        unload(&loaded);
    }
}

static void what_cannot_work_is_said_with_its_path(void **state)
{
    static const struct {
        const char *yaml, *path, *words;
    } rows[] = {
        {"insecure: true", "url", "missing"},
        {"url: \"http://a:1\"", "url", "http://a:1"},
        {"url: a:1\ninsecure: true\ntls: {serverName: b}", "tls", "insecure: true"},
        {"url: a:1\ntls: {clientCertPath: /dev/null}", "tls.clientKeyPath",
         "clientCertPath and clientKeyPath"},
        {"url: a:1\ntls: {clientKeyPath: /dev/null}", "tls.clientCertPath",
         "clientCertPath and clientKeyPath"},
        {"url: a:1\ntls: {caCertPath: /nowhere/ca.pem}", "tls.caCertPath", "No such file"},
        {"url: a:1\npayload: both", "payload", "envelope"},
        {"url: a:1\njsonbdy: true", "jsonbdy", "jsonBody"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        struct loaded loaded;
        load(&loaded, rows[i].yaml);
        assert_int_equal(loaded.problems.count, 1);
        assert_string_equal(loaded.problems.items[0].path, rows[i].path);
        assert_non_null(strstr(loaded.problems.items[0].message, rows[i].words));
        unload(&loaded);
    }
}

static void payloads_become_what_the_configuration_says(void **state)
{
    static const struct {
        const char *yaml, *payload, *data, *type;
        bool not_json;
    } rows[] = {
        {"jsonBody: true", "{\"n\": 1.10}", "{\"body\":{\"n\": 1.10},\"metadata\":{}}", "application/json",
         false},
        {"jsonBody: true\nmetadata: {plant: porto, \"q\\\"\": é}", "7",
         "{\"body\":7,\"metadata\":{\"plant\":\"porto\",\"q\\\"\":\"é\"}}", "application/json", false},
        {"jsonBody: false", "{}", "{\"body\":\"e30=\",\"metadata\":{}}", "application/json", false},
        {"jsonBody: true", "{broken", "{\"body\":\"e2Jyb2tlbg==\",\"isBase64Encoded\":true,\"metadata\":{}}",
         "application/json", true},
        {"jsonBody: true", "", "{\"body\":\"\",\"isBase64Encoded\":true,\"metadata\":{}}", "application/json",
         true},
        {"payload: raw\njsonBody: true", "[1]", "[1]", "application/json", false},
        {"payload: raw\njsonBody: true", "x", "x", "application/octet-stream", true},
        {"payload: raw", "[1]", "[1]", "application/octet-stream", false},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        struct loaded loaded;
        struct generic_payload made;
        char yaml[200];
        snprintf(yaml, sizeof(yaml), "url: a:1\n%s", rows[i].yaml);
        load(&loaded, yaml);
        assert_int_equal(loaded.problems.count, 0);
        assert_int_equal(generic_payload_make(&loaded.config, gw_view_text(rows[i].payload), &made), 0);
        assert_true(gw_view_is(made.data, rows[i].data));
        assert_string_equal(made.data_content_type, rows[i].type);
        assert_int_equal(made.not_json, rows[i].not_json);
        generic_payload_done(&made);
        unload(&loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(argos_configuration_is_taken_as_it_is),
        cmocka_unit_test(a_configuration_that_is_no_text_is_passed_on_as_json),
        cmocka_unit_test(what_cannot_work_is_said_with_its_path),
        cmocka_unit_test(payloads_become_what_the_configuration_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
