"""Watchers over gRPC: gateway.v1.Sink, written in Python, well (examples/sinks/python-sqlite) and badly."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time

import grpc
import pytest

from harness import free_port, post, wait_for, webhook

SOON = 30
ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def stubs(pb):
    return pb.sink


@pytest.fixture(scope="module")
def example_stubs(tmp_path_factory):
    """The folder of the generated modules, as the README of the example makes them."""
    folder = tmp_path_factory.mktemp("sink-stubs")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "proto", f"--python_out={folder}",
                    f"--grpc_python_out={folder}", "gateway/v1/eventing.proto", "gateway/v1/sink.proto"], check=True)
    return folder


class Sink:
    """A sink that says what `answer(put)` says: an outcome, or (outcome, more fields), or None: nothing."""

    def __init__(self, stubs, answer=None):
        self.stubs, self.answer = stubs, answer or (lambda put: stubs.PutAnswer.STORED)
        self.opened, self.puts, self.metadata = [], [], []
        self.address = f"127.0.0.1:{free_port()}"
        self.up()

    def up(self):
        sink = self

        class Servicer(self.stubs.SinkServicer):
            def Put(self, requests, context):
                sink.metadata.append(dict(context.invocation_metadata()))
                for request in requests:
                    if request.HasField("open"):
                        sink.opened.append(request.open)
                        continue
                    said = sink.answer(request.put)
                    if said is None:
                        continue
                    outcome, more = said if isinstance(said, tuple) else (said, {})
                    sink.puts.append((request.put, outcome))
                    yield sink.stubs.PutAnswer(number=request.put.number, outcome=outcome, **more)

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8), options=[("grpc.so_reuseport", 0)])
        self.stubs.add_SinkServicer_to_server(Servicer(), self.server)
        self.server.add_insecure_port(self.address)
        self.server.start()

    def down(self):
        self.server.stop(0).wait()

    def stored(self):
        return [event for put, outcome in list(self.puts) if outcome == self.stubs.PutAnswer.STORED for event in put.events]

    def numbers(self):
        return [json.loads(event.data)["n"] for event in self.stored()]


@pytest.fixture
def sinks(stubs):
    opened = []

    def start(answer=None):
        opened.append(Sink(stubs, answer))
        return opened[-1]

    yield start
    for sink in opened:
        sink.down()


@pytest.fixture
def up(gateway):
    """Puts the gateway up with a webhook source and these watchers; gives the port of the webhook."""

    def start(*watchers):
        port = free_port()
        gateway.spec["spec"]["watchers"]["grpc"] = [{"retry": {"initial": "50ms", "max": "500ms"}, **each} for each in watchers]
        gateway.sources = {"webhook.orders": webhook(port, idHeader="X-Id", extensions={"order": "header:X-Order"})}
        gateway.up(("webhook",))
        return port

    return start


def send(port, *numbers, **headers):
    for number in numbers:
        status = post(port, "/orders", json.dumps({"n": number}), {"Content-Type": "application/json", **headers})[0]
        assert status == 200


def wait_numbers(sink, numbers, seconds=SOON):
    wait_for(lambda: set(numbers) <= set(sink.numbers()), seconds,
             lambda: f"numbers at the sink: {len(set(numbers) - set(sink.numbers()))} are missing")


def test_a_sink_gets_whole_cloudevents(gateway, sinks, up):
    """Attributes, extensions and bytes arrive as they are; metadata and the token with the call."""
    sink = sinks()
    gateway.secret("sink", "token", "abc")
    port = up({"name": "archive", "address": sink.address, "metadata": {"x-shop": "7"}, "bearer": {"name": "sink", "key": "token"}})
    send(port, 1, **{"X-Id": "first", "X-Order": "A-1"})
    post(port, "/orders", b"\x00\xff", {"Content-Type": "image/png"})
    wait_for(lambda: len(sink.stored()) == 2, SOON, "both")
    first, second = sorted(sink.stored(), key=lambda event: event.sequence)
    assert (first.id, first.type, first.subject) == ("first", "sluice.webhook.request", "orders")
    assert first.source and first.time_ns > 1_700_000_000 * 10**9 and first.data == b'{"n": 1}'
    assert first.data_content_type == "application/json"
    assert [(extension.name, extension.value) for extension in first.extensions] == [("order", "A-1")]
    assert second.data == b"\x00\xff" and second.data_content_type == "image/png" and second.id
    assert (sink.opened[0].gateway, sink.opened[0].namespace, sink.opened[0].watcher) == ("shop", "default", "archive")
    assert sink.metadata[0]["x-shop"] == "7" and sink.metadata[0]["authorization"] == "Bearer abc"
    watcher = gateway.watcher("archive")
    assert watcher["url"] == f"grpc://{sink.address}" and watcher["mode"] == "grpc"
    wait_for(lambda: gateway.watcher("archive")["delivered"] == 2, SOON, "the count")


def test_outcomes_are_acted_upon(gateway, sinks, up, stubs):
    """TRY_AGAIN comes again, after retry_after_ms; of a REFUSED put only the bad event becomes a dead letter, with its reason."""
    answer, asked = stubs.PutAnswer, []

    def say(put):
        numbers = [json.loads(event.data)["n"] for event in put.events]
        asked.append((time.monotonic(), numbers))
        if 13 in numbers:
            return answer.REFUSED, {"reason": "thirteen is not stored here"}
        if numbers == [1] and len(asked) == 1:
            return answer.TRY_AGAIN, {"reason": "the disk is full", "retry_after_ms": 700}
        return answer.STORED

    sink = sinks(say)
    port = up({"name": "archive", "address": sink.address, "concurrency": 1})
    send(port, 1)
    wait_numbers(sink, [1])
    assert asked[1][0] - asked[0][0] >= 0.65
    sink.down()
    send(port, *range(10, 20))
    wait_for(lambda: gateway.watcher("archive")["pending"] == 10, SOON, "a backlog")
    sink.up()
    wait_numbers(sink, set(range(10, 20)) - {13})
    wait_for(lambda: gateway.watcher("archive")["deadLetters"] == 1, SOON, "the dead letter")
    letter = json.loads(gateway.run("dead-letters", "list", "--json", "--state", gateway.state).stdout)
    assert "thirteen is not stored here" in letter["reason"] and letter["status"] == 422
    assert sorted(sink.numbers()) == sorted({1, *range(10, 20)} - {13})


def test_sinks_that_cannot_be_used_are_told_apart(gateway, sinks, up, stubs):
    """Absent, not implementing Sink, refusing the call, never answering: words; nothing is lost; they heal."""
    absent = f"127.0.0.1:{free_port()}"
    bare = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=2))
    bare_port = bare.add_insecure_port("127.0.0.1:0")
    bare.start()
    silent = sinks(lambda put: None)
    mute = socket.create_server(("127.0.0.1", 0))
    good = sinks()
    port = up({"name": "absent", "address": absent}, {"name": "bare", "address": f"127.0.0.1:{bare_port}"},
              {"name": "silent", "address": silent.address, "timeout": "300ms"},
              {"name": "mute", "address": "127.0.0.1:%d" % mute.getsockname()[1], "timeout": "300ms"},
              {"name": "tokenless", "address": good.address, "bearer": {"name": "nowhere", "key": "token"}},
              {"name": "good", "address": good.address})
    send(port, *range(20))
    wait_numbers(good, range(20))
    for name, words in {"absent": "refused", "bare": "does not implement gateway.v1.Sink/Put", "silent": "no answer within 300ms",
                        "mute": "no answer within 300ms", "tokenless": "nowhere"}.items():
        wait_for(lambda: words in json.dumps(gateway.watcher(name)), SOON, lambda: f"{words}: {gateway.watcher(name)}")
        assert gateway.watcher(name)["pending"] == 20 and gateway.watcher(name)["delivered"] == 0
    silent.answer = lambda put: stubs.PutAnswer.STORED
    gateway.secret("nowhere", "token", "here now")
    wait_numbers(silent, range(20))
    wait_for(lambda: gateway.watcher("tokenless")["pending"] == 0, SOON, "the one without a token")
    bare.stop(0)
    mute.close()


def test_nonsense_from_a_sink_harms_nobody(gateway, sinks, up, stubs):
    """Answers to puts that never were, answers twice, garbage: the call goes on or is made again, every event is stored."""
    calls = []

    def stream(requests, context):
        calls.append(context)
        stored = stubs.PutAnswer.STORED
        for request in iter(requests):
            request = stubs.PutRequest.FromString(request)
            if not request.HasField("put"):
                continue
            if len(calls) == 1:
                yield b"\xff\xff\xff"
            for number in (0, request.put.number + 1_000_000, request.put.number, request.put.number):
                yield stubs.PutAnswer(number=number, outcome=stored).SerializeToString()
            seen.extend(json.loads(event.data)["n"] for event in request.put.events)

    seen = []
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("gateway.v1.Sink", {
        "Put": grpc.stream_stream_rpc_method_handler(stream)}),))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    port = up({"name": "archive", "address": address})
    send(port, *range(50))
    wait_for(lambda: set(range(50)) <= set(seen), SOON, "all")
    wait_for(lambda: gateway.watcher("archive")["pending"] == 0, SOON, "all to be settled")
    assert gateway.watcher("archive")["delivered"] == 50 and gateway.watcher("archive")["deadLetters"] == 0
    server.stop(0)


@pytest.mark.once
def test_the_example_has_every_event_once_through_kills(gateway, up, example_stubs, tmp_path):
    """kill -9 of the sink and of the client while events come: SQLite holds each accepted one, exactly once."""
    port_of_sink, database = free_port(), tmp_path / "events.db"
    environment = {"PYTHONPATH": str(example_stubs)}

    def sink():
        return gateway.start("sink", sys.executable, ROOT / "examples/sinks/python-sqlite/sink.py", "--listen",
                             f"127.0.0.1:{port_of_sink}", "--database", database, environment=environment)

    sink()
    port = up({"name": "archive", "address": f"127.0.0.1:{port_of_sink}", "timeout": "5s"})
    accepted, ending, numbers = [], threading.Event(), iter(range(10**9))
    lock = threading.Lock()

    def sender():
        while not ending.is_set():
            with lock:
                number = next(numbers)
            if post(port, "/orders", json.dumps({"n": number}))[0] == 200:
                accepted.append(number)
            time.sleep(0.005)

    senders = [threading.Thread(target=sender, daemon=True) for _ in range(4)]
    for each in senders:
        each.start()
    chance = random.Random(os.environ.get("SEED", "sink"))
    for turn in range(12):
        time.sleep(chance.uniform(0.1, 0.8))  # the random moment
        if turn % 3 == 2:
            gateway.processes["client"].kill()
            gateway.client()
        else:
            gateway.processes["sink"].kill()
            sink()
    ending.set()
    for each in senders:
        each.join(60)

    def stored():
        with sqlite3.connect(database, timeout=30) as connection, contextlib.suppress(sqlite3.OperationalError):
            return [json.loads(data)["n"] for data, in connection.execute("SELECT data FROM events")]
        return []  # killed before it had made its table

    wait_for(lambda: database.exists() and set(accepted) <= set(stored()), 60, "all that was accepted")
    assert len(accepted) > 100
    numbers_stored = stored()
    assert len(numbers_stored) == len(set(numbers_stored))
    wait_for(lambda: gateway.watcher("archive")["pending"] == 0, SOON, "nothing to be left")
