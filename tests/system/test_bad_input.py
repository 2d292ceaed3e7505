"""Bad input of every kind: one clear message each, and no harm to anything else."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import os
import socket
import ssl
import subprocess
import time

import pytest

from harness import SLOW, Gateway, Watcher, free_port, post, program, wait_for, webhook

SOON = 5


# ---- configurations ----

# key -> (configuration, path that is named, words of the message)
BAD_SOURCES = {
    "calendar.not-yaml": ("interval: 1h\n  x: [", "", "not YAML"),
    "calendar.list": ("- interval\n", "", "expected a mapping"),
    "calendar.text": ("just words\n", "", "expected a mapping"),
    "calendar.empty": ("", "", "empty"),
    "calendar.type": ("interval: {a: 1}\n", "interval", "mapping"),
    "calendar.field": ("scheduel: '* * * * *'\n", "scheduel", 'did you mean "schedule"'),
    "calendar.nothing": ("timezone: UTC\n", "", "interval"),
    "calendar.cron": ("schedule: 0 24 * * *\n", "schedule", "24"),
    "calendar.cron-short": ("schedule: '* * *'\n", "schedule", "field"),
    "calendar.zone": ("schedule: 0 0 * * *\ntimezone: Mars/Phobos\n", "timezone", "Mars/Phobos"),
    "calendar.duration": ("interval: ten minutes\n", "interval", "ten minutes"),
    "calendar.negative": ("interval: -5s\n", "interval", "-5s"),
    "webhook.port": ("port: \"99999\"\nendpoint: /a\nmethod: POST\n", "port", "65535"),
    "webhook.port-word": ("port: http\nendpoint: /a\nmethod: POST\n", "port", "http"),
    "webhook.missing": ("method: POST\n", "endpoint", "endpoint"),
    "webhook.method": ("port: \"1\"\nendpoint: /a\nmethod: PSOT\n", "method", "POST"),
    "webhook.endpoint": ("port: \"1\"\nendpoint: /a/{x\nmethod: POST\n", "endpoint", "{x"),
    "webhook.certificate": ("port: \"1\"\nendpoint: /a\nserverCertPath: /nowhere/c.pem\nserverKeyPath: /nowhere/k.pem\n",
                            "serverCertPath", "/nowhere/c.pem"),
    "webhook.secret": ("port: \"1\"\nendpoint: /a\nauth: {bearer: token}\n", "auth.bearer", "name"),
    "webhok.typo": ("port: \"1\"\nendpoint: /a\n", "", 'did you mean "webhook.typo"'),
}


def manifest_lines(text):
    return {line.strip().split(":")[0]: number for number, line in enumerate(text.splitlines(), 1)
            if line.startswith("  ") and not line.startswith("    ")}


def literal(value):
    """A key's value as people write it: a block of text below it."""
    return "|-\n" + "".join(f"    {line}\n" for line in value.splitlines()) if value else '""\n'


def manifest(sources):
    return ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: shop-events}\ndata:\n" +
            "".join(f"  {key}: {literal(value)}" for key, value in sources.items()))


def test_check_reports_every_fault_at_once(gateway):
    """One file with every kind of bad source, and good ones: check names file, line, key and path of each, and ends with 3."""
    good = {"calendar.good": "interval: 1h\n", "webhook.good": f"port: \"{free_port()}\"\nendpoint: /good\n"}
    text = manifest({**{key: row[0] for key, row in BAD_SOURCES.items()}, **good})
    gateway.write_spec()
    gateway.write_sources(text=text)
    gateway.server("calendar")
    gateway.server("webhook")

    done = gateway.run("check", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file)

    assert done.returncode == 3, done.stdout + done.stderr
    starts = manifest_lines(text)
    ends = {key: min([number for number in starts.values() if number > begin], default=10 ** 6) for key, begin in starts.items()}
    for key, (_, path, words) in BAD_SOURCES.items():
        own = []
        for line in done.stdout.splitlines():
            file, _, rest = line.partition(":")
            number = rest.split(":")[0]
            if file == str(gateway.sources_file) and number.isdigit() and starts[key] <= int(number) < ends[key]:
                own.append(line)
        assert any(words in line and key in line and path in line for line in own), f"{key}: {own}\n{done.stdout}"
    assert ".good" not in done.stdout
    assert "problems" in done.stdout.splitlines()[-1]


