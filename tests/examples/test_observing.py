"""``examples/access_log.py``: a line for each request, and numbers that ask for no worker."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from tests.integration.servers import UVICORN_H11, running
from tests.meeting import until

pytestmark = pytest.mark.live

LINE = re.compile(
    r"^shop\.access: (\S+ \S+ \S+ \S+): waited [0-9.]+ ms, took [0-9.]+ ms, ([0-9]+) bytes$", re.MULTILINE
)


def test_each_request_leaves_a_line_and_the_numbers_are_there_to_see(tmp_path: Path) -> None:
    with (
        running(UVICORN_H11, "examples.access_log:app", tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=10, trust_env=False) as client,
    ):
        assert client.get("/hello").text == "hello\n"
        assert client.get("/nowhere").status_code == 404
        until(lambda: len(LINE.findall(server.log())) == 2, "two lines")
        status = client.get("/-/status").json()

    lines = LINE.findall(server.log())
    assert [what for what, _ in lines] == ["GET '/hello' 200 completed", "GET '/nowhere' 404 completed"]
    assert lines[0][1] == "6"
    assert (status["workers_max"], status["requests"], status["refused"]) == (40, 0, 0)
