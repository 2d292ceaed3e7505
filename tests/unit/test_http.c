/* The HTTP client against our own listener, and against raw sockets that misbehave. */
#include "common/clock.h"
#include "common/http.h"
#include "common/listen.h"
#include "tests/unit/raw_fixture.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 30000 };

struct fixture {
    struct gw_loop *loop;
    struct gw_http *http;
    struct gw_http_target *target;
    struct gw_listener *listener;
    struct gw_http_call *call; /* cancelled in done(), if set */
    char url[128];
    /* the server's side */
    struct gw_bytes seen;
    char peers[512];
    int requests, connections;
    /* the client's side */
    int answers, status, close_at;
    bool truncated;
    int64_t retry_after_ms;
    char fault[GW_REASON_MAX], body[256], content_type[64];
    size_t body_size;
    bool send_again;
    enum { NOTHING, CLOSE_TARGET, CLOSE_HTTP, CANCEL } then;
};

/* ---- the server ---- */

static void on_each(void *user, const char *name, const char *value)
{
    gw_bytes_printf(user, "%s=%s|", name, value);
}

static void reply_for_path(struct fixture *fixture, struct gw_request *request)
{
    const char *path = gw_request_path(request), *last = strrchr(path, '/');
    char header[128], *big = NULL;
    time_t soon = time(NULL) + 100;

    if (strcmp(last, "/busy") == 0) {
        gw_request_reply(request, 429, (const char *[]){"Retry-After: 7", NULL}, gw_view(NULL, 0));
    } else if (strcmp(last, "/date") == 0) {
        strftime(header, sizeof(header), "Retry-After: %a, %d %b %Y %H:%M:%S GMT", gmtime(&soon));
        gw_request_reply(request, 503, (const char *[]){header, NULL}, gw_view(NULL, 0));
    } else if (strcmp(last, "/moved") == 0) {
        gw_request_reply(request, 302, (const char *[]){"Location: /elsewhere", NULL}, gw_view(NULL, 0));
    } else if (strcmp(last, "/big") == 0) {
        big = calloc(1, GW_HTTP_ANSWER_MAX * 2);
        gw_request_reply(request, 200, NULL, gw_view(big, GW_HTTP_ANSWER_MAX * 2));
        free(big);
    } else if (strcmp(last, "/never") != 0) {
        gw_request_reply(request, 202, (const char *[]){"Content-Type: text/plain", NULL},
                         gw_view_text("taken"));
    }
    (void)fixture;
}

static void on_complete(void *user, struct gw_request *request)
{
    struct fixture *fixture = user;

    fixture->requests++;
    if (strstr(fixture->peers, gw_request_peer(request)) == NULL) {
        fixture->connections++;
        if (strlen(fixture->peers) + 32 < sizeof(fixture->peers))
            strcat(fixture->peers, gw_request_peer(request));
    }
    gw_bytes_clear(&fixture->seen);
    gw_bytes_printf(&fixture->seen, "%s %s?%s|", gw_request_method(request), gw_request_path(request),
                    gw_request_query(request));
    gw_request_headers(request, on_each, &fixture->seen);
    gw_bytes_append_view(&fixture->seen, gw_request_body(request));
    reply_for_path(fixture, request);
}

static const struct gw_listener_hooks hooks = {.complete = on_complete};

/* ---- the client ---- */

static void send_one(struct fixture *fixture, enum gw_http_method method, const char *path, const char *body,
                     const char *const *headers);

static void on_done(void *user, const struct gw_http_answer *answer)
{
    struct fixture *fixture = user;

    fixture->answers++;
    fixture->status = answer->status;
    fixture->truncated = answer->truncated;
    fixture->retry_after_ms = answer->retry_after_ms;
    fixture->body_size = answer->body.size;
    snprintf(fixture->fault, sizeof(fixture->fault), "%s", answer->fault);
    snprintf(fixture->body, sizeof(fixture->body), "%.*s", (int)GW_MIN(answer->body.size, (size_t)200),
             answer->body.data != NULL ? answer->body.data : "");
    snprintf(fixture->content_type, sizeof(fixture->content_type), "%.*s", (int)answer->content_type.size,
             answer->content_type.data != NULL ? answer->content_type.data : "");
    assert_true(answer->took_ms >= 0);
    if (fixture->answers == fixture->close_at) {
        if (fixture->then == CLOSE_TARGET)
            fixture->target = gw_http_target_close(fixture->target);
        if (fixture->then == CLOSE_HTTP)
            fixture->http = gw_http_close(fixture->http);
        if (fixture->then == CANCEL)
            gw_http_cancel(fixture->call);
        assert_int_equal(answer->status, 202);
        assert_true(gw_view_is(answer->body, "taken"));
    } else if (fixture->send_again) {
        send_one(fixture, GW_HTTP_POST, NULL, "again", NULL);
    }
}

