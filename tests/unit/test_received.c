/* What a gateway-server sent: filled in where it left something out, refused in words where it is nonsense. */
#include "gateway-client/stream/received.h"

#include "proto/argo/gateways/eventing.pb-c.h"
#include "proto/gateway/v1/eventing.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct gwc_receiver receiver_of(enum gwc_contract contract)
{
    return (struct gwc_receiver){.contract = contract,
                                 .gateway = "shop",
                                 .type = "webhook",
                                 .name = "orders",
                                 .source = "/gateways/default/shop/webhook.orders",
                                 .event_type = "sluice.webhook"};
}

/* The bytes of a response with these events; freed by the caller. */
static struct gw_bytes events_bytes(Gateway__V1__Event **events, size_t count)
{
    Gateway__V1__StreamResponse response = GATEWAY__V1__STREAM_RESPONSE__INIT;
    Gateway__V1__Events batch = GATEWAY__V1__EVENTS__INIT;
    struct gw_bytes bytes = {0};

    batch.events = events;
    batch.n_events = count;
    response.response_case = GATEWAY__V1__STREAM_RESPONSE__RESPONSE_EVENTS;
    response.events = &batch;
    char *room = gw_bytes_reserve(&bytes, gateway__v1__stream_response__get_packed_size(&response));
    assert_non_null(room);
    bytes.size = gateway__v1__stream_response__pack(&response, (uint8_t *)room);
    return bytes;
}

static Gateway__V1__Event event_of(uint64_t sequence, const char *data)
{
    Gateway__V1__Event event = GATEWAY__V1__EVENT__INIT;

    event.sequence = sequence;
    event.data = (ProtobufCBinaryData){strlen(data), (uint8_t *)(uintptr_t)data};
    return event;
}

static void what_the_server_left_out_is_filled_in(void **state)
{
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_V1);
    struct gwc_received received;
    struct gw_reason reason = {""};
    Gateway__V1__Event event = event_of(1, "{\"a\":1}");
    Gateway__V1__Event *events[] = {&event};
    struct gw_bytes bytes = events_bytes(events, 1);

    (void)state;
    assert_int_equal(gwc_receive(&receiver, gw_bytes_view(&bytes), &received, &reason), 0);
    assert_int_equal(received.kind, GWC_RECEIVED_EVENTS);
    assert_int_equal(received.count, 1);
    const struct gw_event_fields *fields = &received.events[0]->fields;
    assert_false(received.natural[0]);
    assert_int_equal(fields->id.size, 36);
    assert_true(gw_view_is(fields->source, "/gateways/default/shop/webhook.orders"));
    assert_true(gw_view_is(fields->type, "sluice.webhook"));
    assert_true(gw_view_is(fields->subject, "orders"));
    assert_true(gw_view_is(fields->data_content_type, "application/json"));
    assert_true(fields->time_ns > 0);
    gwc_received_done(&received);
    gw_bytes_done(&bytes);
}

static Gateway__V1__Extension extension_of(const char *name, const char *value,
                                           Gateway__V1__Extension__Kind kind)
{
    Gateway__V1__Extension extension = GATEWAY__V1__EXTENSION__INIT;

    extension.name = (char *)(uintptr_t)name;
    extension.value = (char *)(uintptr_t)value;
    extension.kind = kind;
    return extension;
}

