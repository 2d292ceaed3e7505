/* Intake: CloudEvents as they are, everything else as raw body or envelope. */
#include "gateway-servers/webhook/intake.h"

#include "common/text.h"

#include <stdlib.h>

/* One configured attribute. */
struct intake_attribute {
    struct gw_view name, key;
    const char *key_text;
    enum webhook_origin origin;
};

struct webhook_intake {
    const struct webhook_config *config;
    const struct webhook_auth *auth;
    bool envelope;
    struct webhook_envelope writer;
    struct intake_attribute attributes[WEBHOOK_EXTENSIONS_MAX];
    size_t attributes_count;
    struct gw_bytes decoded;                            /* values of attributes from the query */
    struct gw_extension values[WEBHOOK_EXTENSIONS_MAX]; /* of this request */
    size_t values_count;
    struct gw_extension *merged;
    size_t merged_capacity;
    /* of the walk under way */
    int (*emit)(void *user, const struct gws_event *event);
    void *user;
};

int webhook_intake_open(struct webhook_intake **ret_intake, const struct webhook_config *config,
                        const struct webhook_auth *auth)
{
    struct webhook_intake *intake = calloc(1, sizeof(*intake));

    if (intake == NULL)
        return GW_RAISE(-ENOMEM);
    intake->config = config;
    intake->auth = auth;
    intake->envelope = webhook_config_envelope(config);
    for (size_t i = 0; i < config->extensions.count && i < WEBHOOK_EXTENSIONS_MAX; i++) {
        struct intake_attribute *attribute = &intake->attributes[intake->attributes_count];

        if (!webhook_origin_parse(config->extensions.items[i].value, &attribute->origin,
                                  &attribute->key_text))
            continue;
        attribute->name = gw_view_text(config->extensions.items[i].name);
        attribute->key = gw_view_text(attribute->key_text);
        intake->attributes_count++;
    }
    *ret_intake = intake;
    return 0;
}

struct webhook_intake *webhook_intake_close(struct webhook_intake *intake)
{
    if (intake == NULL)
        return NULL;
    webhook_envelope_done(&intake->writer);
    gw_bytes_done(&intake->decoded);
    free(intake->merged);
    free(intake);
    return NULL;
}

/* ---- configured attributes ---- */

/* A value that the client would refuse must not reach it: one bad request would end the stream. */
static bool value_legal(struct gw_view value)
{
    return value.size > 0 && gw_event_text_legal(value);
}

/* The Content-Type as far as it is one: without its parameters when they are wrong, and else not at all. */
static struct gw_view content_type(const struct gw_event_source_http *http)
{
    struct gw_view type = gw_view_trim(gw_view_text(http->header(http->request, "Content-Type")));
    const char *semicolon;

    if (gw_event_media_type_legal(type) && value_legal(type))
        return type;
    semicolon = type.size == 0 ? NULL : memchr(type.data, ';', type.size);
    if (semicolon != NULL)
        type = gw_view_trim(gw_view(type.data, (size_t)(semicolon - type.data)));
    return gw_event_media_type_legal(type) ? type : gw_view(NULL, 0);
}

static struct gw_view attribute_value(struct webhook_intake *intake, const struct intake_attribute *attribute,
                                      const struct webhook_request *request)
{
    size_t start = intake->decoded.size;

    switch (attribute->origin) {
    case WEBHOOK_FROM_HEADER:
        return gw_view_trim(gw_view_text(request->http.header(request->http.request, attribute->key_text)));
    case WEBHOOK_FROM_PATH:
        return gws_route_value(request->route, attribute->key);
    case WEBHOOK_FROM_QUERY:
        if (webhook_query_value(gw_view_text(request->query), attribute->key, &intake->decoded))
            return gw_view(intake->decoded.data + start, intake->decoded.size - start);
        break;
    }
    return gw_view(NULL, 0);
}

