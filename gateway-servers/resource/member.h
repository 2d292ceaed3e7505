/* Member: one namespace (or all) of an event source. It knows the objects inside the source's filter, and decides what a
 * sighting means: news, or nothing new. Pure: feeds call it, its hooks tell and note.
 *
 *                  what is known at first          a list tells                         then
 *     fresh        nothing                         what exists: learnt, or replayed     complete
 *     complete     all there was at `from`         the difference; what is missing went
 *     incomplete   nothing, although told up to    what is newer than `seen`; what went
 *                  `seen`: there is no snapshot    meanwhile stays unknown              complete
 *
 * `seen` is the version up to which all was told: watches may tell it again, and it means nothing then. */
#ifndef RESOURCE_MEMBER_H
#define RESOURCE_MEMBER_H

#include "gateway-servers/resource/plan.h"
#include "gateway-servers/resource/position.h"
#include "gateway-servers/resource/sighting.h"

struct member;

/* What a source may have to be told. Borrowed during the call. */
struct member_event {
    enum change change;
    struct gw_kube_id id;      /* id.version: of the sighting; missing: `seen`, since when it is gone */
    struct sighting *sighting; /* NULL: it was missing from a list */
    const struct kept *old;    /* its state before, as far as it is known */
    bool listed;               /* not in the order of versions */
};

/* Faults are handed up by whatever call led here. */
struct member_hooks {
    int (*tell)(struct member *member, const struct member_event *event);
    /* An object came into the filter, or changed in what is marked; or left. */
    int (*note)(struct member *member, const struct gw_kube_id *id, uint64_t mark, bool inside);
};

struct member {
    const struct member_hooks *hooks;
    void *user;
    const struct plan *plan; /* borrowed, as the next */
    const char *namespace_;
    bool others;             /* as in selector_is_remote() */
    int64_t since_ns, at_ns; /* of the source; of `seen`, 0: not known */
    struct gw_kube_known *known;
    char seen[POSITION_VERSION_MAX]; /* "": fresh */
    bool complete;
};

/* The fields up to at_ns are the caller's to fill first. */
int member_open(struct member *member) GW_MUST_CHECK;
void member_close(struct member *member);
static inline bool member_is_fresh(const struct member *member)
{
    return member->seen[0] == '\0';
}

/* Of a snapshot: it was inside. `id->version` may be older than `seen`. */
int member_know(struct member *member, const struct gw_kube_id *id, uint64_t mark) GW_MUST_CHECK;
/* An object was seen, by a list or a watch. */
int member_see(struct member *member, struct sighting *sighting) GW_MUST_CHECK;
/* Everything up to this version was told. */
void member_progress(struct member *member, const char *version);
/* A list begins, is through. `exact`: it told what there was when the source had been told all, so it holds no news. Verdict
 * MEMBER_HISTORY: the API server's history is an older one than what was seen of it. */
enum { MEMBER_HISTORY = 1 };
void member_list(struct member *member);
int member_listed(struct member *member, const char *version, bool exact) GW_MUST_CHECK;

#endif
