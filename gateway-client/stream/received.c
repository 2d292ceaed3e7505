/* What a gateway-server sent, read and checked. */
#include "gateway-client/stream/received.h"

#include "common/clock.h"
#include "common/json.h"

#include "proto/argo/gateways/eventing.pb-c.h"
#include "proto/gateway/v1/eventing.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gwc_received_done(struct gwc_received *received)
{
    for (size_t i = 0; received->events != NULL && i < received->count; i++)
        gw_event_unref(received->events[i]);
    free(received->events);
    free(received->natural);
    gw_bytes_done(&received->position);
    *received = (struct gwc_received){0};
}

static int received_room(struct gwc_received *received, size_t count)
{
    received->events = calloc(count + 1, sizeof(struct gw_event *));
    received->natural = calloc(count + 1, sizeof(*received->natural));
    return received->events == NULL || received->natural == NULL ? GW_RAISE(-ENOMEM) : 0;
}

/* What an event of our own has at least. An event with a source of its own is another's CloudEvent: what that left out is not
 * ours to say. */
static void fields_complete(const struct gwc_receiver *receiver, struct gw_event_fields *fields)
{
    fields->source = gw_view_text(receiver->source);
    if (fields->subject.size == 0)
        fields->subject = gw_view_text(receiver->name);
    if (fields->time_ns == 0)
        fields->time_ns = gw_clock_realtime_ns();
    if (fields->data_content_type.size == 0 && fields->data.size > 0)
        fields->data_content_type =
            gw_view_text(gw_json_valid(fields->data) ? "application/json" : "application/octet-stream");
}

static void fields_fill(const struct gwc_receiver *receiver, struct gw_event_fields *fields)
{
    if (fields->source.size == 0)
        fields_complete(receiver, fields);
    if (fields->type.size == 0)
        fields->type = gw_view_text(receiver->event_type);
    fields->gateway = gw_view_text(receiver->gateway);
    fields->event_source = gw_view_text(receiver->name);
    fields->kind = gw_view_text(receiver->type);
}

static int received_add(const struct gwc_receiver *receiver, struct gwc_received *received,
                        struct gw_event_fields *fields, struct gw_reason *reason)
{
    char uuid[GW_UUID_SIZE];
    bool natural = fields->id.size > 0;

    if (!natural)
        fields->id = gw_view_text(gw_uuid7(uuid));
    fields_fill(receiver, fields);
    if (!gw_event_check(fields, reason))
        return GWC_RECEIVED_BAD;
    struct gw_event *event = gw_event_new(fields);
    if (event == NULL)
        return GW_RAISE(-ENOMEM);
    received->natural[received->count] = natural;
    received->events[received->count++] = event;
    return 0;
}

/* ---- gateway.v1 ---- */

static struct gw_view view_of(ProtobufCBinaryData data)
{
    return gw_view(data.data, data.len);
}

/* A kind of a newer server is a text to us. */
static enum gw_extension_kind extension_kind(Gateway__V1__Extension__Kind kind)
{
    switch (kind) {
    case GATEWAY__V1__EXTENSION__KIND__BOOLEAN:
        return GW_EXTENSION_BOOL;
    case GATEWAY__V1__EXTENSION__KIND__INTEGER:
        return GW_EXTENSION_INTEGER;
    default:
        return GW_EXTENSION_TEXT;
    }
}

bool gwc_received_fields(const Gateway__V1__Event *event, struct gw_extension *extensions,
                         struct gw_event_fields *ret_fields)
{
    bool fits = event->n_extensions <= GW_EVENT_EXTENSIONS_MAX;

    for (size_t i = 0; fits && i < event->n_extensions; i++)
        extensions[i] = (struct gw_extension){gw_view_text(event->extensions[i]->name),
                                              gw_view_text(event->extensions[i]->value),
                                              extension_kind(event->extensions[i]->kind)};
    *ret_fields = (struct gw_event_fields){
        .id = gw_view_text(event->id),
        .source = gw_view_text(event->source),
        .type = gw_view_text(event->type),
        .subject = gw_view_text(event->subject),
        .data_content_type = gw_view_text(event->data_content_type),
        .data_schema = gw_view_text(event->data_schema),
        .partition_key = gw_view_text(event->partition_key),
        .time_ns = event->time_ns,
        .data = view_of(event->data),
        .extensions = extensions,
        .extensions_count = fits ? event->n_extensions : 0,
    };
    return fits;
}

