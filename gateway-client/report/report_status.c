/* The report's status: gathers what the rooms of the client know, and says what it means. */
#include "gateway-client/report/report_parts.h"

#include "common/clock.h"
#include "common/text.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    STEADY_MS = 2000, /* a watcher that took an event so lately is not failing */
    NAMED_MAX = 3,    /* of those that are not well, so many are named in a sentence */
    ID_SIZE = 12,
};

/* What one composing needs; all it points to is borrowed from the rooms, or lives in the arena. */
struct gathering {
    struct gwc_report *report;
    struct gwc_client *client;
    struct gw_arena arena;
    struct gwc_gateway_status status;
    struct gwc_gateway_node *nodes;
    struct gwc_gateway_watcher *watchers;
    size_t starting;                   /* event sources that had no trouble, and do not run yet */
    struct gw_bytes sources, watching; /* those that are not well: "a: why; b: why; …" */
    size_t sources_bad, watchers_bad;
    bool failed; /* no memory */
};

static void name_bad(struct gw_bytes *names, size_t *count, const char *name, const char *why)
{
    if (*count < NAMED_MAX)
        gw_bytes_printf(names, "%s%s%s%s", *count > 0 ? "; " : "", name, why[0] != '\0' ? ": " : "", why);
    else if (*count == NAMED_MAX)
        gw_bytes_append_text(names, "; …");
    (*count)++;
}

/* ---- event sources ---- */

static const char *node_words(struct gathering *gathering, const struct gwc_stream_status *status)
{
    if (status->state != GWC_STREAM_RUNNING)
        return status->trouble[0] != '\0' ? status->trouble : status->message;
    if (status->refused[0] == '\0')
        return status->notice;
    const char *words =
        gw_arena_printf(&gathering->arena, "an edit is refused, the last good one runs: %s", status->refused);
    return words != NULL ? words : "";
}

static void gather_stream(struct gathering *gathering, const struct gwc_stream *stream)
{
    struct gwc_stream_status status;

    gwc_stream_status(stream, &status);
    bool runs = status.state == GWC_STREAM_RUNNING, trouble = !runs && status.trouble[0] != '\0';
    gathering->nodes[gathering->status.nodes_count++] = (struct gwc_gateway_node){
        .id = status.id,
        .name = status.key,
        .display_name = status.name,
        .type = status.type,
        .phase = runs      ? GWC_PHASE_RUNNING
                 : trouble ? GWC_PHASE_ERROR
                           : "",
        .message = node_words(gathering, &status),
        .started_ms = runs ? status.since_ms : 0,
        .updated_ms = trouble ? status.trouble_ms : status.since_ms,
        .events = status.events,
        .last_event_ms = status.last_event_ms,
    };
    gathering->status.sources_running += runs;
    gathering->starting += !runs && !trouble;
    if (trouble)
        name_bad(&gathering->sources, &gathering->sources_bad, status.key, status.trouble);
}

/* An entry that cannot be read, and never could, has no stream. */
static void gather_bad(struct gathering *gathering, const struct gwc_bad_source *bad)
{
    char *id = gw_arena_printf(&gathering->arena, "%u", gw_fnv1a32(gw_view_text(bad->key), gw_view(NULL, 0)));
    char *words = bad->line > 0 ? gw_arena_printf(&gathering->arena, "line %d: %s", bad->line, bad->message)
                                : gw_arena_copy(&gathering->arena, gw_view_text(bad->message));

    if (id == NULL || words == NULL) {
        gathering->failed = true;
        return;
    }
    gathering->nodes[gathering->status.nodes_count++] = (struct gwc_gateway_node){
        .id = id,
        .name = bad->key,
        .display_name = bad->key,
        .type = "",
        .phase = GWC_PHASE_ERROR,
        .message = words,
        .updated_ms = gathering->client->loaded_ms,
    };
    name_bad(&gathering->sources, &gathering->sources_bad, bad->key, words);
}

