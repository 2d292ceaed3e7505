/* The status of the Gateway resource: what is known becomes the document that kubectl shows. */
#include "gateway-client/report/gateway_status.h"

#include "common/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* 2026-03-01T08:00:00Z */
#define NOW_MS INT64_C(1772352000000)

static const struct gwc_gateway_node nodes[] = {
    {"2", "webhook.orders", "orders", "webhook", GWC_PHASE_ERROR, "port 12000 is taken", 0, NOW_MS + 999, 0,
     0},
    {"1", "calendar.tick", "tick", "calendar", GWC_PHASE_RUNNING, "", NOW_MS, NOW_MS, 7, NOW_MS + 5000},
};
static const struct gwc_gateway_watcher watchers[] = {
    {"sensor.shop.orders", "failing", "503", 10, 3, 1},
    {"audit", "ok", "", 13, 0, 0},
};
static const struct gwc_gateway_status sample = {
    .phase = GWC_PHASE_ERROR,
    .message = "orders does not run",
    .type = "calendar, webhook",
    .started_ms = NOW_MS,
    .generation = 4,
    .sources_running = 1,
    .sources_count = 2,
    .watchers_reachable = 1,
    .conditions =
        {
            [GWC_CONDITION_READY] = {GWC_TRUE, "Running", "it runs", NOW_MS},
            [GWC_CONDITION_CONFIGURATION_ACCEPTED] = {GWC_UNKNOWN, "Waiting", "", NOW_MS},
            [GWC_CONDITION_SOURCES_RUNNING] = {GWC_FALSE, "NotRunning", "orders does not run", NOW_MS + 1000},
            [GWC_CONDITION_WATCHERS_REACHABLE] = {GWC_TRUE, "Reachable", "all", NOW_MS},
        },
    .nodes = nodes,
    .nodes_count = GW_COUNT_OF(nodes),
    .watchers = watchers,
    .watchers_count = GW_COUNT_OF(watchers),
};

static const struct gw_node *written(struct gw_arena *arena, const struct gwc_gateway_status *status)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *root = NULL;

    gwc_gateway_status_write(status, &out);
    assert_int_equal(gw_json_read(arena, gw_bytes_view(&out), &root, &problems), 0);
    return root;
}

static void everything_that_is_known_is_written(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    gwc_gateway_status_write(&sample, &out);
    assert_string_equal(
        gw_bytes_text(&out),
        "{\"conditions\":["
        "{\"lastTransitionTime\":\"2026-03-01T08:00:00Z\",\"message\":\"it runs\",\"observedGeneration\":4,"
        "\"reason\":\"Running\",\"status\":\"True\",\"type\":\"Ready\"},"
        "{\"lastTransitionTime\":\"2026-03-01T08:00:00Z\",\"message\":\"\",\"observedGeneration\":4,"
        "\"reason\":\"Waiting\",\"status\":\"Unknown\",\"type\":\"ConfigurationAccepted\"},"
        "{\"lastTransitionTime\":\"2026-03-01T08:00:01Z\",\"message\":\"orders does not "
        "run\",\"observedGeneration\":4,"
        "\"reason\":\"NotRunning\",\"status\":\"False\",\"type\":\"SourcesRunning\"},"
        "{\"lastTransitionTime\":\"2026-03-01T08:00:00Z\",\"message\":\"all\",\"observedGeneration\":4,"
        "\"reason\":\"Reachable\",\"status\":\"True\",\"type\":\"WatchersReachable\"}],"
        "\"message\":\"orders does not run\",\"nodes\":{"
        "\"1\":{\"displayName\":\"tick\",\"events\":7,\"id\":\"1\",\"lastEventTime\":\"2026-03-01T08:00:"
        "05Z\","
        "\"name\":\"calendar.tick\",\"phase\":\"Running\",\"startedAt\":\"2026-03-01T08:00:00Z\",\"type\":"
        "\"calendar\","
        "\"updateTime\":\"2026-03-01T08:00:00Z\"},"
        "\"2\":{\"displayName\":\"orders\",\"events\":0,\"id\":\"2\",\"message\":\"port 12000 is taken\","
        "\"name\":\"webhook.orders\",\"phase\":\"Error\",\"type\":\"webhook\",\"updateTime\":\"2026-03-01T08:"
        "00:00Z\"}},"
        "\"observedGeneration\":4,\"phase\":\"Error\",\"sources\":\"1/"
        "2\",\"startedAt\":\"2026-03-01T08:00:00Z\","
        "\"type\":\"calendar, webhook\",\"watchers\":{"
        "\"audit\":{\"deadLetters\":0,\"delivered\":13,\"pending\":0,\"state\":\"ok\"},"
        "\"sensor.shop.orders\":{\"deadLetters\":1,\"delivered\":10,\"message\":\"503\",\"pending\":3,"
        "\"state\":\"failing\"}},"
        "\"watchersReachable\":\"1/2\"}");
}

