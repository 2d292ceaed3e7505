/* Requests of a listener: received under a deadline, shown to the hooks, answered now or later. */
#include "common/json.h"
#include "common/listen_parts.h"
#include "common/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

enum {
    REQUEST_BODY_MAX = 1 << 20,
    REQUEST_BODY_KEPT = 65536,     /* memory of a larger body is not kept for the next request */
    REQUEST_DROPPED_MAX = 1 << 20, /* of a body that turned out too large */
    REQUEST_NAME_MAX = 256,
};

/* ---- deadlines ---- */

static void due_remove(struct gw_request *request)
{
    struct gw_listener *listener = request->listener;

    if (request->due_ms == 0)
        return;
    if (request->due_previous != NULL)
        request->due_previous->due_next = request->due_next;
    else
        listener->due_first = request->due_next;
    if (request->due_next != NULL)
        request->due_next->due_previous = request->due_previous;
    else
        listener->due_last = request->due_previous;
    request->due_ms = 0;
}

/* All wait equally long, so the list is in the order of the deadlines by itself. */
static void due_restart(struct gw_request *request)
{
    struct gw_listener *listener = request->listener;

    due_remove(request);
    request->due_ms = gw_loop_now_ms(listener->loop) + listener->idle_timeout_ms;
    request->due_next = NULL;
    request->due_previous = listener->due_last;
    if (listener->due_last != NULL)
        listener->due_last->due_next = request;
    else
        listener->due_first = request;
    listener->due_last = request;
    if (!listener->deadline_started && !listener->closing) {
        listener->deadline_started = true;
        gw_timer_start(listener->deadline, listener->idle_timeout_ms);
    }
}

