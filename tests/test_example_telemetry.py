"""``examples/opentelemetry_metrics.py`` runs and prints what an SDK has really collected."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live

TOP = Path(__file__).resolve().parent.parent


def test_the_example_prints_the_numbers_and_the_trace_of_its_requests() -> None:
    ended = subprocess.run(
        [sys.executable, "examples/opentelemetry_metrics.py"],
        cwd=TOP,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    numbers, _, tree = ended.stdout.partition("Trace\n")
    lines = [line.strip() for line in numbers.splitlines()]
    assert lines[0] == "Numbers"
    assert "bridge.requests (completed 200): 3" in lines
    assert "bridge.requests (completed 404): 1" in lines
    assert "bridge.streams: 1" in lines
    assert "bridge.requests.active: 0" in lines
    assert not any(line.startswith("bridge.refusals") for line in lines)
    for name in ("bridge.request.queue_wait", "bridge.request.app_time"):
        assert any(re.fullmatch(rf"{name}: 4 times, [0-9.]+ s", line) for line in lines), ended.stdout
    [octets] = [int(line.split(": ")[1]) for line in lines if line.startswith("bridge.response.body.size")]
    assert octets > 3000
    assert tree.splitlines() == [
        "  GET /price/tea",
        "    view",
        "      look up tea",
        "  GET /price/coffee",
        "    view",
        "      look up coffee",
        "  GET /report",
        "  GET /nowhere",
    ]
