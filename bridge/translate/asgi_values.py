"""Single values in an ASGI application's messages: each is returned as it is to be used, or complained of.

Order and lengths are `asgi_response`'s; header fields are `asgi_fields`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bridge.errors import ApplicationTypeError, ApplicationValueError
from bridge.translate import messages

RULE_START = 'ASGI HTTP, "Response Start - send event"'
RULE_BODY = 'ASGI HTTP, "Response Body - send event"'
STATUS_MIN, STATUS_MAX = 200, 999


def status_code_of(message: Mapping[str, Any]) -> int:
    """Return the status of ``http.response.start``.

    Raises:
        ApplicationTypeError: there is none, or it is no int.
        ApplicationValueError: it is no final status.
    """
    if "status" not in message:
        raise ApplicationTypeError(f"{messages.RESPONSE_START!r} was sent without a status", rule=RULE_START)
    status = message["status"]
    if not isinstance(status, int) or isinstance(status, bool):
        raise ApplicationTypeError(
            f"{messages.RESPONSE_START!r} has a status of type {type(status).__name__}; it must be int, as in 200",
            rule=RULE_START,
        )
    if not STATUS_MIN <= status <= STATUS_MAX:
        raise ApplicationValueError(
            f"{messages.RESPONSE_START!r} has the status {int(status)}; a final status is from 200 to 999"
            + (", and hints go by 'http.response.early_hint'" if status // 100 == 1 else ""),
            rule=RULE_START,
        )
    return int(status)


def octets_of(body: object) -> bytes:
    """Copy a buffer, which the application may use again (A-064).

    Raises:
        ApplicationTypeError: it is none.
    """
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    if isinstance(body, memoryview):
        return body.tobytes()
    raise ApplicationTypeError(
        f"{messages.RESPONSE_BODY!r} has a body of type {type(body).__name__}; it must be bytes", rule=RULE_BODY
    )


def path_of(message: Mapping[str, Any]) -> str:
    """Return the path of ``http.response.pathsend``.

    Raises:
        ApplicationTypeError: it is no ``str``.
        ApplicationValueError: it is not absolute.
    """
    path = message.get("path")
    if not isinstance(path, str):
        raise ApplicationTypeError(
            f"{messages.PATHSEND!r} has a path of type {type(path).__name__}; it must be str",
            rule='ASGI Extensions, "Path Send"',
        )
    if path[:1] != "/" and path[1:3] not in (":\\", ":/") and path[:2] != "\\\\":
        raise ApplicationValueError(
            f"{messages.PATHSEND!r} has the relative path {path!r}; it must be absolute",
            rule='ASGI Extensions, "Path Send"',
        )
    return path


def links_of(message: Mapping[str, Any]) -> Iterable[bytes]:
    """Return the links of ``http.response.early_hint``; each one is yet to be looked at.

    Raises:
        ApplicationTypeError: they are not several.
    """
    links: Any = message.get("links", ())
    if isinstance(links, str | bytes) or not hasattr(links, "__iter__"):
        raise ApplicationTypeError(
            f"{messages.EARLY_HINT!r} has links of type {type(links).__name__}; it must be an iterable of bytes",
            rule='ASGI Extensions, "Early Hints"',
        )
    return links  # type: ignore[no-any-return]  # looked at one by one, as header fields
