"""Status lines: which are accepted, and what is said of the others."""

from __future__ import annotations

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate import code_from_status
from tests.strategies import PROPERTY


@pytest.mark.requirement("W-093", "W-094")
@pytest.mark.parametrize("status", HTTPStatus, ids=lambda status: str(status.value))
def test_every_registered_final_status_is_accepted(status):
    line = f"{status.value} {status.phrase}"

    if status < 200:
        with pytest.raises(ApplicationValueError):
            code_from_status(line)
    else:
        assert code_from_status(line) == status.value
        assert type(code_from_status(line)) is int


@pytest.mark.requirement("W-093", "W-094")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param("299 Odd", 299, id="unregistered"),
        pytest.param("200 ok", 200, id="reason in another spelling"),
        pytest.param("200 All is well, isn't it?", 200, id="reason of several words"),
        pytest.param("200 !", 200, id="reason of one character"),
        pytest.param("404 404", 404, id="reason of digits"),
        pytest.param("200 Tr\xe8s bien", 200, id="reason beyond ascii"),
        pytest.param("999 Last", 999, id="last"),
    ],
)
def test_the_code_is_kept_and_the_reason_dropped(line, code):
    assert code_from_status(line) == code
    assert code_from_status(line, strict=True) == code


@pytest.mark.requirement("W-093")
@pytest.mark.parametrize("line", ["200", "200 ", "404"], ids=repr)
def test_a_missing_reason_is_refused_only_in_strict_mode(line):
    assert code_from_status(line) == int(line)

    with pytest.raises(ApplicationValueError):
        code_from_status(line, strict=True)


@pytest.mark.requirement("W-093", "W-097")
@pytest.mark.parametrize("strict", [False, True], ids=["lenient", "strict"])
@pytest.mark.parametrize(
    "line",
    [
        *["", " ", "OK", "20 OK", "2000 OK", "2 00 OK", "0x1 OK", "+20 OK", "-20 OK", "000 None", "099 Low", "2.0 OK"],
        *["200OK", "200  OK", "200\tOK", "200-OK", " 200 OK", "200 OK ", "200 OK\t", "\t200 OK", "200 \xa0\t"],
        *[
            "200 OK\r\n",
            "200 OK\n",
            "\n200 OK",
            "200 OK\r\nSet-Cookie: a=1",
            "200 O\0K",
            "200 O\tK",
            "200 O\x7fK",
            "200\n",
        ],
        *["200 O\x85K", "200 O\x9fK", "200 \u20ac", "\uff12\uff10\uff10 OK", "\u0662\u0660\u0660 OK", "200 \ud800"],
    ],
    ids=ascii,
)
def test_whatever_is_no_status_line_is_refused(line, strict):
    with pytest.raises(ApplicationValueError) as caught:
        code_from_status(line, strict=strict)

    assert caught.value.rule == 'PEP 3333, "The start_response() Callable"'


@pytest.mark.requirement("W-093")
@pytest.mark.parametrize(
    "line", [200, b"200 OK", bytearray(b"200 OK"), None, HTTPStatus.OK, ("200", "OK"), []], ids=repr
)
def test_a_status_that_is_no_str_is_a_type_error(line):
    with pytest.raises(ApplicationTypeError) as caught:
        code_from_status(line)

    assert type(line).__name__ in str(caught.value)


@pytest.mark.requirement("W-094")
@pytest.mark.parametrize("line", ["100 Continue", "101 Switching Protocols", "103 Early Hints", "199 X", "100"])
def test_an_interim_status_is_no_final_answer(line):
    with pytest.raises(ApplicationValueError, match="interim"):
        code_from_status(line)


@pytest.mark.requirement("W-093", "W-097")
@given(line=st.one_of(st.text(max_size=12), st.builds("{} {}".format, st.integers(0, 1200), st.text(max_size=8))))
@PROPERTY
def test_any_text_is_a_safe_final_status_or_an_application_error(line):
    try:
        code = code_from_status(line)
    except ApplicationError:
        return
    assert 200 <= code <= 999
    assert line.startswith(str(code))
    assert max(line) <= "\xff"
    assert not any(character < " " or "\x7f" <= character <= "\x9f" for character in line)
