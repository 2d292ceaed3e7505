/* The API client: one request, with the credentials of now, and once more with newer ones after a 401. */
#include "common/kube.h"

#include "common/clock.h"
#include "common/kube_parts.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#define KUBE_ANSWER_MAX ((size_t)64 << 20)

enum { KUBE_CONNECTIONS_MAX = 8, KUBE_HEADERS = 3 };

/* Connections made with the same certificate. A new link takes the place of one on which an answer did not come in time: its
 * HTTP/2 connection may be dead, and would be every later request's. The old one ends with its last call. */
struct kube_link {
    struct gw_http *http;
    struct gw_http_target *target;
    struct kube_link *next;
    size_t calls;
    unsigned generation; /* connection_generation of its credentials */
};

struct gw_kube {
    struct gw_loop *loop;
    struct gw_kube_config config;
    struct kube_auth *auth;
    struct kube_link *link;  /* for new requests; NULL: to be opened */
    struct kube_link *older; /* until their last call has ended */
    struct gw_kube_call *calls;
    struct gw_timer *soon; /* calls that wait for credentials, or failed before they were sent */
    char user_agent[160];
    bool stepping; /* through the calls that wait */
    bool closed;   /* meanwhile: freed when that is through */
};

enum kube_call_state {
    KUBE_CALL_WAITING, /* for credentials */
    KUBE_CALL_FAILED,  /* before it was sent; `words` says why */
    KUBE_CALL_SENT,
    KUBE_CALL_TOLD /* done() runs */
};

struct gw_kube_call {
    struct gw_kube *kube;
    struct gw_kube_call *next, *previous;
    enum kube_call_state state;
    bool due;   /* to be looked at in this step */
    bool again; /* after a 401 */
    struct gw_kube_request request;
    char *path;
    void (*done)(void *user, const struct gw_kube_answer *answer);
    void *user;
    struct kube_link *link;
    struct gw_http_call *http;
    unsigned generation; /* of the credentials it was sent with */
    struct kube_words words;
};

static void call_start(struct gw_kube_call *call);

/* ---- links ---- */

static struct kube_link *link_free(struct kube_link *link)
{
    gw_http_target_close(link->target);
    gw_http_close(link->http);
    free(link);
    return NULL;
}
GW_DEFINE_CLEANUP(struct kube_link *, link_free)

static void link_retire(struct gw_kube *kube)
{
    struct kube_link *link = GW_TAKE(kube->link);

    if (link == NULL)
        return;
    if (link->calls == 0) {
        link_free(link);
        return;
    }
    link->next = kube->older;
    kube->older = link;
}

static void link_release(struct gw_kube *kube, struct kube_link *link)
{
    struct kube_link **at = &kube->older;

    if (--link->calls > 0 || link == kube->link)
        return;
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    link_free(link);
}

static int link_headers(const struct gw_kube *kube, struct gw_arena *arena, const char *const **ret_lines)
{
    const char *const *as = kube->config.as;
    const char **lines;
    size_t count = 0;

    while (as != NULL && as[count] != NULL)
        count++;
    lines = gw_arena_alloc(arena, (count + KUBE_HEADERS) * sizeof(*lines));
    if (lines == NULL)
        return GW_RAISE(-ENOMEM);
    lines[0] = kube->user_agent;
    lines[1] = "Accept: application/json";
    for (size_t i = 0; i < count; i++)
        lines[2 + i] = as[i];
    *ret_lines = lines;
    return 0;
}

