"""Edits while everything runs: of event sources, in a file and in a mounted directory, and of the Gateway spec."""

import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import socket
import threading

import pytest
import yaml

from harness import SLOW, Watcher, free_port, post, program, wait_for, webhook

SOON = 5  # seconds for an edit to show; one or two are usual, the machine may be busy


def closed(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def shape(source):
    """What an undisturbed source keeps."""
    return source["state"], source["since"], source["restarts"], source["id"]


def resident(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


class Sender:
    """Posts one request after another over one kept connection, and remembers every answer that was not 200."""

    def __init__(self, port, path):
        self.port, self.path, self.sent, self.faults = port, path, 0, []
        self.going = True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10 * SLOW)) as connection:
            while self.going:
                try:
                    connection.request("POST", self.path, b"{}")
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        self.faults.append(answer.status)
                    self.sent += 1
                except (OSError, http.client.HTTPException) as fault:
                    self.faults.append(repr(fault))
                    return

    def stop(self):
        self.going = False
        self.thread.join(10 * SLOW)


class Mount:
    """A directory as kubelet mounts a ConfigMap: files are links through ..data, which is swapped in one step."""

    def __init__(self, path):
        self.path, self.version = path, 0
        path.mkdir()

    def write(self, sources):
        self.version += 1
        folder = self.path / f"..version_{self.version}"
        folder.mkdir()
        for key, value in sources.items():
            (folder / key).write_text(value if isinstance(value, str) else yaml.safe_dump(value))
        link = self.path / "..data_tmp"
        link.symlink_to(folder.name)
        old = os.readlink(self.path / "..data") if (self.path / "..data").is_symlink() else None
        link.replace(self.path / "..data")
        for key in sources:
            if not (self.path / key).is_symlink():
                (self.path / key).symlink_to(f"..data/{key}")
        for file in self.path.iterdir():
            if not file.name.startswith("..") and file.name not in sources:
                file.unlink()
        if old:
            shutil.rmtree(self.path / old)


@pytest.fixture
def mounted(gateway):
    """The gateway with a mounted directory instead of a file; `gateway.write_sources` swaps it as kubelet does."""
    gateway.sources_file = gateway.directory / "mount"
    mount = Mount(gateway.sources_file)

    def write(sources=None, text=None):
        if sources is not None:
            gateway.sources = sources
        mount.write(gateway.sources)

    gateway.write_sources = write
    return gateway


@pytest.fixture(params=["file", "directory"])
def either(request):
    return request.getfixturevalue("gateway" if request.param == "file" else "mounted")


# ---- event sources ----

def test_what_did_not_change_is_not_disturbed(either, watcher):
    """Requests flow to one source while others are added, changed and removed; it never misses one and is not restarted."""
    gateway = either
    port, other = free_port(), free_port()
    kept = webhook(port, "/kept")
    gateway.watch("w", watcher.url).write_sources({"webhook.kept": kept, "calendar.kept": {"interval": "1h"}})
    gateway.up()
    before = [shape(gateway.source(key)) for key in gateway.sources]
    sender = Sender(port, "/kept")

    # added: on the same port, on another one, and an interval
    gateway.write_sources({**gateway.sources, "webhook.same-port": webhook(port, "/added"),
                           "webhook.new-port": webhook(other, "/added"), "calendar.added": {"interval": "100ms"}})
    gateway.wait_running("webhook.same-port", "webhook.new-port", "calendar.added", seconds=SOON)
    assert post(port, "/added")[0] == 200
    assert post(other, "/added")[0] == 200
    wait_for(lambda: any(event["subject"] == "added" and "calendar" in event["type"] for event in watcher.events()), SOON,
             "a tick of what was added")

    # changed: another endpoint, answered at once; the old one is gone
    gateway.write_sources({**gateway.sources, "webhook.same-port": webhook(port, "/changed")})
    wait_for(lambda: post(port, "/changed")[0] == 200, SOON, "the new endpoint")
    wait_for(lambda: post(port, "/added")[0] == 404, SOON, "the old endpoint to be unknown")
    # changed: another port
    third = free_port()
    gateway.write_sources({**gateway.sources, "webhook.new-port": webhook(third, "/added")})
    wait_for(lambda: post(third, "/added")[0] == 200, SOON, "the new port")
    wait_for(lambda: closed(other), SOON, "the old port to close")

    # removed
    gateway.write_sources({"webhook.kept": kept, "calendar.kept": {"interval": "1h"}})
    wait_for(lambda: post(port, "/changed")[0] == 404, SOON, "the removed endpoint to be unknown")
    wait_for(lambda: closed(third), SOON, "the port of the removed one to close")
    wait_for(lambda: len(gateway.status()["sources"]) == 2, SOON, "the removed ones to leave the status")

    sender.stop()
    assert sender.faults == [] and sender.sent > 20
    assert [shape(gateway.source(key)) for key in gateway.sources] == before


