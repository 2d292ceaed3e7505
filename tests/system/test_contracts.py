"""The contracts, spoken with programs that are not ours: gateway-servers and gateway-clients in Python."""

import json
import queue
import threading
import time
import types

import grpc
import pytest
import yaml

from harness import SLOW, free_port, post, wait_for, webhook

SOON = 5

def use(gateway, **servers):
    """The gateway with these servers beside its own: type -> Server."""
    for kind, server in servers.items():
        gateway.spec["spec"]["servers"].append({"type": kind, "address": server.address})
    return gateway


# ---- our gateway-client with gateway-servers of others ----

def argo_server(pb, accepts, mismatch):
    """As Argo's: field 4 must be `accepts` (None: it was not there yet); emits what its configuration lists."""

    class Eventing(pb.argo.EventingServicer):
        asked, started = [], []

        def ValidateEventSource(self, request, context):
            self.asked.append(request.type)
            if accepts not in (request.type, None):
                return pb.argo.ValidEventSource(isValid=False, reason=mismatch.format(request.type))
            config = yaml.safe_load(request.value)
            if "events" not in config:
                return pb.argo.ValidEventSource(isValid=False, reason="failed to parse event source. err: no events")
            return pb.argo.ValidEventSource(isValid=True)

        def StartEventSource(self, request, context):
            self.started.append((request.id, request.name, request.type))
            for payload in yaml.safe_load(request.value)["events"]:
                yield pb.argo.Event(name=request.name, payload=payload.encode())
            stopped = threading.Event()
            context.add_callback(stopped.set)
            stopped.wait()

    service = Eventing()
    return service, lambda server: pb.argo.add_EventingServicer_to_server(service, server)


ERAS = {  # contract that is found out -> what a server of that year accepts in field 4, and says otherwise
    "argo-0.11": ("v0.10", "event source version mismatch. gateway expects v0.10 version, and provided version is {}"),
    "argo-0.16": ("odd", "event source is not type of odd"),
}


def test_a_source_that_comes_back_wrong_while_it_still_goes_is_cut_off(gateway, serve, pb):
    """The gateway-server does not listen to the half-close of a source that is removed. Before its time to go is over the source is
    there again, with a configuration that is refused: the old stream is not taken for a running one."""
    ended = threading.Event()

    class Eventing(pb.v1.EventingServicer):
        def Validate(self, request, context):
            return pb.v1.Validation(problems=[pb.v1.Problem(path="bad", message="it is bad")] * (b"bad" in request.config))

        def Stream(self, requests, context):
            gone = threading.Event()
            context.add_callback(gone.set)
            yield pb.v1.StreamResponse(started=pb.v1.Started())
            gone.wait()
            ended.set()

    use(gateway, deaf=serve(lambda server: pb.v1.add_EventingServicer_to_server(Eventing(), server))).write_spec()
    gateway.write_sources({"deaf.a": {"n": 1}})
    gateway.client()
    gateway.wait_running("deaf.a")
    gateway.write_sources({})
    wait_for(lambda: "sources=0" in gateway.processes["client"].text(), SOON, "the edit")
    gateway.write_sources({"deaf.a": {"bad": 1}})
    assert ended.wait(10 * SLOW)
    wait_for(lambda: gateway.source("deaf.a")["state"] == "invalid", SOON, lambda: gateway.source("deaf.a"))
    assert "it is bad" in gateway.source("deaf.a")["message"]


