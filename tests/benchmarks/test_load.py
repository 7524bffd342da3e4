"""Servers under load, without the load: reports are read, processes are counted and cleaned up, failures are told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from benchmarks.in_memory.adapters import BRIDGE
from benchmarks.on_servers import hosts, processes, served, served_by_wsgi, servers, under_servers
from benchmarks.on_servers import under_wsgi_servers as on_wsgi
from benchmarks.on_servers.load import measured, usage_during
from benchmarks.on_servers.processes import Usage, family, parse_stat, usage_of
from benchmarks.on_servers.servers import Command
from benchmarks.on_servers.wrk import Report, parse
from benchmarks.pinning import pinned_to
from benchmarks.results import Column, Comparison
from benchmarks.settings import Settings

BOUND_S = 20.0
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


def wait_until(is_so):
    deadline_s = time.monotonic() + BOUND_S
    while not is_so():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.01)


# ---- wrk ------------------------------------------------------------------------------------------------------------

REPORT = """\
Running 3s test @ http://127.0.0.1:8000/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.66ms  512.10us  12.30ms   93.75%
    Req/Sec    19.31k     1.02k   20.87k    73.33%
  Latency Distribution
     50%    1.61ms
     75%    1.75ms
     90%    1.93ms
     99%    {p99}
  57698 requests in 3.01s, 7.37MB read
{failures}Requests/sec:  19192.36
Transfer/sec:      2.45MB
"""


@pytest.mark.parametrize(
    ("p99", "expected_ms"),
    [
        pytest.param("981.00us", 0.981, id="microseconds"),
        pytest.param("3.02ms", 3.02, id="milliseconds"),
        pytest.param("1.25s ", 1250, id="seconds, which wrk fills up to three characters"),
        pytest.param("1.50m ", 90_000, id="minutes"),
    ],
)
def test_a_report_is_read_with_its_units(p99, expected_ms):
    report = parse(REPORT.format(p99=p99, failures=""))

    assert report == Report(requests=57698, requests_per_second=19192.36, p99_ms=pytest.approx(expected_ms))


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        pytest.param(
            REPORT.format(p99="3.02ms", failures="  Non-2xx or 3xx responses: 12\n"),
            "requests failed: Non-2xx or 3xx responses: 12",
            id="an error page",
        ),
        pytest.param(
            REPORT.format(p99="3.02ms", failures="  Socket errors: connect 0, read 7, write 0, timeout 0\n"),
            "requests failed: Socket errors: connect 0, read 7",
            id="a cut connection",
        ),
        pytest.param(
            REPORT.format(p99="3.02ms", failures="").replace("57698", "0"), "something else", id="none at all"
        ),
        pytest.param(REPORT.format(p99="three", failures=""), "something else", id="no latency"),
        pytest.param("unable to connect to 127.0.0.1:8000 Connection refused", "something else", id="no report"),
    ],
)
def test_a_report_of_failures_is_no_figure(output, complaint):
    with pytest.raises(RuntimeError, match=complaint):
        parse(output)


# ---- Processes ------------------------------------------------------------------------------------------------------


def stat(name: str) -> str:
    """Return the line of a process of parent 17 with 250 + 50 ticks, 5 threads and 2560 pages."""
    return f"4711 ({name}) S 17 4711 4711 0 -1 4194560 9000 0 0 0 250 50 999 999 20 0 5 0 100 99999999 2560 1844 1 1 0"


@needs_proc
@pytest.mark.parametrize("name", ["python", "gunicorn: worker [shop]", "a) S 1 2 (b", ") ) )"])
def test_a_process_is_read_whatever_it_is_called(name):
    parent, usage = parse_stat(stat(name))

    assert parent == 17
    assert usage.cpu_s == pytest.approx(300 / os.sysconf("SC_CLK_TCK"))
    assert usage.resident_mib == pytest.approx(2560 * os.sysconf("SC_PAGE_SIZE") / 2**20)
    assert usage.threads == 5


def test_a_family_is_all_descendants_and_nobody_else():
    parents = {1: 0, 10: 1, 11: 10, 12: 10, 13: 12, 20: 1, 21: 20}

    assert family(10, parents) == {10, 11, 12, 13}
    assert family(13, parents) == {13}


def test_usages_add_up():
    assert Usage(1.5, 10.0, 2) + Usage(0.5, 20.0, 3) == Usage(2.0, 30.0, 5)


@needs_proc
def test_what_a_server_uses_is_what_its_children_use_as_well():
    worker = "import sys; print(sum(range(10**7)), flush=True); sys.stdin.read()"
    top = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}])"
    command = [sys.executable, "-c", top]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()  # the child has worked
        usage = usage_of(process.pid)
        alone = parse_stat(Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii"))[1]
        process.stdin.close()

    assert usage.threads == alone.threads + 1 == 2
    assert usage.cpu_s > alone.cpu_s
    assert usage.resident_mib > alone.resident_mib


@needs_proc
def test_a_process_that_does_not_exist_uses_nothing_that_could_be_told():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(BOUND_S)

    assert usage_of(process.pid) is None


def test_processor_time_is_that_of_the_block_and_memory_that_of_its_end(monkeypatch):
    usages = [Usage(2.0, 10.0, 1), Usage(5.0, 30.0, 4)]
    monkeypatch.setattr("benchmarks.on_servers.load.usage_of", lambda _: usages.pop(0))

    with usage_during(1) as usage:
        assert usage() is None

    assert usage() == Usage(3.0, 30.0, 4)


def test_without_proc_there_is_no_usage(monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "_PROC", tmp_path)

    with usage_during(os.getpid()) as usage:
        pass

    assert usage() is None


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processes cannot be pinned here")
def test_a_pinned_thread_starts_pinned_processes_and_is_free_again():
    before = os.sched_getaffinity(0)
    core = max(before)
    code = "import os; print(os.sched_getaffinity(0))"

    with pytest.raises(ZeroDivisionError), pinned_to(core):
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        _ = 1 / 0

    assert found.stdout.strip() == str({core})
    assert os.sched_getaffinity(0) == before


# ---- Servers --------------------------------------------------------------------------------------------------------


def is_running(pid: int) -> bool:
    """Tell whether there is such a process; one that has ended and waits for its parent to look is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@needs_proc
