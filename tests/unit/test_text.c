/* common/text: UTF-8, likeness, numbers, durations, encodings. */
#include "common/text.h"

#include "common/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void text_is_cut_between_characters(void **state GW_UNUSED)
{
    struct gw_view text = gw_view_text("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80z"); /* 1, 2, 3, 4, 1 bytes */
    static const size_t kept[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};

    for (size_t max = 0; max < GW_COUNT_OF(kept); max++)
        assert_int_equal(gw_utf8_cut(text, max).size, kept[max]);
    assert_int_equal(gw_utf8_cut(gw_view_text("\x80\x80\x80\x80\x80\x80"), 5).size, 5);
}

static void utf8_is_checked_to_the_letter(void **state GW_UNUSED)
{
    static const char *const good[] = {"",
                                       "plain",
                                       "\xC2\x80",
                                       "\xDF\xBF",
                                       "\xE0\xA0\x80",
                                       "\xED\x9F\xBF",
                                       "\xEE\x80\x80",
                                       "\xEF\xBF\xBF",
                                       "\xF0\x90\x80\x80",
                                       "\xF4\x8F\xBF\xBF"};
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xC2",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xE2\x82",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFF",
                                      "a\xE2\x28\xA1",
                                      "\xF0\x90\x80",
                                      "\xF0\x90\x80q"};

    for (size_t i = 0; i < GW_COUNT_OF(good); i++)
        assert_true(gw_utf8_valid(gw_view_text(good[i])));
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++)
        assert_false(gw_utf8_valid(gw_view_text(bad[i])));
    assert_true(gw_utf8_valid(gw_view("a\0b", 3)));
    assert_false(gw_utf8_valid(gw_view("\xE2\x82\xAC", 2)));
}

/* All code points by the definition: encoded and accepted, except surrogates. */
static void every_character_is_valid_and_no_surrogate_is(void **state GW_UNUSED)
{
    for (uint32_t c = 0x800; c < 0x110000; c += c % 251 + 1) {
        char text[4];
        size_t size = c < 0x10000 ? 3 : 4;
        for (size_t i = size; i-- > 1;)
            text[i] = (char)(0x80 | (c >> (6 * (size - 1 - i)) & 0x3F));
        text[0] = (char)((size == 3 ? 0xE0 : 0xF0) | c >> (6 * (size - 1)));
        assert_int_equal(gw_utf8_valid(gw_view(text, size)), c < 0xD800 || c > 0xDFFF);
    }
}

static void the_nearest_name_is_found(void **state GW_UNUSED)
{
    static const char *const names[] = {"schedule", "interval", "timezone", "userPayload", "port", NULL};

    assert_string_equal(gw_text_nearest("shedule", names), "schedule");
    assert_string_equal(gw_text_nearest("TimeZone", names), "timezone");
    assert_string_equal(gw_text_nearest("tiemzone", names), "timezone");
    assert_string_equal(gw_text_nearest("user_payload", names), "userPayload");
    assert_string_equal(gw_text_nearest("prot", names), "port");
    assert_null(gw_text_nearest("x", names));
    assert_null(gw_text_nearest("", names));
    assert_null(gw_text_nearest("completely", names));
    assert_null(
        gw_text_nearest("a very long word that nobody would ever have meant as the name of a field", names));
    assert_null(gw_text_nearest("schedule", (const char *const[]){NULL}));
}

