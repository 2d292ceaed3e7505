"""A gateway whose Gateway spec and event sources come from the API server: they are waited for, edited, deleted, made again,
refused and forbidden, and the API server goes away, while events flow."""

import contextlib
import json
import statistics
import threading
import time

import pytest

from harness import SLOW, Gateway, Watcher, free_port, post, program, wait_for, webhook
from in_cluster import READS_GATEWAYS, READS_SOURCES, RULES, VERSION, ClusterGateway

SOON = 30  # seconds until an edit shows, at the very most; what is usual is measured where it matters


@pytest.fixture(scope="module", autouse=True)
def definition(cluster_of_session):
    cluster_of_session.heal()
    cluster_of_session.define_gateways()


@pytest.fixture
def gateway(tmp_path, namespace):
    """Reads through an account that may just that."""
    gateway = ClusterGateway(tmp_path, namespace, namespace.account(RULES))
    yield gateway
    gateway.down()


def shape(source):
    """What an undisturbed source keeps."""
    return source["state"], source["since"], source["restarts"], source["id"]


class Sender:
    """Posts numbered events one after another, over new connections so that none is bound to a listener that goes; each is
    sent until it was accepted, as people's retries do, and faults are remembered."""

    def __init__(self, port, path):
        self.port, self.path, self.sent, self.faults, self.going = port, path, 0, [], True
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while self.going:
            status, _, _ = post(self.port, self.path, json.dumps({"number": self.sent}).encode())
            if status == 200:
                self.sent += 1
            else:
                self.faults.append(status)
                time.sleep(0.01)

    def passed(self, count):
        """Waits until so many more went through."""
        goal = self.sent + count
        wait_for(lambda: self.sent >= goal, 30, lambda: f"{goal} events: {self.sent}, {self.faults}")

    def stop(self):
        self.going = False
        self.thread.join(30 * SLOW)


def numbers(watcher):
    return sorted(event["data"]["number"] for event in watcher.events())


def assert_all_came(sender, watcher):
    """Each event that was accepted came to the watcher, once."""
    sender.stop()
    watcher.wait_events(sender.sent, 60)
    assert numbers(watcher) == list(range(sender.sent))


# ---- the ConfigMap ----

def test_a_configmap_that_is_not_there_yet_is_waited_for(gateway):
    """No ConfigMap: the client is up, says what it waits for, and is not ready. Once it is made, its sources run."""
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    gateway.wait_unready(f"{gateway.label} is not there yet")
    gateway.wait_origin("absent")
    gateway.wait_origin("present", role="gateway")
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.wait_running("calendar.a", seconds=SOON)
    assert gateway.wait_ready() == (200, "ok\n")
    assert gateway.origin() == {"role": "eventSources", "origin": gateway.label, "state": "present", "message": ""}
    shown = gateway.run("status", "--admin", gateway.admin).stdout
    assert f"eventSources: {gateway.label}, present" in shown and f"gateway: gateway {gateway.namespace.name}/shop, present" in shown


def test_edits_under_load_lose_nothing(gateway, watcher):
    """Events flow through one source while others are added, changed and removed: it is not disturbed, not one request is
    refused, each event comes once. An edit is in force within a second."""
    port, other = free_port(), free_port()
    kept = {"webhook.kept": webhook(port, "/kept")}
    gateway.watch("w", watcher.url)
    gateway.write_sources({**kept, "calendar.kept": {"interval": "1h"}})
    gateway.up()
    before = [shape(gateway.source(key)) for key in gateway.sources]
    sender = Sender(port, "/kept")
    took = []
    for turn in range(12):
        extra = {f"webhook.turn{turn}": webhook(other, f"/turn{turn}"), "calendar.turn": {"interval": f"{turn + 1}h"}}
        begin = time.monotonic()
        gateway.write_sources({**kept, "calendar.kept": {"interval": "1h"}, **extra})
        wait_for(lambda: gateway.source(f"webhook.turn{turn}"), SOON, "the edit to be taken up")
        took.append(time.monotonic() - begin)
        gateway.wait_running(*gateway.sources, seconds=SOON)
        wait_for(lambda: post(other, f"/turn{turn}")[0] == 200, SOON, "the new endpoint")
    sender.passed(20)
    assert not sender.faults
    assert [shape(gateway.source(key)) for key in ("webhook.kept", "calendar.kept")] == before
    assert statistics.median(took) < 1 * SLOW, took
    sender.stop()
    wait_for(lambda: len(watcher.events()) >= sender.sent + 12, 60, "all events")
    came = [event["data"]["number"] for event in watcher.events() if event["subject"] == "kept"]
    assert sorted(came) == list(range(sender.sent))


