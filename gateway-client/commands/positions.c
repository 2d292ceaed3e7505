/* gateway-client positions: list, show, set, reset. Listing works beside a running gateway-client; changes need it stopped. */
#include "gateway-client/outbox/positions.h"
#include "gateway-client/commands/command_line.h"
#include "gateway-client/commands/commands.h"
#include "gateway-client/origin/file.h"

#include "common/json.h"
#include "common/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { EXCERPT_MAX = 60 };

struct command {
    const char *state, *watcher, *file;
    bool json, base64, all;
    struct gwc_positions *open;
    struct gw_bytes out; /* of list --json */
    const char *wanted;  /* show: this source */
    bool found;
    size_t count;
};

static int complain(const char *words)
{
    fprintf(stderr, "gateway-client positions: %s\n", words);
    return GW_EXIT_FAULT;
}

static int usage(const char *words)
{
    fprintf(stderr, "gateway-client positions: %s (see --help)\n", words);
    return GW_EXIT_USAGE;
}

/* ---- list, show ---- */

static bool is_text(struct gw_view view)
{
    for (size_t i = 0; i < view.size; i++)
        if (!isprint((unsigned char)view.data[i]))
            return false;
    return true;
}

static int source_row(void *user, const char *source, struct gw_view position)
{
    struct command *command = user;
    GW_AUTO(gw_bytes_done) struct gw_bytes shown = {0};

    if (is_text(position))
        gw_bytes_append_view(&shown, position);
    else
        gw_base64_encode(&shown, position);
    if (gw_bytes_text(&shown) == NULL)
        return GW_RAISE(-ENOMEM);
    if (command->count++ == 0)
        printf("%-32s %-8s %s\n", "EVENT SOURCE", "BYTES", "POSITION");
    printf("%-32s %-8zu %.*s%s\n", source, position.size, EXCERPT_MAX, gw_bytes_text(&shown),
           shown.size > EXCERPT_MAX ? "…" : "");
    return 0;
}

static int watcher_row(void *user, const char *watcher, uint64_t cursor, uint64_t pending)
{
    struct command *command = user;

    if (command->count++ == 0)
        printf("%-32s %-12s %s\n", "WATCHER", "CURSOR", "PENDING");
    printf("%-32s %-12llu %llu\n", watcher, (unsigned long long)cursor, (unsigned long long)pending);
    return 0;
}

static int source_json(void *user, const char *source, struct gw_view position)
{
    struct command *command = user;

    gw_bytes_append_text(&command->out, command->count++ == 0 ? "{\"source\":" : ",{\"source\":");
    gw_json_quote(&command->out, gw_view_text(source));
    gw_bytes_append_text(&command->out, ",\"position\":\"");
    gw_base64_encode(&command->out, position);
    gw_bytes_append_text(&command->out, "\"}");
    return 0;
}

static int watcher_json(void *user, const char *watcher, uint64_t cursor, uint64_t pending)
{
    struct command *command = user;

    gw_bytes_append_text(&command->out, command->count++ == 0 ? "{\"watcher\":" : ",{\"watcher\":");
    gw_json_quote(&command->out, gw_view_text(watcher));
    gw_bytes_printf(&command->out, ",\"cursor\":%llu,\"pending\":%llu}", (unsigned long long)cursor,
                    (unsigned long long)pending);
    return 0;
}

static int list_json(struct command *command)
{
    gw_bytes_append_text(&command->out, "{\"sources\":[");
    GW_TRY(gwc_positions_each_source(command->open, source_json, command));
    command->count = 0;
    gw_bytes_append_text(&command->out, "],\"watchers\":[");
    GW_TRY(gwc_positions_each_watcher(command->open, watcher_json, command));
    gw_bytes_append_text(&command->out, "]}");
    if (gw_bytes_text(&command->out) == NULL)
        return GW_RAISE(-ENOMEM);
    puts(gw_bytes_text(&command->out));
    return 0;
}

static int list(struct command *command)
{
    if (command->json)
        return list_json(command);
    GW_TRY(gwc_positions_each_source(command->open, source_row, command));
    if (command->count == 0)
        puts("no positions");
    puts("");
    command->count = 0;
    GW_TRY(gwc_positions_each_watcher(command->open, watcher_row, command));
    if (command->count == 0)
        puts("no watchers");
    return 0;
}

static int show_source(void *user, const char *source, struct gw_view position)
{
    struct command *command = user;
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    if (strcmp(source, command->wanted) != 0)
        return 0;
    command->found = true;
    if (!command->base64) {
        fwrite(position.data, 1, position.size, stdout);
        return 0;
    }
    gw_base64_encode(&text, position);
    if (gw_bytes_text(&text) == NULL)
        return GW_RAISE(-ENOMEM);
    puts(gw_bytes_text(&text));
    return 0;
}

