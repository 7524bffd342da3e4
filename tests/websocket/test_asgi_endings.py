"""How a WebSocket of an ASGI application on a WSGI server ends (A-139 to A-142, A-147, A-149, S-027)."""

from __future__ import annotations

import dataclasses
import logging
import socket
import time
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, ClientDisconnected, Limits
from bridge._asgi_hosting import closing
from bridge.websocket.asgi_hosting import exchange
from tests.conformance.living import LivingApp, logged
from tests.gateway import QUICK, hosted
from tests.integration.raw_websocket import BINARY, CLOSE, TEXT, close_payload, frame
from tests.meeting import Flag, Helper, Hold, until
from tests.websocket.gateway import ACCEPT, Heard, Visit, accepting, disconnect, listening

KIB = 1024
MIB = 1024 * KIB
MOST_REASON = "ü" * 61 + "x"
"""123 bytes of UTF-8."""
SOON_S = 10.0
"""Far more than an end takes, far less than the bridge is given for it here."""


@pytest.fixture(autouse=True)
def all_of_the_log(caplog):
    caplog.set_level(logging.INFO, logger="bridge.asgi_to_wsgi")


@pytest.fixture
def brief_farewell(monkeypatch):
    """Shorten what clients get at shutdown to answer."""
    assert closing._FAREWELL_S + exchange._GRACE_S <= 5
    monkeypatch.setattr(closing, "_FAREWELL_S", 0.05)


def on_loop(app: Any, backend: Any, **changes: Any) -> Any:
    limits: Limits = dataclasses.replace(QUICK, **changes)
    return hosted(app, event_loop=backend.name, lifespan="off", limits=limits)


def ends_cleanly(visit: Visit) -> bool:
    """Tell whether nothing but the end of the connection is left."""
    return visit.read_rest() == b""


# ---- The client closes ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-139", "A-147")
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        pytest.param(b"", 1005, "", id="no code"),
        pytest.param(close_payload(1000), 1000, "", id="normal"),
        pytest.param(close_payload(1001, "bye"), 1001, "bye", id="going away"),
        pytest.param(close_payload(3000), 3000, "", id="of a library"),
        pytest.param(close_payload(4999, "grün"), 4999, "grün", id="of an application"),
        pytest.param(close_payload(4000, MOST_REASON), 4000, MOST_REASON, id="the longest reason"),
    ],
)
def test_a_close_of_the_client_is_echoed_and_told_with_its_code_and_reason(backend, payload, code, reason):
    heard = Heard()
    with on_loop(listening(heard), backend) as adapter, Visit(adapter) as visit:
        visit.opened().send(CLOSE, payload)
        got = visit.read()
        assert (got.opcode, got.payload) == (CLOSE, payload)
        assert ends_cleanly(visit)
        assert heard.next() == disconnect(code, reason)


@pytest.mark.requirement("A-139", "A-147")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("beginning", [b"", frame(TEXT, b"half of it")[:9], frame(TEXT, b"a", is_final=False)])
def test_a_connection_that_just_ends_is_1006(backend, is_tcp, beginning):
    heard = Heard()
    with on_loop(listening(heard), backend) as adapter, Visit(adapter, is_tcp=is_tcp) as visit:
        visit.opened().write(beginning)
        visit.client.close()
        assert heard.next() == disconnect(1006)
        until(lambda: adapter.statistics().websockets == 0)


@pytest.mark.requirement("A-139", "A-147")
def test_a_connection_that_is_reset_is_1006(backend):
    heard = Heard()
    with on_loop(listening(heard), backend) as adapter, Visit(adapter, is_tcp=True) as visit:
        visit.opened().reset()
        assert heard.next() == disconnect(1006)


@pytest.mark.requirement("A-139")
def test_messages_that_came_before_the_end_are_told_before_it(backend):
    heard = Heard()
    hold = Hold("before receive")

    async def app(receive, send):
        await hold.stop_here_on_loop()
        for _ in range(4):
            event = await receive()
            heard.note(event.get("text", event.get("code")))

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        try:
            visit.opened()
            visit.write(frame(TEXT, b"one") + frame(TEXT, b"two") + frame(CLOSE, close_payload(4001)))
            assert visit.read_close() == (4001, "")
        finally:
            hold.release()
        assert [heard.next() for _ in range(4)] == ["one", "two", 4001, 4001]


