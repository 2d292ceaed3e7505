/* A Kubernetes Event: its words and its JSON. */
#include "gateway-client/report/kube_event.h"

#include "common/clock.h"
#include "common/json.h"
#include "common/text.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

/* Who tells; qualified names may do without a domain, and this one claims nobody's. */
#define CONTROLLER "gateway-client"

enum { INSTANCE_MAX = 128, HEX_SIZE = 17 };

static const struct {
    const char *name, *action;
    bool warning;
    const char *before, *one; /* "event source" NAME "runs" */
    const char *many;         /* "event sources run" */
} reasons[] = {
    [GWC_EVENT_SOURCE_RUNNING] = {"SourceRunning", "Run", false, "event source", "runs", "event sources run"},
    [GWC_EVENT_SOURCE_FAILED] = {"SourceFailed", "Run", true, "event source", "does not run",
                                 "event sources do not run"},
    [GWC_EVENT_SOURCE_INVALID] = {"SourceInvalid", "Validate", true, "event source", "is not valid",
                                  "event sources are not valid"},
    [GWC_EVENT_SOURCE_REMOVED] = {"SourceRemoved", "Stop", false, "event source", "is removed",
                                  "event sources are removed"},
    [GWC_EVENT_EDIT_REFUSED] = {"EditRefused", "Validate", true, "event source",
                                "keeps its last good configuration",
                                "event sources keep their last good configuration"},
    [GWC_EVENT_WATCHER_FAILING] = {"WatcherFailing", "Deliver", true, "watcher", "takes no events",
                                   "watchers take no events"},
    [GWC_EVENT_WATCHER_RECOVERED] = {"WatcherRecovered", "Deliver", false, "watcher", "takes events again",
                                     "watchers take events again"},
    [GWC_EVENT_WATCHER_INVALID] = {"WatcherInvalid", "Deliver", true, "watcher", "cannot be used",
                                   "watchers cannot be used"},
    [GWC_EVENT_CONFIGURATION_REFUSED] = {"ConfigurationRefused", "Apply", true, "", "is refused",
                                         "configurations are refused"},
    [GWC_EVENT_CONFIGURATION_IN_FORCE] = {"ConfigurationInForce", "Apply", false, "", "is in force",
                                          "configurations are in force"},
    [GWC_EVENT_CONFIGURATION_GONE] = {"ConfigurationGone", "Apply", true, "", "is gone",
                                      "configurations are gone"},
    [GWC_EVENT_OUTBOX_FULL] = {"OutboxFull", "Accept", true, "the outbox", "takes no more events",
                               "outboxes take no more events"},
    [GWC_EVENT_OUTBOX_HAS_ROOM] = {"OutboxHasRoom", "Accept", false, "the outbox", "takes events again",
                                   "outboxes take events again"},
    [GWC_EVENT_LEADER_ELECTED] = {"LeaderElected", "Lead", false, "", "leads", "lead"},
    [GWC_EVENT_STOPPING] = {"Stopping", "Stop", false, "", "stops", "stop"},
};

const char *gwc_event_reason_name(enum gwc_event_reason reason)
{
    return reasons[reason].name;
}

bool gwc_event_reason_is_warning(enum gwc_event_reason reason)
{
    return reasons[reason].warning;
}

/* ---- the note ---- */

static void note_cut(struct gw_bytes *out, struct gw_view whole)
{
    if (whole.size <= GWC_EVENT_NOTE_MAX) {
        gw_bytes_append_view(out, whole);
        return;
    }
    gw_bytes_append_view(out, gw_utf8_cut(whole, GWC_EVENT_NOTE_MAX - strlen("…")));
    gw_bytes_append_text(out, "…");
}

static void note_one(struct gw_bytes *note, enum gwc_event_reason reason,
                     const struct gwc_event_subject *subject)
{
    const char *before = reasons[reason].before;

    gw_bytes_printf(note, "%s%s%s%s%s", before, before[0] != '\0' && subject->name[0] != '\0' ? " " : "",
                    subject->name, before[0] != '\0' || subject->name[0] != '\0' ? " " : "",
                    reasons[reason].one);
    if (subject->words[0] != '\0')
        gw_bytes_printf(note, ": %s", subject->words);
}

