/* Kubernetes Events: their words and JSON; what is told becomes few of them, at a rate an API server can bear. */
#include "common/json.h"
#include "gateway-client/report/event_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* 2026-03-01T08:30:00.123456Z */
#define NOW_NS INT64_C(1772353800123456000)
#define NOW_MS INT64_C(1000000)

static void expect_note(enum gwc_event_reason reason, const struct gwc_event_subject *subjects, size_t count,
                        size_t more, const char *note)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    gwc_event_note(&out, reason, subjects, count, more);
    assert_string_equal(gw_bytes_text(&out), note);
}

static void a_note_says_who_what_and_why(void **state)
{
    static const struct gwc_event_subject two[] = {{"orders", "port 80 is taken"}, {"tick", ""}};

    (void)state;
    expect_note(GWC_EVENT_SOURCE_FAILED, two, 1, 0, "event source orders does not run: port 80 is taken");
    expect_note(GWC_EVENT_SOURCE_RUNNING, two + 1, 1, 0, "event source tick runs");
    expect_note(GWC_EVENT_SOURCE_FAILED, two, 2, 0,
                "2 event sources do not run: orders: port 80 is taken; tick");
    expect_note(GWC_EVENT_SOURCE_FAILED, two, 2, 7,
                "9 event sources do not run: orders: port 80 is taken; tick; …");
    expect_note(GWC_EVENT_OUTBOX_FULL, &(struct gwc_event_subject){"", "disk"}, 1, 0,
                "the outbox takes no more events: disk");
    expect_note(GWC_EVENT_LEADER_ELECTED, &(struct gwc_event_subject){"pod-1", ""}, 1, 0, "pod-1 leads");
}

static void a_long_note_is_cut_between_characters(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes words = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    for (int i = 0; i < 600; i++)
        gw_bytes_append_text(&words, "\xC3\xA9");
    gwc_event_note(&out, GWC_EVENT_SOURCE_FAILED,
                   &(struct gwc_event_subject){"orders", gw_bytes_text(&words)}, 1, 0);
    assert_in_range(out.size, GWC_EVENT_NOTE_MAX - 3, GWC_EVENT_NOTE_MAX);
    const char *text = gw_bytes_text(&out);
    assert_string_equal(text + out.size - 3, "…");
    assert_memory_equal(text + out.size - 5, "\xC3\xA9", 2);
}

static void an_event_is_valid_to_the_letter(void **state)
{
    static const struct gwc_event_regarding regarding = {"shop", "gw", "u-1", "gw-0"};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    gwc_event_write(&out, &regarding, "gw.00", GWC_EVENT_SOURCE_FAILED, "a \"note\"", NOW_NS);
    assert_string_equal(
        gw_bytes_text(&out),
        "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"gw.00\","
        "\"namespace\":\"shop\"},\"eventTime\":\"2026-03-01T08:30:00.123456Z\",\"type\":\"Warning\","
        "\"reason\":\"SourceFailed\",\"action\":\"Run\",\"note\":\"a \\\"note\\\"\",\"regarding\":{"
        "\"apiVersion\":\"argoproj.io/v1alpha1\",\"kind\":\"Gateway\",\"namespace\":\"shop\","
        "\"name\":\"gw\",\"uid\":\"u-1\"},\"reportingController\":\"gateway-client\","
        "\"reportingInstance\":\"gw-0\"}");
    gw_bytes_clear(&out);
    gwc_event_write_series(&out, 3, NOW_NS);
    assert_string_equal(gw_bytes_text(&out),
                        "{\"series\":{\"count\":3,\"lastObservedTime\":\"2026-03-01T08:30:00.123456Z\"}}");
}

static void each_reason_is_complete(void **state)
{
    (void)state;
    for (int reason = 0; reason < GWC_EVENT_REASONS_COUNT; reason++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

        assert_non_null(gwc_event_reason_name((enum gwc_event_reason)reason));
        gwc_event_write(&out, &(struct gwc_event_regarding){"a", "b", "c", "d"}, "e",
                        (enum gwc_event_reason)reason, "f", NOW_NS);
        assert_null(strstr(gw_bytes_text(&out), "\"action\":\"\""));
        assert_true(gw_json_valid(gw_bytes_view(&out)));
    }
}

static void a_name_is_unique_and_legal(void **state)
{
    char name[GWC_EVENT_NAME_SIZE], gateway[254];

    (void)state;
    assert_string_equal(gwc_event_name(name, "shop-gw", 0xABC), "shop-gw.0000000000000abc");
    memset(gateway, 'a', sizeof(gateway) - 1);
    gateway[sizeof(gateway) - 1] = '\0';
    gateway[235] = '-';
    gateway[234] = '.';
    gwc_event_name(name, gateway, 1);
    assert_int_equal(strlen(name), 234 + 17);
    assert_string_equal(name + 233, "a.0000000000000001");
}

