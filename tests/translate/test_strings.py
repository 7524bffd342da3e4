"""Text and octets: "bytes as unicode" in one direction, its refusals in the other."""

from __future__ import annotations

import pytest
from hypothesis import given

from bridge.errors import BadRequest
from bridge.translate.strings import native_from_octets, native_from_text, octets_from_text
from tests.strategies import PROPERTY, hostile_texts, texts


@pytest.mark.requirement("W-021")
@pytest.mark.parametrize(
    ("text", "native"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("/plain", "/plain", id="ascii"),
        pytest.param("/é", "/\xc3\xa9", id="two octets"),
        pytest.param("/€", "/\xe2\x82\xac", id="three octets"),
        pytest.param("/\U0001f40d", "/\xf0\x9f\x90\x8d", id="astral"),
        pytest.param("\ufffd", "\xef\xbf\xbd", id="replacement character"),
    ],
)
def test_text_becomes_its_utf8_octets_read_as_latin1(text, native):
    assert native_from_text(text) == native


@pytest.mark.requirement("W-024")
def test_a_surrogate_escaped_code_point_becomes_its_octet():
    assert octets_from_text("/\udcff\udc80") == b"/\xff\x80"
    assert native_from_text("/\udcff\udc80") == "/\xff\x80"


@pytest.mark.requirement("W-024")
@pytest.mark.parametrize("code_point", [0xD800, 0xDBFF, 0xDC7F, 0xDD00, 0xDFFF], ids=hex)
def test_a_surrogate_that_stands_for_no_octet_is_a_bad_request(code_point):
    with pytest.raises(BadRequest) as caught:
        native_from_text("/é" + chr(code_point))

    assert caught.value.status == 400
    assert caught.value.__cause__ is None


@pytest.mark.requirement("W-045")
def test_each_octet_becomes_the_code_point_of_its_number():
    native = native_from_octets(bytes(range(256)))

    assert [ord(character) for character in native] == list(range(256))


@pytest.mark.requirement("W-021")
@given(text=texts())
@PROPERTY
def test_native_text_holds_everything_that_was_in_the_text(text):
    assert native_from_text(text).encode("latin-1").decode("utf-8") == text


@pytest.mark.requirement("W-010", "W-024")
@given(text=hostile_texts())
@PROPERTY
def test_any_text_becomes_latin1_or_is_refused(text):
    try:
        native = native_from_text(text)
    except BadRequest:
        assert any("\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff" for character in text)
    else:
        assert native.encode("latin-1") == octets_from_text(text)
