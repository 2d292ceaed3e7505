/* The data of an event: Argo's {"body": …, "metadata": {…}}, or the payload as it came. */
#include "gateway-servers/generic/payload.h"

#include "common/json.h"
#include "common/text.h"

static void write_body(struct gw_bytes *out, struct gw_view payload, bool json)
{
    if (json) {
        gw_bytes_append_view(out, payload);
        return;
    }
    gw_bytes_append_char(out, '"');
    gw_base64_encode(out, payload);
    gw_bytes_append_char(out, '"');
}

static void write_metadata(struct gw_bytes *out, const struct gw_setting_pairs *metadata)
{
    gw_bytes_append_char(out, '{');
    for (size_t i = 0; i < metadata->count; i++) {
        gw_bytes_append_text(out, i > 0 ? "," : "");
        gw_json_quote(out, gw_view_text(metadata->items[i].name));
        gw_bytes_append_char(out, ':');
        gw_json_quote(out, gw_view_text(metadata->items[i].value));
    }
    gw_bytes_append_char(out, '}');
}

int generic_payload_make(const struct generic_config *config, struct gw_view payload,
                         struct generic_payload *ret_payload)
{
    struct generic_payload made = {.data = payload};
    bool json = config->json_body && gw_json_valid(payload);

    made.not_json = config->json_body && !json;
    made.data_content_type = json ? "application/json" : "application/octet-stream";
    if (generic_config_envelope(config)) {
        gw_bytes_append_text(&made.text, "{\"body\":");
        write_body(&made.text, payload, json);
        /* with jsonBody a reader expects JSON: told apart from a JSON string */
        gw_bytes_append_text(&made.text, made.not_json ? ",\"isBase64Encoded\":true" : "");
        gw_bytes_append_text(&made.text, ",\"metadata\":");
        write_metadata(&made.text, &config->metadata);
        gw_bytes_append_char(&made.text, '}');
        if (made.text.failed) {
            gw_bytes_done(&made.text);
            return GW_RAISE(-ENOMEM);
        }
        made.data = gw_bytes_view(&made.text);
        made.data_content_type = "application/json";
    }
    *ret_payload = made;
    return 0;
}

void generic_payload_done(struct generic_payload *payload)
{
    gw_bytes_done(&payload->text);
}
