/* The API client against a small server that says what a test wants, and against sockets that misbehave. How it gets on with
 * a real API server is seen by the system tests. */
#include "common/kube_parts.h"

#include "common/clock.h"
#include "common/listen.h"
#include "common/text.h"
#include "tests/unit/raw_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { DEADLINE_MS = 30000 };

/* Time that passes because a test says so. */
int64_t __real_gw_loop_now_ms(struct gw_loop *loop);
int64_t __wrap_gw_loop_now_ms(struct gw_loop *loop);
static int64_t passed_ms;

int64_t __wrap_gw_loop_now_ms(struct gw_loop *loop)
{
    return __real_gw_loop_now_ms(loop) + passed_ms;
}

struct fixture {
    struct gw_loop *loop;
    struct gw_listener *listener;
    struct raw raw;
    struct gw_kube *kube;
    char directory[64], server[64];
    /* the server's side */
    struct gw_bytes seen;
    char token[64]; /* the one that is taken; "": each */
    int requests, refused;
    /* the client's side */
    struct gw_kube_call *call;
    struct gw_bytes body;
    int answers, status, chunks;
    char reason[64], message[1100];
    int64_t retry_after_ms;
    bool too_large, close_in_done, cancel_in_done, cancel_in_chunk;
};

/* ---- the server ---- */

static void on_each(void *user, const char *name, const char *value)
{
    gw_bytes_printf(user, "%s=%s|", name, value);
}

static void on_each_token(void *user, const char *name, const char *value)
{
    struct fixture *fixture = user;

    if (strcmp(name, "Authorization") == 0 && strncmp(value, "Bearer ", 7) == 0 &&
        strcmp(value + 7, fixture->token) == 0)
        fixture->refused = -1;
}

static bool request_trusted(struct fixture *fixture, struct gw_request *request)
{
    int refused = fixture->refused;
    bool trusted;

    gw_request_headers(request, on_each_token, fixture);
    trusted = fixture->refused == -1 || fixture->token[0] == '\0';
    fixture->refused = refused;
    return trusted;
}

#define STATUS(code, reason, message)                                                                        \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":\"" message               \
    "\",\"reason\":\"" reason "\",\"code\":" #code "}\n"

static void reply(struct gw_request *request, int status, const char *header, const char *body)
{
    gw_request_reply(request, status, (const char *[]){"Content-Type: application/json", header, NULL},
                     gw_view_text(body));
}

static void on_complete(void *user, struct gw_request *request)
{
    struct fixture *fixture = user;
    const char *path = gw_request_path(request);

    fixture->requests++;
    gw_bytes_clear(&fixture->seen);
    gw_bytes_printf(&fixture->seen, "%s %s?%s|", gw_request_method(request), path, gw_request_query(request));
    gw_request_headers(request, on_each, &fixture->seen);
    gw_bytes_append_view(&fixture->seen, gw_request_body(request));
    if (!request_trusted(fixture, request)) {
        fixture->refused++;
        reply(request, 401, NULL, STATUS(401, "Unauthorized", "Unauthorized"));
    } else if (strcmp(path, "/busy") == 0) {
        reply(request, 429, "Retry-After: 7", STATUS(429, "TooManyRequests", "too many"));
    } else if (strcmp(path, "/forbidden") == 0) {
        reply(request, 403, NULL, STATUS(403, "Forbidden", "configmaps is forbidden"));
    } else if (strcmp(path, "/never") != 0) {
        reply(request, 200, NULL, "{\"kind\":\"Yes\"}");
    }
}

static const struct gw_listener_hooks hooks = {.complete = on_complete};

static bool saw(struct fixture *fixture, const char *part)
{
    return strstr(gw_bytes_text(&fixture->seen), part) != NULL;
}

/* ---- the client ---- */

static void on_done(void *user, const struct gw_kube_answer *answer)
{
    struct fixture *fixture = user;

    fixture->answers++;
    fixture->status = answer->status;
    fixture->retry_after_ms = answer->retry_after_ms;
    fixture->too_large = answer->too_large;
    snprintf(fixture->reason, sizeof(fixture->reason), "%s", answer->reason);
    snprintf(fixture->message, sizeof(fixture->message), "%s", answer->message);
    gw_bytes_clear(&fixture->body);
    gw_bytes_append_view(&fixture->body, answer->body);
    assert_true((answer->status >= 200 && answer->status <= 299) == (answer->message[0] == '\0'));
    if (fixture->cancel_in_done)
        gw_kube_cancel(fixture->call);
    if (fixture->close_in_done)
        fixture->kube = gw_kube_close(fixture->kube);
}

