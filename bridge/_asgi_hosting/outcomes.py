"""What an application's exception means for its request. Pure questions about exceptions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import anyio

from bridge.errors import ApplicationError, ClientDisconnected, RequestCancelled


def failure_from(error: BaseException) -> Exception:
    """Return what the request thread raises for an exception of the application (A-081, A-088). Loop.

    The exception itself; but ``SystemExit`` and the like end one request, and not the server that waits for it.
    """
    if isinstance(error, Exception):
        return error
    failure: Exception
    if isinstance(error, anyio.get_cancelled_exc_class()):
        failure = RequestCancelled("the request was cancelled")
    else:
        failure = ApplicationError(f"the application raised {type(error).__name__}", rule='ASGI 3.0, "Error Handling"')
    failure.__cause__ = error
    return failure


def comes_from_disconnect(error: BaseException) -> bool:
    """Tell whether an error is, or was raised because of, a `ClientDisconnected` (A-087)."""
    return any(isinstance(cause, ClientDisconnected) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        cause = left.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        left += [cause.__cause__, cause.__context__]
        if isinstance(cause, BaseExceptionGroup):
            left.extend(cast("tuple[BaseException, ...]", cause.exceptions))  # pyright: ignore[reportUnknownMemberType]
