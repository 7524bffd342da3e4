"""What takes the place of ``threading``, ``time``, ``os`` and ``select`` in code under test."""

from __future__ import annotations

import os as real_os
import time as real_time
from typing import Any, Self

from tests.interleavings.execution import START_S
from tests.interleavings.primitives import (
    Awaited,
    Condition,
    Event,
    Lock,
    RLock,
    Semaphore,
    Thread,
    running,
)


class _Descriptor(Awaited, int):
    """An ``eventfd``: a number, as far as others can tell."""

    def __init__(self) -> None:
        self._count = 0

    def write(self, count: int) -> None:
        self._do("writes to")
        self._count += count

    def read(self) -> int:
        self._do("reads from")
        if not self._count:
            raise BlockingIOError
        count, self._count = self._count, 0
        return count

    def poll(self, timeout_s: float | None) -> bool:
        if timeout_s == 0:
            self._look("polls")
            return self._count > 0
        return self._wait("polls", lambda: self._count > 0, timeout_s, is_change=False)


class _Poll:
    """``select.poll`` of one descriptor."""

    def register(self, descriptor: _Descriptor, _: int) -> None:
        self._descriptor = descriptor

    def poll(self, timeout_ms: float | None = None) -> list[_Descriptor]:
        return [self._descriptor] if self._descriptor.poll(None if timeout_ms is None else timeout_ms / 1000) else []


class File(Awaited):
    """An open file of the operating system, and the descriptor that refers to it."""

    def __init__(self, content: bytes = b"") -> None:
        self._content = bytearray(content)
        self.closings = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The descriptor of the file object is closed; its duplicate, which is this one, is not."""

    def fileno(self) -> File:
        return self

    def pread(self, count: int, offset: int) -> bytes:
        self._look("reads from")
        self._check()
        return bytes(self._content[offset : offset + count])

    def pwrite(self, octets: bytes, offset: int) -> int:
        self._do("writes to")
        self._check()
        self._content[offset : offset + len(octets)] = octets
        return len(octets)

    def close(self) -> None:
        self._do("closes")
        self._check()
        self.closings += 1

    def _check(self) -> None:
        if self.closings:
            raise AssertionError("the descriptor is closed: it may be that of another file by now")


def _dup(file: File) -> File:
    return file


def _close(descriptor: object) -> None:
    if isinstance(descriptor, File):
        descriptor.close()  # that of an eventfd is closed with the last reference to it


class _Namespace:
    """A module with some names replaced."""

    def __init__(self, module: Any, **names: Any) -> None:
        self.__dict__.update(vars(module) if module is not None else {})
        self.__dict__.update(names)


def _current_thread() -> Any:
    thread = running()
    return thread if thread is None or thread.handle is None else thread.handle


def _get_ident() -> int:
    thread = running()
    return 0 if thread is None else thread.number + 1


def _monotonic() -> float:
    thread = running()
    return START_S if thread is None else thread.now_s


threading = _Namespace(
    None,
    Condition=Condition,
    Event=Event,
    Lock=Lock,
    RLock=RLock,
    Semaphore=Semaphore,
    Thread=Thread,
    current_thread=_current_thread,
    get_ident=_get_ident,
)
time = _Namespace(real_time, monotonic=_monotonic, perf_counter=_monotonic)
os = _Namespace(
    real_os,
    eventfd=lambda *_: _Descriptor(),
    eventfd_read=_Descriptor.read,
    eventfd_write=_Descriptor.write,
    EFD_CLOEXEC=0,
    EFD_NONBLOCK=0,
    close=_close,
    dup=_dup,
    pread=File.pread,
    pwrite=File.pwrite,
)
select = _Namespace(None, poll=_Poll, POLLIN=1)
