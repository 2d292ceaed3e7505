/* Lookup: three questions, one after the other. */
#include "gateway-servers/resource/lookup.h"

#include "common/clock.h"

static const struct gw_backoff_policy lookup_backoff = {.initial_ms = 1000, .factor = 2, .max_ms = 30000};

static void lookup_begin(void *user);

static void lookup_wait(struct lookup *lookup, const char *words, int64_t retry_after_ms)
{
    int64_t wait_ms = gw_backoff_next_ms(&lookup->backoff, gw_random_u64());
    struct gw_reason said;

    wait_ms = GW_MAX(wait_ms, retry_after_ms);
    gw_reason_set(&said, "%s; next attempt in %lld s", words, (long long)((wait_ms + 999) / 1000));
    gw_timer_start(lookup->timer, wait_ms);
    lookup->waiting(lookup, said.text);
}

static void lookup_send(struct lookup *lookup, struct gw_bytes *path,
                        void (*done)(void *user, const struct gw_kube_answer *answer))
{
    struct gw_kube_request request = {.verb = GW_KUBE_GET, .path = gw_bytes_text(path)};

    if (request.path == NULL || gw_kube_send(lookup->kube, &request, done, lookup, &lookup->call) < 0)
        lookup_wait(lookup, "the request cannot be made: there is no memory for it", 0);
}

/* ---- fields ---- */

static void on_probed(void *user, const struct gw_kube_answer *answer)
{
    struct lookup *lookup = user;

    lookup->call = NULL;
    lookup->others = answer->status == 200;
    if (answer->status == 200 || answer->status == 400)
        lookup->done(lookup);
    else
        lookup_wait(lookup, answer->message, answer->retry_after_ms);
}

static void lookup_probe(struct lookup *lookup)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0}, fields = {0};

    selector_write(&fields, &lookup->plan->fields, SELECTOR_FIELDS, true);
    kinds_collection(&path, lookup->plan, &lookup->kind, lookup->plan->namespaces[0]);
    gw_bytes_append_text(&path, "?limit=1&fieldSelector=");
    if (gw_bytes_text(&fields) == NULL)
        path.failed = true;
    else
        gw_kube_quote(&path, fields.data);
    lookup_send(lookup, &path, on_probed);
}

/* ---- the resource ---- */

static bool places_suit(const struct lookup *lookup, struct gw_reason *reason)
{
    if (lookup->kind.namespaced || lookup->plan->namespaces[0][0] == '\0')
        return true;
    gw_reason_set(reason, "%s are in no namespace: leave namespaces out", lookup->kind.resource);
    return false;
}

static void on_groups(void *user, const struct gw_kube_answer *answer)
{
    struct lookup *lookup = user;
    struct gw_reason reason = {""};

    lookup->call = NULL;
    if (answer->status == 200) {
        kinds_explain(answer->body, lookup->plan, &reason);
        lookup_wait(lookup, reason.text, 0);
    } else {
        lookup_wait(lookup, answer->message, answer->retry_after_ms);
    }
}

static void lookup_explain(struct lookup *lookup)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};

    gw_bytes_append_text(&path, "/apis");
    lookup_send(lookup, &path, on_groups);
}

static void lookup_find(struct lookup *lookup, struct gw_view list)
{
    struct gw_reason reason = {""};

    kind_done(&lookup->kind);
    if (kinds_find(&lookup->kind, list, lookup->plan, &reason) < 0)
        lookup_wait(lookup, reason.text[0] != '\0' ? reason.text : gw_fault_trace(), 0);
    else if (!places_suit(lookup, &reason))
        lookup_wait(lookup, reason.text, 0);
    else if (selector_wants_others(&lookup->plan->fields))
        lookup_probe(lookup);
    else
        lookup->done(lookup);
}

static void on_list(void *user, const struct gw_kube_answer *answer)
{
    struct lookup *lookup = user;

    lookup->call = NULL;
    if (answer->status == 200)
        lookup_find(lookup, answer->body);
    else if (answer->status == 404)
        lookup_explain(lookup);
    else
        lookup_wait(lookup, answer->message, answer->retry_after_ms);
}

static void lookup_begin(void *user)
{
    struct lookup *lookup = user;
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};

    kinds_path(&path, lookup->plan->group, lookup->plan->version);
    lookup_send(lookup, &path, on_list);
}

/* ---- life ---- */

int lookup_open(struct lookup *lookup)
{
    lookup->backoff.policy = lookup_backoff;
    GW_TRY(gw_timer_open(&lookup->timer, gw_kube_loop(lookup->kube), lookup_begin, lookup));
    gw_timer_start(lookup->timer, 0);
    return 0;
}

void lookup_close(struct lookup *lookup)
{
    gw_kube_cancel(lookup->call);
    lookup->call = NULL;
    if (lookup->timer != NULL)
        lookup->timer = gw_timer_close(lookup->timer);
    kind_done(&lookup->kind);
}
