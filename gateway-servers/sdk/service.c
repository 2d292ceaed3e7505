/* What the services of all contracts share: the ends of their calls. */
#include "gateway-servers/sdk/server.h"

void gws_service_no_memory(struct gw_rpc_server_call *call)
{
    gw_rpc_server_call_finish(call, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left", NULL);
}

void gws_service_unary_closed(void *user, struct gw_rpc_server_call *call, bool cancelled)
{
    (void)user, (void)cancelled;
    gw_rpc_server_call_release(call);
}

void gws_service_stream_closed(void *user, struct gw_rpc_server_call *call, bool cancelled)
{
    struct gws_source *source = gw_rpc_server_call_user(call);

    (void)user;
    if (source != NULL)
        gws_source_closed(source, cancelled); /* releases the call */
    else
        gw_rpc_server_call_release(call);
}

void gws_service_stream_writable(void *user, struct gw_rpc_server_call *call)
{
    struct gws_source *source = gw_rpc_server_call_user(call);

    (void)user;
    if (source != NULL)
        gws_source_writable(source);
}
