"""What the applications of the soak count: what began must end, and what was cut must never look whole."""

from __future__ import annotations

import threading
from collections import Counter

_lock = threading.Lock()
_counts: Counter[str] = Counter()

PAIRS = (
    ("streams opened", "streams closed"),
    ("background begun", "background done"),
    ("sockets begun", "sockets ended"),
)
"""Numbers that are equal when nothing is under way."""
NEVER = ("cut uploads that looked whole", "closed in another thread")
"""Numbers that stay zero."""
_MORE = ("cut uploads", "responses sent from a file")


def count(what: str) -> None:
    """Count one more. Any thread."""
    with _lock:
        _counts[what] += 1


def counts() -> dict[str, int]:
    """Return all numbers so far, also those that are zero. Any thread."""
    with _lock:
        return {what: _counts[what] for what in (*(name for pair in PAIRS for name in pair), *NEVER, *_MORE)}
