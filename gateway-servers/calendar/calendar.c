/* Calendar: event sources that tick, by cron schedule or interval. All of a process share one agenda and one
 * timer. */
#include "gateway-servers/sdk/module.h"

#include "common/json.h"

#include "gateway-servers/calendar/agenda.h"
#include "gateway-servers/calendar/civil.h"
#include "gateway-servers/calendar/plan.h"
#include "gateway-servers/calendar/preview.h"

#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    CALENDAR_MISSED_MAX = 10000,   /* ticks of a source that are made up for: the latest */
    CALENDAR_COUNTED_MAX = 100000, /* skipped ticks are counted up to here, for words */
    CALENDAR_BURST_MAX = 256,      /* ticks in one turn of the loop, so that pause() comes in time */
    CALENDAR_LOOK_MS = 30000,      /* the clock is looked at this often: it may have been set */
    CALENDAR_RETRY_MS = 100,       /* after an emit without memory */
};
#define CALENDAR_JUMP_NS GW_NS_PER_S /* a change of realtime against monotonic beyond slewing */
#define CALENDAR_STALL_NS                                                                                    \
    (60 * GW_NS_PER_S) /* not run for so long (stopped, frozen): as if the clock had jumped */
#define CALENDAR_AHEAD_NS                                                                                    \
    (48 * 3600 * GW_NS_PER_S) /* a position farther in the future comes from a wrong clock */

/* The process. */
struct calendar {
    struct gw_loop *loop;
    struct gw_timer *timer;
    int clock_descriptor; /* a timerfd that becomes readable when the clock is set; -1: the kernel has none */
    struct gw_poll *clock_poll;
    struct zone_store zones;
    struct agenda agenda;
    struct calendar_source *sources; /* all, also the paused */
    size_t sources_count;
    int64_t looked_ns; /* monotonic, at the last wake */
    int64_t offset_ns; /* realtime - monotonic then */
    struct gw_bytes data;
};

/* One event source.
 *
 *     ┌─────────┐  pause   ┌────────┐     waiting: in the agenda, with the first tick after the cursor
 *     │ waiting │ ───────▶ │ paused │     paused: not in the agenda; what is missed is found from the cursor
 *     └─────────┘ ◀─────── └────────┘
 *                  resume */
struct calendar_source {
    struct agenda_entry entry; /* first: the agenda's pointers are ours */
    struct calendar *calendar;
    struct gws_source *source;
    const struct calendar_config *config;
    struct plan plan;
    struct gw_bytes user_payload; /* JSON; empty: absent */
    int64_t cursor_ns;            /* all up to here is done: emitted, excluded, or skipped */
    int64_t skip_ns; /* after the tick that is due, go on from here: the clock jumped over the rest */
    bool paused;
    struct calendar_source *next, **link;
};

/* ---- emitting ---- */

static const char *source_data(struct calendar_source *source, int64_t tick_ns)
{
    struct gw_bytes *data = &source->calendar->data;
    const struct zone *zone = source->plan.ticks.zone;
    char text[ZONE_TEXT_MAX];
    bool old = strcmp(source->config->payload, "v0.11") == 0;

    gw_bytes_clear(data);
    gw_bytes_printf(data, "{\"eventTime\":\"%s\"",
                    old ? zone_format(zone, tick_ns, ZONE_GO, text) : zone_format_go(zone, tick_ns, text));
    if (source->user_payload.size > 0) {
        gw_bytes_append_text(data, ",\"userPayload\":");
        gw_bytes_append_view(data, gw_bytes_view(&source->user_payload));
    } else if (old) {
        gw_bytes_append_text(data, ",\"userPayload\":null");
    }
    gw_bytes_append_char(data, '}');
    return gw_bytes_text(data);
}

/* The scheduled time is the identity and the position: a tick is the same one whenever it is emitted. */
static int source_emit(struct calendar_source *source, int64_t tick_ns)
{
    char time[GW_TIME_MAX];
    const struct gw_view id = gw_view_text(gw_time_format(time, tick_ns, -1));
    struct gws_event event = {
        .id = id,
        .time_ns = tick_ns,
        .subject = gw_view_text(gws_source_identity(source->source)->name),
        .data_content_type = gw_view_text("application/json"),
        .position = id,
    };

    if (source_data(source, tick_ns) == NULL)
        return GW_RAISE(-ENOMEM);
    event.data = gw_bytes_view(&source->calendar->data);
    GW_TRY(gws_source_emit(source->source, &event, NULL));
    return 0;
}

