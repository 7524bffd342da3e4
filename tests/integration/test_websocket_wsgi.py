"""Live: WSGI applications with WebSockets, by the libraries people use, on every ASGI server."""

from __future__ import annotations

import contextlib
import json
from itertools import count
from urllib.parse import urlencode

import pytest
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Opcode

from tests.integration.raw import fetch, wait_for_counters
from tests.integration.servers import Server
from tests.integration.websocket_wsgi_driving import WAIT_S, Peculiar, RawSocket, closing_of, connected, ended

pytest_plugins = ("tests.integration.websocket_wsgi_fixtures",)
pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_ids = count(1)
# One for each library: what echoes, and what it puts before a text.
ECHOES = [
    pytest.param("/echo", "", id="gevent-websocket"),
    pytest.param("/wire_echo", "", id="simple-websocket"),
    pytest.param("/flask/echo/you", "you: ", id="flask-sock"),
    pytest.param("/bottle/echo", "", id="bottle-websocket"),
]


@pytest.mark.requirement("S-002", "S-003", "S-041")
@pytest.mark.parametrize(("target", "prefix"), ECHOES)
def test_messages_of_each_kind_are_echoed(socket_server: Server, target: str, prefix: str) -> None:
    large = "caf\u00e9 " * 170_000  # just below one MiB, where daphne says no
    with connected(socket_server, target) as client:
        for text in ("hello", "caf\u00e9 \U0001f600", large):
            client.send(text)
            assert client.recv(WAIT_S) == prefix + text
        for octets in (b"\x00\xff", bytes(range(256)) * 4096):
            client.send(octets)
            assert client.recv(WAIT_S) == octets


@pytest.mark.requirement("S-002", "S-003", "S-009")
@pytest.mark.parametrize("target", ["/echo", "/wire_echo"])
def test_empty_messages_are_messages(peculiar: Peculiar, socket_server: Server, target: str) -> None:
    with connected(socket_server, target) as client:
        client.send("")
        client.send(b"")
        client.send("the next")
        got = [client.recv(WAIT_S) for _ in range(3 if peculiar.empty else 1)]

    assert got == (["", b"", "the next"] if peculiar.empty else ["the next"])


@pytest.mark.requirement("S-001")
def test_the_environ_is_that_of_a_handshake_over_http(socket_server: Server) -> None:
    with connected(socket_server, "/introduces/caf%C3%A9?a=1", ["chat", "superchat"], origin="http://here") as client:
        environ = json.loads(client.recv(WAIT_S))

    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/introduces",
        "PATH_INFO": "/caf\u00c3\u00a9",
        "QUERY_STRING": "a=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "HTTP_ORIGIN": "http://here",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_PROTOCOL": "chat, superchat",
        "HTTP_HOST": f"{socket_server.host}:{socket_server.port}",
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert environ["HTTP_SEC_WEBSOCKET_KEY"] == client.request.headers["Sec-WebSocket-Key"]
    assert "HTTP_SEC_WEBSOCKET_EXTENSIONS" not in environ  # though the client has offered one
    assert "Sec-WebSocket-Extensions" in client.request.headers


@pytest.mark.requirement("S-002")
def test_ordinary_requests_get_no_sockets(socket_server: Server) -> None:
    names = fetch(socket_server, "GET", "/keys").json()

    assert "REQUEST_METHOD" in names
    assert not {"wsgi.websocket", "werkzeug.socket", "gunicorn.socket", "eventlet.input"} & set(names)
    assert fetch(socket_server, "GET", "/flask/page").body == b"a page of Flask"


@pytest.mark.requirement("S-004")
@pytest.mark.parametrize(
    ("target", "offered", "chosen"),
    [
        pytest.param("/wire_echo", ["chat", "superchat"], "chat", id="wire-the-first-that-is-known"),
        pytest.param("/wire_echo", ["unknown", "superchat"], "superchat", id="wire-the-second"),
        pytest.param("/wire_echo", ["unknown"], None, id="wire-none"),
        pytest.param("/introduces?subprotocol=superchat", ["chat", "superchat"], "superchat", id="native"),
        pytest.param("/introduces", ["chat", "superchat"], None, id="native-none"),
    ],
)
def test_the_application_chooses_the_subprotocol(
    socket_server: Server, target: str, offered: list[str], chosen: str | None
) -> None:
    with connected(socket_server, target, offered) as client:
        assert client.subprotocol == chosen


