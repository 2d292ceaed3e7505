"""Cron schedules, time zones and exclusions, against a brute-force reading with zoneinfo, against croniter, and against dateutil."""

import datetime as dt
import zoneinfo

import croniter
import dateutil.rrule
import pytest

from cron_oracle import UTC, Schedule, changes, fixed_ticks, ticks, zones

RESTLESS = ["Europe/Lisbon", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca",
            "Europe/Dublin", "Asia/Tehran", "America/St_Johns", "Asia/Beirut", "Africa/Cairo", "Pacific/Chatham", "Asia/Gaza",
            "America/Havana", "Antarctica/Troll", "America/Nuuk"]
COUNT_MAX = 40


def text(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def question(schedule, zone, start, count, **config):
    return {"config": {"schedule": schedule, "timezone": zone, **config}, "from": text(start), "count": count}


def instants(answer):
    return [dt.datetime.fromisoformat(tick.replace("Z", "+00:00")).astimezone(UTC) for tick in answer["ticks"]]


def compare(ask, cases):
    """Each case: schedule text, zone name, start, the expected ticks (the first so many)."""
    answers = ask([question(schedule, zone, start, max(1, len(expected))) for schedule, zone, start, expected in cases])
    for (schedule, zone, start, expected), answer in zip(cases, answers):
        assert "ticks" in answer, (schedule, answer)
        if expected:
            assert instants(answer) == expected, (schedule, zone, text(start))


def around(rng, name, years):
    """A zone, and a start shortly before one of its changes."""
    zone = zoneinfo.ZoneInfo(name)
    found = changes(zone, rng.choice(years))
    if not found:
        return zone, dt.datetime(rng.choice(years), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), tzinfo=UTC)
    return zone, rng.choice(found) - dt.timedelta(seconds=rng.randint(0, 100_000))


@pytest.mark.parametrize("years", [range(1975, 2038), range(2038, 2100)], ids=["table", "rule"])
def test_running_times_follow_the_wall_clock_through_changes(ask, rng, years):
    cases = []
    for _ in range(150):
        name = rng.choice(RESTLESS)
        zone, start = around(rng, name, years)
        schedule = Schedule(rng, running=True, days=0.9)
        while not schedule.running:
            schedule = Schedule(rng, running=True, days=0.9)
        cases.append((schedule.text, name, start, ticks(schedule, zone, start, start + dt.timedelta(days=2))[:COUNT_MAX]))
    check_dates(cases)
    compare(ask, [case for case in cases if case[3]])


def check_dates(cases):
    assert sum(len(case[3]) > 0 for case in cases) > len(cases) // 8  # enough to say something


@pytest.mark.parametrize("years", [range(1975, 2038), range(2038, 2100)], ids=["table", "rule"])
def test_fixed_times_tick_once_through_changes(ask, rng, years):
    cases = []
    for _ in range(400):
        name = rng.choice(RESTLESS)
        zone, start = around(rng, name, years)
        schedule = Schedule(rng, running=False, days=0.8)
        cases.append((schedule.text, name, start, ticks(schedule, zone, start, start + dt.timedelta(days=20))[:COUNT_MAX]))
    check_dates(cases)
    compare(ask, [case for case in cases if case[3]])


def test_any_schedule_in_any_zone(ask, rng):
    names, cases = zones(), []
    for _ in range(600):
        name = rng.choice(names)
        start = dt.datetime(rng.randint(1975, 2100), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23),
                            rng.randint(0, 59), rng.randint(0, 59), tzinfo=UTC)
        schedule = Schedule(rng, running=False)
        cases.append((schedule.text, name, start, fixed_ticks(schedule, zoneinfo.ZoneInfo(name), start,
                                                              start + dt.timedelta(days=60))[:COUNT_MAX]))
    compare(ask, [case for case in cases if case[3]])


