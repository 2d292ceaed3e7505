"""Users' own gateway-servers, asked by gateway-client itself, in the oldest contract and in the newest: each is wrong in its own
way; each has its words in the status, costs little, and harms no other."""

import contextlib
import json
import signal
import socket
import threading
import time

import grpc
import pytest

from contracts import Cutter, authority, certificate, credentials
from harness import SLOW, free_port, wait_for

SOON = 30
BIG = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
CONTRACTS = ["generic", "gateway.v1"]


class Plc:
    """A user's server of either contract. `say(name, context)` yields payloads; in generic.Eventing also (name, payload)."""

    def __init__(self, pb, contract, say):
        self.pb, self.contract, self.say, self.starts = pb, contract, say, []

    def add(self, server):
        plc, pb = self, self.pb

        class Generic(pb.generic.EventingServicer):
            def StartEventSource(self, request, context):
                plc.starts.append(time.monotonic())
                for said in plc.say(request.name, context):
                    name, payload = said if isinstance(said, tuple) else (request.name, said)
                    yield pb.generic.Event(name=name, payload=payload)

        class Newest(pb.v1.EventingServicer):
            def Validate(self, request, context):
                return pb.v1.Validation()

            def Stream(self, requests, context):
                plc.starts.append(time.monotonic())
                name = next(requests).start.name
                threading.Thread(target=self.read, args=(requests,), daemon=True).start()
                yield pb.v1.StreamResponse(started=pb.v1.Started())
                for sequence, payload in enumerate(plc.say(name, context), 1):
                    yield pb.v1.StreamResponse(events=pb.v1.Events(events=[pb.v1.Event(sequence=sequence, data=payload)]))

            @staticmethod
            def read(requests):
                with contextlib.suppress(grpc.RpcError):
                    for _ in requests:
                        pass

        if self.contract == "generic":
            pb.generic.add_EventingServicer_to_server(Generic(), server)
        else:
            pb.v1.add_EventingServicer_to_server(Newest(), server)


def hold(context):
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()


def counting(every=0.05):
    """Payloads {"n": 0}, {"n": 1}, … for as long as the call holds; one count over all calls."""
    numbers = iter(range(1_000_000))

    def say(name, context):
        while context.is_active():
            yield b'{"n": %d}' % next(numbers)
            time.sleep(every)

    return say


def start(gateway, watcher, contract, **servers):
    """A gateway with these servers (or addresses), each with one event source: <type>.plc."""
    rows = [server if isinstance(server, dict) else {"address": server if isinstance(server, str) else server.address}
            for server in servers.values()]
    gateway.spec["spec"]["servers"] = [{"type": kind, "contract": contract, **row} for kind, row in zip(servers, rows)]
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources({f"{kind}.plc": {"x": 1} for kind in servers})
    gateway.client()


def wait_words(gateway, kind, *words):
    """The status says this at some moment: what fails is soon tried again, and then says less."""
    wait_for(lambda: all(word in json.dumps(gateway.source(f"{kind}.plc"), ensure_ascii=False) for word in words), SOON,
             lambda: f"{words} in {json.dumps(gateway.source(f'{kind}.plc'))}")


def peak_kib(process):
    return next(int(line.split()[1]) for line in open(f"/proc/{process.pid}/status") if line.startswith("VmHWM"))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_bad_servers_are_told_apart_and_harm_nobody(gateway, watcher, serve, pb, contract):
    """Foreign names, ends at once for ever, errors, 100 MB, garbage, silence, nothing implemented: each has its words, is asked
    again in measure, and costs neither memory nor processor; the good one goes on."""

    def silent(name, context):
        hold(context)
        yield from ()

    def endless(name, context):
        while context.is_active():
            yield b"x" * (100 << 20)

    def garbage(server):
        def stream(request, context):
            yield b"\xff\xff\xff\xff"

        package, method = ("generic", "StartEventSource") if contract == "generic" else ("gateway.v1", "Stream")
        kind = grpc.unary_stream_rpc_method_handler if contract == "generic" else grpc.stream_stream_rpc_method_handler
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{package}.Eventing", {
            method: kind(stream), "Validate": grpc.unary_unary_rpc_method_handler(lambda request, context: b"")}),))

    def failing(name, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "the belt stands still")

    says = {"foreign": lambda name, context: iter([("somebody-else", b"1")]), "ending": lambda name, context: iter([]),
            "failing": failing, "huge": endless, "silent": silent, "good": counting(0.1)}
    if contract != "generic":
        del says["foreign"]  # gateway.v1 has no name to get wrong
    plcs = {kind: Plc(pb, contract, say) for kind, say in says.items()}
    listener = socket.create_server(("127.0.0.1", 0))  # accepts, and never says a word
    servers = {kind: serve(plc.add, options=BIG) for kind, plc in plcs.items()}
    servers |= {"garbage": serve(garbage), "nothing": serve(lambda server: None),
                "mute": f"127.0.0.1:{listener.getsockname()[1]}"}
    began = time.monotonic()
    start(gateway, watcher, contract, **servers)

    words = {"ending": "ended the stream", "failing": "the belt stands still", "huge": "larger than max",
             "garbage": "sent what is not a", "nothing": f"does not speak {contract}", "mute": "127.0.0.1:"}
    if contract == "generic":
        words["foreign"] = "somebody-else"
    for kind, told in words.items():
        wait_words(gateway, kind, told, '"failing"')
    gateway.wait_running("good.plc", "silent.plc", seconds=SOON)
    used, measured = gateway.metric("process_cpu_seconds_total"), time.monotonic()
    seen = len(watcher.events())
    watcher.wait_events(seen + 20, SOON)

    assert {event["subject"] for event in watcher.events()} == {"plc"}
    assert {event["type"] for event in watcher.events()} == {"sluice.good"}
    assert gateway.source("good.plc")["restarts"] == 0
    assert "source=mute.plc state=running" not in gateway.processes["client"].text()
    took = time.monotonic() - began
    for kind in set(words) & set(plcs):  # 0.2 s doubling to 5 s, with jitter
        assert 1 < len(plcs[kind].starts) <= 10 + took, (kind, len(plcs[kind].starts), took)
    cpu = (gateway.metric("process_cpu_seconds_total") - used) / (time.monotonic() - measured)
    assert cpu < 0.4 * SLOW, f"the client used {cpu:.0%} of a processor"
    if SLOW == 1:
        assert peak_kib(gateway.processes["client"]) < 200 << 10
    listener.close()


