"""WebSockets at odd moments: what a queued message counts for, how long a close may take, and who closes what."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import socket
import threading
import time
import tracemalloc
import weakref
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import Limits
from bridge._runtime.mailbox import Mailbox
from bridge._runtime.outflow import ITEM_OVERHEAD_BYTES
from bridge._runtime.workers import WorkerPool
from bridge.websocket.asgi_hosting import session as session_module
from bridge.websocket.asgi_hosting.session import Session
from bridge.websocket.frames import FrameEnd, Received
from bridge.websocket.wsgi_hosting.call import WebSocketCall, wire_pair
from bridge.websocket.wsgi_hosting.native import Outgoing, WebSocket
from bridge.websocket.wsgi_hosting.phases import Phase
from bridge.websocket.wsgi_hosting.speaking import Speaker
from tests.backends import ASYNCIO
from tests.conformance.driver import hosted as serving
from tests.conformance.driver import on_each_backend
from tests.conformance.driver import run as run_on
from tests.gateway import QUICK, hosted
from tests.integration.raw_websocket import CLOSE, PING, TEXT, frame
from tests.meeting import TIMEOUT_S, Flag, Helper, Hold, until
from tests.websocket.driver import Socket, converse, is_blocked, using
from tests.websocket.gateway import Heard, Visit, accepting, echoing

KIB = 1024
MIB = 1024 * KIB
CLOSE_S = 5.0


def on_loop(app: Any, backend: Any, **changes: Any) -> Any:
    limits: Limits = dataclasses.replace(QUICK, **changes)
    return hosted(app, event_loop=backend.name, lifespan="off", limits=limits)


# ---- What a message counts for --------------------------------------------------------------------------------------

MESSAGES = 2000


def cost_bytes(hold: Callable[[int], None]) -> float:
    """Return what the memory of one more held message is, of many."""
    hold(0)  # what is made once is there
    gc.collect()
    tracemalloc.start()
    try:
        before_bytes, _ = tracemalloc.get_traced_memory()
        for number in range(1, MESSAGES + 1):
            hold(number)
        return (tracemalloc.get_traced_memory()[0] - before_bytes) / MESSAGES
    finally:
        tracemalloc.stop()


class Books:
    """Where something is held: `hold` one more, and `counted_bytes` for all of them."""

    def __init__(self, hold: Callable[[int], None], counted_bytes: Callable[[], int]) -> None:
        self.hold = hold
        self.counted_bytes = counted_bytes


def nothing() -> None:
    """Do nothing."""


def queue_of_an_asgi_application() -> Books:
    session = Session(FrameEnd("server", max_message_bytes=None), Limits(), Any, nothing)
    session._line = FakeLine()  # type: ignore[assignment]
    return Books(lambda _: session.octets_came(frame(TEXT, b"")), lambda: session._held_bytes)


def queue_of_a_wsgi_application() -> Books:
    mailbox: Mailbox[str] = Mailbox(MIB, SimpleNamespace(), nothing)  # type: ignore[arg-type]
    return Books(lambda number: (mailbox.put(f"{number:09}", 9), None)[1], lambda: mailbox.held_bytes)


def queue_of_the_native_object() -> Books:
    held: list[Outgoing] = []
    counted: list[int] = []

    def put(items: tuple[Outgoing, ...], size_bytes: int) -> None:
        held.extend(items)
        counted[0] += size_bytes + ITEM_OVERHEAD_BYTES * len(items)

    counted.append(0)
    outflow = SimpleNamespace(put=put, wait_for_room=lambda _: True)
    session = SimpleNamespace(
        outflow=outflow, hosting=SimpleNamespace(limits=Limits()), scope={}, claim=lambda _: None, drop_wire=nothing
    )
    native = WebSocket(session, {})  # type: ignore[arg-type]
    native.accept()
    return Books(lambda number: native.send(f"{number:09}"), lambda: counted[0])


def queue_of_the_wire() -> Books:
    limits = dataclasses.replace(Limits(), websocket_queue_bytes=1000 * MIB)
    session = SimpleNamespace(
        path="wire", phase=Phase.OPEN, wire=None, signal=SimpleNamespace(set=nothing), hosting=SimpleNamespace()
    )
    session.hosting.limits = limits
    speaker = Speaker(session)  # type: ignore[arg-type]
    return Books(lambda number: speaker.wire_said(Received(f"{number:09}")), lambda: speaker._held_bytes)


@pytest.mark.requirement("S-026", "A-143")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(queue_of_an_asgi_application, id="to an ASGI application"),
        pytest.param(queue_of_a_wsgi_application, id="to a WSGI application"),
        pytest.param(queue_of_the_native_object, id="from wsgi.websocket"),
        pytest.param(queue_of_the_wire, id="from werkzeug.socket"),
    ],
)
def test_a_message_with_next_to_no_content_counts_for_about_what_it_costs(make):
    """Within a factor of two: of what one says is held, no more than twice as much is."""
    books = make()

    cost = cost_bytes(books.hold)
    counted = books.counted_bytes() / (MESSAGES + 1)

    assert cost / 2 <= counted <= 4 * cost


# ---- How long a close may take --------------------------------------------------------------------------------------


class FakeLine:
    """A line whose system takes what it is told to, by `take`."""

    def __init__(self) -> None:
        self.held_bytes = 0
        self.is_aborted = False
        self.takes_all = True

    def write(self, octets: bytes) -> bool:
        if not self.takes_all:
            self.held_bytes += len(octets)
        return self.held_bytes == 0

    def take(self, size_bytes: int) -> None:
        """The client's system takes so much."""
        self.held_bytes = max(0, self.held_bytes - size_bytes)

    def abort(self) -> None:
        self.is_aborted = True

    def pause(self) -> None:
        pass

    resume = end_writing = end = pause


