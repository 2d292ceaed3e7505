"""Secrets of the cluster: --secrets kubernetes, through the real API server, with an account that may read nothing else."""

import subprocess

import pytest
from harness import post, program, wait_for, webhook

TOKENS = {"bearer": {"name": "tokens", "key": "incoming"}}


def may_read(*names):
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["list", "watch"]}
    return [{**rule, "resourceNames": list(names)} if names else rule]


def flags(account, secrets="kubernetes"):
    return "--secrets", secrets, "--kubeconfig", account.kubeconfig, "--log-level", "debug"


def up(gateway, account, sources, ports):
    """Webhook sources by key: settings; all of it with secrets of the cluster."""
    gateway.write_spec()
    gateway.write_sources({f"webhook.{key}": webhook(ports[key], f"/{key}", **settings) for key, settings in sources.items()})
    gateway.server("webhook", *flags(account))
    gateway.client(*flags(account))


def send(port, key, token):
    return post(port, f"/{key}", b'{"n":1}', {"Content-Type": "application/json", "Authorization": f"Bearer {token}"})[0]


def state(gateway, key):
    source = gateway.source(f"webhook.{key}")
    return (source["state"], source["message"]) if source else None


def wait_words(gateway, key, words, seconds=30):
    wait_for(lambda: state(gateway, key) and words in state(gateway, key)[1], seconds,
             lambda: f"{words!r}; it says {state(gateway, key)}")


@pytest.fixture
def ports(gateway):
    from harness import free_port
    return {key: free_port() for key in ("orders", "open", "other")}


def test_a_rotated_secret_counts_without_a_restart(gateway, watcher, namespace, ports):
    """A webhook checks a bearer token, from a Secret that is then rotated: the new token passes, the old one does not any
    more. Neither this source nor its neighbour without a secret is started again. No value is in any log."""
    namespace.secret("tokens", incoming="first-value", unused="unused-value")
    account = namespace.account(may_read("tokens"))
    gateway.watch("sink", watcher.url)
    up(gateway, account, {"orders": {"auth": TOKENS}, "open": {}}, ports)
    gateway.wait_running("webhook.orders", "webhook.open", seconds=30)
    assert send(ports["orders"], "orders", "first-value") == 200
    assert send(ports["orders"], "orders", "second-value") == 401
    namespace.secret("tokens", incoming="second-value\n")
    wait_for(lambda: send(ports["orders"], "orders", "second-value") == 200, 30, "the new token to pass")
    assert send(ports["orders"], "orders", "first-value") == 401
    watcher.wait_events(2)
    for process in gateway.processes.values():
        assert process.text().count("event source started") == (2 if process.name == "webhook" else 0)
        assert not any(value in process.text() for value in ("-value", "Zmlyc3Q")), process.name


def test_what_is_missing_is_said_and_heals_by_itself(gateway, namespace, ports):
    """No Secret: the source says so. A Secret with another key: it says that, and which key is like it. With the key it runs.
    Sources that need none ran all the time."""
    account = namespace.account(may_read("tokens"))
    up(gateway, account, {"orders": {"auth": TOKENS}, "open": {}}, ports)
    gateway.wait_running("webhook.open", seconds=30)
    wait_words(gateway, "orders", f'there is no secret "tokens" in namespace "{namespace.name}"')
    assert state(gateway, "orders")[0] == "failing"
    namespace.secret("tokens", incomming="value")
    wait_words(gateway, "orders", f'secret "tokens" in namespace "{namespace.name}" has no key "incoming"; did you mean "incomming"?')
    namespace.secret("tokens", incoming="value")
    gateway.wait_running("webhook.orders", seconds=60)
    assert send(ports["orders"], "orders", "value") == 200
    assert gateway.processes["webhook"].text().count("event source started") == 2


def test_what_is_forbidden_is_said_and_heals_by_itself(gateway, namespace, ports):
    """The account may not read Secrets: the source says what is missing, in the API server's words. Then it may."""
    namespace.secret("tokens", incoming="value")
    account = namespace.account()
    up(gateway, account, {"orders": {"auth": TOKENS}}, ports)
    wait_words(gateway, "orders", f'secret "tokens" in namespace "{namespace.name}" cannot be read: secrets "tokens" is forbidden: '
                                  f'User "{account.user}" cannot list resource "secrets" in API group "" in the namespace '
                                  f'"{namespace.name}"')
    account.allow(may_read("tokens"))
    gateway.wait_running("webhook.orders", seconds=90)
    assert send(ports["orders"], "orders", "value") == 200


