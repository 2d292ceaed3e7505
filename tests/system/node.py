"""A whole one-node Kubernetes (tests/peers/kubecluster), with our image imported.

It lives in a network namespace of its own: kubectl() and fetch() go in there; so does a thread that says enter() first."""

import collections
import contextlib
import ctypes
import http.client
import itertools
import json
import pathlib
import subprocess
import threading

import yaml

from harness import wait_for
from kube import kubectl_program
from manifests import NAMESPACE

ROOT = pathlib.Path(__file__).resolve().parents[2]
PEER = ROOT / "tests" / "peers" / "kubecluster"
CLONE_NEWNET = 0x40000000


def why_not():
    """Why no cluster can run on this machine; "" when one can."""
    done = subprocess.run([str(PEER / "start"), "--check"], capture_output=True, text=True, timeout=60)
    return "" if done.returncode == 0 else done.stderr.strip()


def build_image(path):
    """Our image, as ./dev image makes it."""
    done = subprocess.run([str(ROOT / "image" / "make"), "--rootfs", str(path)], capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stderr[-4000:]
    return path


class Node:
    def __init__(self, directory, *images):
        self.directory = pathlib.Path(directory)
        done = subprocess.run([str(PEER / "start"), str(directory), *map(str, images)], stdout=subprocess.PIPE, text=True,
                              stdin=subprocess.DEVNULL, timeout=1500)  # the first time, it is built
        assert done.returncode == 0, f"the cluster does not start: see {directory}"
        values = dict(line.split("=", 1) for line in done.stdout.splitlines())
        self.kubeconfig, self.netns = values["KUBECONFIG"], f"/run/netns/{values['KUBE_NETNS']}"

    def stop(self):
        subprocess.run([str(PEER / "stop"), str(self.directory)], check=True, timeout=120)

    # ---- speaking to it ----

    def enter(self):
        """Takes the calling thread, and no other, into the node's network namespace."""
        with open(self.netns) as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def fetch(self, host, port, path="/", method="GET", body=None):
        """One request from the node: (status, text); status 0 when there was no answer."""
        answers = []

        def ask():
            self.enter()
            with contextlib.suppress(OSError, http.client.HTTPException), \
                    contextlib.closing(http.client.HTTPConnection(host, port, timeout=10)) as connection:
                connection.request(method, path, body)
                answer = connection.getresponse()
                answers.append((answer.status, answer.read().decode()))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        return answers[0] if answers else (0, "")

    def try_kubectl(self, *words, input=None, timeout=120):
        return subprocess.run(["nsenter", f"--net={self.netns}", kubectl_program(), "--kubeconfig", self.kubeconfig,
                               "--namespace", NAMESPACE, *map(str, words)], input=input, capture_output=True, text=True,
                              timeout=timeout)

    def kubectl(self, *words, input=None, timeout=120):
        """What it prints. It must succeed."""
        done = self.try_kubectl(*words, input=input, timeout=timeout)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, words))}: {done.stderr}"
        return done.stdout

    def apply(self, documents):
        documents = documents if isinstance(documents, list) else [documents]
        return self.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(documents))

    def get(self, *words):
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    # ---- looking at it ----

    def pods(self, component):
        """Of a component, that are not on their way out."""
        found = self.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def rolled_out(self, deployment, seconds=120):
        self.kubectl("rollout", "status", f"deployment/{deployment}", f"--timeout={seconds}s", timeout=seconds + 30)

    def restarts(self, component):
        return {status["name"]: status["restartCount"] for pod in self.pods(component)
                for status in pod["status"].get("containerStatuses", [])}

    def pids(self, pod, name):
        """Of the processes of a container, as this machine counts them."""
        status = next(status for status in pod["status"]["containerStatuses"] if status["name"] == name)
        container = status["containerID"].rpartition("/")[2]
        return [int(path.parent.name) for path in pathlib.Path("/proc").glob("[0-9]*/cgroup") if contains(path, container)]

    def volume(self, name, size="5Gi"):
        """A PersistentVolume on this machine, for a claim that names no class."""
        path = self.directory / "volumes" / name
        path.mkdir(parents=True)
        self.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
                    "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                             "persistentVolumeReclaimPolicy": "Delete", "local": {"path": str(path)},
                             "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                                 {"key": "kubernetes.io/hostname", "operator": "Exists"}]}]}}}})

    def events_at(self, watcher):
        """The CloudEvents that a watcher (gateway-client listen --json) has printed, in order."""
        lines = self.kubectl("logs", f"deployment/{watcher}", "--tail=-1").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def wait_event(self, watcher, wanted, seconds=60, what="an event"):
        return wait_for(lambda: next((event for event in self.events_at(watcher) if wanted(event)), None), seconds, what)


def contains(path, text):
    with contextlib.suppress(OSError):
        return text in path.read_text()
    return False


class Orders(threading.Thread):
    """A sender of webhooks outside of the cluster's Pods: posts numbers, each again and again until it is answered 2xx."""

    RATE = 50  # a second

    def __init__(self, node, host, port, path):
        super().__init__(daemon=True)
        self.node, self.host, self.port, self.path = node, host, port, path
        self.accepted, self.answers = [], collections.Counter()
        self.ending = threading.Event()

    def post(self, connection, number):
        connection.request("POST", self.path, json.dumps({"order": number}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def run(self):
        self.node.enter()
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        for number in itertools.count():
            status = 0
            while not 200 <= status < 300:
                if self.ending.wait(1 / self.RATE):
                    return
                try:
                    status = self.post(connection, number)
                except (OSError, http.client.HTTPException):
                    status = 0
                    connection.close()
                self.answers[status] += 1
            self.accepted.append(number)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join(30)

    def more(self, count, seconds=60):
        """Waits until so many more were accepted."""
        before = len(self.accepted)
        wait_for(lambda: len(self.accepted) >= before + count, seconds, lambda: f"{count} more orders; answers: {self.answers}")
