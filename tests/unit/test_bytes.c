/* common/bytes: views, the growing buffer, the arena. */
#include "common/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void views_compare_by_bytes(void **state GW_UNUSED)
{
    assert_true(gw_view_equal(gw_view(NULL, 0), gw_view("", 0)));
    assert_true(gw_view_equal(gw_view("a\0b", 3), gw_view("a\0b", 3)));
    assert_false(gw_view_equal(gw_view("a\0b", 3), gw_view("a\0c", 3)));
    assert_true(gw_view_is(gw_view("abcd", 3), "abc"));
    assert_false(gw_view_is(gw_view("abcd", 3), "abcd"));
    assert_true(gw_view_is(gw_view_text(NULL), ""));
}

static void ascii_case_may_not_count(void **state GW_UNUSED)
{
    assert_true(gw_view_is_nocase(gw_view_text("Content-TYPE"), "content-type"));
    assert_false(gw_view_is_nocase(gw_view_text("content-typ"), "content-type"));
    assert_true(gw_view_starts_nocase(gw_view_text("Bearer xyz"), "bEARER "));
    assert_false(gw_view_starts_nocase(gw_view_text("Bear"), "bearer"));
    /* Only letters: '@' and '`', '[' and '{' are 32 apart too. */
    assert_false(gw_view_is_nocase(gw_view_text("@["), "`{"));
    assert_false(gw_view_is_nocase(gw_view_text("\xC3\x84"), "\xC3\xA4"));
}

static void white_space_is_trimmed_at_both_ends(void **state GW_UNUSED)
{
    assert_true(gw_view_is(gw_view_trim(gw_view_text(" \t\r\n\v\fa b\n ")), "a b"));
    assert_true(gw_view_is(gw_view_trim(gw_view_text(" \t ")), ""));
    assert_true(gw_view_is(gw_view_trim(gw_view_text(NULL)), ""));
}

static void a_buffer_grows(void **state GW_UNUSED)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes bytes = {0};

    assert_string_equal(gw_bytes_text(&bytes), "");
    for (int i = 0; i < 1000; i++) {
        gw_bytes_append_char(&bytes, 'a');
        gw_bytes_append_text(&bytes, "bc");
        gw_bytes_append_view(&bytes, gw_view("de", 1));
    }
    gw_bytes_append(&bytes, NULL, 0);
    gw_bytes_append_text(&bytes, NULL);
    assert_int_equal(bytes.size, 4000);
    assert_memory_equal(bytes.data + 3996, "abcd", 4);
    assert_int_equal(strlen(gw_bytes_text(&bytes)), 4000);
    assert_int_equal(bytes.size, 4000);
    gw_bytes_clear(&bytes);
    assert_int_equal(bytes.size, 0);
    assert_true(bytes.capacity >= 4000);
}

static void printing_finds_its_room(void **state GW_UNUSED)
{
    for (int size = 0; size < 600; size++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes bytes = {0};
        gw_bytes_printf(&bytes, "%d:%*s.", 7, size, "");
        assert_int_equal(bytes.size, (size_t)size + 3);
        assert_memory_equal(bytes.data, "7:", 2);
        assert_int_equal(bytes.data[bytes.size - 1], '.');
    }
}

static void a_failed_append_is_remembered(void **state GW_UNUSED)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes bytes = {0};

    gw_bytes_append_text(&bytes, "kept");
    assert_null(gw_bytes_reserve(&bytes, SIZE_MAX - 2));
    assert_true(bytes.failed);
    gw_bytes_append_text(&bytes, "lost");
    gw_bytes_printf(&bytes, "lost");
    assert_int_equal(bytes.size, 4);
    assert_null(gw_bytes_text(&bytes));
    gw_bytes_clear(&bytes);
    gw_bytes_append_text(&bytes, "again");
    assert_string_equal(gw_bytes_text(&bytes), "again");
}

static void an_arena_gives_zeroed_aligned_memory(void **state GW_UNUSED)
{
    struct gw_arena arena = {0};

    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *memory = gw_arena_alloc(&arena, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(memory[i], 0);
        memset(memory, 0xAA, size);
    }
    assert_non_null(gw_arena_alloc(&arena, 1000000));
    assert_null(gw_arena_alloc(&arena, SIZE_MAX));
    gw_arena_done(&arena);
    assert_null(arena.blocks);
    gw_arena_done(&arena);
}

static void an_arena_copies_and_prints(void **state GW_UNUSED)
{
    struct gw_arena arena = {0};
    char *copy = gw_arena_copy(&arena, gw_view("a\0bc", 3));
    char *empty = gw_arena_copy(&arena, gw_view(NULL, 0));
    char *printed = gw_arena_printf(&arena, "%s.%d", "spec", 4);

    assert_memory_equal(copy, "a\0b", 4);
    assert_string_equal(empty, "");
    assert_string_equal(printed, "spec.4");
    gw_arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_compare_by_bytes),
        cmocka_unit_test(ascii_case_may_not_count),
        cmocka_unit_test(white_space_is_trimmed_at_both_ends),
        cmocka_unit_test(a_buffer_grows),
        cmocka_unit_test(printing_finds_its_room),
        cmocka_unit_test(a_failed_append_is_remembered),
        cmocka_unit_test(an_arena_gives_zeroed_aligned_memory),
        cmocka_unit_test(an_arena_copies_and_prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
