/* CloudEvents that come in by HTTP: which mode a request is in, and its events. */
#include "common/cloudevent_parts.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <stdio.h>

/* One event being read. Views point into the request, or into `arena` and `data` where something was decoded. */
struct decode {
    struct gw_event_fields fields;
    struct gw_extension extensions[GW_EVENT_EXTENSIONS_MAX];
    struct gw_view specversion;
    unsigned seen; /* attributes that were there, by bit of their place in `attributes` */
    bool base64;   /* 0.3: datacontentencoding */
    bool has_data;
    bool has_data_base64;
    struct gw_view data_raw; /* structured: the tokens */
    struct gw_view data_base64_raw;
    struct gw_arena arena;
    struct gw_bytes text; /* one decoded value at a time */
    struct gw_bytes data;
    const char *where; /* before each message: "", "event 3: " */
    int verdict;       /* of the walk over the headers: 0, GW_EVENT_BAD or a fault */
    struct gw_reason *reason;
};

static void decode_begin(struct decode *decode, const char *where, struct gw_reason *reason)
{
    memset(&decode->fields, 0, sizeof(decode->fields));
    decode->fields.extensions = decode->extensions;
    decode->specversion = decode->data_raw = decode->data_base64_raw = gw_view(NULL, 0);
    decode->seen = 0;
    decode->base64 = decode->has_data = decode->has_data_base64 = false;
    gw_arena_done(&decode->arena);
    decode->arena = (struct gw_arena){0};
    gw_bytes_clear(&decode->text);
    gw_bytes_clear(&decode->data);
    decode->where = where;
    decode->verdict = 0;
    decode->reason = reason;
}

static void decode_done(struct decode *decode)
{
    gw_arena_done(&decode->arena);
    gw_bytes_done(&decode->text);
    gw_bytes_done(&decode->data);
}

#define DECODE_BAD(decode, format, ...)                                                                      \
    (gw_reason_set((decode)->reason, "%s" format, (decode)->where, __VA_ARGS__), GW_EVENT_BAD)

/* The decoded text of one value, kept for as long as the event. */
static int decode_keep(struct decode *decode, struct gw_view *ret_value)
{
    char *copy;

    if (decode->text.failed)
        return GW_RAISE(-ENOMEM);
    copy = gw_arena_copy(&decode->arena, gw_bytes_view(&decode->text));
    if (copy == NULL)
        return GW_RAISE(-ENOMEM);
    *ret_value = gw_view(copy, decode->text.size);
    return 0;
}

/* ---- attributes, the same in all modes ---- */

enum attribute {
    ATTRIBUTE_SPECVERSION,
    ATTRIBUTE_ID,
    ATTRIBUTE_SOURCE,
    ATTRIBUTE_TYPE,
    ATTRIBUTE_SUBJECT,
    ATTRIBUTE_TIME,
    ATTRIBUTE_CONTENT_TYPE,
    ATTRIBUTE_SCHEMA,
    ATTRIBUTE_SCHEMA_03,
    ATTRIBUTE_ENCODING_03,
    ATTRIBUTE_PARTITION_KEY,
    ATTRIBUTES_COUNT,
};
static const char *const attributes[ATTRIBUTES_COUNT] = {
    [ATTRIBUTE_SPECVERSION] = "specversion",
    [ATTRIBUTE_ID] = "id",
    [ATTRIBUTE_SOURCE] = "source",
    [ATTRIBUTE_TYPE] = "type",
    [ATTRIBUTE_SUBJECT] = "subject",
    [ATTRIBUTE_TIME] = "time",
    [ATTRIBUTE_CONTENT_TYPE] = "datacontenttype",
    [ATTRIBUTE_SCHEMA] = "dataschema",
    [ATTRIBUTE_SCHEMA_03] = "schemaurl",
    [ATTRIBUTE_ENCODING_03] = "datacontentencoding",
    [ATTRIBUTE_PARTITION_KEY] = "partitionkey",
};

/* `is_03` tells names apart that only 0.3 gives a meaning; in 1.0 they are extensions like any other. */
static enum attribute attribute_find(struct gw_view name, bool is_03)
{
    for (size_t i = 0; i < ATTRIBUTES_COUNT; i++) {
        if ((i == ATTRIBUTE_SCHEMA_03 || i == ATTRIBUTE_ENCODING_03) && !is_03)
            continue;
        if (gw_view_is(name, attributes[i]))
            return (enum attribute)i;
    }
    return ATTRIBUTES_COUNT;
}