static void a_gateway_without_anything_has_a_status(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    struct gwc_gateway_status status = {.phase = ""};

    (void)state;
    for (size_t i = 0; i < GWC_CONDITIONS_COUNT; i++)
        status.conditions[i] = (struct gwc_gateway_condition){GWC_UNKNOWN, "Starting", "", NOW_MS};
    const struct gw_node *root = written(&arena, &status);
    assert_int_equal(root->count, 6);
    assert_int_equal(gw_node_get(root, "conditions")->count, GWC_CONDITIONS_COUNT);
    assert_int_equal(gw_node_get(root, "nodes")->count, 0);
    assert_int_equal(gw_node_get(root, "watchers")->count, 0);
    assert_string_equal(gw_node_text(gw_node_get(root, "phase"), NULL), "");
    assert_string_equal(gw_node_text(gw_node_get(root, "sources"), NULL), "0/0");
    assert_string_equal(gw_node_text(gw_node_get(root, "watchersReachable"), NULL), "0/0");
}

static void what_was_written_needs_no_patch(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes patch = {0};
    struct gwc_gateway_status later = sample;
    struct gwc_gateway_node moved[] = {nodes[0], nodes[1]};

    (void)state;
    const struct gw_node *before = written(&arena, &sample);
    assert_int_equal(gwc_merge_patch(before, written(&arena, &later), &gwc_gateway_status_shape, &patch),
                     GWC_PATCH_NOTHING);
    moved[1].events++;
    moved[1].last_event_ms += 1000;
    later.nodes = moved;
    assert_int_equal(gwc_merge_patch(before, written(&arena, &later), &gwc_gateway_status_shape, &patch),
                     GWC_PATCH_COUNTERS);
    assert_string_equal(gw_bytes_text(&patch),
                        "{\"nodes\":{\"1\":{\"events\":8,\"lastEventTime\":\"2026-03-01T08:00:06Z\"}}}");
    gw_bytes_clear(&patch);
    later.nodes_count = 1;
    assert_int_equal(gwc_merge_patch(before, written(&arena, &later), &gwc_gateway_status_shape, &patch),
                     GWC_PATCH_MATTERS);
    assert_string_equal(gw_bytes_text(&patch), "{\"nodes\":{\"1\":null}}");
}

static void conditions_of_others_are_kept(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *before = NULL;
    struct gwc_gateway_status status = sample;

    (void)state;
    assert_int_equal(gw_json_read(&arena,
                                  gw_view_text("[{\"type\":\"Ready\",\"status\":\"False\"},"
                                               "{\"type\":\"Approved\",\"status\":\"True\",\"extra\":1}]"),
                                  &before, &problems),
                     0);
    status.conditions_before = before;
    assert_true(gwc_gateway_conditions_shared(before));
    assert_false(gwc_gateway_conditions_shared(NULL));
    const struct gw_node *list = gw_node_get(written(&arena, &status), "conditions");
    assert_int_equal(list->count, GWC_CONDITIONS_COUNT + 1);
    assert_string_equal(gw_node_text(gw_node_get(list->first, "status"), ""), "True");
    const struct gw_node *last = list->first;
    while (last->next != NULL)
        last = last->next;
    assert_string_equal(gw_node_text(gw_node_get(last, "type"), ""), "Approved");
    assert_string_equal(gw_node_text(gw_node_get(last, "extra"), ""), "1");
    assert_true(gwc_gateway_conditions_shared(list));
    assert_false(gwc_gateway_conditions_shared(gw_node_get(written(&arena, &sample), "conditions")));
}

