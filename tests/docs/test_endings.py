"""``docs/discussion/three-endings.md``: each ending of its tables is played, and told, raised and logged as it says."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bridge import ClientDisconnected, Limits, RequestCancelled, WSGIToASGI
from tests.docs.pages import code, text_of
from tests.driving import Driver, drive
from tests.fakes import make_scope
from tests.gateway import Gateway, hosted
from tests.meeting import Hold, until

ENDINGS = "discussion/three-endings.md"

# ---- Endings of a WSGI application --------------------------------------------------------------------------------

Play = Callable[[], tuple[object, BaseException | None]]
"""Plays an ending; returns what the application was told (None: nothing), and what rose to the server."""


def wsgi_app(iterate: Callable[[Any], Any]) -> Any:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iterate(environ)

    return app


def completes() -> tuple[object, BaseException | None]:
    return None, drive(WSGIToASGI(wsgi_app(lambda _: [b"whole"]))).exception


def fails_at(block: bytes) -> tuple[object, BaseException | None]:
    def iterate(_: object) -> Iterator[bytes]:
        yield block
        raise LookupError("the application's own")

    record = drive(WSGIToASGI(wsgi_app(iterate)))
    assert not record.is_complete
    assert bool(record.messages) == bool(block)
    return None, record.exception


def loses_its_client() -> tuple[object, BaseException | None]:
    told: list[BaseException] = []
    hold = Hold()

    def iterate(_: object) -> Iterator[bytes]:
        yield b"begun"
        hold.stop_here()
        try:
            yield b"more"
        except BaseException as error:
            told.append(error)
            raise

    with Driver(WSGIToASGI(wsgi_app(iterate))) as driver:
        hold.reached.wait()
        driver.settle()
        driver.disconnect()
        driver.settle()
        hold.release()
        return told, driver.finish().exception


def loses_an_upload() -> tuple[object, BaseException | None]:
    told: list[BaseException] = []

    def iterate(environ: dict[str, Any]) -> list[bytes]:
        try:
            return [environ["wsgi.input"].read()]
        except OSError as error:
            told.append(error)
            raise

    scope = make_scope(method="POST")
    scope["headers"].append((b"content-length", b"10"))
    events = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]
    return told, drive(WSGIToASGI(wsgi_app(iterate)), scope, events).exception


def is_cancelled() -> tuple[object, BaseException | None]:
    told: list[BaseException] = []
    hold = Hold()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"begun")
        hold.stop_here()
        try:
            write(b"more")
        except OSError as error:
            told.append(error)
            raise
        return []

    with Driver(WSGIToASGI(app)) as driver:
        hold.reached.wait()
        driver.settle()
        driver.cancel()
        driver.settle()
        hold.release()
        return told, driver.finish().exception


WSGI_PLAYS: dict[str, Play] = {
    "it returns, and its response is complete": completes,
    "it raises before its response": lambda: fails_at(b""),
    "it raises in the middle of its response": lambda: fails_at(b"begun"),
    "its client leaves in the middle of its response": loses_its_client,
    "its client leaves in the middle of an upload": loses_an_upload,
    "the server cancels the request": is_cancelled,
}

# ---- Endings of an ASGI application -------------------------------------------------------------------------------

START = {"type": "http.response.start", "status": 200, "headers": []}
LAST = {"type": "http.response.body", "body": b"whole"}


def block(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def asgi_play(*messages: dict[str, Any], fails: bool = False) -> tuple[object, BaseException | None]:
    """Host an application that sends these messages, and then fails or not, until its task is over."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        if fails:
            raise LookupError("the application's own")

    with hosted(app, lifespan="off") as adapter:
        try:
            Gateway(adapter).run()
        except Exception as error:
            return None, error
        finally:
            until(lambda: adapter.statistics().background == 0)
    return None, None


