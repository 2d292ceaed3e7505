/* webhook: settings, auth, payloads, events. */
#include "common/yaml.h"
#include "gateway-servers/webhook/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- requests without a network ---- */

struct fake {
    const char *headers[32]; /* name, value, …, NULL */
};

static const char *fake_header(const void *request, const char *name)
{
    const struct fake *fake = request;

    for (size_t i = 0; fake->headers[i] != NULL; i += 2)
        if (strcasecmp(fake->headers[i], name) == 0)
            return fake->headers[i + 1];
    return NULL;
}

static void fake_headers(const void *request, void (*each)(void *user, const char *name, const char *value),
                         void *user)
{
    const struct fake *fake = request;

    for (size_t i = 0; fake->headers[i] != NULL; i += 2)
        each(user, fake->headers[i], fake->headers[i + 1]);
}

static struct gw_event_source_http fake_http(const struct fake *fake, const char *body)
{
    return (struct gw_event_source_http){fake_header, fake_headers, fake, gw_view_text(body)};
}

/* ---- settings ---- */

struct loaded {
    struct gw_arena arena;
    struct gw_problems problems;
    struct webhook_config config;
};

static void load(struct loaded *loaded, const char *yaml)
{
    const struct gw_node *root = NULL;

    *loaded = (struct loaded){0};
    assert_int_equal(gw_yaml_read(&loaded->arena, gw_view_text(yaml), &root, &loaded->problems), 0);
    assert_int_equal(gw_settings_load(webhook_settings, root, "", &loaded->config, sizeof(loaded->config),
                                      &loaded->arena, &loaded->problems),
                     0);
    if (!gw_problems_any(&loaded->problems))
        webhook_config_check(&loaded->config, &loaded->problems);
}

static void loaded_done(struct loaded *loaded)
{
    gw_problems_done(&loaded->problems);
    gw_arena_done(&loaded->arena);
}

static void load_good(struct loaded *loaded, const char *yaml)
{
    load(loaded, yaml);
    if (gw_problems_any(&loaded->problems))
        fail_msg("%s: %s", loaded->problems.items[0].path, loaded->problems.items[0].message);
}

static void assert_problem(const char *yaml, const char *path, const char *word)
{
    GW_AUTO(loaded_done) struct loaded loaded;

    load(&loaded, yaml);
    if (loaded.problems.count != 1)
        fail_msg("%zu problems in %s", loaded.problems.count, yaml);
    assert_string_equal(loaded.problems.items[0].path, path);
    if (strstr(loaded.problems.items[0].message, word) == NULL)
        fail_msg("no \"%s\" in: %s", word, loaded.problems.items[0].message);
}

static void configurations_of_argo_are_understood(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    char text[256];
    (void)state;

    snprintf(text, sizeof(text),
             "port: \"12012\"\nendpoint: /orders/new\nmethod: POST\nserverCertPath: %s\nserverKeyPath: %s\n",
             __FILE__, __FILE__);
    if (access(__FILE__, R_OK) == 0) {
        load_good(&loaded, text);
        assert_int_equal(loaded.config.port, 12012);
        assert_string_equal(loaded.config.endpoint, "/orders/new");
        assert_string_equal(loaded.config.certificate_file, __FILE__);
        loaded_done(&loaded);
    }
    load_good(&loaded, "{port: '12000', endpoint: example, method: DELETE, url: 'https://hooks.example', "
                       "serverCertPath: '', serverKeyPath: ''}");
    assert_int_equal(webhook_config_methods(&loaded.config), gws_method_bit("DELETE"));
    assert_null(webhook_config_text(loaded.config.certificate_file));
    loaded_done(&loaded);
    for (size_t i = 0; gws_method_names[i] != NULL; i++) {
        snprintf(text, sizeof(text), "{Endpoint: /x, PORT: 1, method: %s}", gws_method_names[i]);
        load_good(&loaded, text);
        assert_int_equal(webhook_config_methods(&loaded.config), 1U << i);
        loaded_done(&loaded);
    }
    load_good(&loaded, "{endpoint: /x, port: 80}");
}

