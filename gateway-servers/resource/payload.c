/* Payload: the shapes. */
#include "gateway-servers/resource/payload.h"

#include "common/json.h"

static void write_member(struct gw_bytes *out, const char *before, const char *key, const char *value)
{
    gw_bytes_printf(out, "%s\"%s\":", before, key);
    gw_json_quote(out, gw_view_text(value));
}

static void write_api_version(struct gw_bytes *out, const struct payload *payload)
{
    gw_bytes_printf(out, "\"apiVersion\":\"%s%s%s\"", payload->group, payload->group[0] == '\0' ? "" : "/",
                    payload->version);
}

void payload_reference(struct gw_bytes *out, const struct payload *payload)
{
    write_member(out, "{", "kind", payload->kind);
    if (payload->namespace_[0] != '\0')
        write_member(out, ",", "namespace", payload->namespace_);
    write_member(out, ",", "name", payload->name);
    write_member(out, ",", "uid", payload->uid);
    gw_bytes_append_char(out, ',');
    write_api_version(out, payload);
    if (payload->resource_version[0] != '\0')
        write_member(out, ",", "resourceVersion", payload->resource_version);
    gw_bytes_append_char(out, '}');
}

void payload_remains(struct gw_bytes *out, const struct payload *payload)
{
    gw_bytes_append_char(out, '{');
    write_api_version(out, payload);
    write_member(out, ",", "kind", payload->kind);
    write_member(out, ",\"metadata\":{", "name", payload->name);
    if (payload->namespace_[0] != '\0')
        write_member(out, ",", "namespace", payload->namespace_);
    write_member(out, ",", "uid", payload->uid);
    gw_bytes_append_text(out, "}}");
}

static void write_object(struct gw_bytes *out, struct gw_view object)
{
    if (object.size > 0)
        gw_bytes_append_view(out, object);
    else
        gw_bytes_append_text(out, "null");
}

void payload_write(struct gw_bytes *out, enum payload_shape shape, const struct payload *payload)
{
    const char *change = change_names[payload->change];

    if (shape == PAYLOAD_LEGACY) {
        gw_bytes_append_text(out, "{\"Obj\":");
        write_object(out, payload->object);
        gw_bytes_append_text(out, ",\"OldObj\":");
        write_object(out, payload->old);
        gw_bytes_printf(out, ",\"Type\":\"%s\"}", change);
        return;
    }
    gw_bytes_printf(out, "{\"type\":\"%s\",\"body\":", change);
    write_object(out, payload->object);
    write_member(out, ",", "group", payload->group);
    write_member(out, ",", "version", payload->version);
    write_member(out, ",", "resource", payload->resource);
    gw_bytes_append_char(out, '}');
}
