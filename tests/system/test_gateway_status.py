"""The status of the Gateway resource and the Events about it, as users read them: written by the gateway-client to a real API
server, through a Role that allows this and no more."""

import contextlib
import http.client
import json
import pathlib
import threading
import time

import pytest
import yaml

from harness import PATIENCE, SLOW, free_port, wait_for
from in_cluster import RULES, VERSION, ClusterGateway

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRD = ROOT / "manifests/crd/gateways.argoproj.io.yaml"

WRITES_STATUS = {"apiGroups": ["argoproj.io"], "resources": ["gateways/status"], "resourceNames": ["shop"], "verbs": ["patch"]}
WRITES_EVENTS = {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}
ROLE = [*RULES, WRITES_STATUS, WRITES_EVENTS]


@pytest.fixture(scope="module", autouse=True)
def definition(cluster_of_session):
    cluster_of_session.define_gateways()


class Reported(ClusterGateway):
    """A gateway in a cluster, and what the API server says of it."""

    def object(self):
        return self.namespace.get("Gateway", "shop", VERSION)

    def reported(self):
        return (self.object() or {}).get("status", {})

    def wait_reported(self, condition, what="the status"):
        """Until condition(status) is true; the status."""
        def look():
            status = self.reported()
            with contextlib.suppress(KeyError):
                return status if condition(status) else None
        return wait_for(look, 60, lambda: f"{what}: {json.dumps(self.reported(), indent=1)}")

    def wait_condition(self, name, status, *words):
        def so(reported):
            found = condition(reported, name)
            return found["status"] == status and all(word in found["message"] for word in words)
        return condition(self.wait_reported(so, f"{name} to be {status} {words}"), name)

    def wait_node(self, name, phase, *words):
        def so(reported):
            found = node(reported, name)
            return found["phase"] == phase and all(word in found.get("message", "") for word in words)
        return node(self.wait_reported(so, f"node {name} to be {phase} {words}"), name)

    def events(self, reason=None):
        found = self.namespace.list("Event", "events.k8s.io/v1")
        return [event for event in found if reason in (None, event["reason"])]

    def wait_event(self, reason, *words):
        def look():
            return next((event for event in self.events(reason) if all(word in event["note"] for word in words)), None)
        return wait_for(look, 60, lambda: f"Event {reason} {words}; there are " + json.dumps(
            [(event["reason"], event["note"]) for event in self.events()], indent=1))

    def wait_settled(self):
        """Until everything was said: nothing is written for a while. The version of the object."""
        def still():
            version = self.version()
            time.sleep(3 * SLOW)
            return version if version == self.version() else None
        return wait_for(still, 60, "the status to settle")

    def version(self):
        return self.object()["metadata"]["resourceVersion"]

    def patches(self, result="written"):
        return self.metric("gateway_status_patches_total", result=result) or 0


def condition(status, name):
    found = [each for each in status.get("conditions", []) if each["type"] == name]
    return found[0] if found else {"status": None, "message": "", "reason": None}


def node(status, name):
    found = [each for each in status.get("nodes", {}).values() if each["name"] == name]
    return found[0] if found else {"phase": None, "message": ""}


def tick(every="1h"):
    return {"interval": every}


def fnv(text):
    """Argo's id of an event source: of its key and its configuration."""
    value = 2166136261
    for byte in text.encode():
        value = (value ^ byte) * 16777619 % 2**32
    return str(value)


@pytest.fixture
def shop(tmp_path, namespace):
    gateway = Reported(tmp_path, namespace, namespace.account(ROLE))
    gateway.write_sources({"calendar.tick": tick(), "webhook.orders": {"port": str(free_port()), "endpoint": "/orders"}})
    yield gateway
    gateway.down()


def start(shop, *flags, servers=("calendar", "webhook")):
    for kind in servers:
        shop.server(kind)
    shop.write_spec()
    shop.client(*flags)
    return shop


class Changes(threading.Thread):
    """All versions of the Gateway from now on, as a watch tells them."""

    def __init__(self, shop):
        super().__init__(daemon=True)
        cluster = shop.namespace.cluster
        path = cluster.path({"apiVersion": VERSION, "kind": "Gateway"}, shop.namespace.name, "")
        self.connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=cluster.tls, timeout=600)
        self.connection.request("GET", f"{path}?watch=1&resourceVersion={shop.version()}", headers={
            "Authorization": f"Bearer {cluster.token}"})
        self.answer = self.connection.getresponse()
        self.objects = []
        self.start()

    def run(self):
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            for line in self.answer:
                self.objects.append((time.monotonic(), json.loads(line)["object"]))


