/* resource: settings, selectors, filters, paths, payloads, positions, kinds. */
#include "common/clock.h"
#include "common/json.h"
#include "common/yaml.h"
#include "gateway-servers/resource/event.h"
#include "gateway-servers/resource/snapshot.h"
#include "gateway-servers/resource/snapshot_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- settings ---- */

struct loaded {
    struct gw_arena arena;
    struct gw_problems problems;
    struct resource_config config;
    struct plan plan;
};

static void load(struct loaded *loaded, const char *yaml)
{
    const struct gw_node *root = NULL;

    *loaded = (struct loaded){0};
    assert_int_equal(gw_yaml_read(&loaded->arena, gw_view_text(yaml), &root, &loaded->problems), 0);
    assert_int_equal(gw_settings_load(resource_settings, root, "", &loaded->config, sizeof(loaded->config),
                                      &loaded->arena, &loaded->problems),
                     0);
    assert_int_equal(plan_make(&loaded->plan, &loaded->config, &loaded->problems), 0);
}

static void loaded_done(struct loaded *loaded)
{
    plan_done(&loaded->plan);
    gw_problems_done(&loaded->problems);
    gw_arena_done(&loaded->arena);
}

static void load_good(struct loaded *loaded, const char *yaml)
{
    load(loaded, yaml);
    if (gw_problems_any(&loaded->problems))
        fail_msg("%s: %s: %s", yaml, loaded->problems.items[0].path, loaded->problems.items[0].message);
}

#define PODS "{version: v1, resource: pods, "

