"""The site in Channels: HTTP consumers behind its URL router, without a view of Django."""

from __future__ import annotations

import django
from channels.generic.http import AsyncHttpConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

from tests.matrix.expected import BLOCKS, OCTETS, greeting

settings.configure(SECRET_KEY="not secret")
django.setup()


class Greet(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, greeting("Channels").encode(), headers=[(b"Content-Type", b"text/plain")])


class Echo(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        headers = [(b"Content-Type", OCTETS.encode()), (b"X-Length", str(len(body)).encode())]
        await self.send_response(200, body, headers=headers)


class Stream(AsyncHttpConsumer):
    async def handle(self, body: bytes) -> None:
        await self.send_headers(status=200, headers=[(b"Content-Type", b"text/plain")])
        for block in BLOCKS:
            await self.send_body(block, more_body=True)
        await self.send_body(b"")


app = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [path("", Greet.as_asgi()), path("echo", Echo.as_asgi()), path("stream", Stream.as_asgi())],
        )
    }
)
