"""What RFC 9110 says of methods, fields and lengths, for the oracles: octet by octet, without regular expressions."""

from __future__ import annotations

from collections.abc import Iterable

_TOKEN_OCTETS = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NEVER_IN_A_VALUE = frozenset(b"\r\n\0")
_MOST_DIGITS = 18
"""The bridge's own limit: more octets than 10**18 are no length but an attack on somebody's integers."""

HOP_BY_HOP = frozenset(
    {
        *[b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"],
        *[b"trailer", b"trailers", b"transfer-encoding", b"upgrade"],
    }
)
"""The fields that belong to a connection (RFC 9110 section 7.6.1, and what is used in its spirit)."""


class Refusal(Exception):
    """The oracle's word for: this is to be refused."""


def is_token(name: bytes) -> bool:
    """RFC 9110 section 5.6.2."""
    return bool(name) and _TOKEN_OCTETS.issuperset(name)


def is_split(value: bytes) -> bool:
    """Whether a request's value holds what no value may hold (RFC 9110 section 5.5)."""
    return not _NEVER_IN_A_VALUE.isdisjoint(value)


def is_sendable(value: bytes) -> bool:
    """Whether a response's value holds no control character but HTAB (RFC 9110 section 5.5)."""
    return all(octet == 0x09 or 0x20 <= octet <= 0x7E or octet >= 0x80 for octet in value)  # noqa: PLR2004


def trimmed(value: bytes) -> bytes:
    """Return a value without the space around it."""
    while value and value[0] in b" \t":
        value = value[1:]
    while value and value[-1] in b" \t":
        value = value[:-1]
    return value


def lowered(name: bytes) -> bytes:
    """Lower-case ASCII letters and nothing else."""
    return bytes(octet + 0x20 if 0x41 <= octet <= 0x5A else octet for octet in name)  # noqa: PLR2004


def uppered(name: bytes) -> bytes:
    """Upper-case ASCII letters and nothing else."""
    return bytes(octet - 0x20 if 0x61 <= octet <= 0x7A else octet for octet in name)  # noqa: PLR2004


def is_length(text: bytes) -> bool:
    """RFC 9110 section 8.6."""
    return 0 < len(text) <= _MOST_DIGITS and all(octet in b"0123456789" for octet in text)


def request_length(values: Iterable[bytes]) -> int | None:
    """Return what the Content-Length fields of a request agree on, None where there is none.

    Raises:
        Refusal: they do not, or it is no number.
    """
    members = [trimmed(member) for value in values for member in value.split(b",")]
    if not members:
        return None
    if any(member != members[0] for member in members) or not is_length(members[0]):
        raise Refusal("Content-Length")
    return int(members[0])
