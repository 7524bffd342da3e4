"""``start_response``: what it takes, what it refuses, and that it sends nothing by itself (W-087 to W-101)."""

from __future__ import annotations

import logging
import sys
import traceback
import weakref
from typing import Any

import pytest

from bridge import ApplicationError, ApplicationTypeError
from tests.conformance.driver import (
    TEXT,
    Driver,
    answering,
    logged,
    on_each_backend,
    plain_and_linted,
    serve,
    without_gc,
)


class ViewError(Exception):
    """What goes wrong in the application."""


def serve_start_response(*args: Any, **options: Any) -> tuple[Driver, BaseException | None]:
    """Serve with an app that calls ``start_response(*args)``; also return what the call itself raised."""
    raised: list[BaseException] = []

    def app(environ, start_response):
        try:
            start_response(*args)
        except BaseException as error:
            raised.append(error)
            raise
        return [b"body"]

    driver = serve(app, **options)
    return driver, raised[0] if raised else None


# ---- Forms of the call ------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-087")
@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda start: start("200 OK", list(TEXT)), id="two arguments"),
        pytest.param(lambda start: start("200 OK", list(TEXT), None), id="three arguments"),
        pytest.param(lambda start: start("200 OK", list(TEXT), exc_info=None), id="exc_info by keyword"),
        pytest.param(lambda start: start("200 OK", list(TEXT), exc_info=(None, None, None)), id="exc_info given"),
    ],
)
def test_each_form_of_the_call_returns_a_write_callable(call):
    returned = []

    def app(environ, start_response):
        returned.append(call(start_response))
        return [b"body"]

    driver = serve(app)

    assert driver.error is None
    assert driver.body == b"body"
    assert callable(returned[0])


@on_each_backend
@pytest.mark.requirement("W-088")
def test_nothing_goes_out_before_the_first_octet_of_content(backend):
    seen = []
    driver = Driver()

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        driver.settle()
        seen.append(len(driver.sent))

        def blocks():
            driver.settle()
            seen.append(len(driver.sent))
            yield b""
            driver.settle()
            seen.append(len(driver.sent))
            yield b"now"
            driver.block_until_sent(2)
            seen.append(len(driver.sent))

        return blocks()

    serve(app, driver=driver, backend=backend)

    assert driver.error is None
    assert seen == [0, 0, 0, 2]


@pytest.mark.requirement("W-088")
@plain_and_linted
def test_an_exhausted_iterable_releases_the_headers(wrap):
    driver = serve(wrap(answering(lambda: iter(()))))

    assert driver.error is None
    assert driver.types == ["start", "body"]
    assert driver.status == 200


# ---- A second call ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-089")
@pytest.mark.parametrize("first_status", [pytest.param("200 OK", id="valid"), pytest.param("nonsense", id="invalid")])
def test_a_second_call_without_exc_info_is_an_error(first_status):
    raised = []

    def app(environ, start_response):
        for status in (first_status, "200 OK"):
            try:
                start_response(status, list(TEXT))
            except ApplicationError as error:
                raised.append((status, error))
        raise raised[-1][1]

    driver = serve(app)

    assert raised[-1][0] == "200 OK"
    assert "exc_info" in str(raised[-1][1])
    assert driver.error is raised[-1][1]
    assert driver.sent == []


@pytest.mark.requirement("W-089")
def test_an_app_that_ignores_a_refused_call_gets_no_response_out():
    def app(environ, start_response):
        try:
            start_response("nonsense", list(TEXT))
        except ApplicationError:
            pass
        return [b"body"]

    driver = serve(app)

    assert isinstance(driver.error, ApplicationError)
    assert driver.sent == []


@pytest.mark.requirement("W-089")
def test_a_refused_call_can_be_mended_with_exc_info():
    def app(environ, start_response):
        try:
            start_response("nonsense", list(TEXT))
        except ApplicationError:
            start_response("500 Mended", list(TEXT), sys.exc_info())
        return [b"body"]

    driver = serve(app)

    assert driver.error is None
    assert driver.status == 500


