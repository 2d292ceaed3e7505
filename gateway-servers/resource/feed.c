/* Feed: who shares which watch. */
#include "gateway-servers/resource/feed.h"

#include "common/clock.h"
#include "common/log.h"

#include <stdlib.h>

struct feed {
    struct feeds *feeds;
    struct feed *next, **link;
    char *path, *labels, *fields;
    struct feed_member *members;
    struct gw_kube_watch *watch; /* NULL: not opened yet */
    char from[POSITION_VERSION_MAX];
    bool exact; /* a list of what there was at `from` was asked for */
    bool live, in_list, paused;
    bool well;
    char *words; /* of the last state; NULL: none was told */
};

struct feeds {
    struct gw_kube *kube;
    struct feed *all;
    struct feed_member *waiting;
    struct gw_timer *timer;
    int64_t due_ms; /* when it fires; 0: it does not run */
};

/* ---- members in and out ---- */

static void member_link(struct feed_member *member, struct feed_member **list)
{
    while (*list != NULL) /* at the end: in the order of coming */
        list = &(*list)->next;
    member->next = NULL;
    member->link = list;
    *list = member;
}

static void member_unlink(struct feed_member *member)
{
    *member->link = member->next;
    if (member->next != NULL)
        member->next->link = member->link;
    member->next = NULL;
    member->link = NULL;
}

static void feed_enter(struct feed *feed, struct feed_member *member)
{
    member_unlink(member);
    member_link(member, &feed->members);
    member->feed = feed;
    if (feed->words != NULL)
        member->hooks->state(member, feed->well, feed->words);
}

static struct feed *feed_free(struct feed *feed)
{
    if (feed == NULL)
        return NULL;
    if (feed->link != NULL) {
        *feed->link = feed->next;
        if (feed->next != NULL)
            feed->next->link = feed->link;
    }
    gw_kube_watch_close(feed->watch);
    free(feed->path);
    free(feed->labels);
    free(feed->fields);
    free(feed->words);
    free(feed);
    return NULL;
}
GW_DEFINE_CLEANUP(struct feed *, feed_free)

static bool is_alone(const struct feed_member *member)
{
    return member->feed->members == member && member->next == NULL;
}

/* ---- what the watch says ---- */

static void on_object(void *user, const struct gw_kube_object *object)
{
    struct feed *feed = user;
    struct sighting sighting;

    if (!sighting_read(&sighting, object, gw_clock_realtime_ns())) {
        gw_log(GW_LOG_ERROR, "the API server sent an object that is no JSON: left out", "path", feed->path,
               "name", object->name, NULL);
        return;
    }
    for (struct feed_member *member = feed->members, *next; member != NULL; member = next) {
        next = member->next; /* it may pause, which takes it out */
        member->hooks->see(member, &sighting);
    }
    sighting_done(&sighting);
}

static void on_listing(void *user)
{
    struct feed *feed = user;

    feed->in_list = true;
    for (struct feed_member *member = feed->members; member != NULL; member = member->next)
        member->hooks->list(member);
}

static void feeds_settle_soon(struct feeds *feeds, int64_t wait_ms)
{
    int64_t due_ms = gw_loop_now_ms(gw_kube_loop(feeds->kube)) + wait_ms;

    if (feeds->due_ms > 0 && feeds->due_ms <= due_ms)
        return;
    feeds->due_ms = due_ms;
    gw_timer_start(feeds->timer, wait_ms);
}

static void on_synced(void *user, const char *list_version)
{
    struct feed *feed = user;
    bool exact = list_version != NULL && feed->exact && strcmp(list_version, feed->from) == 0;

    feed->live = true;
    feed->in_list = false;
    feed->exact = false;
    for (struct feed_member *member = feed->members, *next; member != NULL; member = next) {
        next = member->next;
        member->hooks->synced(member, list_version, exact);
    }
    feeds_settle_soon(feed->feeds, FEED_GATHER_MS); /* there may be another one to merge with */
}

static void on_progressed(void *user, const char *version)
{
    struct feed *feed = user;

    for (struct feed_member *member = feed->members; member != NULL; member = member->next)
        member->hooks->progressed(member, version);
}

