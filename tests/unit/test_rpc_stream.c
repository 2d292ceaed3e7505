/* gRPC streams: credit, order, one end, and each trap that was met. With "bench" it measures instead. */
#include "rpc_fixture.h"

static struct peer peer;
static struct dialer dialer;
static char address[32];

static int pair_open(void **state)
{
    (void)state;
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_open(&dialer, peer_address(address, &peer));
    return 0;
}

static int pair_close(void **state)
{
    (void)state;
    dialer_close(&dialer);
    peer.server = gw_rpc_server_close(peer.server, 5000);
    assert_int_equal(peer.opened, peer.closed);
    return 0;
}

static void messages_come_in_order_and_the_end_once_and_last(void **state)
{
    struct listener listener = {0};

    (void)state;
    watch(&listener, dialer.channel, "1000 256 1", 5000);
    WAIT_FOR(listener.ends == 1);
    assert_int_equal(listener.messages, 1000);
    assert_string_equal(listener.last, "999");
    assert_int_equal(listener.status, GW_RPC_OK);
    listener.stream = gw_rpc_stream_free(listener.stream);
    WAIT_FOR(peer.closed == 1);
    assert_int_equal(peer.cancelled, 0);
    assert_int_equal(listener.ends, 1);
}

static void finish_flushes_what_is_queued(void **state)
{
    struct listener listener = {0};

    (void)state;
    /* 64 waiting and one under way when finish comes; nothing is read before */
    watch(&listener, dialer.channel, "60 8192 1", 0);
    WAIT_FOR(peer.sent == 60);
    assert_int_equal(listener.messages, 0);
    gw_rpc_stream_credit(listener.stream, 30);
    WAIT_FOR(listener.messages == 30);
    assert_int_equal(listener.ends, 0);
    gw_rpc_stream_credit(listener.stream, 100);
    WAIT_FOR(listener.ends == 1);
    assert_int_equal(listener.messages, 60);
    assert_int_equal(listener.status, GW_RPC_OK);
    gw_rpc_stream_free(listener.stream);
}

static void a_hinted_tail_is_delivered(void **state)
{
    struct listener listener = {.endless = true};

    (void)state;
    watch(&listener, dialer.channel, "5 256 0", 10);
    WAIT_FOR(listener.messages == 5);
    for (long round = 1; round <= 20; round++) { /* bursts from another thread, and then silence */
        for (int i = 0; i < 5; i++)
            assert_true(peer_send(&peer, peer.last, 100) >= 0);
        WAIT_FOR(listener.messages == 5 + 5 * round);
    }
    assert_int_equal(listener.ends, 0);
    gw_rpc_stream_free(listener.stream);
    WAIT_FOR(peer.closed == 1);
}

static void a_stream_without_credit_holds_the_server_at_64_kib_and_nobody_else(void **state)
{
    struct listener unread = {0}, reader = {.endless = true};
    long held;

    (void)state;
    watch(&unread, dialer.channel, "-1 4096 0", 0);
    WAIT_FOR(peer.sent >= 64);
    held = -1;
    while (held != peer.sent) { /* until it stands still */
        held = peer.sent;
        usleep(50000);
    }
    assert_true(held <= 64 + 17 + 64); /* the queue, the window, one batch of slack */
    watch(&reader, dialer.channel, "20000 256 1", 100);
    WAIT_FOR(reader.ends == 1);
    assert_int_equal(reader.messages, 20000);
    assert_int_equal(unread.messages, 0);
    gw_rpc_stream_credit(unread.stream, 1000);
    WAIT_FOR(unread.messages == 1000);
    gw_rpc_stream_free(unread.stream);
    gw_rpc_stream_free(reader.stream);
}

static void a_hot_stream_starves_no_unary_call(void **state)
{
    struct listener hot = {.endless = true};
    struct dialer other;
    struct answer answer;
    int64_t began_ms;

    (void)state;
    watch(&hot, dialer.channel, "-1 256 0", 1000);
    WAIT_FOR(hot.messages > 10000);
    dialer_open(&other, address);
    began_ms = gw_clock_monotonic_ms();
    for (int i = 0; i < 50; i++) {
        assert_int_equal(ask(&answer, other.channel, "x"), GW_RPC_OK);
        assert_int_equal(ask(&answer, dialer.channel, "x"), GW_RPC_OK);
    }
    assert_true(gw_clock_monotonic_ms() - began_ms < 10000);
    dialer_close(&other);
    gw_rpc_stream_free(hot.stream);
    WAIT_FOR(peer.closed == peer.opened);
}

