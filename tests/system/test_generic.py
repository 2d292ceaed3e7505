"""gateway-server-generic: the bridge to users' own gRPC servers, which are written in Python here, well and badly."""

import base64
import json
import socket
import threading
import time

import grpc
import pytest

from contracts import Cutter, authority, certificate, credentials
from harness import free_port, wait_for

SOON = 30


class Plc:
    """A user's server. `say(request, context)` yields payloads, or events; each call is remembered."""

    def __init__(self, pb, say):
        self.pb, self.say, self.calls = pb, say, []

    def add(self, server):
        plc = self

        class Eventing(plc.pb.generic.EventingServicer):
            def StartEventSource(self, request, context):
                plc.calls.append((request.name, request.config, dict(context.invocation_metadata())))
                for said in plc.say(request, context):
                    yield said if not isinstance(said, bytes) else plc.pb.generic.Event(name=request.name, payload=said)

        plc.pb.generic.add_EventingServicer_to_server(Eventing(), server)


def hold(context):
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()


def counting(first=0, every=0.05):
    """Payloads {"n": 0}, {"n": 1}, … for as long as the call holds; one count over all calls."""
    numbers = iter(range(first, 1_000_000))

    def say(request, context):
        while context.is_active():
            yield b'{"n": %d}' % next(numbers)
            time.sleep(every)

    return say


@pytest.fixture
def bridge(gateway, watcher):
    """A gateway with gateway-server-generic; start(**sources) puts it up."""

    def start(**sources):
        gateway.spec["spec"]["servers"] = [{"type": "generic", "address": f"unix:{gateway.directory}/generic.sock"}]
        gateway.watch("w", watcher.url).write_spec()
        gateway.write_sources({f"generic.{name}": source for name, source in sources.items()})
        gateway.server("generic")
        gateway.client()
        return gateway

    return start


def wait_words(gateway, *words, key="generic.plc"):
    wait_for(lambda: all(word in json.dumps(gateway.source(key)) for word in words), SOON,
             lambda: f"{words} in {json.dumps(gateway.source(key))}")


def bodies(watcher):
    return [event["data"]["body"] for event in watcher.events()]


def test_events_of_a_users_server_arrive_as_argo_sent_them(bridge, watcher, serve, pb):
    """A server gets its name and its configuration as written; its payloads become body and metadata."""
    plc = Plc(pb, lambda request, context: iter([b'{"n": 1.10}', b"7"]))
    raw = Plc(pb, lambda request, context: iter([b"\x00\xff"]))
    both = [plc, raw]
    servers = [serve(each.add) for each in both]
    gateway = bridge(plc={"url": servers[0].address, "insecure": True, "jsonBody": True, "config": "nodes: [temp]\n# as it is\n",
                          "metadata": {"plant": "porto"}},
                     raw={"url": servers[1].address, "insecure": True, "config": {"a": [1]}})
    gateway.wait_running("generic.plc", "generic.raw", seconds=SOON)
    events = watcher.wait_events(3, SOON)
    by_body = {json.dumps(event["data"]["body"]): event for event in events}
    assert by_body['{"n": 1.1}']["data"]["metadata"] == {"plant": "porto"}
    assert by_body["7"]["type"] == "sluice.generic.event" and by_body["7"]["subject"] == "plc"
    assert json.dumps(base64.b64encode(b"\x00\xff").decode()) in by_body
    assert plc.calls[0][:2] == ("plc", b"nodes: [temp]\n# as it is\n")
    assert raw.calls[0][1] == b'{"a":[1]}'


def test_a_server_that_is_absent_or_goes_is_waited_for(bridge, watcher, serve, pb):
    """Absent at the start, there, gone in mid-stream, there again: nothing is restarted by hand, the status tells."""
    address = f"127.0.0.1:{free_port()}"
    gateway = bridge(plc={"url": address, "insecure": True, "jsonBody": True})
    wait_words(gateway, address, "Connection refused", "next attempt in")
    plc = Plc(pb, counting())
    server = serve(plc.add, address=address)
    gateway.wait_running("generic.plc", seconds=SOON)
    watcher.wait_events(5, SOON)
    server.stop()
    wait_words(gateway, address, "next attempt in")
    server.start()
    before = len(plc.calls)
    wait_for(lambda: len(plc.calls) > before, SOON, "another call")
    seen = len(watcher.events())
    watcher.wait_events(seen + 5, SOON)
    assert gateway.source("generic.plc")["restarts"] == 0
    numbers = [body["n"] for body in bodies(watcher)]
    assert len(numbers) == len(set(numbers))


