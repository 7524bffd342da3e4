"""One object for both kinds of servers: how it is called, what it is seen as, and that it is its application."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import Any

import fastapi
import flask
import hypercorn.utils
import pytest
import uvicorn
from asgiref.compatibility import is_double_callable
from werkzeug.middleware.proxy_fix import ProxyFix

from bridge import (
    AmbiguousAppError,
    ASGIToWSGI,
    DualApp,
    Limits,
    NotAnAppError,
    WSGIToASGI,
    detect,
    dual,
    mark,
    to_asgi,
    to_wsgi,
)
from bridge.dual import recognisable
from tests.driving import fetch
from tests.fakes import RecordingSend, ScriptedReceive, body_events, make_scope
from tests.gateway import QUICK, answering, environ_for, run


def flask_shop() -> flask.Flask:
    app = flask.Flask("shop")

    @app.get("/")
    def hello() -> str:
        return f"hello {flask.request.remote_addr}"

    @app.post("/echo")
    def echo() -> bytes:
        return flask.request.get_data()[::-1]

    @app.cli.command("restock")
    def restock() -> None: ...

    return app


def fastapi_shop() -> fastapi.FastAPI:
    app = fastapi.FastAPI(title="Shop")

    @app.get("/")
    async def hello(request: fastapi.Request) -> fastapi.Response:
        assert request.client is not None
        return fastapi.Response(f"hello {request.client.host}")

    @app.post("/echo")
    async def echo(request: fastapi.Request) -> fastapi.Response:
        return fastapi.Response((await request.body())[::-1])

    return app


class TwoStep:
    def __init__(self, scope: dict[str, Any]) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])
        self.app = functools.partial(answering(b"two steps"), scope)

    async def __call__(self, receive: Any, send: Any) -> None:
        await self.app(receive, send)


SHOPS = [pytest.param(flask_shop, id="Flask"), pytest.param(fastapi_shop, id="FastAPI")]


@contextlib.contextmanager
def dual_of(app: Any, **options: Any) -> Iterator[DualApp]:
    """A dual application, and its adapter's shutdown at the end."""
    made = dual(app, **{"limits": QUICK, **options})
    try:
        yield made
    finally:
        if isinstance(made.as_wsgi, ASGIToWSGI):
            made.as_wsgi.shutdown()


# ---- Both calls -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shop", SHOPS)
def test_a_dual_application_answers_like_its_application_to_both_calls(shop):
    with dual_of(shop()) as app:
        scope = make_scope(method="POST", path="/echo", raw_path=b"/echo", headers=[(b"content-length", b"5")])

        assert run(app, environ_for(REMOTE_ADDR="10.0.0.1")).body == b"hello 10.0.0.1"
        assert fetch(app, make_scope(client=["10.0.0.2", 1])).body == b"hello 10.0.0.2"
        assert run(app, environ_for("POST", "/echo", body=b"abcde")).body == b"edcba"
        assert fetch(app, scope, body_events(b"abcde")).body == b"edcba"
        assert run(app, environ_for(path="/nowhere")).status.startswith("404")
        assert fetch(app, make_scope(path="/nowhere", raw_path=b"/nowhere")).status == 404


def test_a_server_may_call_by_name(backend):
    """As daphne does."""
    with dual_of(flask_shop()) as app:
        send = RecordingSend()

        async def serve() -> None:
            await app(scope=make_scope(), receive=ScriptedReceive(body_events(b"")), send=send)

        backend.run(serve)

    assert send.is_complete
    assert send.messages[0]["status"] == 200


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        pytest.param((), {}, id="none"),
        pytest.param(({},), {}, id="one"),
        pytest.param(({}, 1, 2, 3), {}, id="four"),
        pytest.param(({},), {"start_response": 1}, id="start_response by name"),
        pytest.param((), {"scope": {}, "receive": 1}, id="no send"),
        pytest.param(({}, 1), {"extra": 2}, id="two and another"),
    ],
)
def test_any_other_call_is_a_type_error_that_names_both(arguments, named):
    app = dual(flask_shop())

    with pytest.raises(TypeError, match=r"\(environ, start_response\) or \(scope, receive, send\)"):
        app(*arguments, **named)