static void on_chunk(void *user, struct gw_view bytes)
{
    struct fixture *fixture = user;

    fixture->chunks++;
    gw_bytes_append_view(&fixture->body, bytes);
    if (fixture->cancel_in_chunk)
        gw_kube_cancel(fixture->call);
}

static void send_request(struct fixture *fixture, struct gw_kube_request request)
{
    assert_int_equal(gw_kube_send(fixture->kube, &request, on_done, fixture, &fixture->call), 0);
}

static void wait_for(struct fixture *fixture, const int *count, int wanted)
{
    int64_t deadline = __real_gw_loop_now_ms(fixture->loop) + DEADLINE_MS;

    while (*count < wanted) {
        gw_loop_turn(fixture->loop, 20);
        if (__real_gw_loop_now_ms(fixture->loop) > deadline)
            fail_msg("%d instead of %d", *count, wanted);
    }
}

static void exchange(struct fixture *fixture, struct gw_kube_request request)
{
    send_request(fixture, request);
    wait_for(fixture, &fixture->answers, fixture->answers + 1);
}

static void get(struct fixture *fixture, const char *path)
{
    exchange(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = path});
}

static void turns(struct fixture *fixture)
{
    for (int i = 0; i < 10; i++)
        gw_loop_turn(fixture->loop, 5);
}

/* ---- set-up ---- */

static const char *path_of(struct fixture *fixture, const char *name)
{
    static char paths[2][128];
    static unsigned next;
    char *path = paths[next++ % 2];

    snprintf(path, sizeof(paths[0]), "%s/%s", fixture->directory, name);
    return path;
}

static void file_write(struct fixture *fixture, const char *name, const char *text)
{
    FILE *file = fopen(path_of(fixture, name), "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* An executable shell script. */
static void script_write(struct fixture *fixture, const char *name, const char *text)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes whole = {0};

    gw_bytes_printf(&whole, "#!/bin/sh\ncd %s\n%s\n", fixture->directory, text);
    file_write(fixture, name, gw_bytes_text(&whole));
    assert_int_equal(chmod(path_of(fixture, name), 0700), 0);
}

static int file_lines(struct fixture *fixture, const char *name)
{
    FILE *file = fopen(path_of(fixture, name), "re");
    int count = 0, byte;

    while (file != NULL && (byte = fgetc(file)) != EOF)
        count += byte == '\n';
    if (file != NULL)
        fclose(file);
    return count;
}

static void kube_reopen(struct fixture *fixture, const char *server, const char *user)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    const struct gw_kube_options options = {.kubeconfig = path_of(fixture, "config"),
                                            .component = "gateway-test"};
    struct gw_reason reason = {""};

    gw_bytes_printf(
        &text,
        "clusters: [{name: c, cluster: {server: '%s', extensions: [{name: client.authentication.k8s.io/exec, "
        "extension: {a: 1}}]}}]\nusers: [{name: u, user: {%s}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u, namespace: shop}}]\ncurrent-context: x\n",
        server, user);
    file_write(fixture, "config", gw_bytes_text(&text));
    fixture->kube = gw_kube_close(fixture->kube);
    if (gw_kube_open(&fixture->kube, fixture->loop, &options, &reason) != 0)
        fail_msg("%s", reason.text);
}

