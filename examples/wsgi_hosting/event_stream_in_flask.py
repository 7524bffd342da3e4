"""An async event stream inside a Flask site, on a WSGI server.

    gunicorn --threads 64 event_stream_in_flask:app
    curl -N http://127.0.0.1:8000/events/             # leave with Ctrl-C
    curl -X POST http://127.0.0.1:8000/orders/tea     # a Flask view, which tells all listeners
    curl http://127.0.0.1:8000/listeners

The site stays on its WSGI server; what is below ``/events`` is a Starlette application. Each open stream holds one
thread of the server, so there must be more threads than streams, and a server whose worker has one thread only is no
place for them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from bridge import ASGIToWSGI

HEARTBEAT_S = 5.0  # also how long a client that has left may keep a thread


def event(number: int, text: str) -> str:
    """Write an event: what is published may have lines, and may be anybody's."""
    return f"id: {number}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"


class Board:
    """What was published lately, by number. On the event loop only, but for `tell`."""

    def __init__(self, kept: int = 1000) -> None:
        self._kept: deque[tuple[int, str]] = deque(maxlen=kept)
        self._last = 0
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.listeners = 0

    async def publish(self, text: str) -> int:
        self._last += 1
        self._kept.append((self._last, text))
        self._changed.set()  # for all who wait; those who come later wait for the next one
        self._changed = asyncio.Event()
        return self.listeners

    def tell(self, text: str) -> int:
        """Publish from any thread but the loop's; return how many listen."""
        return asyncio.run_coroutine_threadsafe(self.publish(text), self._loop).result(timeout=10)

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


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.board = Board()
    yield


async def events(request: Request) -> StreamingResponse:
    board: Board = request.app.state.board
    return StreamingResponse(
        board.follow(request.headers.get("Last-Event-ID")),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


events_app = Starlette(routes=[Route("/", events)], lifespan=lifespan)
stream = ASGIToWSGI(events_app)
app = Flask(__name__)


def the_board() -> Board:
    stream.startup()  # the lifespan, if no event stream has been asked for yet; else nothing
    board: Board = events_app.state.board
    return board


@app.post("/orders/<item>")
def order(item: str) -> tuple[dict[str, int], int]:
    return {"told": the_board().tell(f"somebody has ordered {item}")}, 201


@app.get("/listeners")
def listeners() -> dict[str, int]:
    return {"listeners": the_board().listeners}


app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/events": stream})
