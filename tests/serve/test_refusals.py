"""Each contradiction in what was asked for is refused, in one sentence that says what to do."""

from __future__ import annotations

import pytest

from bridge.errors import BridgeError, ConfigurationError, DetectionError, LoadError
from tests.serve.projects import ASGI, WSGI, Project, plan_for

pytestmark = pytest.mark.usefixtures("installed")

ALL = "uvicorn, granian, hypercorn, gunicorn, daphne, waitress, cheroot, uwsgi"

REFUSALS = [
    pytest.param({"server": "apache"}, f"there is no server 'apache' here; there are {ALL}", id="unknown-server"),
    pytest.param(
        {"directory": "nowhere"}, "there is no folder {folder}/nowhere (--app-dir)", id="application-folder-missing"
    ),
    pytest.param(
        {"server": "uvicorn", "interface": "wsgi"},
        "uvicorn does not speak WSGI: leave --interface out, or choose one of granian, gunicorn, waitress, cheroot, "
        "uwsgi with --server",
        id="interface-of-others-wsgi",
    ),
    pytest.param(
        {"server": "waitress", "interface": "asgi"},
        "waitress does not speak ASGI: leave --interface out, or choose one of uvicorn, granian, hypercorn, gunicorn, "
        "daphne with --server",
        id="interface-of-others-asgi",
    ),
    pytest.param({"workers": 0}, "--workers must be at least 1, not 0", id="no-workers"),
    pytest.param({"threads": -1}, "--threads must be at least 1, not -1", id="less-than-no-threads"),
    pytest.param(
        {"reload": True, "workers": 2}, "--reload is for one process: leave --workers out", id="reload-and-workers"
    ),
    pytest.param(
        {"server": "waitress", "workers": 2},
        "waitress has no --workers here: leave it out, or choose one of uvicorn, granian, hypercorn, gunicorn, uwsgi "
        "with --server",
        id="workers-on-waitress",
    ),
    pytest.param(
        {"server": "daphne", "reload": True},
        "daphne has no --reload here: leave it out, or choose one of uvicorn, granian, hypercorn, gunicorn, uwsgi "
        "with --server",
        id="reload-on-daphne",
    ),
    pytest.param(
        {"server": "cheroot", "log_level": "debug"},
        "cheroot has no --log-level here: leave it out, or choose one of uvicorn, granian, hypercorn, gunicorn with "
        "--server",
        id="log-level-on-cheroot",
    ),
    pytest.param(
        {"server": "uwsgi", "root_path": "/api"},
        "uwsgi has no --root-path here: leave it out, or choose one of uvicorn, granian, hypercorn, gunicorn, daphne, "
        "waitress with --server",
        id="root-path-on-uwsgi",
    ),
    pytest.param({"port": -1}, "a port is a number from 0 to 65535, not -1", id="port-negative"),
    pytest.param({"port": 65536}, "a port is a number from 0 to 65535, not 65536", id="port-too-large"),
    pytest.param(
        {"server": "gunicorn", "root_path": "/api"},
        "gunicorn has no --root-path here: leave it out, or choose one of uvicorn, granian, hypercorn, daphne, "
        "waitress with --server",
        id="root-path-on-gunicorns-other-side",
    ),
    pytest.param(
        {"threads": 4, "limits": {"workers": "8"}},
        "--threads and --limit workers=... say the same: leave one of them out",
        id="threads-twice",
    ),
    pytest.param(
        {"protocol": "asgi"},
        "shop:app speaks wsgi, because it takes two arguments (environ, start_response); it cannot be hosted as asgi: "
        "leave the protocol out",
        id="wrong-protocol",
    ),
    pytest.param(
        {"options": {"large_body": "swallow"}},
        "large_body must be one of 'auto', 'spool', 'stream', not 'swallow'",
        id="wrong-value-of-an-option",
    ),
]


@pytest.mark.parametrize(("asked", "sentence"), REFUSALS)
def test_a_contradiction_is_refused_with_what_to_do(project: Project, asked: dict[str, object], sentence: str) -> None:
    project.write("shop.py")

    with pytest.raises(ConfigurationError) as caught:
        plan_for(**asked)

    assert str(caught.value) == sentence.format(folder=project.folder)


def test_threads_for_an_asgi_application_on_an_asgi_server_mean_nothing(project: Project) -> None:
    project.write("shop.py", ASGI)

    with pytest.raises(ConfigurationError) as caught:
        plan_for(server="uvicorn", threads=4)

    assert str(caught.value) == "--threads has no meaning for an ASGI application on uvicorn: leave it out"


@pytest.mark.parametrize(
    ("asked", "missing", "sentence"),
    [
        pytest.param(
            {"server": "hypercorn"}, ["hypercorn"], "hypercorn is not installed: pip install 'hypercorn'", id="module"
        ),
        pytest.param(
            {"server": "uvicorn"}, ["uvicorn"], "uvicorn is not installed: pip install 'uvicorn[standard]'", id="extra"
        ),
        pytest.param({"server": "uwsgi"}, ["uwsgi"], "uwsgi is not installed: pip install 'pyuwsgi'", id="program"),
        pytest.param(
            {"server": "granian", "reload": True},
            ["watchfiles"],
            "--reload on granian needs watchfiles: pip install 'granian[reload]'",
            id="reloader",
        ),
        pytest.param(
            {},
            ["uvicorn", "granian", "hypercorn", "gunicorn", "daphne", "waitress", "cheroot", "uwsgi"],
            "no server is installed: pip install 'uvicorn[standard]'",
            id="all-of-them",
        ),
    ],
)
def test_what_is_not_installed_is_named_with_the_command_that_installs_it(
    project: Project, installed: set[str], asked: dict[str, object], missing: list[str], sentence: str
) -> None:
    project.write("shop.py")
    installed.difference_update(missing)

    with pytest.raises(ConfigurationError) as caught:
        plan_for(**asked)

    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"workers": 1}, id="one-worker-is-what-they-all-have"),
        pytest.param({"server": "waitress", "workers": 1}, id="one-worker-on-waitress"),
        pytest.param({"reload": True, "workers": 1}, id="reload-and-one-worker"),
        pytest.param(
            {"server": "gunicorn", "interface": "asgi", "root_path": "/api"}, id="root-path-on-gunicorns-asgi"
        ),
    ],
)
def test_what_is_no_contradiction_is_not_refused(project: Project, asked: dict[str, object]) -> None:
    project.write("shop.py")

    assert plan_for(**asked).loaded.target.name == "shop:app"


@pytest.mark.parametrize(
    ("app", "error"),
    [
        pytest.param("shopp:app", LoadError, id="no-such-module"),
        pytest.param("shop:aap", LoadError, id="no-such-attribute"),
        pytest.param("shop:number", DetectionError, id="not-callable"),
        pytest.param("shop:either", DetectionError, id="ambiguous"),
    ],
)
def test_an_application_that_cannot_be_had_is_an_error_of_ours(
    project: Project, app: str, error: type[BridgeError]
) -> None:
    project.write("shop.py", f"{WSGI}\nnumber = 1\n\ndef either(*args): ...\n")

    with pytest.raises(error):
        plan_for(app)