@pytest.mark.parametrize("said", ["auto", "as it is"])
@pytest.mark.parametrize("contract", ERAS)
def test_gateway_servers_of_argo(gateway, watcher, serve, pb, contract, said):
    """A gateway-server that speaks only gateways.Eventing as of its year: it is asked as it wants, whether its contract is found out
    or said; its words are shown."""
    service, add = argo_server(pb, *ERAS[contract])
    server = serve(add)
    use(gateway, odd=server).spec["spec"]["servers"][-1]["contract"] = "auto" if said == "auto" else contract
    gateway.watch("w", watcher.url).write_sources(
        {"odd.a": {"events": ['{"n": 1}', "text", ""]}, "odd.bad": {"nothing": 1}})
    gateway.write_spec()
    gateway.client()
    gateway.wait_running("odd.a")

    events = watcher.wait_events(3)
    data = [event.get("data") or b"" for event in events]  # in any order: deliveries run beside each other
    assert len(data) == 3 and {"n": 1} in data and b"text" in data and b"" in data
    assert {(event["type"], event["subject"]) for event in events} == {("sluice.odd", "a")}
    assert len({event["id"] for event in events}) == 3
    assert gateway.source("odd.a")["contract"] == contract
    assert set(service.asked) <= {"odd", "v0.10"}
    assert [(name, kind) for _, name, kind in service.started] == [("a", ERAS[contract][0])]
    assert service.started[0][0] == gateway.source("odd.a")["id"]
    wait_for(lambda: gateway.source("odd.bad")["state"] == "invalid", SOON, "the bad one to show")
    assert "failed to parse event source. err: no events" in gateway.source("odd.bad")["message"]

    server.stop()
    wait_for(lambda: gateway.source("odd.a")["state"] == "failing", SOON, "the loss to show")
    assert server.address in gateway.source("odd.a")["message"] or gateway.source("odd.a")["message"]
    server.start()
    gateway.wait_running("odd.a", seconds=15)


def test_gateway_servers_of_argo_before_field_4(gateway, watcher, serve, pb):
    """A gateway-server of v0.7, which had three fields: what is in the fourth does not matter to it."""
    service, add = argo_server(pb, None, "")
    use(gateway, odd=serve(add)).watch("w", watcher.url).write_sources({"odd.a": {"events": ['{"n": 1}']}})
    gateway.write_spec()
    gateway.client()
    gateway.wait_running("odd.a")
    assert watcher.wait_events(1)[0]["data"] == {"n": 1}
    assert [name for _, name, _ in service.started] == ["a"]


@pytest.mark.parametrize("contract", ERAS)
def test_an_event_of_argo_with_a_foreign_name(gateway, watcher, serve, pb, contract):
    """A server of Argo's contracts whose event names another source: refused in words, nothing of it is delivered; one without a name
    is taken for the stream's."""
    names = iter(["somebody-else", "a.b", ""])

    class Eventing(pb.argo.EventingServicer):
        def ValidateEventSource(self, request, context):
            return pb.argo.ValidEventSource(isValid=True)

        def StartEventSource(self, request, context):
            yield pb.argo.Event(name=next(names, ""), payload=b"1")
            stay(context)

    server = serve(lambda server: pb.argo.add_EventingServicer_to_server(Eventing(), server))
    use(gateway, odd=server).spec["spec"]["servers"][-1]["contract"] = contract
    gateway.watch("w", watcher.url).write_sources({"odd.a": {}})
    gateway.write_spec()
    gateway.client()
    for name in ("somebody-else", "a.b"):
        wait_for(lambda: f'the name "{name}" on the stream of "a"' in gateway.processes["client"].text().replace('\\"', '"'), 15,
                 f"words about {name}")
    gateway.wait_running("odd.a", seconds=15)
    assert [event["subject"] for event in watcher.wait_events(1)] == ["a"]
    assert gateway.source("odd.a")["restarts"] == 2


def test_a_generic_gateway_server(gateway, watcher, serve, pb):
    """A gateway-server that speaks only generic.Eventing: started with its configuration as it was written."""

    class Eventing(pb.generic.EventingServicer):
        configs = []

        def StartEventSource(self, request, context):
            self.configs.append((request.name, request.config.decode()))
            yield pb.generic.Event(name=request.name, payload=b'{"n": 1}')
            stopped = threading.Event()
            context.add_callback(stopped.set)
            stopped.wait()

    service = Eventing()
    server = serve(lambda server: pb.generic.add_EventingServicer_to_server(service, server))
    use(gateway, odd=server).watch("w", watcher.url).write_sources({"odd.a": "# as written\nx:   1\n"})
    gateway.write_spec()
    gateway.client()
    gateway.wait_running("odd.a")
    assert watcher.wait_events(1)[0]["data"] == {"n": 1}
    assert gateway.source("odd.a")["contract"] == "generic"
    assert [(name, config.strip()) for name, config in service.configs] == [("a", "# as written\nx:   1")]


