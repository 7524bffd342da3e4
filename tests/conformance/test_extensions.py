"""Early hints and trailers, where the server offers them (W-147, W-148)."""

from __future__ import annotations

import pytest

from bridge import ApplicationError
from tests.conformance.driver import (
    TEXT,
    Driver,
    make_scope,
    offering,
    on_each_backend,
    plain_and_linted,
    serve,
)

EARLY_HINT = "http.response.early_hint"
TRAILERS = "http.response.trailers"

STYLE = ("Link", "</style.css>; rel=preload; as=style")
SCRIPT = (b"link", b"</app.js>; rel=preload; as=script")


def hinting_driver(**options) -> Driver:
    return Driver(make_scope(**offering(EARLY_HINT)), **options)


def trailing_driver(method: str = "GET") -> Driver:
    return Driver(make_scope(method, **offering(TRAILERS)))


# ---- Early hints ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-147", "W-148")
@pytest.mark.parametrize("offered", [(), (EARLY_HINT,), (TRAILERS,), (EARLY_HINT, TRAILERS)], ids=repr)
def test_the_callables_are_there_exactly_when_the_server_offers_the_extension(offered):
    seen = []

    def app(environ, start_response):
        seen.append(("wsgi.early_hints" in environ, "bridge.trailers" in environ))
        start_response("200 OK", list(TEXT))
        return []

    serve(app, make_scope(**offering(*offered)))

    assert seen == [(EARLY_HINT in offered, TRAILERS in offered)]


@on_each_backend
@plain_and_linted
@pytest.mark.requirement("W-147")
def test_early_hints_go_out_at_once_and_before_the_start(backend, wrap):
    driver = hinting_driver()

    def app(environ, start_response):
        environ["wsgi.early_hints"]([STYLE, SCRIPT])
        driver.block_until_sent(1)  # while the application is still at work
        environ["wsgi.early_hints"]([STYLE])
        start_response("200 OK", list(TEXT))
        return [b"body"]

    serve(wrap(app), driver=driver, backend=backend)

    assert driver.error is None
    assert driver.types[:4] == ["early_hint", "early_hint", "start", "body"]
    assert set(driver.types[4:]) <= {"body"}  # behind middleware the end may come in an event of its own
    assert driver.messages[0]["links"] == [STYLE[1].encode(), SCRIPT[1]]
    assert driver.messages[1]["links"] == [STYLE[1].encode()]


@pytest.mark.requirement("W-147")
@pytest.mark.parametrize(
    "hints",
    [
        pytest.param([], id="empty"),
        pytest.param([("X-Other", "1")], id="no link"),
    ],
)
def test_hints_without_a_link_send_nothing(hints):
    driver = hinting_driver()

    def app(environ, start_response):
        environ["wsgi.early_hints"](hints)
        driver.settle()
        start_response("200 OK", list(TEXT))
        return [b"body"]

    serve(app, driver=driver)

    assert driver.types == ["start", "body"]


@on_each_backend
@pytest.mark.requirement("W-147")
def test_late_hints_do_nothing(backend):
    driver = hinting_driver()

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        yield b"out"
        environ["wsgi.early_hints"]([STYLE])
        yield b"more"

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert driver.body == b"outmore"
    assert "early_hint" not in driver.types


@pytest.mark.requirement("W-147")
def test_hints_between_start_response_and_the_first_block_still_precede_the_start():
    driver = hinting_driver()

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        environ["wsgi.early_hints"]([STYLE])
        return [b"body"]

    serve(app, driver=driver)

    assert driver.types == ["early_hint", "start", "body"]


@pytest.mark.requirement("W-147")
@pytest.mark.parametrize(
    "hint",
    [
        pytest.param(("Link", "</a>\r\nX-Evil: 1"), id="CRLF in a value"),
        pytest.param((b"Link", b"</a>\r\nX-Evil: 1"), id="CRLF in bytes"),
        pytest.param(("Link\r\n", "</a>"), id="CRLF in a name"),
        pytest.param(("Link", "</\u20ac>"), id="beyond latin-1"),
        pytest.param(("X Other", "1"), id="bad name of another field"),
        pytest.param(("Link", None), id="none"),
    ],
)
def test_bad_hints_are_refused_in_the_call(hint):
    raised = []
    driver = hinting_driver()

    def app(environ, start_response):
        try:
            environ["wsgi.early_hints"]([STYLE, hint])
        except ApplicationError as error:
            raised.append(error)
        start_response("200 OK", list(TEXT))
        return [b"body"]

    serve(app, driver=driver)

    assert len(raised) == 1
    assert driver.types == ["start", "body"]


