"""Timers that look after requests: those that keep a worker for too long, and those whose client takes nothing.

A stuck worker is replaced, and one log record says where its thread is.

While requests are under way, a timer on their loop looks now and then; an idle adapter has none. A response that has
begun is replaced, too, but not reported: event streams last for hours, and whether one is stuck cannot be told from
outside.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast
from weakref import ref

from bridge._runtime.loops import LoopPort
from bridge._runtime.worker_reports import Job
from bridge._wsgi_hosting.call import WSGICall
from bridge._wsgi_hosting.hosting import Hosting, logger
from bridge.errors import ClientTimeout

if TYPE_CHECKING:
    from bridge._wsgi_hosting.contact import Contact

_SHORTEST_INTERVAL_S = 0.05
_LOOKS_AT_A_CLIENT = 4


def watch(hosting: Hosting, port: LoopPort) -> None:
    """Look after the requests of this loop until there are none. Loop."""
    port.is_watched = True
    port.call_later(max(hosting.limits.stuck_s / 2, _SHORTEST_INTERVAL_S), partial(_look, hosting, port))


def _look(hosting: Hosting, port: LoopPort) -> None:
    port.is_watched = False
    limit_s = hosting.limits.stuck_s
    if hosting.pool.stuck_count(limit_s):
        hosting.pool.replace_stuck(limit_s)
        has_spare = hosting.pool.statistics().aside < hosting.pool.spare

        def is_news(job: Job) -> bool:
            if not isinstance(job, WSGICall) or job.is_reported:
                return False
            exchange = job.exchange
            return exchange.hosting is hosting and not exchange.is_started  # a shared pool runs those of others, too

        for stuck in hosting.pool.stuck(limit_s, is_news):
            if has_spare and not stuck.is_aside:
                continue  # it has become stuck this moment: the next look replaces it
            call = cast("WSGICall", stuck.job)
            call.is_reported = True
            logger.warning(
                "%s: the application has been busy for %.1f s without beginning its response; %s:\n%s",
                repr(call.exchange),  # a record that is kept keeps no request alive
                stuck.busy_s,
                "another worker takes its place" if stuck.is_aside else "no spare worker is left for its place",
                stuck.stack,
            )
    if hosting.live:
        watch(hosting, port)


def watch_client(exchange: Contact) -> None:
    """Take a client for gone that takes nothing for ``Limits.response_wait_s``, until the request is over. Loop."""
    limit_s = exchange.hosting.limits.response_wait_s
    if limit_s is not None:
        _look_at_client(ref(exchange), limit_s / _LOOKS_AT_A_CLIENT, exchange.port, -1, 0)


def _look_at_client(reference: ref[Contact], interval_s: float, port: LoopPort, reports: int, looks: int) -> None:
    exchange = reference()  # the timer keeps no request alive
    if exchange is None or exchange.is_over or exchange.is_gone:
        return
    now = exchange.outflow.reports
    # While nothing is unsent it is the application that is silent.
    looks = looks + 1 if now == reports and exchange.outflow.held_bytes else 0
    if looks >= _LOOKS_AT_A_CLIENT:
        limit_s = exchange.hosting.limits.response_wait_s
        exchange.client_has_gone(ClientTimeout(f"the client took no byte of the response for {limit_s} s"))
        return
    port.call_later(interval_s, partial(_look_at_client, reference, interval_s, port, now, looks))
