"""The same little site in seven ASGI frameworks, each hosted by the bridge below a path of one WSGI application.

``app`` is what the servers serve. Imported by server processes only: it makes a file in the working directory. All
sites run on the one event loop of the process, so `Control` needs no locks.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import current_thread
from typing import Annotated, Any

import django
import falcon.asgi
import quart
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path, reverse
from falcon.asgi import SSEvent
from fastapi import BackgroundTasks, Depends, FastAPI, File, Form, UploadFile
from fastapi import Request as FastAPIRequest
from litestar import Litestar
from litestar import Request as LitestarRequest
from litestar import get as litestar_get
from litestar import post as litestar_post
from litestar.response import ServerSentEvent
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from bridge import to_wsgi

_FILE = os.path.abspath("file.txt")
with open(_FILE, "wb") as _opened:
    _opened.write(b"".join(b"line %05d\n" % number for number in range(2000)))


class Control:
    """Where tests hold handlers, and see what handlers did."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._reached: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def stop_at(self, point: str) -> None:
        """Stand here until a test calls ``/control/go``."""
        self._reached[point].set()
        await self._released[point].wait()

    async def go(self, point: str) -> None:
        """Wait until somebody stands there, and let him go."""
        await asyncio.wait_for(self._reached[point].wait(), 20)
        self._released[point].set()

    async def lines(self, point: str) -> AsyncIterator[str]:
        """One line, a stop, another line, then a line every moment until nobody listens any more."""
        try:
            yield "one"
            await self.stop_at(point)
            yield "two"
            while True:
                await asyncio.sleep(0.02)
                yield "tick"
        finally:
            self.seen[f"{point} closed"] += 1

    async def events(self, point: str) -> AsyncIterator[str]:
        """The same as server-sent events, for frameworks that have no class for them."""
        async for line in self.lines(point):
            yield f"data: {line}\n\n"


control = Control()


async def control_go(request: Request) -> Response:
    await control.go(request.path_params["point"])
    return Response()


async def control_seen(request: Request) -> Response:
    if "collect" in request.query_params:
        gc.collect()
    return JSONResponse(control.seen)


control_app = Starlette(
    routes=[Route("/go/{point:path}", control_go, methods=["POST"]), Route("/seen", control_seen)],
)

# ---- Starlette ------------------------------------------------------------------------------------------------------


