/* Hooks: the table of routes, and endpoints over real listeners on loopback. */
#include "gateway-servers/sdk/hook.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- routes ---- */

static const char *const names[] = {"a", "b", "c", "d"};

static struct gws_path *path_of(const char *endpoint)
{
    struct gws_path *path = NULL;
    struct gw_reason reason = {""};

    assert_int_equal(gws_path_new(&path, endpoint, &reason), 0);
    return path;
}

static void assert_route(const struct gws_routes *routes, const char *method, const char *path,
                         const char *owner)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes scratch = {0};
    struct gws_route route = {0};

    assert_int_equal(gws_routes_match(routes, method, gw_view_text(path), &scratch, &route), 0);
    assert_string_equal(route.owner, owner);
}

static void assert_no_route(const struct gws_routes *routes, const char *method, const char *path,
                            int verdict)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes scratch = {0};
    struct gws_route route = {0};

    assert_int_equal(gws_routes_match(routes, method, gw_view_text(path), &scratch, &route), verdict);
}

static void endpoints_that_are_none_are_refused_in_words(void **state)
{
    static const char *const bad[] = {"",    "/a b",  "/a?b",     "/a#b",  "/{a}x",       "/x{a}",
                                      "/{}", "/{1a}", "/{a}/{a}", "/\xff", "/{a:[0-9]+}", "/a\n"};
    (void)state;

    for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
        struct gws_path *path = NULL;
        struct gw_reason reason = {""};

        assert_int_equal(gws_path_new(&path, bad[i], &reason), -EINVAL);
        assert_true(reason.text[0] != '\0');
        assert_null(path);
    }
}

static void a_missing_leading_slash_is_added(void **state)
{
    GW_AUTO(gws_path_freep) struct gws_path *path = path_of("orders/{id}");
    (void)state;

    assert_string_equal(path->text, "/orders/{id}");
    assert_int_equal(path->count, 2);
    assert_int_equal(path->variables_count, 1);
}

static void literal_beats_variable_and_methods_belong_to_the_match(void **state)
{
    GW_AUTO(gws_routes_freep) struct gws_routes *routes = gws_routes_new();
    GW_AUTO(gws_path_freep) struct gws_path *new = path_of("/orders/new");
    GW_AUTO(gws_path_freep) struct gws_path *one = path_of("/orders/{id}");
    GW_AUTO(gws_path_freep) struct gws_path *deep = path_of("/{any}/new/items");
    GW_AUTO(gws_path_freep) struct gws_path *slash = path_of("/orders/");
    GW_AUTO(gw_bytes_done) struct gw_bytes scratch = {0};
    struct gws_route route = {0};
    (void)state;

    assert_int_equal(gws_routes_add(routes, new, gws_method_bit("POST"), (void *)(uintptr_t)names[0]), 0);
    assert_int_equal(gws_routes_add(routes, one, gws_method_bit("GET") | gws_method_bit("POST"),
                                    (void *)(uintptr_t)names[1]),
                     0);
    assert_int_equal(gws_routes_add(routes, deep, gws_method_bit("POST"), (void *)(uintptr_t)names[2]), 0);
    assert_int_equal(gws_routes_add(routes, slash, gws_method_bit("POST"), (void *)(uintptr_t)names[3]), 0);

    assert_route(routes, "POST", "/orders/new", "a");
    assert_route(routes, "GET", "/orders/new", "b");
    assert_route(routes, "POST", "/orders/7", "b");
    assert_route(routes, "POST", "/orders/", "d");
    assert_route(routes, "POST", "/orders/new/items", "c"); /* back from the literal branch */
    assert_no_route(routes, "POST", "/orders", GWS_ROUTE_NONE);
    assert_no_route(routes, "POST", "/orders/7/", GWS_ROUTE_NONE);
    assert_no_route(routes, "POST", "//orders/7", GWS_ROUTE_NONE);
    assert_no_route(routes, "POST", "*", GWS_ROUTE_NONE);
    assert_no_route(routes, "POST", "", GWS_ROUTE_NONE);
    assert_no_route(routes, "post", "/orders/new", GWS_ROUTE_METHOD);
    assert_no_route(routes, "BREW", "/orders/new", GWS_ROUTE_METHOD);
    assert_int_equal(gws_routes_match(routes, "PUT", gw_view_text("/orders/new"), &scratch, &route),
                     GWS_ROUTE_METHOD);
    scratch.size = 0;
    gws_methods_write(&scratch, route.methods);
    assert_string_equal(gw_bytes_text(&scratch), "GET, POST");

    gws_routes_remove(routes, new, names[0]);
    assert_route(routes, "POST", "/orders/new", "b");
    gws_routes_remove(routes, one, names[1]);
    assert_no_route(routes, "POST", "/orders/new", GWS_ROUTE_NONE);
    assert_route(routes, "POST", "/orders/new/items", "c");
}

