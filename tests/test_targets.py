"""Names of applications as text: what each form means, and what is no name. Nothing is imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bridge import LoadError
from bridge.targets import Target, parse_target


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project, as the current directory."""
    for name in (
        "shop.py",
        "big-shop.py",
        "C:/shop.py",
        "pack/__init__.py",
        "pack/__main__.py",
        "pack/inner/__init__.py",
        "pack/inner/views.py",
        "src/deep/__init__.py",
        "src/deep/web.py",
        "odd-pack/__init__.py",
        "odd-pack/web.py",
        "plain/web.py",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("raise AssertionError('imported')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "module", "attribute"),
    [
        pytest.param("shop:app", "shop", "app", id="module and attribute"),
        pytest.param("a.b.c:d.e", "a.b.c", "d.e", id="dots"),
        pytest.param("shop", "shop", None, id="module"),
        pytest.param("\tshop:app\n", "shop", "app", id="spaces around"),
        pytest.param("größe:app", "größe", "app", id="not ASCII"),
    ],
)
def test_a_module_needs_no_directory(text, module, attribute):
    assert parse_target(text) == Target(module, attribute, None, is_factory=False)


@pytest.mark.parametrize(
    ("text", "module", "attribute", "directory"),
    [
        pytest.param("shop.py", "shop", None, ".", id="file"),
        pytest.param("shop.py:app", "shop", "app", ".", id="file and attribute"),
        pytest.param("./shop.py:site.app", "shop", "site.app", ".", id="dots"),
        pytest.param("plain/web.py", "web", None, "plain", id="file in a folder"),
        pytest.param("plain/../shop.py", "shop", None, ".", id="way around"),
        pytest.param("pack/", "pack", None, ".", id="package"),
        pytest.param("pack/:app", "pack", "app", ".", id="package and attribute"),
        pytest.param("pack/inner", "pack.inner", None, ".", id="package in a package"),
        pytest.param("pack/__init__.py", "pack", None, ".", id="a package's file"),
        pytest.param("pack/__main__.py", "pack.__main__", None, ".", id="a package's main file"),
        pytest.param("pack/inner/views.py", "pack.inner.views", None, ".", id="file in a package"),
        pytest.param("src/deep", "deep", None, "src", id="package in a folder of sources"),
        pytest.param("src/deep/web.py:app", "deep.web", "app", "src", id="file of it"),
        pytest.param("C:/shop.py", "shop", None, "C:", id="drive letter"),
        pytest.param("C:/shop.py:app", "shop", "app", "C:", id="drive letter and attribute"),
    ],
)
def test_a_path_is_a_module_and_the_directory_to_import_it_from(top, text, module, attribute, directory):
    assert parse_target(text) == Target(module, attribute, str((top / directory).resolve()), is_factory=False)


def test_an_absolute_path_is_a_path(top):
    assert parse_target(f"{top}/shop.py:app") == Target("shop", "app", str(top), is_factory=False)


def test_a_folder_that_is_the_current_one_is_named_by_a_dot(top, monkeypatch):
    monkeypatch.chdir(top / "pack")

    assert parse_target(".") == Target("pack", None, str(top), is_factory=False)


@pytest.mark.parametrize("text", ["big-shop.py", "odd-pack/web.py"])
def test_a_file_that_no_module_name_leads_to_is_its_path(top, text):
    target = parse_target(f"{text}:app")

    assert target.module == str(top / text)
    assert target.name == f"{top / text}:app"


@pytest.mark.parametrize(
    ("text", "is_factory", "expected"),
    [
        ("shop:create_app", True, True),
        ("shop:create_app()", False, True),
        ("shop:create_app( ) ", False, True),
        ("shop:create_app()", True, True),
        ("shop:create_app", False, False),
    ],
)
def test_a_factory_is_told_by_an_option_or_by_brackets(text, is_factory, expected):
    target = parse_target(text, is_factory=is_factory)

    assert (target.name, target.is_factory) == ("shop:create_app", expected)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("", "names no module", id="nothing"),
        pytest.param("  ", "names no module", id="spaces"),
        pytest.param(":app", "names no module", id="no module"),
        pytest.param("shop:", "no name of an attribute: write module:attribute", id="no attribute"),
        pytest.param("shop:a-b", "'a-b' in 'shop:a-b' is no name of an attribute", id="no attribute name"),
        pytest.param("shop:create_app(1)", "is no name of an attribute", id="call with arguments"),
        pytest.param("big-shop:app", "names no module: write module:attribute", id="no module name"),
        pytest.param("shop..web:app", "names no module", id="two dots"),
        pytest.param("shop app", "names no module", id="two words"),
        pytest.param("http://localhost", "there is no file or folder", id="address"),
        pytest.param("no/such.py:app", "there is no file or folder", id="no file"),
        pytest.param("missing.py", "there is no file or folder", id="no file here"),
        pytest.param("plain/", "is a folder without __init__.py, so no package: name a file in it", id="folder"),
    ],
)
def test_what_is_no_name_is_refused_with_how_to_write_one(top, text, sentence):
    with pytest.raises(LoadError) as raised:
        parse_target(text)

    assert sentence in str(raised.value)


def test_nothing_is_imported(top):
    before = set(sys.modules)

    parse_target("pack/inner/views.py:app")

    assert set(sys.modules) == before


@pytest.mark.parametrize("text", ["odd-pack", "./odd-pack/"])
def test_a_package_whose_name_is_no_module_name_cannot_be_imported_and_is_refused(top, text):
    with pytest.raises(LoadError, match="odd-pack"):
        parse_target(text)