def test_a_token_goes_with_each_call_and_rotates(bridge, gateway, watcher, serve, pb):
    """authSecret is sent as a bearer token; a server that refuses the old one gets the new one. It is in no log."""
    gateway.secret("plc", "token", "old-token-1234\n")
    wanted = ["Bearer new-token-5678"]

    def say(request, context):
        if dict(context.invocation_metadata()).get("authorization") not in wanted:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")
        yield b"{}"
        hold(context)

    plc = Plc(pb, say)
    server = serve(plc.add)
    bridge(plc={"url": server.address, "insecure": True, "jsonBody": True, "authSecret": {"name": "plc", "key": "token"}},
           lost={"url": server.address, "insecure": True, "authSecret": {"name": "nowhere", "key": "token"}})
    wait_words(gateway, "UNAUTHENTICATED", "who are you?")
    wait_words(gateway, "nowhere", key="generic.lost")
    gateway.secret("plc", "token", "new-token-5678\n")
    gateway.wait_running("generic.plc", seconds=SOON)
    watcher.wait_events(1, SOON)
    assert plc.calls[0][2]["authorization"] == "Bearer old-token-1234"
    assert not any("token-" in process.log.read_text() for process in gateway.processes.values())


# ---- TLS ----

def test_tls_is_done_right(bridge, watcher, serve, pb, tmp_path):
    """insecure: false means TLS that is verified; an authority of one's own, another name, and mutual TLS work."""
    authority(tmp_path, "ca")
    authority(tmp_path, "other")
    certificate(tmp_path, "plc", "ca", "IP:127.0.0.1")
    certificate(tmp_path, "named", "ca", "DNS:plc.factory")
    certificate(tmp_path, "client", "ca", "DNS:client")

    def say(request, context):
        yield json.dumps(request.name).encode()
        hold(context)

    plain = serve(Plc(pb, say).add, credentials=credentials(tmp_path, "plc"))
    named = serve(Plc(pb, say).add, credentials=credentials(tmp_path, "named"))
    mutual = serve(Plc(pb, say).add, credentials=credentials(tmp_path, "plc", "ca"))
    ca = {"caCertPath": str(tmp_path / "ca.pem")}
    client = {"clientCertPath": str(tmp_path / "client.pem"), "clientKeyPath": str(tmp_path / "client.key")}
    gateway = bridge(
        plain={"url": plain.address, "jsonBody": True, "tls": ca},
        named={"url": named.address, "jsonBody": True, "tls": {**ca, "serverName": "plc.factory"}},
        mutual={"url": mutual.address, "jsonBody": True, "tls": {**ca, **client}},
        foreign={"url": plain.address, "jsonBody": True, "tls": {"caCertPath": str(tmp_path / "other.pem")}},
        misnamed={"url": named.address, "jsonBody": True, "tls": ca},
        anonymous={"url": mutual.address, "jsonBody": True, "tls": ca},
        unverified={"url": plain.address, "jsonBody": True})
    gateway.wait_running("generic.plain", "generic.named", "generic.mutual", seconds=SOON)
    watcher.wait_events(3, SOON)
    for bad in ("foreign", "misnamed", "anonymous", "unverified"):
        wait_words(gateway, "UNAVAILABLE", "next attempt in", key=f"generic.{bad}")
    assert sorted(bodies(watcher)) == ["mutual", "named", "plain"]


def test_a_server_that_changes_its_certificate_is_followed(bridge, watcher, serve, pb, tmp_path):
    """The server comes back with a certificate of a new authority: words, until the file of authorities is replaced."""
    for name in ("ca", "new"):
        authority(tmp_path, name)
        certificate(tmp_path, f"plc-{name}", name, "IP:127.0.0.1")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes((tmp_path / "ca.pem").read_bytes())
    plc = Plc(pb, counting())
    server = serve(plc.add, credentials=credentials(tmp_path, "plc-ca"))
    gateway = bridge(plc={"url": server.address, "jsonBody": True, "tls": {"caCertPath": str(trusted)}})
    watcher.wait_events(2, SOON)
    server.stop()
    server.credentials = credentials(tmp_path, "plc-new")
    server.start()
    wait_words(gateway, "UNAVAILABLE", "next attempt in")
    trusted.write_bytes((tmp_path / "new.pem").read_bytes())
    seen = len(watcher.events())
    watcher.wait_events(seen + 2, 60)


# ---- servers that do it wrong ----

