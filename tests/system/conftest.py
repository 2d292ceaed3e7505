"""Fixtures: a gateway in a temporary directory, watchers, and an API server (see kube.py)."""

import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from contracts import Server, load_protos  # noqa: E402
from harness import Gateway, Watcher  # noqa: E402
from kube import Cluster, Wire  # noqa: E402


# A file's tests run in one worker of those beside each other (pytest-xdist), because they share what is slow to start. What takes
# longest goes first, so that none of it is begun when the other workers end.
FIRST = ["test_cluster", "test_check_server", "test_resource", "test_example_servers"]


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


def pytest_configure(config):
    config.addinivalue_line("markers", "once: runs with the plain build alone, not again under sanitizers: it is not about our C code, or takes long and says little more")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for process in {id(process): process for argument in item.funcargs.values()
                        for process in getattr(argument, "processes", {}).values()}.values():
            report.sections.append((f"log of {process.name}", process.text()[-8000:]))


@pytest.fixture
def gateway(tmp_path):
    gateway = Gateway(tmp_path)
    yield gateway
    gateway.down()


@pytest.fixture
def watcher():
    watcher = Watcher()
    yield watcher
    watcher.close()


@pytest.fixture(scope="session")
def cluster_of_session(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("kube"))
    yield cluster
    cluster.heal()
    cluster.stop()


@pytest.fixture
def cluster(cluster_of_session):
    cluster_of_session.heal()
    return cluster_of_session


@pytest.fixture
def namespace(cluster):
    return cluster.namespace()


@pytest.fixture(scope="module")
def uncached_cluster(tmp_path_factory):
    cluster = Cluster(tmp_path_factory.mktemp("kube-uncached"), "--watch-cache=false")
    yield cluster
    cluster.stop()


@pytest.fixture
def wire(cluster):
    wire = Wire(cluster)
    yield wire
    wire.close()


@pytest.fixture(scope="session")
def pb(tmp_path_factory):
    """The contracts as Python modules."""
    return load_protos(tmp_path_factory.mktemp("protos"))


@pytest.fixture
def serve():
    """Starts gRPC servers in Python; they end with the test."""
    servers = []

    def start(*adds, **more):
        servers.append(Server(*adds, **more))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
