/* Member: what a sighting means. */
#include "gateway-servers/resource/member.h"

#include <stdlib.h>

/* Beside each object that is known. */
struct beside {
    uint64_t mark;    /* of filter.changed; 0: not known */
    struct kept *old; /* NULL: not wanted, or not known */
    bool stale;       /* of a snapshot: up to `seen` it may have changed, and that was told */
};

static void seen_set(struct member *member, const char *version)
{
    if (strlen(version) < sizeof(member->seen))
        memcpy(member->seen, version, strlen(version) + 1);
}

/* ---- life ---- */

int member_open(struct member *member)
{
    return gw_kube_known_open_with(&member->known, sizeof(struct beside));
}

void member_close(struct member *member)
{
    struct gw_kube_entry *entry;

    if (member->known == NULL)
        return;
    gw_kube_known_begin(member->known);
    while ((entry = gw_kube_known_take_missing(member->known)) != NULL) {
        kept_drop(((struct beside *)gw_kube_entry_extra(entry))->old);
        free(entry);
    }
    member->known = gw_kube_known_close(member->known);
}

int member_know(struct member *member, const struct gw_kube_id *id, uint64_t mark)
{
    GW_TRY(gw_kube_known_put(member->known, id));
    *(struct beside *)gw_kube_entry_extra(gw_kube_known_find(member->known, id->namespace_, id->name)) =
        (struct beside){.mark = mark, .stale = true};
    return 0;
}

/* ---- learning: what is told is noted after it, so that a snapshot never knows more than was told ---- */

static uint64_t member_mark(const struct member *member, const struct sighting *sighting)
{
    const struct plan *plan = member->plan;

    return plan->changed_count == 0 ? 0
                                    : path_mark(plan->changed, plan->changed_count, sighting->object.json);
}

/* What was beside it before is the caller's, to be done with by beside_done(). */
static int member_learn(struct member *member, struct sighting *sighting, uint64_t mark,
                        struct beside *ret_before)
{
    const struct gw_kube_id *id = &sighting->id;
    struct beside now = {.mark = mark};

    if (member->plan->keeps_objects)
        GW_TRY(sighting_keep(sighting, member->plan->managed_fields, &now.old));
    int fault = gw_kube_known_put(member->known, id);
    if (fault < 0) {
        kept_drop(now.old);
        return fault;
    }
    struct beside *beside = gw_kube_entry_extra(gw_kube_known_find(member->known, id->namespace_, id->name));
    *ret_before = *beside;
    *beside = now;
    return 0;
}

static void beside_done(struct beside *beside)
{
    beside->old = kept_drop(beside->old);
}

static int member_tell(struct member *member, enum change change, struct sighting *sighting,
                       const struct kept *old)
{
    const struct member_event event = {change, sighting->id, sighting, old, sighting->listed};

    return member->plan->told[change] ? member->hooks->tell(member, &event) : 0;
}

/* ---- what went ---- */

static void entry_free(struct gw_kube_entry *entry)
{
    kept_drop(((struct beside *)gw_kube_entry_extra(entry))->old);
    free(entry);
}

/* Known, and not there any more, although nobody said so. */
static int member_lose(struct member *member, struct gw_kube_entry *entry, bool listed, bool told)
{
    const struct beside *beside = gw_kube_entry_extra(entry);
    struct member_event event = {CHANGE_DELETE, gw_kube_entry_id(entry), NULL, beside->old, listed};

    int fault = 0;
    event.id.version = member->seen;
    if (told && member->plan->told[CHANGE_DELETE])
        fault = member->hooks->tell(member, &event);
    if (fault == 0)
        fault = member->hooks->note(member, &event.id, 0, false);
    entry_free(entry);
    return fault;
}

/* Known, and seen leaving: deleted, or changed so that the filter does not hold any more. */
static int member_leave(struct member *member, struct sighting *sighting, bool told)
{
    struct gw_kube_entry *entry =
        gw_kube_known_take(member->known, sighting->id.namespace_, sighting->id.name);

    entry_free(entry);
    if (told)
        GW_TRY(member_tell(member, CHANGE_DELETE, sighting, NULL));
    return member->hooks->note(member, &sighting->id, 0, false);
}

static bool member_matches(const struct member *member, const struct sighting *sighting)
{
    return plan_matches(member->plan, member->others, member->since_ns, sighting->id.name, &sighting->object);
}

