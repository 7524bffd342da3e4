"""The same little site of sockets in five ASGI frameworks, each hosted by the bridge below a path of one WSGI app.

``app`` is what the servers serve; every other path is that of `tests.integration.websocket_asgi_apps`. `site` is the
same without the bridge.

Each has ``echo`` (with the first subprotocol offered), ``room`` (what one says all hear), ``close`` (4002, "enough"),
``refuse``, ``fail`` and an HTTP page; Socket.IO has its own ways for these.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Any

import django
import quart
import socketio
from asgiref.sync import ThreadSensitiveContext, async_to_sync
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from fastapi import Depends, FastAPI, WebSocket, WebSocketException
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket as StarletteWebSocket
from starlette.websockets import WebSocketDisconnect

from bridge import Limits, to_wsgi
from bridge.types import ASGIApp, Environ, Receive, Scope, Send, StartResponse, WSGIApp
from tests.integration import websocket_asgi_apps
from tests.integration.asgi_apps import write
from tests.integration.websocket_asgi_apps import ViewError

# ---- Starlette ------------------------------------------------------------------------------------------------------

_starlette_room: set[StarletteWebSocket] = set()


async def starlette_page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"starlette, {len(_starlette_room)} in the room")


async def starlette_echo(socket: StarletteWebSocket) -> None:
    subprotocol = socket.scope["subprotocols"][0] if socket.scope["subprotocols"] else None
    await socket.accept(subprotocol)
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"], message["reason"])
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect as gone:
        write("starlette", id=socket.query_params.get("id"), code=gone.code, reason=gone.reason)


async def starlette_room(socket: StarletteWebSocket) -> None:
    await socket.accept()
    _starlette_room.add(socket)
    try:
        await socket.send_text("welcome")
        async for text in socket.iter_text():
            for other in _starlette_room:
                await other.send_text(text)
    finally:
        _starlette_room.discard(socket)


async def starlette_close(socket: StarletteWebSocket) -> None:
    await socket.accept()
    await socket.close(4002, "enough")


async def starlette_refuse(socket: StarletteWebSocket) -> None:
    await socket.close(4403)


async def starlette_deny(socket: StarletteWebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("no ticket", 402, headers={"x-a": "1"}))


async def starlette_fail(socket: StarletteWebSocket) -> None:
    await socket.accept()
    raise ViewError("starlette fails")


starlette_app = Starlette(
    routes=[
        Route("/page", starlette_page),
        WebSocketRoute("/echo", starlette_echo),
        WebSocketRoute("/room", starlette_room),
        WebSocketRoute("/close", starlette_close),
        WebSocketRoute("/refuse", starlette_refuse),
        WebSocketRoute("/deny", starlette_deny),
        WebSocketRoute("/fail", starlette_fail),
    ]
)

# ---- FastAPI --------------------------------------------------------------------------------------------------------

fastapi_app = FastAPI()
_fastapi_room: set[WebSocket] = set()


async def fastapi_members() -> AsyncIterator[set[WebSocket]]:
    """A dependency that has something to do when the socket is over."""
    yield _fastapi_room
    write("fastapi", id="dependency", members=len(_fastapi_room))


@fastapi_app.get("/page")
async def fastapi_page() -> PlainTextResponse:
    return PlainTextResponse(f"fastapi, {len(_fastapi_room)} in the room")


@fastapi_app.websocket("/echo")
async def fastapi_echo(socket: WebSocket, id: str = "") -> None:  # noqa: A002
    subprotocol = socket.scope["subprotocols"][0] if socket.scope["subprotocols"] else None
    await socket.accept(subprotocol)
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            write("fastapi", id=id, code=message["code"], reason=message["reason"])
            return
        if message.get("text") is not None:
            await socket.send_text(message["text"])
        else:
            await socket.send_bytes(message["bytes"])


@fastapi_app.websocket("/room")
async def fastapi_room(socket: WebSocket, members: Annotated[set[WebSocket], Depends(fastapi_members)]) -> None:
    await socket.accept()
    members.add(socket)
    try:
        await socket.send_text("welcome")
        while True:
            text = await socket.receive_text()
            for member in members:
                await member.send_text(text)
    except WebSocketDisconnect:
        pass
    finally:
        members.discard(socket)


@fastapi_app.websocket("/close")
async def fastapi_close(socket: WebSocket) -> None:
    await socket.accept()
    raise WebSocketException(4002, "enough")


@fastapi_app.websocket("/refuse")
async def fastapi_refuse(socket: WebSocket) -> None:
    raise WebSocketException(1008)


@fastapi_app.websocket("/fail")
async def fastapi_fail(socket: WebSocket) -> None:
    await socket.accept()
    raise ViewError("fastapi fails")


# ---- Quart ----------------------------------------------------------------------------------------------------------

quart_app = quart.Quart(__name__)
_quart_room: set[quart.wrappers.Websocket] = set()


@quart_app.get("/page")
async def quart_page() -> str:
    return f"quart, {len(_quart_room)} in the room"


@quart_app.websocket("/echo")
async def quart_echo() -> None:
    subprotocols = quart.websocket.requested_subprotocols
    await quart.websocket.accept(subprotocol=subprotocols[0] if subprotocols else None)
    while True:
        await quart.websocket.send(await quart.websocket.receive())


@quart_app.websocket("/room")
async def quart_room() -> None:
    socket = quart.websocket._get_current_object()
    _quart_room.add(socket)
    try:
        await socket.send("welcome")
        while True:
            text = await socket.receive()
            for other in _quart_room:
                await other.send(text)
    finally:
        _quart_room.discard(socket)


@quart_app.websocket("/close")
async def quart_close() -> None:
    await quart.websocket.accept()
    await quart.websocket.close(4002, "enough")


@quart_app.websocket("/refuse")
async def quart_refuse() -> tuple[str, int]:
    return "not you", 403


@quart_app.websocket("/fail")
async def quart_fail() -> None:
    raise ViewError("quart fails")


# ---- Channels -------------------------------------------------------------------------------------------------------


class Echo(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept(self.scope["subprotocols"][0] if self.scope["subprotocols"] else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)

    async def disconnect(self, code: int) -> None:
        write("channels", id=self.scope["query_string"].decode().removeprefix("id="), code=code)


class Room(AsyncWebsocketConsumer):
    """The group is the channel layer's."""

    groups = ["room"]

    async def connect(self) -> None:
        await self.accept()
        await self.send(text_data="welcome")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("room", {"type": "told", "text": text_data})

    async def told(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


class SyncRoom(WebsocketConsumer):
    """One that is not async: asgiref runs it in a thread, beside the loop."""

    groups = ["threads"]

    def connect(self) -> None:
        self.accept()
        self.send(text_data="welcome")

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        event = {"type": "told", "text": text_data}
        async_to_sync(self.channel_layer.group_send)("threads", event)

    def told(self, event: dict[str, Any]) -> None:
        self.send(text_data=event["text"])


class Close(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        await self.close(4002, "enough")


class Refuse(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.close()


class Fail(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.accept()
        raise ViewError("channels fails")


def channels_page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("channels, from Django")


urlpatterns = [path("page", channels_page)]
settings.configure(
    SECRET_KEY="not secret",
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
)
django.setup()
_routed = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": URLRouter(
            [
                path("echo", Echo.as_asgi()),
                path("room", Room.as_asgi()),
                path("sync/room", SyncRoom.as_asgi()),
                path("close", Close.as_asgi()),
                path("refuse", Refuse.as_asgi()),
                path("fail", Fail.as_asgi()),
            ]
        ),
    }
)


async def channels_app(scope: Scope, receive: Receive, send: Send) -> None:
    """What Django does for HTTP: else all consumers share one thread, and under gevent that one works nowhere."""
    async with ThreadSensitiveContext():
        await _routed(scope, receive, send)


# ---- Socket.IO ------------------------------------------------------------------------------------------------------

events = socketio.AsyncServer(async_mode="asgi", ping_interval=5)


@events.event
async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
    if auth == "wrong":
        raise socketio.exceptions.ConnectionRefusedError("not you")


@events.event
async def echo(sid: str, data: Any) -> Any:
    """What is returned is the acknowledgement."""
    return data


@events.event
async def say(sid: str, text: str) -> None:
    await events.emit("said", text)


@events.event
async def disconnect(sid: str, reason: str) -> None:
    write("socketio", id=sid, reason=reason)


# It looks at the whole path.
socketio_app = socketio.ASGIApp(events, socketio_path="socketio/socket.io")

# ---- The site -------------------------------------------------------------------------------------------------------

FRAMEWORKS: dict[str, ASGIApp] = {
    "starlette": starlette_app,
    "fastapi": fastapi_app,
    "quart": quart_app,
    "channels": channels_app,
    "socketio": socketio_app,
}
_LIMITS = Limits(startup_s=20.0, shutdown_s=3.0, cancel_s=1.0)
_HOSTED: dict[str, WSGIApp] = {name: to_wsgi(framework, limits=_LIMITS) for name, framework in FRAMEWORKS.items()}


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Hand the request to the framework that the first path segment names, which moves to SCRIPT_NAME."""
    first, separator, rest = environ["PATH_INFO"].removeprefix("/").partition("/")
    hosted = _HOSTED.get(first)
    if hosted is None:
        return websocket_asgi_apps.app(environ, start_response)
    environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + f"/{first}"
    environ["PATH_INFO"] = separator + rest
    return hosted(environ, start_response)


async def site(scope: Scope, receive: Receive, send: Send) -> None:
    """All of them, as one ASGI application."""
    first = scope.get("path", "/").removeprefix("/").partition("/")[0]
    framework = FRAMEWORKS.get(first)
    if framework is None:
        await websocket_asgi_apps.site(scope, receive, send)
    else:
        await framework(scope | {"root_path": scope.get("root_path", "") + f"/{first}"}, receive, send)
