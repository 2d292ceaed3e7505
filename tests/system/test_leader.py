"""Several gateway-clients on one state directory, of which a Lease of a real API server elects one: it is killed, ended, stopped
and cut off, and no tick is lost or doubled."""

import collections
import contextlib
import datetime
import os
import pathlib
import signal
import sqlite3
import time

import pytest

from harness import SLOW, Gateway, free_port, program, wait_for
from in_cluster import READS_GATEWAYS
from in_cluster import VERSION as GATEWAYS
from kube import Wire

LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["get", "create", "update"]}
# Seconds. The defaults (SLUICE_LEASE=15,10,2) made shorter.
LEASE, RENEW, RETRY = (float(word) * SLOW for word in os.environ.get("SLUICE_LEASE", "6,4,0.5").split(","))
VERSION = "coordination.k8s.io/v1"


class Replica:
    """One of the gateway-clients, seen through its admin address."""

    def __init__(self, gateway, name):
        self.gateway, self.name = gateway, name
        self.admin = f"127.0.0.1:{free_port()}"
        self.process = None

    get, status, metric, wait_running, source = Gateway.get, Gateway.status, Gateway.metric, Gateway.wait_running, Gateway.source

    def start(self, account, *flags):
        gateway = self.gateway
        self.process = gateway.start(
            self.name, program("gateway-client"), "run", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file,
            "--state", gateway.state, "--admin", self.admin, "--kubeconfig", account.kubeconfig, "--secrets", gateway.secrets,
            "--leader-elect", "--lease-duration", f"{LEASE}s", "--renew-deadline", f"{RENEW}s", "--retry-period", f"{RETRY}s",
            *flags, environment={"HOSTNAME": f"pod-{self.name}", "POD_NAME": f"pod-{self.name}"})
        wait_for(lambda: self.get("/healthz")[0] == 200 or not self.process.running(), 20, "the admin address")
        return self

    def election(self):
        status = self.status()
        return status["leaderElection"] if status else None

    def leads(self):
        election = self.election()
        return bool(election) and election["state"] == "leader" and election

    def follows(self, other):
        """Knows that the other one leads."""
        election = self.election()
        return bool(election) and election["state"] == "standby" and election["holder"].startswith(f"pod-{other.name}_")

    def signal(self, number):
        self.process.process.send_signal(number)

    def wait_exit(self, seconds=30):
        return self.process.process.wait(seconds * SLOW)


class Replicas(Gateway):
    def __init__(self, directory, namespace):
        super().__init__(directory)
        self.namespace = namespace
        self.account = namespace.account([LEASES])
        self.names = 0
        self.sources = {"calendar.tick": {"interval": "100ms", "catchup": {"enabled": True, "window": "1h"}}}

    def replica(self, *flags, account=None):
        self.names += 1
        return Replica(self, f"r{self.names}").start(account or self.account, *flags)

    def pair(self, *flags):
        """A leader, and one that stands by."""
        self.write_spec()
        self.write_sources()
        self.server("calendar")
        leader = self.replica(*flags)
        wait_for(leader.leads, 30, "the first to lead")
        leader.wait_running("calendar.tick", seconds=30)
        follower = self.replica(*flags)
        wait_for(lambda: follower.follows(leader), 30, lambda: f"the second to stand by: {follower.election()}")
        return leader, follower

    def lease(self):
        return self.namespace.get("Lease", "shop-gateway-client", VERSION)

    def query(self, sql):
        with contextlib.closing(sqlite3.connect(self.state / "outbox.db", timeout=30)) as database:
            return database.execute(sql).fetchall()

    def freeze(self, replica):
        """Stops it between two writes: in the midst of one it would hold the outbox, and hold up whoever follows."""
        def between():
            replica.signal(signal.SIGSTOP)
            wait_for(lambda: all(file.read_text().rsplit(")", 1)[1].split()[0] == "T"
                                 for file in pathlib.Path(f"/proc/{replica.process.pid}/task").glob("*/stat")), 10, "it to stop")
            with contextlib.closing(sqlite3.connect(self.state / "outbox.db", timeout=0, isolation_level=None)) as database:
                try:
                    database.execute("BEGIN IMMEDIATE")
                    database.execute("ROLLBACK")
                    return True
                except sqlite3.OperationalError:
                    replica.signal(signal.SIGCONT)
                    return False
        wait_for(between, 30, "a moment between two writes")

    def wait_delivered(self):
        """Until all that there is was delivered, and that is on disk."""
        wait_for(lambda: self.query("SELECT min(cursor) = (SELECT max(sequence) FROM events) FROM cursors")[0][0], 30,
                 "the cursor to reach the last event")