static void send_one(struct fixture *fixture, enum gw_http_method method, const char *path, const char *body,
                     const char *const *headers)
{
    struct gw_http_request request = {
        .method = method, .path = path, .headers = headers, .body = gw_view_text(body)};
    int before = fixture->answers;

    assert_int_equal(gw_http_send(fixture->target, &request, on_done, fixture, &fixture->call), 0);
    assert_int_equal(fixture->answers, before);
}

static void wait_for(struct fixture *fixture, const int *count, int wanted)
{
    int64_t deadline = gw_loop_now_ms(fixture->loop) + DEADLINE_MS;

    while (*count < wanted) {
        gw_loop_turn(fixture->loop, 20);
        if (gw_loop_now_ms(fixture->loop) > deadline)
            fail_msg("%d instead of %d", *count, wanted);
    }
}

static void exchange(struct fixture *fixture, enum gw_http_method method, const char *path, const char *body,
                     const char *const *headers)
{
    send_one(fixture, method, path, body, headers);
    wait_for(fixture, &fixture->answers, fixture->answers + 1);
}

static void target_open(struct fixture *fixture, struct gw_http_options options)
{
    struct gw_reason reason = {""};

    fixture->target = gw_http_target_close(fixture->target);
    if (options.url == NULL)
        options.url = fixture->url;
    if (gw_http_target_open(&fixture->target, fixture->http, &options, &reason) != 0)
        fail_msg("%s", reason.text);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL || gw_loop_open(&fixture->loop) != 0 ||
        gw_http_open(&fixture->http, fixture->loop, 64) != 0 ||
        gw_listener_open(&fixture->listener, fixture->loop,
                         &(struct gw_listener_options){.address = "127.0.0.1"}, &hooks, fixture, NULL) != 0)
        return -1;
    snprintf(fixture->url, sizeof(fixture->url), "http://127.0.0.1:%u/in",
             gw_listener_port(fixture->listener));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    gw_http_close(fixture->http);
    gw_http_target_close(fixture->target);
    gw_listener_close(fixture->listener);
    gw_loop_close(fixture->loop);
    gw_bytes_done(&fixture->seen);
    free(fixture);
    return 0;
}

/* ---- requests and answers ---- */

static bool saw(struct fixture *fixture, const char *part)
{
    return strstr(gw_bytes_text(&fixture->seen), part) != NULL;
}

static void a_request_carries_what_was_asked_for(void **state)
{
    struct fixture *fixture = *state;
    const char *const always[] = {"X-Always: a", "X-Void:", NULL};
    const char *const once[] = {"Content-Type: application/json", "ce-subject: s", "ce-empty: ", NULL};

    target_open(fixture, (struct gw_http_options){.headers = always, .bearer = "tok"});
    exchange(fixture, GW_HTTP_POST, NULL, "{}", once);
    assert_int_equal(fixture->status, 202);
    assert_string_equal(fixture->fault, "");
    assert_string_equal(fixture->body, "taken");
    assert_string_equal(fixture->content_type, "text/plain");
    assert_true(saw(fixture, "POST /in?|"));
    assert_true(saw(fixture, "X-Always=a|"));
    assert_true(saw(fixture, "X-Void=|"));
    assert_true(saw(fixture, "ce-subject=s|"));
    assert_true(saw(fixture, "ce-empty=|"));
    assert_true(saw(fixture, "Content-Type=application/json|"));
    assert_true(saw(fixture, "Authorization=Bearer tok|"));
    assert_true(saw(fixture, "|{}"));
    exchange(fixture, GW_HTTP_POST, "/x?y=1", "", NULL); /* nothing is left of the request before */
    assert_true(saw(fixture, "POST /in/x?y=1|"));
    assert_false(saw(fixture, "ce-subject"));
    assert_false(saw(fixture, "Content-Type"));
    assert_false(saw(fixture, "Expect"));
    assert_true(saw(fixture, "Content-Length=0|"));
    target_open(fixture, (struct gw_http_options){.username = "u", .password = "p"});
    exchange(fixture, GW_HTTP_GET, NULL, NULL, NULL);
    assert_true(saw(fixture, "GET /in?|"));
    assert_true(saw(fixture, "Authorization=Basic dTpw|"));
}

