"""The calendar as its users see it: what ticks carry, what outages do to them, what is refused, and what 10,000 cost."""

import datetime
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import time

import pytest

from harness import SLOW, program, wait_for

SOON = 5
NEVER = {"schedule": "0 0 29 2 *"}
SPRING = "2026-03-01T00:00:00Z"


def instant(text):
    """Microseconds since 1970 of an RFC 3339 time."""
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1e6)


def ticks(watcher, name):
    """The scheduled times of an event source's ticks, ascending, each once."""
    return sorted({instant(event["id"]) for event in watcher.events() if event["subject"] == name})


def wait_ticks(watcher, name, after=0.0, count=3, seconds=15):
    """Waits for ticks that are scheduled after a time (of time.time())."""
    def found():
        return [tick for tick in ticks(watcher, name) if tick > after * 1e6]
    return wait_for(lambda: len(found()) >= count, seconds, lambda: f"{count} ticks of {name}: there are {len(found())}")


def gaps(times, interval_ms):
    """(last before, first after) of each hole in a series that should have none, in seconds."""
    return [(a / 1e6, b / 1e6) for a, b in zip(times, times[1:]) if b - a != interval_ms * 1000]


def wait_gaps(watcher, name, interval_ms, count):
    """The holes, once there are no more of them than expected: deliveries overtake each other."""
    found = []

    def settled():
        found[:] = gaps(ticks(watcher, name), interval_ms)
        return len(found) <= count
    wait_for(settled, 10, lambda: f"{count} holes in {name} instead of {found}")
    assert len(found) == count
    return found


def assert_one_identity(gateway, watcher):
    """A tick that came again is the same event, and the outbox took none twice."""
    told = {}
    for event in watcher.events():
        same = told.setdefault((event["source"], event["id"]), event)
        assert same == event
        assert instant(event["time"]) == instant(event["id"]) == instant(event["data"]["eventTime"])
    with sqlite3.connect(f"file:{gateway.state}/outbox.db?mode=ro", uri=True) as outbox:
        stored = outbox.execute("SELECT event_source, time_ns, count(*) FROM events GROUP BY 1, 2 HAVING count(*) > 1").fetchall()
        assert stored == []
        ids = outbox.execute("SELECT event_source, id, count(*) FROM events GROUP BY 1, 2 HAVING count(*) > 1").fetchall()
        assert ids == []


# ---- what a tick carries ----

PAYLOADS = {
    "mapping": {"job": "settle", "tier": 3, "deep": [{"a": None}, [1.5, -2]]},
    "list": [1, "two", None],
    "text": 'tab\tquote" ü € 😀',
    "number-like-text": "007",
    "integer": 9007199254740991,
    "fraction": 0.125,
    "true": True,
    "false": False,
    "empty-text": "",
    "empty-mapping": {},
    "empty-list": [],
}


def test_a_tick_carries_its_scheduled_time(gateway, watcher):
    """Sources in UTC and Kolkata, of both payload shapes, with and without user payload, tick every 100 ms and every second."""
    gateway.watch("w", watcher.url, mode="binary").write_sources({
        "calendar.plain": {"interval": "100ms"},
        "calendar.cron": {"schedule": "* * * * * *", "timezone": "Asia/Kolkata", "userPayload": {"a": 1}},
        "calendar.new": {"schedule": "* * * * * *", "timezone": "Asia/Kolkata", "payload": "v0.16"},
        "calendar.new-user": {"interval": "100ms", "payload": "v0.16", "userPayload": [1]},
    })
    gateway.up(["calendar"])
    for name in ("plain", "cron", "new", "new-user"):
        wait_ticks(watcher, name)
    first = {event["subject"]: event for event in watcher.events()}

    for name, event in first.items():
        assert event["type"] == "sluice.calendar.tick" and event["specversion"] == "1.0"
        assert event["source"] == f"/gateways/default/shop/calendar.{name}"
        assert event["datacontenttype"] == "application/json"
        assert event["id"].endswith("Z") and instant(event["time"]) == instant(event["id"])
    assert instant(first["plain"]["id"]) % 100_000 == 0
    assert instant(first["cron"]["id"]) % 1_000_000 == 0

    assert set(first["plain"]["data"]) == {"eventTime", "userPayload"} and first["plain"]["data"]["userPayload"] is None
    assert first["plain"]["data"]["eventTime"].endswith("Z")
    assert first["cron"]["data"]["userPayload"] == {"a": 1}
    assert first["cron"]["data"]["eventTime"].endswith("+05:30")
    for name in ("plain", "cron"):
        assert instant(first[name]["data"]["eventTime"]) == instant(first[name]["id"])

    assert set(first["new"]["data"]) == {"eventTime"}
    day, clock, offset, zone = first["new"]["data"]["eventTime"].split()
    assert (offset, zone) == ("+0530", "IST")
    assert instant(f"{day}T{clock}+05:30") == instant(first["new"]["id"])
    assert first["new-user"]["data"]["userPayload"] == [1]
    assert first["new-user"]["data"]["eventTime"].endswith(" +0000 UTC")