@pytest.fixture
def gateway(tmp_path, namespace, watcher):
    gateway = Replicas(tmp_path, namespace)
    gateway.watch("w", watcher.url)
    yield gateway
    for process in gateway.processes.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)  # one that a test left stopped could not end
    gateway.down()


def tick_ms(event):
    return round(datetime.datetime.fromisoformat(event["data"]["eventTime"].replace("Z", "+00:00")).timestamp() * 1000)


def check_ticks(watcher, interval_ms):
    """Every tick from the first to the last one of now is there (they come in any order, so that is waited for), each under
    one id; how many deliveries were repeated."""
    events, last = watcher.events(), max(map(tick_ms, watcher.events()))
    ids = collections.defaultdict(set)

    def lost():
        events[:] = watcher.events()
        for event in events:
            ids[tick_ms(event)].add(event["id"])
        return [tick for tick in range(min(ids), last + 1, interval_ms) if tick not in ids]
    wait_for(lambda: not lost(), 30, lambda: f"{len(lost())} ticks of {len(ids)} up to {last} that are lost: {lost()[:5]}")
    assert all(tick % interval_ms == 0 for tick in ids)
    assert all(len(found) == 1 for found in ids.values()), "a tick with two ids"
    return len(events) - len(ids)


def wait_more(watcher, count, seconds=60):
    return watcher.wait_events(len(watcher.events()) + count, seconds)


# ---- standing by ----


def test_a_follower_stands_by(gateway, watcher):
    """One leads and works; the other is up and ready, says who leads, and does nothing. The Role has get, create and update
    on leases, and nothing else."""
    leader, follower = gateway.pair()
    watcher.wait_events(5, 30)
    lease = gateway.lease()["spec"]
    assert lease["holderIdentity"] == leader.election()["identity"]
    assert lease["holderIdentity"].startswith(f"pod-{leader.name}_")
    assert (lease["leaseDurationSeconds"], lease["leaseTransitions"]) == (LEASE, 0)
    assert follower.get("/readyz") == (200, f"ok: standing by: {lease['holderIdentity']} leads\n")
    assert leader.get("/readyz") == (200, "ok\n")
    assert (leader.metric("gateway_leader"), follower.metric("gateway_leader")) == (1, 0)
    assert follower.metric("gateway_leader_transitions") == 0
    status = follower.status()
    assert (status["sources"], status["watchers"], status["outbox"]["bytes"]) == ([], [], 0)
    assert status["leaderElection"]["identity"] != lease["holderIdentity"]
    assert leader.election()["epoch"] == 1
    shown = gateway.run("status", "--admin", follower.admin).stdout
    assert f"leader election: standing by: {lease['holderIdentity']} leads, transitions 0" in shown
    # An edit means nothing to a follower before it leads.
    gateway.write_sources({**gateway.sources, "calendar.other": {"interval": "1s"}})
    leader.wait_running("calendar.other")
    assert follower.status()["sources"] == []


# ---- the leader goes ----


@pytest.mark.once
def test_a_leader_is_killed_between_two_ticks_and_each_is_delivered_once(gateway, watcher):
    """A tick a second; the leader is killed when one is delivered and the next is not due. The follower goes on: every tick
    once, none lost, none twice, also those of the time in which nobody led."""
    gateway.sources["calendar.tick"]["interval"] = "1s"
    leader, follower = gateway.pair()
    wait_more(watcher, 2)
    gateway.wait_delivered()
    leader.process.kill()
    killed = time.monotonic()
    wait_for(follower.leads, 60, "the follower to lead")
    led = time.monotonic() - killed
    before = len(watcher.events())
    watcher.wait_events(before + 1, 60)
    delivered = time.monotonic() - killed
    watcher.wait_events(before + int(LEASE / SLOW) + 3, 60)
    gateway.wait_delivered()
    assert check_ticks(watcher, 1000) == 0
    assert follower.election()["transitions"] == 1 and follower.election()["epoch"] == 2
    print(f"killed with -9: elected after {led:.2f} s, first event after {delivered:.2f} s (lease {LEASE} s, retry {RETRY} s)")


