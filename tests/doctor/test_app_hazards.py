"""What an application is made of: each rule found where it holds, and not found beside it."""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager
from functools import partial, wraps
from types import SimpleNamespace

import bottle
import pytest
from a2wsgi import ASGIMiddleware, WSGIMiddleware
from fastapi import APIRouter, FastAPI
from flask import Flask
from litestar import Litestar
from quart import Quart
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Host, Mount
from werkzeug.debug import DebuggedApplication
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge import dual, to_asgi, to_wsgi
from bridge.doctor.app_hazards import app_hazards
from bridge.doctor.frameworks import made_with, parts_in
from bridge.doctor.process_hazards import process_hazards
from bridge.doctor.tree import walk


def found_in(app):
    return [(hazard.rule, hazard.where) for hazard in app_hazards(walk(app))]


def rules_in(app):
    return [rule for rule, _ in found_in(app)]


@asynccontextmanager
async def lifespan(app):
    yield


def flask(secret=None, **config):
    app = Flask("shop")
    app.config.update(SECRET_KEY=secret, **config)
    return app


def starlette(**options):
    return Starlette(**options)


def with_sessions(app, **options):
    app.add_middleware(SessionMiddleware, secret_key="x", **options)
    return app


# ---- The tree -------------------------------------------------------------------------------------------------------


def decorated(app):
    @wraps(app)
    def outer(environ, start_response):
        return app(environ, start_response)

    return outer


class Slotted:
    __slots__ = ("app", "missing")

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response): ...


def fixed(app):
    app.wsgi_app = ProxyFix(app.wsgi_app)
    return app


def in_bottle(app):
    outer = bottle.Bottle()
    outer.mount("/in", app)
    return outer


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        pytest.param(lambda app: app, "/", id="itself"),
        pytest.param(fixed, "/", id="middleware inside"),
        pytest.param(ProxyFix, "/", id="middleware around"),
        pytest.param(decorated, "/", id="decorator"),
        pytest.param(partial(partial, decorated), "/", id="partial"),
        pytest.param(Slotted, "/", id="slots"),
        pytest.param(dual, "/", id="dual"),
        pytest.param(to_asgi, "/", id="adapter"),
        pytest.param(lambda app: app.wsgi_app, "/", id="bound method"),
        pytest.param(lambda app: DispatcherMiddleware(None, {"/in": app}), "/in", id="dispatcher"),
        pytest.param(lambda app: Starlette(routes=[Mount("/in", to_asgi(app))]), "/in", id="starlette"),
        pytest.param(
            lambda app: Starlette(routes=[Mount("/a", routes=[Mount("/b", to_asgi(app))])]), "/a/b", id="mount in mount"
        ),
        pytest.param(
            lambda app: Starlette(routes=[Mount("/in", to_asgi(app), middleware=[Middleware(GZipMiddleware)])]),
            "/in",
            id="mount with middleware",
        ),
        pytest.param(lambda app: Starlette(routes=[Host("a.example", to_asgi(app))]), None, id="host"),
        pytest.param(in_bottle, "/in", id="bottle"),
    ],
)
def test_an_application_is_found_inside_whatever_keeps_it(wrap, path):
    app = flask()

    parts = parts_in(walk(wrap(app)))

    assert [part.path for part in parts if part.framework == "flask"] == [path]


def test_an_application_that_holds_itself_is_walked_once():
    app = flask()
    app.wsgi_app = decorated(app.wsgi_app)
    app.app = app

    assert sum(node.app is app for node in walk(app)) == 1


def test_looking_runs_nothing_of_the_application():
    armed = [True]

    class Trap:
        def __call__(self, environ, start_response):
            raise AssertionError

        def __getattr__(self, name):
            raise AssertionError(name)

        @property
        def app(self):
            raise AssertionError

        @property
        def __class__(self):
            if armed:
                raise AssertionError
            return Trap

    trap = Trap()
    nodes = walk(Slotted(trap))
    hazards = list(app_hazards(nodes))
    armed.clear()

    assert nodes[-1].app is trap
    assert hazards == []


@pytest.mark.parametrize(
    ("app", "framework"),
    [
        pytest.param(FastAPI(), "fastapi", id="fastapi"),
        pytest.param(type("Own", (Flask,), {})("own"), "flask", id="subclass"),
        pytest.param(GZipMiddleware(FastAPI()), "fastapi", id="middleware is none"),
        pytest.param(Quart("own"), "quart", id="quart"),
        pytest.param(DispatcherMiddleware(None), "werkzeug", id="a distribution"),
        pytest.param(decorated(lambda environ, start_response: []), None, id="functions"),
        pytest.param(to_asgi(lambda environ, start_response: []), None, id="an adapter of ours"),
    ],
)
def test_the_framework_is_told_with_its_version(app, framework):
    name, version = made_with(app, parts_in(walk(app)))

    assert name == framework
    assert (version is not None) == (framework is not None)


