/* gateways.Eventing and generic.Eventing: Argo's contracts, served so that gateway-clients of that time work with us. There
 * is no acknowledgement: an event counts as acknowledged when it is written to the stream. */
#include "gateway-servers/sdk/server.h"

#include "proto/argo/gateways/eventing.pb-c.h"
#include "proto/argo/generic/generic.pb-c.h"

#include <ctype.h>

/* Field 4 is a version ("v0.10") from clients of v0.9.1 to v0.11 and the type from v0.12 on. */
static const char *type_of_field_4(const char *text)
{
    return text[0] == 'v' && isdigit((unsigned char)text[1]) ? "" : text;
}

static int request_of_gateways(struct gws_request *request, struct gw_view bytes)
{
    Gateways__EventSource *source =
        gateways__event_source__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    if (source == NULL)
        return GW_RAISE(-EPROTO);
    int copied = gws_request_copy(request, "", "", source->name, source->id, type_of_field_4(source->type),
                                  gw_view(source->value.data, source->value.len), gw_view(NULL, 0));
    gateways__event_source__free_unpacked(source, NULL);
    return copied;
}

static int request_of_generic(struct gws_request *request, struct gw_view bytes)
{
    Generic__EventSource *source =
        generic__event_source__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    if (source == NULL)
        return GW_RAISE(-EPROTO);
    int copied = gws_request_copy(request, "", "", source->name, "", "",
                                  gw_view(source->config.data, source->config.len), gw_view(NULL, 0));
    generic__event_source__free_unpacked(source, NULL);
    return copied;
}

static void refuse_request(struct gw_rpc_server_call *call, int fault)
{
    if (fault == -EPROTO)
        gw_rpc_server_call_finish(call, GW_RPC_INVALID_ARGUMENT, "the request is not an EventSource message",
                                  NULL);
    else
        gws_service_no_memory(call);
}

/* ---- ValidateEventSource ---- */

static void reply_valid(struct gw_rpc_server_call *call, const struct gw_problems *problems)
{
    Gateways__ValidEventSource reply = GATEWAYS__VALID_EVENT_SOURCE__INIT;
    struct gw_reason reason = {""};

    gw_problems_reason(problems, &reason);
    reply.isvalid = !gw_problems_any(problems);
    reply.reason = reason.text;
    gw_rpc_server_call_finish(call, GW_RPC_OK, "", &reply.base);
}

static void on_validate(void *user, struct gw_rpc_server_call *call, struct gw_view bytes)
{
    struct gws_request request;
    int fault = request_of_gateways(&request, bytes);

    if (fault == 0) {
        gws_validate(user, call, &request, reply_valid);
    } else {
        refuse_request(call, fault);
        gw_rpc_server_call_release(call);
    }
}

/* ---- StartEventSource ---- */

static void start(struct gws_server *server, struct gw_rpc_server_call *call, enum gws_contract contract,
                  struct gws_request *request, int fault)
{
    struct gws_source *source = NULL;

    if (fault < 0) {
        refuse_request(call, fault);
    } else if (gws_source_new(&source, server, call, contract) < 0) {
        gw_arena_done(&request->arena);
        gws_service_no_memory(call);
    } else {
        gw_rpc_server_call_set_user(call, source);
        gws_source_begin(source, request);
    }
}

static void on_start_gateways(void *user, struct gw_rpc_server_call *call, struct gw_view bytes)
{
    struct gws_request request;

    start(user, call, GWS_CONTRACT_GATEWAYS, &request, request_of_gateways(&request, bytes));
}

static void on_start_generic(void *user, struct gw_rpc_server_call *call, struct gw_view bytes)
{
    struct gws_request request;

    start(user, call, GWS_CONTRACT_GENERIC, &request, request_of_generic(&request, bytes));
}

const struct gw_rpc_method gws_argo_methods[3] = {
    {.path = "/gateways.Eventing/ValidateEventSource", .kind = GW_RPC_UNARY, .open = on_validate},
    {.path = "/gateways.Eventing/StartEventSource",
     .kind = GW_RPC_SERVER_STREAM,
     .open = on_start_gateways,
     .closed = gws_service_stream_closed,
     .writable = gws_service_stream_writable},
    {.path = "/generic.Eventing/StartEventSource",
     .kind = GW_RPC_SERVER_STREAM,
     .open = on_start_generic,
     .closed = gws_service_stream_closed,
     .writable = gws_service_stream_writable},
};

int gws_argo_send(struct gw_rpc_server_call *call, enum gws_contract contract, const char *name,
                  const struct gws_pending *pending)
{
    /* protobuf-c has no const; packing only reads. The two Event messages are alike on the wire, and in memory. */
    ProtobufCBinaryData payload = {pending->event.data.size, (uint8_t *)(uintptr_t)pending->event.data.data};

    if (contract == GWS_CONTRACT_GENERIC) {
        Generic__Event event = GENERIC__EVENT__INIT;
        event.name = (char *)(uintptr_t)name;
        event.payload = payload;
        return gw_rpc_server_call_send(call, &event.base);
    }
    Gateways__Event event = GATEWAYS__EVENT__INIT;
    event.name = (char *)(uintptr_t)name;
    event.payload = payload;
    return gw_rpc_server_call_send(call, &event.base);
}