static int attribute_version(struct decode *decode, struct gw_view value)
{
    if (!gw_view_is(value, "1.0") && !gw_view_is(value, "0.3"))
        return DECODE_BAD(decode, "specversion: \"%.*s\" is not known, 1.0 and 0.3 are",
                          (int)GW_MIN(value.size, 40), value.data);
    decode->specversion = value;
    return 0;
}

static int attribute_encoding(struct decode *decode, struct gw_view value)
{
    if (!gw_view_is_nocase(value, "base64"))
        return DECODE_BAD(decode, "datacontentencoding: \"%.*s\" is not known, base64 is",
                          (int)GW_MIN(value.size, 40), value.data);
    decode->base64 = true;
    return 0;
}

static int attribute_time(struct decode *decode, struct gw_view value)
{
    if (!gw_time_parse(value, &decode->fields.time_ns))
        return DECODE_BAD(decode, "time: \"%.*s\" is not a time of RFC 3339 such as 2026-03-01T08:30:00Z",
                          (int)GW_MIN(value.size, 60), value.data);
    return 0;
}

static int attribute_set(struct decode *decode, enum attribute attribute, struct gw_view value)
{
    struct gw_event_fields *fields = &decode->fields;

    if (decode->seen & 1U << attribute)
        return DECODE_BAD(decode, "%s: given twice", attributes[attribute]);
    decode->seen |= 1U << attribute;
    if (value.size == 0)
        return DECODE_BAD(decode, "%s: is empty", attributes[attribute]);

    switch (attribute) {
    case ATTRIBUTE_SPECVERSION:
        return attribute_version(decode, value);
    case ATTRIBUTE_TIME:
        return attribute_time(decode, value);
    case ATTRIBUTE_ENCODING_03:
        return attribute_encoding(decode, value);
    case ATTRIBUTE_ID:
        fields->id = value;
        break;
    case ATTRIBUTE_SOURCE:
        fields->source = value;
        break;
    case ATTRIBUTE_TYPE:
        fields->type = value;
        break;
    case ATTRIBUTE_SUBJECT:
        fields->subject = value;
        break;
    case ATTRIBUTE_CONTENT_TYPE:
        fields->data_content_type = value;
        break;
    case ATTRIBUTE_SCHEMA:
    case ATTRIBUTE_SCHEMA_03:
        fields->data_schema = value;
        break;
    case ATTRIBUTE_PARTITION_KEY:
        fields->partition_key = value;
        break;
    case ATTRIBUTES_COUNT:
        assert(!"an attribute");
    }
    return 0;
}

static int extension_add(struct decode *decode, struct gw_view name, struct gw_view value,
                         enum gw_extension_kind kind)
{
    if (decode->fields.extensions_count == GW_EVENT_EXTENSIONS_MAX)
        return DECODE_BAD(decode, "more than %d extensions", GW_EVENT_EXTENSIONS_MAX);
    /* an empty text is what we know as absent; the name still has to be a name, which gw_event_check() sees to */
    decode->extensions[decode->fields.extensions_count++] =
        (struct gw_extension){.name = name, .value = value, .kind = kind};
    return 0;
}

/* What only the whole event shows. */
static int decode_check(struct decode *decode)
{
    struct gw_reason reason;

    if (decode->specversion.size == 0)
        return DECODE_BAD(decode, "%s: missing, every CloudEvent has one", "specversion");
    if (!gw_event_check(&decode->fields, &reason))
        return DECODE_BAD(decode, "%.400s", reason.text);
    return 0;
}

static int decode_base64(struct decode *decode, struct gw_view text, const char *name)
{
    gw_bytes_clear(&decode->data);
    if (!gw_base64_decode(&decode->data, text)) {
        if (decode->data.failed)
            return GW_RAISE(-ENOMEM);
        return DECODE_BAD(decode, "%s: is not base64 (RFC 4648, with padding)", name);
    }
    decode->fields.data = gw_bytes_view(&decode->data);
    return 0;
}

/* ---- binary ---- */

struct binary {
    struct decode *decode;
    bool is_03;
    bool any; /* an attribute that only CloudEvents have */
};

static void binary_look(void *user, const char *name, const char *value)
{
    static const char *const telling[] = {"ce-specversion", "ce-id", "ce-source", "ce-type"};
    struct binary *binary = user;

    for (size_t i = 0; i < GW_COUNT_OF(telling); i++)
        if (gw_view_is_nocase(gw_view_text(name), telling[i]))
            binary->any = true;
    if (gw_view_is_nocase(gw_view_text(name), "ce-specversion") && strcmp(value, "0.3") == 0)
        binary->is_03 = true;
}

