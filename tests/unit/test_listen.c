/* The HTTP server, spoken to by raw sockets, and by curl(1) over TLS. */
#include "common/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000, KEPT_MAX = 64 };

/* A server that notes what it sees and answers as its path says. */
struct server {
    struct gw_loop *loop;
    struct gw_listener *listener;
    int heads, completes, ends, warnings;
    int64_t body_max;
    char seen[512], body[4096], warning[GW_REASON_MAX];
    size_t body_size;
    struct gw_request *kept[KEPT_MAX];
    int kept_count;
    bool close_in_hook;
};

static void on_each(void *user, const char *name, const char *value)
{
    struct gw_bytes *out = user;

    gw_bytes_printf(out, "%s=%s|", name, value);
}

static int64_t on_headers(void *user, struct gw_request *request)
{
    struct server *server = user;

    server->heads++;
    if (strcmp(gw_request_path(request), "/refused") == 0) {
        gw_request_problem(request, 401, (const char *[]){"WWW-Authenticate: Basic", NULL},
                           "who are \"you\"?");
        return -1;
    }
    return server->body_max;
}

static void on_complete(void *user, struct gw_request *request)
{
    struct server *server = user;
    struct gw_view body = gw_request_body(request);
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    server->completes++;
    server->body_size = body.size;
    if (body.size > 0)
        memcpy(server->body, body.data, GW_MIN(body.size, sizeof(server->body)));
    snprintf(server->seen, sizeof(server->seen), "%s %s ?%s %s", gw_request_method(request),
             gw_request_path(request), gw_request_query(request), gw_request_peer(request));
    if (server->close_in_hook) {
        server->listener = gw_listener_close(server->listener);
        return;
    }
    if (strcmp(gw_request_path(request), "/free") == 0)
        for (int i = 0; i < server->kept_count; i++)
            gw_request_reply(server->kept[i], 202, NULL, gw_view(NULL, 0));
    if (strcmp(gw_request_path(request), "/later") == 0) {
        gw_request_set_user(request, server);
        server->kept[server->kept_count++] = request;
        return;
    }
    if (strcmp(gw_request_path(request), "/headers") == 0)
        gw_request_headers(request, on_each, &out);
    else
        gw_bytes_append_text(&out, gw_request_path(request));
    gw_request_reply(request, 200, (const char *[]){"Content-Type: text/plain", "X-Empty:", NULL},
                     gw_bytes_view(&out));
    gw_request_reply(request, 500, NULL, gw_view_text("a second answer is ignored"));
}

static void on_ended(void *user, struct gw_request *request)
{
    struct server *server = user;

    server->ends++;
    for (int i = 0; i < server->kept_count; i++)
        if (server->kept[i] == request)
            server->kept[i] = NULL;
}

static void on_warn(void *user, const char *text)
{
    struct server *server = user;

    server->warnings++;
    snprintf(server->warning, sizeof(server->warning), "%s", text);
}

static const struct gw_listener_hooks hooks = {on_headers, on_complete, on_ended, on_warn};

static void server_open(struct server *server, const struct gw_listener_options *options)
{
    struct gw_reason reason = {""};

    server->body_max = 1000;
    if (gw_listener_open(&server->listener, server->loop, options, &hooks, server, &reason) != 0)
        fail_msg("%s", reason.text);
}

static int setup(void **state)
{
    struct server *server = calloc(1, sizeof(*server));

    if (server == NULL || gw_loop_open(&server->loop) != 0)
        return -1;
    *state = server;
    return 0;
}

static int teardown(void **state)
{
    struct server *server = *state;

    gw_listener_close(server->listener);
    gw_loop_close(server->loop);
    free(server);
    return 0;
}

static const struct gw_listener_options plain = {.address = "127.0.0.1"};

/* ---- a peer ---- */

static int dial(const struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(gw_listener_port(server->listener))};
    int peer = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, sizeof(address)), 0);
    return peer;
}

