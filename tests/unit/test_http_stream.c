/* The HTTP client: answers that are streams, limits of one request, proxies, and connections that are watched over. */
#include "common/http.h"
#include "tests/unit/raw_fixture.h"

#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

/* No test of how curl takes a call can be made with curl alone. */
int __real_curl_multi_add_handle(void *multi, void *easy);
int __wrap_curl_multi_add_handle(void *multi, void *easy);
static int refuse_with;

int __wrap_curl_multi_add_handle(void *multi, void *easy)
{
    return refuse_with != 0 ? refuse_with : __real_curl_multi_add_handle(multi, easy);
}

enum { DEADLINE_MS = 30000 };

struct fixture {
    struct gw_loop *loop;
    struct gw_http *http;
    struct gw_http_target *target;
    struct gw_http_call *call, *other;
    struct raw raw;
    struct gw_bytes streamed;
    int chunks, answers, status;
    bool truncated;
    size_t body_size;
    char fault[GW_REASON_MAX], body[256];
    enum { NOTHING, CANCEL, CANCEL_OTHER, CLOSE_TARGET, CLOSE_HTTP, SEND } then;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    if (fixture == NULL || gw_loop_open(&fixture->loop) != 0 ||
        gw_http_open(&fixture->http, fixture->loop, 8) != 0)
        return -1;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    gw_http_close(fixture->http);
    gw_http_target_close(fixture->target);
    if (fixture->raw.poll != NULL)
        raw_close(&fixture->raw);
    gw_loop_close(fixture->loop);
    gw_bytes_done(&fixture->streamed);
    free(fixture);
    return 0;
}

static void on_done(void *user, const struct gw_http_answer *answer)
{
    struct fixture *fixture = user;

    fixture->answers++;
    fixture->status = answer->status;
    fixture->truncated = answer->truncated;
    fixture->body_size = answer->body.size;
    snprintf(fixture->fault, sizeof(fixture->fault), "%s", answer->fault);
    snprintf(fixture->body, sizeof(fixture->body), "%.*s", (int)GW_MIN(answer->body.size, (size_t)200),
             answer->body.data != NULL ? answer->body.data : "");
}

static void on_chunk(void *user, struct gw_view bytes)
{
    struct fixture *fixture = user;
    const struct gw_http_request request = {.method = GW_HTTP_GET, .path = "/next"};

    fixture->chunks++;
    if (fixture->then == CANCEL)
        gw_http_cancel(fixture->call);
    if (fixture->then == CANCEL_OTHER)
        gw_http_cancel(GW_TAKE(fixture->other));
    if (fixture->then == CLOSE_TARGET)
        fixture->target = gw_http_target_close(fixture->target);
    if (fixture->then == CLOSE_HTTP)
        fixture->http = gw_http_close(fixture->http);
    if (fixture->then == SEND)
        assert_int_equal(gw_http_send(fixture->target, &request, on_done, fixture, &fixture->other), 0);
    gw_bytes_append_view(&fixture->streamed, bytes); /* whatever was closed: the bytes are still there */
}

static void turn_until(struct fixture *fixture, const int *count, int wanted)
{
    int64_t deadline = gw_loop_now_ms(fixture->loop) + DEADLINE_MS;

    while (*count < wanted) {
        gw_loop_turn(fixture->loop, 20);
        if (gw_loop_now_ms(fixture->loop) > deadline)
            fail_msg("%d instead of %d", *count, wanted);
    }
}

static void turn_until_streamed(struct fixture *fixture, const char *text)
{
    int64_t deadline = gw_loop_now_ms(fixture->loop) + DEADLINE_MS;

    while (!gw_view_is(gw_bytes_view(&fixture->streamed), text)) {
        gw_loop_turn(fixture->loop, 20);
        if (gw_loop_now_ms(fixture->loop) > deadline)
            fail_msg("\"%s\" instead of \"%s\"", gw_bytes_text(&fixture->streamed), text);
    }
}

