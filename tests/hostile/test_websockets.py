"""Handshakes that pretend, and applications that would split the answer to one: both directions, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from bridge import ApplicationError
from tests.gateway import hosted
from tests.integration.raw_websocket import KEY, handshake_fields
from tests.websocket.driver import DENIAL, Socket, converse, make_scope, using
from tests.websocket.gateway import Heard, Visit

INJECTIONS = ["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\x7f"]
each_injection = pytest.mark.parametrize("injection", INJECTIONS, ids=ascii)


class Denying:
    """A WSGI application that keeps the environ of its handshake, and refuses it."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.environ = dict(environ)
        start_response("403 Forbidden", [("Content-Length", "0")])
        return []


def asked(headers: list[tuple[bytes, bytes]], **scope: Any) -> dict[str, Any] | int:
    """Make a handshake with a WSGI application; return its environ, or the status of a refusal."""
    app = Denying()
    socket = converse(app, socket=Socket(make_scope(headers=headers, **DENIAL, **scope)))
    assert socket.error is None
    assert socket.denial is not None
    return app.environ or socket.denial[0]


# ---- To a WSGI application ------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-001", "W-013", "W-044")
@pytest.mark.parametrize(
    ("headers", "variable", "expected"),
    [
        pytest.param([(b"Upgrade", b"h2c")], "HTTP_UPGRADE", "websocket", id="another upgrade"),
        pytest.param([(b"connection", b"close")], "HTTP_CONNECTION", "Upgrade", id="another connection"),
        pytest.param([(b"sec-websocket-version", b"8")], "HTTP_SEC_WEBSOCKET_VERSION", "13", id="another version"),
        pytest.param([(b"Sec_WebSocket_Key", b"x")], "HTTP_SEC_WEBSOCKET_KEY", KEY, id="a key with underscores"),
        pytest.param([(b"sec-websocket-extensions", b"x")], "HTTP_SEC_WEBSOCKET_EXTENSIONS", None, id="extensions"),
        pytest.param(
            [(b"sec-websocket-protocol", b"x")], "HTTP_SEC_WEBSOCKET_PROTOCOL", None, id="subprotocols of the field"
        ),
        pytest.param([(b"content-length", b"+5")], "CONTENT_LENGTH", None, id="a length"),
        pytest.param([(b"transfer-encoding", b"chunked")], "HTTP_TRANSFER_ENCODING", None, id="a coding"),
        pytest.param([(b"expect", b"100-continue")], "HTTP_EXPECT", None, id="an expectation"),
        pytest.param([(b":protocol", b"websocket")], "HTTP_:PROTOCOL", None, id="a pseudo field"),
        pytest.param([(b"X_User", b"root"), (b"x-user", b"joe")], "HTTP_X_USER", "joe", id="underscore twins"),
        pytest.param(
            [(b"origin", b"http://a"), (b"origin", b"http://b")], "HTTP_ORIGIN", "http://a, http://b", id="two origins"
        ),
    ],
)
def test_the_fields_of_the_outer_leg_do_not_reach_the_inner_one(
    headers: list[tuple[bytes, bytes]], variable: str, expected: str | None
) -> None:
    environ = asked(headers)

    assert isinstance(environ, dict)
    assert environ.get(variable) == expected


@pytest.mark.requirement("S-001", "W-024", "W-046", "W-054", "W-138")
@pytest.mark.parametrize(
    ("headers", "scope"),
    [
        pytest.param([(b"x-a", b"a\r\n b")], {}, id="a folded line"),
        pytest.param([(b"origin", b"http://a\0")], {}, id="NUL"),
        pytest.param([(b"sec-websocket-key", b"x\ny: z")], {}, id="a split key"),
        pytest.param([(b"host", b"evil")], {}, id="two hosts"),
        pytest.param([], {"subprotocols": ["chat", "a\r\nX: 1"]}, id="a split subprotocol"),
        pytest.param([], {"subprotocols": ["a, b"]}, id="two subprotocols in one"),
        pytest.param([], {"subprotocols": [""]}, id="an empty subprotocol"),
        pytest.param([], {"subprotocols": ["caf\xe9"]}, id="a subprotocol beyond ASCII"),
        pytest.param([], {"root_path": "/\ud800"}, id="a lone surrogate"),
    ],
)
def test_a_handshake_that_cannot_be_said_is_refused(headers: list[tuple[bytes, bytes]], scope: dict[str, Any]) -> None:
    assert asked(headers, **scope) == 400


@pytest.mark.requirement("S-001", "W-138")
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param([b"caf\xe9"], id="an octet that is no ASCII"),
        pytest.param([b""], id="nothing"),
        pytest.param([b"a b"], id="a space"),
        pytest.param([KEY.encode(), KEY.encode()], id="two that agree"),
        pytest.param([KEY.encode(), b"AAAAAAAAAAAAAAAAAAAAAA=="], id="two that do not"),
    ],
)
def test_a_key_that_both_ends_could_read_differently_is_refused(keys: list[bytes]) -> None:
    """Some servers let them through; the library that answers the handshake would read another than the bridge."""
    scope = make_scope(**DENIAL)
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"sec-websocket-key"]
    scope["headers"] += [(b"Sec-WebSocket-Key", key) for key in keys]
    app = Denying()

    socket = converse(app, socket=Socket(scope))

    assert app.environ == {}
    assert socket.denial is not None
    assert socket.denial[0] == 400


