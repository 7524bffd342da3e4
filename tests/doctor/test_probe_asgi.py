"""The probe of ASGI applications: what is right passes, each fault is named, nothing hangs."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import asynccontextmanager

import falcon.asgi
import pytest
from fastapi import FastAPI
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette

from bridge import to_asgi
from bridge.doctor import probe_asgi as module
from bridge.doctor.probe_asgi import probe_asgi, scope_for
from bridge.doctor.probing import READ_BYTES, REQUESTS

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
END = {"type": "http.response.body", "body": b"hello"}


def sending(*messages):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
            return
        for message in messages:
            await send(message)

    return app


async def lifespan(scope, receive, send):
    for phase in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{phase}"
        await send({"type": f"lifespan.{phase}.complete"})


def start(**fields):
    return {**START, **fields}


def body(**fields):
    return {"type": "http.response.body", **fields}


def first_answer(app, timeout_s=20.0):
    """The row of GET /."""
    return next(row for row in probe_asgi(app, timeout_s=timeout_s).rows if row.request == "GET /")


def outcomes(app, timeout_s=20.0):
    return {row.request: row.outcome for row in probe_asgi(app, timeout_s=timeout_s).rows}


# ---- Right ----------------------------------------------------------------------------------------------------------


def test_the_lifespan_stands_around_the_questions():
    probe = probe_asgi(sending(START, END))

    names = [row.request for row in probe.rows]
    assert probe.protocol == "asgi"
    assert names == ["lifespan startup", *(f"{method} {path}" for method, path in REQUESTS), "lifespan shutdown"]
    assert {row.outcome for row in probe.rows} == {"ok"}
    assert (probe.rows[1].status, probe.rows[1].content_type, probe.rows[1].body_bytes) == (200, "text/plain", 5)


def test_each_request_gets_a_copy_of_the_state():
    seen = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["pool"] = "pool"
            await lifespan(scope, receive, send)
            return
        seen.append(dict(scope["state"]))
        scope["state"]["mine"] = True
        await sending(START, END)(scope, receive, send)

    probe_asgi(app)

    assert seen == [{"pool": "pool"}] * 4


def test_the_request_is_over_at_once_and_the_client_leaves_after_the_response():
    received = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        received.append((await receive())["type"])
        await send(START)
        await send(END)
        received.append((await receive())["type"])

    assert first_answer(app).outcome == "ok"
    assert received[-2:] == ["http.request", "http.disconnect"]


def test_a_plain_callable_that_returns_an_awaitable_is_called_like_a_coroutine_function():
    def app(scope, receive, send):
        return sending(START, END)(scope, receive, send)

    assert first_answer(app).outcome == "ok"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(Starlette, id="starlette"),
        pytest.param(FastAPI, id="fastapi"),
        pytest.param(lambda: Quart("plain"), id="quart"),
        pytest.param(lambda: Litestar([], logging_config=None), id="litestar"),
        pytest.param(falcon.asgi.App, id="falcon"),
        pytest.param(lambda: to_asgi(wsgi), id="bridge"),
    ],
)
def test_applications_of_frameworks_are_ok(make):
    assert set(outcomes(make()).values()) == {"ok"}


def wsgi(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["PATH_INFO"].encode()]


def test_upper_case_in_header_names_is_remarked_and_read_all_the_same():
    row = first_answer(sending(start(headers=[(b"Content-Type", b"text/a"), (b"Content-Length", b"5")]), END))

    assert (row.outcome, row.content_type) == ("ok", "text/a")
    assert row.detail == "the header name b'Content-Type' is not lower-case, as ASGI wants it"
    assert first_answer(sending(start(headers=[(b"Content-Length", b"4")]), END)).outcome == "violation"


def test_the_scope_has_every_key_of_the_specification():
    scope = scope_for("OPTIONS", "*", {"a": 1})

    assert (scope["path"], scope["raw_path"], scope["method"]) == ("*", b"*", "OPTIONS")
    assert all(name == name.lower() for name, _ in scope["headers"])


# ---- Wrong ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "sentence"),
    [
        pytest.param([], "without a response", id="nothing"),
        pytest.param([START], "before its response was complete", id="no body"),
        pytest.param([START, body(more_body=True)], "before its response was complete", id="no end"),
        pytest.param([END], "before http.response.start", id="body first"),
        pytest.param([START, START], "twice", id="start twice"),
        pytest.param([START, END, END], "after the end", id="body after the end"),
        pytest.param([{"type": "websocket.send"}], "does not allow", id="foreign event"),
        pytest.param([{"status": 200}], "without a type", id="no type"),
        pytest.param([None], "not a dict", id="no event"),
        pytest.param([start(status="200")], "status is of type str", id="status text"),
        pytest.param([start(status=True)], "status is of type bool", id="status bool"),
        pytest.param([start(status=100)], "200 to 999", id="status 100"),
        pytest.param([start(headers={"a": "b"})], "headers are of type dict", id="headers dict"),
        pytest.param([start(headers=[b"ab"])], "no pair", id="header no pair"),
        pytest.param([start(headers=[("a", b"b")])], "'a' is of type str", id="name text"),
        pytest.param([start(headers=[(b"a", "b")])], "header b'a' is of type str", id="value text"),
        pytest.param([start(headers=[(b"a b", b"b")])], "does not allow", id="space in the name"),
        pytest.param([start(headers=[(b":status", b"200")])], "does not allow", id="pseudo-header"),
        pytest.param([start(headers=[(b"a", b"b\r\nc")])], "line break", id="line break"),
        pytest.param([start(headers=[(b"content-length", b"x")])], "no number", id="length no number"),
        pytest.param([start(headers=[(b"content-length", b"4")]), END], "4 bytes, but 5", id="too much"),
        pytest.param([START, body(body="text")], "body is of type str", id="body text"),
        pytest.param([START, body(body=None)], "body is missing", id="body None"),
        pytest.param([START, body(body=b"", more_body=1)], "more_body is of type int", id="more_body a number"),
    ],
)
def test_a_violation_is_named(messages, sentence):
    row = first_answer(sending(*messages))

    assert row.outcome == "violation"
    assert sentence in row.detail


def test_a_violation_that_the_application_swallows_is_told_all_the_same():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise NotImplementedError
        try:
            await send(END)
        except Exception:
            await send(START)
            await send(END)

    assert first_answer(app).outcome == "violation"


async def _raising(scope, receive, send):
    if scope["type"] != "lifespan":
        raise KeyError("shop")
    await lifespan(scope, receive, send)


async def _exiting(scope, receive, send):
    if scope["type"] != "lifespan":
        raise SystemExit("shop")
    await lifespan(scope, receive, send)


@pytest.mark.parametrize("app", [_raising, _exiting])
def test_an_exception_is_quoted_with_its_last_line(app):
    row = first_answer(app)

    assert row.outcome == "failed"
    assert "shop" in row.detail
    assert row.trace.startswith("Traceback")


def test_a_status_of_500_fails():
    assert first_answer(sending(start(status=503), END)).detail == "it answered 503"


# ---- Lifespan -------------------------------------------------------------------------------------------------------


def startup(app, timeout_s=20.0):
    return probe_asgi(app, timeout_s=timeout_s).rows[0]


def lifespan_of(*messages, error=None):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await receive()
            for message in messages:
                await send(message)
            if error is not None:
                raise error
            return
        await sending(START, END)(scope, receive, send)

    return app


def test_an_application_without_a_lifespan_is_probed_without():
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        await sending(START, END)(scope, receive, send)

    rows = probe_asgi(app).rows

    assert [row.outcome for row in rows] == ["unsupported", "ok", "ok", "ok", "ok"]
    assert "AssertionError" in rows[0].detail


def test_an_application_that_never_looks_at_the_scope_counts_as_one_without_a_lifespan():
    async def app(scope, receive, send):
        await send(START)
        await send(END)

    rows = probe_asgi(app).rows

    assert [row.outcome for row in rows] == ["unsupported", "ok", "ok", "ok", "ok"]
    assert rows[0].detail == "it answered the startup with 'http.response.start'"


def test_a_startup_that_raises_is_told_although_servers_go_on():
    rows = probe_asgi(lifespan_of(error=ConnectionError("no database"))).rows

    assert [row.outcome for row in rows] == ["failed", "ok", "ok", "ok", "ok"]
    assert "no database" in rows[0].detail


@pytest.mark.parametrize(
    ("message", "outcome", "sentence"),
    [
        pytest.param({"type": "lifespan.startup.failed", "message": "no db"}, "failed", "no db", id="failed"),
        pytest.param({"type": "lifespan.startup.failed"}, "failed", "no reason", id="no reason"),
        pytest.param({"type": "lifespan.startup.failed", "message": 1}, "violation", "int", id="reason a number"),
        pytest.param({"type": "lifespan.shutdown.complete"}, "violation", "answered the startup", id="wrong phase"),
    ],
)
def test_a_startup_that_fails_ends_the_probe_as_it_ends_a_server(message, outcome, sentence):
    rows = probe_asgi(lifespan_of(message)).rows

    assert [row.outcome for row in rows] == [outcome]
    assert sentence in rows[0].detail


def test_an_answer_given_twice_is_a_violation():
    complete = {"type": "lifespan.startup.complete"}

    assert probe_asgi(lifespan_of(complete, complete)).rows[-1].outcome == "violation"


def test_a_startup_that_hangs_is_left():
    async def app(scope, receive, send):
        await asyncio.Event().wait()

    rows = probe_asgi(app, timeout_s=0.05).rows

    assert [(row.outcome, row.detail) for row in rows] == [("timeout", "no answer after 0.05 s")]


def test_a_program_that_exits_at_startup_is_told():
    async def app(scope, receive, send):
        raise SystemExit("no settings")

    rows = probe_asgi(app).rows

    assert [row.outcome for row in rows] == ["failed"]
    assert "no settings" in rows[0].detail


def test_a_shutdown_that_fails_is_told():
    @asynccontextmanager
    async def failing(app):
        yield
        raise RuntimeError("cannot close")

    row = probe_asgi(Starlette(lifespan=failing)).rows[-1]

    assert (row.request, row.outcome) == ("lifespan shutdown", "failed")
    assert "cannot close" in row.detail


# ---- Bounds ---------------------------------------------------------------------------------------------------------


def test_an_application_that_waits_for_ever_is_left_after_the_timeout():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(scope, receive, send)
        else:
            await asyncio.Event().wait()

    assert list(outcomes(app, 0.03).values()) == ["ok", "timeout", "timeout", "timeout", "timeout", "ok"]


def test_an_application_that_ignores_its_cancellation_is_left_behind(monkeypatch):
    monkeypatch.setattr(module, "_CANCEL_S", 0.02)
    rounds = []

    async def app(scope, receive, send):
        for _ in range(2 if scope["path"] == "/" and scope["method"] == "GET" else 0):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                rounds.append(1)
        await sending(START, END)(scope, receive, send)

    assert outcomes(app, 0.03)["GET /"] == "timeout"
    assert rounds


def test_a_stream_without_end_is_read_for_a_mebibyte():
    async def app(scope, receive, send):
        await send(START)
        while True:
            await send(body(body=b"x" * 65536, more_body=True))

    row = first_answer(app)

    assert (row.outcome, row.detail) == ("ok", "more than 1 MiB; the rest was left")
    assert READ_BYTES < row.body_bytes <= READ_BYTES + 65536


def test_a_stream_that_waits_is_left_and_is_no_fault():
    async def app(scope, receive, send):
        await send(START)
        await send(body(body=b"data: 1\n\n", more_body=True))
        await asyncio.Event().wait()

    row = first_answer(app, 0.03)

    assert (row.outcome, row.status, row.body_bytes) == ("ok", 200, 9)
    assert "still sending" in row.detail


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_an_application_that_blocks_the_loop_is_woken_and_named(monkeypatch):
    monkeypatch.setattr(module, "_GRACE_S", 0.05)
    before = signal.getsignal(signal.SIGALRM)

    async def app(scope, receive, send):
        if scope.get("path") == "/":
            time.sleep(60)
        await sending(START, END)(scope, receive, send)

    began_s = time.monotonic()
    row = first_answer(app, 0.05)

    assert row.outcome == "timeout"
    assert f"it blocks the event loop ({__file__}" in row.detail
    assert time.monotonic() - began_s < 30
    assert signal.getsignal(signal.SIGALRM) is before
