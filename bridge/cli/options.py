"""The argument and the options by which every command is told which application is meant."""

from __future__ import annotations

import click

from bridge.detect import PROTOCOLS

application_argument = click.argument("application", metavar="APPLICATION", envvar="BRIDGE_APP")
factory_option = click.option(
    "--factory", is_flag=True, envvar="BRIDGE_FACTORY", help="APPLICATION is called to get the application."
)
protocol_option = click.option(
    "--protocol",
    type=click.Choice(PROTOCOLS),
    envvar="BRIDGE_PROTOCOL",
    help="What the application speaks, where that cannot be told.",
)
app_dir_option = click.option(
    "--app-dir",
    default=".",
    metavar="DIR",
    envvar="BRIDGE_APP_DIR",
    help="Put in front of the import path. Default: here.",
)
