/* The Gateway spec: the manifest, its servers, and the outbox. */
#include "gateway-client/spec/spec_parts.h"

#include "common/json.h"
#include "common/node_keys.h"
#include "common/text.h"
#include "common/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S INT64_C(1000000000)

static struct {
    const char *namespace_, *port;
} spec_defaults = {"default", "9300"}; /* Argo's port from v0.12 on; before, the field was required */

const char *const gwc_contract_names[] = {
    [GWC_CONTRACT_AUTO] = "auto",          [GWC_CONTRACT_V1] = "gateway.v1",
    [GWC_CONTRACT_ARGO_011] = "argo-0.11", [GWC_CONTRACT_ARGO_016] = "argo-0.16",
    [GWC_CONTRACT_GENERIC] = "generic",    [GWC_CONTRACT_GENERIC + 1] = NULL,
};

struct event_source_ref {
    const char *name, *namespace_;
};

/* The manifest as it is written. */
struct manifest {
    const char *api_version, *kind;
    const struct gw_node *metadata, *status;
    bool spec_given;
    struct {
        const char *type, *processor_port;
        struct gw_setting_sections servers; /* struct gwc_server_spec */
        struct gwc_outbox_spec outbox;
        struct gwc_spec_targets targets;
        const char *event_source; /* [NAMESPACE/]NAME */
        struct event_source_ref event_source_ref;
        const struct gw_node *unused;
    } spec;
};

#define IN_SPEC(member) (offsetof(struct manifest, spec.member) - offsetof(struct manifest, spec))
#define UNUSED_FIELD(field, words)                                                                           \
    {                                                                                                        \
        .name = (field), .kind = GW_SETTING_NODE, .offset = IN_SPEC(unused), .help = (words)                 \
    }

const struct gw_setting gwc_spec_tls_settings[] = {
    {.name = "caFile",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gw_rpc_tls, ca_file),
     .help = "PEM file of the authorities to trust; without it those of the system"},
    {.name = "certificateFile",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gw_rpc_tls, certificate_file),
     .help = "PEM file of the client's certificate"},
    {.name = "keyFile",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gw_rpc_tls, key_file),
     .help = "PEM file of the client's key"},
    {.name = "serverName",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gw_rpc_tls, server_name),
     .help = "name expected in the server's certificate instead of the address's host"},
    {0},
};

static const struct gw_setting server_settings[] = {
    {.name = "type",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_server_spec, type),
     .required = true,
     .help = "the type of event sources that this gateway-server serves, as in \"calendar\""},
    {.name = "address",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_server_spec, address),
     .required = true,
     .help = "where it listens: host:port or unix:/path"},
    {.name = "contract",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_server_spec, contract_name),
     .choices = gwc_contract_names,
     .otherwise = "auto",
     .help = "the gRPC contract it speaks"},
    {.name = "tls",
     .kind = GW_SETTING_SECTION,
     .offset = offsetof(struct gwc_server_spec, tls),
     .table = gwc_spec_tls_settings,
     .present = offsetof(struct gwc_server_spec, tls.enabled) + 1,
     .help = "speak TLS"},
    {.name = "keepalive",
     .kind = GW_SETTING_DURATION,
     .offset = offsetof(struct gwc_server_spec, keepalive_ns),
     .otherwise = "0",
     .max = 3600 * NS_PER_S,
     .help = "time between pings on an idle connection; 0: none"},
    {0},
};

static const struct gw_setting outbox_settings[] = {
    {.name = "sizeMax",
     .kind = GW_SETTING_SIZE,
     .offset = offsetof(struct gwc_outbox_spec, size_max),
     .otherwise = "1Gi",
     .min = 1 << 20,
     .max = INT64_MAX,
     .help = "size at which sources are held back"},
    {.name = "retention",
     .kind = GW_SETTING_DURATION,
     .offset = offsetof(struct gwc_outbox_spec, retention_ns),
     .otherwise = "1h",
     .max = INT64_MAX,
     .help = "how long delivered events are kept, to know duplicates"},
    {.name = "fsync",
     .kind = GW_SETTING_BOOL,
     .offset = offsetof(struct gwc_outbox_spec, fsync),
     .otherwise = "true",
     .help = "false: a crash of the machine may lose acknowledged events"},
    {0},
};

