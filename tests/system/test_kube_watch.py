"""Watching a collection of the real API server: what is listed, what changes, and that each change is told once."""

import json
import signal

import pytest
from harness import SLOW, Process, program, wait_for

READ = ["list", "watch"]


class Watching(Process):
    """kube-watcher: what it told, as dictionaries."""

    def __init__(self, directory, kubeconfig, path, *flags):
        super().__init__(directory, "kube-watcher",
                         [program("kube-watcher"), "--kubeconfig", kubeconfig, "--path", path, *flags])

    def told(self):
        lines = self.text().split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def objects(self):
        return [told for told in self.told() if "name" in told]

    def names(self, told):
        return [one["name"] for one in self.objects() if one["told"] == told]

    def count(self, told):
        return sum(one["told"] == told for one in self.told())

    def wait(self, told, count=1, seconds=30):
        """The first `count` of them, once they are told."""
        return wait_for(lambda: found[:count] if len(found := [one for one in self.told() if one["told"] == told]) >= count else None,
                        seconds, lambda: f"{count} times {told}; told: {json.dumps(self.told()[-5:])[:2000]}\n{self.text()[-1000:]}")

    def wait_object(self, told, name, seconds=30):
        return wait_for(lambda: next((one for one in self.objects() if one["told"] == told and one["name"] == name), None), seconds,
                        lambda: f"{told} of {name}; told: {json.dumps(self.told()[-5:])[:2000]}")

    def state(self):
        """What is known after all that was told: name -> version. Fails when something was told twice."""
        known = {}
        for one in self.objects():
            name, version = one["name"], one["version"]
            assert (one["told"] == "ADDED") == (name not in known), f"{one['told']} of {name}, which was {known.get(name)}"
            if one["told"] == "DELETED":
                del known[name]
            else:
                assert name not in known or int(known[name]) < int(version), f"{name}: {version} after {known[name]}"
                known[name] = version
        return known


@pytest.fixture
def watching(tmp_path):
    started = []

    def start(kubeconfig, path, *flags):
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Watching(directory, kubeconfig, path, *flags))
        return started[-1]

    yield start
    for process in started:
        code = process.stop()
        text = process.text()
        assert code == 0 and "Sanitizer" not in text, text[-4000:]


def configmaps(namespace):
    return f"/api/v1/namespaces/{namespace.name}/configmaps"


def configmap(name, text="x", **metadata):
    return {"kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": text}}


def versions(namespace, kind="ConfigMap"):
    return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in namespace.list(kind)}


def test_a_collection_is_listed_and_its_changes_follow(cluster, namespace, watching):
    """A ConfigMap is there; a watch begins; kubectl makes, patches and deletes others. Each change is told once, in order,
    with the object as the API server has it, kind and all."""
    namespace.apply(configmap("first"))
    account = namespace.account([{"apiGroups": [""], "resources": ["configmaps"], "verbs": READ}])
    watch = watching(account.kubeconfig, configmaps(namespace), "--objects")
    watch.wait("synced")
    namespace.kubectl("create", "configmap", "second", "--from-literal=a=1")
    namespace.kubectl("patch", "configmap", "second", "--type=merge", "--patch", '{"data":{"a":"é\\n\\"2\\""}}')
    second = namespace.get("ConfigMap", "second")
    namespace.kubectl("delete", "configmap", "first", "--wait=false")
    watch.wait_object("DELETED", "first")
    assert [(one["told"], one["name"], one["listed"]) for one in watch.objects()] == [
        ("ADDED", "first", True), ("ADDED", "second", False), ("MODIFIED", "second", False), ("DELETED", "first", False)]
    listed, _, changed, deleted = watch.objects()
    assert listed["object"]["kind"] == "ConfigMap" and listed["object"]["apiVersion"] == "v1"
    assert changed["object"] == second
    assert deleted["object"]["data"] == {"a": "x"}
    assert watch.state() == versions(namespace)
    assert watch.count("unwell") == 0


def test_pages_tell_each_object_once_also_while_it_changes(cluster, namespace, watching):
    """50 objects in pages of three, changed while they are listed: at the end the same is known as the API server has."""
    for number in range(50):
        namespace.create(configmap(f"m{number}"))
    watch = watching(cluster.kubeconfig, configmaps(namespace), "--page", "3")
    for number in range(0, 50, 5):
        namespace.delete("ConfigMap", f"m{number}")
        namespace.apply(configmap(f"m{number}", "again"))
        namespace.patch("ConfigMap", f"m{number + 1}", {"data": {"b": "2"}})
    wait_for(lambda: watch.state() == versions(namespace), 30, lambda: f"{watch.state()} to be {versions(namespace)}")


def test_selectors_are_the_api_servers_to_judge(cluster, namespace, watching):
    """A label selector with every operator; an object that leaves the selection is told deleted, one that enters, added."""
    namespace.apply(configmap("in", labels={"tier": "web", "team": "a"}))
    namespace.apply(configmap("out", labels={"tier": "db", "team": "a"}))
    watch = watching(cluster.kubeconfig, configmaps(namespace), "--labels", "tier in (web,edge),tier!=edge,team,!old")
    watch.wait("synced")
    namespace.patch("ConfigMap", "out", {"metadata": {"labels": {"tier": "web"}}})
    watch.wait_object("ADDED", "out")
    namespace.patch("ConfigMap", "in", {"metadata": {"labels": {"old": "yes"}}})
    watch.wait_object("DELETED", "in")
    assert watch.names("ADDED") == ["in", "out"]


