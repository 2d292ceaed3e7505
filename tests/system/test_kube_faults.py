"""What a watch of the API server outlives: its death, a forgotten history, tokens that end, and wires that are cut, silent or
half open. At the end the same is known as the API server has, nothing was told twice, and the words said what was wrong."""

import signal
import time

import pytest
from harness import wait_for
from kube import Wire
from test_kube_watch import READ, configmap, configmaps, versions, watching  # noqa: F401  (a fixture)

READ_CONFIGMAPS = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": READ}]


def assert_same(watch, namespace, seconds=60):
    wait_for(lambda: watch.state() == versions(namespace), seconds,
             lambda: f"{versions(namespace)}; known: {watch.state()}; told: {watch.told()[-5:]}")


def last_words(watch):
    return [one["words"] for one in watch.told() if one["told"] == "unwell"][-1]


@pytest.mark.once
def test_an_api_server_that_is_killed_and_comes_back(cluster, namespace, watching):
    """kube-apiserver is killed with -9, comes back, is stopped in order, comes back. Changes made in between, by whoever is
    first there, are told once; nothing that did not change is told again."""
    namespace.apply(configmap("still"))
    namespace.apply(configmap("moving"))
    watch = watching(cluster.kubeconfig, configmaps(namespace))
    watch.wait("synced")
    cluster.kill()
    watch.wait("unwell")
    assert "refused" in last_words(watch) and "; next attempt in " in last_words(watch)
    cluster.start()
    namespace.patch("ConfigMap", "moving", {"data": {"a": "1"}})
    watch.wait("MODIFIED")
    watch.wait("well", 2)
    cluster.stop("apiserver")
    cluster.start()
    namespace.delete("ConfigMap", "moving")
    watch.wait("DELETED", 1, 60)
    assert_same(watch, namespace)
    assert watch.names("ADDED") == ["moving", "still"]


@pytest.mark.once
def test_history_gone_over_a_restart_of_the_api_server(cluster, namespace, watching):
    """The watch is held; objects change, go, and are made again; etcd is compacted and the API server restarted, so that it
    remembers nothing either. The ERROR line "too old resource version" leads to a list, and that to the differences."""
    for name in ("same", "changed", "gone", "again"):
        namespace.apply(configmap(name))
    watch = watching(cluster.kubeconfig, configmaps(namespace))
    watch.wait("synced")
    watch.process.send_signal(signal.SIGUSR1)
    watch.wait("paused")
    namespace.patch("ConfigMap", "changed", {"data": {"a": "1"}})
    namespace.delete("ConfigMap", "gone")
    namespace.delete("ConfigMap", "again")
    namespace.apply(configmap("again"))
    namespace.apply(configmap("new"))
    cluster.compact()
    cluster.stop("apiserver")
    cluster.start()
    watch.process.send_signal(signal.SIGUSR2)
    watch.wait("synced", 2, 60)
    later = watch.objects()[4:]
    assert sorted((one["told"], one["name"]) for one in later) == [
        ("ADDED", "again"), ("ADDED", "new"), ("DELETED", "again"), ("DELETED", "gone"), ("MODIFIED", "changed")]
    assert next(one["size"] for one in later if one["told"] == "DELETED") == 0
    assert_same(watch, namespace)


def test_history_gone_without_a_watch_cache(uncached_cluster, watching):
    """Without its cache the API server answers for etcd: a compacted version is an ERROR line 410 to a watch, and HTTP 410 to a
    list of exactly that version. Both end in the list of now."""
    namespace = uncached_cluster.namespace()
    version = namespace.apply(configmap("one"))["metadata"]["resourceVersion"]
    watch = watching(uncached_cluster.kubeconfig, configmaps(namespace))
    watch.wait("synced")
    watch.process.send_signal(signal.SIGUSR1)
    watch.wait("paused")
    for number in range(5):
        namespace.patch("ConfigMap", "one", {"data": {"a": str(number)}})
    namespace.apply(configmap("two"))
    uncached_cluster.compact()
    watch.process.send_signal(signal.SIGUSR2)
    watch.wait_object("ADDED", "two")
    assert watch.count("synced") == 2 and watch.count("MODIFIED") == 1
    assert_same(watch, namespace)
    exact = watching(uncached_cluster.kubeconfig, configmaps(namespace), "--version", version, "--list-at-version")
    exact.wait("synced")
    assert_same(exact, namespace)


def test_a_list_whose_pages_expire_begins_again(uncached_cluster, watching):
    """Pages of one object; held in the middle, the history of the list is compacted. It begins again, and what was told of the
    first attempt is not told again."""
    namespace = uncached_cluster.namespace()
    for number in range(300):
        namespace.create(configmap(f"m{number}"))
    watch = watching(uncached_cluster.kubeconfig, configmaps(namespace), "--page", "1")
    watch.wait("ADDED", 3)
    watch.process.send_signal(signal.SIGUSR1)
    watch.wait("paused")
    assert watch.count("synced") == 0, "the list was faster than the pause"
    for number in range(0, 300, 10):
        namespace.delete("ConfigMap", f"m{number}")
        namespace.patch("ConfigMap", f"m{number + 5}", {"data": {"a": "1"}})
    uncached_cluster.compact()
    watch.process.send_signal(signal.SIGUSR2)
    watch.wait("synced", 1, 60)
    assert watch.count("listing") == 2
    assert_same(watch, namespace)