static void numbers_are_whole_and_bounded(void **state GW_UNUSED)
{
    static const char *const bad[] = {"",
                                      "-",
                                      "+",
                                      "1.0",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "--1",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "99999999999999999999999"};
    int64_t value = 7;
    uint64_t natural = 7;

    for (size_t i = 0; i < GW_COUNT_OF(bad); i++)
        assert_false(gw_text_i64(gw_view_text(bad[i]), INT64_MIN, INT64_MAX, &value));
    assert_int_equal(value, 7);
    assert_true(gw_text_i64(gw_view_text("-9223372036854775808"), INT64_MIN, INT64_MAX, &value) &&
                value == INT64_MIN);
    assert_true(gw_text_i64(gw_view_text("9223372036854775807"), INT64_MIN, INT64_MAX, &value) &&
                value == INT64_MAX);
    assert_true(gw_text_i64(gw_view_text("0080"), 1, 65535, &value) && value == 80);
    assert_false(gw_text_i64(gw_view_text("65536"), 1, 65535, &value));
    assert_false(gw_text_i64(gw_view_text("0"), 1, 65535, &value));
    assert_true(gw_text_u64(gw_view_text("18446744073709551615"), UINT64_MAX, &natural) &&
                natural == UINT64_MAX);
    assert_false(gw_text_u64(gw_view_text("18446744073709551616"), UINT64_MAX, &natural));
    assert_false(gw_text_u64(gw_view_text("+1"), UINT64_MAX, &natural));
    assert_false(gw_text_u64(gw_view_text("11"), 10, &natural));
}

static void sizes_are_read_as_people_write_them(void **state GW_UNUSED)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } rows[] = {{"0", 0},
                {"65536", 65536},
                {"64Ki", 65536},
                {"64KiB", 65536},
                {"5B", 5},
                {"1k", 1000},
                {"1kB", 1000},
                {"1M", 1000000},
                {"1Mi", 1048576},
                {"2Gi", UINT64_C(2147483648)},
                {"3G", UINT64_C(3000000000)}};
    static const char *const bad[] = {"",    "Ki",    "1.5Mi", "-1", "1 Ki",
                                      "1ki", "1KiBB", "1BB",   "1X", "17179869184Gi"};
    uint64_t bytes = 1;

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
        assert_true(gw_text_size(gw_view_text(rows[i].text), &bytes) && bytes == rows[i].bytes);
    bytes = 1;
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++)
        assert_false(gw_text_size(gw_view_text(bad[i]), &bytes));
    assert_int_equal(bytes, 1);
}

static const int64_t second = GW_NS_PER_S, minute = 60 * GW_NS_PER_S, hour = 3600 * GW_NS_PER_S;

/* The rows of Go's own test of time.ParseDuration (facts: text and value). */
static void durations_are_read_as_go_reads_them(void **state GW_UNUSED)
{
    const struct {
        const char *text;
        int64_t ns;
    } rows[] = {
        {"0", 0},
        {"-0", 0},
        {"+0", 0},
        {"5s", 5 * second},
        {"30s", 30 * second},
        {"1478s", 1478 * second},
        {"-5s", -5 * second},
        {"+5s", 5 * second},
        {"5.0s", 5 * second},
        {"5.6s", 5 * second + 600 * GW_NS_PER_MS},
        {"5.s", 5 * second},
        {".5s", 500 * GW_NS_PER_MS},
        {"1.0040s", second + 4 * GW_NS_PER_MS},
        {"100.00100s", 100 * second + GW_NS_PER_MS},
        {"10ns", 10},
        {"11us", 11 * GW_NS_PER_US},
        {"12\xC2\xB5s", 12 * GW_NS_PER_US},
        {"12\xCE\xBCs", 12 * GW_NS_PER_US},
        {"13ms", 13 * GW_NS_PER_MS},
        {"15m", 15 * minute},
        {"16h", 16 * hour},
        {"3h30m", 3 * hour + 30 * minute},
        {"10.5s4m", 4 * minute + 10 * second + 500 * GW_NS_PER_MS},
        {"-2m3.4s", -(2 * minute + 3 * second + 400 * GW_NS_PER_MS)},
        {"1h2m3s4ms5us6ns", hour + 2 * minute + 3 * second + 4 * GW_NS_PER_MS + 5 * GW_NS_PER_US + 6},
        {"39h9m14.425s", 39 * hour + 9 * minute + 14 * second + 425 * GW_NS_PER_MS},
        {"52763797000ns", INT64_C(52763797000)},
        {"0.3333333333333333333h", 20 * minute},
        {"9007199254740993ns", (INT64_C(1) << 53) + 1},
        {"9223372036854775807ns", INT64_MAX},
        {"9223372036854775.807us", INT64_MAX},
        {"9223372036s854ms775us807ns", INT64_MAX},
        {"-9223372036854775808ns", INT64_MIN},
        {"-9223372036854775.808us", INT64_MIN},
        {"-9223372036s854ms775us808ns", INT64_MIN},
        {"-2562047h47m16.854775808s", INT64_MIN},
        {"0.100000000000000000000h", 6 * minute},
        {"0.830103483285477580700h", 49 * minute + 48 * second + INT64_C(372539827)},
    };

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        int64_t ns = 1;
        if (!gw_duration_parse(gw_view_text(rows[i].text), &ns) || ns != rows[i].ns)
            fail_msg("%s gives %lld", rows[i].text, (long long)ns);
    }
}

