/* HTTP calls: one request, its answer, and the words for what went wrong. */
#include "common/clock.h"
#include "common/http_parts.h"
#include "common/text.h"

#include <ctype.h>
#include <stdlib.h>

static const char *const method_names[] = {
    [GW_HTTP_GET] = "GET",     [GW_HTTP_POST] = "POST",     [GW_HTTP_PUT] = "PUT",
    [GW_HTTP_PATCH] = "PATCH", [GW_HTTP_DELETE] = "DELETE", [GW_HTTP_OPTIONS] = "OPTIONS",
};

/* ---- life ---- */

static size_t on_answer(char *data, size_t one, size_t size, void *user)
{
    struct gw_http_call *call = user;
    size_t room = GW_HTTP_ANSWER_MAX - call->answer.size;

    (void)one;
    call->answer_size += size;
    gw_bytes_append(&call->answer, data, GW_MIN(size, room));
    return call->answer.failed ? 0 : size;
}

struct gw_http_call *http_call_free(struct gw_http_call *call)
{
    if (call == NULL)
        return NULL;
    curl_easy_cleanup(call->easy);
    free(call->nodes);
    gw_bytes_done(&call->header_text);
    gw_bytes_done(&call->url);
    gw_bytes_done(&call->answer);
    free(call);
    return NULL;
}
GW_DEFINE_CLEANUP(struct gw_http_call *, http_call_free)