def test_check_names_the_file_of_a_mounted_directory(gateway):
    """Event sources as a mounted directory, one file a key: check names the file itself, and the line in it."""
    folder = gateway.directory / "mounted"
    folder.mkdir()
    (folder / "calendar.good").write_text("interval: 1h\n")
    (folder / "calendar.bad").write_text("# a comment\ninterval: 1h\nuserPayloat: {}\n")
    (folder / "calendar.list").write_text("\n- 1\n")
    (folder / "..data").mkdir()
    (folder / "calendar.good~").write_text("left behind by an editor")
    gateway.write_spec()
    gateway.server("calendar")

    done = gateway.run("check", "--gateway", gateway.spec_file, "--event-sources", folder)

    assert done.returncode == 3, done.stdout + done.stderr
    assert f'{folder}/calendar.bad:3: calendar.bad: userPayloat: unknown field "userPayloat"; did you mean "userPayload"?' in done.stdout
    assert f"{folder}/calendar.list:2: calendar.list: expected a mapping" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("2 problems"), done.stdout


def test_a_running_gateway_shows_each_fault_and_runs_the_rest(gateway, watcher):
    """The same file in a running gateway: the good ones run; each bad one is in the status with its words."""
    port = free_port()
    good = {"calendar.good": "interval: 100ms\n", "webhook.good": f"port: \"{port}\"\nendpoint: /good\naddress: 127.0.0.1\n"}
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources(text=manifest({**{key: row[0] for key, row in BAD_SOURCES.items()}, **good}))
    gateway.server("calendar")
    gateway.server("webhook")
    gateway.client()
    gateway.wait_running("calendar.good", "webhook.good")
    assert post(port, "/good")[0] == 200
    watcher.wait_events(3)

    def told(key):
        status = gateway.status()
        source = next((source for source in status["sources"] if source["key"] == key), None)
        texts = [problem["message"] for problem in status["configuration"]["problems"] if key in problem["path"]]
        return (source["message"] if source and source["state"] == "invalid" else "") + " ".join(texts)

    for key, (_, path, words) in BAD_SOURCES.items():
        wait_for(lambda: words in told(key), SOON, lambda: f"{words!r} about {key}: {told(key)!r}")
    assert gateway.get("/readyz")[0] == 200


SPEC_FAULTS = {
    "not YAML": ("spec: [\n", "line", "YAML"),
    "not a mapping": ("- 1\n", "", "mapping"),
    "other kind": ("kind: Deployment\nmetadata: {name: x}\nspec: {}\n", "kind", "Gateway"),
    "unknown field": ("serverz: []", "serverz", 'did you mean "servers"'),
    "url": ("watchers: {http: [{name: a, url: 'not a url'}]}", "watchers.http[0].url", "not a url"),
    "url of another kind": ("watchers: {http: [{name: a, url: 'ftp://x/'}]}", "watchers.http[0].url", "http"),
    "same name twice": ("watchers: {http: [{name: a, url: 'http://x/'}, {name: a, url: 'http://y/'}]}", "watchers.http[1]", "a"),
    "mode": ("watchers: {http: [{name: a, url: 'http://x/', mode: binari}]}", "watchers.http[0].mode", "binary"),
    "duration": ("watchers: {http: [{name: a, url: 'http://x/', timeout: soon}]}", "watchers.http[0].timeout", "soon"),
    "size": ("outbox: {sizeMax: lots}", "outbox.sizeMax", "lots"),
    "wrong type": ("servers: calendar", "servers", "list"),
    "address": ("servers: [{type: calendar, address: 'nowhere'}]", "servers[0].address", "nowhere"),
}


@pytest.mark.parametrize("way", SPEC_FAULTS)
def test_a_gateway_spec_that_cannot_work(gateway, way):
    """A wrong Gateway spec: check and run both name the place in words, and end with 3."""
    text, path, words = SPEC_FAULTS[way]
    if not text.startswith(("spec", "-", "kind")):
        base = {"servers": "servers: [{type: calendar, address: 'unix:/tmp/x'}]"}
        rest = "" if text.startswith("servers:") else f"  {base['servers']}\n"
        text = f"kind: Gateway\nmetadata: {{name: shop}}\nspec:\n{rest}  {text}\n"
    gateway.write_spec(text)
    gateway.write_sources({})

    done = gateway.run("check", "--offline", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file)
    assert done.returncode == 3, done.stdout + done.stderr
    assert words in done.stdout, done.stdout
    assert str(gateway.spec_file) in done.stdout and (path in done.stdout or path == "line")

    done = gateway.run("run", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file, "--state", gateway.state,
                       "--admin", "none")
    assert done.returncode == 3, done.stdout + done.stderr
    assert words in done.stderr.replace('\\"', '"'), done.stderr


