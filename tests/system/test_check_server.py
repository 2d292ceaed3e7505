"""gateway-client check-server: our own gateway-servers keep every rule; servers that break one are told which, and why."""

import concurrent.futures
import functools
import json
import pathlib
import re
import subprocess
import sys
import time
import types

import pytest

import reference
from contracts import Server, authority, certificate, credentials
from harness import PATIENCE, SLOW, free_port, program

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 4 * SLOW * PATIENCE  # what a broken server holds up is waited for, each time


def run_check(folder, address, *flags, config=reference.CONFIG, timeout=TIMEOUT):
    """The exit code of check-server, and what its report says."""
    if config is not None:
        file = folder / f"{time.monotonic_ns()}.yaml"
        file.write_text(config)
        flags += ("--config", file)
    done = subprocess.run([program("gateway-client"), "check-server", address, "--json", "--timeout", f"{timeout:g}s",
                           *map(str, flags)], capture_output=True, text=True, timeout=300)
    result = types.SimpleNamespace(code=done.returncode, said=done.stderr, report=None)
    if done.stdout:
        result.report = json.loads(done.stdout)
        rules = result.report["rules"]
        result.rules = {rule["rule"]: rule for rule in rules}
        result.of = lambda verdict: {rule["rule"] for rule in rules if rule["verdict"] == verdict}
        result.text = f"exit code {done.returncode}\n" + "\n".join(
            f"{rule['rule']} {rule['verdict']}: {rule['seen']}" for rule in rules if rule["verdict"] != "ok")
    return result


def check_counting(folder, pb, cls, *flags):
    """The same of a server of this class, which lives as long as that takes."""
    count = cls(pb)
    count.server = Server(count.add, workers=cls.workers)
    try:
        return run_check(folder, count.server.address, *flags)
    finally:
        count.closed.set()
        count.server.server.stop(0)  # not waited for: grpcio may do so for ever after a call that brought garbage


@pytest.fixture(scope="module")
def checked(pb, tmp_path_factory):
    """checked(name) of all in the tables. They are tried beside each other, for most of the time of each is waiting."""
    folder = tmp_path_factory.mktemp("checked")
    with concurrent.futures.ThreadPoolExecutor(max_workers=3) as pool:
        futures = {name: pool.submit(check_counting, folder, pb, cls)
                   for name, (_, cls) in {**reference.FAULTS, **reference.WARNINGS}.items()}
        yield lambda name: futures[name].result(timeout=400)
        for future in futures.values():
            future.cancel()


@pytest.fixture
def check(tmp_path):
    return functools.partial(run_check, tmp_path)


# ---- those that are right ----

def test_a_server_that_keeps_every_rule(pb, tmp_path):
    """The reference in Python keeps them all, and each was tried."""
    done = check_counting(tmp_path, pb, reference.Reference)
    assert done.code == 0 and done.of("ok") == {f"R{n}" for n in range(1, 33)}, done.text
    assert done.report["contract"] == "gateway.v1" and done.report["type"] == "count" and done.report["version"] == "1.0"
    assert done.report["summary"] == {"ok": 32, "failed": 0, "warnings": 0, "notTried": 0}


# ---- those that are wrong ----

@pytest.mark.once  # these servers are Python; those of ours, below, are checked under sanitizers too
@pytest.mark.parametrize("name", reference.FAULTS)
def test_a_broken_rule_is_found_and_no_other(checked, name):
    """A server that breaks one rule fails for it, and for it alone."""
    (rule, cls), done = reference.FAULTS[name], checked(name)
    assert done.of("failed") == {rule} and done.code == 1, done.text
    assert done.of("warning") == cls.also, done.text
    found = done.rules[rule]
    assert found["seen"] and found["why"] and "proto" in found["where"]


@pytest.mark.once
@pytest.mark.parametrize("name", reference.WARNINGS)
def test_what_should_be_otherwise_is_a_warning(checked, name):
    """A server that does what it SHOULD not is warned about it, and passes."""
    rule, done = reference.WARNINGS[name][0], checked(name)
    assert done.of("warning") == {rule} and done.of("failed") == set() and done.code == 0, done.text


def test_a_server_that_is_gone_is_told_so(pb, tmp_path):
    """Garbage ends the whole server: the rule is broken, and what could not be tried any more says why."""
    done = check_counting(tmp_path, pb, reference.DiesOfGarbage)
    assert done.code == 1 and "R30" in done.of("failed") and "gone" in done.report["reason"], done.text
    assert {"R27", "R29"} <= done.of("not tried"), done.text


# ---- our own ----

