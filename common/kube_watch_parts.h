/* What the rooms of a watch know of each other: kube_watch.c (its life: requests, waits), kube_watch_take.c (what came of
 * them, compared with what is known, told to the user). Nobody else includes this. */
#ifndef GW_KUBE_WATCH_PARTS_H
#define GW_KUBE_WATCH_PARTS_H

#include "common/backoff.h"
#include "common/kube_known.h"
#include "common/kube_object.h"
#include "common/kube_watch.h"

enum watch_step {
    WATCH_LIST,  /* page after page */
    WATCH_PROBE, /* one object: is the API server there, and its history still ours? */
    WATCH_FOLLOW /* the watch itself */
};

struct gw_kube_watch {
    struct gw_kube *kube;
    struct gw_kube_watch_options options;
    struct gw_arena arena;       /* of the texts in `options`, and of: */
    const char *selectors;       /* "&fieldSelector=…&labelSelector=…", or "" */
    struct gw_kube_known *known; /* empty when nothing is kept */

    enum watch_step step;      /* under way when there is a call, else what is done when the timer fires */
    struct gw_kube_call *call; /* NULL: waiting, or paused */
    struct gw_timer *timer;    /* the wait; during a watch its end, should the API server forget it */
    struct gw_backoff backoff;
    int64_t began_ms, failed_ms; /* the step; the last failure */
    int64_t gone_ms;             /* when history was gone last; 0: never */
    size_t page_max;             /* 0: the whole list in one */

    struct gw_bytes text; /* a page, or the part of a line that is here */
    struct gw_bytes version, continue_;
    struct gw_bytes meta_room, item, words;

    bool complete;   /* all there was at `version` is known */
    bool at_version; /* the list to come is that of `version` */
    bool list_begun; /* listing() was told */
    bool paused, waiting;
    bool list_held;   /* the pause fell between two pages */
    bool heard;       /* since the step began: an event, a bookmark, a page */
    bool told, well;  /* what state() was told last, if anything */
    bool failing;     /* since it was well last; perhaps not told yet */
    bool synced_once; /* … behind `resource_version` */
    bool closed;      /* by the user, from within a callback: freed when that has returned */
    int inside;
};

/* What stopped the reading of a page or a line. > 0: verdicts of watch_take_… */
enum {
    WATCH_CLOSED = 1, /* the user has closed it: touch nothing */
    WATCH_GONE,       /* the version is too old (or too new): list again */
    WATCH_BAD         /* no sense in it: `words` say so */
};
/* A page's items. */
int watch_take_page(struct gw_kube_watch *watch, struct gw_view text) GW_MUST_CHECK;
/* The list is through: what was not in it is gone. */
int watch_take_missing(struct gw_kube_watch *watch) GW_MUST_CHECK;
/* Bytes of a watch's stream. */
int watch_take_bytes(struct gw_kube_watch *watch, struct gw_view bytes) GW_MUST_CHECK;

/* Empties `text`; gives large memory back; wipes what is secret. */
void watch_text_clear(struct gw_kube_watch *watch);
/* A C string, unless it `failed`: no memory. */
void watch_text_set(struct gw_bytes *bytes, const char *text);

/* A page or a line may be this large. etcd takes objects of 1.5 MiB, others' API servers larger ones. */
#define WATCH_TEXT_MAX ((size_t)64 << 20)

#endif
