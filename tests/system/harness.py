"""The real processes on this machine, and a watcher that answers as it is told.

Everything runs on 127.0.0.1 with ports of the system's choice, in a temporary directory, and is stopped at the end. Nothing
sleeps for luck: wait_for() looks for a condition, with a deadline."""

import base64
import contextlib
import errno
import http.client
import itertools
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
# Sanitizers slow everything down; deadlines stretch with them.
SLOW = 4 if BUILD.name.endswith(("asan", "tsan")) else 1
# A wait ends when its condition holds: patience costs nothing but the time to see a failure, and nobody watches there. That
# time is not free either: a test that hangs must not take that of all others.
PATIENCE = (3 if SLOW == 1 else 1.5) if os.environ.get("CI") else 1


def wait_for(condition, seconds=10, what="the condition"):
    """Returns the first true result of condition(); fails after `seconds` (stretched under sanitizers). `what`: text, or a
    function that gives it."""
    seconds *= SLOW * PATIENCE
    deadline = time.monotonic() + seconds
    pause = 0.01
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out after {seconds} s waiting for {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)  # what takes long is not asked for so often: asking costs, too


def port_range():
    """Not among those that the system gives to outgoing connections: a port that is closed and opened again is not lost to such
    a connection meanwhile (perhaps of the client to itself). A part of them for each worker of pytest-xdist, for a port that is
    given out is free until a test uses it; the thousand below the system's are those of tests/peers/kubeapi."""
    lowest, highest = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    ports = max(range(10_000, lowest - 1000), range(highest + 1, 65_536), range(20_000, 24_000), key=len)
    worker, workers = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    span = len(ports) // workers
    return ports[worker * span:(worker + 1) * span]


PORTS = port_range()
PORTS_GIVEN = itertools.count(random.randrange(len(PORTS)))  # other programs may begin where we did, so not at the first one


def free_port():
    """Another one each time. Asked by connecting: a probe that binds it holds it on in a child that another thread forks just then."""
    while True:
        port = PORTS[next(PORTS_GIVEN) % len(PORTS)]
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED:
                return port


class Request:
    """What a watcher received."""

    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.at = time.time()
        self.status = 0
        self._events = None

    def events(self):
        if self._events is None:  # tests ask again and again
            self._events = self._read()
        return self._events

    def _read(self):
        kind = (self.headers.get("Content-Type") or "").lower()
        if kind.startswith("application/cloudevents-batch"):
            return [self._structured(event) for event in json.loads(self.body)]
        if kind.startswith("application/cloudevents") or not kind:
            return [self._structured(json.loads(self.body))]
        event = {name[3:].lower(): value for name, value in self.headers.items() if name.lower().startswith("ce-")}
        if not event:
            return [json.loads(self.body)]  # Argo's legacy form
        event["datacontenttype"] = kind
        event["data"] = json.loads(self.body) if "json" in kind else self.body
        return [event]

    @staticmethod
    def _structured(event):
        if "data_base64" in event:
            event = {**event, "data": base64.b64decode(event["data_base64"])}
        return event


class Watcher:
    """A watcher. `answer(request)` gives (status, headers); requests that were answered 2xx are accepted. down() and up() are
    its machine failing and coming back: connections are reset, its port refuses meanwhile."""

    def __init__(self, port=0, tls=None):
        self.answer = lambda request: (204, {})
        self.requests = []
        self.lock = threading.Lock()
        self.tls = tls
        self.connections = set()
        self.server = None
        self._listen(port or free_port())
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/"

    def _listen(self, port):
        watcher = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                with watcher.lock:
                    watcher.connections.add(self.connection)

            def finish(self):
                with watcher.lock:
                    watcher.connections.discard(self.connection)
                with contextlib.suppress(OSError, ValueError):
                    super().finish()

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.path, self.headers, body)
                status, headers = watcher.answer(request)
                request.status = status
                with watcher.lock:
                    watcher.requests.append(request)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 256
            allow_reuse_address = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        if self.tls is not None:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self):
        if self.server is None:
            return
        self.server.shutdown()
        self.server.server_close()
        self.server = None
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def up(self):
        if self.server is None:
            self._listen(self.port)

    def close(self):
        self.down()

    def accepted(self):
        with self.lock:
            return [request for request in self.requests if 200 <= request.status < 300]

    def events(self):
        """All events of all accepted requests, as structured-mode dictionaries with `data` decoded."""
        return [event for request in self.accepted() for event in request.events()]

    def wait_events(self, count, seconds=10):
        return wait_for(lambda: events if len(events := self.events()) >= count else None, seconds,
                        lambda: f"{count} events at the watcher: there are {len(self.events())}")


