/* The API server, for secrets and for modules that speak to it. */
#include "gateway-servers/sdk/server.h"

#include "common/kube.h"

#include <stdio.h>

int gws_server_kube(struct gws_server *server, struct gw_kube **ret_kube, struct gw_reason *reason)
{
    char component[64];
    const struct gw_kube_options options = {
        .kubeconfig = server->kubeconfig, .context = server->context, .component = component};

    snprintf(component, sizeof(component), "gateway-server-%s", server->module->type);
    if (server->kube == NULL)
        GW_TRY(gw_kube_open(&server->kube, server->loop, &options, reason));
    *ret_kube = server->kube;
    return 0;
}
