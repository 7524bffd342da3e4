"""Target: `environ_from_scope` for any scope, against what a conforming gateway makes of it."""

from __future__ import annotations

import copy
from typing import Any

from bridge.errors import BadRequest
from bridge.translate import EnvironOptions, environ_from_scope
from fuzz.environ_rules import expected_variables
from fuzz.http_rules import Refusal
from fuzz.path_rules import Target, check_paths, draw_target
from fuzz.reading import Reader, WrongResultError, expect, expect_equal

_METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PROPFIND", "M-SEARCH", "get", "CONNECT")
_VERSIONS: tuple[Any, ...] = ("1.1", "1.0", "2", "3", "1", "2.0", None, "")
_SCHEMES: tuple[Any, ...] = ("http", "https", None, "", "wss", "ws", "HTTPS", "ftp")
_CLIENT_PORTS: tuple[Any, ...] = (50007, 0, None, "50007", "")
_SERVER_PORTS: tuple[Any, ...] = (8000, 80, 443, "8000", "443", "0", 0, "", None)
_OPTIONS = EnvironOptions()
_BASE = _OPTIONS.base()
_OF_PATHS = frozenset({"SCRIPT_NAME", "PATH_INFO", "REQUEST_URI", "RAW_URI"})


def scope_from(reader: Reader) -> tuple[dict[str, Any], Target]:
    """Read a scope, and what was asked for on the wire."""
    scope: dict[str, Any] = {"type": "http", "method": reader.choice(_METHODS)}
    target = draw_target(reader)
    scope["root_path"], scope["path"], scope["raw_path"] = target.root_path, target.path, target.raw_path
    scope["query_string"] = target.query
    scope["http_version"], scope["scheme"] = reader.choice(_VERSIONS), reader.choice(_SCHEMES)
    for key, ports in (("client", _CLIENT_PORTS), ("server", _SERVER_PORTS)):
        host, port, kind = reader.text(), reader.choice(ports), reader.choice((tuple, list))
        scope[key] = None if host == "-" else kind((host, port))
    scope["headers"] = reader.pairs()
    return scope, target


def check(data: bytes) -> None:
    """Hold one input against the oracle."""
    scope, target = scope_from(Reader(data))
    before = copy.deepcopy(scope)
    environ: dict[str, Any] | None
    try:
        environ = environ_from_scope(scope)
    except BadRequest:
        environ = None
    expect_equal(scope, before, "the scope was changed")
    check_environ(scope, target, environ)


def check_environ(scope: dict[str, Any], target: Target, environ: dict[str, Any] | None) -> None:
    """Hold the environ of a scope (None: it was refused) against what it must be."""
    expected: dict[str, str] | None
    try:
        expected = expected_variables(scope, target)
    except Refusal as reason:
        expect(environ is None, f"not refused: {reason}")
        return
    if environ is None:
        raise WrongResultError(f"refused without a reason: {scope}")
    expect(type(environ) is dict, "an environ is a dict")
    for key, value in environ.items():
        if "." not in key:
            expect(type(value) is str, f"{key} is no str: {value!r}")
            expect(all(ord(character) <= 0xFF for character in value), f"{key} is no latin-1: {value!r}")  # noqa: PLR2004
    check_paths(target, environ)
    variables = {key: value for key, value in environ.items() if key not in _OF_PATHS}
    constant = {key: value for key, value in _BASE.items() if key not in _OF_PATHS}
    expect_equal(variables, constant | expected, "the environ")
