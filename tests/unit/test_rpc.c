/* gRPC: addresses, unary calls, listening, the end of a server. */
#include "rpc_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static char directory[64];

static void addresses_are_host_and_port_or_a_socket_file(void **state)
{
    static const char *const good[] = {"127.0.0.1:80",      "localhost:9330",
                                       "[::1]:9330",        ":9330",
                                       "unix:/run/a.sock",  "unix:///run/a.sock",
                                       "a-b.c_d.example:1", "[fe80::1%eth0]:1"};
    static const char *const bad[] = {
        "",         "host",           "host:", "host:x",        "host:65536", "::1:80", "[]:80",
        "ho st:80", "http://host:80", "unix:", "unix:relative", "unix:/",     ":-1",    "host: 1"};
    char far[200] = "unix:/";
    struct gw_reason reason;

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(good); i++)
        assert_true(gw_rpc_address_valid(good[i], &reason));
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
        reason.text[0] = '\0';
        assert_false(gw_rpc_address_valid(bad[i], &reason));
        assert_true(strlen(reason.text) > 10);
    }
    memset(far + 6, 'x', sizeof(far) - 7);
    assert_false(gw_rpc_address_valid(far, &reason));
    assert_false(gw_rpc_address_valid(NULL, NULL));
}

static void statuses_have_names(void **state)
{
    (void)state;
    assert_string_equal(gw_rpc_status_name(0), "OK");
    assert_string_equal(gw_rpc_status_name(14), "UNAVAILABLE");
    assert_string_equal(gw_rpc_status_name(16), "UNAUTHENTICATED");
    assert_string_equal(gw_rpc_status_name(99), "UNKNOWN");
    assert_string_equal(gw_rpc_status_name(-1), "UNKNOWN");
}

static void a_unary_call_is_answered(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32];

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    assert_int_equal(ask(&answer, dialer.channel, "hello"), GW_RPC_OK);
    assert_int_equal(answer.size, 7);
    assert_int_equal(ask(&answer, dialer.channel, ""), GW_RPC_OK);
    assert_int_equal(answer.size, 0);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 1000);
    assert_int_equal(peer.closed, 2);
    assert_int_equal(peer.cancelled, 0);
}

static void status_texts_arrive_clean_and_cut(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32], text[20000];

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    ask_begin(&answer, dialer.channel, "/test.Peer/Echo", "status 9", "nö\n50% \xff\xc3.", 12, 5000);
    WAIT_FOR(answer.count == 1);
    assert_int_equal(answer.status, GW_RPC_FAILED_PRECONDITION);
    assert_string_equal(answer.message, "nö\n50% \xEF\xBF\xBD\xEF\xBF\xBD.");
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "ö", 2);
    text[sizeof(text) - 2] = '\0';
    ask_begin(&answer, dialer.channel, "/test.Peer/Echo", "status 3", text, sizeof(text), 5000);
    WAIT_FOR(answer.count == 1);
    assert_int_equal(answer.status, GW_RPC_INVALID_ARGUMENT);
    assert_int_equal(strlen(answer.message), 2048);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static void an_unknown_method_is_unimplemented_at_once(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32];
    int64_t began_ms;

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    began_ms = gw_clock_monotonic_ms();
    for (int i = 0; i < 20; i++) {
        ask_begin(&answer, dialer.channel, "/test.Peer/Nothing", "", NULL, 0, 10000);
        WAIT_FOR(answer.count == 1);
        assert_int_equal(answer.status, GW_RPC_UNIMPLEMENTED);
    }
    assert_true(gw_clock_monotonic_ms() - began_ms < 5000);
    assert_non_null(strstr(answer.message, "/test.Peer/Nothing"));
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static void a_deadline_ends_a_call_on_both_sides(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32];
    int64_t began_ms = gw_clock_monotonic_ms();

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    ask_begin(&answer, dialer.channel, "/test.Peer/Echo", "hang", NULL, 0, 200);
    WAIT_FOR(answer.count == 1);
    assert_int_equal(answer.status, GW_RPC_DEADLINE_EXCEEDED);
    assert_true(gw_clock_monotonic_ms() - began_ms >= 190);
    WAIT_FOR(peer.cancelled == 1);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static void closing_a_channel_cancels_its_unary_calls(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answers[20];
    char address[32];

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    for (size_t i = 0; i < GW_COUNT_OF(answers); i++)
        ask_begin(&answers[i], dialer.channel, "/test.Peer/Echo", "hang", NULL, 0, 0);
    WAIT_FOR(peer.opened == (int)GW_COUNT_OF(answers));
    dialer_close(&dialer);
    for (size_t i = 0; i < GW_COUNT_OF(answers); i++) {
        assert_int_equal(answers[i].count, 1);
        assert_int_equal(answers[i].status, GW_RPC_CANCELLED);
    }
    peer.server = gw_rpc_server_close(peer.server, 1000);
    assert_int_equal(peer.closed, GW_COUNT_OF(answers));
}

