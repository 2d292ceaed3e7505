/* Settings: the table, and the checks between its fields. */
#include "gateway-servers/webhook/config.h"

#include "gateway-servers/sdk/route.h"

#include <strings.h>
#include <unistd.h>

static const char *const payloads[] = {"raw", "envelope", NULL};

#define FIELD(type, member) .offset = offsetof(struct type, member)

static const struct gw_setting response_settings[] = {
    {.name = "status",
     .kind = GW_SETTING_INTEGER,
     FIELD(webhook_response, status),
     .otherwise = "200",
     .min = 200,
     .max = 299,
     .help = "status of an accepted request"},
    {.name = "body",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_response, body),
     .otherwise = "",
     .help = "its body"},
    {.name = "contentType",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_response, content_type),
     .otherwise = "text/plain; charset=utf-8",
     .help = "media type of the body"},
    {0},
};

const struct gw_setting webhook_settings[] = {
    {.name = "endpoint",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_config, endpoint),
     .required = true,
     .help = "path, with variables as whole segments: /orders/{id}; a missing leading slash is added"},
    {.name = "port",
     .kind = GW_SETTING_INTEGER,
     FIELD(webhook_config, port),
     .required = true,
     .min = 1,
     .max = 65535,
     .help = "TCP port; event sources may share one"},
    {.name = "method",
     .kind = GW_SETTING_TEXTS,
     FIELD(webhook_config, methods),
     .otherwise = "POST",
     .choices = gws_method_names,
     .help = "HTTP method, or a list of them"},
    {.name = "address",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_config, address),
     .help = "address to listen on; left out: all of IPv4 and IPv6"},
    {.name = "url",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_config, url),
     .help = "public URL; taken for compatibility, not used"},
    {.name = "serverCertPath",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_config, certificate_file),
     .help = "file with the TLS certificate chain; read again when it changes"},
    {.name = "serverKeyPath",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_config, key_file),
     .help = "file with its private key"},
    {.name = "payload",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_config, payload),
     .otherwise = "raw",
     .choices = payloads,
     .help = "data of the event: the body as it is, or header, body, query, … as JSON"},
    {.name = "contentTypes",
     .kind = GW_SETTING_TEXTS,
     FIELD(webhook_config, content_types),
     .help = "media types to take; others are answered 415; left out: all"},
    /* an event, with its attributes, has to fit a gRPC message of 4 MiB */
    {.name = "maxPayloadSize",
     .kind = GW_SETTING_SIZE,
     FIELD(webhook_config, size_max),
     .otherwise = "1Mi",
     .min = 1,
     .max = 3 << 20,
     .help = "largest body, at most 3Mi; more is answered 413"},
    {.name = "timeout",
     .kind = GW_SETTING_DURATION,
     FIELD(webhook_config, timeout_ns),
     .otherwise = "30s",
     .min = 1000000,
     .max = INT64_C(3600000000000),
     .help = "how long a connection may be idle, or take to send a request; that of the event source which "
             "opens the port counts"},
    {.name = "ackTimeout",
     .kind = GW_SETTING_DURATION,
     FIELD(webhook_config, acknowledge_ns),
     .otherwise = "10s",
     .min = 1000000,
     .max = INT64_C(3600000000000),
     .help = "how long a request waits for its event to be stored before it is answered 503"},
    {.name = "idHeader",
     .kind = GW_SETTING_TEXT,
     FIELD(webhook_config, id_header),
     .help = "header with the sender's own id of the delivery, such as X-GitHub-Delivery; repeated ones are "
             "dropped"},
    {.name = "extensions",
     .kind = GW_SETTING_PAIRS,
     FIELD(webhook_config, extensions),
     .help = "CloudEvents attributes to set: name to header:X-Name, query:name or path:name"},
    {.name = "auth",
     .kind = GW_SETTING_SECTION,
     FIELD(webhook_config, auth),
     .table = webhook_auth_settings,
     .present = offsetof(struct webhook_config, auth_given) + 1,
     .help = "who may call; left out: everybody"},
    {.name = "response",
     .kind = GW_SETTING_SECTION,
     FIELD(webhook_config, response),
     .table = response_settings,
     .help = "the answer when the event is stored"},
    {0},
};

const char *webhook_config_text(const char *text)
{
    return text == NULL || text[0] == '\0' ? NULL : text;
}

unsigned webhook_config_methods(const struct webhook_config *config)
{
    unsigned methods = 0;

    for (size_t i = 0; i < config->methods.count; i++)
        methods |= gws_method_bit(config->methods.items[i]);
    return methods;
}

bool webhook_config_envelope(const struct webhook_config *config)
{
    return strcmp(config->payload, "envelope") == 0;
}

bool webhook_config_takes(const struct webhook_config *config, struct gw_view content_type)
{
    const char *parameters =
        content_type.size == 0 ? NULL : memchr(content_type.data, ';', content_type.size);

    if (parameters != NULL)
        content_type.size = (size_t)(parameters - content_type.data);
    content_type = gw_view_trim(content_type);
    for (size_t i = 0; i < config->content_types.count; i++) {
        struct gw_view taken = gw_view_trim(gw_view_text(config->content_types.items[i]));
        bool all = taken.size >= 2 && memcmp(taken.data + taken.size - 2, "/*", 2) == 0;

        taken.size -= all ? 1 : 0;
        if (all ? content_type.size > taken.size &&
                      strncasecmp(content_type.data, taken.data, taken.size) == 0
                : content_type.size == taken.size &&
                      strncasecmp(content_type.data, taken.data, taken.size) == 0)
            return true;
    }
    return false;
}

