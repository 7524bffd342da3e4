"""The request body as the server gives it: ``wsgi.input``, read piece by piece, only as far as may be asked.

Touched by the request thread alone, and only while the request lives.

Facts (A-041 to A-049): a read beyond Content-Length blocks on wsgiref, werkzeug and Passenger; without a length only a
true ``wsgi.input_terminated`` promises an end; ``read(n)`` with n > 0 is the one call that works everywhere. Servers
report a cut upload by an exception or by an early end, and neither may look like the end of the body.
"""

from __future__ import annotations

import errno
from typing import Any

from bridge.errors import BodyTooLarge, ClientDisconnected, ServerError
from bridge.translate.environ_fields import content_length_from_environ, is_coded_to_its_end
from bridge.types import Environ

# Servers whose input ends by itself without saying so. Granian said nothing before 2.8.
_ENDS_BY_ITSELF = ("Granian",)
_RULE = 'PEP 3333, "Input and Error Streams"'
# Where the length is not known, most servers wait until all that was asked for is there: ask for less (GA-11).
_PIECE_OF_UNKNOWN_BYTES = 8192


def has_body(environ: Environ, max_bytes: int | None) -> bool:
    """Tell whether there is a body to read: else ``wsgi.input`` is never touched.

    Raises:
        BadRequest: CONTENT_LENGTH is no number.
        BodyTooLarge: CONTENT_LENGTH is more than ``max_bytes``.
    """
    length = _length(environ) if "CONTENT_LENGTH" in environ else None
    if length is None:
        return _has_end(environ)
    if max_bytes is not None and length > max_bytes:
        raise BodyTooLarge(max_bytes)
    return length != 0


class RequestBody:
    """What is left of one request body; made when it is first read, which for most requests is never.

    Args:
        environ: the request, of which `has_body` is true.
        piece_bytes: the largest piece.
        max_bytes: the largest body, or None.
    """

    __slots__ = ("_input", "_left_bytes", "_max_bytes", "_piece_bytes", "_taken_bytes")

    def __init__(self, environ: Environ, piece_bytes: int, max_bytes: int | None) -> None:
        length = _length(environ)
        self._left_bytes = length
        self._piece_bytes = piece_bytes if length is not None else min(piece_bytes, _PIECE_OF_UNKNOWN_BYTES)
        self._max_bytes = max_bytes
        self._taken_bytes = 0
        self._input: Any = environ["wsgi.input"]

    def read(self) -> tuple[bytes, bool]:
        """Return the next piece, and whether it is the last; the last one may be empty. Blocks.

        Raises:
            ClientDisconnected: the body was cut.
            BodyTooLarge: more came than is allowed.
            ServerError: the input gave something else than bytes.
        """
        left = self._left_bytes
        wanted = self._piece_bytes if left is None else min(self._piece_bytes, left)
        try:
            piece = self._input.read(wanted)
        except Exception as error:
            raise _cut(f"the request body could not be read: {error!r}") from error
        if not isinstance(piece, bytes):
            raise ServerError(f"wsgi.input gave a {type(piece).__name__}; it must give bytes", rule=_RULE)
        if left is None:
            self._taken_bytes += len(piece)
            if self._max_bytes is not None and self._taken_bytes > self._max_bytes:
                raise BodyTooLarge(self._max_bytes)
            return piece, not piece
        if not piece:
            raise _cut(f"the request body ended {left} bytes before its Content-Length")
        if len(piece) > wanted:
            raise ServerError(f"wsgi.input gave {len(piece)} bytes when asked for {wanted}", rule=_RULE)
        self._left_bytes = left = left - len(piece)
        return piece, not left


def _cut(reason: str) -> ClientDisconnected:
    """Return the error of a cut body. By its number servers know it for a lost connection, and log no traceback."""
    return ClientDisconnected(errno.ECONNRESET, reason)


def _length(environ: Environ) -> int | None:
    """Return the length that counts: none beside a coding that the server undoes."""
    length = content_length_from_environ(environ)
    return None if length is not None and is_coded_to_its_end(environ) else length


def _has_end(environ: Environ) -> bool:
    """Tell whether the input of unknown length ends by itself."""
    return bool(environ.get("wsgi.input_terminated")) or str(environ.get("SERVER_SOFTWARE")).startswith(_ENDS_BY_ITSELF)
