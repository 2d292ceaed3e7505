/* The event loop: tasks from other threads, timers, descriptors, directories, signals, programs. */
#include "common/loop.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static int loop_setup(void **state)
{
    struct gw_loop *loop = NULL;

    if (gw_loop_open(&loop) != 0)
        return -1;
    *state = loop;
    return 0;
}

static int loop_teardown(void **state)
{
    *state = gw_loop_close(*state);
    return 0;
}

/* Turns the loop until `*count` reaches `wanted`; fails after twenty seconds. */
static void wait_for(struct gw_loop *loop, const int *count, int wanted)
{
    int64_t deadline = gw_loop_now_ms(loop) + 20000;

    while (*count < wanted) {
        gw_loop_turn(loop, 50);
        assert_true(gw_loop_now_ms(loop) < deadline);
    }
}

static void count_up(void *user)
{
    ++*(int *)user;
}

/* ---- tasks ---- */

enum { THREADS = 3, POSTS = 20000 };

struct numbered {
    struct gw_task task;
    int number;
    int *last, *count;
};

static void on_numbered(struct gw_task *task)
{
    struct numbered *numbered = (struct numbered *)task;

    assert_int_equal(numbered->number, *numbered->last + 1);
    *numbered->last = numbered->number;
    ++*numbered->count;
}

struct poster {
    struct gw_loop *loop;
    pthread_t thread;
    struct numbered *tasks;
    int last;
};

static void *poster_run(void *user)
{
    struct poster *poster = user;

    for (int i = 0; i < POSTS; i++)
        gw_loop_post(poster->loop, &poster->tasks[i].task);
    return NULL;
}

static void tasks_of_each_thread_run_once_and_in_order(void **state)
{
    struct poster posters[THREADS];
    int count = 0;

    for (int t = 0; t < THREADS; t++) {
        posters[t] =
            (struct poster){.loop = *state, .last = -1, .tasks = calloc(POSTS, sizeof(struct numbered))};
        assert_non_null(posters[t].tasks);
        for (int i = 0; i < POSTS; i++)
            posters[t].tasks[i] = (struct numbered){
                .task.run = on_numbered, .number = i, .last = &posters[t].last, .count = &count};
    }
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&posters[t].thread, NULL, poster_run, &posters[t]), 0);
    wait_for(*state, &count, THREADS * POSTS);
    for (int t = 0; t < THREADS; t++) {
        pthread_join(posters[t].thread, NULL);
        assert_int_equal(posters[t].last, POSTS - 1);
        free(posters[t].tasks);
    }
}

struct shared {
    struct gw_task task;
    struct gw_loop *loop;
    int written; /* atomic; the last one must be seen */
    int seen, runs;
};

static void on_shared(struct gw_task *task)
{
    struct shared *shared = (struct shared *)task;

    shared->seen = __atomic_load_n(&shared->written, __ATOMIC_RELAXED);
    shared->runs++;
}

static void *shared_run(void *user)
{
    struct shared *shared = user;

    for (int i = 1; i <= POSTS; i++) {
        __atomic_store_n(&shared->written, i, __ATOMIC_RELAXED);
        gw_loop_post(shared->loop, &shared->task);
    }
    return NULL;
}

static void a_task_posted_again_sees_what_was_written_before(void **state)
{
    struct shared shared = {.task.run = on_shared, .loop = *state};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, shared_run, &shared), 0);
    wait_for(*state, &shared.seen, POSTS);
    pthread_join(thread, NULL);
    gw_loop_turn(*state, 0);
    assert_int_equal(shared.seen, POSTS);
    assert_true(shared.runs <= POSTS);
}

static void a_task_posted_twice_before_it_ran_runs_once(void **state)
{
    struct shared shared = {.task.run = on_shared, .loop = *state};

    gw_loop_post(*state, &shared.task);
    gw_loop_post(*state, &shared.task);
    assert_true(gw_task_queued(&shared.task));
    wait_for(*state, &shared.runs, 1);
    gw_loop_turn(*state, 0);
    assert_int_equal(shared.runs, 1);
    assert_false(gw_task_queued(&shared.task));
}

static void closing_the_loop_runs_what_is_posted(void **state)
{
    struct shared shared = {.task.run = on_shared};
    struct gw_loop *loop = NULL;

    (void)state;
    assert_int_equal(gw_loop_open(&loop), 0);
    gw_loop_post(loop, &shared.task);
    assert_null(gw_loop_close(loop));
    assert_int_equal(shared.runs, 1);
}

/* ---- timers ---- */