def test_an_edited_source_alone_starts_anew(gateway, watcher):
    """One of two sources is edited: its id and its start change, it is no "restart" in the sense of trouble; the other stays."""
    gateway.watch("w", watcher.url).write_sources({"calendar.a": {"interval": "1h"}, "calendar.b": {"interval": "1h"}})
    gateway.up()
    a, b = gateway.source("calendar.a"), gateway.source("calendar.b")

    gateway.write_sources({"calendar.a": {"interval": "200ms"}, "calendar.b": {"interval": "1h"}})

    wait_for(lambda: gateway.source("calendar.a")["id"] != a["id"], SOON, "the edit to be in force")
    gateway.wait_running("calendar.a")
    watcher.wait_events(1)
    assert gateway.source("calendar.a")["since"] > a["since"]
    assert gateway.source("calendar.a")["restarts"] == 0
    assert shape(gateway.source("calendar.b")) == shape(b)


BAD_EDITS = {
    "bad YAML": ("interval: 1h\n  x: [", "line"),
    "not a mapping": ("- 1h\n", "expected a mapping"),
    "wrong type": ("interval: [1h]\n", "interval"),
    "unknown field": ("intervall: 1h\n", "did you mean \"interval\""),
    "bad cron": ("schedule: 61 * * * *\n", "61"),
    "bad duration": ("interval: 1 hour\n", "1 hour"),
    "bad zone": ("schedule: 0 * * * *\ntimezone: Europe/Lissabon\n", "Europe/Lisbon"),
}


@pytest.mark.parametrize("way", BAD_EDITS)
def test_a_bad_edit_keeps_the_last_good_one(gateway, way):
    """An edit makes one source bad: it says why, and runs on as it was; the edit is taken back: it was never disturbed."""
    text, words = BAD_EDITS[way]
    good = "interval: 1h\n"
    gateway.write_sources({"calendar.a": good, "calendar.b": "interval: 1h\n"})
    gateway.up()
    before = shape(gateway.source("calendar.a")), shape(gateway.source("calendar.b"))

    gateway.write_sources({"calendar.a": text, "calendar.b": "interval: 1h\n"})
    refused = wait_for(lambda: gateway.source("calendar.a")["refusedEdit"], SOON, "the edit to be refused")
    assert words in refused, refused
    assert refused[:40] in gateway.processes["client"].text().replace('\\"', '"')
    assert (shape(gateway.source("calendar.a")), shape(gateway.source("calendar.b"))) == before

    gateway.write_sources({"calendar.a": good, "calendar.b": "interval: 1h\n"})
    wait_for(lambda: gateway.source("calendar.a")["refusedEdit"] == "", SOON, "the refusal to be taken back")
    assert (shape(gateway.source("calendar.a")), shape(gateway.source("calendar.b"))) == before

    gateway.write_sources({"calendar.a": text, "calendar.b": "interval: 1h\n"})
    wait_for(lambda: gateway.source("calendar.a")["refusedEdit"], SOON, "the edit to be refused again")
    gateway.write_sources({"calendar.a": "interval: 2h\n", "calendar.b": "interval: 1h\n"})
    wait_for(lambda: gateway.source("calendar.a")["id"] != before[0][3], SOON, "the corrected edit to be in force")
    gateway.wait_running("calendar.a")
    assert gateway.source("calendar.a")["refusedEdit"] == ""
    assert shape(gateway.source("calendar.b")) == before[1]


def test_a_bad_file_of_a_directory_is_named(mounted):
    """One file of a mounted directory is bad: status and log name that file, and the line in it."""
    gateway = mounted
    gateway.write_sources({"calendar.a": "interval: 1h\n"})
    gateway.up()
    gateway.write_sources({"calendar.a": "interval: 1h\n", "calendar.b": "\n\n- 1\n"})
    problem = wait_for(lambda: gateway.status()["configuration"]["problems"], SOON, "the problem")[0]
    assert (problem["file"], problem["line"]) == (f"{gateway.sources_file}/calendar.b", 3), problem
    assert f"file={gateway.sources_file}/calendar.b" in gateway.processes["client"].text()