/* ---- the queue ---- */

struct fixture {
    struct gwc_event_queue *queue;
    struct gwc_event_job job;
    int64_t now_ms;
};

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    assert_int_equal(gwc_event_queue_new(&fixture->queue), 0);
    fixture->now_ms = NOW_MS;
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;

    gwc_event_queue_free(fixture->queue);
    free(fixture);
    return 0;
}

static void tell(struct fixture *fixture, enum gwc_event_reason reason, const char *name, const char *words)
{
    gwc_event_queue_tell(fixture->queue, reason, &(struct gwc_event_subject){name, words}, fixture->now_ms,
                         NOW_NS + fixture->now_ms);
}

static bool take(struct fixture *fixture)
{
    return gwc_event_queue_take(fixture->queue, fixture->now_ms, &fixture->job);
}

static void done(struct fixture *fixture, const char *name)
{
    gwc_event_queue_done(fixture->queue, name, fixture->now_ms);
}

static void what_is_told_is_gathered_for_a_moment(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(gwc_event_queue_due_ms(fixture->queue, fixture->now_ms), INT64_MAX);
    tell(fixture, GWC_EVENT_SOURCE_RUNNING, "a", "");
    assert_int_equal(gwc_event_queue_due_ms(fixture->queue, fixture->now_ms), NOW_MS + GWC_EVENT_GATHER_MS);
    assert_false(take(fixture));
    fixture->now_ms += GWC_EVENT_GATHER_MS;
    assert_true(take(fixture));
    assert_string_equal(fixture->job.note, "event source a runs");
    assert_null(fixture->job.name);
    assert_int_equal(fixture->job.realtime_ns, NOW_NS + NOW_MS);
    done(fixture, "gw.1");
    assert_false(take(fixture));
    assert_int_equal(gwc_event_queue_due_ms(fixture->queue, fixture->now_ms), INT64_MAX);
}

static void a_few_are_told_one_by_one_and_many_as_one(void **state)
{
    struct fixture *fixture = *state;
    char name[16];

    for (int i = 0; i < GWC_EVENT_SINGLE_MAX; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        tell(fixture, GWC_EVENT_SOURCE_RUNNING, name, "");
        tell(fixture, GWC_EVENT_SOURCE_RUNNING, name, ""); /* once more changes nothing */
    }
    for (int i = 0; i < GWC_EVENT_GATHERED_MAX + 10; i++) {
        snprintf(name, sizeof(name), "w%d", i);
        tell(fixture, GWC_EVENT_WATCHER_FAILING, name, "503");
    }
    gwc_event_queue_flush(fixture->queue);
    for (int i = 0; i < GWC_EVENT_SINGLE_MAX; i++) {
        assert_true(take(fixture));
        snprintf(name, sizeof(name), "gw.%d", i);
        done(fixture, name);
    }
    assert_true(take(fixture));
    assert_memory_equal(fixture->job.note, "138 watchers take no events: w0: 503; w1: 503;", 46);
    done(fixture, "gw.x");
    assert_false(take(fixture));
}

static void the_same_again_is_a_series(void **state)
{
    struct fixture *fixture = *state;

    tell(fixture, GWC_EVENT_WATCHER_FAILING, "a", "503");
    gwc_event_queue_flush(fixture->queue);
    assert_true(take(fixture));
    done(fixture, "gw.1");
    for (int i = 0; i < 3; i++) {
        fixture->now_ms += 1000;
        tell(fixture, GWC_EVENT_WATCHER_FAILING, "a", "503");
        gwc_event_queue_flush(fixture->queue);
        assert_false(take(fixture)); /* not each of them */
    }
    fixture->now_ms += GWC_EVENT_REFRESH_MS;
    assert_true(take(fixture));
    assert_string_equal(fixture->job.name, "gw.1");
    assert_int_equal(fixture->job.count, 4);
    done(fixture, "gw.1");
    assert_false(take(fixture));
    /* other words are another Event, and so is the same after a long time */
    tell(fixture, GWC_EVENT_WATCHER_FAILING, "a", "500");
    gwc_event_queue_flush(fixture->queue);
    assert_true(take(fixture));
    assert_null(fixture->job.name);
    done(fixture, "gw.2");
    fixture->now_ms += GWC_EVENT_SERIES_MS;
    tell(fixture, GWC_EVENT_WATCHER_FAILING, "a", "503");
    gwc_event_queue_flush(fixture->queue);
    assert_true(take(fixture));
    assert_null(fixture->job.name);
    done(fixture, "gw.3");
}

