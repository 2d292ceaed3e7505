/* Delivery, from a real outbox to a real listener. */
#include "gateway-client/delivery/delivery.h"
#include "gateway-client/outbox/positions.h"

#include "tests/unit/outbox_file.h"
#include "tests/unit/watcher_fixture.h"

#include <ftw.h>
#include <stdatomic.h>
#include <unistd.h>

struct fixture {
    struct gw_loop *loop;
    struct gw_http *http;
    struct gw_metrics *metrics;
    struct gwc_outbox *outbox;
    struct gwc_delivery *delivery;
    struct watcher watcher;
    struct gwc_watcher_spec spec;
    char url[64], directory[64];
    int64_t retention_ms;
    size_t number; /* of the next event */
    size_t told;   /* events that committed() told of */
};

static void on_committed(void *user, struct gw_event *const *events, size_t count)
{
    struct fixture *fixture = user;

    fixture->told += count;
    if (fixture->delivery != NULL)
        gwc_delivery_committed(fixture->delivery, events, count);
}

static void on_changed(void *user)
{
    struct fixture *fixture = user;

    if (fixture->delivery != NULL)
        gwc_delivery_changed(fixture->delivery);
}

static void begin_outbox(struct fixture *fixture)
{
    struct gwc_outbox_options options = {.directory = fixture->directory,
                                         .size_max = (uint64_t)1 << 30,
                                         .retention_ms = fixture->retention_ms,
                                         .no_fsync = true,
                                         .loop = fixture->loop,
                                         .committed = on_committed,
                                         .changed = on_changed,
                                         .user = fixture};
    struct gw_reason reason = {""};

    if (gwc_outbox_open(&fixture->outbox, &options, NULL, &reason) != 0)
        fail_msg("%s", reason.text);
}

static void begin_delivery(struct fixture *fixture)
{
    struct gw_reason reason = {""};
    const struct gwc_transports transports = {.loop = fixture->loop, .http = fixture->http};

    if (gwc_delivery_open(&fixture->delivery, fixture->outbox, &transports, &fixture->spec, fixture->metrics,
                          &reason) != 0)
        fail_msg("%s", reason.text);
}

static void end_delivery(struct fixture *fixture)
{
    fixture->delivery = gwc_delivery_close(fixture->delivery);
}

static void end_all(struct fixture *fixture)
{
    end_delivery(fixture);
    fixture->outbox = gwc_outbox_close(fixture->outbox);
}

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    strcpy(fixture->directory, "/tmp/sluice-delivery-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    assert_int_equal(gw_loop_open(&fixture->loop), 0);
    assert_int_equal(gw_http_open(&fixture->http, fixture->loop, 64), 0);
    fixture->metrics = gw_metrics_new();
    watcher_open(&fixture->watcher, fixture->loop);
    snprintf(fixture->url, sizeof(fixture->url), "http://127.0.0.1:%u/", fixture->watcher.port);
    fixture->spec = (struct gwc_watcher_spec){
        .name = "w",
        .url = fixture->url,
        .concurrency = 8,
        .batch_max = 1,
        .timeout_ns = 5 * GW_NS_PER_S,
        .retry = {.initial_ns = 10 * GW_NS_PER_MS, .max_ns = 40 * GW_NS_PER_MS, .factor = 2},
        .dead_letter = true};
    fixture->retention_ms = 3600000;
    begin_outbox(fixture);
    *state = fixture;
    return 0;
}

static int remove_file(const char *path, const struct stat *status, int flag, struct FTW *walk)
{
    (void)status;
    (void)flag;
    (void)walk;
    return remove(path);
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;

    end_all(fixture);
    gw_http_close(fixture->http);
    watcher_done(&fixture->watcher);
    gw_loop_close(fixture->loop);
    gw_metrics_free(fixture->metrics);
    nftw(fixture->directory, remove_file, 8, FTW_DEPTH | FTW_PHYS);
    free(fixture);
    return 0;
}

/* ---- events ---- */

struct append {
    struct gwc_append base;
    atomic_bool done, ok;
};

