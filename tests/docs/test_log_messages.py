"""``docs/reference/errors.md``: exactly the messages that are logged, with their loggers and levels."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from tests.docs.pages import code, section, table
from tests.docs.sources import PACKAGE, sentence_of, trees

PAGE = "reference/errors.md"

LEVELS = {name: name.upper() for name in ("debug", "info", "warning", "error", "critical")} | {"exception": "ERROR"}
LOGGERS = ("bridge.wsgi_to_asgi", "bridge.asgi_to_wsgi", "bridge.portal")
LOGGER_OF_ROOM = {
    "_wsgi_hosting": "bridge.wsgi_to_asgi",
    "wsgi_hosting": "bridge.wsgi_to_asgi",
    "_asgi_hosting": "bridge.asgi_to_wsgi",
    "asgi_hosting": "bridge.asgi_to_wsgi",
}


def as_written(template: str) -> str:
    """Return a message as the page has it: what differs is ``…``, and a stack is left out."""
    return re.sub(r"(%[-.\d]*[a-z])+", "…", template.removesuffix("\n%s"))


def message_of(call: ast.Call, tree: ast.Module) -> str:
    """Return what a call of a logger writes; a sentence that was made before is found by its name."""
    template = sentence_of(call.args[0])
    assert template is not None, ast.unparse(call)
    if template == "%s" and isinstance(call.args[1], ast.Name):
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == call.args[1].id:
                return sentence_of(node.value) or "…"
    return as_written(template)


def logged() -> set[tuple[str, str, str]]:
    """Return logger, message and level of all that the package logs in its own loggers."""
    found: set[tuple[str, str, str]] = set()
    for path, tree in trees():
        own = re.search(r'^logger = logging\.getLogger\("([\w.]+)"\)', path.read_text(encoding="utf-8"), re.MULTILINE)
        room = path.parent.name if path.parent != PACKAGE else f"_{path.stem.partition('_to_')[0]}_hosting"
        name = own[1] if own else LOGGER_OF_ROOM.get(room)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
                if ast.unparse(node.func.value) != "logger":
                    continue
                assert name, path
                message = message_of(node, tree)
                found.add((name if name in LOGGERS else "Others", message, LEVELS[node.func.attr]))
    return found


def test_the_tables_of_messages_have_exactly_those_that_are_logged_with_their_levels() -> None:
    documented = {
        (name, code(cells[0]), code(cells[1]))
        for name in (*LOGGERS, "Others")
        for line in section(PAGE, name).splitlines()
        if line.startswith("| `")
        for cells in [[cell.strip() for cell in line.strip("| ").split(" | ")]]
    }

    assert documented == logged()


def test_the_table_of_loggers_has_exactly_those_there_are() -> None:
    made = {
        node.args[0].value
        for _, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "logging.getLogger"
        if isinstance(node.args[0], ast.Constant)
    }

    assert {code(row[0]) for row in table(PAGE, "In the log")} == made


@cache
def sentences() -> str:
    """Return all texts of the package, line by line, with ``…`` for what is put into them."""
    nodes = (node for _, tree in trees() for node in ast.walk(tree) if isinstance(node, ast.expr))
    return "\n".join(text for node in nodes if (text := sentence_of(node)))


@pytest.mark.parametrize("message", [code(row[0]) for row in table(PAGE, "Messages of application errors")])
def test_a_message_that_the_page_explains_is_one_of_the_bridge(message: str) -> None:
    assert message in sentences()
