"""The content that is sent and checked. Blocks differ from their neighbours, so a lost or doubled one shows."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import cache

KIB = 1024
MIB = 1024 * KIB
BLOCK_BYTES = 64 * KIB

# A little shorter than a block: the next block begins elsewhere in it.
_CYCLE = b"".join(b"%07d\n" % number for number in range(BLOCK_BYTES // 8 - 1))
_CYCLES = _CYCLE * 3


def blocks_of(size_bytes: int) -> Iterator[bytes]:
    """Return so many bytes of it, in blocks."""
    for position in range(0, size_bytes, BLOCK_BYTES):
        begin = position % len(_CYCLE)
        yield _CYCLES[begin : begin + min(BLOCK_BYTES, size_bytes - position)]


def content_of(size_bytes: int) -> bytes:
    """Return so many bytes of it."""
    return b"".join(blocks_of(size_bytes))


@cache
def checksum_of(size_bytes: int) -> int:
    """Return the checksum of so many bytes of it."""
    checksum = 0
    for block in blocks_of(size_bytes):
        checksum = zlib.crc32(block, checksum)
    return checksum
