"""The handshake of a WebSocket for an ASGI application on a WSGI server (A-125 to A-134)."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, BridgeError, ClientDisconnected
from bridge.websocket.asgi_hosting import connections
from tests.conformance.living import LivingApp
from tests.gateway import Gateway, environ_for, hosted
from tests.integration.raw_websocket import ACCEPT as ACCEPT_VALUE
from tests.integration.raw_websocket import KEY, TEXT, handshake_fields
from tests.meeting import Hold, until
from tests.websocket.gateway import ACCEPT, Heard, Visit, accepting, disconnect, echoing, listening

DENIAL_START, DENIAL_BODY = "websocket.http.response.start", "websocket.http.response.body"


def environ_fields(**changes: str | None) -> dict[str, str]:
    return dict(handshake_fields(**changes))


def noting(heard: Heard) -> Any:
    """Return an application that tells the type of its scope, and answers it."""

    async def app(scope, receive, send):
        heard.note(scope["type"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"a page"})

    return app


async def uncalled(scope, receive, send):
    raise AssertionError("the application was called")


# ---- What is a handshake --------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-125")
def test_without_a_connection_to_take_over_the_upgrade_is_ignored():
    heard = Heard()
    with hosted(noting(heard), lifespan="off") as adapter:
        gateway = Gateway(adapter, environ_for(headers=environ_fields())).run()

    assert heard.next() == "http"
    assert (gateway.status, gateway.body) == ("200 OK", b"a page")


@pytest.mark.requirement("A-126")
@pytest.mark.parametrize(
    ("fields", "more", "kind"),
    [
        pytest.param({}, {}, "websocket", id="as in the RFC"),
        pytest.param({"upgrade": "WebSocket", "connection": "UPGRADE"}, {}, "websocket", id="any case"),
        pytest.param({"connection": "keep-alive, Upgrade"}, {}, "websocket", id="a list of options"),
        pytest.param({"upgrade": "h2c, websocket"}, {}, "websocket", id="a list of protocols"),
        pytest.param({"upgrade": None}, {}, "http", id="no upgrade"),
        pytest.param({"upgrade": "h2c"}, {}, "http", id="another protocol"),
        pytest.param({"upgrade": "websockets"}, {}, "http", id="nearly the protocol"),
        pytest.param({"connection": None}, {}, "http", id="no connection"),
        pytest.param({"connection": "keep-alive"}, {}, "http", id="another connection option"),
        pytest.param({}, {"REQUEST_METHOD": "POST"}, "http", id="not a GET"),
        pytest.param({}, {"SERVER_PROTOCOL": "HTTP/1.0"}, "http", id="HTTP/1.0"),
    ],
)
def test_only_a_request_that_asks_for_it_in_every_respect_is_a_websocket(fields, more, kind):
    heard = Heard()
    with hosted(noting(heard), lifespan="off") as adapter:
        with Visit(adapter, fields=handshake_fields(**fields), **more) as visit:
            assert visit.read_head().status == (403 if kind == "websocket" else 200)

    assert heard.next() == kind


@pytest.mark.requirement("A-127")
@pytest.mark.parametrize("version", [None, "8", "13, 8", "014"])
def test_another_version_is_refused_with_the_one_there_is(version):
    with hosted(uncalled, lifespan="off") as adapter:
        with Visit(adapter, fields=handshake_fields(sec_websocket_version=version)) as visit:
            head = visit.read_head()
            assert head.status == 426
            assert head.all("sec-websocket-version") == ["13"]
            assert head.all("content-length") == [str(len(visit.read_rest()))]
            assert visit.finish_call().error is None


@pytest.mark.requirement("A-127")
@pytest.mark.parametrize("key", [None, "", "short", "dGhlIHNhbXBsZSBub25jZQ", KEY + "=", "!" * 22 + "==", "A" * 44])
def test_a_bad_key_is_refused(key):
    with hosted(uncalled, lifespan="off") as adapter:
        with Visit(adapter, fields=handshake_fields(sec_websocket_key=key)) as visit:
            assert visit.read_head().status == 400
            assert visit.finish_call().error is None
        assert adapter.statistics().refused == 1


@pytest.mark.requirement("A-127")
def test_a_handshake_with_a_body_is_refused():
    with hosted(uncalled, lifespan="off") as adapter:
        with Visit(adapter, CONTENT_LENGTH="5") as visit:
            assert visit.read_head().status == 400


# ---- The scope ------------------------------------------------------------------------------------------------------


def scope_of(heard: Heard, visit: Visit) -> dict[str, Any]:
    assert visit.read_head().status == 403
    return heard.next()


async def no_thanks(scope, receive, send):
    await send({"type": "websocket.close"})


@pytest.mark.requirement("A-128", "S-021")
@pytest.mark.parametrize(("scheme", "expected"), [("http", "ws"), ("https", "wss")])
def test_the_scope_is_that_of_the_request_as_a_websocket(scheme, expected):
    heard = Heard()

    async def app(scope, receive, send):
        heard.note(dict(scope))
        await no_thanks(scope, receive, send)

    fields = [*handshake_fields(), ("Sec-WebSocket-Protocol", "superchat, chat ,,v2")]
    with hosted(app, lifespan="off") as adapter:
        with Visit(
            adapter,
            fields=fields,
            SCRIPT_NAME="/shop",
            PATH_INFO="/chat room",
            QUERY_STRING="a=1&b",
            REQUEST_URI="/shop/chat%20room?a=1&b",
            **{"wsgi.url_scheme": scheme},
        ) as visit:
            scope = scope_of(heard, visit)
            assert scope.pop("bridge.environ") is visit.environ

    headers = scope.pop("headers")
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": "1.1",
        "scheme": expected,
        "path": "/shop/chat room",
        "raw_path": b"/shop/chat%20room",
        "root_path": "/shop",
        "query_string": b"a=1&b",
        "client": ("127.0.0.1", 50000),
        "server": ("testserver", 80),
        "subprotocols": ["superchat", "chat", "v2"],
        "extensions": {"websocket.http.response": {}},
    }
    assert all(type(subprotocol) is str for subprotocol in scope["subprotocols"])
    assert (b"sec-websocket-key", KEY.encode()) in headers
    assert (b"sec-websocket-protocol", b"superchat, chat ,,v2") in headers


_OF_THE_REQUEST: ContextVar[str] = ContextVar("of_the_request")


@pytest.mark.requirement("A-150")
def test_state_and_context_are_those_of_any_request(backend):
    heard = Heard()

    async def startup(state):
        state["pool"] = heard

    async def serve(scope, receive, send):
        heard.note((scope["state"], _OF_THE_REQUEST.get()))
        scope["state"]["own"] = True
        _OF_THE_REQUEST.set("changed by the application")
        await no_thanks(scope, receive, send)

    app = LivingApp(startup=startup, request=serve)
    with hosted(app, event_loop=backend.name) as adapter:

        def middleware(environ, start_response):
            _OF_THE_REQUEST.set("of the server's thread")
            return adapter(environ, start_response)

        for _ in range(2):
            with Visit(middleware) as visit:
                assert visit.read_head().status == 403
            state, found = heard.next()
            assert state["pool"] is heard
            assert "own" in state  # it is the application's own copy, and it is the same dict that it has changed
            assert found == "of the server's thread"
    assert app.events.count("startup") == 1
    assert len(app.loops) == 1


# ---- Accepting ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-129")
def test_nothing_is_sent_or_read_before_the_application_answers(backend):
    heard = Heard()
    hold = Hold("before the accept")

    async def app(scope, receive, send):
        heard.note(await receive())
        await hold.stop_here_on_loop()
        await send(ACCEPT)
        heard.note(await receive())

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        try:
            hold.reached.wait()
            visit.send(TEXT, b"too early, and there all the same")
            assert visit.is_quiet
            assert not visit.is_call_over
            assert visit.starts == []
        finally:
            hold.release()

        visit.opened()
        assert heard.next() == {"type": "websocket.connect"}
        event = heard.next()
        assert (event["type"], event["text"]) == ("websocket.receive", "too early, and there all the same")


@pytest.mark.requirement("A-129")
def test_connect_comes_once_and_the_next_receive_waits_for_the_client(backend):
    heard = Heard()

    async def app(scope, receive, send):
        async def listen():
            for _ in range(2):
                heard.note((await receive())["type"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await anyio.lowlevel.checkpoint()
            await send(ACCEPT)

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        visit.opened()
        assert heard.next() == "websocket.connect"
        assert heard.is_empty
        visit.send(TEXT, b"hello")
        assert heard.next() == "websocket.receive"


@pytest.mark.requirement("A-130", "A-132", "S-023")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_the_answer_is_that_of_the_rfc_with_the_fields_of_the_application_in_order(backend, is_tcp):
    async def app(scope, receive, send):
        headers = [(b"set-cookie", b"a=1"), (b"x-second", b"2"), (b"set-cookie", b"b=2")]
        await send({**ACCEPT, "subprotocol": "chat", "headers": headers})

    fields = [*handshake_fields(), ("Sec-WebSocket-Protocol", "superchat, chat")]
    with hosted(app, event_loop=backend.name, lifespan="off") as adapter:
        with Visit(adapter, is_tcp=is_tcp, fields=fields) as visit:
            head = visit.read_head()

    assert (head.status, head.reason) == (101, "Switching Protocols")
    fields = [(name.lower(), value) for name, value in head.fields]
    assert sorted(fields[:4]) == [
        ("connection", "Upgrade"),
        ("sec-websocket-accept", ACCEPT_VALUE),
        ("sec-websocket-protocol", "chat"),
        ("upgrade", "websocket"),
    ]
    assert fields[4:] == [("set-cookie", "a=1"), ("x-second", "2"), ("set-cookie", "b=2")]


@pytest.mark.requirement("A-130", "A-131")
@pytest.mark.parametrize(
    "subprotocol", [pytest.param({}, id="left out"), pytest.param({"subprotocol": None}, id="none")]
)
def test_no_subprotocol_is_announced_that_the_application_has_not_chosen(subprotocol):
    async def app(scope, receive, send):
        await send({**ACCEPT, **subprotocol})

    fields = [*handshake_fields(), ("Sec-WebSocket-Protocol", "chat")]
    with hosted(app, lifespan="off") as adapter, Visit(adapter, fields=fields) as visit:
        assert visit.read_head().all("sec-websocket-protocol") == []


@pytest.mark.requirement("A-131")
@pytest.mark.parametrize(
    "accept",
    [
        pytest.param({"subprotocol": "other"}, id="a subprotocol that was not offered"),
        pytest.param({"subprotocol": "CHAT"}, id="a subprotocol in another case"),
        pytest.param({"subprotocol": b"chat"}, id="a subprotocol in bytes"),
        pytest.param({"headers": [(b"sec-websocket-protocol", b"chat")]}, id="the subprotocol as a header"),
        pytest.param({"headers": [(b":status", b"101")]}, id="a pseudo field"),
        pytest.param({"headers": [(b"upgrade", b"websocket")]}, id="the upgrade"),
        pytest.param({"headers": [(b"connection", b"close")]}, id="the connection"),
        pytest.param({"headers": [(b"sec-websocket-accept", b"x")]}, id="the accept"),
        pytest.param({"headers": [(b"sec-websocket-extensions", b"permessage-deflate")]}, id="extensions"),
        pytest.param({"headers": [(b"x-a", b"1\r\nx-b: 2")]}, id="a line too many"),
        pytest.param({"headers": [("x-a", "1")]}, id="headers that are str"),
    ],
)
def test_a_wrong_accept_raises_and_a_right_one_may_follow(accept):
    heard = Heard()

    async def app(scope, receive, send):
        try:
            await send({**ACCEPT, **accept})
        except Exception as error:
            heard.note(error)
        await send({**ACCEPT, "subprotocol": "chat"})

    fields = [*handshake_fields(), ("Sec-WebSocket-Protocol", "chat")]
    with hosted(app, lifespan="off") as adapter, Visit(adapter, fields=fields) as visit:
        assert isinstance(heard.next(), ApplicationError)
        head = visit.read_head()
        assert head.status == 101
        assert head.all("sec-websocket-protocol") == ["chat"]
        assert not head.all("x-a")


@pytest.mark.requirement("A-132")
def test_no_extension_is_announced_though_the_client_offers_one_and_its_bit_is_an_error():
    heard = Heard()
    fields = [*handshake_fields(), ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
    with hosted(listening(heard), lifespan="off") as adapter, Visit(adapter, fields=fields) as visit:
        assert visit.read_head().all("sec-websocket-extensions") == []
        visit.send(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00", rsv=4)
        assert visit.read_close()[0] == 1002
        assert heard.next()["code"] == 1002


@pytest.mark.requirement("S-022", "S-023", "A-145")
def test_the_servers_thread_is_free_as_soon_as_the_connection_is_open_and_nothing_of_it_reaches_the_client(backend):
    with hosted(echoing(), event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        visit.opened().finish_call()  # whose thread writes a 500, and closes
        assert isinstance(visit.error, ConnectionResetError)
        assert visit.starts == [("101 Switching Protocols", [])]

        visit.send(TEXT, b"still here")
        assert visit.read().payload == b"still here"
        assert visit.is_quiet


# ---- Accepts that go wrong ------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-129", "A-139")
@pytest.mark.parametrize("is_tcp", [False, True], ids=["unix", "tcp"])
def test_a_client_that_has_left_before_the_accept_is_lost_to_the_application(backend, is_tcp):
    heard = Heard()
    hold = Hold("before the accept")

    async def app(scope, receive, send):
        await receive()
        await hold.stop_here_on_loop()
        with suppress(OSError):
            await send(ACCEPT)
        heard.note(await receive())
        for _ in range(2):  # the first may be lost on the way
            try:
                await send({"type": "websocket.send", "text": "anybody?"})
            except OSError as error:
                heard.note(error)

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter:
        with Visit(adapter, is_tcp=is_tcp) as visit:
            try:
                hold.reached.wait()
                visit.client.close()
            finally:
                hold.release()
            visit.finish_call()
            assert heard.next() == disconnect(1006)
            assert isinstance(heard.next(), ClientDisconnected)


@pytest.mark.requirement("A-141")
def test_when_the_connection_cannot_be_taken_over_the_client_has_left_for_the_application_too(backend):
    heard = Heard()
    hold = Hold("before the accept")

    async def app(scope, receive, send):
        await receive()
        await hold.stop_here_on_loop()
        for message in (ACCEPT, {"type": "websocket.send", "text": "?"}, {"type": "websocket.close"}):
            try:
                await send(message)
            except Exception as error:
                heard.note(error)
        heard.note(await receive())

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        try:
            hold.reached.wait()
            visit.server.close()  # as a server does that gives a connection up
        finally:
            hold.release()
        for _ in range(3):
            assert isinstance(heard.next(), ClientDisconnected)
        assert heard.next() == disconnect(1006)


@pytest.mark.requirement("A-142", "S-022")
@pytest.mark.parametrize("is_relayed", [False, True], ids=["taken over", "relayed"])
def test_an_accept_that_is_cancelled_while_the_connection_is_taken_leaves_nothing_open(
    backend, is_relayed, monkeypatch
):
    monkeypatch.setattr(connections, "_CAN_REPLACE", not is_relayed)
    hold = Hold("taking over")
    heard = Heard()
    take = connections.Connection.take

    def take_slowly(self):
        own = take(self)
        hold.stop_here()
        return own

    monkeypatch.setattr(connections.Connection, "take", take_slowly)

    async def app(scope, receive, send):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, ACCEPT)
            await hold.reached.wait_on_loop()
            tasks.cancel_scope.cancel()
        heard.note("cancelled")

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        try:
            assert heard.next() == "cancelled"
        finally:
            hold.release()
        assert isinstance(visit.finish_call().error, BridgeError)
        assert b" 101 " not in visit.read_rest()
        until(lambda: adapter.statistics().websockets == 0)


@pytest.mark.requirement("S-023")
def test_a_loop_that_is_busy_in_the_middle_of_an_accept_does_not_make_the_client_look_gone(caplog):
    """The server's end of a connection that was taken over looks like one whose client has left."""
    caplog.set_level(logging.INFO, logger="bridge.asgi_to_wsgi")

    async def app(scope, receive, send):
        await receive()
        asyncio.get_running_loop().call_soon(time.sleep, 0.6)  # two looks of the request thread
        await send(ACCEPT)
        await receive()

    with hosted(app, event_loop="asyncio", lifespan="off") as adapter, Visit(adapter) as visit:
        visit.opened().finish_call()
        assert visit.starts == [("101 Switching Protocols", [])]
    assert "aborted" not in caplog.text


