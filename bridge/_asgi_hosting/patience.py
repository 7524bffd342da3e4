"""Waiting for an application that takes its time: every wait of a request thread ends.

Each quarter of a second the thread looks whether the loop is still there, whether the client is, and whether the
application has been silent for too long.
"""

from __future__ import annotations

import errno
import time

from bridge._asgi_hosting.entering import refusal
from bridge._asgi_hosting.exchange import Exchange
from bridge._asgi_hosting.host import Host
from bridge._asgi_hosting.hosting import logger
from bridge._asgi_hosting.offers import client_probe
from bridge._asgi_hosting.phases import HostPhase
from bridge._runtime.gates import Gate
from bridge._runtime.portal import Portal
from bridge.errors import ApplicationTimeout, ClientDisconnected, EventLoopError, LoopStalled
from bridge.types import Environ

LOOK_EVERY_S = 0.25


class Patience:
    """The patience of one request thread; made when it has waited for a first quarter of a second."""

    _is_reported = False

    def __init__(self, host: Host, portal: Portal, exchange: Exchange, gate: Gate, environ: Environ) -> None:
        self._host = host
        self._portal = portal
        self._exchange = exchange
        self._gate = gate
        self._probe = client_probe(environ)

    def wait(self, *, has_started: bool) -> None:
        """Wait until the loop has something for the request thread.

        Raises:
            ClientDisconnected: the client has left, and the server lets one know.
            ApplicationTimeout: the application has been silent for too long.
            RequestRefused: the host is closing and has not taken the request up.
            LoopStalled: the loop does not take the request up.
            EventLoopError: the loop has ended.
        """
        try:
            self._wait(has_started)
        finally:
            self._host.stuck.discard(self._exchange)

    def _wait(self, has_started: bool) -> None:
        exchange, host = self._exchange, self._host
        since_s = quiet_since_s = time.monotonic() - LOOK_EVERY_S
        while True:
            if not exchange.has_begun and host.phase in (HostPhase.CLOSING, HostPhase.CLOSED):
                raise refusal()  # posted when the loop had taken up its last
            if not self._portal.is_running and not exchange.is_output_over:
                raise EventLoopError("the event loop ended while the request was waiting for it")
            if self._probe is not None and self._probe():
                raise ClientDisconnected(errno.EPIPE, "the client left before the application answered")
            now_s = time.monotonic()
            if not exchange.has_begun:
                self._check_loop(now_s - since_s)
            elif host.phase in (HostPhase.NEW, HostPhase.STARTING):
                self._check_loop(now_s - since_s)
                quiet_since_s = now_s
            else:
                self._check_app(now_s - quiet_since_s, has_started)
            if self._gate.wait(LOOK_EVERY_S):
                return

    def _check_loop(self, waited_s: float) -> None:
        limits = self._host.limits
        limit_s = limits.loop_wait_s
        if self._host.phase in (HostPhase.NEW, HostPhase.STARTING):
            if limits.startup_s is None:
                return
            limit_s += limits.startup_s
        if waited_s > limit_s:
            raise LoopStalled(waited_s, self._portal.where())

    def _check_app(self, quiet_s: float, has_started: bool) -> None:
        limits = self._host.limits
        if limits.app_wait_s is not None and quiet_s > limits.app_wait_s:
            raise ApplicationTimeout(limits.app_wait_s)
        if quiet_s > limits.stuck_s and not has_started:
            self._host.stuck.add(self._exchange)
            if not self._is_reported:
                self._is_reported = True
                logger.warning(
                    "%s: the application has not begun its response for %.1f s; it is here:\n%s",
                    repr(self._exchange),
                    quiet_s,
                    self._exchange.where(),
                )
