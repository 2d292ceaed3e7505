/* The writer of the status: when to compose, what to send, what an answer means. */
#include "gateway-client/report/status_writer.h"

#include "common/backoff.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/kube_object.h"
#include "common/kube_watch.h"
#include "common/log.h"
#include "gateway-client/report/gateway_status.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    GATHER_MS = 50, /* what changes together is written together */
    PATCH_GAP_MS = 1000,
    PATCH_TIMEOUT_MS = 10000,
    /* Counters that move alone: so often, and rarer when they are many. */
    COUNTERS_MS = 10000,
    COUNTERS_BYTES_PER_S = 10240,
    VERSION_MAX = 128,
};

static const struct gw_backoff_policy again_policy = {.initial_ms = 1000, .factor = 2, .max_ms = 30000};

struct gwc_status_writer {
    struct gwc_status_writer_options options;
    struct gw_arena arena;
    const char *object_path, *status_path;
    struct gw_timer *timer;
    struct gw_kube_call *call;
    struct gw_backoff backoff;
    struct gw_series *written, *failed;

    bool there;                                            /* the object was seen, and is there */
    bool dirty;                                            /* something changed since the last composing */
    bool plain;                                            /* no subresource */
    bool swapped;                                          /* 404, and the other path is tried now */
    int64_t touched_ms, patched_ms, counters_ms, again_ms; /* the loop's time; the last two: not before */

    struct gw_bytes before, after; /* the status that the API server has; the one under way */
    struct gw_bytes body;
    char before_version[VERSION_MAX]; /* "": unknown */
    char trouble[GW_REASON_MAX];
};

static int64_t now_ms(const struct gwc_status_writer *writer)
{
    return gw_loop_now_ms(gw_kube_loop(writer->options.kube));
}

/* ---- when ---- */

static void writer_plan(struct gwc_status_writer *writer)
{
    int64_t due_ms = writer->dirty ? GW_MAX(writer->touched_ms + GATHER_MS, writer->patched_ms + PATCH_GAP_MS)
                                   : GW_MAX(writer->counters_ms, writer->patched_ms + PATCH_GAP_MS);

    if (!writer->there || writer->call != NULL)
        gw_timer_stop(writer->timer);
    else
        gw_timer_start(writer->timer, GW_MAX(GW_MAX(due_ms, writer->again_ms) - now_ms(writer), 0));
}

void gwc_status_writer_touch(struct gwc_status_writer *writer)
{
    if (writer->dirty)
        return;
    writer->dirty = true;
    writer->touched_ms = now_ms(writer);
    writer_plan(writer);
}

static void writer_again(struct gwc_status_writer *writer, int64_t retry_after_ms)
{
    int64_t wait_ms = gw_backoff_next_ms(&writer->backoff, gw_random_u64());

    writer->again_ms = now_ms(writer) + GW_MAX(wait_ms, retry_after_ms);
    writer->dirty = true;
    writer_plan(writer);
}

/* ---- what ---- */

static const struct gw_node *status_tree(struct gw_arena *arena, const struct gw_bytes *text)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};
    const struct gw_node *root = NULL;

    if (text->size == 0 || gw_json_read(arena, gw_bytes_view(text), &root, &problems) != 0)
        return NULL;
    return root->kind == GW_NODE_MAP ? root : NULL;
}

/* Conditions of others are in the patch as they were seen: it must not undo what they did meanwhile. */
static void write_precondition(const struct gwc_status_writer *writer, const struct gw_node *before,
                               struct gw_bytes *body)
{
    if (!gwc_gateway_conditions_shared(gw_node_get(before, "conditions")) ||
        writer->before_version[0] == '\0')
        return;
    gw_bytes_append_text(body, "\"metadata\":{");
    gw_json_member_text(body, "resourceVersion", writer->before_version);
    gw_bytes_append_char(body, '}');
}

/* Composes `after`, and `body`, the patch that makes it of `before`. */
static enum gwc_patch writer_compose(struct gwc_status_writer *writer)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    const struct gw_node *before = status_tree(&arena, &writer->before);
    struct gw_bytes *body = &writer->body;

    gw_bytes_clear(&writer->after);
    gw_bytes_clear(body);
    writer->options.compose(writer->options.user, before, writer->plain, &writer->after);
    const struct gw_node *after = writer->after.failed ? NULL : status_tree(&arena, &writer->after);
    if (after == NULL)
        return GWC_PATCH_NOTHING; /* no memory: there will be another time */
    gw_bytes_append_char(body, '{');
    write_precondition(writer, before, body);
    gw_json_member(body, "status");
    enum gwc_patch patch = gwc_merge_patch(before, after, &gwc_gateway_status_shape, body);
    gw_bytes_append_char(body, '}');
    return body->failed ? GWC_PATCH_NOTHING : patch;
}

