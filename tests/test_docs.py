"""What the documentation says is so: code compiles and names what exists, tables list exactly what there is."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import inspect
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync

import bridge
from bridge import Limits, Statistics, WSGIToASGI, call_async, to_asgi

TOP = Path(__file__).resolve().parent.parent
PAGES = sorted([*TOP.glob("*.md"), *(TOP / "docs").rglob("*.md")])
PAGE_IDS = [page.relative_to(TOP).as_posix() for page in PAGES]


def python_blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(page: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table below a heading, without its head."""
    text = (TOP / "docs" / page).read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2]
    assert section, f"{page} has no section {heading!r}"
    lines = section.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| ---"))
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("| ").split(" | ")])
    return rows


def code(cell: str) -> str:
    match = re.fullmatch(r"`([^`]+)`", cell)
    assert match, f"not a single piece of code: {cell!r}"
    return match[1]


# ---- Code and links ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_code_in_the_docs_compiles_and_uses_only_what_exists(page: Path) -> None:
    for block in python_blocks(page.read_text(encoding="utf-8")):
        tree = ast.parse(block, str(page))
        compile(tree, str(page), "exec")
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "bridge":
                assert {alias.name for alias in node.names} <= set(bridge.__all__)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                known = {"to_asgi": WSGIToASGI, "WSGIToASGI": WSGIToASGI, "Limits": Limits}.get(node.func.id)
                if known is not None:
                    given = {keyword.arg for keyword in node.keywords}
                    assert given <= set(inspect.signature(known).parameters), ast.unparse(node)


def test_there_is_code_to_compile() -> None:
    assert sum(len(python_blocks(page.read_text(encoding="utf-8"))) for page in PAGES) >= 10


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    local = [target for target in targets if "://" not in target]

    assert [target for target in local if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:examples|benchmarks|tests|docs|bridge)/[\w/.-]+)`", page.read_text(encoding="utf-8"))

    assert [name for name in named if not (TOP / name).exists()] == []


def test_each_page_can_be_reached_from_the_index() -> None:
    index = TOP / "docs" / "index.md"
    targets = {
        (index.parent / target).resolve()
        for target in re.findall(r"\]\(([^)#]+\.md)\)", index.read_text(encoding="utf-8"))
    }

    assert {page.resolve() for page in (TOP / "docs").rglob("*.md")} - targets == {index.resolve()}


# ---- Tables -----------------------------------------------------------------------------------------------------


def test_the_table_of_options_names_exactly_the_options_and_their_defaults() -> None:
    documented = {
        code(row[0]): ast.literal_eval(code(row[1]))
        for row in table("reference/options.md", "Options of `WSGIToASGI` and `to_asgi`")
    }

    parameters = inspect.signature(WSGIToASGI).parameters.values()

    assert documented == {parameter.name: parameter.default for parameter in parameters if parameter.name != "app"}


def test_the_table_of_limits_names_exactly_the_limits_their_defaults_and_what_may_be_none() -> None:
    rows = table("reference/options.md", "Limits")
    documented = {code(row[0]): (ast.literal_eval(code(row[1])), row[3] == "yes") for row in rows}

    fields = dataclasses.fields(Limits)

    assert documented == {field.name: (field.default, "None" in str(field.type)) for field in fields}


def test_the_units_in_the_table_of_limits_are_those_of_the_names() -> None:
    for row in table("reference/options.md", "Limits"):
        name, unit = code(row[0]), row[2]
        assert name.endswith("_s") == (unit == "seconds"), name
        assert name.endswith("_bytes") == unit.startswith("bytes"), name


def test_the_table_of_statistics_names_exactly_their_fields() -> None:
    documented = [code(row[0]) for row in table("reference/options.md", "Statistics")]

    assert documented == [field.name for field in dataclasses.fields(Statistics)]


TLS = {
    "tls_version": 0x0304,
    "cipher_suite": 0x1301,
    "server_cert": "server",
    "client_cert_chain": ["client", "issuer"],
    "client_cert_name": "CN=client",
    "client_cert_error": None,
}
FULL_SCOPE: dict[str, Any] = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "scheme": "https",
    "path": "/",
    "headers": [(b"host", b"h"), (b"content-type", b"text/plain"), (b"content-length", b"0"), (b"x-a", b"1")],
    "client": ("192.0.2.1", 1234),
    "server": ("192.0.2.2", 443),
    "state": {},
    "extensions": {"tls": TLS, "http.response.early_hint": {}, "http.response.trailers": {}},
}
BARE_SCOPE: dict[str, Any] = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}


def keys_seen(scope: dict[str, Any]) -> set[str]:
    """Return the keys of environ that an application sees; those of request fields as one."""
    seen: set[str] = set()

    def probe(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update("HTTP_*" if key.startswith("HTTP_") else key for key in environ)
        start_response("200 OK", [])
        return [b""]

    asyncio.run(request(probe, scope))
    return seen


async def request(app: Any, scope: dict[str, Any]) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        pass

    await asyncio.wait_for(to_asgi(app, limits=Limits(worker_idle_s=0))(dict(scope), receive, send), 10)


@pytest.mark.requirement("W-011", "W-014")
def test_the_table_of_keys_that_are_always_there_says_so() -> None:
    documented = [code(row[0]) for row in table("reference/environ.md", "Always there")]

    assert sorted(documented) == sorted(keys_seen(BARE_SCOPE))


@pytest.mark.requirement("W-014")
def test_the_tables_of_keys_name_exactly_the_keys_there_can_be() -> None:
    headings = (
        "Always there",
        "Where there is something to say",
        "TLS, where the server has the ASGI `tls` extension",
    )
    documented = [code(row[0]) for heading in headings for row in table("reference/environ.md", heading)]

    assert sorted(documented) == sorted(keys_seen(FULL_SCOPE))


# ---- Claims -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-146")
@pytest.mark.parametrize(
    ("way", "is_server_loop", "thread"),
    [
        pytest.param(call_async, True, "the loop's", id="call_async"),
        pytest.param(lambda function: asyncio.run(function()), False, "the worker", id="asyncio.run"),
        pytest.param(lambda function: async_to_sync(function)(), False, "another", id="async_to_sync"),
    ],
)
def test_coroutines_called_from_a_view_run_where_the_docs_say(way: Any, is_server_loop: bool, thread: str) -> None:
    seen: list[tuple[asyncio.AbstractEventLoop, threading.Thread]] = []
    worker: list[threading.Thread] = []

    async def look() -> None:
        seen.append((asyncio.get_running_loop(), threading.current_thread()))

    def view(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        worker.append(threading.current_thread())
        way(look)
        start_response("200 OK", [])
        return [b""]

    async def serve() -> asyncio.AbstractEventLoop:
        await request(view, BARE_SCOPE)
        return asyncio.get_running_loop()

    loop = asyncio.run(serve())

    [(seen_loop, seen_thread)] = seen
    assert (seen_loop is loop) is is_server_loop
    expected = {worker[0]: "the worker", threading.current_thread(): "the loop's"}.get(seen_thread, "another")
    assert expected == thread
