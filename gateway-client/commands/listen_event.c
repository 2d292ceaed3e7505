/* The events of a request in whatever form they came, and how they look. */
#include "gateway-client/commands/listen_event.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <strings.h>

/* Of the data, on a terminal. */
enum { LISTEN_DATA_MAX = 16384 };

/* ---- requests of Argo Events ---- */

struct legacy {
    struct gw_arena arena;
    struct gw_bytes text, data;
    struct gw_event_fields fields;
};

static void legacy_done(struct legacy *legacy)
{
    gw_arena_done(&legacy->arena);
    gw_bytes_done(&legacy->text);
    gw_bytes_done(&legacy->data);
}

/* The member `key` of an object; an empty view: there is none. */
static struct gw_view json_member(struct gw_view object, const char *key)
{
    struct gw_json_walk walk = gw_json_walk(object);

    if (walk.open != '{')
        return gw_view(NULL, 0);
    while (gw_json_next(&walk))
        if (gw_view_is(walk.key, key))
            return walk.value;
    return gw_view(NULL, 0);
}

/* The text of a member, kept in the arena; empty where there is none or it is no text. */
static struct gw_view legacy_text(struct legacy *legacy, struct gw_view object, const char *key)
{
    struct gw_view token = json_member(object, key);
    char *copy;

    gw_bytes_clear(&legacy->text);
    if (token.size == 0 || !gw_json_unquote(&legacy->text, token))
        return gw_view(NULL, 0);
    copy = gw_arena_copy(&legacy->arena, gw_bytes_view(&legacy->text));
    return gw_view(copy, copy == NULL ? 0 : legacy->text.size);
}

static bool is_legacy(struct gw_view body)
{
    struct gw_view context = json_member(body, "context");

    return json_member(context, "eventID").size > 0 && json_member(context, "cloudEventsVersion").size > 0 &&
           json_member(body, "payload").size > 0;
}

static int legacy_decode(struct gw_view body, int (*each)(void *user, const struct gw_event_fields *fields),
                         void *user, struct gw_reason *reason)
{
    GW_AUTO(legacy_done) struct legacy legacy = {0};
    struct gw_view context = json_member(body, "context"), payload, time;

    legacy.fields.id = legacy_text(&legacy, context, "eventID");
    legacy.fields.type = legacy_text(&legacy, context, "eventType");
    legacy.fields.source = legacy_text(&legacy, json_member(context, "source"), "host");
    legacy.fields.data_content_type = legacy_text(&legacy, context, "contentType");
    time = legacy_text(&legacy, context, "eventTime");
    if (time.size > 0 && !gw_time_parse(time, &legacy.fields.time_ns)) {
        gw_reason_set(reason, "eventTime: is not a time of RFC 3339");
        return GW_EVENT_BAD;
    }
    payload = legacy_text(&legacy, body, "payload");
    if (!gw_base64_decode(&legacy.data, payload)) {
        gw_reason_set(reason, "payload: is not base64");
        return GW_EVENT_BAD;
    }
    legacy.fields.data = gw_bytes_view(&legacy.data);
    if (!gw_event_check(&legacy.fields, reason))
        return GW_EVENT_BAD;
    return each(user, &legacy.fields);
}

static const char *structured_header(const void *request, const char *name)
{
    (void)request;
    return strcasecmp(name, "Content-Type") == 0 ? "application/cloudevents+json" : NULL;
}

static void no_headers(const void *request, void (*each)(void *user, const char *name, const char *value),
                       void *user)
{
    (void)request;
    (void)each;
    (void)user;
}

int gwc_listen_decode(const struct gw_event_source_http *http,
                      int (*each)(void *user, const struct gw_event_fields *fields), void *user,
                      const char **ret_form, struct gw_reason *reason)
{
    struct gw_event_source_http structured = {
        .header = structured_header, .headers = no_headers, .body = http->body};
    int verdict;

    *ret_form = "";
    verdict = gw_event_decode(http, each, user, reason);
    if (verdict != GW_EVENT_NOT || !gw_json_valid(http->body))
        return verdict;
    if (is_legacy(http->body)) {
        *ret_form = "legacy";
        return legacy_decode(http->body, each, user, reason);
    }
    if (json_member(http->body, "specversion").size == 0)
        return verdict;
    *ret_form = "structured without Content-Type";
    return gw_event_decode(&structured, each, user, reason);
}

/* ---- JSON lines ---- */

