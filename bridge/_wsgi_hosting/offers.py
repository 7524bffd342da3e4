"""What some servers offer beyond PEP 3333, as callables in the environ: early hints and trailers. Worker."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bridge._runtime.outflow import Outflow
from bridge.errors import ApplicationError
from bridge.translate import messages
from bridge.translate.fields import fields_from_headers, response_name, response_value
from bridge.types import Environ, Message

TrailerSource = Iterable[tuple[str, str]] | Callable[[], Iterable[tuple[str, str]]]


class Offers:
    """The offers of one request.

    Attributes:
        trailers: what the application has announced, or None.
        is_closed: set when the headers go out.
    """

    trailers: TrailerSource | None = None
    is_closed = False

    def __init__(self, outflow: Outflow[Any]) -> None:
        self._outflow = outflow

    def add_to(self, environ: Environ, extensions: dict[str, Any]) -> None:
        """Put in what the server supports."""
        if messages.EARLY_HINT in extensions:
            environ["wsgi.early_hints"] = self.send_early_hints
        if messages.TRAILERS in extensions:
            environ["bridge.trailers"] = self.set_trailers

    def send_early_hints(self, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """``environ["wsgi.early_hints"]``: send the ``Link`` values now; nothing once headers are out (W-147)."""
        links: list[bytes] = []
        for name, value in headers:
            name_text = name.decode("latin-1") if isinstance(name, bytes) else name
            value_text = value.decode("latin-1") if isinstance(value, bytes) else value
            octets = response_value(name_text, value_text)
            if response_name(name_text) == b"link":
                links.append(octets)
        if links and not self.is_closed:
            self._outflow.put((messages.early_hint(links),), 0)

    def set_trailers(self, trailers: TrailerSource) -> None:
        """``environ["bridge.trailers"]``: announce trailers, given now or by a callable asked after the content.

        Raises:
            ApplicationError: headers are out already, so nothing can be announced any more.
        """
        if self.is_closed:
            raise ApplicationError(
                "bridge.trailers was called after the headers went out; announce trailers before the first block",
                rule='ASGI Extensions, "HTTP Trailers"',
            )
        self.trailers = trailers

    def trailers_message(self, trailers: TrailerSource) -> Message:
        """Return the event that ends a response with trailers."""
        return messages.trailers(fields_from_headers(trailers() if callable(trailers) else trailers).pairs)