def test_bad_servers_are_told_apart_and_harm_nobody(bridge, watcher, serve, pb):
    """Foreign names, ends at once for ever, UNIMPLEMENTED, 100 MB, no JSON, garbage: each has its words; the good one goes on."""
    foreign = Plc(pb, lambda request, context: iter([pb.generic.Event(name="somebody-else", payload=b"1")]))
    ending = Plc(pb, lambda request, context: iter([]))
    failing = Plc(pb, lambda request, context: context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the belt stands still"))
    huge = Plc(pb, lambda request, context: iter([b"x" * (100 << 20)]))

    def not_json(request, context):
        yield b"{broken"
        hold(context)

    def nothing_for_ever(request, context):
        hold(context)
        return
        yield

    def garbage(server):
        def stream(request, context):
            yield b"\xff\xff\xff\xff"

        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("generic.Eventing", {
            "StartEventSource": grpc.unary_stream_rpc_method_handler(stream)}),))

    def nothing(server):
        pass

    good = Plc(pb, counting(every=0.1))
    silent = Plc(pb, nothing_for_ever)
    listener = socket.create_server(("127.0.0.1", 0))  # accepts, and never says a word
    big = [("grpc.max_send_message_length", -1)]
    servers = {"foreign": serve(foreign.add), "ending": serve(ending.add), "failing": serve(failing.add),
               "huge": serve(huge.add, options=big), "notjson": serve(Plc(pb, not_json).add), "garbage": serve(garbage),
               "nothing": serve(nothing), "good": serve(good.add), "silent": serve(silent.add)}
    sources = {name: {"url": server.address, "insecure": True, "jsonBody": True} for name, server in servers.items()}
    sources["mute"] = {"url": "127.0.0.1:%d" % listener.getsockname()[1], "insecure": True}
    began = time.monotonic()
    gateway = bridge(**sources)
    for name, words in {"foreign": "name of another event source", "ending": "ended the stream",
                        "failing": "the belt stands still", "huge": "RESOURCE_EXHAUSTED", "notjson": "not JSON",
                        "garbage": "not a generic.Event", "nothing": "does not implement generic.Eventing"}.items():
        wait_words(gateway, words, key=f"generic.{name}")
    wait_words(gateway, "next attempt in", key="generic.mute")
    assert gateway.source("generic.mute")["state"] == "starting"
    gateway.wait_running("generic.good", "generic.silent", "generic.notjson", seconds=SOON)
    seen = sum(event["subject"] == "good" for event in watcher.events())
    wait_for(lambda: sum(event["subject"] == "good" for event in watcher.events()) > seen + 5, SOON, "the good one")
    assert not {event["subject"] for event in watcher.events()} - {"good", "notjson"}
    took = time.monotonic() - began
    for plc in (foreign, ending, failing, huge):  # at the very least 50 ms, 100 ms, 200 ms, … lie between attempts
        assert len(plc.calls) <= 8 + took / 3
    listener.close()


@pytest.mark.once
def test_a_flood_is_held_at_the_server(bridge, watcher, serve, pb):
    """A server sends as fast as it can while the watcher is slow to be stored: memory stays bounded, nothing is lost."""
    sent = [0]

    def flood(request, context):
        for number in range(30_000):
            sent[0] = number + 1
            yield b'{"n": %d, "pad": "%s"}' % (number, b"x" * 1000)
        hold(context)

    server = serve(Plc(pb, flood).add)
    gateway = bridge(plc={"url": server.address, "insecure": True, "jsonBody": True})
    wait_for(lambda: (gateway.source("generic.plc") or {}).get("events", 0) >= 30_000, 120, "all to be stored")
    for process in gateway.processes.values():
        peak = next(int(line.split()[1]) for line in open(f"/proc/{process.pid}/status") if line.startswith("VmHWM"))
        assert peak < 400 << 10, f"{process.name} needed {peak} KiB"
    assert sent[0] == 30_000


def test_a_server_that_dies_within_a_message_is_called_again(bridge, watcher, serve, pb):
    """The connection is cut in the middle of a large message: words, another call, and no half event."""
    payload = json.dumps("y" * 3_000_000).encode()
    plc = Plc(pb, lambda request, context: iter([payload]))
    wire = Cutter(serve(plc.add).address, 1_000_000)
    gateway = bridge(plc={"url": wire.address, "insecure": True, "jsonBody": True})
    wait_words(gateway, "UNAVAILABLE", "next attempt in")
    assert watcher.events() == []
    wire.after = None
    watcher.wait_events(1, 60)
    assert bodies(watcher)[0] == "y" * 3_000_000
    wire.close()
