/* HTTP client: libcurl's multi interface on the loop. */
#include "common/http_parts.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A peer that acknowledges nothing for so long is gone. Without this, the kernel tries for a quarter of an hour, and with it
 * all requests that share an HTTP/2 connection. */
enum { HTTP_UNACKNOWLEDGED_MS = 60000 };

/* curl stops watching a socket whenever no request is on it, and starts again with the next one: for a kept
 * connection that would be two changes of the epoll set a request. So a socket that we opened ourselves, and
 * whose end we are told, stays watched in between. */
struct http_socket {
    struct gw_http *http;
    struct gw_poll *poll;
    int descriptor;
    bool opened_here, wanted;
    bool connected; /* has been, when curl stopped watching it */
};

static void http_destroy(struct gw_http *http);

static void http_reap_ended(struct gw_http *http)
{
    CURLMsg *message;
    int left;

    while (!http->closed && (message = curl_multi_info_read(http->multi, &left)) != NULL) {
        struct gw_http_call *call = NULL;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result;

        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
        curl_multi_remove_handle(http->multi, easy);
        if (result == CURLE_HTTP2_STREAM)
            http_target_wake_calls(call->target);
        http_call_finish(http, call, result);
    }
}

static struct gw_http_call *http_find_broken(struct gw_http *http)
{
    for (struct gw_http_target *target = http->targets; target != NULL; target = target->next)
        for (struct gw_http_call *call = target->busy; call != NULL; call = call->next)
            if (call->broken)
                return call;
    http->broken = false;
    return NULL;
}

static void http_reap_broken(struct gw_http *http)
{
    struct gw_http_call *call;

    while (!http->closed && http->broken && (call = http_find_broken(http)) != NULL) {
        curl_multi_remove_handle(http->multi, call->easy);
        http_call_finish(http, call, CURLE_ABORTED_BY_CALLBACK);
    }
}

static void http_reap(struct gw_http *http)
{
    http->reaping = true;
    if (http->arrived != NULL)
        http_calls_tell(http);
    http_reap_ended(http);
    if (http->broken)
        http_reap_broken(http);
    http->reaping = false;
    if (http->closed)
        http_destroy(http);
}

static void on_soon(void *user)
{
    http_reap(user);
}

void http_soon(struct gw_http *http)
{
    gw_timer_start(http->soon, 0);
}

/* ---- sockets ---- */

static struct http_socket *socket_find(struct gw_http *http, int descriptor)
{
    return (size_t)descriptor < http->sockets_count ? http->sockets[descriptor] : NULL;
}

static bool sockets_reach(struct gw_http *http, size_t descriptor)
{
    size_t count = GW_MAX((size_t)64, http->sockets_count);
    struct http_socket **sockets;

    while (count <= descriptor)
        count *= 2;
    if (count == http->sockets_count)
        return true;
    sockets = realloc(http->sockets, count * sizeof(*sockets));
    if (sockets == NULL)
        return false;
    memset(sockets + http->sockets_count, 0, (count - http->sockets_count) * sizeof(*sockets));
    http->sockets = sockets;
    http->sockets_count = count;
    return true;
}

static struct http_socket *socket_add(struct gw_http *http, int descriptor)
{
    struct http_socket *one;

    if (!sockets_reach(http, (size_t)descriptor))
        return NULL;
    one = calloc(1, sizeof(*one));
    if (one == NULL)
        return NULL;
    one->http = http;
    one->descriptor = descriptor;
    http->sockets[descriptor] = one;
    return one;
}

static void socket_remove(struct http_socket *one)
{
    gw_poll_close(one->poll);
    one->http->sockets[one->descriptor] = NULL;
    free(one);
}

static void on_ready(void *user, int events)
{
    struct http_socket *one = user;
    struct gw_http *http = one->http;
    int running, mask = 0;

    if (!one->wanted) {
        gw_poll_set(one->poll, 0);
        return;
    }
    mask |= (events & GW_READABLE) != 0 ? CURL_CSELECT_IN : 0;
    mask |= (events & GW_WRITABLE) != 0 ? CURL_CSELECT_OUT : 0;
    curl_multi_socket_action(http->multi, one->descriptor, mask, &running);
    http_reap(http);
}

/* curl 7.88 tells us of the end of connections only that were complete: a socket whose connect() or TLS handshake
 * was given up it closes by itself. A poll left on that number would stand in the way of the next socket that gets it. */
