/* The outbox: what is acknowledged is there, once, in order, and survives a restart. */
#include "common/clock.h"
#include "gateway-client/outbox/outbox.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEEN_MAX = 1 << 18, WAIT_MS = 20000 };

/* An outbox, its loop, and what its hooks told. */
struct desk {
    char directory[64];
    struct gw_loop *loop;
    struct gwc_outbox *outbox;
    struct gwc_outbox_options options;
    char *set_aside;
    uint64_t *seen;
    size_t seen_count, mores, changes;
    bool pressure;
    size_t pressures;
    char words[256];
    /* the last read */
    uint64_t read[4096];
    size_t read_count;
    char read_id[64];
    struct gw_event *kept; /* the first event of the last read */
    bool read_done;
};

static void on_committed(void *user, struct gw_event *const *events, size_t count)
{
    struct desk *desk = user;
    if (count == 0)
        desk->mores++;
    for (size_t i = 0; i < count; i++) {
        assert_true(desk->seen_count < SEEN_MAX);
        desk->seen[desk->seen_count++] = events[i]->sequence;
    }
}

static void on_changed(void *user)
{
    ((struct desk *)user)->changes++;
}

static void on_pressure(void *user, bool full, const char *reason)
{
    struct desk *desk = user;
    desk->pressure = full;
    desk->pressures++;
    snprintf(desk->words, sizeof(desk->words), "%s", reason);
}

static void desk_open(struct desk *desk)
{
    struct gw_reason reason = {0};
    int fault = gwc_outbox_open(&desk->outbox, &desk->options, &desk->set_aside, &reason);
    if (fault != 0)
        fail_msg("%s (%s)", reason.text, gw_fault_trace());
}

static sem_t bench_done; /* waited for by the bench only: waiting in a loop would count as cost */

static int desk_setup(void **state)
{
    struct desk *desk = calloc(1, sizeof(*desk));
    desk->seen = calloc(SEEN_MAX, sizeof(*desk->seen));
    strcpy(desk->directory, "/tmp/outbox-test-XXXXXX");
    assert_non_null(mkdtemp(desk->directory));
    assert_int_equal(gw_loop_open(&desk->loop), 0);
    desk->options = (struct gwc_outbox_options){
        .directory = desk->directory,
        .size_max = 1 << 30,
        .retention_ms = 3600 * 1000,
        .loop = desk->loop,
        .committed = on_committed,
        .changed = on_changed,
        .pressure = on_pressure,
        .user = desk,
    };
    sem_init(&bench_done, 0, 0);
    *state = desk;
    return 0;
}

static void directory_remove(const char *path)
{
    char file[512];
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
        snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        unlink(file);
    }
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

static int desk_teardown(void **state)
{
    struct desk *desk = *state;
    gwc_outbox_close(desk->outbox);
    gw_loop_close(desk->loop);
    gw_event_unref(desk->kept);
    directory_remove(desk->directory);
    free(desk->set_aside);
    free(desk->seen);
    free(desk);
    return 0;
}

static void desk_reopen(struct desk *desk)
{
    desk->outbox = gwc_outbox_close(desk->outbox);
    desk->seen_count = 0;
    desk_open(desk);
}

