"""The request thread's side of a request: the servant of its exchange.

All of the server's objects (``environ``, ``wsgi.input``, ``start_response`` and what the environ offers) are touched
here and nowhere else, by the thread the server called the adapter in. The servant waits at its gate, does what the
outbox says, reads the request body when it is wanted, and hands blocks to the server. Output that is there always goes
out before a read is begun (A-054).

Every wait is bounded (`bridge._asgi_hosting.patience`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import BinaryIO

from bridge._asgi_hosting.answers import no_content
from bridge._asgi_hosting.blocks import Blocks, WholeResponse
from bridge._asgi_hosting.entering import refusal
from bridge._asgi_hosting.errands import Errand
from bridge._asgi_hosting.exchange import Exchange
from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.offers import FILE_WRAPPER_KEY, extensions_from_environ
from bridge._asgi_hosting.patience import LOOK_EVERY_S, Patience
from bridge._asgi_hosting.phases import HostPhase
from bridge._asgi_hosting.request_body import RequestBody, has_body
from bridge._runtime.descriptor_gates import NO_GATE
from bridge._runtime.gates import Gate
from bridge._runtime.loops import LoopGoneError
from bridge.errors import (
    ApplicationTimeout,
    BodyTooLarge,
    EventLoopError,
    RequestRefused,
)
from bridge.observing import Record
from bridge.translate.scope import scope_from_environ
from bridge.types import Environ, StartResponse

_FILE_BLOCK_BYTES = 64 * 1024
ENVIRON_KEY = "bridge.environ"
"""Where an application finds the WSGI environ in its scope; touching it is its own responsibility (A-040)."""


def new_record(host: Host, method: str, path: str) -> Record | None:
    """Begin a record of a request, if anybody wants to know."""
    observers = host.hosting.observers
    return Record(tuple(observers), "asgi_to_wsgi", method, path) if observers else None


class Servant:
    """One request in its thread.

    Attributes:
        environ: the server's environ; only read.
        response: the state of the response.
        file: the file that is the whole content, if an errand opened one.
        trailers: those left with the server so far.
        is_refused: the bridge, not the application, refuses the request.
        has_started: ``start_response`` has been called.
    """

    is_refused = False
    has_started = False
    file: BinaryIO | None = None
    record: Record | None = None
    trailers: Sequence[tuple[str, str]] = ()
    _exchange: Exchange
    _gate: Gate
    _body: RequestBody | None = None
    _patience: Patience | None = None
    _is_over = False
    _is_stepping = True  # a thread may wait at the gate; the first step is `serve`

    def __init__(self, host: Host, environ: Environ) -> None:
        self._prepare(host, environ)
        scope = scope_from_environ(environ)
        scope["extensions"] = extensions_from_environ(environ)
        scope[ENVIRON_KEY] = environ
        may_read = has_body(environ, host.limits.body_max_bytes)
        self._gate = self._portal.gates.take()  # last: from here on it is given back, however this ends
        self._exchange = exchange = Exchange(host, scope, self._gate, copy_context(), may_read)
        self.response = exchange.response
        if host.hosting.observers:
            self.record = exchange.record = new_record(host, scope["method"], scope["path"])

    def _prepare(self, host: Host, environ: Environ) -> None:
        self._host = host
        self._portal = host.entered_portal()
        self.environ = environ

    def serve(self, start_response: StartResponse) -> Iterable[bytes]:
        """Wait for the beginning of the response, start it, and return the rest (A-002, A-003, A-071, A-080)."""
        try:
            self._begin()
            return self._respond(start_response, self._take())
        except BaseException:  # also what a signal or a killed greenlet brings
            self.leave()
            self._return_gate()
            if self.file is not None:
                self.file.close()
            raise

    def _respond(self, start_response: StartResponse, block: bytes | None) -> Iterable[bytes]:
        """Start the response, of which this is the first block; return the rest."""
        exchange, response = self._exchange, self.response
        if self.file is not None:
            return self._file_response(start_response, self.file)
        self.has_started = True
        start_response(response.status, response.headers)
        if block is None:
            self._end()
            if response.carries_content:
                return WholeResponse([b""])
            return no_content(self.environ, response.content_length)
        if exchange.is_output_over and not exchange.outbox and exchange.failure is None:
            self._end()
            return WholeResponse([block])
        self._is_stepping = False
        return Blocks(self, block)

    def _begin(self) -> None:
        if self.record is not None:
            self.record.handed_over()
        try:
            self._portal.port.post(self._exchange.begin)
        except LoopGoneError:
            if self._host.phase not in (HostPhase.CLOSING, HostPhase.CLOSED):
                raise EventLoopError("the event loop has ended") from None
            self.is_refused = True
            raise refusal() from None

    def next_block(self) -> bytes | None:
        """Return the next block when it is there, None at the end; the server has taken the last one.

        Raises:
            Exception: the response broke off.
        """
        if self._is_over:
            return None
        exchange = self._exchange
        self._is_stepping = True
        try:
            if not exchange.is_output_over or exchange.outbox or exchange.failure is not None:
                with suppress(LoopGoneError):  # noticed where it is waited for
                    self._portal.port.post(exchange.asked_for_more)
                block = self._take()
                if block is not None:
                    self._is_stepping = False
                    return block
        except BaseException:
            self.leave()
            self._return_gate()
            raise
        self._end()
        return None

    def _end(self) -> None:
        """All has been taken."""
        self._is_over = True
        self._return_gate()

    def _return_gate(self) -> None:
        """Let others have the gate: this thread waits no more, nor does any other. At most once.

        And forget it: whoever keeps this object, or the exchange, would keep its descriptors.
        """
        gate, self._gate = self._gate, NO_GATE
        if gate is not NO_GATE:
            self._patience = None
            self._exchange.forget_gate()
            self._portal.gates.put_back(gate)

    def leave(self) -> None:
        """Nobody takes the response any more; tell the exchange. Any thread; does not wait.

        Two threads at once (one steps, one closes) may both tell it: to the exchange the second time is nothing.
        """
        if not self._is_over:
            self._exchange.is_abandoned = True
            try:
                self._portal.port.post(self._exchange.servant_has_gone)
            except LoopGoneError:
                if not self.is_refused:
                    self._has_failed()
            self._is_over = True  # last: a signal in between must not leave the exchange untold
            if not self._is_stepping:  # else the thread that steps gives it back
                self._return_gate()

    def _has_failed(self) -> None:
        """Report the request as failed, if anybody wants to know."""
        if self.record is not None:
            self.record.fail(answered=self._host.hosting.responds_to_errors)

    def _tell(self, callback: Callable[[], None]) -> None:
        """Post what the application waits for."""
        try:
            self._portal.port.post(callback)
        except LoopGoneError:
            raise EventLoopError("the event loop ended in the middle of the request") from None

    def _take(self) -> bytes | None:
        """Return the next block when it is there; None at the end. Does errands and reads on the way."""
        exchange = self._exchange
        outbox = exchange.outbox
        while True:
            if outbox:
                item = outbox.pop(0)
                if type(item) is bytes:
                    return item
                self._run(item)  # type: ignore[arg-type]  # an errand
            elif exchange.is_output_over:
                if outbox:  # put there after the first look
                    continue
                if exchange.failure is not None:
                    self._raise_failure()
                return None
            elif exchange.wants_body:
                exchange.wants_body = False
                self._read()
            elif not self._gate.wait(LOOK_EVERY_S):
                self._wait_longer()

    def _raise_failure(self) -> None:
        failure, self._exchange.failure = self._exchange.failure, None
        self._is_over = True
        self.is_refused = self._exchange.is_refused
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # its traceback holds this frame

    def _run(self, errand: Errand) -> None:
        try:
            errand.run(self)
        except Exception as error:  # noqa: BLE001 - raised on the loop, out of send()
            errand.error = error
        self._tell(errand.done)

    def _read(self) -> None:
        """Read one piece of the request body; what goes wrong is the end of the request (A-047, A-090)."""
        body = self._body
        if body is None:
            limits = self._host.limits
            body = self._body = RequestBody(self.environ, limits.body_piece_bytes, limits.body_max_bytes)
        try:
            piece, is_last = body.read()
        except BodyTooLarge:
            self.is_refused = self._exchange.is_refused = True
            raise
        self._tell(partial(self._exchange.body_came, piece, is_last=is_last))

    def _file_response(self, start_response: StartResponse, file: BinaryIO) -> Iterable[bytes]:
        """Give the file to the server as the response object itself, so that it may use its own way."""
        self.has_started = True
        self._end()
        start_response(self.response.status, self.response.headers)
        if self.response.carries_content:
            wrapped: Iterable[bytes] = self.environ[FILE_WRAPPER_KEY](file, _FILE_BLOCK_BYTES)
            return wrapped
        file.close()
        return no_content(self.environ, self.response.content_length)

    def _wait_longer(self) -> None:
        """Wait for the application, looking up from time to time; raises what `Patience.wait` raises."""
        if self._patience is None:
            self._patience = Patience(self._host, self._portal, self._exchange, self._gate, self.environ)
        try:
            self._patience.wait(has_started=self.has_started)
        except RequestRefused:  # not taken up any more: the bridge answers
            self.is_refused = self._exchange.is_refused = True
            raise
        except (ApplicationTimeout, EventLoopError):
            self._has_failed()
            raise