/* ---- set, reset ---- */

static int no_such(const char *kind, const char *name)
{
    fprintf(stderr,
            "gateway-client positions: there is no %s \"%s\" (positions list tells those there are)\n", kind,
            name);
    return GW_EXIT_FAULT;
}

static int set_cursor(struct command *command, const char *watcher, uint64_t cursor)
{
    int set = gwc_positions_set_cursor(command->open, watcher, cursor);

    if (set == GWC_POSITIONS_UNKNOWN)
        return no_such("watcher", watcher);
    if (set == -ERANGE)
        return complain("there is no such event yet: a cursor is at most the number of the last one");
    return set < 0 ? complain(gw_fault_trace()) : GW_EXIT_OK;
}

static int set_position(struct command *command, const char *source, struct gw_view position, bool forget)
{
    int set = gwc_positions_set(command->open, source, position);

    if (set == GWC_POSITIONS_UNKNOWN && forget)
        return no_such("position of an event source", source);
    return set < 0 ? complain(gw_fault_trace()) : GW_EXIT_OK;
}

static int set_text(struct command *command, const char *source, const char *text)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes bytes = {0};

    if (text[0] == '\0')
        return usage("an empty position is none: say reset");
    if (!command->base64)
        return set_position(command, source, gw_view_text(text), false);
    if (!gw_base64_decode(&bytes, gw_view_text(text)))
        return usage("the position is not base64");
    return set_position(command, source, gw_bytes_view(&bytes), false);
}

/* ---- import ---- */

static int import_source(struct command *command, const struct gw_node *node)
{
    const char *source = gw_node_text(gw_node_get(node, "source"), NULL);
    const char *position = gw_node_text(gw_node_get(node, "position"), NULL);
    GW_AUTO(gw_bytes_done) struct gw_bytes bytes = {0};

    if (source == NULL || position == NULL || !gw_base64_decode(&bytes, gw_view_text(position)))
        return complain("sources: expected objects with source and position, in base64, as positions list "
                        "--json prints them");
    return set_position(command, source, gw_bytes_view(&bytes), false);
}

static int import_watcher(struct command *command, const struct gw_node *node)
{
    const char *watcher = gw_node_text(gw_node_get(node, "watcher"), NULL);
    const char *text = gw_node_text(gw_node_get(node, "cursor"), NULL);
    uint64_t cursor = 0;

    if (watcher == NULL || text == NULL || !gw_text_u64(gw_view_text(text), UINT64_MAX, &cursor))
        return complain(
            "watchers: expected objects with watcher and cursor, as positions list --json prints them");
    return set_cursor(command, watcher, cursor);
}

/* Watchers only with --all: their cursors number the events of the outbox they were exported from. */
static int import(struct command *command)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {.file = command->file};
    const struct gw_node *root = NULL;
    struct gw_reason reason = {""};
    int ended = GW_EXIT_OK;

    int read = gwc_file_read(command->file, &text, &problems);
    if (read == 0)
        read = gw_json_read(&arena, gw_bytes_view(&text), &root, &problems);
    if (read != 0) {
        gw_problems_reason(&problems, &reason);
        return complain(read < 0 ? gw_fault_trace() : reason.text);
    }
    const struct gw_node *sources = gw_node_get(root, "sources"), *watchers = gw_node_get(root, "watchers");
    if (sources == NULL || sources->kind != GW_NODE_LIST)
        return complain("expected an object with sources, as positions list --json prints it");
    for (const struct gw_node *node = sources->first; node != NULL && ended == GW_EXIT_OK; node = node->next)
        ended = import_source(command, node);
    for (const struct gw_node *node = command->all && watchers != NULL ? watchers->first : NULL;
         node != NULL && ended == GW_EXIT_OK; node = node->next)
        ended = import_watcher(command, node);
    return ended;
}

/* ---- reset ---- */

struct names {
    struct gw_arena arena;
    const char **items;
    size_t count, capacity;
};

