/* What is known of a collection's objects: names, uid and version of each, as compact as can be, so that a new list can be
 * compared with the old one. Pure; one thread at a time. */
#ifndef GW_KUBE_KNOWN_H
#define GW_KUBE_KNOWN_H

#include "common/bytes.h"
#include "common/fault.h"

struct gw_kube_known;

int gw_kube_known_open(struct gw_kube_known **ret_known) GW_MUST_CHECK;
/* With so many bytes of the user's own beside each object. */
int gw_kube_known_open_with(struct gw_kube_known **ret_known, size_t extra_size) GW_MUST_CHECK;
struct gw_kube_known *gw_kube_known_close(struct gw_kube_known *known);
GW_DEFINE_CLEANUP(struct gw_kube_known *, gw_kube_known_close)
size_t gw_kube_known_count(const struct gw_kube_known *known);

/* Which object, and which state of it. Never NULL; "" for none. */
struct gw_kube_id {
    const char *namespace_, *name, *uid, *version;
};

/* How an object stands to what was known of its name. */
enum gw_kube_news {
    GW_KUBE_NEWS_NONE,    /* this version of it is known */
    GW_KUBE_NEWS_NEW,     /* nothing was known */
    GW_KUBE_NEWS_CHANGED, /* another version of the same object */
    GW_KUBE_NEWS_REPLACED /* another object of that name, by its uid */
};
enum gw_kube_news gw_kube_known_compare(const struct gw_kube_known *known, const struct gw_kube_id *id);

/* An object, taken out or looked at. */
struct gw_kube_entry;
struct gw_kube_id gw_kube_entry_id(const struct gw_kube_entry *entry); /* borrowed from it */

/* The user's own bytes, aligned for anything: zeroed at first, and kept when another version of the same object is put. What they
 * point to is the user's to end. */
void *gw_kube_entry_extra(const struct gw_kube_entry *entry);

/* NULL: there is none of that name. Borrowed until the next change. */
const struct gw_kube_entry *gw_kube_known_find(const struct gw_kube_known *known, const char *namespace_,
                                               const char *name);
/* Known from now on, instead of what was known of that name; and seen. Everything is copied. -EMSGSIZE: a text of over
 * 65,535 bytes. */
int gw_kube_known_put(struct gw_kube_known *known, const struct gw_kube_id *id) GW_MUST_CHECK;
/* Takes out what is known of that name, NULL: nothing. free() it. */
struct gw_kube_entry *gw_kube_known_take(struct gw_kube_known *known, const char *namespace_,
                                         const char *name);

/* A list begins: nothing is seen yet. */
void gw_kube_known_begin(struct gw_kube_known *known);
/* It is in the list as it was known. */
void gw_kube_known_see(struct gw_kube_known *known, const char *namespace_, const char *name);
/* The list is through: takes out one object that was not seen, NULL when there is none left. free() it. */
struct gw_kube_entry *gw_kube_known_take_missing(struct gw_kube_known *known);

#endif
