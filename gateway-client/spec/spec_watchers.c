/* The Gateway spec's watchers: ours, and Argo's sensors, gateways and subscribers made into ours. */
#include "gateway-client/spec/spec_parts.h"

#include "common/node_keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)
#define NS_PER_H  (3600 * NS_PER_S)

enum { WATCHERS_MAX = 1000, WATCHER_NAME_MAX = 500 };

/* ---- tables ---- */

#define IN_TARGETS(member) offsetof(struct gwc_spec_targets, member)
#define IN_RETRY(member)   offsetof(struct gwc_retry_spec, member)

static const struct gw_setting protocol_http_settings[] = {
    {.name = "port",
     .kind = GW_SETTING_TEXT,
     .offset = 0,
     .numeric = true,
     .help = "the port of the sensors' services"},
    {0},
};

const struct gw_setting gwc_spec_protocol_settings[] = {
    {.name = "type", .kind = GW_SETTING_TEXT, .offset = IN_TARGETS(protocol.type), .help = "HTTP"},
    {.name = "http",
     .kind = GW_SETTING_SECTION,
     .offset = IN_TARGETS(protocol.http),
     .table = protocol_http_settings,
     .help = "how sensors are reached"},
    {.name = "nats",
     .kind = GW_SETTING_NODE,
     .offset = IN_TARGETS(protocol.nats),
     .help = "not supported yet"},
    {0},
};

static const struct gw_setting sensor_settings[] = {
    {.name = "name",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_argo_watcher, name),
     .required = true,
     .help = "the sensor"},
    {.name = "namespace",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_argo_watcher, namespace_),
     .help = "the gateway's own when absent"},
    {0},
};

static const struct gw_setting gateway_settings[] = {
    {.name = "name",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_argo_watcher, name),
     .required = true,
     .help = "the gateway"},
    {.name = "namespace",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_argo_watcher, namespace_),
     .help = "this gateway's own when absent"},
    {.name = "port",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_argo_watcher, port),
     .required = true,
     .numeric = true,
     .help = "the port of its webhook"},
    {.name = "endpoint",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct gwc_argo_watcher, endpoint),
     .otherwise = "/",
     .help = "the path of its webhook"},
    {0},
};

const struct gw_setting gwc_spec_retry_settings[] = {
    {.name = "initial",
     .kind = GW_SETTING_DURATION,
     .offset = IN_RETRY(initial_ns),
     .otherwise = "500ms",
     .min = NS_PER_MS,
     .max = 24 * NS_PER_H,
     .help = "longest wait before the second attempt"},
    {.name = "factor",
     .kind = GW_SETTING_NUMBER,
     .offset = IN_RETRY(factor),
     .otherwise = "2",
     .min = 1,
     .max = 100,
     .help = "by which the wait grows from attempt to attempt"},
    {.name = "max",
     .kind = GW_SETTING_DURATION,
     .offset = IN_RETRY(max_ns),
     .otherwise = "1m",
     .min = NS_PER_MS,
     .max = 24 * NS_PER_H,
     .help = "longest wait of all"},
    {.name = "deadline",
     .kind = GW_SETTING_DURATION,
     .offset = IN_RETRY(deadline_ns),
     .otherwise = "24h",
     .max = INT64_MAX,
     .help = "time from the first attempt after which a delivery is given up; 0: never"},
    {.name = "attempts",
     .kind = GW_SETTING_INTEGER,
     .offset = IN_RETRY(attempts_max),
     .otherwise = "0",
     .max = INT32_MAX,
     .help = "attempts after which a delivery is given up; 0: no limit"},
    {0},
};

