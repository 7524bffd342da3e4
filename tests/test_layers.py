"""Who may import whom. Two pillars that never meet, `bridge.translate` and `bridge._runtime`; only the rooms that host
applications see both. The imports are read from the source, those inside functions and behind ``TYPE_CHECKING`` too.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bridge
from bridge import errors

PACKAGE = Path(bridge.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "types": set(),
    "_strangers": {"errors"},
    "detect": {"_strangers", "errors", "types"},
    "targets": {"errors"},
    "_setting_text": {"errors"},
    "loading": {"targets", "detect", "errors"},
    "_options": set(),
    "observing": {"types"},
    "limits": {"errors"},
    "translate": {"errors", "types"},
    "_runtime": {"errors", "types"},
    "_wsgi_hosting": {"translate", "_runtime", "observing", "errors", "types", "limits"},
    "_asgi_hosting": {"translate", "_runtime", "observing", "errors", "types", "limits"},
    "asgi_to_wsgi": {
        *[
            "websocket.asgi_hosting",
            "translate",
            "_runtime",
            "_asgi_hosting",
            "observing",
            "detect",
            "_options",
            "errors",
            "types",
            "limits",
        ],
    },
    "websocket": {"translate", "errors", "types", "limits"},
    "websocket.wsgi_hosting": {
        *["websocket", "translate", "_runtime", "_wsgi_hosting", "observing", "errors", "types", "limits"],
    },
    "websocket.asgi_hosting": {
        *["websocket", "translate", "_runtime", "_asgi_hosting", "observing", "errors", "types", "limits"],
    },
    "lifespan": {"translate", "_runtime", "errors", "types", "limits"},
    "wsgi_to_asgi": {
        *[
            "translate",
            "_runtime",
            "_wsgi_hosting",
            "websocket.wsgi_hosting",
            "lifespan",
            "observing",
            "detect",
            "_options",
            "errors",
            "types",
        ],
        "limits",
    },
    "dual": {"wsgi_to_asgi", "asgi_to_wsgi", "detect", "types", "limits"},
    "_settings": {
        *["wsgi_to_asgi", "asgi_to_wsgi", "dual", "detect", "loading", "telemetry", "_setting_text"],
        *["errors", "types", "limits"],
    },
    "asgi": {"_settings"},
    "wsgi": {"_settings"},
    "telemetry": {"wsgi_to_asgi", "asgi_to_wsgi", "observing", "errors"},
    "serve": {"_settings", "detect", "loading", "errors"},
    "doctor": {"_settings", "serve", "detect", "loading", "errors", "types"},
    "cli": {"_settings", "_setting_text", "serve", "doctor", "detect", "errors"},
    "__main__": {"cli"},
    "bridge": {
        *[
            "_runtime",
            "_wsgi_hosting",
            "errors",
            "types",
            "limits",
            "wsgi_to_asgi",
            "asgi_to_wsgi",
            "detect",
            "dual",
            "observing",
        ],
    },
}
"""What each area may import besides itself. ``bridge`` is the package's own ``__init__``."""

PURE_STANDARD_LIBRARY = {
    *["__future__", "base64", "binascii", "collections", "dataclasses", "enum", "functools", "ipaddress", "itertools"],
    *["hashlib", "http", "operator", "re", "string", "types", "typing", "urllib"],
}
"""What `bridge.translate` may use: nothing in it knows of threads, loops, sockets, files, the clock or logging."""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def area_of(module: str) -> str:
    """Return the part of the house a module of ours is in; the two directions of WebSockets are two parts."""
    parts = module.split(".")
    if parts[1:2] == ["websocket"] and len(parts) > 2 and parts[2] in ("wsgi_hosting", "asgi_hosting"):
        return f"websocket.{parts[2]}"
    return parts[1] if len(parts) > 1 else "bridge"


