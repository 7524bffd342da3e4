"""Response fields: what an application may hand to ``start_response``, and what becomes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate import fields_from_headers
from tests.strategies import PROPERTY

HOP_BY_HOP = [
    *["Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "TE", "Trailer"],
    *["Trailers", "Transfer-Encoding", "Upgrade"],
]


# ---- Translation ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-098", "W-100")
def test_names_are_lower_case_bytes_and_order_and_repeats_are_kept():
    fields = fields_from_headers(
        [
            ("Content-Type", "text/plain"),
            ("Set-Cookie", "b=2"),
            ("X-Odd-Case", "  \t padded \t"),
            ("SET-COOKIE", "a=1"),
            ("x-empty", ""),
            ("X-Latin", "caf\xe9\xff\x80"),
            ("X-Tab", "a\tb"),
        ]
    )

    assert fields.pairs == [
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"b=2"),
        (b"x-odd-case", b"padded"),
        (b"set-cookie", b"a=1"),
        (b"x-empty", b""),
        (b"x-latin", b"caf\xe9\xff\x80"),
        (b"x-tab", b"a\tb"),
    ]
    assert (fields.content_length, fields.dropped) == (None, None)


@pytest.mark.requirement("W-098")
@pytest.mark.parametrize("value", ["\xa0a\xa0", "\x85a\x85"], ids=ascii)
def test_only_space_and_tab_are_trimmed(value):
    assert fields_from_headers([("X-A", value)]).pairs == [(b"x-a", value.encode("latin-1"))]


@pytest.mark.requirement("W-095")
def test_the_list_is_copied():
    headers = [("X-A", "1")]

    fields = fields_from_headers(headers)
    headers.append(("X-B", "2"))

    assert fields.pairs == [(b"x-a", b"1")]


@pytest.mark.requirement("W-095")
def test_any_iterable_of_tuples_will_do_unless_strict():
    for headers in ((("X-A", "1"),), {"X-A": "1"}.items(), iter([("X-A", "1")])):
        assert fields_from_headers(headers).pairs == [(b"x-a", b"1")]
    assert fields_from_headers([("X-A", "1")], strict=True).pairs == [(b"x-a", b"1")]


@pytest.mark.requirement("W-095")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((("X-A", "1"),), id="tuple"),
        pytest.param({"X-A": "1"}.items(), id="items view"),
        pytest.param(type("Headers", (list,), {})([("X-A", "1")]), id="subclass of list"),
    ],
)
def test_strict_mode_wants_a_list(headers):
    with pytest.raises(ApplicationTypeError, match="must be a list"):
        fields_from_headers(headers, strict=True)


# ---- Types ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-095")
@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(None, id="None"),
        pytest.param(7, id="number"),
        pytest.param("X-A: 1", id="text"),
        pytest.param("", id="empty text"),
        pytest.param(b"", id="empty bytes"),
        pytest.param({"X-A": "1"}, id="dict"),
        pytest.param(["X-A: 1"], id="line"),
        pytest.param(["ab"], id="text of two characters"),
        pytest.param([["X-A", "1"]], id="list for a pair"),
        pytest.param([("X-A",)], id="one item"),
        pytest.param([("X-A", "1", "2")], id="three items"),
        pytest.param([None], id="None for a pair"),
        pytest.param([(b"X-A", "1")], id="bytes name"),
        pytest.param([("X-A", b"1")], id="bytes value"),
        pytest.param([("Content-Type", b"text/plain")], id="bytes value of a usual field"),
        pytest.param([("Content-Length", 5)], id="number value"),
        pytest.param([("X-A", None)], id="None value"),
        pytest.param([(None, "1")], id="None name"),
        pytest.param([([], "1")], id="unhashable name"),
        pytest.param([("X-A", "1"), ("X-B", 2)], id="after a good one"),
    ],
)
def test_anything_but_pairs_of_str_is_a_type_error(headers):
    with pytest.raises(ApplicationTypeError) as caught:
        fields_from_headers(headers)

    assert "PEP 3333" in caught.value.rule


# ---- Names and values -------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-096", "W-097")
@pytest.mark.parametrize(
    "name",
    [
        *["", " ", "X A", "X-A:", ":status", "X-A\r", "X-A\n", "X-A\r\nX-B", "\nX-A", "X\0A", "X\tA", " X-A", "X-A "],
        *["X/A", "X(A)", "X@A", "X=A", "X,A", "X;A", '"X"', "X\\A", "{X}", "X\x7f"],
        *["X-\xe9", "X-\u20ac", "\u212aeep-Alive", "X-\ud800"],
    ],
    ids=ascii,
)
def test_a_name_that_is_no_token_is_refused(name):
    with pytest.raises(ApplicationValueError, match="header name"):
        fields_from_headers([(name, "1")])


@pytest.mark.requirement("W-096")
@pytest.mark.parametrize("code", [*range(0x09), *range(0x0A, 0x20), 0x7F], ids="0x{:02x}".format)
@pytest.mark.parametrize("name", ["X-A", "Location", "Content-Length"])
@pytest.mark.parametrize("place", ["{}secret", "sec{}ret", "secret{}", "caf\xe9{}secret"], ids=ascii)
def test_a_value_with_a_control_character_is_refused_and_not_quoted(name, code, place):
    with pytest.raises(ApplicationValueError) as caught:
        fields_from_headers([(name, place.format(chr(code)))])

    assert name in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.requirement("W-097")
@pytest.mark.parametrize("value", ["\u20ac", "a\u0100", "\U0001f40d", "\ud800"], ids=ascii)
def test_a_value_beyond_latin1_is_refused(value):
    with pytest.raises(ApplicationValueError, match="latin-1"):
        fields_from_headers([("X-A", value)])


# ---- Hop-by-hop -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-099")
@pytest.mark.parametrize("spell", [str, str.lower, str.upper, str.swapcase], ids=["usual", "lower", "upper", "swapped"])
@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_hop_by_hop_field_is_refused_or_dropped_by_choice(name, spell):
    headers = [("X-A", "1"), (spell(name), "x"), ("X-B", "2")]

    with pytest.raises(ApplicationError, match="hop-by-hop") as caught:
        fields_from_headers(headers)
    fields = fields_from_headers(headers, drop_hop_by_hop=True)

    assert spell(name) in str(caught.value)
    assert fields.pairs == [(b"x-a", b"1"), (b"x-b", b"2")]
    assert fields.dropped == [spell(name)]


# ---- Content-Length ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-118")
@pytest.mark.parametrize(
    ("headers", "length"),
    [
        pytest.param([("Content-Length", "5")], 5, id="one"),
        pytest.param([("content-length", "0")], 0, id="zero"),
        pytest.param([("CONTENT-LENGTH", " 5\t")], 5, id="with space around"),
        pytest.param([("Content-Length", "5"), ("X-A", "1"), ("content-length", "5")], 5, id="twice the same"),
    ],
)
def test_content_length_is_read_and_sent_once(headers, length):
    fields = fields_from_headers(headers)

    assert fields.content_length == length
    assert [pair for pair in fields.pairs if pair[0] == b"content-length"] == [(b"content-length", b"%d" % length)]


@pytest.mark.requirement("W-118")
@pytest.mark.parametrize(
    "values",
    [
        *[["+5"], ["1_0"], ["-1"], ["0x5"], ["5 5"], ["5.0"], [""], [" "], ["five"], ["\xb2"], ["5\xa0"], ["1" * 19]],
        *[["5", "6"], ["6", "5", "5"], ["5", ""], ["5, 6"]],
    ],
    ids=ascii,
)
def test_lengths_that_are_no_number_or_do_not_agree_are_refused(values):
    with pytest.raises(ApplicationValueError, match="Content-Length"):
        fields_from_headers([("Content-Length", value) for value in values])


# ---- Property ---------------------------------------------------------------------------------------------------

_NAMES = st.one_of(st.sampled_from(["Content-Type", "content-length", "Set-Cookie", *HOP_BY_HOP]), st.text(max_size=6))
_VALUES = st.one_of(st.sampled_from(["5", "6", "a\r\nb: c"]), st.text(max_size=8))
_ENTRIES = st.one_of(
    st.tuples(_NAMES, _VALUES), st.tuples(st.binary(max_size=2), _VALUES), st.text(max_size=2), st.none()
)


@pytest.mark.requirement("W-096", "W-097", "W-098", "W-099", "W-118")
@given(headers=st.lists(_ENTRIES, max_size=5), drop=st.booleans())
@PROPERTY
def test_any_headers_become_clean_fields_or_an_application_error(headers, drop):
    try:
        fields = fields_from_headers(headers, drop_hop_by_hop=drop)
    except ApplicationError:
        return
    forbidden = bytes(range(0x09)) + bytes(range(0x0A, 0x20)) + b"\x7f"
    for name, value in fields.pairs:
        assert name
        assert name == name.lower()
        assert name.isascii()
        assert name.decode().title() not in HOP_BY_HOP
        assert name != b"te"
        assert not set(name) & set(b' :\r\n\t"(),/;<=>?@[\\]{}\x7f')
        assert not set(value) & set(forbidden)
        assert value == value.strip(b" \t")
    assert sum(name == b"content-length" for name, _ in fields.pairs) == (fields.content_length is not None)