static void every_method_is_sent_with_its_body(void **state)
{
    struct fixture *fixture = *state;

    target_open(fixture, (struct gw_http_options){0});
    exchange(fixture, GW_HTTP_PUT, NULL, "put", NULL);
    assert_true(saw(fixture, "PUT /in?") && saw(fixture, "|put"));
    exchange(fixture, GW_HTTP_PATCH, NULL, "patch", NULL);
    assert_true(saw(fixture, "PATCH /in?") && saw(fixture, "|patch"));
    exchange(fixture, GW_HTTP_DELETE, NULL, NULL, NULL);
    assert_true(saw(fixture, "DELETE /in?") && !saw(fixture, "patch"));
    exchange(fixture, GW_HTTP_OPTIONS, NULL, NULL, NULL);
    assert_true(saw(fixture, "OPTIONS /in?"));
    exchange(fixture, GW_HTTP_GET, NULL, NULL, NULL);
    assert_true(saw(fixture, "GET /in?"));
    exchange(fixture, GW_HTTP_POST, NULL, "post", NULL);
    assert_true(saw(fixture, "POST /in?") && saw(fixture, "|post"));
    assert_int_equal(fixture->connections, 1);
}

static void a_large_body_arrives_whole(void **state)
{
    enum { SIZE = 1000000 };
    struct fixture *fixture = *state;
    char *body = malloc(SIZE + 1);

    assert_non_null(body);
    memset(body, 'b', SIZE);
    body[SIZE] = '\0';
    target_open(fixture, (struct gw_http_options){0});
    exchange(fixture, GW_HTTP_POST, NULL, body, NULL);
    assert_int_equal(fixture->status, 202);
    assert_true(saw(fixture, body));
    free(body);
}

static void connections_are_reused(void **state)
{
    struct fixture *fixture = *state;

    target_open(fixture, (struct gw_http_options){0});
    fixture->send_again = true;
    for (int i = 0; i < 4; i++)
        send_one(fixture, GW_HTTP_POST, NULL, "first", NULL);
    wait_for(fixture, &fixture->answers, 400);
    fixture->send_again = false;
    assert_int_equal(fixture->connections, 4);
}

static void waiting_and_moving_are_told_not_done(void **state)
{
    struct fixture *fixture = *state;

    target_open(fixture, (struct gw_http_options){0});
    exchange(fixture, GW_HTTP_POST, "/busy", "", NULL);
    assert_int_equal(fixture->status, 429);
    assert_int_equal(fixture->retry_after_ms, 7000);
    exchange(fixture, GW_HTTP_POST, "/date", "", NULL);
    assert_true(fixture->retry_after_ms > 90000 && fixture->retry_after_ms <= 100000);
    exchange(fixture, GW_HTTP_POST, "/moved", "", NULL);
    assert_int_equal(fixture->status, 302);
    assert_int_equal(fixture->retry_after_ms, -1);
    assert_int_equal(fixture->requests, 3);
    exchange(fixture, GW_HTTP_GET, "/big", NULL, NULL);
    assert_int_equal(fixture->body_size, GW_HTTP_ANSWER_MAX);
}

