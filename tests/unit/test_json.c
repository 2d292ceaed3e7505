/* JSON: documents, the scanner, the walk, and strings in and out. */
#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void valid_and_invalid_texts_are_told_apart(void **state)
{
    static const char *const good[] = {
        "null",
        " true ",
        "false\n",
        "0",
        "-0",
        "1.5e+10",
        "1E5",
        "12345678901234567890123",
        "\"\"",
        "\"\\u00e9\\n\"",
        "\"\\ud800\"",
        "[]",
        "{}",
        " [ ] ",
        "[1,2,[3,{}]]",
        "{\"a\":{\"b\":[{}]},\"c\":1}",
        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        "[[[[[[]]]]],[]]",
        "{\"\":0}",
        "\"\x7f\"",
        "\t\r\n1",
    };
    static const char *const bad[] = {
        "",
        " ",
        "nul",
        "True",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "0x1",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\n\"",
        "[",
        "[1",
        "[1,]",
        "[,1]",
        "{",
        "{\"a\"",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[}",
        "{]",
        "1 2",
        "[1]]",
        "nullnull",
        "\"\xff\"",
        "\"\xC0\x80\"",
        "\"\xED\xA0\x80\"",
        "\"\xF4\x90\x80\x80\"",
        "\"\xE2\x82\"",
        "\xEF\xBB\xBF"
        "1",
        "[1 2]",
        "{\"a\" 1}",
        "\"a\"\"b\"",
        "NaN",
        "//x",
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(good); i++) {
        if (!gw_json_valid(gw_view_text(good[i])))
            fail_msg("valid: %s", good[i]);
    }
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++) {
        if (gw_json_valid(gw_view_text(bad[i])))
            fail_msg("not valid: %s", bad[i]);
    }
    assert_false(gw_json_valid(gw_view("1\0", 2)));
    assert_false(gw_json_valid(gw_view(NULL, 0)));
}

static void depth_is_bounded(void **state)
{
    char text[2 * GW_JSON_DEPTH_MAX + 2];

    (void)state;
    memset(text, '[', GW_JSON_DEPTH_MAX);
    memset(text + GW_JSON_DEPTH_MAX, ']', GW_JSON_DEPTH_MAX);
    assert_true(gw_json_valid(gw_view(text, 2 * GW_JSON_DEPTH_MAX)));
    memset(text, '[', GW_JSON_DEPTH_MAX + 1);
    memset(text + GW_JSON_DEPTH_MAX + 1, ']', GW_JSON_DEPTH_MAX + 1);
    assert_false(gw_json_valid(gw_view(text, 2 * GW_JSON_DEPTH_MAX + 2)));
}

static void a_check_says_where_and_what(void **state)
{
    size_t offset = 0;
    const char *expected = NULL;

    (void)state;
    assert_false(gw_json_check(gw_view_text("{\"a\" 1}"), &offset, &expected));
    assert_int_equal(offset, 5);
    assert_string_equal(expected, "':' after the key");
    assert_false(gw_json_check(gw_view_text("[1] x"), &offset, &expected));
    assert_int_equal(offset, 4);
    assert_string_equal(expected, "the end of the text");
}

static void a_walk_visits_members_and_elements_raw(void **state)
{
    struct gw_json_walk walk =
        gw_json_walk(gw_view_text(" { \"a\" : 1.00 , \"b\\\"}\":[1,{\"x\":\"]\"}],\"c\":\"q,\\\\\"} "));

    (void)state;
    assert_true(gw_json_next(&walk));
    assert_true(gw_view_is(walk.key, "a"));
    assert_true(gw_view_is(walk.value, "1.00"));
    assert_true(gw_json_next(&walk));
    assert_true(gw_view_is(walk.key, "b\\\"}"));
    assert_true(gw_view_is(walk.value, "[1,{\"x\":\"]\"}]"));
    assert_true(gw_json_next(&walk));
    assert_true(gw_view_is(walk.value, "\"q,\\\\\""));
    assert_false(gw_json_next(&walk));
    assert_false(gw_json_next(&walk));

    walk = gw_json_walk(gw_view_text("[ true,null ,\"x\"]"));
    assert_true(gw_json_next(&walk));
    assert_true(gw_view_is(walk.value, "true"));
    assert_true(gw_json_next(&walk));
    assert_true(gw_view_is(walk.value, "null"));
    assert_true(gw_json_next(&walk));
    assert_true(gw_view_is(walk.value, "\"x\""));
    assert_false(gw_json_next(&walk));

    walk = gw_json_walk(gw_view_text("[]"));
    assert_int_equal(walk.open, '[');
    assert_false(gw_json_next(&walk));
    walk = gw_json_walk(gw_view_text("12"));
    assert_int_equal(walk.open, 0);
    assert_false(gw_json_next(&walk));
}

static void strings_are_unquoted(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    assert_true(gw_json_unquote(&out, gw_view_text("\"a\\u00e9\\ud83d\\ude00\\n\\/\\\"\\u0000z\"")));
    assert_int_equal(out.size, 12);
    assert_memory_equal(out.data, "a\xC3\xA9\xF0\x9F\x98\x80\n/\"\0z", 12);
    assert_false(gw_json_unquote(&out, gw_view_text("\"x\\ud800\"")));
    assert_false(gw_json_unquote(&out, gw_view_text("\"\\ude00\"")));
    assert_false(gw_json_unquote(&out, gw_view_text("\"\\ud800\\u0041\"")));
    assert_false(gw_json_unquote(&out, gw_view_text("1")));
    assert_false(gw_json_unquote(&out, gw_view_text("\"")));
    assert_int_equal(out.size, 12);
}