class Counting:
    """A gateway.v1 gateway-server that counts from its position, some numbers at a time, and now and then gives up."""

    def __init__(self, pb, total, natural, fails_after=None):
        self.pb, self.total, self.natural, self.fails_after = pb, total, natural, fails_after
        self.starts, self.faults = [], []

    def add(self, server):
        counting, pb = self, self.pb

        class Eventing(pb.v1.EventingServicer):
            def Validate(self, request, context):
                return pb.v1.Validation()

            def Stream(self, requests, context):
                yield from counting.stream(requests, context)

        pb.v1.add_EventingServicer_to_server(Eventing(), server)

    def read(self, requests, state):
        try:
            for request in requests:
                acknowledged = request.acknowledged.sequence
                if not state["acknowledged"] < acknowledged <= state["sent"]:
                    self.faults.append((state["acknowledged"], acknowledged, state["sent"]))
                state["acknowledged"] = acknowledged
        except grpc.RpcError:
            pass

    def stream(self, requests, context):
        v1 = self.pb.v1
        start = next(requests).start
        number = begin = int(start.position or b"0")
        state = {"acknowledged": 0, "sent": 0}
        self.starts.append((begin, state))
        threading.Thread(target=self.read, args=(requests, state), daemon=True).start()
        yield v1.StreamResponse(started=v1.Started())
        while context.is_active():
            batch = []
            for _ in range(min(7, self.total - number)):
                number += 1
                state["sent"] += 1
                batch.append(v1.Event(sequence=state["sent"], id=f"n{number}" if self.natural else "", type="count",
                                      data=json.dumps({"n": number}).encode(), position=str(number).encode()))
            if batch:
                yield v1.StreamResponse(events=v1.Events(events=batch))
            if self.fails_after and number - begin >= self.fails_after and number < self.total:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the broker is gone")
            time.sleep(0.005)


@pytest.mark.parametrize("natural", [True, False], ids=["with ids", "without ids"])
def test_positions_are_kept_and_resumed_from(gateway, watcher, serve, pb, natural):
    """Events carry positions; the stream breaks, the client is killed, the server restarts: nothing is lost, nothing doubled."""
    total = 1500
    counting = Counting(pb, total, natural, fails_after=400)
    server = serve(counting.add)
    use(gateway, odd=server).watch("w", watcher.url).write_sources({"odd.a": {}})
    gateway.write_spec()
    gateway.client()
    watcher.wait_events(300)
    gateway.processes["client"].kill()
    gateway.client()
    watcher.wait_events(600, 20)
    server.stop()
    server.start()

    wait_for(lambda: len({event["data"]["n"] for event in watcher.events()}) == total, 30, "every number to arrive")
    wait_for(lambda: counting.starts[-1][1]["acknowledged"] == counting.starts[-1][1]["sent"], SOON, "the last acknowledgement")
    numbers = [event["data"]["n"] for event in watcher.events()]
    assert set(numbers) == set(range(1, total + 1))
    # a delivery under way when the client was killed is repeated, with the same id; nothing else is
    ids = {}
    for event in watcher.events():
        ids.setdefault(event["data"]["n"], set()).add(event["id"])
    assert all(len(found) == 1 for found in ids.values())
    assert counting.faults == []
    begins = [begin for begin, _ in counting.starts]
    assert begins[0] == 0 and begins == sorted(begins) and len(begins) >= 4
    for (begin, state), (after, _) in zip(counting.starts, counting.starts[1:]):
        assert begin + state["acknowledged"] <= after <= begin + state["sent"]
    assert "the broker is gone" in gateway.processes["client"].text()


# ---- nonsense ----

def varint(number):
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def raw_server(validate, stream):
    """gateway.v1.Eventing whose answers are bytes. Counts the attempts."""
    counts = {"validate": 0, "stream": 0}

    def on_validate(request, context):
        counts["validate"] += 1
        return validate(context)

    def on_stream(requests, context):
        counts["stream"] += 1
        next(requests)
        yield from stream(context)

    handler = grpc.method_handlers_generic_handler("gateway.v1.Eventing", {
        "Validate": grpc.unary_unary_rpc_method_handler(on_validate),
        "Stream": grpc.stream_stream_rpc_method_handler(on_stream)})
    return counts, lambda server: server.add_generic_rpc_handlers((handler,))


def stay(context):
    stopped = threading.Event()
    context.add_callback(stopped.set)
    stopped.wait()


def fine(context):
    return b""


