"""One server process per kind for the whole run: pytest groups the tests by it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.servers import SERVERS, Server, ServerKind, running
from tests.integration.wsgi_servers import WSGI_SERVERS, Hosted, WSGIServerKind, hosting


@pytest.fixture(scope="session", params=SERVERS, ids=str)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of each kind, with `tests.integration.apps`."""
    kind: ServerKind = request.param
    with running(kind, "tests.integration.apps:app", tmp_path_factory.mktemp(kind.name)) as started:
        yield started


@pytest.fixture(scope="session", params=WSGI_SERVERS, ids=str)
def hosted(request: pytest.FixtureRequest) -> Iterator[Hosted]:
    """A running WSGI server of each kind, with `tests.integration.asgi_apps`."""
    kind: WSGIServerKind = request.param
    with hosting(kind) as started:
        yield started
