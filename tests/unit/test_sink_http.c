/* The sink over HTTP, against a real listener. */
#include "gateway-client/delivery/sink.h"

#include "common/json.h"
#include "tests/unit/watcher_fixture.h"

#define V(text) gw_view((text), sizeof(text) - 1)

struct fixture {
    struct gw_loop *loop;
    struct gw_http *http;
    struct watcher watcher;
    struct gwc_watcher_spec spec;
    char url[64];
    struct gwc_sink *sink;
    struct gw_event *event;
    /* the last answer */
    size_t answers;
    struct gwc_answer answer;
    char reason[400];
};

static int fixture_open(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct gw_event_fields fields = {.id = V("7"),
                                     .source = V("/a"),
                                     .type = V("t"),
                                     .subject = V("\xc3\xbc"),
                                     .data = V("{\"a\":1}"),
                                     .data_content_type = V("application/json"),
                                     .gateway = V("gw"),
                                     .event_source = V("es"),
                                     .kind = V("webhook"),
                                     .time_ns = 1000000000};

    assert_int_equal(gw_loop_open(&fixture->loop), 0);
    assert_int_equal(gw_http_open(&fixture->http, fixture->loop, 16), 0);
    watcher_open(&fixture->watcher, fixture->loop);
    snprintf(fixture->url, sizeof(fixture->url), "http://127.0.0.1:%u/", fixture->watcher.port);
    fixture->spec =
        (struct gwc_watcher_spec){.name = "w", .url = fixture->url, .timeout_ns = 2 * GW_NS_PER_S};
    fixture->event = gw_event_new(&fields);
    *state = fixture;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->sink != NULL)
        fixture->sink->ops->close(fixture->sink);
    gw_event_unref(fixture->event);
    gw_http_close(fixture->http);
    watcher_done(&fixture->watcher);
    gw_loop_close(fixture->loop);
    free(fixture);
    return 0;
}

static void on_answer(void *user, const struct gwc_answer *answer)
{
    struct fixture *fixture = user;

    fixture->answers++;
    fixture->answer = *answer;
    snprintf(fixture->reason, sizeof(fixture->reason), "%s", answer->reason);
}

static void open_sink(struct fixture *fixture)
{
    struct gw_reason reason = {""};

    if (fixture->sink != NULL)
        fixture->sink->ops->close(fixture->sink);
    if (gwc_sink_http_open(&fixture->sink, fixture->http, &fixture->spec, &reason) != 0)
        fail_msg("%s", reason.text);
}

static void send_events(struct fixture *fixture, size_t count)
{
    struct gw_event *events[] = {fixture->event, fixture->event, fixture->event};
    size_t before = fixture->answers;

    assert_int_equal(fixture->sink->ops->send(fixture->sink, events, count, on_answer, fixture), 0);
    assert_int_equal(fixture->answers, before);
    WAIT_FOR(fixture->loop, fixture->answers == before + 1);
}

static void every_mode_is_sent_as_it_is_defined(void **state)
{
    static const struct {
        enum gw_event_mode mode;
        const char *content_type, *id, *body;
    } cases[] = {
        {GW_EVENT_STRUCTURED, "application/cloudevents+json; charset=utf-8", "(none)",
         "{\"specversion\":\"1.0\""},
        {GW_EVENT_BINARY, "application/json", "7", "{\"a\":1}"},
        {GW_EVENT_BATCH, "application/cloudevents-batch+json; charset=utf-8", "(none)", "[{\"specversion\""},
        {GW_EVENT_LEGACY, "application/json", "(none)", "{\"context\":"},
        {GW_EVENT_LEGACY_03, "application/json", "37", "{\"a\":1}"},
        {GW_EVENT_LEGACY_03_JSON, "(none)", "(none)", "{\"data\":{\"a\":1}"},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        fixture->spec.mode = cases[i].mode;
        open_sink(fixture);
        send_events(fixture, cases[i].mode == GW_EVENT_BATCH ? 3 : 1);
        assert_int_equal(fixture->answer.verdict, GWC_SENT);
        assert_int_equal(fixture->answer.status, 204);
        assert_string_equal(fixture->watcher.content_type, cases[i].content_type);
        assert_string_equal(fixture->watcher.id_header, cases[i].id);
        assert_memory_equal(fixture->watcher.last_body.data, cases[i].body, strlen(cases[i].body));
        assert_true(gw_json_valid(gw_bytes_view(&fixture->watcher.last_body)));
    }
}

