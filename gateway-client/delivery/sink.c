/* The sink that a watcher's spec asks for. */
#include "gateway-client/delivery/sink.h"

int gwc_sink_open(struct gwc_sink **ret_sink, const struct gwc_transports *transports,
                  const struct gwc_watcher_spec *spec, struct gw_reason *reason)
{
    return spec->transport == GWC_TRANSPORT_GRPC
               ? gwc_sink_grpc_open(ret_sink, transports, spec, reason)
               : gwc_sink_http_open(ret_sink, transports->http, spec, reason);
}
