"""A WSGI server and its client in memory, without any demand on the adapter."""

from __future__ import annotations

from typing import Any

from tests.gateway import environ_for


class Request:
    """One request, made by the calling thread.

    Attributes:
        statuses: of each call of start_response.
        blocks: what has come so far.
    """

    def __init__(self, adapter: Any, environ: dict[str, Any] | None = None) -> None:
        self.statuses: list[str] = []
        self.blocks: list[bytes] = []
        self.result = adapter(environ_for() if environ is None else environ, self._start_response)
        self._iterator = iter(self.result)

    def _start_response(self, status: str, *_: Any) -> None:
        self.statuses.append(status)

    def step(self) -> None:
        self.blocks.append(next(self._iterator))

    def close(self) -> None:
        close = getattr(self.result, "close", None)
        if close is not None:
            close()

    def run(self) -> Request:
        try:
            self.blocks.extend(self._iterator)
        finally:
            self.close()
        return self


def http_only(scope: dict[str, Any]) -> None:
    """Say, as an application may, that nothing but requests is served."""
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
