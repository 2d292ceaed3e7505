/* Event: its attributes and data. */
#include "gateway-servers/resource/event.h"

enum { DATA_KEPT_MAX = 1 << 20 }; /* of the buffer, from one event to the next */

static const char *const event_types[CHANGES] = {"sluice.resource.add", "sluice.resource.update",
                                                 "sluice.resource.delete"};

/* ---- data ---- */

static int event_object(const struct plan *plan, struct sighting *sighting, const struct kept *old,
                        struct gw_bytes *own, struct payload *payload)
{
    if (sighting != NULL)
        return sighting_json(sighting, plan->managed_fields, &payload->object);
    if (old != NULL) {
        payload->object = gw_view(old->json, old->size); /* its last state */
        return 0;
    }
    payload_remains(own, payload);
    payload->object = gw_bytes_view(own);
    return own->failed ? GW_RAISE(-ENOMEM) : 0;
}

static int event_data(struct event *event, const struct plan *plan, const struct kind *kind,
                      const struct member_event *what, enum event_size size)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes own = {0};
    struct payload payload = {
        .change = what->change,
        .group = plan->group,
        .version = plan->version,
        .resource = kind->resource,
        .kind = kind->kind,
        .namespace_ = what->id.namespace_,
        .name = what->id.name,
        .uid = what->id.uid,
        .resource_version = what->sighting == NULL ? "" : what->id.version,
    };

    if (plan->reference || size == EVENT_REFERENCE) {
        payload_reference(&own, &payload);
        payload.object = gw_bytes_view(&own);
    } else {
        GW_TRY(event_object(plan, what->sighting, what->old, &own, &payload));
        if (what->change == CHANGE_UPDATE && what->old != NULL && size == EVENT_WHOLE)
            payload.old = gw_view(what->old->json, what->old->size);
    }
    payload_write(&event->data, plan->legacy ? PAYLOAD_LEGACY : PAYLOAD_PLAIN, &payload);
    return own.failed || event->data.failed ? GW_RAISE(-ENOMEM) : 0;
}

/* ---- attributes ---- */

static const char *event_id(struct event *event, const struct gw_kube_id *id, enum change change)
{
    const char *end = change == CHANGE_DELETE ? ".DELETE" : "";

    if (id->uid[0] != '\0')
        return gw_arena_printf(&event->arena, "%s.%s%s", id->uid, id->version, end);
    return gw_arena_printf(&event->arena, "%s/%s.%s%s", id->namespace_, id->name, id->version, end);
}

static int64_t event_time(const struct member_event *what, int64_t now_ns)
{
    return what->listed && what->sighting != NULL ? object_written(&what->sighting->object, now_ns) : now_ns;
}

static bool event_extend(struct event *event, const char *name, const char *value)
{
    const char *copy = gw_arena_copy(&event->arena, gw_view_text(value));

    if (copy != NULL && copy[0] != '\0')
        event->extensions[event->event.extensions_count++] = (struct gw_extension){
            .name = gw_view_text(name), .value = gw_view_text(copy), .kind = GW_EXTENSION_TEXT};
    return copy != NULL;
}

static bool event_extensions(struct event *event, const struct plan *plan, const struct kind *kind,
                             const struct member_event *what)
{
    const char *version = gw_arena_printf(&event->arena, "%s%s%s", plan->group,
                                          plan->group[0] == '\0' ? "" : "/", plan->version);

    event->event.extensions = event->extensions;
    return version != NULL && event_extend(event, "apiversion", version) &&
           event_extend(event, "kind", kind->kind) && event_extend(event, "resource", kind->resource) &&
           event_extend(event, "namespace", what->id.namespace_) &&
           event_extend(event, "name", what->id.name) && event_extend(event, "uid", what->id.uid) &&
           event_extend(event, "resourceversion", what->sighting == NULL ? "" : what->id.version);
}

static int event_attributes(struct event *event, const struct plan *plan, const struct kind *kind,
                            const struct member_event *what, int64_t now_ns)
{
    const struct gw_kube_id *id = &what->id;
    const char *name = event_id(event, id, what->change);
    const char *subject = gw_arena_printf(&event->arena, "%s%s%s", id->namespace_,
                                          id->namespace_[0] == '\0' ? "" : "/", id->name);
    const char *key = gw_arena_copy(&event->arena, gw_view_text(id->uid));

    if (name == NULL || subject == NULL || key == NULL || !event_extensions(event, plan, kind, what))
        return GW_RAISE(-ENOMEM);
    event->event.id = gw_view_text(name);
    event->event.subject = gw_view_text(subject);
    event->event.partition_key = gw_view_text(key);
    event->event.type = gw_view_text(event_types[what->change]);
    event->event.time_ns = event_time(what, now_ns);
    event->event.data_content_type = gw_view_text("application/json");
    return 0;
}

/* ---- whole ---- */

static void event_clear(struct event *event)
{
    gw_arena_done(&event->arena);
    if (event->data.capacity > DATA_KEPT_MAX)
        gw_bytes_done(&event->data);
    gw_bytes_clear(&event->data);
    event->event = (struct gws_event){0};
}

int event_write(struct event *event, const struct plan *plan, const struct kind *kind,
                const struct member_event *what, int64_t now_ns, enum event_size *ret_size)
{
    enum event_size size = EVENT_WHOLE;

    event_clear(event);
    GW_TRY(event_data(event, plan, kind, what, size));
    while (event->data.size > EVENT_DATA_MAX && size < EVENT_REFERENCE) {
        gw_bytes_clear(&event->data);
        GW_TRY(event_data(event, plan, kind, what, ++size));
    }
    GW_TRY(event_attributes(event, plan, kind, what, now_ns));
    event->event.data = gw_bytes_view(&event->data);
    *ret_size = size;
    return 0;
}

void event_done(struct event *event)
{
    gw_arena_done(&event->arena);
    gw_bytes_done(&event->data);
}
