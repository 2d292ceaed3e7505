"""Watchers that are down, slow, unwilling, many, of every mode; and what becomes of events that nobody wants."""

import base64
import datetime
import email.utils
import http.client
import json
import ssl
import subprocess
import threading
import time

import pytest

from harness import SLOW, Watcher, free_port, post, wait_for, webhook

SOON = {"initial": "20ms", "max": "200ms"}


@pytest.fixture
def port(gateway):
    port = free_port()
    gateway.write_sources({"webhook.orders": webhook(port)})
    return port


@pytest.fixture
def watchers():
    opened = []

    def make(*words, **options):
        opened.append(Watcher(*words, **options))
        return opened[-1]
    yield make
    for watcher in opened:
        watcher.close()


def up(gateway):
    return gateway.up(servers=["webhook"])


def send(port, *numbers):
    """Posts numbers; each must be accepted. One connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15 * SLOW)
    for number in numbers:
        connection.request("POST", "/orders", json.dumps({"n": number}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
    connection.close()


def numbers_of(watcher):
    return [event["data"]["n"] for event in watcher.events()]


def wait_numbers(watcher, numbers, seconds=10):
    wait_for(lambda: set(numbers_of(watcher)) >= set(numbers), seconds,
             lambda: f"{len(set(numbers))} numbers; missing {sorted(set(numbers) - set(numbers_of(watcher)))[:10]}")


def check_ids(watcher):
    """Every request, whatever its answer: an event has one id, an id one event."""
    pairs = {(event["id"], event["data"]["n"]) for request in watcher.requests for event in request.events()}
    assert len({one for one, _ in pairs}) == len(pairs) == len({other for _, other in pairs})


def edit(gateway, **watchers):
    """Changes options of watchers in the spec, by name; None removes the watcher."""
    http = gateway.spec["spec"]["watchers"]["http"]
    gateway.spec["spec"]["watchers"]["http"] = [{**watcher, **watchers.get(watcher["name"], {})} for watcher in http
                                                if watchers.get(watcher["name"], {}) is not None]
    gateway.write_spec()


# ---- down, slow, unwilling ----

def test_a_watcher_that_was_down_gets_everything_once_it_is_up(gateway, watcher, port):
    """The watcher's port refuses; requests are accepted all the same, status says why; the watcher comes, everything arrives."""
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    watcher.down()

    send(port, *range(60))
    state = wait_for(lambda: found if (found := gateway.watcher("orders"))["state"] == "failing" else None, 10, "failing")

    assert state["pending"] == 60 and state["delivered"] == 0
    assert str(watcher.port) in state["message"], state["message"]
    assert state["oldestPending"] is not None
    watcher.up()
    wait_numbers(watcher, range(60))
    check_ids(watcher)
    wait_for(lambda: (found := gateway.watcher("orders"))["state"] == "ok" and found["pending"] == 0, 5, "ok")
    assert sorted(numbers_of(watcher)) == list(range(60))
    assert gateway.watcher("orders")["message"] == ""


def test_a_watcher_that_is_down_is_not_hammered(gateway, watcher, port):
    """With 300 events waiting for a watcher that is down, attempts are a few probes, not 300 for every wait."""
    gateway.watch("orders", watcher.url, retry={"initial": "20ms", "max": "1s"})
    up(gateway)
    watcher.down()
    send(port, *range(300))
    wait_for(lambda: gateway.watcher("orders")["attempts"] > 20, 10, "attempts")

    before, began = gateway.watcher("orders")["attempts"], time.monotonic()
    time.sleep(2)  # a measure of attempts over time, not a wait for something
    rate = (gateway.watcher("orders")["attempts"] - before) / (time.monotonic() - began)

    assert rate < 120, f"{rate:.0f} attempts a second"
    watcher.up()
    wait_numbers(watcher, range(300), 15)


def test_a_slow_watcher_gets_no_more_requests_at_once_than_it_should(gateway, watcher, port):
    """Each answer takes 50 ms, concurrency is 4: never more than 4 requests at once, and everything arrives once."""
    at_once, most, lock = [0], [0], threading.Lock()

    def answer(request):
        with lock:
            at_once[0] += 1
            most[0] = max(most[0], at_once[0])
        time.sleep(0.05)  # the slowness
        with lock:
            at_once[0] -= 1
        return 202, {}
    watcher.answer = answer
    gateway.watch("orders", watcher.url, concurrency=4)
    up(gateway)

    send(port, *range(60))

    wait_numbers(watcher, range(60), 15)
    assert most[0] == 4
    assert sorted(numbers_of(watcher)) == list(range(60))


