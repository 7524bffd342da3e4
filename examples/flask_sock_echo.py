"""Flask-Sock under uvicorn: one socket that answers, and a page beside it.

    uvicorn examples.flask_sock_echo:app
    websockets ws://127.0.0.1:8000/echo               # a client on the command line, to type in

Needs ``flask-sock`` and the extra ``wsgi-asgi-bridge[websocket]``, which brings the client, too. A bigger one, with a
page for browsers: ``flask_sock_chat.py``.
"""

from flask import Flask, abort, request
from flask_sock import Sock
from simple_websocket import Server

from bridge import Limits, to_asgi

flask_app = Flask(__name__)
sock = Sock(flask_app)


@flask_app.before_request
def refuse_strangers() -> None:
    """Flask-Sock accepts before it calls the view, so whoever may not connect is refused here."""
    if request.args.get("name") == "nobody":
        abort(401)


@flask_app.get("/")
def home() -> str:
    return "a page\n"


@sock.route("/echo")
def echo(ws: Server) -> None:
    name = request.args.get("name", "somebody")
    while True:  # until receive() raises ConnectionClosed, which is Flask-Sock's to catch
        ws.send(f"{name}: {ws.receive()}")


app = to_asgi(flask_app, limits=Limits(websockets=500))