static void gather_sources(struct gathering *gathering)
{
    struct gwc_client *client = gathering->client;
    size_t bad = client->sources == NULL ? 0 : client->sources->bad_count;

    gathering->nodes =
        gw_arena_alloc(&gathering->arena, (client->streams_count + bad + 1) * sizeof(*gathering->nodes));
    if (gathering->nodes == NULL) {
        gathering->failed = true;
        return;
    }
    for (size_t i = 0; i < client->streams_count; i++)
        if (!gwc_stream_stopping(client->streams[i]))
            gather_stream(gathering, client->streams[i]);
    for (size_t i = 0; i < bad; i++)
        if (gwc_client_stream(client, client->sources->bad[i].key) == NULL)
            gather_bad(gathering, &client->sources->bad[i]);
    gathering->status.nodes = gathering->nodes;
    gathering->status.sources_count = gathering->status.nodes_count;
}

/* ---- watchers ---- */

enum report_watcher report_watcher_state(const struct gwc_watcher *watcher,
                                         struct gwc_delivery_stats *ret_stats)
{
    *ret_stats = (struct gwc_delivery_stats){0};
    if (watcher->delivery == NULL)
        return REPORT_WATCHER_INVALID;
    gwc_delivery_stats(watcher->delivery, ret_stats);
    return ret_stats->failing && gw_clock_realtime_ms() - ret_stats->last_success_ms >= STEADY_MS
               ? REPORT_WATCHER_FAILING
               : REPORT_WATCHER_OK;
}

static void gather_watcher(struct gathering *gathering, const struct gwc_watcher *watcher)
{
    static const char *const names[] = {
        [REPORT_WATCHER_OK] = "ok",
        [REPORT_WATCHER_FAILING] = "failing",
        [REPORT_WATCHER_INVALID] = "invalid",
    };
    struct gwc_delivery_stats stats;
    enum report_watcher state = report_watcher_state(watcher, &stats);
    char *failure = gw_arena_copy(&gathering->arena, gw_view_text(stats.last_failure));
    const char *words = state == REPORT_WATCHER_INVALID                      ? watcher->reason
                        : state == REPORT_WATCHER_FAILING && failure != NULL ? failure
                                                                             : "";

    gathering->watchers[gathering->status.watchers_count++] = (struct gwc_gateway_watcher){
        .name = watcher->spec->name,
        .state = names[state],
        .message = words,
        .delivered = stats.delivered,
        .pending = stats.pending,
        .dead_letters = gwc_outbox_dead_count(gathering->client->outbox, watcher->spec->name),
    };
    gathering->status.watchers_reachable += state == REPORT_WATCHER_OK;
    if (state != REPORT_WATCHER_OK)
        name_bad(&gathering->watching, &gathering->watchers_bad, watcher->spec->name, words);
}

static void gather_watchers(struct gathering *gathering)
{
    struct gwc_client *client = gathering->client;

    gathering->watchers =
        gw_arena_alloc(&gathering->arena, (client->watchers_count + 1) * sizeof(*gathering->watchers));
    if (gathering->watchers == NULL) {
        gathering->failed = true;
        return;
    }
    for (size_t i = 0; i < client->watchers_count; i++)
        gather_watcher(gathering, &client->watchers[i]);
    gathering->status.watchers = gathering->watchers;
}

/* ---- conditions ---- */

/* Returns where its message goes. */
static struct gw_reason *condition_set(struct gathering *gathering, enum gwc_condition which,
                                       enum gwc_truth truth, const char *reason)
{
    struct gwc_gateway_condition *condition = &gathering->report->conditions[which];
    struct gw_reason *message = &gathering->report->messages[which];

    if (condition->changed_ms == 0 || condition->truth != truth)
        condition->changed_ms = gw_clock_realtime_ms();
    condition->truth = truth;
    condition->reason = reason;
    condition->message = message->text;
    return message;
}

static void judge_ready(struct gathering *gathering)
{
    const struct gwc_client *client = gathering->client;
    struct gw_reason words = {""};
    bool ready = gwc_client_ready(gathering->client, &words);
    const char *reason = ready                     ? "Running"
                         : client->stopping        ? "Stopping"
                         : client->version == NULL ? "NoSpec"
                         : client->sources == NULL ? "NoEventSources"
                                                   : "OutboxFull";

    gw_reason_set(condition_set(gathering, GWC_CONDITION_READY, ready ? GWC_TRUE : GWC_FALSE, reason), "%s",
                  ready && words.text[0] == '\0' ? "the gateway runs" : words.text);
}