def test_a_watcher_that_does_not_answer_in_time_is_asked_again(gateway, watcher, port):
    """The first attempts hang for longer than the timeout; they are abandoned, status says so, and later ones succeed."""
    hanging = threading.Event()
    hanging.set()

    def answer(request):
        if hanging.is_set():
            time.sleep(1.5 * SLOW)
            return 500, {}
        return 204, {}
    watcher.answer = answer
    gateway.watch("orders", watcher.url, retry=SOON, timeout=f"{300 * SLOW}ms")
    up(gateway)

    send(port, 1, 2, 3)

    wait_for(lambda: "no answer" in gateway.watcher("orders")["message"], 5, lambda: str(gateway.watcher("orders")))
    hanging.clear()
    wait_numbers(watcher, [1, 2, 3])
    check_ids(watcher)
    assert gateway.watcher("orders")["failures"] >= 3


def test_an_answer_of_500_is_tried_again_with_the_same_id(gateway, watcher, port):
    """Each event is refused twice with 500, 502 or 503, then taken; its id is the same on every attempt."""
    seen = {}

    def answer(request):
        number = json.loads(request.body)["data"]["n"]
        seen[number] = seen.get(number, 0) + 1
        return ([500, 502, 503][number % 3], {}) if seen[number] < 3 else (204, {})
    watcher.answer = answer
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)

    send(port, *range(30))

    wait_numbers(watcher, range(30))
    check_ids(watcher)
    assert set(seen.values()) == {3}
    assert len(watcher.accepted()) == 30
    wait_for(lambda: gateway.watcher("orders")["state"] == "ok", 5, "ok")
    assert gateway.watcher("orders")["failures"] == 60
    assert gateway.watcher("orders")["deadLetters"] == 0


@pytest.mark.parametrize("status, form", [(429, "seconds"), (503, "date")])
def test_retry_after_is_honoured(gateway, watcher, port, status, form):
    """The watcher answers 429 (or 503) with Retry-After; nothing, not even another event, goes to it before that time."""
    told = []

    def answer(request):
        if told:
            return 204, {}
        until = time.time() + 2
        told.append(until if form == "seconds" else int(until))
        return status, {"Retry-After": "2" if form == "seconds" else email.utils.formatdate(int(until), usegmt=True)}
    watcher.answer = answer
    gateway.watch("orders", watcher.url, retry=SOON, concurrency=1)
    up(gateway)

    send(port, 0)
    wait_for(lambda: told, 5, "the first attempt")
    send(port, *range(1, 20))

    wait_numbers(watcher, range(20))
    early = [request.at - told[0] for request in watcher.accepted() if request.at < told[0] - 0.02]
    assert not early, f"attempts {early} s too early"
    check_ids(watcher)


# ---- dead letters ----

def test_dead_letters_are_kept_shown_replayed_and_dropped(gateway, watcher, port):
    """The watcher answers 400: dead letters at once. The command lists, shows, replays and drops them beside the client."""
    watcher.answer = lambda request: (400, {})
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    send(port, *range(4))
    wait_for(lambda: gateway.watcher("orders")["deadLetters"] == 4, 10, "four dead letters")
    assert len(watcher.requests) == 4
    assert gateway.watcher("orders")["pending"] == 0

    def letters(*words):
        return gateway.run("dead-letters", *words, "--state", gateway.state)
    listed = [json.loads(line) for line in letters("list", "--json").stdout.splitlines()]
    by_number = {letter["event"]["data"]["n"]: letter for letter in listed}
    assert sorted(by_number) == [0, 1, 2, 3]
    assert {letter["status"] for letter in listed} == {400} and {letter["attempts"] for letter in listed} == {1}
    assert {letter["watcher"] for letter in listed} == {"orders"} and all("400" in letter["reason"] for letter in listed)
    text = letters("list").stdout
    assert len(text.splitlines()) == 5 and all(letter["event"]["id"] in text for letter in listed)
    shown = json.loads(letters("show", by_number[2]["number"]).stdout)
    assert shown["event"]["data"] == {"n": 2} and shown["event"]["specversion"] == "1.0"

    dropped = letters("drop", by_number[3]["number"])
    assert dropped.returncode == 0 and dropped.stdout.startswith("1 dead letter dropped")
    wait_for(lambda: gateway.watcher("orders")["deadLetters"] == 3, 5, "the count to follow")

    watcher.answer = lambda request: (204, {})
    replayed = letters("replay", by_number[1]["number"])
    assert replayed.returncode == 0 and replayed.stdout.startswith("1 dead letter put back")
    assert [event["id"] for event in watcher.wait_events(1)] == [by_number[1]["event"]["id"]]
    assert letters("replay", "--all").returncode == 0
    wait_numbers(watcher, [0, 1, 2])
    check_ids(watcher)
    assert sorted(numbers_of(watcher)) == [0, 1, 2]
    wait_for(lambda: gateway.watcher("orders")["deadLetters"] == 0, 5, "none left")
    assert letters("list").stdout == "no dead letters\n"

    gone = letters("show", by_number[3]["number"])
    assert gone.returncode == 1 and "there is no dead letter" in gone.stderr
    assert letters("drop").returncode == 2


