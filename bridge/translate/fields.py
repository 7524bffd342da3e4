"""Response fields: what an application gives to ``start_response`` to what ASGI wants.

Facts: ASGI wants lower-case names and ``bytes``; WSGI gives ``str`` that must be latin-1. The server owns the
connection: a hop-by-hop field from an application is a mistake (RFC 9110 section 7.6.1) and is never forwarded.
"""

# What an application hands over may be anything: it is looked at piece by piece.
# pyright: reportUnknownArgumentType=false, reportUnknownVariableType=false, reportUnknownMemberType=false

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.types import HeaderPairs

RULE = 'PEP 3333, "The start_response() Callable"'
_LENGTH_RULE = "RFC 9110, section 8.6"

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch  # RFC 9110 section 5.6.2
# Field content: HTAB, SP, visible ASCII and obs-text (RFC 9110 section 5.5); C1 controls are obs-text octets.
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*").fullmatch
_LENGTH_DIGITS = 18  # fit in 64 bits

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer trailers "
    b"transfer-encoding upgrade".split()
)

_ORDINARY_NAMES = (
    "Accept-Ranges Access-Control-Allow-Credentials Access-Control-Allow-Headers Access-Control-Allow-Methods Access- "
    "Control-Allow-Origin Access-Control-Expose-Headers Access-Control-Max-Age Age Allow Cache-Control Content- "
    "Disposition Content-Encoding Content-Language Content-Length Content-Location Content-Range Content-Security- "
    "Policy Content-Type Cross-Origin-Opener-Policy Date ETag Expires Last-Modified Link Location Permissions-Policy "
    "Pragma Referrer-Policy Retry-After Server Set-Cookie Strict-Transport-Security Vary WWW-Authenticate X-Accel- "
    "Buffering X-Content-Type-Options X-Frame-Options X-Request-Id X-XSS-Protection"
).split()
_KNOWN_NAMES: dict[str, bytes] = {
    spelling: name.lower().encode("ascii") for name in _ORDINARY_NAMES for spelling in (name, name.lower())
}
# The header pairs that stand in most responses letter by letter, as a table: nothing can make it grow.
_KNOWN_PAIRS: dict[tuple[str, str], tuple[bytes, bytes]] = {
    (name, value): (name.lower().encode("ascii"), value.encode("ascii"))
    for name, values in {
        "Cache-Control": ("no-cache", "no-store", "max-age=0", "private"),
        "Content-Type": (
            "application/json",
            "application/octet-stream",
            "text/css; charset=utf-8",
            "text/event-stream",
            "text/event-stream; charset=utf-8",
            "text/html",
            "text/html; charset=utf-8",
            "text/javascript; charset=utf-8",
            "text/plain",
            "text/plain; charset=utf-8",
        ),
        "Cross-Origin-Opener-Policy": ("same-origin",),
        "Referrer-Policy": ("same-origin",),
        "Vary": ("Accept", "Accept-Encoding", "Accept-Language", "Cookie", "Origin"),
        "X-Content-Type-Options": ("nosniff",),
        "X-Frame-Options": ("DENY", "SAMEORIGIN"),
    }.items()
    for value in values
}


class ResponseFields(NamedTuple):
    """Checked response fields."""

    pairs: HeaderPairs
    """Names lower-case, order and repeats kept; only one Content-Length."""
    content_length: int | None
    dropped: list[str] | None
    """Names of hop-by-hop fields that were left out by choice, or None."""


def fields_from_headers(
    headers: Iterable[tuple[str, str]], *, drop_hop_by_hop: bool = False, strict: bool = False
) -> ResponseFields:
    """Check an application's header list and translate it.

    Args:
        headers: pairs of ``str``; any iterable of them unless ``strict`` (GW-7). It is copied.
        drop_hop_by_hop: leave hop-by-hop fields out instead of raising (GW-4).
        strict: accept only a ``list`` of ``tuple``.

    Raises:
        ApplicationTypeError: an entry is no pair of ``str``.
        ApplicationValueError: a bad name or value, or Content-Lengths that are no number or do not agree.
        ApplicationError: a hop-by-hop field.

    Spec: PEP 3333 "The start_response() Callable"; RFC 9110 sections 5.1, 5.5, 7.6.1, 8.6; W-095 to W-099, W-118.
    """
    return ResponseFields(*checked_fields(headers, drop_hop_by_hop=drop_hop_by_hop, strict=strict))


