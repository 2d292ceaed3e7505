/* Files that are edited while we run: each way of changing them is told, and only real changes are. */
#include "common/clock.h"
#include "common/loop.h"
#include "gateway-client/spec/sources.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { SETTLE_MS = 20, DEADLINE_MS = 5000 };

static char directory[] = "/tmp/gw-files-XXXXXX";
static struct gw_loop *loop;
static int calls;

static void on_changed(void *user)
{
    (void)user;
    calls++;
}

static const char *in_directory(const char *name)
{
    static char path[2][512];
    static int turn;

    turn ^= 1;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", directory, name);
    return path[turn];
}

static void put(const char *name, const char *text)
{
    FILE *file = fopen(in_directory(name), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void turn_for(int64_t wait_ms)
{
    int64_t end = gw_clock_monotonic_ns() + wait_ms * GW_NS_PER_MS;

    while (gw_clock_monotonic_ns() < end)
        gw_loop_turn(loop, 5);
}

/* Waits for the next call; then once more as long as things settle, so that the next change is another one.
 */
static void assert_told(void)
{
    int64_t end = gw_clock_monotonic_ns() + DEADLINE_MS * GW_NS_PER_MS;

    while (calls == 0 && gw_clock_monotonic_ns() < end)
        gw_loop_turn(loop, 50);
    assert_true(calls >= 1);
    turn_for(SETTLE_MS * 3);
    calls = 0;
}

static void assert_silent(void)
{
    turn_for(SETTLE_MS * 8);
    assert_int_equal(calls, 0);
}

static struct gwc_files *watch(const char *name)
{
    struct gwc_files *files = NULL;

    calls = 0;
    assert_int_equal(gwc_files_watch(&files, loop, in_directory(name), SETTLE_MS, on_changed, NULL), 0);
    return files;
}

static void a_file_is_watched_through_all_ways_of_editing(void **state)
{
    struct gwc_files *files;

    (void)state;
    put("a.yaml", "one");
    files = watch("a.yaml");
    assert_silent();
    put("a.yaml", "two!");
    assert_told();
    put("a.new", "three");
    assert_int_equal(rename(in_directory("a.new"), in_directory("a.yaml")), 0);
    assert_told();
    put("neighbour", "nobody asked");
    assert_silent();
    assert_int_equal(unlink(in_directory("a.yaml")), 0);
    assert_told();
    put("a.yaml", "four");
    assert_told();
    gwc_files_close(files);
}

static void a_path_that_is_not_there_yet_is_waited_for(void **state)
{
    struct gwc_files *files = watch("later/deep/b.yaml");

    (void)state;
    assert_int_equal(mkdir(in_directory("later"), 0700), 0);
    turn_for(SETTLE_MS * 3);
    assert_int_equal(mkdir(in_directory("later/deep"), 0700), 0);
    turn_for(SETTLE_MS * 3);
    calls = 0;
    put("later/deep/b.yaml", "there");
    assert_told();
    put("later/deep/b.yaml", "changed");
    assert_told();
    gwc_files_close(files);
}

static void a_folder_that_goes_and_comes_back_is_watched_again(void **state)
{
    struct gwc_files *files;

    (void)state;
    assert_int_equal(mkdir(in_directory("folder"), 0700), 0);
    put("folder/x", "1");
    files = watch("folder");
    for (int round = 0; round < 3; round++) {
        assert_int_equal(unlink(in_directory("folder/x")), 0);
        assert_int_equal(rmdir(in_directory("folder")), 0);
        assert_told();
        assert_int_equal(mkdir(in_directory("folder"), 0700), 0);
        assert_told();
        put("folder/x", "2");
        assert_told();
        put("folder/x", "three");
        assert_told();
    }
    gwc_files_close(files);
}

/* What the kubelet does: a new folder, a new link, renamed over ..data. */
static void the_swap_of_a_mounted_config_map_is_one_change(void **state)
{
    struct gwc_files *files, *single;

    (void)state;
    assert_int_equal(mkdir(in_directory("mount"), 0700), 0);
    assert_int_equal(mkdir(in_directory("mount/..1"), 0700), 0);
    put("mount/..1/orders", "same size 1");
    assert_int_equal(symlink("..1", in_directory("mount/..data")), 0);
    assert_int_equal(symlink("..data/orders", in_directory("mount/orders")), 0);
    files = watch("mount");
    single = watch("mount/orders");

    assert_int_equal(mkdir(in_directory("mount/..2"), 0700), 0);
    put("mount/..2/orders", "same size 2");
    assert_silent();
    assert_int_equal(symlink("..2", in_directory("mount/..data_tmp")), 0);
    assert_int_equal(rename(in_directory("mount/..data_tmp"), in_directory("mount/..data")), 0);
    turn_for(SETTLE_MS * 8);
    assert_int_equal(calls, 2); /* one of each watch */
    gwc_files_close(files);
    gwc_files_close(single);
}

static void a_file_behind_a_link_is_watched_where_it_is(void **state)
{
    struct gwc_files *files;

    (void)state;
    assert_int_equal(mkdir(in_directory("elsewhere"), 0700), 0);
    put("elsewhere/real.yaml", "one");
    assert_int_equal(symlink("elsewhere/real.yaml", in_directory("link.yaml")), 0);
    files = watch("link.yaml");
    put("elsewhere/real.yaml", "changed");
    assert_told();
    gwc_files_close(files);
}

static void many_changes_at_once_are_told_seldom(void **state)
{
    struct gwc_files *files;
    int64_t start, took_ms;

    (void)state;
    put("busy.yaml", "0");
    files = watch("busy.yaml");
    start = gw_clock_monotonic_ns();
    for (int i = 0; i < 200; i++) {
        char text[16];

        snprintf(text, sizeof(text), "%d", i);
        put("busy.yaml", text);
        gw_loop_turn(loop, 0);
    }
    took_ms = (gw_clock_monotonic_ns() - start) / GW_NS_PER_MS;
    turn_for(SETTLE_MS * 4);
    assert_in_range(calls, 1, took_ms / SETTLE_MS + 2);
    gwc_files_close(files);
}

static struct gwc_files *closing;

static void on_changed_close(void *user)
{
    (void)user;
    calls++;
    closing = gwc_files_close(closing);
}

static void it_may_be_closed_while_it_tells(void **state)
{
    (void)state;
    put("c.yaml", "one");
    calls = 0;
    assert_int_equal(
        gwc_files_watch(&closing, loop, in_directory("c.yaml"), SETTLE_MS, on_changed_close, NULL), 0);
    put("c.yaml", "two!");
    assert_told();
    assert_null(closing);
    put("c.yaml", "three");
    assert_silent();
}

static int set_up(void **state)
{
    (void)state;
    return mkdtemp(directory) == NULL ? -1 : gw_loop_open(&loop);
}

static int tear_down(void **state)
{
    char command[300];

    (void)state;
    loop = gw_loop_close(loop);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_watched_through_all_ways_of_editing),
        cmocka_unit_test(a_path_that_is_not_there_yet_is_waited_for),
        cmocka_unit_test(a_folder_that_goes_and_comes_back_is_watched_again),
        cmocka_unit_test(the_swap_of_a_mounted_config_map_is_one_change),
        cmocka_unit_test(a_file_behind_a_link_is_watched_where_it_is),
        cmocka_unit_test(many_changes_at_once_are_told_seldom),
        cmocka_unit_test(it_may_be_closed_while_it_tells),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
