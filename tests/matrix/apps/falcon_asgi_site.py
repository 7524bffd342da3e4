"""The site in Falcon, by its ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator

import falcon
import falcon.asgi

from tests.matrix.expected import BLOCKS, OCTETS, greeting


class Greet:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = greeting("Falcon (ASGI)")


class Echo:
    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        body = await req.stream.read()
        resp.content_type = OCTETS
        resp.set_header("X-Length", str(len(body)))
        resp.data = body


class Stream:
    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        async def blocks() -> AsyncIterator[bytes]:
            for block in BLOCKS:
                yield block

        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = blocks()


app = falcon.asgi.App()
app.add_route("/", Greet())
app.add_route("/echo", Echo())
app.add_route("/stream", Stream())
