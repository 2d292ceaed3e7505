/* The event sources: manifests, mounted directories, and entries that are bad by themselves. */
#include "gateway-client/spec/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/gw-sources-XXXXXX";

static struct gwc_server_spec servers[] = {{.type = "calendar"}, {.type = "webhook"}};
static const struct gwc_spec both = {.servers = servers, .servers_count = 2};
static const struct gwc_spec only_webhook = {.servers = &servers[1], .servers_count = 1};

static const char *in_directory(const char *name)
{
    static char path[2][512];
    static int turn;

    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", directory, name);
    return path[turn];
}

static const char *put_bytes(const char *name, const void *data, size_t size)
{
    const char *path = in_directory(name);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    fclose(file);
    return path;
}

static const char *put(const char *name, const char *text)
{
    return put_bytes(name, text, strlen(text));
}

static struct gwc_sources *read_with(const struct gwc_spec *spec, const char *path,
                                     struct gw_problems *problems)
{
    struct gwc_sources *sources = NULL;
    struct gw_reason reason = {""};

    if (gwc_sources_read(path, spec, &sources, problems) != 0) {
        gw_problems_reason(problems, &reason);
        fail_msg("%s", reason.text);
    }
    return sources;
}

static void assert_refused(const char *path, int line, const char *place, const char *words)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gwc_sources *sources = NULL;

    assert_int_equal(gwc_sources_read(path, &both, &sources, &problems), GWC_SOURCES_BAD);
    assert_null(sources);
    assert_null(problems.file);
    if (problems.count != 1 || strstr(problems.items[0].message, words) == NULL)
        fail_msg("\"%s\" is not in the only one of %zu: %s", words, problems.count,
                 problems.count == 0 ? "" : problems.items[0].message);
    assert_string_equal(problems.items[0].path, place);
    assert_string_equal(problems.items[0].file, path);
    assert_int_equal(problems.items[0].line, line);
}

#define MAP                                                                                                  \
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, labels: {argo-events-event-source-version: "       \
    "v0.10}}\n"

static void a_manifest_is_read_and_sorted(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const char *path =
        put("events.yaml", MAP "data:\n  webhook.orders: |-\n    port: \"12012\"\n    endpoint: /orders/new\n"
                               "  calendar.tick: |-\n\n    interval: 10s\n  calendar.a: 'interval: 1s'\n");
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = read_with(&both, path, &problems);

    (void)state;
    assert_int_equal(problems.count, 0);
    assert_int_equal(sources->count, 3);
    assert_int_equal(sources->bad_count, 0);
    assert_string_equal(sources->items[0].key, "calendar.a");
    assert_int_equal(sources->items[0].line, 11);
    assert_string_equal(sources->items[1].key, "calendar.tick");
    assert_string_equal(sources->items[1].type, "calendar");
    assert_string_equal(sources->items[1].name, "tick");
    assert_true(gw_view_is(sources->items[1].config, "\ninterval: 10s"));
    assert_int_equal(sources->items[1].line, 9);
    assert_string_equal(sources->items[2].key, "webhook.orders");
    assert_int_equal(sources->items[2].line, 6);
    assert_string_equal(sources->items[2].file, path);
    assert_ptr_equal(gwc_sources_find(sources, "calendar.tick"), &sources->items[1]);
    assert_null(gwc_sources_find(sources, "tick"));
}

static void ids_are_those_of_argo(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const char *path =
        put("argo.yaml",
            MAP "data:\n  orders: |-\n    port: \"12012\"\n    endpoint: /orders/new\n    method: POST\n");
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = read_with(&only_webhook, path, &problems);

    (void)state;
    assert_string_equal(sources->items[0].id, "1071576966");
    assert_string_equal(sources->items[0].type, "webhook");
    assert_string_equal(sources->items[0].name, "orders");
}

static void a_gateway_with_one_type_takes_any_key(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const char *path =
        put("one.yaml", MAP "data:\n  orders: \"{}\"\n  webhook.bills: \"{}\"\n  calendar.x: \"{}\"\n");
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = read_with(&only_webhook, path, &problems);

    (void)state;
    assert_int_equal(problems.count, 0);
    assert_int_equal(sources->count, 3);
    assert_string_equal(sources->items[0].name, "calendar.x");
    assert_string_equal(sources->items[1].name, "orders");
    assert_string_equal(sources->items[2].name, "bills");
    assert_string_equal(sources->items[2].type, "webhook");
}

