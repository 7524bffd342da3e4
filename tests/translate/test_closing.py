"""Which codes and reasons a close frame may have."""

from __future__ import annotations

import pytest
from websockets.exceptions import ProtocolError
from websockets.frames import Close

from bridge.errors import ApplicationTypeError, ApplicationValueError
from bridge.translate import closing
from bridge.translate.closing import checked_close


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_a_code_that_may_be_sent_is_let_through(code):
    """A-140."""
    assert checked_close(code, "why") == (code, "why")


@pytest.mark.parametrize(
    "code",
    [
        *[pytest.param(code, id=f"{code}: out of range") for code in (-1, 0, 999, 5000, 65536)],
        *[pytest.param(code, id=f"{code}: never on the wire") for code in (1004, 1005, 1006, 1015)],
        *[pytest.param(code, id=f"{code}: kept for the protocol, not defined") for code in (1016, 1100, 2000, 2999)],
    ],
)
def test_a_code_that_must_not_be_sent_is_the_applications_error_and_named(code):
    """A-140; RFC 6455 section 7.4.2: a careful receiver takes an undefined code for a broken rule."""
    with pytest.raises(ApplicationValueError, match=str(code)):
        checked_close(code, "")


def test_what_is_let_through_is_what_the_library_for_frames_sends():
    """Else a close of the application would fail with an error that is not ours, or be refused without need."""

    def is_let_through(code: int) -> bool:
        try:
            checked_close(code, "")
        except ApplicationValueError:
            return False
        return True

    def is_sendable(code: int) -> bool:
        try:
            Close(code, "").serialize()
        except ProtocolError:
            return False
        return True

    assert [code for code in range(6000) if is_let_through(code) != is_sendable(code)] == []


@pytest.mark.parametrize(
    "code", [pytest.param(code, id=type(code).__name__) for code in ("1000", 1000.0, None, True, b"1000")]
)
def test_a_code_is_an_int(code):
    with pytest.raises(ApplicationTypeError, match=type(code).__name__):
        checked_close(code, "")


@pytest.mark.parametrize("reason", [pytest.param(reason, id=type(reason).__name__) for reason in (b"", None, 1)])
def test_a_reason_is_a_str(reason):
    with pytest.raises(ApplicationTypeError, match=type(reason).__name__):
        checked_close(1000, reason)


@pytest.mark.parametrize(
    "reason",
    [
        pytest.param("", id="none"),
        pytest.param("x" * 123, id="123 bytes"),
        pytest.param("ü" * 61 + "x", id="123 bytes of UTF-8"),
    ],
)
def test_a_reason_may_fill_the_frame(reason):
    assert checked_close(1000, reason) == (1000, reason)


@pytest.mark.parametrize(
    "reason",
    [pytest.param("x" * 124, id="124 bytes"), pytest.param("ü" * 62, id="62 characters of two bytes")],
)
def test_a_reason_that_does_not_fit_is_the_applications_error(reason):
    """A-140; RFC 6455 section 5.5: a control frame holds 125 bytes, the code two of them."""
    with pytest.raises(ApplicationValueError, match="123"):
        checked_close(1000, reason)


def test_a_reason_that_has_no_utf_8_is_the_applications_error():
    with pytest.raises(ApplicationValueError):
        checked_close(1000, "\ud800")


def test_the_codes_have_the_values_of_the_registry():
    """IANA, WebSocket Close Code Number Registry."""
    assert {name: value for name, value in vars(closing).items() if name.isupper() and not name.startswith("_")} == {
        "NORMAL": 1000,
        "GOING_AWAY": 1001,
        "NO_STATUS": 1005,
        "ABNORMAL": 1006,
        "INTERNAL_ERROR": 1011,
    }
