/* The life of a watch, with its requests, its clock and its timer in our hands (linker wraps). What a real API server does is
 * in tests/system/test_kube_faults.py. */
#include "common/kube_watch.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- the outside, wrapped ---- */

static struct outside {
    char path[1024];
    void (*chunk)(void *user, struct gw_view bytes);
    void (*done)(void *user, const struct gw_kube_answer *answer);
    void *user;
    int64_t timeout_ms, idle_ms;
    bool under_way;
    int sent;

    int64_t now_ms, wait_ms; /* wait_ms -1: the timer does not run */
    void (*fire)(void *user);
    void *fire_user;
} outside;

int __wrap_gw_kube_send(struct gw_kube *kube, const struct gw_kube_request *request,
                        void (*done)(void *user, const struct gw_kube_answer *answer), void *user,
                        struct gw_kube_call **ret_call);
void __wrap_gw_kube_cancel(struct gw_kube_call *call);
struct gw_loop *__wrap_gw_kube_loop(const struct gw_kube *kube);
void __wrap_gw_kube_quote(struct gw_bytes *out, const char *text);
int64_t __wrap_gw_loop_now_ms(struct gw_loop *loop);
int __wrap_gw_timer_open(struct gw_timer **ret_timer, struct gw_loop *loop, void (*fire)(void *user),
                         void *user);
struct gw_timer *__wrap_gw_timer_close(struct gw_timer *timer);
void __wrap_gw_timer_start(struct gw_timer *timer, int64_t wait_ms);
void __wrap_gw_timer_stop(struct gw_timer *timer);
uint64_t __wrap_gw_random_u64(void);

int __wrap_gw_kube_send(struct gw_kube *kube, const struct gw_kube_request *request,
                        void (*done)(void *user, const struct gw_kube_answer *answer), void *user,
                        struct gw_kube_call **ret_call)
{
    (void)kube;
    assert_false(outside.under_way);
    assert_int_equal(request->verb, GW_KUBE_GET);
    snprintf(outside.path, sizeof(outside.path), "%s", request->path);
    outside.chunk = request->chunk;
    outside.done = done;
    outside.user = user;
    outside.timeout_ms = request->timeout_ms;
    outside.idle_ms = request->idle_ms;
    outside.under_way = true;
    outside.sent++;
    *ret_call = (struct gw_kube_call *)&outside;
    return 0;
}

void __wrap_gw_kube_cancel(struct gw_kube_call *call)
{
    if (call != NULL)
        outside.under_way = false;
}

struct gw_loop *__wrap_gw_kube_loop(const struct gw_kube *kube)
{
    (void)kube;
    return NULL;
}

void __wrap_gw_kube_quote(struct gw_bytes *out, const char *text)
{
    gw_bytes_printf(out, "<%s>", text);
}

int64_t __wrap_gw_loop_now_ms(struct gw_loop *loop)
{
    (void)loop;
    return outside.now_ms;
}

int __wrap_gw_timer_open(struct gw_timer **ret_timer, struct gw_loop *loop, void (*fire)(void *user),
                         void *user)
{
    (void)loop;
    outside.fire = fire;
    outside.fire_user = user;
    outside.wait_ms = -1;
    *ret_timer = (struct gw_timer *)&outside;
    return 0;
}

struct gw_timer *__wrap_gw_timer_close(struct gw_timer *timer)
{
    (void)timer;
    outside.wait_ms = -1;
    return NULL;
}

void __wrap_gw_timer_start(struct gw_timer *timer, int64_t wait_ms)
{
    (void)timer;
    outside.wait_ms = wait_ms;
}

void __wrap_gw_timer_stop(struct gw_timer *timer)
{
    (void)timer;
    outside.wait_ms = -1;
}

/* The longest wait of each back-off, and the shortest timeoutSeconds. */
uint64_t __wrap_gw_random_u64(void)
{
    return 0;
}

/* ---- a user ---- */