static void on_durable(struct gwc_append *base, bool ok)
{
    struct append *append = (struct append *)base;

    append->ok = ok;
    append->done = true;
}

/* Commits so many events, whose ids are the next numbers, and waits until they are durable. */
static void happen_with(struct fixture *fixture, size_t count, size_t data_size)
{
    struct gw_event **events = calloc(count, sizeof(*events));
    bool *natural = calloc(count, sizeof(*natural));
    char *data = malloc(data_size);
    struct append append = {
        .base = {
            .events = events, .natural = natural, .count = count, .source_key = "s", .durable = on_durable}};

    memset(data, 'x', data_size);
    for (size_t i = 0; i < count; i++) {
        char id[24];
        struct gw_event_fields fields = {.source = gw_view_text("/s"),
                                         .type = gw_view_text("t"),
                                         .data = gw_view(data, data_size),
                                         .time_ns = 1};

        snprintf(id, sizeof(id), "%zu", fixture->number++);
        fields.id = gw_view_text(id);
        events[i] = gw_event_new(&fields);
        assert_non_null(events[i]);
    }
    gwc_outbox_append(fixture->outbox, &append.base);
    for (int64_t end = gw_clock_monotonic_ms() + 10000; !append.done && gw_clock_monotonic_ms() < end;)
        usleep(200);
    assert_true(append.ok);
    free(events);
    free(natural);
    free(data);
}

static void happen(struct fixture *fixture, size_t count)
{
    happen_with(fixture, count, 20);
}

static struct gwc_delivery_stats stats_of(struct fixture *fixture)
{
    struct gwc_delivery_stats stats;

    gwc_delivery_stats(fixture->delivery, &stats);
    return stats;
}

static void assert_each_once(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->number; i++)
        if (fixture->watcher.seen[i] != 1)
            fail_msg("event %zu came %u times", i, fixture->watcher.seen[i]);
}

static bool exposes(struct fixture *fixture, const char *line)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    gw_metrics_write(fixture->metrics, &text);
    if (strstr(gw_bytes_text(&text), line) != NULL)
        return true;
    print_message("%s\n", gw_bytes_text(&text));
    return false;
}

/* ---- tests ---- */

static void all_events_arrive_once_and_stay_delivered(void **state)
{
    struct fixture *fixture = *state;

    begin_delivery(fixture);
    assert_true(exposes(fixture, "gateway_deliveries_total{watcher=\"w\",outcome=\"delivered\"} 0"));
    assert_true(exposes(fixture, "gateway_delivery_attempts_total{watcher=\"w\",code=\"none\"} 0"));
    for (size_t i = 0; i < 10; i++)
        happen(fixture, 50);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 500 && stats_of(fixture).pending == 0);
    assert_each_once(fixture);
    assert_int_equal(stats_of(fixture).delivered, 500);
    assert_int_equal(stats_of(fixture).in_flight, 0);
    assert_true(exposes(fixture, "gateway_delivery_attempts_total{watcher=\"w\",code=\"2xx\"} 500"));

    end_all(fixture);
    begin_outbox(fixture);
    begin_delivery(fixture);
    happen(fixture, 1);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 501);
    assert_each_once(fixture);
}

static void a_slow_watcher_gets_as_many_as_agreed_at_once(void **state)
{
    struct fixture *fixture = *state;

    fixture->watcher.hold = true;
    begin_delivery(fixture);
    happen(fixture, 100);
    WAIT_FOR(fixture->loop, fixture->watcher.held_count == 8);
    for (int i = 0; i < 5; i++)
        gw_loop_turn(fixture->loop, 2);
    assert_int_equal(fixture->watcher.held_most, 8);
    assert_int_equal(stats_of(fixture).in_flight, 8);
    assert_int_equal(stats_of(fixture).pending, 100);
    assert_true(stats_of(fixture).oldest_pending_ms > 0);
    assert_false(gwc_delivery_drain(fixture->delivery));
    fixture->watcher.hold = false;
    watcher_let_go(&fixture->watcher);
    WAIT_FOR(fixture->loop, gwc_delivery_drain(fixture->delivery));
    assert_int_equal(fixture->watcher.events, 8);

    end_delivery(fixture);
    begin_delivery(fixture);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 100);
    assert_each_once(fixture);
}

