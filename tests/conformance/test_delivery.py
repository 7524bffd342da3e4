"""A finished response is on its way at once, whatever the requests behind it do.

Workers leave it to one another to wake the loop (see `bridge._runtime.workers`); here is what must not come of that.
"""

from __future__ import annotations

import threading

import anyio
import pytest

from bridge import Limits, WSGIToASGI

PATIENCE_S = 10.0


SCOPE = {"type": "http", "http_version": "1.1", "method": "GET", "path": "/", "headers": []}


async def never():
    await anyio.sleep_forever()


@pytest.mark.requirement("W-145")
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("is_iterator", [False, True], ids=["list", "iterator"])
def test_a_response_does_not_wait_for_a_request_behind_it_that_blocks(backend, workers, is_iterator):
    has_first_arrived = threading.Event()
    waited: list[bool] = []
    turns = iter(range(4))  # not by path: trio starts tasks in any order

    def app(environ, start_response):
        if next(turns):
            waited.append(has_first_arrived.wait(PATIENCE_S))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"done"]) if is_iterator else [b"done"]

    adapter = WSGIToASGI(app, limits=Limits(workers=workers, worker_idle_s=0.05))

    async def request() -> None:
        async def send(message):
            if not message.get("more_body", True):
                has_first_arrived.set()

        await adapter(SCOPE, never, send)

    async def main() -> None:
        with anyio.fail_after(3 * PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                # In one turn of the loop, so that one worker finds several jobs.
                for _ in range(4):
                    tasks.start_soon(request)

    backend.run(main)

    assert waited == [True, True, True]