OWN = {
    "calendar": ("interval: 2ms\ncatchup: {enabled: true}\n", None, set()),
    # a batch fills the window at once; the same ids again are a sender's repetition
    "webhook": ("port: '{port}'\naddress: 127.0.0.1\nendpoint: /${{N}}\nackTimeout: 500ms\n",
                "curl -s -H 'Content-Type: application/cloudevents-batch+json' -d @{batch} http://127.0.0.1:{port}/0",
                {"R20", "R24", "R25", "R32"}),  # it has no positions, and nothing to notice
}


@pytest.mark.parametrize("kind", OWN)
def test_our_own_servers_keep_every_rule(gateway, check, kind):
    """gateway-server-calendar and -webhook: every rule that there is anything to see of is kept."""
    config, trigger, not_tried = OWN[kind]
    batch = gateway.directory / "batch.json"
    batch.write_text(json.dumps([{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t"} for n in range(1100)]))
    port = free_port()
    gateway.server(kind)
    done = check(f"unix:{gateway.directory}/{kind}.sock", "--type", kind,
                 *(("--trigger", trigger.format(port=port, batch=batch)) if trigger else ()), config=config.format(port=port)
                 if trigger else config)
    assert done.code == 0 and done.of("failed") == done.of("warning") == set() and done.of("not tried") == not_tried, done.text


def test_our_own_resource_server_keeps_every_rule(gateway, check, namespace):
    """gateway-server-resource on a namespace of 200 objects, which are told to each stream that brings no position."""
    role = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}]
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda number: namespace.create({"kind": "ConfigMap", "metadata": {"name": f"c{number}"}}), range(200)))
    gateway.server("resource", "--kubeconfig", namespace.account(role).kubeconfig, "--state", gateway.directory / "state")
    config = f"namespace: {namespace.name}\nversion: v1\nresource: configmaps\nreplayExisting: true\noldObject: false\n"
    done = check(f"unix:{gateway.directory}/resource.sock", "--type", "resource", config=config)
    assert done.code == 0 and done.of("failed") == set() and done.of("not tried") == {"R21", "R22"}, done.text
    assert done.of("warning") == {"R24"} and "comes again" in done.rules["R24"]["seen"], done.text  # a list begins anew


def plc(pb, say=None):
    """A user's server of generic.Eventing alone: what it says on a stream."""

    def numbers(request, context):
        for number in range(1_000_000):
            yield pb.generic.Event(name=request.name, payload=b'{"n": %d}' % number)
            time.sleep(0.01)

    class Eventing(pb.generic.EventingServicer):
        def StartEventSource(self, request, context):
            yield from (say or numbers)(request, context)

    return lambda server: pb.generic.add_EventingServicer_to_server(Eventing(), server)


def test_our_own_bridge_keeps_every_rule(gateway, check, serve, pb):
    """gateway-server-generic, with a user's server behind it."""
    behind = serve(plc(pb), workers=150)
    gateway.server("generic")
    done = check(f"unix:{gateway.directory}/generic.sock", config=f"url: '{behind.address}'\ninsecure: true\njsonBody: true\n")
    assert done.code == 0 and done.of("failed") == done.of("warning") == set(), done.text
    # events without ids and positions; a window (R21, R22) is filled where it takes long enough
    assert done.of("not tried") - {"R21", "R22"} == {"R19", "R20", "R24", "R25"}, done.text


@pytest.mark.parametrize("contract", ["argo-0.11", "argo-0.16", "generic"])
def test_our_own_servers_keep_the_old_contracts(gateway, check, contract):
    """The same servers, asked as older gateway-clients do."""
    gateway.server("calendar")
    done = check(f"unix:{gateway.directory}/calendar.sock", "--contract", contract, "--type", "calendar", config="interval: 20ms\n")
    expected = {"R1", "R3", "R15", "R27", "R29", "R30", "A2", "A3"} | ({"R2", "A1"} if contract != "generic" else set())
    assert done.code == 0 and done.of("ok") == expected == set(done.rules), done.text
    assert done.report["contract"] == contract


# ---- servers of the old contracts ----

def argo_server(pb, accepts, mismatch, valid=None):
    """As Argo's of its year: field 4 must be `accepts`; counts."""

    class Eventing(pb.argo.EventingServicer):
        def ValidateEventSource(self, request, context):
            if request.type != accepts:
                return pb.argo.ValidEventSource(isValid=False, reason=mismatch.format(request.type))
            try:
                reference.yaml.safe_load(request.value)
            except reference.yaml.YAMLError as fault:
                return (valid or (lambda fault: pb.argo.ValidEventSource(isValid=False, reason=f"failed to parse: {fault}")))(fault)
            return pb.argo.ValidEventSource(isValid=True)

        def StartEventSource(self, request, context):
            for number in range(1_000_000):
                yield pb.argo.Event(name=request.name, payload=b"%d" % number)
                time.sleep(0.01)

    return lambda server: pb.argo.add_EventingServicer_to_server(Eventing(), server)


