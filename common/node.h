/* A document tree: what a YAML or JSON text says, with the line of each node. Built by yaml.[ch] and json.[ch]. */
#ifndef GW_NODE_H
#define GW_NODE_H

#include "common/bytes.h"

enum gw_node_kind { GW_NODE_NULL, GW_NODE_BOOL, GW_NODE_NUMBER, GW_NODE_TEXT, GW_NODE_LIST, GW_NODE_MAP };

struct gw_node {
    enum gw_node_kind kind;
    int line;         /* from 1 */
    int text_line;    /* TEXT: of its first line: behind the `|` of a YAML block, else as `line` */
    bool truth;       /* BOOL */
    const char *text; /* TEXT: the value; NUMBER: as written, in JSON's notation; NUL-terminated */
    size_t text_size; /* may differ from strlen(text): YAML and JSON can carry a NUL */
    const char *key;  /* member of a MAP: its key; NULL otherwise */
    int key_line;
    struct gw_node *first; /* LIST, MAP: children in order */
    struct gw_node *next;  /* sibling */
    size_t count;          /* LIST, MAP: number of children */
};

/* "null", "a boolean", "a number", "text", "a list", "a mapping": for messages. */
const char *gw_node_kind_name(enum gw_node_kind kind);
/* Member by exact key; NULL: no such member, or not a map, or node is NULL. */
const struct gw_node *gw_node_get(const struct gw_node *node, const char *key);
/* As gw_node_get along a dotted path of keys ("metadata.name"). */
const struct gw_node *gw_node_at(const struct gw_node *node, const char *path);
/* The text of a TEXT or NUMBER node, or `otherwise`. */
const char *gw_node_text(const struct gw_node *node, const char *otherwise);

#endif
