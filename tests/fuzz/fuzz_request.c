/* A request from the world, in parts, through routes, auth, intake and payload. The input is a request as
 * text:
 *
 *     METHOD target          lines ended by \n; the target is a path with its query
 *     Name: value            headers
 *
 *     body                   all bytes behind the empty line
 *
 * The first byte chooses one of the configurations below. */
#include "common/yaml.h"
#include "gateway-servers/webhook/intake.h"

#include <stdlib.h>
#include <strings.h>

enum { HEADERS_MAX = 64, CONFIGURATIONS = 4 };

static const char *const configurations[CONFIGURATIONS] = {
    "{endpoint: '/o/{id}', port: 80}",
    "{endpoint: '/o/{id}', port: 80, payload: envelope, contentTypes: [application/*],"
    " extensions: {a: 'header:X-A', b: 'query:b', c: 'path:id', partitionkey: 'query:k'}, idHeader: X-Id}",
    "{endpoint: '/o/{id}', port: 80, auth: {basic: {username: {name: a, key: b}, password: {name: a, key: "
    "b}}}}",
    "{endpoint: '/o/{id}', port: 80, payload: envelope,"
    " auth: {hmac: {secret: {name: a, key: b}, timestampHeader: X-Time, payload: 'v0:{timestamp}:{body}'}}}",
};

struct parts {
    const char *names[HEADERS_MAX], *values[HEADERS_MAX];
    size_t count;
};

static const char *parts_header(const void *request, const char *name)
{
    const struct parts *parts = request;

    for (size_t i = 0; i < parts->count; i++)
        if (strcasecmp(parts->names[i], name) == 0)
            return parts->values[i];
    return NULL;
}

static void parts_headers(const void *request, void (*each)(void *user, const char *name, const char *value),
                          void *user)
{
    const struct parts *parts = request;

    for (size_t i = 0; i < parts->count; i++)
        each(user, parts->names[i], parts->values[i]);
}

/* Cuts a line off the text, without its end. */
static char *cut_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');

    if (end == NULL) {
        *text += strlen(line);
        return line;
    }
    *end = '\0';
    *text = end + 1;
    return line;
}

/* What every event must keep to, whatever came in. */
static int check_event(void *user, const struct gws_event *event)
{
    const struct webhook_config *config = user;

    for (size_t i = 0; i < event->extensions_count; i++) {
        assert(event->extensions[i].name.size > 0);
        assert(memchr(event->extensions[i].value.data, '\n', event->extensions[i].value.size) == NULL);
    }
    if (webhook_config_envelope(config) && event->source.size == 0)
        assert(event->data.size > 2 && event->data.data[0] == '{' &&
               event->data.data[event->data.size - 1] == '}');
    return 0;
}

static void try_request(const struct webhook_config *config, struct webhook_auth *auth, char *text,
                        size_t size)
{
    GW_AUTO(webhook_intake_closep) struct webhook_intake *intake = NULL;
    GW_AUTO(gws_routes_freep) struct gws_routes *routes = gws_routes_new();
    GW_AUTO(gws_path_freep) struct gws_path *path = NULL;
    GW_AUTO(gw_bytes_done) struct gw_bytes scratch = {0};
    struct gws_route route = {0};
    struct parts parts = {.count = 0};
    struct gw_reason reason;
    char *rest = text, *method = cut_line(&rest), *target = strchr(method, ' '), *query = NULL;
    struct webhook_request request = {.http = {parts_header, parts_headers, &parts, {0}}, .route = &route};

    if (target == NULL || routes == NULL || gws_path_new(&path, config->endpoint, &reason) != 0)
        return;
    *target++ = '\0';
    query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';
    for (char *line = cut_line(&rest); *line != '\0' && parts.count < HEADERS_MAX; line = cut_line(&rest)) {
        char *colon = strchr(line, ':');

        if (colon == NULL)
            continue;
        *colon = '\0';
        parts.names[parts.count] = line;
        parts.values[parts.count++] = colon + 1 + strspn(colon + 1, " ");
    }
    request.method = method;
    request.path = target;
    request.query = query == NULL ? "" : query;
    request.http.body = gw_view(rest, size - (size_t)(rest - text));

    if (gws_routes_add(routes, path, ~0U, path) != 0 ||
        gws_routes_match(routes, method, gw_view_text(target), &scratch, &route) != 0 ||
        webhook_intake_open(&intake, config, auth) != 0)
        return;
    (void)!webhook_config_takes(config, gw_view_text(parts_header(&parts, "Content-Type")));
    /* judged, but let through: what follows must hold for everybody's bytes */
    if (webhook_auth_head(auth, &request.http) == 0)
        (void)!webhook_auth_body(auth, &request.http);
    (void)!webhook_intake_take(intake, &request, check_event, (void *)(uintptr_t)config, &reason);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct gw_arena arena;
    static struct webhook_config configs[CONFIGURATIONS];
    static struct webhook_auth *auths[CONFIGURATIONS];
    struct gw_problems problems = {0};
    struct gw_reason reason;
    char *text = NULL;
    size_t chosen = size == 0 ? 0 : data[0] % CONFIGURATIONS;

    if (size == 0)
        return 0;
    if (auths[chosen] == NULL) {
        const struct gw_node *root = NULL;

        setenv("a_b", "secret", 1);
        assert(gw_yaml_read(&arena, gw_view_text(configurations[chosen]), &root, &problems) == 0);
        assert(gw_settings_load(webhook_settings, root, "", &configs[chosen], sizeof(configs[chosen]), &arena,
                                &problems) == 0);
        webhook_config_check(&configs[chosen], &problems);
        assert(!gw_problems_any(&problems));
        assert(webhook_auth_open(&auths[chosen], &configs[chosen].auth, &reason) == 0);
    }
    text = malloc(size);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    try_request(&configs[chosen], auths[chosen], text, size - 1);
    free(text);
    return 0;
}