static int link_target(struct gw_kube *kube, struct kube_link *link, struct gw_reason *reason)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    const struct gw_kube_config *config = &kube->config;
    const struct kube_credentials *credentials = kube_auth_credentials(kube->auth);
    struct gw_http_options options = {
        .url = config->server,
        .ca_file = config->ca_file,
        .ca_pem = config->ca_pem,
        .certificate_file = config->certificate_file,
        .key_file = config->key_file,
        .certificate_pem = config->certificate_pem,
        .key_pem = config->key_pem,
        .server_name = config->server_name,
        .insecure = config->insecure,
        .username = config->username,
        .password = config->password,
        .proxy = config->proxy,
        .proxy_of_environment = !config->pod,
    };

    if (credentials->certificate.size > 0) {
        options.certificate_file = options.key_file = NULL;
        options.certificate_pem = credentials->certificate;
        options.key_pem = credentials->key;
    }
    GW_TRY(link_headers(kube, &arena, &options.headers));
    link->generation = credentials->connection_generation;
    return gw_http_target_open(&link->target, link->http, &options, reason);
}

/* The link for a new request. */
static int link_take(struct gw_kube *kube, struct gw_reason *reason)
{
    GW_AUTO(link_freep) struct kube_link *link = NULL;

    if (kube->link != NULL &&
        kube->link->generation == kube_auth_credentials(kube->auth)->connection_generation)
        return 0;
    link = calloc(1, sizeof(*link));
    if (link == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_http_open(&link->http, kube->loop, KUBE_CONNECTIONS_MAX));
    GW_TRY(link_target(kube, link, reason));
    link_retire(kube);
    kube->link = GW_TAKE(link);
    return 0;
}

/* ---- calls ---- */

static void call_link(struct gw_kube_call *call)
{
    struct gw_kube *kube = call->kube;

    call->next = kube->calls;
    if (call->next != NULL)
        call->next->previous = call;
    kube->calls = call;
}

static void call_unlink(struct gw_kube_call *call)
{
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        call->kube->calls = call->next;
    if (call->next != NULL)
        call->next->previous = call->previous;
}

static struct gw_kube_call *call_free(struct gw_kube_call *call)
{
    free(call->path);
    free(call);
    return NULL;
}
GW_DEFINE_CLEANUP(struct gw_kube_call *, call_free)

/* The client may be closed by this; the call is no longer in its list. */
static void call_tell(struct gw_kube_call *call, const struct gw_kube_answer *answer)
{
    call_unlink(call);
    call->state = KUBE_CALL_TOLD;
    call->done(call->user, answer);
    call_free(call);
}

static void call_fail(struct gw_kube_call *call, int fault, const struct gw_reason *reason)
{
    snprintf(call->words.message, sizeof(call->words.message), "%s",
             reason->text[0] != '\0' ? reason->text : strerrordesc_np(-fault));
    call->state = KUBE_CALL_FAILED;
    gw_timer_start(call->kube->soon, 0);
}

static void on_chunk(void *user, struct gw_view bytes)
{
    struct gw_kube_call *call = user;

    call->request.chunk(call->user, bytes);
}

static void on_done(void *user, const struct gw_http_answer *http)
{
    struct gw_kube_call *call = user;
    struct gw_kube *kube = call->kube;
    struct kube_link *link = GW_TAKE(call->link);
    struct gw_kube_answer answer;

    /* Kubernetes answers 401 and closes the connection behind it: a request that follows there at once would be lost. */
    if ((http->failure == GW_HTTP_TIMED_OUT || http->status == 401) && link == kube->link)
        link_retire(kube);
    if (http->status == 401 && !call->again && kube_auth_rejected(kube->auth, call->generation)) {
        call->again = true;
        link_release(kube, link);
        call_start(call);
        return;
    }
    kube_answer_fill(&answer, &call->words, http, &kube->config);
    link_release(kube, link);
    call_tell(call, &answer);
}

static const char *content_type(const struct gw_kube_request *request)
{
    if (request->verb == GW_KUBE_MERGE_PATCH)
        return "Content-Type: application/merge-patch+json";
    if (request->verb == GW_KUBE_APPLY)
        return "Content-Type: application/apply-patch+yaml";
    return request->body.size > 0 ? "Content-Type: application/json" : NULL;
}