static void a_bad_entry_harms_no_other(void **state)
{
    static const struct {
        const char *key, *words, *path;
        int line;
    } expected[] = {
        {"calendar.", "has no name behind its type", "data.calendar.", 19},
        {"calendar.empty", "empty: expected a mapping of settings", "data.calendar.empty", 15},
        {"calendar.list", "expected a mapping of settings, got a list", "data.calendar.list", 14},
        {"calendar.map", "expected text, got a mapping: write \"calendar.map: |-\"", "data.calendar.map", 7},
        {"calendar.number", "expected text, got a number", "data.calendar.number", 9},
        {"calendar.twice", "the key \"a\" is there twice", "data.calendar.twice", 12},
        {"calender.x", "did you mean \"calendar.x\"?", "data.calender.x", 16},
        {"kafka.x", "no server has the type \"kafka\"; there are: calendar, webhook", "data.kafka.x", 17},
        {"orders", "does not say its type", "data.orders", 18},
        {"we bhook.x", "is not a key", "data.we bhook.x", 20},
    };
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const char *path = put("bad.yaml", MAP "data:\n"
                                           "  webhook.good: |-\n    port: 1\n"   /* 5 */
                                           "  calendar.map:\n    interval: 1s\n" /* 7 */
                                           "  calendar.number: 12\n"             /* 9 */
                                           "  calendar.twice: |-\n    a: 1\n    a: 2\n"
                                           "  calendar.list: |-\n    - a\n"
                                           "  calendar.empty: ''\n"
                                           "  calender.x: \"{}\"\n  kafka.x: \"{}\"\n  orders: \"{}\"\n"
                                           "  calendar.: \"{}\"\n  we bhook.x: \"{}\"\n");
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = read_with(&both, path, &problems);

    (void)state;
    assert_int_equal(sources->count, 1);
    assert_string_equal(sources->items[0].key, "webhook.good");
    assert_int_equal(sources->bad_count, GW_COUNT_OF(expected));
    assert_int_equal(problems.count, GW_COUNT_OF(expected));
    for (size_t i = 0; i < GW_COUNT_OF(expected); i++) {
        assert_string_equal(sources->bad[i].key, expected[i].key);
        if (strstr(sources->bad[i].message, expected[i].words) == NULL)
            fail_msg("\"%s\" is not in: %s", expected[i].words, sources->bad[i].message);
        if (sources->bad[i].line != expected[i].line)
            fail_msg("%s: line %d, not %d", expected[i].key, sources->bad[i].line, expected[i].line);
    }
    for (size_t i = 0; i < problems.count; i++) {
        bool found = false;

        for (size_t j = 0; j < GW_COUNT_OF(expected); j++)
            found = found || strcmp(problems.items[i].path, expected[j].path) == 0;
        if (!found)
            fail_msg("%s", problems.items[i].path);
        assert_string_equal(problems.items[i].file, path);
    }
}

static void of_two_keys_for_one_source_the_second_is_refused(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const char *path = put("same.yaml", MAP "data:\n  zorders: \"{}\"\n  webhook.zorders: \"{}\"\n"
                                            "  a: \"{}\"\n  webhook.a: \"{}\"\n"
                                            "  webhook.webhook.a: \"{}\"\n");
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = read_with(&only_webhook, path, &problems);

    (void)state;
    assert_int_equal(sources->count, 3);
    assert_string_equal(sources->items[0].key, "a");
    assert_string_equal(sources->items[1].key, "webhook.webhook.a");
    assert_string_equal(sources->items[1].name, "webhook.a");
    assert_string_equal(sources->items[2].key, "webhook.zorders");
    assert_int_equal(sources->bad_count, 2);
    assert_string_equal(sources->bad[0].key, "webhook.a");
    assert_string_equal(
        sources->bad[0].message,
        "\"webhook.a\" means the same event source as \"a\": take one of the two keys away, or "
        "give it another name");
    assert_int_equal(sources->bad[0].line, 8);
    assert_string_equal(sources->bad[1].key, "zorders");
    assert_int_equal(sources->bad[1].line, 5);
    assert_int_equal(problems.count, 2);
    assert_string_equal(problems.items[0].path, "data.zorders");
}

