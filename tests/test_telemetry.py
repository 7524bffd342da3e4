"""`bridge.telemetry`: what an OpenTelemetry SDK collects of the adapters, and what happens where there is none."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableGauge
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import bridge
from bridge import ASGIToWSGI, Limits, WSGIToASGI
from bridge.telemetry import observe
from tests.conformance.driver import TEXT, Driver, answering, block, body_events, hosted, make_scope, run, until
from tests.conformance.endings import Held, read_all
from tests.gateway import answering as asgi_answering
from tests.gateway import environ_for
from tests.gateway import hosted as hosted_on_wsgi
from tests.gateway import run as request
from tests.meeting import Helper, Hold
from tests.meeting import until as wait_until

PAGE = Path(__file__).resolve().parent.parent / "docs" / "recipes" / "observe.md"
KINDS = {"counter": Counter, "histogram": Histogram, "gauge": ObservableGauge}
WSGI = {"bridge.direction": "wsgi_to_asgi"}
ASGI = {"bridge.direction": "asgi_to_wsgi"}


class SDK:
    """A provider of meters, and what it has collected."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def metrics(self) -> dict[str, Any]:
        """Return what is collected now, by the name of the instrument; each name comes once."""
        data = self.reader.get_metrics_data()
        found = [
            metric
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        assert len({metric.name for metric in found}) == len(found), "an instrument came twice"
        return {metric.name: metric for metric in found}

    def values(self, name: str) -> dict[frozenset[tuple[str, Any]], Any]:
        """Return the numbers of an instrument by their attributes: a value, or the count of a histogram."""
        metric = self.metrics().get(name)
        points = () if metric is None else metric.data.data_points
        return {frozenset(p.attributes.items()): p.value if hasattr(p, "value") else p.count for p in points}

    def value(self, name: str, attributes: dict[str, Any]) -> Any:
        """Return one number."""
        return self.values(name)[frozenset(attributes.items())]


@pytest.fixture
def sdk(caplog: pytest.LogCaptureFixture) -> Iterator[SDK]:
    """An SDK, which must not complain."""
    sdk = SDK()
    yield sdk
    sdk.provider.shutdown()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("opentelemetry")] == []


# ---- Requests ---------------------------------------------------------------------------------------------------


def mixed(driver: Driver) -> Any:
    """A WSGI application that streams, fails, or answers by path."""

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/fails":
            raise LookupError
        octets = environ["wsgi.input"].read()
        start_response("200 OK", list(TEXT))
        yield octets
        if environ["PATH_INFO"] == "/streams":
            driver.block_until_sent(2)
            yield octets

    return app


def test_the_requests_of_a_wsgi_application_are_counted_by_outcome_and_status(sdk):
    stream = Driver(make_scope("POST", "/streams", headers=[(b"content-length", b"5")]), events=body_events(b"12345"))
    with hosted(mixed(stream)) as adapter:
        observe(adapter, meter_provider=sdk.provider)
        for driver in (stream, Driver(make_scope(path="/fails")), Driver(make_scope(headers=[(b"host", b"again")]))):
            run(partial(driver.call, adapter))

    completed = {**WSGI, "bridge.outcome": "completed", "http.response.status_code": 200}
    refused = {**WSGI, "bridge.outcome": "refused", "http.response.status_code": 400}
    failed = {**WSGI, "bridge.outcome": "failed"}
    assert sdk.values("bridge.requests") == {frozenset(key.items()): 1 for key in (completed, refused, failed)}
    assert sdk.values("bridge.refusals") == {frozenset(refused.items()): 1}
    assert sdk.value("bridge.streams", WSGI) == 1
    assert sdk.value("bridge.request.body.size", WSGI) == 5
    assert sdk.value("bridge.response.body.size", WSGI) == 10 + len(driver.body)  # the refusal's sentence, too
    assert sdk.value("bridge.request.queue_wait", WSGI) == sdk.value("bridge.request.app_time", WSGI) == 2