/* HTTP binding 3.1.3.2: a quoted string is unquoted first, then percent escapes are decoded once. A stray '%' is refused:
 * its sender did not encode, and taking it literally would make two ids of one. */
static int binary_value(struct decode *decode, const char *name, const char *header,
                        struct gw_view *ret_value)
{
    struct gw_view value = gw_view_trim(gw_view_text(header));
    char *unquoted = NULL;
    size_t size = 0;

    if (value.size > 3 * (size_t)GW_EVENT_ATTRIBUTE_MAX)
        return DECODE_BAD(decode, "%s: %zu bytes, at most %d are taken", name, value.size,
                          GW_EVENT_ATTRIBUTE_MAX);
    if (value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"') {
        unquoted = gw_arena_copy(&decode->arena, gw_view(value.data + 1, value.size - 2));
        if (unquoted == NULL)
            return GW_RAISE(-ENOMEM);
        for (size_t i = 1; i + 1 < value.size; i++) {
            if (value.data[i] == '\\' && i + 2 < value.size)
                i++;
            unquoted[size++] = value.data[i];
        }
        value = gw_view(unquoted, size);
    }
    gw_bytes_clear(&decode->text);
    if (!gw_percent_decode(&decode->text, value, false) && !decode->text.failed)
        return DECODE_BAD(decode, "%s: is not percent-encoded UTF-8", name);
    return decode_keep(decode, ret_value);
}

static int binary_attribute(struct binary *binary, const char *header, const char *text)
{
    struct decode *decode = binary->decode;
    char lower[GW_EVENT_NAME_MAX + 1] = "";
    struct gw_view name = gw_view_text(header + 3), value;
    enum attribute attribute;
    char *kept;
    int verdict;

    if (name.size == 0 || name.size > GW_EVENT_NAME_MAX)
        return DECODE_BAD(decode, "header %.80s: a name is of a-z and 0-9, at most %d of them", header,
                          GW_EVENT_NAME_MAX);
    for (size_t i = 0; i < name.size; i++)
        lower[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]);
    if (strcmp(lower, "datacontenttype") == 0)
        return DECODE_BAD(decode, "%s: in binary mode this is the Content-Type header", "ce-datacontenttype");

    verdict = binary_value(decode, lower, text, &value);
    if (verdict != 0)
        return verdict;
    attribute = attribute_find(gw_view_text(lower), binary->is_03);
    if (attribute != ATTRIBUTES_COUNT)
        return attribute_set(decode, attribute, value);
    kept = gw_arena_copy(&decode->arena, gw_view(lower, name.size));
    if (kept == NULL)
        return GW_RAISE(-ENOMEM);
    return extension_add(decode, gw_view(kept, name.size), value, GW_EXTENSION_TEXT);
}

static void binary_header(void *user, const char *name, const char *value)
{
    struct binary *binary = user;

    if (binary->decode->verdict == 0 && gw_view_starts_nocase(gw_view_text(name), "ce-"))
        binary->decode->verdict = binary_attribute(binary, name, value);
}

static int decode_binary(struct decode *decode, const struct gw_event_source_http *http,
                         int (*each)(void *user, const struct gw_event_fields *fields), void *user)
{
    struct binary binary = {.decode = decode};
    struct gw_view content_type = gw_view_trim(gw_view_text(http->header(http->request, "Content-Type")));
    int verdict;

    http->headers(http->request, binary_look, &binary);
    if (!binary.any)
        return GW_EVENT_NOT;
    http->headers(http->request, binary_header, &binary);
    if (decode->verdict != 0)
        return decode->verdict;

    decode->fields.data_content_type = content_type;
    decode->fields.data = http->body;
    verdict = decode_check(decode);
    if (verdict == 0 && decode->base64)
        verdict = decode_base64(decode, http->body, "data");
    if (verdict != 0)
        return verdict;
    return each(user, &decode->fields);
}

/* ---- structured ---- */

static bool is_null(struct gw_view token)
{
    return gw_view_is(token, "null");
}

