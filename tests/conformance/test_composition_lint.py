"""Tiny applications under wsgiref's validator: the adapter gives it nothing to complain about.

The validator checks what the application gets (``environ``, ``start_response``, ``wsgi.input``, ``wsgi.errors``) and
how it is treated (iterated, closed). Its complaints are assertion errors, and warnings, which are errors here.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from bridge import Limits
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    answering,
    body_events,
    linted,
    make_scope,
    on_each_backend,
    serve,
)


def echo(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [environ["wsgi.input"].read(-1)]


def echo_lines(environ, start_response):
    start_response("200 OK", list(TEXT))
    return list(environ["wsgi.input"])


def echo_readline(environ, start_response):
    start_response("200 OK", list(TEXT))
    stream = environ["wsgi.input"]
    return iter([stream.readline(), stream.readline(3), *stream.readlines()])


def echo_in_steps(environ, start_response):
    start_response("200 OK", list(TEXT))
    while octets := environ["wsgi.input"].read(5):
        yield octets


def complain(environ, start_response):
    errors = environ["wsgi.errors"]
    errors.write("one line\n")
    errors.writelines(["two\n", "three\n"])
    errors.flush()
    start_response("200 OK", list(TEXT))
    return [b"complained"]


def write_all(environ, start_response):
    write = start_response("200 OK", list(TEXT))
    write(b"a")
    write(b"b")
    return [b"c"]


def replace_response(environ, start_response):
    start_response("200 OK", list(TEXT))
    try:
        raise LookupError
    except LookupError:
        start_response("500 Oops", list(TEXT), sys.exc_info())
    return [b"oops"]


def send_file(environ, start_response):
    start_response("200 OK", list(TEXT))
    with open(__file__, "rb") as file:
        yield from environ["wsgi.file_wrapper"](file)


def start_late(environ, start_response):
    start_response("200 OK", list(TEXT))
    yield b""
    yield b"late"


def not_modified(environ, start_response):
    start_response("304 Not Modified", [("ETag", '"e"')])
    return []


def show_url(environ, start_response):
    start_response("200 OK", list(TEXT))
    return [f"{environ['SCRIPT_NAME']}|{environ['PATH_INFO']}|{environ['QUERY_STRING']}".encode("latin-1")]


with open(__file__, "rb") as own_file:
    THIS_FILE = own_file.read()

BODY = b"first line\nsecond line\r\nlast"

APPS: list[Any] = [
    pytest.param(answering([b"body"]), b"body", id="list"),
    pytest.param(answering([]), b"", id="empty list"),
    pytest.param(answering((b"a", b"b")), b"ab", id="tuple"),
    pytest.param(answering(lambda: (b"%d" % n for n in range(10))), b"0123456789", id="generator"),
    pytest.param(answering(ClosingBlocks), b"onetwo", id="closing"),
    pytest.param(answering([b"12345"], headers=[*TEXT, ("Content-Length", "5")]), b"12345", id="length"),
    pytest.param(echo, BODY, id="echo"),
    pytest.param(echo_lines, BODY, id="lines"),
    pytest.param(echo_readline, BODY, id="readline"),
    pytest.param(echo_in_steps, BODY, id="steps"),
    pytest.param(complain, b"complained", id="errors"),
    pytest.param(write_all, b"abc", id="write"),
    pytest.param(replace_response, b"oops", id="exc_info"),
    pytest.param(send_file, THIS_FILE, id="file"),
    pytest.param(start_late, b"late", id="late"),
    pytest.param(not_modified, b"", id="304"),
]


def request(method: str, framing: str) -> Driver:
    events = body_events(BODY[:4], b"", BODY[4:15], BODY[15:])
    headers = [(b"x-a", b"1"), (b"cookie", b"a=1"), (b"content-type", b"text/plain")]
    if framing == "length":
        headers.append((b"content-length", b"%d" % len(BODY)))
    elif framing == "chunked":
        headers.append((b"transfer-encoding", b"chunked"))
    elif framing == "expect":
        headers += [(b"content-length", b"%d" % len(BODY)), (b"expect", b"100-continue")]
    return Driver(make_scope(method, "/path", headers=headers), events=events)


@on_each_backend
@pytest.mark.parametrize(("app", "expected"), APPS)
@pytest.mark.parametrize("framing", ["length", "chunked", "expect"])
@pytest.mark.requirement("W-066", "W-084", "W-011")
def test_the_validator_stays_silent_for(app, expected, framing, backend, capsys):
    driver = serve(linted(app), driver=request("POST", framing), backend=backend)

    assert driver.error is None
    assert driver.body == expected
    assert driver.is_complete
    err = capsys.readouterr().err
    assert err == ("one line\ntwo\nthree\n" if app is complain else "")  # it also complains on stderr


@pytest.mark.parametrize(("app", "expected"), APPS)
@pytest.mark.parametrize("large_body", ["spool", "stream"])
@pytest.mark.requirement("W-066")
def test_the_validator_stays_silent_with_a_large_body_for(app, expected, large_body):
    driver = serve(
        linted(app),
        driver=request("POST", "chunked"),
        large_body=large_body,
        limits=Limits(body_memory_bytes=5),
    )

    assert driver.error is None
    assert driver.body == expected


@pytest.mark.parametrize(("app", "expected"), APPS)
@pytest.mark.requirement("W-123")
def test_the_validator_stays_silent_under_head_for(app, expected):
    driver = serve(linted(app), driver=request("HEAD", "length"))

    assert driver.error is None
    assert driver.body == b""
    assert driver.is_complete


@pytest.mark.requirement("W-011", "W-017", "W-018", "W-027", "W-029")
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        pytest.param({"path": "/"}, b"|/|", id="root"),
        pytest.param({"path": "", "raw_path": b""}, b"|/|", id="empty path"),
        pytest.param({"path": "/app/x", "root_path": "/app"}, b"/app|/x|", id="mounted"),
        pytest.param({"path": "/app", "root_path": "/app"}, b"/app||", id="mount point"),
        pytest.param({"path": "/x", "root_path": "/"}, b"|/x|", id="root_path of one slash"),
        pytest.param({"path": "/caf\xe9", "raw_path": None}, "|/caf\xe9|".encode(), id="non-ASCII"),
        pytest.param({"query_string": b"q=%E9&r=\xe9"}, b"|/|q=%E9&r=\xe9", id="query"),
        pytest.param({"server": None, "client": None, "headers": []}, b"|/|", id="nothing known"),
        pytest.param({"server": ["/run/app.sock", None]}, b"|/|", id="unix socket"),
        pytest.param({"scheme": "https", "http_version": "2"}, b"|/|", id="https over HTTP/2"),
    ],
)
def test_the_validator_accepts_the_environ_of(method, extra, expected):
    scope = make_scope(method)
    scope.update({"raw_path": extra["path"].encode(), **extra} if "path" in extra else extra)

    driver = serve(linted(show_url), scope)

    assert driver.error is None
    assert driver.body == expected
