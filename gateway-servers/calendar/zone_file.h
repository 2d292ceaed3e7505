/* Zone file: where the system keeps its time zones, and what their names are. */
#ifndef CALENDAR_ZONE_FILE_H
#define CALENDAR_ZONE_FILE_H

#include "common/bytes.h"
#include "common/fault.h"

/* The bytes of the zone's file. -EINVAL: no such zone, with words that name the nearest. */
int zone_file_read(const char *name, struct gw_bytes *ret_bytes, struct gw_reason *reason) GW_MUST_CHECK;

#endif