static void a_message_over_4_mib_is_refused_either_way(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32];
    uint8_t *large = calloc(5, 1 << 20);

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    ask_begin(&answer, dialer.channel, "/test.Peer/Echo", "x", large, 5 << 20, 10000);
    WAIT_FOR(answer.count == 1);
    assert_int_equal(answer.status, GW_RPC_RESOURCE_EXHAUSTED);
    assert_int_equal(ask(&answer, dialer.channel, "large"), GW_RPC_RESOURCE_EXHAUSTED);
    ask_begin(&answer, dialer.channel, "/test.Peer/Echo", "x", large, (4 << 20) - 64, 10000);
    WAIT_FOR(answer.count == 1);
    assert_int_equal(answer.status, GW_RPC_OK);
    assert_int_equal(answer.size, (4 << 20) - 64 + 3 + 5);
    free(large);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static void a_closed_port_is_unavailable_in_words(void **state)
{
    struct dialer dialer;
    struct answer answer;

    (void)state;
    dialer_open(&dialer, "127.0.0.1:1");
    assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_UNAVAILABLE);
    assert_true(strlen(answer.message) > 10);
    dialer_close(&dialer);
}

static void a_port_in_use_is_refused_in_words(void **state)
{
    struct peer first, second;
    struct gw_reason reason = {""};
    char address[32];

    (void)state;
    peer_open(&first, "127.0.0.1:0", NULL);
    assert_int_equal(peer_try(&second, peer_address(address, &first), NULL, &reason), -EADDRINUSE);
    assert_non_null(strstr(reason.text, address));
    assert_non_null(strstr(reason.text, "in use"));
    assert_int_equal(peer_try(&second, "192.0.2.1:9330", NULL, &reason), -EADDRNOTAVAIL);
    assert_int_equal(peer_try(&second, "nonsense", NULL, &reason), -EINVAL);
    first.server = gw_rpc_server_close(first.server, 0);
    peer_open(&second, address, NULL);
    second.server = gw_rpc_server_close(second.server, 0);
}

static void every_interface_is_listened_on_with_either_family(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32];

    (void)state;
    peer_open(&peer, ":0", NULL);
    snprintf(address, sizeof(address), ":%u", (unsigned)gw_rpc_server_port(peer.server, 0));
    dialer_open(&dialer, address);
    assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_OK);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 0);
    if (access("/proc/net/if_inet6", F_OK) != 0)
        return;
    peer_open(&peer, "[::1]:0", NULL);
    snprintf(address, sizeof(address), "[::1]:%u", (unsigned)gw_rpc_server_port(peer.server, 0));
    dialer_open(&dialer, address);
    assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_OK);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 0);
}

static void unix_socket_dead(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(name.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    close(fd);
}

static void a_unix_socket_is_served_and_stale_ones_make_way(void **state)
{
    struct peer peer, second;
    struct dialer dialer;
    struct answer answer;
    struct gw_reason reason = {""};
    struct stat status;
    char path[96], address[128];

    (void)state;
    snprintf(path, sizeof(path), "%s/a b%%.sock", directory);
    snprintf(address, sizeof(address), "unix:%s", path);
    unix_socket_dead(path);
    peer_open(&peer, address, NULL);
    assert_int_equal(gw_rpc_server_port(peer.server, 0), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    dialer_open(&dialer, address);
    assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_OK);
    assert_int_equal(peer_try(&second, address, NULL, &reason), -EADDRINUSE);
    assert_non_null(strstr(reason.text, path));
    assert_int_equal(ask(&answer, dialer.channel, "still there"), GW_RPC_OK);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 0);
    assert_int_not_equal(stat(path, &status), 0);
}

static void a_unix_socket_in_a_wrong_place_is_refused_in_words(void **state)
{
    struct peer peer;
    struct gw_reason reason = {""};
    char path[96], address[128];

    (void)state;
    snprintf(address, sizeof(address), "unix:%s/missing/a.sock", directory);
    assert_int_equal(peer_try(&peer, address, NULL, &reason), -ENOENT);
    assert_non_null(strstr(reason.text, "missing"));
    snprintf(path, sizeof(path), "%s/file", directory);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    snprintf(address, sizeof(address), "unix:%s", path);
    assert_int_equal(peer_try(&peer, address, NULL, &reason), -EEXIST);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
}

