"""Live, ASGI applications with WebSockets on WSGI servers: messages, handshakes, many at once, compression."""

from __future__ import annotations

import contextlib
import json
import select
from collections.abc import Iterator

import pytest

from tests.integration.raw import Connection, fetch
from tests.integration.raw_websocket import (
    ACCEPT,
    BINARY,
    CONT,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    handshake_fields,
)
from tests.integration.websocket_asgi_apps import CHORUS
from tests.integration.websocket_asgi_servers import (
    SOCKET_SERVERS,
    SYNC,
    WAIT_S,
    ask,
    dial,
    ending_of,
    hosting,
    shared_host,
    wait_until,
)
from tests.integration.wsgi_servers import APACHE, GRANIAN, WAITRESS, Hosted, WSGIServerKind, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_MIB = 1024 * 1024


@pytest.fixture(scope="session", params=SOCKET_SERVERS, ids=str)
def host(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """A running server of each kind whose connections can be taken over."""
    with shared_host(request.param) as started:
        yield started


# ---- Messages -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-135", "A-136", "S-020", "S-022")
def test_messages_come_back_as_they_were(host: Hosted) -> None:
    messages = ["text", "", "grün \U0001f600", b"octets", b"", bytes(range(256)), "t" * _MIB, b"b" * _MIB]

    with dial(host, "/echo") as socket:
        came = []
        for message in messages:
            socket.send(message)
            came.append(socket.recv(timeout=WAIT_S))

    assert came == messages


@pytest.mark.requirement("A-144")
def test_messages_that_are_sent_without_waiting_come_back_in_order(host: Hosted) -> None:
    messages = [f"{number} " * number for number in range(200)]

    with dial(host, "/echo") as socket:
        for message in messages:
            socket.send(message)
        came = [socket.recv(timeout=WAIT_S) for _ in messages]

    assert came == messages


@pytest.mark.requirement("A-144")
def test_what_several_tasks_send_at_the_same_time_is_not_mixed(host: Hosted) -> None:
    with dial(host, "/chorus") as socket:
        came = [socket.recv(timeout=WAIT_S) for _ in range(20 * len(CHORUS))]

    lengths = {letter: [len(text) for text in came if text and not text.strip(letter)] for letter in CHORUS}
    assert lengths == {letter: [number * 5000 for number in range(1, 20)] for letter in CHORUS}


@pytest.mark.requirement("A-135", "A-137", "A-138")
def test_a_ping_between_fragments_is_answered_and_the_message_is_whole(host: Hosted) -> None:
    with RawSocket(host.server, "/echo") as socket:
        socket.send(TEXT, "gr\xfc".encode()[:3], is_final=False)
        socket.send(PING, b"are you there?")
        socket.send(CONT, "gr\xfc".encode()[3:], is_final=False)
        socket.send(CONT, b"n")
        socket.send(PONG, b"unasked")
        socket.send(BINARY, b"next")

        assert socket.read() == Frame(PONG, b"are you there?")
        assert socket.read() == Frame(TEXT, "gr\xfcn".encode())
        assert socket.read() == Frame(BINARY, b"next")


# ---- Handshakes -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-130", "A-131", "A-132")
def test_the_handshake_is_answered_with_what_the_application_gives(host: Hosted) -> None:
    fields = handshake_fields(
        sec_websocket_protocol="chat, superchat", sec_websocket_extensions="permessage-deflate; client_max_window_bits"
    )
    with RawSocket(host.server, "/choose?choose=superchat", fields) as socket:
        response = socket.response

    assert (response.status, response.interim) == (101, [])
    assert response.all("upgrade") == ["websocket"]
    assert [value.lower() for value in response.all("connection")] == ["upgrade"]
    assert response.all("sec-websocket-accept") == [ACCEPT]
    assert response.all("sec-websocket-protocol") == ["superchat"]
    assert response.all("sec-websocket-extensions") == []
    own = [(name, value) for name, value in response.headers if name in ("x-first", "set-cookie", "x-last")]
    assert own == [("x-first", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2; Path=/"), ("x-last", "\xe9")]
    assert {"content-length", "transfer-encoding"}.isdisjoint(name for name, _ in response.headers)


@pytest.mark.requirement("A-131")
def test_no_subprotocol_is_chosen_for_the_application(host: Hosted) -> None:
    with dial(host, "/echo", subprotocols=["chat", "superchat"]) as socket:
        assert socket.subprotocol is None


@pytest.mark.requirement("A-128", "A-150", "S-021")
def test_the_scope_tells_what_the_handshake_said(host: Hosted) -> None:
    fields = {"Cookie": "a=1", "X-Own": "own"}
    with dial(
        host, "/few/probe?x=%41&y=", subprotocols=["b", "a"], additional_headers=fields, origin="http://o.example"
    ) as socket:
        scope = json.loads(socket.recv(timeout=WAIT_S))

    headers = dict(scope["headers"])
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws"
    assert scope["http_version"] == "1.1"
    assert scope["asgi"]["version"] == "3.0"
    assert (scope["root_path"], scope["path"], scope["query_string"]) == ("/few", "/few/probe", "x=%41&y=")
    assert scope["subprotocols"] == ["b", "a"]
    assert scope["extensions"]["websocket.http.response"] == {}
    assert "method" not in scope
    assert (headers["cookie"], headers["x-own"], headers["origin"]) == ("a=1", "own", "http://o.example")
    assert headers["upgrade"].lower() == "websocket"
    assert scope["server"][1] == host.server.port
    assert scope["client"][0] == "127.0.0.1"


@pytest.mark.requirement("A-129")
def test_nothing_is_sent_before_the_application_accepts(host: Hosted) -> None:
    mark = new_mark()
    with Connection(host.server) as connection:
        connection.send_head("GET", f"/gated?id={mark}", handshake_fields())
        host.wait_for("asked", mark)
        early, _, _ = select.select([connection._socket], [], [], 0.05)
        host.open_gate(mark)
        head = connection.read_head()

    assert early == []
    assert head.status == 101


@pytest.mark.requirement("S-022")
def test_a_handshake_may_come_on_a_connection_that_had_other_requests(host: Hosted) -> None:
    if not host.kind.keeps_alive:
        pytest.skip("each connection has one request")

    with Connection(host.server) as connection:
        for _ in range(2):
            assert connection.request("GET", "/hello").body == b"hello\n"
        with RawSocket(host.server, "/echo", connection=connection) as socket:
            for number in range(3):
                socket.send(TEXT, b"%d" % number)
                assert socket.read() == Frame(TEXT, b"%d" % number)
            assert host.is_well()
            socket.send(TEXT, b"still there")
            assert socket.read() == Frame(TEXT, b"still there")


@pytest.mark.requirement("A-133")
def test_a_close_before_accept_is_a_403(host: Hosted) -> None:
    mark = new_mark()
    response = ask(host, f"/refuse?id={mark}")

    assert response.status == 403
    assert host.wait_for("disconnect", mark)["code"] == 1006
    assert host.is_well()


@pytest.mark.requirement("A-128", "A-134")
def test_a_denial_is_the_response_of_the_application(host: Hosted) -> None:
    mark = new_mark()
    response = ask(host, f"/deny?id={mark}")

    assert (response.status, response.body) == (401, b"who are you?\n")
    assert response.all("www-authenticate") == ["Basic"]
    assert response.all("x-a") == ["1", "2"]
    assert response.header("upgrade") is None
    assert host.wait_for("disconnect", mark)["code"] == 1006
    assert host.is_well()


# ---- Many at once ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-022")
def test_open_sockets_hold_no_worker(host: Hosted) -> None:
    count = 100 if host.kind is SYNC else 12
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(RawSocket(host.server, "/echo")) for _ in range(count)]

        assert host.is_well()
        for number, socket in enumerate(sockets):
            socket.send(TEXT, b"%d" % number)
        assert [socket.read() for socket in sockets] == [Frame(TEXT, b"%d" % number) for number in range(count)]


@pytest.mark.requirement("S-026")
def test_a_socket_beyond_the_limit_is_a_503(host: Hosted) -> None:
    with RawSocket(host.server, "/few/echo"), RawSocket(host.server, "/few/echo"):
        response = ask(host, "/few/echo")
        assert response.status == 503
        assert response.header("retry-after") is not None
        assert host.is_well()

    def is_free() -> bool:
        try:
            RawSocket(host.server, "/few/echo").connection.close()
        except AssertionError:
            return False
        return True

    wait_until(is_free, "a place is free")


@pytest.mark.requirement("S-024", "S-028", "A-150")
def test_sockets_requests_and_the_lifespan_share_one_loop_with_a_thread_of_its_own(host: Hosted) -> None:
    wheres = []
    for _ in range(2):
        with dial(host, "/probe") as socket:
            scope = json.loads(socket.recv(timeout=WAIT_S))
            assert scope["state"]["greeting"] == "hello"
            assert scope["state"]["loop"] == scope["where"]["loop"]
            wheres.append(scope["where"])

    assert wheres[0] == wheres[1] == fetch(host.server, "GET", "/where").json()
    assert wheres[0]["thread"] != wheres[0]["pid"]  # that is the number of the main thread


@pytest.mark.requirement("S-024")
def test_what_one_says_all_hear(host: Hosted) -> None:
    with dial(host, "/room") as one, dial(host, "/room") as two:
        assert [one.recv(timeout=WAIT_S), two.recv(timeout=WAIT_S)] == ["welcome", "welcome"]

        one.send("one")
        assert [one.recv(timeout=WAIT_S), two.recv(timeout=WAIT_S)] == ["one", "one"]
        two.send("two")
        assert [one.recv(timeout=WAIT_S), two.recv(timeout=WAIT_S)] == ["two", "two"]
        assert fetch(host.server, "GET", "/tell?text=all").status == 200
        assert [one.recv(timeout=WAIT_S), two.recv(timeout=WAIT_S)] == ["all", "all"]


# ---- Compression ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-132", "S-026")
def test_messages_are_compressed_where_both_ends_want_it(host: Hosted) -> None:
    with dial(host, "/packed/echo", compression="deflate") as socket:
        assert [extension.name for extension in socket.protocol.extensions] == ["permessage-deflate"]
        for message in ("text" * 1000, b"octets" * 1000, ""):
            socket.send(message)
            assert socket.recv(timeout=WAIT_S) == message

    with dial(host, "/packed/echo") as socket:
        assert socket.protocol.extensions == []
        socket.send("plain")
        assert socket.recv(timeout=WAIT_S) == "plain"


@pytest.mark.requirement("S-026")
def test_a_small_frame_that_would_be_large_when_inflated_is_refused(host: Hosted) -> None:
    with dial(host, "/packed/echo", compression="deflate") as socket:
        assert socket.protocol.extensions != []
        socket.send(bytes(2 * _MIB))

        assert ending_of(socket)[0] == 1009


# ---- Servers without sockets ----------------------------------------------------------------------------------------


@pytest.mark.requirement("A-125")
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        pytest.param(WAITRESS, 501, id="waitress"),
        pytest.param(APACHE, 501, id="mod_wsgi"),
        # Not known to be without: the upgrade is ignored.
        pytest.param(GRANIAN, 200, id="granian"),
    ],
)
def test_a_server_that_offers_no_connection_says_so_or_serves_plain_http(kind: WSGIServerKind, status: int) -> None:
    with hosting(kind) as host:
        response = ask(host, "/echo")

        assert response.status == status
        assert response.body == b"plain HTTP\n" or b"WebSockets cannot be served here" in response.body
        assert host.is_well()
        assert "Traceback" not in host.server.log()
