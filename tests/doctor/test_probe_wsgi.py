"""The probe of WSGI applications: what is right passes, each fault is named, nothing hangs."""

from __future__ import annotations

import threading
from wsgiref.validate import validator

import bottle
import falcon
import flask
import pytest

from bridge.doctor.probe_wsgi import environ_for, probe_wsgi
from bridge.doctor.probing import READ_BYTES, REQUESTS
from tests.gateway import hosted

TEXT = [("Content-Type", "text/plain")]


def first_row(app, timeout_s=20.0):
    return probe_wsgi(app, timeout_s=timeout_s).rows[0]


def outcomes(app):
    return [row.outcome for row in probe_wsgi(app, timeout_s=20).rows]


def answering(status="200 OK", headers=TEXT, body=(b"hello",)):
    def app(environ, start_response):
        start_response(status, list(headers))
        return list(body)

    return app


# ---- Right ----------------------------------------------------------------------------------------------------------


def test_each_question_has_a_row_with_what_came_back():
    probe = probe_wsgi(answering(headers=[*TEXT, ("Content-Length", "5")]))

    rows = [(row.request, row.status, row.content_type, row.body_bytes, row.outcome) for row in probe.rows]
    assert probe.protocol == "wsgi"
    assert rows == [(f"{method} {path}", 200, "text/plain", 5, "ok") for method, path in REQUESTS]
    assert all(row.milliseconds > 0 for row in probe.rows)


@pytest.mark.parametrize("request_line", REQUESTS, ids=" ".join)
def test_the_environ_is_one_the_validator_accepts(request_line):
    environ = environ_for(*request_line)

    list(body := validator(answering())(environ, lambda status, headers, exc_info=None: lambda block: None))
    body.close()

    assert environ["REQUEST_URI"] == request_line[1]


def _generator(environ, start_response):
    start_response("200 OK", TEXT)
    yield b""
    yield b"hello"


def _written(environ, start_response):
    start_response("200 OK", TEXT)(b"hello")
    return []


def _replaced(environ, start_response):
    start_response("200 OK", TEXT)
    try:
        raise ValueError
    except ValueError as error:
        start_response("400 Bad Request", TEXT, (ValueError, error, None))
    return [b"hello"]


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(_generator, id="generator"),
        pytest.param(_written, id="write"),
        pytest.param(_replaced, id="replaced by exc_info"),
        pytest.param(answering("302 Found", [("Location", "/")], []), id="no content type"),
        pytest.param(answering("204 No Content", TEXT, []), id="content type without content"),
        pytest.param(answering("404 Not Found"), id="nothing there"),
    ],
)
def test_what_pep_3333_allows_is_ok(app):
    assert outcomes(app) == ["ok"] * 4


def test_a_body_for_head_is_remarked_and_no_fault():
    row = probe_wsgi(answering()).rows[1]

    assert (row.outcome, row.detail) == ("ok", "it sends a body for HEAD, which servers drop")


def test_options_may_be_answered_by_not_implemented():
    assert outcomes(answering("501 Not Implemented")) == ["failed", "failed", "ok", "failed"]


def _flask():
    app = flask.Flask("plain")
    app.add_url_rule("/", "home", lambda: "hello")
    return app


def _bottle():
    app = bottle.Bottle()
    app.route("/", callback=lambda: "hello")
    return app


async def _asgi(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(_flask, id="flask"),
        pytest.param(_bottle, id="bottle"),
        pytest.param(falcon.App, id="falcon"),
    ],
)
def test_applications_of_frameworks_are_ok(make):
    assert outcomes(make()) == ["ok"] * 4


def test_an_adapter_sees_the_asterisk_that_was_meant():
    with hosted(_asgi, lifespan="off", own_loop=True) as app:
        rows = probe_wsgi(app).rows

    assert [row.outcome for row in rows] == ["ok"] * 4
    assert rows[2].body_bytes == len("*")


# ---- Wrong ----------------------------------------------------------------------------------------------------------


def _twice(environ, start_response):
    start_response("200 OK", TEXT)
    start_response("200 OK", TEXT)
    return [b""]


def _named(environ, start_response):
    start_response(status="200 OK", headers=TEXT)
    return [b""]