static void on_state(void *user, bool well, const char *words)
{
    struct feed *feed = user;

    free(feed->words);
    feed->words = strdup(words);
    feed->well = well;
    for (struct feed_member *member = feed->members; member != NULL; member = member->next)
        member->hooks->state(member, well, words);
}

/* ---- opening ---- */

static int feed_new(struct feeds *feeds, const struct feed_member *like, struct feed **ret_feed)
{
    GW_AUTO(feed_freep) struct feed *feed = calloc(1, sizeof(*feed));

    if (feed == NULL)
        return GW_RAISE(-ENOMEM);
    feed->feeds = feeds;
    feed->path = strdup(like->path);
    feed->labels = strdup(like->labels);
    feed->fields = strdup(like->fields);
    if (feed->path == NULL || feed->labels == NULL || feed->fields == NULL)
        return GW_RAISE(-ENOMEM);
    feed->next = feeds->all;
    feed->link = &feeds->all;
    if (feed->next != NULL)
        feed->next->link = &feed->next;
    feeds->all = feed;
    *ret_feed = GW_TAKE(feed);
    return 0;
}

static int feed_open(struct feed *feed)
{
    const struct gw_kube_watch_options options = {
        .path = feed->path,
        .label_selector = feed->labels[0] == '\0' ? NULL : feed->labels,
        .field_selector = feed->fields[0] == '\0' ? NULL : feed->fields,
        .resource_version = feed->from[0] == '\0' ? NULL : feed->from,
        .list_at_version = feed->exact,
        .keeps_nothing = true,
        .object = on_object,
        .listing = on_listing,
        .synced = on_synced,
        .progressed = on_progressed,
        .state = on_state,
        .user = feed,
    };

    return gw_kube_watch_open(&feed->watch, feed->feeds->kube, &options);
}

/* ---- who goes where ---- */

static bool same_text(const struct feed *feed, const char *path, const char *labels, const char *fields)
{
    return strcmp(feed->path, path) == 0 && strcmp(feed->labels, labels) == 0 &&
           strcmp(feed->fields, fields) == 0;
}

static bool is_open_to_all(const struct feed *feed)
{
    return feed->watch != NULL && feed->live && !feed->in_list && !feed->paused;
}

/* Whoever has seen all up to `from` misses nothing in this feed. */
static bool feed_suits(const struct feed *feed, const char *from)
{
    return is_open_to_all(feed) && from[0] != '\0' &&
           version_within(gw_kube_watch_version(feed->watch), from);
}

/* One that is not opened yet can still begin earlier. */
static bool feed_can_begin(const struct feed *feed, const char *from)
{
    if (feed->watch != NULL || (feed->from[0] == '\0') != (from[0] == '\0'))
        return false;
    return version_within(feed->from, from) || version_within(from, feed->from);
}

static void feed_begin_at(struct feed *feed, const char *from, bool exact)
{
    if (feed->from[0] == '\0' || version_within(from, feed->from))
        memcpy(feed->from, from, strlen(from) + 1);
    feed->exact |= exact;
}

static int member_place(struct feeds *feeds, struct feed_member *member)
{
    bool exact = false;
    const char *from = member->hooks->from(member, &exact);
    struct feed *feed = feeds->all;

    while (feed != NULL &&
           !(same_text(feed, member->path, member->labels, member->fields) &&
             (exact ? feed_can_begin(feed, from) : feed_suits(feed, from) || feed_can_begin(feed, from))))
        feed = feed->next;
    if (feed == NULL)
        GW_TRY(feed_new(feeds, member, &feed));
    if (feed->watch == NULL)
        feed_begin_at(feed, from, exact);
    feed_enter(feed, member);
    if (feed->watch != NULL)
        member->hooks->synced(member, NULL, false);
    return 0;
}

/* Another live feed of the same, that this one has seen as much as. */
static struct feed *feed_find_like(const struct feed *feed)
{
    for (struct feed *other = feed->feeds->all; other != NULL; other = other->next)
        if (other != feed && same_text(other, feed->path, feed->labels, feed->fields) &&
            feed_suits(other, gw_kube_watch_version(feed->watch)))
            return other;
    return NULL;
}

