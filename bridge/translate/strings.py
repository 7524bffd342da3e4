"""Text and octets, both ways, in one place.

Facts. WSGI text is "bytes as unicode": a ``str`` whose code points are octets (latin-1), also under Python 3
(PEP 3333, "Unicode Issues"). ASGI gives paths as real Unicode text (decoded as UTF-8, undecodable octets replaced),
and headers and query strings as ``bytes``.
"""

from __future__ import annotations

import re

from bridge.errors import BadRequest


def octets_from_text(text: str) -> bytes:
    """Encode Unicode text as UTF-8; a surrogate-escaped code point (U+DC80..U+DCFF) becomes its octet.

    Raises:
        BadRequest: ``text`` holds another lone surrogate, which stands for no octet.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadRequest("The request path holds a lone surrogate.") from None


def native_from_octets(octets: bytes) -> str:
    """Give octets the shape WSGI wants: ``str`` with one code point per octet."""
    return octets.decode("latin-1")


def native_from_text(text: str) -> str:
    """Give Unicode text the shape WSGI wants: its UTF-8 octets read as latin-1 (W-021).

    Raises:
        BadRequest: see `octets_from_text`.
    """
    if text.isascii():
        return text
    return octets_from_text(text).decode("latin-1")


def exact_native(text: str) -> str:
    """Return text as exactly ``str`` (no subclass) with code points up to U+00FF, as CGI variables must be (W-010)."""
    if type(text) is str and text.isascii():
        return text
    return native_from_text(str.__str__(text))


_SURROGATE = re.compile("[\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def text_from_native(native: str) -> str:
    """Read WSGI text as the UTF-8 octets it stands for; octets that are not UTF-8 become U+FFFD (A-022).

    Characters above U+00FF, which no octet can be, come from a careless server and are taken as text. The result holds
    no surrogate.
    """
    if native.isascii():
        return native
    try:
        return native.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:
        return _SURROGATE.sub(_REPLACEMENT, native)


def octets_from_native(native: str) -> bytes:
    """Return the octets that WSGI text stands for.

    Characters above U+00FF come from a careless server: the whole is encoded as UTF-8 then, surrogates as U+FFFD.
    """
    try:
        return native.encode("latin-1")
    except UnicodeEncodeError:
        return _SURROGATE.sub(_REPLACEMENT, native).encode("utf-8")
