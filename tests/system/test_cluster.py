"""Deployed for real: our image and manifests/ in a whole one-node Kubernetes, and what a user of it sees.

The node, its kubelet, scheduler, controllers, proxy and containerd are real (tests/peers/kubecluster); names of Services are
answered by a stand-in for CoreDNS. Network policies are accepted and not enforced: the CNI plugin of this node enforces none.
The tests of this file follow each other on one cluster, as a user's days do."""

import base64
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import yaml

from harness import wait_for
from kube import alive
from manifests import MANIFESTS, NAMESPACE, named, render
from node import Node, Orders, build_image, why_not

TRY = MANIFESTS / "overlays" / "try"
HOOKS = 12000
CLIENT = "gateway-client"

pytestmark = [pytest.mark.once, pytest.mark.timeout(1800)]  # the first time, Kubernetes is built


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    reason = why_not()
    if reason:
        pytest.skip(f"NOT TESTED, deployed for real: {reason}")
    directory = tmp_path_factory.mktemp("kubernetes")
    node = Node(directory, build_image(directory.with_suffix(".tar")))
    try:
        node.kubectl("apply", "--server-side", "-k", MANIFESTS / "crd")
        for name in ("one", "two", "three"):
            node.volume(name)
        yield node
    finally:
        node.stop()


@pytest.fixture(scope="module")
def deployed(node):
    """As docs/kubernetes.md says it: one command, and all is there."""
    node.kubectl("apply", "-k", TRY)
    node.rolled_out("watcher")
    node.rolled_out("gateway")
    return node


def hooks_address(node):
    return node.get("service", "gateway")["spec"]["clusterIP"]


def edit(node, **data):
    """As kubectl edit does: entries of the ConfigMap; None takes one away."""
    change = {"data": {key.replace("_", "."): None if value is None else yaml.safe_dump(value) for key, value in data.items()}}
    node.kubectl("patch", "configmap", "event-sources", "--type=merge", "-p", json.dumps(change))


def of_source(events, key):
    return [event for event in events if event["source"].endswith("/" + key)]


def orders_in(events):
    return {event["data"]["order"] for event in of_source(events, "webhook.orders")}


def wait_orders(node, accepted, seconds=60):
    """Every order that was accepted has arrived."""
    def missing():
        return set(accepted) - orders_in(node.events_at("watcher"))
    wait_for(lambda: not missing(), seconds, lambda: f"orders {sorted(missing())[:20]} to arrive")


def wait_source(node, key, state="running", seconds=60):
    def now():
        return next((source for source in status_of(node)["sources"] if source["key"] == key), None)
    wait_for(lambda: (now() or {}).get("state") == state, seconds, lambda: f"{key} to be {state}: {now()}")


def status_of(node):
    return json.loads(node.kubectl("exec", "deployment/gateway", "-c", CLIENT, "--", "gateway-client", "status", "--json"))


def ticks(events, key="calendar.each-second"):
    return [event["id"] for event in of_source(events, key)]


# ---- the first five minutes ----


def test_the_pods_become_ready(deployed):
    """`kubectl apply -k manifests/overlays/try` gives a Pod in which every container is ready, none of which was restarted."""
    (pod,) = deployed.pods(CLIENT)
    assert {status["name"] for status in pod["status"]["containerStatuses"]} == {CLIENT, "calendar", "webhook", "resource"}
    assert all(status["ready"] and status["restartCount"] == 0 for status in pod["status"]["containerStatuses"])


def test_events_arrive_at_the_watcher_through_its_service(deployed):
    """The heartbeat of the calendar, and an order that was posted to the gateway's Service."""
    wait_for(lambda: deployed.fetch(hooks_address(deployed), HOOKS, "/orders", "POST", '{"order": -1}')[0] == 200, 30,
             "an order to be accepted")

    deployed.wait_event("watcher", lambda event: event["type"] == "sluice.calendar.tick", what="a heartbeat")
    order = deployed.wait_event("watcher", lambda event: event["source"].endswith("webhook.orders"), what="the order")
    assert order["specversion"] == "1.0" and order["source"] == f"/gateways/{NAMESPACE}/gateway/webhook.orders"


