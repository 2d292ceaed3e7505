/* The life of a watch: which request comes next, when, and what is said when it fails. */
#include "common/clock.h"
#include "common/kube_watch_parts.h"
#include "common/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PAGE_MAX = 500,
    SILENT_MS = 120000, /* between the bytes of a watch */
    LIST_MS = 120000,   /* one page … */
    LIST_SILENT_MS = 30000,
    PROBE_MS = 15000,
    WATCH_MIN_S = 300, /* timeoutSeconds: so that not all watches end at once */
    WATCH_SPAN_S = 300,
    WATCH_GRACE_MS = 30000, /* after those, before the end is ours to make */
    WATCH_SHORT_MS = 1000,  /* ended sooner and without a word: something is wrong */
    CALM_MS = 10000,        /* a good watch of this length, … */
    RESET_MS = 120000,      /* or no failure for so long: the back-off begins anew */
    REACHED_ATTEMPTS = 3,   /* it is shortened to, when the API server was reached */
    GONE_MS = 30000,        /* history that goes again sooner is not listed anew without a wait */
    RETRY_AFTER_MAX_MS = 300000,
    QUIET_ATTEMPTS =
        3, /* a watch that ends and goes on at once is nothing to tell of, unless it does so again and again */
    SECRET_ROOM = 2 << 20 /* a page or line fits in: growing would leave copies behind */
};

/* As client-go's reflector; for one object, which costs the API server little, people need not wait so long. */
static const struct gw_backoff_policy collection_backoff = {.initial_ms = 800, .factor = 2, .max_ms = 30000};
static const struct gw_backoff_policy object_backoff = {.initial_ms = 800, .factor = 2, .max_ms = 10000};

static void step_begin(struct gw_kube_watch *watch, enum watch_step step);

/* ---- inside: the user may close the watch in any callback ---- */

static struct gw_kube_watch *watch_free(struct gw_kube_watch *watch)
{
    if (watch == NULL)
        return NULL;
    watch_text_clear(watch);
    gw_kube_cancel(watch->call);
    gw_timer_close(watch->timer);
    gw_kube_known_close(watch->known);
    gw_bytes_done(&watch->text);
    gw_bytes_done(&watch->version);
    gw_bytes_done(&watch->continue_);
    gw_bytes_done(&watch->meta_room);
    gw_bytes_done(&watch->item);
    gw_bytes_done(&watch->words);
    gw_arena_done(&watch->arena);
    free(watch);
    return NULL;
}
GW_DEFINE_CLEANUP(struct gw_kube_watch *, watch_free)

static void watch_enter(struct gw_kube_watch *watch)
{
    watch->inside++;
}

static void watch_leave(struct gw_kube_watch *watch)
{
    if (--watch->inside == 0 && watch->closed)
        watch_free(watch);
}

/* The answer that is under way is not wanted any more. */
static void watch_cancel(struct gw_kube_watch *watch)
{
    gw_kube_cancel(watch->call);
    watch->call = NULL;
    gw_timer_stop(watch->timer);
}

/* ---- well or not ---- */

static int64_t watch_now_ms(const struct gw_kube_watch *watch)
{
    return gw_loop_now_ms(gw_kube_loop(watch->kube));
}

static void watch_state(struct gw_kube_watch *watch, bool well, const char *words)
{
    watch->failing = !well;
    if (well && watch->told && watch->well)
        return;
    watch->told = true;
    watch->well = well;
    if (watch->options.state != NULL)
        watch->options.state(watch->options.user, well, words);
}

/* Wait, then `next`. `words` may be those in watch->words. `quiet`: such things happen; only when they go on they are told. */
static void watch_fail(struct gw_kube_watch *watch, enum watch_step next, const char *words,
                       int64_t retry_after_ms, bool quiet)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes said = {0};
    int64_t now_ms = watch_now_ms(watch), wait_ms;
    bool first = !watch->failing;

    watch_cancel(watch);
    watch_text_clear(watch);
    if ((watch->heard && now_ms - watch->began_ms >= CALM_MS) || now_ms - watch->failed_ms >= RESET_MS)
        gw_backoff_reset(&watch->backoff);
    watch->failed_ms = now_ms;
    watch->failing = true;
    wait_ms = gw_backoff_next_ms(&watch->backoff, gw_random_u64());
    wait_ms = GW_MAX(wait_ms, GW_MIN(retry_after_ms, (int64_t)RETRY_AFTER_MAX_MS));
    watch->step = next;
    watch->waiting = true;
    gw_timer_start(watch->timer, wait_ms);
    if (quiet && first && watch->well && watch->backoff.attempt <= QUIET_ATTEMPTS)
        return;
    gw_bytes_printf(&said, "%s; next attempt in %lld s", words == NULL ? "there is no memory" : words,
                    (long long)((wait_ms + 999) / 1000));
    if (gw_bytes_text(&said) != NULL)
        watch_state(watch, false, said.data);
}

