"""What operators rely on: health, metrics, logs, signals, a quick start and an orderly end."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import shutil

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness import SLOW, Process, Watcher, free_port, post, program, wait_for, webhook

SOON = 5


def families(text):
    """Name -> family; the text must be what Prometheus reads."""
    if shutil.which("promtool"):
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=30)
        assert checked.returncode in (0, 3), checked.stdout + checked.stderr  # 3: advice
    found = {family.name: family for family in text_string_to_metric_families(text)}
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or re.fullmatch(r'[a-z_]+(\{([a-z_]+="[^"\n]*",?)*\})? \S+', line), line
    for name, family in found.items():
        assert family.documentation and family.type != "unknown", name
    return found


def names(found):
    return {(sample.name, tuple(sorted(sample.labels.items()))) for family in found.values() for sample in family.samples}


CLIENT_METRICS = {
    "gateway_sources", "gateway_source_events", "gateway_source_running", "gateway_source_restarts", "gateway_configuration_reads",
    "gateway_configuration_loaded_timestamp_seconds", "process_cpu_seconds", "process_resident_memory_bytes", "process_open_fds",
    "process_start_time_seconds",
}


def test_every_series_is_there_from_the_start(gateway, watcher):
    """/metrics before the first event has all the series that it has after events, failures and dead letters."""
    port = free_port()
    gateway.watch("good", watcher.url).watch("bad", Watcher().url)
    bad = Watcher()
    bad.answer = lambda request: (400, {})
    gateway.spec["spec"]["watchers"]["http"][1]["url"] = bad.url
    gateway.write_sources({"webhook.a": webhook(port, "/a"), "calendar.a": {"interval": "1h"}})
    gateway.up()
    before = families(gateway.get("/metrics")[1])
    assert CLIENT_METRICS <= set(before), CLIENT_METRICS - set(before)
    assert any("outbox" in name for name in before) and any("deliver" in name or "watcher" in name for name in before), set(before)

    assert post(port, "/a")[0] == 200
    watcher.wait_events(1)
    wait_for(lambda: gateway.watcher("bad")["deadLetters"] == 1, SOON, "the dead letter")
    wait_for(lambda: gateway.metric("gateway_source_events_total", source="a", type="webhook") == 1, SOON, "the count of events")
    after = families(gateway.get("/metrics")[1])
    new = names(after) - names(before)
    assert not new, f"series that were not there from the start: {sorted(new)}"
    assert gateway.metric("gateway_source_running", source="a", type="calendar") == 1
    assert gateway.metric("gateway_sources", state="running") == 2
    bad.close()


def test_counters_never_go_back(gateway, watcher):
    """Counters only grow while sources are edited; a removed source's series leave."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.a": webhook(port, "/a")})
    gateway.up()
    for _ in range(3):
        assert post(port, "/a")[0] == 200
    wait_for(lambda: gateway.metric("gateway_source_events_total", source="a") == 3, SOON, "the count")
    since = gateway.source("webhook.a")["since"]
    gateway.write_sources({"webhook.a": webhook(port, "/b")})
    wait_for(lambda: gateway.source("webhook.a")["since"] != since and gateway.source("webhook.a")["state"] == "running", SOON,
             "the edit")
    assert post(port, "/b")[0] == 200
    wait_for(lambda: gateway.metric("gateway_source_events_total", source="a") == 4, SOON, "the count to go on")
    assert gateway.source("webhook.a")["events"] == 4
    gateway.write_sources({})
    wait_for(lambda: gateway.metric("gateway_source_events_total", source="a") is None, SOON, "the series to leave")


def test_admin_pages(gateway):
    """/healthz, /readyz, /api/v1/status: GET and HEAD; others are refused in JSON; a second client cannot have the address."""
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.up()
    assert gateway.get("/healthz")[0] == 200
    assert gateway.get("/readyz") == (200, "ok\n")
    assert gateway.get("/healthz", "HEAD") == (200, "")
    assert gateway.get("/nothing")[0] == 404
    assert gateway.get("/metrics", "DELETE")[0] == 405
    status = gateway.status()
    assert status["gateway"]["ready"] is True and status["gateway"]["startedAt"].endswith("Z")
    assert set(status) >= {"gateway", "configuration", "outbox", "sources", "watchers"}

    other = gateway.run("run", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file, "--state",
                        gateway.directory / "other", "--admin", gateway.admin)
    assert other.returncode == 1 and gateway.admin in other.stderr, other.stderr