def test_check_says_when_a_server_cannot_be_asked(gateway):
    """No gateway-server is there: check says so, names its address, and ends with 1; with --offline all is good."""
    gateway.write_spec()
    gateway.write_sources({"calendar.a": {"interval": "1h"}})
    words = ("--gateway", gateway.spec_file, "--event-sources", gateway.sources_file)

    began = time.monotonic()
    done = gateway.run("check", "--timeout", "2s", *words)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "calendar.a" in done.stdout and "calendar.sock" in done.stdout, done.stdout
    assert time.monotonic() - began < 8 * SLOW
    assert gateway.run("check", "--offline", *words).returncode == 0

    gateway.server("calendar")
    done = gateway.run("check", *words)
    assert done.returncode == 0 and done.stdout.startswith("good: 1 event source,"), done.stdout


USAGE = [
    (["nonsense"], "there is no command"), (["chek"], 'did you mean "check"'), (["run", "--gatewayy", "x"], "--gateway"),
    (["run"], "--gateway"), (["run", "--gateway"], "needs a value"), (["run", "word"], "unexpected word"),
    (["run", "--gateway", "g", "--event-sources", "e", "--state", "s", "--log-level", "loud"], "--log-level"),
    (["run", "--gateway", "g", "--event-sources", "e", "--state", "s", "--log-format", "xml"], "--log-format"),
    (["run", "--drain", "soon"], "duration"), (["check"], "--gateway"), (["check", "--timeout", "x"], "duration"),
    (["status", "word"], "unexpected word"), (["listen", "--address", "nowhere"], "address"),
    (["listen", "--fail-rate", "7"], "--fail-rate"), (["dead-letters"], "list, show, replay or drop"),
    (["dead-letters", "eat"], "list, show, replay or drop"), (["dead-letters", "list"], "--state"),
    (["run", "--gateway", "gateway:", "--state", "s"], '--gateway: "gateway:" has no name: write gateway:NAME'),
    (["run", "--gateway", "configmap:shop", "--state", "s"], "--gateway: expected gateway:NAME or a file"),
    (["run", "--gateway", "gateway:Shop", "--state", "s"], '--gateway: "Shop" is not a name'),
    (["run", "--gateway", "g", "--event-sources", "configmap:", "--state", "s"], 'write configmap:NAME'),
    (["run", "--gateway", "g", "--event-sources", "configmap:a.b/c", "--state", "s"], '"a.b" is not a namespace'),
    (["run", "--gateway", "g", "--event-sources", "gateway:shop", "--state", "s"], "--event-sources: expected configmap:NAME"),
    (["run", "--gateway", "g", "--namespace", "a/b", "--state", "s"], '--namespace: "a/b" is not a namespace'),
    (["run", "--gateway", "g", "--delete-grace", "-1s", "--state", "s"], "--delete-grace"),
    (["run", "--gateway", "g", "--event-sources", "e"], "--state"), (["check", "--gateway", "gateway:a/"], "has no name"),
    (["dead-letters", "show", "x", "--state", "."], "NUMBER"), (["dead-letters", "drop", "--state", "."], "--all"),
]


@pytest.mark.parametrize("words,told", USAGE, ids=[" ".join(row[0]) for row in USAGE])
def test_wrong_usage_is_told(gateway, words, told):
    """A command line that is wrong ends with 2 and one line that says what is wrong."""
    done = gateway.run(*words)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert told in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stdout == ""


def test_help_and_version(gateway):
    """Every command has --help, and ends with 0."""
    for words in ([], ["run"], ["check"], ["check-server"], ["status"], ["listen"], ["dead-letters"]):
        done = gateway.run(*words, "--help")
        assert done.returncode == 0 and "gateway-client" in done.stdout and "--help" in done.stdout and done.stderr == ""
    assert gateway.run("--version").stdout.startswith("gateway-client ")
    for kind in ("calendar", "webhook"):
        for flag, words in (("--help", "Usage"), ("--version", f"gateway-server-{kind} "), ("--print-settings", "| setting |")):
            done = subprocess.run([program(f"gateway-server-{kind}"), flag], capture_output=True, text=True, timeout=30)
            assert done.returncode == 0 and words in done.stdout and done.stderr == ""
        schema = subprocess.run([program(f"gateway-server-{kind}"), "--print-schema"], capture_output=True, text=True, timeout=30)
        assert json.loads(schema.stdout)["type"] == "object"
        for flags, words in ((["--lisen", "x"], "--listen"), (["prewiew"], "prewiew"), (["--log-level", "loud"], "--log-level"),
                             (["--tls-key", "x"], "--tls-certificate")):
            done = subprocess.run([program(f"gateway-server-{kind}"), *flags], capture_output=True, text=True, timeout=30)
            assert done.returncode == 2 and words in done.stderr, (kind, flags, done)


