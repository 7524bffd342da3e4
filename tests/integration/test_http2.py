"""Live: HTTP/2 with prior knowledge, on the servers that speak it without TLS."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator

import h2.events
import httpx
import pytest

from tests.integration.raw_http2 import Http2Connection
from tests.integration.servers import HTTP2_SERVERS, HYPERCORN_ASYNCIO, Server, ServerKind, running

pytestmark = [pytest.mark.live, pytest.mark.timeout(90)]

_TIMEOUT_S = 20.0
_CLOSED_WITHIN_S = 2.0
# For what is not to come.
_SOON_S = 1.0


@pytest.fixture(scope="session", params=HTTP2_SERVERS, ids=str)
def http2_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes HTTP/2."""
    kind: ServerKind = request.param
    with running(kind, "tests.integration.apps:app", tmp_path_factory.mktemp(f"{kind.name}-h2")) as server:
        yield server


@pytest.fixture
def client(http2_server: Server) -> Iterator[httpx.Client]:
    """A client that speaks nothing but HTTP/2."""
    with httpx.Client(
        base_url=http2_server.url, http1=False, http2=True, timeout=_TIMEOUT_S, trust_env=False
    ) as opened:
        yield opened


@pytest.mark.requirement("W-038", "W-059")
def test_the_environ_tells_of_http_2(client: httpx.Client, http2_server: Server) -> None:
    environ = client.get("/lint/probe/a?b=1").json()

    assert (environ["SERVER_PROTOCOL"], environ["PATH_INFO"], environ["QUERY_STRING"]) == ("HTTP/2", "/a", "b=1")
    assert environ["HTTP_HOST"] == f"127.0.0.1:{http2_server.port}"
    assert not [key for key in environ if key.startswith("HTTP_:")]


@pytest.mark.requirement("W-048")
def test_cookie_crumbs_are_joined_as_cookies(client: httpx.Client) -> None:
    environ = client.get("/probe", headers=[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]).json()

    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"


@pytest.mark.requirement("W-077")
@pytest.mark.parametrize("hosting", ["lint", "stream"])
@pytest.mark.parametrize("size_bytes", [0, 3, 100_000, 3_000_000], ids=str)
@pytest.mark.parametrize("has_length", [True, False], ids=["with-length", "without-length"])
def test_a_body_arrives_with_and_without_a_length(
    client: httpx.Client, hosting: str, size_bytes: int, has_length: bool
) -> None:
    octets = b"x" * size_bytes
    content = octets if has_length else iter([octets[: size_bytes // 2], octets[size_bytes // 2 :]])
    answer = client.post(f"/{hosting}/digest", content=content).json()

    assert answer["length"] == size_bytes
    assert answer["content_length"] == (str(size_bytes) if has_length else None)


@pytest.mark.requirement("W-077")
def test_the_end_of_a_body_is_the_end_of_the_stream_not_the_last_announced_octet(http2_server: Server) -> None:
    # Clients may end the stream in a frame of its own. Hypercorn 0.18 breaks the whole connection if a response has
    # ended before that frame: so the application must not be called before, although the length has been reached.
    with Http2Connection(http2_server) as connection:
        stream = connection.begin_post("/echo", [("content-length", "5")])
        connection.send_data(stream, b"12345", ends=False)
        with contextlib.suppress(TimeoutError):
            connection.wait_for(h2.events.StreamEnded, stream=stream, timeout_s=_SOON_S)
        connection.send_data(stream, b"", ends=True)
        connection.wait_for(h2.events.StreamEnded, stream=stream)
        following = connection.get("/hello")
        data = connection.wait_for(h2.events.DataReceived, stream=following)

    assert data.data == b"hello\n"


@pytest.mark.requirement("W-003")
def test_interleaved_requests_on_one_connection_answer_each_to_its_own(http2_server: Server) -> None:
    async def ask_all() -> list[tuple[str, str]]:
        async with httpx.AsyncClient(
            base_url=http2_server.url, http1=False, http2=True, timeout=_TIMEOUT_S, trust_env=False
        ) as client:
            texts = [f"request {number}" * 100 for number in range(40)]
            responses = await asyncio.gather(*(client.post("/echo", content=text) for text in texts))
            return [(text, response.text) for text, response in zip(texts, responses, strict=True)]

    for sent, received in asyncio.run(ask_all()):
        assert received == sent


@pytest.mark.requirement("W-124", "W-125")
@pytest.mark.parametrize(("target", "status"), [("/no_content", 204), ("/not_modified?content=1", 304)], ids=str)
def test_responses_without_content(client: httpx.Client, target: str, status: int) -> None:
    response = client.get(target)

    assert (response.status_code, response.content) == (status, b"")
    assert client.get("/hello").text == "hello\n"


@pytest.mark.requirement("W-123")
def test_head_has_a_length_and_no_content(client: httpx.Client) -> None:
    response = client.head("/page")

    assert (response.headers["content-length"], response.content) == ("13", b"")


@pytest.mark.requirement("W-120", "W-133")
@pytest.mark.parametrize("target", ["/error_in_the_middle", "/too_short?as=list"])
def test_a_failed_response_is_not_ended_like_a_complete_one(http2_server: Server, target: str) -> None:
    # Granian resets the stream; hypercorn 0.18 leaves it open until it closes the idle connection.
    end: h2.events.Event | None = None
    with Http2Connection(http2_server) as connection:
        connection.get(target)
        with contextlib.suppress(ConnectionError, TimeoutError):
            # Not for the first block: granian drops what it has not written when the stream is reset.
            end = connection.wait_for(h2.events.StreamEnded, h2.events.StreamReset, timeout_s=2 * _SOON_S)

    assert not isinstance(end, h2.events.StreamEnded)


@pytest.mark.requirement("W-114", "W-140")
@pytest.mark.parametrize("leaves", ["reset", "close"], ids=["stream-reset", "connection-closed"])
def test_a_stream_that_its_client_drops_is_closed(http2_server: Server, client: httpx.Client, leaves: str) -> None:
    before = client.get("/counters").json()
    with Http2Connection(http2_server) as connection:
        stream = connection.get("/endless?pause_s=0.02")
        connection.wait_for(h2.events.DataReceived)
        if leaves == "reset":
            connection.reset(stream)
        else:
            connection.close()

        deadline_s = time.monotonic() + _CLOSED_WITHIN_S
        while (now := client.get("/counters").json())["closed"] == before["closed"]:
            assert time.monotonic() < deadline_s, now
            time.sleep(0.02)
    assert (now["opened"] - before["opened"], now["closed"] - before["closed"]) == (1, 1)
    assert now["closed_elsewhere"] == 0


@pytest.mark.requirement("W-147")
def test_early_hints_come_before_the_response(http2_server: Server) -> None:
    if http2_server.kind is not HYPERCORN_ASYNCIO:
        pytest.skip(f"{http2_server.kind} does not offer http.response.early_hint")
    with Http2Connection(http2_server) as connection:
        connection.get("/hints")
        connection.wait_for(h2.events.StreamEnded)
        events = connection.events

    heads = [
        dict(event.headers)
        for event in events
        if isinstance(event, h2.events.InformationalResponseReceived | h2.events.ResponseReceived)
    ]
    assert [head[b":status"] for head in heads] == [b"103", b"200"]
    assert heads[0][b"link"] == b"</style.css>; rel=preload; as=style"