static void variables_are_decoded_segment_by_segment(void **state)
{
    GW_AUTO(gws_routes_freep) struct gws_routes *routes = gws_routes_new();
    GW_AUTO(gws_path_freep) struct gws_path *path = path_of("/caf\xc3\xa9/{a}/x/{b}");
    GW_AUTO(gw_bytes_done) struct gw_bytes scratch = {0};
    struct gws_route route = {0};
    (void)state;

    assert_int_equal(gws_routes_add(routes, path, gws_method_bit("POST"), (void *)(uintptr_t)names[0]), 0);
    assert_int_equal(
        gws_routes_match(routes, "POST", gw_view_text("/caf%C3%A9/1%2F2/x/%20+"), &scratch, &route), 0);
    assert_true(gw_view_is(gws_route_value(&route, gw_view_text("a")), "1/2"));
    assert_true(gw_view_is(gws_route_value(&route, gw_view_text("b")), " +"));
    assert_int_equal(gws_route_value(&route, gw_view_text("c")).size, 0);
    assert_no_route(routes, "POST", "/caf%C3%A9//x/2", GWS_ROUTE_NONE);
    assert_no_route(routes, "POST", "/caf%C3%A9/%zz/x/2", GWS_ROUTE_BAD);
    assert_no_route(routes, "POST", "/caf%C3/1/x/2", GWS_ROUTE_BAD);
    assert_no_route(routes, "POST",
                    "/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/a",
                    GWS_ROUTE_NONE);
}

static void a_thousand_routes_are_found_and_removed(void **state)
{
    enum { ROUTES = 1000 };
    GW_AUTO(gws_routes_freep) struct gws_routes *routes = gws_routes_new();
    struct gws_path *paths[ROUTES];
    char text[32];
    (void)state;

    for (int i = 0; i < ROUTES; i++) {
        snprintf(text, sizeof(text), "/h/%d/in", i * 7919 % ROUTES);
        paths[i] = path_of(text);
        assert_int_equal(gws_routes_add(routes, paths[i], gws_method_bit("POST"), paths[i]), 0);
    }
    for (int i = 0; i < ROUTES; i++) {
        assert_no_route(routes, "GET", paths[i]->text, GWS_ROUTE_METHOD);
        gws_routes_remove(routes, paths[i], paths[i]);
        assert_no_route(routes, "POST", paths[i]->text, GWS_ROUTE_NONE);
        gws_path_free(paths[i]);
    }
}

static void count_owner(void *user, void *owner)
{
    (void)owner;
    ++*(int *)user;
}

static void owners_of_one_shape_are_listed_whatever_their_variables_are_called(void **state)
{
    GW_AUTO(gws_routes_freep) struct gws_routes *routes = gws_routes_new();
    GW_AUTO(gws_path_freep) struct gws_path *one = path_of("/o/{id}");
    GW_AUTO(gws_path_freep) struct gws_path *two = path_of("/o/{name}");
    int count = 0;
    (void)state;

    assert_true(gws_path_same(one, two));
    assert_int_equal(gws_routes_add(routes, one, gws_method_bit("POST"), (void *)(uintptr_t)names[0]), 0);
    gws_routes_owners(routes, two, gws_method_bit("GET"), count_owner, &count);
    assert_int_equal(count, 0);
    gws_routes_owners(routes, two, gws_method_bit("GET") | gws_method_bit("POST"), count_owner, &count);
    assert_int_equal(count, 1);
}

/* ---- hooks over a real listener ---- */

struct site {
    struct gw_loop *loop;
    struct gws_hooks *hooks;
    uint64_t sequence; /* of the last call that waits */
    int heads, bodies;
    bool refuse;
};

static struct site *site; /* of the test that runs */

