/* Looking into what the API server sends, without parsing it into trees: objects, lists, and the lines of a watch. Pure.
 * Nothing is checked beyond what is looked for: the texts are the API server's own. */
#ifndef GW_KUBE_OBJECT_H
#define GW_KUBE_OBJECT_H

#include "common/bytes.h"

/* Of an object's metadata, or a list's. "" for what is not there. */
struct gw_kube_meta {
    const char *namespace_, *name, *uid, *resource_version;
    const char *continue_; /* lists */
};
/* The texts are put into `room` (cleared first), and stay there. False: not an object with metadata, or no memory. */
bool gw_kube_meta_read(struct gw_view object, struct gw_bytes *room, struct gw_kube_meta *ret_meta);

/* One page of a list. Views into it. */
struct gw_kube_page {
    struct gw_view api_version, kind; /* of its items: raw, without quotes; "" when the list does not say */
    struct gw_view items;             /* for gw_json_walk(); empty when null */
};
/* False: that is no list. */
bool gw_kube_page_read(struct gw_view text, struct gw_kube_page *ret_page);
/* Appends the item, with apiVersion and kind in front if it has none of its own. */
void gw_kube_item_write(struct gw_bytes *out, const struct gw_kube_page *page, struct gw_view item);

/* One line of a watch. */
enum gw_kube_event_type {
    GW_KUBE_EVENT_ADDED,
    GW_KUBE_EVENT_MODIFIED,
    GW_KUBE_EVENT_DELETED,
    GW_KUBE_EVENT_BOOKMARK,
    GW_KUBE_EVENT_ERROR /* the object is a Status */
};
/* False: that is no event, or of a type that we do not know. */
bool gw_kube_event_read(struct gw_view line, enum gw_kube_event_type *ret_type, struct gw_view *ret_object);

/* A Status object: its code (0: none), and its message appended to `message`. */
int gw_kube_status_read(struct gw_view status, struct gw_bytes *message);

#endif
