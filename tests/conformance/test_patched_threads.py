"""Unusual threads: greenlets of gevent, sub-interpreters, servers outside the main thread."""

from __future__ import annotations

import sys
import textwrap
from importlib.util import find_spec

import pytest

from tests.backends import Backend
from tests.conformance.patched_programs import app_program, run_program

needs_gevent = pytest.mark.skipif(find_spec("gevent") is None, reason="gevent is not installed")

PATCH_GEVENT = """
from gevent import monkey
monkey.patch_all()
"""

GEVENT = """
import gevent

ticks = 0

def tick():
    global ticks
    while True:
        ticks += 1
        gevent.sleep(0.001)

gevent.spawn(tick)

def at_once(*paths):
    jobs = [gevent.spawn(body_of, path) for path in paths]
    gevent.joinall(jobs, timeout=20, raise_error=True)
    return [job.value for job in jobs]
"""


# ---- gevent -----------------------------------------------------------------------------------------------------


def gevent_program(body: str, order: str = "patched first") -> str:
    if order == "patched first":
        return PATCH_GEVENT + app_program() + GEVENT + textwrap.dedent(body)
    return app_program() + PATCH_GEVENT + GEVENT + textwrap.dedent(body)


ORDERS = pytest.mark.parametrize("order", ["patched first", "patched after the adapter was made"])


@needs_gevent
@pytest.mark.requirement("A-109", "A-124")
@ORDERS
def test_requests_of_greenlets_overlap_and_other_greenlets_go_on(order: str):
    """Five requests that end together, and a greenlet that counts while they and a slow start are waited for."""
    run_program(
        gevent_program(
            """
            assert at_once(*["/together"] * 5) == [b"whole"] * 5
            before = ticks
            assert at_once(*["/stream"] * 3) == [b"0 1 2 whole"] * 3
            assert ticks > before, "the hub was blocked"
            adapter.shutdown()
            """,
            order,
        )
    )


@needs_gevent
@pytest.mark.requirement("A-124")
@ORDERS
def test_under_gevent_an_application_can_use_threads_bodies_and_streams(order: str):
    said = run_program(
        gevent_program(
            """
            assert body_of("/") == b"whole"
            assert body_of("/thread") == b"from a thread"
            assert body_of("/upload", b"a body") == b"a body"
            assert body_of("/stream") == b"0 1 2 whole"
            adapter.shutdown()
            adapter.shutdown()
            assert adapter.statistics().phase == "shut down"
            import logging
            logging.disable(logging.WARNING)  # of the refusal
            assert run(adapter).status.startswith("503")
            """,
            order,
        )
    )

    assert said == "lifespan over in a thread\n"


@needs_gevent
@pytest.mark.requirement("A-120", "A-124")
def test_under_gevent_the_lifespan_is_shut_down_at_exit():
    assert run_program(gevent_program("assert body_of('/') == b'whole'")) == "lifespan over in a thread\n"


@needs_gevent
@pytest.mark.requirement("A-124")
def test_a_first_request_does_not_block_the_hub_while_others_wait_for_the_same_start():
    """The adapter was looked at before the patch, as a log line might: what it made then must not block greenlets."""
    run_program(
        app_program() + "adapter.statistics()",
        PATCH_GEVENT + GEVENT,
        """
        began_s = time.monotonic()
        assert at_once(*["/together"] * 5) == [b"whole"] * 5
        assert time.monotonic() - began_s < QUICK.loop_wait_s, "a greenlet waited in a lock of real threads"
        adapter.shutdown()
        """,
    )


@needs_gevent
@pytest.mark.requirement("A-124")
def test_a_killed_greenlet_leaves_its_request_and_the_next_is_served():
    run_program(
        gevent_program(
            """
            job = gevent.spawn(body_of, "/together")
            while not running:
                gevent.sleep(0.001)
            job.kill(timeout=10)
            assert job.ready()
            assert body_of("/") == b"whole"
            adapter._hosts.get().portal.port.post(all_here.set)
            adapter.shutdown()
            """
        )
    )


@needs_gevent
@pytest.mark.requirement("A-124")
def test_under_gevent_a_thread_of_its_pool_can_make_requests():
    """A real thread with a hub of its own."""
    run_program(
        gevent_program(
            """
            import gevent.threadpool
            pool = gevent.threadpool.ThreadPool(2)
            assert pool.spawn(body_of, "/stream").get(timeout=10) == b"0 1 2 whole"
            assert body_of("/") == b"whole"
            pool.kill()
            adapter.shutdown()
            """
        )
    )


@needs_gevent
@pytest.mark.requirement("A-124")
@pytest.mark.parametrize("kind", ["uvloop", "trio"])
def test_a_loop_that_cannot_live_with_gevent_is_refused_in_so_many_words(kind: str):
    """uvloop's threads would never answer, trio would not start."""
    if find_spec(kind) is None:
        pytest.skip(f"{kind} is not installed")
    said = run_program(
        PATCH_GEVENT + app_program(kind, adapter="None"),
        """
        try:
            adapter = make()
            body_of("/thread")
        except EventLoopError as error:
            print(error)
        """,
    )

    assert "gevent" in said
    assert kind in said
    assert "uWSGI" not in said