# ---- the status ----


def test_a_gateway_that_runs_says_so(shop, watcher):
    """Two event sources and a watcher: the status has all of it, and kubectl shows it."""
    shop.watch("audit", watcher.url)
    start(shop)
    status = shop.wait_reported(lambda status: status["phase"] == "Running")
    assert {each["type"]: each["status"] for each in status["conditions"]} == {
        "Ready": "True", "ConfigurationAccepted": "True", "SourcesRunning": "True", "WatchersReachable": "True"}
    assert status["observedGeneration"] == 1
    assert all(each["observedGeneration"] == 1 for each in status["conditions"])
    assert status["message"] == "2 event sources run, 1 watcher can be reached"
    data = shop.namespace.get("ConfigMap", "events")["data"]
    ids = {key: fnv(key + text) for key, text in data.items()}
    assert set(status["nodes"]) == set(ids.values())
    tick = status["nodes"][ids["calendar.tick"]]
    assert tick.pop("startedAt") == tick.pop("updateTime")
    assert tick == {"id": ids["calendar.tick"], "name": "calendar.tick", "displayName": "tick", "type": "calendar",
                    "phase": "Running", "events": 0}
    assert status["watchers"] == {"audit": {"state": "ok", "delivered": 0, "pending": 0, "deadLetters": 0}}
    row = shop.namespace.kubectl("get", "gw", "shop", "--no-headers").split()
    assert row[:5] == ["shop", "calendar,", "webhook", "2/2", "True"]
    shop.namespace.kubectl("wait", "--for=condition=Ready", "gw/shop", "--timeout=30s")


@pytest.mark.once
def test_counters_follow_at_their_own_pace(shop, watcher):
    """Ten events a second: they are counted in the status, and it is not written more often than every ten seconds."""
    shop.write_sources({"calendar.fast": tick("100ms")})
    shop.watch("audit", watcher.url)
    start(shop, servers=("calendar",))
    shop.wait_reported(lambda status: status["phase"] == "Running")
    seen = Changes(shop)
    status = shop.wait_reported(lambda status: node(status, "calendar.fast")["events"] > 50 and status["watchers"]["audit"]["delivered"] > 50)
    assert node(status, "calendar.fast")["lastEventTime"]
    gaps = [after[0] - before[0] for before, after in zip(seen.objects[1:], seen.objects[2:])]
    assert all(gap > 8 for gap in gaps), gaps


def test_nodes_come_and_go_with_the_event_sources(shop):
    """One is added and cannot run, one is edited, one is removed: the nodes follow, with words; nothing is left of the old."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    before = shop.wait_node("calendar.tick", "Running")
    shop.sources["calendar.bad"] = {"schedule": "61 * * * *"}
    shop.sources["calendar.unread"] = "{"
    shop.write_sources()
    bad = shop.wait_node("calendar.bad", "Error", "61")
    assert "startedAt" not in bad
    shop.wait_node("calendar.unread", "Error", "line 2", "not YAML")
    status = shop.wait_reported(lambda status: status["phase"] == "Error" and status["sources"] == "2/4")
    found = condition(status, "SourcesRunning")
    assert found["status"] == "False" and found["reason"] == "NotRunning" and "calendar.bad: " in found["message"]
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "ConfigurationAccepted")["status"] == "False"
    assert "calendar.bad" in status["message"]

    shop.write_sources({"calendar.tick": tick("2h")})
    status = shop.wait_reported(lambda status: status["sources"] == "1/1" and status["phase"] == "Running")
    assert [each["name"] for each in status["nodes"].values()] == ["calendar.tick"]
    assert before["id"] not in status["nodes"]


def test_an_edit_that_is_refused_shows_while_the_last_good_one_runs(shop):
    """The node stays Running, and says what is wrong with the edit; taken back, it says nothing any more."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    shop.write_sources({**shop.sources, "calendar.tick": {"schedule": "61 * * * *"}})
    shop.wait_node("calendar.tick", "Running", "the last good one runs", "61")
    shop.wait_event("EditRefused", "calendar.tick", "61")
    shop.write_sources({**shop.sources, "calendar.tick": tick()})
    shop.wait_reported(lambda status: "message" not in node(status, "calendar.tick"))