def test_a_user_payload_may_be_any_json(gateway, watcher):
    """One source for every kind of JSON value; each arrives as it was written, in both payload shapes."""
    sources = {f"calendar.{name}.{shape}": {"interval": "500ms", "userPayload": value, "payload": shape.replace("-", ".")}
               for name, value in PAYLOADS.items() for shape in ("v0-11", "v0-16")}
    gateway.watch("w", watcher.url).write_sources(sources)
    gateway.up(["calendar"])

    wait_for(lambda: len({event["subject"] for event in watcher.events()}) == len(sources), 10, "a tick of each")

    for event in watcher.events():
        name = event["subject"].partition(".")[0]
        assert event["data"]["userPayload"] == PAYLOADS[name] and type(event["data"]["userPayload"]) is type(PAYLOADS[name])


# Of the reference (A.1): the example, and each of its fields alone. Keys have no type, as in Argo.
ARGO = {
    "nightly": 'schedule: "15 2 * * 1-5"\ntimezone: "Europe/Lisbon"\nrecurrence:\n'
               "  - EXDATE:20261225T000000Z,20270101T000000Z\nuserPayload: '{\"job\":\"settle\",\"tier\":3}'\n",
    "heartbeat": "interval: 45s",
    "long": "interval: 1h30m",
    "question": 'schedule: "0 8 ? * MON-FRI"\n',
    "steps": 'schedule: "*/10 8-18/2 1,15 jan-jun *"\n',
    "rules-without-effect": 'schedule: "30 * * * *"\nrecurrence: ["RRULE:FREQ=WEEKLY;BYDAY=SA"]\n',
    "both": 'interval: 10s\nschedule: "30 * * * *"\n',
    "names-in-other-case": 'Schedule: "30 * * * *"\nuserpayload: "x"\n',
    "soon": "interval: 1s\nuserPayload: '{\"job\":\"settle\",\"tier\":3}'\n",
}


def test_the_calendars_of_argo_run_unchanged(gateway, watcher):
    """The v0.11 ConfigMap of the reference, and every field of it in its variants, in a gateway with this type alone."""
    gateway.spec["spec"]["servers"] = [{"type": "calendar", "address": f"unix:{gateway.directory}/calendar.sock"}]
    gateway.watch("w", watcher.url).write_sources(ARGO)
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()

    wait_for(lambda: (gateway.metric("gateway_sources", state="running") or 0) == len(ARGO), SOON,
             lambda: f"all to run: {json.dumps(gateway.status(), indent=1)}")
    wait_ticks(watcher, "soon", count=1)
    event = next(event for event in watcher.events() if event["subject"] == "soon")
    assert event["data"]["userPayload"] == '{"job":"settle","tier":3}'
    assert gateway.status()["configuration"]["problems"] == []


# ---- outages ----

