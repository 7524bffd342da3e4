"""What the clients of the soak do: a table of operations, each with its weight and the check of every octet it gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.soak import contract
from tests.soak.client import Answer, Connection, head_of, unexpected

_TEXT, _BINARY, _CLOSE = 1, 2, 8
_NORMAL = b"\x03\xe8"
_MESSAGES = 3
_BEFORE_DROP_BYTES = 40_000
_DAWDLE_S = 0.3
"""How long a slow reader reads nothing: enough for every buffer on the way to be full, and for that to be noticed."""
_TO_BRIDGE, _TO_ALL = frozenset({"to_asgi", "to_wsgi"}), frozenset({"to_asgi", "to_wsgi", "native_asgi", "native_wsgi"})


class Visitor:
    """One client: it does one operation after the other, on one connection as long as that can be used again.

    Args:
        port: where the server is.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._kept: Connection | None = None
        self._new: list[Connection] = []

    async def kept(self) -> Connection:
        """Return the connection for ordinary requests."""
        if self._kept is None:
            self._kept = await Connection.open(self.port)
        return self._kept

    async def new(self, *, reads_slowly: bool = False) -> Connection:
        """Return a connection for one operation."""
        connection = await Connection.open(self.port, reads_slowly=reads_slowly)
        self._new.append(connection)
        return connection

    async def tidy(self) -> None:
        """Close what cannot be used again.

        At once: where gunicorn ends a connection, it waits up to 2 s for the client to do the same, and accepts no
        other one meanwhile.
        """
        while self._new:
            await self._new.pop().close()
        if self._kept is not None and not self._kept.is_reusable:
            await self._kept.close()
            self._kept = None

    async def leave(self) -> None:
        """Close everything."""
        if self._kept is not None:
            self._kept.is_reusable = False
        await self.tidy()


def _expect(answer: Answer, status: int, body: bytes, **fields: str) -> None:
    came = {name: answer.fields.get(name.replace("_", "-")) for name in fields}
    if (answer.status, answer.is_complete, answer.body, came) != (status, True, body, fields):
        unexpected(
            f"{answer.status}, {len(answer.body)} bytes {answer.body[:80]!r}, complete: {answer.is_complete}, {came} "
            f"instead of {status}, {len(body)} bytes {body[:80]!r}, {fields}"
        )


# ---- Requests that end well -----------------------------------------------------------------------------------------


async def _hello(visitor: Visitor, number: int) -> None:
    answer = await (await visitor.kept()).ask("GET", "/hello")
    _expect(answer, 200, contract.HELLO, content_type="text/plain", content_length=str(len(contract.HELLO)))


async def _json(visitor: Visitor, number: int) -> None:
    body = json.dumps({"number": number, "text": "abc" * (number % 50)}).encode()
    answer = await (await visitor.kept()).ask("POST", "/json", [("Content-Type", "application/json")], body)
    _expect(answer, 200, contract.answer_to_json(body), content_type="application/json")


async def _chunked_upload(visitor: Visitor, number: int) -> None:
    pieces = [b"%d" % number, *[contract.CHUNKED_PIECE] * contract.CHUNKED_PIECES]
    connection = await visitor.kept()
    await connection.send_chunks("/upload", pieces)
    _expect(await connection.answer(), 200, contract.digest_of(b"".join(pieces)))


_UPLOAD_ANSWER = contract.digest_of(contract.UPLOAD)


async def _large_upload(visitor: Visitor, number: int) -> None:
    _expect(await (await visitor.kept()).ask("POST", "/upload", body=contract.UPLOAD), 200, _UPLOAD_ANSWER)


async def _spooled_upload(visitor: Visitor, number: int) -> None:
    answer = await (await visitor.kept()).ask("POST", f"{contract.SPOOLED}/upload", body=contract.UPLOAD)
    _expect(answer, 200, _UPLOAD_ANSWER)


async def _stream(visitor: Visitor, number: int) -> None:
    answer = await (await visitor.kept()).ask("GET", "/stream")
    _expect(answer, 200, contract.STREAM, transfer_encoding="chunked")