def test_a_server_that_cannot_listen_says_why(gateway, tmp_path):
    """A gateway-server on an address that is none, is taken, or with a certificate that cannot be read ends with 1 and words."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = f"127.0.0.1:{stranger.getsockname()[1]}"
        for flags, words in ((["--listen", taken], taken), (["--listen", "nowhere"], "nowhere"),
                             (["--listen", "unix:/nowhere/x.sock"], "/nowhere/x.sock"),
                             (["--listen", "127.0.0.1:0", "--tls-certificate", "/nowhere/c", "--tls-key", "/nowhere/k"], "/nowhere/")):
            done = subprocess.run([program("gateway-server-webhook"), *flags], capture_output=True, text=True, timeout=30)
            assert done.returncode == 1 and words in done.stderr and "cannot start" in done.stderr, (flags, done)


def test_status_shows_it_to_people(gateway, watcher):
    """The status command: tables for people, JSON on request, and 1 with words when nobody answers."""
    gateway.watch("w", watcher.url).write_sources({"calendar.a": {"interval": "100ms"}, "calendar.b": {"schedule": "x"}})
    gateway.write_spec()
    gateway.server("calendar")
    gateway.client()
    watcher.wait_events(1)
    wait_for(lambda: gateway.source("calendar.b")["state"] == "invalid", SOON, "the bad one to show")

    done = gateway.run("status", "--admin", gateway.admin)
    assert done.returncode == 0, done.stderr
    for words in ("default/shop", "calendar.a", "running", "invalid", "schedule", "WATCHER", watcher.url, "outbox:"):
        assert words in done.stdout, done.stdout
    assert json.loads(gateway.run("status", "--json", "--admin", gateway.admin).stdout)["gateway"]["name"] == "shop"

    done = gateway.run("status", "--admin", f"127.0.0.1:{free_port()}")
    assert done.returncode == 1 and "127.0.0.1" in done.stderr and done.stdout == ""


# ---- what is in the way ----

def test_a_port_that_a_stranger_has(gateway):
    """A webhook's port is taken: the source says so and the others run; once the port is free, it runs by itself."""
    port, other = free_port(), free_port()
    stranger = socket.socket()
    with contextlib.closing(stranger):
        stranger.bind(("127.0.0.1", port))
        stranger.listen()
        gateway.write_sources({"webhook.taken": webhook(port, "/a"), "webhook.free": webhook(other, "/b")})
        gateway.write_spec()
        gateway.server("webhook")
        gateway.client()
        gateway.wait_running("webhook.free")
        wait_for(lambda: gateway.source("webhook.taken")["state"] == "failing", SOON, "the source to fail")
        message = gateway.source("webhook.taken")["message"]
        assert str(port) in message and "in use" in message.lower(), message
        assert gateway.source("webhook.taken")["nextAttempt"]
        assert post(other, "/b")[0] == 200
    gateway.wait_running("webhook.taken", seconds=10)
    assert post(port, "/a")[0] == 200
    assert gateway.source("webhook.free")["restarts"] == 0


def certificate(directory, name="127.0.0.1"):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-keyout", directory / "key.new", "-out", directory / "cert.new", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    os.replace(directory / "key.new", directory / "key.pem")
    os.replace(directory / "cert.new", directory / "cert.pem")
    return (directory / "cert.pem").read_text()


def served(port):
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)


def post_tls(port, path, context):
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=10 * SLOW, context=context)) as connection:
        connection.request("POST", path, b"{}")
        return connection.getresponse().status


