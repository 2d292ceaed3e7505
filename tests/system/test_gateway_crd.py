"""The custom resource definition of Gateways: what the API server takes, keeps, refuses, and shows of it."""

import pathlib
import subprocess

import pytest
import yaml

from harness import program, wait_for
from kube import Refused

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parents[2]
CRD = ROOT / "manifests/crd/gateways.argoproj.io.yaml"
EXAMPLES = sorted((pathlib.Path(__file__).parent / "gateways").glob("*.yaml"))
VERSION = "argoproj.io/v1alpha1"


@pytest.fixture(scope="module")
def definition(cluster_of_session):
    """The definition, established."""
    cluster_of_session.define_gateways()
    return yaml.safe_load(CRD.read_text())


def keys(node, path=""):
    """The paths of all members of a document."""
    if isinstance(node, list):
        return set().union(*(keys(item, path + "[]") for item in node)) if node else set()
    if not isinstance(node, dict):
        return set()
    return set().union({f"{path}.{key}" for key in node}, *(keys(value, f"{path}.{key}") for key, value in node.items()))


def properties(schema, path=""):
    """The paths of all fields of a schema, each with its part of it."""
    found = {}
    for name, below in schema.get("properties", {}).items():
        found[f"{path}.{name}"] = below
        found |= properties(below, f"{path}.{name}")
    for name, suffix in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(schema.get(name), dict):
            found |= properties(schema[name], path + suffix)
    return found


def test_each_field_has_a_description(definition):
    """What kubectl explain shows; nothing has a default that would be written into people's objects."""
    schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for path, field in properties(schema).items():
        assert field.get("description") or path == ".metadata", path
        assert "default" not in field, path


def test_the_api_server_finds_nothing_to_say_about_the_definition(cluster, definition):
    """It is structural, its names are accepted; the server-side dry run takes it as it stands in the file."""
    cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-",
                    input=CRD.read_text().replace("gateways.argoproj.io", "gateways.example.com")
                    .replace("group: argoproj.io", "group: example.com"))
    kept = cluster.get("CustomResourceDefinition", "gateways.argoproj.io", version="apiextensions.k8s.io/v1")
    conditions = {condition["type"]: condition["status"] for condition in kept["status"]["conditions"]}
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_field_that_we_read_is_kept(cluster, namespace, definition, example):
    """Examples of Argo's releases, and one with all fields, come back as they were sent; our own reader takes them too."""
    wanted = yaml.safe_load(example.read_text())
    wanted["metadata"]["namespace"] = namespace.name
    namespace.kubectl("create", "--validate=strict", "-f", "-", input=yaml.safe_dump(wanted))
    kept = namespace.get("Gateway", wanted["metadata"]["name"], VERSION)
    assert kept["spec"] == wanted["spec"]
    sources = cluster.directory / "no-sources.yaml"
    sources.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: none}, data: {}}")
    checked = subprocess.run([str(program("gateway-client")), "check", "--offline", "--gateway", str(example),
                              "--event-sources", str(sources)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_examples_have_all_fields_of_the_definition(definition):
    """So that a new field cannot be forgotten there."""
    spec = properties(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])
    seen = set().union(*(keys(yaml.safe_load(example.read_text())["spec"]) for example in EXAMPLES))
    assert set(spec) - seen == set()


@pytest.mark.parametrize("spec, words", [
    ({"servers": [{"type": "calendar"}]}, "spec.servers[0].address: Required value"),
    ({"servers": [{"type": "a", "address": "b:1", "contract": "c"}]}, 'spec.servers[0].contract: Unsupported value: "c"'),
    ({"servers": [{"type": "a", "address": "b:1", "keepalive": 30}]}, "spec.servers[0].keepalive: Invalid value"),
    ({"servers": [{"type": "a", "address": "b:1", "keepalive": "half an hour"}]}, "spec.servers[0].keepalive: Invalid value"),
    ({"outbox": {"sizeMax": "big"}}, "spec.outbox.sizeMax: Invalid value"),
    ({"watchers": {"http": [{"name": "a", "url": "b", "concurrency": 0}]}}, "spec.watchers.http[0].concurrency: Invalid value"),
    ({"watchers": {"http": [{"name": "a", "url": "b", "batchMax": "many"}]}}, "spec.watchers.http[0].batchMax: Invalid value"),
    ({"watchers": {"http": [{"name": "a", "url": "b", "bearer": {"name": "c"}}]}}, "spec.watchers.http[0].bearer.key: Required value"),
    ({"eventProtocol": {"http": {"port": {}}}}, "spec.eventProtocol.http.port: Invalid value"),
], ids=lambda value: None if isinstance(value, dict) else value.split(":")[0])
def test_what_cannot_be_right_is_refused_where_it_is_written(namespace, definition, spec, words):
    """The API server says no, with the path, before any gateway-client has to."""
    with pytest.raises(Refused) as refused:
        namespace.create({"apiVersion": VERSION, "kind": "Gateway", "metadata": {"name": "bad"}, "spec": spec})
    assert refused.value.status == 422
    assert words in str(refused.value)


def test_kubectl_knows_it_by_its_short_name(namespace, definition):
    """The columns are there for one that nobody runs, too; and strict validation names a field that does not exist."""
    namespace.apply({"apiVersion": VERSION, "kind": "Gateway", "metadata": {"name": "shop"}, "spec": {"type": "webhook"}})
    head, row = wait_for(lambda: namespace.kubectl("get", "gw").splitlines(), 30)
    assert head.split() == ["NAME", "TYPE", "SOURCES", "READY", "AGE"]
    assert row.split()[0] == "shop"
    assert namespace.kubectl("get", "gw", "-o", "wide").split()[:7] == [*head.split(), "WATCHERS", "MESSAGE"]
    with pytest.raises(AssertionError, match='unknown field "spec.servres"'):
        namespace.kubectl("create", "-f", "-", input=yaml.safe_dump(
            {"apiVersion": VERSION, "kind": "Gateway", "metadata": {"name": "typo"}, "spec": {"servres": []}}))
