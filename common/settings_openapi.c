/* Settings, printed for Kubernetes: a table as the structural schema of a custom resource, in YAML.
 * https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
 *
 * Where a reader takes a text and a number, so does the schema, as far as a structural one can. Defaults are told, not set:
 * set ones would be written into objects, entries of lists included, and tools that compare an object with its file would
 * find differences that nobody made. */
#include "common/json.h"
#include "common/settings.h"

#include <string.h>

/* What gw_text_i64 takes. */
#define PATTERN_INTEGER "^-?[0-9]+$"

static void openapi_object(const struct gw_setting *table, int indent, struct gw_bytes *out);

static void openapi_line(struct gw_bytes *out, int indent, const char *text)
{
    gw_bytes_printf(out, "%*s%s\n", indent, "", text);
}

/* JSON's quoted text is YAML's, too. */
static void openapi_quoted(struct gw_bytes *out, int indent, const char *name, const char *text)
{
    gw_bytes_printf(out, "%*s%s", indent, "", name);
    gw_json_quote(out, gw_view_text(text));
    gw_bytes_append_char(out, '\n');
}

/* What the schema itself does not tell people: the kind where it has none, and the default. */
static void openapi_told(const struct gw_setting *setting, struct gw_bytes *words)
{
    const char *kind = setting->kind == GW_SETTING_INTEGER    ? "a whole number"
                       : setting->kind == GW_SETTING_DURATION ? "a duration such as 1m30s"
                       : setting->kind == GW_SETTING_SIZE     ? "bytes, or a size such as 64Mi"
                                                              : NULL;
    const char *otherwise = setting->otherwise;

    if (kind != NULL || otherwise != NULL)
        gw_bytes_printf(words, " (%s%s%s%s)", kind == NULL ? "" : kind,
                        kind == NULL || otherwise == NULL ? "" : "; ", otherwise == NULL ? "" : "default ",
                        otherwise == NULL ? "" : otherwise);
}

static void openapi_description(const struct gw_setting *setting, const char *name, int indent,
                                struct gw_bytes *out)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes words = {0};

    if (name != setting->name)
        gw_bytes_printf(&words, "the same as %s: ", setting->name);
    gw_bytes_append_text(&words, setting->help == NULL ? setting->name : setting->help);
    openapi_told(setting, &words);
    openapi_quoted(out, indent, "description: ", words.failed ? "" : gw_bytes_text(&words));
}

/* A number, or a text that looks as the pattern says. */
static void openapi_number_or_text(const char *pattern, int indent, struct gw_bytes *out)
{
    openapi_line(out, indent, "x-kubernetes-int-or-string: true");
    if (pattern != NULL)
        openapi_quoted(out, indent, "pattern: ", pattern);
}

static void openapi_text(const struct gw_setting *setting, int indent, struct gw_bytes *out)
{
    if (setting->numeric) {
        openapi_number_or_text(NULL, indent, out);
        return;
    }
    openapi_line(out, indent, "type: string");
    if (setting->choices == NULL)
        return;
    openapi_line(out, indent, "enum:");
    for (size_t i = 0; setting->choices[i] != NULL; i++)
        openapi_quoted(out, indent, "- ", setting->choices[i]);
}

static void openapi_range(const struct gw_setting *setting, int indent, struct gw_bytes *out)
{
    if (setting->max <= setting->min)
        return;
    gw_bytes_printf(out, "%*sminimum: %lld\n", indent, "", (long long)setting->min);
    if (setting->max < INT64_MAX)
        gw_bytes_printf(out, "%*smaximum: %lld\n", indent, "", (long long)setting->max);
}

/* 0 is the one duration that needs no unit. */
static void openapi_duration(const struct gw_setting *setting, int indent, struct gw_bytes *out)
{
    if (setting->max > setting->min && setting->min > 0) {
        openapi_line(out, indent, "type: string");
        openapi_quoted(out, indent, "pattern: ", GW_SETTING_DURATION_PATTERN);
        return;
    }
    openapi_number_or_text(GW_SETTING_DURATION_PATTERN, indent, out);
    openapi_line(out, indent, "minimum: 0");
    openapi_line(out, indent, "maximum: 0");
}

