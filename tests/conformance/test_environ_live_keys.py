"""The keys of ``environ`` that say what this gateway is and that reach into the running request (W-056 to W-065)."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from bridge import Limits, WorkerPool, WSGIToASGI
from tests.conformance.deliveries import Reader, on_each_delivery
from tests.driving import Driver, fetch
from tests.fakes import LEFT_OUT, make_scope

IDLE = Limits(worker_idle_s=0.05)


def environ_of(scope: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    app = Reader(lambda stream: None)
    options.setdefault("limits", IDLE)
    fetch(WSGIToASGI(app, **options), scope)
    return app.environ


@pytest.mark.requirement("W-056")
def test_the_version_is_one_nought_and_the_application_is_not_run_once_only(maybe_lint):
    app = Reader(lambda stream: None)

    fetch(WSGIToASGI(maybe_lint(app), limits=IDLE))

    assert app.environ["wsgi.version"] == (1, 0)
    assert type(app.environ["wsgi.version"]) is tuple
    assert app.environ["wsgi.run_once"] is False


@pytest.mark.requirement("W-057", "W-061")
@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        pytest.param("http", "http", id="http"),
        pytest.param("https", "https", id="https"),
        pytest.param(LEFT_OUT, "http", id="missing"),
        pytest.param(None, "http", id="none"),
        pytest.param("", "http", id="empty"),
    ],
)
def test_the_scheme_is_that_of_the_scope_and_https_is_told_twice(scheme, expected):
    environ = environ_of(make_scope(scheme=scheme))

    assert environ["wsgi.url_scheme"] == expected
    assert environ.get("HTTPS") == ("on" if expected == "https" else None)


@pytest.mark.requirement("W-058")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"limits": Limits(workers=1)}, False, id="one-worker"),
        pytest.param({"limits": Limits(workers=2, worker_idle_s=0.05)}, True, id="two-workers"),
        pytest.param({}, True, id="default"),
        pytest.param({"workers": WorkerPool(workers=1), "limits": IDLE}, False, id="shared-pool-of-one"),
        pytest.param({"workers": WorkerPool(workers=2, idle_s=0.05)}, True, id="shared-pool-of-two"),
    ],
)
def test_multithread_says_whether_two_threads_can_run_the_application_at_once(options, expected):
    assert environ_of(**options)["wsgi.multithread"] is expected


@pytest.mark.requirement("W-058")
def test_multiprocess_is_true_unless_configured_otherwise():
    assert environ_of()["wsgi.multiprocess"] is True
    assert environ_of(multiprocess=False)["wsgi.multiprocess"] is False


@pytest.mark.requirement("W-059")
@on_each_delivery
def test_the_input_is_said_to_end_by_itself_on_every_request(delivery):
    app = Reader()

    delivery.driver(app, b"0123456789").run().checked()

    assert app.environ["wsgi.input_terminated"] is True
    assert app.result == b"0123456789"


ALL_EXTENSIONS = {
    "http.response.early_hint": {},
    "http.response.trailers": {},
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.push": {},
    "http.response.debug": {},
    "websocket.http.response": {},
    "tls": {"tls_version": 0x0304},
}


@pytest.mark.requirement("W-060")
@pytest.mark.parametrize("extensions", [{}, ALL_EXTENSIONS], ids=["none-offered", "all-offered"])
def test_no_key_promises_a_raw_socket(extensions):
    environ = environ_of(make_scope(extensions=extensions, state={}))

    for key in ("werkzeug.socket", "gunicorn.socket", "wsgi.websocket", "eventlet.input", "passenger.hijack"):
        assert key not in environ


# What PEP 3333, CGI, mod_ssl and other servers define, and what the project adds: the documentation lists the latter.
STANDARD = {
    "REQUEST_METHOD",
    "SCRIPT_NAME",
    "PATH_INFO",
    "QUERY_STRING",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "SERVER_NAME",
    "SERVER_PORT",
    "SERVER_PROTOCOL",
    "SERVER_SOFTWARE",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "HTTPS",
    "REQUEST_URI",
    "RAW_URI",
    "wsgi.version",
    "wsgi.url_scheme",
    "wsgi.input",
    "wsgi.errors",
    "wsgi.multithread",
    "wsgi.multiprocess",
    "wsgi.run_once",
    "wsgi.input_terminated",
    "wsgi.file_wrapper",
    "wsgi.early_hints",
}
OURS_ALWAYS = {"bridge.scope", "bridge.client_disconnected"}
OURS_WITH_STATE = {"bridge.state"}
OURS_WITH_TRAILERS = {"bridge.trailers"}


def added_keys(environ: dict[str, Any]) -> set[str]:
    return {key for key in environ if not key.startswith(("HTTP_", "SSL_"))} - STANDARD


@pytest.mark.requirement("W-014")
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        pytest.param({}, OURS_ALWAYS, id="ordinary"),
        pytest.param({"state": {}}, OURS_ALWAYS | OURS_WITH_STATE, id="state"),
        pytest.param(
            {"state": {}, "extensions": ALL_EXTENSIONS, "scheme": "https"},
            OURS_ALWAYS | OURS_WITH_STATE | OURS_WITH_TRAILERS,
            id="everything",
        ),
    ],
)
def test_the_keys_of_the_project_are_the_documented_ones(overrides, expected):
    headers = [(b"host", b"h"), (b"content-type", b"text/plain"), (b"content-length", b"0"), (b"x-a", b"1")]

    assert added_keys(environ_of(make_scope(headers=headers, **overrides))) == expected


@pytest.mark.requirement("W-014")
def test_the_keys_of_the_project_are_lower_case_dotted_and_prefixed():
    environ = environ_of(make_scope(state={}, extensions=ALL_EXTENSIONS))

    for key in added_keys(environ):
        assert key == key.lower()
        assert key.startswith("bridge.")


@pytest.mark.requirement("W-065")
def test_the_scope_and_its_state_are_handed_on_as_they_are():
    state = {"database": object()}
    scope = make_scope(state=state)

    environ = environ_of(scope)

    assert environ["bridge.scope"] is scope
    assert environ["bridge.state"] is state


@pytest.mark.requirement("W-065")
def test_an_empty_state_is_a_state_that_can_be_written():
    state: dict[str, Any] = {}

    assert environ_of(make_scope(state=state))["bridge.state"] is state


@pytest.mark.requirement("W-065")
@pytest.mark.parametrize("state", [pytest.param(LEFT_OUT, id="missing"), pytest.param(None, id="none")])
def test_without_a_state_there_is_no_key_for_it(state):
    assert "bridge.state" not in environ_of(make_scope(state=state))


@pytest.mark.requirement("W-014")
def test_whether_the_client_has_left_can_be_asked_from_the_application(backend):
    asked: list[bool] = []
    may_ask = threading.Event()

    def app(environ, start_response):
        has_left = environ["bridge.client_disconnected"]
        asked.append(has_left())
        driver.disconnect()
        driver.settle()
        asked.append(has_left())
        may_ask.set()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"nobody reads this"]

    driver = Driver(
        WSGIToASGI(app, limits=IDLE),
        make_scope(method="POST", headers=[(b"content-length", b"1")]),
        body=b"",
        events=[{"type": "http.request", "body": b"x", "more_body": False}],
        backend=backend,
    )
    with driver:
        may_ask.wait()

    assert asked == [False, True]
    assert driver.record.exception is None
