/* resource: what a source's snapshot knows when its stream ends. Feed, API server and stream are the test's. */
#include "common/yaml.h"
#include "gateway-servers/resource/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- what stands in for the stream and the API server ---- */

static struct {
    struct gw_loop *loop;
    uint64_t emitted, takes; /* how many events are taken; then comes the fault */
    int fault;
    size_t places; /* how many there is memory for */
    bool failed;
} stage;

int __wrap_gws_source_emit(struct gws_source *source, const struct gws_event *event, uint64_t *ret_sequence);
void __wrap_gws_source_notice(struct gws_source *source, bool warning, const char *format, ...);
void __wrap_gws_source_started(struct gws_source *source);
void __wrap_gws_source_fail(struct gws_source *source, const char *format, ...);
const struct gws_identity *__wrap_gws_source_identity(const struct gws_source *source);
bool __wrap_gws_source_withdrawn(const struct gws_source *source);
int __wrap_gws_server_kube(struct gws_server *server, struct gw_kube **ret_kube, struct gw_reason *reason);
struct gw_loop *__wrap_gw_kube_loop(struct gw_kube *kube);
int __wrap_lookup_open(struct lookup *lookup);
void __wrap_feed_join(struct feeds *feeds, struct feed_member *member);
int __real_member_open(struct member *member);
int __wrap_member_open(struct member *member);

int __wrap_gws_source_emit(struct gws_source *source, const struct gws_event *event, uint64_t *ret_sequence)
{
    (void)source, (void)event;
    if (stage.emitted == stage.takes)
        return stage.fault;
    *ret_sequence = ++stage.emitted;
    return 0;
}

void __wrap_gws_source_notice(struct gws_source *source, bool warning, const char *format, ...)
{
    (void)source, (void)warning, (void)format;
}

void __wrap_gws_source_started(struct gws_source *source)
{
    (void)source;
}

void __wrap_gws_source_fail(struct gws_source *source, const char *format, ...)
{
    (void)source, (void)format;
    stage.failed = true;
}

const struct gws_identity *__wrap_gws_source_identity(const struct gws_source *source)
{
    static const struct gws_identity identity = {"gateway", "namespace", "name", "id"};

    (void)source;
    return &identity;
}

bool __wrap_gws_source_withdrawn(const struct gws_source *source)
{
    (void)source;
    return false;
}

int __wrap_gws_server_kube(struct gws_server *server, struct gw_kube **ret_kube, struct gw_reason *reason)
{
    (void)server, (void)reason;
    *ret_kube = NULL;
    return 0;
}

struct gw_loop *__wrap_gw_kube_loop(struct gw_kube *kube)
{
    (void)kube;
    return stage.loop;
}

int __wrap_lookup_open(struct lookup *lookup)
{
    lookup->kind = (struct kind){.resource = strdup("pods"), .kind = strdup("Pod"), .namespaced = true};
    return 0;
}

void __wrap_feed_join(struct feeds *feeds, struct feed_member *member)
{
    (void)feeds, (void)member;
}

int __wrap_member_open(struct member *member)
{
    if (stage.places == 0)
        return -ENOMEM;
    stage.places--;
    return __real_member_open(member);
}

/* ---- one life of a source, as far as its process lives ---- */

struct life {
    struct gw_arena arena;
    struct resource_config config;
    struct resource resource;
    struct source source;
};

static void life_begin(struct life *life, const char *directory, const char *yaml, size_t places)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *root = NULL;
    struct gw_reason reason = {""};

    *life = (struct life){0};
    assert_int_equal(gw_yaml_read(&life->arena, gw_view_text(yaml), &root, &problems), 0);
    assert_int_equal(gw_settings_load(resource_settings, root, "", &life->config, sizeof(life->config),
                                      &life->arena, &problems),
                     0);
    stage.emitted = 0;
    stage.failed = false;
    stage.places = places;
    assert_int_equal(gw_loop_open(&stage.loop), 0);
    life->resource.loop = stage.loop;
    assert_int_equal(snapshots_open(&life->resource.snapshots, stage.loop, directory, &reason), 0);
    assert_int_equal(
        source_start(&life->source, &life->resource, NULL, &life->config, gw_view(NULL, 0), &reason), 0);
    life->source.lookup.done(&life->source.lookup);
    for (int i = 0; i < 1000 && life->source.places_count < places && !stage.failed; i++)
        gw_loop_turn(stage.loop, 10);
    assert_int_equal(life->source.places_count, places);
}