def test_an_application_of_asgi_2_is_served_to_both_calls():
    with dual_of(TwoStep) as app:
        assert app.app is TwoStep
        assert run(app).body == fetch(app).body == b"two steps"


def test_an_application_that_answers_to_both_calls_by_itself_gets_both():
    def both(*arguments):
        return arguments

    app = dual(mark("dual")(both))

    assert app(1, 2) == (1, 2)
    assert app(1, 2, 3) == (1, 2, 3)
    assert app.as_wsgi is app.as_asgi is both


# ---- What it is seen as ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shop", SHOPS)
def test_servers_that_guess_take_it_for_asgi_3(shop):
    app = dual(shop())
    config = uvicorn.Config(app, log_config=None, http="h11", ws="none", lifespan="off")
    config.load()

    assert config.interface == "asgi3"
    assert hypercorn.utils.is_asgi(app)
    assert not is_double_callable(app)


@pytest.mark.parametrize("shop", SHOPS)
def test_it_is_known_as_dual_and_never_wrapped_again(shop):
    app = dual(shop())

    assert detect(app).protocol == "dual"
    assert dual(app) is app
    assert to_asgi(app) is app
    assert to_wsgi(app) is app
    assert recognisable(app) is app


def test_an_asgi_application_that_does_not_look_like_one_is_made_recognisable():
    def hidden(*arguments):  # no coroutine function, for all one can see
        return answering(b"seen")(*arguments)

    seen = recognisable(hidden)

    assert not hypercorn.utils.is_asgi(hidden)
    assert hypercorn.utils.is_asgi(seen)
    assert fetch(seen).body == b"seen"


# ---- Its attributes -------------------------------------------------------------------------------------------------


def test_attributes_of_the_application_are_read():
    shop, api = flask_shop(), fastapi_shop()

    assert "restock" in dual(shop).cli.commands
    assert dual(shop).test_client().get("/").text == "hello 127.0.0.1"
    assert dual(api).openapi()["info"]["title"] == "Shop"
    assert {"cli", "as_asgi", "as_wsgi", "app"} <= set(dir(dual(shop)))
    with pytest.raises(AttributeError, match="'Flask' object has no attribute 'nothing'"):
        dual(shop).nothing  # noqa: B018
    assert repr(dual(shop)) == f"<DualApp {shop!r}>"


def test_attributes_are_set_on_the_application_and_take_effect():
    shop = flask_shop()
    app = dual(shop)

    app.wsgi_app = ProxyFix(app.wsgi_app)

    assert isinstance(shop.wsgi_app, ProxyFix)
    assert run(app, environ_for(headers={"X-Forwarded-For": "10.0.0.9"})).body == b"hello 10.0.0.9"
    headers = [(b"host", b"testserver"), (b"x-forwarded-for", b"10.0.0.9")]
    assert fetch(app, make_scope(headers=headers)).body == b"hello 10.0.0.9"


def test_attributes_are_deleted_from_the_application():
    shop = flask_shop()
    app = dual(shop)
    app.colour = "red"
    assert shop.colour == "red"

    del app.colour

    assert not hasattr(shop, "colour")
    with pytest.raises(AttributeError):
        del app.colour


@pytest.mark.parametrize("name", ["app", "as_wsgi", "as_asgi", "__call__"])
def test_its_own_names_are_fixed(name):
    app = dual(flask_shop())

    with pytest.raises(AttributeError, match=f"{name} of a dual application is fixed"):
        setattr(app, name, None)
    with pytest.raises(AttributeError, match=f"{name} of a dual application is fixed"):
        delattr(app, name)


def test_a_copy_is_a_dual_application_of_the_same_one():
    shop = flask_shop()

    copied = copy.copy(dual(shop))

    assert isinstance(copied, DualApp)
    assert copied.app is shop
    assert run(copied).body == b"hello 127.0.0.1"


