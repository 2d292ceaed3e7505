/* CloudEvents: the object, its checks, and its forms over HTTP, both ways. */
#include "common/cloudevent.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <cmocka.h>

#define V(text) gw_view((text), sizeof(text) - 1)
#define UUID    "5b0d9a0e-4f8f-4a86-9d1b-0b7a3b8f2c11"

static int64_t at(const char *text)
{
    int64_t ns = 0;

    assert_true(gw_time_parse(gw_view_text(text), &ns));
    return ns;
}

static struct gw_event_fields an_event(void)
{
    return (struct gw_event_fields){
        .id = V(UUID),
        .source = V("/shop/orders"),
        .type = V("com.acme.paid"),
        .data_content_type = V("application/json"),
        .time_ns = at("2026-03-01T08:30:00.123456Z"),
        .data = V("{\"sku\":\"A-1\"}"),
        .gateway = V("shop-gw"),
        .event_source = V("orders"),
        .kind = V("webhook"),
    };
}

struct request {
    struct gw_bytes headers, body;
    size_t count;
    struct gw_view sent;
};

static void request_done(struct request *request)
{
    gw_bytes_done(&request->headers);
    gw_bytes_done(&request->body);
}

static struct request encoded(const struct gw_event_fields *fields, enum gw_event_mode mode)
{
    GW_AUTO(gw_event_unrefp) struct gw_event *event = gw_event_new(fields);
    struct request request = {0};

    assert_non_null(event);
    assert_int_equal(gw_event_encode((const struct gw_event *const[]){event}, 1, mode, &request.headers,
                                     &request.count, &request.body, &request.sent),
                     0);
    /* binary bodies point to the event, which ends here */
    if (request.sent.size > 0 && (request.body.data == NULL || request.sent.data != request.body.data)) {
        gw_bytes_clear(&request.body);
        gw_bytes_append_view(&request.body, request.sent);
        request.sent = gw_bytes_view(&request.body);
    }
    return request;
}

static void assert_body(const struct gw_event_fields *fields, enum gw_event_mode mode, const char *expected)
{
    GW_AUTO(request_done) struct request request = encoded(fields, mode);

    gw_bytes_append_char(&request.body, '\0');
    assert_string_equal(request.sent.size == 0 ? "" : request.body.data, expected);
}

static void assert_headers(const struct gw_event_fields *fields, enum gw_event_mode mode,
                           const char *const *expected)
{
    GW_AUTO(request_done) struct request request = encoded(fields, mode);
    const char *line = request.headers.data;
    size_t i;

    for (i = 0; i < request.count; i++) {
        assert_non_null(expected[i]);
        assert_string_equal(line, expected[i]);
        line += strlen(line) + 1;
    }
    assert_null(expected[i]);
    assert_true(line == request.headers.data + request.headers.size);
}

/* ---- a request to decode ---- */

struct pair {
    const char *name, *value;
};
static const char *find_header(const void *request, const char *name)
{
    for (const struct pair *pair = request; pair->name != NULL; pair++)
        if (strcasecmp(pair->name, name) == 0)
            return pair->value;
    return NULL;
}
static void walk_headers(const void *request, void (*each)(void *user, const char *name, const char *value),
                         void *user)
{
    for (const struct pair *pair = request; pair->name != NULL; pair++)
        each(user, pair->name, pair->value);
}

struct got {
    struct gw_event *events[8];
    size_t count;
    struct gw_reason reason;
    int verdict;
};
static int keep(void *user, const struct gw_event_fields *fields)
{
    struct got *got = user;

    got->events[got->count++] = gw_event_new(fields);
    return 0;
}
static void got_done(struct got *got)
{
    for (size_t i = 0; i < got->count; i++)
        gw_event_unref(got->events[i]);
}
static struct got decoded(const struct pair *headers, struct gw_view body)
{
    struct gw_event_source_http http = {find_header, walk_headers, headers, body};
    struct got got = {.reason = {""}};

