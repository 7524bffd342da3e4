"""``bridge doctor``: arguments to an examination, its report to text or JSON, and the exit code."""

from __future__ import annotations

import json
import os
import sys

import click

from bridge._settings import Settings, check_names
from bridge.cli.options import app_dir_option, application_argument, factory_option, protocol_option
from bridge.cli.printing import Printer, Style, printer_for
from bridge.cli.slowness import notice_of_slow_import
from bridge.detect import Protocol
from bridge.doctor import Report, examine
from bridge.doctor.report import Hazard, ProbeRow, Server

_STYLES: dict[str, Style] = {"error": "bad", "warning": "warn", "note": "dim"}


@click.command(
    epilog="""\b
Examples:
  bridge doctor shop:app                       what it is, what will hurt, whether it answers
  bridge doctor src/shop.py                    a file
  bridge doctor shop:create_app --factory      what makes the app
  bridge doctor shop:app --no-probe            load and look, but do not call it
  bridge doctor shop:app --strict              for CI: a warning fails, too
  bridge doctor shop:app --json | jq .hazards

\b
Exit codes:
  0  nothing to repair (there may be notes, and warnings unless --strict)
  1  a hazard of severity error, or a request of the probe that failed
  2  wrong input (one sentence says what and what to do)
""",
)
@application_argument
@factory_option
@protocol_option
@app_dir_option
@click.option("--no-probe", is_flag=True, help="Do not call the application.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long each request of the probe may take.",
)
@click.option("--strict", is_flag=True, help="Warnings fail, too.")
@click.option("--json", "is_json", is_flag=True, help="Print one object of JSON.")
@click.option("--traceback", is_flag=True, help="Show where errors come from, those of the probe too.")
@click.pass_context
def doctor(
    context: click.Context,
    application: str,
    *,
    factory: bool,
    protocol: Protocol | None,
    app_dir: str,
    no_probe: bool,
    timeout: float,
    strict: bool,
    is_json: bool,
    traceback: bool,
) -> None:
    """Examine APPLICATION without a server: what it speaks, which servers can host it, what will hurt, whether it
    answers.

    APPLICATION is module:attribute, a module, a package, or a file (shop.py, src/shop.py:app). It is imported, and
    what that leaves behind is looked for: threads, event loops, connections, processes, signal handlers. Then what it
    is made of is looked through: debugging, startup code that nobody runs, session cookies used twice.

    At last it is called in this process, with GET /, HEAD /, OPTIONS * and an unknown path: a WSGI application under
    wsgiref.validate, an ASGI one, with its lifespan, by a caller that checks every event. Each answer has to come
    within the timeout; of a body at most 1 MiB is read. --no-probe leaves this out.

    What the application prints goes to standard error. Every rule, and every key of --json, is described in
    docs/reference/doctor.md.
    """
    check_names(os.environ)
    settings = Settings(app=application, app_dir=app_dir, is_factory=factory, protocol=protocol)
    with notice_of_slow_import(application) as loaded:
        report = examine(settings, is_probing=not no_probe, timeout_s=timeout, on_loaded=loaded)
    if is_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        _show(report, printer_for(sys.stdout), is_strict=strict)
    for row in report.probe.rows if report.probe is not None and traceback else ():
        if row.trace:
            click.echo(f"\n{row.request}\n{row.trace}", err=True)
    context.exit(int(report.has_failed(is_strict=strict)))


# ---- The report -----------------------------------------------------------------------------------------------------


def _show(report: Report, printer: Printer, *, is_strict: bool) -> None:
    app = report.application
    printer.heading("Application")
    inside = [f"{part.name} at {part.path or '?'}" for part in report.parts[1:]]
    printer.fields(
        [
            ("name", app.name),
            ("speaks", f"{app.protocol}, because {app.reason}"),
            ("framework", " ".join(filter(None, (app.framework, app.version))) or "none that is known"),
            *([("inside", ", ".join(inside))] if inside else []),
        ]
    )
    printer.heading("Servers")
    rows = [(one.name, ", ".join(one.speaks), _installed(one), _hosting(one), one.needs) for one in report.servers]
    printer.table(("server", "speaks", "installed", "hosts it", "needs"), rows)
    printer.heading("Hazards")
    for hazard in report.hazards:
        _show_hazard(hazard, printer)
    if not report.hazards:
        printer.line("  none found", "good")
    if report.probe is not None:
        printer.heading(f"Probe (called as {report.probe.protocol.upper()})")
        headers = ("request", "status", "content type", "bytes", "ms", "verdict")
        printer.table(headers, [_cells(row) for row in report.probe.rows])
    printer.line("")
    printer.line(_summary(report), "bad" if report.has_failed(is_strict=is_strict) else "good")


def _show_hazard(hazard: Hazard, printer: Printer) -> None:
    printer.line(f"  {hazard.severity}: {hazard.where}: {hazard.what} [{hazard.rule}]", _STYLES[hazard.severity])
    printer.line(f"      {hazard.advice}", "dim")


def _installed(server: Server) -> str:
    return (server.version or "yes") if server.is_installed else f"no: {server.install}"


def _hosting(server: Server) -> str:
    return "natively" if server.adapter is None else f"through {server.adapter}"


def _cells(row: ProbeRow) -> tuple[str, ...]:
    verdict = row.outcome if not row.detail else f"{row.outcome}: {row.detail}"
    status = "-" if row.status is None else str(row.status)
    return row.request, status, row.content_type or "-", str(row.body_bytes), f"{row.milliseconds:.1f}", verdict


def _summary(report: Report) -> str:
    counts = {name: sum(one.severity == name for one in report.hazards) for name in _STYLES}
    parts = [f"{count} {name}{'s' if count != 1 else ''}" for name, count in counts.items() if count]
    failing = [row.request for row in report.probe.rows if row.is_failing] if report.probe is not None else []
    if failing:
        parts.append(f"the probe failed for {', '.join(failing)}")
    return "; ".join(parts) if parts else "Nothing to repair was found."