int gwc_listen_write_json(struct gw_bytes *out, const struct gw_event_fields *fields)
{
    GW_AUTO(gw_event_unrefp) struct gw_event *event = gw_event_new(fields);
    GW_AUTO(gw_bytes_done) struct gw_bytes headers = {0};
    struct gw_view line;
    size_t headers_count;

    if (event == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_event_encode((const struct gw_event *const[]){event}, 1, GW_EVENT_STRUCTURED, &headers,
                           &headers_count, out, &line));
    /* data stands as it came; a line break in JSON can only be white space between its tokens */
    for (size_t i = out->size - line.size; i < out->size; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
    gw_bytes_append_char(out, '\n');
    return out->failed ? GW_RAISE(-ENOMEM) : 0;
}

/* ---- for people ---- */

#define STYLE_TYPE  "\033[1;36m"
#define STYLE_LABEL "\033[2m"
#define STYLE_END   "\033[0m"

static void style(struct gw_bytes *out, bool color, const char *sequence)
{
    if (color)
        gw_bytes_append_text(out, sequence);
}

static void pretty_line(struct gw_bytes *out, bool color, struct gw_view label, struct gw_view value)
{
    if (value.size == 0)
        return;
    gw_bytes_append_text(out, "  ");
    style(out, color, STYLE_LABEL);
    gw_bytes_append_view(out, label);
    style(out, color, STYLE_END);
    for (size_t i = label.size; i < 16; i++)
        gw_bytes_append_char(out, ' ');
    gw_bytes_append_char(out, ' ');
    gw_bytes_append_view(out, value);
    gw_bytes_append_char(out, '\n');
}

/* Indented; control characters (also the two-byte ones, U+0080 to U+009F) become dots. */
static void pretty_text(struct gw_bytes *out, struct gw_view text)
{
    bool start = true;

    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];

        if (start)
            gw_bytes_append_text(out, "  ");
        start = byte == '\n';
        if (byte == 0xc2 && i + 1 < text.size && (unsigned char)text.data[i + 1] < 0xa0) {
            gw_bytes_append_char(out, '.');
            i++;
        } else {
            gw_bytes_append_char(
                out, (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f ? '.' : (char)byte);
        }
    }
    if (!start)
        gw_bytes_append_char(out, '\n');
}

/* At most LISTEN_DATA_MAX bytes, cut between characters. */
static struct gw_view pretty_cut(struct gw_view text)
{
    size_t size = GW_MIN(text.size, LISTEN_DATA_MAX);

    while (size < text.size && size > 0 && ((unsigned char)text.data[size] & 0xc0) == 0x80)
        size--;
    return gw_view(text.data, size);
}

static void pretty_data(struct gw_bytes *out, struct gw_view data)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes indented = {0};
    struct gw_view all = data, shown;

    if (data.size == 0)
        return;
    if (gw_json_pretty(&indented, data)) {
        all = gw_bytes_view(&indented);
    } else if (!gw_utf8_valid(data)) {
        gw_bytes_printf(out, "  (%zu bytes that are not text)\n", data.size);
        return;
    }
    shown = pretty_cut(all);
    pretty_text(out, shown);
    if (shown.size < all.size)
        gw_bytes_printf(out, "  (%zu more bytes)\n", all.size - shown.size);
}

void gwc_listen_write_pretty(struct gw_bytes *out, const struct gw_event_fields *fields, const char *form,
                             bool color)
{
    char time[GW_TIME_MAX];

    style(out, color, STYLE_TYPE);
    gw_bytes_append_view(out, fields->type);
    style(out, color, STYLE_END);
    if (form[0] != '\0')
        gw_bytes_printf(out, "  (%s)", form);
    gw_bytes_append_char(out, '\n');
    pretty_line(out, color, gw_view_text("source"), fields->source);
    pretty_line(out, color, gw_view_text("id"), fields->id);
    if (fields->time_ns != 0)
        pretty_line(out, color, gw_view_text("time"),
                    gw_view_text(gw_time_format(time, fields->time_ns, -1)));
    pretty_line(out, color, gw_view_text("subject"), fields->subject);
    pretty_line(out, color, gw_view_text("datacontenttype"), fields->data_content_type);
    pretty_line(out, color, gw_view_text("dataschema"), fields->data_schema);
    pretty_line(out, color, gw_view_text("partitionkey"), fields->partition_key);
    for (size_t i = 0; i < fields->extensions_count; i++)
        pretty_line(out, color, fields->extensions[i].name, fields->extensions[i].value);
    pretty_data(out, fields->data);
    gw_bytes_append_char(out, '\n');
}
