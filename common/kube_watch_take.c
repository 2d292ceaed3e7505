/* What a watch is sent: pages and lines, compared with what is known, told to the user. After each of the user's callbacks
 * the watch may be closed: then nothing of it is touched any more but `closed`. */
#include "common/json.h"
#include "common/kube_watch_parts.h"

#include <stdlib.h>

enum { TEXT_KEPT_MAX = 1 << 20 };

void watch_text_clear(struct gw_kube_watch *watch)
{
    struct gw_bytes *texts[] = {&watch->text, &watch->item, &watch->meta_room};

    for (size_t i = 0; i < GW_COUNT_OF(texts); i++) {
        if (watch->options.secret && texts[i]->data != NULL)
            explicit_bzero(texts[i]->data, texts[i]->capacity);
        if (texts[i]->capacity > TEXT_KEPT_MAX)
            gw_bytes_done(texts[i]);
        gw_bytes_clear(texts[i]);
    }
}

void watch_text_set(struct gw_bytes *bytes, const char *text)
{
    gw_bytes_clear(bytes);
    gw_bytes_append_text(bytes, text);
    (void)gw_bytes_text(bytes);
}

static int watch_bad(struct gw_kube_watch *watch, const char *words)
{
    watch_text_set(&watch->words, words);
    return WATCH_BAD;
}

/* ---- telling ---- */

static int tell(struct gw_kube_watch *watch, enum gw_kube_change change, const struct gw_kube_id *id,
                struct gw_view json)
{
    const struct gw_kube_object object = {
        .change = change,
        .namespace_ = id->namespace_,
        .name = id->name,
        .uid = id->uid,
        .resource_version = id->version,
        .json = json,
        .listed = watch->step == WATCH_LIST,
    };

    watch->options.object(watch->options.user, &object);
    return watch->closed ? WATCH_CLOSED : 0;
}

static int version_set(struct gw_kube_watch *watch, const char *version)
{
    watch_text_set(&watch->version, version);
    return watch->version.failed ? watch_bad(watch, "there is no memory for a version") : 0;
}

static int tell_progress(struct gw_kube_watch *watch, const char *version)
{
    int verdict = version_set(watch, version);

    if (verdict != 0)
        return verdict;
    if (watch->options.progressed != NULL)
        watch->options.progressed(watch->options.user, watch->version.data);
    return watch->closed ? WATCH_CLOSED : 0;
}

/* Its last state is not known: it went unseen. */
static int tell_gone(struct gw_kube_watch *watch, struct gw_kube_entry *entry)
{
    struct gw_kube_id id = gw_kube_entry_id(entry);
    int verdict = tell(watch, GW_KUBE_DELETED, &id, gw_view(NULL, 0));

    free(entry);
    return verdict;
}

/* An object that is there. `as`: what to tell when nothing was known of it. */
static int take_present(struct gw_kube_watch *watch, enum gw_kube_news news, enum gw_kube_change as,
                        const struct gw_kube_id *id, struct gw_view json)
{
    struct gw_kube_entry *before = NULL;

    if (news == GW_KUBE_NEWS_REPLACED)
        before = gw_kube_known_take(watch->known, id->namespace_, id->name);
    if (!watch->options.keeps_nothing && gw_kube_known_put(watch->known, id) < 0) {
        free(before);
        return watch_bad(watch, "there is no memory for one more object");
    }
    if (before != NULL) {
        int verdict = tell_gone(watch, before);

        if (verdict != 0)
            return verdict;
    }
    if (news == GW_KUBE_NEWS_CHANGED)
        as = GW_KUBE_MODIFIED;
    return tell(watch, as, id, json);
}

static bool id_read(struct gw_kube_watch *watch, struct gw_view object, struct gw_kube_id *ret_id)
{
    struct gw_kube_meta meta;

    if (!gw_kube_meta_read(object, &watch->meta_room, &meta) || meta.name[0] == '\0')
        return false;
    *ret_id = (struct gw_kube_id){meta.namespace_, meta.name, meta.uid, meta.resource_version};
    return true;
}

/* ---- lists ---- */

static int take_item(struct gw_kube_watch *watch, const struct gw_kube_page *page, struct gw_view item)
{
    struct gw_kube_id id;
    enum gw_kube_news news;

    if (!id_read(watch, item, &id))
        return watch_bad(watch, "the API server's list has an item without a name");
    news = gw_kube_known_compare(watch->known, &id);
    if (news == GW_KUBE_NEWS_NONE) {
        gw_kube_known_see(watch->known, id.namespace_, id.name);
        return 0;
    }
    gw_bytes_clear(&watch->item);
    gw_kube_item_write(&watch->item, page, item);
    if (watch->item.failed)
        return watch_bad(watch, "there is no memory for an object of this size");
    return take_present(watch, news, GW_KUBE_ADDED, &id, gw_bytes_view(&watch->item));
}

int watch_take_page(struct gw_kube_watch *watch, struct gw_view text)
{
    struct gw_kube_page page;
    struct gw_json_walk walk;

    if (!gw_kube_page_read(text, &page))
        return watch_bad(watch, "what the API server sent is not a list");
    if (!watch->list_begun && watch->options.listing != NULL)
        watch->options.listing(watch->options.user);
    if (watch->closed)
        return WATCH_CLOSED;
    watch->list_begun = true;
    for (walk = gw_json_walk(page.items); gw_json_next(&walk);) {
        int verdict = take_item(watch, &page, walk.value);

        if (verdict != 0)
            return verdict;
    }
    return 0;
}