struct user {
    struct gw_kube_watch *watch;
    struct gw_bytes said; /* "+shop/a@5 " and so on, one after the other */
    char state[512];
    bool well;
    int states;
    const char *close_at, *pause_at; /* when this is said last */
};

static void user_said(struct user *user)
{
    size_t size = user->close_at == NULL ? 0 : strlen(user->close_at);

    if (size > 0 && user->said.size >= size &&
        memcmp(user->said.data + user->said.size - size, user->close_at, size) == 0)
        user->watch = gw_kube_watch_close(user->watch);
    size = user->pause_at == NULL ? 0 : strlen(user->pause_at);
    if (size > 0 && user->said.size >= size &&
        memcmp(user->said.data + user->said.size - size, user->pause_at, size) == 0)
        gw_kube_watch_set_paused(user->watch, true);
}

static void on_object(void *of, const struct gw_kube_object *object)
{
    struct user *user = of;

    gw_bytes_printf(&user->said, "%c%s/%s@%s#%s%s%s ", "+~-"[object->change], object -> namespace_,
                    object -> name, object -> resource_version, object -> uid, object -> listed ? "l" : "",
                    object->json.size == 0 ? "?" : "");
    user_said(user);
}

static void on_listing(void *of)
{
    struct user *user = of;

    gw_bytes_append_text(&user->said, "listing ");
    user_said(user);
}

static void on_synced(void *of, const char *version)
{
    struct user *user = of;

    gw_bytes_printf(&user->said, "synced:%s ", version == NULL ? "NULL" : version);
    user_said(user);
}

static void on_progressed(void *of, const char *version)
{
    struct user *user = of;

    gw_bytes_printf(&user->said, "at:%s ", version);
    user_said(user);
}

static void on_state(void *of, bool well, const char *words)
{
    struct user *user = of;

    user->well = well;
    user->states++;
    snprintf(user->state, sizeof(user->state), "%s", words);
    if (user->close_at != NULL && strcmp(user->close_at, "state") == 0)
        user->watch = gw_kube_watch_close(user->watch);
}

static void user_open(struct user *user, struct gw_kube_watch_options options)
{
    outside = (struct outside){.now_ms = 1000000};
    options.path = "/c";
    options.object = on_object;
    options.listing = options.listing == NULL ? NULL : on_listing;
    options.synced = on_synced;
    options.progressed = on_progressed;
    options.state = on_state;
    options.user = user;
    assert_int_equal(gw_kube_watch_open(&user->watch, NULL, &options), 0);
}

static void user_done(struct user *user)
{
    gw_kube_watch_close(user->watch);
    gw_bytes_done(&user->said);
}

static void wait_over(void)
{
    assert_true(outside.wait_ms >= 0);
    outside.now_ms += outside.wait_ms;
    outside.wait_ms = -1;
    outside.fire(outside.fire_user);
}

/* The first request is under way. */
static void user_start(struct user *user, struct gw_kube_watch_options options)
{
    user_open(user, options);
    assert_int_equal(outside.wait_ms, 0);
    wait_over();
    assert_true(outside.under_way);
}

static void bytes(const char *text)
{
    assert_true(outside.under_way);
    outside.chunk(outside.user, gw_view_text(text));
}

static void answer_of(int status, const char *message, int64_t retry_after_ms)
{
    const struct gw_kube_answer answer = {.status = status,
                                          .reason = status == 504 ? "Timeout" : "",
                                          .message = message,
                                          .retry_after_ms = retry_after_ms};

    assert_true(outside.under_way);
    outside.under_way = false;
    outside.done(outside.user, &answer);
}

static void answer(const char *body)
{
    bytes(body);
    answer_of(200, "", -1);
}

static void end(void)
{
    answer_of(200, "", -1);
}

static void cut(void)
{
    answer_of(0, "the connection broke", -1);
}

static void assert_said(struct user *user, const char *expected)
{
    if (user->said.size == 0)
        gw_bytes_append_text(&user->said, "");
    assert_string_equal(user->said.size == 0 ? "" : gw_bytes_text(&user->said), expected);
    gw_bytes_clear(&user->said);
}