@pytest.mark.requirement("W-090")
@plain_and_linted
def test_exc_info_before_the_headers_are_out_replaces_everything(wrap):
    def app(environ, start_response):
        start_response("200 OK", [*TEXT, ("Content-Length", "5"), ("X-First", "1")])
        try:
            raise ViewError
        except ViewError:
            start_response("500 Oops", [("Content-Type", "text/html")], sys.exc_info())
        return iter([b"longer ", b"than five"])

    driver = serve(wrap(app))

    assert driver.error is None
    assert driver.status == 500
    assert driver.headers == [(b"content-type", b"text/html")]
    assert driver.body == b"longer than five"


@pytest.mark.requirement("W-090")
def test_a_replacing_call_brings_its_own_content_length():
    def app(environ, start_response):
        start_response("204 No Content", [("Content-Length", "100")])
        try:
            raise ViewError
        except ViewError:
            start_response("500 Oops", [("Content-Length", "4")], sys.exc_info())
        return [b"four and more"]

    driver = serve(app)

    assert driver.headers == [(b"content-length", b"4")]
    assert driver.body == b"four"


@pytest.mark.requirement("W-091")
@on_each_backend
def test_exc_info_after_the_headers_are_out_raises_that_very_exception(backend):
    original = ViewError("original")
    caught = []

    def where_it_happened():
        raise original

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        write(b"out")
        try:
            where_it_happened()
        except ViewError:
            try:
                start_response("500 Oops", list(TEXT), sys.exc_info())
            except BaseException as error:
                caught.append(error)
                raise
        return [b"not reached"]

    driver = serve(app, backend=backend)

    assert caught == [original]
    assert driver.error is original
    assert "where_it_happened" in [frame.name for frame in traceback.extract_tb(original.__traceback__)]
    assert driver.body == b"out"
    assert not driver.is_complete


# ---- exc_info is let go -----------------------------------------------------------------------------------------


@pytest.mark.requirement("W-092")
@pytest.mark.parametrize("headers_are_out", [False, True])
def test_the_exception_dies_without_garbage_collection(headers_are_out):
    alive = []

    def failing_view(start_response):
        """The application's frames refer to nothing themselves."""
        try:
            raise ViewError
        except ViewError:
            reference = weakref.ref(sys.exc_info()[1])
            try:
                start_response("500 Oops", list(TEXT), sys.exc_info())
            except ViewError:
                pass
        return reference

    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        if headers_are_out:
            write(b"out")
        reference = failing_view(start_response)
        alive.append(reference() is not None)
        return [b"body"]

    with without_gc():
        driver = serve(app)

    assert driver.error is None
    assert alive == [False]


@pytest.mark.requirement("W-092")
def test_exc_info_of_nothing_counts_as_given():
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        start_response("202 Accepted", list(TEXT), sys.exc_info())  # (None, None, None): no exception here
        return [b"body"]

    driver = serve(app)

    assert driver.error is None
    assert driver.status == 202


@pytest.mark.requirement("W-092")
def test_exc_info_of_nothing_is_a_plain_error_once_headers_are_out():
    def app(environ, start_response):
        write = start_response("200 OK", list(TEXT))
        write(b"out")
        start_response("202 Accepted", list(TEXT), (None, None, None))
        return [b"body"]

    driver = serve(app)

    assert isinstance(driver.error, ApplicationError)
    assert driver.status == 200
    assert not driver.is_complete


# ---- Status -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-093", "W-094", "W-097")
@pytest.mark.parametrize(
    "status",
    [
        pytest.param(200, id="int"),
        pytest.param(b"200 OK", id="bytes"),
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("20 OK", id="two digits"),
        pytest.param("2000 OK", id="four digits"),
        pytest.param("200OK", id="no space"),
        pytest.param("200\tOK", id="tab"),
        pytest.param("200  OK", id="two spaces"),
        pytest.param("200 OK ", id="space at the end"),
        pytest.param(" 200 OK", id="space in front"),
        pytest.param("200 OK\r\n", id="line break at the end"),
        pytest.param("200 OK\r\nX-Evil: 1", id="injected field"),
        pytest.param("200 O\0K", id="nul"),
        pytest.param("200 O\x7fK", id="delete"),
        pytest.param("\u0662\u0660\u0660 OK", id="other digits"),
        pytest.param("200 \u20ac", id="beyond latin-1"),
        pytest.param("OK 200", id="reversed"),
        pytest.param("099 Low", id="below 100"),
        pytest.param("100 Continue", id="interim 100"),
        pytest.param("101 Switching", id="interim 101"),
        pytest.param("103 Early Hints", id="interim 103"),
    ],
)
def test_a_status_that_is_no_final_status_line_is_refused_in_the_call(status):
    driver, raised = serve_start_response(status, list(TEXT))

    assert isinstance(raised, ApplicationError)
    assert driver.error is raised
    assert driver.sent == []


