"""What the rows claim, as functions that look: the register of them.

A look gets a host and the claim of the page, and returns what it saw in the page's words. It uses the claim only to
know what to wait for: what is claimed to happen is awaited, and what is claimed not to happen is looked for after that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Host = Callable[..., AbstractContextManager[Any]]
"""Hosts an application for the length of a ``with``; keyword arguments are limits, which only the bridge has."""
Look = Callable[[Host, str], str]

TO_ASGI: dict[str, Look] = {}
"""For a WSGI application on an ASGI server, by the row's first cell."""
TO_WSGI: dict[str, Look] = {}
"""For an ASGI application on a WSGI server."""


def _row(register: dict[str, Look], title: str) -> Callable[[Look], Look]:
    def enter(look: Look) -> Look:
        assert title not in register
        register[title] = look
        return look

    return enter


to_asgi_row = functools.partial(_row, TO_ASGI)
"""Register a look under the first cell of its row."""
to_wsgi_row = functools.partial(_row, TO_WSGI)


@functools.cache
def seen_by(title: str, host: Host, claimed: str, *, to_wsgi: bool = False) -> str:
    """Return what a look sees on an adapter. It is looked at once, however many pages speak of it."""
    return (TO_WSGI if to_wsgi else TO_ASGI)[title](host, claimed)
