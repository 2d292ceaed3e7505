/* What a watch is sent, pages and lines of any bytes: the same is told, however the network cuts it. The first byte says where. */
#include "common/kube_watch_parts.h"
#include "common/text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    uint32_t sum;
    size_t objects;
};

static void on_object(void *user, const struct gw_kube_object *object)
{
    struct told *told = user;
    const char *texts[] = {object->namespace_, object->name, object->uid, object->resource_version};

    assert(object->name[0] != '\0');
    for (size_t i = 0; i < GW_COUNT_OF(texts); i++)
        told->sum = gw_fnv1a32(gw_view(&told->sum, sizeof(told->sum)), gw_view_text(texts[i]));
    told->sum = gw_fnv1a32(gw_view(&told->sum, sizeof(told->sum)), object->json) + object->change;
    told->objects++;
}

static void on_progressed(void *user, const char *version)
{
    struct told *told = user;

    told->sum = gw_fnv1a32(gw_view(&told->sum, sizeof(told->sum)), gw_view_text(version));
}

static void watch_init(struct gw_kube_watch *watch, struct told *told)
{
    *watch = (struct gw_kube_watch){
        .options = {.object = on_object, .progressed = on_progressed, .secret = true, .user = told}};
    if (gw_kube_known_open(&watch->known) < 0)
        abort();
}

static void watch_done(struct gw_kube_watch *watch)
{
    gw_kube_known_close(watch->known);
    gw_bytes_done(&watch->text);
    gw_bytes_done(&watch->version);
    gw_bytes_done(&watch->meta_room);
    gw_bytes_done(&watch->item);
    gw_bytes_done(&watch->words);
}

/* The stream in pieces of `piece` bytes. */
static int stream(struct told *told, struct gw_view bytes, size_t piece)
{
    struct gw_kube_watch watch;
    int verdict = 0;

    watch_init(&watch, told);
    watch.step = WATCH_FOLLOW;
    for (size_t at = 0; at < bytes.size && verdict == 0; at += piece)
        verdict = watch_take_bytes(&watch, gw_view(bytes.data + at, GW_MIN(piece, bytes.size - at)));
    assert(verdict != WATCH_CLOSED);
    watch_done(&watch);
    return verdict;
}

static void page(struct gw_view text)
{
    struct gw_kube_watch watch;
    struct told told = {0}, again = {0};

    watch_init(&watch, &told);
    int verdict = watch_take_page(&watch, text);
    size_t known = gw_kube_known_count(watch.known);
    assert(known <= told.objects);
    /* the same page once more: what is told differs only by names that stand in it twice */
    watch.options.user = &again;
    if (verdict == 0 && known == told.objects)
        assert(watch_take_page(&watch, text) == 0 && again.objects == 0);
    watch_done(&watch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct told whole = {0}, cut = {0};

    if (size == 0)
        return 0;
    struct gw_view bytes = gw_view(data + 1, size - 1);
    int verdict = stream(&whole, bytes, bytes.size + 1);
    assert(stream(&cut, bytes, (size_t)data[0] + 1) == verdict);
    assert(whole.sum == cut.sum && whole.objects == cut.objects);
    page(bytes);
    return 0;
}
