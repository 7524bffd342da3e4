"""When `receive()` under `ASGIToWSGI` waits, what ends the wait, and who gets what (A-050 to A-057)."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.backends import Backend
from tests.gateway import Gateway, ScriptedInput, UntouchableInput, environ_for, hosted, run
from tests.meeting import Flag, Helper, Hold

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
DISCONNECT = {"type": "http.disconnect"}
ENOUGH_S = 15.0
"""For what must happen at once."""


def block(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def request(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def host(app: Any, backend: Backend) -> Any:
    return hosted(app, lifespan="off", event_loop=backend.name)


def environ_with(*script: Any, length: int) -> dict[str, Any]:
    """Return a POST request whose body comes as scripted."""
    stream = ScriptedInput(*script, total_bytes=length)
    return environ_for("POST", CONTENT_LENGTH=str(length), **{"wsgi.input": stream})


async def turns(count: int = 20) -> None:
    """Let the loop turn: whoever can go on has gone on."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def drain_body(receive: Any) -> bytes:
    """Receive the whole request body."""
    body = b""
    more = True
    while more:
        event = await receive()
        assert event["type"] == "http.request"
        body += event["body"]
        more = event["more_body"]
    return body


def at_once(receive: Any) -> dict[str, Any]:
    """Return the event that is there; fail if ``receive()`` suspends."""
    coroutine = receive()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        coroutine.close()
    raise AssertionError("receive() has suspended although an event is there")


# ---- After the body -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-050", "A-051", "A-054")
@pytest.mark.parametrize("body", [None, b"body"], ids=["no body", "body"])
def test_after_the_body_receive_waits_until_the_response_is_complete(body, backend):
    """Quart and Django cancel the response at a disconnect, so it may not come early; they wait for it to end, too."""
    seen: list[Any] = []
    listener_is_done = Flag("the listener has its disconnect")

    async def app(scope, receive, send):
        async def listen():
            seen.append((await receive())["type"])
            listener_is_done.set()

        await drain_body(receive)
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await turns()
            await send(START)
            for content in (b"a", b"b"):
                await send(block(content, more=True))
                await turns()
                seen.append(content)
            await send(block(b"c"))

    with host(app, backend) as adapter:
        gateway = run(adapter, environ_for("POST", body=body))
        listener_is_done.wait()

    assert gateway.body == b"abc"
    assert seen == [b"a", b"b", "http.disconnect"]


@pytest.mark.requirement("A-051")
def test_a_listener_that_waits_costs_neither_thread_any_work(backend):
    """While the application is idle for a while, both threads have nothing to do (and a spinning one would show)."""
    idle_s = 0.4
    spent_s: list[float] = []

    async def app(scope, receive, send):
        await drain_body(receive)
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await send(START)
            await send(block(b"a", more=True))
            before_s = time.thread_time()
            await anyio.sleep(idle_s)
            spent_s.append(time.thread_time() - before_s)
            await send(block(b"b"))

    with host(app, backend) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        before_s = time.thread_time()
        gateway.step()
        spent_s.append(time.thread_time() - before_s)
        gateway.drain()
        gateway.close()

    assert len(spent_s) == 2
    assert max(spent_s) < idle_s / 8


@pytest.mark.requirement("A-052", "A-053")
@pytest.mark.parametrize("body", [None, b"unread"], ids=["no body", "an unread body"])
def test_after_the_response_every_receive_is_a_disconnect_at_once(body, backend):
    events: list[dict[str, Any]] = []
    done = Flag("the application is done")

    async def app(scope, receive, send):
        await send(START)
        await send(block(b"hello"))
        events.extend(at_once(receive) for _ in range(3))
        done.set()

    environ = environ_for("POST", body=body) | {"wsgi.input": UntouchableInput()}
    with host(app, backend) as adapter:
        gateway = run(adapter, environ)
        done.wait()

    assert gateway.body == b"hello"
    assert events == [DISCONNECT] * 3


