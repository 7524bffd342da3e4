"""Stream sockets on a loop, by callbacks: the same on asyncio, uvloop and trio."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from bridge._runtime.lines import Line, open_line
from tests.backends import Backend

HIGH_WATER_BYTES = 64 * 1024
PATIENCE_S = 20.0
TURNS = 20
"""Turns of a loop in which all that is going to happen by itself has happened."""


class Owner:
    """Notes what the line tells."""

    def __init__(self) -> None:
        self.octets = bytearray()
        self.news: list[str] = []
        self.rooms = 0
        self.ends = 0
        self.on_octets: Callable[[], None] = lambda: None

    def octets_came(self, octets: bytes) -> None:
        assert type(octets) is bytes
        assert octets, "octets are never empty"
        self.octets += octets
        self.news.append("octets")
        self.on_octets()

    def line_ended(self) -> None:
        self.ends += 1
        self.news.append("end")

    def line_has_room(self) -> None:
        self.rooms += 1
        self.news.append("room")


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(PATIENCE_S):
        while not condition():
            await anyio.sleep(0.001)


async def settle() -> None:
    for _ in range(TURNS):
        await anyio.lowlevel.checkpoint()
    await anyio.sleep(0.005)


def unix_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """With buffers that do not grow: what is stuck is stuck."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect(listener.getsockname())
        server, _ = listener.accept()
        return server, socket.socket(fileno=client.detach())


