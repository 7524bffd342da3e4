"""The codes and reasons with which WebSocket connections are closed."""

from __future__ import annotations

from bridge.errors import ApplicationTypeError, ApplicationValueError

NORMAL = 1000
GOING_AWAY = 1001
NO_STATUS = 1005
ABNORMAL = 1006
INTERNAL_ERROR = 1011

_LOWEST, _HIGHEST = 1000, 4999
_NEVER_SENT = frozenset({1004, NO_STATUS, ABNORMAL, *range(1015, 3000)})
_MOST_REASON_BYTES = 123
_RULE = "RFC 6455, section 7.4"


def checked_close(code: object, reason: object) -> tuple[int, str]:
    """Return code and reason of a close frame that may be sent.

    Raises:
        ApplicationTypeError: the code is no ``int``, or the reason no ``str``.
        ApplicationValueError: a code that is reserved or out of range, or a reason too long for a frame.

    Spec: RFC 6455 sections 5.5.1 and 7.4; A-140.
    """
    if not isinstance(code, int) or isinstance(code, bool):
        raise ApplicationTypeError(f"a close code is an int, not {type(code).__name__}", rule=_RULE)
    if not isinstance(reason, str):
        raise ApplicationTypeError(f"the reason of a close is a str, not {type(reason).__name__}", rule=_RULE)
    if code in _NEVER_SENT or not _LOWEST <= code <= _HIGHEST:
        raise ApplicationValueError(
            f"the close code {code} must not be sent; 3000 to 4999 are for applications, 1000 to 1014 (but for 1004, "
            "1005 and 1006) for what RFC 6455 says of them",
            rule=_RULE,
        )
    try:
        octets = reason.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ApplicationValueError("the reason of a close holds a lone surrogate", rule=_RULE) from error
    if len(octets) > _MOST_REASON_BYTES:
        raise ApplicationValueError(
            f"the reason of a close is at most {_MOST_REASON_BYTES} bytes of UTF-8", rule="RFC 6455, section 5.5.1"
        )
    return code, reason
