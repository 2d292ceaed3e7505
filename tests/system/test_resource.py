"""Objects of a real API server as events: exact payloads, every filter, storms of changes through crashes and compacted
history, and what it costs."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import signal
import sqlite3
import threading
import time

import pytest

from harness import SLOW, free_port, wait_for

READ = ["list", "watch"]


def role(*resources, group=""):
    return [{"apiGroups": [group], "resources": list(resources), "verbs": READ}]


class Resources:
    """A gateway whose event sources are resources of one namespace, spoken for by an account of its own."""

    def __init__(self, gateway, watcher, namespace, rules=None, cluster_rules=(), server=None):
        self.gateway, self.watcher, self.namespace = gateway, watcher, namespace
        self.account = namespace.account(role("configmaps") if rules is None else rules, cluster_rules, server)
        self.state = gateway.directory / "resource-state"
        self.admin = None
        gateway.spec["spec"]["servers"] = [{"type": "resource", "address": f"unix:{gateway.directory}/resource.sock"}]
        gateway.watch("all", watcher.url, concurrency=1)

    def serve(self, *flags, state=True):
        return self.gateway.server("resource", "--kubeconfig", self.account.kubeconfig,
                                   *(["--state", self.state] if state else []), *flags)

    def up(self, *flags, wait=True, state=True, **sources):
        """Event sources by name; settings that all have are filled in."""
        self.gateway.write_spec()
        self.write(**sources)
        self.serve(*flags, state=state)
        self.gateway.client()
        if wait:
            self.gateway.wait_running(*self.gateway.sources, seconds=30)
        return self

    def write(self, **sources):
        base = {"namespace": self.namespace.name, "version": "v1", "resource": "configmaps"}
        self.gateway.write_sources({f"resource.{name}": {key: value for key, value in {**base, **settings}.items()
                                                         if value is not None} for name, settings in sources.items()})

    def events(self, name):
        return [event for event in self.watcher.events() if event["source"].endswith(f"/resource.{name}")]

    def wait(self, name, count, seconds=20):
        wait_for(lambda: len(self.events(name)) >= count, seconds,
                 lambda: f"{count} events of {name}: there are {[told(event) for event in self.events(name)][-20:]}")
        return self.events(name)

    def message(self, name):
        return (self.gateway.source(f"resource.{name}") or {}).get("message", "")

    def config_map(self, name, data=None, **metadata):
        return self.namespace.apply({"kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": data or {}})


@pytest.fixture
def resources(gateway, watcher, namespace):
    return Resources(gateway, watcher, namespace)


def told(event):
    """("ADD", name) of an event, by its type."""
    return event["type"].rsplit(".", 1)[1].upper(), event["name"]


def without_managed_fields(document):
    metadata = {key: value for key, value in document["metadata"].items() if key != "managedFields"}
    return {**document, "metadata": metadata}


def test_what_comes_changes_and_goes_is_told_as_argo_told_it(resources):
    """Sources with the payloads of v0.11 and v0.16, in full and as references: one object is added, updated and deleted. The
    data are those of Argo, byte for byte what the API server has; the attributes say which object it is."""
    resources.config_map("before")
    resources.up(old={}, new={"payload": "v0.16"}, short={"mode": "reference"},
                 reference={"mode": "reference", "payload": "v0.16"}, fields={"managedFields": True, "oldObject": False})
    made = resources.config_map("a", {"k": "ü \" \\ 1"})
    changed = resources.config_map("a", {"k": "2"})
    last = resources.namespace.get("ConfigMap", "a")
    resources.namespace.delete("ConfigMap", "a")

    plain = [without_managed_fields(document) for document in (made, changed)]
    events = resources.wait("old", 3)
    assert [told(event) for event in events] == [("ADD", "a"), ("UPDATE", "a"), ("DELETE", "a")]
    gone = events[2]["data"]["Obj"]
    assert int(gone["metadata"]["resourceVersion"]) > int(last["metadata"]["resourceVersion"])
    gone_plain = {**plain[1], "metadata": {**plain[1]["metadata"], "resourceVersion": gone["metadata"]["resourceVersion"]}}
    assert [event["data"] for event in events] == [
        {"Obj": plain[0], "OldObj": None, "Type": "ADD"}, {"Obj": plain[1], "OldObj": plain[0], "Type": "UPDATE"},
        {"Obj": gone_plain, "OldObj": None, "Type": "DELETE"}]

    uid = made["metadata"]["uid"]
    versions = [document["metadata"]["resourceVersion"] for document in (*plain, gone)]
    for event, version, end in zip(events, versions, ("", "", ".DELETE")):
        assert event["id"] == f"{uid}.{version}{end}"
        assert event["subject"] == f"{resources.namespace.name}/a"
        assert event["datacontenttype"] == "application/json"
        named = {name: event[name] for name in ("apiversion", "kind", "resource", "namespace", "name", "uid", "resourceversion")}
        assert named == {"apiversion": "v1", "kind": "ConfigMap", "resource": "configmaps", "namespace": resources.namespace.name,
                         "name": "a", "uid": uid, "resourceversion": version}

    new = [event["data"] for event in resources.wait("new", 3)]
    assert new == [{"type": kind, "body": body, "group": "", "version": "v1", "resource": "configmaps"}
                   for kind, body in zip(("ADD", "UPDATE", "DELETE"), (*plain, gone_plain))]
    assert [list(data) for data in new] == [["type", "body", "group", "version", "resource"]] * 3

    references = [{"kind": "ConfigMap", "namespace": resources.namespace.name, "name": "a", "uid": uid, "apiVersion": "v1",
                   "resourceVersion": version} for version in versions]
    assert [event["data"] for event in resources.wait("short", 3)] == [
        {"Obj": reference, "OldObj": None, "Type": kind} for reference, kind in zip(references, ("ADD", "UPDATE", "DELETE"))]
    assert [event["data"]["body"] for event in resources.wait("reference", 3)] == references
    assert [event["data"]["Obj"] for event in resources.wait("fields", 3)][:2] == [made, changed]
    assert resources.events("fields")[1]["data"]["OldObj"] is None


# ---- filters ----

LABELLED = {  # name: labels
    "a": {"team": "billing", "tier": "3"},
    "b": {"team": "shop", "tier": "9"},
    "c": {"team": "legal"},
    "d": {},
}

LABEL_FILTERS = [
    ({"team": "billing"}, "a"),
    ([{"key": "team", "value": "billing"}], "a"),
    ([{"key": "team", "operation": "=", "value": "shop"}], "b"),
    ([{"key": "team", "operation": "==", "value": "shop"}], "b"),
    ([{"key": "team", "operation": "!=", "value": "shop"}], "acd"),
    ([{"key": "team", "operation": "in", "value": "shop,legal"}], "bc"),
    ([{"key": "team", "operation": "in", "values": ["shop", "billing"]}], "ab"),
    ([{"key": "team", "operation": "notin", "value": "shop, billing"}], "cd"),
    ([{"key": "tier", "operation": "exists"}], "ab"),
    ([{"key": "tier", "operation": "!"}], "cd"),
    ([{"key": "tier", "operation": "gt", "value": "3"}], "b"),
    ([{"key": "tier", "operation": "lt", "value": 9}], "a"),
    ([{"key": "tier", "operation": "exists"}, {"key": "team", "operation": "!=", "value": "shop"}], "a"),
    ("team in (billing, legal),!nothing", "ac"),
    ("tier>2,tier<9", "a"),
]


def test_every_operation_on_labels_selects_what_it_says(resources):
    """Fifteen sources, one for each way to select by labels, all by the API server; four objects are made. Each source tells of
    exactly those that it should."""
    resources.up(**{f"f{i}": {"filter": {"labels": labels}, "mode": "reference"} for i, (labels, _) in enumerate(LABEL_FILTERS)},
                 every={"mode": "reference"})
    for name, labels in LABELLED.items():
        resources.config_map(name, labels=labels)
    resources.wait("every", 4)
    for i, (labels, names) in enumerate(LABEL_FILTERS):
        events = resources.wait(f"f{i}", len(names))
        assert sorted(told(event) for event in events) == [("ADD", name) for name in names], labels


FIELD_FILTERS = [  # on ConfigMaps, whose data the API server does not select by: looked at here
    ({"data.color": "red"}, "a"),
    ([{"key": "data.color", "operation": "=", "value": "red"}], "a"),
    ([{"key": "data.color", "operation": "==", "value": "blue"}], "b"),
    ([{"key": "data.color", "operation": "!=", "value": "red"}], "bcd"),
    ([{"key": "data.color", "operation": "in", "values": ["red", "blue"]}], "ab"),
    ([{"key": "data.color", "operation": "notin", "value": "red,blue"}], "cd"),
    ([{"key": "data.size", "operation": "exists"}], "bc"),
    ([{"key": "data.size", "operation": "!"}], "ad"),
    ([{"key": "data.size", "operation": "gt", "value": "5"}], "c"),
    ([{"key": "data.size", "operation": "lt", "value": "7"}], "b"),
    ("data.color=blue,data.size=5", "b"),
    ("metadata.name=c", "c"),
    ("metadata.name!=c,data.size>1", "b"),
    ({"metadata.annotations['example.com/owner']": "ann"}, "d"),
]
FIELDED = {  # name: data, annotations
    "a": ({"color": "red"}, {}),
    "b": ({"color": "blue", "size": "5"}, {}),
    "c": ({"size": "7"}, {}),
    "d": ({}, {"example.com/owner": "ann", "note": ""}),
}
OTHER_FILTERS = [
    ({"prefix": ""}, "abcd"),
    ({"prefix": "b"}, "b"),
    ({"annotations": {"example.com/owner": "ann"}}, "d"),
    ({"annotations": {"example.com/owner": "ann", "note": ""}}, "d"),
    ({"annotations": {"example.com/owner": "bob"}}, ""),
    ({"createdBy": "2020-01-01T00:00:00Z"}, ""),
    ({"createdBy": "2100-01-01T00:00:00Z"}, "abcd"),
    ({"afterStart": True}, "abcd"),
    ({"prefix": "c", "fields": {"data.size": "7"}, "afterStart": True}, "c"),
]


def test_every_other_filter_selects_what_it_says(resources):
    """Fields with each operation, where the API server does not know them, prefixes, annotations and times: one source each,
    four objects. The status says that the fields are looked at here."""
    filters = [({"fields": fields}, names) for fields, names in FIELD_FILTERS] + OTHER_FILTERS
    resources.up(**{f"f{i}": {"filter": settings, "mode": "reference"} for i, (settings, _) in enumerate(filters)},
                 every={"mode": "reference"})
    for name, (data, annotations) in FIELDED.items():
        resources.config_map(name, data, annotations=annotations)
    resources.wait("every", 4)
    for i, (settings, names) in enumerate(filters):
        events = resources.wait(f"f{i}", len(names))
        assert sorted(told(event) for event in events) == [("ADD", name) for name in names], settings
    assert "looked at here" in resources.gateway.processes["resource"].text()


def test_the_api_server_selects_by_the_fields_it_knows(gateway, watcher, namespace):
    """Pods by status.phase and spec.nodeName: as the Pods change, they come into the set, and leave it."""
    resources = Resources(gateway, watcher, namespace, role("pods"))
    namespace.apply({"kind": "ServiceAccount", "metadata": {"name": "default"}})
    pods = {"resource": "pods", "mode": "reference", "payload": "v0.16"}
    resources.up(failed={**pods, "filter": {"fields": {"status.phase": "Failed"}}},
                 elsewhere={**pods, "filter": {"fields": "spec.nodeName!=node-1"}})
    for name, node in (("a", "node-1"), ("b", "node-2")):
        namespace.create({"kind": "Pod", "metadata": {"name": name},
                          "spec": {"nodeName": node, "containers": [{"name": "a", "image": "localhost/pause:1"}]}})
        path = f"/api/v1/namespaces/{namespace.name}/pods/{name}/status"
        for phase in ("Failed", "Running"):
            namespace.cluster.request("PATCH", path, {"status": {"phase": phase}}, kind="application/merge-patch+json")
    assert [told(event) for event in resources.wait("failed", 4)] == [("ADD", "a"), ("DELETE", "a"), ("ADD", "b"), ("DELETE", "b")]
    assert [told(event) for event in resources.wait("elsewhere", 3)] == [("ADD", "b"), ("UPDATE", "b"), ("UPDATE", "b")]
    assert "looked at here" not in gateway.processes["resource"].text()


def test_objects_come_into_a_filter_and_leave_it(resources):
    """A label, judged by the API server, and an annotation and a field, judged here, are given and taken: the object comes with
    ADD, changes with UPDATE, leaves with DELETE, the same for all three. eventTypes tells only some of it."""
    filters = {"label": {"labels": {"on": "yes"}}, "annotation": {"annotations": {"on": "yes"}}, "field": {"fields": {"data.on": "yes"}}}
    resources.up(**{name: {"filter": settings} for name, settings in filters.items()},
                 only={"filter": filters["annotation"], "eventTypes": ["ADD", "DELETE"]},
                 one={"filter": filters["label"], "type": "UPDATE"})
    for on, value in (("no", "1"), ("yes", "2"), ("yes", "3"), ("no", "4"), ("yes", "5")):
        resources.config_map("a", {"on": on, "value": value}, labels={"on": on}, annotations={"on": on})
    resources.namespace.delete("ConfigMap", "a")
    for name in filters:
        events = resources.wait(name, 5)
        assert [(told(event)[0], event["data"]["Obj"]["data"]["value"]) for event in events] == [
            ("ADD", "2"), ("UPDATE", "3"), ("DELETE", "3" if name == "label" else "4"), ("ADD", "5"), ("DELETE", "5")], name
        assert [event["data"]["OldObj"] and event["data"]["OldObj"]["data"]["value"] for event in events] == [
            None, "2", None, None, None]
    assert [told(event)[0] for event in resources.wait("only", 4)] == ["ADD", "DELETE", "ADD", "DELETE"]
    assert [told(event)[0] for event in resources.wait("one", 1)] == ["UPDATE"]


def test_only_updates_that_changed_a_value_are_told(resources):
    """filter.changed names two paths: updates elsewhere are not told, also not after a restart of the gateway-server."""
    resources.config_map("before", {"size": "1"})
    resources.up(sizes={"filter": {"changed": ["data.size", "/metadata/labels/x"]}, "oldObject": False})

    def change(name, **changes):
        resources.namespace.patch("ConfigMap", name, changes)
    change("before", data={"other": "1"})
    change("before", data={"size": "2"})
    change("before", metadata={"labels": {"y": "1"}})
    change("before", metadata={"labels": {"x": "1"}})
    assert [told(event) for event in resources.wait("sizes", 2)] == [("UPDATE", "before")] * 2
    resources.gateway.processes["resource"].stop()
    change("before", data={"other": "2"})
    change("before", data={"other": "3"})
    resources.serve()
    resources.gateway.wait_running("resource.sizes", seconds=60)
    change("before", data={"other": "4"})
    change("before", data={"size": "3"})
    events = resources.wait("sizes", 3)
    assert [event["data"]["Obj"]["data"]["size"] for event in events] == ["2", "2", "3"]


def test_what_exists_is_told_only_when_asked_for(resources):
    """Existing objects are told by replayExisting alone, in pages, and once: a restart of all goes on behind them. afterStart is
    since the first start."""
    for i in range(3):
        resources.config_map(f"old-{i}")
    time.sleep(1.1)  # creation times know seconds
    resources.up(quiet={}, replay={"replayExisting": True}, new={"replayExisting": True, "filter": {"afterStart": True}})
    resources.config_map("new")
    assert sorted(told(event) for event in resources.wait("replay", 4)) == [("ADD", "new"), *(("ADD", f"old-{i}") for i in range(3))]
    assert [event["data"]["Obj"]["metadata"]["name"] for event in resources.wait("replay", 4)][3] == "new"
    assert [told(event) for event in resources.wait("quiet", 1)] == [("ADD", "new")]
    for name in ("client", "resource"):
        resources.gateway.processes[name].stop()
    resources.config_map("new", {"a": "1"})
    resources.config_map("old-0", {"a": "1"})
    resources.serve()
    resources.gateway.client()
    assert sorted(told(event) for event in resources.wait("replay", 6)[4:]) == [("UPDATE", "new"), ("UPDATE", "old-0")]
    assert [told(event) for event in resources.wait("new", 2)] == [("ADD", "new"), ("UPDATE", "new")]
    assert resources.wait("replay", 6)[4]["data"]["OldObj"] is not None, "what there was is looked up at the position"


# ---- storms ----

class Storm:
    """Changes of ConfigMaps by threads with kept connections, and what the API server answered: the truth about each object."""

    def __init__(self, namespace, threads=4):
        self.namespace, self.cluster = namespace, namespace.cluster
        self.path = f"/api/v1/namespaces/{namespace.name}/configmaps"
        self.local = threading.local()
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)
        self.lock = threading.Lock()
        self.truth = set()  # ids of the events that there must be
        self.futures = []

    def request(self, method, path, document=None, kind="application/json"):
        for attempt in range(600):
            try:
                if not hasattr(self.local, "connection"):
                    self.local.connection = http.client.HTTPSConnection("127.0.0.1", self.cluster.port, context=self.cluster.tls,
                                                                        timeout=60)
                self.local.connection.request(method, path, None if document is None else json.dumps(document), {
                    "Authorization": f"Bearer {self.cluster.token}", "Content-Type": kind})
                answer = self.local.connection.getresponse()
                body = json.loads(answer.read())
                if answer.status < 300 or (answer.status in (404, 409) and attempt > 0):
                    return body
                assert answer.status in (429, 500, 503, 504), body
            except (OSError, http.client.HTTPException):
                self.local.__dict__.pop("connection", None)
            time.sleep(0.1)
        raise AssertionError(f"{method} {path} never succeeded")

    def _add(self, document, end=""):
        with self.lock:
            self.truth.add(f"{document['metadata']['uid']}.{document['metadata']['resourceVersion']}{end}")

    def life(self, name, updates, keep=False, size=0):
        """An object is made, patched and deleted. Where an answer was lost, the request is sent again: what it says then, or
        the object, tells what became of the first."""
        made = self.request("POST", self.path, {"metadata": {"name": name}, "data": {"n": "0", "pad": "x" * size}})
        if made["kind"] == "Status":
            made = self.request("GET", f"{self.path}/{name}")
        self._add(made)
        for n in range(updates):
            self._add(self.request("PATCH", f"{self.path}/{name}", {"data": {"n": str(n + 1)}}, "application/merge-patch+json"))
        if not keep:
            self.request("DELETE", f"{self.path}/{name}")
            with self.lock:  # the version of a deletion is nowhere but in its event
                self.truth.add(f"{made['metadata']['uid']}.DELETE")

    def begin(self, lives, updates, prefix="s", **more):
        self.futures += [self.pool.submit(self.life, f"{prefix}-{i}", updates, **more) for i in range(lives)]
        return self

    def done(self, share=1.0):
        return sum(future.done() for future in self.futures) >= share * len(self.futures)

    def end(self):
        for future in self.futures:
            future.result(300 * SLOW)
        return self

    def assert_told(self, resources, name, seconds=120, again=False):
        """Each change once, in order for each object; none besides. `again`: a gateway-client that was killed may not know
        what it had delivered, and delivers the same events again; nothing else comes twice."""
        def identity(event):
            return event["id"] if told(event)[0] != "DELETE" else event["uid"] + ".DELETE"

        def missing():
            return self.truth - {identity(event) for event in resources.events(name)}
        wait_for(lambda: not missing(), seconds, lambda: f"{len(missing())} of {len(self.truth)} changes, such as {sorted(missing())[:3]}")
        events = {}
        for event in resources.events(name):
            assert again or event["id"] not in events, f"{event['id']} came twice"
            assert events.setdefault(event["id"], event) == event
        assert len(events) == len(self.truth), "nothing but these changes"
        last = {}
        for event in events.values():
            version = int(event["id"].split(".")[1])
            assert last.get(event["uid"], 0) < version, "out of order"
            last[event["uid"]] = version


def newest(events):
    """What a reader who goes by names knows at the end: name -> resourceVersion."""
    known = {}
    for event in events:
        if told(event)[0] == "DELETE":
            known.pop(event["name"], None)
        else:
            known[event["name"]] = event["resourceversion"]
    return known


def truth_of(namespace):
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in namespace.list("ConfigMap")}


@pytest.mark.once
def test_a_storm_of_five_thousand_changes_is_told_whole(resources):
    """500 objects are made, patched eight times and deleted by four threads: 5,000 changes. Each is at the watcher once, each
    object's in order, for a source with old objects and one without."""
    resources.up(all={}, new={"payload": "v0.16"})
    storm = Storm(resources.namespace).begin(500, 8).end()
    assert len(storm.truth) == 5000
    for name in ("all", "new"):
        storm.assert_told(resources, name)
    old = {}
    for event in resources.events("all"):
        data = event["data"]
        if data["Type"] == "UPDATE":
            assert data["OldObj"] == old[event["uid"]], "the object as it was before"
        old[event["uid"]] = data["Obj"]


