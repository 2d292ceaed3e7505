/* The forms that the gateways of Argo Events sent before CloudEvents 1.0, to the byte (reference, B.9), so that sensors
 * of those years take our events for theirs. */
#include "common/cloudevent_parts.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

static struct gw_view first_of(struct gw_view wanted, struct gw_view otherwise)
{
    return wanted.size > 0 ? wanted : otherwise;
}

/* ---- up to v0.11 ---- */

/* The constant of all gateways from v0.9.1 to v0.11, which their sensors compare. */
static const char type_version[] = "v0.10";

/* "gateway:event source" as one JSON string, by quoting both and joining them at their inner quotes. */
static void quote_host(struct gw_bytes *body, const struct gw_event_fields *fields)
{
    size_t joint;

    gw_json_quote(body, fields->gateway);
    if (body->failed)
        return;
    body->data[body->size - 1] = ':';
    joint = body->size - 1;
    gw_json_quote(body, fields->event_source);
    if (body->failed)
        return;
    memmove(body->data + joint + 1, body->data + joint + 2, body->size - joint - 2);
    body->size--;
}

void gw_event_encode_legacy(const struct gw_event_fields *fields, struct gw_bytes *headers,
                            size_t *ret_headers_count, struct gw_bytes *body)
{
    char time[GW_TIME_MAX];

    gw_bytes_append_text(headers, "Content-Type: application/json");
    gw_event_header_end(headers, ret_headers_count);

    gw_bytes_append_text(body, "{\"context\":{\"eventType\":");
    gw_json_quote(body, first_of(fields->kind, fields->type));
    gw_bytes_append_text(body, ",\"eventTypeVersion\":\"");
    gw_bytes_append_text(body, type_version);
    gw_bytes_append_text(body, "\",\"cloudEventsVersion\":\"0.1\",\"source\":{\"scheme\":\"\",\"user\":\"\","
                               "\"password\":\"\",\"host\":");
    quote_host(body, fields);
    gw_bytes_append_text(body, ",\"port\":0,\"path\":\"\",\"query\":\"\",\"fragment\":\"\"},\"eventID\":");
    gw_json_quote(body, fields->id);
    gw_bytes_append_text(body, ",\"eventTime\":\"");
    gw_bytes_append_text(body, gw_time_format(time, fields->time_ns, 6));
    gw_bytes_append_text(body, "\",\"schemaURL\":null,\"contentType\":\"application/json\"},\"payload\":");
    if (fields->data.size == 0) {
        gw_bytes_append_text(body, "null}");
        return;
    }
    gw_bytes_append_char(body, '"');
    gw_base64_encode(body, fields->data);
    gw_bytes_append_text(body, "\"}");
}

/* ---- v0.12 to v0.16: CloudEvents 0.3 ---- */

/* Go's RFC3339Nano: nine digits without their trailing zeros. */
static const char *time_nano(char buffer[static GW_TIME_MAX], int64_t ns)
{
    char *end;

    gw_time_format(buffer, ns, 9);
    end = buffer + strlen(buffer) - 1;
    while (end[-1] == '0')
        end--;
    if (end[-1] == '.')
        end--;
    memcpy(end, "Z", 2);
    return buffer;
}

static void quote_base64(struct gw_bytes *body, struct gw_view data)
{
    gw_bytes_append_char(body, '"');
    gw_base64_encode(body, data);
    gw_bytes_append_char(body, '"');
}

static void header_03(struct gw_bytes *headers, size_t *count, const char *name, struct gw_view value)
{
    if (value.size == 0)
        return;
    gw_bytes_append_text(headers, name);
    gw_percent_encode_header(headers, value);
    gw_event_header_end(headers, count);
}

/* The originals made a trace for each event; ours passes on the one that the event came with. */
static void headers_03_trace(const struct gw_event_fields *fields, struct gw_bytes *headers, size_t *count)
{
    for (size_t i = 0; i < fields->extensions_count; i++) {
        if (!gw_view_is(fields->extensions[i].name, "traceparent"))
            continue;
        header_03(headers, count, "Ce-Traceparent: ", fields->extensions[i].value);
        header_03(headers, count, "Traceparent: ", fields->extensions[i].value);
    }
}

void gw_event_encode_legacy_03(const struct gw_event_fields *fields, struct gw_bytes *headers,
                               size_t *ret_headers_count, struct gw_bytes *body, bool *ret_body_is_data)
{
    char time[GW_TIME_MAX];

    gw_bytes_append_text(headers, "Content-Type: application/json");
    gw_event_header_end(headers, ret_headers_count);
    gw_bytes_append_text(headers, "Ce-Specversion: 0.3");
    gw_event_header_end(headers, ret_headers_count);
    /* 72 characters of an id that is a UUID: the hex digits of its text */
    gw_bytes_append_text(headers, "Ce-Id: ");
    gw_hex_encode(headers, fields->id);
    gw_event_header_end(headers, ret_headers_count);
    header_03(headers, ret_headers_count, "Ce-Source: ", first_of(fields->gateway, fields->source));
    header_03(headers, ret_headers_count, "Ce-Subject: ", first_of(fields->event_source, fields->subject));
    header_03(headers, ret_headers_count, "Ce-Type: ", first_of(fields->kind, fields->type));
    header_03(headers, ret_headers_count, "Ce-Time: ", gw_view_text(time_nano(time, fields->time_ns)));
    headers_03_trace(fields, headers, ret_headers_count);

    *ret_body_is_data = gw_json_valid(fields->data);
    if (!*ret_body_is_data)
        quote_base64(body, fields->data);
}

/* Keys in the order of Go's maps, no Content-Type, and nothing that tells base64 from text: as v0.16 sent it. */
void gw_event_encode_legacy_03_json(const struct gw_event_fields *fields, struct gw_bytes *body)
{
    char time[GW_TIME_MAX];

    gw_bytes_append_text(body, "{\"data\":");
    if (gw_json_valid(fields->data))
        gw_bytes_append_view(body, gw_view_trim(fields->data));
    else
        quote_base64(body, fields->data);
    gw_bytes_append_text(body, ",\"datacontenttype\":\"application/json\",\"id\":\"");
    gw_hex_encode(body, fields->id);
    gw_bytes_append_text(body, "\",\"source\":");
    gw_json_quote(body, first_of(fields->gateway, fields->source));
    gw_bytes_append_text(body, ",\"specversion\":\"0.3\",\"subject\":");
    gw_json_quote(body, first_of(fields->event_source, fields->subject));
    gw_bytes_append_text(body, ",\"time\":\"");
    gw_bytes_append_text(body, time_nano(time, fields->time_ns));
    gw_bytes_append_text(body, "\",\"type\":");
    gw_json_quote(body, first_of(fields->kind, fields->type));
    gw_bytes_append_char(body, '}');
}