@pytest.mark.parametrize("killed", ["client", "calendar"])
def test_what_is_missed_in_an_outage_is_caught_up_or_skipped(gateway, watcher, killed):
    """The client (or the server) is killed for some seconds. With catch-up no tick is missing, with a window only what is
    older, without it all of the outage; no tick gets a second identity, none is taken twice."""
    window = 1.0
    gateway.watch("w", watcher.url).write_sources({
        "calendar.all": {"interval": "100ms", "catchup": {"enabled": True}},
        "calendar.cron": {"schedule": "* * * * * *", "timezone": "America/St_Johns",
                          "catchup": {"enabled": True, "window": "1h"}},
        "calendar.window": {"interval": "100ms", "catchup": {"enabled": True, "window": "1s"}},
        "calendar.none": {"interval": "100ms"},
    })
    gateway.up(["calendar"])
    wait_ticks(watcher, "all", count=5)
    wait_ticks(watcher, "cron", count=1)

    gateway.processes[killed].kill()
    dead_at = time.time()
    wait_for(lambda: time.time() > dead_at + 2.5, 5, "an outage of 2.5 s")
    back_at = time.time()
    if killed == "client":
        gateway.client()
    else:
        gateway.server("calendar")
    gateway.wait_running(*gateway.sources, seconds=15)
    running_at = time.time()
    for name in ("all", "window", "none"):
        wait_ticks(watcher, name, after=running_at, count=5)
    wait_ticks(watcher, "cron", after=running_at, count=1)

    wait_gaps(watcher, "all", 100, 0)
    wait_gaps(watcher, "cron", 1000, 0)
    (before, after), = wait_gaps(watcher, "window", 100, 1)
    assert before <= dead_at and back_at - window <= after <= running_at - window + 0.2
    (before, after), = wait_gaps(watcher, "none", 100, 1)
    assert before <= dead_at and back_at <= after <= running_at + 0.2
    gateway.processes["client"].stop()
    assert_one_identity(gateway, watcher)


def test_no_tick_is_lost_behind_a_full_outbox(gateway, watcher):
    """The watcher is down and the outbox tiny: it runs full within a second. The client is killed meanwhile. Once the watcher is
    up again, every tick comes."""
    gateway.spec["spec"]["outbox"] = {"sizeMax": "1Mi", "retention": "1s", "fsync": True}
    gateway.watch("w", watcher.url, retry={"initial": "20ms", "max": "200ms"}, concurrency=4).write_sources({
        "calendar.big": {"interval": "50ms", "userPayload": "x" * 64_000, "catchup": {"enabled": True}}})
    gateway.up(["calendar"])
    wait_ticks(watcher, "big", count=2)
    watcher.down()

    wait_for(lambda: gateway.status()["outbox"]["full"], 15, "the outbox to be full")
    full_at = time.time()
    wait_for(lambda: time.time() > full_at + 1, 5, "a second of it")
    assert gateway.source("calendar.big")["state"] == "running"
    gateway.processes["client"].kill()
    gateway.client()
    wait_for(lambda: (gateway.status() or {}).get("outbox", {}).get("full"), 15, "it to be full again")
    watcher.up()

    wait_ticks(watcher, "big", after=time.time(), count=5, seconds=20)
    wait_gaps(watcher, "big", 50, 0)


# ---- configurations ----

def test_an_edited_schedule_takes_effect(gateway, watcher):
    """A schedule that never comes is edited to one that comes each second, gets a payload, and is taken back; its neighbour ticks
    on."""
    gateway.watch("w", watcher.url).write_sources({"calendar.edited": NEVER, "calendar.kept": {"interval": "100ms"}})
    gateway.up(["calendar"])
    wait_ticks(watcher, "kept")
    assert ticks(watcher, "edited") == []

    gateway.write_sources({**gateway.sources, "calendar.edited": {"schedule": "* * * * * *"}})
    wait_ticks(watcher, "edited", count=2)
    gateway.write_sources({**gateway.sources, "calendar.edited": {"interval": "100ms", "userPayload": "new"}})
    wait_for(lambda: any(event["data"]["userPayload"] == "new" for event in watcher.events()), SOON, "the new payload")

    before = gateway.source("calendar.edited")["id"]
    gateway.write_sources({**gateway.sources, "calendar.edited": NEVER})
    wait_for(lambda: (found := gateway.source("calendar.edited"))["id"] != before and found["state"] == "running", SOON,
             "the end")
    last = time.time()
    wait_ticks(watcher, "kept", after=last, count=10)
    assert [tick for tick in ticks(watcher, "edited") if tick > last * 1e6] == []
    wait_gaps(watcher, "kept", 100, 0)
    assert gateway.source("calendar.kept")["restarts"] == 0