@pytest.mark.requirement("A-053")
def test_the_unread_rest_of_a_body_is_not_delivered_after_the_response(backend):
    events: list[dict[str, Any]] = []
    done = Flag("the application is done")
    environ = environ_with(b"a", b"b", length=2)

    async def app(scope, receive, send):
        events.append(await receive())
        await send(START)
        await send(block(b"hello"))
        events.append(await receive())
        events.append(await receive())
        done.set()

    with host(app, backend) as adapter:
        run(adapter, environ)
        done.wait()

    assert events == [request(b"a", more=True), DISCONNECT, DISCONNECT]
    assert len(environ["wsgi.input"].reads) == 1


@pytest.mark.requirement("A-053")
def test_a_piece_that_was_kept_is_not_delivered_after_the_response(backend):
    """Its reader was cancelled, then the response was completed: to deliver it now would start a new request."""
    events: list[dict[str, Any]] = []
    done = Flag("the application is done")
    slow = Hold("a slow client")

    def piece() -> bytes:
        slow.stop_here()
        return b"late"

    async def app(scope, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await slow.reached.wait_on_loop()
            group.cancel_scope.cancel()
        slow.release()
        await send(START)
        await send(block(b"hello"))
        events.append(at_once(receive))
        done.set()

    with host(app, backend) as adapter:
        gateway = run(adapter, environ_with(piece, length=4))
        done.wait()

    assert gateway.body == b"hello"
    assert events == [DISCONNECT]


@pytest.mark.requirement("A-052")
def test_after_the_client_left_every_receive_is_a_disconnect_at_once(backend):
    events: list[dict[str, Any]] = []
    done = Flag("the application is done")

    async def app(scope, receive, send):
        await drain_body(receive)
        await send(START)
        try:
            await send(block(b"first", more=True))
        except OSError:
            events.extend(at_once(receive) for _ in range(3))
        done.set()

    with host(app, backend) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        gateway.close()
        done.wait()

    assert events == [DISCONNECT] * 3


@pytest.mark.requirement("A-051", "A-053")
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 204)])
@pytest.mark.parametrize("waits_before", [True, False], ids=["a pending receive", "a later receive"])
def test_no_receive_waits_for_a_piece_that_nobody_will_fetch(method, status, waits_before, backend):
    """A response without content is out with its headers, and the request thread with it, though the application goes
    on to send what is swallowed. Who asks for the unread body then must not wait for ever."""
    events: list[dict[str, Any]] = []
    hung: list[bool] = []
    done = Flag("the application is done")
    slow = Hold("a slow client")

    def first() -> bytes:
        slow.stop_here()
        return b"a"

    async def app(scope, receive, send):
        async def listen():
            events.append(await receive())

        with anyio.move_on_after(ENOUGH_S) as limit:
            async with anyio.create_task_group() as group:
                if waits_before:
                    group.start_soon(listen)  # this one may have the piece that is being read
                    await slow.reached.wait_on_loop()
                    group.start_soon(listen)
                    await turns()
                await send({"type": "http.response.start", "status": status, "headers": []})
                await send(block(b"swallowed", more=True))
                slow.release()
                if not waits_before:
                    await listen()
        hung.append(limit.cancelled_caught)
        with suppress(OSError):
            await send(block(b"swallowed"))
        done.set()

    environ = environ_with(first, b"b", b"c", length=3) | {"REQUEST_METHOD": method}
    with host(app, backend) as adapter:
        gateway = run(adapter, environ)
        done.wait()

    assert gateway.body == b""
    assert hung == [False]
    assert events[-1] == DISCONNECT