def imports_of(path: Path) -> Iterator[str]:
    """Yield the full name of everything a file imports; ``from a import b`` as ``a.b``."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{source}.{alias.name}" for alias in node.names)


def in_package(area: str) -> list[Path]:
    return [path for path in MODULES if area_of(module_name(path)) == area]


def short_name(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


# ---- Arrows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MODULES, ids=short_name)
def test_a_module_imports_only_along_the_arrows(path):
    area = area_of(module_name(path))
    assert area in ARROWS, f"draw the arrows of bridge.{area} in {Path(__file__).name}"

    imported = {area_of(name) for name in imports_of(path) if name.split(".")[0] == "bridge"}

    assert imported <= ARROWS[area] | {area}


def test_the_arrows_name_only_what_is_there():
    areas = {area_of(module_name(path)) for path in MODULES}

    assert ARROWS.keys() - areas == set()


def test_the_arrows_have_no_circle():
    def reaches(area: str, seen: frozenset[str] = frozenset()) -> set[str]:
        assert area not in seen, f"{area} imports itself by way of {sorted(seen)}"
        return {area}.union(*(reaches(below, seen | {area}) for below in ARROWS[area]))

    assert reaches("bridge") <= ARROWS.keys()
    adapters = {"_wsgi_hosting", "_asgi_hosting", "wsgi_to_asgi", "asgi_to_wsgi", "lifespan"}
    assert not {"_runtime", *adapters} & reaches("translate")
    assert not {"translate", *adapters} & reaches("_runtime")
    assert "_wsgi_hosting" not in reaches("asgi_to_wsgi")
    assert "_asgi_hosting" not in reaches("wsgi_to_asgi")


# ---- The pure pillar --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", in_package("translate"), ids=short_name)
def test_translation_uses_only_pure_parts_of_the_standard_library(path):
    imported = {name.split(".")[0] for name in imports_of(path)}

    assert imported <= PURE_STANDARD_LIBRARY | {"bridge"}
    assert not [
        name
        for name in imports_of(path)
        if name.startswith(("urllib.", "http.")) and not name.startswith(("urllib.parse.", "http.HTTPStatus"))
    ]


@pytest.mark.parametrize("path", in_package("translate"), ids=short_name)
def test_translation_neither_waits_nor_reads_nor_prints(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))

    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    waits = [node for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.Global)]

    assert not called & {"open", "print", "input", "exec", "eval", "__import__", "globals"}
    assert not waits


# ---- The pillar without HTTP ------------------------------------------------------------------------------------

_WEB_WORD = re.compile(
    r"http|wsgi|asgi|websocket|lifespan|environ|scope|header|cookie|start_response|more_body|content.length|status.code",
    re.IGNORECASE,
)
_NOT_OURS = {"CancelScope", "cancel_scope"}
"""Names of other libraries that look like words of the web."""


@pytest.mark.parametrize("path", in_package("_runtime"), ids=short_name)
def test_the_runtime_spells_no_word_of_the_web(path):
    """Docstrings and comments may explain; names and values must not know."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}

    words: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str() | bytes() as value) if id(node) not in docstrings:
                words.add(str(value))
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name) | ast.keyword(arg=str() as name):
                words.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                words.add(name)
            case ast.alias(name=name):
                words.add(name)

    assert [word for word in words - _NOT_OURS if _WEB_WORD.search(word)] == []


# ---- import bridge ----------------------------------------------------------------------------------------------


def run_fresh(program: str) -> object:
    """Run a program in a new interpreter that finds this `bridge`; return what it printed as JSON."""
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_bridge_loads_nothing_optional_and_starts_nothing():
    loaded, threads = run_fresh(
        "import json, sys; before = set(sys.modules)\n"
        "import bridge\n"
        "import threading\n"
        "print(json.dumps([sorted(set(sys.modules) - before), threading.active_count()]))"
    )

    third_party = {name.split(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert "bridge.wsgi_to_asgi" in loaded
    assert third_party <= {"bridge", "anyio", "asgiref", "idna", "sniffio", "typing_extensions"}
    assert not [name for name in loaded if re.match(r"bridge\.(serve|websocket|migrate)\b", name)]
    assert threads == 1


@pytest.mark.parametrize("path", MODULES, ids=short_name)
def test_each_module_says_what_it_is_for(path):
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring
    assert docstring.partition("\n\n")[0].endswith((".", ":"))


# ---- Public names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bridge", "bridge.translate"])
def test_all_names_everything_the_package_imports_for_its_users(name):
    module = importlib.import_module(name)
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))

    imported = {
        alias.asname or alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }

    assert sorted(module.__all__, key=str.lower) == sorted(set(module.__all__), key=str.lower)
    assert set(module.__all__) == imported
    assert [public for public in module.__all__ if not hasattr(module, public)] == []


def test_every_public_name_is_documented_and_comes_with_a_star_import():
    namespace: dict[str, object] = {}

    exec("from bridge import *", namespace)

    assert set(bridge.__all__) <= namespace.keys()
    assert [name for name in bridge.__all__ if not getattr(bridge, name).__doc__] == []


def test_every_exception_is_public():
    raised = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}

    assert raised - set(bridge.__all__) == set()
