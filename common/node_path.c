/* A place in a document, as text. */
#include "common/node_path.h"

#include <stdio.h>

static size_t path_append(char *buffer, const struct gw_node_path *path)
{
    size_t used = path->up == NULL ? 0 : path_append(buffer, path->up);
    size_t room = GW_NODE_PATH_MAX - used;
    int wrote = 0;

    if (path->name == NULL)
        wrote = snprintf(buffer + used, room, "[%zu]", path->index);
    else if (path->name[0] != '\0')
        wrote = snprintf(buffer + used, room, "%s%s", used == 0 ? "" : ".", path->name);
    return wrote < 0 ? used : GW_MIN(used + (size_t)wrote, (size_t)GW_NODE_PATH_MAX - 1);
}

const char *gw_node_path_text(char buffer[static GW_NODE_PATH_MAX], const struct gw_node_path *path)
{
    buffer[0] = '\0';
    if (path != NULL)
        path_append(buffer, path);
    return buffer;
}