static void assert_path(const char *expected)
{
    assert_true(outside.under_way);
    assert_string_equal(outside.path, expected);
}

#define META(name, uid, version)                                                                             \
    "{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"n\",\"uid\":\"" uid                                \
    "\",\"resourceVersion\":\"" version "\"}}"
#define LIST(version, more, items)                                                                           \
    "{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"" version         \
    "\",\"continue\":\"" more "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(version)   EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"" version "\"}}")
#define EXPIRED                                                                                              \
    EVENT("ERROR", "{\"kind\":\"Status\",\"message\":\"too old\",\"reason\":\"Expired\",\"code\":410}")
#define FOLLOW(version) "/c?watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=<" version ">"

/* Listed (a at 5, b at 6; version 10), and following. */
static void user_follow(struct user *user, struct gw_kube_watch_options options)
{
    user_start(user, options);
    answer(LIST("10", "", META("a", "u1", "5") "," META("b", "u2", "6")));
    gw_bytes_clear(&user->said);
    assert_true(outside.under_way);
}

/* ---- lists ---- */

static void a_collection_is_listed_in_pages_and_followed_from_the_lists_version(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){
                          .name = "x", .label_selector = "a in (b,c)", .page_max = 2, .listing = on_listing});
    assert_path("/c?limit=2&fieldSelector=<metadata.name=x>&labelSelector=<a in (b,c)>");
    bytes("{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"10\","
          "\"continue\":\"more\"},");
    assert_said(&user, "");
    answer("\"items\":[" META("a", "u1", "5") "," META("b", "u2", "6") "]}");
    assert_said(&user, "listing +n/a@5#u1l +n/b@6#u2l ");
    assert_path("/c?limit=2&continue=<more>&fieldSelector=<metadata.name=x>&labelSelector=<a in (b,c)>");
    assert_int_equal(user.states, 0);
    answer(LIST("10", "", META("c", "u3", "7")));
    assert_said(&user, "+n/c@7#u3l synced:10 at:10 ");
    assert_true(user.well);
    assert_path(FOLLOW("10") "&fieldSelector=<metadata.name=x>&labelSelector=<a in (b,c)>");
    assert_int_equal(outside.timeout_ms, -1);
    assert_int_equal(outside.idle_ms, 120000);
    assert_int_equal(gw_kube_watch_count(user.watch), 3);
}

static void a_second_list_tells_only_what_differs(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    bytes(EVENT("ADDED", META("c", "u3", "11")) EVENT("ADDED", META("d", "u4", "12")) EXPIRED);
    assert_said(&user, "+n/c@11#u3 +n/d@12#u4 ");
    assert_path("/c?limit=500");
    /* a is as it was, b was deleted, c changed, d was deleted and made again, e is new */
    answer(LIST("20", "",
                META("a", "u1", "5") "," META("c", "u3", "15") "," META("d", "u9", "16") "," META("e", "u5",
                                                                                                  "17")));
    assert_said(&user, "~n/c@15#u3l -n/d@12#u4l? +n/d@16#u9l +n/e@17#u5l -n/b@6#u2l? synced:20 at:20 ");
    assert_int_equal(user.states, 1);
}

static void a_page_that_is_too_large_is_asked_for_with_fewer_objects(void **state)
{
    GW_AUTO(user_done) struct user user = {0};
    static char megabyte[1 << 20];

    (void)state;
    memset(megabyte, 'x', sizeof(megabyte));
    user_start(&user, (struct gw_kube_watch_options){.page_max = 9});
    answer(LIST("10", "more", META("a", "u1", "5")));
    for (int sent = outside.sent; sent == outside.sent;)
        outside.chunk(outside.user, gw_view(megabyte, sizeof(megabyte)));
    assert_path("/c?limit=1&continue=<more>");
    for (int i = 0; i < 65; i++)
        outside.chunk(outside.user, gw_view(megabyte, sizeof(megabyte)));
    assert_false(outside.under_way);
    assert_string_equal(user.state, "the API server has an object of over 64 MiB; next attempt in 1 s");
}

