"""Every exception the bridge raises, in one tree that answers "whose fault is it?".

A bridge stands between two programs: the application below and the server above. ``ApplicationError`` means the
wrapped application broke its protocol, ``ServerError`` the server (or a middleware) above did, ``RequestRefused``
the client sent what cannot be translated. ``ClientDisconnected`` is nobody's fault.
"""

from __future__ import annotations


class BridgeError(Exception):
    """Base of all exceptions raised by this package."""


class ProtocolError(BridgeError):
    """A neighbour broke a rule of WSGI or ASGI.

    Attributes:
        rule: document and section title of the rule, for example ``'PEP 3333, "The start_response() Callable"'``.
    """

    def __init__(self, message: str, *, rule: str) -> None:
        super().__init__(f"{message} ({rule})")
        self.rule = rule


class ApplicationError(ProtocolError):
    """The wrapped application broke its protocol: fix the application (or the middleware around it)."""


class ApplicationTypeError(ApplicationError, TypeError):
    """The application handed over an object of a wrong type."""


class ApplicationValueError(ApplicationError, ValueError):
    """The application handed over a value the protocol does not allow."""


class ServerError(ProtocolError):
    """The server, or an ASGI middleware between it and the bridge, broke the ASGI protocol."""


class RequestRefused(BridgeError):
    """The request is answered by the bridge itself; the application is not called.

    Attributes:
        status: the HTTP status code of the answer.
        reason: one sentence for the client, without any value taken from the request.
        headers: fields that the answer must have besides, as pairs of ``str``.
    """

    def __init__(self, status: int, reason: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason
        self.headers = headers


class BadRequest(RequestRefused):
    """The request cannot be translated without guessing (400)."""

    def __init__(self, reason: str) -> None:
        super().__init__(400, reason)


class BodyTooLarge(RequestRefused):
    """The request body is larger than ``Limits.body_max_bytes`` (413).

    Attributes:
        limit_bytes: the limit that was passed.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(413, f"The request body is larger than {limit_bytes} bytes.")
        self.limit_bytes = limit_bytes


class ClientDisconnected(BridgeError, ConnectionError):
    """The client left before the exchange was over.

    Raised by ``wsgi.input`` when an upload was cut (a cut body never looks complete), by ``write()`` and by
    ``call_async()``; and out of the ``send()`` of an ASGI application. A ``ConnectionError`` (so an ``OSError``):
    handlers written for sockets keep working.
    """


class RequestCancelled(ClientDisconnected):
    """The server cancelled the request, or its event loop ended, while the application was still running."""


class ClientTimeout(ClientDisconnected, TimeoutError):
    """The client sent or took no byte for longer than the limit; it is treated as gone."""


class ApplicationTimeout(BridgeError, TimeoutError):
    """An ASGI application sent nothing for longer than ``Limits.app_wait_s``; its request thread is set free.

    Attributes:
        waited_s: the limit that was passed.
    """

    def __init__(self, waited_s: float) -> None:
        super().__init__(f"the application sent nothing for {waited_s} s; the request was given up (Limits.app_wait_s)")
        self.waited_s = waited_s


class EventLoopError(BridgeError, RuntimeError):
    """There is no event loop for an ASGI application: it cannot be started here, or it has ended."""


class LoopStalled(EventLoopError, TimeoutError):
    """The event loop did not take a request up within ``Limits.loop_wait_s``: something blocks it.

    Attributes:
        waited_s: how long the request has waited.
        stack: where the loop's thread is, formatted like a traceback.
    """

    def __init__(self, waited_s: float, stack: str) -> None:
        super().__init__(
            f"the event loop has taken nothing up for {waited_s:.1f} s; something blocks it (move blocking calls to "
            f"a thread). It is here:\n{stack}"
        )
        self.waited_s = waited_s
        self.stack = stack


class LifespanError(BridgeError):
    """A lifespan hook, or the lifespan of an application, failed.

    Attributes:
        phase: ``"startup"`` or ``"shutdown"``.
    """

    def __init__(self, phase: str, message: str) -> None:
        super().__init__(message)
        self.phase = phase


class DetectionError(BridgeError, TypeError):
    """It cannot be told what an object speaks; the message says what was looked at and what to do."""


class AmbiguousAppError(DetectionError):
    """It could be a WSGI or an ASGI application: be explicit, with `mark` or the option the message names."""


class NotAnAppError(DetectionError):
    """It is no application of either protocol."""


class LoadError(BridgeError, ImportError):
    """An application cannot be loaded by its name; the message is one sentence, the cause is what went wrong."""


class ConfigurationError(BridgeError, ValueError):
    """A setting (``BRIDGE_...``, or an option of the command line) is wrong or contradicts another."""


class NotInRequestError(BridgeError, RuntimeError):
    """``call_async()`` was used where no request of the bridge is running."""