static int call_send(struct gw_kube_call *call)
{
    static const enum gw_http_method methods[] = {
        [GW_KUBE_GET] = GW_HTTP_GET,     [GW_KUBE_CREATE] = GW_HTTP_POST,
        [GW_KUBE_UPDATE] = GW_HTTP_PUT,  [GW_KUBE_MERGE_PATCH] = GW_HTTP_PATCH,
        [GW_KUBE_APPLY] = GW_HTTP_PATCH, [GW_KUBE_DELETE] = GW_HTTP_DELETE,
    };
    const struct kube_credentials *credentials = kube_auth_credentials(call->kube->auth);
    const char *headers[KUBE_HEADERS] = {NULL};
    const char *type = content_type(&call->request);
    size_t count = 0;
    const struct gw_http_request request = {
        .method = methods[call->request.verb],
        .path = call->path,
        .headers = headers,
        .body = call->request.body,
        .timeout_ms = call->request.timeout_ms,
        .idle_ms = call->request.idle_ms,
        .answer_max = call->request.answer_max > 0 ? call->request.answer_max : KUBE_ANSWER_MAX,
        .chunk = call->request.chunk != NULL ? on_chunk : NULL,
    };

    if (type != NULL)
        headers[count++] = type;
    if (credentials->header != NULL)
        headers[count++] = credentials->header;
    call->generation = credentials->generation;
    GW_TRY(gw_http_send(call->kube->link->target, &request, on_done, call, &call->http));
    call->link = call->kube->link;
    call->link->calls++;
    return 0;
}

/* Sends it, has it wait for credentials, or fails it: told on the loop's next turn, for we may be within gw_kube_send(). */
static void call_start(struct gw_kube_call *call)
{
    struct gw_reason reason = {""};
    int result = kube_auth_get(call->kube->auth, &reason);

    if (result == KUBE_AUTH_WAITS) {
        call->state = KUBE_CALL_WAITING;
        return;
    }
    if (result == 0)
        result = link_take(call->kube, &reason);
    if (result == 0)
        result = call_send(call);
    if (result == 0)
        call->state = KUBE_CALL_SENT;
    else
        call_fail(call, result, &reason);
}

int gw_kube_send(struct gw_kube *kube, const struct gw_kube_request *request,
                 void (*done)(void *user, const struct gw_kube_answer *answer), void *user,
                 struct gw_kube_call **ret_call)
{
    GW_AUTO(call_freep) struct gw_kube_call *call = calloc(1, sizeof(*call));

    if (call == NULL)
        return GW_RAISE(-ENOMEM);
    call->kube = kube;
    call->request = *request;
    call->path = strdup(request->path);
    if (call->path == NULL)
        return GW_RAISE(-ENOMEM);
    call->done = done;
    call->user = user;
    call_link(call);
    call_start(call);
    if (ret_call != NULL)
        *ret_call = call;
    (void)GW_TAKE(call);
    return 0;
}

void gw_kube_cancel(struct gw_kube_call *call)
{
    if (call == NULL || call->state == KUBE_CALL_TOLD)
        return;
    if (call->state == KUBE_CALL_SENT) {
        gw_http_cancel(call->http);
        link_release(call->kube, call->link);
    }
    call_unlink(call);
    call_free(call);
}

/* ---- calls that wait ---- */

static void call_step(struct gw_kube_call *call)
{
    const struct gw_kube_answer answer = {.reason = "", .message = call->words.message, .retry_after_ms = -1};

    call->due = false;
    if (call->state == KUBE_CALL_FAILED)
        call_tell(call, &answer);
    else
        call_start(call);
}

static struct gw_kube_call *find_due(struct gw_kube *kube)
{
    struct gw_kube_call *call = kube->calls;

    while (call != NULL && !call->due)
        call = call->next;
    return call;
}

