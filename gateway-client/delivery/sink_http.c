/* The sink over HTTP: events as POST requests to one URL, in the watcher's mode. */
#include "gateway-client/delivery/sink.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/secrets.h"

#include <stdio.h>
#include <stdlib.h>

/* A watcher that refuses our credentials makes us read the secrets anew, but not with each refusal. */
#define SINK_SECRETS_WAIT_MS 5000
/* Calls that are kept for use again, each with its buffers. */
enum { SINK_IDLE_MAX = 64 };
/* Buffers beyond this size are given back after their call. */
enum { SINK_BUFFER_KEPT_MAX = 65536 };
/* Of the answer's body, in the reason. */
enum { SINK_EXCERPT_MAX = 100 };

/* One set of credentials with its connections. Calls under way keep an older one alive. */
struct sink_target {
    struct gw_http_target *http;
    size_t in_flight;
    struct sink_target *next; /* older */
};

struct sink_call {
    struct sink_http *sink;
    struct sink_target *target;
    struct gw_bytes headers, body;
    const char **lines; /* into `headers`, ended by NULL */
    size_t lines_max;
    void (*done)(void *user, const struct gwc_answer *answer);
    void *user;
    struct sink_call *next; /* idle: the next idle one; in flight: list */
    struct sink_call *previous;
};

struct sink_http {
    struct gwc_sink base;
    struct gw_http *http;
    const struct gwc_watcher_spec *spec;
    struct sink_target *targets; /* the newest first; that one is used */
    struct gw_bytes bearer, username, password;
    int64_t secrets_again_ms; /* monotonic: not read anew before */
    struct sink_call *idle;
    size_t idle_count;
    struct sink_call *active;
};

/* ---- verdicts and words ---- */

enum gwc_verdict gwc_verdict_of_status(int status)
{
    if (status >= 200 && status < 300)
        return GWC_SENT;
    if (status == 0 || status == 408 || status == 425 || status == 429 || status >= 500)
        return GWC_AGAIN;
    return GWC_HOPELESS;
}

/* "HTTP 400: " and the beginning of what the watcher said, in printable characters. */
static void sink_reason(const struct gw_http_answer *answer, char *text, size_t size)
{
    struct gw_view said = gw_view_trim(answer->body);
    size_t length;
    bool blank = true;

    if (answer->status == 0) {
        snprintf(text, size, "%s",
                 answer->fault == NULL || answer->fault[0] == '\0' ? "no answer" : answer->fault);
        return;
    }
    length = (size_t)snprintf(text, size, "HTTP %d%s", answer->status, said.size > 0 ? ": " : "");
    for (size_t i = 0; i < GW_MIN(said.size, SINK_EXCERPT_MAX) && length + 1 < size; i++) {
        char byte = said.data[i];
        bool printable = byte > ' ' && byte < 0x7f;

        if (printable)
            text[length++] = byte;
        else if (!blank)
            text[length++] = ' ';
        blank = !printable;
    }
    text[length] = '\0';
}

/* ---- credentials and targets ---- */

static bool secret_given(const struct gw_setting_secret *secret)
{
    return secret->name != NULL && secret->key != NULL;
}

/* A credential goes into a header line; one with a line break in it would write lines of its own. */
static int secret_read(const struct gw_setting_secret *secret, struct gw_bytes *ret_value,
                       struct gw_reason *reason)
{
    if (!secret_given(secret))
        return 0;
    GW_TRY(gw_secret_read(secret, ret_value, reason));
    for (size_t i = 0; i < ret_value->size; i++)
        if ((unsigned char)ret_value->data[i] < 0x20 || ret_value->data[i] == 0x7f)
            return GW_REFUSE(-EINVAL, reason,
                             "secret %s, key %s: holds a line break or another control character",
                             secret->name, secret->key);
    return gw_bytes_text(ret_value) == NULL ? GW_RAISE(-ENOMEM) : 0;
}

struct sink_secrets {
    struct gw_bytes bearer, username, password;
};

static void sink_secrets_done(struct sink_secrets *secrets)
{
    gw_secret_done(&secrets->bearer);
    gw_secret_done(&secrets->username);
    gw_secret_done(&secrets->password);
}

