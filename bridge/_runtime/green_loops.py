"""An event loop in a process that eventlet has patched: it runs in a green thread, beside those that wait for it.

A real thread would not do. Eventlet's locks know one thread of the operating system, and all locks of the process are
eventlet's by then, those of ``logging`` among them: the first line that two real threads log at once stops one of them
for ever. So the loop lives among the green threads, and three things are done for it that asyncio knows nothing of:

- It waits through eventlet's hub, and lets the others run at each of its turns (`HubSelector`).
- What it leaves in the thread, which asyncio takes for its own (the running loop, the hooks of asynchronous
  generators), is there only while the loop itself runs (`_LoopThread`): to all others there is no running loop.
- A signal that finds it running is not for it: what the handler raises goes on to the main green thread (`pass_on`).

To be imported only where eventlet is.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeAlias

FileObject: TypeAlias = Any

_greenthread: Any = import_module("eventlet.greenthread")
_hubs: Any = import_module("eventlet.hubs")
_select: Any = import_module("eventlet.patcher").original("select")
_GreenThread: Any = _greenthread.GreenThread


def start_green_thread(run: Callable[[], None]) -> None:
    """Run a function in a green thread of this hub, soon; it may run an event loop."""
    hub = _hubs.get_hub()
    hub.schedule_call_global(0, _LoopThread(hub.greenlet).switch, run, (), {})


def new_hub_loop() -> asyncio.AbstractEventLoop:
    """Return an event loop for a green thread."""
    return HubLoop(HubSelector() if hasattr(_select, "epoll") else None)


def pass_on(error: BaseException) -> None:
    """Raise it in the main green thread of this hub, soon."""
    hub = _hubs.get_hub()
    hub.schedule_call_global(0, hub.greenlet.parent.throw, error)


class _LoopThread(_GreenThread):  # type: ignore[misc]
    """A green thread that takes asyncio's marks with it when others run, and puts back what it found."""

    _own: tuple[Any, Any] = (None, (None, None))

    def main(self, function: Any, args: Any, kwargs: Any) -> None:
        try:
            _GreenThread.main(self, function, args, kwargs)
        finally:
            _mark(self._found)

    def switch(self, *arguments: Any) -> Any:
        self._come()
        return _GreenThread.switch(self, *arguments)

    def throw(self, *arguments: Any) -> Any:
        self._come()
        return _GreenThread.throw(self, *arguments)

    def switch_out(self) -> None:
        """Called by the hub when this thread waits, in whatever way."""
        self._own = _marks()
        _mark(self._found)

    def _come(self) -> None:
        self._found = _marks()
        _mark(self._own)


def _marks() -> tuple[Any, Any]:
    return asyncio._get_running_loop(), sys.get_asyncgen_hooks()  # noqa: SLF001 - exported, for loops


def _mark(marks: tuple[Any, Any]) -> None:
    loop, hooks = marks
    asyncio._set_running_loop(loop)  # noqa: SLF001 - as above
    sys.set_asyncgen_hooks(*hooks)


class HubSelector(selectors.SelectSelector):
    """A selector over an epoll of its own, which the hub watches: one descriptor, however many there are in it.

    Eventlet's own one, that asyncio would take, tells the hub of each descriptor at each turn.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoll = _select.epoll()
        _hubs.notify_opened(self._epoll.fileno())  # the number may have been that of a file which the hub still knows

    def register(self, fileobj: FileObject, events: int, data: Any = None) -> selectors.SelectorKey:
        key = super().register(fileobj, events, data)
        try:
            self._epoll.register(key.fd, self._mask(events))
        except BaseException:
            super().unregister(fileobj)
            raise
        return key

    def unregister(self, fileobj: FileObject) -> selectors.SelectorKey:
        key = super().unregister(fileobj)
        with suppress(OSError):  # closed already
            self._epoll.unregister(key.fd)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = self._poll()
        if found or (timeout is not None and timeout <= 0):
            _greenthread.sleep(0)  # a loop that is never idle must not keep the others from running
        else:
            self._wait(timeout)
        return found or self._poll()

    def close(self) -> None:
        self._epoll.close()
        super().close()

    def _mask(self, events: int) -> int:
        mask = 0
        if events & selectors.EVENT_READ:
            mask |= _select.EPOLLIN
        if events & selectors.EVENT_WRITE:
            mask |= _select.EPOLLOUT
        return mask

    def _poll(self) -> list[tuple[selectors.SelectorKey, int]]:
        keys, found = self.get_map(), list[tuple[selectors.SelectorKey, int]]()
        for descriptor, happened in self._epoll.poll(0):
            key = keys.get(descriptor)
            # What is neither, an error or the end, is told to whoever waits for either.
            events = 0
            if happened & ~_select.EPOLLIN:
                events |= selectors.EVENT_WRITE
            if happened & ~_select.EPOLLOUT:
                events |= selectors.EVENT_READ
            if key is not None and events & key.events:
                found.append((key, events & key.events))
        return found

    def _wait(self, timeout_s: float | None) -> None:
        hub = _hubs.get_hub()
        wake = _greenthread.getcurrent()
        listener = hub.add(hub.READ, self._epoll.fileno(), wake.switch, wake.throw, _nothing)
        timer = None if timeout_s is None else hub.schedule_call_global(timeout_s, wake.switch)
        try:
            hub.switch()
        finally:
            hub.remove(listener)
            if timer is not None:
                timer.cancel()


class HubLoop(asyncio.SelectorEventLoop):
    """An event loop that goes on where others end with what a signal has raised: it is passed on."""

    def run_until_complete(self, future: Any) -> Any:
        task = asyncio.ensure_future(future, loop=self)
        while True:
            try:
                return super().run_until_complete(task)
            except (KeyboardInterrupt, SystemExit) as error:
                if task.done():
                    raise
                pass_on(error)


def _nothing() -> None:
    """Do nothing: nobody has an object of the descriptor that would have to learn of its end."""
