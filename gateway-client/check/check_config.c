/* Broken configurations, made of a good one and of what a schema says about it. */
#include "gateway-client/check/check_config.h"

#include "common/json.h"

#include <string.h>

#define UNKNOWN_FIELD "checkServerUnknownField"

bool gwc_schema_is_closed(const struct gw_node *schema)
{
    const struct gw_node *more = gw_node_get(schema, "additionalProperties");

    return more != NULL && more->kind == GW_NODE_BOOL && !more->truth;
}

static int variant_add(struct gw_arena *arena, struct gwc_variants *variants, enum gwc_variant_kind kind,
                       const char *field, const char *what, struct gw_view text)
{
    struct gwc_variant variant = {kind, what, field, gw_view(gw_arena_copy(arena, text), text.size)};

    if (what == NULL || variant.text.data == NULL)
        return GW_RAISE(-ENOMEM);
    if (variants->count < GWC_VARIANTS_MAX)
        variants->items[variants->count++] = variant;
    return 0;
}

/* The good one, as JSON, with `field` as `value` (JSON), or without it when that is NULL. */
static int variant_with(struct gw_arena *arena, struct gwc_variants *variants, const struct gw_node *good,
                        enum gwc_variant_kind kind, const char *field, const char *what, const char *value)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    const char *comma = "";

    gw_bytes_append_char(&out, '{');
    for (const struct gw_node *member = good == NULL ? NULL : good->first; member != NULL;
         member = member->next) {
        if (strcmp(member->key, field) == 0)
            continue;
        gw_bytes_append_text(&out, comma);
        gw_json_quote(&out, gw_view_text(member->key));
        gw_bytes_append_char(&out, ':');
        gw_json_write_node(&out, member);
        comma = ",";
    }
    if (value != NULL) {
        gw_bytes_append_text(&out, comma);
        gw_json_quote(&out, gw_view_text(field));
        gw_bytes_printf(&out, ":%s", value);
    }
    gw_bytes_append_text(&out, "}\n");
    return out.failed ? GW_RAISE(-ENOMEM)
                      : variant_add(arena, variants, kind, field, what, gw_bytes_view(&out));
}

/* `type` of a schema is one name or a list of them. */
static bool type_allows(const struct gw_node *type, const char *name)
{
    if (type->kind == GW_NODE_TEXT)
        return strcmp(type->text, name) == 0;
    for (const struct gw_node *item = type->first; item != NULL; item = item->next)
        if (strcmp(gw_node_text(item, ""), name) == 0)
            return true;
    return false;
}

static int variant_of_type(struct gw_arena *arena, struct gwc_variants *variants, const struct gw_node *good,
                           const struct gw_node *property)
{
    static const struct {
        const char *type, *also, *value, *what;
    } wrong[] = {
        {"object", NULL, "{\"check-server\":[1]}", "a mapping"},
        {"array", NULL, "[[1]]", "a list"},
        {"string", NULL, "\"check-server\"", "a text"},
        {"number", "integer", "1.5", "a number"},
    };
    const struct gw_node *type = gw_node_get(property, "type");

    if (type == NULL)
        return 0;
    for (size_t i = 0; i < GW_COUNT_OF(wrong); i++) {
        if (type_allows(type, wrong[i].type) || (wrong[i].also != NULL && type_allows(type, wrong[i].also)))
            continue;
        return variant_with(arena, variants, good, GWC_VARIANT_WRONG, property->key,
                            gw_arena_printf(arena, "%s for %s", wrong[i].what, property->key),
                            wrong[i].value);
    }
    return 0;
}

static int variant_of_enum(struct gw_arena *arena, struct gwc_variants *variants, const struct gw_node *good,
                           const struct gw_node *property)
{
    const struct gw_node *choices = gw_node_get(property, "enum");

    if (choices == NULL || choices->kind != GW_NODE_LIST)
        return 0;
    return variant_with(arena, variants, good, GWC_VARIANT_WRONG, property->key,
                        gw_arena_printf(arena, "\"check-server\", which is none of its choices, for %s",
                                        property->key),
                        "\"check-server\"");
}

static int variants_of_required(struct gw_arena *arena, struct gwc_variants *variants,
                                const struct gw_node *good, const struct gw_node *required)
{
    if (required == NULL || required->kind != GW_NODE_LIST)
        return 0;
    for (const struct gw_node *name = required->first; name != NULL; name = name->next)
        if (name->kind == GW_NODE_TEXT)
            GW_TRY(variant_with(arena, variants, good, GWC_VARIANT_WRONG, name->text,
                                gw_arena_printf(arena, "no %s", name->text), NULL));
    return 0;
}

static int variants_of_schema(struct gw_arena *arena, struct gwc_variants *variants,
                              const struct gw_node *good, const struct gw_node *schema)
{
    const struct gw_node *properties = gw_node_get(schema, "properties");

    if (properties != NULL && properties->kind == GW_NODE_MAP)
        for (const struct gw_node *property = properties->first; property != NULL;
             property = property->next) {
            GW_TRY(variant_of_type(arena, variants, good, property));
            GW_TRY(variant_of_enum(arena, variants, good, property));
        }
    return variants_of_required(arena, variants, good, gw_node_get(schema, "required"));
}

int gwc_variants_make(struct gw_arena *arena, const struct gw_node *good, const struct gw_node *schema,
                      struct gwc_variants *ret_variants)
{
    struct gwc_variants variants = {.count = 0};
    const struct gw_node *type = gw_node_get(schema, "type");

    GW_TRY(variant_add(arena, &variants, GWC_VARIANT_ODD, NULL, "an empty text", gw_view_text("")));
    GW_TRY(variant_add(arena, &variants, GWC_VARIANT_WRONG, NULL, "text that is not YAML",
                       gw_view_text("a: [1\nb: }\n")));
    if (type != NULL && !type_allows(type, "array"))
        GW_TRY(variant_add(arena, &variants, GWC_VARIANT_WRONG, NULL, "a list instead of a mapping",
                           gw_view_text("- 1\n- 2\n")));
    if (good != NULL) {
        GW_TRY(variant_with(arena, &variants, good, GWC_VARIANT_UNKNOWN, UNKNOWN_FIELD,
                            "the field " UNKNOWN_FIELD, "1"));
        GW_TRY(variants_of_schema(arena, &variants, good, schema));
    }
    *ret_variants = variants;
    return 0;
}