/* ---- one source ---- */

/* Into the agenda with the first tick after the cursor. A source without any more ticks stays, and says so.
 */
static void source_await(struct calendar_source *source)
{
    struct agenda *agenda = &source->calendar->agenda;
    int64_t due_ns;

    if (!source->paused && next_tick(&source->plan.ticks, source->cursor_ns, &due_ns))
        agenda_put(agenda, &source->entry, due_ns);
    else
        agenda_remove(agenda, &source->entry);
}

/* Moves the cursor on, past what is too much or, with a window (> 0), too old to make up for. */
static void source_bound(struct calendar_source *source, int64_t now_ns, int64_t window_ns)
{
    const struct ticks *ticks = &source->plan.ticks;
    int64_t from_ns = source->cursor_ns;
    size_t skipped;

    if (window_ns > 0 && now_ns - window_ns > from_ns)
        from_ns = now_ns - window_ns - 1;
    from_ns = next_recent(ticks, from_ns, now_ns, CALENDAR_MISSED_MAX);
    if (from_ns == source->cursor_ns)
        return;
    skipped = next_count(ticks, source->cursor_ns, from_ns, CALENDAR_COUNTED_MAX);
    source->cursor_ns = from_ns;
    if (skipped > 0)
        gws_source_notice(source->source, false, "%s%zu missed ticks are skipped: %s",
                          skipped == CALENDAR_COUNTED_MAX ? "over " : "", skipped,
                          window_ns > 0 ? "older than the catch-up window, or more than 10,000"
                                        : "more than 10,000");
}

/* False: no memory; try again soon. */
static bool source_tick(struct calendar_source *source)
{
    int64_t tick_ns = source->entry.due_ns;
    int fault = exclusions_has(source->plan.exclusions, tick_ns) ? 0 : source_emit(source, tick_ns);

    if (fault == -ENOMEM)
        return false;
    if (fault != 0) {
        agenda_remove(&source->calendar->agenda, &source->entry);
        if (fault != -ECANCELED) /* cancelled: the stream is over, stop() is on its way */
            gws_source_fail(source->source, "%s", gw_fault_trace());
        return true;
    }
    source->cursor_ns = GW_MAX(tick_ns, source->skip_ns);
    source_await(source);
    return true;
}

/* The clock went on without us: the tick that is due still comes, catch-up decides about those behind it. */
static void source_on_jump_ahead(struct calendar_source *source, int64_t now_ns)
{
    if (source->paused || source->entry.place == 0 || source->entry.due_ns > now_ns)
        return;
    if (!source->config->catchup.enabled) {
        source->skip_ns = now_ns;
        return;
    }
    source_bound(source, now_ns, source->config->catchup.window_ns);
    source_await(source);
}

/* The clock was set back: no tick comes twice, so the source waits; but not for days, then the old clock was
 * wrong. */
static void source_on_jump_back(struct calendar_source *source, int64_t now_ns)
{
    source->skip_ns = 0;
    if (source->cursor_ns - now_ns <= CALENDAR_AHEAD_NS)
        return;
    gws_source_notice(source->source, true,
                      "the clock was set back by days: ticks begin anew from its present time");
    source->cursor_ns = now_ns;
    source_await(source);
}

/* ---- the process: one wake for all that is due ---- */

static void calendar_arm(struct calendar *calendar)
{
    const struct agenda_entry *first = agenda_first(&calendar->agenda);
    int64_t wait_ms;

    if (first == NULL) {
        gw_timer_stop(calendar->timer);
        return;
    }
    wait_ms = civil_floor(first->due_ns - gw_clock_realtime_ns() + GW_NS_PER_MS - 1, GW_NS_PER_MS);
    gw_timer_start(calendar->timer, GW_MAX(GW_MIN(wait_ms, CALENDAR_LOOK_MS), 0));
}

static void calendar_look(struct calendar *calendar, int64_t now_ns)
{
    int64_t monotonic_ns = gw_clock_monotonic_ns();
    int64_t offset_ns = now_ns - monotonic_ns, jump_ns = offset_ns - calendar->offset_ns;
    bool stalled = monotonic_ns - calendar->looked_ns > CALENDAR_STALL_NS;

    calendar->looked_ns = monotonic_ns;
    calendar->offset_ns = offset_ns;
    for (struct calendar_source *source = calendar->sources; source != NULL; source = source->next) {
        if (jump_ns < -CALENDAR_JUMP_NS)
            source_on_jump_back(source, now_ns);
        else if (jump_ns > CALENDAR_JUMP_NS || stalled)
            source_on_jump_ahead(source, now_ns);
        else
            break;
    }
}