static int sink_secrets_read(const struct gwc_watcher_spec *spec, struct sink_secrets *secrets,
                             struct gw_reason *reason)
{
    GW_TRY(secret_read(&spec->bearer, &secrets->bearer, reason));
    GW_TRY(secret_read(&spec->username, &secrets->username, reason));
    GW_TRY(secret_read(&spec->password, &secrets->password, reason));
    return 0;
}

/* The headers that the mode of the event decides. */
static bool header_is_ours(const char *name)
{
    static const char *const ours[] = {"Content-Type", "Content-Length", "Transfer-Encoding"};

    for (size_t i = 0; i < GW_COUNT_OF(ours); i++)
        if (gw_view_is_nocase(gw_view_text(name), ours[i]))
            return true;
    return gw_view_starts_nocase(gw_view_text(name), "ce-");
}

static bool header_name_legal(const char *name)
{
    for (const char *byte = name; *byte != '\0'; byte++)
        if (*byte <= ' ' || *byte >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *byte) != NULL)
            return false;
    return name[0] != '\0';
}

static int header_check(const struct gw_setting_pair *header, struct gw_reason *reason)
{
    if (!header_name_legal(header->name))
        return GW_REFUSE(-EINVAL, reason, "headers: \"%s\" is not the name of a header", header->name);
    if (header_is_ours(header->name))
        return GW_REFUSE(-EINVAL, reason, "headers: %s is set by the mode of the watcher", header->name);
    for (const char *byte = header->value; *byte != '\0'; byte++)
        if (((unsigned char)*byte < 0x20 && *byte != '\t') || *byte == 0x7f)
            return GW_REFUSE(-EINVAL, reason, "headers: the value of %s holds a control character",
                             header->name);
    return 0;
}

static int sink_headers(const struct gwc_watcher_spec *spec, struct gw_arena *arena, const char ***ret_lines,
                        struct gw_reason *reason)
{
    const char **lines = gw_arena_alloc(arena, (spec->headers.count + 1) * sizeof(*lines));

    if (lines == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < spec->headers.count; i++) {
        const struct gw_setting_pair *header = &spec->headers.items[i];

        GW_TRY(header_check(header, reason));
        lines[i] = gw_arena_printf(arena, "%s: %s", header->name, header->value);
        if (lines[i] == NULL)
            return GW_RAISE(-ENOMEM);
    }
    *ret_lines = lines;
    return 0;
}

static const char *text_or_null(struct gw_bytes *bytes)
{
    return bytes->size > 0 ? gw_bytes_text(bytes) : NULL;
}

static int sink_target_add(struct sink_http *sink, struct sink_secrets *secrets, struct gw_reason *reason)
{
    const struct gwc_watcher_spec *spec = sink->spec;
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_freep) struct sink_target *target = calloc(1, sizeof(*target));
    const char **lines = NULL;
    struct gw_http_options options;

    if (target == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(sink_headers(spec, &arena, &lines, reason));
    options = (struct gw_http_options){
        .url = spec->url,
        .headers = lines,
        .timeout_ms = spec->timeout_ns > 0 ? GW_MAX(spec->timeout_ns / GW_NS_PER_MS, 1) : 0,
        .ca_file = spec->ca_file,
        .certificate_file = spec->certificate_file,
        .key_file = spec->key_file,
        .server_name = spec->server_name,
        .insecure = spec->insecure_skip_verify,
        .proxy_of_environment = true,
        .username = text_or_null(&secrets->username),
        .password = text_or_null(&secrets->password),
        .bearer = text_or_null(&secrets->bearer),
    };
    GW_TRY(gw_http_target_open(&target->http, sink->http, &options, reason));
    target->next = sink->targets;
    sink->targets = GW_TAKE(target);
    return 0;
}

static bool secret_changed(struct gw_bytes *before, struct gw_bytes *after)
{
    return !gw_view_equal(gw_bytes_view(before), gw_bytes_view(after));
}

static void secrets_swap(struct gw_bytes *kept, struct gw_bytes *fresh)
{
    struct gw_bytes old = *kept;

    *kept = *fresh;
    *fresh = old;
}

