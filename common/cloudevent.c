/* The CloudEvent: the counted object that threads pass around, and the checks of its attributes. */
#include "common/cloudevent_parts.h"

#include "common/text.h"

#include <stdlib.h>

const char *const gw_event_mode_names[] = {
    [GW_EVENT_STRUCTURED] = "structured", [GW_EVENT_BINARY] = "binary",
    [GW_EVENT_BATCH] = "batch",           [GW_EVENT_LEGACY] = "legacy",
    [GW_EVENT_LEGACY_03] = "legacy-0.3",  [GW_EVENT_LEGACY_03_JSON] = "legacy-0.3-json",
    [GW_EVENT_LEGACY_03_JSON + 1] = NULL,
};

/* ---- the object ---- */

/* Every view of the fields, so that size and copy cannot disagree. */
static const size_t event_views[] = {
    offsetof(struct gw_event_fields, id),
    offsetof(struct gw_event_fields, source),
    offsetof(struct gw_event_fields, type),
    offsetof(struct gw_event_fields, subject),
    offsetof(struct gw_event_fields, data_content_type),
    offsetof(struct gw_event_fields, data_schema),
    offsetof(struct gw_event_fields, partition_key),
    offsetof(struct gw_event_fields, gateway),
    offsetof(struct gw_event_fields, event_source),
    offsetof(struct gw_event_fields, kind),
    offsetof(struct gw_event_fields, data),
};

static struct gw_view *event_view_at(const struct gw_event_fields *fields, size_t index)
{
    return (struct gw_view *)(void *)((char *)(uintptr_t)fields + event_views[index]);
}

static size_t event_size(const struct gw_event_fields *fields)
{
    size_t size = sizeof(struct gw_event) + fields->extensions_count * sizeof(struct gw_extension);

    for (size_t i = 0; i < GW_COUNT_OF(event_views); i++)
        size += event_view_at(fields, i)->size;
    for (size_t i = 0; i < fields->extensions_count; i++)
        size += fields->extensions[i].name.size + fields->extensions[i].value.size;
    return size;
}

static struct gw_view event_copy(char **room, struct gw_view view)
{
    char *start = *room;

    if (view.size == 0)
        return (struct gw_view){NULL, 0};
    memcpy(start, view.data, view.size);
    *room += view.size;
    return gw_view(start, view.size);
}

struct gw_event *gw_event_new(const struct gw_event_fields *fields)
{
    size_t size = event_size(fields);
    struct gw_event *event = malloc(size);
    struct gw_extension *extensions;
    char *room;

    if (event == NULL)
        return NULL;
    extensions = (struct gw_extension *)(void *)(event + 1);
    room = (char *)(extensions + fields->extensions_count);

    *event = (struct gw_event){.fields = *fields, .size = size, .references = 1};
    for (size_t i = 0; i < GW_COUNT_OF(event_views); i++)
        *event_view_at(&event->fields, i) = event_copy(&room, *event_view_at(fields, i));
    for (size_t i = 0; i < fields->extensions_count; i++)
        extensions[i] = (struct gw_extension){.name = event_copy(&room, fields->extensions[i].name),
                                              .value = event_copy(&room, fields->extensions[i].value),
                                              .kind = fields->extensions[i].kind};
    event->fields.extensions = fields->extensions_count > 0 ? extensions : NULL;
    return event;
}

struct gw_event *gw_event_ref(struct gw_event *event)
{
    if (event != NULL)
        __atomic_add_fetch(&event->references, 1, __ATOMIC_RELAXED);
    return event;
}

struct gw_event *gw_event_unref(struct gw_event *event)
{
    if (event != NULL && __atomic_sub_fetch(&event->references, 1, __ATOMIC_ACQ_REL) == 0)
        free(event);
    return NULL;
}

/* ---- the checks ---- */

static bool is_lower_or_digit(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
}

static bool is_letter_or_digit(char byte)
{
    return is_lower_or_digit(byte) || (byte >= 'A' && byte <= 'Z');
}

