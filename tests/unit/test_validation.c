/* Validate of all contracts: its answer is made on the loop, where the call that asked may be over by then. */
#include "rpc_fixture.h"

#include "gateway-servers/sdk/server.h"
#include "proto/gateway/v1/eventing.pb-c.h"

struct fixture {
    struct gws_server server;
    struct dialer dialer;
    struct gw_rpc_method method; /* of the SDK, counted */
    const struct gw_rpc_method *counted;
    atomic_int opened, answered;
    int validated, status;
    bool without_memory; /* for the words of a problem */
};

static void validate(struct gws_server *server, const struct gws_identity *identity, const void *config,
                     struct gw_problems *problems)
{
    struct fixture *fixture = GW_CONTAINER_OF(server, struct fixture, server);

    (void)identity, (void)config;
    fixture->validated++;
    problems->dropped += fixture->without_memory;
}

static const struct gw_setting no_settings[] = {{0}};
static const struct gws_module module = {.type = "test", .settings = no_settings, .validate = validate};

static void on_open(void *user, struct gw_rpc_server_call *call, struct gw_view request)
{
    struct fixture *fixture = GW_CONTAINER_OF(user, struct fixture, server);

    fixture->counted->open(user, call, request);
    atomic_fetch_add(&fixture->opened, 1);
}

static void setup(struct fixture *fixture, const struct gw_rpc_method *method)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->server.module = &module;
    fixture->counted = method;
    fixture->method = *method;
    fixture->method.open = on_open;
    assert_int_equal(gw_loop_open(&fixture->server.loop), 0);
    served_open(&fixture->server.rpc, &fixture->dialer, &fixture->method, 1, &fixture->server);
}

static void teardown(struct fixture *fixture)
{
    dialer_close(&fixture->dialer);
    fixture->server.rpc = gw_rpc_server_close(fixture->server.rpc, 1000);
    fixture->server.loop = gw_loop_close(fixture->server.loop);
}

static void on_answer(void *user, int status, const char *message, struct gw_view reply)
{
    struct fixture *fixture = user;

    (void)message, (void)reply;
    fixture->status = status;
    atomic_fetch_add(&fixture->answered, 1);
}

/* Returns when the question waits in the loop. */
static void post(struct fixture *fixture)
{
    Gateway__V1__EventSource source = GATEWAY__V1__EVENT_SOURCE__INIT; /* empty, as Argo's may be, too */

    source.name = (char *)(uintptr_t)(fixture->counted == &gws_v1_methods[1] ? "a" : "");
    assert_int_equal(gw_rpc_call(fixture->dialer.channel, fixture->method.path, &source.base, 60000,
                                 on_answer, fixture),
                     0);
    WAIT_FOR(atomic_load(&fixture->opened) == 1);
}

static const struct gw_rpc_method *const validations[] = {&gws_v1_methods[1], &gws_argo_methods[0]};

static void the_loop_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(validations); i++) {
        struct fixture fixture;
        setup(&fixture, validations[i]);
        post(&fixture);
        assert_int_equal(atomic_load(&fixture.answered), 0);
        gw_loop_turn(fixture.server.loop, 0);
        WAIT_FOR(atomic_load(&fixture.answered) == 1);
        assert_int_equal(fixture.status, GW_RPC_OK);
        assert_int_equal(fixture.validated, 1);
        teardown(&fixture);
    }
}

/* A busy loop comes to it when the deadline is over; at its end the loop runs what is left when the server is gone. */
static void a_call_that_is_over_when_the_loop_comes_to_it_harms_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(validations); i++) {
        struct fixture fixture;
        setup(&fixture, validations[i]);
        post(&fixture);
        fixture.server.rpc = gw_rpc_server_close(fixture.server.rpc, 0);
        WAIT_FOR(atomic_load(&fixture.answered) == 1);
        assert_int_not_equal(fixture.status, GW_RPC_OK);
        gw_loop_turn(fixture.server.loop, 0);
        assert_int_equal(fixture.validated, 1);
        teardown(&fixture);
    }
}

static void what_cannot_be_said_for_lack_of_memory_is_not_valid(void **state)
{
    struct fixture fixture;

    (void)state;
    setup(&fixture, &gws_v1_methods[1]);
    fixture.without_memory = true;
    post(&fixture);
    gw_loop_turn(fixture.server.loop, 0);
    WAIT_FOR(atomic_load(&fixture.answered) == 1);
    assert_int_equal(fixture.status, GW_RPC_RESOURCE_EXHAUSTED);
    teardown(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loop_answers),
        cmocka_unit_test(a_call_that_is_over_when_the_loop_comes_to_it_harms_nothing),
        cmocka_unit_test(what_cannot_be_said_for_lack_of_memory_is_not_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
