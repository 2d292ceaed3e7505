/* gateway.v1.Eventing: our own contract, between protobuf and sources. */
#include "gateway-servers/sdk/server.h"

#include "proto/gateway/v1/eventing.pb-c.h"

#include <stdio.h>
#include <stdlib.h>

static struct gw_view view_of(ProtobufCBinaryData data)
{
    return gw_view(data.data, data.len);
}

static ProtobufCBinaryData data_of(struct gw_view view)
{
    /* protobuf-c has no const; packing only reads */
    return (ProtobufCBinaryData){view.size, (uint8_t *)(uintptr_t)view.data};
}

static char *text_of(struct gw_view view)
{
    return (char *)(uintptr_t)view.data; /* NUL-terminated by gws_source_emit */
}

static void malformed(struct gw_rpc_server_call *call, const char *message)
{
    char words[128];

    snprintf(words, sizeof(words), "the request is not a %s message", message);
    gw_rpc_server_call_finish(call, GW_RPC_INVALID_ARGUMENT, words, NULL);
}

static int request_of(struct gws_request *request, const Gateway__V1__EventSource *source)
{
    return gws_request_copy(request, source->gateway, source->namespace_, source->name, source->id,
                            source->type, view_of(source->config), view_of(source->position));
}

/* ---- Describe ---- */

static void on_describe(void *user, struct gw_rpc_server_call *call, struct gw_view request)
{
    const struct gws_server *server = user;
    Gateway__V1__Description description = GATEWAY__V1__DESCRIPTION__INIT;
    struct gw_bytes schema = {0};

    (void)request;
    gw_settings_schema(server->module->settings, server->module->type, &schema);
    const char *text = gw_bytes_text(&schema);
    if (text != NULL) {
        description.type = (char *)(uintptr_t)server->module->type;
        description.version = (char *)(uintptr_t)gws_version(server->module);
        description.summary = (char *)(uintptr_t)server->module->summary;
        description.config_schema = (char *)(uintptr_t)text;
        gw_rpc_server_call_finish(call, GW_RPC_OK, "", &description.base);
    } else {
        gws_service_no_memory(call);
    }
    gw_bytes_done(&schema);
}

/* ---- Validate ---- */

static void reply_validation(struct gw_rpc_server_call *call, const struct gw_problems *problems)
{
    Gateway__V1__Validation validation = GATEWAY__V1__VALIDATION__INIT;
    Gateway__V1__Problem *rows = calloc(problems->count + 1, sizeof(*rows));
    Gateway__V1__Problem **pointers = calloc(problems->count + 1, sizeof(*pointers));

    /* no problem is how a configuration is valid: one that there was no memory to tell must not pass for that */
    bool untold = problems->count == 0 && gw_problems_any(problems);
    if (rows != NULL && pointers != NULL && !untold) {
        for (size_t i = 0; i < problems->count; i++) {
            gateway__v1__problem__init(&rows[i]);
            rows[i].path = problems->items[i].path;
            rows[i].line = (uint32_t)GW_MAX(problems->items[i].line, 0);
            rows[i].message = problems->items[i].message;
            if (problems->items[i].held_by != NULL)
                rows[i].held_by = problems->items[i].held_by;
            pointers[i] = &rows[i];
        }
        validation.problems = pointers;
        validation.n_problems = problems->count;
        gw_rpc_server_call_finish(call, GW_RPC_OK, "", &validation.base);
    } else {
        gws_service_no_memory(call);
    }
    free(rows);
    free(pointers);
}

static void on_validate(void *user, struct gw_rpc_server_call *call, struct gw_view bytes)
{
    struct gws_request request;
    Gateway__V1__EventSource *source =
        gateway__v1__event_source__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    if (source != NULL && request_of(&request, source) == 0) {
        gws_validate(user, call, &request, reply_validation);
    } else {
        if (source == NULL)
            malformed(call, "gateway.v1.EventSource");
        else
            gws_service_no_memory(call);
        gw_rpc_server_call_release(call);
    }
    if (source != NULL)
        gateway__v1__event_source__free_unpacked(source, NULL);
}

/* ---- Stream ---- */

static void on_stream_open(void *user, struct gw_rpc_server_call *call, struct gw_view request)
{
    struct gws_source *source = NULL;

    (void)request;
    if (gws_source_new(&source, user, call, GWS_CONTRACT_V1) < 0)
        gws_service_no_memory(call);
    gw_rpc_server_call_set_user(call, source);
}

static void stream_begin(struct gw_rpc_server_call *call, struct gws_source *source,
                         const Gateway__V1__EventSource *start)
{
    struct gws_request request;

    if (gws_source_begun(source))
        gw_rpc_server_call_finish(call, GW_RPC_INVALID_ARGUMENT, "a stream is started once", NULL);
    else if (request_of(&request, start) < 0)
        gws_service_no_memory(call);
    else
        gws_source_begin(source, &request);
}

static void on_stream_message(void *user, struct gw_rpc_server_call *call, struct gw_view bytes)
{
    struct gws_source *source = gw_rpc_server_call_user(call);
    Gateway__V1__StreamRequest *request =
        gateway__v1__stream_request__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    (void)user;
    if (source == NULL || request == NULL) {
        if (source != NULL)
            malformed(call, "gateway.v1.StreamRequest");
    } else if (request->request_case == GATEWAY__V1__STREAM_REQUEST__REQUEST_START) {
        stream_begin(call, source, request->start);
    } else if (request->request_case == GATEWAY__V1__STREAM_REQUEST__REQUEST_ACKNOWLEDGED) {
        if (gws_source_begun(source))
            gws_source_acknowledge(source, request->acknowledged->sequence);
        else
            gw_rpc_server_call_finish(call, GW_RPC_INVALID_ARGUMENT, "the first request of a stream is start",
                                      NULL);
    } /* anything else is of a newer client: ignored, as protobuf does with unknown fields */
    if (request != NULL)
        gateway__v1__stream_request__free_unpacked(request, NULL);
}