# ---- Two things at once -------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-050", "A-054")
@pytest.mark.parametrize("size", [0, 10], ids=["no body", "an unread body"])
def test_a_listener_beside_a_stream_holds_no_block_back(size, backend):
    """As Starlette's streaming response does it: one task listens for the disconnect, one sends."""
    pieces = [b"%d" % number for number in range(size)]
    blocks = [b"block %d;" % number for number in range(8)]
    events: list[dict[str, Any]] = []

    async def app(scope, receive, send):
        async def listen():
            while not events or events[-1] != DISCONNECT:
                events.append(await receive())

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await send(START)
            for content in blocks:
                await send(block(content, more=True))
            while sum(event.get("body") != b"" for event in events) < size:  # each is a turn of both threads
                await anyio.lowlevel.checkpoint()
            await send(block(b""))

    with host(app, backend) as adapter:
        gateway = Gateway(adapter, environ_with(*pieces, length=size)).run()
        adapter.shutdown()

    assert gateway.blocks == blocks
    assert b"".join(event.get("body", b"") for event in events) == b"".join(pieces)
    assert events[-1] == DISCONNECT


@pytest.mark.requirement("A-054")
def test_what_was_sent_while_a_read_blocked_goes_out_before_the_next_read(backend):
    first_read = Hold("the first read")
    blocks_before_second_read: list[int] = []

    def first() -> bytes:
        first_read.stop_here()
        return b"a"

    def second() -> bytes:
        blocks_before_second_read.append(len(gateway.blocks))
        return b"b"

    async def app(scope, receive, send):
        async def respond():
            await send(START)
            await send(block(b"sent meanwhile", more=True))

        async with anyio.create_task_group() as group:
            group.start_soon(drain_body, receive)
            await first_read.reached.wait_on_loop()
            group.start_soon(respond)
            await turns()  # the block is waiting now
            first_read.release()
        await send(block(b"the end"))

    with host(app, backend) as adapter:
        gateway = Gateway(adapter, environ_with(first, second, length=2))
        gateway.call()
        gateway.step()
        gateway.drain()
        gateway.close()

    assert gateway.blocks == [b"sent meanwhile", b"the end"]
    assert blocks_before_second_read == [1]


@pytest.mark.requirement("A-055")
def test_each_piece_goes_to_one_waiter_in_the_order_they_came_and_the_disconnect_to_all(backend):
    order: list[int] = []
    got: dict[int, list[dict[str, Any]]] = {number: [] for number in range(5)}
    slow = Hold("a slow client")
    done = Flag("all waiters are done")

    def first() -> bytes:
        slow.stop_here()
        return b"a"

    async def app(scope, receive, send):
        async def wait(number):
            order.append(number)
            got[number].append(await receive())

        async with anyio.create_task_group() as group:
            for number in got:
                group.start_soon(wait, number)
            await slow.reached.wait_on_loop()
            while len(order) < len(got):
                await anyio.lowlevel.checkpoint()
            slow.release()
            while sum(len(events) for events in got.values()) < 3:
                await anyio.lowlevel.checkpoint()
            await turns()
            await send(START)
            await send(block(b"hello"))
        done.set()

    with host(app, backend) as adapter:
        run(adapter, environ_with(first, b"b", b"c", length=3))
        done.wait()

    expected = [request(b"a", more=True), request(b"b", more=True), request(b"c"), DISCONNECT, DISCONNECT]
    assert [got[number] for number in order] == [[event] for event in expected]


@pytest.mark.requirement("A-055", "A-042")
def test_of_several_waiters_one_gets_the_only_event_of_a_request_without_a_body(backend):
    got: list[dict[str, Any]] = []
    done = Flag("all waiters are done")

    async def app(scope, receive, send):
        async def wait():
            got.append(await receive())

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
            await turns()
            await send(START)
            await send(block(b"hello"))
        done.set()

    with host(app, backend) as adapter:
        run(adapter)
        done.wait()

    assert got == [request(b""), DISCONNECT, DISCONNECT]