@pytest.mark.once
def test_a_storm_outlives_whoever_dies_in_it(resources):
    """During 3,000 changes the gateway-server, the gateway-client and both are killed with -9 and come back. Nothing is
    missed, nothing is stored twice."""
    gateway = resources.gateway
    resources.up(all={}, new={"payload": "v0.16"})
    storm = Storm(resources.namespace).begin(300, 8)

    def kill(*names):
        for name in names:
            gateway.processes[name].kill()
        if "resource" in names:
            resources.serve()
        if "client" in names:
            gateway.client(wait=False)
    for share, names in ((0.1, ["resource"]), (0.25, ["client"]), (0.4, ["client", "resource"]), (0.55, ["resource"]),
                         (0.7, ["resource", "client"])):
        wait_for(lambda: storm.done(share), 120, f"{share} of the storm")
        kill(*names)
    storm.end()
    for name in ("all", "new"):
        storm.assert_told(resources, name, again=True)
    with sqlite3.connect(f"file:{gateway.state}/outbox.db?mode=ro", uri=True) as outbox:
        assert outbox.execute("SELECT id FROM events GROUP BY event_source, id HAVING count(*) > 1").fetchall() == []


@pytest.mark.once
def test_an_api_server_that_dies_in_a_storm_hides_no_object(resources):
    """The API server is killed in the middle of 1,200 changes. It forgets what happened just before, so that states in between
    may be unknown for ever; but every object's last state is told, every deletion, and nothing twice."""
    resources.up(all={}, new={"payload": "v0.16"})
    storm = Storm(resources.namespace).begin(100, 8).begin(60, 4, prefix="k", keep=True)
    wait_for(lambda: len(storm.truth) > 500, 60, "half of the storm")
    resources.namespace.cluster.kill()
    resources.namespace.cluster.start()
    storm.end()
    truth = truth_of(resources.namespace)
    for name in ("all", "new"):
        wait_for(lambda: newest(resources.events(name)) == truth, 90, lambda: f"{newest(resources.events(name))} to be {truth}")
        events = resources.events(name)
        assert len({event["id"] for event in events}) == len(events), "one came twice"
        assert {identity.rsplit(".", 1)[0] for identity in storm.truth if identity.endswith(".DELETE")} >= {
            event["uid"] for event in events if told(event)[0] == "DELETE"}


