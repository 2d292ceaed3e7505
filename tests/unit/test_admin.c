/* The admin address, asked by our own HTTP client. */
#include "common/admin.h"
#include "common/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct gw_loop *loop;
    struct gw_http *http;
    struct gw_http_target *target;
    struct gw_metrics *metrics;
    struct gw_admin *admin;
    bool ready, answered;
    int posts, status;
    char body[1024], type[128];
};

static bool is_ready(void *user, struct gw_reason *reason)
{
    struct fixture *fixture = user;

    gw_reason_set(reason, "2 of 3 event sources are not connected");
    return fixture->ready;
}

static int status_get(void *user, const char *query, struct gw_view body, struct gw_bytes *out)
{
    (void)user;
    (void)body;
    gw_bytes_printf(out, "{\"query\":\"%s\"}", query);
    return 200;
}

static int replay_post(void *user, const char *query, struct gw_view body, struct gw_bytes *out)
{
    struct fixture *fixture = user;

    (void)query;
    fixture->posts++;
    gw_bytes_printf(out, "{\"got\":%zu}", body.size);
    return 202;
}

static const struct gw_admin_page pages[] = {
    {"GET", "/api/v1/status", status_get},
    {"POST", "/api/v1/replay", replay_post},
    {0},
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct gw_admin_options options = {"127.0.0.1:0", NULL, is_ready, pages, fixture};
    char url[64];

    if (fixture == NULL || gw_loop_open(&fixture->loop) != 0 ||
        gw_http_open(&fixture->http, fixture->loop, 4) != 0)
        return -1;
    options.metrics = fixture->metrics = gw_metrics_new();
    gw_series_add(
        gw_family_series(gw_metrics_family(fixture->metrics, GW_COUNTER, "tries_total", "Tries", "", NULL, 0),
                         NULL),
        3);
    if (gw_admin_open(&fixture->admin, fixture->loop, &options, NULL) != 0)
        return -1;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", gw_admin_port(fixture->admin));
    if (gw_http_target_open(&fixture->target, fixture->http, &(struct gw_http_options){.url = url}, NULL) !=
        0)
        return -1;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    gw_http_target_close(fixture->target);
    gw_http_close(fixture->http);
    gw_admin_close(fixture->admin);
    gw_loop_close(fixture->loop);
    gw_metrics_free(fixture->metrics);
    free(fixture);
    return 0;
}

static void on_done(void *user, const struct gw_http_answer *answer)
{
    struct fixture *fixture = user;

    fixture->answered = true;
    fixture->status = answer->status;
    snprintf(fixture->body, sizeof(fixture->body), "%.*s", (int)answer->body.size,
             answer->body.size > 0 ? answer->body.data : "");
    snprintf(fixture->type, sizeof(fixture->type), "%.*s", (int)answer->content_type.size,
             answer->content_type.size > 0 ? answer->content_type.data : "");
}

static int ask(struct fixture *fixture, enum gw_http_method method, const char *path,
               const char *const *headers)
{
    struct gw_http_request request = {.method = method,
                                      .path = path,
                                      .headers = headers,
                                      .body = gw_view_text(method == GW_HTTP_POST ? "{}" : NULL)};
    int64_t deadline = gw_loop_now_ms(fixture->loop) + 20000;

    fixture->answered = false;
    assert_int_equal(gw_http_send(fixture->target, &request, on_done, fixture, NULL), 0);
    while (!fixture->answered) {
        gw_loop_turn(fixture->loop, 20);
        assert_true(gw_loop_now_ms(fixture->loop) < deadline);
    }
    return fixture->status;
}

static void health_and_readiness_are_told(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, GW_HTTP_GET, "/healthz", NULL), 200);
    assert_int_equal(ask(fixture, GW_HTTP_GET, "/livez", NULL), 200);
    assert_string_equal(fixture->body, "ok\n");
    assert_int_equal(ask(fixture, GW_HTTP_GET, "/readyz", NULL), 503);
    assert_string_equal(fixture->body, "2 of 3 event sources are not connected\n");
    fixture->ready = true;
    assert_int_equal(ask(fixture, GW_HTTP_GET, "/readyz?verbose", NULL), 200);
    assert_string_equal(fixture->body, "ok: 2 of 3 event sources are not connected\n");
}

