"""Sending a response: what the worker handed over, as ASGI messages. Loop.

Small blocks that are there together go out as one event: the application may produce the next block while this one is
being transmitted (PEP 3333, "Buffering and Streaming"), and ten thousand small blocks do not cost ten thousand events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge._runtime.spooled import Backlog, RestOfFile, Spooled
from bridge._runtime.waiting import run_in_worker
from bridge._wsgi_hosting.handing_over import END, SENT_WHOLE
from bridge._wsgi_hosting.hosting import logger
from bridge._wsgi_hosting.loop_side import Sending
from bridge.errors import BridgeError, ClientDisconnected
from bridge.translate import messages
from bridge.types import Message

# Joining larger blocks costs more than the event it saves.
JOIN_UP_TO_BYTES = 64 * 1024

TAKE_UP_TO_BYTES = 256 * 1024
"""What is taken at a time: more costs less for each block, but cannot go to a file any more if the client is slow."""

_WHOLE_LENGTH = 3


def is_whole(items: Sequence[Any]) -> bool:
    """Tell whether the items are what nearly every response is: start, one block, END."""
    return len(items) == _WHOLE_LENGTH and items[2] is END and type(items[1]) is bytes


def is_complete(items: list[Any]) -> bool:
    """Tell whether the items end the response: then nobody waits for them to go out."""
    return END in items or SENT_WHOLE in items


def has_content(items: list[Any]) -> bool:
    """Tell whether sending the items may take as long as the client likes."""
    return any(type(item) is bytes or isinstance(item, Backlog | RestOfFile) for item in items)


def is_spooled(items: list[Any]) -> bool:
    """Tell whether some of it waits in a file for a slow client."""
    return any(isinstance(item, Backlog | RestOfFile) for item in items)


async def send_items(exchange: Sending, items: list[Any]) -> None:
    """Send what was handed over, small blocks joined; nothing more once the client is gone."""
    blocks: list[bytes] = []
    size_bytes = 0
    try:
        for item in items:
            if type(item) is bytes:
                if blocks and size_bytes + len(item) > JOIN_UP_TO_BYTES:
                    await exchange.send(messages.response_body(_joined(blocks), more_body=True))
                    exchange.outflow.sent(len(blocks), size_bytes)
                    blocks, size_bytes = [], 0
                    if exchange.is_gone:
                        return
                blocks.append(item)
                size_bytes += len(item)
            elif item is END:
                exchange.is_ended = True
                await exchange.send(messages.response_body(_joined(blocks), more_body=False))
                exchange.outflow.sent(len(blocks) + 1, size_bytes)  # nothing is left: what runs on is not the client
                blocks, size_bytes = [], 0
            else:
                if blocks:
                    await exchange.send(messages.response_body(_joined(blocks), more_body=True))
                    exchange.outflow.sent(len(blocks), size_bytes)
                    blocks, size_bytes = [], 0
                if not exchange.is_gone:
                    await _send_other(exchange, item)
            if exchange.is_gone:
                return
        if blocks:
            await exchange.send(messages.response_body(_joined(blocks), more_body=True))
            exchange.outflow.sent(len(blocks), size_bytes)
    except OSError as error:
        sending_failed(exchange, error)


def _joined(blocks: list[bytes]) -> bytes:
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


async def _send_other(exchange: Sending, item: Any) -> None:
    if item is SENT_WHOLE:
        exchange.is_ended = True
    elif isinstance(item, Backlog | RestOfFile):
        await _send_spooled(exchange, item)
    elif item["type"] == messages.EARLY_HINT:
        await _send_hint(exchange, item)
    else:
        exchange.is_started = True
        await exchange.send(item)
        exchange.is_start_sent = True
    exchange.outflow.sent(1, 0)


async def _send_spooled(exchange: Sending, spooled: Spooled) -> None:
    """Send what is in a file, and what is being written to it; the worker has better things to do."""
    while not exchange.is_gone:
        try:
            octets = await run_in_worker(exchange.hosting.spool_pool, exchange.port, spooled.read)
        except OSError as error:  # not the client's: the response is not complete
            raise BridgeError(f"what the client has not taken yet cannot be read back: {error}") from error
        if not octets:
            return
        await exchange.send(messages.response_body(octets, more_body=True))
        exchange.outflow.sent(0, 0)


async def _send_hint(exchange: Sending, message: Message) -> None:
    try:
        await exchange.send(message)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - a hint is optional; the response must not suffer (GW-13)
        logger.debug("%s: the server refused an early hint: %s", repr(exchange), repr(error))


def sending_failed(exchange: Sending, error: OSError) -> None:
    """Take an ``OSError`` from ``send`` for the client's disconnect (ASGI HTTP 2.4; W-139)."""
    logger.debug("%s: send() raised %s; taken as the client's disconnect", repr(exchange), repr(error))
    if not exchange.is_gone:
        exchange.client_has_gone(ClientDisconnected("the client left"), error)
