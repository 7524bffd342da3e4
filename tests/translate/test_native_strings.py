"""WSGI text read as the text or the octets it stands for; never a lone surrogate, never an exception."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.translate.strings import native_from_octets, native_from_text, octets_from_native, text_from_native
from tests.strategies import PROPERTY, hostile_texts, texts


@pytest.mark.requirement("A-022")
@pytest.mark.parametrize(
    ("native", "text"),
    [
        pytest.param("", "", id="empty"),
        pytest.param("/plain", "/plain", id="ASCII"),
        pytest.param("\0\r\n\x7f", "\0\r\n\x7f", id="control characters"),
        pytest.param("\xc3\xa9", "é", id="UTF-8"),
        pytest.param("\xf0\x9f\x90\x8d", "\U0001f40d", id="astral"),
        pytest.param("\xef\xbf\xbd", "\ufffd", id="the replacement character itself"),
        pytest.param("a\xffb", "a\ufffdb", id="no UTF-8"),
        pytest.param("\xc3", "\ufffd", id="cut off"),
        pytest.param("\xed\xa0\x80", "\ufffd\ufffd\ufffd", id="a surrogate in UTF-8"),
        pytest.param("\u20ac", "€", id="text"),
        pytest.param("\u20ac\xc3\xa9", "€\xc3\xa9", id="all of it is text then"),
        pytest.param("\udcff", "\ufffd", id="an escaped octet"),
        pytest.param("\xe9\ud800\udc00", "\xe9\ufffd\ufffd", id="two halves of a pair"),
    ],
)
def test_text_is_the_octets_read_as_utf8(native, text):
    assert text_from_native(native) == text


@pytest.mark.requirement("A-028")
@pytest.mark.parametrize(
    ("native", "octets"),
    [
        pytest.param("", b"", id="empty"),
        pytest.param("plain", b"plain", id="ASCII"),
        pytest.param("".join(map(chr, range(256))), bytes(range(256)), id="every octet"),
        pytest.param("\u20ac\xe9", b"\xe2\x82\xac\xc3\xa9", id="text"),
        pytest.param("\udcff", b"\xef\xbf\xbd", id="an escaped octet"),
        pytest.param("\xe9\ud800", b"\xc3\xa9\xef\xbf\xbd", id="a lone surrogate"),
    ],
)
def test_octets_are_the_code_points(native, octets):
    assert octets_from_native(native) == octets


@pytest.mark.requirement("A-022", "A-028")
@given(native=st.one_of(hostile_texts(), st.text(alphabet=st.characters(max_codepoint=255), max_size=12)))
@PROPERTY
def test_any_text_at_all_becomes_text_that_can_be_encoded_and_octets(native):
    text = text_from_native(native)

    text.encode("utf-8")
    assert type(text) is str
    assert type(octets_from_native(native)) is bytes


@pytest.mark.requirement("A-015", "A-028", "W-032")
@given(octets=st.binary(max_size=24))
@PROPERTY
def test_octets_come_back_from_their_native_form(octets):
    assert octets_from_native(native_from_octets(octets)) == octets
    assert text_from_native(native_from_octets(octets)) == octets.decode("utf-8", "replace")


@pytest.mark.requirement("A-022", "W-032")
@given(text=texts())
@PROPERTY
def test_text_comes_back_from_its_native_form(text):
    assert text_from_native(native_from_text(text)) == text
