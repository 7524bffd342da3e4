"""What each kind of object is taken for, what the refusals say, and that nothing is called to find out."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import unittest.mock
import warnings
from typing import Any

import aiohttp.web
import bottle
import falcon
import falcon.asgi
import fastapi
import flask
import litestar
import pytest
import quart
import sanic
import starlette.applications
import starlette.endpoints
import starlette.middleware.gzip
import starlette.responses
import starlette.routing
import tornado.web
import werkzeug.local
import werkzeug.wrappers
from asgiref.compatibility import double_to_single_callable
from channels.routing import ProtocolTypeRouter
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from hypothesis import given
from hypothesis import strategies as st

import bridge  # noqa: F401 - this one and others are named in the documentation
from bridge import (
    AmbiguousAppError,
    ASGIToWSGI,
    DetectionError,
    NotAnAppError,
    WSGIToASGI,
    detect,
    dual,
    mark,
    to_asgi,
    to_wsgi,
)
from bridge._strangers import name_of
from bridge.detect import PROTOCOLS, is_coroutine_function, is_two_step, protocol_of, single_callable
from tests.docs.pages import code, table
from tests.gateway import hosted, run

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports pkg_resources, which warns
    import pyramid.config  # noqa: F401 - named in the documentation


async def asgi_function(scope, receive, send): ...


def asgi_plain_function(scope, receive, send):
    return asgi_function(scope, receive, send)


async def asgi_function_of_anything(*args): ...


async def with_more(extra, scope, receive, send): ...


def wsgi_function(environ, start_response):
    start_response("200 OK", [])
    return [b"wsgi"]


def wsgi_function_with_an_option(environ, start_response, prefix=""): ...


def wrapping(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


def hiding(function):
    def inner(*args, **kwargs):
        return function(*args, **kwargs)

    return inner


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


class ASGIClass:
    """Each connection makes one, which is awaited."""

    def __init__(self, scope, receive, send):
        self.send = send

    def __await__(self):
        yield


class WSGIInstance:
    def __init__(self, app=None):
        self.app = app

    def __call__(self, environ, start_response):
        return [b""]

    def method(self, environ, start_response): ...


@dataclasses.dataclass
class WSGIDataclass:
    """Its instances cannot be hashed."""

    name: str = ""

    def __call__(self, environ, start_response): ...


@dataclasses.dataclass
class ASGIDataclass:
    name: str = ""

    async def __call__(self, scope, receive, send): ...


class WSGIMiddleware:
    """Its class has the shape of an ASGI 2 application, if nobody looks at the names."""

    def __init__(self, app):
        self.app = app

    def __call__(self, environ, start_response):
        return self.app(environ, start_response)


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


django_wsgi_handler = WSGIHandler.__new__(WSGIHandler)  # without settings
django_asgi_handler = ASGIHandler.__new__(ASGIHandler)

ASGI_3 = [
    pytest.param(asgi_function, id="function"),
    pytest.param(asgi_function_of_anything, id="coroutine function of anything"),
    pytest.param(asgi_plain_function, id="function that returns a coroutine"),
    pytest.param(lambda scope, receive, send: PlainASGIInstance()(scope, receive, send), id="lambda"),  # noqa: PLW0108
    pytest.param(lambda scope, *channels: None, id="function of a scope and more"),
    pytest.param(lambda scope=None, receive=None, send=None: None, id="function of a scope, all optional"),
    pytest.param(functools.partial(with_more, "extra"), id="partial"),
    pytest.param(functools.partial(functools.partial(with_more), "extra"), id="partial of a partial"),
    pytest.param(functools.partial(ASGIInstance()), id="partial of an instance"),
    pytest.param(functools.partial(ASGIInstance().method), id="partial of a method"),
    pytest.param(functools.partial(ASGIClass), id="partial of a class"),
    pytest.param(wrapping(asgi_function), id="decorated function"),
    pytest.param(wrapping(ASGIInstance().method), id="decorated method"),
    pytest.param(ASGIInstance(), id="instance"),
    pytest.param(PlainASGIInstance(), id="instance that returns a coroutine"),
    pytest.param(ASGIInstanceWithSlots(), id="instance with slots"),
    pytest.param(ASGIDataclass(), id="instance that cannot be hashed"),
    pytest.param(ASGIClass, id="class"),
    pytest.param(ASGIInstance().method, id="bound method"),
    pytest.param(ASGIInstance.of_class, id="class method"),
    pytest.param(ASGIInstance.static, id="static method"),
    pytest.param(double_to_single_callable(TwoStepClass), id="asgiref's translation of ASGI 2"),
    pytest.param(single_callable(TwoStepClass), id="our translation of ASGI 2"),
    pytest.param(starlette.responses.PlainTextResponse("a response"), id="Starlette's response"),
    pytest.param(
        starlette.middleware.gzip.GZipMiddleware(starlette.applications.Starlette()), id="Starlette's middleware"
    ),
    pytest.param(starlette.routing.Mount("/", starlette.applications.Starlette()), id="Starlette's mount"),
    pytest.param(starlette.endpoints.WebSocketEndpoint, id="Starlette's WebSocket endpoint"),
    pytest.param(quart.Quart("app").asgi_app, id="Quart's method"),
    pytest.param(ProtocolTypeRouter({}), id="Channels"),
    pytest.param(unittest.mock.AsyncMock(), id="AsyncMock"),
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
    pytest.param(wsgi_function_with_an_option, id="function with a third, optional argument"),
    pytest.param(lambda environ, start_response: [b""], id="lambda"),
    pytest.param(lambda environ, *more: [b""], id="function of an environ and more"),
    pytest.param(functools.partial(wsgi_function_with_an_option, prefix="/app"), id="partial"),
    pytest.param(functools.partial(flask.Flask("app")), id="partial of an instance"),
    pytest.param(functools.partial(WSGIInstance().method), id="partial of a method"),
    pytest.param(functools.partial(WSGIClass), id="partial of a class"),
    pytest.param(wrapping(wsgi_function), id="decorated function"),
    pytest.param(WSGIInstance(), id="instance"),
    pytest.param(WSGIDataclass(), id="instance that cannot be hashed"),
    pytest.param(WSGIMiddleware(WSGIInstance()), id="middleware"),
    pytest.param(WSGIMiddleware(ASGIInstance()), id="middleware around an ASGI application"),
    pytest.param(WSGIInstance().method, id="bound method"),
    pytest.param(WSGIClass, id="class"),
    pytest.param(werkzeug.wrappers.Response("a response"), id="Werkzeug's response"),
    pytest.param(bottle.default_app(), id="Bottle's default"),
]
AMBIGUOUS = [
    pytest.param(hiding(asgi_function), id="decorated without wraps"),
    pytest.param(lambda *args: None, id="function of anything"),
    pytest.param(lambda config=None, debug=False: None, id="factory with two options"),
    pytest.param(lambda a: None, id="function of one argument"),
    pytest.param(print, id="builtin"),
    pytest.param(dict, id="builtin without a signature"),
    pytest.param(unittest.mock.MagicMock(), id="MagicMock"),
    pytest.param(unittest.mock.Mock(spec=flask.Flask), id="Mock of Flask"),
    pytest.param(werkzeug.local.LocalProxy(lambda: flask.Flask("app")), id="proxy"),
    pytest.param(flask.request, id="proxy of nothing"),
]
NO_APPS = [
    pytest.param(lambda: None, "looks like a factory.*--factory", id="factory"),
    pytest.param(lambda config=None: None, "looks like a factory.*--factory", id="factory with an option"),
    pytest.param(lambda *, debug=False: None, "looks like a factory.*--factory", id="factory with a keyword"),
    pytest.param(functools.partial(TwoStepClass, {}), "looks like a factory", id="partial with nothing left to give"),
    pytest.param(lambda a, b, c, d: None, r"needs 4 arguments \(a, b, c, d\)", id="four arguments"),
    pytest.param(lambda environ, start_response, *, key: None, "needs the keyword argument 'key'", id="keyword"),
    pytest.param(with_more, "coroutine function of the arguments", id="coroutine function of too many"),
    pytest.param(asgi_function.__get__({}), "coroutine function of the arguments", id="coroutine function of two"),
    pytest.param(WSGIInstance.method, "method without its object: make an instance", id="unbound method"),
    pytest.param(ASGIInstance.method, "method without its object: make an instance", id="unbound coroutine method"),
    pytest.param(TwoStepClass.__call__, "method without its object: make an instance", id="unbound second step"),
    pytest.param(ASGIInstance, "make an instance of it", id="class of instances"),
    pytest.param(WSGIMiddleware, "make an instance of it", id="class of middleware"),
    pytest.param(quart.Quart, "make an instance of it", id="Quart's class"),
    pytest.param(starlette.applications.Starlette, "make an instance of it", id="Starlette's class"),
    pytest.param(fastapi.FastAPI, "make an instance of it", id="FastAPI's class"),
    pytest.param(litestar.Litestar, "make an instance of it", id="Litestar's class"),
    pytest.param(falcon.App, "make an instance of it", id="Falcon's class"),
    pytest.param(falcon.asgi.App, "make an instance of it", id="Falcon's other class"),
    pytest.param(bottle.Bottle, "make an instance of it", id="Bottle's class"),
    pytest.param(sanic.Sanic, "make an instance of it", id="Sanic's class"),
    pytest.param(unittest.mock.Mock, "make an instance of it", id="Mock's class"),
    pytest.param(aiohttp.web.Application(), "aiohttp speaks a protocol of its own; run it with", id="aiohttp"),
    pytest.param(tornado.web.Application(), "Tornado speaks a protocol of its own; run it with", id="Tornado"),
    pytest.param(quart.Blueprint("a", "b"), "register it and name the application", id="Quart's blueprint"),
    pytest.param(sanic.Blueprint("a"), "register it and name the application", id="Sanic's blueprint"),
    pytest.param(aiohttp.web.RouteTableDef(), "cannot be called", id="aiohttp's routes"),
    pytest.param(bottle, "bottle is a module, not an application: name the application in it", id="module"),
    pytest.param(None, "cannot be called", id="None"),
    pytest.param(3, "cannot be called", id="number"),
    pytest.param([wsgi_function], "cannot be called", id="list"),
]
DOCUMENTED = [
    pytest.param(eval(code(row[0])), code(row[1]), id=code(row[0]))
    for row in table("reference/detection.md", "Common objects")
]


@pytest.mark.requirement("A-112")
@pytest.mark.parametrize(
    ("app", "protocol"),
    [
        pytest.param(*row.values, protocol, id=f"{protocol}: {row.id}")
        for protocol, rows in [("asgi", ASGI_3), ("asgi2", ASGI_2), ("wsgi", WSGI)]
        for row in rows
    ],
)
def test_an_application_is_recognised(app, protocol):
    detection = detect(app)

    assert detection.protocol == protocol_of(app) == protocol
    assert is_two_step(app) == (protocol == "asgi2")
    assert detection.reason.startswith(("it ", "its ", "calling "))


@pytest.mark.parametrize(("app", "answer"), DOCUMENTED)
def test_the_documentation_tells_what_common_objects_are(app, answer):
    try:
        found = detect(app).protocol
    except DetectionError as error:
        found = type(error).__name__

    assert found == answer


@pytest.mark.parametrize("app", AMBIGUOUS)
def test_what_could_be_either_is_refused_with_the_ways_to_be_explicit(app):
    with pytest.raises(AmbiguousAppError, match=r"mark\('wsgi'\)\(app\).*--protocol|name that application itself"):
        detect(app)

    assert protocol_of(app) is None
    assert not is_two_step(app)


@pytest.mark.parametrize("app", AMBIGUOUS)
def test_what_could_be_either_is_translated_by_whoever_calls_a_translation(app):
    assert isinstance(to_asgi(app), WSGIToASGI)
    assert isinstance(to_wsgi(app), ASGIToWSGI)


@pytest.mark.parametrize(("app", "message"), NO_APPS)
@pytest.mark.parametrize("ask", [detect, protocol_of, to_asgi, to_wsgi, dual])
def test_what_is_no_application_is_refused_with_what_to_do(ask, app, message):
    with pytest.raises(NotAnAppError, match=message) as raised:
        ask(app)

    assert isinstance(raised.value, TypeError)
    assert not is_two_step(app)


@pytest.mark.parametrize("app", ASGI_3)
def test_to_asgi_gives_an_asgi_application_back(app):
    assert to_asgi(app) is app


@pytest.mark.parametrize("app", WSGI)
def test_to_wsgi_gives_a_wsgi_application_back(app):
    assert to_wsgi(app) is app


@pytest.mark.parametrize("app", WSGI)
def test_to_asgi_wraps_a_wsgi_application(app):
    assert isinstance(to_asgi(app), WSGIToASGI)


@pytest.mark.parametrize("app", [*ASGI_3, *ASGI_2])
def test_to_wsgi_wraps_an_asgi_application_and_passes_the_options_on(app):
    wrapped = to_wsgi(app, lifespan="off")

    assert isinstance(wrapped, ASGIToWSGI)
    assert wrapped.app is app
    with pytest.raises(TypeError, match="lifespan must be one of"):
        to_wsgi(app, lifespan="perhaps")


def test_wrapping_twice_is_wrapping_once():
    adapter = to_wsgi(asgi_function)

    assert to_wsgi(adapter) is adapter
    assert detect(to_asgi(adapter)).protocol == "asgi", "there and back again is served, if somebody wants it"


# ---- Marks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: hiding(wsgi_function), id="function"),
        pytest.param(lambda: functools.partial(wsgi_function), id="partial"),
        pytest.param(lambda: flask.Flask("app"), id="Flask"),
        pytest.param(fastapi.FastAPI, id="FastAPI"),
        pytest.param(bottle.Bottle, id="Bottle"),
        pytest.param(lambda: type("App", (WSGIInstance,), {}), id="class"),
        pytest.param(lambda: aiohttp.web.RouteTableDef(), id="what is no application"),  # noqa: PLW0108
    ],
)
def test_a_mark_wins_over_everything_that_is_guessed(make, protocol):
    app = make()

    assert mark(protocol)(app) is app
    assert detect(app).protocol == protocol
    assert "marked" in detect(app).reason


def test_a_mark_on_a_class_holds_for_its_instances_and_functools_wraps_keeps_it():
    marked_class = mark("asgi2")(type("App", (WSGIInstance,), {}))
    marked = mark("wsgi")(hiding(wsgi_function))

    assert detect(marked_class()).protocol == "asgi2"
    assert detect(wrapping(marked)).protocol == "wsgi"
    with pytest.raises(AmbiguousAppError):
        detect(hiding(marked))


@pytest.mark.parametrize(("name", "protocol"), [("_asgi_single_callable", "asgi"), ("_asgi_double_callable", "asgi2")])
def test_the_marks_of_asgiref_are_known(name, protocol):
    app = hiding(asgi_function)
    setattr(app, name, True)

    assert detect(app).protocol == protocol


def test_a_mark_of_ours_wins_over_one_of_asgiref():
    app = hiding(wsgi_function)
    app._asgi_single_callable = True

    assert detect(mark("wsgi")(app)).protocol == "wsgi"


@pytest.mark.parametrize("value", ["WSGI", "http", 3, True])
def test_a_wrong_mark_is_refused_with_the_right_ones(value):
    app = hiding(wsgi_function)
    app.__bridge_protocol__ = value

    with pytest.raises(AmbiguousAppError, match="wsgi, asgi, asgi2, dual"):
        detect(app)
    with pytest.raises(ValueError, match="'wsgi', 'asgi', 'asgi2', 'dual'"):
        mark(value)


@pytest.mark.parametrize("app", [ASGIInstanceWithSlots(), ASGIInstance().method, print, dict])
def test_what_can_carry_no_mark_is_a_type_error(app):
    with pytest.raises(TypeError):
        mark("wsgi")(app)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect.markcoroutinefunction is of Python 3.12")
def test_what_is_marked_as_a_coroutine_function_is_one():
    function = inspect.markcoroutinefunction(hiding(asgi_function))

    assert is_coroutine_function(function)
    assert detect(function).protocol == "asgi"


# ---- Nothing is called ----------------------------------------------------------------------------------------------

NAMES = ["scope", "receive", "send", "environ", "start_response", "app"]
SHAPES = {
    "function": "def app({}): called.append(1)",
    "coroutine function": "async def app({}): called.append(1)",
    "class": "class app:\n def __init__(this, {}): called.append(1)",
    "class of responses": "class app:\n def __init__(this, {}): called.append(1)\n def __iter__(this): ...",
    "class of steps": "class app:\n def __init__(this, {}): called.append(1)\n def __call__(this, a, b): ...",
    "instance": "class App:\n def __call__(this, {}): called.append(1)\napp = App()",
    "method": "class App:\n def method(this, {}): called.append(1)\napp = App().method",
    "unbound method": "class App:\n def method(self, {}): called.append(1)\napp = App.method",
}
WAYS = {"as it is": lambda app: app, "wrapped": wrapping, "hidden": hiding, "partial": functools.partial}


@st.composite
def parameters(draw):
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=5))
    required = draw(st.integers(0, len(names)))
    listed = [name if number < required else f"{name}=None" for number, name in enumerate(names)]
    listed += draw(st.sampled_from([[], ["*rest"], ["*", "key"], ["*", "key=None"]]))
    return ", ".join([*listed, *draw(st.sampled_from([[], ["**named"]]))])


@given(shape=st.sampled_from(sorted(SHAPES)), parameters=parameters(), way=st.sampled_from(sorted(WAYS)))
def test_nothing_is_ever_called_and_the_answer_is_one_that_fits(shape, parameters, way):
    called: list[int] = []
    namespace: dict[str, Any] = {"called": called}
    exec(SHAPES[shape].format(parameters), namespace)
    app = WAYS[way](namespace["app"])

    try:
        protocol = detect(app).protocol
    except DetectionError as error:
        words = ("mark(", "--factory", "make an instance", "which no server gives", "WSGI gives two", "ASGI 3 calls")
        assert any(word in str(error) for word in words)
    else:
        arguments = {"wsgi": "es", "asgi": "srs", "asgi2": "s"}[protocol]
        inspect.signature(app).bind(*arguments)
    assert called == []


def test_an_application_that_minds_being_touched_is_recognised():
    class Touchy:
        def __call__(self, scope, receive, send):
            raise AssertionError("called")

        def __getattr__(self, name):
            raise AttributeError(name)

        def __repr__(self):
            raise AssertionError("shown")

        def __bool__(self):
            raise AssertionError("judged")

        __hash__ = __len__ = __iter__ = __bool__

    assert detect(Touchy()).protocol == "asgi"
    assert isinstance(to_wsgi(Touchy()), ASGIToWSGI)


def test_what_cannot_even_be_looked_at_is_ambiguous():
    """Lazy objects ask what they stand for even for their class, and that can fail."""

    class Lazy:
        is_ready = False

        @property
        def __class__(self):
            if not Lazy.is_ready:
                raise RuntimeError("there are no settings\nyet")
            return Lazy

        def __call__(self, *args): ...

    lazy = Lazy()
    with pytest.raises(AmbiguousAppError, match="name that application itself"):
        detect(lazy)
    Lazy.is_ready = True  # the search for leaks looks at every object


def test_names_are_short_and_made_without_repr():
    assert name_of(wsgi_function) == f"the function {__name__}.wsgi_function"
    assert name_of(WSGIClass) == f"the class {__name__}.WSGIClass"
    assert name_of(WSGIInstance()) == f"an instance of {__name__}.WSGIInstance"
    assert name_of(functools.partial(len)) == "a partial of the function builtins.len"
    assert name_of(types.SimpleNamespace(__qualname__="no routine")) == "an instance of types.SimpleNamespace"


# ---- ASGI 2 ---------------------------------------------------------------------------------------------------------


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


# ---- Wrappers -------------------------------------------------------------------------------------------------------


def around(inner, kind):
    """Return a new function around another one, as decorators make them."""

    @functools.wraps(inner)
    async def asgi(scope, receive, send): ...

    @functools.wraps(inner)
    async def anything(*args): ...

    @functools.wraps(inner)
    def wsgi(environ, start_response): ...

    return {"asgi": asgi, "anything": anything, "wsgi": wsgi}[kind]


async def view_of_a_request(request): ...


def view_of_three(request, session, database): ...


@pytest.mark.parametrize(
    ("app", "protocol"),
    [
        pytest.param(around(view_of_a_request, "asgi"), "asgi", id="asgi around a view"),
        pytest.param(around(view_of_three, "wsgi"), "wsgi", id="wsgi around a view of three"),
        pytest.param(around(view_of_a_request, "anything"), "asgi", id="coroutine function of anything"),
        pytest.param(
            werkzeug.wrappers.Request.application(lambda request: werkzeug.wrappers.Response()), "wsgi", id="werkzeug"
        ),
    ],
)
def test_what_is_around_a_function_counts_more_than_what_is_inside(app, protocol):
    assert detect(app).protocol == protocol


def test_an_asynchronous_generator_is_no_application():
    async def app(scope, receive, send):
        yield b""

    with pytest.raises(NotAnAppError, match="nobody can await it"):
        detect(app)


@pytest.mark.parametrize("kind", [aiohttp.web.Application, tornado.web.Application])
def test_the_class_of_something_foreign_is_refused_like_the_thing(kind):
    with pytest.raises(NotAnAppError, match="protocol of its own"):
        detect(kind)
