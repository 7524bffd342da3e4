"""The event dictionaries, key by key."""

from __future__ import annotations

import pytest

from bridge.translate import messages

PAIRS = [(b"x-a", b"1")]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(
            messages.response_start(404, PAIRS),
            {"type": "http.response.start", "status": 404, "headers": PAIRS},
            id="start",
        ),
        pytest.param(
            messages.response_start(200, PAIRS, trailers=True),
            {"type": "http.response.start", "status": 200, "headers": PAIRS, "trailers": True},
            id="start with trailers",
        ),
        pytest.param(
            messages.response_body(b"x", more_body=True),
            {"type": "http.response.body", "body": b"x", "more_body": True},
            id="body",
        ),
        pytest.param(
            messages.response_body(b"", more_body=False),
            {"type": "http.response.body", "body": b"", "more_body": False},
            id="last body",
        ),
        pytest.param(
            messages.early_hint([b"</a.css>; rel=preload"]),
            {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]},
            id="early hint",
            marks=pytest.mark.requirement("W-147"),
        ),
        pytest.param(
            messages.trailers(PAIRS),
            {"type": "http.response.trailers", "headers": PAIRS, "more_trailers": False},
            id="trailers",
            marks=pytest.mark.requirement("W-148"),
        ),
        pytest.param(
            messages.pathsend("/srv/a.bin"),
            {"type": "http.response.pathsend", "path": "/srv/a.bin"},
            id="pathsend",
            marks=pytest.mark.requirement("W-130"),
        ),
        pytest.param(
            messages.zerocopysend(7, 10, 20, more_body=False),
            {"type": "http.response.zerocopysend", "file": 7, "offset": 10, "count": 20, "more_body": False},
            id="zerocopysend",
            marks=pytest.mark.requirement("W-129"),
        ),
        pytest.param(
            messages.websocket_close(),
            {"type": "websocket.close"},
            id="websocket close",
            marks=pytest.mark.requirement("W-149"),
        ),
    ],
)
def test_an_event_has_exactly_the_keys_of_its_specification(message, expected):
    assert message == expected


@pytest.mark.requirement("W-138")
def test_a_plain_response_is_complete_and_says_how_long_it_is():
    start, body = messages.plain_response(503, "Zu viele Anfragen: später", (b"retry-after", b"1"))

    content = "Zu viele Anfragen: später\n".encode()
    assert start == {
        "type": "http.response.start",
        "status": 503,
        "headers": [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(content)),
            (b"retry-after", b"1"),
        ],
    }
    assert body == {"type": "http.response.body", "body": content, "more_body": False}


@pytest.mark.requirement("W-149")
def test_a_websocket_denial_is_a_plain_response_under_other_names():
    start, body = messages.websocket_denial(403, "No.")
    plain_start, plain_body = messages.plain_response(403, "No.")

    assert start == plain_start | {"type": "websocket.http.response.start"}
    assert body == plain_body | {"type": "websocket.http.response.body"}


def test_each_event_is_a_new_dict():
    """Servers and middleware may edit what they are sent."""
    messages.websocket_close()["code"] = 1000

    assert messages.websocket_close() == {"type": "websocket.close"}
