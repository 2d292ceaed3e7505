/* Settings: fills a struct from a node tree by a table. */
#include "common/settings.h"

#include "common/node_path.h"
#include "common/text.h"
#include "common/yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SETTINGS_MESSAGE_MAX = 400, SETTINGS_NAMES_MAX = 64 };

struct load {
    struct gw_arena *arena;
    struct gw_problems *problems;
};

/* One setting being filled. */
struct load_field {
    const struct load *load;
    const struct gw_setting *setting;
    const struct gw_node_path *path;
    char *value; /* where it goes */
};

static void GW_PRINTF(4, 5)
    load_problem(const struct load *load, const struct gw_node_path *path, int line, const char *format, ...)
{
    char place[GW_NODE_PATH_MAX], message[SETTINGS_MESSAGE_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    gw_problems_add(load->problems, gw_node_path_text(place, path), line, "%s", message);
}

static int load_expected(const struct load_field *field, const struct gw_node *node, const char *expected)
{
    load_problem(field->load, field->path, node->line, "expected %s, got %s", expected,
                 gw_node_kind_name(node->kind));
    return 0;
}

/* ---- scalars: the value, or a problem ---- */

static bool in_range(const struct gw_setting *setting, int64_t value)
{
    return setting->max <= setting->min || (value >= setting->min && value <= setting->max);
}

static const char *const *nothing_chosen(const struct gw_setting *setting, const char *text)
{
    const char *const *choice = setting->choices;

    while (choice != NULL && *choice != NULL && strcmp(*choice, text) != 0)
        choice++;
    return choice == NULL || *choice != NULL ? NULL : setting->choices;
}

/* "a, b, c" */
static void words_join(struct gw_bytes *out, const char *const *words)
{
    for (size_t i = 0; words[i] != NULL; i++)
        gw_bytes_printf(out, "%s%s", i == 0 ? "" : ", ", words[i]);
}

/* "…; did you mean "x"?", or what there is when nothing is near. */
static void load_unknown(const struct load *load, const struct gw_node_path *path, int line, const char *what,
                         const char *text, const char *const *known)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes words = {0};
    const char *near = gw_text_nearest(text, known);

    words_join(&words, known);
    if (near != NULL)
        load_problem(load, path, line, "%s \"%s\"; did you mean \"%s\"?", what, text, near);
    else
        load_problem(load, path, line, "%s \"%s\"; known are: %s", what, text,
                     words.size == 0 || words.failed ? "none" : gw_bytes_text(&words));
}

/* Text of a scalar, NULL after a problem. Without a NUL within, so that it can go to C. */
static const char *scalar_text(const struct load_field *field, const struct gw_node *node)
{
    if (node->kind == GW_NODE_BOOL) {
        load_problem(field->load, field->path, node->line,
                     "expected text, got a boolean: write it in quotes");
        return NULL;
    }
    if (node->kind != GW_NODE_TEXT && node->kind != GW_NODE_NUMBER) {
        load_expected(field, node, "text");
        return NULL;
    }
    if (strlen(node->text) != node->text_size) {
        load_problem(field->load, field->path, node->line, "expected text, got bytes with a NUL among them");
        return NULL;
    }
    if (nothing_chosen(field->setting, node->text) != NULL) {
        load_unknown(field->load, field->path, node->line, "unknown value", node->text,
                     field->setting->choices);
        return NULL;
    }
    return node->text;
}

static int load_text(const struct load_field *field, const struct gw_node *node)
{
    const char *text = scalar_text(field, node);

    if (text != NULL)
        memcpy(field->value, &text, sizeof(text));
    return 0;
}

static bool is_scalar(const struct gw_node *node)
{
    return node->kind == GW_NODE_TEXT || node->kind == GW_NODE_NUMBER;
}

static int load_bool(const struct load_field *field, const struct gw_node *node)
{
    if (is_scalar(node)) {
        load_problem(field->load, field->path, node->line, "expected true or false, got %s \"%s\"",
                     gw_node_kind_name(node->kind), node->text);
        return 0;
    }
    if (node->kind != GW_NODE_BOOL)
        return load_expected(field, node, "true or false");
    memcpy(field->value, &node->truth, sizeof(node->truth));
    return 0;
}