int watch_take_missing(struct gw_kube_watch *watch)
{
    struct gw_kube_entry *entry;

    while ((entry = gw_kube_known_take_missing(watch->known)) != NULL) {
        int verdict = tell_gone(watch, entry);

        if (verdict != 0)
            return verdict;
    }
    return 0;
}

/* ---- events ---- */

/* An object that is told deleted but was not known is a repetition, unless not everything was known. One that is known by
 * another uid has been made again since. */
static int take_deleted(struct gw_kube_watch *watch, enum gw_kube_news news, const struct gw_kube_id *id,
                        struct gw_view json)
{
    if (news == GW_KUBE_NEWS_REPLACED || (news == GW_KUBE_NEWS_NEW && watch->complete))
        return 0;
    free(gw_kube_known_take(watch->known, id->namespace_, id->name));
    return tell(watch, GW_KUBE_DELETED, id, json);
}

static int take_object(struct gw_kube_watch *watch, enum gw_kube_event_type type, struct gw_view object)
{
    struct gw_kube_id id;
    enum gw_kube_news news;
    enum gw_kube_change as;
    int verdict;

    if (!id_read(watch, object, &id))
        return watch_bad(watch, "the API server sent an object without a name");
    verdict = version_set(watch, id.version);
    if (verdict != 0)
        return verdict;
    news = gw_kube_known_compare(watch->known, &id);
    if (type == GW_KUBE_EVENT_DELETED)
        return take_deleted(watch, news, &id, object);
    if (news == GW_KUBE_NEWS_NONE)
        return 0;
    as = type == GW_KUBE_EVENT_MODIFIED && !watch->complete ? GW_KUBE_MODIFIED : GW_KUBE_ADDED;
    return take_present(watch, news, as, &id, object);
}

static int take_bookmark(struct gw_kube_watch *watch, struct gw_view object)
{
    struct gw_kube_meta meta;

    if (!gw_kube_meta_read(object, &watch->meta_room, &meta) || meta.resource_version[0] == '\0')
        return watch_bad(watch, "the API server sent a bookmark without a version");
    return tell_progress(watch, meta.resource_version);
}

/* 410 Expired: the history behind our version is gone. 504 Timeout: our version is one that is yet to come. */
static int take_error(struct gw_kube_watch *watch, struct gw_view status)
{
    int code;

    gw_bytes_clear(&watch->words);
    code = gw_kube_status_read(status, &watch->words);
    if (code == 410 || code == 504)
        return WATCH_GONE;
    if (watch->words.size == 0)
        gw_bytes_append_text(&watch->words, "the API server ended the watch with an error");
    return WATCH_BAD;
}

static int take_line(struct gw_kube_watch *watch, struct gw_view line)
{
    enum gw_kube_event_type type;
    struct gw_view object;

    line = gw_view_trim(line);
    if (line.size == 0)
        return 0;
    if (!gw_kube_event_read(line, &type, &object))
        return watch_bad(watch, "the API server sent a line that is no event of a watch");
    watch->heard = true;
    if (type == GW_KUBE_EVENT_ERROR)
        return take_error(watch, object);
    if (type == GW_KUBE_EVENT_BOOKMARK)
        return take_bookmark(watch, object);
    return take_object(watch, type, object);
}

/* The lines that `bytes` completes; what is left of it is `*bytes` then. */
static int take_lines(struct gw_kube_watch *watch, struct gw_view *bytes)
{
    const char *newline;

    while (bytes->size > 0 && (newline = memchr(bytes->data, '\n', bytes->size)) != NULL) {
        size_t size = (size_t)(newline - bytes->data) + 1;
        int verdict = take_line(watch, gw_view(bytes->data, size - 1));

        if (verdict != 0)
            return verdict;
        *bytes = gw_view(bytes->data + size, bytes->size - size);
    }
    return 0;
}

/* The line that was begun in `text` goes on. */
static int take_rest(struct gw_kube_watch *watch, struct gw_view *bytes)
{
    const char *newline = memchr(bytes->data, '\n', bytes->size);
    size_t size = newline == NULL ? bytes->size : (size_t)(newline - bytes->data) + 1;
    int verdict = 0;

    if (watch->text.size + size > WATCH_TEXT_MAX)
        return watch_bad(watch, "the API server sent an object of over 64 MiB");
    gw_bytes_append(&watch->text, bytes->data, size);
    if (watch->text.failed)
        return watch_bad(watch, "there is no memory for an object of this size");
    *bytes = gw_view(bytes->data + size, bytes->size - size);
    if (newline != NULL)
        verdict = take_line(watch, gw_bytes_view(&watch->text));
    if (newline != NULL && verdict != WATCH_CLOSED)
        watch_text_clear(watch);
    return verdict;
}

int watch_take_bytes(struct gw_kube_watch *watch, struct gw_view bytes)
{
    int verdict = 0;

    if (bytes.size > 0 && watch->text.size > 0)
        verdict = take_rest(watch, &bytes);
    if (verdict == 0)
        verdict = take_lines(watch, &bytes);
    if (verdict == 0 && bytes.size > 0)
        verdict = take_rest(watch, &bytes);
    return verdict;
}
