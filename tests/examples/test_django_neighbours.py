"""The recipe for Django with async neighbours works as it is written, and its tables say what happens."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import TOP
from tests.examples.following import follow
from tests.examples.running import environment

pytestmark = [pytest.mark.once, pytest.mark.live, pytest.mark.timeout(120)]

PROBE_S = 60
PROBE = Path(__file__).with_name("django_probe.py")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the site of the recipe does, in a process of its own: Django is configured once in a process."""
    directory = tmp_path_factory.mktemp("site")
    shutil.copy(TOP / "examples" / "django_with_neighbours.py", directory)
    done = subprocess.run(
        [sys.executable, str(PROBE)],
        cwd=directory,
        env=environment(directory),
        capture_output=True,
        text=True,
        timeout=PROBE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_page_on_django_can_be_followed_to_its_end(tmp_path: Path) -> None:
    done = follow("recipes/django-with-async-neighbours.md", tmp_path)

    assert [path.name for path in tmp_path.glob("*.py")] == ["django_with_neighbours.py"]
    assert (done.served, done.compared) == (1, 4)


def test_django_closes_the_connections_of_its_views_and_the_recipe_those_of_plain_functions(
    answers: dict[str, Any],
) -> None:
    assert answers["a view"] == [["bridge-worker", False]] * 2
    assert [is_open for _, is_open in answers["a plain function"]] == [False]
    assert not answers["a plain function"][0][0].startswith("bridge-worker")


def test_a_coroutine_is_outside_of_the_views_transaction_and_nobody_closes_its_connection(
    answers: dict[str, Any],
) -> None:
    assert answers["within a transaction"] == {
        "in the view": 1,
        "by call_async": 0,
        "on the loop": "SynchronousOnlyOperation",
        "afterwards": 0,
    }
    assert answers["call_async"] == [["bridge-worker", False], ["ThreadPoolExecutor", True]]


def test_who_is_logged_in_to_django_is_known_to_fastapi_and_forgotten_with_the_password(
    answers: dict[str, Any],
) -> None:
    assert answers["users"] == {"nobody": "", "her session": "ann", "another key": "", "after a new password": ""}


def test_static_files_are_served_past_django(answers: dict[str, Any]) -> None:
    assert answers["static"].startswith("text/css")


def test_a_connection_that_is_kept_is_used_again_and_not_closed_with_its_worker(answers: dict[str, Any]) -> None:
    assert 1 <= len(answers["kept"]) <= 2, "three requests to two workers need no third connection"
    assert set(answers["kept"]) == set(answers["kept after its worker"]) == {True}


def test_one_project_answers_under_both_handlers(answers: dict[str, Any]) -> None:
    assert answers["both"] == [{"groups": 0}] * 2


def test_djangos_own_handler_has_a_thread_for_each_request(answers: dict[str, Any]) -> None:
    assert answers["threads of Django's own handler"] == 50
