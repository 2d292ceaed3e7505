/* gateway-server-webhook: HTTP requests from the world become events. */
#include "gateway-servers/sdk/hook.h"
#include "gateway-servers/webhook/intake.h"

struct webhook {
    struct gws_source *source;
    const struct webhook_config *config;
    struct webhook_auth *auth;
    struct webhook_intake *intake;
    struct gws_hook *hook;
    struct gw_bytes reply_type; /* the header line */
    const char *reply_headers[2];
};

static int webhook_open(struct gws_server *server, void **ret_data, struct gw_reason *reason)
{
    struct gws_hooks *hooks = NULL;

    (void)reason;
    GW_TRY(gws_hooks_open(&hooks, gws_server_loop(server), GWS_HOOK_LINGER_MS, GWS_HOOK_SETTLE_MS,
                          gws_server_metrics(server)));
    *ret_data = hooks;
    return 0;
}

static void webhook_close(struct gws_server *server, void *data)
{
    (void)server;
    gws_hooks_close(data);
}

static struct gws_hook_options webhook_hook_options(const struct webhook_config *config)
{
    return (struct gws_hook_options){
        .endpoint = config->endpoint,
        .methods = webhook_config_methods(config),
        .address = webhook_config_text(config->address),
        .port = (uint16_t)config->port,
        .certificate_file = webhook_config_text(config->certificate_file),
        .key_file = webhook_config_text(config->key_file),
        .idle_timeout_ms = config->timeout_ns / GW_NS_PER_MS,
        .acknowledge_wait_ms = config->acknowledge_ns / GW_NS_PER_MS,
        .body_max = (int64_t)config->size_max,
        .reply_status = (int)config->response.status,
        .reply_body = gw_view_text(config->response.body),
    };
}

static void webhook_validate(struct gws_server *server, const struct gws_identity *identity,
                             const void *config, struct gw_problems *problems)
{
    struct gws_hook_options options = webhook_hook_options(config);

    webhook_config_check(config, problems);
    gws_hook_check(gws_server_data(server), identity, &options, problems);
}

/* ---- requests ---- */

static const char *http_header(const void *request, const char *name)
{
    return gw_request_header(request, name);
}

static void http_headers(const void *request, void (*each)(void *user, const char *name, const char *value),
                         void *user)
{
    gw_request_headers(request, each, user);
}

static struct gw_event_source_http http_of(const struct gw_request *request)
{
    return (struct gw_event_source_http){
        .header = http_header,
        .headers = http_headers,
        .request = request,
        .body = gw_request_body(request),
    };
}

static void call_refuse(const struct webhook *webhook, struct gws_call *call, int verdict)
{
    const char *const challenge[] = {webhook_auth_challenge(webhook->auth), NULL};

    if (verdict == WEBHOOK_AUTH_UNKNOWN)
        gws_call_problem(call, 401, challenge, "credentials are missing or wrong");
    else if (verdict == WEBHOOK_AUTH_FORBIDDEN)
        gws_call_problem(call, 403, NULL, "the signature is wrong or too old");
    else
        gws_call_problem(call, 503, NULL, "the credentials cannot be checked now");
}

static bool request_type_taken(const struct webhook_config *config, const struct gw_request *request)
{
    const char *type = gw_request_header(request, "Content-Type");
    const char *length = gw_request_header(request, "Content-Length");

    if (config->content_types.count == 0)
        return true;
    if (type != NULL)
        return webhook_config_takes(config, gw_view_text(type));
    /* without a body there is nothing to have a type */
    return gw_request_header(request, "Transfer-Encoding") == NULL &&
           (length == NULL || strcmp(length, "0") == 0);
}

static bool on_head(void *user, struct gws_call *call)
{
    struct webhook *webhook = user;
    const struct gw_request *request = gws_call_request(call);
    /* no body yet: what judges a body waits for it */
    struct gw_event_source_http http = {.header = http_header, .headers = http_headers, .request = request};
    int verdict = webhook_auth_head(webhook->auth, &http);

    if (verdict != 0) {
        call_refuse(webhook, call, verdict);
        return false;
    }
    if (!request_type_taken(webhook->config, request)) {
        gws_call_problem(call, 415, NULL, "this content type is not taken here");
        return false;
    }
    return true;
}

struct emission {
    struct gws_source *source;
    uint64_t last;
};

static int on_event(void *user, const struct gws_event *event)
{
    struct emission *emission = user;

    return gws_source_emit(emission->source, event, &emission->last);
}