/* Targets of older credentials whose last call has ended. */
static void sink_targets_prune(struct sink_http *sink)
{
    struct sink_target **link = &sink->targets->next;

    while (*link != NULL) {
        struct sink_target *target = *link;

        if (target->in_flight > 0) {
            link = &target->next;
            continue;
        }
        *link = target->next;
        gw_http_target_close(target->http);
        free(target);
    }
}

/* Reads the secrets and, where they differ from those in use, makes a target with them. */
static int sink_secrets_renew(struct sink_http *sink, struct gw_reason *reason)
{
    GW_AUTO(sink_secrets_done) struct sink_secrets fresh = {0};

    GW_TRY(sink_secrets_read(sink->spec, &fresh, reason));
    if (sink->targets != NULL && !secret_changed(&sink->bearer, &fresh.bearer) &&
        !secret_changed(&sink->username, &fresh.username) &&
        !secret_changed(&sink->password, &fresh.password))
        return 0;
    GW_TRY(sink_target_add(sink, &fresh, reason));
    secrets_swap(&sink->bearer, &fresh.bearer);
    secrets_swap(&sink->username, &fresh.username);
    secrets_swap(&sink->password, &fresh.password);
    sink_targets_prune(sink);
    return 0;
}

/* 401 with credentials: true when the next attempt will have others. */
static bool sink_has_fresh_credentials(struct sink_http *sink, const struct sink_target *used)
{
    const struct gwc_watcher_spec *spec = sink->spec;
    int64_t now_ms = gw_clock_monotonic_ms();

    if (!secret_given(&spec->bearer) && !secret_given(&spec->username) && !secret_given(&spec->password))
        return false;
    if (used == sink->targets && now_ms >= sink->secrets_again_ms) {
        sink->secrets_again_ms = now_ms + SINK_SECRETS_WAIT_MS;
        if (sink_secrets_renew(sink, NULL) != 0)
            return false;
    }
    return used != sink->targets;
}

static void sink_http_secret_changed(struct gwc_sink *base, const char *name)
{
    struct sink_http *sink = (struct sink_http *)base;
    const struct gw_setting_secret *used[] = {&sink->spec->bearer, &sink->spec->username,
                                              &sink->spec->password};
    struct gw_reason reason = {""};
    bool ours = false;

    for (size_t i = 0; i < GW_COUNT_OF(used); i++)
        ours = ours || (secret_given(used[i]) && strcmp(used[i]->name, name) == 0);
    if (ours && sink_secrets_renew(sink, &reason) != 0)
        gw_log(GW_LOG_WARN, "the watcher goes on with the credentials it has", "watcher", sink->spec->name,
               "reason", reason.text, NULL);
}

/* ---- calls ---- */

static struct sink_call *call_free(struct sink_call *call)
{
    if (call == NULL)
        return NULL;
    gw_bytes_done(&call->headers);
    gw_bytes_done(&call->body);
    free(call->lines);
    free(call);
    return NULL;
}

static struct sink_call *call_get(struct sink_http *sink)
{
    struct sink_call *call = sink->idle;

    if (call != NULL) {
        sink->idle = call->next;
        sink->idle_count--;
    } else {
        call = calloc(1, sizeof(*call));
        if (call == NULL)
            return NULL;
        call->sink = sink;
    }
    call->previous = NULL;
    call->next = sink->active;
    if (sink->active != NULL)
        sink->active->previous = call;
    sink->active = call;
    return call;
}

static void call_put(struct sink_call *call)
{
    struct sink_http *sink = call->sink;

    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        sink->active = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
    if (sink->idle_count >= SINK_IDLE_MAX) {
        call_free(call);
        return;
    }
    if (call->body.capacity > SINK_BUFFER_KEPT_MAX)
        gw_bytes_done(&call->body);
    gw_bytes_clear(&call->body);
    gw_bytes_clear(&call->headers);
    call->next = sink->idle;
    sink->idle = call;
    sink->idle_count++;
}

