"""The command ``bridge`` itself: its group, and how what goes wrong is said."""

from __future__ import annotations

import sys
import traceback
from importlib import metadata

import click

from bridge.cli.completion import completion
from bridge.cli.doctor import doctor
from bridge.cli.printing import printer_for
from bridge.cli.serve import serve
from bridge.errors import BridgeError

EXIT_WRONG_INPUT = 2

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _version() -> str:
    try:
        return metadata.version("wsgi-asgi-bridge")
    except metadata.PackageNotFoundError:  # used from a checkout that is not installed
        return "unknown"


@click.group(
    context_settings=_CONTEXT,
    epilog="""\b
Examples:
  bridge serve shop:app                     on the first server that is installed
  bridge serve shop.py --server hypercorn   a file, and a server of your choice
  bridge doctor shop:app                    what it is, what is dangerous, does it answer
  eval "$(bridge completion bash)"          complete commands and options with the Tab key
""",
)
@click.version_option(_version(), "-V", "--version", message="bridge %(version)s")
def bridge() -> None:
    """Host any WSGI or ASGI application on any server of either kind."""


bridge.add_command(serve)
bridge.add_command(doctor)
bridge.add_command(completion)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code. Wrong input is one sentence on stderr and exit code 2.

    Args:
        arguments: without the program's name; by default those of the process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code = bridge.main(args=given, prog_name="bridge", standalone_mode=False)
    except BridgeError as error:
        if "--traceback" in given:
            traceback.print_exc()
        printer_for(sys.stderr).line(f"bridge: {error}", "bad")
        return EXIT_WRONG_INPUT
    except click.ClickException as error:
        _explain_usage(error)
        return EXIT_WRONG_INPUT
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:  # of the output: all else has been turned into a sentence
        printer_for(sys.stderr).line(f"bridge: the output cannot be written: {error}", "bad")
        return EXIT_WRONG_INPUT
    return code if isinstance(code, int) else 0


def _explain_usage(error: click.ClickException) -> None:
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.2: the help, as an error
        click.echo(error.format_message(), err=True)
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = context.command_path if context is not None else "bridge"
    sentence = error.format_message().rstrip(".")
    printer_for(sys.stderr).line(f"bridge: {sentence}; see '{command} --help'", "bad")
