"""Processes are killed at any moment, and nothing that was acknowledged is lost."""

import collections
import contextlib
import datetime
import http.client
import itertools
import json
import os
import random
import sqlite3
import threading
import time

import pytest

from harness import SLOW, free_port, wait_for, webhook

TICK_MS = 100
SENDERS = 4
RATE = 60  # requests a second of one sender
GATEWAY_PARTS = ["client", "webhook", "calendar"]


class Sender(threading.Thread):
    """Posts numbers, each its own. A plain one posts every number once: an answer other than 2xx says nothing about it. A
    patient one names its number in a header and posts it until it is answered 2xx."""

    def __init__(self, name, port, path, patient):
        super().__init__(daemon=True)
        self.name, self.port, self.path, self.patient = name, port, path, patient
        self.accepted, self.answers = [], collections.Counter()
        self.ending = threading.Event()
        self.connection = None

    def post(self, number):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15 * SLOW)
            self.connection.request("POST", self.path, json.dumps({"number": number}),
                                    {"Content-Type": "application/json", "X-Number": number})
            answer = self.connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return 0

    def run(self):
        for count in itertools.count():
            number = f"{self.name}-{count}"
            while not self.ending.is_set():
                status = self.post(number)
                self.answers[status] += 1
                time.sleep(1 / RATE)  # the load, not a wait
                if 200 <= status < 300:
                    self.accepted.append(number)
                if not self.patient or 200 <= status < 300:
                    break
            if self.ending.is_set():
                return


class Flapping(threading.Thread):
    """Takes the watcher down for about half of the time."""

    def __init__(self, watcher, seed):
        super().__init__(daemon=True)
        self.watcher, self.random = watcher, random.Random(seed)
        self.ending = threading.Event()
        self.times = 0

    def run(self):
        while not self.ending.wait(self.random.uniform(0.2, 1.2) * SLOW):
            self.watcher.down()
            self.times += 1
            self.ending.wait(self.random.uniform(0.2, 1.2) * SLOW)
            self.watcher.up()


def start(gateway, name):
    return gateway.client(wait=False) if name == "client" else gateway.server(name, wait=False)


def kill_at_random(gateway, kills, rng):
    """Kills one process or several at once, `kills` in all, and starts them again at once."""
    done = collections.Counter()
    while sum(done.values()) < kills:
        time.sleep(rng.uniform(0.05, 1.1) * SLOW ** 0.5)  # the random moment
        victims = rng.choices([["client"], ["webhook"], ["calendar"], ["client", "webhook"], GATEWAY_PARTS], [5, 4, 1, 2, 1])[0]
        for name in victims:
            assert gateway.processes[name].running(), f"{name} ended by itself"
            gateway.processes[name].kill()
            done[name] += 1
        for name in rng.sample(victims, len(victims)):
            start(gateway, name)
    return done


def tick_ms(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


def check_ticks(events):
    """Every tick from the first to the last is there, each under one id."""
    ids = collections.defaultdict(set)
    for event in events:
        ids[tick_ms(event["data"]["eventTime"])].add(event["id"])
    first, last = min(ids), max(ids)
    lost = [tick for tick in range(first, last + 1, TICK_MS) if tick not in ids]
    assert not lost, f"{len(lost)} of {len(ids)} ticks are lost, first {lost[:5]} (the run: {first} to {last})"
    assert all(len(names) == 1 for names in ids.values()), [names for names in ids.values() if len(names) > 1][:5]
    assert len(set().union(*ids.values())) == len(ids)
    return len(ids)


def check_requests(events, senders):
    """What was answered 2xx has arrived, all arrivals of a number under one id."""
    ids = collections.defaultdict(set)
    for event in events:
        ids[event["data"]["number"]].add(event["id"])
    accepted = [number for sender in senders for number in sender.accepted]
    lost = [number for number in accepted if number not in ids]
    assert not lost, f"{len(lost)} of {len(accepted)} accepted requests are lost: {lost[:10]}"
    many = {number: names for number, names in ids.items() if len(names) > 1}
    assert not many, f"numbers with several ids: {dict(itertools.islice(many.items(), 5))}"
    assert all(names == {number} for number, names in ids.items() if number.startswith("patient"))
    return len(accepted)


def of_type(events, kind):
    return [event for event in events if event["type"] == kind]


MORE = float(os.environ.get("SLUICE_KILLS", 1))  # a longer run: SLUICE_KILLS=10


@pytest.mark.parametrize("kills, flapping", [(int(100 * MORE), False), (int(40 * MORE), True)], ids=["watcher-up", "watcher-down-half-of-the-time"])
@pytest.mark.once
def test_kill_9_loses_nothing_that_was_acknowledged(gateway, watcher, kills, flapping):
    """Senders post numbers, a calendar ticks with catch-up; client and gateway-servers are killed at random moments and
    started again. Then all that was answered 2xx is at the watcher, no tick is missing, and nothing has two ids."""
    seed = int(os.environ.get("SLUICE_SEED", time.time_ns() % 1_000_000))
    print(f"seed {seed}: repeat with SLUICE_SEED={seed}")
    rng = random.Random(seed)
    port = free_port()
    gateway.watch("orders", watcher.url, retry={"initial": "50ms", "max": "1s"})
    gateway.write_sources({
        "webhook.plain": webhook(port, "/plain"),
        "webhook.patient": webhook(port, "/patient", idHeader="X-Number"),
        "calendar.tick": {"interval": f"{TICK_MS}ms", "catchup": {"enabled": True, "window": "1h"}},
    })
    gateway.up()
    watcher.wait_events(1)  # the calendar has a position to go on from
    senders = [Sender(f"{kind}{i}", port, f"/{kind}", kind == "patient") for kind in ("plain", "patient")
               for i in range(SENDERS // 2)]
    flapper = Flapping(watcher, seed)
    for thread in senders + ([flapper] if flapping else []):
        thread.start()

    done = kill_at_random(gateway, kills, rng)

    gateway.wait_running(*gateway.sources, seconds=20)
    for thread in senders:
        thread.ending.set()
    for thread in senders:
        thread.join()
    flapper.ending.set()
    if flapping:
        flapper.join()
    watcher.up()
    end_ms = time.time() * 1000

    def all_there():
        events = watcher.events()
        ticks = of_type(events, "sluice.calendar.tick")
        numbers = {event["data"]["number"] for event in of_type(events, "sluice.webhook.request")}
        behind = (gateway.watcher("orders") or {"pending": 1})["pending"]
        return (behind < 5 and tick_ms(ticks[-1]["data"]["eventTime"]) >= end_ms - TICK_MS
                and all(number in numbers for sender in senders for number in sender.accepted))
    try:
        wait_for(all_there, 20)
    except AssertionError:
        pass  # the checks below say what is missing
    events = watcher.events()
    ticks = check_ticks(of_type(events, "sluice.calendar.tick"))
    accepted = check_requests(of_type(events, "sluice.webhook.request"), senders)
    answers = sum((sender.answers for sender in senders), collections.Counter())
    print(f"killed {dict(done)}, watcher down {flapper.times} times; answers {dict(answers)}, {accepted} accepted, {ticks} ticks, "
          f"{len(events)} arrivals")
    assert accepted > kills * 5, "hardly anything was accepted: the gateway was not there"
    assert "DAMAGED" not in gateway.processes["client"].log.read_text(errors="replace")
    assert gateway.processes["client"].stop() == 0
    with contextlib.closing(sqlite3.connect(gateway.state / "outbox.db")) as outbox:
        assert outbox.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
