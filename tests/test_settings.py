"""The ``BRIDGE_...`` variables: what is read, what is refused, and that what is written is read back."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge import (
    ASGIToWSGI,
    ConfigurationError,
    DetectionError,
    DualApp,
    Limits,
    LoadError,
    NotAnAppError,
    WSGIToASGI,
    detect,
    dual,
    mark,
)
from bridge._settings import ASGI_OPTIONS, VARIABLES, WSGI_OPTIONS, Settings, pairs_from, read_options
from bridge.detect import PROTOCOLS
from tests.driving import fetch
from tests.gateway import answering, run

APP = {"BRIDGE_APP": "settings_shop:wsgi_app"}


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    """A module with applications of each kind, importable by its name."""
    module: Any = types.ModuleType("settings_shop")
    module.wsgi_app = flask.Flask("shop")
    module.asgi_app = answering(b"asgi")
    module.hidden = functools.partial(hidden)  # a mark on it goes with the module
    module.builtin = print
    module.create_app = lambda: module.wsgi_app
    module.dual_app = dual(module.wsgi_app)
    module.nothing = None
    monkeypatch.setitem(sys.modules, "settings_shop", module)
    yield module
    for name in vars(module):
        if isinstance(getattr(module, name), ASGIToWSGI):
            getattr(module, name).shutdown()


def hidden(*arguments: Any) -> Any:
    """Give a coroutine, which nobody can see."""
    return answering(b"hidden")(*arguments)


def settings(**variables: str) -> Settings:
    return Settings.from_variables(APP | {f"BRIDGE_{name.upper()}": text for name, text in variables.items()})


# ---- To and from variables ------------------------------------------------------------------------------------------


def limit_texts() -> st.SearchStrategy[dict[str, str]]:
    texts: dict[str, st.SearchStrategy[str]] = {}
    for one in fields(Limits):
        numbers: Any = st.integers(1, 10**9)
        if "float" in str(one.type):
            numbers |= st.floats(1, 1e6)
        texts[one.name] = numbers.map(str) | (st.sampled_from(["none", "off"]) if "None" in str(one.type) else numbers)
        texts[one.name] = texts[one.name].map(str)
    return st.fixed_dictionaries({}, optional=texts)


def option_texts() -> st.SearchStrategy[dict[str, str]]:
    words = st.text("abcxyz0189_.=-", min_size=1)
    of_kind = {str: words, bool: st.sampled_from(["0", "1", "yes", "OFF"]), int: st.integers(0, 999).map(str)}
    kinds = {**ASGI_OPTIONS, **WSGI_OPTIONS}
    return st.fixed_dictionaries({}, optional={name: of_kind[kind] for name, kind in kinds.items()})


@given(
    st.builds(
        Settings,
        app=st.text(min_size=1),
        app_dir=st.sampled_from(["", "/srv/shop", "src:lib"]),
        is_factory=st.booleans(),
        protocol=st.none() | st.sampled_from(PROTOCOLS),
        limits=limit_texts(),
        options=option_texts(),
        telemetry=st.booleans(),
    )
)
def test_what_is_written_is_read_back(said):
    variables = said.to_variables()

    assert Settings.from_variables(variables) == said
    assert set(variables) <= set(VARIABLES)
    assert all(type(text) is str and text for text in variables.values())


def test_what_is_at_its_default_is_not_written():
    assert Settings(app="shop:app").to_variables() == {"BRIDGE_APP": "shop:app"}


def test_variables_of_others_and_empty_ones_are_passed_over():
    others = {"HOME": "/", "BRIDGED": "1", "BRIDGE_": "1", "BRIDGE_TOKEN": "1", "BRIDGE_PORT": "1", "BRIDGE_URL": "1"}
    empty = dict.fromkeys(set(VARIABLES) - set(APP), "")

    assert Settings.from_variables(APP | others | empty) == Settings(app=APP["BRIDGE_APP"])


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BRIDGE_APPS", "BRIDGE_APP"),
        ("BRIDGE_LIMIT", "BRIDGE_LIMITS"),
        ("BRIDGE_OPTION", "BRIDGE_OPTIONS"),
        ("BRIDGE_FACTROY", "BRIDGE_FACTORY"),
        ("BRIDGE_PROTOCL", "BRIDGE_PROTOCOL"),
        ("BRIDGE_TELEMETERY", "BRIDGE_TELEMETRY"),
    ],
)
def test_a_slip_in_the_name_of_a_variable_is_refused_with_the_right_one(name, meant):
    with pytest.raises(ConfigurationError, match=f"there is no variable {name}; {meant} is probably meant"):
        Settings.from_variables(APP | {name: "1"})


@pytest.mark.parametrize("variables", [{}, {"BRIDGE_APP": ""}])
def test_without_an_application_it_is_said_how_to_name_one(variables):
    with pytest.raises(ConfigurationError, match="set it, as in BRIDGE_APP=shop:app"):
        Settings.from_variables(variables)


@pytest.mark.parametrize("name", ["factory", "telemetry"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("False", False), ("no", False)],
)
def test_a_switch_is_read(name, text, expected):
    read = settings(**{name: text})

    assert {"factory": read.is_factory, "telemetry": read.telemetry}[name] is expected


def test_pairs_are_separated_by_commas_or_spaces():
    assert pairs_from(" workers=8, queue=9\tretry_after_s=1,", "here") == {
        "workers": "8",
        "queue": "9",
        "retry_after_s": "1",
    }


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param({"factory": "perhaps"}, "BRIDGE_FACTORY is a switch, 1 or 0; 'perhaps' is neither", id="switch"),
        pytest.param({"telemetry": "2"}, "BRIDGE_TELEMETRY is a switch", id="other switch"),
        pytest.param({"protocol": "http"}, "wsgi, asgi, asgi2, dual.*'http'", id="protocol"),
        pytest.param({"limits": "workers"}, "BRIDGE_LIMITS takes name=value.*'workers' is not that", id="no pair"),
        pytest.param({"options": "strict="}, "BRIDGE_OPTIONS takes name=value", id="no value"),
        pytest.param({"limits": "=3"}, "BRIDGE_LIMITS takes name=value", id="no name"),
        pytest.param({"limits": "threads=3"}, "there is no limit 'threads'; there are workers, ", id="no limit"),
        pytest.param({"limits": "workers=many"}, "the limit workers is a whole number; 'many' is not", id="no number"),
        pytest.param({"limits": "workers=1.5"}, "the limit workers is a whole number; '1.5'", id="no whole number"),
        pytest.param({"limits": "workers=none"}, "the limit workers is a whole number; 'none'", id="not optional"),
        pytest.param({"limits": "app_wait_s=x"}, "app_wait_s is a number or none; 'x' is not", id="optional"),
        pytest.param({"limits": "workers=0"}, "Limits.workers must be", id="too small"),
        pytest.param({"limits": "stuck_s=nan"}, "Limits.stuck_s must be", id="not a number"),
        pytest.param({"options": "threads=3"}, "there is no option 'threads'; there are event_loop, ", id="no option"),
        pytest.param({"options": "strict=maybe"}, "strict is a switch, 1 or 0", id="option that is a switch"),
        pytest.param({"options": "websocket_denial_status=x"}, "is a number; 'x' is none", id="option, a number"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(variables, message):
    with pytest.raises(ConfigurationError, match=message) as raised:
        settings(**variables)

    assert "\n" not in str(raised.value)


def test_limits_are_read_as_the_numbers_they_are():
    limits = settings(limits="workers=8,stuck_s=1.5,shutdown_s=3,body_max_bytes=None,app_wait_s=off").read_limits()

    assert limits == Limits(workers=8, stuck_s=1.5, shutdown_s=3, body_max_bytes=None, app_wait_s=None)
    assert type(limits.workers) is int


def test_options_are_read_and_those_of_the_other_adapter_left_out():
    given_options = {"strict": "yes", "large_body": "spool", "websocket_denial_status": "404", "lifespan": "off"}
    given_options["on_error"] = "respond"

    assert read_options(given_options, WSGI_OPTIONS) == {"lifespan": "off", "on_error": "respond"}
    assert read_options(given_options, ASGI_OPTIONS) == {
        "strict": True,
        "large_body": "spool",
        "websocket_denial_status": 404,
        "on_error": "respond",
    }


# ---- The application ------------------------------------------------------------------------------------------------


def test_each_kind_of_server_gets_its_kind_of_application(shop):
    with_options = {"options": "strict=1,lifespan=off", "limits": "workers=3"}
    wsgi, asgi = settings(**with_options), settings(app="settings_shop:asgi_app", **with_options)

    assert wsgi.wsgi_app() is shop.wsgi_app
    assert asgi.asgi_app() is shop.asgi_app
    hosted = wsgi.asgi_app()
    assert isinstance(hosted, WSGIToASGI)
    assert hosted.statistics().workers_max == 3
    shop.made = asgi.wsgi_app()
    assert isinstance(shop.made, ASGIToWSGI)
    assert run(shop.made).body == b"asgi"
    assert fetch(asgi.asgi_app()).body == b"asgi"


def test_a_factory_makes_the_application(shop):
    assert settings(app="settings_shop:create_app", factory="1").wsgi_app() is shop.wsgi_app
    assert settings(app="settings_shop:create_app()").wsgi_app() is shop.wsgi_app
    with pytest.raises(NotAnAppError, match="--factory"):
        settings(app="settings_shop:create_app").wsgi_app()


def test_a_dual_application_is_what_both_get(shop):
    both = settings(app="settings_shop:dual_app")

    assert isinstance(both.asgi_app(), DualApp)
    assert both.asgi_app() is both.wsgi_app() is shop.dual_app


@pytest.mark.parametrize("protocol", ["asgi", "wsgi", "dual"])
def test_a_dual_application_may_be_said_to_be_any_of_them_and_stays_what_it_is(shop, protocol):
    assert settings(app="settings_shop:dual_app", protocol=protocol).load().app is shop.dual_app
    assert detect(shop.wsgi_app).protocol == "wsgi"


def test_what_cannot_be_told_can_be_said(shop):
    with pytest.raises(DetectionError, match="--protocol"):
        settings(app="settings_shop:hidden").asgi_app()

    assert fetch(settings(app="settings_shop:hidden", protocol="asgi").asgi_app()).body == b"hidden"


def test_what_can_carry_no_mark_can_be_said_too(shop):
    app = settings(app="settings_shop:builtin", protocol="wsgi").load().app

    assert detect(app).protocol == "wsgi"


@pytest.mark.parametrize(
    ("app", "protocol", "found"),
    [("wsgi_app", "asgi", "wsgi"), ("asgi_app", "wsgi", "asgi"), ("asgi_app", "asgi2", "asgi")],
)
def test_a_protocol_that_the_application_certainly_does_not_speak_is_refused(shop, app, protocol, found):
    with pytest.raises(ConfigurationError) as raised:
        settings(app=f"settings_shop:{app}", protocol=protocol).load()

    sentence = str(raised.value)
    assert sentence.startswith(f"settings_shop:{app} speaks {found}, because ")
    assert sentence.endswith(f"it cannot be hosted as {protocol}: leave the protocol out")
    assert detect(getattr(shop, app)).protocol == found, "it has not been marked"


@pytest.mark.parametrize("protocol", ["", "wsgi"])
def test_what_is_no_application_is_none_whatever_is_said(shop, protocol):
    with pytest.raises(NotAnAppError, match="cannot be called"):
        settings(app="settings_shop:nothing", protocol=protocol).load()


def test_an_option_the_adapter_refuses_is_a_wrong_setting(shop):
    with pytest.raises(ConfigurationError, match="large_body must be one of 'auto', 'spool', 'stream', not 'perhaps'"):
        settings(options="large_body=perhaps").asgi_app()


def test_what_cannot_be_loaded_is_a_load_error(shop):
    with pytest.raises(LoadError, match="settings_shop has no attribute 'wsgi_ap'; did you mean 'wsgi_app'"):
        settings(app="settings_shop:wsgi_ap").asgi_app()


def test_telemetry_observes_the_adapter_and_needs_one(shop, monkeypatch):
    observed: list[object] = []
    fake: Any = types.ModuleType("bridge.telemetry")
    fake.observe = observed.append
    monkeypatch.setitem(sys.modules, "bridge.telemetry", fake)

    adapter = settings(telemetry="1").asgi_app()
    shop.made = settings(app="settings_shop:asgi_app", telemetry="1").wsgi_app()
    settings(telemetry="1").wsgi_app()
    settings(telemetry="0").asgi_app()

    assert observed == [adapter, shop.made]


def test_a_marked_application_is_taken_at_its_mark(shop):
    shop.marked = mark("asgi")(functools.partial(hidden))

    assert fetch(settings(app="settings_shop:marked").asgi_app()).body == b"hidden"
    assert fetch(settings(app="settings_shop:marked", protocol="asgi").asgi_app()).body == b"hidden"