@pytest.mark.requirement("W-094")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("200 OK", 200),
        ("299 Odd", 299),
        ("404 Nicht gefunden \xfc", 404),
        ("418 I'm a teapot", 418),
        ("599 Whatever: (this)", 599),
    ],
)
@plain_and_linted
def test_the_event_carries_the_code_as_int(status, code, wrap):
    driver = serve(wrap(answering([b"body"], status=status)))

    assert driver.error is None
    assert type(driver.status) is int
    assert driver.status == code
    assert "reason" not in driver.messages[0]


@pytest.mark.requirement("W-093")
@pytest.mark.parametrize("status", ["200", "200 "])
def test_a_status_without_a_reason_passes_with_a_warning_unless_strict(status, caplog):
    lenient, raised = serve_start_response(status, list(TEXT))
    warnings = logged(caplog, logging.WARNING)
    strict, raised_when_strict = serve_start_response(status, list(TEXT), strict=True)

    assert raised is None
    assert lenient.status == 200
    assert len(warnings) == 1
    assert isinstance(raised_when_strict, ApplicationError)
    assert strict.sent == []


# ---- Headers ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-095")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("X-A", b"bytes")], id="bytes value"),
        pytest.param([(b"X-A", "v")], id="bytes name"),
        pytest.param([("X-A", 5)], id="int value"),
        pytest.param([("X-A", None)], id="none value"),
        pytest.param([("X-A", "v", "w")], id="three items"),
        pytest.param([("X-A",)], id="one item"),
        pytest.param(["X-A: v"], id="a line"),
        pytest.param([None], id="none entry"),
        pytest.param(None, id="none"),
        pytest.param("X-A: v", id="a string"),
        pytest.param(5, id="int"),
    ],
)
def test_headers_of_a_wrong_type_are_refused_in_the_call(headers):
    driver, raised = serve_start_response("200 OK", headers)

    assert isinstance(raised, ApplicationTypeError)
    assert driver.error is raised
    assert driver.sent == []


@pytest.mark.requirement("W-095")
def test_later_edits_of_the_header_list_change_nothing():
    def app(environ, start_response):
        headers = [("X-A", "1")]
        start_response("200 OK", headers)
        headers.append(("X-B", "2"))
        headers[0] = ("X-C", "3")
        return iter([b"body"])

    driver = serve(app)

    assert driver.headers == [(b"x-a", b"1")]


@pytest.mark.requirement("W-096", "W-097")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("", "v", id="empty name"),
        pytest.param("X A", "v", id="space in name"),
        pytest.param("X-A ", "v", id="space after name"),
        pytest.param("X-A:", "v", id="colon in name"),
        pytest.param("X-A\r\n", "v", id="line break in name"),
        pytest.param("X\0A", "v", id="nul in name"),
        pytest.param("X-\xe9", "v", id="latin-1 name"),
        pytest.param("X-\u20ac", "v", id="euro in name"),
        pytest.param("X-A", "v\r\nX-Evil: 1", id="injected field"),
        pytest.param("X-A", "v\r\n\r\n<html>", id="injected body"),
        pytest.param("X-A", "v\n", id="LF at the end"),
        pytest.param("X-A", "v\r", id="CR at the end"),
        pytest.param("X-A", "v\0w", id="nul"),
        pytest.param("X-A", "v\x01w", id="control"),
        pytest.param("X-A", "v\x0bw", id="vertical tab"),
        pytest.param("X-A", "v\x1b[2J", id="escape"),
        pytest.param("X-A", "v\x7fw", id="delete"),
        pytest.param("X-A", "5 \u20ac", id="beyond latin-1"),
        pytest.param("Content-Type", "text/html\r\nX-Evil: 1", id="injection through a known name"),
    ],
)
def test_a_bad_name_or_value_is_refused_in_the_call(name, value):
    driver, raised = serve_start_response("200 OK", [(name, value)])

    assert isinstance(raised, ApplicationError)
    assert driver.error is raised
    assert driver.sent == []


