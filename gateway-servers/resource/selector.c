/* Selector: three notations in, texts for the API server out, and judging what that cannot. */
#include "gateway-servers/resource/selector.h"

#include "common/json.h"
#include "common/settings.h"
#include "common/text.h"
#include "gateway-servers/resource/selector_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

static const struct {
    const char *name;
    enum selector_operation operation;
} operation_names[] = {
    {"=", SELECTOR_EQUAL},
    {"==", SELECTOR_EQUAL},
    {"!=", SELECTOR_NOT_EQUAL},
    {"in", SELECTOR_IN},
    {"notin", SELECTOR_NOT_IN},
    {"!", SELECTOR_ABSENT},
    {"exists", SELECTOR_EXISTS},
    {"gt", SELECTOR_GREATER},
    {"lt", SELECTOR_LESS},
    {">", SELECTOR_GREATER},
    {"doesnotexist", SELECTOR_ABSENT},
    {"<", SELECTOR_LESS},
};

bool selector_operation_named(struct gw_view name, enum selector_operation *ret_operation)
{
    for (size_t i = 0; i < GW_COUNT_OF(operation_names); i++)
        if (gw_view_is_nocase(name, operation_names[i].name)) {
            *ret_operation = operation_names[i].operation;
            return true;
        }
    return false;
}

void selector_complain(struct selector_reading *reading, const char *format, ...)
{
    char text[GW_REASON_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    gw_problems_add(reading->problems, reading->path, reading->line, "%s", text);
}

/* ---- what labels may be called: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ ---- */

static bool name_good(struct gw_view text)
{
    static const char inside[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

    if (text.size == 0 || text.size > 63)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '\0' || strchr(inside, text.data[i]) == NULL)
            return false;
    return strchr("-_.", text.data[0]) == NULL && strchr("-_.", text.data[text.size - 1]) == NULL;
}

static bool label_key_good(const char *key)
{
    const char *slash = strchr(key, '/');

    if (slash == NULL)
        return name_good(gw_view_text(key));
    for (const char *at = key; at < slash; at++)
        if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", *at) == NULL)
            return false;
    return slash > key && slash - key <= 253 && strchr("-.", key[0]) == NULL &&
           strchr("-.", slash[-1]) == NULL && name_good(gw_view_text(slash + 1));
}

static bool label_value_good(const char *value)
{
    return value[0] == '\0' || name_good(gw_view_text(value));
}

/* ---- terms ---- */

/* -EINVAL: the words are among the problems. */
static int term_check_labels(struct selector_reading *reading, const struct selector_term *term)
{
    if (!label_key_good(term->key)) {
        selector_complain(
            reading,
            "\"%s\" is not the name of a label: letters, digits, '-', '_' and '.', perhaps behind a "
            "prefix such as example.com/",
            term->key);
        return -EINVAL;
    }
    for (size_t i = 0; i < term->values_count; i++)
        if (!label_value_good(term->values[i])) {
            selector_complain(
                reading, "\"%s\" is not the value of a label: at most 63 letters, digits, '-', '_' and '.'",
                term->values[i]);
            return -EINVAL;
        }
    return 0;
}

static int term_check_field(struct selector_reading *reading, struct selector_term *term)
{
    struct gw_reason reason;
    int fault = path_parse(&term->path, term->key, reading->arena, &reason);

    if (fault == -EINVAL)
        selector_complain(reading, "%s", reason.text);
    return fault;
}

static int term_check_values(struct selector_reading *reading, struct selector_term *term)
{
    enum selector_operation operation = term->operation;
    bool none = operation == SELECTOR_EXISTS || operation == SELECTOR_ABSENT;
    bool list = operation == SELECTOR_IN || operation == SELECTOR_NOT_IN;
    bool number = operation == SELECTOR_GREATER || operation == SELECTOR_LESS;

    if (none && term->values_count == 1 && term->values[0][0] == '\0')
        term->values_count = 0; /* Argo wrote value: "" */
    if (none && term->values_count > 0)
        selector_complain(reading, "%s: whether it is there needs no value", term->key);
    else if (list && term->values_count == 0)
        selector_complain(reading, "%s: in and notin need values", term->key);
    else if (!none && !list && term->values_count != 1)
        selector_complain(reading, "%s: this operation needs one value", term->key);
    else if (number && !gw_text_i64(gw_view_text(term->values[0]), INT64_MIN, INT64_MAX, &term->number))
        selector_complain(reading, "%s: \"%s\" is not a whole number to compare with", term->key,
                          term->values[0]);
    else
        return 0;
    return -EINVAL;
}

int selector_add(struct selector_reading *reading, struct selector_term term)
{
    struct selector *selector = reading->selector;
    int fault = term_check_values(reading, &term);

    if (fault == 0)
        fault = reading->of == SELECTOR_LABELS ? term_check_labels(reading, &term)
                                               : term_check_field(reading, &term);
    if (fault == -EINVAL)
        return 0;
    if (fault < 0)
        return fault;
    if (selector->count == SELECTOR_TERMS_MAX)
        selector_complain(reading, "more than %d requirements", SELECTOR_TERMS_MAX);
    else
        selector->terms[selector->count++] = term;
    return 0;
}

/* ---- notations: a mapping, a list ---- */

struct row {
    const char *key, *operation, *value;
    struct gw_setting_texts values;
};

static const struct gw_setting row_settings[] = {
    {.name = "key",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct row, key),
     .required = true,
     .help = "its name"},
    {.name = "operation",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct row, operation),
     .otherwise = "==",
     .alias = "operator",
     .help = "= == != in notin exists ! gt lt"},
    {.name = "value",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct row, value),
     .help = "what to compare with"},
    {.name = "values",
     .kind = GW_SETTING_TEXTS,
     .offset = offsetof(struct row, values),
     .help = "for in and notin"},
    {0},
};

