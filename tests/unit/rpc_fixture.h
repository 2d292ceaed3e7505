/* A gRPC peer for tests: a server that does what the name in the request says, and clients that remember what
 * came. Messages are gateways.Event; `name` is the command, `payload` a filling. */
#ifndef TEST_RPC_FIXTURE_H
#define TEST_RPC_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants these before itself */
#include <cmocka.h>

#include "common/clock.h"
#include "common/rpc_client.h"
#include "common/rpc_server.h"
#include "proto/argo/gateways/eventing.pb-c.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* gRPC is not instrumented: without this the thread sanitizer reports its inner life, and nothing of ours. */
#if defined(__SANITIZE_THREAD__)
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "ignore_noninstrumented_modules=1";
}
#endif

/* Waits for a condition, with a deadline. */
#define WAIT_FOR(condition)                                                                                  \
    do {                                                                                                     \
        int64_t until_ = gw_clock_monotonic_ns() + 60 * GW_NS_PER_S;                                         \
        while (!(condition) && gw_clock_monotonic_ns() < until_)                                             \
            usleep(500);                                                                                     \
        assert_true(condition);                                                                              \
    } while (0)

/* The server */

struct peer {
    struct gw_rpc_server *server;
    atomic_int opened, closed, cancelled, messages, dropped, half_closed, writable;
    atomic_long sent;
    _Atomic(struct gw_rpc_server_call *) last; /* of a stream; kept until its closed() */
};

struct peer_call {
    char name[64];
    size_t size; /* of each message's payload */
    long remain; /* messages to send; < 0 for ever */
    int finish;  /* when they are sent: status + 1; 0: not at all */
};

static inline int peer_send(struct peer *peer, struct gw_rpc_server_call *call, size_t size)
{
    static uint8_t filling[256 << 10];
    char name[24];
    Gateways__Event event = GATEWAYS__EVENT__INIT;

    snprintf(name, sizeof(name), "%ld", atomic_fetch_add(&peer->sent, 1));
    event.name = name;
    event.payload.data = filling;
    event.payload.len = size;
    return gw_rpc_server_call_send(call, (const ProtobufCMessage *)&event);
}

static inline void peer_pump(struct peer *peer, struct gw_rpc_server_call *call)
{
    struct peer_call *state = gw_rpc_server_call_user(call);

    while (state->remain != 0) {
        if (state->remain > 0)
            state->remain--;
        if (peer_send(peer, call, state->size) != 0)
            break;
    }
    if (state->remain == 0 && state->finish > 0)
        gw_rpc_server_call_finish(call, state->finish - 1, "finished", NULL);
}

static inline void peer_on_echo(void *user, struct gw_rpc_server_call *call, struct gw_view request)
{
    struct peer *peer = user;
    Gateways__Event *event = gateways__event__unpack(NULL, request.size, (const uint8_t *)request.data);
    static uint8_t large[5 << 20];
    int status = 0;

    atomic_fetch_add(&peer->opened, 1);
    if (event == NULL)
        gw_rpc_server_call_finish(call, GW_RPC_INTERNAL, "malformed", NULL);
    else if (sscanf(event->name, "status %d", &status) == 1)
        gw_rpc_server_call_finish(call, status, (const char *)event->payload.data, NULL);
    else if (strcmp(event->name, "large") == 0) {
        Gateways__Event reply = GATEWAYS__EVENT__INIT;
        reply.payload.data = large;
        reply.payload.len = sizeof(large);
        gw_rpc_server_call_finish(call, GW_RPC_OK, "", (const ProtobufCMessage *)&reply);
    } else if (strcmp(event->name, "hang") != 0)
        gw_rpc_server_call_finish(call, GW_RPC_OK, "", (const ProtobufCMessage *)event);
    gw_rpc_server_call_release(call);
    if (event != NULL)
        gateways__event__free_unpacked(event, NULL);
}

/* "<messages> <size> <finish>" */
static inline void peer_on_watch(void *user, struct gw_rpc_server_call *call, struct gw_view request)
{
    struct peer *peer = user;
    Gateways__Event *event = gateways__event__unpack(NULL, request.size, (const uint8_t *)request.data);
    struct peer_call *state = calloc(1, sizeof(*state));

    sscanf(event->name, "%ld %zu %d", &state->remain, &state->size, &state->finish);
    gateways__event__free_unpacked(event, NULL);
    gw_rpc_server_call_set_user(call, state);
    atomic_store(&peer->last, call);
    atomic_fetch_add(&peer->opened, 1);
    peer_pump(peer, call);
}

static inline void peer_on_writable(void *user, struct gw_rpc_server_call *call)
{
    struct peer *peer = user;

    atomic_fetch_add(&peer->writable, 1);
    peer_pump(peer, call);
}