def test_what_an_earlier_run_left_is_removed_and_what_others_wrote_is_kept(shop):
    """The status holds a node of a source that is no more, a field and a condition of another controller."""
    shop.write_spec()
    others = {"type": "Approved", "status": "True", "lastTransitionTime": "2026-03-01T08:00:00Z", "reason": "Yes", "message": "by hand"}
    ours = {**others, "type": "Ready", "message": "long ago"}
    path = shop.namespace.cluster.path({"apiVersion": VERSION, "kind": "Gateway"}, shop.namespace.name, "shop") + "/status"
    shop.namespace.cluster.request("PATCH", path, {"status": {
        "nodes": {"1071576966": {"id": "1071576966", "name": "gone", "phase": "Running", "updateTime": None}},
        "watchers": {"gone": {"state": "ok"}},
        "resources": {"deployment": {"name": "shop-gateway"}},
        "conditions": [others, ours]}}, kind="application/merge-patch+json")
    start(shop)
    status = shop.wait_reported(lambda status: status["phase"] == "Running")
    assert status["resources"] == {"deployment": {"name": "shop-gateway"}}
    assert condition(status, "Approved") == others
    assert sorted(each["name"] for each in status["nodes"].values()) == ["calendar.tick", "webhook.orders"]
    assert status["watchers"] == {}
    # what another writes while we run is seen before the next time that the list is replaced
    shop.namespace.cluster.request("PATCH", path, {"status": {"conditions": [
        {**others, "message": "twice"}, *(each for each in status["conditions"] if each["type"] != "Approved")]}},
        kind="application/merge-patch+json")
    shop.write_sources({"calendar.bad": {"schedule": "61 * * * *"}})
    status = shop.wait_reported(lambda status: condition(status, "SourcesRunning")["status"] == "False")
    assert condition(status, "Approved")["message"] == "twice"


def test_the_time_of_a_condition_moves_with_its_truth_alone(shop):
    """Ready stays true over a restart of the gateway-client... and its time is the old one, though other words change."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    began = shop.wait_condition("ConfigurationAccepted", "True")["lastTransitionTime"]
    time.sleep(1.1)
    shop.processes["client"].kill()
    shop.write_sources({"calendar.other": tick()})
    shop.client()
    shop.wait_reported(lambda status: status["sources"] == "1/1" and status["phase"] == "Running")
    again = shop.wait_condition("SourcesRunning", "True", "1 event source runs")
    assert shop.wait_condition("WatchersReachable", "True")["lastTransitionTime"] <= again["lastTransitionTime"]
    shop.write_sources({"calendar.bad": {"schedule": "61 * * * *"}})
    moved = shop.wait_condition("SourcesRunning", "False")
    assert moved["lastTransitionTime"] > began


def test_a_watcher_that_takes_nothing_is_not_reachable(shop, watcher):
    """It fails, events wait for it; it recovers, and they are delivered. Another gives up: a dead letter is counted."""
    shop.write_sources({"calendar.fast": tick("300ms")})
    shop.watch("audit", watcher.url, retry={"initial": "100ms", "max": "500ms"})
    watcher.answer = lambda request: (503, {})
    start(shop, servers=("calendar",))
    shop.wait_condition("WatchersReachable", "False", "1 of 1 watchers", "audit", "503")
    status = shop.wait_reported(lambda status: status["watchers"]["audit"]["pending"] > 0)
    assert status["watchers"]["audit"]["state"] == "failing" and status["phase"] == "Error"
    assert shop.wait_event("WatcherFailing", "audit", "503")["type"] == "Warning"
    watcher.answer = lambda request: (200, {})
    shop.wait_condition("WatchersReachable", "True")
    shop.wait_reported(lambda status: status["watchers"]["audit"]["delivered"] > 0 and status["phase"] == "Running")
    assert shop.wait_event("WatcherRecovered", "audit")["type"] == "Normal"
    watcher.answer = lambda request: (400, {})
    shop.wait_reported(lambda status: status["watchers"]["audit"]["deadLetters"] > 0)


def test_a_spec_that_is_refused_leaves_the_last_good_one_in_force(shop):
    """What the API server lets through and the reader does not: words in the condition and in an Event, Ready all the same."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    good = shop.spec["spec"]
    shop.spec["spec"] = {**good, "watchers": {"http": [{"name": "a", "url": "no-url"}]}}
    shop.write_spec()
    found = shop.wait_condition("ConfigurationAccepted", "False", "spec.watchers.http[0].url", "the last good spec stays in force")
    assert found["reason"] == "SpecRefused" and found["observedGeneration"] == 2
    status = shop.reported()
    assert condition(status, "Ready")["status"] == "True" and status["sources"] == "2/2" and status["observedGeneration"] == 2
    assert shop.wait_event("ConfigurationRefused", f"gateway {shop.namespace.name}/shop is refused", "no-url")["type"] == "Warning"
    shop.spec["spec"] = good
    shop.write_spec()
    shop.wait_condition("ConfigurationAccepted", "True")
    shop.wait_reported(lambda status: status["observedGeneration"] == 3 and status["phase"] == "Running")