#define WAIT_FOR(desk, condition)                                                                            \
    do {                                                                                                     \
        int64_t until_ = gw_clock_monotonic_ns() + WAIT_MS * GW_NS_PER_MS;                                   \
        while (!(condition)) {                                                                               \
            if (gw_clock_monotonic_ns() > until_)                                                            \
                fail_msg("waited in vain for " #condition);                                                  \
            gw_loop_turn((desk)->loop, 0);                                                                   \
            usleep(500);                                                                                     \
        }                                                                                                    \
    } while (0)

/* Events that arrive together. */
enum { PARCEL_MAX = 4096 };
struct parcel {
    struct gwc_append append;
    struct gw_event *events[PARCEL_MAX];
    bool natural[PARCEL_MAX];
    _Atomic int answer; /* 1 durable, -1 not */
    pthread_t thread;
};

static void parcel_durable(struct gwc_append *append, bool ok)
{
    struct parcel *parcel = GW_CONTAINER_OF(append, struct parcel, append);
    parcel->thread = pthread_self();
    parcel->answer = ok ? 1 : -1;
    sem_post(&bench_done);
}

static struct gw_event *event_of(const char *source, const char *id, size_t size)
{
    char *data = calloc(1, size + 1);
    memset(data, 'x', size);
    struct gw_event_fields fields = {.id = gw_view_text(id),
                                     .source = gw_view_text(source),
                                     .type = gw_view_text("order.made"),
                                     .time_ns = 1700000000000000001,
                                     .data = gw_view(data, size)};
    struct gw_event *event = gw_event_new(&fields);
    assert_non_null(event);
    free(data);
    return event;
}

static void parcel_send(struct desk *desk, struct parcel *parcel, size_t count, const char *position)
{
    parcel->answer = 0;
    parcel->append = (struct gwc_append){.events = parcel->events,
                                         .natural = parcel->natural,
                                         .count = count,
                                         .source_key = "webhook.orders",
                                         .position = gw_view_text(position),
                                         .durable = parcel_durable};
    gwc_outbox_append(desk->outbox, &parcel->append);
}

/* Sends `count` events with ids "<prefix>0", "<prefix>1", … and waits until they are durable. */
static void desk_put_sized(struct desk *desk, const char *prefix, size_t count, bool natural,
                           const char *position, size_t size)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    char id[32];

    for (size_t i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "%s%zu", prefix, i);
        parcel->events[i] = event_of("urn:shop", id, size);
        parcel->natural[i] = natural;
    }
    parcel_send(desk, parcel, count, position);
    WAIT_FOR(desk, parcel->answer != 0);
    assert_int_equal(parcel->answer, 1);
    assert_false(pthread_equal(parcel->thread, pthread_self()));
    free(parcel);
}

static void desk_put(struct desk *desk, const char *prefix, size_t count, bool natural, const char *position)
{
    desk_put_sized(desk, prefix, count, natural, position, 16);
}

static void on_read(void *user, struct gw_event *const *events, size_t count, uint64_t last)
{
    (void)last;
    struct desk *desk = user;
    desk->read_count = count;
    for (size_t i = 0; i < count; i++)
        desk->read[i] = events[i]->sequence;
    gw_event_unref(desk->kept);
    desk->kept = count == 0 ? NULL : gw_event_ref(events[0]);
    desk->read_done = true;
}

static size_t desk_read(struct desk *desk, uint64_t after, size_t events_max, size_t bytes_max)
{
    desk->read_done = false;
    gwc_outbox_read(desk->outbox, after, events_max, bytes_max, on_read, desk);
    WAIT_FOR(desk, desk->read_done);
    return desk->read_count;
}

static uint64_t watcher_open(struct desk *desk, const char *name, struct gwc_retry **ret_retries,
                             size_t *ret_count)
{
    struct gwc_retry *retries = NULL;
    size_t count = 0;
    uint64_t cursor = 0;
    assert_int_equal(gwc_outbox_watcher_open(desk->outbox, name, &cursor, &retries, &count), 0);
    if (ret_retries != NULL) {
        *ret_retries = retries;
        *ret_count = count;
        return cursor;
    }
    for (size_t i = 0; i < count; i++)
        gw_event_unref(retries[i].event);
    free(retries);
    return cursor;
}

static size_t retries_count(struct desk *desk, const char *name)
{
    struct gwc_retry *retries = NULL;
    size_t count = 0;
    watcher_open(desk, name, &retries, &count);
    for (size_t i = 0; i < count; i++)
        gw_event_unref(retries[i].event);
    free(retries);
    return count;
}

static int64_t desk_query(struct desk *desk, const char *sql)
{
    char path[128];
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    snprintf(path, sizeof(path), "%s/outbox.db", desk->directory);
    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(database, 5000);
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return value;
}

/* ---- events ---- */

static void committed_events_are_told_in_order_without_gaps(void **state)
{
    struct desk *desk = *state;
    desk_open(desk);
    for (int i = 0; i < 20; i++)
        desk_put(desk, "a", 50, false, "");
    WAIT_FOR(desk, desk->seen_count == 1000);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(desk->seen[i], i + 1);
    assert_int_equal(gwc_outbox_last_sequence(desk->outbox), 1000);
    assert_true(gwc_outbox_size(desk->outbox) > 0);
}

