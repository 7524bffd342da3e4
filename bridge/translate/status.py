"""WSGI status lines and ASGI status codes, both ways; which responses carry no content."""

from __future__ import annotations

import re
from http import HTTPStatus

from bridge.errors import ApplicationTypeError, ApplicationValueError

RULE = 'PEP 3333, "The start_response() Callable"'

# Three ASCII digits, one space, a reason without control characters or surrounding space (RFC 9112 section 4).
_STATUS_LINE = re.compile(r"([1-9][0-9]{2}) ([!-~\xa0-\xff](?:[ -~\xa0-\xff]*[!-~\xa0-\xff])?)").fullmatch
_STATUS_WITHOUT_REASON = re.compile(r"([1-9][0-9]{2}) ?").fullmatch

# The lines nearly every response has; a table instead of a cache, so nothing can make it grow.
_KNOWN_LINES = {
    "200 OK": 200,
    "201 Created": 201,
    "202 Accepted": 202,
    "204 No Content": 204,
    "206 Partial Content": 206,
    "301 Moved Permanently": 301,
    "302 Found": 302,
    "302 FOUND": 302,
    "303 See Other": 303,
    "304 Not Modified": 304,
    "304 NOT MODIFIED": 304,
    "307 Temporary Redirect": 307,
    "308 Permanent Redirect": 308,
    "400 Bad Request": 400,
    "400 BAD REQUEST": 400,
    "401 Unauthorized": 401,
    "403 Forbidden": 403,
    "404 Not Found": 404,
    "404 NOT FOUND": 404,
    "405 Method Not Allowed": 405,
    "500 Internal Server Error": 500,
}


def code_from_status(status: str, *, strict: bool = False) -> int:
    """Return the status code of a WSGI status line; the reason is dropped (W-094).

    Args:
        status: for example ``"404 Not Found"``.
        strict: refuse a line without a reason, which is accepted otherwise (GW-6).

    Raises:
        ApplicationTypeError: not a ``str``.
        ApplicationValueError: not a status line, or an interim (1xx) status.

    Spec: PEP 3333 "The start_response() Callable"; RFC 9112 section 4; W-093, W-094, W-097.
    """
    known = _KNOWN_LINES.get(status) if type(status) is str else None
    if known is not None:
        return known
    if not isinstance(status, str):
        raise ApplicationTypeError(
            f"start_response() got a status of type {type(status).__name__}; it must be str, as in '200 OK'",
            rule=RULE,
        )
    match = _STATUS_LINE(status) or (None if strict else _STATUS_WITHOUT_REASON(status))
    if match is None:
        raise ApplicationValueError(
            f"start_response() got the status {status!r}; it must be three digits, one space and a reason without "
            "control characters, as in '200 OK'",
            rule=RULE,
        )
    code = int(match[1])
    if code < 200:  # noqa: PLR2004 - the class of interim statuses, RFC 9110 section 15.2
        raise ApplicationValueError(
            f"start_response() got the interim status {status!r}; an app answers with a final one (200 to 599), and "
            "sends hints by environ['wsgi.early_hints']",
            rule="RFC 9110, section 15.2",
        )
    return code


STATUS_WITHOUT_REASON_LENGTH = 4
"""An accepted status line that is not longer (digits, maybe a space) lacks the reason that PEP 3333 asks for."""

NO_CONTENT_CODES = frozenset({204, 205, 304})
"""Statuses whose responses carry no content (RFC 9110 sections 15.3.5, 15.3.6, 15.4.5)."""

# Python's names follow the registry of their day; these have been renamed there since (IANA "HTTP Status Codes").
_REASONS = {status.value: status.phrase for status in HTTPStatus} | {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}
_REASONS_OF_CLASSES = {2: "Success", 3: "Redirection", 4: "Client Error", 5: "Server Error"}
_LINES_BY_CODE = {code: f"{code} {reason}" for code, reason in _REASONS.items()}


def status_from_code(code: int) -> str:
    """Return the WSGI status line for a status code: the registered reason, or one for the class (A-072).

    Args:
        code: three digits; the caller has checked it.
    """
    return _LINES_BY_CODE.get(code) or f"{code} {_REASONS_OF_CLASSES.get(code // 100, 'Unknown')}"