static void a_condition_is_found_again(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    enum gwc_truth truth = GWC_UNKNOWN;
    int64_t changed_ms = 0;

    (void)state;
    const struct gw_node *list = gw_node_get(written(&arena, &sample), "conditions");
    assert_true(gwc_gateway_condition_find(list, GWC_CONDITION_SOURCES_RUNNING, &truth, &changed_ms));
    assert_int_equal(truth, GWC_FALSE);
    assert_int_equal(changed_ms, NOW_MS + 1000);
    assert_false(
        gwc_gateway_condition_find(gw_node_get(list, "x"), GWC_CONDITION_READY, &truth, &changed_ms));
    assert_false(gwc_gateway_condition_find(list->first, GWC_CONDITION_READY, &truth, &changed_ms));
}

static void two_sources_of_one_id_both_have_a_node(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    struct gwc_gateway_node twins[] = {nodes[0], nodes[1], nodes[0]};
    struct gwc_gateway_status status = sample;

    (void)state;
    twins[1].id = twins[0].id;
    twins[2].name = "webhook.zebra";
    status.nodes = twins;
    status.nodes_count = 3;
    const struct gw_node *found = gw_node_get(written(&arena, &status), "nodes");
    assert_int_equal(found->count, 3);
    assert_string_equal(gw_node_text(gw_node_at(found, "2.name"), ""), "calendar.tick");
    assert_string_equal(gw_node_text(gw_node_at(found, "2-2.name"), ""), "webhook.orders");
    assert_string_equal(gw_node_text(gw_node_at(found, "2-3.name"), ""), "webhook.zebra");
    assert_string_equal(gw_node_text(gw_node_at(found, "2-3.id"), ""), "2");
}

static void what_does_not_run_is_shown_when_there_is_no_room_for_all(void **state)
{
    enum { COUNT = 8000 };
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_freep) struct gwc_gateway_node *many = calloc(COUNT, sizeof(*many));
    struct gwc_gateway_status status = sample;

    (void)state;
    assert_non_null(many);
    for (size_t i = 0; i < COUNT; i++) {
        many[i] = nodes[i == COUNT - 1 ? 0 : 1];
        many[i].id = gw_arena_printf(&arena, "%zu", i);
        assert_non_null(many[i].id);
    }
    status.nodes = many;
    status.nodes_count = COUNT;
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    gwc_gateway_status_write(&status, &out);
    assert_true(out.size < GWC_GATEWAY_NODES_BYTES_MAX + 4096);
    const struct gw_node *root = written(&arena, &status);
    const struct gw_node *found = gw_node_get(root, "nodes");
    char last[16], omitted[16];
    snprintf(last, sizeof(last), "%d", COUNT - 1);
    snprintf(omitted, sizeof(omitted), "%zu", COUNT - found->count);
    assert_non_null(gw_node_get(found, last));
    assert_true(found->count > 2000);
    assert_string_equal(gw_node_text(gw_node_get(root, "nodesOmitted"), ""), omitted);
}

static void long_words_are_cut_between_characters(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    struct gwc_gateway_node node = nodes[0];
    struct gwc_gateway_status status = sample;
    char words[2000] = "";

    (void)state;
    for (size_t i = 0; i + 3 < sizeof(words); i += 2)
        memcpy(words + i, "\xC3\xA9", 3);
    node.message = words;
    status.nodes = &node;
    status.nodes_count = 1;
    const struct gw_node *message = gw_node_at(written(&arena, &status), "nodes.2.message");
    assert_int_equal(message->text_size, 255); /* 252 bytes of letters, and the sign */
    assert_string_equal(message->text + 252, "…");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_is_known_is_written),
        cmocka_unit_test(a_gateway_without_anything_has_a_status),
        cmocka_unit_test(what_was_written_needs_no_patch),
        cmocka_unit_test(conditions_of_others_are_kept),
        cmocka_unit_test(a_condition_is_found_again),
        cmocka_unit_test(two_sources_of_one_id_both_have_a_node),
        cmocka_unit_test(what_does_not_run_is_shown_when_there_is_no_room_for_all),
        cmocka_unit_test(long_words_are_cut_between_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
