"""A headless Chromium for tests, driven over the DevTools protocol: no driver program, no library for browsers.

One process serves a whole module; each `Page` is in a browser context of its own, with nothing in common with the
others (no cookies, no cache, no connections), as if it were another browser. Every wait is bounded, and at the end the
whole process group and the profile are gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

_START_S = 40.0
_ANSWER_S = 30.0
_WAIT_S = 20.0
_STOP_S = 5.0
_LOOK_S = 0.02
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--remote-debugging-port=0",
    "--no-startup-window",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    # Pages that nobody looks at go on at full speed.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    # Its sandbox does not work for root; the pages are those of our own examples.
    *(["--no-sandbox"] if os.geteuid() == 0 else []),
)


def why_unavailable() -> str | None:
    """Return why there is no browser here, or None."""
    return None if _find() else f"needs {' or '.join(_NAMES)} on the PATH"


def _find() -> str | None:
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """A page in a browser context of its own.

    Attributes:
        problems: exceptions of the page's scripts, and errors that were written to its console.
    """

    def __init__(self, chromium: Chromium, url: str) -> None:
        self._chromium = chromium
        self._context = chromium.call("Target.createBrowserContext")["browserContextId"]
        target = chromium.call("Target.createTarget", url="about:blank", browserContextId=self._context)["targetId"]
        self._session = chromium.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.problems: list[str] = []
        chromium.pages[self._session] = self
        for domain in ("Runtime", "Log", "Page"):
            self._call(f"{domain}.enable")
        error = self._call("Page.navigate", url=url).get("errorText")
        assert error is None, f"{url}: {error}"
        self.wait_for("document.readyState === 'complete'")

    @property
    def is_open(self) -> bool:
        """It has not been closed by the test."""
        return self._session in self._chromium.pages

    def close(self) -> None:
        """Close the page without a word to its scripts; what they have open ends as it does for a closed window."""
        del self._chromium.pages[self._session]
        self._chromium.call("Target.disposeBrowserContext", browserContextId=self._context)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript, that of a promise once it is settled."""
        answer = self._call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer}"
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a condition in JavaScript holds, which is looked at whenever the document changes."""
        holds = self.evaluate(
            f"""new Promise(resolve => {{
                const settle = holds => {{ observer.disconnect(); clearTimeout(timer); resolve(holds) }}
                const look = () => {{ if ({condition}) settle(true) }}
                const observer = new MutationObserver(look)
                const timer = setTimeout(() => settle(false), {_WAIT_S * 1000})
                observer.observe(document, {{subtree: true, childList: true, attributes: true, characterData: true}})
                document.addEventListener("readystatechange", look)
                look()
            }})"""
        )
        assert holds, f"not in {_WAIT_S} s: {condition}\n{self.problems}\n{self.evaluate('document.body.innerText')}"

    def texts(self, selector: str) -> list[str]:
        """Return the text of each element."""
        return self.evaluate(f"Array.from(document.querySelectorAll({json.dumps(selector)}), it => it.textContent)")

    def click(self, selector: str) -> None:
        """Press the button."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).click()")

    def enter(self, selector: str, text: str) -> None:
        """Type a text into a field, and the enter key."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self._call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key="Enter", windowsVirtualKeyCode=13, text="\r")

    def _call(self, method: str, **parameters: Any) -> Any:
        return self._chromium.call(method, self._session, **parameters)


class Chromium:
    """A running browser; used by one thread."""

    def __init__(self, connection: ClientConnection) -> None:
        self.pages: dict[str, Page] = {}
        self._connection = connection
        self._last_id = 0

    @contextlib.contextmanager
    def page(self, url: str) -> Iterator[Page]:
        """Give a page of that address; it is closed at the end, if it still is open, and must have had no problems."""
        page = Page(self, url)
        try:
            yield page
            if page.is_open:
                page.evaluate("0")  # what was reported before this answer has been read with it
        finally:
            if page.is_open:
                page.close()
        assert page.problems == []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Call a method of the protocol, of the browser or of one page; return its result."""
        self._last_id += 1
        request = {"id": self._last_id, "method": method, "params": parameters}
        self._connection.send(json.dumps(request | ({"sessionId": session} if session else {})))
        deadline_s = time.monotonic() + _ANSWER_S
        while True:
            message = json.loads(self._connection.recv(max(deadline_s - time.monotonic(), 0)))
            if message.get("id") == self._last_id:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        page = self.pages.get(event.get("sessionId", ""))
        match event:
            case {"method": "Runtime.exceptionThrown", "params": {"exceptionDetails": details}} if page:
                page.problems.append(str(details))
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}} if page:
                page.problems.append(str(entry))


@contextlib.contextmanager
def running_chromium() -> Iterator[Chromium]:
    """Start a browser, end it; nothing of it is left.

    Raises:
        RuntimeError: it ended, or did not answer in time; with what it said.
    """
    program = _find()
    assert program, "ask why_unavailable() first"
    with _temporary_directory() as home:
        log_path = home / "log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [program, *_FLAGS, f"--user-data-dir={home}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)},
                start_new_session=True,
            )
        try:
            url = _devtools_url(process, home / "DevToolsActivePort")
            if url is None:
                raise RuntimeError(f"{program} did not start:\n{log_path.read_text(errors='replace')}")
            with connect(url, proxy=None, max_size=None, ping_interval=None, close_timeout=_STOP_S) as connection:
                chromium = Chromium(connection)
                yield chromium
                with contextlib.suppress(ConnectionClosed):  # it may be gone before its answer
                    chromium.call("Browser.close")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
        finally:
            # Also what the process has left behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(_STOP_S)


def _devtools_url(process: subprocess.Popen[bytes], path: Path) -> str | None:
    """Return where the protocol is spoken: the browser writes port and path into a file of two lines."""
    deadline_s = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline_s:
        with contextlib.suppress(FileNotFoundError):
            match path.read_text().split("\n"):
                case [port, resource]:
                    return f"ws://127.0.0.1:{port}{resource}"
        time.sleep(_LOOK_S)
    return None


@contextlib.contextmanager
def _temporary_directory() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="bridge-chromium-"))
    try:
        yield home
    finally:
        # Processes that were killed just now may still be writing their last.
        deadline_s = time.monotonic() + _STOP_S
        while home.exists():
            shutil.rmtree(home, ignore_errors=time.monotonic() < deadline_s)