# ---- history that is gone ----

def forget(cluster):
    """History goes: etcd is compacted, and the API server with its cache started again."""
    cluster.compact()
    cluster.kill()
    cluster.start()


def test_what_changed_while_away_is_told_when_history_is_gone(resources):
    """The gateway-server and its client are stopped. Objects are changed, deleted, made, made anew under their name; then all
    history is forgotten. After the start the difference is told, once, and nothing of the objects that stayed as they were."""
    for name in "abcde":
        resources.config_map(name, {"v": "1"}, annotations={"on": "yes"} if name in "abc" else {})
    resources.up(all={}, plain={"payload": "v0.16"}, noted={"filter": {"annotations": {"on": "yes"}}},
                 sized={"filter": {"changed": ["data.v"]}, "oldObject": False}, quiet={"filter": {"prefix": "e"}})
    resources.config_map("f", {"v": "1"})
    resources.wait("all", 1)
    stop(resources, "client", "resource")
    resources.config_map("a", {"v": "2"}, annotations={"on": "yes"})
    resources.namespace.delete("ConfigMap", "b")
    resources.config_map("b", {"v": "2"}, annotations={"on": "yes"})
    resources.namespace.delete("ConfigMap", "c")
    resources.config_map("d", {"v": "1"}, annotations={"on": "yes"})
    resources.config_map("g", {"v": "1"})
    resources.namespace.delete("ConfigMap", "e")
    forget(resources.namespace.cluster)
    resources.serve()
    resources.gateway.client()
    resources.gateway.wait_running(*resources.gateway.sources, seconds=60)
    resources.config_map("end", annotations={"on": "yes"})

    def difference(name, count):
        events = resources.wait(name, count, 60)
        assert told(events[-1]) == ("ADD", "end") or name == "quiet"
        return sorted(told(event) for event in events if event["name"] != "end")
    whole = sorted([("ADD", "f"), ("UPDATE", "a"), ("DELETE", "b"), ("ADD", "b"), ("DELETE", "c"), ("UPDATE", "d"), ("ADD", "g"),
                    ("DELETE", "e")])
    assert difference("all", 9) == whole
    assert difference("plain", 9) == whole
    assert difference("noted", 6) == sorted([("UPDATE", "a"), ("DELETE", "b"), ("ADD", "b"), ("DELETE", "c"), ("ADD", "d")])
    assert difference("sized", 8) == sorted(set(whole) - {("UPDATE", "d")})
    assert difference("quiet", 1) == [("DELETE", "e")], "also who had no position"
    names = [told(event) for event in resources.events("plain")]
    assert names.index(("DELETE", "b")) < names.index(("ADD", "b"))
    gone = next(event for event in resources.events("plain") if told(event) == ("DELETE", "c"))
    assert gone["data"]["body"] == {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "c", "namespace": resources.namespace.name, "uid": gone["uid"]}}