@pytest.mark.requirement("A-139", "A-143")
def test_a_client_that_leaves_while_it_is_held_back_is_noticed_when_the_application_receives(backend):
    heard = Heard()
    go_on = Flag("go on")

    async def app(receive, send):
        await go_on.wait_on_loop()
        count = 0
        while (event := await receive())["type"] == "websocket.receive":
            count += 1
        heard.note((count, event))

    with on_loop(accepting(app), backend, websocket_queue_bytes=KIB) as adapter, Visit(adapter) as visit:
        try:
            visit.opened()
            for _ in range(8):
                visit.send(BINARY, b"x" * KIB)
            visit.client.close()
        finally:
            go_on.set()
        assert heard.next() == (8, disconnect(1006))


@pytest.mark.requirement("A-140", "S-026")
def test_a_client_that_stops_sending_and_reads_nothing_is_cut_after_its_time(backend):
    """Its connection must not wait for ever for somebody to take what was sent."""
    heard, errors = Heard(), Heard()

    async def app(receive, send):
        async with anyio.create_task_group() as tasks:

            async def talk():
                try:
                    while True:
                        await send({"type": "websocket.send", "bytes": b"x" * 256 * KIB})
                except OSError as error:
                    errors.note(error)

            tasks.start_soon(talk)
            heard.note(await receive())

    with on_loop(accepting(app), backend, websocket_close_s=0.2) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened().client.shutdown(socket.SHUT_WR)
            assert heard.next() == disconnect(1006)
            assert isinstance(errors.next(), ClientDisconnected)
            visit.wait_until_hung_up()


@pytest.mark.requirement("A-141")
@pytest.mark.parametrize("how", ["closes", "leaves"])
def test_after_the_disconnect_every_send_raises_an_error_of_the_operating_systems_kind(backend, how):
    heard = Heard()

    async def app(receive, send):
        assert (await receive())["type"] == "websocket.disconnect"
        for message in (
            {"type": "websocket.send", "text": "anybody?"},
            {"type": "websocket.send", "text": "anybody?"},
            {"type": "websocket.close"},
        ):
            try:
                await send(message)
            except OSError as error:
                heard.note(error)
        heard.note((await receive())["type"])

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        visit.opened()
        if how == "closes":
            visit.send(CLOSE)
        else:
            visit.client.close()
        for _ in range(3):
            assert isinstance(heard.next(), ClientDisconnected)
        assert heard.next() == "websocket.disconnect"


# ---- The application closes -----------------------------------------------------------------------------------------


@pytest.mark.requirement("A-140", "A-147")
@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        pytest.param({}, 1000, "", id="default"),
        pytest.param({"code": None, "reason": None}, 1000, "", id="none"),
        pytest.param({"code": 1001}, 1001, "", id="going away"),
        pytest.param({"code": 1013, "reason": "later"}, 1013, "later", id="try again later"),
        pytest.param({"code": 4999, "reason": MOST_REASON}, 4999, MOST_REASON, id="the longest reason"),
    ],
)
def test_a_close_of_the_application_is_sent_and_told_back_when_the_client_has_answered(backend, close, code, reason):
    heard = Heard()

    async def app(receive, send):
        await send({"type": "websocket.close", **close})
        heard.note(await receive())

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        assert visit.opened().read_close() == (code, reason)
        assert heard.is_empty
        visit.send(CLOSE, close_payload(4321, "whatever the client says"))
        assert heard.next() == disconnect(code, reason)
        assert ends_cleanly(visit)


@pytest.mark.requirement("A-140")
@pytest.mark.parametrize(
    "close",
    [
        *(
            pytest.param({"code": code}, id=str(code))
            for code in (-1, 0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000)
        ),
        pytest.param({"code": "1000"}, id="text"),
        pytest.param({"code": True}, id="a truth"),
        pytest.param({"code": 4000, "reason": "x" * 124}, id="a reason too long"),
        pytest.param({"code": 4000, "reason": MOST_REASON + "x"}, id="a reason too long in UTF-8"),
        pytest.param({"code": 4000, "reason": "\ud800"}, id="a reason that is no UTF-8"),
        pytest.param({"code": 4000, "reason": b"bye"}, id="a reason in bytes"),
    ],
)
def test_a_close_that_must_not_be_sent_raises_and_the_connection_stays_open(close):
    heard = Heard()

    async def app(receive, send):
        try:
            await send({"type": "websocket.close", **close})
        except Exception as error:
            heard.note(error)
        await send({"type": "websocket.send", "text": "still here"})

    with hosted(accepting(app), lifespan="off") as adapter, Visit(adapter) as visit:
        assert isinstance(heard.next(), ApplicationError)
        assert visit.opened().read().payload == b"still here"


