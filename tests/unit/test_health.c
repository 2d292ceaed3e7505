/* grpc.health.v1.Health: what probes are told, and that a loop that hangs does not pass for well. */
#include "rpc_fixture.h"

#include "gateway-servers/sdk/server.h"
#include "proto/grpc/health/v1/health.pb-c.h"

enum { SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING };
enum { NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING };

struct fixture {
    struct gws_server server;
    struct dialer dialer;
};

struct checked {
    atomic_int done;
    int status, health;
};

static void setup(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    gws_health_init(&fixture->server);
    assert_int_equal(gw_loop_open(&fixture->server.loop), 0);
    served_open(&fixture->server.health_rpc, &fixture->dialer, gws_health_methods,
                GW_COUNT_OF(gws_health_methods), &fixture->server);
}

static void teardown(struct fixture *fixture)
{
    dialer_close(&fixture->dialer);
    fixture->server.health_rpc = gw_rpc_server_close(fixture->server.health_rpc, 1000);
    fixture->server.loop = gw_loop_close(fixture->server.loop);
    gws_health_done(&fixture->server);
}

static void on_checked(void *user, int status, const char *message, struct gw_view reply)
{
    struct checked *checked = user;
    Grpc__Health__V1__HealthCheckResponse *response =
        grpc__health__v1__health_check_response__unpack(NULL, reply.size, (const uint8_t *)reply.data);

    (void)message;
    checked->status = status;
    checked->health = response == NULL ? -1 : (int)response->status;
    if (response != NULL)
        grpc__health__v1__health_check_response__free_unpacked(response, NULL);
    atomic_store(&checked->done, 1);
}

/* The health that the service tells; the gRPC status, negative, when the call failed. */
static int check(struct fixture *fixture, const char *service)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct checked checked = {0};

    request.service = (char *)service;
    assert_int_equal(gw_rpc_call(fixture->dialer.channel, "/grpc.health.v1.Health/Check", &request.base,
                                 30000, on_checked, &checked),
                     0);
    WAIT_FOR(atomic_load(&checked.done) == 1);
    return checked.status == GW_RPC_OK ? checked.health : -checked.status;
}

static void set_silence(struct fixture *fixture, int64_t silence_ms)
{
    pthread_mutex_lock(&fixture->server.health.lock);
    fixture->server.health.silence_ms = silence_ms;
    pthread_mutex_unlock(&fixture->server.health.lock);
}

static void a_server_is_well_until_it_says_otherwise(void **state)
{
    struct fixture fixture;

    (void)state;
    setup(&fixture);
    assert_int_equal(check(&fixture, ""), SERVING);
    assert_int_equal(check(&fixture, "gateway.v1.Eventing"), SERVING);
    assert_int_equal(check(&fixture, "nothing"), -GW_RPC_NOT_FOUND);
    gws_health_set(&fixture.server, false);
    assert_int_equal(check(&fixture, ""), NOT_SERVING);
    teardown(&fixture);
}

static void a_loop_that_hangs_is_not_well_and_one_that_comes_back_is(void **state)
{
    struct fixture fixture;

    (void)state;
    setup(&fixture);
    assert_int_equal(check(&fixture, ""), SERVING); /* asks for the first sign of life */
    set_silence(&fixture, 0);
    assert_int_equal(check(&fixture, ""), NOT_SERVING);
    set_silence(&fixture, GWS_HEALTH_SILENCE_MS);
    assert_int_equal(check(&fixture, ""), SERVING); /* busy, but not for that long yet */
    gw_loop_turn(fixture.server.loop, 0);
    pthread_mutex_lock(&fixture.server.health.lock);
    assert_int_equal(fixture.server.health.sign_asked_ns, 0);
    pthread_mutex_unlock(&fixture.server.health.lock);
    assert_int_equal(check(&fixture, ""), SERVING);
    teardown(&fixture);
}

static void other_methods_are_not_served_beside_it(void **state)
{
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    struct checked checked = {0};
    struct fixture fixture;

    (void)state;
    setup(&fixture);
    assert_int_equal(gw_rpc_call(fixture.dialer.channel, "/gateway.v1.Eventing/Describe", &request.base,
                                 30000, on_checked, &checked),
                     0);
    WAIT_FOR(atomic_load(&checked.done) == 1);
    assert_int_equal(checked.status, GW_RPC_UNIMPLEMENTED);
    teardown(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_is_well_until_it_says_otherwise),
        cmocka_unit_test(a_loop_that_hangs_is_not_well_and_one_that_comes_back_is),
        cmocka_unit_test(other_methods_are_not_served_beside_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