@pytest.mark.requirement("A-136")
def test_a_message_that_is_sent_while_the_accept_is_under_way_follows_it(backend):
    async def app(scope, receive, send):
        await receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, ACCEPT)
            await anyio.lowlevel.checkpoint()
            tasks.start_soon(send, {"type": "websocket.send", "text": "hello"})

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        assert visit.opened().read().payload == b"hello"
        assert visit.read_close() == (1000, "")


# ---- Refusing -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-133", "A-147")
@pytest.mark.parametrize("close", [{}, {"code": 4000, "reason": "no"}], ids=["plain", "with a code"])
def test_a_close_before_the_accept_is_a_403_and_then_the_disconnect_comes(backend, close):
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "websocket.close", **close})
        for _ in range(2):
            heard.note(await receive())

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        head = visit.read_head()
        assert head.status == 403
        assert head.all("content-length") == ["0"]
        assert visit.read_rest() == b""
        assert visit.finish_call().error is None
        assert [status for status, _ in visit.starts] == ["403 Forbidden"]
        assert [heard.next(), heard.next()] == [disconnect(1006)] * 2


@pytest.mark.requirement("A-134")
def test_a_denial_is_a_response_of_the_application_and_then_the_disconnect_comes(backend):
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        headers = [(b"www-authenticate", b"Basic"), (b"x-a", b"1"), (b"x-a", b"2")]
        await send({"type": DENIAL_START, "status": 401, "headers": headers})
        await send({"type": DENIAL_BODY, "body": b"who ", "more_body": True})
        await send({"type": DENIAL_BODY, "body": b"are you?"})
        heard.note(await receive())

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        head = visit.read_head()
        assert (head.status, head.all("x-a")) == (401, ["1", "2"])
        assert visit.read_rest() == b"who are you?"
        assert visit.finish_call().error is None
        assert heard.next() == disconnect(1006)