bool webhook_origin_parse(const char *text, enum webhook_origin *ret_origin, const char **ret_name)
{
    static const char *const prefixes[] = {"header:", "query:", "path:"};

    for (size_t i = 0; i < GW_COUNT_OF(prefixes); i++) {
        size_t size = strlen(prefixes[i]);

        if (strncmp(text, prefixes[i], size) != 0 || text[size] == '\0')
            continue;
        *ret_origin = (enum webhook_origin)i;
        *ret_name = text + size;
        return true;
    }
    return false;
}

/* ---- checks ---- */

static void check_tls(const struct webhook_config *config, struct gw_problems *problems)
{
    const char *const files[] = {webhook_config_text(config->certificate_file),
                                 webhook_config_text(config->key_file)};
    static const char *const names[] = {"serverCertPath", "serverKeyPath"};

    for (size_t i = 0; i < GW_COUNT_OF(files); i++) {
        if (files[i] == NULL && files[1 - i] != NULL)
            gw_problems_add(problems, names[i], 0, "missing: TLS needs serverCertPath and serverKeyPath");
        else if (files[i] != NULL && access(files[i], R_OK) != 0)
            gw_problems_add(problems, names[i], 0, "%s: %s", files[i], strerror(errno));
    }
}

static void check_content_types(const struct webhook_config *config, struct gw_problems *problems)
{
    for (size_t i = 0; i < config->content_types.count; i++) {
        const char *type = config->content_types.items[i];
        const char *slash = strchr(type, '/');

        if (slash == NULL || slash == type || slash[1] == '\0' || strpbrk(type, "; ,") != NULL)
            gw_problems_add(problems, "contentTypes", 0,
                            "\"%s\" is not a media type without parameters, such as application/json", type);
    }
}

static bool extension_name_good(const char *name)
{
    return name[0] != '\0' && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789")] == '\0';
}

static bool extension_name_taken(const char *name)
{
    static const char *const own[] = {"id",   "source",          "specversion", "type", "subject",
                                      "time", "datacontenttype", "dataschema",  "data"};

    for (size_t i = 0; i < GW_COUNT_OF(own); i++)
        if (strcmp(own[i], name) == 0)
            return true;
    return false;
}

static bool header_is_secret(const struct webhook_config *config, const char *name)
{
    return strcasecmp(name, "Authorization") == 0 || strcasecmp(name, "Proxy-Authorization") == 0 ||
           strcasecmp(name, "Cookie") == 0 ||
           (config->auth.header_given && config->auth.header.name != NULL &&
            strcasecmp(name, config->auth.header.name) == 0);
}

static bool path_names(const struct gws_path *path, const char *name)
{
    for (size_t i = 0; path != NULL && i < path->count; i++)
        if (path->segments[i].variable && gw_view_is(path->segments[i].text, name))
            return true;
    return false;
}

static void check_extension(const struct webhook_config *config, const struct gw_setting_pair *pair,
                            const struct gws_path *path, struct gw_problems *problems)
{
    enum webhook_origin origin = WEBHOOK_FROM_HEADER;
    const char *name = NULL;
    struct gw_reason where;

    gw_reason_set(&where, "extensions.%s", pair->name);
    if (!extension_name_good(pair->name))
        gw_problems_add(problems, where.text, 0, "the name of an attribute is made of a to z and 0 to 9");
    else if (extension_name_taken(pair->name))
        gw_problems_add(problems, where.text, 0, "%s is an attribute of CloudEvents itself", pair->name);
    if (!webhook_origin_parse(pair->value, &origin, &name))
        gw_problems_add(problems, where.text, 0, "\"%s\" is not header:NAME, query:NAME or path:NAME",
                        pair->value);
    else if (origin == WEBHOOK_FROM_HEADER && header_is_secret(config, name))
        gw_problems_add(problems, where.text, 0, "%s holds credentials, which never go into events", name);
    else if (origin == WEBHOOK_FROM_PATH && path != NULL && !path_names(path, name))
        gw_problems_add(problems, where.text, 0, "the endpoint has no variable {%s}", name);
}

void webhook_config_check(const struct webhook_config *config, struct gw_problems *problems)
{
    GW_AUTO(gws_path_freep) struct gws_path *path = NULL;

    /* an endpoint that is not one is the hook's to say */
    if (gws_path_new(&path, config->endpoint, NULL) != 0)
        path = NULL;
    if (config->methods.count == 0)
        gw_problems_add(problems, "method", 0, "an empty list: no request could come in");
    if (config->extensions.count > WEBHOOK_EXTENSIONS_MAX)
        gw_problems_add(problems, "extensions", 0, "more than %d", WEBHOOK_EXTENSIONS_MAX);
    for (size_t i = 0; i < config->extensions.count; i++)
        check_extension(config, &config->extensions.items[i], path, problems);
    if (config->response.body[0] != '\0' &&
        (config->response.status == 204 || config->response.status == 205))
        gw_problems_add(problems, "response.body", 0, "an answer of status %d has no body",
                        (int)config->response.status);
    if (config->response.content_type[strcspn(config->response.content_type, "\r\n")] != '\0')
        gw_problems_add(problems, "response.contentType", 0, "a header has no line breaks");
    check_tls(config, problems);
    check_content_types(config, problems);
    if (config->auth_given)
        webhook_auth_check(&config->auth, problems);
}