static void what_go_refuses_is_refused(void **state GW_UNUSED)
{
    static const char *const rows[] = {"",
                                       "3",
                                       "-",
                                       "s",
                                       ".",
                                       "-.",
                                       ".s",
                                       "+.s",
                                       "1d",
                                       "1 s",
                                       " 1s",
                                       "1s ",
                                       "1S",
                                       "1.2.3s",
                                       "--1s",
                                       "1s-1s",
                                       "00",
                                       "0.0",
                                       "\x85\x85",
                                       "\xFF\xFF",
                                       "hello \xFF\xFF world",
                                       "1\xC2s",
                                       "9223372036854775810ns",
                                       "9223372036854775808ns",
                                       "-9223372036854775809ns",
                                       "9223372036854776us",
                                       "3000000h",
                                       "9223372036854775.808us",
                                       "9223372036854ms775us808ns"};
    int64_t ns = 42;

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
        if (gw_duration_parse(gw_view_text(rows[i]), &ns))
            fail_msg("\"%s\" was taken as %lld", rows[i], (long long)ns);
    assert_int_equal(ns, 42);
}

static void durations_are_written_as_go_writes_them(void **state GW_UNUSED)
{
    const struct {
        int64_t ns;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {1, "1ns"},
        {999, "999ns"},
        {1100, "1.1\xC2\xB5s"},
        {2200 * GW_NS_PER_US, "2.2ms"},
        {300 * GW_NS_PER_MS, "300ms"},
        {3300 * GW_NS_PER_MS, "3.3s"},
        {90 * second, "1m30s"},
        {4 * minute + 5 * second, "4m5s"},
        {4 * minute + 5001 * GW_NS_PER_MS, "4m5.001s"},
        {5 * hour + 6 * minute + 7001 * GW_NS_PER_MS, "5h6m7.001s"},
        {8 * minute + 1, "8m0.000000001s"},
        {hour, "1h0m0s"},
        {-second - 500 * GW_NS_PER_MS, "-1.5s"},
        {INT64_MAX, "2562047h47m16.854775807s"},
        {INT64_MIN, "-2562047h47m16.854775808s"},
    };
    char buffer[GW_DURATION_MAX];

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
        assert_string_equal(gw_duration_format(buffer, rows[i].ns), rows[i].text);
}

static void whatever_duration_is_written_reads_back(void **state GW_UNUSED)
{
    char buffer[GW_DURATION_MAX];

    for (int i = 0; i < 200000; i++) {
        int64_t ns = (int64_t)gw_random_u64() >> (gw_random_u64() % 64), back;
        gw_duration_format(buffer, ns);
        if (!gw_duration_parse(gw_view_text(buffer), &back) || back != ns)
            fail_msg("%lld is written %s", (long long)ns, buffer);
    }
}

static void odd_durations_mean_what_go_says(void **state GW_UNUSED)
{
    static const struct {
        const char *text;
        int64_t ns;
        const char *printed;
    } rows[] = {
#include "durations_by_go.inc"
    };
    char buffer[GW_DURATION_MAX];

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        int64_t ns = 0;
        bool good = gw_duration_parse(gw_view_text(rows[i].text), &ns);
        if (good != (rows[i].printed != NULL) || ns != rows[i].ns)
            fail_msg("%s gives %lld", rows[i].text, (long long)ns);
        if (good)
            assert_string_equal(gw_duration_format(buffer, ns), rows[i].printed);
    }
}

