/* Source: what the rooms of it have to say to each other. */
#include "gateway-servers/resource/source.h"

#include <stdlib.h>

static void source_fail(struct source *source)
{
    source->over = true;
    gws_source_fail(source->stream, "%s", gw_fault_trace());
}

/* ---- pressure ---- */

static void source_mind_pressure(struct source *source)
{
    size_t bytes = ledger_bytes(source->ledger), entries = ledger_count(source->ledger);

    if (bytes > SOURCE_BYTES_MAX || entries > SOURCE_ENTRIES_MAX)
        source->full = true;
    else if (bytes <= SOURCE_BYTES_MAX / 2 && entries <= SOURCE_ENTRIES_MAX / 2)
        source->full = false;
    bool paused = source->full || source->window_full;
    if (paused == source->paused)
        return;
    source->paused = paused;
    for (size_t i = 0; i < source->places_count; i++)
        feed_set_paused(&source->places[i].feed, paused);
}

void source_set_window_full(struct source *source, bool full)
{
    source->window_full = full;
    source_mind_pressure(source);
}

/* ---- positions ---- */

static void source_position(const struct source *source, struct gw_bytes *out, int64_t at_ns,
                            bool acknowledged)
{
    position_begin(out, source->lookup.kind.resource, source->plan.group, at_ns, source->since_ns);
    for (size_t i = 0; i < source->places_count; i++) {
        const struct place *place = &source->places[i];
        const char *version = acknowledged ? place->acknowledged : place->member.seen;

        if (version[0] != '\0')
            position_add(out, place->member.namespace_, version);
    }
}

/* ---- the snapshot ---- */

static void on_reached(void *user, size_t place, const char *version)
{
    struct source *source = user;

    memcpy(source->places[place].acknowledged, version, strlen(version) + 1);
}

/* Nothing waits: what was seen, and meant nothing, is done with too. A list that is under way has not moved what was seen. */
static void source_reach_all(struct source *source)
{
    for (size_t i = 0; i < source->places_count; i++) {
        struct place *place = &source->places[i];

        if (place->member.complete && !place->holding)
            memcpy(place->acknowledged, place->member.seen, sizeof(place->acknowledged));
    }
}

static void source_settle(struct source *source)
{
    ledger_acknowledge(source->ledger, source->acknowledged, &source->rows, on_reached, source);
    if (ledger_is_empty(source->ledger) && !source->over)
        source_reach_all(source);
}

static int source_save(struct source *source)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes position = {0}, plain = {0};

    source_position(source, &plain, 0, true);
    source_position(source, &position, gw_clock_realtime_ns(), true);
    if (plain.failed || gw_bytes_text(&position) == NULL)
        return GW_RAISE(-ENOMEM);
    bool moved = !gw_view_equal(gw_bytes_view(&plain), gw_bytes_view(&source->saved));
    if (!moved && source->rows.count == 0)
        return 0;
    GW_TRY(snapshot_save(source->snapshot, position.data, &source->rows));
    gw_bytes_clear(&source->saved);
    gw_bytes_append_view(&source->saved, gw_bytes_view(&plain));
    return 0;
}

static void source_save_soon(struct source *source, int64_t wait_ms)
{
    if (source->snapshot == NULL || (source->saving && wait_ms > 0))
        return;
    source->saving = true;
    gw_timer_start(source->timer, wait_ms);
}

static void on_save(void *user)
{
    struct source *source = user;

    source->saving = false;
    source_settle(source);
    /* without memory, or while the disk is slow: what is acknowledged waits */
    if (snapshot_behind(source->snapshot) >= SOURCE_SAVES_MAX || source_save(source) < 0)
        source_save_soon(source, SOURCE_SAVE_MS);
    source_mind_pressure(source);
}

void source_acknowledged(struct source *source, uint64_t sequence)
{
    source->acknowledged = sequence;
    source_settle(source);
    source_save_soon(source, source->rows.count >= SOURCE_SAVE_ROWS ? 0 : SOURCE_SAVE_MS);
    source_mind_pressure(source);
}