def test_made_again_within_the_grace_period_disturbs_nothing(gateway, watcher):
    """kubectl replace --force deletes and makes anew: the sources never stop, whether the new one is the same or not."""
    port = free_port()
    gateway.watch("w", watcher.url)
    gateway.write_sources({"webhook.a": webhook(port, "/a"), "calendar.b": {"interval": "1h"}})
    gateway.up()
    before = shape(gateway.source("webhook.a"))
    sender = Sender(port, "/a")
    gateway.delete_sources()
    gateway.wait_origin("leaving", "was deleted at", "stays in force until")
    gateway.wait_ready("was deleted at")  # all is still served
    sender.passed(10)
    gateway.write_sources()
    gateway.wait_origin("present")
    sender.passed(10)
    gateway.namespace.kubectl("replace", "--force", "-f", "-", input=json.dumps({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "events"},
        "data": {"webhook.a": gateway.namespace.get("ConfigMap", "events")["data"]["webhook.a"], "calendar.c": "interval: 1h\n"}}))
    gateway.wait_running("calendar.c", seconds=SOON)
    wait_for(lambda: gateway.source("calendar.b") is None, SOON, "the other to go")
    assert shape(gateway.source("webhook.a")) == before and not sender.faults
    assert_all_came(sender, watcher)


def test_deleted_its_sources_stop_after_the_grace_period_and_come_back(gateway, watcher):
    """The ConfigMap is deleted for good: after --delete-grace its sources stop, and readiness says why; it comes back, and
    they with it. What was accepted before is delivered."""
    port = free_port()
    gateway.watch("w", watcher.url)
    gateway.write_sources({"webhook.a": webhook(port, "/a")})
    gateway.write_spec()
    gateway.server("webhook")
    gateway.client("--delete-grace", "1s")
    gateway.wait_running("webhook.a")
    assert post(port, "/a", b'{"number": 0}')[0] == 200
    gateway.delete_sources()
    gateway.wait_origin("gone", "was deleted at")
    gateway.wait_unready(f"{gateway.label} was deleted at")
    wait_for(lambda: not gateway.status()["sources"], SOON, "the sources to stop")
    gateway.write_sources()
    gateway.wait_running("webhook.a", seconds=SOON)
    wait_for(lambda: post(port, "/a", b'{"number": 1}')[0] == 200, SOON, "the endpoint to come back")
    gateway.wait_ready()
    watcher.wait_events(2)
    assert numbers(watcher) == [0, 1]


def test_without_a_grace_period_they_stop_at_once(gateway):
    """--delete-grace 0s."""
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client("--delete-grace", "0s")
    gateway.wait_running("calendar.a")
    gateway.delete_sources()
    wait_for(lambda: not gateway.status()["sources"], SOON, "the source to stop")
    gateway.wait_origin("gone")


