/* What is known of a collection, against a plain list of the same; and looking into the API server's JSON. */
#include "common/kube_known.h"
#include "common/kube_object.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- known ---- */

static struct gw_kube_known *known_new(void)
{
    struct gw_kube_known *known = NULL;

    assert_int_equal(gw_kube_known_open(&known), 0);
    return known;
}

static void news_tell_versions_from_other_objects_of_the_name(void **state)
{
    GW_AUTO(gw_kube_known_closep) struct gw_kube_known *known = known_new();
    struct gw_kube_entry *entry;

    (void)state;
    assert_int_equal(gw_kube_known_compare(known, &(struct gw_kube_id){"shop", "a", "u1", "5"}),
                     GW_KUBE_NEWS_NEW);
    assert_int_equal(gw_kube_known_put(known, &(struct gw_kube_id){"shop", "a", "u1", "5"}), 0);
    assert_int_equal(gw_kube_known_compare(known, &(struct gw_kube_id){"shop", "a", "u1", "5"}),
                     GW_KUBE_NEWS_NONE);
    assert_int_equal(gw_kube_known_compare(known, &(struct gw_kube_id){"shop", "a", "u1", "6"}),
                     GW_KUBE_NEWS_CHANGED);
    assert_int_equal(gw_kube_known_compare(known, &(struct gw_kube_id){"shop", "a", "u2", "5"}),
                     GW_KUBE_NEWS_REPLACED);
    assert_int_equal(gw_kube_known_compare(known, &(struct gw_kube_id){"", "shopa", "u1", "5"}),
                     GW_KUBE_NEWS_NEW);
    assert_int_equal(gw_kube_known_put(known, &(struct gw_kube_id){"shop", "a", "u1", "10"}), 0);
    assert_int_equal(gw_kube_known_count(known), 1);
    entry = gw_kube_known_take(known, "shop", "a");
    assert_string_equal(gw_kube_entry_id(entry).version, "10");
    assert_string_equal(gw_kube_entry_id(entry).uid, "u1");
    free(entry);
    assert_null(gw_kube_known_take(known, "shop", "a"));
    assert_int_equal(gw_kube_known_count(known), 0);
}

static uint64_t *extra_of(const struct gw_kube_known *known, const char *name)
{
    return gw_kube_entry_extra(gw_kube_known_find(known, "shop", name));
}

static void bytes_of_the_user_stay_with_the_object_through_its_versions(void **state)
{
    GW_AUTO(gw_kube_known_closep) struct gw_kube_known *known = NULL;
    char version[32] = "";

    (void)state;
    assert_int_equal(gw_kube_known_open_with(&known, 2 * sizeof(uint64_t)), 0);
    for (size_t i = 0; i < 20; i++) {
        version[i] = '9'; /* each a byte longer than the last: the extra bytes stay aligned */
        assert_int_equal(gw_kube_known_put(known, &(struct gw_kube_id){"shop", "a", "u1", version}), 0);
        assert_int_equal((uintptr_t)extra_of(known, "a") % _Alignof(max_align_t), 0);
        assert_int_equal(extra_of(known, "a")[1], i);
        extra_of(known, "a")[1]++;
    }
    assert_int_equal(gw_kube_known_put(known, &(struct gw_kube_id){"shop", "a", "u2", "5"}), 0);
    assert_int_equal(extra_of(known, "a")[1], 0);
}

enum { MODEL = 300, STEPS = 200000 };

/* Puts, removals and whole lists at random; after each the table must agree with an array. */
static void a_table_agrees_with_a_plain_array_through_any_changes(void **state)
{
    GW_AUTO(gw_kube_known_closep) struct gw_kube_known *known = known_new();
    int versions[MODEL] = {0};
    size_t count = 0;

    (void)state;
    srandom(7);
    for (int step = 0; step < STEPS; step++) {
        size_t one = (size_t)random() % (step / (STEPS / 4) % 2 == 0 ? MODEL : MODEL / 10);
        char name[16], version[16];
        struct gw_kube_id id = {one % 3 == 0 ? "" : "shop", name, "u", version};

        snprintf(name, sizeof(name), "n%zu", one);
        snprintf(version, sizeof(version), "%d", versions[one]);
        assert_int_equal(gw_kube_known_compare(known, &id),
                         versions[one] == 0 ? GW_KUBE_NEWS_NEW : GW_KUBE_NEWS_NONE);
        if (random() % 5 < 3) {
            count += versions[one] == 0;
            versions[one] = step + 1;
            snprintf(version, sizeof(version), "%d", versions[one]);
            assert_int_equal(gw_kube_known_put(known, &id), 0);
        } else if (random() % 500 == 0) { /* a list of the even ones */
            gw_kube_known_begin(known);
            for (size_t i = 0; i < MODEL; i += 2) {
                snprintf(name, sizeof(name), "n%zu", i);
                gw_kube_known_see(known, i % 3 == 0 ? "" : "shop", name);
            }
            for (struct gw_kube_entry *entry; (entry = gw_kube_known_take_missing(known)) != NULL;) {
                size_t gone = (size_t)atoi(gw_kube_entry_id(entry).name + 1);

                assert_int_equal(gone % 2, 1);
                assert_true(versions[gone] != 0);
                versions[gone] = 0;
                count--;
                free(entry);
            }
            for (size_t i = 1; i < MODEL; i += 2)
                assert_int_equal(versions[i], 0);
        } else {
            struct gw_kube_entry *entry = gw_kube_known_take(known, id.namespace_, id.name);

            assert_int_equal(entry != NULL, versions[one] != 0);
            count -= versions[one] != 0;
            versions[one] = 0;
            free(entry);
        }
        assert_int_equal(gw_kube_known_count(known), count);
    }
}