/* After a restart of the API server that is the usual answer: nothing is wrong, what changed is in the list. */
static void watch_gone(struct gw_kube_watch *watch)
{
    int64_t now_ms = watch_now_ms(watch);
    bool again = watch->gone_ms > 0 && now_ms - watch->gone_ms < GONE_MS;

    watch->gone_ms = now_ms;
    watch_cancel(watch);
    if (again)
        watch_fail(watch, WATCH_LIST, "the history that was asked for is gone, again", -1, true);
    else
        step_begin(watch, WATCH_LIST);
}

/* What a page, a line or an answer's end came to; true: it is answered, and the watch may be gone. */
static bool verdict_answered(struct gw_kube_watch *watch, int verdict)
{
    if (verdict == WATCH_GONE)
        watch_gone(watch);
    if (verdict == WATCH_BAD)
        watch_fail(watch, WATCH_LIST, gw_bytes_text(&watch->words), -1, false);
    return verdict != 0;
}

static void answer_fail(struct gw_kube_watch *watch, enum watch_step next,
                        const struct gw_kube_answer *answer)
{
    if (answer->status == 404) {
        gw_bytes_clear(&watch->words);
        gw_bytes_printf(
            &watch->words,
            "the API server knows no resource %s (a CustomResourceDefinition that is not installed?)",
            watch->options.path);
        watch_fail(watch, next, gw_bytes_text(&watch->words), answer->retry_after_ms, false);
        return;
    }
    watch_fail(watch, next, answer->message, answer->retry_after_ms, answer->status == 0);
}

/* That version is gone (410), yet to come (504), or none: 400, and 500 of kube-apiserver 1.34. */
static bool version_refused(const struct gw_kube_answer *answer)
{
    return answer->status == 400 || answer->status == 410 || answer->status == 500 || answer->status == 504;
}

/* ---- requests ---- */

static void path_begin(const struct gw_kube_watch *watch, struct gw_bytes *path)
{
    gw_bytes_append_text(path, watch->options.path);
    gw_bytes_append_char(path, strchr(watch->options.path, '?') == NULL ? '?' : '&');
}

static void step_send(struct gw_kube_watch *watch, struct gw_bytes *path, struct gw_kube_request request,
                      void (*done)(void *user, const struct gw_kube_answer *answer))
{
    gw_bytes_append_text(path, watch->selectors);
    if (watch->options.secret && watch->text.capacity < SECRET_ROOM)
        (void)!gw_bytes_reserve(&watch->text, SECRET_ROOM);
    request.path = gw_bytes_text(path);
    if (request.path == NULL || gw_kube_send(watch->kube, &request, done, watch, &watch->call) < 0)
        watch_fail(watch, watch->step, "the request cannot be made: there is no memory for it", -1, false);
}

/* ---- following ---- */

static void on_follow_bytes(void *user, struct gw_view bytes)
{
    struct gw_kube_watch *watch = user;

    watch_enter(watch);
    (void)verdict_answered(watch, watch_take_bytes(watch, bytes));
    watch_leave(watch);
}

/* The API server ends each watch after the time that it was given. One that ended at once, or said nothing in all its time,
 * not even a bookmark, is looked into. */
static void follow_ended(struct gw_kube_watch *watch)
{
    if (!watch->heard && watch_now_ms(watch) - watch->began_ms < WATCH_SHORT_MS)
        watch_fail(watch, WATCH_PROBE, "the API server ended the watch as soon as it had begun", -1, true);
    else
        step_begin(watch, watch->heard ? WATCH_FOLLOW : WATCH_PROBE);
}

static void on_follow_done(void *user, const struct gw_kube_answer *answer)
{
    struct gw_kube_watch *watch = user;

    watch->call = NULL;
    watch_enter(watch);
    if (answer->status == 200)
        follow_ended(watch);
    else if (answer->status == 410 || (answer->status == 504 && strcmp(answer->reason, "Timeout") == 0))
        watch_gone(watch); /* 504 without that reason is a proxy's */
    else
        answer_fail(watch, version_refused(answer) ? WATCH_LIST : WATCH_PROBE, answer);
    watch_leave(watch);
}