static int load_integer(const struct load_field *field, const struct gw_node *node)
{
    int64_t value;

    if (!is_scalar(node))
        return load_expected(field, node, "a whole number");
    if (!gw_text_i64(gw_view(node->text, node->text_size), INT64_MIN, INT64_MAX, &value))
        load_problem(field->load, field->path, node->line, "expected a whole number, got \"%s\"", node->text);
    else if (!in_range(field->setting, value))
        load_problem(field->load, field->path, node->line, "%s is out of range: from %lld to %lld",
                     node->text, (long long)field->setting->min, (long long)field->setting->max);
    else
        memcpy(field->value, &value, sizeof(value));
    return 0;
}

static int load_number(const struct load_field *field, const struct gw_node *node)
{
    const struct gw_setting *setting = field->setting;
    char *end = NULL;
    double value;

    if (!is_scalar(node))
        return load_expected(field, node, "a number");
    value = strtod(node->text, &end);
    if (end == node->text || *end != '\0' || !(value - value == 0))
        load_problem(field->load, field->path, node->line, "expected a number, got \"%s\"", node->text);
    else if (setting->max > setting->min && !(value >= (double)setting->min && value <= (double)setting->max))
        load_problem(field->load, field->path, node->line, "%s is out of range: from %lld to %lld",
                     node->text, (long long)setting->min, (long long)setting->max);
    else
        memcpy(field->value, &value, sizeof(value));
    return 0;
}

static int load_duration(const struct load_field *field, const struct gw_node *node)
{
    char least[GW_DURATION_MAX], most[GW_DURATION_MAX];
    int64_t value;

    if (!is_scalar(node))
        return load_expected(field, node, "a duration such as 1m30s");
    if (!gw_duration_parse(gw_view(node->text, node->text_size), &value)) {
        if (node->kind == GW_NODE_NUMBER)
            load_problem(field->load, field->path, node->line, "a duration needs a unit: %ss, %sms, …",
                         node->text, node->text);
        else
            load_problem(field->load, field->path, node->line,
                         "expected a duration such as 1m30s, got \"%s\"", node->text);
    } else if (!in_range(field->setting, value)) {
        load_problem(field->load, field->path, node->line, "%s is out of range: from %s to %s", node->text,
                     gw_duration_format(least, field->setting->min),
                     gw_duration_format(most, field->setting->max));
    } else {
        memcpy(field->value, &value, sizeof(value));
    }
    return 0;
}

static int load_size(const struct load_field *field, const struct gw_node *node)
{
    const struct gw_setting *setting = field->setting;
    uint64_t value;

    if (!is_scalar(node))
        return load_expected(field, node, "a size such as 64Ki");
    if (!gw_text_size(gw_view(node->text, node->text_size), &value))
        load_problem(field->load, field->path, node->line,
                     "expected a size such as 65536 or 64Ki, got \"%s\"", node->text);
    else if (setting->max > setting->min && (value > INT64_MAX || !in_range(setting, (int64_t)value)))
        load_problem(field->load, field->path, node->line, "%s is out of range: from %lld to %lld bytes",
                     node->text, (long long)setting->min, (long long)setting->max);
    else
        memcpy(field->value, &value, sizeof(value));
    return 0;
}

/* ---- lists and mappings ---- */

static int load_texts(const struct load_field *field, const struct gw_node *node)
{
    bool list = node->kind == GW_NODE_LIST;
    struct gw_setting_texts texts = {0};

    if (!list && !is_scalar(node))
        return load_expected(field, node, "a list of texts");
    texts.items = gw_arena_alloc(field->load->arena, (list ? node->count : 1) * sizeof(*texts.items));
    if (texts.items == NULL)
        return GW_RAISE(-ENOMEM);
    for (const struct gw_node *entry = list ? node->first : node; entry != NULL;
         entry = list ? entry->next : NULL) {
        struct gw_node_path place = {field->path, NULL, texts.count};
        struct load_field below = *field;
        const char *text;

        if (list)
            below.path = &place;
        text = scalar_text(&below, entry);
        texts.items[texts.count++] = text == NULL ? "" : text;
    }
    memcpy(field->value, &texts, sizeof(texts));
    return 0;
}

static int load_pairs(const struct load_field *field, const struct gw_node *node)
{
    struct gw_setting_pairs pairs = {0};

    if (node->kind != GW_NODE_MAP)
        return load_expected(field, node, "a mapping of names to texts");
    pairs.items = gw_arena_alloc(field->load->arena, node->count * sizeof(*pairs.items));
    if (pairs.items == NULL)
        return GW_RAISE(-ENOMEM);
    for (const struct gw_node *entry = node->first; entry != NULL; entry = entry->next) {
        struct gw_node_path place = {field->path, entry->key, 0};
        struct load_field below = *field;
        const char *text;

        below.path = &place;
        text = scalar_text(&below, entry);
        pairs.items[pairs.count++] = (struct gw_setting_pair){entry->key, text == NULL ? "" : text};
    }
    memcpy(field->value, &pairs, sizeof(pairs));
    return 0;
}

