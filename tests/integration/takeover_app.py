"""A WSGI application that takes connections over from its server, without any WebSocket on them.

A request with ``Upgrade: echo`` is answered by a plain thread of the process, which sends back whatever comes. The rest
is plain HTTP: ``/`` says hello, ``/state`` tells what the process holds.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterable
from functools import partial

from bridge._runtime.gates import start_native_thread
from bridge.types import Environ, StartResponse
from bridge.websocket.asgi_hosting.connections import find_connection

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n"
LAST_WORDS = b"that was all"
"""What the thread sends before it closes by itself, when it has been sent `FAREWELL`."""
FAREWELL = b"farewell"

_open: dict[int, bool] = {}
"""The inodes of the connections that were taken over, and whether a child would inherit them."""


def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    if environ.get("HTTP_UPGRADE") == "echo":
        connection = find_connection(environ)
        if connection is None:
            return _answer(start_response, "501 Not Implemented", b"no connection")
        own = connection.take()
        inode = os.fstat(own.fileno()).st_ino
        _open[inode] = os.get_inheritable(own.fileno())
        start_native_thread(partial(_echo, own, inode), "echo")
        return connection.end(environ, start_response)
    if environ["PATH_INFO"] == "/state":
        return _answer(start_response, "200 OK", json.dumps(_state()).encode())
    return _answer(start_response, "200 OK", b"hello\n")


def _answer(start_response: StartResponse, status: str, body: bytes) -> list[bytes]:
    start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


def _echo(own: socket.socket, inode: int) -> None:
    try:
        own.settimeout(60)
        own.sendall(HEAD)
        while octets := own.recv(65536):
            if octets == FAREWELL:
                own.sendall(LAST_WORDS)
                break
            own.sendall(octets)
    except OSError:
        pass
    finally:
        own.close()
        del _open[inode]


def _state() -> dict[str, object]:
    ours = dict(_open)
    return {
        "open": len(ours),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "inherited": sum(ours.values()),
        "watched": len(ours.keys() & _watched()),
    }


def _watched() -> set[int]:
    """Return the inodes of all files that some epoll of this process watches."""
    inodes: set[int] = set()
    for descriptor in os.listdir("/proc/self/fdinfo"):
        try:
            with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
                lines = info.read().splitlines()
        except OSError:
            continue  # the one that listed the directory
        inodes.update(int(line.rpartition("ino:")[2].split()[0], 16) for line in lines if line.startswith("tfd:"))
    return inodes
