/* Events of the outbox as messages of gateway.v1. */
#include "gateway-client/delivery/sink_grpc_message.h"

static char *text_of(struct gw_arena *arena, struct gw_view view, bool *failed)
{
    if (view.size == 0)
        return (char *)protobuf_c_empty_string;
    char *text = gw_arena_copy(arena, view);
    *failed |= text == NULL;
    return text;
}

static Gateway__V1__Extension__Kind kind_of(enum gw_extension_kind kind)
{
    return kind == GW_EXTENSION_BOOL      ? GATEWAY__V1__EXTENSION__KIND__BOOLEAN
           : kind == GW_EXTENSION_INTEGER ? GATEWAY__V1__EXTENSION__KIND__INTEGER
                                          : GATEWAY__V1__EXTENSION__KIND__TEXT;
}

static void put_extensions(struct gw_arena *arena, const struct gw_event_fields *fields,
                           Gateway__V1__Event *message, bool *failed)
{
    size_t count = fields->extensions_count;

    if (count == 0)
        return;
    message->extensions = gw_arena_alloc(arena, count * sizeof(*message->extensions));
    Gateway__V1__Extension *extensions = gw_arena_alloc(arena, count * sizeof(*extensions));
    if (message->extensions == NULL || extensions == NULL) {
        *failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++) {
        gateway__v1__extension__init(&extensions[i]);
        extensions[i].name = text_of(arena, fields->extensions[i].name, failed);
        extensions[i].value = text_of(arena, fields->extensions[i].value, failed);
        extensions[i].kind = kind_of(fields->extensions[i].kind);
        message->extensions[i] = &extensions[i];
    }
    message->n_extensions = count;
}

static void put_event(struct gw_arena *arena, const struct gw_event *event, Gateway__V1__Event *message,
                      bool *failed)
{
    const struct gw_event_fields *fields = &event->fields;

    gateway__v1__event__init(message);
    message->sequence = event->sequence;
    message->time_ns = fields->time_ns;
    message->id = text_of(arena, fields->id, failed);
    message->source = text_of(arena, fields->source, failed);
    message->type = text_of(arena, fields->type, failed);
    message->subject = text_of(arena, fields->subject, failed);
    message->data_content_type = text_of(arena, fields->data_content_type, failed);
    message->data_schema = text_of(arena, fields->data_schema, failed);
    message->partition_key = text_of(arena, fields->partition_key, failed);
    message->data = (ProtobufCBinaryData){fields->data.size, (uint8_t *)(uintptr_t)fields->data.data};
    put_extensions(arena, fields, message, failed);
}

Gateway__V1__PutRequest *gwc_sink_put(struct gw_arena *arena, uint64_t number, struct gw_event *const *events,
                                      size_t count)
{
    Gateway__V1__PutRequest *request = gw_arena_alloc(arena, sizeof(*request));
    Gateway__V1__Put *put = gw_arena_alloc(arena, sizeof(*put));
    Gateway__V1__Event **pointers = gw_arena_alloc(arena, count * sizeof(*pointers));
    Gateway__V1__Event *messages = gw_arena_alloc(arena, count * sizeof(*messages));
    bool failed = false;

    if (request == NULL || put == NULL || pointers == NULL || messages == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        put_event(arena, events[i], &messages[i], &failed);
        pointers[i] = &messages[i];
    }
    gateway__v1__put__init(put);
    put->number = number;
    put->events = pointers;
    put->n_events = count;
    gateway__v1__put_request__init(request);
    request->request_case = GATEWAY__V1__PUT_REQUEST__REQUEST_PUT;
    request->put = put;
    return failed ? NULL : request;
}
