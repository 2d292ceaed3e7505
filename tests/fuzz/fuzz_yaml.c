/* YAML texts: whatever is read comes out as JSON that reads back the same, and loads by a table without harm.
 */
#include "common/json.h"
#include "common/settings.h"
#include "common/yaml.h"

struct inner {
    const char *text;
};
struct config {
    const char *text;
    bool truth;
    int64_t integer, duration;
    double number;
    uint64_t size;
    struct gw_setting_texts texts;
    struct gw_setting_pairs pairs;
    struct gw_setting_secret secret;
    const struct gw_node *node;
    struct inner section;
    struct gw_setting_sections sections;
};

static const char *const choices[] = {"one", "two", NULL};
static const struct gw_setting inner_settings[] = {
    {.name = "text",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct inner, text),
     .choices = choices,
     .required = true},
    {0},
};
static const struct gw_setting settings[] = {
    {.name = "text", .kind = GW_SETTING_TEXT, .offset = offsetof(struct config, text), .otherwise = "x"},
    {.name = "truth", .kind = GW_SETTING_BOOL, .offset = offsetof(struct config, truth)},
    {.name = "integer",
     .kind = GW_SETTING_INTEGER,
     .offset = offsetof(struct config, integer),
     .min = 1,
     .max = 9},
    {.name = "duration", .kind = GW_SETTING_DURATION, .offset = offsetof(struct config, duration)},
    {.name = "number", .kind = GW_SETTING_NUMBER, .offset = offsetof(struct config, number)},
    {.name = "size", .kind = GW_SETTING_SIZE, .offset = offsetof(struct config, size)},
    {.name = "texts", .kind = GW_SETTING_TEXTS, .offset = offsetof(struct config, texts)},
    {.name = "pairs", .kind = GW_SETTING_PAIRS, .offset = offsetof(struct config, pairs)},
    {.name = "secret", .kind = GW_SETTING_SECRET, .offset = offsetof(struct config, secret)},
    {.name = "node", .kind = GW_SETTING_NODE, .offset = offsetof(struct config, node), .alias = "any"},
    {.name = "section",
     .kind = GW_SETTING_SECTION,
     .offset = offsetof(struct config, section),
     .table = inner_settings},
    {.name = "sections",
     .kind = GW_SETTING_SECTIONS,
     .offset = offsetof(struct config, sections),
     .table = inner_settings,
     .size = sizeof(struct inner)},
    {0},
};

static void check_json(const struct gw_node *root)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes first = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes second = {0};
    const struct gw_node *again = NULL;

    gw_json_write_node(&first, root);
    assert(gw_json_valid(gw_bytes_view(&first)));
    /* The one thing that JSON documents do not take: numbers of more than 63 characters. */
    if (gw_json_read(&arena, gw_bytes_view(&first), &again, &problems) != 0)
        return;
    gw_json_write_node(&second, again);
    assert(gw_view_equal(gw_bytes_view(&first), gw_bytes_view(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *root = NULL;
    struct config config;
    int read = gw_yaml_read(&arena, gw_view(data, size), &root, &problems);

    assert((read == 0) == !gw_problems_any(&problems));
    if (read != 0)
        return 0;
    check_json(root);
    assert(gw_settings_load(settings, root, "", &config, sizeof(config), &arena, &problems) == 0);
    return 0;
}