/* ---- telling ---- */

/* `version`: what is told up to, with it; NULL: no more than before. */
static int source_emit(struct source *source, struct place *place, struct event *event, const char *version)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes position = {0};

    source_position(source, &position, gw_clock_realtime_ns(), false);
    if (position.failed)
        return GW_RAISE(-ENOMEM);
    event->event.position = gw_bytes_view(&position);
    int fault = gws_source_emit(source->stream, &event->event, &source->told);
    if (fault == -ECANCELED) { /* the stream is over, stop() is on its way */
        source->over = true;
        return 0;
    }
    GW_TRY(fault);
    GW_TRY(ledger_tell(source->ledger, source->told, event->data.size, (size_t)(place - source->places),
                       version));
    source_mind_pressure(source);
    return 0;
}

static void source_warn_size(struct source *source, const struct member_event *what, enum event_size size)
{
    if (size != EVENT_WHOLE)
        gws_source_notice(source->stream, false, "%s %s%s%s is too large for an event: %s left out",
                          source->lookup.kind.resource, what->id.namespace_,
                          what->id.namespace_[0] == '\0' ? "" : "/", what->id.name,
                          size == EVENT_WITHOUT_OLD ? "its state before is" : "all but a reference is");
}

/* The event that was held back goes out, and what the snapshot learns with it. */
static int place_release(struct place *place, const char *version)
{
    struct source *source = place->source;

    if (!place->holding)
        return 0;
    GW_AUTO(ledger_rows_done) struct ledger_rows rows = place->held_rows;
    place->held_rows = (struct ledger_rows){0};
    place->holding = false;
    GW_TRY(source_emit(source, place, &place->held, version));
    while (rows.first != NULL && !source->over) {
        struct ledger_row *row = rows.first;

        rows.first = row->next; /* from here on it is the ledger's, also with a fault */
        GW_TRY(ledger_note(source->ledger, source->told, row));
    }
    return 0;
}

static int on_tell(struct member *member, const struct member_event *what)
{
    struct place *place = member->user;
    struct source *source = place->source;
    struct event *event = &source->resource->event;
    enum event_size size;

    if (what->listed) {
        GW_TRY(place_release(place, NULL));
        event = &place->held;
    }
    GW_TRY(event_write(event, &source->plan, &source->lookup.kind, what, gw_clock_realtime_ns(), &size));
    source_warn_size(source, what, size);
    place->holding = what->listed;
    return what->listed ? 0 : source_emit(source, place, event, member->seen);
}

static int on_note(struct member *member, const struct gw_kube_id *id, uint64_t mark, bool inside)
{
    struct place *place = member->user;
    struct source *source = place->source;

    if (source->snapshot == NULL || source->over)
        return 0;
    struct ledger_row *row = ledger_row_new(id, mark, inside);
    if (row == NULL)
        return GW_RAISE(-ENOMEM);
    if (place->holding)
        ledger_rows_add(&place->held_rows, row);
    else
        GW_TRY(ledger_note(source->ledger, source->told, row));
    source_save_soon(source, ledger_count(source->ledger) % SOURCE_SAVE_ROWS == 0 ? 0 : SOURCE_SAVE_MS);
    return 0;
}

static const struct member_hooks member_hooks = {on_tell, on_note};

/* ---- feeds ---- */

static struct place *place_of(struct feed_member *member)
{
    return GW_CONTAINER_OF(member, struct place, feed);
}

static const char *on_from(struct feed_member *member, bool *ret_exact)
{
    struct place *place = place_of(member);

    *ret_exact = place->exact && !place->synced;
    return place->synced ? place->member.seen : place->from;
}

static void on_see(struct feed_member *member, struct sighting *sighting)
{
    struct place *place = place_of(member);

    if (member_see(&place->member, sighting) < 0)
        source_fail(place->source);
    source_save_soon(place->source, SOURCE_SAVE_MS);
}

static void on_list(struct feed_member *member)
{
    member_list(&place_of(member)->member);
}