# key -> (configuration, the field, words of the message: value and reason)
REFUSED = {
    "calendar.no-date": ({"schedule": "0 0 31 2 *"}, "schedule", '"0 0 31 2 *": no date ever matches'),
    "calendar.minute": ({"schedule": "60 0 * * *"}, "schedule", "60"),
    "calendar.name": ({"schedule": "0 0 * * MOO"}, "schedule", "MOO"),
    "calendar.words": ({"schedule": "@fortnightly"}, "schedule", "@fortnightly"),
    "calendar.zone": ({"schedule": "0 0 * * *", "timezone": "Europe/Lissabon"}, "timezone", '"Europe/Lissabon"'),
    "calendar.escape": ({"schedule": "0 0 * * *", "timezone": "../../etc/passwd"}, "timezone", '"../../etc/passwd"'),
    "calendar.zero": ({"interval": "0s"}, "interval", "0s"),
    "calendar.unit": ({"interval": "5 parsecs"}, "interval", "5 parsecs"),
    "calendar.exdate": ({"interval": "1h", "exclude": ["EXDATE:20261340"]}, "exclude[0]", "20261340"),
    "calendar.rrule": ({"interval": "1h", "exclude": ["2026-12-25", "RRULE:FREQ=SOMETIMES"]}, "exclude[1]", "SOMETIMES"),
    "calendar.payload": ({"interval": "1h", "payload": "v0.12"}, "payload", "v0.12"),
    "calendar.window": ({"interval": "1h", "catchup": {"enabled": True, "window": "-1h"}}, "catchup.window", "-1h"),
    "calendar.enabled": ({"interval": "1h", "catchup": {"enabled": "perhaps"}}, "catchup.enabled", "perhaps"),
    "calendar.field": ({"schedul": "0 0 * * *"}, "schedul", '"schedule"'),
    "calendar.neither": ({"timezone": "UTC"}, "", "interval"),
}


def test_what_cannot_work_is_refused_in_words(gateway, watcher):
    """Bad crons, zones, exclusions and the rest beside a good source: each names field and value, in status and check; the good
    one ticks."""
    gateway.watch("w", watcher.url).write_sources({"calendar.good": {"interval": "100ms"},
                                                   **{key: row[0] for key, row in REFUSED.items()}})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    wait_ticks(watcher, "good")

    def settled():
        states = {source["key"]: source["state"] for source in gateway.status()["sources"]}
        return all(states[key] == "invalid" for key in REFUSED)
    wait_for(settled, SOON, lambda: f"all bad ones to be refused: {json.dumps(gateway.status(), indent=1)}")
    for key, (_, field, words) in REFUSED.items():
        message = gateway.source(key)["message"]
        assert field in message and words in message, f"{key}: {message}"

    checked = gateway.run("check", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file)
    assert checked.returncode == 3
    for key, row in REFUSED.items():
        told = (key, *row[1:])
        assert any(all(text in line for text in told) for line in checked.stdout.splitlines()), f"{told}:\n{checked.stdout}"
    assert "calendar.good" not in checked.stdout


# ---- many ----

MANY = 10_000 if SLOW == 1 else 2_000

def cpu_seconds(process):
    fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kib(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])


@pytest.mark.once
def test_ten_thousand_schedules_cost_nothing_while_idle(gateway, watcher, record_property):
    """10,000 schedules (fewer under sanitizers) in four zones, one of each second, all others of half a year from now: all run;
    then 5 s of idling."""
    month = (datetime.date.today().month + 5) % 12 + 1
    zones = ["UTC", "Europe/Lisbon", "America/New_York", "Asia/Kolkata"]
    sources = "".join(f"  calendar.s{i}: |\n    schedule: {i % 60} {i // 60 % 24} {1 + i % 28} {month} *\n    timezone: {zones[i % 4]}\n"
                      for i in range(MANY - 1))
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources(text="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop-events}\ndata:\n"
                               "  calendar.tick: 'schedule: \"* * * * * *\"'\n" + sources)
    server = gateway.server("calendar")
    began = time.monotonic()
    client = gateway.client()
    wait_for(lambda: gateway.metric("gateway_sources", state="running") == MANY or time.sleep(0.2), 60,
             lambda: f"all to run: {gateway.metric('gateway_sources', state='running')}")
    started = time.monotonic() - began

    processes = {"client": client, "server": server}
    idle = time.monotonic()
    before = {name: cpu_seconds(process) for name, process in processes.items()}
    wait_for(lambda: time.monotonic() > idle + 5, 10, "5 s of idling")
    idle = time.monotonic() - idle
    for name, process in processes.items():
        share = (cpu_seconds(process) - before[name]) / idle
        figures = f"{name}: {100 * share:.1f} % of a core while idle, {memory_kib(process)} KiB"
        print(figures)
        record_property(name, figures)
        assert share < 0.1, figures
    print(f"started in {started:.1f} s")
    assert len(ticks(watcher, "tick")) >= 4
    assert all(event["subject"] == "tick" for event in watcher.events())