static void kube_as(struct fixture *fixture, const char *user)
{
    kube_reopen(fixture, fixture->server, user);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    passed_ms = 0;
    if (fixture == NULL || gw_loop_open(&fixture->loop) != 0 ||
        gw_listener_open(&fixture->listener, fixture->loop,
                         &(struct gw_listener_options){.address = "127.0.0.1"}, &hooks, fixture, NULL) != 0)
        return -1;
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/test_kube.XXXXXX");
    if (mkdtemp(fixture->directory) == NULL)
        return -1;
    snprintf(fixture->server, sizeof(fixture->server), "http://127.0.0.1:%u",
             gw_listener_port(fixture->listener));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char command[80];

    gw_kube_close(fixture->kube);
    gw_listener_close(fixture->listener);
    if (fixture->raw.poll != NULL)
        raw_close(&fixture->raw);
    gw_loop_close(fixture->loop);
    gw_bytes_done(&fixture->seen);
    gw_bytes_done(&fixture->body);
    snprintf(command, sizeof(command), "rm -rf %s", fixture->directory);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

/* ---- requests ---- */

static void each_verb_is_sent_as_the_api_server_wants_it(void **state)
{
    static const struct {
        enum gw_kube_verb verb;
        const char *body, *expected[3];
    } verbs[] = {
        {GW_KUBE_GET, NULL, {"GET /api?limit=1|", "Accept=application/json|"}},
        {GW_KUBE_CREATE, "{}", {"POST /api?limit=1|", "Content-Type=application/json|", "|{}"}},
        {GW_KUBE_UPDATE, "{}", {"PUT /api?limit=1|", "Content-Type=application/json|", "|{}"}},
        {GW_KUBE_MERGE_PATCH,
         "{}",
         {"PATCH /api?limit=1|", "Content-Type=application/merge-patch+json|", "|{}"}},
        {GW_KUBE_APPLY, "{}", {"PATCH /api?limit=1|", "Content-Type=application/apply-patch+yaml|", "|{}"}},
        {GW_KUBE_DELETE, NULL, {"DELETE /api?limit=1|"}},
        {GW_KUBE_DELETE,
         "{\"a\":1}",
         {"DELETE /api?limit=1|", "Content-Type=application/json|", "|{\"a\":1}"}},
    };
    struct fixture *fixture = *state;

    kube_as(fixture, "token: tok, as: jane, as-groups: [dev, ops]");
    assert_string_equal(gw_kube_namespace(fixture->kube), "shop");
    assert_string_equal(gw_kube_server(fixture->kube), fixture->server);
    assert_ptr_equal(gw_kube_loop(fixture->kube), fixture->loop);
    for (size_t i = 0; i < GW_COUNT_OF(verbs); i++) {
        exchange(fixture, (struct gw_kube_request){.verb = verbs[i].verb,
                                                   .path = "/api?limit=1",
                                                   .body = gw_view_text(verbs[i].body)});
        assert_int_equal(fixture->status, 200);
        assert_true(gw_view_is(gw_bytes_view(&fixture->body), "{\"kind\":\"Yes\"}"));
        for (size_t j = 0; j < 3 && verbs[i].expected[j] != NULL; j++)
            assert_true(saw(fixture, verbs[i].expected[j]));
        assert_true(saw(fixture, "|Authorization=Bearer tok|"));
        assert_true(saw(fixture, "|User-Agent=gateway-test/" GW_VERSION " (linux/"));
        assert_true(saw(fixture, ") sluice|"));
        assert_true(saw(fixture, "|Impersonate-User=jane|"));
        assert_true(saw(fixture, "|Impersonate-Group=dev|") && saw(fixture, "|Impersonate-Group=ops|"));
    }
    kube_as(fixture, "username: u, password: p");
    get(fixture, "/api");
    assert_true(saw(fixture, "|Authorization=Basic dTpw|"));
    kube_as(fixture, "");
    get(fixture, "/api");
    assert_false(saw(fixture, "Authorization"));
}

static void a_server_below_a_path_is_asked_there(void **state)
{
    struct fixture *fixture = *state;
    char server[96];

    snprintf(server, sizeof(server), "%s/k8s/c-1/", fixture->server);
    kube_reopen(fixture, server, "");
    get(fixture, "/api/v1");
    assert_true(saw(fixture, "GET /k8s/c-1/api/v1?|"));
}

static void texts_are_quoted_and_times_written_as_kubernetes_wants_them(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    (void)state;
    gw_kube_quote(&text, "a-b._~/=,%\xc3\xbc z");
    assert_string_equal(gw_bytes_text(&text), "a-b._~%2F%3D%2C%25%C3%BC%20z");
    gw_bytes_clear(&text);
    gw_kube_time(&text, INT64_C(1772353800123456789));
    assert_string_equal(gw_bytes_text(&text), "2026-03-01T08:30:00.123456Z");
    gw_bytes_clear(&text);
    gw_kube_time(&text, INT64_C(1772353800000000000));
    assert_string_equal(gw_bytes_text(&text), "2026-03-01T08:30:00.000000Z");
}

/* ---- credentials ---- */

static void a_token_file_is_read_anew_after_401_and_after_a_minute(void **state)
{
    struct fixture *fixture = *state;

    file_write(fixture, "token", "first\n");
    kube_as(fixture, "tokenFile: token");
    snprintf(fixture->token, sizeof(fixture->token), "first");
    get(fixture, "/api");
    assert_int_equal(fixture->status, 200);
    file_write(fixture, "token", "second\n");
    get(fixture, "/api"); /* the file was read just now */
    assert_int_equal(fixture->status, 200);
    assert_int_equal(fixture->refused, 0);
    snprintf(fixture->token, sizeof(fixture->token), "second");
    get(fixture, "/api"); /* refused once, and sent again */
    assert_int_equal(fixture->status, 200);
    assert_int_equal(fixture->refused, 1);
    file_write(fixture, "token", "third\n");
    snprintf(fixture->token, sizeof(fixture->token), "third");
    passed_ms += 61000;
    get(fixture, "/api");
    assert_int_equal(fixture->status, 200);
    assert_int_equal(fixture->refused, 1);
    assert_int_equal(unlink(path_of(fixture, "token")), 0);
    passed_ms += 61000;
    get(fixture, "/api"); /* what was read last is as good as any */
    assert_int_equal(fixture->status, 200);
}

static void a_request_is_refused_in_the_end_when_no_token_helps(void **state)
{
    struct fixture *fixture = *state;

    snprintf(fixture->token, sizeof(fixture->token), "another");
    file_write(fixture, "token", "wrong\n");
    kube_as(fixture, "tokenFile: token");
    exchange(fixture,
             (struct gw_kube_request){
                 .verb = GW_KUBE_CREATE, .path = "/api", .body = gw_view_text("{}"), .chunk = on_chunk});
    assert_int_equal(fixture->status, 401);
    assert_string_equal(fixture->reason, "Unauthorized");
    assert_string_equal(fixture->message, "Unauthorized");
    assert_int_equal(fixture->refused, 2);
    assert_int_equal(fixture->chunks, 0);
    assert_true(saw(fixture, "POST /api?|") && saw(fixture, "|{}"));
    kube_as(fixture, "token: wrong");
    get(fixture, "/api");
    assert_int_equal(fixture->status, 401);
    assert_int_equal(fixture->refused, 3); /* there is no other to try */
}

/* ---- programs ---- */

#define EXEC_USER(more)                                                                                      \
    "exec: {command: ./plugin, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never" more "}"
#define PRINT(status)                                                                                        \
    "echo "                                                                                                  \
    "'{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":" status    \
    "}'"