static void what_failed_is_tried_again(void **state)
{
    struct fixture *fixture = *state;

    fixture->watcher.first_status = 500;
    fixture->watcher.first_count = 30;
    fixture->watcher.body = "oops";
    begin_delivery(fixture);
    happen(fixture, 20);
    WAIT_FOR(fixture->loop, fixture->watcher.requests >= 8 && stats_of(fixture).failures > 0);
    assert_string_equal(stats_of(fixture).last_failure, "HTTP 500: oops");
    WAIT_FOR(fixture->loop, fixture->watcher.events == 20 && stats_of(fixture).pending == 0);
    assert_each_once(fixture);
    assert_false(stats_of(fixture).failing);
    assert_int_equal(stats_of(fixture).failures, 30);
    assert_true(exposes(fixture, "gateway_delivery_attempts_total{watcher=\"w\",code=\"5xx\"} 30"));
    assert_int_equal(stats_of(fixture).dead, 0);
}

static void retry_after_pauses_the_watcher(void **state)
{
    const char *const headers[] = {"Retry-After: 1", NULL};
    struct fixture *fixture = *state;
    int64_t before;

    fixture->spec.concurrency = 1;
    fixture->watcher.first_status = 429;
    fixture->watcher.first_count = 1;
    fixture->watcher.headers = headers;
    begin_delivery(fixture);
    before = gw_clock_monotonic_ms();
    happen(fixture, 3);
    WAIT_FOR(fixture->loop, fixture->watcher.requests == 1 && stats_of(fixture).waiting == 1);
    WAIT_FOR(fixture->loop, fixture->watcher.requests >= 2);
    assert_in_range(gw_clock_monotonic_ms() - before, 950, 3000);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 3);
    assert_each_once(fixture);
    assert_int_equal(fixture->watcher.requests, 4);
}

static void a_refused_event_becomes_a_dead_letter_at_once(void **state)
{
    struct fixture *fixture = *state;

    fixture->watcher.bad_id = "1";
    begin_delivery(fixture);
    happen(fixture, 3);
    WAIT_FOR(fixture->loop, stats_of(fixture).pending == 0);
    assert_int_equal(fixture->watcher.events, 2);
    assert_int_equal(fixture->watcher.requests, 3);
    assert_int_equal(stats_of(fixture).dead, 1);
    WAIT_FOR(fixture->loop, gwc_outbox_dead_count(fixture->outbox, "w") == 1);
    assert_true(exposes(fixture, "gateway_deliveries_total{watcher=\"w\",outcome=\"dead\"} 1"));

    /* replayed, it goes out again */
    struct gwc_dead_letters *letters = NULL;
    struct gw_reason reason;
    size_t count = 0;
    fixture->watcher.bad_id = NULL;
    assert_int_equal(gwc_dead_letters_open(&letters, fixture->directory, &reason), 0);
    assert_int_equal(gwc_dead_letters_replay(letters, "w", 0, &count), 0);
    gwc_dead_letters_close(letters);
    assert_int_equal(count, 1);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 3);
    assert_each_once(fixture);
}

static void what_is_given_up_is_dropped_where_nobody_wants_it(void **state)
{
    struct fixture *fixture = *state;

    fixture->spec.dead_letter = false;
    fixture->spec.retry.attempts_max = 3;
    fixture->watcher.status = 503;
    begin_delivery(fixture);
    happen(fixture, 2);
    WAIT_FOR(fixture->loop, stats_of(fixture).dropped == 2);
    assert_int_equal(fixture->watcher.requests, 6);
    assert_int_equal(gwc_outbox_dead_count(fixture->outbox, "w"), 0);
    assert_true(exposes(fixture, "gateway_deliveries_total{watcher=\"w\",outcome=\"dropped\"} 2"));
    assert_int_equal(stats_of(fixture).pending, 0);
}