/* The text between the quotes where nothing is escaped, else a decoded copy. */
static int token_text(struct decode *decode, struct gw_view token, const char *name,
                      struct gw_view *ret_value)
{
    if (token.size < 2 || token.data[0] != '"')
        return DECODE_BAD(decode, "%s: must be a text", name);
    if (memchr(token.data, '\\', token.size) == NULL) {
        *ret_value = gw_view(token.data + 1, token.size - 2);
        return 0;
    }
    gw_bytes_clear(&decode->text);
    if (!gw_json_unquote(&decode->text, token) && !decode->text.failed)
        return DECODE_BAD(decode, "%s: holds half of a surrogate pair", name);
    return decode_keep(decode, ret_value);
}

static int member_extension(struct decode *decode, struct gw_view name, struct gw_view token)
{
    char words[GW_EVENT_NAME_MAX + 1];
    struct gw_view value;
    int verdict;

    snprintf(words, sizeof(words), "%.*s", (int)GW_MIN(name.size, GW_EVENT_NAME_MAX), name.data);
    switch (token.data[0]) {
    case '"':
        verdict = token_text(decode, token, words, &value);
        return verdict != 0 ? verdict : extension_add(decode, name, value, GW_EXTENSION_TEXT);
    case 't':
    case 'f':
        return extension_add(decode, name, token, GW_EXTENSION_BOOL);
    case '{':
    case '[':
        return DECODE_BAD(decode, "%s: must be a text, a number or a boolean", words);
    default:
        return extension_add(decode, name, token, GW_EXTENSION_INTEGER);
    }
}

static int member_data(struct decode *decode, struct gw_view name, struct gw_view token, bool *ret_taken)
{
    bool is_base64 = gw_view_is(name, "data_base64");
    bool *has = is_base64 ? &decode->has_data_base64 : &decode->has_data;

    *ret_taken = is_base64 || gw_view_is(name, "data");
    if (!*ret_taken)
        return 0;
    if (*has)
        return DECODE_BAD(decode, "%s: given twice", is_base64 ? "data_base64" : "data");
    *has = true;
    *(is_base64 ? &decode->data_base64_raw : &decode->data_raw) = token;
    return 0;
}

static int member_attribute(struct decode *decode, struct gw_view name, struct gw_view token, bool is_03)
{
    enum attribute attribute = attribute_find(name, is_03);
    struct gw_view value;
    int verdict;

    if (attribute == ATTRIBUTES_COUNT)
        return member_extension(decode, name, token);
    verdict = token_text(decode, token, attributes[attribute], &value);
    return verdict != 0 ? verdict : attribute_set(decode, attribute, value);
}

static int member_take(struct decode *decode, const struct gw_json_walk *walk, bool is_03)
{
    struct gw_view name = walk->key;
    bool taken;
    int verdict;

    if (name.size > 0 && memchr(name.data, '\\', name.size) != NULL) {
        /* no legal name needs an escape, but one may be written so; the walk's key lies between its quotes */
        gw_bytes_clear(&decode->text);
        if (!gw_json_unquote(&decode->text, gw_view(name.data - 1, name.size + 2)) && !decode->text.failed)
            return DECODE_BAD(decode, "%s holds half of a surrogate pair", "the name of a member");
        verdict = decode_keep(decode, &name);
        if (verdict != 0)
            return verdict;
    }
    if (is_null(walk->value))
        return 0;
    verdict = member_data(decode, name, walk->value, &taken);
    if (verdict != 0 || taken)
        return verdict;
    return member_attribute(decode, name, walk->value, is_03);
}

static int structured_data_text(struct decode *decode)
{
    struct gw_view text = {0};
    int verdict = token_text(decode, decode->data_raw, "data", &text);

    if (verdict != 0)
        return verdict;
    if (decode->base64)
        return decode_base64(decode, text, "data");
    decode->fields.data = text;
    return 0;
}

/* JSON format 3.1: JSON data is the value as it stands; any other data is in a text. */
static int structured_data(struct decode *decode)
{
    struct gw_view media_type = decode->fields.data_content_type, text;
    int verdict;

    if (decode->has_data && decode->has_data_base64)
        return DECODE_BAD(decode, "data and data_base64: %s", "an event has one of them");
    if (decode->has_data_base64) {
        verdict = token_text(decode, decode->data_base64_raw, "data_base64", &text);
        return verdict != 0 ? verdict : decode_base64(decode, text, "data_base64");
    }
    if (!decode->has_data)
        return 0;
    if (decode->base64)
        return structured_data_text(decode);
    if (media_type.size == 0 || gw_event_media_json(media_type)) {
        decode->fields.data = decode->data_raw;
        return 0;
    }
    if (decode->data_raw.data[0] != '"')
        return DECODE_BAD(decode, "data: must be a text, because datacontenttype is %.*s",
                          (int)GW_MIN(media_type.size, 100), media_type.data);
    return structured_data_text(decode);
}

