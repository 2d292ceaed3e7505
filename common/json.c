/* JSON documents: cJSON says how a text is built, our scanner how each number in it was written. */
#include "common/json.h"

#include "common/node_keys.h"
#include "common/node_path.h"

#include <cjson/cJSON.h>

struct json_reader {
    struct gw_arena *arena;
    struct gw_problems *problems;
    const char *counted; /* the lines before here are in `line` */
    int line;
    bool bad;
};

/* ---- reading ---- */

/* Lines are asked for in the order of the text, so all of them cost one pass. */
static int reader_line(struct json_reader *reader, const char *at)
{
    for (; reader->counted < at; reader->counted++)
        reader->line += *reader->counted == '\n';
    return reader->line;
}

static void json_deletep(cJSON **item)
{
    cJSON_Delete(*item);
}

/* Text of a string token; NULL when it is not text. */
static const char *reader_text(struct json_reader *reader, struct gw_view token, size_t *ret_size)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    if (!gw_json_unquote(&text, token) || text.failed)
        return NULL;
    *ret_size = text.size;
    return gw_arena_copy(reader->arena, gw_bytes_view(&text));
}

static int reader_node(struct json_reader *reader, const struct gw_node_path *path, const cJSON *item,
                       struct gw_view token, struct gw_node **ret_node);

static int reader_key(struct json_reader *reader, const struct gw_node_path *path, struct gw_node_keys *keys,
                      struct gw_view raw, const char **ret_key)
{
    char place[GW_NODE_PATH_MAX];
    int line = reader_line(reader, raw.data);
    size_t size = 0;
    const char *key = reader_text(reader, gw_view(raw.data - 1, raw.size + 2), &size);

    if (key == NULL)
        return GW_RAISE(-ENOMEM);
    if (strlen(key) != size) {
        gw_problems_add(reader->problems, gw_node_path_text(place, path), line,
                        "a key that holds a NUL character");
        reader->bad = true;
    }
    int known = gw_node_keys_add(keys, key);
    if (known == GW_NODE_KEYS_KNOWN) {
        gw_problems_add(reader->problems, gw_node_path_text(place, path), line,
                        "the key \"%s\" is there twice", key);
        reader->bad = true;
    } else {
        GW_TRY(known);
    }
    *ret_key = key;
    return 0;
}

static int reader_children(struct json_reader *reader, const struct gw_node_path *path, const cJSON *item,
                           struct gw_view token, struct gw_node *node)
{
    GW_AUTO(gw_node_keys_done) struct gw_node_keys keys = {0};
    struct gw_json_walk walk = gw_json_walk(token);
    struct gw_node **last = &node->first;

    for (const cJSON *child = item->child; child != NULL && gw_json_next(&walk); child = child->next) {
        struct gw_node_path below = {path, NULL, node->count};
        const char *key = NULL;
        int key_line = 0;

        if (node->kind == GW_NODE_MAP) {
            key_line = reader_line(reader, walk.key.data);
            GW_TRY(reader_key(reader, path, &keys, walk.key, &key));
            below.name = key;
        }
        GW_TRY(reader_node(reader, &below, child, walk.value, last));
        (*last)->key = key;
        (*last)->key_line = key_line;
        last = &(*last)->next;
        node->count++;
    }
    return 0;
}

static int reader_node(struct json_reader *reader, const struct gw_node_path *path, const cJSON *item,
                       struct gw_view token, struct gw_node **ret_node)
{
    struct gw_node *node = gw_arena_alloc(reader->arena, sizeof(*node));

    if (node == NULL)
        return GW_RAISE(-ENOMEM);
    node->line = reader_line(reader, token.data);
    node->text_line = node->line;
    if (cJSON_IsObject(item) || cJSON_IsArray(item)) {
        node->kind = cJSON_IsObject(item) ? GW_NODE_MAP : GW_NODE_LIST;
        GW_TRY(reader_children(reader, path, item, token, node));
    } else if (cJSON_IsString(item)) {
        node->kind = GW_NODE_TEXT;
        node->text = reader_text(reader, token, &node->text_size);
        if (node->text == NULL)
            return GW_RAISE(-ENOMEM);
    } else if (cJSON_IsNumber(item)) {
        node->kind = GW_NODE_NUMBER;
        node->text = gw_arena_copy(reader->arena, token);
        node->text_size = token.size;
        if (node->text == NULL)
            return GW_RAISE(-ENOMEM);
    } else if (cJSON_IsBool(item)) {
        node->kind = GW_NODE_BOOL;
        node->truth = cJSON_IsTrue(item);
    }
    *ret_node = node;
    return 0;
}

static int line_at(struct gw_view text, size_t offset)
{
    int line = 1;

    for (size_t i = 0; i < offset && i < text.size; i++)
        line += text.data[i] == '\n';
    return line;
}

