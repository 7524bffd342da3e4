"""Which framework an object comes from, and its version: by the names of its classes, nothing is imported."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Any

from bridge.doctor.report import Part
from bridge.doctor.tree import Node

FRAMEWORKS = (
    *["fastapi", "starlette", "flask", "quart", "django", "litestar", "falcon", "bottle", "pyramid", "sanic"],
    *["connexion", "cherrypy", "web2py", "tornado", "aiohttp", "blacksheep", "robyn", "channels", "esmerald"],
    *["lilya", "responder", "hug", "morepath", "trac", "moin", "dulwich", "wsgidav", "masonite", "mcp"],
)
"""Top-level packages that applications are made with."""


def framework_of(app: object) -> str | None:
    """Return the top-level package of the first of an object's classes that is a framework's, but no middleware."""
    for kind in type(app).__mro__:
        top, _, rest = kind.__module__.partition(".")
        if top in FRAMEWORKS and "middleware" not in rest and kind.__name__ not in ("function", "method"):
            return top
    return None


def version_of(package: str) -> str | None:
    """Return the version of the distribution that a top-level package comes with; None if it comes with none."""
    if package in sys.stdlib_module_names:
        return None
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        pass
    for distribution in metadata.packages_distributions().get(package, ()):
        return metadata.version(distribution)
    return None


def parts_in(nodes: list[Node]) -> tuple[Part, ...]:
    """Return the applications of frameworks, the outer before the inner."""
    parts: list[Part] = []
    for node in nodes:
        framework = framework_of(node.app)
        is_router = type(node.app).__module__.endswith((".routing", ".blueprints"))  # a part of one, no application
        if framework is not None and not (is_router and node.parent is not None):
            path = node.path or "/" if node.path is not None else None
            parts.append(Part(path, type(node.app).__name__, framework, version_of(framework)))
    return tuple(parts)


def made_with(app: object, parts: tuple[Part, ...]) -> tuple[str | None, str | None]:
    """Return framework and version of a whole application: the outermost part's, else its class' distribution."""
    if parts:
        return parts[0].framework, parts[0].version
    package = type(app).__module__.partition(".")[0]
    version = version_of(package)
    return (package, version) if version is not None and package != "bridge" else (None, None)


def django_settings() -> Any:
    """Return Django's settings if they have been read, else None."""
    settings: Any = getattr(sys.modules.get("django.conf"), "settings", None)
    return settings if settings is not None and settings.configured else None