static void target_open(struct fixture *fixture, struct gw_http_options options)
{
    struct gw_reason reason = {""};

    if (options.url == NULL)
        options.url = fixture->raw.url;
    if (gw_http_target_open(&fixture->target, fixture->http, &options, &reason) != 0)
        fail_msg("%s", reason.text);
}

static void send_request(struct fixture *fixture, struct gw_http_request request)
{
    assert_int_equal(gw_http_send(fixture->target, &request, on_done, fixture, &fixture->call), 0);
}

static void stream_open(struct fixture *fixture, const char *words)
{
    raw_open(&fixture->raw, fixture->loop, "http", words, false);
    target_open(fixture, (struct gw_http_options){.timeout_ms = 100});
    send_request(fixture, (struct gw_http_request){.chunk = on_chunk, .timeout_ms = -1});
    turn_until(fixture, &fixture->chunks, 1);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* ---- streams ---- */

static void a_stream_is_handed_on_as_it_comes_and_outlasts_the_targets_timeout(void **state)
{
    struct fixture *fixture = *state;

    stream_open(fixture, CHUNKED "3\r\none\r\n");
    turn_until_streamed(fixture, "one");
    for (int i = 0; i < 10; i++)
        gw_loop_turn(fixture->loop, 30);
    assert_int_equal(fixture->answers, 0);
    raw_say(&fixture->raw, "3\r\ntwo\r\n");
    turn_until_streamed(fixture, "onetwo");
    raw_say(&fixture->raw, "0\r\n\r\n");
    turn_until(fixture, &fixture->answers, 1);
    assert_int_equal(fixture->status, 200);
    assert_int_equal(fixture->body_size, 0);
    assert_false(fixture->truncated);
}

static void a_stream_that_is_cut_keeps_what_came_and_ends_with_a_fault(void **state)
{
    struct fixture *fixture = *state;

    stream_open(fixture, CHUNKED "3\r\none\r\n5\r\ntw");
    turn_until_streamed(fixture, "onetw");
    shutdown(fixture->raw.connection, SHUT_RDWR);
    turn_until(fixture, &fixture->answers, 1);
    assert_int_equal(fixture->status, 0);
    assert_non_null(strstr(fixture->fault, "127.0.0.1:"));
}

static void an_answer_that_is_no_success_is_kept_not_streamed(void **state)
{
    struct fixture *fixture = *state;

    raw_open(&fixture->raw, fixture->loop, "http", "HTTP/1.1 410 Gone\r\nContent-Length: 8\r\n\r\nexpired!",
             false);
    target_open(fixture, (struct gw_http_options){0});
    send_request(fixture, (struct gw_http_request){.chunk = on_chunk, .answer_max = 7});
    turn_until(fixture, &fixture->answers, 1);
    assert_int_equal(fixture->chunks, 0);
    assert_int_equal(fixture->status, 410);
    assert_string_equal(fixture->body, "expired");
    assert_true(fixture->truncated);
}

static void a_large_stream_comes_whole(void **state)
{
    enum { SIZE = 20000000 };
    struct fixture *fixture = *state;
    char head[128], *body = malloc(SIZE);
    size_t sent = 0;

    assert_non_null(body);
    for (size_t i = 0; i < SIZE; i++)
        body[i] = (char)('a' + i % 23);
    snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx", SIZE + 1);
    stream_open(fixture, head);
    while (fixture->answers == 0) {
        ssize_t more = sent == SIZE ? 0
                                    : send(fixture->raw.connection, body + sent,
                                           GW_MIN(SIZE - sent, (size_t)1 << 20), MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += more > 0 ? (size_t)more : 0;
        gw_loop_turn(fixture->loop, 1);
    }
    assert_int_equal(fixture->streamed.size, SIZE + 1);
    assert_memory_equal(fixture->streamed.data + 1, body, SIZE);
    free(body);
}

static void everything_may_be_ended_within_a_chunk(void **state)
{
    static const int endings[] = {CANCEL, CLOSE_TARGET, CLOSE_HTTP};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < GW_COUNT_OF(endings); i++) {
        fixture->chunks = fixture->answers = 0;
        gw_bytes_clear(&fixture->streamed);
        fixture->then = endings[i];
        stream_open(fixture, CHUNKED "3\r\none\r\n0\r\n\r\n");
        for (int turn = 0; turn < 5; turn++)
            gw_loop_turn(fixture->loop, 5);
        assert_int_equal(fixture->answers, 0);
        assert_int_equal(fixture->chunks, 1);
        assert_true(gw_view_is(gw_bytes_view(&fixture->streamed), "one"));
        fixture->target = gw_http_target_close(fixture->target);
        raw_close(&fixture->raw);
        fixture->raw.poll = NULL;
        if (fixture->http == NULL)
            assert_int_equal(gw_http_open(&fixture->http, fixture->loop, 8), 0);
    }
}

static void one_stream_may_cancel_another(void **state)
{
    struct fixture *fixture = *state;
    struct gw_http_target *target = NULL;
    struct raw raw;
    const struct gw_http_request request = {.chunk = on_chunk};

    stream_open(fixture, CHUNKED "3\r\none\r\n");
    raw_open(&raw, fixture->loop, "http", CHUNKED, false);
    assert_int_equal(
        gw_http_target_open(&target, fixture->http, &(struct gw_http_options){.url = raw.url}, NULL), 0);
    assert_int_equal(gw_http_send(target, &request, on_done, fixture, &fixture->other), 0);
    while (raw.seen[0] == '\0')
        gw_loop_turn(fixture->loop, 5);
    fixture->then = CANCEL_OTHER;
    raw_say(&raw, "3\r\ntwo\r\n");
    raw_say(&fixture->raw, "5\r\nthree\r\n");
    while (strstr(gw_bytes_text(&fixture->streamed), "three") == NULL)
        gw_loop_turn(fixture->loop, 5);
    (void)!send(raw.connection, "4\r\nlate\r\n", 9, MSG_NOSIGNAL);
    for (int i = 0; i < 5; i++)
        gw_loop_turn(fixture->loop, 5);
    assert_null(strstr(gw_bytes_text(&fixture->streamed), "late"));
    assert_int_equal(fixture->answers, 0);
    gw_http_target_close(target);
    raw_close(&raw);
}

static void a_request_may_be_sent_within_a_chunk(void **state)
{
    struct fixture *fixture = *state;

    fixture->then = SEND;
    raw_open(&fixture->raw, fixture->loop, "http",
             "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", true);
    target_open(fixture, (struct gw_http_options){0});
    send_request(fixture, (struct gw_http_request){.chunk = on_chunk});
    turn_until(fixture, &fixture->answers, 2);
    assert_int_equal(fixture->chunks, 1);
    assert_int_equal(fixture->status, 200);
    assert_string_equal(fixture->body, "ok");
}

/* ---- limits ---- */

static void a_stream_without_a_byte_for_too_long_is_ended_in_words(void **state)
{
    struct fixture *fixture = *state;
    int64_t begin, took;

    raw_open(&fixture->raw, fixture->loop, "http", CHUNKED "3\r\none\r\n", false);
    target_open(fixture, (struct gw_http_options){0});
    send_request(fixture, (struct gw_http_request){.chunk = on_chunk, .timeout_ms = -1, .idle_ms = 400});
    turn_until(fixture, &fixture->chunks, 1);
    for (int i = 0; i < 10; i++) { /* bytes now and then keep it up */
        raw_say(&fixture->raw, "1\r\n.\r\n");
        for (begin = gw_loop_now_ms(fixture->loop); gw_loop_now_ms(fixture->loop) - begin < 60;)
            gw_loop_turn(fixture->loop, 10);
    }
    assert_int_equal(fixture->answers, 0);
    begin = gw_loop_now_ms(fixture->loop);
    turn_until(fixture, &fixture->answers, 1);
    took = gw_loop_now_ms(fixture->loop) - begin;
    assert_int_equal(fixture->status, 0);
    assert_non_null(strstr(fixture->fault, ": no byte within 400ms"));
    assert_true(took >= 250);
    send_request(fixture, (struct gw_http_request){.timeout_ms = 300}); /* the next has no such limit */
    turn_until(fixture, &fixture->answers, 2);
    assert_non_null(strstr(fixture->fault, ": no answer within 300ms"));
}

static void a_request_has_a_timeout_of_its_own(void **state)
{
    struct fixture *fixture = *state;

    raw_open(&fixture->raw, fixture->loop, "http", NULL, false);
    target_open(fixture, (struct gw_http_options){.timeout_ms = 25});
    send_request(fixture, (struct gw_http_request){.timeout_ms = 150});
    turn_until(fixture, &fixture->answers, 1);
    assert_non_null(strstr(fixture->fault, ": no answer within 150ms"));
    send_request(fixture, (struct gw_http_request){0});
    turn_until(fixture, &fixture->answers, 2);
    assert_non_null(strstr(fixture->fault, ": no answer within 25ms"));
}

static void an_answer_is_kept_up_to_the_requests_limit(void **state)
{
    struct fixture *fixture = *state;

    raw_open(&fixture->raw, fixture->loop, "http",
             "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n0123456789", true);
    target_open(fixture, (struct gw_http_options){0});
    send_request(fixture, (struct gw_http_request){.answer_max = 9});
    turn_until(fixture, &fixture->answers, 1);
    assert_int_equal(fixture->status, 200);
    assert_string_equal(fixture->body, "012345678");
    assert_true(fixture->truncated);
    send_request(fixture, (struct gw_http_request){.answer_max = 10});
    turn_until(fixture, &fixture->answers, 2);
    assert_string_equal(fixture->body, "0123456789");
    assert_false(fixture->truncated);
}

static void a_call_that_curl_does_not_take_ends_with_a_fault_in_words(void **state)
{
    enum { OUT_OF_MEMORY = 3, INTERNAL_ERROR = 4 };
    struct fixture *fixture = *state;
    const struct gw_http_request request = {.method = GW_HTTP_GET};

    raw_open(&fixture->raw, fixture->loop, "http", "HTTP/1.1 204 No Content\r\n\r\n", false);
    target_open(fixture, (struct gw_http_options){0});
    refuse_with = INTERNAL_ERROR;
    send_request(fixture, request);
    assert_int_equal(fixture->answers, 0);
    turn_until(fixture, &fixture->answers, 1);
    assert_int_equal(fixture->status, 0);
    assert_non_null(strstr(fixture->fault, ": internal error"));
    send_request(fixture, request);
    gw_http_cancel(fixture->call);
    gw_loop_turn(fixture->loop, 10);
    assert_int_equal(fixture->answers, 1);
    refuse_with = OUT_OF_MEMORY;
    assert_int_equal(gw_http_send(fixture->target, &request, on_done, fixture, NULL), -ENOMEM);
    refuse_with = 0;
    send_request(fixture, request);
    turn_until(fixture, &fixture->answers, 2);
    assert_int_equal(fixture->status, 204);
}

/* ---- connections ---- */

/* Of the client's own end of its connection to the raw peer. */
static int client_socket(struct fixture *fixture)
{
    struct sockaddr_in mine, peer, wanted;
    socklen_t size = sizeof(wanted);

    assert_int_equal(getsockname(fixture->raw.listening, (struct sockaddr *)&wanted, &size), 0);
    for (int descriptor = 0; descriptor < 256; descriptor++) {
        socklen_t mine_size = sizeof(mine), peer_size = sizeof(peer);

        if (getsockname(descriptor, (struct sockaddr *)&mine, &mine_size) == 0 &&
            getpeername(descriptor, (struct sockaddr *)&peer, &peer_size) == 0 &&
            peer.sin_port == wanted.sin_port && mine.sin_port != wanted.sin_port)
            return descriptor;
    }
    fail_msg("no connection");
    return -1;
}

static int socket_number(int descriptor, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);

    assert_int_equal(getsockopt(descriptor, level, option, &value, &size), 0);
    return value;
}

