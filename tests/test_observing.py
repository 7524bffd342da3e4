"""`RequestReport` and the record it is made from, by themselves: one report per request, from whichever thread."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

import bridge
from bridge import RequestReport
from bridge.observing import Direction, Outcome, Record
from tests.meeting import Helper

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes" / "observe.md"
START = {"type": "http.response.start", "status": 201, "headers": []}


def body(octets: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": octets, "more_body": more}


def new_record(*observers: Any) -> Record:
    return Record(observers, "wsgi_to_asgi", "GET", "/")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until the test moves it."""
    clock = SimpleNamespace(now_s=100.0)
    monkeypatch.setattr("bridge.observing.time", SimpleNamespace(perf_counter=lambda: clock.now_s))
    return clock


def sent(*messages: dict[str, Any], fails: BaseException | None = None) -> RequestReport:
    """Return the report of a response of these messages."""
    reports: list[RequestReport] = []
    passed: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        passed.append(message)
        if fails is not None:
            raise fails

    async def main() -> None:
        record = new_record(reports.append)
        counted = record.counted_send(send)
        for message in messages:
            await counted(message)
        record.finish("completed")

    asyncio.run(main())
    assert passed == list(messages)
    return reports[0]


# ---- Times ------------------------------------------------------------------------------------------------------


def test_the_wait_ends_and_the_application_begins_when_it_is_called(clock):
    reports: list[RequestReport] = []
    record = new_record(reports.append)

    record.handed_over()
    clock.now_s += 2
    record.app_called()
    clock.now_s += 3
    record.app_ended()
    clock.now_s += 5
    record.finish("completed")

    assert (reports[0].queue_wait_s, reports[0].app_time_s) == (2.0, 3.0)


def test_an_application_that_has_not_ended_counts_until_the_report(clock):
    reports: list[RequestReport] = []
    record = new_record(reports.append)

    record.handed_over()
    record.app_called()
    clock.now_s += 3
    record.finish("aborted")

    assert (reports[0].queue_wait_s, reports[0].app_time_s) == (0.0, 3.0)


def test_a_request_whose_application_was_not_called_has_neither_time(clock):
    reports: list[RequestReport] = []
    record = new_record(reports.append)

    record.handed_over()
    clock.now_s += 3
    record.finish("refused", 503)

    assert (reports[0].queue_wait_s, reports[0].app_time_s, reports[0].status) == (None, None, 503)


# ---- Counting ---------------------------------------------------------------------------------------------------


def test_the_octets_and_the_status_of_what_is_sent_are_noted():
    report = sent(START, body(b"one", more=True), body(b"two"))

    assert (report.status, report.response_bytes, report.is_streamed) == (201, 6, True)


def test_messages_may_leave_out_what_has_a_default():
    report = sent(START, {"type": "http.response.body"})

    assert (report.response_bytes, report.is_streamed) == (0, False)


def test_what_send_raises_is_raised():
    with pytest.raises(OSError, match="gone"):
        sent(START, fails=OSError("gone"))


def test_the_octets_that_are_received_are_counted_and_events_pass_as_they_are():
    events = [
        {"type": "http.request", "body": b"one", "more_body": True},
        {"type": "http.request"},
        {"type": "http.disconnect"},
    ]
    left = list(events)
    reports: list[RequestReport] = []

    async def receive() -> dict[str, Any]:
        return left.pop(0)

    async def main() -> list[dict[str, Any]]:
        record = new_record(reports.append)
        counted = record.counted_receive(receive)
        received = [await counted() for _ in events]
        record.finish("completed")
        return received

    received = asyncio.run(main())

    assert all(one is other for one, other in zip(received, events, strict=True))
    assert reports[0].request_bytes == 3


# ---- Once -------------------------------------------------------------------------------------------------------


def test_the_first_outcome_is_the_one_that_is_reported():
    reports: list[RequestReport] = []
    record = new_record(reports.append)

    record.finish("aborted")
    record.finish("completed", 200)

    assert [(report.outcome, report.status) for report in reports] == [("aborted", None)]


def test_of_many_threads_that_finish_at_once_one_reports():
    for _ in range(20):
        reports: list[RequestReport] = []
        record = new_record(reports.append)
        together = threading.Barrier(4)

        def finish(record: Record = record, together: threading.Barrier = together) -> None:
            together.wait(10)
            record.finish("completed")

        for helper in [Helper(finish) for _ in range(4)]:
            helper.join()
        assert len(reports) == 1


def test_an_observer_may_look_at_another_record():
    """Observers are called without the lock: one that makes or ends another request does not wait for itself."""
    reports: list[RequestReport] = []
    inner = new_record(reports.append)

    new_record(lambda _: inner.finish("completed")).finish("completed")

    assert len(reports) == 1


def test_all_observers_are_called_in_order_and_one_that_fails_is_logged_by_name(caplog):
    calls: list[str] = []

    def broken(report: RequestReport) -> None:
        calls.append("broken")
        raise LookupError("out of ink")

    new_record(lambda _: calls.append("first"), broken, lambda _: calls.append("last")).finish("completed")

    assert calls == ["first", "broken", "last"]
    [entry] = caplog.records
    assert entry.name == "bridge.observing"
    assert "broken" in entry.getMessage()


# ---- The report -------------------------------------------------------------------------------------------------


def test_a_report_cannot_be_changed_and_is_public():
    reports: list[RequestReport] = []
    new_record(reports.append).finish("completed")

    with pytest.raises(dataclasses.FrozenInstanceError):
        reports[0].status = 200  # type: ignore[misc]
    assert "RequestReport" in bridge.__all__


def documented_rows() -> list[list[str]]:
    section = PAGE.read_text(encoding="utf-8").partition("\n## What a report says\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert rows, "there is no table"
    return rows


def test_the_page_lists_exactly_the_fields_of_a_report():
    fields = [field.name for field in dataclasses.fields(RequestReport)]

    assert [row[0].strip("`") for row in documented_rows()] == fields


@pytest.mark.parametrize(("field", "choices"), [("outcome", Outcome), ("direction", Direction)])
def test_the_page_lists_each_outcome_and_each_direction(field, choices):
    [meaning] = [row[1] for row in documented_rows() if row[0] == f"`{field}`"]

    assert set(re.findall(r"`\"(\w+)\"`", meaning)) == set(get_args(choices))


def test_the_page_says_of_each_field_that_may_be_none_that_it_may():
    optional = {field.name for field in dataclasses.fields(RequestReport) if "None" in str(field.type)}

    assert {row[0].strip("`") for row in documented_rows() if "`None`" in row[1]} == optional