static int first_letter(void *user, const struct gwc_dead_letter *letter)
{
    snprintf(user, 200, "%s", letter->reason);
    return 0;
}

static void a_deadline_ends_the_attempts(void **state)
{
    struct fixture *fixture = *state;
    struct gwc_dead_letters *letters = NULL;
    struct gw_reason reason;
    char words[200] = "";

    fixture->spec.retry.deadline_ns = 150 * GW_NS_PER_MS;
    fixture->watcher.status = 500;
    begin_delivery(fixture);
    happen(fixture, 1);
    WAIT_FOR(fixture->loop, stats_of(fixture).dead == 1);
    assert_true(fixture->watcher.requests >= 3);
    WAIT_FOR(fixture->loop, gwc_outbox_dead_count(fixture->outbox, "w") == 1);
    assert_int_equal(gwc_dead_letters_open(&letters, fixture->directory, &reason), 0);
    assert_int_equal(gwc_dead_letters_each(letters, "w", 0, first_letter, words), 0);
    gwc_dead_letters_close(letters);
    assert_non_null(strstr(words, "given up after "));
    assert_non_null(strstr(words, "HTTP 500"));
}

static void a_watcher_that_is_down_is_tried_by_few(void **state)
{
    struct fixture *fixture = *state;
    struct gwc_delivery_stats stats;

    watcher_close(&fixture->watcher);
    fixture->spec.retry.initial_ns = fixture->spec.retry.max_ns = 200 * GW_NS_PER_MS;
    begin_delivery(fixture);
    happen(fixture, 2000);
    WAIT_FOR(fixture->loop, stats_of(fixture).attempts >= 16);
    stats = stats_of(fixture);
    /* those in flight when it was noticed, and no more begun since */
    assert_true(stats.waiting + stats.in_flight <= 24);
    assert_true(stats.failing);
    assert_int_equal(stats.pending, 2000);
    assert_non_null(strstr(stats.last_failure, "refused"));

    watcher_open(&fixture->watcher, fixture->loop);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 2000);
    WAIT_FOR(fixture->loop, stats_of(fixture).pending == 0);
    assert_each_once(fixture);
    assert_true(stats_of(fixture).failures < 200);
}

static void a_restart_loses_nothing(void **state)
{
    struct fixture *fixture = *state;

    fixture->watcher.status = 500;
    begin_delivery(fixture);
    happen(fixture, 300);
    WAIT_FOR(fixture->loop, stats_of(fixture).waiting > 20);
    end_all(fixture);
    /* what was on the wire when we closed is not to be counted later */
    for (int i = 0; i < 20; i++)
        gw_loop_turn(fixture->loop, 2);

    begin_outbox(fixture);
    fixture->watcher.hold = true;
    begin_delivery(fixture);
    assert_int_equal(stats_of(fixture).pending, 300);
    WAIT_FOR(fixture->loop, fixture->watcher.held_count == 8);
    end_all(fixture);

    begin_outbox(fixture);
    fixture->watcher.hold = false;
    fixture->watcher.status = 200;
    begin_delivery(fixture);
    WAIT_FOR(fixture->loop, fixture->watcher.events >= 300 && stats_of(fixture).pending == 0);
    assert_each_once(fixture);
}

static void one_bad_event_does_not_take_its_batch_along(void **state)
{
    struct fixture *fixture = *state;

    fixture->spec.mode = GW_EVENT_BATCH;
    fixture->spec.batch_max = 10;
    fixture->spec.concurrency = 1;
    fixture->watcher.bad_id = "13";
    begin_delivery(fixture);
    happen(fixture, 100);
    WAIT_FOR(fixture->loop, stats_of(fixture).pending == 0);
    assert_int_equal(stats_of(fixture).dead, 1);
    assert_int_equal(fixture->watcher.events, 99);
    assert_int_equal(fixture->watcher.seen[13], 0);
    fixture->watcher.seen[13] = 1;
    assert_each_once(fixture);
    assert_in_range(fixture->watcher.requests, 20, 22);
}

