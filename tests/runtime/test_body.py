"""`BodyStream` is a file like any other: whatever is read, in whatever pieces it came, equals `io.BytesIO`."""

from __future__ import annotations

import io
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge._runtime.body import BodyStream, FileSource, LazySource, MemorySource, Source
from bridge._runtime.inflow import Inflow
from tests.meeting import TIMEOUT_S, Helper

Steps = list[tuple[str, Any]]

SIZES = st.one_of(st.none(), st.integers(-2, 40), st.sampled_from([8191, 8192, 8193, 20_000]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["read", "readline", "readlines"]), SIZES),
        st.tuples(st.just("readinto"), st.integers(0, 40)),
        st.tuples(st.just("read1"), st.integers(0, 40)),
        st.tuples(st.just("next"), st.none()),
        st.tuples(st.just("no size"), st.sampled_from(["read", "readline", "readlines"])),
    ),
    max_size=15,
)
# Few different octets, line ends of all kinds among them; sometimes longer than any buffer.
TEXTS = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\0", b"x" * 9000, b"\xff"]), max_size=25)
SEGMENTS = st.lists(st.integers(1, 9000), max_size=12)


def segmented(body: bytes, cuts: list[int]) -> list[bytes]:
    """Cut a body into non-empty pieces."""
    pieces = []
    for cut in cuts:
        if not body:
            break
        pieces.append(body[:cut])
        body = body[cut:]
    return [*pieces, body] if body else pieces


class Link:
    """The owner of an inflow whose loop always runs."""

    def __init__(self) -> None:
        self.questions = threading.Semaphore(0)
        self.ask = self.questions.release

    def is_loop_running(self) -> bool:
        return True

    def loop_is_gone(self) -> Exception:
        return RuntimeError("gone")

    def body_is_late(self) -> Exception:
        return TimeoutError("late")


@contextmanager
def memory_source(pieces: list[bytes]) -> Iterator[Source]:
    yield MemorySource(b"".join(pieces))


@contextmanager
def file_source(pieces: list[bytes]) -> Iterator[Source]:
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the source closes it
    for piece in pieces:
        file.write(piece)
    source = FileSource(file)
    try:
        yield source
    finally:
        source.close()


@contextmanager
def fed_source(pieces: list[bytes]) -> Iterator[Source]:
    """An inflow that another thread feeds, one piece per question."""
    link = Link()
    questions = link.questions
    inflow = Inflow(TIMEOUT_S, link)
    is_over = False

    def feed() -> None:
        left = list(pieces)
        while questions.acquire(timeout=TIMEOUT_S) and not is_over:
            if left:
                inflow.feed(left.pop(0))
            if not left:
                inflow.end()

    feeder = Helper(feed, "feeder")
    try:
        yield inflow
    finally:
        is_over = True
        questions.release()
        feeder.join()


@contextmanager
def stingy_source(pieces: list[bytes]) -> Iterator[Source]:
    """Gives one piece per question, never more: shorter reads than a file ever does."""

    class Stingy:
        left = list(pieces)

        def readinto(self, buffer: memoryview) -> int:
            if not self.left:
                return 0
            count = min(len(buffer), len(self.left[0]))
            buffer[:count] = self.left[0][:count]
            self.left[0] = self.left[0][count:]
            if not self.left[0]:
                del self.left[0]
            return count

    yield LazySource(Stingy)


SOURCES = [
    pytest.param(memory_source, id="memory"),
    pytest.param(file_source, id="file"),
    pytest.param(fed_source, id="inflow"),
    pytest.param(stingy_source, id="lazy"),
]


def step(stream: Any, name: str, argument: Any) -> object:
    """Make one call; what comes back is comparable."""
    if name == "no size":
        return getattr(stream, argument)()
    if name == "next":
        return next(stream, b"")
    if name == "readinto":
        buffer = bytearray(argument)
        return stream.readinto(buffer), bytes(buffer)
    return getattr(stream, name)(argument)


@pytest.mark.requirement("W-067", "W-068", "W-069", "W-070", "W-071", "W-072")
@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=100, deadline=None)
@given(texts=TEXTS, cuts=SEGMENTS, steps=STEPS)
def test_any_sequence_of_calls_reads_what_a_file_would(source, texts, cuts, steps: Steps):
    body = b"".join(texts)
    oracle = io.BytesIO(body)
    with source(segmented(body, cuts)) as made:
        stream = BodyStream(made)
        for name, argument in steps:
            if name == "read1":  # how much comes at once is the source's matter; that it is next is not
                got = stream.read1(argument)
                expected = oracle.read(len(got))
                assert len(got) <= argument
                assert got or not argument or oracle.read(1) == b""
            else:
                got, expected = step(stream, name, argument), step(oracle, name, argument)
            assert got == expected, (name, argument)
            assert type(got) is type(expected)

        assert stream.read() == oracle.read()
        assert stream.read() == stream.readline() == stream.read(5) == b""


@pytest.mark.requirement("W-070")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("hint", range(-1, 12))
def test_readlines_stops_exactly_where_a_file_would(source, hint):
    with source([b"a\n", b"bcd", b"\nef\ng"]) as made:
        assert BodyStream(made).readlines(hint) == io.BytesIO(b"a\nbcd\nef\ng").readlines(hint)


