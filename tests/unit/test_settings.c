/* Settings: a table that loads, defaults, checks, and prints itself. */
#include "common/json.h"
#include "common/settings.h"
#include "common/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct hook {
    const char *port;
    const char *method;
};
struct rule {
    const char *path;
    int64_t limit;
};
struct config {
    const char *schedule, *timezone;
    bool enabled, hook_given;
    int64_t count, wait_ns;
    double factor;
    uint64_t size;
    struct gw_setting_texts dates;
    struct gw_setting_pairs headers;
    struct gw_setting_secret token;
    const struct gw_node *payload;
    struct hook hook;
    struct gw_setting_sections rules;
};

static const char *const methods[] = {"GET", "POST", NULL};
static const struct gw_setting hook_settings[] = {
    {.name = "port",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct hook, port),
     .required = true,
     .help = "a port"},
    {.name = "method",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct hook, method),
     .otherwise = "POST",
     .choices = methods,
     .help = "the method"},
    {0},
};
static const struct gw_setting rule_settings[] = {
    {.name = "path",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct rule, path),
     .required = true,
     .help = "a path"},
    {.name = "limit", .kind = GW_SETTING_INTEGER, .offset = offsetof(struct rule, limit), .otherwise = "10"},
    {0},
};
static const struct gw_setting settings[] = {
    {.name = "schedule",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct config, schedule),
     .help = "five fields | or six"},
    {.name = "timezone",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct config, timezone),
     .otherwise = "UTC",
     .alias = "zone",
     .required = true},
    {.name = "enabled",
     .kind = GW_SETTING_BOOL,
     .offset = offsetof(struct config, enabled),
     .otherwise = "yes"},
    {.name = "count",
     .kind = GW_SETTING_INTEGER,
     .offset = offsetof(struct config, count),
     .min = 1,
     .max = 100,
     .otherwise = "32"},
    {.name = "wait",
     .kind = GW_SETTING_DURATION,
     .offset = offsetof(struct config, wait_ns),
     .otherwise = "1m30s",
     .min = 1000000,
     .max = INT64_C(3600000000000)},
    {.name = "factor",
     .kind = GW_SETTING_NUMBER,
     .offset = offsetof(struct config, factor),
     .otherwise = "2.5"},
    {.name = "size", .kind = GW_SETTING_SIZE, .offset = offsetof(struct config, size), .otherwise = "64Ki"},
    {.name = "dates",
     .kind = GW_SETTING_TEXTS,
     .offset = offsetof(struct config, dates),
     .otherwise = "[a, b]"},
    {.name = "headers", .kind = GW_SETTING_PAIRS, .offset = offsetof(struct config, headers)},
    {.name = "token", .kind = GW_SETTING_SECRET, .offset = offsetof(struct config, token)},
    {.name = "payload", .kind = GW_SETTING_NODE, .offset = offsetof(struct config, payload)},
    {.name = "hook",
     .kind = GW_SETTING_SECTION,
     .offset = offsetof(struct config, hook),
     .table = hook_settings,
     .present = offsetof(struct config, hook_given) + 1},
    {.name = "rules",
     .kind = GW_SETTING_SECTIONS,
     .offset = offsetof(struct config, rules),
     .table = rule_settings,
     .size = sizeof(struct rule)},
    {0},
};

struct loaded {
    struct gw_arena arena;
    struct gw_problems problems;
    struct config config;
};

static struct loaded load(const char *yaml)
{
    struct loaded loaded = {.config = {0}};
    const struct gw_node *node = NULL;

    assert_int_equal(gw_yaml_read(&loaded.arena, gw_view_text(yaml), &node, &loaded.problems), 0);
    assert_int_equal(gw_settings_load(settings, node, "", &loaded.config, sizeof(loaded.config),
                                      &loaded.arena, &loaded.problems),
                     0);
    return loaded;
}

static void loaded_done(struct loaded *loaded)
{
    gw_arena_done(&loaded->arena);
    gw_problems_done(&loaded->problems);
}

