/* A source and its stream: what is sent, when gRPC takes it and when it does not. The loop turns when a test says so. */
#include "rpc_fixture.h"

#include "gateway-servers/sdk/server.h"
#include "proto/gateway/v1/eventing.pb-c.h"

struct fixture {
    struct gws_server server;
    struct gw_rpc_method method; /* of the SDK, its ends counted */
    const struct gw_rpc_method *counted;
    atomic_int closed;
    struct dialer dialer;
    struct gw_rpc_stream *stream;
    atomic_int messages, events, started, ends;
    atomic_int events_too_early; /* before it had started */
    struct gws_source *source;   /* that the module has started */
    uint64_t acknowledged;
};

static struct fixture *fixture_of(struct gws_source *source)
{
    return GW_CONTAINER_OF(gws_source_server(source), struct fixture, server);
}

/* ---- the module ---- */

static int start(struct gws_source *source, const void *config, void *state, struct gw_view position,
                 struct gw_reason *reason)
{
    (void)config, (void)state, (void)position, (void)reason;
    fixture_of(source)->source = source;
    return 0;
}

static void acknowledged(struct gws_source *source, void *state, uint64_t sequence)
{
    (void)state;
    fixture_of(source)->acknowledged = sequence;
}

static void stop(struct gws_source *source, void *state)
{
    (void)state;
    fixture_of(source)->source = NULL;
}

static const struct gw_setting no_settings[] = {{0}};
static const struct gws_module module = {.type = "test",
                                         .event_type = "test",
                                         .settings = no_settings,
                                         .start = start,
                                         .acknowledged = acknowledged,
                                         .stop = stop};

/* ---- the server and its client ---- */

#define TURN_UNTIL(fixture, condition) WAIT_FOR((gw_loop_turn((fixture)->server.loop, 0), (condition)))

static void on_closed(void *user, struct gw_rpc_server_call *call, bool cancelled)
{
    struct fixture *fixture = GW_CONTAINER_OF(user, struct fixture, server);

    fixture->counted->closed(user, call, cancelled);
    atomic_fetch_add(&fixture->closed, 1);
}

static void count_response(struct fixture *fixture, struct gw_view bytes)
{
    Gateway__V1__StreamResponse *response =
        gateway__v1__stream_response__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);

    assert_non_null(response);
    if (response->response_case == GATEWAY__V1__STREAM_RESPONSE__RESPONSE_STARTED)
        atomic_fetch_add(&fixture->started, 1);
    if (response->response_case == GATEWAY__V1__STREAM_RESPONSE__RESPONSE_EVENTS) {
        atomic_fetch_add(&fixture->events, (int)response->events->n_events);
        if (atomic_load(&fixture->started) == 0)
            atomic_fetch_add(&fixture->events_too_early, 1);
    }
    gateway__v1__stream_response__free_unpacked(response, NULL);
}

static void on_message(void *user, struct gw_view bytes)
{
    struct fixture *fixture = user;

    if (fixture->counted == &gws_v1_methods[2])
        count_response(fixture, bytes);
    atomic_fetch_add(&fixture->messages, 1);
}

static void on_end(void *user, int status, const char *message)
{
    struct fixture *fixture = user;

    (void)status, (void)message;
    atomic_fetch_add(&fixture->ends, 1);
}

static const struct gw_rpc_stream_hooks hooks = {on_message, on_end};

/* A source that has started. */
static void setup(struct fixture *fixture, const struct gw_rpc_method *method, const ProtobufCMessage *first)
{
    const struct gw_rpc_stream_options stream = {
        .path = method->path, .first = first, .half_close = method->kind == GW_RPC_SERVER_STREAM};

    memset(fixture, 0, sizeof(*fixture));
    fixture->server.module = &module;
    fixture->counted = method;
    fixture->method = *method;
    fixture->method.closed = on_closed;
    assert_int_equal(gw_loop_open(&fixture->server.loop), 0);
    served_open(&fixture->server.rpc, &fixture->dialer, &fixture->method, 1, &fixture->server);
    assert_int_equal(gw_rpc_stream_open(&fixture->stream, fixture->dialer.channel, &stream, &hooks, fixture),
                     0);
    TURN_UNTIL(fixture, fixture->source != NULL);
}

