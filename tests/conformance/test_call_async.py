"""``call_async``: from a view on a worker thread to the server's own event loop, and back."""

from __future__ import annotations

import contextvars
import functools
import threading
import traceback

import anyio
import pytest

from bridge import ClientDisconnected, Limits, NotInRequestError, RequestCancelled, call_async
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    block,
    hosted,
    on_both_loops,
    on_each_backend,
    run,
    serve,
    until,
)


class QueryError(Exception):
    """What goes wrong in a coroutine."""


def viewing(view):
    """A WSGI application that answers with the text that ``view()`` returns."""

    def app(environ, start_response):
        text = view()
        start_response("200 OK", list(TEXT))
        return [str(text).encode()]

    return app


class Coroutine:
    """A coroutine function that waits until it is let go or cancelled."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.was_cancelled = threading.Event()

    async def __call__(self) -> None:
        self.has_begun.set()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            self.was_cancelled.set()
            raise


# ---- There and back ---------------------------------------------------------------------------------------------


@on_each_backend
def test_the_result_comes_back_and_the_coroutine_ran_on_the_loop(backend):
    seen = []

    async def add(a: int, b: int, *, c: int) -> int:
        seen.append(threading.get_ident())
        await anyio.sleep(0)
        return a + b + c

    driver = serve(viewing(lambda: call_async(add, 1, 2, c=3)), backend=backend)

    assert driver.error is None
    assert driver.body == b"6"
    assert seen == [threading.get_ident()]


@on_both_loops
def test_any_callable_that_returns_an_awaitable_will_do(backend):
    async def answer(text: str) -> str:
        await anyio.sleep(0)
        return text

    def view() -> str:
        return call_async(functools.partial(answer, "partial,")) + call_async(lambda: answer("lambda"))

    driver = serve(viewing(view), backend=backend)

    assert driver.body == b"partial,lambda"


@on_each_backend
def test_an_exception_comes_back_as_itself(backend):
    error = QueryError("no such table")
    caught = []

    async def query() -> None:
        raise error

    def view() -> str:
        try:
            call_async(query)
        except QueryError as raised:
            caught.append(raised)
        return call_async(anyio.sleep, 0) or "went on"

    driver = serve(viewing(view), backend=backend)

    assert driver.body == b"went on"
    assert caught == [error]
    assert "query" in [frame.name for frame in traceback.extract_tb(error.__traceback__)]


@on_both_loops
def test_an_exception_the_view_does_not_catch_is_the_requests(backend):
    error = QueryError("no such table")

    async def query() -> None:
        raise error

    driver = serve(viewing(lambda: call_async(query)), backend=backend)

    assert driver.error is error


@on_both_loops
def test_a_function_that_is_no_coroutine_function_is_an_error_in_the_view(backend):
    raised = []

    def view() -> str:
        try:
            call_async(lambda: 5)  # type: ignore[arg-type, return-value]
        except TypeError as error:
            raised.append(error)
        return "went on"

    driver = serve(viewing(view), backend=backend)

    assert driver.body == b"went on"
    assert len(raised) == 1


place = contextvars.ContextVar("place", default="nowhere")


@on_each_backend
def test_context_variables_go_in_and_changes_stay_in_the_coroutine(backend):
    seen = []

    async def look(number: int) -> None:
        seen.append(place.get())
        await anyio.sleep(0)
        place.set(f"changed by coroutine {number}")

    def view() -> str:
        seen.append(place.get())
        place.set("view")
        call_async(look, 1)
        call_async(look, 2)
        return place.get()

    driver = Driver()
    with hosted(viewing(view)) as adapter:

        async def main() -> str:
            place.set("server")
            await driver.call(adapter)
            return place.get()

        assert run(main, backend) == "server"

    assert seen == ["server", "view", "view"]
    assert driver.body == b"view"


@on_each_backend
def test_coroutines_of_several_requests_run_concurrently(backend):
    """Each coroutine waits for all others, so one after the other would never end."""
    inside = []

    async def meet(count: int) -> int:
        inside.append(1)
        await until(lambda: len(inside) == count)
        return len(inside)

    drivers = [Driver() for _ in range(8)]
    with hosted(viewing(lambda: call_async(meet, 8))) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for driver in drivers:
                    tasks.start_soon(driver.call, adapter)

        run(main, backend)

    assert [driver.body for driver in drivers] == [b"8"] * 8


@on_each_backend
def test_threads_of_one_request_call_concurrently_with_its_context(backend):
    inside = []

    async def meet(count: int) -> int:
        inside.append(1)
        await until(lambda: len(inside) == count)
        return len(inside)

    def view() -> str:
        results: list[int] = []

        def ask() -> None:
            results.append(call_async(meet, 3))

        threads = [threading.Thread(target=contextvars.copy_context().run, args=(ask,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        return str(results)

    driver = serve(viewing(view), backend=backend)

    assert driver.body == b"[3, 3, 3]"


@on_each_backend
@pytest.mark.parametrize("backlog", [1, 1_000_000], ids=["blocked by the client", "at ease"])
def test_it_works_in_a_streamed_response_and_in_close(backlog, backend):
    async def number(value: int) -> bytes:
        await anyio.sleep(0)
        return b"%d," % value

    closed = []

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        blocks = (call_async(number, value) for value in range(20))
        return ClosingBlocks(blocks, lambda: closed.append(call_async(number, 99)))

    driver = serve(app, backend=backend, limits=Limits(response_memory_bytes=backlog))

    assert driver.error is None
    assert driver.body == b"".join(b"%d," % value for value in range(20))
    assert closed == [b"99,"]
    assert driver.is_complete


@on_both_loops
def test_many_calls_in_one_request_leave_the_response_whole(backend):
    async def one() -> int:
        return 1

    driver = serve(viewing(lambda: sum(call_async(one) for _ in range(200))), backend=backend)

    assert driver.body == b"200"
    assert driver.types == ["start", "body"]


# ---- Cut short --------------------------------------------------------------------------------------------------


@on_each_backend
@pytest.mark.parametrize("is_streaming", [False, True], ids=["before the response", "in the response"])
def test_the_clients_leaving_cancels_the_coroutine(is_streaming, backend):
    coroutine = Coroutine()
    caught = []

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        if is_streaming:
            yield b"first"
        try:
            call_async(coroutine)
        except ClientDisconnected as error:
            caught.append(error)
            raise

    driver = Driver()
    with hosted(app) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(coroutine.has_begun.is_set)
                driver.disconnect()

        run(main, backend)

    assert coroutine.was_cancelled.is_set()
    assert len(caught) == 1
    assert isinstance(caught[0], OSError)
    assert driver.error is None
    assert not driver.is_complete


@on_each_backend
@pytest.mark.requirement("W-142")
def test_the_cancelled_request_cancels_the_coroutine(backend):
    coroutine = Coroutine()
    caught = []
    ended = threading.Event()

    def view() -> str:
        try:
            call_async(coroutine)
        except ClientDisconnected as error:
            caught.append(error)
            raise
        finally:
            ended.set()
        return ""

    driver = Driver()
    with hosted(viewing(view)) as adapter:

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(coroutine.has_begun.is_set)
                tasks.cancel_scope.cancel()

        run(main, backend)
        block(ended)

    assert coroutine.was_cancelled.is_set()
    assert [isinstance(error, RequestCancelled) for error in caught] == [True]
    assert driver.is_cancelled


@on_both_loops
def test_a_call_after_the_client_has_left_is_refused(backend):
    ran, raised = [], []
    driver = Driver()

    async def work() -> None:
        ran.append(True)

    def app(environ, start_response):
        environ["bridge.client_disconnected"]()
        driver.disconnect()
        driver.settle()
        try:
            call_async(work)
        except ClientDisconnected as error:
            raised.append(error)
        start_response("200 OK", list(TEXT))
        return []

    serve(app, driver=driver, backend=backend)

    assert ran == []
    assert len(raised) == 1


# ---- In the wrong place -----------------------------------------------------------------------------------------


async def nothing() -> None:
    """Do nothing."""


def test_outside_a_request_there_is_no_loop_to_call():
    with pytest.raises(NotInRequestError, match="outside a request"):
        call_async(nothing)


@on_both_loops
def test_a_thread_without_the_requests_context_is_outside_the_request(backend):
    raised = []

    def view() -> str:
        def ask() -> None:
            try:
                call_async(nothing)
            except NotInRequestError as error:
                raised.append(error)

        thread = threading.Thread(target=contextvars.Context().run, args=(ask,))
        thread.start()
        thread.join(20)
        return ""

    serve(viewing(view), backend=backend)

    assert len(raised) == 1


@on_each_backend
def test_on_the_loop_it_refuses_instead_of_waiting_for_itself(backend):
    async def recurse() -> None:
        call_async(nothing)

    driver = serve(viewing(lambda: call_async(recurse)), backend=backend)

    assert isinstance(driver.error, NotInRequestError)
    assert "loop" in str(driver.error)


@on_both_loops
def test_a_thread_that_outlives_its_request_is_refused(backend):
    over = threading.Event()
    raised: list[BaseException] = []
    threads = []

    def view() -> str:
        def late() -> None:
            block(over)
            try:
                call_async(nothing)
            except Exception as error:
                raised.append(error)

        threads.append(threading.Thread(target=contextvars.copy_context().run, args=(late,)))
        threads[0].start()
        return "done"

    driver = Driver()
    with hosted(viewing(view)) as adapter:

        async def main() -> None:
            await driver.call(adapter)
            over.set()
            await until(lambda: not threads[0].is_alive())

        run(main, backend)

    assert driver.body == b"done"
    assert [isinstance(error, ClientDisconnected | NotInRequestError) for error in raised] == [True]
