"""What is handed over by mistake: objects that are no application of either protocol, and what to do instead.

Judged by names, so that nothing is imported, and without running any code of theirs.
"""

from __future__ import annotations

import inspect
from functools import partial
from types import (
    BuiltinFunctionType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, NoReturn, cast

from bridge.errors import NotAnAppError

_FOREIGN = {
    "aiohttp.web_app.Application": "aiohttp speaks a protocol of its own; run it with aiohttp.web.run_app() beside the "
    "others, or move its handlers to an ASGI framework",
    "tornado.web.Application": "Tornado speaks a protocol of its own; run it with its own HTTPServer, or move its "
    "handlers to an ASGI framework",
    "robyn.Robyn": "Robyn brings its own server; run it with app.start()",
    "socketio.server.Server": "wrap it: socketio.WSGIApp(server)",
    "socketio.async_server.AsyncServer": "wrap it: socketio.ASGIApp(server)",
    "flask.blueprints.Blueprint": "a blueprint is a part of an application: register it and name the application",
    "quart.blueprints.Blueprint": "a blueprint is a part of an application: register it and name the application",
    "sanic.blueprints.Blueprint": "a blueprint is a part of an application: register it and name the application",
    "celery.app.base.Celery": "Celery runs tasks and serves no requests; name the web application",
}
"""What people hand over by mistake, and what to do instead; by name, so that nothing is imported."""

_ROUTINES = (FunctionType, MethodType, BuiltinFunctionType, WrapperDescriptorType, MethodDescriptorType)


def name_of(app: object) -> str:
    """Name an application in a message, without running its ``__repr__``."""
    if app is None:
        return "None"
    if issubclass(type(app), type):  # not isinstance(): that asks lazy objects for their class
        app = cast("type", app)
        return f"the class {app.__module__}.{app.__qualname__}"
    if issubclass(type(app), partial):
        app = cast("partial[Any]", app)
        return f"a partial of {name_of(app.func)}"  # pyright: ignore[reportUnknownMemberType]
    name = getattr(app, "__qualname__", None) if issubclass(type(app), _ROUTINES) else None
    if isinstance(name, str):
        return f"the function {getattr(app, '__module__', None) or 'builtins'}.{name}"
    kind = type(app)
    return f"an instance of {kind.__module__}.{kind.__qualname__}"


def refuse_foreign(app: object) -> None:
    """Refuse what is known to be something else.

    Raises:
        NotAnAppError: with what to do.
    """
    for kind in app.__mro__ if inspect.isclass(app) else type(app).__mro__:
        advice = _FOREIGN.get(f"{kind.__module__}.{kind.__qualname__}")
        if advice is None and kind.__module__.startswith("flask.sansio") and kind.__name__ == "Blueprint":
            advice = _FOREIGN["flask.blueprints.Blueprint"]
        if advice is not None:
            raise NotAnAppError(f"{name_of(app)} is neither a WSGI nor an ASGI application: {advice}")


def refuse_uncallable(app: object) -> NoReturn:
    """Refuse what cannot be called.

    Raises:
        NotAnAppError: with what to do.
    """
    if issubclass(type(app), ModuleType):  # not isinstance(): see name_of
        app = cast("ModuleType", app)
        raise NotAnAppError(f"{app.__name__} is a module, not an application: name the application in it (module:app)")
    raise NotAnAppError(
        f"{name_of(app)} cannot be called, so it is neither a WSGI nor an ASGI application: name the application object"
    )