static void a_program_is_run_once_and_again_when_its_token_is_rejected(void **state)
{
    struct fixture *fixture = *state;

    snprintf(fixture->token, sizeof(fixture->token), "one");
    script_write(fixture, "plugin", "echo >>runs; sleep 0.1\n" PRINT("{\"token\":\"'$(cat token)'\"}"));
    file_write(fixture, "token", "one");
    kube_as(fixture, EXEC_USER(""));
    for (int i = 0; i < 10; i++)
        send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api"});
    assert_int_equal(fixture->requests, 0);
    wait_for(fixture, &fixture->answers, 10);
    assert_int_equal(fixture->status, 200);
    get(fixture, "/api");
    assert_int_equal(file_lines(fixture, "runs"), 1);
    snprintf(fixture->token, sizeof(fixture->token), "two");
    file_write(fixture, "token", "two");
    for (int i = 0; i < 10; i++)
        send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api"});
    wait_for(fixture, &fixture->answers, 21);
    assert_int_equal(fixture->status, 200);
    assert_int_equal(file_lines(fixture, "runs"), 2);
    snprintf(fixture->token, sizeof(fixture->token), "three"); /* which it does not print */
    for (int i = 0; i < 5; i++) {
        get(fixture, "/api");
        assert_int_equal(fixture->status, 401);
    }
    assert_in_range(file_lines(fixture, "runs"), 2, 3);
}

static void a_program_is_run_again_when_its_token_has_expired(void **state)
{
    struct fixture *fixture = *state;
    char script[256], time[GW_TIME_MAX];

    snprintf(script, sizeof(script),
             "echo >>runs\n" PRINT("{\"token\":\"t\",\"expirationTimestamp\":\"%s\"}"),
             gw_time_format(time, gw_clock_realtime_ns() + 3600 * GW_NS_PER_S, 0));
    script_write(fixture, "plugin", script);
    kube_as(fixture, EXEC_USER(""));
    get(fixture, "/api");
    get(fixture, "/api");
    assert_int_equal(fixture->status, 200);
    assert_int_equal(file_lines(fixture, "runs"), 1);
    script_write(fixture, "plugin",
                 "echo >>runs\n" PRINT("{\"token\":\"t\",\"expirationTimestamp\":\"2026-01-01T00:00:00Z\"}"));
    kube_as(fixture, EXEC_USER(""));
    send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api"});
    wait_for(fixture, &fixture->answers, 3);
    assert_int_equal(fixture->status, 200); /* our clock may be wrong: the API server knows better */
    get(fixture, "/api");
    assert_int_equal(file_lines(fixture, "runs"), 2);
}

