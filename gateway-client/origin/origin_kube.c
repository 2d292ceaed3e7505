/* An origin: an object of the API server. */
#include "gateway-client/origin/origin_parts.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/kube_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GATHER_MS = 100 }; /* edits that follow on each other are read together */

struct origin_kube {
    struct gwc_origin base;
    struct gwc_origin_options options;
    struct gwc_origin_name name; /* with its namespace */
    struct gw_kube_watch *watch;
    struct gw_timer *gather, *grace;
    bool gathering; /* changed() comes soon */
    enum gwc_origin_state state;
    struct gw_bytes document;      /* the object, as it was seen last; empty: none */
    char trouble[GW_REASON_MAX];   /* why the API server tells nothing; "": it does, or was not asked yet */
    int64_t deleted_ms, end_at_ms; /* realtime; end_at_ms 0: not known, because the API server is away */
};

/* ---- what an object says ---- */

bool gwc_origin_says_other(enum gwc_origin_kind kind, struct gw_view before, struct gw_view now)
{
    static const char *const members[][3] = {
        [GWC_ORIGIN_GATEWAY] = {"spec", NULL},
        [GWC_ORIGIN_CONFIGMAP] = {"data", "binaryData", NULL},
    };

    if (!gw_json_valid(before) || !gw_json_valid(now))
        return !gw_view_equal(before, now);
    for (const char *const *member = members[kind]; *member != NULL; member++)
        if (!gw_view_equal(gw_json_get(before, *member), gw_json_get(now, *member)))
            return true;
    return false;
}

/* ---- telling ---- */

static void origin_changed(struct origin_kube *origin)
{
    if (!origin->gathering)
        gw_timer_start(origin->gather, GATHER_MS);
    origin->gathering = true;
}

static void origin_gathered(void *user)
{
    struct origin_kube *origin = user;

    origin->gathering = false;
    origin->options.changed(origin->options.user); /* may close us: nothing after it */
}

static void origin_told(struct origin_kube *origin)
{
    if (origin->options.told != NULL)
        origin->options.told(origin->options.user);
}

static void origin_move(struct origin_kube *origin, enum gwc_origin_state state)
{
    if (origin->state == state)
        return;
    origin->state = state;
    origin_told(origin);
}

/* ---- coming and going ---- */

static void origin_end(void *user)
{
    struct origin_kube *origin = user;

    gw_bytes_clear(&origin->document);
    origin_move(origin, GWC_ORIGIN_GONE);
    origin_changed(origin);
}

/* Only while the API server can be reached: it may be there again, and nobody could tell us. */
static void grace_begin(struct origin_kube *origin)
{
    gw_timer_start(origin->grace, origin->options.grace_ms);
    origin->end_at_ms = gw_clock_realtime_ms() + origin->options.grace_ms;
}

static void grace_stop(struct origin_kube *origin)
{
    gw_timer_stop(origin->grace);
    origin->end_at_ms = 0;
}

static void origin_deleted(struct origin_kube *origin)
{
    if (origin->state != GWC_ORIGIN_PRESENT)
        return;
    origin->deleted_ms = gw_clock_realtime_ms();
    if (origin->options.grace_ms == 0) {
        origin_end(origin);
        return;
    }
    grace_begin(origin);
    origin_move(origin, GWC_ORIGIN_LEAVING);
}

static void origin_seen(struct origin_kube *origin, struct gw_view object)
{
    bool other = origin->document.size == 0 ||
                 gwc_origin_says_other(origin->base.kind, gw_bytes_view(&origin->document), object);

    grace_stop(origin);
    gw_bytes_clear(&origin->document);
    gw_bytes_append_view(&origin->document, object);
    origin_move(origin, GWC_ORIGIN_PRESENT);
    if (other)
        origin_changed(origin);
    if (origin->options.seen != NULL)
        origin->options.seen(origin->options.user, object);
}

