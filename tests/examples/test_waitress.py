"""What ``docs/recipes/waitress.md`` says of waitress is so."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from waitress.adjustments import Adjustments

from tests.docs.pages import code, table, text_of
from tests.examples.running import WSGI_HOSTING, environment, started
from tests.integration.raw import Connection
from tests.integration.raw_websocket import handshake_fields
from tests.integration.servers import HOST, free_port
from tests.meeting import Helper, until

PAGE = "recipes/waitress.md"


def test_the_table_has_the_defaults_of_waitress() -> None:
    documented = {code(row[0]): code(row[1]) for row in table(PAGE, "What to set")}

    defaults = {name: str(getattr(Adjustments, name)) for name in documented}

    assert len(documented) >= 6
    assert documented == defaults


def test_the_program_sets_what_the_page_says_it_sets() -> None:
    program = (WSGI_HOSTING / "waitress_server.py").read_text(encoding="utf-8")
    set_there = dict(re.findall(r"^ +(\w+)=(\d+),", program, re.MULTILINE))

    assert set_there == {"threads": "32", "channel_request_lookahead": "1"}
    assert all(f"`{name}={value}`" in text_of(PAGE) for name, value in set_there.items())


ENDLESS = """
import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse

from bridge import to_wsgi

api = FastAPI()


@api.get("/")
async def home() -> str:
    return "hello"


@api.get("/ticks")
async def ticks() -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        while True:
            yield "data: tick\\n\\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(events(), media_type="text/event-stream")


@api.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    await ws.accept()


app = to_wsgi(api)
"""


@pytest.mark.live
def test_each_stream_holds_a_thread_until_its_client_leaves_and_websockets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.py").write_text(ENDLESS, encoding="utf-8")
    port = free_port()
    command = [sys.executable, "-m", "waitress", "--listen", f"{HOST}:{port}", "--threads", "2", "endless:app"]
    with started(tmp_path, "waitress", command, port, environment(tmp_path)) as server:
        with Connection(server) as connection:
            refused = connection.request("GET", "/echo", handshake_fields())
        assert refused.status == 501
        assert b"WebSocket" in refused.body

        with httpx.Client(base_url=server.url, timeout=20, trust_env=False) as client, ExitStack() as listeners:
            streams = [listeners.enter_context(client.stream("GET", "/ticks")).iter_lines() for _ in range(2)]
            assert [next(lines) for lines in streams] == ["data: tick"] * 2, "the first event comes at once"
            third = Helper(lambda: httpx.get(server.url, timeout=20, trust_env=False).json())
            until(lambda: "Task queue depth is 1" in server.log(), "waitress to say that a request waits")
            assert not third.is_done, "both threads are held"
            listeners.close()
            assert third.join(15) == "hello"