# ---- Cancelled ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-056")
@pytest.mark.parametrize("is_read_late", [True, False], ids=["the piece came before", "the piece comes after"])
def test_a_cancelled_receive_loses_nothing(is_read_late, backend):
    """The next call gets the piece, whether it came before or after that call."""
    slow = Hold("a slow client")
    caught: list[bool] = []

    def first() -> bytes:
        slow.stop_here()
        return b"abc"

    async def app(scope, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await slow.reached.wait_on_loop()
            group.cancel_scope.cancel()
        caught.append(group.cancel_scope.cancelled_caught)
        body: list[bytes] = []

        async def read_all():
            body.append(await drain_body(receive))

        async with anyio.create_task_group() as group:
            if is_read_late:
                slow.release()
                await turns(200)
                await read_all()
            else:
                group.start_soon(read_all)
                await turns()
                slow.release()
        await send(START)
        await send(block(body[0]))

    with host(app, backend) as adapter:
        gateway = run(adapter, environ_with(first, b"def", length=6))

    assert caught == [True]
    assert gateway.body == b"abcdef"


@pytest.mark.requirement("A-056")
@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
def test_a_cancelled_receive_is_cancelled(event_loop):
    slow = Hold("a slow client")
    outcomes: list[bool] = []

    def piece() -> bytes:
        slow.stop_here()
        return b"abc"

    async def app(scope, receive, send):
        task = asyncio.ensure_future(receive())
        await slow.reached.wait_on_loop()
        task.cancel()
        await asyncio.wait([task])
        outcomes.append(task.cancelled())
        slow.release()
        await send(START)
        await send(block(await drain_body(receive)))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter, environ_with(piece, length=3))

    assert outcomes == [True]
    assert gateway.body == b"abc"


@pytest.mark.requirement("A-056")
@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("waiters", [1, 3], ids="waiters: {}".format)
def test_a_cancel_that_meets_the_piece_on_its_way_loses_nothing_and_keeps_the_order(event_loop, waiters):
    """The piece has been given to the waiter, which has not run since; then it is cancelled.

    The coroutines are driven by hand, which holds each at exactly this point.
    """

    async def app(scope, receive, send):
        coroutines = [receive() for _ in range(waiters)]
        futures = [coroutine.send(None) for coroutine in coroutines]
        while not all(future.done() for future in futures):  # each has its piece now
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            coroutines[0].throw(asyncio.CancelledError())
        pieces = []
        for coroutine in coroutines[1:]:
            with pytest.raises(StopIteration) as stop:
                coroutine.send(None)
            pieces.append(stop.value.value["body"])
        rest = b"".join(pieces) + at_once(receive)["body"]
        await send(START)
        await send(block(rest + await drain_body(receive)))

    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter, environ_with(b"a", b"b", b"c", b"d", length=4))

    assert gateway.body == b"abcd"


@pytest.mark.requirement("A-056")
@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
def test_a_piece_that_is_put_back_comes_before_the_pieces_that_came_after_it(event_loop):
    """Two waiters: the second is cancelled while its piece is read, then the first with its own piece in hand."""
    slow = Hold("a slow client")

    def second() -> bytes:
        slow.stop_here()
        return b"b"

    async def app(scope, receive, send):
        waiters = [receive(), receive()]
        for waiter in waiters:
            waiter.send(None)
        await slow.reached.wait_on_loop()
        for _ in range(2):
            with pytest.raises(asyncio.CancelledError):
                waiters.pop().throw(asyncio.CancelledError())
            slow.release()
            # An errand for the request thread comes back after the piece, which it has read before.
            await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        body = at_once(receive)["body"] + at_once(receive)["body"]
        await send(START)
        await send(block(body + await drain_body(receive)))

    environ = environ_with(b"a", second, b"c", length=3) | {"wsgi.early_hints": lambda links: None}
    with hosted(app, lifespan="off", event_loop=event_loop) as adapter:
        gateway = run(adapter, environ)

    assert gateway.body == b"abc"