def stop(resources, *names):
    for name in names:
        assert resources.gateway.processes[name].stop() == 0


@pytest.mark.once
def test_nothing_is_told_again_after_restarts_without_history(resources):
    """A source that was quiet for long has an old position. However often all is stopped or killed, and history forgotten, it
    says nothing of objects that did not change."""
    for i in range(20):
        resources.config_map(f"still-{i}")
    resources.up(all={}, plain={"payload": "v0.16"})
    resources.config_map("first")
    resources.wait("plain", 1)
    for turn in range(3):
        if turn == 1:
            resources.gateway.processes["resource"].kill()
            resources.gateway.processes["client"].kill()
        else:
            stop(resources, "client", "resource")
        resources.namespace.cluster.apply({"kind": "ConfigMap", "metadata": {"name": f"elsewhere-{turn}"}})
        forget(resources.namespace.cluster)
        resources.serve()
        resources.gateway.client()
        resources.gateway.wait_running(*resources.gateway.sources, seconds=60)
    resources.config_map("last")
    for name in ("all", "plain"):
        assert {event["name"] for event in resources.wait(name, 2)} == {"first", "last"}


@pytest.mark.once
def test_without_a_state_directory_the_newer_is_told_and_the_gap_said(resources):
    """No --state: after history went, objects that are newer than the position are told, new ones as ADD, changed ones as UPDATE;
    what was deleted is not known, and the log says so."""
    for name in "abc":
        resources.config_map(name)
    resources.up(plain={"payload": "v0.16"}, state=False)
    time.sleep(1.1)  # creation times know seconds
    resources.config_map("d")
    resources.wait("plain", 1)
    stop(resources, "client", "resource")
    time.sleep(1.1)
    resources.config_map("a", {"v": "2"})
    resources.config_map("e")
    resources.namespace.delete("ConfigMap", "b")
    forget(resources.namespace.cluster)
    resources.serve(state=False)
    resources.gateway.client()
    assert sorted(told(event) for event in resources.wait("plain", 3, 60)[1:]) == [("ADD", "e"), ("UPDATE", "a")]
    assert "deleted meanwhile is not known" in resources.gateway.processes["resource"].text()


