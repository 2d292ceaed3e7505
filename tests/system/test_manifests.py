"""manifests/: what they render is what the real API server takes, Pod Security "restricted" admits their Pods, and their Roles are
enough for what runs under them and hold nothing that it does not need. test_cluster.py sees them at work.

Kinds of others (ServiceMonitor, cert-manager's) are checked for being well-formed objects only: the API server here has
stand-ins for them, without schemas."""

import base64
import copy
import json
import re
import subprocess

import pytest
import yaml

from harness import Gateway, free_port, post, program, wait_for
from kube import Cluster, Refused, kubectl_program
from manifests import BUNDLES, MANIFESTS, NAMESPACE, container, named, of_kind, pods, render

pytestmark = pytest.mark.once

ROOT = MANIFESTS.parent
STAND_INS = [("monitoring.coreos.com", "ServiceMonitor", "servicemonitors"), ("cert-manager.io", "Issuer", "issuers"),
             ("cert-manager.io", "Certificate", "certificates")]


def stand_in(group, kind, plural):
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                     "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}}


def served(cluster, path):
    try:
        cluster.request("GET", path)
    except Refused:
        return False
    return True


@pytest.fixture
def ready_cluster(cluster):
    """An API server with the kinds, and with the namespace of the manifests."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", MANIFESTS / "crd")
    for group, kind, plural in STAND_INS:
        cluster.apply(stand_in(group, kind, plural))
    for path in ("/apis/argoproj.io/v1alpha1", *(f"/apis/{group}/v1" for group, _, _ in STAND_INS)):
        wait_for(lambda path=path: served(cluster, path), 30, f"{path} to be served")
    cluster.apply(named(render(MANIFESTS / "base"), "Namespace", NAMESPACE))
    return cluster


def kubectl(cluster):
    return [kubectl_program(), "--kubeconfig", str(cluster.kubeconfig)]


# ---- what the API server says of them ----


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_the_api_server_takes_all_of_it(ready_cluster, bundle):
    """A server-side dry run of every object, with unknown fields refused, gives no error and no warning."""
    done = subprocess.run(
        [*kubectl(ready_cluster), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", str(bundle)],
        capture_output=True, text=True, timeout=120)

    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.count("serverside-applied (server dry run)") == len(render(bundle))


def test_the_dry_run_would_say_what_is_wrong(ready_cluster):
    """The same with a field that Deployments do not have, and with one that Gateways do not have, is refused by name."""
    documents = render(MANIFESTS / "base")
    named(documents, "Deployment", "gateway")["spec"]["replica"] = 1
    named(documents, "Gateway", "gateway")["spec"]["watcher"] = {}
    done = subprocess.run([*kubectl(ready_cluster), "apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"],
                          input=yaml.safe_dump_all(documents), capture_output=True, text=True, timeout=120)

    assert done.returncode != 0
    assert "replica" in done.stderr and "watcher" in done.stderr


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_pod_security_restricted_admits_every_pod(ready_cluster, bundle):
    """Every workload's template, made into a Pod, is really created in a namespace that enforces the level "restricted"."""
    namespace = ready_cluster.get("Namespace", NAMESPACE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    made = list(pods(render(bundle)))

    assert made
    for pod in made:
        pod["metadata"]["name"] = f"{bundle.name}-{pod['metadata']['name']}"
        ready_cluster.create(pod, NAMESPACE)
        ready_cluster.delete("Pod", pod["metadata"]["name"], NAMESPACE)


@pytest.mark.parametrize("harm", [
    lambda spec: spec["securityContext"].pop("runAsNonRoot"),
    lambda spec: spec["securityContext"].pop("seccompProfile"),
    lambda spec: spec["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
    lambda spec: spec["containers"][0]["securityContext"]["capabilities"].pop("drop"),
], ids=["root", "seccomp", "escalation", "capabilities"])
def test_pod_security_refuses_a_pod_that_is_less_careful(ready_cluster, harm):
    """So the test before this one can fail: each of the four things that the level asks for is needed."""
    pod = copy.deepcopy(next(pods(render(MANIFESTS / "base"))))
    pod["metadata"]["name"] = "careless"
    harm(pod["spec"])

    with pytest.raises(Refused) as refused:
        ready_cluster.create(pod, NAMESPACE)
    assert refused.value.status == 403 and "PodSecurity" in str(refused.value)


# ---- what they say of each other ----


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_every_container_is_locked_and_measured(bundle):
    """Read-only root file system, probes of all three kinds, requests and a limit of memory, no token but where it is mounted."""
    for pod in pods(render(bundle)):
        assert pod["spec"].get("enableServiceLinks") is False
        for each in pod["spec"]["containers"]:
            assert each["securityContext"]["readOnlyRootFilesystem"] is True
            assert each["resources"]["requests"].keys() == {"cpu", "memory"} and "memory" in each["resources"]["limits"]
            if each["name"] != "watcher":
                assert {"startupProbe", "livenessProbe", "readinessProbe"} <= each.keys()


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_services_policies_and_budgets_select_pods_and_ports_that_are_there(bundle):
    """Each selector selects a Pod template; each port that is named is one of a selected Pod."""
    documents = render(bundle)
    templates = list(pods(documents))

    def selected(labels):
        found = [pod for pod in templates if labels.items() <= pod["metadata"]["labels"].items()]
        assert found, f"{labels} select no Pod"
        return {port["name"] for pod in found for each in pod["spec"]["containers"] for port in each["ports"]}

    for service in of_kind(documents, "Service"):
        ports = selected(service["spec"]["selector"])
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports, service["metadata"]["name"]
    for policy in of_kind(documents, "NetworkPolicy"):
        ports = selected(policy["spec"]["podSelector"]["matchLabels"])
        for rule in policy["spec"]["ingress"]:
            assert {port["port"] for port in rule["ports"]} & ports, policy["metadata"]["name"]
    for budget in of_kind(documents, "PodDisruptionBudget"):
        selected(budget["spec"]["selector"]["matchLabels"])


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_all_is_in_one_namespace_and_of_one_image(bundle):
    """Everything that has a namespace is in `gateways`; every container runs the image of this version."""
    version = re.search(r"^  version: '(.*)',$", (ROOT / "meson.build").read_text(), re.M).group(1)
    documents = render(bundle)

    for document in documents:
        if document["kind"] not in ("Namespace", "ClusterRole", "ClusterRoleBinding"):
            assert document["metadata"].get("namespace") == NAMESPACE, document["metadata"]["name"]
    images = {each["image"] for pod in pods(documents) for each in pod["spec"]["containers"]}
    assert images == {f"localhost/sluice:{version}"}


def test_a_cluster_role_comes_only_with_the_overlay_that_asks_for_it():
    """Nothing cluster-wide but the namespace itself, except in cluster-wide."""
    for bundle in BUNDLES:
        wide = of_kind(render(bundle), "ClusterRole", "ClusterRoleBinding")
        assert bool(wide) == (bundle.name == "cluster-wide"), bundle.name


def test_the_certificates_of_the_script_fit_the_gateway_servers(tmp_path):
    """What certificates.sh prints are the Secrets that separate-servers mounts; openssl verifies each for its use, and the
    names in it are those that the Gateway dials."""
    documents = render(MANIFESTS / "overlays" / "separate-servers")
    printed = subprocess.run([str(MANIFESTS / "components/separate-servers/certificates.sh"), NAMESPACE], capture_output=True,
                             text=True, timeout=60, check=True).stdout
    secrets = {secret["metadata"]["name"]: secret for secret in yaml.safe_load_all(printed)}

    mounted = {volume["secret"]["secretName"] for pod in pods(documents) for volume in pod["spec"]["volumes"] if "secret" in volume}
    assert mounted == secrets.keys()
    purposes = {"gateway-client-tls": "sslclient", "gateway-servers-tls": "sslserver"}
    for name, secret in secrets.items():
        for key in ("ca.crt", "tls.crt"):
            (tmp_path / key).write_bytes(base64.b64decode(secret["data"][key]))
        hosts = [server["address"].rpartition(":")[0] for server in named(documents, "Gateway", "gateway")["spec"]["servers"]]
        for host in hosts if name == "gateway-servers-tls" else [None]:
            subprocess.run(["openssl", "verify", "-purpose", purposes[name], *(["-verify_hostname", host] if host else []),
                            "-CAfile", tmp_path / "ca.crt", tmp_path / "tls.crt"], check=True, capture_output=True)


# ---- their Roles ----

AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [{"level": "Metadata"}]}
USER = f"system:serviceaccount:{NAMESPACE}:gateway"


class Audited:
    """An API server that writes down who asked for what, and was given it or not."""

    def __init__(self, directory):
        directory.mkdir()
        (directory / "policy.json").write_text(json.dumps(AUDIT))
        self.log = directory / "audit.log"
        self.cluster = Cluster(directory / "state", f"--audit-policy-file={directory / 'policy.json'}",
                               f"--audit-log-path={self.log}")

    def asked(self, allowed):
        """(group, resource, verb) of all that our account asked for."""
        for line in self.log.read_text().splitlines():
            entry = json.loads(line)
            there = entry.get("objectRef")
            if entry["user"]["username"] == USER and there and entry.get("responseStatus", {}).get("code", 200) != 404:
                if (entry["annotations"]["authorization.k8s.io/decision"] == "allow") == allowed:
                    name = "/".join(part for part in (there.get("resource"), there.get("subresource")) if part)
                    yield there.get("apiGroup", ""), name, entry["verb"]


@pytest.fixture
def audited(tmp_path):
    audited = Audited(tmp_path / "audited")
    audited.cluster.define_gateways("--server-side", "-k", MANIFESTS / "crd")
    audited.cluster.kubectl("apply", "-k", MANIFESTS / "base")
    yield audited
    audited.cluster.stop()


class UnderTheRoles(Gateway):
    """The programs with the flags of the Deployment, on this machine, with a token of the Deployment's account."""

    def __init__(self, directory, cluster):
        super().__init__(directory)
        self.cluster, self.documents = cluster, render(MANIFESTS / "base")
        self.hooks = free_port()
        token = cluster.kubectl("create", "token", "gateway", "-n", NAMESPACE).strip()
        self.kubeconfig = cluster.write_kubeconfig(directory / "kubeconfig", {"token": token}, NAMESPACE)

    def begin(self, name):
        each = container(self.documents, "gateway", name)
        command, *words = [*each["command"], *each["args"]]
        words = [word.replace("/run/gateway/", f"{self.directory}/").replace("/var/lib/gateway/", f"{self.directory}/")
                 for word in words if not word.startswith(("--admin=", "--health="))]
        admin = ["--admin", self.admin] if name == "gateway-client" else []
        return self.start(name, program(command), *words, *admin, "--kubeconfig", self.kubeconfig)

    def begin_all(self):
        self.cluster.patch("Gateway", "gateway", {"spec": {
            "servers": [{"type": kind, "address": f"unix:{self.directory}/{kind}.sock"} for kind in ("calendar", "webhook", "resource")],
            "watchers": self.spec["spec"]["watchers"]}}, NAMESPACE, "argoproj.io/v1alpha1")
        for name in ("calendar", "webhook", "resource", "gateway-client"):
            self.begin(name)

    def edit(self, **data):
        texts = {key.replace("_", "."): value if value is None else yaml.safe_dump(value) for key, value in data.items()}
        self.cluster.patch("ConfigMap", "event-sources", {"data": texts}, NAMESPACE)


@pytest.fixture
def gateway(tmp_path, audited):
    gateway = UnderTheRoles(tmp_path, audited.cluster)
    yield gateway
    gateway.down()


def kinds_of(documents, *roles):
    """(group, resource, verb) of all that these Roles allow."""
    return {(group, resource, verb) for role in roles for rule in named(documents, "Role", role)["rules"]
            for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]}