static void what_cannot_work_is_said_with_its_path(void **state)
{
    static const struct {
        const char *yaml, *path, *words;
    } rows[] = {
        {"{resource: pods}", "version", "missing"},
        {"{version: v1}", "resource", "plural"},
        {"{version: v1, resource: pods, kind: Pod}", "resource", "not both"},
        {"{version: v1, resource: Pod}", "resource", "is a kind"},
        {"{version: v1, resource: pods/log}", "resource", "parts of a resource"},
        {"{version: v1, resource: 'p ods'}", "resource", "not the name of a resource"},
        {"{version: v1, resource: pods, group: core}", "group", "leave group out"},
        {"{version: v1, resource: pods, group: apps/v1}", "group", "a setting of its own"},
        {"{version: v1, resource: pods, group: Apps}", "group", "not the name of an API group"},
        {"{version: apps/v1, resource: pods}", "version", "not a version"},
        {PODS "namespace: Shop}", "namespaces[0]", "not the name of a namespace"},
        {PODS "namespaces: [shop, '']}", "namespaces[1]", "not the name"},
        {PODS "namespaces: [shop, bar, shop]}", "namespaces[2]", "twice"},
        {PODS "namespace: a, namespaces: [b]}", "namespaces", ""},
        {PODS "type: CHANGE}", "type", "UPDATE"},
        {PODS "eventTypes: [ADD, UPDAET]}", "eventTypes[1]", "UPDATE"},
        {PODS "payload: plain}", "payload", "v0.16"},
        {PODS "mode: everything}", "mode", "reference"},
        {PODS "filter: {createdBy: yesterday}}", "filter.createdBy", "RFC 3339"},
        {PODS "filter: {changed: [spec.]}}", "filter.changed[0]", "expected a name at character 6"},
        {PODS "filter: {changed: ['a[x]']}}", "filter.changed[0]", "after ["},
        {PODS "filter: {changed: [a, '']}}", "filter.changed[1]", "an empty path"},
        {PODS "filter: {labels: 5}}", "filter.labels", "expected a mapping"},
        {PODS "filter: {labels: {a b: c}}}", "filter.labels", "not the name of a label"},
        {PODS "filter: {labels: {a: c d}}}", "filter.labels", "not the value of a label"},
        {PODS "filter: {labels: {a: [b]}}}", "filter.labels", "a: expected the value"},
        {PODS "filter: {labels: [7]}}", "filter.labels[0]", "{key, operation, value}"},
        {PODS "filter: {labels: [{key: a, operation: near, value: b}]}}", "filter.labels[0]",
         "no operation \"near\""},
        {PODS "filter: {labels: [{key: a, operation: in}]}}", "filter.labels[0]", "need values"},
        {PODS "filter: {labels: [{key: a}]}}", "filter.labels[0]", "needs one value"},
        {PODS "filter: {labels: [{key: a, operation: exists, value: b}]}}", "filter.labels[0]",
         "needs no value"},
        {PODS "filter: {labels: [{key: a, operation: gt, value: many}]}}", "filter.labels[0]",
         "whole number"},
        {PODS "filter: {labels: [{key: a, value: b, values: [c]}]}}", "filter.labels[0]",
         "either value or values"},
        {PODS "filter: {labels: [{key: a, value: b}, {value: b}]}}", "filter.labels[1].key", "missing"},
        {PODS "filter: {labels: [{key: a, valeu: b}]}}", "filter.labels[0].valeu", "value"},
        {PODS "filter: {labels: 'a in (b'}}", "filter.labels", "expected ',' or ')' at character 8"},
        {PODS "filter: {labels: 'a in b'}}", "filter.labels", "expected '(' and the values at character 6"},
        {PODS "filter: {labels: 'a=b,'}}", "filter.labels", "the name of a label at character 5"},
        {PODS "filter: {labels: 'a=b c'}}", "filter.labels", "expected ',' at character 5"},
        {PODS "filter: {labels: 'a =! b'}}", "filter.labels", "one of = =="},
        {PODS "filter: {fields: 'status..phase=x'}}", "filter.fields", "expected a name at character 8"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(loaded_done) struct loaded loaded;

        load(&loaded, rows[i].yaml);
        if (loaded.problems.count == 0)
            fail_msg("%s: no problem", rows[i].yaml);
        if (strcmp(loaded.problems.items[0].path, rows[i].path) != 0 ||
            strstr(loaded.problems.items[0].message, rows[i].words) == NULL)
            fail_msg("%s: got %s: %s", rows[i].yaml, loaded.problems.items[0].path,
                     loaded.problems.items[0].message);
    }
}

static void settings_of_argo_mean_what_they_meant(void **state)
{
    GW_AUTO(loaded_done) struct loaded old, new, oldest;

    (void)state;
    load_good(
        &old,
        "namespace: batch-prod\ngroup: batch\nversion: v1\nresource: jobs\ntype: UPDATE\n"
        "filter:\n  prefix: settle-\n  labels:\n    team: billing\n  createdBy: 2026-03-01T08:30:00Z\n");
    assert_string_equal(old.plan.namespaces[0], "batch-prod");
    assert_true(old.plan.told[CHANGE_UPDATE] && !old.plan.told[CHANGE_ADD] && !old.plan.told[CHANGE_DELETE]);
    assert_true(old.plan.legacy && old.plan.keeps_objects);

    load_good(&new,
              "{group: apps, version: v1, resource: deployments, eventTypes: [ADD, DELETE], payload: v0.16,"
              " filter: {labels: [{key: team, operation: '==', value: billing}], afterStart: true}}");
    assert_string_equal(new.plan.namespaces[0], "");
    assert_int_equal(new.plan.namespaces_count, 1);
    assert_true(new.plan.told[CHANGE_ADD] && !new.plan.told[CHANGE_UPDATE] && new.plan.told[CHANGE_DELETE]);
    assert_false(new.plan.keeps_objects);

    load_good(&oldest, "{version: v1, kind: Pod}");
    assert_null(oldest.plan.resource);
    assert_true(oldest.plan.told[CHANGE_ADD] && oldest.plan.told[CHANGE_UPDATE] &&
                oldest.plan.told[CHANGE_DELETE]);
}

static void objects_are_kept_only_for_old_objects(void **state)
{
    static const struct {
        const char *yaml;
        bool keeps;
    } rows[] = {
        {"{version: v1, resource: pods}", true}, {PODS "eventTypes: [ADD, DELETE]}", false},
        {PODS "oldObject: false}", false},       {PODS "mode: reference}", false},
        {PODS "payload: v0.16}", false},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(loaded_done) struct loaded loaded;

        load_good(&loaded, rows[i].yaml);
        assert_int_equal(loaded.plan.keeps_objects, rows[i].keeps);
    }
}

/* ---- selectors ---- */

static void selectors_go_to_the_api_server_as_text(void **state)
{
    static const struct {
        const char *labels, *text;
    } rows[] = {
        {"{team: billing, tier: 3}", "team=billing,tier=3"},
        {"{example.com/team: billing, on: true}", "example.com/team=billing,on=true"},
        {"[{key: a, value: b}]", "a=b"},
        {"[{key: a, operation: '=', value: b}, {key: c, operation: '==', value: d}]", "a=b,c=d"},
        {"[{key: a, operation: '!=', value: b}]", "a!=b"},
        {"[{key: a, operation: in, value: 'b, c'}]", "a in (b,c)"},
        {"[{key: a, operation: In, values: [b, c]}]", "a in (b,c)"},
        {"[{key: a, operation: notin, value: b}]", "a notin (b)"},
        {"[{key: a, operator: NotIn, values: b}]", "a notin (b)"},
        {"[{key: a, operation: exists}]", "a"},
        {"[{key: a, operation: '!', value: ''}]", "!a"},
        {"[{key: a, operation: DoesNotExist}]", "!a"},
        {"[{key: a, operation: gt, value: '5'}, {key: a, operation: lt, value: 9}]", "a>5,a<9"},
        {"'a=b, c == d,e!=f'", "a=b,c=d,e!=f"},
        {"'a in (b, c),d notin ( e ),f,! g,h>1,i < 2'", "a in (b,c),d notin (e),f,!g,h>1,i<2"},
        {"'a='", "a="},
        {"'a in (,b)'", "a in (,b)"},
        {"['a=b', {key: c, value: d}]", "a=b,c=d"},
        {"''", ""},
        {"~", ""},
        {"{}", ""},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
        GW_AUTO(loaded_done) struct loaded loaded;
        char yaml[512];

        snprintf(yaml, sizeof(yaml), PODS "filter: {labels: %s}}", rows[i].labels);
        load_good(&loaded, yaml);
        selector_write(&text, &loaded.plan.labels, SELECTOR_LABELS, false);
        assert_string_equal(gw_bytes_text(&text), rows[i].text);
    }
}

static void fields_go_as_far_as_the_api_server_knows_them(void **state)
{
    static const struct {
        const char *fields, *known, *unknown;
        bool wants;
    } rows[] = {
        {"{status.phase: Failed}", "status.phase=Failed", "", true},
        {"{metadata.name: a}", "metadata.name=a", "metadata.name=a", false},
        {"'metadata.namespace!=a,spec.nodeName=n'", "metadata.namespace!=a,spec.nodeName=n",
         "metadata.namespace!=a", true},
        {"[{key: status.phase, operation: in, value: 'a,b'}]", "", "", false},
        {"[{key: metadata.name, operation: exists}]", "", "", false},
        {"[{key: spec.replicas, operation: gt, value: 3}, {key: a, value: b}]", "a=b", "", true},
        {"{a: 'x,y=z\\'}", "a=x\\,y\\=z\\\\", "", true},
        {"'a=x\\,y'", "a=x\\,y", "", true},
        {"'a=<b,c==d'", "a=<b,c=d", "", true},
        {"{\"metadata.annotations['a,b']\": x, n tier: x}", "", "", false},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes known = {0}, unknown = {0};
        GW_AUTO(loaded_done) struct loaded loaded;
        char yaml[512];

        snprintf(yaml, sizeof(yaml), PODS "filter: {fields: %s}}", rows[i].fields);
        load_good(&loaded, yaml);
        selector_write(&known, &loaded.plan.fields, SELECTOR_FIELDS, true);
        selector_write(&unknown, &loaded.plan.fields, SELECTOR_FIELDS, false);
        assert_string_equal(gw_bytes_text(&known), rows[i].known);
        assert_string_equal(gw_bytes_text(&unknown), rows[i].unknown);
        assert_int_equal(selector_wants_others(&loaded.plan.fields), rows[i].wants);
    }
}

static const char pod_json[] =
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"settle-1\",\"namespace\":\"shop\","
    "\"uid\":\"u-1\","
    "\"resourceVersion\":\"77\",\"creationTimestamp\":\"2026-03-01T08:30:00Z\","
    "\"labels\":{\"team\":\"billing\",\"app.kubernetes.io/name\":\"x\"},"
    "\"annotations\":{\"owner\":\"ann\\\"a\",\"note\":\"\"},"
    "\"managedFields\":[{\"manager\":\"kubectl\",\"time\":\"2026-03-01T08:31:00Z\"},"
    "{\"manager\":\"kubelet\",\"time\":\"2026-03-01T08:32:00Z\"}]},"
    "\"spec\":{\"nodeName\":\"n1\",\"replicas\":5,\"paused\":false,\"containers\":[{\"image\":\"a\"},{"
    "\"image\":\"b\"}]},"
    "\"status\":{\"phase\":\"Failed\",\"message\":null}}";

/* Every operation, on fields that the API server does not know. */
static void fields_are_judged_here_where_they_must(void **state)
{
    static const struct {
        const char *fields;
        bool holds;
    } rows[] = {
        {"{status.phase: Failed}", true},
        {"{status.phase: Running}", false},
        {"{spec.nothing: ''}", false},
        {"{spec.replicas: 5}", true},
        {"{spec.paused: false}", true},
        {"{'spec.containers[1].image': b}", true},
        {"{/spec/containers/0/image: a}", true},
        {"[{key: status.phase, operation: '=', value: Failed}]", true},
        {"[{key: status.phase, operation: '==', value: Runing}]", false},
        {"[{key: status.phase, operation: '!=', value: Running}]", true},
        {"[{key: status.phase, operation: '!=', value: Failed}]", false},
        {"[{key: spec.nothing, operation: '!=', value: Failed}]", true},
        {"[{key: status.phase, operation: in, values: [Failed, Running]}]", true},
        {"[{key: status.phase, operation: in, values: [Running]}]", false},
        {"[{key: spec.nothing, operation: in, values: ['', a]}]", false},
        {"[{key: status.phase, operation: notin, values: [Failed, Running]}]", false},
        {"[{key: status.phase, operation: notin, values: [Running]}]", true},
        {"[{key: spec.nothing, operation: notin, values: [Running]}]", true},
        {"[{key: spec.nodeName, operation: exists}]", true},
        {"[{key: spec.nothing, operation: exists}]", false},
        {"[{key: status.message, operation: exists}]", false},
        {"[{key: spec.nodeName, operation: '!'}]", false},
        {"[{key: spec.nothing, operation: '!'}]", true},
        {"[{key: spec.replicas, operation: gt, value: 4}]", true},
        {"[{key: spec.replicas, operation: gt, value: 5}]", false},
        {"[{key: spec.replicas, operation: lt, value: 6}]", true},
        {"[{key: spec.replicas, operation: lt, value: 5}]", false},
        {"[{key: spec.nodeName, operation: gt, value: 0}]", false},
        {"[{key: spec.nothing, operation: lt, value: 9}]", false},
        {"'status.phase in (Failed),spec.replicas>4,!spec.nothing'", true},
        {"'status.phase in (Failed),spec.replicas>5'", false},
    };
    const struct object pod = object_read(gw_view_text(pod_json));

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(loaded_done) struct loaded loaded;
        char yaml[512];

        snprintf(yaml, sizeof(yaml), PODS "filter: {fields: %s}}", rows[i].fields);
        load_good(&loaded, yaml);
        if (plan_matches(&loaded.plan, false, 0, "settle-1", &pod) != rows[i].holds)
            fail_msg("%s: expected %d", rows[i].fields, rows[i].holds);
        assert_false(plan_is_steady(&loaded.plan, false));
    }
}

static void what_the_api_server_judges_is_not_judged_again(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    const struct object pod = object_read(gw_view_text(pod_json));

    (void)state;
    load_good(&loaded, PODS "filter: {labels: {team: other}, fields: {spec.unschedulable: false}}}");
    assert_true(plan_matches(&loaded.plan, true, 0, "settle-1", &pod));
    assert_true(plan_is_steady(&loaded.plan, true));
}

/* ---- the other filters ---- */