def test_history_that_goes_while_watching_is_bridged(gateway, watcher, uncached_cluster):
    """The wire to the API server is cut, objects change, etcd is compacted: the watch is answered 410 when it comes back. The
    difference is told; a deleted object's last state is that which was known."""
    from kube import Wire
    wire = Wire(uncached_cluster)
    namespace = uncached_cluster.namespace()
    resources = Resources(gateway, watcher, namespace, server=wire.url)
    for name in "abc":
        resources.config_map(name, {"v": "1"})
    resources.up(all={}, plain={"payload": "v0.16"})
    wire.down()
    resources.config_map("a", {"v": "2"})
    resources.namespace.delete("ConfigMap", "b")
    resources.config_map("d")
    uncached_cluster.compact()
    wire.up()
    for name in ("all", "plain"):
        assert sorted(told(event) for event in resources.wait(name, 3, 60)) == [("ADD", "d"), ("DELETE", "b"), ("UPDATE", "a")]
    data = {told(event)[0]: event["data"] for event in resources.events("all")}
    assert data["UPDATE"]["OldObj"]["data"] == {"v": "1"}
    assert data["DELETE"]["Obj"]["data"] == {"v": "1"}
    wire.close()


def test_a_withdrawn_source_leaves_nothing_behind(resources):
    """Sources are removed from the ConfigMap: their snapshots go from the database; that of the one that stays is kept."""
    resources.config_map("a")
    resources.up(all={}, other={"filter": {"prefix": "a"}})
    time.sleep(1.5)

    def kept():
        stop(resources, "resource")
        with contextlib.closing(sqlite3.connect(resources.state / "resource.db")) as database:
            return database.execute("SELECT key, count(name) FROM sources LEFT JOIN objects ON source = number GROUP BY key "
                                    "ORDER BY key").fetchall()
    assert [count for _, count in kept()] == [1, 1]
    resources.serve()
    resources.gateway.wait_running("resource.all", "resource.other", seconds=60)
    resources.write(other={"filter": {"prefix": "a"}})
    wait_for(lambda: resources.gateway.source("resource.all") is None, 30, "the source to go")
    assert [count for _, count in kept()] == [1]