@pytest.mark.requirement("A-140", "S-026")
def test_a_client_that_does_not_answer_the_close_is_cut_and_the_application_sees_its_own_code(backend):
    heard = Heard()

    async def app(receive, send):
        await send({"type": "websocket.close", "code": 4000, "reason": "enough"})
        heard.note(await receive())

    with on_loop(accepting(app), backend, websocket_close_s=0.2) as adapter, Visit(adapter) as visit:
        visit.opened()
        assert heard.next() == disconnect(4000, "enough")
        assert visit.read_close() == (4000, "enough")
        assert ends_cleanly(visit)


@pytest.mark.requirement("A-140", "A-139")
def test_a_client_that_leaves_instead_of_an_answer_does_not_change_the_code(backend):
    heard = Heard()

    async def app(receive, send):
        await send({"type": "websocket.close", "code": 4000})
        heard.note(await receive())

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        visit.opened().read_close()
        visit.client.close()
        assert heard.next() == disconnect(4000)


@pytest.mark.requirement("A-140")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_a_client_in_the_middle_of_much_data_can_finish_and_learns_that_it_was_closed(backend, is_tcp):
    """It reads only when it has written all: were it held back, it would be cut, and never see the code."""

    async def app(receive, send):
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": "no uploads here"})

    with on_loop(accepting(app), backend, websocket_queue_bytes=KIB, websocket_close_s=1.0) as adapter:
        with Visit(adapter, is_tcp=is_tcp) as visit:
            visit.opened()
            block = frame(BINARY, b"x" * 64 * KIB)
            for _ in range(200):
                visit.write(block)
            assert visit.read_close() == (1008, "no uploads here")
            visit.send(CLOSE, close_payload(1008))
            assert ends_cleanly(visit)


@pytest.mark.requirement("A-140")
def test_two_closes_that_cross_are_one_end(backend):
    heard = Heard()
    hold = Hold("before the close")

    async def app(receive, send):
        await hold.stop_here_on_loop()
        try:
            await send({"type": "websocket.close", "code": 4000})
        except OSError as error:
            heard.note(error)
        heard.note(await receive())

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        try:
            visit.opened().send(CLOSE, close_payload(4001))
            assert visit.read_close() == (4001, "")
        finally:
            hold.release()
        assert isinstance(heard.next(), ClientDisconnected)
        assert heard.next() == disconnect(4001)
        assert ends_cleanly(visit)


# ---- The application ends -------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-142")
def test_an_application_that_returns_closes_its_connection(backend, caplog):
    async def app(receive, send):
        await send({"type": "websocket.send", "text": "that is all"})

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        assert visit.opened().read().payload == b"that is all"
        assert visit.read_close() == (1000, "")
        visit.send(CLOSE, close_payload(1000))
        assert ends_cleanly(visit)
        visit.client.close()
        until(lambda: adapter.statistics().websockets == 0)
        assert adapter.statistics().failed_in_background == 0
    assert logged(caplog) == []


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize("error", [LookupError("no such room"), SystemExit(3)], ids=repr)
def test_an_application_that_raises_closes_its_connection_with_1011_and_is_logged_once(backend, caplog, error):
    if isinstance(error, SystemExit) and backend.name == "trio":
        pytest.skip("trio ends with it")

    async def app(receive, send):
        raise error

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        assert visit.opened().read_close() == (1011, "")
        visit.send(CLOSE, close_payload(1011))
        assert ends_cleanly(visit)
        until(lambda: adapter.statistics().failed_in_background == 1)
    assert len([text for text in logged(caplog) if "failed with its WebSocket open" in text]) == 1