def test_the_roles_are_enough_and_hold_nothing_that_is_not_used(audited, gateway, watcher):
    """gateway-client and its gateway-servers, with the flags of the Deployment and a token of its account, use secrets, an
    event source of each kind that the Role for resources names, status and Events: nothing is forbidden to them. Of all that
    the Roles allow there is nothing that they did not ask for, as the API server's audit log has it."""
    audited.cluster.apply({"kind": "Secret", "metadata": {"name": "gateway-secrets"}, "stringData": {"token": "tell-nobody"}}, NAMESPACE)
    gateway.watch("orders", watcher.url, bearer={"name": "gateway-secrets", "key": "token"})
    gateway.begin_all()
    gateway.edit(webhook_orders={"port": str(gateway.hooks), "endpoint": "/orders", "address": "127.0.0.1",
                                 "auth": {"bearer": {"name": "gateway-secrets", "key": "token"}}},
                 resource_pods={"namespace": NAMESPACE, "version": "v1", "resource": "pods"},
                 resource_deployments={"namespace": NAMESPACE, "group": "apps", "version": "v1", "resource": "deployments"},
                 resource_jobs={"namespace": NAMESPACE, "group": "batch", "version": "v1", "resource": "jobs"})
    gateway.wait_running("calendar.heartbeat", "webhook.orders", "resource.pods", "resource.deployments", "resource.jobs", seconds=60)
    assert post(gateway.hooks, "/orders", headers={"Authorization": "Bearer tell-nobody"})[0] == 200
    assert watcher.wait_events(1, 30) and watcher.accepted()[0].headers["Authorization"] == "Bearer tell-nobody"
    wait_for(lambda: (audited.cluster.get("Gateway", "gateway", NAMESPACE, "argoproj.io/v1alpha1").get("status") or {}).get("phase"), 30,
             "the status")
    # The same mistake twice is one Event, which is patched half a minute later.
    for _ in range(2):
        gateway.edit(calendar_heartbeat={"intervall": "1m"})
        wait_for(lambda: any("intervall" in event["note"] for event in
                             audited.cluster.list("Event", NAMESPACE, "events.k8s.io/v1")), 30, "an Event of the mistake")
        wait_for(lambda: gateway.source("calendar.heartbeat").get("refusedEdit"), 30, "the mistake to be refused")
        gateway.edit(calendar_heartbeat={"interval": "1m"})
        wait_for(lambda: not gateway.source("calendar.heartbeat").get("refusedEdit"), 30, "the mistake to be mended")
    wait_for(lambda: ("events.k8s.io", "events", "patch") in set(audited.asked(allowed=True)), 60, "the Event to be patched")

    assert set(audited.asked(allowed=False)) == set()
    used = set(audited.asked(allowed=True))
    assert used == kinds_of(gateway.documents, "gateway-client", "gateway-secrets", "gateway-server-resource")


def test_what_the_roles_do_not_name_is_forbidden(audited, gateway):
    """Another Secret, another ConfigMap, another Gateway, other kinds, other namespaces: none of it."""
    def may(*words):
        done = subprocess.run([kubectl_program(), "--kubeconfig", str(gateway.kubeconfig), "auth", "can-i", *words], capture_output=True,
                              text=True, timeout=60)
        return done.stdout.strip() == "yes"

    assert may("watch", "secrets/gateway-secrets") and may("watch", "configmaps/event-sources") and may("list", "jobs")
    for words in (["get", "secrets/other"], ["list", "secrets"], ["update", "secrets/gateway-secrets"], ["get", "configmaps/other"],
                  ["update", "configmaps/event-sources"], ["get", "gateways/other"], ["patch", "gateways/gateway"],
                  ["patch", "gateways/other", "--subresource=status"], ["create", "pods"], ["delete", "pods"], ["list", "services"],
                  ["list", "pods", "-n", "default"], ["create", "leases"], ["list", "nodes"], ["create", "serviceaccounts/gateway", "--subresource=token"]):
        assert not may(*words), words