def test_a_bad_entry_harms_no_other(gateway):
    """An entry that is no YAML, one of no type, one that its server refuses: each is told with its place in the ConfigMap,
    the others run; an edit that is bad leaves the last good one running."""
    gateway.write_sources({"calendar.good": {"interval": "1h"}, "calendar.bad": "interval: 1h\nb: [1\n", "calender.none": "{}",
                           "calendar.refused": "interval: 1h\nintervall: 2h\n"})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    gateway.wait_running("calendar.good", seconds=SOON)
    problems = {problem["file"]: problem for problem in gateway.status()["configuration"]["problems"]}
    assert set(problems) == {f"{gateway.label}, calendar.bad", f"{gateway.label}, calender.none"}
    assert problems[f"{gateway.label}, calendar.bad"]["line"] in (2, 3)
    assert 'did you mean "calendar.none"' in problems[f"{gateway.label}, calender.none"]["message"]
    refused = wait_for(lambda: (found := gateway.source("calendar.refused")) and found["state"] == "invalid" and found, SOON,
                       "the server to refuse one")
    assert "intervall" in refused["message"] and "line 2" in refused["message"], refused

    good = shape(gateway.source("calendar.good"))
    gateway.write_sources({"calendar.good": "interval: [\n"})
    wait_for(lambda: gateway.source("calendar.good")["refusedEdit"], SOON, "the bad edit to be shown")
    assert shape(gateway.source("calendar.good")) == good


def test_two_thousand_entries(gateway):
    """2,000 entries in one ConfigMap run; one that changes restarts alone; their removal stops them all."""
    gateway.sources = {f"calendar.source-{number}": "interval: 100h\n" for number in range(2000)}
    gateway.write_sources()
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()

    def running():
        sources = gateway.status()["sources"]
        return sum(source["state"] == "running" for source in sources) == len(gateway.sources) == len(sources)

    wait_for(running, 60, "2,000 sources to run")
    before = {source["key"]: shape(source) for source in gateway.status()["sources"]}
    begin = time.monotonic()
    gateway.sources["calendar.source-7"] = "interval: 200h\n"
    gateway.write_sources()
    wait_for(lambda: shape(gateway.source("calendar.source-7")) != before["calendar.source-7"] and running(), SOON, "the edit")
    print(f"one of 2,000 changed within {time.monotonic() - begin:.2f} s")
    after = {source["key"]: shape(source) for source in gateway.status()["sources"]}
    assert {key for key in after if after[key] != before[key]} == {"calendar.source-7"}
    gateway.write_sources({"calendar.source-1": "interval: 100h\n"})
    wait_for(running, 60, "all but one to stop")


# ---- the API server ----

@pytest.mark.once
def test_the_api_server_may_die_and_come_back(gateway, watcher, cluster):
    """It is killed while events flow: not one is lost, readiness stays and tells of it. What is edited after its
    restart takes effect."""
    port = free_port()
    gateway.watch("w", watcher.url)
    gateway.write_sources({"webhook.a": webhook(port, "/a"), "calendar.b": {"interval": "1h"}})
    gateway.up()
    before = shape(gateway.source("webhook.a"))
    sender = Sender(port, "/a")
    cluster.kill()
    for role in ("gateway", "eventSources"):
        gateway.wait_origin("present", "stays in force as it was read last", "next attempt in", role=role)
    gateway.wait_ready("stays in force as it was read last")
    sender.passed(20)
    cluster.start()
    gateway.write_sources({"webhook.a": gateway.sources["webhook.a"], "calendar.c": {"interval": "1h"}})
    wait_for(lambda: {source["key"] for source in gateway.status()["sources"]} == {"webhook.a", "calendar.c"}, 90, "the edit")
    assert wait_for(lambda: gateway.get("/readyz") == (200, "ok\n"), 90, lambda: f"nothing to tell: {gateway.get('/readyz')}")
    assert shape(gateway.source("webhook.a")) == before and not sender.faults
    assert_all_came(sender, watcher)


