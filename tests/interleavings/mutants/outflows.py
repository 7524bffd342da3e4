"""`Outflow` made wrong, in one place each."""

from __future__ import annotations

from bridge._runtime.outflow import ITEM_OVERHEAD_BYTES, Outflow


class ClearsLate(Outflow[bytes]):
    """Takes, and says in a second section that it wants to be told of more."""

    def take(self) -> tuple[list[bytes], bool]:
        with self._lock:
            items, self._items = self._items, []
        with self._lock:
            self._is_notified = is_finished = self._is_finished
            if is_finished:
                self._take_last(items)
            return items, is_finished


class FinishesFirst(Outflow[bytes]):
    """Says that it is over before the last items are there."""

    def finish(self, error: BaseException | None = None, items: tuple[bytes, ...] = ()) -> None:
        self._is_finished = True
        self._last = items
        self._error = error
        self._link.notify_soon()


class LooksFirst(Outflow[bytes]):
    """Looks whether the other side must be told before the items are there."""

    def put(self, items: tuple[bytes, ...], size_bytes: int) -> None:
        with self._lock:
            is_first, self._is_notified = not self._is_notified, True
        with self._lock:
            if self.reason is not None:
                raise self.reason
            self._items.extend(items)
            self._held_bytes += size_bytes + ITEM_OVERHEAD_BYTES * len(items)
        if is_first:
            self._link.notify()


class SendsSilently(Outflow[bytes]):
    """Wakes nobody when there is room."""

    def sent(self, count: int, size_bytes: int) -> None:
        with self._lock:
            self._held_bytes -= size_bytes + ITEM_OVERHEAD_BYTES * count


class ClosesSilently(Outflow[bytes]):
    """Wakes nobody when it is closed."""

    def close(self, reason: Exception) -> None:
        with self._lock:
            if self.reason is None:
                self.reason = reason
                self._items.clear()
                self._held_bytes = 0


class CountsWithoutLock(Outflow[bytes]):
    """Counts what was sent as if ``-=`` were one step."""

    def sent(self, count: int, size_bytes: int) -> None:
        self._held_bytes -= size_bytes + ITEM_OVERHEAD_BYTES * count
        super().sent(0, 0)


class WithdrawsSilently(Outflow[bytes]):
    """Takes everything back, and still counts on the other side to look."""

    def withdraw(self) -> list[bytes]:
        was_notified = self._is_notified
        withdrawn = super().withdraw()
        self._is_notified = was_notified
        return withdrawn
