/* One entry of the event sources: its key, its type, and a look at its configuration. */
#include "gateway-client/spec/sources_parts.h"

#include "common/text.h"
#include "common/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_TYPES_MAX = 64 };

/* ---- keys ---- */

static bool has_prefix(const char *key, const char *type)
{
    size_t size = strlen(type);

    return strncmp(key, type, size) == 0 && key[size] == '.';
}

/* Which type and name a key means. False: none. A gateway with one type takes every other key as a name, as
 * Argo did. */
static bool key_split(const struct gwc_spec *spec, const char *key, const char **ret_type,
                      const char **ret_name)
{
    for (size_t i = 0; i < spec->servers_count; i++) {
        if (has_prefix(key, spec->servers[i].type)) {
            *ret_type = spec->servers[i].type;
            *ret_name = key + strlen(spec->servers[i].type) + 1;
            return true;
        }
    }
    if (spec->servers_count != 1)
        return false;
    *ret_type = spec->servers[0].type;
    *ret_name = key;
    return true;
}

/* "no server has the type …": with the nearest one, or with all. */
static void key_unknown(const struct gwc_spec *spec, const struct gwc_entry *entry,
                        struct gw_problems *problems)
{
    const char *names[ENTRY_TYPES_MAX + 1], *near;
    GW_AUTO(gw_bytes_done) struct gw_bytes all = {0};
    int type_size = (int)strcspn(entry->key, ".");
    char type[64];
    size_t count = GW_MIN(spec->servers_count, (size_t)ENTRY_TYPES_MAX);

    for (size_t i = 0; i < count; i++) {
        names[i] = spec->servers[i].type;
        gw_bytes_printf(&all, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    names[count] = NULL;
    snprintf(type, sizeof(type), "%.*s", type_size, entry->key);
    near = gw_text_nearest(type, names);
    if (entry->key[type_size] == '\0')
        gw_problems_add(problems, entry->path, entry->key_line,
                        "the key \"%s\" does not say its type: \"<type>.%s\" does, with a type of %s",
                        entry->key, entry->key, all.failed ? "the servers" : gw_bytes_text(&all));
    else if (near != NULL)
        gw_problems_add(problems, entry->path, entry->key_line,
                        "no server has the type \"%s\"; did you mean \"%s%s\"?", type, near,
                        entry->key + type_size);
    else
        gw_problems_add(problems, entry->path, entry->key_line,
                        "no server has the type \"%s\"; there are: %s", type,
                        all.failed || all.size == 0 ? "none" : gw_bytes_text(&all));
}

/* As Kubernetes has them for ConfigMaps. */
static bool key_legal(const char *key)
{
    return key[0] != '\0' && strlen(key) <= 253 &&
           key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")] == '\0';
}

/* With one type there are two keys for a name: "calendar.orders" and "orders". The one that sorts behind is refused. */
static int check_same(const struct gwc_sources_reader *reader, const struct gwc_entry *entry,
                      struct gw_problems *problems, const char *type, const char *name)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes full = {0};
    const char *other = name;

    if (reader->spec->servers_count != 1 || has_prefix(name, type))
        return 0;
    gw_bytes_printf(&full, "%s.%s", type, name);
    if (full.failed)
        return GW_RAISE(-ENOMEM);
    if (strcmp(entry->key, name) == 0)
        other = gw_bytes_text(&full);
    if (strcmp(other, entry->key) > 0 || !gwc_sources_has_key(reader, other))
        return 0;
    gw_problems_add(problems, entry->path, entry->key_line,
                    "\"%s\" means the same event source as \"%s\": take one of the two keys away, or give it "
                    "another name",
                    entry->key, other);
    gw_problems_held_by(problems, other);
    return 0;
}

/* ---- configuration ---- */

static const char *path_below(struct gw_bytes *out, const char *path, const char *below)
{
    gw_bytes_clear(out);
    gw_bytes_printf(out, "%s%s%s", path, below[0] == '\0' || below[0] == '[' ? "" : ".", below);
    return out->failed ? path : gw_bytes_text(out);
}

/* Only whether it is a mapping is looked at here; the fields are the gateway-server's. */
static int check_config(const struct gwc_entry *entry, struct gw_problems *problems)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems inner = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
    const struct gw_node *node = NULL;
    int read = gw_yaml_read(&arena, entry->text, &node, &inner);

