"""The example gateway-servers in other languages: built as their READMEs say, run under the real gateway-client."""

import contextlib
import json
import pathlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import websockets.exceptions
import websockets.sync.server

import postgres
from harness import free_port, wait_for

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples/gateway-servers"
SOON = 30


@pytest.fixture
def run(gateway, watcher):
    """run(type, start, sources): the gateway with that one server; `start(address)` starts it, and again after kills."""

    def up(kind, start, sources):
        address = f"127.0.0.1:{free_port()}"
        gateway.spec["spec"]["servers"] = [{"type": kind, "address": address}]
        gateway.watch("w", watcher.url, concurrency=1).write_spec()  # in order
        gateway.write_sources({f"{kind}.{name}": config for name, config in sources.items()})

        def server():
            process = start(address)
            wait_for(lambda: "listening" in process.text() or not process.running(), SOON, f"{kind} to listen")
            assert process.running(), process.text()

        server()
        gateway.client()
        return server

    return up


def keeps_the_contract(gateway, kind, config, *flags):
    """`gateway-client check-server` finds no rule broken."""
    file = gateway.directory / "config.yaml"
    file.write_text(json.dumps(config))
    address = next(server["address"] for server in gateway.spec["spec"]["servers"] if server["type"] == kind)
    done = gateway.run("check-server", address, "--type", kind, "--config", file, "--timeout", "15s", *flags, timeout=120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def built(language):
    """The folder of the example, built; skips, and says why, where its tools are missing."""
    done = subprocess.run([ROOT / "tests/peers/build-example", language], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr[-4000:]
    return pathlib.Path(done.stdout.strip())


@pytest.fixture(scope="module")
def database():
    if postgres.binaries() is None:
        pytest.skip("PostgreSQL is not installed: ./dev setup does it")
    database = postgres.Postgres()
    yield database
    database.close()


# ---- Python: feeds ----

@pytest.fixture(scope="session")
def python_stubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed-stubs")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I", ROOT / "proto", f"--python_out={folder}",
                    f"--grpc_python_out={folder}", "gateway/v1/eventing.proto"], check=True)
    return folder


class Site:
    """Serves a feed of at most ten entries, newest first; it can be broken."""

    def __init__(self, atom=False):
        self.entries, self.atom, self.broken, self.asked = [], atom, None, 0
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.asked += 1
                body, tag = site.document()
                if site.broken is None and self.headers.get("If-None-Match") == tag:
                    self.send_response(304)
                    self.end_headers()
                    return
                self.send_response(site.broken or 200)
                self.send_header("ETag", tag)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/feed"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def add(self, *numbers):
        self.entries = [*reversed(numbers), *self.entries][:10]

    def document(self):
        if self.atom:
            items = "".join(f"<entry><id>urn:e:{n}</id><title>entry {n}</title><link href=\"http://x/{n}\"/>"
                            "<updated>2026-03-01T08:30:00Z</updated></entry>" for n in self.entries)
            text = f"<feed xmlns=\"http://www.w3.org/2005/Atom\">{items}</feed>"
        else:
            items = "".join(f"<item><guid>e{n}</guid><title>entry {n}</title><link>http://x/{n}</link>"
                            "<pubDate>Sun, 01 Mar 2026 08:30:00 GMT</pubDate></item>" for n in self.entries)
            text = f"<rss version=\"2.0\"><channel>{items}</channel></rss>"
        return text.encode(), f"\"{hash(text)}\""

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def titles(watcher, source):
    return [event["data"]["title"] for event in watcher.events() if event["subject"] == source]


def test_python_feeds(gateway, watcher, run, python_stubs):
    """RSS and Atom entries arrive once, in order, through kills of the server and of the client; a site that fails is told."""
    def start(address):
        return gateway.start("feed", sys.executable, EXAMPLES / "python/feed.py", "--listen", address,
                             environment={"PYTHONPATH": str(python_stubs)})

    with contextlib.closing(Site()) as rss, contextlib.closing(Site(atom=True)) as atom:
        rss.add(1, 2)
        atom.add(1)
        server = run("feed", start, {"rss": {"url": rss.url, "every": 0.1}, "atom": {"url": atom.url, "every": 0.1},
                                     "bad": {"url": "ftp://x", "evry": 1}})
        gateway.wait_running("feed.rss", "feed.atom", seconds=SOON)
        wait_for(lambda: titles(watcher, "rss") == ["entry 1", "entry 2"] and titles(watcher, "atom") == ["entry 1"], SOON, "both")
        event = next(event for event in watcher.events() if event["subject"] == "rss")
        assert event["type"] == "example.feed.entry" and event["time"].startswith("2026-03-01T08:30:00")
        wait_for(lambda: gateway.source("feed.bad")["state"] == "invalid", SOON, "the bad one")
        assert "evry" in json.dumps(gateway.source("feed.bad")) and "url" in json.dumps(gateway.source("feed.bad"))
        gateway.processes["feed"].kill()
        rss.add(3, 4)
        server()
        wait_for(lambda: "entry 4" in titles(watcher, "rss"), SOON, "what came while the server was down")
        gateway.processes["client"].kill()
        rss.add(5)
        atom.add(2)
        gateway.client()
        wait_for(lambda: "entry 5" in titles(watcher, "rss") and "entry 2" in titles(watcher, "atom"), SOON, "what came while the client was down")
        rss.broken = 503
        wait_for(lambda: "503" in gateway.source("feed.rss")["notice"], SOON, "the words")
        rss.broken = None
        rss.add(6)
        wait_for(lambda: "entry 6" in titles(watcher, "rss"), SOON, "it to heal")
        # a client that was killed may deliver again what it had just delivered: the same event, by its id
        told = {(event["data"]["title"], event["id"]) for event in watcher.events() if event["subject"] == "rss"}
        assert sorted(title for title, _ in told) == [f"entry {n}" for n in range(1, 7)]
        assert gateway.source("feed.atom")["restarts"] <= 1
        keeps_the_contract(gateway, "feed", {"url": rss.url, "every": 0.1})


