"""Fixtures: a gateway in a temporary directory, and watchers."""

import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import Gateway, Watcher  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and "gateway" in item.funcargs:
        for process in item.funcargs["gateway"].processes.values():
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