@pytest.mark.parametrize("contract,accepts,mismatch", [
    ("argo-0.11", "v0.10", "event source version mismatch. gateway expects v0.10 version, and provided version is {}"),
    ("argo-0.16", "odd", "event source is not type of odd")])
def test_servers_of_argo(check, serve, pb, contract, accepts, mismatch):
    """A server that speaks only gateways.Eventing: its year is found out, and the rules of that contract are tried."""
    done = check(serve(argo_server(pb, accepts, mismatch), workers=150).address, "--type", "odd", config="x: 1\n")
    assert done.report["contract"] == contract and done.code == 0, done.text
    assert done.of("warning") == {"R3"} and done.of("failed") == done.of("not tried") == set(), done.text

    broken = serve(argo_server(pb, accepts, mismatch, valid=lambda fault: pb.argo.ValidEventSource(isValid=True)), workers=150)
    done = check(broken.address, "--type", "odd", config="x: 1\n")
    assert done.of("failed") == {"A1"} and done.code == 1, done.text


def test_servers_of_the_generic_contract(check, serve, pb):
    """A server of one method passes; one with foreign names, one that ends by itself and one of few threads do not."""
    done = check(serve(plc(pb), workers=150).address, config="x: 1\n")
    assert done.report["contract"] == "generic" and done.code == 0, done.text
    assert done.of("warning") == {"R3"} and done.of("failed") == done.of("not tried") == set(), done.text
    assert check(serve(plc(pb), workers=150).address, "--strict", config="x: 1\n").code == 1

    def foreign(request, context):
        for _ in range(1000):
            yield pb.generic.Event(name="somebody-else", payload=b"1")
            time.sleep(0.01)

    def brief(request, context):
        yield pb.generic.Event(name=request.name, payload=b"1")

    for say, rule, seen in ((foreign, "A2", "somebody-else"), (brief, "A3", "after 1 events it ended with OK")):
        done = check(serve(plc(pb, say), workers=150).address, config="x: 1\n")
        assert rule in done.of("failed") and seen in done.rules[rule]["seen"] and done.code == 1, done.text
        assert done.of("failed") <= {rule, "R27", "R29"}, done.text
    done = check(serve(plc(pb), workers=10).address, config="x: 1\n")
    assert done.of("failed") == {"R29"}, done.text


# ---- what surrounds it ----

def test_an_address_where_nobody_is(check, serve):
    """Nobody there, somebody who is no gateway-server, an address that is none: words, and an exit code."""
    address = f"127.0.0.1:{free_port()}"
    done = check(address)
    assert done.code == 1 and done.report["reachable"] is False and done.report["rules"] == [], done.said
    assert "refused" in done.report["reason"] and done.report["address"] == address

    done = check(serve(lambda server: None).address)
    assert done.code == 1 and done.report["reachable"] and "speaks none of" in done.report["reason"], done.said
    done = check(serve(lambda server: None).address, "--contract", "gateway.v1")
    assert done.code == 1 and "speaks not gateway.v1" in done.report["reason"], done.said
    assert check("nowhere").code == 2


def test_a_configuration_that_is_refused(gateway, check):
    """The server refuses --config: exit code 3 and its words; without --config what needs one is not tried."""
    gateway.server("calendar")
    address = f"unix:{gateway.directory}/calendar.sock"
    done = check(address, config="interval: soon\n")
    assert done.code == 3 and "interval: expected a duration" in done.report["reason"], done.text
    assert done.of("failed") == set() and {"R10", "R14", "R24"} <= done.of("not tried"), done.text
    done = check(address, config=None)
    assert done.code == 0 and "there is no --config" in done.report["reason"], done.text
    assert {"R1", "R7", "R11", "R30"} <= done.of("ok"), done.text
    done = gateway.run("check-server", address, "--config", "/nowhere/x.yaml")
    assert done.returncode == 3 and "/nowhere/x.yaml" in done.stderr and done.stdout == ""