static const char *encoded(void (*encode)(struct gw_bytes *, struct gw_view), const char *text, size_t size)
{
    static struct gw_bytes out;
    static char copy[256];

    gw_bytes_clear(&out);
    encode(&out, gw_view(text, size));
    snprintf(copy, sizeof(copy), "%s", gw_bytes_text(&out));
    gw_bytes_done(&out);
    return copy;
}

static void base64_is_that_of_rfc_4648(void **state GW_UNUSED)
{
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"},
                                          {"\xFB\xFF", "+/8="}};
    static const char *const bad[] = {"Z",        "Zg",   "Zg=",  "Zg===", "====",   "Zh==",    "Zm9=",
                                      "Zm8=Zm8=", "Zm 9", "Zm-_", "Z===",  "Zg==\n", "Zg==Zg=="};
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    for (size_t i = 0; i < GW_COUNT_OF(rows); i++) {
        assert_string_equal(encoded(gw_base64_encode, rows[i][0], strlen(rows[i][0])), rows[i][1]);
        gw_bytes_clear(&out);
        gw_bytes_append_char(&out, '>');
        assert_true(gw_base64_decode(&out, gw_view_text(rows[i][1])));
        assert_string_equal(gw_bytes_text(&out) + 1, rows[i][0]);
    }
    gw_bytes_clear(&out);
    gw_bytes_append_char(&out, '>');
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++)
        assert_false(gw_base64_decode(&out, gw_view_text(bad[i])));
    assert_string_equal(gw_bytes_text(&out), ">");
}

static void bytes_survive_base64_and_hex(void **state GW_UNUSED)
{
    char data[300];

    for (size_t size = 0; size < sizeof(data); size++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
        GW_AUTO(gw_bytes_done) struct gw_bytes back = {0};
        for (size_t i = 0; i < size; i++)
            data[i] = (char)gw_random_u64();
        gw_base64_encode(&text, gw_view(data, size));
        assert_true(gw_base64_decode(&back, gw_bytes_view(&text)));
        gw_bytes_clear(&text);
        gw_hex_encode(&text, gw_view(data, size));
        assert_true(gw_hex_decode(&back, gw_bytes_view(&text)));
        assert_int_equal(back.size, 2 * size);
        assert_true(gw_view_equal(gw_view(back.data, size), gw_view(data, size)));
        assert_true(gw_view_equal(gw_view(size == 0 ? NULL : back.data + size, size), gw_view(data, size)));
    }
}

static void hex_takes_either_case(void **state GW_UNUSED)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    assert_string_equal(encoded(gw_hex_encode, "\x00\xAF\x10", 3), "00af10");
    assert_true(gw_hex_decode(&out, gw_view_text("4aFf")));
    assert_true(gw_view_is(gw_bytes_view(&out), "J\xFF"));
    assert_false(gw_hex_decode(&out, gw_view_text("4")));
    assert_false(gw_hex_decode(&out, gw_view_text("414g")));
    assert_false(gw_hex_decode(&out, gw_view_text("0x")));
    assert_int_equal(out.size, 2);
}

static void header_values_are_encoded_as_cloudevents_say(void **state GW_UNUSED)
{
    assert_string_equal(encoded(gw_percent_encode_header, "Euro \xE2\x82\xAC \"100%\"", 15),
                        "Euro%20%E2%82%AC%20%22100%25%22");
    assert_string_equal(encoded(gw_percent_encode_header, "a\x7F\n~!", 5), "a%7F%0A~!");
}

static void percent_decoding_is_one_pass(void **state GW_UNUSED)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};

    assert_true(gw_percent_decode(&out, gw_view_text("a%2541+b%20%e2%82%AC"), false));
    assert_string_equal(gw_bytes_text(&out), "a%41+b \xE2\x82\xAC");
    gw_bytes_clear(&out);
    assert_true(gw_percent_decode(&out, gw_view_text("a+b%2B"), true));
    assert_string_equal(gw_bytes_text(&out), "a b+");
    static const char *const bad[] = {"%", "%4", "%4g", "x%", "%FF", "%C3", "%ED%A0%80", "\xFF"};
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++)
        assert_false(gw_percent_decode(&out, gw_view_text(bad[i]), false));
    assert_string_equal(gw_bytes_text(&out), "a b+");
    assert_true(gw_percent_decode(&out, gw_view_text(""), false));
}