static void calendar_wake(void *user)
{
    struct calendar *calendar = user;
    int64_t now_ns = gw_clock_realtime_ns();

    calendar_look(calendar, now_ns);
    for (int burst = 0; burst < CALENDAR_BURST_MAX; burst++) {
        struct agenda_entry *first = agenda_first(&calendar->agenda);

        if (first == NULL || first->due_ns > now_ns)
            break;
        if (!source_tick(GW_CONTAINER_OF(first, struct calendar_source, entry))) {
            gw_timer_start(calendar->timer, CALENDAR_RETRY_MS);
            return;
        }
    }
    calendar_arm(calendar);
}

/* A timer that never ends but is cancelled by the kernel when the clock is set, or the machine wakes up. */
static void calendar_watch_clock(struct calendar *calendar)
{
    const struct itimerspec never = {.it_value = {.tv_sec = NEXT_END_S}};

    /* Refused by some sandboxes: CALENDAR_LOOK_MS is then how fast a change is seen. */
    (void)!timerfd_settime(calendar->clock_descriptor, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
                           NULL);
}

static void on_clock_set(void *user, int events)
{
    struct calendar *calendar = user;
    uint64_t expirations;

    (void)events;
    (void)!read(calendar->clock_descriptor, &expirations, sizeof(expirations));
    calendar_watch_clock(calendar);
    calendar_wake(calendar);
}

static int calendar_open_clock(struct calendar *calendar)
{
    calendar->clock_descriptor = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (calendar->clock_descriptor < 0)
        return 0;
    calendar_watch_clock(calendar);
    GW_TRY(gw_poll_open(&calendar->clock_poll, calendar->loop, calendar->clock_descriptor, on_clock_set,
                        calendar));
    gw_poll_set(calendar->clock_poll, GW_READABLE);
    return 0;
}

/* ---- the module ---- */

static void calendar_close(struct gws_server *server, void *data)
{
    struct calendar *calendar = data;

    (void)server;
    if (calendar == NULL)
        return;
    if (calendar->timer != NULL)
        gw_timer_close(calendar->timer);
    if (calendar->clock_poll != NULL)
        gw_poll_close(calendar->clock_poll);
    if (calendar->clock_descriptor >= 0)
        close(calendar->clock_descriptor);
    agenda_done(&calendar->agenda);
    zone_store_done(&calendar->zones);
    gw_bytes_done(&calendar->data);
    free(calendar);
}

static int calendar_open_parts(struct calendar *calendar)
{
    GW_TRY(gw_timer_open(&calendar->timer, calendar->loop, calendar_wake, calendar));
    GW_TRY(calendar_open_clock(calendar));
    return 0;
}

static int calendar_open(struct gws_server *server, void **ret_data, struct gw_reason *reason)
{
    struct calendar *calendar = calloc(1, sizeof(*calendar));
    int fault;

    (void)reason;
    if (calendar == NULL)
        return GW_RAISE(-ENOMEM);
    calendar->clock_descriptor = -1;
    calendar->loop = gws_server_loop(server);
    fault = calendar_open_parts(calendar);
    if (fault != 0) {
        calendar_close(server, calendar);
        return fault;
    }
    *ret_data = calendar;
    return 0;
}

static void calendar_validate(struct gws_server *server, const struct gws_identity *identity,
                              const void *config, struct gw_problems *problems)
{
    struct calendar *calendar = gws_server_data(server);
    GW_AUTO(plan_done) struct plan plan = {0};

    (void)identity;
    if (plan_make(&plan, config, &calendar->zones, problems) < 0)
        gw_problems_add(problems, "", 0, "cannot be checked: %s", gw_fault_trace());
}

static int source_make_plan(struct calendar_source *source, struct gw_reason *reason)
{
    GW_AUTO(gw_problems_done) struct gw_problems problems = {0};

    GW_TRY(plan_make(&source->plan, source->config, &source->calendar->zones, &problems));
    if (!gw_problems_any(&problems))
        return 0;
    gw_problems_reason(&problems, reason);
    return GW_RAISE(-EINVAL);
}

