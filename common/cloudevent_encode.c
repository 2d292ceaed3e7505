/* CloudEvents 1.0.2 as HTTP requests: structured and batched JSON, and binary. On the path of every event: nothing is
 * allocated beyond the buffers that are handed in. */
#include "common/cloudevent_parts.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

static const char structured_type[] = "Content-Type: application/cloudevents+json; charset=utf-8";
static const char batch_type[] = "Content-Type: application/cloudevents-batch+json; charset=utf-8";

static void header_line(struct gw_bytes *headers, size_t *count, const char *line)
{
    gw_bytes_append_text(headers, line);
    gw_event_header_end(headers, count);
}

/* ---- structured ---- */

static void member_text(struct gw_bytes *body, const char *opening, struct gw_view value)
{
    if (value.size == 0)
        return;
    gw_bytes_append_text(body, opening);
    gw_json_quote(body, value);
}

/* -?(0|[1-9][0-9]*) within 32 bits: what JSON and the Integer of CloudEvents both allow. */
static bool is_json_integer(struct gw_view value)
{
    struct gw_view digits = value;
    int64_t number;

    if (digits.size > 0 && digits.data[0] == '-')
        digits = gw_view(digits.data + 1, digits.size - 1);
    if (digits.size == 0 || digits.data[0] < '0' || digits.data[0] > '9' ||
        (digits.size > 1 && digits.data[0] == '0'))
        return false;
    return gw_text_i64(value, INT32_MIN, INT32_MAX, &number);
}

static bool extension_is_bare(const struct gw_extension *extension)
{
    switch (extension->kind) {
    case GW_EXTENSION_BOOL:
        return gw_view_is(extension->value, "true") || gw_view_is(extension->value, "false");
    case GW_EXTENSION_INTEGER:
        return is_json_integer(extension->value);
    case GW_EXTENSION_TEXT:
        break;
    }
    return false;
}

static void member_extension(struct gw_bytes *body, const struct gw_extension *extension)
{
    if (extension->value.size == 0 || !gw_event_name_legal(extension->name))
        return;
    gw_bytes_append_text(body, ",\"");
    gw_bytes_append_view(body, extension->name);
    gw_bytes_append_text(body, "\":");
    if (extension_is_bare(extension))
        gw_bytes_append_view(body, extension->value);
    else
        gw_json_quote(body, extension->value);
}

static const char *find_nocase(struct gw_view text, const char *word)
{
    size_t size = strlen(word);

    for (size_t i = 0; i + size <= text.size; i++)
        if (gw_view_is_nocase(gw_view(text.data + i, size), word))
            return text.data + i;
    return NULL;
}

/* A JSON string carries characters, not bytes: only bytes that are UTF-8 and are not said to be anything else come
 * back from it as they were. */
static bool data_is_text(struct gw_view media_type, struct gw_view data)
{
    const char *charset;

    if (!gw_view_starts_nocase(media_type, "text/"))
        return false;
    charset = find_nocase(media_type, "charset=");
    if (charset != NULL) {
        struct gw_view name = gw_view(charset + 8, (size_t)(media_type.data + media_type.size - charset - 8));

        if (name.size > 0 && name.data[0] == '"')
            name = gw_view(name.data + 1, name.size - 1);
        if (!gw_view_starts_nocase(name, "utf-8") && !gw_view_starts_nocase(name, "us-ascii"))
            return false;
    }
    return gw_utf8_valid(data);
}

static void member_data(struct gw_bytes *body, const struct gw_event_fields *fields)
{
    struct gw_view media_type = fields->data_content_type;

    if (fields->data.size == 0)
        return;
    if ((media_type.size == 0 || gw_event_media_json(media_type)) && gw_json_valid(fields->data)) {
        gw_bytes_append_text(body, ",\"data\":");
        gw_bytes_append_view(body, fields->data);
    } else if (!gw_event_media_json(media_type) && data_is_text(media_type, fields->data)) {
        gw_bytes_append_text(body, ",\"data\":");
        gw_json_quote(body, fields->data);
    } else {
        gw_bytes_append_text(body, ",\"data_base64\":\"");
        gw_base64_encode(body, fields->data);
        gw_bytes_append_char(body, '"');
    }
}

static void structured_event(struct gw_bytes *body, const struct gw_event_fields *fields)
{
    char time[GW_TIME_MAX];

    gw_bytes_append_text(body, "{\"specversion\":\"1.0\"");
    member_text(body, ",\"id\":", fields->id);
    member_text(body, ",\"source\":", fields->source);
    member_text(body, ",\"type\":", fields->type);
    member_text(body, ",\"subject\":", fields->subject);
    if (fields->time_ns != 0)
        member_text(body, ",\"time\":", gw_view_text(gw_time_format(time, fields->time_ns, -1)));
    member_text(body, ",\"datacontenttype\":", fields->data_content_type);
    member_text(body, ",\"dataschema\":", fields->data_schema);
    member_text(body, ",\"partitionkey\":", fields->partition_key);
    for (size_t i = 0; i < fields->extensions_count; i++)
        member_extension(body, &fields->extensions[i]);
    member_data(body, fields);
    gw_bytes_append_char(body, '}');
}