static void a_timer_fires_once_and_not_early(void **state)
{
    struct gw_timer *timer = NULL;
    int fired = 0;
    int64_t start;

    assert_int_equal(gw_timer_open(&timer, *state, count_up, &fired), 0);
    usleep(30000);
    gw_timer_start(timer, 20);
    start = gw_loop_now_ms(*state);
    wait_for(*state, &fired, 1);
    assert_true(gw_loop_now_ms(*state) - start >= 20);
    gw_loop_turn(*state, 30);
    assert_int_equal(fired, 1);
    gw_timer_start(timer, 10);
    gw_timer_stop(timer);
    gw_loop_turn(*state, 20);
    assert_int_equal(fired, 1);
    assert_null(gw_timer_close(timer));
}

static void close_own_timer(void *user)
{
    struct gw_timer **timer = user;

    *timer = gw_timer_close(*timer);
}

static void a_timer_may_be_closed_while_it_fires(void **state)
{
    struct gw_timer *timer = NULL;

    assert_int_equal(gw_timer_open(&timer, *state, close_own_timer, &timer), 0);
    gw_timer_start(timer, 0);
    gw_loop_turn(*state, 20);
    assert_null(timer);
}

static void what_is_still_open_is_freed_with_the_loop(void **state)
{
    struct gw_timer *timer = NULL;
    struct gw_poll *poll = NULL;
    struct gw_loop *loop = NULL;
    int ends[2], fired = 0;

    (void)state;
    assert_int_equal(gw_loop_open(&loop), 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(gw_timer_open(&timer, loop, count_up, &fired), 0);
    assert_int_equal(gw_poll_open(&poll, loop, ends[0], NULL, NULL), 0);
    gw_timer_start(timer, 0);
    gw_loop_close(loop);
    close(ends[0]);
    close(ends[1]);
}

static void stop_loop(void *user)
{
    gw_loop_stop(user);
}

static void the_loop_runs_until_it_is_stopped(void **state)
{
    struct gw_timer *timer = NULL;

    assert_int_equal(gw_timer_open(&timer, *state, stop_loop, *state), 0);
    gw_timer_start(timer, 10);
    gw_loop_run(*state);
    gw_timer_close(timer);
}

/* ---- descriptors, directories, signals ---- */

struct pipe_watch {
    int ends[2];
    int events, calls;
};

static void on_pipe(void *user, int events)
{
    struct pipe_watch *watch = user;
    char byte;

    watch->events = events;
    watch->calls++;
    if ((events & GW_READABLE) != 0)
        (void)!read(watch->ends[0], &byte, 1);
}

static void a_descriptor_is_reported_while_it_is_watched(void **state)
{
    struct pipe_watch watch = {0};
    struct gw_poll *poll = NULL;

    assert_int_equal(pipe(watch.ends), 0);
    assert_int_equal(gw_poll_open(&poll, *state, watch.ends[0], on_pipe, &watch), 0);
    assert_int_equal(write(watch.ends[1], "ab", 2), 2);
    gw_loop_turn(*state, 10);
    assert_int_equal(watch.calls, 0);
    gw_poll_set(poll, GW_READABLE);
    wait_for(*state, &watch.calls, 2);
    assert_int_equal(watch.events, GW_READABLE);
    assert_int_equal(write(watch.ends[1], "c", 1), 1);
    gw_poll_set(poll, 0);
    gw_loop_turn(*state, 10);
    assert_int_equal(watch.calls, 2);
    gw_poll_set(poll, GW_READABLE);
    wait_for(*state, &watch.calls, 3);
    assert_null(gw_poll_close(poll));
    close(watch.ends[0]);
    close(watch.ends[1]);
}

static void a_changed_directory_is_reported(void **state)
{
    char directory[] = "/tmp/test_loop.XXXXXX", from[64], to[64];
    struct gw_watch *watch = NULL;
    int changes = 0, seen;

    assert_non_null(mkdtemp(directory));
    snprintf(from, sizeof(from), "%s/a", directory);
    snprintf(to, sizeof(to), "%s/b", directory);
    assert_int_equal(gw_watch_open(&watch, *state, directory, count_up, &changes), 0);
    close(open(from, O_CREAT | O_WRONLY, 0600));
    wait_for(*state, &changes, 1);
    while (seen = changes, gw_loop_turn(*state, 20), changes != seen)
        ;
    assert_int_equal(rename(from, to), 0);
    wait_for(*state, &changes, seen + 1);
    assert_null(gw_watch_close(watch));
    unlink(to);
    rmdir(directory);
    assert_int_equal(gw_watch_open(&watch, *state, directory, count_up, &changes), -ENOENT);
}

static void a_signal_is_caught_on_the_loop(void **state)
{
    struct gw_signal *caught = NULL;
    int count = 0;

    assert_int_equal(gw_signal_open(&caught, *state, SIGUSR1, count_up, &count), 0);
    raise(SIGUSR1);
    wait_for(*state, &count, 1);
    assert_null(gw_signal_close(caught));
}

/* ---- programs ---- */

struct run {
    struct gw_child *child;
    int ended, fault, code, signal;
    char output[64], errors[64];
    size_t errors_size;
    bool close;
};

static void on_ended(void *user, const struct gw_child_end *end)
{
    struct run *run = user;

    run->ended++;
    run->fault = end->fault;
    run->code = end->code;
    run->signal = end->signal;
    run->errors_size = end->errors.size;
    snprintf(run->output, sizeof(run->output), "%.*s", (int)end->output.size,
             end->output.size > 0 ? end->output.data : "");
    snprintf(run->errors, sizeof(run->errors), "%.*s", (int)end->errors.size,
             end->errors.size > 0 ? end->errors.data : "");
    if (run->close)
        run->child = gw_child_close(run->child);
}

static int run_start(struct gw_loop *loop, struct run *run, const char *script, int64_t timeout_ms)
{
    const struct gw_child_options options = {
        .command = "sh",
        .arguments = (const char *const[]){"-c", script, "sh", "a b", NULL},
        .environment = (const char *const[]){"GW_TEST=given", "HOME=/elsewhere", NULL},
        .timeout_ms = timeout_ms,
        .output_max = 1000,
    };

    return gw_child_open(&run->child, loop, &options, on_ended, run);
}

static void run_whole(struct gw_loop *loop, struct run *run, const char *script, int64_t timeout_ms)
{
    *run = (struct run){.close = true};
    assert_int_equal(run_start(loop, run, script, timeout_ms), 0);
    wait_for(loop, &run->ended, 1);
}

static void a_program_is_heard_to_its_end(void **state)
{
    struct run run;

    setenv("GW_OURS", "kept", 1);
    run_whole(*state, &run, "echo \"$1|$GW_TEST|$HOME|$GW_OURS\"; cat; echo wrong >&2; exit 3", 20000);
    assert_string_equal(run.output, "a b|given|/elsewhere|kept\n");
    assert_string_equal(run.errors, "wrong\n");
    assert_int_equal(run.code, 3);
    assert_int_equal(run.fault, 0);
    run_whole(*state, &run, "kill -9 $$", 20000);
    assert_int_equal(run.code, -1);
    assert_int_equal(run.signal, SIGKILL);
    run_whole(*state, &run, "(sleep 0.2; echo late) & exit 0", 20000);
    assert_string_equal(run.output, "late\n");
}

static void a_program_that_goes_too_far_is_ended(void **state)
{
    struct run run;

    run_whole(*state, &run, "sleep 600 & echo $!; wait", 300);
    assert_int_equal(run.fault, -ETIMEDOUT);
    assert_int_equal(run.code, -1);
    for (int i = 0; kill(atoi(run.output), 0) == 0 && i < 1000; i++) /* its own children, too */
        gw_loop_turn(*state, 20);
    assert_int_equal(kill(atoi(run.output), 0), -1);
    run_whole(*state, &run, "while :; do echo 0123456789; done", 20000);
    assert_int_equal(run.fault, -EFBIG);
    run_whole(*state, &run, "i=0; while [ $i -lt 1000 ]; do echo 0123456789 >&2; i=$((i+1)); done", 20000);
    assert_int_equal(run.fault, 0);
    assert_int_equal(run.errors_size, GW_CHILD_ERRORS_MAX);
}

static void a_program_that_is_closed_or_cannot_start_says_nothing(void **state)
{
    struct run run = {0};
    struct gw_child *child = NULL;
    struct gw_child_options options = {
        .command = "/no/such/program", .arguments = (const char *const[]){NULL}, .timeout_ms = 1000};

    assert_int_equal(gw_child_open(&child, *state, &options, on_ended, &run), -ENOENT);
    options.command = "/etc/passwd";
    assert_int_equal(gw_child_open(&child, *state, &options, on_ended, &run), -EACCES);
    assert_int_equal(run_start(*state, &run, "sleep 600", 20000), 0);
    gw_child_close(run.child);
    for (int i = 0; i < 10; i++)
        gw_loop_turn(*state, 20);
    assert_int_equal(run.ended, 0);
    assert_int_equal(run_start(*state, &run, "sleep 600", 20000), 0);
    gw_child_close(run.child); /* the loop is closed before the program's end is known */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, loop_setup, loop_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(tasks_of_each_thread_run_once_and_in_order),
        CASE(a_task_posted_again_sees_what_was_written_before),
        CASE(a_task_posted_twice_before_it_ran_runs_once),
        CASE(closing_the_loop_runs_what_is_posted),
        CASE(a_timer_fires_once_and_not_early),
        CASE(a_timer_may_be_closed_while_it_fires),
        CASE(what_is_still_open_is_freed_with_the_loop),
        CASE(the_loop_runs_until_it_is_stopped),
        CASE(a_descriptor_is_reported_while_it_is_watched),
        CASE(a_changed_directory_is_reported),
        CASE(a_signal_is_caught_on_the_loop),
        CASE(a_program_is_heard_to_its_end),
        CASE(a_program_that_goes_too_far_is_ended),
        CASE(a_program_that_is_closed_or_cannot_start_says_nothing),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
