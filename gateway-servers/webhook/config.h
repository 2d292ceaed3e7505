/* The settings of a webhook source, and what the table of them cannot check. Pure. */
#ifndef WEBHOOK_CONFIG_H
#define WEBHOOK_CONFIG_H

#include "gateway-servers/webhook/auth.h"

struct webhook_response {
    int64_t status;
    const char *body, *content_type;
};

struct webhook_config {
    const char *endpoint, *address, *url;
    int64_t port;
    struct gw_setting_texts methods;
    const char *certificate_file, *key_file;
    const char *payload;
    struct gw_setting_texts content_types;
    uint64_t size_max;
    int64_t timeout_ns, acknowledge_ns;
    const char *id_header;
    struct gw_setting_pairs extensions;
    struct webhook_auth_config auth;
    bool auth_given;
    struct webhook_response response;
};
extern const struct gw_setting webhook_settings[];

void webhook_config_check(const struct webhook_config *config, struct gw_problems *problems);

/* NULL for what is left out, or empty: Argo took both for the same. */
const char *webhook_config_text(const char *text);
/* The set of gws_method_bit(). */
unsigned webhook_config_methods(const struct webhook_config *config);
bool webhook_config_envelope(const struct webhook_config *config);
/* Whether a media type (with its parameters) is among contentTypes; "image/" followed by '*' takes all
 * images. */
bool webhook_config_takes(const struct webhook_config *config, struct gw_view content_type);

/* Where an extension attribute comes from: "header:X-Name", "query:q", "path:id". */
enum webhook_origin { WEBHOOK_FROM_HEADER, WEBHOOK_FROM_QUERY, WEBHOOK_FROM_PATH };
/* False: not of this form. *ret_name is the rest of the text. */
bool webhook_origin_parse(const char *text, enum webhook_origin *ret_origin, const char **ret_name);

enum { WEBHOOK_EXTENSIONS_MAX = 32 };

#endif
