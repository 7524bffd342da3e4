"""Hooks of MkDocs: pages from outside of `docs/`, links as the forge has them, descriptions, diagrams from no network.

Nothing here changes what a page says. Without these hooks the pages are complete on the forge; with them the same
text is a site in which every link stays inside.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from outside_pages import PAPERS, PROGRAMS, PROGRAMS_INDEX, papers, programs, programs_page, who_shows
from pymdownx.superfences import fence_code_format

DIAGRAMS = "assets/javascripts/mermaid.min.js"
_DIAGRAMS_SHA256 = "74d7c46dabca328c2294733910a8aa1ed0c37451776e8d5295da38a2b758fb9b"
"""Of `dist/mermaid.min.js` in release 11.16.0 of mermaid, as its authors have published it."""
_DIAGRAMS_FROM = ("mermaidx", "mermaidx/assets/mermaid.js")
"""The distribution that has this file as it is. Nothing else of it is used."""

_BLOCK = r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)[^\S\n]*$"
_LINK = r"(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])+)\]\((?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)"
_FENCED = re.compile(_BLOCK, re.MULTILINE | re.DOTALL)
_FENCED_OR_LINK = re.compile(f"{_BLOCK}|{_LINK}", re.MULTILINE | re.DOTALL)
_DESCRIPTION_LENGTHS = (20, 200)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Give headings the anchors that the forge gives them, and name the pages from outside in the navigation."""
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {})
    fences["custom_fences"] = [{"name": "mermaid", "class": "mermaid", "format": diagram}]
    top = _top(config)
    missing = set(PAPERS.values()) - set(papers(top).values())
    for section in config.nav or []:
        for name, entries in section.items():
            if name == "Programs":
                section[name] = _program_entries(top)
            elif name == "Development":
                section[name] = [entry for entry in entries if _address(entry) not in missing]
    return config


def _program_entries(top: Path) -> list[Any]:
    entries: list[Any] = [PROGRAMS_INDEX]
    folders: dict[str, list[Any]] = {}
    for program in programs(top):
        folder, _, name = program.name.rpartition("/")
        folders.setdefault(folder, []).append({name: program.uri})
    for folder, inside in folders.items():
        entries.extend([{folder: inside}] if folder else inside)
    return entries


def _address(entry: str | dict[str, str]) -> str:
    return entry if isinstance(entry, str) else next(iter(entry.values()))


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from outside, and the script that draws the diagrams."""
    top = _top(config)
    for path, uri in papers(top).items():
        files.append(File.generated(config, uri, content=(top / path).read_text(encoding="utf-8")))
    texts = {file.src_uri: file.content_string for file in files.documentation_pages()}
    found = programs(top)
    files.append(File.generated(config, PROGRAMS_INDEX, content=programs_page(found)))
    for program in found:
        files.append(File.generated(config, program.uri, content=program.page(who_shows(program.path, texts))))
    files.append(File.generated(config, DIAGRAMS, content=_diagrams()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside into links to their pages, and describe the page by how it begins."""
    top = _top(config)
    words = description(markdown)
    if len(words) < _DESCRIPTION_LENGTHS[0]:
        words = f"{page.file.name}: {config.site_description}"
    page.meta.setdefault("description", words)
    origins = {uri: path for path, uri in papers(top).items()}
    if page.file.src_uri.startswith("programs/"):
        return markdown
    origin = origins.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    places = papers(top) | {program.path: program.uri for program in programs(top)}
    places |= {PROGRAMS: PROGRAMS_INDEX, f"{PROGRAMS}/__init__.py": PROGRAMS_INDEX, "README.md": "index.md"}
    places |= {f"docs/{file.src_uri}": file.src_uri for file in files}

    def moved(link: re.Match[str]) -> str:
        target = link["target"]
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        uri = places.get(path) or places.get(f"{path}/index.md")
        if uri is None and posixpath.commonpath([path, PROGRAMS]) == PROGRAMS:
            uri = PROGRAMS_INDEX  # a folder of programs
        if uri is None and not path.startswith("docs/") and (top / path).exists():
            return link["text"]  # a file that is in the repository only, whose address the site does not know
        if uri is None:
            return link[0]  # leads nowhere: MkDocs says so
        here = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{link['text']}]({here}{link['anchor'] or ''})"

    return _FENCED_OR_LINK.sub(lambda found: found[0] if found["fence"] else moved(found), markdown)


def diagram(*fence: Any, **more: Any) -> str:
    """Return the block the theme draws a diagram from, in a box that scrolls: the drawing itself cannot."""
    return f'<div class="diagram">{fence_code_format(*fence, **more)}</div>'


def slug(text: str, separator: str) -> str:
    """Return the anchor of a heading as forges make it, so that a link to it works in both places."""
    return re.sub(r"[^\w -]", "", text.strip().lower()).replace(" ", separator)


def description(markdown: str) -> str:
    """Return the beginning of the first paragraph of a page, without marks."""
    text = re.sub(r"<!--.*?-->", "", _FENCED.sub("", markdown), flags=re.DOTALL)
    for block in re.split(r"\n\s*\n", text):
        words = block.strip()
        if words and not re.match(r"#|[-*|>!]|\d+\.|:::|<", words):
            plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", words)
            sentences = re.split(r"(?<=[.:]) ", " ".join(re.sub(r"[`*]", "", plain).split()))
            return _as_many_as_fit(sentences)
    return ""


def _as_many_as_fit(sentences: list[str]) -> str:
    taken = sentences[0]
    for sentence in sentences[1:]:
        if len(taken) + 1 + len(sentence) > _DESCRIPTION_LENGTHS[1]:
            break
        taken += " " + sentence
    return taken.rstrip(":")


def _diagrams() -> bytes:
    """Return the script that draws diagrams: from an installed distribution, never from the network."""
    name, path = _DIAGRAMS_FROM
    try:
        script = Path(str(importlib.metadata.distribution(name).locate_file(path))).read_bytes()
    except (importlib.metadata.PackageNotFoundError, FileNotFoundError):
        raise PluginError(f"{path} is not there; pip install 'wsgi-asgi-bridge[docs]'") from None
    if hashlib.sha256(script).hexdigest() != _DIAGRAMS_SHA256:
        raise PluginError(f"{path} is not the release of mermaid that is expected")
    return script


def _top(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).resolve().parent
