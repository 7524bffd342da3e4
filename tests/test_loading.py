"""Loading an application by its name: what is found, and the one sentence for everything that can go wrong."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge import LoadError
from bridge.loading import load

APP = "def app(environ, start_response): ...\n"
FACTORY = "def create_app():\n    def made(environ, start_response): ...\n    return made\n"
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write files into a directory that is the current one and on the import path; all of it is undone."""
    known = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def write_files(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name.replace("__INIT__", "__init__").replace("/", os.sep)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    yield write_files
    for name in set(sys.modules) - known:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]
    sys.path_importer_cache.pop(str(tmp_path), None)


def refusal(text: str, **options: bool) -> str:
    """Return what is said when a name cannot be loaded."""
    with pytest.raises(LoadError) as raised:
        load(text, **options)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


# ---- What is found --------------------------------------------------------------------------------------------------

PROJECT = {
    "shop.py": APP + FACTORY + "class site:\n    wsgi = staticmethod(app)\n",
    "big-shop.py": APP,
    "pack/__init__.py": "",
    "pack/wsgi.py": "from pack.inner.views import app as application\n",
    "pack/inner/__init__.py": APP,
    "pack/inner/views.py": "from . import app\n",
    "src/deep/__init__.py": "",
    "src/deep/web.py": "from deep.models import app\n",
    "src/deep/models.py": APP,
    "run/__init__.py": "",
    "run/__main__.py": APP,
}


@pytest.mark.parametrize(
    ("text", "module", "attribute"),
    [
        pytest.param("shop:app", "shop", "app", id="module and attribute"),
        pytest.param(" shop:app ", "shop", "app", id="spaces around"),
        pytest.param("shop", "shop", "app", id="module"),
        pytest.param("shop:site.wsgi", "shop", "site.wsgi", id="dotted attribute"),
        pytest.param("shop.py", "shop", "app", id="file"),
        pytest.param("./shop.py:app", "shop", "app", id="file and attribute"),
        pytest.param("big-shop.py", "big_shop", "app", id="file whose name is no module name"),
        pytest.param("big-shop.py:app", "big_shop", "app", id="the same and attribute"),
        pytest.param("pack", "pack.wsgi", "application", id="package"),
        pytest.param("./pack", "pack.wsgi", "application", id="folder of a package"),
        pytest.param("pack/__init__.py", "pack.wsgi", "application", id="file of a package"),
        pytest.param("pack.inner:app", "pack.inner", "app", id="nested package"),
        pytest.param("pack/inner/views.py", "pack.inner.views", "app", id="file in a nested package"),
        pytest.param("pack:inner.views.app", "pack", "inner.views.app", id="submodules as attributes"),
        pytest.param("src/deep/web.py:app", "deep.web", "app", id="file in a folder of sources"),
        pytest.param("run/__main__.py", "run.__main__", "app", id="main file of a package"),
    ],
)
def test_an_application_is_found_by(write, text, module, attribute):
    write(**PROJECT)

    loaded = load(text)

    assert loaded.app.__name__ == "app"
    assert loaded.module.__name__ == module
    assert loaded.target.attribute == attribute


@pytest.mark.parametrize(("text", "options"), [("shop:create_app", {"is_factory": True}), ("shop:create_app()", {})])
def test_a_factory_is_called(write, text, options):
    write(**PROJECT)

    loaded = load(text, **options)

    assert loaded.app.__name__ == "made"
    assert loaded.target.is_factory


def test_the_only_application_of_a_module_needs_no_usual_name(write):
    write(**{"shop.py": "import flask\nsite = flask.Flask('shop')\nsame = site\nfrom flask import request\n"})

    assert load("shop").target.name in ("shop:site", "shop:same")


def test_a_usual_name_that_is_no_application_is_passed_over(write):
    write(**{"shop.py": f"app = 'a string'\n{APP.replace('app', 'application')}"})

    assert load("shop").target.name == "shop:application"


def test_a_file_is_loaded_once(write):
    write(**{"big-shop.py": APP})

    assert load("big-shop.py").app is load("big-shop.py:app").app


def test_the_folder_of_a_file_is_put_on_the_import_path(write):
    top = write(**{"elsewhere/shop.py": "from helper import app\n", "elsewhere/helper.py": APP})

    load("elsewhere/shop.py")

    assert sys.path[0] == str(top / "elsewhere")
    sys.path_importer_cache.pop(sys.path[0], None)


# ---- What is refused ------------------------------------------------------------------------------------------------


def test_a_module_that_is_not_there(write):
    write(**{"pack/__init__.py": "", "shop.py": APP})

    assert "there is no module 'shopp' to import" in refusal("shopp:app")
    assert "--app-dir" in refusal("shopp:app")
    assert "there is no module 'pack.web'" in refusal("pack.web:app")
    assert refusal("shop.app") == "shop is a module, not a package: an attribute comes after a colon, shop:app"


