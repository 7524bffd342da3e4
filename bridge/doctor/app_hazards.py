"""What the application is made of, as hazards: flags, adapters in adapters, servers of another kind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import cast

from bridge.doctor.cookies import cookie_hazards
from bridge.doctor.frameworks import django_settings, framework_of
from bridge.doctor.lifespans import lifespan_hazards
from bridge.doctor.report import Hazard
from bridge.doctor.rules import hazard
from bridge.doctor.tree import TO_ASGI, TO_WSGI, Node, is_one_of, stored

_GREENLETS = ("gevent", "gevent_uwsgi", "eventlet")


def app_hazards(nodes: list[Node]) -> Iterator[Hazard]:
    """Yield what is wrong with an application and what is in it. Any thread."""
    yield from _debugging(nodes)
    yield from lifespan_hazards(nodes)
    yield from cookie_hazards(nodes)
    for node in nodes:
        yield from _needless_translation(node)
        yield from _one_thread(node)
        yield from _greenlets(node)


# ---- Rules ----------------------------------------------------------------------------------------------------------


def _debugging(nodes: list[Node]) -> Iterator[Hazard]:
    frameworks = {framework_of(node.app) for node in nodes}
    for node in nodes:
        framework = framework_of(node.app)
        config = stored(node.app, "config")
        if (
            framework in ("flask", "quart")
            and isinstance(config, dict)
            and cast("dict[str, object]", config).get("DEBUG")
        ):
            yield hazard("debug-on", node.place, "its DEBUG is on")
        elif framework is not None and True in (stored(node.app, "debug"), stored(node.app, "_debug")):
            yield hazard("debug-on", node.place, "its debug is on")
        elif is_one_of(node.app, ("werkzeug.debug.DebuggedApplication",)):
            yield hazard("debug-on", node.place, "Werkzeug's debugger runs Python that is typed into a page")
    settings = django_settings() if "django" in frameworks else None
    if settings is not None and settings.DEBUG:
        yield hazard("debug-on", "Django's settings", "DEBUG is on")
    if "bottle" in frameworks and getattr(sys.modules["bottle"], "DEBUG", False):
        yield hazard("debug-on", "bottle", "bottle.debug() was called")


def _needless_translation(node: Node) -> Iterator[Hazard]:
    for own, other in ((TO_ASGI, TO_WSGI), (TO_WSGI, TO_ASGI)):
        if is_one_of(node.app, own):
            outer = next((above for above in node.ancestors() if is_one_of(above.app, other)), None)
            if outer is not None:
                yield hazard("asgi-inside-wsgi-inside-asgi", node.place, f"it is inside {outer.place}")


def _one_thread(node: Node) -> Iterator[Hazard]:
    for name in ("threadsafe", "multithread"):
        if stored(node.app, name) is False or getattr(type(node.app), name, None) is False:
            yield hazard("single-threaded-app", node.place, f"its attribute {name} is False")


def _greenlets(node: Node) -> Iterator[Hazard]:
    engine = stored(node.app, "engineio_app")
    mode = stored(stored(engine, "eio", engine), "async_mode")
    if mode in _GREENLETS:
        yield hazard("greenlet-async-mode", node.place, f"its async_mode is {mode!r}")