static void follow_send(struct gw_kube_watch *watch)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
    unsigned seconds = WATCH_MIN_S + (unsigned)(gw_random_u64() % WATCH_SPAN_S);

    path_begin(watch, &path);
    gw_bytes_printf(&path, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%u&resourceVersion=", seconds);
    gw_kube_quote(&path, gw_kube_watch_version(watch));
    gw_timer_start(watch->timer, (int64_t)seconds * 1000 + WATCH_GRACE_MS);
    step_send(watch, &path,
              (struct gw_kube_request){.verb = GW_KUBE_GET,
                                       .timeout_ms = -1,
                                       .idle_ms = watch->options.silent_ms,
                                       .chunk = on_follow_bytes},
              on_follow_done);
}

/* ---- listing and probing ---- */

/* What there was at a version is asked for with the first page; the token of the others says it too. */
static void page_version(const struct gw_kube_watch *watch, struct gw_bytes *path)
{
    if (!watch->at_version || watch->continue_.size > 0)
        return;
    gw_bytes_append_text(path, "&resourceVersionMatch=Exact&resourceVersion=");
    gw_kube_quote(path, gw_kube_watch_version(watch));
}

static void on_list_done(void *user, const struct gw_kube_answer *answer);
static void page_send(struct gw_kube_watch *watch, size_t objects_max,
                      void (*done)(void *user, const struct gw_kube_answer *answer));

/* The same page with fewer objects will be smaller, unless it is one object that is too large. */
static void page_too_large(struct gw_kube_watch *watch)
{
    if (watch->step == WATCH_PROBE || watch->page_max == 1) {
        watch_fail(watch, watch->step, "the API server has an object of over 64 MiB", -1, false);
        return;
    }
    watch->page_max = watch->page_max == 0 ? PAGE_MAX : GW_MAX(watch->page_max / 8, (size_t)1);
    watch_cancel(watch);
    page_send(watch, watch->page_max, on_list_done);
}

static void on_page_bytes(void *user, struct gw_view bytes)
{
    struct gw_kube_watch *watch = user;

    watch_enter(watch);
    if (watch->text.size + bytes.size > WATCH_TEXT_MAX)
        page_too_large(watch);
    else
        gw_bytes_append_view(&watch->text, bytes);
    watch_leave(watch);
}

static void page_send(struct gw_kube_watch *watch, size_t objects_max,
                      void (*done)(void *user, const struct gw_kube_answer *answer))
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};

    path_begin(watch, &path);
    if (objects_max > 0)
        gw_bytes_printf(&path, "limit=%zu", objects_max);
    else
        gw_bytes_append_text(&path, "limit=");
    if (watch->continue_.size > 0) {
        gw_bytes_append_text(&path, "&continue=");
        gw_kube_quote(&path, watch->continue_.data);
    }
    if (watch->step == WATCH_LIST)
        page_version(watch, &path);
    watch_text_clear(watch);
    step_send(watch, &path,
              (struct gw_kube_request){.verb = GW_KUBE_GET,
                                       .timeout_ms = watch->step == WATCH_PROBE ? PROBE_MS : LIST_MS,
                                       .idle_ms = LIST_SILENT_MS,
                                       .chunk = on_page_bytes},
              done);
}

/* What the whole page says of itself; false: nothing, and that is answered. */
static bool page_meta(struct gw_kube_watch *watch, struct gw_kube_meta *ret_meta)
{
    const char *words = "what the API server sent is not a list";

    if (watch->text.failed)
        words = "there is no memory for a list of this size";
    else if (gw_kube_meta_read(gw_bytes_view(&watch->text), &watch->meta_room, ret_meta))
        return true;
    watch_fail(watch, watch->step, words, -1, false);
    return false;
}

/* The step went well, and the version is `version`: on to the watch, if the user does not close it here. */
static void watch_reached(struct gw_kube_watch *watch, bool list)
{
    bool first = !watch->synced_once;

    watch->synced_once = true;
    watch->backoff.attempt = GW_MIN(watch->backoff.attempt, (unsigned)REACHED_ATTEMPTS);
    watch_state(watch, true, "");
    if (!watch->closed && (list || first) && watch->options.synced != NULL)
        watch->options.synced(watch->options.user, list ? watch->version.data : NULL);
    if (!watch->closed && list && watch->options.progressed != NULL)
        watch->options.progressed(watch->options.user, watch->version.data);
    if (!watch->closed)
        step_begin(watch, WATCH_FOLLOW);
}

