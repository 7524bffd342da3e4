"""Time for all WebSockets of a host: one timer looks after them while there are any. Loop thread."""

from __future__ import annotations

import time
from functools import partial

from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.hosting import logger

_SHORTEST_S, _LONGEST_S = 0.05, 1.0
_LOOKS = 4
"""How many looks there are within the shortest of the limits: nothing is later than a quarter of it, or 50 ms."""


def keep_pulse(host: Host) -> None:
    """Look after the host's WebSockets until there are none."""
    if not host.has_pulse:
        host.has_pulse = True
        _wait(host)


def _wait(host: Host) -> None:
    limits = host.limits
    shortest_s = min(limits.websocket_ping_s or _LONGEST_S, limits.websocket_pong_s, limits.websocket_close_s)
    host.portal.port.call_later(min(max(shortest_s / _LOOKS, _SHORTEST_S), _LONGEST_S), partial(_beat, host))


def _beat(host: Host) -> None:
    now_s = time.monotonic()
    for websocket in tuple(host.websockets):
        try:
            websocket.look(now_s)
        except Exception:  # noqa: BLE001 - logged; the others go on
            logger.exception("%s could not be looked after", repr(websocket))
    if host.websockets:
        _wait(host)
    else:
        host.has_pulse = False