# ---- preview ----

def preview(*words):
    return subprocess.run([str(program("gateway-server-calendar")), "preview", *words], capture_output=True, text=True,
                          timeout=10 * SLOW)


SHOWN = {
    "workdays": (["--schedule", "15 2 * * 1-5", "--timezone", "Europe/Lisbon", "--count", "5"],
                 ["2026-03-02T02:15:00+00:00", "2026-03-03T02:15:00+00:00", "2026-03-04T02:15:00+00:00",
                  "2026-03-05T02:15:00+00:00", "2026-03-06T02:15:00+00:00"]),
    "interval": (["--interval", "36h", "--count", "2"], ["2026-03-02T00:00:00Z", "2026-03-03T12:00:00Z"]),
    "interval in a zone": (["--interval", "1.5s", "--timezone", "Asia/Kolkata", "--count", "2"],
                           ["2026-03-01T05:30:01.5+05:30", "2026-03-01T05:30:03+05:30"]),
    "spring": (["--schedule", "30 1 * * *", "--timezone", "Europe/Lisbon", "--from", "2026-03-28T00:00:00Z", "--count", "3"],
               ["2026-03-28T01:30:00+00:00", "2026-03-29T02:00:00+01:00", "2026-03-30T01:30:00+01:00"]),
    "last days": (["--schedule", "0 9 L * ?", "--count", "2"], ["2026-03-31T09:00:00Z", "2026-04-30T09:00:00Z"]),
    "five": (["--schedule", "@yearly"], [f"{year}-01-01T00:00:00Z" for year in range(2027, 2032)]),
}


@pytest.mark.parametrize("what", SHOWN)
def test_preview_shows_the_next_ticks(what):
    """Cron and interval, in UTC and elsewhere, over a change of clocks: exactly these lines."""
    words, lines = SHOWN[what]

    done = preview("--from", SPRING, *words)

    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, lines, "")


def test_preview_reads_an_event_source(tmp_path):
    """The YAML of an event source with exclusions of every form."""
    file = tmp_path / "nightly.yaml"
    file.write_text('schedule: "15 2 * * *"\ntimezone: Europe/Lisbon\nrecurrence: ["EXDATE:20260302T000000Z"]\n'
                    "exclude: [2026-03-04, 'RRULE:FREQ=WEEKLY;BYDAY=SA,SU']\nuserPayload: {a: 1}\n")

    done = preview("--config", str(file), "--from", SPRING, "--count", "3")

    assert done.stdout.splitlines() == ["2026-03-03T02:15:00+00:00", "2026-03-05T02:15:00+00:00", "2026-03-06T02:15:00+00:00"]
    assert (done.returncode, done.stderr) == (0, "")


# words -> (exit code, what standard error says)
WRONG = {
    "nothing": ([], 2, ["--schedule", "--interval", "--config"]),
    "flag": (["--shedule", "@daily"], 2, ["--shedule"]),
    "word": (["--schedule", "@daily", "now"], 2, ["flags only"]),
    "count": (["--schedule", "@daily", "--count", "0"], 2, ["--count 0"]),
    "count in words": (["--schedule", "@daily", "--count", "five"], 2, ["--count", "five"]),
    "from": (["--schedule", "@daily", "--from", "yesterday"], 2, ["--from", "yesterday", "RFC 3339"]),
    "two origins": (["--schedule", "@daily", "--config", "x"], 2, ["--config"]),
    "cron": (["--schedule", "0 25 * * *"], 3, ["schedule", "25"]),
    "no date": (["--schedule", "0 0 31 2 *"], 3, ["schedule", "0 0 31 2 *"]),
    "zone": (["--schedule", "@daily", "--timezone", "Mars/Phobos"], 3, ["timezone", "Mars/Phobos"]),
    "interval": (["--interval", "-1s"], 3, ["interval", "-1s"]),
    "file": (["--config", "/nowhere.yaml"], 3, ["/nowhere.yaml", "No such file"]),
}


@pytest.mark.parametrize("what", WRONG)
def test_preview_says_what_is_wrong(what):
    """Wrong flags end with 2, configurations that cannot work with 3; nothing is printed but words on standard error."""
    words, code, told = WRONG[what]

    done = preview(*words)

    assert (done.returncode, done.stdout) == (code, "")
    assert all(text in done.stderr for text in told), done.stderr