/* ---- answers ---- */

static void trouble_set(struct gwc_status_writer *writer, const char *words)
{
    if (strcmp(writer->trouble, words) == 0)
        return;
    snprintf(writer->trouble, sizeof(writer->trouble), "%s", words);
    if (words[0] != '\0')
        gw_log(GW_LOG_WARN, "the status of the Gateway cannot be written", "reason", writer->trouble, NULL);
    else
        gw_log(GW_LOG_INFO, "the status of the Gateway is written again", NULL);
}

static bool version_newer(const char *version, const char *than)
{
    int order = gw_kube_version_compare(version, than);

    return than[0] == '\0' || (order == INT_MIN ? strcmp(version, than) != 0 : order > 0);
}

static void version_set(struct gwc_status_writer *writer, const char *version)
{
    snprintf(writer->before_version, sizeof(writer->before_version), "%s",
             strlen(version) < VERSION_MAX ? version : "");
}

static void answer_bad(struct gwc_status_writer *writer, const char *words, int64_t retry_after_ms)
{
    gw_series_add(writer->failed, 1);
    trouble_set(writer, words);
    writer->plain = false; /* the definition may be another when it is tried again */
    writer_again(writer, retry_after_ms);
}

static void answer_good(struct gwc_status_writer *writer, struct gw_view object)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes room = {0};
    struct gw_kube_meta meta;
    const char *version = gw_kube_meta_read(object, &room, &meta) ? meta.resource_version : "";

    if (writer->plain && version[0] != '\0' && strcmp(version, writer->before_version) == 0) {
        answer_bad(writer, "the API server drops it: the definition of Gateways has another status", 0);
        return;
    }
    gw_series_add(writer->written, 1);
    gw_backoff_reset(&writer->backoff);
    trouble_set(writer, "");
    int64_t rare_ms = (int64_t)writer->body.size * 1000 / COUNTERS_BYTES_PER_S;
    writer->counters_ms = now_ms(writer) + GW_MAX(rare_ms, COUNTERS_MS);
    if (version_newer(version, writer->before_version)) { /* else it was seen already, or a later one */
        struct gw_bytes old = writer->before;
        writer->before = writer->after;
        writer->after = old;
        version_set(writer, version);
    }
    writer_plan(writer);
}

static void writer_flush(struct gwc_status_writer *writer);

static void on_looked(void *user, const struct gw_kube_answer *answer)
{
    struct gwc_status_writer *writer = user;

    writer->call = NULL;
    if (answer->status >= 200 && answer->status < 300) {
        writer->plain = true;
        writer_flush(writer);
    } else if (answer->status == 404) {
        writer->there = false; /* until it is seen again */
        writer_plan(writer);
    } else {
        answer_bad(writer, answer->message, answer->retry_after_ms);
    }
}

/* Is it the object that is not there, or the subresource? The API server says the same of both. */
static void writer_look(struct gwc_status_writer *writer)
{
    struct gw_kube_request request = {
        .verb = GW_KUBE_GET, .path = writer->object_path, .timeout_ms = PATCH_TIMEOUT_MS};

    if (gw_kube_send(writer->options.kube, &request, on_looked, writer, &writer->call) != 0) {
        writer->call = NULL;
        writer_again(writer, 0);
    }
}

static void on_answer(void *user, const struct gw_kube_answer *answer)
{
    struct gwc_status_writer *writer = user;

    writer->call = NULL;
    if (answer->status >= 200 && answer->status < 300) {
        answer_good(writer, answer->body);
    } else if (answer->status == 404 && !writer->plain) {
        writer->dirty = true;
        writer_look(writer);
    } else if (answer->status == 404) {
        writer->dirty = true;
        writer->plain = writer->there = false;
        writer_plan(writer);
    } else {
        answer_bad(writer, answer->message, answer->retry_after_ms);
    }
}

