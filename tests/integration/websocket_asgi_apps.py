"""Tiny ASGI applications with WebSockets, one per behaviour and misbehaviour, hosted by the bridge on WSGI servers.

``app`` is what the servers serve. The last segment of the path chooses the application, an optional one before it how
it is hosted: ``/small/echo`` has small limits, and so on (`_HOSTED`). `site` is the same without the bridge, for any
ASGI server.

Journal and gates are those of `tests.integration.asgi_apps`; the argument ``id`` names a socket in them.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

import anyio

from bridge import ASGIToWSGI, Limits
from bridge.types import ASGIApp, Environ, Message, Receive, Scope, Send, StartResponse, WSGIApp
from tests.integration.asgi_apps import DIRECTORY_VARIABLE, gate_path, write

BLOCK = b"0123456789abcdef" * 4096
"""64 KiB."""
SMALL_BYTES = 1000
"""The largest message below ``/small``."""
FEW_SOCKETS = 2
"""So many sockets at once below ``/few``."""
_LOOK_S = 0.01
_GATE_S = 20.0
# Short ones, so that what fails does so soon; long enough for what is done in time on a loaded machine.
_QUICK: dict[str, Any] = {"startup_s": 20.0, "shutdown_s": 3.0, "cancel_s": 1.0, "websocket_close_s": 3.0}


class ViewError(Exception):
    """The application's own."""


def _argument(scope: Scope, name: str, default: str = "") -> str:
    return parse_qs(scope["query_string"].decode("ascii")).get(name, [default])[0]


async def _gate(scope: Scope) -> None:
    path = gate_path(os.environ[DIRECTORY_VARIABLE], _argument(scope, "id"))
    with anyio.fail_after(_GATE_S):
        while not os.path.exists(path):
            await anyio.sleep(_LOOK_S)


# ---- Steps ----------------------------------------------------------------------------------------------------------


