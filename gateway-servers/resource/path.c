/* Path: two notations in, one walk. */
#include "gateway-servers/resource/path.h"

#include "common/json.h"
#include "common/text.h"

struct reading {
    const char *start, *at;
    struct gw_bytes name; /* of the step that is being read */
    struct path_step steps[PATH_STEPS_MAX];
    size_t count;
    struct gw_arena *arena;
    struct gw_reason *reason;
};

/* ---- notations ---- */

static int reading_refuse(const struct reading *reading, const char *expected)
{
    return GW_REFUSE(-EINVAL, reading->reason, "\"%s\" is not a path: expected %s at character %d",
                     reading->start, expected, (int)(reading->at - reading->start) + 1);
}

/* Ends the step whose name is gathered. */
static int reading_step(struct reading *reading, bool all)
{
    if (reading->count == PATH_STEPS_MAX)
        return GW_REFUSE(-EINVAL, reading->reason, "a path of more than %d steps", PATH_STEPS_MAX);
    const char *name = gw_arena_copy(reading->arena, gw_bytes_view(&reading->name));
    if (name == NULL || reading->name.failed)
        return GW_RAISE(-ENOMEM);
    reading->steps[reading->count++] = (struct path_step){gw_view(name, reading->name.size), all};
    gw_bytes_clear(&reading->name);
    return 0;
}

static int read_pointer(struct reading *reading)
{
    while (*reading->at == '/') {
        for (reading->at++; *reading->at != '/' && *reading->at != '\0'; reading->at++) {
            if (*reading->at == '~' && *++reading->at != '0' && *reading->at != '1')
                return reading_refuse(reading, "0 or 1 after ~");
            gw_bytes_append_char(&reading->name, reading->at[-1] != '~' ? *reading->at
                                                 : *reading->at == '0'  ? '~'
                                                                        : '/');
        }
        GW_TRY(reading_step(reading, false));
    }
    return 0;
}

static int read_quoted(struct reading *reading)
{
    char quote = *reading->at++;

    while (*reading->at != quote) {
        if (*reading->at == '\\' && reading->at[1] != '\0')
            reading->at++;
        if (*reading->at == '\0')
            return reading_refuse(reading, "the closing quote");
        gw_bytes_append_char(&reading->name, *reading->at++);
    }
    reading->at++;
    return 0;
}

/* Behind '['. */
static int read_bracket(struct reading *reading)
{
    bool all = *reading->at == '*';

    if (all)
        reading->at++;
    else if (*reading->at == '\'' || *reading->at == '"')
        GW_TRY(read_quoted(reading));
    else if (*reading->at >= '0' && *reading->at <= '9')
        while (*reading->at >= '0' && *reading->at <= '9')
            gw_bytes_append_char(&reading->name, *reading->at++);
    else
        return reading_refuse(reading, "a number, a quoted name or * after [");
    if (*reading->at != ']')
        return reading_refuse(reading, "]");
    reading->at++;
    GW_TRY(reading_step(reading, all));
    return 0;
}

static int read_name(struct reading *reading)
{
    const char *start = reading->at;

    while (*reading->at != '\0' && strchr(".[]{}", *reading->at) == NULL) {
        if (*reading->at == '\\' && reading->at[1] != '\0')
            reading->at++;
        gw_bytes_append_char(&reading->name, *reading->at++);
    }
    if (reading->at == start)
        return reading_refuse(reading, "a name");
    GW_TRY(reading_step(reading, false));
    return 0;
}

static int read_dotted(struct reading *reading)
{
    bool braces = *reading->at == '{';

    reading->at += braces;
    reading->at += *reading->at == '$';
    if (*reading->at != '.' && *reading->at != '[')
        GW_TRY(read_name(reading));
    while (*reading->at != '\0' && *reading->at != '}') {
        if (*reading->at == '[') {
            reading->at++;
            GW_TRY(read_bracket(reading));
        } else if (*reading->at == '.') {
            reading->at++;
            GW_TRY(read_name(reading));
        } else {
            return reading_refuse(reading, "'.' or '['");
        }
    }
    if ((*reading->at == '}') != braces || (braces && reading->at[1] != '\0'))
        return reading_refuse(reading, braces ? "'}' at the end" : "no '}'");
    return 0;
}

