/* YAML into node trees: typing, lines, aliases, and what is refused. */
#include "common/json.h"
#include "common/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct read {
    struct gw_arena arena;
    struct gw_problems problems;
    const struct gw_node *root;
    int result;
};

static struct read read_text(const char *text)
{
    struct read read = {.root = NULL};

    read.result = gw_yaml_read(&read.arena, gw_view_text(text), &read.root, &read.problems);
    return read;
}

static void read_done(struct read *read)
{
    gw_arena_done(&read->arena);
    gw_problems_done(&read->problems);
}

static void assert_json(const char *yaml, const char *json)
{
    GW_AUTO(read_done) struct read read = read_text(yaml);
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    struct gw_reason reason = {""};

    gw_problems_reason(&read.problems, &reason);
    if (read.result != 0)
        fail_msg("%s: %s", yaml, reason.text);
    gw_json_write_node(&out, read.root);
    assert_string_equal(gw_bytes_text(&out), json);
}

static void assert_bad(const char *yaml, int line, const char *path, const char *words)
{
    GW_AUTO(read_done) struct read read = read_text(yaml);

    assert_int_equal(read.result, GW_YAML_BAD);
    assert_null(read.root);
    assert_true(read.problems.count >= 1);
    if (strstr(read.problems.items[0].message, words) == NULL)
        fail_msg("\"%s\" is not in: %s", words, read.problems.items[0].message);
    assert_string_equal(read.problems.items[0].path, path);
    assert_int_equal(read.problems.items[0].line, line);
}

static void scalars_are_typed_as_yaml_v2_does_it(void **state)
{
    static const char *const table[][2] = {
        {"", "null"},
        {"~", "null"},
        {"Null", "null"},
        {"yes", "true"},
        {"On", "true"},
        {"y", "true"},
        {"N", "false"},
        {"off", "false"},
        {"TRUE", "true"},
        {"tRue", "\"tRue\""},
        {"12012", "12012"},
        {"-7", "-7"},
        {"+7", "7"},
        {"-0", "-0"},
        {"1_000", "1000"},
        {"0x1F", "31"},
        {"-0x1f", "-31"},
        {"0o17", "15"},
        {"017", "15"},
        {"089", "89"},
        {"0b101", "5"},
        {"0x", "\"0x\""},
        {"0xfffffffffffffffff", "\"0xfffffffffffffffff\""},
        {"123456789012345678901234567890", "123456789012345678901234567890"},
        {"1.50", "1.50"},
        {"1.", "1"},
        {".5", "0.5"},
        {"-.5", "-0.5"},
        {"+1.5e3", "1.5e3"},
        {"1E-7", "1e-7"},
        {"1e", "\"1e\""},
        {".", "\".\""},
        {"-", "null"},
        {"1.2.3", "\"1.2.3\""},
        {"12:30:45", "\"12:30:45\""},
        {"2001-01-01", "\"2001-01-01\""},
        {"127.0.0.1", "\"127.0.0.1\""},
        {"'12'", "\"12\""},
        {"\"yes\"", "\"yes\""},
        {"!!str 12", "\"12\""},
        {"! 12", "\"12\""},
        {"!!int 0x10", "16"},
        {"!!float 1", "1"},
        {"!!bool on", "true"},
        {"|\n  a\n  b\n", "\"a\\nb\\n\""},
        {"|-\n  a\n  b\n", "\"a\\nb\""},
        {">-\n  a\n  b\n", "\"a b\""},
        {"\"a\\0b\"", "\"a\\u0000b\""},
        {"15 2 * * 1-5", "\"15 2 * * 1-5\""},
        {"{\"a\": [1, true, null]}", "{\"a\":[1,true,null]}"},
        {"- 1\n- - 2\n  - x\n", "[1,[2,\"x\"]]"},
        {"on: 1\n12: 2\n", "{\"on\":1,\"12\":2}"},
        {"{}", "{}"},
        {"[]", "[]"},
        {"---\na: b\n...\n", "{\"a\":\"b\"}"},
        {"# only a comment\n", "null"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(table); i++) {
        if (strcmp(table[i][0], "-") == 0)
            continue; /* an empty entry of a list */
        assert_json(table[i][0], table[i][1]);
    }
    assert_json("-", "[null]");
}

static void aliases_and_merges_work(void **state)
{
    (void)state;
    assert_json("a: &x {p: 1, q: 2}\nb: *x\n", "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":2}}");
    assert_json("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n",
                "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1}}");
    assert_json("a: &x {p: 1}\nb: &y {p: 2, q: 2}\nc: {<<: [*x, *y]}\n",
                "{\"a\":{\"p\":1},\"b\":{\"p\":2,\"q\":2},\"c\":{\"p\":1,\"q\":2}}");
    assert_json("\"<<\": 1\n", "{\"<<\":1}");
    assert_json("&k key: 1\nother: *k\n", "{\"key\":1,\"other\":\"key\"}");
    assert_bad("a: &x 1\nb: {<<: *x}\n", 2, "b", "<< takes a mapping");
    assert_bad("a: *x\n", 1, "a", "unknown alias *x");
    assert_bad("&a [*a]\n", 1, "[0]", "unknown alias *a");
}