class Inner(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers.append("x-passed", "inner")
        return response


class Outer(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers.append("x-passed", "outer")
        return response


@asynccontextmanager
async def starlette_lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    control.seen["starlette startup"] += 1
    yield {"greeting": "hello"}
    print("starlette shutdown", flush=True)


async def starlette_hello(request: Request) -> Response:
    return PlainTextResponse(f"{request.state.greeting} {request.path_params['name']} from starlette")


async def starlette_where(request: Request) -> Response:
    return PlainTextResponse(str(request.url_for("hello", name="x")))


async def starlette_upload(request: Request) -> Response:
    async with request.form() as form:
        file: Any = form["file"]
        return JSONResponse({"name": file.filename, "size": len(await file.read()), "title": form["title"]})


async def starlette_body(request: Request) -> Response:
    return PlainTextResponse(str(sum([len(piece) async for piece in request.stream()])))


async def starlette_echo(request: Request) -> Response:
    """Answer each piece of the request with a piece of the response: input and output take turns."""
    return StreamingResponse(piece async for piece in request.stream())


async def starlette_slow(request: Request) -> Response:
    await control.stop_at(request.path_params["point"])
    return PlainTextResponse(f"disconnected: {await request.is_disconnected()}")


async def starlette_events(request: Request) -> Response:
    return StreamingResponse(control.events(request.path_params["point"]), media_type="text/event-stream")


async def starlette_sse(request: Request) -> Response:
    return EventSourceResponse(control.lines(request.path_params["point"]))


async def starlette_background(request: Request) -> Response:
    point: str = request.path_params["point"]

    async def work() -> None:
        await control.stop_at(point)
        control.seen[f"{point} done"] += 1

    return PlainTextResponse("accepted", background=BackgroundTask(work))


async def starlette_file(request: Request) -> Response:
    return FileResponse(_FILE)


starlette_app = Starlette(
    lifespan=starlette_lifespan,
    middleware=[Middleware(Outer), Middleware(Inner)],
    routes=[
        Route("/hello/{name}", starlette_hello, name="hello"),
        Route("/where", starlette_where),
        Route("/upload", starlette_upload, methods=["POST"]),
        Route("/body", starlette_body, methods=["POST"]),
        Route("/echo", starlette_echo, methods=["POST"]),
        Route("/slow/{point:path}", starlette_slow),
        Route("/events/{point:path}", starlette_events),
        Route("/sse/{point:path}", starlette_sse),
        Route("/background/{point:path}", starlette_background),
        Route("/file", starlette_file),
    ],
)

# ---- FastAPI --------------------------------------------------------------------------------------------------------


class Lost(Exception):
    """For the exception handler."""


@asynccontextmanager
async def fastapi_lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    control.seen["fastapi startup"] += 1
    yield {"greeting": "hello"}
    print("fastapi shutdown", flush=True)


async def session() -> AsyncIterator[str]:
    control.seen["session opened"] += 1
    try:
        yield "a session"
    finally:
        control.seen["session closed"] += 1


def sync_session() -> Iterator[str]:
    control.seen["sync session opened"] += 1
    try:
        yield "a sync session"
    finally:
        control.seen["sync session closed"] += 1


fastapi_app = FastAPI(lifespan=fastapi_lifespan)


@fastapi_app.get("/hello/{name}", name="hello")
async def fastapi_hello(name: str, request: FastAPIRequest) -> Response:
    return PlainTextResponse(f"{request.state.greeting} {name} from fastapi")


@fastapi_app.get("/where")
async def fastapi_where(request: FastAPIRequest) -> Response:
    return PlainTextResponse(str(request.url_for("hello", name="x")))


@fastapi_app.get("/dependencies")
async def fastapi_dependencies(
    one: Annotated[str, Depends(session)], two: Annotated[str, Depends(sync_session)]
) -> list[str]:
    return [one, two]


@fastapi_app.get("/dependencies/that/fail")
async def fastapi_failing(one: Annotated[str, Depends(session)]) -> None:
    raise Lost(one)


@fastapi_app.exception_handler(Lost)
async def fastapi_lost(request: FastAPIRequest, error: Lost) -> Response:
    return JSONResponse({"lost": str(error)}, status_code=404)


@fastapi_app.get("/threads/async")
async def fastapi_async_thread() -> str:
    return current_thread().name


@fastapi_app.get("/threads/sync")
def fastapi_sync_thread() -> str:
    return current_thread().name


@fastapi_app.post("/upload")
async def fastapi_upload(file: Annotated[UploadFile, File()], title: Annotated[str, Form()]) -> dict[str, Any]:
    return {"name": file.filename, "size": len(await file.read()), "title": title}


@fastapi_app.post("/body")
async def fastapi_body(request: FastAPIRequest) -> Response:
    return PlainTextResponse(str(len(await request.body())))


@fastapi_app.get("/slow/{point:path}")
async def fastapi_slow(point: str, request: FastAPIRequest) -> Response:
    await control.stop_at(point)
    return PlainTextResponse(f"disconnected: {await request.is_disconnected()}")


@fastapi_app.get("/events/{point:path}")
async def fastapi_events(point: str) -> Response:
    return StreamingResponse(control.events(point), media_type="text/event-stream")


@fastapi_app.get("/background/{point:path}")
async def fastapi_background(point: str, tasks: BackgroundTasks) -> str:
    async def work() -> None:
        await control.stop_at(point)
        control.seen[f"{point} done"] += 1

    tasks.add_task(work)
    return "accepted"


# ---- Quart ----------------------------------------------------------------------------------------------------------

quart_app = quart.Quart(__name__)


@quart_app.before_serving
async def quart_startup() -> None:
    control.seen["quart startup"] += 1


@quart_app.after_serving
async def quart_shutdown() -> None:
    print("quart shutdown", flush=True)


@quart_app.get("/hello/<name>")
async def quart_hello(name: str) -> str:
    return f"hello {name} from quart"


@quart_app.get("/where")
async def quart_where() -> str:
    return quart.url_for("quart_hello", name="x", _external=True)


@quart_app.post("/upload")
async def quart_upload() -> dict[str, Any]:
    file = (await quart.request.files)["file"]
    form = await quart.request.form
    return {"name": file.filename, "size": len(file.read()), "title": form["title"]}


@quart_app.post("/body")
async def quart_body() -> str:
    return str(sum([len(piece) async for piece in quart.request.body]))


@quart_app.get("/slow/<path:point>")
async def quart_slow(point: str) -> str:
    await control.stop_at(point)
    return "disconnected: False"  # Quart cancels the view if it is


@quart_app.get("/events/<path:point>")
async def quart_events(point: str) -> quart.Response:
    response = quart.Response(control.events(point), mimetype="text/event-stream")
    response.timeout = None
    return response


@quart_app.websocket("/socket")
async def quart_socket() -> None:
    await quart.websocket.accept()


# ---- Litestar -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def litestar_lifespan(app: Litestar) -> AsyncIterator[None]:
    control.seen["litestar startup"] += 1
    app.state.greeting = "hello"
    yield
    print("litestar shutdown", flush=True)


@litestar_get("/hello/{who:str}", name="hello", media_type="text/plain")
async def litestar_hello(who: str, request: LitestarRequest[Any, Any, Any]) -> str:
    return f"{request.app.state.greeting} {who} from litestar"


@litestar_get("/where", media_type="text/plain")
async def litestar_where(request: LitestarRequest[Any, Any, Any]) -> str:
    return str(request.url_for("hello", who="x"))


@litestar_post("/upload", status_code=200)
async def litestar_upload(request: LitestarRequest[Any, Any, Any]) -> dict[str, Any]:
    form = await request.form()
    file = form["file"]
    return {"name": file.filename, "size": len(await file.read()), "title": form["title"]}


@litestar_post("/body", media_type="text/plain", status_code=200)
async def litestar_body(request: LitestarRequest[Any, Any, Any]) -> str:
    return str(sum([len(piece) async for piece in request.stream()]))


@litestar_get("/slow/{point:path}", media_type="text/plain")
async def litestar_slow(point: str) -> str:
    await control.stop_at(point.lstrip("/"))
    return "disconnected: False"


@litestar_get("/events/{point:path}")
async def litestar_events(point: str) -> ServerSentEvent:
    return ServerSentEvent(control.lines(point.lstrip("/")))


litestar_app = Litestar(
    [litestar_hello, litestar_where, litestar_upload, litestar_body, litestar_slow, litestar_events],
    lifespan=[litestar_lifespan],
)

# ---- Falcon ---------------------------------------------------------------------------------------------------------


class FalconLifespan:
    async def process_startup(self, scope: Any, event: Any) -> None:
        control.seen["falcon startup"] += 1

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        print("falcon shutdown", flush=True)


class FalconHello:
    async def on_get(self, req: Any, resp: Any, name: str) -> None:
        resp.text = f"hello {name} from falcon"


class FalconWhere:
    async def on_get(self, req: Any, resp: Any) -> None:
        resp.text = f"{req.prefix}/hello/x"


class FalconUpload:
    async def on_post(self, req: Any, resp: Any) -> None:
        found: dict[str, Any] = {}
        async for part in await req.get_media():
            if part.name == "file":
                found |= {"name": part.filename, "size": len(await part.stream.read())}
            else:
                found["title"] = await part.text
        resp.media = found


class FalconBody:
    async def on_post(self, req: Any, resp: Any) -> None:
        resp.text = str(len(await req.stream.read()))


class FalconSlow:
    async def on_get(self, req: Any, resp: Any, point: str) -> None:
        await control.stop_at(point)
        resp.text = "disconnected: False"


class FalconEvents:
    async def on_get(self, req: Any, resp: Any, point: str) -> None:
        async def events() -> AsyncIterator[SSEvent]:
            async for line in control.lines(point):
                yield SSEvent(text=line)

        resp.sse = events()


# Falcon 4 matches the whole path of the scope, on every ASGI server: below a mount its routes name the mount, too.
falcon_app = falcon.asgi.App(middleware=[FalconLifespan()])
falcon_app.add_route("/falcon/hello/{name}", FalconHello())
falcon_app.add_route("/falcon/where", FalconWhere())
falcon_app.add_route("/falcon/upload", FalconUpload())
falcon_app.add_route("/falcon/body", FalconBody())
falcon_app.add_route("/falcon/slow/{point:path}", FalconSlow())
falcon_app.add_route("/falcon/events/{point:path}", FalconEvents())

# ---- Django, alone and below Channels -------------------------------------------------------------------------------


def django_hello(request: HttpRequest, name: str) -> HttpResponse:
    """A sync view: asgiref runs it in a thread."""
    return HttpResponse(f"hello {name} from django")


async def django_where(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.build_absolute_uri(reverse("hello", args=["x"])))


async def django_upload(request: HttpRequest) -> HttpResponse:
    file = request.FILES["file"]
    return JsonResponse({"name": file.name, "size": len(file.read()), "title": request.POST["title"]})


async def django_body(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


async def django_slow(request: HttpRequest, point: str) -> HttpResponse:
    await control.stop_at(point)
    return HttpResponse("disconnected: False")  # Django cancels the view if it is


async def django_events(request: HttpRequest, point: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(control.events(point), content_type="text/event-stream")


urlpatterns = [
    path("hello/<name>", django_hello, name="hello"),
    path("where", django_where),
    path("upload", django_upload),
    path("body", django_body),
    path("slow/<path:point>", django_slow),
    path("events/<path:point>", django_events),
]
settings.configure(
    SECRET_KEY="not secret", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], DATA_UPLOAD_MAX_MEMORY_SIZE=None
)
django.setup()
django_app = get_asgi_application()
channels_app = ProtocolTypeRouter({"http": django_app, "websocket": URLRouter([])})

# ---- The site -------------------------------------------------------------------------------------------------------

app = DispatcherMiddleware(
    NotFound(),
    {
        "/control": to_wsgi(control_app),
        "/starlette": to_wsgi(starlette_app),
        "/fastapi": to_wsgi(fastapi_app),
        "/quart": to_wsgi(quart_app),
        "/litestar": to_wsgi(litestar_app),
        "/falcon": to_wsgi(falcon_app),
        "/django": to_wsgi(django_app),
        "/channels": to_wsgi(channels_app),
    },
)
