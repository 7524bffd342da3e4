"""Response fields of an ASGI application: what reaches ``start_response``, and what raises out of ``send``."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate import native_fields_from_pairs
from tests.strategies import PROPERTY, header_lists, hostile_header_lists

HOP_BY_HOP = [
    *["connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"],
    *["trailers", "transfer-encoding", "upgrade"],
]
CONTROLS = [*range(0x09), *range(0x0A, 0x20), 0x7F]


class OddBytes(bytes):
    """A subclass, which is ``bytes`` all the same."""


# ---- What is passed on ------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-063", "A-073", "A-074")
def test_order_repeats_and_spelling_are_kept_and_nothing_is_added():
    pairs = [
        (b"set-cookie", b"a=1"),
        (b"X-A", b"1"),
        (b"content-type", b"text/plain"),
        (b"Set-Cookie", b"b=2"),
        (b"x-a", b""),
        (b"set-cookie", b"a=1"),
    ]

    assert native_fields_from_pairs(pairs) == (
        [
            ("set-cookie", "a=1"),
            ("X-A", "1"),
            ("content-type", "text/plain"),
            ("Set-Cookie", "b=2"),
            ("x-a", ""),
            ("set-cookie", "a=1"),
        ],
        None,
    )


@pytest.mark.requirement("A-060", "A-074")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(list, id="list of tuples"),
        pytest.param(tuple, id="tuple of tuples"),
        pytest.param(lambda pairs: [list(pair) for pair in pairs], id="list of lists"),
        pytest.param(lambda pairs: (pair for pair in pairs), id="generator"),
        pytest.param(lambda pairs: iter([iter(pair) for pair in pairs]), id="iterators all the way"),
        pytest.param(lambda pairs: dict(pairs).items(), id="items of a dict"),
        pytest.param(
            lambda pairs: [(OddBytes(name), OddBytes(value)) for name, value in pairs], id="subclass of bytes"
        ),
    ],
)
def test_headers_may_be_any_iterable_of_two_item_iterables(make):
    fields, _ = native_fields_from_pairs(make([(b"X-A", b"1"), (b"date", b"2")]))

    assert fields == [("X-A", "1"), ("date", "2")]
    assert {type(part) for field in fields for part in field} == {str}
    assert type(fields) is list
    assert {type(field) for field in fields} == {tuple}


@pytest.mark.requirement("A-063")
def test_the_applications_list_is_neither_kept_nor_changed():
    pairs = [(b"Connection", b"close"), [b"X-A", b" 1 "]]

    fields, _ = native_fields_from_pairs(pairs)
    assert pairs == [(b"Connection", b"close"), [b"X-A", b" 1 "]]
    pairs.clear()

    assert fields == [("X-A", "1")]


@pytest.mark.requirement("A-062", "A-073")
@pytest.mark.parametrize(
    ("value", "native"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param(b" \t v \t ", "v", id="outer space"),
        pytest.param(b"\t", "", id="space alone"),
        pytest.param(b"a \t b", "a \t b", id="inner space"),
        pytest.param(b"\xa0v\xa0", "\xa0v\xa0", id="a space that is none on the wire"),
        pytest.param(b"\xe9", "\xe9", id="latin-1"),
        pytest.param(b"\xc3\xa9", "\xc3\xa9", id="UTF-8"),
        pytest.param(bytes(range(0x80, 0x100)), "".join(map(chr, range(0x80, 0x100))), id="every high octet"),
        pytest.param(bytes(range(0x21, 0x7F)), bytes(range(0x21, 0x7F)).decode(), id="every visible octet"),
    ],
)
@pytest.mark.parametrize("name", [b"x-a", b"content-type"], ids=["unusual name", "usual name"])
def test_a_value_is_its_octets_read_as_latin1_without_outer_space(name, value, native):
    assert native_fields_from_pairs([(name, value)])[0] == [(name.decode(), native)]


@pytest.mark.requirement("A-065")
@pytest.mark.parametrize("spell", [str.lower, str.upper, str.title], ids=["lower", "UPPER", "Title"])
@pytest.mark.parametrize("name", [*HOP_BY_HOP, "status"])
def test_what_belongs_to_the_server_is_left_out_without_a_word(name, spell):
    pairs = [(b"x-a", b"1"), (spell(name).encode(), b"x"), (b"x-b", b"2")]

    assert native_fields_from_pairs(pairs) == ([("x-a", "1"), ("x-b", "2")], None)


@pytest.mark.requirement("A-062", "A-065")
def test_what_is_left_out_is_checked_all_the_same():
    with pytest.raises(ApplicationValueError):
        native_fields_from_pairs([(b"connection", b"close\r\nX-Evil: 1")])


# ---- What is refused --------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-062")
@pytest.mark.parametrize(
    "name",
    [
        *[b"", b" ", b"x ", b" x", b"x y", b"x:", b":status", b":", b"x\r\ny", b"x\n", b"x\0", b"\tx"],
        *[b"(x)", b'"x"', b"x/y", b"x,y", b"x;y", b"x=y", b"x@y", b"[x]", b"{x}", b"x\\y", b"<x>", b"x?"],
        *[b"\xe9", b"x\xc3\xa9", b"x\x7f", b"content-type ", b"content-length\n"],
    ],
    ids=repr,
)
def test_a_name_that_is_no_token_is_refused(name):
    with pytest.raises(ApplicationValueError) as caught:
        native_fields_from_pairs([(name, b"v")])

    assert repr(name) in str(caught.value)


@pytest.mark.requirement("A-062")
@pytest.mark.parametrize("octet", CONTROLS, ids=hex)
@pytest.mark.parametrize("name", [b"x-a", b"location"], ids=["unusual name", "usual name"])
@pytest.mark.parametrize(
    "shape", [b"a%cb", b"%c", b"a%c", b"%cb", b" %c "], ids=["inside", "alone", "end", "front", "space"]
)
def test_a_control_character_in_a_value_is_refused_wherever_it_stands(name, octet, shape):
    with pytest.raises(ApplicationValueError, match="control character"):
        native_fields_from_pairs([(name, shape % octet)])


@pytest.mark.requirement("A-062")
def test_the_value_which_may_be_a_secret_is_not_quoted():
    with pytest.raises(ApplicationValueError) as caught:
        native_fields_from_pairs([(b"set-cookie", b"session=s3cret\r\n")])

    assert "s3cret" not in str(caught.value)
    assert "set-cookie" in str(caught.value)


@pytest.mark.requirement("A-059")
@pytest.mark.parametrize(
    "pairs",
    [
        pytest.param(None, id="None"),
        pytest.param(5, id="a number"),
        pytest.param("ab", id="text"),
        pytest.param(b"ab", id="octets"),
        pytest.param({b"x-a": b"1"}, id="a dict"),
        pytest.param({"ab": "v"}, id="a dict of two-letter text"),
        pytest.param([b"ab"], id="an entry of two octets"),
        pytest.param(["ab"], id="an entry of two letters"),
        pytest.param([bytearray(b"ab")], id="an entry of a bytearray"),
        pytest.param([None], id="an entry None"),
        pytest.param([5], id="an entry number"),
        pytest.param([()], id="an empty entry"),
        pytest.param([(b"x-a",)], id="an entry of one"),
        pytest.param([(b"x-a", b"1", b"2")], id="an entry of three"),
        pytest.param([("x-a", b"1")], id="text as the name"),
        pytest.param([(b"x-a", "1")], id="text as the value"),
        pytest.param([("x-a", "1")], id="text as both"),
        pytest.param([("content-type", b"a/b")], id="a usual name as text"),
        pytest.param([(b"x-a", 1)], id="a number as the value"),
        pytest.param([(b"content-length", 5)], id="a number as the length"),
        pytest.param([(b"x-a", None)], id="None as the value"),
        pytest.param([(None, b"1")], id="None as the name"),
        pytest.param([(bytearray(b"x-a"), b"1")], id="a bytearray as the name"),
        pytest.param([(b"x-a", bytearray(b"1"))], id="a bytearray as the value"),
        pytest.param([(b"x-a", memoryview(b"1"))], id="a memoryview as the value"),
        pytest.param([([], b"1")], id="a list as the name"),
    ],
)
def test_what_is_no_pair_of_bytes_is_a_type_error(pairs):
    with pytest.raises(ApplicationTypeError) as caught:
        native_fields_from_pairs(pairs)

    assert caught.value.rule.startswith("ASGI HTTP")


@pytest.mark.requirement("A-059")
@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("x-a", b"1")], ["'x-a'", "str", "bytes"]),
        ([(b"x-a", 7)], ["x-a", "int", "bytes"]),
        ([7], ["int", "pair"]),
        (None, ["NoneType", "iterable"]),
    ],
    ids=["name", "value", "entry", "headers"],
)
def test_a_type_error_says_what_was_given_and_what_is_wanted(pairs, words):
    with pytest.raises(ApplicationTypeError) as caught:
        native_fields_from_pairs(pairs)

    assert all(word in str(caught.value) for word in words)


# ---- Content-Length ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-066")
@pytest.mark.parametrize(
    ("values", "length"),
    [
        pytest.param([b"0"], 0, id="0"),
        pytest.param([b"5"], 5, id="5"),
        pytest.param([b" 5\t"], 5, id="outer space"),
        pytest.param([b"5", b"5"], 5, id="twice"),
        pytest.param([b"5", b" 5", b"5 "], 5, id="three times"),
        pytest.param([b"9" * 18], 10**18 - 1, id="as much as 64 bits hold"),
    ],
)
@pytest.mark.parametrize("name", [b"content-length", b"Content-Length", b"CONTENT-LENGTH"], ids=bytes.decode)
def test_a_content_length_is_read_and_goes_out_once(name, values, length):
    fields, content_length = native_fields_from_pairs([(b"x-a", b"1"), *[(name, value) for value in values]])

    assert content_length == length
    assert fields == [("x-a", "1"), (name.decode(), values[0].decode().strip())]


@pytest.mark.requirement("A-066")
@pytest.mark.parametrize(
    "values",
    [
        *[[b""], [b" "], [b"+5"], [b"-5"], [b"1_0"], [b"5,6"], [b"5, 5"], [b"5.0"], [b"0x5"], [b"abc"], [b"5 5"]],
        *[[b"\xb2"], [b"9" * 19], [b"9" * 5000], [b"5", b"6"], [b"5", b"05"], [b"5", b""], [b"", b"5"], [b"5", b"x"]],
    ],
    ids=lambda values: b" and ".join(values).decode("latin-1")[:20],
)
def test_a_content_length_that_is_no_number_or_two_is_refused(values):
    with pytest.raises(ApplicationValueError) as caught:
        native_fields_from_pairs([(b"content-length", value) for value in values])

    assert caught.value.rule == "RFC 9110, section 8.6"


@pytest.mark.requirement("A-066")
def test_two_spellings_of_content_length_are_one_field():
    with pytest.raises(ApplicationValueError, match="twice"):
        native_fields_from_pairs([(b"Content-Length", b"5"), (b"content-length", b"6")])


# ---- Properties -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-062", "A-065", "A-066", "A-073")
@given(pairs=st.one_of(hostile_header_lists(), st.lists(st.tuples(st.binary(max_size=4), st.binary(max_size=4)))))
@PROPERTY
def test_any_octets_make_fields_that_are_safe_to_send_or_an_application_error(pairs):
    try:
        fields, length = native_fields_from_pairs(pairs)
    except ApplicationError as error:
        assert isinstance(error, ValueError)
        return
    for name, value in fields:
        assert name
        assert name.isascii()
        assert not set(name) & set('\0\r\n\t :;,()<>@"/[]?={}\\')
        assert name.lower() not in HOP_BY_HOP
        assert value == value.strip(" \t")
        assert not set(value.encode("latin-1")) & set(CONTROLS)
    lengths = [value for name, value in fields if name.lower() == "content-length"]
    assert lengths in ([], [str(length)]) or (len(lengths) == 1 and int(lengths[0]) == length)
    assert (length is None) == (not lengths)


@pytest.mark.requirement("A-063", "A-073", "A-074")
@given(pairs=header_lists())
@PROPERTY
def test_fields_without_faults_come_out_as_they_went_in(pairs):
    legal = [(name, value) for name, value in pairs if not set(value) & set(CONTROLS)]

    fields, _ = native_fields_from_pairs(legal)

    assert [(name.encode(), value.encode("latin-1")) for name, value in fields] == [
        (name, value.strip(b" \t")) for name, value in legal if name.lower().decode() not in [*HOP_BY_HOP, "status"]
    ]
