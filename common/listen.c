/* HTTP server: libmicrohttpd on the loop, one daemon a listener. */
#include "common/listen_parts.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    LISTEN_IDLE_TIMEOUT_MS = 60000,
    LISTEN_HEADER_SIZE_MAX = 32768,
    LISTEN_CONNECTIONS_MAX = 1000,
    LISTEN_ANSWER_HEAD_SIZE = 8192, /* of a connection's memory, beside the head of the request */
    LISTEN_FLUSHES_MAX = 8,
};

static void listener_destroy(struct gw_listener *listener);

/* ---- turns ---- */

static void listener_run_within(struct gw_listener *listener, int64_t wait_ms)
{
    int64_t at_ms = gw_loop_now_ms(listener->loop) + wait_ms;

    /* A timer that fires too early is harmless and rare; setting it for each request is neither. */
    if (listener->timer_at_ms >= 0 && listener->timer_at_ms <= at_ms)
        return;
    listener->timer_at_ms = at_ms;
    gw_timer_start(listener->timer, wait_ms);
}

void listener_run_soon(struct gw_listener *listener)
{
    if (listener->running || listener->closing)
        listener->again = true;
    else
        listener_run_within(listener, 0);
}

static void listener_wait(struct gw_listener *listener)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;

    if (listener->again)
        listener_run_within(listener, 0);
    else if (MHD_get_timeout(listener->daemon, &wait_ms) == MHD_YES)
        listener_run_within(listener, (int64_t)wait_ms);
}

static void listener_run(struct gw_listener *listener)
{
    listener->running = true;
    listener->again = false;
    MHD_run(listener->daemon);
    listener->running = false;
    if (listener->closing)
        listener_destroy(listener);
    else
        listener_wait(listener);
}

static void on_ready(void *user, int events)
{
    (void)events;
    listener_run(user);
}

static void on_timer(void *user)
{
    struct gw_listener *listener = user;

    listener->timer_at_ms = -1;
    listener_run(listener);
}

static void on_deadline(void *user)
{
    struct gw_listener *listener = user;
    int64_t wait_ms = request_cut_late(listener, gw_loop_now_ms(listener->loop));

    listener->deadline_started = wait_ms >= 0;
    if (wait_ms >= 0)
        gw_timer_start(listener->deadline, wait_ms);
}

/* ---- opening ---- */

static void on_tls_warning(void *user, const char *text)
{
    struct gw_listener *listener = user;

    if (listener->hooks.warn != NULL)
        listener->hooks.warn(listener->user, text);
}

static int listener_tls(struct gw_listener *listener, const struct gw_listener_options *options,
                        struct gw_reason *reason)
{
    if (options->certificate_file == NULL && options->key_file == NULL)
        return 0;
    if (options->certificate_file == NULL || options->key_file == NULL)
        return GW_REFUSE(-EINVAL, reason,
                         "a certificate file and a key file go together: one of them is missing");
    return listen_tls_open(&listener->tls, listener->loop, options->certificate_file, options->key_file,
                           on_tls_warning, listener, reason);
}

static int listener_daemon(struct gw_listener *listener, const struct gw_listener_options *options,
                           struct gw_reason *reason)
{
    size_t connections = options->connections_max > 0 ? options->connections_max : LISTEN_CONNECTIONS_MAX;
    unsigned int flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | (listener->tls != NULL ? MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, listen_tls_no_certificate()},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)LISTEN_TLS_PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    int descriptor = -1;

    GW_TRY(address_listen(&descriptor, &listener->port, options->address, options->port, reason));
    listener->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, request_on_call, listener, MHD_OPTION_LISTEN_SOCKET, descriptor,
        MHD_OPTION_URI_LOG_CALLBACK, request_on_target, listener, MHD_OPTION_NOTIFY_CONNECTION,
        request_on_connection, listener, MHD_OPTION_NOTIFY_COMPLETED, request_on_completed, listener,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)((listener->idle_timeout_ms + 999) / 1000),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, listener->header_size_max + LISTEN_ANSWER_HEAD_SIZE,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned int)connections, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_ARRAY, &tls[listener->tls != NULL ? 0 : 2], MHD_OPTION_END);
    if (listener->daemon == NULL) {
        close(descriptor);
        return GW_REFUSE(-ENOMEM, reason, "libmicrohttpd does not start on port %u", listener->port);
    }
    return 0;
}

static int listener_attach(struct gw_listener *listener)
{
    int descriptor = MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;

    GW_TRY(gw_timer_open(&listener->timer, listener->loop, on_timer, listener));
    GW_TRY(gw_timer_open(&listener->deadline, listener->loop, on_deadline, listener));
    GW_TRY(gw_poll_open(&listener->poll, listener->loop, descriptor, on_ready, listener));
    gw_poll_set(listener->poll, GW_READABLE);
    return 0;
}

int gw_listener_open(struct gw_listener **ret_listener, struct gw_loop *loop,
                     const struct gw_listener_options *options, const struct gw_listener_hooks *hooks,
                     void *user, struct gw_reason *reason)
{
    GW_AUTO(gw_listener_closep) struct gw_listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL)
        return GW_RAISE(-ENOMEM);
    listener->loop = loop;
    listener->hooks = *hooks;
    listener->user = user;
    listener->timer_at_ms = -1;
    listener->idle_timeout_ms =
        options->idle_timeout_ms > 0 ? options->idle_timeout_ms : LISTEN_IDLE_TIMEOUT_MS;
    listener->header_size_max =
        options->header_size_max > 0 ? options->header_size_max : LISTEN_HEADER_SIZE_MAX;
    listener->empty = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (listener->empty == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(listener_tls(listener, options, reason));
    GW_TRY(listener_daemon(listener, options, reason));
    GW_TRY(listener_attach(listener));
    *ret_listener = GW_TAKE(listener);
    return 0;
}

uint16_t gw_listener_port(const struct gw_listener *listener)
{
    return listener->port;
}

/* ---- closing ---- */

static void listener_destroy(struct gw_listener *listener)
{
    gw_poll_close(listener->poll);
    gw_timer_close(listener->timer);
    gw_timer_close(listener->deadline);
    if (listener->daemon != NULL) {
        /* The last answers go out; a suspended connection would stop libmicrohttpd with a panic. */
        for (int i = 0; i < LISTEN_FLUSHES_MAX; i++)
            MHD_run(listener->daemon);
        MHD_stop_daemon(listener->daemon);
    }
    if (listener->empty != NULL)
        MHD_destroy_response(listener->empty);
    listen_tls_close(listener->tls);
    free(listener);
}

struct gw_listener *gw_listener_close(struct gw_listener *listener)
{
    if (listener == NULL || listener->closing)
        return NULL;
    listener->closing = true;
    for (struct gw_request *request = listener->requests; request != NULL; request = request->next)
        request_dismiss(request);
    listener->hooks = (struct gw_listener_hooks){0};
    if (!listener->running)
        listener_destroy(listener);
    return NULL;
}
