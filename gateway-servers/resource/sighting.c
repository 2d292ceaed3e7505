/* Sighting: what a feed hands to its members. */
#include "gateway-servers/resource/sighting.h"

#include "common/json.h"

#include <stdlib.h>

/* ---- kept ---- */

static size_t bytes_kept; /* loop thread */

struct kept *kept_hold(struct kept *kept)
{
    kept->refs++;
    return kept;
}

struct kept *kept_drop(struct kept *kept)
{
    if (kept == NULL || --kept->refs > 0)
        return NULL;
    bytes_kept -= kept->size;
    free(kept);
    return NULL;
}

size_t kept_bytes(void)
{
    return bytes_kept;
}

static struct kept *kept_new(struct gw_view json)
{
    struct kept *kept = malloc(sizeof(*kept) + json.size);

    if (kept == NULL)
        return NULL;
    kept->refs = 1;
    kept->size = json.size;
    memcpy(kept->json, json.data, json.size);
    bytes_kept += json.size;
    return kept;
}

/* ---- sightings ---- */

bool sighting_read(struct sighting *sighting, const struct gw_kube_object *object, int64_t now_ns)
{
    *sighting = (struct sighting){
        .change = object->change,
        .id = {object->namespace_, object->name, object->uid, object->resource_version},
        .listed = object->listed,
        .now_ns = now_ns,
    };
    if (!gw_json_valid(object->json))
        return false;
    sighting->object = object_read(object->json);
    return true;
}

void sighting_done(struct sighting *sighting)
{
    for (size_t i = 0; i < GW_COUNT_OF(sighting->copies); i++)
        sighting->copies[i] = kept_drop(sighting->copies[i]);
}

/* Borrowed. */
static int sighting_copy(struct sighting *sighting, bool managed_fields, struct kept **ret_kept)
{
    struct kept **copy = &sighting->copies[managed_fields];
    GW_AUTO(gw_bytes_done) struct gw_bytes json = {0};

    if (*copy == NULL) {
        object_write(&json, &sighting->object, managed_fields);
        *copy = json.failed ? NULL : kept_new(gw_bytes_view(&json));
    }
    if (*copy == NULL)
        return GW_RAISE(-ENOMEM);
    *ret_kept = *copy;
    return 0;
}

int sighting_keep(struct sighting *sighting, bool managed_fields, struct kept **ret_kept)
{
    struct kept *kept = NULL;

    GW_TRY(sighting_copy(sighting, managed_fields, &kept));
    *ret_kept = kept_hold(kept);
    return 0;
}

int sighting_json(struct sighting *sighting, bool managed_fields, struct gw_view *ret_json)
{
    struct kept *kept = NULL;

    if (managed_fields || sighting->object.managed_fields.size == 0) {
        *ret_json = sighting->object.json;
        return 0;
    }
    GW_TRY(sighting_copy(sighting, managed_fields, &kept));
    *ret_json = gw_view(kept->json, kept->size);
    return 0;
}