static int call_new(struct gw_http_call **ret_call, struct gw_http_target *target)
{
    GW_AUTO(http_call_freep) struct gw_http_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return GW_RAISE(-ENOMEM);
    call->target = target;
    call->easy = curl_easy_init();
    if (call->easy == NULL || !http_target_apply(target, call->easy))
        return GW_RAISE(-ENOMEM);
    curl_easy_setopt(call->easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(call->easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(call->easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(call->easy, CURLOPT_ERRORBUFFER, call->error);
    *ret_call = GW_TAKE(call);
    return 0;
}

static int call_take(struct gw_http_call **ret_call, struct gw_http_target *target)
{
    struct gw_http_call *call = target->idle;

    if (call == NULL)
        return call_new(ret_call, target);
    target->idle = call->next;
    *ret_call = call;
    return 0;
}

static void call_link(struct gw_http_call *call)
{
    struct gw_http_target *target = call->target;

    call->previous = NULL;
    call->next = target->busy;
    if (call->next != NULL)
        call->next->previous = call;
    target->busy = call;
}

static void call_unlink(struct gw_http_call *call)
{
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        call->target->busy = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
}

static void call_keep(struct gw_http_call *call)
{
    /* A large answer is rare; its memory is not kept for the next one. */
    if (call->answer.capacity > 65536)
        gw_bytes_done(&call->answer);
    call->next = call->target->idle;
    call->target->idle = call;
}

/* ---- the request ---- */

static int call_nodes(struct gw_http_call *call, size_t count)
{
    struct curl_slist *nodes;

    if (count <= call->nodes_count)
        return 0;
    nodes = realloc(call->nodes, count * sizeof(*nodes));
    if (nodes == NULL)
        return GW_RAISE(-ENOMEM);
    call->nodes = nodes;
    call->nodes_count = count;
    return 0;
}

/* The request's own headers are put before the target's as one list, in memory that the call keeps: curl
 * copies neither. */
static int call_headers(struct gw_http_call *call, const char *const *lines)
{
    size_t count = 0, size = 0, at = 0;

    for (; lines != NULL && lines[count] != NULL; count++) {
        if (!http_header_valid(lines[count]))
            return GW_RAISE(-EINVAL);
        size += strlen(lines[count]) + 2;
    }
    if (count == 0) {
        curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->target->headers);
        return 0;
    }
    GW_TRY(call_nodes(call, count));
    gw_bytes_clear(&call->header_text);
    if (gw_bytes_reserve(&call->header_text, size) == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < count; i++, at = call->header_text.size) {
        http_header_append(&call->header_text, lines[i]);
        call->nodes[i].data = call->header_text.data + at;
        call->nodes[i].next = i + 1 < count ? &call->nodes[i + 1] : call->target->headers;
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->nodes);
    return 0;
}

static int call_path(struct gw_http_call *call, const char *path)
{
    struct gw_view base = gw_view_text(call->target->url);

    if (path == NULL || *path == '\0') {
        if (call->with_path && curl_easy_setopt(call->easy, CURLOPT_URL, base.data) != CURLE_OK)
            return GW_RAISE(-ENOMEM);
        call->with_path = false;
        return 0;
    }
    if (*path == '/' && base.size > 0 && base.data[base.size - 1] == '/')
        base.size--;
    gw_bytes_clear(&call->url);
    gw_bytes_append_view(&call->url, base);
    gw_bytes_append_text(&call->url, path);
    if (gw_bytes_text(&call->url) == NULL ||
        curl_easy_setopt(call->easy, CURLOPT_URL, call->url.data) != CURLE_OK)
        return GW_RAISE(-ENOMEM);
    call->with_path = true;
    return 0;
}

static void call_method(struct gw_http_call *call, enum gw_http_method method, bool with_body)
{
    bool plain = method == GW_HTTP_POST || (method == GW_HTTP_GET && !with_body);

    if (call->prepared && call->method == method && call->with_body == with_body)
        return;
    curl_easy_setopt(call->easy, with_body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, plain ? NULL : method_names[method]);
    call->method = method;
    call->with_body = with_body;
    call->prepared = true;
}

static int call_prepare(struct gw_http_call *call, const struct gw_http_request *request)
{
    bool with_body = request->body.size > 0 || request->method == GW_HTTP_POST ||
                     request->method == GW_HTTP_PUT || request->method == GW_HTTP_PATCH;

    call_method(call, request->method, with_body);
    if (with_body) {
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, request->body.size > 0 ? request->body.data : "");
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    }
    gw_bytes_clear(&call->answer);
    call->answer_size = 0;
    call->error[0] = '\0';
    GW_TRY(call_path(call, request->path));
    return call_headers(call, request->headers);
}

int gw_http_send(struct gw_http_target *target, const struct gw_http_request *request,
                 void (*done)(void *user, const struct gw_http_answer *answer), void *user,
                 struct gw_http_call **ret_call)
{
    GW_AUTO(http_call_freep) struct gw_http_call *call = NULL;

    if (target->http == NULL)
        return GW_RAISE(-ESHUTDOWN);
    GW_TRY(call_take(&call, target));
    GW_TRY(call_prepare(call, request));
    call->done = done;
    call->user = user;
    if (curl_multi_add_handle(target->http->multi, call->easy) != CURLM_OK)
        return GW_RAISE(-ENOMEM);
    call_link(call);
    if (ret_call != NULL)
        *ret_call = call;
    (void)GW_TAKE(call);
    return 0;
}

void gw_http_cancel(struct gw_http_call *call)
{
    if (call == NULL || call->target == NULL || call == call->target->http->finishing)
        return;
    curl_multi_remove_handle(call->target->http->multi, call->easy);
    call_unlink(call);
    call_keep(call);
}

/* ---- the answer ---- */

/* The last line of defence for words: curl's own, without its prefix and its first capital letter. */
static const char *curl_words(struct gw_http_call *call, CURLcode result)
{
    static const char prefix[] = "SSL certificate problem: ";
    char *words = call->error;

    if (*words == '\0')
        return curl_easy_strerror(result);
    if (strncmp(words, prefix, sizeof(prefix) - 1) == 0)
        words += sizeof(prefix) - 1;
    words[strcspn(words, "\r\n")] = '\0';
    if (isupper((unsigned char)words[0]) && islower((unsigned char)words[1]))
        words[0] = (char)tolower((unsigned char)words[0]);
    return words;
}

static const char *system_words(struct gw_http_call *call, char *buffer, size_t size, const char *otherwise)
{
    long number = 0;

    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &number);
    if (number == 0)
        return otherwise;
    snprintf(buffer, size, "%s", strerror((int)number));
    buffer[0] = (char)tolower((unsigned char)buffer[0]);
    return buffer;
}