def nonsense(pb):
    """name -> (validate, stream, words of the status)."""
    v1 = pb.v1
    started = v1.StreamResponse(started=v1.Started()).SerializeToString()

    def say(*messages, then=stay):
        def stream(context):
            yield started
            yield from messages
            then(context)
        return stream

    def events(*rows):
        return v1.StreamResponse(events=v1.Events(events=rows)).SerializeToString()

    def never(context):
        stay(context)
        return b""

    def abort(code, words):
        return lambda context: context.abort(code, words)

    def at_once(then):
        def stream(context):
            then(context)
            yield b""
        return stream

    bad_utf8 = field(3, field(1, b"\x08\x01" + field(2, b"id\xff\xfe")))
    return {
        "garbage-answer": (lambda context: b"\xff\xff\xff garbage", say(), "nonsense"),
        "garbage": (fine, say(b"\xff\xff\xff garbage"), "StreamResponse"),
        "empty": (fine, say(b"", b"", b""), None),
        "gap": (fine, say(events(v1.Event(sequence=1), v1.Event(sequence=3))), "event 3 after event 1"),
        "from-five": (fine, say(events(v1.Event(sequence=5))), "event 5 after event 0"),
        "again": (fine, say(events(v1.Event(sequence=1)), events(v1.Event(sequence=1))), "event 1 after event 1"),
        "utf8": (fine, say(bad_utf8), "UTF-8"),
        "line-break": (fine, say(events(v1.Event(sequence=1, id="a\nb"))), "id"),
        "extension": (fine, say(events(v1.Event(sequence=1, extensions=[v1.Extension(name="Not Allowed", value="x")]))), "a-z and 0-9"),
        "huge": (fine, say(events(v1.Event(sequence=1, data=b"x" * (5 << 20)))), "larger than max"),
        "ends": (fine, lambda context: iter(()), "ended the stream"),
        "closes": (fine, say(then=lambda context: None), "ended the stream"),
        "refuses": (fine, at_once(abort(grpc.StatusCode.INVALID_ARGUMENT, "topic is missing")), "topic is missing"),
        "unwell": (fine, at_once(abort(grpc.StatusCode.INTERNAL, "")), "INTERNAL"),
        "words": (fine, at_once(abort(grpc.StatusCode.UNAVAILABLE, "w" * 3000)), "wwww"),
        "problem": (lambda context: field(1, field(1, b"p\xff") + field(3, b"bad \xc3\x28 words")), say(), "bad "),
        "notice": (fine, say(field(2, b"\x08\x01" + field(2, b"no \xff utf"))), None),
        "refuses-validation": (abort(grpc.StatusCode.PERMISSION_DENIED, "who are you"), say(), "who are you"),
        "never-started": (fine, lambda context: iter(stay(context) or []), "not said"),
        "never-answers": (never, say(), "eadline"),
    }


def test_servers_that_talk_nonsense_harm_nobody(gateway, watcher, serve, pb):
    """Twenty gateway-servers, each wrong in its own way: each is shown in words and asked again in measure; others are unharmed."""
    port = free_port()
    cases, counts = nonsense(pb), {}
    sources = {"calendar.good": {"interval": "100ms"}, "webhook.good": webhook(port, "/good")}
    for name, (validate, stream, _) in cases.items():
        counts[name], add = raw_server(validate, stream)
        use(gateway, **{name: serve(add, options=[("grpc.max_send_message_length", -1)])})
        sources[f"{name}.x"] = {}
    gateway.watch("w", watcher.url).write_sources(sources)
    gateway.write_spec()
    gateway.server("calendar")
    gateway.server("webhook")
    gateway.client()
    gateway.wait_running("calendar.good", "webhook.good")
    began, used = time.monotonic(), gateway.metric("process_cpu_seconds_total")

    seen = {}

    def all_told():
        for source in gateway.status()["sources"]:
            seen.setdefault(source["type"], set()).add(source["message"])
        return all(any(words in message for message in seen.get(name, ())) for name, (_, _, words) in cases.items() if words)

    wait_for(all_told, 15, lambda: {name: (words, seen.get(name)) for name, (_, _, words) in cases.items()
                                    if words and not any(words in message for message in seen.get(name, ()))})
    assert post(port, "/good")[0] == 200
    watcher.wait_events(20)
    passed = time.monotonic() - began
    for name, count in counts.items():
        # 0.2 s doubling to 5 s, with jitter: never more than a few a second, whatever it says
        assert sum(count.values()) <= 2 * (12 + passed), (name, count)
    cpu = (gateway.metric("process_cpu_seconds_total") - used) / passed
    assert cpu < 0.4 * SLOW, f"the client used {cpu:.0%} of a processor"
    for key in ("calendar.good", "webhook.good"):
        assert gateway.source(key)["state"] == "running" and gateway.source(key)["restarts"] == 0
    for name in ("empty", "notice"):
        assert gateway.source(f"{name}.x")["state"] == "running"
    assert "utf" in gateway.source("notice.x")["notice"]
    gateway.get("/metrics")[1].encode()


