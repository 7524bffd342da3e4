"""What a request becomes inside of the whole adapters, in memory: an environ, a scope, or a status of the bridge."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bridge import ASGIToWSGI, WSGIToASGI
from tests.driving import drive
from tests.fakes import LEFT_OUT, make_scope
from tests.gateway import Gateway, environ_for, hosted

OF_THE_ADAPTER = frozenset(
    {"wsgi.input", "wsgi.errors", "wsgi.file_wrapper", "bridge.scope", "bridge.client_disconnected"}
)
"""What an adapter adds to an environ that `environ_from_scope` has made."""


class Recorder:
    """A WSGI application that keeps its environs."""

    def __init__(self) -> None:
        self.environs: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.environs.append(dict(environ))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"fine"]


def environ_or_status(adapter: WSGIToASGI, recorder: Recorder, scope: dict[str, Any]) -> dict[str, Any] | int:
    """Send a request through the adapter; return the application's environ, or the status of a refusal."""
    recorder.environs.clear()
    record = drive(adapter, scope)
    record.checked()
    if record.status != 200:
        assert recorder.environs == [], "refused, and the application was called all the same"
        assert record.header(b"content-length") == str(len(record.body)).encode() or scope["method"] == "HEAD"
        return record.status
    assert len(recorder.environs) == 1
    return recorder.environs[0]


def asked(headers: list[tuple[bytes, bytes]] | None = None, **scope: Any) -> dict[str, Any] | int:
    """Make one request of a WSGI application; return its environ, or the status of a refusal.

    Args:
        headers: by default a Host field.
        scope: keys of the scope; ``raw_path`` is left out unless it is given.
    """
    recorder = Recorder()
    given = {"raw_path": LEFT_OUT, **scope} if "path" in scope else scope
    if headers is not None:
        given["headers"] = headers
    return environ_or_status(WSGIToASGI(recorder), recorder, make_scope(**given))


class ScopeRecorder:
    """An ASGI application without a lifespan that keeps its scopes."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        self.scopes.append(dict(scope))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"fine"})


class Asker:
    """Makes requests of one ASGI application on a WSGI server in memory."""

    def __init__(self, adapter: ASGIToWSGI, recorder: ScopeRecorder) -> None:
        self._adapter = adapter
        self._recorder = recorder

    def scope_or_status(self, environ: dict[str, Any]) -> dict[str, Any] | int:
        """Return the application's scope, or the status of a refusal."""
        self._recorder.scopes.clear()
        gateway = Gateway(self._adapter, environ).run()
        if not self._recorder.scopes:
            assert gateway.status[0] == "4", gateway.status
            return int(gateway.status[:3])
        assert gateway.status == "200 OK"
        (scope,) = self._recorder.scopes
        return {key: value for key, value in scope.items() if key not in ("bridge.environ", "state")}

    def ask(self, **variables: Any) -> dict[str, Any] | int:
        """Make an ordinary request with these variables; None takes one away."""
        return self.scope_or_status(environ_for(**{"REMOTE_PORT": "50000", **variables}))


@contextmanager
def asking() -> Iterator[Asker]:
    """Host a `ScopeRecorder` for the length of a ``with``."""
    recorder = ScopeRecorder()
    with hosted(recorder) as adapter:
        yield Asker(adapter, recorder)


def without_body(environ: dict[str, Any]) -> dict[str, Any]:
    """Return an environ with the two streams that every server gives."""
    return {**environ, "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO()}