static void encode_structured(const struct gw_event_fields *fields, struct gw_bytes *headers,
                              size_t *headers_count, struct gw_bytes *body)
{
    header_line(headers, headers_count, structured_type);
    structured_event(body, fields);
}

static void encode_batch(const struct gw_event *const *events, size_t count, struct gw_bytes *headers,
                         size_t *headers_count, struct gw_bytes *body)
{
    header_line(headers, headers_count, batch_type);
    gw_bytes_append_char(body, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            gw_bytes_append_char(body, ',');
        structured_event(body, &events[i]->fields);
    }
    gw_bytes_append_char(body, ']');
}

/* ---- binary ---- */

static void header_attribute(struct gw_bytes *headers, size_t *count, struct gw_view name,
                             struct gw_view value)
{
    if (value.size == 0)
        return;
    gw_bytes_append_text(headers, "ce-");
    gw_bytes_append_view(headers, name);
    gw_bytes_append_text(headers, ": ");
    gw_percent_encode_header(headers, value);
    gw_event_header_end(headers, count);
}

/* Without datacontenttype the structured form means application/json (JSON format, 3.1); in binary that must be said. */
static void header_content_type(struct gw_bytes *headers, size_t *count, const struct gw_event_fields *fields)
{
    struct gw_view media_type = fields->data_content_type;

    if (media_type.size == 0 && fields->data.size > 0 && gw_json_valid(fields->data))
        media_type = gw_view_text("application/json");
    if (media_type.size == 0)
        return;
    gw_bytes_append_text(headers, "Content-Type: ");
    gw_bytes_append_view(headers, media_type);
    gw_event_header_end(headers, count);
}

static void encode_binary(const struct gw_event_fields *fields, struct gw_bytes *headers, size_t *count)
{
    char time[GW_TIME_MAX];

    header_content_type(headers, count, fields);
    header_line(headers, count, "ce-specversion: 1.0");
    header_attribute(headers, count, gw_view_text("id"), fields->id);
    header_attribute(headers, count, gw_view_text("source"), fields->source);
    header_attribute(headers, count, gw_view_text("type"), fields->type);
    header_attribute(headers, count, gw_view_text("subject"), fields->subject);
    if (fields->time_ns != 0)
        header_attribute(headers, count, gw_view_text("time"),
                         gw_view_text(gw_time_format(time, fields->time_ns, -1)));
    header_attribute(headers, count, gw_view_text("dataschema"), fields->data_schema);
    header_attribute(headers, count, gw_view_text("partitionkey"), fields->partition_key);
    for (size_t i = 0; i < fields->extensions_count; i++)
        if (gw_event_name_legal(fields->extensions[i].name))
            header_attribute(headers, count, fields->extensions[i].name, fields->extensions[i].value);
}

/* The Content-Type header goes out as it is: one that is not a header value, or that would make the receiver take the
 * data for a CloudEvent, cannot be sent in binary mode. */
static bool binary_can_say(const struct gw_event_fields *fields)
{
    struct gw_view media_type = fields->data_content_type;

    for (size_t i = 0; i < media_type.size; i++)
        if (media_type.data[i] < 0x20 || media_type.data[i] == 0x7f)
            return false;
    return !gw_view_starts_nocase(gw_view_trim(media_type), "application/cloudevents");
}

/* ---- all modes ---- */

/* Argo's forms always say a time: an event without one has that of its acceptance, the same in every attempt. */
static struct gw_event_fields legacy_fields(const struct gw_event *event)
{
    struct gw_event_fields fields = event->fields;

    if (fields.time_ns == 0)
        fields.time_ns = event->accepted_ns;
    return fields;
}

int gw_event_encode(const struct gw_event *const *events, size_t count, enum gw_event_mode mode,
                    struct gw_bytes *headers, size_t *ret_headers_count, struct gw_bytes *body,
                    struct gw_view *ret_body)
{
    const struct gw_event_fields *fields;
    struct gw_event_fields legacy;
    size_t start = body->size, lines = 0;
    bool body_is_data = false;

    assert(count == 1 || mode == GW_EVENT_BATCH);
    fields = count > 0 ? &events[0]->fields : NULL;
    if (mode == GW_EVENT_BINARY && !binary_can_say(fields))
        mode = GW_EVENT_STRUCTURED;
    if (mode >= GW_EVENT_LEGACY) {
        legacy = legacy_fields(events[0]);
        fields = &legacy;
    }

    switch (mode) {
    case GW_EVENT_STRUCTURED:
        encode_structured(fields, headers, &lines, body);
        break;
    case GW_EVENT_BINARY:
        encode_binary(fields, headers, &lines);
        body_is_data = true;
        break;
    case GW_EVENT_BATCH:
        encode_batch(events, count, headers, &lines, body);
        break;
    case GW_EVENT_LEGACY:
        gw_event_encode_legacy(fields, headers, &lines, body);
        break;
    case GW_EVENT_LEGACY_03:
        gw_event_encode_legacy_03(fields, headers, &lines, body, &body_is_data);
        break;
    case GW_EVENT_LEGACY_03_JSON:
        gw_event_encode_legacy_03_json(fields, body);
        break;
    }
    if (headers->failed || body->failed)
        return GW_RAISE(-ENOMEM);
    *ret_headers_count = lines;
    *ret_body = body_is_data ? fields->data : gw_view(body->data + start, body->size - start);
    return 0;
}