def test_an_unfinished_copy_has_no_attributes_instead_of_asking_for_ever():
    with pytest.raises(AttributeError, match="anything"):
        DualApp.__new__(DualApp).anything  # noqa: B018


def test_a_mark_on_it_does_not_mark_the_application_as_what_it_is_not():
    shop = flask_shop()

    with contextlib.suppress(TypeError):  # it may refuse the mark
        mark("asgi")(dual(shop))

    assert detect(shop).protocol == "wsgi"


# ---- Options --------------------------------------------------------------------------------------------------------


def test_options_reach_the_adapter_they_are_for():
    options: dict[str, Any] = {"to_asgi": {"multiprocess": False}, "to_wsgi": {"lifespan": "off"}}

    shop, api = dual(flask_shop(), **options), dual(fastapi_shop(), **options)

    assert isinstance(shop.as_asgi, WSGIToASGI)
    assert shop.as_wsgi is shop.app
    assert isinstance(api.as_wsgi, ASGIToWSGI)
    assert api.as_asgi is api.app


def test_common_options_reach_both_adapters_and_the_particular_ones_win():
    limits, others = Limits(workers=3), Limits(workers=4)

    assert dual(flask_shop(), limits=limits).as_asgi.statistics().workers_max == 3
    assert dual(flask_shop(), limits=limits, to_asgi={"limits": others}).as_asgi.statistics().workers_max == 4
    with pytest.raises(TypeError, match="on_error must be one of"):
        dual(flask_shop(), on_error="perhaps")
    with pytest.raises(TypeError, match="on_error must be one of"):
        dual(fastapi_shop(), on_error="perhaps")


@pytest.mark.parametrize(
    ("shop", "options"),
    [
        pytest.param(flask_shop, {"nonsense": 1}, id="Flask, unknown"),
        pytest.param(fastapi_shop, {"nonsense": 1}, id="FastAPI, unknown"),
        pytest.param(flask_shop, {"lifespan": "off"}, id="Flask, of the other adapter"),
        pytest.param(fastapi_shop, {"large_body": "spool"}, id="FastAPI, of the other adapter"),
        pytest.param(flask_shop, {"large_body": "spool"}, id="Flask, of one adapter only"),
        pytest.param(fastapi_shop, {"lifespan": "off"}, id="FastAPI, of one adapter only"),
        pytest.param(flask_shop, {"to_asgi": {"nonsense": 1}}, id="Flask, unknown for its adapter"),
        pytest.param(fastapi_shop, {"to_wsgi": {"nonsense": 1}}, id="FastAPI, unknown for its adapter"),
        pytest.param(lambda: mark("dual")(lambda *arguments: None), {"nonsense": 1}, id="dual by itself, unknown"),
    ],
)
def test_a_wrong_option_is_a_type_error_whatever_the_application_speaks(shop, options):
    with pytest.raises(TypeError):
        dual(shop(), **options)


def test_what_cannot_be_told_can_be_said():
    def hidden(*arguments):
        return answering(b"said")(*arguments)

    with pytest.raises(AmbiguousAppError, match=r"mark\('asgi'\)"):
        dual(hidden)
    with dual_of(hidden, protocol="asgi") as app:
        assert run(app).body == fetch(app).body == b"said"
    with pytest.raises(ValueError, match="'wsgi', 'asgi', 'asgi2', 'dual'"):
        dual(hidden, protocol="asgy")


def test_what_is_no_application_has_no_dual():
    with pytest.raises(NotAnAppError, match="looks like a factory"):
        dual(flask_shop)


def test_the_statistics_are_those_of_the_adapter():
    with dual_of(flask_shop()) as shop, dual_of(fastapi_shop()) as api:
        fetch(shop)
        run(api)

        assert shop.as_asgi.statistics().workers_max == QUICK.workers
        assert shop.as_asgi.statistics().requests == 0
        assert api.as_wsgi.statistics().phase == "serving"
        assert api.as_wsgi.statistics().requests == 0
