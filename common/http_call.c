/* HTTP calls: one request, its answer, and the words for what went wrong. */
#include "common/clock.h"
#include "common/http_parts.h"
#include "common/text.h"

#include <ctype.h>
#include <stdlib.h>

enum { HTTP_ANSWER_KEPT = 65536 };

static const char *const method_names[] = {
    [GW_HTTP_GET] = "GET",     [GW_HTTP_POST] = "POST",     [GW_HTTP_PUT] = "PUT",
    [GW_HTTP_PATCH] = "PATCH", [GW_HTTP_DELETE] = "DELETE", [GW_HTTP_OPTIONS] = "OPTIONS",
};

/* ---- life ---- */

/* A stream's bytes are handed on when curl has returned: within its callback no call can be made or ended. */
static bool call_streams(struct gw_http_call *call)
{
    struct gw_http *http = call->target->http;
    long status = 0;

    if (call->chunk == NULL)
        return false;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status > 299)
        return false;
    if (!call->arrived) {
        call->arrived = true;
        call->arrived_next = http->arrived;
        http->arrived = call;
    }
    return true;
}

static size_t on_answer(char *data, size_t one, size_t size, void *user)
{
    struct gw_http_call *call = user;
    size_t room = call->answer_max - GW_MIN(call->answer.size, call->answer_max);

    (void)one;
    call->answer_size += size;
    gw_bytes_append(&call->answer, data, call_streams(call) ? size : GW_MIN(size, room));
    return call->answer.failed ? 0 : size;
}

