"""Version and changelog of a release: one place, a fragment for each change, nothing that is left out silently."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from releasing import tree
from releasing.faults import ReleaseError
from releasing.tree import TOP, changelog, fragments_of, set_version, version_of

pytestmark = [pytest.mark.once, pytest.mark.timeout(120)]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what these steps read and write."""
    shutil.copy(TOP / "pyproject.toml", tmp_path)
    shutil.copy(TOP / "CHANGELOG.md", tmp_path)
    (tmp_path / "changelog.d").mkdir()
    for name in ("README.md", "section.jinja"):
        shutil.copy(TOP / "changelog.d" / name, tmp_path / "changelog.d")
    set_version_text(tmp_path, "1.4.0")
    return tmp_path


def set_version_text(top: Path, version: str) -> None:
    path = top / "pyproject.toml"
    text = path.read_text(encoding="utf-8").replace(f'version = "{version_of(top)}"', f'version = "{version}"', 1)
    path.write_text(text, encoding="utf-8")


def add(top: Path, name: str, text: str) -> None:
    (top / "changelog.d" / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("version", ["1.4.1", "1.5.0", "2.0.0rc1"])
def test_a_version_is_written_in_its_one_place(checkout: Path, version: str) -> None:
    before = (checkout / "pyproject.toml").read_text(encoding="utf-8")

    set_version(checkout, version)

    assert version_of(checkout) == version
    after = (checkout / "pyproject.toml").read_text(encoding="utf-8")
    assert after == before.replace('version = "1.4.0"', f'version = "{version}"')


@pytest.mark.parametrize(
    ("version", "why"),
    [
        pytest.param("one", "is no version", id="none"),
        pytest.param("1.5.0-rc.1", "1.5.0rc1", id="another form"),
        pytest.param("v1.5.0", "1.5.0", id="the tag"),
        pytest.param("1.5.0+local", "written for others", id="local"),
        pytest.param("1.4.0", "does not come after", id="the same"),
        pytest.param("1.4.0rc1", "does not come after", id="before"),
    ],
)
def test_what_is_no_next_version_is_refused_and_nothing_is_written(checkout: Path, version: str, why: str) -> None:
    before = (checkout / "pyproject.toml").read_bytes()

    with pytest.raises(ReleaseError, match=why):
        set_version(checkout, version)

    assert (checkout / "pyproject.toml").read_bytes() == before


def test_the_package_does_not_repeat_its_version() -> None:
    version = version_of(TOP)
    places = [*(TOP / "docs").glob("*.md"), *(TOP / "bridge").rglob("*.py"), TOP / "run"]

    assert len(places) > 2
    assert [path for path in places if version in path.read_text(encoding="utf-8")] == []


def test_the_fragments_that_there_are_have_names_that_are_read() -> None:
    assert all(path.suffix == ".md" for path in fragments_of(TOP))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        pytest.param("12.feature.md", "Added.\n", "the name is", id="a kind that is not there"),
        pytest.param("speed.change.md", "Faster.\n", "the name is", id="neither a number nor a plus"),
        pytest.param("+speed.md", "Faster.\n", "the name is", id="no kind"),
        pytest.param("+speed.change.md", "\n", "is empty", id="nothing in it"),
    ],
)
def test_a_fragment_that_would_be_left_out_is_refused(checkout: Path, name: str, text: str, why: str) -> None:
    add(checkout, name, text)

    with pytest.raises(ReleaseError, match=why):
        fragments_of(checkout)


def test_a_release_without_a_change_is_refused(checkout: Path) -> None:
    with pytest.raises(ReleaseError, match="without a change"):
        changelog(checkout, "1.5.0", is_draft=True)


def test_fragments_become_a_section_by_kind_with_an_item_for_each_line(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("towncrier", reason="comes with the extra release")
    monkeypatch.setattr(tree, "_WHEN", ("--date", "2001-02-03"), raising=True)
    add(checkout, "7.change.md", "Added `bridge.one()`.\nAdded `bridge.two()`.\n")
    add(checkout, "+words.change.md", "Changed three.\n")
    add(checkout, "8.security.md", "Closed a hole.\n")
    top = (checkout / "CHANGELOG.md").read_text(encoding="utf-8").rstrip("\n")

    changelog(checkout, "1.5.0", is_draft=False)

    assert (checkout / "CHANGELOG.md").read_text(encoding="utf-8").rstrip("\n") == (
        f"{top}\n\n## 1.5.0 (2001-02-03)\n\n"
        "### Security\n\n- Closed a hole. (#8)\n\n"
        "### Changes\n\n- Added `bridge.one()`.\n- Added `bridge.two()`. (#7)\n- Changed three."
    )
    assert fragments_of(checkout) == []


def test_a_draft_changes_nothing(checkout: Path) -> None:
    pytest.importorskip("towncrier", reason="comes with the extra release")
    add(checkout, "7.change.md", "Added `bridge.one()`.\n")
    before = (checkout / "CHANGELOG.md").read_bytes()

    assert "- Added `bridge.one()`. (#7)" in changelog(checkout, "1.5.0", is_draft=True)

    assert (checkout / "CHANGELOG.md").read_bytes() == before
    assert len(fragments_of(checkout)) == 1
