"""`ResponseState` act by act: starting, content against its length, responses without content, the end."""

from __future__ import annotations

import gc
import sys
import weakref

import pytest

from bridge.errors import ApplicationError, ApplicationTypeError, ApplicationValueError
from bridge.translate import ResponseState
from bridge.translate.response import Phase


def started(status="200 OK", headers=(), method="GET", **options) -> ResponseState:
    state = ResponseState(method, **options)
    state.start(status, list(headers))
    return state


def length(number: int) -> list[tuple[str, str]]:
    return [("Content-Length", str(number))]


class ViewError(Exception):
    """What goes wrong in the application."""


def exc_info_of(error: BaseException):
    """Return what ``sys.exc_info()`` gives in a handler of ``error``."""
    try:
        raise error
    except BaseException:
        return sys.exc_info()


# ---- start_response ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-088", "W-094", "W-098", "W-100")
def test_starting_holds_status_and_headers_back_and_adds_nothing():
    state = started("299 Odd", [("X-A", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b")])

    assert state.phase is Phase.HELD
    assert state.status == 299
    assert state.headers == [(b"x-a", b"1"), (b"set-cookie", b"a"), (b"set-cookie", b"b")]
    assert not state.warnings


@pytest.mark.requirement("W-095")
def test_later_edits_of_the_applications_list_change_nothing():
    headers = [("X-A", "1")]
    state = ResponseState("GET")

    state.start("200 OK", headers)
    headers[0] = ("X-Evil", "1")
    headers.append(("X-B", "2"))

    assert state.headers == [(b"x-a", b"1")]


@pytest.mark.requirement("W-087", "W-092")
def test_exc_info_of_none_counts_as_not_given():
    state = ResponseState("GET")

    state.start("200 OK", [], None)

    with pytest.raises(ApplicationError, match="called again"):
        state.start("200 OK", [], exc_info=None)


@pytest.mark.requirement("W-089")
@pytest.mark.parametrize(
    "args",
    [
        pytest.param(("200", [("X-A", b"1")]), id="bad header type"),
        pytest.param(("20 OK", []), id="bad status"),
        pytest.param((b"200 OK", []), id="bad status type"),
        pytest.param(("200 OK", [("X-A", "a\r\nb")]), id="bad value"),
        pytest.param(("200 OK", [("Connection", "close")]), id="hop-by-hop"),
        pytest.param(("200 OK", None), id="no headers"),
    ],
)
def test_a_refused_call_counts_as_a_call(args):
    state = ResponseState("GET")
    with pytest.raises(ApplicationError):
        state.start(*args)

    with pytest.raises(ApplicationError, match="called again"):
        state.start("200 OK", [])
    assert state.phase is Phase.REFUSED


@pytest.mark.requirement("W-089")
def test_a_refused_replacement_does_not_leave_the_first_response_standing():
    state = started()
    with pytest.raises(ApplicationValueError):
        state.start("no status", [], (None, None, None))

    with pytest.raises(ApplicationError):
        state.end()


@pytest.mark.requirement("W-090")
def test_exc_info_replaces_status_headers_and_length():
    state = started("204 No Content", [("X-Old", "1"), ("Content-Length", "5")])

    state.start("500 Internal Server Error", [("X-New", "2")], exc_info_of(ViewError()))

    assert state.headers == [(b"x-new", b"2")]
    assert (state.status, state.content_length, state.carries_content) == (500, None, True)
    assert state.data(b"longer than five") == b"longer than five"
    state.end()


@pytest.mark.requirement("W-090", "W-122")
def test_exc_info_replaces_an_inferred_length_too():
    state = started()
    state.infer_length(3)

    state.start("500 Internal Server Error", [], (None, None, None))

    assert (state.headers, state.content_length) == ([], None)


@pytest.mark.requirement("W-090")
def test_the_second_exc_info_replaces_the_first():
    state = started()

    state.start("500 Internal Server Error", [("X-A", "1")], exc_info_of(ViewError()))
    state.start("503 Service Unavailable", [("X-B", "2")], exc_info_of(ViewError()))

    assert (state.status, state.headers) == (503, [(b"x-b", b"2")])


@pytest.mark.requirement("W-091")
@pytest.mark.parametrize(
    ("headers", "phase"),
    [pytest.param([], Phase.BODY, id="in the body"), pytest.param(length(1), Phase.COMPLETE, id="complete")],
)
def test_once_headers_are_out_the_exception_itself_is_raised_with_its_traceback(headers, phase):
    state = started(headers=headers)
    state.data(b"x")
    exc_info = exc_info_of(ViewError("view"))

    with pytest.raises(ViewError) as caught:
        state.start("500 Internal Server Error", [("X-New", "1")], exc_info)

    assert caught.value is exc_info[1]
    traceback, links = caught.value.__traceback__, []
    while traceback is not None:
        links.append(traceback)
        traceback = traceback.tb_next
    assert any(link is exc_info[2] for link in links)
    assert (state.phase, state.status) == (phase, 200)


@pytest.mark.requirement("W-091")
def test_an_empty_write_is_enough_to_bring_the_headers_out():
    state = started()
    state.release_headers()

    with pytest.raises(ViewError):
        state.start("500 Internal Server Error", [], exc_info_of(ViewError()))


@pytest.mark.requirement("W-092")
@pytest.mark.parametrize("phase", [Phase.NEW, Phase.HELD, Phase.BODY], ids=lambda phase: phase.name)
def test_the_exception_is_not_kept(phase):
    state = ResponseState("GET")
    if phase is not Phase.NEW:
        state.start("200 OK", [])
    if phase is Phase.BODY:
        state.data(b"x")

    def fail() -> weakref.ref[ViewError]:
        try:
            raise ViewError
        except ViewError as error:
            reference = weakref.ref(error)
            try:
                state.start("500 Internal Server Error", [], sys.exc_info())
            except ViewError:
                assert phase is Phase.BODY
        return reference

    was_enabled = gc.isenabled()
    gc.disable()
    try:
        reference = fail()
        assert reference() is None
    finally:
        if was_enabled:
            gc.enable()


@pytest.mark.requirement("W-093")
def test_a_missing_reason_is_mended_with_a_warning_or_refused_in_strict_mode():
    assert any("no reason" in warning for warning in started("200").warnings)

    with pytest.raises(ApplicationValueError):
        started("200", strict=True)


@pytest.mark.requirement("W-099")
def test_hop_by_hop_fields_are_dropped_with_a_warning_where_that_is_the_choice():
    state = started(headers=[("Connection", "close"), ("X-A", "1")], drop_hop_by_hop=True)

    assert state.headers == [(b"x-a", b"1")]
    assert any("Connection" in warning for warning in state.warnings)


# ---- Blocks -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-109")
def test_an_empty_block_sends_nothing_and_does_not_release_the_headers():
    state = started()

    assert state.data(b"") == b""

    assert state.phase is Phase.HELD
    state.start("500 Internal Server Error", [], exc_info_of(ViewError()))
    assert state.status == 500


@pytest.mark.requirement("W-110")
def test_blocks_pass_unaltered():
    state = started()
    blocks = [b"\0", b"\xff" * 100_000, b"", b"\r\n"]

    assert [state.data(block) for block in blocks] == blocks
    state.end()
    assert state.phase is Phase.COMPLETE


@pytest.mark.requirement("W-112")
@pytest.mark.parametrize("block", ["text", "", bytearray(b"x"), memoryview(b"x"), None, 7, ["x"]], ids=repr)
def test_a_block_that_is_not_bytes_is_a_type_error_and_changes_nothing(block):
    state = started()

    with pytest.raises(TypeError) as caught:
        state.data(block)

    assert isinstance(caught.value, ApplicationTypeError)
    assert type(block).__name__ in str(caught.value)
    assert state.phase is Phase.HELD


@pytest.mark.requirement("W-101", "W-110")
def test_content_after_the_end_is_an_error():
    state = started()
    state.data(b"x")
    state.end()

    with pytest.raises(ApplicationError):
        state.data(b"y")


# ---- Content-Length ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-104", "W-119")
@pytest.mark.parametrize(
    ("number", "blocks", "sent"),
    [
        pytest.param(3, [b"abcde"], [b"abc"], id="one block too long"),
        pytest.param(3, [b"ab", b"cde"], [b"ab", b"c"], id="second block too long"),
        pytest.param(3, [b"abc", b"de", b"f"], [b"abc", b"", b""], id="blocks after the end"),
        pytest.param(0, [b"abc"], [b""], id="none allowed"),
    ],
)
def test_content_beyond_the_length_is_cut_with_one_warning(number, blocks, sent):
    state = started(headers=length(number))

    assert [state.data(block) for block in blocks] == sent

    assert state.is_overrun
    assert state.phase is Phase.COMPLETE
    assert len(state.warnings) == 1
    state.end()


@pytest.mark.requirement("W-119")
def test_content_of_exactly_the_length_completes_the_response_without_a_warning():
    state = started(headers=length(3))

    assert state.data(b"ab") == b"ab"
    assert state.phase is Phase.BODY
    assert state.data(b"c") == b"c"

    assert state.phase is Phase.COMPLETE
    state.end()
    assert (state.is_overrun, list(state.warnings)) == (False, [])


@pytest.mark.requirement("W-120")
@pytest.mark.parametrize("blocks", [[], [b""], [b"ab"]], ids=repr)
def test_too_little_content_is_an_error_and_never_complete(blocks):
    state = started(headers=length(3))
    for block in blocks:
        state.data(block)

    with pytest.raises(ApplicationError, match="announced 3 bytes"):
        state.end()
    assert state.phase is not Phase.COMPLETE


@pytest.mark.requirement("W-120")
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_responses_without_content_may_announce_a_length(method, status):
    state = started(status, length(3), method)

    state.end()

    assert state.phase is Phase.COMPLETE


@pytest.mark.requirement("W-121")
def test_the_length_of_the_only_block_is_inferred():
    state = started(headers=[("X-A", "1")])

    state.infer_length(3)

    assert state.headers == [(b"x-a", b"1"), (b"content-length", b"3")]
    assert (state.content_length, state.data(b"abc")) == (3, b"abc")
    state.end()


@pytest.mark.requirement("W-105", "W-121", "W-122")
@pytest.mark.parametrize(
    ("make", "inferred"),
    [
        pytest.param(lambda: started(headers=length(5)), 3, id="given by the application"),
        pytest.param(lambda: started("204 No Content"), 3, id="204"),
        pytest.param(lambda: started("205 Reset Content"), 3, id="205"),
        pytest.param(lambda: started("304 Not Modified"), 3, id="304"),
        pytest.param(lambda: started(method="HEAD"), 0, id="HEAD without content"),
        pytest.param(lambda: ResponseState("GET"), 3, id="not started"),
    ],
)
def test_no_length_is_inferred_where_it_would_be_wrong(make, inferred):
    state = make()
    before = (state.content_length, list(getattr(state, "headers", [])))

    state.infer_length(inferred)

    assert (state.content_length, list(getattr(state, "headers", []))) == before


@pytest.mark.requirement("W-105", "W-122")
def test_no_length_is_inferred_once_headers_are_out():
    state = started()
    state.release_headers()

    state.infer_length(3)

    assert (state.content_length, state.headers) == (None, [])
    assert state.data(b"longer") == b"longer"


@pytest.mark.requirement("W-122")
def test_a_head_response_gets_the_length_of_the_content_it_would_have():
    state = started(method="HEAD")

    state.infer_length(3)

    assert state.headers == [(b"content-length", b"3")]
    assert state.data(b"abc") == b""
    state.end()


@pytest.mark.requirement("W-121", "W-122")
def test_an_untrue_inferred_length_cuts_the_content_and_keeps_the_framing_true():
    state = started()
    state.infer_length(3)

    assert (state.data(b"abc"), state.data(b"def")) == (b"abc", b"")

    assert state.is_overrun


# ---- Responses without content ----------------------------------------------------------------------------------


@pytest.mark.requirement("W-123")
def test_head_forwards_no_content_and_keeps_the_length():
    state = started(headers=[("X-A", "1"), *length(3)], method="HEAD")

    assert state.data(b"abc") == b""

    assert state.phase is Phase.COMPLETE
    state.end()
    assert state.headers == [(b"x-a", b"1"), (b"content-length", b"3")]
    assert not state.warnings


@pytest.mark.requirement("W-123")
@pytest.mark.parametrize("method", ["head", "GET", "POST"])
def test_only_head_is_head(method):
    assert started(method=method).data(b"abc") == b"abc"


@pytest.mark.requirement("W-124")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", ["204 No Content", "205 Reset Content", "304 Not Modified", "204 Custom"])
def test_content_of_a_status_without_content_is_dropped_with_one_warning(status, method):
    state = started(status, method=method)

    assert [state.data(block) for block in (b"", b"abc", b"def")] == [b"", b"", b""]

    state.end()
    assert not state.carries_content
    assert len(state.warnings) == (0 if method == "HEAD" else 1)
    assert not state.is_overrun


@pytest.mark.requirement("W-125")
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    ("status", "number", "kept"),
    [
        pytest.param("204 No Content", 10, False, id="204"),
        pytest.param("204 No Content", 0, False, id="204 with zero"),
        pytest.param("304 Not Modified", 10, False, id="304"),
        pytest.param("304 Not Modified", 0, True, id="304 with zero"),
        pytest.param("205 Reset Content", 10, False, id="205"),
        pytest.param("205 Reset Content", 0, True, id="205 with zero"),
        pytest.param("200 OK", 0, True, id="200 with zero"),
    ],
)
def test_a_length_that_contradicts_an_empty_response_is_removed(status, number, kept, method):
    state = started(status, [("X-A", "1"), *length(number), ("X-B", "2")], method)

    content_length = [(b"content-length", b"%d" % number)] if kept else []
    assert state.headers == [(b"x-a", b"1"), *content_length, (b"x-b", b"2")]
    assert state.content_length == (number if kept else None)
    state.end()
