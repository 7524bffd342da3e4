"""What may run beside a request on the loop: its receiver, and coroutines called from the application.

Made only when somebody wants it (a body, a streamed response whose client may leave, `call_async`): an ordinary
request without a body has no helpers. The tasks run in the task group of the exchange.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from bridge._runtime.inflow import Inflow
from bridge._wsgi_hosting.request_body import RequestReceiver
from bridge.errors import ClientDisconnected, ClientTimeout, RequestCancelled
from bridge.translate.headers import BodyFraming
from bridge.types import Receive

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from bridge._wsgi_hosting.async_calls import AsyncCall
    from bridge._wsgi_hosting.contact import Contact

# Turns of the loop that the receiver needs to be started and to ask the server once.
_TURNS_FOR_A_LOOK = 6
_LOOK_TIMEOUT_S = 1.0


class Helpers:
    """The helpers of one request.

    Attributes:
        receiver: the only caller of ``receive()``.
        inflow: the body on demand; None until somebody reads or looks.
    """

    def __init__(self, exchange: Contact, receive: Receive, framing: BodyFraming) -> None:
        self.receiver = RequestReceiver(receive, framing, exchange.hosting.limits, ends_by_length=exchange.is_http_1)
        self._exchange = exchange
        self._expects_continue = framing.expects_continue
        self._lock = threading.Lock()
        self._wants_news = False
        self._receiver_runs = False
        self._new_calls: deque[AsyncCall[Any]] = deque()
        self._calls: set[AsyncCall[Any]] = set()

    # ---- Loop ---------------------------------------------------------------------------------------------------

    def want_start(self) -> bool:
        """Tell whether there is a task to start."""
        return bool(self._new_calls) or (not self._receiver_runs and self._wants_receiver())

    def start(self, group: TaskGroup) -> None:
        """Start the tasks that are wanted now, in the request's task group."""
        while self._new_calls:
            call = self._new_calls.popleft()
            if self._exchange.is_gone:
                call.cancel(ClientDisconnected("the client left"))
            else:
                self._calls.add(call)
                call.context.run(group.start_soon, self._run_call, call)  # the task copies the view's context
        if self._wants_receiver() and not self._receiver_runs:
            self._receiver_runs = True
            group.start_soon(self._run_receiver)

    def stop(self, group: TaskGroup) -> None:
        """End all tasks. Cancelling is the last resort: it leaves work for the garbage collector."""
        if not self.receiver.stop() or self._calls:
            group.cancel_scope.cancel()

    def _wants_receiver(self) -> bool:
        exchange, receiver = self._exchange, self.receiver
        if exchange.is_ended or exchange.is_gone:
            return False
        # A response that streams, a coroutine that runs, somebody who asked: the client's disconnect is news then. But
        # receive() must not make the server ask for a body nobody wants (W-141).
        if (exchange.is_started or self._wants_news or self._calls) and (
            receiver.is_ended or exchange.is_start_sent or not self._expects_continue
        ):
            receiver.want_news()
        return receiver.has_work

    async def _run_receiver(self) -> None:
        exchange = self._exchange
        if not self.receiver.is_ended:
            self.open_inflow()
        try:
            await self.receiver.serve(exchange.port, self._client_has_gone)
        except Exception as error:  # noqa: BLE001 - raised by the exchange once the worker has ended
            exchange.failure = error
            exchange.client_has_gone(ClientDisconnected(f"receive() failed: {error!r}"), error)

    def _client_has_gone(self, reason: ClientDisconnected) -> None:
        if not self._exchange.is_ended:  # after the end of a response servers report a disconnect, too
            self._exchange.client_has_gone(reason)

    async def _run_call(self, call: AsyncCall[Any]) -> None:
        try:
            await call.run()
        finally:
            self._calls.discard(call)

    def close(self, reason: ClientDisconnected) -> None:
        """Let whoever reads the body or waits for a coroutine know that the request has ended early."""
        inflow = self.receiver.inflow
        if inflow is not None:
            inflow.close(reason)
        for call in tuple(self._calls):
            call.cancel(reason)

    def let_go(self) -> None:
        """Give back what was taken, and cut the references that lead back to the request."""
        self.receiver.give_back()
        inflow = self.receiver.inflow
        if inflow is not None:
            inflow.close(request_is_over())
            inflow.detach()

    # ---- Worker threads -----------------------------------------------------------------------------------------

    def open_inflow(self) -> Inflow:
        """Return the body on demand, made at the first call. Any thread."""
        receiver, exchange = self.receiver, self._exchange
        with self._lock:
            inflow = receiver.inflow
            if inflow is None:
                low_water_bytes = receiver.ahead_bytes // 2
                hosting = exchange.hosting
                receiver.inflow = inflow = Inflow(hosting.limits.body_wait_s, self, low_water_bytes, hosting.pool)
        # What happened before it was there; the loop's side tells of what happens from now on.
        if receiver.is_ended:
            inflow.end()
        elif receiver.is_gone:
            inflow.close(receiver.cut())
        elif exchange.outflow.reason is not None:
            inflow.close(exchange.outflow.reason)
        return inflow

    def ask(self) -> None:
        """Ask for one more piece of the body (the inflow calls this). Worker."""
        self._exchange.post(self._want_piece)

    def _want_piece(self) -> None:
        self.receiver.want_piece()
        self._exchange.wake()

    def is_loop_running(self) -> bool:
        """Tell whether the loop still runs. Any thread."""
        return self._exchange.is_loop_running()

    def loop_is_gone(self) -> RequestCancelled:
        """Make the error for a worker whose loop has ended. Any thread."""
        return self._exchange.loop_is_gone()

    def body_is_late(self) -> ClientTimeout:
        """Make the error for a worker that has waited too long for the body. Any thread."""
        return ClientTimeout(f"no byte of the request body came for {self._exchange.hosting.limits.body_wait_s} s")

    def look_for_disconnect(self) -> None:
        """Keep the exchange's ``is_gone`` up to date from now on; returns when the loop has looked once. Any thread."""
        if self._wants_news:
            return
        self._wants_news = True
        looked = threading.Event()

        def turn(left: int = _TURNS_FOR_A_LOOK) -> None:
            if not left:
                looked.set()
                return
            self._exchange.wake()
            self._exchange.port.post(lambda: turn(left - 1))

        try:
            self._exchange.post(turn)
        except RequestCancelled:
            return
        if not self._exchange.port.is_current():
            looked.wait(_LOOK_TIMEOUT_S)

    def begin_async_call(self, call: AsyncCall[Any]) -> None:
        """Start a coroutine function on the loop. Worker.

        Raises:
            RequestCancelled: the loop has ended.
        """
        self._exchange.post(lambda: self._add_call(call))

    def _add_call(self, call: AsyncCall[Any]) -> None:
        reason = self._exchange.outflow.reason
        if reason is not None or self._exchange.is_over:
            call.cancel(reason if isinstance(reason, ClientDisconnected) else request_is_over())
            return
        self._new_calls.append(call)
        self._exchange.wake()


def request_is_over() -> RequestCancelled:
    """Make the error for whoever uses a request after its end."""
    return RequestCancelled("the request is over")