static void both_sides_talk_and_a_half_close_ends_it(void **state)
{
    struct listener listener = {.endless = true};

    (void)state;
    chat(&listener, dialer.channel, 1);
    for (int i = 0; i < 500; i++) {
        WAIT_FOR(listener.messages > i - 32); /* the peer drops what it cannot send on */
        while (say(&listener, "hello", false) == -ENOBUFS)
            usleep(100);
    }
    gw_rpc_stream_half_close(listener.stream);
    assert_int_equal(say(&listener, "too late", false), 0);
    WAIT_FOR(listener.ends == 1);
    assert_int_equal(listener.status, GW_RPC_OK);
    assert_string_equal(listener.message, "bye");
    assert_int_equal(listener.messages, 500);
    assert_int_equal(peer.half_closed, 1);
    gw_rpc_stream_free(listener.stream);
}

static void the_server_may_end_a_conversation(void **state)
{
    struct listener listener = {0};

    (void)state;
    chat(&listener, dialer.channel, 10);
    assert_int_equal(say(&listener, "one", false), 0);
    WAIT_FOR(listener.messages == 1);
    assert_int_equal(say(&listener, "end", false), 0);
    WAIT_FOR(listener.ends == 1);
    assert_int_equal(listener.status, GW_RPC_ABORTED);
    assert_string_equal(listener.message, "as you said");
    assert_int_equal(say(&listener, "after the end", false), 0);
    gw_rpc_stream_credit(listener.stream, 5);
    gw_rpc_stream_half_close(listener.stream);
    gw_rpc_stream_cancel(listener.stream);
    gw_rpc_stream_free(listener.stream);
}

static void sends_are_bounded_and_the_latest_replaces_the_one_before(void **state)
{
    static uint8_t filling[64 << 10];
    struct listener listener = {.endless = true};
    Gateways__Event large = GATEWAYS__EVENT__INIT;
    int queued = 0;

    (void)state;
    chat(&listener, dialer.channel, 0); /* the server echoes, nobody reads: soon nothing moves */
    large.payload.data = filling;
    large.payload.len = sizeof(filling);
    while (queued < 100000 && gw_rpc_stream_send(listener.stream, (const ProtobufCMessage *)&large) == 0)
        queued++;
    assert_true(queued >= GW_RPC_SENDS_MAX && queued < 100000);
    gw_rpc_stream_free(listener.stream);

    listener = (struct listener){.endless = true};
    gw_rpc_server_close(peer.server, 0);
    peer_open(&peer, "127.0.0.1:0", NULL);
    dialer_close(&dialer);
    dialer_open(&dialer, peer_address(address, &peer));
    chat(&listener, dialer.channel, 1);
    for (int i = 0; i < 100000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(say(&listener, name, true), 0);
    }
    WAIT_FOR(strcmp(listener.last, "99999") == 0);
    assert_true(peer.messages < 100000);
    gw_rpc_stream_free(listener.stream);
}

static void either_side_may_cancel(void **state)
{
    struct listener listener = {0}, other = {0};

    (void)state;
    watch(&listener, dialer.channel, "0 0 0", 1);
    WAIT_FOR(peer.opened == 1);
    gw_rpc_stream_cancel(listener.stream);
    WAIT_FOR(listener.ends == 1 && peer.closed == 1);
    assert_int_equal(listener.status, GW_RPC_CANCELLED);
    assert_int_equal(peer.cancelled, 1);
    gw_rpc_stream_free(listener.stream);

    watch(&other, dialer.channel, "-1 4096 0", 0);
    WAIT_FOR(peer.last != NULL && peer.sent > 64);
    gw_rpc_server_call_cancel(peer.last);
    WAIT_FOR(peer.closed == 2);
    gw_rpc_stream_credit(other.stream, 100); /* what had arrived before comes first */
    WAIT_FOR(other.ends == 1);
    assert_int_equal(other.status, GW_RPC_CANCELLED);
    gw_rpc_stream_free(other.stream);
}

