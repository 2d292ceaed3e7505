/* The epoch of the outbox: a leader of old, whenever it wakes up, writes nothing. */
#include "common/clock.h"
#include "gateway-client/outbox/outbox.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 30000 };

/* Two processes in one: each has its outbox on the same directory. */
struct leader {
    struct gwc_outbox *outbox;
    size_t committed;
    uint64_t fenced_by;
    unsigned fences;
};

struct scene {
    char directory[64];
    struct gw_loop *loop;
    struct leader old, new;
    struct gw_reason reason;
};

static void on_committed(void *user, struct gw_event *const *events, size_t count)
{
    (void)events;
    ((struct leader *)user)->committed += count;
}

static void on_fenced(void *user, uint64_t epoch)
{
    struct leader *leader = user;
    leader->fenced_by = epoch;
    leader->fences++;
}

static int scene_open(struct scene *scene, struct leader *leader, uint64_t epoch)
{
    struct gwc_outbox_options options = {
        .directory = scene->directory,
        .size_max = 1 << 30,
        .retention_ms = 3600 * 1000,
        .epoch = epoch,
        .loop = scene->loop,
        .committed = on_committed,
        .fenced = on_fenced,
        .user = leader,
    };
    scene->reason.text[0] = '\0';
    return gwc_outbox_open(&leader->outbox, &options, NULL, &scene->reason);
}

static void must_open(struct scene *scene, struct leader *leader, uint64_t epoch)
{
    if (scene_open(scene, leader, epoch) != 0)
        fail_msg("%s (%s)", scene->reason.text, gw_fault_trace());
}

static int scene_setup(void **state)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    strcpy(scene->directory, "/tmp/outbox-epoch-XXXXXX");
    assert_non_null(mkdtemp(scene->directory));
    assert_int_equal(gw_loop_open(&scene->loop), 0);
    *state = scene;
    return 0;
}

static int scene_teardown(void **state)
{
    struct scene *scene = *state;
    char file[512];

    gwc_outbox_close(scene->old.outbox);
    gwc_outbox_close(scene->new.outbox);
    gw_loop_close(scene->loop);
    DIR *directory = opendir(scene->directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        snprintf(file, sizeof(file), "%s/%s", scene->directory, entry->d_name);
        unlink(file);
    }
    closedir(directory);
    rmdir(scene->directory);
    free(scene);
    return 0;
}

