"""``Content-Length``, and responses without content (W-118 to W-125)."""

from __future__ import annotations

import itertools
import logging

import pytest

from bridge import ApplicationError
from tests.conformance.driver import (
    TEXT,
    ClosingBlocks,
    Driver,
    answering,
    logged,
    make_scope,
    on_each_backend,
    plain_and_linted,
    serve,
)


def with_length(*values: str) -> list[tuple[str, str]]:
    return [*TEXT, *(("Content-Length", value) for value in values)]


MAKERS = pytest.mark.parametrize("make", [list, tuple, iter], ids=["list", "tuple", "iterator"])


# ---- The field itself -------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-118")
@pytest.mark.parametrize(
    "values",
    [
        ("+5",),
        ("-5",),
        ("1_0",),
        ("0x5",),
        ("5.0",),
        ("5 5",),
        ("5, 5",),
        ("",),
        ("\xb2",),
        ("five",),
        ("5", "6"),
        ("5", "05"),
        ("5", "5", "6"),
        ("9" * 4000,),
    ],
    ids=repr,
)
def test_a_length_that_is_no_plain_number_or_not_agreed_upon_is_refused_in_the_call(values):
    raised = []

    def app(environ, start_response):
        try:
            start_response("200 OK", with_length(*values))
        except ApplicationError as error:
            raised.append(error)
            raise
        return [b"12345"]

    driver = serve(app)

    assert len(raised) == 1
    assert driver.error is raised[0]
    assert driver.sent == []


@pytest.mark.requirement("W-118")
@pytest.mark.parametrize("values", [("5",), ("5", "5"), (" 5\t", "5")], ids=repr)
@MAKERS
def test_equal_lengths_are_sent_once(values, make):
    driver = serve(answering(lambda: make([b"12", b"345"]), headers=with_length(*values)))

    assert driver.error is None
    assert driver.headers == [(b"content-type", b"text/plain"), (b"content-length", b"5")]
    assert driver.body == b"12345"


# ---- Too much ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-119")
@on_each_backend
@plain_and_linted
@pytest.mark.parametrize("block", [b"1", b"123", b"1234567890", b"12345678901234567890"], ids=len)
def test_an_infinite_iterable_is_cut_to_its_length_and_closed(block, backend, wrap, caplog):
    taken = []

    def blocks():
        for number in itertools.count():
            taken.append(number)
            yield block

    returned = ClosingBlocks(blocks())

    driver = serve(wrap(answering(lambda: returned, headers=with_length("10"))), backend=backend)

    assert driver.error is None
    assert driver.header(b"content-length") == b"10"
    assert driver.body == (block * 10)[:10]
    assert driver.is_complete
    assert len(returned.closed_in) == 1
    assert len(taken) <= 10 // len(block) + 1
    assert len(logged(caplog, logging.WARNING)) == (0 if not 10 % len(block) and len(taken) * len(block) <= 10 else 1)


@pytest.mark.requirement("W-119")
@MAKERS
@pytest.mark.parametrize("blocks", [[b"12345"], [b"123", b"45"], [b"12", b"34", b"5"]], ids=len)
def test_what_is_beyond_the_length_is_cut_with_one_warning(blocks, make, caplog):
    driver = serve(answering(lambda: make(blocks), headers=with_length("3")))

    assert driver.error is None
    assert driver.body == b"123"
    assert driver.is_complete
    # Whether a block after the last allowed octet is still asked for (and then warned about) is left open.
    assert len(logged(caplog, logging.WARNING)) in ({0, 1} if make is iter and blocks[0] == b"123" else {1})


@pytest.mark.requirement("W-119")
@MAKERS
def test_a_length_of_zero_lets_no_octet_out(make):
    driver = serve(answering(lambda: make([b"", b"12"]), headers=with_length("0")))

    assert driver.error is None
    assert driver.header(b"content-length") == b"0"
    assert driver.body == b""
    assert driver.is_complete


# ---- Too little -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-120")
@on_each_backend
@MAKERS
@pytest.mark.parametrize("blocks", [[], [b""], [b"123"], [b"1", b"2"]], ids=repr)
def test_too_few_octets_are_reported_and_the_response_is_not_ended(blocks, make, backend):
    driver = serve(answering(lambda: make(blocks), headers=with_length("10")), backend=backend)

    assert isinstance(driver.error, ApplicationError)
    assert "10" in str(driver.error)
    assert driver.body in {b"", b"".join(blocks)}
    assert not driver.is_complete


@pytest.mark.requirement("W-120")
@MAKERS
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_a_response_without_content_may_announce_more_than_it_has(method, status, make):
    driver = serve(answering(lambda: make([]), status=status, headers=[("Content-Length", "10")]), make_scope(method))

    assert driver.error is None
    assert driver.types == ["start", "body"]
    assert driver.is_complete


# ---- Inference --------------------------------------------------------------------------------------------------


class Sized:
    """An iterable with a length that may be a lie."""

    def __init__(self, length: object, blocks: list[bytes]) -> None:
        self._length = length
        self._blocks = blocks

    def __len__(self) -> int:
        if isinstance(self._length, BaseException):
            raise self._length
        return self._length  # type: ignore[return-value]

    def __iter__(self):
        return iter(self._blocks)


