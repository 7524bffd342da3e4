"""The returned iterable: its blocks, its thread and the one call of ``close()`` (W-107 to W-117)."""

from __future__ import annotations

import contextvars
import logging
import threading

import anyio
import pytest

from bridge import ApplicationError, Limits
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    MiddlewareError,
    answering,
    block,
    hosted,
    logged,
    make_scope,
    on_both_loops,
    on_each_backend,
    plain_and_linted,
    run,
    serve,
    until,
)


class ViewError(Exception):
    """What goes wrong in the application."""


class OldSequence:
    """Iterable by ``__getitem__`` alone."""

    def __getitem__(self, index: int) -> bytes:
        return (b"a", b"b", b"c")[index]


class SizedSequence(OldSequence):
    """The same, with a length."""

    def __len__(self) -> int:
        return 3


class Aloof:
    """An iterable that lets nothing be touched but what PEP 3333 names."""

    def __init__(self) -> None:
        self.closed = 0

    def __getattribute__(self, name: str) -> object:
        assert name in {"__iter__", "__len__", "__class__", "__dict__", "close", "closed"}, f"touched {name}"
        return super().__getattribute__(name)

    def __iter__(self):
        return iter([b"a", b"b", b"c"])

    def __len__(self) -> int:
        return 3

    def close(self) -> None:
        self.closed += 1


# ---- Any iterable -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-107")
@plain_and_linted
@on_each_backend
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: [b"a", b"b", b"c"], id="list"),
        pytest.param(lambda: (b"a", b"b", b"c"), id="tuple"),
        pytest.param(lambda: (octet for octet in (b"a", b"b", b"c")), id="generator"),
        pytest.param(lambda: iter([b"a", b"b", b"c"]), id="iterator"),
        pytest.param(lambda: {b"a": 1, b"b": 2, b"c": 3}, id="dict"),
        pytest.param(lambda: map(bytes, ([97], [98], [99])), id="map"),
        pytest.param(OldSequence, id="getitem"),
        pytest.param(SizedSequence, id="getitem and len"),
        pytest.param(Aloof, id="aloof"),
    ],
)
def test_any_iterable_is_a_response(make, backend, wrap):
    driver = serve(wrap(answering(make)), backend=backend)

    assert driver.error is None
    assert driver.body == b"abc"
    assert driver.is_complete


# ---- Blocks -----------------------------------------------------------------------------------------------------


@on_each_backend
@plain_and_linted
@pytest.mark.requirement("W-108")
def test_each_block_goes_out_before_the_next_is_asked_for(backend, wrap):
    driver = Driver()

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))

        def blocks():
            for number in range(5):
                yield b"block %d;" % number
                driver.block_until_sent(number + 2)  # the start, and every block up to this one

        return blocks()

    serve(wrap(app), driver=driver, backend=backend)

    assert driver.error is None
    assert [message.get("body") for message in driver.messages[1:]] == [b"block %d;" % n for n in range(5)] + [b""]


@pytest.mark.requirement("W-109")
@on_both_loops
def test_empty_blocks_send_nothing_and_do_not_release_the_headers(backend):
    driver = Driver()

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))

        def blocks():
            yield b""
            yield b""
            driver.settle()
            assert driver.sent == []
            try:
                raise ViewError
            except ViewError as error:
                start_response("500 Oops", list(TEXT), (type(error), error, error.__traceback__))
            yield b"oops"
            driver.block_until_sent(2)
            yield b""
            driver.settle()
            assert len(driver.sent) == 2

        return blocks()

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert driver.status == 500
    assert driver.types == ["start", "body", "body"]


ALL_OCTETS = bytes(range(256))


@pytest.mark.requirement("W-110")
@plain_and_linted
@on_each_backend
@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([], id="none"),
        pytest.param([b""], id="one empty"),
        pytest.param([ALL_OCTETS], id="all octets"),
        pytest.param([b"a", b"", b"\r\n", b"0\r\n\r\n"], id="several"),
        pytest.param([b"x" * 100_000, b"y" * 70_000, b"z"], id="large"),
        pytest.param([b"%d," % n for n in range(1000)], id="a thousand"),
    ],
)
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_octets_are_unaltered_and_exactly_one_event_ends_the_response(blocks, make, wrap, backend):
    driver = serve(wrap(answering(lambda: make(blocks))), backend=backend)

    assert driver.error is None
    assert driver.body == b"".join(blocks)
    assert driver.types[0] == "start"
    assert set(driver.types[1:]) == {"body"}
    assert [message["more_body"] for message in driver.messages[1:]].count(False) == 1
    assert driver.messages[-1]["more_body"] is False


@pytest.mark.requirement("W-110")
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
def test_an_empty_iterable_gives_a_start_and_one_empty_body(make):
    driver = serve(answering(lambda: make([])))

    assert driver.messages[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]


