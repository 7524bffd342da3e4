"""The site in Falcon, by its WSGI application."""

from __future__ import annotations

import falcon

from tests.matrix.expected import BLOCKS, OCTETS, greeting


class Greet:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = greeting("Falcon (WSGI)")


class Echo:
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        body = req.bounded_stream.read()
        resp.content_type = OCTETS
        resp.set_header("X-Length", str(len(body)))
        resp.data = body


class Stream:
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = (block for block in BLOCKS)


app = falcon.App()
app.add_route("/", Greet())
app.add_route("/echo", Echo())
app.add_route("/stream", Stream())
