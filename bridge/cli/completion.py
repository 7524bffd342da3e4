"""``bridge completion``: what a shell needs to complete commands, options and their choices."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="""\b
Examples:
  eval "$(bridge completion bash)"                                  now, in this bash
  bridge completion zsh > "${fpath[1]}/_bridge"                      for good, in zsh
  bridge completion fish > ~/.config/fish/completions/bridge.fish    for good, in fish
""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete the commands and options of bridge."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"this version of click has no completion for {shell}")
    click.echo(kind(context.find_root().command, {}, "bridge", "_BRIDGE_COMPLETE").source())
