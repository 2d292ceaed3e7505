"""The manifests as kustomize renders them, and what the tests ask of them."""

import pathlib
import subprocess

import yaml

from kube import kubectl_program

MANIFESTS = pathlib.Path(__file__).resolve().parents[2] / "manifests"
NAMESPACE = "gateways"
OVERLAYS = sorted(path.parent for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
BUNDLES = [MANIFESTS / "base", *OVERLAYS]


def render(folder):
    """The documents of a kustomization."""
    made = subprocess.run([kubectl_program(), "kustomize", str(folder)], capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def of_kind(documents, *kinds):
    return [document for document in documents if document["kind"] in kinds]


def named(documents, kind, name):
    found = [document for document in of_kind(documents, kind) if document["metadata"]["name"] == name]
    assert found, f"there is no {kind} {name}"
    return found[0]


def pods(documents):
    """A Pod for each workload, made of its template."""
    for workload in of_kind(documents, "Deployment"):
        template = workload["spec"]["template"]
        yield {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
               "metadata": {"name": workload["metadata"]["name"], "labels": template["metadata"]["labels"]}}


def container(documents, workload, name):
    containers = named(documents, "Deployment", workload)["spec"]["template"]["spec"]["containers"]
    return next(container for container in containers if container["name"] == name)