@on_each_backend
@pytest.mark.requirement("W-147")
def test_a_server_that_refuses_the_hint_gets_the_response_all_the_same(backend):
    driver = hinting_driver(fail_at={0: RuntimeError("no hints today")})

    def app(environ, start_response):
        environ["wsgi.early_hints"]([STYLE])
        driver.settle()
        start_response("200 OK", list(TEXT))
        return [b"body"]

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert driver.types == ["start", "body"]


@pytest.mark.requirement("W-132", "W-147")
def test_an_error_after_a_hint_still_leaves_the_response_to_the_server():
    driver = hinting_driver()
    error = LookupError()

    def app(environ, start_response):
        environ["wsgi.early_hints"]([STYLE])
        driver.block_until_sent(1)
        raise error

    serve(app, driver=driver)

    assert driver.error is error
    assert driver.types == ["early_hint"]


# ---- Trailers ---------------------------------------------------------------------------------------------------


@on_each_backend
@pytest.mark.requirement("W-148")
@pytest.mark.parametrize("make", [list, iter], ids=["list", "iterator"])
@pytest.mark.parametrize("is_asked_later", [False, True], ids=["given now", "asked after the content"])
def test_trailers_follow_the_last_body_event(make, is_asked_later, backend):
    driver = trailing_driver()
    fields = [("X-Checksum", "abc"), ("Server-Timing", "db;dur=53")]

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        environ["bridge.trailers"]((lambda: fields) if is_asked_later else fields)
        return make([b"bo", b"dy"])

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert driver.messages[0]["trailers"] is True
    assert driver.body == b"body"
    assert driver.messages[-2]["more_body"] is False
    assert driver.messages[-1]["type"] == TRAILERS
    assert list(driver.messages[-1]["headers"]) == [(b"x-checksum", b"abc"), (b"server-timing", b"db;dur=53")]
    assert driver.messages[-1].get("more_trailers", False) is False
    assert driver.is_complete


@pytest.mark.requirement("W-148")
def test_a_callable_is_asked_when_all_content_is_known():
    driver = trailing_driver()
    total = []

    def app(environ, start_response):
        environ["bridge.trailers"](lambda: [("X-Blocks", str(len(total)))])
        start_response("200 OK", list(TEXT))
        for block in (b"a", b"b", b"c"):
            total.append(block)
            yield block

    serve(app, driver=driver)

    assert driver.messages[-1]["headers"] == [(b"x-blocks", b"3")]


@pytest.mark.requirement("W-148")
@pytest.mark.parametrize("offered", [(), (TRAILERS,)], ids=["not offered", "offered"])
def test_without_being_asked_for_there_are_no_trailers(offered):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        return [b"body"]

    driver = serve(app, make_scope(**offering(*offered)))

    assert driver.messages[0].get("trailers", False) is False
    assert driver.types == ["start", "body"]


@pytest.mark.requirement("W-148")
@pytest.mark.parametrize(
    "field",
    [
        pytest.param(("X A", "1"), id="bad name"),
        pytest.param(("X-A", "1\r\nX-Evil: 1"), id="injection"),
        pytest.param(("X-A", b"1"), id="bytes"),
    ],
)
def test_bad_trailers_are_an_error_and_do_not_go_out(field):
    driver = trailing_driver()

    def app(environ, start_response):
        environ["bridge.trailers"](lambda: [field])
        start_response("200 OK", list(TEXT))
        return [b"body"]

    serve(app, driver=driver)

    assert isinstance(driver.error, ApplicationError)
    assert "trailers" not in driver.types
    assert not driver.is_complete


@pytest.mark.requirement("W-148")
def test_trailers_cannot_be_announced_after_the_headers():
    driver = trailing_driver()

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))(b"out")
        environ["bridge.trailers"]([("X-A", "1")])
        return []

    serve(app, driver=driver)

    assert isinstance(driver.error, ApplicationError)
    assert driver.messages[0].get("trailers", False) is False


@pytest.mark.requirement("W-148", "W-123")
def test_a_head_response_with_trailers_is_complete():
    driver = trailing_driver("HEAD")

    def app(environ, start_response):
        environ["bridge.trailers"]([("X-A", "1")])
        start_response("200 OK", list(TEXT))
        return [b"body"]

    serve(app, driver=driver)

    assert driver.error is None
    assert driver.body == b""
    assert driver.is_complete
