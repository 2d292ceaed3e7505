/* YAML: libyaml's events made into a node tree. */
#include "common/yaml.h"

#include "common/node_keys.h"
#include "common/node_path.h"
#include "common/yaml_scalar.h"

#include <stdarg.h>
#include <stdio.h>
#include <yaml.h>

enum { YAML_ANCHORS_MAX = 1000, YAML_MESSAGE_MAX = 300 };

struct yaml_anchor {
    struct yaml_anchor *next;
    const char *name;
    const struct gw_node *node;
};

struct yaml_reader {
    yaml_parser_t parser;
    struct gw_view text;
    struct gw_arena *arena;
    struct gw_problems *problems;
    struct yaml_anchor *anchors; /* the newest first: a name may be used again */
    size_t anchors_count;
    size_t nodes; /* after expansion of aliases */
    int outcome;  /* not 0: reading ends here, with GW_YAML_BAD or a fault */
    bool bad;     /* problems were added, reading goes on */
};

/* ---- what can be wrong ---- */

static void GW_PRINTF(4, 5) yaml_problem(struct yaml_reader *reader, const struct gw_node_path *path,
                                         int line, const char *format, ...)
{
    char place[GW_NODE_PATH_MAX], message[YAML_MESSAGE_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    gw_problems_add(reader->problems, gw_node_path_text(place, path), line, "%s", message);
    reader->bad = true;
}

static struct gw_node *yaml_no_memory(struct yaml_reader *reader)
{
    reader->outcome = GW_RAISE(-ENOMEM);
    return NULL;
}

static struct gw_node *yaml_end(struct yaml_reader *reader)
{
    reader->outcome = GW_YAML_BAD;
    return NULL;
}

static int line_of(yaml_mark_t mark)
{
    return (int)mark.line + 1;
}

static int line_at(struct gw_view text, size_t offset)
{
    int line = 1;

    for (size_t i = 0; i < offset && i < text.size; i++)
        line += text.data[i] == '\n';
    return line;
}

/* The character that a mark points at, as far as it is ASCII; libyaml counts characters, we bytes. */
static char character_at(struct gw_view text, yaml_mark_t mark)
{
    size_t at = 0;

    for (size_t line = 0; line < mark.line && at < text.size; at++)
        line += text.data[at] == '\n';
    for (size_t column = 0; column < mark.column && at < text.size; column++) {
        for (at++; at < text.size && ((unsigned char)text.data[at] & 0xC0) == 0x80; at++)
            ;
    }
    return at < text.size ? text.data[at] : '\0';
}

/* What people meet most: tabs, and text that begins with a character of YAML's own, as in `schedule: * * * *
 * *`. */
static const char *yaml_hint(const struct yaml_reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    char met = character_at(reader->text, parser->problem_mark);

    if (met == '\t')
        return ": a tab; indent with spaces";
    if (parser->context != NULL && strstr(parser->context, "an alias") != NULL)
        return ": text that begins with * has to be in quotes";
    if (met == '@' || met == '`')
        return ": text that begins with @ or ` has to be in quotes";
    if (parser->problem != NULL && strstr(parser->problem, "mapping values are not allowed") != NULL)
        return ": text that holds \": \" has to be in quotes, and what belongs together has the same "
               "indentation";
    return "";
}

static void yaml_parser_failed(struct yaml_reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *what = parser->problem == NULL ? "unknown reason" : parser->problem;

    if (parser->error == YAML_MEMORY_ERROR) {
        yaml_no_memory(reader);
        return;
    }
    if (parser->error == YAML_READER_ERROR)
        yaml_problem(reader, NULL, line_at(reader->text, parser->problem_offset), "not YAML: %s", what);
    else if (parser->context != NULL)
        yaml_problem(reader, NULL, line_of(parser->problem_mark),
                     "not YAML: %s (%s that begins at line %d)%s", what, parser->context,
                     line_of(parser->context_mark), yaml_hint(reader));
    else
        yaml_problem(reader, NULL, line_of(parser->problem_mark), "not YAML: %s%s", what, yaml_hint(reader));
    yaml_end(reader);
}

/* The next event; false: reading has ended. */
static bool yaml_next(struct yaml_reader *reader, yaml_event_t *event)
{
    if (reader->outcome == 0 && yaml_parser_parse(&reader->parser, event))
        return true;
    memset(event, 0, sizeof(*event));
    if (reader->outcome == 0)
        yaml_parser_failed(reader);
    return false;
}

/* ---- nodes ---- */

static bool yaml_count(struct yaml_reader *reader, const struct gw_node_path *path, int line, size_t more)
{
    reader->nodes += more;
    if (reader->nodes <= GW_YAML_NODES_MAX)
        return true;
    yaml_problem(reader, path, line, "too large: more than %d values, aliases counted in full",
                 GW_YAML_NODES_MAX);
    yaml_end(reader);
    return false;
}

static bool yaml_depth(struct yaml_reader *reader, const struct gw_node_path *path, int line, size_t more)
{
    for (; path != NULL; path = path->up)
        more++;
    if (more <= GW_YAML_DEPTH_MAX)
        return true;
    yaml_problem(reader, NULL, line, "too deep: more than %d levels", GW_YAML_DEPTH_MAX);
    yaml_end(reader);
    return false;
}

static struct gw_node *yaml_node_new(struct yaml_reader *reader, const struct gw_node_path *path, int line)
{
    struct gw_node *node;

    if (!yaml_count(reader, path, line, 1) || !yaml_depth(reader, path, line, 1))
        return NULL;
    node = gw_arena_alloc(reader->arena, sizeof(*node));
    if (node == NULL)
        return yaml_no_memory(reader);
    node->line = node->text_line = line;
    return node;
}

/* How many nodes hang below and including this one, and how many levels. */
static size_t node_measure(const struct gw_node *node, size_t *ret_height)
{
    size_t weight = 1, height = 0;

    if (node->kind == GW_NODE_LIST || node->kind == GW_NODE_MAP) {
        for (const struct gw_node *child = node->first; child != NULL; child = child->next) {
            size_t below;

            weight += node_measure(child, &below);
            height = GW_MAX(height, below);
        }
    }
    *ret_height = height + 1;
    return weight;
}

/* Another node with the same contents: children are shared. It costs as much as if they were not. */
static struct gw_node *yaml_share(struct yaml_reader *reader, const struct gw_node_path *path, int line,
                                  const struct gw_node *node)
{
    struct gw_node *shared;
    size_t height, weight = node_measure(node, &height);

    if (!yaml_count(reader, path, line, weight) || !yaml_depth(reader, path, line, height))
        return NULL;
    shared = gw_arena_alloc(reader->arena, sizeof(*shared));
    if (shared == NULL)
        return yaml_no_memory(reader);
    *shared = *node;
    shared->key = NULL;
    shared->next = NULL;
    return shared;
}

/* ---- anchors ---- */

static const struct gw_node *anchor_find(const struct yaml_reader *reader, const yaml_char_t *name)
{
    for (const struct yaml_anchor *anchor = reader->anchors; anchor != NULL; anchor = anchor->next) {
        if (strcmp(anchor->name, (const char *)name) == 0)
            return anchor->node;
    }
    return NULL;
}

static void anchor_add(struct yaml_reader *reader, const yaml_char_t *name, const struct gw_node *node)
{
    struct yaml_anchor *anchor;

    if (name == NULL || node == NULL || reader->outcome != 0)
        return;
    if (++reader->anchors_count > YAML_ANCHORS_MAX) {
        yaml_problem(reader, NULL, node->line, "more than %d anchors", YAML_ANCHORS_MAX);
        yaml_end(reader);
        return;
    }
    anchor = gw_arena_alloc(reader->arena, sizeof(*anchor));
    if (anchor == NULL ||
        (anchor->name = gw_arena_copy(reader->arena, gw_view_text((const char *)name))) == NULL) {
        yaml_no_memory(reader);
        return;
    }
    anchor->node = node;
    anchor->next = reader->anchors;
    reader->anchors = anchor;
}

static struct gw_node *yaml_alias(struct yaml_reader *reader, const struct gw_node_path *path,
                                  const yaml_event_t *event)
{
    const struct gw_node *node = anchor_find(reader, event->data.alias.anchor);
    int line = line_of(event->start_mark);

    if (node != NULL)
        return yaml_share(reader, path, line, node);
    yaml_problem(reader, path, line, "unknown alias *%s: the anchor &%s has to come before it",
                 (const char *)event->data.alias.anchor, (const char *)event->data.alias.anchor);
    return yaml_node_new(reader, path, line);
}

/* ---- scalars ---- */

/* The part behind "tag:yaml.org,2002:", NULL for a tag of somebody else. */
static const char *tag_name(const yaml_char_t *tag)
{
    static const char prefix[] = "tag:yaml.org,2002:";

    if (strncmp((const char *)tag, prefix, sizeof(prefix) - 1) != 0)
        return NULL;
    return (const char *)tag + sizeof(prefix) - 1;
}

static bool tag_fits(const char *name, const struct gw_node *node)
{
    if (strcmp(name, "null") == 0)
        return node->kind == GW_NODE_NULL;
    if (strcmp(name, "bool") == 0)
        return node->kind == GW_NODE_BOOL;
    if (strcmp(name, "float") == 0)
        return node->kind == GW_NODE_NUMBER;
    return strcmp(name, "int") == 0 && node->kind == GW_NODE_NUMBER && strpbrk(node->text, ".e") == NULL;
}

static bool tag_is_text(const yaml_event_t *event)
{
    const yaml_char_t *tag = event->data.scalar.tag;
    const char *name = tag == NULL ? NULL : tag_name(tag);

    if (tag == NULL)
        return event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return strcmp((const char *)tag, "!") == 0 || (name != NULL && strcmp(name, "str") == 0);
}

static struct gw_node *scalar_text(struct yaml_reader *reader, const yaml_event_t *event,
                                   struct gw_node *node)
{
    yaml_scalar_style_t style = event->data.scalar.style;

    node->kind = GW_NODE_TEXT;
    node->text_size = event->data.scalar.length;
    node->text = gw_arena_copy(reader->arena, gw_view(event->data.scalar.value, event->data.scalar.length));
    node->text_line += style == YAML_LITERAL_SCALAR_STYLE || style == YAML_FOLDED_SCALAR_STYLE;
    return node->text == NULL ? yaml_no_memory(reader) : node;
}

static struct gw_node *yaml_scalar(struct yaml_reader *reader, const struct gw_node_path *path,
                                   const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    const yaml_char_t *tag = event->data.scalar.tag;
    struct gw_node *node = yaml_node_new(reader, path, line_of(event->start_mark));
    int read;

    if (node == NULL || tag_is_text(event))
        return node == NULL ? NULL : scalar_text(reader, event, node);
    read = gw_yaml_scalar(reader->arena, gw_view(value, event->data.scalar.length), node);
    if (read < 0)
        return yaml_no_memory(reader);
    if (read == GW_YAML_SCALAR_NOT_JSON)
        yaml_problem(reader, path, node->line, "%s is a number that JSON does not have: put it in quotes",
                     value);
    else if (tag != NULL && (tag_name(tag) == NULL || !tag_fits(tag_name(tag), node)))
        yaml_problem(reader, path, node->line, "the tag %s is not known, or does not fit here: leave it away",
                     (const char *)tag);
    return node;
}

/* ---- lists and mappings ---- */

static struct gw_node *yaml_value(struct yaml_reader *reader, const struct gw_node_path *path,
                                  const yaml_event_t *event);

static void collection_tag(struct yaml_reader *reader, const struct gw_node_path *path,
                           const yaml_char_t *tag, const char *expected, int line)
{
    if (tag == NULL || strcmp((const char *)tag, "!") == 0)
        return;
    if (tag_name(tag) == NULL || strcmp(tag_name(tag), expected) != 0)
        yaml_problem(reader, path, line, "the tag %s is not known, or does not fit here: leave it away",
                     (const char *)tag);
}

static struct gw_node *yaml_list(struct yaml_reader *reader, const struct gw_node_path *path,
                                 const yaml_event_t *start)
{
    struct gw_node *node = yaml_node_new(reader, path, line_of(start->start_mark));
    struct gw_node **last;
    yaml_event_t event;

    if (node == NULL)
        return NULL;
    node->kind = GW_NODE_LIST;
    last = &node->first;
    collection_tag(reader, path, start->data.sequence_start.tag, "seq", node->line);
    while (yaml_next(reader, &event)) {
        struct gw_node_path below = {path, NULL, node->count};
        bool ended = event.type == YAML_SEQUENCE_END_EVENT;

        *last = ended ? NULL : yaml_value(reader, &below, &event);
        yaml_event_delete(&event);
        if (ended)
            break;
        if (*last == NULL)
            return NULL;
        last = &(*last)->next;
        node->count++;
    }
    anchor_add(reader, start->data.sequence_start.anchor, node);
    return node;
}

/* A mapping while it is read. */
struct yaml_map {
    const struct gw_node_path *path;
    struct gw_node *node, **last;
    struct gw_node *merges, **merges_last; /* values of << */
    struct gw_node_keys keys;
};

static bool key_is_merge(const yaml_event_t *event)
{
    return event->type == YAML_SCALAR_EVENT && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           gw_view_is(gw_view(event->data.scalar.value, event->data.scalar.length), "<<");
}

/* The words of a key; false: it is a list or a mapping, an alias of one, or holds a NUL. */
static bool key_words(const struct yaml_reader *reader, const yaml_event_t *event, struct gw_view *ret_words)
{
    const struct gw_node *alias;

    if (event->type == YAML_SCALAR_EVENT) {
        *ret_words = gw_view(event->data.scalar.value, event->data.scalar.length);
    } else if (event->type == YAML_ALIAS_EVENT) {
        alias = anchor_find(reader, event->data.alias.anchor);
        if (alias == NULL || alias->text == NULL)
            return false;
        *ret_words = gw_view(alias->text, alias->text_size);
    } else {
        return false;
    }
    return ret_words->size == 0 || memchr(ret_words->data, '\0', ret_words->size) == NULL;
}

/* The key as text; NULL: it is none, and reading has ended. */
static const char *map_key(struct yaml_reader *reader, const struct gw_node_path *path,
                           const yaml_event_t *event)
{
    int line = line_of(event->start_mark);
    struct gw_node *node;
    struct gw_view words;

    if (!key_words(reader, event, &words)) {
        yaml_problem(reader, path, line, "a key that is not text: write it in quotes");
        yaml_end(reader);
        return NULL;
    }
    node = gw_arena_alloc(reader->arena, sizeof(*node));
    if (node == NULL || (node->text = gw_arena_copy(reader->arena, words)) == NULL) {
        yaml_no_memory(reader);
        return NULL;
    }
    node->kind = GW_NODE_TEXT;
    node->text_size = words.size;
    node->line = node->text_line = line;
    if (event->type == YAML_SCALAR_EVENT)
        anchor_add(reader, event->data.scalar.anchor, node);
    return node->text;
}

static void map_add(struct yaml_map *map, struct gw_node *value, const char *key, int key_line)
{
    value->key = key;
    value->key_line = key_line;
    *map->last = value;
    map->last = &value->next;
    map->node->count++;
}

/* The value behind a key. False: reading has ended. */
static bool map_member(struct yaml_reader *reader, struct yaml_map *map, const char *key, int key_line,
                       bool merge)
{
    struct gw_node_path below = {map->path, key, 0};
    struct gw_node *value;
    yaml_event_t event;
    int known;

    if (!yaml_next(reader, &event))
        return false;
    value = yaml_value(reader, &below, &event);
    yaml_event_delete(&event);
    if (value == NULL)
        return false;
    if (merge) {
        value->key_line = key_line;
        *map->merges_last = value;
        map->merges_last = &value->next;
        return true;
    }
    known = gw_node_keys_add(&map->keys, key);
    if (known < 0)
        yaml_no_memory(reader);
    else if (known == GW_NODE_KEYS_KNOWN)
        yaml_problem(reader, map->path, key_line, "the key \"%s\" is there twice", key);
    else
        map_add(map, value, key, key_line);
    return known >= 0;
}

/* What the map does not say itself, it takes from `from`. */
static void map_merge(struct yaml_reader *reader, struct yaml_map *map, const struct gw_node *from, int line)
{
    if (from->kind != GW_NODE_MAP) {
        yaml_problem(reader, map->path, line, "<< takes a mapping or a list of mappings, not %s",
                     gw_node_kind_name(from->kind));
        return;
    }
    for (const struct gw_node *child = from->first; child != NULL && reader->outcome == 0;
         child = child->next) {
        struct gw_node_path below = {map->path, child->key, 0};
        int known = gw_node_keys_add(&map->keys, child->key);
        struct gw_node *shared;

        if (known < 0)
            yaml_no_memory(reader);
        if (known != 0)
            continue;
        shared = yaml_share(reader, &below, line, child);
        if (shared != NULL)
            map_add(map, shared, child->key, child->key_line);
    }
}

static void map_merge_all(struct yaml_reader *reader, struct yaml_map *map)
{
    for (const struct gw_node *merge = map->merges; merge != NULL; merge = merge->next) {
        if (merge->kind != GW_NODE_LIST) {
            map_merge(reader, map, merge, merge->key_line);
            continue;
        }
        for (const struct gw_node *entry = merge->first; entry != NULL; entry = entry->next)
            map_merge(reader, map, entry, merge->key_line);
    }
}

static struct gw_node *yaml_map(struct yaml_reader *reader, const struct gw_node_path *path,
                                const yaml_event_t *start)
{
    struct yaml_map map = {.path = path, .node = yaml_node_new(reader, path, line_of(start->start_mark))};
    yaml_event_t event;

    if (map.node == NULL)
        return NULL;
    map.node->kind = GW_NODE_MAP;
    map.last = &map.node->first;
    map.merges_last = &map.merges;
    collection_tag(reader, path, start->data.mapping_start.tag, "map", map.node->line);
    while (yaml_next(reader, &event)) {
        bool ended = event.type == YAML_MAPPING_END_EVENT, merge = key_is_merge(&event);
        const char *key = ended ? NULL : map_key(reader, path, &event);
        int key_line = line_of(event.start_mark);

        yaml_event_delete(&event);
        if (key == NULL || !map_member(reader, &map, key, key_line, merge))
            break;
    }
    map_merge_all(reader, &map);
    gw_node_keys_done(&map.keys);
    anchor_add(reader, start->data.mapping_start.anchor, map.node);
    return reader->outcome == 0 ? map.node : NULL;
}

static struct gw_node *yaml_value(struct yaml_reader *reader, const struct gw_node_path *path,
                                  const yaml_event_t *event)
{
    struct gw_node *node;

    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return yaml_alias(reader, path, event);
    case YAML_SEQUENCE_START_EVENT:
        return yaml_list(reader, path, event);
    case YAML_MAPPING_START_EVENT:
        return yaml_map(reader, path, event);
    default:
        assert(event->type == YAML_SCALAR_EVENT);
        node = yaml_scalar(reader, path, event);
        anchor_add(reader, event->data.scalar.anchor, node);
        return node;
    }
}