static int receive_event(struct gwc_receiver *receiver, struct gwc_received *received,
                         const Gateway__V1__Event *event, struct gw_reason *reason)
{
    struct gw_extension extensions[GW_EVENT_EXTENSIONS_MAX];
    struct gw_event_fields fields;

    if (event->sequence != receiver->sequence + 1) {
        gw_reason_set(reason, "event %llu after event %llu: events are numbered 1, 2, 3, … without gaps",
                      (unsigned long long)event->sequence, (unsigned long long)receiver->sequence);
        return GWC_RECEIVED_BAD;
    }
    if (!gwc_received_fields(event, extensions, &fields)) {
        gw_reason_set(reason, "event %llu has %zu extensions, more than %zu",
                      (unsigned long long)event->sequence, event->n_extensions, GW_COUNT_OF(extensions));
        return GWC_RECEIVED_BAD;
    }
    int added = received_add(receiver, received, &fields, reason);
    if (added != 0)
        return added;
    receiver->sequence = event->sequence;
    if (event->position.len > 0) {
        gw_bytes_clear(&received->position);
        gw_bytes_append_view(&received->position, view_of(event->position));
    }
    return received->position.failed ? GW_RAISE(-ENOMEM) : 0;
}

static int receive_events(struct gwc_receiver *receiver, struct gwc_received *received,
                          const Gateway__V1__Events *events, struct gw_reason *reason)
{
    GW_TRY(received_room(received, events->n_events));
    for (size_t i = 0; i < events->n_events; i++) {
        int result = receive_event(receiver, received, events->events[i], reason);
        if (result != 0)
            return result;
    }
    received->kind = received->count > 0 ? GWC_RECEIVED_EVENTS : GWC_RECEIVED_NOTHING;
    return 0;
}

static int receive_v1(struct gwc_receiver *receiver, struct gwc_received *received,
                      const Gateway__V1__StreamResponse *response, struct gw_reason *reason)
{
    switch (response->response_case) {
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE_EVENTS:
        return receive_events(receiver, received, response->events, reason);
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE_STARTED:
        received->kind = GWC_RECEIVED_STARTED;
        return 0;
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE_NOTICE:
        received->kind = GWC_RECEIVED_NOTICE;
        received->warning = response->notice->severity != GATEWAY__V1__NOTICE__SEVERITY__INFO;
        snprintf(received->notice, sizeof(received->notice), "%s", response->notice->message);
        return 0;
    case GATEWAY__V1__STREAM_RESPONSE__RESPONSE__NOT_SET:
    case _GATEWAY__V1__STREAM_RESPONSE__RESPONSE__CASE_IS_INT_SIZE:
        break; /* of a newer server: ignored, as protobuf does with unknown fields */
    }
    received->kind = GWC_RECEIVED_NOTHING;
    return 0;
}

static int message_v1(struct gwc_receiver *receiver, struct gw_view bytes, struct gwc_received *received,
                      struct gw_reason *reason)
{
    Gateway__V1__StreamResponse *response =
        gateway__v1__stream_response__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    if (response == NULL) {
        gw_reason_set(reason, "what is not a gateway.v1.StreamResponse");
        return GWC_RECEIVED_BAD;
    }
    int result = receive_v1(receiver, received, response, reason);
    gateway__v1__stream_response__free_unpacked(response, NULL);
    return result;
}

/* ---- Argo's: gateways.Event and generic.Event have the same fields, one decoder reads both ---- */

/* The name says whose the event is; the stream says it too. Argo's own servers always name it; without a name nothing false is
 * claimed. */
static int receive_argo(struct gwc_receiver *receiver, struct gwc_received *received,
                        const Gateways__Event *event, struct gw_reason *reason)
{
    struct gw_event_fields fields = {.data = view_of(event->payload)};

    if (event->name[0] != '\0' && strcmp(event->name, receiver->name) != 0) {
        gw_reason_set(reason,
                      "an event with the name \"%.100s\" on the stream of \"%.100s\": events have the "
                      "name of the event source that was started, or none",
                      event->name, receiver->name);
        return GWC_RECEIVED_BAD;
    }
    GW_TRY(received_room(received, 1));
    received->kind = GWC_RECEIVED_EVENTS;
    return received_add(receiver, received, &fields, reason);
}

static int message_argo(struct gwc_receiver *receiver, struct gw_view bytes, struct gwc_received *received,
                        struct gw_reason *reason)
{
    Gateways__Event *event = gateways__event__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    if (event == NULL) {
        gw_reason_set(reason, "what is not an Event");
        return GWC_RECEIVED_BAD;
    }
    int result = receive_argo(receiver, received, event, reason);
    gateways__event__free_unpacked(event, NULL);
    return result;
}

int gwc_receive(struct gwc_receiver *receiver, struct gw_view bytes, struct gwc_received *ret_received,
                struct gw_reason *reason)
{
    struct gwc_received received = {0};
    int result = receiver->contract == GWC_CONTRACT_V1 ? message_v1(receiver, bytes, &received, reason)
                                                       : message_argo(receiver, bytes, &received, reason);

    if (result != 0)
        gwc_received_done(&received);
    *ret_received = received;
    return result;
}