def leaves_or_waits(limits: Limits | None = None) -> tuple[object, BaseException | None]:
    """The server closes after a block; or, with limits, asks for more of an application that is silent."""
    told: list[object] = []
    raised: BaseException | None = None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        try:
            await send(block(b"begun"))
            told.append((await receive())["type"])
            await send(block(b"late"))
        except OSError as error:
            if not told:
                told.append((await receive())["type"])
            told.append(error)
            raise

    with hosted(app, lifespan="off", limits=limits or Limits(shutdown_s=2.0)) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        try:
            if limits is not None:
                gateway.step()
        except Exception as error:
            raised = error
        finally:
            gateway.close()
        until(lambda: adapter.statistics().background == 0 and len(told) == 2)
    return told, raised


ASGI_PLAYS: dict[str, Play] = {
    "its response is complete, and it goes on": lambda: asgi_play(START, LAST),
    "it raises before its response": lambda: asgi_play(fails=True),
    "it raises in the middle of its response": lambda: asgi_play(START, block(b"begun"), fails=True),
    "it raises after its response": lambda: asgi_play(START, LAST, fails=True),
    "it returns without a complete response": lambda: asgi_play(START, block(b"begun")),
    "its client leaves in the middle of its response": leaves_or_waits,
    "it says nothing for `Limits.app_wait_s`": lambda: leaves_or_waits(Limits(app_wait_s=0.1, shutdown_s=2.0)),
}


def glance(number: int) -> list[list[str]]:
    """Return the rows of one of the tables of *At a glance*."""
    part = text_of(ENDINGS).partition("\n## At a glance\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (?!---|What happens)(.+) \|$", part.split("| Log |")[number], re.MULTILINE)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


CASES = [
    pytest.param(row, plays[row[0]], id=f"{direction}: {row[0]}")
    for number, direction, plays in ((1, "to_asgi", WSGI_PLAYS), (2, "to_wsgi", ASGI_PLAYS))
    for row in glance(number)
]


def test_each_ending_of_the_tables_is_tried() -> None:
    assert [row[0] for row in glance(1)] == list(WSGI_PLAYS)
    assert [row[0] for row in glance(2)] == list(ASGI_PLAYS)


def expected_type(cell: str) -> str:
    """Return the name of the type of what rises to the server, as a cell says it."""
    if cell == "nothing":
        return "NoneType"
    if cell == "the cancellation":
        return "CancelledError"
    return "LookupError" if cell.startswith("its exception") else code(cell)


@pytest.mark.parametrize(("row", "play"), CASES)
def test_an_ending_is_told_raised_and_logged_as_the_table_has_it(
    row: list[str], play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="bridge")
    names = {
        ClientDisconnected: "ClientDisconnected",
        RequestCancelled: "RequestCancelled",
        GeneratorExit: "GeneratorExit",
    }

    told, raised = play()

    assert type(raised).__name__ == expected_type(row[2])
    levels = {record.levelname for record in caplog.records if "lifespan protocol" not in record.getMessage()}
    assert levels == set(re.findall(r"`([A-Z]+)`", row[3]))
    seen = [one if isinstance(one, str) else names[type(one)] for one in told] if isinstance(told, list) else []
    known = "GeneratorExit|ClientDisconnected|RequestCancelled|http.disconnect"
    same = "its client leaves in the middle of its response" if row[1] == "the same" else row[0]
    [cell] = [other[1] for other in glance(1 if play in WSGI_PLAYS.values() else 2) if other[0] == same]
    assert seen == re.findall(f"`({known})`", cell)


def test_the_end_of_a_response_goes_out_while_close_is_still_running_and_the_call_returns_after_it() -> None:
    events: list[tuple[str, int]] = []

    class Blocks:
        def __iter__(self) -> Iterator[bytes]:
            events.append(("iterated", threading.get_ident()))
            yield b"whole"

        def close(self) -> None:
            until(lambda: driver.send.is_complete)
            assert not driver.is_done
            events.append(("closed", threading.get_ident()))

    driver = Driver(WSGIToASGI(wsgi_app(lambda _: Blocks())))
    with driver:
        driver.finish()

    assert [what for what, _ in events] == ["iterated", "closed"]
    assert len({thread for _, thread in events}) == 1
