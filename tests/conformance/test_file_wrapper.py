"""``wsgi.file_wrapper``, and servers that send files by themselves (W-126 to W-131)."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.driver import (
    TEXT,
    Driver,
    make_scope,
    offering,
    on_both_loops,
    on_each_backend,
    plain_and_linted,
    serve,
)

CONTENT = bytes(range(256)) * 2000  # half a MiB: more than any block

PATHSEND = "http.response.pathsend"
ZEROCOPYSEND = "http.response.zerocopysend"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "content.bin"
    file.write_bytes(CONTENT)
    return file


class OnlyRead:
    """A file-like object with nothing but ``read``."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self.sizes: list[int] = []

    def read(self, size: int) -> bytes:
        self.sizes.append(size)
        return self._file.read(size)


class Spy(OnlyRead):
    """The same, with a ``close`` that counts."""

    closed = 0

    def close(self) -> None:
        self.closed += 1


def wrapping(make_file: Any, *args: Any, headers: Any = TEXT, status: str = "200 OK") -> Any:
    """A WSGI application that returns ``wsgi.file_wrapper`` around a file."""

    def app(environ, start_response):
        start_response(status, list(headers))
        return environ["wsgi.file_wrapper"](make_file(), *args)

    return app


# ---- The wrapper itself -----------------------------------------------------------------------------------------


@pytest.mark.requirement("W-126")
@plain_and_linted
@pytest.mark.parametrize("args", [(), (1,), (8192,), (1_000_000,)], ids=repr)
@on_each_backend
def test_the_wrapper_takes_a_file_and_maybe_a_block_size(args, wrap, backend):
    content = CONTENT[:1000] if args == (1,) else CONTENT

    driver = serve(wrap(wrapping(lambda: OnlyRead(content), *args)), backend=backend)

    assert driver.error is None
    assert driver.body == content
    assert driver.is_complete


@pytest.mark.requirement("W-126")
def test_a_wrapper_that_is_built_and_dropped_has_no_effect():
    spy = Spy(CONTENT)

    def app(environ, start_response):
        environ["wsgi.file_wrapper"](spy)
        start_response("200 OK", list(TEXT))
        return [b"something else"]

    driver = serve(app)

    assert driver.body == b"something else"
    assert spy.sizes == []
    assert spy.closed == 0


@pytest.mark.requirement("W-126")
@pytest.mark.parametrize("offered", [(), (PATHSEND, ZEROCOPYSEND)], ids=["plain", "offered"])
def test_a_wrapper_inside_a_middlewares_generator_is_an_ordinary_iterable(path, offered):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        with path.open("rb") as file:
            for block in environ["wsgi.file_wrapper"](file, 1000):
                yield block[::-1]

    driver = serve(app, make_scope(**offering(*offered)), pathsend=True)

    assert driver.error is None
    assert set(driver.types) == {"start", "body"}
    assert driver.body == b"".join(CONTENT[at : at + 1000][::-1] for at in range(0, len(CONTENT), 1000))


@pytest.mark.requirement("W-126")
def test_a_returned_wrapper_is_read_only_after_the_app_has_returned():
    spy = Spy(b"content")
    seen = []

    def app(environ, start_response):
        start_response("200 OK", list(TEXT))
        wrapper = environ["wsgi.file_wrapper"](spy)
        seen.append(list(spy.sizes))
        iter(wrapper)
        seen.append(list(spy.sizes))
        return wrapper

    driver = serve(app)

    assert driver.body == b"content"
    assert seen == [[], []]


# ---- Reading ----------------------------------------------------------------------------------------------------


def at_offset(file: Any, offset: int) -> Any:
    file.seek(offset)
    return file


