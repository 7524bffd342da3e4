"""ASGI frameworks below a strict WSGI server in memory: what can be held still there, at exact points."""

import gc
import logging
import wsgiref.util
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from bridge import ASGIToWSGI
from tests.gateway import Gateway, ScriptedInput, UntouchableInput, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold, until

ASYNCIO_LOOPS = ("asyncio", "uvloop")
LOOPS = (*ASYNCIO_LOOPS, "trio")
on_each_loop = pytest.mark.parametrize("event_loop", LOOPS)
on_each_asyncio_loop = pytest.mark.parametrize("event_loop", ASYNCIO_LOOPS)


def starlette(endpoint: Any, *middleware: type, **options: Any) -> Starlette:
    route = Route("/{rest:path}", endpoint, methods=["GET", "POST"])
    return Starlette(routes=[route], middleware=[Middleware(one) for one in middleware], **options)


def is_idle(adapter: ASGIToWSGI) -> bool:
    now = adapter.statistics()
    return now.requests + now.background == 0


async def pass_on(self: Any, request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    response.headers.append("x-passed", type(self).__name__)
    return response


Inner = type("Inner", (BaseHTTPMiddleware,), {"dispatch": pass_on})
Outer = type("Outer", (BaseHTTPMiddleware,), {"dispatch": pass_on})
nested = pytest.mark.parametrize("middleware", [(), (Inner,), (Outer, Inner)], ids=["bare", "one", "two nested"])


# ---- Starlette ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-054", "A-077")
@on_each_loop
@nested
@pytest.mark.parametrize("body", [None, b"never read"], ids=["no body", "unread body"])
def test_each_block_comes_before_the_next_exists(event_loop: Any, middleware: tuple[type, ...], body: Any) -> None:
    hold = Hold()

    async def blocks() -> AsyncIterator[bytes]:
        yield b"one"
        await hold.stop_here_on_loop()
        yield b"two"

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(blocks())

    with hosted(starlette(endpoint, *middleware), event_loop=event_loop) as adapter:
        gateway = Gateway(adapter, environ_for("POST", body=body)).call()
        assert gateway.step() == b"one"
        assert not hold.released.is_set()
        hold.release()
        assert gateway.drain() == b"onetwo"
        gateway.close()

    passed = [value for name, value in gateway.headers if name == "x-passed"]
    assert passed == [one.__name__ for one in reversed(middleware)]


@pytest.mark.requirement("A-050", "A-109")
@on_each_loop
@nested
def test_a_slow_handler_behind_middleware_is_left_alone(event_loop: Any, middleware: tuple[type, ...]) -> None:
    """The middleware waits for the disconnect beside it; another request comes and goes meanwhile."""
    hold = Hold()

    async def endpoint(request: Request) -> Response:
        if request.url.path == "/slow":
            await hold.stop_here_on_loop()
            return PlainTextResponse(f"disconnected: {await request.is_disconnected()}")
        return PlainTextResponse("quick")

    with hosted(starlette(endpoint, *middleware), event_loop=event_loop) as adapter:
        slow = Helper(lambda: run(adapter, environ_for(path="/slow")).body)
        hold.reached.wait()
        assert run(adapter, environ_for(path="/quick")).body == b"quick"
        hold.release()
        assert slow.join() == b"disconnected: False"


@pytest.mark.requirement("A-057", "A-091", "A-094")
@on_each_loop
def test_is_disconnected_tells_when_the_client_has_left(event_loop: Any) -> None:
    hold, answers, done = Hold(), [], Flag("done")

    async def blocks(request: Request) -> AsyncIterator[bytes]:
        try:
            answers.append(await request.is_disconnected())
            yield b"one"
        finally:
            await hold.stop_here_on_loop()
            answers.append(await request.is_disconnected())
            done.set()

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(blocks(request))

    with hosted(starlette(endpoint), event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        assert gateway.step() == b"one"
        step = Helper(gateway.step)  # lets the generator go on, to its finally
        hold.reached.wait()
        gateway.close()
        hold.release()
        done.wait()
        step.join()

    assert answers == [False, True]


@pytest.mark.requirement("A-087", "A-091", "A-093")
@pytest.mark.filterwarnings("ignore:Async generator .* was garbage collected:ResourceWarning")  # trio, of Starlette
@on_each_loop
@nested
def test_a_stream_whose_client_leaves_ends_without_an_error_in_the_log(
    event_loop: Any, middleware: tuple[type, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    closed = Flag("the generator was closed")

    async def blocks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"block"
        finally:
            closed.set()

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(blocks())

    with hosted(starlette(endpoint, *middleware), event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        assert gateway.step() == b"block"
        gateway.close()
        until(lambda: is_idle(adapter), "the end of the application")
        gc.collect()  # behind middleware, nobody else closes the generator
        closed.wait()
        assert adapter.statistics().failed_in_background == 0

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.requirement("A-079", "A-085")
@on_each_loop
@nested
def test_a_background_task_goes_on_after_the_response(event_loop: Any, middleware: tuple[type, ...]) -> None:
    hold, done = Hold(), Flag("done")

    async def work() -> None:
        await hold.stop_here_on_loop()
        done.set()

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("accepted", background=BackgroundTask(work))

    with hosted(starlette(endpoint, *middleware), event_loop=event_loop) as adapter:
        assert run(adapter).body == b"accepted"
        hold.reached.wait()
        assert (adapter.statistics().requests, adapter.statistics().background) == (0, 1)
        hold.release()
        done.wait()


@pytest.mark.requirement("A-041", "A-048", "A-054")
@on_each_loop
def test_a_streamed_request_is_answered_piece_by_piece(event_loop: Any) -> None:
    async def endpoint(request: Request) -> Response:
        return StreamingResponse(piece async for piece in request.stream() if piece)

    source = ScriptedInput(b"one", b"two", total_bytes=6)
    with hosted(starlette(endpoint), event_loop=event_loop) as adapter:
        environ = environ_for("POST", CONTENT_LENGTH="6", **{"wsgi.input": source})
        gateway = Gateway(adapter, environ).call()
        assert gateway.step() == b"one"
        assert len(source.reads) == 1, "the second piece was read before the answer to the first was out"
        assert gateway.drain() == b"onetwo"
        gateway.close()


@pytest.mark.requirement("A-047")
@on_each_loop
def test_an_upload_that_is_cut_raises_client_disconnect_in_the_endpoint(event_loop: Any) -> None:
    raised: list[str] = []
    seen = Flag("the endpoint saw it")

    async def endpoint(request: Request) -> Response:
        try:
            await request.body()
        except ClientDisconnect as error:
            raised.append(type(error).__name__)
        finally:
            seen.set()
        return PlainTextResponse("too late")

    with hosted(starlette(endpoint), event_loop=event_loop) as adapter:
        environ = environ_for("POST", CONTENT_LENGTH="10", **{"wsgi.input": ScriptedInput(b"half")})
        with pytest.raises(OSError, match="Content-Length"):
            run(adapter, environ)
        seen.wait()

    assert raised == ["ClientDisconnect"]


@pytest.mark.requirement("A-039", "A-075")
@on_each_loop
@pytest.mark.parametrize("wrapper", [None, wsgiref.util.FileWrapper], ids=["blocks", "file_wrapper"])
def test_files_their_ranges_and_their_heads(event_loop: Any, wrapper: Any, tmp_path: Path) -> None:
    content = b"".join(b"line %05d\n" % number for number in range(20_000))
    file = tmp_path / "file.txt"
    file.write_bytes(content)
    offered = {"wsgi.file_wrapper": wrapper}

    async def endpoint(request: Request) -> Response:
        return FileResponse(file)

    app = Starlette(routes=[Route("/", endpoint)])
    with hosted(app, event_loop=event_loop) as adapter:
        whole = run(adapter, environ_for(**offered))
        assert type(whole.result) is wrapper or wrapper is None
        head = run(adapter, environ_for("HEAD", **offered))
        part = run(adapter, environ_for(headers={"range": "bytes=110-120"}, **offered))
        parts = run(adapter, environ_for(headers={"range": "bytes=0-4,100-104"}, **offered))
        beyond = run(adapter, environ_for(headers={"range": "bytes=99999999-"}, **offered))

    assert (whole.body, head.body, part.body) == (content, b"", content[110:121])
    assert dict(head.headers)["content-length"] == dict(whole.headers)["content-length"] == str(len(content))
    assert [answer.status[:3] for answer in (whole, head, part, parts, beyond)] == ["200", "200", "206", "206", "416"]
    assert content[100:105] in parts.body


@pytest.mark.requirement("A-042")
def test_a_request_without_a_body_does_not_touch_the_input_whatever_asks_for_it() -> None:
    async def endpoint(request: Request) -> Response:
        return JSONResponse([len(await request.body()), len(await request.form()), await request.is_disconnected()])

    with hosted(starlette(endpoint, Outer, Inner)) as adapter:
        environ = environ_for("POST", CONTENT_TYPE="application/x-www-form-urlencoded")
        assert run(adapter, environ | {"wsgi.input": UntouchableInput()}).body == b"[0,0,false]"


@pytest.mark.requirement("A-018", "A-019")
def test_a_mount_in_the_application_lies_below_the_mount_of_the_server() -> None:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(request.url_for("page", name="x").path)

    inner = Starlette(routes=[Route("/pages/{name}", endpoint, name="page")])
    with hosted(Starlette(routes=[Mount("/inner", inner)])) as adapter:
        environ = environ_for(path="/inner/pages/a", SCRIPT_NAME="/outer")
        assert run(adapter, environ).body == b"/outer/inner/pages/x"


# ---- FastAPI --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-032", "A-096", "A-102", "A-103")
@on_each_loop
def test_the_state_of_the_lifespan_is_there_in_requests_and_not_changed_by_them(event_loop: Any) -> None:
    pool: list[str] = []
    events: list[str] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        events.append("startup")
        yield {"pool": pool}
        events.append("shutdown")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def endpoint(request: Request) -> list[str]:
        request.state.pool.append("used")
        had = hasattr(request.state, "mine")
        request.state.mine = "this request's"
        return [*request.state.pool, str(had)]

    with hosted(app, event_loop=event_loop) as adapter:
        assert run(adapter).body == b'["used","False"]'
        assert run(adapter).body == b'["used","used","False"]'
        assert events == ["startup"]

    assert pool == ["used", "used"]
    assert events == ["startup", "shutdown"]


@on_each_loop
@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_dependencies_with_yield_are_open_during_the_endpoint_and_closed_after_it(event_loop: Any, path: str) -> None:
    events: list[str] = []

    async def session() -> AsyncIterator[str]:
        events.append("open")
        yield "session"
        events.append("close")

    def sync_session(outer: Annotated[str, Depends(session)]) -> Iterator[str]:
        events.append("sync open")
        yield f"sync {outer}"
        events.append("sync close")

    app = FastAPI()

    @app.get("/async")
    async def async_endpoint(one: Annotated[str, Depends(sync_session)]) -> str:
        events.append("endpoint")
        return one

    @app.get("/sync")
    def sync_endpoint(one: Annotated[str, Depends(sync_session)]) -> str:
        events.append("endpoint")
        return one

    with hosted(app, event_loop=event_loop) as adapter:
        assert run(adapter, environ_for(path=path)).body == b'"sync session"'

    assert events == ["open", "sync open", "endpoint", "sync close", "close"]


# ---- Event streams --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-050", "A-091")
@on_each_loop
def test_sse_starlette_stops_an_idle_stream_whose_client_leaves(event_loop: Any) -> None:
    sse_starlette = pytest.importorskip("sse_starlette")
    idle, closed = Flag("idle"), Flag("the generator was closed")

    async def events() -> AsyncIterator[dict[str, str]]:
        try:
            yield {"data": "one"}
            idle.set()
            await Flag("never").wait_on_loop(None)
        finally:
            closed.set()

    async def endpoint(request: Request) -> Response:
        return sse_starlette.EventSourceResponse(events())

    with hosted(starlette(endpoint), event_loop=event_loop) as adapter:
        gateway = Gateway(adapter).call()
        assert b"data: one" in (gateway.step() or b"")
        waiting = Helper(gateway.step)
        idle.wait()
        gateway.close()
        closed.wait()
        waiting.join()


# ---- Quart ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-050", "A-103")
@on_each_asyncio_loop
def test_quart_does_not_cancel_a_slow_view_and_serves_before_and_after(event_loop: Any) -> None:
    quart = pytest.importorskip("quart")
    hold, events = Hold(), []
    app = quart.Quart(__name__)
    app.before_serving(lambda: events.append("before"))
    app.after_serving(lambda: events.append("after"))

    @app.post("/")
    async def view() -> str:
        received = await quart.request.get_data()
        await hold.stop_here_on_loop()
        return f"received {len(received)}"

    with hosted(app, event_loop=event_loop) as adapter:
        request = Helper(lambda: run(adapter, environ_for("POST", body=b"12345")).body)
        hold.reached.wait()
        assert events == ["before"]
        hold.release()
        assert request.join() == b"received 5"

    assert events == ["before", "after"]


# ---- Django ---------------------------------------------------------------------------------------------------------


@contextmanager
def hosted_django(view: Any, event_loop: str, *, behind_channels: bool = False) -> Iterator[ASGIToWSGI]:
    """Host a Django whose only view is this one."""
    django = pytest.importorskip("django")
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.test import override_settings
    from django.urls import path

    if not settings.configured:
        # STATIC_URL: django.test has a lazy object that needs it when the search for leaks looks at all objects.
        settings.configure(SECRET_KEY="not secret", ALLOWED_HOSTS=["*"], STATIC_URL="/static/")
        django.setup()
    urls = type("urls", (), {"urlpatterns": [path("", view)]})
    with override_settings(ROOT_URLCONF=urls, ALLOWED_HOSTS=["*"]):
        app: Any = get_asgi_application()
        if behind_channels:
            from channels.routing import ProtocolTypeRouter

            app = ProtocolTypeRouter({"http": app})
        with hosted(app, event_loop=event_loop) as adapter:
            yield adapter


@pytest.mark.requirement("A-050", "A-099")
@on_each_asyncio_loop
@pytest.mark.parametrize("behind_channels", [False, True], ids=["django", "channels"])
def test_django_does_not_cancel_a_slow_view(event_loop: str, behind_channels: bool) -> None:
    """Django waits for the disconnect beside the view."""
    from django.http import HttpResponse

    hold = Hold()

    async def view(request: Any) -> Any:
        await hold.stop_here_on_loop()
        return HttpResponse(f"received {len(request.body)}")

    with hosted_django(view, event_loop, behind_channels=behind_channels) as adapter:
        request = Helper(lambda: run(adapter, environ_for("POST", body=b"12345")).body)
        hold.reached.wait()
        hold.release()
        assert request.join() == b"received 5"


@on_each_asyncio_loop
def test_a_sync_view_of_django_runs_in_a_thread_of_its_own(event_loop: str) -> None:
    import threading

    from django.http import HttpResponse

    def view(request: Any) -> Any:
        return HttpResponse(threading.current_thread().name)

    with hosted_django(view, event_loop) as adapter:
        name = run(adapter).body

    assert not name.startswith(b"bridge-loop")
    assert name != threading.current_thread().name.encode()


@pytest.mark.requirement("A-087", "A-091")
@on_each_asyncio_loop
@pytest.mark.parametrize("is_idle", [False, True], ids=["while a block is sent", "while the stream is idle"])
def test_django_finishes_a_stream_whose_client_has_left(
    event_loop: str, is_idle: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Only a request that Django finishes gives its database connections back."""
    from django.core.signals import request_finished
    from django.http import StreamingHttpResponse

    caplog.set_level(logging.INFO, logger="bridge")
    idle, finished = Flag("idle"), Flag("Django finished the request")

    async def blocks() -> AsyncIterator[bytes]:
        yield b"one"
        idle.set()
        await Flag("never").wait_on_loop(None)

    async def view(request: Any) -> Any:
        return StreamingHttpResponse(blocks())

    def note(**_: Any) -> None:
        finished.set()

    request_finished.connect(note)
    try:
        with hosted_django(view, event_loop) as adapter:
            gateway = Gateway(adapter).call()
            assert gateway.step() == b"one"
            waiting = Helper(gateway.step) if is_idle else None
            if waiting is not None:
                idle.wait()
            gateway.close()
            finished.wait()
            if waiting is not None:
                waiting.join()
    finally:
        request_finished.disconnect(note)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