void report_problems(const struct gw_problems *problems, const char *label, struct gw_reason *words)
{
    gw_problems_reason(problems, words);
    if (problems->count == 0 || problems->items[0].file == NULL)
        gw_reason_set(words, "%s: %s", label, words->text);
}

static void judge_configuration(struct gathering *gathering)
{
    struct gwc_client *client = gathering->client;
    const char *gateway = gwc_origin_label(client->gateway_origin);
    const char *sources = gwc_origin_label(client->sources_origin);
    enum gwc_condition which = GWC_CONDITION_CONFIGURATION_ACCEPTED;
    struct gw_reason words = {"the configuration was not read yet"};

    if (gw_problems_any(&client->gateway_problems)) {
        report_problems(&client->gateway_problems, gateway, &words);
        gw_reason_set(condition_set(gathering, which, GWC_FALSE, "SpecRefused"), "%s%s",
                      client->version != NULL ? "the last good spec stays in force; " : "", words.text);
    } else if (gw_problems_any(&client->sources_problems)) {
        report_problems(&client->sources_problems, sources, &words);
        gw_reason_set(condition_set(gathering, which, GWC_FALSE, "EventSourcesRefused"), "%s", words.text);
    } else if (client->version == NULL || client->sources == NULL) {
        (void)gwc_client_origin_words(client, &words);
        gw_reason_set(condition_set(gathering, which, GWC_UNKNOWN, "Waiting"), "%s", words.text);
    } else {
        gw_reason_set(condition_set(gathering, which, GWC_TRUE, "InForce"), "%s, %s", gateway, sources);
    }
}

static const char *words_of(struct gw_bytes *names)
{
    const char *words = gw_bytes_text(names);

    return words != NULL ? words : "";
}

/* Before there is a configuration, and at the end, there is nothing to say of its parts. */
static bool judge_nothing(struct gathering *gathering, enum gwc_condition which, bool waits)
{
    if (gathering->client->stopping)
        gw_reason_set(condition_set(gathering, which, GWC_UNKNOWN, "Stopping"), "the gateway-client stops");
    else if (waits)
        gw_reason_set(condition_set(gathering, which, GWC_UNKNOWN, "Waiting"), "%s",
                      "the configuration is waited for");
    return gathering->client->stopping || waits;
}

static void words_good(struct gw_reason *words, size_t count, const char *what, const char *one,
                       const char *many)
{
    if (count == 0)
        gw_reason_set(words, "there are no %ss", what);
    else
        gw_reason_set(words, "%zu %s%s %s", count, what, count == 1 ? "" : "s", count == 1 ? one : many);
}

static void judge_sources(struct gathering *gathering)
{
    size_t bad = gathering->sources_bad, runs = gathering->status.sources_running;
    size_t count = gathering->status.sources_count;
    enum gwc_condition which = GWC_CONDITION_SOURCES_RUNNING;

    if (judge_nothing(gathering, which, gathering->client->sources == NULL))
        return;
    if (bad > 0)
        gw_reason_set(condition_set(gathering, which, GWC_FALSE, "NotRunning"),
                      "%zu of %zu event sources do not run: %s", bad, count, words_of(&gathering->sources));
    else if (gathering->starting > 0)
        gw_reason_set(condition_set(gathering, which, GWC_FALSE, "Starting"),
                      "%zu of %zu event sources run, the others start", runs, count);
    else
        words_good(condition_set(gathering, which, GWC_TRUE, "Running"), count, "event source", "runs",
                   "run");
}

static void judge_watchers(struct gathering *gathering)
{
    size_t bad = gathering->watchers_bad, count = gathering->status.watchers_count;
    enum gwc_condition which = GWC_CONDITION_WATCHERS_REACHABLE;

    if (judge_nothing(gathering, which, gathering->client->version == NULL))
        return;
    if (bad > 0)
        gw_reason_set(condition_set(gathering, which, GWC_FALSE, "NotReachable"),
                      "%zu of %zu watchers cannot be reached: %s", bad, count,
                      words_of(&gathering->watching));
    else
        words_good(condition_set(gathering, which, GWC_TRUE, "Reachable"), count, "watcher", "can be reached",
                   "can be reached");
}