def test_a_source_that_never_was_good_is_shown(gateway):
    """Sources that are bad from the start: each shows in the status with its reason; corrected, it runs."""
    gateway.write_sources({"calendar.cron": "schedule: 0 25 * * *\n", "calendar.list": "- 1\n", "calendar.good": "interval: 1h\n"})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    gateway.wait_running("calendar.good")

    wait_for(lambda: gateway.source("calendar.cron")["state"] == "invalid", SOON, "the bad cron to show")
    assert "25" in gateway.source("calendar.cron")["message"]
    problems = gateway.status()["configuration"]["problems"]
    assert any("calendar.list" in problem["path"] and "mapping" in problem["message"] for problem in problems), problems

    gateway.write_sources({key: "interval: 1h\n" for key in gateway.sources})
    gateway.wait_running(*gateway.sources, seconds=SOON)
    assert gateway.status()["configuration"]["problems"] == []


def test_a_file_that_is_not_yaml_stops_nothing(gateway, watcher):
    """The whole file is broken: everything runs on, the status says file and line, and is ready; mended, all is as before."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.a": webhook(port, "/a"), "calendar.a": {"interval": "1h"}})
    gateway.up()
    before = [shape(source) for source in gateway.status()["sources"]]

    gateway.write_sources(text="apiVersion: v1\nkind: ConfigMap\ndata:\n  a: [\n")
    problem = wait_for(lambda: gateway.status()["configuration"]["problems"], SOON, "the problem to show")[0]
    assert problem["file"] == str(gateway.sources_file)
    assert problem["line"] >= 4
    assert post(port, "/a")[0] == 200
    assert [shape(source) for source in gateway.status()["sources"]] == before
    assert gateway.metric("gateway_configuration_reads_total", result="bad") == 1
    assert str(gateway.sources_file) in gateway.processes["client"].text()

    gateway.write_sources(text="kind: Secret\ndata: {}\n")
    wait_for(lambda: "ConfigMap" in str(gateway.status()["configuration"]["problems"]), SOON, "the wrong kind to show")

    os.unlink(gateway.sources_file)
    wait_for(lambda: "not there" in str(gateway.status()["configuration"]["problems"]), SOON, "the missing file to show")
    assert post(port, "/a")[0] == 200

    gateway.write_sources()
    wait_for(lambda: not gateway.status()["configuration"]["problems"], SOON, "the problem to be taken back")
    assert [shape(source) for source in gateway.status()["sources"]] == before


def test_a_file_may_appear_later(either):
    """There is no file at the start: the client waits and says so; once it is there, its sources run."""
    gateway = either
    if gateway.sources_file.is_dir():
        gateway.sources_file.rmdir()
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    status, words = gateway.get("/readyz")
    assert status == 503 and "not there" in words

    if gateway.sources_file.name == "mount":
        gateway.sources_file.mkdir()
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.wait_running("calendar.a", seconds=SOON)
    assert gateway.get("/readyz")[0] == 200


def test_a_key_of_a_type_that_no_server_has(gateway):
    """An entry of an unknown type is told with the nearest one; the others run."""
    gateway.write_sources({"calender.a": {"interval": "1h"}, "calendar.b": {"interval": "1h"}})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    gateway.wait_running("calendar.b")
    problems = gateway.status()["configuration"]["problems"]
    assert len(problems) == 1 and 'did you mean "calendar.a"' in problems[0]["message"], problems


def test_the_second_claim_to_an_endpoint_waits_for_the_first_to_go(gateway):
    """Two sources want the same port, path and method: the second names the first, and runs by itself once that is gone."""
    port = free_port()
    gateway.write_sources({"webhook.first": webhook(port, "/x")})
    gateway.up()
    gateway.write_sources({"webhook.first": webhook(port, "/x"), "webhook.second": webhook(port, "/x")})
    second = wait_for(lambda: (found := gateway.source("webhook.second")) and found["state"] == "invalid" and found, SOON,
                      "the second to be refused")
    assert '"first"' in second["message"] and str(port) in second["message"]
    assert post(port, "/x")[0] == 200
    assert gateway.source("webhook.first")["restarts"] == 0

    gateway.write_sources({"webhook.second": webhook(port, "/x")})
    gateway.wait_running("webhook.second", seconds=SOON)
    assert post(port, "/x")[0] == 200


def test_a_source_may_be_renamed(gateway, watcher):
    """A source gets another name in one edit and keeps its endpoint: the new one takes it over within a moment."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.old": webhook(port, "/x")})
    gateway.up()

    gateway.write_sources({"webhook.new": webhook(port, "/x")})

    gateway.wait_running("webhook.new", seconds=2)
    assert post(port, "/x")[0] == 200
    assert watcher.wait_events(1)[0]["subject"] == "new"