static int intake_read_attributes(struct webhook_intake *intake, const struct webhook_request *request)
{
    size_t room = (strlen(request->query) + 1) * intake->attributes_count;

    intake->values_count = 0;
    gw_bytes_clear(&intake->decoded);
    /* all the room at once: the views into it must not move */
    if (room > 0 && gw_bytes_reserve(&intake->decoded, room) == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < intake->attributes_count; i++) {
        struct gw_view value = attribute_value(intake, &intake->attributes[i], request);

        if (value_legal(value))
            intake->values[intake->values_count++] = (struct gw_extension){
                .name = intake->attributes[i].name, .value = value, .kind = GW_EXTENSION_TEXT};
    }
    return 0;
}

static bool extension_there(const struct gw_extension *extensions, size_t count, struct gw_view name)
{
    for (size_t i = 0; i < count; i++)
        if (gw_view_equal(extensions[i].name, name))
            return true;
    return false;
}

/* The event's own extensions, then the configured ones that it lacks. */
static int event_add_attributes(struct webhook_intake *intake, struct gws_event *event)
{
    size_t most = event->extensions_count + intake->values_count, count = event->extensions_count;

    if (intake->values_count == 0)
        return 0;
    if (most > intake->merged_capacity) {
        struct gw_extension *merged = realloc(intake->merged, most * sizeof(*merged));

        if (merged == NULL)
            return GW_RAISE(-ENOMEM);
        intake->merged = merged;
        intake->merged_capacity = most;
    }
    if (count > 0)
        memcpy(intake->merged, event->extensions, count * sizeof(*intake->merged));
    for (size_t i = 0; i < intake->values_count; i++) {
        const struct gw_extension *value = &intake->values[i];

        if (gw_view_is(value->name, "partitionkey")) {
            if (event->partition_key.size == 0)
                event->partition_key = value->value;
        } else if (count < GW_EVENT_EXTENSIONS_MAX &&
                   !extension_there(event->extensions, event->extensions_count, value->name)) {
            intake->merged[count++] = *value;
        }
    }
    event->extensions = intake->merged;
    event->extensions_count = count;
    return 0;
}

/* ---- events ---- */

static int on_cloudevent(void *user, const struct gw_event_fields *fields)
{
    struct webhook_intake *intake = user;
    struct gws_event event = {
        .id = fields->id,
        .time_ns = fields->time_ns,
        .type = fields->type,
        .subject = fields->subject,
        .data_content_type = fields->data_content_type,
        .data = fields->data,
        .source = fields->source,
        .data_schema = fields->data_schema,
        .partition_key = fields->partition_key,
        .extensions = fields->extensions,
        .extensions_count = fields->extensions_count,
    };

    GW_TRY(event_add_attributes(intake, &event));
    return intake->emit(intake->user, &event);
}

static int intake_take_plain(struct webhook_intake *intake, const struct webhook_request *request)
{
    const struct gw_event_source_http *http = &request->http;
    struct gws_event event = {.data = http->body};

    if (intake->config->id_header != NULL) {
        event.id = gw_view_trim(gw_view_text(http->header(http->request, intake->config->id_header)));
        if (!value_legal(event.id))
            event.id = gw_view(NULL, 0);
    }
    if (intake->envelope) {
        GW_TRY(webhook_envelope_write(&intake->writer, request, intake->auth, &event.data));
        event.data_content_type = gw_view_text("application/json");
    } else {
        event.data_content_type = content_type(http);
    }
    GW_TRY(event_add_attributes(intake, &event));
    return intake->emit(intake->user, &event);
}

int webhook_intake_take(struct webhook_intake *intake, const struct webhook_request *request,
                        int (*emit)(void *user, const struct gws_event *event), void *user,
                        struct gw_reason *reason)
{
    int verdict = 0;

    intake->emit = emit;
    intake->user = user;
    GW_TRY(intake_read_attributes(intake, request));
    verdict = gw_event_decode(&request->http, on_cloudevent, intake, reason);
    if (verdict == GW_EVENT_NOT)
        return intake_take_plain(intake, request);
    if (verdict == GW_EVENT_BAD)
        return WEBHOOK_INTAKE_BAD;
    if (verdict == GW_EVENT_FORMAT)
        return WEBHOOK_INTAKE_FORMAT;
    return verdict;
}
