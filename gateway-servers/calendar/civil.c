/* Civil dates. */
#include "gateway-servers/calendar/civil.h"

/* Years are counted from March: the leap day is then the last of its year. */
static int64_t civil_days_before_march_year(int64_t year)
{
    return 365 * year + civil_floor(year, 4) - civil_floor(year, 100) + civil_floor(year, 400);
}

/* Days from 1 March to the first of a month, 0: March. The lengths 31 30 31 30 31 repeat, 153 days every five
 * months. */
static int civil_days_before_month(int months_since_march)
{
    return (153 * months_since_march + 2) / 5;
}

int64_t civil_days(int64_t year, int month, int day)
{
    enum { DAYS_TO_1970 = 719468 }; /* from 0000-03-01 */
    bool early = month < 3;

    return civil_days_before_march_year(year - early) +
           civil_days_before_month(early ? month + 9 : month - 3) + day - 1 - DAYS_TO_1970;
}

bool civil_is_leap(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int civil_month_length(int64_t year, int month)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

    return lengths[month - 1] + (month == 2 && civil_is_leap(year));
}

int civil_weekday(int64_t days)
{
    return (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
}

int64_t civil_wall(const struct civil *civil)
{
    return civil_days(civil->year, civil->month, civil->day) * CIVIL_DAY_S + civil->hour * 3600 +
           civil->minute * 60 + civil->second;
}

struct civil civil_of(int64_t wall)
{
    int64_t days = civil_floor(wall, CIVIL_DAY_S);
    int in_day = (int)(wall - days * CIVIL_DAY_S);
    struct civil civil = {.hour = in_day / 3600, .minute = in_day / 60 % 60, .second = in_day % 60};
    int64_t year = 1970 + civil_floor(days * 400, 146097); /* 146,097 days in 400 years: right or one off */

    while (civil_days(year, 1, 1) > days)
        year--;
    while (civil_days(year + 1, 1, 1) <= days)
        year++;
    civil.year = year;
    civil.month = 1;
    while (civil.month < 12 && civil_days(year, civil.month + 1, 1) <= days)
        civil.month++;
    civil.day = (int)(days - civil_days(year, civil.month, 1)) + 1;
    return civil;
}