def test_a_key_may_get_its_type_in_front(gateway, watcher):
    """`orders` becomes `webhook.orders`, and back: another key of the same source. For a moment there are both, under one name."""
    port = free_port()
    gateway.spec["spec"]["servers"] = gateway.spec["spec"]["servers"][1:]
    gateway.watch("w", watcher.url).write_sources({"orders": webhook(port)})
    gateway.up(servers=["webhook"])
    for events, key in enumerate(("webhook.orders", "orders", "webhook.orders"), 1):
        before = gateway.source("orders" if key != "orders" else "webhook.orders")
        gateway.write_sources({key: webhook(port)})
        gateway.wait_running(key, seconds=SOON)
        wait_for(lambda: not gateway.source(before["key"]), SOON, "the old one to go")
        assert post(port, "/orders")[0] == 200
        assert watcher.wait_events(events)[-1]["subject"] == "orders"
        wait_for(lambda: gateway.metric("gateway_source_running", source="orders") == 1 and
                 gateway.metric("gateway_source_events_total", source="orders") == events, SOON, lambda: gateway.get("/metrics")[1])


def test_of_two_keys_for_one_source_one_runs(gateway, watcher):
    """`webhook.orders` is added beside `orders`, which runs: the first of the two in order runs, the other one is told why not; and
    runs again when the first is gone."""
    port = free_port()
    gateway.spec["spec"]["servers"] = gateway.spec["spec"]["servers"][1:]
    gateway.watch("w", watcher.url).write_sources({"webhook.orders": webhook(port)})
    gateway.up(servers=["webhook"])
    gateway.write_sources({"orders": webhook(port), "webhook.orders": webhook(port)})
    gateway.wait_running("orders", seconds=SOON)
    wait_for(lambda: not gateway.source("webhook.orders"), SOON, lambda: gateway.source("webhook.orders"))
    problems = gateway.status()["configuration"]["problems"]
    assert ["webhook.orders" in problem["path"] and 'the same event source as "orders"' in problem["message"] for problem in problems] == [True]
    assert post(port, "/orders")[0] == 200
    assert gateway.source("orders")["restarts"] == 0
    gateway.write_sources({"webhook.orders": webhook(port)})
    gateway.wait_running("webhook.orders", seconds=SOON)
    assert post(port, "/orders")[0] == 200
    assert len(watcher.wait_events(2)) == 2