/* Argo has no `values`: in and notin take commas. */
static int row_split(struct selector_reading *reading, struct row *row)
{
    size_t count = 1;

    for (const char *at = row->value; *at != '\0'; at++)
        count += *at == ',';
    row->values.items = gw_arena_alloc(reading->arena, count * sizeof(*row->values.items));
    if (row->values.items == NULL)
        return GW_RAISE(-ENOMEM);
    for (const char *at = row->value;; at++) {
        size_t size = strcspn(at, ",");
        const char *value = gw_arena_copy(reading->arena, gw_view_trim(gw_view(at, size)));

        if (value == NULL)
            return GW_RAISE(-ENOMEM);
        row->values.items[row->values.count++] = value;
        at += size;
        if (*at == '\0')
            return 0;
    }
}

static int row_values(struct selector_reading *reading, struct row *row, enum selector_operation operation)
{
    if (row->value == NULL)
        return 0;
    if (operation == SELECTOR_IN || operation == SELECTOR_NOT_IN)
        return row_split(reading, row);
    row->values.items = gw_arena_alloc(reading->arena, sizeof(*row->values.items));
    if (row->values.items == NULL)
        return GW_RAISE(-ENOMEM);
    row->values.items[row->values.count++] = row->value;
    return 0;
}

static int read_row(struct selector_reading *reading, const struct gw_node *node)
{
    size_t before = reading->problems->count + reading->problems->dropped;
    struct selector_term term = {0};
    struct row row = {0};

    GW_TRY(gw_settings_load(row_settings, node, reading->path, &row, sizeof(row), reading->arena,
                            reading->problems));
    if (reading->problems->count + reading->problems->dropped > before)
        return 0;
    if (!selector_operation_named(gw_view_text(row.operation), &term.operation)) {
        selector_complain(reading, "there is no operation \"%s\"; there are = == != in notin exists ! gt lt",
                          row.operation);
        return 0;
    }
    if (row.value != NULL && row.values.count > 0) {
        selector_complain(reading, "%s: either value or values", row.key);
        return 0;
    }
    GW_TRY(row_values(reading, &row, term.operation));
    term.key = row.key;
    term.values = row.values.items;
    term.values_count = row.values.count;
    return selector_add(reading, term);
}

static int read_list(struct selector_reading *reading, const struct gw_node *list)
{
    char base[sizeof(reading->path)];
    size_t i = 0;

    memcpy(base, reading->path, sizeof(base));
    for (const struct gw_node *node = list->first; node != NULL; node = node->next, i++) {
        snprintf(reading->path, sizeof(reading->path), "%.160s[%zu]", base, i);
        reading->line = node->line;
        if (node->kind == GW_NODE_MAP)
            GW_TRY(read_row(reading, node));
        else if (node->kind == GW_NODE_TEXT)
            GW_TRY(selector_read_text(reading, node->text));
        else
            selector_complain(reading, "expected a mapping {key, operation, value}, got %s",
                              gw_node_kind_name(node->kind));
    }
    return 0;
}

static int read_pair(struct selector_reading *reading, const struct gw_node *node)
{
    const char *value =
        node->kind == GW_NODE_BOOL ? (node->truth ? "true" : "false") : gw_node_text(node, NULL);
    const char **values = gw_arena_alloc(reading->arena, sizeof(*values));

    if (values == NULL)
        return GW_RAISE(-ENOMEM);
    if (value == NULL) {
        selector_complain(reading, "%s: expected the value it must have, got %s", node->key,
                          gw_node_kind_name(node->kind));
        return 0;
    }
    values[0] = value;
    return selector_add(reading, (struct selector_term){SELECTOR_EQUAL, node->key, values, 1, 0, {0}});
}

static int read_node(struct selector_reading *reading, const struct gw_node *node)
{
    if (node->kind == GW_NODE_TEXT)
        return selector_read_text(reading, node->text);
    if (node->kind == GW_NODE_LIST)
        return read_list(reading, node);
    if (node->kind != GW_NODE_MAP) {
        selector_complain(
            reading, "expected a mapping, a list of {key, operation, value}, or text as for kubectl, got %s",
            gw_node_kind_name(node->kind));
        return 0;
    }
    for (const struct gw_node *pair = node->first; pair != NULL; pair = pair->next) {
        reading->line = pair->line;
        GW_TRY(read_pair(reading, pair));
    }
    return 0;
}

