"""ASGI applications under fire, hosted by the bridge on WSGI servers; chosen by the first segment of the path.

``app`` is what the servers serve: these applications, and behind them those of `tests.integration.asgi_apps`, whose
journal and gates are used.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import json
import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from urllib.parse import parse_qs

import anyio.to_thread

from bridge import ASGIToWSGI, Limits
from bridge.types import Environ, Receive, Scope, Send, StartResponse
from tests.faults.process_apps import BLOCK, WARM_VARIABLE
from tests.faults.process_children import outcome_of_child
from tests.gateway import Gateway, environ_for
from tests.integration.asgi_apps import DIRECTORY_VARIABLE, application, gate_path, write

SHUTDOWN_S, CANCEL_S, STUCK_S = 0.5, 0.25, 0.5
APP_WAIT_S, SHORT_APP_WAIT_S = 25.0, 2.0
# Longer than any test waits.
_FOR_EVER_S = 300.0
_EVENT = b"data: an event\n\n"


def _argument(scope: Scope, name: str, default: str = "") -> str:
    return str(parse_qs(scope["query_string"].decode("ascii")).get(name, [default])[0])


async def _answer(send: Send, body: bytes) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def _begin_events(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": _EVENT, "more_body": True})


# ---- What cannot be helped ------------------------------------------------------------------------------------------


async def stuck(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for something that never comes; a cancellation ends it."""
    write("holds", id=_argument(scope, "id"))
    await asyncio.sleep(_FOR_EVER_S)


async def stubborn(scope: Scope, receive: Receive, send: Send) -> None:
    """Never end, whatever is done about it."""
    write("holds", id=_argument(scope, "id"))
    deadline_s = time.monotonic() + _FOR_EVER_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1)


async def blocks_the_loop(scope: Scope, receive: Receive, send: Send) -> None:
    """Stop the event loop, and all that runs on it, as no coroutine may."""
    write("holds", id=_argument(scope, "id"))
    time.sleep(_FOR_EVER_S)


async def blocks_a_thread(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for a thread of the loop's executor that never comes back."""
    write("holds", id=_argument(scope, "id"))
    await asyncio.to_thread(time.sleep, _FOR_EVER_S)


async def blocks_a_thread_of_anyio(scope: Scope, receive: Receive, send: Send) -> None:
    """Likewise with what Starlette and FastAPI run synchronous views in; it cannot be cancelled."""
    write("holds", id=_argument(scope, "id"))
    await anyio.to_thread.run_sync(time.sleep, _FOR_EVER_S)


# ---- Streams --------------------------------------------------------------------------------------------------------


async def drip(scope: Scope, receive: Receive, send: Send) -> None:
    """Send an event now and then until that fails; keep in the journal when, and what ``receive`` says then."""
    mark = _argument(scope, "id")
    await _begin_events(send)
    write("streams", id=mark)
    try:
        while True:
            await asyncio.sleep(0.05)
            await send({"type": "http.response.body", "body": _EVENT, "more_body": True})
    except OSError as error:
        event = await receive()
        write("left", id=mark, at_s=time.monotonic(), error=type(error).__name__, then=event["type"])
        raise


async def idle_events(scope: Scope, receive: Receive, send: Send) -> None:
    """Send one event, then wait for the client's leaving, as event streams do."""
    mark = _argument(scope, "id")
    await _begin_events(send)
    write("streams", id=mark)
    while (await receive())["type"] != "http.disconnect":
        pass
    write("left", id=mark, at_s=time.monotonic(), error=None, then="http.disconnect")


async def large(scope: Scope, receive: Receive, send: Send) -> None:
    """So many blocks of 64 KiB, with a length; keep in the journal how that ended."""
    mark, number = _argument(scope, "id"), int(_argument(scope, "number"))
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-length", str(number * len(BLOCK)).encode())],
        }
    )
    write("streams", id=mark)
    try:
        for _ in range(number):
            await send({"type": "http.response.body", "body": BLOCK, "more_body": True})
    except OSError as error:
        write("left", id=mark, at_s=time.monotonic(), error=type(error).__name__, then=(await receive())["type"])
        raise
    await send({"type": "http.response.body"})
    write("sent", id=mark)