static const struct gw_setting event_source_ref_settings[] = {
    {.name = "name",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct event_source_ref, name),
     .required = true,
     .help = "the name of the ConfigMap"},
    {.name = "namespace",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct event_source_ref, namespace_),
     .help = "the gateway's own when absent"},
    {0},
};

static const struct gw_setting spec_settings[] = {
    {.name = "servers",
     .kind = GW_SETTING_SECTIONS,
     .offset = IN_SPEC(servers),
     .table = server_settings,
     .size = sizeof(struct gwc_server_spec),
     .help = "the gateway-servers"},
    {.name = "watchers",
     .kind = GW_SETTING_SECTION,
     .offset = IN_SPEC(targets),
     .table = gwc_spec_watchers_settings,
     .help = "who receives the events"},
    {.name = "outbox",
     .kind = GW_SETTING_SECTION,
     .offset = IN_SPEC(outbox),
     .table = outbox_settings,
     .help = "the durable log between event sources and watchers"},
    {.name = "type",
     .kind = GW_SETTING_TEXT,
     .offset = IN_SPEC(type),
     .help = "Argo: the type of the only gateway-server"},
    {.name = "processorPort",
     .kind = GW_SETTING_TEXT,
     .offset = IN_SPEC(processor_port),
     .numeric = true,
     .help = "Argo: the port of that gateway-server on this host"},
    {.name = "eventProtocol",
     .kind = GW_SETTING_SECTION,
     .offset = IN_SPEC(targets),
     .table = gwc_spec_protocol_settings,
     .help = "Argo: how sensors are reached"},
    {.name = "subscribers",
     .kind = GW_SETTING_SECTION,
     .offset = IN_SPEC(targets),
     .table = gwc_spec_subscribers_settings,
     .help = "Argo v0.12 and later: URLs that receive the events"},
    {.name = "eventSource",
     .kind = GW_SETTING_TEXT,
     .offset = IN_SPEC(event_source),
     .alias = "configMap",
     .help = "Argo up to v0.11: the ConfigMap of the event sources, NAME or NAMESPACE/NAME, unless "
             "--event-sources is given"},
    {.name = "eventSourceRef",
     .kind = GW_SETTING_SECTION,
     .offset = IN_SPEC(event_source_ref),
     .table = event_source_ref_settings,
     .help = "Argo v0.12 and later: the ConfigMap of the event sources, unless --event-sources is given"},
    UNUSED_FIELD("eventVersion", "Argo: not used"),
    UNUSED_FIELD("template", "Argo: not used"),
    UNUSED_FIELD("service", "Argo: not used"),
    UNUSED_FIELD("replica", "Argo: not used"),
    UNUSED_FIELD("deploySpec", "Argo v0.7: not used"),
    UNUSED_FIELD("serviceSpec", "Argo v0.7: not used"),
    {0},
};

static const struct gw_setting manifest_settings[] = {
    {.name = "apiVersion",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct manifest, api_version),
     .required = true,
     .help = "argoproj.io/v1alpha1"},
    {.name = "kind",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct manifest, kind),
     .required = true,
     .help = "Gateway"},
    {.name = "metadata",
     .kind = GW_SETTING_NODE,
     .offset = offsetof(struct manifest, metadata),
     .required = true,
     .help = "the name of the gateway, and its namespace"},
    {.name = "spec",
     .kind = GW_SETTING_SECTION,
     .offset = offsetof(struct manifest, spec),
     .table = spec_settings,
     .present = offsetof(struct manifest, spec_given) + 1,
     .required = true,
     .help = "what the gateway is"},
    {.name = "status",
     .kind = GW_SETTING_NODE,
     .offset = offsetof(struct manifest, status),
     .help = "not read"},
    {0},
};