    if (read < 0)
        return GW_RAISE(read);
    for (size_t i = 0; i < inner.count; i++) {
        int line = inner.items[i].line;

        gw_problems_add(problems, path_below(&path, entry->path, inner.items[i].path),
                        line == 0 ? entry->text_line : entry->text_line + line - 1, "%s",
                        inner.items[i].message);
    }
    problems->dropped += inner.dropped;
    if (read == 0 && node->kind == GW_NODE_NULL)
        gw_problems_add(problems, entry->path, entry->text_line,
                        "empty: expected a mapping of settings; {} when there are none to give");
    else if (read == 0 && node->kind != GW_NODE_MAP)
        gw_problems_add(problems, entry->path, entry->text_line + node->line - 1,
                        "expected a mapping of settings, got %s", gw_node_kind_name(node->kind));
    return 0;
}

static int entry_check(const struct gwc_sources_reader *reader, const struct gwc_entry *entry,
                       struct gw_problems *problems, const char **ret_type, const char **ret_name)
{
    if (!key_legal(entry->key)) {
        gw_problems_add(problems, entry->path, entry->key_line,
                        "\"%s\" is not a key: letters, digits, '-', '_' and '.' make one", entry->key);
        return 0;
    }
    if (!key_split(reader->spec, entry->key, ret_type, ret_name))
        key_unknown(reader->spec, entry, problems);
    else if ((*ret_name)[0] == '\0')
        gw_problems_add(problems, entry->path, entry->key_line,
                        "the key \"%s\" has no name behind its type, as in \"%sorders\"", entry->key,
                        entry->key);
    else
        GW_TRY(check_same(reader, entry, problems, *ret_type, *ret_name));
    if (entry->refusal != NULL)
        gw_problems_add(problems, entry->path, entry->key_line, "%s", entry->refusal);
    else
        GW_TRY(check_config(entry, problems));
    return 0;
}

/* ---- the set ---- */

static int add_good(struct gwc_sources *sources, const struct gwc_entry *entry, const char *type,
                    const char *name)
{
    struct gwc_source *source = &sources->items[sources->count];
    struct gw_arena *arena = &sources->arena;
    char *config = gw_arena_copy(arena, entry->text);
    char *key = gw_arena_copy(arena, gw_view_text(entry->key));

    *source = (struct gwc_source){.key = key, .line = entry->text_line};
    source->config = gw_view(config, entry->text.size);
    source->type = gw_arena_copy(arena, gw_view_text(type));
    source->name = gw_arena_copy(arena, gw_view_text(name));
    source->file = gw_arena_copy(arena, gw_view_text(entry->file));
    if (config == NULL || key == NULL || source->type == NULL || source->name == NULL || source->file == NULL)
        return GW_RAISE(-ENOMEM);
    snprintf(source->id, sizeof(source->id), "%u", gw_fnv1a32(gw_view_text(entry->key), entry->text));
    sources->count++;
    return 0;
}

static int add_bad(struct gwc_sources *sources, const struct gwc_entry *entry,
                   const struct gw_problems *problems)
{
    struct gwc_bad_source *bad = &sources->bad[sources->bad_count];
    struct gw_arena *arena = &sources->arena;
    const struct gw_problem *first = &problems->items[0];

    if (problems->count == 0)
        return GW_RAISE(-ENOMEM);
    bad->key = gw_arena_copy(arena, gw_view_text(entry->key));
    bad->file = gw_arena_copy(arena, gw_view_text(entry->file));
    bad->line = first->line;
    for (size_t i = 0; i < problems->count; i++)
        bad->again |= problems->items[i].held_by != NULL;
    bad->message = problems->count == 1 ? gw_arena_copy(arena, gw_view_text(first->message))
                                        : gw_arena_printf(arena, "%s; and %zu more", first->message,
                                                          problems->count - 1 + problems->dropped);
    if (bad->key == NULL || bad->file == NULL || bad->message == NULL)
        return GW_RAISE(-ENOMEM);
    sources->bad_count++;
    return 0;
}

int gwc_sources_add(const struct gwc_sources_reader *reader, const struct gwc_entry *entry)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {.file = entry->file};
    const char *type = NULL, *name = NULL;

    GW_TRY(entry_check(reader, entry, &problems, &type, &name));
    if (!gw_problems_any(&problems)) {
        GW_TRY(add_good(reader->sources, entry, type, name));
        return 0;
    }
    gw_problems_append(reader->problems, &problems);
    GW_TRY(add_bad(reader->sources, entry, &problems));
    return 0;
}