static void call_done(void *user, const struct gw_http_answer *http_answer)
{
    struct sink_call *call = user;
    struct sink_http *sink = call->sink;
    struct sink_target *target = call->target;
    void (*done)(void *, const struct gwc_answer *) = call->done;
    void *done_user = call->user;
    char reason[SINK_EXCERPT_MAX + 200];
    struct gwc_answer answer = {
        .verdict = gwc_verdict_of_status(http_answer->status),
        .status = http_answer->status,
        .retry_after_ms = http_answer->retry_after_ms,
        .reason = reason,
        .took_ms = http_answer->took_ms,
    };

    sink_reason(http_answer, reason, sizeof(reason));
    if (answer.status == 401 && sink_has_fresh_credentials(sink, target))
        answer.verdict = GWC_AGAIN;
    call_put(call);
    /* not after done(), which may close the sink */
    target->in_flight--;
    done(done_user, &answer);
}

static int call_lines(struct sink_call *call, size_t count)
{
    const char *line = call->headers.data;

    if (count + 1 > call->lines_max) {
        const char **lines = realloc(call->lines, (count + 1) * sizeof(*lines));

        if (lines == NULL)
            return GW_RAISE(-ENOMEM);
        call->lines = lines;
        call->lines_max = count + 1;
    }
    for (size_t i = 0; i < count; i++) {
        call->lines[i] = line;
        line += strlen(line) + 1;
    }
    call->lines[count] = NULL;
    return 0;
}

static int call_send(struct sink_call *call, struct gw_event *const *events, size_t count)
{
    struct gw_http_request request = {.method = GW_HTTP_POST};
    size_t lines_count;

    GW_TRY(gw_event_encode((const struct gw_event *const *)events, count, call->sink->spec->mode,
                           &call->headers, &lines_count, &call->body, &request.body));
    GW_TRY(call_lines(call, lines_count));
    request.headers = call->lines;
    GW_TRY(gw_http_send(call->target->http, &request, call_done, call, NULL));
    call->target->in_flight++;
    return 0;
}

static int sink_http_send(struct gwc_sink *base, struct gw_event *const *events, size_t count,
                          void (*done)(void *user, const struct gwc_answer *answer), void *user)
{
    struct sink_http *sink = (struct sink_http *)base;
    struct sink_call *call = call_get(sink);
    int fault;

    if (call == NULL)
        return GW_RAISE(-ENOMEM);
    call->target = sink->targets;
    call->done = done;
    call->user = user;
    fault = call_send(call, events, count);
    if (fault != 0)
        call_put(call);
    return fault;
}

/* ---- life ---- */

static struct gwc_sink *sink_http_close(struct gwc_sink *base)
{
    struct sink_http *sink = (struct sink_http *)base;

    if (sink == NULL)
        return NULL;
    while (sink->targets != NULL) {
        struct sink_target *target = sink->targets;

        sink->targets = target->next;
        gw_http_target_close(target->http);
        free(target);
    }
    while (sink->active != NULL) {
        struct sink_call *call = sink->active;

        sink->active = call->next;
        call_free(call);
    }
    while (sink->idle != NULL) {
        struct sink_call *call = sink->idle;

        sink->idle = call->next;
        call_free(call);
    }
    gw_secret_done(&sink->bearer);
    gw_secret_done(&sink->username);
    gw_secret_done(&sink->password);
    free(sink);
    return NULL;
}

int gwc_sink_http_open(struct gwc_sink **ret_sink, struct gw_http *http, const struct gwc_watcher_spec *spec,
                       struct gw_reason *reason)
{
    static const struct gwc_sink_ops ops = {
        .send = sink_http_send, .secret_changed = sink_http_secret_changed, .close = sink_http_close};
    struct sink_http *sink = calloc(1, sizeof(*sink));
    int fault;

    if (sink == NULL)
        return GW_RAISE(-ENOMEM);
    sink->base.ops = &ops;
    sink->http = http;
    sink->spec = spec;
    fault = sink_secrets_renew(sink, reason);
    if (fault != 0) {
        sink_http_close(&sink->base);
        return gw_fault_pass(fault, __FILE__, __LINE__, __func__);
    }
    *ret_sink = &sink->base;
    return 0;
}