# ---- Debugging ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "where"),
    [
        pytest.param(flask(DEBUG=True), "Shop", id="flask"),
        pytest.param(Starlette(debug=True), "Starlette", id="starlette"),
        pytest.param(FastAPI(debug=True), "FastAPI", id="fastapi"),
        pytest.param(Litestar(debug=True, logging_config=None), "Litestar", id="litestar"),
        pytest.param(DebuggedApplication(flask()), "DebuggedApplication", id="werkzeug"),
    ],
)
def test_debugging_is_told(app, where):
    assert found_in(app) == [("debug-on", where.replace("Shop", "Flask"))]


def test_the_debugging_of_quart_is_told():
    app = Quart("shop")
    app.config["DEBUG"] = True

    assert rules_in(app) == ["debug-on"]


def test_the_debugging_of_bottle_is_told_if_there_is_a_bottle(monkeypatch):
    monkeypatch.setattr(bottle, "DEBUG", True)

    assert rules_in(bottle.Bottle()) == ["debug-on"]
    assert rules_in(flask()) == []


# ---- Lifespans ------------------------------------------------------------------------------------------------------


def mounting(inner, **options):
    return Starlette(routes=[Mount("/in", inner)], **options)


def started_quart():
    app = Quart("shop")
    app.before_serving(lambda: None)
    return app


def including_router(**options):
    app = FastAPI(**options)
    app.include_router(APIRouter())
    return app


def with_startup_hook():
    app = FastAPI()
    app.router.on_startup.append(lambda: None)
    return app


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(Starlette(lifespan=lifespan), id="starlette"),
        pytest.param(FastAPI(lifespan=lifespan), id="fastapi"),
        pytest.param(including_router(lifespan=lifespan), id="fastapi with a router"),
        pytest.param(with_startup_hook(), id="on_startup"),
        pytest.param(started_quart(), id="quart"),
        pytest.param(Litestar(on_startup=[lambda: None], logging_config=None), id="litestar"),
        pytest.param(to_asgi(flask(), on_startup=lambda: None), id="adapter of ours"),
        pytest.param(GZipMiddleware(Starlette(lifespan=lifespan)), id="behind middleware"),
    ],
)
def test_startup_code_of_what_is_mounted_is_not_run(inner):
    (hazard,) = app_hazards(walk(mounting(inner)))

    assert (hazard.rule, hazard.severity) == ("lifespan-not-run", "error")
    assert hazard.where.endswith("at /in")
    assert hazard.what.startswith("Starlette mounts it")


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(Starlette(lifespan=lifespan), id="outermost"),
        pytest.param(GZipMiddleware(Starlette(lifespan=lifespan)), id="outermost behind middleware"),
        pytest.param(mounting(Starlette()), id="nothing to start"),
        pytest.param(mounting(including_router()), id="a router without"),
        pytest.param(mounting(Starlette(lifespan=lifespan), lifespan=lifespan), id="the same"),
        pytest.param(DispatcherMiddleware(flask(), {"/in": to_wsgi(FastAPI(lifespan=lifespan))}), id="its own host"),
    ],
)
def test_startup_code_that_is_run_is_no_hazard(app):
    assert rules_in(app) == []


def test_startup_code_may_be_entered_by_an_outer_lifespan():
    @asynccontextmanager
    async def another(app):
        yield

    assert rules_in(mounting(Starlette(lifespan=lifespan), lifespan=another)) == ["lifespan-by-hand"]
    assert rules_in(mounting(mounting(Starlette(lifespan=lifespan)), lifespan=another)) == ["lifespan-by-hand"]
    assert rules_in(mounting(mounting(Starlette(lifespan=lifespan)))) == ["lifespan-not-run"]


# ---- Cookies --------------------------------------------------------------------------------------------------------


