/* Position: up to where a source has told all, as text that a person can read. Pure.
 *
 *     deployments.apps at=2026-03-01T08:30:00Z since=2026-02-28T17:00:00Z /shop=48213 /billing=48190
 *
 * The resource it belongs to; when this was; since when the source runs (for afterStart); and for each namespace ("/" alone: all)
 * the resourceVersion that was seen last. Words that are not known are of a newer server, and skipped. */
#ifndef RESOURCE_POSITION_H
#define RESOURCE_POSITION_H

#include "common/bytes.h"

enum { POSITION_VERSION_MAX = 64 };

void position_begin(struct gw_bytes *out, const char *resource, const char *group, int64_t at_ns,
                    int64_t since_ns);
void position_add(struct gw_bytes *out, const char *namespace_, const char *version);

struct position {
    struct gw_view text;
    bool of_resource;        /* it belongs to the resource that was asked for */
    int64_t at_ns, since_ns; /* 0: not said */
};
/* The text is borrowed. */
struct position position_read(struct gw_view text, const char *resource, const char *group);
/* The version of a namespace; false: the position says none. */
bool position_version(const struct position *position, const char *namespace_,
                      char ret_version[static POSITION_VERSION_MAX]);

/* Whether everything up to and including `a` is seen by who has seen `b`. Versions are numbers, as Kubernetes promises from 1.35 on;
 * of others only equal ones are. "" comes before all. */
bool version_within(const char *a, const char *b);

#endif
