"""One server process per kind for the WebSocket tests of all modules: a plugin of pytest that they name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.servers import Server, running
from tests.integration.websocket_wsgi_driving import APP, PECULIAR, UVICORN, Peculiar


@pytest.fixture(scope="session", params=PECULIAR, ids=str)
def peculiar(request: pytest.FixtureRequest) -> Peculiar:
    """Each server in turn, as the table describes it."""
    row: Peculiar = request.param
    return row


@pytest.fixture(scope="session")
def socket_server(peculiar: Peculiar, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of each kind."""
    with running(peculiar.kind, APP, tmp_path_factory.mktemp(peculiar.kind.name)) as started:
        yield started


@pytest.fixture(scope="session")
def uvicorn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running uvicorn, for what does not depend on the server."""
    with running(UVICORN.kind, APP, tmp_path_factory.mktemp("uvicorn")) as started:
        yield started
