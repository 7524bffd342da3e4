"""Rows about environ, and about scopes that are no requests."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any
from unittest import mock

from tests.docs.coming_from.clients import answering, ask, on_a_loop, until
from tests.docs.coming_from.looks import Host, to_asgi_row
from tests.fakes import make_scope


def environ_of(host: Host, *pieces: bytes, **scope: Any) -> dict[str, Any]:
    """Return the environ that an adapter makes of a scope; raise what it raises."""
    seen: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ)
        return answering(environ, start_response)

    client = ask(host, app, *pieces, scope=make_scope(**scope))
    if client.error is not None:
        raise client.error
    assert seen, f"the application was not called: {client.status}"
    return seen[0]


@to_asgi_row("`/apple`, below the prefix `/app`")
def prefix_within_a_segment(host: Host, _: str) -> str:
    return f"`PATH_INFO` is `{environ_of(host, path='/apple', root_path='/app')['PATH_INFO']}`"


@to_asgi_row("A prefix that the proxy has taken off")
def prefix_gone(host: Host, _: str) -> str:
    scope = make_scope(path="/items", root_path="/app")
    return {404: "404", 200: "the path is used whole"}[ask(host, answering, scope=scope).status or 0]


@to_asgi_row("The process' variable `SCRIPT_NAME`")
def variable_script_name(host: Host, _: str) -> str:
    with mock.patch.dict(os.environ, SCRIPT_NAME="/shop"):
        environ = environ_of(host, path="/items")
    return {"/shop": "is the prefix", "": "is not looked at"}[environ["SCRIPT_NAME"]]


@to_asgi_row("The scope in environ")
def scope_in_environ(host: Host, _: str) -> str:
    environ = environ_of(host)
    names = [name for name, value in environ.items() if isinstance(value, dict) and value.get("type") == "http"]
    return f"`{names[0]}`" if names else "is not there"


@to_asgi_row("`SERVER_PORT`")
def server_port(host: Host, _: str) -> str:
    return f"`{environ_of(host)['SERVER_PORT']!r}`"


@to_asgi_row("`REMOTE_PORT`")
def remote_port(host: Host, _: str) -> str:
    return "is there" if environ_of(host).get("REMOTE_PORT") == "50007" else "is not there"


@to_asgi_row("`wsgi.errors`")
def wsgi_errors(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wsgi.errors"].write("went wrong\n")
        environ["wsgi.errors"].flush()
        return answering(environ, start_response)

    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        assert ask(host, app).is_answered
    assert (out.getvalue() + error.getvalue()).count("went wrong") == 1
    return "`sys.stdout`" if out.getvalue() else "`sys.stderr`"


@to_asgi_row("Several `Cookie` fields (HTTP/2)")
def several_cookies(host: Host, _: str) -> str:
    environ = environ_of(host, headers=[(b"host", b"testserver"), (b"cookie", b"a=1"), (b"cookie", b"b=2")])
    return {"a=1,b=2": "are joined by a comma", "a=1; b=2": "are joined by a semicolon"}[environ["HTTP_COOKIE"]]


@to_asgi_row("A field named `x_user` beside `x-user`")
def underscores(host: Host, _: str) -> str:
    environ = environ_of(host, headers=[(b"host", b"testserver"), (b"x-user", b"real"), (b"x_user", b"forged")])
    return {"real,forged": "is joined to it", "real": "is dropped"}[environ["HTTP_X_USER"]]


@to_asgi_row("A query beyond ASCII")
def query_beyond_ascii(host: Host, _: str) -> str:
    client = ask(host, answering, scope=make_scope(query_string="q=é".encode()))
    return "is an error" if client.error is not None else {200: "is passed on", 400: "400"}[client.status or 0]


@to_asgi_row("`%FF` in the path")
def path_beyond_utf_8(host: Host, _: str) -> str:
    environ = environ_of(host, path="/\ufffd", raw_path=b"/%FF")
    return {"/\xff": "is kept", "/\xef\xbf\xbd": "is lost"}[environ["PATH_INFO"]]


@to_asgi_row("More than 100 fields of a name")
def repeated_fields(host: Host, _: str) -> str:
    headers = [(b"host", b"testserver"), *[(b"x-forwarded-for", b"192.0.2.1")] * 101]
    return {200: "are joined", 400: "400"}[ask(host, answering, scope=make_scope(headers=headers)).status or 0]


@to_asgi_row("Lifespan")
def lifespan(host: Host, _: str) -> str:
    to_come = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return to_come.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    async def steps(hosted: Any) -> None:
        await hosted({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)

    with host(answering) as hosted:
        try:
            on_a_loop(lambda: steps(hosted))
        except (ValueError, AssertionError) as error:
            return f"`{type(error).__name__}`"
    return "is answered" if sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"] else "gets no answer"


@to_asgi_row("WebSockets")
def websockets(host: Host, _: str) -> str:
    to_come = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "hello"}]
    sent: list[dict[str, Any]] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        connection = environ["wsgi.websocket"]
        connection.send(connection.receive())
        connection.close()
        return []

    async def receive() -> dict[str, Any]:
        if not to_come:
            await until(lambda: sent and sent[-1]["type"] == "websocket.close", "a close")
            return {"type": "websocket.disconnect", "code": 1000}
        return to_come.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = make_scope(type="websocket", scheme="ws", subprotocols=[])
    del scope["method"]

    async def steps(hosted: Any) -> None:
        await hosted(scope, receive, send)

    with host(app) as hosted:
        try:
            on_a_loop(lambda: steps(hosted))
        except (ValueError, AssertionError) as error:
            return f"`{type(error).__name__}`"
    kinds = [message["type"].removeprefix("websocket.") for message in sent]
    if kinds == ["close"]:
        return "are refused"
    assert kinds[:2] == ["accept", "send"]
    assert sent[1]["text"] == "hello"
    return "are served"
