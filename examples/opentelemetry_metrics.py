"""Metrics and a trace of a Flask application under uvicorn, collected by a real OpenTelemetry SDK.

    python examples/opentelemetry_metrics.py

The program starts uvicorn on a free port of 127.0.0.1, makes a few requests, and prints what the SDK has collected in
memory: the numbers of the bridge, and the spans. In production the reader and the exporter are those of your backend.

The lines that matter are ``observe(...)`` and the middleware around the adapter: its span is the current one in the
view, in a worker thread, and in the coroutine that the view calls on the event loop.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import uvicorn
from flask import Flask, Response
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bridge import WSGIToASGI, call_async
from bridge.telemetry import observe

PATIENCE_S = 20.0

reader = InMemoryMetricReader()
meter_provider = MeterProvider([reader])
spans = InMemorySpanExporter()
tracer_provider = TracerProvider()
tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
tracer = tracer_provider.get_tracer("shop")

flask_app = Flask(__name__)


async def price_of(item: str) -> int:
    with tracer.start_as_current_span(f"look up {item}"):  # a child of the view's span, though it is on the loop
        await asyncio.sleep(0.01)
        return len(item)


@flask_app.get("/price/<item>")
def price(item: str) -> dict[str, int]:
    with tracer.start_as_current_span("view"):
        return {"price": call_async(price_of, item)}


@flask_app.get("/report")
def report() -> Response:
    def lines() -> Iterator[bytes]:
        for _ in range(3):
            yield b"x" * 1000
            time.sleep(0.02)

    return Response(lines())


adapter = WSGIToASGI(flask_app)
observe(adapter, name="shop", meter_provider=meter_provider)


async def app(scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]) -> None:
    """The adapter, with a span around each request: what an instrumentation for ASGI does."""
    if scope["type"] != "http":
        await adapter(scope, receive, send)
        return
    with tracer.start_as_current_span(f"{scope['method']} {scope['path']}", kind=trace.SpanKind.SERVER):
        await adapter(scope, receive, send)


def numbers() -> Iterator[str]:
    """Say what the reader has collected, one line for each number."""
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in sorted(scope.metrics, key=lambda metric: metric.name):
                for point in metric.data.data_points:
                    attributes = point.attributes or {}
                    told = " ".join(str(attributes[key]) for key in sorted(attributes) if key not in COMMON)
                    value = point.value if hasattr(point, "value") else f"{point.count} times, {point.sum:.3f} s"
                    yield f"{metric.name} {f'({told})' if told else ''}: {value}".replace(" :", ":")


COMMON = ("bridge.direction", "bridge.name")


def tree() -> Iterator[str]:
    """Say which span is the child of which."""
    ended = sorted(spans.get_finished_spans(), key=lambda span: span.start_time or 0)
    depths: dict[int, int] = {}
    for span in ended:
        depth = depths.get(span.parent.span_id, -1) + 1 if span.parent is not None else 0
        depths[span.context.span_id] = depth
        yield "  " * depth + span.name


def visit(base: str) -> None:
    """Make the requests."""
    for path in ("/price/tea", "/price/coffee", "/report", "/nowhere"):
        try:
            with urlopen(base + path, timeout=PATIENCE_S) as response:  # noqa: S310 - our own server
                response.read()
        except HTTPError as error:
            error.close()


def main() -> None:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline_s = time.monotonic() + PATIENCE_S
    while not server.started and thread.is_alive() and time.monotonic() < deadline_s:
        time.sleep(0.01)
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        visit(f"http://127.0.0.1:{port}")
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
    print("Numbers", *numbers(), sep="\n  ")
    print("Trace", *tree(), sep="\n  ")


if __name__ == "__main__":
    main()