static void wrong_options_are_refused_in_words(void **state)
{
    const struct {
        struct gw_http_options options;
        const char *words;
    } wrong[] = {
        {{.url = "ftp://h/"}, "must begin with http:// or https://"},
        {{.url = "http+unix://%2Ftmp/x"}, "http"},
        {{.url = "nothing at all"}, "URL"},
        {{.url = "http://u:secret@h:x/"}, "not shown"},
        {{.url = "http://h/", .headers = (const char *const[]){"no colon", NULL}}, "no colon"},
        {{.url = "http://h/", .headers = (const char *const[]){"A: b\r\nC: d", NULL}}, "\"A\""},
        {{.url = "https://h/", .ca_file = "/no/such"}, "CA file /no/such: No such file"},
        {{.url = "https://h/", .proxy = "ftp://p:1"}, "URL \"ftp://p:1\": a proxy's must begin with http://"},
    };
    struct fixture *fixture = *state;
    struct gw_reason reason;

    for (size_t i = 0; i < GW_COUNT_OF(wrong); i++) {
        reason.text[0] = '\0';
        assert_int_equal(gw_http_target_open(&fixture->target, fixture->http, &wrong[i].options, &reason),
                         -EINVAL);
        assert_non_null(strstr(reason.text, wrong[i].words));
        assert_null(strstr(reason.text, "secret"));
    }
    target_open(fixture, (struct gw_http_options){0});
    assert_int_equal(
        gw_http_send(fixture->target,
                     &(struct gw_http_request){.headers = (const char *const[]){"X: a\nY: b", NULL}}, on_done,
                     fixture, NULL),
        -EINVAL);
}

/* ---- faults ---- */

static void expect_fault(struct fixture *fixture, struct raw *raw, const char *words)
{
    const char *peer = strstr(raw->url, "127.0.0.1");

    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 0);
    if (strncmp(fixture->fault, peer, strlen(peer) - 1) != 0 || strstr(fixture->fault, words) == NULL)
        fail_msg("fault \"%s\", not \"%s\"", fixture->fault, words);
    fixture->target = gw_http_target_close(fixture->target);
    raw_close(raw);
}

static void a_refusal_counts_though_its_body_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    struct raw raw;

    raw_open(&raw, fixture->loop, "http", "HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nabc", true);
    target_open(fixture, (struct gw_http_options){.url = raw.url});
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 401);
    assert_string_equal(fixture->fault, "");
    assert_true(fixture->truncated);
    fixture->target = gw_http_target_close(fixture->target);
    raw_close(&raw);
}

static void faults_are_told_in_plain_words(void **state)
{
    struct fixture *fixture = *state;
    struct raw raw;

    raw_open(&raw, fixture->loop, "http", NULL, false);
    target_open(fixture, (struct gw_http_options){.url = raw.url, .timeout_ms = 200});
    expect_fault(fixture, &raw, ": no answer within 200ms");
    raw_open(&raw, fixture->loop, "https", NULL, false);
    target_open(fixture,
                (struct gw_http_options){.url = raw.url, .timeout_ms = 2000, .connect_timeout_ms = 100});
    expect_fault(fixture, &raw, ": no connection within 100ms");
    raw_open(&raw, fixture->loop, "http", NULL, true);
    target_open(fixture, (struct gw_http_options){.url = raw.url});
    expect_fault(fixture, &raw, ": connection closed without an answer");
    raw_open(&raw, fixture->loop, "http", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true);
    target_open(fixture, (struct gw_http_options){.url = raw.url});
    expect_fault(fixture, &raw, ": connection closed in the middle of the answer");
    raw_open(&raw, fixture->loop, "http", "HTTP/1.1 100 Continue\r\n\r\n", true);
    target_open(fixture, (struct gw_http_options){.url = raw.url});
    expect_fault(fixture, &raw, ": connection closed without an answer");
    raw_open(&raw, fixture->loop, "http", "SSH-2.0-nonsense\r\n", true);
    target_open(fixture, (struct gw_http_options){.url = raw.url});
    expect_fault(fixture, &raw, ": ");
    raw_open(&raw, fixture->loop, "http", NULL, false);
    target_open(fixture, (struct gw_http_options){.url = raw.url});
    gw_poll_set(raw.poll, 0);
    shutdown(raw.listening, SHUT_RDWR);
    expect_fault(fixture, &raw, ": connection refused");
    target_open(fixture, (struct gw_http_options){.url = "http://no-such-host.invalid/"});
    exchange(fixture, GW_HTTP_GET, NULL, NULL, NULL);
    assert_string_equal(fixture->fault, "no-such-host.invalid:80: no address found for this name");
}