def test_what_is_waited_for_is_named(shop):
    """Without its ConfigMap a gateway is not ready, and says why; deleted later, it stays in force for the grace period."""
    shop.delete_sources()
    start(shop, "--delete-grace", "3s")
    assert shop.wait_condition("Ready", "False", "configmap", "is not there yet")["reason"] == "NoEventSources"
    assert shop.reported()["phase"] == ""
    shop.write_sources({"calendar.tick": tick()})
    shop.wait_condition("Ready", "True")
    shop.delete_sources()
    shop.wait_reported(lambda status: "stays in force until" in status["message"] and status["sources"] == "1/1")
    shop.wait_condition("Ready", "False", "was deleted")
    shop.wait_reported(lambda status: status["nodes"] == {})
    shop.wait_event("ConfigurationGone", f"configmap {shop.namespace.name}/events is gone")


def test_the_end_is_told(shop):
    """After SIGTERM nobody takes it for ready."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    assert shop.processes["client"].stop() == 0
    status = shop.reported()
    assert status["phase"] == "Completed"
    assert condition(status, "Ready")["status"] == "False" and condition(status, "Ready")["reason"] == "Stopping"
    assert condition(status, "SourcesRunning")["status"] == "Unknown"
    assert shop.events("Stopping")


# ---- writing it ----


@pytest.mark.once
def test_nothing_is_written_when_nothing_changed(shop):
    """An idle gateway leaves the API server alone: no patch in the time of a look at the counters."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    version, patches = shop.wait_settled(), shop.patches()
    time.sleep(11)
    assert shop.version() == version and shop.patches() == patches


@pytest.mark.once
def test_a_storm_of_changes_is_at_most_one_patch_a_second(shop):
    """Event sources come, go and fail all the time: the API server sees a patch a second, and at the end the truth."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    seen = Changes(shop)
    end = time.monotonic() + 10
    number = 0
    while time.monotonic() < end:
        number += 1
        shop.write_sources({"calendar.tick": tick(), f"calendar.n{number}": tick(), "calendar.odd": {"schedule": f"{60 + number} * * * *"}})
        time.sleep(0.1)
    took = time.monotonic() - end + 10
    written = [at for at, _ in seen.objects]
    assert 4 <= len(written) <= took + 2, len(written)
    assert all(after - before > 0.8 for before, after in zip(written, written[1:]))
    shop.wait_reported(lambda status: {each["name"]: each["phase"] for each in status["nodes"].values()} == {
        "calendar.tick": "Running", f"calendar.n{number}": "Running", "calendar.odd": "Error"})


def test_without_the_right_to_write_it_says_so_and_heals(shop):
    """The gateway works all the same; the API server's words are in the log, once; with the right, the status is written."""
    shop.account.allow(RULES)
    start(shop)
    client = shop.processes["client"]
    wait_for(lambda: "cannot patch resource" in client.text(), 30)
    wait_for(lambda: "cannot create resource" in client.text(), 30)
    shop.wait_running("calendar.tick", "webhook.orders")
    wait_for(lambda: shop.patches("failed") >= 3, 60)
    assert client.text().count("gateways/status") == 1
    assert shop.reported() == {}
    shop.account.allow(ROLE)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    wait_for(lambda: "the status of the Gateway is written again" in client.text(), 30)


