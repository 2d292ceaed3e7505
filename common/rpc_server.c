/* gRPC server: its queues, its listening sockets, its end. One call's life is in rpc_server_call.c. */
#include "common/rpc_server_core.h"

#include "common/clock.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

enum {
    SERVER_KEEPALIVE_MS = 60000, /* a client that vanished without a word must not hold its stream for ever */
    SERVER_KEEPALIVE_TIMEOUT_MS = 20000,
    SERVER_PING_INTERVAL_MIN_MS = 100, /* gRPC's own 5 min would end the stream of a client that pings */
    SERVER_SOCKET_MODE = 0660,
};

GW_DEFINE_CLEANUP(grpc_server_credentials *, grpc_server_credentials_release)

static grpc_arg argument(const char *name, int value)
{
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = (char *)name, .value.integer = value};
}

static void server_create(struct gw_rpc_server *server)
{
    grpc_arg arguments[] = {
        argument(GRPC_ARG_ALLOW_REUSEPORT, 0), /* or two servers share a port in silence */
        argument(GRPC_ARG_HTTP2_BDP_PROBE, 0),
        argument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, GW_RPC_LOOKAHEAD),
        argument(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, GW_RPC_MESSAGE_MAX),
        argument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, SERVER_PING_INTERVAL_MIN_MS),
        argument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        argument(GRPC_ARG_KEEPALIVE_TIME_MS, SERVER_KEEPALIVE_MS),
        argument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, SERVER_KEEPALIVE_TIMEOUT_MS),
        argument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
    };
    grpc_channel_args all = {.num_args = GW_COUNT_OF(arguments), .args = arguments};

    server->server = grpc_server_create(&all, NULL);
}

static int server_queues(struct gw_rpc_server *server, unsigned stream_threads)
{
    size_t count = 1 + (stream_threads == 0 ? 1 : stream_threads);

    server->queues = calloc(count, sizeof(*server->queues));
    if (server->queues == NULL)
        return GW_RAISE(-ENOMEM);
    server->queues_count = count;
    for (size_t i = 0; i < count; i++) {
        GW_TRY(gw_rpc_queue_open(&server->queues[i], i == 0 ? "rpc-control" : "rpc-serve"));
        grpc_server_register_completion_queue(server->server, server->queues[i].completions, NULL);
    }
    return 0;
}

static int server_methods(struct gw_rpc_server *server)
{
    server->registered = calloc(server->methods_count + 1, sizeof(*server->registered));
    if (server->registered == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < server->methods_count; i++) {
        const struct gw_rpc_method *method = &server->methods[i];
        grpc_server_register_method_payload_handling payload =
            method->kind == GW_RPC_BIDI ? GRPC_SRM_PAYLOAD_NONE : GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER;

        server->registered[i] = grpc_server_register_method(server->server, method->path, NULL, payload, 0);
        if (server->registered[i] == NULL)
            return GW_RAISE(-EEXIST);
    }
    return 0;
}

/* Listening */

static int listen_refuse(const struct gw_rpc_address *address, const char *text, struct gw_reason *reason)
{
    int fault = gw_rpc_address_bind_fault(address);

    if (fault == 0)
        fault = -EIO; /* the kernel would, gRPC would not: the place was taken and given back meanwhile */
    return GW_REFUSE(fault, reason, "cannot listen on %s: %s", text, strerror(-fault));
}

static int server_listen(struct gw_rpc_server *server, size_t index, const char *text,
                         grpc_server_credentials *credentials, struct gw_reason *reason)
{
    GW_AUTO(gw_freep) char *name = NULL;
    struct gw_rpc_address address;
    int port;

    GW_TRY(gw_rpc_address_parse(&address, text, reason));
    GW_TRY(gw_rpc_address_clear(&address, reason));
    name = gw_rpc_address_listen_name(&address);
    if (name == NULL)
        return GW_RAISE(-ENOMEM);
    port = grpc_server_add_http2_port(server->server, name, credentials);
    if (port <= 0)
        return listen_refuse(&address, text, reason);
    server->ports[index] = address.local ? 0 : (uint16_t)port;
    if (address.local && chmod(address.path, SERVER_SOCKET_MODE) != 0)
        return GW_REFUSE(-EACCES, reason, "cannot set the mode of unix socket %s", address.path);
    return 0;
}

static int server_listen_all(struct gw_rpc_server *server, const struct gw_rpc_server_options *options,
                             struct gw_reason *reason)
{
    GW_AUTO(grpc_server_credentials_releasep) grpc_server_credentials *credentials = NULL;
    size_t count = 0;

    while (options->addresses != NULL && options->addresses[count] != NULL)
        count++;
    if (count == 0)
        return GW_REFUSE(-EINVAL, reason, "no address to listen on");
    server->ports = calloc(count, sizeof(*server->ports));
    if (server->ports == NULL)
        return GW_RAISE(-ENOMEM);
    server->ports_count = count;
    GW_TRY(gw_rpc_tls_server(&credentials, &server->certificate, &options->tls, reason));
    for (size_t i = 0; i < count; i++)
        GW_TRY(server_listen(server, i, options->addresses[i], credentials, reason));
    return 0;
}

