/* gateway-server-generic: events of a user's own gRPC server, which implements Argo Events' generic.Eventing. */
#include "gateway-servers/generic/bridge.h"
#include "gateway-servers/generic/payload.h"
#include "gateway-servers/sdk/module.h"

#include <stdatomic.h>

struct generic {
    struct gws_source *source;
    const struct generic_config *config;
    struct generic_bridge *bridge;
    atomic_bool told_not_json;
};

static int generic_open(struct gws_server *server, void **ret_data, struct gw_reason *reason)
{
    struct gw_rpc_client *rpc = NULL;

    (void)server, (void)reason;
    GW_TRY(gw_rpc_client_open(&rpc));
    *ret_data = rpc;
    return 0;
}

static void generic_close(struct gws_server *server, void *data)
{
    (void)server;
    gw_rpc_client_close(data);
}

static void generic_validate(struct gws_server *server, const struct gws_identity *identity,
                             const void *config, struct gw_problems *problems)
{
    (void)server, (void)identity;
    generic_config_check(config, problems);
}

/* ---- what the bridge tells ---- */

static int on_payload(void *user, struct gw_view payload)
{
    struct generic *generic = user;
    struct generic_payload made;

    GW_TRY(generic_payload_make(generic->config, payload, &made));
    if (made.not_json && !atomic_exchange(&generic->told_not_json, true))
        gws_source_notice(
            generic->source, true,
            "%s sends payloads that are not JSON, although jsonBody is true: they go on as base64",
            generic->config->url);
    struct gws_event event = {.data = made.data, .data_content_type = gw_view_text(made.data_content_type)};
    int fault = gws_source_emit(generic->source, &event, NULL);
    generic_payload_done(&made);
    return fault;
}

static void on_connected(void *user)
{
    struct generic *generic = user;

    gws_source_started(generic->source);
    if (!atomic_load(&generic->told_not_json)) /* its first payload may have come before this */
        gws_source_notice(generic->source, false, "connected to %s", generic->config->url);
}

static void on_disconnected(void *user, const char *words)
{
    struct generic *generic = user;

    atomic_store(&generic->told_not_json, false);
    gws_source_notice(generic->source, true, "connecting to %s", words);
}

/* ---- the life of a source ---- */

static int generic_start(struct gws_source *source, const void *config, void *state, struct gw_view position,
                         struct gw_reason *reason)
{
    static const struct generic_bridge_hooks hooks = {on_payload, on_connected, on_disconnected};
    struct generic *generic = state;
    struct gws_server *server = gws_source_server(source);
    struct generic_bridge_options options = {.loop = gws_server_loop(server),
                                             .rpc = gws_server_data(server),
                                             .name = gws_source_identity(source)->name,
                                             .config = config};

    (void)position, (void)reason; /* the contract knows no positions */
    generic->source = source;
    generic->config = config;
    return generic_bridge_open(&generic->bridge, &options, &hooks, generic);
}

static void generic_pause(struct gws_source *source, void *state)
{
    (void)source;
    generic_bridge_set_paused(((struct generic *)state)->bridge, true);
}

static void generic_resume(struct gws_source *source, void *state)
{
    (void)source;
    generic_bridge_set_paused(((struct generic *)state)->bridge, false);
}

static void generic_stop(struct gws_source *source, void *state)
{
    struct generic *generic = state;

    (void)source;
    generic->bridge = generic_bridge_close(generic->bridge);
}

static const struct gws_module generic_module = {
    .type = "generic",
    .summary = "events of your own gRPC server, which implements Argo Events' generic.Eventing",
    .event_type = "sluice.generic.event",
    .settings = generic_settings,
    .config_size = sizeof(struct generic_config),
    .state_size = sizeof(struct generic),
    .open = generic_open,
    .close = generic_close,
    .validate = generic_validate,
    .start = generic_start,
    .pause = generic_pause,
    .resume = generic_resume,
    .stop = generic_stop,
};
GWS_MAIN(generic_module)
