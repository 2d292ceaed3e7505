"""From a ConfigMap to CloudEvents at the watchers."""

import json

from harness import free_port, post, wait_for, webhook


def test_a_webhook_request_arrives_as_a_cloudevent(gateway, watcher):
    """A request is posted to a webhook; it is answered once it is durable; the watcher gets it as a CloudEvent 1.0."""
    port = free_port()
    gateway.watch("orders", watcher.url).write_sources({"webhook.orders": webhook(port)})
    gateway.up()

    status, _, _ = post(port, "/orders", json.dumps({"sku": "A-1"}))

    assert status == 200
    event = watcher.wait_events(1)[0]
    assert event["specversion"] == "1.0"
    assert event["type"] == "sluice.webhook.request"
    assert event["source"] == "/gateways/default/shop/webhook.orders"
    assert event["subject"] == "orders"
    assert event["datacontenttype"] == "application/json"
    assert event["data"] == {"sku": "A-1"}


def test_calendar_ticks_arrive_once_each(gateway, watcher):
    """An interval of 200 ms ticks; every tick's id is its scheduled time; none comes twice, none is left out."""
    gateway.watch("ticks", watcher.url).write_sources({"calendar.tick": {"interval": "200ms"}})
    gateway.up()

    events = watcher.wait_events(10)

    ids = [event["id"] for event in events]
    assert len(set(ids)) == len(ids)
    assert all(event["type"] == "sluice.calendar.tick" for event in events)
    assert gateway.watcher("ticks")["failures"] == 0


def test_servers_may_come_and_go(gateway, watcher):
    """The client starts without any server; sources run once it comes; it is killed and comes back; nothing else is restarted."""
    port = free_port()
    gateway.watch("orders", watcher.url).write_sources({"webhook.orders": webhook(port), "calendar.tick": {"interval": "500ms"}})
    gateway.write_spec()
    gateway.client()
    wait_for(lambda: (gateway.source("webhook.orders") or {}).get("state") == "failing", 10, "the source to fail")
    assert "webhook.sock" in gateway.source("webhook.orders")["message"]

    gateway.server("webhook")
    gateway.server("calendar")
    gateway.wait_running("webhook.orders", "calendar.tick")
    gateway.processes["webhook"].kill()
    wait_for(lambda: gateway.source("webhook.orders")["state"] != "running", 10, "the loss to show")
    gateway.server("webhook")
    gateway.wait_running("webhook.orders")

    assert post(port, "/orders")[0] == 200
    wait_for(lambda: any(event["type"] == "sluice.webhook.request" for event in watcher.events()), 10, "the event")
    assert gateway.source("calendar.tick")["restarts"] == 0