# ---- Go: PostgreSQL NOTIFY, by the contract of one method ----

def test_go_notify(gateway, watcher, run, database):
    """NOTIFYs of two channels become events; a database that goes is told in its words, and waited for."""
    def start(address):
        return gateway.start("notify", built("go") / "gateway-server-notify", "--listen", address, environment=database.environment)

    def notify(channel, payload):
        database.sql(f"NOTIFY {channel}, '{payload}'")

    def payloads():
        return [event["data"] if isinstance(event["data"], dict) else event["data"].decode() for event in watcher.events()]

    server = run("notify", start, {"shop": {"channels": ["orders", "refunds"]}, "bad": {"chanels": ["a"]},
                                   "nowhere": {"database": "nowhere", "channels": ["a"]}})
    gateway.wait_running("notify.shop", seconds=SOON)
    assert gateway.source("notify.shop")["contract"] == "generic"
    listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    wait_for(lambda: int(database.sql(listening)) >= 1, SOON, "it to listen")
    notify("orders", '{"n": 1}')
    notify("refunds", "two")
    wait_for(lambda: len(payloads()) == 2, SOON, payloads)
    assert {"n": 1} in payloads() and "two" in payloads()
    for name, words in {"bad": "chanels", "nowhere": "does not exist"}.items():
        wait_for(lambda: words in json.dumps(gateway.source(f"notify.{name}")), SOON, words)
    database.kill()
    wait_for(lambda: gateway.source("notify.shop")["state"] == "failing", SOON, "the failure to show")
    database.start()
    wait_for(lambda: int(database.sql(listening)) >= 1, SOON, "it to listen again")
    notify("orders", "three")
    wait_for(lambda: "three" in payloads(), SOON, payloads)
    gateway.processes["notify"].kill()
    server()
    wait_for(lambda: int(database.sql(listening)) >= 1, SOON, "it to listen again")
    gateway.wait_running("notify.shop", seconds=SOON)
    notify("orders", "four")
    wait_for(lambda: "four" in payloads(), SOON, payloads)
    psql = " ".join(f"{name}={value}" for name, value in database.environment.items())
    keeps_the_contract(gateway, "notify", {"channels": ["orders"]}, "--trigger", f"{psql} {postgres.binaries() / 'psql'} -qc 'NOTIFY orders'")


# ---- Node: WebSocket, by the contract of one method ----

class Ticker:
    """A WebSocket server that says numbers, once it is asked for "ticks"; it can go and come back."""

    def __init__(self):
        self.port, self.numbers, self.server = free_port(), iter(range(10**9)), None
        self.url = f"ws://127.0.0.1:{self.port}/"
        self.up()

    def serve(self, connection):
        if connection.recv() == "ticks":
            with contextlib.suppress(websockets.exceptions.ConnectionClosed):
                while True:
                    connection.send(json.dumps({"n": next(self.numbers)}))
                    time.sleep(0.02)

    def up(self):
        self.server = websockets.sync.server.serve(self.serve, "127.0.0.1", self.port)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def down(self):
        self.server.shutdown()


def test_node_websocket(gateway, watcher, run):
    """Messages become events; a peer that goes is told and waited for; a kill of the server is survived."""
    folder, ticker = built("node"), Ticker()

    def start(address):
        return gateway.start("websocket", "node", folder / "dist/server.js", "--listen", address)

    server = run("websocket", start, {"ticks": {"url": ticker.url, "hello": "ticks"}, "bad": {"url": "http://x/"},
                                      "nowhere": {"url": f"ws://127.0.0.1:{free_port()}/"}})
    gateway.wait_running("websocket.ticks", seconds=SOON)
    watcher.wait_events(5, SOON)
    assert {event["subject"] for event in watcher.events()} == {"ticks"}
    for name, words in {"bad": "expected ws://", "nowhere": "ECONNREFUSED"}.items():
        wait_for(lambda: words in json.dumps(gateway.source(f"websocket.{name}")), SOON, words)
    ticker.down()
    wait_for(lambda: gateway.source("websocket.ticks")["state"] == "failing", SOON, "the failure to show")
    ticker.up()
    seen = len(watcher.events())
    watcher.wait_events(seen + 5, SOON)
    gateway.processes["websocket"].kill()
    server()
    seen = len(watcher.events())
    watcher.wait_events(seen + 5, SOON)
    keeps_the_contract(gateway, "websocket", {"url": ticker.url, "hello": "ticks"})
    ticker.down()
    numbers = [event["data"]["n"] for event in watcher.events()]
    assert len(numbers) == len(set(numbers))


