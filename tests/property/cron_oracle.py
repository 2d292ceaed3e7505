"""A slow, plain reading of cron schedules: every day, minute and second is looked at. It shares nothing with the program."""

import calendar
import datetime as dt
import zoneinfo

UTC = dt.timezone.utc
MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
WEEKDAYS = "SUN MON TUE WED THU FRI SAT".split()
RANGES = {"second": (0, 59), "minute": (0, 59), "hour": (0, 23), "day": (1, 31), "month": (1, 12), "weekday": (0, 6)}


class Field:
    """A random field: its text, and apart from it the set of its values."""

    def __init__(self, rng, kind, star=0.4, most=3):
        self.kind, self.values, self.star, self.last, self.last_weekdays = kind, set(), False, False, set()
        self.ranges = []
        if rng.random() < star:
            items = [self.item_star(rng)]
        else:
            items = [self.item(rng) for _ in range(rng.randint(1, most))]
        self.text = ",".join(items)

    def name(self, rng, value):
        names = {"month": [""] + MONTHS, "weekday": WEEKDAYS}.get(self.kind)
        if names and rng.random() < 0.3:
            return rng.choice([str.upper, str.lower, str.title])(names[value])
        if self.kind == "weekday" and value == 0 and rng.random() < 0.5:
            return "7"
        return str(value)

    def item_star(self, rng):
        low, high = RANGES[self.kind]
        step = rng.choice([1, 1, 1, 2, 5, 7, 15, rng.randint(1, high)])
        self.star = True
        self.values |= set(range(low, high + 1, step))
        star = rng.choice("***?")
        return star if step == 1 and rng.random() < 0.8 else f"{star}/{step}"

    def item(self, rng):
        low, high = RANGES[self.kind]
        first, last = sorted((rng.randint(low, high), rng.randint(low, high)))
        step = rng.randint(1, 9)
        shape = rng.random()
        if self.kind == "day" and shape < 0.1:
            self.last = True
            return rng.choice("lL")
        if self.kind == "weekday" and shape < 0.1:
            self.last_weekdays.add(first)
            return self.name(rng, first) + rng.choice("lL")
        if shape < 0.6:
            self.values.add(first)
            return self.name(rng, first)
        self.ranges.append((first, last))
        if shape < 0.75:
            self.values |= set(range(first, last + 1))
            return f"{'0' if first == 0 else self.name(rng, first)}-{self.name(rng, last) if last else '0'}"
        if shape < 0.9:
            self.values |= set(range(first, last + 1, step))
            return f"{first}-{last}/{step}"
        self.values |= set(range(first, high + 1, step))
        return f"{first}/{step}"


class Schedule:
    def __init__(self, rng, running=None, seconds=None, days=0.6):
        seconds = rng.random() < 0.3 if seconds is None else seconds
        star = {True: 0.6, False: 0.0, None: 0.3}[running]
        self.second = Field(rng, "second", star / 4) if seconds else None
        self.minute = Field(rng, "minute", star)
        self.hour = Field(rng, "hour", star)
        self.day = Field(rng, "day", days)
        self.month = Field(rng, "month", (1 + days) / 2)
        self.weekday = Field(rng, "weekday", days)
        fields = [self.second] * seconds + [self.minute, self.hour, self.day, self.month, self.weekday]
        self.text = " ".join(field.text for field in fields)
        self.seconds = sorted(self.second.values) if seconds else [0]
        self.running = self.minute.star or self.hour.star or (seconds and self.second.star)

    def day_matches(self, date):
        if date.month not in self.month.values:
            return False
        length = calendar.monthrange(date.year, date.month)[1]
        weekday = (date.weekday() + 1) % 7
        by_day = date.day in self.day.values or (self.day.last and date.day == length)
        by_weekday = weekday in self.weekday.values or (weekday in self.weekday.last_weekdays and date.day + 7 > length)
        if self.day.star or self.weekday.star:
            return by_day and by_weekday
        return by_day or by_weekday

    def walls(self, date):
        if not self.day_matches(date):
            return []
        return [dt.datetime(date.year, date.month, date.day, hour, minute, second) for hour in sorted(self.hour.values)
                for minute in sorted(self.minute.values) for second in self.seconds]


def shown(instant, zone):
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def first_instant(wall, zone):
    """When the wall clock first shows `wall`; if it never does, the instant after the gap."""
    candidates = [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
    real = [instant for instant in candidates if shown(instant, zone) == wall]
    if real:
        return min(real)
    low, high = min(candidates), max(candidates)
    while high - low > dt.timedelta(seconds=1):
        middle = low + dt.timedelta(seconds=int((high - low).total_seconds()) // 2)
        if shown(middle, zone) > wall:
            high = middle
        else:
            low = middle
    return high


def ticks(schedule, zone, start, end):
    """All ticks in (start, end], UTC."""
    return running_ticks(schedule, zone, start, end) if schedule.running else fixed_ticks(schedule, zone, start, end)


def fixed_ticks(schedule, zone, start, end):
    found = set()
    date = start.date() - dt.timedelta(days=3)
    while date <= end.date() + dt.timedelta(days=3):
        found |= {first_instant(wall, zone) for wall in schedule.walls(date)}
        date += dt.timedelta(days=1)
    return sorted(instant for instant in found if start < instant <= end)


def running_ticks(schedule, zone, start, end):
    found = []
    minute = start.replace(second=0)
    while minute <= end:
        local = minute.astimezone(zone)
        if local.hour in schedule.hour.values and local.minute in schedule.minute.values and schedule.day_matches(local.date()):
            found += [minute + dt.timedelta(seconds=second) for second in schedule.seconds]
        minute += dt.timedelta(minutes=1)
    return [instant for instant in found if start < instant <= end]


def changes(zone, year):
    """Instants of a year at which the zone's offset changes, to the second."""
    found = []
    at = dt.datetime(year, 1, 1, tzinfo=UTC)
    while at.year == year:
        next_at = at + dt.timedelta(days=1)
        if at.astimezone(zone).utcoffset() != next_at.astimezone(zone).utcoffset():
            low, high = at, next_at
            while high - low > dt.timedelta(seconds=1):
                middle = low + dt.timedelta(seconds=int((high - low).total_seconds()) // 2)
                if middle.astimezone(zone).utcoffset() == at.astimezone(zone).utcoffset():
                    low = middle
                else:
                    high = middle
            found.append(high)
        at = next_at
    return found


def zones():
    skipped = ("posix", "right", "localtime", "Factory", "posixrules")
    return sorted(name for name in zoneinfo.available_timezones() if not name.startswith(skipped))
