"""``examples/wsgi_hosting/mcp_client.py`` uses the tools of ``mcp_in_flask.py`` under gunicorn."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from tests.examples.running import WSGI_HOSTING, environment
from tests.integration.servers import ServerKind, running

pytestmark = [pytest.mark.once, pytest.mark.live, pytest.mark.skipif(find_spec("mcp") is None, reason="needs mcp")]

GUNICORN = ServerKind(
    "gunicorn", ("gunicorn", "--threads", "32", "-b", "{host}:{port}", "--no-control-socket", "{app}")
)


def test_the_client_finds_the_tool_and_uses_it(tmp_path: Path) -> None:
    with running(GUNICORN, "mcp_in_flask:app", tmp_path, environment=environment(WSGI_HOSTING)) as server:
        ended = subprocess.run(
            [sys.executable, str(WSGI_HOSTING / "mcp_client.py"), f"{server.url}/mcp"],
            env=environment(NO_PROXY="*"),
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        stranger = httpx.post(f"{server.url}/mcp/", headers={"Host": "shop.example"}, json={}, trust_env=False)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "price: Return the price of an item in EUR.\n{'result': 3}\n"
    assert (stranger.status_code, stranger.text) == (421, "Invalid Host header")
