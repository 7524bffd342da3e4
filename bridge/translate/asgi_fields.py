"""Response fields the other way: ASGI header pairs to the header list of ``start_response``.

Facts: ASGI asks for lower-case names, WSGI does not care, so names are passed on as given (A-063). The connection
belongs to the server: hop-by-hop fields, which WSGI forbids to applications, are left out without a word, because ASGI
applications may set them (A-065). ``Status`` is left out too: CGI reads it as the status of the response.
"""

# What an application hands over may be anything: it is looked at piece by piece.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import re
from typing import Any

from bridge.errors import ApplicationTypeError, ApplicationValueError
from bridge.translate.fields import HOP_BY_HOP

_RULE = 'ASGI HTTP, "Response Start - send event"'
_LENGTH_RULE = "RFC 9110, section 8.6"

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 section 5.6.2
# RFC 9110 section 5.5: HTAB, SP, visible ASCII and obs-text; anything else could split or end the field.
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
_LENGTH_DIGITS = 18  # fit in 64 bits
_DIGITS = re.compile(f"[0-9]{{1,{_LENGTH_DIGITS}}}").fullmatch

_CONTENT_LENGTH = "content-length"
_LENGTH_NAME = b"content-length"
_LEFT_OUT = frozenset(name.decode("ascii") for name in HOP_BY_HOP) | {"status"}

_ORDINARY_NAMES = (
    b"accept-ranges access-control-allow-credentials access-control-allow-headers access-control-allow-methods "
    b"access-control-allow-origin access-control-expose-headers access-control-max-age age allow cache-control "
    b"content-disposition content-encoding content-language content-location content-range content-security-policy "
    b"content-type cross-origin-opener-policy date etag expires last-modified link location permissions-policy pragma "
    b"referrer-policy retry-after server set-cookie strict-transport-security vary www-authenticate x-accel-buffering "
    b"x-content-type-options x-frame-options x-request-id x-xss-protection"
).split()
_KNOWN_NAMES = {name: name.decode("ascii") for name in _ORDINARY_NAMES}
# The pairs that stand in most responses letter by letter, as a table: nothing can make it grow.
_KNOWN_PAIRS = {
    (name, value): (name.decode("ascii"), value.decode("ascii"))
    for name, values in {
        b"cache-control": (b"no-cache", b"no-store"),
        b"content-type": (
            b"application/json",
            b"application/octet-stream",
            b"text/event-stream",
            b"text/event-stream; charset=utf-8",
            b"text/html; charset=utf-8",
            b"text/plain",
            b"text/plain; charset=utf-8",
        ),
    }.items()
    for value in values
}


def native_fields_from_pairs(pairs: Any) -> tuple[list[tuple[str, str]], int | None]:
    """Check an application's header pairs; return those for the server and the Content-Length, if there is one.

    Args:
        pairs: any iterable of two-item iterables of ``bytes``; read once, neither kept nor changed.

    Returns:
        A new list of tuples of latin-1 ``str``: names as given, values without outer space, order and repeats kept,
        only one Content-Length, no hop-by-hop field.

    Raises:
        ApplicationTypeError: an entry is no pair of bytes.
        ApplicationValueError: a bad name or value, or Content-Lengths that are no number or do not agree.

    Spec: ASGI HTTP "Response Start - send event"; RFC 9110 sections 5.1, 5.5, 7.6.1, 8.6; A-060 to A-066, A-073.
    """
    fields: list[tuple[str, str]] = []
    content_length: str | None = None
    known_name, known_pair = _KNOWN_NAMES.get, _KNOWN_PAIRS.get
    try:
        entries = iter(pairs)
    except TypeError:
        raise ApplicationTypeError(
            f"headers are of type {type(pairs).__name__}; they must be an iterable of pairs of bytes", rule=_RULE
        ) from None
    for entry in entries:
        name, value = entry if type(entry) is tuple and len(entry) == 2 else _pair(entry)  # noqa: PLR2004
        if type(name) is not bytes or type(value) is not bytes:
            _check_bytes(name, value)
        pair = known_pair((name, value))
        if pair is not None:
            fields.append(pair)
            continue
        native_value: str
        if name == _LENGTH_NAME and content_length is None and value.isdigit() and len(value) <= _LENGTH_DIGITS:
            content_length = native_value = value.decode("latin-1")  # in nearly every response: by a shorter way
            fields.append((_CONTENT_LENGTH, native_value))
            continue
        native_value = value.decode("latin-1").strip(" \t")
        # Printable ASCII, which nearly every value is, needs no further question.
        if not (native_value.isascii() and native_value.isprintable()) and not _VALUE(value):
            raise ApplicationValueError(
                f"the value of header {bytes(name)!r} holds a control character (a line break splits a response)",
                rule=_RULE,
            )
        native_name = known_name(name)
        if native_name is None:
            native_name = _checked_name(name)
            lowered = native_name.lower()
            if lowered == _CONTENT_LENGTH:
                if content_length is not None and content_length == native_value:
                    continue
                _check_length(native_value, content_length)
                content_length = native_value
            elif lowered in _LEFT_OUT:
                continue
        fields.append((native_name, native_value))
    return fields, None if content_length is None else int(content_length)


def _pair(entry: Any) -> tuple[Any, Any]:
    if not isinstance(entry, str | bytes):
        try:
            name, value = entry
        except (TypeError, ValueError):
            pass
        else:
            return name, value
    raise ApplicationTypeError(
        f"a header is of type {type(entry).__name__}; each must be a pair (name, value) of bytes", rule=_RULE
    )


def _check_bytes(name: object, value: object) -> None:
    if not isinstance(name, bytes):
        raise ApplicationTypeError(
            f"the header name {name!r} is of type {type(name).__name__}; it must be bytes", rule=_RULE
        )
    if not isinstance(value, bytes):
        raise ApplicationTypeError(
            f"the value of header {name!r} is of type {type(value).__name__}; it must be bytes", rule=_RULE
        )


def _checked_name(name: bytes) -> str:
    if not _TOKEN(name):
        raise ApplicationValueError(
            f"{bytes(name)!r} is no header name (letters, digits and !#$%&'*+-.^_`|~)", rule=_RULE
        )
    return name.decode("ascii")


def _check_length(text: str, earlier: str | None) -> None:
    if not _DIGITS(text):
        raise ApplicationValueError(
            f"the application set Content-Length to {text!r}; it must be digits only", rule=_LENGTH_RULE
        )
    if earlier is not None:
        raise ApplicationValueError("the application set Content-Length twice, differently", rule=_LENGTH_RULE)
