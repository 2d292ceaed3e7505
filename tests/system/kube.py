"""The API server that the tests talk to: a real kube-apiserver with etcd (tests/peers/kubeapi), RBAC on; namespaces, accounts
with Roles of their own, and a wire in between that can be cut.

Fixtures (conftest.py): `cluster`, one API server for the whole run, well again at the start of each test; `namespace`, a new
one for each test; `uncached_cluster`, started with --watch-cache=false, whose compaction is answered with 410; `wire`, between
a test's programs and the API server.

    def test_something(cluster, namespace):
        namespace.apply({"kind": "ConfigMap", "metadata": {"name": "events"}, "data": {"a": "1"}})
        account = namespace.account([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "watch"]}])
        ... a program with --kubeconfig account.kubeconfig ...
        namespace.kubectl("delete", "configmap", "events")
        cluster.kill(); cluster.start()
"""

import base64
import contextlib
import http.client
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time

import yaml

from harness import SLOW, free_port, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER = ROOT / "tests" / "peers" / "kubeapi"


class Refused(Exception):
    """The API server said no. `status`: the HTTP status; `body`: its Status object."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body.get('message', body) if isinstance(body, dict) else body}")
        self.status, self.body = status, body


def alive(pid):
    """Not gone, nor waiting for a parent to look (in a container nobody may): with all its threads, for the last one of them
    closes what it listens on."""
    def states():
        for file in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                yield file.read_text().rsplit(")", 1)[1].split()[0]
    return any(state not in "ZX" for state in states())


def kubectl_program():
    beside = pathlib.Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "there is no kubectl: ./dev setup installs one"
    return found


class Cluster:
    """An API server with etcd in one directory. Their ports and data outlive stop(), kill() and start()."""

    def __init__(self, directory, *flags):
        self.directory = pathlib.Path(directory)
        self.flags = flags
        self.kinds = {}
        self.names = 0
        self.start()

    # ---- processes ----

    def start(self):
        """Starts what does not run of both; returns when the API server is ready."""
        made = subprocess.run([str(PEER / "start"), str(self.directory), *self.flags], stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=900)  # the first time, it is built
        assert made.returncode == 0, f"the API server does not start: see {self.directory}"
        values = dict(line.split("=", 1) for line in made.stdout.splitlines())
        self.url, self.ca, self.token = values["KUBE_URL"], values["KUBE_CA"], values["KUBE_TOKEN"]
        self.etcd, self.kubeconfig = values["KUBE_ETCD"], values["KUBECONFIG"]
        self.port = int(self.url.rsplit(":", 1)[1])
        self.tls = ssl.create_default_context(cafile=self.ca)
        return self

    def stop(self, *names):
        """Politely; `names`: "apiserver", "etcd"; both when none is given."""
        subprocess.run([str(PEER / "stop"), str(self.directory), *names], check=True, timeout=120)

    def kill(self, name="apiserver"):
        """With SIGKILL: its connections are reset."""
        file = self.directory / f"{name}.pid"
        pid = int(file.read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while alive(pid):
            time.sleep(0.01)
        file.unlink()

    def freeze(self, name="apiserver"):
        """It keeps its connections and says nothing, until thaw()."""
        os.kill(int((self.directory / f"{name}.pid").read_text()), signal.SIGSTOP)

    def thaw(self, name="apiserver"):
        os.kill(int((self.directory / f"{name}.pid").read_text()), signal.SIGCONT)

    def well(self):
        with contextlib.suppress(OSError, http.client.HTTPException, Refused):
            return self.request("GET", "/readyz", timeout=5) == "ok"
        return False

    def heal(self):
        """After a test that left it stopped or frozen."""
        for name in ("apiserver", "etcd"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                self.thaw(name)
        if not self.well():
            self.start()

    def compact(self):
        """Has etcd forget all history. With the watch cache on, the API server still remembers until it is restarted."""
        revision = json.loads(self._etcd("/v3/kv/range", {"key": base64.b64encode(b"\0").decode()}))["header"]["revision"]
        self._etcd("/v3/kv/compaction", {"revision": revision, "physical": True})
        return int(revision)

    def _etcd(self, path, document):
        with contextlib.closing(http.client.HTTPConnection(self.etcd.split("//")[1], timeout=30)) as connection:
            connection.request("POST", path, json.dumps(document))
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status == 200, text
            return text

    # ---- requests ----

    def request(self, method, path, document=None, token=None, kind="application/json", timeout=60):
        """The answer's document (text when it is no JSON). Raises Refused."""
        with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls,
                                                            timeout=timeout)) as connection:
            connection.request(method, path, None if document is None else json.dumps(document),
                               {"Authorization": f"Bearer {token or self.token}", "Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read().decode()
        with contextlib.suppress(ValueError):
            text = json.loads(text)
        if answer.status >= 300:
            raise Refused(answer.status, text)
        return text

    def path(self, document, namespace="default", name=None):
        """Of the object that `document` is, or (name "") of its collection. The kinds are those that the server tells."""
        version, kind = document.get("apiVersion", "v1"), document["kind"]
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if (version, kind) not in self.kinds:
            for resource in self.request("GET", base)["resources"]:
                if "/" not in resource["name"]:
                    self.kinds[version, resource["kind"]] = resource["name"], resource["namespaced"]
        plural, namespaced = self.kinds[version, kind]
        metadata = document.get("metadata", {})
        place = f"/namespaces/{metadata.get('namespace', namespace)}" if namespaced else ""
        return f"{base}{place}/{plural}/{metadata.get('name', '') if name is None else name}".rstrip("/")

    def apply(self, documents, namespace="default"):
        """Server-side apply of a document (a dictionary), several (a list), or YAML text; returns the last one as it is now."""
        if isinstance(documents, str):
            documents = [document for document in yaml.safe_load_all(documents) if document]
        made = None
        for document in documents if isinstance(documents, list) else [documents]:
            document = {"apiVersion": "v1", **document}
            made = self.request("PATCH", self.path(document, namespace) + "?fieldManager=tests&force=true", document,
                                kind="application/apply-patch+yaml")
        return made

    def create(self, document, namespace="default"):
        document = {"apiVersion": "v1", **document}
        return self.request("POST", self.path(document, namespace, ""), document)

    def get(self, kind, name, namespace="default", version="v1"):
        """None: there is none."""
        with self._absent():
            return self.request("GET", self.path({"apiVersion": version, "kind": kind}, namespace, name))

    def list(self, kind, namespace="default", version="v1", query=""):
        return self.request("GET", self.path({"apiVersion": version, "kind": kind}, namespace, "") + query)["items"]

    def patch(self, kind, name, change, namespace="default", version="v1"):
        """A merge patch."""
        path = self.path({"apiVersion": version, "kind": kind}, namespace, name)
        return self.request("PATCH", path, change, kind="application/merge-patch+json")

    def delete(self, kind, name, namespace="default", version="v1"):
        with self._absent():
            return self.request("DELETE", self.path({"apiVersion": version, "kind": kind}, namespace, name))

    @staticmethod
    @contextlib.contextmanager
    def _absent():
        try:
            yield
        except Refused as refused:
            if refused.status != 404:
                raise

    def define_gateways(self, *words):
        """The definition of the Gateway resource: applied, and in force. (kubectl wait fails where there are no conditions yet.)"""
        self.kubectl("apply", *(words or ("-f", ROOT / "manifests/crd/gateways.argoproj.io.yaml")))

        def established():
            definition = json.loads(self.kubectl("get", "crd", "gateways.argoproj.io", "-o", "json"))
            return any(each["type"] == "Established" and each["status"] == "True"
                       for each in definition.get("status", {}).get("conditions") or [])

        wait_for(established, 60, "the definition")

    def kubectl(self, *words, input=None, kubeconfig=None, timeout=60):
        """What it prints. It must succeed."""
        done = subprocess.run([kubectl_program(), "--kubeconfig", str(kubeconfig or self.kubeconfig), *map(str, words)],
                              input=input, capture_output=True, text=True, timeout=timeout * SLOW)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, words))}: {done.stderr}"
        return done.stdout

    def namespace(self):
        self.names += 1
        return Namespace(self, f"test-{self.names}")

    def write_kubeconfig(self, path, user, namespace, server=None):
        """`user`: its credentials, as kubeconfig has them."""
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": server or self.url, "certificate-authority": str(self.ca)}}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}]}))
        return path