static void a_program_is_told_who_asks(void **state)
{
    struct fixture *fixture = *state;
    char expected[256], info[1024] = "";
    FILE *file;

    script_write(fixture, "plugin",
                 "printf %s \"$KUBERNETES_EXEC_INFO|$A|$*\" >info\n" PRINT("{\"token\":\"t\"}"));
    kube_as(fixture, EXEC_USER(", provideClusterInfo: true, args: [x, 'y z'], env: [{name: A, value: b}]"));
    get(fixture, "/api");
    file = fopen(path_of(fixture, "info"), "re");
    assert_non_null(file);
    assert_true(fread(info, 1, sizeof(info) - 1, file) > 0);
    fclose(file);
    snprintf(expected, sizeof(expected),
             "{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"spec\":{"
             "\"interactive\":false,\"cluster\":{\"server\":\"%s\",\"config\":{\"a\":1}}}}|b|x y z",
             fixture->server);
    assert_string_equal(info, expected);
}

static void a_program_that_fails_is_told_in_words_that_help(void **state)
{
    struct fixture *fixture = *state;

    kube_as(fixture, EXEC_USER(", installHint: get it at example.com"));
    get(fixture, "/api");
    assert_int_equal(fixture->status, 0);
    assert_non_null(strstr(fixture->message,
                           "/plugin cannot be started: No such file or directory; get it at example.com"));
    script_write(fixture, "plugin", "echo >>runs; echo >&2 'no login:'; echo >&2 'run login'; exit 7");
    kube_as(fixture, EXEC_USER(", installHint: get it at example.com"));
    for (int i = 0; i < 5; i++)
        get(fixture, "/api");
    assert_non_null(
        strstr(fixture->message, "/plugin ended with code 7: no login: run login; get it at example.com"));
    assert_non_null(strstr(fixture->message, "context x"));
    assert_int_equal(file_lines(fixture, "runs"), 1); /* so soon, it was asked but once */
    script_write(fixture, "plugin", PRINT("{\"token\":\"t\"}"));
    passed_ms += 1100;
    get(fixture, "/api");
    assert_int_equal(fixture->status, 200);
}

static void what_a_program_prints_is_looked_at(void **state)
{
    static const struct {
        const char *output, *words;
    } wrong[] = {
        {"", "there is nothing"},
        {"token", "it is not JSON"},
        {"[]", "its kind is another"},
        {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\"}",
         "answers in another apiVersion than client.authentication.k8s.io/v1"},
        {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\"}",
         "it has no status"},
#define WITH(status)                                                                                         \
    "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\",\"status\":" status "}"
        {WITH("{}"), "neither a token nor a client certificate"},
        {WITH("{\"token\":7}"), "a member of status is not text"},
        {WITH("{\"token\":\"a b\"}"), "status.token holds white space"},
        {WITH("{\"token\":\"secret\",\"expirationTimestamp\":\"soon\"}"),
         "expirationTimestamp is not a time"},
        {WITH("{\"token\":\"secret\",\"clientKeyData\":\"k\"}"), "there is only one"},
        {WITH("{\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\"}"),
         "are not a PEM certificate and its key"},
    };
    const struct gw_kube_exec exec = {.command = "plugin", .api_version = "client.authentication.k8s.io/v1"};
    struct kube_exec_credential credential;
    struct gw_reason reason;

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(wrong); i++) {
        reason.text[0] = '\0';
        assert_int_equal(kube_exec_parse(&exec, gw_view_text(wrong[i].output), &credential, &reason),
                         -EINVAL);
        if (strstr(reason.text, wrong[i].words) == NULL)
            fail_msg("%zu: %s", i, reason.text);
        assert_null(strstr(reason.text, "secret"));
    }
    assert_int_equal(
        kube_exec_parse(&exec,
                        gw_view_text(WITH("{\"token\":\"t\",\"clientKeyData\":null,\"expirationTimestamp\":"
                                          "\"2026-03-01T10:30:00+02:00\"}")),
                        &credential, &reason),
        0);
    assert_true(gw_view_is(gw_bytes_view(&credential.token), "t"));
    assert_int_equal(credential.expires_ns, INT64_C(1772353800000000000));
    kube_exec_done(&credential);
}