static void fnv1a_is_the_published_one(void **state GW_UNUSED)
{
    assert_int_equal(gw_fnv1a32(gw_view_text(""), gw_view_text("")), 0x811C9DC5U);
    assert_int_equal(gw_fnv1a32(gw_view_text("a"), gw_view_text("")), 0xE40C292CU);
    assert_int_equal(gw_fnv1a32(gw_view_text("foo"), gw_view_text("bar")), 0xBF9CF968U);
}

static void equality_in_constant_time_is_equality(void **state GW_UNUSED)
{
    assert_true(gw_equal_constant_time(gw_view_text("secret"), gw_view_text("secret")));
    assert_false(gw_equal_constant_time(gw_view_text("secret"), gw_view_text("secres")));
    assert_false(gw_equal_constant_time(gw_view_text("secret"), gw_view_text("tecret")));
    assert_false(gw_equal_constant_time(gw_view_text("secret"), gw_view_text("secre")));
    assert_true(gw_equal_constant_time(gw_view_text(""), gw_view(NULL, 0)));
}

static void names_of_objects_are_those_of_rfc_1123(void **state)
{
    static const char *const labels[] = {"a", "0", "shop", "shop-2", "a--b"};
    static const char *const names[] = {"a.b", "kube-root-ca.crt", "v1alpha1.shop-2.example.org"};
    static const char *const neither[] = {"",  "-",  "-a", "a-",   "A",    "a_b",  "a/b",
                                          ".", ".a", "a.", "a..b", "a.-b", "a-.b", "ä"};
    char text[255];

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(labels); i++) {
        assert_true(gw_dns_label_valid(gw_view_text(labels[i])));
        assert_true(gw_dns_name_valid(gw_view_text(labels[i])));
    }
    for (size_t i = 0; i < GW_COUNT_OF(names); i++) {
        assert_false(gw_dns_label_valid(gw_view_text(names[i])));
        assert_true(gw_dns_name_valid(gw_view_text(names[i])));
    }
    for (size_t i = 0; i < GW_COUNT_OF(neither); i++) {
        assert_false(gw_dns_label_valid(gw_view_text(neither[i])));
        assert_false(gw_dns_name_valid(gw_view_text(neither[i])));
    }
    memset(text, 'a', sizeof(text));
    assert_true(gw_dns_label_valid(gw_view(text, 63)));
    assert_false(gw_dns_label_valid(gw_view(text, 64)));
    assert_true(gw_dns_name_valid(gw_view(text, 253)));
    assert_false(gw_dns_name_valid(gw_view(text, 254)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_checked_to_the_letter),
        cmocka_unit_test(text_is_cut_between_characters),
        cmocka_unit_test(every_character_is_valid_and_no_surrogate_is),
        cmocka_unit_test(the_nearest_name_is_found),
        cmocka_unit_test(names_of_objects_are_those_of_rfc_1123),
        cmocka_unit_test(numbers_are_whole_and_bounded),
        cmocka_unit_test(sizes_are_read_as_people_write_them),
        cmocka_unit_test(durations_are_read_as_go_reads_them),
        cmocka_unit_test(what_go_refuses_is_refused),
        cmocka_unit_test(durations_are_written_as_go_writes_them),
        cmocka_unit_test(odd_durations_mean_what_go_says),
        cmocka_unit_test(whatever_duration_is_written_reads_back),
        cmocka_unit_test(base64_is_that_of_rfc_4648),
        cmocka_unit_test(bytes_survive_base64_and_hex),
        cmocka_unit_test(hex_takes_either_case),
        cmocka_unit_test(header_values_are_encoded_as_cloudevents_say),
        cmocka_unit_test(percent_decoding_is_one_pass),
        cmocka_unit_test(fnv1a_is_the_published_one),
        cmocka_unit_test(equality_in_constant_time_is_equality),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