uint16_t gw_rpc_server_port(const struct gw_rpc_server *server, size_t address)
{
    return address < server->ports_count ? server->ports[address] : 0;
}

/* Life */

/* Control calls are few and quick, and their thread is always there to poll every socket while a stream's
 * thread is busy sending. */
static int server_expect_all(struct gw_rpc_server *server)
{
    for (size_t i = 0; i < server->methods_count; i++) {
        const struct gw_rpc_method *method = &server->methods[i];
        size_t first = method->kind == GW_RPC_UNARY ? 0 : 1;
        size_t end = method->kind == GW_RPC_UNARY ? 1 : server->queues_count;

        for (size_t queue = first; queue < end; queue++)
            GW_TRY(gw_rpc_server_call_expect(server, method, &server->queues[queue]));
    }
    return gw_rpc_server_call_expect(server, NULL, &server->queues[0]);
}

static void server_on_stopped(struct gw_rpc_tag *tag, bool ok)
{
    struct gw_rpc_server *server = GW_CONTAINER_OF(tag, struct gw_rpc_server, on_stopped);

    (void)ok;
    pthread_mutex_lock(&server->lock);
    server->stopped = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static struct gw_rpc_server *server_new(const struct gw_rpc_method *methods, size_t methods_count, void *user)
{
    struct gw_rpc_server *server = calloc(1, sizeof(*server));
    pthread_condattr_t monotonic;

    if (server == NULL)
        return NULL;
    server->methods = methods;
    server->methods_count = methods_count;
    server->user = user;
    server->on_stopped = gw_rpc_tag(server_on_stopped);
    pthread_mutex_init(&server->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&server->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    gw_rpc_init();
    return server;
}

static void server_closep(struct gw_rpc_server **server)
{
    gw_rpc_server_close(*server, 0);
}

int gw_rpc_server_open(struct gw_rpc_server **ret_server, const struct gw_rpc_server_options *options,
                       const struct gw_rpc_method *methods, size_t methods_count, void *user,
                       struct gw_reason *reason)
{
    GW_AUTO(server_closep) struct gw_rpc_server *server = server_new(methods, methods_count, user);

    if (server == NULL)
        return GW_RAISE(-ENOMEM);
    server_create(server);
    GW_TRY(server_queues(server, options->stream_threads));
    GW_TRY(server_methods(server));
    GW_TRY(server_listen_all(server, options, reason));
    grpc_server_start(server->server);
    GW_TRY(server_expect_all(server));
    *ret_server = GW_TAKE(server);
    return 0;
}

static bool server_idle(const struct gw_rpc_server *server)
{
    return server->stopped && server->calls == 0;
}

/* True: all is over; false: the time is up. */
static bool server_wait(struct gw_rpc_server *server, int64_t wait_ms)
{
    int64_t until_ns = gw_clock_monotonic_ns() + wait_ms * GW_NS_PER_MS;
    struct timespec until = {.tv_sec = until_ns / GW_NS_PER_S, .tv_nsec = until_ns % GW_NS_PER_S};
    bool idle;

    pthread_mutex_lock(&server->lock);
    while (!server_idle(server) && (wait_ms < 0 || gw_clock_monotonic_ns() < until_ns)) {
        if (wait_ms < 0)
            pthread_cond_wait(&server->changed, &server->lock);
        else
            pthread_cond_timedwait(&server->changed, &server->lock, &until);
    }
    idle = server_idle(server);
    pthread_mutex_unlock(&server->lock);
    return idle;
}

static void server_stop(struct gw_rpc_server *server, int64_t grace_ms)
{
    if (server->queues_count == 0 || !server->queues[0].running)
        return; /* it was never known outside, and nobody would hear that it has stopped */
    GW_RPC_HAND_OVER(&server->on_stopped);
    grpc_server_shutdown_and_notify(server->server, server->queues[0].completions, &server->on_stopped);
    if (server_wait(server, GW_MAX(grace_ms, 0)))
        return;
    grpc_server_cancel_all_calls(server->server);
    server_wait(server, -1);
}

struct gw_rpc_server *gw_rpc_server_close(struct gw_rpc_server *server, int64_t grace_ms)
{
    if (server == NULL)
        return NULL;
    if (server->server != NULL) {
        server_stop(server, grace_ms);
        grpc_server_destroy(server->server);
    }
    for (size_t i = 0; i < server->queues_count; i++)
        gw_rpc_queue_close(&server->queues[i]);
    gw_rpc_certificate_free(server->certificate);
    gw_rpc_done();
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server->registered);
    free(server->queues);
    free(server->ports);
    free(server);
    return NULL;
}
