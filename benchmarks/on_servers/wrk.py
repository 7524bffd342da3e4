"""``wrk``, which makes as many requests as a server answers: how it is run and what its report says."""

from __future__ import annotations

import dataclasses
import math
import re
import shutil
import signal
import subprocess

from benchmarks.pinning import cores, pinned_to

MISSING = "Skipped: wrk is not installed (`apt-get install wrk`)."
_END_S = 30.0
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3}


@dataclasses.dataclass(frozen=True)
class Report:
    """What wrk found: how many requests in all, how many a second, and how long all but 1 % took at most."""

    requests: int
    requests_per_second: float
    p99_ms: float


def is_installed() -> bool:
    """Tell whether wrk is there."""
    return shutil.which("wrk") is not None


def wrk(url: str, *, connections: int, seconds: float) -> Report:
    """Make requests on that many connections, one after the other on each.

    Raises:
        RuntimeError: some requests failed: the figures would mean nothing.
    """
    command = ["wrk", "-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--latency", url]
    with (
        pinned_to(cores()[1]),
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        try:
            if seconds < 1:  # wrk counts whole seconds; when it is interrupted it reports what it has so far
                try:
                    process.wait(seconds)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=seconds + _END_S)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise RuntimeError(f"wrk failed: {output.strip()}")
    return parse(output)


def parse(output: str) -> Report:
    """Return what a report says.

    Raises:
        RuntimeError: requests failed, or it is no report.
    """
    failures = re.findall(r"^\s*((?:Socket errors|Non-2xx).*)$", output, re.MULTILINE)
    if failures:
        raise RuntimeError(f"requests failed: {'; '.join(failures)}")
    requests = re.search(r"^\s*([0-9]+) requests in ", output, re.MULTILINE)
    rate = re.search(r"^Requests/sec:\s+([0-9.]+)", output, re.MULTILINE)
    p99 = re.search(r"^\s*99%\s+([0-9.]+)(us|ms|s|m)\s*$", output, re.MULTILINE)
    if requests is None or rate is None or p99 is None or int(requests[1]) == 0:
        raise RuntimeError(f"wrk said something else than expected:\n{output}")
    return Report(int(requests[1]), float(rate[1]), float(p99[1]) * _MS[p99[2]])