/* ---- answers ---- */

static void an_error_is_told_in_the_api_servers_words(void **state)
{
    static const struct {
        struct gw_http_answer http;
        const char *body;
        int64_t retry_after_ms;
        const char *reason, *message;
    } answers[] = {
        {{.status = 403, .retry_after_ms = -1},
         STATUS(403, "Forbidden", "secrets is forbidden: User \\\"x\\\" cannot list"),
         -1,
         "Forbidden",
         "secrets is forbidden: User \"x\" cannot list"},
        {{.status = 429, .retry_after_ms = -1},
         "{\"kind\":\"Status\",\"details\":{\"kind\":\"x\",\"retryAfterSeconds\":3},\"message\":\"wait\"}",
         3000,
         "",
         "wait"},
        {{.status = 429, .retry_after_ms = 1000},
         "{\"details\":{\"retryAfterSeconds\":3}}",
         1000,
         "",
         "https://h answers 429: {\"details\":{\"retryAfterSeconds\":3}}"},
        {{.status = 422, .retry_after_ms = -1},
         STATUS(422, "Invalid", " a\\n  b\\u0007\\t"),
         -1,
         "Invalid",
         "a b"},
        {{.status = 502, .retry_after_ms = -1},
         "<html>\n<b>Bad</b>\r\n",
         -1,
         "",
         "https://h answers 502: <html> <b>Bad</b>"},
        {{.status = 500, .retry_after_ms = -1}, "", -1, "", "https://h answers 500"},
        {{.status = 500, .retry_after_ms = -1}, "\xff\xfe", -1, "", "https://h answers 500"},
        {{.status = 500, .retry_after_ms = -1},
         "{\"message\":7,\"reason\":null}",
         -1,
         "",
         "https://h answers 500: {\"message\":7,\"reason\":null}"},
        {{.status = 404, .retry_after_ms = -1}, "[1]", -1, "", "https://h answers 404: [1]"},
        {{.status = 302, .retry_after_ms = -1}, "", -1, "", "https://h answers 302"},
        {{.status = 200, .retry_after_ms = -1}, STATUS(200, "No", "no"), -1, "", ""},
        {{.fault = "h:443: connection refused", .failure = GW_HTTP_FAILED, .retry_after_ms = -1},
         "",
         -1,
         "",
         "h:443: connection refused"},
        {{.fault = "h:443: bad", .failure = GW_HTTP_UNTRUSTED, .retry_after_ms = -1},
         "",
         -1,
         "",
         "h:443: bad (kubeconfig k; the authority that must have signed the server's certificate is "
         "/ca.crt)"},
    };
    const struct gw_kube_config config = {
        .server = "https://h", .origin = "kubeconfig k", .ca_file = "/ca.crt"};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(answers); i++) {
        struct gw_http_answer http = answers[i].http;
        struct gw_kube_answer answer;
        struct kube_words words;

        http.body = gw_view_text(answers[i].body);
        kube_answer_fill(&answer, &words, &http, &config);
        assert_int_equal(answer.status, http.status);
        assert_string_equal(answer.reason, answers[i].reason);
        assert_string_equal(answer.message, answers[i].message);
        assert_int_equal(answer.retry_after_ms, answers[i].retry_after_ms);
    }
}

static void long_words_are_cut_between_characters(void **state)
{
    char line[8];

    (void)state;
    kube_line(line, sizeof(line), gw_view_text("abcde\xc3\xbc!"));
    assert_string_equal(line, "abcde\xc3\xbc");
    kube_line(line, sizeof(line), gw_view_text("abcdef\xc3\xbc"));
    assert_string_equal(line, "abcdef");
    kube_line(line, sizeof(line), gw_view_text("ab\xf0\x9f\x98\x80\xf0\x9f\x98\x80"));
    assert_string_equal(line, "ab\xf0\x9f\x98\x80");
    kube_line(line, sizeof(line), gw_view_text("\n\n a\r\nb  c \n"));
    assert_string_equal(line, "a b c");
    kube_line(line, sizeof(line), gw_view_text("\x80\x80\x80\x80\x80\x80\x80\x80\x80"));
    assert_string_equal(line, "");
}