static void defaults_are_those_of_the_documentation(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    (void)state;

    load_good(&loaded, "{endpoint: /x, port: 80}");
    assert_int_equal(webhook_config_methods(&loaded.config), gws_method_bit("POST"));
    assert_false(webhook_config_envelope(&loaded.config));
    assert_int_equal(loaded.config.size_max, 1 << 20);
    assert_int_equal(loaded.config.timeout_ns, 30 * GW_NS_PER_S);
    assert_int_equal(loaded.config.acknowledge_ns, 10 * GW_NS_PER_S);
    assert_int_equal(loaded.config.response.status, 200);
    assert_string_equal(loaded.config.response.body, "");
    assert_null(loaded.config.address);
    assert_int_equal(loaded.config.content_types.count, 0);
}

static void every_wrong_setting_is_named(void **state)
{
    (void)state;

    assert_problem("{port: 80}", "endpoint", "");
    assert_problem("{endpoint: /x}", "port", "");
    assert_problem("{endpoint: /x, port: 0}", "port", "range");
    assert_problem("{endpoint: /x, port: 65536}", "port", "range");
    assert_problem("{endpoint: /x, port: web}", "port", "whole number");
    assert_problem("{endpoint: /x, port: 80, method: post}", "method", "POST");
    assert_problem("{endpoint: /x, port: 80, methd: POST}", "methd", "method");
    assert_problem("{endpoint: /x, port: 80, method: []}", "method", "empty");
    assert_problem("{endpoint: /x, port: 80, payload: json}", "payload", "raw");
    assert_problem("{endpoint: /x, port: 80, serverCertPath: /dev/null}", "serverKeyPath", "missing");
    assert_problem("{endpoint: /x, port: 80, serverCertPath: /nonexistent, serverKeyPath: /dev/null}",
                   "serverCertPath", "No such file");
    assert_problem("{endpoint: /x, port: 80, maxPayloadSize: 5Mi}", "maxPayloadSize", "range");
    assert_problem("{endpoint: /x, port: 80, timeout: 10}", "timeout", "unit");
    assert_problem("{endpoint: /x, port: 80, contentTypes: [json]}", "contentTypes", "media type");
    assert_problem("{endpoint: /x, port: 80, response: {status: 302}}", "response.status", "range");
    assert_problem("{endpoint: /x, port: 80, response: {status: 204, body: x}}", "response.body", "no body");
    assert_problem("{endpoint: /x, port: 80, extensions: {Tenant: 'query:t'}}", "extensions.Tenant",
                   "a to z");
    assert_problem("{endpoint: /x, port: 80, extensions: {source: 'query:t'}}", "extensions.source",
                   "CloudEvents");
    assert_problem("{endpoint: /x, port: 80, extensions: {tenant: 'cookie:t'}}", "extensions.tenant",
                   "header:");
    assert_problem("{endpoint: /x, port: 80, extensions: {tenant: 'header:Cookie'}}", "extensions.tenant",
                   "credentials");
    assert_problem("{endpoint: '/{a}', port: 80, extensions: {tenant: 'path:b'}}", "extensions.tenant",
                   "{b}");
    assert_problem("{endpoint: /x, port: 80, auth: {}}", "auth", "none of");
    assert_problem("{endpoint: /x, port: 80, auth: {bearer: {name: a}}}", "auth.bearer.key", "");
    assert_problem(
        "{endpoint: /x, port: 80, auth: {bearer: {name: a, key: b}, hmac: {secret: {name: a, key: b}}}}",
        "auth", "more than one");
    assert_problem("{endpoint: /x, port: 80, auth: {basic: {username: {name: a, key: b}}}}",
                   "auth.basic.password", "");
    assert_problem("{endpoint: /x, port: 80, auth: {header: {name: 'X Y', value: {name: a, key: b}}}}",
                   "auth.header.name", "header");
    assert_problem("{endpoint: /x, port: 80, auth: {hmac: {secret: {name: a, key: b}, algorithm: md5}}}",
                   "auth.hmac.algorithm", "sha256");
    assert_problem(
        "{endpoint: /x, port: 80, auth: {hmac: {secret: {name: a, key: b}, payload: '{body}{timestamp}'}}}",
        "auth.hmac.payload", "timestampHeader");
}