static int load_table(const struct load *load, const struct gw_setting *table, const struct gw_node *node,
                      const struct gw_node_path *path, char *config);

static int load_secret(const struct load_field *field, const struct gw_node *node)
{
    static const struct gw_setting table[] = {
        {.name = "name",
         .kind = GW_SETTING_TEXT,
         .offset = offsetof(struct gw_setting_secret, name),
         .required = true,
         .help = "the secret"},
        {.name = "key",
         .kind = GW_SETTING_TEXT,
         .offset = offsetof(struct gw_setting_secret, key),
         .required = true,
         .help = "the entry of the secret"},
        {0},
    };

    if (node->kind != GW_NODE_MAP)
        return load_expected(field, node, "a reference to a secret, {name: …, key: …}");
    GW_TRY(load_table(field->load, table, node, field->path, field->value));
    return 0;
}

static int load_node(const struct load_field *field, const struct gw_node *node)
{
    memcpy(field->value, &node, sizeof(node));
    return 0;
}

static int load_section(const struct load_field *field, const struct gw_node *node)
{
    if (node->kind != GW_NODE_MAP)
        return load_expected(field, node, "a mapping");
    GW_TRY(load_table(field->load, field->setting->table, node, field->path, field->value));
    return 0;
}

static int load_sections(const struct load_field *field, const struct gw_node *node)
{
    struct gw_setting_sections sections = {0};

    if (node->kind != GW_NODE_LIST)
        return load_expected(field, node, "a list");
    sections.items = gw_arena_alloc(field->load->arena, node->count * field->setting->size);
    if (sections.items == NULL)
        return GW_RAISE(-ENOMEM);
    for (const struct gw_node *entry = node->first; entry != NULL; entry = entry->next) {
        struct gw_node_path place = {field->path, NULL, sections.count};
        char *config = (char *)sections.items + sections.count++ * field->setting->size;

        if (entry->kind != GW_NODE_MAP)
            load_problem(field->load, &place, entry->line, "expected a mapping, got %s",
                         gw_node_kind_name(entry->kind));
        GW_TRY(load_table(field->load, field->setting->table, entry->kind == GW_NODE_MAP ? entry : NULL,
                          &place, config));
    }
    memcpy(field->value, &sections, sizeof(sections));
    return 0;
}

static int load_value(const struct load_field *field, const struct gw_node *node)
{
    static int (*const loads[])(const struct load_field *, const struct gw_node *) = {
        [GW_SETTING_TEXT] = load_text,         [GW_SETTING_BOOL] = load_bool,
        [GW_SETTING_INTEGER] = load_integer,   [GW_SETTING_NUMBER] = load_number,
        [GW_SETTING_DURATION] = load_duration, [GW_SETTING_SIZE] = load_size,
        [GW_SETTING_TEXTS] = load_texts,       [GW_SETTING_PAIRS] = load_pairs,
        [GW_SETTING_SECRET] = load_secret,     [GW_SETTING_NODE] = load_node,
        [GW_SETTING_SECTION] = load_section,   [GW_SETTING_SECTIONS] = load_sections,
    };

    assert((size_t)field->setting->kind < GW_COUNT_OF(loads));
    GW_TRY(loads[field->setting->kind](field, node));
    return 0;
}

/* ---- tables ---- */

/* The default is part of the program: a bad one cannot be. */
static int load_default(const struct load_field *field)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct load load = {field->load->arena, &problems};
    const char *otherwise = field->setting->otherwise;
    const struct gw_node text = {.kind = GW_NODE_TEXT, .text = otherwise, .text_size = strlen(otherwise)};
    const struct gw_node *node = &text;
    struct load_field below = *field;

    below.load = &load;
    if (field->setting->kind == GW_SETTING_BOOL || field->setting->kind >= GW_SETTING_TEXTS) {
        int read = gw_yaml_read(field->load->arena, gw_view_text(otherwise), &node, &problems);

        assert(read <= 0);
        GW_TRY(read);
    }
    GW_TRY(load_value(&below, node));
    assert(problems.count == 0);
    return problems.dropped > 0 ? GW_RAISE(-ENOMEM) : 0;
}

