/* Looking into the API server's texts: members are found by walking, texts are copied only where they are wanted. */
#include "common/kube_object.h"

#include "common/json.h"
#include "common/kube_watch.h"
#include "common/text.h"

#include <limits.h>

static bool member(struct gw_view object, const char *key, struct gw_view *ret_value)
{
    struct gw_json_walk walk = gw_json_walk(object);

    while (walk.open == '{' && gw_json_next(&walk)) {
        if (!gw_view_is(walk.key, key))
            continue;
        *ret_value = walk.value;
        return true;
    }
    return false;
}

/* The string without its quotes, as it is written; what the API server names so has no escapes. */
static struct gw_view word(struct gw_view object, const char *key)
{
    struct gw_view value;

    if (!member(object, key, &value) || value.size < 2 || value.data[0] != '"')
        return gw_view("", 0);
    return gw_view(value.data + 1, value.size - 2);
}

/* ---- objects ---- */

enum { META_TEXTS = 5 };

bool gw_kube_meta_read(struct gw_view object, struct gw_bytes *room, struct gw_kube_meta *ret_meta)
{
    static const char *const keys[META_TEXTS] = {"namespace", "name", "uid", "resourceVersion", "continue"};
    const char *texts[META_TEXTS];
    size_t begin[META_TEXTS] = {0};
    struct gw_view metadata;

    gw_bytes_clear(room);
    gw_bytes_append_char(room, '\0'); /* place 0: what is not there */
    if (!member(object, "metadata", &metadata) || metadata.size == 0 || metadata.data[0] != '{')
        return false;
    for (struct gw_json_walk walk = gw_json_walk(metadata); gw_json_next(&walk);) {
        for (size_t i = 0; i < META_TEXTS; i++) {
            if (!gw_view_is(walk.key, keys[i]))
                continue;
            begin[i] = room->size;
            if (!gw_json_unquote(room, walk.value))
                begin[i] = 0;
            gw_bytes_append_char(room, '\0');
        }
    }
    if (room->failed)
        return false;
    for (size_t i = 0; i < META_TEXTS; i++)
        texts[i] = room->data + begin[i];
    *ret_meta = (struct gw_kube_meta){texts[0], texts[1], texts[2], texts[3], texts[4]};
    return true;
}

/* ---- lists ---- */

bool gw_kube_page_read(struct gw_view text, struct gw_kube_page *ret_page)
{
    struct gw_kube_page page = {.kind = word(text, "kind"), .api_version = word(text, "apiVersion")};

    if (!member(text, "items", &page.items) || page.items.size == 0)
        return false;
    if (page.items.data[0] != '[' && !gw_view_is(page.items, "null"))
        return false;
    if (page.kind.size > 4 && memcmp(page.kind.data + page.kind.size - 4, "List", 4) == 0)
        page.kind.size -= 4;
    *ret_page = page;
    return true;
}

void gw_kube_item_write(struct gw_bytes *out, const struct gw_kube_page *page, struct gw_view item)
{
    if (page->kind.size == 0 || item.size < 2 || item.data[0] != '{' || word(item, "kind").size > 0) {
        gw_bytes_append_view(out, item);
        return;
    }
    gw_bytes_append_text(out, "{\"apiVersion\":\"");
    gw_bytes_append_view(out, page->api_version);
    gw_bytes_append_text(out, "\",\"kind\":\"");
    gw_bytes_append_view(out, page->kind);
    gw_bytes_append_text(out, item.data[1] == '}' ? "\"" : "\",");
    gw_bytes_append(out, item.data + 1, item.size - 1);
}

/* ---- watches ---- */

bool gw_kube_event_read(struct gw_view line, enum gw_kube_event_type *ret_type, struct gw_view *ret_object)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    struct gw_view type = word(line, "type");

    for (size_t i = 0; i < GW_COUNT_OF(types); i++) {
        if (!gw_view_is(type, types[i]))
            continue;
        *ret_type = (enum gw_kube_event_type)i;
        return member(line, "object", ret_object) && ret_object->size > 1 && ret_object->data[0] == '{';
    }
    return false;
}

int gw_kube_status_read(struct gw_view status, struct gw_bytes *message)
{
    struct gw_view value;
    uint64_t code = 0;

    if (member(status, "message", &value))
        (void)!gw_json_unquote(message, value);
    if (member(status, "code", &value))
        (void)!gw_text_u64(value, 999, &code);
    return (int)code;
}

/* ---- versions ---- */

/* The digits without leading zeros; false: no number. */
static bool version_digits(const char *text, struct gw_view *ret_digits)
{
    size_t size = strlen(text);

    if (size == 0 || strspn(text, "0123456789") != size)
        return false;
    while (size > 1 && *text == '0') {
        text++;
        size--;
    }
    *ret_digits = gw_view(text, size);
    return true;
}

int gw_kube_version_compare(const char *a, const char *b)
{
    struct gw_view first, second;

    if (!version_digits(a, &first) || !version_digits(b, &second))
        return INT_MIN;
    if (first.size != second.size)
        return first.size < second.size ? -1 : 1;
    return memcmp(first.data, second.data, first.size);
}