static void content_types_match_without_parameters_and_by_family(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    (void)state;

    load_good(&loaded, "{endpoint: /x, port: 80, contentTypes: [application/json, image/*]}");
    assert_true(webhook_config_takes(&loaded.config, gw_view_text("application/json")));
    assert_true(webhook_config_takes(&loaded.config, gw_view_text("Application/JSON ; charset=utf-8")));
    assert_true(webhook_config_takes(&loaded.config, gw_view_text("image/png")));
    assert_false(webhook_config_takes(&loaded.config, gw_view_text("image/")));
    assert_false(webhook_config_takes(&loaded.config, gw_view_text("application/jsonp")));
    assert_false(webhook_config_takes(&loaded.config, gw_view_text("text/plain")));
    assert_false(webhook_config_takes(&loaded.config, gw_view_text("")));
}

/* ---- auth ---- */

static int judge(struct webhook_auth *auth, const struct fake *fake, const char *body)
{
    struct gw_event_source_http http = fake_http(fake, body);
    int verdict = webhook_auth_head(auth, &http);

    return verdict != 0 ? verdict : webhook_auth_body(auth, &http);
}

static struct webhook_auth *auth_of(struct loaded *loaded, const char *yaml)
{
    struct webhook_auth *auth = NULL;
    struct gw_reason reason = {""};
    char text[512];

    snprintf(text, sizeof(text), "{endpoint: /x, port: 80, auth: {%s}}", yaml);
    load_good(loaded, text);
    if (webhook_auth_open(&auth, &loaded->config.auth, &reason) != 0)
        fail_msg("%s", reason.text);
    return auth;
}

static void bearer_tokens_are_compared_whole(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = NULL;
    (void)state;

    setenv("hook_token", "s3cret", 1);
    auth = auth_of(&loaded, "bearer: {name: hook, key: token}");
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Bearer s3cret"}}, ""), 0);
    assert_int_equal(judge(auth, &(struct fake){{"authorization", "bearer  s3cret "}}, ""), 0);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Bearer s3cre"}}, ""),
                     WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Bearer s3cret1"}}, ""),
                     WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Bearer"}}, ""), WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Bearers3cret"}}, ""),
                     WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Basic s3cret"}}, ""),
                     WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{NULL}}, ""), WEBHOOK_AUTH_UNKNOWN);
    assert_true(webhook_auth_hides(auth, "authorization"));
    assert_true(webhook_auth_hides(auth, "COOKIE"));
    assert_false(webhook_auth_hides(auth, "X-Token"));
}

static void basic_needs_name_and_password(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = NULL;
    (void)state;

    setenv("hook_user", "ann", 1);
    setenv("hook_password", "a:b", 1);
    auth =
        auth_of(&loaded, "basic: {username: {name: hook, key: user}, password: {name: hook, key: password}}");
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Basic YW5uOmE6Yg=="}}, ""), 0);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Basic YW5uOmE6Yw=="}}, ""),
                     WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Basic Ym9iOmE6Yg=="}}, ""),
                     WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Basic YW5u"}}, ""), WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{"Authorization", "Basic !!"}}, ""), WEBHOOK_AUTH_UNKNOWN);
    assert_non_null(strstr(webhook_auth_challenge(auth), "Basic realm="));
}