static void on_stream_half_closed(void *user, struct gw_rpc_server_call *call)
{
    struct gws_source *source = gw_rpc_server_call_user(call);

    (void)user;
    if (source != NULL)
        gws_source_withdraw(source);
}

const struct gw_rpc_method gws_v1_methods[3] = {
    {.path = "/gateway.v1.Eventing/Describe",
     .kind = GW_RPC_UNARY,
     .open = on_describe,
     .closed = gws_service_unary_closed},
    {.path = "/gateway.v1.Eventing/Validate", .kind = GW_RPC_UNARY, .open = on_validate},
    {.path = "/gateway.v1.Eventing/Stream",
     .kind = GW_RPC_BIDI,
     .open = on_stream_open,
     .message = on_stream_message,
     .half_closed = on_stream_half_closed,
     .closed = gws_service_stream_closed,
     .writable = gws_service_stream_writable},
};

/* ---- responses ---- */

static const Gateway__V1__Extension__Kind extension_kinds[] = {
    [GW_EXTENSION_TEXT] = GATEWAY__V1__EXTENSION__KIND__TEXT,
    [GW_EXTENSION_BOOL] = GATEWAY__V1__EXTENSION__KIND__BOOLEAN,
    [GW_EXTENSION_INTEGER] = GATEWAY__V1__EXTENSION__KIND__INTEGER,
};

static void event_fill(Gateway__V1__Event *row, const struct gws_pending *pending,
                       Gateway__V1__Extension *extensions, Gateway__V1__Extension **pointers)
{
    const struct gws_event *event = &pending->event;

    gateway__v1__event__init(row);
    row->sequence = pending->sequence;
    row->id = text_of(event->id);
    row->time_ns = event->time_ns;
    row->type = text_of(event->type);
    row->subject = text_of(event->subject);
    row->data_content_type = text_of(event->data_content_type);
    row->data = data_of(event->data);
    row->partition_key = text_of(event->partition_key);
    row->position = data_of(event->position);
    row->source = text_of(event->source);
    row->data_schema = text_of(event->data_schema);
    row->n_extensions = event->extensions_count;
    row->extensions = pointers;
    for (size_t i = 0; i < event->extensions_count; i++) {
        gateway__v1__extension__init(&extensions[i]);
        extensions[i].name = text_of(event->extensions[i].name);
        extensions[i].value = text_of(event->extensions[i].value);
        extensions[i].kind = extension_kinds[event->extensions[i].kind];
        pointers[i] = &extensions[i];
    }
}

int gws_v1_send(struct gw_rpc_server_call *call, struct gws_pending *const *pending, size_t count)
{
    Gateway__V1__StreamResponse response = GATEWAY__V1__STREAM_RESPONSE__INIT;
    Gateway__V1__Events events = GATEWAY__V1__EVENTS__INIT;
    size_t extensions = 0;

    for (size_t i = 0; i < count; i++)
        extensions += pending[i]->event.extensions_count;
    /* one block: rows, pointers to them, extensions, pointers to those */
    size_t block_size = count * (sizeof(Gateway__V1__Event) + sizeof(void *)) +
                        extensions * (sizeof(Gateway__V1__Extension) + sizeof(void *));
    GW_AUTO(gw_freep) char *block = malloc(block_size);
    if (block == NULL)
        return GW_RAISE(-ENOMEM);
    Gateway__V1__Event *rows = (Gateway__V1__Event *)(void *)block;
    Gateway__V1__Extension *extension = (Gateway__V1__Extension *)(void *)(rows + count);
    Gateway__V1__Event **row_pointers = (Gateway__V1__Event **)(void *)(extension + extensions);
    Gateway__V1__Extension **extension_pointers = (Gateway__V1__Extension **)(void *)(row_pointers + count);

    for (size_t i = 0; i < count; i++) {
        event_fill(&rows[i], pending[i], extension, extension_pointers);
        extension += pending[i]->event.extensions_count;
        extension_pointers += pending[i]->event.extensions_count;
        row_pointers[i] = &rows[i];
    }
    events.n_events = count;
    events.events = row_pointers;
    response.response_case = GATEWAY__V1__STREAM_RESPONSE__RESPONSE_EVENTS;
    response.events = &events;
    return gw_rpc_server_call_send(call, &response.base);
}

int gws_v1_send_started(struct gw_rpc_server_call *call)
{
    Gateway__V1__StreamResponse response = GATEWAY__V1__STREAM_RESPONSE__INIT;
    Gateway__V1__Started started = GATEWAY__V1__STARTED__INIT;

    response.response_case = GATEWAY__V1__STREAM_RESPONSE__RESPONSE_STARTED;
    response.started = &started;
    return gw_rpc_server_call_send(call, &response.base);
}

int gws_v1_send_notice(struct gw_rpc_server_call *call, bool warning, const char *message)
{
    Gateway__V1__StreamResponse response = GATEWAY__V1__STREAM_RESPONSE__INIT;
    Gateway__V1__Notice notice = GATEWAY__V1__NOTICE__INIT;

    notice.severity = warning ? GATEWAY__V1__NOTICE__SEVERITY__WARNING : GATEWAY__V1__NOTICE__SEVERITY__INFO;
    notice.message = (char *)(uintptr_t)message;
    response.response_case = GATEWAY__V1__STREAM_RESPONSE__RESPONSE_NOTICE;
    response.notice = &notice;
    return gw_rpc_server_call_send(call, &response.base);
}