def test_a_certificate_that_is_replaced_while_it_runs(gateway, watcher, tmp_path):
    """A TLS webhook: garbage for a certificate is told; mended it runs; a new certificate is served without a restart."""
    port = free_port()
    (tmp_path / "cert.pem").write_text("not a certificate\n")
    (tmp_path / "key.pem").write_text("not a key\n")
    secure = webhook(port, "/a", serverCertPath=str(tmp_path / "cert.pem"), serverKeyPath=str(tmp_path / "key.pem"))
    gateway.watch("w", watcher.url).write_sources({"webhook.a": secure, "calendar.a": {"interval": "1h"}})
    gateway.write_spec()
    gateway.server("webhook")
    gateway.server("calendar")
    gateway.client()
    gateway.wait_running("calendar.a")
    wait_for(lambda: gateway.source("webhook.a")["state"] in ("failing", "invalid"), SOON, "the source to fail")
    assert "cert" in gateway.source("webhook.a")["message"], gateway.source("webhook.a")

    first = certificate(tmp_path)
    gateway.wait_running("webhook.a", seconds=12)
    assert served(port).split() == first.split()
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    assert post_tls(port, "/a", context) == 200
    since = gateway.source("webhook.a")["since"]

    second = certificate(tmp_path, "other")
    wait_for(lambda: served(port).split() == second.split(), 10, "the new certificate to be served")
    assert post_tls(port, "/a", ssl.create_default_context(cafile=tmp_path / "cert.pem")) == 200

    (tmp_path / "cert.pem").write_text("broken\n")
    wait_for(lambda: "certificate" in gateway.processes["webhook"].text(), 10, "words about the broken one")
    assert served(port).split() == second.split()
    assert gateway.source("webhook.a")["since"] == since
    assert len(watcher.wait_events(2)) == 2


# ---- requests ----

class Endpoints:
    """A running gateway with webhooks of every kind, for many small tests."""

    def __init__(self, directory):
        self.watcher = Watcher()
        self.gateway = Gateway(directory)
        self.port, self.slow_port = free_port(), free_port()
        for name, key, value in (("shop", "token", "s3cret"), ("shop", "user", "ada"), ("shop", "password", "pa:ss"),
                                 ("shop", "hmac", "key")):
            self.gateway.secret(name, key, value)

        def secret(key):
            return {"name": "shop", "key": key}

        sources = {
            "plain": {"endpoint": "/plain"},
            "small": {"endpoint": "/small", "maxPayloadSize": "1Ki"},
            "json": {"endpoint": "/json", "contentTypes": ["application/json"]},
            "two": {"endpoint": "/two/{id}", "method": ["POST", "PUT"]},
            "envelope": {"endpoint": "/envelope/{id}", "payload": "envelope"},
            "delivery": {"endpoint": "/delivery", "idHeader": "X-Delivery"},
            "bearer": {"endpoint": "/bearer", "auth": {"bearer": secret("token")}},
            "basic": {"endpoint": "/basic", "auth": {"basic": {"username": secret("user"), "password": secret("password")}}},
            "header": {"endpoint": "/header", "auth": {"header": {"name": "X-Token", "value": secret("token")}}},
            "hmac": {"endpoint": "/hmac", "auth": {"hmac": {"secret": secret("hmac")}}},
            "answer": {"endpoint": "/answer", "response": {"status": 202, "body": "ta", "contentType": "text/plain"}},
        }
        sources = {f"webhook.{name}": {"port": str(self.port), "address": "127.0.0.1", **settings}
                   for name, settings in sources.items()}
        sources["webhook.slow"] = webhook(self.slow_port, "/slow", timeout="500ms")
        self.gateway.watch("w", self.watcher.url).write_sources(sources)
        self.gateway.up()

    def close(self):
        self.gateway.down()
        self.watcher.close()

    def of(self, subject):
        return [event for event in self.watcher.events() if event["source"].endswith(f"/webhook.{subject}")]

    def wait(self, subject, count):
        return wait_for(lambda: found if len(found := self.of(subject)) >= count else None, 10, f"{count} events of {subject}")

    def raw(self, data, port=None, wait=5.0):
        """Sends bytes as they are; everything that is answered until the peer closes, or the time is over."""
        with socket.create_connection(("127.0.0.1", port or self.port), timeout=wait * SLOW) as connection:
            connection.sendall(data)
            answer = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while more := connection.recv(65536):
                    answer += more
            return answer


@pytest.fixture(scope="module")
def endpoints(tmp_path_factory):
    endpoints = Endpoints(tmp_path_factory.mktemp("endpoints"))
    yield endpoints
    endpoints.close()


def problem(answer, status):
    """The JSON problem of an answer, checked for its form."""
    assert answer[0] == status, answer
    assert answer[1]["Content-Type"].startswith("application/problem+json"), answer
    body = json.loads(answer[2])
    assert body["status"] == status and body["title"] and body["detail"]
    return body["detail"]


