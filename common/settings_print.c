/* Settings, printed: a table as JSON Schema and as Markdown. */
#include "common/json.h"
#include "common/settings.h"
#include "common/yaml.h"

static void schema_object(const struct gw_setting *table, struct gw_bytes *out);

static void schema_default(const struct gw_setting *setting, struct gw_bytes *out)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *node;

    if (setting->otherwise == NULL)
        return;
    gw_bytes_append_text(out, ",\"default\":");
    if (setting->kind == GW_SETTING_TEXT || setting->kind == GW_SETTING_DURATION ||
        gw_yaml_read(&arena, gw_view_text(setting->otherwise), &node, &problems) != 0)
        gw_json_quote(out, gw_view_text(setting->otherwise));
    else
        gw_json_write_node(out, node);
}

static void schema_choices(const struct gw_setting *setting, struct gw_bytes *out)
{
    if (setting->choices == NULL)
        return;
    gw_bytes_append_text(out, ",\"enum\":[");
    for (size_t i = 0; setting->choices[i] != NULL; i++) {
        if (i > 0)
            gw_bytes_append_char(out, ',');
        gw_json_quote(out, gw_view_text(setting->choices[i]));
    }
    gw_bytes_append_char(out, ']');
}

static void schema_text(const struct gw_setting *setting, struct gw_bytes *out)
{
    gw_bytes_append_text(out, setting->choices == NULL ? "\"type\":[\"string\",\"number\"]"
                                                       : "\"type\":\"string\"");
    schema_choices(setting, out);
}

static void schema_number(const struct gw_setting *setting, const char *type, struct gw_bytes *out)
{
    gw_bytes_printf(out, "\"type\":[\"%s\",\"string\"]", type);
    if (setting->max > setting->min)
        gw_bytes_printf(out, ",\"minimum\":%lld,\"maximum\":%lld", (long long)setting->min,
                        (long long)setting->max);
}

static void schema_pattern(const char *type, const char *pattern, struct gw_bytes *out)
{
    gw_bytes_printf(out, "\"type\":%s,\"pattern\":", type);
    gw_json_quote(out, gw_view_text(pattern));
}

static void schema_list(const struct gw_setting *setting, struct gw_bytes *out)
{
    gw_bytes_append_text(out, "\"type\":[\"array\",\"string\",\"number\"],\"items\":{");
    schema_text(setting, out);
    gw_bytes_append_char(out, '}');
}

static void schema_kind(const struct gw_setting *setting, struct gw_bytes *out)
{
    switch (setting->kind) {
    case GW_SETTING_TEXT:
        schema_text(setting, out);
        break;
    case GW_SETTING_BOOL:
        gw_bytes_append_text(out, "\"type\":\"boolean\"");
        break;
    case GW_SETTING_INTEGER:
        schema_number(setting, "integer", out);
        break;
    case GW_SETTING_NUMBER:
        schema_number(setting, "number", out);
        break;
    case GW_SETTING_DURATION:
        schema_pattern("\"string\"", GW_SETTING_DURATION_PATTERN, out);
        break;
    case GW_SETTING_SIZE:
        schema_pattern("[\"integer\",\"string\"]", GW_SETTING_SIZE_PATTERN, out);
        break;
    case GW_SETTING_TEXTS:
        schema_list(setting, out);
        break;
    case GW_SETTING_PAIRS:
        gw_bytes_append_text(
            out, "\"type\":\"object\",\"additionalProperties\":{\"type\":[\"string\",\"number\"]}");
        break;
    case GW_SETTING_SECRET:
        gw_bytes_append_text(
            out, "\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"key\":{\"type\":"
                 "\"string\"}},\"required\":[\"name\",\"key\"],\"additionalProperties\":false");
        break;
    case GW_SETTING_NODE:
        gw_bytes_append_text(out, "\"$comment\":\"any value\"");
        break;
    case GW_SETTING_SECTION:
        schema_object(setting->table, out);
        break;
    case GW_SETTING_SECTIONS:
        gw_bytes_append_text(out, "\"type\":\"array\",\"items\":{");
        schema_object(setting->table, out);
        gw_bytes_append_char(out, '}');
        break;
    }
}

static void schema_property(const struct gw_setting *setting, const char *name, struct gw_bytes *out)
{
    gw_json_quote(out, gw_view_text(name));
    gw_bytes_append_text(out, ":{");
    schema_kind(setting, out);
    schema_default(setting, out);
    if (setting->help != NULL) {
        gw_bytes_append_text(out, ",\"description\":");
        gw_json_quote(out, gw_view_text(setting->help));
    }
    if (name == setting->alias)
        gw_bytes_append_text(out, ",\"deprecated\":true");
    gw_bytes_append_char(out, '}');
}

