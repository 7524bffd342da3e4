"""Applications inside an application: what middleware, adapters and mounts keep.

Looks only at what is stored in attributes and closures: no code of the application runs, nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from inspect import getattr_static
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, cast

_WRAPPING = (
    *["app", "application", "wsgi_app", "asgi_app", "wsgi_application", "_app", "_application", "wrapped"],
    *["__wrapped__", "wsgi", "asgi"],
)
"""Where middleware, of either protocol, and adapters keep the application they wrap."""

_MOST = 300
_ROUTING = ("starlette.routing.Mount", "starlette.routing.Host")

TO_ASGI = frozenset(
    {
        "bridge.wsgi_to_asgi.WSGIToASGI",
        "a2wsgi.wsgi.WSGIMiddleware",
        "asgiref.wsgi.WsgiToAsgi",
        "starlette.middleware.wsgi.WSGIMiddleware",
        "uvicorn.middleware.wsgi._WSGIMiddleware",
    }
)
"""Adapters that make WSGI applications ASGI ones."""

TO_WSGI = frozenset({"bridge.asgi_to_wsgi.ASGIToWSGI", "a2wsgi.asgi.ASGIMiddleware"})
"""Adapters that make ASGI applications WSGI ones."""


@dataclass(frozen=True, slots=True)
class Node:
    """An object found on the way through an application.

    Attributes:
        app: the object.
        parent: what it was found in; None: it is the application itself.
        path: the prefix it is mounted at; None where that cannot be told.
        mounted_by: the kind of the parent if it is a mount of it (``"starlette"``, ``"other"``), else empty.
    """

    app: object
    parent: Node | None
    path: str | None
    mounted_by: str = ""

    def ancestors(self) -> Iterator[Node]:
        """Yield what it is inside of, innermost first."""
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    @property
    def place(self) -> str:
        """Its class and where it is mounted, for messages."""
        name = type(self.app).__name__
        return f"{name} at {self.path}" if self.path not in (None, "", "/") else name


def walk(app: object) -> list[Node]:
    """Return the application and everything found inside, the outer before the inner; each object once."""
    nodes = [Node(app, None, "")]
    seen = {id(app)}
    for node in nodes:  # grows
        for inner in _inside(node):
            if id(inner.app) not in seen and _may_be_app(inner.app) and len(nodes) < _MOST:
                seen.add(id(inner.app))
                nodes.append(inner)
    return nodes


def names_of(app: object) -> Iterator[str]:
    """Yield the full names of an object's classes, its own first. Never asks the object itself."""
    for kind in type(app).__mro__:
        yield f"{kind.__module__}.{kind.__qualname__}"


def is_one_of(app: object, names: frozenset[str] | tuple[str, ...]) -> bool:
    """Tell whether an object is an instance of one of these classes, given by name."""
    return any(name in names for name in names_of(app))


def stored(app: object, name: str, default: Any = None) -> Any:
    """Return what an object keeps under a name, in its dictionary or a slot; properties are not run."""
    try:
        own: dict[str, Any] = object.__getattribute__(app, "__dict__")
    except AttributeError:
        own = {}
    if name in own:
        return own[name]
    slot: object = getattr_static(type(app), name, None)
    if isinstance(slot, MemberDescriptorType):
        try:
            return slot.__get__(app)
        except AttributeError:  # empty
            pass
    return default


# ---- What is inside --------------------------------------------------------------------------------------------------


def _may_be_app(value: object) -> bool:
    return callable(value) and not issubclass(type(value), type | ModuleType)


def _inside(node: Node) -> Iterator[Node]:
    for path, kind, app in _mounts(node.app):
        known = node.path is not None and path is not None
        yield Node(app, node, f"{node.path}{path}" if known else None, kind)
    for app in _wrapped_by(node.app):
        yield Node(app, node, node.path)


def _wrapped_by(app: Any) -> Iterator[object]:
    # isinstance() would ask proxies (Flask's current_app) what they stand for.
    kind = cast("type[object]", type(app))
    if kind is FunctionType:
        for cell in app.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not filled yet
                continue
    elif kind is MethodType:
        yield app.__self__
    elif "functools.partial" in names_of(app):
        yield app.func
        yield from app.args
    for name in _WRAPPING:
        yield stored(app, name)


def _mounts(app: object) -> Iterator[tuple[str | None, str, object]]:
    """Yield path, kind and application of everything that is mounted."""
    for route in _routes(app):
        if is_one_of(route, _ROUTING):
            # Mount(routes=...) keeps a Router; the middleware of the mount is around it.
            yield stored(route, "path"), "starlette", stored(route, "app")
        elif "mountpoint.target" in (config := _mapping(stored(route, "config"))):  # bottle
            yield cast("str | None", config.get("mountpoint.prefix")), "other", config["mountpoint.target"]
    for name in ("mounts", "application_mapping"):  # werkzeug, cheroot and hypercorn; channels
        for key, inner in _mapping(stored(app, name)).items():
            path = key if isinstance(key, str) and name == "mounts" else None
            yield path, "other", inner


def _routes(app: object) -> list[object]:
    routes = stored(app, "routes")
    if not isinstance(routes, list):
        routes = stored(stored(app, "router"), "routes")
    return list(cast("list[object]", routes)) if isinstance(routes, list) else []


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}
