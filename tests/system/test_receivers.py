"""What the official SDKs understand of what we send: every attribute and every byte, in every mode.

Each case is one webhook request. It goes through the whole gateway to five watchers (Go: structured, binary, batch; Python:
structured, binary), and what each SDK says it got is held against what was sent."""

import dataclasses
import datetime
import json
import re
import urllib.parse

import pytest

from harness import Gateway, free_port, post, wait_for, webhook
from receivers import GoReceiver, PythonReceiver, percent_decoded

MODES = ("structured", "binary", "batch")
JSON = "application/json"
SOURCE = "/gateways/default/shop/webhook.in"
CALENDAR_PAYLOAD = {"job": "Nächte", "quoted": 'a "b" \\ c', "big": 12345678901234567890123, "list": [1, 2.5, None, True]}


@dataclasses.dataclass
class Case:
    name: str
    headers: dict
    body: bytes
    attributes: dict  # expected, but for a time that we give
    data: bytes = b""
    go_refuses: tuple = ()  # modes


def json_or_none(data):
    try:
        return json.loads(data.decode("utf-8"))
    except ValueError:
        return None


def raw(name, body=b"", content_type=None, understood=None, **more):
    """A plain request; its id is the name of the case. `understood`: the Content-Type that becomes of a bad one."""
    headers = {"X-Id": name, **({"Content-Type": content_type} if content_type else {})}
    attributes = {"specversion": "1.0", "id": name, "source": SOURCE, "type": "sluice.webhook.request", "subject": "in"}
    if body:  # our own events always say what their data is
        attributes["datacontenttype"] = understood or content_type or (JSON if json_or_none(body) is not None else "application/octet-stream")
    elif content_type:
        attributes["datacontenttype"] = content_type
    return Case(name, headers, body, attributes, body, **more)


def structured(name, member="", data=b"", **attributes):
    """A CloudEvent in JSON; `member` is the text of its data or data_base64."""
    attributes = {"specversion": "1.0", "id": name, "source": "/shop", "type": "com.example.sold", **attributes}
    head = json.dumps(attributes, ensure_ascii=False)[:-1]
    body = (f"{head}, {member}}}" if member else f"{head}}}").encode()
    return Case(name, {"Content-Type": "application/cloudevents+json"}, body, attributes, data)


def binary(name, data=b"", content_type=None, **attributes):
    """A CloudEvent in headers, percent-encoded as the HTTP binding says."""
    attributes = {"specversion": "1.0", "id": name, "source": "/shop", "type": "com.example.sold", **attributes}
    safe = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
    headers = {f"ce-{key}": urllib.parse.quote(value, safe=safe) for key, value in attributes.items()}
    if content_type:
        attributes["datacontenttype"] = headers["Content-Type"] = content_type
    return Case(name, headers, data, attributes, data)


BYTES = bytes(range(256))
TEXT = "Grüße, 世界 🌍: \"quoted\" \\ back\tslash, 100 % \u0000 nul\r\n".encode()
NUMBERS = (b'{"big":123456789012345678901234567890,"long":3.14159265358979323846264338327950288,"exponent":1E+300,'
           b'"tiny":-1.5e-300,"zero":-0,"trailing":1.100,"edge":9007199254740993,"min":-9223372036854775809}')
ESCAPES = rb'{"a":"\u00e9\ud83d\ude00\u0000\/\b\f\n\r\t\"\\","\u006bey":"\u2028","raw":"' + "é😀/\u2028".encode() + b'"}'
NASTY = 'ä"100%" \\ %41 ~!#$&\'()*+,/:;=?@[]^`{|}<> 世界 🌍'

