/* Plan: the settings table, and the checks that it cannot make. */
#include "gateway-servers/calendar/plan.h"

#include "common/clock.h"

#include <stdio.h>

static const char *const payload_names[] = {"v0.11", "v0.16", NULL};

static const struct gw_setting catchup_settings[] = {
    {.name = "enabled",
     .kind = GW_SETTING_BOOL,
     .offset = offsetof(struct calendar_catchup, enabled),
     .otherwise = "false",
     .help = "emit the ticks that were missed while nothing ran"},
    {.name = "window",
     .kind = GW_SETTING_DURATION,
     .offset = offsetof(struct calendar_catchup, window_ns),
     .otherwise = "24h",
     .min = GW_NS_PER_MS,
     .max = INT64_MAX,
     .alias = "maxDuration",
     .help = "how far back; of these ticks the latest 10,000"},
    {0},
};

const struct gw_setting calendar_settings[] = {
    {.name = "schedule",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct calendar_config, schedule),
     .help = "five cron fields, or six with the second first, or @hourly, @daily, @every 90s, …"},
    {.name = "interval",
     .kind = GW_SETTING_DURATION,
     .offset = offsetof(struct calendar_config, interval_ns),
     .min = SCHEDULE_EVERY_MIN_NS,
     .max = INT64_MAX,
     .help = "time between ticks, from 1ms: 45s, 1h30m, 1.5s; counts only without `schedule`"},
    {.name = "timezone",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct calendar_config, timezone),
     .otherwise = "UTC",
     .help = "IANA name of the time zone of schedule, exclusions and eventTime"},
    {.name = "recurrence",
     .kind = GW_SETTING_TEXTS,
     .offset = offsetof(struct calendar_config, recurrence),
     .alias = "exclusionDates",
     .help = "EXDATE lines: each date or date-time excludes its calendar day"},
    {.name = "exclude",
     .kind = GW_SETTING_TEXTS,
     .offset = offsetof(struct calendar_config, exclude),
     .help = "EXDATE and RRULE lines: days, instants and recurrences without ticks"},
    {.name = "userPayload",
     .kind = GW_SETTING_NODE,
     .offset = offsetof(struct calendar_config, user_payload),
     .help = "any value, carried by every event"},
    {.name = "payload",
     .kind = GW_SETTING_TEXT,
     .offset = offsetof(struct calendar_config, payload),
     .otherwise = "v0.11",
     .choices = payload_names,
     .help = "shape of the event's data, as that version of Argo's gateways sent it"},
    {.name = "catchup",
     .kind = GW_SETTING_SECTION,
     .offset = offsetof(struct calendar_config, catchup),
     .table = catchup_settings,
     .help = "ticks that were missed"},
    {0},
};

static bool plan_is_given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static int plan_problem(int fault, struct gw_problems *problems, const char *path,
                        const struct gw_reason *reason)
{
    if (fault == -EINVAL)
        gw_problems_add(problems, path, 0, "%s", reason->text);
    return fault == -EINVAL ? 0 : fault;
}

static int plan_make_ticks(struct plan *plan, const struct calendar_config *config,
                           struct gw_problems *problems)
{
    struct gw_reason reason;
    int fault;

    if (!plan_is_given(config->schedule)) {
        plan->ticks.every_ns = config->interval_ns;
        if (config->interval_ns == 0)
            gw_problems_add(problems, "", 0, "either \"schedule\" or \"interval\" is needed");
        return 0;
    }
    plan->interval_ignored = config->interval_ns != 0;
    fault = schedule_parse(&plan->ticks.schedule, gw_view_text(config->schedule), &reason);
    plan->ticks.every_ns = plan->ticks.schedule.every_ns;
    return plan_problem(fault, problems, "schedule", &reason);
}

static int plan_make_list(struct plan *plan, const struct gw_setting_texts *texts, const char *name,
                          int (*add)(struct exclusions *exclusions, const char *text,
                                     struct gw_reason *reason),
                          struct gw_problems *problems)
{
    for (size_t i = 0; i < texts->count; i++) {
        struct gw_reason reason;
        char path[64];
        int verdict = add(plan->exclusions, texts->items[i], &reason);

        if (verdict == EXCLUSIONS_IGNORED) {
            plan->recurrence_ignored++;
            continue;
        }
        snprintf(path, sizeof(path), "%s[%zu]", name, i);
        verdict = plan_problem(verdict, problems, path, &reason);
        if (verdict < 0)
            return verdict;
    }
    return 0;
}

int plan_make(struct plan *ret_plan, const struct calendar_config *config, struct zone_store *zones,
              struct gw_problems *problems)
{
    GW_AUTO(plan_done) struct plan plan = {0};
    const char *name = plan_is_given(config->timezone) ? config->timezone : "UTC";
    struct gw_reason reason;

    GW_TRY(
        plan_problem(zone_store_get(zones, name, &plan.ticks.zone, &reason), problems, "timezone", &reason));
    GW_TRY(plan_make_ticks(&plan, config, problems));
    if (plan.ticks.zone == NULL)
        GW_TRY(zone_store_get(zones, "UTC", &plan.ticks.zone, NULL)); /* to go on finding problems */
    GW_TRY(exclusions_new(&plan.exclusions, plan.ticks.zone, zones));
    GW_TRY(plan_make_list(&plan, &config->recurrence, "recurrence", exclusions_add_argo, problems));
    GW_TRY(plan_make_list(&plan, &config->exclude, "exclude", exclusions_add, problems));
    *ret_plan = plan;
    plan.exclusions = NULL;
    return 0;
}

void plan_done(struct plan *plan)
{
    plan->exclusions = exclusions_free(plan->exclusions);
}

int plan_next(struct plan *plan, int64_t after_ns, int64_t *ret_ns)
{
    for (int i = 0; i < PLAN_LOOK_MAX; i++) {
        if (!next_tick(&plan->ticks, after_ns, &after_ns))
            return PLAN_OVER;
        if (!exclusions_has(plan->exclusions, after_ns)) {
            *ret_ns = after_ns;
            return 0;
        }
    }
    return PLAN_EXCLUDED;
}