static bool site_head(void *user, struct gws_call *call)
{
    site->heads++;
    if (!site->refuse)
        return true;
    gws_call_problem(call, 401, (const char *const[]){"WWW-Authenticate: Bearer", NULL}, "not you, %s",
                     (const char *)user);
    return false;
}

static void site_body(void *user, struct gws_call *call)
{
    (void)user;
    site->bodies++;
    gws_call_await(call, ++site->sequence);
}

static const struct gws_hook_handlers site_handlers = {site_head, site_body};

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(descriptor, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(descriptor, (struct sockaddr *)&address, &size), 0);
    close(descriptor);
    return ntohs(address.sin_port);
}

static int site_setup(void **state)
{
    site = calloc(1, sizeof(*site));
    assert_int_equal(gw_loop_open(&site->loop), 0);
    assert_int_equal(gws_hooks_open(&site->hooks, site->loop, 300, 0, NULL), 0);
    *state = site;
    return 0;
}

static int site_teardown(void **state)
{
    (void)state;
    gws_hooks_close(site->hooks);
    gw_loop_close(site->loop);
    free(site);
    return 0;
}

static const struct gws_identity anna = {"shop", "default", "anna", "1"};
static const struct gws_identity bert = {"shop", "default", "bert", "2"};

static struct gws_hook_options site_options(uint16_t port, const char *endpoint)
{
    return (struct gws_hook_options){
        .endpoint = endpoint,
        .methods = gws_method_bit("POST"),
        .address = "127.0.0.1",
        .port = port,
        .idle_timeout_ms = 5000,
        .acknowledge_wait_ms = 5000,
        .body_max = 100,
        .reply_status = 200,
    };
}

static struct gws_hook *site_hook(const struct gws_identity *identity, const struct gws_hook_options *options)
{
    struct gws_hook *hook = NULL;
    struct gw_reason reason = {""};

