/* What a plain YAML scalar says: null, a boolean, a number or text. */
#ifndef GW_YAML_SCALAR_H
#define GW_YAML_SCALAR_H

#include "common/fault.h"
#include "common/node.h"

/* Sets kind, truth, text and text_size of `node` from a scalar without quotes and tag; the text is copied to
 * `arena`. Verdict GW_YAML_SCALAR_NOT_JSON: .inf or .nan, numbers that JSON does not have. -ENOMEM. */
enum { GW_YAML_SCALAR_NOT_JSON = 1 };
int gw_yaml_scalar(struct gw_arena *arena, struct gw_view plain, struct gw_node *node) GW_MUST_CHECK;

#endif