const struct gw_setting gwc_spec_watchers_settings[] = {
    {.name = "http",
     .kind = GW_SETTING_SECTIONS,
     .offset = IN_TARGETS(http),
     .table = gwc_spec_http_settings,
     .size = sizeof(struct gwc_watcher_spec),
     .help = "any HTTP endpoint"},
    {.name = "grpc",
     .kind = GW_SETTING_SECTIONS,
     .offset = IN_TARGETS(grpc),
     .table = gwc_spec_grpc_settings,
     .size = sizeof(struct gwc_watcher_spec),
     .help = "processes that implement gateway.v1.Sink"},
    {.name = "sensors",
     .kind = GW_SETTING_SECTIONS,
     .offset = IN_TARGETS(sensors),
     .table = sensor_settings,
     .size = sizeof(struct gwc_argo_watcher),
     .help = "Argo: sensors"},
    {.name = "gateways",
     .kind = GW_SETTING_SECTIONS,
     .offset = IN_TARGETS(gateways),
     .table = gateway_settings,
     .size = sizeof(struct gwc_argo_watcher),
     .help = "Argo: other gateways with a webhook"},
    {0},
};

const struct gw_setting gwc_spec_subscribers_settings[] = {
    {.name = "http",
     .kind = GW_SETTING_TEXTS,
     .offset = IN_TARGETS(subscribers),
     .help = "URLs that receive the events"},
    {.name = "nats",
     .kind = GW_SETTING_NODE,
     .offset = IN_TARGETS(subscribers_nats),
     .help = "not supported yet"},
    {0},
};

/* ---- one watcher ---- */

static struct gwc_spec_place place_of(const struct gwc_spec_reader *reader, const char *list, size_t index)
{
    struct gwc_spec_place place = {.reader = reader, .node = gwc_spec_entry(reader, list, index)};

    snprintf(place.path, sizeof(place.path), "spec.%s[%zu]", list, index);
    return place;
}

void gwc_spec_problem(const struct gwc_spec_place *place, const char *field, const char *format, ...)
{
    const struct gw_node *node = gw_node_get(place->node, field);
    int line = node != NULL ? node->line : place->node != NULL ? place->node->line : 0;
    struct gw_reason words = {""};
    char path[GWC_SPEC_PATH_MAX + 32];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words.text, sizeof(words.text), format, arguments);
    va_end(arguments);
    snprintf(path, sizeof(path), "%s%s%s", place->path, node == NULL ? "" : ".", node == NULL ? "" : field);
    gw_problems_add(place->reader->problems, path, line, "%s", words.text);
}

/* The name is a word on the command line, a label of metrics, a row in the outbox. */
static bool watcher_name_legal(const char *name)
{
    size_t size = strlen(name);

    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)name[i] <= ' ' || name[i] == 0x7F)
            return false;
    }
    return size > 0 && size <= WATCHER_NAME_MAX;
}

static void check_watcher(const struct gwc_spec_place *place, const struct gwc_watcher_spec *watcher)
{
    if (!watcher_name_legal(watcher->name))
        gwc_spec_problem(place, "name",
                         "\"%s\" is not a name: 1 to %d characters without white space make one",
                         watcher->name, WATCHER_NAME_MAX);
    if (watcher->retry.max_ns > 0 && watcher->retry.max_ns < watcher->retry.initial_ns)
        gwc_spec_problem(place, "retry", "retry.max is less than retry.initial");
    if (watcher->transport == GWC_TRANSPORT_GRPC)
        gwc_spec_check_grpc(place, watcher);
    else
        gwc_spec_check_http(place, watcher);
}

static enum gw_event_mode mode_of(const char *name)
{
    int mode = 0;

    while (gw_event_mode_names[mode] != NULL && strcmp(gw_event_mode_names[mode], name) != 0)
        mode++;
    return gw_event_mode_names[mode] == NULL ? GW_EVENT_STRUCTURED : (enum gw_event_mode)mode;
}

