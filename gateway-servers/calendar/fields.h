/* Fields: the text of cron fields into a schedule's bits. The language is drawn in schedule.h. */
#ifndef CALENDAR_FIELDS_H
#define CALENDAR_FIELDS_H

#include "gateway-servers/calendar/schedule.h"

/* Five fields, or six with seconds first. -EINVAL with words. */
int fields_parse(struct schedule *schedule, struct gw_view text, struct gw_reason *reason) GW_MUST_CHECK;

#endif
