/* Clocks, RFC 3339 instants, random numbers, identifiers. */
#include "common/clock.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * GW_NS_PER_S + now.tv_nsec;
}

int64_t gw_clock_realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t gw_clock_realtime_ms(void)
{
    return gw_clock_realtime_ns() / GW_NS_PER_MS;
}

int64_t gw_clock_monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t gw_clock_monotonic_ms(void)
{
    return gw_clock_monotonic_ns() / GW_NS_PER_MS;
}

/* Days since 1970-01-01 and back: years are counted from March, so that the leap day is the last of its year.
 * Eras of 400 years have 146097 days (Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month = (int)((5 * day_of_year + 2) / 153);

    *ret_day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    *ret_month = month < 10 ? month + 3 : month - 9;
    *ret_year = (int)(year_of_era + era * 400 + (*ret_month <= 2));
}

static int digits_needed(int64_t fraction)
{
    if (fraction == 0)
        return 0;
    if (fraction % GW_NS_PER_MS == 0)
        return 3;
    return fraction % GW_NS_PER_US == 0 ? 6 : 9;
}

const char *gw_time_format(char buffer[static GW_TIME_MAX], int64_t ns, int digits)
{
    int64_t seconds = ns / GW_NS_PER_S - (ns % GW_NS_PER_S < 0);
    int64_t fraction = ns % GW_NS_PER_S + (ns % GW_NS_PER_S < 0 ? GW_NS_PER_S : 0);
    int64_t days = seconds / 86400 - (seconds % 86400 < 0);
    int in_day = (int)(seconds - days * 86400);
    int year, month, day;

    if (digits < 0)
        digits = digits_needed(fraction);
    date_from_days(days, &year, &month, &day);
    int size = snprintf(buffer, GW_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", year, month, day, in_day / 3600,
                        in_day / 60 % 60, in_day % 60);
    if (digits > 0) {
        snprintf(buffer + size, GW_TIME_MAX - (size_t)size, ".%09d", (int)fraction);
        size += 1 + GW_MIN(digits, 9);
    }
    buffer[size++] = 'Z';
    buffer[size] = '\0';
    return buffer;
}

/* Takes `count` digits off the front of the text. */
static bool take_digits(struct gw_view *text, size_t count, int *ret_value)
{
    int value = 0;

    if (text->size < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (text->data[i] < '0' || text->data[i] > '9')
            return false;
        value = value * 10 + (text->data[i] - '0');
    }
    *text = gw_view(text->data + count, text->size - count);
    *ret_value = value;
    return true;
}

static bool take_one_of(struct gw_view *text, const char *bytes)
{
    if (text->size == 0 || text->data[0] == '\0' || strchr(bytes, text->data[0]) == NULL)
        return false;
    *text = gw_view(text->data + 1, text->size - 1);
    return true;
}

static bool take_fraction(struct gw_view *text, int64_t *ret_ns)
{
    int64_t unit = GW_NS_PER_S, ns = 0;
    int digit;

    *ret_ns = 0;
    if (!take_one_of(text, "."))
        return true;
    if (!take_digits(text, 1, &digit))
        return false;
    do {
        unit /= 10;
        ns += digit * unit;
    } while (take_digits(text, 1, &digit));
    *ret_ns = ns;
    return true;
}

static bool take_offset(struct gw_view *text, int *ret_seconds)
{
    int hours, minutes;

    *ret_seconds = 0;
    if (take_one_of(text, "Zz"))
        return true;
    bool west = text->size > 0 && text->data[0] == '-';
    if (!take_one_of(text, "+-") || !take_digits(text, 2, &hours) || !take_one_of(text, ":") ||
        !take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
        return false;
    *ret_seconds = (hours * 3600 + minutes * 60) * (west ? -1 : 1);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

static bool take_date(struct gw_view *text, int64_t *ret_days)
{
    int year, month, day;

    if (!take_digits(text, 4, &year) || !take_one_of(text, "-") || !take_digits(text, 2, &month) ||
        !take_one_of(text, "-") || !take_digits(text, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return false;
    *ret_days = days_from_date(year, month, day);
    return true;
}

static bool take_time(struct gw_view *text, int64_t *ret_seconds)
{
    int hour, minute, second;

    if (!take_digits(text, 2, &hour) || !take_one_of(text, ":") || !take_digits(text, 2, &minute) ||
        !take_one_of(text, ":") || !take_digits(text, 2, &second))
        return false;
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    *ret_seconds = hour * 3600 + minute * 60 + second;
    return true;
}

bool gw_time_parse(struct gw_view text, int64_t *ret_ns)
{
    int64_t days, in_day, fraction, seconds_ns, ns;
    int offset;

    /* RFC 3339 section 5.6 lets a space stand for the T. */
    if (!take_date(&text, &days) || !take_one_of(&text, "Tt ") || !take_time(&text, &in_day) ||
        !take_fraction(&text, &fraction) || !take_offset(&text, &offset) || text.size != 0)
        return false;
    int64_t seconds = days * 86400 + in_day - offset;
    /* Before 1970 the whole seconds may lie just below what fits while the instant itself fits. */
    if (seconds < 0 && fraction > 0) {
        seconds += 1;
        fraction -= GW_NS_PER_S;
    }
    if (__builtin_mul_overflow(seconds, GW_NS_PER_S, &seconds_ns) ||
        __builtin_add_overflow(seconds_ns, fraction, &ns))
        return false;
    *ret_ns = ns;
    return true;
}

/* splitmix64 (Steele, Lea, Flood 2014): the state of each thread starts from the kernel's entropy. */
uint64_t gw_random_u64(void)
{
    static _Thread_local bool seeded;
    static _Thread_local uint64_t state;

    if (!seeded) {
        if (getrandom(&state, sizeof(state), 0) != (ssize_t)sizeof(state))
            state = (uint64_t)gw_clock_monotonic_ns() ^ (uint64_t)(uintptr_t)&state;
        seeded = true;
    }
    state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t mixed = state;
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

/* Milliseconds and 12 bits of the millisecond's fraction (RFC 9562 section 6.2, method 3), as one counter
 * that only goes up also when the clock steps back or stands still. */
static uint64_t uuid_next_tick(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t last;
    uint64_t now = (uint64_t)gw_clock_realtime_ns();
    uint64_t ms = now / (uint64_t)GW_NS_PER_MS;
    uint64_t tick = ms << 12 | (now % (uint64_t)GW_NS_PER_MS) * 4096 / (uint64_t)GW_NS_PER_MS;

    pthread_mutex_lock(&lock);
    last = tick > last ? tick : last + 1;
    tick = last;
    pthread_mutex_unlock(&lock);
    return tick;
}

const char *gw_uuid7(char buffer[static GW_UUID_SIZE])
{
    uint64_t tick = uuid_next_tick();
    uint64_t high = (tick >> 12) << 16 | 0x7000 | (tick & 0xFFF);
    uint64_t low = (gw_random_u64() >> 2) | UINT64_C(1) << 63;

    snprintf(buffer, GW_UUID_SIZE, "%08x-%04x-%04x-%04x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16 & 0xFFFF), (unsigned)(high & 0xFFFF), (unsigned)(low >> 48),
             (unsigned long long)(low & UINT64_C(0xFFFFFFFFFFFF)));
    return buffer;
}