/* Takes the watcher into the spec, after checks. `names` knows those before it. */
static int add_watcher(const struct gwc_spec_place *place, struct gw_node_keys *names,
                       const struct gwc_watcher_spec *watcher)
{
    struct gwc_spec *spec = place->reader->spec;

    if (watcher->name == NULL || watcher->url == NULL)
        return 0; /* said already */
    int known = gw_node_keys_add(names, watcher->name);
    if (known == GW_NODE_KEYS_KNOWN)
        gwc_spec_problem(place, "name", "another watcher has the name \"%s\" too: each needs its own",
                         watcher->name);
    else
        GW_TRY(known);
    check_watcher(place, watcher);
    spec->watchers[spec->watchers_count] = *watcher;
    if (watcher->mode_name != NULL && watcher->transport == GWC_TRANSPORT_HTTP)
        spec->watchers[spec->watchers_count].mode = mode_of(watcher->mode_name);
    spec->watchers_count++;
    return 0;
}

/* ---- Argo's watchers ---- */

/* A watcher of ours with all its defaults. */
static int add_argo_watcher(const struct gwc_spec_place *place, struct gw_node_keys *names, const char *name,
                            const char *url, enum gw_event_mode mode)
{
    struct gw_node nodes[3] = {
        {.kind = GW_NODE_TEXT, .key = "name", .text = name, .next = &nodes[1]},
        {.kind = GW_NODE_TEXT, .key = "url", .text = url, .next = &nodes[2]},
        {.kind = GW_NODE_TEXT, .key = "mode", .text = gw_event_mode_names[mode]},
    };
    const struct gw_node map = {.kind = GW_NODE_MAP, .first = nodes, .count = GW_COUNT_OF(nodes)};
    struct gwc_watcher_spec watcher;

    if (name == NULL || url == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < GW_COUNT_OF(nodes); i++)
        nodes[i].text_size = strlen(nodes[i].text);
    GW_TRY(gw_settings_load(gwc_spec_http_settings, &map, place->path, &watcher, sizeof(watcher),
                            &place->reader->spec->arena, place->reader->problems));
    GW_TRY(add_watcher(place, names, &watcher));
    return 0;
}

static const char *namespace_of(const struct gwc_spec *spec, const struct gwc_argo_watcher *watcher)
{
    if (watcher->namespace_ != NULL && watcher->namespace_[0] != '\0')
        return watcher->namespace_;
    return spec->namespace_ == NULL ? "default" : spec->namespace_;
}

static int add_sensors(const struct gwc_spec_reader *reader, const struct gwc_spec_targets *targets,
                       struct gw_node_keys *names)
{
    const struct gwc_argo_watcher *sensors = targets->sensors.items;
    const char *port = targets->protocol.http.port;

    for (size_t i = 0; i < targets->sensors.count && port != NULL; i++) {
        struct gwc_spec_place place = place_of(reader, "watchers.sensors", i);
        const char *within = namespace_of(reader->spec, &sensors[i]);
        struct gw_arena *arena = &reader->spec->arena;

        if (sensors[i].name == NULL)
            continue;
        GW_TRY(add_argo_watcher(
            &place, names, gw_arena_printf(arena, "sensor.%s.%s", within, sensors[i].name),
            gw_arena_printf(arena, "http://%s-svc.%s.svc.cluster.local:%s/", sensors[i].name, within, port),
            GW_EVENT_LEGACY));
    }
    return 0;
}

/* One gateway may be given several times, with different endpoints: all of it makes the name. */
static int add_gateways(const struct gwc_spec_reader *reader, const struct gwc_spec_targets *targets,
                        struct gw_node_keys *names)
{
    const struct gwc_argo_watcher *gateways = targets->gateways.items;

    for (size_t i = 0; i < targets->gateways.count; i++) {
        struct gwc_spec_place place = place_of(reader, "watchers.gateways", i);
        const char *within = namespace_of(reader->spec, &gateways[i]), *endpoint = gateways[i].endpoint;
        struct gw_arena *arena = &reader->spec->arena;

        if (gateways[i].name == NULL || gateways[i].port == NULL || endpoint == NULL)
            continue;
        endpoint += endpoint[0] == '/';
        GW_TRY(add_argo_watcher(&place, names,
                                gw_arena_printf(arena, "gateway.%s.%s:%s/%s", within, gateways[i].name,
                                                gateways[i].port, endpoint),
                                gw_arena_printf(arena, "http://%s-svc.%s.svc.cluster.local:%s/%s",
                                                gateways[i].name, within, gateways[i].port, endpoint),
                                GW_EVENT_LEGACY));
    }
    return 0;
}

