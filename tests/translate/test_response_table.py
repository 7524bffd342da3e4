"""Every pair of phase and act: the legal ones lead where the table says, all others raise and change nothing."""

from __future__ import annotations

import itertools

import pytest

from bridge.errors import ApplicationError, ApplicationValueError
from bridge.translate.response import TRANSITIONS, Act, Phase, ResponseState

LEGAL = {
    (Phase.NEW, Act.START): Phase.HELD,
    (Phase.NEW, Act.RESTART): Phase.HELD,
    (Phase.REFUSED, Act.RESTART): Phase.HELD,
    (Phase.HELD, Act.RESTART): Phase.HELD,
    (Phase.HELD, Act.DATA): Phase.BODY,
    (Phase.HELD, Act.END): Phase.COMPLETE,
    (Phase.BODY, Act.DATA): Phase.BODY,
    (Phase.BODY, Act.END): Phase.COMPLETE,
    (Phase.COMPLETE, Act.DATA): Phase.COMPLETE,
    (Phase.COMPLETE, Act.END): Phase.COMPLETE,
}
"""The table once more, so that a row lost there is missed here."""

ILLEGAL = [pair for pair in itertools.product(Phase, Act) if pair not in LEGAL]


def response_in(phase: Phase) -> ResponseState:
    """Return a response that has come to ``phase`` by legal acts (and one refused call, for REFUSED)."""
    state = ResponseState("GET")
    match phase:
        case Phase.NEW:
            pass
        case Phase.REFUSED:
            with pytest.raises(ApplicationValueError):
                state.start("no status", [])
        case Phase.HELD:
            state.start("200 OK", [])
        case Phase.BODY:
            state.start("200 OK", [])
            state.data(b"x")
        case Phase.COMPLETE:  # all of its Content-Length has gone out, so that more can only be cut
            state.start("200 OK", [("Content-Length", "1")])
            state.data(b"x")
    assert state.phase is phase
    return state


def do(state: ResponseState, act: Act) -> None:
    match act:
        case Act.START:
            state.start("201 Created", [("X-A", "1")])
        case Act.RESTART:
            state.start("500 Internal Server Error", [("X-B", "2")], (None, None, None))
        case Act.DATA:
            state.data(b"more")
        case Act.END:
            state.end()


def name_of(value: Phase | Act) -> str:
    return value.name


def test_the_table_has_these_rows_and_no_others():
    assert TRANSITIONS == LEGAL


@pytest.mark.requirement("W-088", "W-089", "W-090", "W-101")
@pytest.mark.parametrize(("phase", "act", "following"), [(*pair, after) for pair, after in LEGAL.items()], ids=name_of)
def test_a_legal_act_leads_to_the_phase_in_the_table(phase, act, following):
    state = response_in(phase)

    do(state, act)

    assert state.phase is following


@pytest.mark.requirement("W-089", "W-091", "W-092", "W-101")
@pytest.mark.parametrize(("phase", "act"), ILLEGAL, ids=name_of)
def test_an_act_that_is_not_in_the_table_raises_and_changes_nothing(phase, act):
    state = response_in(phase)
    before = (state.status, list(getattr(state, "headers", [])), state.content_length)

    with pytest.raises(ApplicationError) as caught:
        do(state, act)

    assert caught.value.rule.startswith("PEP 3333")
    assert state.phase is phase
    assert (state.status, list(getattr(state, "headers", [])), state.content_length) == before


@pytest.mark.requirement("W-101")
@pytest.mark.parametrize("phase", [Phase.NEW, Phase.REFUSED], ids=name_of)
@pytest.mark.parametrize(
    "produce",
    [
        pytest.param(lambda state: state.data(b""), id="an empty block"),
        pytest.param(lambda state: state.release_headers(), id="an empty write"),
    ],
)
def test_not_even_an_empty_block_may_come_before_a_valid_start(phase, produce):
    state = response_in(phase)

    with pytest.raises(ApplicationError):
        produce(state)

    assert state.phase is phase