static void say(int peer, const char *text)
{
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Turns the loop until the peer's answer holds `wanted` for the `times`-th time, or, with NULL, until it was
 * cut. */
static const char *hear(struct server *server, int peer, const char *wanted, int times)
{
    static char answer[65536];
    size_t size = 0;
    int64_t deadline = gw_loop_now_ms(server->loop) + DEADLINE_MS;

    memset(answer, 0, sizeof(answer));
    for (;;) {
        ssize_t got = recv(peer, answer + size, sizeof(answer) - 1 - size, MSG_DONTWAIT);
        int found = 0;

        size += got > 0 ? (size_t)got : 0;
        for (const char *at = answer; wanted != NULL && (at = strstr(at, wanted)) != NULL; at++)
            found++;
        if (wanted != NULL ? found >= times : got == 0 || (got < 0 && errno == ECONNRESET))
            return answer;
        if ((got == 0 && wanted != NULL) || gw_loop_now_ms(server->loop) > deadline)
            fail_msg("heard only: \"%s\", not: %s", answer, wanted);
        gw_loop_turn(server->loop, 5);
    }
}

static void wait_for(struct server *server, const int *count, int wanted)
{
    int64_t deadline = gw_loop_now_ms(server->loop) + DEADLINE_MS;

    while (*count < wanted) {
        gw_loop_turn(server->loop, 20);
        assert_true(gw_loop_now_ms(server->loop) < deadline);
    }
}

static void pass(struct server *server, int ms)
{
    for (int64_t until = gw_loop_now_ms(server->loop) + ms; gw_loop_now_ms(server->loop) < until;)
        gw_loop_turn(server->loop, 5);
}

/* ---- requests ---- */

static void a_request_is_seen_as_it_was_sent(void **state)
{
    struct server *server = *state;
    int peer;

    server_open(server, &plain);
    peer = dial(server);
    say(peer, "POST /a%2Fb/+?x=%20&y HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhel");
    wait_for(server, &server->heads, 1);
    say(peer, "lo");
    assert_non_null(strstr(hear(server, peer, "/a%2Fb/+", 1), "HTTP/1.1 200 OK"));
    assert_ptr_equal(strstr(server->seen, "POST /a%2Fb/+ ?x=%20&y 127.0.0.1:"), server->seen);
    assert_memory_equal(server->body, "hello", 5);
    wait_for(server, &server->ends, 1);
    say(peer, "GET http://h/whole?q HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)hear(server, peer, "/whole", 1);
    assert_ptr_equal(strstr(server->seen, "GET /whole ?q "), server->seen);
    assert_int_equal(server->body_size, 0);
    say(peer, "GET /headers HTTP/1.1\r\nHost: h\r\nX-Some: thing\r\n\r\n");
    (void)hear(server, peer, "Host=h|X-Some=thing|", 1);
    close(peer);
}

static void chunks_and_an_expectation_are_understood(void **state)
{
    struct server *server = *state;
    int peer;

    server_open(server, &plain);
    peer = dial(server);
    say(peer,
        "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    (void)hear(server, peer, "/c", 1);
    assert_int_equal(server->body_size, 5);
    assert_memory_equal(server->body, "abcde", 5);
    say(peer, "POST /e HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    (void)hear(server, peer, "100 Continue\r\n\r\n", 1);
    say(peer, "ok");
    (void)hear(server, peer, "/e", 1);
    close(peer);
}

static void a_refusal_comes_before_the_body_is_sent(void **state)
{
    struct server *server = *state;
    const char *answer;
    int peer;

    server_open(server, &plain);
    peer = dial(server);
    say(peer, "POST /refused HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    answer = hear(server, peer, "}\n", 1);
    assert_ptr_equal(strstr(answer, "HTTP/1.1 401 "), answer);
    assert_non_null(strstr(answer, "WWW-Authenticate: Basic"));
    assert_non_null(strstr(answer, "application/problem+json"));
    assert_non_null(
        strstr(answer, "{\"status\":401,\"title\":\"Unauthorized\",\"detail\":\"who are \\\"you\\\"?\"}"));
    wait_for(server, &server->ends, 1);
    assert_int_equal(server->completes, 0);
    close(peer);
}

static void a_body_that_is_too_large_is_answered_413(void **state)
{
    struct server *server = *state;
    char chunk[401];
    const char *answer;
    int peer;

    server_open(server, &plain);
    peer = dial(server);
    say(peer, "POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n");
    answer = hear(server, peer, "larger than 1000 bytes", 1);
    assert_ptr_equal(strstr(answer, "HTTP/1.1 413 "), answer);
    close(peer);
    peer = dial(server);
    say(peer, "POST /big HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        say(peer, "190\r\n");
        memset(chunk, 'x', 400);
        chunk[400] = '\0';
        say(peer, chunk);
        say(peer, "\r\n");
        gw_loop_turn(server->loop, 1);
    }
    say(peer, "0\r\n\r\n");
    answer = hear(server, peer, "larger than 1000 bytes", 1);
    assert_ptr_equal(strstr(answer, "HTTP/1.1 413 "), answer);
    assert_int_equal(server->completes, 0);
    close(peer);
    wait_for(server, &server->ends, 2);
    peer = dial(server);
    say(peer, "POST /endless HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4000000\r\n");
    while (server->ends < 3) {
        (void)!send(peer, chunk, 400, MSG_NOSIGNAL | MSG_DONTWAIT);
        gw_loop_turn(server->loop, 0);
    }
    close(peer);
}

static void heads_that_are_too_large_or_malformed_are_refused(void **state)
{
    struct server *server = *state;
    char head[9000];
    int peer;

    server_open(server, &(struct gw_listener_options){.address = "127.0.0.1", .header_size_max = 4096});
    peer = dial(server);
    memset(head, 'x', sizeof(head));
    memcpy(head, "GET / HTTP/1.1\r\nHost: h\r\nX: ", 28);
    strcpy(head + 6000, "\r\n\r\n");
    say(peer, head);
    (void)hear(server, peer, "HTTP/1.1 431 ", 1);
    close(peer);
    peer = dial(server);
    say(peer, "GET\x01/ nonsense\r\n\r\n");
    (void)hear(server, peer, NULL, 0);
    close(peer);
    assert_int_equal(server->completes, 0);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct server *server = *state;
    const char *answer, *first, *second, *third;
    int peer;

    server_open(server, &plain);
    peer = dial(server);
    say(peer, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nA"
              "POST /two HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nB"
              "GET /three HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for(server, &server->kept_count, 1);
    assert_memory_equal(server->body, "A", 1);
    assert_int_equal(server->completes, 1);
    gw_request_reply(server->kept[0], 200, NULL, gw_view_text("/one"));
    assert_int_equal(server->completes, 1); /* not from within a reply */
    answer = hear(server, peer, "/three", 1);
    first = strstr(answer, "/one");
    second = strstr(answer, "/two");
    third = strstr(answer, "/three");
    assert_true(first != NULL && first < second && second < third);
    wait_for(server, &server->ends, 3);
    close(peer);
}

static void many_may_wait_for_their_reply(void **state)
{
    struct server *server = *state;
    int peers[KEPT_MAX];

    server_open(server, &(struct gw_listener_options){.address = "127.0.0.1", .idle_timeout_ms = 150});
    for (int i = 0; i < KEPT_MAX; i++) {
        peers[i] = dial(server);
        say(peers[i], "PUT /later HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
    }
    wait_for(server, &server->kept_count, KEPT_MAX);
    pass(server, 1300); /* longer than the idle timeout, also as libmicrohttpd counts it */
    assert_int_equal(server->ends, 0);
    for (int i = 0; i < KEPT_MAX; i++) {
        assert_ptr_equal(gw_request_user(server->kept[i]), server);
        gw_request_reply(server->kept[i], 202, NULL, gw_view(NULL, 0));
    }
    for (int i = 0; i < KEPT_MAX; i++) {
        (void)hear(server, peers[i], "HTTP/1.1 202 ", 1);
        close(peers[i]);
    }
    assert_int_equal(server->ends, KEPT_MAX);
}

static void a_hook_may_answer_other_requests(void **state)
{
    struct server *server = *state;
    int waiting, freeing;

    server_open(server, &plain);
    waiting = dial(server);
    say(waiting, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for(server, &server->kept_count, 1);
    freeing = dial(server);
    say(freeing, "GET /free HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)hear(server, waiting, "HTTP/1.1 202 ", 1);
    (void)hear(server, freeing, "/free", 1);
    close(waiting);
    close(freeing);
}

/* ---- peers that misbehave ---- */

static void a_half_sent_request_is_ended(void **state)
{
    struct server *server = *state;
    int peer;

    server_open(server, &plain);
    peer = dial(server);
    say(peer, "POST /half HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n\r\nabc");
    wait_for(server, &server->heads, 1);
    close(peer);
    wait_for(server, &server->ends, 1);
    peer = dial(server);
    say(peer, "POST /half HTTP/1.1\r\nHo");
    gw_loop_turn(server->loop, 10);
    close(peer);
    gw_loop_turn(server->loop, 10);
    assert_int_equal(server->ends, 1);
    assert_int_equal(server->completes, 0);
}

static void trickle(struct server *server, const char *head)
{
    int peer = dial(server);
    int64_t start = gw_loop_now_ms(server->loop);
    char byte;

    say(peer, head);
    for (;;) {
        ssize_t got = recv(peer, &byte, 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        (void)!send(peer, "x", 1, MSG_NOSIGNAL);
        pass(server, 10);
        if (gw_loop_now_ms(server->loop) - start > DEADLINE_MS)
            fail_msg("a trickling sender is not cut");
    }
    assert_true(gw_loop_now_ms(server->loop) - start < 10000);
    close(peer);
}

static void a_trickling_sender_is_cut(void **state)
{
    struct server *server = *state;

    server_open(server, &(struct gw_listener_options){.address = "127.0.0.1", .idle_timeout_ms = 200});
    trickle(server, "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 900\r\n\r\n");
    wait_for(server, &server->ends, 1);
    trickle(server, "GET /slow HTTP/1.1\r\nHost: h\r\nX-Slow: ");
    trickle(server, "GET /");
    assert_int_equal(server->completes, 0);
    assert_int_equal(server->ends, 1);
}

static void an_idle_connection_is_cut(void **state)
{
    struct server *server = *state;
    int peer;

    server_open(server, &(struct gw_listener_options){.address = "127.0.0.1", .idle_timeout_ms = 100});
    peer = dial(server);
    say(peer, "GET /once HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)hear(server, peer, "/once", 1);
    (void)hear(server, peer, NULL, 0);
    close(peer);
}

static void a_reply_to_a_peer_that_left_is_ended(void **state)
{
    struct server *server = *state;
    int peer;

    server_open(server, &plain);
    peer = dial(server);
    say(peer, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    wait_for(server, &server->kept_count, 1);
    close(peer);
    gw_loop_turn(server->loop, 20);
    gw_request_reply(server->kept[0], 200, NULL, gw_view_text("too late"));
    wait_for(server, &server->ends, 1);
}

/* ---- opening and closing ---- */

static void closing_answers_503_to_those_who_wait(void **state)
{
    struct server *server = *state;
    const char *answer;
    int waiting, half;

    server_open(server, &plain);
    waiting = dial(server);
    half = dial(server);
    say(waiting, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    say(half, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n1");
    wait_for(server, &server->heads, 2);
    server->listener = gw_listener_close(server->listener);
    assert_int_equal(server->ends, 2);
    answer = hear(server, waiting, "}\n", 1);
    assert_ptr_equal(strstr(answer, "HTTP/1.1 503 "), answer);
    (void)hear(server, half, NULL, 0);
    close(waiting);
    close(half);
}

static void a_listener_may_be_closed_in_its_own_hook(void **state)
{
    struct server *server = *state;
    int peer;

    server_open(server, &plain);
    server->close_in_hook = true;
    peer = dial(server);
    say(peer, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)hear(server, peer, "HTTP/1.1 503 ", 1);
    assert_int_equal(server->ends, 1);
    close(peer);
}

static int open_descriptors(void)
{
    int count = 0;

    for (int i = 0; i < 1024; i++)
        count += fcntl(i, F_GETFD) >= 0;
    return count;
}

static void ports_are_given_back_and_conflicts_named(void **state)
{
    struct server *server = *state;
    struct gw_listener *second = NULL;
    struct gw_reason reason;
    char wanted[64];
    int before;
    uint16_t port;

    server_open(server, &plain);
    port = gw_listener_port(server->listener);
    assert_true(port > 0);
    before = open_descriptors();
    assert_int_equal(gw_listener_open(&second, server->loop,
                                      &(struct gw_listener_options){.address = "127.0.0.1", .port = port},
                                      &hooks, server, &reason),
                     -EADDRINUSE);
    snprintf(wanted, sizeof(wanted), "port %u on 127.0.0.1 is in use", port);
    assert_string_equal(reason.text, wanted);
    assert_int_equal(gw_listener_open(&second, server->loop, &(struct gw_listener_options){.port = port},
                                      &hooks, server, &reason),
                     -EADDRINUSE);
    assert_int_equal(gw_listener_open(&second, server->loop,
                                      &(struct gw_listener_options){.address = "nowhere"}, &hooks, server,
                                      &reason),
                     -EINVAL);
    assert_int_equal(gw_listener_open(&second, server->loop,
                                      &(struct gw_listener_options){.address = "192.0.2.1"}, &hooks, server,
                                      &reason),
                     -EADDRNOTAVAIL);
    assert_int_equal(gw_listener_open(&second, server->loop, &(struct gw_listener_options){.key_file = "/k"},
                                      &hooks, server, &reason),
                     -EINVAL);
    assert_int_equal(open_descriptors(), before);
    server->listener = gw_listener_close(server->listener);
    server_open(server, &(struct gw_listener_options){.address = "127.0.0.1", .port = port});
    assert_int_equal(gw_listener_port(server->listener), port);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(gw_listener_open(&second, server->loop, &plain, &hooks, server, NULL), 0);
        second = gw_listener_close(second);
    }
    gw_loop_turn(server->loop, 0);
    assert_int_equal(open_descriptors(), before);
}

static void all_addresses_means_both_families(void **state)
{
    struct server *server = *state;
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int peer;

    server_open(server, &(struct gw_listener_options){0});
    peer = dial(server);
    say(peer, "GET /four HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)hear(server, peer, "/four", 1);
    assert_non_null(strstr(server->seen, " 127.0.0.1:"));
    close(peer);
    address.sin6_port = htons(gw_listener_port(server->listener));
    peer = socket(AF_INET6, SOCK_STREAM, 0);
    if (connect(peer, (struct sockaddr *)&address, sizeof(address)) == 0) { /* where there is IPv6 */
        say(peer, "GET /six HTTP/1.1\r\nHost: h\r\n\r\n");
        (void)hear(server, peer, "/six", 1);
        assert_non_null(strstr(server->seen, " [::1]:"));
    }
    close(peer);
}

/* ---- TLS ---- */

static char directory[] = "/tmp/test_listen.XXXXXX";

static void shell(const char *format, ...)
{
    char command[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    assert_int_equal(system(command), 0);
}

static void certificate_make(const char *name)
{
    shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
          "/CN=%s "
          "-addext subjectAltName=IP:127.0.0.1 -keyout %s.key -out %s.crt 2>/dev/null",
          directory, name, name, name);
}

/* Renames, as those who renew certificates do. */
static void certificate_use(const char *certificate, const char *key)
{
    shell("cd %s && cp %s.crt tmp.crt && cp %s.key tmp.key && mv tmp.crt live.crt && mv tmp.key live.key",
          directory, certificate, key);
}

/* Exit code of curl(1) that trusts only `name`; the loop turns meanwhile. */
static int curl_trusting(struct server *server, const char *name)
{
    char url[64], ca[64];
    int status = 0;
    pid_t child;

    snprintf(url, sizeof(url), "https://127.0.0.1:%u/tls", gw_listener_port(server->listener));
    snprintf(ca, sizeof(ca), "%s/%s.crt", directory, name);
    child = fork();
    if (child == 0) {
        execlp("curl", "curl", "-s", "--noproxy", "*", "--max-time", "5", "-o", "/dev/null", "--cacert", ca,
               url, NULL);
        _exit(99);
    }
    while (waitpid(child, &status, WNOHANG) == 0)
        gw_loop_turn(server->loop, 10);
    return WEXITSTATUS(status);
}

static void a_certificate_is_renewed_without_a_restart(void **state)
{
    struct server *server = *state;
    char certificate[64], key[64];
    int result = 0;

    assert_non_null(mkdtemp(directory));
    certificate_make("one");
    certificate_make("two");
    certificate_use("one", "one");
    snprintf(certificate, sizeof(certificate), "%s/live.crt", directory);
    snprintf(key, sizeof(key), "%s/live.key", directory);
    server_open(server, &(struct gw_listener_options){
                            .address = "127.0.0.1", .certificate_file = certificate, .key_file = key});
    assert_int_equal(curl_trusting(server, "one"), 0);
    assert_int_equal(server->completes, 1);
    assert_int_equal(curl_trusting(server, "two"), 60);

    certificate_use("two", "one"); /* does not fit */
    wait_for(server, &server->warnings, 1);
    assert_non_null(strstr(server->warning, "live.crt"));
    assert_int_equal(curl_trusting(server, "one"), 0);

    certificate_use("two", "two");
    for (int i = 0; i < 30 && (result = curl_trusting(server, "two")) != 0; i++)
        gw_loop_turn(server->loop, 50);
    assert_int_equal(result, 0);
    assert_int_equal(curl_trusting(server, "one"), 60);
    assert_int_equal(server->warnings, 1);
    shell("rm -r %s", directory);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_request_is_seen_as_it_was_sent),
        CASE(chunks_and_an_expectation_are_understood),
        CASE(a_refusal_comes_before_the_body_is_sent),
        CASE(a_body_that_is_too_large_is_answered_413),
        CASE(heads_that_are_too_large_or_malformed_are_refused),
        CASE(pipelined_requests_are_answered_in_order),
        CASE(many_may_wait_for_their_reply),
        CASE(a_hook_may_answer_other_requests),
        CASE(a_half_sent_request_is_ended),
        CASE(a_trickling_sender_is_cut),
        CASE(an_idle_connection_is_cut),
        CASE(a_reply_to_a_peer_that_left_is_ended),
        CASE(closing_answers_503_to_those_who_wait),
        CASE(a_listener_may_be_closed_in_its_own_hook),
        CASE(ports_are_given_back_and_conflicts_named),
        CASE(all_addresses_means_both_families),
        CASE(a_certificate_is_renewed_without_a_restart),
    };
    return cmocka_run_group_tests_name("listen", tests, NULL, NULL);
}