def test_a_replayed_letter_may_die_again(gateway, watcher, port):
    """A replay to a watcher that still refuses makes one dead letter again, not two, and not none."""
    watcher.answer = lambda request: (422, {})
    gateway.watch("orders", watcher.url, retry=SOON)
    up(gateway)
    send(port, 7)
    wait_for(lambda: gateway.watcher("orders")["deadLetters"] == 1, 10, "a dead letter")

    for attempts in (2, 3):
        assert gateway.run("dead-letters", "replay", "--all", "--state", gateway.state).returncode == 0
        wait_for(lambda: len(watcher.requests) == attempts and gateway.watcher("orders")["deadLetters"] == 1, 10, "it to die again")

    gateway.processes["client"].kill()
    gateway.client()
    wait_for(lambda: gateway.watcher("orders")["deadLetters"] == 1, 10, "it to be there after a kill")
    check_ids(watcher)


def test_attempts_and_deadline_end_in_a_dead_letter_or_a_drop(gateway, watchers, port):
    """After its attempts, or its deadline, a delivery is given up: kept, or dropped where deadLetter is false."""
    counted, timed, dropped = watchers(), watchers(), watchers()
    for watcher in (counted, timed, dropped):
        watcher.answer = lambda request: (500, {})
    gateway.watch("counted", counted.url, retry={**SOON, "attempts": 3})
    gateway.watch("timed", timed.url, retry={**SOON, "deadline": "700ms"})
    gateway.watch("dropped", dropped.url, retry={**SOON, "attempts": 2}, deadLetter=False)
    up(gateway)

    send(port, 1)

    wait_for(lambda: gateway.watcher("counted")["deadLetters"] == 1, 10, "attempts to end")
    wait_for(lambda: gateway.watcher("timed")["deadLetters"] == 1, 10, "the deadline")
    wait_for(lambda: gateway.watcher("dropped")["dropped"] == 1, 10, "the drop")
    assert len(counted.requests) == 3 and len(dropped.requests) == 2
    assert timed.requests[-1].at - timed.requests[0].at >= 0.65
    assert gateway.watcher("dropped")["deadLetters"] == 0
    reason = json.loads(gateway.run("dead-letters", "list", "--json", "--watcher", "timed", "--state", gateway.state).stdout)
    assert "given up after" in reason["reason"] and "500" in reason["reason"]


# ---- several watchers ----

def test_a_dead_and_a_hanging_watcher_do_not_disturb_a_third(gateway, watchers, port):
    """Of three watchers one refuses connections and one never answers; the third gets everything at once."""
    good, dead, hanging = watchers(), watchers(), watchers()
    ending = threading.Event()
    hanging.answer = lambda request: (ending.wait(60) and 503 or 503, {})
    dead.down()
    gateway.watch("good", good.url)
    gateway.watch("dead", dead.url, retry=SOON)
    gateway.watch("hanging", hanging.url, retry=SOON, timeout="20s")
    up(gateway)

    late = []
    for number in range(200):
        began = time.time()
        send(port, number)
        late.append((number, began))
    wait_numbers(good, range(200), 5)

    arrived = {event["data"]["n"]: request.at for request in good.accepted() for event in request.events()}
    delays = sorted(arrived[number] - began for number, began in late)
    assert delays[-1] < 10 * SLOW, delays[-5:]  # half of what the hanging one takes to time out
    assert sorted(numbers_of(good)) == list(range(200))
    assert gateway.watcher("good")["failures"] == 0
    assert gateway.watcher("dead")["pending"] == 200 and gateway.watcher("hanging")["pending"] == 200
    ending.set()
    hanging.answer = lambda request: (204, {})
    dead.up()
    wait_numbers(dead, range(200), 15)
    wait_numbers(hanging, range(200), 15)