static int names_add(void *user, const char *source, struct gw_view position)
{
    struct names *names = user;

    (void)position;
    if (names->count == names->capacity) {
        size_t capacity = GW_MAX(2 * names->capacity, (size_t)64);
        const char **items = gw_arena_alloc(&names->arena, capacity * sizeof(*items));
        if (items == NULL)
            return GW_RAISE(-ENOMEM);
        if (names->count > 0)
            memcpy(items, names->items, names->count * sizeof(*items));
        names->items = items;
        names->capacity = capacity;
    }
    names->items[names->count] = gw_arena_copy(&names->arena, gw_view_text(source));
    return names->items[names->count++] == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static void names_done(struct names *names)
{
    gw_arena_done(&names->arena);
}

static int reset_all(struct command *command)
{
    GW_AUTO(names_done) struct names names = {0};

    if (gwc_positions_each_source(command->open, names_add, &names) < 0)
        return complain(gw_fault_trace());
    for (size_t i = 0; i < names.count; i++) {
        int ended = set_position(command, names.items[i], gw_view(NULL, 0), true);
        if (ended != GW_EXIT_OK)
            return ended;
    }
    printf("%zu position%s forgotten\n", names.count, names.count == 1 ? "" : "s");
    return GW_EXIT_OK;
}

/* ---- the command ---- */

static int run_set(struct command *command, int words, char **word)
{
    uint64_t cursor = 0;

    if (command->file != NULL && words == 0)
        return import(command);
    if (command->watcher != NULL && words == 1 && gw_text_u64(gw_view_text(word[0]), INT64_MAX, &cursor))
        return set_cursor(command, command->watcher, cursor);
    if (command->watcher == NULL && command->file == NULL && words == 2)
        return set_text(command, word[0], word[1]);
    return usage("set SOURCE POSITION, set --watcher NAME NUMBER, or set --file EXPORT");
}

static int run_reset(struct command *command, int words, char **word)
{
    if (command->watcher != NULL && words == 0)
        return set_cursor(command, command->watcher, 0);
    if (command->watcher == NULL && command->all && words == 0)
        return reset_all(command);
    if (command->watcher == NULL && !command->all && words == 1)
        return set_position(command, word[0], gw_view(NULL, 0), true);
    return usage("reset SOURCE, reset --all, or reset --watcher NAME");
}

static int run_show(struct command *command, int words, char **word)
{
    if (words != 1)
        return usage("show SOURCE");
    command->wanted = word[0];
    if (gwc_positions_each_source(command->open, show_source, command) < 0)
        return complain(gw_fault_trace());
    return command->found ? GW_EXIT_OK : no_such("position of an event source", word[0]);
}

static int run_change(struct command *command, bool set, int words, char **word)
{
    if (gwc_positions_begin(command->open) < 0)
        return complain(gw_fault_trace());
    int ended = set ? run_set(command, words, word) : run_reset(command, words, word);
    if (ended == GW_EXIT_OK && gwc_positions_commit(command->open) < 0)
        return complain(gw_fault_trace());
    return ended;
}

static int run(struct command *command, const char *verb, int words, char **word)
{
    bool set = strcmp(verb, "set") == 0, reset = strcmp(verb, "reset") == 0;
    struct gw_reason reason = {""};
    int ended;

    if (gwc_positions_open(&command->open, command->state, set || reset, &reason) < 0)
        return complain(reason.text[0] != '\0' ? reason.text : gw_fault_trace());
    if (set || reset)
        ended = run_change(command, set, words, word);
    else if (strcmp(verb, "show") == 0)
        ended = run_show(command, words, word);
    else
        ended = words > 0           ? usage("list takes no more words")
                : list(command) < 0 ? complain(gw_fault_trace())
                                    : GW_EXIT_OK;
    gwc_positions_close(command->open);
    gw_bytes_done(&command->out);
    return ended;
}

int gwc_cmd_positions(int argc, char **argv)
{
    struct command command = {0};
    int words = 0;
    const struct gw_flag flags[] = {
        {"state", GW_FLAG_TEXT, &command.state, "DIRECTORY", "where the outbox lives", "GATEWAY_STATE"},
        {"json", GW_FLAG_BOOL, &command.json, NULL, "list: all of it as one JSON object, for set --file",
         NULL},
        {"base64", GW_FLAG_BOOL, &command.base64, NULL, "show, set: the position in base64", NULL},
        {"file", GW_FLAG_TEXT, &command.file, "EXPORT",
         "set: the positions that list --json wrote; with --all the watchers' cursors too", NULL},
        {"watcher", GW_FLAG_TEXT, &command.watcher, "NAME",
         "set, reset: the cursor of this watcher; it gets what lies behind it once more", NULL},
        {"all", GW_FLAG_BOOL, &command.all, NULL, "reset: the positions of all event sources", NULL},
        {0},
    };
    static const char *const verbs[] = {"list", "show", "set", "reset"};
    const char *verb = NULL;

    int ended = gwc_command_line(
        flags, argc, argv,
        "Usage: gateway-client positions list|show|set|reset [SOURCE [POSITION]] --state DIRECTORY\n\n"
        "set and reset want the gateway-client stopped.",
        &words);
    if (ended > 0)
        return ended - 1;
    for (size_t i = 0; i < GW_COUNT_OF(verbs) && words > 0; i++)
        if (strcmp(argv[1], verbs[i]) == 0)
            verb = verbs[i];
    if (verb == NULL)
        return usage("say list, show, set or reset");
    if (command.state == NULL)
        return usage("--state is needed");
    return run(&command, verb, words - 1, argv + 2);
}