static int see_deleted(struct member *member, struct sighting *sighting, bool ahead)
{
    enum gw_kube_news news = gw_kube_known_compare(member->known, &sighting->id);

    if (news == GW_KUBE_NEWS_NONE || news == GW_KUBE_NEWS_CHANGED)
        return member_leave(member, sighting, ahead);
    if (news == GW_KUBE_NEWS_NEW && !member->complete && ahead && member_matches(member, sighting))
        return member_tell(member, CHANGE_DELETE, sighting, NULL);
    return 0;
}

/* ---- what came, or changed ---- */

/* Nothing was known of it. Who was told up to `seen`, but knows no objects, goes by when it was made. */
static enum change arrival(const struct member *member, const struct sighting *sighting)
{
    int64_t created_ns;

    if (member->complete || member_is_fresh(member))
        return CHANGE_ADD;
    if (!sighting->listed)
        return sighting->change == GW_KUBE_ADDED ? CHANGE_ADD : CHANGE_UPDATE;
    return member->at_ns > 0 && object_created(&sighting->object, &created_ns) && created_ns <= member->at_ns
               ? CHANGE_UPDATE
               : CHANGE_ADD;
}

static int see_new(struct member *member, struct sighting *sighting, bool ahead)
{
    GW_AUTO(beside_done) struct beside none = {0};
    uint64_t mark = member_mark(member, sighting);
    bool told = member_is_fresh(member) ? member->plan->replay : ahead;
    enum change change = arrival(member, sighting);

    GW_TRY(member_learn(member, sighting, mark, &none));
    if (told)
        GW_TRY(member_tell(member, change, sighting, NULL));
    return member->hooks->note(member, &sighting->id, mark, true);
}

static int see_again(struct member *member, struct sighting *sighting, bool told)
{
    GW_AUTO(beside_done) struct beside before = {0};
    uint64_t mark = member_mark(member, sighting);

    GW_TRY(member_learn(member, sighting, mark, &before));
    if (told && (mark == 0 || before.mark != mark))
        GW_TRY(member_tell(member, CHANGE_UPDATE, sighting, before.old));
    return before.mark == mark ? 0 : member->hooks->note(member, &sighting->id, mark, true);
}

/* Whether a known object's change is news. A list tells it in any order: what differs from what was known is news, unless a
 * snapshot knew less than had been told. */
static bool is_news(const struct member *member, const struct sighting *sighting, enum gw_kube_news news,
                    bool ahead)
{
    const struct gw_kube_id *id = &sighting->id;
    const struct beside *beside =
        gw_kube_entry_extra(gw_kube_known_find(member->known, id->namespace_, id->name));

    if (news == GW_KUBE_NEWS_NONE)
        return false;
    if (!sighting->listed)
        return ahead;
    return member_is_fresh(member) ? member->plan->replay : !beside->stale || ahead;
}

int member_see(struct member *member, struct sighting *sighting)
{
    const struct gw_kube_id *id = &sighting->id;
    bool ahead = !version_within(id->version, member->seen);

    if (ahead && !sighting->listed) {
        seen_set(member, id->version);
        member->at_ns = sighting->now_ns;
    }
    if (sighting->change == GW_KUBE_DELETED)
        return see_deleted(member, sighting, ahead);
    enum gw_kube_news news = gw_kube_known_compare(member->known, id);
    if (news == GW_KUBE_NEWS_REPLACED) {
        GW_TRY(member_lose(member, gw_kube_known_take(member->known, id->namespace_, id->name),
                           sighting->listed, !member_is_fresh(member) || member->plan->replay));
        news = GW_KUBE_NEWS_NEW;
    }
    bool inside = member_matches(member, sighting);
    if (news == GW_KUBE_NEWS_NEW)
        return inside ? see_new(member, sighting, ahead) : 0;
    bool told = is_news(member, sighting, news, ahead);
    return inside ? see_again(member, sighting, told) : member_leave(member, sighting, told);
}

/* ---- lists ---- */

void member_progress(struct member *member, const char *version)
{
    if (!version_within(version, member->seen))
        seen_set(member, version);
}

void member_list(struct member *member)
{
    gw_kube_known_begin(member->known);
}

int member_listed(struct member *member, const char *version, bool exact)
{
    bool told = !exact && (!member_is_fresh(member) || member->plan->replay);
    bool older = !exact && !version_within(member->seen, version);
    struct gw_kube_entry *entry;

    while ((entry = gw_kube_known_take_missing(member->known)) != NULL)
        GW_TRY(member_lose(member, entry, true, told));
    member->complete = true;
    if (!exact)
        seen_set(member, version);
    return older ? MEMBER_HISTORY : 0;
}