static int place_listed(struct place *place, const char *version, bool exact)
{
    struct source *source = place->source;
    bool blind = !exact && !place->member.complete && !member_is_fresh(&place->member);

    int verdict = member_listed(&place->member, version, exact);
    if (verdict < 0)
        return verdict;
    if (verdict == MEMBER_HISTORY)
        gws_source_notice(
            source->stream, false,
            "the API server's history is older than what was seen of it, as after a restored backup: "
            "compared with what was known");
    else if (blind)
        gws_source_notice(
            source->stream, false,
            "the API server's history since the last event is gone: what was changed was told, what was "
            "deleted meanwhile is not known (it would be with --state)");
    return place_release(place, place->member.seen);
}

static void source_started(struct source *source)
{
    for (size_t i = 0; i < source->places_count; i++)
        if (!source->places[i].synced)
            return;
    gws_source_started(source->stream);
}

static void on_synced(struct feed_member *member, const char *list_version, bool exact)
{
    struct place *place = place_of(member);

    if (list_version != NULL && place_listed(place, list_version, exact) < 0) {
        source_fail(place->source);
        return;
    }
    place->synced = true;
    source_started(place->source);
    source_save_soon(place->source, SOURCE_SAVE_MS);
}

static void on_progressed(struct feed_member *member, const char *version)
{
    struct place *place = place_of(member);

    member_progress(&place->member, version);
    source_save_soon(place->source, SOURCE_SAVE_MS);
}

/* The words of the first place that is not well stand for the source. */
static void source_tell_state(struct source *source)
{
    const char *words = NULL;

    for (size_t i = 0; i < source->places_count && words == NULL; i++)
        if (!source->places[i].well && source->places[i].words != NULL)
            words = source->places[i].words;
    if (words != NULL)
        gws_source_notice(source->stream, true, "%s", words);
    else if (source->unwell)
        gws_source_notice(source->stream, false, "the API server answers again");
    source->unwell = words != NULL;
}

static void on_state(struct feed_member *member, bool well, const char *words)
{
    struct place *place = place_of(member);
    bool same = well == place->well && (well || (place->words != NULL && strcmp(place->words, words) == 0));

    if (same)
        return;
    free(place->words);
    place->words = strdup(words);
    place->well = well;
    source_tell_state(place->source);
}

static const struct feed_hooks feed_hooks = {on_from, on_see, on_list, on_synced, on_progressed, on_state};

/* ---- places ---- */

static int place_open(struct place *place, struct source *source, const char *namespace_)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};

    kinds_collection(&path, &source->plan, &source->lookup.kind, namespace_);
    place->path = gw_bytes_text(&path) == NULL ? NULL : strdup(path.data);
    if (place->path == NULL)
        return GW_RAISE(-ENOMEM);
    place->source = source;
    place->well = true;
    place->feed = (struct feed_member){.hooks = &feed_hooks,
                                       .path = place->path,
                                       .labels = source->labels.data,
                                       .fields = source->fields.data};
    place->member = (struct member){
        .hooks = &member_hooks,
        .user = place,
        .plan = &source->plan,
        .namespace_ = namespace_,
        .others = source->lookup.others,
        .since_ns = source->since_ns,
    };
    return member_open(&place->member);
}

static void place_close(struct place *place)
{
    feed_leave(&place->feed);
    member_close(&place->member);
    event_done(&place->held);
    ledger_rows_done(&place->held_rows);
    free(place->path);
    free(place->words);
}

/* From the client's position, and the snapshot's, where they say something of this namespace. The client's counts: it has what
 * it was told. A snapshot that lags behind it is brought up first. */