static void on_object(void *user, const struct gw_kube_object *object)
{
    struct origin_kube *origin = user;

    if (object->change == GW_KUBE_DELETED)
        origin_deleted(origin);
    else
        origin_seen(origin, object->json);
}

static void on_synced(void *user, const char *list_version)
{
    struct origin_kube *origin = user;

    (void)list_version;
    if (origin->state == GWC_ORIGIN_UNHEARD)
        origin_move(origin, GWC_ORIGIN_ABSENT);
}

/* When it is tried again changes with each attempt; that alone is no news. */
static bool same_trouble(const char *a, const char *b)
{
    static const char when[] = "; next attempt in ";
    const char *a_end = strstr(a, when), *b_end = strstr(b, when);

    return a_end != NULL && b_end != NULL && a_end - a == b_end - b &&
           strncmp(a, b, (size_t)(a_end - a)) == 0;
}

static void on_state(void *user, bool well, const char *words)
{
    struct origin_kube *origin = user;
    bool was_well = origin->trouble[0] == '\0';
    bool news = well != was_well || (!well && !same_trouble(words, origin->trouble));

    if (well != was_well && origin->state == GWC_ORIGIN_LEAVING)
        (well ? grace_begin : grace_stop)(origin);
    snprintf(origin->trouble, sizeof(origin->trouble), "%s", well ? "" : words);
    if (news)
        origin_told(origin);
}

/* ---- what every origin does ---- */

static void origin_kube_close(struct gwc_origin *base)
{
    struct origin_kube *origin = GW_CONTAINER_OF(base, struct origin_kube, base);

    gw_kube_watch_close(origin->watch);
    gw_timer_close(origin->gather);
    gw_timer_close(origin->grace);
    gw_bytes_done(&origin->document);
    free(origin);
}

static enum gwc_origin_state origin_kube_state(const struct gwc_origin *base)
{
    return GW_CONTAINER_OF(base, const struct origin_kube, base)->state;
}

static struct gw_view origin_kube_object(const struct gwc_origin *base)
{
    const struct origin_kube *origin = GW_CONTAINER_OF(base, const struct origin_kube, base);

    return origin->state == GWC_ORIGIN_PRESENT ? gw_bytes_view(&origin->document) : gw_view(NULL, 0);
}

static void words_of_leaving(const struct origin_kube *origin, struct gw_reason *words)
{
    char deleted[GW_TIME_MAX], end[GW_TIME_MAX];

    gw_time_format(deleted, origin->deleted_ms * GW_NS_PER_MS, 0);
    if (origin->end_at_ms > 0)
        gw_reason_set(words,
                      "%s was deleted at %s: what it said stays in force until %s, for it to be made again",
                      origin->base.label, deleted, gw_time_format(end, origin->end_at_ms * GW_NS_PER_MS, 0));
    else
        gw_reason_set(
            words,
            "%s was deleted at %s: what it said stays in force while the API server does not answer: %s",
            origin->base.label, deleted, origin->trouble);
}

static bool origin_kube_words(const struct gwc_origin *base, struct gw_reason *words)
{
    const struct origin_kube *origin = GW_CONTAINER_OF(base, const struct origin_kube, base);
    const char *label = base->label, *between = origin->trouble[0] == '\0' ? "" : ": ";
    char deleted[GW_TIME_MAX];

    switch (origin->state) {
    case GWC_ORIGIN_UNHEARD:
        gw_reason_set(words, "%s was not read yet%s%s", label, between, origin->trouble);
        return true;
    case GWC_ORIGIN_ABSENT:
        gw_reason_set(words, "%s is not there yet%s%s", label, between, origin->trouble);
        return true;
    case GWC_ORIGIN_PRESENT:
        if (origin->trouble[0] != '\0')
            gw_reason_set(words, "%s stays in force as it was read last: %s", label, origin->trouble);
        return origin->trouble[0] != '\0';
    case GWC_ORIGIN_LEAVING:
        words_of_leaving(origin, words);
        return true;
    case GWC_ORIGIN_GONE:
        gw_reason_set(words, "%s was deleted at %s%s%s", label,
                      gw_time_format(deleted, origin->deleted_ms * GW_NS_PER_MS, 0), between,
                      origin->trouble);
        return true;
    }
    return false;
}