    got.verdict = gw_event_decode(&http, keep, &got, &got.reason);
    return got;
}
static struct got decoded_json(const char *body)
{
    return decoded((const struct pair[]){{"Content-Type", "Application/CloudEvents+JSON; charset=utf-8"},
                                         {0}},
                   gw_view_text(body));
}
static void assert_bad_json(const char *body, const char *words)
{
    GW_AUTO(got_done) struct got got = decoded_json(body);

    if (got.verdict != GW_EVENT_BAD || strstr(got.reason.text, words) == NULL)
        fail_msg("%s: verdict %d, \"%s\" instead of \"%s\"", body, got.verdict, got.reason.text, words);
    assert_int_equal(got.count, 0);
}
static void assert_view(struct gw_view view, const char *expected)
{
    char text[512];

    snprintf(text, sizeof(text), "%.*s", (int)view.size, view.size == 0 ? "" : view.data);
    assert_string_equal(text, expected);
}

/* ---- object ---- */

static void an_event_is_a_copy_in_one_allocation(void **state)
{
    char id[] = "one";
    struct gw_extension extensions[] = {{V("a"), V("1"), GW_EXTENSION_INTEGER},
                                        {V("b"), V(""), GW_EXTENSION_TEXT}};
    struct gw_event_fields fields = an_event();
    GW_AUTO(gw_event_unrefp) struct gw_event *event = NULL;

    (void)state;
    fields.id = gw_view_text(id);
    fields.extensions = extensions;
    fields.extensions_count = 2;
    event = gw_event_new(&fields);
    id[0] = extensions[0].kind = 0;
    assert_view(event->fields.id, "one");
    assert_view(event->fields.gateway, "shop-gw");
    assert_view(event->fields.extensions[0].value, "1");
    assert_int_equal(event->fields.extensions[0].kind, GW_EXTENSION_INTEGER);
    assert_int_equal(event->fields.subject.size, 0);
    assert_true(event->size > sizeof(*event) + fields.data.size);
    assert_ptr_equal(gw_event_ref(event), event);
    assert_null(gw_event_unref(event));
    assert_int_equal(event->references, 1);
}

static void assert_check(struct gw_event_fields fields, const char *words)
{
    struct gw_reason reason = {""};

    if (words == NULL) {
        assert_true(gw_event_check(&fields, &reason));
        return;
    }
    assert_false(gw_event_check(&fields, &reason));
    if (strstr(reason.text, words) == NULL)
        fail_msg("\"%s\" instead of \"%s\"", reason.text, words);
}

static void attributes_are_checked_to_the_letter(void **state)
{
    struct gw_event_fields good = an_event(), bad;

    (void)state;
#define BAD(member, value, words) (bad = good, bad.member = (value), assert_check(bad, words))
    assert_check(good, NULL);
    BAD(id, V(""), "id: missing");
    BAD(source, V(""), "source: missing");
    BAD(type, V(""), "type: missing");
    BAD(source, V("/a b"), "source:");
    BAD(source, V("/s/\xc3\xbc"), "URI-reference");
    BAD(source, V("/a%2"), "URI-reference");
    BAD(source, V("/a%2F?x=y#z"), NULL);
    BAD(source, V("shop-gw:orders"), NULL);
    BAD(source, V("https://u:p@shop.example:8443/a;v=1/@b:c?q=/?&r='*'#f/?"), NULL);
    BAD(source, V("//[2001:db8::7]:80"), NULL);
    BAD(source, V("//[::1"), "URI-reference");
    BAD(source, V("//host:80a/"), "URI-reference");
    BAD(source, V("//a@b@c/"), "URI-reference");
    BAD(source, V("//a[b]/"), "URI-reference");
    BAD(source, V("file:///tmp"), NULL);
    BAD(source, V("?q"), NULL);
    BAD(source, V("#f"), NULL);
    BAD(source, V("./1a:b"), NULL);
    BAD(source, V("1a:b"), "URI-reference");
    BAD(source, V(":"), "URI-reference");
    BAD(source, V("/a?b[1]"), "URI-reference");
    BAD(source, V("/a#b#c"), "URI-reference");
    BAD(source, V("/a|b"), "URI-reference");
    BAD(source, V("a\x11"), "control");
    BAD(id, V("a\nb"), "id: holds a control");
    BAD(id, V("a\xc2\x85"), "control");
    BAD(id, V("a\xc2\xa0"), NULL);
    BAD(id, V("\xef\xbf\xbe"), "non-character");
    BAD(id, V("\xef\xb7\x90"), "non-character");
    BAD(id, V("\xf0\x9f\xbf\xbf"), "non-character");
    BAD(id, V("\xf0\x9f\x98\x80"), NULL);
    BAD(subject, V("\xff"), "subject: is not UTF-8");
    BAD(data_schema, V("schema.json"), "dataschema");
    BAD(data_schema, V("https://a/b"), NULL);
    BAD(data_content_type, V("json"), "datacontenttype");
    BAD(data_content_type, V("text/plain; charset=\"utf-8\""), NULL);
    BAD(data_content_type, V("a/b\r\nX: y"), "datacontenttype");
    BAD(data_content_type, V("a/b; c=\"d\xfc\""), "datacontenttype");
    BAD(data_content_type, V("a/b; c=\"d\\\";e=f"), "datacontenttype");
    BAD(data_content_type, V("a/b ; c = \"\\\"\\\\\" ;d=e;"), NULL);
#undef BAD
}