static void writer_send(struct gwc_status_writer *writer)
{
    struct gw_kube_request request = {
        .verb = GW_KUBE_MERGE_PATCH,
        .path = writer->plain ? writer->object_path : writer->status_path,
        .body = gw_bytes_view(&writer->body),
        .timeout_ms = PATCH_TIMEOUT_MS,
    };

    writer->patched_ms = now_ms(writer);
    if (gw_kube_send(writer->options.kube, &request, on_answer, writer, &writer->call) != 0) {
        writer->call = NULL;
        writer_again(writer, 0);
    }
}

static void writer_flush(struct gwc_status_writer *writer)
{
    bool counters_due = now_ms(writer) >= writer->counters_ms;
    enum gwc_patch patch = writer_compose(writer);

    writer->dirty = false;
    if (patch == GWC_PATCH_MATTERS || (patch == GWC_PATCH_COUNTERS && counters_due))
        writer_send(writer);
    else if (counters_due)
        writer->counters_ms = now_ms(writer) + COUNTERS_MS;
    writer_plan(writer); /* while a patch is under way the timer stands still: there is one at a time */
}

static void on_timer(void *user)
{
    writer_flush(user);
}

/* ---- from outside ---- */

void gwc_status_writer_seen(struct gwc_status_writer *writer, struct gw_view object)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes room = {0};
    struct gw_kube_meta meta;

    if (object.size == 0) {
        writer->there = false;
        writer_plan(writer);
        return;
    }
    if (!gw_kube_meta_read(object, &room, &meta))
        return;
    if (version_newer(meta.resource_version, writer->before_version)) {
        gw_bytes_clear(&writer->before);
        gw_bytes_append_view(&writer->before, gw_json_get(object, "status"));
        version_set(writer, meta.resource_version);
        gwc_status_writer_touch(writer);
    }
    /* the API server is there again */
    if (writer->again_ms > now_ms(writer) && writer->call == NULL) {
        gw_backoff_reset(&writer->backoff);
        writer->again_ms = 0;
    }
    writer->there = true;
    writer_plan(writer);
}

void gwc_status_writer_flush(struct gwc_status_writer *writer)
{
    if (writer->there && writer->call == NULL)
        writer_flush(writer);
    else
        gwc_status_writer_touch(writer);
}

bool gwc_status_writer_busy(const struct gwc_status_writer *writer)
{
    return writer->call != NULL;
}

/* ---- life ---- */

static int writer_prepare(struct gwc_status_writer *writer)
{
    const struct gwc_status_writer_options *options = &writer->options;
    const char *good = "written", *bad = "failed";
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};

    gw_bytes_append_text(&path, "/apis/argoproj.io/v1alpha1/namespaces/");
    gw_kube_quote(&path, options->namespace_);
    gw_bytes_append_text(&path, "/gateways/");
    gw_kube_quote(&path, options->name);
    if (path.failed)
        return GW_RAISE(-ENOMEM);
    writer->object_path = gw_arena_copy(&writer->arena, gw_bytes_view(&path));
    writer->status_path = gw_arena_printf(&writer->arena, "%s/status", gw_bytes_text(&path));
    if (writer->object_path == NULL || writer->status_path == NULL)
        return GW_RAISE(-ENOMEM);
    struct gw_family *family =
        gw_metrics_family(options->metrics, GW_COUNTER, "gateway_status_patches_total",
                          "Patches of the Gateway's status, by result.", "result", NULL, 0);
    writer->written = gw_family_series(family, &good);
    writer->failed = gw_family_series(family, &bad);
    writer->backoff.policy = again_policy;
    return gw_timer_open(&writer->timer, gw_kube_loop(options->kube), on_timer, writer);
}

int gwc_status_writer_open(struct gwc_status_writer **ret_writer,
                           const struct gwc_status_writer_options *options)
{
    struct gwc_status_writer *writer = calloc(1, sizeof(*writer));

    if (writer == NULL)
        return GW_RAISE(-ENOMEM);
    writer->options = *options;
    writer->patched_ms = -PATCH_GAP_MS;
    int fault = writer_prepare(writer);
    if (fault != 0) {
        gwc_status_writer_close(writer);
        return fault;
    }
    *ret_writer = writer;
    return 0;
}

struct gwc_status_writer *gwc_status_writer_close(struct gwc_status_writer *writer)
{
    if (writer == NULL)
        return NULL;
    if (writer->call != NULL)
        gw_kube_cancel(writer->call);
    gw_timer_close(writer->timer);
    gw_bytes_done(&writer->before);
    gw_bytes_done(&writer->after);
    gw_bytes_done(&writer->body);
    gw_arena_done(&writer->arena);
    free(writer);
    return NULL;
}