static void an_event_comes_back_from_the_file_with_all_it_had(void **state)
{
    struct desk *desk = *state;
    static const struct gw_extension extensions[] = {
        {{"traceparent", 11}, {"00-1:2,3-01", 11}, GW_EXTENSION_TEXT},
        {{"flag", 4}, {"true", 4}, GW_EXTENSION_BOOL},
        {{"n", 1}, {"-12", 3}, GW_EXTENSION_INTEGER},
        {{"empty", 5}, {NULL, 0}, GW_EXTENSION_TEXT}};
    const struct gw_event_fields fields = {.id = gw_view_text("1"),
                                           .source = gw_view_text("urn:shop"),
                                           .type = gw_view_text("t"),
                                           .subject = gw_view_text("s\xc3\xa4"),
                                           .data_content_type = gw_view_text("application/json"),
                                           .data_schema = gw_view_text("http://schema"),
                                           .partition_key = gw_view_text("pk"),
                                           .time_ns = -5,
                                           .data = gw_view("a\0b\xff", 4),
                                           .extensions = extensions,
                                           .extensions_count = GW_COUNT_OF(extensions),
                                           .gateway = gw_view_text("gw"),
                                           .event_source = gw_view_text("es"),
                                           .kind = gw_view_text("webhook")};
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    desk_open(desk);
    parcel->events[0] = gw_event_new(&fields);
    parcel_send(desk, parcel, 1, "");
    WAIT_FOR(desk, parcel->answer == 1);
    free(parcel);
    desk_reopen(desk);
    assert_int_equal(desk_read(desk, 0, 10, 1000), 1);
    const struct gw_event_fields *back = &desk->kept->fields;
    assert_true(gw_view_is(back->id, "1") && gw_view_is(back->source, "urn:shop") &&
                gw_view_is(back->type, "t"));
    assert_true(gw_view_is(back->subject, "s\xc3\xa4") &&
                gw_view_is(back->data_content_type, "application/json"));
    assert_true(gw_view_is(back->data_schema, "http://schema") && gw_view_is(back->partition_key, "pk"));
    assert_true(gw_view_is(back->gateway, "gw") && gw_view_is(back->event_source, "es") &&
                gw_view_is(back->kind, "webhook"));
    assert_int_equal(back->time_ns, -5);
    assert_true(gw_view_equal(back->data, fields.data));
    assert_true(desk->kept->accepted_ns > 1700000000 * GW_NS_PER_S);
    assert_int_equal(back->extensions_count, GW_COUNT_OF(extensions));
    for (size_t i = 0; i < GW_COUNT_OF(extensions); i++) {
        assert_true(gw_view_equal(back->extensions[i].name, extensions[i].name));
        assert_true(gw_view_equal(back->extensions[i].value, extensions[i].value));
        assert_int_equal(back->extensions[i].kind, extensions[i].kind);
    }
}

static void reads_stop_at_their_limits_and_say_when_there_is_nothing(void **state)
{
    struct desk *desk = *state;
    desk_open(desk);
    desk_put(desk, "a", 100, false, "");
    assert_int_equal(desk_read(desk, 0, 10, 1 << 20), 10);
    assert_int_equal(desk->read[9], 10);
    assert_int_equal(desk_read(desk, 95, 10, 1 << 20), 5);
    assert_int_equal(desk_read(desk, 10, 10, 1), 1);
    assert_int_equal(desk->read[0], 11);
    assert_int_equal(desk_read(desk, 100, 10, 1 << 20), 0);
}

static void sequences_go_on_after_a_restart_and_after_all_was_pruned(void **state)
{
    struct desk *desk = *state;
    desk->options.retention_ms = 0;
    desk_open(desk);
    desk_put(desk, "a", 10, false, "");
    WAIT_FOR(desk, desk_read(desk, 0, 1, 1) == 0);
    desk_reopen(desk);
    assert_int_equal(gwc_outbox_last_sequence(desk->outbox), 10);
    desk_put(desk, "b", 1, false, "");
    assert_int_equal(gwc_outbox_last_sequence(desk->outbox), 11);
}

/* ---- duplicates and positions ---- */

static void a_natural_id_is_taken_once_and_the_position_moves_on(void **state)
{
    struct desk *desk = *state;
    struct gw_bytes position = {0};

    desk_open(desk);
    desk_put(desk, "a", 10, true, "p1");
    desk_put(desk, "a", 12, true, "p2");
    WAIT_FOR(desk, desk->seen_count == 12);
    assert_int_equal(gwc_outbox_last_sequence(desk->outbox), 12);
    assert_int_equal(gwc_outbox_position(desk->outbox, "webhook.orders", &position), 0);
    assert_true(gw_view_is(gw_bytes_view(&position), "p2"));
    desk_reopen(desk);
    desk_put(desk, "a", 12, true, "p3");
    desk_put(desk, "a", 3, false, "");
    assert_int_equal(gwc_outbox_last_sequence(desk->outbox), 15);
    assert_int_equal(gwc_outbox_position(desk->outbox, "webhook.orders", &position), 0);
    assert_true(gw_view_is(gw_bytes_view(&position), "p3"));
    assert_int_equal(gwc_outbox_position(desk->outbox, "other", &position), 0);
    assert_int_equal(position.size, 0);
    gw_bytes_done(&position);
}