def test_a_server_that_hangs_up(gateway, serve, pb):
    """An address where connections are taken and closed, and one where nothing is ever said: words, and no busy loop."""
    import socket
    silent = socket.create_server(("127.0.0.1", 0))
    rude = socket.create_server(("127.0.0.1", 0))
    taken = []

    def hang_up():
        while True:
            try:
                connection, _ = rude.accept()
            except OSError:
                return
            taken.append(time.monotonic())
            connection.close()

    threading.Thread(target=hang_up, daemon=True).start()
    use(gateway, silent=types.SimpleNamespace(address=f"127.0.0.1:{silent.getsockname()[1]}"),
        rude=types.SimpleNamespace(address=f"127.0.0.1:{rude.getsockname()[1]}"))
    gateway.write_sources({"silent.a": {}, "rude.a": {}, "calendar.a": {"interval": "1h"}})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    gateway.wait_running("calendar.a")
    for key in ("silent.a", "rude.a"):
        source = wait_for(lambda: (found := gateway.source(key))["state"] == "failing" and found, 12, f"{key} to fail")
        assert "127.0.0.1:" in source["message"], source
    assert len(taken) < 40
    silent.close()
    rude.close()


# ---- gateway-clients of others with our gateway-servers ----

@pytest.fixture
def channels(gateway):
    """Both of our gateway-servers, and channels to them."""
    opened = {}
    for kind in ("calendar", "webhook"):
        gateway.server(kind)
        opened[kind] = grpc.insecure_channel(f"unix:{gateway.directory}/{kind}.sock")
    yield types.SimpleNamespace(**opened)
    for channel in opened.values():
        channel.close()


@pytest.mark.parametrize("field4", ["v0.10", "type", ""], ids=["v0.11", "v0.16", "v0.7"])
def test_gateway_clients_of_argo(channels, pb, field4):
    """Argo's gateway-clients of three eras: validation in words, and events as theirs were."""
    port = free_port()
    for kind, config in (("calendar", b"interval: 100ms\nuserPayload: {a: 1}\n"), ("webhook", yaml.safe_dump(webhook(port)).encode())):
        stub = pb.argo.EventingStub(getattr(channels, kind))
        version = kind if field4 == "type" else field4
        good = pb.argo.EventSource(id="1", name="a", value=config, type=version)
        answer = stub.ValidateEventSource(good, timeout=10)
        assert answer.isValid and answer.reason == ""
        answer = stub.ValidateEventSource(pb.argo.EventSource(id="1", name="b", value=b"port: x\nintervall: 5\n", type=version), timeout=10)
        assert not answer.isValid and ("interval" in answer.reason or "port" in answer.reason)
        if field4 == "type":
            other = stub.ValidateEventSource(pb.argo.EventSource(id="1", name="a", value=config, type="resource"), timeout=10)
            assert not other.isValid and "resource" in other.reason
        stream = stub.StartEventSource(good, timeout=20)
        if kind == "calendar":
            events = [next(stream) for _ in range(3)]
            assert all(event.name == "a" for event in events)
            payloads = [json.loads(event.payload) for event in events]
            assert all(payload["userPayload"] == {"a": 1} and payload["eventTime"] for payload in payloads)
        else:
            wait_for(lambda: post(port, "/orders", b"any bytes \xff")[0] == 200, SOON, "the endpoint")
            assert next(stream).payload == b"any bytes \xff"
        stream.cancel()


def test_a_generic_gateway_client(channels, pb):
    """generic.Eventing against our servers: started without validation; a bad configuration ends the stream in words."""
    stub = pb.generic.EventingStub(channels.calendar)
    stream = stub.StartEventSource(pb.generic.EventSource(name="a", config=b"interval: 50ms\n"), timeout=10)
    assert [next(stream).name for _ in range(3)] == ["a"] * 3
    stream.cancel()
    with pytest.raises(grpc.RpcError) as refused:
        next(stub.StartEventSource(pb.generic.EventSource(name="a", config=b"interval: soon\n"), timeout=10))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "soon" in refused.value.details()