static void two_keys_for_one_source_are_found_in_a_directory(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = NULL;
    char same[256];

    (void)state;
    snprintf(same, sizeof(same), "%s", in_directory("same"));
    assert_int_equal(mkdir(same, 0700), 0);
    put("same/webhook.orders", "port: 1\n");
    put("same/orders", "port: 2\n");
    sources = read_with(&only_webhook, same, &problems);
    assert_int_equal(sources->count, 1);
    assert_string_equal(sources->items[0].key, "orders");
    assert_int_equal(sources->bad_count, 1);
    assert_string_equal(sources->bad[0].key, "webhook.orders");
    assert_string_equal(problems.items[0].file, in_directory("same/webhook.orders"));
}

static void the_whole_is_refused_when_it_is_no_config_map(void **state)
{
    char *large = malloc(5000000);

    (void)state;
    assert_refused(put("no.yaml", "a: [\n"), 2, "", "not YAML");
    assert_refused(put("no.yaml", ""), 1, "", "empty: expected a ConfigMap");
    assert_refused(put("no.yaml", "kind: Gateway\n"), 1, "kind", "expected ConfigMap, got Gateway");
    assert_refused(put("no.yaml", "data: {}\n"), 1, "kind", "expected ConfigMap, got nothing");
    assert_refused(put("no.yaml", "- a\n"), 1, "", "a list: expected a ConfigMap");
    assert_refused(put("no.yaml", MAP "dta:\n  calendar.a: \"{}\"\n"), 4, "dta", "did you mean \"data\"?");
    assert_refused(put("no.yaml", MAP "data: [a]\n"), 4, "data", "expected a mapping of keys to texts");
    assert_refused(put("no.yaml", MAP "data:\n  a: x\n  a: y\n"), 6, "data", "the key \"a\" is there twice");
    assert_refused("/nowhere/at/all", 0, "", "not there: expected a ConfigMap manifest");
    assert_refused("/dev/null", 0, "", "cannot be read");
    memset(large, '#', 5000000);
    assert_refused(put_bytes("large.yaml", large, 5000000), 0, "", "too large");
    free(large);
}

static void no_entries_and_binary_ones(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gwc_sources_freep)
    struct gwc_sources *none = read_with(&both, put("none.yaml", MAP "data:\n"), &problems);
    GW_AUTO(gwc_sources_freep) struct gwc_sources *bytes = NULL;

    (void)state;
    assert_int_equal(none->count, 0);
    assert_int_equal(problems.count, 0);
    bytes = read_with(&both,
                      put("bytes.yaml", MAP "binaryData: {calendar.x: AAAA}\ndata: {calendar.a: \"{}\"}\n"),
                      &problems);
    assert_int_equal(bytes->count, 1);
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(problems.items[0].message, "belongs into data"));
    assert_int_equal(problems.items[0].line, 4);
}

static void more_entries_than_the_limit_are_refused(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    (void)state;
    gw_bytes_append_text(&text, MAP "data:\n");
    for (int i = 0; i <= GWC_SOURCES_MAX; i++)
        gw_bytes_printf(&text, "  calendar.s%d: \"{}\"\n", i);
    assert_refused(put_bytes("many.yaml", text.data, text.size), 5, "data", "10001 entries: at most 10000");
}

/* The layout of a mounted ConfigMap: entries are links into ..data, which is a link to a folder with a date.
 */