static bool structured_is_03(struct gw_view object)
{
    struct gw_json_walk walk = gw_json_walk(object);

    while (gw_json_next(&walk))
        if (gw_view_is(walk.key, "specversion"))
            return gw_view_is(walk.value, "\"0.3\"");
    return false;
}

/* `object` is valid JSON. */
static int structured_read(struct decode *decode, struct gw_view object)
{
    struct gw_json_walk walk = gw_json_walk(object);
    bool is_03;
    int verdict;

    if (walk.open != '{')
        return DECODE_BAD(decode, "%s", "a CloudEvent in JSON is an object");
    is_03 = structured_is_03(object);
    while (gw_json_next(&walk)) {
        verdict = member_take(decode, &walk, is_03);
        if (verdict != 0)
            return verdict;
    }
    verdict = decode_check(decode);
    return verdict != 0 ? verdict : structured_data(decode);
}

static int decode_structured(struct decode *decode, struct gw_view body,
                             int (*each)(void *user, const struct gw_event_fields *fields), void *user)
{
    int verdict;

    if (!gw_json_valid(body))
        return DECODE_BAD(decode, "%s", "the body is not JSON");
    verdict = structured_read(decode, body);
    return verdict != 0 ? verdict : each(user, &decode->fields);
}

/* ---- batch ---- */

/* One walk over the batch; `each` NULL: only to see that all is well. */
static int batch_walk(struct decode *decode, struct gw_view body,
                      int (*each)(void *user, const struct gw_event_fields *fields), void *user)
{
    struct gw_json_walk walk = gw_json_walk(body);
    struct gw_reason *reason = decode->reason;
    char where[40];
    size_t number = 0;
    int verdict;

    if (walk.open != '[')
        return DECODE_BAD(decode, "%s", "a batch of CloudEvents is an array");
    while (gw_json_next(&walk)) {
        snprintf(where, sizeof(where), "event %zu: ", ++number);
        decode_begin(decode, where, reason);
        verdict = structured_read(decode, walk.value);
        if (verdict == 0 && each != NULL)
            verdict = each(user, &decode->fields);
        if (verdict != 0)
            return verdict;
    }
    return 0;
}

/* Twice, because nothing of a batch may be passed on when its last event is wrong, and keeping all of them decoded would
 * need memory without bound. */
static int decode_batch(struct decode *decode, struct gw_view body,
                        int (*each)(void *user, const struct gw_event_fields *fields), void *user)
{
    int verdict;

    if (!gw_json_valid(body))
        return DECODE_BAD(decode, "%s", "the body is not JSON");
    verdict = batch_walk(decode, body, NULL, NULL);
    return verdict != 0 ? verdict : batch_walk(decode, body, each, user);
}

/* ---- which mode ---- */

static struct gw_view media_type_of(const char *content_type)
{
    struct gw_view type = gw_view_text(content_type);
    const char *semicolon = type.size == 0 ? NULL : memchr(type.data, ';', type.size);

    if (semicolon != NULL)
        type.size = (size_t)(semicolon - type.data);
    return gw_view_trim(type);
}

static int decode_request(struct decode *decode, const struct gw_event_source_http *http,
                          int (*each)(void *user, const struct gw_event_fields *fields), void *user)
{
    struct gw_view media_type = media_type_of(http->header(http->request, "Content-Type"));

    if (!gw_view_starts_nocase(media_type, "application/cloudevents"))
        return decode_binary(decode, http, each, user);
    if (gw_view_is_nocase(media_type, "application/cloudevents+json"))
        return decode_structured(decode, http->body, each, user);
    if (gw_view_is_nocase(media_type, "application/cloudevents-batch+json"))
        return decode_batch(decode, http->body, each, user);
    gw_reason_set(decode->reason,
                  "Content-Type: \"%.*s\" is not known, application/cloudevents+json and "
                  "application/cloudevents-batch+json are",
                  (int)GW_MIN(media_type.size, 100), media_type.data);
    return GW_EVENT_FORMAT;
}

int gw_event_decode(const struct gw_event_source_http *http,
                    int (*each)(void *user, const struct gw_event_fields *fields), void *user,
                    struct gw_reason *reason)
{
    struct decode decode = {0};
    int verdict;

    decode_begin(&decode, "", reason);
    verdict = decode_request(&decode, http, each, user);
    decode_done(&decode);
    return verdict;
}
