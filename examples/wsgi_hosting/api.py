"""The application that the recipes in this folder host: an ordinary FastAPI one that knows nothing of the bridge.

It has what WSGI servers never had a place for: a lifespan, a stream of events, and work after the response. It says on
stderr when it starts and stops, so that one can see in which processes that happens.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse


def say(text: str) -> None:
    sys.stderr.write(f"api, process {os.getpid()}: {text}\n")
    sys.stderr.flush()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, Any]]:
    say("startup")
    yield {"visits": count(1)}  # a connection pool, a model, a client: one for each process
    say("shutdown")


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def home(request: Request) -> dict[str, int]:
    return {"process": os.getpid(), "visits": next(request.state.visits)}


@app.post("/shout")
async def shout(request: Request) -> dict[str, str]:
    return {"shouted": (await request.body()).decode().upper()}


@app.get("/countdown")
async def countdown() -> StreamingResponse:
    async def events() -> AsyncIterator[str]:
        for number in range(3, 0, -1):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.1)  # the event loop goes on; the server's thread waits
        yield "data: lift-off\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@app.post("/orders", status_code=202)
async def order(tasks: BackgroundTasks) -> dict[str, str]:
    async def confirm() -> None:
        await asyncio.sleep(0.2)
        say("order confirmed")

    tasks.add_task(confirm)
    return {"order": "accepted"}  # sent at once; confirm() runs afterwards