static void a_header_of_its_own_carries_a_token(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = NULL;
    (void)state;

    setenv("hook_token", "s3cret", 1);
    auth = auth_of(&loaded, "header: {name: X-Gitlab-Token, value: {name: hook, key: token}}");
    assert_int_equal(judge(auth, &(struct fake){{"x-gitlab-token", "s3cret"}}, ""), 0);
    assert_int_equal(judge(auth, &(struct fake){{"X-Gitlab-Token", "other"}}, ""), WEBHOOK_AUTH_UNKNOWN);
    assert_int_equal(judge(auth, &(struct fake){{NULL}}, ""), WEBHOOK_AUTH_UNKNOWN);
    assert_true(webhook_auth_hides(auth, "X-GITLAB-TOKEN"));
}

/* The example of GitHub's documentation. */
static void a_signature_in_the_style_of_github_covers_the_body(void **state)
{
    static const char signature[] = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = NULL;
    struct fake fake = {{"X-Hub-Signature-256", signature}};
    (void)state;

    setenv("gh_hmac", "It's a Secret to Everybody", 1);
    auth = auth_of(&loaded, "hmac: {secret: {name: gh, key: hmac}}");
    for (int i = 0; i < 3; i++)
        assert_int_equal(judge(auth, &fake, "Hello, World!"), 0);
    assert_int_equal(judge(auth, &fake, "Hello, World"), WEBHOOK_AUTH_FORBIDDEN);
    assert_int_equal(judge(auth, &fake, ""), WEBHOOK_AUTH_FORBIDDEN);
    fake.headers[1] = signature + 7;
    assert_int_equal(judge(auth, &fake, "Hello, World!"), WEBHOOK_AUTH_FORBIDDEN);
    fake.headers[1] = "sha256=75";
    assert_int_equal(judge(auth, &fake, "Hello, World!"), WEBHOOK_AUTH_FORBIDDEN);
    fake.headers[1] = "sha256=";
    assert_int_equal(judge(auth, &fake, "Hello, World!"), WEBHOOK_AUTH_FORBIDDEN);
    fake.headers[0] = NULL;
    assert_int_equal(judge(auth, &fake, "Hello, World!"), WEBHOOK_AUTH_UNKNOWN);
}

static void a_signature_may_cover_a_time(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(loaded_done) struct loaded strict;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = NULL;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth_strict = NULL;
    /* printf 'v0:1700000000:{"a":1}' | openssl dgst -sha1 -hmac key -binary | base64 */
    struct fake fake = {{"X-Sign", "v0=qXS539fEV5KzGtzmELDOwNPrYbw=", "X-Time", "1700000000"}};
    (void)state;

    setenv("s_key", "key", 1);
    auth =
        auth_of(&loaded, "hmac: {secret: {name: s, key: key}, header: X-Sign, prefix: v0=, algorithm: sha1, "
                         "encoding: base64, timestampHeader: X-Time, tolerance: 876000h, "
                         "payload: 'v0:{timestamp}:{body}'}");
    assert_int_equal(judge(auth, &fake, "{\"a\":1}"), 0);
    assert_int_equal(judge(auth, &fake, "{\"a\":2}"), WEBHOOK_AUTH_FORBIDDEN);
    fake.headers[3] = "1700000001";
    assert_int_equal(judge(auth, &fake, "{\"a\":1}"), WEBHOOK_AUTH_FORBIDDEN);
    fake.headers[3] = "soon";
    assert_int_equal(judge(auth, &fake, "{\"a\":1}"), WEBHOOK_AUTH_FORBIDDEN);
    auth_strict =
        auth_of(&strict, "hmac: {secret: {name: s, key: key}, header: X-Sign, prefix: v0=, algorithm: sha1, "
                         "encoding: base64, timestampHeader: X-Time, payload: 'v0:{timestamp}:{body}'}");
    fake.headers[3] = "1700000000";
    assert_int_equal(judge(auth_strict, &fake, "{\"a\":1}"), WEBHOOK_AUTH_FORBIDDEN);
}

static void a_secret_that_is_missing_is_named(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    struct webhook_auth *auth = NULL;
    struct gw_reason reason = {""};
    (void)state;

    load_good(&loaded, "{endpoint: /x, port: 80, auth: {bearer: {name: nobody, key: nothing}}}");
    assert_true(webhook_auth_open(&auth, &loaded.config.auth, &reason) < 0);
    assert_non_null(strstr(reason.text, "nobody"));
    assert_null(auth);
}

