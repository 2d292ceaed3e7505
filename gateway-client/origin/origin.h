/* An origin: where a configuration document comes from, what it says now, and when that has changed.
 *
 *     PATH                         a file, or a directory of event sources
 *     gateway:[NAMESPACE/]NAME     the Gateway resource of the API server
 *     configmap:[NAMESPACE/]NAME   a ConfigMap of the API server
 *
 * An object of the API server comes and goes:
 *
 *     ┌─────────┐ listed  ┌────────┐ made   ┌─────────┐  deleted   ┌─────────┐  grace is over  ┌──────┐
 *     │ unheard │ ──────▶ │ absent │ ─────▶ │ present │ ─────────▶ │ leaving │ ──────────────▶ │ gone │
 *     └─────────┘         └────────┘        └─────────┘ ◀───────── └─────────┘                 └──────┘
 *                                                ▲       made again                                │
 *                                                └─────────────────────────────────────────────────┘
 *
 * Its document is there while it is present or leaving, whether the API server can be reached or not; the grace period runs
 * only while it can. Loop thread only. */
#ifndef GWC_ORIGIN_H
#define GWC_ORIGIN_H

#include "gateway-client/spec/sources.h"

struct gw_kube;
struct gw_loop;

enum gwc_origin_kind { GWC_ORIGIN_FILE, GWC_ORIGIN_GATEWAY, GWC_ORIGIN_CONFIGMAP };

/* An origin as people write it, taken apart. */
enum { GWC_ORIGIN_NAMESPACE_MAX = 63, GWC_ORIGIN_NAME_MAX = 253 };
struct gwc_origin_name {
    enum gwc_origin_kind kind;
    const char *path;                              /* of a file; borrowed from the text */
    char namespace_[GWC_ORIGIN_NAMESPACE_MAX + 1]; /* of an object; "": not said */
    char name[GWC_ORIGIN_NAME_MAX + 1];
};
/* -EINVAL with words: "configmap:" without a name, or a name that no object can have (RFC 1123). */
int gwc_origin_parse(struct gwc_origin_name *ret_name, const char *text,
                     struct gw_reason *reason) GW_MUST_CHECK;

/* The ConfigMap that the spec names; false: none. */
bool gwc_origin_of_spec(struct gwc_origin_name *ret_name, const struct gwc_spec *spec);

enum gwc_origin_state {
    GWC_ORIGIN_UNHEARD, /* the API server has not told yet */
    GWC_ORIGIN_ABSENT,  /* not there yet */
    GWC_ORIGIN_PRESENT,
    GWC_ORIGIN_LEAVING, /* deleted; what it said stays in force for the grace period */
    GWC_ORIGIN_GONE,    /* deleted, and the grace period is over */
};
extern const char *const gwc_origin_state_names[]; /* in enum order */

struct gwc_origin;

struct gwc_origin_options {
    struct gw_loop *loop;
    struct gw_kube *kube;   /* objects of the API server only */
    const char *namespace_; /* of an object whose name does not say one */
    int64_t grace_ms;       /* from the deletion of an object to the end of what it said; 0: none */
    /* The document is another now, or there is none any more: read it. Changes of an object that are none of its document
     * (its status, its labels) are not told. May close the origin. */
    void (*changed)(void *user);
    /* The state or its words are others now. May be NULL. Must not close the origin. */
    void (*told)(void *user);
    /* The object as the API server wrote it, each time that it is seen, JSON. May be NULL. Must not close the origin. */
    void (*seen)(void *user, struct gw_view object);
    void *user;
};

/* Names are copied. From now on every change is told, never from within this call. */
int gwc_origin_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                    const struct gwc_origin_options *options) GW_MUST_CHECK;
struct gwc_origin *gwc_origin_close(struct gwc_origin *origin);
GW_DEFINE_CLEANUP(struct gwc_origin *, gwc_origin_close)

/* For messages: the path, or "configmap shop/events"; NULL gives "". */
const char *gwc_origin_label(const struct gwc_origin *origin);
enum gwc_origin_kind gwc_origin_kind(const struct gwc_origin *origin);
enum gwc_origin_state gwc_origin_state(const struct gwc_origin *origin);
/* The object as the API server wrote it last, JSON; empty: a file, or the object is not there. Borrowed until the next turn. */
struct gw_view gwc_origin_object(const struct gwc_origin *origin);
/* What there is to say of the state: that it is waited for, how long it stays in force, why the API server does not tell;
 * false, with no words: nothing, all is well. */
bool gwc_origin_words(const struct gwc_origin *origin, struct gw_reason *words);
/* Is it that of this name? `namespace_` as in the options. */
bool gwc_origin_is(const struct gwc_origin *origin, const struct gwc_origin_name *name,
                   const char *namespace_);

/* Reads the document as it is now. Verdicts: GWC_ORIGIN_BAD: problems say why it cannot be used; they are about the label,
 * when they do not name a file. GWC_ORIGIN_NONE: an object is not there, gwc_origin_words() say why. */
enum { GWC_ORIGIN_BAD = 1, GWC_ORIGIN_NONE };
int gwc_origin_read_spec(struct gwc_origin *origin, struct gwc_spec **ret_spec,
                         struct gw_problems *problems) GW_MUST_CHECK;
int gwc_origin_read_sources(struct gwc_origin *origin, const struct gwc_spec *spec,
                            struct gwc_sources **ret_sources, struct gw_problems *problems) GW_MUST_CHECK;

#endif