def test_an_edit_of_the_configmap_takes_effect_at_once(deployed):
    """A patch adds a webhook that answers within moments, another changes its path, a third takes it away; the other event
    sources are not disturbed."""
    address = hooks_address(deployed)

    def post(path, *statuses):
        began = time.monotonic()
        wait_for(lambda: deployed.fetch(address, HOOKS, path, "POST", "{}")[0] in statuses, 10, f"{path} to answer {statuses}")
        return time.monotonic() - began

    nothing = 404, 503  # the second for a while after the gateway-server's start: its event sources may be on their way
    edit(deployed, webhook_returns={"port": str(HOOKS), "endpoint": "/returns"})
    assert post("/returns", 200) < 3
    edit(deployed, webhook_returns={"port": str(HOOKS), "endpoint": "/returns/{order}"})
    post("/returns/7", 200)
    post("/returns", *nothing)
    edit(deployed, webhook_returns=None)
    post("/returns/7", *nothing)
    deployed.wait_event("watcher", lambda event: event["subject"] == "returns", what="what was returned")
    assert all(source["restarts"] == 0 for source in status_of(deployed)["sources"])


def test_a_bad_edit_is_told_and_harms_nothing(deployed):
    """An entry with a typing mistake: kubectl tells it, the last good one keeps running."""
    good = {"port": str(HOOKS), "endpoint": "/orders", "method": "POST"}
    edit(deployed, webhook_orders={**{key: good[key] for key in ("port", "method")}, "endpint": "/orders"})
    try:
        told = wait_for(lambda: (text := deployed.kubectl("describe", "gw", "gateway")) and "endpint" in text and text, 30,
                        "kubectl describe to tell the mistake")
        assert "endpoint" in told
        assert deployed.fetch(hooks_address(deployed), HOOKS, "/orders", "POST", '{"order": -2}')[0] == 200
    finally:
        edit(deployed, webhook_orders=good)
    wait_for(lambda: "endpint" not in deployed.kubectl("get", "gw", "gateway", "-o", "jsonpath={.status}"), 30, "the mistake to go")


def test_kubectl_tells_the_story(deployed):
    """`kubectl get gw` says how many event sources run, and that it is ready; `describe` says why, and what happened."""
    line = wait_for(lambda: (rows := deployed.kubectl("get", "gw").splitlines()) and "True" in rows[1] and rows, 30,
                    "the gateway to be ready")
    assert line[0].split() == ["NAME", "TYPE", "SOURCES", "READY", "AGE"]
    assert re.search(r"\b2/2\b", line[1]), line[1]
    told = deployed.kubectl("describe", "gw", "gateway")
    assert re.search(r"Type:\s+Ready", told) and re.search(r"Type:\s+SourcesRunning", told)
    assert "calendar.heartbeat" in told and "webhook.orders" in told
    assert re.search(r"^Events:\s+Type\s+Reason", told, re.S | re.M), told[-2000:]


def test_events_of_resources_arrive_with_the_rights_that_come_along(deployed):
    """An event source of Deployments in this namespace, under the shipped Role: a scaled Deployment is an event."""
    edit(deployed, resource_deployments={"namespace": NAMESPACE, "group": "apps", "version": "v1", "resource": "deployments",
                                         "eventTypes": ["UPDATE"], "filter": {"changed": ["spec.replicas"]}, "payload": "v0.16"})
    wait_source(deployed, "resource.deployments")
    deployed.kubectl("scale", "deployment/watcher", "--replicas=2")
    deployed.kubectl("scale", "deployment/watcher", "--replicas=1")
    event = deployed.wait_event("watcher", lambda event: event["source"].endswith("resource.deployments"), what="the change")
    assert event["data"]["type"] == "UPDATE" and event["data"]["body"]["metadata"]["name"] == "watcher"
    edit(deployed, resource_deployments=None)
    deployed.rolled_out("watcher")


# ---- the days after ----


