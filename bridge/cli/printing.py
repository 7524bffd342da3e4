"""What the commands print: colours and drawn tables where rich is installed and somebody looks, else plain text."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Literal, Protocol, TextIO

Style = Literal["good", "bad", "warn", "dim"]

_COLOURS: dict[Style | None, str] = {None: "", "good": "green", "bad": "bold red", "warn": "yellow", "dim": "dim"}


class Printer(Protocol):
    """Prints paragraphs and tables to one stream."""

    def heading(self, text: str) -> None:
        """Print the title of a part."""
        ...

    def line(self, text: str, style: Style | None = None) -> None:
        """Print one line."""
        ...

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values below each other."""
        ...

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table."""
        ...


def printer_for(stream: TextIO | None) -> Printer:
    """Return the printer for a stream: plain text into files and pipes, and where ``NO_COLOR`` is set, the terminal has
    no Unicode, or rich is not installed.
    """
    if stream is None:  # closed by whoever started the process
        stream = io.StringIO()
    is_watched = stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    is_watched = is_watched and (stream.encoding or "").lower().replace("-", "") == "utf8"  # it draws lines
    return _RichPrinter(stream) if is_watched and find_spec("rich") is not None else PlainPrinter(stream)


class PlainPrinter:
    """Text without decoration, as wide as it is."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def heading(self, text: str) -> None:
        """Print the title of a part."""
        self._print(f"\n{text}")

    def line(self, text: str, style: Style | None = None) -> None:  # noqa: ARG002 - plain
        """Print one line."""
        self._print(text)

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values below each other."""
        width = max((len(name) for name, _ in pairs), default=0)
        for name, value in pairs:
            self._print(f"  {name:<{width}}  {value}".rstrip())

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table, its columns as wide as they need to be."""
        widths = [max(len(row[column]) for row in [headers, *rows]) for column in range(len(headers))]
        for row in [headers, *rows]:
            self._print("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())

    def _print(self, text: str) -> None:
        try:
            print(text, file=self._stream)
        except UnicodeEncodeError:  # a stream of few characters
            encoding = self._stream.encoding or "ascii"
            print(text.encode(encoding, "replace").decode(encoding), file=self._stream)


class _RichPrinter:
    """The same for people."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console  # noqa: PLC0415 - an extra

        self._console: Any = Console(file=stream, highlight=False, soft_wrap=True)

    def heading(self, text: str) -> None:
        """Print the title of a part."""
        self._print(f"\n{text}", "bold")

    def line(self, text: str, style: Style | None = None) -> None:
        """Print one line."""
        self._print(text, _COLOURS[style])

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values below each other."""
        from rich.table import Table  # noqa: PLC0415

        grid: Any = Table.grid(padding=(0, 2))
        for name, value in pairs:
            grid.add_row(_verbatim(f"  {name}", "dim"), _verbatim(value))
        self._console.print(grid)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table that fits the window."""
        from rich import box  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table: Any = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for header in headers:
            table.add_column(header, overflow="fold")
        for row in rows:
            table.add_row(*(_verbatim(cell) for cell in row))
        self._console.print(table)

    def _print(self, text: str, style: str) -> None:
        self._console.print(_verbatim(text, style))


def _verbatim(text: str, style: str = "") -> Any:
    """Make rich print text as it is, square brackets and all."""
    from rich.text import Text  # noqa: PLC0415

    return Text(text, style=style)