static void members_and_elements_get_their_commas(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    gw_bytes_append_char(&out, '{');
    gw_json_member_text(&out, "a", "{");
    gw_json_member_number(&out, "b\"", UINT64_MAX);
    gw_json_member_truth(&out, "c", false);
    gw_json_member(&out, "d");
    gw_bytes_append_char(&out, '[');
    for (int i = 0; i < 2; i++) {
        gw_json_element(&out);
        gw_bytes_append_text(&out, "{}");
    }
    gw_bytes_append_text(&out, "]}");
    assert_string_equal(gw_bytes_text(&out),
                        "{\"a\":\"{\",\"b\\\"\":18446744073709551615,\"c\":false,\"d\":[{},{}]}");
}

static void strings_are_quoted(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    gw_json_quote(&out, gw_view("a\"\\\n\x01\xC3\xA9\xff\0", 9));
    assert_string_equal(gw_bytes_text(&out), "\"a\\\"\\\\\\n\\u0001\xC3\xA9\xEF\xBF\xBD\\u0000\"");
    gw_bytes_clear(&out);
    gw_json_quote(&out, gw_view(NULL, 0));
    assert_string_equal(gw_bytes_text(&out), "\"\"");
}

/* Property: whatever the bytes, the quoted form is valid JSON, and valid UTF-8 comes back as it was. */
static void quoting_and_unquoting_are_inverse(void **state)
{
    (void)state;
    for (int round = 0; round < 20000; round++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes quoted = {0};
        GW_AUTO(gw_bytes_done) struct gw_bytes back = {0};
        unsigned char bytes[24];
        size_t size = gw_random_u64() % sizeof(bytes);

        for (size_t i = 0; i < size; i++)
            bytes[i] = (unsigned char)(gw_random_u64() % (round % 2 == 0 ? 256 : 128));
        gw_json_quote(&quoted, gw_view(bytes, size));
        assert_true(gw_json_valid(gw_bytes_view(&quoted)));
        assert_true(gw_json_unquote(&back, gw_bytes_view(&quoted)));
        assert_true(gw_utf8_valid(gw_bytes_view(&back)));
        if (gw_utf8_valid(gw_view(bytes, size)))
            assert_true(gw_view_equal(gw_bytes_view(&back), gw_view(bytes, size)));
    }
}

static void documents_keep_numbers_as_written(void **state)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    const struct gw_node *root = NULL;
    const char *text = "{\"a\":[1.50,12345678901234567890,-0,1E400],\"b\":{\"c\":\"x\\u0000y\"},\"d\":null,"
                       "\"e\":true,\"f\":\"\\u00e9\"}";

    (void)state;
    assert_int_equal(gw_json_read(&arena, gw_view_text(text), &root, &problems), 0);
    gw_json_write_node(&out, root);
    assert_string_equal(gw_bytes_text(&out),
                        "{\"a\":[1.50,12345678901234567890,-0,1E400],\"b\":{\"c\":\"x\\u0000y\"},"
                        "\"d\":null,\"e\":true,\"f\":\"\xC3\xA9\"}");
    assert_int_equal(gw_node_at(root, "b.c")->text_size, 3);
}

static void bad_documents_are_told_with_their_line(void **state)
{
    static const struct {
        const char *text;
        int line;
        const char *path, *words;
    } table[] = {
        {"{\n \"a\": 1,\n \"a\": 2}", 3, "", "the key \"a\" is there twice"},
        {"{\n \"x\": {\"a\": 1,\n \"a\": 2}}", 3, "x", "the key \"a\" is there twice"},
        {"{\n \"a\": 01}", 2, "", "expected ',' or '}'"},
        {"", 1, "", "expected a value"},
        {"\"\\ud800\"", 1, "", "surrogate"},
        {"{\"a\\u0000b\": 1}", 1, "", "NUL"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(table); i++) {
        GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
        GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
        const struct gw_node *root = NULL;

        assert_int_equal(gw_json_read(&arena, gw_view_text(table[i].text), &root, &problems), GW_JSON_BAD);
        assert_null(root);
        assert_int_equal(problems.count, 1);
        assert_int_equal(problems.items[0].line, table[i].line);
        assert_string_equal(problems.items[0].path, table[i].path);
        assert_non_null(strstr(problems.items[0].message, table[i].words));
    }
}

static void pretty_is_for_people(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    (void)state;
    assert_true(gw_json_pretty(&out, gw_view_text(" {\"a\":[1.0,2],\"b\":{},\"c\":[]} ")));
    assert_string_equal(gw_bytes_text(&out),
                        "{\n  \"a\": [\n    1.0,\n    2\n  ],\n  \"b\": {},\n  \"c\": []\n}");
    assert_false(gw_json_pretty(&out, gw_view_text("{")));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_and_invalid_texts_are_told_apart),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(a_check_says_where_and_what),
        cmocka_unit_test(a_walk_visits_members_and_elements_raw),
        cmocka_unit_test(strings_are_unquoted),
        cmocka_unit_test(strings_are_quoted),
        cmocka_unit_test(members_and_elements_get_their_commas),
        cmocka_unit_test(quoting_and_unquoting_are_inverse),
        cmocka_unit_test(documents_keep_numbers_as_written),
        cmocka_unit_test(bad_documents_are_told_with_their_line),
        cmocka_unit_test(pretty_is_for_people),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
