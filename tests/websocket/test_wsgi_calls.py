"""Coroutines for an application (`bridge.call_async`) whose WebSocket ends before they have begun."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest

from bridge import ClientDisconnected, Limits
from bridge._runtime.loops import current_port
from bridge._wsgi_hosting.async_calls import AsyncCall
from bridge.websocket.wsgi_hosting.contact import Contact


async def never() -> None:
    raise AssertionError("it has begun")


def test_a_coroutine_that_is_cancelled_before_it_begins_is_let_go_and_its_caller_told():
    async def main() -> AsyncCall[Any]:
        contact = Contact(cast("Any", SimpleNamespace(limits=Limits())), {"type": "websocket"}, current_port())
        call: AsyncCall[Any] = AsyncCall(never, (), {})
        async with anyio.create_task_group() as group:
            contact.group = group
            before = asyncio.all_tasks()
            contact._start_call(call)
            (task,) = asyncio.all_tasks() - before
            task.cancel()  # as a server does that ends all tasks at once
        contact.forget_calls()
        return call

    call = anyio.run(main)
    with pytest.raises(ClientDisconnected):
        call.wait(lambda: True)
    gc.collect()  # a coroutine that was never awaited would say so
