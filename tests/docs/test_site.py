"""The site: it builds without a warning, its links lead somewhere, nothing comes from other hosts, phones show it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import yaml

import bridge
import bridge.doctor
import bridge.telemetry
import bridge.translate
from site_tools.outside_pages import papers, programs
from site_tools.screenshots import Screen, serving, show_on, visit
from tests.browsers.chromium import running_chromium, why_unavailable
from tests.docs.pages import PAGES, TOP, text_of

# Other tests that run beside this one want the processors, too.
pytestmark = [pytest.mark.once, pytest.mark.timeout(200)]

BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BUILD_S = 150.0
PHONE = Screen("phone", 390, 844, mobile=True)
HERE = "http://site/"
LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "link": "href"}


@dataclass
class Html(HTMLParser):
    """What is in a page.

    Attributes:
        links: where it leads.
        loaded: what a browser fetches to show it.
        ids: what a link can say after the ``#``.
        title: of the window.
        description: for search engines.
        code: text of its blocks of code.
        text: all of its text.
    """

    links: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    title: str = ""
    description: str = ""
    code: list[str] = field(default_factory=list)
    text: str = ""
    _inside: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given and given.get("rel") not in {"next", "prev", "canonical"}:
            self.loaded.append(given[LOADED[tag]])
        if "id" in given:
            self.ids.add(given["id"])
        if given.get("name") == "description":
            self.description = given["content"]
        if tag in {"title", "pre"}:
            self._inside.append(tag)
            self.code += [""] if tag == "pre" else []

    def handle_endtag(self, tag: str) -> None:
        if tag in {"title", "pre"}:
            self._inside.pop()

    def handle_data(self, data: str) -> None:
        self.text += data
        match self._inside:
            case ["title"]:
                self.title += data
            case ["pre"]:
                self.code[-1] += data


@dataclass(frozen=True)
class Site:
    """What was built.

    Attributes:
        folder: where it is.
        pages: by their address below that of the site.
    """

    folder: Path
    pages: dict[str, Html]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        # Not with --quiet: then it does not count warnings.
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=TOP,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    assert [line for line in built.stdout.splitlines() if not line.startswith("INFO ")] == []
    pages = {}
    for path in folder.rglob("*.html"):
        html = Html()
        html.feed(path.read_text(encoding="utf-8"))
        html.close()
        pages[path.relative_to(folder).as_posix().removesuffix("index.html")] = html
    return Site(folder, pages)


def test_every_link_and_anchor_of_the_site_leads_somewhere(site: Site) -> None:
    lost = []
    for address, page in site.pages.items():
        for link in {*page.links, *page.loaded}:
            url, anchor = urldefrag(urljoin(HERE + address, link))
            if not url.startswith(HERE):
                continue
            target = unquote(urlsplit(url).path)[1:]
            there = site.pages.get(target)
            is_there = (site.folder / target).is_file() if there is None else not anchor or anchor in there.ids
            if not is_there:
                lost.append((address, link))

    assert lost == []
    assert sum(len(page.links) for page in site.pages.values()) > 1000


def test_nothing_is_loaded_from_another_host(site: Site) -> None:
    loaded = {url for page in site.pages.values() for url in page.loaded}
    styles = "".join(path.read_text(encoding="utf-8") for path in site.folder.rglob("*.css"))
    loaded |= set(re.findall(r"""(?:url\(|@import\s+)["']?([^"')]+)""", styles))

    assert [url for url in loaded if urlsplit(url).netloc] == []
    assert len(loaded) > 10


def test_every_page_has_a_title_and_a_description(site: Site) -> None:
    described = {address: page for address, page in site.pages.items() if address != "404.html"}

    assert [address for address, page in described.items() if page.title.strip() in {"", "Index - bridge"}] == []
    assert [address for address, page in described.items() if len(page.description) < 20] == []
    assert len({page.title for page in described.values()}) > 0.9 * len(described)


def entries(nav: Any) -> Iterator[str]:
    """Yield the pages that a navigation names."""
    match nav:
        case str():
            yield nav
        case list():
            for entry in nav:
                yield from entries(entry)
        case dict():
            for entry in nav.values():
                yield from entries(entry)


def test_the_navigation_names_each_page_once_and_no_other() -> None:
    named = list(entries(yaml.safe_load((TOP / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    written = {path.relative_to(TOP / "docs").as_posix() for path in (TOP / "docs").rglob("*.md")}

    assert len(named) == len(set(named))
    assert {name for name in named if not name.startswith("development/")} == {
        name for name in written if not name.startswith("development/")
    }
    assert {*papers(TOP).values(), *written} <= set(named)


# ---- What is made from the code ---------------------------------------------------------------------------------

PUBLIC = [
    *(f"bridge.{name}" for name in bridge.__all__),
    *(f"bridge.doctor.{name}" for name in bridge.doctor.__all__),
    *(f"bridge.translate.{name}" for name in bridge.translate.__all__),
    f"bridge.telemetry.{bridge.telemetry.observe.__name__}",
]


def test_the_interface_names_every_public_name_once_and_no_other() -> None:
    assert sorted(re.findall(r"^::: ([\w.]+)$", text_of("reference/api.md"), re.MULTILINE)) == sorted(PUBLIC)


def test_the_interface_shows_the_docstring_of_every_public_name(site: Site) -> None:
    page = site.pages["reference/api/"]
    words = set(re.sub(r"\W+", " ", page.text).split())

    assert set(PUBLIC) <= page.ids
    for name in PUBLIC:
        module, _, attribute = name.rpartition(".")
        docstring = getattr(sys.modules[module], attribute).__doc__
        assert set(re.sub(r"\W+", " ", docstring.partition("\n")[0]).split()) <= words, name


def test_every_program_is_on_its_page_as_a_whole(site: Site) -> None:
    found = programs(TOP)

    for program in found:
        page = site.pages[program.uri.removesuffix(".md") + "/"]
        assert program.code in {code.strip() for code in page.code}, program.path
        shown = f"{program.description}\n{program.code}"
        lines = (TOP / program.path).read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if line.strip('"# ') not in shown] == [], program.path
    assert len(found) > 20


def test_no_line_of_a_diagram_has_a_semicolon_which_would_end_it() -> None:
    diagrams = [block for page in PAGES for block in BLOCK.findall(page.read_text(encoding="utf-8"))]

    assert [line for block in diagrams for line in block.splitlines() if ";" in line] == []
    assert len(diagrams) > 10


# ---- In a browser -----------------------------------------------------------------------------------------------


def without_search_index(folder: Path) -> None:
    """Leave nothing to search for: each page would spend most of its time on preparing for it."""
    path = folder / "search" / "search_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    assert len(index["docs"]) > 500
    path.write_text(json.dumps(index | {"docs": []}), encoding="utf-8")


@pytest.mark.skipif(bool(why_unavailable()), reason=str(why_unavailable()))
def test_no_page_is_wider_than_a_phone_and_every_diagram_is_drawn_from_what_the_site_has(site: Site) -> None:
    wide, foreign, broken = [], [], []
    without_search_index(site.folder)
    # Of the pages of programs, which are one block of code each, the first will do.
    addresses = sorted(address for address in site.pages if not address.startswith("programs/"))
    addresses += sorted(set(site.pages) - set(addresses))[:2]
    with serving(site.folder) as url, running_chromium() as chromium, chromium.page("about:blank") as page:
        show_on(chromium, page, PHONE)
        for address in addresses:
            visit(chromium, page, url + address)
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > PHONE.width:
                wide.append((address, width))
            fetched = page.evaluate("performance.getEntriesByType('resource').map(it => it.name)")
            foreign += [name for name in fetched if not name.startswith((url, "data:", "blob:"))]
            broken += [(address, problem) for problem in page.problems]
            page.problems.clear()

    assert broken == []
    assert wide == []
    assert foreign == []
