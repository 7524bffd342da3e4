"""Live: applications that fail, on every server; the next request is unharmed and the log says it once."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.integration.raw import Connection, CutError, Response, counters_of, fetch, wait_for_counters, wait_for_log
from tests.integration.servers import DAPHNE, GRANIAN, Server, running

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_ids = count(1)


def _skip_if_server_hangs(server: Server) -> None:
    if not server.kind.cuts_failed_responses:
        pytest.skip(f"{server.kind} is broken by it for good; it has a process of its own below")


def _fails_to_complete(server: Server, target: str, timeout_s: float) -> Response | None:
    """Return the response as far as it came; None if no more came, not even the end of the connection."""
    with Connection(server, timeout_s) as connection:
        try:
            return connection.request("GET", target)
        except TimeoutError:
            return None


def _what_came(server: Server, target: str) -> Response | None:
    """Fetch a response that fails; None if nothing came, as granian drops what it has not written by then."""
    try:
        return fetch(server, "GET", target)
    except CutError:
        assert server.kind is GRANIAN
        return None


@pytest.mark.requirement("W-133")
def test_a_response_that_fails_in_the_middle_is_not_taken_for_complete(server: Server) -> None:
    _skip_if_server_hangs(server)
    response = _what_came(server, "/error_in_the_middle")
    if response is None:
        return

    assert (response.status, response.body) == (200, b"the first block")
    assert response.is_framed
    assert not response.is_complete


@pytest.mark.requirement("W-120")
@pytest.mark.parametrize("kind", ["list", "blocks"])
def test_a_response_shorter_than_its_length_is_an_incomplete_read(server: Server, kind: str) -> None:
    _skip_if_server_hangs(server)
    response = _what_came(server, f"/too_short?as={kind}&id=1")
    if response is None:
        return

    assert (response.status, response.header("content-length")) == (200, "100")
    assert response.body == b"short 1"
    assert not response.is_complete


@pytest.mark.requirement("W-120", "W-133")
@pytest.mark.parametrize("target", ["/error_in_the_middle", "/too_short?as=blocks"])
def test_daphne_does_not_complete_a_failed_response_either(tmp_path: Path, target: str) -> None:
    # Daphne looks for failed applications once a second.
    with running(DAPHNE, "tests.integration.apps:app", tmp_path) as server:
        response = _fails_to_complete(server, target, 2.5)

        assert response is None or not response.is_complete
        assert fetch(server, "GET", "/hello").body == b"hello\n"


@pytest.mark.requirement("W-096", "W-132", "W-135", "W-136")
@pytest.mark.parametrize(
    "name", ["error_before_start", "error_after_start", "leave", "interrupt", "stop_iteration", "bad_field"]
)
def test_a_failure_before_the_headers_is_a_500_and_the_next_request_works(server: Server, name: str) -> None:
    before = counters_of(server)
    response = fetch(server, "GET", f"/{name}")

    assert response.status == 500
    assert response.header("x-injected") is None
    # The response may be here before the thread that gave it lies down.
    after = wait_for_counters(server, lambda now: (now["requests"], now["busy"]) == (1, 1))
    assert after["pid"] == before["pid"]


@pytest.mark.requirement("W-134")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("error_before_start", "RuntimeError: failed before start {id}", id="before-start"),
        pytest.param("error_after_start", "RuntimeError: failed after start {id}", id="after-start"),
        pytest.param("error_in_the_middle", "RuntimeError: failed in the middle {id}", id="in-the-middle"),
    ],
)
def test_each_failure_is_logged_once(server: Server, name: str, text: str) -> None:
    if name == "error_in_the_middle":
        _skip_if_server_hangs(server)
    mark = f"no-{next(_ids)}-"
    line = text.format(id=mark)
    fetch(server, "GET", "/hello")  # what an earlier one logs is there by then, as below
    begin = len(server.log())
    fetch(server, "GET", f"/{name}?id={mark}")
    # Servers log from the same loop that answers the next request, so a second record would be there by then.
    wait_for_log(server, line, begin)
    fetch(server, "GET", "/hello")

    log = server.log()[begin:]
    assert log.count(line) == 1
    assert log.count("Traceback (most recent call last)") == 1


@pytest.mark.requirement("W-134", "W-135")
def test_a_leaving_application_is_logged_with_its_own_traceback(server: Server) -> None:
    begin = len(server.log())
    fetch(server, "GET", "/leave")
    wait_for_log(server, "raised SystemExit(3)", begin)

    log = server.log()[begin:]
    assert log.count("ApplicationError: the application raised SystemExit(3)") == 1


def test_half_a_request_head_and_a_hang_up_harm_nobody(server: Server) -> None:
    with Connection(server) as connection:
        connection.send(b"GET /hello HTTP/1.1\r\nHost: h\r\nX-Half")
    with Connection(server) as connection:
        connection.send(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
        try:
            response = connection.read_response()
        except CutError:
            response = None

    assert response is None or response.status == 400
    assert fetch(server, "GET", "/hello").body == b"hello\n"