static void on_body(void *user, struct gws_call *call)
{
    struct webhook *webhook = user;
    struct gw_request *request = gws_call_request(call);
    struct webhook_request parts = {
        .http = http_of(request),
        .method = gw_request_method(request),
        .path = gw_request_path(request),
        .query = gw_request_query(request),
        .route = gws_call_route(call),
    };
    struct emission emission = {.source = webhook->source};
    struct gw_reason reason = {""};
    int verdict = webhook_auth_body(webhook->auth, &parts.http);

    if (verdict != 0) {
        call_refuse(webhook, call, verdict);
        return;
    }
    verdict = webhook_intake_take(webhook->intake, &parts, on_event, &emission, &reason);
    if (verdict == WEBHOOK_INTAKE_BAD)
        gws_call_problem(call, 400, NULL, "%s", reason.text);
    else if (verdict == WEBHOOK_INTAKE_FORMAT)
        gws_call_problem(call, 415, NULL, "%s", reason.text);
    else if (verdict == -EMSGSIZE)
        gws_call_problem(call, 413, NULL, "the event is too large");
    else if (verdict != 0)
        gws_call_problem(call, 503, (const char *const[]){"Retry-After: 5", NULL},
                         "the event could not be taken; send it again");
    else if (emission.last == 0)
        gws_call_accept(call); /* an empty batch */
    else
        gws_call_await(call, emission.last);
}

/* ---- the life of a source ---- */

static int webhook_prepare_reply(struct webhook *webhook, struct gws_hook_options *options)
{
    if (options->reply_body.size == 0)
        return 0;
    gw_bytes_printf(&webhook->reply_type, "Content-Type: %s", webhook->config->response.content_type);
    webhook->reply_headers[0] = gw_bytes_text(&webhook->reply_type);
    options->reply_headers = webhook->reply_headers;
    return webhook->reply_headers[0] == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int webhook_begin(struct webhook *webhook, struct gw_reason *reason)
{
    static const struct gws_hook_handlers handlers = {on_head, on_body};
    struct gws_hook_options options = webhook_hook_options(webhook->config);
    struct gws_hooks *hooks = gws_server_data(gws_source_server(webhook->source));

    GW_TRY(webhook_auth_open(&webhook->auth, &webhook->config->auth, reason));
    GW_TRY(webhook_intake_open(&webhook->intake, webhook->config, webhook->auth));
    GW_TRY(webhook_prepare_reply(webhook, &options));
    return gws_hook_open(&webhook->hook, hooks, gws_source_identity(webhook->source), &options, &handlers,
                         webhook, reason);
}

static void webhook_end(struct webhook *webhook)
{
    webhook->hook = gws_source_withdrawn(webhook->source) ? gws_hook_withdraw(webhook->hook)
                                                          : gws_hook_close(webhook->hook);
    webhook->intake = webhook_intake_close(webhook->intake);
    webhook->auth = webhook_auth_close(webhook->auth);
    gw_bytes_done(&webhook->reply_type);
}

static int webhook_start(struct gws_source *source, const void *config, void *state, struct gw_view position,
                         struct gw_reason *reason)
{
    struct webhook *webhook = state;
    int fault = 0;

    (void)position; /* a request that was not stored is the sender's to send again */
    webhook->source = source;
    webhook->config = config;
    fault = webhook_begin(webhook, reason);
    if (fault != 0) {
        webhook_end(webhook);
        return fault;
    }
    gws_source_started(source);
    return 0;
}

static void webhook_pause(struct gws_source *source, void *state)
{
    (void)source;
    gws_hook_set_paused(((struct webhook *)state)->hook, true);
}

static void webhook_resume(struct gws_source *source, void *state)
{
    (void)source;
    gws_hook_set_paused(((struct webhook *)state)->hook, false);
}

static void webhook_acknowledged(struct gws_source *source, void *state, uint64_t sequence)
{
    (void)source;
    gws_hook_acknowledged(((struct webhook *)state)->hook, sequence);
}

static void webhook_stop(struct gws_source *source, void *state)
{
    (void)source;
    webhook_end(state);
}

static const struct gws_module webhook_module = {
    .type = "webhook",
    .summary = "HTTP requests become events; answered when the event is stored",
    .event_type = "sluice.webhook.request",
    .settings = webhook_settings,
    .config_size = sizeof(struct webhook_config),
    .state_size = sizeof(struct webhook),
    .open = webhook_open,
    .close = webhook_close,
    .validate = webhook_validate,
    .start = webhook_start,
    .pause = webhook_pause,
    .resume = webhook_resume,
    .acknowledged = webhook_acknowledged,
    .stop = webhook_stop,
};
GWS_MAIN(webhook_module)
