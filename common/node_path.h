/* A place in a document, "watchers.http[1].url", kept as a chain on the stack while a reader goes down. */
#ifndef GW_NODE_PATH_H
#define GW_NODE_PATH_H

#include "common/base.h"

struct gw_node_path {
    const struct gw_node_path *up; /* NULL: the top */
    const char *name; /* member of a mapping; NULL: entry `index` of a list; "": nothing to say */
    size_t index;
};

enum { GW_NODE_PATH_MAX = 512 };
/* The chain as text, cut to fit. `path` may be NULL: "". Returns buffer. */
const char *gw_node_path_text(char buffer[static GW_NODE_PATH_MAX], const struct gw_node_path *path);

#endif
