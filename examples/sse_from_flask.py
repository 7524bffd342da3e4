"""Server-sent events from Flask, to clients that leave whenever they like.

    uvicorn examples.sse_from_flask:app
    curl -N http://127.0.0.1:8000/events              # leave with Ctrl-C
    curl -d 'tea is ready' http://127.0.0.1:8000/publish
    curl http://127.0.0.1:8000/status

When a client leaves, its generator is closed in the thread that ran it: the ``finally`` below runs and the worker
thread is free again. ``/status`` shows it.

An open stream holds one worker thread, so the number of threads is the number of listeners there can be (beside other
requests). A thread that sleeps is cheap, but not free: for thousands of listeners write this one route in ASGI
(``event_stream_beside_flask.py``).
"""

import threading
from collections import deque
from collections.abc import Iterator

from flask import Flask, Response, request

from bridge import Limits, WSGIToASGI

HEARTBEAT_S = 1.0  # nothing is sent for longer; so long may the generator of a client that has left stay unnoticed


class Board:
    """What was published lately, by number. Any thread."""

    def __init__(self, kept: int = 1000) -> None:
        self._changed = threading.Condition()
        self._kept: deque[tuple[int, str]] = deque(maxlen=kept)
        self._last = 0

    def publish(self, text: str) -> None:
        with self._changed:
            self._last += 1
            self._kept.append((self._last, text))
            self._changed.notify_all()

    def start(self, last_seen: str | None) -> int:
        """Return the number to go on from: the one that the client has seen, if it is one of ours."""
        with self._changed:
            if last_seen is not None and last_seen.isdecimal() and int(last_seen) <= self._last:
                return int(last_seen)
            return self._last

    def after(self, number: int, timeout_s: float) -> list[tuple[int, str]]:
        """Wait for what comes after a number; return nothing if that takes too long."""
        with self._changed:
            self._changed.wait_for(lambda: self._last > number, timeout_s)
            return [event for event in self._kept if event[0] > number]


def event(number: int, text: str) -> str:
    """Write an event: what is published may have lines, and may be anybody's."""
    return f"id: {number}\n" + "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"


flask_app = Flask(__name__)
board = Board()
books = threading.Lock()
subscriptions = closed_streams = 0


@flask_app.get("/events")
def events() -> Response:
    seen = board.start(request.headers.get("Last-Event-ID"))

    def stream() -> Iterator[str]:
        global subscriptions, closed_streams  # noqa: PLW0603
        number = seen
        with books:
            subscriptions += 1
        try:
            yield "retry: 1000\n\n"
            while True:
                fresh = board.after(number, HEARTBEAT_S)
                for number, text in fresh:
                    yield event(number, text)
                if not fresh:
                    # A comment, ignored by browsers. A generator can only be closed where it yields, so one that may
                    # have nothing to say for long should say so now and then.
                    yield ": nothing new\n\n"
        finally:
            with books:
                subscriptions -= 1
                closed_streams += 1

    return Response(
        stream(), mimetype="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


@flask_app.post("/publish")
def publish() -> dict[str, int]:
    board.publish(request.get_data(as_text=True))
    return {"listeners": subscriptions}


@flask_app.get("/status")
def status() -> dict[str, int]:
    now = app.statistics()
    return {
        "streams_open": now.streams_open,
        "workers_busy": now.workers_busy,  # this request is one of them
        "subscriptions": subscriptions,
        "closed_streams": closed_streams,
    }


app = WSGIToASGI(flask_app, limits=Limits(workers=100))
