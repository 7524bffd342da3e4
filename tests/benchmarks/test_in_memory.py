"""What is measured in memory does what it is measured for."""

from __future__ import annotations

import asyncio
import io

import pytest

from benchmarks import apps
from benchmarks.in_memory import driver, hello_on_wsgi, translation
from benchmarks.in_memory.adapters import A2WSGI, BRIDGE, as_hypercorn_does
from benchmarks.in_memory.stopwatch import Span, figures
from benchmarks.results import Figure

SAID_BY_ALL = {
    "REQUEST_METHOD": "GET",
    "SCRIPT_NAME": "",
    "PATH_INFO": "/regale/romane/gebraucht",
    "QUERY_STRING": "seite=3&sortiert=preis&q=stra%C3%9Fe",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "SERVER_NAME": "198.51.100.4",
    "REMOTE_ADDR": "192.0.2.17",
    "wsgi.url_scheme": "https",
    "HTTP_HOST": "shop.example.org",
    "HTTP_SEC_CH_UA_MOBILE": "?0",
    "HTTP_ACCEPT_LANGUAGE": "de-DE,de;q=0.9,en;q=0.8",
}


def test_every_builder_makes_the_same_environ_of_the_same_request():
    built = {name: make() for name, make in translation.environ_candidates(translation.scope_of_a_browser()).items()}

    assert {BRIDGE, A2WSGI, translation.ENVIRON_OF_ASGIREF} <= set(built)
    for name, environ in built.items():
        assert {key: environ[key] for key in SAID_BY_ALL} == SAID_BY_ALL, name
        assert sum(key.startswith("HTTP_") for key in environ) == 14, name


def test_every_builder_makes_the_same_scope_of_the_same_request():
    built = {name: make() for name, make in translation.scope_candidates(translation.environ_of_a_browser()).items()}

    asked = translation.scope_of_a_browser()
    said_by_all = ("type", "http_version", "method", "scheme", "path", "query_string", "root_path", "client", "server")
    assert set(built) == {BRIDGE, A2WSGI}
    for name, scope in built.items():
        assert {key: scope[key] for key in said_by_all} == {key: asked[key] for key in said_by_all}, name
        assert sorted(scope["headers"]) == sorted(asked["headers"]), name


def test_every_start_of_a_response_says_the_same():
    started = [make() for make in translation.start_response_candidates().values()]

    assert len(started) == 3
    assert all(message == started[0] for message in started)


def test_the_wrapper_of_hypercorn_is_driven_as_hypercorn_does():
    app_wrappers = pytest.importorskip("hypercorn.app_wrappers")
    asgi = as_hypercorn_does(app_wrappers.WSGIWrapper(apps.hello, max_body_size=1024))

    assert asyncio.run(driver.request(asgi)) == len(b"Hello, world!")


@pytest.mark.parametrize(
    ("app", "pieces", "size_bytes"),
    [
        pytest.param(apps.native_hello, 0, 13, id="hello"),
        pytest.param(apps.native_stream(b"12345", 20), 0, 100, id="stream"),
        pytest.param(apps.native_upload, 16, len("1048576"), id="upload"),
    ],
)
def test_what_is_native_answers_as_the_others_do(app, pieces, size_bytes):
    assert asyncio.run(driver.request(app, pieces=pieces)) == size_bytes


def test_every_candidate_of_the_other_direction_answers():
    with hello_on_wsgi.candidates("asyncio", asyncio.new_event_loop) as adapters:
        assert set(adapters) == {hello_on_wsgi.BARE_WAY, BRIDGE, A2WSGI}
        for wsgi in adapters.values():
            hello_on_wsgi.together(wsgi, threads=2, requests=4)


def test_a_request_that_fails_in_a_thread_fails_the_measurement():
    def refuse(environ, start_response):
        assert isinstance(environ["wsgi.input"], io.BytesIO)
        start_response("500 Internal Server Error", [])
        return [b"Hello, world!"]

    with pytest.raises(AssertionError, match="500"):
        hello_on_wsgi.together(refuse, threads=2, requests=2)


def test_seconds_become_the_unit_of_the_column():
    spans = [Span(clock_s=0.5, cpu_s=0.25), Span(clock_s=1.0, cpu_s=2.0)]

    assert figures(spans, per=1e3) == {"time": Figure((500.0, 1000.0)), "processor": Figure((250.0, 2000.0))}
