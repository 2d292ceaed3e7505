/* The status of the Gateway resource: composing it. */
#include "gateway-client/report/gateway_status.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <stdlib.h>

/* What a node needs beside its texts: names of members, times, a counter. */
enum { NODE_BYTES = 280 };

static const char *const owned[] = {"phase",      "message", "startedAt",         "observedGeneration",
                                    "type",       "sources", "watchersReachable", "nodesOmitted",
                                    "conditions", "nodes",   "watchers",          NULL};
static const char *const counters[] = {"events",  "lastEventTime", "delivered",
                                       "pending", "deadLetters",   NULL};
const struct gwc_patch_shape gwc_gateway_status_shape = {owned, counters};

static void member_text(struct gw_bytes *out, const char *name, const char *text)
{
    if (text != NULL && text[0] != '\0')
        gw_json_member_text(out, name, text);
}

/* Cut at a character, with a sign that it was. */
static void member_cut(struct gw_bytes *out, const char *name, const char *text, size_t max)
{
    struct gw_view whole = gw_view_text(text);

    if (whole.size <= max) {
        member_text(out, name, text);
        return;
    }
    GW_AUTO(gw_bytes_done) struct gw_bytes cut = {0};
    gw_bytes_append_view(&cut, gw_utf8_cut(whole, max - 3));
    gw_bytes_append_text(&cut, "…");
    member_text(out, name, gw_bytes_text(&cut));
}

/* The API server's own precision. */
static void member_time(struct gw_bytes *out, const char *name, int64_t ms)
{
    char text[GW_TIME_MAX];

    if (ms != 0)
        gw_json_member_text(out, name, gw_time_format(text, ms * GW_NS_PER_MS, 0));
}

static void member_ratio(struct gw_bytes *out, const char *name, size_t part, size_t whole)
{
    gw_json_member(out, name);
    gw_bytes_printf(out, "\"%zu/%zu\"", part, whole);
}

/* ---- conditions ---- */

static const char *const truths[] = {[GWC_UNKNOWN] = "Unknown", [GWC_FALSE] = "False", [GWC_TRUE] = "True"};

const char *const gwc_condition_names[] = {
    [GWC_CONDITION_READY] = "Ready",
    [GWC_CONDITION_CONFIGURATION_ACCEPTED] = "ConfigurationAccepted",
    [GWC_CONDITION_SOURCES_RUNNING] = "SourcesRunning",
    [GWC_CONDITION_WATCHERS_REACHABLE] = "WatchersReachable",
};

static void write_condition(const struct gwc_gateway_status *status, size_t index, struct gw_bytes *out)
{
    const struct gwc_gateway_condition *condition = &status->conditions[index];

    gw_json_element(out);
    gw_bytes_append_char(out, '{');
    member_time(out, "lastTransitionTime", condition->changed_ms);
    gw_json_member(out, "message");
    gw_json_quote(out, gw_utf8_cut(gw_view_text(condition->message), GWC_GATEWAY_MESSAGE_MAX));
    if (status->generation > 0)
        gw_json_member_number(out, "observedGeneration", (uint64_t)status->generation);
    gw_json_member_text(out, "reason", condition->reason);
    gw_json_member_text(out, "status", truths[condition->truth]);
    gw_json_member_text(out, "type", gwc_condition_names[index]);
    gw_bytes_append_char(out, '}');
}

static const char *condition_type(const struct gw_node *condition)
{
    return gw_node_text(gw_node_get(condition, "type"), "");
}

static bool is_ours(const struct gw_node *condition)
{
    for (size_t i = 0; i < GWC_CONDITIONS_COUNT; i++)
        if (strcmp(gwc_condition_names[i], condition_type(condition)) == 0)
            return true;
    return false;
}

static const struct gw_node *first_condition(const struct gw_node *conditions)
{
    return conditions == NULL ? NULL : conditions->first;
}

bool gwc_gateway_conditions_shared(const struct gw_node *conditions)
{
    for (const struct gw_node *at = first_condition(conditions); at != NULL; at = at->next)
        if (!is_ours(at))
            return true;
    return false;
}

bool gwc_gateway_condition_find(const struct gw_node *conditions, enum gwc_condition condition,
                                enum gwc_truth *ret_truth, int64_t *ret_changed_ms)
{
    const struct gw_node *at = first_condition(conditions);
    int64_t ns;

    while (at != NULL && strcmp(condition_type(at), gwc_condition_names[condition]) != 0)
        at = at->next;
    if (at == NULL ||
        !gw_time_parse(gw_view_text(gw_node_text(gw_node_get(at, "lastTransitionTime"), "")), &ns))
        return false;
    const char *status = gw_node_text(gw_node_get(at, "status"), "");
    *ret_truth = strcmp(status, truths[GWC_TRUE]) == 0    ? GWC_TRUE
                 : strcmp(status, truths[GWC_FALSE]) == 0 ? GWC_FALSE
                                                          : GWC_UNKNOWN;
    *ret_changed_ms = ns / GW_NS_PER_MS;
    return true;
}

/* A patch replaces a list whole: what others have put there goes along. */
static void write_conditions(const struct gwc_gateway_status *status, struct gw_bytes *out)
{
    gw_json_member(out, "conditions");
    gw_bytes_append_char(out, '[');
    for (size_t i = 0; i < GWC_CONDITIONS_COUNT; i++)
        write_condition(status, i, out);
    for (const struct gw_node *at = first_condition(status->conditions_before); at != NULL; at = at->next) {
        if (is_ours(at))
            continue;
        gw_json_element(out);
        gw_json_write_node(out, at);
    }
    gw_bytes_append_char(out, ']');
}

/* ---- nodes ---- */