@pytest.mark.once
def test_a_token_that_ends_and_is_rotated(cluster, namespace, wire, watching):
    """The token of the watch ends. While it streams nobody asks; once it is cut, the API server says Unauthorized. A new token
    in the file, and it heals without a restart."""
    account = namespace.account(READ_CONFIGMAPS, server=wire.url)
    account.write(account.new_token(3))
    namespace.apply(configmap("one"))
    watch = watching(account.kubeconfig, configmaps(namespace))
    watch.wait("synced")
    time.sleep(14)  # three seconds, and ten for which the API server remembers a token that was good
    wire.cut()
    assert "Unauthorized" in watch.wait("unwell", 1, 60)[0]["words"]
    namespace.patch("ConfigMap", "one", {"data": {"a": "1"}})
    account.write(account.new_token())
    watch.wait("MODIFIED", 1, 90)
    assert_same(watch, namespace)


def test_a_watch_that_is_cut_in_the_middle_of_a_line(cluster, namespace, wire, watching):
    """The connection breaks inside the line of a change, three times. Each change arrives, once, and nobody is alarmed."""
    namespace.apply(configmap("one"))
    account = namespace.account(READ_CONFIGMAPS, server=wire.url)
    watch = watching(account.kubeconfig, configmaps(namespace))
    watch.wait("synced")
    for number in range(3):
        wire.cut_inside(f"in the middle of change {number} there is an end")
        namespace.patch("ConfigMap", "one", {"data": {"a": f"in the middle of change {number} there is an end"}})
        watch.wait("MODIFIED", number + 1)
        assert wire.found.is_set()
    assert_same(watch, namespace)
    assert watch.count("listing") == 1


def test_a_list_that_is_cut_in_the_middle_of_a_page(cluster, namespace, wire, watching):
    """The second of three pages breaks off: it is asked for again, the first is not told twice."""
    for number in range(9):
        namespace.apply(configmap(f"m{number}", "here is the end" if number == 4 else "x"))
    account = namespace.account(READ_CONFIGMAPS, server=wire.url)
    wire.cut_inside("here is the end")
    watch = watching(account.kubeconfig, configmaps(namespace), "--page", "3")
    watch.wait("synced")
    assert wire.found.is_set()
    assert watch.count("listing") == 1 and watch.count("ADDED") == 9
    assert_same(watch, namespace)


@pytest.mark.parametrize("plain", [True, False], ids=["http1", "http2"])
def test_a_connection_that_is_half_open(cluster, namespace, watching, plain):
    """The other end is gone without a word (a NAT that forgot, a machine that lost power): no byte, no end. After the time
    without a bookmark the watch is made anew on a new connection, and what happened meanwhile is told."""
    wire = Wire(cluster, plain)
    try:
        account = namespace.account(READ_CONFIGMAPS, server=wire.url)
        watch = watching(account.kubeconfig, configmaps(namespace), "--silent", "3s")
        watch.wait("synced")
        namespace.apply(configmap("before"))
        watch.wait_object("ADDED", "before")
        wire.half_open()
        namespace.apply(configmap("after"))
        watch.wait_object("ADDED", "after", 60)
        assert_same(watch, namespace)
    finally:
        wire.close()


@pytest.mark.once
def test_a_wire_that_is_stalled_and_one_that_is_down(cluster, namespace, wire, watching):
    """Nothing passes any more, new connections included: it is said, tried again, and over when it is over."""
    account = namespace.account(READ_CONFIGMAPS, server=wire.url)
    watch = watching(account.kubeconfig, configmaps(namespace), "--silent", "2s")
    watch.wait("synced")
    wire.stall()
    namespace.apply(configmap("one"))
    watch.wait("unwell", 1, 120)
    wire.flow()
    watch.wait_object("ADDED", "one", 120)
    watch.wait("well", 2)
    wire.down()
    namespace.apply(configmap("two"))
    wait_for(lambda: "refused" in last_words(watch), 60, lambda: last_words(watch))
    wire.up()
    watch.wait_object("ADDED", "two", 120)
    assert_same(watch, namespace)


@pytest.mark.once
def test_an_api_server_that_hangs(cluster, namespace, watching):
    """kube-apiserver is there and says nothing (SIGSTOP), then goes on."""
    watch = watching(cluster.kubeconfig, configmaps(namespace), "--silent", "2s")
    watch.wait("synced")
    cluster.freeze()
    watch.wait("unwell", 1, 120)
    cluster.thaw()
    namespace.apply(configmap("one"))
    watch.wait_object("ADDED", "one", 120)
    assert_same(watch, namespace)


def test_what_is_forbidden_is_said_with_verb_resource_and_namespace(cluster, namespace, watching):
    """Without list: said, with all that a person needs to mend the Role. With list but not watch: likewise. With both: well."""
    account = namespace.account()
    watch = watching(account.kubeconfig, configmaps(namespace))
    words = watch.wait("unwell")[0]["words"]
    assert words.startswith(f'configmaps is forbidden: User "{account.user}" cannot list resource "configmaps" in API group ""'
                            f' in the namespace "{namespace.name}"; next attempt in ')
    account.allow([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}])
    wait_for(lambda: 'cannot watch resource "configmaps"' in last_words(watch), 60, lambda: last_words(watch))
    account.allow(READ_CONFIGMAPS)
    namespace.apply(configmap("one"))
    watch.wait_object("ADDED", "one", 60)
    wait_for(lambda: [one for one in watch.told() if one["told"] in ("well", "unwell")][-1]["told"] == "well", 60, "well")
