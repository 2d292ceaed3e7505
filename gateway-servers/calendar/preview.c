/* Preview: the flags, the ticks, and a mode for tests and tools that answers many questions in one process.
 */
#include "gateway-servers/calendar/preview.h"
#include "gateway-servers/calendar/plan.h"

#include "common/clock.h"
#include "common/flags.h"
#include "common/json.h"
#include "common/text.h"
#include "common/yaml.h"

#include <stdio.h>
#include <stdlib.h>

enum { PREVIEW_COUNT = 5, PREVIEW_COUNT_MAX = 1000000, PREVIEW_LINE_MAX = 1 << 20 };

/* ---- ticks ---- */

struct preview {
    struct zone_store *zones;
    int64_t from_ns;
    int64_t count;
    void (*tick)(struct gw_bytes *out, const char *text, int64_t index);
    struct gw_bytes *out;
};

/* The ticks after `from`: 0; PLAN_OVER or PLAN_EXCLUDED when there are fewer. */
static int preview_ticks(const struct preview *preview, struct plan *plan)
{
    char text[ZONE_TEXT_MAX];
    int64_t at = preview->from_ns;

    for (int64_t i = 0; i < preview->count; i++) {
        int verdict = plan_next(plan, at, &at);

        if (verdict != 0)
            return verdict;
        preview->tick(preview->out, zone_format(plan->ticks.zone, at, ZONE_NUMERIC, text), i);
    }
    return 0;
}

static int preview_config(const struct preview *preview, const struct calendar_config *config,
                          struct gw_problems *problems)
{
    GW_AUTO(plan_done) struct plan plan = {0};

    GW_TRY(plan_make(&plan, config, preview->zones, problems));
    return gw_problems_any(problems) ? 0 : preview_ticks(preview, &plan);
}

/* An event source as a tree, as the gateway-client would send it. */
static int preview_node(const struct preview *preview, const struct gw_node *node,
                        struct gw_problems *problems)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    struct calendar_config config = {0};

    if (node == NULL || (node->kind != GW_NODE_MAP && node->kind != GW_NODE_NULL)) {
        gw_problems_add(problems, "", node == NULL ? 0 : node->line,
                        "an event source is a mapping of settings");
        return 0;
    }
    GW_TRY(gw_settings_load(calendar_settings, node, "", &config, sizeof(config), &arena, problems));
    return gw_problems_any(problems) ? 0 : preview_config(preview, &config, problems);
}

/* ---- --batch: one JSON object a line {"config": {…}, "from": "2026-03-01T00:00:00Z", "count": 5}, answered
 * by one line
 * {"ticks": […]} or {"problems": […]} ---- */

static void preview_json_tick(struct gw_bytes *out, const char *text, int64_t index)
{
    gw_bytes_printf(out, "%s\"%s\"", index > 0 ? "," : "", text);
}

static void preview_json_problems(const struct gw_problems *problems, struct gw_bytes *out)
{
    gw_bytes_append_text(out, "{\"problems\":[");
    for (size_t i = 0; i < problems->count; i++) {
        const struct gw_problem *problem = &problems->items[i];
        GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};

        gw_bytes_printf(&line, "%s: %s", problem->path, problem->message);
        gw_bytes_append_text(out, i > 0 ? "," : "");
        gw_json_quote(out, gw_bytes_view(&line));
    }
    gw_bytes_append_text(out, "]}");
}

static int preview_question(const struct gw_node *question, struct preview *preview,
                            struct gw_problems *problems)
{
    const char *from = gw_node_text(gw_node_get(question, "from"), "");
    const char *count = gw_node_text(gw_node_get(question, "count"), "5");

    if (!gw_time_parse(gw_view_text(from), &preview->from_ns) ||
        !gw_text_i64(gw_view_text(count), 0, PREVIEW_COUNT_MAX, &preview->count)) {
        gw_problems_add(problems, "", 0, "a question needs \"from\" (RFC 3339) and may have \"count\"");
        return 0;
    }
    return preview_node(preview, gw_node_get(question, "config"), problems);
}