/* Whoever reads knows the newest: there is nothing to tell any more. */
static int document_take(struct origin_kube *origin, struct gw_view *ret_document)
{
    gw_timer_stop(origin->gather);
    origin->gathering = false;
    if (origin->document.failed)
        return GW_RAISE(-ENOMEM);
    *ret_document = gw_bytes_view(&origin->document);
    return origin->document.size == 0 ? GWC_ORIGIN_NONE : 0;
}

static int origin_kube_read_spec(struct gwc_origin *base, struct gwc_spec **ret_spec,
                                 struct gw_problems *problems)
{
    struct gw_view document;
    int read = document_take(GW_CONTAINER_OF(base, struct origin_kube, base), &document);

    if (read != 0)
        return read;
    read = gwc_spec_read_object(document, ret_spec, problems);
    return read > 0 ? GWC_ORIGIN_BAD : read;
}

static int origin_kube_read_sources(struct gwc_origin *base, const struct gwc_spec *spec,
                                    struct gwc_sources **ret_sources, struct gw_problems *problems)
{
    struct gw_view document;
    int read = document_take(GW_CONTAINER_OF(base, struct origin_kube, base), &document);

    if (read != 0)
        return read;
    read = gwc_sources_read_object(document, base->label, spec, ret_sources, problems);
    return read > 0 ? GWC_ORIGIN_BAD : read;
}

static const struct gwc_origin_ops origin_kube_ops = {
    .close = origin_kube_close,
    .state = origin_kube_state,
    .object = origin_kube_object,
    .words = origin_kube_words,
    .read_spec = origin_kube_read_spec,
    .read_sources = origin_kube_read_sources,
};

/* ---- opening ---- */

static int origin_watch(struct origin_kube *origin)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
    bool gateway = origin->base.kind == GWC_ORIGIN_GATEWAY;

    gw_bytes_append_text(&path, gateway ? "/apis/argoproj.io/v1alpha1/namespaces/" : "/api/v1/namespaces/");
    gw_kube_quote(&path, origin->name.namespace_);
    gw_bytes_append_text(&path, gateway ? "/gateways" : "/configmaps");
    struct gw_kube_watch_options options = {
        .path = gw_bytes_text(&path),
        .name = origin->name.name,
        .object = on_object,
        .synced = on_synced,
        .state = on_state,
        .user = origin,
    };
    if (options.path == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_kube_watch_open(&origin->watch, origin->options.kube, &options));
    return 0;
}

int gwc_origin_kube_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                         const struct gwc_origin_options *options)
{
    struct origin_kube *kube = calloc(1, sizeof(*kube));

    if (kube == NULL)
        return GW_RAISE(-ENOMEM);
    kube->base = (struct gwc_origin){.ops = &origin_kube_ops, .kind = name->kind};
    GW_AUTO(gwc_origin_closep) struct gwc_origin *origin = &kube->base;
    kube->options = *options;
    kube->name = *name;
    if (kube->name.namespace_[0] == '\0')
        snprintf(kube->name.namespace_, sizeof(kube->name.namespace_), "%s", options->namespace_);
    kube->base.label = gwc_origin_label_of(&kube->name, NULL);
    if (kube->base.label == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_timer_open(&kube->gather, options->loop, origin_gathered, kube));
    GW_TRY(gw_timer_open(&kube->grace, options->loop, origin_end, kube));
    GW_TRY(origin_watch(kube));
    *ret_origin = GW_TAKE(origin);
    return 0;
}