static inline void peer_on_chat(void *user, struct gw_rpc_server_call *call, struct gw_view request)
{
    struct peer *peer = user;

    (void)request;
    gw_rpc_server_call_set_user(call, calloc(1, sizeof(struct peer_call)));
    atomic_store(&peer->last, call);
    atomic_fetch_add(&peer->opened, 1);
}

static inline void peer_on_message(void *user, struct gw_rpc_server_call *call, struct gw_view message)
{
    struct peer *peer = user;
    Gateways__Event *event = gateways__event__unpack(NULL, message.size, (const uint8_t *)message.data);

    atomic_fetch_add(&peer->messages, 1);
    if (strcmp(event->name, "end") == 0)
        gw_rpc_server_call_finish(call, GW_RPC_ABORTED, "as you said", NULL);
    else if (strcmp(event->name, "quiet") != 0 &&
             gw_rpc_server_call_send(call, (const ProtobufCMessage *)event) < 0)
        atomic_fetch_add(&peer->dropped, 1); /* full: nobody reads, and it is not taken */
    gateways__event__free_unpacked(event, NULL);
}

static inline void peer_on_half_closed(void *user, struct gw_rpc_server_call *call)
{
    struct peer *peer = user;

    atomic_fetch_add(&peer->half_closed, 1);
    gw_rpc_server_call_finish(call, GW_RPC_OK, "bye", NULL);
}

static inline void peer_on_closed(void *user, struct gw_rpc_server_call *call, bool cancelled)
{
    struct peer *peer = user;
    struct gw_rpc_server_call *mine = call;

    atomic_compare_exchange_strong(&peer->last, &mine, NULL);
    free(gw_rpc_server_call_user(call));
    if (cancelled)
        atomic_fetch_add(&peer->cancelled, 1);
    gw_rpc_server_call_release(call);
    atomic_fetch_add(&peer->closed, 1);
}

static inline void peer_on_unary_closed(void *user, struct gw_rpc_server_call *call, bool cancelled)
{
    struct peer *peer = user;

    (void)call;
    if (cancelled)
        atomic_fetch_add(&peer->cancelled, 1);
    atomic_fetch_add(&peer->closed, 1);
}

static const struct gw_rpc_method peer_methods[] = {
    {.path = "/test.Peer/Echo", .kind = GW_RPC_UNARY, .open = peer_on_echo, .closed = peer_on_unary_closed},
    {.path = "/test.Peer/Watch",
     .kind = GW_RPC_SERVER_STREAM,
     .open = peer_on_watch,
     .closed = peer_on_closed,
     .writable = peer_on_writable},
    {.path = "/test.Peer/Chat",
     .kind = GW_RPC_BIDI,
     .open = peer_on_chat,
     .message = peer_on_message,
     .half_closed = peer_on_half_closed,
     .closed = peer_on_closed},
};

static inline int peer_try(struct peer *peer, const char *address, const struct gw_rpc_tls *tls,
                           struct gw_reason *reason)
{
    struct gw_rpc_server_options options = {.addresses = (const char *const[]){address, NULL}};

    if (tls != NULL)
        options.tls = *tls;
    return gw_rpc_server_open(&peer->server, &options, peer_methods, GW_COUNT_OF(peer_methods), peer, reason);
}

static inline void peer_open(struct peer *peer, const char *address, const struct gw_rpc_tls *tls)
{
    struct gw_reason reason = {""};

    memset(peer, 0, sizeof(*peer));
    if (peer_try(peer, address, tls, &reason) != 0)
        fail_msg("server: %s", reason.text);
}

/* The same in another process, which can be stopped and killed. The test program runs itself with "serve
 * ADDRESS". */
static inline pid_t peer_spawn(const char *address)
{
    char *arguments[] = {(char *)"/proc/self/exe", (char *)"serve", (char *)address, NULL};
    pid_t child;

    assert_int_equal(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ), 0);
    return child;
}

static inline int peer_serve(const char *address)
{
    struct peer peer = {0};

    if (peer_try(&peer, address, NULL, NULL) != 0)
        return 1;
    pause();
    return 0;
}

static inline void peer_kill(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* The client */

struct dialer {
    struct gw_rpc_client *client;
    struct gw_rpc_channel *channel;
};

static inline void dialer_open_with(struct dialer *dialer, const struct gw_rpc_channel_options *options)
{
    struct gw_reason reason = {""};

    assert_int_equal(gw_rpc_client_open(&dialer->client), 0);
    if (gw_rpc_channel_open(&dialer->channel, dialer->client, options, &reason) != 0)
        fail_msg("channel: %s", reason.text);
}

static inline void dialer_open(struct dialer *dialer, const char *address)
{
    dialer_open_with(dialer, &(struct gw_rpc_channel_options){.address = address});
}

static inline void dialer_close(struct dialer *dialer)
{
    dialer->channel = gw_rpc_channel_close(dialer->channel);
    dialer->client = gw_rpc_client_close(dialer->client);
}

/* A server of these methods on loopback, and a channel to it. */
static inline void served_open(struct gw_rpc_server **ret_server, struct dialer *dialer,
                               const struct gw_rpc_method *methods, size_t count, void *user)
{
    struct gw_rpc_server_options options = {.addresses = (const char *const[]){"127.0.0.1:0", NULL}};
    struct gw_reason reason = {""};
    char address[32];

    if (gw_rpc_server_open(ret_server, &options, methods, count, user, &reason) != 0)
        fail_msg("%s", reason.text);
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)gw_rpc_server_port(*ret_server, 0));
    dialer_open(dialer, address);
}