class ClosingSession:
    """A session that has closed with so much unsent before the closing frame, and a clock that is turned by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, unsent_bytes: int) -> None:
        self.now_s = 1000.0
        monkeypatch.setattr(session_module, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        limits = Limits(websocket_close_s=CLOSE_S, websocket_ping_s=None)
        signal = SimpleNamespace(set=nothing)
        self.session = Session(FrameEnd("server", max_message_bytes=None), limits, lambda: signal, nothing)
        self.line = FakeLine()
        self.session._line = self.line  # type: ignore[assignment]
        self.line.takes_all = not unsent_bytes
        if unsent_bytes:
            self.session._frames.send(b"x" * unsent_bytes)
        self.session.close(1000, "")

    @property
    def is_cut(self) -> bool:
        return self.line.is_aborted

    def turn(self, seconds: float, *, takes_bytes: int = 0) -> None:
        """Let time go on, in steps in each of which the client takes something, and the session is looked at."""
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            self.now_s = min(end_s, self.now_s + 1.0)
            self.line.take(takes_bytes)
            self.session.look(self.now_s)


@pytest.mark.requirement("S-026", "A-140")
def test_a_client_that_was_sent_everything_has_its_time_and_no_more(monkeypatch):
    closing = ClosingSession(monkeypatch, unsent_bytes=0)

    closing.turn(CLOSE_S - 0.5)
    assert not closing.is_cut
    closing.turn(0.5)
    assert closing.is_cut


@pytest.mark.requirement("S-026", "A-140")
def test_a_large_last_message_may_be_read_slowly_and_the_time_begins_with_the_closing_frame(monkeypatch):
    closing = ClosingSession(monkeypatch, unsent_bytes=100 * KIB)

    closing.turn(100, takes_bytes=KIB)
    assert not closing.is_cut
    closing.turn(1, takes_bytes=KIB)  # the rest of it, and the closing frame
    assert closing.line.held_bytes == 0
    closing.turn(CLOSE_S - 1)
    assert not closing.is_cut
    closing.turn(1)
    assert closing.is_cut


@pytest.mark.requirement("S-026", "A-140")
def test_a_client_that_takes_nothing_of_what_was_sent_before_the_close_is_cut(monkeypatch):
    closing = ClosingSession(monkeypatch, unsent_bytes=100 * KIB)

    closing.turn(10, takes_bytes=KIB)
    closing.turn(CLOSE_S - 1)
    assert not closing.is_cut
    closing.turn(1)
    assert closing.is_cut


@pytest.mark.requirement("S-026", "A-140", "A-143")
def test_a_client_that_has_the_closing_frame_cannot_prolong_its_stay_by_pings(monkeypatch):
    """Each ping is answered, so there is always something unsent, of which it takes a little."""
    closing = ClosingSession(monkeypatch, unsent_bytes=KIB)

    def ping_on(seconds: int) -> None:
        for _ in range(seconds):
            closing.session.octets_came(frame(PING, b"x" * 100) * 2)
            closing.turn(1, takes_bytes=100)

    closing.turn(1, takes_bytes=2 * KIB)
    ping_on(round(CLOSE_S) - 1)
    assert closing.line.held_bytes
    assert not closing.is_cut
    ping_on(1)
    assert closing.is_cut


@pytest.mark.requirement("S-026", "A-140", "A-143")
def test_a_client_that_pings_on_after_the_close_and_reads_nothing_is_cut_before_its_answers_fill_the_memory(backend):
    """It must be read, because its closing frame may come; but its answers are not kept without end."""
    heard = Heard()
    closed = Flag("closed")

    async def app(receive, send):
        await send({"type": "websocket.send", "bytes": b"x" * MIB})
        closed.set()

    octets = frame(PING, b"x" * 125) * 500
    with on_loop(accepting(app), backend, websocket_queue_bytes=2 * MIB, websocket_close_s=60.0) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened()
            closed.wait()
            taken_bytes = 0
            with suppress(OSError):
                while taken_bytes < 16 * MIB and not visit.is_hung_up():
                    taken_bytes = visit.fill(octets, 16 * MIB, taken_bytes)
            visit.wait_until_hung_up()
            until(lambda: adapter.statistics().websockets == 0)
    assert heard.is_empty


# ---- How many -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-026")
@pytest.mark.parametrize(
    ("grace_s", "who_ends_it"),
    [pytest.param(None, "itself", id="until it ends"), pytest.param(0.05, "the grace", id="until it is cancelled")],
)
def test_an_application_that_goes_on_after_its_client_has_left_holds_its_place(backend, grace_s, who_ends_it):
    """The limit bounds what the process carries: clients that come back at once must not leave one behind each time."""
    told, may_end = Flag("told"), Flag("may end")

    async def lingering(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] != "/linger":
            await echoing()(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["type"] == "websocket.disconnect"
        told.set()
        await may_end.wait_on_loop()

    with on_loop(lingering, backend, websockets=1, disconnect_grace_s=grace_s) as adapter:
        with Visit(adapter, PATH_INFO="/linger") as visit:
            visit.opened().send(CLOSE)
            visit.read_close()
        told.wait()
        if who_ends_it == "itself":
            assert adapter.statistics().websockets == 1
            with Visit(adapter) as refused:
                assert refused.read_head().status == 503
            may_end.set()
        until(lambda: adapter.statistics().websockets == 0, "the place is free")
        with Visit(adapter) as served:
            served.opened().send(TEXT, b"room again")
            assert served.read().payload == b"room again"
        may_end.set()


@pytest.mark.requirement("S-007")
@on_each_backend
def test_a_place_is_free_as_soon_as_its_connection_has_ended_also_if_its_thread_has_not_come_to_rest(
    backend, monkeypatch
):
    """The thread says that all is over as its last act but one."""
    hold = Hold("the thread's last act")
    run_call, submit = WebSocketCall.run, WorkerPool.submit

    def run_and_linger(self: WebSocketCall) -> None:
        run_call(self)
        hold.stop_here()

    def submit_and_tell(self: WorkerPool, job: Any) -> bool:
        is_taken = submit(self, job)
        if not is_taken:
            hold.release()
        return is_taken

    monkeypatch.setattr(WebSocketCall, "run", run_and_linger)
    monkeypatch.setattr(WorkerPool, "submit", submit_and_tell)
    sockets = [Socket() for _ in range(3)]

    async def main() -> None:
        for one in sockets:  # one after the other: there is always room
            one.leave()
            await one.call(adapter)

    try:
        with serving(using(lambda ws: ws.send("hello")), limits=Limits(websockets=2)) as adapter:
            run_on(main, backend)
            assert adapter.statistics().refused == 0
    finally:
        hold.release()
    assert [one.types[0] for one in sockets] == ["accept"] * 3


# ---- Who closes what ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-003")
@on_each_backend
def test_a_wire_that_a_thread_still_reads_from_is_ended_and_not_closed_under_its_hands(backend):
    """The number of a closed descriptor is soon somebody else's, whose octets the thread would then read."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        wire = environ["werkzeug.socket"]
        reader = Helper(lambda: wire.recv(1))
        until(lambda: is_blocked(reader.thread.ident or 0, "<lambda>"), "the thread reads")
        identity = os.fstat(wire.fileno()).st_ino

        environ["wsgi.websocket"].accept()

        found.append(reader.join())
        found.append(os.fstat(wire.fileno()).st_ino == identity)
        given = environ["werkzeug.socket"]
        found.append(given is wire)
        found.append(given.fileno())
        environ["wsgi.websocket"].send("goes on")
        return []

    found: list[Any] = []
    served = converse(app, backend=backend)

    assert found == [b"", True, False, -1]
    assert served.said == ["goes on"]


