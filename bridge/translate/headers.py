"""Request fields: ASGI header pairs to ``HTTP_*`` keys, and what they say about the body.

Facts about request fields:

- Servers may keep the sender's case although ASGI wants lower case, so names are matched without regard to case.
- ``X-Foo`` and ``X_Foo`` would share one key: names with ``_`` are dropped, or a client could write into the field
  that a trusted proxy sets (W-044; RFC 9110 section 17.10).
- Only ``Cookie`` is joined with "; "; other repeats are lists joined with ", " (RFC 9113 section 8.2.3; RFC 9110
  section 5.3).
- Upper-casing is done on ASCII octets: as text, "ß" would become "SS" (W-043).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bridge.errors import BadRequest

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 section 5.6.2
FORBIDDEN_IN_VALUE = re.compile("[\r\n\0]").search  # RFC 9110 section 5.5
_DIGITS = re.compile("[0-9]{1,18}").fullmatch  # RFC 9110 section 8.6; 18 digits fit in 64 bits

_DROPPED = ""
# Content-Length reaches environ through `BodyFraming`; Transfer-Encoding has been undone by the server (W-053).
_NAMED_KEYS = {
    b"content-type": "CONTENT_TYPE",
    b"content-length": _DROPPED,
    b"transfer-encoding": _DROPPED,
}
_ORDINARY_NAMES = (
    b"accept accept-charset accept-encoding accept-language authorization cache-control connection cookie date dnt "
    b"expect forwarded from host if-match if-modified-since if-none-match if-range if-unmodified-since origin pragma "
    b"priority range referer sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode "
    b"sec-fetch-site sec-fetch-user te traceparent tracestate upgrade upgrade-insecure-requests user-agent via "
    b"x-csrf-token x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip x-request-id "
    b"x-requested-with"
).split()
# A table instead of a cache: what clients send cannot make it grow.
_KNOWN_KEYS: dict[bytes, str] = _NAMED_KEYS | {
    name: "HTTP_" + name.decode("ascii").upper().replace("-", "_") for name in _ORDINARY_NAMES
}
# Names that say nothing about the body, as servers should send them.
_SILENT_NAMES = frozenset(_ORDINARY_NAMES) - {b"expect"} | {b"content-type"}
# An underscored spelling that was let through must not make what the dashed one does not make (W-041, W-053).
_NEVER_SET = frozenset({"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"})
_AT_MOST_ONCE = {"HTTP_HOST": "Host", "CONTENT_TYPE": "Content-Type"}


@dataclass(frozen=True, slots=True)
class BodyFraming:
    """What the request fields say about the body.

    Attributes:
        content_length: octets announced, or None (also when a transfer coding overrides it).
        has_transfer_encoding: the body was sent with a transfer coding (chunked).
        expects_continue: the client waits for ``100 Continue`` before it sends the body.
    """

    content_length: int | None = None
    has_transfer_encoding: bool = False
    expects_continue: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether no field speaks of a body."""
        return self is NO_BODY_FIELDS or (self.content_length is None and not self.has_transfer_encoding)


NO_BODY_FIELDS = BodyFraming()
"""No field speaks of a body: the value most requests share."""
_FRAMING_NAMES = frozenset({b"content-length", b"transfer-encoding", b"expect"})


def framing_from_headers(headers: Iterable[tuple[bytes, bytes]]) -> BodyFraming:
    """Read what the fields say about the body.

    Args:
        headers: pairs of ``bytes``, any case.

    Raises:
        BadRequest: Content-Length is no plain number, or is repeated with different values (W-050, W-051).

    Spec: RFC 9112 section 6.3; W-050 to W-052.
    """
    if not isinstance(headers, list):
        headers = list(headers)
    for name, _ in headers:
        if name not in _SILENT_NAMES:
            break
    else:
        return NO_BODY_FIELDS  # nearly every request: 25 ns for each field instead of 60
    relevant = [(name, value) for name, value in headers if name.lower() in _FRAMING_NAMES]
    if not relevant:
        return NO_BODY_FIELDS
    lengths: list[bytes] = []
    has_transfer_encoding = expects_continue = False
    for name, value in relevant:
        lowered = name.lower()
        if lowered == b"content-length":
            lengths.append(value)
        elif lowered == b"transfer-encoding":
            has_transfer_encoding = True
        elif value.strip(b" \t").lower() == b"100-continue":
            expects_continue = True
    content_length = _agreed_length(lengths) if lengths else None
    if has_transfer_encoding:
        content_length = None  # W-052
    return BodyFraming(content_length, has_transfer_encoding, expects_continue)


def _agreed_length(values: list[bytes]) -> int:
    texts = {item.strip(" \t") for value in values for item in value.decode("latin-1").split(",")}
    if len(texts) != 1:
        raise BadRequest("The request has conflicting Content-Length fields.")
    text = texts.pop()
    if not _DIGITS(text):
        raise BadRequest("The request's Content-Length is not a number.")
    return int(text)


def environ_key_from_name(name: bytes, underscore_names: frozenset[bytes] = frozenset()) -> str | None:
    """Return the environ key for a field name, or None where the field must not reach the application.

    Args:
        name: the field name's octets in any case.
        underscore_names: lower-case names with ``_`` that are let through (W-044).

    Spec: RFC 3875 section 4.1.18; W-041, W-043, W-044, W-053.
    """
    name = name.lower()
    known = _KNOWN_KEYS.get(name)
    if known is not None:
        return known or None
    if not _TOKEN(name) or (b"_" in name and name not in underscore_names):
        return None
    key = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
    return None if key in _NEVER_SET else key


def add_request_fields(
    environ: dict[str, Any],
    headers: Iterable[tuple[bytes, bytes]],
    underscore_names: frozenset[bytes] = frozenset(),
) -> None:
    """Add ``HTTP_*`` and ``CONTENT_TYPE`` keys to ``environ``, in time linear in the size of ``headers``.

    Args:
        environ: gets one latin-1 ``str`` per field name; it must hold no such key before.
        headers: pairs of ``bytes``, any case, repeats kept.
        underscore_names: see `environ_key_from_name`.

    Raises:
        BadRequest: a value holds CR, LF or NUL (W-046), or Host or Content-Type is repeated (W-054).
    """
    repeats: dict[str, list[str]] | None = None
    known_key = _KNOWN_KEYS.get
    for name, value in headers:
        key = known_key(name)
        if key is None:
            key = environ_key_from_name(name, underscore_names)
        text = value.decode("latin-1").strip(" \t")
        # Three searches for a character take 10 ns each, however long the text; a pattern or isprintable() take 3 for
        # each character.
        if "\n" in text or "\r" in text or "\0" in text:
            raise BadRequest("A request field holds a control character.")
        if not key:
            continue
        if key not in environ:
            environ[key] = text
            continue
        if key in _AT_MOST_ONCE:
            raise BadRequest(f"The request has more than one {_AT_MOST_ONCE[key]} field.")
        if repeats is None:
            repeats = {}
        repeats.setdefault(key, [environ[key]]).append(text)
    if repeats:
        for key, texts in repeats.items():
            environ[key] = ("; " if key == "HTTP_COOKIE" else ", ").join(texts)
    if environ.get("HTTP_HOST") == "":
        del environ["HTTP_HOST"]  # granian makes one up for HTTP/1.0 (W-054)
