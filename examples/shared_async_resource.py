"""One asynchronous resource, used by FastAPI routes and by Flask views alike.

    uvicorn examples.shared_async_resource:app

A connection pool, an HTTP client, a message broker's client: such objects belong to the event loop that made them.
FastAPI makes one in its lifespan; `call_async` lets a Flask view, in its worker thread, use the very same one on the
very same loop. No second pool, no second loop.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from flask import Flask
from flask import request as flask_request

from bridge import WSGIToASGI, call_async


class Pool:
    """Stands for a database driver's pool: a few connections, handed out one at a time.

    Like a real one it works on one event loop only: an `asyncio.Queue` refuses to be waited for on another.
    """

    def __init__(self, size: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.queries = 0
        self._free: asyncio.Queue[str] = asyncio.Queue()
        for number in range(size):
            self._free.put_nowait(f"connection {number}")

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[str]:
        """Wait for a free connection, and have it to yourself."""
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)

    async def fetch(self, query: str, *parameters: Any) -> dict[str, Any]:
        """Run one query, on whichever connection is free."""
        async with self.acquire() as connection:
            await asyncio.sleep(0.01)  # the database is thinking
            self.queries += 1
            return {
                "query": query,
                "parameters": parameters,
                "answered_by": connection,
                "on_the_loop_of_the_pool": asyncio.get_running_loop() is self.loop,
            }

    async def close(self) -> None:
        print(f"the pool is closed after {self.queries} queries", flush=True)


# The old application: each view calls what is on the loop, and waits for it in its thread.

flask_app = Flask(__name__)


@flask_app.get("/users/<int:number>")
def user_from_flask(number: int) -> dict[str, Any]:
    pool: Pool = flask_request.environ["bridge.state"]["pool"]
    return call_async(pool.fetch, "select * from users where id = ?", number)


async def move_money(pool: Pool, amount: int) -> dict[str, Any]:
    """Do two things on one connection, within five seconds."""
    async with asyncio.timeout(5), pool.acquire() as connection:
        pool.queries += 2
        return {"moved": amount, "on": [connection] * 2}


@flask_app.post("/transfers/<int:amount>")
def transfer(amount: int) -> dict[str, Any]:
    pool: Pool = flask_request.environ["bridge.state"]["pool"]
    return call_async(move_money, pool, amount)


old = WSGIToASGI(flask_app)

# The new one, around it, on the same pool.


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    pool = Pool(size=3)
    yield {"pool": pool}
    await old.drain()  # first those who use it
    await pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/users/{number}")
async def user_from_fastapi(number: int, request: Request) -> dict[str, Any]:
    pool: Pool = request.state.pool
    return await pool.fetch("select * from users where id = ?", number)


@app.get("/queries")
async def queries(request: Request) -> dict[str, int]:
    pool: Pool = request.state.pool
    return {"queries": pool.queries}


app.mount("/flask", old)