int gw_json_read(struct gw_arena *arena, struct gw_view text, const struct gw_node **ret_root,
                 struct gw_problems *problems)
{
    struct json_reader reader = {arena, problems, text.data, 1, false};
    GW_AUTO(json_deletep) cJSON *item = NULL;
    struct gw_node *root = NULL;
    const char *expected, *stopped = NULL;
    size_t offset;

    /* cJSON takes 01, bare control characters and bytes that are not UTF-8. */
    if (!gw_json_check(text, &offset, &expected)) {
        gw_problems_add(problems, "", line_at(text, offset), "not JSON: expected %s", expected);
        return GW_JSON_BAD;
    }
    item = cJSON_ParseWithLengthOpts(text.data, text.size, &stopped, false);
    if (item == NULL) {
        gw_problems_add(problems, "", line_at(text, stopped == NULL ? 0 : (size_t)(stopped - text.data)),
                        "not a JSON document that can be used: half of a surrogate pair, or a number of more "
                        "than 63 characters");
        return GW_JSON_BAD;
    }
    GW_TRY(reader_node(&reader, NULL, item, gw_view_trim(text), &root));
    if (reader.bad)
        return GW_JSON_BAD;
    *ret_root = root;
    return 0;
}

/* ---- writing ---- */

void gw_json_write_node(struct gw_bytes *out, const struct gw_node *node)
{
    if (node == NULL || node->kind == GW_NODE_NULL) {
        gw_bytes_append_text(out, "null");
    } else if (node->kind == GW_NODE_BOOL) {
        gw_bytes_append_text(out, node->truth ? "true" : "false");
    } else if (node->kind == GW_NODE_NUMBER) {
        gw_bytes_append(out, node->text, node->text_size);
    } else if (node->kind == GW_NODE_TEXT) {
        gw_json_quote(out, gw_view(node->text, node->text_size));
    } else {
        bool map = node->kind == GW_NODE_MAP;

        gw_bytes_append_char(out, map ? '{' : '[');
        for (const struct gw_node *child = node->first; child != NULL; child = child->next) {
            if (map) {
                gw_json_quote(out, gw_view_text(child->key));
                gw_bytes_append_char(out, ':');
            }
            gw_json_write_node(out, child);
            if (child->next != NULL)
                gw_bytes_append_char(out, ',');
        }
        gw_bytes_append_char(out, map ? '}' : ']');
    }
}

void gw_json_element(struct gw_bytes *out)
{
    char last = out->size == 0 ? '{' : out->data[out->size - 1];

    if (last != '{' && last != '[' && last != ':')
        gw_bytes_append_char(out, ',');
}

void gw_json_member(struct gw_bytes *out, const char *name)
{
    gw_json_element(out);
    gw_json_quote(out, gw_view_text(name));
    gw_bytes_append_char(out, ':');
}

void gw_json_member_text(struct gw_bytes *out, const char *name, const char *value)
{
    gw_json_member(out, name);
    gw_json_quote(out, gw_view_text(value));
}

void gw_json_member_number(struct gw_bytes *out, const char *name, uint64_t value)
{
    gw_json_member(out, name);
    gw_bytes_printf(out, "%llu", (unsigned long long)value);
}

void gw_json_member_truth(struct gw_bytes *out, const char *name, bool value)
{
    gw_json_member(out, name);
    gw_bytes_append_text(out, value ? "true" : "false");
}

static void pretty_break(struct gw_bytes *out, size_t depth)
{
    gw_bytes_append_char(out, '\n');
    for (size_t i = 0; i < depth; i++)
        gw_bytes_append_text(out, "  ");
}

static void pretty_value(struct gw_bytes *out, struct gw_view value, size_t depth)
{
    struct gw_json_walk walk = gw_json_walk(value);
    size_t count = 0;

    if (walk.open == 0) {
        gw_bytes_append_view(out, value);
        return;
    }
    gw_bytes_append_char(out, walk.open);
    for (; gw_json_next(&walk); count++) {
        if (count > 0)
            gw_bytes_append_char(out, ',');
        pretty_break(out, depth + 1);
        if (walk.open == '{') {
            gw_bytes_append(out, walk.key.data - 1, walk.key.size + 2);
            gw_bytes_append_text(out, ": ");
        }
        pretty_value(out, walk.value, depth + 1);
    }
    if (count > 0)
        pretty_break(out, depth);
    gw_bytes_append_char(out, walk.open == '{' ? '}' : ']');
}

bool gw_json_pretty(struct gw_bytes *out, struct gw_view text)
{
    if (!gw_json_valid(text))
        return false;
    pretty_value(out, gw_view_trim(text), 0);
    return true;
}