def test_the_requests_of_an_asgi_application_are_counted_by_outcome_and_status(sdk):
    async def app(scope, receive, send):
        if scope["path"] == "/fails":
            raise LookupError
        octets = (await receive())["body"]
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": octets, "more_body": True})
        await send({"type": "http.response.body", "body": octets})

    with hosted_on_wsgi(app, lifespan="off") as adapter:
        observe(adapter, meter_provider=sdk.provider)
        request(adapter, environ_for("POST", body=b"12345"))
        with pytest.raises(LookupError):
            request(adapter, environ_for(path="/fails"))
        request(adapter, environ_for("POST", CONTENT_LENGTH="+1"))

    completed = {**ASGI, "bridge.outcome": "completed", "http.response.status_code": 201}
    refused = {**ASGI, "bridge.outcome": "refused", "http.response.status_code": 400}
    failed = {**ASGI, "bridge.outcome": "failed"}
    assert sdk.values("bridge.requests") == {frozenset(key.items()): 1 for key in (completed, refused, failed)}
    assert sdk.values("bridge.refusals") == {frozenset(refused.items()): 1}
    assert sdk.value("bridge.streams", ASGI) == 1
    assert sdk.value("bridge.request.body.size", ASGI) == 5
    assert sdk.value("bridge.response.body.size", ASGI) == 10
    assert sdk.value("bridge.request.queue_wait", ASGI) == sdk.value("bridge.request.app_time", ASGI) == 2


# ---- Gauges -----------------------------------------------------------------------------------------------------


def test_the_gauges_of_a_wsgi_application_are_its_statistics(sdk):
    app = Held()
    with hosted(app, limits=Limits(workers=1, stuck_s=0.0)) as adapter:
        observe(adapter, name="shop", meter_provider=sdk.provider)
        key = {**WSGI, "bridge.name": "shop"}

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(Driver().call, adapter)
                await until(lambda: app.entered)
                tasks.start_soon(Driver().call, adapter)
                await until(lambda: adapter.statistics().waiting)
                assert sdk.value("bridge.requests.active", key) == 2
                assert sdk.value("bridge.requests.waiting", key) == 1
                assert sdk.value("bridge.workers.busy", key) == 1
                assert sdk.value("bridge.workers.stuck", key) == 1
                assert sdk.value("bridge.streams.open", key) == 0
                assert sdk.value("bridge.memory.held", key) == 0
                app.opened.set()

        run(main)
        wait_until(lambda: sdk.value("bridge.workers.busy", key) == 0)
        assert sdk.value("bridge.requests.active", key) == 0


def test_the_gauges_tell_of_open_streams_and_the_memory_they_hold(sdk):
    opened = threading.Event()
    driver = Driver(hold_at={1})

    def blocks():
        yield b"x" * 1000
        block(opened)

    with hosted(answering(blocks)) as adapter:
        observe(adapter, meter_provider=sdk.provider)

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(driver.call, adapter)
                await until(lambda: driver.attempts == 2)
                seen = sdk.value("bridge.streams.open", WSGI), sdk.value("bridge.memory.held", WSGI)
                driver.release(1)
                opened.set()
            assert seen[0] == 1
            assert 1000 <= seen[1] < 2000

        run(main)


def test_the_gauges_of_an_asgi_application_are_its_statistics(sdk):
    before, after = Hold("before the answer"), Hold("after the answer")

    async def app(scope, receive, send):
        await before.stop_here_on_loop()
        await asgi_answering()(scope, receive, send)
        await after.stop_here_on_loop()

    with hosted_on_wsgi(app, lifespan="off") as adapter:
        observe(adapter, meter_provider=sdk.provider)
        helper = Helper(lambda: request(adapter))
        before.reached.wait()
        assert sdk.value("bridge.requests.active", ASGI) == 1
        assert sdk.value("bridge.requests.background", ASGI) == 0
        assert sdk.value("bridge.workers.stuck", ASGI) == 0
        before.release()
        helper.join()
        after.reached.wait()
        assert sdk.value("bridge.requests.active", ASGI) == 0
        assert sdk.value("bridge.requests.background", ASGI) == 1
        after.release()