static void place_find_start(struct place *place, const struct position *position,
                             const struct position *snapshot)
{
    const struct plan *plan = &place->source->plan;
    char told[POSITION_VERSION_MAX] = "", kept[POSITION_VERSION_MAX] = "";
    bool is_told = position_version(position, place->member.namespace_, told);
    bool is_kept = position_version(snapshot, place->member.namespace_, kept);

    memcpy(place->member.seen, is_told ? told : kept, sizeof(told));
    memcpy(place->from, is_told && is_kept && version_within(kept, told) ? kept : place->member.seen,
           sizeof(kept));
    place->member.at_ns = is_told ? position->at_ns : snapshot->at_ns;
    place->member.complete = is_kept;
    if (is_kept) /* it stays so when the source ends before anything is told */
        memcpy(place->acknowledged, place->from, sizeof(place->from));
    place->exact =
        plan->keeps_objects || (!is_kept && (plan->changed_count > 0 || place->source->snapshot != NULL));
}

static struct place *source_place(struct source *source, const char *namespace_)
{
    for (size_t i = 0; i < source->places_count; i++)
        if (source->places[i].member.namespace_[0] == '\0' ||
            strcmp(source->places[i].member.namespace_, namespace_) == 0)
            return &source->places[i];
    return NULL;
}

/* Into the members; rows of a namespace that begins anew go. */
static int source_know(struct source *source, const struct snapshot *snapshot)
{
    for (const struct ledger_row *row = snapshot->rows; row != NULL; row = row->next) {
        struct place *place = source_place(source, row->id.namespace_);

        if (place != NULL && place->member.complete) {
            GW_TRY(member_know(&place->member, &row->id, row->mark));
            continue;
        }
        struct ledger_row *gone = ledger_row_new(&row->id, 0, false);
        if (gone == NULL)
            return GW_RAISE(-ENOMEM);
        GW_TRY(ledger_note(source->ledger, 0, gone));
    }
    return 0;
}

static struct position source_read_position(struct source *source, struct gw_view text)
{
    struct position position = position_read(text, source->lookup.kind.resource, source->plan.group);

    if (text.size > 0 && !position.of_resource) {
        gws_source_notice(source->stream, false,
                          "the kept position belongs to another resource: begins anew");
        return (struct position){0};
    }
    return position;
}

static int source_watch(struct source *source, const struct snapshot *snapshot)
{
    struct position position = source_read_position(source, gw_bytes_view(&source->position));
    struct position kept =
        position_read(gw_view_text(snapshot->position), source->lookup.kind.resource, source->plan.group);
    const struct plan *plan = &source->plan;

    source->since_ns = position.since_ns > 0 ? position.since_ns
                       : kept.since_ns > 0   ? kept.since_ns
                                             : gw_clock_realtime_ns();
    selector_write(&source->labels, &plan->labels, SELECTOR_LABELS, true);
    selector_write(&source->fields, &plan->fields, SELECTOR_FIELDS, source->lookup.others);
    source->places = calloc(plan->namespaces_count, sizeof(*source->places));
    if (source->places == NULL || gw_bytes_text(&source->labels) == NULL ||
        gw_bytes_text(&source->fields) == NULL)
        return GW_RAISE(-ENOMEM);
    while (source->places_count < plan->namespaces_count) {
        struct place *place = &source->places[source->places_count];
        int fault = place_open(place, source, plan->namespaces[source->places_count]);

        if (fault < 0) {
            place_close(place);
            return fault;
        }
        place_find_start(place, &position, &kept);
        source->places_count++;
    }
    GW_TRY(source_know(source, snapshot));
    for (size_t i = 0; i < source->places_count; i++) {
        source->places[i].feed.paused = source->paused;
        feed_join(source->resource->feeds, &source->places[i].feed);
    }
    return 0;
}

/* ---- steps ---- */

static void on_loaded(void *user, const struct snapshot *snapshot)
{
    struct source *source = user;

    if (source_watch(source, snapshot) < 0)
        source_fail(source);
}

static int source_load(struct source *source)
{
    const struct gws_identity *identity = gws_source_identity(source->stream);
    GW_AUTO(gw_bytes_done) struct gw_bytes key = {0}, settings = {0};

    gw_bytes_printf(&key, "%s/%s/%s", identity->namespace_, identity->gateway, identity->name);
    plan_write(&source->plan, &settings);
    if (gw_bytes_text(&key) == NULL || gw_bytes_text(&settings) == NULL)
        return GW_RAISE(-ENOMEM);
    return snapshot_load(&source->snapshot, source->resource->snapshots, key.data, settings.data, on_loaded,
                         source);
}