def test_the_api_server_may_go_away_and_come_back(shop, cluster):
    """While it is away a source ends and another fails; when it is back, the status says what is so then."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    cluster.kill()
    shop.processes["webhook"].stop()
    wait_for(lambda: (shop.source("webhook.orders") or {}).get("state") == "failing", 30)
    wait_for(lambda: shop.patches("failed") > 0, 60)
    cluster.start()
    shop.wait_node("webhook.orders", "Error", "gateway-server")
    assert shop.wait_node("calendar.tick", "Running")
    shop.wait_event("SourceFailed", "webhook.orders")


def test_a_gateway_that_is_made_again_gets_its_status_again(shop):
    """Deleted and made anew it is another object, with nothing in its status; Events are about the new one."""
    start(shop)
    shop.wait_reported(lambda status: status["phase"] == "Running")
    failed = shop.patches("failed")
    shop.delete_spec()
    shop.write_sources({"calendar.tick": tick("3h")})
    wait_for(lambda: shop.source("calendar.tick")["state"] == "running" and shop.source("webhook.orders") is None, 30)
    time.sleep(2)
    assert shop.patches("failed") == failed and "status of the Gateway" not in shop.processes["client"].text()
    uid = shop.write_spec()["metadata"]["uid"]
    shop.wait_reported(lambda status: status["phase"] == "Running" and status["sources"] == "1/1")
    shop.write_sources({"calendar.other": tick()})
    assert shop.wait_event("SourceRunning", "calendar.other")["regarding"]["uid"] == uid


@pytest.mark.once
def test_a_definition_without_the_status_subresource_is_enough(shop, cluster):
    """Argo's own has none: the object itself is patched, with the right to. Its generation moves with each patch, so no
    observedGeneration is told, and it comes to rest. When the definition gets the subresource, that is used."""
    definition = yaml.safe_load(CRD.read_text())
    definition["spec"]["versions"][0]["subresources"] = {}
    cluster.kubectl("replace", "-f", "-", input=json.dumps(definition))
    try:
        shop.account.allow([*RULES, WRITES_STATUS, WRITES_EVENTS, {**WRITES_STATUS, "resources": ["gateways"]}])
        start(shop)
        status = shop.wait_reported(lambda status: status["phase"] == "Running")
        assert "observedGeneration" not in status and status["sources"] == "2/2"
        shop.wait_settled()
        reads = shop.reads()
        generation = shop.object()["metadata"]["generation"]
        shop.write_sources({"calendar.tick": tick()})
        shop.wait_reported(lambda status: status["sources"] == "1/1")
        shop.wait_settled()
        assert generation < shop.object()["metadata"]["generation"] < generation + 5
        assert shop.reads() == reads + 1, "the spec was read again because of its status"
        cluster.kubectl("apply", "-f", CRD)
        shop.write_sources({"calendar.other": tick()})
        shop.wait_reported(lambda status: node(status, "calendar.other")["phase"] == "Running")
        shop.wait_reported(lambda status: status["observedGeneration"] == shop.object()["metadata"]["generation"])
    finally:
        cluster.kubectl("apply", "-f", CRD)


def test_two_thousand_event_sources_fit(shop):
    """They are all among the nodes, and what API server and etcd take is not exceeded."""
    shop.write_sources({f"calendar.source-{number:04}": tick() for number in range(2000)})
    start(shop, servers=("calendar",))
    status = shop.wait_reported(lambda status: status["sources"] == "2000/2000" and status["phase"] == "Running")
    assert len(status["nodes"]) + status.get("nodesOmitted", 0) == 2000
    assert len(status["nodes"]) == 2000
    assert "too large" not in shop.processes["client"].text()
    note = shop.wait_event("SourceRunning", "event sources run: calendar.source-")["note"]
    assert len(note.encode()) <= 1024 and note.endswith("…")


# ---- Events ----


def test_events_tell_what_happened_and_are_about_the_gateway(shop):
    """Each is valid to the letter, kubectl describe shows it, and who tells it is the one that ran."""
    start(shop)
    event = shop.wait_event("SourceRunning", "event source calendar.tick runs")
    uid = shop.object()["metadata"]["uid"]
    assert event["regarding"] == {"apiVersion": VERSION, "kind": "Gateway", "namespace": shop.namespace.name, "name": "shop", "uid": uid}
    assert event["type"] == "Normal" and event["action"] == "Run" and event["reportingController"] == "gateway-client"
    assert event["reportingInstance"] and event["metadata"]["name"].startswith("shop.")
    shop.wait_event("ConfigurationInForce", f"gateway {shop.namespace.name}/shop is in force")
    shop.wait_event("ConfigurationInForce", f"configmap {shop.namespace.name}/events is in force")
    described = shop.namespace.kubectl("describe", "gw", "shop")
    assert "SourceRunning" in described and "event source calendar.tick runs" in described
    assert "event source calendar.tick runs" in shop.namespace.kubectl("get", "events.events.k8s.io")

    shop.write_sources({"webhook.orders": shop.sources["webhook.orders"], "calendar.bad": {"schedule": "61 * * * *"}})
    assert shop.wait_event("SourceInvalid", "event source calendar.bad is not valid", "61")["type"] == "Warning"
    assert shop.wait_event("SourceRemoved", "event source calendar.tick is removed")["type"] == "Normal"
    shop.processes["webhook"].stop()
    assert shop.wait_event("SourceFailed", "event source webhook.orders does not run")["type"] == "Warning"


@pytest.mark.once
def test_a_source_that_keeps_failing_is_one_event(shop):
    """It is tried again and again, with the same words: one Event; when it fails anew after it ran, the Event is a series."""
    start(shop)
    shop.wait_event("SourceRunning", "webhook.orders")
    shop.processes["webhook"].kill()
    shop.wait_event("SourceFailed", "webhook.orders")
    wait_for(lambda: shop.source("webhook.orders")["state"] == "failing", 30)
    time.sleep(6)
    told = len(shop.events("SourceFailed"))
    assert told <= 2  # "the stream ended", "cannot be reached"
    for _ in range(3):
        shop.server("webhook")
        shop.wait_running("webhook.orders", seconds=30)
        shop.processes["webhook"].kill()
        wait_for(lambda: shop.source("webhook.orders")["state"] == "failing", 30)
    running = shop.wait_event("SourceRunning", "webhook.orders")
    wait_for(lambda: [event for event in shop.events("SourceRunning") if event.get("series", {}).get("count", 0) >= 3], 90,
             lambda: json.dumps(shop.events("SourceRunning"), indent=1))
    assert [event for event in shop.events("SourceRunning") if event["metadata"]["name"] == running["metadata"]["name"]]


@pytest.mark.once
def test_a_storm_does_not_become_a_storm_of_events(shop):
    """Ninety changes with words of their own: few Events are sent, the others counted; nothing else is held up."""
    start(shop)
    shop.wait_event("SourceRunning", "calendar.tick")
    for number in range(15):
        shop.write_sources({"calendar.tick": tick(), **{f"calendar.n{number}-{each}": tick() for each in range(3)}})
        wait_for(lambda: (shop.source(f"calendar.n{number}-2") or {}).get("state") == "running", 30)
        time.sleep(0.6)  # longer than it gathers
    dropped = wait_for(lambda: shop.metric("gateway_kubernetes_events_total", result="dropped"), 30)
    sent = shop.metric("gateway_kubernetes_events_total", result="sent")
    assert dropped > 0 and sent < 60, (dropped, sent)
    assert len(shop.events()) <= sent


@pytest.mark.once
def test_only_the_leader_tells(shop):
    """Two gateway-clients, of which a Lease elects one: the other writes nothing, until it leads. Then it is known who does."""
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
    shop.account.allow([*ROLE, leases])
    slow = SLOW * PATIENCE  # who is elected and cannot renew in time ends, and nobody starts it again here
    flags = ["--leader-elect", "--lease-duration", f"{3 * slow}s", "--renew-deadline", f"{2 * slow}s", "--retry-period", f"{int(slow * 500)}ms"]
    start(shop, *flags)
    leader = shop.processes["client"]
    first = shop.wait_reported(lambda status: status["phase"] == "Running")
    assert shop.wait_event("LeaderElected", " leads")
    shop.admin = f"127.0.0.1:{free_port()}"
    time.sleep(1.1)  # so that the second begins at another second
    shop.client(*flags)
    wait_for(lambda: "standing by" in shop.processes["client"].text(), 30, "the second to stand by")
    assert not shop.patches() and not shop.metric("gateway_kubernetes_events_total", result="sent")
    leader.kill()
    shop.wait_reported(lambda status: status["phase"] == "Running" and status["startedAt"] > first["startedAt"])
    wait_for(lambda: len({event["note"] for event in shop.events("LeaderElected")}) == 2, 60, "two leaders to be told of")


def test_a_gateway_of_files_tells_nobody(shop, tmp_path):
    """Its spec is a file, its event sources a ConfigMap: there is no Gateway resource to write to, and none is asked for."""
    Path = pathlib.Path
    for kind in ("calendar", "webhook"):
        shop.server(kind)
    Path(tmp_path / "gateway.yaml").write_text(yaml.safe_dump(shop.spec))
    shop.client(gateway=tmp_path / "gateway.yaml")
    shop.wait_running("calendar.tick", "webhook.orders")
    time.sleep(2)
    assert shop.events() == [] and "status of the Gateway" not in shop.processes["client"].text()