static void a_kept_connection_on_which_nothing_comes_is_told_as_such(void **state)
{
    struct fixture *fixture = *state;
    const struct gw_http_request request = {.path = "/never", .timeout_ms = 200};

    target_open(fixture, (struct gw_http_options){0});
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 202);
    assert_int_equal(gw_http_send(fixture->target, &request, on_done, fixture, NULL), 0);
    wait_for(fixture, &fixture->answers, 2);
    assert_non_null(strstr(fixture->fault, ": no answer within 200ms"));
    assert_int_equal(fixture->connections, 1);
}

static void a_connection_the_peer_closed_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port = gw_listener_port(fixture->listener);

    target_open(fixture, (struct gw_http_options){0});
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    for (int i = 0; i < 5; i++) {
        fixture->listener = gw_listener_close(fixture->listener);
        gw_loop_turn(fixture->loop, 5);
        assert_int_equal(gw_listener_open(&fixture->listener, fixture->loop,
                                          &(struct gw_listener_options){.address = "127.0.0.1", .port = port},
                                          &hooks, fixture, NULL),
                         0);
        exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
        assert_int_equal(fixture->status, 202);
    }
}

/* ---- endings ---- */

static void a_cancelled_call_is_silent(void **state)
{
    struct fixture *fixture = *state;

    target_open(fixture, (struct gw_http_options){0});
    send_one(fixture, GW_HTTP_POST, "/never", "x", NULL);
    gw_http_cancel(fixture->call); /* before it was begun */
    send_one(fixture, GW_HTTP_POST, "/never", "x", NULL);
    wait_for(fixture, &fixture->requests, 1);
    gw_http_cancel(fixture->call);
    gw_loop_turn(fixture->loop, 10);
    assert_int_equal(fixture->answers, 0);
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 202);
}

/* A peer whose queue is full: who dials it waits. */
static void full_open(int *ret_listening, int waiting[static 4], char *url, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *ret_listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*ret_listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(*ret_listening, 0), 0);
    assert_int_equal(getsockname(*ret_listening, (struct sockaddr *)&address, &length), 0);
    for (int i = 0; i < 4; i++) {
        waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(waiting[i], (struct sockaddr *)&address, sizeof(address));
    }
    snprintf(url, size, "http://127.0.0.1:%u/", ntohs(address.sin_port));
}

/* curl closes such a socket without a word; the next one gets its number. */
static void a_connection_given_up_leaves_nothing_behind(void **state)
{
    struct fixture *fixture = *state;
    int listening, waiting[4];
    char url[64];

    full_open(&listening, waiting, url, sizeof(url));
    for (int i = 0; i < 3; i++) {
        target_open(fixture, (struct gw_http_options){.url = url});
        send_one(fixture, GW_HTTP_POST, NULL, "x", NULL);
        for (int turn = 0; turn < 5; turn++)
            gw_loop_turn(fixture->loop, 2);
        assert_int_equal(fixture->answers, i);
        target_open(fixture, (struct gw_http_options){.timeout_ms = 2000});
        exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
        assert_string_equal(fixture->fault, "");
        assert_int_equal(fixture->status, 202);
    }
    for (int i = 0; i < 4; i++)
        close(waiting[i]);
    close(listening);
}

static void everything_may_be_closed_in_an_answer(void **state)
{
    struct fixture *fixture = *state;

    for (fixture->then = CLOSE_TARGET; fixture->then <= CANCEL; fixture->then++) {
        if (fixture->http == NULL) {
            fixture->target =
                gw_http_target_close(fixture->target); /* after its client: only memory is left of it */
            assert_int_equal(gw_http_open(&fixture->http, fixture->loop, 64), 0);
        }
        target_open(fixture, (struct gw_http_options){0});
        fixture->answers = 0;
        fixture->close_at = 3;
        for (int i = 0; i < 20; i++)
            send_one(fixture, GW_HTTP_POST, i % 5 == 4 ? "/never" : NULL, "x", NULL);
        wait_for(fixture, &fixture->answers, 3);
        for (int i = 0; i < 10; i++)
            gw_loop_turn(fixture->loop, 2);
        if (fixture->then != CANCEL)
            assert_int_equal(fixture->answers, 3);
    }
}