@pytest.mark.once
def test_leaders_are_killed_again_and_again(gateway, watcher):
    """Ten ticks a second; three times the leader is killed at any moment, and another process comes to stand by. No tick is
    lost, none has two ids; what was delivered in the last moments before a kill may be delivered again, under its id."""
    leader, follower = gateway.pair()
    rounds = 3
    for _ in range(rounds):
        wait_more(watcher, 7)
        leader.process.kill()
        others = follower, gateway.replica()
        leader = wait_for(lambda: next(filter(Replica.leads, others), None), 60, "one of the others to lead")
        follower = others[others[0] is leader]
        wait_for(lambda: follower.follows(leader), 60, "the other one to stand by")
    last = tick_ms(watcher.events()[-1])
    wait_for(lambda: tick_ms(watcher.events()[-1]) > max(last, time.time() * 1000 - 1000), 60, "the ticks of now")
    repeated = check_ticks(watcher, 100)
    # what the outbox had not heard of as delivered when the kill came; a burst of ticks that was caught up is more than a tick
    assert repeated < len(watcher.events()) / 2
    assert leader.election()["epoch"] == rounds + 1
    print(f"killed {rounds} times: {len(watcher.events())} deliveries, {repeated} of them repeated")


def test_sigterm_hands_over_at_once(gateway, watcher):
    """The leader ends in order and gives the Lease back: the follower leads after about a retry period, not a lease."""
    leader, follower = gateway.pair()
    wait_more(watcher, 5)
    leader.signal(signal.SIGTERM)
    assert leader.wait_exit() == 0
    ended = time.monotonic()
    wait_for(follower.leads, 30, "the follower to lead")
    took = time.monotonic() - ended
    wait_more(watcher, 5)
    assert took < LEASE * 0.7, f"{took} s: as if it had not been given back"
    assert check_ticks(watcher, 100) == 0
    assert "the Lease is given back" in leader.process.text()
    assert gateway.lease()["spec"]["leaseTransitions"] == 1
    # The last one gives it to nobody.
    follower.signal(signal.SIGTERM)
    assert follower.wait_exit() == 0
    spec = gateway.lease()["spec"]
    assert (spec.get("holderIdentity", ""), spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("", 1, 1)
    print(f"SIGTERM: elected {took:.2f} s after the end of the old leader (retry {RETRY} s)")


@pytest.mark.once
def test_a_stopped_leader_writes_nothing_when_it_wakes_up(gateway, watcher):
    """The leader is stopped for longer than its lease while ticks lie in its sockets; the follower takes over. Then the new
    leader is held still for a moment and the old one goes on: it writes nothing, and ends with exit code 1."""
    leader, follower = gateway.pair()
    wait_more(watcher, 10)
    gateway.freeze(leader)
    wait_for(follower.leads, 60, "the follower to lead")
    wait_more(watcher, 10)
    gateway.freeze(follower)
    dump = "SELECT (SELECT group_concat(sequence || id) FROM events), (SELECT group_concat(cursor) FROM cursors), " \
           "(SELECT group_concat(position) FROM positions), (SELECT group_concat(key || value) FROM meta)"
    before = gateway.query(dump)
    leader.signal(signal.SIGCONT)
    assert leader.wait_exit() == 1
    after = gateway.query(dump)
    follower.signal(signal.SIGCONT)
    assert before == after
    said = leader.process.text()
    assert "leadership is lost" in said or "another process has taken the outbox over" in said
    wait_more(watcher, 10)
    check_ticks(watcher, 100)
    assert follower.leads() and follower.election()["epoch"] == 2


@pytest.mark.once
def test_a_writer_that_was_stopped_in_the_middle_holds_the_new_leader_up_in_words(gateway, watcher):
    """Somebody was stopped in the middle of a write and holds the outbox. The new leader keeps the Lease, says what it waits
    for, and goes on by itself."""
    leader, follower = gateway.pair()
    wait_more(watcher, 3)
    with contextlib.closing(sqlite3.connect(gateway.state / "outbox.db", timeout=30, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        leader.process.kill()
        wait_for(follower.leads, 60, "the follower to lead")
        wait_for(lambda: "is being written by another process" in follower.get("/readyz")[1], 30, lambda: follower.get("/readyz"))
        assert follower.get("/readyz")[0] == 503
        renewed = gateway.lease()["spec"]["renewTime"]
        wait_for(lambda: gateway.lease()["spec"]["renewTime"] > renewed, 30, "a renewal all the while")
        holder.execute("ROLLBACK")
    wait_for(lambda: follower.get("/readyz")[0] == 200, 30, lambda: follower.get("/readyz"))
    wait_more(watcher, 5)
    check_ticks(watcher, 100)


@pytest.mark.once
def test_the_next_leader_reports_where_the_last_one_ended(gateway, watcher, cluster):
    """The Gateway is a resource: the leader writes its status and an Event that it leads; the follower writes nothing. After a
    kill the follower does."""
    cluster.define_gateways()
    gateway.account = gateway.namespace.account([
        LEASES, READS_GATEWAYS, {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
        {"apiGroups": ["argoproj.io"], "resources": ["gateways/status"], "verbs": ["patch"]}])
    gateway.namespace.create({"apiVersion": GATEWAYS, "kind": "Gateway", "metadata": {"name": "shop"}, "spec": gateway.spec["spec"]})
    leader, follower = gateway.pair("--gateway", "gateway:shop")

    def told(replica):
        return [event["note"] for event in gateway.namespace.list("Event", "events.k8s.io/v1")
                if event["reason"] == "LeaderElected" and event["reportingInstance"] == f"pod-{replica.name}"]

    def reported():
        status = gateway.namespace.get("Gateway", "shop", GATEWAYS).get("status", {})
        return status.get("phase", ""), *(node.get("lastEventTime", "") for node in status.get("nodes", {}).values())
    wait_for(lambda: reported() > ("Running", "2"), 60, reported)
    wait_for(lambda: told(leader), 30, "the Event of the leader")
    assert not told(follower)
    leader.process.kill()
    wait_for(follower.leads, 60, "the follower to lead")
    wait_for(lambda: told(follower), 30, "the Event of the new leader")
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    wait_for(lambda: reported() > ("Running", now), 60, reported)
    check_ticks(watcher, 100)


# ---- the API server goes ----


@pytest.mark.once
def test_a_leader_that_cannot_renew_steps_down_and_all_goes_on_afterwards(gateway, watcher, cluster):
    """The API server is away for longer than the renew deadline: the leader ends with exit code 1 and says why; nobody leads.
    When it is back, the follower or the restarted one leads, and the ticks between are made up for."""
    leader, follower = gateway.pair()
    wait_more(watcher, 3)
    cluster.kill()
    began = time.monotonic()
    assert leader.wait_exit(RENEW + 30) == 1
    took = time.monotonic() - began
    assert took >= RENEW - RETRY - 1.5, "before its time"
    assert "the Lease was not renewed for" in leader.process.text()
    again = gateway.replica()  # as a kubelet does
    wait_for(lambda: "cannot be read" in follower.get("/readyz")[1], 30, lambda: follower.get("/readyz"))
    assert follower.get("/readyz")[0] == 200  # it can do no better
    assert not follower.leads() and not again.leads()
    cluster.start()
    wait_for(lambda: follower.leads() or again.leads(), 90, "one to lead")
    wait_more(watcher, 10)
    check_ticks(watcher, 100)
    print(f"API server away: the leader ended after {took:.2f} s (renew deadline {RENEW} s)")


def test_a_short_outage_is_nothing(gateway, watcher, wire):
    """Shorter than the renew deadline: the line is cut, refuses, and is silent for a while. The same process leads all the
    time, under the same epoch, and nobody else tries."""
    gateway.account = gateway.namespace.account([LEASES], server=wire.url)
    leader, follower = gateway.pair()
    holder = leader.election()["identity"]
    for trouble in (wire.cut, wire.down, wire.stall):
        trouble()
        time.sleep(RENEW / 4)  # the outage itself
        wire.up()
        wire.flow()
        renewed = gateway.lease()["spec"]["renewTime"]
        wait_for(lambda: gateway.lease()["spec"]["renewTime"] > renewed, 30, "a renewal")
    assert leader.process.running() and leader.leads()["identity"] == holder
    wait_for(lambda: follower.follows(leader), 30, "the follower to see it")
    assert gateway.lease()["spec"]["leaseTransitions"] == 0


@pytest.mark.parametrize("plain", [True, False], ids=["http1", "http2"])
@pytest.mark.once
def test_a_connection_that_died_without_a_word_costs_no_leadership(gateway, cluster, plain):
    """A middlebox forgot the connection: nothing comes any more, new ones work. The renewal finds a new one in time."""
    wire = Wire(cluster, plain=plain)
    try:
        gateway.account = gateway.namespace.account([LEASES], server=wire.url)
        leader, _ = gateway.pair()
        for _ in range(2):
            accepted = wire.accepted
            wire.half_open()
            time.sleep(RENEW * 1.5)  # the trouble itself: long enough to lose it
            assert leader.process.running() and leader.leads(), leader.process.text()[-2000:]
            assert wire.accepted > accepted
        assert gateway.lease()["spec"]["leaseTransitions"] == 0
    finally:
        wire.close()


# ---- the Lease ----


@pytest.mark.once
def test_a_deleted_lease_is_made_again_and_epochs_rise_nevertheless(gateway, watcher):
    """Somebody deletes the Lease: the leader makes it again and goes on. It is deleted once more, together with the leader:
    the follower makes one that counts on from the outbox, so that its epoch is greater."""
    leader, follower = gateway.pair()
    leader.process.kill()
    wait_for(follower.leads, 60, "the follower to lead")
    third = gateway.replica()
    assert gateway.lease()["spec"]["leaseTransitions"] == 1
    gateway.namespace.delete("Lease", "shop-gateway-client", VERSION)
    wait_for(lambda: (gateway.lease() or {"spec": {}})["spec"].get("holderIdentity", "").startswith("pod-"), 30, "a new Lease")
    first = gateway.lease()["spec"]
    if first["holderIdentity"] == follower.election()["identity"]:
        assert first["leaseTransitions"] == 1  # its own count
        follower.process.kill()
        gateway.namespace.delete("Lease", "shop-gateway-client", VERSION)
    else:
        assert follower.wait_exit() == 1  # the other one was quicker: also right
    wait_for(third.leads, 60, "the third to lead")
    assert gateway.lease()["spec"]["leaseTransitions"] >= 2
    wait_for(lambda: gateway.query("SELECT value FROM meta WHERE key = 'epoch'") == [(third.election()["epoch"],)], 30,
             "the epoch in the outbox")
    wait_more(watcher, 5)
    check_ticks(watcher, 100)


def test_what_others_put_on_the_lease_stays(gateway):
    """A label and an annotation of somebody else survive renewals and a take-over, and cost nobody the leadership."""
    leader, follower = gateway.pair()
    gateway.namespace.patch("Lease", "shop-gateway-client", {"metadata": {"labels": {"team": "shop"}}}, VERSION)
    renewed = gateway.lease()["spec"]["renewTime"]
    wait_for(lambda: gateway.lease()["spec"]["renewTime"] > renewed, 30, "a renewal")
    leader.signal(signal.SIGTERM)
    assert leader.wait_exit() == 0
    wait_for(follower.leads, 30, "the follower to lead")
    assert gateway.lease()["metadata"]["labels"] == {"team": "shop"}


def test_an_account_that_may_not_is_told_what_is_missing(gateway, watcher):
    """Without the Role the client stands by and says which verb on which resource is missing; when it comes, it leads."""
    gateway.write_spec()
    gateway.write_sources()
    gateway.server("calendar")
    account = gateway.namespace.account([])
    client = gateway.replica(account=account)
    wait_for(lambda: 'cannot get resource "leases"' in client.get("/readyz")[1], 30, lambda: client.get("/readyz"))
    answer = client.get("/readyz")
    assert answer[0] == 200
    assert f"the Lease {gateway.namespace.name}/shop-gateway-client cannot be read: leases.coordination.k8s.io" in answer[1]
    account.allow([{**LEASES, "verbs": ["get"]}])
    wait_for(lambda: 'cannot be written: leases.coordination.k8s.io is forbidden' in client.get("/readyz")[1], 30,
             lambda: client.get("/readyz"))
    account.allow([LEASES])
    wait_for(client.leads, 30, "it to lead")
    watcher.wait_events(3, 30)
    assert client.get("/readyz") == (200, "ok\n")


def test_the_lease_may_have_another_name_and_place(gateway, cluster, watcher):
    other = cluster.namespace()
    gateway.write_spec()
    gateway.write_sources()
    gateway.server("calendar")
    account = gateway.namespace.account()
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "leases"}, "rules": [LEASES]}
    binding = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "leases"},
               "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "leases"},
               "subjects": [{"kind": "ServiceAccount", "name": account.name, "namespace": gateway.namespace.name}]}
    other.apply([role, binding])
    client = gateway.replica("--lease-name", f"{other.name}/orders", account=account)
    wait_for(client.leads, 30, "it to lead")
    assert other.get("Lease", "orders", VERSION)["spec"]["holderIdentity"] == client.election()["identity"]