static void objects_are_told_apart_by_every_filter(void **state)
{
    static const struct {
        const char *filter;
        bool matches, steady;
    } rows[] = {
        {"{}", true, true},
        {"{prefix: ''}", true, true},
        {"{prefix: settle-}", true, true},
        {"{prefix: settle-1}", true, true},
        {"{prefix: settle-11}", false, true},
        {"{prefix: ettle}", false, true},
        {"{annotations: {owner: 'ann\"a'}}", true, false},
        {"{annotations: {owner: anna}}", false, false},
        {"{annotations: {note: ''}}", true, false},
        {"{annotations: {owner: 'ann\"a', note: x}}", false, false},
        {"{annotations: {missing: ''}}", false, false},
        {"{createdBy: 2026-03-01T08:30:00Z}", true, true},
        {"{createdBy: '2026-03-01T09:30:00+01:00'}", true, true},
        {"{createdBy: 2026-03-01T08:29:59Z}", false, true},
        {"{createdBy: ''}", true, true},
    };
    const struct object pod = object_read(gw_view_text(pod_json));

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(loaded_done) struct loaded loaded;
        char yaml[512];

        snprintf(yaml, sizeof(yaml), PODS "filter: %s}", rows[i].filter);
        load_good(&loaded, yaml);
        if (plan_matches(&loaded.plan, true, 0, "settle-1", &pod) != rows[i].matches)
            fail_msg("%s: expected %d", rows[i].filter, rows[i].matches);
        assert_int_equal(plan_is_steady(&loaded.plan, true), rows[i].steady);
    }
}

static void objects_from_before_the_start_can_be_left_out(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    const struct object pod = object_read(gw_view_text(pod_json)),
                        bare = object_read(gw_view_text("{\"metadata\":{}}"));
    int64_t created_ns = 0;

    (void)state;
    load_good(&loaded, PODS "filter: {afterStart: true}}");
    assert_true(object_created(&pod, &created_ns));
    assert_true(plan_matches(&loaded.plan, true, created_ns - 1, "a", &pod));
    assert_true(plan_matches(&loaded.plan, true, created_ns + GW_NS_PER_S / 2, "a", &pod));
    assert_false(plan_matches(&loaded.plan, true, created_ns + GW_NS_PER_S, "a", &pod));
    assert_false(plan_matches(&loaded.plan, true, 0, "a", &bare));
}

static void the_same_set_of_objects_has_the_same_text(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } rows[] = {
        {PODS "filter: {labels: {a: b}}}", PODS "filter: {labels: 'a==b'}, type: ADD, payload: v0.16}", true},
        {PODS "filter: {labels: {a: b}}}", PODS "filter: {labels: {a: c}}}", false},
        {PODS "filter: {fields: [{key: a, operation: in, value: b}]}}", PODS "filter: {fields: {a: b}}}",
         false},
        {PODS "namespace: a}", PODS "namespace: b}", false},
        {PODS "filter: {annotations: {a: b}}}", PODS "filter: {annotations: {a: c}}}", false},
        {PODS "filter: {changed: [a.b]}}", PODS "filter: {changed: [/a/b]}}", true},
        {PODS "filter: {changed: [a.b]}}", PODS "filter: {changed: ['a[*].b']}}", false},
        {PODS "filter: {prefix: a}}", PODS "filter: {prefix: b}}", false},
        {PODS "filter: {createdBy: 2026-03-01T08:30:00Z}}", "{version: v1, resource: pods}", false},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes a = {0}, b = {0};
        GW_AUTO(loaded_done) struct loaded one, other;

        load_good(&one, rows[i].a);
        load_good(&other, rows[i].b);
        plan_write(&one.plan, &a);
        plan_write(&other.plan, &b);
        assert_int_equal(strcmp(gw_bytes_text(&a), gw_bytes_text(&b)) == 0, rows[i].same);
    }
}

/* ---- paths ---- */

static void paths_lead_to_values(void **state)
{
    static const struct {
        const char *path, *value; /* NULL: nowhere */
    } rows[] = {
        {"spec.replicas", "5"},
        {".spec.replicas", "5"},
        {"{.spec.replicas}", "5"},
        {"$.spec.replicas", "5"},
        {"/spec/replicas", "5"},
        {"/spec/containers/1/image", "\"b\""},
        {"spec.containers[1].image", "\"b\""},
        {"spec.containers[2].image", NULL},
        {"spec.containers[*].image", "\"a\""},
        {"spec.containers.image", NULL},
        {"metadata.labels['app.kubernetes.io/name']", "\"x\""},
        {"metadata.labels.app\\.kubernetes\\.io/name", "\"x\""},
        {"metadata['labels'][\"team\"]", "\"billing\""},
        {"/metadata/labels/app.kubernetes.io~1name", "\"x\""},
        {"status.message", "null"},
        {"status", "{\"phase\":\"Failed\",\"message\":null}"},
        {"spec.replicas.more", NULL},
        {"/a~0b", NULL},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
        struct gw_reason reason = {""};
        struct gw_view value = {0};
        struct path path;

        if (path_parse(&path, rows[i].path, &arena, &reason) != 0)
            fail_msg("%s: %s", rows[i].path, reason.text);
        assert_int_equal(path_find(&path, gw_view_text(pod_json), &value), rows[i].value != NULL);
        if (rows[i].value != NULL)
            assert_true(gw_view_is(value, rows[i].value));
    }
}

static void names_with_escapes_are_found(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    struct gw_view value = {0};
    struct path path;

    (void)state;
    assert_int_equal(path_parse(&path, "/a\"~0/b", &arena, NULL), 0);
    assert_true(path_find(&path, gw_view_text("{\"a\\\"\\u007e\":{\"b\":1}}"), &value));
    assert_true(gw_view_is(value, "1"));
}

static void marks_differ_where_values_differ(void **state)
{
    static const struct {
        const char *paths[2];
        const char *a, *b;
        bool same;
    } rows[] = {
        {{"a"}, "{\"a\":1,\"b\":1}", "{\"a\":1,\"b\":2}", true},
        {{"a"}, "{\"a\":1}", "{\"a\":2}", false},
        {{"a"}, "{\"a\":1}", "{}", false},
        {{"a", "b"}, "{\"a\":1}", "{\"b\":1}", false},
        {{"a[*].s"}, "{\"a\":[{\"s\":1,\"t\":1},{\"s\":2}]}", "{\"a\":[{\"s\":1,\"t\":2},{\"s\":2}]}", true},
        {{"a[*].s"}, "{\"a\":[{\"s\":1},{\"s\":2}]}", "{\"a\":[{\"s\":2},{\"s\":1}]}", false},
        {{"a[*].s"}, "{\"a\":[{\"s\":1},{\"s\":2}]}", "{\"a\":[{\"s\":12}]}", false},
        {{"a[0]"}, "{\"a\":[1,2]}", "{\"a\":[1,3]}", true},
        {{"a"}, "{\"a\":{\"x\":[1,{}]}}", "{\"a\":{\"x\":[1,{}]}}", true},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
        struct path paths[2];
        size_t count = 0;

        for (; count < 2 && rows[i].paths[count] != NULL; count++)
            assert_int_equal(path_parse(&paths[count], rows[i].paths[count], &arena, NULL), 0);
        if ((path_mark(paths, count, gw_view_text(rows[i].a)) ==
             path_mark(paths, count, gw_view_text(rows[i].b))) != rows[i].same)
            fail_msg("%s, %s", rows[i].a, rows[i].b);
    }
}

static void a_path_is_not_endless(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    char text[2 * (PATH_STEPS_MAX + 1) + 1];
    struct gw_reason reason;
    struct path path;

    (void)state;
    for (size_t i = 0; i < PATH_STEPS_MAX + 1; i++)
        memcpy(text + 2 * i, "/a", 3);
    assert_int_equal(path_parse(&path, text, &arena, &reason), -EINVAL);
    text[2 * PATH_STEPS_MAX] = '\0';
    assert_int_equal(path_parse(&path, text, &arena, &reason), 0);
    assert_int_equal(path.count, PATH_STEPS_MAX);
}

/* ---- objects and payloads ---- */

