r"""The format of a fuzzing input: fields with ``|`` between them.

``\`` makes the octet after it an ordinary one, so a field can hold any octets. What is read beyond the end is empty:
every input means something, and a mutation of one field leaves the others alone. Most inputs can be read by people:

    GET|/app|/app/x|host|shop.example
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

_Item = TypeVar("_Item")

_FIELD = re.compile(rb"(?:[^|\\]|\\.?)*", re.DOTALL)
_ESCAPED = re.compile(rb"\\(.?)", re.DOTALL)
_SPECIAL = re.compile(rb"[|\\]")


class WrongResultError(AssertionError):
    """The code under test has given something that it must not give."""


def expect(is_so: object, complaint: str) -> None:
    """Raise `WrongResultError` unless something is so."""
    if not is_so:
        raise WrongResultError(complaint)


def expect_equal(given: object, expected: object, what: str) -> None:
    """Raise `WrongResultError` unless both are equal."""
    if given != expected:
        raise WrongResultError(f"{what}: {given!r} was given, {expected!r} is right")


def written(*fields: bytes) -> bytes:
    """Return the input that is read as these fields: for new entries of a corpus."""
    return b"|".join(_SPECIAL.sub(rb"\\\g<0>", field) for field in fields)


class Reader:
    """Reads the fields of one input, one after the other.

    Args:
        data: the input.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def has_more(self) -> bool:
        """Whether there is a field left."""
        return self._position < len(self._data)

    def octets(self) -> bytes:
        """Return the next field; empty beyond the end."""
        match = _FIELD.match(self._data, self._position)
        if match is None:
            return b""
        self._position = match.end() + 1
        return _ESCAPED.sub(rb"\1", match[0])

    def native(self) -> str:
        """Return the next field as WSGI text: one code point per octet."""
        return self.octets().decode("latin-1")

    def text(self) -> str:
        """Return the next field as any text: UTF-8 where it is that, surrogates too, and escaped octets otherwise."""
        octets = self.octets()
        try:
            return octets.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            return octets.decode("utf-8", "surrogateescape")

    def choice(self, options: Sequence[_Item]) -> _Item:
        """Return one of the options, by the first octet of the next field: ``0`` is the first."""
        octets = self.octets()
        return options[(octets[0] - ord("0")) % len(options) if octets else 0]

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Return all that is left as pairs."""
        pairs: list[tuple[bytes, bytes]] = []
        while self.has_more:
            name = self.octets()
            pairs.append((name, self.octets()))
        return pairs