static void a_mounted_directory_is_read(void **state)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = NULL;
    char mount[256];

    (void)state;
    snprintf(mount, sizeof(mount), "%s", in_directory("mount"));
    assert_int_equal(mkdir(mount, 0700), 0);
    assert_int_equal(mkdir(in_directory("mount/..2026_01"), 0700), 0);
    assert_int_equal(mkdir(in_directory("mount/folder"), 0700), 0);
    put("mount/..2026_01/webhook.orders", "port: 1\n");
    put("mount/..2026_01/calendar.bad", "x: 1\n  y: 2\n");
    assert_int_equal(symlink("..2026_01", in_directory("mount/..data")), 0);
    assert_int_equal(symlink("..data/webhook.orders", in_directory("mount/webhook.orders")), 0);
    assert_int_equal(symlink("..data/calendar.bad", in_directory("mount/calendar.bad")), 0);
    assert_int_equal(symlink("..data/gone", in_directory("mount/calendar.gone")), 0);
    put("mount/webhook.orders~", "nonsense: [");
    put("mount/.webhook.orders.swp", "nonsense: [");
    put("mount/#webhook.orders#", "nonsense: [");

    sources = read_with(&both, mount, &problems);
    assert_int_equal(sources->count, 1);
    assert_string_equal(sources->items[0].name, "orders");
    assert_int_equal(sources->items[0].line, 1);
    assert_string_equal(sources->items[0].file, in_directory("mount/webhook.orders"));
    assert_int_equal(sources->bad_count, 1);
    assert_string_equal(sources->bad[0].key, "calendar.bad");
    assert_string_equal(sources->bad[0].file, in_directory("mount/calendar.bad"));
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.items[0].path, "calendar.bad");
    assert_string_equal(problems.items[0].file, in_directory("mount/calendar.bad"));
    assert_int_equal(problems.items[0].line, 2);
}

static void a_config_map_of_the_api_server_has_lines_within_its_entries(void **state)
{
    static const char json[] =
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"events\",\"uid\":\"6b7d\","
        "\"managedFields\":"
        "[{\"manager\":\"kubectl\"}]},\"immutable\":false,\"binaryData\":{\"logo\":\"AAAA\"},\"data\":{"
        "\"webhook.orders\":\"port: 1\\n\","
        "\"calendar.bad\":\"a: 1\\nb: [1\\n\",\"calendar.none\":\"\",\"tick\":\"{}\"}}";
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = NULL;
    const struct gw_problem *syntax = NULL;

    (void)state;
    assert_int_equal(
        gwc_sources_read_object(gw_view_text(json), "configmap shop/events", &both, &sources, &problems), 0);
    assert_int_equal(sources->count, 1);
    assert_string_equal(sources->items[0].key, "webhook.orders");
    assert_string_equal(sources->items[0].file, "configmap shop/events, webhook.orders");
    assert_int_equal(sources->items[0].line, 1);
    assert_true(gw_view_is(sources->items[0].config, "port: 1\n"));
    assert_int_equal(sources->bad_count, 3);
    assert_int_equal(problems.count, 4); /* three entries, and what is binary */
    for (size_t i = 0; i < problems.count; i++)
        if (strcmp(problems.items[i].path, "calendar.bad") == 0)
            syntax = &problems.items[i];
    assert_non_null(syntax);
    assert_string_equal(syntax->file, "configmap shop/events, calendar.bad");
    assert_in_range(syntax->line, 2, 3);
    assert_int_equal(sources->bad[2].line, 0); /* a key without its type is at no line */
}

static void an_object_that_is_no_config_map_is_refused(void **state)
{
    static const char *const texts[] = {"", "{", "[]", "{\"kind\":\"Secret\",\"apiVersion\":\"v1\"}",
                                        "{\"kind\":\"ConfigMap\",\"data\":[]}"};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(texts); i++) {
        GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
        struct gwc_sources *sources = NULL;

        assert_int_equal(gwc_sources_read_object(gw_view_text(texts[i]), "configmap a/b", &both, &sources,
                                                 &problems),
                         GWC_SOURCES_BAD);
        assert_null(sources);
        assert_int_equal(problems.count, 1);
        assert_string_equal(problems.items[0].file, "configmap a/b");
    }
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    char command[300];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_read_and_sorted),
        cmocka_unit_test(ids_are_those_of_argo),
        cmocka_unit_test(a_gateway_with_one_type_takes_any_key),
        cmocka_unit_test(a_bad_entry_harms_no_other),
        cmocka_unit_test(of_two_keys_for_one_source_the_second_is_refused),
        cmocka_unit_test(two_keys_for_one_source_are_found_in_a_directory),
        cmocka_unit_test(the_whole_is_refused_when_it_is_no_config_map),
        cmocka_unit_test(no_entries_and_binary_ones),
        cmocka_unit_test(more_entries_than_the_limit_are_refused),
        cmocka_unit_test(a_mounted_directory_is_read),
        cmocka_unit_test(a_config_map_of_the_api_server_has_lines_within_its_entries),
        cmocka_unit_test(an_object_that_is_no_config_map_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