def test_tls(check, serve, pb, tmp_path):
    """A server behind TLS with client certificates is checked as any other; with the wrong authority it is not reached."""
    for name in ("ca", "other"):
        authority(tmp_path, name)
    certificate(tmp_path, "plc", "ca", "DNS:plc.factory")
    certificate(tmp_path, "client", "ca", "DNS:client")
    server = serve(plc(pb), workers=150, credentials=credentials(tmp_path, "plc", "ca"))
    own = ("--tls-certificate", tmp_path / "client.pem", "--tls-key", tmp_path / "client.key", "--tls-server-name", "plc.factory")
    done = check(server.address, "--tls-ca", tmp_path / "ca.pem", *own, config="x: 1\n")
    assert done.code == 0 and done.of("failed") == set(), done.text
    assert check(server.address, "--tls-ca", tmp_path / "other.pem", *own).code == 1
    assert check(server.address, "--tls").code == 1


def test_the_report_for_people(gateway, pb, tmp_path):
    """Each rule in a line; what is broken with what was seen, why it matters, and where that stands; no control characters."""

    class Rude(reference.Reference):
        def refuse(self, problems):
            raise reference.End(reference.grpc.StatusCode.UNAVAILABLE, "\x1b[31mred")

    count = Rude(pb)
    server = Server(count.add, workers=count.workers)
    (tmp_path / "c.yaml").write_text(reference.CONFIG)
    done = gateway.run("check-server", server.address, "--config", tmp_path / "c.yaml", timeout=60)
    server.server.stop(0)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and lines[0] == f"gateway-server {server.address}: count 1.0, by the contract gateway.v1", lines
    at = next(number for number, line in enumerate(lines) if line.startswith("  FAILED     R11  ends a stream whose configuration"))
    assert "seen: text that is not YAML: it ended with UNAVAILABLE:  [31mred" in lines[at + 1], lines[at:]
    assert "why: " in lines[at + 2] and "see: proto/gateway/v1/eventing.proto, The beginning of a stream" in lines[at + 3]
    assert "\x1b" not in done.stdout and done.stderr == ""
    assert re.match(r"31 ok, 1 failed, 0 warnings, 0 not tried; \d+ streams, \d+ events", lines[-1]), lines[-1]


USAGE = [([], "one ADDRESS"), (["a", "b"], "one ADDRESS"), (["x:1", "--contract", "v2"], "v2"), (["x:1", "--tls-key", "k"], "together"),
         (["x:1", "--timeout", "0s"], "--timeout"), (["x:1", "--jsn"], '--json'), (["127.0.0.1:1", "--tls-ca", "/nowhere"], "/nowhere")]


@pytest.mark.parametrize("words,told", USAGE, ids=[" ".join(row[0]) for row in USAGE])
def test_wrong_usage_is_told(gateway, words, told):
    done = gateway.run("check-server", *words)
    assert done.returncode in (1, 2) and told in done.stderr and done.stdout == "", done


def test_the_rules_are_those_of_the_contract(gateway):
    """Every rule of the contracts that can be seen from outside is in the table, under its number and its section."""
    table = dict(re.findall(r"^\| ([RA]\d+) \| (.*?) \|", gateway.run("check-server", "--print-rules").stdout, re.M))
    newest = (ROOT / "proto/gateway/v1/eventing.proto").read_text()
    argo = (ROOT / "proto/argo/gateways/eventing.proto").read_text()
    rules = re.findall(r"^// (R\d+) ", newest, re.M) + re.findall(r"^// (A\d+) ", argo, re.M)
    assert rules == [*(f"R{n}" for n in range(1, 33)), "A1", "A2", "A3", "A4"]
    assert set(rules) - set(table) == {"A4"} and not set(table) - set(rules)  # A4 cannot be seen from outside


def test_the_smallest_server_of_the_guide(gateway, check, pb, tmp_path):
    """The server in docs/writing-a-gateway-server.md runs as it is printed there, and is waited for while it starts."""
    text = (ROOT / "docs/writing-a-gateway-server.md").read_text()
    (tmp_path / "beat.py").write_text(next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "class Beat" in block))
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "proto/argo/generic", f"--python_out={tmp_path}",
                    f"--grpc_python_out={tmp_path}", "generic.proto"], check=True)
    address = f"127.0.0.1:{free_port()}"
    gateway.start("beat", sys.executable, tmp_path / "beat.py", address, environment={"PYTHONUNBUFFERED": "1"})
    done = check(address, "--wait", "30s", config="every: 0.05\n")
    gateway.processes["beat"].kill()
    assert done.code == 0 and done.report["contract"] == "generic" and done.of("failed") == set(), done.text
    assert done.of("ok") == {"R1", "R15", "R27", "R29", "R30", "A2", "A3"} and done.of("warning") == {"R3"}, done.text