static void a_cloudevent_of_another_source_stays_as_it_is(void **state)
{
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_V1);
    struct gwc_received received;
    struct gw_reason reason = {""};
    Gateway__V1__Extension flag = extension_of("flag", "true", GATEWAY__V1__EXTENSION__KIND__BOOLEAN);
    Gateway__V1__Extension count = extension_of("count", "-7", GATEWAY__V1__EXTENSION__KIND__INTEGER);
    Gateway__V1__Extension newer = extension_of("newer", "x", 99);
    Gateway__V1__Extension *extensions[] = {&flag, &count, &newer};
    Gateway__V1__Event event = event_of(1, "{\"a\":1}");
    Gateway__V1__Event *events[] = {&event};

    (void)state;
    event.id = (char *)(uintptr_t) "7";
    event.source = (char *)(uintptr_t) "/elsewhere";
    event.type = (char *)(uintptr_t) "sold";
    event.n_extensions = GW_COUNT_OF(extensions);
    event.extensions = extensions;
    struct gw_bytes bytes = events_bytes(events, 1);
    assert_int_equal(gwc_receive(&receiver, gw_bytes_view(&bytes), &received, &reason), 0);
    const struct gw_event_fields *fields = &received.events[0]->fields;
    assert_true(gw_view_is(fields->source, "/elsewhere"));
    assert_int_equal(fields->subject.size, 0);
    assert_int_equal(fields->time_ns, 0);
    assert_int_equal(fields->data_content_type.size, 0);
    assert_int_equal(fields->extensions[0].kind, GW_EXTENSION_BOOL);
    assert_int_equal(fields->extensions[1].kind, GW_EXTENSION_INTEGER);
    assert_int_equal(fields->extensions[2].kind, GW_EXTENSION_TEXT);
    gwc_received_done(&received);
    gw_bytes_done(&bytes);
}

static void natural_ids_and_the_last_position_are_kept(void **state)
{
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_V1);
    struct gwc_received received;
    struct gw_reason reason = {""};
    Gateway__V1__Event first = event_of(1, "x"), second = event_of(2, "y"), third = event_of(3, "z");
    Gateway__V1__Event *events[] = {&first, &second, &third};

    (void)state;
    first.id = (char *)(uintptr_t) "a-1";
    first.position = (ProtobufCBinaryData){2, (uint8_t *)(uintptr_t) "p1"};
    second.position = (ProtobufCBinaryData){2, (uint8_t *)(uintptr_t) "p2"};
    struct gw_bytes bytes = events_bytes(events, 3);
    assert_int_equal(gwc_receive(&receiver, gw_bytes_view(&bytes), &received, &reason), 0);
    assert_true(received.natural[0]);
    assert_false(received.natural[1]);
    assert_true(gw_view_is(received.events[0]->fields.id, "a-1"));
    assert_true(gw_view_is(gw_bytes_view(&received.position), "p2"));
    assert_true(gw_view_is(received.events[1]->fields.data_content_type, "application/octet-stream"));
    assert_int_equal(receiver.sequence, 3);
    gwc_received_done(&received);
    gw_bytes_done(&bytes);
}

static void a_gap_in_the_sequence_is_refused_in_words(void **state)
{
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_V1);
    struct gwc_received received;
    struct gw_reason reason = {""};
    Gateway__V1__Event first = event_of(1, "x"), third = event_of(3, "z");
    Gateway__V1__Event *events[] = {&first, &third};
    struct gw_bytes bytes = events_bytes(events, 2);

    (void)state;
    assert_int_equal(gwc_receive(&receiver, gw_bytes_view(&bytes), &received, &reason), GWC_RECEIVED_BAD);
    assert_non_null(strstr(reason.text, "event 3 after event 1"));
    assert_null(received.events);
    gw_bytes_done(&bytes);
}

static void an_event_that_cannot_be_is_refused_in_words(void **state)
{
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_V1);
    struct gwc_received received;
    struct gw_reason reason = {""};
    Gateway__V1__Event event = event_of(1, "x");
    Gateway__V1__Event *events[] = {&event};

    (void)state;
    event.type = (char *)(uintptr_t) "bad\x01type";
    struct gw_bytes bytes = events_bytes(events, 1);
    assert_int_equal(gwc_receive(&receiver, gw_bytes_view(&bytes), &received, &reason), GWC_RECEIVED_BAD);
    assert_string_not_equal(reason.text, "");
    gw_bytes_done(&bytes);
}

static void bytes_that_are_no_message_are_refused(void **state)
{
    struct gwc_receiver ours = receiver_of(GWC_CONTRACT_V1), argos = receiver_of(GWC_CONTRACT_ARGO_011);
    struct gwc_received received;
    struct gw_reason reason = {""};

    (void)state;
    assert_int_equal(gwc_receive(&ours, gw_view("\xff\xff\xff", 3), &received, &reason), GWC_RECEIVED_BAD);
    assert_int_equal(gwc_receive(&argos, gw_view("\xff\xff\xff", 3), &received, &reason), GWC_RECEIVED_BAD);
}