/* Those that wait now, each once: done() may send more of them. */
static void on_soon(void *user)
{
    struct gw_kube *kube = user;
    struct gw_kube_call *call;

    for (call = kube->calls; call != NULL; call = call->next)
        call->due = call->state == KUBE_CALL_WAITING || call->state == KUBE_CALL_FAILED;
    kube->stepping = true;
    while (!kube->closed && (call = find_due(kube)) != NULL)
        call_step(call);
    kube->stepping = false;
    if (kube->closed)
        free(kube);
}

static void on_settled(void *user)
{
    struct gw_kube *kube = user;

    gw_timer_start(kube->soon, 0);
}

/* ---- life ---- */

static void user_agent_fill(struct gw_kube *kube, const char *component)
{
    static const char *const names[][2] = {{"x86_64", "amd64"}, {"aarch64", "arm64"}, {"armv7l", "arm"}};
    struct utsname system = {.machine = "unknown"};
    const char *machine = system.machine;

    (void)uname(&system);
    for (size_t i = 0; i < GW_COUNT_OF(names); i++)
        if (strcmp(names[i][0], machine) == 0)
            machine = names[i][1];
    snprintf(kube->user_agent, sizeof(kube->user_agent), "User-Agent: %s/%s (linux/%s) sluice", component,
             GW_VERSION, machine);
}

int kube_open(struct gw_kube **ret_kube, struct gw_loop *loop, struct gw_kube_config *config,
              const char *component, struct gw_reason *reason)
{
    GW_AUTO(gw_kube_closep) struct gw_kube *kube = calloc(1, sizeof(*kube));
    struct gw_reason words = {""};
    int fault;

    if (kube == NULL) {
        gw_kube_config_done(config);
        return GW_RAISE(-ENOMEM);
    }
    kube->loop = loop;
    kube->config = *config;
    *config = (struct gw_kube_config){0};
    user_agent_fill(kube, component);
    GW_TRY(gw_timer_open(&kube->soon, loop, on_soon, kube));
    GW_TRY(kube_auth_open(&kube->auth, loop, &kube->config, on_settled, kube));
    fault = link_take(kube, &words); /* finds what is wrong with the URL */
    if (fault < 0)
        return GW_REFUSE(fault, reason, "%s: %s", kube->config.origin,
                         words.text[0] != '\0' ? words.text : strerrordesc_np(-fault));
    *ret_kube = GW_TAKE(kube);
    return 0;
}

int gw_kube_open(struct gw_kube **ret_kube, struct gw_loop *loop, const struct gw_kube_options *options,
                 struct gw_reason *reason)
{
    struct gw_kube_config config;

    GW_TRY(gw_kube_config_read(&config, options->kubeconfig, options->context, reason));
    return kube_open(ret_kube, loop, &config, options->component, reason);
}

struct gw_kube *gw_kube_close(struct gw_kube *kube)
{
    if (kube == NULL)
        return NULL;
    while (kube->calls != NULL)
        gw_kube_cancel(kube->calls);
    link_retire(kube);
    kube->auth = kube_auth_close(kube->auth);
    kube->soon = gw_timer_close(kube->soon);
    gw_kube_config_done(&kube->config);
    kube->closed = true;
    if (!kube->stepping)
        free(kube);
    return NULL;
}

const char *gw_kube_namespace(const struct gw_kube *kube)
{
    return kube->config.namespace_;
}

const char *gw_kube_server(const struct gw_kube *kube)
{
    return kube->config.server;
}

struct gw_loop *gw_kube_loop(const struct gw_kube *kube)
{
    return kube->loop;
}

/* ---- texts ---- */

void gw_kube_quote(struct gw_bytes *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~", *text) != NULL)
            gw_bytes_append_char(out, *text);
        else
            gw_bytes_printf(out, "%%%02X", (unsigned char)*text);
    }
}

void gw_kube_time(struct gw_bytes *out, int64_t realtime_ns)
{
    char buffer[GW_TIME_MAX];

    gw_bytes_append_text(out, gw_time_format(buffer, realtime_ns, 6));
}
