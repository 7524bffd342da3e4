"""ASGI frameworks on real WSGI servers: what their users rely on, over real connections."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.servers import Server, ServerKind, running
from tests.meeting import Helper, until

pytestmark = pytest.mark.live

GUNICORN = ServerKind(
    "gunicorn-gthread",
    ("gunicorn", "-k", "gthread", "--threads", "16", "-b", "{host}:{port}", "--no-control-socket", "{app}"),
)
WAITRESS = ServerKind("waitress", ("waitress", "--host", "{host}", "--port", "{port}", "--threads", "16", "{app}"))
FRAMEWORKS = ("starlette", "fastapi", "quart", "litestar", "falcon", "django", "channels")
# Both leave the generator of a stream that was cancelled to the garbage collector.
COLLECTED = ("litestar/events", "django/events", "channels/events")
_LINES = "".join(f"line {number:05}\n" for number in range(2000))


@pytest.fixture(scope="module", params=[GUNICORN, WAITRESS], ids=str)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(request.param, "tests.integration.asgi_framework_apps:app", tmp_path_factory.mktemp("site")) as server:
        yield server


@pytest.fixture
def client(site: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def point() -> str:
    """A name of its own for each test's stops: the servers serve all tests."""
    return os.urandom(8).hex()


def seen(client: httpx.Client, *, collect: bool = False) -> dict[str, int]:
    return client.get("/control/seen", params={"collect": "1"} if collect else {}).json()


def let_go(client: httpx.Client, point: str) -> None:
    assert client.post(f"/control/go/{point}").status_code == 200


@pytest.mark.requirement("A-019", "A-032", "A-096")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_route_below_a_mount_answers(client: httpx.Client, framework: str) -> None:
    response = client.get(f"/{framework}/hello/gr%C3%BCn")

    name = "django" if framework == "channels" else framework
    assert (response.status_code, response.text) == (200, f"hello grün from {name}")


@pytest.mark.requirement("A-018", "A-019")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_urls_made_by_the_application_lead_back_to_it(site: Server, client: httpx.Client, framework: str) -> None:
    url = client.get(f"/{framework}/where").text

    assert url == f"{site.url}/{framework}/hello/x"
    assert client.get(url).text.startswith("hello x from")


@pytest.mark.requirement("A-041")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_multipart_form_with_a_large_file_arrives(client: httpx.Client, framework: str) -> None:
    content = os.urandom(300_000)
    response = client.post(
        f"/{framework}/upload", data={"title": "a file"}, files={"file": ("f.bin", content, "application/octet-stream")}
    )

    assert (response.status_code, response.json()) == (200, {"name": "f.bin", "size": len(content), "title": "a file"})


@pytest.mark.requirement("A-041", "A-044")
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "chunked"])
def test_a_body_arrives_whole(client: httpx.Client, framework: str, is_chunked: bool) -> None:
    content: Any = (b"0123456789" * 1000 for _ in range(50)) if is_chunked else b"0123456789" * 50_000

    response = client.post(f"/{framework}/body", content=content)

    assert (response.status_code, response.text) == (200, "500000")


@pytest.mark.requirement("A-050", "A-109")
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_slow_handler_is_not_told_that_its_client_has_left(
    site: Server, client: httpx.Client, framework: str, point: str
) -> None:
    """Django, Quart and Starlette's middleware wait for a disconnect beside the handler."""
    slow = Helper(lambda: httpx.get(f"{site.url}/{framework}/slow/{point}", timeout=30, trust_env=False))
    let_go(client, point)
    response: Any = slow.join()

    assert (response.status_code, response.text) == (200, "disconnected: False")


@pytest.mark.requirement("A-054", "A-077", "A-091", "A-092")
@pytest.mark.parametrize("events", [*(f"{framework}/events" for framework in FRAMEWORKS), "starlette/sse"])
def test_an_event_comes_before_the_next_exists_and_the_generator_is_closed_when_the_client_leaves(
    client: httpx.Client, events: str, point: str
) -> None:
    with client.stream("GET", f"/{events}/{point}") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in response.iter_lines() if line.startswith("data:"))
        assert next(lines) == "data: one"
        assert f"{point} closed" not in seen(client)
        let_go(client, point)
        assert next(lines) == "data: two"
        assert next(lines) == "data: tick"

    until(lambda: seen(client, collect=events in COLLECTED).get(f"{point} closed") == 1, "the generator was not closed")


@pytest.mark.requirement("A-079", "A-085")
@pytest.mark.parametrize("framework", ["starlette", "fastapi"])
def test_background_work_does_not_hold_the_response(client: httpx.Client, framework: str, point: str) -> None:
    response = client.get(f"/{framework}/background/{point}")
    assert response.text.strip('"') == "accepted"
    assert f"{point} done" not in seen(client)

    let_go(client, point)

    until(lambda: seen(client).get(f"{point} done") == 1, "the background task did not end")