/* ---- documents ---- */

static struct gw_node *yaml_document(struct yaml_reader *reader)
{
    struct gw_node *root = NULL;
    yaml_event_t event;

    while (yaml_next(reader, &event)) {
        yaml_event_type_t type = event.type;
        int line = line_of(event.start_mark);

        if (type == YAML_DOCUMENT_START_EVENT && root != NULL) {
            yaml_problem(reader, NULL, line, "a second document begins here: one is expected");
            yaml_end(reader);
        } else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                   type != YAML_DOCUMENT_END_EVENT && type != YAML_STREAM_END_EVENT) {
            root = yaml_value(reader, NULL, &event);
        }
        yaml_event_delete(&event);
        if (type == YAML_STREAM_END_EVENT)
            break;
    }
    return root == NULL && reader->outcome == 0 ? yaml_node_new(reader, NULL, 1) : root;
}

int gw_yaml_read(struct gw_arena *arena, struct gw_view text, const struct gw_node **ret_root,
                 struct gw_problems *problems)
{
    struct yaml_reader reader = {.text = text, .arena = arena, .problems = problems};
    struct gw_node *root;

    if (text.size > GW_YAML_TEXT_MAX) {
        gw_problems_add(problems, "", 0, "too large: %zu bytes, at most %zu are read", text.size,
                        GW_YAML_TEXT_MAX);
        return GW_YAML_BAD;
    }
    if (!yaml_parser_initialize(&reader.parser))
        return GW_RAISE(-ENOMEM);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)(text.size == 0 ? "" : text.data),
                                 text.size);
    root = yaml_document(&reader);
    yaml_parser_delete(&reader.parser);
    if (reader.outcome < 0)
        return reader.outcome;
    if (reader.bad)
        return GW_YAML_BAD;
    *ret_root = root;
    return 0;
}
