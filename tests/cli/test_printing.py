"""What is printed: decorated for people who look, plain for everything else."""

from __future__ import annotations

import io

import pytest

from bridge.cli import printing
from bridge.cli.printing import PlainPrinter, printer_for

BRACKETS = "environ[wsgi.input] [red]is[/red] [/]"
ESCAPE = "\x1b["


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of colours, as far as variables tell, whatever runs the tests."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


def shown(stream: io.StringIO) -> str:
    """Print one of everything; return what came out."""
    printer = printer_for(stream)
    printer.heading("Servers")
    printer.line(BRACKETS, "bad")
    printer.fields([("name", "shop:app"), ("a longer name", BRACKETS)])
    printer.table(["server", "needs"], [["uvicorn", "-"], ["daphne", BRACKETS]])
    return stream.getvalue()


PLAIN = f"""
Servers
{BRACKETS}
  name           shop:app
  a longer name  {BRACKETS}
  server   needs
  uvicorn  -
  daphne   {BRACKETS}
"""


def test_a_pipe_gets_plain_text() -> None:
    assert shown(io.StringIO()) == PLAIN


@pytest.mark.parametrize(
    ("name", "value"),
    [pytest.param("NO_COLOR", "1", id="NO_COLOR"), pytest.param("TERM", "dumb", id="TERM=dumb")],
)
def test_a_terminal_gets_plain_text_where_that_is_asked_for(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    assert shown(Terminal()) == PLAIN


def test_an_empty_NO_COLOR_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")

    assert ESCAPE in shown(Terminal())


def test_a_terminal_gets_plain_text_where_rich_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printing, "find_spec", lambda _: None)

    assert shown(Terminal()) == PLAIN


def test_a_terminal_gets_colours_and_every_word_unharmed() -> None:
    text = shown(Terminal())

    assert ESCAPE in text
    assert text.count(BRACKETS) == 3
    assert all(word in text for word in ("Servers", "shop:app", "a longer name", "uvicorn", "daphne"))


def test_a_long_line_is_not_broken_on_a_terminal() -> None:
    stream = Terminal()
    line = "word " * 40 + "end"

    printer_for(stream).line(line)

    assert stream.getvalue() == f"{line}\n"


def test_a_table_fits_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()

    printer_for(stream).table(["server", "needs"], [["uvicorn", "x" * 100]])

    lines = stream.getvalue().splitlines()
    assert stream.getvalue().count("x") == 100
    assert max(len(line.replace(f"{ESCAPE}1m", "").replace(f"{ESCAPE}0m", "")) for line in lines) <= 40


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [pytest.param("ascii", b"caf? ?\n", id="ascii"), pytest.param("utf-8", "caf\xe9 \u2713\n".encode(), id="utf-8")],
)
def test_what_a_stream_cannot_write_does_not_end_the_command(encoding: str, printed: bytes) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")

    printer_for(stream).line("caf\xe9 \u2713")
    stream.flush()

    assert raw.getvalue() == printed


def test_a_terminal_of_few_characters_does_not_end_the_command() -> None:
    raw = io.BytesIO()

    class Narrow(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    stream = Narrow(raw, encoding="ascii", newline="\n")

    printer = printer_for(stream)
    printer.line("caf\xe9 \u2713")
    printer.fields([("name", "caf\xe9")])
    printer.table(["caf\xe9"], [["\u2713"]])
    stream.flush()

    assert b"caf?" in raw.getvalue()


def test_nothing_to_list_is_no_error() -> None:
    stream = io.StringIO()

    PlainPrinter(stream).fields([])
    PlainPrinter(stream).table(["server"], [])

    assert stream.getvalue() == "  server\n"