def test_a_server_that_speaks_no_contract_is_told_so(gateway, watcher, serve):
    """contract: auto, and a gRPC server that knows none of them: the status names what it should speak."""
    start(gateway, watcher, "auto", nothing=serve(lambda server: None))
    wait_words(gateway, "nothing", "speaks none of gateway.v1, gateways.Eventing, generic.Eventing")


@pytest.mark.parametrize("contract", CONTRACTS)
@pytest.mark.once
def test_a_flood_is_held_at_the_server(gateway, watcher, serve, pb, contract):
    """A server sends as fast as it can, in the newest contract without minding its window: memory stays bounded, nothing is lost."""
    total = 30_000

    def flood(name, context):
        for number in range(total):
            yield b'{"n": %d, "pad": "%s"}' % (number, b"x" * 1000)
        hold(context)

    server = serve(Plc(pb, contract, flood).add)
    start(gateway, watcher, contract, flood=server)
    wait_for(lambda: (gateway.source("flood.plc") or {}).get("events", 0) >= total, 120, "all to be stored")
    assert gateway.source("flood.plc")["events"] == total and gateway.source("flood.plc")["restarts"] == 0
    if SLOW == 1:
        assert peak_kib(gateway.processes["client"]) < 400 << 10


def test_asked_twice_the_client_ends_at_once_in_the_midst_of_a_flood(gateway, watcher, serve, pb):
    """Thirty streams send as fast as they can, and their server does not mind that it was asked to end: no harm is done."""
    def flood(name, context):
        while context.is_active():
            yield b'{"n": 1}'

    server = serve(Plc(pb, "gateway.v1", flood).add, workers=64)
    gateway.spec["spec"]["servers"] = [{"type": "plc", "contract": "gateway.v1", "address": server.address}]
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources({f"plc.p{number}": {"x": 1} for number in range(30)})
    for _ in range(5):
        client = gateway.client()
        before = len(watcher.requests)
        wait_for(lambda: len(watcher.requests) > before + 100, 60, "the flood")
        client.process.send_signal(signal.SIGTERM)
        assert client.stop(30) == 0


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_server_that_dies_within_a_message_is_called_again(gateway, watcher, serve, pb, contract):
    """The connection is cut in the middle of a large message: words, another call, and no half event."""
    payload = json.dumps("y" * 3_000_000).encode()

    def large(name, context):
        yield payload
        hold(context)

    wire = Cutter(serve(Plc(pb, contract, large).add).address, 1_000_000)
    start(gateway, watcher, contract, plc=wire.address)
    wait_words(gateway, "plc", '"failing"')
    wait_for(lambda: gateway.source("plc.plc")["restarts"] >= 2, SOON, "another attempt")
    assert watcher.events() == []
    wire.after = None
    assert watcher.wait_events(1, SOON)[0]["data"] == "y" * 3_000_000
    wire.close()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_server_that_changes_its_certificate_is_followed(gateway, watcher, serve, pb, contract, tmp_path):
    """The server comes back with a certificate of a new authority: words, until the file of authorities is replaced."""
    for name in ("ca", "new"):
        authority(tmp_path, name)
        certificate(tmp_path, f"plc-{name}", name, "IP:127.0.0.1")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes((tmp_path / "ca.pem").read_bytes())
    server = serve(Plc(pb, contract, counting()).add, credentials=credentials(tmp_path, "plc-ca"))
    start(gateway, watcher, contract, plc={"address": server.address, "tls": {"caFile": str(trusted)}})
    watcher.wait_events(2, SOON)
    server.stop()
    server.credentials = credentials(tmp_path, "plc-new")
    server.start()
    wait_words(gateway, "plc", '"failing"', server.address)
    seen = len(watcher.events())
    trusted.write_bytes((tmp_path / "new.pem").read_bytes())
    watcher.wait_events(seen + 2, SOON)
    numbers = [event["data"]["n"] for event in watcher.events()]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_server_that_is_absent_or_goes_is_waited_for(gateway, watcher, serve, pb, contract):
    """Absent at the start, there, gone in mid-stream, there again: nothing is done by hand, the status tells."""
    address = f"127.0.0.1:{free_port()}"
    start(gateway, watcher, contract, plc=address)
    wait_words(gateway, "plc", '"failing"', "refused")
    server = serve(Plc(pb, contract, counting()).add, address=address)
    gateway.wait_running("plc.plc", seconds=SOON)
    watcher.wait_events(5, SOON)
    server.stop()
    wait_words(gateway, "plc", '"failing"')
    server.start()
    seen = len(watcher.events())
    watcher.wait_events(seen + 5, SOON)
    numbers = [event["data"]["n"] for event in watcher.events()]
    assert len(numbers) == len(set(numbers))
