"""Pictures of the built site as a desktop and a phone show it, light and dark, to be looked at by a person.

    mkdocs build
    python -m site_tools.screenshots                       # a few pages, into site-pictures/
    python -m site_tools.screenshots reference/options/    # these pages

Needs Chromium and what the tests need: the browser is driven as in `tests/browsers`.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import functools
import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.browsers.chromium import Chromium, Page, running_chromium

TOP = Path(__file__).resolve().parents[1]
PAGES = (
    "",
    "start/",
    "recipes/mount-in-fastapi-and-starlette/",
    "recipes/websockets/",
    "reference/options/",
    "reference/api/",
    "reference/matrix/",
    "discussion/flow/",
    "performance/",
    "programs/",
)


@dataclass(frozen=True)
class Screen:
    """What a reader looks at the site with."""

    name: str
    width: int
    height: int
    mobile: bool


SCREENS = (Screen("desktop", 1440, 900, mobile=False), Screen("phone", 390, 844, mobile=True))
PALETTES = ("light", "dark")


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Say nothing."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder on a free port of this machine; give the address, with a slash at the end."""
    handler = functools.partial(_QuietHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def session_of(chromium: Chromium, page: Page) -> str:
    """Return what the protocol calls a page."""
    return next(session for session, known in chromium.pages.items() if known is page)


def show_on(chromium: Chromium, page: Page, screen: Screen, palette: str = "light") -> None:
    """Make a page believe that it is on such a screen, of a system with such a palette."""
    session = session_of(chromium, page)
    chromium.call(
        "Emulation.setDeviceMetricsOverride",
        session,
        width=screen.width,
        height=screen.height,
        deviceScaleFactor=1,
        mobile=screen.mobile,
    )
    features = [{"name": "prefers-color-scheme", "value": palette}]
    chromium.call("Emulation.setEmulatedMedia", session, features=features)


def take(chromium: Chromium, page: Page, path: Path, *, whole: bool) -> None:
    """Write a picture of what is to be seen, or of the page as a whole."""
    answer = chromium.call("Page.captureScreenshot", session_of(chromium, page), captureBeyondViewport=whole)
    path.write_bytes(base64.b64decode(answer["data"]))


def visit(chromium: Chromium, page: Page, url: str) -> None:
    """Go to an address, and wait until its images are there and its diagrams drawn (or have failed to be)."""
    chromium.call("Page.navigate", session_of(chromium, page), url=url)
    page.wait_for(f"location.href === {json.dumps(url)} && document.readyState === 'complete'")
    page.evaluate(
        "Promise.all(Array.from(document.images, it => { it.loading = 'eager'; return it.decode().catch(() => 0) }))"
    )
    # The theme puts an element with a shadow in the place of each diagram; the script adds a picture of an error.
    page.wait_for("!document.querySelector('pre.mermaid') || document.querySelector('.error-icon')")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pages", nargs="*", default=PAGES, help="addresses below that of the site")
    parser.add_argument("--site", type=Path, default=TOP / "site", help="the built site")
    parser.add_argument("--to", type=Path, default=TOP / "site-pictures", help="where the pictures go")
    parser.add_argument("--whole", action="store_true", help="the whole page, not only what is seen first")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    with serving(asked.site) as site, running_chromium() as chromium:
        for screen in SCREENS:
            for palette in PALETTES:
                for address in asked.pages:
                    name = address.partition("#")[0].strip("/").replace("/", "-") or "index"
                    with chromium.page("about:blank") as page:
                        show_on(chromium, page, screen, palette)
                        visit(chromium, page, site + address)
                        take(chromium, page, asked.to / f"{name}-{screen.name}-{palette}.png", whole=asked.whole)


if __name__ == "__main__":
    main()