static int reading_finish(struct reading *reading, struct path *ret_path)
{
    size_t size = reading->count * sizeof(reading->steps[0]);

    if (reading->count == 0)
        return GW_REFUSE(-EINVAL, reading->reason, "an empty path: write one such as spec.replicas");
    struct path_step *steps = gw_arena_alloc(reading->arena, size);
    if (steps == NULL)
        return GW_RAISE(-ENOMEM);
    memcpy(steps, reading->steps, size);
    *ret_path = (struct path){steps, reading->count};
    return 0;
}

int path_parse(struct path *ret_path, const char *text, struct gw_arena *arena, struct gw_reason *reason)
{
    struct reading reading = {.start = text, .at = text, .arena = arena, .reason = reason};
    int fault = text[0] == '\0' ? 0 : text[0] == '/' ? read_pointer(&reading) : read_dotted(&reading);

    if (fault == 0)
        fault = reading_finish(&reading, ret_path);
    gw_bytes_done(&reading.name);
    return fault;
}

/* ---- walking ---- */

struct walk {
    const struct path *path;
    void (*each)(void *user, struct gw_view value);
    void *user;
};

static bool name_is(struct gw_view raw, struct gw_view name)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    if (raw.size == 0 || memchr(raw.data, '\\', raw.size) == NULL)
        return gw_view_equal(raw, name);
    return gw_json_unquote(&text, gw_view(raw.data - 1, raw.size + 2)) &&
           gw_view_equal(gw_bytes_view(&text), name);
}

/* The element that a name stands for; SIZE_MAX: none, it is the name of a member. */
static size_t name_index(struct gw_view name)
{
    uint64_t index;

    return gw_text_u64(name, SIZE_MAX - 1, &index) ? (size_t)index : SIZE_MAX;
}

static void walk_step(const struct walk *walk, size_t depth, struct gw_view json)
{
    if (depth == walk->path->count) {
        walk->each(walk->user, json);
        return;
    }
    const struct path_step *step = &walk->path->steps[depth];
    struct gw_json_walk members = gw_json_walk(json);
    size_t wanted = members.open == '[' ? name_index(step->name) : SIZE_MAX;

    for (size_t i = 0; gw_json_next(&members); i++)
        if (step->all || (members.open == '[' ? i == wanted : name_is(members.key, step->name))) {
            walk_step(walk, depth + 1, members.value);
            if (!step->all)
                return;
        }
}

void path_each(const struct path *path, struct gw_view json, void (*each)(void *user, struct gw_view value),
               void *user)
{
    const struct walk walk = {path, each, user};

    walk_step(&walk, 0, json);
}

struct found {
    struct gw_view value;
    bool there;
};

static void on_found(void *user, struct gw_view value)
{
    struct found *found = user;

    if (!found->there)
        *found = (struct found){value, true};
}

bool path_find(const struct path *path, struct gw_view json, struct gw_view *ret_value)
{
    struct found found = {.there = false};

    path_each(path, json, on_found, &found);
    if (found.there)
        *ret_value = found.value;
    return found.there;
}

/* ---- marks ---- */

static uint64_t fold(uint64_t mark, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        mark = (mark ^ bytes[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return mark;
}

static void on_marked(void *user, struct gw_view value)
{
    uint64_t *mark = user;

    *mark = fold(fold(*mark, &value.size, sizeof(value.size)), value.data, value.size);
}

uint64_t path_mark(const struct path *paths, size_t count, struct gw_view json)
{
    uint64_t mark = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < count; i++) {
        mark = fold(mark, &i, sizeof(i));
        path_each(&paths[i], json, on_marked, &mark);
    }
    return mark == 0 ? 1 : mark;
}