static void a_rotated_secret_counts_soon(void **state)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = NULL;
    struct fake fake = {{"Authorization", "Bearer new"}};
    int64_t deadline_ns = gw_clock_monotonic_ns() + 10 * GW_NS_PER_S;
    (void)state;

    setenv("rotating_token", "old", 1);
    auth = auth_of(&loaded, "bearer: {name: rotating, key: token}");
    assert_int_equal(judge(auth, &fake, ""), WEBHOOK_AUTH_UNKNOWN);
    setenv("rotating_token", "new", 1);
    while (judge(auth, &fake, "") != 0) {
        assert_true(gw_clock_monotonic_ns() < deadline_ns);
        usleep(20000);
    }
    unsetenv("rotating_token"); /* gone: the last one counts on */
    usleep((WEBHOOK_SECRET_AGE_MS + 100) * 1000);
    assert_int_equal(judge(auth, &fake, ""), 0);
}

/* ---- events ---- */

static struct gws_path *path_of(const char *endpoint)
{
    struct gws_path *path = NULL;
    struct gw_reason reason = {""};

    assert_int_equal(gws_path_new(&path, endpoint, &reason), 0);
    return path;
}

struct taken {
    int count;
    int result;
    char text[4096]; /* id|time|type|subject|content type|source|key|extensions…|data */
};

static int take_event(void *user, const struct gws_event *event)
{
    struct taken *taken = user;
    size_t size = strlen(taken->text);

    taken->count++;
    size +=
        (size_t)snprintf(taken->text + size, sizeof(taken->text) - size, "%.*s|%d|%.*s|%.*s|%.*s|%.*s|%.*s|",
                         (int)event->id.size, event->id.data, (int)(event->time_ns / GW_NS_PER_S),
                         (int)event->type.size, event->type.data, (int)event->subject.size,
                         event->subject.data, (int)event->data_content_type.size,
                         event->data_content_type.data, (int)event->source.size, event->source.data,
                         (int)event->partition_key.size, event->partition_key.data);
    for (size_t i = 0; i < event->extensions_count; i++)
        size += (size_t)snprintf(taken->text + size, sizeof(taken->text) - size, "%.*s=%.*s|",
                                 (int)event->extensions[i].name.size, event->extensions[i].name.data,
                                 (int)event->extensions[i].value.size, event->extensions[i].value.data);
    snprintf(taken->text + size, sizeof(taken->text) - size, "%.*s\n", (int)event->data.size,
             event->data.data);
    return taken->result;
}

/* `target` is a path with its query; `more` are settings beside endpoint and port. */
static int take_body(struct taken *taken, const char *endpoint, const char *more, const char *target,
                     const struct fake *fake, struct gw_view body, struct gw_reason *reason)
{
    GW_AUTO(loaded_done) struct loaded loaded;
    GW_AUTO(webhook_auth_closep) struct webhook_auth *auth = NULL;
    GW_AUTO(webhook_intake_closep) struct webhook_intake *intake = NULL;
    GW_AUTO(gws_routes_freep) struct gws_routes *routes = gws_routes_new();
    GW_AUTO(gws_path_freep) struct gws_path *path = path_of(endpoint);
    GW_AUTO(gw_bytes_done) struct gw_bytes scratch = {0};
    struct gws_route route = {0};
    struct webhook_request request = {.http = fake_http(fake, ""), .method = "POST", .route = &route};
    const char *question = strchr(target, '?');
    char text[512], path_text[256];

    snprintf(text, sizeof(text), "{endpoint: '%s', port: 80, %s}", endpoint, more);
    load_good(&loaded, text);
    assert_int_equal(webhook_auth_open(&auth, &loaded.config.auth, reason), 0);
    assert_int_equal(webhook_intake_open(&intake, &loaded.config, auth), 0);
    assert_int_equal(gws_routes_add(routes, path, gws_method_bit("POST"), intake), 0);
    snprintf(path_text, sizeof(path_text), "%.*s", (int)strcspn(target, "?"), target);
    assert_int_equal(gws_routes_match(routes, "POST", gw_view_text(path_text), &scratch, &route), 0);
    request.path = path_text;
    request.query = question == NULL ? "" : question + 1;
    request.http.body = body;
    return webhook_intake_take(intake, &request, take_event, taken, reason);
}