def test_a_server_has_an_admin_address_too(gateway):
    """A gateway-server with --admin: health and metrics, all series from the start."""
    port, admin = free_port(), f"127.0.0.1:{free_port()}"
    gateway.write_spec()
    gateway.write_sources({"webhook.a": webhook(port, "/a")})
    gateway.server("webhook", "--admin", admin)
    kept, gateway.admin = gateway.admin, admin
    assert gateway.get("/healthz")[0] == 200 and gateway.get("/readyz")[0] == 200
    before = families(gateway.get("/metrics")[1])
    assert {"gateway_server_sources", "gateway_server_events", "gateway_server_requests"} <= set(before), set(before)
    gateway.admin = kept
    gateway.client()
    gateway.wait_running("webhook.a")
    assert post(port, "/a")[0] == 200
    wait_for(lambda: post(port, "/nowhere")[0] == 404, 10, "a path that nobody has to be unknown")
    gateway.admin = admin
    after = families(gateway.get("/metrics")[1])
    assert names(after) == names(before)
    assert gateway.metric("gateway_server_requests_total", status="2xx") == 1
    assert gateway.metric("gateway_server_requests_total", status="4xx") == 1


def test_json_logs_parse_line_by_line(gateway, watcher):
    """--log-format json: every line of all three programs is a JSON object with time, level and message, whatever is in it."""
    port = free_port()
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources({"webhook.a": webhook(port, "/a"), "calendar.bad": "interval: \"qu\\\"ote \\t \\x01 ü\"\n"})
    for kind in ("calendar", "webhook"):
        gateway.server(kind, "--log-format", "json", "--log-level", "debug")
    gateway.client("--log-format", "json", "--log-level", "debug")
    gateway.wait_running("webhook.a")
    wait_for(lambda: gateway.source("calendar.bad")["state"] == "invalid", SOON, "the bad one")
    post(port, "/a")
    gateway.write_sources(text="a: [\n")
    wait_for(lambda: gateway.status()["configuration"]["problems"], SOON, "the broken file")
    for process in gateway.processes.values():
        assert process.stop() == 0
        lines = process.text().splitlines()
        assert lines
        for line in lines:
            row = json.loads(line)
            assert row["level"] in ("debug", "info", "warn", "error") and row["message"] and row["time"].endswith("Z"), line


def test_logfmt_is_one_line_each(gateway):
    """logfmt: every line begins with its time; line breaks and quotes in values are escaped."""
    gateway.write_spec()
    gateway.write_sources({"calendar.bad": "interval: \"a\\nb \\\" c\"\n"})
    gateway.server("calendar")
    gateway.client()
    wait_for(lambda: (gateway.source("calendar.bad") or {}).get("state") == "invalid", SOON, "the bad one")
    for process in gateway.processes.values():
        for line in process.text().splitlines():
            assert re.match(r"time=\d{4}-\d\d-\d\dT\S+Z level=(debug|info|warn|error) message=", line), line


