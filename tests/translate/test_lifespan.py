"""The lifespan table: which event may come when, and how it is answered."""

from __future__ import annotations

import itertools

import pytest

from bridge.errors import ServerError
from bridge.translate.lifespan import LifespanPhase, LifespanState

EVENTS_TO_REACH = {
    LifespanPhase.NEW: [],
    LifespanPhase.STARTED: ["lifespan.startup"],
    LifespanPhase.OVER: ["lifespan.startup", "lifespan.shutdown"],
}
LEGAL = {
    (LifespanPhase.NEW, "lifespan.startup"): LifespanPhase.STARTED,
    (LifespanPhase.NEW, "lifespan.shutdown"): LifespanPhase.OVER,
    (LifespanPhase.STARTED, "lifespan.shutdown"): LifespanPhase.OVER,
}
EVENTS = [
    *["lifespan.startup", "lifespan.shutdown", "lifespan.startup.complete", "lifespan.other", "startup", ""],
    *["http.request", "websocket.connect"],
]
ILLEGAL = [pair for pair in itertools.product(LifespanPhase, EVENTS) if pair not in LEGAL]


def lifespan_in(phase: LifespanPhase) -> LifespanState:
    lifespan = LifespanState()
    for event in EVENTS_TO_REACH[phase]:
        lifespan.event({"type": event})
    assert lifespan.phase is phase
    return lifespan


def name_of(value: object) -> str:
    return value.name if isinstance(value, LifespanPhase) else str(value)


@pytest.mark.requirement("W-150")
@pytest.mark.parametrize(
    ("phase", "event", "following"), [(*pair, after) for pair, after in LEGAL.items()], ids=name_of
)
def test_a_legal_event_says_what_is_to_be_run(phase, event, following):
    lifespan = lifespan_in(phase)

    to_run = lifespan.event({"type": event, "unknown key": 1})

    assert f"lifespan.{to_run}" == event
    assert lifespan.phase is following


@pytest.mark.requirement("W-150")
@pytest.mark.parametrize(("phase", "event"), ILLEGAL, ids=name_of)
def test_an_event_that_is_not_in_the_table_is_the_servers_error_and_changes_nothing(phase, event):
    lifespan = lifespan_in(phase)

    with pytest.raises(ServerError) as caught:
        lifespan.event({"type": event})

    assert repr(event) in str(caught.value)
    assert lifespan.phase is phase


@pytest.mark.requirement("W-150")
def test_an_event_without_a_type_is_the_servers_error():
    with pytest.raises(ServerError):
        LifespanState().event({})


@pytest.mark.requirement("W-150")
def test_each_event_has_its_answer_when_all_goes_well():
    lifespan = LifespanState()

    answers = [
        lifespan.complete(lifespan.event({"type": event})) for event in ("lifespan.startup", "lifespan.shutdown")
    ]

    assert answers == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


@pytest.mark.requirement("W-150")
@pytest.mark.parametrize(
    ("phase", "event"),
    [(LifespanPhase.NEW, "lifespan.startup"), (LifespanPhase.STARTED, "lifespan.shutdown")],
    ids=name_of,
)
def test_a_failure_is_answered_with_a_message_and_ends_the_lifespan(phase, event):
    lifespan = lifespan_in(phase)
    to_run = lifespan.event({"type": event})

    answer = lifespan.failed(to_run, "no database")

    assert answer == {"type": f"{event}.failed", "message": "no database"}
    assert lifespan.phase is LifespanPhase.OVER
    with pytest.raises(ServerError):
        lifespan.event({"type": "lifespan.shutdown"})
