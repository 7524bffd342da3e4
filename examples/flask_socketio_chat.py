"""Flask-SocketIO under uvicorn, in its threading mode: rooms, events, acknowledgements.

    uvicorn examples.flask_socketio_chat:app
    python examples/flask_socketio_client.py http://127.0.0.1:8000

Needs ``flask-socketio`` and the extra ``wsgi-asgi-bridge[websocket]``. Clients come by long polling, by WebSocket, or
change from the one to the other, which is what they do unless told otherwise.
"""

import os

from flask import Flask, request
from flask_socketio import SocketIO, emit, join_room

from bridge import Limits, to_asgi

flask_app = Flask(__name__)
socketio = SocketIO(
    flask_app,
    async_mode="threading",
    # With several processes they have to hear of each other's clients: redis://127.0.0.1:6379
    message_queue=os.environ.get("MESSAGE_QUEUE"),
)


@flask_app.get("/")
def home() -> str:
    return "a page\n"


@socketio.on("join")
def join(room: str) -> str:
    join_room(room)
    return f"you are in {room}"  # the client's acknowledgement


@socketio.on("say")
def say(room: str, words: str) -> None:
    emit("heard", {"who": request.args.get("name", "somebody"), "words": words}, to=room)


app = to_asgi(flask_app, limits=Limits(workers=200))  # a client that polls holds a worker nearly all the time
