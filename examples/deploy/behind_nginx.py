"""A Flask application under uvicorn behind nginx: what ``nginx.conf`` has at ``/shop/``.

    uvicorn behind_nginx:app --uds /run/shop/shop.sock --root-path /shop --forwarded-allow-ips '*'

It has one of everything that a proxy can get wrong: URLs with a prefix and a scheme, the client's address, a stream, a
WebSocket, an upload, and a file that nginx sends by itself. It needs ``flask-sock`` and the extra ``websocket``.
"""

from collections.abc import Iterator
from queue import Empty, SimpleQueue

from flask import Flask, Response, request, url_for
from flask_sock import Sock
from simple_websocket import Server

from bridge import Limits, to_asgi

flask_app = Flask(__name__)
sock = Sock(flask_app)
subscriptions: set[SimpleQueue[str]] = set()


@flask_app.get("/")
def where() -> dict[str, str | None]:
    return {"url": url_for("where", _external=True), "scheme": request.scheme, "client": request.remote_addr}


@flask_app.get("/events")
def events() -> Response:
    def stream() -> Iterator[str]:
        news: SimpleQueue[str] = SimpleQueue()
        subscriptions.add(news)
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    yield f"data: {news.get(timeout=15)}\n\n"
                except Empty:
                    yield ": still here\n\n"  # often enough for proxy_read_timeout
        finally:
            subscriptions.discard(news)

    return Response(stream(), mimetype="text/event-stream", headers={"X-Accel-Buffering": "no"})


@flask_app.post("/events")
def publish() -> dict[str, int]:
    listeners = list(subscriptions)
    for news in listeners:
        news.put(request.get_data(as_text=True))
    return {"listeners": len(listeners)}


@flask_app.put("/uploads")
def upload() -> dict[str, int]:
    size_bytes = 0
    while block := request.stream.read(65536):
        size_bytes += len(block)
    return {"bytes": size_bytes}


@flask_app.get("/files/<name>")
def file(name: str) -> Response:
    # Here is the place to ask whether this user may have it. The answer is nginx's: the file never comes this way.
    return Response(headers={"X-Accel-Redirect": f"/protected/{name}"})


@sock.route("/echo")
def echo(ws: Server) -> None:
    while True:
        ws.send(ws.receive())


# The same bound as nginx's client_max_body_size: what nginx lets through is taken.
app = to_asgi(flask_app, limits=Limits(body_max_bytes=64 * 1024**2))
