"""`Backlog` made wrong, in one place each."""

from __future__ import annotations

from bridge._runtime.spooled import Backlog


class LooksOnce(Backlog):
    """Takes what was written for accepted, although the reader may have caught up meanwhile."""

    def write(self, octets: bytes) -> bool:
        had_ended = self._has_ended
        self._has_ended = False
        is_taken = super().write(octets)
        self._has_ended = had_ended
        return is_taken


class ClosesAtOnce(Backlog):
    """Gives the file back while somebody may be using it."""

    def close(self) -> None:
        self._file._users = 0
        super().close()
