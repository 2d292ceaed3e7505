"""Outboxes that are full, disks that are full, files that are damaged: bounded, said in words, and over by itself."""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

from harness import SLOW, free_port, post, program, wait_for, webhook

SOON = {"initial": "20ms", "max": "500ms"}
ACK_MS = 500 * SLOW


@pytest.fixture
def port(gateway):
    port = free_port()
    gateway.write_sources({"webhook.orders": webhook(port, ackTimeout=f"{ACK_MS}ms", maxPayloadSize="2Mi")})
    return port


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts a tmpfs of a size; its directory."""
    places = []

    def mount(*options):
        place = tmp_path / f"disk{len(places)}"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(("mode=0700",) + options), "tmpfs", str(place)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.strip()}")
        places.append(place)
        return place
    yield mount
    for place in places:
        subprocess.run(["umount", "--lazy", str(place)], check=False)


@pytest.fixture(autouse=True)
def ended_before_disks_go(mounted, gateway):
    """The gateway's processes end before its disks are unmounted."""
    yield
    for process in gateway.processes.values():
        if process.running():
            process.stop()


def up(gateway):
    return gateway.up(servers=["webhook"])


def memory_kib(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError("no VmRSS")


class Load:
    """Threads that post numbers with a body of some size, each number once, until told to end."""

    def __init__(self, port, threads, size):
        self.port, self.padding = port, "x" * size
        self.accepted, self.refused, self.answers = [], [], collections.Counter()
        self.ending = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def _run(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15 * SLOW)
        count = 0
        while not self.ending.wait(0.005):
            number = f"{name}-{count}"
            count += 1
            connection.request("POST", "/orders", json.dumps({"n": number, "padding": self.padding}),
                               {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            with self.lock:
                self.answers[answer.status] += 1
                if answer.status == 200:
                    self.accepted.append(number)
                else:
                    self.refused.append((answer.status, answer.getheader("Retry-After")))
        connection.close()

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join()


def wait_arrived(watcher, load, seconds=20):
    def missing():
        return set(load.accepted) - {event["data"]["n"] for event in watcher.events()}
    wait_for(lambda: not missing(), seconds, lambda: f"{len(missing())} of {len(load.accepted)} accepted events are lost")


def accepts(port):
    return wait_for(lambda: post(port, "/orders", b'{"n": "after"}')[0] == 200, 15, "a request to be accepted")


# ---- a full outbox ----

def test_a_full_outbox_holds_senders_back_and_keeps_memory(gateway, watcher, port):
    """The watcher is down and the outbox small: senders hear 503 with Retry-After, nothing accepted is lost, the client's memory
    does not grow with what is sent; the watcher comes, and all goes on."""
    gateway.spec["spec"]["outbox"] = {"sizeMax": "4Mi", "retention": "1m", "fsync": True}
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    watcher.down()
    load = Load(port, threads=8, size=16_000)

    wait_for(lambda: load.answers[503] >= 8, 30, lambda: f"503: {load.answers}")
    full = wait_for(lambda: found if (found := gateway.status()["outbox"])["full"] else None, 5, "full in status")
    assert "full" in full["reason"] and "bytes" in full["reason"]
    assert gateway.get("/readyz")[0] == 503 and gateway.metric("gateway_outbox_full") == 1
    memory = memory_kib(gateway.processes["client"])
    refused = load.answers[503]
    wait_for(lambda: load.answers[503] >= refused + 40, 30, "40 more refusals")
    grown = memory_kib(gateway.processes["client"]) - memory
    status = gateway.status()["outbox"]
    assert status["bytes"] < 6 << 20, status
    assert gateway.source("webhook.orders")["state"] == "running"

    watcher.up()
    wait_for(lambda: not gateway.status()["outbox"]["full"], 20, "room")
    accepted = len(load.accepted)
    wait_for(lambda: len(load.accepted) >= accepted + 50, 20, "requests to be accepted again")
    load.end()

    wait_arrived(watcher, load)
    assert set(load.answers) == {200, 503}
    assert all(after is not None and int(after) > 0 for status, after in load.refused), load.refused[:5]
    assert SLOW > 1 or grown < 4096, f"{grown} KiB more in the client (sanitizers keep what was freed, so not asked there)"
    assert gateway.get("/readyz")[0] == 200 and gateway.metric("gateway_outbox_full") == 0


def test_a_full_outbox_survives_a_kill(gateway, watcher, port):
    """The client is killed while its outbox is full, and starts full; what was accepted arrives once the watcher is there."""
    gateway.spec["spec"]["outbox"] = {"sizeMax": "1Mi", "retention": "1m", "fsync": True}
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    watcher.down()
    load = Load(port, threads=4, size=16_000)
    wait_for(lambda: load.answers[503] >= 4, 30, lambda: f"503: {load.answers}")
    load.end()

    gateway.processes["client"].kill()
    gateway.client()
    gateway.wait_running("webhook.orders")
    assert post(port, "/orders", b'{"n": "full"}')[0] == 503
    wait_for(lambda: gateway.status()["outbox"]["full"], 10, "full in status")

    watcher.up()
    wait_arrived(watcher, load)
    accepts(port)


def test_a_backlog_far_beyond_memory_is_delivered_from_disk(gateway, watcher, port):
    """96 MiB wait for a watcher that is down; the client's memory stays far below that; then all of it arrives."""
    gateway.watch("orders", watcher.url, retry=SOON)
    gateway.spec["spec"]["outbox"]["fsync"] = False
    up(gateway)
    watcher.down()
    load = Load(port, threads=4, size=1_000_000)
    wait_for(lambda: len(load.accepted) >= 96, 60, lambda: f"96 of 1 MB: {load.answers}")
    load.end()

    memory = memory_kib(gateway.processes["client"])
    watcher.up()
    wait_arrived(watcher, load, 30)

    assert SLOW > 1 or memory < 80 * 1024, f"{memory} KiB"


# ---- a state directory that cannot be written ----

def fill(place):
    """Takes all the room of a disk; the file that holds it."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        size = 1 << 16
        while size > 0:
            try:
                file.write(b"x" * size)
            except OSError:
                size //= 2
    return filler


def test_a_disk_that_is_full_for_a_while(gateway, watcher, port, mounted):
    """The disk of the outbox runs full under load: 503, words in status and log; room comes: all goes on, nothing is lost."""
    gateway.state = mounted("size=16m") / "state"
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    load = Load(port, threads=4, size=4_000)
    wait_for(lambda: len(load.accepted) > 20, 10, "a good beginning")

    filler = fill(gateway.state.parent)
    wait_for(lambda: load.answers[503] >= 4, 30, lambda: f"503: {load.answers}")
    outbox = wait_for(lambda: found if (found := gateway.status()["outbox"])["full"] else None, 10, "words in status")
    assert "full" in outbox["reason"] or "space" in outbox["reason"], outbox
    assert gateway.get("/readyz")[0] == 503
    assert "outbox takes no more events" in gateway.processes["client"].text()
    filler.unlink()

    wait_for(lambda: not gateway.status()["outbox"]["full"], 20, "recovery")
    accepted = len(load.accepted)
    wait_for(lambda: len(load.accepted) >= accepted + 20, 20, "requests to be accepted again")
    load.end()
    wait_arrived(watcher, load)
    assert set(load.answers) == {200, 503}
    assert "outbox takes events again" in gateway.processes["client"].text()


def test_a_kill_while_the_disk_is_full(gateway, watcher, port, mounted):
    """Watcher down, disk full, the client killed and started again on the full disk; then room and the watcher: nothing is lost."""
    gateway.state = mounted("size=8m") / "state"
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    watcher.down()
    load = Load(port, threads=4, size=4_000)
    wait_for(lambda: len(load.accepted) > 50, 10, "a backlog")
    filler = fill(gateway.state.parent)
    wait_for(lambda: load.answers[503] >= 4, 30, lambda: f"503: {load.answers}")
    load.end()
    gateway.processes["client"].kill()

    client = gateway.client()
    if not client.running():  # it may refuse to start, but in words; whoever supervises it starts it again
        assert client.process.returncode == 1 and ("full" in client.text() or "space" in client.text()), client.text()
    filler.unlink()
    if not client.running():
        gateway.client()
    gateway.wait_running("webhook.orders")
    watcher.up()

    wait_arrived(watcher, load)
    accepts(port)
    assert "DAMAGED" not in client.log.read_text()


@pytest.mark.parametrize("what", ["a file", "below a file", "read-only"])
def test_a_state_directory_that_cannot_be_used_is_said(gateway, watcher, port, mounted, what):
    """A file stands where the state directory should be (or above it), or its disk is read-only: the client ends with words."""
    if what == "read-only":
        place = mounted("ro")
        gateway.state = place / "state"
    else:
        (gateway.directory / "occupied").write_text("not a directory")
        gateway.state = gateway.directory / "occupied" / ("" if what == "a file" else "state")
    gateway.watch("orders", watcher.url)
    gateway.write_spec()
    gateway.write_sources()

    client = gateway.client()

    assert client.process.wait(10 * SLOW) == 1
    text = client.text()
    assert str(gateway.state).rstrip("/") in text or "occupied" in text, text
    assert ("Read-only" if what == "read-only" else "ot a directory") in text, text


# ---- a damaged outbox ----

def damage_middle(path):
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def damage_header(path):
    with path.open("r+b") as file:
        file.write(b"this was never a database. " * 10)


def damage_cut(path):
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096 + 100)


def damage_foreign(path):
    path.unlink()
    subprocess.run([os.sys.executable, "-c", "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
                    "c.execute('CREATE TABLE recipes(name)'); c.commit(); c.close()", str(path)], check=True)


@pytest.mark.parametrize("damage", [damage_middle, damage_header, damage_cut, damage_foreign])
def test_a_damaged_outbox_is_kept_aside_and_the_gateway_runs(gateway, watcher, port, damage):
    """The file of the outbox is damaged between two runs: it is kept under another name, the log says so, a new one is made."""
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    for number in range(40):
        assert post(port, "/orders", json.dumps({"n": number, "padding": "x" * 4000}).encode())[0] == 200
    watcher.wait_events(40)
    assert gateway.processes["client"].stop() == 0
    path = gateway.state / "outbox.db"
    damage(path)
    damaged = path.read_bytes()

    client = gateway.client()

    assert client.running(), client.text()
    assert "DAMAGED" in client.text()
    aside = [found for found in gateway.state.glob("outbox.db.corrupt-*") if not found.name.endswith(("-wal", "-shm"))]
    assert len(aside) == 1 and str(aside[0]) in client.text()
    assert aside[0].read_bytes() == damaged
    gateway.wait_running("webhook.orders")
    assert post(port, "/orders", b'{"n": "new"}')[0] == 200
    wait_for(lambda: any(event["data"]["n"] == "new" for event in watcher.events()), 10, "the new event")


def test_an_outbox_that_vanishes_between_two_runs_is_made_anew(gateway, watcher, port):
    """Somebody removes the state directory of a stopped client; it starts with a new one."""
    gateway.watch("orders", watcher.url)
    up(gateway)
    assert gateway.processes["client"].stop() == 0
    for path in gateway.state.iterdir():
        path.unlink()
    gateway.state.rmdir()

    gateway.client()

    gateway.wait_running("webhook.orders")
    assert post(port, "/orders", b'{"n": 1}')[0] == 200
    watcher.wait_events(1)


def test_a_second_client_on_the_same_state_is_refused(gateway, watcher, port):
    """A second client is started on the same state directory: it ends with words that name the first, which goes on."""
    gateway.watch("orders", watcher.url)
    up(gateway)

    second = gateway.start("second", program("gateway-client"), "run", "--gateway", gateway.spec_file, "--event-sources",
                           gateway.sources_file, "--state", gateway.state, "--admin", "none")

    assert second.process.wait(10 * SLOW) == 1
    assert f"another gateway-client (pid {gateway.processes['client'].pid})" in second.text(), second.text()
    assert str(gateway.state) in second.text()
    assert gateway.source("webhook.orders")["restarts"] == 0
    began = time.monotonic()
    assert post(port, "/orders", b'{"n": 1}')[0] == 200
    watcher.wait_events(1)
    assert time.monotonic() - began < 5 * SLOW