@pytest.mark.requirement("W-121")
@on_each_backend
@pytest.mark.parametrize(
    ("make", "length"),
    [
        pytest.param(lambda: [b"abc"], b"3", id="list"),
        pytest.param(lambda: (b"abc",), b"3", id="tuple"),
        pytest.param(lambda: Sized(1, [b"abc"]), b"3", id="own type"),
        pytest.param(lambda: [b""], b"0", id="empty block"),
        pytest.param(lambda: Sized(1, [b""]), b"0", id="empty block of an own type"),
        pytest.param(lambda: iter([b"abc"]), None, id="iterator"),
        pytest.param(lambda: Sized(2, [b"a", b"bc"]), None, id="two of an own type"),
    ],
)
def test_the_length_of_an_only_block_is_inferred(make, length, backend):
    driver = serve(answering(make), backend=backend)

    assert driver.error is None
    assert driver.header(b"content-length") == length
    assert driver.is_complete


@pytest.mark.requirement("W-122")
@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("HEAD", "200 OK"),
        ("GET", "204 No Content"),
        ("GET", "304 Not Modified"),
        ("HEAD", "304 Not Modified"),
        ("HEAD", "204 No Content"),
    ],
)
@pytest.mark.parametrize("make", [lambda: [b""], lambda: Sized(1, [b""])], ids=["list", "own type"])
def test_no_length_is_inferred_from_an_empty_block_that_stands_for_no_content(method, status, make):
    driver = serve(answering(make, status=status, headers=[]), make_scope(method))

    assert driver.error is None
    assert driver.headers == []
    assert driver.types == ["start", "body"]


@pytest.mark.requirement("W-122")
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_no_length_is_inferred_from_content_that_is_dropped(status):
    driver = serve(answering([b"abc"], status=status, headers=[]))

    assert driver.headers == []
    assert driver.body == b""


@pytest.mark.requirement("W-122")
@on_each_backend
@pytest.mark.parametrize(
    ("length", "blocks"),
    [
        pytest.param(RuntimeError("no length"), [b"abc", b"de"], id="raises"),
        pytest.param(OverflowError(), [b"abc"], id="raises with one block"),
        pytest.param("one", [b"abc", b"de"], id="is no number"),
        pytest.param(-1, [b"abc", b"de"], id="is negative"),
        pytest.param(1, [b"abc", b"de"], id="says 1 of 2"),
        pytest.param(1, [], id="says 1 of 0"),
        pytest.param(1, [b"", b"abc", b"de"], id="says 1, the first empty"),
        pytest.param(0, [b"abc"], id="says 0 of 1"),
        pytest.param(5, [b"abc"], id="says 5 of 1"),
    ],
)
def test_a_failing_or_untrue_len_never_breaks_the_framing(length, blocks, backend):
    driver = serve(answering(lambda: Sized(length, blocks)), backend=backend)

    announced = driver.header(b"content-length")
    assert driver.error is None
    assert driver.is_complete
    assert driver.body == b"".join(blocks) or announced is not None
    assert announced in {None, b"%d" % len(driver.body)}


# ---- No content -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-123")
@plain_and_linted
@on_each_backend
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: [b"12345"], id="list"),
        pytest.param(lambda: [b"12", b"345"], id="two blocks"),
        pytest.param(lambda: iter([b"12", b"345"]), id="iterator"),
        pytest.param(lambda: iter([b"", b"12345"]), id="empty block first"),
        pytest.param(lambda: ClosingBlocks(itertools.repeat(b"12345")), id="endless"),
        pytest.param(list, id="nothing"),
    ],
)
def test_head_gets_the_headers_and_no_octet_of_content(make, wrap, backend):
    driver = serve(wrap(answering(make, headers=with_length("5"))), driver=Driver(make_scope("HEAD")), backend=backend)

    assert driver.error is None
    assert driver.header(b"content-length") == b"5"
    assert driver.messages[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]


@pytest.mark.requirement("W-123")
def test_head_lets_no_written_octet_out():
    def app(environ, start_response):
        write = start_response("200 OK", with_length("5"))
        write(b"12")
        write(b"345")
        return []

    driver = serve(app, make_scope("HEAD"))

    assert driver.error is None
    assert driver.header(b"content-length") == b"5"
    assert driver.messages[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]


@pytest.mark.requirement("W-009", "W-123")
def test_head_is_remembered_when_the_app_clears_its_environ():
    def app(environ, start_response):
        environ.clear()
        start_response("200 OK", list(TEXT))
        return [b"12345"]

    driver = serve(app, make_scope("HEAD"))

    assert driver.error is None
    assert driver.body == b""


@pytest.mark.requirement("W-124", "W-125")
@on_each_backend
@MAKERS
@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
def test_content_of_a_status_without_content_is_dropped_with_one_warning(status, make, backend, caplog):
    driver = serve(
        answering(lambda: make([b"not", b"wanted"]), status=status, headers=[("Content-Length", "9")]),
        backend=backend,
    )

    assert driver.error is None
    assert driver.status == int(status[:3])
    assert driver.header(b"content-length") in ({b"0", None} if status.startswith("205") else {None})
    assert driver.messages[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]
    assert len(logged(caplog, logging.WARNING)) == 1


@pytest.mark.requirement("W-124")
@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified"])
def test_written_content_of_a_status_without_content_is_dropped(status):
    def app(environ, start_response):
        write = start_response(status, [])
        write(b"not")
        write(b"wanted")
        return [b"either"]

    driver = serve(app)

    assert driver.error is None
    assert driver.types == ["start", "body"]
    assert driver.body == b""


@pytest.mark.requirement("W-125")
@pytest.mark.parametrize("value", ["0", "10"])
@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@MAKERS
def test_no_length_is_left_that_an_empty_body_would_break(status, value, make):
    driver = serve(answering(lambda: make([]), status=status, headers=[("ETag", '"e"'), ("Content-Length", value)]))

    assert driver.error is None
    allowed = {b"0", None} if status.startswith("304") and value == "0" else {None}
    assert driver.header(b"content-length") in allowed
    assert driver.header(b"etag") == b'"e"'
