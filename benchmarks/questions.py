"""The questions there are: where each is asked, and on which page its answer is shown.

A question is one module, whose docstring is the question, with ``run(settings) -> list[Comparison]``.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.results import Comparison
    from benchmarks.settings import Settings

_HERE = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the report: its title, and what is said before the first answer."""

    title: str
    text: str


PAGES = {
    "in-memory": Page(
        title="Alone, in memory",
        text="What the adapters cost by themselves: no socket, no server, one process. "
        "`receive` and `send`, or `environ` and `start_response`, cost next to nothing.",
    ),
    "under-asgi-servers": Page(
        title="WSGI applications under ASGI servers",
        text="Real servers in processes of their own, pinned to one core; the client has another. "
        "The same applications run on the WSGI servers they came from.",
    ),
    "on-wsgi-servers": Page(
        title="ASGI applications on WSGI servers",
        text="Real servers in processes of their own, pinned to one core; the client has another.",
    ),
    "transfers": Page(
        title="Large transfers, and memory",
        text="What becomes of bodies that do not fit into one piece: how fast they pass, and how much of them is held.",
    ),
    "streams": Page(
        title="Streams and WebSockets",
        text="Responses that go on for long, the clients that leave them, and connections that are not HTTP any more.",
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        name: of its module.
        room: the package that the module is in.
        page: a key of `PAGES`.
        title: the heading of its answer.
    """

    name: str
    room: str
    page: str
    title: str

    def text(self) -> str:
        """Return the question in words, without importing what it measures."""
        source = (_HERE / self.room / f"{self.name}.py").read_text(encoding="utf-8")
        return ast.get_docstring(ast.parse(source)) or ""

    def ask(self, settings: Settings) -> list[Comparison]:
        """Measure."""
        comparisons: list[Comparison] = importlib.import_module(f"benchmarks.{self.room}.{self.name}").run(settings)
        return comparisons


def _questions(*lines: tuple[str, str, str, str]) -> dict[str, Question]:
    return {name: Question(name=name, room=room, page=page, title=title) for name, room, page, title in lines}


QUESTIONS = _questions(
    ("hello", "in_memory", "in-memory", "Hello"),
    ("translation", "in_memory", "in-memory", "Translation"),
    ("hello_on_wsgi", "in_memory", "in-memory", "The other way round"),
    ("blocking", "in_memory", "in-memory", "A blocking application"),
    ("under_servers", "on_servers", "under-asgi-servers", "Hello"),
    ("frameworks_under_servers", "on_servers", "under-asgi-servers", "Flask and Django"),
    ("blocking_under_servers", "on_servers", "under-asgi-servers", "A blocking application"),
    ("serve", "on_servers", "under-asgi-servers", "`bridge serve`"),
    ("under_wsgi_servers", "on_servers", "on-wsgi-servers", "Hello"),
    ("download", "in_memory", "transfers", "Down, in memory"),
    ("upload", "in_memory", "transfers", "Up, in memory"),
    ("transfers", "on_servers", "transfers", "Over sockets"),
    ("memory", "on_servers", "transfers", "Memory under an ASGI server"),
    ("wsgi_memory", "on_servers", "transfers", "Memory on a WSGI server"),
    ("small_blocks", "in_memory", "streams", "Small blocks"),
    ("fan_out", "on_servers", "streams", "Event streams"),
    ("dropped_streams", "on_servers", "streams", "Dropped streams"),
    ("websockets", "on_servers", "streams", "WebSockets"),
    ("websocket_load", "on_servers", "streams", "Many WebSockets"),
)
