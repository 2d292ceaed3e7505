/* The configuration of a generic event source: Argo Events' fields, and TLS that works. */
#ifndef GENERIC_CONFIG_H
#define GENERIC_CONFIG_H

#include "common/rpc.h"
#include "common/settings.h"

struct generic_tls_config {
    const char *ca_file, *certificate_file, *key_file, *server_name;
};

struct generic_config {
    const char *url;
    bool insecure;
    const struct gw_node *config; /* NULL: none */
    bool json_body;
    const char *payload;
    struct gw_setting_pairs metadata;
    struct gw_setting_secret auth_secret;
    struct generic_tls_config tls;
    bool tls_given;
};

extern const struct gw_setting generic_settings[];

/* What the table cannot check. */
void generic_config_check(const struct generic_config *config, struct gw_problems *problems);

bool generic_config_envelope(const struct generic_config *config);
struct gw_rpc_tls generic_config_tls(const struct generic_config *config);
/* The bytes of EventSource.config: text as it was written, anything else as JSON. */
void generic_config_text(const struct generic_config *config, struct gw_bytes *out);

#endif
