"""A WebSocket handshake where WebSockets are switched off, and scopes nobody knows (W-149, W-006)."""

from __future__ import annotations

import functools

import pytest

from bridge import Limits, ServerError
from tests.conformance.driver import Driver, hosted, on_each_backend, run


def never_called(environ, start_response):
    raise AssertionError("the WSGI application was called")


def handshake(*events: str, extensions: dict | None = None) -> Driver:
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/socket",
        "raw_path": b"/socket",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"example.org")],
        "subprotocols": [],
        **({} if extensions is None else {"extensions": extensions}),
    }
    return Driver(scope, events=[{"type": event} for event in events])


def refuse(driver: Driver, backend: str = "asyncio", **options) -> Driver:
    with hosted(never_called, limits=Limits(websockets=0), **options) as adapter:
        run(functools.partial(driver.call, adapter), backend)
    return driver


@pytest.mark.requirement("W-149")
@on_each_backend
@pytest.mark.parametrize("extensions", [None, {}, {"tls": {}}], ids=["no extensions", "empty", "others"])
def test_a_handshake_is_closed_before_it_is_accepted(extensions, backend):
    driver = refuse(handshake("websocket.connect", extensions=extensions), backend)

    assert driver.error is None
    assert [message["type"] for message in driver.messages] == ["websocket.close"]
    assert driver.receive_calls == 1


@pytest.mark.requirement("W-149")
@on_each_backend
@pytest.mark.parametrize(("options", "status"), [({}, 403), ({"websocket_denial_status": 501}, 501)])
def test_where_the_server_can_send_one_a_denial_response_is_complete(options, status, backend):
    driver = handshake("websocket.connect", extensions={"websocket.http.response": {}})

    refuse(driver, backend, **options)

    start, body = driver.messages
    assert driver.error is None
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == status
    assert body["type"] == "websocket.http.response.body"
    assert body.get("more_body", False) is False
    assert (b"content-length", b"%d" % len(body["body"])) in start["headers"]


@pytest.mark.requirement("W-149")
@on_each_backend
@pytest.mark.parametrize("extensions", [None, {"websocket.http.response": {}}], ids=["close", "denial"])
def test_a_client_that_left_during_the_handshake_gets_no_answer(extensions, backend):
    driver = refuse(handshake("websocket.disconnect", extensions=extensions), backend)

    assert driver.error is None
    assert driver.sent == []


@pytest.mark.requirement("W-006")
@on_each_backend
def test_an_unknown_scope_type_is_an_error_that_names_it(backend):
    driver = refuse(Driver({"type": "mqtt"}), backend)

    assert isinstance(driver.error, ServerError)
    assert "mqtt" in str(driver.error)
    assert driver.sent == []
    assert driver.receive_calls == 0
