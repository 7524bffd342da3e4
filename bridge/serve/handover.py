"""Handing over: look whether the address is free, then let the server's command run in place of this process."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import stat
import subprocess
import sys
from typing import NoReturn

from bridge.errors import ConfigurationError
from bridge.serve.plan import Plan
from bridge.serve.servers import Launch


def shell_line(plan: Plan) -> str:
    """Return what will be run, as one would type it."""
    variables = [f"{name}={shlex.quote(value)}" for name, value in plan.variables.items()]
    return " ".join([*variables, shlex.join(plan.command)])


def check_address(launch: Launch) -> None:
    """Look whether the address can be had. It is let go again: the server opens it itself.

    Raises:
        ConfigurationError: it is in use, not allowed, or not of this machine.
    """
    if launch.uds is not None:
        _check_socket_path(launch.uds)
        return
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            launch.host, launch.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, number) as probe:
            if os.name == "posix":  # as the servers do: connections that are only being wound up do not count
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(_why_not(launch, error)) from error


def hand_over(plan: Plan) -> NoReturn:
    """Run the server's command in place of this process; where that cannot be (Windows), wait for it and exit alike.

    Raises:
        ConfigurationError: the command cannot be run.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    environment = {**os.environ, **plan.variables}
    try:
        if os.name == "posix":
            os.execvpe(plan.command[0], list(plan.command), environment)  # noqa: S606 - no shell: arguments as they are
        sys.exit(subprocess.call(plan.command, env=environment))  # noqa: S603
    except OSError as error:
        raise ConfigurationError(f"{plan.command[0]} cannot be run: {error.strerror}; is it whole?") from error
    except KeyboardInterrupt:  # the server got it too, and has ended
        sys.exit(130)


def _check_socket_path(path: str) -> None:
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        raise ConfigurationError(f"there is no folder {directory} for the socket {path}")
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        raise ConfigurationError(f"{path} is there and no socket: choose another path for --uds")


def _why_not(launch: Launch, error: OSError | UnicodeError) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"{launch.host!r} is no address of a machine (--host)"
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {launch.port} of {launch.host} is in use: stop what listens there, or choose another with --port "
            "(0: any that is free)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {launch.port} of {launch.host} is not allowed to this user: choose one from 1024 on with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{launch.host} is no address of this machine: choose another with --host"
    return f"{launch.address} cannot be listened on: {error}"
