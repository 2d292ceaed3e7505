/* Path: a way into a JSON document, in either notation. Pure.
 *
 *     /spec/template/spec/containers/0/image           JSON Pointer, RFC 6901: ~1 is '/', ~0 is '~'
 *     spec.replicas   .spec.replicas   {.spec.replicas}   $.spec.replicas
 *     status.conditions[*].status                      [*]: of all elements, or members
 *     spec.containers[0].image                         [0]: the first element
 *     metadata.annotations['example.com/owner']        a name with dots; also metadata.annotations.example\.com/owner
 *
 * Documents are raw text that is known to be valid JSON; nothing is allocated for values. */
#ifndef RESOURCE_PATH_H
#define RESOURCE_PATH_H

#include "common/bytes.h"
#include "common/fault.h"

struct path_step {
    struct gw_view name; /* of a member, or digits: of an element */
    bool all;            /* [*] */
};

struct path {
    const struct path_step *steps;
    size_t count;
};

enum { PATH_STEPS_MAX = 64 };

/* Everything lives in `arena`. -EINVAL with words that name the place in the text. */
int path_parse(struct path *ret_path, const char *text, struct gw_arena *arena,
               struct gw_reason *reason) GW_MUST_CHECK;

/* Each raw value that the path leads to, in the order of the document. */
void path_each(const struct path *path, struct gw_view json, void (*each)(void *user, struct gw_view value),
               void *user);
/* The first of them; false: there is none. */
bool path_find(const struct path *path, struct gw_view json, struct gw_view *ret_value);

/* 64 bits of the values at all paths: equal as long as these stay the same, byte for byte, or stay away. Never 0. */
uint64_t path_mark(const struct path *paths, size_t count, struct gw_view json);

#endif