static void timeout_words(struct gw_http_call *call, struct gw_reason *reason)
{
    const struct gw_http_target *target = call->target;
    char duration[GW_DURATION_MAX];
    curl_off_t connected_us = 0, ready_us = 0;
    int64_t connect_ms = GW_MIN(target->connect_timeout_ms, target->timeout_ms);

    curl_easy_getinfo(call->easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    if (connected_us == 0 || ready_us == 0)
        gw_reason_set(reason, "%s: no connection within %s", target->peer,
                      gw_duration_format(duration, connect_ms * GW_NS_PER_MS));
    else
        gw_reason_set(reason, "%s: no answer within %s", target->peer,
                      gw_duration_format(duration, target->timeout_ms * GW_NS_PER_MS));
}

static void fault_words(struct gw_http_call *call, CURLcode result, struct gw_reason *reason)
{
    const char *peer = call->target->peer;
    char buffer[128];

    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
        gw_reason_set(reason, "%s: no address found for this name", peer);
        break;
    case CURLE_COULDNT_CONNECT:
        gw_reason_set(reason, "%s: %s", peer, system_words(call, buffer, sizeof(buffer), "cannot connect"));
        break;
    case CURLE_OPERATION_TIMEDOUT:
        timeout_words(call, reason);
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
        gw_reason_set(reason, "%s: certificate verify failed: %s", peer, curl_words(call, result));
        break;
    case CURLE_SSL_CONNECT_ERROR:
        gw_reason_set(reason, "%s: TLS handshake failed: %s", peer, curl_words(call, result));
        break;
    case CURLE_GOT_NOTHING:
        gw_reason_set(reason, "%s: connection closed without an answer", peer);
        break;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        gw_reason_set(reason, "%s: connection lost: %s", peer, curl_words(call, result));
        break;
    case CURLE_PARTIAL_FILE:
        gw_reason_set(reason, "%s: connection closed in the middle of the answer", peer);
        break;
    default:
        gw_reason_set(reason, "%s: %s", peer, curl_words(call, result));
    }
}

/* A transfer can fail after its whole answer has come: some servers answer without reading the body, and then
 * reset the HTTP/2 stream. The answer counts. */
static bool answer_whole(struct gw_http_call *call, CURLcode result, long status)
{
    curl_off_t expected = -1;

    if (result == CURLE_OK)
        return true;
    if (status < 200)
        return false;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
    if (status == 204 || status == 304)
        return true;
    if (expected >= 0)
        return call->answer_size >= (uint64_t)expected;
    return result == CURLE_HTTP2_STREAM && call->answer_size == 0;
}

static int64_t retry_after_ms(struct gw_http_call *call)
{
    struct curl_header *header = NULL;
    struct gw_view value;
    uint64_t seconds;
    time_t at;

    if (curl_easy_header(call->easy, "Retry-After", 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return -1;
    value = gw_view_trim(gw_view_text(header->value));
    if (gw_text_u64(value, 366 * 86400, &seconds))
        return (int64_t)seconds * 1000;
    at = curl_getdate(header->value, NULL);
    if (at == -1)
        return -1;
    return GW_MAX(INT64_C(0), (int64_t)at * 1000 - gw_clock_realtime_ms());
}

static void answer_fill(struct gw_http_call *call, CURLcode result, struct gw_http_answer *answer,
                        struct gw_reason *reason)
{
    const char *content_type = NULL;
    curl_off_t took_us = 0;
    long status = 0;

    *answer = (struct gw_http_answer){.fault = "", .retry_after_ms = -1};
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_TOTAL_TIME_T, &took_us);
    answer->took_ms = took_us / 1000;
    if (!answer_whole(call, result, status)) {
        fault_words(call, result, reason);
        answer->fault = reason->text;
        return;
    }
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &content_type);
    answer->status = (int)status;
    answer->body = gw_bytes_view(&call->answer);
    answer->content_type = gw_view_text(content_type);
    if (status >= 300)
        answer->retry_after_ms = retry_after_ms(call);
}

void http_call_finish(struct gw_http *http, struct gw_http_call *call, CURLcode result)
{
    struct gw_reason reason;
    struct gw_http_answer answer;

    answer_fill(call, result, &answer, &reason);
    call_unlink(call);
    http->finishing = call;
    call->done(call->user, &answer);
    http->finishing = NULL;
    if (call->target != NULL)
        call_keep(call);
    else
        http_call_free(call);
}