static void a_handle_may_be_given_back_in_its_own_callbacks(void **state)
{
    struct listener in_message = {.free_in_message = true}, in_end = {.free_in_end = true};

    (void)state;
    watch(&in_message, dialer.channel, "-1 100 0", 100);
    watch(&in_end, dialer.channel, "10 100 1", 100);
    WAIT_FOR(in_end.ends == 1 && in_message.messages == 1);
    WAIT_FOR(peer.closed == 2);
    assert_int_equal(in_message.messages, 1);
    assert_int_equal(in_message.ends, 0);
}

static void nothing_is_called_after_free(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct listener listener = {.endless = true};
        long messages;

        watch(&listener, dialer.channel, "-1 100 0", 100);
        WAIT_FOR(listener.messages > i);
        gw_rpc_stream_free(listener.stream);
        messages = listener.messages;
        if (i % 10 == 0)
            usleep(2000);
        assert_int_equal(listener.messages, messages);
        assert_int_equal(listener.ends, 0);
    }
    WAIT_FOR(peer.closed == 100);
}

static void a_thousand_streams_open_and_close(void **state)
{
    static struct listener listeners[1000];

    (void)state;
    memset(listeners, 0, sizeof(listeners));
    for (size_t i = 0; i < GW_COUNT_OF(listeners); i++)
        watch(&listeners[i], dialer.channel, i % 2 == 0 ? "0 0 0" : "3 100 0", 10);
    WAIT_FOR(peer.opened == 1000);
    for (size_t i = 1; i < GW_COUNT_OF(listeners); i += 2)
        WAIT_FOR(listeners[i].messages == 3);
    for (size_t i = 0; i < GW_COUNT_OF(listeners); i++)
        gw_rpc_stream_free(listeners[i].stream);
    WAIT_FOR(peer.closed == 1000);
    assert_int_equal(peer.cancelled, 1000);
}

static void a_server_that_closes_ends_streams_after_the_grace(void **state)
{
    struct listener listeners[50];

    (void)state;
    memset(listeners, 0, sizeof(listeners));
    for (size_t i = 0; i < GW_COUNT_OF(listeners); i++)
        watch(&listeners[i], dialer.channel, i % 2 == 0 ? "0 0 0" : "-1 4096 0", 10);
    WAIT_FOR(peer.opened == 50);
    peer.server = gw_rpc_server_close(peer.server, 100);
    assert_int_equal(peer.closed, 50);
    for (size_t i = 0; i < GW_COUNT_OF(listeners); i++) {
        gw_rpc_stream_credit(listeners[i].stream, 1000);
        WAIT_FOR(listeners[i].ends == 1);
        assert_int_not_equal(listeners[i].status, GW_RPC_OK);
        gw_rpc_stream_free(listeners[i].stream);
    }
}

static void metadata_must_be_legal(void **state)
{
    struct listener listener = {0};
    Gateways__Event event = GATEWAYS__EVENT__INIT;
    struct gw_rpc_stream_options options = {.path = "/test.Peer/Watch",
                                            .first = (const ProtobufCMessage *)&event,
                                            .metadata = (const char *const[]){"x-gateway", "orders", NULL}};

    (void)state;
    event.name = (char *)"2 0 1";
    assert_int_equal(
        gw_rpc_stream_open(&listener.stream, dialer.channel, &options, &listener_hooks, &listener), 0);
    gw_rpc_stream_credit(listener.stream, 10);
    WAIT_FOR(listener.ends == 1);
    assert_int_equal(listener.messages, 2);
    gw_rpc_stream_free(listener.stream);
    options.metadata = (const char *const[]){"x-gateway", "line\nbreak", NULL};
    assert_int_equal(
        gw_rpc_stream_open(&listener.stream, dialer.channel, &options, &listener_hooks, &listener), -EINVAL);
    options.metadata = (const char *const[]){"Upper", "x", NULL};
    assert_int_equal(
        gw_rpc_stream_open(&listener.stream, dialer.channel, &options, &listener_hooks, &listener), -EINVAL);
}