static void a_list_whose_token_expired_begins_again_in_one_piece(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){.listing = on_listing});
    answer(LIST("10", "more", META("a", "u1", "5") "," META("b", "u2", "6")));
    answer_of(410, "The provided continue parameter is too old", -1);
    wait_over();
    assert_path("/c?limit=");
    answer(LIST("20", "", META("a", "u1", "5") "," META("c", "u3", "15")));
    assert_said(&user, "listing +n/a@5#u1l +n/b@6#u2l listing +n/c@15#u3l -n/b@6#u2l? synced:20 at:20 ");
}

static void a_page_that_failed_is_asked_for_again_not_the_whole_list(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){0});
    answer(LIST("10", "more", META("a", "u1", "5")));
    cut();
    wait_over();
    assert_path("/c?limit=500&continue=<more>");
    answer(LIST("10", "", META("b", "u2", "6")));
    assert_said(&user, "+n/a@5#u1l +n/b@6#u2l synced:10 at:10 ");
}

static void what_is_known_from_earlier_is_compared_with_the_first_list(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_open(&user, (struct gw_kube_watch_options){0});
    assert_int_equal(gw_kube_watch_know(user.watch, "n", "a", "u1", "5"), 0);
    assert_int_equal(gw_kube_watch_know(user.watch, "n", "gone", "u2", "6"), 0);
    wait_over();
    answer(LIST("10", "", META("a", "u1", "5")));
    assert_said(&user, "-n/gone@6#u2l? synced:10 at:10 ");
}

static void with_nothing_kept_each_list_tells_all(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){.keeps_nothing = true, .listing = on_listing});
    assert_int_equal(gw_kube_watch_count(user.watch), 0);
    bytes(EVENT("MODIFIED", META("a", "u1", "11")) EVENT("DELETED", META("b", "u2", "12")) EXPIRED);
    assert_said(&user, "~n/a@11#u1 -n/b@12#u2 ");
    answer(LIST("20", "", META("a", "u1", "11")));
    assert_said(&user, "listing +n/a@11#u1l synced:20 at:20 ");
}

static void what_there_was_at_a_version_is_listed_or_what_there_is(void **state)
{
    struct user user = {0}, gone = {0};

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){.resource_version = "8", .list_at_version = true});
    assert_path("/c?limit=500&resourceVersionMatch=Exact&resourceVersion=<8>");
    answer(LIST("8", "more", META("a", "u1", "5")));
    assert_path("/c?limit=500&continue=<more>");
    answer(LIST("8", "", ""));
    assert_said(&user, "+n/a@5#u1l synced:8 at:8 ");
    assert_path(FOLLOW("8"));
    user_done(&user);

    user_start(&gone, (struct gw_kube_watch_options){.resource_version = "8", .list_at_version = true});
    answer_of(410, "gone", -1);
    assert_path("/c?limit=500");
    user_done(&gone);
}

/* ---- watches ---- */

static void events_are_compared_with_what_is_known(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    bytes(EVENT("MODIFIED", META("a", "u1", "11")) EVENT("MODIFIED", META("a", "u1", "11")));
    assert_said(&user, "~n/a@11#u1 ");
    bytes(EVENT("MODIFIED", META("c", "u3", "12")) EVENT("ADDED", META("b", "u8", "13")));
    assert_said(&user, "+n/c@12#u3 -n/b@6#u2? +n/b@13#u8 ");
    bytes(EVENT("DELETED", META("a", "u1", "14")) EVENT("DELETED", META("a", "u1", "14"))
              EVENT("DELETED", META("b", "u2", "15")));
    assert_said(&user, "-n/a@14#u1 ");
    bytes(BOOKMARK("30"));
    assert_said(&user, "at:30 ");
    assert_string_equal(gw_kube_watch_version(user.watch), "30");
}