@needs_gevent
@pytest.mark.requirement("A-116", "A-124")
def test_a_forked_gevent_worker_serves_what_its_master_made():
    """As gunicorn --preload does: made in the master, patched and served in the worker."""
    run_program(
        app_program(),
        f"""
        WORKER = {PATCH_GEVENT + GEVENT!r}
        adapter.statistics()
        pid = os.fork()
        if not pid:
            code = 1
            try:
                exec(WORKER)
                assert at_once(*["/together"] * 5) == [b"whole"] * 5
                adapter.shutdown()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        """,
    )


# ---- Interpreters and threads -----------------------------------------------------------------------------------

SUB_INTERPRETERS = """
import sys
if sys.version_info >= (3, 13):
    import _interpreters as interpreters
    create = lambda legacy: interpreters.create("legacy" if legacy else "isolated")
    def run_in(number, code):
        failure = interpreters.exec(number, code)
        assert failure is None, failure.errdisplay
else:
    import _xxsubinterpreters as interpreters
    create = lambda legacy: interpreters.create(isolated=not legacy)
    run_in = interpreters.run_string

end = interpreters.destroy
"""

# Early releases of 3.12 refuse new threads from the very beginning of an interpreter's end (CPython issue 113964).
HAS_THREADS_AT_THE_END = not (3, 12) <= sys.version_info < (3, 12, 2)

can_have_threads = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="this interpreter's test module enters none that has a second thread"
)


@pytest.mark.requirement("A-120", "A-123")
def test_a_sub_interpreter_serves_and_ends_all_by_itself(backend: Backend):
    """In one go. To end an interpreter's threads is left to the server in older versions, as mod_wsgi knows."""
    program = app_program(backend.name) + "assert body_of('/stream') == b'0 1 2 whole'\n"
    if not HAS_THREADS_AT_THE_END or not backend.is_asyncio:  # trio keeps its threads longer than the interpreter lasts
        program += "async def to_thread(function): return function()\n"
    if sys.version_info < (3, 12):
        program += "threading._shutdown()\n"

    said = run_program(
        SUB_INTERPRETERS,
        f"""
        number = create(legacy=True)
        run_in(number, {program!r})
        end(number)
        """,
    )

    assert said == "lifespan over in a thread\n"


@can_have_threads
@pytest.mark.requirement("A-123")
def test_each_sub_interpreter_has_a_loop_that_ends_with_it(backend: Backend):
    """As in mod_wsgi. An interpreter with a thread of its own still running would end in a fatal error."""
    # uvloop, as a Cython module, can be loaded by one interpreter only; two with trio crash older versions.
    count = 2 if backend.name == "asyncio" or (backend.name == "trio" and sys.version_info >= (3, 13)) else 1
    program = app_program(backend.name)
    if not HAS_THREADS_AT_THE_END or not backend.is_asyncio:  # trio keeps its threads longer than the interpreter lasts
        program += "async def to_thread(function): return function()\n"
    said = run_program(
        SUB_INTERPRETERS,
        f"""
        numbers = [create(legacy=True) for _ in range({count})]
        for number in numbers:
            run_in(number, {program!r})
            run_in(number, "assert body_of('/stream') == b'0 1 2 whole'")
        for number in numbers:
            run_in(number, "assert body_of('/thread') == b'from a thread'")
        for number in numbers:
            end(number)
        """,
    )

    assert said == "lifespan over in a thread\n" * count


@can_have_threads
@pytest.mark.requirement("A-123")
def test_a_loop_that_can_live_in_one_interpreter_only_is_not_chosen_for_the_others():
    """uvloop, as a Cython module, refuses a second interpreter; nobody has asked for it."""
    run_program(
        SUB_INTERPRETERS + app_program(),
        f"""
        assert body_of("/") == b"whole"
        number = create(legacy=True)
        run_in(number, {app_program()!r})
        run_in(number, "assert body_of('/') == b'whole'; adapter.shutdown()")
        end(number)
        assert body_of("/") == b"whole"
        adapter.shutdown()
        """,
    )


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older isolated interpreters are not fit for use")
@pytest.mark.requirement("A-122", "A-123")
def test_an_interpreter_that_allows_no_daemon_threads_says_so():
    said = run_program(
        SUB_INTERPRETERS,
        f"""
        number = create(legacy=False)
        run_in(number, {app_program("asyncio")!r})
        run_in(number, '''
        try:
            body_of("/")
        except EventLoopError as error:
            print(error, flush=True)
        '''.replace("        ", "", 1).replace("\\n        ", "\\n"))
        end(number)
        """,
    )

    assert "daemon threads" in said
    assert "uWSGI" not in said


@pytest.mark.requirement("A-123")
def test_a_server_outside_the_main_thread_needs_nothing_of_it(backend: Backend):
    """The main thread is in one long call; the server's threads are none of the ``threading`` module."""
    said = run_program(
        app_program(backend.name),
        """
        import _thread
        done = _thread.allocate_lock()
        done.acquire()

        def serve():
            assert body_of("/stream") == b"0 1 2 whole"
            assert body_of("/thread") == b"from a thread"
            adapter.shutdown()
            print("shut down", flush=True)
            done.release()

        _thread.start_new_thread(serve, ())
        assert done.acquire(True, 20)
        """,
    )

    assert said == "lifespan over in a thread\nshut down\n"
