"""Live, ASGI applications with WebSockets on WSGI servers: many sockets, much at once, and the end of the server."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.raw import counters_of, fetch, wait_for_counters
from tests.integration.raw_websocket import BINARY, CLOSE, TEXT, Frame, RawSocket, close_payload, frame
from tests.integration.websocket_asgi_apps import BLOCK
from tests.integration.websocket_asgi_servers import (
    GEVENT,
    GTHREAD,
    PYWSGI_PLAIN,
    SOCKET_SERVERS,
    hosting,
    shared_host,
    wait_until,
)
from tests.integration.wsgi_servers import Hosted, WSGIServerKind, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

_MIB = 1024 * 1024
# What the bridge may hold (1 MiB), and what the systems at both ends hold besides.
_MOST_HELD_BYTES = 64 * _MIB
_STILL_S = 0.3
# Gunicorn would wait longer for what is still open.
_AT_ONCE_S = 10.0
_POOL_THREADS = 4
# The signal itself: werkzeug's server lets Ctrl-C end the interpreter.
_ORDERLY = {0, -signal.SIGINT}


def _when_still(count: Callable[[], int]) -> int:
    """Return a count as soon as it does not change any more."""
    last, since_s = count(), time.monotonic()

    def is_still() -> bool:
        nonlocal last, since_s
        now = count()
        if now != last:
            last, since_s = now, time.monotonic()
        return time.monotonic() - since_s > _STILL_S

    wait_until(is_still, "the count is still", 20.0)
    return last


@pytest.fixture(scope="module", params=[GTHREAD, GEVENT], ids=str)
def host(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    with shared_host(request.param) as started:
        yield started


# ---- Floods ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-141", "A-143", "S-026")
def test_a_client_that_does_not_read_holds_the_application_back(host: Hosted) -> None:
    mark = new_mark()

    def blocks_sent() -> int:
        return fetch(host.server, "GET", f"/poured?id={mark}").json()

    with RawSocket(host.server, f"/pour?id={mark}") as socket:
        held = _when_still(blocks_sent)
        assert 0 < held * len(BLOCK) < _MOST_HELD_BYTES

        for _ in range(held + 1):
            assert socket.read() == Frame(BINARY, BLOCK)
        assert blocks_sent() > held
        socket.connection.reset()

    assert host.wait_for("poured", mark)["error"] == "ClientDisconnected"
    assert host.is_well()


@pytest.mark.requirement("A-143", "S-026")
def test_an_application_that_does_not_receive_holds_the_client_back(host: Hosted) -> None:
    mark = new_mark()
    octets = frame(BINARY, BLOCK)
    with RawSocket(host.server, f"/silent?id={mark}") as socket:
        raw = socket.connection._socket
        raw.settimeout(_STILL_S)
        sent_bytes = 0
        with contextlib.suppress(TimeoutError):
            while sent_bytes < _MOST_HELD_BYTES:
                sent_bytes += raw.send(octets[sent_bytes % len(octets) :])
        assert sent_bytes < _MOST_HELD_BYTES

        raw.settimeout(20.0)
        host.open_gate(mark)
        whole, begun_bytes = divmod(sent_bytes, len(octets))
        if begun_bytes:
            raw.sendall(octets[begun_bytes:])
            whole += 1
        socket.send(TEXT, b"end")
        assert socket.read() == Frame(TEXT, b"%d" % (whole * len(BLOCK)))


# ---- Many -----------------------------------------------------------------------------------------------------------


def _drop(socket: RawSocket, number: int) -> None:
    """Leave in one of four ways."""
    if number % 4 == 0:
        socket.send(CLOSE, close_payload(1000))
        assert socket.read_close() == (1000, "")
    elif number % 4 == 1:
        socket.send(CLOSE)
    elif number % 4 == 2:
        socket.connection.reset()
    socket.connection.close()


@pytest.mark.requirement("S-022", "A-139")
def test_a_thousand_sockets_leave_nothing_behind(host: Hosted) -> None:
    for number in range(8):
        _drop(RawSocket(host.server, "/echo"), number)
    before = counters_of(host.server)

    open_ones: list[RawSocket] = []
    for number in range(1000):
        open_ones.append(RawSocket(host.server, "/echo"))
        if len(open_ones) == 20:
            _drop(open_ones.pop(0), number)
    for number, socket in enumerate(open_ones):
        _drop(socket, number)

    before["threads"] += _POOL_THREADS  # which the server starts as it needs them
    wait_for_counters(host.server, lambda now: all(now[name] <= before[name] for name in before))


# ---- The end --------------------------------------------------------------------------------------------------------


def _opened(host: Hosted, name: str, mark: str) -> RawSocket:
    return RawSocket(host.server, f"/{name}?id={mark}")


@pytest.mark.requirement("A-149", "S-027")
@pytest.mark.parametrize("kind", [kind for kind in SOCKET_SERVERS if kind is not PYWSGI_PLAIN], ids=str)
def test_open_sockets_are_closed_at_once_when_the_server_ends(kind: WSGIServerKind) -> None:
    marks = [new_mark() for _ in range(6)]
    with hosting(kind) as host, contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(_opened(host, "echo", mark)) for mark in marks]
        for socket in sockets:
            socket.send(TEXT, b"there")
            assert socket.read() == Frame(TEXT, b"there")
        # wsgiref swallows Ctrl-C until it has done with a request, uWSGI runs no exit hooks in a child that is busy:
        # both are, for a moment after the bridge has let go of them, and nobody can see that.
        host.server.wait_until_idle()

        begin_s = time.monotonic()
        assert kind.end is not None
        host.server.process.send_signal(kind.end)
        closes = []
        for socket in sockets:
            close = socket.read_close()
            closes.append(close and close[0])
            with contextlib.suppress(OSError):
                socket.send(CLOSE, close_payload(1001))
        took_s = time.monotonic() - begin_s
        code = host.server.wait()

        assert set(closes) <= {1001, 1012}
        assert took_s < _AT_ONCE_S
        assert code in _ORDERLY
        assert sorted(entry["id"] for entry in host.journal("disconnect")) == sorted(marks)
        assert {entry["code"] for entry in host.journal("disconnect")} == set(closes)
        assert [entry["open"] for entry in host.journal("shutdown")] == [0]
        assert "Traceback" not in host.server.log()


@pytest.mark.requirement("S-027")
def test_clients_and_applications_that_do_not_leave_do_not_hold_up_the_end() -> None:
    with hosting(GTHREAD) as host, _opened(host, "stubborn", "one") as one, _opened(host, "echo", "two") as two:
        host.server.process.send_signal(signal.SIGTERM)
        closes = [one.read_close(), two.read_close()]  # and not answered
        code = host.server.wait()

        assert {close and close[0] for close in closes} <= {1001, 1012}
        assert code == 0
        assert len(host.journal("disconnect")) == 2
        assert len(host.journal("shutdown")) == 1
