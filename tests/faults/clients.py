"""One client of the crowd: its connection, what it is to do, and what its answers are worth."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from tests.faults.content import checksum_of
from tests.faults.wire import HOST, Answer, Wire

RIGHT = "right"
REFUSED = "refused"
DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Load:
    """How much of it.

    Attributes:
        clients: how many, at once.
        size_bytes: of each one's body, or response.
        bytes_per_s: how slow each one is.
        piece_bytes: how much is sent or received at once by a slow one.
        seconds: how long the application takes.
    """

    clients: int
    size_bytes: int = 0
    bytes_per_s: float = 0.0
    piece_bytes: int = 1
    seconds: float = 0.0


class Client:
    """One client of a crowd.

    Args:
        wire: its connection.
        load: what it is to do.
        number: which one of the crowd it is.
        strike: set when the crowd strikes.
    """

    def __init__(self, wire: Wire, load: Load, number: int, strike: asyncio.Event) -> None:
        self.wire = wire
        self.load = load
        self.number = number
        self.strike = strike
        self.begun = asyncio.Event()
        self.struck_s = 0.0

    def has_begun(self) -> None:
        """Say that this client is in the middle of it."""
        self.begun.set()

    async def until_strike(self) -> None:
        """Say so, and wait."""
        self.has_begun()
        await self.strike.wait()

    @property
    def pause_s(self) -> float:
        """How long a slow client rests between two pieces."""
        return self.load.piece_bytes / self.load.bytes_per_s

    async def pause(self, seconds: float) -> None:
        """Rest, but not after the strike."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.strike.wait()

    async def be_out_of_step(self) -> None:
        """Rest for a part of the first pause: a crowd that moves in step would be another attack."""
        await self.pause(self.pause_s * self.number / self.load.clients)

    async def ask(self, path: str, *fields: str, method: str = "GET", body: bytes = b"") -> None:
        """Send the head of a request, and maybe octets of its body with it."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", *fields, "", ""]
        await self.wire.send("\r\n".join(lines).encode() + body)

    async def ask_to_upload(self, *fields: str, path: str = "/upload", body: bytes = b"") -> None:
        """Send the head of an upload of the load's size."""
        await self.ask(path, f"Content-Length: {self.load.size_bytes}", *fields, method="POST", body=body)

    def drop(self) -> str:
        """Leave: every other client with a reset."""
        if self.number % 2:
            self.wire.reset()
        else:
            self.wire.close()
        self.struck_s = time.monotonic()
        return DROPPED


def judge(answer: Answer, expected: bytes) -> str:
    """Say what an answer is worth."""
    if answer.status == 200:
        return RIGHT if answer.begin == expected else f"wrong: {answer.begin!r} instead of {expected!r}"
    if answer.status == 503 and b"retry-after" in answer.headers:
        return REFUSED
    return f"wrong: {answer.status}"


def receipt_for(size_bytes: int) -> bytes:
    """Return what ``/upload`` answers to a body of that size."""
    return b"%d %d\n" % (size_bytes, checksum_of(size_bytes))