def _long_after_output(environ, start_response):
    start_response("200 OK", TEXT)(b"hello")
    return ["text"]


@pytest.mark.parametrize(
    ("app", "word"),
    [
        pytest.param(lambda environ, start_response: [b"x"], "start_response", id="no start_response"),
        pytest.param(lambda environ, start_response: [], "start_response", id="no start_response, no body"),
        pytest.param(answering(body=["text"]), "non-bytestring", id="str in the body"),
        pytest.param(_long_after_output, "non-bytestring", id="str after write"),
        pytest.param(answering("200"), "'200'", id="status without reason"),
        pytest.param(answering("abc def"), "abc", id="status without number"),
        pytest.param(answering(200), "Status", id="status a number"),
        pytest.param(answering(headers=[("A", 1)]), "Header value", id="value a number"),
        pytest.param(answering(headers=[("A", "b\nc")]), "Bad header value", id="line break"),
        pytest.param(
            answering(headers=[*TEXT, ("Connection", "close")]), "hop-by-hop field 'Connection'", id="hop-by-hop"
        ),
        pytest.param(answering(headers=[*TEXT, ("Content-Length", "4")]), "5 were sent", id="too much"),
        pytest.param(answering(headers=[*TEXT, ("Content-Length", "9")]), "9 bytes, but 5", id="too little"),
        pytest.param(answering(headers=[*TEXT, ("Content-Length", "x")]), "no number", id="length no number"),
        pytest.param(_twice, "twice", id="start_response twice"),
        pytest.param(_named, "Invalid number of arguments", id="keywords"),
    ],
)
def test_a_violation_is_named(app, word):
    row = first_row(app)

    assert row.outcome == "violation"
    assert word in row.detail
    assert row.is_failing


def test_headers_in_a_tuple_are_a_violation():
    def app(environ, start_response):
        start_response("200 OK", tuple(TEXT))
        return [b""]

    assert first_row(app).outcome == "violation"


def test_a_body_that_is_bytes_is_a_violation():
    def app(environ, start_response):
        start_response("200 OK", TEXT)
        return b"hello"

    assert first_row(app).outcome == "violation"


def _raising(environ, start_response):
    raise KeyError("shop")


def _raising_later(environ, start_response):
    start_response("200 OK", TEXT)
    yield b"x"
    raise AssertionError("shop")


def _exiting(environ, start_response):
    raise SystemExit("shop")


@pytest.mark.parametrize("app", [_raising, _raising_later, _exiting])
def test_an_exception_is_quoted_with_its_last_line(app):
    row = first_row(app)

    assert row.outcome == "failed"
    assert row.detail.startswith("it raised ")
    assert "shop" in row.detail
    assert row.trace.startswith("Traceback")


def test_a_status_of_500_fails():
    row = first_row(answering("500 Internal Server Error"))

    assert (row.outcome, row.status, row.detail) == ("failed", 500, "it answered 500")


# ---- Bounds ---------------------------------------------------------------------------------------------------------


def test_an_application_that_hangs_is_left_after_the_timeout():
    hold = threading.Event()

    def app(environ, start_response):
        hold.wait(30)
        return answering()(environ, start_response)

    try:
        rows = probe_wsgi(app, timeout_s=0.05).rows
    finally:
        hold.set()

    assert [(row.outcome, row.detail) for row in rows] == [("timeout", "no response after 0.05 s")] * 4


def test_a_stream_without_end_is_read_for_a_mebibyte_and_closed():
    closed = []

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        try:
            while True:
                yield b"x" * 65536
        finally:
            closed.append(environ["REQUEST_METHOD"])

    row = first_row(app)

    assert (row.outcome, row.detail) == ("ok", "more than 1 MiB; the rest was left")
    assert READ_BYTES < row.body_bytes <= READ_BYTES + 65536
    assert closed == [method for method, _ in REQUESTS]


def test_a_stream_that_waits_is_left_and_is_no_fault():
    hold = threading.Event()

    def app(environ, start_response):
        start_response("200 OK", TEXT)
        yield b"data: 1\n\n"
        hold.wait(30)

    try:
        row = first_row(app, timeout_s=0.5)
    finally:
        hold.set()

    assert (row.outcome, row.status, row.body_bytes) == ("ok", 200, 9)
    assert "still sending" in row.detail