def test_looking_at_an_adapter_that_has_done_nothing_starts_nothing(sdk):
    adapter = ASGIToWSGI(asgi_answering())
    observe(adapter, meter_provider=sdk.provider)

    assert sdk.value("bridge.requests.active", ASGI) == 0
    assert adapter.statistics().phase == "not started"


# ---- Several adapters -------------------------------------------------------------------------------------------


def test_several_adapters_of_both_directions_are_told_apart_by_name_and_direction(sdk):
    with (
        hosted(answering([b"12"]), limits=Limits(worker_idle_s=0.05)) as shop,
        hosted(answering([b"123"])) as blog,
        hosted_on_wsgi(asgi_answering(b"1234"), lifespan="off") as api,
    ):
        for name, adapter in (("shop", shop), ("blog", blog), ("api", api)):
            observe(adapter, name=name, meter_provider=sdk.provider)
        run(partial(Driver().call, shop))
        run(partial(Driver().call, blog))
        request(api)

        names = {
            "shop": {**WSGI, "bridge.name": "shop"},
            "blog": {**WSGI, "bridge.name": "blog"},
            "api": {**ASGI, "bridge.name": "api"},
        }
        assert sdk.values("bridge.response.body.size") == {
            frozenset(names["shop"].items()): 2,
            frozenset(names["blog"].items()): 3,
            frozenset(names["api"].items()): 4,
        }
        for gauge in ("bridge.requests.active", "bridge.workers.stuck"):
            assert sdk.values(gauge) == {frozenset(key.items()): 0 for key in names.values()}, gauge
        assert len(sdk.values("bridge.workers.busy")) == 2


@pytest.mark.parametrize(
    ("make", "attributes"),
    [
        pytest.param(lambda: WSGIToASGI(read_all), WSGI, id="WSGIToASGI"),
        pytest.param(lambda: ASGIToWSGI(asgi_answering()), ASGI, id="ASGIToWSGI"),
    ],
)
def test_an_adapter_that_is_gone_is_not_observed_any_more_and_was_not_kept_alive(sdk, make, attributes):
    adapter = make()
    seen = weakref.ref(adapter)
    observe(adapter, meter_provider=sdk.provider)
    assert sdk.value("bridge.requests.active", attributes) == 0

    del adapter
    gc.collect()

    assert seen() is None
    assert sdk.values("bridge.requests.active") == {}


# ---- Without an SDK, without the API ----------------------------------------------------------------------------


def test_without_an_sdk_nothing_happens():
    driver = Driver()
    with hosted(answering([b"body"])) as adapter:
        observe(adapter)
        run(partial(driver.call, adapter))

    assert (driver.error, driver.body) == (None, b"body")


def test_importing_the_module_needs_no_opentelemetry(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "bridge.telemetry")

    again = importlib.import_module("bridge.telemetry")

    monkeypatch.setattr(bridge, "telemetry", sys.modules["bridge.telemetry"])
    assert callable(again.observe)


def test_without_the_api_the_error_names_the_extra_and_nothing_is_observed(monkeypatch):
    for name in ("opentelemetry", "opentelemetry.metrics"):
        monkeypatch.setitem(sys.modules, name, None)
    adapter = WSGIToASGI(read_all)

    with pytest.raises(ImportError) as caught:
        observe(adapter)

    assert "pip install 'wsgi-asgi-bridge[opentelemetry]'" in str(caught.value)
    assert adapter._hosting.observers == []


# ---- By variable ------------------------------------------------------------------------------------------------