static int preview_batch_line(struct zone_store *zones, struct gw_view line, struct gw_bytes *out)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    struct preview preview = {.zones = zones, .tick = preview_json_tick, .out = out};
    const struct gw_node *question;
    int verdict;

    gw_bytes_append_text(out, "{\"ticks\":[");
    verdict = gw_json_read(&arena, line, &question, &problems);
    if (verdict == 0)
        verdict = preview_question(question, &preview, &problems);
    if (verdict < 0)
        return verdict;
    if (gw_problems_any(&problems)) {
        gw_bytes_clear(out);
        preview_json_problems(&problems, out);
    } else {
        gw_bytes_append_text(out, "]}");
    }
    gw_bytes_append_char(out, '\n');
    return out->failed ? GW_RAISE(-ENOMEM) : 0;
}

static int preview_batch(struct zone_store *zones)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes out = {0};
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size;
    int fault = 0;

    while (fault == 0 && (size = getline(&line, &capacity, stdin)) > 0 && size <= PREVIEW_LINE_MAX) {
        gw_bytes_clear(&out);
        fault = preview_batch_line(zones, gw_view(line, (size_t)size), &out);
        if (fault == 0 && fwrite(out.data, 1, out.size, stdout) != out.size)
            fault = GW_RAISE(-EIO);
    }
    free(line);
    return fault;
}

/* ---- the command ---- */

struct preview_flags {
    const char *schedule, *interval, *timezone, *config, *from;
    int64_t count;
    bool batch;
};

static void preview_line_tick(struct gw_bytes *out, const char *text, int64_t index)
{
    (void)out;
    (void)index;
    puts(text);
}

static int preview_usage(const struct gw_reason *reason)
{
    fprintf(stderr, "gateway-server-calendar preview: %s\nTry --help.\n", reason->text);
    return GW_EXIT_USAGE;
}

static int preview_flags_check(const struct preview_flags *flags, int words, struct preview *preview,
                               struct gw_reason *reason)
{
    int origins =
        (flags->schedule != NULL || flags->interval != NULL) + (flags->config != NULL) + flags->batch;

    if (words > 0)
        return GW_REFUSE(-EINVAL, reason, "takes flags only");
    if (origins != 1)
        return GW_REFUSE(-EINVAL, reason, "say what to preview by --schedule, --interval or --config");
    if (flags->timezone != NULL && (flags->config != NULL || flags->batch))
        return GW_REFUSE(-EINVAL, reason, "--timezone goes with --schedule or --interval");
    if (flags->count < 1 || flags->count > PREVIEW_COUNT_MAX)
        return GW_REFUSE(-EINVAL, reason, "--count %lld: must be 1 to %d", (long long)flags->count,
                         PREVIEW_COUNT_MAX);
    if (flags->from != NULL && !gw_time_parse(gw_view_text(flags->from), &preview->from_ns))
        return GW_REFUSE(
            -EINVAL, reason,
            "--from \"%s\": not a time of RFC 3339 such as 2026-03-01T00:00:00Z, from year 1678 to 2261",
            flags->from);
    preview->count = flags->count;
    return 0;
}

/* The flags as the document that they stand for: so that they are checked like any other. */
static int preview_run_flags(const struct preview *preview, const struct preview_flags *flags,
                             struct gw_problems *problems)
{
    struct gw_node values[3];
    struct gw_node root = {.kind = GW_NODE_MAP};
    const char *const names[] = {"schedule", "interval", "timezone"};
    const char *const texts[] = {flags->schedule, flags->interval, flags->timezone};

    for (size_t i = 0; i < GW_COUNT_OF(names); i++) {
        if (texts[i] == NULL)
            continue;
        values[root.count] = (struct gw_node){
            .kind = GW_NODE_TEXT, .text = texts[i], .text_size = strlen(texts[i]), .key = names[i]};
        if (root.count > 0)
            values[root.count - 1].next = &values[root.count];
        root.count++;
    }
    root.first = values;
    return preview_node(preview, &root, problems);
}