static int add_subscribers(const struct gwc_spec_reader *reader, const struct gwc_spec_targets *targets,
                           struct gw_node_keys *names)
{
    for (size_t i = 0; i < targets->subscribers.count; i++) {
        struct gwc_spec_place place = place_of(reader, "subscribers.http", i);

        GW_TRY(add_argo_watcher(&place, names, targets->subscribers.items[i], targets->subscribers.items[i],
                                GW_EVENT_LEGACY_03_JSON));
    }
    return 0;
}

static bool node_empty(const struct gw_node *node)
{
    return node == NULL || ((node->kind == GW_NODE_LIST || node->kind == GW_NODE_MAP) && node->count == 0);
}

static void check_protocol(const struct gwc_spec_reader *reader, const struct gwc_spec_targets *targets)
{
    const struct gw_node *type = gw_node_at(reader->node, "eventProtocol.type");
    const struct gw_node *sensors = gw_node_at(reader->node, "watchers.sensors");
    const char *given = targets->protocol.type, *port = targets->protocol.http.port;
    bool nats = given != NULL && strcasecmp(given, "NATS") == 0;

    if (nats || !node_empty(targets->protocol.nats))
        gw_problems_add(reader->problems, "spec.eventProtocol", type == NULL ? 0 : type->line,
                        "NATS is not supported yet: use watchers.http");
    else if (given != NULL && strcasecmp(given, "HTTP") != 0)
        gw_problems_add(reader->problems, "spec.eventProtocol.type", type == NULL ? 0 : type->line,
                        "unknown protocol \"%s\": expected HTTP", given);
    if (!node_empty(targets->subscribers_nats))
        gw_problems_add(reader->problems, "spec.subscribers.nats", targets->subscribers_nats->line,
                        "NATS is not supported yet: use watchers.http");
    if (port == NULL && targets->sensors.count > 0 && !nats)
        gw_problems_add(reader->problems, "spec.eventProtocol.http.port", sensors == NULL ? 0 : sensors->line,
                        "missing: the port of the sensors' services, 9300 in Argo's examples");
}

int gwc_spec_read_watchers(const struct gwc_spec_reader *reader, const struct gwc_spec_targets *targets)
{
    GW_AUTO(gw_node_keys_done) struct gw_node_keys names = {0};
    const struct gwc_watcher_spec *http = targets->http.items;
    struct gwc_spec *spec = reader->spec;
    size_t count = targets->http.count + targets->grpc.count + targets->sensors.count +
                   targets->gateways.count + targets->subscribers.count;

    check_protocol(reader, targets);
    if (count > WATCHERS_MAX) {
        gw_problems_add(reader->problems, "spec.watchers", 0, "%zu watchers: at most %d are supported", count,
                        WATCHERS_MAX);
        return 0;
    }
    spec->watchers = gw_arena_alloc(&spec->arena, count * sizeof(*spec->watchers));
    if (spec->watchers == NULL)
        return GW_RAISE(-ENOMEM);
    for (size_t i = 0; i < targets->http.count; i++) {
        struct gwc_spec_place place = place_of(reader, "watchers.http", i);

        GW_TRY(add_watcher(&place, &names, &http[i]));
    }
    for (size_t i = 0; i < targets->grpc.count; i++) {
        struct gwc_spec_place place = place_of(reader, "watchers.grpc", i);
        struct gwc_watcher_spec watcher;

        GW_TRY(gwc_spec_grpc_watcher(reader, (const struct gwc_watcher_spec *)targets->grpc.items + i,
                                     &watcher));
        GW_TRY(add_watcher(&place, &names, &watcher));
    }
    GW_TRY(add_sensors(reader, targets, &names));
    GW_TRY(add_gateways(reader, targets, &names));
    GW_TRY(add_subscribers(reader, targets, &names));
    return 0;
}
