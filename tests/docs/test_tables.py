"""What the documentation says is so: tables list exactly what there is, claims are tried."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import inspect
import re
import sys
import threading
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from asgiref.sync import async_to_sync

import bridge
from bridge import ASGIToWSGI, HostStatistics, Limits, Statistics, WSGIToASGI, call_async, to_asgi, to_wsgi
from bridge._asgi_hosting.phases import HostPhase
from tests.docs.pages import TOP, code, python_blocks, section, table
from tests.gateway import answering, environ_for, hosted, run

# ---- Tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "heading"),
    [
        pytest.param(WSGIToASGI, "Options of `WSGIToASGI` and `to_asgi`", id="WSGIToASGI"),
        pytest.param(ASGIToWSGI, "Options of `ASGIToWSGI` and `to_wsgi`", id="ASGIToWSGI"),
    ],
)
def test_the_table_of_options_names_exactly_the_options_and_their_defaults(adapter: Any, heading: str) -> None:
    documented = {code(row[0]): ast.literal_eval(code(row[1])) for row in table("reference/options.md", heading)}

    parameters = inspect.signature(adapter).parameters.values()

    assert documented == {parameter.name: parameter.default for parameter in parameters if parameter.name != "app"}


@pytest.mark.parametrize("name", ["lifespan", "event_loop", "on_error"])
def test_the_table_names_each_choice_of_an_option_of_to_wsgi(name: str) -> None:
    hint = get_type_hints(ASGIToWSGI.__init__)[name]
    [row] = [
        row for row in table("reference/options.md", "Options of `ASGIToWSGI` and `to_wsgi`") if row[0] == f"`{name}`"
    ]

    assert set(re.findall(r"`'(\w+)'`", row[1] + row[2])) == set(get_args(hint))


def test_the_table_of_limits_names_exactly_the_limits_their_defaults_and_what_may_be_none() -> None:
    rows = table("reference/options.md", "Limits")
    documented = {code(row[0]): (ast.literal_eval(code(row[1])), row[3] == "yes") for row in rows}

    fields = dataclasses.fields(Limits)

    assert documented == {field.name: (field.default, "None" in str(field.type)) for field in fields}


def test_the_units_in_the_table_of_limits_are_those_of_the_names() -> None:
    for row in table("reference/options.md", "Limits"):
        name, unit = code(row[0]), row[2]
        assert name.endswith("_s") == (unit == "seconds"), name
        assert name.endswith("_bytes") == unit.startswith("bytes"), name


def limits_used_in(*paths: Path) -> set[str]:
    """Return the fields of `Limits` that are looked at in these files."""
    return {
        node.attr
        for path in paths
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).rpartition(".")[2].lstrip("_") == "limits"
    }


def test_the_limits_that_to_wsgi_is_said_to_use_are_those_it_uses() -> None:
    text = (TOP / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    [sentence] = re.findall(r"^Of the limits it uses (.*);", text, re.MULTILINE)
    package = Path(bridge.__file__).parent

    rooms = (package / "_asgi_hosting", package / "websocket" / "asgi_hosting")
    used = limits_used_in(*(path for room in rooms for path in room.glob("*.py")), package / "asgi_to_wsgi.py")

    assert re.findall(r"`(\w+)`", sentence) == [
        field.name for field in dataclasses.fields(Limits) if field.name in used
    ]


@pytest.mark.parametrize(
    ("statistics", "heading"),
    [
        pytest.param(Statistics, "Statistics", id="Statistics"),
        pytest.param(HostStatistics, "HostStatistics", id="HostStatistics"),
    ],
)
def test_the_table_of_statistics_names_exactly_their_fields(statistics: Any, heading: str) -> None:
    documented = [code(row[0]) for row in table("reference/options.md", heading)]

    assert documented == [field.name for field in dataclasses.fields(statistics)]


def test_the_phases_in_the_table_are_those_there_are() -> None:
    [row] = [row for row in table("reference/options.md", "HostStatistics") if row[0] == "`phase`"]

    assert re.findall(r"`([^`]+)`", row[1]) == [phase.value for phase in HostPhase]


TLS = {
    "tls_version": 0x0304,
    "cipher_suite": 0x1301,
    "server_cert": "server",
    "client_cert_chain": ["client", "issuer"],
    "client_cert_name": "CN=client",
    "client_cert_error": None,
}
FULL_SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "scheme": "https",
    "path": "/",
    "headers": [(b"host", b"h"), (b"content-type", b"text/plain"), (b"content-length", b"0"), (b"x-a", b"1")],
    "client": ("192.0.2.1", 1234),
    "server": ("192.0.2.2", 443),
    "state": {},
    "extensions": {"tls": TLS, "http.response.early_hint": {}, "http.response.trailers": {}},
}
BARE_SCOPE: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}


def keys_seen(scope: dict[str, Any]) -> set[str]:
    """Return the keys of environ that an application sees; those of request fields as one."""
    seen: set[str] = set()

    def probe(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update("HTTP_*" if key.startswith("HTTP_") else key for key in environ)
        start_response("200 OK", [])
        return [b""]

    asyncio.run(request(probe, scope))
    return seen


async def request(app: Any, scope: dict[str, Any]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    await asyncio.wait_for(to_asgi(app, limits=Limits(worker_idle_s=0))(dict(scope), receive, send), 10)


@pytest.mark.requirement("W-011", "W-014")
def test_the_table_of_keys_that_are_always_there_says_so() -> None:
    documented = [code(row[0]) for row in table("reference/environ.md", "Always there")]

    assert sorted(documented) == sorted(keys_seen(BARE_SCOPE))


@pytest.mark.requirement("W-014")
def test_the_tables_of_keys_name_exactly_the_keys_there_can_be() -> None:
    headings = (
        "Always there",
        "Where there is something to say",
        "TLS, where the server has the ASGI `tls` extension",
    )
    documented = [code(row[0]) for heading in headings for row in table("reference/environ.md", heading)]

    assert sorted(documented) == sorted(keys_seen(FULL_SCOPE))


# ---- The scope --------------------------------------------------------------------------------------------------


FULL_ENVIRON: dict[str, Any] = {
    "wsgi.url_scheme": "https",
    "wsgi.file_wrapper": print,
    "wsgi.early_hints": print,
    "gunicorn.http2.send_trailers": print,
    "HTTP_TE": "trailers",
    "REQUEST_URI": "/",
    "SSL_PROTOCOL": "TLSv1.3",
}


def scope_seen(*, lifespan: bool, **environ: Any) -> dict[str, Any]:
    """Return the scope of a request that an application sees."""
    seen: list[dict[str, Any]] = []
    answer = answering()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            if not lifespan:
                raise NotImplementedError
            for answer_to_event in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
                await receive()
                await send({"type": answer_to_event})
            return
        seen.append(dict(scope))
        await answer(scope, receive, send)

    with hosted(app) as adapter:
        run(adapter, environ_for(**environ))
    return seen[0]


@pytest.mark.requirement("A-010", "A-033")
def test_the_table_of_scope_keys_that_are_always_there_says_so() -> None:
    documented = [code(row[0]) for row in table("reference/scope.md", "Always there")]

    assert sorted(documented) == sorted(scope_seen(lifespan=False))


@pytest.mark.requirement("A-040")
def test_the_tables_of_scope_keys_name_exactly_the_keys_there_can_be() -> None:
    headings = ("Always there", "Where there is something to say")
    documented = [code(row[0]) for heading in headings for row in table("reference/scope.md", heading)]

    assert sorted(documented) == sorted(scope_seen(lifespan=True, **FULL_ENVIRON))


@pytest.mark.requirement("A-034", "A-040")
def test_the_table_of_extensions_names_exactly_those_there_can_be() -> None:
    documented = [code(row[0]) for row in table("reference/scope.md", "Extensions")]

    assert sorted(documented) == sorted(scope_seen(lifespan=False, **FULL_ENVIRON)["extensions"])
    assert scope_seen(lifespan=False)["extensions"] == {}


# ---- The end of a process ---------------------------------------------------------------------------------------


class CountingApp:
    """Stands for ``main.app``."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def startup(self) -> None:
        self.calls.append("startup")

    def shutdown(self) -> None:
        self.calls.append("shutdown")


