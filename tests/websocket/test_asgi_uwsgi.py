"""uWSGI's own interface, which may be used by the thread it has called and by no other (A-148, S-021)."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from bridge import to_wsgi
from tests.integration.raw_websocket import TEXT
from tests.websocket.gateway import Visit


class OneThreadOnly(ModuleType):
    """The module `uwsgi`, which takes note of who uses it, and empties the environ at the end of a call."""

    def __init__(self) -> None:
        super().__init__("uwsgi")
        self.opt: dict[str, bytes] = {}
        self.users: set[int] = set()
        self.calls: list[str] = []
        self.visit: Any = None

    def connection_fd(self) -> int:
        self._note("connection_fd")
        return int(self.visit.server.fileno())

    def disconnect(self) -> None:
        self._note("disconnect")
        self.visit.environ.clear()

    def _note(self, name: str) -> None:
        self.users.add(threading.get_ident())
        self.calls.append(name)


class UWSGIVisit(Visit):
    """A visit of a server that is uWSGI."""

    def _serve(self) -> None:
        sys.modules["uwsgi"].visit = self  # type: ignore[attr-defined]
        self.thread_id = threading.get_ident()
        super()._serve()


@pytest.mark.requirement("A-148", "S-021")
def test_the_interface_of_uwsgi_is_used_by_the_request_thread_alone_and_not_after_the_call(monkeypatch):
    uwsgi = OneThreadOnly()
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)

    async def echo(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": f"{scope['path']}: {message['text']}"})

    adapter = to_wsgi(echo, lifespan="off")
    try:
        with UWSGIVisit(
            adapter, **{"werkzeug.socket": None, "uwsgi.version": b"2.0.30", "PATH_INFO": "/room"}
        ) as visit:
            visit.opened().finish_call()
            assert visit.environ == {}
            before = list(uwsgi.calls)
            for text in (b"one", b"two"):
                visit.send(TEXT, text)
                got = visit.read()
                assert got is not None
                assert got.payload == b"/room: " + text

            assert uwsgi.calls == before
            assert uwsgi.users == {visit.thread_id}
            assert before.count("disconnect") == 1
    finally:
        adapter.shutdown()
