/* Settings: the table, and the checks between its fields. */
#include "gateway-servers/generic/config.h"

#include "common/json.h"

#include <unistd.h>

static const char *const payloads[] = {"envelope", "raw", NULL};

#define FIELD(type, member) .offset = offsetof(struct type, member)

static const struct gw_setting tls_settings[] = {
    {.name = "caCertPath",
     .kind = GW_SETTING_TEXT,
     FIELD(generic_tls_config, ca_file),
     .help = "file with the authorities to trust; left out: those of the system"},
    {.name = "clientCertPath",
     .kind = GW_SETTING_TEXT,
     FIELD(generic_tls_config, certificate_file),
     .help = "file with the client's certificate chain, for mutual TLS"},
    {.name = "clientKeyPath",
     .kind = GW_SETTING_TEXT,
     FIELD(generic_tls_config, key_file),
     .help = "file with its private key"},
    {.name = "serverName",
     .kind = GW_SETTING_TEXT,
     FIELD(generic_tls_config, server_name),
     .help = "name that the server's certificate must have; left out: the host of url"},
    {0},
};

const struct gw_setting generic_settings[] = {
    {.name = "url",
     .kind = GW_SETTING_TEXT,
     FIELD(generic_config, url),
     .required = true,
     .help = "address of the gRPC server: host:port, or unix:/path"},
    {.name = "insecure",
     .kind = GW_SETTING_BOOL,
     FIELD(generic_config, insecure),
     .otherwise = "false",
     .help = "no TLS: for servers on this machine or in a network that is trusted"},
    {.name = "config",
     .kind = GW_SETTING_NODE,
     FIELD(generic_config, config),
     .help = "what the server is told to do, in its own words: text is passed on as it is, anything else as "
             "JSON"},
    {.name = "jsonBody",
     .kind = GW_SETTING_BOOL,
     FIELD(generic_config, json_body),
     .otherwise = "false",
     .help = "the server's payloads are JSON"},
    {.name = "payload",
     .kind = GW_SETTING_TEXT,
     FIELD(generic_config, payload),
     .otherwise = "envelope",
     .choices = payloads,
     .help = "data of the event: body and metadata as JSON, or the server's payload as it is"},
    {.name = "metadata",
     .kind = GW_SETTING_PAIRS,
     FIELD(generic_config, metadata),
     .help = "texts that go into each event"},
    {.name = "authSecret",
     .kind = GW_SETTING_SECRET,
     FIELD(generic_config, auth_secret),
     .help = "secret with a token, sent as metadata \"authorization: Bearer …\"; read at each connection"},
    {.name = "tls",
     .kind = GW_SETTING_SECTION,
     FIELD(generic_config, tls),
     .table = tls_settings,
     .present = offsetof(struct generic_config, tls_given) + 1,
     .help = "how TLS is done; the files are read at each connection"},
    {0},
};

static bool text_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static void check_file(const char *path, const char *setting, struct gw_problems *problems)
{
    if (text_given(path) && access(path, R_OK) != 0)
        gw_problems_add(problems, setting, 0, "%s: %s", path, strerror(errno));
}

static void check_tls(const struct generic_config *config, struct gw_problems *problems)
{
    const struct generic_tls_config *tls = &config->tls;

    if (config->insecure && config->tls_given)
        gw_problems_add(problems, "tls", 0,
                        "not with insecure: true, which means no TLS; leave out one of the two");
    if (text_given(tls->certificate_file) != text_given(tls->key_file))
        gw_problems_add(problems, text_given(tls->key_file) ? "tls.clientCertPath" : "tls.clientKeyPath", 0,
                        "missing: a client certificate needs clientCertPath and clientKeyPath");
    check_file(tls->ca_file, "tls.caCertPath", problems);
    check_file(tls->certificate_file, "tls.clientCertPath", problems);
    check_file(tls->key_file, "tls.clientKeyPath", problems);
}

void generic_config_check(const struct generic_config *config, struct gw_problems *problems)
{
    struct gw_reason reason = {""};

    if (config->url != NULL && !gw_rpc_address_valid(config->url, &reason))
        gw_problems_add(problems, "url", 0, "%s", reason.text);
    check_tls(config, problems);
}

bool generic_config_envelope(const struct generic_config *config)
{
    return strcmp(config->payload, "envelope") == 0;
}

static const char *text_or_null(const char *text)
{
    return text_given(text) ? text : NULL;
}

struct gw_rpc_tls generic_config_tls(const struct generic_config *config)
{
    return (struct gw_rpc_tls){
        .enabled = !config->insecure,
        .ca_file = text_or_null(config->tls.ca_file),
        .certificate_file = text_or_null(config->tls.certificate_file),
        .key_file = text_or_null(config->tls.key_file),
        .server_name = text_or_null(config->tls.server_name),
    };
}

void generic_config_text(const struct generic_config *config, struct gw_bytes *out)
{
    const struct gw_node *node = config->config;

    if (node == NULL || node->kind == GW_NODE_NULL)
        return;
    if (node->kind == GW_NODE_TEXT)
        gw_bytes_append(out, node->text, node->text_size);
    else
        gw_json_write_node(out, node);
}