class Stream:
    """A gateway.v1 stream of a Python client."""

    def __init__(self, pb, channel, kind, name, config, position=b""):
        self.v1, self.requests = pb.v1, queue.Queue()
        source = pb.v1.EventSource(id="1", gateway="g", namespace="n", type=kind, name=name, config=config, position=position)
        self.requests.put(pb.v1.StreamRequest(start=source))
        self.call = pb.v1.EventingStub(channel).Stream(iter(self.requests.get, None), timeout=30 * SLOW)

    def next(self):
        return next(self.call)

    def acknowledge(self, sequence):
        self.requests.put(self.v1.StreamRequest(acknowledged=self.v1.Acknowledgement(sequence=sequence)))

    def half_close(self):
        self.requests.put(None)

    def end(self):
        """How it ended: (code, words)."""
        try:
            for _ in self.call:
                pass
        except grpc.RpcError:
            pass
        return self.call.code(), self.call.details()


def test_a_gateway_client_of_our_own_contract(channels, pb):
    """gateway.v1 against our servers: description, problems with their places, started, events, acknowledgements, endings."""
    v1, port = pb.v1, free_port()
    for kind in ("calendar", "webhook"):
        stub = v1.EventingStub(getattr(channels, kind))
        description = stub.Describe(v1.DescribeRequest(), timeout=10)
        assert description.type == kind and description.version and description.summary
        schema = json.loads(description.config_schema)
        assert schema["type"] == "object" and "2020-12" in schema["$schema"]
        assert {"calendar": "interval", "webhook": "endpoint"}[kind] in schema["properties"]
        problems = stub.Validate(v1.EventSource(type=kind, name="a", config=b"\nfoo: 1\nbar: [\n"), timeout=10).problems
        assert problems and problems[0].line > 0
        problems = stub.Validate(v1.EventSource(type=kind, name="a", config=b"foo: 1\nbar: 2\n"), timeout=10).problems
        assert {(problem.path, problem.line) for problem in problems} >= {("foo", 1), ("bar", 2)}

    config = yaml.safe_dump(webhook(port, "/a", ackTimeout="400ms")).encode()
    stream = Stream(pb, channels.webhook, "webhook", "a", config)
    assert stream.next().HasField("started")
    answers = queue.Queue()
    threading.Thread(target=lambda: answers.put(post(port, "/a")[0]), daemon=True).start()
    event = stream.next().events.events[0]
    assert event.sequence == 1 and event.data == b"{}" and event.data_content_type == "application/json"
    assert answers.get(timeout=10 * SLOW) == 503  # not acknowledged in time
    threading.Thread(target=lambda: answers.put(post(port, "/a")[0]), daemon=True).start()
    assert stream.next().events.events[0].sequence == 2
    stream.acknowledge(2)
    assert answers.get(timeout=10 * SLOW) == 200

    # a second stream for the same source replaces the first
    newer = Stream(pb, channels.webhook, "webhook", "a", config)
    assert newer.next().HasField("started")
    assert stream.end()[0] == grpc.StatusCode.ABORTED
    newer.half_close()
    assert newer.end()[0] == grpc.StatusCode.OK
    wait_for(lambda: post(port, "/a")[0] == 0, SOON, "the port of the withdrawn source to close")


def test_a_window_that_is_not_acknowledged_pauses_the_source(channels, pb):
    """Nothing is acknowledged: after a window of events the webhook answers 503 with Retry-After; after acknowledgement 200."""
    port = free_port()
    stream = Stream(pb, channels.webhook, "webhook", "w", yaml.safe_dump(webhook(port, "/w", ackTimeout="50ms")).encode())
    assert stream.next().HasField("started")
    batch = json.dumps([{"specversion": "1.0", "id": str(n), "source": "/s", "type": "t"} for n in range(1024)])
    assert post(port, "/w", batch, {"Content-Type": "application/cloudevents-batch+json"})[0] == 503
    last = 0
    while last < 1024:
        last = stream.next().events.events[-1].sequence
    status, headers, body = wait_for(lambda: (answer := post(port, "/w"))[0] == 503 and b"too many" in answer[2] and answer, SOON, "503")
    assert headers["Retry-After"] == "1" and json.loads(body)["detail"]
    stream.acknowledge(last)

    def accepted():
        done = []
        thread = threading.Thread(target=lambda: done.append(post(port, "/w")[0]))
        thread.start()
        while thread.is_alive():
            thread.join(0.005)
        return done[0] in (200, 503) and not_paused()

    def not_paused():
        return b"too many" not in post(port, "/w")[2]

    wait_for(accepted, SOON, "the source to go on")
    stream.call.cancel()