CASES = [
    raw("json", b'{"sku":"A-1","count":3}', JSON),
    raw("json-blanks", b' \r\n{ "a" : [ 1 ,\t2 ] }\n ', JSON),
    raw("json-numbers", NUMBERS, JSON),
    raw("json-escapes", ESCAPES, JSON),
    raw("json-twice", b'{"a":1,"a":2,"":3}', JSON),
    raw("json-charset", '{"a":"ü"}'.encode(), "application/json; charset=utf-8"),
    raw("json-text", b'"a \\"text\\""', JSON),
    raw("json-number", b"-0.0e+10", JSON),
    raw("json-true", b"true", JSON),
    raw("json-empty", b"{}", JSON),
    raw("json-large", json.dumps({"rows": [{"n": n, "text": "Zeile ü " * 5} for n in range(9000)]}).encode(), JSON),
    raw("json-deep", b"[" * 60 + b"]" * 60, JSON),
    raw("json-broken", b'{"a":', JSON),
    raw("json-latin1", b'{"a":"\xfc"}', JSON),
    raw("json-bom", b'\xef\xbb\xbf{"a":1}', JSON),
    # JSON format 3.1.1: a subtype "+json" is JSON; this SDK knows application/json and text/json alone
    raw("json-suffix", b'{"a":[1.50]}', "application/vnd.acme.order+json; version=2", go_refuses=("structured", "batch")),
    raw("text", TEXT, "text/plain; charset=utf-8"),
    raw("text-said-nothing", "Grüße".encode(), "text/plain"),
    raw("text-quoted-charset", "Grüße".encode(), 'text/plain; charset="UTF-8"; format=flowed'),
    raw("text-latin1", "Grüße".encode("latin-1"), "text/plain; charset=iso-8859-1"),
    raw("text-utf16", "Grüße".encode("utf-16"), "text/plain; charset=utf-16"),
    raw("text-wrong", b"\xff\xfe\x80", "text/plain; charset=utf-8"),
    raw("text-json", b"[1, 2]", "text/plain"),
    raw("html", "<p>ü &amp; ä</p>".encode(), "text/html; charset=utf-8"),
    raw("xml", '<?xml version="1.0"?><a ü="1"/>'.encode(), "application/xml"),
    raw("form", b"a=1&b=%C3%BC+x", "application/x-www-form-urlencoded"),
    raw("multipart", b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n\x00\xff\r\n--x--\r\n",
        "multipart/form-data; boundary=x"),
    raw("bytes", BYTES, "application/octet-stream"),
    raw("bytes-one", b"\x00", "application/octet-stream"),
    raw("bytes-large", BYTES * 2048, "application/octet-stream"),
    raw("bytes-untyped", BYTES),
    raw("json-untyped", b'{"n":1.10}'),
    raw("text-untyped", "Grüße".encode()),
    raw("type-long", b"a", 'application/x-a.b+c; a=1 ; b = "x;\\"y"; c="Z"'),
    raw("type-semicolon", b"a", "text/plain;"),
    raw("type-word", b"a", "foo", understood="application/octet-stream"),
    raw("type-blank", b"a", "text / plain", understood="application/octet-stream"),
    raw("type-list", b"a", "text/plain, text/html", understood="application/octet-stream"),
    raw("type-open", b"a", "text/plain; charset", understood="text/plain"),
    raw("type-latin1", b"a", "text/plain; a=\xfc", understood="text/plain"),
    raw("type-slash", b"a", "text/x; boundary=a/b", understood="text/x"),
    raw("empty", b"", "text/plain"),
    raw("empty-json", b"", JSON),
    raw("empty-untyped"),
    structured("ce-least"),
    structured("ce-all", '"data": {"n": 1.10}', b'{"n": 1.10}', subject="orders/7", datacontenttype=JSON,
               dataschema="https://example.com/schemas/a%20b?v=1#x", time="2026-03-01T08:30:00.123456789Z"),
    structured("ce-zone", time="2026-03-01T08:30:00.5+05:30"),
    structured("ce-before-1970", time="1969-12-31T23:59:59.999999999Z"),
    structured("ce-extensions", flag=True, off=False, count=-7, zero=0, most=2147483647, least=-2147483648, word="Zürich",
               digits="0042", yes="true", url="https://x/?a=b%20c", stamp="2026-01-02T03:04:05Z", bytes="AQID",
               partitionkey="k/ü", traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", x9="9"),
    structured("ce-strings", nasty=NASTY, padded="  two blanks  ", quoted='"quoted"', percent="%", half="%4", null="null"),
    structured("ce-many", **{f"e{n}": f"wért {n}" for n in range(60)}),
    structured("ce-long", long="ü" * 2000, subject="s" * 4000),
    structured("ce-name-20", abcdefghij0123456789="x"),
    structured("ce-numbers", '"data": ' + NUMBERS.decode(), NUMBERS, datacontenttype=JSON),
    structured("ce-escapes", '"data": ' + ESCAPES.decode(), ESCAPES, datacontenttype=JSON),
    structured("ce-untyped", '"data": [1, {"a": 1e2}]', b'[1, {"a": 1e2}]'),
    structured("ce-text", '"data": ' + json.dumps(TEXT.decode()), TEXT, datacontenttype="text/plain"),
    structured("ce-json-text", '"data": "a \\u00fc"', b'"a \\u00fc"', datacontenttype=JSON),
    structured("ce-base64", '"data_base64": "AAEC/f7/"', b"\x00\x01\x02\xfd\xfe\xff", datacontenttype="image/png"),
    structured("ce-base64-json", '"data_base64": "eyJhIjogMX0="', b'{"a": 1}', datacontenttype=JSON),
    structured("ce-base64-untyped", '"data_base64": "AAEC"', b"\x00\x01\x02"),
    structured("ce-base64-text", '"data_base64": "R3LDvMOfZQ=="', "Grüße".encode(), datacontenttype="text/plain"),
    structured("ce-xml", '"data": "<a>\\u00fc</a>"', "<a>ü</a>".encode(), datacontenttype="application/xml"),
    structured("id " + NASTY, subject=NASTY, type="com.example." + NASTY),
    structured(" padded id ", subject=" padded "),
    structured("ce-source", source="https://u@shop.example:8443/a/%C3%BC;v=1/b%20c/%41%2F?q=%25&r=/?#frag-%7E"),
    structured("ce-ipv6", source="https://[2001:db8::7]:80"),
    structured("ce-urn", source="urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
    structured("ce-relative", source="a/../b/./c?d"),
    structured("ce-mail", source="mailto:cncf-wg-serverless@lists.cncf.io"),
    binary("bin-least"),
    binary("bin-all", b'{"a":1}', JSON, subject="orders/ü %", dataschema="urn:schema:order", time="2026-03-01T08:30:00Z",
           partitionkey="k 1", flag="true", count="7", word=NASTY),
    binary("bin-bytes", BYTES, "image/png", subject="100%"),
    binary("bin-text", TEXT, "text/plain; charset=utf-8"),
    binary("bin-untyped", BYTES),
    binary("bin-source", source="/s/%C3%BC?x=%2541&y='a'"),
    binary('bin " \\ id %', subject='"quoted"', word="ends with \\"),
]


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    receiver = GoReceiver(tmp_path_factory.mktemp("go"))
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def python():
    receivers = {mode: PythonReceiver() for mode in ("structured", "binary")}
    yield receivers
    for receiver in receivers.values():
        receiver.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, go, python):
    gateway = Gateway(tmp_path_factory.mktemp("gw"))
    for mode in MODES:
        gateway.watch(f"go-{mode}", f"{go.url}/{mode}", mode=mode, concurrency=1)
    for mode, receiver in python.items():
        gateway.watch(f"python-{mode}", receiver.url, mode=mode)
    gateway.hook = free_port()
    gateway.write_sources({
        "webhook.in": {**webhook(gateway.hook, "/in"), "idHeader": "X-Id", "maxPayloadSize": "3Mi"},
        "calendar.tick": {"interval": "1s", "userPayload": CALENDAR_PAYLOAD},
    })
    gateway.up()
    yield gateway
    gateway.down()


# ---- what was sent, as one SDK in one mode should say it ----


def instant(time):
    """Nanoseconds of an RFC 3339 text, or of a datetime."""
    if isinstance(time, datetime.datetime):
        return int((time - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)) / datetime.timedelta(microseconds=1)) * 1000
    seconds, fraction, zone = re.fullmatch(r"([^.Z+]+T[0-9:]{8})(?:\.(\d+))?(Z|[+-].*)", time).groups()
    whole = datetime.datetime.fromisoformat(seconds + zone.replace("Z", "+00:00"))
    return int(whole.timestamp()) * 10**9 + int((fraction or "0").ljust(9, "0"))