@pytest.mark.requirement("A-141", "A-142")
def test_an_application_that_ends_with_the_error_of_a_send_after_the_end_has_not_failed(backend, caplog):
    async def app(receive, send):
        await receive()
        try:
            await send({"type": "websocket.send", "text": "anybody?"})
        except OSError as error:
            raise LookupError("no such client") from error

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        visit.opened().send(CLOSE)
        visit.read_close()
        visit.client.close()
        until(lambda: adapter.statistics().websockets == 0)
        assert adapter.statistics().failed_in_background == 0
    assert logged(caplog) == []


@pytest.mark.requirement("A-142")
def test_an_application_that_fails_after_the_end_is_logged(backend, caplog):
    async def app(receive, send):
        await receive()
        raise LookupError("on cleaning up")

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        visit.opened().send(CLOSE, close_payload(1000))
        assert visit.read_close() == (1000, "")
        until(lambda: adapter.statistics().failed_in_background == 1)
    assert len(logged(caplog)) == 1


@pytest.mark.requirement("A-142")
def test_an_application_that_goes_on_after_its_client_has_left_may_be_cancelled_after_a_grace(backend):
    heard = Heard()

    async def app(receive, send):
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            heard.note("cancelled")
            raise

    with on_loop(accepting(app), backend, disconnect_grace_s=0.05) as adapter, Visit(adapter) as visit:
        visit.opened().client.close()
        assert heard.next() == "cancelled"
        until(lambda: adapter.statistics().websockets == 0)


@pytest.mark.requirement("A-139")
def test_a_connection_counts_until_both_it_and_its_application_are_over(backend):
    hold = Hold("after the disconnect")

    async def app(receive, send):
        await receive()
        await hold.stop_here_on_loop()

    with on_loop(accepting(app), backend) as adapter, Visit(adapter) as visit:
        try:
            visit.opened()
            assert adapter.statistics().websockets == 1
            visit.send(CLOSE)
            assert visit.read_close() == (1005, "")
            visit.client.close()
            hold.reached.wait()
            assert adapter.statistics().websockets == 1
        finally:
            hold.release()
        until(lambda: adapter.statistics().websockets == 0)


# ---- The process ends -----------------------------------------------------------------------------------------------


class Sockets(LivingApp):
    """An application with a lifespan, whose WebSockets are served by ``serve``."""

    def __init__(self, serve: Any) -> None:
        super().__init__(request=accepting(serve))


def living(app: Any, backend: Any, **changes: Any) -> Any:
    return hosted(app, event_loop=backend.name, limits=dataclasses.replace(QUICK, shutdown_s=30.0, **changes))


@pytest.mark.requirement("A-149", "S-027", "A-147")
def test_at_shutdown_clients_get_1001_and_applications_a_disconnect_before_the_lifespan_ends(
    backend, brief_farewell, caplog
):
    app = Sockets(lambda receive, send: _note_the_end(app, receive))
    with living(app, backend) as adapter, Visit(adapter) as first, Visit(adapter, is_tcp=True) as second:
        first.opened()
        second.opened()
        since_s = time.monotonic()
        adapter.shutdown()
        assert time.monotonic() - since_s < SOON_S
        for visit in (first, second):
            assert visit.read_close() == (1001, "")
            assert ends_cleanly(visit)
        assert adapter.statistics().websockets == 0

    assert app.events.count(disconnect(1001)) == 2
    assert app.events[-2:] == ["shutdown", "stopped"]
    assert logged(caplog) == []


async def _note_the_end(app: Any, receive: Any) -> None:
    app.events.append(await receive())


@pytest.mark.requirement("A-149", "S-027")
def test_at_shutdown_a_client_can_answer_and_nobody_waits_longer(backend, monkeypatch):
    monkeypatch.setattr(closing, "_FAREWELL_S", 60.0)
    heard = Heard()
    with on_loop(listening(heard), backend, shutdown_s=30.0) as adapter, Visit(adapter, is_tcp=True) as visit:
        visit.opened()
        ending = Helper(adapter.shutdown)
        assert visit.read_close() == (1001, "")
        assert heard.next() == disconnect(1001)
        visit.send(TEXT, b"one more thing")
        visit.send(CLOSE, close_payload(1001))
        assert ends_cleanly(visit)
        visit.client.close()
        ending.join()