    if (gws_hook_open(&hook, site->hooks, identity, options, &site_handlers,
                      (void *)(uintptr_t)identity->name, &reason) != 0)
        fail_msg("%s", reason.text);
    return hook;
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

/* Turns the loop until one whole answer is there. */
static const char *answer_of(int descriptor, char text[static 4096])
{
    int64_t deadline_ns = gw_clock_monotonic_ns() + 10 * GW_NS_PER_S;
    size_t size = 0;

    while (gw_clock_monotonic_ns() < deadline_ns) {
        ssize_t got = recv(descriptor, text + size, 4095 - size, MSG_DONTWAIT);
        const char *head = NULL, *length = NULL;

        if (got == 0)
            return text;
        size += got > 0 ? (size_t)got : 0;
        text[size] = '\0';
        head = strstr(text, "\r\n\r\n");
        length = strcasestr(text, "Content-Length: ");
        if (head != NULL && (length == NULL || (size_t)atoi(length + 16) <= strlen(head + 4)))
            return text;
        gw_loop_turn(site->loop, 5);
    }
    fail_msg("no answer in time: %s", text);
    return NULL;
}

static void send_text(int descriptor, const char *text)
{
    assert_int_equal(send(descriptor, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void send_post(int descriptor, const char *path, const char *body)
{
    char text[1024];

    snprintf(text, sizeof(text), "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n%s", path,
             strlen(body), body);
    send_text(descriptor, text);
}

static void turn_until(const int *count, int wanted)
{
    int64_t deadline_ns = gw_clock_monotonic_ns() + 10 * GW_NS_PER_S;

    while (*count < wanted) {
        assert_true(gw_clock_monotonic_ns() < deadline_ns);
        gw_loop_turn(site->loop, 5);
    }
}

/* One request on a connection of its own, whose answer must begin with `status` and hold `words`. */
static void assert_answer(uint16_t port, const char *request, const char *status, const char *words)
{
    char text[4096] = "";
    int descriptor = connect_to(port);

    assert_true(descriptor >= 0);
    send_text(descriptor, request);
    answer_of(descriptor, text);
    close(descriptor);
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || strncmp(text + 9, status, strlen(status)) != 0 ||
        strcasestr(text, words) == NULL)
        fail_msg("expected %s and \"%s\": %s", status, words, text);
}

static void a_request_is_answered_when_its_event_is_acknowledged(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options options = site_options(port, "/a");
    struct gws_hook *hook = NULL;
    char first[4096] = "", second[4096] = "";
    int one = 0, two = 0;
    (void)state;

    options.reply_status = 202;
    options.reply_headers = (const char *const[]){"Content-Type: text/plain", NULL};
    options.reply_body = gw_view_text("thanks");
    hook = site_hook(&anna, &options);
    one = connect_to(port);
    two = connect_to(port);
    send_post(one, "/a", "1");
    turn_until(&site->bodies, 1);
    send_post(two, "/a", "2");
    turn_until(&site->bodies, 2);
    gws_hook_acknowledged(hook, 1);
    assert_non_null(strstr(answer_of(one, first), "HTTP/1.1 202"));
    assert_non_null(strstr(first, "\r\n\r\nthanks"));
    assert_true(recv(two, second, sizeof(second), MSG_DONTWAIT) < 0);
    gws_hook_acknowledged(hook, 2);
    assert_non_null(strstr(answer_of(two, second), "HTTP/1.1 202"));

    /* the connection is kept, and an acknowledgement that came first counts */
    gws_hook_acknowledged(hook, 3);
    send_post(one, "/a", "3");
    assert_non_null(strstr(answer_of(one, first), "HTTP/1.1 202"));
    close(one);
    close(two);
    gws_hook_close(hook);
}

static void a_path_may_still_come_while_the_server_has_just_started(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options options = site_options(port, "/a");
    struct gws_hooks *calm = site->hooks;
    int64_t deadline_ns = gw_clock_monotonic_ns() + 5 * GW_NS_PER_S;
    (void)state;

    assert_int_equal(gws_hooks_open(&site->hooks, site->loop, 0, 500, NULL), 0);
    struct gws_hook *hook = site_hook(&anna, &options);
    assert_answer(port, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "503", "Retry-After");
    int64_t settled_ms = gw_loop_now_ms(site->loop) + 600;
    while (gw_loop_now_ms(site->loop) < settled_ms) {
        assert_true(gw_clock_monotonic_ns() < deadline_ns);
        gw_loop_turn(site->loop, 20);
    }
    assert_answer(port, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "404", "");
    gws_hook_close(hook);
    gws_hooks_close(site->hooks);
    site->hooks = calm;
}

static void what_is_not_ours_gets_the_right_status(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options options = site_options(port, "/o/{id}");
    struct gws_hook *hook = NULL;
    (void)state;

    options.methods |= gws_method_bit("PUT");
    hook = site_hook(&anna, &options);
    assert_answer(port, "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "404",
                  "application/problem+json");
    assert_answer(port, "POST /o/1/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "404",
                  "no event source");
    assert_answer(port, "GET /o/1 HTTP/1.1\r\nHost: x\r\n\r\n", "405", "Allow: POST, PUT");
    assert_answer(port, "POST /o/%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "400", "percent");
    assert_answer(port, "POST /o/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\n\r\n", "413", "");
    assert_int_equal(site->bodies, 0);
    site->refuse = true;
    assert_answer(port, "POST /o/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n", "401",
                  "not you, anna");
    site->refuse = false;
    gws_hook_close(hook);
}

static void options_is_the_handshake_unless_it_is_claimed(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options options = site_options(port, "/a"), claimed = site_options(port, "/b");
    struct gws_hook *one = site_hook(&anna, &options), *two = NULL;
    (void)state;

    claimed.methods = gws_method_bit("OPTIONS");
    two = site_hook(&bert, &claimed);
    gws_hook_acknowledged(two, 1000);
    assert_answer(port, "OPTIONS /a HTTP/1.1\r\nHost: x\r\nWebHook-Request-Origin: emitter.example\r\n\r\n",
                  "200", "WebHook-Allowed-Origin: emitter.example");
    assert_answer(port,
                  "OPTIONS /a HTTP/1.1\r\nHost: x\r\nWebHook-Request-Origin: e.example\r\n"
                  "WebHook-Request-Rate: 120\r\n\r\n",
                  "200", "WebHook-Allowed-Rate: *");
    assert_answer(port, "OPTIONS /a HTTP/1.1\r\nHost: x\r\n\r\n", "200", "Allow: POST");
    assert_int_equal(site->bodies, 0);
    assert_answer(port, "OPTIONS /b HTTP/1.1\r\nHost: x\r\n\r\n", "200", "");
    assert_int_equal(site->bodies, 1);
    gws_hook_close(one);
    gws_hook_close(two);
}

static void a_paused_hook_and_a_late_acknowledgement_answer_503(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options options = site_options(port, "/a");
    struct gws_hook *hook = NULL;
    (void)state;

    options.acknowledge_wait_ms = 50;
    hook = site_hook(&anna, &options);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", "503", "Retry-After: ");
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", "503", "not confirmed");
    assert_int_equal(site->bodies, 2);
    gws_hook_acknowledged(hook, 2); /* too late: nobody waits */
    gws_hook_set_paused(hook, true);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", "503", "Retry-After: ");
    assert_int_equal(site->bodies, 2);
    gws_hook_set_paused(hook, false);
    gws_hook_acknowledged(hook, 3);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", "200", "");
    gws_hook_close(hook);
}

static void a_peer_that_goes_away_leaves_nothing_behind(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options options = site_options(port, "/a");
    struct gws_hook *hook = site_hook(&anna, &options);
    int waits = connect_to(port), sends = connect_to(port);
    (void)state;

    send_post(waits, "/a", "1");
    send_text(sends, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    turn_until(&site->bodies, 1);
    turn_until(&site->heads, 2);
    close(waits);
    close(sends);
    for (int i = 0; i < 20; i++)
        gw_loop_turn(site->loop, 5);
    gws_hook_acknowledged(hook, 1);
    gws_hook_acknowledged(hook, 2);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1", "200", "");
    gws_hook_close(hook);
}

static void a_closed_hook_lingers_and_the_port_closes_after_the_last(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options a = site_options(port, "/a"), b = site_options(port, "/b");
    struct gws_hook *one = site_hook(&anna, &a), *two = site_hook(&bert, &b);
    char text[4096] = "", half[4096] = "";
    int waits = connect_to(port), sends = connect_to(port), descriptor = -1;
    int64_t deadline_ns = gw_clock_monotonic_ns() + 10 * GW_NS_PER_S;
    (void)state;

    send_post(waits, "/a", "1");
    send_text(sends, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab");
    turn_until(&site->heads, 2);
    turn_until(&site->bodies, 1);
    gws_hook_close(one);
    assert_non_null(strstr(answer_of(waits, text), "HTTP/1.1 503"));
    send_text(sends, "cde");
    assert_non_null(strstr(answer_of(sends, half), "HTTP/1.1 503"));
    close(waits);
    close(sends);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "503", "Retry-After: ");
    gws_hook_acknowledged(two, 1000);
    assert_answer(port, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "");

    one = site_hook(&anna, &a); /* back again */
    gws_hook_acknowledged(one, 1000);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "");
    gws_hook_close(one);
    gws_hook_close(two);
    while ((descriptor = connect_to(port)) >= 0) {
        close(descriptor);
        assert_true(gw_clock_monotonic_ns() < deadline_ns);
        gw_loop_turn(site->loop, 20);
    }
    two = site_hook(&bert, &b);
    gws_hook_acknowledged(two, 2000);
    assert_answer(port, "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "");
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "404", "");
    gws_hook_close(two);
}

static void assert_obstacle(const struct gws_identity *identity, const struct gws_hook_options *options,
                            const char *path, const char *words)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gws_hook *hook = NULL;
    struct gw_reason reason = {""};

    gws_hook_check(site->hooks, identity, options, &problems);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.items[0].path, path);
    if (strstr(problems.items[0].message, words) == NULL)
        fail_msg("no \"%s\" in: %s", words, problems.items[0].message);
    assert_true(gws_hook_open(&hook, site->hooks, identity, options, &site_handlers, NULL, &reason) < 0);
    assert_non_null(strstr(reason.text, words));
    assert_null(hook);
}

static void who_has_an_endpoint_or_port_is_named(void **state)
{
    uint16_t port = free_port();
    struct gws_hook_options a = site_options(port, "/o/{id}"), other = site_options(port, "/o/{name}");
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct gws_hook *one = site_hook(&anna, &a), *two = NULL;
    struct gws_identity stranger = bert;
    (void)state;

    stranger.gateway = "other";
    assert_obstacle(&bert, &other, "endpoint", "\"anna\" (gateway default/shop)");
    gws_hook_check(site->hooks, &bert, &other, &problems);
    assert_string_equal(problems.items[0].held_by, "anna");
    gw_problems_done(&problems);
    gws_hook_check(site->hooks, &stranger, &other, &problems); /* whose gateway cannot have anna let go */
    assert_null(problems.items[0].held_by);
    gw_problems_done(&problems);
    gws_hook_check(site->hooks, &anna, &other, &problems); /* itself again: fine */
    other.methods = gws_method_bit("GET");
    gws_hook_check(site->hooks, &bert, &other, &problems);
    other.endpoint = "/o/new";
    gws_hook_check(site->hooks, &bert, &other, &problems);
    assert_int_equal(problems.count, 0);
    other.address = NULL;
    assert_obstacle(&bert, &other, "port", "127.0.0.1");
    other.address = a.address;
    other.certificate_file = other.key_file = "/tls";
    assert_obstacle(&bert, &other, "port", "without TLS");
    other.endpoint = "";
    assert_obstacle(&bert, &other, "endpoint", "empty");

    /* nobody is named once it is gone, although its endpoint lingers */
    gws_hook_close(one);
    two = site_hook(&bert, &a);
    gws_hook_acknowledged(two, 1000);
    assert_answer(port, "POST /o/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "");
    gws_hook_close(two);
}

static void a_newer_hook_of_the_same_source_takes_over(void **state)
{
    uint16_t port = free_port(), elsewhere = free_port();
    struct gws_hook_options a = site_options(port, "/a"), b = site_options(elsewhere, "/a");
    struct gws_hook *old = site_hook(&anna, &a), *new = NULL;
    char text[4096] = "";
    int waits = connect_to(port);
    (void)state;

    send_post(waits, "/a", "1");
    turn_until(&site->bodies, 1);
    new = site_hook(&anna, &a);
    assert_non_null(strstr(answer_of(waits, text), "HTTP/1.1 503"));
    close(waits);
    gws_hook_acknowledged(new, 1000);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "");
    gws_hook_close(old);
    assert_answer(port, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "");

    old = new;
    new = site_hook(&anna, &b); /* moved to another port: the old one closes at once */
    assert_true(connect_to(port) < 0);
    gws_hook_acknowledged(new, 2000);
    assert_answer(elsewhere, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "200", "");
    gws_hook_close(old);
    gws_hook_close(new);
}

static void a_port_that_somebody_else_has_is_a_fault_in_words(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int taken = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct gws_hook_options options;
    struct gws_hook *hook = NULL;
    struct gw_reason reason = {""};
    (void)state;

    assert_int_equal(bind(taken, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(taken, 1), 0);
    assert_int_equal(getsockname(taken, (struct sockaddr *)&address, &size), 0);
    options = site_options(ntohs(address.sin_port), "/a");
    assert_int_equal(gws_hook_open(&hook, site->hooks, &anna, &options, &site_handlers, NULL, &reason),
                     -EADDRINUSE);
    assert_true(reason.text[0] != '\0');
    close(taken);
    hook = site_hook(&anna, &options);
    gws_hook_close(hook);
}

#define SITE_TEST(function) cmocka_unit_test_setup_teardown(function, site_setup, site_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_that_are_none_are_refused_in_words),
        cmocka_unit_test(a_missing_leading_slash_is_added),
        cmocka_unit_test(literal_beats_variable_and_methods_belong_to_the_match),
        cmocka_unit_test(variables_are_decoded_segment_by_segment),
        cmocka_unit_test(a_thousand_routes_are_found_and_removed),
        cmocka_unit_test(owners_of_one_shape_are_listed_whatever_their_variables_are_called),
        SITE_TEST(a_request_is_answered_when_its_event_is_acknowledged),
        SITE_TEST(a_path_may_still_come_while_the_server_has_just_started),
        SITE_TEST(what_is_not_ours_gets_the_right_status),
        SITE_TEST(options_is_the_handshake_unless_it_is_claimed),
        SITE_TEST(a_paused_hook_and_a_late_acknowledgement_answer_503),
        SITE_TEST(a_peer_that_goes_away_leaves_nothing_behind),
        SITE_TEST(a_closed_hook_lingers_and_the_port_closes_after_the_last),
        SITE_TEST(who_has_an_endpoint_or_port_is_named),
        SITE_TEST(a_newer_hook_of_the_same_source_takes_over),
        SITE_TEST(a_port_that_somebody_else_has_is_a_fault_in_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
