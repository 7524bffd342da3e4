"""What one client of the crowd does, from its connection to its outcome; a function for each kind of misbehaviour.

Each one gets into the middle of what it is up to, says so (``client.has_begun()``), and does the rest when the crowd
strikes. Slow ones go on being slow until then, and hurry afterwards: so every slow upload and download gets to its end,
and its answer is checked to the byte.

An outcome is a word of `tests.faults.clients`, or a sentence on what went wrong.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults.clients import RIGHT, Client, judge, receipt_for
from tests.faults.content import BLOCK_BYTES, KIB, blocks_of, checksum_of, content_of
from tests.faults.wire import HOST, Answer, CutError, Wire

_SMALL_BUFFER_BYTES = 4 * KIB
_LARGE_BUFFER_BYTES = 256 * KIB
# Enough to be told from a silent server.
_SOME_BYTES = 64
# The bench lets nothing go before.
_STUCK_AT_LEAST_S = 1.0


# ---- Slow ones ------------------------------------------------------------------------------------------------------


async def upload_slowly(client: Client) -> str:
    """Send a body at so many bytes per second."""
    await client.ask_to_upload()
    return await _trickle(client)


async def continue_slowly(client: Client) -> str:
    """The same, with the body held back until ``100 Continue``."""
    await client.ask_to_upload("Expect: 100-continue")
    client.has_begun()
    status, headers = await client.wire.head()
    if status != 100:
        return judge(Answer(status, headers, 0, 0, b""), b"")
    return await _trickle(client)


async def _trickle(client: Client) -> str:
    body, sent, piece_bytes = content_of(client.load.size_bytes), 0, client.load.piece_bytes
    await client.be_out_of_step()
    while sent < len(body) and not client.strike.is_set():
        await client.wire.send(body[sent : sent + piece_bytes])
        sent += piece_bytes
        client.has_begun()
        await client.pause(client.pause_s)
    await client.wire.send(body[sent:])
    return judge(await client.wire.answer(), receipt_for(len(body)))


async def read_slowly(client: Client) -> str:
    """Receive a response at so many bytes per second."""
    return await _read_slowly(client, f"/download?bytes={client.load.size_bytes}")


async def read_file_slowly(client: Client) -> str:
    """The same of a file that the application hands to ``wsgi.file_wrapper``."""
    return await _read_slowly(client, f"/download?bytes={client.load.size_bytes}&from=file")


async def _read_slowly(client: Client, path: str) -> str:
    wire, size_bytes = client.wire, client.load.size_bytes
    await client.ask(path)
    status, headers = await wire.head(client.load.piece_bytes)
    client.has_begun()
    if status != 200 or int(headers.get(b"content-length", b"-1")) != size_bytes:
        return judge(Answer(status, headers, 0, 0, b""), b"a content of its size")
    await client.be_out_of_step()
    checksum, left = 0, size_bytes
    while left:
        piece = await wire.receive(client.load.piece_bytes)
        left -= len(piece)
        checksum = zlib.crc32(piece, checksum)
        await client.pause(client.pause_s)
        if client.strike.is_set():
            break
    wire.set_receive_buffer(_LARGE_BUFFER_BYTES)
    while left:
        piece = await wire.receive(BLOCK_BYTES)
        left -= len(piece)
        checksum = zlib.crc32(piece, checksum)
    return RIGHT if checksum == checksum_of(size_bytes) else "wrong: the content is another"


# ---- Those that leave -----------------------------------------------------------------------------------------------


async def drop_stream(client: Client) -> str:
    """Leave in the middle of a response of which a block comes now and then."""
    await client.ask(f"/stream?pause_s={client.load.seconds}")
    return await _see_some_and_drop(client)


async def drop_unread_stream(client: Client) -> str:
    """Leave in the middle of a response that is produced faster than it is read."""
    await client.ask(f"/stream?block={BLOCK_BYTES}")
    return await _see_some_and_drop(client)


async def drop_download(client: Client) -> str:
    """Leave in the middle of a response that has an end."""
    await client.ask(f"/download?bytes={client.load.size_bytes}")
    return await _see_some_and_drop(client)


async def _see_some_and_drop(client: Client) -> str:
    status, headers = await client.wire.head(KIB)
    if status != 200:
        return judge(Answer(status, headers, 0, 0, b""), b"a stream")
    await client.wire.receive(_SOME_BYTES)
    await client.until_strike()
    return client.drop()


async def drop_upload(client: Client) -> str:
    """Leave in the middle of a body."""
    await client.ask_to_upload()
    await client.wire.send_all(blocks_of(client.load.size_bytes // 2))
    await client.until_strike()
    return client.drop()


# ---- Those that come all at once, and those that stay ---------------------------------------------------------------


async def rush(client: Client) -> str:
    """Ask for something that takes a while, together with all others."""
    await client.until_strike()
    await client.ask(f"/work?seconds={client.load.seconds}")
    return judge(await client.wire.answer(), b"worked\n")


async def get_stuck(client: Client) -> str:
    """Ask for something that does not end until the bench lets it go."""
    asked_s = time.monotonic()
    await client.ask("/stuck")
    client.has_begun()
    answer = await client.wire.answer()
    took_s = time.monotonic() - asked_s
    return judge(answer, b"let go\n") if took_s > _STUCK_AT_LEAST_S else f"wrong: it was not stuck, but {took_s:.1f} s"


# ---- Large ones -----------------------------------------------------------------------------------------------------


async def upload_much(client: Client) -> str:
    """Send a large body as fast as it is taken."""
    await client.until_strike()
    await client.ask_to_upload()
    await client.wire.send_all(blocks_of(client.load.size_bytes))
    return judge(await client.wire.answer(), receipt_for(client.load.size_bytes))


async def upload_much_after_a_rest(client: Client) -> str:
    """Begin a large body slowly, so that the bridge spools it, and then send it as fast as it is taken."""
    await client.ask_to_upload()
    blocks = blocks_of(client.load.size_bytes)
    await client.wire.send(next(blocks))
    await client.until_strike()
    await client.wire.send_all(blocks)
    return judge(await client.wire.answer(), receipt_for(client.load.size_bytes))


async def upload_much_chunked(client: Client) -> str:
    """Send a large body whose length nobody knows before."""
    await client.until_strike()
    await client.ask("/upload", "Transfer-Encoding: chunked", method="POST")
    for block in blocks_of(client.load.size_bytes):
        await client.wire.send(b"%x\r\n%b\r\n" % (len(block), block))
    await client.wire.send(b"0\r\n\r\n")
    return judge(await client.wire.answer(), receipt_for(client.load.size_bytes))


async def download_much(client: Client) -> str:
    """Receive a large response as fast as it comes."""
    await client.until_strike()
    return await _download(client, "")


async def download_much_after_a_rest(client: Client) -> str:
    """Receive the begin of a large response, then nothing for a while, then all of it."""
    return await _download(client, "", rests=True)


async def download_much_from_file(client: Client) -> str:
    """Receive a large file as fast as it comes."""
    await client.until_strike()
    return await _download(client, "&from=file")


async def _download(client: Client, query: str, *, rests: bool = False) -> str:
    size_bytes = client.load.size_bytes
    await client.ask(f"/download?bytes={size_bytes}{query}")
    if rests:
        status, headers = await client.wire.head()
        await client.until_strike()
        checksum, begin = await client.wire.content(int(headers[b"content-length"]))
        answer = Answer(status, headers, size_bytes, checksum, begin)
    else:
        answer = await client.wire.answer()
    if answer.status != 200:
        return judge(answer, b"")
    is_right = (answer.length, answer.checksum) == (size_bytes, checksum_of(size_bytes))
    return RIGHT if is_right else f"wrong: {answer.length} bytes, or another content"


# ---- Those that do what is allowed and unusual ----------------------------------------------------------------------


async def pipeline(client: Client) -> str:
    """Send three requests in one go, one of them with a body."""
    await client.until_strike()
    body = content_of(client.load.size_bytes)
    get = f"GET /hello HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    post = f"POST /upload HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    await client.wire.send(get + post + body + get)
    for expected in (b"hello\n", receipt_for(len(body)), b"hello\n"):
        outcome = judge(await client.wire.answer(), expected)
        if outcome != RIGHT:
            return outcome
    return RIGHT


async def wait_to_continue(client: Client) -> str:
    """Hold a body back until the server says ``100 Continue``, then send it at once."""
    await client.until_strike()
    await client.ask_to_upload("Expect: 100-continue")
    status, _ = await client.wire.head()
    if status != 100:
        return f"wrong: {status} instead of 100"
    await client.wire.send(content_of(client.load.size_bytes))
    return judge(await client.wire.answer(), receipt_for(client.load.size_bytes))


async def half_close(client: Client) -> str:
    """Close our half after a complete upload: the answer is to be what a native ASGI route gives, or better."""
    await client.until_strike()
    answers = []
    for path in ("/native/upload", "/upload"):
        wire = Wire(client.wire.port)
        one = Client(wire, client.load, client.number, client.strike)
        await wire.connect()
        try:
            await one.ask_to_upload(path=path, body=content_of(client.load.size_bytes))
            wire.end_sending()
            answers.append(judge(await wire.answer(), receipt_for(client.load.size_bytes)))
        except CutError:
            answers.append("no answer: the connection was closed")
        finally:
            wire.close()
    native, ours = answers
    return RIGHT if ours in {native, RIGHT} else f"wrong: {ours} (native: {native})"


Behaviour = Callable[[Client], Awaitable[str]]

BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__: behaviour
    for behaviour in (
        upload_slowly,
        continue_slowly,
        read_slowly,
        read_file_slowly,
        drop_stream,
        drop_unread_stream,
        drop_download,
        drop_upload,
        rush,
        get_stuck,
        upload_much,
        upload_much_after_a_rest,
        upload_much_chunked,
        download_much,
        download_much_after_a_rest,
        download_much_from_file,
        pipeline,
        wait_to_continue,
        half_close,
    )
}

SMALL_WINDOWS = frozenset({"read_slowly", "read_file_slowly", "drop_unread_stream", "drop_download"})
"""Behaviours for which the system of the client takes as little as it can."""


def receive_buffer_of(behaviour: str) -> int:
    """Return the size of the receive buffer that a behaviour needs; 0 for the system's own."""
    return _SMALL_BUFFER_BYTES if behaviour in SMALL_WINDOWS else 0


def result_of(task: asyncio.Task[str]) -> str:
    """Return the outcome of a client whose task may have failed or been cancelled."""
    if not task.done() or task.cancelled():
        return "no answer in time"
    error: Any = task.exception()
    if isinstance(error, CutError | OSError):
        return f"cut: {error}"
    if error is not None:
        raise error
    return task.result()
