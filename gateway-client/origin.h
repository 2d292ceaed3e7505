/* An origin: where a configuration document comes from, what it says now, and when that has changed.
 *
 *     PATH                         a file, or a directory of event sources
 *     gateway:[NAMESPACE/]NAME     the Gateway resource of the API server
 *     configmap:[NAMESPACE/]NAME   a ConfigMap of the API server
 *
 * An object of the API server comes and goes:
 *
 *     ┌─────────┐ listed  ┌─────────┐      ┌─────────┐  deleted   ┌─────────┐  grace is over  ┌──────┐
 *     │ unheard │ ──────▶ │ absent  │ ───▶ │ present │ ─────────▶ │ leaving │ ──────────────▶ │ gone │
 *     └─────────┘         └─────────┘      └────▲────┘ ◀───────── └─────────┘                 └──┬───┘
 *                                               └───────────────── made again ───────────────────┘
 *
 * Its document is there while it is present or leaving, whether the API server can be reached or not. Loop thread only. */
#ifndef GWC_ORIGIN_H
#define GWC_ORIGIN_H

#include "gateway-client/sources.h"

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

struct gwc_origin;

struct gwc_origin_options {
    struct gw_loop *loop;
    /* The document is another now, or there is none any more: read it. May close the origin. */
    void (*changed)(void *user);
    void *user;
};

/* The name is copied. From now on every change is told. */
int gwc_origin_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                    const struct gwc_origin_options *options) GW_MUST_CHECK;
struct gwc_origin *gwc_origin_close(struct gwc_origin *origin);
GW_DEFINE_CLEANUP(struct gwc_origin *, gwc_origin_close)

/* For messages: the path, or "configmap shop/events". */
const char *gwc_origin_label(const struct gwc_origin *origin);
enum gwc_origin_kind gwc_origin_kind(const struct gwc_origin *origin);

/* Reads the document as it is now. Verdict GWC_ORIGIN_BAD: problems say why it cannot be used; they are about the label,
 * when they do not name a file. */
enum { GWC_ORIGIN_BAD = 1 };
int gwc_origin_read_spec(const struct gwc_origin *origin, struct gwc_spec **ret_spec,
                         struct gw_problems *problems) GW_MUST_CHECK;
int gwc_origin_read_sources(const struct gwc_origin *origin, const struct gwc_spec *spec,
                            struct gwc_sources **ret_sources, struct gw_problems *problems) GW_MUST_CHECK;

#endif