static void a_backlog_is_read_from_the_outbox(void **state)
{
    struct fixture *fixture = *state;

    fixture->spec.concurrency = 32;
    fixture->watcher.hold = true;
    begin_delivery(fixture);
    happen(fixture, 9000);
    WAIT_FOR(fixture->loop, fixture->watcher.held_count == 32);
    assert_int_equal(stats_of(fixture).pending, 9000);
    fixture->watcher.hold = false;
    watcher_let_go(&fixture->watcher);
    happen(fixture, 500);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 9500);
    WAIT_FOR(fixture->loop, stats_of(fixture).pending == 0);
    assert_each_once(fixture);
}

static void large_events_are_bounded_by_their_bytes(void **state)
{
    struct fixture *fixture = *state;

    fixture->spec.concurrency = 2;
    fixture->watcher.hold = true;
    begin_delivery(fixture);
    happen_with(fixture, 60, 700000);
    WAIT_FOR(fixture->loop, fixture->watcher.held_count == 2);
    fixture->watcher.hold = false;
    watcher_let_go(&fixture->watcher);
    WAIT_FOR(fixture->loop, fixture->watcher.events == 60);
    assert_each_once(fixture);
}

static void a_close_during_a_read_is_safe(void **state)
{
    struct fixture *fixture = *state;

    begin_delivery(fixture); /* makes the watcher known */
    end_delivery(fixture);
    happen(fixture, 2000);
    for (int i = 0; i < 10; i++) {
        begin_delivery(fixture); /* begins with a read */
        end_delivery(fixture);
        gw_loop_turn(fixture->loop, 1);
    }
    begin_delivery(fixture);
    WAIT_FOR(fixture->loop, stats_of(fixture).pending == 0);
    for (size_t i = 0; i < fixture->number; i++)
        assert_true(fixture->watcher.seen[i] >= 1);
}

static void more_retries_than_fit_are_taken_in_turns(void **state)
{
    struct fixture *fixture = *state;

    fixture->spec.retry.initial_ns = fixture->spec.retry.max_ns = 20 * GW_NS_PER_MS;
    fixture->spec.concurrency = 64;
    fixture->watcher.status = 400;
    begin_delivery(fixture);
    happen(fixture, 3000);
    WAIT_FOR(fixture->loop, stats_of(fixture).dead == 3000);
    WAIT_FOR(fixture->loop, gwc_outbox_dead_count(fixture->outbox, "w") == 3000);

    struct gwc_dead_letters *letters = NULL;
    struct gw_reason reason;
    size_t count = 0;
    fixture->watcher.status = 204;
    assert_int_equal(gwc_dead_letters_open(&letters, fixture->directory, &reason), 0);
    assert_int_equal(gwc_dead_letters_replay(letters, "w", 0, &count), 0);
    gwc_dead_letters_close(letters);
    assert_int_equal(count, 3000);
    WAIT_FOR(fixture->loop, fixture->watcher.events >= 3000);
    assert_each_once(fixture);
}