@pytest.mark.parametrize("who", ["client", "webhook"])
def test_an_orderly_end_answers_what_is_under_way(gateway, watcher, who):
    """SIGTERM under load: the process ends within its limit, every request has an answer, and each 200 arrives."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.a": webhook(port, "/a"), "calendar.a": {"interval": "50ms"}})
    gateway.up()
    going, sent = True, []

    def send(name):
        number = 0
        while going:
            number += 1
            status = post(port, "/a", json.dumps({"n": f"{name}-{number}"}))[0]
            sent.append((f"{name}-{number}", status))
            if status != 200:
                time.sleep(0.02)

    senders = [threading.Thread(target=send, args=(name,), daemon=True) for name in range(8)]
    for sender in senders:
        sender.start()
    watcher.wait_events(50)
    began = time.monotonic()
    assert gateway.processes[who].stop() == 0
    took = time.monotonic() - began
    going = False
    for sender in senders:
        sender.join(20)
    assert took < 4 * SLOW, f"{who} took {took:.1f} s to end"
    assert "stopped" in gateway.processes[who].text()
    # a connection that is refused (0) after the listener has closed is an answer; no request that was taken is left without one
    assert {status for _, status in sent} <= {200, 503, 0}, {status for _, status in sent}
    (gateway.client if who == "client" else lambda: gateway.server("webhook"))()
    accepted = {name for name, status in sent if status == 200}
    wait_for(lambda: accepted <= {event["data"].get("n") for event in watcher.events() if isinstance(event["data"], dict)}, 15,
             "every accepted request to arrive")


def test_the_end_has_a_limit(gateway, watcher):
    """A watcher hangs for ever: SIGTERM still ends the client within --drain, and the event is delivered after the restart."""
    port, hold = free_port(), threading.Event()
    watcher.answer = lambda request: hold.wait(60) and (204, {}) or (204, {})
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources({"webhook.a": webhook(port, "/a")})
    gateway.server("webhook")
    gateway.client("--drain", "1s")
    gateway.wait_running("webhook.a")
    assert post(port, "/a", '{"n": 1}')[0] == 200
    wait_for(lambda: gateway.watcher("w")["inFlight"] == 1, SOON, "the delivery to be under way")
    began = time.monotonic()
    assert gateway.processes["client"].stop() == 0
    assert 0.8 < time.monotonic() - began < 9 * SLOW
    hold.set()
    gateway.client()
    wait_for(lambda: gateway.watcher("w")["delivered"] == 1, SOON, "the delivery after the restart")


def test_a_second_signal_ends_at_once(gateway, watcher):
    """SIGTERM twice: the second one does not wait for anything."""
    port, hold = free_port(), threading.Event()
    watcher.answer = lambda request: hold.wait(30) and (204, {}) or (204, {})
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources({"webhook.a": webhook(port, "/a")})
    gateway.server("webhook")
    client = gateway.client("--drain", "30s")
    gateway.wait_running("webhook.a")
    post(port, "/a")
    wait_for(lambda: gateway.watcher("w")["inFlight"] == 1, SOON, "the delivery to be under way")
    client.process.send_signal(signal.SIGTERM)
    wait_for(lambda: "stopping" in client.text(), SOON, "the first signal")
    began = time.monotonic()
    assert client.stop() == 0
    assert time.monotonic() - began < 15 * SLOW
    hold.set()


def test_start_to_ready_is_quick(gateway):
    """From exec to ready: the best of five starts is under a second for each program (./dev bench tells how long)."""
    gateway.write_spec()
    gateway.write_sources({})
    best = {}
    for turn in range(5):
        for kind in ("calendar", "webhook"):
            began = time.monotonic()
            process = Process(gateway.directory, f"quick-{kind}-{turn}", [program(f"gateway-server-{kind}"), "--listen",
                                                                        f"unix:{gateway.directory}/q{turn}.sock"])
            wait_line(process, "listening")
            best[kind] = min(best.get(kind, 9), time.monotonic() - began)
            assert process.stop() == 0
        began = time.monotonic()
        client = gateway.client(wait=False)
        wait_line(client, "running")
        best["client"] = min(best.get("client", 9), time.monotonic() - began)
        assert client.stop() == 0
    assert max(best.values()) < 1.0 * SLOW, best


def wait_line(process, word):
    deadline = time.monotonic() + 10 * SLOW
    while f"message={word}" not in process.text():
        assert time.monotonic() < deadline and process.running(), process.text()
        time.sleep(0.002)


def test_idle_costs_nothing(gateway):
    """Idle with sources running: almost no processor time, and under 20 MB a process."""
    gateway.write_sources({"webhook.a": webhook(free_port(), "/a"), "calendar.a": {"interval": "1h"}})
    gateway.up()

    def used(process):
        fields = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    processes = [gateway.processes[name] for name in ("client", "webhook", "calendar")]
    before, began = [used(process) for process in processes], time.monotonic()
    wait_for(lambda: time.monotonic() - began > 2, 5)
    for process, first in zip(processes, before):
        share = (used(process) - first) / (time.monotonic() - began)
        assert share < 0.03 * SLOW, f"{process.name} uses {share:.1%} of a processor while idle"
        if SLOW == 1:
            memory = next(line for line in open(f"/proc/{process.pid}/status") if line.startswith("VmRSS")).split()[1]
            print(process.name, memory, "kB")
            assert int(memory) < 24 * 1024, f"{process.name} has {memory} kB"
