"""A chat in Flask, with Flask-Sock, served by uvicorn.

    python examples/flask_sock_chat.py                # http://127.0.0.1:8000, in two windows
    uvicorn examples.flask_sock_chat:app              # the same, with uvicorn's own options

Needs ``flask-sock`` and the extra ``wsgi-asgi-bridge[websocket]``. The application is an ordinary one, and so is
Flask-Sock: the one line that matters is ``app = to_asgi(flask_app)``.

Each socket has a thread of its own, beside those for requests: up to ``Limits.websockets`` of them. The room is in
memory, so everybody must be in one process.
"""

import argparse
import json
import threading
from contextlib import suppress

import uvicorn
from flask import Flask, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server
from wsproto.utilities import LocalProtocolError

from bridge import to_asgi

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>Flask-Sock under uvicorn</title>
<style>
body { font: 1.1em/1.6 system-ui; max-width: 36em; margin: 3em auto }
ol { list-style: none; padding: 0; min-height: 12em }
.news { color: gray; font-style: italic }
</style>
<h1>Flask-Sock under uvicorn</h1>
<form id="door"><input id="name" placeholder="your name" maxlength="40" required> <button>Join</button></form>
<ol id="log"></ol>
<form id="talk"><input id="words" maxlength="1000" required> <button>Say</button>
<button type="button" id="leave">Leave</button></form>
<p id="state">not connected</p>
<script>
const at = id => document.getElementById(id)
let socket
at("door").onsubmit = event => {
  event.preventDefault()
  socket?.close()
  const url = new URL("chat", location)
  url.protocol = url.protocol.replace("http", "ws")
  url.searchParams.set("name", at("name").value)
  socket = new WebSocket(url)
  socket.onopen = () => at("state").textContent = "connected"
  socket.onclose = ({code, reason}) => at("state").textContent = `closed: ${code} ${reason}`
  socket.onmessage = ({data}) => {
    const {who, says, news} = JSON.parse(data)
    const line = at("log").appendChild(document.createElement("li"))
    line.textContent = news ? `${who} ${news}` : `${who}: ${says}`  // as text: what is said may look like HTML
    line.className = news ? "news" : "talk"
  }
}
at("talk").onsubmit = event => {
  event.preventDefault()
  socket?.send(at("words").value)
  at("words").value = ""
}
at("leave").onclick = () => socket?.close(1000, "bye")
</script>
"""

flask_app = Flask(__name__)
sock = Sock(flask_app)

members: set[Server] = set()
books = threading.Lock()  # sockets live in several threads


@flask_app.get("/")
def page() -> str:
    return PAGE


def tell_all(**event: str) -> None:
    # One at a time, as two threads must not send to one member at once. So a member that takes nothing holds up the
    # room; where strangers meet, give each member a queue and a thread that sends what is in it.
    with books:
        for member in members:
            with suppress(ConnectionClosed, LocalProtocolError, OSError):  # leaving: its own thread takes care of that
                member.send(json.dumps(event))


@sock.route("/chat")
def chat(member: Server) -> None:
    name = request.args.get("name", "")[:40] or "somebody"
    with books:
        members.add(member)
    try:
        tell_all(who=name, news="joined")
        while True:  # until receive() raises ConnectionClosed, which is Flask-Sock's to catch
            tell_all(who=name, says=member.receive())
    finally:
        with books:
            members.discard(member)
        tell_all(who=name, news="left")


app = to_asgi(flask_app)


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the chat on uvicorn.")
    parser.add_argument("--port", type=int, default=8000)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port)


if __name__ == "__main__":
    main()