static void refusals_and_waits_reach_the_caller(void **state)
{
    struct fixture *fixture = *state;

    kube_as(fixture, "");
    get(fixture, "/busy");
    assert_int_equal(fixture->status, 429);
    assert_int_equal(fixture->retry_after_ms, 7000);
    assert_string_equal(fixture->reason, "TooManyRequests");
    get(fixture, "/forbidden");
    assert_int_equal(fixture->status, 403);
    assert_string_equal(fixture->message, "configmaps is forbidden");
    assert_int_equal(fixture->retry_after_ms, -1);
}

/* ---- a peer that misbehaves ---- */

static void raw_start(struct fixture *fixture, const char *words, bool closes)
{
    if (fixture->raw.poll != NULL)
        raw_close(&fixture->raw);
    raw_open(&fixture->raw, fixture->loop, "http", words, closes);
    kube_reopen(fixture, fixture->raw.url, "token: t");
}

static void expect_fault(struct fixture *fixture, const char *words)
{
    exchange(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api", .timeout_ms = 300});
    assert_int_equal(fixture->status, 0);
    assert_string_equal(fixture->reason, "");
    assert_int_equal(fixture->body.size, 0);
    assert_int_equal(strncmp(fixture->message, "127.0.0.1:", 10), 0);
    if (strstr(fixture->message, words) == NULL)
        fail_msg("\"%s\" instead of \"%s\"", fixture->message, words);
}

static void a_refusal_whose_words_are_cut_off_is_one(void **state)
{
    struct fixture *fixture = *state;

    raw_start(fixture, "HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\n{\"kind\":", true);
    exchange(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api", .timeout_ms = 300});
    assert_int_equal(fixture->status, 403);
    assert_non_null(strstr(fixture->message, " answers 403"));
}

static void what_is_wrong_with_the_connection_is_told_in_words(void **state)
{
    struct fixture *fixture = *state;

    raw_start(fixture, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"kind\":", true);
    expect_fault(fixture, ": connection closed in the middle of the answer");
    raw_start(fixture, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"kind\":", false);
    expect_fault(fixture, ": no answer within 300ms");
    raw_start(fixture, NULL, false);
    expect_fault(fixture, ": no answer within 300ms");
    raw_start(fixture, "220 mail.example ESMTP\r\n", true);
    expect_fault(fixture, ": ");
    raw_start(fixture, NULL, true);
    expect_fault(fixture, ": connection closed without an answer");
    raw_start(fixture, NULL, false);
    gw_poll_set(fixture->raw.poll, 0);
    shutdown(fixture->raw.listening, SHUT_RDWR);
    expect_fault(fixture, ": connection refused");
}

static void an_answer_that_is_too_large_is_a_fault_not_half_an_object(void **state)
{
    enum { SIZE = 100000000 };
    struct fixture *fixture = *state;
    char head[96], *body = malloc(1 << 20);
    size_t sent = 0;

    assert_non_null(body);
    memset(body, 'x', 1 << 20);
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SIZE);
    raw_start(fixture, head, false);
    send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api"});
    while (fixture->answers == 0) {
        ssize_t more = fixture->raw.seen[0] == '\0'
                           ? 0
                           : send(fixture->raw.connection, body, GW_MIN((size_t)1 << 20, SIZE - sent),
                                  MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += more > 0 ? (size_t)more : 0;
        gw_loop_turn(fixture->loop, 1);
    }
    free(body);
    assert_int_equal(fixture->status, 0);
    assert_true(fixture->too_large);
    assert_int_equal(fixture->body.size, 0);
    assert_non_null(strstr(fixture->message, ": the answer has more than 67108864 bytes"));
}

static void a_stream_is_handed_on(void **state)
{
    struct fixture *fixture = *state;

    raw_start(fixture, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n", false);
    send_request(fixture,
                 (struct gw_kube_request){
                     .verb = GW_KUBE_GET, .path = "/api?watch=1", .timeout_ms = -1, .chunk = on_chunk});
    wait_for(fixture, &fixture->chunks, 1);
    assert_true(gw_view_is(gw_bytes_view(&fixture->body), "{}\n"));
    assert_int_equal(fixture->answers, 0);
    shutdown(fixture->raw.connection, SHUT_RDWR);
    wait_for(fixture, &fixture->answers, 1);
    assert_int_equal(fixture->status, 0);
    raw_start(fixture, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n", false);
    fixture->cancel_in_chunk = true;
    send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET,
                                                   .path = "/api?watch=1",
                                                   .timeout_ms = -1,
                                                   .idle_ms = 20,
                                                   .chunk = on_chunk});
    wait_for(fixture, &fixture->chunks, 2);
    turns(fixture);
    assert_int_equal(fixture->answers, 1);
}

/* ---- endings ---- */

static void a_call_may_be_cancelled_at_any_time(void **state)
{
    struct fixture *fixture = *state;

    script_write(fixture, "plugin", "sleep 600");
    kube_as(fixture, EXEC_USER(""));
    send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api"});
    turns(fixture);
    gw_kube_cancel(fixture->call); /* waiting for credentials */
    kube_as(fixture,
            "exec: {command: no-such-program-here, apiVersion: client.authentication.k8s.io/v1beta1}");
    send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api"});
    gw_kube_cancel(fixture->call); /* failed, and not told yet */
    turns(fixture);
    kube_as(fixture, "");
    send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/never"});
    wait_for(fixture, &fixture->requests, 1);
    gw_kube_cancel(fixture->call);
    turns(fixture);
    assert_int_equal(fixture->answers, 0);
    fixture->cancel_in_done = true;
    get(fixture, "/api");
    assert_int_equal(fixture->status, 200);
}

static void the_client_may_be_closed_in_an_answer(void **state)
{
    static const char *const users[] = {
        "", "exec: {command: no-such-program-here, apiVersion: client.authentication.k8s.io/v1beta1}"};
    struct fixture *fixture = *state;

    fixture->close_in_done = true;
    for (size_t i = 0; i < GW_COUNT_OF(users); i++) {
        fixture->answers = 0;
        kube_as(fixture, users[i]);
        send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/never"});
        for (int j = 0; j < 5; j++)
            send_request(fixture, (struct gw_kube_request){.verb = GW_KUBE_GET, .path = "/api"});
        wait_for(fixture, &fixture->answers, 1);
        turns(fixture);
        assert_int_equal(fixture->answers, 1);
        assert_null(fixture->kube);
    }
}

static void a_bad_address_is_found_at_once(void **state)
{
    struct fixture *fixture = *state;
    const struct gw_kube_options options = {.kubeconfig = path_of(fixture, "config"),
                                            .component = "gateway-test"};
    struct gw_reason reason = {""};

    kube_as(fixture, "");
    file_write(fixture, "config",
               "clusters: [{name: c, cluster: {server: 'https://h:port'}}]\nusers: [{name: u, user: {}}]\n"
               "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n");
    fixture->kube = gw_kube_close(fixture->kube);
    assert_int_equal(gw_kube_open(&fixture->kube, fixture->loop, &options, &reason), -EINVAL);
    assert_non_null(strstr(reason.text, "context x: URL \"https://h:port\": not a URL"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(each_verb_is_sent_as_the_api_server_wants_it),
        CASE(a_server_below_a_path_is_asked_there),
        CASE(texts_are_quoted_and_times_written_as_kubernetes_wants_them),
        CASE(a_token_file_is_read_anew_after_401_and_after_a_minute),
        CASE(a_request_is_refused_in_the_end_when_no_token_helps),
        CASE(a_program_is_run_once_and_again_when_its_token_is_rejected),
        CASE(a_program_is_run_again_when_its_token_has_expired),
        CASE(a_program_is_told_who_asks),
        CASE(a_program_that_fails_is_told_in_words_that_help),
        CASE(what_a_program_prints_is_looked_at),
        CASE(an_error_is_told_in_the_api_servers_words),
        CASE(long_words_are_cut_between_characters),
        CASE(refusals_and_waits_reach_the_caller),
        CASE(a_refusal_whose_words_are_cut_off_is_one),
        CASE(what_is_wrong_with_the_connection_is_told_in_words),
        CASE(an_answer_that_is_too_large_is_a_fault_not_half_an_object),
        CASE(a_stream_is_handed_on),
        CASE(a_call_may_be_cancelled_at_any_time),
        CASE(the_client_may_be_closed_in_an_answer),
        CASE(a_bad_address_is_found_at_once),
    };
    return cmocka_run_group_tests_name("kube", tests, NULL, NULL);
}
