"""The clients that measure streams and large transfers: what counts, and what is refused as a figure."""

from __future__ import annotations

import contextlib
import hashlib
import selectors
import socket
import threading

import pytest

from benchmarks.on_servers import event_client
from benchmarks.on_servers.event_client import audience
from benchmarks.on_servers.transfer_client import download, parse_head, upload

BOUND_S = 20.0
FAR_NS = 10**18
"""A time by the clock of processes that will not come."""


@contextlib.contextmanager
def answering(answer: bytes):
    """Run a server that takes one request, gives this answer when the head is there, and then hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(BOUND_S)

        def serve():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionError):  # the client has left without reading everything
                connection.settimeout(BOUND_S)
                octets = b""
                while b"\r\n\r\n" not in octets:
                    octets += connection.recv(65536)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/file"
        finally:
            thread.join(BOUND_S)


BODY = b"0123456789" * 1000
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n"
DIGEST = hashlib.sha256(BODY).hexdigest()


def test_a_download_of_the_right_length_and_content_is_one():
    with answering(HEAD + BODY) as url:
        download(url, len(BODY), digest=DIGEST)


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        pytest.param(HEAD + BODY[:-1], "1 bytes of 10,000 did not come", id="too short"),
        pytest.param(HEAD.replace(b"10000", b"9999") + BODY, "Content-Length is 9999", id="another length"),
        pytest.param(HEAD + BODY.replace(b"0", b"1", 1), "SHA-256", id="another content"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", "before there was a response", id="no whole head"),
        pytest.param(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n", "answered", id="an error"),
    ],
)
def test_a_download_that_is_not_what_it_should_be_is_no_figure(answer, complaint):
    with answering(answer) as url, pytest.raises(RuntimeError, match=complaint):
        download(url, len(BODY), digest=DIGEST)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 12\r\n", 12, id="lower case"),
        pytest.param(b"HTTP/1.0 200 Ok\r\nServer: x\r\nContent-Length:7\r\nDate: y\r\n", 7, id="HTTP/1.0, no space"),
    ],
)
def test_the_length_is_found_in_a_head(head, expected):
    assert parse_head(head) == expected


def test_a_response_without_a_length_is_refused():
    with pytest.raises(RuntimeError, match="no Content-Length"):
        parse_head(b"HTTP/1.1 200 OK\r\nX-Content-Length: 12\r\nTransfer-Encoding: chunked\r\n")


@pytest.mark.parametrize(("said", "is_right"), [(b"3000000", True), (b"2999999", False)])
def test_an_upload_counts_only_if_the_application_saw_all_of_it(said, is_right):
    size_bytes = 3_000_000
    expected = contextlib.nullcontext() if is_right else pytest.raises(RuntimeError, match="is 2999999, not 3000000")
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n" + said) as url, expected:
        upload(url, size_bytes)


def test_events_are_taken_whole_however_they_come():
    octets = event_client.HELLO + b"data: 123\n\n" + b"data: 4567\n\n" + b"data: 89\n\n"
    for cut in range(len(octets) + 1):
        with socket.socket() as unused:
            client = event_client._Client(unused)
            found = []
            for piece in (octets[:cut], octets[cut:]):
                client.octets += piece
                found += event_client.take_events(client)
        assert found == [123, 4567, 89]
        assert client.octets == b""


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def delays_ms_of(events: int, *streams: tuple[int, ...]) -> list[float]:
    """Measure clients that have been greeted, to each of which such events come."""
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(contextlib.closing(selectors.DefaultSelector()))
        clients = []
        for stream in streams:
            far, near = (stack.enter_context(each) for each in socket.socketpair())
            far.sendall(b"".join(b"data: %d\n\n" % stamp for stamp in stream))
            clients.append(event_client._Client(near))
            selector.register(near, selectors.EVENT_READ, clients[-1])
        return event_client.Audience(clients, selector).delays_ms(events)


def test_as_many_events_are_measured_as_were_asked_for_and_no_older_ones():
    stream = (1, FAR_NS, FAR_NS + 1, FAR_NS + 2)

    delays_ms = delays_ms_of(2, stream, stream)

    assert len(delays_ms) == 4
    assert max(delays_ms) < 0  # those of the far future; the one of long ago is not among them


def test_clients_that_get_other_events_are_no_figure():
    with pytest.raises(RuntimeError, match="did not get the same events"):
        delays_ms_of(2, (FAR_NS, FAR_NS + 1), (FAR_NS, FAR_NS + 2))


def test_a_client_that_gets_too_few_events_is_no_figure(monkeypatch):
    monkeypatch.setattr(event_client, "WAIT_S", 0.0)
    with pytest.raises(RuntimeError, match="1 of 2 clients did not get 2 events"):
        delays_ms_of(2, (FAR_NS, FAR_NS + 1), (FAR_NS,))


def test_a_stream_that_is_closed_is_no_figure():
    with (
        answering(STREAM_HEAD + event_client.HELLO) as url,
        pytest.raises(RuntimeError, match="closed a stream"),
        audience(url, 1) as present,
    ):
        present.delays_ms(1)