def test_a_module_that_imports_what_is_not_there(write):
    write(**{"shop.py": "import math\nimport no_such_thing\n"})

    sentence = refusal("shop:app")

    assert sentence.startswith("shop was found, but it imports 'no_such_thing', which is not installed")
    assert re.search(r"shop\.py, line 2\)$", sentence)


def test_a_file_that_python_cannot_read(write):
    write(**{"shop.py": "import math\ndef app(:\n", "other.py": "import shop\n"})

    for text in ("shop:app", "shop.py", "other"):
        assert re.search(r"shop\.py, line 2 cannot be read by Python: \w+", refusal(text))


@pytest.mark.parametrize("name", ["shop", "big-shop.py"])
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("\n1 / 0\n", "failed with ZeroDivisionError: division by zero ({}, line 2)", id="exception"),
        pytest.param(
            "def f():\n    1 / 0\nf()\n", "failed with ZeroDivisionError: division by zero ({}, line 2)", id="f"
        ),
        pytest.param("raise KeyError\n", "failed with KeyError ({}, line 1)", id="exception without a text"),
        pytest.param("import sys\nsys.exit(3)\n", "failed with SystemExit: 3 ({}, line 2)", id="exit"),
        pytest.param("from math import no\n", "ImportError: cannot import name 'no' from 'math'", id="name"),
    ],
)
def test_a_module_that_fails(write, name, text, sentence):
    file = name if name.endswith(".py") else f"{name}.py"
    top = write(**{file: text})

    assert sentence.format(top / file) in refusal(f"{name}:app")
    assert file[:-3].replace("-", "_") not in sys.modules


def test_an_interrupt_is_no_failure_of_the_application(write):
    write(**{"shop.py": "raise KeyboardInterrupt\n", "maker.py": "def create_app():\n    raise KeyboardInterrupt\n"})

    with pytest.raises(KeyboardInterrupt):
        load("shop:app")
    with pytest.raises(KeyboardInterrupt):
        load("maker:create_app()")


def test_an_attribute_that_is_not_there(write):
    slots = "class Slots:\n    __slots__ = ()\nslots = Slots()\n"
    write(**{"shop.py": APP.replace("app", "site") + slots, "pack/__init__.py": "", "empty.py": ""})

    assert refusal("shop:sitee") == "shop has no attribute 'sitee'; did you mean 'site'?"
    assert refusal("shop:wholly_different") == "shop has no attribute 'wholly_different'; did you mean 'site'?"
    assert refusal("empty:app") == "empty has no attribute 'app'; is the name right?"
    assert refusal("pack:app") == "pack has no attribute 'app'; is the name right?"
    assert refusal("shop:site.nothing").startswith("shop:site has no attribute 'nothing'")
    assert refusal("shop:slots.nothing").startswith("shop:slots has no attribute 'nothing'")


def test_nothing_that_could_be_an_application(write):
    write(
        **{
            "shop.py": "",
            "two.py": "import flask\none, other = flask.Flask('one'), flask.Flask('other')\n",
            "maker.py": FACTORY,
            "pack/__init__.py": FACTORY,
            "pack/app.py": "",
        }
    )

    assert refusal("shop") == "no application was found in shop: name it, as in shop:app"
    assert refusal("two") == "two has several applications: name one, as in two:one"
    for name in ("maker", "pack"):
        assert f"but create_app(): write {name}:create_app and --factory" in refusal(name)


def test_a_factory_that_makes_nothing(write):
    top = write(
        **{
            "shop.py": "async def later(): ...\n"
            "def broken():\n    raise RuntimeError('no database')\n"
            "def silent():\n    raise SystemExit\n"
            "def needs(config): ...\n"
            "constant = 3\n"
        }
    )

    assert refusal("shop:broken()") == (
        f"the factory shop:broken() failed with RuntimeError: no database ({top / 'shop.py'}, line 3)"
    )
    assert "the factory shop:silent() failed with SystemExit" in refusal("shop:silent()")
    assert "missing 1 required positional argument: 'config'" in refusal("shop:needs()")
    assert "the factory shop:later is asynchronous" in refusal("shop:later()")
    assert (
        refusal("shop:constant", is_factory=True) == "shop:constant is int, which cannot be called: leave --factory out"
    )


def test_the_cause_of_a_refusal_is_what_went_wrong(write):
    write(**{"shop.py": "1 / 0\n"})

    with pytest.raises(LoadError) as raised:
        load("shop:app")

    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert isinstance(raised.value, ImportError), "what catches import errors catches it"
