/* Plan: when one event source ticks: its settings, read and checked. */
#ifndef CALENDAR_PLAN_H
#define CALENDAR_PLAN_H

#include "common/settings.h"
#include "gateway-servers/calendar/exclusions.h"
#include "gateway-servers/calendar/next.h"

/* What the settings table fills. */
struct calendar_config {
    const char *schedule;
    int64_t interval_ns; /* 0: absent */
    const char *timezone;
    struct gw_setting_texts recurrence, exclude;
    const struct gw_node *user_payload; /* NULL: absent */
    const char *payload;
    struct calendar_catchup {
        bool enabled;
        int64_t window_ns;
    } catchup;
};
extern const struct gw_setting calendar_settings[];

struct plan {
    struct ticks ticks;
    struct exclusions *exclusions; /* owned */
    bool interval_ignored;         /* both were given: the schedule counts */
    size_t recurrence_ignored;     /* entries of `recurrence` without effect */
};

/* 0 also when problems were added (then look at them, not at the plan). The zones must outlive the plan.
 * < 0: no memory. */
int plan_make(struct plan *ret_plan, const struct calendar_config *config, struct zone_store *zones,
              struct gw_problems *problems) GW_MUST_CHECK;
void plan_done(struct plan *plan);

/* The first tick after `after_ns` that is not excluded. Verdicts: PLAN_OVER: there is none; PLAN_EXCLUDED: there is
 * none among the next PLAN_LOOK_MAX. */
enum { PLAN_OVER = 1, PLAN_EXCLUDED = 2, PLAN_LOOK_MAX = 1000000 };
int plan_next(struct plan *plan, int64_t after_ns, int64_t *ret_ns) GW_MUST_CHECK;

#endif
