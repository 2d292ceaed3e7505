"""The client of the API server (common/kube.h) against a real one: who it says it is, and what it says when something is
wrong on the way."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import threading
import time

import pytest
from harness import SLOW, free_port, program, wait_for
from kube import Wire

WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEW = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})


class Asking:
    """kube-client: a request at a time, or several."""

    def __init__(self, directory, kubeconfig, context=None, environment=None):
        self.log = (directory / "kube-client.log").open("ab")
        words = [program("kube-client"), "--kubeconfig", kubeconfig, *(["--context", context] if context else [])]
        self.process = subprocess.Popen(list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, cwd=directory, env={**os.environ, **(environment or {})})
        self.told, self.number = [], 0
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.told.append(json.loads(line))

    def send(self, verb, path, body="", timeout=0):
        self.number += 1
        self.process.stdin.write(f"{self.number} {verb} {timeout} {path} {body}\n")
        self.process.stdin.flush()
        return self.number

    def answer(self, number):
        return wait_for(lambda: next((one for one in self.told if one["number"] == number and "status" in one), None), 60,
                        lambda: f"no answer to {number}; told: {self.told[-3:]}; {self.process.poll()}")

    def ask(self, verb, path, body="", timeout=0):
        return self.answer(self.send(verb, path, body, timeout))

    def chunks(self, number):
        return [one["chunk"] for one in self.told if one["number"] == number and "chunk" in one]

    def who(self):
        answer = self.ask("create", WHO, REVIEW)
        assert answer["status"] == 201, answer
        return json.loads(answer["body"])["status"]["userInfo"]

    def close(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait(20 * SLOW)
        self.reader.join(20)
        self.process.stdout.close()
        self.log.close()
        return code


@pytest.fixture
def asking(tmp_path):
    started = []

    def start(kubeconfig, context=None, environment=None):
        started.append(Asking(tmp_path, kubeconfig, context, environment))
        return started[-1]

    yield start
    try:
        assert [one.close() for one in started] == [0] * len(started)
    finally:
        for one in started:
            one.process.kill()
            one.process.wait()


def write_kubeconfig(path, cluster, users, server=None, **more):
    """One context for each user, of the user's name."""
    authority = {} if "certificate-authority" in more or "insecure-skip-tls-verify" in more else {
        "certificate-authority": str(cluster.ca)}
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server or cluster.url, **authority, **more}}],
        "users": [{"name": name, "user": user} for name, user in users.items()],
        "contexts": [{"name": name, "context": {"cluster": "c", "user": name}} for name in users]}))
    return path


def plugin(path, status):
    path.write_text("#!/bin/sh\ncat <<'END'\n" + json.dumps(
        {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}) + "\nEND\n")
    path.chmod(0o700)
    return {"exec": {"command": f"./{path.name}", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}}


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def test_each_kind_of_credential_is_taken(cluster, asking, tmp_path):
    """A kubeconfig with a user of each kind. The API server says who it takes each one for."""
    certificate, key = cluster.directory / "admin.crt", cluster.directory / "admin.key"
    (tmp_path / "token").write_text(cluster.token + "\n")
    far = "2100-01-01T00:00:00Z"
    users = {
        "token": {"token": cluster.token},
        "file": {"tokenFile": "token"},
        "certificate": {"client-certificate": str(certificate), "client-key": str(key)},
        "data": {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
        "program": plugin(tmp_path / "token.sh", {"token": cluster.token, "expirationTimestamp": far}),
        "program-certificate": plugin(tmp_path / "certificate.sh", {
            "clientCertificateData": certificate.read_text(), "clientKeyData": key.read_text()}),
    }
    kubeconfig = write_kubeconfig(tmp_path / "config", cluster, users)
    for name in users:
        client = asking(kubeconfig, name)
        assert client.who()["username"] == "admin", name
        assert client.close() == 0


def test_in_whose_name_is_said_to_the_letter(cluster, asking, tmp_path):
    """Impersonation with all its parts, odd characters among them."""
    user = {"token": cluster.token, "as": "jane@example.com", "as-uid": "u-7", "as-groups": ["dev", "system:authenticated"],
            "as-user-extra": {"example.com/scopes": ["view", "a b"], "plain": ["x"]}}
    who = asking(write_kubeconfig(tmp_path / "config", cluster, {"u": user}), "u").who()
    assert who["username"] == "jane@example.com" and who["uid"] == "u-7"
    assert "dev" in who["groups"]
    assert who["extra"]["example.com/scopes"] == ["view", "a b"] and who["extra"]["plain"] == ["x"]


def test_what_is_not_allowed_is_told_with_verb_resource_and_namespace(namespace, asking):
    client = asking(namespace.account([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]).kubeconfig)
    refused = client.ask("get", f"/api/v1/namespaces/{namespace.name}/configmaps?limit=500")
    assert refused["status"] == 403 and refused["reason"] == "Forbidden"
    for word in ("list", '"configmaps"', f'namespace "{namespace.name}"', "account-1"):
        assert word in refused["message"]
    assert client.ask("get", f"/api/v1/namespaces/{namespace.name}/configmaps/none")["reason"] == "NotFound"
    assert client.ask("get", "/apis/none.example/v1/things")["status"] == 403


def test_each_verb_does_what_it_says(namespace, asking, cluster):
    client = asking(cluster.kubeconfig)
    path = f"/api/v1/namespaces/{namespace.name}/configmaps"
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "thing"}, "data": {"a": "1"}}
    assert client.ask("create", path, json.dumps(thing))["status"] == 201
    again = client.ask("create", path, json.dumps(thing))
    assert again["status"] == 409 and again["reason"] == "AlreadyExists" and '"thing" already exists' in again["message"]
    assert client.ask("patch", f"{path}/thing", '{"data":{"b":"2"}}')["status"] == 200
    applied = client.ask("apply", f"{path}/thing?fieldManager=t&force=true", json.dumps({**thing, "data": {"c": "3"}}))
    assert applied["status"] == 200
    held = json.loads(client.ask("get", f"{path}/thing")["body"])
    assert held["data"] == {"a": "1", "b": "2", "c": "3"}
    stale = client.ask("update", f"{path}/thing", json.dumps({**held, "metadata": {"name": "thing", "resourceVersion": "1"}}))
    assert stale["status"] == 409 and stale["reason"] == "Conflict"
    precondition = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "no"}}
    assert client.ask("delete", f"{path}/thing", json.dumps(precondition))["status"] == 409
    assert client.ask("delete", f"{path}/thing")["status"] == 200
    assert client.ask("get", f"{path}/thing")["status"] == 404


