/* What a module may ask of its server. */
#include "gateway-servers/sdk/server.h"

struct gw_loop *gws_server_loop(struct gws_server *server)
{
    return server->loop;
}

struct gw_metrics *gws_server_metrics(struct gws_server *server)
{
    return server->metrics;
}

void *gws_server_data(struct gws_server *server)
{
    return server->data;
}

const char *gws_server_state_directory(const struct gws_server *server)
{
    return server->state_directory;
}
