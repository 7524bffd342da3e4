"""What the applications of the soak answer. Both are written to it, and the client checks every answer against it."""

from __future__ import annotations

import hashlib
import json

KIB = 1024
MIB = 1024 * KIB

HELLO = b"hello\n"
FIRST_BLOCK = b"the first block"
ETAG = '"the-same"'

BLOCK = bytes(range(256)) * 16
"""4 KiB: a block of the streams."""
STREAM_BLOCKS = 24
STREAM = BLOCK * STREAM_BLOCKS

LARGE_BLOCK = BLOCK * 16
"""64 KiB: a block of the response that a slow client reads."""
LARGE_BLOCKS = 96
LARGE = LARGE_BLOCK * LARGE_BLOCKS
"""6 MiB: more than the bridge holds in memory for one response and the system in the buffers of a slow connection."""

FILE_OCTETS = b"a line of the file\n" * 20_000
FILE_VARIABLE = "BRIDGE_SOAK_FILE"
"""The environment variable with the path of the file that holds them."""

CHUNKED_PIECE = BLOCK * 10
CHUNKED_PIECES = 5
"""200 KiB together: a body that is collected in memory."""
UPLOAD = BLOCK * (1280 // 4)
"""1.25 MiB: a body that is not."""
MOST_UPLOAD_BYTES = 8 * MIB
"""The adapters refuse more with 413."""
SPOOLED = "/spooled"
"""The prefix under which large request bodies always go through a temporary file, with the bridge on an ASGI server."""


def answer_to_json(octets: bytes) -> bytes:
    """Return the answer to a JSON object with ``number`` and ``text``."""
    asked = json.loads(octets)
    return json.dumps({"next": asked["number"] + 1, "reversed": asked["text"][::-1]}).encode()


def digest_line(length_bytes: int, digest: str) -> bytes:
    """Return the answer to an upload of that length and SHA-1."""
    return f"{length_bytes} {digest}\n".encode()


def digest_of(octets: bytes) -> bytes:
    """Return the answer to an upload."""
    return digest_line(len(octets), hashlib.sha1(octets).hexdigest())


def awaited(number: int) -> bytes:
    """Return the answer of the route that awaits a coroutine."""
    return b"awaited %d\n" % (number * number)