@pytest.mark.requirement("W-127")
@plain_and_linted
@on_both_loops
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda path: path.open("rb"), CONTENT, id="file"),
        pytest.param(lambda path: path.open("rb", buffering=0), CONTENT, id="raw file"),
        pytest.param(lambda path: path.open("r+b"), CONTENT, id="file for updating"),
        pytest.param(lambda path: at_offset(path.open("rb"), 300_000), CONTENT[300_000:], id="offset"),
        pytest.param(lambda path: at_offset(path.open("rb"), len(CONTENT)), b"", id="at the end"),
        pytest.param(lambda path: at_offset(path.open("rb"), len(CONTENT) + 9), b"", id="beyond the end"),
        pytest.param(lambda path: io.BytesIO(CONTENT), CONTENT, id="BytesIO"),
        pytest.param(lambda path: at_offset(io.BytesIO(CONTENT), 10), CONTENT[10:], id="BytesIO at offset"),
        pytest.param(
            lambda path: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(CONTENT))), CONTENT, id="gzip over memory"
        ),
        pytest.param(lambda path: OnlyRead(CONTENT), CONTENT, id="only read"),
    ],
)
def test_a_file_is_streamed_from_where_it_is_to_its_end(make, expected, path, wrap, backend):
    files = []

    def make_file() -> Any:
        files.append(make(path))
        return files[0]

    driver = serve(wrap(wrapping(make_file)), backend=backend)

    assert driver.error is None
    assert driver.body == expected
    assert driver.is_complete
    assert getattr(files[0], "closed", True)


@pytest.mark.requirement("W-127")
@pytest.mark.parametrize("offered", [(), (PATHSEND, ZEROCOPYSEND)], ids=["plain", "offered"])
def test_a_gzip_file_on_disk_is_sent_decoded(tmp_path, offered):
    path = tmp_path / "content.gz"
    path.write_bytes(gzip.compress(CONTENT))

    driver = serve(wrapping(lambda: gzip.GzipFile(path)), make_scope(**offering(*offered)), pathsend=True)

    assert driver.error is None
    assert driver.body == CONTENT


@pytest.mark.requirement("W-127")
@on_both_loops
@pytest.mark.parametrize("length", [0, 1, 1000, 400_000])
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_no_more_than_content_length_is_read_and_sent(length, kind, path, backend):
    spy = Spy(CONTENT)
    headers = [*TEXT, ("Content-Length", str(length))]

    driver = serve(wrapping(lambda: path.open("rb") if kind == "file" else spy, headers=headers), backend=backend)

    assert driver.error is None
    assert driver.body == CONTENT[:length]
    assert driver.is_complete
    if kind == "memory":
        assert sum(spy.sizes) <= length + 8192
        assert spy.closed == 1


@pytest.mark.requirement("W-120", "W-127")
def test_a_file_shorter_than_content_length_leaves_the_response_open():
    spy = Spy(b"short")

    driver = serve(wrapping(lambda: spy, headers=[("Content-Length", "10")]))

    assert driver.error is not None
    assert not driver.is_complete
    assert spy.closed == 1


@pytest.mark.requirement("W-114", "W-127")
def test_an_error_in_read_is_the_requests_error_and_the_file_is_closed():
    class Broken(Spy):
        def read(self, size: int) -> bytes:
            if self.sizes:
                raise LookupError("disk on fire")
            return super().read(size)

    broken = Broken(CONTENT)

    driver = serve(wrapping(lambda: broken))

    assert isinstance(driver.error, LookupError)
    assert not driver.is_complete
    assert broken.closed == 1


# ---- close() ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-128")
def test_the_wrapper_has_close_iff_the_file_has_one():
    seen = []

    def app(environ, start_response):
        wrapper = environ["wsgi.file_wrapper"]
        seen.append(hasattr(wrapper(OnlyRead(b"")), "close"))
        seen.append(hasattr(wrapper(Spy(b"")), "close"))
        start_response("200 OK", list(TEXT))
        return wrapper(OnlyRead(b"content"))

    driver = serve(app)

    assert driver.body == b"content"
    assert seen == [False, True]


@pytest.mark.requirement("W-128")
@plain_and_linted
@pytest.mark.parametrize("is_replaced_after_wrapping", [False, True])
def test_the_close_that_is_called_is_the_one_on_the_instance(path, wrap, is_replaced_after_wrapping):
    """Django's handler puts ``response.close`` in the place of the file's own."""
    closed = []

    def app(environ, start_response):
        file = path.open("rb")
        original = file.close

        def close() -> None:
            closed.append(True)
            original()

        if not is_replaced_after_wrapping:
            file.close = close
        wrapper = environ["wsgi.file_wrapper"](file)
        file.close = close
        start_response("200 OK", list(TEXT))
        return wrapper

    driver = serve(wrap(app))

    assert driver.body == CONTENT
    assert closed == [True]