int selector_read(struct selector *ret_selector, enum selector_of of, const struct gw_node *node,
                  const char *path, struct gw_arena *arena, struct gw_problems *problems)
{
    struct selector_reading reading = {
        .of = of, .arena = arena, .problems = problems, .selector = ret_selector};

    *ret_selector = (struct selector){0};
    if (node == NULL || node->kind == GW_NODE_NULL)
        return 0;
    snprintf(reading.path, sizeof(reading.path), "%s", path);
    reading.line = node->line;
    ret_selector->terms = gw_arena_alloc(arena, SELECTOR_TERMS_MAX * sizeof(*ret_selector->terms));
    if (ret_selector->terms == NULL)
        return GW_RAISE(-ENOMEM);
    return read_node(&reading, node);
}

/* ---- for the API server ---- */

static bool is_metadata(const char *key)
{
    return strcmp(key, "metadata.name") == 0 || strcmp(key, "metadata.namespace") == 0;
}

/* Fields that an API server may know by name are plain members of members, and nothing else may stand in its text. */
static bool is_plain(const char *key)
{
    return key[strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_")] == '\0';
}

bool selector_is_remote(const struct selector_term *term, enum selector_of of, bool others)
{
    if (of == SELECTOR_LABELS)
        return true;
    return (term->operation == SELECTOR_EQUAL || term->operation == SELECTOR_NOT_EQUAL) &&
           (is_metadata(term->key) || (others && is_plain(term->key)));
}

bool selector_wants_others(const struct selector *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        if (selector_is_remote(&fields->terms[i], SELECTOR_FIELDS, true) &&
            !is_metadata(fields->terms[i].key))
            return true;
    return false;
}

/* apimachinery's fields.EscapeValue; labels have nothing to escape. */
static void write_value(struct gw_bytes *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (strchr("\\,=", *value) != NULL)
            gw_bytes_append_char(out, '\\');
        gw_bytes_append_char(out, *value);
    }
}

static void write_term(struct gw_bytes *out, const struct selector_term *term)
{
    static const char *const between[] = {
        [SELECTOR_EQUAL] = "=",         [SELECTOR_NOT_EQUAL] = "!=", [SELECTOR_IN] = " in (",
        [SELECTOR_NOT_IN] = " notin (", [SELECTOR_EXISTS] = "",      [SELECTOR_ABSENT] = "",
        [SELECTOR_GREATER] = ">",       [SELECTOR_LESS] = "<",
    };

    gw_bytes_append_text(out, term->operation == SELECTOR_ABSENT ? "!" : "");
    gw_bytes_append_text(out, term->key);
    gw_bytes_append_text(out, between[term->operation]);
    for (size_t i = 0; i < term->values_count; i++) {
        gw_bytes_append_text(out, i == 0 ? "" : ",");
        write_value(out, term->values[i]);
    }
    gw_bytes_append_text(out,
                         term->operation == SELECTOR_IN || term->operation == SELECTOR_NOT_IN ? ")" : "");
}

void selector_write(struct gw_bytes *out, const struct selector *selector, enum selector_of of, bool others)
{
    bool first = true;

    for (size_t i = 0; i < selector->count; i++) {
        if (!selector_is_remote(&selector->terms[i], of, others))
            continue;
        gw_bytes_append_text(out, first ? "" : ",");
        write_term(out, &selector->terms[i]);
        first = false;
    }
}

/* ---- judging ---- */

static bool term_has(const struct selector_term *term, const char *value)
{
    for (size_t i = 0; i < term->values_count; i++)
        if (strcmp(term->values[i], value) == 0)
            return true;
    return false;
}

bool selector_term_holds(const struct selector_term *term, bool there, const char *value)
{
    int64_t number = 0;
    bool is_number = there && gw_text_i64(gw_view_text(value), INT64_MIN, INT64_MAX, &number);

    switch (term->operation) {
    case SELECTOR_EQUAL:
    case SELECTOR_IN:
        return there && term_has(term, value);
    case SELECTOR_NOT_EQUAL:
    case SELECTOR_NOT_IN:
        return !there || !term_has(term, value);
    case SELECTOR_EXISTS:
        return there;
    case SELECTOR_ABSENT:
        return !there;
    case SELECTOR_GREATER:
        return is_number && number > term->number;
    case SELECTOR_LESS:
        return is_number && number < term->number;
    }
    return false;
}

static bool field_holds(const struct selector_term *term, struct gw_view json, struct gw_bytes *text)
{
    struct gw_view value;
    bool there = path_find(&term->path, json, &value) && !gw_view_is(value, "null");

    gw_bytes_clear(text);
    if (there && !gw_json_unquote(text, value))
        gw_bytes_append_view(text, value);
    const char *words = gw_bytes_text(text);
    return words != NULL && selector_term_holds(term, there, words);
}

bool selector_fields_hold(const struct selector *fields, bool others, struct gw_view json)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    for (size_t i = 0; i < fields->count; i++)
        if (!selector_is_remote(&fields->terms[i], SELECTOR_FIELDS, others) &&
            !field_holds(&fields->terms[i], json, &text))
            return false;
    return true;
}
