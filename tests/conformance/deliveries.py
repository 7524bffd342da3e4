"""The ways in which a request body can reach an application: what holds for ``wsgi.input`` holds for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from bridge import Limits, WSGIToASGI
from tests.driving import Driver, Record
from tests.fakes import body_events, make_scope

WSGIApp = Callable[..., Any]

SMALL = Limits(body_memory_bytes=4, worker_idle_s=0.05)
"""Hardly any body fits in memory."""
ORDINARY = Limits(worker_idle_s=0.05)


@dataclass(frozen=True)
class Delivery:
    """How the client frames a body and how the adapter is told to receive it.

    Attributes:
        is_on_demand: nothing is received before the application reads.
        announces_length: the request has a Content-Length.
    """

    name: str
    limits: Limits = ORDINARY
    large_body: Literal["spool", "stream"] = "spool"
    http_version: str = "1.1"
    fields: tuple[tuple[bytes, bytes], ...] = ()
    announces_length: bool = False
    is_on_demand: bool = False
    scope_extra: dict[str, Any] = field(default_factory=dict)

    def scope(self, length_bytes: int, **overrides: Any) -> dict[str, Any]:
        """Return the scope of a POST request with a body of that length."""
        headers = [(b"host", b"testserver:8000"), *self.fields]
        if self.announces_length:
            headers.append((b"content-length", b"%d" % length_bytes))
        return make_scope(method="POST", http_version=self.http_version, headers=headers, **overrides)

    def host(self, app: WSGIApp, **options: Any) -> WSGIToASGI:
        """Return the application behind an adapter."""
        options.setdefault("limits", self.limits)
        return WSGIToASGI(app, large_body=self.large_body, **options)

    def driver(
        self, app: WSGIApp, body: bytes | list[bytes], events: Iterable[Any] | None = None, **options: Any
    ) -> Driver:
        """Return a driver of one request whose body comes in these pieces (or by these events).

        A body in one piece is cut in two: one that comes whole is never too large for the memory.
        """
        pieces = [body[:6], body[6:]] if isinstance(body, bytes) else body
        scope = self.scope(sum(map(len, pieces)))
        return Driver(self.host(app), scope, body_events(*pieces) if events is None else events, **options)


def chunked(name: str, **options: Any) -> Delivery:
    return Delivery(name, fields=((b"transfer-encoding", b"chunked"),), **options)


MEMORY = Delivery("memory", announces_length=True)
SPOOL = Delivery("spool", limits=SMALL, announces_length=True)
STREAM = Delivery("stream", limits=SMALL, large_body="stream", announces_length=True)
EXPECT = Delivery("expect", fields=((b"expect", b"100-continue"),), announces_length=True, is_on_demand=True)
CHUNKED = chunked("chunked")
CHUNKED_SPOOL = chunked("chunked-spool", limits=SMALL)
CHUNKED_STREAM = chunked("chunked-stream", limits=SMALL, large_body="stream")
EXPECT_CHUNKED = Delivery(
    "expect-chunked",
    fields=((b"expect", b"100-continue"), (b"transfer-encoding", b"chunked")),
    is_on_demand=True,
)
HTTP2 = Delivery("http2", http_version="2")
HTTP2_SPOOL = Delivery("http2-spool", http_version="2", limits=SMALL)
# HTTP/1.1 without Content-Length and Transfer-Encoding: no body by RFC 9112, but in-memory callers send one.
UNFRAMED = Delivery("unframed", is_on_demand=True)

DELIVERIES = (
    MEMORY,
    SPOOL,
    STREAM,
    EXPECT,
    CHUNKED,
    CHUNKED_SPOOL,
    CHUNKED_STREAM,
    EXPECT_CHUNKED,
    HTTP2,
    HTTP2_SPOOL,
    UNFRAMED,
)
FETCHED_WHILE_READ = (STREAM, EXPECT, CHUNKED_STREAM, EXPECT_CHUNKED, UNFRAMED)

on_each_delivery = pytest.mark.parametrize("delivery", DELIVERIES, ids=lambda delivery: delivery.name)
on_each_fetched_while_read = pytest.mark.parametrize("delivery", FETCHED_WHILE_READ, ids=lambda delivery: delivery.name)
on_each_with_length = pytest.mark.parametrize(
    "delivery", [one for one in DELIVERIES if one.announces_length], ids=lambda delivery: delivery.name
)
on_each_without_length = pytest.mark.parametrize(
    "delivery", [one for one in DELIVERIES if not one.announces_length], ids=lambda delivery: delivery.name
)


class Reader:
    """A WSGI application that does something with ``wsgi.input`` and answers ``ok``.

    Attributes:
        result: what came out of the last request.
        error: what was raised instead; it is not raised on.
        environ: of the last request.
    """

    def __init__(self, read: Callable[[Any], object] = lambda stream: stream.read(-1)) -> None:
        self._read = read
        self.calls = 0
        self.result: Any = None
        self.error: BaseException | None = None
        self.environ: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.calls += 1
        self.environ = environ
        try:
            self.result = self._read(environ["wsgi.input"])
        except BaseException as error:
            self.error = error
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]


def read_through(
    delivery: Delivery, read: Callable[[Any], object], body: bytes | list[bytes], events: Iterable[Any] | None = None
) -> tuple[Any, Record]:
    """Return what ``read`` makes of ``wsgi.input``, and the record of the request, which must be answered whole."""
    app = Reader(read)
    record = delivery.driver(app, body, events).run().checked()
    if app.error is not None:
        raise app.error
    return app.result, record
