"""``docs/reference/errors.md``: exactly the exceptions, answers and close codes there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bridge
from bridge import ASGIToWSGI, Limits, WSGIToASGI, errors
from tests.docs.pages import table, text_of
from tests.docs.sources import trees
from tests.driving import drive
from tests.fakes import make_scope
from tests.gateway import QUICK, Gateway, environ_for
from tests.gateway import answering as asgi_answering

PAGE = "reference/errors.md"
EXCEPTIONS = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.BridgeError)
}


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# ---- Exceptions ---------------------------------------------------------------------------------------------------


def test_the_table_of_exceptions_has_each_one_in_the_order_of_their_definition() -> None:
    assert [codes(row[0])[0] for row in table(PAGE, "Exceptions")] == list(EXCEPTIONS)
    assert set(EXCEPTIONS) <= set(bridge.__all__)


@pytest.mark.parametrize("row", table(PAGE, "Exceptions"), ids=lambda row: codes(row[0])[0])
def test_the_table_says_which_of_pythons_own_each_exception_is_caught_as(row: list[str]) -> None:
    name, *others = codes(row[0])

    bases = [base.__name__ for base in EXCEPTIONS[name].__bases__]

    assert others == [base for base in bases if base not in EXCEPTIONS and base != "Exception"]


def test_the_drawn_tree_is_the_tree() -> None:
    drawing = re.search(r"```text\n(.*?)```", text_of(PAGE), re.DOTALL)
    assert drawing
    drawn: list[tuple[str, str]] = []
    above: dict[int, str] = {}
    for line in drawing[1].splitlines():
        match = re.match(r"([│├└─ ]*)(\w+)", line)
        assert match, line
        depth = len(match[1]) // 4
        above[depth] = match[2]
        if depth:
            drawn.append((match[2], above[depth - 1]))

    assert sorted(drawn) == sorted(
        (name, base.__name__)
        for name, error in EXCEPTIONS.items()
        for base in error.__bases__
        if base.__name__ in EXCEPTIONS
    )


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`Limits\.(\w+)`", text_of(PAGE)))))
def test_each_limit_that_is_named_exists(name: str) -> None:
    assert name in Limits.__dataclass_fields__


# ---- Answers ------------------------------------------------------------------------------------------------------

_FIXED = {"BadRequest": 400, "BodyTooLarge": 413}
_ANSWERING = ("RequestRefused", "answer_plainly", "plain_response", "response_start")


def statuses_in(tree: ast.Module) -> Iterator[int]:
    """Yield the statuses that a module gives to what refuses or answers by itself."""
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in _FIXED:
                yield _FIXED[name]
            elif name in _ANSWERING:
                values = [
                    constants.get(argument.id) if isinstance(argument, ast.Name) else getattr(argument, "value", None)
                    for argument in node.args
                ]
                yield from (value for value in values if type(value) is int)


def test_the_table_of_answers_has_exactly_the_statuses_that_the_bridge_can_answer() -> None:
    answered = {status for _, tree in trees() for status in statuses_in(tree)}

    assert [int(row[0]) for row in table(PAGE, "Answers")] == sorted(answered)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("raise RequestRefused(503, WHY)", [503], id="refused"),
        pytest.param("raise errors.BadRequest('no')", [400], id="of a fixed status"),
        pytest.param("_GONE = 410\nawait answer_plainly(self, _GONE, 'Gone.')", [410], id="by a name"),
        pytest.param("limit(413)", [], id="something else"),
    ],
)
def test_statuses_are_found_where_they_count(source: str, expected: list[int]) -> None:
    assert list(statuses_in(ast.parse(source))) == expected


async def _never(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the application was called")


async def _fails(scope: Any, receive: Any, send: Any) -> None:
    raise LookupError("the application's own")


def _wsgi_never(environ: Any, start_response: Any) -> Any:
    raise AssertionError("the application was called")


def _wsgi_fails(environ: Any, start_response: Any) -> Any:
    raise LookupError("the application's own")


def to_asgi_answer(app: Any = _wsgi_never, length: bytes | None = None, body: bytes = b"", **options: Any) -> Any:
    """Return status and fields that `WSGIToASGI` gives by itself."""
    scope = make_scope(method="POST")
    if length is not None:
        scope["headers"].append((b"content-length", length))
    record = drive(WSGIToASGI(app, **options), scope, [{"type": "http.request", "body": body, "more_body": True}])
    return record.status, {name.decode(): value.decode() for name, value in record.headers}


def to_wsgi_answer(app: Any = _never, *, closes: bool = False, environ: Any = None, **options: Any) -> Any:
    """Return status and fields that `ASGIToWSGI` gives by itself."""
    adapter = ASGIToWSGI(app, lifespan="off", **({"limits": QUICK} | options))
    try:
        if closes:
            adapter.shutdown()
        gateway = Gateway(adapter, environ_for() if environ is None else environ)
        gateway.run()
        return int(gateway.status[:3]), {name.lower(): value for name, value in gateway.headers}
    finally:
        adapter.shutdown()


HANDSHAKE = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
"""A handshake that still wants a key."""

PROVOKED = [
    pytest.param(400, "both", lambda: to_asgi_answer(length=b"ten"), id="400 to_asgi"),
    pytest.param(400, "both", lambda: to_wsgi_answer(environ=environ_for(CONTENT_LENGTH="ten")), id="400 to_wsgi"),
    pytest.param(
        408, "`to_asgi`", lambda: to_asgi_answer(length=b"2", body=b"x", limits=Limits(body_wait_s=0.01)), id="408"
    ),
    pytest.param(413, "both", lambda: to_asgi_answer(length=b"2", limits=Limits(body_max_bytes=1)), id="413 to_asgi"),
    pytest.param(
        413,
        "both",
        lambda: to_wsgi_answer(environ=environ_for("POST", body=b"xx"), limits=Limits(body_max_bytes=1)),
        id="413 to_wsgi",
    ),
    pytest.param(500, "both", lambda: to_asgi_answer(_wsgi_fails, b"0", on_error="respond"), id="500 to_asgi"),
    pytest.param(500, "both", lambda: to_wsgi_answer(_fails, on_error="respond"), id="500 to_wsgi"),
    pytest.param(
        501,
        "`to_wsgi`",
        lambda: to_wsgi_answer(environ=environ_for(headers=HANDSHAKE, **{"waitress.client_disconnected": bool})),
        id="501",
    ),
    pytest.param(
        503,
        "both",
        lambda: to_asgi_answer(
            length=b"9", body=b"123456", large_body="spool", limits=Limits(body_memory_bytes=1, spool_bytes=2)
        ),
        id="503 to_asgi",
    ),
    pytest.param(503, "both", lambda: to_wsgi_answer(closes=True), id="503 to_wsgi"),
]


@pytest.mark.parametrize(("status", "direction", "provoke"), PROVOKED)
def test_an_answer_of_the_table_is_given_in_its_direction_as_plain_text(
    status: int, direction: str, provoke: Callable[[], Any]
) -> None:
    [row] = [row for row in table(PAGE, "Answers") if row[0] == str(status)]

    answered, fields = provoke()

    assert (answered, row[1]) == (status, direction)
    assert fields["content-type"].startswith("text/plain")
    assert fields.get("retry-after") == (str(Limits().retry_after_s) if status == 503 else None)


def test_what_an_application_answers_stands_in_no_table() -> None:
    assert to_wsgi_answer(asgi_answering())[0] == 200
    assert "200" not in [row[0] for row in table(PAGE, "Answers")]


# ---- Close codes --------------------------------------------------------------------------------------------------

CLOSING = "bridge.translate.closing"


def codes_used() -> set[int]:
    """Return the close codes that the rooms of WebSockets import, or name themselves."""
    from bridge.translate import closing

    used: set[int] = set()
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == CLOSING:
                named = (getattr(closing, alias.name) for alias in node.names)
                used |= {value for value in named if type(value) is int}
            elif (
                isinstance(node, ast.Assign)
                and "websocket" in path.parts
                and isinstance(value := node.value, ast.Constant)
                and type(value.value) is int
                and 1000 <= value.value < 1016
            ):
                used.add(value.value)
    return used


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        pytest.param(b"\x81\x01\xff", 1007, id="text that is not UTF-8"),
        pytest.param(b"\x82\x09123456789", 1009, id="too large"),
        pytest.param(b"\x83\x00", 1002, id="an unknown kind of frame"),
        pytest.param(b"\x88\x02\x03\xed", 1002, id="a code that must not be sent"),
    ],
)
def test_what_a_client_does_wrong_is_closed_with_the_code_of_the_table(octets: bytes, expected: int) -> None:
    frames = pytest.importorskip("bridge.websocket.frames")
    end = frames.FrameEnd("server", max_message_bytes=8)
    masked = octets[:1] + bytes([octets[1] | 0x80]) + bytes(4) + octets[2:]

    [event] = end.feed(masked)

    sent, _ = end.octets_to_send()
    assert event.code == int.from_bytes(sent[2:4]) == expected
    [row] = [row for row in table(PAGE, "WebSocket close codes") if row[0] == str(expected)]
    assert row[1:3] == ["`to_wsgi`", "yes"]


def test_the_table_of_close_codes_has_exactly_those_that_the_bridge_sends_or_tells() -> None:
    from_the_library = {1002, 1007, 1009}  # tried above

    assert [int(row[0]) for row in table(PAGE, "WebSocket close codes")] == sorted(codes_used() | from_the_library)
