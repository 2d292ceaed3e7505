/* A gateway-server, seen from the client. */
#include "gateway-client/stream/server.h"

#include "common/clock.h"

#include <stdlib.h>

struct gwc_channel {
    struct gw_rpc_channel *rpc;
    uint64_t tls_stamp;  /* of the files it was opened with */
    unsigned references; /* the server's while it is the current one, and one for each stream */
};

struct gwc_server {
    struct gw_arena arena;
    struct gwc_server_spec spec;
    struct gw_rpc_client *rpc;
    struct gwc_channel *channel;
    unsigned references;
    bool moved;
};

static const char *copy_text(struct gw_arena *arena, const char *text, bool *good)
{
    if (text == NULL)
        return NULL;
    char *copy = gw_arena_copy(arena, gw_view_text(text));
    *good = *good && copy != NULL;
    return copy;
}

static bool server_copy(struct gwc_server *server, const struct gwc_server_spec *spec)
{
    struct gwc_server_spec *copy = &server->spec;
    bool good = true;

    *copy = *spec;
    copy->type = copy_text(&server->arena, spec->type, &good);
    copy->address = copy_text(&server->arena, spec->address, &good);
    copy->contract_name = copy_text(&server->arena, spec->contract_name, &good);
    copy->tls.ca_file = copy_text(&server->arena, spec->tls.ca_file, &good);
    copy->tls.certificate_file = copy_text(&server->arena, spec->tls.certificate_file, &good);
    copy->tls.key_file = copy_text(&server->arena, spec->tls.key_file, &good);
    copy->tls.server_name = copy_text(&server->arena, spec->tls.server_name, &good);
    return good;
}

int gwc_server_new(struct gwc_server **ret_server, struct gw_rpc_client *rpc,
                   const struct gwc_server_spec *spec)
{
    struct gwc_server *server = calloc(1, sizeof(*server));

    if (server == NULL)
        return GW_RAISE(-ENOMEM);
    server->rpc = rpc;
    server->references = 1;
    if (!server_copy(server, spec)) {
        gwc_server_unref(server);
        return GW_RAISE(-ENOMEM);
    }
    *ret_server = server;
    return 0;
}

struct gwc_server *gwc_server_ref(struct gwc_server *server)
{
    server->references++;
    return server;
}

struct gwc_server *gwc_server_unref(struct gwc_server *server)
{
    if (server == NULL || --server->references > 0)
        return NULL;
    gwc_channel_unref(server->channel);
    gw_arena_done(&server->arena);
    free(server);
    return NULL;
}

const struct gwc_server_spec *gwc_server_spec(const struct gwc_server *server)
{
    return &server->spec;
}

/* ---- the channel ---- */

struct gw_rpc_channel *gwc_channel_rpc(const struct gwc_channel *channel)
{
    return channel->rpc;
}

struct gwc_channel *gwc_channel_unref(struct gwc_channel *channel)
{
    if (channel == NULL || --channel->references > 0)
        return NULL;
    gw_rpc_channel_close(channel->rpc);
    free(channel);
    return NULL;
}

static struct gwc_channel *channel_open(struct gwc_server *server, struct gw_reason *reason)
{
    struct gwc_channel *channel = calloc(1, sizeof(*channel));
    struct gw_rpc_channel_options options = {
        .address = server->spec.address,
        .tls = server->spec.tls,
        .keepalive_ms = server->spec.keepalive_ns / GW_NS_PER_MS,
        .reconnect_initial_ms = 200,
        .reconnect_max_ms = 3000,
    };
    if (channel == NULL)
        return NULL;
    channel->references = 1;
    channel->tls_stamp =
        gw_rpc_tls_stamp(&options.tls); /* before they are read: a change meanwhile is seen */
    if (gw_rpc_channel_open(&channel->rpc, server->rpc, &options, reason) == 0)
        return channel;
    free(channel);
    return NULL;
}

struct gw_rpc_channel *gwc_server_channel(struct gwc_server *server, struct gw_reason *reason)
{
    if (server->channel != NULL && server->channel->tls_stamp != gw_rpc_tls_stamp(&server->spec.tls))
        server->channel = gwc_channel_unref(server->channel);
    if (server->channel == NULL)
        server->channel = channel_open(server, reason);
    return server->channel == NULL ? NULL : server->channel->rpc;
}

struct gwc_channel *gwc_server_hold(struct gwc_server *server, struct gw_reason *reason)
{
    if (gwc_server_channel(server, reason) == NULL)
        return NULL;
    server->channel->references++;
    return server->channel;
}

void gwc_server_set_moved(struct gwc_server *server, bool moved)
{
    server->moved = moved;
}

bool gwc_server_moved(const struct gwc_server *server)
{
    return server->moved;
}
