/* Emitting: what a module says, copied, numbered, and left for the loop to send. Any thread. */
#include "gateway-servers/sdk/source_parts.h"

#include <stdlib.h>

static struct gw_view pending_put(char **cursor, struct gw_view view)
{
    char *start = *cursor;

    if (view.size > 0)
        memcpy(start, view.data, view.size);
    start[view.size] = '\0'; /* protobuf-c's strings are C strings */
    *cursor += view.size + 1;
    return gw_view(start, view.size);
}

size_t gws_event_bytes(const struct gws_event *event)
{
    size_t bytes = event->id.size + event->type.size + event->subject.size + event->data_content_type.size +
                   event->data.size + event->source.size + event->data_schema.size +
                   event->partition_key.size + event->position.size + 9;

    for (size_t i = 0; i < event->extensions_count; i++)
        bytes += event->extensions[i].name.size + event->extensions[i].value.size + 2;
    return bytes;
}

/* One block: the struct, the extensions, and every text behind them. */
static struct gws_pending *pending_new(const struct gws_event *event)
{
    size_t extensions = event->extensions_count * sizeof(struct gw_extension);
    size_t bytes = gws_event_bytes(event);
    struct gws_pending *pending = malloc(sizeof(*pending) + extensions + bytes);

    if (pending == NULL)
        return NULL;
    struct gw_extension *copies = (struct gw_extension *)(void *)(pending + 1);
    char *cursor = (char *)copies + extensions;
    struct gws_event *copy = &pending->event;
    *copy = *event;
    copy->id = pending_put(&cursor, event->id);
    copy->type = pending_put(&cursor, event->type);
    copy->subject = pending_put(&cursor, event->subject);
    copy->data_content_type = pending_put(&cursor, event->data_content_type);
    copy->data = pending_put(&cursor, event->data);
    copy->source = pending_put(&cursor, event->source);
    copy->data_schema = pending_put(&cursor, event->data_schema);
    copy->partition_key = pending_put(&cursor, event->partition_key);
    copy->position = pending_put(&cursor, event->position);
    for (size_t i = 0; i < event->extensions_count; i++) {
        copies[i] = event->extensions[i];
        copies[i].name = pending_put(&cursor, event->extensions[i].name);
        copies[i].value = pending_put(&cursor, event->extensions[i].value);
    }
    copy->extensions = copies;
    pending->size = bytes;
    return pending;
}

static bool source_room(struct gws_source *source)
{
    if (source->pending_count < source->pending_capacity)
        return true;
    size_t capacity = GW_MAX(source->pending_capacity * 2, (size_t)16);
    struct gws_pending **grown = realloc(source->pending, capacity * sizeof(*grown));
    if (grown == NULL)
        return false;
    source->pending = grown;
    source->pending_capacity = capacity;
    return true;
}

int gws_source_emit(struct gws_source *source, const struct gws_event *event, uint64_t *ret_sequence)
{
    struct gws_event complete = *event;

    if (complete.time_ns == 0 && complete.source.size == 0)
        complete.time_ns = gw_clock_realtime_ns();
    if (complete.type.size == 0)
        complete.type = gw_view_text(source->server->module->event_type);
    if (gws_event_bytes(&complete) > GWS_EVENT_BYTES_MAX)
        return GW_RAISE(-EMSGSIZE);
    struct gws_pending *pending = pending_new(&complete);
    if (pending == NULL)
        return GW_RAISE(-ENOMEM);

    pthread_mutex_lock(&source->lock);
    int fault = source->ended ? -ECANCELED : !source_room(source) ? -ENOMEM : 0;
    bool first = source->pending_count == 0;
    if (fault == 0) {
        pending->sequence = ++source->emitted;
        source->pending[source->pending_count++] = pending;
        if (ret_sequence != NULL)
            *ret_sequence = pending->sequence;
    }
    pthread_mutex_unlock(&source->lock);

    if (fault != 0) {
        free(pending);
        return GW_RAISE(fault);
    }
    gw_series_add(source->server->counts.emitted, 1);
    if (first)
        gw_loop_post(source->server->loop, &source->flush_task);
    return 0;
}

uint64_t gws_source_emitted(struct gws_source *source)
{
    pthread_mutex_lock(&source->lock);
    uint64_t emitted = source->emitted;
    pthread_mutex_unlock(&source->lock);
    return emitted;
}
