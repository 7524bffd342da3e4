"""The event streams in ``examples/``: all hear what is published, nobody misses anything, who leaves is forgotten."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.examples.running import WSGI_HOSTING, environment
from tests.integration.servers import UVICORN_H11, Server, ServerKind, running
from tests.meeting import until

pytestmark = pytest.mark.live

_GUNICORN = ("gunicorn", "-b", "{host}:{port}", "--no-control-socket")
GTHREAD = ServerKind("gthread", (*_GUNICORN, "--threads", "16", "{app}"))
GEVENT = ServerKind("gevent", (*_GUNICORN, "-k", "gevent", "{app}"))
MANY_LINES = 200
"""More than any test waits for: a stream that never says what it should is a failure, not a wait."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the programs.

    Attributes:
        server: what runs it.
        app: where it is.
        events: the path of its stream.
        publish: the path to publish at; what is published stands at its end, or in the body.
        listeners: the path that tells how many listen, and the key there.
    """

    server: ServerKind
    app: str
    events: str = "/events"
    publish: str = "/orders/"
    listeners: tuple[str, str | None] = ("/listeners", None)

    def __str__(self) -> str:
        return f"{self.app.partition(':')[0].rpartition('.')[2]} on {self.server}"


class Site:
    """A running program."""

    def __init__(self, kind: Kind, client: httpx.Client) -> None:
        self.kind = kind
        self.client = client

    def publish(self, text: str) -> None:
        if self.kind.publish.endswith("/"):
            answer = self.client.post(self.kind.publish + quote(text, safe=""))
        else:
            answer = self.client.post(self.kind.publish, content=text)
        answer.raise_for_status()

    def listeners(self) -> int:
        path, key = self.kind.listeners
        told = self.client.get(path).json()
        return told if key is None else told[key]

    @contextlib.contextmanager
    def listening(self, last_seen: str | None = None) -> Iterator[Iterator[str]]:
        """Open the stream; give its lines from the moment on at which it is heard."""
        headers = {} if last_seen is None else {"Last-Event-ID": last_seen}
        with self.client.stream("GET", self.kind.events, headers=headers) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            assert response.headers["x-accel-buffering"] == "no"
            lines = response.iter_lines()
            assert [next(lines), next(lines)] == ["retry: 1000", ""]
            yield lines


def next_event(lines: Iterator[str]) -> list[str]:
    """Return the lines of the next event, without comments."""
    event: list[str] = []
    for line, _ in zip(lines, range(MANY_LINES), strict=False):
        if line and not line.startswith(":"):
            event.append(line)
        elif not line and event:
            return event
    raise AssertionError(f"there was no event, but {event}")


@pytest.fixture(
    scope="module",
    params=[
        Kind(UVICORN_H11, "examples.sse_from_flask:app", publish="/publish", listeners=("/status", "subscriptions")),
        Kind(UVICORN_H11, "examples.event_stream_beside_flask:app"),
        Kind(GTHREAD, "event_stream_in_flask:app", events="/events/", listeners=("/listeners", "listeners")),
        Kind(GEVENT, "event_stream_in_flask:app", events="/events/", listeners=("/listeners", "listeners")),
    ],
    ids=str,
)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Kind, Server]]:
    kind: Kind = request.param
    directory: Path = tmp_path_factory.mktemp(str(kind))
    with running(kind.server, kind.app, directory, environment=environment(WSGI_HOSTING)) as server:
        yield kind, server
    assert "Traceback" not in server.log(), server.log()


@pytest.fixture
def site(served: tuple[Kind, Server]) -> Iterator[Site]:
    kind, server = served
    with httpx.Client(base_url=server.url, timeout=15, trust_env=False) as client:
        yield Site(kind, client)


def everybody_is_forgotten(site: Site) -> bool:
    # Under a WSGI server a client that has left is noticed when something is sent to it, at the latest.
    site.publish("is anybody there?")
    return site.listeners() == 0


def test_all_who_listen_hear_what_is_published_and_are_forgotten_when_they_leave(site: Site) -> None:
    with contextlib.ExitStack() as listeners:
        streams = [listeners.enter_context(site.listening()) for _ in range(5)]
        until(lambda: site.listeners() == 5, "five who listen")

        site.publish("tea")

        events = [next_event(lines) for lines in streams]
        assert [event[-1].split()[-1] for event in events] == ["tea"] * 5
        assert len({event[0] for event in events}) == 1, "the event has a different number for each"

    until(lambda: everybody_is_forgotten(site), "all of them forgotten")


def test_who_comes_back_hears_what_it_has_missed(site: Site) -> None:
    with site.listening() as lines:
        site.publish("one")
        number, _ = next_event(lines)
    for text in ("two", "three"):
        site.publish(text)

    with site.listening(last_seen=number.removeprefix("id: ")) as lines:
        missed = [next_event(lines) for _ in range(2)]

    assert [event[-1].split()[-1] for event in missed] == ["two", "three"]


@pytest.mark.parametrize("last_seen", ["999999999", "not ours", "-1"])
def test_who_has_seen_what_nobody_said_hears_what_comes_from_now_on(site: Site, last_seen: str) -> None:
    with site.listening(last_seen) as lines:
        site.publish("news")

        assert next_event(lines)[-1].split()[-1] == "news"


def test_what_is_published_cannot_begin_an_event_of_its_own(site: Site) -> None:
    with site.listening() as lines:
        site.publish("tea\r\rid: 7\rdata: forged")

        number, *data = next_event(lines)

    assert number.startswith("id: ")
    assert [line.split(": ", 1)[0] for line in data] == ["data"] * 4
    assert data[-1] == "data: data: forged"


def test_listeners_of_the_stream_beside_flask_hold_no_worker(tmp_path: Path) -> None:
    more_than_workers = 60
    kind = Kind(UVICORN_H11, "examples.event_stream_beside_flask:app")
    limits = httpx.Limits(max_connections=None)
    with (
        running(kind.server, kind.app, tmp_path) as server,
        httpx.Client(base_url=server.url, timeout=15, limits=limits, trust_env=False) as client,
        contextlib.ExitStack() as listeners,
    ):
        site = Site(kind, client)
        for _ in range(more_than_workers):
            listeners.enter_context(site.listening())

        assert client.post("/orders/tea").json() == {"told": more_than_workers}