# ---- Rust: growing files ----

def test_rust_tail(gateway, watcher, run, tmp_path):
    """Lines arrive once each, in order, through rotation and kills of the server and of the client."""
    folder, log = built("rust"), tmp_path / "log"

    def start(address):
        return gateway.start("tail", folder / "target/debug/gateway-server-tail", "--listen", address)

    def write(*numbers):
        with log.open("a") as file:
            file.writelines(f'{{"n": {number}}}\n' for number in numbers)

    def numbers():
        return {event["data"]["n"]: event["id"] for event in watcher.events()}

    write(*range(100))
    server = run("tail", start, {"log": {"path": str(log), "contentType": "application/json"}, "bad": {"pat": "x"},
                                 "nowhere": {"path": str(tmp_path / "nowhere")}})
    gateway.wait_running("tail.log", seconds=SOON)
    wait_for(lambda: len(numbers()) == 100, SOON, "what was there")
    for name, words in {"bad": "pat", "nowhere": "No such file"}.items():
        wait_for(lambda: words in json.dumps(gateway.source(f"tail.{name}")), SOON, words)
    write(*range(100, 5000))
    gateway.processes["tail"].kill()
    write(*range(5000, 5100))
    log.rename(tmp_path / "log.1")
    write(*range(5100, 5200))
    server()
    wait_for(lambda: len(numbers()) == 5200, 60, lambda: f"{len(numbers())} of 5200")
    gateway.processes["client"].kill()
    write(*range(5200, 5300))
    gateway.client()
    wait_for(lambda: len(numbers()) == 5300, 60, lambda: f"{len(numbers())} of 5300")
    assert len(set(numbers().values())) == 5300
    assert sorted(numbers()) == list(range(5300))
    keeps_the_contract(gateway, "tail", {"path": str(log), "contentType": "application/json"})


# ---- Java: rows of a table ----

def test_java_table(gateway, watcher, run, database):
    """Rows arrive once each through kills of the server, the client and the database; words for what is wrong."""
    folder = built("java")
    database.sql("CREATE TABLE outbox(id bigserial PRIMARY KEY, payload jsonb)")
    url = f"jdbc:postgresql://127.0.0.1:{database.port}/postgres"
    query = "SELECT id, payload FROM outbox WHERE id > ? ORDER BY id"

    def start(address):
        return gateway.start("table", "java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", folder / "target/gateway-server-table.jar",
                             "--listen", address, environment={"TABLE_USER": "shop", "TABLE_PASSWORD": "none"})

    def insert(first, last):
        database.sql(f"INSERT INTO outbox(payload) SELECT json_build_object('n', n) FROM generate_series({first}, {last}) n")

    def told():
        return {event["data"]["n"]: event["id"] for event in watcher.events()}

    insert(1, 250)
    server = run("table", start, {"orders": {"url": url, "query": query, "every": 0.1}, "bad": {"url": "x", "query": "SELECT 1"},
                                  "wrong": {"url": url, "query": "SELECT a, b FROM nowhere WHERE a > ?", "every": 0.5}})
    gateway.wait_running("table.orders", seconds=2 * SOON)
    wait_for(lambda: len(told()) == 250, SOON, lambda: f"{len(told())} of 250")
    for name, words in {"bad": "expected a JDBC address", "wrong": "nowhere"}.items():
        wait_for(lambda: words in json.dumps(gateway.source(f"table.{name}")), SOON, words)
    gateway.processes["table"].kill()
    insert(251, 1500)
    server()
    wait_for(lambda: len(told()) == 1500, 2 * SOON, lambda: f"{len(told())} of 1500")
    gateway.processes["client"].kill()
    insert(1501, 1600)
    gateway.client()
    wait_for(lambda: len(told()) == 1600, 2 * SOON, lambda: f"{len(told())} of 1600")
    database.kill()
    wait_for(lambda: "next attempt" in gateway.source("table.orders")["notice"], SOON, "the words")
    database.start()
    insert(1601, 1700)
    wait_for(lambda: len(told()) == 1700, 2 * SOON, lambda: f"{len(told())} of 1700")
    assert sorted(told()) == list(range(1, 1701)) and len(set(told().values())) == 1700
    keeps_the_contract(gateway, "table", {"url": url, "query": query, "every": 0.1})
