"""What we show people works: every example is checked by the gateway-servers themselves."""

import pathlib

import pytest

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("sources", sorted(EXAMPLES.glob("event-sources/*.yaml")), ids=lambda path: path.stem)
def test_every_example_of_event_sources_is_good(gateway, sources):
    """Each ConfigMap under examples/ passes `gateway-client check` with real gateway-servers behind it."""
    kind = sources.stem
    if all(server["type"] != kind for server in gateway.spec["spec"]["servers"]):
        gateway.spec["spec"]["servers"].append({"type": kind, "address": f"unix:{gateway.directory}/{kind}.sock"})
    gateway.write_spec()
    gateway.server(kind)

    result = gateway.run("check", "--gateway", gateway.spec_file, "--event-sources", sources)

    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("good:")


def test_the_example_gateway_is_good(gateway):
    """The Gateway specs under examples/ pass `gateway-client check --offline`."""
    gateway.write_sources({})
    for spec in (EXAMPLES / "gateway.yaml", EXAMPLES / "demo" / "gateway.yaml"):
        result = gateway.run("check", "--gateway", spec, "--event-sources", gateway.sources_file, "--offline")
        assert result.returncode == 0, result.stdout + result.stderr
