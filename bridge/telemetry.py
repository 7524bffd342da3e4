"""Metrics of an adapter for OpenTelemetry: `observe`. Needs the extra ``opentelemetry``; does nothing without an SDK.

Tracing needs nothing from here: the trace context crosses both adapters with the context variables of the request, and
``traceparent`` is a header field like any other.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bridge.asgi_to_wsgi import ASGIToWSGI, HostStatistics
from bridge.observing import RequestReport
from bridge.wsgi_to_asgi import Statistics, WSGIToASGI

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, MeterProvider, Observation

METER_NAME = "bridge"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The bounds of OpenTelemetry's conventions for HTTP; the default of its SDK is made for milliseconds."""

Gauges = dict[str, tuple[str, str, Callable[[Any], float]]]
Adapter = WSGIToASGI | ASGIToWSGI

_WSGI_TO_ASGI: Gauges = {
    "bridge.requests.active": ("{request}", "Requests under way", lambda now: now.requests),
    "bridge.requests.waiting": ("{request}", "Requests that wait for a worker", lambda now: now.waiting),
    "bridge.streams.open": ("{response}", "Responses that are being streamed", lambda now: now.streams_open),
    "bridge.workers.busy": ("{thread}", "Worker threads that run the application", lambda now: now.workers_busy),
    "bridge.workers.stuck": ("{thread}", "Threads busy, or kept waiting, for too long", lambda now: now.stuck),
    "bridge.memory.held": ("By", "Octets of bodies and unsent responses in memory", lambda now: now.bytes_held),
}
_ASGI_TO_WSGI: Gauges = {
    "bridge.requests.active": ("{request}", "Requests under way", lambda now: now.requests),
    "bridge.requests.background": ("{request}", "Answered requests that still run", lambda now: now.background),
    "bridge.workers.stuck": ("{thread}", "Threads busy, or kept waiting, for too long", lambda now: now.stuck),
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
    is_global = meter_provider is None or meter_provider is metrics.get_meter_provider()
    key = _GLOBAL if is_global else meter_provider
    with _lock:
        gauges = _gauges.get(key)
        if gauges is None:
            gauges = _gauges[key] = _AdapterGauges()
        gauges.add(adapter, meter, common)


class _Global:
    """Stands for the global provider, which is another object before and after an SDK has been set up."""


class _AdapterGauges:
    """The gauges of one provider of meters, read from all its adapters that are there.

    An SDK makes a gauge of one name once, and forgets the callbacks of a second one: so there is one callback.
    """

    def __init__(self) -> None:
        self._made: set[str] = set()
        self._adapters: weakref.WeakKeyDictionary[Adapter, dict[str, str]] = weakref.WeakKeyDictionary()

    def add(self, adapter: Adapter, meter: Meter, common: dict[str, str]) -> None:
        """Read an adapter from now on."""
        self._adapters[adapter] = common
        for name, (unit, description, _) in _gauges_of(adapter).items():
            if name not in self._made:
                self._made.add(name)
                meter.create_observable_gauge(name, [self._reader(name)], unit=unit, description=description)

    def _reader(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return what reads one number of each adapter that has it."""
        from opentelemetry.metrics import Observation  # noqa: PLC0415

        def call(_: CallbackOptions) -> Iterable[Observation]:
            observations: list[Observation] = []
            for reference in self._adapters.keyrefs():  # a list, at one go: others may be added meanwhile
                adapter = reference()
                if adapter is not None and (gauge := _gauges_of(adapter).get(name)) is not None:
                    now: Statistics | HostStatistics = adapter.statistics()
                    observations.append(Observation(gauge[2](now), self._adapters[adapter]))
            return observations

        return call


_GLOBAL = _Global()
_gauges: weakref.WeakKeyDictionary[object, _AdapterGauges] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _gauges_of(adapter: Adapter) -> Gauges:
    return _WSGI_TO_ASGI if isinstance(adapter, WSGIToASGI) else _ASGI_TO_WSGI


class _RequestInstruments:
    """What is recorded for each request that is over."""

    def __init__(self, meter: Meter, common: dict[str, str]) -> None:
        self._common = common
        self._requests = meter.create_counter("bridge.requests", "{request}", "Requests that are over, by outcome")
        self._queue_wait = meter.create_histogram(
            "bridge.request.queue_wait",
            "s",
            "From the hand-over of a request until the application is called",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._app_time = meter.create_histogram(
            "bridge.request.app_time",
            "s",
            "From the call of the application to the end of its response",
            explicit_bucket_boundaries_advisory=_SECONDS,
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