/* Sends, credit, finish and cancel from many threads at once. */
static void *meddle(void *user)
{
    struct listener *listener = user;

    for (int i = 0; i < 2000; i++) {
        (void)!say(listener, "x", i % 3 == 0);
        gw_rpc_stream_credit(listener->stream, 2);
    }
    gw_rpc_stream_half_close(listener->stream);
    return NULL;
}

static void calls_may_come_from_any_thread(void **state)
{
    struct listener listener = {0};
    pthread_t threads[4];

    (void)state;
    chat(&listener, dialer.channel, 10);
    for (size_t i = 0; i < GW_COUNT_OF(threads); i++)
        pthread_create(&threads[i], NULL, meddle, &listener);
    for (size_t i = 0; i < GW_COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    gw_rpc_stream_credit(listener.stream, 100000);
    WAIT_FOR(listener.ends == 1);
    assert_int_equal(listener.messages, peer.messages - peer.dropped);
    gw_rpc_stream_free(listener.stream);
}

/* Other processes */

static void reach(struct gw_rpc_channel *channel)
{
    struct answer answer;
    int64_t until_ms = gw_clock_monotonic_ms() + 15000;

    while (ask(&answer, channel, "x") != GW_RPC_OK && gw_clock_monotonic_ms() < until_ms)
        usleep(20000);
    assert_int_equal(answer.status, GW_RPC_OK);
}

static void a_killed_server_ends_the_stream_and_is_found_again(void **state)
{
    struct gw_rpc_channel_options options = {
        .address = "unix:/tmp/gw-rpc-killed.sock", .reconnect_initial_ms = 100, .reconnect_max_ms = 500};
    struct listener listener = {.endless = true}, unread = {0}, again = {0};
    struct dialer far;
    pid_t child = peer_spawn(options.address);

    (void)state;
    dialer_open_with(&far, &options);
    reach(far.channel);
    watch(&listener, far.channel, "-1 256 0", 100);
    watch(&unread, far.channel, "-1 256 0", 0);
    WAIT_FOR(listener.messages > 1000);
    peer_kill(child);
    WAIT_FOR(listener.ends == 1);
    gw_rpc_stream_credit(unread.stream, 1000);
    WAIT_FOR(unread.ends == 1);
    assert_int_equal(unread.status, GW_RPC_UNAVAILABLE);
    gw_rpc_stream_free(unread.stream);
    assert_int_equal(listener.status, GW_RPC_UNAVAILABLE);
    gw_rpc_stream_free(listener.stream);
    watch(&again, far.channel, "1 1 1", 100);
    WAIT_FOR(again.ends == 1);
    assert_int_equal(again.status, GW_RPC_UNAVAILABLE);
    gw_rpc_stream_free(again.stream);
    child = peer_spawn(options.address); /* its socket file is stale now */
    reach(far.channel);
    again = (struct listener){0};
    watch(&again, far.channel, "3 1 1", 100);
    WAIT_FOR(again.ends == 1);
    assert_int_equal(again.status, GW_RPC_OK);
    assert_int_equal(again.messages, 3);
    gw_rpc_stream_free(again.stream);
    dialer_close(&far);
    peer_kill(child);
    unlink("/tmp/gw-rpc-killed.sock");
}

static void keepalive_notices_a_stopped_server_and_does_not_annoy_a_live_one(void **state)
{
    struct gw_rpc_channel_options options = {.address = "unix:/tmp/gw-rpc-stopped.sock",
                                             .reconnect_initial_ms = 100,
                                             .reconnect_max_ms = 500,
                                             .keepalive_ms = 1000};
    struct listener listener = {0};
    struct dialer far;
    pid_t child = peer_spawn(options.address);
    int64_t began_ms;

    (void)state;
    dialer_open_with(&far, &options);
    reach(far.channel);
    watch(&listener, far.channel, "1 1 0", 100);
    WAIT_FOR(listener.messages == 1);
    usleep(5000000); /* five pings: gRPC's own policy would have ended it by now */
    assert_int_equal(listener.ends, 0);
    began_ms = gw_clock_monotonic_ms();
    kill(child, SIGSTOP);
    WAIT_FOR(listener.ends == 1);
    assert_int_equal(listener.status, GW_RPC_UNAVAILABLE);
    assert_true(gw_clock_monotonic_ms() - began_ms < 20000);
    gw_rpc_stream_free(listener.stream);
    dialer_close(&far);
    peer_kill(child);
    unlink("/tmp/gw-rpc-stopped.sock");
}

/* Measuring */

static double cpu_us(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double child_cpu_us(pid_t child)
{
    char path[64];
    unsigned long user = 0, kernel = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)child);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &kernel) != 2)
        user = kernel = 0;
    fclose(file);
    return (double)(user + kernel) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static void bench(int streams, int size)
{
    static struct listener listeners[64];
    struct dialer far;
    pid_t child = peer_spawn("unix:/tmp/gw-rpc-bench.sock");
    char command[64];
    long before, count = 0;
    int64_t from_ns;
    double seconds, own_us, its_us;

    memset(listeners, 0, sizeof(listeners));
    dialer_open(&far, "unix:/tmp/gw-rpc-bench.sock");
    reach(far.channel);
    snprintf(command, sizeof(command), "-1 %d 0", size);
    for (int i = 0; i < streams; i++)
        watch(&listeners[i], far.channel, command, UINT32_MAX);
    usleep(500000);
    before = 0;
    for (int i = 0; i < streams; i++)
        before += listeners[i].messages;
    own_us = cpu_us();
    its_us = child_cpu_us(child);
    from_ns = gw_clock_monotonic_ns();
    usleep(4000000);
    for (int i = 0; i < streams; i++)
        count += listeners[i].messages;
    count -= before;
    seconds = (double)(gw_clock_monotonic_ns() - from_ns) / 1e9;
    own_us = cpu_us() - own_us;
    its_us = child_cpu_us(child) - its_us;
    printf("%2d x %5d B: %8.0f msg/s, client %.2f us, server %.2f us a message\n", streams, size,
           (double)count / seconds, own_us / (double)count, its_us / (double)count);
    for (int i = 0; i < streams; i++)
        gw_rpc_stream_free(listeners[i].stream);
    dialer_close(&far);
    peer_kill(child);
    unlink("/tmp/gw-rpc-bench.sock");
}

