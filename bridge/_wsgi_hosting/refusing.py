"""Answers that the bridge gives by itself, without the application or in its place. Loop."""

from __future__ import annotations

from typing import Protocol

from bridge._wsgi_hosting.hosting import logger
from bridge._wsgi_hosting.loop_side import Sending
from bridge.errors import RequestRefused
from bridge.translate import messages


class Refusable(Sending, Protocol):
    """A request that may be answered without the application.

    Attributes:
        is_refused: it is.
    """

    is_refused: bool


async def refuse(exchange: Refusable, refusal: RequestRefused) -> None:
    """Answer without the application, and log it (W-138)."""
    exchange.hosting.count_refusal()
    exchange.is_refused = True
    extra: list[tuple[bytes, bytes]] = []
    if refusal.status == 503:  # noqa: PLR2004
        extra.append((b"retry-after", b"%d" % exchange.hosting.limits.retry_after_s))
    # Why there is no room is for the log; the client need not know.
    cause = "" if refusal.__cause__ is None else f" ({refusal.__cause__})"
    logger.warning("%s refused: %s%s", repr(exchange), str(refusal), cause)
    await answer_plainly(exchange, refusal.status, refusal.reason, *extra)


async def answer_plainly(exchange: Sending, status: int, sentence: str, *extra: tuple[bytes, bytes]) -> None:
    """Send a whole response of one sentence; a client that does not wait for it is no error."""
    exchange.is_started = True
    is_head = exchange.scope["method"] == "HEAD"
    for message in messages.plain_response(status, sentence, *extra, is_head=is_head):
        try:
            await exchange.send(message)
        except OSError:
            return
    exchange.is_ended = True