static void lines_may_be_cut_anywhere_by_the_network(void **state)
{
    static const char stream[] =
        EVENT("ADDED", META("c", "u3", "11")) "\n" EVENT("MODIFIED", META("a", "u1", "12")) BOOKMARK("13")
            EVENT("DELETED", META("b", "u2", "14"));

    (void)state;
    for (size_t first = 0; first < sizeof(stream); first++) {
        for (size_t second = first; second < sizeof(stream); second += second == first ? 1 : 37) {
            GW_AUTO(user_done) struct user user = {0};

            user_follow(&user, (struct gw_kube_watch_options){0});
            outside.chunk(outside.user, gw_view(stream, first));
            outside.chunk(outside.user, gw_view(stream + first, second - first));
            outside.chunk(outside.user, gw_view(stream + second, sizeof(stream) - 1 - second));
            assert_said(&user, "+n/c@11#u3 ~n/a@12#u1 at:13 -n/b@14#u2 ");
        }
    }
}

static void a_line_of_over_64_mebibytes_is_refused(void **state)
{
    GW_AUTO(user_done) struct user user = {0};
    static char megabyte[1 << 20];

    (void)state;
    memset(megabyte, 'x', sizeof(megabyte));
    user_follow(&user, (struct gw_kube_watch_options){0});
    for (int i = 0; i <= 64 && outside.under_way; i++)
        outside.chunk(outside.user, gw_view(megabyte, sizeof(megabyte)));
    assert_false(outside.under_way);
    assert_string_equal(user.state, "the API server sent an object of over 64 MiB; next attempt in 1 s");
}

static void nothing_is_left_of_a_version_by_the_next_one(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    bytes(EVENT("MODIFIED", META("a", "u1", "100")) EVENT("MODIFIED", META("a", "u1", "1234567")));
    assert_string_equal(gw_kube_watch_version(user.watch), "1234567");
    bytes(EVENT("MODIFIED", META("a", "u1", "11")));
    assert_string_equal(gw_kube_watch_version(user.watch), "11");
    outside.now_ms += 300000;
    end();
    assert_path(FOLLOW("11"));
}

static void a_watch_that_ends_in_order_goes_on_at_once_from_the_last_version(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    bytes(EVENT("MODIFIED", META("a", "u1", "11")));
    outside.now_ms += 300000;
    end();
    assert_path(FOLLOW("11"));
    /* all its time without a word: is this still our history? */
    outside.now_ms += 300000;
    end();
    assert_path("/c?limit=1");
    answer(LIST("12", "", ""));
    assert_path(FOLLOW("11"));
    assert_int_equal(user.states, 1);
    assert_said(&user, "~n/a@11#u1 ");
}

static void a_cut_in_the_middle_of_a_line_loses_nothing_and_tells_nothing_twice(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    bytes(EVENT("MODIFIED", META("a", "u1", "11")) "{\"type\":\"MODIFIED\",\"object\":{\"meta");
    cut();
    assert_int_equal(user.states, 1); /* such things happen */
    wait_over();
    answer(LIST("12", "more", META("a", "u1", "11")));
    assert_path(FOLLOW("11"));
    bytes(EVENT("MODIFIED", META("a", "u1", "12")));
    assert_said(&user, "~n/a@11#u1 ~n/a@12#u1 ");
}

static void a_watch_behind_a_given_version_asks_first_whether_history_is_the_same(void **state)
{
    struct user user = {0}, restored = {0};

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){.resource_version = "11"});
    assert_path("/c?limit=1");
    answer(LIST("12", "", META("a", "u1", "5")));
    assert_said(&user, "synced:NULL ");
    assert_path(FOLLOW("11"));
    bytes(EVENT("MODIFIED", META("a", "u1", "12")) EVENT("DELETED", META("x", "u7", "13")));
    assert_said(&user, "~n/a@12#u1 -n/x@13#u7 ");
    user_done(&user);

    /* etcd was restored from a backup: our version is one that is yet to come */
    user_start(&restored, (struct gw_kube_watch_options){.resource_version = "1100"});
    answer(LIST("990", "", ""));
    assert_path("/c?limit=500");
    user_done(&restored);
}