static void on_found(struct lookup *lookup)
{
    struct source *source = GW_CONTAINER_OF(lookup, struct source, lookup);
    static const struct snapshot nothing = {.position = ""};
    GW_AUTO(gw_bytes_done) struct gw_bytes name = {0};

    if (source->unwell)
        gws_source_notice(source->stream, false, "found: %s", lookup->kind.resource);
    source->unwell = false;
    if (!lookup->others && selector_wants_others(&source->plan.fields))
        gws_source_notice(source->stream, false,
                          "the API server does not select %s by these fields: they are looked at here",
                          lookup->kind.resource);
    if (source->resource->snapshots == NULL)
        on_loaded(source, &nothing);
    else if (source_load(source) < 0)
        source_fail(source);
}

static void on_waiting(struct lookup *lookup, const char *words)
{
    struct source *source = GW_CONTAINER_OF(lookup, struct source, lookup);

    source->unwell = true;
    gws_source_notice(source->stream, true, "%s", words);
}

/* ---- life ---- */

static int source_plan(struct source *source, const struct resource_config *config, struct gw_reason *reason)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};

    GW_TRY(plan_make(&source->plan, config, &problems));
    if (!gw_problems_any(&problems))
        return 0;
    gw_problems_reason(&problems, reason);
    return GW_RAISE(-EINVAL);
}

int source_start(struct source *source, struct resource *resource, struct gws_source *stream,
                 const struct resource_config *config, struct gw_view position, struct gw_reason *reason)
{
    struct gw_kube *kube = NULL;

    source->resource = resource;
    source->stream = stream;
    GW_TRY(source_plan(source, config, reason));
    GW_TRY(gws_server_kube(resource->server, &kube, reason));
    if (resource->feeds == NULL)
        GW_TRY(feeds_open(&resource->feeds, kube));
    gw_bytes_append_view(&source->position, position);
    if (source->position.failed)
        return GW_RAISE(-ENOMEM);
    GW_TRY(ledger_open(&source->ledger));
    GW_TRY(gw_timer_open(&source->timer, resource->loop, on_save, source));
    source->lookup.kube = kube;
    source->lookup.plan = &source->plan;
    source->lookup.done = on_found;
    source->lookup.waiting = on_waiting;
    GW_TRY(lookup_open(&source->lookup));
    source->next = resource->sources;
    source->link = &resource->sources;
    if (source->next != NULL)
        source->next->link = &source->next;
    resource->sources = source;
    return 0;
}

/* What is acknowledged by now; the rest is told again. Without all of its places it would forget those that are missing. */
static void source_save_last(struct source *source)
{
    if (source->snapshot == NULL || source->places_count < source->plan.namespaces_count ||
        gws_source_withdrawn(source->stream))
        return;
    source_settle(source);
    (void)!source_save(source); /* without memory the snapshot is a second older */
}

void source_stop(struct source *source)
{
    if (source->link != NULL) {
        *source->link = source->next;
        if (source->next != NULL)
            source->next->link = source->link;
    }
    source_save_last(source);
    for (size_t i = 0; i < source->places_count; i++)
        place_close(&source->places[i]);
    free(source->places);
    snapshot_close(source->snapshot, gws_source_withdrawn(source->stream));
    lookup_close(&source->lookup);
    if (source->timer != NULL)
        gw_timer_close(source->timer);
    ledger_close(source->ledger);
    ledger_rows_done(&source->rows);
    gw_bytes_done(&source->saved);
    gw_bytes_done(&source->position);
    gw_bytes_done(&source->labels);
    gw_bytes_done(&source->fields);
    plan_done(&source->plan);
}

size_t source_objects(const struct source *source)
{
    size_t count = 0;

    for (size_t i = 0; i < source->places_count; i++)
        count += gw_kube_known_count(source->places[i].member.known);
    return count;
}