# ---- permissions, places, kinds ----

def test_a_role_with_list_and_watch_is_enough_and_its_lack_is_said(gateway, watcher, namespace):
    """The account may do nothing at first: the source says which verb, resource and namespace are missing, and runs as soon as
    they are given. list and watch of one resource in one namespace are all it needs."""
    resources = Resources(gateway, watcher, namespace, rules=[])
    resources.up(all={}, wait=False)

    def said():
        return json.dumps(gateway.source("resource.all") or {})
    wait_for(lambda: "cannot list resource" in said(), 30, said)
    assert '\\"configmaps\\"' in said() and f'namespace \\"{namespace.name}\\"' in said()
    resources.account.allow(role("configmaps"))
    gateway.wait_running("resource.all", seconds=60)
    resources.config_map("a")
    assert [told(event) for event in resources.wait("all", 1)] == [("ADD", "a")]
    assert "cannot list" not in said()


def test_one_namespace_without_permission_does_not_hold_the_others(gateway, watcher, namespace):
    """A source of two namespaces: one may not be watched. The other's events come all the same; when the permission is there, both."""
    other = namespace.cluster.namespace()
    resources = Resources(gateway, watcher, namespace)
    resources.up(both={"namespace": None, "namespaces": [namespace.name, other.name]}, wait=False)
    wait_for(lambda: "cannot list" in gateway.processes["resource"].text(), 30, "the missing permission")
    time.sleep(0.5)
    resources.config_map("a")
    assert [told(event) for event in resources.wait("both", 1)] == [("ADD", "a")]
    subject = [{"kind": "ServiceAccount", "name": resources.account.name, "namespace": namespace.name}]
    version = "rbac.authorization.k8s.io/v1"
    other.apply([{"apiVersion": version, "kind": "Role", "metadata": {"name": "r"}, "rules": role("configmaps")},
                 {"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": "r"}, "subjects": subject,
                  "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}}])
    wait_for(lambda: "answers again" in gateway.processes["resource"].text(), 60, "the permission to be seen")
    gateway.wait_running("resource.both")
    other.apply({"kind": "ConfigMap", "metadata": {"name": "b"}})
    assert [event["subject"] for event in resources.wait("both", 2)] == [f"{namespace.name}/a", f"{other.name}/b"]
    stop(resources, "resource")
    resources.config_map("c")
    other.apply({"kind": "ConfigMap", "metadata": {"name": "d"}})
    resources.serve()
    assert {event["name"] for event in resources.wait("both", 4, 60)} == set("abcd")


def test_whole_clusters_and_kinds_without_namespaces_are_watched(gateway, watcher, namespace):
    """With a ClusterRole: ConfigMaps of all namespaces, namespaces, nodes by `kind`; a namespace for nodes is refused in words."""
    resources = Resources(gateway, watcher, namespace, [], role("configmaps", "namespaces", "nodes"))
    resources.up(everywhere={"namespace": None, "filter": {"prefix": "cluster-wide"}}, wait=False,
                 spaces={"namespace": None, "resource": "namespaces", "payload": "v0.16"},
                 nodes={"namespace": None, "resource": None, "kind": "Node", "payload": "v0.16"}, placed={"resource": "nodes"})
    gateway.wait_running("resource.everywhere", "resource.spaces", "resource.nodes", seconds=30)
    other = namespace.cluster.namespace()
    for place in (namespace, other):
        place.apply({"kind": "ConfigMap", "metadata": {"name": "cluster-wide-a"}})
    namespace.apply({"kind": "Node", "metadata": {"name": "n-1", "labels": {"a": "b"}}})
    assert {event["subject"] for event in resources.wait("everywhere", 2)} == {
        f"{place.name}/cluster-wide-a" for place in (namespace, other)}
    assert resources.wait("spaces", 1)[0]["subject"] == other.name
    node = resources.wait("nodes", 1)[0]
    assert (node["subject"], node["kind"], node["data"]["resource"]) == ("n-1", "Node", "nodes")
    assert "namespace" not in node
    wait_for(lambda: "nodes are in no namespace" in gateway.processes["resource"].text(), 20, "the words")
    namespace.cluster.delete("Node", "n-1")
    resources.wait("nodes", 2)


def test_resources_that_are_not_there_are_said_and_come_alive_when_they_are(gateway, watcher, namespace):
    """A misspelt resource, a group in the wrong version, a custom resource before its definition: each is said with what is near.
    When the definition comes, its objects are told."""
    rules = role("configmaps") + role("widgets", group="example.com")
    resources = Resources(gateway, watcher, namespace, rules)
    widgets = {"group": "example.com", "version": "v1", "resource": "widgets"}
    resources.up(wrong={"resource": "configmap"}, version={"group": "apps", "version": "v9", "resource": "deployments"},
                 widgets={**widgets, "filter": {"fields": {"spec.size": "3"}}}, wait=False)
    text = gateway.processes["resource"].text
    wait_for(lambda: all(words in text() for words in ("no v1/configmap: is configmaps meant?", "not in version v9; there is v1",
                                                       "the API server has no group example.com")), 30, text)
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    namespace.apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                     "metadata": {"name": "widgets.example.com"},
                     "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
                              "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}})
    gateway.wait_running("resource.widgets", seconds=90)
    for name, size in (("a", 3), ("b", 4)):
        namespace.create({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": size}})
    event = resources.wait("widgets", 1)[0]
    assert (told(event), event["kind"], event["apiversion"]) == (("ADD", "a"), "Widget", "example.com/v1")
    namespace.cluster.delete("CustomResourceDefinition", "widgets.example.com", version="apiextensions.k8s.io/v1")


# ---- sizes, shares, pressure ----

def rss(process):
    for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def metric(address, name):
    with contextlib.closing(http.client.HTTPConnection(address, timeout=5)) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(name + " "))


def test_objects_of_a_megabyte_pass(resources):
    """An object of 0.9 MB is made, changed and deleted: the update carries two of it."""
    resources.up(all={})
    resources.config_map("big", {"pad": "x" * 900_000})
    resources.namespace.patch("ConfigMap", "big", {"data": {"n": "1"}})
    resources.namespace.delete("ConfigMap", "big")
    events = resources.wait("all", 3)
    assert [told(event)[0] for event in events] == ["ADD", "UPDATE", "DELETE"]
    assert len(events[1]["data"]["Obj"]["data"]["pad"]) == len(events[1]["data"]["OldObj"]["data"]["pad"]) == 900_000


def test_sources_of_the_same_share_one_watch(resources):
    """Ten sources watch ConfigMaps of one namespace, all from the start, and three more come later, one behind a restart: there
    is one watch, at the gateway-server and at the API server. A source with selectors has its own."""
    admin = f"127.0.0.1:{free_port()}"
    sources = {f"s{i}": {"payload": ("v0.11", "v0.16")[i % 2], "filter": {"prefix": "abcdefghij"[i % 5]}} for i in range(10)}
    cluster = resources.namespace.cluster

    def watches():
        text = cluster.request("GET", "/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("apiserver_longrunning_requests{")
                   and 'resource="configmaps"' in line and 'scope="namespace"' in line and 'verb="WATCH"' in line)
    before = watches()
    resources.up("--admin", admin, **sources)
    wait_for(lambda: metric(admin, "gateway_server_resource_watches") == 1, 20, "one watch")
    for i in range(10, 13):
        sources[f"s{i}"] = {"payload": "v0.16"}
        resources.write(**sources)
        resources.gateway.wait_running(f"resource.s{i}")
    resources.config_map("a-1")
    assert [told(event) for event in resources.wait("s12", 1)] == [("ADD", "a-1")]
    wait_for(lambda: metric(admin, "gateway_server_resource_watches") == 1, 20, "one watch for all")
    wait_for(lambda: watches() == before + 1, 20, lambda: f"{before + 1} watches at the API server: {watches()}")
    assert sorted(len(resources.events(f"s{i}")) for i in range(13)) == [0] * 8 + [1] * 5
    sources["selected"] = {"filter": {"labels": {"a": "b"}}}
    resources.write(**sources)
    resources.gateway.wait_running("resource.selected")
    wait_for(lambda: metric(admin, "gateway_server_resource_watches") == 2, 20, "a watch of its own")


@pytest.mark.once
def test_a_slow_client_pauses_the_watch_and_loses_nothing(resources):
    """The gateway-client is frozen during 4,000 changes of 8 kB. The gateway-server stops its watch, its memory stays small; when
    the client goes on, everything comes, once, in order."""
    admin = f"127.0.0.1:{free_port()}"
    resources.up("--admin", admin, new={"payload": "v0.16"}, references={"mode": "reference"})
    process, client = resources.gateway.processes["resource"], resources.gateway.processes["client"]
    client.process.send_signal(signal.SIGSTOP)
    try:
        storm = Storm(resources.namespace).begin(400, 8, size=8000)
        wait_for(lambda: metric(admin, "gateway_server_resource_watches") == 0, 60, "the watch to stop")
        storm.end()
        assert rss(process) < 100 << 20 or SLOW > 1
    finally:
        client.process.send_signal(signal.SIGCONT)
    for name in ("new", "references"):
        storm.assert_told(resources, name, 180)


OBJECTS = int(os.environ.get("RESOURCE_OBJECTS", "5000"))


@pytest.mark.once
def test_many_objects_need_little_more_than_their_bytes(resources):
    """5,000 small objects (RESOURCE_OBJECTS=50000 for the real thing) are there; a source without old objects keeps names, one
    with old objects their bytes. What is measured is printed."""
    storm = Storm(resources.namespace, threads=8).begin(OBJECTS, 0, keep=True, size=300).end()
    size = sum(len(json.dumps(without_managed_fields(item), separators=(",", ":")).encode())
               for item in resources.namespace.list("ConfigMap"))
    admin = f"127.0.0.1:{free_port()}"
    for name, settings, most in (("names", {"payload": "v0.16"}, 0), ("whole", {}, size + 64 * OBJECTS)):
        resources.up("--admin", admin, wait=False, state=False, idle={"filter": {"labels": {"no": "such"}}}) if name == "names" else None
        process = resources.gateway.processes["resource"]
        resources.gateway.wait_running("resource.idle", seconds=60)
        before = rss(process)
        resources.write(idle={"filter": {"labels": {"no": "such"}}}, **{name: settings})
        resources.gateway.wait_running(f"resource.{name}", seconds=120)
        wait_for(lambda: metric(admin, "gateway_server_resource_objects") >= OBJECTS, 30, "all objects to be known")
        used, kept = rss(process) - before, metric(admin, "gateway_server_resource_kept_bytes")
        print(f"{name}: {OBJECTS} objects of {size >> 10} KiB: {used >> 10} KiB more, {int(kept) >> 10} KiB kept")
        assert kept <= most
        assert used < most + OBJECTS * 400 + (24 << 20) or SLOW > 1
        stop(resources, "resource")
        if name == "names":
            resources.write(idle={"filter": {"labels": {"no": "such"}}})
            resources.serve("--admin", admin, state=False)
    assert storm.done()


# ---- bad surroundings ----

def test_a_kubeconfig_that_is_missing_is_said_and_awaited(resources):
    """The gateway-server starts without a kubeconfig: the source says which file is missing, and runs when it is there."""
    good = resources.account.kubeconfig
    resources.account.kubeconfig = resources.gateway.directory / "later.kubeconfig"
    resources.up(all={}, wait=False)
    wait_for(lambda: "later.kubeconfig" in json.dumps(resources.gateway.source("resource.all") or {}), 20, "the words")
    resources.account.kubeconfig.write_text(good.read_text())
    resources.gateway.wait_running("resource.all", seconds=60)


def test_a_damaged_snapshot_is_put_aside(resources):
    """resource.db holds no database any more: it is put aside, and the source goes on from its position."""
    resources.config_map("a")
    resources.up(all={})
    resources.config_map("b")
    resources.wait("all", 1)
    stop(resources, "resource")
    (resources.state / "resource.db").write_bytes(b"no database" * 1000)
    resources.config_map("c")
    resources.serve()
    assert [told(event) for event in resources.wait("all", 2, 60)] == [("ADD", "b"), ("ADD", "c")]
    assert "was damaged" in resources.gateway.processes["resource"].text()
    assert (resources.state / "resource.db.damaged").exists()
