"""Property tests of what is pure, against independent implementations. Deterministic: SLUICE_SEED (1) seeds all.

The programs come from $SLUICE_BUILD (build/), or $GATEWAY_SERVER_CALENDAR names the one. Needs: pytest, croniter, python-dateutil,
and the system's time zones (tzdata)."""

import json
import os
import pathlib
import random
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


def calendar_program():
    build = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build"))
    return os.environ.get("GATEWAY_SERVER_CALENDAR", str(build / "gateway-servers" / "gateway-server-calendar"))


@pytest.fixture(scope="session")
def ask():
    """Puts many questions to one `preview --batch`; each answer has "ticks" or "problems"."""

    def run(questions):
        text = "".join(json.dumps(question) + "\n" for question in questions)
        done = subprocess.run([calendar_program(), "preview", "--batch"], input=text, capture_output=True, text=True,
                              timeout=120)
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(answers) == len(questions)
        return answers

    return run


@pytest.fixture
def rng(request):
    return random.Random(f"{os.environ.get('SLUICE_SEED', '1')} {request.node.name}")