def test_refusals_are_json_problems(endpoints):
    """What cannot be taken is answered with its status and a JSON problem in words; nothing of it becomes an event."""
    port = endpoints.port
    wait_for(lambda: post(port, "/nowhere")[0] == 404, 10, "the first seconds, in which a path may still come, to be over")
    assert "path" in problem(post(port, "/nowhere"), 404)
    answer = post(port, "/two/7", method="GET")
    problem(answer, 405)
    assert answer[1]["Allow"].replace(" ", "").split(",")[:2] == ["POST", "PUT"]
    problem(post(port, "/small", b"x" * 1025), 413)
    problem(post(port, "/json", b"<a/>", {"Content-Type": "application/xml"}), 415)
    problem(post(port, "/two/%zz"), 400)
    detail = problem(post(port, "/plain", b"{}", {"ce-specversion": "1.0", "ce-id": "1", "ce-type": "t"}), 400)
    assert "source" in detail
    problem(post(port, "/plain", b"{not json", {"Content-Type": "application/cloudevents+json"}), 400)
    problem(post(port, "/plain", b"<e/>", {"Content-Type": "application/cloudevents+xml"}), 415)
    good = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    problem(post(port, "/plain", json.dumps([good, {**good, "id": ""}]), {"Content-Type": "application/cloudevents-batch+json"}), 400)
    assert endpoints.of("json") == [] and endpoints.of("two") == []
    assert not any(event.get("id") == "1" for event in endpoints.watcher.events())


def test_bodies_at_the_limit(endpoints):
    """A body of exactly the largest size is taken; one byte more is not, announced or in chunks."""
    port = endpoints.port
    assert post(port, "/small", b"x" * 1024)[0] == 200
    chunked = b"POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert endpoints.raw(chunked + b"400\r\n" + b"y" * 1024 + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert endpoints.raw(chunked + b"401\r\n" + b"y" * 1025 + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 413")
    huge = b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
    assert endpoints.raw(huge, wait=2).startswith(b"HTTP/1.1 413")
    assert {event["data"] for event in endpoints.wait("small", 2)} == {b"x" * 1024, b"y" * 1024}


