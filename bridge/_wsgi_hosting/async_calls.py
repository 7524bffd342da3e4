"""From inside a WSGI application: run a coroutine function on the server's own event loop."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Generic, ParamSpec, TypeVar

import anyio

from bridge._wsgi_hosting.call import current_call
from bridge.errors import ClientDisconnected, NotInRequestError, RequestCancelled

T = TypeVar("T")
P = ParamSpec("P")

# Seconds between two looks at whether the loop is still there.
_LOOK_EVERY_S = 0.5


class AsyncCall(Generic[T]):
    """One coroutine function on its way to the loop, and its result on the way back.

    The loop writes all of it and sets the event last; the worker reads once the event is set.
    """

    __slots__ = (
        "_args",
        "_done",
        "_error",
        "_function",
        "_kwargs",
        "_reason",
        "_result",
        "_scope",
        "context",
    )

    def __init__(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.context = copy_context()
        self._function = function
        self._args = args
        self._kwargs = kwargs
        self._done = threading.Event()
        self._scope: anyio.CancelScope | None = None
        self._reason: ClientDisconnected | None = None
        self._result: T | None = None
        self._error: BaseException | None = None

    # ---- Loop ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run the coroutine function; never raises but for the task's own cancellation. Loop."""
        try:
            with anyio.CancelScope() as self._scope:
                if self._reason is not None:
                    self._scope.cancel()
                self._result = await self._function(*self._args, **self._kwargs)
            if self._scope.cancelled_caught:
                self._error = self._reason
        except anyio.get_cancelled_exc_class() as error:
            self._error = RequestCancelled("the request was cancelled while the application awaited a coroutine")
            self._error.__cause__ = error
            raise
        except BaseException as error:  # noqa: BLE001 - belongs to the application, which is waiting for it
            self._error = error
        finally:
            self._done.set()

    def cancel(self, reason: ClientDisconnected) -> None:
        """Cancel the coroutine; the application gets ``reason``. Loop."""
        self._reason = reason
        if self._scope is not None:
            self._scope.cancel()
        else:
            self._error = reason
            self._done.set()

    # ---- Worker -------------------------------------------------------------------------------------------------

    def wait(self, is_loop_running: Callable[[], bool]) -> T:
        """Wait for the result. Worker.

        Raises:
            BaseException: what the coroutine raised.
            ClientDisconnected: it was cancelled, because the client left or the request was ended.
        """
        while not self._done.wait(_LOOK_EVERY_S):
            if not is_loop_running():
                raise RequestCancelled("the event loop of this request has ended")
        if self._error is not None:
            try:
                raise self._error
            finally:
                self._error = None
        return self._result  # type: ignore[return-value]  # set whenever there is no error


def call_async(function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a coroutine function on the event loop that serves the current request, and return its result.

    For WSGI code hosted by `bridge.to_asgi`: a Flask view can use the database pool or the HTTP client that belongs to
    the loop, as the ASGI application beside it does::

        rows = call_async(pool.fetch, "select 1")

    The coroutine sees the caller's context variables (changes it makes stay its own). It is cancelled when the client
    leaves or the request is cancelled. The worker thread is held meanwhile.

    Args:
        function: a coroutine function, or any callable that returns an awaitable; it is called on the loop.
        args: passed on.
        kwargs: passed on.

    Returns:
        What the coroutine returns.

    Raises:
        NotInRequestError: no request of the bridge is running here, or the caller is on the loop itself.
        ClientDisconnected: the client left, or the request was cancelled, before the coroutine was done.
        BaseException: what the coroutine raises.

    Runs on: the worker thread of a request, or a thread the application started with its context.
    """
    current = current_call.get()
    if current is None:
        raise NotInRequestError(
            "call_async() was used outside a request: it needs a WSGI application hosted by bridge.to_asgi(), and the "
            "context of the request (contextvars.copy_context() for threads of your own)"
        )
    exchange = current.exchange
    if exchange.port.is_current():
        raise NotInRequestError("call_async() was used on the event loop itself; await the coroutine instead")
    call: AsyncCall[T] = AsyncCall(function, args, kwargs)
    exchange.helpers().begin_async_call(call)
    return call.wait(exchange.port.is_running)
