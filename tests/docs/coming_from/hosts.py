"""The adapters that the pages compare, each made as its page says and ended after the test."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

from bridge import ASGIToWSGI, Limits, WSGIToASGI
from tests.docs.coming_from.clients import ASGIApp
from tests.gateway import QUICK


@contextmanager
def bridge(app: Any, **limits: Any) -> Iterator[ASGIApp]:
    """The bridge with its defaults, but that idle threads end at once."""
    yield WSGIToASGI(app, limits=Limits(worker_idle_s=0.05, **limits))


@contextmanager
def a2wsgi(app: Any, **_: Any) -> Iterator[ASGIApp]:
    from a2wsgi import WSGIMiddleware

    adapter = WSGIMiddleware(app)
    try:
        yield adapter
    finally:
        adapter.executor.shutdown()


@contextmanager
def asgiref(app: Any, **_: Any) -> Iterator[ASGIApp]:
    """Its one thread belongs to the process: here to the test."""
    from asgiref.sync import SyncToAsync
    from asgiref.wsgi import WsgiToAsgi

    before = SyncToAsync.single_thread_executor
    SyncToAsync.single_thread_executor = ThreadPoolExecutor(max_workers=1)
    try:
        yield WsgiToAsgi(app)
    finally:
        SyncToAsync.single_thread_executor.shutdown()
        SyncToAsync.single_thread_executor = before


@contextmanager
def starlette(app: Any, **_: Any) -> Iterator[ASGIApp]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and says so when it is imported
        from starlette.middleware.wsgi import WSGIMiddleware
    yield WSGIMiddleware(app)


@contextmanager
def uvicorn(app: Any, **_: Any) -> Iterator[ASGIApp]:
    """What ``--interface wsgi`` is without a2wsgi."""
    from uvicorn.middleware.wsgi import _WSGIMiddleware

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is deprecated, and says so when it is made
        adapter = _WSGIMiddleware(app)
    try:
        yield adapter
    finally:
        adapter.executor.shutdown()


@contextmanager
def hypercorn(app: Any, **_: Any) -> Iterator[ASGIApp]:
    """What ``wsgi:`` in front of the name is: called as ``hypercorn.asyncio`` calls it."""
    from hypercorn.app_wrappers import WSGIWrapper
    from hypercorn.config import Config

    adapter = WSGIWrapper(app, Config().wsgi_max_body_size)

    async def hosted(scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()

        def call_soon(function: Any, *arguments: Any) -> Any:
            return asyncio.run_coroutine_threadsafe(function(*arguments), loop).result()

        await adapter(scope, receive, send, partial(loop.run_in_executor, None), call_soon)

    yield hosted


@contextmanager
def hypercorn_on_trio(app: Any, **_: Any) -> Iterator[ASGIApp]:
    from hypercorn.middleware import TrioWSGIMiddleware

    yield TrioWSGIMiddleware(app)


@contextmanager
def hypercorn_middleware(app: Any, **_: Any) -> Iterator[ASGIApp]:
    from hypercorn.middleware import AsyncioWSGIMiddleware

    yield AsyncioWSGIMiddleware(app)


# ---- The other direction --------------------------------------------------------------------------------------------


@contextmanager
def bridge_to_wsgi(app: Any, *, event_loop: Any = "auto", **limits: Any) -> Iterator[Any]:
    """The bridge with its defaults, but that what hangs does not outlive the test."""
    adapter = ASGIToWSGI(app, limits=dataclasses.replace(QUICK, **limits), event_loop=event_loop)
    try:
        yield adapter
    finally:
        adapter.shutdown()


@contextmanager
def a2wsgi_to_wsgi(app: Any, **_: Any) -> Iterator[Any]:
    """Its loop, its thread and what hangs in it are never ended by itself: here they are, after the test."""
    from a2wsgi import ASGIMiddleware
    from a2wsgi.asgi import ASGIResponder

    responders: list[Any] = []

    class Responder(ASGIResponder):
        def __init__(self, *arguments: Any) -> None:
            responders.append(self)
            super().__init__(*arguments)

    async def end() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        adapter.loop.call_soon(adapter.loop.stop)

    before = set(threading.enumerate())
    adapter = ASGIMiddleware(app)
    [thread] = set(threading.enumerate()) - before
    try:
        with mock.patch("a2wsgi.asgi.ASGIResponder", Responder):
            yield adapter
    finally:
        for responder in responders:
            responder.sync_event.set({"type": "http.response.disconnect"})
        asyncio.run_coroutine_threadsafe(end(), adapter.loop)
        thread.join(10)
        assert not thread.is_alive()
        adapter.loop.close()