static void history_that_is_gone_means_a_list_however_it_is_said(void **state)
{
    static const int statuses[] = {400, 410, 500, 504};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(statuses); i++) {
        GW_AUTO(user_done) struct user user = {0};

        user_follow(&user, (struct gw_kube_watch_options){0});
        answer_of(statuses[i], "too old", -1);
        if (statuses[i] == 400 || statuses[i] == 500)
            wait_over();
        assert_path("/c?limit=500");
    }
    for (int i = 0; i < 2; i++) {
        GW_AUTO(user_done) struct user user = {0};

        user_follow(&user, (struct gw_kube_watch_options){0});
        bytes(i == 0 ? EXPIRED
                     : "{\"type\":\"ERROR\",\"object\":{\"code\":504,\"message\":\"Too large resource "
                       "version\"}}\n");
        assert_int_equal(user.states, 1);
        assert_path("/c?limit=500");
        /* again, at once: not without a wait */
        answer(LIST("20", "", ""));
        bytes(EXPIRED);
        assert_false(outside.under_way);
        assert_int_equal(user.states, 1);
        wait_over();
        assert_path("/c?limit=500");
    }
}

static void what_makes_no_sense_is_said_and_listed_anew(void **state)
{
    static const struct {
        const char *line, *words;
    } rows[] = {
        {"<html>\n", "the API server sent a line that is no event of a watch; next attempt in 1 s"},
        {EVENT("ADDED", "{\"metadata\":{}}"),
         "the API server sent an object without a name; next attempt in 1 s"},
        {EVENT("BOOKMARK", "{}"), "the API server sent a bookmark without a version; next attempt in 1 s"},
        {EVENT("ERROR", "{\"code\":500,\"message\":\"no way\"}"), "no way; next attempt in 1 s"},
        {EVENT("ERROR", "{}"), "the API server ended the watch with an error; next attempt in 1 s"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        GW_AUTO(user_done) struct user user = {0};

        user_follow(&user, (struct gw_kube_watch_options){0});
        bytes(rows[i].line);
        assert_false(outside.under_way);
        assert_false(user.well);
        assert_string_equal(user.state, rows[i].words);
        wait_over();
        assert_path("/c?limit=500");
        answer(LIST("20", "", META("a", "u1", "5") "," META("b", "u2", "6")));
        assert_true(user.well);
        assert_said(&user, "synced:20 at:20 ");
    }
}

/* ---- waits ---- */

static void waits_grow_are_told_and_heed_retry_after(void **state)
{
    GW_AUTO(user_done) struct user user = {0};
    int64_t last_ms = 0;

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){0});
    answer_of(403, "configmaps is forbidden: no", -1);
    assert_false(user.well);
    assert_string_equal(user.state, "configmaps is forbidden: no; next attempt in 1 s");
    for (int i = 0; i < 8; i++) {
        last_ms = outside.wait_ms;
        wait_over();
        assert_path("/c?limit=500");
        answer_of(403, "configmaps is forbidden: no", -1);
        assert_true(outside.wait_ms >= last_ms);
    }
    assert_int_equal(outside.wait_ms, 3000); /* a tenth of 30 s, as random is 0 */
    wait_over();
    answer_of(429, "too many requests", 9000);
    assert_int_equal(outside.wait_ms, 9000);
    assert_string_equal(user.state, "too many requests; next attempt in 9 s");
    wait_over();
    answer_of(503, "later", 86400000);
    assert_int_equal(outside.wait_ms, 300000);
    wait_over(); /* five minutes without a failure: as if there had been none */
    answer_of(503, "later", -1);
    assert_int_equal(outside.wait_ms, 80);
}

static void a_good_watch_forgets_earlier_failures(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    for (int i = 0; i < 5; i++) {
        cut();
        wait_over();
        answer(LIST("12", "", ""));
    }
    cut();
    assert_int_equal(outside.wait_ms, 640); /* a tenth of 6.4 s: it was reached in between */
    wait_over();
    answer(LIST("12", "", ""));
    bytes(BOOKMARK("13"));
    outside.now_ms += 10000;
    cut();
    assert_int_equal(outside.wait_ms, 80);
}