static int source_make_payload(struct calendar_source *source)
{
    const struct gw_node *node = source->config->user_payload;

    if (node != NULL && node->kind != GW_NODE_NULL)
        gw_json_write_node(&source->user_payload, node);
    return source->user_payload.failed ? GW_RAISE(-ENOMEM) : 0;
}

/* Where to go on: after the last tick that is durable, or now. */
static void source_find_place(struct calendar_source *source, struct gw_view position)
{
    int64_t now_ns = gw_clock_realtime_ns(), last_ns = now_ns;

    source->cursor_ns = now_ns;
    if (position.size == 0)
        return;
    if (!gw_time_parse(position, &last_ns)) {
        gws_source_notice(source->source, true, "the kept position is not a time: ticks begin from now");
        return;
    }
    if (last_ns > now_ns + CALENDAR_AHEAD_NS) {
        gws_source_notice(
            source->source, true,
            "the last tick lies days in the future, the clock must have been wrong: ticks begin from now");
        return;
    }
    if (last_ns > now_ns || source->config->catchup.enabled)
        source->cursor_ns = last_ns;
    if (source->config->catchup.enabled)
        source_bound(source, now_ns, source->config->catchup.window_ns);
}

static void source_enter(struct calendar_source *source)
{
    struct calendar *calendar = source->calendar;

    source->next = calendar->sources;
    source->link = &calendar->sources;
    if (source->next != NULL)
        source->next->link = &source->next;
    calendar->sources = source;
    if (calendar->sources_count++ == 0) { /* nobody has looked at the clock meanwhile */
        calendar->looked_ns = gw_clock_monotonic_ns();
        calendar->offset_ns = gw_clock_realtime_ns() - calendar->looked_ns;
    }
}

static void source_done(struct calendar_source *source)
{
    plan_done(&source->plan);
    gw_bytes_done(&source->user_payload);
}

static int source_make(struct calendar_source *source, struct gw_reason *reason)
{
    GW_TRY(source_make_plan(source, reason));
    GW_TRY(source_make_payload(source));
    GW_TRY(agenda_reserve(&source->calendar->agenda, source->calendar->sources_count + 1));
    return 0;
}

static int calendar_start(struct gws_source *stream, const void *config, void *state, struct gw_view position,
                          struct gw_reason *reason)
{
    struct calendar_source *source = state;
    int fault;

    source->calendar = gws_server_data(gws_source_server(stream));
    source->source = stream;
    source->config = config;
    fault = source_make(source, reason);
    if (fault != 0) {
        source_done(source);
        return fault;
    }
    gws_source_started(stream);
    if (source->plan.interval_ignored)
        gws_source_notice(stream, false, "both schedule and interval are set: schedule counts");
    if (source->plan.recurrence_ignored > 0)
        gws_source_notice(stream, false,
                          "recurrence: only EXDATE lines have an effect; rules go into exclude");
    source_enter(source);
    source_find_place(source, position);
    source_await(source);
    calendar_arm(source->calendar);
    return 0;
}

static void calendar_pause(struct gws_source *stream, void *state)
{
    struct calendar_source *source = state;

    (void)stream;
    source->paused = true;
    source_await(source);
    calendar_arm(source->calendar);
}

static void calendar_resume(struct gws_source *stream, void *state)
{
    struct calendar_source *source = state;

    (void)stream;
    source->paused = false;
    source_bound(source, gw_clock_realtime_ns(), 0);
    source_await(source);
    calendar_arm(source->calendar);
}

static void calendar_stop(struct gws_source *stream, void *state)
{
    struct calendar_source *source = state;
    struct calendar *calendar = source->calendar;

    (void)stream;
    agenda_remove(&calendar->agenda, &source->entry);
    *source->link = source->next;
    if (source->next != NULL)
        source->next->link = source->link;
    calendar->sources_count--;
    source_done(source);
    calendar_arm(calendar);
}

static const struct gws_module calendar_module = {
    .type = "calendar",
    .summary = "Ticks by cron schedule or interval, in any time zone.",
    .event_type = "sluice.calendar.tick",
    .settings = calendar_settings,
    .config_size = sizeof(struct calendar_config),
    .state_size = sizeof(struct calendar_source),
    .open = calendar_open,
    .close = calendar_close,
    .validate = calendar_validate,
    .start = calendar_start,
    .pause = calendar_pause,
    .resume = calendar_resume,
    .stop = calendar_stop,
    .command = preview_command,
    .command_help = PREVIEW_HELP,
};

GWS_MAIN(calendar_module)
