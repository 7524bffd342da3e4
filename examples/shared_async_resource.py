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

from bridge import call_async, to_asgi


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

    async def fetch(self, query: str, *parameters: Any) -> dict[str, Any]:
        """Wait for a free connection, and run a query on it."""
        connection = await self._free.get()
        try:
            await asyncio.sleep(0.01)  # the database is thinking
            self.queries += 1
            return {
                "query": query,
                "parameters": parameters,
                "answered_by": connection,
                "on_the_loop_of_the_pool": asyncio.get_running_loop() is self.loop,
            }
        finally:
            self._free.put_nowait(connection)


flask_app = Flask(__name__)


@flask_app.get("/users/<int:number>")
def user_from_flask(number: int) -> dict[str, Any]:
    pool: Pool = flask_request.environ["bridge.state"]["pool"]
    return call_async(pool.fetch, "select * from users where id = ?", number)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    yield {"pool": Pool(size=3)}


app = FastAPI(lifespan=lifespan)


@app.get("/users/{number}")
async def user_from_fastapi(number: int, request: Request) -> dict[str, Any]:
    pool: Pool = request.state.pool
    return await pool.fetch("select * from users where id = ?", number)


@app.get("/queries")
async def queries(request: Request) -> dict[str, int]:
    pool: Pool = request.state.pool
    return {"queries": pool.queries}


app.mount("/flask", to_asgi(flask_app))