# ---- Starlette ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-054")
def test_both_nested_middlewares_have_seen_the_response(client: httpx.Client) -> None:
    assert client.get("/starlette/hello/x").headers.get_list("x-passed") == ["inner", "outer"]


@pytest.mark.requirement("A-054")
def test_a_streamed_request_is_answered_by_a_streamed_response(client: httpx.Client) -> None:
    content = os.urandom(400_000)
    assert client.post("/starlette/echo", content=content).content == content


@pytest.mark.requirement("A-075")
def test_a_file_and_its_head(client: httpx.Client) -> None:
    whole, head = client.get("/starlette/file"), client.head("/starlette/file")

    assert whole.text == _LINES
    assert head.content == b""
    assert head.headers["content-length"] == whole.headers["content-length"] == str(len(_LINES))
    assert client.get("/starlette/hello/x").status_code == 200, "something of the HEAD was left on the connection"


@pytest.mark.parametrize(
    ("byte_range", "start", "end"),
    [pytest.param("bytes=110-120", 110, 121, id="middle"), pytest.param("bytes=-7", -7, None, id="tail")],
)
def test_ranges_of_a_file(client: httpx.Client, byte_range: str, start: int, end: int | None) -> None:
    response = client.get("/starlette/file", headers={"range": byte_range})

    assert (response.status_code, response.text) == (206, _LINES[start:end])


@pytest.mark.requirement("A-076")
def test_a_range_beyond_the_end_and_a_file_that_has_not_changed(client: httpx.Client) -> None:
    assert client.get("/starlette/file", headers={"range": "bytes=99999999-"}).status_code == 416
    etag = client.get("/starlette/file").headers["etag"]
    ranges = client.get("/starlette/file", headers={"range": "bytes=0-4,100-104", "if-range": etag})
    assert ranges.status_code == 206
    assert ranges.headers["content-type"].startswith("multipart/byteranges")


# ---- FastAPI --------------------------------------------------------------------------------------------------------


def test_dependencies_with_yield_are_opened_and_closed(client: httpx.Client) -> None:
    before = seen(client)

    assert client.get("/fastapi/dependencies").json() == ["a session", "a sync session"]

    for event in ("session opened", "session closed", "sync session opened", "sync session closed"):
        until(lambda event=event: seen(client).get(event, 0) == before.get(event, 0) + 1, event)


def test_an_exception_handler_answers_and_the_dependency_is_closed(client: httpx.Client) -> None:
    before = seen(client).get("session closed", 0)

    response = client.get("/fastapi/dependencies/that/fail")

    assert (response.status_code, response.json()) == (404, {"lost": "a session"})
    until(lambda: seen(client)["session closed"] == before + 1, "the dependency was not closed")


@pytest.mark.requirement("A-108")
def test_async_endpoints_run_on_the_loop_and_sync_ones_in_threads(client: httpx.Client) -> None:
    loop_thread = client.get("/fastapi/threads/async").json()

    assert loop_thread.startswith("bridge-loop")
    assert client.get("/fastapi/threads/async").json() == loop_thread
    assert client.get("/fastapi/threads/sync").json().startswith("AnyIO worker thread")


def test_a_request_that_does_not_validate_is_422(client: httpx.Client) -> None:
    assert client.post("/fastapi/upload", data={"title": "no file"}).status_code == 422


# ---- Quart ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S-020", "A-125")
def test_a_websocket_handshake_is_answered_where_the_server_lets_one(client: httpx.Client, site: Server) -> None:
    handshake = {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }

    assert client.get("/quart/socket", headers=handshake).status_code == (501 if site.kind is WAITRESS else 101)
    assert client.get("/quart/hello/x").status_code == 200


# ---- Lifespans ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-096", "A-108")
def test_each_lifespan_is_started_once_however_many_first_requests_come(tmp_path: Any) -> None:
    with running(GUNICORN, "tests.integration.asgi_framework_apps:app", tmp_path) as server:
        frameworks = ("starlette", "fastapi", "quart", "litestar", "falcon")
        barrier = threading.Barrier(10)

        def first(framework: str) -> int:
            barrier.wait(30)
            return httpx.get(f"{server.url}/{framework}/hello/x", timeout=30, trust_env=False).status_code

        requests = [Helper(lambda framework=framework: first(framework)) for framework in frameworks * 2]
        assert [request.join() for request in requests] == [200] * 10
        counts = httpx.get(f"{server.url}/control/seen", timeout=30, trust_env=False).json()
        assert {name: counts[name] for name in counts if name.endswith("startup")} == {
            f"{framework} startup": 1 for framework in frameworks
        }

        assert server.stop() == 0
        log = server.log()

    assert {framework: log.count(f"{framework} shutdown") for framework in frameworks} == dict.fromkeys(frameworks, 1)
    assert "Traceback" not in log, log