static void statuses_become_verdicts_and_words(void **state)
{
    static const struct {
        int status;
        enum gwc_verdict verdict;
    } cases[] = {{200, GWC_SENT},     {201, GWC_SENT},     {202, GWC_SENT},     {301, GWC_HOPELESS},
                 {307, GWC_HOPELESS}, {400, GWC_HOPELESS}, {401, GWC_HOPELESS}, {408, GWC_AGAIN},
                 {410, GWC_HOPELESS}, {413, GWC_HOPELESS}, {425, GWC_AGAIN},    {429, GWC_AGAIN},
                 {500, GWC_AGAIN},    {501, GWC_AGAIN},    {503, GWC_AGAIN}};
    const char *const headers[] = {"Retry-After: 7", "Location: http://127.0.0.1:1/", NULL};
    struct fixture *fixture = *state;
    char words[80];

    fixture->watcher.headers = headers;
    fixture->watcher.body = " not\r\n\x01now, \xc3\xbc please";
    open_sink(fixture);
    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        fixture->watcher.status = cases[i].status;
        send_events(fixture, 1);
        assert_int_equal(fixture->answer.status, cases[i].status);
        assert_int_equal(fixture->answer.verdict, cases[i].verdict);
        if (cases[i].status < 300)
            continue;
        snprintf(words, sizeof(words), "HTTP %d: not now, please", cases[i].status);
        assert_string_equal(fixture->reason, words);
        assert_int_equal(fixture->answer.retry_after_ms, 7000);
    }
}

static void nobody_there_is_worth_another_attempt(void **state)
{
    struct fixture *fixture = *state;

    open_sink(fixture);
    watcher_close(&fixture->watcher);
    send_events(fixture, 1);
    assert_int_equal(fixture->answer.verdict, GWC_AGAIN);
    assert_int_equal(fixture->answer.status, 0);
    assert_non_null(strstr(fixture->reason, "refused"));
}

static void secrets_are_read_anew_when_refused(void **state)
{
    struct fixture *fixture = *state;
    struct gw_setting_pair extra = {"X-Extra", "yes"};

    setenv("sinktest_token", "old", 1);
    fixture->spec.bearer = (struct gw_setting_secret){"sinktest", "token"};
    fixture->spec.headers = (struct gw_setting_pairs){&extra, 1};
    fixture->watcher.bearer = "Bearer old";
    open_sink(fixture);
    send_events(fixture, 1);
    assert_int_equal(fixture->answer.verdict, GWC_SENT);
    assert_string_equal(fixture->watcher.extra_header, "yes");

    setenv("sinktest_token", "new", 1);
    fixture->watcher.bearer = "Bearer new";
    send_events(fixture, 1);
    assert_int_equal(fixture->answer.status, 401);
    assert_int_equal(fixture->answer.verdict, GWC_AGAIN);
    send_events(fixture, 1);
    assert_int_equal(fixture->answer.verdict, GWC_SENT);

    /* nothing new to try, and not time to look again */
    fixture->watcher.bearer = "Bearer other";
    send_events(fixture, 1);
    assert_int_equal(fixture->answer.verdict, GWC_HOPELESS);
    unsetenv("sinktest_token");
}

static void assert_refused(struct fixture *fixture, const char *words)
{
    struct gwc_sink *sink = NULL;
    struct gw_reason reason = {""};

    assert_true(gwc_sink_http_open(&sink, fixture->http, &fixture->spec, &reason) < 0);
    if (strstr(reason.text, words) == NULL)
        fail_msg("\"%s\" instead of \"%s\"", reason.text, words);
}

static void what_cannot_work_is_refused_in_words(void **state)
{
    struct fixture *fixture = *state;
    struct gw_setting_pair header = {"X-A", "a\nX-B: b"};

    fixture->spec.headers = (struct gw_setting_pairs){&header, 1};
    assert_refused(fixture, "control character");
    header = (struct gw_setting_pair){"Content-Type", "x"};
    assert_refused(fixture, "Content-Type is set by the mode");
    header = (struct gw_setting_pair){"CE-id", "x"};
    assert_refused(fixture, "set by the mode");
    header = (struct gw_setting_pair){"a b", "x"};
    assert_refused(fixture, "not the name of a header");
    fixture->spec.headers.count = 0;
    fixture->spec.bearer = (struct gw_setting_secret){"nosuch", "token"};
    assert_refused(fixture, "nosuch");
    fixture->spec.bearer = (struct gw_setting_secret){NULL, NULL};
    fixture->spec.url = "ftp://a/";
    assert_refused(fixture, "ftp");
}

static void a_close_abandons_what_is_under_way(void **state)
{
    struct fixture *fixture = *state;

    open_sink(fixture);
    fixture->watcher.hold = true;
    assert_int_equal(fixture->sink->ops->send(fixture->sink, &fixture->event, 1, on_answer, fixture), 0);
    WAIT_FOR(fixture->loop, fixture->watcher.held_count == 1);
    fixture->sink = fixture->sink->ops->close(fixture->sink);
    watcher_let_go(&fixture->watcher);
    gw_loop_turn(fixture->loop, 20);
    assert_int_equal(fixture->answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_mode_is_sent_as_it_is_defined, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(statuses_become_verdicts_and_words, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(nobody_there_is_worth_another_attempt, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(secrets_are_read_anew_when_refused, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(what_cannot_work_is_refused_in_words, fixture_open, fixture_close),
        cmocka_unit_test_setup_teardown(a_close_abandons_what_is_under_way, fixture_open, fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