# ---- who must not ----


def test_a_client_that_does_not_elect_is_kept_out_or_replaced(gateway, watcher):
    """A client without --leader-elect on the same directory is refused while a leader runs. The other way round the one that is
    elected waits, and is ready, so that an update ends the other; then it goes on."""
    leader, follower = gateway.pair()
    plain = ["run", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file, "--state", gateway.state,
             "--admin", "none"]
    refused = gateway.run(*plain)
    assert refused.returncode == 1 and f"another gateway-client (pid {leader.process.pid}) uses" in refused.stderr
    wait_more(watcher, 3)
    for replica in (follower, leader):
        replica.signal(signal.SIGTERM)
        assert replica.wait_exit() == 0
    gateway.start("plain", program("gateway-client"), *plain)
    wait_more(watcher, 3)
    late = gateway.replica()
    words = "without sharing it: all of them need --leader-elect"
    wait_for(lambda: words in late.get("/readyz")[1], 60, lambda: late.get("/readyz"))
    assert late.get("/readyz")[0] == 200
    wait_more(watcher, 3)
    assert gateway.processes["plain"].stop() == 0
    wait_for(late.leads, 60, "it to lead")
    late.wait_running("calendar.tick", seconds=30)
    wait_more(watcher, 3)


@pytest.mark.parametrize(("flags", "words"), [
    (["--lease-duration", "10s"], "--lease-duration 10s must be longer than --renew-deadline 10s"),
    (["--renew-deadline", "2s"], "--renew-deadline 2s must be longer than 1.2 times --retry-period 2s"),
    (["--lease-duration", "900ms"], "--lease-duration 900ms is too short: at least 1s"),
    (["--retry-period", "0s"], "--retry-period must be greater than 0"),
    (["--lease-duration", "15"], "--lease-duration"),
    (["--lease-name", "A b"], '--lease-name: "A b" is not NAME or NAMESPACE/NAME'),
    (["--lease-name", "shop/"], '--lease-name: "shop/" is not NAME or NAMESPACE/NAME'),
])
def test_flags_that_cannot_be_are_refused_in_words(tmp_path, flags, words):
    gateway = Gateway(tmp_path)
    refused = gateway.run("run", "--gateway", "g.yaml", "--event-sources", "e.yaml", "--state", tmp_path, "--leader-elect", *flags)
    assert refused.returncode == 2 and words in refused.stderr, refused.stderr


def test_a_lease_name_without_an_election_is_a_mistake(tmp_path):
    refused = Gateway(tmp_path).run("run", "--gateway", "g.yaml", "--event-sources", "e.yaml", "--state", tmp_path,
                                    "--lease-name", "x")
    assert refused.returncode == 2 and "--lease-name is of use with --leader-elect only" in refused.stderr


def test_an_election_needs_an_api_server(gateway):
    """No kubeconfig, no cluster: said at once, with exit code 3."""
    gateway.write_spec()
    gateway.write_sources()
    refused = gateway.run("run", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file, "--state", gateway.state,
                          "--admin", "none", "--leader-elect", "--kubeconfig", gateway.directory / "missing")
    assert refused.returncode == 3 and "--leader-elect needs it" in refused.stderr and "missing" in refused.stderr
