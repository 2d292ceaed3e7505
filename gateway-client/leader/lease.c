/* A Lease as JSON: nothing of it is understood but what the election needs. */
#include "gateway-client/leader/lease.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

void gwc_lease_done(struct gwc_lease *lease)
{
    gw_bytes_done(&lease->json);
    gw_bytes_done(&lease->holder);
}

/* ---- reading ---- */

static bool key_is(const struct gw_json_walk *walk, const char *key)
{
    return gw_view_is(walk->key, key);
}

/* The raw value of the member; empty: there is none. */
static struct gw_view member(struct gw_view object, const char *key)
{
    struct gw_json_walk walk = gw_json_walk(object);

    while (gw_json_next(&walk))
        if (key_is(&walk, key))
            return walk.value;
    return (struct gw_view){0};
}

static int64_t number(struct gw_view object, const char *key)
{
    int64_t value = 0;
    return gw_text_i64(member(object, key), 0, INT32_MAX, &value) ? value : 0;
}

static int holder_read(struct gwc_lease *lease, struct gw_view spec)
{
    struct gw_view holder = member(spec, "holderIdentity");

    if (holder.size > 0 && holder.data[0] == '"' && !gw_json_unquote(&lease->holder, holder))
        return GW_RAISE(-EBADMSG);
    return lease->holder.failed ? GW_RAISE(-ENOMEM) : 0;
}

int gwc_lease_read(struct gwc_lease *lease, struct gw_view json)
{
    lease->seen = (struct gwc_election_seen){0};
    gw_bytes_clear(&lease->json);
    gw_bytes_clear(&lease->holder);
    if (!gw_json_valid(json) || gw_json_walk(json).open != '{')
        return GW_RAISE(-EBADMSG);
    gw_bytes_append_view(&lease->json, json);
    if (lease->json.failed)
        return GW_RAISE(-ENOMEM);
    struct gw_view spec = member(gw_bytes_view(&lease->json), "spec");
    if (spec.size == 0 || spec.data[0] != '{')
        spec = gw_view_text("{}"); /* somebody made an empty one: it is free */
    GW_TRY(holder_read(lease, spec));
    lease->seen = (struct gwc_election_seen){
        .holder = gw_bytes_view(&lease->holder),
        .record = spec,
        .duration_ms = number(spec, "leaseDurationSeconds") * 1000,
        .transitions = number(spec, "leaseTransitions"),
    };
    return 0;
}

/* ---- writing ---- */

static void separate(struct gw_bytes *out)
{
    if (out->size > 0 && out->data[out->size - 1] != '{')
        gw_bytes_append_char(out, ',');
}

static void member_copy(struct gw_bytes *out, const struct gw_json_walk *walk)
{
    separate(out);
    gw_bytes_append_char(out, '"');
    gw_bytes_append_view(out, walk->key); /* as it was, escapes and all */
    gw_bytes_append_text(out, "\":");
    gw_bytes_append_view(out, walk->value);
}

static void time_write(struct gw_bytes *out, const char *key, int64_t realtime_ns)
{
    char text[GW_TIME_MAX];

    separate(out);
    /* A MicroTime has six digits, always. */
    gw_bytes_printf(out, "\"%s\":\"%s\"", key, gw_time_format(text, realtime_ns, 6));
}

/* Strategy, preferredHolder and what else there may be stays. */
static bool spec_is_ours(const struct gw_json_walk *walk, const struct gwc_election_record *record)
{
    return key_is(walk, "holderIdentity") || key_is(walk, "leaseDurationSeconds") ||
           key_is(walk, "renewTime") || key_is(walk, "leaseTransitions") ||
           (record->begins && key_is(walk, "acquireTime"));
}

static void spec_write(struct gw_bytes *out, struct gw_view old, const struct gwc_lease_write *write)
{
    const struct gwc_election_record *record = write->record;
    struct gw_json_walk walk = gw_json_walk(old);
    /* What is given back runs out at once, also for candidates that look at the time only. */
    int64_t seconds = record->holder[0] == '\0' ? 1 : (write->lease_ms + 999) / 1000;

    separate(out);
    gw_bytes_append_text(out, "\"spec\":{");
    while (gw_json_next(&walk))
        if (!spec_is_ours(&walk, record))
            member_copy(out, &walk);
    separate(out);
    gw_bytes_append_text(out, "\"holderIdentity\":");
    gw_json_quote(out, gw_view_text(record->holder));
    gw_bytes_printf(out, ",\"leaseDurationSeconds\":%lld,\"leaseTransitions\":%lld", (long long)seconds,
                    (long long)record->transitions);
    if (record->begins)
        time_write(out, "acquireTime", write->realtime_ns);
    time_write(out, "renewTime", write->realtime_ns);
    gw_bytes_append_char(out, '}');
}

static void new_write(struct gw_bytes *out, const struct gwc_lease_write *write)
{
    gw_bytes_append_text(
        out, "\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":");
    gw_json_quote(out, gw_view_text(write->name));
    gw_bytes_append_text(out, ",\"namespace\":");
    gw_json_quote(out, gw_view_text(write->namespace_));
    gw_bytes_append_char(out, '}');
}

void gwc_lease_write(struct gw_bytes *out, const struct gwc_lease *lease, const struct gwc_lease_write *write)
{
    struct gw_view json = gw_bytes_view(&lease->json);
    struct gw_json_walk walk = gw_json_walk(json);

    gw_bytes_append_char(out, '{');
    if (write->record->create)
        new_write(out, write);
    else
        while (gw_json_next(&walk))
            if (!key_is(&walk, "spec"))
                member_copy(out, &walk);
    spec_write(out, write->record->create ? (struct gw_view){0} : member(json, "spec"), write);
    gw_bytes_append_char(out, '}');
}