static void feed_merge(struct feed *feed)
{
    struct feed *other = is_open_to_all(feed) ? feed_find_like(feed) : NULL;

    if (other == NULL)
        return;
    while (feed->members != NULL)
        feed_enter(other, feed->members);
    feed_free(feed);
}

/* Feeds of the same stay apart until one of them catches up: worth another look. */
static bool feeds_are_apart(const struct feeds *feeds)
{
    for (const struct feed *feed = feeds->all; feed != NULL; feed = feed->next)
        for (const struct feed *other = feed->next; other != NULL; other = other->next)
            if (same_text(other, feed->path, feed->labels, feed->fields))
                return true;
    return false;
}

static void on_settle(void *user)
{
    struct feeds *feeds = user;
    int fault = 0;

    feeds->due_ms = 0;
    for (struct feed_member *member = feeds->waiting, *next; member != NULL && fault == 0; member = next) {
        next = member->next;
        fault = member->paused ? 0 : member_place(feeds, member);
    }
    for (struct feed *feed = feeds->all; feed != NULL && fault == 0; feed = feed->next)
        fault = feed->watch == NULL ? feed_open(feed) : 0;
    for (struct feed *feed = feeds->all, *next; feed != NULL; feed = next) {
        next = feed->next;
        feed_merge(feed);
    }
    if (fault < 0 || feeds_are_apart(feeds)) /* without memory: again, when there may be some */
        feeds_settle_soon(feeds, FEED_SETTLE_MS);
}

/* ---- for members ---- */

void feed_join(struct feeds *feeds, struct feed_member *member)
{
    member->feeds = feeds;
    member_link(member, &feeds->waiting);
    feeds_settle_soon(feeds, FEED_GATHER_MS);
}

void feed_leave(struct feed_member *member)
{
    struct feed *feed = member->feed;

    if (member->link == NULL)
        return;
    member_unlink(member);
    member->feed = NULL;
    if (feed != NULL && feed->members == NULL)
        feed_free(feed);
}

/* Nobody else is in this feed: it stops, and goes on, where it is. */
static void feed_pause(struct feed *feed, bool paused)
{
    feed->paused = paused;
    gw_kube_watch_set_paused(feed->watch, paused);
    if (!paused)
        feeds_settle_soon(feed->feeds, FEED_SETTLE_MS);
}

void feed_set_paused(struct feed_member *member, bool paused)
{
    struct feed *feed = member->feed;

    if (member->paused == paused)
        return;
    member->paused = paused;
    if (member->link == NULL)
        return;
    if (feed == NULL) {
        feeds_settle_soon(member->feeds, FEED_GATHER_MS);
    } else if (feed->watch != NULL && is_alone(member)) {
        feed_pause(feed, paused);
    } else if (paused) {
        member_unlink(member);
        member->feed = NULL;
        member_link(member, &member->feeds->waiting);
        if (feed->members == NULL)
            feed_free(feed);
    }
}

/* ---- life ---- */

int feeds_open(struct feeds **ret_feeds, struct gw_kube *kube)
{
    struct feeds *feeds = calloc(1, sizeof(*feeds));

    if (feeds == NULL)
        return GW_RAISE(-ENOMEM);
    feeds->kube = kube;
    int fault = gw_timer_open(&feeds->timer, gw_kube_loop(kube), on_settle, feeds);
    if (fault < 0) {
        free(feeds);
        return fault;
    }
    *ret_feeds = feeds;
    return 0;
}

struct feeds *feeds_close(struct feeds *feeds)
{
    if (feeds == NULL)
        return NULL;
    assert(feeds->waiting == NULL && feeds->all == NULL);
    gw_timer_close(feeds->timer);
    free(feeds);
    return NULL;
}

size_t feeds_count(const struct feeds *feeds)
{
    size_t count = 0;

    for (const struct feed *feed = feeds->all; feed != NULL; feed = feed->next)
        count += feed->watch != NULL && !feed->paused;
    return count;
}