def test_watchers_come_and_go_by_edits_of_the_spec(gateway, watchers, port):
    """A watcher is added, changed and removed in the spec of a running client; the other one and the source go on undisturbed."""
    first, second = watchers(), watchers()
    gateway.watch("first", first.url)
    up(gateway)
    send(port, 0)
    wait_numbers(first, [0])

    gateway.watch("second", second.url, retry=SOON)
    gateway.write_spec()
    wait_for(lambda: gateway.watcher("second"), 10, "the new watcher")
    send(port, 1)
    wait_numbers(second, [1])
    assert 0 not in numbers_of(second)  # it begins with what comes after it

    edit(gateway, second={"mode": "binary"})
    wait_for(lambda: gateway.watcher("second")["mode"] == "binary", 10, "the change")
    send(port, 2)
    wait_numbers(second, [1, 2])
    assert second.accepted()[-1].headers["ce-id"]

    second.down()
    send(port, 3)
    wait_for(lambda: gateway.watcher("second")["pending"] == 1, 5, "its backlog")
    edit(gateway, second=None)
    wait_for(lambda: gateway.watcher("second") is None, 10, "it to go")
    second.up()
    send(port, 4)
    wait_numbers(first, range(5))
    gateway.watch("second", second.url)
    gateway.write_spec()
    wait_for(lambda: gateway.watcher("second"), 10, "it to come back")
    send(port, 5)
    wait_numbers(second, [1, 2, 5])
    wait_numbers(first, range(6))
    wait_for(lambda: gateway.watcher("first")["delivered"] >= 6, 10, "the count of the first")

    assert sorted(numbers_of(second)) == [1, 2, 5]  # its backlog went with it
    assert sorted(numbers_of(first)) == list(range(6))
    assert gateway.watcher("first")["delivered"] == 6  # never opened again
    assert gateway.source("webhook.orders")["restarts"] == 0
    gateway.write_spec("spec: [this is not a gateway")
    wait_for(lambda: gateway.status()["configuration"]["problems"], 10, "the refusal")
    send(port, 6)
    wait_numbers(first, range(7))
    wait_numbers(second, [6])


def test_a_backlog_survives_a_change_of_the_url(gateway, watchers, port):
    """A watcher moves: its URL is edited while events wait for it; they go to the new one."""
    old, new = watchers(), watchers()
    old.down()
    gateway.watch("orders", old.url, retry=SOON)
    up(gateway)
    send(port, *range(30))
    wait_for(lambda: gateway.watcher("orders")["state"] == "failing", 5, "failing")

    edit(gateway, orders={"url": new.url})

    wait_numbers(new, range(30))
    assert sorted(numbers_of(new)) == list(range(30))


# ---- TLS ----

def openssl(directory, *words):
    subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)


