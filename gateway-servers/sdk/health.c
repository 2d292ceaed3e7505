/* grpc.health.v1.Health: for Kubernetes gRPC probes. */
#include "gateway-servers/sdk/server.h"

#include "common/clock.h"
#include "proto/grpc/health/v1/health.pb-c.h"

#include <stdlib.h>

#define STATUS(name) GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__##name

struct gws_health_watch {
    struct gw_rpc_server_call *call;
    struct gws_health_watch *next, **link;
};

/* Known: 1; unknown: 0; not a message: -1. */
static int service_known(struct gw_view bytes)
{
    static const char *const known[] = {"", "gateway.v1.Eventing", "gateways.Eventing", "generic.Eventing"};
    Grpc__Health__V1__HealthCheckRequest *request =
        grpc__health__v1__health_check_request__unpack(NULL, bytes.size, (const uint8_t *)bytes.data);
    int found = 0;

    if (request == NULL)
        return -1;
    for (size_t i = 0; i < GW_COUNT_OF(known); i++)
        found |= strcmp(request->service, known[i]) == 0;
    grpc__health__v1__health_check_request__free_unpacked(request, NULL);
    return found;
}

static void on_sign(struct gw_task *task)
{
    struct gws_health *health = GW_CONTAINER_OF(task, struct gws_health, sign);

    pthread_mutex_lock(&health->lock);
    health->sign_asked_ns = 0;
    pthread_mutex_unlock(&health->lock);
}

static bool serving(struct gws_server *server)
{
    struct gws_health *health = &server->health;
    int64_t now_ns = gw_clock_monotonic_ns();

    pthread_mutex_lock(&health->lock);
    bool ask = health->sign_asked_ns == 0;
    if (ask)
        health->sign_asked_ns = now_ns;
    bool well = health->serving && now_ns - health->sign_asked_ns < health->silence_ms * GW_NS_PER_MS;
    pthread_mutex_unlock(&health->lock);
    if (ask)
        gw_loop_post(server->loop, &health->sign);
    return well;
}

static void on_check(void *user, struct gw_rpc_server_call *call, struct gw_view bytes)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    int known = service_known(bytes);

    if (known <= 0) {
        gw_rpc_server_call_finish(call, known < 0 ? GW_RPC_INVALID_ARGUMENT : GW_RPC_NOT_FOUND,
                                  "unknown service", NULL);
        return;
    }
    response.status = serving(user) ? STATUS(SERVING) : STATUS(NOT_SERVING);
    gw_rpc_server_call_finish(call, GW_RPC_OK, "", &response.base);
}

static void send_status(struct gw_rpc_server_call *call,
                        Grpc__Health__V1__HealthCheckResponse__ServingStatus status)
{
    Grpc__Health__V1__HealthCheckResponse response = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;

    response.status = status;
    if (gw_rpc_server_call_send(call, &response.base) < 0)
        gw_rpc_server_call_finish(call, GW_RPC_RESOURCE_EXHAUSTED, "the gateway-server has no memory left",
                                  NULL);
}

static void on_watch(void *user, struct gw_rpc_server_call *call, struct gw_view bytes)
{
    struct gws_server *server = user;
    struct gws_health_watch *watch = calloc(1, sizeof(*watch));
    int known = service_known(bytes);

    if (watch == NULL || known < 0) {
        gw_rpc_server_call_finish(call, known < 0 ? GW_RPC_INVALID_ARGUMENT : GW_RPC_RESOURCE_EXHAUSTED,
                                  known < 0 ? "the request is not a HealthCheckRequest message" : "no memory",
                                  NULL);
        free(watch);
        return;
    }
    watch->call = call;
    gw_rpc_server_call_set_user(call, watch);
    if (known == 0) {
        send_status(call, STATUS(SERVICE_UNKNOWN));
        return;
    }
    pthread_mutex_lock(&server->health.lock);
    watch->next = server->health.watches;
    watch->link = &server->health.watches;
    if (watch->next != NULL)
        watch->next->link = &watch->next;
    server->health.watches = watch;
    send_status(call, server->health.serving ? STATUS(SERVING) : STATUS(NOT_SERVING));
    pthread_mutex_unlock(&server->health.lock);
}

static void on_watch_closed(void *user, struct gw_rpc_server_call *call, bool cancelled)
{
    struct gws_server *server = user;
    struct gws_health_watch *watch = gw_rpc_server_call_user(call);

    (void)cancelled;
    pthread_mutex_lock(&server->health.lock);
    if (watch != NULL && watch->link != NULL) {
        *watch->link = watch->next;
        if (watch->next != NULL)
            watch->next->link = watch->link;
    }
    pthread_mutex_unlock(&server->health.lock);
    free(watch);
    gw_rpc_server_call_release(call);
}

void gws_health_set(struct gws_server *server, bool is_serving)
{
    pthread_mutex_lock(&server->health.lock);
    server->health.serving = is_serving;
    for (struct gws_health_watch *watch = server->health.watches; watch != NULL; watch = watch->next) {
        send_status(watch->call, is_serving ? STATUS(SERVING) : STATUS(NOT_SERVING));
        if (!is_serving)
            gw_rpc_server_call_finish(watch->call, GW_RPC_UNAVAILABLE, "the gateway-server is shutting down",
                                      NULL);
    }
    pthread_mutex_unlock(&server->health.lock);
}

void gws_health_init(struct gws_server *server)
{
    server->health =
        (struct gws_health){.serving = true, .sign.run = on_sign, .silence_ms = GWS_HEALTH_SILENCE_MS};
    pthread_mutex_init(&server->health.lock, NULL);
}

void gws_health_done(struct gws_server *server)
{
    pthread_mutex_destroy(&server->health.lock);
}

const struct gw_rpc_method gws_health_methods[2] = {
    {.path = "/grpc.health.v1.Health/Check",
     .kind = GW_RPC_UNARY,
     .open = on_check,
     .closed = gws_service_unary_closed},
    {.path = "/grpc.health.v1.Health/Watch",
     .kind = GW_RPC_SERVER_STREAM,
     .open = on_watch,
     .closed = on_watch_closed},
};
