"""The README's tables beside the other adapters say what is seen, row by row, on all of them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import pytest

from tests.docs.coming_from import hosts, looks
from tests.docs.pages import TOP
from tests.docs.test_coming_from import ROOMS, ROWS

pytestmark = pytest.mark.once

assert ROOMS  # the looks have registered themselves


@dataclass(frozen=True)
class Told:
    """How the README tells what a look sees.

    Attributes:
        look: the title of the row on the pages.
        words: what is seen, by the beginning of the README's cell; what begins so, for a value that ends with ``...``.
    """

    look: str
    words: Mapping[str, str]


TO_ASGI: Final = {
    "A client leaves a stream: the generator is closed": Told(
        "A client leaves a stream", {"yes": "the generator is closed", "no": "the generator goes on"}
    ),
    "`close()` of the response is called": Told(
        "`close()` of the response", {"always": "is called", "yes": "is called", "never": "is never called"}
    ),
    "Requests at a time": Told(
        "Requests at a time", {"40": "40", "10": "10", "1": "1", "the loop's executor": "CPUs + 4, at most 32"}
    ),
    "A slow upload holds a thread": Told("A slow upload", {"yes": "holds a thread", "no": "holds none"}),
    "Large uploads": Told(
        "A large upload waits",
        {
            "streamed if fast, else on disk": "on disk beyond 1 MiB",
            "streamed": "nowhere",
            "on disk": "on disk beyond 64 KiB",
            "in memory": "in memory",
        },
    ),
    "A slow reader holds a thread": Told(
        "Slow readers on all threads",
        {
            "not while another request wants it": "another request is served",
            "no": "another request is served",
            "yes": "another request waits",
        },
    ),
    "trio": Told("trio", {"yes": "works", "no": "fails"}),
    "An upload that is cut looks whole": Told("An upload that is cut", {"yes": "looks complete", "no": "..."}),
    "Chunked uploads reach Flask": Told("A chunked upload, in Flask", {"yes": "is read", "no": "is empty"}),
    "A slow client holds the application back": Told(
        "A client reads slowly",
        {"yes": "the application is held back", "no": "the rest of the response waits in memory"},
    ),
    "Responses without content (HEAD, 204, 304)": Told(
        "Responses without content", {"yes": "are sent", "500": "have no status: the server makes a 500 of them"}
    ),
    "`start_response(..., exc_info)` replaces the response": Told(
        "`start_response(..., exc_info)` before output",
        {"yes": "replaces the response", "no": "comes too late: 200 and the error page"},
    ),
    "`write()`": Told("`write()`", {"yes": "works", "no": "fails"}),
    "`/apple` is not below the mount `/app`": Told(
        "`/apple`, below the prefix `/app`", {"yes": "`PATH_INFO` is `/apple`", "no": "`PATH_INFO` is `le`"}
    ),
    "Context variables reach the application": Told(
        "Context variables of ASGI middleware", {"yes": "reach the application", "no": "do not reach it"}
    ),
    "Lifespan is answered": Told("Lifespan", {"yes": "is answered", "no": "..."}),
    "WebSockets": Told("WebSockets", {"yes": "are served", "refused": "are refused", "no": "`..."}),
}
TO_WSGI: Final = {
    "Lifespan and its state": Told("Lifespan", {"yes": "is run, once in each process", "no": "is never run"}),
    "Works after a fork (`--preload`, uWSGI, Passenger)": Told(
        "After a fork (`--preload`, uWSGI, Passenger)",
        {"yes": "requests are served", "every request hangs": "every request hangs"},
    ),
    "Background tasks": Told(
        "A background task",
        {"go on, the thread is free": "holds no thread", "hold the thread": "holds the request's thread"},
    ),
    "A client leaves: the application is told": Told(
        "A client leaves a stream", {"yes": "the application is told", "never": "the application hears nothing"}
    ),
    "An application that returns without a response": Told(
        "An application that returns without a response",
        {"an error": "is an error", "the thread hangs": "holds the thread for ever"},
    ),
    "An upload that is cut": Told(
        "An upload that is cut",
        {"`http.disconnect`": "gives `http.disconnect`", "empty events": "gives empty events without end"},
    ),
    "Chunked uploads": Told("A chunked upload", {"yes": "is read", "always empty": "is empty"}),
    "trio": Told("trio", {"yes": "can be had", "no": "cannot be had"}),
    "`FileResponse` as the server's own `sendfile`, early hints, trailers": Told(
        "What the server has besides", {"yes": "is offered to the application", "no": "is kept from the application"}
    ),
    "Threads": Told(
        "Threads of three adapters", {"one event loop per process": "one for all", "one per adapter": "one each"}
    ),
}


OWN_HOSTS: Final = {("trio", "hypercorn"): hosts.hypercorn_on_trio}
"""Where an adapter is another one for this."""


def cells_of(register: Mapping[str, Told]) -> dict[str, dict[str, str]]:
    """Return the cells of the README's rows that are tried, by their title and then by the adapter."""
    text = (TOP / "README.md").read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *lines = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines())
        rows = {cells[0]: dict(zip(head[1:], cells[1:], strict=True)) for cells in lines}
        if set(register) <= set(rows):
            return {title: rows[title] for title in register}
    raise AssertionError("README.md has no table with all these rows")


def meant(words: Mapping[str, str], cell: str) -> str:
    """Return what a cell of the README says was seen: by the longest beginning that it has."""
    [*_, beginning] = sorted((word for word in words if cell.startswith(word)), key=len)
    return words[beginning]


@pytest.mark.filterwarnings("ignore:Unclosed:ResourceWarning")  # Starlette's streams, when a request fails
@pytest.mark.parametrize("title", TO_ASGI)
def test_the_readme_says_what_hosts_of_wsgi_applications_do(title: str) -> None:
    told = TO_ASGI[title]
    cells = cells_of(TO_ASGI)[title]

    for adapter, cell in cells.items():
        expected = meant(told.words, cell)
        host = OWN_HOSTS.get((title, adapter)) or getattr(hosts, adapter)
        seen = looks.seen_by(told.look, host, expected)
        assert seen == expected or (expected.endswith("...") and seen.startswith(expected.removesuffix("..."))), adapter
        assert told.words.get("yes") != seen or cell.startswith(("yes", "always")), adapter
    assert len(cells) == 6


@pytest.mark.parametrize("title", TO_WSGI)
def test_the_readme_says_what_hosts_of_asgi_applications_do(title: str) -> None:
    if "fork" in title and not hasattr(os, "fork"):
        pytest.skip("no fork here")
    told = TO_WSGI[title]
    cells = cells_of(TO_WSGI)[title]

    for adapter, cell in cells.items():
        expected = meant(told.words, cell)
        host = getattr(hosts, f"{adapter}_to_wsgi")
        assert looks.seen_by(told.look, host, expected, to_wsgi=True) == expected, adapter
    assert len(cells) == 2


def test_each_look_is_for_a_row_of_a_page_or_of_the_readme() -> None:
    of_pages = {(row.table, row.title) for row in ROWS}
    of_readme = {(0, told.look) for told in TO_ASGI.values()} | {(1, told.look) for told in TO_WSGI.values()}

    assert of_pages | of_readme == {(0, title) for title in looks.TO_ASGI} | {(1, title) for title in looks.TO_WSGI}
