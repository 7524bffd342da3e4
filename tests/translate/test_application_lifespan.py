"""What an ASGI application may answer on its lifespan: each row of the table, and that all else raises."""

from __future__ import annotations

import itertools

import pytest

from bridge.errors import ApplicationError, ApplicationTypeError
from bridge.translate.lifespan import ApplicationLifespan, ApplicationPhase

STARTING, STARTED, STOPPING, OVER = ApplicationPhase
UP, UP_FAILED = "lifespan.startup.complete", "lifespan.startup.failed"
DOWN, DOWN_FAILED = "lifespan.shutdown.complete", "lifespan.shutdown.failed"

LEGAL = {
    (STARTING, UP): STARTED,
    (STARTING, UP_FAILED): OVER,
    (STOPPING, DOWN): OVER,
    (STOPPING, DOWN_FAILED): OVER,
}
KINDS = [
    *[UP, UP_FAILED, DOWN, DOWN_FAILED, "lifespan.startup", "lifespan.shutdown", "lifespan.complete", "complete", ""],
    *["lifespan.startup.complete ", "LIFESPAN.STARTUP.COMPLETE", "http.response.start", "websocket.accept"],
]
ILLEGAL = [pair for pair in itertools.product(ApplicationPhase, KINDS) if pair not in LEGAL]


def lifespan_in(phase: ApplicationPhase) -> ApplicationLifespan:
    lifespan = ApplicationLifespan()
    if phase is not STARTING:
        lifespan.answer({"type": UP})
    if phase in (STOPPING, OVER):
        lifespan.ask_to_stop()
    if phase is OVER:
        lifespan.answer({"type": DOWN})
    assert lifespan.phase is phase
    return lifespan


def name_of(value: object) -> str:
    return value.name if isinstance(value, ApplicationPhase) else str(value)


@pytest.mark.requirement("A-098", "A-105")
@pytest.mark.parametrize(("phase", "kind", "following"), [(*pair, after) for pair, after in LEGAL.items()], ids=name_of)
def test_a_legal_answer_leads_to_the_phase_in_the_table(phase, kind, following):
    lifespan = lifespan_in(phase)

    lifespan.answer({"type": kind, "unknown key": 1})

    assert lifespan.phase is following


@pytest.mark.requirement("A-105")
@pytest.mark.parametrize(("phase", "kind"), ILLEGAL, ids=name_of)
def test_an_answer_that_is_not_in_the_table_raises_and_changes_nothing(phase, kind):
    lifespan = lifespan_in(phase)

    with pytest.raises(ApplicationError) as caught:
        lifespan.answer({"type": kind, "message": "no"})

    expected = [repr(legal) for before, legal in LEGAL if before is phase]
    assert all(name in str(caught.value) for name in [repr(kind), *expected])
    assert expected or "nothing may be sent" in str(caught.value)
    assert caught.value.rule == "ASGI lifespan 2.0"
    assert lifespan.phase is phase


@pytest.mark.requirement("A-105")
@pytest.mark.parametrize("phase", ApplicationPhase, ids=name_of)
@pytest.mark.parametrize("message", [{}, {"type": None}, {"type": 5}, {"type": b"lifespan.startup.complete"}], ids=repr)
def test_an_answer_without_a_type_is_a_type_error(phase, message):
    lifespan = lifespan_in(phase)

    with pytest.raises(ApplicationTypeError):
        lifespan.answer(message)

    assert lifespan.phase is phase


@pytest.mark.requirement("A-098", "A-101")
@pytest.mark.parametrize(
    ("phase", "message", "failure"),
    [
        pytest.param(STARTING, {"type": UP}, None, id="startup went well"),
        pytest.param(STARTING, {"type": UP, "message": "fine"}, None, id="a message without meaning"),
        pytest.param(STARTING, {"type": UP_FAILED, "message": "no database"}, "no database", id="startup failed"),
        pytest.param(STARTING, {"type": UP_FAILED}, "", id="startup failed without a word"),
        pytest.param(STARTING, {"type": UP_FAILED, "message": None}, "", id="startup failed with None"),
        pytest.param(STARTING, {"type": UP_FAILED, "message": 7}, "7", id="startup failed with a number"),
        pytest.param(STOPPING, {"type": DOWN}, None, id="shutdown went well"),
        pytest.param(STOPPING, {"type": DOWN_FAILED, "message": "stuck"}, "stuck", id="shutdown failed"),
        pytest.param(STOPPING, {"type": DOWN_FAILED}, "", id="shutdown failed without a word"),
    ],
)
def test_an_answer_tells_a_failure_from_success(phase, message, failure):
    assert lifespan_in(phase).answer(message) == failure


@pytest.mark.requirement("A-098", "A-105")
def test_a_whole_lifespan_is_one_answer_each():
    lifespan = ApplicationLifespan()
    assert lifespan.phase is STARTING

    lifespan.answer({"type": UP})
    with pytest.raises(ApplicationError):
        lifespan.answer({"type": UP})
    with pytest.raises(ApplicationError):
        lifespan.answer({"type": DOWN})
    lifespan.ask_to_stop()
    lifespan.answer({"type": DOWN})
    with pytest.raises(ApplicationError):
        lifespan.answer({"type": DOWN})

    assert lifespan.phase is OVER
