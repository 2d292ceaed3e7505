/* A document tree: finding things in it. */
#include "common/node.h"

const char *gw_node_kind_name(enum gw_node_kind kind)
{
    static const char *const names[] = {
        [GW_NODE_NULL] = "null", [GW_NODE_BOOL] = "a boolean", [GW_NODE_NUMBER] = "a number",
        [GW_NODE_TEXT] = "text", [GW_NODE_LIST] = "a list",    [GW_NODE_MAP] = "a mapping",
    };

    assert((size_t)kind < GW_COUNT_OF(names));
    return names[kind];
}

static const struct gw_node *node_member(const struct gw_node *node, struct gw_view key)
{
    if (node == NULL || node->kind != GW_NODE_MAP)
        return NULL;
    for (const struct gw_node *child = node->first; child != NULL; child = child->next)
        if (gw_view_is(key, child->key))
            return child;
    return NULL;
}

const struct gw_node *gw_node_get(const struct gw_node *node, const char *key)
{
    return node_member(node, gw_view_text(key));
}

const struct gw_node *gw_node_at(const struct gw_node *node, const char *path)
{
    while (node != NULL) {
        size_t size = strcspn(path, ".");
        node = node_member(node, gw_view(path, size));
        if (path[size] == '\0')
            break;
        path += size + 1;
    }
    return node;
}

const char *gw_node_text(const struct gw_node *node, const char *otherwise)
{
    if (node == NULL || (node->kind != GW_NODE_TEXT && node->kind != GW_NODE_NUMBER))
        return otherwise;
    return node->text;
}
