"""For all tests: nothing is left behind, nothing fails unseen.

Warnings are errors (pyproject.toml), and that includes pytest's own warnings about exceptions in threads and in
finalizers: an unraisable exception, and one that ends a thread, fail the test. `tests/test_leaks.py` proves it.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import anyio
import hypothesis  # before gc.freeze(): it looks for referrers when it is imported
import pytest

from tests.backends import BACKENDS, Backend
from tests.leaks import leaks_since, take_snapshot

# The same examples in every run: a failure is never a matter of luck. ``--hypothesis-profile=default`` searches anew.
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("steady")


def pytest_configure() -> None:
    """See that SIGINT works: a shell starts what runs in the background with it ignored, and servers inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the attacks on servers for the end: they want the machine for themselves."""
    items.sort(key=lambda item: item.get_closest_marker("faults") is not None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take everything that was imported out of the garbage collector's sight: each test collects anew."""
    for backend in BACKENDS:  # uvloop opens descriptors once per process, at its first run
        if backend.is_installed:
            backend.run(anyio.sleep, 0)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_leaks() -> Iterator[None]:
    """Fail a test that leaves threads, busy workers, asyncio tasks or file descriptors behind."""
    before = take_snapshot()
    yield
    leaks = leaks_since(before)
    gc.freeze()  # what is left now is kept by somebody: the next test need not look through it again
    if leaks:
        pytest.fail("\n".join(leaks), pytrace=False)


@pytest.fixture(params=BACKENDS, ids=lambda backend: backend.name)
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each event loop in turn; `Backend.run` runs a coroutine function on it."""
    chosen: Backend = request.param
    if not chosen.is_installed:
        pytest.skip(f"{chosen.name} is not installed")
    return chosen


def pytest_sessionfinish() -> None:
    """Undo `pytest_collection_finish`."""
    gc.unfreeze()