class Namespace:
    """A namespace, with the cluster's verbs bound to it. No controller runs that would empty a deleted one: it stays."""

    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name
        self.accounts = 0
        cluster.apply({"kind": "Namespace", "metadata": {"name": name}})

    def apply(self, documents):
        return self.cluster.apply(documents, self.name)

    def create(self, document):
        return self.cluster.create(document, self.name)

    def get(self, kind, name, version="v1"):
        return self.cluster.get(kind, name, self.name, version)

    def list(self, kind, version="v1", query=""):
        return self.cluster.list(kind, self.name, version, query)

    def patch(self, kind, name, change, version="v1"):
        return self.cluster.patch(kind, name, change, self.name, version)

    def delete(self, kind, name, version="v1"):
        return self.cluster.delete(kind, name, self.name, version)

    def kubectl(self, *words, **options):
        return self.cluster.kubectl("--namespace", self.name, *words, **options)

    def secret(self, name, **values):
        """A Secret of these keys, whole: keys that are not given go."""
        document = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque",
                    "data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}
        if self.get("Secret", name) is None:
            return self.create(document)
        return self.cluster.request("PUT", self.cluster.path(document, self.name), document)

    def account(self, rules=(), cluster_rules=(), server=None):
        """A service account that may do what `rules` say in this namespace (and `cluster_rules` everywhere), with a
        kubeconfig. `server`: another URL than the API server's own, a wire's for example."""
        self.accounts += 1
        return Account(self, f"account-{self.accounts}", rules, cluster_rules, server)


