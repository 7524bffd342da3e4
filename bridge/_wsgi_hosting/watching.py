"""Reporting requests that keep a worker for too long: one log record each, with the place where its thread is.

While requests are under way, a timer on their loop looks now and then; an idle adapter has none. A response that has
begun is left alone: event streams last for hours, and whether one is stuck cannot be told from outside.
"""

from __future__ import annotations

from functools import partial

from bridge._runtime.loops import LoopPort
from bridge._wsgi_hosting.call import WSGICall
from bridge._wsgi_hosting.hosting import Hosting, logger

_SHORTEST_INTERVAL_S = 0.05


def watch(hosting: Hosting, port: LoopPort) -> None:
    """Look after the requests of this loop until there are none. Loop."""
    port.is_watched = True
    port.call_later(max(hosting.limits.stuck_s / 2, _SHORTEST_INTERVAL_S), partial(_look, hosting, port))


def _look(hosting: Hosting, port: LoopPort) -> None:
    port.is_watched = False
    limit_s = hosting.limits.stuck_s
    if hosting.pool.stuck_count(limit_s):
        for stuck in hosting.pool.stuck(limit_s):
            call = stuck.job
            if not isinstance(call, WSGICall) or call.is_reported:
                continue
            exchange = call.exchange
            if exchange.hosting is hosting and not exchange.is_started:  # a shared pool runs those of others, too
                call.is_reported = True
                logger.warning(
                    "%s: the application has been busy for %.1f s without beginning its response:\n%s",
                    repr(exchange),  # a record that is kept keeps no request alive
                    stuck.busy_s,
                    stuck.stack,
                )
    if hosting.live:
        watch(hosting, port)