def test_an_edit_may_move_endpoints_on(gateway, watcher):
    """One edit gives a source the endpoint that another one leaves: both run soon, each with its new one."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.a": webhook(port, "/a"), "webhook.b": webhook(port, "/b")})
    gateway.up()
    ids = {key: gateway.source(key)["id"] for key in gateway.sources}

    gateway.write_sources({"webhook.a": webhook(port, "/c"), "webhook.b": webhook(port, "/a")})

    wait_for(lambda: all((source := gateway.source(key))["id"] != ids[key] and source["state"] == "running" for key in ids),
             2 * SOON, lambda: f"both to run with the edit: {gateway.status()['sources']}")
    assert post(port, "/a")[0] == 200
    assert post(port, "/c")[0] == 200
    wait_for(lambda: post(port, "/b")[0] == 404, SOON, "the old endpoint to be unknown")
    assert {event["source"].rsplit(".", 1)[1] for event in watcher.wait_events(2)} == {"a", "b"}


def test_an_edit_may_swap_endpoints(gateway, watcher):
    """One edit swaps the endpoints of two sources, the next one turns three round: each has its new one soon."""
    port = free_port()
    ring = ["/a", "/b", "/c"]
    gateway.watch("w", watcher.url).write_sources({f"webhook.{path[1:]}": webhook(port, path) for path in ring})
    gateway.up()

    def subject(path):
        count = len(watcher.events())
        return watcher.wait_events(count + 1)[count]["subject"] if post(port, path)[0] == 200 else None

    for wanted in ({"a": "/b", "b": "/a", "c": "/c"}, {"a": "/a", "b": "/c", "c": "/b"}, {"a": "/c", "b": "/b", "c": "/a"}):
        gateway.write_sources({f"webhook.{name}": webhook(port, path) for name, path in wanted.items()})
        wait_for(lambda: {subject(path): path for path in ring} == wanted, 4 * SOON,
                 lambda: f"{wanted}: {[(source['key'], source['message'], source['refusedEdit']) for source in gateway.status()['sources']]}")
    assert all(source["state"] == "running" and not source["refusedEdit"] for source in gateway.status()["sources"])


def test_two_edits_that_cannot_both_be_are_no_swap(gateway):
    """Two sources want each the other's endpoint, and one of them something that is wrong besides: nobody lets go of anything."""
    port = free_port()
    gateway.write_sources({"webhook.a": webhook(port, "/a"), "webhook.b": webhook(port, "/b")})
    gateway.up()
    before = [shape(source) for source in gateway.status()["sources"]]
    gateway.write_sources({"webhook.a": webhook(port, "/b"), "webhook.b": webhook(port, "/a", endpiont="/x")})
    wait_for(lambda: all(source["refusedEdit"] for source in gateway.status()["sources"]), SOON, "both to be refused")
    sender = Sender(port, "/a")
    wait_for(lambda: sender.sent > 200, 4 * SOON, "some requests")
    sender.stop()
    assert not sender.faults and [shape(source) for source in gateway.status()["sources"]] == before


def test_a_thousand_sources_come_and_go_in_one_edit(gateway, watcher):
    """1,000 sources are added in one edit, removed in one, twice: all run within seconds, and memory does not grow."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.kept": webhook(port, "/kept")})
    gateway.up()
    kept = gateway.source("webhook.kept")
    many = {f"webhook.n{number}": webhook(port, f"/n/{number}") for number in range(600)}
    many |= {f"calendar.n{number}": {"interval": "1h"} for number in range(400)}
    processes = [gateway.processes[name] for name in ("client", "webhook", "calendar")]

    def running():
        return sum(source["state"] == "running" for source in gateway.status()["sources"])

    sizes = []
    for turn in range(3):
        gateway.write_sources({"webhook.kept": webhook(port, "/kept"), **many})
        wait_for(lambda: running() == 1001, 20, lambda: f"1,001 sources to run: {running()}")
        for number in (0, 17, 599):
            assert post(port, f"/n/{number}")[0] == 200
        gateway.write_sources({"webhook.kept": webhook(port, "/kept")})
        wait_for(lambda: len(gateway.status()["sources"]) == 1, 20, "all but one to be gone")
        wait_for(lambda: post(port, "/n/17")[0] == 404, SOON, "removed endpoints to be unknown")
        sizes.append([resident(process) for process in processes])

    assert shape(gateway.source("webhook.kept")) == shape(kept)
    if SLOW == 1:  # sanitizers keep what was freed for a while
        for process, first, last in zip(processes, sizes[0], sizes[-1]):
            assert last < first * 1.25 + (1 << 20), f"{process.name} grew from {first} to {last}"


# ---- the Gateway spec ----

def test_watchers_come_and_go_by_edits_of_the_spec(gateway, watcher):
    """A watcher is added, changed and removed while the others go on; event sources are not disturbed."""
    port = free_port()
    gateway.watch("first", watcher.url).write_sources({"webhook.a": webhook(port, "/a")})
    gateway.up()
    before = shape(gateway.source("webhook.a"))
    post(port, "/a", '{"n": 1}')
    watcher.wait_events(1)

    second, third = Watcher(), Watcher()
    with contextlib.closing(second), contextlib.closing(third):
        gateway.watch("second", second.url).write_spec()
        wait_for(lambda: gateway.watcher("second"), SOON, "the new watcher")
        post(port, "/a", '{"n": 2}')
        assert [event["data"]["n"] for event in second.wait_events(1)] == [2]

        gateway.spec["spec"]["watchers"]["http"][1]["url"] = third.url
        gateway.spec["spec"]["watchers"]["http"][1]["mode"] = "binary"
        gateway.write_spec()
        wait_for(lambda: gateway.watcher("second")["url"] == third.url, SOON, "the other address")
        post(port, "/a", '{"n": 3}')
        assert [event["data"]["n"] for event in third.wait_events(1)] == [3]
        assert len(second.events()) == 1

        del gateway.spec["spec"]["watchers"]["http"][1]
        gateway.write_spec()
        wait_for(lambda: gateway.watcher("second") is None, SOON, "the removed watcher to be gone")
        post(port, "/a", '{"n": 4}')
        assert sorted(event["data"]["n"] for event in watcher.wait_events(4)) == [1, 2, 3, 4]
        assert len(third.events()) == 1
    assert shape(gateway.source("webhook.a")) == before


def test_a_server_may_move(gateway, watcher):
    """A gateway-server gets another address: its sources go over to it; those of the other type are not disturbed."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.a": webhook(port, "/a"), "calendar.a": {"interval": "1h"}})
    gateway.up()
    calendar = shape(gateway.source("calendar.a"))
    gateway.processes["webhook"].stop()
    wait_for(lambda: gateway.source("webhook.a")["state"] == "failing", SOON, "the loss to show")
    address = f"127.0.0.1:{free_port()}"
    gateway.processes.pop("webhook")
    moved = gateway.start("webhook-moved", program("gateway-server-webhook"), "--listen", address)
    wait_for(lambda: "listening" in moved.text(), SOON, "the moved server")

    gateway.spec["spec"]["servers"][1]["address"] = address
    gateway.write_spec()

    gateway.wait_running("webhook.a", seconds=2 * SOON)
    assert post(port, "/a")[0] == 200
    assert shape(gateway.source("calendar.a")) == calendar