def test_rare_days(ask, rng):
    """Years of days, one time a day: leap days, last days, weekdays of some months."""
    cases = []
    for _ in range(150):
        schedule = Schedule(rng, running=False, seconds=False)
        schedule.text = " ".join(["0", "0"] + schedule.text.split()[2:])
        schedule.minute.values, schedule.hour.values = {0}, {0}
        start = dt.datetime(rng.randint(1990, 2150), 1, 1, tzinfo=UTC) - dt.timedelta(seconds=1)
        date, expected = start.date(), []
        while len(expected) < 8 and date.year < start.year + 9:
            date += dt.timedelta(days=1)
            if schedule.day_matches(date):
                expected.append(dt.datetime(date.year, date.month, date.day, tzinfo=UTC))
        cases.append((schedule.text, "UTC", start, expected))
    answers = ask([question(schedule, zone, start, max(1, len(expected))) for schedule, zone, start, expected in cases])
    for (schedule, _, start, expected), answer in zip(cases, answers):
        if expected:
            assert instants(answer) == expected, (schedule, text(start))
        else:  # a problem, or a tick later than nine years
            assert "problems" in answer or all(tick > start.replace(year=start.year + 8) for tick in instants(answer)), schedule


def test_every_zone_has_the_offsets_of_zoneinfo(ask, rng):
    names, questions, expected = zones(), [], []
    for name in names:
        for _ in range(8):
            start = dt.datetime(1902, 1, 1, tzinfo=UTC) + dt.timedelta(seconds=rng.randint(0, 250 * 365 * 86400))
            tick = start + dt.timedelta(seconds=1)
            questions.append({"config": {"interval": "1s", "timezone": name}, "from": text(start), "count": 1})
            local = tick.astimezone(zoneinfo.ZoneInfo(name))
            offset = int(local.utcoffset().total_seconds())
            sign, minutes = "-" if offset < 0 else "+", abs(offset) // 60
            expected.append(local.strftime("%Y-%m-%dT%H:%M:%S") + f"{sign}{minutes // 60:02}:{minutes % 60:02}")
    for asked, answer, wanted in zip(questions, ask(questions), expected):
        assert answer["ticks"][0].replace("Z", "+00:00") == wanted, asked


def test_croniter_agrees_in_utc(ask, rng):
    cases = []
    while len(cases) < 500:
        schedule = Schedule(rng, seconds=False)
        stepped = any(field.star and "/" in field.text for field in (schedule.day, schedule.weekday))
        lasts = schedule.day.last or schedule.weekday.last_weekdays or "?" in schedule.text
        items = schedule.text.replace(" ", ",").split(",")
        fields = (schedule.minute, schedule.hour, schedule.day, schedule.month, schedule.weekday)
        # it reads 5/9 and 13-13 in its own way
        odd = any("/" in item and item[0] != "*" for item in items) or any(
            first == last for field in fields for first, last in field.ranges)
        if stepped or lasts or odd:
            continue
        start = dt.datetime(rng.randint(1990, 2030), rng.randint(1, 12), rng.randint(1, 28), rng.randint(0, 23), tzinfo=UTC)
        try:
            other = croniter.croniter(schedule.text, start)
            expected = [other.get_next(dt.datetime) for _ in range(10)]
        except croniter.CroniterError:
            continue
        cases.append((schedule.text, "UTC", start, expected))
    compare(ask, cases)


WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]