@pytest.mark.once
def test_a_rotated_token_is_used_at_once_when_the_old_one_has_ended(namespace, asking):
    """The token ends under a running client, and the file gets a new one: no request is lost."""
    account = namespace.account()
    account.write(account.new_token(seconds=10 * SLOW))
    client = asking(account.kubeconfig)
    assert client.who()["username"] == account.user
    wait_for(lambda: client.ask("create", WHO, REVIEW)["status"] == 401, 60, lambda: "the token does not end")
    # behind each of these the API server closes the connection
    answers = [client.ask("create", WHO, REVIEW) for _ in range(20)]
    assert {(answer["status"], answer["reason"]) for answer in answers} <= {(401, "Unauthorized"), (401, "")}, answers
    account.write(account.new_token())
    assert client.who()["username"] == account.user


def test_an_authority_or_a_name_that_does_not_match_is_told_in_words(cluster, asking, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-keyout", "/dev/null",
                    "-out", tmp_path / "other.crt"], check=True, capture_output=True)
    user = {"u": {"token": cluster.token}}
    wrong = asking(write_kubeconfig(tmp_path / "a", cluster, user, **{"certificate-authority": "other.crt"}), "u")
    message = wrong.ask("get", "/version")["message"]
    assert "certificate verify failed" in message and str(tmp_path / "other.crt") in message and "context u" in message
    named = asking(write_kubeconfig(tmp_path / "b", cluster, user, **{"tls-server-name": "kubernetes.example"}), "u")
    assert "kubernetes.example" in named.ask("get", "/version")["message"]
    right = asking(write_kubeconfig(tmp_path / "c", cluster, user, **{"tls-server-name": "kubernetes.default.svc"}), "u")
    assert right.ask("get", "/version")["status"] == 200
    unsure = asking(write_kubeconfig(tmp_path / "d", cluster, user, **{"insecure-skip-tls-verify": True}), "u")
    assert unsure.who()["username"] == "admin"


class Relay:
    """Passes bytes on to the API server, from any address; with `proxy` it wants to be asked to (CONNECT)."""

    def __init__(self, cluster, host, family, proxy=False):
        self.cluster, self.proxy, self.asked = cluster, proxy, []
        self.listener = socket.create_server((host, 0), family=family)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.cluster.port))
                if self.proxy:
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += near.recv(4096)
                    self.asked.append(head.decode())
                    near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one, other):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        for side in (one, other):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


def test_an_address_of_ipv6_is_reached(cluster, asking, tmp_path):
    try:
        relay = Relay(cluster, "::1", socket.AF_INET6)
    except OSError:
        pytest.skip("no IPv6 on this machine")
    kubeconfig = write_kubeconfig(tmp_path / "config", cluster, {"u": {"token": cluster.token}}, f"https://[::1]:{relay.port}",
                                  **{"tls-server-name": "localhost"})
    assert asking(kubeconfig, "u").who()["username"] == "admin"
    relay.close()