static const struct gw_setting *table_find(const struct gw_setting *table, const char *name)
{
    for (; table->name != NULL; table++) {
        if (gw_view_is_nocase(gw_view_text(name), table->name) ||
            (table->alias != NULL && gw_view_is_nocase(gw_view_text(name), table->alias)))
            return table;
    }
    return NULL;
}

static void table_unknown(const struct load *load, const struct gw_setting *table, const struct gw_node *node,
                          const struct gw_node_path *path)
{
    const char *names[SETTINGS_NAMES_MAX + 1];
    size_t count = 0;

    for (; table->name != NULL && count < SETTINGS_NAMES_MAX; table++)
        names[count++] = table->name;
    names[count] = NULL;
    load_unknown(load, path, node->key_line, "unknown field", node->key, names);
}

/* The node of each setting; unknown and double ones are problems. */
static void table_sort(const struct load *load, const struct gw_setting *table, const struct gw_node *node,
                       const struct gw_node_path *path, const struct gw_node **nodes)
{
    for (const struct gw_node *member = node->first; member != NULL; member = member->next) {
        const struct gw_setting *setting = table_find(table, member->key);
        struct gw_node_path place = {path, member->key, 0};

        if (setting == NULL) {
            table_unknown(load, table, member, &place);
            continue;
        }
        if (nodes[setting - table] != NULL)
            load_problem(load, &place, member->key_line, "the same as \"%s\" in line %d: give one of them",
                         nodes[setting - table]->key, nodes[setting - table]->key_line);
        else
            nodes[setting - table] = member;
    }
}

/* The default, if there is one. A section that is absent still gets the defaults of its table, but requires nothing. */
static int table_default(const struct load_field *field)
{
    if (field->setting->otherwise != NULL)
        GW_TRY(load_default(field));
    else if (field->setting->kind == GW_SETTING_SECTION)
        GW_TRY(load_table(field->load, field->setting->table, NULL, field->path, field->value));
    return 0;
}

static int table_setting(const struct load *load, const struct gw_setting *setting,
                         const struct gw_node *node, const struct gw_node_path *path, char *config)
{
    struct gw_node_path place = {path, node == NULL ? setting->name : node->key, 0};
    struct load_field field = {load, setting, &place, config + setting->offset};

    /* also where a value is given: when it is a wrong one, whoever goes on with the rest finds the default */
    GW_TRY(table_default(&field));
    if (node == NULL || node->kind == GW_NODE_NULL)
        return 0;
    if (setting->kind == GW_SETTING_SECTION && setting->present > 0)
        memcpy(config + setting->present - 1, &(bool){true}, sizeof(bool));
    GW_TRY(load_value(&field, node));
    return 0;
}

/* `node` NULL: nothing was given here, so nothing is missing either. */
static int load_table(const struct load *load, const struct gw_setting *table, const struct gw_node *node,
                      const struct gw_node_path *path, char *config)
{
    GW_AUTO(gw_freep) const struct gw_node **nodes = NULL;
    size_t count = 0;

    while (table[count].name != NULL)
        count++;
    nodes = calloc(count + 1, sizeof(*nodes));
    if (nodes == NULL)
        return GW_RAISE(-ENOMEM);
    if (node != NULL)
        table_sort(load, table, node, path, nodes);
    for (size_t i = 0; i < count; i++) {
        bool absent = nodes[i] == NULL || nodes[i]->kind == GW_NODE_NULL;

        if (node != NULL && absent && table[i].required && table[i].otherwise == NULL) {
            struct gw_node_path place = {path, table[i].name, 0};

            load_problem(load, &place, node->line, "missing: %s", table[i].help == NULL ? "" : table[i].help);
        }
        GW_TRY(table_setting(load, &table[i], nodes[i], path, config));
    }
    return 0;
}

int gw_settings_load(const struct gw_setting *table, const struct gw_node *node, const char *path,
                     void *config, size_t config_size, struct gw_arena *arena, struct gw_problems *problems)
{
    static const struct gw_node nothing = {.kind = GW_NODE_MAP};
    const struct load load = {arena, problems};
    const struct gw_node_path top = {NULL, path == NULL ? "" : path, 0};

    memset(config, 0, config_size);
    if (node == NULL || node->kind == GW_NODE_NULL)
        node = &nothing;
    if (node->kind != GW_NODE_MAP) {
        load_problem(&load, &top, node->line, "expected a mapping of settings, got %s",
                     gw_node_kind_name(node->kind));
        node = NULL; /* the defaults are still given */
    }
    GW_TRY(load_table(&load, table, node, &top, config));
    return 0;
}
