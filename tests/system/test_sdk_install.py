"""The SDK outside the tree: installed, found by pkg-config, and a server of one file built against it."""

import os
import pathlib
import shutil
import subprocess

import pytest

from harness import BUILD, wait_for

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/gateway-servers/c-out-of-tree"
SOON = 30


@pytest.fixture(scope="module")
def spool(tmp_path_factory):
    """gateway-server-spool, built as its README says, from a copy that lies outside the tree."""
    folder = tmp_path_factory.mktemp("sdk")
    subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", folder / "root"], check=True,
                   env={**os.environ, "DESTDIR": ""})
    pc = next((folder / "root").rglob("sluice-server-sdk.pc"))
    prefix = pc.parents[3] if pc.parents[1].name != "lib" else pc.parents[2]
    text = pc.read_text().splitlines()
    pc.write_text("\n".join(f"prefix={prefix}" if line.startswith("prefix=") else line for line in text) + "\n")
    shutil.copytree(EXAMPLE, folder / "spool", ignore=shutil.ignore_patterns("gateway-server-spool"))
    subprocess.run(["make", "-s", f"PKG_CONFIG_PATH={pc.parent}", "CFLAGS=-O1 -Wall -Wextra -Wpedantic -Werror"], cwd=folder / "spool",
                   check=True)
    return folder / "spool" / "gateway-server-spool"


def drop(directory, name, text):
    (directory / f".{name}").write_text(text)
    (directory / f".{name}").rename(directory / name)


def test_a_server_outside_the_tree_spools_files(gateway, watcher, spool, tmp_path):
    """Files become events and go when they are durable; kill -9 of the server and of the client loses none and doubles none."""
    directory = tmp_path / "in"
    directory.mkdir()
    gateway.spec["spec"]["servers"] = [{"type": "spool", "address": f"unix:{tmp_path}/spool.sock"}]
    gateway.watch("w", watcher.url).write_spec()
    gateway.write_sources({"spool.in": {"directory": str(directory), "sizeMax": "1Ki"}})

    def server():
        return gateway.start("spool", spool, "--listen", f"unix:{tmp_path}/spool.sock")

    server()
    drop(directory, "0000.json", '{"n": 0}')
    gateway.client()
    gateway.wait_running("spool.in", seconds=SOON)
    assert watcher.wait_events(1, SOON)[0]["subject"] == "0000.json"
    for turn in range(1, 5):
        for number in range(100):
            drop(directory, f"{turn}{number:03}.json", '{"n": %d}' % (1000 * turn + number))
            if number == 50:
                gateway.processes["spool" if turn % 2 else "client"].kill()
        server() if turn % 2 else gateway.client()
    wait_for(lambda: not list(directory.iterdir()), 60, lambda: f"{len(list(directory.iterdir()))} files to go")

    def ids():
        return {(event["subject"], event["id"]) for event in watcher.events()}

    wait_for(lambda: len(ids()) >= 401, SOON, lambda: f"{401 - len(ids())} events that are missing")
    assert len(ids()) == 401 and len({subject for subject, _ in ids()}) == 401
    drop(directory, "large", "x" * 2000)
    wait_for(lambda: "larger than sizeMax" in gateway.source("spool.in")["notice"], SOON, "the words")
    assert (directory / "large").exists()