static inline const char *peer_address(char buffer[static 32], const struct peer *peer)
{
    snprintf(buffer, 32, "127.0.0.1:%u", (unsigned)gw_rpc_server_port(peer->server, 0));
    return buffer;
}

/* One unary call, waited for. */
struct answer {
    atomic_int count;
    int status;
    char message[8192];
    size_t size;
};

static inline void answer_on_reply(void *user, int status, const char *message, struct gw_view reply)
{
    struct answer *answer = user;

    answer->status = status;
    answer->size = reply.size;
    snprintf(answer->message, sizeof(answer->message), "%s", message);
    atomic_fetch_add(&answer->count, 1);
}

static inline void ask_begin(struct answer *answer, struct gw_rpc_channel *channel, const char *path,
                             const char *name, const void *payload, size_t size, int64_t deadline_ms)
{
    Gateways__Event event = GATEWAYS__EVENT__INIT;

    memset(answer, 0, sizeof(*answer));
    event.name = (char *)name;
    event.payload.data = (uint8_t *)payload;
    event.payload.len = size;
    assert_int_equal(gw_rpc_call(channel, path, (const ProtobufCMessage *)&event, deadline_ms,
                                 answer_on_reply, answer),
                     0);
}

static inline int ask(struct answer *answer, struct gw_rpc_channel *channel, const char *name)
{
    ask_begin(answer, channel, "/test.Peer/Echo", name, NULL, 0, 10000);
    WAIT_FOR(atomic_load(&answer->count) == 1);
    return answer->status;
}

/* One stream. */
struct listener {
    struct gw_rpc_stream *stream;
    atomic_long messages;
    atomic_int ends;
    int status;
    char message[1024];
    char last[64];
    bool endless; /* gives credit for every message */
    bool free_in_message, free_in_end;
    atomic_long after_free;
};

static inline void listener_on_message(void *user, struct gw_view message)
{
    struct listener *listener = user;
    Gateways__Event *event = gateways__event__unpack(NULL, message.size, (const uint8_t *)message.data);

    assert_non_null(event);
    snprintf(listener->last, sizeof(listener->last), "%s", event->name);
    gateways__event__free_unpacked(event, NULL);
    atomic_fetch_add(&listener->messages, 1);
    if (listener->endless)
        gw_rpc_stream_credit(listener->stream, 1);
    if (listener->free_in_message)
        listener->stream = gw_rpc_stream_free(listener->stream);
}

static inline void listener_on_end(void *user, int status, const char *message)
{
    struct listener *listener = user;

    listener->status = status;
    snprintf(listener->message, sizeof(listener->message), "%s", message);
    if (listener->free_in_end)
        listener->stream = gw_rpc_stream_free(listener->stream);
    atomic_fetch_add(&listener->ends, 1);
}

static const struct gw_rpc_stream_hooks listener_hooks = {listener_on_message, listener_on_end};

static inline void watch(struct listener *listener, struct gw_rpc_channel *channel, const char *command,
                         unsigned credit)
{
    Gateways__Event event = GATEWAYS__EVENT__INIT;
    struct gw_rpc_stream_options options = {
        .path = "/test.Peer/Watch", .first = (const ProtobufCMessage *)&event, .half_close = true};

    event.name = (char *)command;
    assert_int_equal(gw_rpc_stream_open(&listener->stream, channel, &options, &listener_hooks, listener), 0);
    if (credit > 0)
        gw_rpc_stream_credit(listener->stream, credit);
}

static inline void chat(struct listener *listener, struct gw_rpc_channel *channel, unsigned credit)
{
    struct gw_rpc_stream_options options = {.path = "/test.Peer/Chat"};

    assert_int_equal(gw_rpc_stream_open(&listener->stream, channel, &options, &listener_hooks, listener), 0);
    if (credit > 0)
        gw_rpc_stream_credit(listener->stream, credit);
}

static inline int say(struct listener *listener, const char *name, bool latest)
{
    Gateways__Event event = GATEWAYS__EVENT__INIT;
    const ProtobufCMessage *message = (const ProtobufCMessage *)&event;

    event.name = (char *)name;
    return latest ? gw_rpc_stream_send_latest(listener->stream, message)
                  : gw_rpc_stream_send(listener->stream, message);
}

#endif