def checked_fields(
    headers: Iterable[tuple[str, str]], *, drop_hop_by_hop: bool, strict: bool
) -> tuple[HeaderPairs, int | None, list[str] | None]:
    """Do the work of `fields_from_headers`; a plain tuple, for the path of every request."""
    given: Any = headers  # nothing is known of it: applications may not be typed
    if type(given) is not list:
        _check_iterable(given, strict=strict)
    pairs: HeaderPairs = []
    content_length: int | None = None
    length_octets = b""
    dropped: list[str] | None = None
    known_name, known_pair = _KNOWN_NAMES.get, _KNOWN_PAIRS.get
    for header in given:
        try:
            pair = known_pair(header)
        except TypeError:  # not hashable, so no pair of str
            pair = None
        if pair is not None:
            pairs.append(pair)
            continue
        if not isinstance(header, tuple) or len(header) != 2:  # noqa: PLR2004
            raise ApplicationTypeError(
                f"start_response() got a header of type {type(header).__name__}; each must be a tuple (name, value)",
                rule=RULE,
            )
        name, value = header
        octet_name = known_name(name) if type(name) is str else None
        if octet_name is None:
            octet_name = response_name(name)
            if octet_name in HOP_BY_HOP:
                if not drop_hop_by_hop:
                    raise _hop_by_hop(name)
                dropped = dropped or []
                dropped.append(name)
                continue
        # Printable ASCII, which nearly every value is, needs no further question.
        if type(value) is str and value.isascii() and value.isprintable():
            octet_value = value.strip(" ").encode()
        else:
            octet_value = response_value(name, value)
        if octet_name == b"content-length":
            if not octet_value.isdigit() or len(octet_value) > _LENGTH_DIGITS:
                raise ApplicationValueError(
                    f"the application set Content-Length to {octet_value.decode('latin-1')!r}; it must be digits only",
                    rule=_LENGTH_RULE,
                )
            if content_length is not None:
                if octet_value != length_octets:
                    raise ApplicationValueError(
                        "the application set Content-Length twice, differently", rule=_LENGTH_RULE
                    )
                continue
            content_length, length_octets = int(octet_value), octet_value
        pairs.append((octet_name, octet_value))
    return pairs, content_length, dropped


def _check_iterable(headers: Any, *, strict: bool) -> None:
    """Refuse what is no iterable of pairs at all, and in strict mode all but a list (GW-7)."""
    if strict or isinstance(headers, str | bytes) or not hasattr(headers, "__iter__"):
        raise ApplicationTypeError(
            f"start_response() got headers of type {type(headers).__name__}; it must be a list of (name, value) tuples",
            rule=RULE,
        )


def _hop_by_hop(name: str) -> ApplicationError:
    return ApplicationError(
        f"the application set the hop-by-hop field {name!r}; the connection belongs to the server, so leave it out (or "
        "host the app with hop_by_hop='drop')",
        rule='PEP 3333, "Other HTTP Features"; RFC 9110, section 7.6.1',
    )


def response_name(name: object) -> bytes:
    """Return a checked field name, lower-case.

    Raises:
        ApplicationTypeError: not ``str``.
        ApplicationValueError: not a token.
    """
    if not isinstance(name, str):
        raise ApplicationTypeError(f"a header name is of type {type(name).__name__}; it must be str", rule=RULE)
    if not _TOKEN(name):
        raise ApplicationValueError(f"{name!r} is no header name (letters, digits and !#$%&'*+-.^_`|~)", rule=RULE)
    return name.lower().encode("ascii")


def response_value(name: str, value: object) -> bytes:
    """Return a checked field value without surrounding SP and HTAB.

    Raises:
        ApplicationTypeError: not ``str``.
        ApplicationValueError: a control character, or a character beyond latin-1. The value itself, which may be a
            secret, is not quoted.
    """
    if not isinstance(value, str):
        raise ApplicationTypeError(
            f"the value of header {name!r} is of type {type(value).__name__}; it must be str", rule=RULE
        )
    if not _VALUE(value):
        raise ApplicationValueError(
            f"the value of header {name!r} holds a control character (a line break splits a response) or a character "
            "beyond latin-1",
            rule=RULE,
        )
    return value.strip(" \t").encode("latin-1")
