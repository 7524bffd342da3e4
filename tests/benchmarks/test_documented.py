"""The pages in docs/performance are what the results beside them make."""

from __future__ import annotations

from benchmarks.report import pages, storage


def test_the_pages_are_made_of_the_results_beside_them():
    made = pages.files(storage.load(pages.DIRECTORY / pages.RESULTS))

    found = {
        path.relative_to(pages.DIRECTORY).as_posix(): path for path in pages.DIRECTORY.rglob("*") if path.is_file()
    }
    assert set(found) == set(made)
    different = [name for name, path in found.items() if path.read_text(encoding="utf-8") != made[name]]
    assert different == [], "run `python -m benchmarks.report docs/performance/results.json --write`"