static void a_silent_connection_is_probed(void **state)
{
    struct fixture *fixture = *state;
    int descriptor;

    stream_open(fixture, CHUNKED "3\r\none\r\n");
    descriptor = client_socket(fixture);
    assert_int_equal(socket_number(descriptor, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(socket_number(descriptor, IPPROTO_TCP, TCP_KEEPIDLE), 30);
    assert_int_equal(socket_number(descriptor, IPPROTO_TCP, TCP_KEEPINTVL), 15);
    assert_int_equal(socket_number(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT), 60000);
}

static void a_request_goes_through_the_proxy_that_is_given(void **state)
{
    struct fixture *fixture = *state;

    setenv("no_proxy", "*", 1);
    raw_open(&fixture->raw, fixture->loop, "http", "HTTP/1.1 204 No Content\r\n\r\n", false);
    target_open(fixture,
                (struct gw_http_options){.url = "http://somewhere.invalid/x", .proxy = fixture->raw.url});
    send_request(fixture, (struct gw_http_request){0});
    turn_until(fixture, &fixture->answers, 1);
    unsetenv("no_proxy");
    assert_int_equal(fixture->status, 204);
    assert_non_null(strstr(fixture->raw.seen, "GET http://somewhere.invalid/x HTTP/1.1"));
}

static void a_proxy_that_lets_nobody_through_is_a_fault(void **state)
{
    struct fixture *fixture = *state;

    raw_open(&fixture->raw, fixture->loop, "http", "HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", false);
    target_open(fixture,
                (struct gw_http_options){.url = "https://somewhere.invalid/x", .proxy = fixture->raw.url});
    send_request(fixture, (struct gw_http_request){0});
    turn_until(fixture, &fixture->answers, 1);
    assert_int_equal(fixture->status, 0);
    assert_non_null(strstr(fixture->fault, "somewhere.invalid:443: "));
    assert_non_null(strstr(fixture->fault, "response 407"));
    assert_non_null(strstr(fixture->raw.seen, "CONNECT somewhere.invalid:443 HTTP/1.1"));
}

static void the_environments_proxy_counts_only_when_asked_for(void **state)
{
    struct fixture *fixture = *state;

    raw_open(&fixture->raw, fixture->loop, "http", "HTTP/1.1 204 No Content\r\n\r\n", false);
    setenv("http_proxy", fixture->raw.url, 1);
    target_open(fixture, (struct gw_http_options){.url = "http://somewhere.invalid/x"});
    send_request(fixture, (struct gw_http_request){0});
    turn_until(fixture, &fixture->answers, 1);
    assert_string_equal(fixture->fault, "somewhere.invalid:80: no address found for this name");
    gw_http_target_close(fixture->target);
    target_open(fixture,
                (struct gw_http_options){.url = "http://somewhere.invalid/x", .proxy_of_environment = true});
    send_request(fixture, (struct gw_http_request){0});
    turn_until(fixture, &fixture->answers, 2);
    unsetenv("http_proxy");
    assert_int_equal(fixture->status, 204);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_stream_is_handed_on_as_it_comes_and_outlasts_the_targets_timeout),
        CASE(a_stream_that_is_cut_keeps_what_came_and_ends_with_a_fault),
        CASE(an_answer_that_is_no_success_is_kept_not_streamed),
        CASE(a_large_stream_comes_whole),
        CASE(everything_may_be_ended_within_a_chunk),
        CASE(one_stream_may_cancel_another),
        CASE(a_request_may_be_sent_within_a_chunk),
        CASE(a_stream_without_a_byte_for_too_long_is_ended_in_words),
        CASE(a_request_has_a_timeout_of_its_own),
        CASE(an_answer_is_kept_up_to_the_requests_limit),
        CASE(a_call_that_curl_does_not_take_ends_with_a_fault_in_words),
        CASE(a_silent_connection_is_probed),
        CASE(a_request_goes_through_the_proxy_that_is_given),
        CASE(a_proxy_that_lets_nobody_through_is_a_fault),
        CASE(the_environments_proxy_counts_only_when_asked_for),
    };
    return cmocka_run_group_tests_name("http_stream", tests, NULL, NULL);
}
