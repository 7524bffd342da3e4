"""``wsgi.errors``: any text, from any thread, to where the deployer wants it (W-084 to W-086)."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bridge import Limits, WSGIToASGI
from bridge._wsgi_hosting.error_stream import LoggedErrorStream
from tests.driving import fetch
from tests.meeting import TIMEOUT_S, Helper

IDLE = Limits(worker_idle_s=0.05)
HARD_TEXT = "Zoë € 😀 \udcff \ud800\n"


def saying(say: Callable[[Any], object]) -> Any:
    def app(environ, start_response):
        say(environ["wsgi.errors"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"said"]

    return app


def say_all(errors: Any) -> None:
    errors.write("one\n")
    errors.writelines(["two\n", "three\n"])
    errors.flush()


@pytest.mark.requirement("W-084")
def test_without_a_choice_text_goes_to_the_current_standard_error(capsys, maybe_lint):
    fetch(WSGIToASGI(maybe_lint(saying(say_all)), limits=IDLE))

    captured = capsys.readouterr()
    assert captured.err == "one\ntwo\nthree\n"
    assert captured.out == ""


@pytest.mark.requirement("W-084")
def test_the_standard_error_is_that_of_the_moment_not_that_of_the_start(monkeypatch, maybe_lint):
    adapter = WSGIToASGI(maybe_lint(saying(say_all)), limits=IDLE)
    later = io.StringIO()
    monkeypatch.setattr(sys, "stderr", later)

    fetch(adapter)

    assert later.getvalue() == "one\ntwo\nthree\n"


@pytest.mark.requirement("W-084")
def test_a_stream_of_the_deployers_choice_gets_the_text_and_is_flushed(capsys, maybe_lint):
    class Stream(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    stream = Stream()

    fetch(WSGIToASGI(maybe_lint(saying(say_all)), limits=IDLE, errors=stream))

    assert stream.getvalue() == "one\ntwo\nthree\n"
    assert stream.flushes == 1
    assert capsys.readouterr().err == ""


@pytest.mark.requirement("W-084")
def test_a_logger_gets_one_record_per_line(caplog, capsys, maybe_lint):
    logger = logging.getLogger("shop.wsgi")

    fetch(WSGIToASGI(maybe_lint(saying(say_all)), limits=IDLE, errors=logger))

    assert [(entry.name, entry.levelno, entry.getMessage()) for entry in caplog.records] == [
        ("shop.wsgi", logging.ERROR, "one"),
        ("shop.wsgi", logging.ERROR, "two"),
        ("shop.wsgi", logging.ERROR, "three"),
    ]
    assert capsys.readouterr().err == ""


@pytest.mark.requirement("W-084")
def test_a_line_that_is_written_in_parts_is_one_record(caplog):
    """``print`` writes each argument, each space and the line end by itself."""
    app = saying(lambda errors: print("user", 42, "logged in", file=errors))

    fetch(WSGIToASGI(app, limits=IDLE, errors=logging.getLogger("shop.wsgi")))

    assert [entry.getMessage() for entry in caplog.records] == ["user 42 logged in"]


@pytest.mark.requirement("W-084")
@pytest.mark.parametrize("ending", ["", "flush"], ids=["request-ends", "flush"])
def test_a_line_without_an_end_is_not_lost(caplog, ending):
    def say(errors: Any) -> None:
        errors.write("unfinished")
        if ending:
            errors.flush()

    fetch(WSGIToASGI(saying(say), limits=IDLE, errors=logging.getLogger("shop.wsgi")))

    assert [entry.getMessage() for entry in caplog.records] == ["unfinished"]


@pytest.mark.requirement("W-084")
@pytest.mark.parametrize("data", [b"octets", None, 1], ids=repr)
def test_what_is_no_text_is_refused(data, capsys):
    raised: list[BaseException] = []

    def say(errors: Any) -> None:
        try:
            errors.write(data)
        except TypeError as error:
            raised.append(error)

    fetch(WSGIToASGI(saying(say), limits=IDLE))

    assert len(raised) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.requirement("W-084")
def test_a_process_without_standard_error_is_no_trouble(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)

    assert fetch(WSGIToASGI(saying(say_all), limits=IDLE)).body == b"said"


@pytest.mark.requirement("W-085")
@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        pytest.param("ascii", r"Zo\xeb \u20ac \U0001f600 \udcff \ud800", id="ascii"),
        pytest.param("latin-1", r"Zoë \u20ac \U0001f600 \udcff \ud800", id="latin-1"),
        pytest.param("utf-8", r"Zoë € 😀 \udcff \ud800", id="utf-8"),
    ],
)
@pytest.mark.parametrize("is_chosen", [False, True], ids=["stderr", "chosen"])
def test_any_text_is_taken_on_a_stream_of_any_encoding(monkeypatch, maybe_lint, encoding, expected, is_chosen):
    octets = io.BytesIO()
    stream = io.TextIOWrapper(octets, encoding, newline="\n", write_through=True)
    if not is_chosen:
        monkeypatch.setattr(sys, "stderr", stream)
    app = saying(lambda errors: (errors.write(HARD_TEXT), errors.flush()))

    fetch(WSGIToASGI(maybe_lint(app), limits=IDLE, errors=stream if is_chosen else None))

    assert octets.getvalue().decode(encoding) == expected + "\n"


@pytest.mark.requirement("W-085")
def test_any_text_is_taken_by_a_logger(caplog):
    fetch(
        WSGIToASGI(saying(lambda errors: errors.write(HARD_TEXT)), limits=IDLE, errors=logging.getLogger("shop.wsgi"))
    )

    assert [entry.getMessage() for entry in caplog.records] == [HARD_TEXT.rstrip("\n")]


@pytest.mark.requirement("W-086")
def test_two_threads_of_the_application_write_whole_lines(capsys, maybe_lint):
    def say(errors: Any) -> None:
        together = threading.Barrier(2)

        def write(name: str) -> None:
            together.wait(TIMEOUT_S)
            for number in range(200):
                errors.write(f"{name}{number}\n")

        for helper in [Helper(lambda name=name: write(name)) for name in "ab"]:
            helper.join()

    fetch(WSGIToASGI(maybe_lint(saying(say)), limits=IDLE))

    lines = capsys.readouterr().err.splitlines()
    for name in "ab":
        assert [line for line in lines if line.startswith(name)] == [f"{name}{number}" for number in range(200)]
    assert len(lines) == 400


class Interrupted(str):
    """A text in the middle of whose writing another thread writes, too."""

    __slots__ = ("other",)

    def __radd__(self, before: str) -> str:
        self.other.start()
        self.other.join(0.2)  # it does not get through, and must not be waited for
        return before + str(self)


def test_parts_of_a_line_from_two_threads_are_both_kept(caplog):
    stream = LoggedErrorStream(logging.getLogger("parts"))
    text = Interrupted("one ")
    text.other = threading.Thread(target=stream.write, args=("two ",))

    stream.write(text)
    text.other.join(TIMEOUT_S)
    stream.flush()

    assert caplog.messages == ["one two "]


def test_closing_it_closes_nothing(capsys):
    def say(errors: Any) -> None:
        errors.write("before\n")
        errors.close()
        errors.write("after\n")

    adapter = WSGIToASGI(saying(say), limits=IDLE)
    for _ in range(2):
        fetch(adapter)

    assert capsys.readouterr().err == "before\nafter\n" * 2
    assert not sys.stderr.closed


@pytest.mark.requirement("W-086")
def test_it_can_be_written_to_after_the_request(capsys):
    kept: list[Any] = []
    fetch(WSGIToASGI(saying(kept.append), limits=IDLE))

    Helper(lambda: kept[0].write("late\n")).join()

    assert capsys.readouterr().err == "late\n"


@pytest.mark.requirement("W-084", "W-086")
def test_the_standard_librarys_own_handlers_can_use_it(capsys):
    def say(errors: Any) -> None:
        handler = logging.StreamHandler(errors)
        handler.emit(logging.LogRecord("shop", logging.ERROR, "shop.py", 1, "sold %s", ("out",), None))
        handler.flush()
        print("printed", file=errors, flush=True)

    fetch(WSGIToASGI(saying(say), limits=IDLE))

    assert capsys.readouterr().err == "sold out\nprinted\n"