static void assert_problem(const char *yaml, const char *path, int line, const char *words)
{
    GW_AUTO(loaded_done) struct loaded loaded = load(yaml);

    if (loaded.problems.count != 1)
        fail_msg("%s: %zu problems", yaml, loaded.problems.count);
    if (strstr(loaded.problems.items[0].message, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, loaded.problems.items[0].message);
    assert_string_equal(loaded.problems.items[0].path, path);
    assert_int_equal(loaded.problems.items[0].line, line);
}

static void nothing_given_means_the_defaults(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded = load("");
    const struct config *config = &loaded.config;

    (void)state;
    assert_int_equal(loaded.problems.count, 0);
    assert_null(config->schedule);
    assert_string_equal(config->timezone, "UTC");
    assert_true(config->enabled);
    assert_false(config->hook_given);
    assert_int_equal(config->count, 32);
    assert_int_equal(config->wait_ns, INT64_C(90000000000));
    assert_true(config->factor == 2.5);
    assert_int_equal(config->size, 65536);
    assert_int_equal(config->dates.count, 2);
    assert_string_equal(config->dates.items[1], "b");
    assert_int_equal(config->headers.count, 0);
    assert_null(config->token.name);
    assert_null(config->payload);
    assert_null(config->hook.port);
    assert_string_equal(config->hook.method, "POST");
    assert_int_equal(config->rules.count, 0);
}

/* Who checks a configuration further, beside the problems of the table, reads every field. */
static void a_wrong_value_leaves_the_default(void **state)
{
    GW_AUTO(loaded_done)
    struct loaded loaded =
        load("timezone: [UTC]\nenabled: 7\ncount: {}\nwait: soon\nfactor: [1]\nsize: lots\n"
             "dates: {}\nhook: [[1]]\nrules: [7, {path: /a, limit: x}]\n");
    const struct config *config = &loaded.config;
    const struct rule *rules = config->rules.items;

    (void)state;
    assert_int_equal(loaded.problems.count, 10);
    assert_string_equal(config->timezone, "UTC");
    assert_true(config->enabled);
    assert_int_equal(config->count, 32);
    assert_int_equal(config->wait_ns, INT64_C(90000000000));
    assert_true(config->factor == 2.5);
    assert_int_equal(config->size, 65536);
    assert_int_equal(config->dates.count, 2);
    assert_string_equal(config->hook.method, "POST");
    assert_int_equal(config->rules.count, 2);
    assert_int_equal(rules[0].limit, 10);
    assert_int_equal(rules[1].limit, 10);
}

static void everything_given_is_taken(void **state)
{
    GW_AUTO(loaded_done)
    struct loaded loaded =
        load("SCHEDULE: 15 2 * * 1-5\nZone: Europe/Lisbon\nenabled: no\ncount: \"7\"\nwait: 300ms\nfactor: "
             "3\nsize: 1Mi\n"
             "dates: x\nheaders: {X-A: 1, X-B: two}\ntoken: {name: t, key: k}\npayload: [1, {a: b}]\n"
             "hook: {port: 12012, method: GET}\nrules:\n- path: /a\n- {path: /b, limit: 3}\n");
    const struct config *config = &loaded.config;
    const struct rule *rules = config->rules.items;

    (void)state;
    assert_int_equal(loaded.problems.count, 0);
    assert_string_equal(config->schedule, "15 2 * * 1-5");
    assert_string_equal(config->timezone, "Europe/Lisbon");
    assert_false(config->enabled);
    assert_true(config->hook_given);
    assert_int_equal(config->count, 7);
    assert_int_equal(config->wait_ns, 300000000);
    assert_true(config->factor == 3);
    assert_int_equal(config->size, 1048576);
    assert_int_equal(config->dates.count, 1);
    assert_string_equal(config->dates.items[0], "x");
    assert_int_equal(config->headers.count, 2);
    assert_string_equal(config->headers.items[0].name, "X-A");
    assert_string_equal(config->headers.items[0].value, "1");
    assert_string_equal(config->token.key, "k");
    assert_int_equal(config->payload->kind, GW_NODE_LIST);
    assert_string_equal(config->hook.port, "12012");
    assert_string_equal(config->hook.method, "GET");
    assert_int_equal(config->rules.count, 2);
    assert_int_equal(rules[0].limit, 10);
    assert_string_equal(rules[1].path, "/b");
    assert_int_equal(rules[1].limit, 3);
}

static void null_is_as_if_it_were_not_there(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded = load("count: null\nhook: ~\nheaders:\n");

    (void)state;
    assert_int_equal(loaded.problems.count, 0);
    assert_int_equal(loaded.config.count, 32);
    assert_false(loaded.config.hook_given);
}

static void each_fault_is_a_problem_with_path_and_line(void **state)
{
    (void)state;
    assert_problem("\nschedul: x\n", "schedul", 2, "unknown field \"schedul\"; did you mean \"schedule\"?");
    assert_problem("qqqqqqqq: x\n", "qqqqqqqq", 1, "known are: schedule, timezone");
    assert_problem("schedule: yes\n", "schedule", 1, "got a boolean: write it in quotes");
    assert_problem("schedule: [a]\n", "schedule", 1, "expected text, got a list");
    assert_problem("schedule: \"a\\0b\"\n", "schedule", 1, "NUL");
    assert_problem("enabled: \"yes\"\n", "enabled", 1, "expected true or false, got text \"yes\"");
    assert_problem("count: 0\n", "count", 1, "0 is out of range: from 1 to 100");
    assert_problem("count: 1.5\n", "count", 1, "expected a whole number");
    assert_problem("wait: 10\n", "wait", 1, "needs a unit: 10s");
    assert_problem("wait: soon\n", "wait", 1, "expected a duration such as 1m30s, got \"soon\"");
    assert_problem("wait: 2h\n", "wait", 1, "2h is out of range: from 1ms to 1h0m0s");
    assert_problem("factor: x\n", "factor", 1, "expected a number");
    assert_problem("factor: nan\n", "factor", 1, "expected a number");
    assert_problem("size: 5Q\n", "size", 1, "expected a size");
    assert_problem("dates: {a: b}\n", "dates", 1, "expected a list of texts, got a mapping");
    assert_problem("dates:\n- a\n- [b]\n", "dates[1]", 3, "expected text, got a list");
    assert_problem("headers: {X: [1]}\n", "headers.X", 1, "expected text, got a list");
    assert_problem("headers: [X]\n", "headers", 1, "expected a mapping of names to texts");
    assert_problem("token: {name: t}\n", "token.key", 1, "missing");
    assert_problem("token: abc\n", "token", 1, "reference to a secret");
    assert_problem("hook: {method: GET}\n", "hook.port", 1, "missing: a port");
    assert_problem("hook: {port: 1, method: PSOT}\n", "hook.method", 1,
                   "unknown value \"PSOT\"; did you mean \"POST\"?");
    assert_problem("hook: x\n", "hook", 1, "expected a mapping, got text");
    assert_problem("rules:\n- path: /a\n- limit: 3\n", "rules[1].path", 3, "missing: a path");
    assert_problem("rules: {path: /a}\n", "rules", 1, "expected a list, got a mapping");
    assert_problem("rules: [x]\n", "rules[0]", 1, "expected a mapping, got text");
    assert_problem("timezone: a\nzone: b\n", "zone", 2, "the same as \"timezone\" in line 1");
    assert_problem("Count: 1\ncount: 2\n", "count", 2, "the same as \"Count\" in line 1");
    assert_problem("just text\n", "", 1, "expected a mapping of settings, got text");
}

static void all_faults_come_at_once_under_the_given_path(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *node = NULL;
    struct config config;

    (void)state;
    assert_int_equal(gw_yaml_read(&arena, gw_view_text("count: x\nwait: y\nhook: {}\n"), &node, &problems),
                     0);
    assert_int_equal(gw_settings_load(settings, node, "spec.a", &config, sizeof(config), &arena, &problems),
                     0);
    assert_int_equal(problems.count, 3);
    assert_string_equal(problems.items[0].path, "spec.a.count");
    assert_string_equal(problems.items[2].path, "spec.a.hook.port");
}

static void the_schema_is_json_and_says_what_the_table_says(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    const struct gw_node *root = NULL;

    (void)state;
    gw_settings_schema(settings, "a \"test\"", &out);
    assert_int_equal(gw_json_read(&arena, gw_bytes_view(&out), &root, &problems), 0);
    assert_string_equal(gw_node_text(gw_node_get(root, "title"), ""), "a \"test\"");
    assert_string_equal(gw_node_text(gw_node_at(root, "properties.timezone.default"), ""), "UTC");
    assert_string_equal(gw_node_text(gw_node_at(root, "properties.count.maximum"), ""), "100");
    assert_true(gw_node_at(root, "properties.zone.deprecated")->truth);
    assert_true(gw_node_at(root, "properties.enabled.default")->truth);
    assert_int_equal(gw_node_at(root, "properties.dates.default")->count, 2);
    assert_int_equal(gw_node_at(root, "properties.hook.properties.method.enum")->count, 2);
    assert_int_equal(gw_node_at(root, "properties.rules.items.allOf")->count, 1);
    assert_false(gw_node_get(root, "additionalProperties")->truth);
}

static void the_markdown_has_a_row_a_setting(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    gw_settings_markdown(settings, &out);
    assert_non_null(strstr(gw_bytes_text(&out), "| `schedule` | text |  | five fields \\| or six |\n"));
    assert_non_null(strstr(gw_bytes_text(&out), "| `hook.port` | text | *required* | a port |\n"));
    assert_non_null(
        strstr(gw_bytes_text(&out), "| `hook.method` | text | `POST` | the method: `GET`, `POST` |\n"));
    assert_non_null(strstr(gw_bytes_text(&out), "| `rules[].limit` | whole number | `10` |"));
    assert_non_null(strstr(gw_bytes_text(&out), "(also `zone`)"));
}

static void the_schema_for_kubernetes_is_yaml_with_a_description_of_everything(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    const struct gw_node *root = NULL;

    (void)state;
    gw_bytes_append_text(&out, "spec:\n");
    gw_settings_openapi(settings, 2, &out);
    assert_int_equal(gw_yaml_read(&arena, gw_bytes_view(&out), &root, &problems), 0);
    assert_string_equal(gw_node_text(gw_node_at(root, "spec.type"), ""), "object");
    const struct gw_node *properties = gw_node_at(root, "spec.properties");
    assert_int_equal(properties->count, GW_COUNT_OF(settings)); /* the end of the table counts as the alias */
    for (const struct gw_node *property = properties->first; property != NULL; property = property->next)
        assert_true(gw_node_text(gw_node_get(property, "description"), "")[0] != '\0');
    assert_string_equal(gw_node_text(gw_node_at(properties, "schedule.description"), ""),
                        "five fields | or six");
    assert_string_equal(gw_node_text(gw_node_at(properties, "zone.description"), ""),
                        "the same as timezone: timezone (default UTC)");
    assert_string_equal(gw_node_text(gw_node_at(properties, "count.description"), ""),
                        "count (a whole number; default 32)");
    assert_true(gw_node_at(properties, "count.x-kubernetes-int-or-string")->truth);
    assert_string_equal(gw_node_text(gw_node_at(properties, "count.maximum"), ""), "100");
    assert_string_equal(gw_node_text(gw_node_at(properties, "enabled.type"), ""), "boolean");
    assert_string_equal(gw_node_text(gw_node_at(properties, "dates.items.type"), ""), "string");
    assert_int_equal(gw_node_at(properties, "token.required")->count, 2);
    assert_true(gw_node_at(properties, "payload.x-kubernetes-preserve-unknown-fields")->truth);
    assert_null(gw_node_at(properties, "payload.type"));
    assert_int_equal(gw_node_at(properties, "hook.properties.method.enum")->count, 2);
    assert_string_equal(gw_node_text(gw_node_at(properties, "hook.required")->first, ""), "port");
    assert_int_equal(gw_node_at(properties, "rules.items.required")->count, 1);
    assert_null(strstr(gw_bytes_text(&out), "default:"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_given_means_the_defaults),
        cmocka_unit_test(a_wrong_value_leaves_the_default),
        cmocka_unit_test(everything_given_is_taken),
        cmocka_unit_test(null_is_as_if_it_were_not_there),
        cmocka_unit_test(each_fault_is_a_problem_with_path_and_line),
        cmocka_unit_test(all_faults_come_at_once_under_the_given_path),
        cmocka_unit_test(the_schema_is_json_and_says_what_the_table_says),
        cmocka_unit_test(the_schema_for_kubernetes_is_yaml_with_a_description_of_everything),
        cmocka_unit_test(the_markdown_has_a_row_a_setting),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
