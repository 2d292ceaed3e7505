"""gateway-client positions: the registry of progress, listed, exported, imported, reset."""

import json

from harness import free_port, post, wait_for, webhook

SOON = 30


def positions(gateway, *words):
    return gateway.run("positions", *words, "--state", gateway.state)


def exported(gateway):
    done = positions(gateway, "list", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ticks(watcher):
    return {event["id"] for event in watcher.events() if event["subject"] == "tick"}


def test_progress_is_listed_set_and_reset(gateway, watcher):
    """A watcher whose cursor is reset gets everything again; a source whose position is set back catches up from there."""
    port = free_port()
    gateway.watch("w", watcher.url)
    gateway.sources = {"webhook.orders": webhook(port),
                       "calendar.tick": {"interval": "200ms", "catchup": {"enabled": True, "window": "1h"}}}
    gateway.up()
    for number in range(5):
        assert post(port, "/orders", json.dumps({"n": number}))[0] == 200
    wait_for(lambda: len(ticks(watcher)) >= 5, SOON, "ticks")
    gateway.source("calendar.tick")
    before = exported(gateway)  # beside the running client
    assert [source["source"] for source in before["sources"]] == ["calendar.tick"]
    shown = positions(gateway, "list").stdout
    assert "calendar.tick" in shown and "CURSOR" in shown
    refused = positions(gateway, "reset", "calendar.tick")
    assert refused.returncode == 1 and "another gateway-client" in refused.stderr
    export = gateway.directory / "export.json"
    export.write_text(json.dumps(before))

    assert gateway.processes["client"].stop() == 0
    stored = {event["id"] for event in watcher.events()}
    watcher.requests.clear()
    assert positions(gateway, "reset", "--watcher", "w").returncode == 0
    assert exported(gateway)["watchers"][0]["cursor"] == 0
    assert exported(gateway)["watchers"][0]["pending"] >= len(stored)
    gateway.client()
    wait_for(lambda: stored <= {event["id"] for event in watcher.events()}, SOON, "everything once more")

    assert gateway.processes["client"].stop() == 0
    last = exported(gateway)
    assert positions(gateway, "set", "--file", export).returncode == 0
    now = exported(gateway)
    assert now["sources"] == before["sources"] and now["watchers"][0]["cursor"] == last["watchers"][0]["cursor"]
    assert positions(gateway, "show", "calendar.tick", "--base64").stdout.strip() == before["sources"][0]["position"]
    known = ticks(watcher)
    gateway.client()
    wait_for(lambda: len(ticks(watcher) - known) > 3, SOON, "the source to go on")
    ids = [event["id"] for event in watcher.events() if event["subject"] == "tick"]
    assert known <= set(ids)  # the ticks told again are known to the outbox

    assert gateway.processes["client"].stop() == 0
    assert positions(gateway, "set", "calendar.tick", before["sources"][0]["position"], "--base64").returncode == 0
    assert "1 position forgotten" in positions(gateway, "reset", "--all").stdout
    assert exported(gateway)["sources"] == []
    for words, said in {("reset", "calendar.tick"): "there is no position", ("show", "nobody"): "there is no position",
                        ("reset", "--watcher", "nobody"): "there is no watcher",
                        ("set", "--watcher", "w", str(10**9)): "no such event yet",
                        ("set", "x", "!", "--base64"): "not base64", ("set", "x"): "set SOURCE POSITION",
                        ("set", "--file", "/nowhere"): "/nowhere", ("lst",): "list, show, set or reset"}.items():
        done = positions(gateway, *words)
        assert done.returncode in (1, 2) and said in done.stderr, (words, done)
    (gateway.directory / "bad.json").write_text('{"sources": [{"source": "a", "position": "AA=="}, {"source": "b"}]}')
    assert positions(gateway, "set", "--file", gateway.directory / "bad.json").returncode == 1
    assert exported(gateway)["sources"] == []  # all or none