class Account:
    def __init__(self, namespace, name, rules, cluster_rules, server):
        self.namespace, self.name = namespace, name
        self.user = f"system:serviceaccount:{namespace.name}:{name}"
        self.uid = namespace.apply({"kind": "ServiceAccount", "metadata": {"name": name}})["metadata"]["uid"]
        self.kubeconfig = namespace.cluster.directory / f"{namespace.name}-{name}.kubeconfig"
        self.token_file = self.kubeconfig.with_suffix(".token")
        namespace.cluster.write_kubeconfig(self.kubeconfig, {"tokenFile": str(self.token_file)}, namespace.name, server)
        self.allow(rules)
        if cluster_rules:
            self._bind("ClusterRole", f"{namespace.name}-{name}", cluster_rules)
        self.write(self.new_token())

    def allow(self, rules):
        """It may do this and no more; it takes effect within moments."""
        self._bind("Role", self.name, rules)

    def _bind(self, kind, name, rules):
        cluster, version = self.namespace.cluster, "rbac.authorization.k8s.io/v1"
        role = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "rules": list(rules)}
        binding = {"apiVersion": version, "kind": f"{kind}Binding", "metadata": {"name": name},
                   "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
                   "subjects": [{"kind": "ServiceAccount", "name": self.name, "namespace": self.namespace.name}]}
        cluster.apply([role, binding], self.namespace.name)

    def write(self, token):
        """Puts `token` into the file that the kubeconfig names (tokenFile): so it can be rotated under a running program."""
        self.token = token
        temporary = self.token_file.with_suffix(".new")
        temporary.write_text(token)
        temporary.replace(self.token_file)

    def new_token(self, seconds=None):
        """By TokenRequest, for an hour. With `seconds` one that ends sooner than the API server would agree to: signed
        here with its key. A server that has just seen it still takes it for ten seconds more."""
        if seconds is None:
            path = f"/api/v1/namespaces/{self.namespace.name}/serviceaccounts/{self.name}/token"
            document = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
            return self.namespace.cluster.request("POST", path, document)["status"]["token"]
        now, issuer = int(time.time()), "https://kubernetes.default.svc"
        end = now + seconds - 60  # the API server allows clocks to differ by a minute
        return sign({"iss": issuer, "aud": [issuer], "sub": self.user, "iat": end - 3600, "nbf": end - 3600, "exp": end,
                     "kubernetes.io": {"namespace": self.namespace.name,
                                       "serviceaccount": {"name": self.name, "uid": self.uid}}},
                    self.namespace.cluster.directory / "sa.key")


def sign(claims, key):
    """A JSON Web Token of algorithm ES256."""
    def base64url(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    def number(der):  # INTEGER of ASN.1
        return der[2:2 + der[1]][-32:].rjust(32, b"\0"), der[2 + der[1]:]

    signed = b".".join(base64url(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims))
    der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=signed, capture_output=True,
                         check=True).stdout
    r, rest = number(der[2:])
    s, _ = number(rest)
    return (signed + b"." + base64url(r.lstrip(b"\0").rjust(32, b"\0") + s.lstrip(b"\0").rjust(32, b"\0"))).decode()


