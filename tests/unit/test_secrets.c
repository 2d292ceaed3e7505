/* Secrets: files, environment variables, and what is said when there is none. */
#include "common/secrets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[] = "/tmp/gw-secrets-XXXXXX";

static void put(const char *name, const char *key, const char *value, size_t size)
{
    char path[256];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/%s/%s", directory, name, key);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(value, 1, size, file), size);
    fclose(file);
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
    if (strstr(reason.text, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, reason.text);
}

static void a_file_gives_the_value_without_one_newline(void **state)
{
    (void)state;
    put("broker", "password", "s3cret\n\n", 8);
    assert_value("broker", "password", "s3cret\n");
    put("broker", "password", "rotated", 7);
    assert_value("broker", "password", "rotated");
    put("broker", "empty", "", 0);
    assert_value("broker", "empty", "");
}

static void a_variable_is_taken_when_there_is_no_file(void **state)
{
    (void)state;
    setenv("my_api_token_1", "from environment\n", 1);
    assert_value("my-api", "token.1", "from environment");
    put("my-api", "token.1", "from file", 9);
    assert_value("my-api", "token.1", "from file");
    gw_secrets_set_directory(NULL);
    assert_value("my-api", "token.1", "from environment");
    assert_fault("absent", "key", -ENOENT, "no environment variable absent_key");
    gw_secrets_set_directory(directory);
}

static void what_cannot_be_read_is_said_without_the_value(void **state)
{
    static char large[GW_SECRET_MAX + 1];

    (void)state;
    memset(large, 'x', sizeof(large));
    put("broker", "large", large, sizeof(large));
    assert_fault("broker", "large", -E2BIG, "has more than 65536 bytes");
    put("broker", "just", large, sizeof(large) - 1);
    assert_fault("broker", "absent", -ENOENT, "there is neither a file");
    assert_fault("broker", "absent", -ENOENT, "secret \"broker\", key \"absent\"");
    assert_fault("..", "passwd", -EINVAL, "without '/'");
    assert_fault("broker", "../other", -EINVAL, "without '/'");
    assert_fault(NULL, NULL, -EINVAL, "without '/'");
    put("folder", "x", "y", 1);
    assert_fault("", "folder", -EINVAL, "without '/'");
    if (geteuid() != 0) {
        char path[256];

        snprintf(path, sizeof(path), "%s/broker/just", directory);
        chmod(path, 0);
        setenv("broker_just", "an old value", 1);
        assert_fault("broker", "just", -EACCES, "Permission denied");
    }
}

static int set_up(void **state)
{
    (void)state;
    if (mkdtemp(directory) == NULL)
        return -1;
    gw_secrets_set_directory(directory);
    return 0;
}

static int tear_down(void **state)
{
    char command[300];

    (void)state;
    gw_secrets_set_directory(NULL);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_gives_the_value_without_one_newline),
        cmocka_unit_test(a_variable_is_taken_when_there_is_no_file),
        cmocka_unit_test(what_cannot_be_read_is_said_without_the_value),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
