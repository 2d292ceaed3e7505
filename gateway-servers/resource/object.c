/* Object: one pass over the metadata. */
#include "gateway-servers/resource/object.h"

#include "common/clock.h"
#include "common/json.h"

static struct gw_view member(struct gw_view json, const char *key)
{
    struct gw_json_walk walk = gw_json_walk(json);

    while (walk.open == '{' && gw_json_next(&walk))
        if (gw_view_is(walk.key, key))
            return walk.value;
    return (struct gw_view){0};
}

struct object object_read(struct gw_view json)
{
    struct object object = {.json = json, .metadata = member(json, "metadata")};
    const struct {
        const char *key;
        struct gw_view *value;
    } rows[] = {
        {"labels", &object.labels},
        {"annotations", &object.annotations},
        {"creationTimestamp", &object.created},
        {"managedFields", &object.managed_fields},
    };
    struct gw_json_walk walk = gw_json_walk(object.metadata);

    while (walk.open == '{' && gw_json_next(&walk))
        for (size_t i = 0; i < GW_COUNT_OF(rows); i++)
            if (gw_view_is(walk.key, rows[i].key))
                *rows[i].value = walk.value;
    return object;
}

bool object_text(struct gw_view mapping, const char *key, struct gw_bytes *ret_text)
{
    struct gw_view value = member(mapping, key);

    gw_bytes_clear(ret_text);
    return value.size > 0 && gw_json_unquote(ret_text, value);
}

static bool time_read(struct gw_view token, int64_t *ret_ns)
{
    return token.size > 2 && token.data[0] == '"' &&
           gw_time_parse(gw_view(token.data + 1, token.size - 2), ret_ns);
}

bool object_created(const struct object *object, int64_t *ret_ns)
{
    return time_read(object->created, ret_ns);
}

int64_t object_written(const struct object *object, int64_t otherwise)
{
    struct gw_json_walk walk = gw_json_walk(object->managed_fields);
    int64_t newest_ns = INT64_MIN, time_ns;

    while (gw_json_next(&walk))
        if (time_read(member(walk.value, "time"), &time_ns))
            newest_ns = GW_MAX(newest_ns, time_ns);
    if (newest_ns == INT64_MIN && !object_created(object, &newest_ns))
        newest_ns = otherwise;
    return newest_ns;
}

static void metadata_write(struct gw_bytes *out, struct gw_view metadata)
{
    struct gw_json_walk walk = gw_json_walk(metadata);
    bool first = true;

    gw_bytes_append_char(out, '{');
    while (gw_json_next(&walk)) {
        if (gw_view_is(walk.key, "managedFields"))
            continue;
        if (!first)
            gw_bytes_append_char(out, ',');
        first = false;
        gw_bytes_append(out, walk.key.data - 1, walk.key.size + 2);
        gw_bytes_append_char(out, ':');
        gw_bytes_append_view(out, walk.value);
    }
    gw_bytes_append_char(out, '}');
}

void object_write(struct gw_bytes *out, const struct object *object, bool managed_fields)
{
    if (managed_fields || object->managed_fields.size == 0) {
        gw_bytes_append_view(out, object->json);
        return;
    }
    const char *end = object->json.data + object->json.size;
    const char *rest = object->metadata.data + object->metadata.size;

    gw_bytes_append(out, object->json.data, (size_t)(object->metadata.data - object->json.data));
    metadata_write(out, object->metadata);
    gw_bytes_append(out, rest, (size_t)(end - rest));
}
