"""Any input at all through the oracles of the fuzzer: what hypothesis builds of the pieces that mean something.

The fuzzer finds more, but not in each run; these are the same few hundred examples every time.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bridge import WSGIToASGI
from fuzz import asgi_response, environ, fields, scope, websocket, wsgi_response
from fuzz.reading import Reader, written
from tests.hostile.probing import OF_THE_ADAPTER, Recorder, asking, environ_or_status, without_body

MANY = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
WHOLE = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])

DIGITS = st.integers(0, 12).map(lambda number: bytes([ord("0") + number]))
PIECES = st.sampled_from(
    [
        *[
            b"/",
            b"//",
            b"/app",
            b"/app/",
            b"/application",
            b"/app/x",
            b"/..",
            b"%2F",
            b"%2e",
            b"%00",
            b"%0d%0a",
            b"%FF",
        ],
        *[
            b"\xff",
            b"\xc3\xa9",
            b"\xef\xbf\xbd",
            b"\xed\xa0\x80",
            b"\xed\xb3\xbf",
            b"\xc5\xbf",
            b"\x85",
            b"\xa0",
            b"\0",
        ],
        *[
            b"*",
            b"-",
            b"?x",
            b"#",
            b"http://h/p",
            b"http://a@b",
            b"HTTPS://h",
            b"http%3A//h",
            b"://",
            b"a%40b",
            b"%2Fx",
        ],
        *[
            b"h",
            b"h:80",
            b"h:0",
            b"h:99999",
            b":",
            b"[::1]",
            b"[::1]:8",
            b"::1",
            b"[",
            b"a:b",
            b"a\r\nb",
            b"a\r\n b",
            b"a\nb",
        ],
        *[
            b"",
            b"5",
            b"5, 5",
            b"5,6",
            b"+5",
            b"-1",
            b"0x5",
            b"1_0",
            b"05",
            b" 5",
            b"5\0",
            b"9" * 18,
            b"9" * 19,
            b"chunked",
        ],
        *[b"200 OK", b"204 No", b"304 Not", b"100 No", b"2000 OK", b"200", b"200 \xc2\xa0", b"abc", b"\xe2\x82\xac"],
        *[b"GET", b"HEAD", b"websocket", b"Upgrade", b"13", b"dGhlIHNhbXBsZSBub25jZQ==", b"chat", b"chat, x", b"a, a"],
    ]
)
NAMES = st.sampled_from(
    [
        *[
            b"host",
            b"Host",
            b"content-length",
            b"Content-Length",
            b"Content_Length",
            b"content-type",
            b"transfer-encoding",
        ],
        *[
            b"Transfer_Encoding",
            b"cookie",
            b"proxy",
            b"https",
            b"remote-user",
            b"REMOTE_USER",
            b"x_allowed",
            b"x-allowed",
        ],
        *[
            b"connection",
            b"Status",
            b"x-a",
            b"X-A",
            b"x a",
            b"x-\xdf",
            b":authority",
            b"",
            b"expect",
            b"wsgi.input",
            b"x.y",
        ],
        *[
            b"HOST",
            b"X_FOO",
            b"CONTENT_TYPE",
            b"CONTENT_LENGTH",
            b"TRANSFER_ENCODING",
            b"sec-websocket-key",
            b"location",
        ],
    ]
)
FIELDS = st.one_of(DIGITS, PIECES, NAMES, st.lists(PIECES, max_size=3).map(b"".join), st.binary(max_size=6))
INPUTS = st.lists(FIELDS, max_size=24).map(lambda drawn: written(*drawn))
PAIRS = st.lists(st.tuples(NAMES, st.one_of(PIECES, st.binary(max_size=6))), max_size=6)
HEADS = st.lists(FIELDS, min_size=14, max_size=14)
REQUESTS = st.builds(lambda head, pairs: written(*head, *(part for pair in pairs for part in pair)), HEADS, PAIRS)
"""As `INPUTS`, but with fields in the places of fields."""


@pytest.mark.requirement(
    "W-010", "W-013", "W-018", "W-024", "W-028", "W-031", "W-035", "W-044", "W-046", "W-050", "W-054"
)
@given(data=REQUESTS)
@MANY
def test_any_scope_gives_the_environ_of_a_conforming_gateway_or_a_bad_request(data: bytes) -> None:
    environ.check(data)


@pytest.mark.requirement("A-010", "A-013", "A-019", "A-022", "A-024", "A-026", "A-029", "A-031")
@given(data=REQUESTS)
@MANY
def test_any_environ_gives_the_scope_of_a_conforming_server_or_a_bad_request(data: bytes) -> None:
    scope.check(data)


@pytest.mark.requirement("W-041", "W-043", "W-044", "W-050", "W-051", "W-052", "W-096", "W-118", "A-062", "A-066")
@given(pairs=PAIRS)
@MANY
def test_any_field_list_means_the_same_to_all_who_read_it(pairs: list[tuple[bytes, bytes]]) -> None:
    fields.check(written(*(part for pair in pairs for part in pair)))


@pytest.mark.requirement("W-088", "W-089", "W-093", "W-096", "W-097", "W-119")
@given(data=INPUTS)
@MANY
def test_whatever_a_wsgi_application_does_a_legal_response_goes_out_or_an_error_is_raised(data: bytes) -> None:
    wsgi_response.check(data)


@pytest.mark.requirement("A-058", "A-059", "A-061", "A-062", "A-070", "A-076")
@given(data=INPUTS)
@MANY
def test_whatever_an_asgi_application_sends_a_legal_response_goes_out_or_an_error_is_raised(data: bytes) -> None:
    asgi_response.check(data)


@pytest.mark.requirement("A-126", "A-127", "A-130", "A-131", "A-136", "A-140", "S-001")
@given(kind=st.sampled_from([b"0", b"1"]), data=INPUTS)
@MANY
def test_any_handshake_is_answered_as_the_rules_say(kind: bytes, data: bytes) -> None:
    websocket.check(written(kind) + b"|" + data)


# ---- The whole adapters: the same oracles, with all there is between a server and an application --------------------


@pytest.mark.requirement("W-010", "W-013", "W-138")
def test_a_wsgi_application_gets_that_environ_or_is_not_called() -> None:
    recorder = Recorder()
    adapter = WSGIToASGI(recorder)

    @given(data=REQUESTS)
    @example(data=b"0|1|/%FF|/x%FE")
    @WHOLE
    def check(data: bytes) -> None:
        asked, target = environ.scope_from(Reader(data))
        asked["method"] = "GET"
        outcome = environ_or_status(adapter, recorder, asked)
        if isinstance(outcome, int):
            assert outcome == 400
            environ.check_environ(asked, target, None)
        else:
            added = outcome.keys() & OF_THE_ADAPTER
            environ.check_environ(asked, target, {key: outcome[key] for key in outcome.keys() - added})

    check()


@pytest.mark.requirement("A-010", "A-031")
def test_an_asgi_application_gets_that_scope_or_is_not_called() -> None:
    with asking() as asker:

        @given(data=REQUESTS)
        @WHOLE
        def check(data: bytes) -> None:
            variables: dict[str, Any] = scope.environ_from(Reader(data)) | {"REQUEST_METHOD": "GET"}
            variables = {key: value for key, value in variables.items() if key != "HTTP_UPGRADE"}
            outcome = asker.scope_or_status(without_body(variables))
            if isinstance(outcome, int):
                assert outcome == 400
                check_refusal(variables)
            else:
                scope.check_scope(variables, outcome)

        check()


def check_refusal(variables: dict[str, Any]) -> None:
    """There is a reason: a field that cannot be, or a length that is none."""
    length = variables.get("CONTENT_LENGTH", "")
    if not length or (length.isascii() and length.isdigit() and len(length) <= 18):
        scope.check_scope(variables, None)
