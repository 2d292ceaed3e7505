/* A gateway-server, seen from the client: its spec and the channel to it, shared by the streams of its type.
 * Loop thread only; counted. */
#ifndef GWC_SERVER_H
#define GWC_SERVER_H

#include "common/rpc_client.h"
#include "gateway-client/spec/spec.h"

struct gwc_server;

/* The spec is copied. */
int gwc_server_new(struct gwc_server **ret_server, struct gw_rpc_client *rpc,
                   const struct gwc_server_spec *spec) GW_MUST_CHECK;
struct gwc_server *gwc_server_ref(struct gwc_server *server);
struct gwc_server *gwc_server_unref(struct gwc_server *server); /* the last one closes the channel */
const struct gwc_server_spec *gwc_server_spec(const struct gwc_server *server);
/* Opened when first asked for, and anew when the TLS files have been replaced. NULL with words: the address or the TLS files are
 * wrong (asked again later: they may heal). Borrowed, until this is called again. */
struct gw_rpc_channel *gwc_server_channel(struct gwc_server *server, struct gw_reason *reason);
/* The same for who opens a stream on it: it stays open until it is given back. */
struct gwc_channel;
struct gwc_channel *gwc_server_hold(struct gwc_server *server, struct gw_reason *reason);
struct gw_rpc_channel *gwc_channel_rpc(const struct gwc_channel *channel);
struct gwc_channel *gwc_channel_unref(struct gwc_channel *channel);
/* A mark of its streams: one of them moved, and the others are to look again. */
void gwc_server_set_moved(struct gwc_server *server, bool moved);
bool gwc_server_moved(const struct gwc_server *server);

#endif