/* Nobody else can write until it is closed. */
static sqlite3 *file_hold(struct fixture *fixture)
{
    sqlite3 *database = file_open(fixture->directory);

    assert_int_equal(sqlite3_exec(database, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    return database;
}

/* Nothing comes of these notes. The writer holds the first of them, which it cannot write, and behind them the queue is full. */
static void notes_fill(struct fixture *fixture)
{
    struct gwc_progress progress = {.outcome = GWC_DELIVERED, .sequence = 1000, .had_retry = true};

    for (int refused = 0; refused < 5;) {
        if (gwc_outbox_progress(fixture->outbox, "w", &progress)) {
            progress.sequence++;
            refused = 0;
        } else {
            usleep(100000);
            refused++;
        }
    }
}

/* Three deliveries are under way, and there is no room for notes until the holder that is returned closes. */
static sqlite3 *three_without_room(struct fixture *fixture)
{
    sqlite3 *holder;

    fixture->watcher.hold = true;
    begin_delivery(fixture);
    happen(fixture, 3);
    WAIT_FOR(fixture->loop, fixture->watcher.held_count == 3);
    holder = file_hold(fixture);
    notes_fill(fixture);
    fixture->watcher.hold = false;
    return holder;
}

static void a_dead_letter_that_finds_no_room_is_noted_later(void **state)
{
    struct fixture *fixture = *state;
    sqlite3 *holder;

    fixture->watcher.bad_id = "1";
    holder = three_without_room(fixture);
    watcher_let_go(&fixture->watcher);
    WAIT_FOR(fixture->loop, fixture->watcher.requests > 3);
    assert_int_equal(stats_of(fixture).dead, 0);
    assert_int_equal(stats_of(fixture).pending, 1);

    sqlite3_close(holder);
    WAIT_FOR(fixture->loop, gwc_outbox_dead_count(fixture->outbox, "w") == 1);
    assert_int_equal(stats_of(fixture).dead, 1);
    WAIT_FOR(fixture->loop, file_number(fixture->directory, "SELECT cursor FROM cursors") == 3);
}

static void a_retry_that_finds_no_room_holds_the_cursor_until_it_does(void **state)
{
    struct fixture *fixture = *state;
    sqlite3 *holder = three_without_room(fixture);

    fixture->watcher.status = 500;
    watcher_let_go(&fixture->watcher);
    WAIT_FOR(fixture->loop, fixture->watcher.requests > 6);
    sqlite3_close(holder);
    WAIT_FOR(fixture->loop, file_number(fixture->directory, "SELECT cursor FROM cursors") == 3);

    fixture->watcher.status = 204;
    WAIT_FOR(fixture->loop, stats_of(fixture).pending == 0);
    assert_each_once(fixture);
}

static void a_cursor_set_back_behind_events_that_have_gone_waits_for_new_ones(void **state)
{
    struct fixture *fixture = *state;
    struct gwc_positions *positions = NULL;
    struct gw_reason reason;

    end_all(fixture);
    fixture->retention_ms = 0;
    begin_outbox(fixture);
    begin_delivery(fixture);
    happen(fixture, 5);
    WAIT_FOR(fixture->loop, file_number(fixture->directory, "SELECT cursor FROM cursors") == 5);
    WAIT_FOR(fixture->loop, file_number(fixture->directory, "SELECT count(*) FROM events") == 0);
    end_all(fixture);
    assert_int_equal(gwc_positions_open(&positions, fixture->directory, true, &reason), 0);
    assert_int_equal(gwc_positions_set_cursor(positions, "w", 0), 0);
    gwc_positions_close(positions);

    begin_outbox(fixture);
    begin_delivery(fixture);
    WAIT_FOR(fixture->loop, stats_of(fixture).pending == 0);
    happen(fixture, 1);
    WAIT_FOR(fixture->loop, file_number(fixture->directory, "SELECT cursor FROM cursors") == 6);
    assert_each_once(fixture);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_events_arrive_once_and_stay_delivered),
        TEST(a_slow_watcher_gets_as_many_as_agreed_at_once),
        TEST(what_failed_is_tried_again),
        TEST(retry_after_pauses_the_watcher),
        TEST(a_refused_event_becomes_a_dead_letter_at_once),
        TEST(what_is_given_up_is_dropped_where_nobody_wants_it),
        TEST(a_deadline_ends_the_attempts),
        TEST(a_watcher_that_is_down_is_tried_by_few),
        TEST(a_restart_loses_nothing),
        TEST(one_bad_event_does_not_take_its_batch_along),
        TEST(a_backlog_is_read_from_the_outbox),
        TEST(large_events_are_bounded_by_their_bytes),
        TEST(a_close_during_a_read_is_safe),
        TEST(more_retries_than_fit_are_taken_in_turns),
        TEST(a_dead_letter_that_finds_no_room_is_noted_later),
        TEST(a_retry_that_finds_no_room_holds_the_cursor_until_it_does),
        TEST(a_cursor_set_back_behind_events_that_have_gone_waits_for_new_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