@pytest.fixture(params=[pytest.param(unix_pair, id="unix"), pytest.param(tcp_pair, id="tcp")])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The end for the line, and ours; both are closed at the end."""
    own, other = request.param()
    other.settimeout(PATIENCE_S)
    with other:
        yield own, other
    assert own.fileno() == -1 or not _is_open(own), "the line has not closed its socket"


def _is_open(own: socket.socket) -> bool:
    try:
        own.getsockname()
    except OSError:
        return False
    return True


Course = Callable[[Line, Owner, socket.socket], Awaitable[None]]


def on_a_line(backend: Backend, ends: tuple[socket.socket, socket.socket], course: Course) -> Owner:
    """Run a course with an open line; the line is aborted at the end. Returns the owner."""
    owner = Owner()

    async def main() -> None:
        line = await open_line(ends[0], owner, HIGH_WATER_BYTES)
        try:
            await course(line, owner, ends[1])
        finally:
            line.abort()
            await settle()

    backend.run(main)
    return owner


_RESERVE_BYTES = 512 * 1024


async def fill(line: Line, owner: Owner) -> int:
    """Write until the line has enough and the system takes nothing more; return how much that was."""
    written = 0
    while True:
        while line.write(b"x" * 16384):
            written += 16384
            assert written < 64 * 1024 * 1024, "the line never has enough"
        written += 16384
        held_bytes = line.held_bytes
        await settle()
        if line.held_bytes == held_bytes:
            # Much more than enough: over TCP the system may take a little more a moment later.
            line.write(b"x" * _RESERVE_BYTES)
            written += _RESERVE_BYTES
            owner.news.clear()
            owner.rooms = 0
            return written


def receive_all(other: socket.socket) -> bytes:
    received = bytearray()
    while octets := other.recv(65536):
        received += octets
    return bytes(received)


def receive_now(other: socket.socket) -> bytes:
    """What is there."""
    other.settimeout(0)
    received = bytearray()
    try:
        while octets := other.recv(65536):
            received += octets
    except BlockingIOError:
        pass
    other.settimeout(PATIENCE_S)
    return bytes(received)


# ---- Octets that come -----------------------------------------------------------------------------------------------


def test_octets_are_handed_on_in_order(backend, ends):
    async def course(line, owner, other):
        other.sendall(b"one")
        await until(lambda: owner.octets == b"one")
        other.sendall(b"two")
        await until(lambda: owner.octets == b"onetwo")

    assert set(on_a_line(backend, ends, course).news) == {"octets"}


def test_much_comes_whole(backend, ends):
    data = bytes(range(256)) * 4096

    async def course(line, owner, other):
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, other.sendall, data)
        await until(lambda: len(owner.octets) == len(data))
        assert owner.octets == data

    on_a_line(backend, ends, course)


def test_octets_are_either_in_the_system_or_handed_on_and_never_in_between(backend, ends):
    """Whoever looks into the socket relies on it: what the owner was not told of can be seen there."""

    async def course(line, owner, other):
        for number in range(1, 6):
            other.sendall(b"x")
            while len(owner.octets) < number:
                await anyio.lowlevel.checkpoint()
                looking = socket.socket(fileno=descriptor)
                try:
                    is_there = bool(looking.recv(1, socket.MSG_PEEK)) if len(owner.octets) < number else True
                except BlockingIOError:
                    is_there = False
                finally:
                    looking.detach()
                assert is_there or len(owner.octets) == number, "the octet is nowhere"

    descriptor = ends[0].fileno()
    on_a_line(backend, ends, course)


def test_a_paused_line_hands_nothing_on_until_it_is_resumed(backend, ends):
    async def course(line, owner, other):
        line.pause()
        line.pause()
        other.sendall(b"one")
        await settle()
        assert owner.news == []
        line.resume()
        line.resume()
        await until(lambda: owner.octets == b"one")
        other.sendall(b"two")
        await until(lambda: owner.octets == b"onetwo")

    on_a_line(backend, ends, course)


def test_an_owner_may_pause_the_line_while_it_is_handed_octets(backend, ends):
    async def course(line, owner, other):
        owner.on_octets = line.pause
        other.sendall(b"1")
        await until(lambda: owner.octets == b"1")
        other.sendall(b"2")
        await settle()
        assert owner.octets == b"1"
        owner.on_octets = lambda: None
        line.resume()
        await until(lambda: owner.octets == b"12")

    on_a_line(backend, ends, course)


def test_a_pause_between_the_arrival_and_the_turn_of_the_loop_counts(backend, ends):
    async def course(line, owner, other):
        await settle()
        other.sendall(b"one")
        line.pause()
        await settle()
        assert owner.news == []
        line.resume()
        await until(lambda: owner.octets == b"one")

    on_a_line(backend, ends, course)


def test_a_line_that_is_paused_and_resumed_at_once_goes_on(backend, ends):
    async def course(line, owner, other):
        await settle()
        line.pause()
        line.resume()
        line.pause()
        line.resume()
        other.sendall(b"one")
        await until(lambda: owner.octets == b"one")

    on_a_line(backend, ends, course)


# ---- The end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "half-close"])
def test_the_end_is_told_once_after_all_that_came(how, backend, ends):
    async def course(line, owner, other):
        other.sendall(b"last")
        if how == "close":
            other.close()
        else:
            other.shutdown(socket.SHUT_WR)
        await until(lambda: owner.ends)
        await settle()

    owner = on_a_line(backend, ends, course)

    assert owner.octets == b"last"
    assert owner.news[-1] == "end"
    assert owner.ends == 1


def test_after_the_end_the_line_can_still_be_written_to(backend, ends):
    async def course(line, owner, other):
        other.shutdown(socket.SHUT_WR)
        await until(lambda: owner.ends)
        assert line.write(b"answer")
        assert other.recv(100) == b"answer"

    on_a_line(backend, ends, course)


def test_the_end_of_a_paused_line_is_told_when_it_is_resumed(backend, ends):
    async def course(line, owner, other):
        await settle()
        line.pause()
        other.sendall(b"last")
        other.close()
        await settle()
        assert owner.octets == b""
        line.resume()
        await until(lambda: owner.ends)

    owner = on_a_line(backend, ends, course)

    assert owner.octets == b"last"
    assert owner.ends == 1


def test_a_connection_that_is_reset_is_an_end(backend):
    own, other = tcp_pair()

    async def course(line, owner, other):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        await until(lambda: owner.ends)
        assert line.write(b"lost") in (True, False)
        await settle()

    assert on_a_line(backend, (own, other), course).ends == 1


def test_a_reset_while_much_is_unsent_frees_whoever_waits_for_room(backend):
    own, other = tcp_pair()

    async def course(line, owner, other):
        await fill(line, owner)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        await until(lambda: owner.ends and owner.rooms)
        assert line.write(b"lost"), "a line that is lost must not hold anybody back"
        await settle()

    owner = on_a_line(backend, (own, other), course)

    assert (owner.ends, owner.rooms) == (1, 1)


# ---- Octets that go -------------------------------------------------------------------------------------------------


def test_what_is_written_goes_out_in_order(backend, ends):
    async def course(line, owner, other):
        assert line.write(b"one")
        assert line.write(b"two")
        assert line.held_bytes == 0
        received = bytearray()
        while len(received) < 6:
            received += other.recv(100)
        assert received == b"onetwo"

    on_a_line(backend, ends, course)


def test_a_line_says_when_it_has_enough_and_when_there_is_room_again(backend, ends):
    async def course(line, owner, other):
        written = await fill(line, owner)
        assert line.held_bytes > HIGH_WATER_BYTES
        assert not line.write(b"y")
        await settle()
        assert owner.rooms == 0
        received = b""
        with anyio.fail_after(PATIENCE_S):
            while not owner.rooms:
                received += receive_now(other)
                await anyio.sleep(0)
        assert line.held_bytes <= HIGH_WATER_BYTES
        assert line.write(b"z")
        with anyio.fail_after(PATIENCE_S):
            while len(received) < written + 2:
                received += receive_now(other)
                await anyio.sleep(0)
        assert received == b"x" * written + b"yz"
        assert owner.rooms == 1

    on_a_line(backend, ends, course)


def test_reading_goes_on_while_writing_is_stuck(backend, ends):
    async def course(line, owner, other):
        await fill(line, owner)
        line.write(b"x" * 1024 * 1024)  # traffic the other way lets TCP take a little more
        other.sendall(b"hello")
        await until(lambda: owner.octets == b"hello")
        assert line.held_bytes > HIGH_WATER_BYTES

    on_a_line(backend, ends, course)


# ---- Ways to end it -------------------------------------------------------------------------------------------------


def test_end_sends_what_was_written_and_closes_and_tells_the_owner_nothing(backend, ends):
    async def course(line, owner, other):
        written = await fill(line, owner)
        line.end()
        received = b""
        with anyio.fail_after(PATIENCE_S):
            while len(received) < written:
                received += receive_now(other)
                await anyio.sleep(0)
        assert received == b"x" * written
        await until(lambda: not _is_connected(other))

    assert on_a_line(backend, ends, course).news == []


def _is_connected(other: socket.socket) -> bool:
    other.settimeout(0)
    try:
        return bool(other.recv(100))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def test_end_with_nothing_unsent_closes_at_once(backend, ends):
    async def course(line, owner, other):
        assert line.write(b"last")
        line.end()
        line.end()
        await settle()
        assert receive_all(other) == b"last"

    assert on_a_line(backend, ends, course).news == []


@pytest.mark.parametrize("how", ["end", "abort"])
def test_what_is_written_after_the_end_is_lost(how, backend, ends):
    async def course(line, owner, other):
        getattr(line, how)()
        assert line.write(b"lost")
        line.pause()
        line.resume()
        line.end_writing()
        await settle()
        assert receive_all(other) == b""

    assert on_a_line(backend, ends, course).news == []


def test_abort_closes_at_once_whatever_is_unsent(backend, ends):
    async def course(line, owner, other):
        written = await fill(line, owner)
        line.abort()
        line.abort()
        await settle()
        assert line.held_bytes == 0
        try:
            assert len(receive_all(other)) < written
        except ConnectionResetError:
            pass  # likewise

    assert on_a_line(backend, ends, course).news == []


def test_a_line_can_be_aborted_while_it_ends(backend, ends):
    async def course(line, owner, other):
        await fill(line, owner)
        line.end()
        await settle()
        line.abort()
        await settle()
        try:
            receive_all(other)
        except ConnectionResetError:
            pass

    assert on_a_line(backend, ends, course).news == []


@pytest.mark.parametrize("how", ["end", "abort"])
def test_the_owner_may_end_the_line_while_it_is_told_something(how, backend, ends):
    async def course(line, owner, other):
        owner.on_octets = getattr(line, how)
        other.sendall(b"goodbye")
        await until(lambda: owner.octets)
        assert await anyio.to_thread.run_sync(receive_all, other) == b""  # uvloop closes in a later turn

    assert on_a_line(backend, ends, course).news == ["octets"]


def test_end_writing_sends_what_was_written_and_then_the_end_and_goes_on_reading(backend, ends):
    async def course(line, owner, other):
        written = await fill(line, owner)
        line.end_writing()
        line.end_writing()
        received = await anyio.to_thread.run_sync(receive_all, other)
        assert received == b"x" * written
        other.sendall(b"I have heard")
        await until(lambda: owner.octets == b"I have heard")
        assert owner.ends == 0

    on_a_line(backend, ends, course)


def test_what_is_written_after_end_writing_is_lost(backend, ends):
    async def course(line, owner, other):
        assert line.write(b"last")
        line.end_writing()
        assert line.write(b"lost")
        await settle()
        assert receive_all(other) == b"last"
        assert line.write(b"lost as well")

    on_a_line(backend, ends, course)


def test_end_writing_after_the_other_end_has_gone_is_no_error(backend, ends):
    async def course(line, owner, other):
        other.close()
        await until(lambda: owner.ends)
        line.end_writing()
        await settle()

    assert on_a_line(backend, ends, course).ends == 1


# ---- Opening --------------------------------------------------------------------------------------------------------


def test_what_came_before_it_was_opened_is_handed_on(backend, ends):
    ends[1].sendall(b"early")

    async def course(line, owner, other):
        await until(lambda: owner.octets == b"early")

    on_a_line(backend, ends, course)


def test_a_socket_that_is_closed_cannot_be_opened(backend):
    own, other = socket.socketpair()
    own.close()
    other.close()

    async def main() -> None:
        with pytest.raises(OSError):
            await open_line(own, Owner(), HIGH_WATER_BYTES)

    backend.run(main)


def test_an_opening_that_is_cancelled_closes_the_socket(backend):
    own, other = socket.socketpair()
    other.settimeout(PATIENCE_S)

    async def main() -> Any:
        line = None
        with anyio.CancelScope() as scope:
            scope.cancel()
            line = await open_line(own, Owner(), HIGH_WATER_BYTES)
        if line is not None:  # where opening never waits
            line.abort()
        await settle()

    backend.run(main)

    with other:
        assert other.recv(1) == b""