async def _accept(
    receive: Receive, send: Send, subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    message = await receive()
    assert message == {"type": "websocket.connect"}, message
    await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": list(headers)})


async def _text(send: Send, text: str) -> None:
    await send({"type": "websocket.send", "text": text})


def _noted(scope: Scope, message: Message) -> None:
    """Keep in the journal how a socket ended."""
    assert message["type"] == "websocket.disconnect", message
    write("disconnect", id=_argument(scope, "id"), code=message["code"], reason=message["reason"])


async def _until_gone(scope: Scope, receive: Receive) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        pass
    _noted(scope, message)


def _whereabouts() -> dict[str, int]:
    return {"pid": os.getpid(), "thread": threading.get_native_id(), "loop": id(asyncio.get_running_loop())}


# ---- Sockets that behave --------------------------------------------------------------------------------------------


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await _accept(receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        given = {name: message[name] for name in ("text", "bytes") if message.get(name) is not None}
        assert len(given) == 1, message
        await send({"type": "websocket.send", **given})
    _noted(scope, message)


async def probe(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the scope, octets as latin-1 text."""
    await _accept(receive, send)
    shown = {key: value for key, value in scope.items() if key not in ("state", "bridge.environ")}
    shown |= {"state": dict(scope.get("state", {})), "where": _whereabouts()}
    await _text(send, json.dumps(shown, default=lambda value: value.decode("latin-1")))
    await _until_gone(scope, receive)


async def choose(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept with the subprotocol that is asked for, and fields of our own."""
    fields = [(b"x-first", b"1"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2; Path=/"), (b"x-last", b"\xe9")]
    await _accept(receive, send, _argument(scope, "choose") or None, fields)
    await _until_gone(scope, receive)


async def gated(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept when the gate is opened."""
    write("asked", id=_argument(scope, "id"))
    await _gate(scope)
    try:
        await echo(scope, receive, send)
    except OSError:  # where it is known before the answer that nobody waits for it
        write("disconnect", id=_argument(scope, "id"), code=1006)


async def close(scope: Scope, receive: Receive, send: Send) -> None:
    """Close with what is asked for; nothing asked, nothing given."""
    await _accept(receive, send)
    message: Message = {"type": "websocket.close"}
    if code := _argument(scope, "code"):
        message |= {"code": int(code), "reason": _argument(scope, "reason")}
    await send(message)
    await _until_gone(scope, receive)


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.close", "code": 4403, "reason": "not you"})
    await _until_gone(scope, receive)


async def deny(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    assert "websocket.http.response" in scope["extensions"]
    headers = [(b"content-type", b"text/plain"), (b"www-authenticate", b"Basic"), (b"x-a", b"1"), (b"x-a", b"2")]
    await send({"type": "websocket.http.response.start", "status": 401, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"who ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"are you?\n"})
    await _until_gone(scope, receive)


async def return_after(scope: Scope, receive: Receive, send: Send) -> None:
    await _accept(receive, send)
    await _text(send, "that is all")


async def late(scope: Scope, receive: Receive, send: Send) -> None:
    """Send to a client that has left; keep in the journal what comes of it."""
    await _accept(receive, send)
    await _until_gone(scope, receive)
    try:
        await _text(send, "too late")
    except OSError as error:
        write("late", id=_argument(scope, "id"), error=type(error).__name__)
    else:
        write("late", id=_argument(scope, "id"), error=None)


CHORUS = ("a", "b", "c", "d")


async def chorus(scope: Scope, receive: Receive, send: Send) -> None:
    """Let several tasks send at the same time, while another receives."""
    await _accept(receive, send)

    async def sing(letter: str) -> None:
        for number in range(20):
            await _text(send, letter * (number * 5000))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_until_gone(scope, receive))
        for letter in CHORUS:
            tasks.create_task(sing(letter))


# ---- Floods ---------------------------------------------------------------------------------------------------------

_poured: dict[str, int] = {}


async def pour(scope: Scope, receive: Receive, send: Send) -> None:
    """Send blocks for ever; ``/poured`` tells how many were sent."""
    name = _argument(scope, "id")
    await _accept(receive, send)
    _poured[name] = 0
    try:
        while True:
            await send({"type": "websocket.send", "bytes": BLOCK})
            _poured[name] += 1
    except OSError as error:
        write("poured", id=name, error=type(error).__name__)


async def silent(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive nothing until the gate is opened; then count what comes before ``end``."""
    await _accept(receive, send)
    await _gate(scope)
    size_bytes = 0
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "end":
            await _text(send, str(size_bytes))
        else:
            size_bytes += len(message["bytes"])
    _noted(scope, message)


# ---- Sockets that fail ----------------------------------------------------------------------------------------------


async def raise_before(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"
    raise ViewError(f"failed before accept, {_argument(scope, 'id')}.")


async def return_before(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "websocket.connect"


async def raise_after(scope: Scope, receive: Receive, send: Send) -> None:
    await _accept(receive, send)
    await _text(send, "so far so good")
    raise ViewError(f"failed after accept, {_argument(scope, 'id')}.")


async def raise_when_gone(scope: Scope, receive: Receive, send: Send) -> None:
    await _accept(receive, send)
    await _until_gone(scope, receive)
    raise ViewError(f"failed after the end, {_argument(scope, 'id')}.")


async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
    """Go on when the client has left, until cancelled."""
    await _accept(receive, send)
    await _until_gone(scope, receive)
    await anyio.sleep_forever()


# ---- Many at once ---------------------------------------------------------------------------------------------------


class _Room:
    """What is told to one is told to all, by means that belong to one event loop."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._queues: set[asyncio.Queue[str]] = set()

    async def tell(self, text: str) -> None:
        async with self._lock:
            await asyncio.sleep(0)  # others wait for the lock, which only works on one loop
            for queue in self._queues:
                await queue.put(text)

    async def stay(self, scope: Scope, receive: Receive, send: Send) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def hear() -> None:
            while True:
                await _text(send, await queue.get())

        self._queues.add(queue)
        hearing = asyncio.create_task(hear())
        await _text(send, "welcome")
        try:
            while (message := await receive())["type"] == "websocket.receive":
                await self.tell(message["text"])
        finally:
            self._queues.remove(queue)
            hearing.cancel()
        _noted(scope, message)


_room = _Room()


async def room(scope: Scope, receive: Receive, send: Send) -> None:
    await _accept(receive, send)
    await _room.stay(scope, receive, send)


SOCKETS: dict[str, ASGIApp] = {
    app.__name__: app
    for app in (
        *(echo, probe, choose, gated, close, refuse, deny, return_after, late, chorus, pour, silent),
        *(raise_before, return_before, raise_after, raise_when_gone, stubborn, room),
    )
}

# ---- HTTP and lifespan ----------------------------------------------------------------------------------------------

_open_sockets = 0


async def _answer(send: Send, body: bytes, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body})


async def _http(name: str, scope: Scope, send: Send) -> None:
    if name == "hello":
        await _answer(send, b"hello\n")
    elif name == "where":
        await _answer(send, json.dumps(_whereabouts()).encode())
    elif name == "tell":
        await _room.tell(_argument(scope, "text"))
        await _answer(send, b"told\n")
    elif name == "poured":
        await _answer(send, json.dumps(_poured.get(_argument(scope, "id"), 0)).encode())
    elif name == "counters":
        names = ("tasks", "threads", "descriptors")
        counts = (len(asyncio.all_tasks()), threading.active_count(), len(os.listdir("/proc/self/fd")))
        await _answer(send, json.dumps(dict(zip(names, counts, strict=True))).encode())
    elif name == "echo":  # what a request is that only looks like a handshake
        await _answer(send, b"plain HTTP\n")
    else:
        await _answer(send, b"not here\n", 404)


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    assert (await receive())["type"] == "lifespan.startup"
    scope["state"]["greeting"] = "hello"
    scope["state"]["loop"] = id(asyncio.get_running_loop())
    await send({"type": "lifespan.startup.complete"})
    assert (await receive())["type"] == "lifespan.shutdown"
    write("shutdown", open=_open_sockets)
    await send({"type": "lifespan.shutdown.complete"})


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """All of them, as one ASGI application."""
    if scope["type"] == "lifespan":
        await _lifespan(scope, receive, send)
        return
    name = scope["path"].rpartition("/")[2]
    if scope["type"] == "http":
        await _http(name, scope, send)
        return
    global _open_sockets
    _open_sockets += 1
    try:
        await SOCKETS[name](scope, receive, send)
    finally:
        _open_sockets -= 1


_HOSTED: dict[str, WSGIApp] = {
    "": ASGIToWSGI(site, limits=Limits(**_QUICK)),
    # The lifespan is the first one's.
    "small": ASGIToWSGI(
        site, limits=Limits(**_QUICK, websocket_message_bytes=SMALL_BYTES, websocket_queue_bytes=1), lifespan="off"
    ),
    "lively": ASGIToWSGI(site, limits=Limits(**_QUICK, websocket_ping_s=0.1, websocket_pong_s=1.0), lifespan="off"),
    "few": ASGIToWSGI(site, limits=Limits(**_QUICK, websockets=FEW_SOCKETS), lifespan="off"),
    "packed": ASGIToWSGI(
        site, limits=Limits(**_QUICK, websocket_message_bytes=1024 * 1024), lifespan="off", websocket_compression=True
    ),
    "respond": ASGIToWSGI(site, limits=Limits(**_QUICK), lifespan="off", on_error="respond"),
}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Hand the request to the adapter that the first path segment names, which moves to SCRIPT_NAME."""
    first, separator, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    hosted = _HOSTED.get(first) if separator else None
    if hosted is None:
        return _HOSTED[""](environ, start_response)
    environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + f"/{first}"
    environ["PATH_INFO"] = separator + rest
    return hosted(environ, start_response)
