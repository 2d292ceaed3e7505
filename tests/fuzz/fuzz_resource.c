/* What a resource source is told by others: up to the first line's end a path, a selector and a position, behind it a JSON
 * document of the API server, and the whole of it a selector in YAML. */
#include "gateway-servers/resource/object.h"
#include "gateway-servers/resource/path.h"
#include "gateway-servers/resource/position.h"
#include "gateway-servers/resource/selector.h"

#include "common/json.h"
#include "common/yaml.h"

struct seen {
    struct gw_view json, first;
    size_t count;
};

static void on_value(void *user, struct gw_view value)
{
    struct seen *seen = user;

    assert(value.data >= seen->json.data && value.data + value.size <= seen->json.data + seen->json.size);
    assert(gw_json_valid(value));
    if (seen->count++ == 0)
        seen->first = value;
}

static void check_path(const char *text, struct gw_view json)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    struct gw_reason reason = {""};
    struct seen seen = {.json = json};
    struct gw_view value = {0};
    struct path path;

    if (path_parse(&path, text, &arena, &reason) != 0) {
        assert(reason.text[0] != '\0');
        return;
    }
    assert(path.count > 0 && path.count <= PATH_STEPS_MAX);
    if (json.size == 0)
        return;
    path_each(&path, json, on_value, &seen);
    assert(path_find(&path, json, &value) == (seen.count > 0));
    assert(value.data == seen.first.data && value.size == seen.first.size);
    assert(path_mark(&path, 1, json) != 0 && path_mark(&path, 1, json) == path_mark(&path, 1, json));
}

/* What is handed to the API server reads back as the same, and leaves nothing to be judged here. */
static void check_written(const struct selector *selector, enum selector_of of)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes first = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes second = {0};
    struct selector again;

    selector_write(&first, selector, of, true);
    const struct gw_node node = {
        .kind = GW_NODE_TEXT, .line = 1, .text = gw_bytes_text(&first), .text_size = first.size};
    if (first.size == 0 || strlen(node.text) != first.size)
        return;
    if (of == SELECTOR_FIELDS && strpbrk(node.text, " \t\r\n") != NULL)
        return; /* space at the ends of a value is left out when it is read as text */
    assert(selector_read(&again, of, &node, "again", &arena, &problems) == 0 && !gw_problems_any(&problems));
    for (size_t i = 0; i < again.count; i++)
        assert(selector_is_remote(&again.terms[i], of, true));
    selector_write(&second, &again, of, true);
    assert(gw_view_equal(gw_bytes_view(&first), gw_bytes_view(&second)));
}

static void check_selector(const struct gw_node *node, enum selector_of of, struct gw_view json)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct selector selector;

    assert(selector_read(&selector, of, node, "filter", &arena, &problems) == 0);
    if (gw_problems_any(&problems))
        return;
    assert(selector.count <= SELECTOR_TERMS_MAX);
    for (size_t i = 0; i < selector.count; i++)
        (void)selector_term_holds(&selector.terms[i], true, selector.terms[i].key);
    if (of == SELECTOR_FIELDS && json.size > 0)
        (void)selector_fields_hold(&selector, false, json);
    check_written(&selector, of);
}

static void check_position(struct gw_view text)
{
    char version[POSITION_VERSION_MAX];
    struct position position = position_read(text, "pods", "");

    if (position_version(&position, "shop", version))
        assert(version_within(version, version) && version_within("", version));
}

static void check_object(struct gw_view json)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    int64_t created_ns;
    struct object object = object_read(json);

    if (object.labels.size > 0)
        (void)object_text(object.labels, "team", &text);
    (void)object_created(&object, &created_ns);
    (void)object_written(&object, 0);
    object_write(&out, &object, false);
    assert(gw_json_valid(gw_bytes_view(&out)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};
    const char *end = size == 0 ? NULL : memchr(data, '\n', size);
    size_t line_size = end == NULL ? size : (size_t)(end - (const char *)data);
    struct gw_view json = end == NULL ? (struct gw_view){0} : gw_view(end + 1, size - line_size - 1);
    const struct gw_node *root = NULL;

    gw_bytes_append_view(&line, gw_view(data, line_size));
    if (!gw_json_valid(json))
        json = (struct gw_view){0};
    const struct gw_node text = {
        .kind = GW_NODE_TEXT, .line = 1, .text = gw_bytes_text(&line), .text_size = line.size};
    check_path(text.text, json);
    check_selector(&text, SELECTOR_LABELS, json);
    check_selector(&text, SELECTOR_FIELDS, json);
    check_position(gw_bytes_view(&line));
    if (json.size > 0)
        check_object(json);
    if (gw_yaml_read(&arena, gw_view(data, size), &root, &problems) == 0) {
        check_selector(root, SELECTOR_LABELS, json);
        check_selector(root, SELECTOR_FIELDS, json);
    }
    return 0;
}
