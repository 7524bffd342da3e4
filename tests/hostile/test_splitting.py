"""Applications that would split a response, in both directions: nothing of it goes out, and the error says why.

An application need not be evil for that: it is enough that it puts what a client has sent into a header.
"""

from __future__ import annotations

from typing import Any

import pytest

from bridge import ApplicationError, WSGIToASGI
from tests.driving import drive
from tests.fakes import make_scope
from tests.gateway import Gateway, hosted

INJECTIONS = ["\r\n", "\n", "\r", "\0", "\r\n\r\n", "\x0b", "\x0c", "\x7f", "\x1b[2J"]
each_injection = pytest.mark.parametrize("injection", INJECTIONS, ids=ascii)


def wsgi_answering(status: str, headers: list[tuple[str, str]]) -> Any:
    """Return a WSGI application that answers so."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response(status, headers)
        return [b"content"]

    return app


def outcome_of(app: Any, **options: Any) -> BaseException | None:
    """Host a WSGI application; nothing may go out. Return what was raised."""
    record = drive(WSGIToASGI(app, **options))
    assert record.messages == []
    return record.exception


# ---- WSGI applications ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-093", "W-096")
@each_injection
def test_a_status_with_a_control_character_never_goes_out(injection: str) -> None:
    error = outcome_of(wsgi_answering(f"200 OK{injection}Set-Cookie: a=1", []))

    assert isinstance(error, ApplicationError)
    assert "PEP 3333" in error.rule


@pytest.mark.requirement("W-096")
@each_injection
def test_a_value_with_a_control_character_never_goes_out(injection: str) -> None:
    error = outcome_of(wsgi_answering("200 OK", [("Location", f"/x{injection}Set-Cookie: a=1")]))

    assert isinstance(error, ApplicationError)
    assert "Location" in str(error)
    assert "Set-Cookie" not in str(error), "a value may be a secret"


@pytest.mark.requirement("W-096", "W-098")
@pytest.mark.parametrize("value", ["\r\na", "a\r\n", "\n", "\ta\r", "a\0", "\0"], ids=ascii)
def test_a_control_character_at_the_end_of_a_value_is_not_trimmed_but_refused(value: str) -> None:
    assert isinstance(outcome_of(wsgi_answering("200 OK", [("X-A", value)])), ApplicationError)


@pytest.mark.requirement("W-096")
@pytest.mark.parametrize(
    "name",
    [
        *(f"X-A{injection}X-B" for injection in INJECTIONS),
        "",
        " X-A",
        "X-A ",
        "X-A:",
        "X A",
        "X-\xe9",
        ":status",
        "X-A: 1\r\nX",
    ],
    ids=ascii,
)
def test_a_name_that_is_no_token_never_goes_out(name: str) -> None:
    assert isinstance(outcome_of(wsgi_answering("200 OK", [(name, "1")])), ApplicationError)


@pytest.mark.requirement("W-097")
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        # Characters that some encoders would turn into CR and LF by cutting them to eight bits.
        pytest.param("200 OK\u560d\u560a", [], id="status"),
        pytest.param("200 OK", [("X-\u560a", "1")], id="name"),
        pytest.param("200 OK", [("X-A", "1\u560d\u560aX-B: 2")], id="value"),
        pytest.param("200 OK", [("X-A", "1\u2028X-B: 2")], id="another kind of line"),
    ],
)
def test_no_character_beyond_latin1_goes_out_cut_to_its_last_octet(status: str, headers: list[tuple[str, str]]) -> None:
    assert isinstance(outcome_of(wsgi_answering(status, headers)), ApplicationError)


@pytest.mark.requirement("W-098")
def test_c1_controls_are_octets_like_others_to_a_reader_of_http() -> None:
    record = drive(WSGIToASGI(wsgi_answering("200 OK", [("X-A", "a\x85\x9fb")])))

    assert record.checked().header(b"x-a") == b"a\x85\x9fb"


@pytest.mark.requirement("W-099")
@pytest.mark.parametrize(
    "headers",
    [
        [("Transfer-Encoding", "chunked")],
        [("transfer-encoding", "identity"), ("Content-Length", "7")],
        [("Connection", "close, Content-Length")],
        [("Upgrade", "h2c")],
        [("Trailer", "Content-Length")],
    ],
    ids=repr,
)
def test_an_application_has_no_say_in_the_framing_of_its_response(headers: list[tuple[str, str]]) -> None:
    assert isinstance(outcome_of(wsgi_answering("200 OK", headers)), ApplicationError)

    record = drive(WSGIToASGI(wsgi_answering("200 OK", headers), hop_by_hop="drop")).checked()

    assert {name for name, _ in record.headers} == {b"content-length"}


@pytest.mark.requirement("W-147")
@each_injection
def test_an_early_hint_cannot_be_split(injection: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["wsgi.early_hints"]([("Link", f"</a>{injection}X: 1")])
        start_response("200 OK", [])
        return [b"content"]

    record = drive(WSGIToASGI(app), make_scope(extensions={"http.response.early_hint": {}}))

    assert record.messages == []
    assert isinstance(record.exception, ApplicationError)


@pytest.mark.requirement("W-148")
@each_injection
def test_a_trailer_cannot_be_split(injection: str) -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        environ["bridge.trailers"]([("X-A", f"1{injection}X: 1")])
        start_response("200 OK", [])
        return [b"content"]

    record = drive(WSGIToASGI(app), make_scope(extensions={"http.response.trailers": {}}))

    assert not record.is_complete
    assert "trailers" not in record.types
    assert isinstance(record.exception, ApplicationError)


# ---- ASGI applications ----------------------------------------------------------------------------------------------


def asgi_answering(*messages: dict[str, Any]) -> Any:
    """Return an ASGI application that sends these."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        for message in messages:
            await send(message)

    return app


