"""Objects of a real API server as events: exact payloads, every filter, storms of changes through crashes and compacted
history, and what it costs."""

import collections
import json
import time

import pytest

from harness import SLOW, wait_for

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