static void a_duplicate_in_the_same_transaction_is_dropped(void **state)
{
    struct desk *desk = *state;
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    desk_open(desk);
    parcel->events[0] = event_of("urn:a", "1", 1);
    parcel->events[1] = event_of("urn:a", "1", 1);
    parcel->events[2] = event_of("urn:b", "1", 1);
    parcel->natural[0] = parcel->natural[1] = parcel->natural[2] = true;
    parcel_send(desk, parcel, 3, "");
    WAIT_FOR(desk, parcel->answer == 1);
    WAIT_FOR(desk, desk->seen_count == 2);
    assert_int_equal(gwc_outbox_last_sequence(desk->outbox), 2);
    free(parcel);
}

static void the_last_position_of_each_of_many_sources_is_kept(void **state)
{
    struct desk *desk = *state;
    enum { SOURCES = 300, ROUNDS = 3 };
    struct one {
        struct parcel parcel;
        char key[16], position[16];
    } *ones = calloc(SOURCES * ROUNDS, sizeof(*ones));
    struct gw_bytes position = {0};

    desk_open(desk);
    for (int i = 0; i < SOURCES * ROUNDS; i++) {
        snprintf(ones[i].key, sizeof(ones[i].key), "s%d", i % SOURCES);
        snprintf(ones[i].position, sizeof(ones[i].position), "%d", i);
        ones[i].parcel.append = (struct gwc_append){
            .source_key = ones[i].key, .position = gw_view_text(ones[i].position), .durable = parcel_durable};
        gwc_outbox_append(desk->outbox, &ones[i].parcel.append);
    }
    WAIT_FOR(desk, ones[SOURCES * ROUNDS - 1].parcel.answer == 1);
    for (int i = 0; i < SOURCES; i++) {
        assert_int_equal(gwc_outbox_position(desk->outbox, ones[i].key, &position), 0);
        assert_true(gw_view_is(gw_bytes_view(&position), ones[SOURCES * (ROUNDS - 1) + i].position));
    }
    gw_bytes_done(&position);
    free(ones);
}

/* ---- watchers ---- */