def test_a_broken_spec_changes_nothing(gateway, watcher):
    """The Gateway spec is broken in several ways: each is told with line and path, the last good one stays in force."""
    port = free_port()
    gateway.watch("w", watcher.url).write_sources({"webhook.a": webhook(port, "/a")})
    gateway.up()
    before = shape(gateway.source("webhook.a"))
    good = yaml.safe_dump(gateway.spec)
    broken = [
        (good + "  x: [\n", "line"),
        (good.replace("watchers:", "watcherz:"), "watchers"),
        (good.replace(watcher.url, "not a url"), "url"),
        (good.replace("name: shop", "name: other"), "restart"),
        (good.replace("type: webhook", "type: calendar"), "calendar"),
    ]
    for text, words in broken:
        gateway.write_spec(text)
        problems = wait_for(lambda: (found := gateway.status()["configuration"]["problems"]) and words in str(found) and found,
                            SOON, lambda: f"\"{words}\" in the problems: {gateway.status()['configuration']}")
        assert problems[0]["file"] == str(gateway.spec_file)
        assert post(port, "/a")[0] == 200
    assert shape(gateway.source("webhook.a")) == before

    gateway.write_spec()
    wait_for(lambda: not gateway.status()["configuration"]["problems"], SOON, "the problems to be taken back")
    assert shape(gateway.source("webhook.a")) == before
    watcher.wait_events(len(broken))


def test_what_only_a_restart_takes_up_is_said(gateway, watcher):
    """The outbox's settings are taken at the start: an edit of them says so instead of doing nothing in silence."""
    gateway.watch("w", watcher.url).write_sources({"calendar.a": {"interval": "1h"}})
    gateway.up()
    gateway.spec["spec"]["outbox"]["sizeMax"] = "2Gi"
    gateway.write_spec()
    wait_for(lambda: "restart the gateway-client" in gateway.processes["client"].text(), SOON, "the words about the restart")
    assert gateway.status()["outbox"]["sizeMax"] == 1 << 30


def test_sighup_reads_the_configuration_again(gateway):
    """SIGHUP: both files are read at once; what did not change is not disturbed."""
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.up()
    before = shape(gateway.source("calendar.a"))
    reads = gateway.metric("gateway_configuration_reads_total", result="good")

    gateway.processes["client"].process.send_signal(signal.SIGHUP)

    wait_for(lambda: gateway.metric("gateway_configuration_reads_total", result="good") == reads + 2, SOON, "both to be read")
    assert "SIGHUP" in gateway.processes["client"].text()
    assert shape(gateway.source("calendar.a")) == before