def test_values_outlive_the_api_server(cluster, gateway, namespace, ports):
    """The API server goes away. A source that is started anew meanwhile has its secret from memory; one that nobody asked for
    before waits, and runs when the API server is back."""
    namespace.secret("tokens", incoming="value")
    namespace.secret("others", incoming="other")
    account = namespace.account(may_read("tokens", "others"))
    up(gateway, account, {"orders": {"auth": TOKENS}}, ports)
    gateway.wait_running("webhook.orders", seconds=30)
    cluster.kill()
    gateway.write_sources({"webhook.orders": webhook(ports["orders"], "/orders", auth=TOKENS, maxPayloadSize=1024),
                           "webhook.other": webhook(ports["other"], "/other", auth={"bearer": {"name": "others", "key": "incoming"}})})
    wait_for(lambda: gateway.processes["webhook"].text().count("event source started") == 2, 30, "the edited source")
    wait_for(lambda: send(ports["orders"], "orders", "value") == 200, 30, "its token")
    wait_words(gateway, "other", f'secret "others" in namespace "{namespace.name}" cannot be read: 127.0.0.1:')
    cluster.start()
    gateway.wait_running("webhook.other", "webhook.orders", seconds=90)


def test_a_watcher_gets_new_credentials_and_waits_for_missing_ones(gateway, watcher, namespace, ports):
    """A watcher's bearer token comes from a Secret that is not there yet: events are kept, and delivered when it is. It is
    rotated: from then on the new one is sent, without a single refusal. It is deleted: the last one is still sent, and the
    log says so."""
    account = namespace.account(may_read("sink"))
    seen = []
    watcher.answer = lambda request: (seen.append(request.headers.get("Authorization")), (204, {}))[1]
    gateway.watch("sink", watcher.url, bearer={"name": "sink", "key": "token"})
    up(gateway, account, {"open": {}}, ports)
    gateway.wait_running("webhook.open", seconds=30)
    assert send(ports["open"], "open", "") == 200
    wait_for(lambda: f'there is no secret "sink" in namespace "{namespace.name}"' in str(gateway.watcher("sink")), 30,
             lambda: f"the watcher to say why: {gateway.watcher('sink')}")
    assert seen == []
    namespace.secret("sink", token="one")
    watcher.wait_events(1, 30)
    assert seen == ["Bearer one"]
    namespace.secret("sink", token="two")

    def sent():
        assert send(ports["open"], "open", "") == 200
        return seen[-1]

    wait_for(lambda: sent() == "Bearer two", 30, "the new token")
    namespace.delete("Secret", "sink")
    client = gateway.processes["client"]
    wait_for(lambda: "goes on with the credentials it has" in client.text(), 30, "the warning")
    count = len(watcher.events())
    assert send(ports["open"], "open", "") == 200
    watcher.wait_events(count + 1)
    assert set(seen) == {"Bearer one", "Bearer two"} and seen[-1] == "Bearer two"


def test_another_namespace_may_be_named(cluster, gateway, namespace, ports):
    """--secrets kubernetes:NAMESPACE reads from there, also when it is not that of the kubeconfig."""
    elsewhere = cluster.namespace()
    elsewhere.secret("tokens", incoming="elsewhere")
    namespace.secret("tokens", incoming="here")
    account = namespace.account(cluster_rules=may_read())
    gateway.write_spec()
    gateway.write_sources({"webhook.orders": webhook(ports["orders"], "/orders", auth=TOKENS)})
    gateway.server("webhook", *flags(account, f"kubernetes:{elsewhere.name}"))
    gateway.client()
    gateway.wait_running("webhook.orders", seconds=30)
    assert send(ports["orders"], "orders", "here") == 401
    assert send(ports["orders"], "orders", "elsewhere") == 200


def test_what_cannot_work_is_said_at_start(gateway, tmp_path):
    """A namespace that is left out, and a kubeconfig that is not there: words, and an exit code, of client and servers."""
    gateway.write_spec()
    gateway.write_sources({})
    run = ["run", "--gateway", gateway.spec_file, "--event-sources", gateway.sources_file, "--state", gateway.state, "--admin",
           gateway.admin]
    for name, words in (("gateway-client", run), ("gateway-server-webhook", ["--listen", f"unix:{tmp_path}/w.sock"])):
        for more, code, said in ((["--secrets", "kubernetes:"], 2, "--secrets kubernetes:NAMESPACE lacks its namespace"),
                                 (["--secrets", "kubernetes", "--kubeconfig", "/nowhere"], 1, "/nowhere")):
            ended = subprocess.run([str(word) for word in (program(name), *words, *more)], capture_output=True, text=True,
                                   timeout=60, cwd=tmp_path)
            assert ended.returncode == code and said in ended.stderr, (name, more, ended.stderr)
