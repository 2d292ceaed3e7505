/* Secrets of the API server: what is answered, from any thread, as their watches tell of them (by linker wraps). The real thing
 * is in tests/system/test_secrets.py. */
#include "common/kube_watch.h"
#include "common/secrets.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

int __wrap_gw_kube_watch_open(struct gw_kube_watch **ret_watch, struct gw_kube *kube,
                              const struct gw_kube_watch_options *options);
struct gw_kube_watch *__wrap_gw_kube_watch_close(struct gw_kube_watch *watch);
struct gw_loop *__wrap_gw_kube_loop(const struct gw_kube *kube);

static struct gw_loop *loop;
static struct gw_kube_watch_options watched; /* the newest watch */
static char watched_path[128], watched_name[64];
static int opened, closed;

int __wrap_gw_kube_watch_open(struct gw_kube_watch **ret_watch, struct gw_kube *kube,
                              const struct gw_kube_watch_options *options)
{
    (void)kube;
    watched = *options;
    snprintf(watched_path, sizeof(watched_path), "%s", options->path);
    snprintf(watched_name, sizeof(watched_name), "%s", options->name);
    opened++;
    *ret_watch = (struct gw_kube_watch *)&watched;
    return 0;
}

struct gw_kube_watch *__wrap_gw_kube_watch_close(struct gw_kube_watch *watch)
{
    closed += watch != NULL;
    return NULL;
}

struct gw_loop *__wrap_gw_kube_loop(const struct gw_kube *kube)
{
    (void)kube;
    return loop;
}

static int changes;

static void on_changed(void *user, const char *name)
{
    (void)user, (void)name;
    changes++;
}

static int test_begin(void **state)
{
    (void)state;
    opened = closed = changes = 0;
    assert_int_equal(gw_loop_open(&loop), 0);
    assert_int_equal(gw_secrets_use_kube((struct gw_kube *)&watched, "shop", on_changed, NULL), 0);
    return 0;
}

static int test_end(void **state)
{
    (void)state;
    assert_int_equal(gw_secrets_use_kube(NULL, NULL, NULL, NULL), 0);
    assert_int_equal(opened, closed);
    gw_loop_close(loop);
    return 0;
}

static void told(enum gw_kube_change change, const char *json)
{
    const struct gw_kube_object object = {.change = change, .name = watched_name, .json = gw_view_text(json)};

    watched.object(watched.user, &object);
}

static void assert_value(const char *name, const char *key, const char *expected)
{
    const struct gw_setting_secret secret = {name, key};
    GW_AUTO(gw_secret_done) struct gw_bytes value = {0};
    struct gw_reason reason = {""};

    if (gw_secret_read(&secret, &value, &reason) != 0)
        fail_msg("%s", reason.text);
    assert_string_equal(gw_bytes_text(&value), expected);
}

static void assert_fault(const char *name, const char *key, int fault, const char *words)
{
    const struct gw_setting_secret secret = {name, key};
    struct gw_bytes value = {0};
    struct gw_reason reason = {""};

    assert_int_equal(gw_secret_read(&secret, &value, &reason), fault);
    assert_null(value.data);
    assert_string_equal(reason.text, words);
}

#define BEING_READ "secret \"db\" in namespace \"shop\" is being read from the API server"

static void a_secret_is_watched_from_its_first_use_on(void **state)
{
    (void)state;
    assert_fault("db", "password", -EAGAIN, BEING_READ);
    assert_fault("db", "password", -EAGAIN, BEING_READ);
    assert_int_equal(opened, 0);
    gw_loop_turn(loop, 0);
    assert_int_equal(opened, 1);
    assert_string_equal(watched_path, "/api/v1/namespaces/shop/secrets");
    assert_string_equal(watched_name, "db");
    assert_true(watched.secret);
    told(GW_KUBE_ADDED, "{\"kind\":\"Secret\",\"data\":{\"password\":\"czNjcmV0Cg==\",\"empty\":\"\"}}");
    assert_int_equal(changes, 1);
    watched.synced(watched.user, "1");
    assert_int_equal(changes, 1);
    assert_value("db", "password", "s3cret");
    assert_value("db", "empty", "");
    told(GW_KUBE_MODIFIED, "{\"data\":{\"password\":\"cm90YXRlZA==\"}}");
    assert_value("db", "password", "rotated");
    gw_loop_turn(loop, 0);
    assert_int_equal(opened, 1);
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    assert_fault("db", "password", -EAGAIN, BEING_READ);
    gw_loop_turn(loop, 0);
    watched.state(watched.user, false, "secrets \"db\" is forbidden: no; next attempt in 4 s");
    assert_int_equal(changes, 1);
    assert_fault("db", "password", -EACCES,
                 "secret \"db\" in namespace \"shop\" cannot be read: secrets \"db\" is forbidden: no");
    watched.state(watched.user, true, "");
    watched.synced(watched.user, "1");
    assert_fault("db", "password", -ENOENT, "there is no secret \"db\" in namespace \"shop\"");
    told(GW_KUBE_ADDED, "{\"data\":{\"pasword\":\"eA==\",\"other\":\"eA==\"}}");
    assert_fault("db", "password", -ENOENT,
                 "secret \"db\" in namespace \"shop\" has no key \"password\"; did you mean \"pasword\"?");
    assert_fault("db", "certificate", -ENOENT,
                 "secret \"db\" in namespace \"shop\" has no key \"certificate\"");
    told(GW_KUBE_MODIFIED, "{\"data\":null}");
    assert_fault("db", "password", -ENOENT, "secret \"db\" in namespace \"shop\" has no key \"password\"");
    told(GW_KUBE_DELETED, "");
    assert_fault("db", "password", -ENOENT, "there is no secret \"db\" in namespace \"shop\"");
}