static void a_new_watcher_begins_behind_the_last_event_and_keeps_its_place(void **state)
{
    struct desk *desk = *state;
    char **names = NULL;
    size_t count = 0;

    desk_open(desk);
    desk_put(desk, "a", 5, false, "");
    assert_int_equal(watcher_open(desk, "w", NULL, NULL), 5);
    desk_put(desk, "b", 5, false, "");
    gwc_outbox_cursor(desk->outbox, "w", 7);
    gwc_outbox_cursor(desk->outbox, "w", 6);
    assert_int_equal(watcher_open(desk, "w", NULL, NULL), 7);
    desk_reopen(desk);
    assert_int_equal(watcher_open(desk, "w", NULL, NULL), 7);
    assert_int_equal(watcher_open(desk, "v", NULL, NULL), 10);
    assert_int_equal(gwc_outbox_watchers(desk->outbox, &names, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(names[0], "v");
    free(names[0]);
    free(names[1]);
    free(names);
    gwc_outbox_watcher_remove(desk->outbox, "w");
    assert_int_equal(watcher_open(desk, "w", NULL, NULL), 10);
}

static void a_retry_is_kept_with_its_event_until_it_is_delivered(void **state)
{
    struct desk *desk = *state;
    struct gwc_retry *retries = NULL;
    size_t count = 0;
    struct gwc_progress progress = {.outcome = GWC_RETRY,
                                    .sequence = 2,
                                    .attempts = 3,
                                    .first_attempt_ms = 11,
                                    .next_attempt_ms = 22,
                                    .reason = "HTTP 503"};

    desk->options.retention_ms = 0;
    desk_open(desk);
    watcher_open(desk, "w", NULL, NULL);
    desk_put(desk, "a", 4, false, "");
    gwc_outbox_progress(desk->outbox, "w", &progress);
    gwc_outbox_cursor(desk->outbox, "w", 4);
    /* All but the retry is pruned. */
    WAIT_FOR(desk, desk_read(desk, 0, 10, 1000) == 1);
    assert_int_equal(desk->read[0], 2);
    desk_reopen(desk);
    assert_int_equal(watcher_open(desk, "w", &retries, &count), 4);
    assert_int_equal(count, 1);
    assert_int_equal(retries[0].event->sequence, 2);
    assert_true(gw_view_is(retries[0].event->fields.id, "a1"));
    assert_int_equal(retries[0].attempts, 3);
    assert_int_equal(retries[0].first_attempt_ms, 11);
    assert_int_equal(retries[0].next_attempt_ms, 22);
    assert_string_equal(retries[0].reason, "HTTP 503");
    gw_event_unref(retries[0].event);
    free(retries);

    progress = (struct gwc_progress){.outcome = GWC_DELIVERED, .sequence = 2, .had_retry = true};
    gwc_outbox_progress(desk->outbox, "w", &progress);
    assert_int_equal(retries_count(desk, "w"), 0);
    WAIT_FOR(desk, desk_read(desk, 0, 10, 1000) == 0);
}

/* ---- dead letters ---- */

static int letter_keep(void *user, const struct gwc_dead_letter *letter)
{
    char *text = user;
    snprintf(text + strlen(text), 512 - strlen(text), "%" PRId64 " %s %" PRIu64 " %u %d %s %.*s;",
             letter->number, letter->watcher, letter->sequence, letter->attempts, letter->status,
             letter->reason, (int)letter->event->id.size, letter->event->id.data);
    return 0;
}

static void dead_letters_are_listed_replayed_and_dropped_beside_a_running_client(void **state)
{
    struct desk *desk = *state;
    struct gwc_dead_letters *letters = NULL;
    char text[512] = "";
    size_t count = 0;

    desk->options.retention_ms = 0;
    desk_open(desk);
    watcher_open(desk, "w", NULL, NULL);
    desk_put(desk, "a", 4, false, "");
    for (uint64_t sequence = 1; sequence <= 3; sequence++) {
        struct gwc_progress progress = {
            .outcome = GWC_DEAD, .sequence = sequence, .attempts = 1, .status = 400, .reason = "HTTP 400"};
        gwc_outbox_progress(desk->outbox, "w", &progress);
    }
    gwc_outbox_cursor(desk->outbox, "w", 4);
    watcher_open(desk, "w", NULL, NULL);
    assert_int_equal(gwc_outbox_dead_count(desk->outbox, "w"), 3);
    WAIT_FOR(desk, desk_read(desk, 3, 10, 1000) == 0); /* only letters are left */

    assert_int_equal(gwc_dead_letters_open(&letters, desk->directory, NULL), 0);
    assert_int_equal(gwc_dead_letters_each(letters, NULL, 0, letter_keep, text), 0);
    assert_string_equal(text, "1 w 1 1 400 HTTP 400 a0;2 w 2 1 400 HTTP 400 a1;3 w 3 1 400 HTTP 400 a2;");
    text[0] = '\0';
    assert_int_equal(gwc_dead_letters_each(letters, "w", 2, letter_keep, text), 0);
    assert_string_equal(text, "2 w 2 1 400 HTTP 400 a1;");
    text[0] = '\0';
    assert_int_equal(gwc_dead_letters_each(letters, "other", 0, letter_keep, text), 0);
    assert_string_equal(text, "");

    assert_int_equal(desk->changes, 0);
    assert_int_equal(gwc_dead_letters_replay(letters, "w", 2, &count), 0);
    assert_int_equal(count, 1);
    WAIT_FOR(desk, desk->changes == 1);
    assert_int_equal(retries_count(desk, "w"), 1);
    assert_int_equal(gwc_outbox_dead_count(desk->outbox, "w"), 2);
    assert_int_equal(gwc_dead_letters_drop(letters, NULL, 0, &count), 0);
    assert_int_equal(count, 2);
    WAIT_FOR(desk, desk->changes == 2);
    gwc_outbox_watcher_remove(desk->outbox, "w");
    gwc_dead_letters_close(letters);
}

static void letters_of_a_watcher_that_is_gone_are_not_replayed(void **state)
{
    struct desk *desk = *state;
    struct gwc_dead_letters *letters = NULL;
    struct gwc_progress progress = {.outcome = GWC_DEAD, .sequence = 1, .reason = "x"};
    size_t count = 9;

    desk_open(desk);
    watcher_open(desk, "w", NULL, NULL);
    desk_put(desk, "a", 1, false, "");
    gwc_outbox_progress(desk->outbox, "w", &progress);
    gwc_outbox_watcher_remove(desk->outbox, "w");
    desk->outbox = gwc_outbox_close(desk->outbox);
    assert_int_equal(gwc_dead_letters_open(&letters, desk->directory, NULL), 0);
    assert_int_equal(gwc_dead_letters_replay(letters, NULL, 0, &count), 0);
    assert_int_equal(count, 0);
    assert_int_equal(gwc_dead_letters_drop(letters, NULL, 0, &count), 0);
    assert_int_equal(count, 1);
    gwc_dead_letters_close(letters);
}

static void dead_letters_of_no_outbox_are_refused_in_words(void **state)
{
    struct gwc_dead_letters *letters = NULL;
    struct gw_reason reason = {0};
    (void)state;
    assert_int_equal(gwc_dead_letters_open(&letters, "/tmp/there-is-nothing-here", &reason), -ENOENT);
    assert_non_null(strstr(reason.text, "/tmp/there-is-nothing-here"));
}

/* ---- trouble ---- */

static void a_full_outbox_holds_events_until_watchers_made_room(void **state)
{
    struct desk *desk = *state;
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    desk->options.size_max = 2 << 20;
    desk_open(desk);
    watcher_open(desk, "w", NULL, NULL);
    while (gwc_outbox_size(desk->outbox) < desk->options.size_max)
        desk_put_sized(desk, "a", 4, false, "", 50000);
    parcel->events[0] = event_of("urn:shop", "late", 50000);
    parcel_send(desk, parcel, 1, "p");
    WAIT_FOR(desk, desk->pressure);
    assert_non_null(strstr(desk->words, "full"));
    assert_int_equal(parcel->answer, 0);

    gwc_outbox_cursor(desk->outbox, "w", gwc_outbox_last_sequence(desk->outbox));
    WAIT_FOR(desk, parcel->answer == 1 && !desk->pressure);
    assert_true(gwc_outbox_size(desk->outbox) < desk->options.size_max);
    free(parcel);
}

static void events_that_do_not_fit_are_told_so_at_the_end(void **state)
{
    struct desk *desk = *state;
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    desk->options.size_max = 1;
    desk_open(desk);
    parcel->events[0] = event_of("urn:shop", "late", 10);
    parcel_send(desk, parcel, 1, "p");
    WAIT_FOR(desk, desk->pressure);
    desk->outbox = gwc_outbox_close(desk->outbox);
    assert_int_equal(parcel->answer, -1);
    free(parcel);
}

static void a_slow_loop_is_told_that_there_is_more(void **state)
{
    struct desk *desk = *state;
    struct parcel *parcel = calloc(1, sizeof(*parcel));

    desk_open(desk);
    for (int round = 0; round < 12; round++) {
        for (size_t i = 0; i < PARCEL_MAX; i++)
            parcel->events[i] = event_of("urn:shop", "x", 8);
        parcel_send(desk, parcel, PARCEL_MAX, "");
        while (parcel->answer == 0)
            usleep(1000); /* the loop must not turn */
    }
    WAIT_FOR(desk, desk->mores == 1);
    assert_true(desk->seen_count >= 32768 - PARCEL_MAX && desk->seen_count < 12 * PARCEL_MAX);
    assert_int_equal(desk->seen[desk->seen_count - 1], desk->seen_count);
    assert_int_equal(desk_read(desk, desk->seen_count, 1, 1), 1);
    desk_put(desk, "y", 1, false, "");
    size_t before = desk->seen_count;
    desk_put(desk, "y", 1, false, "");
    WAIT_FOR(desk, desk->seen_count > before);
    free(parcel);
}

static void file_spoil(const char *directory, off_t from, size_t size)
{
    char path[128], junk[4096];
    snprintf(path, sizeof(path), "%s/outbox.db", directory);
    memset(junk, 0x5a, sizeof(junk));
    int descriptor = open(path, O_RDWR | O_CREAT, 0600);
    assert_true(descriptor >= 0);
    for (size_t done = 0; done < size; done += sizeof(junk))
        assert_int_equal(pwrite(descriptor, junk, sizeof(junk), from + (off_t)done), sizeof(junk));
    close(descriptor);
}

static void a_damaged_file_is_set_aside(void **state)
{
    struct desk *desk = *state;
    static const struct {
        off_t from;
        size_t size;
    } damages[] = {{0, 4096}, {4096, 65536}};

    for (size_t i = 0; i < GW_COUNT_OF(damages); i++) {
        desk_open(desk);
        desk_put(desk, "a", 2000, true, "p");
        desk->outbox = gwc_outbox_close(desk->outbox);
        file_spoil(desk->directory, damages[i].from, damages[i].size);
        desk_open(desk);
        assert_non_null(desk->set_aside);
        assert_non_null(strstr(desk->set_aside, "outbox.db.corrupt-"));
        assert_int_equal(access(desk->set_aside, F_OK), 0);
        free(desk->set_aside);
        desk->set_aside = NULL;
        assert_int_equal(gwc_outbox_last_sequence(desk->outbox), 0);
        desk_put(desk, "a", 1, true, "p");
        desk->outbox = gwc_outbox_close(desk->outbox);
    }
}

static void a_foreign_database_is_set_aside_and_a_newer_one_is_refused(void **state)
{
    struct desk *desk = *state;
    struct gw_reason reason = {0};

    file_spoil(desk->directory, 0, 0);
    desk_query(desk, "CREATE TABLE other(x)");
    desk_open(desk);
    assert_non_null(desk->set_aside);
    desk->outbox = gwc_outbox_close(desk->outbox);
    desk_query(desk, "PRAGMA user_version = 99");
    assert_int_equal(gwc_outbox_open(&desk->outbox, &desk->options, NULL, &reason), -EPROTONOSUPPORT);
    assert_non_null(strstr(reason.text, "newer"));
}

static void a_second_client_on_the_directory_is_refused_with_the_first_ones_pid(void **state)
{
    struct desk *desk = *state;
    struct gwc_outbox *second = NULL;
    struct gw_reason reason = {0};
    char pid[24];

    desk_open(desk);
    assert_int_equal(gwc_outbox_open(&second, &desk->options, NULL, &reason), -EWOULDBLOCK);
    snprintf(pid, sizeof(pid), "(pid %ld)", (long)getpid());
    assert_non_null(strstr(reason.text, pid));
    assert_non_null(strstr(reason.text, desk->directory));
}

static void directory_and_files_are_for_their_owner_only(void **state)
{
    struct desk *desk = *state;
    char path[128];
    struct stat status;
    static const char *const files[] = {"outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.lock"};

    rmdir(desk->directory);
    desk_open(desk);
    desk_put(desk, "a", 1, false, "");
    assert_int_equal(stat(desk->directory, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    for (size_t i = 0; i < GW_COUNT_OF(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", desk->directory, files[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
    }
}

static void a_place_that_cannot_be_written_is_refused_in_words(void **state)
{
    struct desk *desk = *state;
    struct gw_reason reason = {0};
    desk->options.directory = "/proc/none/outbox";
    assert_true(gwc_outbox_open(&desk->outbox, &desk->options, NULL, &reason) < 0);
    assert_non_null(strstr(reason.text, "/proc/none"));
}

/* ---- many ---- */

struct producer {
    struct desk *desk;
    int number;
    size_t rounds;
    pthread_t thread;
};

static void *producer_main(void *user)
{
    struct producer *producer = user;
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    char id[32];

    for (size_t round = 0; round < producer->rounds; round++) {
        for (size_t i = 0; i < 100; i++) {
            snprintf(id, sizeof(id), "%d-%zu", producer->number, round * 100 + i);
            parcel->events[i] = event_of("urn:shop", id, 200);
            parcel->natural[i] = true;
        }
        parcel_send(producer->desk, parcel, 100, id);
        while (parcel->answer == 0)
            usleep(100);
        assert_int_equal(parcel->answer, 1);
    }
    free(parcel);
    return NULL;
}

static void a_hundred_thousand_events_of_four_threads_arrive_once_each(void **state)
{
    struct desk *desk = *state;
    struct producer producers[4];

    desk_open(desk);
    int64_t began_ns = gw_clock_monotonic_ns();
    for (int i = 0; i < 4; i++) {
        producers[i] = (struct producer){.desk = desk, .number = i, .rounds = 250};
        assert_int_equal(pthread_create(&producers[i].thread, NULL, producer_main, &producers[i]), 0);
    }
    size_t after = 0;
    WAIT_FOR(desk, gwc_outbox_last_sequence(desk->outbox) >= 100000);
    double seconds = (double)(gw_clock_monotonic_ns() - began_ns) / (double)GW_NS_PER_S;
    for (int i = 0; i < 4; i++)
        pthread_join(producers[i].thread, NULL);
    while (desk_read(desk, after, 4096, 1 << 24) > 0)
        for (size_t i = 0; i < desk->read_count; i++)
            assert_int_equal(desk->read[i], ++after);
    assert_int_equal(after, 100000);
    print_message("100000 events in %.2f s: %.0f/s\n", seconds, 100000 / seconds);
}

/* OUTBOX_BENCH=1: what an event costs, by how many come together, with fsync; OUTBOX_BENCH=epoch: likewise, of a leader. */
static void bench_one(struct desk *desk, size_t batch, bool natural, bool random)
{
    struct parcel *parcel = calloc(1, sizeof(*parcel));
    struct rusage before, after;
    size_t events = batch == 1 ? 20480 : 409600, number = 0;
    struct gw_event **made = calloc(events, sizeof(*made));
    char id[48];

    for (size_t i = 0; i < events; i++) {
        if (random)
            snprintf(id, sizeof(id), "%016" PRIx64 "%016" PRIx64, gw_random_u64(), gw_random_u64());
        else
            snprintf(id, sizeof(id), "0-%09zu", i);
        made[i] = event_of("/apis/v1/gateways/default/orders", id, 256);
    }
    desk_open(desk);
    getrusage(RUSAGE_SELF, &before);
    int64_t began_ns = gw_clock_monotonic_ns();
    while (number < events) {
        for (size_t i = 0; i < batch; i++) {
            parcel->events[i] = made[number++];
            parcel->natural[i] = natural;
        }
        parcel_send(desk, parcel, batch, "position");
        while (parcel->answer == 0)
            sem_wait(&bench_done);
        if (number % 4096 < batch)
            gw_loop_turn(desk->loop, 0);
    }
    double seconds = (double)(gw_clock_monotonic_ns() - began_ns) / (double)GW_NS_PER_S;
    getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
                          before.ru_stime.tv_sec) *
                     1e6 +
                 (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
                          before.ru_stime.tv_usec);
    print_message("batch %3zu %-15s %8.0f events/s, %5.1f us of processor an event\n", batch,
                  !natural ? "no natural id"
                  : random ? "random ids"
                           : "ascending ids",
                  (double)events / seconds, cpu / (double)events);
    desk->outbox = gwc_outbox_close(desk->outbox);
    directory_remove(desk->directory);
    desk->seen_count = 0;
    free(made);
    free(parcel);
}

static void bench_on_request(void **state)
{
    static const size_t batches[] = {1, 16, 64, 256};
    struct desk *desk = *state;
    if (getenv("OUTBOX_BENCH") == NULL)
        skip();
    desk->options.committed = NULL;
    desk->options.size_max = UINT64_MAX;
    desk->options.epoch = strcmp(getenv("OUTBOX_BENCH"), "epoch") == 0;
    for (size_t i = 0; i < GW_COUNT_OF(batches); i++) {
        bench_one(desk, batches[i], false, false);
        bench_one(desk, batches[i], true, false);
        bench_one(desk, batches[i], true, true);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(committed_events_are_told_in_order_without_gaps),
        TEST(an_event_comes_back_from_the_file_with_all_it_had),
        TEST(reads_stop_at_their_limits_and_say_when_there_is_nothing),
        TEST(sequences_go_on_after_a_restart_and_after_all_was_pruned),
        TEST(a_natural_id_is_taken_once_and_the_position_moves_on),
        TEST(a_duplicate_in_the_same_transaction_is_dropped),
        TEST(the_last_position_of_each_of_many_sources_is_kept),
        TEST(a_new_watcher_begins_behind_the_last_event_and_keeps_its_place),
        TEST(a_retry_is_kept_with_its_event_until_it_is_delivered),
        TEST(dead_letters_are_listed_replayed_and_dropped_beside_a_running_client),
        TEST(letters_of_a_watcher_that_is_gone_are_not_replayed),
        TEST(dead_letters_of_no_outbox_are_refused_in_words),
        TEST(a_full_outbox_holds_events_until_watchers_made_room),
        TEST(events_that_do_not_fit_are_told_so_at_the_end),
        TEST(a_slow_loop_is_told_that_there_is_more),
        TEST(a_damaged_file_is_set_aside),
        TEST(a_foreign_database_is_set_aside_and_a_newer_one_is_refused),
        TEST(a_second_client_on_the_directory_is_refused_with_the_first_ones_pid),
        TEST(directory_and_files_are_for_their_owner_only),
        TEST(a_place_that_cannot_be_written_is_refused_in_words),
        TEST(a_hundred_thousand_events_of_four_threads_arrive_once_each),
        TEST(bench_on_request),
    };
    return cmocka_run_group_tests_name("outbox", tests, NULL, NULL);
}
