"""The steps of a release.

python3 run release check              build, look inside, test the wheel in brief; the checkout stays as it is
python3 run release preview            show what the fragments in changelog.d will be in CHANGELOG.md
python3 run release prepare 1.2.0      write the version and the changelog; what to commit is up to you
python3 run release build              from a clean checkout: dist/, and the whole suite against the wheel
python3 run release upload pypi        send what is in dist/ to a package index; nothing else ever does
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from releasing import archives, installed, tree
from releasing.faults import ReleaseError
from releasing.tree import TOP

REPOSITORIES = ("testpypi", "pypi")


def say(text: str) -> None:
    """Say what is done now."""
    print(f"== {text}", flush=True)


def require_none(faults: list[str]) -> None:
    """Raise `ReleaseError` if there are any."""
    if faults:
        raise ReleaseError("\n".join(faults))


def inspected(directory: Path) -> archives.Archives:
    """Build both archives and look inside."""
    say("wheel and sdist")
    built = archives.build(TOP, directory)
    files = tree.files_of(TOP)
    require_none(archives.faults_of_wheel(built.wheel, tree.version_of(TOP), files))
    require_none(archives.faults_of_sdist(built.sdist, files))
    say(f"{built.wheel.name} and {built.sdist.name} have in them what they should")
    return built


def check() -> None:
    """Go through what can go wrong, with a short part of the suite."""
    tree.changelog(TOP, tree.version_of(TOP), is_draft=True)
    with tempfile.TemporaryDirectory(prefix="release-") as directory:
        built = inspected(Path(directory) / "dist")
        say("a part of the suite, against the wheel")
        installed.run_suite(built, Path(directory), is_quick=True)


def preview() -> None:
    """Show the next section of the changelog."""
    print(tree.changelog(TOP, "next", is_draft=True))


def prepare(version: str) -> None:
    """Write version and changelog."""
    tree.require_clean(TOP)
    tree.fragments_of(TOP)
    tree.set_version(TOP, version)
    tree.changelog(TOP, version, is_draft=False)
    say(f"look at the changes, then: git commit -a -m 'Release {version}' && git tag -s v{version}")


def build() -> None:
    """Build what will be uploaded, and run the whole suite against it."""
    tree.require_clean(TOP)
    version = tree.version_of(TOP)
    if f"v{version}" not in tree.git(TOP, "tag", "--points-at", "HEAD").split():
        raise ReleaseError(f"this is not the commit with the tag v{version}")
    directory = TOP / "dist"
    if directory.exists() and any(directory.iterdir()):
        raise ReleaseError("dist/ is not empty: move away what is in it")
    built = inspected(directory)
    with tempfile.TemporaryDirectory(prefix="release-") as temporary:
        say("the suite, against the wheel")
        installed.run_suite(built, Path(temporary), is_quick=False)
    say("dist/ can be uploaded")


def upload(repository: str) -> None:
    """Send dist/ to a package index."""
    version = tree.version_of(TOP)
    found = sorted((TOP / "dist").glob(f"*-{version}*"))
    if {path.suffix for path in found} != {".whl", ".gz"}:
        raise ReleaseError(f"dist/ has no wheel and sdist of {version}: python3 run release build")
    for words in (["check", "--strict"], ["upload", "--repository", repository]):
        if subprocess.run([sys.executable, "-m", "twine", *words, *map(str, found)], check=False).returncode:
            raise ReleaseError(f"twine {words[0]} failed")


def main(arguments: list[str] | None = None) -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(
        prog="python3 run release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for step in (check, preview, build):
        steps.add_parser(step.__name__).set_defaults(run=step)
    preparing = steps.add_parser(prepare.__name__)
    preparing.add_argument("version")
    preparing.set_defaults(run=prepare)
    uploading = steps.add_parser(upload.__name__)
    uploading.add_argument("repository", choices=REPOSITORIES)
    uploading.set_defaults(run=upload)
    chosen = vars(parser.parse_args(arguments))
    del chosen["step"]
    try:
        chosen.pop("run")(**chosen)
    except ReleaseError as error:
        sys.exit(f"stopped: {error}")


if __name__ == "__main__":
    main()
