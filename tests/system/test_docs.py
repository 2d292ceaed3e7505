"""What the documents print from the code is what the code prints."""

import pathlib
import re
import subprocess

import pytest
import yaml

from harness import program

pytestmark = pytest.mark.once

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"<!-- settings: (\S+) (.*?) -->\n(.*?)<!-- end -->", re.S)
DOCUMENTS = [path for path in [*ROOT.glob("docs/*.md"), *ROOT.glob("gateway-servers/*/README.md")] if BLOCK.search(path.read_text())]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tables_of_settings_are_those_of_the_programs(document):
    """Each table between markers is what the program named in the marker prints."""
    for name, words, table in BLOCK.findall(document.read_text()):
        printed = subprocess.run([str(program(name)), *words.split()], capture_output=True, text=True, check=True).stdout
        assert table.strip() == printed.strip(), f"{document}: print it anew with {name} {words}"


def test_links_between_the_documents_lead_somewhere():
    """Relative links of all Markdown files point to what is there."""
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("gateway-servers/**/*.md"), *ROOT.glob("examples/**/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.relative_to(ROOT)} links to {target}"


def test_the_custom_resource_definition_is_that_of_the_program():
    """manifests/crd holds what gateway-client prints."""
    printed = subprocess.run([str(program("gateway-client")), "crd"], capture_output=True, text=True, check=True).stdout
    kept = ROOT / "manifests/crd/gateways.argoproj.io.yaml"
    assert printed == kept.read_text(), f"print it anew: gateway-client crd >{kept.relative_to(ROOT)}"


def test_the_page_about_the_gateway_resource_has_all_there_is():
    """Each field of the status, each condition and each reason of an Event has its words there, and none is invented."""
    page = (ROOT / "docs/gateway-resource.md").read_text()
    schema = yaml.safe_load((ROOT / "manifests/crd/gateways.argoproj.io.yaml").read_text())
    status = schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    rows = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", page, re.M))))
    fields = set(status) | set(status["nodes"]["additionalProperties"]["properties"]) | set(status["watchers"]["additionalProperties"]["properties"])
    reasons = set(re.findall(r'\{"(\w+)",\s*"\w+",', (ROOT / "gateway-client/report/kube_event.c").read_text()))
    conditions = set(re.findall(r'\[GWC_CONDITION_\w+\] = "(\w+)"', (ROOT / "gateway-client/report/gateway_status.c").read_text()))
    assert len(reasons) > 10 and len(conditions) == 4
    assert rows == fields | reasons | conditions