static bool node_runs(const struct gwc_gateway_node *node)
{
    return strcmp(node->phase, GWC_PHASE_RUNNING) == 0;
}

static size_t node_bytes(const struct gwc_gateway_node *node)
{
    return NODE_BYTES + strlen(node->name) + strlen(node->display_name) + strlen(node->type) +
           GW_MIN(strlen(node->message), (size_t)GWC_GATEWAY_NODE_MESSAGE_MAX);
}

/* Two of one id do happen: it has 32 bits. */
static int node_order(const void *a, const void *b)
{
    const struct gwc_gateway_node *left = *(const struct gwc_gateway_node *const *)a,
                                  *right = *(const struct gwc_gateway_node *const *)b;
    int order = strcmp(left->id, right->id);

    return order != 0 ? order : strcmp(left->name, right->name);
}

/* Those for which there is room. */
static size_t nodes_choose(const struct gwc_gateway_status *status, const struct gwc_gateway_node **chosen)
{
    size_t count = 0, bytes = 0;

    for (int runs = 0; runs <= 1; runs++) {
        for (size_t i = 0; i < status->nodes_count; i++) {
            const struct gwc_gateway_node *node = &status->nodes[i];
            if (node_runs(node) != (runs == 1) || bytes + node_bytes(node) > GWC_GATEWAY_NODES_BYTES_MAX)
                continue;
            bytes += node_bytes(node);
            chosen[count++] = node;
        }
    }
    qsort(chosen, count, sizeof(*chosen), node_order);
    return count;
}

static void write_node(const struct gwc_gateway_node *node, size_t twin, struct gw_bytes *out)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes key = {0};

    gw_bytes_append_text(&key, node->id);
    if (twin > 0)
        gw_bytes_printf(&key, "-%zu", twin + 1);
    gw_json_member(out, key.failed ? node->id : gw_bytes_text(&key));
    gw_bytes_append_char(out, '{');
    member_text(out, "displayName", node->display_name);
    gw_json_member_number(out, "events", node->events);
    member_text(out, "id", node->id);
    member_time(out, "lastEventTime", node->last_event_ms);
    member_cut(out, "message", node->message, GWC_GATEWAY_NODE_MESSAGE_MAX);
    member_text(out, "name", node->name);
    gw_json_member_text(out, "phase", node->phase);
    member_time(out, "startedAt", node->started_ms);
    member_text(out, "type", node->type);
    member_time(out, "updateTime", node->updated_ms);
    gw_bytes_append_char(out, '}');
}

static void write_nodes(const struct gwc_gateway_status *status, struct gw_bytes *out)
{
    GW_AUTO(gw_freep)
    const struct gwc_gateway_node **chosen = calloc(status->nodes_count + 1, sizeof(*chosen));
    size_t twin = 0;

    if (chosen == NULL) {
        out->failed = true;
        return;
    }
    size_t count = nodes_choose(status, chosen);
    if (count < status->nodes_count)
        gw_json_member_number(out, "nodesOmitted", status->nodes_count - count);
    gw_json_member(out, "nodes");
    gw_bytes_append_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        twin = i > 0 && strcmp(chosen[i - 1]->id, chosen[i]->id) == 0 ? twin + 1 : 0;
        write_node(chosen[i], twin, out);
    }
    gw_bytes_append_char(out, '}');
}

/* ---- watchers ---- */

static int watcher_order(const void *a, const void *b)
{
    const struct gwc_gateway_watcher *left = *(const struct gwc_gateway_watcher *const *)a,
                                     *right = *(const struct gwc_gateway_watcher *const *)b;

    return strcmp(left->name, right->name);
}

static void write_watcher(const struct gwc_gateway_watcher *watcher, struct gw_bytes *out)
{
    gw_json_member(out, watcher->name);
    gw_bytes_append_char(out, '{');
    gw_json_member_number(out, "deadLetters", watcher->dead_letters);
    gw_json_member_number(out, "delivered", watcher->delivered);
    member_cut(out, "message", watcher->message, GWC_GATEWAY_NODE_MESSAGE_MAX);
    gw_json_member_number(out, "pending", watcher->pending);
    gw_json_member_text(out, "state", watcher->state);
    gw_bytes_append_char(out, '}');
}

static void write_watchers(const struct gwc_gateway_status *status, struct gw_bytes *out)
{
    GW_AUTO(gw_freep)
    const struct gwc_gateway_watcher **sorted = calloc(status->watchers_count + 1, sizeof(*sorted));

    if (sorted == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < status->watchers_count; i++)
        sorted[i] = &status->watchers[i];
    qsort(sorted, status->watchers_count, sizeof(*sorted), watcher_order);
    gw_json_member(out, "watchers");
    gw_bytes_append_char(out, '{');
    for (size_t i = 0; i < status->watchers_count; i++)
        write_watcher(sorted[i], out);
    gw_bytes_append_char(out, '}');
}

void gwc_gateway_status_write(const struct gwc_gateway_status *status, struct gw_bytes *out)
{
    gw_bytes_append_char(out, '{');
    write_conditions(status, out);
    member_cut(out, "message", status->message, GWC_GATEWAY_MESSAGE_MAX);
    write_nodes(status, out);
    if (status->generation > 0)
        gw_json_member_number(out, "observedGeneration", (uint64_t)status->generation);
    gw_json_member_text(out, "phase", status->phase);
    member_ratio(out, "sources", status->sources_running, status->sources_count);
    member_time(out, "startedAt", status->started_ms);
    member_text(out, "type", status->type);
    write_watchers(status, out);
    member_ratio(out, "watchersReachable", status->watchers_reachable, status->watchers_count);
    gw_bytes_append_char(out, '}');
}