def is_json(media_type):
    return media_type is None or media_type.split(";")[0].endswith(("/json", "+json"))


def expected_attributes(case, mode):
    """Headers carry text alone, and have to say that data without a type is JSON."""
    attributes = {name: value for name, value in case.attributes.items() if name != "time"}
    if mode == "binary":
        attributes = {name: json.dumps(value) if isinstance(value, (bool, int)) else value for name, value in attributes.items()}
        if "datacontenttype" not in attributes and json_or_none(case.data) is not None:
            attributes["datacontenttype"] = JSON
    return attributes


def check_attributes(case, mode, attributes, python=False):
    """Python's SDK gives an event without a time one, and knows no nanoseconds."""
    attributes = dict(attributes)
    time = attributes.pop("time", None)
    expected = expected_attributes(case, mode)
    assert attributes == expected
    assert {name: type(value) for name, value in attributes.items()} == {name: type(value) for name, value in expected.items()}
    if case.attributes["type"].startswith("sluice."):
        assert abs(instant(time) - instant(datetime.datetime.now(datetime.timezone.utc))) < 300 * 10**9
    elif "time" in case.attributes:
        precision = 1000 if python else 1
        assert instant(time) // precision == instant(case.attributes["time"]) // precision
    else:
        assert time is None or python


def check_data_of_go(case, data):
    """Byte for byte; only the blanks around a JSON text are not part of it."""
    if is_json(case.attributes.get("datacontenttype")) and json_or_none(case.data) is not None:
        assert data.strip() == case.data.strip()
    else:
        assert data == case.data