static int preview_file_read(const char *path, struct gw_bytes *ret_text, struct gw_problems *problems)
{
    FILE *file = fopen(path, "re");
    size_t size;

    if (file == NULL) {
        gw_problems_add(problems, "", 0, "%s: %s", path, strerror(errno));
        return 0;
    }
    do {
        char *room = gw_bytes_reserve(ret_text, 65536);

        size = room == NULL ? 0 : fread(room, 1, 65536, file);
        ret_text->size += size;
    } while (size > 0 && ret_text->size <= GW_YAML_TEXT_MAX);
    if (ferror(file))
        gw_problems_add(problems, "", 0, "%s: %s", path, strerror(errno));
    fclose(file);
    return ret_text->failed ? GW_RAISE(-ENOMEM) : 0;
}

static int preview_run_file(const struct preview *preview, const char *path, struct gw_problems *problems)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    const struct gw_node *root;
    int verdict;

    GW_TRY(preview_file_read(path, &text, problems));
    if (gw_problems_any(problems))
        return 0;
    verdict = gw_yaml_read(&arena, gw_bytes_view(&text), &root, problems);
    if (verdict == GW_YAML_BAD)
        return 0;
    GW_TRY(verdict);
    return preview_node(preview, root, problems);
}

static int preview_answer(int verdict, const struct gw_problems *problems)
{
    for (size_t i = 0; i < problems->count; i++) {
        const struct gw_problem *problem = &problems->items[i];

        fprintf(stderr, "%s%s", problem->path, problem->path[0] != '\0' ? ": " : "");
        if (problem->line > 0)
            fprintf(stderr, "line %d: ", problem->line);
        fprintf(stderr, "%s\n", problem->message);
    }
    if (gw_problems_any(problems))
        return GW_EXIT_CONFIGURATION;
    if (verdict < 0) {
        fprintf(stderr, "%s\n", gw_fault_trace());
        return GW_EXIT_FAULT;
    }
    if (verdict == PLAN_OVER)
        fprintf(stderr, "no more ticks before 2262-04-11\n");
    else if (verdict == PLAN_EXCLUDED)
        fprintf(stderr, "the next %d ticks are all excluded\n", PLAN_LOOK_MAX);
    return GW_EXIT_OK;
}

static int preview_run(const struct preview *preview, const struct preview_flags *flags)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    int verdict;

    if (flags->batch)
        verdict = preview_batch(preview->zones);
    else if (flags->config != NULL)
        verdict = preview_run_file(preview, flags->config, &problems);
    else
        verdict = preview_run_flags(preview, flags, &problems);
    return preview_answer(verdict, &problems);
}

int preview_command(int argc, char **argv)
{
    struct preview_flags values = {.count = PREVIEW_COUNT};
    const struct gw_flag flags[] = {
        {"schedule", GW_FLAG_TEXT, &values.schedule, "CRON",
         "five cron fields, or six with the second first, or @daily, …", NULL},
        {"interval", GW_FLAG_TEXT, &values.interval, "DURATION", "time between ticks: 45s, 1h30m, 1.5s",
         NULL},
        {"timezone", GW_FLAG_TEXT, &values.timezone, "ZONE", "IANA name; UTC", NULL},
        {"config", GW_FLAG_TEXT, &values.config, "FILE", "the YAML of one event source, with its exclusions",
         NULL},
        {"from", GW_FLAG_TEXT, &values.from, "TIME", "RFC 3339; ticks after it are printed; now", NULL},
        {"count", GW_FLAG_INTEGER, &values.count, "N", "how many; 5", NULL},
        {"batch", GW_FLAG_BOOL, &values.batch, NULL,
         "for tests and tools: questions in JSON lines on standard input", NULL},
        {0},
    };
    struct zone_store zones = {0};
    struct preview preview = {.zones = &zones, .from_ns = gw_clock_realtime_ns(), .tick = preview_line_tick};
    struct gw_reason reason;
    int words, verdict, code;

    verdict = gw_flags_read(flags, argc, argv, &words, &reason);
    if (verdict == GW_FLAGS_HELP) {
        printf("gateway-server-calendar %s\n\n", PREVIEW_HELP);
        gw_flags_print(flags);
        return GW_EXIT_OK;
    }
    if (verdict != 0 || preview_flags_check(&values, words, &preview, &reason) != 0)
        return preview_usage(&reason);
    code = preview_run(&preview, &values);
    zone_store_done(&zones);
    return fflush(stdout) == 0 ? code : GW_EXIT_FAULT;
}