static void extensions_are_checked(void **state)
{
    const struct {
        struct gw_extension extension;
        const char *words;
    } cases[] = {
        {{V("ok1"), V("x"), GW_EXTENSION_TEXT}, NULL},
        {{V("Up"), V("x"), GW_EXTENSION_TEXT}, "a-z"},
        {{V("a_b"), V("x"), GW_EXTENSION_TEXT}, "a-z"},
        {{V("data"), V("x"), GW_EXTENSION_TEXT}, "data: given twice, or not"},
        {{V("time"), V("x"), GW_EXTENSION_TEXT}, "time: given twice, or not"},
        {{V("n"), V("2147483648"), GW_EXTENSION_INTEGER}, "n: an Integer"},
        {{V("n"), V("-2147483648"), GW_EXTENSION_INTEGER}, NULL},
        {{V("n"), V("1.5"), GW_EXTENSION_INTEGER}, "n: an Integer"},
        {{V("b"), V("yes"), GW_EXTENSION_BOOL}, "b: a Boolean"},
    };
    struct gw_event_fields fields = an_event();
    struct gw_extension twice[] = {{V("a"), V("1"), 0}, {V("a"), V("2"), 0}};

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        fields.extensions = &cases[i].extension;
        fields.extensions_count = 1;
        assert_check(fields, cases[i].words);
    }
    fields.extensions = twice;
    fields.extensions_count = 2;
    assert_check(fields, "a: given twice");
}

/* ---- encoding ---- */

static void structured_embeds_json_as_it_stands(void **state)
{
    struct gw_extension extensions[] = {{V("flag"), V("true"), GW_EXTENSION_BOOL},
                                        {V("n"), V("-7"), GW_EXTENSION_INTEGER},
                                        {V("z"), V("007"), GW_EXTENSION_INTEGER},
                                        {V("t"), V("a\"b"), GW_EXTENSION_TEXT}};
    struct gw_event_fields fields = an_event();

    (void)state;
    fields.subject = V("A\xe2\x98\x82");
    fields.partition_key = V("A-1");
    fields.data_schema = V("https://a/b");
    fields.extensions = extensions;
    fields.extensions_count = 4;
    fields.data = V("{\"n\": 1.000000000000000000001}");
    assert_body(
        &fields, GW_EVENT_STRUCTURED,
        "{\"specversion\":\"1.0\",\"id\":\"" UUID "\",\"source\":\"/shop/orders\",\"type\":\"com.acme.paid\","
        "\"subject\":\"A\xe2\x98\x82\",\"time\":\"2026-03-01T08:30:00.123456Z\","
        "\"datacontenttype\":\"application/json\",\"dataschema\":\"https://a/b\",\"partitionkey\":\"A-1\","
        "\"flag\":true,\"n\":-7,\"z\":\"007\",\"t\":\"a\\\"b\",\"data\":{\"n\": 1.000000000000000000001}}");
    assert_headers(&fields, GW_EVENT_STRUCTURED,
                   (const char *const[]){"Content-Type: application/cloudevents+json; charset=utf-8", NULL});
}

