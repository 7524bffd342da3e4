"""The work whose cost is kept: ordinary requests, as browsers and servers make them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bridge.translate import environ_from_scope, scope_from_environ
from tests.cost import on_asgi, on_wsgi
from tests.cost.browser import make_environ, make_scope
from tests.cost.counting import Cost, Meter
from tests.cost.on_asgi import AT_A_TIME, Work

BLOCKS = 16
"""More blocks, of a response that streams: what 32 cost, less what 16 cost."""


@dataclass(frozen=True)
class Scenario:
    """Work to be measured.

    Attributes:
        what: a sentence of a few words.
        main: what the measuring thread is.
        work: is measured.
        base: what is subtracted: the same with less of what the scenario is about.
    """

    what: str
    main: str
    work: Work
    base: Work | None = None

    def measure(self, annotated: str | None = None) -> Cost:
        """Return what it costs; the same in each run.

        Args:
            annotated: a part of the names of functions that are to be counted line by line.
        """
        cost = self._measure(self.work, annotated)
        return cost if self.base is None else cost - self._measure(self.base, annotated)

    def _measure(self, work: Work, annotated: str | None) -> Cost:
        # Python 3.13 does not count the instructions of a function that ran already when it was first told to.
        work(Meter(self.main, alike=1))
        meter = Meter(self.main, annotated)
        work(meter)
        assert meter.result is not None
        return meter.result


def _calls(make: Callable[[], Any], function: Callable[[Any], object]) -> Work:
    def work(meter: Meter) -> None:
        with meter.watching():
            for _ in meter.rounds():
                function(make())

    return work


_LOOP, _REQUEST_THREAD, _CALLER = "loop", "request thread", "caller"

SCENARIOS: dict[str, Scenario] = {
    "to_asgi-hello": Scenario("a GET", _LOOP, on_asgi.hello_one_by_one),
    "to_asgi-hello-32": Scenario(f"{AT_A_TIME} GETs at a time", _LOOP, on_asgi.hello_together),
    "to_asgi-post": Scenario("a POST with a body of 220 octets", _LOOP, on_asgi.post),
    "to_asgi-mounted": Scenario("a GET below a root_path", _LOOP, on_asgi.hello_mounted),
    "to_asgi-blocks": Scenario(
        f"{BLOCKS} more blocks, all made before the loop looks",
        _LOOP,
        on_asgi.streaming(2 * BLOCKS, waits=False),
        on_asgi.streaming(BLOCKS, waits=False),
    ),
    "to_asgi-events": Scenario(
        f"{BLOCKS} more blocks, each sent before the next one is made",
        _LOOP,
        on_asgi.streaming(2 * BLOCKS, waits=True),
        on_asgi.streaming(BLOCKS, waits=True),
    ),
    "to_asgi-websocket": Scenario("a message there and back", _LOOP, on_asgi.websocket_echo),
    "to_wsgi-hello": Scenario("a GET", _REQUEST_THREAD, on_wsgi.hello_one_by_one),
    "to_wsgi-hello-32": Scenario(f"{AT_A_TIME} GETs at a time", _REQUEST_THREAD, on_wsgi.hello_together),
    "to_wsgi-post": Scenario("a POST with a body of 220 octets", _REQUEST_THREAD, on_wsgi.post),
    "to_wsgi-blocks": Scenario(
        f"{BLOCKS} more blocks",
        _REQUEST_THREAD,
        on_wsgi.one_by_one(on_wsgi.blocks(2 * BLOCKS)),
        on_wsgi.one_by_one(on_wsgi.blocks(BLOCKS)),
    ),
    "environ": Scenario("environ_from_scope()", _CALLER, _calls(make_scope, environ_from_scope)),
    "scope": Scenario("scope_from_environ()", _CALLER, _calls(make_environ, scope_from_environ)),
}
