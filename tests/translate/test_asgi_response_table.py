"""Every pair of phase and message: the legal ones lead where the table says, all others raise and change nothing."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from bridge.errors import ApplicationError
from bridge.translate.asgi_response import TRANSITIONS, ASGIResponse, SendPhase

NEW, STARTED, BODY, FINISHED, COMPLETE = SendPhase
START, CONTENT, PATHSEND = "http.response.start", "http.response.body", "http.response.pathsend"
HINT, TRAILERS = "http.response.early_hint", "http.response.trailers"

LEGAL = {
    (NEW, HINT): NEW,
    (NEW, START): STARTED,
    (STARTED, HINT): STARTED,
    (STARTED, CONTENT): BODY,
    (STARTED, PATHSEND): BODY,
    (BODY, CONTENT): BODY,
    (BODY, HINT): BODY,
    (FINISHED, TRAILERS): FINISHED,
    (FINISHED, HINT): FINISHED,
}
"""The table once more, so that a row lost there is missed here."""

NEVER_LEGAL = [
    *["http.response.zerocopysend", "http.response.push", "http.response.debug", "http.request", "http.disconnect"],
    *["websocket.accept", "websocket.http.response.start", "lifespan.startup.complete", "HTTP.RESPONSE.START"],
    *["http.response.start ", "http.response", "start", ""],
]
KINDS = [START, CONTENT, PATHSEND, HINT, TRAILERS, *NEVER_LEGAL]
ILLEGAL = [pair for pair in itertools.product(SendPhase, KINDS) if pair not in LEGAL]

OFFERED: dict[str, dict[str, Any]] = {HINT: {}, PATHSEND: {}, TRAILERS: {}}


def response_in(phase: SendPhase, *, has_trailers: bool = False) -> ASGIResponse:
    """Return a response that has come to ``phase`` by legal messages."""
    response = ASGIResponse("GET", OFFERED)
    if phase is not NEW:
        response.start({"status": 200, "headers": [(b"x-a", b"1")], "trailers": has_trailers})
    if phase is BODY:
        response.body({"body": b"x", "more_body": True})
    elif phase in (FINISHED, COMPLETE):
        response.body({"body": b"x"})
        if phase is COMPLETE and has_trailers:
            response.trailers({})
    assert response.phase is phase
    return response


def send(response: ASGIResponse, kind: str, **keys: Any) -> None:
    """Give a message to the method for its kind, as an exchange does."""
    message = {"type": kind, **keys}
    match kind:
        case "http.response.start":
            response.start({"status": 201, "headers": [(b"x-b", b"2"), (b"content-length", b"9")], **message})
        case "http.response.body":
            response.body({"body": b"more", **message})
        case "http.response.pathsend":
            response.pathsend({"path": "/file", **message})
        case "http.response.early_hint":
            response.early_hint({"links": [b"</a.css>"], **message})
        case "http.response.trailers":
            response.trailers({"headers": [(b"x-sum", b"1")], **message})
        case _:
            response.unknown(kind)


def name_of(value: object) -> str:
    return value.name if isinstance(value, SendPhase) else str(value)


def test_the_table_has_these_rows_and_no_others():
    assert TRANSITIONS == LEGAL


@pytest.mark.requirement("A-035", "A-037", "A-039", "A-058", "A-060")
@pytest.mark.parametrize(
    ("phase", "kind", "keys", "following"),
    [
        (NEW, HINT, {}, NEW),
        (NEW, START, {}, STARTED),
        (STARTED, HINT, {}, STARTED),
        (STARTED, CONTENT, {"more_body": True}, BODY),
        (STARTED, CONTENT, {"more_body": False}, COMPLETE),
        (STARTED, CONTENT, {}, COMPLETE),
        (BODY, CONTENT, {"more_body": True}, BODY),
        (BODY, CONTENT, {"more_body": False}, COMPLETE),
        (BODY, CONTENT, {}, COMPLETE),
        (BODY, HINT, {}, BODY),
    ],
    ids=name_of,
)
def test_a_legal_message_leads_to_the_phase_in_the_table_and_the_end_of_content_completes(phase, kind, keys, following):
    response = response_in(phase)

    send(response, kind, **keys)

    assert response.phase is following


@pytest.mark.requirement("A-037")
@pytest.mark.parametrize(
    ("phase", "kind", "keys", "following"),
    [
        (STARTED, CONTENT, {"more_body": True}, BODY),
        (STARTED, CONTENT, {}, FINISHED),
        (BODY, CONTENT, {"more_body": True}, BODY),
        (BODY, CONTENT, {}, FINISHED),
        (FINISHED, TRAILERS, {"more_trailers": True}, FINISHED),
        (FINISHED, TRAILERS, {"more_trailers": False}, COMPLETE),
        (FINISHED, TRAILERS, {}, COMPLETE),
    ],
    ids=name_of,
)
def test_a_response_with_trailers_is_complete_only_after_the_last_of_them(phase, kind, keys, following):
    response = response_in(phase, has_trailers=True)

    send(response, kind, **keys)

    assert response.phase is following


@pytest.mark.requirement("A-037", "A-039")
@pytest.mark.parametrize(("has_trailers", "following"), [(False, COMPLETE), (True, FINISHED)])
def test_a_file_is_the_whole_content(has_trailers, following):
    response = response_in(STARTED, has_trailers=has_trailers)

    send(response, PATHSEND)
    response.file_content(5)

    assert response.phase is following


@pytest.mark.requirement("A-037", "A-058")
@pytest.mark.parametrize(
    ("phase", "kind", "has_trailers"),
    [
        *[(phase, kind, False) for phase, kind in ILLEGAL if phase is not FINISHED],
        *[(phase, kind, True) for phase, kind in ILLEGAL],
    ],
    ids=name_of,
)
def test_a_message_that_is_not_in_the_table_raises_and_changes_nothing(phase, kind, has_trailers):
    response = response_in(phase, has_trailers=has_trailers)
    before = copy.deepcopy(vars(response))

    with pytest.raises(ApplicationError) as caught:
        send(response, kind)

    assert repr(kind) in str(caught.value)
    assert caught.value.rule.startswith(("ASGI HTTP", "ASGI Extensions"))
    assert vars(response) == before


@pytest.mark.requirement("A-058")
@pytest.mark.parametrize(("phase", "kind"), ILLEGAL, ids=name_of)
def test_what_is_raised_names_what_was_sent_and_all_that_may_be_sent(phase, kind):
    response = response_in(phase, has_trailers=phase is FINISHED)

    with pytest.raises(ApplicationError) as caught:
        send(response, kind)

    expected = [repr(legal) for before, legal in LEGAL if before is phase]
    sentence = str(caught.value)
    assert all(name in sentence for name in [repr(kind), *expected])
    assert expected or "nothing may be sent" in sentence


@pytest.mark.requirement("A-035", "A-039", "A-058")
@pytest.mark.parametrize("kind", [HINT, PATHSEND])
@pytest.mark.parametrize("phase", SendPhase, ids=name_of)
def test_an_extension_that_was_not_offered_raises_in_every_phase_and_changes_nothing(phase, kind):
    response = response_in(phase, has_trailers=phase is FINISHED)
    response._extensions = {TRAILERS: {}}
    before = copy.deepcopy(vars(response))

    with pytest.raises(ApplicationError) as caught:
        send(response, kind)

    assert repr(kind) in str(caught.value)
    assert "does not offer" in str(caught.value)
    assert caught.value.rule == 'ASGI 3.0, "Extensions"'
    assert vars(response) == before