static void structured_data_is_value_text_or_base64(void **state)
{
    const struct {
        struct gw_view type, data;
        const char *tail;
    } cases[] = {
        {V(""), V("[1]"), ",\"data\":[1]}"},
        {V("application/vnd.a+json; v=1"), V(" 3 "), ",\"data\": 3 }"},
        {V("text/json"), V("\"x\""), ",\"data\":\"x\"}"},
        {V("application/json"), V("{nope"), ",\"data_base64\":\"e25vcGU=\"}"},
        {V(""), V("{nope"), ",\"data_base64\":\"e25vcGU=\"}"},
        {V("text/plain"), V("a\nb"), ",\"data\":\"a\\nb\"}"},
        {V("text/plain"), V("\xff\x00"), ",\"data_base64\":\"/wA=\"}"},
        {V("text/plain; charset=ISO-8859-1"), V("\xc3\xbc"), ",\"data_base64\":\"w7w=\"}"},
        {V("text/plain; Charset=\"UTF-8\""), V("\xc3\xbc"), ",\"data\":\"\xc3\xbc\"}"},
        {V("application/xml"), V("<a/>"), ",\"data_base64\":\"PGEvPg==\"}"},
        {V("application/json"), V(""), "\"application/json\"}"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        struct gw_event_fields fields = an_event();
        size_t tail = strlen(cases[i].tail);

        fields.data_content_type = cases[i].type;
        fields.data = cases[i].data;
        GW_AUTO(request_done) struct request request = encoded(&fields, GW_EVENT_STRUCTURED);
        assert_true(gw_json_valid(request.sent));
        assert_memory_equal(request.sent.data + request.sent.size - tail, cases[i].tail, tail);
    }
}

static void binary_percent_encodes_headers(void **state)
{
    struct gw_extension extensions[] = {
        {V("x"), V("a\r\nb"), 0}, {V("Bad-Name"), V("1"), 0}, {V("none"), V(""), 0}};
    struct gw_event_fields fields = an_event();

    (void)state;
    fields.subject = V("Z\xc3\xbcrich \xe2\x98\x82 \"%\"");
    fields.extensions = extensions;
    fields.extensions_count = 3;
    assert_headers(&fields, GW_EVENT_BINARY,
                   (const char *const[]){"Content-Type: application/json", "ce-specversion: 1.0",
                                         "ce-id: " UUID, "ce-source: /shop/orders", "ce-type: com.acme.paid",
                                         "ce-subject: Z%C3%BCrich%20%E2%98%82%20%22%25%22",
                                         "ce-time: 2026-03-01T08:30:00.123456Z", "ce-x: a%0D%0Ab", NULL});
    assert_body(&fields, GW_EVENT_BINARY, "{\"sku\":\"A-1\"}");
}

static void binary_says_what_the_data_is(void **state)
{
    struct gw_event_fields fields = an_event();

    (void)state;
    fields.time_ns = 0;
    fields.data_content_type = V("");
    assert_headers(&fields, GW_EVENT_BINARY,
                   (const char *const[]){"Content-Type: application/json", "ce-specversion: 1.0",
                                         "ce-id: " UUID, "ce-source: /shop/orders", "ce-type: com.acme.paid",
                                         NULL});
    fields.data = V("\x01");
    assert_headers(&fields, GW_EVENT_BINARY,
                   (const char *const[]){"ce-specversion: 1.0", "ce-id: " UUID, "ce-source: /shop/orders",
                                         "ce-type: com.acme.paid", NULL});
    /* data that would be taken for the event itself, and a header that would be two */
    fields.data_content_type = V("Application/CloudEvents+json");
    assert_headers(&fields, GW_EVENT_BINARY,
                   (const char *const[]){"Content-Type: application/cloudevents+json; charset=utf-8", NULL});
    fields.data_content_type = V("a/b\r\nX: y");
    assert_headers(&fields, GW_EVENT_BINARY,
                   (const char *const[]){"Content-Type: application/cloudevents+json; charset=utf-8", NULL});
}

static void a_batch_is_an_array(void **state)
{
    struct gw_event_fields fields = an_event();
    GW_AUTO(gw_event_unrefp) struct gw_event *event = gw_event_new(&fields);
    GW_AUTO(request_done) struct request request = {0};
    const struct gw_event *const events[] = {event, event};
    struct got got;

    (void)state;
    assert_int_equal(gw_event_encode(events, 2, GW_EVENT_BATCH, &request.headers, &request.count,
                                     &request.body, &request.sent),
                     0);
    assert_string_equal(request.headers.data,
                        "Content-Type: application/cloudevents-batch+json; charset=utf-8");
    got = decoded((const struct pair[]){{"content-type", "application/cloudevents-batch+json"}, {0}},
                  request.sent);
    assert_int_equal(got.verdict, 0);
    assert_int_equal(got.count, 2);
    assert_view(got.events[1]->fields.data, "{\"sku\":\"A-1\"}");
    got_done(&got);
    gw_bytes_clear(&request.body);
    request.count = 0;
    assert_int_equal(gw_event_encode(events, 0, GW_EVENT_BATCH, &request.headers, &request.count,
                                     &request.body, &request.sent),
                     0);
    assert_view(request.sent, "[]");
}

static void legacy_is_v011_to_the_byte(void **state)
{
    struct gw_event_fields fields = an_event();

    (void)state;
    fields.time_ns = at("2026-03-01T08:30:00.1Z");
    assert_body(
        &fields, GW_EVENT_LEGACY,
        "{\"context\":{\"eventType\":\"webhook\",\"eventTypeVersion\":\"v0.10\",\"cloudEventsVersion\":\"0."
        "1\","
        "\"source\":{\"scheme\":\"\",\"user\":\"\",\"password\":\"\",\"host\":\"shop-gw:orders\",\"port\":0,"
        "\"path\":\"\",\"query\":\"\",\"fragment\":\"\"},\"eventID\":\"" UUID "\","
        "\"eventTime\":\"2026-03-01T08:30:00.100000Z\",\"schemaURL\":null,\"contentType\":\"application/"
        "json\"},"
        "\"payload\":\"eyJza3UiOiJBLTEifQ==\"}");
    assert_headers(&fields, GW_EVENT_LEGACY, (const char *const[]){"Content-Type: application/json", NULL});
    fields.data = V("");
    GW_AUTO(request_done) struct request request = encoded(&fields, GW_EVENT_LEGACY);
    assert_memory_equal(request.sent.data + request.sent.size - 15, "\"payload\":null}", 15);
}

#define UUID_HEX "35623064396130652d346638662d346138362d396431622d306237613362386632633131"

static void legacy_03_is_v015_to_the_byte(void **state)
{
    struct gw_extension trace = {V("traceparent"), V("00-ab-cd-01"), 0};
    struct gw_event_fields fields = an_event();

    (void)state;
    fields.time_ns = at("2026-03-01T08:30:00.123456780Z");
    fields.extensions = &trace;
    fields.extensions_count = 1;
    assert_headers(&fields, GW_EVENT_LEGACY_03,
                   (const char *const[]){"Content-Type: application/json", "Ce-Specversion: 0.3",
                                         "Ce-Id: " UUID_HEX, "Ce-Source: shop-gw", "Ce-Subject: orders",
                                         "Ce-Type: webhook", "Ce-Time: 2026-03-01T08:30:00.12345678Z",
                                         "Ce-Traceparent: 00-ab-cd-01", "Traceparent: 00-ab-cd-01", NULL});
    assert_body(&fields, GW_EVENT_LEGACY_03, "{\"sku\":\"A-1\"}");
    fields.data = V("hello");
    assert_body(&fields, GW_EVENT_LEGACY_03, "\"aGVsbG8=\"");
}

static void legacy_03_json_is_v016_to_the_byte(void **state)
{
    struct gw_event_fields fields = an_event();

    (void)state;
    assert_headers(&fields, GW_EVENT_LEGACY_03_JSON, (const char *const[]){NULL});
    assert_body(&fields, GW_EVENT_LEGACY_03_JSON,
                "{\"data\":{\"sku\":\"A-1\"},\"datacontenttype\":\"application/json\",\"id\":\"" UUID_HEX
                "\","
                "\"source\":\"shop-gw\",\"specversion\":\"0.3\",\"subject\":\"orders\","
                "\"time\":\"2026-03-01T08:30:00.123456Z\",\"type\":\"webhook\"}");
    fields.data = V("hello");
    fields.time_ns = at("2026-03-01T08:30:00Z");
    assert_body(&fields, GW_EVENT_LEGACY_03_JSON,
                "{\"data\":\"aGVsbG8=\",\"datacontenttype\":\"application/json\",\"id\":\"" UUID_HEX "\","
                "\"source\":\"shop-gw\",\"specversion\":\"0.3\",\"subject\":\"orders\","
                "\"time\":\"2026-03-01T08:30:00Z\",\"type\":\"webhook\"}");
}

static void legacy_forms_always_say_a_time(void **state)
{
    struct gw_event_fields fields = an_event();
    GW_AUTO(request_done) struct request request = {0};

    (void)state;
    fields.time_ns = 0;
    GW_AUTO(gw_event_unrefp) struct gw_event *event = gw_event_new(&fields);
    event->accepted_ns = at("2026-03-01T08:30:00Z");
    assert_int_equal(gw_event_encode((const struct gw_event *const[]){event}, 1, GW_EVENT_LEGACY_03_JSON,
                                     &request.headers, &request.count, &request.body, &request.sent),
                     0);
    gw_bytes_append(&request.body, "", 1);
    assert_non_null(strstr(request.body.data, "\"time\":\"2026-03-01T08:30:00Z\""));
}

/* ---- decoding ---- */

static void binary_is_decoded(void **state)
{
    const struct pair headers[] = {{"CE-SpecVersion", "1.0"},
                                   {"ce-id", "Z%c3%bcrich%20%25"},
                                   {"Ce-Source", "/a"},
                                   {"ce-type", "\"t\\\"x%22\""},
                                   {"ce-time", "2026-03-01T09:30:00+01:00"},
                                   {"ce-PartitionKey", "k"},
                                   {"ce-ext", "1"},
                                   {"Host", "x"},
                                   {"Content-Type", "text/plain; charset=utf-8"},
                                   {0}};
    GW_AUTO(got_done) struct got got = decoded(headers, V("\x00raw"));

    (void)state;
    assert_string_equal(got.reason.text, "");
    assert_int_equal(got.verdict, 0);
    assert_int_equal(got.count, 1);
    assert_view(got.events[0]->fields.id, "Z\xc3\xbcrich %");
    assert_view(got.events[0]->fields.type, "t\"x\"");
    assert_view(got.events[0]->fields.partition_key, "k");
    assert_view(got.events[0]->fields.data_content_type, "text/plain; charset=utf-8");
    assert_true(got.events[0]->fields.time_ns == at("2026-03-01T08:30:00Z"));
    assert_int_equal(got.events[0]->fields.extensions_count, 1);
    assert_view(got.events[0]->fields.extensions[0].name, "ext");
    assert_true(gw_view_equal(got.events[0]->fields.data, V("\x00raw")));
}

static void assert_binary(const char *name, const char *value, int verdict, const char *words)
{
    struct pair headers[] = {{"ce-specversion", "1.0"}, {"ce-id", "i"}, {"ce-source", "/a"},
                             {"ce-type", "t"},          {name, value},  {0}};
    bool replaced = false;

    for (size_t i = 0; i < 4; i++)
        if (strcmp(headers[i].name, name) == 0 && !replaced) {
            headers[i] = value == NULL ? (struct pair){"x-gone", ""} : (struct pair){name, value};
            headers[4] = (struct pair){0};
            replaced = true;
        }
    GW_AUTO(got_done) struct got got = decoded(headers, V(""));
    if (got.verdict != verdict || strstr(got.reason.text, words) == NULL)
        fail_msg("%s: %s: verdict %d, \"%s\"", name, value == NULL ? "(none)" : value, got.verdict,
                 got.reason.text);
}

static void wrong_headers_are_named(void **state)
{
    (void)state;
    assert_binary("ce-id", NULL, GW_EVENT_BAD, "id: missing");
    assert_binary("ce-specversion", NULL, GW_EVENT_BAD, "specversion: missing");
    assert_binary("ce-specversion", "2.0", GW_EVENT_BAD, "specversion: \"2.0\"");
    assert_binary("ce-id", "", GW_EVENT_BAD, "id: is empty");
    assert_binary("ce-id", "50%", GW_EVENT_BAD, "id: is not percent-encoded");
    assert_binary("ce-id", "%FF", GW_EVENT_BAD, "id: is not percent-encoded");
    assert_binary("ce-id", "%0A", GW_EVENT_BAD, "id: holds a control");
    assert_binary("CE-Id", "again", GW_EVENT_BAD, "id: given twice");
    assert_binary("ce-time", "yesterday", GW_EVENT_BAD, "time: \"yesterday\"");
    assert_binary("ce-datacontenttype", "a/b", GW_EVENT_BAD, "Content-Type");
    assert_binary("ce-data", "x", GW_EVENT_BAD, "data:");
    assert_binary("ce-a_b", "x", GW_EVENT_BAD, "a-z");
    assert_binary("ce-", "x", GW_EVENT_BAD, "a-z");
    assert_binary("Content-Type", "application/cloudevents+avro", GW_EVENT_FORMAT,
                  "application/cloudevents+avro");
}

static void other_requests_are_not_cloudevents(void **state)
{
    GW_AUTO(got_done)
    struct got got =
        decoded((const struct pair[]){{"Content-Type", "application/json"}, {"ce-flavour", "x"}, {0}},
                V("{}"));

    (void)state;
    assert_int_equal(got.verdict, GW_EVENT_NOT);
}

#define HEAD "\"specversion\":\"1.0\",\"id\":\"i\",\"source\":\"/a\",\"type\":\"t\""

static void structured_is_decoded(void **state)
{
    GW_AUTO(got_done)
    struct got got =
        decoded_json(" {" HEAD ",\"subject\":null,\"\\u0065xt\":\"a\\u00fc\",\"yes\":true,\"n\":42,"
                     "\"data\": {\"x\": 12345678901234567890.10}} ");

    (void)state;
    assert_string_equal(got.reason.text, "");
    assert_int_equal(got.verdict, 0);
    assert_view(got.events[0]->fields.data, "{\"x\": 12345678901234567890.10}");
    assert_int_equal(got.events[0]->fields.extensions_count, 3);
    assert_view(got.events[0]->fields.extensions[0].name, "ext");
    assert_view(got.events[0]->fields.extensions[0].value, "a\xc3\xbc");
    assert_int_equal(got.events[0]->fields.extensions[1].kind, GW_EXTENSION_BOOL);
    assert_int_equal(got.events[0]->fields.extensions[2].kind, GW_EXTENSION_INTEGER);
}

static void structured_data_comes_back_as_bytes(void **state)
{
    const struct {
        const char *body, *data;
    } cases[] = {
        {"{" HEAD ",\"data\":\"x\"}", "\"x\""},
        {"{" HEAD ",\"datacontenttype\":\"text/plain\",\"data\":\"a\\nb\"}", "a\nb"},
        {"{" HEAD ",\"datacontenttype\":\"text/plain\",\"data_base64\":\"aGk=\"}", "hi"},
        {"{" HEAD ",\"data\":null,\"data_base64\":\"aGk=\"}", "hi"},
        {"{" HEAD "}", ""},
        {"{\"specversion\":\"0.3\",\"id\":\"i\",\"source\":\"/a\",\"type\":\"t\",\"schemaurl\":\"http://x/\","
         "\"datacontentencoding\":\"base64\",\"data\":\"aGk=\"}",
         "hi"},
        {"{\"id\":\"i\",\"source\":\"/"
         "a\",\"type\":\"t\",\"datacontentencoding\":\"base64\",\"data\":\"aGk=\","
         "\"specversion\":\"0.3\"}",
         "hi"},
    };

    (void)state;
    for (size_t i = 0; i < GW_COUNT_OF(cases); i++) {
        GW_AUTO(got_done) struct got got = decoded_json(cases[i].body);

        assert_string_equal(got.reason.text, "");
        assert_view(got.events[0]->fields.data, cases[i].data);
    }
}

static void wrong_members_are_named(void **state)
{
    (void)state;
    assert_bad_json("{\"id\":\"i\"}", "specversion: missing");
    assert_bad_json("{" HEAD, "not JSON");
    assert_bad_json("", "not JSON");
    assert_bad_json("[]", "object");
    assert_bad_json("{\"specversion\":1.0}", "specversion: must be a text");
    assert_bad_json("{" HEAD ",\"subject\":{}}", "subject: must be a text");
    assert_bad_json("{" HEAD ",\"id\":\"j\"}", "id: given twice");
    assert_bad_json("{" HEAD ",\"time\":\"x\"}", "time: \"x\"");
    assert_bad_json("{" HEAD ",\"ext\":{}}", "ext: must be a text, a number or a boolean");
    assert_bad_json("{" HEAD ",\"ext\":1.5}", "ext: an Integer");
    assert_bad_json("{" HEAD ",\"Ext\":\"a\"}", "a-z");
    assert_bad_json("{" HEAD ",\"ext\":\"a\",\"ext\":\"b\"}", "ext: given twice");
    assert_bad_json("{" HEAD ",\"data\":1,\"data_base64\":\"\"}", "data and data_base64");
    assert_bad_json("{" HEAD ",\"data\":1,\"data\":2}", "data: given twice");
    assert_bad_json("{" HEAD ",\"data_base64\":\"?\"}", "data_base64: is not base64");
    assert_bad_json("{" HEAD ",\"data_base64\":7}", "data_base64: must be a text");
    assert_bad_json("{" HEAD ",\"datacontenttype\":\"text/plain\",\"data\":{}}", "data: must be a text");
    assert_bad_json("{" HEAD ",\"subject\":\"\\ud800\"}", "subject: holds half");
    assert_bad_json("{" HEAD ",\"subject\":\"\\u0000\"}", "subject: holds a control");
}

static void nothing_of_a_bad_batch_is_passed_on(void **state)
{
    const struct pair type[] = {{"Content-Type", "application/cloudevents-batch+json"}, {0}};
    GW_AUTO(got_done) struct got bad = decoded(type, V("[{" HEAD "},{\"specversion\":\"1.0\"}]"));
    GW_AUTO(got_done) struct got empty = decoded(type, V(" [ ] "));
    GW_AUTO(got_done) struct got object = decoded(type, V("{" HEAD "}"));

    (void)state;
    assert_int_equal(bad.verdict, GW_EVENT_BAD);
    assert_string_equal(bad.reason.text, "event 2: id: missing, every CloudEvent has one");
    assert_int_equal(bad.count, 0);
    assert_int_equal(empty.verdict, 0);
    assert_int_equal(empty.count, 0);
    assert_int_equal(object.verdict, GW_EVENT_BAD);
}

/* What we send, we read back as it was: every byte value in the data, both modes. */
static void what_is_sent_comes_back(void **state)
{
    static const char *const types[] = {"", "application/json", "text/plain", "application/octet-stream"};
    struct gw_event_fields fields = an_event();
    char bytes[256];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    for (size_t t = 0; t < GW_COUNT_OF(types); t++) {
        fields.data_content_type = gw_view_text(types[t]);
        for (size_t size = 0; size <= sizeof(bytes); size += 32) {
            fields.data = gw_view(bytes, size);
            fields.subject = gw_view_text("100% \xe2\x98\x82 \"quoted\"");
            GW_AUTO(request_done) struct request structured = encoded(&fields, GW_EVENT_STRUCTURED);
            GW_AUTO(got_done)
            struct got got =
                decoded((const struct pair[]){{"Content-Type", "application/cloudevents+json"}, {0}},
                        structured.sent);
            assert_int_equal(got.verdict, 0);
            assert_true(gw_view_equal(got.events[0]->fields.data, fields.data));
            assert_true(gw_view_equal(got.events[0]->fields.subject, fields.subject));
            assert_true(got.events[0]->fields.time_ns == fields.time_ns);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_event_is_a_copy_in_one_allocation),
        cmocka_unit_test(attributes_are_checked_to_the_letter),
        cmocka_unit_test(extensions_are_checked),
        cmocka_unit_test(structured_embeds_json_as_it_stands),
        cmocka_unit_test(structured_data_is_value_text_or_base64),
        cmocka_unit_test(binary_percent_encodes_headers),
        cmocka_unit_test(binary_says_what_the_data_is),
        cmocka_unit_test(a_batch_is_an_array),
        cmocka_unit_test(legacy_is_v011_to_the_byte),
        cmocka_unit_test(legacy_03_is_v015_to_the_byte),
        cmocka_unit_test(legacy_03_json_is_v016_to_the_byte),
        cmocka_unit_test(legacy_forms_always_say_a_time),
        cmocka_unit_test(binary_is_decoded),
        cmocka_unit_test(wrong_headers_are_named),
        cmocka_unit_test(other_requests_are_not_cloudevents),
        cmocka_unit_test(structured_is_decoded),
        cmocka_unit_test(structured_data_comes_back_as_bytes),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(nothing_of_a_bad_batch_is_passed_on),
        cmocka_unit_test(what_is_sent_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