@contextlib.contextmanager
def stopped(pids):
    """Processes in their tracks, until the end of the block."""
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def busy(deployed):
    """A patient sender of orders, and a calendar that makes up for what it missed."""
    edit(deployed, **{"calendar_each-second": {"interval": "1s", "catchup": {"enabled": True}}})
    wait_source(deployed, "calendar.each-second")
    already = len(ticks(deployed.events_at("watcher")))
    with Orders(deployed, hooks_address(deployed), HOOKS, "/orders") as orders:
        orders.more(20)
        yield orders
    wait_orders(deployed, orders.accepted)
    # Not a tick is missing among all that there were. One that was under way when a process was killed may come twice, as
    # any delivery may, with the id that it had.
    wait_for(lambda: len(ticks(deployed.events_at("watcher"))) > already, 30, "a tick")
    seen = ticks(deployed.events_at("watcher"))
    seconds = [int(time.mktime(time.strptime(tick[:19], "%Y-%m-%dT%H:%M:%S"))) for tick in seen]
    assert sorted(set(seconds)) == list(range(min(seconds), max(seconds) + 1))
    edit(deployed, **{"calendar_each-second": None})


def test_a_rolling_update_loses_nothing(deployed, busy):
    """`kubectl rollout restart` while orders come in: the new Pod goes on where the old one was."""
    (before,) = deployed.pods(CLIENT)
    deployed.kubectl("rollout", "restart", "deployment/gateway")
    deployed.rolled_out("gateway")
    busy.more(50)

    (after,) = deployed.pods(CLIENT)
    assert after["metadata"]["name"] != before["metadata"]["name"]
    # The old one ended in order, within its time.
    assert "deletionTimestamp" not in after["metadata"] and deployed.restarts(CLIENT)[CLIENT] == 0


def test_a_killed_pod_loses_nothing(deployed, busy):
    """Every process of the Pod is killed at once, as if the node's memory had run out, and then the Pod itself by force;
    meanwhile the watcher answers nothing, so that what was accepted is on the volume and nowhere else."""
    (pod,), (watcher,) = deployed.pods(CLIENT), deployed.get("pods", "-l", "app=watcher")["items"]
    with stopped(deployed.pids(watcher, "watcher")):
        busy.more(50)
        for name in (CLIENT, "webhook", "calendar"):
            for pid in deployed.pids(pod, name):
                os.kill(pid, signal.SIGKILL)
        busy.more(50)
        assert deployed.restarts(CLIENT)[CLIENT] == 1
        deployed.kubectl("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force")
        busy.more(50)
    deployed.rolled_out("gateway")


def test_probes_find_what_hangs(deployed):
    """gateway-client and a gateway-server are stopped in their tracks (SIGSTOP): the kubelet's probes, one over HTTP and one
    over gRPC, notice it, and start them again."""
    before = deployed.restarts(CLIENT)
    (pod,) = deployed.pods(CLIENT)
    hung = [pid for name in (CLIENT, "calendar") for pid in deployed.pids(pod, name)]
    assert len(hung) == 2
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)

    def restarted():
        now = deployed.restarts(CLIENT)
        return all(now[name] > before[name] for name in (CLIENT, "calendar"))
    wait_for(restarted, 120, "both to be started again")
    assert not any(alive(pid) for pid in hung)
    deployed.rolled_out("gateway")
    told = deployed.kubectl("get", "events", "--field-selector", f"involvedObject.name={pod['metadata']['name']}")
    assert re.search(r"Unhealthy.*Liveness probe", told), told


def test_requests_match_use_and_limits_hold(deployed, busy):
    """Under load each container's working set is within what it requests; the limit is set in its cgroup."""
    busy.more(200)

    def used():
        for pod in json.loads(deployed.kubectl("get", "--raw", "/api/v1/nodes/node1/proxy/stats/summary"))["pods"]:
            if pod["podRef"]["name"].startswith("gateway-"):
                yield from ((each["name"], each["memory"]["workingSetBytes"]) for each in pod["containers"])
    (pod,) = deployed.pods(CLIENT)
    for name, working_set in used():
        spec = next(each for each in pod["spec"]["containers"] if each["name"] == name)
        assert working_set <= mebibytes(spec["resources"]["requests"]["memory"]), f"{name} uses {working_set} bytes"
    limit = mebibytes(next(each for each in pod["spec"]["containers"] if each["name"] == CLIENT)["resources"]["limits"]["memory"])
    assert memory_limit(deployed.pids(pod, CLIENT)[0]) == limit


def mebibytes(text):
    assert text.endswith("Mi")
    return int(text[:-2]) << 20


