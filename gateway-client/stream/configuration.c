/* One configuration of an event source. */
#include "gateway-client/stream/configuration.h"

void gwc_configuration_done(struct gwc_configuration *configuration)
{
    gw_arena_done(&configuration->arena);
    gwc_server_unref(configuration->server);
    *configuration = (struct gwc_configuration){0};
}

int gwc_configuration_copy(struct gwc_configuration *copy, struct gwc_server *server,
                           const struct gwc_source *source)
{
    struct gwc_configuration made = {.source = *source, .there = true};

    made.source.key = gw_arena_copy(&made.arena, gw_view_text(source->key));
    made.source.type = gw_arena_copy(&made.arena, gw_view_text(source->type));
    made.source.name = gw_arena_copy(&made.arena, gw_view_text(source->name));
    made.source.config.data = gw_arena_copy(&made.arena, source->config);
    made.source.file = source->file == NULL ? "" : gw_arena_copy(&made.arena, gw_view_text(source->file));
    if (made.source.key == NULL || made.source.type == NULL || made.source.name == NULL ||
        made.source.config.data == NULL || made.source.file == NULL) {
        gw_arena_done(&made.arena);
        return GW_RAISE(-ENOMEM);
    }
    made.server = gwc_server_ref(server);
    gwc_configuration_done(copy);
    *copy = made;
    return 0;
}