@pytest.mark.requirement("S-004", "S-009")
@pytest.mark.parametrize("target", ["/introduces", "/wire_odd"])
def test_cookies_of_the_handshake_arrive(peculiar: Peculiar, socket_server: Server, target: str) -> None:
    with connected(socket_server, target) as client:
        cookies = client.response.headers.get_all("Set-Cookie")

    assert cookies == (["a=1", "b=2"] if peculiar.has_accept_headers else [])


@pytest.mark.requirement("S-002")
def test_fragments_and_pings_of_the_application_end_on_the_inner_leg(socket_server: Server) -> None:
    with connected(socket_server, "/wire_odd") as client:
        assert {client.recv(WAIT_S), client.recv(WAIT_S)} == {"in three fragments: caf\u00e9", "pong mark"}


# ---- How conversations end ------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-005", "S-006", "S-009")
@pytest.mark.parametrize(
    ("payload", "code", "reason"),
    [
        pytest.param(b"\x03\xe8", 1000, "", id="1000"),
        pytest.param(b"\x03\xe9going", 1001, "going", id="1001"),
        pytest.param(b"\x0f\xa1caf\xc3\xa9", 4001, "caf\u00e9", id="4001"),
        pytest.param(b"", 1005, "", id="no-code"),
    ],
)
@pytest.mark.parametrize("target", ["/echo", "/wire_echo", "/flask/echo/you"])
def test_the_application_is_told_how_the_client_has_closed(
    peculiar: Peculiar, socket_server: Server, target: str, payload: bytes, code: int, reason: str
) -> None:
    mark = f"told-{next(_ids)}"
    with RawSocket(socket_server, f"{target}?id={mark}") as client:
        client.send_close(payload)
        assert client.read_frame()[0] == Opcode.CLOSE
    outcome = ended(socket_server, mark)

    if not peculiar.client_codes:  # 1006; to simple-websocket that is an end without a closing frame, 1005
        code = 1006 if target == "/echo" else 1005
    assert outcome["code"] == code
    assert (outcome["reason"] or "") == (reason if peculiar.client_reasons else "")


@pytest.mark.requirement("S-006", "S-009")
@pytest.mark.parametrize("target", ["/echo", "/wire_echo", "/flask/echo/you"])
def test_a_client_that_vanishes_wakes_the_application(peculiar: Peculiar, socket_server: Server, target: str) -> None:
    mark = f"vanished-{next(_ids)}"
    begin = len(socket_server.log())
    with RawSocket(socket_server, f"{target}?id={mark}") as client:
        client.send(b"are you there?")
        client.read_message()
        client.reset()

    # 1005 is what simple-websocket says of every end without a closing frame.
    assert ended(socket_server, mark)["code"] == (peculiar.lost_code if target == "/echo" else 1005)
    wait_for_counters(socket_server, lambda now: now["open"] == 0)
    assert "Traceback" not in socket_server.log()[begin:]


@pytest.mark.requirement("S-006")
def test_what_is_sent_after_the_client_has_left_is_lost_once_and_then_refused(socket_server: Server) -> None:
    mark = f"late-{next(_ids)}"
    begin = len(socket_server.log())
    with connected(socket_server, f"/late?id={mark}"):
        pass

    assert "ClientDisconnected" in ended(socket_server, mark)["error"]
    wait_for_counters(socket_server, lambda now: now["open"] == 0)
    assert "Traceback" not in socket_server.log()[begin:]


@pytest.mark.requirement("S-003", "S-006")
def test_the_exception_for_clients_that_left_is_that_of_gevent_websocket(socket_server: Server) -> None:
    mark = f"catches-{next(_ids)}"
    with connected(socket_server, f"/catches?id={mark}") as client:
        client.send("hello")

    assert "error" not in ended(socket_server, mark)