static int take(struct taken *taken, const char *endpoint, const char *more, const char *target,
                const struct fake *fake, const char *body)
{
    struct gw_reason reason = {""};
    int verdict = take_body(taken, endpoint, more, target, fake, gw_view_text(body), &reason);

    assert_true(verdict <= 0 || reason.text[0] != '\0');
    return verdict;
}

static void a_raw_body_goes_on_as_it_is(void **state)
{
    struct taken taken = {0};
    (void)state;

    assert_int_equal(take(&taken, "/x", "", "/x?q=1",
                          &(struct fake){{"Content-Type", "application/json; charset=utf-8"}},
                          " {\"n\": 1.10} "),
                     0);
    assert_string_equal(taken.text, "|0|||application/json; charset=utf-8||| {\"n\": 1.10} \n");
    taken = (struct taken){0};
    assert_int_equal(take(&taken, "/x", "", "/x", &(struct fake){{NULL}}, ""), 0);
    assert_string_equal(taken.text, "|0||||||\n");
}

/* One event that the client refuses would end the stream, and with it everybody's. */
static void what_the_client_would_refuse_stays_behind(void **state)
{
    static const struct {
        const char *sent, *kept;
    } types[] = {
        {"text/plain;", "text/plain;"},
        {"a/b; c=\"d;\\\"e\" ; f=g", "a/b; c=\"d;\\\"e\" ; f=g"},
        {"text/plain; charset", "text/plain"},
        {"text/x; boundary=a/b", "text/x"},
        {"text/plain; a=\xfc", "text/plain"},
        {"text/plain; a=\"b", "text/plain"},
        {"a/b;;c=d", "a/b"},
        {"foo", ""},
        {"text / plain", ""},
        {"text/plain, text/html", ""},
        {"/plain; a=b", ""},
        {"text/; a=b", ""},
    };
    char expected[128];
    (void)state;

    for (size_t i = 0; i < GW_COUNT_OF(types); i++) {
        struct taken taken = {0};
        assert_int_equal(take(&taken, "/x", "", "/x", &(struct fake){{"Content-Type", types[i].sent}}, "x"),
                         0);
        snprintf(expected, sizeof(expected), "|0|||%s|||x\n", types[i].kept);
        assert_string_equal(taken.text, expected);
    }
    struct taken taken = {0};
    /* U+FDD0 is no character that a CloudEvent may hold */
    assert_int_equal(take(&taken, "/x", "idHeader: X-Id, extensions: {a: 'header:X-A'}", "/x",
                          &(struct fake){{"X-Id", "1\xef\xb7\x90", "X-A", "\xef\xb7\x90"}}, "x"),
                     0);
    assert_string_equal(taken.text, "|0||||||x\n");
}

static void extensions_stay_within_their_limit(void **state)
{
    struct fake structured = {{"Content-Type", "application/cloudevents+json"}};
    GW_AUTO(gw_bytes_done) struct gw_bytes body = {0};
    struct taken taken = {0};
    (void)state;

    gw_bytes_append_text(&body, "{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/s\",\"type\":\"t\"");
    for (int i = 0; i < GW_EVENT_EXTENSIONS_MAX; i++)
        gw_bytes_printf(&body, ",\"e%d\":\"\"", i + 1);
    gw_bytes_append(&body, "}", 2);
    assert_int_equal(take(&taken, "/x", "extensions: {tenant: 'query:t'}", "/x?t=1", &structured, body.data),
                     0);
    assert_int_equal(taken.count, 1);
    assert_null(strstr(taken.text, "tenant"));
    assert_non_null(strstr(taken.text, "e64=|"));
}