def quart(secret):
    app = Quart("shop")
    app.secret_key = secret
    return app


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(with_sessions(mounting(to_asgi(flask("a")))), id="starlette and flask"),
        pytest.param(with_sessions(mounting(quart("a"))), id="starlette and quart"),
        pytest.param(with_sessions(mounting(with_sessions(Starlette()))), id="starlette twice"),
        pytest.param(DispatcherMiddleware(flask("a"), {"/in": flask("b")}), id="flask with two secrets"),
        pytest.param(SessionMiddleware(mounting(to_asgi(flask("a"))), "x"), id="middleware around"),
        pytest.param(with_sessions(mounting(to_asgi(flask("a", APPLICATION_ROOT="/in")))), id="one path in the other"),
    ],
)
def test_a_session_cookie_used_twice_is_told(app):
    assert found_in(app) == [("shared-session-cookie", "cookie 'session'")]


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(with_sessions(mounting(to_asgi(flask()))), id="flask without sessions"),
        pytest.param(with_sessions(mounting(to_asgi(flask("a", SESSION_COOKIE_NAME="s")))), id="another name"),
        pytest.param(with_sessions(mounting(to_asgi(flask("a"))), session_cookie="s"), id="another name outside"),
        pytest.param(DispatcherMiddleware(flask("a"), {"/in": flask("a")}), id="shared on purpose"),
        pytest.param(
            DispatcherMiddleware(flask("a", SESSION_COOKIE_PATH="/a"), {"/ab": flask("b", SESSION_COOKIE_PATH="/ab")}),
            id="paths apart",
        ),
    ],
)
def test_session_cookies_that_stay_apart_are_no_hazard(app):
    assert rules_in(app) == []


# ---- Adapters, threads, greenlets -----------------------------------------------------------------------------------


async def asgi(scope, receive, send): ...


def wsgi(environ, start_response): ...


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(WSGIMiddleware(to_wsgi(asgi)), id="asgi in wsgi in asgi"),
        pytest.param(to_wsgi(WSGIMiddleware(wsgi)), id="wsgi in asgi in wsgi"),
        pytest.param(ASGIMiddleware(to_asgi(wsgi)), id="somebody else's"),
        pytest.param(
            mounting(to_asgi(DispatcherMiddleware(flask(), {"/deep": to_wsgi(asgi)}))), id="with mounts in between"
        ),
    ],
)
def test_an_adapter_in_an_adapter_is_told(app):
    assert rules_in(app) == ["asgi-inside-wsgi-inside-asgi"]


def test_adapters_side_by_side_are_no_hazard():
    assert rules_in(Starlette(routes=[Mount("/a", to_asgi(flask())), Mount("/b", to_asgi(wsgi))])) == []


def test_an_application_for_one_thread_is_told():
    class OneThread:
        threadsafe = False

        def __call__(self, environ, start_response): ...

    marked = flask()
    marked.multithread = False

    assert found_in(OneThread()) == [("single-threaded-app", "OneThread")]
    assert found_in(marked) == [("single-threaded-app", "Flask")]


@pytest.mark.parametrize(("mode", "expected"), [("gevent", ["greenlet-async-mode"]), ("threading", [])])
def test_a_socket_server_made_for_greenlets_is_told(mode, expected):
    class SocketMiddleware:  # as python-socketio's, which Flask-SocketIO puts around wsgi_app
        def __init__(self, app):
            self.engineio_app = SimpleNamespace(eio=SimpleNamespace(async_mode=mode))
            self.wsgi_app = app

        def __call__(self, environ, start_response): ...

    app = flask()
    app.wsgi_app = SocketMiddleware(app.wsgi_app)

    assert rules_in(app) == expected


# ---- The process ----------------------------------------------------------------------------------------------------


def test_a_process_that_nobody_touched_has_no_hazard():
    assert list(process_hazards()) == []


@pytest.mark.parametrize(
    ("name", "module", "rule"),
    [
        ("gevent.monkey", SimpleNamespace(saved={"socket": {}, "threading": {}}), "gevent-patched"),
        ("eventlet.patcher", SimpleNamespace(already_patched={"thread": True, "os": False}), "eventlet-patched"),
        ("asyncio", SimpleNamespace(_nest_patched=True), "nest-asyncio"),
    ],
)
def test_a_patched_process_is_told(monkeypatch, name, module, rule):
    monkeypatch.setitem(sys.modules, name, module)

    assert [hazard.rule for hazard in process_hazards()] == [rule]


def test_a_loaded_gevent_that_patched_nothing_is_no_hazard(monkeypatch):
    monkeypatch.setitem(sys.modules, "gevent.monkey", SimpleNamespace(saved={}))
    monkeypatch.setitem(sys.modules, "eventlet.patcher", SimpleNamespace(already_patched={}))

    assert list(process_hazards()) == []


def test_unsafe_calls_from_async_code_are_told_where_there_is_a_django(monkeypatch):
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    monkeypatch.setitem(sys.modules, "django", SimpleNamespace())

    assert [hazard.rule for hazard in process_hazards()] == ["async-unsafe-allowed"]
