/* A merge patch: one walk over both trees, which writes as it goes and takes back what turned out to be the same. */
#include "gateway-client/report/merge_patch.h"

#include "common/json.h"

static bool among(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* The member `key`, looked for from `*hint` on and then from the start. */
static const struct gw_node *member_find(const struct gw_node *map, const char *key,
                                         const struct gw_node **hint)
{
    const struct gw_node *from = *hint == NULL ? map->first : *hint, *found = from;

    while (found != NULL && strcmp(found->key, key) != 0)
        found = found->next;
    if (found == NULL) {
        for (found = map->first; found != from && strcmp(found->key, key) != 0;)
            found = found->next;
        found = found == from ? NULL : found;
    }
    if (found != NULL)
        *hint = found->next;
    return found;
}

static bool nodes_equal(const struct gw_node *a, const struct gw_node *b)
{
    if (a->kind != b->kind || a->count != b->count)
        return false;
    if (a->kind == GW_NODE_BOOL)
        return a->truth == b->truth;
    if (a->kind == GW_NODE_TEXT || a->kind == GW_NODE_NUMBER)
        return gw_view_equal(gw_view(a->text, a->text_size), gw_view(b->text, b->text_size));
    const struct gw_node *hint = NULL, *element = b->first;
    for (const struct gw_node *child = a->first; child != NULL; child = child->next) {
        const struct gw_node *other = a->kind == GW_NODE_MAP ? member_find(b, child->key, &hint) : element;
        if (other == NULL || !nodes_equal(child, other))
            return false;
        element = a->kind == GW_NODE_LIST ? element->next : NULL;
    }
    return true;
}

static enum gwc_patch patch_map(const struct gw_node *before, const struct gw_node *after,
                                const struct gwc_patch_shape *shape, bool top, struct gw_bytes *out);

/* One member that is wanted. `old` NULL: it is new. */
static enum gwc_patch patch_member(const struct gw_node *old, const struct gw_node *wanted,
                                   const struct gwc_patch_shape *shape, struct gw_bytes *out)
{
    size_t mark = out->size;
    enum gwc_patch patch = among(wanted->key, shape->counters) ? GWC_PATCH_COUNTERS : GWC_PATCH_MATTERS;

    if (old != NULL && old->kind == wanted->kind && wanted->kind == GW_NODE_MAP) {
        gw_json_member(out, wanted->key);
        patch = patch_map(old, wanted, shape, false, out);
        if (patch == GWC_PATCH_NOTHING)
            out->size = mark;
        return patch;
    }
    if (old != NULL && nodes_equal(old, wanted))
        return GWC_PATCH_NOTHING;
    gw_json_member(out, wanted->key);
    gw_json_write_node(out, wanted);
    return patch;
}

static enum gwc_patch patch_removals(const struct gw_node *before, const struct gw_node *after,
                                     const struct gwc_patch_shape *shape, bool top, struct gw_bytes *out)
{
    const struct gw_node *hint = NULL;
    enum gwc_patch patch = GWC_PATCH_NOTHING;

    for (const struct gw_node *old = before->first; old != NULL; old = old->next) {
        if (member_find(after, old->key, &hint) != NULL || (top && !among(old->key, shape->owned)))
            continue;
        gw_json_member(out, old->key);
        gw_bytes_append_text(out, "null");
        patch = GWC_PATCH_MATTERS;
    }
    return patch;
}

static enum gwc_patch patch_map(const struct gw_node *before, const struct gw_node *after,
                                const struct gwc_patch_shape *shape, bool top, struct gw_bytes *out)
{
    const struct gw_node *hint = NULL;
    size_t mark = out->size;

    gw_bytes_append_char(out, '{');
    enum gwc_patch patch = patch_removals(before, after, shape, top, out);
    for (const struct gw_node *wanted = after->first; wanted != NULL; wanted = wanted->next) {
        enum gwc_patch below = patch_member(member_find(before, wanted->key, &hint), wanted, shape, out);
        patch = GW_MAX(patch, below);
    }
    gw_bytes_append_char(out, '}');
    if (patch == GWC_PATCH_NOTHING)
        out->size = mark;
    return patch;
}

enum gwc_patch gwc_merge_patch(const struct gw_node *before, const struct gw_node *after,
                               const struct gwc_patch_shape *shape, struct gw_bytes *out)
{
    static const struct gw_node nothing = {.kind = GW_NODE_MAP};

    assert(after->kind == GW_NODE_MAP);
    return patch_map(before == NULL || before->kind != GW_NODE_MAP ? &nothing : before, after, shape, true,
                     out);
}