@pytest.mark.requirement("A-149", "S-027")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_at_shutdown_a_client_that_was_held_back_gets_1001_too(backend, is_tcp, monkeypatch):
    monkeypatch.setattr(exchange, "_GRACE_S", 0.05)

    async def app(receive, send):
        await anyio.sleep_forever()

    with on_loop(accepting(app), backend, websocket_queue_bytes=KIB) as adapter:
        with Visit(adapter, is_tcp=is_tcp) as visit:
            visit.opened().fill(frame(BINARY, b"x" * KIB) * 16, 64 * MIB)
            ending = Helper(adapter.shutdown)
            assert visit.read_close() == (1001, "")
            visit.client.close()
            ending.join()


@pytest.mark.requirement("S-027")
@pytest.mark.parametrize("does", ["sleeps", "sends", "shrugs"])
def test_at_shutdown_an_application_that_does_not_listen_is_cancelled_soon(
    backend, brief_farewell, does, monkeypatch, caplog
):
    assert exchange._GRACE_S <= 3
    monkeypatch.setattr(exchange, "_GRACE_S", 0.05)
    heard = Heard()

    async def app(receive, send):
        heard.note("running")
        try:
            while does == "sends":
                await send({"type": "websocket.send", "bytes": b"x" * 256 * KIB})
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            heard.note("cancelled")
            if does == "shrugs":
                return
            raise
        except ClientDisconnected:
            heard.note("cancelled")  # told in its own way
            raise

    with on_loop(accepting(app), backend, shutdown_s=30.0) as adapter:
        with Visit(adapter, send_buffer_bytes=16 * KIB) as visit:
            visit.opened()
            assert heard.next() == "running"
            since_s = time.monotonic()
            adapter.shutdown()
            assert time.monotonic() - since_s < SOON_S
            assert heard.next() == "cancelled"
            visit.wait_until_hung_up()
    assert logged(caplog) == []


@pytest.mark.requirement("S-027")
def test_at_shutdown_a_closing_handshake_under_way_is_not_waited_for(backend, brief_farewell):
    closed = Flag("closed")

    async def app(receive, send):
        await send({"type": "websocket.close", "code": 4000})
        closed.set()
        await receive()

    with on_loop(accepting(app), backend, websocket_close_s=60.0, shutdown_s=30.0) as adapter:
        with Visit(adapter) as visit:
            visit.opened()
            closed.wait()
            since_s = time.monotonic()
            adapter.shutdown()
            assert time.monotonic() - since_s < SOON_S
            assert visit.read_close() == (4000, "")
            assert ends_cleanly(visit)


@pytest.mark.requirement("S-027", "A-149")
def test_a_connection_that_is_accepted_while_the_shutdown_has_begun_does_not_hold_it_up(backend):
    heard = Heard()
    hold = Hold("before the accept")

    async def app(scope, receive, send):
        await receive()
        await hold.stop_here_on_loop()
        await send(ACCEPT)
        heard.note(await receive())

    with on_loop(app, backend, shutdown_s=30.0) as adapter, Visit(adapter) as visit:
        try:
            hold.reached.wait()
            ending = Helper(adapter.shutdown)
            until(lambda: adapter.statistics().phase == "shutting down")
        finally:
            hold.release()
        since_s = time.monotonic()
        assert visit.opened().read_close() == (1001, "")
        assert heard.next() == disconnect(1001)
        visit.client.close()
        ending.join()
        assert time.monotonic() - since_s < SOON_S


@pytest.mark.requirement("A-149")
def test_after_the_shutdown_a_handshake_is_refused(backend):
    async def app(receive, send):
        raise AssertionError("the application was called")

    with on_loop(accepting(app), backend) as adapter:
        adapter.shutdown()
        with Visit(adapter) as visit:
            assert visit.read_head().status == 503


@pytest.mark.requirement("S-027")
def test_the_shutdown_of_one_adapter_leaves_the_sockets_of_another_on_the_same_loop_alone(backend, brief_farewell):
    heard = Heard()
    with on_loop(listening(heard), backend) as adapter, on_loop(listening(heard), backend) as other:
        other.startup()  # keeps the loop
        with Visit(adapter) as visit:
            visit.opened()
            adapter.shutdown()
            assert visit.read_close() == (1001, "")
            assert heard.next() == disconnect(1001)
            assert ends_cleanly(visit)
        with Visit(other) as visit:
            visit.opened().send(TEXT, b"unharmed")
            assert heard.next()["text"] == "unharmed"