@pytest.mark.requirement("S-003")
def test_a_wire_that_nobody_has_is_closed_as_soon_as_the_native_object_is_used():
    """Without the garbage collector, which would have to find the environ first."""

    def use(native: Any) -> bool:
        wire = weakref.ref(native.environ["werkzeug.socket"])
        native.accept()
        until(lambda: wire() is None, "the end of the wire")
        return True

    app = using(use)
    gc.disable()
    try:
        converse(app)
    finally:
        gc.enable()

    assert app.result is True


@pytest.mark.requirement("S-003")
def test_threads_that_begin_to_use_the_native_object_at_once_end_the_wire_once():
    """With the call ending meanwhile: the loop forgets it, and the wire is given back from two sides."""
    rounds = 20

    def use(native: Any) -> list[object]:
        begin = threading.Barrier(3)

        def send(number: int) -> None:
            begin.wait(TIMEOUT_S)
            native.send(str(number))

        helpers = [Helper(lambda number=number: send(number)) for number in range(2)]  # type: ignore[misc]
        begin.wait(TIMEOUT_S)
        return [helper.join() for helper in helpers]

    for _ in range(rounds):
        app = using(use)
        served = converse(app)
        assert app.raised is None
        assert served.types[0] == "accept"
        assert sorted(served.said) == ["0", "1"]


