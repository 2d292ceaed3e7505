/* YAML 1.1 by libyaml into a node tree, as Kubernetes and Argo read it (so `yes`, `no`, `on`, `off` are
 * booleans, an unquoted 12012 is a number, and JSON is YAML). Scalars are typed as Go's yaml.v2 does it:
 * 0x1F, 0o17, 017 and 0b101 are integers, 1_000 is 1000, a time is text. Keys are always text, as they were
 * written. Anchors, aliases and merge keys (<<) work; expansion is bounded. */
#ifndef GW_YAML_H
#define GW_YAML_H

#include "common/fault.h"
#include "common/node.h"

enum { GW_YAML_NODES_MAX = 200000, GW_YAML_DEPTH_MAX = 100 };
#define GW_YAML_TEXT_MAX ((size_t)4 << 20)

/* Reads one document into `arena` (which must outlive the tree); an empty text gives a NULL-kind node.
 * Duplicate keys, a second document, tags that we do not know, and too large or deep texts are problems.
 * 0, *ret_root set: read. > 0 (GW_YAML_BAD): problems were added, *ret_root untouched. < 0: no memory. */
enum { GW_YAML_BAD = 1 };
int gw_yaml_read(struct gw_arena *arena, struct gw_view text, const struct gw_node **ret_root,
                 struct gw_problems *problems) GW_MUST_CHECK;

#endif
