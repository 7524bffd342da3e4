"""The benchmark of WebSockets measures what it says: each contestant brings back what was sent (S-010, S-029).

How fast is not asked here: that is for the benchmark, on a quiet machine.
"""

from __future__ import annotations

import pytest

from benchmarks.on_servers.websockets import CASES, gthread, missing_packages, uvicorn

pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(missing_packages()), reason="a contestant is not installed")]


@pytest.mark.parametrize(
    ("host", "app"),
    [
        pytest.param(uvicorn, "native", id="native", marks=pytest.mark.requirement("S-010")),
        pytest.param(uvicorn, "wire", id="wire", marks=pytest.mark.requirement("S-010")),
        pytest.param(gthread, "starlette_on_wsgi", id="starlette", marks=pytest.mark.requirement("S-029")),
    ],
)
def test_each_contestant_brings_back_messages_of_every_case(host, app):
    with host(app) as (url, _):
        counts = {name: echoes.per_second(url, 0.1) for name, echoes in CASES.items()}

    assert {name for name, count in counts.items() if count > 0} == set(CASES)