async def _slow_reader(visitor: Visitor, number: int) -> None:
    connection = await visitor.new(reads_slowly=True)
    connection.writer.write(head_of("GET", "/large"))
    await asyncio.sleep(_DAWDLE_S)
    _expect(await connection.answer(), 200, contract.LARGE)


async def _file(visitor: Visitor, number: int) -> None:
    length = str(len(contract.FILE_OCTETS))
    _expect(await (await visitor.kept()).ask("GET", "/file"), 200, contract.FILE_OCTETS, content_length=length)


async def _head(visitor: Visitor, number: int) -> None:
    answer = await (await visitor.kept()).ask("HEAD", "/hello")
    _expect(answer, 200, b"", content_length=str(len(contract.HELLO)))


async def _not_modified(visitor: Visitor, number: int) -> None:
    _expect(await (await visitor.kept()).ask("GET", "/not-modified"), 304, b"", etag=contract.ETAG)


async def _awaits(visitor: Visitor, number: int) -> None:
    _expect(await (await visitor.kept()).ask("GET", f"/awaits?{number}"), 200, contract.awaited(number))


async def _background(visitor: Visitor, number: int) -> None:
    _expect(await (await visitor.kept()).ask("GET", "/background"), 200, contract.HELLO)


# ---- Requests that do not -------------------------------------------------------------------------------------------


async def _fails_before(visitor: Visitor, number: int) -> None:
    answer = await (await visitor.kept()).ask("GET", "/fails-before")
    if answer.status != 500 or not answer.is_complete:
        unexpected(f"{answer} instead of 500")


async def _fails_after(visitor: Visitor, number: int) -> None:
    answer = await (await visitor.new()).ask("GET", "/fails-after")
    if (answer.status, answer.body, answer.is_complete) != (200, contract.FIRST_BLOCK, False):
        unexpected(f"{answer} instead of a cut response")


async def _end(connection: Connection, number: int) -> None:
    """Leave in the middle: every other time with a reset."""
    await (connection.reset() if number % 2 else connection.close())


async def _dropped_stream(visitor: Visitor, number: int) -> None:
    connection = await visitor.new()
    connection.writer.write(head_of("GET", "/endless"))
    answer = await connection.head()
    if answer.status != 200:
        unexpected(f"{answer} instead of 200")
    await connection.reader.readexactly(_BEFORE_DROP_BYTES)
    await _end(connection, number)


async def _drop_upload(visitor: Visitor, number: int, announced_bytes: int, sent: bytes) -> None:
    connection = await visitor.new()
    connection.writer.write(head_of("POST", "/cut", [("Content-Length", str(announced_bytes))]) + sent)
    await connection.writer.drain()
    await _end(connection, number)


async def _dropped_upload(visitor: Visitor, number: int) -> None:
    await _drop_upload(visitor, number, 2 * len(contract.CHUNKED_PIECE), contract.CHUNKED_PIECE)


async def _dropped_large_upload(visitor: Visitor, number: int) -> None:
    await _drop_upload(visitor, number, 2 * len(contract.UPLOAD), contract.UPLOAD)


async def _too_large(visitor: Visitor, number: int) -> None:
    length = ("Content-Length", str(contract.MOST_UPLOAD_BYTES + 1))
    answer = await (await visitor.new()).ask("POST", "/upload", [length])
    if answer.status != 413 or not answer.is_complete:
        unexpected(f"{answer} instead of 413")


async def _two_types(visitor: Visitor, number: int) -> None:
    answer = await (await visitor.new()).ask("GET", "/hello", [("Content-Type", "a/b"), ("Content-Type", "c/d")])
    if answer.status != 400 or not answer.is_complete:
        unexpected(f"{answer} instead of 400")


async def _bad_handshake(visitor: Visitor, number: int) -> None:
    fields = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    answer = await (await visitor.new()).ask("GET", "/socket", [*fields, ("Sec-WebSocket-Key", "too-short")])
    if answer.status != 400 or not answer.is_complete:
        unexpected(f"{answer} instead of 400")