class Wire:
    """A TCP proxy in front of the API server. `url` goes into the kubeconfigs of those who shall speak through it. With
    `plain` it ends TLS itself, with the API server's own certificate, and speaks HTTP/1.1 onwards, so that it knows where
    in the stream it is; else it passes bytes (and HTTP/2) on unseen.

        cut()            resets every connection
        down(), up()     new connections are refused; with down() the present ones are cut too
        stall(), flow()  nothing passes, and nothing is said of it
        half_open()      the present connections never say anything again, not even their end; new ones work
        cut_inside(text) the next time the server sends `text`, only its first half passes; then it is cut
    """

    def __init__(self, cluster, plain=True):
        self.cluster = cluster
        self.port = free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.flowing = threading.Event()
        self.flowing.set()
        self.lock = threading.Lock()
        self.connections = set()
        self.accepted = 0  # connections so far
        self.needle = None
        self.found = threading.Event()
        self.closed = False
        self.listener = None
        self.server_side = None
        if plain:
            self.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.server_side.load_cert_chain(cluster.directory / "server.crt", cluster.directory / "server.key")
            self.server_side.set_alpn_protocols(["http/1.1"])
        self.up()

    def up(self):
        if self.listener is None:
            self.listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def down(self):
        if self.listener is not None:
            with contextlib.suppress(OSError):
                self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self.listener.close()
            self.listener = None
        self.cut()

    def cut(self):
        with self.lock:
            connections, self.connections = list(self.connections), set()
        for connection in connections:
            connection.cut()

    def stall(self):
        self.flowing.clear()

    def flow(self):
        self.flowing.set()

    def half_open(self):
        with self.lock:
            for connection in self.connections:
                connection.dead = True

    def cut_inside(self, text):
        assert self.server_side, "needs a wire that ends TLS"
        self.found.clear()
        self.needle = text.encode()

    def close(self):
        self.closed = True
        self.down()
        self.flow()

    def _accept(self, listener):
        while not self.closed:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near):
        try:
            near.settimeout(30)
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far = socket.create_connection(("127.0.0.1", self.cluster.port), 10)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.server_side:
                near = self.server_side.wrap_socket(near, server_side=True)
                far = self.cluster.tls.wrap_socket(far, server_hostname="127.0.0.1")
            connection = Connection(self, near, far)
        except OSError:
            near.close()
            return
        with self.lock:
            self.accepted += 1
            self.connections.add(connection)
        connection.run()
        with self.lock:
            self.connections.discard(connection)


class Connection:
    """One of a wire's: a pair of sockets, and one thread that carries bytes both ways."""

    def __init__(self, wire, near, far):
        self.wire, self.near, self.far = wire, near, far
        self.dead = False
        self.ended = threading.Event()
        self.tail = b""
        near.settimeout(0)
        far.settimeout(0)

    def cut(self):
        """Reset, not closed: what is under way is lost."""
        for side in (self.near, self.far):
            with contextlib.suppress(OSError):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.ended.set()

    def run(self):
        try:
            while not self.ended.is_set():
                if self.dead or not self.wire.flowing.is_set():
                    self.ended.wait(0.02)
                    continue
                sides = [self.near, self.far]
                ready = [side for side in sides if isinstance(side, ssl.SSLSocket) and side.pending()]
                ready = ready or select.select(sides, [], [], 0.05)[0]
                if self.dead or not self.wire.flowing.is_set():
                    continue
                for side in ready:
                    self._carry(side, self.far if side is self.near else self.near)
        except (OSError, EOFError):
            pass
        finally:
            if not self.ended.is_set():
                self._end_in_order()
            self.near.close()
            self.far.close()

    @staticmethod
    def _read(side):
        try:
            data = side.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            return None
        if not data:
            raise EOFError
        return data

    def _carry(self, side, other):
        data = self._read(side)
        if data is None:
            return
        if side is self.far and self.wire.needle:
            data = self._up_to_needle(data)
        while data and not self.ended.is_set():
            try:
                data = data[other.send(data):]
            except (ssl.SSLWantWriteError, BlockingIOError):
                select.select([], [other], [], 0.05)
        if self.wire.found.is_set() and side is self.far and self.wire.needle:
            self.wire.needle = None
            time.sleep(0.1)  # what was sent is to arrive; a reset would overtake it
            self.cut()

    def _up_to_needle(self, data):
        """What passes: all, or up to the middle of the needle. (One that is spread over two reads is found by its second
        part, and cut there.)"""
        needle = self.wire.needle
        at = (self.tail + data).find(needle)
        if at < 0:
            self.tail = (self.tail + data)[-len(needle):]
            return data
        self.wire.found.set()
        return data[:max(0, at + len(needle) // 2 - len(self.tail))]

    def _end_in_order(self):
        if isinstance(self.near, ssl.SSLSocket):
            with contextlib.suppress(OSError, ValueError):
                self.near.unwrap()