static int bench_all(void)
{
    bench(1, 256);
    bench(16, 256);
    bench(1, 4096);
    bench(16, 4096);
    return 0;
}

#define TEST_WITH_PAIR(test) cmocka_unit_test_setup_teardown(test, pair_open, pair_close)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        TEST_WITH_PAIR(messages_come_in_order_and_the_end_once_and_last),
        TEST_WITH_PAIR(finish_flushes_what_is_queued),
        TEST_WITH_PAIR(a_hinted_tail_is_delivered),
        TEST_WITH_PAIR(a_stream_without_credit_holds_the_server_at_64_kib_and_nobody_else),
        TEST_WITH_PAIR(a_hot_stream_starves_no_unary_call),
        TEST_WITH_PAIR(both_sides_talk_and_a_half_close_ends_it),
        TEST_WITH_PAIR(the_server_may_end_a_conversation),
        TEST_WITH_PAIR(sends_are_bounded_and_the_latest_replaces_the_one_before),
        TEST_WITH_PAIR(either_side_may_cancel),
        TEST_WITH_PAIR(a_handle_may_be_given_back_in_its_own_callbacks),
        TEST_WITH_PAIR(nothing_is_called_after_free),
        TEST_WITH_PAIR(a_thousand_streams_open_and_close),
        TEST_WITH_PAIR(a_server_that_closes_ends_streams_after_the_grace),
        TEST_WITH_PAIR(metadata_must_be_legal),
        TEST_WITH_PAIR(calls_may_come_from_any_thread),
        cmocka_unit_test(a_killed_server_ends_the_stream_and_is_found_again),
        cmocka_unit_test(keepalive_notices_a_stopped_server_and_does_not_annoy_a_live_one),
    };

    if (count == 3 && strcmp(arguments[1], "serve") == 0)
        return peer_serve(arguments[2]);
    if (count == 2 && strcmp(arguments[1], "bench") == 0)
        return bench_all();
    alarm(100); /* a test that fails with a stream open would wait for it for ever */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