@pytest.mark.once
def test_an_api_server_that_is_away_at_the_start_is_waited_for(gateway, cluster):
    """The client starts while there is no API server: it is up, says why it is not ready, and begins when there is one."""
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.write_spec()
    gateway.server("calendar")
    cluster.kill()
    gateway.client()
    gateway.wait_unready("was not read yet", f"127.0.0.1:{cluster.port}", "next attempt in")
    assert gateway.status()["gateway"]["name"] == "shop"
    cluster.start()
    gateway.wait_running("calendar.a", seconds=60)
    gateway.wait_ready()


def test_a_deletion_counts_only_while_the_api_server_answers(gateway, namespace, wire, watcher):
    """Deleted, and then the API server is away for longer than the grace period: it might have been made again, so that all
    goes on. It was: nothing was disturbed."""
    port = free_port()
    gateway.account = namespace.account(RULES, server=wire.url)
    gateway.watch("w", watcher.url)
    gateway.write_sources({"webhook.a": webhook(port, "/a")})
    gateway.write_spec()
    gateway.server("webhook")
    gateway.client("--delete-grace", "2s")
    gateway.wait_running("webhook.a")
    before = shape(gateway.source("webhook.a"))
    gateway.delete_sources()
    gateway.wait_origin("leaving", "stays in force until")
    wire.down()
    gateway.wait_origin("leaving", "while the API server does not answer")
    end = time.monotonic() + 4
    wait_for(lambda: time.monotonic() > end, 10)  # longer than the grace period
    assert gateway.origin()["state"] == "leaving"
    gateway.write_sources()
    wire.up()
    gateway.wait_origin("present", seconds=60)
    assert shape(gateway.source("webhook.a")) == before


def test_what_is_forbidden_is_said_and_heals(gateway, namespace):
    """Without a Role readiness names verb, resource and namespace; the Role comes, and it goes on by itself. The Role goes
    again: what runs goes on."""
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.account.allow([READS_GATEWAYS])
    gateway.client()
    gateway.wait_unready("configmaps", "is forbidden", "cannot list resource", f'in the namespace "{namespace.name}"')
    gateway.wait_origin("unheard", "is forbidden")
    assert gateway.origin("gateway")["state"] == "present"
    gateway.account.allow(RULES)
    gateway.wait_running("calendar.a", seconds=60)
    gateway.wait_ready()
    gateway.account.allow([])
    assert gateway.get("/readyz")[0] == 200 and gateway.source("calendar.a")["state"] == "running"


def test_an_exact_role_suffices(gateway, namespace):
    """get, list and watch of this one ConfigMap and this one Gateway: with no more than that all works, and another ConfigMap,
    even in the same namespace, is refused."""
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.up(("calendar",))
    gateway.write_sources({"calendar.b": {"interval": "1h"}})
    gateway.wait_running("calendar.b", seconds=SOON)
    gateway.processes["client"].stop()
    gateway.client(sources="configmap:others")
    gateway.wait_unready('configmaps "others" is forbidden')


# ---- the Gateway ----

