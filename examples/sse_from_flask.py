"""Server-sent events from Flask, to clients that leave whenever they like.

    uvicorn examples.sse_from_flask:app
    curl -N http://127.0.0.1:8000/events              # leave with Ctrl-C
    curl http://127.0.0.1:8000/status

When a client leaves, its generator is closed in the thread that ran it: the ``finally`` below runs, the subscription
is gone and the worker thread is free again. ``/status`` shows it.

An open stream holds one worker thread, so the number of threads is the number of listeners there can be (beside other
requests). A thread that sleeps is cheap, but not free: for thousands of listeners write this one route in ASGI.
"""

import queue
import threading
from collections.abc import Iterator

from flask import Flask, Response, request

from bridge import Limits, WSGIToASGI

flask_app = Flask(__name__)

subscriptions: set[queue.SimpleQueue[str]] = set()
closed_streams = 0
books = threading.Lock()  # views run in several threads


@flask_app.get("/events")
def events() -> Response:
    def stream() -> Iterator[str]:
        global closed_streams  # noqa: PLW0603
        news: queue.SimpleQueue[str] = queue.SimpleQueue()
        with books:
            subscriptions.add(news)
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    yield f"data: {news.get(timeout=0.5)}\n\n"
                except queue.Empty:
                    # A comment, ignored by browsers. A generator can only be closed where it yields, so one that may
                    # have nothing to say for long should say so now and then.
                    yield ": nothing new\n\n"
        finally:
            with books:
                subscriptions.discard(news)
                closed_streams += 1

    return Response(stream(), mimetype="text/event-stream", headers={"Cache-Control": "no-store"})


@flask_app.post("/publish")
def publish() -> dict[str, int]:
    with books:
        listeners = list(subscriptions)
    for news in listeners:
        news.put(request.get_data(as_text=True).replace("\n", " "))
    return {"listeners": len(listeners)}


@flask_app.get("/status")
def status() -> dict[str, int]:
    now = app.statistics()
    return {
        "streams_open": now.streams_open,
        "workers_busy": now.workers_busy,  # this request is one of them
        "subscriptions": len(subscriptions),
        "closed_streams": closed_streams,
    }


app = WSGIToASGI(flask_app, limits=Limits(workers=100))