static int receive_named(struct gwc_receiver *receiver, const char *name, struct gwc_received *received,
                         struct gw_reason *reason)
{
    Gateways__Event event = GATEWAYS__EVENT__INIT;
    uint8_t bytes[64];

    event.name = (char *)(uintptr_t)name;
    event.payload = (ProtobufCBinaryData){2, (uint8_t *)(uintptr_t) "{}"};
    size_t size = gateways__event__pack(&event, bytes);
    assert_true(size <= sizeof(bytes));
    return gwc_receive(receiver, gw_view(bytes, size), received, reason);
}

static void an_event_of_argo_has_the_name_of_its_stream_or_none(void **state)
{
    static const char *const names[] = {"orders", ""};
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_GENERIC);
    struct gwc_received received;
    struct gw_reason reason = {""};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(names); i++) {
        assert_int_equal(receive_named(&receiver, names[i], &received, &reason), 0);
        assert_int_equal(received.kind, GWC_RECEIVED_EVENTS);
        assert_int_equal(received.count, 1);
        assert_true(gw_view_is(received.events[0]->fields.subject, "orders"));
        assert_true(gw_view_is(received.events[0]->fields.data, "{}"));
        gwc_received_done(&received);
    }
}

static void an_event_of_argo_with_a_foreign_name_is_refused(void **state)
{
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_ARGO_016);
    struct gwc_received received;
    struct gw_reason reason = {""};

    (void)state;
    assert_int_equal(receive_named(&receiver, "somebody-else", &received, &reason), GWC_RECEIVED_BAD);
    assert_non_null(strstr(reason.text, "\"somebody-else\" on the stream of \"orders\""));
    assert_int_equal(received.count, 0);
    assert_int_equal(receive_named(&receiver, "Orders", &received, &reason), GWC_RECEIVED_BAD);
}

static void started_and_notices_carry_no_events(void **state)
{
    struct gwc_receiver receiver = receiver_of(GWC_CONTRACT_V1);
    struct gwc_received received;
    struct gw_reason reason = {""};
    Gateway__V1__StreamResponse response = GATEWAY__V1__STREAM_RESPONSE__INIT;
    Gateway__V1__Notice notice = GATEWAY__V1__NOTICE__INIT;
    uint8_t bytes[64];

    (void)state;
    notice.severity = GATEWAY__V1__NOTICE__SEVERITY__WARNING;
    notice.message = (char *)(uintptr_t) "broker unreachable";
    response.response_case = GATEWAY__V1__STREAM_RESPONSE__RESPONSE_NOTICE;
    response.notice = &notice;
    size_t size = gateway__v1__stream_response__pack(&response, bytes);
    assert_int_equal(gwc_receive(&receiver, gw_view(bytes, size), &received, &reason), 0);
    assert_int_equal(received.kind, GWC_RECEIVED_NOTICE);
    assert_true(received.warning);
    assert_string_equal(received.notice, "broker unreachable");
    assert_int_equal(gwc_receive(&receiver, gw_view("", 0), &received, &reason), 0);
    assert_int_equal(received.kind, GWC_RECEIVED_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_server_left_out_is_filled_in),
        cmocka_unit_test(a_cloudevent_of_another_source_stays_as_it_is),
        cmocka_unit_test(natural_ids_and_the_last_position_are_kept),
        cmocka_unit_test(a_gap_in_the_sequence_is_refused_in_words),
        cmocka_unit_test(an_event_that_cannot_be_is_refused_in_words),
        cmocka_unit_test(bytes_that_are_no_message_are_refused),
        cmocka_unit_test(an_event_of_argo_has_the_name_of_its_stream_or_none),
        cmocka_unit_test(an_event_of_argo_with_a_foreign_name_is_refused),
        cmocka_unit_test(started_and_notices_carry_no_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