def test_a_gateway_is_waited_for_edited_refused_and_deleted(gateway, watcher):
    """The Gateway comes after the client; watchers come and go with edits; a spec that is refused leaves the last good one in
    force; deleted, all goes on for the grace period, then everything stops until it is made again. Nothing accepted is lost."""
    port, second = free_port(), Watcher()
    with contextlib.closing(second):
        gateway.watch("first", watcher.url)
        gateway.write_sources({"webhook.a": webhook(port, "/a")})
        gateway.server("webhook")
        gateway.client("--delete-grace", "2s")
        gateway.wait_unready("no Gateway spec is in force", f"gateway {gateway.namespace.name}/shop is not there yet")
        gateway.write_spec()
        gateway.wait_running("webhook.a", seconds=SOON)
        sender = Sender(port, "/a")
        sender.passed(5)

        gateway.watch("second", second.url).write_spec()
        wait_for(lambda: gateway.watcher("second"), SOON, "the second watcher")
        sender.passed(5)
        second.wait_events(5)
        gateway.spec["spec"]["watchers"]["http"].pop()
        gateway.write_spec()
        wait_for(lambda: not gateway.watcher("second"), SOON, "the second watcher to go")

        gateway.spec["spec"]["watchers"]["http"].append({"name": "first", "url": "http://elsewhere/"})
        gateway.write_spec()
        wait_for(lambda: gateway.status()["configuration"]["problems"], SOON, "the bad spec to be told")
        problem = gateway.status()["configuration"]["problems"][0]
        assert problem["file"] == f"gateway {gateway.namespace.name}/shop" and problem["path"].startswith("spec.watchers.http[1]")
        sender.passed(5)
        gateway.spec["spec"]["watchers"]["http"].pop()
        gateway.write_spec()
        wait_for(lambda: not gateway.status()["configuration"]["problems"], SOON, "the problem to be taken back")
        assert not sender.faults

        gateway.delete_spec()
        gateway.wait_origin("leaving", role="gateway")
        gateway.wait_origin("gone", role="gateway")
        gateway.wait_unready("no Gateway spec is in force", "was deleted at")
        wait_for(lambda: not gateway.status()["sources"] and not gateway.status()["watchers"], SOON, "everything to stop")
        gateway.write_spec()
        gateway.wait_running("webhook.a", seconds=SOON)
        sender.passed(5)
        sender.stop()
        wait_for(lambda: set(numbers(watcher)) == set(range(sender.sent)), 60, "all events")
        # A delivery that was under way when everything stopped is made again, as the same event; a request that was, the
        # sender repeats.
        assert len({event["id"] for event in watcher.events()}) <= sender.sent + len(sender.faults)


def test_servers_come_and_go_with_the_spec(gateway):
    """A server joins the spec, and entries of its type run; it leaves, and they are told as entries of no type."""
    other = {"type": "other", "address": f"unix:{gateway.directory}/nobody.sock"}  # with one type any key would be its name
    both = [*gateway.spec["spec"]["servers"], other]
    gateway.spec["spec"]["servers"] = [both[0], other]
    gateway.write_sources({"calendar.a": {"interval": "1h"}, "webhook.b": webhook(free_port(), "/b")})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.server("webhook")
    gateway.client()
    gateway.wait_running("calendar.a", seconds=SOON)
    before = shape(gateway.source("calendar.a"))
    assert gateway.source("webhook.b") is None
    gateway.spec["spec"]["servers"] = both
    gateway.write_spec()
    gateway.wait_running("webhook.b", seconds=SOON)
    gateway.spec["spec"]["servers"] = both[1:]
    gateway.write_spec()
    wait_for(lambda: gateway.status()["configuration"]["problems"], SOON, "the entry of no type to be told")
    gateway.spec["spec"]["servers"] = both
    gateway.write_spec()
    wait_for(lambda: not gateway.status()["configuration"]["problems"], SOON, "the problem to be taken back")
    gateway.wait_running("calendar.a", "webhook.b", seconds=SOON)
    assert shape(gateway.source("webhook.b"))[2] == 0 and before[0] == "running"


def test_the_client_tells_changes_of_the_spec_from_all_others(gateway):
    """Labels, annotations and a status that somebody writes are no news: the configuration is not read again."""
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.up(("calendar",))
    before = gateway.reads()
    gateway.namespace.patch("Gateway", "shop", {"metadata": {"labels": {"argo-events-gateway-version": "v0.10"}}}, VERSION)
    gateway.namespace.patch("ConfigMap", "events", {"metadata": {"labels": {"argo-events-event-source-version": "v0.10"}}})
    path = gateway.namespace.cluster.path({"apiVersion": VERSION, "kind": "Gateway"}, gateway.namespace.name, "shop")
    gateway.namespace.cluster.request("PATCH", f"{path}/status", {"status": {"message": "by hand"}},
                                      kind="application/merge-patch+json")
    gateway.write_sources({"calendar.a": {"interval": "2h"}})  # what came before was seen when this is
    wait_for(lambda: gateway.reads() > before, SOON, "the edit")
    gateway.wait_running("calendar.a", seconds=SOON)
    assert gateway.reads() == before + 1