def random_rule(rng):
    frequency = rng.choice(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"])
    parts = [f"FREQ={frequency}"]
    if rng.random() < 0.4:
        parts.append(f"INTERVAL={rng.randint(2, 4)}")
    if frequency == "WEEKLY" or (frequency in ("DAILY", "MONTHLY") and rng.random() < 0.4):
        parts.append("BYDAY=" + ",".join(rng.sample(WEEKDAYS, rng.randint(1, 3))))
    elif frequency == "MONTHLY":
        parts.append("BYMONTHDAY=" + ",".join(str(day) for day in sorted(rng.sample([1, 2, 10, 15, 28, 30, -1], 2))))
    elif frequency == "YEARLY":
        parts.append(f"BYMONTH={rng.randint(1, 12)}")
        parts.append(f"BYMONTHDAY={rng.randint(1, 28)}")
    if rng.random() < 0.3:
        parts.append(rng.choice([f"COUNT={rng.randint(1, 40)}", f"UNTIL={rng.randint(2024, 2030)}0601"]))
    return ";".join(parts)


def test_rules_exclude_the_days_that_dateutil_names(ask, rng):
    questions, expected = [], []
    for _ in range(400):
        rule, begin = random_rule(rng), dt.date(rng.randint(2015, 2025), rng.randint(1, 12), rng.randint(1, 28))
        start = dt.datetime(rng.randint(2024, 2028), rng.randint(1, 12), rng.randint(1, 28), tzinfo=UTC)
        days = {moment.date() for moment in dateutil.rrule.rrulestr(rule, dtstart=dt.datetime(begin.year, begin.month, begin.day))
                .between(dt.datetime(2010, 1, 1), dt.datetime(2032, 1, 1), inc=True)}
        ticks_, at = [], start
        while len(ticks_) < 30 and at.year < 2032:
            at += dt.timedelta(hours=12)
            if at.date() not in days:
                ticks_.append(at)
        if len(ticks_) < 30:
            continue
        questions.append(question("0 0,12 * * *", "UTC", start, 30, exclude=[f"DTSTART:{begin:%Y%m%d}\nRRULE:{rule}"]))
        expected.append(ticks_)
    assert len(questions) > 300
    for asked, answer, wanted in zip(questions, ask(questions), expected):
        assert instants(answer) == wanted, asked


def test_rules_of_times_exclude_the_instants_that_dateutil_names(ask, rng):
    zone, questions, expected = zoneinfo.ZoneInfo("Europe/Lisbon"), [], []
    for _ in range(200):
        rule = random_rule(rng) + f";BYHOUR={rng.choice([0, 6, 12, 18])};BYMINUTE=0;BYSECOND=0"
        if "UNTIL" in rule:
            rule = rule.replace("0601;", "0601T000000;")
        begin = dt.datetime(rng.randint(2015, 2025), rng.randint(1, 12), rng.randint(1, 28), 6)
        start = dt.datetime(rng.randint(2024, 2028), rng.randint(1, 12), rng.randint(1, 28), tzinfo=UTC)
        walls = set(dateutil.rrule.rrulestr(rule, dtstart=begin).between(dt.datetime(2010, 1, 1), dt.datetime(2032, 1, 1), inc=True))
        schedule = Schedule(rng, running=False, seconds=False)
        schedule.text = "0 0,6,12,18 * * *"
        schedule.minute.values, schedule.hour.values = {0}, {0, 6, 12, 18}
        for field in (schedule.day, schedule.weekday, schedule.month):
            field.values, field.star, field.last, field.last_weekdays = set(range(32)), True, False, set()
        all_ticks = fixed_ticks(schedule, zone, start, start + dt.timedelta(days=25))
        wanted = [tick for tick in all_ticks if tick.astimezone(zone).replace(tzinfo=None) not in walls][:40]
        questions.append(question(schedule.text, "Europe/Lisbon", start, len(wanted),
                                  exclude=[f"DTSTART:{begin:%Y%m%dT%H%M%S}\nRRULE:{rule}"]))
        expected.append(wanted)
    for asked, answer, wanted in zip(questions, ask(questions), expected):
        assert instants(answer) == wanted, asked


def test_dates_exclude_days_and_instants(ask, rng):
    """`recurrence` takes whole days of the schedule's zone, `exclude` exactly what is written."""
    questions, expected = [], []
    for _ in range(200):
        name = rng.choice(RESTLESS)
        zone = zoneinfo.ZoneInfo(name)
        start = dt.datetime(2026, rng.randint(1, 12), rng.randint(1, 28), tzinfo=UTC)
        quarters = [start + dt.timedelta(minutes=15 * i) for i in range(1, 24 * 4 * 6)]
        hours = [tick for tick in quarters if tick.astimezone(zone).minute == 0]
        dropped = rng.sample(hours, 3)
        if rng.random() < 0.5:
            days = {tick.astimezone(zone).date() for tick in dropped}
            config = {"recurrence": ["EXDATE:" + ",".join(f"{day:%Y%m%d}" + rng.choice(["", "T150405Z"]) for day in sorted(days))]}
            wanted = [tick for tick in hours if tick.astimezone(zone).date() not in days]
        else:
            config = {"exclude": [f"EXDATE:{tick:%Y%m%dT%H%M%S}Z" if rng.random() < 0.5 else text(tick) for tick in dropped]}
            wanted = [tick for tick in hours if tick not in dropped]
        questions.append(question("0 * * * *", name, start, len(wanted), **config))
        expected.append(wanted)
    for asked, answer, wanted in zip(questions, ask(questions), expected):
        assert instants(answer) == wanted, asked


@pytest.mark.parametrize("schedule, words", [
    ("61 * * * *", ["minute", "61", "0-59"]),
    ("* 24 * * *", ["hour", "24", "0-23"]),
    ("* * 0 * *", ["day-of-month", "0", "1-31"]),
    ("* * 32 * *", ["day-of-month", "32", "1-31"]),
    ("* * * 13 *", ["month", "13", "1-12"]),
    ("* * * * 8", ["day-of-week", "8", "0-7"]),
    ("60 * * * * *", ["second", "60", "0-59"]),
    ("1-70 * * * *", ["minute", "70", "0-59"]),
    ("5-1 * * * *", ["minute", "5-1"]),
    ("*/0 * * * *", ["minute", "0", "step"]),
    ("*/x * * * *", ["minute", "x", "step"]),
    ("1, * * * *", ["minute", "lacks"]),
    ("-1 * * * *", ["minute", "-1"]),
    ("* * * foo *", ["month", "foo", "JAN-DEC"]),
    ("* * * * L", ["day-of-week", "weekday before"]),
    ("* * 3L * *", ["day-of-month", "3L"]),
    ("* * * *", ["4 fields"]),
    ("* * * * * * *", ["7 fields"]),
    ("TZ=UTC * * * * *", ["timezone"]),
    ("@fortnightly", ["@weekly"]),
    ("@every 5", ["duration"]),
    ("@every 1us", ["1ms"]),
    ("0 0 31 2 *", ["no date"]),
    ("0 0 30,31 feb ?", ["no date"]),
    ("0 0 */30 2 5L", ["no date"]),
])
def test_wrong_schedules_are_refused_in_words(ask, schedule, words):
    (answer,) = ask([question(schedule, "UTC", dt.datetime(2026, 1, 1, tzinfo=UTC), 1)])
    for word in ["schedule: "] + words:
        assert word in answer["problems"][0], answer


def test_wrong_exclusions_are_refused_in_words(ask):
    wrong = {
        "recurrence": ["20261225", "EXDATE:2026122", "EXDATE:20261301", "EXDATE:", "EXDATE", "FOO:1", "EXDATE:20260229"],
        "exclude": ["", "hello", "EXDATE:nope", "RRULE:FREQ=FOO", "RRULE:", "RRULE:FREQ=DAILY;FOO=1", "RRULE:FREQ=WEEKLY",
                    "RRULE:FREQ=DAILY;INTERVAL=2", "RRULE:FREQ=SECONDLY", "DTSTART:20260101", "EXDATE;TZID=Mars/Base:20260101T000000",
                    "RRULE:FREQ=DAILY;BYHOUR=25", "RRULE:FREQ=DAILY;FREQ=DAILY", "2026-13-01", "RRULE:FREQ=DAILY;UNTIL=x"],
    }
    cases = [(key, value) for key, values in wrong.items() for value in values]
    answers = ask([question("@daily", "UTC", dt.datetime(2026, 1, 1, tzinfo=UTC), 1, **{key: [value]}) for key, value in cases])
    for (key, value), answer in zip(cases, answers):
        assert f"{key}[0]: " in answer.get("problems", [""])[0], (key, value, answer)


def test_the_nearest_zone_is_named(ask):
    start = dt.datetime(2026, 1, 1, tzinfo=UTC)
    for wrong, right in [("Europe/Lisbonne", "Europe/Lisbon"), ("europe/lisbon", "Europe/Lisbon"), ("Tokio", "Asia/Tokyo"),
                         ("../etc/passwd", ""), ("Europe", ""), ("/etc/localtime", ""), ("posix/../Europe/Paris", "")]:
        (answer,) = ask([question("@daily", wrong, start, 1)])
        assert answer["problems"][0].startswith("timezone: ") and right in answer["problems"][0], answer
