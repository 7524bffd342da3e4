"""Metrics of an adapter for OpenTelemetry: `observe`. Needs the extra ``opentelemetry``; does nothing without an SDK.

Tracing needs nothing from here: the trace context crosses both adapters with the context variables of the request, and
``traceparent`` is a header field like any other.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bridge.asgi_to_wsgi import ASGIToWSGI, HostStatistics
from bridge.observing import RequestReport
from bridge.wsgi_to_asgi import Statistics, WSGIToASGI

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

METER_NAME = "bridge"

Gauges = dict[str, tuple[str, str, Callable[[Any], float]]]

_WSGI_TO_ASGI: Gauges = {
    "bridge.requests.active": ("{request}", "Requests under way, waiting ones included", lambda now: now.requests),
    "bridge.requests.waiting": ("{request}", "Requests that wait for a worker", lambda now: now.waiting),
    "bridge.streams.open": ("{response}", "Responses that are being streamed", lambda now: now.streams_open),
    "bridge.workers.busy": ("{thread}", "Worker threads that run the application", lambda now: now.workers_busy),
    "bridge.workers.stuck": ("{thread}", "Worker threads busy for too long", lambda now: now.stuck),
    "bridge.memory.held": ("By", "Octets of bodies and unsent responses in memory", lambda now: now.bytes_held),
}
_ASGI_TO_WSGI: Gauges = {
    "bridge.requests.active": ("{request}", "Requests whose response is not complete", lambda now: now.requests),
    "bridge.requests.background": ("{request}", "Answered requests that still run", lambda now: now.background),
    "bridge.workers.stuck": ("{thread}", "Request threads that wait for too long", lambda now: now.stuck),
}


def observe(
    adapter: WSGIToASGI | ASGIToWSGI,
    *,
    name: str | None = None,
    meter_provider: MeterProvider | None = None,
) -> None:
    """Report an adapter's requests and state to OpenTelemetry. Any thread; at most once for an adapter.

    Args:
        adapter: what is to be observed; it is not kept alive.
        name: the value of the attribute ``bridge.name``, to tell several adapters apart.
        meter_provider: by default the global one.

    Raises:
        ImportError: the API of OpenTelemetry is not installed; the message names the extra.
    """
    try:
        from opentelemetry import metrics  # noqa: PLC0415 - an extra
    except ImportError:
        raise ImportError("opentelemetry is not installed; pip install 'wsgi-asgi-bridge[opentelemetry]'") from None
    meter = metrics.get_meter(METER_NAME, meter_provider=meter_provider)
    is_wsgi = isinstance(adapter, WSGIToASGI)
    common = {"bridge.direction": "wsgi_to_asgi" if is_wsgi else "asgi_to_wsgi"}
    if name is not None:
        common["bridge.name"] = name
    adapter.observe(_RequestInstruments(meter, common))
    for gauge, (unit, description, read) in (_WSGI_TO_ASGI if is_wsgi else _ASGI_TO_WSGI).items():
        meter.create_observable_gauge(
            gauge, [_reader(weakref.ref(adapter), read, common)], unit=unit, description=description
        )


class _RequestInstruments:
    """What is recorded for each request that is over."""

    def __init__(self, meter: Meter, common: dict[str, str]) -> None:
        self._common = common
        self._requests = meter.create_counter("bridge.requests", "{request}", "Requests that are over, by outcome")
        self._queue_wait = meter.create_histogram(
            "bridge.request.queue_wait", "s", "From the hand-over of a request until the application is called"
        )
        self._app_time = meter.create_histogram(
            "bridge.request.app_time", "s", "From the call of the application to the end of its response"
        )
        self._request_bytes = meter.create_counter("bridge.request.body.size", "By", "Octets of request bodies")
        self._response_bytes = meter.create_counter("bridge.response.body.size", "By", "Octets of response bodies")
        self._streams = meter.create_counter("bridge.streams", "{response}", "Responses sent in more than one piece")
        self._refusals = meter.create_counter("bridge.refusals", "{request}", "Requests refused by the adapter")

    def __repr__(self) -> str:
        return "the OpenTelemetry instruments of bridge"

    def __call__(self, report: RequestReport) -> None:
        """Record one request."""
        common = self._common
        attributes: dict[str, str | int] = {**common, "bridge.outcome": report.outcome}
        if report.status is not None:
            attributes["http.response.status_code"] = report.status
        self._requests.add(1, attributes)
        if report.queue_wait_s is not None:
            self._queue_wait.record(report.queue_wait_s, common)
        if report.app_time_s is not None:
            self._app_time.record(report.app_time_s, common)
        if report.request_bytes:
            self._request_bytes.add(report.request_bytes, common)
        if report.response_bytes:
            self._response_bytes.add(report.response_bytes, common)
        if report.is_streamed:
            self._streams.add(1, common)
        if report.outcome == "refused":
            self._refusals.add(1, attributes)


def _reader(
    reference: weakref.ref[WSGIToASGI | ASGIToWSGI],
    read: Callable[[Any], float],
    common: dict[str, str],
) -> Callable[[CallbackOptions], Iterable[Observation]]:
    """Return what reads one number of an adapter, for as long as that is there."""
    from opentelemetry.metrics import Observation  # noqa: PLC0415

    def call(_: CallbackOptions) -> Iterable[Observation]:
        adapter = reference()
        if adapter is None:
            return []
        now: Statistics | HostStatistics = adapter.statistics()
        return [Observation(read(now), common)]

    return call