# ---- zerocopysend -----------------------------------------------------------------------------------------------


class ZeroCopyServer(Driver):
    """A server that sends files from their descriptors, at the time the event reaches it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.copied = b""
        self.on_send = self._copy

    def _copy(self, message: dict[str, Any]) -> None:
        if message["type"] == ZEROCOPYSEND:
            file = message["file"]
            descriptor = file if isinstance(file, int) else file.fileno()
            self.copied += os.pread(descriptor, message["count"], message["offset"])


@pytest.mark.requirement("W-129")
@on_each_backend
@pytest.mark.parametrize("length", [None, 1000], ids=["to the end", "range"])
@pytest.mark.parametrize("offset", [0, 5000], ids=["from the start", "from the middle"])
def test_a_real_file_is_offered_to_a_zero_copy_server_with_explicit_offset_and_count(path, offset, length, backend):
    closed_at: list[int] = []
    server = ZeroCopyServer(make_scope(**offering(ZEROCOPYSEND)))
    headers = TEXT if length is None else [*TEXT, ("Content-Length", str(length))]

    def make_file() -> Any:
        file = at_offset(path.open("rb"), offset)
        original = file.close

        def close() -> None:
            closed_at.append(len(server.sent))
            original()

        file.close = close
        return file

    serve(wrapping(make_file, headers=headers), driver=server, backend=backend)

    assert server.error is None
    assert server.types == ["start", "zerocopysend"]
    assert server.copied == CONTENT[offset:][:length]
    assert server.messages[1]["offset"] == offset
    assert server.messages[1]["count"] == len(server.copied)
    assert server.messages[1]["more_body"] is False
    assert closed_at == [2]  # after the server was done with it


@pytest.mark.requirement("W-129")
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: io.BytesIO(CONTENT), id="memory"),
        pytest.param(lambda path: OnlyRead(CONTENT), id="only read"),
        pytest.param(lambda path: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(CONTENT))), id="gzip"),
    ],
)
def test_what_has_no_descriptor_of_its_own_content_is_sent_in_blocks(make, path):
    server = ZeroCopyServer(make_scope(**offering(ZEROCOPYSEND)))

    serve(wrapping(lambda: make(path)), driver=server)

    assert server.error is None
    assert set(server.types) == {"start", "body"}
    assert server.body == CONTENT


@pytest.mark.requirement("W-129")
def test_a_pipe_is_sent_in_blocks():
    def make_pipe() -> Any:
        reading, writing = os.pipe()
        os.write(writing, b"through a pipe")
        os.close(writing)
        return os.fdopen(reading, "rb")

    server = ZeroCopyServer(make_scope(**offering(ZEROCOPYSEND, PATHSEND)))

    serve(wrapping(make_pipe), driver=server, pathsend=True)

    assert server.error is None
    assert server.body == b"through a pipe"


@pytest.mark.requirement("W-129", "W-130")
def test_nothing_is_delegated_that_was_not_offered(path):
    driver = serve(wrapping(lambda: path.open("rb")), pathsend=True)

    assert driver.error is None
    assert set(driver.types) == {"start", "body"}
    assert driver.body == CONTENT


@pytest.mark.requirement("W-129")
def test_a_file_after_written_data_is_not_delegated_out_of_order(path):
    def app(environ, start_response):
        start_response("200 OK", list(TEXT))(b"first;")
        return environ["wsgi.file_wrapper"](path.open("rb"))

    server = ZeroCopyServer(make_scope(**offering(ZEROCOPYSEND, PATHSEND)))

    serve(app, driver=server, pathsend=True)

    assert server.error is None
    assert server.body + server.copied == b"first;" + CONTENT
    assert PATHSEND not in [message["type"] for message in server.messages]


# ---- pathsend ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-130")
@on_each_backend
@pytest.mark.parametrize("length", [None, len(CONTENT)], ids=["no length", "the file's length"])
def test_a_whole_file_is_left_to_a_server_that_offers_it(path, length, backend):
    headers = TEXT if length is None else [*TEXT, ("Content-Length", str(length))]

    driver = serve(
        wrapping(lambda: path.open("rb"), headers=headers),
        make_scope(**offering(PATHSEND)),
        pathsend=True,
        backend=backend,
    )

    assert driver.error is None
    assert driver.types == ["start", "pathsend"]
    assert driver.messages[1]["path"] == str(path)
    assert driver.is_complete


@pytest.mark.requirement("W-130")
def test_pathsend_is_off_unless_enabled(path):
    driver = serve(wrapping(lambda: path.open("rb")), make_scope(**offering(PATHSEND)))

    assert set(driver.types) == {"start", "body"}
    assert driver.body == CONTENT


def deleted_file(path: Path) -> Any:
    file = path.open("rb")
    path.unlink()
    return file


def replaced_file(path: Path) -> Any:
    file = path.open("rb")
    path.unlink()
    path.write_bytes(b"something else")
    return file


def temporary_file(path: Path) -> Any:
    file = tempfile.NamedTemporaryFile(dir=path.parent)  # noqa: SIM115 - the adapter closes it
    file.write(CONTENT)
    file.flush()
    file.seek(0)
    return file


@pytest.fixture
def in_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(path.parent)
    return path


@pytest.mark.requirement("W-130")
@pytest.mark.parametrize(
    ("make", "length", "expected"),
    [
        pytest.param(lambda path: at_offset(path.open("rb"), 5), None, CONTENT[5:], id="not at the start"),
        pytest.param(lambda path: path.open("rb"), 1000, CONTENT[:1000], id="a part of it"),
        pytest.param(lambda path: open(path.name, "rb"), None, CONTENT, id="relative name"),  # noqa: SIM115
        pytest.param(lambda path: os.fdopen(os.open(path, os.O_RDONLY), "rb"), None, CONTENT, id="no name"),
        pytest.param(deleted_file, None, CONTENT, id="deleted"),
        pytest.param(replaced_file, None, CONTENT, id="replaced by another file"),
        pytest.param(temporary_file, None, CONTENT, id="temporary"),
    ],
)
def test_what_its_name_does_not_lead_to_as_a_whole_is_sent_in_blocks(make, length, expected, in_directory):
    headers = TEXT if length is None else [*TEXT, ("Content-Length", str(length))]

    driver = serve(
        wrapping(lambda: make(in_directory), headers=headers), make_scope(**offering(PATHSEND)), pathsend=True
    )

    assert driver.error is None
    assert set(driver.types) == {"start", "body"}
    assert driver.body == expected


# ---- No content -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("W-131")
@on_each_backend
@pytest.mark.parametrize("offered", [(), (PATHSEND, ZEROCOPYSEND)], ids=["plain", "offered"])
@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified")]
)
def test_without_content_nothing_is_read_or_sent_and_the_file_is_closed(method, status, offered, backend):
    spy = Spy(CONTENT)

    driver = serve(
        wrapping(lambda: spy, status=status),
        make_scope(method, **offering(*offered)),
        pathsend=True,
        backend=backend,
    )

    assert driver.error is None
    assert driver.messages[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]
    assert spy.sizes == []
    assert spy.closed == 1


@pytest.mark.requirement("W-131")
@pytest.mark.parametrize("offered", [(), (PATHSEND, ZEROCOPYSEND)], ids=["plain", "offered"])
def test_head_keeps_the_length_of_a_real_file_and_delegates_nothing(path, offered):
    headers = [*TEXT, ("Content-Length", str(len(CONTENT)))]

    driver = serve(
        wrapping(lambda: path.open("rb"), headers=headers),
        make_scope("HEAD", **offering(*offered)),
        pathsend=True,
    )

    assert driver.header(b"content-length") == str(len(CONTENT)).encode()
    assert driver.messages[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]
