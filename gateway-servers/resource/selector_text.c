/* Selector as text, the grammar of kubectl's -l and --field-selector:
 *
 *     selector = [ term { "," term } ]
 *     term     = "!" key | key | key ( "=" | "==" | "!=" | ">" | "<" ) value | key ( "in" | "notin" ) "(" value { "," value } ")"
 *
 * White space may stand between all of these. In the values of fields a backslash escapes. */
#include "gateway-servers/resource/selector_parts.h"

struct parsing {
    struct selector_reading *reading;
    const char *start, *at;
    bool bad;
};

static void skip_space(struct parsing *parsing)
{
    while (*parsing->at == ' ' || *parsing->at == '\t' || *parsing->at == '\n' || *parsing->at == '\r')
        parsing->at++;
}

static int parsing_refuse(struct parsing *parsing, const char *expected)
{
    selector_complain(parsing->reading, "\"%s\" is not a selector: expected %s at character %d",
                      parsing->start, expected, (int)(parsing->at - parsing->start) + 1);
    parsing->bad = true;
    return 0;
}

static bool take(struct parsing *parsing, char wanted)
{
    skip_space(parsing);
    if (*parsing->at != wanted)
        return false;
    parsing->at++;
    return true;
}

/* A key or a value: everything up to what has a meaning of its own. */
static int parse_word(struct parsing *parsing, const char *ends, const char **ret_word)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes word = {0};

    skip_space(parsing);
    while (*parsing->at != '\0' && strchr(ends, *parsing->at) == NULL) {
        if (*parsing->at == '\\' && parsing->at[1] != '\0' && parsing->reading->of == SELECTOR_FIELDS)
            parsing->at++;
        gw_bytes_append_char(&word, *parsing->at++);
    }
    skip_space(parsing);
    *ret_word = word.failed ? NULL : gw_arena_copy(parsing->reading->arena, gw_bytes_view(&word));
    return *ret_word == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int parse_values(struct parsing *parsing, struct selector_term *term)
{
    const char **values = gw_arena_alloc(parsing->reading->arena, SELECTOR_VALUES_MAX * sizeof(*values));

    if (values == NULL)
        return GW_RAISE(-ENOMEM);
    if (!take(parsing, '('))
        return parsing_refuse(parsing, "'(' and the values");
    do {
        if (term->values_count == SELECTOR_VALUES_MAX)
            return parsing_refuse(parsing, "fewer values");
        GW_TRY(parse_word(parsing, ",()=!<> \t\r\n", &values[term->values_count++]));
    } while (take(parsing, ','));
    term->values = values;
    return take(parsing, ')') ? 0 : parsing_refuse(parsing, "',' or ')'");
}

static int parse_value(struct parsing *parsing, struct selector_term *term)
{
    const char **value = gw_arena_alloc(parsing->reading->arena, sizeof(*value));

    if (value == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(parse_word(parsing, parsing->reading->of == SELECTOR_FIELDS ? ",=" : ",()=!<> \t\r\n", value));
    term->values = value;
    term->values_count = 1;
    return 0;
}

/* How much of the text is meant as an operation. The value of a field may begin with a sign: the operation is the longest one. */
static size_t operation_size(const char *text, enum selector_of of)
{
    static const char *const signs[] = {"==", "!=", "=", "<", ">"};
    size_t size = strspn(text, "=!<>");

    for (size_t i = 0; of == SELECTOR_FIELDS && i < GW_COUNT_OF(signs); i++)
        if (strncmp(text, signs[i], strlen(signs[i])) == 0)
            return strlen(signs[i]);
    return size > 0 ? size : strspn(text, "innotINNOT");
}

static int parse_operation(struct parsing *parsing, struct selector_term *term)
{
    size_t size = operation_size(parsing->at, parsing->reading->of);

    if (size == 0 && (*parsing->at == ',' || *parsing->at == '\0')) {
        term->operation = SELECTOR_EXISTS;
        return 0;
    }
    if (size == 0 || !selector_operation_named(gw_view(parsing->at, size), &term->operation) ||
        term->operation == SELECTOR_ABSENT)
        return parsing_refuse(parsing, "one of = == != in notin > <, or ','");
    parsing->at += size;
    if (term->operation == SELECTOR_IN || term->operation == SELECTOR_NOT_IN)
        return parse_values(parsing, term);
    return parse_value(parsing, term);
}

static int parse_term(struct parsing *parsing)
{
    struct selector_term term = {.operation = SELECTOR_ABSENT};
    bool absent = take(parsing, '!');

    GW_TRY(parse_word(parsing, ",()=!<> \t\r\n", &term.key));
    if (term.key[0] == '\0')
        return parsing_refuse(parsing,
                              parsing->reading->of == SELECTOR_LABELS ? "the name of a label" : "a field");
    if (!absent)
        GW_TRY(parse_operation(parsing, &term));
    return parsing->bad ? 0 : selector_add(parsing->reading, term);
}

int selector_read_text(struct selector_reading *reading, const char *text)
{
    struct parsing parsing = {reading, text, text, false};

    skip_space(&parsing);
    if (*parsing.at == '\0')
        return 0;
    do
        GW_TRY(parse_term(&parsing));
    while (!parsing.bad && take(&parsing, ','));
    if (!parsing.bad && *parsing.at != '\0')
        return parsing_refuse(&parsing, "','");
    return 0;
}
