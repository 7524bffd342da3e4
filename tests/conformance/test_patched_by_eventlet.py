"""Processes that eventlet has patched: the event loop is one of the green threads and disturbs no other."""

from __future__ import annotations

import textwrap
from importlib.util import find_spec

import pytest

from tests.conformance.patched_programs import PATCH_EVENTLET, app_program, run_program

pytestmark = pytest.mark.skipif(find_spec("eventlet") is None, reason="eventlet is not installed")

GREEN = """
from eventlet import hubs

ticks = 0

def tick():
    global ticks
    while True:
        ticks += 1
        eventlet.sleep(0.001)

eventlet.spawn(tick)

def at_once(*paths):
    with eventlet.Timeout(8):
        return [job.wait() for job in [eventlet.spawn(body_of, path) for path in paths]]
"""

END = """
adapter.shutdown()
assert adapter.statistics().phase == "shut down"
"""


def program(body: str) -> str:
    """Return a program: patched, with an adapter."""
    return PATCH_EVENTLET + app_program() + GREEN + textwrap.dedent(body)


@pytest.mark.requirement("A-109", "A-124")
@pytest.mark.parametrize("order", ["patched first", "patched after the adapter was made"])
def test_requests_of_green_threads_overlap_and_others_go_on(order: str):
    """Five requests that end together, and a green thread that counts while they and a slow start are waited for."""
    beginning = (
        (PATCH_EVENTLET + app_program())
        if order == "patched first"
        else (app_program() + "adapter.statistics()" + PATCH_EVENTLET)
    )
    said = run_program(
        beginning + GREEN,
        """
        assert at_once(*["/together"] * 5) == [b"whole"] * 5
        before = ticks
        assert at_once(*["/stream"] * 3) == [b"0 1 2 whole"] * 3
        assert ticks > before, "the hub was blocked"
        """,
        END,
    )

    assert said == "lifespan over in a thread\n"


@pytest.mark.requirement("A-124")
def test_an_application_can_use_threads_bodies_and_streams_all_in_one_thread_of_the_system():
    """Eventlet's locks, which all of the process has by then, are not made for two."""
    said = run_program(
        program(
            """
            assert body_of("/") == b"whole"
            assert at_once(*["/thread"] * 3) == [b"from a thread"] * 3
            assert body_of("/upload", b"a body") == b"a body"
            assert body_of("/stream") == b"0 1 2 whole"
            if os.path.exists("/proc/self/task"):
                assert len(os.listdir("/proc/self/task")) == 1
            adapter.shutdown()
            adapter.shutdown()
            assert adapter.statistics().phase == "shut down"
            import logging
            logging.disable(logging.WARNING)  # of the refusal
            assert run(adapter).status.startswith("503")
            """
        )
    )

    assert said == "lifespan over in a thread\n"


@pytest.mark.requirement("A-120", "A-124")
def test_the_lifespan_is_shut_down_at_exit():
    assert run_program(program("assert body_of('/') == b'whole'")) == "lifespan over in a thread\n"


@pytest.mark.requirement("A-120", "A-124")
def test_an_application_that_does_not_end_does_not_keep_the_process():
    """What is left of it goes with the process: nothing is unwound, nothing is said."""
    said = run_program(
        PATCH_EVENTLET,
        """
        import asyncio, logging, time
        from bridge import ASGIToWSGI, Limits
        from bridge._runtime import spawning
        from tests.gateway import environ_for, run

        async def app(scope, receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    print("cancelled", flush=True)

        logging.disable(logging.CRITICAL)  # it is complained of
        spawning._CLEAN_UP_S = 0.05
        adapter = ASGIToWSGI(app, lifespan="off", limits=Limits(shutdown_s=0.05, cancel_s=0.05))
        assert run(adapter, environ_for("GET", "/")).status == "200 OK"
        """,
    )

    assert set(said.splitlines()) == {"cancelled"}


@pytest.mark.requirement("A-124")
def test_a_killed_green_thread_leaves_its_request_and_the_next_is_served():
    run_program(
        program(
            """
            job = eventlet.spawn(body_of, "/together")
            while not running:
                eventlet.sleep(0.001)
            job.kill()
            assert job.dead
            assert body_of("/") == b"whole"
            adapter._hosts.get().portal.port.post(all_here.set)
            """
        ),
        END,
    )


@pytest.mark.requirement("A-116", "A-124")
def test_a_forked_process_with_a_hub_of_its_own_serves_beside_its_parent():
    """Even after the parent has served; what the child inherits of the parent's loop is neither run nor taken apart."""
    said = run_program(
        program(
            """
            import gc
            assert body_of("/") == b"whole"
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    hubs.use_hub()
                    gc.collect()
                    assert at_once(*["/together"] * 5) == [b"whole"] * 5
                    adapter.shutdown()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert body_of("/stream") == b"0 1 2 whole"
            """
        ),
        END,
    )

    assert said == "lifespan over in a thread\n" * 2


# ---- What is refused ---------------------------------------------------------------------------------------------

TELL = """
try:
    adapter = make()
    body_of("/thread")
except EventLoopError as error:
    print(error)
"""


@pytest.mark.requirement("A-124")
@pytest.mark.parametrize("kind", ["uvloop", "trio"])
def test_a_loop_that_cannot_live_with_eventlet_is_refused_in_so_many_words(kind: str):
    if find_spec(kind) is None:
        pytest.skip(f"{kind} is not installed")

    said = run_program(PATCH_EVENTLET + app_program(kind, adapter="None"), TELL)

    assert "eventlet" in said
    assert f"{kind} knows nothing" in said
    assert "event_loop='asyncio'" in said


@pytest.mark.requirement("A-124")
def test_a_process_that_is_patched_by_halves_is_refused_when_the_adapter_is_made():
    said = run_program(
        PATCH_EVENTLET.replace("monkey_patch()", "monkey_patch(thread=True, socket=True)"),
        app_program(adapter="None"),
        TELL,
    )

    assert "but not time and select" in said
    assert "monkey_patch() without arguments" in said


@pytest.mark.requirement("A-124")
def test_the_hub_of_asyncio_is_refused():
    """It has asyncio's threads be real ones again, among locks that are not."""
    said = run_program(
        "import os; os.environ['EVENTLET_HUB'] = 'asyncio'", PATCH_EVENTLET, app_program(adapter="None"), TELL
    )

    assert "leave EVENTLET_HUB=asyncio out" in said


@pytest.mark.requirement("A-124")
def test_a_real_thread_is_told_that_it_cannot_use_the_loop():
    """It would never be woken: eventlet's locks are for one."""
    said = run_program(
        program(
            """
            import eventlet.tpool
            assert body_of("/") == b"whole"
            try:
                eventlet.tpool.execute(body_of, "/")
            except EventLoopError as error:
                print(error)
            eventlet.tpool.killall()
            assert body_of("/") == b"whole"
            """
        ),
        END,
    )

    assert "tpool" in said