void gwc_spec_markdown(struct gw_bytes *out)
{
    gw_settings_markdown(spec_settings, out);
}

void gwc_spec_openapi(int indent, struct gw_bytes *out)
{
    gw_settings_openapi(spec_settings, indent, out);
}

/* ---- lines of problems ---- */

const struct gw_node *gwc_spec_entry(const struct gwc_spec_reader *reader, const char *path, size_t index)
{
    const struct gw_node *node = path[0] == '\0' ? reader->node : gw_node_at(reader->node, path);

    if (node == NULL || index == (size_t)-1)
        return node;
    for (node = node->first; node != NULL && index > 0; index--)
        node = node->next;
    return node;
}

static int spec_line(const struct gwc_spec_reader *reader, const char *path)
{
    const struct gw_node *node = gwc_spec_entry(reader, path, (size_t)-1);

    return node == NULL ? 0 : node->line;
}

static int server_line(const struct gwc_spec_reader *reader, size_t index, const char *field)
{
    const struct gw_node *server = gwc_spec_entry(reader, "servers", index);
    const struct gw_node *node = gw_node_get(server, field);

    return node != NULL ? node->line : server != NULL ? server->line : 0;
}

/* ---- metadata ---- */

static const char *metadata_name(const struct gwc_spec_reader *reader, const struct gw_node *metadata,
                                 const char *field, const char *otherwise)
{
    const struct gw_node *given = gw_node_get(metadata, field);
    const struct gw_node *node = given != NULL && given->kind == GW_NODE_NULL ? NULL : given;
    const char *path = field[4] == '\0' ? "metadata.name" : "metadata.namespace";
    const char *name = gw_node_text(node, otherwise);

    if (node == NULL && otherwise == NULL)
        gw_problems_add(reader->problems, path, metadata->line, "missing: a name for the gateway");
    else if (name == NULL || (node != NULL && node->kind != GW_NODE_TEXT && node->kind != GW_NODE_NUMBER))
        gw_problems_add(reader->problems, path, node->line, "expected text, got %s",
                        gw_node_kind_name(node->kind));
    else if (!gw_dns_name_valid(gw_view_text(name)))
        gw_problems_add(reader->problems, path, node == NULL ? 0 : node->line,
                        "\"%s\" is not a name: lower-case letters, digits, '-' and '.' make one", name);
    return name;
}