@pytest.mark.live
@pytest.mark.parametrize("manner", ["child", "all"])
def test_a_server_that_does_not_end_is_ended_with_its_children(manner):
    command = Command(("tests.benchmarks.stubborn_server", "{port}", manner))

    with servers.running(command, stop_s=0.2 if manner == "all" else BOUND_S) as server:
        with urllib.request.urlopen(server.url, timeout=BOUND_S) as response:
            child = int(response.read())
        assert is_running(server.pid)
        assert is_running(child)

    assert not is_running(server.pid)
    wait_until(lambda: not is_running(child))


@needs_proc
@pytest.mark.live
def test_a_measurement_that_fails_ends_its_server():
    with (
        pytest.raises(ZeroDivisionError),
        servers.running(Command(("tests.benchmarks.stubborn_server", "{port}", "child"))) as server,
    ):
        _ = 1 / 0

    assert not is_running(server.pid)


@pytest.mark.live
def test_a_server_that_does_not_start_says_why():
    starts = servers.running(Command(("benchmarks.on_servers.no_such_server", "{port}")))

    with pytest.raises(
        RuntimeError, match=r"(?s)the server did not start: .*No module named benchmarks.on_servers.no_"
    ):
        starts.__enter__()


def test_a_command_keeps_its_environment_when_it_gets_more():
    command = hosts.waitress(hosts.through(BRIDGE)).with_environment({"MORE": "1"})

    assert command.environment["BENCHMARK_ADAPTER"] == BRIDGE
    assert command.environment["MORE"] == "1"


# ---- Comparisons ----------------------------------------------------------------------------------------------------

SPEED = Column(name="speed", unit="times", better="more")
SIZE = Column(name="size", unit="MiB", better="less")


def test_candidates_are_measured_in_turns():
    order = []

    def candidate(name):
        def measure():
            order.append(name)
            return {"speed": len(order), "size": 1.0}

        return measure

    comparison = Comparison(title="two", columns=(SPEED, SIZE))
    names = ("first", "second")
    measured(Settings(quick=True, rounds=3), comparison, {name: candidate(name) for name in names})

    assert order == ["first", "second"] * 3
    assert comparison.rows["first"]["speed"].values == (1, 3, 5)
    assert comparison.rows["second"]["speed"].values == (2, 4, 6)


def test_a_candidate_that_fails_is_left_out_and_the_others_are_not():
    left = iter([1.0])

    def failing():
        for figure in left:
            return {"speed": figure}
        raise RuntimeError("requests failed: some")

    comparison = Comparison(title="two", columns=(SPEED,))
    measured(Settings(quick=True, rounds=2), comparison, {"failing": failing, "well": lambda: {"speed": 2.0}})

    assert set(comparison.rows) == {"well"}
    assert comparison.rows["well"]["speed"].values == (2.0, 2.0)
    assert "failing: no figures. requests failed: some" in comparison.notes


def test_a_column_that_cannot_be_measured_is_left_out():
    comparison = Comparison(title="one", columns=(SPEED, SIZE))
    measured(Settings(quick=True, rounds=1), comparison, {"one": lambda: {"speed": 2.0}})

    assert set(comparison.rows["one"]) == {"speed"}


def test_every_candidate_has_an_adapter():
    assert set(under_servers.ADAPTERS) <= set(served.ADAPTERS)
    assert set(on_wsgi.CONTESTANTS) == set(served_by_wsgi.ADAPTERS)


@pytest.mark.parametrize(
    "host", [hosts.uvicorn, hosts.hypercorn, hosts.granian, hosts.waitress, hosts.gunicorn, hosts.uwsgi]
)
def test_every_server_is_told_its_port_and_its_application(host):
    command = host(hosts.plain("shop:app", path="/books"))

    line = " ".join(command.arguments)
    assert "127.0.0.1:{port}" in line or "--port {port}" in line
    assert command.arguments.count("shop:app") + command.arguments.count("asgi:shop:app") == 1
    assert command.path == "/books"