bool gw_event_name_legal(struct gw_view name)
{
    if (name.size == 0 || name.size > GW_EVENT_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (!is_lower_or_digit(name.data[i]))
            return false;
    return true;
}

bool gw_event_media_json(struct gw_view media_type)
{
    const char *semicolon = media_type.size == 0 ? NULL : memchr(media_type.data, ';', media_type.size);
    struct gw_view type = media_type;

    if (semicolon != NULL)
        type.size = (size_t)(semicolon - media_type.data);
    type = gw_view_trim(type);
    if (type.size < 6)
        return false;
    return gw_view_is_nocase(gw_view(type.data + type.size - 5, 5), "/json") ||
           gw_view_is_nocase(gw_view(type.data + type.size - 5, 5), "+json");
}

/* The code points that CloudEvents 1.0.2, 3.1 "String" forbids: controls and non-characters. `text` is UTF-8. */
static bool string_has_forbidden(struct gw_view text)
{
    const unsigned char *bytes = (const unsigned char *)text.data;

    for (size_t i = 0; i < text.size; i++) {
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return true;
        if (bytes[i] == 0xc2 && bytes[i + 1] < 0xa0)
            return true;
        /* U+FDD0 to U+FDEF */
        if (bytes[i] == 0xef && bytes[i + 1] == 0xb7 && bytes[i + 2] >= 0x90 && bytes[i + 2] <= 0xaf)
            return true;
        /* U+nFFFE and U+nFFFF end in BF BE or BF BF; below U+10000 the first byte is EF */
        if (bytes[i] == 0xef && bytes[i + 1] == 0xbf && bytes[i + 2] >= 0xbe)
            return true;
        if (bytes[i] >= 0xf0 && (bytes[i + 1] & 0x0f) == 0x0f && bytes[i + 2] == 0xbf && bytes[i + 3] >= 0xbe)
            return true;
    }
    return false;
}

bool gw_event_text_legal(struct gw_view text)
{
    return text.size <= GW_EVENT_ATTRIBUTE_MAX && gw_utf8_valid(text) && !string_has_forbidden(text);
}

static bool check_string(const char *name, struct gw_view value, struct gw_reason *reason)
{
    if (value.size > GW_EVENT_ATTRIBUTE_MAX) {
        gw_reason_set(reason, "%s: %zu bytes, at most %d are taken", name, value.size,
                      GW_EVENT_ATTRIBUTE_MAX);
        return false;
    }
    if (!gw_utf8_valid(value)) {
        gw_reason_set(reason, "%s: is not UTF-8", name);
        return false;
    }
    if (string_has_forbidden(value)) {
        gw_reason_set(reason, "%s: holds a control character or a non-character", name);
        return false;
    }
    return true;
}

static bool check_required(const char *name, struct gw_view value, struct gw_reason *reason)
{
    if (value.size > 0)
        return check_string(name, value, reason);
    gw_reason_set(reason, "%s: missing, every CloudEvent has one", name);
    return false;
}

static bool is_hex(char byte)
{
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'f');
}

/* Unreserved, sub-delims, percent escapes, and `more`. */
static bool is_uri_text(struct gw_view text, const char *more)
{
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];

        if (byte == '%') {
            if (text.size - i < 3 || !is_hex(text.data[i + 1]) || !is_hex(text.data[i + 2]))
                return false;
        } else if (!is_letter_or_digit(byte) && (byte == '\0' || (strchr("-._~!$&'()*+,;=", byte) == NULL &&
                                                                  strchr(more, byte) == NULL))) {
            return false;
        }
    }
    return true;
}

/* Cuts off what stands before the first of `stops`; all, when none of them is there. */
static struct gw_view uri_cut(struct gw_view *rest, const char *stops)
{
    size_t size = 0;

    while (size < rest->size && (rest->data[size] == '\0' || strchr(stops, rest->data[size]) == NULL))
        size++;
    struct gw_view piece = gw_view(rest->data, size);
    *rest = gw_view(rest->data + size, rest->size - size);
    return piece;
}

static bool uri_starts(struct gw_view text, char byte)
{
    return text.size > 0 && text.data[0] == byte;
}