static void list_finish(struct gw_kube_watch *watch, const char *version)
{
    watch_text_set(&watch->version, version);
    watch_text_clear(watch);
    if (watch->version.failed) {
        watch_fail(watch, WATCH_LIST, "there is no memory", -1, false);
        return;
    }
    if (watch_take_missing(watch) != 0)
        return;
    watch->complete = !watch->options.keeps_nothing;
    watch->at_version = false;
    watch->page_max = watch->options.page_max;
    watch_reached(watch, true);
}

static void list_page(struct gw_kube_watch *watch)
{
    struct gw_kube_meta meta;
    int verdict;

    watch->heard = true;
    if (!page_meta(watch, &meta))
        return;
    verdict = watch_take_page(watch, gw_bytes_view(&watch->text));
    if (verdict_answered(watch, verdict) || !page_meta(watch, &meta)) /* read again: the items went over it */
        return;
    watch_text_set(&watch->continue_, meta.continue_);
    if (watch->continue_.failed)
        watch_fail(watch, WATCH_LIST, "there is no memory", -1, false);
    else if (watch->continue_.size == 0)
        list_finish(watch, meta.resource_version);
    else if (watch->paused)
        watch->list_held = true;
    else
        page_send(watch, watch->page_max, on_list_done);
}

/* A continue token lives for about five minutes. What came after it may have changed since, so the list begins again; in one
 * piece, unless it was a pause that took so long. */
static void list_expired(struct gw_kube_watch *watch)
{
    if (!watch->list_held)
        watch->page_max = 0;
    gw_bytes_clear(&watch->continue_);
    watch_fail(watch, WATCH_LIST, "the list took too long: the API server forgot how to go on with it", -1,
               true);
}

static void list_version_refused(struct gw_kube_watch *watch)
{
    watch->at_version = false;
    step_begin(watch, WATCH_LIST);
}

static void on_list_done(void *user, const struct gw_kube_answer *answer)
{
    struct gw_kube_watch *watch = user;

    watch->call = NULL;
    watch_enter(watch);
    if (answer->status == 200)
        list_page(watch);
    else if (answer->status == 410 && watch->continue_.size > 0)
        list_expired(watch);
    else if (watch->at_version && version_refused(answer))
        list_version_refused(watch);
    else
        answer_fail(watch, WATCH_LIST, answer);
    watch_leave(watch);
}

static void on_probe_done(void *user, const struct gw_kube_answer *answer)
{
    struct gw_kube_watch *watch = user;
    struct gw_kube_meta meta;
    int order;

    watch->call = NULL;
    watch_enter(watch);
    if (answer->status != 200) {
        answer_fail(watch, WATCH_PROBE, answer);
    } else if (page_meta(watch, &meta)) {
        order = gw_kube_version_compare(meta.resource_version, gw_kube_watch_version(watch));
        watch_text_clear(watch);
        if (order != INT_MIN && order < 0) /* an older history: an etcd restored from a backup */
            step_begin(watch, WATCH_LIST);
        else
            watch_reached(watch, false);
    }
    watch_leave(watch);
}

/* ---- steps ---- */

static void list_send(struct gw_kube_watch *watch)
{
    gw_kube_known_begin(watch->known);
    watch->list_begun = false;
    watch->list_held = false;
    page_send(watch, watch->page_max, on_list_done);
}

static void step_begin(struct gw_kube_watch *watch, enum watch_step step)
{
    watch->step = step;
    watch->began_ms = watch_now_ms(watch);
    watch->heard = false;
    gw_bytes_clear(&watch->continue_);
    watch_text_clear(watch);
    if (watch->paused)
        return;
    if (step == WATCH_FOLLOW)
        follow_send(watch);
    else if (step == WATCH_PROBE)
        page_send(watch, 1, on_probe_done);
    else
        list_send(watch);
}

static void watch_resume(struct gw_kube_watch *watch)
{
    if (watch->step == WATCH_LIST && watch->continue_.size > 0)
        page_send(watch, watch->page_max, on_list_done);
    else
        step_begin(watch, watch->step);
}

/* The wait, or the pause, is over; or a watch goes on although its time is. */
static void on_timer(void *user)
{
    struct gw_kube_watch *watch = user;

    watch_enter(watch);
    watch->waiting = false;
    if (watch->call != NULL) {
        watch_cancel(watch);
        step_begin(watch, WATCH_PROBE);
    } else if (!watch->paused) {
        watch_resume(watch);
    }
    watch_leave(watch);
}

