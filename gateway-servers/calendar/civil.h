/* Civil dates: days of the proleptic Gregorian calendar, counted from 1970-01-01, and what a wall clock shows. */
#ifndef CALENDAR_CIVIL_H
#define CALENDAR_CIVIL_H

#include "common/base.h"

enum { CIVIL_DAY_S = 86400 };

struct civil {
    int64_t year;
    int month, day;           /* from 1 */
    int hour, minute, second; /* 24-hour clock */
};

int64_t civil_days(int64_t year, int month, int day);
bool civil_is_leap(int64_t year);
int civil_month_length(int64_t year, int month);
int civil_weekday(int64_t days); /* 0: Sunday */
/* A wall-clock time is written as seconds since 1970-01-01T00:00:00 on that wall. */
int64_t civil_wall(const struct civil *civil);
struct civil civil_of(int64_t wall);

/* Division that rounds towards minus infinity; `divisor` > 0. */
static inline int64_t civil_floor(int64_t value, int64_t divisor)
{
    return value / divisor - (value % divisor < 0);
}

#endif