@pytest.mark.requirement("W-083")
@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=300), cuts=st.lists(st.integers(1, 7), max_size=20), newline=st.sampled_from([None, ""]))
def test_text_read_through_a_wrapper_is_what_a_file_would_give(source, text, cuts, newline):
    body = text.encode("utf-8", "surrogatepass")
    oracle = io.TextIOWrapper(io.BytesIO(body), "utf-8", errors="surrogatepass", newline=newline)
    with source(segmented(body, cuts)) as made:
        wrapper = io.TextIOWrapper(BodyStream(made), "utf-8", errors="surrogatepass", newline=newline)

        assert list(wrapper) == list(oracle)


@pytest.mark.requirement("W-083")
@pytest.mark.parametrize("source", SOURCES)
def test_a_stream_can_be_read_but_not_sought_or_written(source):
    with source([b"abc"]) as made:
        stream = BodyStream(made)

        assert stream.readable()
        assert not stream.seekable()
        assert not stream.writable()
        for name in ("seek", "write", "fileno", "truncate"):
            assert not hasattr(stream, name), name
        assert stream.read() == b"abc"


@pytest.mark.parametrize("size", [2.5, "3", b"3"], ids=repr)
@pytest.mark.parametrize("method", ["read", "readline"])
def test_a_size_that_is_no_whole_number_is_refused(method, size):
    stream = BodyStream(MemorySource(b"abc"))

    with pytest.raises((TypeError, ValueError)):
        getattr(stream, method)(size)

    assert stream.read() == b"abc"


def cut_memory(octets: bytes, error: Exception) -> Source:
    return MemorySource(octets, error)


def cut_file(octets: bytes, error: Exception) -> Source:
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the source closes it
    file.write(octets)
    return FileSource(file, error)


def cut_inflow(octets: bytes, error: Exception) -> Source:
    inflow = Inflow(TIMEOUT_S, Link())
    inflow.feed(octets)
    inflow.close(error)
    return inflow


CUT_SOURCES = [
    pytest.param(cut_memory, id="memory"),
    pytest.param(cut_file, id="file"),
    pytest.param(cut_inflow, id="inflow"),
]


@pytest.mark.requirement("W-078")
@pytest.mark.parametrize("source", CUT_SOURCES)
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda stream: stream.read(), id="read-all"),
        pytest.param(lambda stream: stream.read(1), id="read-1"),
        pytest.param(lambda stream: stream.read(100_000), id="read-large"),
        pytest.param(lambda stream: stream.readline(), id="readline"),
        pytest.param(lambda stream: stream.readlines(), id="readlines"),
        pytest.param(lambda stream: stream.readinto(bytearray(3)), id="readinto"),
        pytest.param(next, id="next"),
        pytest.param(lambda stream: stream.read1(5), id="read1"),
    ],
)
def test_octets_of_a_cut_body_are_delivered_and_then_every_read_raises(
    source: Callable[[bytes, Exception], Source], read
):
    error = ConnectionResetError("cut")
    made = source(b"ab\ncd", error)
    stream = BodyStream(made)

    assert [stream.readline(), stream.read(1), stream.read(1)] == [b"ab\n", b"c", b"d"]
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            read(stream)

    if isinstance(made, FileSource):
        made.close()


@pytest.mark.requirement("W-078")
@pytest.mark.parametrize("source", CUT_SOURCES)
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda stream: stream.read(), id="read-all"),
        pytest.param(lambda stream: stream.readlines(), id="readlines"),
        pytest.param(list, id="iteration"),
    ],
)
def test_a_cut_body_read_in_one_go_never_looks_whole(source, read):
    made = source(b"ab\ncd", ConnectionResetError("cut"))

    with pytest.raises(ConnectionResetError):
        read(BodyStream(made))

    if isinstance(made, FileSource):
        made.close()


def test_a_source_of_a_cut_body_reads_nothing_into_no_room_without_an_error():
    empty = memoryview(bytearray())

    for source in (cut_memory, cut_file, cut_inflow):
        made = source(b"", ConnectionResetError("cut"))
        assert made.readinto(empty) == 0
        if isinstance(made, FileSource):
            made.close()


def test_a_closed_file_source_raises_and_can_be_closed_again():
    source = cut_file(b"abc", OSError())

    source.close()
    source.close()

    with pytest.raises(ValueError, match="after the request had ended"):
        BodyStream(source).read()


def test_a_lazy_source_is_made_by_the_first_read_and_only_once():
    made = []

    def make() -> Source:
        made.append(True)
        return MemorySource(b"abc")

    stream = BodyStream(LazySource(make))
    assert stream.read(0) == stream.readline(0) == b""
    assert made == []
    assert stream.read() == b"abc"
    assert stream.read() == b""
    assert made == [True]


@pytest.mark.requirement("W-081")
@pytest.mark.parametrize("source", SOURCES)
def test_two_threads_get_disjoint_octets_that_sum_to_the_body(source):
    counters = [number.to_bytes(4, "big") for number in range(4000)]
    with source(segmented(b"".join(counters), [1, 7, 4096, 8192, 3])) as made:
        stream = BodyStream(made)
        together = threading.Barrier(2)

        def read_all() -> list[bytes]:
            together.wait(TIMEOUT_S)
            return list(iter(lambda: stream.read(4), b""))

        readers = [Helper(read_all) for _ in range(2)]
        got = [reader.join() for reader in readers]

    assert sorted(got[0] + got[1]) == counters