static int copy_text(struct gwc_spec *spec, const char *text, const char **ret_text)
{
    *ret_text = gw_arena_copy(&spec->arena, gw_view_text(text));
    return *ret_text == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int read_metadata(const struct gwc_spec_reader *reader, const struct gw_node *metadata)
{
    if (metadata == NULL)
        return 0;
    if (metadata->kind != GW_NODE_MAP) {
        gw_problems_add(reader->problems, "metadata", metadata->line, "expected a mapping, got %s",
                        gw_node_kind_name(metadata->kind));
        return 0;
    }
    GW_TRY(copy_text(reader->spec, metadata_name(reader, metadata, "name", NULL), &reader->spec->name));
    GW_TRY(copy_text(reader->spec, metadata_name(reader, metadata, "namespace", spec_defaults.namespace_),
                     &reader->spec->namespace_));
    return 0;
}

/* Another kind of object, by mistake: one sentence is enough, its fields are not looked at. */
static bool is_other_kind(const struct gwc_spec_reader *reader, const struct gw_node *root)
{
    const struct gw_node *node = gw_node_get(root, "kind");
    const char *kind = gw_node_text(node, "Gateway");

    if (strcmp(kind, "Gateway") == 0)
        return false;
    gw_problems_add(reader->problems, "kind", node->line, "expected Gateway, got %s%s", kind,
                    strcmp(kind, "ConfigMap") == 0 ? ": event sources are given with --event-sources" : "");
    return true;
}

static void check_version(const struct gwc_spec_reader *reader, const struct gw_node *root)
{
    const struct gw_node *node = gw_node_get(root, "apiVersion");
    const char *version = gw_node_text(node, NULL);

    if (version != NULL && strncmp(version, "argoproj.io/", strlen("argoproj.io/")) != 0)
        gw_problems_add(reader->problems, "apiVersion", node->line, "expected argoproj.io/v1alpha1, got %s",
                        version);
}

/* ---- servers ---- */

static size_t name_index(const char *const *names, const char *name)
{
    size_t index = 0;

    while (names[index] != NULL && (name == NULL || strcmp(names[index], name) != 0))
        index++;
    return names[index] == NULL ? 0 : index;
}

/* A type begins the keys of its event sources, so it ends at the first dot. */
static bool type_legal(const char *type)
{
    return type[0] != '\0' &&
           type[strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] == '\0';
}

static int check_server(const struct gwc_spec_reader *reader, size_t index, struct gw_node_keys *types)
{
    const struct gwc_server_spec *server = &reader->spec->servers[index];
    struct gw_reason reason = {""};
    char path[64];

    if (server->type == NULL || server->address == NULL)
        return 0;
    snprintf(path, sizeof(path), "spec.servers[%zu].type", index);
    int known = gw_node_keys_add(types, server->type);
    if (known == GW_NODE_KEYS_KNOWN)
        gw_problems_add(reader->problems, path, server_line(reader, index, "type"),
                        "another server has the type \"%s\" too: there can be one of a type", server->type);
    else
        GW_TRY(known);
    if (!type_legal(server->type))
        gw_problems_add(reader->problems, path, server_line(reader, index, "type"),
                        "\"%s\" is not a type: letters, digits, '-' and '_' make one", server->type);
    snprintf(path, sizeof(path), "spec.servers[%zu].address", index);
    if (!gw_rpc_address_valid(server->address, &reason))
        gw_problems_add(reader->problems, path, server_line(reader, index, "address"), "%s", reason.text);
    snprintf(path, sizeof(path), "spec.servers[%zu].tls", index);
    if ((server->tls.certificate_file == NULL) != (server->tls.key_file == NULL))
        gw_problems_add(reader->problems, path, server_line(reader, index, "tls"),
                        "certificateFile and keyFile belong together: give both or none");
    return 0;
}

bool gwc_spec_port_legal(const char *text)
{
    uint64_t port;

    return gw_text_u64(gw_view_text(text), UINT16_MAX, &port) && port > 0;
}

/* Argo's `type` and `processorPort`: one server on this host. Nothing when `servers` has that type. */
static int add_argo_server(const struct gwc_spec_reader *reader, const struct manifest *manifest)
{
    struct gwc_spec *spec = reader->spec;
    const char *type = manifest->spec.type, *port = manifest->spec.processor_port;
    struct gwc_server_spec *server = &spec->servers[spec->servers_count];

    if (port != NULL && !gwc_spec_port_legal(port))
        gw_problems_add(reader->problems, "spec.processorPort", spec_line(reader, "processorPort"),
                        "\"%s\" is not a port: 1 to 65535", port);
    if (type == NULL && port != NULL)
        gw_problems_add(reader->problems, "spec.type", spec_line(reader, "processorPort"),
                        "missing: the type of the gateway-server at processorPort");
    if (type == NULL || (port == NULL && gwc_spec_server(spec, type) != NULL))
        return 0;
    if (spec->servers_count > 0 && port == NULL) {
        gw_problems_add(reader->problems, "spec.type", spec_line(reader, "type"),
                        "no server has the type \"%s\": add it to servers, or give its processorPort", type);
        return 0;
    }
    *server = (struct gwc_server_spec){.type = type, .contract_name = gwc_contract_names[GWC_CONTRACT_AUTO]};
    server->address = gw_arena_printf(&spec->arena, "127.0.0.1:%s", port == NULL ? spec_defaults.port : port);
    if (server->address == NULL)
        return GW_RAISE(-ENOMEM);
    if (!type_legal(type))
        gw_problems_add(reader->problems, "spec.type", spec_line(reader, "type"),
                        "\"%s\" is not a type: letters, digits, '-' and '_' make one", type);
    if (gwc_spec_server(spec, type) != NULL)
        gw_problems_add(reader->problems, "spec.type", spec_line(reader, "type"),
                        "servers has the type \"%s\" too: there can be one of a type", type);
    spec->servers_count++;
    return 0;
}

static int read_servers(const struct gwc_spec_reader *reader, const struct manifest *manifest)
{
    GW_AUTO(gw_node_keys_done) struct gw_node_keys types = {0};
    const struct gw_setting_sections *given = &manifest->spec.servers;
    struct gwc_spec *spec = reader->spec;

    spec->servers = gw_arena_alloc(&spec->arena, (given->count + 1) * sizeof(*spec->servers));
    if (spec->servers == NULL)
        return GW_RAISE(-ENOMEM);
    if (given->count > 0)
        memcpy(spec->servers, given->items, given->count * sizeof(*spec->servers));
    spec->servers_count = given->count;
    for (size_t i = 0; i < given->count; i++) {
        spec->servers[i].contract =
            (enum gwc_contract)name_index(gwc_contract_names, spec->servers[i].contract_name);
        GW_TRY(check_server(reader, i, &types));
    }
    GW_TRY(add_argo_server(reader, manifest));
    if (spec->servers_count == 0 && manifest->spec_given)
        gw_problems_add(
            reader->problems, "spec.servers", spec_line(reader, ""),
            "missing: at least one gateway-server, as in {type: calendar, address: \"127.0.0.1:9330\"}");
    return 0;
}

/* ---- the ConfigMap of the event sources ---- */

static void check_event_source(const struct gwc_spec_reader *reader, const char *field,
                               const char *namespace_)
{
    const struct gwc_spec *spec = reader->spec;
    char path[64];

    snprintf(path, sizeof(path), "spec.%s", field);
    if (!gw_dns_name_valid(gw_view_text(spec->event_source.name)))
        gw_problems_add(
            reader->problems, path, spec_line(reader, field),
            "\"%s\" is not the name of a ConfigMap: lower-case letters, digits, '-' and '.' make one",
            spec->event_source.name);
    if (namespace_ != NULL && !gw_dns_label_valid(gw_view_text(namespace_)))
        gw_problems_add(reader->problems, path, spec_line(reader, field),
                        "\"%s\" is not a namespace: lower-case letters, digits and '-' make one", namespace_);
}

/* v0.11 says "name" or "namespace/name", v0.16 {name, namespace}. */
static int read_event_source(const struct gwc_spec_reader *reader, const struct manifest *manifest,
                             bool namespace_given)
{
    struct gwc_spec *spec = reader->spec;
    const char *text = manifest->spec.event_source, *name = manifest->spec.event_source_ref.name;
    const char *namespace_ = manifest->spec.event_source_ref.namespace_, *field = "eventSourceRef";

    if (text != NULL && name != NULL)
        gw_problems_add(reader->problems, "spec.eventSource", spec_line(reader, "eventSource"),
                        "eventSourceRef is given too: one of them names the ConfigMap");
    if (text != NULL) {
        const char *slash = strchr(text, '/');
        field = gwc_spec_entry(reader, "configMap", (size_t)-1) != NULL ? "configMap" : "eventSource";
        name = slash == NULL ? text : slash + 1;
        namespace_ =
            slash == NULL ? NULL : gw_arena_copy(&spec->arena, gw_view(text, (size_t)(slash - text)));
        if (slash != NULL && namespace_ == NULL)
            return GW_RAISE(-ENOMEM);
    }
    if (name == NULL)
        return 0;
    spec->event_source.name = name;
    spec->event_source.namespace_ = namespace_ != NULL ? namespace_
                                    : namespace_given  ? spec->namespace_
                                                       : NULL;
    check_event_source(reader, field, namespace_);
    return 0;
}

/* ---- reading ---- */

void gwc_spec_set_defaults(const char *namespace_, const char *server_port)
{
    spec_defaults.namespace_ = namespace_ != NULL ? namespace_ : "default";
    spec_defaults.port = server_port != NULL && gwc_spec_port_legal(server_port) ? server_port : "9300";
}

static int read_manifest(const struct gwc_spec_reader *reader, const struct gw_node *root)
{
    struct manifest manifest;

    if (is_other_kind(reader, root))
        return 0;
    GW_TRY(gw_settings_load(manifest_settings, root, "", &manifest, sizeof(manifest), &reader->spec->arena,
                            reader->problems));
    check_version(reader, root);
    GW_TRY(read_metadata(reader, manifest.metadata));
    GW_TRY(read_servers(reader, &manifest));
    GW_TRY(gwc_spec_read_watchers(reader, &manifest.spec.targets));
    GW_TRY(read_event_source(reader, &manifest, gw_node_get(manifest.metadata, "namespace") != NULL));
    reader->spec->outbox = manifest.spec.outbox;
    return 0;
}

/* The two forms that a manifest comes in: as people write it, as the API server does. */
typedef int spec_parse_fn(struct gw_arena *arena, struct gw_view text, const struct gw_node **ret_root,
                          struct gw_problems *problems);

static int spec_read(spec_parse_fn *parse, struct gw_view text, struct gwc_spec **ret_spec,
                     struct gw_problems *found)
{
    GW_AUTO(gwc_spec_freep) struct gwc_spec *spec = calloc(1, sizeof(*spec));
    const struct gw_node *root = NULL;

    if (spec == NULL)
        return GW_RAISE(-ENOMEM);
    int read = parse(&spec->arena, text, &root, found);
    if (read < 0)
        return GW_RAISE(read);
    if (read == 0) {
        const struct gwc_spec_reader reader = {spec, found, gw_node_get(root, "spec")};

        GW_TRY(read_manifest(&reader, root));
    }
    if (gw_problems_any(found))
        return GWC_SPEC_BAD;
    *ret_spec = GW_TAKE(spec);
    return 0;
}

int gwc_spec_read(struct gw_view text, struct gwc_spec **ret_spec, struct gw_problems *problems)
{
    /* Its own list: the caller's may hold problems of something else. */
    GW_AUTO(gw_problems_done) struct gw_problems found = {.file = problems->file};
    int read = spec_read(gw_yaml_read, text, ret_spec, &found);

    gw_problems_append(problems, &found);
    return read;
}

int gwc_spec_read_object(struct gw_view json, struct gwc_spec **ret_spec, struct gw_problems *problems)
{
    GW_AUTO(gw_problems_done) struct gw_problems found = {.file = problems->file};
    int read = spec_read(gw_json_read, json, ret_spec, &found);

    for (size_t i = 0; i < found.count; i++)
        found.items[i].line = 0;
    gw_problems_append(problems, &found);
    return read;
}

struct gwc_spec *gwc_spec_free(struct gwc_spec *spec)
{
    if (spec == NULL)
        return NULL;
    gw_arena_done(&spec->arena);
    free(spec);
    return NULL;
}

const struct gwc_server_spec *gwc_spec_server(const struct gwc_spec *spec, const char *type)
{
    for (size_t i = 0; i < spec->servers_count; i++) {
        if (spec->servers[i].type != NULL && strcmp(spec->servers[i].type, type) == 0)
            return &spec->servers[i];
    }
    return NULL;
}
