"""What the sites are asked and what they answer. Imports nothing: every server's process imports this."""

from __future__ import annotations

from typing import Final

BLOCKS: Final = [b"block %d\n" % number for number in range(5)]
"""What ``/stream`` gives, in order."""

# Every octet there is, and more of them than one read of a socket usually gives.
UPLOAD: Final = bytes(range(256)) * 300
"""What is sent to ``/echo``."""

OCTETS: Final = "application/octet-stream"


def greeting(name: str) -> str:
    """Return what ``/`` answers."""
    return f"hello from {name}"
