"""A native event stream beside Flask views that publish to it: a listener costs no thread.

    uvicorn examples.event_stream_beside_flask:app
    curl -N http://127.0.0.1:8000/events              # leave with Ctrl-C
    curl -X POST http://127.0.0.1:8000/orders/tea     # a Flask view, which tells all listeners
    curl http://127.0.0.1:8000/listeners

The one route that thousands keep open is an async generator; everything else stays in Flask. ``call_async`` takes what
a view has to tell to the event loop on which the streams are.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from flask import Flask

from bridge import call_async, to_asgi

HEARTBEAT_S = 15.0


def event(number: int, text: str) -> str:
    """Write an event: what is published may have lines, and may be anybody's."""
    return f"id: {number}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"


class Board:
    """What was published lately, by number. On the event loop only."""

    def __init__(self, kept: int = 1000) -> None:
        self._kept: deque[tuple[int, str]] = deque(maxlen=kept)
        self._last = 0
        self._changed = asyncio.Event()
        self.listeners = 0

    async def publish(self, text: str) -> int:
        self._last += 1
        self._kept.append((self._last, text))
        self._changed.set()  # for all who wait; those who come later wait for the next one
        self._changed = asyncio.Event()
        return self.listeners

    async def follow(self, last_seen: str | None) -> AsyncIterator[str]:
        """Give what is published from now on, or has been since the client saw it last."""
        number = self._last
        if last_seen is not None and last_seen.isdecimal() and int(last_seen) <= number:
            number = int(last_seen)
        self.listeners += 1
        try:
            yield "retry: 1000\n\n"
            while True:
                changed = self._changed
                for fresh in [event for event in self._kept if event[0] > number]:
                    number, text = fresh
                    yield event(number, text)
                if changed.is_set():  # while it was sending
                    continue
                try:
                    await asyncio.wait_for(changed.wait(), HEARTBEAT_S)
                except TimeoutError:
                    yield ": nothing new\n\n"
        finally:
            self.listeners -= 1


board = Board()
flask_app = Flask(__name__)


@flask_app.post("/orders/<item>")
def order(item: str) -> tuple[dict[str, int], int]:
    return {"told": call_async(board.publish, f"somebody has ordered {item}")}, 201


app = FastAPI()


@app.get("/events")
async def events(request: Request) -> StreamingResponse:
    return StreamingResponse(
        board.follow(request.headers.get("Last-Event-ID")),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@app.get("/listeners")
async def listeners() -> int:
    return board.listeners


app.mount("/", to_asgi(flask_app))