def check_data_of_python(case, data):
    """This SDK gives JSON as what it says, and text where bytes can be text."""
    value = json_or_none(case.data)
    if is_json(case.attributes.get("datacontenttype")) and value is not None:
        assert data == value
    else:
        assert (data.encode() if isinstance(data, str) else data or b"") == case.data


def send(gateway, case):
    status, _, body = post(gateway.hook, "/in", case.body, case.headers)
    assert status == 200, body


def arrived(events, id):
    """`events()`: what was understood so far; returns the one with this id."""
    return lambda: next((event for event in events() if event.attributes["id"] == id), None)


def go_events(go, mode):
    def events():
        for event in go.events(f"/{mode}"):
            if mode == "binary":
                event.attributes = percent_decoded(event.attributes)
            yield event
    return events


def go_refused_until(case, mode):
    """How many cases of this mode the Go SDK refuses, up to this one."""
    return sum(mode in earlier.go_refuses for earlier in CASES[: CASES.index(case) + 1])


# ---- tests ----


@pytest.mark.parametrize("case", CASES, ids=[re.sub(r"[^\w-]+", "-", case.name)[:24] for case in CASES])
def test_every_sdk_understands_what_was_sent(gateway, go, python, case):
    """One request is posted; each SDK, in each mode, says the same attributes and data as were sent."""
    send(gateway, case)
    id = case.attributes["id"]

    for mode in MODES:
        if mode in case.go_refuses:
            wait_for(lambda: gateway.watcher(f"go-{mode}")["deadLetters"] == go_refused_until(case, mode), 10, f"refusal in mode {mode}")
            continue
        event = wait_for(arrived(go_events(go, mode), id), 10, lambda: f"{id} in mode {mode}; refused: {go.refusals()}")
        assert event.mode == mode
        check_attributes(case, mode, event.attributes)
        check_data_of_go(case, event.data)
    for mode, receiver in python.items():
        event = wait_for(arrived(receiver.understood, id), 10, f"{id} at Python in mode {mode}")
        assert event.mode == mode
        check_attributes(case, mode, event.attributes, python=True)
        check_data_of_python(case, event.data)


