"""The targets by name: what is fuzzed, and the function that holds one input against its oracle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fuzz import asgi_response, environ, fields, scope, websocket, wsgi_response

TARGETS: dict[str, Callable[[bytes], None]] = {
    "environ": environ.check,
    "scope": scope.check,
    "fields": fields.check,
    "wsgi_response": wsgi_response.check,
    "asgi_response": asgi_response.check,
    "websocket": websocket.check,
}
"""Each raises nothing if all is well, and anything else if it is not."""

_CORPUS = Path(__file__).parent / "corpus"


def corpus_of(target: str) -> Path:
    """Return the directory of a target's corpus: one file for each input."""
    return _CORPUS / target