def memory_limit(pid):
    """Of the cgroup that a process is in, of version 1 or 2."""
    for line in open(f"/proc/{pid}/cgroup"):
        _, controllers, path = line.strip().split(":", 2)
        if controllers == "memory":
            return int(open(f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes").read())
        if controllers == "" and os.path.exists(f"/sys/fs/cgroup{path}/memory.max"):
            return int(open(f"/sys/fs/cgroup{path}/memory.max").read())
    return None


# ---- another layout ----


def test_gateway_servers_of_their_own_take_over(deployed, busy, tmp_path):
    """The overlay separate-servers is applied over what runs: Deployments of their own, mutual TLS between them, and the
    orders go on."""
    overlay(tmp_path, "separate-servers")
    secrets = certificates()
    deployed.kubectl("apply", "-f", "-", input=secrets)
    deployed.kubectl("apply", "-k", tmp_path)
    for name in ("gateway-server-calendar", "gateway-server-webhook", "gateway-server-resource", "gateway"):
        deployed.rolled_out(name)
    busy.more(50)

    (pod,) = deployed.pods(CLIENT)
    assert [each["name"] for each in pod["spec"]["containers"]] == [CLIENT]
    wait_source(deployed, "webhook.orders")
    (server,) = deployed.pods("gateway-server-calendar")
    client = named(list(yaml.safe_load_all(secrets)), "Secret", "gateway-client-tls")["data"]
    for key in ("tls.crt", "tls.key"):
        (tmp_path / key).write_bytes(base64.b64decode(client[key]))
    assert greeting(deployed, server["status"]["podIP"], tmp_path / "tls.crt", tmp_path / "tls.key") != b""
    assert greeting(deployed, server["status"]["podIP"]) == b""


def test_one_of_two_leads_and_the_other_takes_over(deployed, busy, tmp_path):
    """With the component highly-available there are two gateway-clients; the one that leads is killed, Pod and all, and the
    orders go on under the other."""
    overlay(tmp_path, "separate-servers", "highly-available")
    deployed.kubectl("apply", "-f", "-", input=certificates())
    deployed.kubectl("apply", "-k", tmp_path)
    for name in ("gateway-server-calendar", "gateway-server-webhook", "gateway-server-resource", "gateway"):
        deployed.rolled_out(name)

    def leader():
        holder = deployed.get("lease", "gateway-gateway-client")["spec"].get("holderIdentity") or ""
        return next((pod for pod in deployed.pods(CLIENT) if holder.startswith(pod["metadata"]["name"])), None)
    first = wait_for(leader, 60, "one of them to lead")
    busy.more(50)
    deployed.kubectl("delete", "pod", first["metadata"]["name"], "--grace-period=0", "--force")
    wait_for(lambda: (now := leader()) and now["metadata"]["name"] != first["metadata"]["name"], 60, "the other to lead")
    busy.more(50)


def overlay(folder, *components):
    """The base to try, with components."""
    (folder / "kustomization.yaml").write_text(yaml.safe_dump({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "namespace": NAMESPACE,
        "resources": [os.path.relpath(TRY, folder)],
        "components": [os.path.relpath(MANIFESTS / "components" / name, folder) for name in components],
        "images": [{"name": "sluice", "newName": "localhost/sluice", "newTag": image_tag()}]}))


def image_tag():
    return named(render(TRY), "Deployment", "gateway")["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]


def certificates():
    return subprocess.run([str(MANIFESTS / "components/separate-servers/certificates.sh"), NAMESPACE], capture_output=True,
                          text=True, check=True, timeout=60).stdout


def greeting(node, host, *certificate):
    """What a gateway-server says first: the beginning of HTTP/2; or nothing, when it ends the connection."""
    said = []

    def ask():
        node.enter()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        if certificate:
            context.load_cert_chain(*certificate)
        with contextlib.suppress(OSError), socket.create_connection((host, 9330), timeout=10) as plain, \
                context.wrap_socket(plain) as secure:
            said.append(secure.recv(1))
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return b"".join(said)


def test_it_can_be_taken_away(deployed):
    """`kubectl delete -k` takes all of it with the namespace, and nothing hangs."""
    deployed.kubectl("delete", "-k", TRY, "--ignore-not-found", "--timeout=90s", timeout=150)
    assert deployed.try_kubectl("get", "namespace", NAMESPACE).returncode != 0