static void openapi_secret(int indent, struct gw_bytes *out)
{
    openapi_line(out, indent, "type: object");
    openapi_line(out, indent, "properties:");
    openapi_line(out, indent, "  name:");
    openapi_line(out, indent, "    description: the secret");
    openapi_line(out, indent, "    type: string");
    openapi_line(out, indent, "  key:");
    openapi_line(out, indent, "    description: the entry of the secret");
    openapi_line(out, indent, "    type: string");
    openapi_line(out, indent, "required: [name, key]");
}

static void openapi_kind(const struct gw_setting *setting, int indent, struct gw_bytes *out)
{
    switch (setting->kind) {
    case GW_SETTING_TEXT:
        openapi_text(setting, indent, out);
        break;
    case GW_SETTING_BOOL:
        openapi_line(out, indent, "type: boolean");
        break;
    case GW_SETTING_INTEGER:
        openapi_number_or_text(PATTERN_INTEGER, indent, out);
        openapi_range(setting, indent, out);
        break;
    case GW_SETTING_NUMBER:
        openapi_line(out, indent, "type: number");
        openapi_range(setting, indent, out);
        break;
    case GW_SETTING_DURATION:
        openapi_duration(setting, indent, out);
        break;
    case GW_SETTING_SIZE:
        openapi_number_or_text(GW_SETTING_SIZE_PATTERN, indent, out);
        openapi_range(setting, indent, out);
        break;
    case GW_SETTING_TEXTS:
        openapi_line(out, indent, "type: array");
        openapi_line(out, indent, "items:");
        openapi_text(setting, indent + 2, out);
        break;
    case GW_SETTING_PAIRS:
        openapi_line(out, indent, "type: object");
        openapi_line(out, indent, "additionalProperties:");
        openapi_number_or_text(NULL, indent + 2, out);
        break;
    case GW_SETTING_SECRET:
        openapi_secret(indent, out);
        break;
    case GW_SETTING_NODE:
        openapi_line(out, indent, "x-kubernetes-preserve-unknown-fields: true");
        break;
    case GW_SETTING_SECTION:
        openapi_object(setting->table, indent, out);
        break;
    case GW_SETTING_SECTIONS:
        openapi_line(out, indent, "type: array");
        openapi_line(out, indent, "items:");
        openapi_object(setting->table, indent + 2, out);
        break;
    }
}

static void openapi_property(const struct gw_setting *setting, const char *name, int indent,
                             struct gw_bytes *out)
{
    gw_bytes_printf(out, "%*s%s:\n", indent, "", name);
    openapi_description(setting, name, indent + 2, out);
    openapi_kind(setting, indent + 2, out);
}

/* What may come by an alias is left to the reader. */
static bool openapi_requires(const struct gw_setting *setting)
{
    return setting->required && setting->otherwise == NULL && setting->alias == NULL;
}

static void openapi_required(const struct gw_setting *table, int indent, struct gw_bytes *out)
{
    bool any = false;

    for (; table->name != NULL; table++) {
        if (!openapi_requires(table))
            continue;
        if (!any)
            openapi_line(out, indent, "required:");
        any = true;
        gw_bytes_printf(out, "%*s- %s\n", indent, "", table->name);
    }
}

static void openapi_object(const struct gw_setting *table, int indent, struct gw_bytes *out)
{
    openapi_line(out, indent, "type: object");
    openapi_line(out, indent, "properties:");
    for (const struct gw_setting *setting = table; setting->name != NULL; setting++) {
        openapi_property(setting, setting->name, indent + 2, out);
        if (setting->alias != NULL)
            openapi_property(setting, setting->alias, indent + 2, out);
    }
    openapi_required(table, indent, out);
}

void gw_settings_openapi(const struct gw_setting *table, int indent, struct gw_bytes *out)
{
    openapi_object(table, indent, out);
}
