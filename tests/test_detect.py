"""WSGI or ASGI, and of which version: what `to_wsgi` and `to_asgi` wrap, and what they give back as it is."""

from __future__ import annotations

import functools
import inspect

import falcon
import falcon.asgi
import flask
import pytest
from bottle import Bottle
from channels.routing import ProtocolTypeRouter
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import PlainTextResponse

from bridge import ASGIToWSGI, WSGIToASGI, to_asgi, to_wsgi
from bridge.detect import is_asgi, is_two_step, single_callable
from tests.gateway import hosted, run


async def asgi_function(scope, receive, send): ...


def asgi_plain_function(scope, receive, send):
    return asgi_function(scope, receive, send)


@functools.wraps(asgi_function)
def decorated_asgi_function(*args):
    return asgi_function(*args)


async def asgi_function_of_anything(*args): ...


async def with_more(extra, scope, receive, send): ...


def wsgi_function(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]


def wsgi_function_of_anything(*args, **kwargs): ...


def wsgi_function_with_an_option(environ, start_response, prefix=""): ...


class ASGIInstance:
    async def __call__(self, scope, receive, send): ...

    async def method(self, scope, receive, send): ...

    @classmethod
    async def of_class(cls, scope, receive, send): ...

    @staticmethod
    async def static(scope, receive, send): ...


class PlainASGIInstance:
    def __call__(self, scope, receive, send):
        return asgi_function(scope, receive, send)


class ASGIInstanceWithSlots:
    __slots__ = ()

    async def __call__(self, scope, receive, send): ...


class WSGIInstance:
    def __init__(self, app=None):
        self.app = app

    def __call__(self, environ, start_response):
        return [b""]

    def method(self, environ, start_response): ...


class WSGIClass:
    """An application that is a class: each request makes one, which is iterated over (PEP 3333)."""

    def __init__(self, environ, start_response):
        self.start = start_response

    def __iter__(self):
        self.start("200 OK", [])
        yield b""


class TwoStepClass:
    """An application of ASGI 2: each connection makes one, which is called with receive and send."""

    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": self.scope["path"].encode()})


def two_step_function(scope):
    return functools.partial(asgi_function, scope)


class TwoStepInstance:
    def __call__(self, scope):
        return two_step_function(scope)


ASGI_3_BY_ARGUMENTS = [
    pytest.param(asgi_plain_function, id="function that returns a coroutine"),
    pytest.param(lambda scope, receive, send: PlainASGIInstance()(scope, receive, send), id="lambda"),  # noqa: PLW0108
    pytest.param(PlainASGIInstance(), id="instance that returns a coroutine"),
    pytest.param(functools.partial(ASGIInstance()), id="partial of an instance"),
    pytest.param(decorated_asgi_function, id="decorated function"),
]
ASGI_3 = [
    pytest.param(asgi_function, id="function"),
    pytest.param(asgi_function_of_anything, id="coroutine function of anything"),
    pytest.param(functools.partial(with_more, "extra"), id="partial"),
    pytest.param(functools.partial(functools.partial(with_more), "extra"), id="partial of a partial"),
    pytest.param(ASGIInstance(), id="instance"),
    pytest.param(ASGIInstanceWithSlots(), id="instance with slots"),
    pytest.param(ASGIInstance().method, id="bound method"),
    pytest.param(ASGIInstance.of_class, id="class method"),
    pytest.param(ASGIInstance.static, id="static method"),
    pytest.param(Starlette(), id="Starlette"),
    pytest.param(PlainTextResponse("a response"), id="Starlette's response"),
    pytest.param(FastAPI(), id="FastAPI"),
    pytest.param(GZipMiddleware(Starlette()), id="Starlette's middleware"),
    pytest.param(Quart("app"), id="Quart"),
    pytest.param(Quart("app").asgi_app, id="Quart's method"),
    pytest.param(Litestar([], openapi_config=None), id="Litestar"),
    pytest.param(ASGIHandler.__new__(ASGIHandler), id="Django"),  # without settings
    pytest.param(falcon.asgi.App(), id="Falcon"),
    pytest.param(ProtocolTypeRouter({}), id="Channels"),
    pytest.param(WSGIToASGI(flask.Flask("app")), id="WSGIToASGI"),
]
ASGI_2 = [
    pytest.param(TwoStepClass, id="class"),
    pytest.param(two_step_function, id="function"),
    pytest.param(lambda scope: TwoStepInstance()(scope), id="lambda"),  # noqa: PLW0108
    pytest.param(TwoStepInstance(), id="instance"),
    pytest.param(functools.partial(TwoStepClass), id="partial of a class"),
]
WSGI = [
    pytest.param(wsgi_function, id="function"),
    pytest.param(wsgi_function_of_anything, id="function of anything"),
    pytest.param(wsgi_function_with_an_option, id="function with a third, optional argument"),
    pytest.param(lambda environ, start_response: [b""], id="lambda"),
    pytest.param(functools.partial(wsgi_function_with_an_option, prefix="/app"), id="partial"),
    pytest.param(WSGIInstance(), id="instance"),
    pytest.param(WSGIInstance(WSGIInstance()), id="middleware"),
    pytest.param(WSGIInstance(ASGIInstance()), id="middleware around an ASGI application"),
    pytest.param(WSGIInstance().method, id="bound method"),
    pytest.param(WSGIClass, id="class"),
    pytest.param(flask.Flask("app"), id="Flask"),
    pytest.param(flask.Flask("app").wsgi_app, id="Flask's method"),
    pytest.param(WSGIHandler.__new__(WSGIHandler), id="Django"),
    pytest.param(falcon.App(), id="Falcon"),
    pytest.param(Bottle(), id="Bottle"),
    pytest.param(ASGIToWSGI(asgi_function), id="ASGIToWSGI"),
]


