"""One request of which somebody wants to know: the same exchange, with a record kept beside it. Loop."""

from __future__ import annotations

from bridge._runtime.loops import LoopPort
from bridge._wsgi_hosting.exchange import Exchange
from bridge._wsgi_hosting.hosting import Hosting
from bridge.observing import Outcome, Record
from bridge.types import Receive, Scope, Send


async def run_observed(hosting: Hosting, scope: Scope, receive: Receive, send: Send, port: LoopPort) -> None:
    """Answer a request (`Exchange.run`) and report it when it is over."""
    record = Record(tuple(hosting.observers), "wsgi_to_asgi", scope["method"], scope.get("path") or "")
    exchange = Exchange(hosting, scope, record.counted_receive(receive), record.counted_send(send), port)
    exchange.record = record
    outcome: Outcome = "failed"
    try:
        await exchange.run()
        outcome = "completed"
    except Exception:
        raise
    except BaseException:  # cancelled
        outcome = "aborted"
        raise
    finally:
        if exchange.is_refused:
            outcome = "refused"
        elif exchange.has_failed:
            outcome = "failed"
        elif exchange.is_gone:
            outcome = "aborted"
        record.finish(outcome)
