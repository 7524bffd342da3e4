"""The table of ``docs/recipes/behind-nginx.md``: what each server makes of a prefix, and of what a proxy tells it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.docs.pages import table
from tests.integration import wsgi_servers
from tests.integration.servers import (
    DAPHNE,
    GRANIAN,
    GUNICORN,
    HYPERCORN_ASYNCIO,
    UVICORN_HTTPTOOLS,
    ServerKind,
    running,
)

pytestmark = [pytest.mark.once, pytest.mark.live]

KINDS: dict[str, ServerKind] = {
    "uvicorn": UVICORN_HTTPTOOLS,
    "hypercorn": HYPERCORN_ASYNCIO,
    "granian": GRANIAN,
    "daphne": DAPHNE,
    "gunicorn `-k asgi`": GUNICORN,
    "gunicorn, WSGI": wsgi_servers.GUNICORN_GTHREAD,
    "waitress": wsgi_servers.WAITRESS,
}
ROWS = table("recipes/behind-nginx.md", "Which server wants what")
CLIENT = "192.0.2.1"
TOLD = {"x-forwarded-for": CLIENT, "x-forwarded-proto": "https"}


def test_the_table_has_every_server_that_is_tried() -> None:
    assert [row[0] for row in ROWS] == list(KINDS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0].replace("`", "") for row in ROWS])
def test_a_server_makes_of_a_prefix_and_of_forwarded_fields_what_the_table_says(tmp_path: Path, row: list[str]) -> None:
    name, options, cut_off, left_on, scheme, address = row
    kind = KINDS[name]
    words = [word for code in re.findall(r"`([^`]+)`", options) for word in shlex.split(code)]
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    arguments = [word for word in words if not re.match(r"[A-Z_]+=", word)]
    module, *rest = kind.arguments
    target = "asgi_on_wsgi" if isinstance(kind, wsgi_servers.WSGIServerKind) else "wsgi_on_asgi"
    given = replace(kind, arguments=(module, *arguments, *rest))

    with running(given, f"tests.examples.where:{target}", tmp_path, environment=variables) as server:
        with httpx.Client(base_url=server.url, headers=TOLD, timeout=15, trust_env=False) as client:
            whole, cut = client.get("/shop/a"), client.get("/a")

    def is_right(response: httpx.Response) -> bool:
        return response.status_code == 200 and (response.json()["prefix"], response.json()["path"]) == ("/shop", "/a")

    right = whole if is_right(whole) else cut
    assert (is_right(cut), is_right(whole)) == (cut_off == "yes", left_on == "yes")
    assert (right.json()["scheme"], right.json()["client"]) == (
        "https" if scheme == "yes" else "http",
        CLIENT if address == "yes" else server.host,
    )