static void managed_fields_are_left_out_unless_asked_for(void **state)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"{\"metadata\":{\"name\":\"a\",\"managedFields\":[{\"x\":[1]}]},\"b\":1}",
         "{\"metadata\":{\"name\":\"a\"},\"b\":1}"},
        {"{\"metadata\":{\"managedFields\":[],\"name\":\"a\"}}", "{\"metadata\":{\"name\":\"a\"}}"},
        {"{\"metadata\":{\"a\":1,\"managedFields\":[],\"name\":\"a\"}}",
         "{\"metadata\":{\"a\":1,\"name\":\"a\"}}"},
        {"{\"metadata\":{\"managedFields\":[]}}", "{\"metadata\":{}}"},
        {"{\"managedFields\":[1],\"metadata\":{\"name\":\"a\"}}",
         "{\"managedFields\":[1],\"metadata\":{\"name\":\"a\"}}"},
        {"{\"data\":{}}", "{\"data\":{}}"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes with = {0}, without = {0};
        struct object object = object_read(gw_view_text(rows[i].in));

        object_write(&without, &object, false);
        object_write(&with, &object, true);
        assert_string_equal(gw_bytes_text(&without), rows[i].out);
        assert_string_equal(gw_bytes_text(&with), rows[i].in);
    }
}

static void an_object_says_when_it_was_written(void **state)
{
    const struct object pod = object_read(gw_view_text(pod_json));
    const struct object young =
        object_read(gw_view_text("{\"metadata\":{\"creationTimestamp\":\"2026-03-01T08:30:00Z\"}}"));
    const struct object bare = object_read(gw_view_text("{}"));
    char text[GW_TIME_MAX];

    (void)state;
    assert_string_equal(gw_time_format(text, object_written(&pod, 7), 0), "2026-03-01T08:32:00Z");
    assert_string_equal(gw_time_format(text, object_written(&young, 7), 0), "2026-03-01T08:30:00Z");
    assert_int_equal(object_written(&bare, 7), 7);
}

static void payloads_are_those_of_argo(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    struct payload payload = {
        .change = CHANGE_ADD,
        .group = "apps",
        .version = "v1",
        .resource = "deployments",
        .kind = "Deployment",
        .namespace_ = "shop",
        .name = "a",
        .uid = "u",
        .resource_version = "7",
        .object = gw_view_text("{\"a\":1}"),
    };

    (void)state;
    payload_write(&out, PAYLOAD_LEGACY, &payload);
    assert_string_equal(gw_bytes_text(&out), "{\"Obj\":{\"a\":1},\"OldObj\":null,\"Type\":\"ADD\"}");
    gw_bytes_clear(&out);
    payload.change = CHANGE_UPDATE;
    payload.old = gw_view_text("{\"a\":0}");
    payload_write(&out, PAYLOAD_LEGACY, &payload);
    assert_string_equal(gw_bytes_text(&out), "{\"Obj\":{\"a\":1},\"OldObj\":{\"a\":0},\"Type\":\"UPDATE\"}");
    gw_bytes_clear(&out);
    payload.change = CHANGE_DELETE;
    payload_write(&out, PAYLOAD_PLAIN, &payload);
    assert_string_equal(gw_bytes_text(&out),
                        "{\"type\":\"DELETE\",\"body\":{\"a\":1},\"group\":\"apps\",\"version\":\"v1\","
                        "\"resource\":\"deployments\"}");
}

static void references_name_the_object(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    struct payload payload = {.group = "apps",
                              .version = "v1",
                              .resource = "deployments",
                              .kind = "Deployment",
                              .namespace_ = "shop",
                              .name = "a",
                              .uid = "u",
                              .resource_version = "7"};

    (void)state;
    payload_reference(&out, &payload);
    assert_string_equal(gw_bytes_text(&out),
                        "{\"kind\":\"Deployment\",\"namespace\":\"shop\",\"name\":\"a\",\"uid\":\"u\","
                        "\"apiVersion\":\"apps/v1\",\"resourceVersion\":\"7\"}");
    gw_bytes_clear(&out);
    payload_remains(&out, &payload);
    assert_string_equal(gw_bytes_text(&out),
                        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"a\","
                        "\"namespace\":\"shop\",\"uid\":\"u\"}}");
    gw_bytes_clear(&out);
    payload.group = payload.namespace_ = payload.resource_version = "";
    payload_reference(&out, &payload);
    assert_string_equal(gw_bytes_text(&out),
                        "{\"kind\":\"Deployment\",\"name\":\"a\",\"uid\":\"u\",\"apiVersion\":\"v1\"}");
}

/* ---- positions ---- */

static void positions_come_back_as_they_were_written(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    char version[POSITION_VERSION_MAX] = "";
    int64_t at_ns = 0, since_ns = 0;

    (void)state;
    assert_true(gw_time_parse(gw_view_text("2026-03-01T08:30:00Z"), &at_ns));
    assert_true(gw_time_parse(gw_view_text("2026-02-28T17:00:00.5Z"), &since_ns));
    position_begin(&out, "deployments", "apps", at_ns, since_ns);
    position_add(&out, "shop", "48213");
    position_add(&out, "at", "5");
    assert_string_equal(
        gw_bytes_text(&out),
        "deployments.apps at=2026-03-01T08:30:00Z since=2026-02-28T17:00:00.500Z /shop=48213 /at=5");
    struct position position = position_read(gw_bytes_view(&out), "deployments", "apps");
    assert_true(position.of_resource);
    assert_int_equal(position.at_ns, at_ns);
    assert_int_equal(position.since_ns, since_ns);
    assert_true(position_version(&position, "shop", version));
    assert_string_equal(version, "48213");
    assert_true(position_version(&position, "at", version));
    assert_string_equal(version, "5");
    assert_false(position_version(&position, "sho", version));
    assert_false(position_version(&position, "", version));
    assert_false(position_read(gw_bytes_view(&out), "deployments", "").of_resource);
    assert_false(position_read(gw_bytes_view(&out), "pods", "").of_resource);
}

static void positions_that_make_no_sense_are_no_positions(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "12345",
        "pods /=",
        "pods at= since=x /shop",
        "pods / =5",
        "pods /=0123456789012345678901234567890123456789012345678901234567890123456789",
        "pods \n\t =",
    };
    char version[POSITION_VERSION_MAX];

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        struct position position = position_read(gw_view_text(rows[i]), "pods", "");

        assert_int_equal(position.at_ns, 0);
        assert_int_equal(position.since_ns, 0);
        assert_false(position_version(&position, "", version));
        assert_false(position_version(&position, "shop", version));
    }
}

static void versions_are_compared_as_numbers(void **state)
{
    (void)state;
    assert_true(version_within("9", "10"));
    assert_true(version_within("10", "10"));
    assert_false(version_within("11", "10"));
    assert_true(version_within("", "10"));
    assert_false(version_within("1", ""));
    assert_true(version_within("abc", "abc"));
    assert_false(version_within("abc", "abd"));
    assert_false(version_within("5", "abd"));
}

/* ---- kinds ---- */

static const char apps_json[] =
    "{\"kind\":\"APIResourceList\",\"groupVersion\":\"apps/v1\",\"resources\":["
    "{\"name\":\"deployments\",\"singularName\":\"deployment\",\"namespaced\":true,\"kind\":\"Deployment\","
    "\"verbs\":[\"create\",\"list\",\"watch\"],\"shortNames\":[\"deploy\"]},"
    "{\"name\":\"deployments/"
    "scale\",\"singularName\":\"\",\"namespaced\":true,\"kind\":\"Scale\",\"verbs\":[\"get\"]},"
    "{\"name\":\"reviews\",\"singularName\":\"review\",\"namespaced\":false,\"kind\":\"Review\",\"verbs\":["
    "\"create\"]},"
    "{\"name\":\"nodes\",\"singularName\":\"node\",\"namespaced\":false,\"kind\":\"Node\",\"verbs\":["
    "\"list\",\"watch\"]}]}";