@pytest.mark.requirement("A-112")
@pytest.mark.parametrize("app", [*ASGI_3, *ASGI_3_BY_ARGUMENTS])
def test_an_application_of_asgi_3_is_recognised(app):
    assert is_asgi(app)
    assert not is_two_step(app)


@pytest.mark.requirement("A-112")
@pytest.mark.parametrize("app", ASGI_2)
def test_an_application_of_asgi_2_is_recognised(app):
    assert is_asgi(app)
    assert is_two_step(app)


@pytest.mark.parametrize("app", WSGI)
def test_a_wsgi_application_is_recognised(app):
    assert not is_asgi(app)
    assert not is_two_step(app)


@pytest.mark.parametrize("app", WSGI)
def test_to_wsgi_gives_a_wsgi_application_back(app):
    assert to_wsgi(app) is app


@pytest.mark.parametrize("app", [*ASGI_3, *ASGI_3_BY_ARGUMENTS, *ASGI_2])
def test_to_wsgi_wraps_an_asgi_application_and_passes_the_options_on(app):
    wrapped = to_wsgi(app, lifespan="off")

    assert isinstance(wrapped, ASGIToWSGI)
    assert wrapped.app is app
    with pytest.raises(TypeError, match="lifespan must be one of"):
        to_wsgi(app, lifespan="perhaps")


@pytest.mark.parametrize("app", ASGI_3)
def test_to_asgi_gives_an_asgi_application_back(app):
    assert to_asgi(app) is app


@pytest.mark.parametrize("app", ASGI_3_BY_ARGUMENTS)
def test_to_asgi_knows_an_asgi_application_by_its_arguments_too(app):
    assert to_asgi(app) is app


@pytest.mark.parametrize("app", WSGI)
def test_to_asgi_wraps_a_wsgi_application(app):
    assert isinstance(to_asgi(app), WSGIToASGI)


def test_wrapping_twice_is_wrapping_once():
    adapter = to_wsgi(asgi_function)

    assert to_wsgi(adapter) is adapter
    assert is_asgi(to_asgi(adapter)), "there and back again is served, if somebody wants it"


def test_an_application_is_not_called_to_find_out_what_it_is():
    def fail(*args):
        raise AssertionError("called")

    class Touchy:
        def __call__(self, scope, receive, send):
            fail()

        def __getattr__(self, name):
            raise AttributeError(name)

    assert is_asgi(Touchy())
    assert isinstance(to_wsgi(lambda scope: fail()), ASGIToWSGI)
    assert to_wsgi(fail) is fail


@pytest.mark.requirement("A-112")
def test_an_application_of_asgi_2_is_served_like_any_other(backend):
    class App(TwoStepClass):
        def __init__(self, scope):
            if scope["type"] != "http":
                raise NotImplementedError(scope["type"])
            super().__init__(scope)

    with hosted(App, event_loop=backend.name) as adapter:
        assert adapter.app is App
        assert run(adapter).body == b"/"


@pytest.mark.requirement("A-112")
def test_the_two_steps_get_what_belongs_to_them(backend):
    calls: list[tuple[object, ...]] = []

    def app(scope):
        calls.append((scope,))

        async def instance(receive, send):
            calls.append((receive, send))

        return instance

    backend.run(single_callable(app), {"type": "http"}, "receive", "send")

    assert calls == [({"type": "http"},), ("receive", "send")]


def test_what_has_no_signature_is_taken_for_what_is_to_be_translated():
    """Compiled applications may have none; whoever calls a translation knows what the application is."""
    with pytest.raises(ValueError, match="signature"):
        inspect.signature(dict)

    assert is_asgi(dict) is None
    assert not is_two_step(dict)
    assert isinstance(to_asgi(dict), WSGIToASGI)
    assert isinstance(to_wsgi(dict), ASGIToWSGI)