@pytest.mark.requirement("A-056")
def test_receives_that_are_cancelled_at_any_time_lose_nothing(backend):
    """One octet per piece; each receive is given a few turns of the loop, sometimes enough and sometimes not."""
    content = bytes(range(256))
    cancelled: list[int] = []

    async def app(scope, receive, send):
        body = b""
        attempt = 0
        more = True
        while more:
            attempt += 1
            events: list[dict[str, Any]] = []

            async def receive_one(events=events):
                events.append(await receive())

            async with anyio.create_task_group() as group:
                group.start_soon(receive_one)
                await turns(attempt % 7)
                group.cancel_scope.cancel()
            if not events:
                cancelled.append(attempt)
                continue
            (event,) = events
            body += event["body"]
            more = event["more_body"]
        await send(START)
        await send(block(body))

    with host(app, backend) as adapter:
        script = [content[at : at + 1] for at in range(len(content))]
        gateway = run(adapter, environ_with(*script, length=len(content)))

    assert gateway.body == content
    assert cancelled, "no receive was cancelled: this has tested nothing"


# ---- At once ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("A-057")
def test_the_event_of_a_request_without_a_body_is_there_at_once(backend):
    seen: list[dict[str, Any]] = []

    async def app(scope, receive, send):
        seen.append(at_once(receive))
        await send(START)
        await send(block(b"hello"))

    with host(app, backend) as adapter:
        run(adapter)

    assert seen == [request(b"")]


@pytest.mark.requirement("A-056", "A-057")
def test_a_piece_that_a_cancelled_receive_left_is_there_at_once(backend):
    slow = Hold("a slow client")

    def first() -> bytes:
        slow.stop_here()
        return b"abc"

    async def app(scope, receive, send):
        async with anyio.create_task_group() as group:
            group.start_soon(receive)
            await slow.reached.wait_on_loop()
            group.cancel_scope.cancel()
        slow.release()
        # An errand for the request thread comes back after the piece, which it has read before.
        await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
        event = at_once(receive)
        await send(START)
        await send(block(event["body"]))

    environ = environ_with(first, length=3) | {"wsgi.early_hints": lambda links: None}
    with host(app, backend) as adapter:
        gateway = run(adapter, environ)

    assert gateway.body == b"abc"


@pytest.mark.requirement("A-056", "A-057")
@pytest.mark.parametrize("body", [None, b"body"], ids=["no body", "body"])
def test_polling_within_a_cancelled_scope_finds_the_disconnect_and_costs_no_octet(body, backend):
    """As Starlette's ``Request.is_disconnected`` does it."""
    polled: list[list[dict[str, Any]]] = []
    done = Flag("the application is done")

    async def app(scope, receive, send):
        async def poll():
            events: list[dict[str, Any]] = []
            with anyio.CancelScope() as limit:
                limit.cancel()
                events.append(await receive())
            polled.append(events)

        if body is not None:
            await poll()  # starts a read, whose piece stays for the next call
        content = await drain_body(receive)
        await poll()
        await send(START)
        await send(block(content))
        await poll()
        done.set()

    with host(app, backend) as adapter:
        gateway = run(adapter, environ_for("POST", body=body))
        done.wait()

    assert gateway.body == (body or b"")
    assert polled == [[]] * (1 if body is None else 2) + [[DISCONNECT]]


@pytest.mark.requirement("A-051", "A-052")
def test_a_pending_receive_is_woken_when_the_server_closes_the_response(backend):
    events: list[dict[str, Any]] = []
    waiting = Flag("the application waits")
    done = Flag("the application is done")

    async def app(scope, receive, send):
        await drain_body(receive)
        await send(START)
        await send(block(b"first", more=True))
        waiting.set()
        events.append(await receive())
        done.set()

    with host(app, backend) as adapter:
        gateway = Gateway(adapter).call()
        gateway.step()
        stepping = Helper(gateway.step)
        waiting.wait()
        gateway.close()
        stepping.join()
        done.wait()

    assert events == [DISCONNECT]