#define WAIT_FOR(scene, condition)                                                                           \
    do {                                                                                                     \
        int64_t until_ = gw_clock_monotonic_ns() + WAIT_MS * GW_NS_PER_MS;                                   \
        while (!(condition)) {                                                                               \
            if (gw_clock_monotonic_ns() > until_)                                                            \
                fail_msg("waited in vain for " #condition);                                                  \
            gw_loop_turn((scene)->loop, 0);                                                                  \
            usleep(500);                                                                                     \
        }                                                                                                    \
    } while (0)

/* One event. */
struct parcel {
    struct gwc_append append;
    struct gw_event *event;
    bool natural;
    _Atomic int answer; /* 1 durable, -1 not */
};

static void on_durable(struct gwc_append *append, bool ok)
{
    GW_CONTAINER_OF(append, struct parcel, append)->answer = ok ? 1 : -1;
}

static size_t data_size; /* of the events that are sent */

static void parcel_send(struct leader *leader, struct parcel *parcel, const char *id)
{
    char *data = calloc(1, data_size + 1);
    struct gw_event_fields fields = {.id = gw_view_text(id),
                                     .source = gw_view_text("urn:shop"),
                                     .type = gw_view_text("tick"),
                                     .data = gw_view(data, data_size)};
    *parcel = (struct parcel){.event = gw_event_new(&fields), .natural = true};
    free(data);
    assert_non_null(parcel->event);
    parcel->append = (struct gwc_append){.events = &parcel->event,
                                         .natural = &parcel->natural,
                                         .count = 1,
                                         .source_key = "calendar.ticks",
                                         .position = gw_view_text(id),
                                         .durable = on_durable};
    gwc_outbox_append(leader->outbox, &parcel->append);
}

static int put(struct scene *scene, struct leader *leader, const char *id)
{
    struct parcel parcel;
    parcel_send(leader, &parcel, id);
    WAIT_FOR(scene, parcel.answer != 0);
    return parcel.answer;
}

/* The one number or text that a query gives, by a connection of its own. */
static const char *look(struct scene *scene, const char *sql)
{
    static char text[64];
    char path[128];
    sqlite3 *database;
    sqlite3_stmt *statement;

    snprintf(path, sizeof(path), "%s/outbox.db", scene->directory);
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    const char *found =
        sqlite3_step(statement) == SQLITE_ROW ? (const char *)sqlite3_column_text(statement, 0) : NULL;
    snprintf(text, sizeof(text), "%s", found == NULL ? "nothing" : found);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return text;
}

static uint64_t epoch_kept(struct scene *scene)
{
    uint64_t epoch = 99;
    assert_int_equal(gwc_outbox_epoch(scene->directory, &epoch, &scene->reason), 0);
    return epoch;
}

/* ---- who may open ---- */

static void the_epoch_is_kept_and_can_be_asked_for_at_any_time(void **state)
{
    struct scene *scene = *state;

    assert_int_equal(epoch_kept(scene), 0); /* there is no file */
    must_open(scene, &scene->old, 0);
    assert_int_equal(epoch_kept(scene), 0); /* there was no election */
    scene->old.outbox = gwc_outbox_close(scene->old.outbox);
    must_open(scene, &scene->old, 7);
    assert_int_equal(epoch_kept(scene), 7);
    scene->old.outbox = gwc_outbox_close(scene->old.outbox);
    assert_int_equal(epoch_kept(scene), 7);
    must_open(scene, &scene->old, 0); /* the election was switched off */
    assert_int_equal(put(scene, &scene->old, "a"), 1);
    assert_int_equal(epoch_kept(scene), 7);
}

static void an_empty_file_that_is_just_being_made_has_no_epoch(void **state)
{
    struct scene *scene = *state;
    char path[128];

    snprintf(path, sizeof(path), "%s/outbox.db", scene->directory);
    close(open(path, O_CREAT | O_RDWR, 0600));
    assert_int_equal(epoch_kept(scene), 0);
}

static void an_epoch_that_is_not_greater_is_refused_in_words(void **state)
{
    struct scene *scene = *state;

    must_open(scene, &scene->new, 5);
    assert_int_equal(put(scene, &scene->new, "a"), 1);
    for (uint64_t epoch = 1; epoch <= 5; epoch++) {
        assert_int_equal(scene_open(scene, &scene->old, epoch), -ESTALE);
        assert_non_null(strstr(scene->reason.text, "it was opened with epoch 5, and ours is"));
    }
    assert_int_equal(put(scene, &scene->new, "b"), 1); /* which does not disturb the leader */
    assert_int_equal(scene->new.fences, 0);
}

static void who_elects_and_who_does_not_keep_each_other_out(void **state)
{
    struct scene *scene = *state;

    must_open(scene, &scene->old, 1);
    assert_int_equal(scene_open(scene, &scene->new, 0), -EWOULDBLOCK);
    scene->old.outbox = gwc_outbox_close(scene->old.outbox);
    must_open(scene, &scene->new, 0);
    assert_int_equal(scene_open(scene, &scene->old, 2), -EWOULDBLOCK);
    assert_non_null(strstr(scene->reason.text, "without sharing it: all of them need --leader-elect"));
}

/* ---- the fence ---- */

static void what_a_leader_of_old_appends_is_refused_and_not_there(void **state)
{
    struct scene *scene = *state;

    must_open(scene, &scene->old, 1);
    assert_int_equal(put(scene, &scene->old, "a"), 1);
    must_open(scene, &scene->new, 2);
    assert_int_equal(put(scene, &scene->old, "b"), -1);
    assert_int_equal(put(scene, &scene->old, "c"), -1);
    WAIT_FOR(scene, scene->old.fences > 0);
    assert_int_equal(scene->old.fenced_by, 2);
    assert_int_equal(put(scene, &scene->new, "d"), 1);
    assert_int_equal(put(scene, &scene->old, "e"), -1);
    assert_string_equal(look(scene, "SELECT group_concat(id) FROM events"), "a,d");
    assert_string_equal(look(scene, "SELECT max(sequence) FROM events"), "2");
    assert_string_equal(look(scene, "SELECT position FROM positions"), "d");
    WAIT_FOR(scene, scene->old.committed == 1 && scene->new.committed == 1);
    assert_int_equal(scene->old.fences, 1); /* told once */
    assert_int_equal(scene->new.fences, 0);
}

static void an_idle_leader_of_old_finds_out_by_itself(void **state)
{
    struct scene *scene = *state;

    must_open(scene, &scene->old, 1);
    must_open(scene, &scene->new, 9);
    WAIT_FOR(scene, scene->old.fences > 0);
    assert_int_equal(scene->old.fenced_by, 9);
}

static void an_epoch_that_somebody_took_out_of_the_file_is_not_ours_either(void **state)
{
    struct scene *scene = *state;

    must_open(scene, &scene->old, 3);
    assert_string_equal(look(scene, "DELETE FROM meta WHERE key = 'epoch'"), "nothing");
    assert_int_equal(put(scene, &scene->old, "a"), -1);
    WAIT_FOR(scene, scene->old.fences > 0);
    assert_int_equal(scene->old.fenced_by, 0);
}

static int watcher_open(struct leader *leader, uint64_t *ret_cursor, size_t *ret_retries)
{
    struct gwc_retry *retries = NULL;
    int fault = gwc_outbox_watcher_open(leader->outbox, "w", ret_cursor, &retries, ret_retries);
    if (fault != 0)
        return fault;
    for (size_t i = 0; i < *ret_retries; i++)
        gw_event_unref(retries[i].event);
    free(retries);
    return 0;
}

static void what_a_leader_of_old_delivered_does_not_move_the_cursor(void **state)
{
    struct scene *scene = *state;
    uint64_t cursor = 0;
    size_t retries = 0;
    struct gwc_progress dead = {.outcome = GWC_DEAD, .sequence = 2, .attempts = 1, .reason = "HTTP 400"};

    must_open(scene, &scene->old, 1);
    assert_int_equal(watcher_open(&scene->old, &cursor, &retries), 0);
    assert_int_equal(put(scene, &scene->old, "a"), 1);
    assert_int_equal(put(scene, &scene->old, "b"), 1);
    gwc_outbox_cursor(scene->old.outbox, "w", 1);
    assert_int_equal(watcher_open(&scene->old, &cursor, &retries), 0);
    must_open(scene, &scene->new, 2);
    gwc_outbox_progress(scene->old.outbox, "w", &dead);
    gwc_outbox_cursor(scene->old.outbox, "w", 2);
    WAIT_FOR(scene, scene->old.fences > 0);
    assert_int_equal(watcher_open(&scene->old, &cursor, &retries), -ESTALE); /* and does not wait for ever */
    gwc_outbox_cursor(scene->old.outbox, "w", 2);
    scene->old.outbox = gwc_outbox_close(scene->old.outbox);
    assert_int_equal(watcher_open(&scene->new, &cursor, &retries), 0);
    assert_int_equal(cursor, 1);
    assert_string_equal(look(scene, "SELECT count(*) FROM dead_letters"), "0");
}

static void appends_that_wait_while_the_outbox_is_full_are_refused_too(void **state)
{
    struct scene *scene = *state;
    struct parcel waiting;
    uint64_t cursor = 0;
    size_t retries = 0;
    struct gwc_outbox_options options = {
        .directory = scene->directory,
        .size_max = 1, /* always full */
        .retention_ms = 3600 * 1000,
        .epoch = 1,
        .loop = scene->loop,
        .fenced = on_fenced,
        .user = &scene->old,
    };

    assert_int_equal(gwc_outbox_open(&scene->old.outbox, &options, NULL, &scene->reason), 0);
    assert_int_equal(watcher_open(&scene->old, &cursor, &retries), 0);
    parcel_send(&scene->old, &waiting, "a");
    must_open(scene, &scene->new, 2);
    WAIT_FOR(scene, waiting.answer == -1);
    parcel_send(&scene->old, &waiting, "b");
    WAIT_FOR(scene, waiting.answer == -1);
}

static void the_new_leader_reads_what_the_old_one_committed_and_goes_on_behind_it(void **state)
{
    struct scene *scene = *state;
    GW_AUTO(gw_bytes_done) struct gw_bytes position = {0};

    must_open(scene, &scene->old, 1);
    for (int i = 0; i < 50; i++) {
        char id[16];
        snprintf(id, sizeof(id), "old-%d", i);
        assert_int_equal(put(scene, &scene->old, id), 1);
    }
    must_open(scene, &scene->new, 2);
    assert_int_equal(gwc_outbox_last_sequence(scene->new.outbox), 50);
    assert_int_equal(gwc_outbox_position(scene->new.outbox, "calendar.ticks", &position), 0);
    assert_true(gw_view_is(gw_bytes_view(&position), "old-49"));
    /* What the source gives again is known. */
    assert_int_equal(put(scene, &scene->new, "old-49"), 1);
    assert_int_equal(put(scene, &scene->new, "new"), 1);
    assert_string_equal(look(scene, "SELECT max(sequence) FROM events"), "51");
}

/* ---- a writer that was stopped while it wrote ---- */

static void a_transaction_of_another_is_waited_for_not_failed_on(void **state)
{
    struct scene *scene = *state;
    char path[128];
    sqlite3 *stopped;

    must_open(scene, &scene->old, 1);
    scene->old.outbox = gwc_outbox_close(scene->old.outbox);
    snprintf(path, sizeof(path), "%s/outbox.db", scene->directory);
    assert_int_equal(sqlite3_open(path, &stopped), SQLITE_OK);
    assert_int_equal(sqlite3_exec(stopped, "BEGIN IMMEDIATE; INSERT INTO sources(source) VALUES('x')", NULL,
                                  NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(epoch_kept(scene), 1); /* reading does not wait */
    int64_t began_ns = gw_clock_monotonic_ns();
    assert_int_equal(scene_open(scene, &scene->new, 2), -EBUSY);
    /* Soon: the loop has a Lease to renew. */
    assert_true(gw_clock_monotonic_ns() - began_ns < 4 * GW_NS_PER_S);
    assert_non_null(strstr(scene->reason.text, "is being written by another process"));
    assert_int_equal(scene_open(scene, &scene->new, 2), -EBUSY); /* nothing has changed */
    assert_int_equal(sqlite3_exec(stopped, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(stopped);
    must_open(scene, &scene->new, 2);
    assert_int_equal(put(scene, &scene->new, "a"), 1);
}

static void a_reader_that_was_stopped_holds_the_writer_up_once_not_at_each_commit(void **state)
{
    enum { SIZE = 1 << 20, LARGE = 140, PUTS = 12 };
    struct scene *scene = *state;
    char path[128], id[16];
    sqlite3 *stopped;
    sqlite3_stmt *reads;
    struct gwc_outbox_options options = {.directory = scene->directory,
                                         .size_max = 1 << 30,
                                         .retention_ms = 3600 * 1000,
                                         .no_fsync = true,
                                         .loop = scene->loop,
                                         .user = &scene->old};

    assert_int_equal(gwc_outbox_open(&scene->old.outbox, &options, NULL, &scene->reason), 0);
    assert_int_equal(put(scene, &scene->old, "first"), 1);
    snprintf(path, sizeof(path), "%s/outbox.db", scene->directory);
    assert_int_equal(sqlite3_open(path, &stopped), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(stopped, "SELECT id FROM events", -1, &reads, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(reads), SQLITE_ROW);
    /* More than the log may hold before readers are waited for. */
    data_size = SIZE;
    for (int i = 0; i < LARGE; i++) {
        snprintf(id, sizeof(id), "large-%d", i);
        assert_int_equal(put(scene, &scene->old, id), 1);
    }
    data_size = 0;
    int64_t began_ns = gw_clock_monotonic_ns();
    for (int i = 0; i < PUTS; i++) {
        snprintf(id, sizeof(id), "small-%d", i);
        assert_int_equal(put(scene, &scene->old, id), 1);
    }
    assert_true(gw_clock_monotonic_ns() - began_ns < 20 * GW_NS_PER_S); /* each would wait for five */
    sqlite3_finalize(reads);
    sqlite3_close(stopped);
}

static void a_damaged_file_is_put_aside_only_when_nobody_else_has_it_open(void **state)
{
    struct scene *scene = *state;
    char path[128], junk[4096];
    char *aside = NULL;

    must_open(scene, &scene->old, 1);
    scene->old.outbox = gwc_outbox_close(scene->old.outbox);
    snprintf(path, sizeof(path), "%s/outbox.db", scene->directory);
    int file = open(path, O_RDWR);
    memset(junk, 0x5a, sizeof(junk));
    assert_int_equal(pwrite(file, junk, sizeof(junk), 0), sizeof(junk));
    close(file);
    /* A leader of old, stopped. */
    snprintf(path, sizeof(path), "%s/outbox.lock", scene->directory);
    int lock = open(path, O_RDWR);
    assert_int_equal(flock(lock, LOCK_SH), 0);
    assert_int_equal(scene_open(scene, &scene->new, 2), -EBUSY);
    assert_non_null(strstr(scene->reason.text, "not a database"));
    assert_non_null(strstr(scene->reason.text, "another gateway-client still has it open"));
    close(lock);

    struct gwc_outbox_options options = {.directory = scene->directory,
                                         .size_max = 1 << 30,
                                         .retention_ms = 1000,
                                         .epoch = 2,
                                         .loop = scene->loop,
                                         .user = &scene->new};
    assert_int_equal(gwc_outbox_open(&scene->new.outbox, &options, &aside, &scene->reason), 0);
    assert_non_null(aside);
    free(aside);
    assert_int_equal(epoch_kept(scene), 2);
    must_open(scene, &scene->old, 3); /* the lock is a shared one again */
}

/* What the child shares with us. */
struct report {
    _Atomic unsigned durable; /* events 0 … durable-1 were acknowledged to it */
    _Atomic uint64_t fenced_by;
};

static void child_main(struct scene *scene, uint64_t epoch, struct report *report)
{
    struct leader *leader = &scene->old;
    struct parcel parcel;
    char id[32];

    prctl(PR_SET_PDEATHSIG,
          SIGKILL); /* stopped, it would outlive us, and who waits for our output would wait for ever */
    /* A loop of its own: the parent's shares its descriptors. */
    if (gw_loop_open(&scene->loop) != 0 || scene_open(scene, leader, epoch) != 0)
        _exit(2);
    for (unsigned i = 0; leader->fences == 0; i++) {
        snprintf(id, sizeof(id), "%llu-%06u", (unsigned long long)epoch, i);
        parcel_send(leader, &parcel, id);
        while (parcel.answer == 0)
            gw_loop_turn(scene->loop, 0);
        if (parcel.answer == 1)
            report->durable = i + 1;
        else
            WAIT_FOR(scene, leader->fences > 0);
    }
    report->fenced_by = leader->fenced_by;
    gwc_outbox_close(leader->outbox);
    _exit(0);
}

/* Opens with `epoch` beside the stopped child. When it was stopped in the middle of a write it goes on for a moment. */
static unsigned take_over(struct scene *scene, uint64_t epoch, pid_t child)
{
    unsigned waits = 0;
    int fault;

    while ((fault = scene_open(scene, &scene->new, epoch)) == -EBUSY) {
        assert_true(++waits < 200);
        kill(child, SIGCONT);
        usleep(1000);
        kill(child, SIGSTOP);
    }
    if (fault != 0)
        fail_msg("%s (%s)", scene->reason.text, gw_fault_trace());
    return waits;
}

static void stop_round(struct scene *scene, uint64_t epoch, unsigned *ret_waits)
{
    struct report *report =
        mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    char sql[160], want[32];

    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        child_main(scene, epoch, report);
    int64_t until_ns = gw_clock_monotonic_ns() + WAIT_MS * GW_NS_PER_MS;
    while (report->durable == 0 && gw_clock_monotonic_ns() < until_ns)
        usleep(100);
    usleep((useconds_t)(gw_random_u64() % 20000));
    kill(child, SIGSTOP);
    *ret_waits += take_over(scene, epoch + 1, child);
    uint64_t last = gwc_outbox_last_sequence(scene->new.outbox);
    assert_int_equal(put(scene, &scene->new, "new"), 1);
    kill(child, SIGCONT);
    for (until_ns = gw_clock_monotonic_ns() + WAIT_MS * GW_NS_PER_MS;
         waitpid(child, &status, WNOHANG) == 0;) {
        if (gw_clock_monotonic_ns() > until_ns)
            kill(child, SIGKILL); /* it goes on writing */
        usleep(500);
    }
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(report->fenced_by, epoch + 1);
    /* All that it was told is durable is there; behind our opening there is nothing of it. */
    snprintf(sql, sizeof(sql), "SELECT count(*) >= %u FROM events WHERE id GLOB '%llu-*'", report->durable,
             (unsigned long long)epoch);
    assert_string_equal(look(scene, sql), "1");
    snprintf(sql, sizeof(sql), "SELECT max(sequence) FROM events WHERE id GLOB '%llu-*'",
             (unsigned long long)epoch);
    snprintf(want, sizeof(want), "%llu", (unsigned long long)last);
    assert_string_equal(look(scene, sql), want);
    assert_string_equal(look(scene, "PRAGMA integrity_check"), "ok");
    /* "new" once: it is of a source that we have seen. */
    look(scene, "DELETE FROM events WHERE id = 'new'");
    scene->new.outbox = gwc_outbox_close(scene->new.outbox);
    munmap(report, sizeof(*report));
}

static void a_leader_that_was_stopped_anywhere_writes_nothing_when_it_wakes_up(void **state)
{
    struct scene *scene = *state;
    unsigned waits = 0;

    for (uint64_t round = 0; round < 15; round++)
        stop_round(scene, 1 + 2 * round, &waits);
    print_message("stopped 15 times, in the middle of a write %u times\n", waits);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scene_setup, scene_teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first, while there are no threads that a child would miss */
        TEST(a_leader_that_was_stopped_anywhere_writes_nothing_when_it_wakes_up),
        TEST(the_epoch_is_kept_and_can_be_asked_for_at_any_time),
        TEST(an_empty_file_that_is_just_being_made_has_no_epoch),
        TEST(an_epoch_that_is_not_greater_is_refused_in_words),
        TEST(who_elects_and_who_does_not_keep_each_other_out),
        TEST(what_a_leader_of_old_appends_is_refused_and_not_there),
        TEST(an_idle_leader_of_old_finds_out_by_itself),
        TEST(an_epoch_that_somebody_took_out_of_the_file_is_not_ours_either),
        TEST(what_a_leader_of_old_delivered_does_not_move_the_cursor),
        TEST(appends_that_wait_while_the_outbox_is_full_are_refused_too),
        TEST(the_new_leader_reads_what_the_old_one_committed_and_goes_on_behind_it),
        TEST(a_transaction_of_another_is_waited_for_not_failed_on),
        TEST(a_reader_that_was_stopped_holds_the_writer_up_once_not_at_each_commit),
        TEST(a_damaged_file_is_put_aside_only_when_nobody_else_has_it_open),
    };
    return cmocka_run_group_tests_name("outbox_epoch", tests, NULL, NULL);
}
