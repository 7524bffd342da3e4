"""``bridge serve``: arguments to a plan, the plan in one line, and the hand-over."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from bridge._setting_text import pairs_from
from bridge._settings import Settings, check_names
from bridge.cli.options import app_dir_option, application_argument, factory_option, protocol_option
from bridge.cli.printing import printer_for
from bridge.cli.slowness import notice_of_slow_import
from bridge.errors import ConfigurationError
from bridge.serve.handover import check_address, hand_over, shell_line
from bridge.serve.plan import Request, make_plan
from bridge.serve.servers import SERVERS


@click.command(
    epilog="""\b
Examples:
  bridge serve shop:app                        a Flask app, or a FastAPI app: no matter
  bridge serve mysite                          a package; the app is looked for in it
  bridge serve shop.py --reload                a file, started anew when it changes
  bridge serve shop:create_app --factory       what makes the app
  bridge serve shop:app -s waitress --threads 16
  bridge serve shop:app -w 4 --limit workers=80 --limit body_max_bytes=10000000
  bridge serve shop:app -s uvicorn -- --proxy-headers --forwarded-allow-ips '*'

\b
Exit codes:
  2 wrong input (one sentence says what and what to do); else the server's own.
""",
)
@application_argument
@click.argument("extra", nargs=-1, type=click.UNPROCESSED, metavar="[-- SERVER_OPTIONS...]")
@click.option("-s", "--server", metavar="NAME", help=f"One of {', '.join(SERVERS)}. Default: the first installed.")
@click.option("-h", "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("-p", "--port", type=int, default=8000, show_default=True, help="Port to listen on.")
@click.option("--uds", metavar="PATH", help="Listen on a Unix socket instead.")
@click.option("-w", "--workers", type=int, help="Processes.")
@click.option("--threads", type=int, help="Threads for the application in each process.")
@click.option("--reload", is_flag=True, help="Start anew when a file changes (the server's own reloader).")
@factory_option
@protocol_option
@click.option("--interface", type=click.Choice(["asgi", "wsgi"]), help="For servers that speak both.")
@click.option("--limit", "limits", multiple=True, metavar="NAME=VALUE", help="A number of Limits. Repeatable.")
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE", help="An option of the adapter. Repeatable.")
@click.option("--telemetry", is_flag=True, envvar="BRIDGE_TELEMETRY", help="Report to OpenTelemetry.")
@click.option("--log-level", metavar="LEVEL", help="Passed on: debug, info, warning, error.")
@click.option("--root-path", metavar="PATH", help="Passed on: the path that a proxy in front has cut off.")
@app_dir_option
@click.option("--dry-run", is_flag=True, help="Print the server's command line instead of running it.")
@click.option("--traceback", is_flag=True, help="Show where an error comes from.")
def serve(application: str, extra: tuple[str, ...], **given: Any) -> None:
    """Serve APPLICATION on an installed server, whichever protocol the two speak.

    APPLICATION is module:attribute, a module, a package, or a file (shop.py, src/shop.py:app). What it speaks is found
    out by looking at it; where the server speaks the other protocol, the adapter of bridge goes in between. Then the
    server's own command takes over: its workers, its reloader, its signals, its log. Everything after -- goes to it
    unchanged.

    --threads are the server's own where it has threads for applications, and those of the adapter (the limit
    "workers", 40) where a WSGI application runs on an ASGI server.

    The same without this command, in any server's own way: BRIDGE_APP=shop:app uvicorn bridge.asgi:app
    """
    given.pop("traceback")  # looked at where errors are reported
    is_dry_run = given.pop("dry_run")
    check_names(os.environ)
    request = _request(application, extra, given)
    with notice_of_slow_import(application):
        plan = make_plan(request)
    if is_dry_run:
        click.echo(shell_line(plan))
        return
    check_address(plan.launch)
    printer = printer_for(sys.stderr)
    printer.line(plan.sentence(), "dim")
    for note in plan.notes:
        printer.line(f"bridge: {note}", "warn")
    hand_over(plan)


def _request(application: str, extra: tuple[str, ...], given: dict[str, Any]) -> Request:
    settings = Settings(
        app=application,
        is_factory=given.pop("factory"),
        protocol=given.pop("protocol"),
        limits=_merged("BRIDGE_LIMITS", "--limit", given.pop("limits")),
        options=_merged("BRIDGE_OPTIONS", "--option", given.pop("options")),
        telemetry=given.pop("telemetry"),
    )
    return Request(settings=settings, directory=given.pop("app_dir"), extra=extra, **given)


def _merged(variable: str, option: str, parts: tuple[str, ...]) -> dict[str, str]:
    """Put what an option says above what the variable says."""
    pairs = pairs_from(os.environ.get(variable, ""), variable)
    for part in parts:
        name, equals, value = part.partition("=")
        if not (name and equals and value) or set(", ") & set(part):
            raise ConfigurationError(f"{option} takes name=value; {part!r} is not that")
        pairs[name] = value
    return pairs