/* The bytes of "scheme:" at the start; 0: there is none. */
static size_t uri_scheme_size(struct gw_view text)
{
    if (text.size == 0 || !is_letter_or_digit(text.data[0]) || text.data[0] <= '9')
        return 0;
    for (size_t i = 1; i < text.size; i++) {
        if (text.data[i] == ':')
            return i + 1;
        if (!is_letter_or_digit(text.data[i]) &&
            (text.data[i] == '\0' || strchr("+-.", text.data[i]) == NULL))
            return 0;
    }
    return 0;
}

/* [ userinfo "@" ] host [ ":" port ] */
static bool is_uri_authority(struct gw_view text)
{
    struct gw_view host = text, user = uri_cut(&host, "@");
    struct gw_view address;

    if (host.size == 0)
        host = text;
    else if (!is_uri_text(user, ":"))
        return false;
    else
        host = gw_view(host.data + 1, host.size - 1);
    if (uri_starts(host, '[')) {
        host = gw_view(host.data + 1, host.size - 1);
        address = uri_cut(&host, "]");
        if (host.size == 0 || !is_uri_text(address, ":"))
            return false;
        host = gw_view(host.data + 1, host.size - 1);
    } else if (!is_uri_text(uri_cut(&host, ":"), "")) {
        return false;
    }
    for (size_t i = 0; i < host.size; i++)
        if (i == 0 ? host.data[i] != ':' : host.data[i] < '0' || host.data[i] > '9')
            return false;
    return true;
}

/* RFC 3986, 4.1. */
static bool is_uri_reference(struct gw_view text)
{
    size_t scheme = uri_scheme_size(text);
    struct gw_view rest = gw_view(text.data + scheme, text.size - scheme), first = rest;

    /* without a scheme, a colon in the first segment would make one */
    uri_cut(&first, ":/?#");
    if (scheme == 0 && uri_starts(first, ':'))
        return false;
    if (rest.size >= 2 && memcmp(rest.data, "//", 2) == 0) {
        rest = gw_view(rest.data + 2, rest.size - 2);
        if (!is_uri_authority(uri_cut(&rest, "/?#")))
            return false;
    }
    if (!is_uri_text(uri_cut(&rest, "?#"), ":@/"))
        return false;
    if (uri_starts(rest, '?')) {
        rest = gw_view(rest.data + 1, rest.size - 1);
        if (!is_uri_text(uri_cut(&rest, "#"), ":@/?"))
            return false;
    }
    return rest.size == 0 || is_uri_text(gw_view(rest.data + 1, rest.size - 1), ":@/?");
}

static bool is_token(const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!is_letter_or_digit(data[i]) && (data[i] == '\0' || strchr("!#$%&'*+-.^_`|~", data[i]) == NULL))
            return false;
    return size > 0;
}

static size_t token_size(struct gw_view text)
{
    size_t size = 0;

    while (size < text.size && is_token(text.data + size, 1))
        size++;
    return size;
}

/* The bytes of a quoted-string at the start, its quotes included; 0: there is none. */
static size_t quoted_size(struct gw_view text)
{
    if (text.size == 0 || text.data[0] != '"')
        return 0;
    for (size_t i = 1, escaped = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];

        if (byte < 0x20 || byte >= 0x7f)
            return 0;
        if (byte == '"' && !escaped)
            return i + 1;
        escaped = byte == '\\' && !escaped;
    }
    return 0;
}

static struct gw_view view_after(struct gw_view text, size_t size)
{
    return gw_view_trim(gw_view(text.data + size, text.size - size));
}

/* ";" name "=" token or quoted-string, again and again; one ";" may stand at the end. */
static bool are_parameters(struct gw_view rest)
{
    while (rest.size > 0) {
        size_t size;

        if (rest.data[0] != ';')
            return false;
        rest = view_after(rest, 1);
        if (rest.size == 0)
            return true;
        size = token_size(rest);
        rest = view_after(rest, size);
        if (size == 0 || rest.size == 0 || rest.data[0] != '=')
            return false;
        rest = view_after(rest, 1);
        size = GW_MAX(token_size(rest), quoted_size(rest));
        if (size == 0)
            return false;
        rest = view_after(rest, size);
    }
    return true;
}