static void resources_are_found_or_said_to_be_unknown(void **state)
{
    static const struct {
        const char *yaml, *path, *words;
    } rows[] = {
        {"{group: apps, version: v1, resource: deployments}", "/apis/apps/v1/namespaces/shop/deployments",
         NULL},
        {"{group: apps, version: v1, kind: Deployment}", "/apis/apps/v1/namespaces/shop/deployments", NULL},
        {"{version: v1, resource: nodes}", "/api/v1/nodes", NULL},
        {"{group: apps, version: v1, resource: deployment}", NULL,
         "no apps/v1/deployment: is deployments meant?"},
        {"{group: apps, version: v1, resource: deploy}", NULL, "is deployments meant?"},
        {"{group: apps, version: v1, resource: deplyoments}", NULL, "is deployments meant?"},
        {"{group: apps, version: v1, kind: Deploymnet}", NULL, "is Deployment meant?"},
        {"{group: apps, version: v1, kind: Scale}", NULL, "no apps/v1/Scale"},
        {"{group: apps, version: v1, resource: zebras}", NULL, "the API server has no apps/v1/zebras"},
        {"{group: apps, version: v1, resource: reviews}", NULL, "reviews cannot be listed and watched"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
        GW_AUTO(loaded_done) struct loaded loaded;
        struct gw_reason reason = {""};
        struct kind kind = {0};

        load_good(&loaded, rows[i].yaml);
        int found = kinds_find(&kind, gw_view_text(apps_json), &loaded.plan, &reason);
        if (rows[i].path != NULL) {
            assert_int_equal(found, 0);
            kinds_collection(&path, &loaded.plan, &kind, "shop");
            assert_string_equal(gw_bytes_text(&path), rows[i].path);
        } else {
            assert_int_equal(found, -EINVAL);
            if (strstr(reason.text, rows[i].words) == NULL)
                fail_msg("%s: %s", rows[i].yaml, reason.text);
        }
        kind_done(&kind);
    }
}

static void a_list_of_resources_that_is_none_is_a_fault(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    struct gw_reason reason = {""};
    struct kind kind = {0};

    (void)state;
    load_good(&loaded, "{version: v1, resource: pods}");
    assert_int_equal(kinds_find(&kind, gw_view_text("<html>"), &loaded.plan, &reason), -EPROTO);
    assert_int_equal(kinds_find(&kind, gw_view_text("{\"resources\":{}}"), &loaded.plan, &reason), -EPROTO);
    assert_int_equal(kinds_find(&kind, gw_view_text("{\"resources\":[1,{}]}"), &loaded.plan, &reason),
                     -EINVAL);
}

static void groups_and_versions_that_are_not_there_are_explained(void **state)
{
    static const char groups[] =
        "{\"groups\":[{\"name\":\"apps\",\"versions\":[{\"version\":\"v1\"},{\"version\":\"v1beta2\"}]},"
        "{\"name\":\"batch\",\"versions\":[{\"version\":\"v1\"}]}]}";
    static const struct {
        const char *yaml, *words;
    } rows[] = {
        {"{group: apps, version: v2, resource: a}",
         "the group apps, but not in version v2; there is v1, v1beta2"},
        {"{group: bacth, version: v1, resource: a}", "no group bacth: is batch meant?"},
        {"{group: zebra.example.com, version: v1, resource: a}",
         "the API server has no group zebra.example.com"},
        {"{version: v2, resource: a}", "no version v2 of the core group"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(loaded_done) struct loaded loaded;
        struct gw_reason reason = {""};

        load_good(&loaded, rows[i].yaml);
        kinds_explain(gw_view_text(groups), &loaded.plan, &reason);
        if (strstr(reason.text, rows[i].words) == NULL)
            fail_msg("%s: %s", rows[i].yaml, reason.text);
    }
}

/* ---- members ---- */

/* A member whose hooks write down what they are called with: "ADD a@5(u1)" told, "+a" and "-a" noted. */
struct watching {
    struct loaded loaded;
    struct member member;
    struct gw_bytes told, noted;
};

static int on_tell(struct member *member, const struct member_event *event)
{
    struct watching *watching = member->user;

    gw_bytes_printf(&watching->told, "%s%s %s@%s(%s)", watching->told.size > 0 ? ", " : "",
                    change_names[event->change], event->id.name, event->id.version, event->id.uid);
    if (event->old != NULL) {
        struct gw_view spec = {0};
        struct gw_json_walk walk = gw_json_walk(gw_view(event->old->json, event->old->size));

        while (gw_json_next(&walk))
            if (gw_view_is(walk.key, "spec"))
                spec = walk.value;
        gw_bytes_printf(&watching->told, " was %.*s", (int)spec.size, spec.data);
    }
    return 0;
}

static int on_note(struct member *member, const struct gw_kube_id *id, uint64_t mark, bool inside)
{
    struct watching *watching = member->user;

    (void)mark;
    gw_bytes_printf(&watching->noted, "%s%s", inside ? "+" : "-", id->name);
    return 0;
}

static void watching_open(struct watching *watching, const char *yaml, const char *seen, bool complete)
{
    static const struct member_hooks hooks = {on_tell, on_note};

    *watching = (struct watching){0};
    load_good(&watching->loaded, yaml);
    watching->member = (struct member){
        .hooks = &hooks, .user = watching, .plan = &watching->loaded.plan, .namespace_ = "", .others = true};
    snprintf(watching->member.seen, sizeof(watching->member.seen), "%s", seen);
    watching->member.complete = complete;
    assert_int_equal(member_open(&watching->member), 0);
}

static void watching_done(struct watching *watching)
{
    member_close(&watching->member);
    loaded_done(&watching->loaded);
    gw_bytes_done(&watching->told);
    gw_bytes_done(&watching->noted);
    assert_int_equal(kept_bytes(), 0);
}

/* `what`: '+' ADDED, '~' MODIFIED, '-' DELETED, '=' in a list; then NAME/UID@VERSION [ANNOTATION [SPEC]]. */
static void see(struct watching *watching, const char *what)
{
    static const char marks[] = "+~-";
    char name[32] = "", uid[32] = "", version[32] = "", note[32] = "x", spec[32] = "0", json[512];
    const char *mark = strchr(marks, what[0]);
    struct sighting sighting;

    assert_true(sscanf(what + 1, "%31[^/]/%31[^@]@%31s %31s %31s", name, uid, version, note, spec) >= 3);
    snprintf(json, sizeof(json),
             "{\"metadata\":{\"name\":\"%s\",\"creationTimestamp\":\"1970-01-01T00:0%c:00Z\","
             "\"annotations\":{\"a\":\"%s\"}},\"spec\":%s}",
             name, uid[1], note, spec);
    const struct gw_kube_object object = {.change = mark == NULL ? GW_KUBE_ADDED
                                                                 : (enum gw_kube_change)(mark - marks),
                                          .namespace_ = "shop",
                                          .name = name,
                                          .uid = uid,
                                          .resource_version = version,
                                          .json = gw_view_text(json),
                                          .listed = mark == NULL};
    assert_true(sighting_read(&sighting, &object, 0));
    assert_int_equal(member_see(&watching->member, &sighting), 0);
    sighting_done(&sighting);
}

static void see_all(struct watching *watching, const char *const *sights)
{
    for (size_t i = 0; sights[i] != NULL; i++) {
        const char *version = sights[i] + 2;

        if (strcmp(sights[i], "[") == 0)
            member_list(&watching->member);
        else if (sights[i][0] == ']') /* "]=7": exactly what there was at 7 */
            assert_int_equal(member_listed(&watching->member, version, sights[i][1] == '='), 0);
        else
            see(watching, sights[i]);
    }
}

static void know(struct watching *watching, const char *name, const char *uid, const char *version)
{
    assert_int_equal(member_know(&watching->member, &(struct gw_kube_id){"shop", name, uid, version}, 0), 0);
}

enum { SIGHTS = 12 };

static void a_member_tells_what_is_news(void **state)
{
    static const struct {
        const char *what, *settings, *seen, *known; /* known: of a snapshot, "NAME/UID@VERSION" */
        const char *sights[SIGHTS];
        const char *told, *now;
    } rows[] = {
        {"what exists at first is learnt, not told",
         "",
         "",
         NULL,
         {"[", "=a/u1@3", "=b/u2@4", "]-7", "+c/u3@8", "~a/u1@9", "-b/u2@10"},
         "ADD c@8(u3), UPDATE a@9(u1), DELETE b@10(u2)",
         "10"},
        {"or told, when replayed",
         ", replayExisting: true",
         "",
         NULL,
         {"[", "=a/u1@3", "=b/u2@4", "]-7", "~a/u1@9"},
         "ADD a@3(u1), ADD b@4(u2), UPDATE a@9(u1)",
         "9"},
        {"a replay that begins anew tells only what differs",
         ", replayExisting: true",
         "",
         NULL,
         {"[", "=a/u1@3", "=b/u2@4", "=c/u3@5", "[", "=a/u1@3", "=b/u2@6", "=d/u4@7", "]-7"},
         "ADD a@3(u1), ADD b@4(u2), ADD c@5(u3), UPDATE b@6(u2), ADD d@7(u4), DELETE c@(u3)",
         "7"},
        {"a list that begins anew before it was through is as if it were the first",
         "",
         "",
         NULL,
         {"[", "=a/u1@3", "=c/u3@5", "[", "=a/u1@6", "]-7", "~a/u1@8"},
         "UPDATE a@8(u1)",
         "8"},
        {"who goes on skips what was told",
         "",
         "5",
         NULL,
         {"+a/u1@4", "~a/u1@5", "~a/u1@6", "+b/u2@7", "-b/u2@8"},
         "UPDATE a@6(u1), ADD b@7(u2), DELETE b@8(u2)",
         "8"},
        {"a change without a change is none",
         "",
         "5",
         NULL,
         {"+a/u1@6", "~a/u1@6", "~a/u1@6"},
         "ADD a@6(u1)",
         "6"},
        {"without a snapshot, after history went, what is newer is told by its age",
         "",
         "5",
         NULL,
         {"[", "=a/u1@4", "=b/u3@6", "=c/u9@7", "]-8", "-a/u1@9"},
         "UPDATE b@6(u3), ADD c@7(u9), DELETE a@9(u1)",
         "9"},
        {"unknown objects that go are told", "", "5", NULL, {"-a/u1@6", "-a/u1@4"}, "DELETE a@6(u1)", "6"},
        {"with a snapshot the list is compared with it",
         "",
         "5",
         "a/u1@3 b/u2@4 c/u3@4 d/u4@2",
         {"[", "=a/u1@3", "=b/u2@9", "=d/u4@5", "=e/u5@8", "]-10"},
         "UPDATE b@9(u2), ADD e@8(u5), DELETE c@5(u3)",
         "10"},
        {"what a snapshot does not know yet was told all the same",
         "",
         "5",
         "a/u1@3",
         {"[", "=a/u1@5", "=b/u2@4", "]-10"},
         "",
         "10"},
        {"made anew under the same name while nobody looked: it went, then came",
         "",
         "5",
         "a/u1@3",
         {"[", "=a/u2@8", "]-10"},
         "DELETE a@5(u1), ADD a@8(u2)",
         "10"},
        {"a list of what there was brings no news",
         "",
         "5",
         "a/u1@3 c/u3@2",
         {"[", "=a/u1@4", "=b/u2@5", "]=5", "~b/u2@6", "~a/u1@7"},
         "UPDATE b@6(u2), UPDATE a@7(u1)",
         "7"},
        {"after a list of what there was, old objects are known",
         ", oldObject: true",
         "5",
         NULL,
         {"[", "=a/u1@4 x 1", "]=5", "~a/u1@6 x 2", "~a/u1@7 x 3"},
         "UPDATE a@6(u1) was 1, UPDATE a@7(u1) was 2",
         "7"},
        {"an object's last state goes with it when it is missed",
         ", oldObject: true",
         "",
         NULL,
         {"[", "=a/u1@3 x 4", "]-5", "[", "]-9"},
         "DELETE a@5(u1) was 4",
         "9"},
        {"annotations make objects come and go",
         ", filter: {annotations: {a: x}}",
         "",
         NULL,
         {"[", "=a/u1@3 y", "=b/u2@3 x", "]-5", "~a/u1@6 x", "~b/u2@7 y", "~b/u2@8 y", "-b/u2@9 y",
          "-a/u1@10 x"},
         "ADD a@6(u1), DELETE b@7(u2), DELETE a@10(u1)",
         "10"},
        {"an object that left is not missed",
         ", filter: {annotations: {a: x}}",
         "",
         NULL,
         {"[", "=a/u1@3 x", "]-5", "~a/u1@6 y", "[", "=a/u1@6 y", "]-7"},
         "DELETE a@6(u1)",
         "7"},
        {"only updates that changed the value",
         ", oldObject: false, filter: {changed: [spec]}",
         "",
         NULL,
         {"[", "=a/u1@3 x 1", "]-5", "~a/u1@6 y 1", "~a/u1@7 y 2", "~a/u1@8 z 2", "+b/u2@9 x 1",
          "~b/u2@10 y 1"},
         "UPDATE a@7(u1), ADD b@9(u2)",
         "10"},
        {"unless it is not known what the value was",
         ", oldObject: false, filter: {changed: [spec]}",
         "5",
         "a/u1@3",
         {"~a/u1@6 y 1", "~a/u1@7 y 1"},
         "UPDATE a@6(u1)",
         "7"},
        {"types that are not asked for are not told",
         ", type: DELETE",
         "",
         NULL,
         {"[", "=a/u1@3", "]-5", "~a/u1@6", "+b/u2@7", "-a/u1@8"},
         "DELETE a@8(u1)",
         "8"},
        {"deletions that come twice are told once",
         "",
         "",
         NULL,
         {"[", "=a/u1@3", "]-5", "-a/u1@6", "-a/u1@6", "-a/u0@9"},
         "DELETE a@6(u1)",
         "9"},
        {"versions that are no numbers are never skipped",
         "",
         "x5",
         NULL,
         {"+a/u1@x4", "+a/u1@x4", "~a/u1@x6"},
         "ADD a@x4(u1), UPDATE a@x6(u1)",
         "x6"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(watching_done) struct watching watching;
        char yaml[256], name[32], uid[32], version[32];
        int size = 0;

        snprintf(yaml, sizeof(yaml), "{version: v1, resource: pods, payload: %s%s}",
                 strstr(rows[i].settings, "oldObject: true") != NULL ? "v0.11" : "v0.16", rows[i].settings);
        watching_open(&watching, yaml, rows[i].seen, rows[i].known != NULL);
        watching.member.at_ns = 5 * 60 * GW_NS_PER_S; /* objects are as old as their uid says: u3 of 00:03 */
        for (const char *at = rows[i].known; at != NULL && *at != '\0'; at += size) {
            assert_int_equal(sscanf(at, " %31[^/]/%31[^@]@%31s%n", name, uid, version, &size), 3);
            know(&watching, name, uid, version);
        }
        see_all(&watching, rows[i].sights);
        const char *told = gw_bytes_text(&watching.told);
        if (strcmp(told, rows[i].told) != 0 || strcmp(watching.member.seen, rows[i].now) != 0)
            fail_msg("%s: told \"%s\", seen %s", rows[i].what, told, watching.member.seen);
    }
}

static void a_member_notes_what_a_snapshot_must_know(void **state)
{
    static const struct {
        const char *settings;
        const char *sights[SIGHTS];
        const char *noted;
    } rows[] = {
        {"", {"[", "=a/u1@3", "=b/u2@4", "]-5", "~a/u1@6", "+c/u3@7", "-b/u2@8"}, "+a+b+c-b"},
        {"", {"[", "=a/u1@3", "]-5", "[", "=b/u2@6", "]-7"}, "+a+b-a"},
        {", type: UPDATE, filter: {annotations: {a: x}}", {"+a/u1@6", "~a/u1@7 y", "+b/u2@8 y"}, "+a-a"},
        {", filter: {changed: [spec]}", {"[", "=a/u1@3 x 1", "]-5", "~a/u1@6 y 1", "~a/u1@7 y 2"}, "+a+a"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(watching_done) struct watching watching;
        char yaml[256];

        snprintf(yaml, sizeof(yaml), "{version: v1, resource: pods, payload: v0.16%s}", rows[i].settings);
        watching_open(&watching, yaml, "", false);
        see_all(&watching, rows[i].sights);
        if (strcmp(gw_bytes_text(&watching.noted), rows[i].noted) != 0)
            fail_msg("%s: %s", rows[i].settings, gw_bytes_text(&watching.noted));
    }
}

static void a_history_that_went_back_is_noticed(void **state)
{
    GW_AUTO(watching_done) struct watching watching;

    (void)state;
    watching_open(&watching, "{version: v1, resource: pods}", "90", true);
    member_list(&watching.member);
    assert_int_equal(member_listed(&watching.member, "20", false), MEMBER_HISTORY);
    assert_string_equal(watching.member.seen, "20");
    member_progress(&watching.member, "15");
    assert_string_equal(watching.member.seen, "20");
    member_progress(&watching.member, "25");
    assert_string_equal(watching.member.seen, "25");
}

/* Without managedFields, once for all members, and gone with the last of them. */
static void what_is_kept_is_shared(void **state)
{
    static const char json[] = "{\"metadata\":{\"name\":\"a\",\"managedFields\":[{\"a\":1}]}}";
    const struct gw_kube_object object = {
        .namespace_ = "", .name = "a", .uid = "u", .resource_version = "5", .json = gw_view_text(json)};
    struct watching one, other;
    struct sighting sighting;

    (void)state;
    watching_open(&one, "{version: v1, resource: pods}", "", false);
    watching_open(&other, "{version: v1, resource: pods}", "", false);
    assert_true(sighting_read(&sighting, &object, 0));
    assert_int_equal(member_see(&one.member, &sighting), 0);
    assert_int_equal(member_see(&other.member, &sighting), 0);
    sighting_done(&sighting);
    assert_int_equal(kept_bytes(), strlen("{\"metadata\":{\"name\":\"a\"}}"));
    member_close(&other.member);
    assert_int_equal(kept_bytes(), strlen("{\"metadata\":{\"name\":\"a\"}}"));
    watching_done(&one);
    watching_done(&other);
}

static void what_is_no_json_is_no_sighting(void **state)
{
    const struct gw_kube_object object = {.namespace_ = "",
                                          .name = "a",
                                          .uid = "u",
                                          .resource_version = "5",
                                          .json = gw_view_text("{\"metadata\":{")};
    struct sighting sighting;

    (void)state;
    assert_false(sighting_read(&sighting, &object, 0));
}

/* ---- events ---- */

static void events_say_which_object_and_which_state_of_it(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(event_done) struct event event = {0};
    struct kind kind = {
        .resource = (char *)(uintptr_t) "pods", .kind = (char *)(uintptr_t) "Pod", .namespaced = true};
    const struct gw_kube_object object = {.namespace_ = "shop",
                                          .name = "settle-1",
                                          .uid = "u-1",
                                          .resource_version = "77",
                                          .json = gw_view_text(pod_json),
                                          .listed = true};
    struct sighting sighting;
    enum event_size size;
    char time[GW_TIME_MAX];

    (void)state;
    load_good(&loaded, "{version: v1, resource: pods, payload: v0.16, mode: reference}");
    assert_true(sighting_read(&sighting, &object, 0));
    struct member_event what = {CHANGE_DELETE, sighting.id, &sighting, NULL, true};
    assert_int_equal(event_write(&event, &loaded.plan, &kind, &what, 5, &size), 0);
    assert_int_equal(size, EVENT_WHOLE);
    assert_true(gw_view_is(event.event.id, "u-1.77.DELETE"));
    assert_true(gw_view_is(event.event.type, "sluice.resource.delete"));
    assert_true(gw_view_is(event.event.subject, "shop/settle-1"));
    assert_true(gw_view_is(event.event.partition_key, "u-1"));
    assert_string_equal(gw_time_format(time, event.event.time_ns, 0), "2026-03-01T08:32:00Z");
    assert_int_equal(event.event.extensions_count, 7);
    assert_true(gw_view_is(
        event.event.data,
        "{\"type\":\"DELETE\",\"body\":{\"kind\":\"Pod\",\"namespace\":\"shop\",\"name\":\"settle-1\","
        "\"uid\":"
        "\"u-1\",\"apiVersion\":\"v1\",\"resourceVersion\":\"77\"},\"group\":\"\",\"version\":\"v1\","
        "\"resource\":\"pods\"}"));
    what.listed = false;
    what.change = CHANGE_ADD;
    assert_int_equal(event_write(&event, &loaded.plan, &kind, &what, 5, &size), 0);
    assert_true(gw_view_is(event.event.id, "u-1.77"));
    assert_int_equal(event.event.time_ns, 5);
    sighting_done(&sighting);
}

/* Two of 1.5 MB fit a message, two of 2 MB do not, nor does one of 4 MB. */
static void events_that_are_too_large_go_without_what_is_too_much(void **state)
{
    static const struct {
        size_t size;
        enum event_size expected;
    } rows[] = {{1500000, EVENT_WHOLE}, {2000000, EVENT_WITHOUT_OLD}, {4000000, EVENT_REFERENCE}};
    GW_AUTO(loaded_done) struct loaded loaded;
    struct kind kind = {.resource = (char *)(uintptr_t) "pods", .kind = (char *)(uintptr_t) "Pod"};

    (void)state;
    load_good(&loaded, "{version: v1, resource: pods}");
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes json = {0};
        GW_AUTO(event_done) struct event event = {0};
        struct sighting sighting;
        struct kept *old = NULL;
        enum event_size size;

        gw_bytes_append_text(&json, "{\"metadata\":{},\"pad\":\"");
        memset(gw_bytes_reserve(&json, rows[i].size), 'x', rows[i].size);
        json.size += rows[i].size;
        gw_bytes_append_text(&json, "\"}");
        const struct gw_kube_object object = {
            .namespace_ = "", .name = "a", .uid = "u", .resource_version = "7", .json = gw_bytes_view(&json)};
        assert_true(sighting_read(&sighting, &object, 0));
        assert_int_equal(sighting_keep(&sighting, false, &old), 0);
        const struct member_event what = {CHANGE_UPDATE, sighting.id, &sighting, old, false};
        assert_int_equal(event_write(&event, &loaded.plan, &kind, &what, 5, &size), 0);
        assert_int_equal(size, rows[i].expected);
        assert_true(gw_json_valid(event.event.data));
        assert_true(event.event.data.size <= EVENT_DATA_MAX);
        kept_drop(old);
        sighting_done(&sighting);
    }
}

/* ---- ledgers and snapshots ---- */

static void on_version(void *user, size_t place, const char *version)
{
    gw_bytes_printf(user, "%zu=%s ", place, version);
}

static void note(struct ledger *ledger, uint64_t sequence, const char *name, bool inside)
{
    struct ledger_row *row = ledger_row_new(&(struct gw_kube_id){"shop", name, "u", "5"}, 3, inside);

    assert_non_null(row);
    assert_int_equal(ledger_note(ledger, sequence, row), 0);
}

static void a_snapshot_learns_only_what_is_acknowledged(void **state)
{
    GW_AUTO(ledger_closep) struct ledger *ledger = NULL;
    GW_AUTO(gw_bytes_done) struct gw_bytes reached = {0};
    GW_AUTO(ledger_rows_done) struct ledger_rows rows = {0};

    (void)state;
    assert_int_equal(ledger_open(&ledger), 0);
    note(ledger, 0, "silent", true);
    assert_int_equal(ledger_tell(ledger, 1, 100, 0, "11"), 0);
    note(ledger, 1, "a", true);
    assert_int_equal(ledger_tell(ledger, 2, 50, 1, "12"), 0);
    assert_int_equal(ledger_tell(ledger, 3, 25, 0, NULL), 0);
    note(ledger, 3, "b", false);
    assert_int_equal(ledger_bytes(ledger), 175);
    ledger_acknowledge(ledger, 0, &rows, on_version, &reached);
    assert_int_equal(rows.count, 1);
    ledger_acknowledge(ledger, 2, &rows, on_version, &reached);
    assert_int_equal(rows.count, 2);
    assert_string_equal(gw_bytes_text(&reached), "0=11 1=12 ");
    assert_int_equal(ledger_bytes(ledger), 25);
    assert_false(ledger_is_empty(ledger));
    ledger_acknowledge(ledger, 9, &rows, on_version, &reached);
    assert_true(ledger_is_empty(ledger));
    assert_string_equal(rows.first->id.name, "silent");
    assert_string_equal(rows.first->next->next->id.name, "b");
    assert_false(rows.first->next->next->inside);
}

static void a_ledger_keeps_its_order_as_it_grows_and_turns(void **state)
{
    GW_AUTO(ledger_closep) struct ledger *ledger = NULL;
    uint64_t told = 0, acknowledged = 0;
    struct ledger_rows rows = {0};

    (void)state;
    assert_int_equal(ledger_open(&ledger), 0);
    for (size_t round = 0; round < 300; round++) {
        for (size_t i = 0; i < round % 7; i++)
            assert_int_equal(ledger_tell(ledger, ++told, 1, 0, NULL), 0);
        acknowledged += (told - acknowledged) / 2;
        ledger_acknowledge(ledger, acknowledged, &rows, NULL, NULL);
        assert_int_equal(ledger_count(ledger), told - acknowledged);
        assert_int_equal(ledger_bytes(ledger), told - acknowledged);
    }
}

struct stored {
    int64_t number;
    struct gw_bytes position;
    struct ledger_rows rows;
};

static void stored_done(struct stored *stored)
{
    gw_bytes_done(&stored->position);
    ledger_rows_done(&stored->rows);
}

static void stored_load(struct stored *stored, struct snapshot_file *file, const char *key,
                        const char *settings)
{
    *stored = (struct stored){0};
    assert_int_equal(
        snapshot_file_load(file, key, settings, &stored->number, &stored->position, &stored->rows), 0);
}

static void put(struct ledger_rows *rows, const char *name, const char *uid, uint64_t mark, bool inside)
{
    struct ledger_row *row = ledger_row_new(&(struct gw_kube_id){"shop", name, uid, "5"}, mark, inside);

    assert_non_null(row);
    ledger_rows_add(rows, row);
}

static void snapshots_are_kept_by_source_and_forgotten_with_other_settings(void **state)
{
    char directory[] = "/tmp/test-resource-XXXXXX", file_path[64];
    struct snapshot_file *file = NULL;
    struct gw_reason reason = {""};

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(file_path, sizeof(file_path), "%s/resource.db", directory);
    assert_int_equal(snapshot_file_open(&file, directory, &reason), 0);
    {
        GW_AUTO(stored_done) struct stored one, other;
        GW_AUTO(ledger_rows_done) struct ledger_rows rows = {0}, later = {0};

        stored_load(&one, file, "a/b/one", "settings");
        stored_load(&other, file, "a/b/other", "settings");
        assert_int_equal(one.position.size, 0);
        put(&rows, "x", "u1", UINT64_MAX, true);
        put(&rows, "y", "u2", 0, true);
        put(&rows, "z", "u3", 0, true);
        assert_int_equal(snapshot_file_save(file, one.number, "pods /=5", &rows), 0);
        put(&later, "y", "u9", 0, false); /* another object of that name: it stays */
        put(&later, "z", "u3", 0, false);
        assert_int_equal(snapshot_file_save(file, one.number, "", &later), 0);
    }
    file = snapshot_file_close(file);
    assert_int_equal(snapshot_file_open(&file, directory, &reason), 0);
    {
        GW_AUTO(stored_done) struct stored again, other, changed, gone;

        stored_load(&again, file, "a/b/one", "settings");
        assert_string_equal(gw_bytes_text(&again.position), "pods /=5");
        assert_int_equal(again.rows.count, 2);
        assert_string_equal(again.rows.first->id.name, "x");
        assert_true(again.rows.first->mark == UINT64_MAX);
        stored_load(&other, file, "a/b/other", "settings");
        assert_int_equal(other.rows.count, 0);
        stored_load(&changed, file, "a/b/one", "others");
        assert_int_equal(changed.rows.count, 0);
        assert_int_equal(changed.position.size, 0);
        assert_int_equal(snapshot_file_forget(file, changed.number), 0);
        stored_load(&gone, file, "a/b/one", "settings");
        assert_int_equal(gone.rows.count, 0);
    }
    file = snapshot_file_close(file);
    assert_string_equal(reason.text, "");
    unlink(file_path);
    rmdir(directory);
}

static void a_damaged_snapshot_is_put_aside(void **state)
{
    char directory[] = "/tmp/test-resource-XXXXXX", path[64], aside[80];
    struct snapshot_file *file = NULL;
    struct gw_reason reason = {""};

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/resource.db", directory);
    snprintf(aside, sizeof(aside), "%s.damaged", path);
    FILE *garbage = fopen(path, "w");
    assert_non_null(garbage);
    for (size_t i = 0; i < 1000; i++)
        fputs("no database ", garbage);
    fclose(garbage);
    assert_int_equal(snapshot_file_open(&file, directory, &reason), 0);
    assert_non_null(strstr(reason.text, "was damaged"));
    assert_int_equal(access(aside, F_OK), 0);
    snapshot_file_close(file);
    unlink(path);
    unlink(aside);
    rmdir(directory);
}

static void on_something_else(void *user)
{
    *(bool *)user = true;
}

static void on_snapshot(void *user, const struct snapshot *snapshot)
{
    (void)snapshot;
    *(bool *)user = true;
}

/* Whoever closes them is half closed itself. */
static void snapshots_that_close_run_nothing_of_others(void **state)
{
    char directory[] = "/tmp/test-resource-XXXXXX", path[64];
    struct snapshot_source *source = NULL;
    struct snapshots *snapshots = NULL;
    struct gw_reason reason = {""};
    struct gw_loop *loop = NULL;
    struct gw_timer *timer = NULL;
    bool something_else = false, answered = false;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/resource.db", directory);
    assert_int_equal(gw_loop_open(&loop), 0);
    assert_int_equal(gw_timer_open(&timer, loop, on_something_else, &something_else), 0);
    assert_int_equal(snapshots_open(&snapshots, loop, directory, &reason), 0);
    assert_int_equal(snapshot_load(&source, snapshots, "a/b/one", "settings", on_snapshot, &answered), 0);
    snapshot_close(source, false);
    gw_timer_start(timer, 0);
    snapshots_close(snapshots);
    assert_false(something_else);
    gw_loop_close(loop);
    assert_false(answered);
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_work_is_said_with_its_path),
        cmocka_unit_test(settings_of_argo_mean_what_they_meant),
        cmocka_unit_test(objects_are_kept_only_for_old_objects),
        cmocka_unit_test(selectors_go_to_the_api_server_as_text),
        cmocka_unit_test(fields_go_as_far_as_the_api_server_knows_them),
        cmocka_unit_test(fields_are_judged_here_where_they_must),
        cmocka_unit_test(what_the_api_server_judges_is_not_judged_again),
        cmocka_unit_test(objects_are_told_apart_by_every_filter),
        cmocka_unit_test(objects_from_before_the_start_can_be_left_out),
        cmocka_unit_test(the_same_set_of_objects_has_the_same_text),
        cmocka_unit_test(paths_lead_to_values),
        cmocka_unit_test(names_with_escapes_are_found),
        cmocka_unit_test(marks_differ_where_values_differ),
        cmocka_unit_test(a_path_is_not_endless),
        cmocka_unit_test(managed_fields_are_left_out_unless_asked_for),
        cmocka_unit_test(an_object_says_when_it_was_written),
        cmocka_unit_test(payloads_are_those_of_argo),
        cmocka_unit_test(references_name_the_object),
        cmocka_unit_test(positions_come_back_as_they_were_written),
        cmocka_unit_test(positions_that_make_no_sense_are_no_positions),
        cmocka_unit_test(versions_are_compared_as_numbers),
        cmocka_unit_test(resources_are_found_or_said_to_be_unknown),
        cmocka_unit_test(a_list_of_resources_that_is_none_is_a_fault),
        cmocka_unit_test(groups_and_versions_that_are_not_there_are_explained),
        cmocka_unit_test(a_member_tells_what_is_news),
        cmocka_unit_test(a_member_notes_what_a_snapshot_must_know),
        cmocka_unit_test(a_history_that_went_back_is_noticed),
        cmocka_unit_test(what_is_kept_is_shared),
        cmocka_unit_test(what_is_no_json_is_no_sighting),
        cmocka_unit_test(events_say_which_object_and_which_state_of_it),
        cmocka_unit_test(events_that_are_too_large_go_without_what_is_too_much),
        cmocka_unit_test(a_snapshot_learns_only_what_is_acknowledged),
        cmocka_unit_test(a_ledger_keeps_its_order_as_it_grows_and_turns),
        cmocka_unit_test(snapshots_are_kept_by_source_and_forgotten_with_other_settings),
        cmocka_unit_test(a_damaged_snapshot_is_put_aside),
        cmocka_unit_test(snapshots_that_close_run_nothing_of_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