static bool socket_is_kept(struct http_socket *one)
{
    struct sockaddr_storage peer;
    socklen_t size = sizeof(peer);

    if (one->opened_here && !one->connected)
        one->connected = getpeername(one->descriptor, (struct sockaddr *)&peer, &size) == 0;
    return one->connected;
}

static void on_socket_unwanted(struct http_socket *one)
{
    if (one == NULL)
        return;
    if (socket_is_kept(one))
        one->wanted = false;
    else
        socket_remove(one);
}

/* Never -1: that would end not this call, but the multi handle. */
static int socket_refuse(CURL *easy, const char *words)
{
    struct gw_http_call *call = NULL;

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
    if (call != NULL)
        http_call_break(call, words);
    return 0;
}

static int on_socket(CURL *easy, curl_socket_t descriptor, int what, void *user, void *known)
{
    struct gw_http *http = user;
    struct http_socket *one = socket_find(http, descriptor);

    (void)known;
    if (what == CURL_POLL_REMOVE) {
        on_socket_unwanted(one);
        return 0;
    }
    if (one == NULL)
        one = socket_add(http, descriptor);
    if (one == NULL)
        return socket_refuse(easy, "no memory to watch the socket");
    if (one->poll == NULL && gw_poll_open(&one->poll, http->loop, descriptor, on_ready, one) < 0)
        return socket_refuse(easy, "the socket cannot be watched");
    one->wanted = true;
    gw_poll_set(one->poll, ((what & CURL_POLL_IN) != 0 ? GW_READABLE : 0) |
                               ((what & CURL_POLL_OUT) != 0 ? GW_WRITABLE : 0));
    return 0;
}

curl_socket_t http_socket_open(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct http_socket *one;
    int descriptor = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    int unacknowledged_ms = HTTP_UNACKNOWLEDGED_MS;

    (void)purpose;
    if (descriptor < 0)
        return CURL_SOCKET_BAD;
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacknowledged_ms,
                     sizeof(unacknowledged_ms));
    one = socket_find(user, descriptor);
    if (one != NULL)
        socket_remove(one); /* of a socket that was closed without a word */
    one = socket_add(user, descriptor);
    if (one != NULL)
        one->opened_here = true;
    return descriptor;
}

int http_socket_close(void *user, curl_socket_t descriptor)
{
    struct http_socket *one = socket_find(user, descriptor);

    if (one != NULL)
        socket_remove(one);
    return close(descriptor);
}

/* ---- time ---- */

static void on_timeout(void *user)
{
    struct gw_http *http = user;
    int running;

    curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    http_reap(http);
}

static int on_timer(CURLM *multi, long wait_ms, void *user)
{
    struct gw_http *http = user;

    (void)multi;
    if (wait_ms < 0)
        gw_timer_stop(http->timer);
    else
        gw_timer_start(http->timer, wait_ms);
    return 0;
}

/* ---- life ---- */

static void curl_start(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int http_multi_open(struct gw_http *http, size_t connections_max)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, curl_start);
    http->multi = curl_multi_init();
    if (http->multi == NULL)
        return GW_RAISE(-ENOMEM);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)GW_MIN(connections_max, (size_t)65535));
    return 0;
}

int gw_http_open(struct gw_http **ret_http, struct gw_loop *loop, size_t connections_max)
{
    GW_AUTO(gw_http_closep) struct gw_http *http = calloc(1, sizeof(*http));

    if (http == NULL)
        return GW_RAISE(-ENOMEM);
    http->loop = loop;
    GW_TRY(gw_timer_open(&http->timer, loop, on_timeout, http));
    GW_TRY(gw_timer_open(&http->soon, loop, on_soon, http));
    GW_TRY(http_multi_open(http, connections_max));
    *ret_http = GW_TAKE(http);
    return 0;
}

static void http_destroy(struct gw_http *http)
{
    curl_multi_cleanup(http->multi);
    for (size_t i = 0; i < http->sockets_count; i++)
        if (http->sockets[i] != NULL)
            socket_remove(http->sockets[i]);
    free(http->sockets);
    gw_timer_close(http->timer);
    gw_timer_close(http->soon);
    free(http);
}

struct gw_http *gw_http_close(struct gw_http *http)
{
    if (http == NULL || http->closed)
        return NULL;
    for (struct gw_http_target *target = http->targets; target != NULL; target = target->next) {
        http_target_end_calls(target);
        target->http = NULL;
    }
    http->targets = NULL;
    if (http->reaping)
        http->closed = true;
    else
        http_destroy(http);
    return NULL;
}