@pytest.mark.requirement("S-001")
def test_the_key_of_a_test_client_is_passed_on() -> None:
    scope = make_scope(**DENIAL)
    scope["headers"] = [(b"host", b"testserver"), (b"sec-websocket-key", b"testserver==")]
    app = Denying()

    converse(app, socket=Socket(scope))

    assert app.environ["HTTP_SEC_WEBSOCKET_KEY"] == "testserver=="


@pytest.mark.requirement("S-004", "W-096")
@each_injection
def test_a_wsgi_application_cannot_split_the_answer_to_a_handshake(injection: str) -> None:
    app = using(lambda ws: ws.accept(headers=[("X-A", f"1{injection}X-B: 2")]))

    socket = converse(app, socket=Socket(make_scope()))

    assert isinstance(app.raised, ApplicationError)
    assert "accept" not in socket.types


@pytest.mark.requirement("S-004")
@pytest.mark.parametrize("subprotocol", ["other", "chat\r\nX-B: 2", "chat, other", "CHAT", ""], ids=ascii)
def test_a_wsgi_application_cannot_choose_what_was_not_offered(subprotocol: str) -> None:
    app = using(lambda ws: ws.accept(subprotocol=subprotocol))

    socket = converse(app, socket=Socket(make_scope(subprotocols=["chat"])))

    assert isinstance(app.raised, ApplicationError)
    assert "accept" not in socket.types


# ---- To an ASGI application -----------------------------------------------------------------------------------------


async def uncalled(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the application was called")


@pytest.mark.requirement("A-127", "A-131")
@pytest.mark.parametrize(
    ("fields", "more", "status"),
    [
        pytest.param({"sec_websocket_version": "13, 8"}, {}, 426, id="two versions"),
        pytest.param({"sec_websocket_version": "+13"}, {}, 426, id="a version with a sign"),
        pytest.param({"sec_websocket_version": "\u0661\u0663"}, {}, 426, id="a version in other digits"),
        pytest.param({"sec_websocket_version": None}, {}, 426, id="no version"),
        pytest.param({"sec_websocket_key": None}, {}, 400, id="no key"),
        pytest.param({"sec_websocket_key": f"{KEY}, {KEY}"}, {}, 400, id="two keys"),
        pytest.param({"sec_websocket_key": KEY + "\r\nX: 1"}, {}, 400, id="a split key"),
        pytest.param({"sec_websocket_key": KEY + "\n"}, {}, 400, id="a key and a line feed"),
        pytest.param({"sec_websocket_key": KEY[:-2]}, {}, 400, id="a key without padding"),
        pytest.param({"sec_websocket_key": KEY[:-3] + "==="}, {}, 400, id="a key with more of it"),
        pytest.param({"sec_websocket_key": KEY.replace("d", "\xe9")}, {}, 400, id="a key beyond ASCII"),
        pytest.param({"sec_websocket_protocol": "chat\r\nX: 1"}, {}, 400, id="a split subprotocol"),
        pytest.param({"sec_websocket_protocol": "a b"}, {}, 400, id="a subprotocol with a space"),
        pytest.param({"sec_websocket_protocol": "chat, chat"}, {}, 400, id="a subprotocol twice"),
        pytest.param({"x_a": "a\r\n b"}, {}, 400, id="a folded line"),
        pytest.param({"x_a": "a\0"}, {}, 400, id="NUL"),
        pytest.param({}, {"CONTENT_LENGTH": "5"}, 400, id="a body"),
        pytest.param({}, {"CONTENT_LENGTH": "+0"}, 400, id="a length with a sign"),
        pytest.param({}, {"HTTP_TRANSFER_ENCODING": "chunked"}, 400, id="a coded body"),
    ],
)
def test_a_handshake_that_is_wrong_in_its_details_is_refused(
    fields: dict[str, str | None], more: dict[str, Any], status: int
) -> None:
    with hosted(uncalled, lifespan="off") as adapter:
        with Visit(adapter, fields=handshake_fields(**fields), **more) as visit:
            assert visit.read_head().status == status


def accepting_with(heard: Heard, **message: Any) -> Any:
    """Return an ASGI application that accepts so, and tells what came of it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            await send({"type": "websocket.accept", **message})
        except ApplicationError as error:
            heard.note(error)
        await send({"type": "websocket.close"})

    return app


@pytest.mark.requirement("A-130", "A-131")
@pytest.mark.parametrize(
    "message",
    [
        *[
            pytest.param({"headers": [(b"x-a", b"1" + injection.encode() + b"x-b: 2")]}, id=ascii(injection))
            for injection in INJECTIONS
        ],
        pytest.param({"headers": [(b"x-a: 1\r\nx-b", b"2")]}, id="a split name"),
        pytest.param({"headers": [(b"Sec-WebSocket-Accept", b"x")]}, id="the proof"),
        pytest.param({"headers": [(b"content-length", b"5")]}, id="a length"),
        pytest.param({"headers": [(b"transfer-encoding", b"chunked")]}, id="a coding"),
        pytest.param({"subprotocol": "chat\r\nX-B: 2"}, id="a split subprotocol"),
        pytest.param({"subprotocol": "other"}, id="a subprotocol that was not offered"),
    ],
)
def test_an_asgi_application_cannot_split_the_answer_to_a_handshake(message: dict[str, Any]) -> None:
    heard = Heard()
    fields = handshake_fields(sec_websocket_protocol="chat")
    with hosted(accepting_with(heard, **message), lifespan="off") as adapter:
        with Visit(adapter, fields=fields) as visit:
            head = visit.read_head()
            rest = visit.read_rest()

    assert isinstance(heard.next(), ApplicationError)
    assert head.status == 403
    assert not any("x-b" in name.lower() for name, _ in head.fields)
    assert b"101" not in rest