static void an_api_server_that_went_is_told_soon_and_its_return_at_once(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    cut();
    assert_int_equal(user.states, 1);
    wait_over();
    cut();
    assert_false(user.well);
    assert_string_equal(user.state, "the connection broke; next attempt in 1 s");
    wait_over();
    assert_path("/c?limit=1");
    answer(LIST("12", "", META("a", "u1", "5")));
    assert_true(user.well);
    assert_string_equal(user.state, "");
    assert_said(&user, "");
}

static void an_api_server_that_ends_each_watch_at_once_is_not_asked_without_pause(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    for (int i = 0; i < 5; i++) {
        end();
        assert_false(outside.under_way);
        assert_true(outside.wait_ms > 0);
        assert_int_equal(user.well, i < 3); /* told when it goes on */
        wait_over();
        answer(LIST("12", "", ""));
    }
}

static void a_watch_that_the_api_server_forgot_to_end_is_ended_here(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    assert_int_equal(outside.wait_ms, 330000);
    wait_over();
    assert_path("/c?limit=1");
    assert_int_equal(user.states, 1);
}

/* ---- pauses and endings ---- */

static void a_pause_lets_go_of_the_watch_and_goes_on_behind_what_was_told(void **state)
{
    GW_AUTO(user_done) struct user user = {.pause_at = "~n/a@11#u1 "};

    (void)state;
    user_follow(&user, (struct gw_kube_watch_options){0});
    /* what has come with it is told all the same */
    bytes(EVENT("MODIFIED", META("a", "u1", "11")) EVENT("MODIFIED", META("a", "u1", "12")) "{\"type\":");
    assert_said(&user, "~n/a@11#u1 ~n/a@12#u1 ");
    assert_false(outside.under_way);
    assert_int_equal(outside.wait_ms, -1);
    gw_kube_watch_set_paused(user.watch, false);
    assert_false(outside.under_way);
    wait_over();
    assert_path(FOLLOW("12"));
}

static void a_pause_between_pages_goes_on_with_the_next(void **state)
{
    GW_AUTO(user_done) struct user user = {.pause_at = "+n/a@5#u1l "};

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){0});
    answer(LIST("10", "more", META("a", "u1", "5") "," META("b", "u2", "6")));
    assert_said(&user, "+n/a@5#u1l +n/b@6#u2l ");
    assert_false(outside.under_way);
    gw_kube_watch_set_paused(user.watch, false);
    wait_over();
    assert_path("/c?limit=500&continue=<more>");
    answer_of(410, "it took too long", -1);
    wait_over();
    assert_path("/c?limit=500");
}

static void a_pause_during_a_wait_outlives_it(void **state)
{
    GW_AUTO(user_done) struct user user = {0};

    (void)state;
    user_start(&user, (struct gw_kube_watch_options){0});
    cut();
    gw_kube_watch_set_paused(user.watch, true);
    gw_kube_watch_set_paused(user.watch, false);
    assert_int_equal(outside.wait_ms, 80);
    gw_kube_watch_set_paused(user.watch, true);
    wait_over();
    assert_false(outside.under_way);
    gw_kube_watch_set_paused(user.watch, false);
    wait_over();
    assert_path("/c?limit=500");
    gw_kube_watch_set_paused(user.watch, true);
    answer(LIST("10", "", ""));
    assert_false(outside.under_way);
    gw_kube_watch_set_paused(user.watch, false);
    wait_over();
    assert_path(FOLLOW("10"));
}