int64_t request_cut_late(struct gw_listener *listener, int64_t now_ms)
{
    while (listener->due_first != NULL && listener->due_first->due_ms <= now_ms) {
        struct gw_request *late = listener->due_first;

        due_remove(late);
        /* libmicrohttpd has no call for it; it sees the end of the connection and cleans up. */
        shutdown(MHD_get_connection_info(late->connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd,
                 SHUT_RDWR);
    }
    return listener->due_first == NULL ? -1 : listener->due_first->due_ms - now_ms;
}

/* ---- life ---- */

static void request_tell_end(struct gw_request *request)
{
    if (request->shown && request->listener->hooks.ended != NULL)
        request->listener->hooks.ended(request->listener->user, request);
    request->shown = false;
}

static void request_reset(struct gw_request *request)
{
    if (request->response != NULL && request->response != request->listener->empty)
        MHD_destroy_response(request->response);
    request->response = NULL;
    if (request->body.capacity > REQUEST_BODY_KEPT)
        gw_bytes_done(&request->body);
    gw_bytes_clear(&request->body);
    request->replied = request->suspended = false;
    request->user = NULL;
    request->dropped = 0;
    request->stage = REQUEST_NONE;
}

static void request_end(struct gw_request *request)
{
    if (request->stage == REQUEST_NONE)
        return;
    request_tell_end(request);
    request_reset(request);
}

static void request_open(struct gw_listener *listener, struct MHD_Connection *connection,
                         void **socket_context)
{
    struct gw_request *request = calloc(1, sizeof(*request));

    *socket_context = request;
    if (request == NULL)
        return;
    request->listener = listener;
    request->connection = connection;
    request->next = listener->requests;
    if (request->next != NULL)
        request->next->previous = request;
    listener->requests = request;
    if (listener->tls != NULL)
        request->certificate = listen_tls_give(
            listener->tls,
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
    due_restart(request);
}

static void request_close(struct gw_request *request)
{
    request_end(request);
    due_remove(request);
    if (request->previous != NULL)
        request->previous->next = request->next;
    else
        request->listener->requests = request->next;
    if (request->next != NULL)
        request->next->previous = request->previous;
    listen_tls_release(request->certificate);
    gw_bytes_done(&request->target);
    gw_bytes_done(&request->body);
    free(request);
}

void request_on_connection(void *listener, struct MHD_Connection *connection, void **socket_context,
                           enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        request_open(listener, connection, socket_context);
    else if (*socket_context != NULL)
        request_close(*socket_context);
}

void request_on_completed(void *listener, struct MHD_Connection *connection, void **user,
                          enum MHD_RequestTerminationCode how)
{
    struct gw_request *request = *user;

    (void)listener, (void)connection, (void)how;
    if (request == NULL)
        return;
    request_end(request);
    due_restart(request);
}

void request_dismiss(struct gw_request *request)
{
    if (request->stage == REQUEST_NONE)
        return;
    gw_request_problem(request, MHD_HTTP_SERVICE_UNAVAILABLE, NULL, "this listener is closing");
    request_tell_end(request);
}

/* ---- receiving ---- */

/* "http://host/path" is as good as "/path" (RFC 9112, 3.2.2). */
static const char *target_origin(const char *target)
{
    const char *authority = strstr(target, "://"), *path;

    if (*target == '/' || authority == NULL)
        return target;
    path = strpbrk(authority + 3, "/?");
    return path == NULL ? "/" : path;
}

void *request_on_target(void *listener, const char *target, struct MHD_Connection *connection)
{
    struct gw_request *request =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    size_t path_size;

    (void)listener;
    if (request == NULL)
        return NULL;
    target = target_origin(target);
    path_size = strcspn(target, "?");
    gw_bytes_clear(&request->target);
    gw_bytes_append(&request->target, target, path_size);
    gw_bytes_append_char(&request->target, '\0');
    gw_bytes_append_text(&request->target, target[path_size] == '?' ? target + path_size + 1 : "");
    if (gw_bytes_text(&request->target) == NULL)
        return NULL;
    request->query = request->target.data + path_size + 1;
    request->stage = REQUEST_HEAD;
    due_restart(request);
    return request;
}

/* What the reply made ready goes to libmicrohttpd, which allows it only in its own call. */
static enum MHD_Result request_queue(struct gw_request *request)
{
    due_remove(request);
    if (request->response == NULL)
        return MHD_NO;
    return MHD_queue_response(request->connection, (unsigned int)request->status, request->response);
}

static bool head_too_large(struct gw_request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    return info != NULL && info->header_size > request->listener->header_size_max;
}

/* What libmicrohttpd lets through although it leaves open where the body ends, and so, behind a proxy of another opinion, a way
 * to smuggle requests (RFC 9112, 5.1, 6.3 and 11.2): it believes the first of two lengths, and takes "Content-Length " with
 * a blank for a name of its own. */
struct head_look {
    unsigned lengths, codings;
    bool strange_name;
};

static bool name_is_token(const char *name)
{
    for (; *name != '\0'; name++)
        if ((unsigned char)*name <= ' ' || (unsigned char)*name >= 127 ||
            strchr("\"(),/:;<=>?@[\\]{}", *name) != NULL)
            return false;
    return true;
}

static enum MHD_Result head_look_at(void *user, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct head_look *look = user;

    (void)kind, (void)value;
    look->strange_name |= !name_is_token(name);
    look->lengths += strcasecmp(name, "Content-Length") == 0;
    look->codings += strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

/* NULL: nothing. */
static const char *head_fault(struct gw_request *request)
{
    struct head_look look = {0};

    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, head_look_at, &look);
    if (look.strange_name)
        return "the name of a header is not one";
    return look.lengths + look.codings > 1 ? "the length of the body is given more than once" : NULL;
}

static bool announced_too_large(struct gw_request *request)
{
    const char *announced = gw_request_header(request, "Content-Length");
    uint64_t size;

    return announced != NULL &&
           !(gw_text_u64(gw_view_text(announced), UINT64_MAX, &size) && size <= (uint64_t)request->body_max);
}

static void reply_too_large(struct gw_request *request)
{
    gw_request_problem(request, MHD_HTTP_CONTENT_TOO_LARGE, NULL, "the body is larger than %lld bytes",
                       (long long)request->body_max);
}

static enum MHD_Result request_on_head(struct gw_request *request, const char *method)
{
    struct gw_listener *listener = request->listener;
    const char *fault = head_fault(request);

    request->stage = REQUEST_BODY;
    request->method = method;
    request->body_max = REQUEST_BODY_MAX;
    if (head_too_large(request)) {
        gw_request_problem(request, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE, NULL,
                           "the head of the request is larger than %zu bytes", listener->header_size_max);
    } else if (fault != NULL) {
        gw_request_problem(request, MHD_HTTP_BAD_REQUEST, NULL, "%s", fault);
    } else if (listener->hooks.headers != NULL) {
        request->shown = true;
        request->body_max = listener->hooks.headers(listener->user, request);
        if (request->body_max < 0)
            gw_request_reply(request, MHD_HTTP_INTERNAL_SERVER_ERROR, NULL, gw_view(NULL, 0));
    }
    if (!request->replied && announced_too_large(request))
        reply_too_large(request);
    return request->replied ? request_queue(request) : MHD_YES;
}

/* libmicrohttpd takes no answer in the middle of a body. So what is too much is read and dropped, that the
 * sender may hear why; who goes on for too long is cut. */
static enum MHD_Result request_drop(struct gw_request *request, size_t size)
{
    request->dropped += size;
    return request->dropped > REQUEST_DROPPED_MAX ? MHD_NO : MHD_YES;
}

static enum MHD_Result request_on_body(struct gw_request *request, const char *data, size_t *data_size)
{
    size_t size = *data_size;

    *data_size = 0;
    if (request->replied)
        return request_drop(request, size);
    if ((uint64_t)request->body.size + size > (uint64_t)request->body_max) {
        reply_too_large(request);
        return request_drop(request, size);
    }
    gw_bytes_append(&request->body, data, size);
    return request->body.failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result request_on_complete(struct gw_request *request)
{
    struct gw_listener *listener = request->listener;

    if (request->stage == REQUEST_BODY) {
        request->stage = REQUEST_COMPLETE;
        due_remove(request);
        if (!request->replied) {
            request->shown = true;
            listener->hooks.complete(listener->user, request);
        }
    }
    if (request->replied)
        return request_queue(request);
    request->suspended = true;
    MHD_suspend_connection(request->connection);
    return MHD_YES;
}

enum MHD_Result request_on_call(void *user, struct MHD_Connection *connection, const char *url,
                                const char *method, const char *version, const char *data, size_t *data_size,
                                void **place)
{
    struct gw_listener *listener = user;
    struct gw_request *request = *place;

    (void)connection, (void)url, (void)version;
    if (request == NULL || (listener->closing && !request->replied))
        return MHD_NO;
    if (request->stage == REQUEST_HEAD)
        return request_on_head(request, method);
    if (*data_size > 0)
        return request_on_body(request, data, data_size);
    return request_on_complete(request);
}

/* ---- answering ---- */

static bool reply_header(struct MHD_Response *response, const char *line)
{
    const char *colon = strchr(line, ':');
    char name[REQUEST_NAME_MAX];

    if (colon == NULL || (size_t)(colon - line) >= sizeof(name))
        return false;
    memcpy(name, line, (size_t)(colon - line));
    name[colon - line] = '\0';
    return MHD_add_response_header(response, name, colon + 1 + strspn(colon + 1, " \t")) == MHD_YES;
}

static struct MHD_Response *reply_make(struct gw_request *request, const char *const *headers,
                                       struct gw_view body)
{
    struct MHD_Response *response;

    if (headers == NULL && body.size == 0)
        return request->listener->empty;
    response =
        MHD_create_response_from_buffer(body.size, (void *)(uintptr_t)body.data, MHD_RESPMEM_MUST_COPY);
    for (; response != NULL && headers != NULL && *headers != NULL; headers++)
        (void)reply_header(response, *headers);
    return response;
}

void gw_request_reply(struct gw_request *request, int status, const char *const *headers, struct gw_view body)
{
    if (request->replied || request->stage == REQUEST_NONE)
        return;
    request->replied = true;
    request->status = status;
    request->response = reply_make(request, headers, body);
    if (request->suspended) {
        request->suspended = false;
        MHD_resume_connection(request->connection);
        listener_run_soon(request->listener);
    }
}

void gw_request_problem(struct gw_request *request, int status, const char *const *headers,
                        const char *format, ...)
{
    enum { LINES_MAX = 16 };
    const char *lines[LINES_MAX + 2] = {"Content-Type: application/problem+json"};
    GW_AUTO(gw_bytes_done) struct gw_bytes body = {0};
    char detail[GW_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    for (size_t i = 0; headers != NULL && headers[i] != NULL && i < LINES_MAX; i++)
        lines[i + 1] = headers[i];
    gw_bytes_printf(&body, "{\"status\":%d,\"title\":", status);
    gw_json_quote(&body, gw_view_text(MHD_get_reason_phrase_for((unsigned int)status)));
    gw_bytes_append_text(&body, ",\"detail\":");
    gw_json_quote(&body, gw_view_text(detail));
    gw_bytes_append_text(&body, "}\n");
    gw_request_reply(request, status, lines, gw_bytes_view(&body));
}

/* ---- looking at it ---- */

const char *gw_request_method(const struct gw_request *request)
{
    return request->method;
}

const char *gw_request_path(const struct gw_request *request)
{
    return request->target.data;
}

const char *gw_request_query(const struct gw_request *request)
{
    return request->query;
}

const char *gw_request_header(const struct gw_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

struct each_header {
    void (*each)(void *user, const char *name, const char *value);
    void *user;
};

static enum MHD_Result on_each_header(void *user, enum MHD_ValueKind kind, const char *name,
                                      const char *value)
{
    struct each_header *to = user;

    (void)kind;
    to->each(to->user, name, value != NULL ? value : "");
    return MHD_YES;
}

void gw_request_headers(const struct gw_request *request,
                        void (*each)(void *user, const char *name, const char *value), void *user)
{
    struct each_header to = {each, user};

    (void)MHD_get_connection_values(request->connection, MHD_HEADER_KIND, on_each_header, &to);
}

struct gw_view gw_request_body(const struct gw_request *request)
{
    return gw_bytes_view(&request->body);
}

static void peer_write(char *out, size_t size, const struct sockaddr *address)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    char text[INET6_ADDRSTRLEN] = "";

    if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
        snprintf(out, size, "%s:%u", text, ntohs(v4->sin_port));
    } else if (address->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof(text));
        snprintf(out, size, "%s:%u", text, ntohs(v6->sin6_port));
    } else if (address->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
        snprintf(out, size, "[%s]:%u", text, ntohs(v6->sin6_port));
    }
}

const char *gw_request_peer(const struct gw_request *request)
{
    /* Written when first asked for: few requests need it. */
    char *peer = ((struct gw_request *)(uintptr_t)request)->peer;

    if (*peer == '\0')
        peer_write(
            peer, sizeof(request->peer),
            MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
    return peer;
}

void gw_request_set_user(struct gw_request *request, void *user)
{
    request->user = user;
}

void *gw_request_user(const struct gw_request *request)
{
    return request->user;
}