static void life_end(struct life *life)
{
    source_stop(&life->source);
    feeds_close(life->resource.feeds);
    snapshots_close(life->resource.snapshots);
    event_done(&life->resource.event);
    stage.loop = gw_loop_close(stage.loop);
    gw_arena_done(&life->arena);
}

static struct feed_member *feed_of(struct life *life)
{
    return &life->source.places[0].feed;
}

static void see(struct life *life, const char *name, const char *version, bool listed)
{
    struct sighting sighting;
    const struct gw_kube_object object = {.change = GW_KUBE_ADDED,
                                          .namespace_ = "shop",
                                          .name = name,
                                          .uid = name,
                                          .resource_version = version,
                                          .json = gw_view_text("{\"metadata\":{}}"),
                                          .listed = listed};

    assert_true(sighting_read(&sighting, &object, 0));
    feed_of(life)->hooks->see(feed_of(life), &sighting);
    sighting_done(&sighting);
}

static void synced(struct life *life, const char *list_version)
{
    feed_of(life)->hooks->synced(feed_of(life), list_version, false);
}

/* ---- the tests ---- */

#define PODS "{version: v1, resource: pods}"

struct ending {
    uint64_t takes; /* events, until the fault */
    int fault;
    bool listed;
    const char *seen; /* what the next life begins at … */
    size_t objects;   /* … and how many it knows */
};

/* A second life is told of `a` and `b`, a third one begins with what is kept. */
static void end_as(const struct ending *ending, const char *directory)
{
    struct life life;

    stage.takes = UINT64_MAX;
    life_begin(&life, directory, PODS, 1);
    feed_of(&life)->hooks->list(feed_of(&life));
    see(&life, "old", "90", true);
    synced(&life, "100");
    life_end(&life);

    stage.takes = ending->takes;
    stage.fault = ending->fault;
    life_begin(&life, directory, PODS, 1);
    if (ending->listed) {
        feed_of(&life)->hooks->list(feed_of(&life));
        see(&life, "old", "90", true);
    } else {
        synced(&life, NULL);
    }
    see(&life, "a", "101", ending->listed);
    see(&life, "b", "102", ending->listed);
    if (ending->listed)
        synced(&life, "105");
    source_acknowledged(&life.source, stage.emitted);
    assert_true(stage.failed == (ending->fault == -ENOMEM));
    life_end(&life);

    life_begin(&life, directory, PODS, 1);
    assert_string_equal(life.source.places[0].member.seen, ending->seen);
    assert_int_equal(source_objects(&life.source), ending->objects);
    life_end(&life);
}

static void a_snapshot_knows_nothing_that_was_refused(void **state)
{
    static const struct ending endings[] = {
        {9, 0, false, "102", 3},         {0, -ECANCELED, false, "100", 1}, {1, -ECANCELED, false, "101", 2},
        {0, -ENOMEM, false, "100", 1},   {1, -ENOMEM, false, "101", 2},    {9, 0, true, "105", 3},
        {0, -ECANCELED, true, "100", 1}, {1, -ECANCELED, true, "100", 2},  {0, -ENOMEM, true, "100", 1},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(endings); i++) {
        char directory[] = "/tmp/test-resource-XXXXXX", path[64];

        assert_non_null(mkdtemp(directory));
        snprintf(path, sizeof(path), "%s/resource.db", directory);
        end_as(&endings[i], directory);
        unlink(path);
        rmdir(directory);
    }
}

static void a_source_without_memory_forgets_no_namespace(void **state)
{
    static const char two[] = "{version: v1, resource: pods, namespaces: [shop, bar]}";
    char directory[] = "/tmp/test-resource-XXXXXX", path[64];
    struct life life;

    (void)state;
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/resource.db", directory);
    stage.takes = UINT64_MAX;
    life_begin(&life, directory, two, 2);
    for (size_t i = 0; i < 2; i++) {
        struct feed_member *feed = &life.source.places[i].feed;
        feed->hooks->list(feed);
        feed->hooks->synced(feed, "100", false);
    }
    life_end(&life);

    life_begin(&life, directory, two, 1);
    for (int i = 0; i < 1000 && !stage.failed; i++)
        gw_loop_turn(stage.loop, 10);
    assert_true(stage.failed);
    assert_int_equal(source_objects(&life.source), 0);
    life_end(&life);

    life_begin(&life, directory, two, 2);
    assert_string_equal(life.source.places[0].member.seen, "100");
    assert_string_equal(life.source.places[1].member.seen, "100");
    life_end(&life);
    unlink(path);
    rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_knows_nothing_that_was_refused),
        cmocka_unit_test(a_source_without_memory_forgets_no_namespace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
