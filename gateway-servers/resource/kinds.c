/* Kinds: looking things up in what the API server says of itself. */
#include "gateway-servers/resource/kinds.h"

#include "common/json.h"
#include "common/text.h"

#include <stdlib.h>
#include <strings.h>

enum { NAMES_MAX = 512 };

struct entry {
    const char *name, *singular, *kind; /* "" where it says none */
    const struct gw_node *short_names, *verbs;
    bool namespaced;
};

void kind_done(struct kind *kind)
{
    free(kind->resource);
    free(kind->kind);
    *kind = (struct kind){0};
}

void kinds_path(struct gw_bytes *out, const char *group, const char *version)
{
    gw_bytes_printf(out, "%s%s/%s", group[0] == '\0' ? "/api" : "/apis/", group, version);
}

void kinds_collection(struct gw_bytes *out, const struct plan *plan, const struct kind *kind,
                      const char *namespace_)
{
    kinds_path(out, plan->group, plan->version);
    if (kind->namespaced && namespace_[0] != '\0')
        gw_bytes_printf(out, "/namespaces/%s", namespace_);
    gw_bytes_printf(out, "/%s", kind->resource);
}

/* ---- resources ---- */

static struct entry entry_read(const struct gw_node *node)
{
    const struct gw_node *namespaced = gw_node_get(node, "namespaced");

    return (struct entry){
        .name = gw_node_text(gw_node_get(node, "name"), ""),
        .singular = gw_node_text(gw_node_get(node, "singularName"), ""),
        .kind = gw_node_text(gw_node_get(node, "kind"), ""),
        .short_names = gw_node_get(node, "shortNames"),
        .verbs = gw_node_get(node, "verbs"),
        .namespaced = namespaced != NULL && namespaced->truth,
    };
}

static bool list_has(const struct gw_node *list, const char *text)
{
    for (const struct gw_node *node = list == NULL ? NULL : list->first; node != NULL; node = node->next)
        if (strcasecmp(gw_node_text(node, ""), text) == 0)
            return true;
    return false;
}

/* By another of its names: "deployment", "deploy". */
static bool entry_is_also(const struct entry *entry, const char *wanted)
{
    return strcasecmp(entry->singular, wanted) == 0 || strcasecmp(entry->kind, wanted) == 0 ||
           list_has(entry->short_names, wanted);
}

static int entry_take(const struct entry *entry, struct kind *ret_kind, struct gw_reason *reason)
{
    struct kind kind = {.namespaced = entry->namespaced};

    if (!list_has(entry->verbs, "watch") || !list_has(entry->verbs, "list"))
        return GW_REFUSE(-EINVAL, reason, "%s cannot be listed and watched", entry->name);
    kind.resource = strdup(entry->name);
    kind.kind = strdup(entry->kind);
    if (kind.resource == NULL || kind.kind == NULL) {
        kind_done(&kind);
        return GW_RAISE(-ENOMEM);
    }
    *ret_kind = kind;
    return 0;
}

static int refuse_unknown(const struct gw_node *resources, const struct plan *plan, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes name = {0};
    const char *names[NAMES_MAX + 1] = {NULL};
    const char *wanted = plan->resource != NULL ? plan->resource : plan->kind;
    const char *near = NULL;
    size_t count = 0;

    for (const struct gw_node *node = resources->first; node != NULL && count < NAMES_MAX;
         node = node->next) {
        struct entry entry = entry_read(node);

        if (strchr(entry.name, '/') != NULL)
            continue;
        if (plan->resource != NULL && entry_is_also(&entry, wanted))
            near = entry.name;
        names[count++] = plan->resource != NULL ? entry.name : entry.kind;
    }
    if (near == NULL)
        near = gw_text_nearest(wanted, names);
    plan_name(plan, &name);
    return GW_REFUSE(-EINVAL, reason, "the API server has no %s%s%s%s", gw_bytes_text(&name),
                     near == NULL ? "" : ": is ", near == NULL ? "" : near, near == NULL ? "" : " meant?");
}

static int find_in(struct kind *ret_kind, const struct gw_node *resources, const struct plan *plan,
                   struct gw_reason *reason)
{
    for (const struct gw_node *node = resources->first; node != NULL; node = node->next) {
        struct entry entry = entry_read(node);

        if (strchr(entry.name, '/') == NULL &&
            (plan->resource != NULL ? strcmp(entry.name, plan->resource) == 0
                                    : strcmp(entry.kind, plan->kind) == 0))
            return entry_take(&entry, ret_kind, reason);
    }
    return refuse_unknown(resources, plan, reason);
}

int kinds_find(struct kind *ret_kind, struct gw_view list, const struct plan *plan, struct gw_reason *reason)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    const struct gw_node *root = NULL;

    int read = gw_json_read(&arena, list, &root, &problems);
    if (read < 0)
        return read;
    const struct gw_node *resources = read == 0 ? gw_node_get(root, "resources") : NULL;
    if (resources == NULL || resources->kind != GW_NODE_LIST)
        return GW_REFUSE(-EPROTO, reason, "the API server's list of resources cannot be read");
    return find_in(ret_kind, resources, plan, reason);
}

/* ---- groups ---- */

/* "v1 and v1beta1" of a group. */
static void explain_versions(const struct gw_node *group, const struct plan *plan, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes versions = {0};
    const struct gw_node *list = gw_node_get(group, "versions");

    for (const struct gw_node *node = list == NULL ? NULL : list->first; node != NULL; node = node->next)
        gw_bytes_printf(&versions, "%s%s", versions.size == 0 ? "" : ", ",
                        gw_node_text(gw_node_get(node, "version"), "?"));
    const char *text = gw_bytes_text(&versions);
    gw_reason_set(reason, "the API server has the group %s, but not in version %s; there is %s", plan->group,
                  plan->version, text == NULL ? "?" : text);
}

void kinds_explain(struct gw_view groups, const struct plan *plan, struct gw_reason *reason)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    const struct gw_node *root = NULL;
    const char *names[NAMES_MAX + 1] = {NULL};
    size_t count = 0;

    if (plan->group[0] == '\0') {
        gw_reason_set(reason,
                      "the API server has no version %s of the core group: v1 is meant, or group is missing",
                      plan->version);
        return;
    }
    if (gw_json_read(&arena, groups, &root, &problems) != 0)
        root = NULL;
    const struct gw_node *list = gw_node_get(root, "groups");
    for (const struct gw_node *node = list == NULL ? NULL : list->first; node != NULL && count < NAMES_MAX;
         node = node->next) {
        names[count] = gw_node_text(gw_node_get(node, "name"), "");
        if (strcmp(names[count++], plan->group) == 0) {
            explain_versions(node, plan, reason);
            return;
        }
    }
    const char *near = gw_text_nearest(plan->group, names);
    gw_reason_set(reason, "the API server has no group %s%s%s%s", plan->group, near == NULL ? "" : ": is ",
                  near == NULL ? "" : near, near == NULL ? "" : " meant?");
}