def test_a_role_that_names_one_object_is_enough_for_it(cluster, namespace, watching):
    """An account that may read one Secret by name watches it, and learns nothing of the others; also not by a name that
    is written like a selector."""
    namespace.secret("mine", a="1")
    namespace.secret("other", a="1")
    account = namespace.account([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": READ}])
    watch = watching(account.kubeconfig, f"/api/v1/namespaces/{namespace.name}/secrets", "--name", "mine")
    watch.wait("synced")
    namespace.secret("other", a="2")
    namespace.secret("mine", a="2")
    watch.wait_object("MODIFIED", "mine")
    assert {one["name"] for one in watch.objects()} == {"mine"}
    sly = watching(account.kubeconfig, f"/api/v1/namespaces/{namespace.name}/secrets", "--name", "mine,metadata.name!=x")
    sly.wait("unwell")
    assert sly.objects() == []


def test_a_pause_misses_nothing_and_repeats_nothing(cluster, namespace, watching):
    """Paused, 30 changes are made; nothing is told. Resumed, the watch goes on where it was."""
    watch = watching(cluster.kubeconfig, configmaps(namespace))
    namespace.apply(configmap("one", "0"))
    watch.wait_object("ADDED", "one")
    watch.process.send_signal(signal.SIGUSR1)
    watch.wait("paused")
    for number in range(30):
        namespace.patch("ConfigMap", "one", {"data": {"a": str(number + 1)}})
    namespace.apply(configmap("two"))
    assert len(watch.objects()) == 1
    watch.process.send_signal(signal.SIGUSR2)
    watch.wait_object("ADDED", "two")
    assert watch.count("MODIFIED") == 30 and watch.count("listing") == 1
    assert watch.state() == versions(namespace)


def test_a_watch_goes_on_behind_a_version_with_or_without_the_list_of_then(cluster, namespace, watching):
    """One watch is given a version only: it tells what came after. Another lists what there was then, first. A version that
    is none, or that is yet to come (an etcd restored from a backup), is a reason to list what there is."""
    namespace.apply(configmap("kept"))
    namespace.apply(configmap("gone"))
    version = namespace.patch("ConfigMap", "kept", {"data": {"a": "1"}})["metadata"]["resourceVersion"]
    namespace.delete("ConfigMap", "gone")
    namespace.patch("ConfigMap", "kept", {"data": {"a": "2"}})
    behind = watching(cluster.kubeconfig, configmaps(namespace), "--version", version)
    behind.wait("MODIFIED")
    assert [(one["told"], one["name"]) for one in behind.objects()] == [("DELETED", "gone"), ("MODIFIED", "kept")]
    assert behind.count("listing") == 0 and behind.wait("synced") == [{"told": "synced"}]
    then = watching(cluster.kubeconfig, configmaps(namespace), "--version", version, "--list-at-version")
    then.wait("MODIFIED")
    assert [(one["told"], one["name"]) for one in then.objects()] == [
        ("ADDED", "gone"), ("ADDED", "kept"), ("DELETED", "gone"), ("MODIFIED", "kept")]
    assert then.objects()[1]["version"] == version and then.wait("synced")[0]["version"] == version
    for bad in ("999999999", "nonsense"):
        for flags in ([], ["--list-at-version"]):
            other = watching(cluster.kubeconfig, configmaps(namespace), "--version", bad, *flags)
            other.wait("synced", 1, 60)
            wait_for(lambda: other.state() == versions(namespace), 60, "what there is")


@pytest.mark.once
def test_a_page_of_large_objects_is_asked_for_in_smaller_ones(cluster, namespace, watching):
    """80 objects of 0.9 MB do not fit into one page's 64 MiB: they come in pages of fewer."""
    text = "x" * 900_000
    for number in range(80):
        namespace.create(configmap(f"large-{number}", text))
    watch = watching(cluster.kubeconfig, configmaps(namespace))
    watch.wait("synced", 1, 120)
    assert watch.state() == versions(namespace)
    assert all(one["size"] > 900_000 for one in watch.objects())
    for number in range(80):
        namespace.delete("ConfigMap", f"large-{number}")
    watch.wait("DELETED", 80, 60)


@pytest.mark.once
def test_a_storm_of_changes_is_told_without_a_gap(cluster, namespace, watching):
    """2,000 changes to 40 objects, at once with the watch: every version that was made is told, once."""
    watch = watching(cluster.kubeconfig, configmaps(namespace))
    watch.wait("synced")
    made = []
    for number in range(2000):
        name = f"m{number % 40}"
        if number % 7 == 3 and number >= 40:
            namespace.delete("ConfigMap", name)
        made.append(namespace.apply(configmap(name, str(number)))["metadata"]["resourceVersion"])
    wait_for(lambda: watch.state() == versions(namespace), 60, "all to be told")
    told = [one["version"] for one in watch.objects() if one["told"] != "DELETED"]
    assert told == made


def test_an_unknown_resource_is_said_and_watched_once_it_is_known(cluster, namespace, watching):
    """A watch of widgets, which nobody knows: 404 in words. Their definition is applied: the watch heals by itself."""
    path = f"/apis/test.example.com/v1/namespaces/{namespace.name}/widgets"
    watch = watching(cluster.kubeconfig, path)
    assert watch.wait("unwell")[0]["words"] == (f"the API server knows no resource {path} (a CustomResourceDefinition that is "
                                                "not installed?); next attempt in 1 s")
    group, schema = "test.example.com", {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    cluster.apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                   "metadata": {"name": f"widgets.{group}"},
                   "spec": {"group": group, "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
                            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}})
    watch.wait("well", 1, 60)
    wait_for(lambda: watch.count("synced") == 1, 10 * SLOW, "the list")
    namespace.create({"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}})
    watch.wait_object("ADDED", "w")