static void nodes_know_their_lines(void **state)
{
    GW_AUTO(read_done)
    struct read read =
        read_text("# comment\ndata:\n  orders: |-\n    port: 1\n\n  q: \"x\"\n  l:\n  - 1\n  - 2\n");

    (void)state;
    assert_int_equal(read.result, 0);
    assert_int_equal(gw_node_get(read.root, "data")->key_line, 2);
    assert_int_equal(gw_node_at(read.root, "data.orders")->line, 3);
    assert_int_equal(gw_node_at(read.root, "data.orders")->text_line, 4);
    assert_int_equal(gw_node_at(read.root, "data.q")->text_line, 6);
    assert_int_equal(gw_node_at(read.root, "data.l")->first->next->line, 9);
}

static void what_is_wrong_is_said_with_its_line(void **state)
{
    (void)state;
    assert_bad("a: 1\nb:\n  c: 2\n  c: 3\n", 4, "b", "the key \"c\" is there twice");
    assert_bad("a: 1\n---\nb: 2\n", 2, "", "a second document");
    assert_bad("a:\n\tb: 1\n", 2, "", "a tab");
    assert_bad("\xC3\xA9: 1\nb: \"\xC3\xA9\"\n\tc: 1\n", 3, "", "a tab");
    assert_bad("schedule: * * * * *\n", 1, "", "text that begins with * has to be in quotes");
    assert_bad("schedule: @hourly\n", 1, "", "text that begins with @ or ` has to be in quotes");
    assert_bad("a: b: c\n", 1, "", "has to be in quotes");
    assert_bad("a: [1, 2\nb: 3\n", 2, "", "not YAML");
    assert_bad("a: \"\xff\"\n", 1, "", "not YAML");
    assert_bad("a: !mine 1\n", 1, "a", "the tag !mine");
    assert_bad("a: !!int x\n", 1, "a", "the tag");
    assert_bad("a: !!set {x}\n", 1, "a", "the tag");
    assert_bad("a: .inf\n", 1, "a", "JSON does not have");
    assert_bad("? [a]\n: 1\n", 1, "", "a key that is not text");
    assert_bad("? {a: b}\n: 1\n", 1, "", "a key that is not text");
    assert_bad("? \"a\\0b\"\n: 1\n", 1, "", "a key that is not text");
}

static void texts_without_bounds_are_refused(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    (void)state;
    gw_bytes_append_text(&text, "- &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 12; i++) {
        gw_bytes_printf(&text, "- &a%d [", i);
        for (int j = 0; j < 10; j++)
            gw_bytes_printf(&text, "*a%d,", i - 1);
        gw_bytes_append_text(&text, "]\n");
    }
    assert_bad(gw_bytes_text(&text), 6, "[5][0]", "too large");

    gw_bytes_clear(&text);
    for (int i = 0; i < 200; i++)
        gw_bytes_append_char(&text, '[');
    assert_bad(gw_bytes_text(&text), 1, "", "too deep");

    gw_bytes_clear(&text);
    gw_bytes_append_text(&text, "- &a0 [x]\n");
    for (int i = 1; i < 150; i++)
        gw_bytes_printf(&text, "- &a%d [*a%d]\n", i, i - 1);
    assert_bad(gw_bytes_text(&text), 99, "", "too deep");

    gw_bytes_clear(&text);
    while (text.size <= GW_YAML_TEXT_MAX)
        gw_bytes_append_text(&text, "# a comment that is read, and read, and read\n");
    assert_bad(gw_bytes_text(&text), 0, "", "too large");
}

static void a_mapping_with_very_many_keys_is_read_fast(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    (void)state;
    for (int i = 0; i < 100000; i++)
        gw_bytes_printf(&text, "k%d: %d\n", i, i);
    GW_AUTO(read_done) struct read read = read_text(gw_bytes_text(&text));
    assert_int_equal(read.result, 0);
    assert_int_equal(read.root->count, 100000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_are_typed_as_yaml_v2_does_it),
        cmocka_unit_test(aliases_and_merges_work),
        cmocka_unit_test(nodes_know_their_lines),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(texts_without_bounds_are_refused),
        cmocka_unit_test(a_mapping_with_very_many_keys_is_read_fast),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