static void note_many(struct gw_bytes *note, enum gwc_event_reason reason,
                      const struct gwc_event_subject *subjects, size_t count, size_t more)
{
    gw_bytes_printf(note, "%zu %s", count + more, reasons[reason].many);
    for (size_t i = 0; i < count && note->size <= GWC_EVENT_NOTE_MAX; i++) {
        bool words = subjects[i].words[0] != '\0';
        gw_bytes_printf(note, "%s %s%s%s", i == 0 ? ":" : ";", subjects[i].name, words ? ": " : "",
                        subjects[i].words);
    }
    if (more > 0)
        gw_bytes_append_text(note, "; …");
}

void gwc_event_note(struct gw_bytes *out, enum gwc_event_reason reason,
                    const struct gwc_event_subject *subjects, size_t count, size_t more)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes note = {0};

    if (count == 1 && more == 0)
        note_one(&note, reason, subjects);
    else
        note_many(&note, reason, subjects, count, more);
    note_cut(out, gw_bytes_view(&note));
    out->failed = out->failed || note.failed;
}

/* ---- the object ---- */

const char *gwc_event_name(char buffer[static GWC_EVENT_NAME_SIZE], const char *gateway, uint64_t random)
{
    size_t size = GW_MIN(strlen(gateway), (size_t)GWC_EVENT_NAME_SIZE - 1 - HEX_SIZE);

    while (size > 0 && !isalnum((unsigned char)gateway[size - 1]))
        size--; /* what is left of a cut name may end where no name may */
    snprintf(buffer, GWC_EVENT_NAME_SIZE, "%.*s.%016" PRIx64, (int)size, gateway, random);
    return buffer;
}

static void member_time(struct gw_bytes *out, const char *name, int64_t realtime_ns)
{
    char text[GW_TIME_MAX];

    gw_json_member_text(out, name, gw_time_format(text, realtime_ns, 6));
}

static void write_regarding(struct gw_bytes *out, const struct gwc_event_regarding *regarding)
{
    gw_json_member(out, "regarding");
    gw_bytes_append_char(out, '{');
    gw_json_member_text(out, "apiVersion", "argoproj.io/v1alpha1");
    gw_json_member_text(out, "kind", "Gateway");
    gw_json_member_text(out, "namespace", regarding->namespace_);
    gw_json_member_text(out, "name", regarding->name);
    gw_json_member_text(out, "uid", regarding->uid);
    gw_bytes_append_char(out, '}');
}

void gwc_event_write(struct gw_bytes *out, const struct gwc_event_regarding *regarding, const char *name,
                     enum gwc_event_reason reason, const char *note, int64_t realtime_ns)
{
    gw_bytes_append_char(out, '{');
    gw_json_member_text(out, "apiVersion", "events.k8s.io/v1");
    gw_json_member_text(out, "kind", "Event");
    gw_json_member(out, "metadata");
    gw_bytes_append_char(out, '{');
    gw_json_member_text(out, "name", name);
    gw_json_member_text(out, "namespace", regarding->namespace_);
    gw_bytes_append_char(out, '}');
    member_time(out, "eventTime", realtime_ns);
    gw_json_member_text(out, "type", reasons[reason].warning ? "Warning" : "Normal");
    gw_json_member_text(out, "reason", reasons[reason].name);
    gw_json_member_text(out, "action", reasons[reason].action);
    gw_json_member_text(out, "note", note);
    write_regarding(out, regarding);
    gw_json_member_text(out, "reportingController", CONTROLLER);
    gw_json_member(out, "reportingInstance");
    gw_json_quote(out, gw_utf8_cut(gw_view_text(regarding->instance), INSTANCE_MAX));
    gw_bytes_append_char(out, '}');
}

void gwc_event_write_series(struct gw_bytes *out, uint64_t count, int64_t realtime_ns)
{
    gw_bytes_append_text(out, "{\"series\":{");
    gw_json_member_number(out, "count", count);
    member_time(out, "lastObservedTime", realtime_ns);
    gw_bytes_append_text(out, "}}");
}