def test_chunks_and_empty_bodies(endpoints):
    """Chunks of odd sizes make one body; no body at all is fine; a request a byte at a time is fine too."""
    head = b"POST /envelope/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    chunks = b"3;ext=1\r\n{\"n\r\n1\r\n\"\r\n4\r\n: 1}\r\n0\r\nTrailer: x\r\n\r\n"
    assert endpoints.raw(head + chunks).startswith(b"HTTP/1.1 200")
    assert post(endpoints.port, "/envelope/e", b"", {})[0] == 200
    with socket.create_connection(("127.0.0.1", endpoints.port), timeout=10) as connection:
        for byte in b"POST /envelope/b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}":
            connection.sendall(bytes([byte]))
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    events = {event["data"]["pathParameters"]["id"]: event["data"] for event in endpoints.wait("envelope", 3)}
    assert events["c"]["body"] == {"n": 1}
    assert events["e"]["body"] is None
    assert events["b"]["body"] == {}


MALFORMED = {
    "no HTTP": b"hello\r\n\r\n",
    "binary": bytes(range(256)) * 4,
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\0" * 100,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "huge head": b"POST /plain HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * 40000 + b"\r\nContent-Length: 0\r\n\r\n",
    "many headers": b"POST /plain HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(3000)) + b"\r\n",
    "negative length": b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "length of words": b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: two\r\n\r\n{}",
    "two lengths": b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "length and chunks": b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "no host": b"POST /plain HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    "space before colon": b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length : 2\r\n\r\n{}",
    "strange name": b"POST /plain HTTP/1.1\r\nHost: x\r\nX(y): 1\r\nContent-Length: 2\r\n\r\n{}",
    "bad chunk": b"POST /plain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "huge chunk": b"POST /plain HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
}


@pytest.mark.parametrize("way", MALFORMED)
def test_malformed_requests(endpoints, way):
    """Bytes that are no proper request are refused or cut off, and become no event; the next request is served."""
    before = len(endpoints.of("plain"))
    answer = endpoints.raw(MALFORMED[way], wait=1)
    assert not answer.startswith(b"HTTP/1.1 2"), answer
    assert post(endpoints.port, "/plain", b'{"after": 1}')[0] == 200
    assert len(endpoints.wait("plain", before + 1)) == before + 1


def test_requests_that_are_too_slow(endpoints):
    """Half a head, half a body, and a trickle are cut off after the timeout, while others are served."""
    port = endpoints.slow_port
    halves = [b"POST /slow HT", b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"a\"", b""]
    waiting = []
    for half in halves:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW)
        connection.sendall(half)
        waiting.append(connection)
    assert post(port, "/slow")[0] == 200
    began = time.monotonic()
    for connection in waiting:
        with contextlib.closing(connection), contextlib.suppress(ConnectionResetError):
            while answer := connection.recv(1000):
                assert not answer.startswith(b"HTTP/1.1 2")
    assert time.monotonic() - began < 7 * SLOW

    with socket.create_connection(("127.0.0.1", port), timeout=10 * SLOW) as trickle:
        trickle.sendall(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 8 * SLOW:
                trickle.sendall(b"x")
                time.sleep(0.1)
                trickle.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if trickle.recv(1000) == b"":
                        break
                trickle.setblocking(True)
        assert time.monotonic() - began < 7 * SLOW, "a trickle held the connection"
    assert len(endpoints.wait("slow", 1)) == 1


def test_half_sent_requests_become_no_events(endpoints):
    """A sender that goes away in the middle of its body leaves nothing behind."""
    before = len(endpoints.of("plain"))
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", endpoints.port), timeout=5) as connection:
            connection.sendall(b"POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{\"half\"")
    assert post(endpoints.port, "/plain", b'{"whole": 1}')[0] == 200
    events = endpoints.wait("plain", before + 1)
    assert len(events) == before + 1 and events[-1]["data"] == {"whole": 1}


def sign(body, key=b"key", algorithm=hashlib.sha256):
    return "sha256=" + hmac.new(key, body, algorithm).hexdigest()


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_who_may_call(endpoints):
    """Bearer, basic, a header token, and signatures: right ones are let in, wrong and missing ones are not, in words."""
    port = endpoints.port
    right = {"bearer": {"Authorization": "Bearer s3cret"}, "basic": basic("ada:pa:ss"), "header": {"X-Token": "s3cret"},
             "hmac": {"X-Hub-Signature-256": sign(b"{}")}}
    wrong = {
        "bearer": [{}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Bearer s3cret2"}, {"Authorization": "s3cret"},
                   {"Authorization": "Basic s3cret"}],
        "basic": [{}, basic("ada:pass"), basic("bob:pa:ss"), basic("ada"), {"Authorization": "Basic !!!"}],
        "header": [{}, {"X-Token": ""}, {"X-Token": "wrong"}],
        "hmac": [{}, {"X-Hub-Signature-256": sign(b"{ }")}, {"X-Hub-Signature-256": sign(b"{}", b"other")},
                 {"X-Hub-Signature-256": sign(b"{}")[:-1]}, {"X-Hub-Signature-256": "sha256="},
                 {"X-Hub-Signature-256": sign(b"{}").replace("sha256", "sha1")}],
    }
    for kind, tries in wrong.items():
        for headers in tries:
            answer = post(port, f"/{kind}", b"{}", headers)
            assert answer[0] in (401, 403), (kind, headers, answer)
            problem(answer, answer[0])
            assert answer[0] == 403 or "WWW-Authenticate" in answer[1], (kind, headers, answer)
    for kind, headers in right.items():
        assert post(port, f"/{kind}", b"{}", headers)[0] == 200, kind
        assert len(endpoints.wait(kind, 1)) == 1
    # a scheme's name has no case
    assert post(port, "/bearer", b"{}", {"Authorization": "bearer s3cret"})[0] == 200


def test_the_handshake_of_webhooks(endpoints):
    """OPTIONS: the CloudEvents WebHook handshake is answered; without its header it is a plain OPTIONS."""
    status, headers, _ = post(endpoints.port, "/plain", b"", {"WebHook-Request-Origin": "eventemitter.example.com",
                                                            "WebHook-Request-Rate": "120"}, method="OPTIONS")
    assert status == 200
    assert headers["WebHook-Allowed-Origin"] == "eventemitter.example.com"
    assert headers["WebHook-Allowed-Rate"] == "*"
    assert "POST" in headers["Allow"]
    status, headers, _ = post(endpoints.port, "/plain", b"", {}, method="OPTIONS")
    assert status == 200 and "WebHook-Allowed-Origin" not in headers and "POST" in headers["Allow"]
    wait_for(lambda: post(endpoints.port, "/nowhere", b"", {}, method="OPTIONS")[0] == 404, 10, "the path to be unknown")


def test_the_answer_is_the_configured_one(endpoints):
    """The status, body and type of the answer are the configured ones."""
    status, headers, body = post(endpoints.port, "/answer")
    assert (status, body, headers["Content-Type"]) == (202, b"ta", "text/plain")


def test_cloudevents_keep_their_attributes(endpoints):
    """Requests that are CloudEvents (binary, structured, batch; 1.0 and 0.3) arrive with their own attributes and data."""
    port = endpoints.port

    def of(event_type):
        return wait_for(lambda: [event for event in endpoints.watcher.events() if event["type"] == event_type], 10, event_type)

    own = {"id": "b-1", "source": "/own/source", "type": "own.binary", "subject": "s u", "time": "2026-01-02T03:04:05.123456Z",
           "dataschema": "http://x/schema", "specversion": "1.0", "myext": "wert"}
    headers = {f"ce-{name}": value.replace(" ", "%20") for name, value in own.items()}
    assert post(port, "/plain", b'{"n": 1.10}', {**headers, "Content-Type": "application/json"})[0] == 200
    event = of("own.binary")[0]
    assert {name: event.get(name) for name in own} == own
    assert event["data"] == {"n": 1.1} and event["datacontenttype"] == "application/json"

    structured = {**own, "id": "s-1", "type": "own.structured", "datacontenttype": "text/plain", "data_base64": "AAEC/w==",
                  "flag": True, "count": 7}
    assert post(port, "/plain", json.dumps(structured), {"Content-Type": "application/cloudevents+json; charset=utf-8"})[0] == 200
    event = of("own.structured")[0]
    assert event["data"] == b"\0\1\2\xff" and event["source"] == "/own/source" and event["myext"] == "wert"
    assert str(event["flag"]).lower() == "true" and str(event["count"]) == "7"

    batch = [{**own, "id": f"x-{n}", "type": "own.batch", "data": {"n": n}} for n in range(5)]
    assert post(port, "/plain", json.dumps(batch), {"Content-Type": "application/cloudevents-batch+json"})[0] == 200
    wait_for(lambda: len(of("own.batch")) == 5, 10, "the batch")
    assert [(event["id"], event["data"]["n"]) for event in sorted(of("own.batch"), key=lambda event: event["id"])] == [
        (f"x-{n}", n) for n in range(5)]
    assert post(port, "/plain", b"[]", {"Content-Type": "application/cloudevents-batch+json"})[0] == 200

    old = {f"ce-{name}": value for name, value in {"id": "o-1", "source": "/old", "type": "own.old", "specversion": "0.3"}.items()}
    assert post(port, "/plain", b"{}", {**old, "Content-Type": "application/json"})[0] == 200
    assert of("own.old")[0]["specversion"] == "1.0"


def test_a_delivery_that_is_repeated_comes_once(endpoints):
    """idHeader: a repeated delivery is answered 200 again and delivered once; the same CloudEvent id of one source too."""
    port = endpoints.port
    for _ in range(3):
        assert post(port, "/delivery", b'{"n": 1}', {"X-Delivery": "d-1"})[0] == 200
    assert post(port, "/delivery", b'{"n": 2}', {"X-Delivery": "d-2"})[0] == 200
    for _ in range(2):
        assert post(port, "/delivery", b'{"n": 3}', {})[0] == 200
    events = endpoints.wait("delivery", 4)
    assert post(port, "/delivery", b'{"n": 4}', {"X-Delivery": "d-4"})[0] == 200
    events = endpoints.wait("delivery", 5)
    assert sorted(event["data"]["n"] for event in events) == [1, 2, 3, 3, 4]
    assert {"d-1", "d-2", "d-4"} <= {event["id"] for event in events}


def test_secrets_are_never_said(endpoints):
    """No secret, right or wrong, is in a log or in the status."""
    gateway = endpoints.gateway
    post(endpoints.port, "/bearer", b"{}", {"Authorization": "Bearer wr0ng-token"})
    texts = [process.text() for process in gateway.processes.values()] + [gateway.get("/api/v1/status")[1], gateway.get("/metrics")[1]]
    for text in texts:
        for word in ("s3cret", "pa:ss", "wr0ng-token", base64.b64encode(b"ada:pa:ss").decode()):
            assert word not in text
