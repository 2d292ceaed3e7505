/* check-server: each event that comes on any stream is looked at. */
#include "gateway-client/check/check_server.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"
#include "gateway-client/stream/received.h"

#include "proto/gateway/v1/eventing.pb-c.h"

#include <stdlib.h>

enum {
    ID_TEXT_MAX = 80,
    BATCH_LARGE = 2 << 20, /* bytes; a batch "well below" 4 MiB is smaller */
};
#define TIME_PLAUSIBLE_NS INT64_C(10000000000000000) /* 1970-04-26: today in microseconds is before that */
#define TIME_AHEAD_NS     (25 * 3600 * GW_NS_PER_S)  /* a day, and what a clock may be wrong */

static void judge_sequence(struct gwc_feed *feed, const Gateway__V1__Event *event)
{
    if (event->sequence != feed->sequence + 1)
        gwc_check_failed(feed->check, GWC_RULE_SEQUENCE, "event %llu after event %llu",
                         (unsigned long long)event->sequence, (unsigned long long)feed->sequence);
    else
        gwc_check_ok(feed->check, GWC_RULE_SEQUENCE, "in all streams");
    feed->sequence = event->sequence;
}

/* As the client sees it, with something in place of what it fills in itself. */
static void judge_attributes(struct gwc_feed *feed, const Gateway__V1__Event *event)
{
    struct gw_extension extensions[GW_EVENT_EXTENSIONS_MAX];
    struct gw_event_fields fields;
    struct gw_reason reason = {"more extensions than 64"};

    bool fits = gwc_received_fields(event, extensions, &fields);
    if (fields.id.size == 0)
        fields.id = gw_view_text("id");
    if (fields.source.size == 0)
        fields.source = gw_view_text("/source");
    if (fields.type.size == 0)
        fields.type = gw_view_text("type");
    if (!fits || !gw_event_check(&fields, &reason))
        gwc_check_failed(feed->check, GWC_RULE_ATTRIBUTES, "event %llu: %s",
                         (unsigned long long)event->sequence, reason.text);
    else
        gwc_check_ok(feed->check, GWC_RULE_ATTRIBUTES, "in all events");
}

static void judge_time(struct gwc_feed *feed, const Gateway__V1__Event *event)
{
    char time[GW_TIME_MAX];

    if (event->time_ns == 0) {
        gwc_check_ok(feed->check, GWC_RULE_TIME, "none: that of the client counts");
    } else if (event->time_ns > 0 && event->time_ns < TIME_PLAUSIBLE_NS) {
        gwc_check_failed(feed->check, GWC_RULE_TIME,
                         "event %llu: %lld is %s: seconds, milli- or microseconds?",
                         (unsigned long long)event->sequence, (long long)event->time_ns,
                         gw_time_format(time, event->time_ns, -1));
    } else if (event->time_ns > gw_clock_realtime_ns() + TIME_AHEAD_NS) {
        gwc_check_failed(feed->check, GWC_RULE_TIME, "event %llu: %s is yet to come",
                         (unsigned long long)event->sequence, gw_time_format(time, event->time_ns, -1));
    } else {
        gwc_check_ok(feed->check, GWC_RULE_TIME, "%s", gw_time_format(time, event->time_ns, -1));
    }
}

static void judge_data(struct gwc_feed *feed, const Gateway__V1__Event *event, struct gw_view data)
{
    size_t offset = 0;
    const char *expected = "";

    if (data.size == 0 || !gw_event_media_json(gw_view_text(event->data_content_type)))
        gwc_check_ok(feed->check, GWC_RULE_DATA, "\"%s\"", event->data_content_type);
    else if (!gw_json_check(data, &offset, &expected))
        gwc_check_failed(feed->check, GWC_RULE_DATA, "event %llu says %s, but at byte %zu %s is expected",
                         (unsigned long long)event->sequence, event->data_content_type, offset + 1, expected);
    else
        gwc_check_ok(feed->check, GWC_RULE_DATA, "%s", event->data_content_type);
}

/* The same id with other data is another happening; with the same data it may be a sender's repetition. */
static void judge_id(struct gwc_feed *feed, const struct gwc_mark *mark)
{
    if (mark->id == 0)
        return;
    for (size_t i = 0; i < feed->marks_count; i++) {
        const struct gwc_mark *other = &feed->marks[i];
        if (other->id == mark->id && other->data != mark->data) {
            gwc_check_failed(feed->check, GWC_RULE_ID, "events %llu and %llu have the id \"%s\"",
                             (unsigned long long)other->sequence, (unsigned long long)mark->sequence,
                             mark->id_text);
            return;
        }
    }
    gwc_check_ok(feed->check, GWC_RULE_ID, "\"%s\", …", mark->id_text);
}

static void judge_position(struct gwc_feed *feed, const struct gwc_mark *mark)
{
    if (mark->position.size == 0)
        return;
    feed->check->positions_come = true;
    if (mark->id == 0)
        gwc_check_warn(feed->check, GWC_RULE_ID_BY_POSITION, "event %llu has a position, but no id",
                       (unsigned long long)mark->sequence);
    else
        gwc_check_ok(feed->check, GWC_RULE_ID_BY_POSITION, "both are there");
}

static uint64_t hash_of(struct gw_view view)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < view.size; i++)
        hash = (hash ^ (unsigned char)view.data[i]) * UINT64_C(0x100000001b3);
    return hash | 1; /* 0 is nothing */
}

/* Without memory there is no mark, and later rules say that they could not be tried. */
static void feed_mark(struct gwc_feed *feed, const Gateway__V1__Event *event, struct gw_view data)
{
    struct gw_view id = gw_view_text(event->id),
                   position = gw_view(event->position.data, event->position.len);

    if (feed->marks == NULL)
        feed->marks = calloc(GWC_MARKS_MAX, sizeof(*feed->marks));
    if (feed->marks == NULL || feed->marks_count == GWC_MARKS_MAX)
        return;
    struct gwc_mark mark = {.sequence = event->sequence,
                            .id = id.size > 0 ? hash_of(id) : 0,
                            .data = hash_of(data),
                            .position = gw_view(gw_arena_copy(&feed->arena, position), position.size),
                            .id_text = gw_arena_copy(&feed->arena,
                                                     gw_view(id.data, GW_MIN(id.size, (size_t)ID_TEXT_MAX)))};
    if (mark.position.data == NULL || mark.id_text == NULL)
        return;
    judge_id(feed, &mark);
    judge_position(feed, &mark);
    feed->marks[feed->marks_count++] = mark;
}

void gwc_check_events(struct gwc_feed *feed, const Gateway__V1__Events *events)
{
    for (size_t i = 0; i < events->n_events; i++) {
        const Gateway__V1__Event *event = events->events[i];
        struct gw_view data = gw_view(event->data.data, event->data.len);

        if (feed->starts == 0)
            gwc_check_failed(feed->check, GWC_RULE_STARTED, "events came before it");
        judge_sequence(feed, event);
        judge_attributes(feed, event);
        judge_time(feed, event);
        judge_data(feed, event, data);
        feed_mark(feed, event, data);
        feed->events++;
    }
    if (events->n_events > 1 && protobuf_c_message_get_packed_size(&events->base) > BATCH_LARGE)
        gwc_check_warn(feed->check, GWC_RULE_MESSAGE_SIZE, "a batch of %zu events has %zu bytes",
                       events->n_events, protobuf_c_message_get_packed_size(&events->base));
}
