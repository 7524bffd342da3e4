"""The chats in ``examples/``, each hosted by the other kind of server: two browsers talk to each other."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browsers.chromium import Chromium, Page, running_chromium, why_unavailable
from tests.integration.servers import Server, ServerKind, running
from tests.integration.wsgi_servers import GUNICORN_GTHREAD, GUNICORN_SYNC

pytestmark = [pytest.mark.live, pytest.mark.skipif(bool(why_unavailable()), reason=str(why_unavailable()))]

TOP = Path(__file__).resolve().parents[2]
FOLDER = TOP / "examples" / "wsgi_hosting"


@dataclass(frozen=True)
class Host:
    """A chat on a server.

    Attributes:
        kind: how the server is started.
        app: what it serves.
        end: the signal that ends it in an orderly way.
        end_code: the code its sockets are closed with then: 1012 is uvicorn's own, 1001 the bridge's.
    """

    kind: ServerKind
    app: str
    end: signal.Signals
    end_code: int


def gunicorn(kind: ServerKind) -> Host:
    return Host(kind, "starlette_chat:app", signal.SIGTERM, 1001)


def program(module: str, end_code: int) -> Host:
    return Host(ServerKind(module, (module, "--port", "{port}")), "", signal.SIGINT, end_code)


HOSTS = [
    pytest.param(program("flask_sock_chat", 1012), id="flask-sock, uvicorn"),
    pytest.param(gunicorn(GUNICORN_GTHREAD), id="starlette, gunicorn gthread"),
    # One request at a time: the second browser gets its page only because the socket of the first holds no thread.
    pytest.param(gunicorn(GUNICORN_SYNC), id="starlette, gunicorn sync"),
    pytest.param(program("starlette_chat", 1001), id="starlette, wsgiref"),
]


@contextlib.contextmanager
def serving(host: Host, directory: Path) -> Iterator[Server]:
    """Run the server; whatever happens to it, it must have nothing to complain of."""
    environment = {"PYTHONPATH": f"{TOP}:{TOP / 'examples'}:{FOLDER}"}
    with running(host.kind, host.app, directory, environment=environment) as server:
        yield server
    assert "Traceback" not in server.log(), server.log()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module", params=HOSTS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(request.param, tmp_path_factory.mktemp("chat")) as server:
        yield server


@dataclass(frozen=True)
class Guest:
    """Somebody in front of a browser."""

    name: str
    page: Page

    def sees(self, line: str) -> None:
        """Wait until there is such a line of the chat."""
        self.page.wait_for(
            f"Array.from(document.querySelectorAll('#log li')).some(it => it.textContent === {json.dumps(line)})"
        )

    def sees_state(self, state: str) -> None:
        self.page.wait_for(f"document.getElementById('state').textContent.trim() === {json.dumps(state)}")

    def says(self, words: str) -> None:
        self.page.enter("#words", words)


@contextlib.contextmanager
def guest(chromium: Chromium, server: Server, name: str) -> Iterator[Guest]:
    """Give a browser, in which somebody of that name has joined the chat."""
    with chromium.page(server.url) as page:
        page.enter("#name", name)
        somebody = Guest(name, page)
        somebody.sees_state("connected")
        somebody.sees(f"{name} joined")
        yield somebody


@pytest.fixture
def two_guests(chromium: Chromium, server: Server) -> Iterator[tuple[Guest, Guest]]:
    with guest(chromium, server, "Ada") as ada, guest(chromium, server, "Ben") as ben:
        yield ada, ben


@pytest.mark.requirement("S-041")
def test_two_browsers_talk_to_each_other(two_guests: tuple[Guest, Guest]) -> None:
    ada, ben = two_guests

    ada.sees("Ben joined")
    ada.says("Hello, Ben!")
    ben.sees("Ada: Hello, Ben!")
    ben.says("grüße 👋 <b>in bold</b>")
    ada.sees("Ben: grüße 👋 <b>in bold</b>")
    ada.says("bye")
    for somebody in (ada, ben):
        somebody.sees("Ada: bye")

    talk = ["Ben joined", "Ada: Hello, Ben!", "Ben: grüße 👋 <b>in bold</b>", "Ada: bye"]
    assert ada.page.texts("#log li") == ["Ada joined", *talk]
    assert ben.page.texts("#log li") == talk
    assert ada.page.texts("#log b") == []


@pytest.mark.requirement("S-041")
def test_who_presses_leave_is_gone_and_may_come_back(two_guests: tuple[Guest, Guest]) -> None:
    ada, ben = two_guests

    ben.page.click("#leave")

    ben.sees_state("closed: 1000 bye")
    ada.sees("Ben left")
    ada.says("anyone?")
    ada.sees("Ada: anyone?")
    ben.page.enter("#name", "jamin")  # after what is in the field
    ben.sees("Benjamin joined")
    assert "Ada: anyone?" not in ben.page.texts("#log li")
    ada.sees("Benjamin joined")


@pytest.mark.requirement("S-041")
def test_who_closes_the_window_is_gone(two_guests: tuple[Guest, Guest]) -> None:
    ada, ben = two_guests

    ben.page.close()

    ada.sees("Ben left")


@pytest.mark.requirement("S-027", "S-041")
@pytest.mark.parametrize("host", HOSTS)
def test_both_browsers_are_told_that_the_server_ends(chromium: Chromium, tmp_path: Path, host: Host) -> None:
    with (
        serving(host, tmp_path) as server,
        guest(chromium, server, "Ada") as ada,
        guest(chromium, server, "Ben") as ben,
    ):
        server.process.send_signal(host.end)

        for somebody in (ada, ben):
            somebody.page.wait_for(
                f"document.getElementById('state').textContent.startsWith('closed: {host.end_code}')"
            )
        assert server.wait() == 0