@on_both_loops
@pytest.mark.requirement("W-111")
def test_a_slow_client_pauses_the_iteration(backend):
    block_bytes, bound_bytes, many = 1024, 8 * 1024, 2000
    driver = Driver(hold_at={1})
    produced = []

    def blocks():
        for number in range(many):
            produced.append(number)
            yield b"x" * block_bytes

    paused_at: list[int] = []
    with hosted(answering(blocks), limits=Limits(response_memory_bytes=bound_bytes)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: driver.attempts == 2)
                with anyio.move_on_after(0.1):  # an unbounded iteration is over long before
                    await until(lambda: len(produced) == many)
                paused_at.append(len(produced))
                driver.release(1)

        run(main, backend)

    assert paused_at[0] <= bound_bytes // block_bytes + 1
    assert len(driver.body) == many * block_bytes


@pytest.mark.requirement("W-112")
@pytest.mark.parametrize(
    "wrong", ["text", bytearray(b"x"), memoryview(b"x"), 5, None, [b"x"]], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize(
    ("make", "goes_out"),
    [
        pytest.param(lambda wrong: [wrong], b"", id="only block of a list"),
        pytest.param(lambda wrong: (wrong,), b"", id="only block of a tuple"),
        pytest.param(lambda wrong: iter([wrong]), b"", id="first of an iterator"),
        pytest.param(lambda wrong: iter([b"good", wrong, b"after"]), b"good", id="second of an iterator"),
    ],
)
def test_a_block_that_is_not_bytes_raises_type_error_and_is_not_sent(wrong, make, goes_out):
    driver = serve(answering(lambda: make(wrong)))

    assert isinstance(driver.error, TypeError)
    assert type(wrong).__name__ in str(driver.error)
    assert driver.body in {b"", goes_out}
    assert not driver.is_complete


@pytest.mark.requirement("W-112")
@pytest.mark.parametrize("returned", [None, "text", b"bytes", 5, object()], ids=lambda value: type(value).__name__)
def test_a_returned_object_that_is_no_iterable_of_blocks_is_named_in_the_error(returned):
    driver = serve(answering(lambda: returned))

    assert isinstance(driver.error, TypeError)
    assert isinstance(driver.error, ApplicationError)
    assert type(returned).__name__ in str(driver.error)
    assert driver.sent == []


# ---- close() ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-113")
@plain_and_linted
@on_each_backend
def test_close_of_the_returned_object_is_called_exactly_once_and_of_its_iterator_never(wrap, backend):
    iterator_closed = []

    class Iterator:
        def __init__(self) -> None:
            self.left = [b"one", b"two"]

        def __iter__(self):
            return self

        def __next__(self) -> bytes:
            if not self.left:
                raise StopIteration
            return self.left.pop(0)

        def close(self) -> None:
            iterator_closed.append(True)

    class Returned(ClosingBlocks):
        def __iter__(self):
            return Iterator()

    returned = Returned()

    driver = serve(wrap(answering(lambda: returned)), backend=backend)

    assert driver.body == b"onetwo"
    assert len(returned.closed_in) == 1
    assert iterator_closed == []


@pytest.mark.requirement("W-113")
def test_a_list_with_a_close_method_is_closed():
    closed = []

    class Blocks(list):
        def close(self) -> None:
            closed.append(True)

    driver = serve(answering(lambda: Blocks([b"body"])))

    assert driver.body == b"body"
    assert closed == [True]


def failing_blocks():
    yield b"one"
    raise ViewError


def endless_blocks():
    while True:
        yield b"0123456789"


class FailingIter(ClosingBlocks):
    def __iter__(self):
        raise ViewError


@pytest.mark.requirement("W-114")
@on_each_backend
@pytest.mark.parametrize(
    ("make", "headers", "method", "send_options", "error"),
    [
        pytest.param(ClosingBlocks, TEXT, "GET", {}, None, id="normal end"),
        pytest.param(lambda: ClosingBlocks([]), TEXT, "GET", {}, None, id="no block"),
        pytest.param(lambda: ClosingBlocks(failing_blocks()), TEXT, "GET", {}, ViewError, id="error in iteration"),
        pytest.param(FailingIter, TEXT, "GET", {}, ViewError, id="error in iter()"),
        pytest.param(ClosingBlocks, None, "GET", {}, ApplicationError, id="no start_response"),
        pytest.param(
            lambda: ClosingBlocks(["text"]),  # type: ignore[list-item]
            TEXT,
            "GET",
            {},
            ApplicationError,
            id="block of a wrong type",
        ),
        pytest.param(
            lambda: ClosingBlocks(endless_blocks()),
            [("Content-Length", "25")],
            "GET",
            {},
            None,
            id="stopped at Content-Length",
        ),
        pytest.param(
            ClosingBlocks, [("Content-Length", "99")], "GET", {}, ApplicationError, id="short of Content-Length"
        ),
        pytest.param(lambda: ClosingBlocks(endless_blocks()), TEXT, "HEAD", {}, None, id="HEAD"),
        pytest.param(
            lambda: ClosingBlocks(endless_blocks()),
            TEXT,
            "GET",
            {"fail_at": {0: MiddlewareError()}},
            MiddlewareError,
            id="send fails on start",
        ),
        pytest.param(
            lambda: ClosingBlocks(endless_blocks()),
            TEXT,
            "GET",
            {"fail_at": {2: MiddlewareError()}},
            MiddlewareError,
            id="send fails on a body",
        ),
        pytest.param(
            lambda: ClosingBlocks(endless_blocks()), TEXT, "GET", {"fail_at": {2: OSError()}}, None, id="client gone"
        ),
    ],
)
def test_close_is_called_once_on_every_path(make, headers, method, send_options, error, backend):
    returned = make()

    def app(environ, start_response):
        if headers is not None:
            start_response("200 OK", list(headers))
        return returned

    driver = serve(app, driver=Driver(make_scope(method), **send_options), backend=backend)

    assert (driver.error is None) if error is None else isinstance(driver.error, error)
    assert len(returned.closed_in) == 1


@pytest.mark.requirement("W-115")
@on_each_backend
def test_call_steps_write_and_close_share_one_thread_and_one_context(backend):
    place = contextvars.ContextVar("place", default="nowhere")
    seen: list[tuple[str, str, int]] = []

    def note(step: str) -> None:
        seen.append((step, place.get(), threading.get_ident()))
        place.set(step)

    class Blocks:
        def __iter__(self):
            note("iter")
            for number in range(3):
                note(f"step {number}")
                write(b"w")
                yield b"b"

        def close(self) -> None:
            note("close")

    write = None

    def app(environ, start_response):
        nonlocal write
        place.set("call")
        note("called")
        write = start_response("200 OK", list(TEXT))
        return Blocks()

    driver = serve(app, backend=backend)

    assert driver.body == b"wbwbwb"
    assert [(step, before) for step, before, _ in seen] == [
        ("called", "call"),
        ("iter", "called"),
        ("step 0", "iter"),
        ("step 1", "step 0"),
        ("step 2", "step 1"),
        ("close", "step 2"),
    ]
    assert len({thread_id for _, _, thread_id in seen}) == 1
    assert place.get() == "nowhere"


@pytest.mark.requirement("W-116")
@on_each_backend
@pytest.mark.parametrize("blocks", [(b"one",), (b"one", b"two"), ()], ids=len)
def test_the_end_goes_out_before_close_and_the_adapter_returns_after_it(blocks, backend):
    driver = Driver()
    returned_early = []

    def on_close() -> None:
        driver.block_until(lambda: driver.is_complete)
        driver.settle()
        returned_early.append(driver.is_returned)

    serve(answering(lambda: ClosingBlocks(blocks, on_close)), driver=driver, backend=backend)

    assert driver.error is None
    assert returned_early == [False]
    assert driver.is_returned


@pytest.mark.requirement("W-117")
def test_an_error_in_close_after_a_complete_response_is_logged_and_harms_nothing(caplog):
    def on_close() -> None:
        raise ViewError("in close")

    driver = serve(answering(lambda: ClosingBlocks(on_close=on_close)))

    assert driver.body == b"onetwo"
    assert driver.is_complete
    assert driver.error is None
    records = logged(caplog, logging.ERROR)
    assert len(records) == 1
    assert records[0].exc_info is not None
    assert isinstance(records[0].exc_info[1], ViewError)


@pytest.mark.requirement("W-117")
def test_an_error_in_close_does_not_hide_the_first_error(caplog):
    def on_close() -> None:
        raise ViewError("in close")

    def blocks():
        yield b"one"
        raise LookupError("first")

    driver = serve(answering(lambda: ClosingBlocks(blocks(), on_close)))

    assert isinstance(driver.error, LookupError)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["in close"]


@pytest.mark.requirement("W-117", "W-135")
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration()], ids=lambda e: type(e).__name__)
def test_even_an_exit_in_close_stays_in_the_request(error, caplog):
    def on_close() -> None:
        raise error

    with hosted(answering(lambda: ClosingBlocks(on_close=on_close))) as adapter:
        drivers = [Driver(), Driver()]

        async def main() -> None:
            for driver in drivers:
                await driver.call(adapter)

        run(main)

    assert [driver.is_complete for driver in drivers] == [True, True]
    assert [driver.error for driver in drivers] == [None, None]


@pytest.mark.requirement("W-114", "W-142")
@on_both_loops
def test_close_is_called_when_the_request_is_cancelled(backend):
    returned = ClosingBlocks(endless_blocks())
    driver = Driver(hold_at={1})
    closed = threading.Event()
    returned._on_close = closed.set

    with hosted(answering(lambda: returned), limits=Limits(response_memory_bytes=1000)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: driver.attempts == 2)
                tasks.cancel_scope.cancel()

        run(main, backend)
        block(closed)

    assert len(returned.closed_in) == 1