/* A required setting may be given by its alias. */
static void schema_required(const struct gw_setting *table, struct gw_bytes *out)
{
    bool first = true;

    for (; table->name != NULL; table++) {
        if (!table->required || table->otherwise != NULL)
            continue;
        gw_bytes_append_text(out, first ? ",\"allOf\":[" : ",");
        first = false;
        if (table->alias == NULL)
            gw_bytes_printf(out, "{\"required\":[\"%s\"]}", table->name);
        else
            gw_bytes_printf(out, "{\"anyOf\":[{\"required\":[\"%s\"]},{\"required\":[\"%s\"]}]}", table->name,
                            table->alias);
    }
    if (!first)
        gw_bytes_append_char(out, ']');
}

static void schema_object(const struct gw_setting *table, struct gw_bytes *out)
{
    gw_bytes_append_text(out, "\"type\":\"object\",\"properties\":{");
    for (const struct gw_setting *setting = table; setting->name != NULL; setting++) {
        if (setting != table)
            gw_bytes_append_char(out, ',');
        schema_property(setting, setting->name, out);
        if (setting->alias != NULL) {
            gw_bytes_append_char(out, ',');
            schema_property(setting, setting->alias, out);
        }
    }
    gw_bytes_append_char(out, '}');
    schema_required(table, out);
    gw_bytes_append_text(out, ",\"additionalProperties\":false");
}

void gw_settings_schema(const struct gw_setting *table, const char *title, struct gw_bytes *out)
{
    gw_bytes_append_text(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":");
    gw_json_quote(out, gw_view_text(title));
    gw_bytes_append_char(out, ',');
    schema_object(table, out);
    gw_bytes_append_char(out, '}');
}

/* ---- Markdown ---- */

/* A cell: '|' would end it. */
static void markdown_cell(struct gw_bytes *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            gw_bytes_append_char(out, '\\');
        gw_bytes_append_char(out, *text);
    }
}

static void markdown_meaning(const struct gw_setting *setting, struct gw_bytes *out)
{
    markdown_cell(out, setting->help == NULL ? "" : setting->help);
    for (size_t i = 0; setting->choices != NULL && setting->choices[i] != NULL; i++)
        gw_bytes_printf(out, "%s`%s`", i == 0 ? ": " : ", ", setting->choices[i]);
    if (setting->alias != NULL)
        gw_bytes_printf(out, " (also `%s`)", setting->alias);
}

static void markdown_rows(const struct gw_setting *table, const char *prefix, struct gw_bytes *out)
{
    static const char *const kinds[] = {
        [GW_SETTING_TEXT] = "text",
        [GW_SETTING_BOOL] = "boolean",
        [GW_SETTING_INTEGER] = "whole number",
        [GW_SETTING_NUMBER] = "number",
        [GW_SETTING_DURATION] = "duration",
        [GW_SETTING_SIZE] = "size",
        [GW_SETTING_TEXTS] = "list of texts",
        [GW_SETTING_PAIRS] = "mapping of texts",
        [GW_SETTING_SECRET] = "secret {name, key}",
        [GW_SETTING_NODE] = "any value",
        [GW_SETTING_SECTION] = "mapping",
        [GW_SETTING_SECTIONS] = "list of mappings",
    };

    for (; table->name != NULL; table++) {
        GW_AUTO(gw_bytes_done) struct gw_bytes below = {0};

        gw_bytes_printf(out, "| `%s%s` | %s | ", prefix, table->name, kinds[table->kind]);
        if (table->otherwise != NULL) {
            gw_bytes_append_char(out, '`');
            markdown_cell(out, table->otherwise);
            gw_bytes_append_char(out, '`');
        } else if (table->required) {
            gw_bytes_append_text(out, "*required*");
        }
        gw_bytes_append_text(out, " | ");
        markdown_meaning(table, out);
        gw_bytes_append_text(out, " |\n");
        if (table->table == NULL)
            continue;
        gw_bytes_printf(&below, "%s%s%s.", prefix, table->name,
                        table->kind == GW_SETTING_SECTIONS ? "[]" : "");
        markdown_rows(table->table, below.failed ? "" : gw_bytes_text(&below), out);
    }
}

void gw_settings_markdown(const struct gw_setting *table, struct gw_bytes *out)
{
    gw_bytes_append_text(out, "| setting | kind | default | meaning |\n| --- | --- | --- | --- |\n");
    markdown_rows(table, "", out);
}