struct gw_http_call *http_call_free(struct gw_http_call *call)
{
    if (call == NULL)
        return NULL;
    curl_easy_cleanup(call->easy);
    gw_timer_close(call->quiet);
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
    call->timeout_ms = target->timeout_ms;
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

static void call_unlink_arrived(struct gw_http_call *call)
{
    struct gw_http_call **link = &call->target->http->arrived;

    while (*link != call)
        link = &(*link)->arrived_next;
    *link = call->arrived_next;
    call->arrived = false;
}

void http_call_unlink(struct gw_http_call *call)
{
    struct gw_http *http = call->target->http;

    if (call->arrived)
        call_unlink_arrived(call);
    if (http->telling == call)
        http->telling = NULL;
    if (call->quiet != NULL)
        gw_timer_stop(call->quiet);
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
    if (call->answer.capacity > HTTP_ANSWER_KEPT)
        gw_bytes_done(&call->answer);
    call->next = call->target->idle;
    call->target->idle = call;
}

/* ---- limits ---- */

void http_call_break(struct gw_http_call *call, const char *words)
{
    snprintf(call->error, sizeof(call->error), "%s", words);
    call->broken = true;
    call->target->http->broken = true;
    http_soon(call->target->http);
}

static uint64_t call_bytes(struct gw_http_call *call)
{
    curl_off_t down = 0, up = 0;
    long head = 0;

    curl_easy_getinfo(call->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    curl_easy_getinfo(call->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(call->easy, CURLINFO_HEADER_SIZE, &head);
    return (uint64_t)down + (uint64_t)up + (uint64_t)head;
}

/* Looks four times in idle_ms, so that a busy stream does not touch a timer with each byte. */
static void on_quiet(void *user)
{
    struct gw_http_call *call = user;
    int64_t now_ms = gw_loop_now_ms(call->target->http->loop);
    uint64_t bytes = call_bytes(call);
    char duration[GW_DURATION_MAX], words[64];

    if (bytes != call->heard_bytes) {
        call->heard_bytes = bytes;
        call->heard_ms = now_ms;
    }
    if (now_ms - call->heard_ms < call->idle_ms) {
        gw_timer_start(call->quiet, call->idle_ms / 4 + 1);
        return;
    }
    snprintf(words, sizeof(words), "no byte within %s",
             gw_duration_format(duration, call->idle_ms * GW_NS_PER_MS));
    call->timed_out = true;
    http_call_break(call, words);
}

static int call_limits(struct gw_http_call *call, const struct gw_http_request *request)
{
    struct gw_http *http = call->target->http;
    int64_t timeout_ms = request->timeout_ms == 0 ? call->target->timeout_ms : GW_MAX(request->timeout_ms, 0);

    if (timeout_ms != call->timeout_ms)
        curl_easy_setopt(call->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    call->timeout_ms = timeout_ms;
    call->answer_max = request->answer_max > 0 ? request->answer_max : GW_HTTP_ANSWER_MAX;
    call->idle_ms = request->idle_ms;
    if (call->idle_ms <= 0)
        return 0;
    if (call->quiet == NULL)
        GW_TRY(gw_timer_open(&call->quiet, http->loop, on_quiet, call));
    call->heard_bytes = 0;
    call->heard_ms = gw_loop_now_ms(http->loop);
    gw_timer_start(call->quiet, call->idle_ms / 4 + 1);
    return 0;
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
    call->broken = call->timed_out = false;
    call->chunk = request->chunk;
    GW_TRY(call_path(call, request->path));
    GW_TRY(call_headers(call, request->headers));
    return call_limits(call, request);
}

int gw_http_send(struct gw_http_target *target, const struct gw_http_request *request,
                 void (*done)(void *user, const struct gw_http_answer *answer), void *user,
                 struct gw_http_call **ret_call)
{
    GW_AUTO(http_call_freep) struct gw_http_call *call = NULL;
    CURLMcode result;

    if (target->http == NULL)
        return GW_RAISE(-ESHUTDOWN);
    GW_TRY(call_take(&call, target));
    GW_TRY(call_prepare(call, request));
    call->done = done;
    call->user = user;
    result = curl_multi_add_handle(target->http->multi, call->easy);
    if (result == CURLM_OUT_OF_MEMORY)
        return GW_RAISE(-ENOMEM);
    call_link(call);
    if (result != CURLM_OK)
        http_call_break(call, curl_multi_strerror(result));
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
    http_call_unlink(call);
    call_keep(call);
}

/* ---- the answer ---- */

static void call_tell(struct gw_http *http, struct gw_http_call *call)
{
    struct gw_bytes bytes = call->answer;

    call_unlink_arrived(call);
    call->answer = (struct gw_bytes){0};
    http->telling = call;
    call->chunk(call->user, gw_bytes_view(&bytes));
    if (http->telling == call && call->answer.data == NULL && bytes.capacity <= HTTP_ANSWER_KEPT) {
        call->answer = bytes;
        gw_bytes_clear(&call->answer);
    } else {
        gw_bytes_done(&bytes);
    }
    http->telling = NULL;
}

void http_calls_tell(struct gw_http *http)
{
    while (http->arrived != NULL)
        call_tell(http, http->arrived);
}

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
    curl_off_t ready_us = 0;
    int64_t connect_ms = call->timeout_ms > 0 ? GW_MIN(target->connect_timeout_ms, call->timeout_ms)
                                              : target->connect_timeout_ms;

    curl_easy_getinfo(call->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    if (ready_us == 0)
        gw_reason_set(reason, "%s: no connection within %s", target->peer,
                      gw_duration_format(duration, connect_ms * GW_NS_PER_MS));
    else
        gw_reason_set(reason, "%s: no answer within %s", target->peer,
                      gw_duration_format(duration, call->timeout_ms * GW_NS_PER_MS));
}

static void fault_words(struct gw_http_call *call, CURLcode result, struct gw_reason *reason)
{
    const char *peer = call->target->peer;
    char buffer[128];

    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
        gw_reason_set(reason, "%s: no address found for this name", peer);
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
        gw_reason_set(reason, "%s: no address found for the proxy's name", peer);
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

/* The connection ended behind the status of a refusal, which says it all but its words: the API server closes with a 401. */
static bool answer_refused(CURLcode result, long status)
{
    return status >= 400 && (result == CURLE_PARTIAL_FILE || result == CURLE_RECV_ERROR ||
                             result == CURLE_HTTP2 || result == CURLE_HTTP2_STREAM);
}

/* A transfer can fail after its whole answer has come: some servers answer without reading the body, and then
 * reset the HTTP/2 stream. The answer counts. */
static bool answer_whole(struct gw_http_call *call, CURLcode result, long status)
{
    curl_off_t expected = -1;
    long proxy_status = 0;

    if (result == CURLE_OK)
        return true;
    curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
    if (call->broken || status < 200 || proxy_status > 299)
        return false;
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &expected);
    if (status == 204 || status == 304 || answer_refused(result, status))
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
        answer->failure = call->timed_out || result == CURLE_OPERATION_TIMEDOUT ? GW_HTTP_TIMED_OUT
                          : result == CURLE_PEER_FAILED_VERIFICATION            ? GW_HTTP_UNTRUSTED
                                                                                : GW_HTTP_FAILED;
        return;
    }
    curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &content_type);
    answer->status = (int)status;
    answer->body = gw_bytes_view(&call->answer);
    answer->truncated = answer_refused(result, status) ||
                        (!(call->chunk != NULL && status < 300) && call->answer_size > call->answer.size);
    answer->content_type = gw_view_text(content_type);
    if (status >= 300)
        answer->retry_after_ms = retry_after_ms(call);
}

void http_call_finish(struct gw_http *http, struct gw_http_call *call, CURLcode result)
{
    struct gw_reason reason;
    struct gw_http_answer answer;

    answer_fill(call, result, &answer, &reason);
    http_call_unlink(call);
    http->finishing = call;
    call->done(call->user, &answer);
    http->finishing = NULL;
    if (call->target != NULL)
        call_keep(call);
    else
        http_call_free(call);
}
