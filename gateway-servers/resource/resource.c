/* gateway-server-resource: objects of Kubernetes that come, change and go become events. */
#include "gateway-servers/resource/source.h"

#include <stdlib.h>

enum { COUNT_MS = 1000 };

/* ---- what is counted ---- */

static void on_count(void *user)
{
    struct resource *resource = user;
    size_t objects = 0;

    for (const struct source *source = resource->sources; source != NULL; source = source->next)
        objects += source_objects(source);
    gw_series_set(resource->objects, (double)objects);
    gw_series_set(resource->kept, (double)kept_bytes());
    gw_series_set(resource->watches, resource->feeds == NULL ? 0 : (double)feeds_count(resource->feeds));
    gw_timer_start(resource->timer, COUNT_MS);
}

static void resource_count(struct resource *resource)
{
    struct gw_metrics *metrics = gws_server_metrics(resource->server);
    const struct {
        struct gw_series **series;
        const char *name, *help;
    } rows[] = {
        {&resource->watches, "gateway_server_resource_watches", "Watches at the API server."},
        {&resource->objects, "gateway_server_resource_objects",
         "Objects known, summed over the event sources."},
        {&resource->kept, "gateway_server_resource_kept_bytes", "Bytes of objects kept for OldObj."},
    };

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
        *rows[i].series =
            gw_family_series(gw_metrics_family(metrics, GW_GAUGE, rows[i].name, rows[i].help, "", NULL, 0),
                             NULL);
    on_count(resource);
}

/* ---- the module ---- */

static void resource_close(struct gws_server *server, void *data)
{
    struct resource *resource = data;

    (void)server;
    if (resource->timer != NULL)
        gw_timer_close(resource->timer); /* first: it counts what goes */
    feeds_close(resource->feeds);
    snapshots_close(resource->snapshots);
    event_done(&resource->event);
    free(resource);
}

static int resource_open_parts(struct resource *resource, struct gw_reason *reason)
{
    const char *directory = gws_server_state_directory(resource->server);

    GW_TRY(gw_timer_open(&resource->timer, resource->loop, on_count, resource));
    if (directory != NULL)
        GW_TRY(snapshots_open(&resource->snapshots, resource->loop, directory, reason));
    if (directory != NULL && reason->text[0] != '\0')
        gw_log(GW_LOG_WARN, reason->text, NULL);
    return 0;
}

static int resource_open(struct gws_server *server, void **ret_data, struct gw_reason *reason)
{
    struct resource *resource = calloc(1, sizeof(*resource));

    if (resource == NULL)
        return GW_RAISE(-ENOMEM);
    resource->server = server;
    resource->loop = gws_server_loop(server);
    int fault = resource_open_parts(resource, reason);
    if (fault < 0) {
        resource_close(server, resource);
        return fault;
    }
    resource_count(resource);
    *ret_data = resource;
    return 0;
}

static void resource_validate(struct gws_server *server, const struct gws_identity *identity,
                              const void *config, struct gw_problems *problems)
{
    GW_AUTO(plan_done) struct plan plan = {0};

    (void)server, (void)identity;
    if (plan_make(&plan, config, problems) < 0)
        gw_problems_add(problems, "", 0, "cannot be checked: %s", gw_fault_trace());
}

static int resource_start(struct gws_source *stream, const void *config, void *state, struct gw_view position,
                          struct gw_reason *reason)
{
    int fault =
        source_start(state, gws_server_data(gws_source_server(stream)), stream, config, position, reason);

    if (fault < 0)
        source_stop(state);
    return fault;
}

static void resource_pause(struct gws_source *stream, void *state)
{
    (void)stream;
    source_set_window_full(state, true);
}

static void resource_resume(struct gws_source *stream, void *state)
{
    (void)stream;
    source_set_window_full(state, false);
}

static void resource_acknowledged(struct gws_source *stream, void *state, uint64_t sequence)
{
    (void)stream;
    source_acknowledged(state, sequence);
}

static void resource_stop(struct gws_source *stream, void *state)
{
    (void)stream;
    source_stop(state);
}

static const struct gws_module resource_module = {
    .type = "resource",
    .summary = "Objects of Kubernetes that are added, updated and deleted become events.",
    .event_type = "sluice.resource.update",
    .settings = resource_settings,
    .config_size = sizeof(struct resource_config),
    .state_size = sizeof(struct source),
    .uses_state = true,
    .open = resource_open,
    .close = resource_close,
    .validate = resource_validate,
    .start = resource_start,
    .pause = resource_pause,
    .resume = resource_resume,
    .acknowledged = resource_acknowledged,
    .stop = resource_stop,
};
GWS_MAIN(resource_module)