@pytest.mark.requirement("W-096", "W-098")
def test_names_are_lower_cased_and_values_latin_1_in_order_with_repeats():
    headers = [
        ("Set-Cookie", "a=1"),
        ("X-Custom_Name!", "tab\tinside"),
        ("Content-Type", " \ttext/plain\t "),
        ("set-cookie", "b=2"),
        ("X-Latin", "caf\xe9"),
        ("X-Empty", ""),
    ]

    driver = serve(answering(lambda: iter([b"body"]), headers=headers))

    assert driver.error is None
    assert driver.headers == [
        (b"set-cookie", b"a=1"),
        (b"x-custom_name!", b"tab\tinside"),
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"b=2"),
        (b"x-latin", b"caf\xe9"),
        (b"x-empty", b""),
    ]


HOP_BY_HOP = [
    "CONNECTION",
    "Connection",
    "keep-Alive",
    "Proxy-Authenticate",
    "proxy-authorization",
    "Proxy-connection",
    "TE",
    "Trailer",
    "trailers",
    "Transfer-Encoding",
    "uPGRADE",
]


@pytest.mark.requirement("W-099")
@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_hop_by_hop_field_is_refused_in_the_call(name):
    driver, raised = serve_start_response("200 OK", [(name, "close")])

    assert isinstance(raised, ApplicationError)
    assert name in str(raised)
    assert driver.sent == []


@pytest.mark.requirement("W-099")
@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_hop_by_hop_field_is_dropped_with_one_warning_if_asked(name, caplog):
    driver, raised = serve_start_response("200 OK", [("X-A", "1"), (name, "close")], hop_by_hop="drop")

    assert raised is None
    assert driver.headers == [(b"x-a", b"1"), (b"content-length", b"4")]
    assert [name in record.getMessage() for record in logged(caplog, logging.WARNING)] == [True]


@pytest.mark.requirement("W-100")
@pytest.mark.parametrize(
    ("blocks", "headers"),
    [
        pytest.param([b"abc"], [(b"content-length", b"3")], id="one block"),
        pytest.param([b"a", b"bc"], [], id="two blocks"),
        pytest.param(lambda: iter([b"abc"]), [], id="generator"),
    ],
)
def test_no_field_is_added_but_an_inferred_content_length(blocks, headers):
    driver = serve(answering(blocks, headers=[]))

    assert driver.headers == headers


# ---- When it is called ------------------------------------------------------------------------------------------


@on_each_backend
@plain_and_linted
@pytest.mark.requirement("W-101")
def test_start_response_may_be_called_in_the_first_iteration_step(backend, wrap):
    def app(environ, start_response):
        start_response("201 Created", list(TEXT))
        yield b"lazy"

    driver = serve(wrap(app), backend=backend)

    assert driver.error is None
    assert driver.status == 201
    assert driver.body == b"lazy"


@pytest.mark.requirement("W-101")
@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param([b"body"], id="list"),
        pytest.param([], id="empty list"),
        pytest.param([b""], id="empty block"),
        pytest.param(lambda: iter([b"body"]), id="iterator"),
        pytest.param(lambda: iter([]), id="empty iterator"),
    ],
)
def test_a_response_without_start_response_is_an_error(blocks):
    def app(environ, start_response):
        return blocks() if callable(blocks) else blocks

    driver = serve(app)

    assert isinstance(driver.error, ApplicationError)
    assert "start_response" in str(driver.error)
    assert driver.sent == []


@pytest.mark.requirement("W-101")
def test_a_block_before_a_late_start_response_is_an_error():
    def app(environ, start_response):
        yield b"too early"
        start_response("200 OK", list(TEXT))
        yield b"body"

    driver = serve(app)

    assert isinstance(driver.error, ApplicationError)
    assert driver.sent == []