static void an_id_header_is_the_identity(void **state)
{
    struct taken taken = {0};
    (void)state;

    assert_int_equal(take(&taken, "/x", "idHeader: X-GitHub-Delivery", "/x",
                          &(struct fake){{"x-github-delivery", " 72d3 "}}, "x"),
                     0);
    assert_string_equal(taken.text, "72d3|0||||||x\n");
}

static void extensions_come_from_header_query_and_path(void **state)
{
    struct taken taken = {0};
    (void)state;

    assert_int_equal(take(&taken, "/o/{id}",
                          "extensions: {event: 'header:X-GitHub-Event', tenant: 'query:t', order: 'path:id', "
                          "none: 'query:none', bad: 'query:bad', partitionkey: 'path:id'}",
                          "/o/a%20b?x=1&t=%C3%BC+1&bad=%0A&t=2", &(struct fake){{"X-GitHub-Event", "push"}},
                          "x"),
                     0);
    assert_string_equal(taken.text, "|0|||||a b|event=push|tenant=\xc3\xbc 1|order=a b|x\n");
}

static void the_envelope_holds_the_whole_request(void **state)
{
    struct taken taken = {0};
    struct fake fake = {{"host", "h", "content-type", "application/json", "X-b", "1", "Cookie", "id=1", "x-B",
                         "2", "AUTHORIZATION", "Bearer x", "Accept", "\"*/*\"", "transfer-encoding",
                         "chunked"}};
    (void)state;

    assert_int_equal(take(&taken, "/o/{id}", "payload: envelope", "/o/7%2F8?b=2&a=1&b=%C3%A9+&c&%zz=1", &fake,
                          " {\"n\": 1.10}\n"),
                     0);
    assert_string_equal(
        taken.text,
        "|0|||application/json|||{\"header\":{\"Accept\":[\"\\\"*/*\\\"\"],\"Authorization\":[\"***\"],"
        "\"Content-Type\":[\"application/"
        "json\"],\"Cookie\":[\"***\"],\"X-B\":[\"1\",\"2\"]},\"body\":{\"n\": 1.10},"
        "\"method\":\"POST\",\"path\":\"/o/"
        "7%2F8\",\"query\":{\"%zz\":[\"1\"],\"a\":[\"1\"],\"b\":[\"2\",\"\xc3\xa9 \"],"
        "\"c\":[\"\"]},\"pathParameters\":{\"id\":\"7/8\"}}\n");
}

static void assert_envelope_body(struct gw_view body, const char *json)
{
    struct taken taken = {0};
    struct gw_reason reason = {""};
    char expected[256];

    assert_int_equal(
        take_body(&taken, "/x", "payload: envelope", "/x", &(struct fake){{NULL}}, body, &reason), 0);
    snprintf(
        expected, sizeof(expected),
        "|0|||application/json|||{\"header\":{},\"body\":%s,\"method\":\"POST\",\"path\":\"/x\",\"query\":{},"
        "\"pathParameters\":{}}\n",
        json);
    assert_string_equal(taken.text, expected);
}

static void the_body_in_an_envelope_is_json_or_text_or_base64(void **state)
{
    (void)state;

    assert_envelope_body(gw_view_text(""), "null");
    assert_envelope_body(gw_view_text("[1]"), "[1]");
    assert_envelope_body(gw_view_text("a=1&b=\"2\""), "\"a=1&b=\\\"2\\\"\"");
    assert_envelope_body(gw_view("\xff\x00", 2), "\"/wA=\",\"isBase64Encoded\":true");
}