static void setup_argo(struct fixture *fixture)
{
    Gateways__EventSource source = GATEWAYS__EVENT_SOURCE__INIT;

    source.name = (char *)(uintptr_t) "a";
    setup(fixture, &gws_argo_methods[1], &source.base);
}

static void setup_v1(struct fixture *fixture)
{
    Gateway__V1__EventSource source = GATEWAY__V1__EVENT_SOURCE__INIT;
    Gateway__V1__StreamRequest request = GATEWAY__V1__STREAM_REQUEST__INIT;

    source.name = (char *)(uintptr_t) "a";
    request.request_case = GATEWAY__V1__STREAM_REQUEST__REQUEST_START;
    request.start = &source;
    setup(fixture, &gws_v1_methods[2], &request.base);
}

static void teardown(struct fixture *fixture)
{
    gw_rpc_stream_free(fixture->stream);
    dialer_close(&fixture->dialer);
    fixture->server.rpc = gw_rpc_server_close(fixture->server.rpc, 1000);
    fixture->server.loop = gw_loop_close(fixture->server.loop);
    assert_null(fixture->source);
}

static void emit(struct fixture *fixture)
{
    const struct gws_event event = {.data = gw_view_text("{}")};

    assert_int_equal(gws_source_emit(fixture->source, &event, NULL), 0);
}

/* ---- the tests ---- */

static void what_argos_clients_were_sent_is_acknowledged(void **state)
{
    struct fixture fixture;

    (void)state;
    setup_argo(&fixture);
    gw_rpc_stream_credit(fixture.stream, 10);
    emit(&fixture);
    TURN_UNTIL(&fixture, atomic_load(&fixture.messages) == 1);
    assert_int_equal(fixture.acknowledged, 1);
    teardown(&fixture);
}

/* The client has gone when the loop comes to send it. */
static void what_no_client_was_sent_is_not_acknowledged(void **state)
{
    struct fixture fixture;

    (void)state;
    setup_argo(&fixture);
    emit(&fixture);
    gw_rpc_stream_cancel(fixture.stream);
    WAIT_FOR(atomic_load(&fixture.closed) == 1);
    TURN_UNTIL(&fixture, fixture.source == NULL);
    assert_int_equal(fixture.acknowledged, 0);
    teardown(&fixture);
}

/* More than gRPC takes from a server whose client does not read. */
enum { NOTICES = 5000 };

static void notice_without_end(struct fixture *fixture)
{
    for (int i = 0; i < NOTICES; i++)
        gws_source_notice(fixture->source, false, "%0400d", i);
}

static void an_event_behind_many_notices_waits_for_room(void **state)
{
    struct fixture fixture;

    (void)state;
    setup_v1(&fixture);
    notice_without_end(&fixture);
    emit(&fixture);
    gw_loop_turn(fixture.server.loop, 0);
    emit(&fixture);
    gw_loop_turn(fixture.server.loop, 0);
    gw_rpc_stream_credit(fixture.stream, 2 * NOTICES);
    TURN_UNTIL(&fixture, atomic_load(&fixture.events) == 2 || atomic_load(&fixture.ends) == 1);
    assert_int_equal(atomic_load(&fixture.ends), 0);
    assert_int_equal(atomic_load(&fixture.started), 1);
    assert_int_equal(atomic_load(&fixture.events_too_early), 0);
    assert_true(atomic_load(&fixture.messages) < NOTICES); /* the queue was full indeed */
    teardown(&fixture);
}

static void that_it_has_started_is_told_behind_many_notices(void **state)
{
    struct fixture fixture;

    (void)state;
    setup_v1(&fixture);
    notice_without_end(&fixture);
    gws_source_started(fixture.source);
    gw_loop_turn(fixture.server.loop, 0);
    gw_rpc_stream_credit(fixture.stream, 2 * NOTICES);
    TURN_UNTIL(&fixture, atomic_load(&fixture.started) == 1 || atomic_load(&fixture.ends) == 1);
    assert_int_equal(atomic_load(&fixture.ends), 0);
    assert_true(atomic_load(&fixture.messages) < NOTICES);
    teardown(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_argos_clients_were_sent_is_acknowledged),
        cmocka_unit_test(what_no_client_was_sent_is_not_acknowledged),
        cmocka_unit_test(an_event_behind_many_notices_waits_for_room),
        cmocka_unit_test(that_it_has_started_is_told_behind_many_notices),
    };

    (void)!gw_log_set_level("error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
