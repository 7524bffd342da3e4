"""Live, ASGI applications with WebSockets on WSGI servers: what is wrong with handshakes, frames and applications."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.raw import Connection, CutError, Response, fetch, wait_for_log
from tests.integration.raw_websocket import (
    BINARY,
    CLOSE,
    CONT,
    KEY,
    PING,
    TEXT,
    Frame,
    RawSocket,
    close_payload,
    frame,
    handshake_fields,
)
from tests.integration.websocket_asgi_apps import SMALL_BYTES
from tests.integration.websocket_asgi_servers import EVENTLET, SOCKET_SERVERS, WAIT_S, ask, dial, ending_of, shared_host
from tests.integration.wsgi_servers import Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]


@pytest.fixture(scope="session", params=SOCKET_SERVERS, ids=str)
def host(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """A running server of each kind whose connections can be taken over."""
    with shared_host(request.param) as started:
        yield started


# ---- Handshakes -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-127")
def test_another_version_is_refused_with_the_one_that_is_spoken(host: Hosted) -> None:
    response = ask(host, "/echo", sec_websocket_version="8")

    assert response.status == 426
    assert response.all("sec-websocket-version") == ["13"]
    assert response.header("sec-websocket-accept") is None
    assert host.is_well()


_NO_KEYS = {
    "none": None,
    "empty": "",
    "short": "c2hvcnQ=",
    "long": KEY + KEY,
    "not base64": "this is not base64 !!!!!",
}


@pytest.mark.requirement("A-127")
def test_a_key_that_is_none_is_a_bad_request(host: Hosted) -> None:
    responses = {name: ask(host, "/echo", sec_websocket_key=key) for name, key in _NO_KEYS.items()}

    assert {name: response.status for name, response in responses.items()} == dict.fromkeys(_NO_KEYS, 400)
    assert {response.header("sec-websocket-accept") for response in responses.values()} == {None}
    assert host.is_well()


_PLAIN: dict[str, tuple[str, str, dict[str, str | None]]] = {
    "HTTP/1.0": ("GET", "1.0", {}),
    "POST": ("POST", "1.1", {}),
    "another protocol": ("GET", "1.1", {"upgrade": "h2c"}),
    "no protocol": ("GET", "1.1", {"upgrade": None}),
    "no upgrade": ("GET", "1.1", {"connection": "close"}),
}


@pytest.mark.requirement("A-125", "A-126")
def test_what_only_looks_like_a_handshake_is_a_plain_request(host: Hosted) -> None:
    cases = dict(_PLAIN)
    if host.kind is EVENTLET:
        del cases["HTTP/1.0"]  # it says so of every request

    bodies = {
        name: fetch(
            host.server, method, "/echo", handshake_fields(**changes), b"" if method == "POST" else None, version
        ).body
        for name, (method, version, changes) in cases.items()
    }

    assert bodies == dict.fromkeys(cases, b"plain HTTP\n")


@pytest.mark.requirement("A-126")
def test_the_tokens_of_a_handshake_may_be_in_any_case_and_in_lists(host: Hosted) -> None:
    fields = handshake_fields(upgrade="WebSocket", connection="keep-alive, UPGRADE")
    with RawSocket(host.server, "/echo", fields) as socket:
        socket.send(TEXT, b"there")
        assert socket.read() == Frame(TEXT, b"there")


def test_a_client_that_leaves_while_the_application_thinks_harms_nobody(host: Hosted) -> None:
    mark = new_mark()
    with Connection(host.server) as connection:
        connection.send_head("GET", f"/gated?id={mark}", handshake_fields())
        host.wait_for("asked", mark)
        connection.reset()
    host.open_gate(mark)

    assert host.wait_for("disconnect", mark)["code"] == 1006
    assert host.is_well()


# ---- Frames ---------------------------------------------------------------------------------------------------------

_WRONG = {
    "unmasked": (1002, frame(TEXT, b"there", is_masked=False)),
    "reserved opcode": (1002, frame(3, b"there")),
    "reserved control opcode": (1002, frame(11)),
    "RSV1": (1002, frame(TEXT, b"there", rsv=4)),
    "RSV2": (1002, frame(TEXT, b"there", rsv=2)),
    "long control frame": (1002, frame(PING, b"x" * 126)),
    "fragmented control frame": (1002, frame(PING, is_final=False)),
    "nothing to continue": (1002, frame(CONT, b"there")),
    "not continued": (1002, frame(TEXT, b"a", is_final=False) + frame(TEXT, b"b")),
    "half a code": (1002, frame(CLOSE, b"\x03")),
    "a code that is never sent": (1002, frame(CLOSE, close_payload(1005))),
    "a code out of range": (1002, frame(CLOSE, close_payload(999))),
    "not UTF-8": (1007, frame(TEXT, b"\xff\xfe")),
    "half a letter": (1007, frame(TEXT, "gr\xfc".encode()[:3])),
}


@pytest.mark.requirement("A-132", "A-137", "A-139", "A-147")
def test_a_wrong_frame_closes_the_socket_with_the_code_for_it(host: Hosted) -> None:
    begin = len(host.server.log())
    closes, disconnects = {}, {}

    for name, (_, octets) in _WRONG.items():
        mark = new_mark()
        with RawSocket(host.server, f"/echo?id={mark}") as socket:
            socket.connection.send(octets)
            close = socket.read_close()
        closes[name] = close and close[0]
        disconnects[name] = host.wait_for("disconnect", mark)["code"]

    assert closes == disconnects == {name: code for name, (code, _) in _WRONG.items()}
    assert "Traceback" not in host.server.log()[begin:]


_TOO_LARGE = {
    "one frame": frame(TEXT, b"x" * (SMALL_BYTES + 1)),
    "fragments": frame(BINARY, b"x" * SMALL_BYTES, is_final=False) + frame(CONT, b"x"),
    # It says so: nobody waits for the rest.
    "the head of a frame": frame(BINARY, b"x" * 65536)[:14],
}


@pytest.mark.requirement("A-137", "S-026")
def test_a_message_beyond_the_limit_is_refused_with_1009(host: Hosted) -> None:
    closes, disconnects = {}, {}

    for name, octets in _TOO_LARGE.items():
        mark = new_mark()
        with RawSocket(host.server, f"/small/echo?id={mark}") as socket:
            socket.send(BINARY, b"x" * SMALL_BYTES)
            assert socket.read() == Frame(BINARY, b"x" * SMALL_BYTES)
            socket.connection.send(octets)
            close = socket.read_close()
        closes[name] = close and close[0]
        disconnects[name] = host.wait_for("disconnect", mark)["code"]

    assert closes == disconnects == dict.fromkeys(_TOO_LARGE, 1009)


# ---- Applications ---------------------------------------------------------------------------------------------------


def _answer(host: Hosted, target: str) -> Response | None:
    try:
        return ask(host, target)
    except CutError:
        return None


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize("name", ["raise_before", "return_before"])
def test_an_application_that_fails_before_accept_is_a_500(host: Hosted, name: str) -> None:
    begin = len(host.server.log())
    response = _answer(host, f"/{name}")

    if host.kind.answers_failures:
        assert response is not None
        assert response.status == 500
    else:
        assert response is None
    assert host.is_well()
    wait_for_log(host.server, "Traceback", begin)


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize("name", ["raise_before", "return_before"])
def test_the_bridge_answers_500_itself_if_it_is_told_to(host: Hosted, name: str) -> None:
    begin = len(host.server.log())
    response = ask(host, f"/respond/{name}")

    assert (response.status, response.body) == (500, b"Internal Server Error\n")
    assert host.is_well()
    wait_for_log(host.server, "Traceback", begin)


@pytest.mark.requirement("A-142")
def test_an_application_that_fails_after_accept_closes_with_1011(host: Hosted) -> None:
    begin = len(host.server.log())
    with dial(host, "/raise_after") as socket:
        assert socket.recv(timeout=WAIT_S) == "so far so good"
        assert ending_of(socket)[0] == 1011

    assert host.is_well()
    wait_for_log(host.server, "Traceback", begin)


@pytest.mark.requirement("A-142")
@pytest.mark.parametrize(
    ("target", "text"),
    [
        pytest.param("/raise_before", "failed before accept", id="before"),
        pytest.param("/respond/raise_before", "failed before accept", id="before, answered"),
        pytest.param("/raise_after", "failed after accept", id="after"),
        pytest.param("/raise_when_gone", "failed after the end", id="when gone"),
    ],
)
def test_a_failure_is_logged_with_its_traceback_once(host: Hosted, target: str, text: str) -> None:
    mark = new_mark()
    begin = len(host.server.log())
    if "before" in target:
        _answer(host, f"{target}?id={mark}")
    else:
        with dial(host, f"{target}?id={mark}") as socket:
            if "after" in target:
                ending_of(socket)
    wait_for_log(host.server, f"ViewError: {text}, {mark}.", begin)
    assert host.is_well()

    log = host.server.log()[begin:]
    assert log.count(f"ViewError: {text}, {mark}.") == 1
    assert log.count("Traceback") == 1


@pytest.mark.requirement("S-023")
@pytest.mark.parametrize("how", ["closes", "closed by the application", "close", "reset"])
def test_a_client_that_leaves_is_no_matter_for_the_log(host: Hosted, how: str) -> None:
    mark = new_mark()
    begin = len(host.server.log())
    with RawSocket(host.server, f"/{'close' if 'by' in how else 'echo'}?id={mark}") as socket:
        if how == "closes":
            socket.send(CLOSE, close_payload(1000))
            assert socket.read_close() == (1000, "")
        elif how == "closed by the application":
            assert socket.read_close() == (1000, "")
            socket.send(CLOSE, close_payload(1000))
        else:
            getattr(socket.connection, how)()
    host.wait_for("disconnect", mark)
    assert host.is_well()

    lines = [line for line in host.server.log()[begin:].splitlines() if "GET /" not in line]
    assert lines == []
