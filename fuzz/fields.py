"""Target: header fields of both directions, each list given to all who read one, and the framing they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge.errors import ApplicationError, BadRequest
from bridge.translate import (
    EnvironOptions,
    environ_from_scope,
    environ_key_from_name,
    fields_from_headers,
    framing_from_headers,
    native_fields_from_pairs,
)
from fuzz import asgi_response, wsgi_response
from fuzz.environ_rules import request_variables
from fuzz.http_rules import Refusal, is_token, lowered, request_length, trimmed, uppered
from fuzz.reading import Reader, expect, expect_equal

_SCOPE = {"type": "http", "method": "POST", "path": "/", "server": ("127.0.0.1", 8000)}
_WITHOUT_FIELDS = frozenset(environ_from_scope(_SCOPE))
_ALLOWED = b"x_allowed"
_REFUSALS = (BadRequest, ApplicationError)


def check(data: bytes) -> None:
    """Hold one input against the rules."""
    pairs = Reader(data).pairs()
    check_framing(pairs)
    check_variables(pairs)
    for name, _ in pairs:
        expect_equal(environ_key_from_name(name), expected_key(name), f"the key of {name!r}")
    check_response_fields(pairs)


def outcome_of(call: Callable[[], Any]) -> Any:
    """Return what a call gives, and `Refusal` (the class) if it refuses as documented."""
    try:
        return call()
    except (*_REFUSALS, Refusal):
        return Refusal


def check_framing(pairs: list[tuple[bytes, bytes]]) -> None:
    """What the fields say of the body."""

    def expected() -> tuple[int | None, bool, bool]:
        def values_of(wanted: bytes) -> list[bytes]:
            return [value for name, value in pairs if lowered(name) == wanted]

        length = request_length(values_of(b"content-length"))
        is_coded = bool(values_of(b"transfer-encoding"))
        continues = [lowered(trimmed(value)) == b"100-continue" for value in values_of(b"expect")]
        return None if is_coded else length, is_coded, any(continues)

    def given() -> tuple[int | None, bool, bool]:
        framing = framing_from_headers(iter(pairs))
        expect_equal(framing.is_silent, framing.content_length is None and not framing.has_transfer_encoding, "silence")
        return framing.content_length, framing.has_transfer_encoding, framing.expects_continue

    expect_equal(outcome_of(given), outcome_of(expected), f"the framing of {pairs}")


def check_variables(pairs: list[tuple[bytes, bytes]]) -> None:
    """The variables that the fields make, and nothing else; and what a name that is let through may make besides."""

    def made(options: EnvironOptions) -> dict[str, Any]:
        environ = environ_from_scope({**_SCOPE, "headers": pairs}, options=options)
        return {key: value for key, value in environ.items() if key not in _WITHOUT_FIELDS}

    expected = outcome_of(lambda: request_variables(pairs))
    expect_equal(outcome_of(lambda: made(EnvironOptions())), expected, f"the variables of {pairs}")
    lenient = outcome_of(lambda: made(EnvironOptions(underscore_names=frozenset({_ALLOWED}))))
    if expected is Refusal or lenient is Refusal:
        expect_equal(lenient, expected, "a name that is let through changed the refusal")
    else:
        more = {key for key, value in lenient.items() if value != expected.get(key)}
        expect(more <= {"HTTP_X_ALLOWED"}, f"a name that is let through made {more}")


def expected_key(name: bytes) -> str | None:
    """Return the key of a field, None where it has none."""
    name = lowered(name)
    if not is_token(name) or b"_" in name or name in (b"content-length", b"transfer-encoding"):
        return None
    key = uppered(name).replace(b"-", b"_").decode("ascii")
    return key if name == b"content-type" else "HTTP_" + key


def check_response_fields(pairs: list[tuple[bytes, bytes]]) -> None:
    """The same list as response fields of applications of both kinds."""
    texts = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in pairs]
    for drops in (False, True):
        given = outcome_of(lambda drops=drops: fields_from_headers(texts, drop_hop_by_hop=drops)[:2])  # type: ignore[misc]
        expected = outcome_of(lambda drops=drops: wsgi_response.checked_pairs(texts, drops_hop_by_hop=drops))  # type: ignore[misc]
        expect_equal(given, expected, f"the response fields of {texts}")
    given = outcome_of(lambda: native_fields_from_pairs(pairs))
    expect_equal(given, outcome_of(lambda: asgi_response.checked_pairs(pairs)), f"the response fields of {pairs}")