static void fifty_thousand_objects_take_a_few_megabytes(void **state)
{
    struct mallinfo2 before = mallinfo2(), after;
    struct gw_kube_known *known = known_new();

    (void)state;
    for (int i = 0; i < 50000; i++) {
        char name[64], uid[64], version[32];

        snprintf(name, sizeof(name), "checkout-7d9c6b5f4d-%05d", i);
        snprintf(uid, sizeof(uid), "6f1c2a6e-1c1e-4f0b-9a43-0000000%05d", i);
        snprintf(version, sizeof(version), "%d", 12345678 + i);
        assert_int_equal(gw_kube_known_put(known, &(struct gw_kube_id){"production", name, uid, version}), 0);
    }
    after = mallinfo2();
    printf("50,000 objects: %.1f MB\n",
           (double)(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) / 1e6);
    assert_true(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd < 8000000);
    gw_kube_known_close(known);
}

/* ---- objects ---- */

static void metadata_is_found_wherever_it_stands(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes room = {0};
    struct gw_kube_meta meta;

    (void)state;
    assert_true(gw_kube_meta_read(
        gw_view_text("{\"spec\":{\"metadata\":{\"name\":\"wrong\"}},\"metadata\":{\"labels\":{\"name\":\"x\"}"
                     ",\"uid\":\"u\","
                     "\"name\":\"caf\\u00e9\",\"namespace\":\"shop\",\"resourceVersion\":\"17\"}}"),
        &room, &meta));
    assert_string_equal(meta.name, "café");
    assert_string_equal(meta.namespace_, "shop");
    assert_string_equal(meta.uid, "u");
    assert_string_equal(meta.resource_version, "17");
    assert_string_equal(meta.continue_, "");
    assert_false(gw_kube_meta_read(gw_view_text("{\"kind\":\"ConfigMap\"}"), &room, &meta));
    assert_false(gw_kube_meta_read(gw_view_text("{\"metadata\":null}"), &room, &meta));
    assert_false(gw_kube_meta_read(gw_view_text("<html>"), &room, &meta));
    assert_false(gw_kube_meta_read(gw_view_text("{\"metadata\":{\"name\""), &room, &meta) &&
                 meta.name[0] != '\0');
    assert_false(gw_kube_meta_read(gw_view("", 0), &room, &meta));
}

static void items_of_a_list_get_the_kind_that_the_list_says(void **state)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    struct gw_kube_page page;

    (void)state;
    assert_true(
        gw_kube_page_read(gw_view_text("{\"kind\":\"DeploymentList\",\"apiVersion\":\"apps/v1\",\"metadata\":"
                                       "{},\"items\":[{\"metadata\":{}}]}"),
                          &page));
    gw_kube_item_write(&out, &page, gw_view_text("{\"metadata\":{}}"));
    assert_string_equal(gw_bytes_text(&out),
                        "{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{}}");
    gw_bytes_clear(&out);
    gw_kube_item_write(&out, &page, gw_view_text("{\"kind\":\"Own\"}"));
    assert_string_equal(gw_bytes_text(&out), "{\"kind\":\"Own\"}");
    assert_true(gw_kube_page_read(gw_view_text("{\"kind\":\"ConfigMapList\",\"items\":null}"), &page));
    assert_false(gw_kube_page_read(gw_view_text("{\"kind\":\"Status\"}"), &page));
    assert_false(gw_kube_page_read(gw_view_text("{\"items\":{}}"), &page));
}

static void lines_that_are_no_events_are_refused(void **state)
{
    enum gw_kube_event_type type;
    struct gw_view object;
    static const char *const bad[] = {"",
                                      "{}",
                                      "[]",
                                      "garbage",
                                      "{\"type\":\"ADDED\"}",
                                      "{\"type\":\"ADDED\",\"object\":7}",
                                      "{\"type\":\"SPOILED\",\"object\":{}}",
                                      "{\"type\":1,\"object\":{}}"};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(bad); i++)
        assert_false(gw_kube_event_read(gw_view_text(bad[i]), &type, &object));
    assert_true(
        gw_kube_event_read(gw_view_text("{\"type\":\"DELETED\",\"object\":{\"a\":\"}\"}}"), &type, &object));
    assert_int_equal(type, GW_KUBE_EVENT_DELETED);
    assert_true(gw_view_is(object, "{\"a\":\"}\"}"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(news_tell_versions_from_other_objects_of_the_name),
        cmocka_unit_test(bytes_of_the_user_stay_with_the_object_through_its_versions),
        cmocka_unit_test(a_table_agrees_with_a_plain_array_through_any_changes),
        cmocka_unit_test(fifty_thousand_objects_take_a_few_megabytes),
        cmocka_unit_test(metadata_is_found_wherever_it_stands),
        cmocka_unit_test(items_of_a_list_get_the_kind_that_the_list_says),
        cmocka_unit_test(lines_that_are_no_events_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
