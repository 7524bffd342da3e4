"""What the documentation says of WebSockets is so: the servers, what is peculiar to each, the keys and the limits."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import bridge
from bridge import Limits, to_asgi
from bridge.websocket.asgi_hosting.handshaken import POLICY_VIOLATION, TRY_AGAIN_LATER
from bridge.websocket.asgi_hosting.servant import _WITHOUT_SOCKETS
from bridge.websocket.wsgi_hosting.native import WebSocket
from tests.docs.pages import TOP, table
from tests.docs.test_command_line import codes, table_after
from tests.docs.test_tables import BARE_SCOPE, limits_used_in
from tests.integration.websocket_asgi_servers import SOCKET_SERVERS
from tests.integration.websocket_wsgi_driving import PECULIAR, Peculiar

PACKAGE = Path(bridge.__file__).parent
PAGE = "recipes/websockets.md"
ON_WSGI = "In an ASGI application, on a WSGI server"


# ---- Servers --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-020")
def test_the_servers_that_are_said_to_have_websockets_are_those_that_are_tested() -> None:
    cells = [row[0] for row in table(PAGE, ON_WSGI) if row[1].startswith("yes")]

    named = set(re.findall(r"[\w-]+", " ".join(cells).lower().replace("gevent's", ""))) - {"gunicorn"}
    tested = {re.sub(r"^gunicorn-|-plain$|-threads$", "", kind.name) for kind in SOCKET_SERVERS}
    assert named == tested


@pytest.mark.requirement("A-125")
def test_the_servers_that_are_said_to_answer_501_are_those_that_do() -> None:
    [cell] = [row[0] for row in table(PAGE, ON_WSGI) if "501" in row[1]]

    assert set(re.findall(r"waitress|mod_wsgi", cell)) == set(_WITHOUT_SOCKETS.values())


def row_of(peculiar: Peculiar) -> list[str]:
    """Return what the table says of a server, without its name."""
    server, _, way = peculiar.kind.name.partition("-")
    rows = table_after(PAGE, "| Server | A refusal |")
    [row] = [row for row in rows if row[0].startswith(server) and (not way or way in re.findall(r"[\w-]+", row[0]))]
    return row[1:]


@pytest.mark.requirement("S-009")
@pytest.mark.parametrize("peculiar", PECULIAR, ids=str)
def test_what_is_said_of_a_server_is_what_the_tests_see(peculiar: Peculiar) -> None:
    refusal, fields, code, reason, lost = row_of(peculiar)

    assert (refusal == "any response") is peculiar.has_denial
    assert (fields == "sent") is peculiar.has_accept_headers
    assert (code == "told") is peculiar.client_codes
    assert (reason == "told") is peculiar.client_reasons
    assert lost == str(peculiar.lost_code)


@pytest.mark.requirement("S-009")
def test_what_one_server_alone_does_is_said_of_that_one() -> None:
    text = (TOP / "docs" / PAGE).read_text(encoding="utf-8")
    alone = [
        peculiar.kind.name
        for peculiar in PECULIAR
        if not (peculiar.empty and peculiar.reasons and peculiar.reserved_codes and peculiar.holds_back)
    ]

    assert (
        re.findall(r"^(\w+) also loses empty messages and the reason of the application's close", text, re.MULTILINE)
        == alone
    )


def test_a_server_that_does_not_stop_is_said_not_to() -> None:
    rows = {row[0]: row[1] for row in table(PAGE, "Shutdown")}

    waiting = {name.replace(", ", "-") for name, sees in rows.items() if "waits until all have left" in sees}
    assert waiting == {peculiar.kind.name for peculiar in PECULIAR if not peculiar.stops}
    assert rows["uvicorn"] == "1012"


# ---- Numbers --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-026")
def test_the_table_of_limits_has_each_with_its_default() -> None:
    def shown(limit: dataclasses.Field[Any]) -> str:
        value = int(limit.default)
        return f"{value // 2**20} MiB" if limit.name.endswith("_bytes") else str(value)

    documented = {codes(row[0])[0]: row[1] for row in table(PAGE, "Limits")}

    fields = [field for field in dataclasses.fields(Limits) if field.name.startswith("websocket")]
    assert documented == {field.name: shown(field) for field in fields}


def test_the_limits_that_hold_in_both_directions_are_those_that_are_used_in_both() -> None:
    rooms = {name: list((PACKAGE / name).rglob("*.py")) for name in ("websocket/wsgi_hosting", "_wsgi_hosting")}
    used = {name for paths in rooms.values() for name in limits_used_in(*paths) if name.startswith("websocket")}
    used |= {name for name in limits_used_in(PACKAGE / "wsgi_to_asgi.py") if name.startswith("websocket")}

    first_two = [codes(row[0])[0] for row in table(PAGE, "Limits")][:2]

    assert used == set(first_two)
    assert "All but the first two are for ASGI applications" in (TOP / "docs" / PAGE).read_text(encoding="utf-8")


@pytest.mark.requirement("A-146")
def test_the_codes_that_take_the_place_of_a_refusal_are_the_ones_sent() -> None:
    rows = dict(table_after(PAGE, "| The application | The client sees |"))

    assert f"; {POLICY_VIOLATION} instead of 1000" in rows["closes instead of accepting"]
    [full] = [sees for what, sees in rows.items() if "too many" in what]
    assert full == str(TRY_AGAIN_LATER)


# ---- Keys -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-001", "S-002", "S-003")
def test_the_table_of_keys_of_a_websocket_names_exactly_what_a_request_has_not() -> None:
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("403 Forbidden", [])
        return [b""]

    async def handshake() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            pass

        scope = {key: value for key, value in BARE_SCOPE.items() if key != "method"}
        scope |= {"type": "websocket", "subprotocols": ["chat"], "extensions": {"websocket.http.response": {}}}
        await asyncio.wait_for(to_asgi(app, limits=Limits(worker_idle_s=0))(scope, receive, send), 10)

    asyncio.run(handshake())

    rows = table("reference/environ.md", "In a WebSocket's environ")
    always = [code for row in table("reference/environ.md", "Always there") for code in codes(row[0])]
    documented = {code for row in rows for code in codes(row[0])}
    assert documented == {key for key in seen if key not in always}
    assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in seen
    assert f'`"{seen["wsgi.websocket_version"]}"`' in {row[1] for row in rows}


@pytest.mark.requirement("S-003")
def test_the_methods_that_are_named_are_those_of_the_object() -> None:
    [row] = [row for row in table("reference/environ.md", "In a WebSocket's environ") if row[0] == "`wsgi.websocket`"]

    named = {name.removesuffix("()") for name in codes(row[1])}
    public = {name for name in vars(WebSocket) if not name.startswith("_")} | {"environ"}
    assert named == public - {"read_message"}  # gevent-websocket's other name for receive()
