"""The examination: load between two snapshots, look, probe, report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bridge._settings import Settings
from bridge.detect import Protocol, detect, single_callable
from bridge.doctor.app_hazards import app_hazards
from bridge.doctor.frameworks import made_with, parts_in
from bridge.doctor.import_hazards import hazards_between
from bridge.doctor.probe_asgi import probe_asgi
from bridge.doctor.probe_wsgi import probe_wsgi
from bridge.doctor.probing import TIMEOUT_S
from bridge.doctor.process_hazards import process_hazards
from bridge.doctor.quiet import output_to_stderr
from bridge.doctor.report import Application, Hazard, Probe, Report, Server
from bridge.doctor.rules import hazard, worst_first
from bridge.doctor.snapshots import take_snapshot, watch_loops
from bridge.doctor.tree import walk
from bridge.serve.servers import SERVERS, adapter_between


def _nothing() -> None:
    """Do nothing."""


def examine(
    settings: Settings,
    *,
    is_probing: bool = True,
    timeout_s: float = TIMEOUT_S,
    on_loaded: Callable[[], object] = _nothing,
) -> Report:
    """Load an application and tell what can be told without a server. The main thread, outside of event loops.

    Meanwhile standard output goes to standard error: what the application prints does not mix with a report.

    Args:
        settings: which application; its limits and options play no part.
        is_probing: whether to call the application, too.
        timeout_s: how long each request of the probe may take.
        on_loaded: called once the application has been imported.

    Raises:
        LoadError: it cannot be had.
        DetectionError: it is no application, or it cannot be told which.
        ConfigurationError: it certainly speaks something else than was said.
    """
    with output_to_stderr():
        before = take_snapshot()
        with watch_loops() as runs:
            loaded = settings.load()
        on_loaded()
        after = take_snapshot()
        app: Any = loaded.app
        detection = detect(app)
        nodes = walk(app)
        hazards = [*hazards_between(before, after, runs), *process_hazards(), *app_hazards(nodes)]
        probe = _probe(app, detection.protocol, timeout_s) if is_probing else None
    parts = parts_in(nodes)
    framework, version = made_with(app, parts)
    return Report(
        application=Application(loaded.target.name, detection.protocol, detection.reason, framework, version),
        parts=parts,
        servers=servers_for(detection.protocol),
        hazards=worst_first([*hazards, *_missing_lifespan(probe)]),
        probe=probe,
    )


def servers_for(protocol: Protocol) -> tuple[Server, ...]:
    """Return the table of servers, as seen by an application of a protocol. Any thread."""
    return tuple(
        Server(
            name=kind.name,
            speaks=tuple(kind.protocols),
            is_installed=(is_installed := kind.is_installed()),
            version=kind.version() if is_installed else None,
            install=f"pip install '{kind.distribution}'",
            adapter=adapter_between(kind.interface_for(protocol), protocol),
            needs=kind.needs,
        )
        for kind in SERVERS.values()
    )


def _probe(app: Any, protocol: Protocol, timeout_s: float) -> Probe:
    if protocol in ("wsgi", "dual"):
        return probe_wsgi(app, timeout_s=timeout_s)
    return probe_asgi(single_callable(app) if protocol == "asgi2" else app, timeout_s=timeout_s)


def _missing_lifespan(probe: Probe | None) -> list[Hazard]:
    rows = probe.rows if probe is not None else ()
    return [hazard("lifespan-missing", row.request, row.detail) for row in rows if row.outcome == "unsupported"]