def test_the_ends_of_a_wire_close_themselves():
    near, far = wire_pair()
    with far:
        assert type(near).__mro__[1] is socket.socket
        del near
        gc.collect()
        far.settimeout(TIMEOUT_S)
        assert far.recv(1) == b""


# ---- Lines of trio, and of asyncio, whose owner fails ----------------------------------------------------------------


@pytest.mark.requirement("A-139")
def test_a_session_that_fails_costs_its_own_connection_only(backend, monkeypatch, caplog):
    """With trio the line is a task, and what a task raises ends the run with everything in it."""
    caplog.set_level(logging.ERROR)
    original = Session.octets_came

    def fail_once(self: Session, octets: bytes) -> None:
        if octets.endswith(b"!"):
            raise LookupError("a fault of ours")
        original(self, octets)

    monkeypatch.setattr(Session, "octets_came", fail_once)
    heard = Heard()
    with on_loop(echoing(heard), backend, websocket_ping_s=None) as adapter:
        with Visit(adapter) as other, Visit(adapter) as visit:
            other.opened()
            visit.opened().write(b"!")
            assert visit.read() is None
            assert heard.next()["code"] == 1006
            until(lambda: adapter.statistics().websockets == 1)
            other.send(TEXT, b"still here")
            assert other.read().payload == b"still here"
    assert "a fault of ours" in caplog.text


# ---- The time -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-026", "A-140")
def test_a_client_that_keeps_pinging_a_closed_connection_and_reads_a_little_is_cut_in_time():
    """As above, with a real connection and clock: it takes octets all the time."""

    async def app(receive, send):
        pass

    with on_loop(accepting(app), ASYNCIO, websocket_close_s=0.3) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened()
            pings = frame(PING, b"x" * 125) * 200
            deadline_s = time.monotonic() + TIMEOUT_S
            visit.client.settimeout(0.01)
            with pytest.raises((ConnectionError, EOFError)):
                while time.monotonic() < deadline_s:
                    with suppress(TimeoutError):
                        visit.client.send(pings)
                    with suppress(TimeoutError):
                        if not visit.client.recv(64):
                            raise EOFError