# ---- WebSockets -----------------------------------------------------------------------------------------------------


async def _speak(visitor: Visitor, target: str, number: int) -> Connection:
    connection = await visitor.new()
    await connection.shake_hands(target)
    for each in range(_MESSAGES):
        opcode, payload = (_BINARY, contract.BLOCK[: 300 * each]) if each % 2 else (_TEXT, b"message %d" % number)
        connection.say(opcode, payload)
        await connection.hear(opcode, payload)
    return connection


async def _socket(visitor: Visitor, number: int) -> None:
    connection = await _speak(visitor, "/socket", number)
    connection.say(_CLOSE, _NORMAL)
    await connection.hear(_CLOSE, _NORMAL)
    if rest := await connection.reader.read():
        unexpected(f"{rest[:80]!r} behind the closing frame")


async def _dropped_socket(visitor: Visitor, number: int) -> None:
    await _end(await _speak(visitor, "/socket", number), number)


async def _flask_socket(visitor: Visitor, number: int) -> None:
    connection = await _speak(visitor, "/flask-socket", number)
    connection.say(_CLOSE, _NORMAL)
    await connection.reader.read()  # simple-websocket does not always get so far as to answer


async def _dropped_flask_socket(visitor: Visitor, number: int) -> None:
    await _end(await _speak(visitor, "/flask-socket", number), number)


# ---- The table ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operation:
    """One row: what is done, how often among a thousand, and on which hostings (elsewhere it is a hello)."""

    name: str
    weight: int
    run: Callable[[Visitor, int], Awaitable[None]]
    hostings: frozenset[str] = _TO_ALL


_TO_ASGI, _TO_WSGI = frozenset({"to_asgi"}), frozenset({"to_wsgi"})

OPERATIONS = (
    Operation("JSON post", 150, _json),
    Operation("chunked upload, 200 KiB", 40, _chunked_upload),
    Operation("upload, 1.25 MiB", 15, _large_upload),
    Operation("upload, 1.25 MiB, always spooled", 15, _spooled_upload, _TO_ASGI),
    Operation("stream of 24 blocks", 100, _stream),
    Operation("stream dropped in the middle", 40, _dropped_stream),
    Operation("upload of 80 KiB dropped in the middle", 20, _dropped_upload, _TO_BRIDGE),
    Operation("upload of 2.5 MiB dropped in the middle", 10, _dropped_large_upload, _TO_BRIDGE),
    Operation("failure before the response", 25, _fails_before),
    Operation("failure in the response", 25, _fails_after),
    Operation("HEAD", 40, _head),
    Operation("304", 40, _not_modified),
    Operation("file, 370 KiB", 40, _file),
    Operation("slow reader of 6 MiB", 5, _slow_reader),
    Operation("call_async", 50, _awaits, _TO_ASGI),
    Operation("background work", 50, _background, _TO_WSGI),
    Operation("WebSocket, closed", 25, _socket, _TO_BRIDGE),
    Operation("WebSocket, dropped", 15, _dropped_socket, _TO_BRIDGE),
    Operation("Flask-Sock, closed", 15, _flask_socket, _TO_ASGI),
    Operation("Flask-Sock, dropped", 15, _dropped_flask_socket, _TO_ASGI),
    Operation("refused with 413", 10, _too_large, _TO_BRIDGE),
    Operation("refused with 400", 10, _two_types, _TO_ASGI),
    Operation("refused with 400 (handshake)", 10, _bad_handshake, _TO_WSGI),
)
PER_ROUND = 1000
"""How many operations a round has: each one of the table as often as its weight says, and hellos for the rest."""


def a_round(hosting: str) -> list[Operation]:
    """Return the operations of one round, in the order of the table."""
    chosen = [each for row in OPERATIONS if hosting in row.hostings for each in [row] * row.weight]
    return chosen + [Operation("hello", 1, _hello)] * (PER_ROUND - len(chosen))