static void peers_that_say_nothing_are_borne(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    struct sockaddr_in name = {.sin_family = AF_INET};
    char address[32];
    int sockets[50];
    int64_t began_ms;

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    name.sin_port = htons(gw_rpc_server_port(peer.server, 0));
    for (size_t i = 0; i < GW_COUNT_OF(sockets); i++) {
        sockets[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(sockets[i], (struct sockaddr *)&name, sizeof(name)), 0);
        if (i % 2 == 0)
            close(sockets[i]);
        if (i % 10 == 1)
            assert_true(send(sockets[i], "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL) > 0);
    }
    dialer_open(&dialer, peer_address(address, &peer));
    assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_OK);
    dialer_close(&dialer);
    began_ms = gw_clock_monotonic_ms();
    peer.server = gw_rpc_server_close(peer.server, 2000);
    assert_true(gw_clock_monotonic_ms() - began_ms < 5000);
    for (size_t i = 1; i < GW_COUNT_OF(sockets); i += 2)
        close(sockets[i]);
}

static void a_server_that_closes_waits_for_its_calls_only_for_the_grace(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32];
    int64_t began_ms;

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    ask_begin(&answer, dialer.channel, "/test.Peer/Echo", "hang", NULL, 0, 20000);
    WAIT_FOR(peer.opened == 1);
    began_ms = gw_clock_monotonic_ms();
    peer.server = gw_rpc_server_close(peer.server, 300);
    assert_true(gw_clock_monotonic_ms() - began_ms >= 290 && gw_clock_monotonic_ms() - began_ms < 5000);
    assert_int_equal(peer.closed, 1);
    WAIT_FOR(answer.count == 1);
    assert_int_not_equal(answer.status, GW_RPC_OK);
    dialer_close(&dialer);
}

static int pthread_faults; /* of those asked for next */
typedef void *thread_run(void *);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_run *run, void *user);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_run *run, void *user);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_run *run, void *user)
{
    if (pthread_faults == 0)
        return __real_pthread_create(thread, attributes, run, user);
    pthread_faults--;
    return EAGAIN;
}

static void a_server_without_threads_is_refused(void **state)
{
    struct peer peer = {0};
    struct gw_reason reason = {""};

    (void)state;
    pthread_faults = 1;
    assert_int_equal(peer_try(&peer, "127.0.0.1:0", NULL, &reason), -EAGAIN);
    assert_int_equal(pthread_faults, 0);
}

static atomic_int calloc_faults; /* of those asked for next by the thread of control calls */
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    char name[16];

    if (atomic_load(&calloc_faults) == 0 || pthread_getname_np(pthread_self(), name, sizeof(name)) != 0 ||
        strcmp(name, "rpc-control") != 0)
        return __real_calloc(count, size);
    atomic_fetch_sub(&calloc_faults, 1);
    return NULL;
}

static void a_server_without_memory_refuses_calls_until_it_has_some(void **state)
{
    struct peer peer;
    struct dialer dialer;
    struct answer answer;
    char address[32];

    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_OK);
    atomic_store(&calloc_faults, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_RESOURCE_EXHAUSTED);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_OK);
    assert_int_equal(peer.opened, 4);
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 1000);
}

static atomic_int log_lines;

static void log_on_line(int severity, const char *file, int line, const char *message)
{
    assert_true(severity >= 0 && severity <= 2 && file != NULL && line > 0 && message != NULL);
    atomic_fetch_add(&log_lines, 1);
}

static void the_librarys_own_log_is_redirected(void **state)
{
    struct peer first, second;
    struct gw_reason reason;
    char address[32];

    (void)state;
    gw_rpc_set_log(log_on_line);
    peer_open(&first, "127.0.0.1:0", NULL);
    assert_int_equal(peer_try(&second, peer_address(address, &first), NULL, &reason), -EADDRINUSE);
    gw_rpc_set_log(NULL);
    assert_true(log_lines > 0);
    first.server = gw_rpc_server_close(first.server, 0);
}

static int directory_make(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/gw-rpc-XXXXXX");
    return mkdtemp(directory) == NULL;
}

static int directory_remove(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_host_and_port_or_a_socket_file),
        cmocka_unit_test(statuses_have_names),
        cmocka_unit_test(a_unary_call_is_answered),
        cmocka_unit_test(status_texts_arrive_clean_and_cut),
        cmocka_unit_test(an_unknown_method_is_unimplemented_at_once),
        cmocka_unit_test(a_deadline_ends_a_call_on_both_sides),
        cmocka_unit_test(closing_a_channel_cancels_its_unary_calls),
        cmocka_unit_test(a_message_over_4_mib_is_refused_either_way),
        cmocka_unit_test(a_closed_port_is_unavailable_in_words),
        cmocka_unit_test(a_port_in_use_is_refused_in_words),
        cmocka_unit_test(every_interface_is_listened_on_with_either_family),
        cmocka_unit_test(a_unix_socket_is_served_and_stale_ones_make_way),
        cmocka_unit_test(a_unix_socket_in_a_wrong_place_is_refused_in_words),
        cmocka_unit_test(peers_that_say_nothing_are_borne),
        cmocka_unit_test(a_server_that_closes_waits_for_its_calls_only_for_the_grace),
        cmocka_unit_test(a_server_without_threads_is_refused),
        cmocka_unit_test(a_server_without_memory_refuses_calls_until_it_has_some),
        cmocka_unit_test(the_librarys_own_log_is_redirected),
    };

    return cmocka_run_group_tests(tests, directory_make, directory_remove);
}