@pytest.mark.requirement("A-121")
def test_the_docs_say_what_exit_hooks_may_miss() -> None:
    text = section("reference/options.md", "When a process ends")

    for word in ("SIGKILL", "timed out", "skip-atexit", "async mode", "busy", "WSGIDestroyInterpreter"):
        assert word in text


@pytest.mark.requirement("A-121")
def test_the_recipes_for_the_end_of_a_process_shut_the_application_down(monkeypatch: pytest.MonkeyPatch) -> None:
    app = CountingApp()
    subscribed: list[Callable[..., object]] = []
    main, uwsgi, mod_wsgi = (types.ModuleType(name) for name in ("main", "uwsgi", "mod_wsgi"))
    vars(main)["app"] = app
    vars(mod_wsgi)["subscribe_shutdown"] = subscribed.append
    for module in (main, uwsgi, mod_wsgi):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for_gunicorn, for_uwsgi, for_mod_wsgi = python_blocks(section("reference/options.md", "When a process ends"))

    hooks: dict[str, Any] = {}
    exec(for_gunicorn, hooks)
    hooks["post_worker_init"]("the worker")
    hooks["worker_exit"]("the server", "the worker")
    assert app.calls == ["startup", "shutdown"]

    exec(for_uwsgi, {})
    vars(uwsgi)["atexit"]()
    assert app.calls == ["startup", "shutdown", "shutdown"]

    exec(for_mod_wsgi, {})
    [handler] = subscribed
    handler("shutdown_event", shutdown_reason="restart")
    assert app.calls == ["startup", "shutdown", "shutdown", "shutdown"]


