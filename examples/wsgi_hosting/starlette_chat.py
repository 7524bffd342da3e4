"""A chat in Starlette, on a WSGI server.

    gunicorn starlette_chat:app                       # http://127.0.0.1:8000, in two windows
    python starlette_chat.py                          # on the server of the standard library

Needs the extra ``wsgi-asgi-bridge[websocket]``. The application is an ordinary one: the one line that matters is
``app = to_wsgi(starlette_app)``.

An open socket holds no thread of the server (unless that does TLS itself): it lives on the event loop of the process,
and gunicorn's sync worker, which has one request at a time, has any number of them. The room is in memory, so everybody
must be in one process.
"""

import argparse
from contextlib import suppress
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIServer, make_server

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bridge import to_wsgi

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>Starlette on a WSGI server</title>
<style>
body { font: 1.1em/1.6 system-ui; max-width: 36em; margin: 3em auto }
ol { list-style: none; padding: 0; min-height: 12em }
.news { color: gray; font-style: italic }
</style>
<h1>Starlette on a WSGI server</h1>
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

members: set[WebSocket] = set()


async def page(_request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def tell_all(**event: str) -> None:
    # A member that takes nothing holds up the room; where strangers meet, give each member a queue and a task that
    # sends what is in it.
    for member in tuple(members):
        with suppress(WebSocketDisconnect, RuntimeError):  # leaving: its own task takes care of that
            await member.send_json(event)


async def chat(member: WebSocket) -> None:
    name = member.query_params.get("name", "")[:40] or "somebody"
    await member.accept()
    members.add(member)
    try:
        await tell_all(who=name, news="joined")
        async for words in member.iter_text():
            await tell_all(who=name, says=words)
    finally:
        members.discard(member)
        await tell_all(who=name, news="left")


starlette_app = Starlette(routes=[Route("/", page), WebSocketRoute("/chat", chat)])

app = to_wsgi(starlette_app)


class ThreadingServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # browsers open connections ahead of time: one thread alone would wait for their requests


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the chat on wsgiref.")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()
    with suppress(KeyboardInterrupt), make_server("127.0.0.1", options.port, app, ThreadingServer) as server:
        print(f"Running on http://127.0.0.1:{server.server_port}")
        server.serve_forever()


if __name__ == "__main__":
    main()
