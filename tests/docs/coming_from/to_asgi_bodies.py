"""Rows about request bodies."""

from __future__ import annotations

import asyncio
import io
import re
import threading
from typing import Any, Final

from bridge import Limits, WSGIToASGI
from tests.docs.coming_from.clients import CUT, STALL, Client, answering, ask, on_a_loop, settle, until
from tests.docs.coming_from.looks import TO_ASGI, Host, to_asgi_row
from tests.fakes import make_scope

MIB: Final = 1024 * 1024
WAIT_S: Final = 0.05
"""For what comes after a minute by default."""


@to_asgi_row("A slow upload")
def slow_upload(host: Host, claimed: str) -> str:
    called = threading.Event()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        called.set()
        environ["wsgi.input"].read(6)
        return answering(environ, start_response)

    async def steps(hosted: Any) -> bool:
        client = Client((b"abc", STALL, b"def"))
        asking = asyncio.create_task(client.ask(hosted))
        if claimed == "holds a thread":
            await until(called.is_set, "a thread")
        await settle()
        is_called = called.is_set()
        client.may_upload.set()
        await asking
        assert client.is_answered
        return is_called

    with host(app) as hosted:
        return "holds a thread" if on_a_loop(lambda: steps(hosted)) else "holds none"


@to_asgi_row("An upload that stalls")
def stalled_upload(host: Host, claimed: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        assert environ["wsgi.input"].read(6) == b"abcdef"
        return answering(environ, start_response)

    async def steps(hosted: Any) -> bool:
        client = Client((b"abc", STALL, b"def"))
        asking = asyncio.create_task(client.ask(hosted))
        if claimed.startswith("408"):
            await until(asking.done, "408")
        else:
            await asyncio.sleep(4 * WAIT_S)
        is_done = asking.done()
        client.may_upload.set()
        await asking
        assert client.status == (408 if is_done else 200)
        return is_done

    with host(app, body_wait_s=WAIT_S) as hosted:
        given_up = on_a_loop(lambda: steps(hosted))
    return f"408 after {Limits().body_wait_s:.0f} s" if given_up else "waits as long as the client does"


@to_asgi_row("An upload that is cut")
def cut_upload(host: Host, _: str) -> str:
    seen: list[bytes] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.append(environ["wsgi.input"].read(6))
        return answering(environ, start_response)

    client = ask(host, app, b"abc", CUT)
    if seen:
        assert (seen, client.error) == ([b"abc"], None)
        return "looks complete"
    return "does not reach the application" if client.error is None else f"`{type(client.error).__name__}` in the log"


@to_asgi_row("A chunked upload, in Flask")
def chunked_upload(host: Host, _: str) -> str:
    from flask import Flask, request

    app = Flask("chunked")
    app.add_url_rule("/", "size", lambda: str(len(request.get_data())), methods=["POST"])
    scope = make_scope(method="POST", headers=[(b"host", b"testserver"), (b"transfer-encoding", b"chunked")])

    return {b"0": "is empty", b"6": "is read"}[ask(host, app, b"abc", b"def", scope=scope).body]


@to_asgi_row("A large upload waits")
def where_an_upload_waits(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        if isinstance(file, io.BytesIO):
            where = "in memory"
        elif hasattr(file, "_max_size"):
            assert file._rolled
            where = f"on disk beyond {file._max_size // 1024} KiB"
        elif not isinstance(hosted, WSGIToASGI):
            assert client.pieces_left > 1
            where = "nowhere"
        else:
            assert hosted.statistics().bytes_spooled or client.pieces_left, "it is in memory"
            where = f"on disk beyond {Limits().body_memory_bytes // MIB} MiB"
        assert sum(len(block) for block in iter(lambda: file.read(65536), b"")) == 4 * MIB
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [where.encode()]

    async def steps() -> str:
        return (await client.ask(hosted)).body.decode()

    client = Client([bytes(65536)] * 64)
    with host(app) as hosted:
        seen: str = on_a_loop(steps)
    return seen


@to_asgi_row("The largest upload")
def largest_upload(host: Host, claimed: str) -> str:
    if (match := re.fullmatch(r"400 beyond (\d+) (K|M)iB", claimed)) is not None:
        size = int(match[1]) * (MIB if match[2] == "M" else 1024)
        assert ask(host, answering, bytes(size)).status == 200
        return f"{ask(host, answering, bytes(size), b'x').status} beyond {match[1]} {match[2]}iB"
    size = 1024 * MIB
    headers = [(b"host", b"testserver"), (b"content-length", b"%d" % (size + 1))]
    status = ask(host, answering, b"x", scope=make_scope(method="POST", headers=headers)).status
    assert Limits().body_max_bytes == size
    return {200: "has no limit", 413: "413 beyond 1 GiB"}[status or 0]


TO_ASGI["The largest upload in `AsyncioWSGIMiddleware`"] = largest_upload


@to_asgi_row("`wsgi.input.readline(5)`")
def readline(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].readline(5)]

    return {b"": "gives nothing", b"a lon": "gives 5 bytes"}[ask(host, app, b"a long line\n").body]


@to_asgi_row("`wsgi.input.seek()`")
def seek(host: Host, _: str) -> str:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        file.read(6)
        file.seek(0)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [file.read(6)]

    return "works" if ask(host, app, b"abcdef").body == b"abcdef" else "fails"
