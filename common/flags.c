/* Command-line flags: one table that parses and prints its own --help. */
#include "common/flags.h"

#include "common/clock.h"
#include "common/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FLAGS_MAX = 63 };

static bool number_parse(const char *text, double *ret_number)
{
    char *end;
    double number = strtod(text, &end);

    if (end == text || *end != '\0' || !isfinite(number))
        return false;
    *ret_number = number;
    return true;
}

static int flag_set_duration(const struct gw_flag *flag, const char *text, struct gw_reason *reason)
{
    int64_t ns;

    if (!gw_duration_parse(gw_view_text(text), &ns) || ns < 0)
        return GW_REFUSE(-EINVAL, reason, "--%s: \"%s\" is not a duration like 10s, 1m30s or 500ms",
                         flag->name, text);
    *(int64_t *)flag->value = ns / GW_NS_PER_MS + (ns % GW_NS_PER_MS > 0);
    return 0;
}

static int flag_set_bool(const struct gw_flag *flag, const char *text, struct gw_reason *reason)
{
    bool truth = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;

    if (!truth && strcmp(text, "false") != 0 && strcmp(text, "0") != 0 && text[0] != '\0')
        return GW_REFUSE(-EINVAL, reason, "--%s: \"%s\" is neither true nor false", flag->name, text);
    *(bool *)flag->value = truth;
    return 0;
}

/* Adds to the list; the first one given replaces what the list held. */
static int flag_add_text(const struct gw_flag *flag, const char *text, bool first, struct gw_reason *reason)
{
    const char **texts = flag->value;
    size_t count = 0;

    while (!first && texts[count] != NULL)
        count++;
    if (count >= GW_FLAG_TEXTS_MAX)
        return GW_REFUSE(-EINVAL, reason, "--%s: given more than %d times", flag->name,
                         (int)GW_FLAG_TEXTS_MAX);
    texts[count] = text;
    texts[count + 1] = NULL;
    return 0;
}

static int flag_set(const struct gw_flag *flag, const char *text, bool first, struct gw_reason *reason)
{
    switch (flag->kind) {
    case GW_FLAG_TEXT:
        *(const char **)flag->value = text;
        return 0;
    case GW_FLAG_TEXTS:
        return flag_add_text(flag, text, first, reason);
    case GW_FLAG_BOOL:
        return flag_set_bool(flag, text, reason);
    case GW_FLAG_INTEGER:
        if (!gw_text_i64(gw_view_text(text), INT64_MIN, INT64_MAX, flag->value))
            return GW_REFUSE(-EINVAL, reason, "--%s: \"%s\" is not a whole number", flag->name, text);
        return 0;
    case GW_FLAG_DURATION:
        return flag_set_duration(flag, text, reason);
    case GW_FLAG_NUMBER:
        if (!number_parse(text, flag->value))
            return GW_REFUSE(-EINVAL, reason, "--%s: \"%s\" is not a number", flag->name, text);
        return 0;
    }
    return GW_RAISE(-EINVAL);
}

static int flags_from_environment(const struct gw_flag *flags, struct gw_reason *reason)
{
    for (const struct gw_flag *flag = flags; flag->name != NULL; flag++) {
        const char *text = flag->environment == NULL ? NULL : getenv(flag->environment);
        struct gw_reason words;
        if (text == NULL || text[0] == '\0')
            continue;
        int fault = flag_set(flag, text, true, &words);
        if (fault < 0) {
            gw_reason_set(reason, "environment variable %s, the default of %s", flag->environment,
                          words.text);
            return fault;
        }
    }
    return 0;
}

static int flag_unknown(const struct gw_flag *flags, struct gw_view name, struct gw_reason *reason)
{
    const char *names[FLAGS_MAX + 2] = {"help"};
    char word[64];

    for (size_t i = 0; flags[i].name != NULL && i < FLAGS_MAX; i++)
        names[i + 1] = flags[i].name;
    snprintf(word, sizeof(word), "%.*s", (int)GW_MIN(name.size, sizeof(word) - 1), name.data);
    const char *nearest = gw_text_nearest(word, names);
    if (nearest == NULL)
        return GW_REFUSE(-EINVAL, reason, "--%s: no such flag; --help lists them", word);
    return GW_REFUSE(-EINVAL, reason, "--%s: no such flag; did you mean --%s?", word, nearest);
}

/* Reads the flag at argv[*at] and, when its value is the next word, moves *at on to that. */
static int flag_read(const struct gw_flag *flags, char **argv, int *at, uint64_t *seen,
                     struct gw_reason *reason)
{
    const char *text = argv[*at] + 2, *equals = strchr(text, '=');
    struct gw_view name = gw_view(text, equals == NULL ? strlen(text) : (size_t)(equals - text));
    size_t index = 0;

    while (flags[index].name != NULL && !gw_view_is(name, flags[index].name))
        index++;
    const struct gw_flag *flag = &flags[index];
    if (flag->name == NULL)
        return flag_unknown(flags, name, reason);
    assert(index < FLAGS_MAX);
    bool first = (*seen >> index & 1) == 0;
    *seen |= UINT64_C(1) << index;
    if (flag->kind == GW_FLAG_BOOL) {
        if (equals != NULL)
            return GW_REFUSE(-EINVAL, reason, "--%s takes no value", flag->name);
        *(bool *)flag->value = true;
        return 0;
    }
    if (equals == NULL && argv[*at + 1] == NULL)
        return GW_REFUSE(-EINVAL, reason, "--%s needs a value: --%s %s", flag->name, flag->name,
                         flag->placeholder == NULL ? "VALUE" : flag->placeholder);
    return flag_set(flag, equals == NULL ? argv[++*at] : equals + 1, first, reason);
}

int gw_flags_read(const struct gw_flag *flags, int argc, char **argv, int *ret_words,
                  struct gw_reason *reason)
{
    uint64_t seen = 0;
    int words = 0;
    bool only_words = false;

    GW_TRY(flags_from_environment(flags, reason));
    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0) {
            only_words = true;
        } else if (!only_words && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            return GW_FLAGS_HELP;
        } else if (!only_words && strncmp(argv[i], "--", 2) == 0) {
            GW_TRY(flag_read(flags, argv, &i, &seen, reason));
        } else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0') {
            return GW_REFUSE(-EINVAL, reason, "%s: flags start with two dashes; --help lists them", argv[i]);
        } else {
            argv[1 + words++] = argv[i];
        }
    }
    *ret_words = words;
    return 0;
}

static int flag_width(const struct gw_flag *flag)
{
    return (int)strlen(flag->name) + (flag->placeholder == NULL ? 0 : 1 + (int)strlen(flag->placeholder));
}

static void flag_print(const char *name, const char *placeholder, int width, const char *help,
                       const char *environment)
{
    int used =
        printf("  --%s%s%s", name, placeholder == NULL ? "" : " ", placeholder == NULL ? "" : placeholder);

    printf("%*s  %s", GW_MAX(width + 4 - used, 0), "", help);
    if (environment != NULL)
        printf(" [environment: %s]", environment);
    putchar('\n');
}

void gw_flags_print(const struct gw_flag *flags)
{
    int width = (int)strlen("help");

    for (const struct gw_flag *flag = flags; flag->name != NULL; flag++)
        width = GW_MAX(width, flag_width(flag));
    for (const struct gw_flag *flag = flags; flag->name != NULL; flag++)
        flag_print(flag->name, flag->placeholder, width, flag->help, flag->environment);
    flag_print("help", NULL, width, "print this and end", NULL);
}