static void a_watch_may_be_closed_in_any_of_its_callbacks(void **state)
{
    static const char *const moments[] = {"listing ",    "+n/a@5#u1l ", "synced:10 ", "at:10 ",      "state",
                                          "-n/b@6#u2? ", "+n/b@13#u8 ", "at:14 ",     "-n/a@5#u1l? "};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(moments); i++) {
        struct user user = {.close_at = moments[i]};

        user_start(&user, (struct gw_kube_watch_options){.secret = i % 2 == 0, .listing = on_listing});
        answer(LIST("10", "", META("a", "u1", "5") "," META("b", "u2", "6")));
        if (user.watch != NULL)
            bytes(EVENT("ADDED", META("b", "u8", "13")) BOOKMARK("14") EXPIRED);
        if (user.watch != NULL)
            answer(LIST("20", "", ""));
        assert_null(user.watch);
        assert_false(outside.under_way);
        assert_int_equal(outside.wait_ms, -1);
        if (strcmp(moments[i], "state") != 0) /* and nothing was told after it */
            assert_string_equal(gw_bytes_text(&user.said) + user.said.size - strlen(moments[i]), moments[i]);
        user_done(&user);
    }
}

static void versions_are_compared_as_numbers_if_they_are(void **state)
{
    (void)state;
    assert_true(gw_kube_version_compare("9", "10") < 0);
    assert_true(gw_kube_version_compare("10", "9") > 0);
    assert_true(gw_kube_version_compare("0010", "9") > 0);
    assert_true(gw_kube_version_compare("007", "7") == 0);
    assert_true(gw_kube_version_compare("0", "00") == 0);
    assert_true(gw_kube_version_compare("123456789012345678901234567890", "123456789012345678901234567891") <
                0);
    assert_int_equal(gw_kube_version_compare("", "1"), INT_MIN);
    assert_int_equal(gw_kube_version_compare("1", "a1"), INT_MIN);
    assert_int_equal(gw_kube_version_compare("-1", "1"), INT_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_collection_is_listed_in_pages_and_followed_from_the_lists_version),
        cmocka_unit_test(a_second_list_tells_only_what_differs),
        cmocka_unit_test(a_page_that_is_too_large_is_asked_for_with_fewer_objects),
        cmocka_unit_test(a_list_whose_token_expired_begins_again_in_one_piece),
        cmocka_unit_test(a_page_that_failed_is_asked_for_again_not_the_whole_list),
        cmocka_unit_test(what_is_known_from_earlier_is_compared_with_the_first_list),
        cmocka_unit_test(with_nothing_kept_each_list_tells_all),
        cmocka_unit_test(what_there_was_at_a_version_is_listed_or_what_there_is),
        cmocka_unit_test(events_are_compared_with_what_is_known),
        cmocka_unit_test(lines_may_be_cut_anywhere_by_the_network),
        cmocka_unit_test(a_line_of_over_64_mebibytes_is_refused),
        cmocka_unit_test(nothing_is_left_of_a_version_by_the_next_one),
        cmocka_unit_test(a_watch_that_ends_in_order_goes_on_at_once_from_the_last_version),
        cmocka_unit_test(a_cut_in_the_middle_of_a_line_loses_nothing_and_tells_nothing_twice),
        cmocka_unit_test(a_watch_behind_a_given_version_asks_first_whether_history_is_the_same),
        cmocka_unit_test(history_that_is_gone_means_a_list_however_it_is_said),
        cmocka_unit_test(what_makes_no_sense_is_said_and_listed_anew),
        cmocka_unit_test(waits_grow_are_told_and_heed_retry_after),
        cmocka_unit_test(a_good_watch_forgets_earlier_failures),
        cmocka_unit_test(an_api_server_that_went_is_told_soon_and_its_return_at_once),
        cmocka_unit_test(an_api_server_that_ends_each_watch_at_once_is_not_asked_without_pause),
        cmocka_unit_test(a_watch_that_the_api_server_forgot_to_end_is_ended_here),
        cmocka_unit_test(a_pause_lets_go_of_the_watch_and_goes_on_behind_what_was_told),
        cmocka_unit_test(a_pause_between_pages_goes_on_with_the_next),
        cmocka_unit_test(a_pause_during_a_wait_outlives_it),
        cmocka_unit_test(a_watch_may_be_closed_in_any_of_its_callbacks),
        cmocka_unit_test(versions_are_compared_as_numbers_if_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