class Process:
    """One of our programs. Its log goes to a file and is shown when a test fails."""

    def __init__(self, directory, name, arguments, environment=None):
        self.name = name
        self.log = directory / f"{name}.log"
        with self.log.open("ab") as log:
            self.began = log.tell()
            self.process = subprocess.Popen([str(word) for word in arguments], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})}, cwd=directory)

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process.poll() is None

    def text(self):
        """What this run has said (not the runs before it)."""
        return self.log.read_bytes()[self.began:].decode(errors="replace")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, seconds=15):
        """Ends it in order; the exit code."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop in {seconds * SLOW} s:\n{self.text()[-4000:]}") from None


def program(name):
    found = [path for path in BUILD.rglob(name) if path.is_file() and os.access(path, os.X_OK)]
    assert found, f"{name} is not in {BUILD}: run ./dev build"
    return found[0]


class Gateway:
    """A gateway-client with its gateway-servers and files, in one directory."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.state = self.directory / "state"
        self.spec_file = self.directory / "gateway.yaml"
        self.sources_file = self.directory / "event-sources.yaml"
        self.secrets = self.directory / "secrets"
        self.admin = f"127.0.0.1:{free_port()}"
        self.processes = {}
        self.spec = {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Gateway",
            "metadata": {"name": "shop", "namespace": "default"},
            "spec": {
                "servers": [
                    {"type": "calendar", "address": f"unix:{self.directory}/calendar.sock"},
                    {"type": "webhook", "address": f"unix:{self.directory}/webhook.sock"},
                ],
                "watchers": {"http": []},
                "outbox": {"sizeMax": "1Gi", "retention": "1h", "fsync": True},
            },
        }
        self.sources = {}
        self.secrets.mkdir(exist_ok=True)

    # ---- files ----

    def watch(self, name, url, **options):
        self.spec["spec"]["watchers"]["http"].append({"name": name, "url": url, **options})
        return self

    def write_spec(self, text=None):
        self._write(self.spec_file, text if text is not None else yaml.safe_dump(self.spec))

    def write_sources(self, sources=None, text=None):
        """`sources`: key -> configuration (a dictionary, or YAML text)."""
        if sources is not None:
            self.sources = sources
        if text is None:
            data = {key: value if isinstance(value, str) else yaml.safe_dump(value) for key, value in self.sources.items()}
            text = yaml.safe_dump({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shop-events"}, "data": data})
        self._write(self.sources_file, text)

    @staticmethod
    def _write(path, text):
        temporary = path.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(path)  # as editors and kubelets do

    def secret(self, name, key, value):
        (self.secrets / name).mkdir(parents=True, exist_ok=True)
        (self.secrets / name / key).write_text(value)

    # ---- processes ----

    def start(self, name, *arguments, environment=None):
        self.processes[name] = Process(self.directory, name, arguments, environment)
        return self.processes[name]

    def server(self, kind, *flags, wait=True):
        process = self.start(kind, program(f"gateway-server-{kind}"), "--listen", f"unix:{self.directory}/{kind}.sock",
                             "--secrets", self.secrets, *flags)
        if wait:
            wait_for(lambda: "listening" in process.text() or not process.running(), 10, f"{kind} to listen")
        return process

    def client(self, *flags, wait=True):
        process = self.start("client", program("gateway-client"), "run", "--gateway", self.spec_file, "--event-sources",
                             self.sources_file, "--state", self.state, "--admin", self.admin, "--secrets", self.secrets, *flags)
        if wait:
            wait_for(lambda: self.get("/healthz")[0] == 200 or not process.running(), 10, "the client's admin address")
        return process

    def up(self, servers=("calendar", "webhook")):
        """Files as they are, the servers, the client; waits until every source runs."""
        self.write_spec()
        self.write_sources()
        for kind in servers:
            self.server(kind)
        self.client()
        self.wait_running(*self.sources)
        return self

    def run(self, *words, timeout=30):
        """A subcommand of gateway-client, run to its end."""
        return subprocess.run([str(program("gateway-client")), *[str(word) for word in words]], capture_output=True, text=True,
                              timeout=timeout * SLOW, cwd=self.directory)

    def down(self):
        """Stops all; every process must end in order and without a sanitizer's report."""
        faults = []
        for name, process in reversed(self.processes.items()):
            was_running = process.running()
            try:
                code = process.stop()
                if was_running and code != 0:
                    faults.append(f"{name} ended with {code}")
            except AssertionError as fault:
                faults.append(str(fault))
            text = process.log.read_text(errors="replace")
            for mark in ("AddressSanitizer", "LeakSanitizer", "runtime error:", "ThreadSanitizer", "Assertion"):
                if mark in text:
                    faults.append(f"{name}: {mark}\n{text[-6000:]}")
        assert not faults, "\n".join(faults)

    # ---- looking ----

    def get(self, path, method="GET"):
        try:
            with contextlib.closing(http.client.HTTPConnection(self.admin, timeout=5)) as connection:
                connection.request(method, path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""

    def status(self):
        code, text = self.get("/api/v1/status")
        return json.loads(text) if code == 200 else None

    def source(self, key):
        status = self.status()
        return next((source for source in status["sources"] if source["key"] == key), None) if status else None

    def watcher(self, name):
        status = self.status()
        return next((watcher for watcher in status["watchers"] if watcher["name"] == name), None) if status else None

    def metric(self, name, **labels):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith((name + " ", name + "{")) and all(f'{key}="{value}"' in line for key, value in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return None

    def wait_running(self, *keys, seconds=10):
        def running():
            status = self.status()
            states = {source["key"]: source["state"] for source in status["sources"]} if status else {}
            return all(states.get(key) == "running" for key in keys)
        wait_for(running, seconds, lambda: f"{keys} to run; status: {json.dumps(self.status(), indent=1)}")


def webhook(port, endpoint="/orders", **settings):
    return {"port": str(port), "endpoint": endpoint, "method": "POST", "address": "127.0.0.1", **settings}


def post(port, path, body=b"{}", headers=None, method="POST", timeout=15):
    """One request: (status, headers, body); status 0 when the connection failed."""
    try:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout * SLOW)) as connection:
            connection.request(method, path, body, headers if headers is not None else {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
    except (OSError, http.client.HTTPException):
        return 0, {}, b""