/* Whether each was so before this process began, and since when. */
static void recall(struct gwc_report *report, const struct gw_node *before)
{
    const struct gw_node *list = gw_node_get(before, "conditions");

    if (report->recalled)
        return;
    for (size_t i = 0; i < GWC_CONDITIONS_COUNT; i++)
        (void)gwc_gateway_condition_find(list, (enum gwc_condition)i, &report->conditions[i].truth,
                                         &report->conditions[i].changed_ms);
    report->recalled = true;
}

/* ---- all of it ---- */

static char *types_of(struct gathering *gathering)
{
    struct gwc_client *client = gathering->client;
    GW_AUTO(gw_bytes_done) struct gw_bytes types = {0};

    for (size_t i = 0; i < client->servers_count; i++)
        gw_bytes_printf(&types, "%s%s", i > 0 ? ", " : "", gwc_server_spec(client->servers[i])->type);
    return gw_arena_copy(&gathering->arena, gw_bytes_view(&types));
}

static void write_message(struct gathering *gathering, struct gw_bytes *out)
{
    const struct gwc_gateway_condition *conditions = gathering->report->conditions;
    struct gw_reason words = {""};

    for (size_t i = 0; i < GWC_CONDITIONS_COUNT; i++)
        if (conditions[i].truth == GWC_FALSE)
            gw_bytes_printf(out, "%s%s", out->size > 0 ? "; " : "", conditions[i].message);
    if (out->size > 0)
        return;
    if (gwc_client_origin_words(gathering->client, &words))
        gw_bytes_printf(out, "%s; ", words.text);
    gw_bytes_printf(out, "%s, %s", conditions[GWC_CONDITION_SOURCES_RUNNING].message,
                    conditions[GWC_CONDITION_WATCHERS_REACHABLE].message);
}

static void judge_phase(struct gathering *gathering)
{
    const struct gwc_client *client = gathering->client;
    GW_AUTO(gw_bytes_done) struct gw_bytes message = {0};
    bool refused = gathering->report->conditions[GWC_CONDITION_CONFIGURATION_ACCEPTED].truth == GWC_FALSE;
    bool wrong = refused || gathering->sources_bad > 0 || gathering->watchers_bad > 0 || client->outbox_full;

    write_message(gathering, &message);
    gathering->status.message = gw_arena_copy(&gathering->arena, gw_bytes_view(&message));
    gathering->status.phase = client->stopping                                     ? GWC_PHASE_COMPLETED
                              : wrong                                              ? GWC_PHASE_ERROR
                              : client->version == NULL || client->sources == NULL ? ""
                                                                                   : GWC_PHASE_RUNNING;
}

static void gather(struct gathering *gathering, const struct gw_node *before, bool plain)
{
    struct gwc_report *report = gathering->report;

    recall(report, before);
    gather_sources(gathering);
    gather_watchers(gathering);
    judge_ready(gathering);
    judge_configuration(gathering);
    judge_sources(gathering);
    judge_watchers(gathering);
    judge_phase(gathering);
    memcpy(gathering->status.conditions, report->conditions, sizeof(report->conditions));
    gathering->status.conditions_before = gw_node_get(before, "conditions");
    gathering->status.type = types_of(gathering);
    gathering->status.started_ms = gathering->client->started_ms;
    gathering->status.generation = plain ? 0 : report->generation;
    gathering->failed =
        gathering->failed || gathering->status.type == NULL || gathering->status.message == NULL;
}

void report_compose(void *user, const struct gw_node *before, bool plain, struct gw_bytes *out)
{
    struct gwc_report *report = user;
    struct gathering gathering = {.report = report, .client = report->client};

    gather(&gathering, before, plain);
    if (gathering.failed)
        out->failed = true;
    else
        gwc_gateway_status_write(&gathering.status, out);
    gw_bytes_done(&gathering.sources);
    gw_bytes_done(&gathering.watching);
    gw_arena_done(&gathering.arena);
}