# ---- The process ----------------------------------------------------------------------------------------------------


async def inside(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell what this process has, this request included."""
    gc.collect()
    now = adapter.statistics()
    counts = {
        "pid": os.getpid(),
        "threads": threading.active_count(),
        "tasks": len(asyncio.all_tasks()),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "requests": now.requests,
        "background": now.background,
        "stuck": now.stuck,
    }
    await _answer(send, json.dumps(counts).encode())


async def brief(scope: Scope, receive: Receive, send: Send) -> None:
    """Take a moment, then answer with what was asked, in three blocks without a length."""
    await asyncio.sleep(float(_argument(scope, "pause_s", "0.02")))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for block in (b"<", _argument(scope, "id").encode()):
        await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b">"})


async def pieces(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body; keep in the journal how that ended; answer with length and hash if it came whole."""
    mark, sha256, length = _argument(scope, "id"), hashlib.sha256(), 0
    write("reads", id=mark)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            write("read", id=mark, length=length, end="disconnect")
            return
        sha256.update(message["body"])
        length += len(message["body"])
        if not message["more_body"]:
            break
    write("read", id=mark, length=length, end="complete")
    await _answer(send, json.dumps({"length": length, "sha256": sha256.hexdigest()}).encode())


async def held(scope: Scope, receive: Receive, send: Send) -> None:
    """Wait for the gate, then answer; with ``?streamed=1`` some of it before."""
    mark, is_streamed = _argument(scope, "id"), bool(_argument(scope, "streamed"))
    gate = gate_path(os.environ[DIRECTORY_VARIABLE], _argument(scope, "gate") or mark)
    if is_streamed:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"held ", "more_body": True})
    write("holds", id=mark)
    deadline_s = time.monotonic() + 30.0
    while not os.path.exists(gate) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.01)
    if is_streamed:
        await send({"type": "http.response.body", "body": b"finished"})
    else:
        await _answer(send, b"finished")


_ROUTES: dict[str, Callable[[Scope, Receive, Send], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        *(
            blocks_a_thread,
            blocks_a_thread_of_anyio,
            blocks_the_loop,
            brief,
            drip,
            held,
            idle_events,
            inside,
            large,
            pieces,
            stubborn,
            stuck,
        ),
    )
}


async def _echo(receive: Receive, send: Send) -> None:
    """Send back what a WebSocket says."""
    assert (await receive())["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """All of them as one application."""
    if scope["type"] == "websocket":
        await _echo(receive, send)
        return
    name = "" if scope["type"] == "lifespan" else scope["path"].strip("/")
    await _ROUTES.get(name, application)(scope, receive, send)


_LIMITS = Limits(
    app_wait_s=APP_WAIT_S,
    loop_wait_s=10.0,
    startup_s=20.0,
    stuck_s=STUCK_S,
    shutdown_s=SHUTDOWN_S,
    cancel_s=CANCEL_S,
)
adapter = ASGIToWSGI(site, limits=_LIMITS)
_impatient = ASGIToWSGI(site, limits=replace(_LIMITS, app_wait_s=SHORT_APP_WAIT_S), lifespan="off")


# ---- Forks ----------------------------------------------------------------------------------------------------------


def _serves_in_memory() -> bool:
    """Serve as a server would that this process has become."""
    bodies = [Gateway(adapter, environ_for(path="/brief", QUERY_STRING=f"id={n}")).run().body for n in range(3)]
    return bodies == [b"<0>", b"<1>", b"<2>"]


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Fork in the request thread if that is asked for, else hand the request to the adapter: ``/impatient/...`` is one
    that gives silent applications up soon."""
    if environ["PATH_INFO"].startswith("/impatient/"):
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/impatient")
        return _impatient(environ, start_response)
    if environ["PATH_INFO"] == "/fork":
        body = outcome_of_child(environ["QUERY_STRING"].removeprefix("way="), _serves_in_memory)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    return adapter(environ, start_response)


if os.environ.get(WARM_VARIABLE):  # what a server that forks after the import inherits is in use already
    assert _serves_in_memory()
