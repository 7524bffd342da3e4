"""Live, ASGI applications on WSGI servers: failing ones; the next request is unharmed, the log says it once."""

from __future__ import annotations

import pytest

from tests.integration.raw import Connection, CutError, Response, fetch, wait_for_log
from tests.integration.wsgi_servers import GRANIAN, Hosted, new_mark

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_BEFORE_OUTPUT = [
    "error_before_start",
    "error_after_start",
    "returns_at_once",
    "returns_after_start",
    "body_first",
    "bad_field",
    "leave",
    "interrupt",
]


def _as_far_as_it_came(hosted: Hosted, target: str) -> Response | None:
    try:
        return fetch(hosted.server, "GET", target)
    except CutError:
        return None


def _drops_what_is_unwritten(hosted: Hosted) -> bool:
    """Tell whether nothing may come of a response that fails: granian drops what it has not written by then."""
    assert hosted.is_well()
    return hosted.kind is GRANIAN


@pytest.mark.requirement("A-062", "A-071", "A-081", "A-083", "A-088")
@pytest.mark.parametrize("name", _BEFORE_OUTPUT)
def test_a_failure_before_any_output_is_a_500_and_the_next_request_works(hosted: Hosted, name: str) -> None:
    response = _as_far_as_it_came(hosted, f"/{name}")

    if hosted.kind.answers_failures:
        assert response is not None
        assert response.status == 500
        assert response.header("x-lost") is None
        assert response.header("x-injected") is None
    else:
        assert response is None
    assert hosted.is_well()


@pytest.mark.requirement("A-081", "A-083")
@pytest.mark.parametrize("name", _BEFORE_OUTPUT)
def test_the_bridge_answers_500_itself_if_it_is_told_to(hosted: Hosted, name: str) -> None:
    response = fetch(hosted.server, "GET", f"/respond/{name}")

    assert (response.status, response.body) == (500, b"Internal Server Error\n")
    assert response.is_complete
    assert response.header("x-lost") is None
    assert hosted.is_well()


@pytest.mark.requirement("A-082", "A-084")
@pytest.mark.parametrize("name", ["error_in_the_middle", "returns_in_the_middle"])
def test_a_response_that_breaks_off_does_not_end_well(hosted: Hosted, name: str) -> None:
    kind = hosted.kind
    response = _as_far_as_it_came(hosted, f"/{name}")
    if response is None:
        assert _drops_what_is_unwritten(hosted)
        return

    assert response.status == 200
    assert response.body.startswith(b"the first block")
    if kind.frames_streams and kind.cuts_failed_responses:
        assert response.body == b"the first block"
        assert response.is_framed
        assert not response.is_complete
    assert response.is_complete == (kind.frames_streams and not kind.cuts_failed_responses)
    assert hosted.is_well()


@pytest.mark.requirement("A-070", "A-082", "A-084")
@pytest.mark.parametrize("target", ["/error_in_the_middle?length=1", "/returns_in_the_middle?length=1", "/too_short"])
def test_a_response_that_breaks_off_before_its_length_is_an_incomplete_read_everywhere(
    hosted: Hosted, target: str
) -> None:
    response = _as_far_as_it_came(hosted, target)
    if response is None:
        assert _drops_what_is_unwritten(hosted)
        return

    assert (response.status, response.header("content-length")) == (200, "100")
    assert response.body in (b"the first block", b"short")
    assert not response.is_complete
    assert hosted.is_well()


@pytest.mark.requirement("A-081", "A-082")
@pytest.mark.parametrize("hosting", ["", "/respond"], ids=["raise", "respond"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("error_before_start", "failed before start"), ("error_in_the_middle", "failed in the middle")],
    ids=["before-start", "in-the-middle"],
)
def test_a_failure_is_logged_with_its_traceback_once(hosted: Hosted, hosting: str, name: str, text: str) -> None:
    mark = f"no-{new_mark()}-"
    _as_far_as_it_came(hosted, f"{hosting}/{name}?id={mark}")
    wait_for_log(hosted.server, f"RuntimeError: {text} {mark}")
    assert hosted.is_well()

    assert hosted.server.log().count(f"RuntimeError: {text} {mark}") == 1


def test_half_a_request_head_and_a_hang_up_harm_nobody(hosted: Hosted) -> None:
    with Connection(hosted.server) as connection:
        connection.send(b"GET /hello HTTP/1.1\r\nHost: h\r\nX-Half")

    assert hosted.is_well()
