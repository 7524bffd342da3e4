"""A line hands on what comes in pieces: others on the loop have their turn, and its owner can say that it is enough."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from bridge._runtime.lines import Line, open_line

_PIECE_BYTES = 1000
_SENT = bytes(range(250)) * 40  # ten pieces
_WAIT_S = 20.0


class _Owner:
    """Notes what it gets, and how many turns the loop has made by then; pauses at a given number of pieces."""

    line: Line

    def __init__(self, pauses_at: int = 0) -> None:
        self.pieces: list[bytes] = []
        self.turns: list[int] = []
        self.turn = 0
        self.pauses_at = pauses_at
        self.has_ended = asyncio.Event()
        self.has_paused = asyncio.Event()

    def octets_came(self, octets: bytes) -> None:
        self.pieces.append(octets)
        self.turns.append(self.turn)
        if len(self.pieces) == self.pauses_at:
            self.line.pause()
            self.has_paused.set()

    def line_ended(self) -> None:
        self.has_ended.set()

    def line_has_room(self) -> None:
        pass

    def count(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.count)


loops = pytest.mark.parametrize(
    "new_loop", [pytest.param(asyncio.new_event_loop, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
)


async def _opened(owner: _Owner) -> socket.socket:
    own, other = socket.socketpair()
    other.sendall(_SENT)
    other.shutdown(socket.SHUT_WR)
    owner.line = await open_line(own, owner, 1 << 20, _PIECE_BYTES)
    return other


async def _end(line: Line) -> None:
    line.end()
    for _ in range(5):  # the loop closes it in one of its next turns
        await asyncio.sleep(0)


@loops
def test_what_comes_at_once_is_handed_on_in_order_one_piece_in_each_turn_of_the_loop(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> None:
        owner = _Owner()
        owner.count()
        with await _opened(owner):
            await asyncio.wait_for(owner.has_ended.wait(), _WAIT_S)
            await _end(owner.line)
        assert b"".join(owner.pieces) == _SENT
        assert max(map(len, owner.pieces)) == _PIECE_BYTES
        assert len(set(owner.turns)) == len(owner.pieces)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


@loops
def test_a_pause_holds_from_the_next_piece_on_and_the_rest_comes_when_it_is_over(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def run() -> None:
        owner = _Owner(pauses_at=3)
        with await _opened(owner):
            await asyncio.wait_for(owner.has_paused.wait(), _WAIT_S)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(owner.pieces) == 3
            assert not owner.has_ended.is_set()
            owner.line.resume()
            await asyncio.wait_for(owner.has_ended.wait(), _WAIT_S)
            await _end(owner.line)
        assert b"".join(owner.pieces) == _SENT

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())