@pytest.mark.requirement("A-107", "A-121")
def test_the_methods_that_the_recipes_call_are_those_of_the_adapter() -> None:
    for name, method in inspect.getmembers(CountingApp, inspect.isfunction):
        if not name.startswith("_"):
            assert inspect.signature(method) == inspect.signature(getattr(ASGIToWSGI, name))


@pytest.mark.requirement("A-114")
def test_the_application_does_not_run_in_the_main_thread_and_the_docs_say_so() -> None:
    threads: list[threading.Thread] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        threads.append(threading.current_thread())

    with hosted(app) as adapter:
        adapter.startup()

    assert threads[0] is not threading.main_thread()
    text = (TOP / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    assert "never the main thread: it cannot install signal handlers" in text
    assert "cannot install signal handlers" in " ".join((ASGIToWSGI.__doc__ or "").split())


def test_what_is_wsgi_or_asgi_already_comes_back_as_the_docs_say() -> None:
    def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
        return []

    asgi_app = answering()

    assert to_wsgi(wsgi_app) is wsgi_app
    assert to_asgi(asgi_app) is asgi_app


# ---- Claims -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-146")
@pytest.mark.parametrize(
    ("way", "is_server_loop", "thread"),
    [
        pytest.param(call_async, True, "the loop's", id="call_async"),
        pytest.param(lambda function: asyncio.run(function()), False, "the worker", id="asyncio.run"),
        pytest.param(lambda function: async_to_sync(function)(), False, "another", id="async_to_sync"),
    ],
)
def test_coroutines_called_from_a_view_run_where_the_docs_say(way: Any, is_server_loop: bool, thread: str) -> None:
    seen: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []
    worker: list[threading.Thread] = []

    async def look() -> None:
        seen.append((asyncio.get_running_loop(), threading.current_thread()))

    def view(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        worker.append(threading.current_thread())
        way(look)
        start_response("200 OK", [])
        return [b""]

    async def serve() -> asyncio.AbstractEventLoop:
        await request(view, BARE_SCOPE)
        return asyncio.get_running_loop()

    loop = asyncio.run(serve())

    [(seen_loop, seen_thread)] = seen
    assert (seen_loop is loop) is is_server_loop
    expected = {worker[0]: "the worker", threading.current_thread(): "the loop's"}.get(seen_thread, "another")
    assert expected == thread