static void what_is_known_is_answered_while_the_api_server_is_away(void **state)
{
    (void)state;
    assert_fault("db", "password", -EAGAIN, BEING_READ);
    gw_loop_turn(loop, 0);
    told(GW_KUBE_ADDED, "{\"data\":{\"password\":\"eA==\"}}");
    watched.state(watched.user, false, "connection refused; next attempt in 1 s");
    assert_int_equal(changes, 1);
    assert_value("db", "password", "x");
}

static void what_is_no_base64_is_refused_and_what_is_too_large(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes json = {0};

    (void)state;
    assert_fault("db", "password", -EAGAIN, BEING_READ);
    gw_loop_turn(loop, 0);
    told(GW_KUBE_ADDED, "{\"data\":{\"good\":\"eA==\",\"password\":\"?\"}}");
    assert_fault(
        "db", "password", -EACCES,
        "secret \"db\" in namespace \"shop\" cannot be read: what the API server sent is not a Secret");
    gw_bytes_append_text(&json, "{\"data\":{\"password\":\"");
    for (int i = 0; i <= GW_SECRET_MAX / 3; i++)
        gw_bytes_append_text(&json, "eHh4");
    gw_bytes_append_text(&json, "\"}}");
    told(GW_KUBE_MODIFIED, gw_bytes_text(&json));
    assert_fault("db", "password", -E2BIG,
                 "secret \"db\", key \"password\": the value has more than 65536 bytes");
}

static void after_the_end_nothing_is_known(void **state)
{
    (void)state;
    assert_fault("db", "password", -EAGAIN, BEING_READ);
    gw_loop_turn(loop, 0);
    told(GW_KUBE_ADDED, "{\"data\":{\"password\":\"eA==\"}}");
    assert_int_equal(gw_secrets_use_kube(NULL, NULL, NULL, NULL), 0);
    assert_fault("db", "password", -ENOENT,
                 "secret \"db\", key \"password\": no directory of secrets is given, and there is no "
                 "environment variable "
                 "db_password");
}

/* ---- threads ---- */

enum { READERS = 4 };

static atomic_bool enough;

static void *reader_run(void *user)
{
    const struct gw_setting_secret secret = {"db", "password"};
    long *read = user;

    while (!atomic_load(&enough)) {
        GW_AUTO(gw_secret_done) struct gw_bytes value = {0};

        if (gw_secret_read(&secret, &value, NULL) != 0)
            continue;
        /* one value or the other, never a mixture */
        assert_true(value.size == 4);
        assert_true(memcmp(value.data, "aaaa", 4) == 0 || memcmp(value.data, "bbbb", 4) == 0);
        (*read)++;
    }
    return NULL;
}

static void any_thread_reads_while_values_rotate(void **state)
{
    pthread_t threads[READERS];
    long read[READERS] = {0};

    (void)state;
    atomic_store(&enough, false);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader_run, &read[i]), 0);
    while (opened == 0)
        gw_loop_turn(loop, 10);
    for (int i = 0; i < 20000; i++) {
        told(i == 0 ? GW_KUBE_ADDED : GW_KUBE_MODIFIED, i % 2 == 0
                                                            ? "{\"data\":{\"password\":\"YWFhYQ==\"}}"
                                                            : "{\"data\":{\"password\":\"YmJiYg==\"}}");
        if (i % 100 == 0)
            gw_loop_turn(loop, 0);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(opened, 1);
    assert_true(read[0] + read[1] + read[2] + read[3] > 0);
}

static void the_flag_names_a_directory_or_the_cluster(void **state)
{
    const char *namespace_ = "unset";

    (void)state;
    assert_false(gw_secrets_in_cluster(NULL, &namespace_));
    assert_false(gw_secrets_in_cluster("/etc/secrets", &namespace_));
    assert_false(gw_secrets_in_cluster("./kubernetes", &namespace_));
    assert_false(gw_secrets_in_cluster("kubernetes-secrets", &namespace_));
    assert_true(gw_secrets_in_cluster("kubernetes", &namespace_));
    assert_null(namespace_);
    assert_true(gw_secrets_in_cluster("kubernetes:shop", &namespace_));
    assert_string_equal(namespace_, "shop");
}

#define SECRETS_TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SECRETS_TEST(a_secret_is_watched_from_its_first_use_on),
        SECRETS_TEST(what_cannot_be_read_is_said),
        SECRETS_TEST(what_is_known_is_answered_while_the_api_server_is_away),
        SECRETS_TEST(what_is_no_base64_is_refused_and_what_is_too_large),
        SECRETS_TEST(after_the_end_nothing_is_known),
        SECRETS_TEST(any_thread_reads_while_values_rotate),
        cmocka_unit_test(the_flag_names_a_directory_or_the_cluster),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
