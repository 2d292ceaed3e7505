/* common/flags: forms of flags, defaults from the environment, and words about mistakes. */
#include "common/flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char *address;
static const char *files[GW_FLAG_TEXTS_MAX + 1];
static bool quiet;
static int64_t count, wait_ms;
static double rate;

static const struct gw_flag flags[] = {
    {"address", GW_FLAG_TEXT, &address, "ADDRESS", "where to listen", "SLUICE_TEST_ADDRESS"},
    {"file", GW_FLAG_TEXTS, files, "FILE", "what to read", NULL},
    {"quiet", GW_FLAG_BOOL, &quiet, NULL, "say nothing", "SLUICE_TEST_QUIET"},
    {"count", GW_FLAG_INTEGER, &count, "N", "how many", "SLUICE_TEST_COUNT"},
    {"wait", GW_FLAG_DURATION, &wait_ms, "DURATION", "how long", NULL},
    {"rate", GW_FLAG_NUMBER, &rate, "RATE", "how often", NULL},
    {0},
};

enum { WORDS_MAX = 80 };
static char *arguments[WORDS_MAX];
static int words;
static struct gw_reason reason;

static int fresh(void **state GW_UNUSED)
{
    address = "127.0.0.1:1";
    memset(files, 0, sizeof(files));
    files[0] = "default";
    quiet = false;
    count = wait_ms = 0;
    rate = 0;
    words = -1;
    reason = (struct gw_reason){0};
    unsetenv("SLUICE_TEST_ADDRESS");
    unsetenv("SLUICE_TEST_QUIET");
    unsetenv("SLUICE_TEST_COUNT");
    return 0;
}

/* argv from one text, split at blanks. */
static int read_line(const char *line)
{
    static char text[512];
    int argc = 0;

    snprintf(text, sizeof(text), "program %s", line);
    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        arguments[argc++] = word;
    arguments[argc] = NULL;
    return gw_flags_read(flags, argc, arguments, &words, &reason);
}

static void every_kind_is_read_in_both_forms(void **state GW_UNUSED)
{
    assert_int_equal(read_line("--address a:1 --file x --file=y --quiet --count=-7 --wait 1m30s --rate 0.25"),
                     0);
    assert_string_equal(address, "a:1");
    assert_string_equal(files[0], "x");
    assert_string_equal(files[1], "y");
    assert_null(files[2]);
    assert_true(quiet);
    assert_int_equal(count, -7);
    assert_int_equal(wait_ms, 90000);
    assert_true(rate == 0.25);
    assert_int_equal(words, 0);
    assert_int_equal(read_line("--address= --wait 1us"), 0);
    assert_string_equal(address, "");
    assert_int_equal(wait_ms, 1); /* not nothing */
}

static void words_move_to_the_front(void **state GW_UNUSED)
{
    assert_int_equal(read_line("run --count 1 now - --quiet -- --count"), 0);
    assert_int_equal(words, 4);
    assert_string_equal(arguments[1], "run");
    assert_string_equal(arguments[2], "now");
    assert_string_equal(arguments[3], "-");
    assert_string_equal(arguments[4], "--count");
}

static void what_is_not_given_keeps_its_default(void **state GW_UNUSED)
{
    assert_int_equal(read_line(""), 0);
    assert_string_equal(address, "127.0.0.1:1");
    assert_string_equal(files[0], "default");
}

static void the_environment_gives_defaults_and_a_flag_wins(void **state GW_UNUSED)
{
    setenv("SLUICE_TEST_ADDRESS", "env:1", 1);
    setenv("SLUICE_TEST_QUIET", "true", 1);
    setenv("SLUICE_TEST_COUNT", "5", 1);
    assert_int_equal(read_line("--count 6"), 0);
    assert_string_equal(address, "env:1");
    assert_true(quiet);
    assert_int_equal(count, 6);
    setenv("SLUICE_TEST_COUNT", "five", 1);
    assert_int_equal(read_line(""), -EINVAL);
    assert_string_equal(reason.text,
                        "environment variable SLUICE_TEST_COUNT, the default of --count: \"five\" is not a "
                        "whole number");
}

static void mistakes_are_refused_in_words(void **state GW_UNUSED)
{
    static const struct {
        const char *line, *words;
    } rows[] = {
        {"--adress x", "--adress: no such flag; did you mean --address?"},
        {"--hepl", "--hepl: no such flag; did you mean --help?"},
        {"--zzzzzz", "--zzzzzz: no such flag; --help lists them"},
        {"--count", "--count needs a value: --count N"},
        {"--count 1.5", "--count: \"1.5\" is not a whole number"},
        {"--rate nan", "--rate: \"nan\" is not a number"},
        {"--rate 1x", "--rate: \"1x\" is not a number"},
        {"--wait 10", "--wait: \"10\" is not a duration like 10s, 1m30s or 500ms"},
        {"--wait -1s", "--wait: \"-1s\" is not a duration like 10s, 1m30s or 500ms"},
        {"--quiet=yes", "--quiet takes no value"},
        {"-q", "-q: flags start with two dashes; --help lists them"},
    };

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        assert_int_equal(read_line(rows[i].line), -EINVAL);
        assert_string_equal(reason.text, rows[i].words);
    }
}

static void a_list_is_bounded(void **state GW_UNUSED)
{
    char line[512] = "";

    for (int i = 0; i < GW_FLAG_TEXTS_MAX; i++)
        strcat(line, " --file=a");
    assert_int_equal(read_line(line), 0);
    assert_non_null(files[GW_FLAG_TEXTS_MAX - 1]);
    strcat(line, " --file=a");
    assert_int_equal(read_line(line), -EINVAL);
    assert_string_equal(reason.text, "--file: given more than 32 times");
}

static void help_is_a_verdict(void **state GW_UNUSED)
{
    assert_int_equal(read_line("--help"), GW_FLAGS_HELP);
    assert_int_equal(read_line("run -h"), GW_FLAGS_HELP);
    assert_int_equal(read_line("-- --help"), 0);
}

static void the_list_has_two_columns(void **state GW_UNUSED)
{
    char text[1024] = "";
    FILE *file = tmpfile();
    int saved = dup(STDOUT_FILENO);

    fflush(stdout);
    dup2(fileno(file), STDOUT_FILENO);
    gw_flags_print(flags);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    rewind(file);
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    assert_string_equal(text, "  --address ADDRESS  where to listen [environment: SLUICE_TEST_ADDRESS]\n"
                              "  --file FILE        what to read\n"
                              "  --quiet            say nothing [environment: SLUICE_TEST_QUIET]\n"
                              "  --count N          how many [environment: SLUICE_TEST_COUNT]\n"
                              "  --wait DURATION    how long\n"
                              "  --rate RATE        how often\n"
                              "  --help             print this and end\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(every_kind_is_read_in_both_forms, fresh),
        cmocka_unit_test_setup(words_move_to_the_front, fresh),
        cmocka_unit_test_setup(what_is_not_given_keeps_its_default, fresh),
        cmocka_unit_test_setup(the_environment_gives_defaults_and_a_flag_wins, fresh),
        cmocka_unit_test_setup(mistakes_are_refused_in_words, fresh),
        cmocka_unit_test_setup(a_list_is_bounded, fresh),
        cmocka_unit_test_setup(help_is_a_verdict, fresh),
        cmocka_unit_test_setup(the_list_has_two_columns, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