@pytest.fixture
def enter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sdk: SDK) -> Iterator[Callable[..., Any]]:
    """Import an entry point for an application of this test, with the SDK as the global one."""
    (tmp_path / "telemetry_shop.py").write_text(
        "from tests.conformance.driver import answering\n"
        "from tests.gateway import answering as asgi_answering\n"
        "shop = answering([b'shop'])\n"
        "api = asgi_answering(b'api')\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr("opentelemetry.metrics.get_meter", lambda name, **_: sdk.provider.get_meter(name))
    monkeypatch.delitem(sys.modules, "bridge.telemetry")  # what it knows of the global provider is of another one
    monkeypatch.setattr(bridge, "telemetry", None, raising=False)
    for name in [name for name in os.environ if name.startswith("BRIDGE_")]:
        monkeypatch.delenv(name)
    apps: list[Any] = []

    def import_entry(entry: str, **variables: str) -> Any:
        for name, text in variables.items():
            monkeypatch.setenv(name, text)
        monkeypatch.delitem(sys.modules, entry, raising=False)
        apps.append(importlib.import_module(entry).app)
        return apps[-1]

    yield import_entry
    for app in apps:
        if isinstance(app, ASGIToWSGI):
            app.shutdown()
    for name in ("bridge.asgi", "bridge.wsgi", "telemetry_shop"):
        sys.modules.pop(name, None)
        vars(bridge).pop(name.removeprefix("bridge."), None)
    sys.path_importer_cache.pop(str(tmp_path), None)


def test_a_variable_is_enough_under_an_asgi_server(enter, sdk):
    app = enter("bridge.asgi", BRIDGE_APP="telemetry_shop:shop", BRIDGE_PROTOCOL="wsgi", BRIDGE_TELEMETRY="1")

    run(partial(Driver().call, app))

    assert sdk.value("bridge.response.body.size", WSGI) == 4
    assert sdk.value("bridge.requests.active", WSGI) == 0


def test_a_variable_is_enough_under_a_wsgi_server(enter, sdk):
    app = enter("bridge.wsgi", BRIDGE_APP="telemetry_shop:api", BRIDGE_TELEMETRY="1")

    request(app)

    assert sdk.value("bridge.response.body.size", ASGI) == 3
    assert sdk.value("bridge.requests.active", ASGI) == 0


def test_without_the_variable_nothing_is_observed(enter, sdk):
    app = enter("bridge.wsgi", BRIDGE_APP="telemetry_shop:api")

    request(app)

    assert sdk.metrics() == {}


def test_the_variable_without_the_api_is_an_error_that_names_the_extra(enter, monkeypatch):
    for name in ("opentelemetry", "opentelemetry.metrics"):
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(bridge.ConfigurationError, match=r"pip install 'wsgi-asgi-bridge\[opentelemetry\]'"):
        enter("bridge.wsgi", BRIDGE_APP="telemetry_shop:api", BRIDGE_TELEMETRY="1")


# ---- The page ---------------------------------------------------------------------------------------------------


def made_by(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[type, str]]:
    """Return the instruments that are made for an adapter: their kind and unit."""
    made: dict[str, tuple[type, str]] = {}
    meter = SDK().provider.get_meter("bridge")

    class Noting:
        def __getattr__(self, name: str) -> Any:
            def create(instrument: str, *args: Any, **options: Any) -> Any:
                one = getattr(meter, name)(instrument, *args, **options)
                made[instrument] = (type(one), one.unit)
                return one

            return create

    monkeypatch.setattr("opentelemetry.metrics.get_meter", lambda *_, **__: Noting())
    observe(adapter, meter_provider=SDK().provider)
    return made


def test_the_page_lists_exactly_the_instruments_with_kind_unit_and_direction(monkeypatch):
    section = PAGE.read_text(encoding="utf-8").partition("\n## Instruments\n")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    documented = {row[0].strip("`"): (row[1], row[2].strip("`"), row[3].strip("`")) for row in rows}

    wsgi = made_by(WSGIToASGI(read_all), monkeypatch)
    asgi = made_by(ASGIToWSGI(asgi_answering()), monkeypatch)

    expected: dict[str, tuple[str, str, str]] = {}
    for name, (kind, unit) in {**wsgi, **asgi}.items():
        [word] = [word for word, known in KINDS.items() if issubclass(kind, known)]
        where = "both" if name in wsgi and name in asgi else "wsgi_to_asgi" if name in wsgi else "asgi_to_wsgi"
        expected[name] = (word, unit, where)
    assert documented == expected
    assert len(rows) == len(documented)