/* type "/" subtype and parameters (RFC 2046, RFC 9110 8.3.1): receivers refuse events whose type they cannot read. */
bool gw_event_media_type_legal(struct gw_view text)
{
    size_t type = token_size(text), subtype;

    if (type == 0 || type == text.size || text.data[type] != '/')
        return false;
    text = gw_view(text.data + type + 1, text.size - type - 1);
    subtype = token_size(text);
    return subtype > 0 && are_parameters(view_after(text, subtype));
}

static bool check_uris(const struct gw_event_fields *fields, struct gw_reason *reason)
{
    if (!is_uri_reference(fields->source)) {
        gw_reason_set(reason, "source: \"%.*s\" is not a URI-reference (RFC 3986)",
                      (int)GW_MIN(fields->source.size, 200), fields->source.data);
        return false;
    }
    if (fields->data_schema.size > 0 &&
        (!is_uri_reference(fields->data_schema) || uri_scheme_size(fields->data_schema) == 0)) {
        gw_reason_set(reason, "dataschema: is not an absolute URI (RFC 3986)");
        return false;
    }
    if (fields->data_content_type.size > 0 && !gw_event_media_type_legal(fields->data_content_type)) {
        gw_reason_set(reason, "datacontenttype: is not a media type such as application/json");
        return false;
    }
    return true;
}

static bool name_is_taken(const struct gw_event_fields *fields, size_t index)
{
    static const char *const core[] = {"id",         "source",  "specversion", "type", "datacontenttype",
                                       "dataschema", "subject", "time",        "data"};
    struct gw_view name = fields->extensions[index].name;

    for (size_t i = 0; i < GW_COUNT_OF(core); i++)
        if (gw_view_is(name, core[i]))
            return true;
    for (size_t i = 0; i < index; i++)
        if (gw_view_equal(name, fields->extensions[i].name))
            return true;
    return gw_view_is(name, "partitionkey") && fields->partition_key.size > 0;
}

static bool check_kind(const struct gw_extension *extension, const char *name, struct gw_reason *reason)
{
    int64_t number;

    if (extension->kind == GW_EXTENSION_BOOL && !gw_view_is(extension->value, "true") &&
        !gw_view_is(extension->value, "false")) {
        gw_reason_set(reason, "%s: a Boolean is true or false", name);
        return false;
    }
    if (extension->kind == GW_EXTENSION_INTEGER &&
        !gw_text_i64(extension->value, INT32_MIN, INT32_MAX, &number)) {
        gw_reason_set(reason, "%s: an Integer is a whole number of 32 bits", name);
        return false;
    }
    return check_string(name, extension->value, reason);
}

static bool check_extension(const struct gw_event_fields *fields, size_t index, struct gw_reason *reason)
{
    const struct gw_extension *extension = &fields->extensions[index];
    char name[GW_EVENT_NAME_MAX + 1] = "";

    if (!gw_event_name_legal(extension->name)) {
        gw_reason_set(reason, "extension %zu: a name is of a-z and 0-9, at most %d of them", index + 1,
                      GW_EVENT_NAME_MAX);
        return false;
    }
    memcpy(name, extension->name.data, extension->name.size);
    if (name_is_taken(fields, index)) {
        gw_reason_set(reason, "%s: given twice, or not a name for an extension", name);
        return false;
    }
    return check_kind(extension, name, reason);
}

bool gw_event_check(const struct gw_event_fields *fields, struct gw_reason *reason)
{
    if (!check_required("id", fields->id, reason) || !check_required("source", fields->source, reason) ||
        !check_required("type", fields->type, reason) || !check_string("subject", fields->subject, reason) ||
        !check_string("datacontenttype", fields->data_content_type, reason) ||
        !check_string("dataschema", fields->data_schema, reason) ||
        !check_string("partitionkey", fields->partition_key, reason) || !check_uris(fields, reason))
        return false;
    if (fields->extensions_count > GW_EVENT_EXTENSIONS_MAX) {
        gw_reason_set(reason, "%zu extensions, at most %d are taken", fields->extensions_count,
                      GW_EVENT_EXTENSIONS_MAX);
        return false;
    }
    for (size_t i = 0; i < fields->extensions_count; i++)
        if (!check_extension(fields, i, reason))
            return false;
    return true;
}
