/* A configuration: from YAML text to the module's struct, with every problem in it. */
#include "gateway-servers/sdk/server.h"

#include "common/text.h"
#include "common/yaml.h"

#include <stdio.h>
#include <stdlib.h>

int gws_request_copy(struct gws_request *request, const char *gateway, const char *namespace_,
                     const char *name, const char *id, const char *type, struct gw_view config,
                     struct gw_view position)
{
    *request = (struct gws_request){0};
    request->identity.gateway = gw_arena_copy(&request->arena, gw_view_text(gateway));
    request->identity.namespace_ = gw_arena_copy(&request->arena, gw_view_text(namespace_));
    request->identity.name = gw_arena_copy(&request->arena, gw_view_text(name));
    request->identity.id = gw_arena_copy(&request->arena, gw_view_text(id));
    request->type = gw_arena_copy(&request->arena, gw_view_text(type));
    request->config = gw_view(gw_arena_copy(&request->arena, config), config.size);
    request->position = gw_view(gw_arena_copy(&request->arena, position), position.size);
    if (request->identity.gateway != NULL && request->identity.namespace_ != NULL &&
        request->identity.name != NULL && request->identity.id != NULL && request->type != NULL &&
        request->config.data != NULL && request->position.data != NULL)
        return 0;
    gw_arena_done(&request->arena);
    return GW_RAISE(-ENOMEM);
}

static void config_check_identity(struct gws_server *server, const struct gws_request *request,
                                  struct gw_problems *problems)
{
    const char *type = server->module->type;

    if (request->type[0] != '\0' && strcmp(request->type, type) != 0)
        gw_problems_add(problems, "", 0,
                        "this gateway-server serves event sources of type \"%s\", not \"%s\"", type,
                        request->type);
    if (request->identity.name[0] == '\0')
        gw_problems_add(problems, "", 0, "the event source has no name");
    if (!gw_utf8_valid(gw_view_text(request->identity.name)))
        gw_problems_add(problems, "", 0, "the name of the event source is not UTF-8");
}

/* The line of the node that a path names, or of the nearest mapping around it; entries of lists are not told apart. */
static int line_of(const struct gw_node *root, const char *path)
{
    char key[GW_REASON_MAX];
    int line = root->line;

    for (const struct gw_node *node = root; node != NULL && *path != '\0';) {
        size_t size = strcspn(path, ".[");
        snprintf(key, sizeof(key), "%.*s", (int)size, path);
        node = gw_node_get(node, key);
        if (node != NULL)
            line = node->line;
        path += size;
        path += path[0] == '[' ? strcspn(path, ".") : 0;
        path += path[0] == '.' ? 1 : 0;
    }
    return line;
}

static bool path_is_named(const struct gw_problems *problems, const char *path)
{
    for (size_t i = 0; i < problems->count; i++)
        if (strcmp(problems->items[i].path, path) == 0)
            return true;
    return false;
}

/* What the module finds, beside what the table found. Where the table has complained already, the module has seen only a
 * default, so its words about that place, or about the whole, are left out. */
static void config_check(struct gws_server *server, const struct gws_request *request,
                         const struct gw_node *root, const void *config, struct gw_problems *problems)
{
    GW_AUTO(gw_problems_done) struct gw_problems found = {0};
    size_t before = problems->count;

    if (server->module->validate == NULL)
        return;
    server->module->validate(server, &request->identity, config, &found);
    for (size_t i = 0; i < found.count; i++) {
        const struct gw_problem *problem = &found.items[i];
        if (before > 0 && (problem->path[0] == '\0' || path_is_named(problems, problem->path)))
            continue;
        gw_problems_add(problems, problem->path,
                        problem->line > 0 ? problem->line : line_of(root, problem->path), "%s",
                        problem->message);
        if (problem->held_by != NULL)
            gw_problems_held_by(problems, problem->held_by);
    }
    problems->dropped += found.dropped;
}

int gws_config_load(struct gws_server *server, const struct gws_request *request, struct gws_config *config,
                    struct gw_problems *problems)
{
    const struct gws_module *module = server->module;
    const struct gw_node *root = NULL;

    *config = (struct gws_config){0};
    config_check_identity(server, request, problems);
    int read = gw_yaml_read(&config->arena, request->config, &root, problems);
    if (read == GW_YAML_BAD)
        return 0;
    GW_TRY(read);
    if (root->kind != GW_NODE_MAP && root->kind != GW_NODE_NULL) {
        gw_problems_add(problems, "", root->line, "the configuration must be a mapping of settings, not %s",
                        gw_node_kind_name(root->kind));
        return 0;
    }
    config->config = gw_arena_alloc(&config->arena, GW_MAX(module->config_size, (size_t)1));
    if (config->config == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_settings_load(module->settings, root, "", config->config, module->config_size, &config->arena,
                            problems));
    config_check(server, request, root, config->config, problems);
    return 0;
}

void gws_config_done(struct gws_config *config)
{
    gw_arena_done(&config->arena);
    config->config = NULL;
}

struct validation {
    struct gw_task task;
    struct gws_server *server;
    struct gw_rpc_server_call *call;
    struct gws_request request;
    gws_validated_fn *done;
};

static void on_validate(struct gw_task *task)
{
    struct validation *validation = GW_CONTAINER_OF(task, struct validation, task);
    struct gw_problems problems = {0};
    struct gws_config config;

    if (gws_config_load(validation->server, &validation->request, &config, &problems) < 0)
        gw_problems_add(&problems, "", 0, "the gateway-server has no memory left to check this");
    gws_config_done(&config);
    validation->done(validation->call, &problems);
    gw_rpc_server_call_release(validation->call);
    gw_problems_done(&problems);
    gw_arena_done(&validation->request.arena);
    free(validation);
}

void gws_validate(struct gws_server *server, struct gw_rpc_server_call *call, struct gws_request *request,
                  gws_validated_fn *done)
{
    struct validation *validation = calloc(1, sizeof(*validation));

    if (validation == NULL) {
        gw_arena_done(&request->arena);
        gws_service_no_memory(call);
        gw_rpc_server_call_release(call);
        return;
    }
    validation->task.run = on_validate;
    validation->server = server;
    validation->call = call;
    validation->request = *request;
    validation->done = done;
    gw_loop_post(server->loop, &validation->task);
}