def refused(*messages: dict[str, Any]) -> ApplicationError:
    """Host an ASGI application whose messages must not go out; return what was raised."""
    with hosted(asgi_answering(*messages)) as adapter:
        gateway = Gateway(adapter)
        with pytest.raises(ApplicationError) as caught:
            gateway.run()
        assert gateway.starts == []
    return caught.value


def start(headers: Any = (), status: Any = 200) -> dict[str, Any]:
    """Return the message that begins a response."""
    return {"type": "http.response.start", "status": status, "headers": headers}


BODY = {"type": "http.response.body", "body": b"content"}


@pytest.mark.requirement("A-062")
@each_injection
def test_a_value_of_an_asgi_application_with_a_control_character_never_goes_out(injection: str) -> None:
    error = refused(start([(b"location", b"/x" + injection.encode() + b"Set-Cookie: a=1")]), BODY)

    assert "location" in str(error)
    assert "Set-Cookie" not in str(error), "a value may be a secret"


@pytest.mark.requirement("A-062")
@pytest.mark.parametrize(
    "name",
    [
        *(b"x-a" + injection.encode() + b"x-b" for injection in INJECTIONS),
        b"",
        b" x",
        b"x ",
        b"x:",
        b"x a",
        b"x-\xe9",
        b":status",
    ],
    ids=repr,
)
def test_a_name_of_an_asgi_application_that_is_no_token_never_goes_out(name: bytes) -> None:
    refused(start([(name, b"1")]), BODY)


@pytest.mark.requirement("A-059", "A-061")
@pytest.mark.parametrize("status", ["200 OK\r\nX: 1", "200", None, True, 99, 103, 1000, -200, 200.5, b"200"], ids=repr)
def test_a_status_of_an_asgi_application_is_a_final_code_and_nothing_else(status: Any) -> None:
    refused(start(status=status), BODY)


@pytest.mark.requirement("A-065", "A-066", "A-070")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([(b"transfer-encoding", b"chunked")], [], id="a coding"),
        pytest.param(
            [(b"Connection", b"close"), (b"content-length", b"7")], [("content-length", "7")], id="connection"
        ),
        pytest.param(
            [(b"content-length", b"7"), (b"Content-Length", b" 7")], [("content-length", "7")], id="equal lengths"
        ),
        pytest.param([(b"status", b"500 Oops"), (b"Status", b"404")], [], id="a status that CGI would believe"),
    ],
)
def test_an_asgi_application_has_no_say_in_the_framing_of_its_response(headers: Any, expected: Any) -> None:
    with hosted(asgi_answering(start(headers), BODY)) as adapter:
        gateway = Gateway(adapter).run()

    assert gateway.headers == expected
    assert gateway.body == b"content"


@pytest.mark.requirement("A-066", "A-070")
@pytest.mark.parametrize(
    "values",
    [
        [b"+7"],
        [b"0x7"],
        [b"7_0"],
        [b""],
        [b"7", b"07"],
        [b"7", b"8"],
        [b"7, 7"],
        [b"\xb2"],
        [b"9" * 19],
        [b"7\x0b"],
        [b"6"],
        [b"8"],
    ],
    ids=repr,
)
def test_a_length_that_is_not_that_of_the_content_never_goes_out(values: list[bytes]) -> None:
    refused(start([(b"content-length", value) for value in values]), BODY)