static void an_event_that_is_no_more_is_made_anew(void **state)
{
    struct fixture *fixture = *state;

    for (int round = 0; round < 2; round++) {
        tell(fixture, GWC_EVENT_WATCHER_FAILING, "a", "503");
        gwc_event_queue_flush(fixture->queue);
        fixture->now_ms += GWC_EVENT_REFRESH_MS;
        assert_true(take(fixture));
        done(fixture, round == 0 ? "gw.1" : NULL);
    }
    tell(fixture, GWC_EVENT_WATCHER_FAILING, "a", "503");
    gwc_event_queue_flush(fixture->queue);
    assert_true(take(fixture));
    assert_null(fixture->job.name);
    done(fixture, NULL);
}

static void a_storm_is_a_burst_and_then_a_trickle(void **state)
{
    struct fixture *fixture = *state;
    char words[16];
    int sent = 0;

    for (int i = 0; i < 100; i++) {
        snprintf(words, sizeof(words), "reason %d", i);
        tell(fixture, GWC_EVENT_SOURCE_FAILED, "a", words);
        gwc_event_queue_flush(fixture->queue);
        for (; take(fixture); sent++)
            done(fixture, "gw.x");
    }
    assert_int_equal(sent, GWC_EVENT_BURST);
    /* of the other 75, those for which there was room; the newest are kept */
    assert_int_equal(gwc_event_queue_lost(fixture->queue), 75 - GWC_EVENT_QUEUE_MAX);
    assert_int_equal(gwc_event_queue_lost(fixture->queue), 0);
    assert_int_equal(gwc_event_queue_due_ms(fixture->queue, fixture->now_ms), NOW_MS + GWC_EVENT_TOKEN_MS);
    for (int i = 0; i < 10; i++) {
        fixture->now_ms += GWC_EVENT_TOKEN_MS;
        assert_true(take(fixture));
        done(fixture, "gw.x");
        assert_false(take(fixture));
    }
    fixture->now_ms += GWC_EVENT_STALE_MS;
    assert_false(take(fixture));
    assert_int_equal(gwc_event_queue_lost(fixture->queue), GWC_EVENT_QUEUE_MAX - 10);
}

static void warnings_stay_when_there_is_no_room(void **state)
{
    struct fixture *fixture = *state;
    char name[16];

    for (int i = 0; i < GWC_EVENT_QUEUE_MAX; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        tell(fixture, i % 2 == 0 ? GWC_EVENT_SOURCE_FAILED : GWC_EVENT_SOURCE_RUNNING, name, "");
        gwc_event_queue_flush(fixture->queue);
        if (i == 0)
            assert_true(take(fixture)); /* under way: cannot be given up */
        else
            gwc_event_queue_again(fixture->queue), (void)take(fixture);
    }
    gwc_event_queue_again(fixture->queue);
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof(name), "w%d", i);
        tell(fixture, GWC_EVENT_WATCHER_FAILING, name, "");
        gwc_event_queue_flush(fixture->queue);
        assert_true(take(fixture));
        assert_string_equal(fixture->job.note, "event source s0 does not run");
        gwc_event_queue_again(fixture->queue);
    }
    int warnings = 0, all = 0;
    for (; take(fixture); all++) {
        warnings += gwc_event_reason_is_warning(fixture->job.reason);
        done(fixture, "gw.x");
        fixture->now_ms += GWC_EVENT_TOKEN_MS;
    }
    assert_int_equal(all, GWC_EVENT_QUEUE_MAX);
    assert_int_equal(warnings, GWC_EVENT_QUEUE_MAX);
}

static void what_was_not_sent_comes_again(void **state)
{
    struct fixture *fixture = *state;

    tell(fixture, GWC_EVENT_CONFIGURATION_IN_FORCE, "gateway shop/gw", "");
    gwc_event_queue_flush(fixture->queue);
    for (int i = 0; i < 100; i++) {
        assert_true(take(fixture));
        gwc_event_queue_again(fixture->queue);
    }
    assert_true(take(fixture));
    assert_string_equal(fixture->job.note, "gateway shop/gw is in force");
    done(fixture, "gw.1");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_note_says_who_what_and_why),
        cmocka_unit_test(a_long_note_is_cut_between_characters),
        cmocka_unit_test(an_event_is_valid_to_the_letter),
        cmocka_unit_test(each_reason_is_complete),
        cmocka_unit_test(a_name_is_unique_and_legal),
        cmocka_unit_test_setup_teardown(what_is_told_is_gathered_for_a_moment, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_few_are_told_one_by_one_and_many_as_one, fixture_open,
                                        fixture_close),
        cmocka_unit_test_setup_teardown(the_same_again_is_a_series, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(an_event_that_is_no_more_is_made_anew, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_storm_is_a_burst_and_then_a_trickle, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(warnings_stay_when_there_is_no_room, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(what_was_not_sent_comes_again, fixture_open, fixture_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