@pytest.mark.requirement("S-005")
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param(1000, "", id="1000"),
        pytest.param(1001, "moving", id="1001"),
        pytest.param(1008, "not like this", id="1008"),
        pytest.param(4999, "caf\u00e9", id="4999"),
    ],
)
@pytest.mark.parametrize("target", ["/farewell", "/flask/farewell"])
def test_code_and_reason_of_the_application_pass(
    peculiar: Peculiar, socket_server: Server, target: str, code: int, reason: str
) -> None:
    if 1000 < code < 3000 and not peculiar.reserved_codes:
        pytest.skip(f"{peculiar} cannot close with {code}")
    with connected(socket_server, f"{target}?{urlencode({'code': code, 'reason': reason})}") as client:
        client.send("go on")
        assert closing_of(client) == (code, reason if peculiar.reasons else "")


@pytest.mark.requirement("S-004", "S-005")
def test_a_closing_frame_that_the_application_writes_passes(peculiar: Peculiar, socket_server: Server) -> None:
    mark = f"odd-{next(_ids)}"
    with connected(socket_server, f"/wire_odd?id={mark}") as client:
        client.recv(WAIT_S)
        client.recv(WAIT_S)
        client.send("the reason")
        assert closing_of(client) == (4002, "the reason" if peculiar.reasons else "")

    assert ended(socket_server, mark)["code"] == 4002


@pytest.mark.requirement("S-005")
@pytest.mark.parametrize("target", ["/returns", "/flask/returns"])
def test_an_application_that_returns_closes_with_1000(socket_server: Server, target: str) -> None:
    with connected(socket_server, target) as client:
        assert client.recv(WAIT_S) == "that was all"
        assert closing_of(client)[0] == CloseCode.NORMAL_CLOSURE


# ---- Without a socket -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-004", "S-005", "S-009")
@pytest.mark.parametrize(
    ("target", "status", "text"),
    [
        pytest.param("/denies?status=403", 403, "no entry", id="403"),
        pytest.param("/denies?status=500", 500, "no entry", id="500"),
        pytest.param("/wire_denies", 401, "no entry", id="written-to-the-socket"),
        pytest.param("/flask/returns?forbidden=1", 401, "a token is missing", id="flask"),
        pytest.param("/flask/nowhere", 404, "Not Found", id="flask-404"),
        pytest.param("/bottle/secret", 401, "no entry", id="bottle"),
    ],
)
def test_an_answer_instead_of_a_socket_is_what_the_client_gets(
    peculiar: Peculiar, socket_server: Server, target: str, status: int, text: str
) -> None:
    begin = len(socket_server.log())
    with pytest.raises(InvalidStatus) as refused:
        connected(socket_server, target)

    response = refused.value.response
    assert response.status_code == (status if peculiar.has_denial else 403)
    if peculiar.has_denial:
        assert text in (response.body or b"").decode()
        assert response.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert "Traceback" not in socket_server.log()[begin:]


@pytest.mark.requirement("S-003", "S-005")
def test_a_socket_that_is_closed_before_it_was_opened_is_403(socket_server: Server) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connected(socket_server, "/refuses")

    assert refused.value.response.status_code == 403


@pytest.mark.requirement("S-003")
def test_a_chat_of_gevent_websocket_applications(socket_server: Server) -> None:
    marks = [f"room-{next(_ids)}" for _ in range(3)]
    with contextlib.ExitStack() as stack:
        clients = []
        for number, mark in enumerate(marks, 1):
            clients.append(stack.enter_context(connected(socket_server, f"/resource/room?id={mark}")))
            assert clients[-1].recv(WAIT_S) == f"members: {number}"
        for number, client in enumerate(clients):
            client.send(f"it is me, {number}")
        heard = [{client.recv(WAIT_S) for _ in clients} for client in clients]

    assert heard == [{"it is me, 0", "it is me, 1", "it is me, 2"}] * 3
    for mark in marks:
        ended(socket_server, mark)
    assert fetch(socket_server, "GET", "/resource/").body == b"a page of the resource"