BROKEN = {
    "acknowledged before the start": "first request",
    "started twice": "started once",
    "acknowledged what was never sent": "never sent",
    "garbage": "StreamRequest",
}


@pytest.mark.parametrize("way", BROKEN)
def test_clients_that_talk_nonsense(channels, pb, way):
    """A client that breaks the contract is told so in words; the server goes on."""
    v1 = pb.v1
    start = v1.StreamRequest(start=v1.EventSource(gateway="g", namespace="n", type="calendar", name="a", config=b"interval: 1h"))
    acknowledged = v1.StreamRequest(acknowledged=v1.Acknowledgement(sequence=7))
    messages = {"acknowledged before the start": [acknowledged], "started twice": [start, start],
                "acknowledged what was never sent": [start, acknowledged], "garbage": [start, b"\xff\xff\xff"]}[way]
    waiting = queue.Queue()
    for message in messages:
        waiting.put(message if isinstance(message, bytes) else message.SerializeToString())
    call = channels.calendar.stream_stream("/gateway.v1.Eventing/Stream")(iter(waiting.get, None), timeout=10 * SLOW)
    with pytest.raises(grpc.RpcError) as refused:
        for _ in call:
            pass
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert BROKEN[way] in refused.value.details()
    waiting.put(None)
    assert v1.EventingStub(channels.calendar).Describe(v1.DescribeRequest(), timeout=10).type == "calendar"


def test_unknown_methods_and_garbage_are_answered_at_once(channels, pb):
    """An unknown service or method is UNIMPLEMENTED at once, garbage INVALID_ARGUMENT; neither waits for a deadline."""
    for path in ("/gateway.v1.Eventing/Nothing", "/some.Other/Method", "/gateways.Eventing/", "/"):
        began = time.monotonic()
        with pytest.raises(grpc.RpcError) as refused:
            channels.webhook.unary_unary(path)(b"", timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED, (path, refused.value)
        assert time.monotonic() - began < 8 * SLOW
    for path in ("/gateway.v1.Eventing/Validate", "/gateways.Eventing/ValidateEventSource", "/grpc.health.v1.Health/Check"):
        with pytest.raises(grpc.RpcError) as refused:
            channels.webhook.unary_unary(path)(b"\xff\xff\xff", timeout=10)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, path


def test_health(gateway, channels, pb):
    """Check and Watch: serving, unknown services, and not serving while it ends."""
    stub, health = pb.health.HealthStub(channels.calendar), pb.health
    serving = health.HealthCheckResponse.SERVING
    for service in ("", "gateway.v1.Eventing", "gateways.Eventing", "generic.Eventing"):
        assert stub.Check(health.HealthCheckRequest(service=service), timeout=10).status == serving
    with pytest.raises(grpc.RpcError) as unknown:
        stub.Check(health.HealthCheckRequest(service="nothing"), timeout=10)
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND
    strange = stub.Watch(health.HealthCheckRequest(service="nothing"), timeout=10)
    assert next(strange).status == health.HealthCheckResponse.SERVICE_UNKNOWN
    strange.cancel()
    watch = stub.Watch(health.HealthCheckRequest(), timeout=30)
    assert next(watch).status == serving
    assert gateway.processes["calendar"].stop() == 0
    assert next(watch).status == health.HealthCheckResponse.NOT_SERVING


def test_many_streams_of_one_client(channels, pb):
    """300 streams over one connection: all start, all tick, all end; the server's descriptors do not grow with them."""
    streams = [Stream(pb, channels.calendar, "calendar", f"n{n}", b"interval: 1s\n") for n in range(300)]
    for stream in streams:
        assert stream.next().HasField("started")
    for stream in streams:
        assert stream.next().events.events[0].sequence == 1
        stream.half_close()
    for stream in streams:
        assert stream.end()[0] == grpc.StatusCode.OK
