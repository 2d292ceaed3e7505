/* ConfigMaps and Gateways, as manifests and as objects of the API server: whatever they hold, entries are good or have a reason, in
 * order. */
#include "gateway-client/origin/origin_parts.h"
#include "gateway-client/spec/plan.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct gwc_server_spec servers[] = {{.type = "calendar"}, {.type = "webhook"}};
static const struct gwc_spec specs[] = {{.servers = servers, .servers_count = 2},
                                        {.servers = servers, .servers_count = 1}};

/* `path` NULL: the text is an object. */
static void check_sources(const char *path, struct gw_view text, const struct gwc_spec *spec)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = NULL;
    GW_AUTO(gwc_plan_done) struct gwc_plan plan = {0};

    int read = path != NULL ? gwc_sources_read(path, spec, &sources, &problems)
                            : gwc_sources_read_object(text, "configmap a/b", spec, &sources, &problems);
    if (read != 0) {
        assert(gw_problems_any(&problems));
        return;
    }
    assert(sources->bad_count == 0 || gw_problems_any(&problems));
    for (size_t i = 0; i < sources->count; i++) {
        assert(gwc_sources_find(sources, sources->items[i].key) == &sources->items[i]);
        assert(sources->items[i].name[0] != '\0' && sources->items[i].line > 0);
    }
    for (size_t i = 0; i < sources->bad_count; i++)
        assert(sources->bad[i].message[0] != '\0');
    assert(gwc_plan_make(&plan, sources, sources) == 0);
    assert(plan.kept == sources->count);
}

static void check_spec(int (*read)(struct gw_view text, struct gwc_spec **ret_spec,
                                   struct gw_problems *problems),
                       struct gw_view text)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = NULL;

    if (read(text, &spec, &problems) != 0) {
        assert(gw_problems_any(&problems));
        return;
    }
    assert(spec->name != NULL && spec->namespace_ != NULL && spec->servers_count > 0);
    for (size_t i = 0; i < spec->watchers_count; i++)
        assert(gwc_watcher_spec_equal(&spec->watchers[i], &spec->watchers[i]) &&
               spec->watchers[i].url != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gw_view text = gw_view(data, size);
    int descriptor = memfd_create("sources", MFD_CLOEXEC);
    char path[64];

    assert(descriptor >= 0);
    assert(write(descriptor, data, size) == (ssize_t)size);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    for (size_t i = 0; i < GW_COUNT_OF(specs); i++) {
        check_sources(path, text, &specs[i]);
        check_sources(NULL, text, &specs[i]);
    }
    close(descriptor);
    check_spec(gwc_spec_read, text);
    check_spec(gwc_spec_read_object, text);
    assert(!gwc_origin_says_other(GWC_ORIGIN_GATEWAY, text, text));
    assert(!gwc_origin_says_other(GWC_ORIGIN_CONFIGMAP, text, text));
    return 0;
}