void gw_kube_watch_set_paused(struct gw_kube_watch *watch, bool paused)
{
    if (watch->closed || watch->paused == paused)
        return;
    watch->paused = paused;
    if (paused && watch->step == WATCH_FOLLOW && watch->call != NULL)
        watch_cancel(watch);
    /* By the timer: what has arrived may still be on its way to the user, and moves the version. */
    if (!paused && watch->call == NULL && !watch->waiting)
        gw_timer_start(watch->timer, 0);
}

/* ---- life ---- */

/* As k8s.io/apimachinery/pkg/fields does: else a name could add terms of its own. */
static void selector_escape(struct gw_bytes *out, const char *value)
{
    for (; *value != '\0'; value++) {
        if (strchr("\\,=", *value) != NULL)
            gw_bytes_append_char(out, '\\');
        gw_bytes_append_char(out, *value);
    }
}

static void selector_append(struct gw_bytes *out, const char *parameter, const char *name,
                            const char *selector)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};

    if (name == NULL && (selector == NULL || selector[0] == '\0'))
        return;
    if (name != NULL) {
        gw_bytes_append_text(&text, "metadata.name=");
        selector_escape(&text, name);
    }
    if (selector != NULL && selector[0] != '\0')
        gw_bytes_printf(&text, "%s%s", text.size > 0 ? "," : "", selector);
    gw_bytes_printf(out, "&%s=", parameter);
    if (gw_bytes_text(&text) != NULL)
        gw_kube_quote(out, text.data);
    out->failed |= text.failed;
}

static int watch_texts(struct gw_kube_watch *watch, const struct gw_kube_watch_options *options)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes selectors = {0};

    selector_append(&selectors, "fieldSelector", options->name, options->field_selector);
    selector_append(&selectors, "labelSelector", NULL, options->label_selector);
    watch_text_set(&watch->version, options->resource_version == NULL ? "" : options->resource_version);
    if (gw_bytes_text(&selectors) == NULL || watch->version.failed)
        return GW_RAISE(-ENOMEM);
    watch->selectors = gw_arena_copy(&watch->arena, gw_bytes_view(&selectors));
    watch->options.path = gw_arena_copy(&watch->arena, gw_view_text(options->path));
    if (watch->selectors == NULL || watch->options.path == NULL)
        return GW_RAISE(-ENOMEM);
    return 0;
}

int gw_kube_watch_open(struct gw_kube_watch **ret_watch, struct gw_kube *kube,
                       const struct gw_kube_watch_options *options)
{
    GW_AUTO(watch_freep) struct gw_kube_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL)
        return GW_RAISE(-ENOMEM);
    watch->kube = kube;
    watch->options = *options;
    watch->options.name = watch->options.label_selector = watch->options.field_selector = NULL;
    watch->options.resource_version = NULL;
    watch->options.page_max = options->page_max > 0 ? options->page_max : PAGE_MAX;
    watch->options.silent_ms = options->silent_ms > 0 ? options->silent_ms : SILENT_MS;
    watch->page_max = watch->options.page_max;
    watch->backoff.policy = options->name != NULL ? object_backoff : collection_backoff;
    GW_TRY(watch_texts(watch, options));
    watch->at_version = watch->version.size > 0 && options->list_at_version;
    watch->step = watch->version.size == 0 || watch->at_version ? WATCH_LIST : WATCH_PROBE;
    GW_TRY(gw_kube_known_open(&watch->known));
    GW_TRY(gw_timer_open(&watch->timer, gw_kube_loop(kube), on_timer, watch));
    gw_timer_start(watch->timer, 0);
    *ret_watch = GW_TAKE(watch);
    return 0;
}

struct gw_kube_watch *gw_kube_watch_close(struct gw_kube_watch *watch)
{
    if (watch == NULL || watch->closed)
        return NULL;
    watch->closed = true;
    watch_cancel(watch);
    if (watch->inside == 0)
        watch_free(watch);
    return NULL;
}

int gw_kube_watch_know(struct gw_kube_watch *watch, const char *namespace_, const char *name, const char *uid,
                       const char *resource_version)
{
    watch->complete = true;
    return gw_kube_known_put(watch->known, &(struct gw_kube_id){namespace_, name, uid, resource_version});
}

const char *gw_kube_watch_version(const struct gw_kube_watch *watch)
{
    return watch->version.failed ? "" : watch->version.data;
}

size_t gw_kube_watch_count(const struct gw_kube_watch *watch)
{
    return gw_kube_known_count(watch->known);
}