/* ---- TLS ---- */

static char directory[] = "/tmp/test_http.XXXXXX", certificate[64], other[64], key[64];

static void certificate_make(const char *name)
{
    char command[600];

    snprintf(command, sizeof(command),
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
             "-subj /CN=%s "
             "-addext subjectAltName=DNS:sensor.example -keyout %s.key -out %s.crt 2>/dev/null",
             directory, name, name, name);
    assert_int_equal(system(command), 0);
}

static void tls_listener(struct fixture *fixture)
{
    struct gw_listener_options options = {"127.0.0.1", .certificate_file = certificate, .key_file = key};

    assert_non_null(mkdtemp(directory));
    certificate_make("sensor");
    certificate_make("other");
    snprintf(certificate, sizeof(certificate), "%s/sensor.crt", directory);
    snprintf(other, sizeof(other), "%s/other.crt", directory);
    snprintf(key, sizeof(key), "%s/sensor.key", directory);
    gw_listener_close(fixture->listener);
    assert_int_equal(gw_listener_open(&fixture->listener, fixture->loop, &options, &hooks, fixture, NULL), 0);
    snprintf(fixture->url, sizeof(fixture->url), "https://127.0.0.1:%u/in",
             gw_listener_port(fixture->listener));
}

static void file_read(const char *path, char text[static 4096])
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    text[fread(text, 1, 4095, file)] = '\0';
    fclose(file);
}

static void certificates_are_verified(void **state)
{
    struct fixture *fixture = *state;
    char host[64], command[64], pem[4096];

    tls_listener(fixture);
    target_open(fixture, (struct gw_http_options){.ca_file = other});
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 0);
    assert_non_null(strstr(fixture->fault, ": certificate verify failed: self-signed certificate"));
    target_open(fixture, (struct gw_http_options){.ca_file = certificate});
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_non_null(strstr(fixture->fault, ": certificate verify failed: "));
    target_open(fixture, (struct gw_http_options){.ca_file = certificate, .server_name = "sensor.example"});
    exchange(fixture, GW_HTTP_POST, "/y", "x", NULL);
    assert_string_equal(fixture->fault, "");
    assert_int_equal(fixture->status, 202);
    snprintf(host, sizeof(host), "|Host=127.0.0.1:%u|", gw_listener_port(fixture->listener));
    assert_true(saw(fixture, "POST /in/y?") && saw(fixture, host));
    target_open(fixture, (struct gw_http_options){.insecure = true});
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 202);
    file_read(certificate, pem);
    target_open(fixture,
                (struct gw_http_options){.ca_pem = gw_view_text(pem), .server_name = "sensor.example"});
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 202);
    file_read(other, pem);
    target_open(fixture,
                (struct gw_http_options){.ca_pem = gw_view_text(pem), .server_name = "sensor.example"});
    memset(pem, 0, sizeof(pem)); /* it was copied */
    exchange(fixture, GW_HTTP_POST, NULL, "x", NULL);
    assert_int_equal(fixture->status, 0);
    assert_non_null(strstr(fixture->fault, ": certificate verify failed: self-signed certificate"));
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_carries_what_was_asked_for),
        CASE(every_method_is_sent_with_its_body),
        CASE(a_large_body_arrives_whole),
        CASE(connections_are_reused),
        CASE(waiting_and_moving_are_told_not_done),
        CASE(wrong_options_are_refused_in_words),
        CASE(a_refusal_counts_though_its_body_is_cut_off),
        CASE(faults_are_told_in_plain_words),
        CASE(a_kept_connection_on_which_nothing_comes_is_told_as_such),
        CASE(a_connection_the_peer_closed_is_replaced),
        CASE(a_cancelled_call_is_silent),
        CASE(a_connection_given_up_leaves_nothing_behind),
        CASE(everything_may_be_closed_in_an_answer),
        CASE(certificates_are_verified),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