def make_certificate(directory):
    """ca.pem, and server.pem with server.key that it signed, for 127.0.0.1."""
    openssl(directory, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=sluice test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(directory, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=watcher",
            "-keyout", "server.key", "-out", "server.csr")
    (directory / "extensions").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl(directory, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-extfile", "extensions", "-out", "server.pem")


def test_a_certificate_that_does_not_verify_is_said_and_heals_by_an_edit(gateway, watchers, port, tmp_path):
    """The watcher's certificate comes from an unknown authority: words in status, retried. caFile is edited in: all arrives."""
    make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    secure = watchers(tls=tls)
    gateway.watch("orders", secure.url, retry=SOON)
    up(gateway)

    send(port, *range(5))

    wait_for(lambda: "certificate" in gateway.watcher("orders")["message"], 10, lambda: str(gateway.watcher("orders")))
    before = gateway.watcher("orders")["attempts"]
    wait_for(lambda: gateway.watcher("orders")["attempts"] > before + 3, 10, "more attempts")
    assert not secure.requests
    edit(gateway, orders={"caFile": str(tmp_path / "nothing.pem")})
    wait_for(lambda: "nothing.pem" in gateway.watcher("orders")["message"], 10, lambda: str(gateway.watcher("orders")))
    edit(gateway, orders={"caFile": str(tmp_path / "ca.pem")})
    wait_numbers(secure, range(5))
    assert sorted(numbers_of(secure)) == list(range(5))


def test_a_ca_file_that_appears_later_is_taken_up_by_itself(gateway, watchers, port, tmp_path):
    """caFile names a file that is not there yet (a secret that is mounted late); when it comes, delivery begins, without an edit,
    and with what was accepted before."""
    make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    secure = watchers(tls=tls)
    gateway.watch("orders", secure.url, retry=SOON, caFile=str(tmp_path / "late.pem"))
    up(gateway)
    send(port, 1)
    wait_for(lambda: "late.pem" in gateway.watcher("orders")["message"], 10, lambda: str(gateway.watcher("orders")))

    (tmp_path / "ca.pem").rename(tmp_path / "late.pem")

    send(port, 2)
    wait_numbers(secure, [1, 2], 15)


# ---- modes ----

MODES = ["structured", "binary", "batch", "legacy", "legacy-0.3", "legacy-0.3-json"]


def test_all_modes_at_once(gateway, watchers, port):
    """The same request goes to a watcher of each mode; every field is as CloudEvents, or as Argo's gateways sent it."""
    by_mode = {mode: watchers() for mode in MODES}
    for mode, watcher in by_mode.items():
        gateway.watch(mode, watcher.url + "in", mode=mode)
    up(gateway)
    began = time.time()
    body = '{"sku": "A-1", "exact": 1.10, "big": 12345678901234567890}'

    assert post(port, "/orders", body.encode(), {"Content-Type": "application/json; charset=utf-8"})[0] == 200

    requests = {mode: wait_for(watcher.accepted, 10, mode)[0] for mode, watcher in by_mode.items()}
    assert all(request.path == "/in" for request in requests.values())
    kinds = {mode: request.headers.get("Content-Type") for mode, request in requests.items()}
    assert kinds == {"structured": "application/cloudevents+json; charset=utf-8",
                     "binary": "application/json; charset=utf-8",
                     "batch": "application/cloudevents-batch+json; charset=utf-8",
                     "legacy": "application/json", "legacy-0.3": "application/json", "legacy-0.3-json": None}

    event = json.loads(requests["structured"].body)
    assert set(event) == {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}
    assert event["specversion"] == "1.0" and event["type"] == "sluice.webhook.request" and event["subject"] == "orders"
    assert event["source"] == "/gateways/default/shop/webhook.orders" and event["id"]
    assert event["datacontenttype"] == "application/json; charset=utf-8"
    assert event["time"].endswith("Z")
    at = datetime.datetime.fromisoformat(event["time"][:26].rstrip("Z") + "+00:00").timestamp()
    assert began - 1 < at < time.time() + 1
    assert b'"exact": 1.10' in requests["structured"].body and b"12345678901234567890" in requests["structured"].body
    assert json.loads(requests["batch"].body) == [event]

    binary = requests["binary"]
    attributes = {name.lower(): value for name, value in binary.headers.items() if name.lower().startswith("ce-")}
    assert attributes == {f"ce-{name}": event[name] for name in ("specversion", "id", "source", "type", "subject", "time")}
    assert binary.body.decode() == body

    legacy = json.loads(requests["legacy"].body)
    assert list(legacy) == ["context", "payload"]
    assert base64.b64decode(legacy["payload"], validate=True).decode() == body
    context = legacy["context"]
    assert list(context) == ["eventType", "eventTypeVersion", "cloudEventsVersion", "source", "eventID", "eventTime", "schemaURL",
                             "contentType"]
    assert list(context["source"].items()) == [("scheme", ""), ("user", ""), ("password", ""), ("host", "shop:orders"), ("port", 0),
                                               ("path", ""), ("query", ""), ("fragment", "")]
    assert (context["eventType"], context["eventTypeVersion"], context["cloudEventsVersion"]) == ("webhook", "v0.10", "0.1")
    assert context["schemaURL"] is None and context["contentType"] == "application/json"
    assert context["eventID"] == event["id"]
    assert context["eventTime"][:26] == event["time"][:26].rstrip("Z").ljust(26, "0") and len(context["eventTime"]) == 27
    assert b": " not in requests["legacy"].body  # as Go writes it

    old = requests["legacy-0.3"]
    attributes = {name: value for name, value in old.headers.items() if name.lower().startswith("ce-")}
    assert {name: value for name, value in attributes.items() if name != "Ce-Time"} == {
        "Ce-Id": event["id"].encode().hex(), "Ce-Source": "shop", "Ce-Specversion": "0.3", "Ce-Subject": "orders",
        "Ce-Type": "webhook"}
    assert attributes["Ce-Time"].endswith("Z") and attributes["Ce-Time"][:20] == event["time"][:20]
    assert old.body.decode() == body

    last = json.loads(requests["legacy-0.3-json"].body)
    assert list(last) == sorted(last)
    assert last == {"data": json.loads(body), "datacontenttype": "application/json", "id": event["id"].encode().hex(),
                    "source": "shop", "specversion": "0.3", "subject": "orders", "time": attributes["Ce-Time"], "type": "webhook"}


def test_all_modes_carry_bytes_and_nothing(gateway, watchers, port):
    """Bytes that are no JSON, text, and an empty body arrive as they were in every mode that can carry them."""
    by_mode = {mode: watchers() for mode in MODES}
    for mode, watcher in by_mode.items():
        gateway.watch(mode, watcher.url, mode=mode, concurrency=1)
    up(gateway)
    noise = bytes(range(256))

    for count, (body, kind) in enumerate(((noise, "application/octet-stream"), ("Zürich ☂".encode(), "text/plain; charset=utf-8"),
                                          (b"", "application/json")), 1):
        assert post(port, "/orders", body, {"Content-Type": kind})[0] == 200
        for mode, watcher in by_mode.items():
            wait_for(lambda: len(watcher.accepted()) >= count, 10, mode)

    structured = [json.loads(request.body) for request in by_mode["structured"].accepted()]
    assert base64.b64decode(structured[0]["data_base64"]) == noise and "data" not in structured[0]
    assert structured[1]["data"] == "Zürich ☂" and "data_base64" not in structured[1]
    assert "data" not in structured[2] and "data_base64" not in structured[2]
    assert [json.loads(request.body) for request in by_mode["batch"].accepted()] == [[event] for event in structured]
    assert [request.body for request in by_mode["binary"].accepted()] == [noise, "Zürich ☂".encode(), b""]
    assert [request.headers["Content-Type"] for request in by_mode["binary"].accepted()][:2] == [
        "application/octet-stream", "text/plain; charset=utf-8"]
    payloads = [json.loads(request.body)["payload"] for request in by_mode["legacy"].accepted()]
    assert base64.b64decode(payloads[0]) == noise and payloads[2] is None
    encoded = base64.b64encode(noise).decode()
    assert json.loads(by_mode["legacy-0.3"].accepted()[0].body) == encoded
    assert json.loads(by_mode["legacy-0.3-json"].accepted()[0].body)["data"] == encoded


def test_a_batch_with_one_event_that_is_refused_delivers_the_others(gateway, watcher, port):
    """The watcher refuses any batch that holds number 7; the others arrive, 7 becomes the only dead letter."""
    watcher.answer = lambda request: (400 if any(event["data"]["n"] == 7 for event in request.events()) else 204, {})
    gateway.watch("orders", watcher.url, mode="batch", batchMax=50, retry=SOON)
    up(gateway)
    watcher.down()
    send(port, *range(40))
    wait_for(lambda: gateway.watcher("orders")["failures"] > 0, 5, "a failure")

    watcher.up()

    wait_numbers(watcher, set(range(40)) - {7}, 15)
    wait_for(lambda: gateway.watcher("orders")["deadLetters"] == 1, 10, "the dead letter")
    assert 7 not in numbers_of(watcher)
    assert max(len(request.events()) for request in watcher.requests) > 1
    check_ids(watcher)


# ---- the orderly end ----

def test_a_backlog_outlives_an_orderly_end(gateway, watcher, port):
    """The client is told to stop while events wait and requests are under way; started again, it delivers what is left."""
    watcher.answer = lambda request: (time.sleep(0.01) or 204, {})
    gateway.watch("orders", watcher.url, retry=SOON, concurrency=2)
    up(gateway)
    watcher.down()
    send(port, *range(200))
    watcher.up()
    wait_for(lambda: len(watcher.accepted()) > 20, 10, "some of them")

    began = time.monotonic()
    assert gateway.processes["client"].stop() == 0
    took = time.monotonic() - began
    delivered = len(watcher.accepted())
    status, headers, _ = post(port, "/orders")
    gateway.client()

    wait_numbers(watcher, range(200), 15)
    assert took < 5 * SLOW
    assert delivered < 200, "there was no backlog"
    assert status == 503 and int(headers["Retry-After"]) > 0
    check_ids(watcher)
    again = len(numbers_of(watcher)) - 200
    assert again == 0, f"{again} events came twice although the end was orderly"