# ---- as Argo did it ----

def argo(gateway, **names):
    """The environment of an Argo gateway-client, and its server's address on a port."""
    port = free_port()
    gateway.start("webhook", program("gateway-server-webhook"), "--listen", f"127.0.0.1:{port}", "--secrets", gateway.secrets)
    return {"KUBE_CONFIG": str(gateway.account.kubeconfig), "GATEWAY_SERVER_PORT": str(port), **names}


def test_the_environment_of_argo_0_11_is_enough(gateway, watcher):
    """GATEWAY_NAME, GATEWAY_NAMESPACE, GATEWAY_EVENT_SOURCE_CONFIG_MAP and GATEWAY_SERVER_PORT, with a Gateway and a ConfigMap as
    they were then."""
    port, name = free_port(), gateway.namespace.name
    gateway.spec["spec"] = {
        "type": "webhook", "eventSource": "elsewhere", "eventProtocol": {"type": "HTTP", "http": {"port": "9300"}},
        "template": {"metadata": {"name": "shop"}, "spec": {"serviceAccountName": "argo-events-sa"}},
        "service": {"metadata": {"name": "shop-svc"}}, "watchers": {"http": [{"name": "w", "url": watcher.url}]}}
    gateway.write_spec()
    gateway.namespace.create({"kind": "ConfigMap", "metadata": {"name": "events", "labels": {
        "argo-events-event-source-version": "v0.10"}}, "data": {"orders": f'port: "{port}"\nendpoint: /orders\nmethod: POST\n'}})
    environment = argo(gateway, GATEWAY_NAME="shop", GATEWAY_NAMESPACE=name, GATEWAY_EVENT_SOURCE_CONFIG_MAP=f"{name}/events",
                       GATEWAY_CONTROLLER_INSTANCE_ID="argo-events")
    account, gateway.account = gateway.account, None
    gateway.client(gateway=None, sources=None, environment=environment)
    gateway.wait_running("orders", seconds=SOON)
    wait_for(lambda: post(port, "/orders", b'{"number": 0}')[0] == 200, SOON, "the endpoint")
    watcher.wait_events(1)
    gateway.account = account


def test_the_environment_of_argo_0_16_is_enough(gateway, watcher):
    """NAME, NAMESPACE and GATEWAY_SERVER_PORT; the event sources are those that the spec's eventSourceRef names. It names
    another ConfigMap: the change is followed at run time, what runs goes on until that one is there."""
    port = free_port()
    gateway.account.allow([READS_GATEWAYS, {**READS_SOURCES, "resourceNames": ["events", "others"]}])
    gateway.spec["spec"] = {"type": "webhook", "eventSourceRef": {"name": "events"}, "replica": 1,
                            "subscribers": {"http": [watcher.url]}}
    gateway.write_sources({"orders": webhook(port, "/orders")})
    gateway.write_spec()
    environment = argo(gateway, NAME="shop", NAMESPACE=gateway.namespace.name)
    account, gateway.account = gateway.account, None
    gateway.client(gateway=None, sources=None, environment=environment)
    gateway.wait_running("orders", seconds=SOON)

    gateway.spec["spec"]["eventSourceRef"] = {"name": "others"}
    gateway.write_spec()
    gateway.wait_origin("absent", f"configmap {gateway.namespace.name}/others is not there yet")
    assert gateway.source("orders")["state"] == "running"
    gateway.write_sources({"orders": webhook(port, "/orders"), "bills": webhook(port, "/bills")}, name="others")
    gateway.wait_running("orders", "bills", seconds=SOON)
    gateway.spec["spec"].pop("eventSourceRef")
    gateway.write_spec()
    wait_for(lambda: gateway.status()["configuration"]["problems"], SOON, "the spec without event sources to be refused")
    assert "spec.eventSource" in gateway.status()["configuration"]["problems"][0]["path"]
    assert gateway.source("bills")["state"] == "running"
    gateway.account = account


