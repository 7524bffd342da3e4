"""What ASGI lets be said on an ``http`` scope, as a strict checker: the law the fakes enforce.

Stricter than real servers, which forgive one thing or the other: exact types, no unknown keys, nothing after the end.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class ASGIViolationError(AssertionError):
    """A message that ASGI does not define, or that has no place here."""


_RECEIVED_KEYS = {
    "http.request": {"body": bytes, "more_body": bool},
    "http.disconnect": {},
}


def check_received(message: Mapping[str, Any]) -> None:
    """Check an event that a server sends to an application."""
    kind = message.get("type")
    keys = _RECEIVED_KEYS.get(kind)  # type: ignore[arg-type]
    if keys is None:
        raise ASGIViolationError(f"ASGI defines no {kind!r} to be received on an http scope")
    for key, value in message.items():
        if key != "type" and (key not in keys or type(value) is not keys[key]):
            raise ASGIViolationError(f"{key!r}: {value!r} has no place in {kind!r}")


class ResponseOrder:
    """The order and shape of the messages of one response.

    Args:
        extensions: what the scope offers; a message of an extension that was not offered is refused.
    """

    def __init__(self, extensions: Mapping[str, Any] | None = None) -> None:
        self._extensions = extensions or {}
        self._has_started = False
        self._has_body = False
        self._is_content_over = False
        self._awaits_trailers = False
        self.is_over = False
        """The response is complete: whatever follows is refused."""

    def check(self, message: Mapping[str, Any]) -> None:
        """Take the next message; raise `ASGIViolationError` if it has no place here, or a wrong shape."""
        if not isinstance(message, Mapping):
            raise ASGIViolationError(f"a message is a dict, not {message!r}")
        kind = message.get("type")
        rule = {
            "http.response.start": self._start,
            "http.response.body": self._body,
            "http.response.trailers": self._trailers,
            "http.response.early_hint": self._early_hint,
            "http.response.pathsend": self._pathsend,
            "http.response.zerocopysend": self._zerocopysend,
        }.get(str(kind))
        if rule is None:
            raise ASGIViolationError(f"ASGI defines no {kind!r} to be sent on an http scope")
        _require(not self.is_over, f"{kind!r} after the end of the response")
        rule(message)

    def _start(self, message: Mapping[str, Any]) -> None:
        _check_keys(message, {"status": int}, {"headers": object, "trailers": bool})
        _require(not self._has_started, "the response was started twice")
        _require(200 <= message["status"] <= 999, f"{message['status']} is no final status")
        _check_fields(message.get("headers", ()))
        if message.get("trailers"):
            self._require_offer("http.response.trailers")
            self._awaits_trailers = True
        self._has_started = True

    def _body(self, message: Mapping[str, Any]) -> None:
        _check_keys(message, {}, {"body": bytes, "more_body": bool})
        self._require_content("http.response.body")
        self._has_body = True
        self._end_content(is_last=not message.get("more_body", False))

    def _trailers(self, message: Mapping[str, Any]) -> None:
        _check_keys(message, {"headers": object}, {"more_trailers": bool})
        self._require_offer("http.response.trailers")
        _require(self._awaits_trailers, "trailers that were not announced")
        _require(self._is_content_over, "trailers before the end of the content")
        _check_fields(message["headers"])
        self.is_over = not message.get("more_trailers", False)

    def _early_hint(self, message: Mapping[str, Any]) -> None:
        _check_keys(message, {"links": object}, {})
        self._require_offer("http.response.early_hint")
        _require(not self._has_started, "an early hint after the start of the response")
        links = list(message["links"])
        _require(bool(links), "an early hint without a link")
        for link in links:
            _check_value(link)

    def _pathsend(self, message: Mapping[str, Any]) -> None:
        _check_keys(message, {"path": str}, {})
        self._require_offer("http.response.pathsend")
        self._require_content("http.response.pathsend")
        _require(not self._has_body, "pathsend mixed with body messages")
        _require(os.path.isabs(message["path"]), f"pathsend of a relative path {message['path']!r}")
        _require(os.path.isfile(message["path"]), f"pathsend of {message['path']!r}, which is no file")
        self._end_content(is_last=True)

    def _zerocopysend(self, message: Mapping[str, Any]) -> None:
        _check_keys(message, {"file": int}, {"offset": int, "count": int, "more_body": bool})
        self._require_offer("http.response.zerocopysend")
        self._require_content("http.response.zerocopysend")
        os.fstat(message["file"])  # a closed descriptor raises
        self._has_body = True
        self._end_content(is_last=not message.get("more_body", False))

    def _require_offer(self, extension: str) -> None:
        _require(extension in self._extensions, f"{extension!r} was not offered")

    def _require_content(self, kind: str) -> None:
        _require(self._has_started, f"{kind!r} before the start of the response")
        _require(not self._is_content_over, f"{kind!r} after the end of the content")

    def _end_content(self, *, is_last: bool) -> None:
        self._is_content_over = is_last
        self.is_over = is_last and not self._awaits_trailers


def _require(is_so: bool, complaint: str) -> None:
    if not is_so:
        raise ASGIViolationError(complaint)


def _check_keys(message: Mapping[str, Any], needed: dict[str, type], optional: dict[str, type]) -> None:
    missing = needed.keys() - message.keys()
    _require(not missing, f"{message['type']!r} lacks {sorted(missing)}")
    for key, value in message.items():
        kind = str if key == "type" else needed.get(key) or optional.get(key)
        _require(kind is not None, f"{message['type']!r} has no key {key!r}")
        _require(kind is object or type(value) is kind, f"{key!r} of {message['type']!r} is {value!r}")


def _check_fields(fields: Any) -> None:
    for field in fields:
        _require(isinstance(field, list | tuple) and len(field) == 2, f"{field!r} is no header")
        name, value = field
        _require(type(name) is bytes, f"header name {name!r} is not bytes")
        _require(_TOKEN.fullmatch(name) is not None, f"header name {name!r} is no lower-case token")
        _check_value(value)


def _check_value(value: Any) -> None:
    _require(type(value) is bytes, f"header value {value!r} is not bytes")
    _require(not _BAD_IN_VALUE.search(value), f"header value {value!r} holds a control character")
    _require(value == value.strip(b" \t"), f"header value {value!r} is not trimmed")
