"""Code under test has a point to switch threads at before each access that others can see, and does what it did."""

from __future__ import annotations

import threading

import pytest

from tests.interleavings.execution import Execution
from tests.interleavings.mutants import samples
from tests.interleavings.points import copy_of
from tests.interleavings.schedules import explore

_copy = copy_of("tests.interleavings.mutants.samples")

READS_VALUE, CHANGES_VALUE = ("reads", "value"), ("changes", "value")
ACCESSES = {
    "reads": [READS_VALUE],
    "reads_a_constant": [],
    "reads_a_property": [READS_VALUE],
    "writes": [CHANGES_VALUE],
    "adds": [READS_VALUE, CHANGES_VALUE],
    "swaps": [READS_VALUE, CHANGES_VALUE],
    "deletes": [CHANGES_VALUE],
    "appends": [("reads", "items"), ("changes", "contents")],
    "pops_by_another_name": [("reads", "line"), ("changes", "contents")],
    "measures": [("reads", "items"), ("reads", "contents")],
    "looks_whether_there_are_some": [("reads", "items"), ("reads", "contents")],
    "looks_whether_it_is_in": [("reads", "items"), ("reads", "contents")],
    "walks": [("reads", "items"), ("reads", "contents")],
    "walks_in_an_expression": [("reads", "items"), ("reads", "contents")],
    "takes_an_item": [("reads", "table"), ("reads", "contents")],
    "sets_an_item": [("reads", "table"), ("changes", "contents")],
    "deletes_a_slice": [("reads", "items"), ("changes", "contents")],
}


@pytest.mark.parametrize("method", ACCESSES)
def test_there_is_a_point_before_each_access(method: str) -> None:
    seen: list[tuple[str, str]] = []

    def scenario(execution: Execution) -> None:
        sample = _copy.Sample()
        parts = {
            id(execution.subject(visible, what)): what
            for what in ("value", "items", "table", "line")
            for visible in [sample]
        } | {
            id(execution.subject(sample.__dict__[name], "contents")): "contents" for name in ("items", "table", "line")
        }
        thread = execution.start(getattr(sample, method), "thread")
        step = execution.step

        def watched(stepping: object) -> object:
            operation = thread.pending
            assert operation is not None
            if id(operation.subject) in parts:
                seen.append((operation.verb, parts[id(operation.subject)]))
            return step(thread)

        execution.step = watched  # type: ignore[method-assign,assignment]

    explore(scenario)

    assert seen == ACCESSES[method]


@pytest.mark.parametrize("method", ACCESSES)
def test_the_copy_does_what_the_code_does(method: str) -> None:
    mine, real = _copy.Sample(), samples.Sample()

    getattr(mine, method)()
    getattr(real, method)()

    assert vars(mine) == vars(real)


def test_what_is_elsewhere_in_the_process_is_not_touched() -> None:
    from bridge._runtime import outflow

    copy = copy_of("bridge._runtime.outflow")

    assert copy is not outflow
    assert copy is copy_of("bridge._runtime.outflow")
    assert copy.Outflow is not outflow.Outflow
    assert vars(outflow)["threading"] is threading
    assert copy.threading is not threading


def test_an_object_made_by_a_copy_can_be_used_outside_of_an_execution() -> None:
    sample = _copy.Sample()

    sample.change_all()

    assert (sample.value, sample.double, sample.items) == (1, 2, [])