# ---- how to reach it ----

def test_a_file_may_name_a_configmap(gateway, tmp_path):
    """A Gateway spec in a file, the event sources in the ConfigMap that it names; without a cluster it is told what to do."""
    local = Gateway(tmp_path / "local") if (tmp_path / "local").mkdir() is None else None
    local.spec["metadata"]["namespace"] = gateway.namespace.name
    local.spec["spec"]["servers"][0]["address"] = gateway.spec["spec"]["servers"][0]["address"]
    local.spec["spec"]["eventSource"] = "events"
    local.write_spec()
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.server("calendar")
    gateway.client(gateway=local.spec_file, sources=None)
    gateway.wait_running("calendar.a", seconds=SOON)
    gateway.processes["client"].stop()

    missing = tmp_path / "missing.kubeconfig"
    done = gateway.run("run", "--gateway", local.spec_file, "--state", tmp_path / "other", "--admin", "none", "--kubeconfig", missing)
    assert done.returncode == 3 and str(missing) in done.stderr and "--event-sources names a file" in done.stderr, done.stderr


def test_a_kubeconfig_that_cannot_be_used_ends_the_start(gateway, tmp_path):
    """It is missing, or half right: the program ends with 3, and words that name the file."""
    for text in (None, "clusters: []\n", "[]\n"):
        path = tmp_path / "kubeconfig"
        if text is not None:
            path.write_text(text)
        for command in (["run", "--state", tmp_path / "s", "--admin", "none"], ["check"]):
            done = gateway.run(*command, "--gateway", "gateway:shop", "--event-sources", "configmap:events", "--kubeconfig", path)
            assert done.returncode == 3 and str(path) in done.stdout + done.stderr, (text, done)


def test_an_outbox_that_cannot_be_opened_ends_it(gateway):
    """The state directory is a file: with the first spec that is known, and then the program ends with 1 and says so."""
    gateway.state.write_text("")
    process = gateway.client(wait=False)
    gateway.write_spec()
    assert wait_for(lambda: process.process.poll(), SOON, "the client to end") == 1
    assert "the outbox cannot be opened" in process.text() and str(gateway.state) in process.text()


def test_check_reads_from_the_cluster_too(gateway):
    """gateway-client check: good, bad entries with their places, what is not there, what is forbidden."""
    gateway.write_spec()
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    gateway.server("calendar")

    def check(sources="configmap:events", gateway_="gateway:shop"):
        return gateway.run("check", "--gateway", gateway_, *(["--event-sources", sources] if sources else []), "--kubeconfig",
                           gateway.account.kubeconfig)

    done = check()
    assert done.returncode == 0 and "good: 1 event source" in done.stdout, done
    gateway.write_sources({"calendar.a": "interval: 1h\nintervall: 2h\n", "calendar.b": "a: [\n"})
    done = check()
    assert done.returncode == 3 and f"{gateway.label}, calendar.a:2: calendar.a: intervall: " in done.stdout, done
    assert f"{gateway.label}, calendar.b:" in done.stdout, done
    done = check(None)
    assert done.returncode == 3 and "spec.eventSource: missing" in done.stdout, done
    done = check("configmap:others")
    assert done.returncode == 3 and 'configmaps "others" is forbidden' in done.stdout, done
    done = check(gateway_="gateway:other")
    assert done.returncode == 3 and 'gateways.argoproj.io "other" is forbidden' in done.stdout, done
    gateway.delete_sources()
    done = check()
    assert done.returncode == 3 and f"{gateway.label} is not there yet" in done.stdout, done