static void metrics_are_in_the_text_format(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, GW_HTTP_GET, "/metrics", NULL), 200);
    assert_string_equal(fixture->type, "text/plain; version=0.0.4; charset=utf-8");
    assert_non_null(strstr(fixture->body, "tries_total 3\n"));
}

static void pages_answer_in_json(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, GW_HTTP_GET, "/api/v1/status?a=b", NULL), 200);
    assert_string_equal(fixture->type, "application/json");
    assert_string_equal(fixture->body, "{\"query\":\"a=b\"}");
    assert_int_equal(ask(fixture, GW_HTTP_GET, "/api/v1/nothing", NULL), 404);
    assert_string_equal(fixture->type, "application/problem+json");
    assert_int_equal(ask(fixture, GW_HTTP_DELETE, "/api/v1/status", NULL), 405);
    assert_int_equal(ask(fixture, GW_HTTP_POST, "/metrics", NULL), 405);
    assert_int_equal(ask(fixture, GW_HTTP_GET, "/api/v1/replay", NULL), 405);
}

static void a_post_is_taken_from_those_who_may(void **state)
{
    static const struct {
        const char *headers[4];
        int status;
    } cases[] = {
        {{"Content-Type: application/json"}, 202},
        {{"Content-Type: application/json; charset=utf-8"}, 202},
        {{"Content-Type: text/plain"}, 415},
        {{NULL}, 415},
        {{"Content-Type: application/json", "Origin: http://evil.example"}, 403},
        {{"Content-Type: application/json", "Origin: null"}, 403},
        {{"Content-Type: application/json", "Origin: http://evil.example", "Host: evil.example"}, 403},
        {{"Content-Type: application/json", "Origin: http://localhost:1", "Host: localhost:1"}, 202},
        {{"Content-Type: application/json", "Origin: http://[::1]:1", "Host: [::1]:1"}, 202},
        {{"Content-Type: application/json", "Host: gateway.ns.svc"}, 202},
    };
    struct fixture *fixture = *state;
    int posts = 0;

    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        assert_int_equal(ask(fixture, GW_HTTP_POST, "/api/v1/replay", cases[i].headers), cases[i].status);
        posts += cases[i].status == 202;
        assert_int_equal(fixture->posts, posts);
    }
    assert_string_equal(fixture->body, "{\"got\":2}");
}

static void addresses_are_split(void **state)
{
    static const struct {
        const char *text, *address;
        int port; /* -1: refused */
    } cases[] = {
        {"127.0.0.1:9301", "127.0.0.1", 9301},
        {":80", "", 80},
        {"[::1]:0", "::1", 0},
        {"localhost:65535", "localhost", 65535},
        {"127.0.0.1", NULL, -1},
        {"a:65536", NULL, -1},
        {"::1:80", NULL, -1},
        {"", NULL, -1},
        {"a:", NULL, -1},
        {"a:-1", NULL, -1},
    };
    char address[GW_ADDRESS_MAX];
    struct gw_reason reason;
    uint16_t port;

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        int result = gw_address_split(cases[i].text, address, &port, &reason);
        assert_int_equal(result, cases[i].port < 0 ? -EINVAL : 0);
        if (result == 0) {
            assert_string_equal(address, cases[i].address);
            assert_int_equal(port, cases[i].port);
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(health_and_readiness_are_told),
        CASE(metrics_are_in_the_text_format),
        CASE(pages_answer_in_json),
        CASE(a_post_is_taken_from_those_who_may),
        cmocka_unit_test(addresses_are_split),
    };
    return cmocka_run_group_tests_name("admin", tests, NULL, NULL);
}