static void a_cloudevent_keeps_its_attributes(void **state)
{
    struct taken taken = {0};
    struct fake binary = {{"ce-specversion", "1.0", "ce-id", "7", "ce-source", "/shop", "ce-type", "paid",
                           "ce-subject", "A%201", "ce-time", "1970-01-01T00:00:05Z", "ce-tenant", "t1",
                           "ce-partitionkey", "k", "Content-Type", "text/plain"}};
    struct fake structured = {{"Content-Type", "application/cloudevents+json; charset=utf-8"}};
    (void)state;

    assert_int_equal(take(&taken, "/x",
                          "payload: envelope, extensions: {tenant: 'query:t', region: 'query:r'}",
                          "/x?t=t2&r=eu", &binary, "hi"),
                     0);
    assert_string_equal(taken.text, "7|5|paid|A 1|text/plain|/shop|k|tenant=t1|region=eu|hi\n");
    taken = (struct taken){0};
    assert_int_equal(
        take(&taken, "/x", "", "/x", &structured,
             "{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/shop\",\"type\":\"paid\",\"data\":1.10}"),
        0);
    assert_string_equal(taken.text, "7|0|paid|||/shop||1.10\n");
}

static void a_batch_becomes_many_events_or_none(void **state)
{
    static const char two[] = "[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"},"
                              "{\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/s\",\"type\":\"t\"}]";
    struct fake fake = {{"Content-Type", "application/cloudevents-batch+json"}};
    struct taken taken = {0};
    (void)state;

    assert_int_equal(take(&taken, "/x", "", "/x", &fake, two), 0);
    assert_int_equal(taken.count, 2);
    taken = (struct taken){.result = -ECANCELED};
    assert_int_equal(take(&taken, "/x", "", "/x", &fake, two), -ECANCELED);
    assert_int_equal(taken.count, 1);
    taken = (struct taken){0};
    assert_int_equal(take(&taken, "/x", "", "/x", &fake, "[]"), 0);
    assert_int_equal(taken.count, 0);
}

static void a_wrong_cloudevent_is_refused_whole(void **state)
{
    struct taken taken = {0};
    (void)state;

    assert_int_equal(take(&taken, "/x", "", "/x", &(struct fake){{"ce-specversion", "1.0", "ce-id", "7"}},
                          ""),
                     WEBHOOK_INTAKE_BAD);
    assert_int_equal(take(&taken, "/x", "", "/x",
                          &(struct fake){{"Content-Type", "application/cloudevents+json"}}, "{\"id\":"),
                     WEBHOOK_INTAKE_BAD);
    assert_int_equal(take(&taken, "/x", "", "/x",
                          &(struct fake){{"Content-Type", "application/cloudevents+xml"}}, "x"),
                     WEBHOOK_INTAKE_FORMAT);
    assert_int_equal(taken.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_of_argo_are_understood),
        cmocka_unit_test(defaults_are_those_of_the_documentation),
        cmocka_unit_test(every_wrong_setting_is_named),
        cmocka_unit_test(content_types_match_without_parameters_and_by_family),
        cmocka_unit_test(bearer_tokens_are_compared_whole),
        cmocka_unit_test(basic_needs_name_and_password),
        cmocka_unit_test(a_header_of_its_own_carries_a_token),
        cmocka_unit_test(a_signature_in_the_style_of_github_covers_the_body),
        cmocka_unit_test(a_signature_may_cover_a_time),
        cmocka_unit_test(a_secret_that_is_missing_is_named),
        cmocka_unit_test(a_rotated_secret_counts_soon),
        cmocka_unit_test(a_raw_body_goes_on_as_it_is),
        cmocka_unit_test(what_the_client_would_refuse_stays_behind),
        cmocka_unit_test(extensions_stay_within_their_limit),
        cmocka_unit_test(an_id_header_is_the_identity),
        cmocka_unit_test(extensions_come_from_header_query_and_path),
        cmocka_unit_test(the_envelope_holds_the_whole_request),
        cmocka_unit_test(the_body_in_an_envelope_is_json_or_text_or_base64),
        cmocka_unit_test(a_cloudevent_keeps_its_attributes),
        cmocka_unit_test(a_batch_becomes_many_events_or_none),
        cmocka_unit_test(a_wrong_cloudevent_is_refused_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