def test_a_proxy_leads_to_the_api_server(cluster, asking, tmp_path):
    """proxy-url of the kubeconfig; then one that is not there."""
    relay = Relay(cluster, "127.0.0.1", socket.AF_INET, proxy=True)
    user = {"u": {"token": cluster.token}}
    kubeconfig = write_kubeconfig(tmp_path / "a", cluster, user, "https://kubernetes.default.svc:443",
                                  **{"proxy-url": f"http://127.0.0.1:{relay.port}"})
    assert asking(kubeconfig, "u").who()["username"] == "admin"
    assert relay.asked[0].startswith("CONNECT kubernetes.default.svc:443 HTTP/1.1\r\n")
    relay.close()
    kubeconfig = write_kubeconfig(tmp_path / "b", cluster, user, **{"proxy-url": f"http://127.0.0.1:{free_port()}"})
    refused = asking(kubeconfig, "u").ask("get", "/version")
    assert refused["status"] == 0 and "refused" in refused["message"]


@pytest.fixture
def opaque_wire(cluster):
    """HTTP/2 passes."""
    wire = Wire(cluster, plain=False)
    yield wire
    wire.close()


def test_many_requests_and_streams_share_a_few_connections(cluster, namespace, asking, opaque_wire):
    """40 watches and 400 requests over HTTP/2: each watch sees each change, nothing stands still."""
    path = f"/api/v1/namespaces/{namespace.name}/configmaps"
    namespace.apply({"kind": "ConfigMap", "metadata": {"name": "thing"}, "data": {"a": ""}})
    client = asking(namespace.account([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}],
                                      server=opaque_wire.url).kubeconfig)
    begin = namespace.get("ConfigMap", "thing")["metadata"]["resourceVersion"]
    watches = [client.send("watch", f"{path}?watch=1&resourceVersion={begin}&timeoutSeconds=300", timeout=-1) for _ in range(40)]
    for i in range(0, 400, 20):
        asked = [client.send("patch", f"{path}/thing", json.dumps({"data": {"a": str(i + j)}})) for j in range(20)]
        assert [client.answer(number)["status"] for number in asked] == [200] * 20
    client.ask("patch", f"{path}/thing", json.dumps({"data": {"a": "x" * 300000}}))
    wait_for(lambda: all(client.chunks(number) and client.chunks(number)[-1] > 300000 + 400 * 300 for number in watches), 60,
             lambda: str([client.chunks(number)[-1:] for number in watches]))
    sizes = {client.chunks(number)[-1] for number in watches}
    assert len(sizes) == 1
    assert opaque_wire.accepted <= 4


def test_a_connection_that_has_gone_silent_is_left(cluster, asking, opaque_wire, tmp_path):
    """Half-open: the connection never says anything again. One request pays for it with its timeout; the next ones go
    another way, while what streams on the old connection ends by its own limit."""
    kubeconfig = write_kubeconfig(tmp_path / "config", cluster, {"u": {"token": cluster.token}}, opaque_wire.url)
    client = asking(kubeconfig, "u")
    assert client.who()["username"] == "admin"
    opaque_wire.half_open()
    silent = client.ask("get", "/version", timeout=1500)
    assert silent["status"] == 0 and "no answer within 1.5s" in silent["message"]
    began = time.monotonic()
    assert client.ask("get", "/version", timeout=20000)["status"] == 200
    assert time.monotonic() - began < 10 * SLOW


def test_an_api_server_that_is_away_is_told_in_words_and_found_again(cluster, asking, tmp_path):
    client = asking(write_kubeconfig(tmp_path / "config", cluster, {"u": {"token": cluster.token}}), "u")
    assert client.ask("get", "/version")["status"] == 200
    cluster.freeze()
    silent = client.ask("get", "/version", timeout=1000)
    assert silent["status"] == 0 and "no answer within 1s" in silent["message"]
    cluster.thaw()
    wait_for(lambda: client.ask("get", "/version", timeout=2000)["status"] == 200, 60, lambda: "not found again")
    stream = client.send("watch", "/api/v1/configmaps?watch=1", timeout=-1)
    wait_for(lambda: client.chunks(stream), 30, lambda: "nothing streamed")
    cluster.kill()
    assert client.answer(stream)["status"] == 0
    wait_for(lambda: "connection refused" in client.ask("get", "/version")["message"], 30, lambda: str(client.told[-1:]))
    cluster.start()
    assert client.ask("get", "/version")["status"] == 200