def test_calendar_ticks_are_understood(gateway, go):
    """Ticks come by themselves; the Go SDK sees the same one in all modes, with its payload's numbers as they were written."""
    tick = wait_for(lambda: next((event for event in go.events("/structured") if "calendar" in event.attributes["type"]), None))
    for mode in ("binary", "batch"):
        same = wait_for(arrived(go_events(go, mode), tick.attributes["id"]), 10, f"the tick in mode {mode}")
        assert same.attributes == tick.attributes
        assert same.data == tick.data
    assert tick.attributes["type"] == "sluice.calendar.tick"
    assert tick.attributes["source"] == "/gateways/default/shop/calendar.tick"
    assert json.loads(tick.data)["userPayload"] == CALENDAR_PAYLOAD


def test_a_batch_that_comes_in_goes_out_whole(gateway, go, python):
    """A batch of three kinds of events is posted; each arrives in each mode as if it had come alone."""
    cases = [structured("batched-1", '"data": {"a": 1.0}', b'{"a": 1.0}'),
             structured("batched-2", '"data_base64": "/w=="', b"\xff", datacontenttype="image/png", count=2),
             structured("batched-3", subject="Ü")]
    body = b"[" + b",".join(case.body for case in cases) + b"]"
    send(gateway, Case("batch", {"Content-Type": "application/cloudevents-batch+json"}, body, {}))

    for case in cases:
        for mode in MODES:
            event = wait_for(arrived(go_events(go, mode), case.name), 10, f"{case.name} in mode {mode}")
            check_attributes(case, mode, event.attributes)
            check_data_of_go(case, event.data)
        for mode, receiver in python.items():
            check_attributes(case, mode, wait_for(arrived(receiver.understood, case.name)).attributes, python=True)


def test_batches_of_many_events_are_understood(gateway, go):
    """The receiver is stopped while events gather, and goes on: they come in few requests, each event whole."""
    go.pause()
    cases = [raw(f"gathered-{n}", json.dumps({"n": n, "text": "ü" * n}).encode(), JSON) for n in range(40)]
    for case in cases:
        send(gateway, case)
    go.resume()

    for case in cases:
        event = wait_for(arrived(go_events(go, "batch"), case.name), 10, case.name)
        check_attributes(case, "batch", event.attributes)
        check_data_of_go(case, event.data)
    assert max(event.together for event in go.events("/batch")) > 10


def test_the_receiver_would_have_refused_what_is_wrong(go):
    """Requests that are no valid CloudEvents are sent to the Go SDK directly: it refuses them, so its silence means something."""
    port = int(go.url.rsplit(":", 1)[1])
    whole = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    for missing in whole:
        assert post(port, "/direct", b"", {name: value for name, value in whole.items() if name != missing})[0] == 400
    assert post(port, "/direct", b"", {**whole, "ce-time": "yesterday"})[0] == 400
    assert post(port, "/direct", b'{"specversion":"1.0","id":"1","type":"t"}', {"Content-Type": "application/cloudevents+json"})[0] == 400
    assert post(port, "/direct", b"", whole)[0] == 204


def test_nothing_else_was_refused(gateway, go):
    """After all that: only what this SDK is known not to read went to the dead letters."""
    known = sorted(f"/{mode}" for case in CASES for mode in case.go_refuses)
    assert sorted(path for path, _ in go.refusals() if path != "/direct") == known
    for name in [f"go-{mode}" for mode in MODES] + ["python-structured", "python-binary"]:
        assert gateway.watcher(name)["deadLetters"] == known.count(f"/{name.removeprefix('go-')}")