@pytest.mark.requirement("A-134")
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param([], {"type": DENIAL_BODY, "body": b"x"}, id="a body first"),
        pytest.param([{"type": DENIAL_START, "status": 401}], ACCEPT, id="an accept after the start"),
        pytest.param(
            [{"type": DENIAL_START, "status": 401}], {"type": "websocket.close"}, id="a close after the start"
        ),
        pytest.param(
            [{"type": DENIAL_START, "status": 401}], {"type": DENIAL_START, "status": 401}, id="a second start"
        ),
        pytest.param([], {"type": DENIAL_START, "status": "401"}, id="a status that is text"),
        pytest.param([], {"type": DENIAL_START, "status": 101}, id="an interim status"),
        pytest.param([], {"type": "http.response.start", "status": 401}, id="a response by its ordinary name"),
        pytest.param([ACCEPT], {"type": DENIAL_START, "status": 401}, id="a denial after the accept"),
    ],
)
def test_a_denial_keeps_to_the_order_and_to_the_rules_of_http(right, wrong):
    heard = Heard()

    async def app(scope, receive, send):
        await receive()
        for message in right:
            await send(message)
        try:
            await send(wrong)
        except Exception as error:
            heard.note(error)
            raise

    with hosted(app, lifespan="off") as adapter, Visit(adapter) as visit:
        assert isinstance(heard.next(), ApplicationError)
        assert visit.read_head().status == (101 if ACCEPT in right else 500)


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize("how", ["returns", "raises"])
def test_an_application_that_ends_without_an_answer_is_a_500(backend, how):
    async def app(scope, receive, send):
        await receive()
        if how == "raises":
            raise LookupError("no such room")

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter, Visit(adapter) as visit:
        assert visit.read_head().status == 500
        assert isinstance(visit.finish_call().error, LookupError if how == "raises" else ApplicationError)
        assert visit.starts == []
        until(lambda: adapter.statistics().websockets == 0)


@pytest.mark.requirement("A-142")
def test_an_application_that_fails_without_an_answer_may_be_answered_here():
    async def app(scope, receive, send):
        raise LookupError("no such room")

    with hosted(app, lifespan="off", on_error="respond") as adapter, Visit(adapter) as visit:
        assert visit.read_head().status == 500
        assert visit.finish_call().error is None


@pytest.mark.requirement("A-129")
def test_each_of_several_connections_has_its_own_application(backend):
    heard = Heard()
    serve = accepting(lambda receive, send: send({"type": "websocket.send", "text": "hello"}))

    async def app(scope, receive, send):
        heard.note(scope["path"])
        await serve(scope, receive, send)

    with hosted(app, event_loop=backend.name, lifespan="off") as adapter:
        for number in range(3):
            with Visit(adapter, PATH_INFO=f"/{number}") as visit:
                assert visit.opened().read().payload == b"hello"
                assert heard.next() == f"/{number}"
